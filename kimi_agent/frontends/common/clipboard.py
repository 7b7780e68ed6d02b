"""The clipboard inside of tmux, which by default passes over what programs write to its terminal (OSC 52)."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress

PATIENCE_S = 1.0


def tell_tmux(text: str, env: Mapping[str, str] = os.environ) -> bool:
    """Make `text` tmux's newest buffer and, where its terminal can, the clipboard; False outside of tmux."""
    program = shutil.which("tmux")
    if not env.get("TMUX") or program is None:
        return False
    with suppress(OSError, subprocess.SubprocessError):
        given = text.encode("utf-8", "replace")
        done = subprocess.run(
            [program, "load-buffer", "-w", "-"], input=given, env=dict(env), timeout=PATIENCE_S, capture_output=True
        )
        return done.returncode == 0
    return False
