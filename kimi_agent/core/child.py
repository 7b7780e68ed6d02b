"""A process that is talked to through pipes for a long time: a stdio MCP server."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

from kimi_agent.core.access import Access


class Child(Protocol):
    """`stdin`, `stdout` and `stderr` are non-blocking descriptors, which `end` closes. `box` says in which box it runs."""

    pid: int
    stdin: int
    stdout: int
    stderr: int
    box: str

    async def wait(self) -> int:
        """Its exit code, 128 + signal if one killed it. Raises OSError when it could not be started."""
        ...

    async def end(self, grace: float) -> None:
        """Close its stdin, wait up to `grace` seconds for its end, then send all that it started SIGTERM, and SIGKILL."""
        ...


StartChild: TypeAlias = Callable[[Sequence[str], Path, Mapping[str, str], Access], Awaitable[Child]]
"""Starts `argv` in a folder, with the environment that processes of the agent have and these variables.

Raises OSError and ValueError when it cannot be started, BoxError without its box.
"""
