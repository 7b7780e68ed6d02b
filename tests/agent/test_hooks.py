"""The user's hooks, as real commands: what they are told, what they can refuse, change and add, and what they cannot."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from fakes import fold
from machine import FakeTool, House, ListProvider, Params, allow, call, calls, instant, of, play, say

from kimi_agent.agent.history import is_well_formed
from kimi_agent.agent.hooks import Hooks, understand
from kimi_agent.agent.session import Session
from kimi_agent.agent.transcript import CallBlock
from kimi_agent.core import event as ev
from kimi_agent.core.ask import Answer, Deny, Permission, Question
from kimi_agent.core.display import Plain
from kimi_agent.core.hook import Hook, HookExit
from kimi_agent.core.tool import ToolContext
from kimi_agent.workspaces.command import run_hook


def hooked(folder: Path, provider: Any, tools: Any, *hooks: Hook) -> House:
    house = House(folder, provider, tools)
    house.agent.make_hooks = lambda *session: Hooks(hooks, run_hook, *session)
    return house


def results(session: Session) -> list[str]:
    found = [event.message.result for event in of(session.events(), ev.MessageAdded)]
    return ["\n".join(part.text for part in result.content) for result in found if result]


def notices(session: Session) -> list[str]:
    return [event.text for event in of(session.events(), ev.Notice)]


def told(house: House, name: str) -> Any:
    return json.loads((house.folder / "work" / name).read_text())


def echo(params: Params, ctx: ToolContext) -> Any:
    return instant(f"{params.path}:{params.text}")(params, ctx)


def output(**specific: Any) -> str:
    """A command that prints this as its `hookSpecificOutput`."""
    return f"echo '{json.dumps({'hookSpecificOutput': specific})}'"


ONE_CALL = [calls(call("Write", '{"path": "a", "text": "1"}')), say("done")]


# --- before a call ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        "echo 'use rg' >&2; exit 2",
        output(permissionDecision="deny", permissionDecisionReason="use rg"),
        """echo '{"decision": "block", "reason": "use rg"}'""",
    ],
)
async def test_a_hook_refuses_a_call_and_the_model_learns_why(tmp_path: Path, command: str):
    provider = ListProvider(ONE_CALL)
    house = hooked(tmp_path, provider, [FakeTool("Write", "write", echo)], Hook("PreToolUse", command, "Write"))
    session = house.open()
    events = await play(session, "go")
    assert results(session) == ["Blocked by a hook of the user: use rg"]
    assert not of(events, ev.ToolStarted)
    assert any("objected: use rg" in text for text in notices(session))
    assert events[-1].stop == "done"


async def test_a_hook_is_told_what_kimi_cli_told_it(tmp_path: Path):
    house = hooked(
        tmp_path, ListProvider(ONE_CALL), [FakeTool("Write", "write", echo)],
        Hook("PreToolUse", "cat > pre.json"), Hook("PostToolUse", "cat > post.json", "^Wri"),
    )  # fmt: skip
    session = house.open()
    await play(session, "go")
    common = {"session_id": session.id, "cwd": str(session.cwd), "tool_name": "Write", "tool_call_id": "Write:0"}
    common |= {"tool_input": {"path": "a", "text": "1"}, "transcript_path": str(house.store.scratch(session.id))}
    common["transcript_path"] = told(house, "pre.json")["transcript_path"]
    assert Path(common["transcript_path"]).is_file()
    assert told(house, "pre.json") == common | {"hook_event_name": "PreToolUse"}
    assert told(house, "post.json") == common | {"hook_event_name": "PostToolUse", "tool_output": "a:1"}


async def test_a_matcher_is_searched_and_a_command_runs_once(tmp_path: Path):
    line = "echo x >> runs.txt"
    house = hooked(
        tmp_path, ListProvider(ONE_CALL), [FakeTool("Write", "write", echo)],
        Hook("PreToolUse", line, "Read|Wr"), Hook("PreToolUse", line), Hook("PreToolUse", "touch no.txt", "^rite"),
    )  # fmt: skip
    await play(house.open(), "go")
    assert (tmp_path / "work" / "runs.txt").read_text() == "x\n"
    assert not (tmp_path / "work" / "no.txt").exists()


async def test_a_rewritten_input_is_what_is_judged_shown_and_run(tmp_path: Path):
    asked: list[Permission] = []

    async def ask(question: Question) -> Answer:
        assert isinstance(question, Permission)
        asked.append(question)
        return await allow(question)

    command = output(permissionDecision="allow", updatedInput={"path": "b", "text": "2"})
    house = hooked(
        tmp_path, ListProvider(ONE_CALL), [FakeTool("Write", "write", echo)], Hook("PreToolUse", command)
    )  # fmt: skip
    session = house.open(ask=ask)
    events = await play(session, "go")
    (question,) = asked  # "allow" of a hook spares no question
    assert question.effects[0].target == "b"
    assert question.preview == Plain("Write b")
    (started,) = of(events, ev.ToolStarted)
    assert json.loads(started.call.arguments) == {"path": "b", "text": "2"}
    assert [block.call for block in fold(session.events()).blocks if isinstance(block, CallBlock)] == [started.call]
    assert results(session)[0].startswith("b:2\n[A hook of the user changed the input")
    assert any("changed the input of Write" in text for text in notices(session))


@pytest.mark.parametrize("wrong", [{"times": "many"}, {"path": "forbidden"}])
async def test_a_wrong_rewrite_refuses_the_call(tmp_path: Path, wrong: dict[str, str]):
    house = hooked(
        tmp_path, ListProvider(ONE_CALL), [FakeTool("Write", "write", echo)],
        Hook("PreToolUse", output(updatedInput=wrong)),
    )  # fmt: skip
    session = house.open()
    events = await play(session, "go")
    assert not of(events, ev.ToolStarted)
    assert "a:1" not in results(session)[0]


async def test_rewritten_calls_that_now_conflict_run_in_order(tmp_path: Path):
    log: list[str] = []

    async def run(params: Params, ctx: ToolContext) -> str:
        log.append("start")
        await asyncio.sleep(0)
        log.append("end")
        return "ok"

    reply = calls(call("Write", '{"path":"a"}', index=0), call("Write", '{"path":"b"}', index=1))
    house = hooked(
        tmp_path, ListProvider([reply, say("done")]), [FakeTool("Write", "write", run)],
        Hook("PreToolUse", output(updatedInput={"path": "same"})),
    )  # fmt: skip
    await play(house.open(), "go")
    assert log == ["start", "end", "start", "end"]


async def test_what_a_hook_allows_plan_mode_still_forbids(tmp_path: Path):
    house = hooked(
        tmp_path, ListProvider(ONE_CALL), [FakeTool("Write", "write", echo)],
        Hook("PreToolUse", output(permissionDecision="allow")),
    )  # fmt: skip
    session = house.open(mode="plan")
    assert not of(await play(session, "go"), ev.ToolStarted)
    assert "Plan mode is on" in results(session)[0]


async def test_a_hook_has_a_person_asked_even_in_yolo_mode(tmp_path: Path):
    async def no(question: Question) -> Answer:
        return Deny("not that")

    house = hooked(
        tmp_path, ListProvider(ONE_CALL), [FakeTool("Write", "write", echo)],
        Hook("PreToolUse", output(permissionDecision="ask")),
    )  # fmt: skip
    session = house.open(mode="yolo", ask=no)
    await play(session, "go")
    assert results(session) == ["Not allowed: not that"]


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("exit 3", "exit code 3"),
        ("echo oops >&2; exit 1", "exit code 1: oops"),
        ("sleep 60", "no end after"),
        ("kill -9 $$", "exit code 137"),
        ("echo '{broken'", "its output is no JSON"),
        (output(permissionDecision="perhaps"), "its output is not as documented"),
        (output(updatedInput=[1]), "its output is not as documented"),
        ("no-such-program-at-all", "exit code 127"),
    ],
)
@pytest.mark.parametrize("strict", [False, True])
async def test_a_hook_that_fails_is_told_and_denies_only_when_strict(
    tmp_path: Path, command: str, why: str, strict: bool
):
    house = hooked(
        tmp_path, ListProvider(ONE_CALL), [FakeTool("Write", "write", echo)],
        Hook("PreToolUse", command, timeout=0.3 if "sleep" in command else 20, strict=strict),
    )  # fmt: skip
    session = house.open()
    ran = of(await play(session, "go"), ev.ToolStarted)
    assert bool(ran) is not strict
    assert any(why in text for text in notices(session))
    assert (why in results(session)[0]) is strict


async def test_an_interrupt_kills_the_hook_with_its_children_and_closes_the_call(tmp_path: Path):
    pids = tmp_path / "pids"
    command = f"sleep 300 & echo $! $$ > {pids}.new && mv {pids}.new {pids}; wait"
    house = hooked(
        tmp_path, ListProvider(ONE_CALL), [FakeTool("Write", "write", echo)], Hook("PreToolUse", command)
    )  # fmt: skip
    session = house.open()
    turn = asyncio.create_task(play(session, "go"))
    async with asyncio.timeout(20):
        while not pids.exists():
            await asyncio.sleep(0.01)
        session.interrupt()
        events = await turn
    assert of(events, ev.TurnEnded)[-1].stop == "interrupted"
    assert is_well_formed(session.runner.history.messages)
    assert results(session) == ["Interrupted by the user before the call began. Nothing was done."]
    for pid in pids.read_text().split():
        stat = Path(f"/proc/{pid}/stat")
        assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


# --- after a call -----------------------------------------------------------------------------------------------------


async def test_an_objection_after_a_call_joins_its_result(tmp_path: Path):
    house = hooked(
        tmp_path, ListProvider(ONE_CALL), [FakeTool("Write", "write", echo)],
        Hook("PostToolUse", "echo 'line 3 is too long' >&2; exit 2"), Hook("PostToolUse", "echo formatted a"),
        Hook("PostToolUse", output(additionalContext="see STYLE.md")), Hook("PostToolUseFailure", "touch no.txt"),
    )  # fmt: skip
    session = house.open()
    await play(session, "go")
    assert results(session) == ["a:1\n[A hook of the user objects: line 3 is too long]\n[see STYLE.md]"]
    assert not (tmp_path / "work" / "no.txt").exists()


async def test_a_failed_call_has_an_event_of_its_own(tmp_path: Path):
    async def fail(params: Params, ctx: ToolContext) -> str:
        raise RuntimeError("disk on fire")

    house = hooked(
        tmp_path, ListProvider(ONE_CALL), [FakeTool("Write", "write", fail)],
        Hook("PostToolUse", "touch no.txt"), Hook("PostToolUseFailure", "cat > failure.json"),
    )  # fmt: skip
    await play(house.open(), "go")
    assert "disk on fire" in told(house, "failure.json")["error"]
    assert not (tmp_path / "work" / "no.txt").exists()


async def test_a_call_that_ran_keeps_its_result_when_its_hooks_are_interrupted(tmp_path: Path):
    house = hooked(
        tmp_path, ListProvider(ONE_CALL), [FakeTool("Write", "write", echo)],
        Hook("PostToolUse", "touch begun; exec sleep 300"),
    )  # fmt: skip
    session = house.open()
    turn = asyncio.create_task(play(session, "go"))
    async with asyncio.timeout(20):
        while not (tmp_path / "work" / "begun").exists():
            await asyncio.sleep(0.01)
        session.interrupt()
        await turn
    assert results(session) == ["a:1"]


# --- prompts and turns ------------------------------------------------------------------------------------------------


async def test_a_refused_prompt_reaches_neither_the_model_nor_the_history(tmp_path: Path):
    provider = ListProvider([say("hi")])
    command = "grep -q password && { echo 'no secrets' >&2; exit 2; }; exit 0"
    house = hooked(tmp_path, provider, [], Hook("UserPromptSubmit", command), Hook("StopFailure", "touch no.txt"))
    session = house.open()
    end = of(await play(session, "my password is x"), ev.TurnEnded)[-1]
    assert (end.stop, end.kind, end.error) == ("error", "PromptRefusedError", "A hook refused the prompt: no secrets")
    assert not session.runner.history.messages
    assert of(await play(session, "hello"), ev.TurnEnded)[-1].stop == "done"
    assert [m.text for m in provider.requests[0].messages] == ["hello"]
    assert not (tmp_path / "work" / "no.txt").exists()


async def test_the_start_of_a_session_and_a_prompt_add_context_once(tmp_path: Path):
    provider = ListProvider([say("a"), say("b"), say("c")])
    house = hooked(
        tmp_path, provider, [], Hook("SessionStart", "cat > start.json; echo branch main"),
        Hook("UserPromptSubmit", output(additionalContext="be brief"), "short"),
        Hook("SessionEnd", "cat > end.json"),
    )  # fmt: skip
    session = house.open()
    await play(session, "short please")
    await play(session, "again")
    head = "[Context from the user's hooks]"
    texts = [(m.text, m.origin) for m in provider.requests[1].messages]
    assert texts == [
        ("short please", "person"), (f"{head}\nbranch main\nbe brief", "agent"), ("a", "model"), ("again", "person"),
    ]  # fmt: skip
    assert told(house, "start.json")["source"] == "startup"
    await session.aclose()
    assert told(house, "end.json")["reason"] == "exit"
    later = house.open(session.id)
    await play(later, "back")
    assert told(house, "start.json")["source"] == "resume"
    await house.agent.aclose()


async def test_a_session_without_a_turn_has_no_end(tmp_path: Path):
    house = hooked(tmp_path, ListProvider([]), [], Hook("SessionEnd", "touch end.txt"))
    await house.open().aclose()
    assert not (tmp_path / "work" / "end.txt").exists()


async def test_stop_makes_the_turn_go_on_once_and_never_endlessly(tmp_path: Path):
    provider = ListProvider([say("done"), say("really done")])
    house = hooked(
        tmp_path, provider, [], Hook("Stop", "cat >> stops; echo >> stops; echo 'run the tests' >&2; exit 2")
    )
    events = await play(house.open(), "go")
    assert of(events, ev.TurnEnded)[-1].stop == "done"
    assert "run the tests" in provider.requests[1].messages[-1].text
    told_twice = [json.loads(line) for line in (tmp_path / "work" / "stops").read_text().splitlines()]
    assert [each["stop_hook_active"] for each in told_twice] == [False, True]


async def test_a_failed_turn_has_its_event(tmp_path: Path):
    house = hooked(
        tmp_path, ListProvider([[RuntimeError("broken")]]), [],
        Hook("StopFailure", "cat > failure.json", "RuntimeError"), Hook("Stop", "touch no.txt"),
    )  # fmt: skip
    assert of(await play(house.open(), "go"), ev.TurnEnded)[-1].stop == "error"
    failure = told(house, "failure.json")
    assert failure["error_type"] == "RuntimeError"
    assert "broken" in failure["error_message"]
    assert not (tmp_path / "work" / "no.txt").exists()


async def test_what_is_steered_in_is_shown_to_the_hooks_too(tmp_path: Path):
    async def steer(params: Params, ctx: ToolContext) -> str:
        session.steer("secret")
        session.steer("fine")
        return "ok"

    provider = ListProvider([calls(call("Look")), say("done")])
    house = hooked(
        tmp_path, provider, [FakeTool("Look", "read", steer)], Hook("UserPromptSubmit", "exit 2", "^secret$")
    )  # fmt: skip
    session = house.open()
    await play(session, "go")
    assert [m.text for m in provider.requests[1].messages if m.role == "user"] == ["go", "fine"]


async def test_compaction_is_told_before_and_after(tmp_path: Path):
    provider = ListProvider([say("word " * 3000), say("a summary")])
    house = hooked(
        tmp_path, provider, [], Hook("PreCompact", "cat > pre.json"), Hook("PostCompact", "cat > post.json", "manual")
    )  # fmt: skip
    session = house.open()
    await play(session, "go")
    (compacted,) = of([event async for event in session.compact()], ev.Compacted)
    assert told(house, "pre.json")["trigger"] == "manual"
    assert told(house, "pre.json")["token_count"] == compacted.before
    assert told(house, "post.json")["estimated_token_count"] == compacted.after


async def test_a_question_that_waits_is_a_notification(tmp_path: Path):
    seen = tmp_path / "work" / "note.json"

    async def ask(question: Question) -> Answer:
        async with asyncio.timeout(20):
            while not seen.exists():  # it comes while the question waits
                await asyncio.sleep(0.01)
        return await allow(question)

    house = hooked(
        tmp_path, ListProvider(ONE_CALL), [FakeTool("Write", "write", echo)],
        Hook("Notification", "cat > n.new; mv n.new note.json", "permission_prompt"),
    )  # fmt: skip
    await play(house.open(ask=ask), "go")
    note = told(house, "note.json")
    assert (note["notification_type"], note["body"]) == ("permission_prompt", "a")
    assert note["title"] == "Write waits for your permission"


# --- odds and ends ----------------------------------------------------------------------------------------------------


async def test_much_on_stdin_and_a_hook_that_reads_none_of_it(tmp_path: Path):
    big = json.dumps({"text": "x" * 300_000})
    house = hooked(
        tmp_path, ListProvider([calls(call("Write", big)), say("done")]), [FakeTool("Write", "write", echo)],
        Hook("PreToolUse", "true"), Hook("PreToolUse", "wc -c > size"),
    )  # fmt: skip
    session = house.open()
    await play(session, "go")
    assert int((tmp_path / "work" / "size").read_text()) > 300_000
    assert not notices(session)


async def test_a_child_that_a_hook_leaves_behind_holds_nothing_up(tmp_path: Path):
    done = await run_hook("sleep 300 & echo said; echo loud >&2; exit 2", b"{}", tmp_path, 60)
    assert done == HookExit(2, "said\n", "loud\n")


async def test_hooks_do_not_get_the_secrets_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOME_API_KEY", "sk-secret")
    done = await run_hook("env", b"", tmp_path, 10)
    assert done.code == 0
    assert "sk-secret" not in done.stdout


@pytest.mark.parametrize("text", ["{not json", '{"name": "package.json"}', "plain words"])
def test_what_a_prompt_hook_prints_is_context_whatever_it_looks_like(text: str):
    assert understand(Hook("UserPromptSubmit", "c"), HookExit(0, text)).context == text


@pytest.mark.parametrize("reason", [None, 7, ["a"], {"a": 1}])
def test_a_denial_holds_whatever_its_reason_looks_like(reason: Any):
    specific = {"permissionDecision": "deny", "permissionDecisionReason": reason, "additionalContext": None}
    said = understand(Hook("PreToolUse", "c"), HookExit(0, json.dumps({"hookSpecificOutput": specific})))
    assert said.objection == (str(reason) if reason else "no reason given")


def test_a_strict_guard_prints_json_or_nothing():
    text = 'debug\n{"hookSpecificOutput": {"permissionDecision": "deny"}}'
    assert understand(Hook("PreToolUse", "c", strict=True), HookExit(0, text)).failure
    assert not understand(Hook("PreToolUse", "c", strict=True), HookExit(0, "\n")).failure
    assert not understand(Hook("PostToolUse", "c", strict=True), HookExit(0, "1 file reformatted")).failure


def test_without_hooks_nothing_of_them_is_loaded(tmp_path: Path):
    import subprocess
    import sys

    script = "import sys, kimi_agent.build, kimi_agent.agent.session; sys.exit('kimi_agent.agent.hooks' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2]).returncode == 0
