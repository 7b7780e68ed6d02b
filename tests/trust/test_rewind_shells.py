"""Going back in real terminals: the full screen, line mode, line mode in words; and what tells of it."""

import json
import shutil
from pathlib import Path

import pytest
from kimi_program import Program, Terminal
from rewind_house import AnsweringShell, RewindHouse, sh
from tui_terminal import FullScreen

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def wrecking(kimi: Program) -> str:
    """A model that is told "tidy up", and deletes."""
    (kimi.work / "thesis.txt").write_text("ten years\n")
    command = "rm thesis.txt; echo gone > note.txt"
    return kimi.scenario([{"call": {"name": "Shell", "arguments": {"command": command}}}], [{"text": "All is tidy."}])


def test_esc_esc_in_the_full_screen_brings_files_back_and_redo_takes_them(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    with FullScreen(kimi, "--yolo", "--provider", wrecking(kimi)) as screen:
        screen.expect("❯")
        screen.type("tidy up\r")
        screen.expect("All is tidy.")
        assert not (kimi.work / "thesis.txt").exists()
        screen.type("\x1b")
        screen.expect("Esc again goes back")
        screen.type("\x1b")
        screen.expect("Go back to before which message?")
        screen.expect("2 files")
        screen.type("\r")
        screen.expect("Conversation and files")
        screen.type("\r")
        screen.expect("2 files are as they were before")
        screen.until(lambda: "❯ tidy up" in screen.visible)
        assert (kimi.work / "thesis.txt").read_text() == "ten years\n"
        assert not (kimi.work / "note.txt").exists()
        assert "All is tidy." not in screen.visible
        screen.type("\x15/redo\r")
        screen.expect("The conversation is back.")
        screen.until(lambda: "All is tidy." in screen.visible)
        assert not (kimi.work / "thesis.txt").exists()
        screen.type("\x04\x04")
        assert screen.wait_end() == 0


def is_over(kimi: Program) -> bool:
    """Whether the turn has ended: /undo waits for that."""
    return any(b'"turn_ended"' in log.read_bytes() for log in kimi.home.rglob("*.jsonl"))


def test_the_full_screen_shows_the_three_ways_and_the_question_side_by_side(tmp_path: Path) -> None:
    """Nothing that the answer depends on lies behind the question."""
    kimi = Program(tmp_path)
    long = "x" * 60
    call = {"call": {"name": "Shell", "arguments": {"command": f"rm -f thesis.txt; echo {long} > note.txt"}}}
    with FullScreen(kimi, "--yolo", "--provider", kimi.scenario([call], [{"text": "Written."}])) as screen:
        screen.expect("❯")
        screen.type("write\r")
        screen.expect("Written.")
        screen.until(lambda: "Answering" not in screen.visible and is_over(kimi))
        (kimi.work / "note.txt").write_text("mine\n")
        screen.type("/undo files\r")
        screen.until(lambda: "Keep it as it is now" in screen.visible)
        assert f"+{long}" in screen.visible
        screen.type("\x1b")
        screen.until(lambda: "Keep it as it is now" not in screen.visible)
        assert (kimi.work / "note.txt").read_text() == "mine\n", "closed, all stays as it is"
        screen.type("\x04\x04")
        assert screen.wait_end() == 0


@pytest.mark.parametrize("flags", [["--line"], ["--screen-reader"]], ids=["line", "spoken"])
def test_line_mode_asks_about_what_the_person_changed_since(tmp_path: Path, flags: list[str]) -> None:
    kimi = Program(tmp_path)
    scenario = wrecking(kimi)
    assert kimi.run("--yolo", "--provider", scenario, "-p", "tidy up").returncode == 0
    screen = Terminal(kimi, *flags, "-C", "--provider", scenario)
    screen.expect("scripted |" if flags == ["--line"] else "You: ")
    (kimi.work / "note.txt").write_text("mine\n")
    screen.type("/rewind\r")
    screen.expect("2 files")
    screen.type("1\r")
    screen.expect("Conversation and files")
    screen.expect("Which?")
    screen.type("1\r")
    asked = screen.expect("What now?")
    assert "before kimi: not there" in asked
    assert "mine" in asked
    screen.expect("Keep it as it is now")
    screen.expect("Which?")
    screen.type("1\r")
    screen.expect("1 file is as it was before.")
    assert {path.name: path.read_text() for path in kimi.work.iterdir()} == {
        "thesis.txt": "ten years\n",
        "note.txt": "mine\n",
    }
    screen.type("\x15\x04")
    assert screen.wait() == 0


async def test_status_and_doctor_tell_what_is_saved(tmp_path: Path) -> None:
    house = RewindHouse(tmp_path)
    (house.work / "node_modules").mkdir()
    session = house.open()
    await house.turn(session, [sh("echo 1 > a")])
    said = await AnsweringShell(house, session).do("/status")
    assert "saved for /undo: all files of the folder" in said
    assert "not node_modules/" in said
    await session.aclose()
    done = Program(tmp_path).run("doctor", "--offline", "--json")
    (finding,) = [each for each in json.loads(done.stdout) if each["check"] == "undo"]
    assert finding["level"] == "ok"
    assert "MB of 1 folder in" in finding["text"]


def test_a_run_without_a_screen_tells_what_changed_and_leaves_it_to_be_undone(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    scenario = wrecking(kimi)
    done = kimi.run("--yolo", "--provider", scenario, "-p", "tidy up", "--output-format", "stream-json")
    (event,) = [json.loads(line) for line in done.stdout.splitlines() if '"files_changed"' in line]
    assert (event["by"], event["files"]) == ("calls", 2)
    screen = Terminal(kimi, "--line", "-C", "--provider", scenario)
    screen.expect("scripted |")
    screen.type("/undo files\r")
    screen.expect("2 files are as they were before.")
    assert (kimi.work / "thesis.txt").read_text() == "ten years\n"
    screen.type("\x04")
    assert screen.wait() == 0
