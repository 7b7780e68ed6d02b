"""What a tool call would do to the world: the one thing that permission rules match on."""

from typing import Literal

from kimi_agent.core.record import Record


class Effect(Record):
    """What a call would do. Permission rules match on nothing else.

    `target` is an absolute real path (read, write), a command line (run), a URL (fetch), `server/tool` (mcp), a background
    task of this session (stop), or what a command asks for beyond the box (widen): `host` (no box at all), `net:HOST`,
    `write:PATH`; only a person allows that, each time. `cwd` is the folder of a command that does not run in the session's own.
    `beside` (mcp): the tool says that it only reads, so its calls need no order among themselves; it decides nothing else.
    """

    kind: Literal["read", "write", "run", "fetch", "mcp", "stop", "widen"]
    target: str
    cwd: str = ""
    beside: bool = False
