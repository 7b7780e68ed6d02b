"""Whatever is cancelled, crashes, stalls or is malformed: the history stays well formed, live and after a resume."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from machine import FakeTool, House, ListProvider, Params, calls, say
from nightly import examples

from kimi_agent.agent.history import fold, is_well_formed
from kimi_agent.agent.transcript import CallBlock, Transcript
from kimi_agent.core import event as ev
from kimi_agent.core.ask import Allow, Answer, Deny, Dismissed, Question
from kimi_agent.core.errors import BadRequestError, ConnectionFailed, ContextOverflowError
from kimi_agent.core.provider import CallChunk, Finished, Restarted, TextChunk, ThinkChunk, Tokens
from kimi_agent.core.tool import ToolContext

names = st.sampled_from(["Look", "Write", "Crash", "Nope", ""])
arguments = st.sampled_from(
    ["{}", '{"path":"a"}', '{"path":"b"}', '{"path"', "[]", "null", '{"path":"forbidden"}', "\ud800"]
)
chunks = st.one_of(
    st.builds(TextChunk, st.sampled_from(["hi", "", " ", "\0"])),
    st.builds(ThinkChunk, st.sampled_from(["hm", ""]), st.sampled_from(["reasoning_content", ""])),
    st.builds(CallChunk, st.integers(0, 3), st.sampled_from(["", "a", "b"]), names, arguments),
    st.builds(Restarted, st.just(1), st.just(0.0), st.just("dropped")),
    st.builds(Tokens, st.integers(0, 10_000), st.integers(0, 100)),
)
endings = st.sampled_from(
    [
        Finished("stop"),
        Finished("length"),
        ConnectionFailed("gone"),
        ContextOverflowError("full"),
        BadRequestError("no"),
        OSError("x"),
    ]
)
replies = st.lists(st.tuples(st.lists(chunks, max_size=6), endings), min_size=1, max_size=6)
answers = st.lists(st.sampled_from([Allow(), Allow("session"), Deny(), Deny("no"), Dismissed()]), min_size=1)


async def crash(params: Params, ctx: ToolContext) -> str:
    raise RuntimeError("boom")


async def slow(params: Params, ctx: ToolContext) -> str:
    await asyncio.sleep(0)
    return "looked"


async def one_session(script, answer_list, stop_at: list[int], folder: Path) -> None:
    turns = iter(script)

    def reply(request):
        assert is_well_formed(request.messages), "the provider must never see a broken history"
        items, ending = next(turns, ([TextChunk("done")], Finished("stop")))
        return [*items, ending]

    given_answers = iter(answer_list * 50)

    async def ask(question: Question) -> Answer:
        await asyncio.sleep(0)
        return next(given_answers, Deny())

    tools = [FakeTool("Look", "read", slow), FakeTool("Write", "write", slow), FakeTool("Crash", "run", crash)]
    house = House(folder, ListProvider(reply, context_size=8000), tools)
    session = house.open(ask=ask)
    live = Transcript()
    for event in session.events():
        live.apply(event)
    for stop in stop_at:
        seen = 0
        async for event in session.prompt("go"):
            live.apply(event)
            seen += 1
            if seen == stop:
                session.interrupt()
            if seen == stop // 2:
                session.steer("also")
    events = session.events()
    ended = [event for event in events if isinstance(event, ev.TurnEnded)]
    assert len(ended) >= len(stop_at)  # text steered too late runs as a turn of its own
    assert is_well_formed(fold(events, folder).messages)
    await session.aclose()
    again = house.open(session.id, ask=ask)
    assert again.events() == events, "a session that ended well needs no repair"
    assert_same_blocks(live, events)
    await again.aclose()


def assert_same_blocks(live: Transcript, events: list[ev.Event]) -> None:
    replayed = Transcript()
    for event in events:
        replayed.apply(event)
    assert calls_of(live) == calls_of(replayed)
    assert texts_of(live) == texts_of(replayed)


def calls_of(transcript: Transcript) -> list[tuple]:
    blocks = [block for block in transcript.blocks if isinstance(block, CallBlock) and not block.void]
    return [(block.call.id, block.call.name, block.state, block.result) for block in blocks]


def texts_of(transcript: Transcript) -> list[tuple[str, str]]:
    """Kinds and texts of the other blocks, neighbours of one kind joined: a call may have come between them live."""
    found: list[tuple[str, str]] = []
    for block in transcript.blocks:
        if isinstance(block, CallBlock) or block.void:
            continue
        kind, text = type(block).__name__, getattr(block, "text", "").strip()
        if found and found[-1][0] == kind:
            text = found.pop()[1] + text
        found.append((kind, text))
    return found


@settings(max_examples=examples(150))
@given(replies, answers, st.lists(st.integers(1, 40), min_size=1, max_size=3))
def test_random_replies_and_interrupts(script, answer_list, stop_at):
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(one_session(script, answer_list, stop_at, Path(folder)))


@settings(max_examples=examples(60))
@given(st.data())
def test_a_log_killed_anywhere_resumes_well_formed(data):
    """The crash is a log that ends after any record of a real session."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        script = [
            calls(CallChunk(0, "a", "Look", "{}"), CallChunk(1, "b", "Write", '{"path":"x"}'), CallChunk(2, "c", "Crash", "{}")),
            calls(CallChunk(0, "a", "Nope", "{}")), say("done"),
        ]  # fmt: skip
        tools = [FakeTool("Look", "read", slow), FakeTool("Write", "write", slow), FakeTool("Crash", "run", crash)]
        house = House(folder, ListProvider([*script, say("resumed")]), tools)

        async def run() -> None:
            session = house.open()
            _ = [event async for event in session.prompt("go")]
            await session.aclose()
            path = house.store.path(session.id)
            lines = path.read_bytes().splitlines(keepends=True)
            path.write_bytes(b"".join(lines[: data.draw(st.integers(2, len(lines)))]))
            again = house.open(session.id)
            assert is_well_formed(fold(again.events(), folder).messages)
            _ = [event async for event in again.prompt("on")]
            assert is_well_formed(house.provider.requests[-1].messages)
            await again.aclose()

        asyncio.run(run())
