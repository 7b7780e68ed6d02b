"""Before the first prompt: servers of a project are asked about, and a run without a screen says what is left out."""

import sys
from pathlib import Path
from typing import Any

import pytest
from kimi_program import Program
from mcp_fakes import fake
from mcp_house import write_servers
from pty_screen import PtyScreen
from tui_terminal import FullScreen

ANSWER = {"text": "All is well."}


@pytest.fixture
def kimi(tmp_path: Path) -> Program:
    return Program(tmp_path)


def of_project(kimi: Program, **servers: Any) -> None:
    write_servers(kimi.work / ".mcp.json", servers)


def asked(kimi: Program, *arguments: str) -> tuple[int, list[str]]:
    """Exit code and lines of standard error of a run without a screen."""
    done = kimi.run("-p", "hi", "--provider", kimi.scenario([ANSWER]), *arguments)
    return done.returncode, done.stderr.splitlines()


def test_a_run_without_a_screen_reads_no_file_of_a_project_that_nobody_has_approved(kimi: Program) -> None:
    of_project(kimi, mine=fake("good"), yours=fake("good"))
    code, lines = asked(kimi)
    assert (code, len(lines)) == (0, 1)
    assert lines[0].startswith(f"kimi: {kimi.work / '.mcp.json'} is not read")
    assert kimi.run("mcp", "approve", "mine", "--yes").returncode == 0
    assert asked(kimi) == (
        0, ["kimi: 1 MCP server of this project is left out, nobody has approved it: yours; kimi mcp approve yours"]
    )  # fmt: skip
    assert asked(kimi, "--trust-mcp", "yours") == (0, [])


def test_a_run_without_a_screen_says_what_failed_and_needs_what_is_required(kimi: Program) -> None:
    write_servers(kimi.home / "mcp.json", {"gone": fake("exits_at_once"), "broken": {"command": 5}})
    code, lines = asked(kimi)
    assert code == 0
    assert any("broken" in line and "mcp.json" in line for line in lines)
    write_servers(kimi.home / "mcp.json", {"gone": {"command": "/no/such/program", "required": True}})
    code, lines = asked(kimi)
    assert code == 2
    assert any("the MCP server gone failed" in line for line in lines)
    assert "an MCP server that is required is not there: gone" in lines[-1]
    write_servers(
        kimi.home / "mcp.json", {"here": {"command": fake("good")[0], "args": fake("good")[1:], "required": True}}
    )
    assert asked(kimi) == (0, [])


def test_the_full_screen_asks_and_shows_what_it_is_about(kimi: Program) -> None:
    of_project(kimi, mine=[*fake("good"), "--of-the-project"])
    with FullScreen(kimi, "--provider", kimi.scenario([ANSWER]), "the first prompt") as screen:
        screen.expect("Let the MCP server mine be started?")
        assert '"--of-the-project"' in screen.visible
        assert "All is well." not in screen.visible
        screen.expect("mcp !approve")
        screen.answer("2")
        screen.expect("All is well.")
        screen.expect("mcp 1/1")
        screen.type("/mcp ")
        screen.expect("connect to a server anew")
        screen.type("mi")
        screen.wait_gone("connect to a server anew")
        screen.type("\t\r")
        screen.expect("Says it again.")
    with FullScreen(kimi, "--provider", kimi.scenario([ANSWER])) as screen:
        screen.expect("mcp 1/1")
        assert "be started?" not in screen.text


def test_line_mode_asks_too_and_not_now_is_the_usual_answer(kimi: Program) -> None:
    of_project(kimi, mine=fake("good"), yours=fake("good"))
    argv = [sys.executable, "-m", "kimi_agent", "--line", "--provider", kimi.scenario([ANSWER])]
    with PtyScreen(argv, env=kimi.environment(), cwd=kimi.work) as screen:
        screen.wait_for("3  None of them")
        screen.answer("2\r")
        screen.wait_for("Let the MCP server yours be started?")
        screen.answer("1\r")
        screen.wait_for("mcp !approve")
        screen.answer("/mcp\r")
        screen.wait_until(lambda: "mine    " in screen.text and "needs-approval" in screen.text)
