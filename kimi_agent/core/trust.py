"""Folder trust: what lies in a folder tells the model, or kimi, what to do only when a person has trusted it.

Whoever reads such a file reads it with a `Reader` of the folder's `Trust`; that is all that decides. What was refused is known
then, and can be shown to the person.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from kimi_agent.core.head import read_head
from kimi_agent.core.record import Record

Reader: TypeAlias = Callable[[Path | str, int], bytes]
"""The beginning of a file, at most so many bytes. Raises OSError, ValueError for what is no file, Untrusted."""
Kind: TypeAlias = Literal["instructions", "skill", "command", "agent type", "rules"]


class Untrusted(ValueError):
    """Nobody has trusted this file as it is now."""


class Item(Record):
    """A file that is left out until a person trusts it. `path` is relative to the folder that is trusted.

    `digest` and `text` are of the same bytes; `size` is in bytes, of the whole file; `leads_to` is where a link out of the folder
    leads. `before` is the text that was trusted (its beginning, if `cut`), empty where it was not kept, None for a new file.
    """

    kind: Kind
    path: str
    size: int
    digest: str
    text: str
    leads_to: str = ""
    before: str | None = None
    cut: bool = False


class Trust(Protocol):
    """Of one folder. `left_out` are the paths of what readers refused, `obstacle` says why the folder cannot be trusted."""

    @property
    def left_out(self) -> Sequence[str]: ...

    @property
    def obstacle(self) -> str: ...

    @property
    def asks(self) -> bool:
        """Whether anything has to be trusted at all."""
        ...

    def reader(self, kind: Kind) -> Reader: ...

    def items(self) -> Sequence[Item]:
        """What was left out and can be trusted, read for a person to look at."""
        ...

    def accept(self, items: Sequence[Item]) -> None:
        """Trust these files, with the bytes that were shown. Raises ConfigError, OSError when that cannot be kept."""
        ...


class EverythingTrusted:
    """The person wants no question: every file is read."""

    left_out: Sequence[str] = ()
    obstacle = ""
    asks = False

    def reader(self, kind: Kind) -> Reader:
        return read_head

    def items(self) -> Sequence[Item]:
        return ()

    def accept(self, items: Sequence[Item]) -> None:
        pass


EVERYTHING = EverythingTrusted()
