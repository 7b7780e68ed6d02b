"""The person's own editor for a long prompt."""

import contextlib
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

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
    descriptor, name = tempfile.mkstemp(prefix="kimi-prompt-", suffix=".md")
    path = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        code = subprocess.call([*command, name])
        return path.read_text(encoding="utf-8", errors="replace").rstrip("\n") if code == 0 else None
    except OSError:
        return None
    finally:
        path.unlink(missing_ok=True)
