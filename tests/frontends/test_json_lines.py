"""The line protocol: what is written decodes to the same events; what comes in is obeyed or answered with an error."""

import asyncio
import io
import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from event_strategies import EVENT_TYPES, EVENTS
from fakes import FakeAgent, FakeSession, Script, says
from hypothesis import given
from machine import FakeTool, House, ListProvider, call, calls, instant, say

from kimi_agent.core import event as ev
from kimi_agent.core.ask import Allow, Choice, Chosen, Deny, Dismissed, Item, Option, Permission
from kimi_agent.core.effect import Effect
from kimi_agent.core.exit import ExitCode
from kimi_agent.core.message import Message, Text, ToolCall
from kimi_agent.frontends.json_lines import LineInput, encode
from kimi_agent.frontends.print import PrintFrontend
from kimi_agent.frontends.stdio import InputLines, Output

DECODER = msgspec.json.Decoder(ev.Event)
PERMISSION = Permission(
    ToolCall("c1", "Shell", '{"command": "make"}'), (Effect("run", "make"),), session_scope="make, this session"
)
CHOICE = Choice((Item("Which?", (Option("a"), Option("b"))), Item("Why?", ())))


@given(EVENTS)
def test_a_line_decodes_to_the_same_event(event: ev.Event) -> None:
    line = encode(event)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert DECODER.decode(line) == event


def test_every_event_has_its_own_type_name() -> None:
    names = {cls.__struct_config__.tag for cls in EVENT_TYPES}
    ours = {"question", "question_closed", "error", "result"}
    assert len(names) == len(EVENT_TYPES)
    assert not names & ours


class Client:
    """A script on the other end: reads records, writes lines."""

    def __init__(self, *scripts: Script, prompt: str = "", agent: Any = None, **options: object) -> None:
        read_end, self._write_end = os.pipe()
        out_read, out_write = os.pipe()
        self._out = InputLines(out_read)
        self.agent = agent or FakeAgent(*scripts)
        frontend = PrintFrontend(
            prompt,
            output="stream-json",
            input="stream-json",
            stdin=read_end,
            stdout=Output(os.fdopen(out_write, "wb")),
            stderr=io.StringIO(),
            **options,
        )
        self.run = asyncio.create_task(frontend.run(self.agent))

    @property
    def session(self) -> FakeSession:
        return next(iter(self.agent.sessions.values()))

    def send(self, line: bytes | dict[str, object]) -> None:
        data = line if isinstance(line, bytes) else json.dumps(line).encode()
        os.write(self._write_end, data + b"\n")

    def end(self) -> None:
        os.close(self._write_end)

    async def until(self, wanted: str) -> dict[str, object]:
        """The next record of this type."""
        return [record async for record in self.records(until=wanted)][-1]

    async def records(self, until: str) -> AsyncIterator[dict[str, object]]:
        """The next records, with the first one of this type as the last."""
        while (line := await self._out.next()) is not None:
            yield (record := json.loads(line))
            if record["type"] == until:
                return
        raise AssertionError(f"no {until}")


def asks(question: Permission | Choice) -> Script:
    async def turn(session: FakeSession, text: str) -> AsyncIterator[ev.Event]:
        yield ev.StepStarted(1, "fake")
        await session.question(question)
        yield ev.MessageAdded(Message("assistant", (Text("asked"),), "model"))

    return turn


async def hangs(session: FakeSession, text: str) -> AsyncIterator[ev.Event]:
    yield ev.StepStarted(1, "fake")
    yield ev.TextDelta("working")
    await asyncio.Event().wait()


async def test_prompts_queue_and_the_result_is_last() -> None:
    client = Client(says("one"), says("two"), says("three"), prompt="first")
    client.send({"type": "user", "text": "second"})
    client.send({"type": "user", "text": "third"})
    client.end()
    assert (await client.until("session_started"))["id"] == "session-1"
    result = await client.until("result")
    assert (result["turns"], result["result"], result["stop"]) == (3, "three", "done")
    assert client.session.prompts == ["first", "second", "third"]
    assert await client.run == 0


async def test_nothing_to_do_is_done() -> None:
    client = Client(says("x"))
    client.end()
    assert (await client.until("result"))["turns"] == 0
    assert await client.run == 0


