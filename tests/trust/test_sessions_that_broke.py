"""Sessions that were killed at any of their writes, or whose files hold what no session would write (T30, T34, T46, T48)."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
import syscalls
from fake_api import FakeAPI
from kimi_program import Program
from machine import FakeTool, House, ListProvider, Params, call, calls, play, say

from kimi_agent import Agent
from kimi_agent.agent.history import is_well_formed
from kimi_agent.agent.store import encode_line, read_events
from kimi_agent.core import event as ev
from kimi_agent.core.message import Message, Text, Think, ToolCall, tool_message, user_message
from kimi_agent.core.provider import Request
from kimi_agent.core.tool import ToolContext

CALLS = 3
GOLDEN = sorted((Path(__file__).parent / "sessions").glob("*.jsonl"))


def house(folder: Path, said: list[str]) -> House:
    """A model that appends numbers to a ledger, one per call, and goes by its history; `said` collects what it was told."""

    async def append(params: Params, ctx: ToolContext) -> str:
        with (folder / "ledger").open("a") as ledger:
            ledger.write(f"{params.text}\n")
        return f"appended {params.text}"

    def reply(request: Request) -> Sequence[object]:
        assert is_well_formed(request.messages)
        said[:] = [
            message.text or message.result.content[0].text
            for message in request.messages
            if message.role != "assistant"
        ]
        done = sum(message.role == "tool" for message in request.messages)
        if done == CALLS:
            return say("done")
        return calls(call("Append", json.dumps({"text": str(done)}), f"c{done}"), text=f"number {done}")

    return House(folder, ListProvider(reply), [FakeTool("Append", "write", append)])


@pytest.mark.skipif(not syscalls.can_trace(), reason="needs ptrace on x86_64 Linux")
def test_a_session_killed_at_any_of_its_writes_goes_on_and_does_nothing_twice(tmp_path: Path) -> None:
    writes = frozenset(["write"])
    folder = tmp_path

    def before() -> None:
        nonlocal folder
        folder = Path(tempfile.mkdtemp(dir=tmp_path))

    def work() -> None:
        asyncio.run(play(house(folder, []).open(), "the words of the person"))

    for number in syscalls.everywhere(work, before, only=writes):
        outcome = syscalls.run(work, at=number, only=writes)
        assert outcome.code == -9
        said: list[str] = []
        again = house(folder, said)
        found = again.store.list()

        async def go_on(again: House = again, found: Sequence[object] = found) -> str:
            session = again.open(found[0].id) if found else again.open()  # type: ignore[attr-defined]
            ended = await play(session, "go on")
            await again.agent.aclose()
            return ended[-1].stop  # type: ignore[union-attr]

        assert asyncio.run(go_on()) == "done", number
        assert said[0] == "the words of the person" or number < 2, "not even its first line was written"
        assert sum("outcome is unknown" in text or "before it ran" in text for text in said) <= 1, said
        ledger = (folder / "ledger").read_text().split()
        assert len(set(ledger)) == len(ledger) >= CALLS - 1, number


def assistant(*parts: Text | Think | ToolCall) -> ev.MessageAdded:
    return ev.MessageAdded(Message("assistant", parts, "model"))


def user(words: str = "go") -> ev.MessageAdded:
    return ev.MessageAdded(user_message(words))


def result(call_id: str, words: str = "ok") -> ev.MessageAdded:
    return ev.MessageAdded(tool_message(call_id, words))


A, B = ToolCall("a", "Shell", '{"command": "ls"}'), ToolCall("b", "Shell", '{"command": "pwd"}')
BROKEN: dict[str, list[ev.Event]] = {
    "a call without a result": [user(), assistant(A)],
    "the second of two without a result": [user(), assistant(A, B), result("a")],
    "a result without a call": [user(), result("a"), assistant(Text("hm"))],
    "a result before its call": [user(), result("a"), assistant(A)],
    "two results of one call": [user(), assistant(A), result("a"), result("a", "again")],
    "a result behind another message": [user(), assistant(A), user("what?"), result("a")],
    "one id twice in a reply": [user(), assistant(A, A), result("a")],
    "one id in two replies": [user(), assistant(A), result("a"), assistant(A), result("a")],
    "calls on calls": [user(), assistant(A), assistant(B), result("b")],
    "nothing but a reply": [assistant(Text("hello"))],
    "nothing but results": [result("a"), result("b")],
    "empty replies": [user(), assistant(), assistant(Text("")), assistant(Think("hm"))],
    "arguments of no sense": [user(), assistant(ToolCall("a", "Shell", '{"command": '), ToolCall("b", "", "[]"))],
    "a name of no tool": [user(), assistant(ToolCall("a", "__proto__\x1b[31m", "{}")), result("a")],
    "an empty id": [user(), assistant(ToolCall("", "Shell", "{}")), result("")],
    "undone more than there is": [user(), assistant(Text("hi")), ev.Rewound(99)],
    "a summary between a call and its result": [
        user(), assistant(A), ev.Compacted(100, 10, (user_message("summary"),)), result("a"),
    ],
    "a summary that ends in a call": [user(), ev.Compacted(100, 10, (user_message("x"), Message("assistant", (A,), "model")))],
    "pruned calls that there are not": [user(), ev.Compacted(100, 10, kind="prune", pruned=("z",))],
}  # fmt: skip


async def test_whatever_a_session_holds_its_request_is_valid(tmp_path: Path) -> None:
    """Moonshot's own rules judge the requests (see moonshot_rules.py)."""
    sessions = tmp_path / "sessions"
    sessions.mkdir()
    config = '[providers.p]\ntype = "kimi"\nbase_url = "URL"\napi_key = "k"\n[models.m]\nprovider = "p"\nmodel = "fake-model"'
    wrong = {}
    with FakeAPI(lambda body: [{"text": "fine"}], strict=True) as api:
        for number, (name, events) in enumerate(BROKEN.items()):
            started = ev.SessionStarted(f"s{number}", str(tmp_path), 1.0, "0", "m", system_prompt="be good")
            lines = map(encode_line, [started, ev.TurnStarted(1), *events])
            (sessions / f"s{number}.jsonl").write_bytes(b"".join(lines))
            options = {"config": config.replace("URL", api.url), "home": tmp_path, "load_plugins": False}
            async with Agent(tmp_path, session=f"s{number}", **options) as agent:
                end = [event async for event in agent.prompt("go on") if isinstance(event, ev.TurnEnded)][-1]
                if end.stop != "done":
                    wrong[name] = end.error
    assert not wrong


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_sessions_of_every_version_go_on_and_are_never_removed(tmp_path: Path, file: Path) -> None:
    kimi = Program(tmp_path)
    kept = kimi.home / "sessions" / file.name
    kept.parent.mkdir(parents=True)
    kept.write_bytes(file.read_bytes())
    os.utime(kept, (1e9, 1e9))  # nobody has looked at it for decades
    other = kept.with_name("19990101-000000-abcdef.jsonl")
    other.write_bytes(file.read_bytes().replace(file.stem.encode(), other.stem.encode()))
    os.utime(other, (1e9, 1e9))
    events, damaged = read_events(kept)
    assert damaged == 0
    assert len(events) == len(kept.read_bytes().splitlines())
    done = kimi.run("-r", file.stem, "-p", "go on", "--provider", kimi.scenario([{"text": "It goes on."}]))
    assert (done.returncode, done.stdout) == (0, "It goes on.\n"), done.stderr
    assert "damaged" not in done.stderr
    assert kept.read_bytes().startswith(file.read_bytes())
    assert other.exists()


def test_the_second_kimi_on_a_session_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    scenario = kimi.scenario([{"text": "One."}], [{"text": "Two."}])
    arguments = ["--provider", scenario, "-p", "--input-format", "stream-json", "--output-format", "stream-json"]
    command = [sys.executable, "-m", "kimi_agent", *arguments]
    with subprocess.Popen(
        command, cwd=kimi.work, env=kimi.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdin is not None
        assert first.stdout is not None
        first.stdin.write('{"type": "user", "text": "one"}\n')
        first.stdin.flush()
        while "turn_ended" not in first.stdout.readline():
            pass
        (log,) = (kimi.home / "sessions").glob("*.jsonl")
        second = kimi.run("-r", log.stem, "-p", "me too", "--provider", scenario)
        assert second.returncode != 0
        assert "is open in another kimi" in second.stderr
        assert "fork it" in second.stderr
        first.stdin.write('{"type": "user", "text": "two"}\n')
        first.stdin.close()
        assert "Two." in first.stdout.read()
    assert read_events(log)[1] == 0
