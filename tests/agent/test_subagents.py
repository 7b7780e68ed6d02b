"""Subagents: a history of their own in the session's file, side by side without losing an edit, taken up again, bounded."""

import asyncio
import json
from pathlib import Path

import pytest
from machine import FakeTool, House, ListProvider, call, calls, house, instant, of, order, play, result_of, say, task_of

from kimi_agent.agent.agent_types import AgentType, AgentTypes
from kimi_agent.agent.history import is_well_formed
from kimi_agent.agent.subagents import Budget
from kimi_agent.agent.transcript import CallBlock, Transcript
from kimi_agent.core import event as ev
from kimi_agent.core.ask import Allow, Deny, Permission
from kimi_agent.core.message import user_message
from kimi_agent.core.provider import Request
from kimi_agent.tools import builtin_tools


async def test_a_subagent_reports_and_its_history_stays_apart(tmp_path: Path):
    def reply(request: Request):
        match task_of(request), len(request.messages):
            case "go", 1:
                return calls(call("Agent", order("find the bug", subagent_type="explore"), "a1"))
            case "find the bug", 1:
                return calls(call("Look", "{}", "look1"))
            case "find the bug", _:
                return say("It is in main.py:3.")
        return say("Mended.")

    provider = ListProvider(reply)
    types = AgentTypes({"explore": AgentType("explore", "finds", "You find things.", tools=("Look",))})
    made = house(tmp_path, provider, [FakeTool("Look", "read", instant("code"))], types=types)
    session = made.open()
    events = await play(session, "go")

    assert "It is in main.py:3." in result_of(events, "a1")
    assert [m.role for m in session.runner.history.messages] == ["user", "assistant", "tool", "assistant"]
    nested = [event.event for event in of(events, ev.Nested)]
    assert isinstance(nested[0], ev.SubagentStarted)
    assert nested[0].agent_type == "explore"
    child = provider.requests[1]
    assert "You find things." in child.system
    assert [spec.name for spec in child.tools] == ["Look"], "an explorer can neither edit nor start agents"
    assert child.session_id != session.id
    assert is_well_formed(session.runner.history.messages)


async def test_what_a_replay_shows_is_what_was_shown_live(tmp_path: Path):
    def reply(request: Request):
        if task_of(request) == "go":
            return calls(call("Agent", order("look"), "a1")) if len(request.messages) == 1 else say("end")
        return say("found")

    made = house(tmp_path, ListProvider(reply))
    session = made.open()
    live, replayed = Transcript(), Transcript()
    for event in session.events():
        live.apply(event)
    for event in await play(session, "go"):
        live.apply(event)
    for event in session.events():
        replayed.apply(event)
    one, two = (next(b for b in t.blocks if isinstance(b, CallBlock)) for t in (live, replayed))
    assert one.nested
    assert two.nested
    texts = [[getattr(b, "text", "") for b in t.nested.blocks if not b.void] for t in (one, two)]
    assert texts[0] == texts[1]
    assert any("found" in text for text in texts[0])
    assert live.status.input == replayed.status.input == 30, "its tokens count"


async def test_the_shared_prefix_is_the_parents_byte_for_byte(tmp_path: Path):
    def reply(request: Request):
        if task_of(request) == "go":
            return calls(call("Agent", order("code it"), "a1")) if len(request.messages) == 1 else say("end")
        if len(request.messages) == 1:
            return calls(call("Agent", order("deeper"), "a2"))
        return say("done")

    provider = ListProvider(reply)
    session = house(tmp_path, provider, [FakeTool("Look", "read", instant("x"))]).open()
    await play(session, "go")
    parent, child = provider.requests[0], provider.requests[1]
    assert (child.system, child.tools, child.session_id) == (parent.system, parent.tools, parent.session_id)
    denied = provider.requests[2].messages[-1].result
    assert denied.is_error
    assert "no tool 'Agent' for you" in denied.content[0].text, "a subagent starts none of its own"


async def test_a_fork_begins_with_the_history_of_its_parent(tmp_path: Path):
    def reply(request: Request):
        if task_of(request).endswith("the side task"):
            return say("side done")
        if len(request.messages) == 1:
            return say("I remember 42")
        if len(request.messages) == 3:
            return calls(call("Agent", order("the side task", subagent_type="fork"), "a1"))
        return say("end")

    provider = ListProvider(reply)
    made = house(tmp_path, provider)
    session = made.open()
    await play(session, "remember 42")
    await play(session, "go on")
    fork = provider.requests[2]
    assert fork.messages[:3] == provider.requests[1].messages[:3]
    assert fork.messages[3].text.endswith("the side task")
    await session.aclose()

    again = made.open(session.id)  # another process: the fork is taken up with the very same beginning
    made.provider._replies = lambda request: (
        say("again done")
        if task_of(request) == "more"
        else calls(call("Agent", order("more", resume="s1"), "a9"))
        if request.messages[-1].role == "user"
        else say("end")
    )
    await play(again, "third")
    resumed = next(r for r in provider.requests if task_of(r) == "more")
    assert resumed.messages[:4] == fork.messages[:4]
    assert resumed.messages[4].text == "side done"


