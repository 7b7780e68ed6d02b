"""Homes and disks that cannot be written: kimi starts, says what it cannot keep, and does its work (T32, T33)."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from kimi_program import Program
from pty_screen import PtyScreen

WORK = {"call": {"name": "Shell", "arguments": {"command": "seq 20000; cd sub; echo x > made"}}}
READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
SMALL = 'mount -t tmpfs -o size=16k none "$0" && head -c 8000 /dev/zero >"$0/fill" && "$@"; cat "$0"/sessions/*.jsonl'


def can_mount() -> bool:
    probe = [shutil.which("unshare") or "false", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(probe, capture_output=True).returncode == 0


needs_mounts = pytest.mark.skipif(sys.platform != "linux" or not can_mount(), reason="needs a private mount")


@pytest.fixture
def kimi(tmp_path: Path) -> Program:
    program = Program(tmp_path)
    program.home.mkdir()
    (program.work / "sub").mkdir()
    return program


def command(kimi: Program, *arguments: str) -> list[str]:
    scenario = kimi.scenario([WORK], [{"text": "Done."}], [{"expect": "Goodbye"}, {"text": "Again."}])
    return [sys.executable, "-m", "kimi_agent", "--yolo", "--provider", scenario, *arguments]


@needs_mounts
def test_a_read_only_home(kimi: Program) -> None:
    argv = ["unshare", "-rm", "sh", "-c", READ_ONLY, str(kimi.home), *command(kimi, "--line")]
    with PtyScreen(argv, env=kimi.environment(), cwd=kimi.work, columns=200) as screen:
        ready = lambda: screen.visible.endswith("\n>")  # noqa: E731
        screen.wait_until(ready)
        screen.type("Hello\r")
        screen.wait_until(lambda: "Done." in screen.text and ready())
        screen.type("Goodbye\r")
        screen.wait_until(lambda: "Again." in screen.text and ready())
        screen.type("/exit\r")
        assert screen.wait_end() == 0
        assert screen.text.count("It goes on in memory alone") == 1
        assert "could not be saved" in screen.text
        assert "kimi -r" not in screen.text
    assert (kimi.work / "sub" / "made").exists()
    assert list(kimi.home.iterdir()) == []


@needs_mounts
def test_a_disk_that_fills_up_in_the_middle(kimi: Program) -> None:
    """The turn ends before anything is done that nobody would remember; whoever goes on then goes on unsaved."""
    arguments = ("-p", "--input-format", "stream-json", "--output-format", "stream-json")
    argv = ["unshare", "-rm", "sh", "-c", SMALL, str(kimi.home), *command(kimi, *arguments)]
    lines = "".join(json.dumps({"type": "user", "text": text}) + "\n" for text in ("Hello", "Go on", "Goodbye"))
    done = subprocess.run(
        argv, input=lines, capture_output=True, text=True, cwd=kimi.work, env=kimi.environment(), timeout=60
    )
    told, kept = done.stdout.split('{"type":"result"', 1)
    ends = [json.loads(line) for line in told.splitlines() if '"turn_ended"' in line]
    assert [end["stop"] for end in ends] == ["error", "done", "done"], done.stdout
    assert "No space left on device" in ends[0]["error"]
    assert "make room on the disk" in ends[0]["error"]
    results = [line for line in told.splitlines() if '"tool_result"' in line]
    assert "20000" in results[0], "what has happened is known"
    log = kept.splitlines()[1:]
    assert log
    assert all(json.loads(line)["crc"] for line in log), "no line is torn"


@pytest.mark.parametrize(
    ("env", "code", "said"),
    [
        pytest.param({"TMPDIR": "/nonexistent", "XDG_RUNTIME_DIR": "/nonexistent"}, 0, "", id="no temporary folder"),
        pytest.param({"HOME": "missing", "KIMI_HOME": ""}, 0, "", id="a home that is not there"),
        pytest.param({"KIMI_HOME": "/dev/null/x"}, 2, "Not a directory", id="a home that is no folder"),
    ],
)
def test_odd_homes(kimi: Program, env: dict[str, str], code: int, said: str) -> None:
    done = subprocess.run(
        command(kimi, "-p", "Hello"),
        capture_output=True,
        text=True,
        cwd=kimi.work,
        stdin=subprocess.DEVNULL,
        env=kimi.environment(**env),
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (code, "" if code else "Done.\n"), done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("place", ["its home", "/"])
def test_a_home_is_not_read_where_commands_write_nothing(kimi: Program, place: str) -> None:
    """A person's whole home, keys and all, is no project: only what edits name is saved."""
    (kimi.folder / "mine").write_text("mine\n")
    write = {"call": {"name": "WriteFile", "arguments": {"path": str(kimi.work / "new"), "content": "x"}}}
    scenario = kimi.scenario(
        [{"call": {"name": "Shell", "arguments": {"command": "make"}}}], [write], [{"text": "Done."}]
    )
    argv = [sys.executable, "-m", "kimi_agent", "--provider", scenario, "--yolo", "-p", "Hello"]
    cwd = kimi.folder if place == "its home" else Path(place)
    done = subprocess.run(argv, capture_output=True, text=True, cwd=cwd, env=kimi.environment(), timeout=60)
    assert done.returncode == 0, done.stderr
    assert f"{cwd} holds more than a project" in done.stderr
    assert "Install git" not in done.stderr
    assert not list(kimi.home.rglob("index")), "no list of all files"
