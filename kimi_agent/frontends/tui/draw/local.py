"""Blocks that only this screen has: they are no part of the session's history."""

from msgspec import Struct


class IntroBlock(Struct, eq=False):
    """What stands at the top of a session. `lines` are (label, value), `hints` two pairs of (keys, what they do)."""

    version: str
    lines: tuple[tuple[str, str], ...]
    hints: tuple[tuple[str, str, str, str], ...]
    void: bool = False


class NoteBlock(Struct, eq=False):
    """The answer to a slash command, in Markdown."""

    text: str
    void: bool = False


class ShellBlock(Struct, eq=False):
    """A command of the person's own shell. `output` is its tail; `exit_code` is None while it runs or when it was killed."""

    command: str
    cwd: str
    output: str = ""
    running: bool = True
    exit_code: int | None = None
    seconds: float = 0.0
    void: bool = False