@pytest.mark.parametrize("crashed", [False, True])
async def test_a_subagent_is_taken_up_by_its_id(tmp_path: Path, crashed: bool):
    def reply(request: Request):
        task = task_of(request)
        if task == "first":
            return say("secret is 7")
        if task == "second":
            return say(f"I said: {request.messages[1].text}")
        if task == "go":
            return calls(call("Agent", order("first"), "a1")) if len(request.messages) == 1 else say("ok")
        return (
            calls(call("Agent", order("second", resume="s1"), "a2"))
            if task == "again" and request.messages[-1].role == "user"
            else say("ok")
        )

    types = AgentTypes({"coder": AgentType("coder", "codes")})
    made = house(tmp_path, ListProvider(reply), types=types)
    session = made.open()
    await play(session, "go")
    if crashed:
        await session.aclose()
        session = made.open(session.id)
    events = await play(session, "again")
    assert "I said: secret is 7" in result_of(events, "a2")


async def test_three_subagents_edit_one_repository_without_losing_an_edit(tmp_path: Path):
    """Each edits its own line of one file and a file of its own, with a command in between; every edit is there at the end."""
    names = ["one", "two", "three"]

    def reply(request: Request):
        task = task_of(request)
        if task == "go":
            if len(request.messages) == 1:
                return calls(*(call("Agent", order(n), f"a{n}", i) for i, n in enumerate(names)))
            return say("all done")
        name = next(n for n in names if task.endswith(n))
        results = [m.result for m in request.messages if m.result]
        last = results[-1].content[0].text if results else ""
        edited = any(
            "all.txt" in r.content[0].text and not r.is_error and "eplaced" in r.content[0].text for r in results
        )
        step = len(results)
        if not results or (results[-1].is_error and "all.txt" not in last) or "changed" in last or "Read" in last:
            return calls(call("ReadFile", json.dumps({"path": "all.txt"}), f"{name}r{step}"))
        if not edited and step < 40:
            edit = {"path": "all.txt", "edit": {"old": f"{name}=0", "new": f"{name}=1"}}
            if results[-1].call_id.startswith(f"{name}e") and not results[-1].is_error:
                return say(f"{name} done")
            return calls(call("StrReplaceFile", json.dumps(edit), f"{name}e{step}"))
        return say(f"{name} done")

    made = House(tmp_path, ListProvider(reply))
    made.agent.make_tools = lambda model, folder: builtin_tools()
    made.agent.find_agents = lambda folder: AgentTypes()
    shared = made.agent.cwd / "all.txt"
    shared.write_text("one=0\ntwo=0\nthree=0\n")
    session = made.open(mode="yolo")
    events = await play(session, "go")
    assert shared.read_text() == "one=1\ntwo=1\nthree=1\n"
    for name in names:
        assert f"{name} done" in result_of(events, f"a{name}")


async def test_conflicting_calls_of_two_subagents_never_act_at_once(tmp_path: Path):
    acting, most = 0, 0

    async def act(params, ctx) -> str:
        nonlocal acting, most
        acting += 1
        most = max(most, acting)
        await asyncio.sleep(0.01)
        acting -= 1
        return "ok"

    def reply(request: Request):
        task = task_of(request)
        if task == "go":
            return (
                calls(*(call("Agent", order(f"t{i}"), f"a{i}", i) for i in range(4)))
                if len(request.messages) == 1
                else say("end")
            )
        return calls(call("Write", '{"path": "same"}', task)) if len(request.messages) == 1 else say("did")

    session = house(tmp_path, ListProvider(reply), [FakeTool("Write", "write", act)]).open()
    await play(session, "go")
    assert most == 1


