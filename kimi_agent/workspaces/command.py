"""A command line of the user's with something on its stdin, stdout and stderr kept apart: what runs hooks."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

from kimi_agent.core.hook import HookExit
from kimi_agent.workspaces.process import run_process
from kimi_agent.workspaces.spawn import Room

_KEPT = 1 << 20
"""Bytes of each stream that are kept; the rest is dropped."""
_SCRIPT = 'exec 2>"$1"; exec sh -c "$2"'


async def run_hook(
    command: str,
    data: bytes,
    cwd: Path,
    timeout: float,
    outside: bool = False,
    *,
    room: Room | None = None,
    passed: Sequence[str] = (),
) -> HookExit:
    """Run `command` with `sh` and the box (unless `outside`), the environment and the end of every command (see `run_process`).

    Raises WorkspaceError when it cannot be started, OSError when there is no place for `data` or its messages.
    """
    out = bytearray()

    def on_output(piece: bytes) -> None:
        if len(out) < _KEPT:
            out.extend(piece)

    room = None if outside else room
    place = None if room is None else await asyncio.to_thread(room.box.temporary)
    with tempfile.TemporaryDirectory(prefix="kimi-hook-", dir=place, ignore_cleanup_errors=True) as folder:
        errors = Path(folder, "stderr")
        argv = ["sh", "-c", _SCRIPT, "sh", str(errors), command]
        ended = await run_process(
            argv, cwd=cwd, env={}, timeout=timeout, on_output=on_output, stdin=data, room=room, passed=passed
        )
        said = _head(errors)
    return HookExit(ended.code, out.decode("utf-8", "replace"), said.decode("utf-8", "replace"))


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_KEPT)
    except FileNotFoundError:  # the shell did not get that far
        return b""
