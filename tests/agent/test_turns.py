"""A turn from outside: what the model is asked, what people see, how it ends."""

import asyncio
from pathlib import Path

from machine import FakeTool, House, ListProvider, Params, call, calls, instant, of, play, say

from kimi_agent.agent.history import is_well_formed
from kimi_agent.agent.runner import Limits
from kimi_agent.core import event as ev
from kimi_agent.core.ask import Allow, Answer, Choice, Chosen, Deny, Dismissed, Permission, Question
from kimi_agent.core.errors import AuthError, ContextOverflowError
from kimi_agent.core.message import Image, Think
from kimi_agent.core.provider import CallChunk, Finished, Restarted, TextChunk, ThinkChunk, Tokens
from kimi_agent.core.tool import ToolContext


def result_texts(session) -> list[str]:
    events = of(session.events(), ev.MessageAdded)
    return ["".join(p.text for p in e.message.result.content) for e in events if e.message.result]


async def test_a_turn_runs_calls_until_the_model_calls_nothing(tmp_path: Path):
    provider = ListProvider([calls(call("Look"), text="let me see"), say("it is 42")])
    house = House(tmp_path, provider, [FakeTool("Look", "read", instant("42"))])
    events = await play(house.open(), "what is it?")
    assert [type(e).__name__ for e in events if not isinstance(e, ev.DELTAS)] == [
        "TurnStarted", "MessageAdded", "StepStarted", "MessageAdded", "Usage", "ToolStarted", "ToolFinished",
        "MessageAdded", "StepStarted", "MessageAdded", "Usage", "TurnEnded",
    ]  # fmt: skip
    assert events[-1].stop == "done"
    assert [m.role for m in provider.requests[1].messages] == ["user", "assistant", "tool"]
    assert provider.requests[1].messages[:1] == provider.requests[0].messages


async def test_reasoning_stays_with_its_message_between_calls(tmp_path: Path):
    think = [ThinkChunk("hm", "reasoning_content"), ThinkChunk("m", "", ({"signature": "s"},))]
    provider = ListProvider([[*think, *calls(call("Look"))], say("done")])
    house = House(tmp_path, provider, [FakeTool("Look", "read", instant())])
    await play(house.open(), "go")
    reply = provider.requests[1].messages[1]
    assert reply.parts[0] == Think("hmm", "reasoning_content", ({"signature": "s"},))


async def test_argument_pieces_are_routed_by_index(tmp_path: Path):
    seen: list[str] = []

    async def run(params: Params, ctx: ToolContext) -> str:
        seen.append(f"{params.path}={params.text}")
        return "ok"

    pieces = [
        CallChunk(0, "a", "Look", '{"path":"1",'), CallChunk(1, "b", "Look", '{"path":"2",'),
        CallChunk(0, "", "", '"text":"x"}'), CallChunk(1, "", "", '"text":"y"}'), Finished("tool_calls"),
    ]  # fmt: skip
    house = House(tmp_path, ListProvider([pieces, say("done")]), [FakeTool("Look", "read", run)])
    await play(house.open(), "go")
    assert sorted(seen) == ["1=x", "2=y"]


async def test_bad_calls_get_a_short_precise_answer(tmp_path: Path):
    bad = calls(
        call("Look", '{"path": "x"', index=0), call("Nope", index=1), call("Look", '{"times": "many"}', index=2),
        call("Look", '{"path":"forbidden"}', index=3), call("Look", "[1]", index=4),
    )  # fmt: skip
    house = House(tmp_path, ListProvider([bad, say("sorry")]), [FakeTool("Look", "read", instant())])
    session = house.open()
    events = await play(session, "go")
    assert events[-1].stop == "done"
    texts = result_texts(session)
    assert "invalid JSON at character 12" in texts[0]
    assert "no tool 'Nope'" in texts[1]
    assert "Look" in texts[1]
    assert "times" in texts[2]
    assert "int" in texts[2]
    assert "forbidden" in texts[3]
    assert "JSON object" in texts[4]
    assert all(len(text) < 400 for text in texts)


