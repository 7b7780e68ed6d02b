"""Compaction keeps what must not be lost, measures what it gains, stops when it gains nothing, and can be undone."""

import re
from pathlib import Path

from machine import FakeTool, House, ListProvider, Params, call, calls, of, play, say

from kimi_agent.agent import compaction
from kimi_agent.agent.history import is_well_formed
from kimi_agent.agent.runner import Limits
from kimi_agent.agent.tokens import history_tokens
from kimi_agent.core import event as ev
from kimi_agent.core.display import Todo, TodoList
from kimi_agent.core.message import user_message
from kimi_agent.core.provider import Request
from kimi_agent.core.tool import ToolContext, ToolOutput, text_output


def counting(reply):
    """A model whose token counts are those of the request, as a real one's are."""

    def script(request: Request):
        deltas = reply(request)
        return [d if type(d).__name__ != "Tokens" else type(d)(history_tokens(request.messages), 50, 0) for d in deltas]

    return script


class Todos(FakeTool):
    async def run(self, params: Params, ctx: ToolContext) -> ToolOutput:
        return text_output("noted", TodoList((Todo("write the docs", "in_progress"),)))


async def big(params: Params, ctx: ToolContext) -> str:
    return f"<{params.path}>" + "line of output\n" * 2000


def tools() -> list[FakeTool]:
    async def nothing(params: Params, ctx: ToolContext) -> str:
        return ""

    return [FakeTool("Read", "read", big), FakeTool("Write", "write", nothing), Todos("Todo", "", nothing)]


def reading(steps: int):
    def reply(request: Request):
        if "Write that summary now" in request.messages[-1].text:
            return say("SUMMARY: all files were read")
        n = sum(len(m.calls) for m in request.messages)
        return calls(call("Read", f'{{"path":"/f{n}"}}')) if n < steps else say("done")

    return reply


async def test_old_tool_output_is_pruned_first_and_stays_on_disk(tmp_path: Path):
    provider = ListProvider(counting(reading(14)), context_size=100_000)
    house = House(tmp_path, provider, tools())
    events = await play(house.open(), "read everything")
    prunes = [e for e in of(events, ev.Compacted) if e.kind == "prune"]
    assert prunes
    assert prunes[0].after < prunes[0].before
    messages = provider.requests[-1].messages
    assert is_well_formed(messages)
    note = next(
        m.result.content[0].text for m in messages if m.result and "removed to save context" in m.result.content[0].text
    )
    path = re.search(r"in (/\S+?)\]?$", note)[1].rstrip("]")
    assert Path(path).read_text().startswith("</f0>")
    assert events[-1].stop == "done"


async def test_a_summary_keeps_words_todos_and_files_and_hits_the_same_prefix(tmp_path: Path):
    def reply(request: Request):
        if "Write that summary now" in request.messages[-1].text:
            return say("SUMMARY: the parser was fixed")
        n = len(request.messages)
        if n == 1:
            return calls(
                call("Todo"), call("Write", '{"path":"/w/a.py"}', index=1), call("Read", '{"path":"/w/b.py"}', index=2)
            )
        return say("ok " * 3000)

    provider = ListProvider(counting(reply), context_size=200_000)
    session = House(tmp_path, provider, tools()).open()
    await play(session, "fix the parser, never touch c.py")
    await play(session, "and keep the tests green")
    before = provider.requests[-1]
    events = [event async for event in session.compact("the parser")]
    asked = provider.requests[-1]
    assert asked.messages[: len(before.messages)] == before.messages
    assert (asked.system, asked.tools) == (before.system, before.tools)
    assert "the parser" in asked.messages[-1].text
    compacted = of(events, ev.Compacted)[0]
    assert compacted.after < compacted.before
    assert of(events, ev.Usage), "the summary's own tokens are counted"
    await play(session, "next")
    texts = [m.text for m in provider.requests[-1].messages]
    assert texts[:2] == ["fix the parser, never touch c.py", "and keep the tests green"]
    for kept in ("SUMMARY: the parser was fixed", "[in_progress] write the docs", "/w/a.py", "/w/b.py"):
        assert kept in texts[2]


async def test_a_compaction_can_be_undone(tmp_path: Path):
    provider = ListProvider(lambda r: say("SUMMARY" if "summary" in r.messages[-1].text else "word " * 4000))
    house = House(tmp_path, provider)
    session = house.open()
    await play(session, "one")
    _ = [event async for event in session.compact()]
    session.undo()
    await play(session, "two")
    assert [m.text[:4] for m in provider.requests[-1].messages] == ["one", "word", "two"]
    await session.aclose()
    again = house.open(session.id)
    await play(again, "three")
    assert [m.text[:4] for m in provider.requests[-1].messages] == ["one", "word", "two", "word", "thre"]


async def test_no_gain_is_said_and_does_not_loop(tmp_path: Path):
    def reply(request: Request):
        if "Write that summary now" in request.messages[-1].text:
            return say("S" * 60_000)
        return say("done")

    provider = ListProvider(counting(reply), context_size=10_000)
    session = House(tmp_path, provider, limits=Limits(reserved=1000)).open()
    summaries = []
    for text in ("x" * 35_000, "a", "b", "c"):
        events = await play(session, text)
        assert events[-1].stop == "done"
        summaries += [e for e in of(events, ev.Notice) if "gains nothing" in e.text]
    assert len(summaries) == 1, "it is not tried again before the context has grown"
    assert not any(isinstance(event, ev.Compacted) for event in session.events())


async def test_a_long_session_in_a_small_window_never_overflows(tmp_path: Path):
    size = 30_000

    def reply(request: Request):
        assert history_tokens(request.messages) < size, "the request does not fit the window"
        return reading(60)(request)

    provider = ListProvider(counting(reply), context_size=size)
    session = House(tmp_path, provider, tools()).open()
    events = await play(session, "read everything")
    assert events[-1].stop in ("done", "repeated_calls")
    assert of(events, ev.Compacted)


def test_thresholds():
    assert compaction.threshold(262_144, 0.85, 50_000) == 212_144
    assert compaction.threshold(1_048_576, 0.85, 50_000) == int(1_048_576 * 0.85)
    assert compaction.threshold(32_768, 0.85, 50_000) > 16_000


def test_shortened_histories_begin_with_the_user():
    messages = [user_message("word " * 100) for _ in range(20)]
    short = compaction.shortened(messages, 0.25)
    assert 1 <= len(short) <= 6
    assert short[-1] is messages[-1]
