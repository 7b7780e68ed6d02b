"""The print front end as a real process: signals, closed pipes, imports."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

CHILD = str(Path(__file__).parent.parent / "print_child.py")


def start(*arguments: str, **options: object) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, CHILD, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONFAULTHANDLER": "1"},
        **options,  # type: ignore[call-overload]
    )


def test_answer_and_no_heavy_imports() -> None:
    out, err = start("text", "says").communicate(timeout=60)
    assert (out, err) == (b"the answer\n", b"")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_the_turn_and_the_result_is_whole(number: signal.Signals, code: int) -> None:
    child = start("stream-json", "hangs")
    assert child.stdout is not None
    while b"text_delta" not in child.stdout.readline():
        pass
    child.send_signal(number)
    out, err = child.communicate(timeout=60)
    result = json.loads(out.splitlines()[-1])
    assert (child.returncode, result["type"], result["stop"]) == (code, "result", "interrupted")
    assert b"Traceback" not in err


def test_nohup_is_respected() -> None:
    ignore = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)  # noqa: E731
    child = start("stream-json", "says", "stream-json", stdin=subprocess.PIPE, preexec_fn=ignore)
    assert child.stdout is not None
    while b"turn_ended" not in child.stdout.readline():
        pass
    child.send_signal(signal.SIGHUP)
    child.communicate(timeout=60)
    assert child.returncode == 0


def test_a_signal_while_it_waits_for_input_ends_it() -> None:
    child = start("stream-json", "says", "stream-json", stdin=subprocess.PIPE)
    assert child.stdout is not None
    while b"turn_ended" not in child.stdout.readline():
        pass
    child.send_signal(signal.SIGTERM)
    out, err = child.communicate(timeout=60)
    assert json.loads(out.splitlines()[-1])["type"] == "result"
    assert (child.returncode, err) == (143, b"")


@pytest.mark.parametrize(("output", "script"), [("text", "long"), ("stream-json", "floods")])
def test_a_reader_that_goes_away_is_no_drama(output: str, script: str) -> None:
    child = start(output, script)
    assert child.stdout is not None
    assert child.stdout.readline()
    child.stdout.close()
    assert child.stderr is not None
    err = child.stderr.read()
    child.wait(timeout=60)
    child.stderr.close()
    assert b"Traceback" not in err
    assert b"BrokenPipe" not in err


def test_a_pipe_that_was_left_non_blocking_loses_nothing() -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    child = subprocess.Popen([sys.executable, CHILD, "text", "long"], stdout=write_end, stderr=subprocess.PIPE)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as out:
        assert len(out.read()) == 200_000 * len("line\n")
    _, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (0, b"")


def test_closed_stdout_from_the_start() -> None:
    child = subprocess.run(
        ["bash", "-c", f'exec "{sys.executable}" "{CHILD}" text long | true; exit "${{PIPESTATUS[0]}}"'],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (child.returncode, child.stderr) == (0, b"")


def test_input_lines_from_a_plain_file(tmp_path: Path) -> None:
    lines = tmp_path / "in.jsonl"
    lines.write_text('{"type":"user","text":"one"}\n{"type":"user","text":"two"}')
    with lines.open("rb") as stdin:
        out, _ = start("stream-json", "says", "stream-json", stdin=stdin).communicate(timeout=60)
    assert json.loads(out.splitlines()[-1])["turns"] == 3