async def test_disjoint_calls_run_side_by_side_and_conflicting_ones_in_order(tmp_path: Path):
    log: list[str] = []
    both = asyncio.Barrier(2)

    async def meet(params: Params, ctx: ToolContext) -> str:
        await asyncio.wait_for(both.wait(), 5)  # passes only when two run at once
        return "ok"

    async def write(params: Params, ctx: ToolContext) -> str:
        log.append(f"start {params.text}")
        await asyncio.sleep(0.01 if params.text == "1" else 0)
        log.append(f"end {params.text}")
        return "ok"

    tools = [FakeTool("Look", "read", meet), FakeTool("Write", "write", write)]
    reply = calls(
        call("Look", '{"path":"a"}', index=0), call("Look", '{"path":"b"}', index=1),
        call("Write", '{"path":"f","text":"1"}', index=2), call("Write", '{"path":"f","text":"2"}', index=3),
    )  # fmt: skip
    house = House(tmp_path, ListProvider([reply, say("done")]), tools)
    await play(house.open(), "go")
    assert log == ["start 1", "end 1", "start 2", "end 2"]


async def test_the_step_limit_asks_and_stops_or_goes_on(tmp_path: Path):
    asked: list[Question] = []

    def ask(answer: Answer):
        async def ask(question: Question) -> Answer:
            asked.append(question)
            return answer if isinstance(question, Choice) and len(asked) < 3 else Dismissed()

        return ask

    def reply(request):
        return calls(call("Look", f'{{"path":"{len(request.messages)}"}}'))

    house = House(tmp_path, ListProvider(reply), [FakeTool("Look", "read", instant())], Limits(max_steps=4))
    events = await play(house.open(ask=ask(Chosen((("Stop",),)))), "go")
    assert (events[-1].stop, events[-1].steps, len(asked)) == ("max_steps", 4, 1)
    asked.clear()
    events = await play(house.open(ask=ask(Chosen((("Go on",),)))), "go")
    assert (events[-1].stop, events[-1].steps) == ("max_steps", 12)


async def test_the_answer_may_come_after_the_last_allowed_step(tmp_path: Path):
    ran: list[str] = []

    async def run(params: Params, ctx: ToolContext) -> str:
        ran.append(params.path)
        return "ok"

    def reply(last: int):
        return lambda r: (
            say("done") if len(r.messages) > last * 2 else calls(call("Look", f'{{"path":"{len(r.messages)}"}}'))
        )

    limits = Limits(max_steps=3)
    for steps, stop in ((3, "done"), (4, "max_steps")):
        ran.clear()
        session = House(tmp_path, ListProvider(reply(steps)), [FakeTool("Look", "read", run)], limits).open(ask=nobody)
        assert (await play(session, "go"))[-1].stop == stop
        assert len(ran) == 3, "never more than the limit allows"
        assert is_well_formed(session.runner.history.messages)


async def nobody(question: Question) -> Answer:
    return Dismissed()


async def test_identical_calls_are_pointed_out_and_stopped(tmp_path: Path):
    provider = ListProvider(lambda request: calls(call("Look")))
    session = House(tmp_path, provider, [FakeTool("Look", "read", instant())]).open()
    events = await play(session, "go")
    assert (events[-1].stop, events[-1].steps) == ("repeated_calls", 10)
    third = provider.requests[3].messages[-1]
    assert third.origin == "agent"
    assert "3 times" in third.text
    assert not any("times" in m.text for m in provider.requests[2].messages)


async def test_polling_and_work_between_are_no_repetition(tmp_path: Path):
    ticks = iter(range(100))

    async def poll(params: Params, ctx: ToolContext) -> str:
        return f"{next(ticks)} % done"

    def reply(request):
        n = len(request.messages)
        if n > 60:
            return say("done")
        return calls(call("Poll"), call("Test", index=1), call("Edit", f'{{"text":"{n}"}}', index=2))

    tools = [
        FakeTool("Poll", "read", poll),
        FakeTool("Test", "read", instant("1 failed")),
        FakeTool("Edit", "write", instant()),
    ]
    events = await play(House(tmp_path, ListProvider(reply), tools).open(), "go")
    assert events[-1].stop == "done"