async def test_disjoint_subagents_run_at_the_same_time(tmp_path: Path):
    """Each waits for the other: one after the other they would never end."""
    both = asyncio.Barrier(2)

    async def meet(params, ctx) -> str:
        async with asyncio.timeout(20):
            await both.wait()
        return "met"

    def reply(request: Request):
        task = task_of(request)
        if task == "go":
            return (
                calls(call("Agent", order("a"), "a1", 0), call("Agent", order("b"), "a2", 1))
                if len(request.messages) == 1
                else say("end")
            )
        return (
            calls(call("Write", json.dumps({"path": task[-1]}), task[-1])) if len(request.messages) == 1 else say("met")
        )

    session = house(tmp_path, ListProvider(reply), [FakeTool("Write", "write", meet)]).open()
    events = await play(session, "go")
    assert of(events, ev.TurnEnded)[-1].stop == "done"


async def test_a_permission_says_for_whom_and_a_rejection_ends_only_the_subagent(tmp_path: Path):
    asked: list[Permission] = []

    async def refuse(question):
        asked.append(question)
        return Deny()

    def reply(request: Request):
        if task_of(request) == "go":
            return calls(call("Agent", order("write"), "a1")) if len(request.messages) == 1 else say("then not")
        return calls(call("Write", "{}", "w1"))

    session = house(tmp_path, ListProvider(reply), [FakeTool("Write", "write", instant("x"))]).open(ask=refuse)
    events = await play(session, "go")
    assert asked[0].agent == "some work"
    assert "rejected" in result_of(events, "a1")
    assert of(events, ev.TurnEnded)[-1].stop == "done"


async def test_plan_mode_holds_for_subagents(tmp_path: Path):
    ran = []

    async def write(params, ctx) -> str:
        ran.append(1)
        return "x"

    def reply(request: Request):
        if task_of(request) == "go":
            return calls(call("Agent", order("write"), "a1")) if len(request.messages) == 1 else say("ok")
        return calls(call("Write", "{}", "w1")) if len(request.messages) == 1 else say("could not")

    session = house(tmp_path, ListProvider(reply), [FakeTool("Write", "write", write)]).open(mode="plan")
    await play(session, "go")
    assert ran == []


async def test_a_budget_of_steps_ends_in_a_report(tmp_path: Path):
    told = []

    def reply(request: Request):
        if task_of(request) == "go":
            return calls(call("Agent", order("dig"), "a1")) if len(request.messages) == 1 else say("ok")
        if "budget is used up" in request.messages[-1].text:
            told.append(request)
            return say("I dug 3 holes.")
        return calls(call("Look", json.dumps({"path": str(len(request.messages))}), f"l{len(request.messages)}"))

    made = house(tmp_path, ListProvider(reply), [FakeTool("Look", "read", instant("x"))], budget=Budget(max_steps=3))
    events = await play(made.open(), "go")
    assert len(told) == 1
    assert "I dug 3 holes." in result_of(events, "a1")


async def test_a_budget_of_tokens_holds_even_for_one_who_goes_on_calling(tmp_path: Path):
    def reply(request: Request):
        if task_of(request) == "go":
            return calls(call("Agent", order("dig"), "a1")) if len(request.messages) == 1 else say("ok")
        return calls(call("Look", json.dumps({"path": str(len(request.messages))}), f"l{len(request.messages)}"))

    provider = ListProvider(reply)
    made = house(tmp_path, provider, [FakeTool("Look", "read", instant("x"))], budget=Budget(max_tokens=30))
    events = await play(made.open(), "go")
    assert "used up its budget" in result_of(events, "a1")
    assert len(provider.requests) < 10


async def test_after_a_kill_the_model_is_told_how_to_take_it_up_again(tmp_path: Path):
    made = house(tmp_path, ListProvider([calls(call("Agent", order("look"), "a1")), say("found"), say("end")]))
    session = made.open()
    await play(session, "go")
    path = made.store.path(session.id)
    await session.aclose()
    lines = path.read_bytes().splitlines(keepends=True)
    started = next(n for n, line in enumerate(lines) if b"subagent_started" in line)
    path.write_bytes(b"".join(lines[: started + 1]))
    last = made.open(session.id).runner.history.messages[-1]
    assert last.result is not None
    assert "resume=s1 asks it to go on" in str(last.result.content)


async def test_an_interrupt_ends_the_subagent_and_leaves_both_histories_whole(tmp_path: Path):
    begun = asyncio.Event()

    async def hang(params, ctx) -> str:
        begun.set()
        await asyncio.Event().wait()
        return ""

    def reply(request: Request):
        if task_of(request) == "go":
            return calls(call("Agent", order("hang"), "a1"))
        if task_of(request) == "go on":
            return say("yes")
        return calls(call("Hang", "{}", "h1")) if task_of(request).endswith("hang") else say("resumed")

    made = house(tmp_path, ListProvider(reply), [FakeTool("Hang", "read", hang)])
    session = made.open()
    turn = asyncio.create_task(play(session, "go"))
    async with asyncio.timeout(20):
        await begun.wait()
        session.interrupt()
        events = await turn
    assert of(events, ev.TurnEnded)[-1].stop == "interrupted"
    assert is_well_formed(session.runner.history.messages)
    assert "resume=s1" in result_of(events, "a1"), "the model can take it up again"
    inner = [e.event.message for e in of(session.events(), ev.Nested) if isinstance(e.event, ev.MessageAdded)]
    assert is_well_formed(inner)