@pytest.mark.parametrize(
    ("question", "line", "answer"),
    [
        (PERMISSION, {"allow": "once"}, Allow()),
        (PERMISSION, {"allow": "session"}, Allow("session")),
        (PERMISSION, {"allow": "no", "feedback": "use ninja"}, Deny("use ninja")),
        (PERMISSION, {}, Deny()),
        (CHOICE, {"values": [["a"], ["because"]]}, Chosen((("a",), ("because",)))),
        (CHOICE, {}, Dismissed()),
    ],
)
async def test_answers(question: Permission | Choice, line: dict[str, object], answer: object) -> None:
    client = Client(asks(question), prompt="go")
    asked = await client.until("question")
    assert msgspec.convert(asked["question"], Permission | Choice) == question
    client.send({"type": "answer", "id": asked["id"], **line})
    client.end()
    result = await client.until("result")
    assert client.session.answers == [answer]
    assert [item["reason"] for item in result["denied"]] == ([answer.feedback] if isinstance(answer, Deny) else [])  # type: ignore[attr-defined]
    assert await client.run == 0


async def test_the_end_of_the_input_answers_what_is_open() -> None:
    client = Client(asks(PERMISSION), prompt="go")
    asked = await client.until("question")
    client.end()
    assert (await client.until("question_closed"))["id"] == asked["id"]
    assert await client.run == ExitCode.DENIED
    assert isinstance(client.session.answers[0], Deny)


async def test_an_interrupt_withdraws_the_question() -> None:
    client = Client(asks(PERMISSION), says("second"), prompt="go")
    asked = await client.until("question")
    client.send({"type": "interrupt"})
    assert (await client.until("question_closed"))["id"] == asked["id"]
    assert (await client.until("turn_ended"))["stop"] == "interrupted"
    client.send({"type": "answer", "id": asked["id"], "allow": "once"})
    assert "is open" in str((await client.until("error"))["error"])
    client.send({"type": "user", "text": "then this"})
    client.end()
    assert (await client.until("result"))["result"] == "second"
    assert await client.run == 0


async def test_steering_reaches_the_running_turn_and_never_gets_lost() -> None:
    client = Client(hangs, says("later"), prompt="go")
    await client.until("text_delta")
    client.send({"type": "steer", "text": "be quick"})
    client.send({"type": "interrupt"})
    await client.until("turn_ended")
    client.send({"type": "steer", "text": "no turn runs"})
    await client.until("turn_ended")
    client.end()
    await client.run
    assert client.session.steered == ["be quick"]
    assert client.session.prompts == ["go", "no turn runs"]


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b"[]",
        b'{"type":"nonsense"}',
        b'{"type":"user"}',
        b'{"type":"user","text":1}',
        b'{"type":"user","text":"x","more":1}',
        b'{"type":"answer","id":"q9"}',
        b'{"type":"interrupt"}',
        b"\xff\xfe",
        b"[" * 20_000,
        b'{"type":"user","text":" \\n"}',
        b'{"role":"user","content":""}',
        b'{"role":"assistant","content":"x"}',
    ],
    ids=range(13),
)
async def test_a_bad_line_is_named_and_the_session_goes_on(line: bytes) -> None:
    client = Client(says("fine"))
    client.send(b"")
    client.send(line)
    error = await client.until("error")
    assert error["line"] == 2
    assert error["error"]
    client.send({"type": "user", "text": "go"})
    client.end()
    assert (await client.until("result"))["result"] == "fine"


@pytest.mark.parametrize(
    "line",
    [
        b'{"role":"user","content":"go"}',
        b'{"role":"user","content":[{"type":"text","text":"go"}]}',
        b'\xef\xbb\xbf{"type":"user","text":"go"}\r',
    ],
)
async def test_prompts_as_kimi_cli_takes_them(line: bytes) -> None:
    client = Client(says("fine"))
    client.send(line)
    client.end()
    assert (await client.until("result"))["result"] == "fine"
    assert client.session.prompts == ["go"]


