"""Output without end in bounded memory (T35), and a session that goes on for long (T50): memory, descriptors, processes.

Memory is the program's own, as the kernel counts it. The soak takes seconds here and an hour in `make nightly`.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_api import FakeAPI
from kimi_program import Program
from processes import living_with

MB = 1 << 20
LIMIT = 150 * MB
FLOODS = [
    ("head -c 1000000000 /dev/zero; exit 3", "exit code 3"),
    ("head -c 30000000 /dev/urandom; exit 4", "exit code 4"),
    (r"yes $'\e]0;t\a\e[2J\e[31m\x9b5m' | head -c 30000000; exit 5", "exit code 5"),
    ("timeout 0.5 yes", "exit code 124"),
]

LAUNCHER = """
import os, subprocess, sys
child = subprocess.Popen(sys.argv[1:])
sys.stderr.write(f"\\n{os.wait4(child.pid, 0)[2].ru_maxrss}\\n")
"""
"""A small process between: the kernel counts what was there before a program was loaded, and that is all of pytest else."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def shell(command: str) -> dict[str, Any]:
    return {"call": {"name": "Shell", "arguments": {"command": command}}}


def test_floods_stay_in_bounds_and_keep_their_exit_code(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    scenario = kimi.scenario(*[[shell(command)] for command, _ in FLOODS], [{"text": "Done."}])
    arguments = ["--yolo", "-p", "x", "--provider", scenario, "--output-format", "stream-json"]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LAUNCHER, sys.executable, "-m", "kimi_agent", *arguments],
        cwd=kimi.work, env=kimi.environment(), stdin=subprocess.DEVNULL, capture_output=True,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    results = [json.loads(line)["message"]["parts"][0] for line in lines if b'"tool_result"' in line]
    texts = [part["content"][0]["text"] for part in results]
    assert [expected for (_, expected), text in zip(FLOODS, texts, strict=True) if expected not in text] == []
    assert all(len(text) < 100_000 for text in texts)
    assert not [text for text in texts if "\x1b" in text or "\x9b" in text]
    assert int(done.stderr.split()[-1]) * 1024 < LIMIT


class Soak:
    """A program that is given turn after turn, by a server that fails in every third reply."""

    def __init__(self, folder: Path, api: FakeAPI) -> None:
        kimi = Program(folder)
        kimi.use(api.url)
        arguments = ["--yolo", "-p", "--input-format", "stream-json", "--output-format", "stream-json"]
        self.mark = f"HOME={kimi.folder}"
        self.child = subprocess.Popen(
            [sys.executable, "-m", "kimi_agent", *arguments],
            cwd=kimi.work, env=kimi.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def turn(self, number: int) -> str:
        """How it ended."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write(b'{"type": "user", "text": "turn %d"}\n' % number)
        self.child.stdin.flush()
        for line in self.child.stdout:
            if b'"turn_ended"' in line:
                return str(json.loads(line)["stop"])
        raise AssertionError("it ended")

    def measure(self) -> tuple[int, int, int]:
        """Bytes of memory of its own, open descriptors, processes."""
        proc = Path("/proc") / str(self.child.pid)
        status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
        memory = int(status["RssAnon"].split()[0]) * 1024
        return memory, len(list((proc / "fd").iterdir())), len(living_with(self.mark))

    def close(self) -> None:
        assert self.child.stdin is not None
        self.child.stdin.close()
        assert self.child.stdout is not None
        self.child.stdout.read()
        self.child.stdout.close()
        assert self.child.wait(60) == 0


def replies() -> Iterator[list[dict[str, Any]]]:
    """Tools that come and go, and faults of a server that can be retried at once."""
    while True:
        yield [shell("echo $RANDOM; (setsid sleep 0.01 &)"), {"call": {"name": "Glob", "arguments": {"pattern": "*"}}}]
        yield [{"error": {"status": 429, "message": "slow", "retry_after": 0}}]
        yield [{"call": {"name": "WriteFile", "arguments": {"path": "w.txt", "content": "x", "mode": "append"}}}]
        yield [{"text": "x" * 500}]
        yield [shell("seq 500; exit 1"), {"call": {"name": "Nope", "arguments": "{"}}]
        yield [{"text": "y" * 500}]


@pytest.mark.parametrize("turns", [40, pytest.param(4000, marks=[pytest.mark.nightly, pytest.mark.timeout(5400)])])
def test_a_long_session_keeps_its_size(tmp_path: Path, turns: int) -> None:
    """What grows are the session's own records; the history that is sent is compacted."""
    source = replies()

    def reply(body: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"text": "A summary."}] if "summar" in str(body["messages"][-1]) else next(source)

    sizes = []
    with FakeAPI(reply) as api:
        soak = Soak(tmp_path, api)
        for number in range(turns):
            assert soak.turn(number) == "done", number
            if number >= turns // 3:  # caches are full, modules loaded
                sizes.append(soak.measure())
        soak.close()
    memory, descriptors, processes = zip(*sizes, strict=True)
    assert memory[-1] - memory[0] < 8 * MB + 60_000 * len(sizes), memory
    half = len(descriptors) // 2  # git that saves files may still run after a turn; what leaks never closes
    assert min(descriptors[half:]) - min(descriptors[:half]) <= 3, descriptors
    assert max(processes) <= 3, processes
    assert living_with(soak.mark) == []