async def test_what_cannot_be_started_is_told_to_the_model(tmp_path: Path):
    orders = [
        (order("x", subagent_type="wizard"), "There is no agent type 'wizard'. Types: coder"),
        (order("x", resume="s9"), "There is no subagent 's9'"),
        (order("x", model="gpt-9"), "There is no model 'gpt-9'. Models: fake"),
        (order("first"), "fine"),
        (order("x", resume="s1", model="gpt-9"), "There is no model 'gpt-9'. Models: fake"),
        (order("second", resume="s1"), "fine"),
    ]

    def reply(request: Request):
        if task_of(request) != "go":
            return say("fine")
        done = sum(1 for m in request.messages if m.result)
        return calls(call("Agent", orders[done][0], f"a{done}")) if done < len(orders) else say("ok")

    session = house(tmp_path, ListProvider(reply)).open()
    events = await play(session, "go")
    for number, (_, text) in enumerate(orders):
        assert text in result_of(events, f"a{number}")


async def test_in_the_background_it_wakes_the_idle_agent(tmp_path: Path):
    release = asyncio.Event()

    async def hold(params, ctx) -> str:
        await release.wait()
        return "held"

    def reply(request: Request):
        task = task_of(request)
        if task == "go":
            if any("has ended" in m.text for m in request.messages):
                return say("I heard of it")
            return (
                calls(call("Agent", order("slow", run_in_background=True), "a1"))
                if len(request.messages) == 1
                else say("started")
            )
        return calls(call("Hold", "{}", "h1")) if len(request.messages) == 1 else say("slow is done")

    class Ear:
        def __init__(self) -> None:
            self.woken, self.seen = asyncio.Event(), []

        def show(self, event: ev.Event) -> None:
            self.seen.append(event)

        def wake(self) -> None:
            self.woken.set()

    ear = Ear()
    session = house(tmp_path, ListProvider(reply), [FakeTool("Hold", "read", hold)]).open()
    session.listen(ear)
    await play(session, "go")
    assert [task.kind for task in session.tasks.running()] == ["agent"]
    release.set()
    async with asyncio.timeout(20):
        await ear.woken.wait()
    events = [event async for event in session.go_on()]
    assert "slow is done" in str([m.text for m in session.runner.history.messages if m.origin == "agent"])
    assert [e.message.text for e in of(events, ev.MessageAdded) if e.message.role == "assistant"] == ["I heard of it"]
    assert any(isinstance(event, ev.Nested) for event in ear.seen), "its events are shown while nothing runs"


async def test_a_history_rebuilt_from_the_log_is_the_one_that_ran(tmp_path: Path):
    seen: list[list] = []

    def reply(request: Request):
        if task_of(request) in ("go", "again"):
            n = sum(1 for m in request.messages if m.result)
            if request.messages[-1].result:
                return say("ok")
            return calls(call("Agent", order(f"part {n}", **({"resume": "s1"} if n else {})), f"a{n}"))
        seen.append(list(request.messages))
        return calls(call("Look", "{}", f"l{len(seen)}")) if request.messages[-1].role == "user" else say("found")

    types = AgentTypes({"coder": AgentType("coder", "codes")})
    made = house(tmp_path, ListProvider(reply), [FakeTool("Look", "read", instant("x"))], types=types)
    session = made.open()
    await play(session, "go")
    await session.aclose()
    await play(made.open(session.id), "again")
    before, after = seen[1], seen[2]
    assert after[: len(before)] == before
    assert after[-1] == user_message("part 1")


async def allow(question) -> Allow:
    return Allow()


async def test_what_happens_in_the_background_while_the_end_of_a_turn_is_shown_is_shown_too(tmp_path: Path):
    session = house(tmp_path, ListProvider(lambda request: say("done"))).open()
    late = ev.Nested("a1", ev.Notice("info", "late"))
    shown = []
    async for event in session.prompt("go"):
        shown.append(event)
        if isinstance(event, ev.TurnEnded):
            await asyncio.sleep(0)
            await asyncio.sleep(0)  # the turn is over, this screen is slow
            session.emit_aside(late)
    assert shown[-1] == late
    assert session.events()[-1] == late