async def test_an_answer_that_does_not_fit_leaves_the_question_open() -> None:
    client = Client(asks(CHOICE), prompt="go")
    asked = await client.until("question")
    client.send({"type": "answer", "id": asked["id"], "values": [["a"]]})
    assert "expected 2 lists" in str((await client.until("error"))["error"])
    client.send({"type": "answer", "id": asked["id"], "values": [["a"], []]})
    client.end()
    await client.run
    assert client.session.answers == [Chosen((("a",), ()))]


async def test_session_scope_that_was_not_offered_is_refused() -> None:
    client = Client(asks(Permission(PERMISSION.call, PERMISSION.effects)), prompt="go")
    asked = await client.until("question")
    client.send({"type": "answer", "id": asked["id"], "allow": "session"})
    assert "once" in str((await client.until("error"))["error"])
    client.end()
    await client.run
    assert isinstance(client.session.answers[0], Deny)


async def test_what_is_written_is_what_the_session_file_holds(tmp_path: Path) -> None:
    """Deltas aside: the lines of a run are its log."""
    replies = [calls(call("Write", '{"path": "a"}'), text="Let me write."), say("done")]
    house = House(tmp_path, ListProvider(replies), [FakeTool("Write", "write", instant())])
    out = io.BytesIO()
    frontend = PrintFrontend("go", output="stream-json", stdout=Output(out), stderr=io.StringIO())
    assert await frontend.run(house.agent) == ExitCode.DENIED
    *lines, result = out.getvalue().splitlines()
    written = [DECODER.decode(line) for line in lines]
    session_id = json.loads(result)["session_id"]
    await house.agent.aclose()
    assert [event for event in written if not isinstance(event, ev.DELTAS)] == house.store.read(session_id)


async def test_a_question_comes_after_the_events_before_it(tmp_path: Path) -> None:
    replies = [calls(call("Write", '{"path": "a"}'), text="Let me write."), say("done")]
    house = House(tmp_path, ListProvider(replies), [FakeTool("Write", "write", instant())])
    client = Client(prompt="go", agent=house.agent)
    types = [record["type"] async for record in client.records(until="question")]
    assert types[-1] == "question"
    assert types.count("message_added") == 2
    client.send({"type": "answer", "id": "q1", "allow": "once"})
    client.end()
    assert (await client.until("tool_finished"))["call_id"]
    assert await client.run == 0
    await house.agent.aclose()


async def test_final_only_leaves_first_and_last() -> None:
    out = io.BytesIO()
    frontend = PrintFrontend("x", output="stream-json", final_only=True, stdout=Output(out), stderr=io.StringIO())
    await frontend.run(FakeAgent(says("a")))
    assert [json.loads(line)["type"] for line in out.getvalue().splitlines()] == ["session_started", "result"]


@pytest.mark.parametrize("output", ["text", "json"])
async def test_lines_in_need_lines_out(output: str) -> None:
    frontend = PrintFrontend("x", output=output, input="stream-json", stdout=Output(io.BytesIO()), stderr=io.StringIO())  # type: ignore[arg-type]
    assert await frontend.run(FakeAgent(says("a"))) == ExitCode.USAGE


@pytest.mark.parametrize("split", [lambda data: [data], lambda data: [data[i : i + 1] for i in range(len(data))]])
async def test_input_lines_in_any_pieces(split: Callable[[bytes], list[bytes]]) -> None:
    read_end, write_end = os.pipe()
    lines = InputLines(read_end)
    for piece in split("uno\r\nzwö\n\nlast".encode()):
        os.write(write_end, piece)
    os.close(write_end)
    assert [await lines.next() for _ in range(6)] == [b"uno", "zwö".encode(), b"", b"last", None, None]


async def test_a_lone_line_input_outlives_its_session() -> None:
    """Questions after the end of the input are answered by `nobody`, without a record."""
    read_end, write_end = os.pipe()
    os.close(write_end)
    records: list[msgspec.Struct] = []

    async def nobody(question: object) -> Deny:
        return Deny("nobody")

    source = LineInput(InputLines(read_end), records.append, nobody)
    await source.read(FakeAgent(says("x")).open(ask=source.ask))  # type: ignore[arg-type]
    assert await source.ask(PERMISSION) == Deny("nobody")
    assert records == []
