"""`kimi -p` mends a real bug over real HTTP, also when the provider misbehaves."""

import json
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from bugfix import ANSWER, TASK, is_mended, program, steps, well_formed
from fake_api import FakeAPI

# What goes wrong, and what is told of the retry.
FAULTS = {
    "limits the rate: slow down": [
        {"error": {"status": 429, "message": "slow down", "type": "rate_limit_reached_error", "retry_after": 0.01}}
    ],
    "failed: bad gateway": [{"error": {"status": 502, "message": "bad gateway"}}],
    "was lost: peer closed connection": [{"text": "I wi"}, {"drop": True}],
    "was lost: peer closed": [{"call": {"name": "Shell", "arguments": '{"command": "touch tw'}}, {"drop": True}],
    "broke off before its end": [{"text": "I"}, {"end": True}],
    "not JSON": [{"garbage": "{no json"}],
    "stalled": [{"text": "hm"}, {"stall": 30}],
}


def test_print_mode_mends_the_bug(tmp_path: Path):
    with FakeAPI(steps(), strict=True) as api:
        kimi = program(tmp_path, api.url)
        done = kimi.run("-p", TASK, "--yolo", "--output-format", "json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["result"] == ANSWER
    assert result["stop"] == "done"
    assert result["steps"] == 6
    assert result["usage"]["cached"] >= 1000
    assert result["cost"] > 0
    assert is_mended(kimi.work)
    assert well_formed([r.json for r in api.requests])


def test_text_output_is_only_the_answer(tmp_path: Path):
    with FakeAPI(steps(), strict=True) as api:
        done = program(tmp_path, api.url).run("-p", TASK, "--yolo")
    assert done.stdout.strip().endswith(ANSWER)
    assert "ReadFile" not in done.stdout


@pytest.mark.parametrize("first", [0, 3])
def test_provider_faults_do_not_cost_the_task(tmp_path: Path, first: int):
    """All of them in one turn, each before a step of the work, from this step on and around."""
    played: list[tuple[str, Any]] = []
    for number, step in enumerate(steps()):
        here = [fault for place, fault in enumerate(FAULTS, first) if place % len(steps()) == number]
        played += [*((fault, FAULTS[fault]) for fault in here), ("", step)]
    with FakeAPI([reply for _, reply in played], strict=True) as api:
        kimi = program(tmp_path, api.url)
        done = kimi.run("-p", TASK, "--yolo", "--output-format", "stream-json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    told = [event["error"] for event in events if event["type"] == "retrying"]
    for fault, error in zip_longest(filter(None, (fault for fault, _ in played)), told, fillvalue="nothing"):
        assert fault in error, f"{fault!r} came out as {error!r}; {done.stderr}{done.stdout[-2000:]}"
    assert done.returncode == 0, done.stderr + done.stdout[-2000:]
    assert is_mended(kimi.work)
    assert not (kimi.work / "tw").exists()
    assert well_formed([r.json for r in api.requests])


def test_without_yolo_nothing_is_changed_and_the_exit_code_says_why(tmp_path: Path):
    replies = [steps()[1][1:], [steps()[3][2]], [{"expect": "Not allowed"}, {"text": "I may not edit."}]]
    with FakeAPI(replies, strict=True) as api:
        kimi = program(tmp_path, api.url)
        done = kimi.run("-p", TASK)
    assert done.returncode == 3, done.stderr
    assert "discount / 10)" in (kimi.work / "shop.py").read_text()


def test_a_chaotic_provider_never_breaks_a_history(tmp_path: Path):
    """Seeded drops, stalls, garbage and errors around a model that works on for 30 steps."""

    def reply(body):
        done = sum(m["role"] == "tool" for m in body["messages"])
        if done >= 30:
            return [{"text": "done"}]
        return [{"call": {"name": "Shell", "arguments": {"command": f"echo {done}"}}}]

    with FakeAPI(reply, strict=True) as api:
        kimi = program(tmp_path, api.url)
        done = kimi.run(
            "--provider", "chaos:7", "-p", "go", "--yolo", "--output-format", "json", "--max-retries-per-step", "30"
        )
    result = json.loads(done.stdout)
    assert result["stop"] == "done", done.stderr
    assert well_formed([r.json for r in api.requests])
