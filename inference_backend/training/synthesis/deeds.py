"""Deeds: one thing that a person asks for, how it is said and done, and what the folder is like then.

A family of one deed is a task by itself; several deeds, one after another in the same folder, are a longer one.
"""

from collections.abc import Callable, Generator, Sequence
from typing import TypeAlias

from msgspec import Struct

from inference_backend.training.synthesis.draw import DATA, TEXTS, Draw
from inference_backend.training.synthesis.goals import Command, Goal
from inference_backend.training.synthesis.task import Call, Steps, Task, Words
from inference_backend.training.synthesis.world import Commit, World

Doing: TypeAlias = Generator[Call, str, str]
"""The calls of a deed; what it returns is the sentence that tells of it."""


class Deed(Struct, frozen=True):
    """`asks` is the request. `tells`: the sentence holds something that the person wants to know, beyond that it is done.

    `answer` are what it must say: of each group one.
    """

    asks: str
    do: Callable[[], Doing]
    tells: bool = False
    answer: tuple[tuple[str, ...], ...] = ()
    commands: tuple[Command, ...] = ()
    free: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()


class Place:
    """The folder of a task: what lies there before, and after the deeds so far. Texts by path."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.before: dict[str, str] = {}
        self.now: dict[str, str] = {}
        self.commits: list[Commit] = []
        self.fresh: list[str] = []  # paths that deeds have made or changed

    def lay(self, path: str, text: str) -> str:
        """Put a file there from the beginning."""
        self.before[path] = self.now[path] = text
        return path

    def write(self, path: str, text: str) -> None:
        self.now[path] = text
        self.fresh = [*(known for known in self.fresh if known != path), path]

    def remove(self, path: str) -> str:
        self.fresh = [known for known in self.fresh if known != path]
        return self.now.pop(path)

    def some(self, endings: Sequence[str] = TEXTS, low: int = 1, high: int = 5) -> str:
        """A text file to do something with: one that deeds have made, or one that lies there."""
        made = [path for path in self.fresh if path.endswith(tuple(f".{e}" for e in endings))]
        if made and self.draw.chance(0.8):
            return self.draw.pick(made)
        return self.lay(self.draw.file(endings), self.draw.lines(low, high))

    def clutter(self, low: int = 0, high: int = 3) -> None:
        for _ in range(self.draw.number(low, high)):
            self.lay(self.draw.file(DATA), self.draw.lines(1, 5))

    def world(self) -> World:
        files = list(self.before.items())
        self.draw.rng.shuffle(files)
        return World(dict(files), commits=tuple(self.commits))


def task_of(draw: Draw, place: Place, deed: Deed, *, clutter: bool = True) -> Task:
    """A task of one deed."""
    if clutter:
        place.clutter()

    def expert() -> Steps:
        yield Words((yield from deed.do()))

    goal = Goal(
        place.now, answer=deed.answer, commands=deed.commands, free=deed.free, folders=deed.folders,
    )  # fmt: skip
    return draw.task(place.world(), deed.asks, goal, expert)
