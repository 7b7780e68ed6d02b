"""Compaction where it hurts: tiny windows, failing summaries, full disks, undo in the wrong moment."""

from pathlib import Path

from machine import FakeTool, House, ListProvider, Params, call, calls, instant, of, play, say

from kimi_agent.agent.history import is_well_formed
from kimi_agent.agent.tokens import history_tokens, text_tokens
from kimi_agent.agent.transcript import CompactionBlock, PromptBlock, Transcript
from kimi_agent.core import event as ev
from kimi_agent.core.display import Todo, TodoList
from kimi_agent.core.errors import ContextOverflowError, ServerError
from kimi_agent.core.message import Image
from kimi_agent.core.provider import Request, TextChunk, Tokens
from kimi_agent.core.tool import ToolContext, ToolOutput, text_output

OVERHEAD = 4500  # tokens of the system prompt and the tools, as this server counts them


def is_wish(request: Request) -> bool:
    return "Write that summary now" in request.messages[-1].text


def counted(deltas, request: Request):
    said = sum(text_tokens(d.text) for d in deltas if isinstance(d, TextChunk)) + 20
    return [Tokens(OVERHEAD + history_tokens(request.messages), said) if isinstance(d, Tokens) else d for d in deltas]


async def test_a_window_that_the_prompt_alone_fills_does_not_compact_at_every_step(tmp_path: Path):
    def reply(request: Request):
        if is_wish(request):
            return counted(say("SUMMARY"), request)
        n = len([r for r in provider.requests if not is_wish(r)])
        return counted(calls(call("Look", f'{{"path":"{n}"}}')) if n <= 30 else say("done"), request)

    provider = ListProvider(reply, context_size=6000)
    house = House(tmp_path, provider, [FakeTool("Look", "read", instant("a line " * 10))])
    events = await play(house.open(), "go")
    assert events[-1].stop == "done"
    assert sum(map(is_wish, provider.requests)) < 15


async def test_before_and_after_count_what_does_not_shrink(tmp_path: Path):
    def reply(request: Request):
        return counted(say("SUMMARY" if is_wish(request) else "word " * 2000), request)

    session = House(tmp_path, ListProvider(reply)).open()
    session.runner.own_system = "s" * OVERHEAD * 4
    await play(session, "go")
    compacted = of([e async for e in session.compact()], ev.Compacted)[0]
    events = await play(session, "next")
    actual = of(events, ev.Usage)[0].input
    assert compacted.before > OVERHEAD + 2000
    assert abs(compacted.after - actual) < 100


async def test_a_failing_summary_does_not_end_the_turn(tmp_path: Path):
    def reply(request: Request):
        if is_wish(request):
            return [ServerError("overloaded")]
        return counted(say("fine " * 5000), request)

    session = House(tmp_path, ListProvider(reply, context_size=12_000)).open()
    for _ in range(2):
        events = await play(session, "go")
    assert events[-1].stop == "done"
    assert any("overloaded" in notice.text for notice in of(events, ev.Notice))


async def test_nothing_to_compact_asks_no_model(tmp_path: Path):
    provider = ListProvider([])
    session = House(tmp_path, provider).open()
    events = [event async for event in session.compact()]
    assert provider.requests == []
    assert of(events, ev.Notice)


async def test_outputs_that_cannot_be_saved_are_not_removed(tmp_path: Path):
    async def big(params: Params, ctx: ToolContext) -> str:
        return f"<{params.path}>" + "line of output\n" * 2000

    def reply(request: Request):
        n = len(provider.requests)
        return calls(call("Look", f'{{"path":"{n}"}}')) if n < 12 else say("done")

    provider = ListProvider(reply)
    session = House(tmp_path, provider, [FakeTool("Look", "read", big)]).open()
    await play(session, "go")
    session.runner.caller.scratch.parent.mkdir(exist_ok=True)
    session.runner.caller.scratch.write_text("in the way")
    provider._replies = lambda request: say("SUMMARY")
    events = [event async for event in session.compact()]
    assert [e.kind for e in of(events, ev.Compacted)] == ["summary"]


async def test_call_ids_of_any_length_are_saved(tmp_path: Path):
    async def big(params: Params, ctx: ToolContext) -> str:
        return "line of output\n" * 2000

    def reply(request: Request):
        n = len(provider.requests)
        return calls(call("Look", f'{{"path":"{n}"}}', f"{'x' * 300}/{n}")) if n < 12 else say("done")

    provider = ListProvider(reply)
    session = House(tmp_path, provider, [FakeTool("Look", "read", big)]).open()
    await play(session, "go")
    provider._replies = lambda request: say("SUMMARY")
    events = [event async for event in session.compact()]
    pruned = of(events, ev.Compacted)[0].pruned
    assert pruned
    assert len(list(session.runner.caller.scratch.iterdir())) == len(pruned)
    session.undo()
    assert "[Output removed" not in str(session.runner.history.messages)


