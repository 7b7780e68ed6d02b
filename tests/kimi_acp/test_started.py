"""`kimi acp` as editors start it, and as they leave it: it works with whatever they give it, and leaves nothing behind."""

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from acp_editor import Editor, call, text
from kimi_program import Program
from processes import working_in


@pytest.fixture
def kimi(tmp_path: Path) -> Program:
    return Program(tmp_path)


def shell(script: str, *given: str) -> list[str]:
    """Runs a command by a line of shell, in which it is "$@" behind what is given."""
    return ["sh", "-c", script, "sh", *given]


def full_pipe(path: Path) -> int:
    """A named pipe that takes no more, and that nobody reads; its descriptor."""
    os.mkfifo(path)
    pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while os.write(pipe, b"x" * 4096):
            pass
    return pipe


def minimal(kimi: Program) -> list[str]:
    """What a desktop gives to what it starts: no HOME, a short PATH, no language."""
    return ["env", "-i", f"KIMI_HOME={kimi.home}", "PATH=/usr/bin:/bin", *shell('cd / && exec "$@"')]


@pytest.mark.parametrize(
    "around",
    [
        minimal,
        pytest.param(lambda kimi: shell('exec "$@" 2>&-'), marks=pytest.mark.nightly),
        pytest.param(
            lambda kimi: shell('mkdir gone && cd gone && rmdir ../gone && exec "$@"'), marks=pytest.mark.nightly
        ),
        lambda kimi: shell('pipe=$1; shift; exec "$@" --debug 2>"$pipe"', str(kimi.folder / "pipe")),
    ],
    ids=["from a desktop", "standard error closed", "its folder deleted", "standard error full"],
)
def test_it_works_however_it_is_started(kimi: Program, around: Callable[[Program], list[str]]) -> None:
    pipe = full_pipe(kimi.folder / "pipe")
    editor = Editor(kimi, "--yolo", capabilities={}, around=around(kimi))
    session = editor.new(call("Shell", command="pwd"), text("Done."))
    assert editor.prompt(session) == {"stopReason": "end_turn"}
    assert editor.card(session)["rawOutput"]["output"].strip() == str(kimi.work)
    assert editor.close() == 0
    os.close(pipe)
    assert editor.stderr == ""


@pytest.mark.parametrize(
    ("leave", "code"),
    [
        (lambda editor: editor.process.stdin.close(), 0),
        (lambda editor: editor.process.send_signal(signal.SIGINT), 128 + signal.SIGINT),
        (lambda editor: editor.process.kill(), -signal.SIGKILL),
    ],
    ids=["end of the input", "SIGINT", "SIGKILL"],
)
def test_whatever_ends_it_in_mid_turn_nothing_is_left(
    kimi: Program, leave: Callable[[Editor], None], code: int
) -> None:
    stubborn = {"name": "stubborn", "command": "sh", "args": ["-c", "trap '' TERM HUP INT; sleep 300"], "env": []}
    editor = Editor(kimi, "--yolo", capabilities={})
    session = editor.new(call("Shell", command="touch begun; sleep 300"), text("Never."), mcpServers=[stubborn])
    editor.begin_prompt(session)
    editor.until((kimi.work / "begun").exists)
    leave(editor)
    assert editor.process.wait(30) == code
    editor.until(lambda: not working_in(kimi.work))
    assert editor.stderr == ""


def test_a_client_that_reads_no_more_has_gone(kimi: Program) -> None:
    """Its standard input is still open: nobody could allow a call, or stop it."""
    editor = Editor(kimi, "--yolo", capabilities={}, around=shell('"$@" | sed -u /in_progress/q'))
    session = editor.new(call("Shell", command="while sleep 0.05; do echo line; done"), text("Never."))
    editor.begin_prompt(session)
    assert editor.process.wait(30) == 0
    editor.until(lambda: not working_in(kimi.work))
    assert any(update.get("status") == "in_progress" for update in editor.updates(session))
