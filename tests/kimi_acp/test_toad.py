"""Toad, a terminal program for agents: an edit is reviewed and allowed as a person does it."""

import sys
from pathlib import Path

from acp_editor import call, text
from kimi_program import Program
from later_python import environment, later_python
from pty_screen import PtyScreen

TOAD = "batrachian-toad==0.6.20"
CHILD = Path(__file__).parents[1] / "toad_child.py"


def test_an_edit_is_reviewed_and_allowed(tmp_path: Path) -> None:
    python = environment(later_python("3.14", "3.13"), TOAD)
    kimi = Program(tmp_path)
    scenario = kimi.scenario([call("WriteFile", path="b.txt", content="a new line\n")], [text("It is **written**.")])
    agent = f"{sys.executable} -m kimi_agent acp --provider {scenario}"
    folders = {f"XDG_{kind}_HOME": str(tmp_path / kind) for kind in ("DATA", "CONFIG", "STATE", "CACHE")}
    env = kimi.environment(**folders, COLORTERM="truecolor")
    command = [str(python), str(CHILD), "acp", agent, str(kimi.work)]
    with PtyScreen(command, env=env, cwd=kimi.work, columns=160, lines=40) as toad:
        toad.wait_for("How can I help", timeout=60)
        toad.wait_for("Default")  # the mode of the session
        toad.type("Write b.")
        toad.wait_for("Write b.")
        toad.type("\r")
        toad.wait_for("Allow once")
        toad.wait_until(lambda: "a new line" in toad.visible)  # the diff
        assert not (kimi.work / "b.txt").exists()
        toad.type("a")
        toad.wait_until(lambda: "It is written." in toad.visible)
    assert (kimi.work / "b.txt").read_text() == "a new line\n"
