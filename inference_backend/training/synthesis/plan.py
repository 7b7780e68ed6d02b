"""Which tasks a dataset has: so many of each family and language, each from a seed of its own."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from inference_backend.training.synthesis.draw import Draw
from inference_backend.training.synthesis.families import FAMILIES, WEIGHTS
from inference_backend.training.synthesis.task import Split, Task
from inference_backend.training.synthesis.words import Language

LANGUAGES: tuple[Language, ...] = ("en", "zh")
TRIES = 6
"""How often another seed is taken where a task came to nothing."""


class Slot(Struct, frozen=True):
    """A place of a dataset that one task fills. `unseen_names`: training sees neither its names nor its world; `unseen_words`:
    nor its phrasing."""

    number: int
    split: Split
    family: str
    language: Language
    unseen_names: bool = False
    unseen_words: bool = False


def slots(episodes: int, held_out: int, families: Sequence[str] = ()) -> Iterator[Slot]:
    """All of a dataset: training by the weights of the families, and of the held-out ones as many of each family and language.

    Of those every second one is said in words that training never sees. Any beginning of either part is balanced, too.
    `families`: of these alone.
    """
    names = list(families or FAMILIES)
    order = _order({name: WEIGHTS[name] for name in names})
    for number in range(episodes):
        yield Slot(number, "train", order[number // 2 % len(order)], LANGUAGES[number % 2])
    for number in range(held_out):
        family, language = names[number // 4 % len(names)], LANGUAGES[number // 2 % 2]
        yield Slot(number, "held_out", family, language, unseen_names=True, unseen_words=number % 2 == 0)


def _order(weights: Mapping[str, int]) -> list[str]:
    """Each family as often as it weighs, as evenly apart as can be."""
    total = max(weights.values())
    places = [((turn + 0.5) / weight, name) for name, weight in weights.items() for turn in range(weight)]
    assert total > 0
    return [name for _, name in sorted(places)]


def draw_task(slot: Slot, seed: int, attempt: int) -> Task:
    """The task of a slot: the same one whenever it is drawn."""
    key = f"{seed}/{slot.split}/{slot.number}/{slot.family}/{slot.language}/{attempt}"
    own = int.from_bytes(hashlib.sha256(key.encode()).digest()[:6], "big")
    draw = Draw(own, slot.family, slot.language, unseen_names=slot.unseen_names, unseen_words=slot.unseen_words)
    return FAMILIES[slot.family](draw)
