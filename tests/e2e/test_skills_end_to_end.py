"""Skills through the real program: headless, and in a shell on a terminal."""

from pathlib import Path
from typing import Any

import pytest
from fake_api import FakeAPI
from kimi_program import Program, Terminal


def answer(body: Any) -> list[dict[str, Any]]:
    """Says which instructions came with the prompt, and whether the skill was listed."""
    told = str(body["messages"])
    heard = "src" if "Look at src hard." in told else "nothing"
    listed = "- review: reviews code" in str(body["messages"][0])
    return [{"text": f"heard={heard} listed={listed}"}, {"tokens": {"input": 100, "output": 10}}]


@pytest.fixture
def kimi(tmp_path: Path) -> Program:
    program = Program(tmp_path)
    skill = program.work / ".claude" / "skills" / "review" / "SKILL.md"
    skill.parent.mkdir(parents=True)
    skill.write_text("---\nname: review\ndescription: reviews code\n---\nLook at $1 hard.\n")
    return program


def test_a_skill_is_called_by_name_in_a_script(kimi: Program) -> None:
    (kimi.work / ".claude" / "skills" / "bad.md").write_text("---\n")
    with FakeAPI(answer, strict=True) as api:
        kimi.use(api.url)
        done = kimi.run("--trust", "-p", "/review src")
        elsewhere = kimi.run("--trust", "--skills-dir", str(kimi.home), "-p", "/review src")
    assert done.stdout == "heard=src listed=True\n", done.stderr
    assert "bad.md is left out" in done.stderr
    assert (elsewhere.returncode, elsewhere.stdout) == (2, "")
    assert "no command /review" in elsewhere.stderr


def test_a_skill_is_called_by_name_in_a_shell(kimi: Program) -> None:
    with FakeAPI(answer, strict=True) as api:
        kimi.use(api.url)
        terminal = Terminal(kimi, "--trust", "--line", NO_COLOR="1")
        terminal.expect("/help")
        terminal.type("/skill:nope\n")
        terminal.expect("no command /skill:nope")
        terminal.type("/skill:review src\n")
        terminal.expect("heard=src")
        terminal.type("/exit\n")
        assert terminal.wait() == 0
