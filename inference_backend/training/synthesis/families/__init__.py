"""The table of task families. A new one is a function in a file of this folder, a line here, and its phrasings."""

from collections.abc import Callable, Mapping

from inference_backend.training.synthesis.draw import Draw
from inference_backend.training.synthesis.families import looking
from inference_backend.training.synthesis.task import Task

Family = Callable[[Draw], Task]
FAMILIES: Mapping[str, Family] = {
    "list_folder": looking.list_folder,
    "read_file": looking.read_file,
    "read_answer": looking.read_answer,
    "search_answer": looking.search_answer,
}
HEAVY: Mapping[str, int] = {}
"""How often a family is drawn, where that is not once."""
WEIGHTS: Mapping[str, int] = {name: HEAVY.get(name, 4) for name in FAMILIES}
