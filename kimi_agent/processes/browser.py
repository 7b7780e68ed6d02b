"""A page in the person's browser, opened without a shell."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping


def has_screen(env: Mapping[str, str]) -> bool:
    """Whether a browser would appear before the person: not at the other end of SSH. A text browser would take the terminal."""
    if env.get("SSH_CONNECTION") or env.get("SSH_TTY"):
        return False
    return sys.platform == "darwin" or bool(env.get("DISPLAY") or env.get("WAYLAND_DISPLAY"))


def open_page(url: str) -> bool:
    """Whether a program was started for it. Pages of the web alone: what begins otherwise could be an option, or a file."""
    program = shutil.which("open" if sys.platform == "darwin" else "xdg-open")
    if program is None or not url.startswith(("https://", "http://")):
        return False
    try:
        subprocess.Popen(
            [program, url],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd=os.path.expanduser("~"),  # noqa: PTH111 - the browser is not to run in a stranger's folder
        )
    except OSError:
        return False
    return True
