"""What was queued or being typed when kimi was killed is in the prompt again when the session goes on."""

import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kimi_program import Program
from nightly import all_but
from pty_screen import PtyScreen

from kimi_agent.frontends.common.unsent import Unsent

KIMI = [sys.executable, "-m", "kimi_agent"]


@pytest.mark.parametrize(
    "number", all_but([signal.SIGTERM, signal.SIGKILL], [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
)
@pytest.mark.parametrize("flags", [[], ["--line"]], ids=["full", "line"])
def test_it_is_in_the_prompt_again(tmp_path: Path, flags: list[str], number: int) -> None:
    kimi = Program(tmp_path)
    first = kimi.scenario([{"text": "begun"}, {"stall": 100}])
    with PtyScreen([*KIMI, *flags, "--provider", first, "go"], env=kimi.environment(), cwd=kimi.work) as screen:
        screen.wait_for("begun")
        screen.type("what waits")
        screen.wait_for("what waits")
        screen.type("\r")
        screen.wait_for("queued")
        drafted = "a draft" if number != signal.SIGKILL or not flags else ""  # killed, line mode keeps what waits only
        screen.type(drafted)
        screen.wait_for(drafted)
        (folder,) = (kimi.home / "sessions").glob("*.jsonl")
        file = folder.with_suffix("") / "unsent.json"
        wanted = "a draft" if not flags else "what waits"  # line mode keeps a draft when it is ended
        screen.wait_until(lambda: file.exists() and wanted in file.read_text())
        os.kill(screen.child.pid, number)
        screen.wait_end()
    second = kimi.scenario([{"text": "gone on"}])
    with PtyScreen([*KIMI, *flags, "-C", "--provider", second], env=kimi.environment(), cwd=kimi.work) as screen:
        for text in ("what waits", drafted):
            screen.wait_for(text)
        screen.wait_until(lambda: "what waits" in screen.visible.rpartition("❯" if not flags else ">")[2])
        screen.type("\r")
        screen.wait_for("gone on")
        screen.wait_until(lambda: not file.exists())


@pytest.mark.parametrize("flags", [[], ["--line"], ["--screen-reader"]], ids=["full", "line", "plain"])
def test_the_first_prompt_of_a_session_is_in_the_next_one(tmp_path: Path, flags: list[str]) -> None:
    kimi = Program(tmp_path)
    provider = kimi.scenario([{"text": "gone on"}])
    mark = {(): "❯", ("--line",): "\n>", ("--screen-reader",): "\nYou:"}[tuple(flags)]
    argv = [*KIMI, *flags, "--provider", provider]
    with PtyScreen(argv, env=kimi.environment(), cwd=kimi.work) as screen:
        screen.wait_for(mark)
        screen.type("a long first prompt")
        screen.wait_for("a long first prompt")
        screen.child.terminate()
        screen.wait_end()
    with PtyScreen(argv, env=kimi.environment(), cwd=kimi.work) as screen:
        screen.wait_for("a long first prompt")
    assert not list(kimi.home.glob("sessions/*"))


def test_what_was_typed_when_a_question_came_outlives_it(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    question = {"question": "Which?", "options": [{"label": "one"}, {"label": "two"}]}
    provider = kimi.scenario(
        [{"call": {"name": "Shell", "arguments": {"command": "until [ -e drafted ]; do sleep 0.05; done"}}}],
        [{"call": {"name": "AskUserQuestion", "arguments": {"questions": [question]}}}],
    )
    argv = [*KIMI, "--line", "--yolo", "--provider", provider, "go"]
    with PtyScreen(argv, env=kimi.environment(), cwd=kimi.work) as screen:
        screen.wait_for("drafted ]")
        screen.type("my draft")
        screen.wait_for("my draft")
        (kimi.work / "drafted").touch()
        screen.wait_for("Which?")
        screen.wait_gone("my draft")
        screen.child.terminate()
        screen.wait_end()
    (file,) = kimi.home.glob("sessions/*/unsent.json")
    assert "my draft" in file.read_text()


def test_only_the_draft_of_a_program_that_is_gone_is_taken_over(tmp_path: Path) -> None:
    first = Unsent(tmp_path, "first", tmp_path)
    first.keep(["one"])
    first.keep(["one, still written"])
    assert Unsent(tmp_path, "second", tmp_path).kept() == ""
    first.keep([])
    assert not list(tmp_path.glob("drafts/*/*"))


@given(st.lists(st.text()))
def test_what_is_kept_is_given_back(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    home = tmp_path_factory.mktemp("home")
    (home / "sessions").mkdir()
    (home / "sessions" / "s.jsonl").touch()
    Unsent(home, "s", home).keep([text.replace("\ud800", "") for text in texts])
    kept = [text for text in texts if text.strip()]
    assert Unsent(home, "s", home).kept() == "\n\n".join(kept)
    assert (home / "sessions" / "s" / "unsent.json").exists() == bool(kept)


@pytest.mark.parametrize("damage", [b"", b"{", b'{"a": 1}', b"[1, null]", b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_file_is_nothing(tmp_path: Path, damage: bytes) -> None:
    file = tmp_path / "sessions" / "s" / "unsent.json"
    file.parent.mkdir(parents=True)
    file.write_bytes(damage)
    assert Unsent(tmp_path, "s", tmp_path).kept() == ""


def test_where_nothing_can_be_written_nothing_is_lost_but_the_copy(tmp_path: Path) -> None:
    (tmp_path / "sessions").write_text("a file where a folder should be")
    unsent = Unsent(tmp_path, "s", tmp_path)
    unsent.keep(["text"])
    assert unsent.kept() == ""
