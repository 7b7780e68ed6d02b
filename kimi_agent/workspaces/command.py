"""A command line of the user's with something on its stdin, stdout and stderr kept apart: what runs hooks."""

import tempfile
from pathlib import Path

from kimi_agent.core.hook import HookExit
from kimi_agent.workspaces.process import run_process

_KEPT = 1 << 20
"""Bytes of each stream that are kept; the rest is dropped."""
_SCRIPT = 'exec <"$1" 2>"$2"; exec sh -c "$3"'


async def run_hook(command: str, data: bytes, cwd: Path, timeout: float) -> HookExit:
    """Run `command` with `sh` and the environment, the limits and the end of every command (see `run_process`).

    Raises WorkspaceError when it cannot be started, OSError when there is no place for `data`.
    """
    out = bytearray()

    def on_output(piece: bytes) -> None:
        if len(out) < _KEPT:
            out.extend(piece)

    with tempfile.TemporaryDirectory(prefix="kimi-hook-", ignore_cleanup_errors=True) as folder:
        given, errors = Path(folder, "stdin"), Path(folder, "stderr")
        given.write_bytes(data)
        argv = ["sh", "-c", _SCRIPT, "sh", str(given), str(errors), command]
        ended = await run_process(argv, cwd=cwd, env={}, timeout=timeout, on_output=on_output)
        said = _head(errors)
    return HookExit(ended.code, out.decode("utf-8", "replace"), said.decode("utf-8", "replace"))


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_KEPT)
    except FileNotFoundError:  # the shell did not get that far
        return b""
