"""Blocks that only this screen has: they are no part of the session's history."""

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class IntroBlock:
    """What stands at the top of a session. `lines` are (label, value), `hints` two pairs of (keys, what they do)."""

    version: str
    lines: tuple[tuple[str, str], ...]
    hints: tuple[tuple[str, str, str, str], ...]
    void: bool = False


@dataclass(slots=True, eq=False)
class NoteBlock:
    """The answer to a slash command, in Markdown."""

    text: str
    void: bool = False


@dataclass(slots=True, eq=False)
class ShellBlock:
    """A command of the person's own shell. `output` is its tail; `exit_code` is None while it runs or when it was killed."""

    command: str
    cwd: str
    output: str = ""
    running: bool = True
    exit_code: int | None = None
    seconds: float = 0.0
    void: bool = False
