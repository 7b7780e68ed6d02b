"""What a person is shown of a tool call: five forms, which every front end can draw."""

from typing import Literal, TypeAlias

from kimi_agent.core.message import Image
from kimi_agent.core.record import Record


class Plain(Record):
    """A line or a short text."""

    text: str


class Diff(Record):
    """A change of one file. `unified` is the whole unified diff (three lines of context), nothing left out.

    `path` is the real target (symlinks resolved). `created` marks a file that did not exist before.
    """

    path: str
    unified: str
    added: int
    removed: int
    created: bool = False


class Terminal(Record):
    """Output of a command. `exit_code` is None while it runs or when it was killed; `output` may be cut in the middle.

    `box` says which box it ran in, empty where nobody knows; `reason` is why it asks for more than its box.
    """

    command: str
    output: str = ""
    exit_code: int | None = None
    box: str = ""
    reason: str = ""


class Todo(Record):
    title: str
    status: Literal["pending", "in_progress", "done"] = "pending"


class TodoList(Record):
    items: tuple[Todo, ...]


class Pictures(Record):
    """Pictures, such as the plots of a notebook cell, below a text (which may be empty)."""

    text: str
    images: tuple[Image, ...]


Display: TypeAlias = Plain | Diff | Terminal | TodoList | Pictures
