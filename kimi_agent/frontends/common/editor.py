"""The person's own editor for a long prompt."""

import contextlib
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from kimi_agent.core.sanitize import plain

FALLBACKS = ("code --wait", "vim", "vi", "nano")


def editor_command(wanted: str = "") -> list[str]:
    """`wanted`, `$VISUAL`, `$EDITOR`, or the first of the usual editors that is installed; empty when there is none."""
    for wish in (wanted, os.environ.get("VISUAL"), os.environ.get("EDITOR"), *FALLBACKS):
        with contextlib.suppress(ValueError):
            command = shlex.split(wish or "")
            if command and shutil.which(command[0]):
                return command
    return []


def edit(command: list[str], text: str) -> str | None:
    """Let the person edit `text`; None when the editor failed. Blocks, and needs the terminal."""
    try:
        descriptor, name = tempfile.mkstemp(prefix="kimi-prompt-", suffix=".md")
    except OSError:
        return None
    path = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        code = subprocess.call([*command, name])
        return _read(path) if code == 0 else None
    except OSError:
        return None
    finally:
        path.unlink(missing_ok=True)


def _read(path: Path) -> str:
    """What the editor has saved, whatever its line ends and marks, without the newlines at its end."""
    text = path.read_bytes().decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")
    return plain(text).rstrip("\n")