async def test_steered_text_joins_before_the_next_step_and_queued_text_starts_a_turn(tmp_path: Path):
    session = None

    async def run(params: Params, ctx: ToolContext) -> str:
        session.steer("also the docs")
        session.steer("and this typo")
        assert session.take_back() == "and this typo"
        session.queue("then commit")
        return "ok"

    provider = ListProvider([calls(call("Look")), say("one"), say("two")])
    session = House(tmp_path, provider, [FakeTool("Look", "read", run)]).open()
    events = await play(session, "go")
    assert [m.text for m in provider.requests[1].messages if m.role == "user"] == ["go", "also the docs"]
    assert provider.requests[2].messages[-1].text == "then commit"
    assert len(of(events, ev.TurnEnded)) == 2


async def test_text_steered_during_the_last_reply_is_answered(tmp_path: Path):
    provider = ListProvider([[0.05, *say("one")], say("two")])
    session = House(tmp_path, provider).open()
    async for event in session.prompt("go"):
        if isinstance(event, ev.StepStarted) and event.step == 1:
            session.steer("wait")
    assert [m.text for m in provider.requests[1].messages] == ["go", "one", "wait"]


async def test_an_interrupt_keeps_the_text_that_was_read_and_closes_open_calls(tmp_path: Path):
    never = asyncio.Event()

    async def hang(params: Params, ctx: ToolContext) -> str:
        await never.wait()
        return "never"

    provider = ListProvider([[TextChunk("I will "), 30.0], calls(call("Hang"), call("Look", index=1)), say("ok")])
    session = House(tmp_path, provider, [FakeTool("Hang", "read", hang), FakeTool("Look", "read", instant())]).open()
    async for event in session.prompt("one"):
        if isinstance(event, ev.TextDelta):
            session.interrupt()
    assert session.events()[-1].stop == "interrupted"
    async for event in session.prompt("two"):
        if isinstance(event, ev.ToolFinished):
            session.interrupt()
    await play(session, "three")
    messages = provider.requests[-1].messages
    assert is_well_formed(messages)
    assert [m.text for m in messages if m.role != "tool"] == ["one", "I will ", "two", "", "three"]
    assert "Interrupted" in result_texts(session)[-1]


async def test_closing_the_events_interrupts_at_once(tmp_path: Path):
    provider = ListProvider([[TextChunk("I will "), 30.0], say("ok")])
    session = House(tmp_path, provider).open()
    events = session.prompt("one")
    async for event in events:
        if isinstance(event, ev.TextDelta):
            break
    await events.aclose()
    assert not session.running
    assert session.events()[-1].stop == "interrupted"
    assert (await play(session, "two"))[-1].stop == "done"


async def test_a_tool_that_ignores_cancellation_does_not_hold_the_turn(tmp_path: Path):
    release = asyncio.Event()

    async def stubborn(params: Params, ctx: ToolContext) -> str:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return "late"

    provider = ListProvider([calls(call("Stubborn")), say("ok")])
    session = House(tmp_path, provider, [FakeTool("Stubborn", "read", stubborn)]).open()
    async for event in session.prompt("go"):
        if isinstance(event, ev.ToolStarted):
            session.interrupt()
    assert session.events()[-1].stop == "interrupted"
    count = len(session.events())
    release.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(session.events()) == count, "a late result must not be logged a second time"
    await play(session, "again")
    assert is_well_formed(provider.requests[-1].messages)


async def test_failures_of_the_model_end_the_turn_with_their_kind(tmp_path: Path):
    provider = ListProvider([[TextChunk("par"), AuthError("the key is wrong", "Run `kimi login`.")], say("fine")])
    session = House(tmp_path, provider).open()
    events = await play(session, "go")
    assert (events[-1].stop, events[-1].kind) == ("error", "AuthError")
    assert "kimi login" in events[-1].error
    assert (await play(session, "again"))[-1].stop == "done"


async def test_a_retry_voids_what_was_streamed_and_runs_nothing_twice(tmp_path: Path):
    ran: list[str] = []

    async def run(params: Params, ctx: ToolContext) -> str:
        ran.append(params.path)
        return "ok"

    first = [
        TextChunk("bad"),
        call("Look", '{"path":"lost"}'),
        Restarted(1, 0.0, "dropped"),
        *calls(call("Look", '{"path":"a"}')),
    ]
    provider = ListProvider([first, say("done")])
    session = House(tmp_path, provider, [FakeTool("Look", "write", run)]).open()
    events = await play(session, "go")
    assert ran == ["a"]
    assert provider.requests[1].messages[1].text == ""
    assert of(events, ev.Retrying)[0].error == "dropped"


