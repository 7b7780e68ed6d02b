"""kill -9 at random points of a turn, and resume: the history stays well formed, and nothing runs a second time."""

import json
import random
import time
from pathlib import Path

import pytest
from bugfix import program, well_formed
from fake_api import FakeAPI

CALLS = 12


def reply(body):
    """A model that appends numbered lines to a file, each exactly once, and is told what it did by the history."""
    done = sum(m["role"] == "tool" for m in body["messages"])
    if done >= CALLS:
        return [{"text": "done"}]
    return [
        {"text": f"line {done}"}, {"delay": 0.01},
        {"call": {"name": "Shell", "arguments": {"command": f"echo {done} >> log.txt; sleep 0.02"}, "id": f"Shell:{done}"}},
    ]  # fmt: skip


@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(4, 50))])
def test_killed_and_resumed(tmp_path: Path, seed: int):
    chance = random.Random(seed)
    with FakeAPI(reply, strict=True) as api:
        kimi = program(tmp_path, api.url)
        arguments = ["--yolo", "--output-format", "json", "-p", "go on"]
        for _ in range(4):
            extra = ["-C"] if list((kimi.home / "sessions").glob("*.jsonl")) else []
            before = len(api.requests)
            child = kimi.start(*arguments, *extra)
            wanted = before + chance.randint(1, 4)
            while len(api.requests) < wanted and child.poll() is None:
                time.sleep(0.005)
            time.sleep(chance.random() * 0.06)  # a random point of the step
            child.kill()
            child.wait()
        done = kimi.run(*arguments, "-C")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["result"] == "done"
        assert well_formed([r.json for r in api.requests])
    lines = (kimi.work / "log.txt").read_text().split()
    assert len(lines) == len(set(lines)), f"ran twice: {lines}"
