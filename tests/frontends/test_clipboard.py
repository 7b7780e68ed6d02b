"""The clipboard inside of a real tmux."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from kimi_agent.frontends.common.clipboard import tell_tmux


@pytest.mark.skipif(shutil.which("tmux") is None, reason="there is no tmux here")
def test_tmux_gets_the_text(tmp_path: Path):
    tmux = ["tmux", "-S", str(tmp_path / "socket"), "-f", "/dev/null"]
    subprocess.run([*tmux, "new-session", "-d", "sleep 60"], check=True, timeout=20)
    try:
        text = "first line\nzweite Zeile: ü 中\n"
        assert tell_tmux(text, {**os.environ, "TMUX": f"{tmp_path / 'socket'},1,0"})
        shown = subprocess.run([*tmux, "show-buffer"], capture_output=True, check=True, timeout=20)
        assert shown.stdout.decode() == text
    finally:
        subprocess.run([*tmux, "kill-server"], timeout=20)


def test_without_tmux_nothing_happens(tmp_path: Path):
    assert not tell_tmux("text", {"PATH": os.environ["PATH"]})
    assert not tell_tmux("text", {**os.environ, "TMUX": f"{tmp_path / 'gone'},1,0"})
