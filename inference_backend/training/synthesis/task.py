"""Tasks: what a person asks for in a world, when it is done, and how an expert does it."""

import json
from collections.abc import Callable, Generator
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from inference_backend.training.synthesis.goals import Goal
from inference_backend.training.synthesis.words import Language
from inference_backend.training.synthesis.world import World

Split = Literal["train", "held_out"]


class Call(Struct, frozen=True):
    """One call of a tool. `says` is what the expert tells before it, perhaps nothing."""

    tool: str
    arguments: dict[str, Any]
    says: str = ""

    def text(self) -> str:
        """The arguments as a model writes them: a blank behind each colon and comma."""
        return json.dumps(self.arguments, ensure_ascii=False)


class Words(Struct, frozen=True):
    """An answer in words: the turn ends. What the generator is sent next is the person's next request."""

    text: str


Act: TypeAlias = Call | Words
Steps: TypeAlias = Generator[Act, str, None]
"""An expert at work: it yields what it does and is sent what it sees, the result of a call or the person's next words."""


class Task(Struct, frozen=True):
    """`turns` are what the person says, one after another. `holds_out` names what training has not seen of it: `world`, `names`,
    `phrasing`. `refuses` is what a person says who allows nothing, empty for one who does. `expert` begins anew at each call."""

    id: str
    family: str
    language: Language
    template: str
    seed: int
    split: Split
    holds_out: tuple[str, ...]
    world: World
    turns: tuple[str, ...]
    goal: Goal
    expert: Callable[[], Steps]
    refuses: str = ""