async def test_undo_takes_the_turn_when_the_compaction_was_inside_it(tmp_path: Path):
    def reply(request: Request):
        if is_wish(request):
            return say("SUMMARY")
        deltas = say("word " * 5000) if len(provider.requests) == 1 else say("after")
        return counted(deltas, request)

    provider = ListProvider(reply, context_size=10_000)
    session = House(tmp_path, provider).open()
    await play(session, "first")
    events = await play(session, "second")
    assert of(events, ev.Compacted)
    session.undo()
    assert [m.text[:5] for m in session.runner.history.messages] == ["first", "word "]
    await session.aclose()


async def test_two_overflows_end_the_turn_with_a_way_out(tmp_path: Path):
    def reply(request: Request):
        return say("SUMMARY") if is_wish(request) else [ContextOverflowError("too long", "Use /new.")]

    session = House(tmp_path, ListProvider(reply)).open()
    events = await play(session, "go " * 3000)
    assert events[-1].kind == "ContextOverflowError"
    assert is_well_formed(session.runner.history.messages)


async def test_a_resumed_session_knows_how_full_its_context_is(tmp_path: Path):
    def reply(request: Request):
        if is_wish(request):
            return say("SUMMARY")
        return [Tokens(9000, 10) if isinstance(d, Tokens) else d for d in say("word " * 1000)]

    provider = ListProvider(reply, context_size=10_000)
    house = House(tmp_path, provider)
    session = house.open()
    await play(session, "first")
    await session.aclose()
    events = await play(house.open(session.id), "second")
    assert of(events, ev.Compacted)[0].before >= 9010


async def test_a_summary_asked_for_again_hides_no_prompt(tmp_path: Path):
    def reply(request: Request):
        if is_wish(request):
            asked = sum(map(is_wish, provider.requests))
            return [ContextOverflowError("too long")] if asked == 1 else say("SUMMARY")
        return counted(say("word " * 2000), request)

    provider = ListProvider(reply, context_size=10_000)
    session = House(tmp_path, provider).open()
    transcript = Transcript()
    for text in ("first", "second", "third"):
        async for event in session.prompt(text):
            transcript.apply(event)
    assert any(block.kind == "summary" for block in transcript.blocks if isinstance(block, CompactionBlock))
    shown = [b.text for b in transcript.blocks if isinstance(b, PromptBlock) and not b.void]
    assert shown == ["first", "second", "third"]


async def test_a_picture_that_was_just_sent_survives(tmp_path: Path):
    def reply(request: Request):
        return say("SUMMARY") if is_wish(request) else counted(say("word " * 2500), request)

    provider = ListProvider(reply, context_size=10_000)
    session = House(tmp_path, provider).open()
    await play(session, "first")
    picture = Image("aGk=", "image/png")
    events = [event async for event in session.prompt("what is this?", (picture,))]
    assert of(events, ev.Compacted)
    assert picture in [part for m in provider.requests[-1].messages for part in m.parts]


async def test_words_that_fill_a_small_window_are_cut(tmp_path: Path):
    def reply(request: Request):
        return say("SUMMARY") if is_wish(request) else counted(say("fine"), request)

    provider = ListProvider(reply, context_size=12_000)
    session = House(tmp_path, provider).open()
    for n in range(8):
        events = await play(session, f"{n} " + "words " * 1500)
        assert events[-1].stop == "done"
        assert history_tokens(provider.requests[-1].messages) + OVERHEAD < 12_000
    assert provider.requests[-1].messages[-1].text.startswith(("7 ", "[The earlier"))


async def test_undo_gives_the_todo_list_back(tmp_path: Path):
    class Todos(FakeTool):
        async def run(self, params: Params, ctx: ToolContext) -> ToolOutput:
            return text_output("noted", TodoList((Todo(params.text),)))

    replies = [calls(call("Todo", '{"text":"a"}')), say("ok"), calls(call("Todo", '{"text":"b"}')), say("ok")]
    house = House(tmp_path, ListProvider(replies), [Todos("Todo", "", instant())])
    session = house.open()
    for text in ("first", "second"):
        await play(session, text)
    session.undo()
    transcript = Transcript()
    for event in session.events():
        transcript.apply(event)
    assert session.todos == transcript.status.todos == (Todo("a"),)
    await session.aclose()
    assert house.open(session.id).todos == (Todo("a"),)