async def test_an_empty_answer_and_a_cut_one_are_told(tmp_path: Path):
    provider = ListProvider([[ThinkChunk("x"), Finished("length")], [TextChunk("half"), Finished("length")]])
    session = House(tmp_path, provider).open()
    events = await play(session, "go")
    assert "output limit" in events[-1].error
    events = await play(session, "go")
    assert "cut off" in of(events, ev.Notice)[0].text


async def test_call_ids_that_a_server_gives_twice_are_made_unique(tmp_path: Path):
    provider = ListProvider(
        [calls(call("Look", call_id="call_0")), calls(call("Look", '{"path":"b"}', call_id="call_0")), say("ok")]
    )
    session = House(tmp_path, provider, [FakeTool("Look", "read", instant())]).open()
    await play(session, "go")
    ids = [c.id for m in provider.requests[-1].messages for c in m.calls]
    assert ids == ["call_0", "call_0-2"]
    assert is_well_formed(provider.requests[-1].messages)


async def test_a_permission_shows_the_preview_and_names_its_scope(tmp_path: Path):
    asked: list[Permission] = []

    async def ask(question: Question) -> Answer:
        asked.append(question)
        return Allow()

    provider = ListProvider([calls(call("Write", '{"path":"a"}'), call("Write", '{"path":"a"}', index=1)), say("done")])
    await play(House(tmp_path, provider, [FakeTool("Write", "write", instant())]).open(ask=ask), "go")
    assert len(asked) == 2, "allowed once is not allowed twice"
    assert asked[0].preview.text == "Write a"
    assert asked[0].session_scope == "edits of a"


async def test_a_grant_for_the_session_covers_that_target_only(tmp_path: Path):
    asked: list[str] = []

    async def ask(question: Question) -> Answer:
        asked.append(question.effects[0].target)
        return Allow("session")

    reply = [call("Write", f'{{"path":"{path}"}}', index=i) for i, path in enumerate("aabac")]
    provider = ListProvider([calls(*reply), say("done")])
    session = House(tmp_path, provider, [FakeTool("Write", "write", instant())]).open(ask=ask)
    await play(session, "go")
    assert sorted(asked) == ["a", "b", "c"]


async def test_a_rejection_ends_the_turn_and_feedback_goes_on(tmp_path: Path):
    async def reject(question: Question) -> Answer:
        return Deny()

    async def explain(question: Question) -> Answer:
        return Deny("use the other file")

    replies = [calls(call("Run"), call("Run", '{"path":"y"}', index=1)), say("done")]
    provider = ListProvider(replies)
    session = House(tmp_path, provider, [FakeTool("Run", "run", instant())]).open(ask=reject)
    assert (await play(session, "go"))[-1].stop == "rejected"
    assert is_well_formed(session.runner.history.messages)
    provider = ListProvider(replies)
    session = House(tmp_path, provider, [FakeTool("Run", "run", instant())]).open(ask=explain)
    assert (await play(session, "go"))[-1].stop == "done"
    assert "use the other file" in result_texts(session)[0]


async def test_modes_are_gates(tmp_path: Path):
    async def never(question: Question) -> Answer:
        raise AssertionError("nobody is to be asked")

    reply = calls(call("Run"), call("Look", index=1))
    tools = [FakeTool("Run", "run", instant("ran")), FakeTool("Look", "read", instant("looked"))]
    for mode, expected in (("plan", "Plan mode"), ("yolo", "ran"), ("afk", "ran")):
        session = House(tmp_path, ListProvider([reply, say("ok")]), tools).open(ask=never, mode=mode)
        await play(session, "go")
        texts = sorted(result_texts(session))
        assert any(expected in text for text in texts), mode
        assert "looked" in texts


