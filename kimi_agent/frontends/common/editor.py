"""The person's own editor for a long prompt."""

import asyncio
import contextlib
import os
import shlex
import shutil
import signal
import tempfile
from pathlib import Path

from kimi_agent.core.environment import persons_environment
from kimi_agent.core.sanitize import plain

FALLBACKS = ("code --wait", "vim", "vi", "nano")
END_S = 1.0
"""How long an editor that was told to end may take."""


def editor_command(wanted: str = "") -> list[str]:
    """`wanted`, `$VISUAL`, `$EDITOR`, or the first of the usual editors that is installed; empty when there is none."""
    for wish in (wanted, os.environ.get("VISUAL"), os.environ.get("EDITOR"), *FALLBACKS):
        with contextlib.suppress(ValueError):
            command = shlex.split(wish or "")
            if command and shutil.which(command[0]):
                return command
    return []


async def edit(command: list[str], text: str) -> str | None:
    """Let the person edit `text`; None when the editor failed. It needs the terminal, and is ended when this is cancelled."""
    try:
        descriptor, name = tempfile.mkstemp(prefix="kimi-prompt-", suffix=".md")
    except OSError:
        return None
    path = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        process = await asyncio.create_subprocess_exec(*command, name, env=persons_environment())
        try:
            return _read(path) if await process.wait() == 0 else None
        except asyncio.CancelledError:
            await _end(process)
            raise
    except OSError:
        return None
    finally:
        path.unlink(missing_ok=True)


async def _end(process: asyncio.subprocess.Process) -> None:
    """As a terminal that goes away: editors save what they can then, and give the terminal back as it was."""
    with contextlib.suppress(ProcessLookupError, TimeoutError):
        process.send_signal(signal.SIGHUP)
        await asyncio.wait_for(process.wait(), END_S)
    with contextlib.suppress(ProcessLookupError):
        process.kill()


def _read(path: Path) -> str:
    """What the editor has saved, whatever its line ends and marks, without the newlines at its end."""
    text = path.read_bytes().decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")
    return plain(text).rstrip("\n")