async def test_a_context_overflow_compacts_and_goes_on(tmp_path: Path):
    long = "word " * 2000
    replies = [
        *[say(long) for _ in range(3)],
        [ContextOverflowError("too long")], say("the summary"), say("went on"),
    ]  # fmt: skip
    provider = ListProvider(replies)
    session = House(tmp_path, provider).open()
    for text in ("one", "two", "three"):
        await play(session, text)
    events = await play(session, "four")
    assert events[-1].stop == "done"
    compacted = of(events, ev.Compacted)[0]
    assert compacted.after < compacted.before
    messages = provider.requests[-1].messages
    assert [m.text for m in messages[:4]] == ["one", "two", "three", "four"]
    assert "the summary" in messages[4].text


async def test_pictures_in_the_prompt_reach_the_model(tmp_path: Path):
    provider = ListProvider([say("a cat")])
    session = House(tmp_path, provider).open()
    picture = Image("aGk=", "image/png", "cat.png")
    _ = [event async for event in session.prompt("what is it?", (picture,))]
    assert picture in provider.requests[0].messages[0].parts


async def test_usage_is_counted_with_prices(tmp_path: Path):
    from kimi_agent.agent.tokens import cost
    from kimi_agent.core.provider import Prices

    tokens = Tokens(1_000_000, 100_000, 400_000)
    assert cost(tokens, Prices(1.0, 10.0, 0.1)) == 1.64
    assert cost(tokens, Prices(1.0, 10.0)) == 2.0
    assert cost(tokens, None) is None


async def test_the_request_prefix_is_stable_from_step_to_step(tmp_path: Path):
    def reply(request):
        n = len(request.messages)
        return calls(call("Look", f'{{"path":"{n}"}}')) if n < 120 else say("done")

    provider = ListProvider(reply)
    await play(House(tmp_path, provider, [FakeTool("Look", "read", instant())]).open(), "go")
    for earlier, later in zip(provider.requests, provider.requests[1:], strict=False):
        assert (earlier.system, earlier.tools) == (later.system, later.tools)
        assert all(a is b for a, b in zip(earlier.messages, later.messages, strict=False))


async def test_results_stand_in_the_order_of_their_calls(tmp_path: Path):
    release = asyncio.Event()

    async def slow(params: Params, ctx: ToolContext) -> str:
        await release.wait()
        return "slow"

    async def quick(params: Params, ctx: ToolContext) -> str:
        release.set()
        return "quick"

    reply = calls(call("Slow"), call("Nope", index=1), call("Quick", '{"path":"b"}', index=2))
    provider = ListProvider([reply, say("done")])
    house = House(tmp_path, provider, [FakeTool("Slow", "read", slow), FakeTool("Quick", "read", quick)])
    session = house.open()
    await play(session, "go")
    ids = [m.result.call_id for m in provider.requests[1].messages if m.result]
    assert ids == ["Slow:0", "Nope:1", "Quick:2"]
    await session.aclose()
    again = house.open(session.id)
    assert again.runner.history.messages[:5] == provider.requests[1].messages, "a replay gives the very same history"


async def test_an_answer_that_is_cut_off_does_not_look_whole(tmp_path: Path):
    provider = ListProvider([[TextChunk("half"), Finished("length")], [TextChunk("ha"), Finished("content_filter")]])
    session = House(tmp_path, provider).open()
    for words in ("output limit", "content filter"):
        events = await play(session, "go")
        assert events[-1].stop == "cut_off"
        assert words in of(events, ev.Notice)[0].text


async def test_an_interrupted_call_keeps_the_output_it_had(tmp_path: Path):
    async def speak(params: Params, ctx: ToolContext) -> str:
        ctx.progress("3 of 7 tests passed\n")
        await asyncio.Event().wait()
        return ""

    provider = ListProvider([calls(call("Speak")), say("ok")])
    session = House(tmp_path, provider, [FakeTool("Speak", "read", speak)]).open()
    async for event in session.prompt("go"):
        if isinstance(event, ev.ToolProgress):
            session.interrupt()
    assert "3 of 7 tests passed" in result_texts(session)[0]


async def test_a_prompt_that_never_fits_is_not_asked_again_and_again(tmp_path: Path):
    provider = ListProvider(lambda request: [ContextOverflowError("too long")])
    session = House(tmp_path, provider).open()
    events = await play(session, "hi")
    assert (events[-1].stop, events[-1].kind, len(provider.requests)) == ("error", "ContextOverflowError", 1)
