"""`kimi -p`: standard output is only the answer; exit codes say the rest."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fakes import FakeAgent, FakeSession, Script, calls, says

from kimi_agent.core import event as ev
from kimi_agent.core.ask import Choice, Deny, Dismissed, Item, Option, Permission
from kimi_agent.core.effect import Effect
from kimi_agent.core.exit import ExitCode
from kimi_agent.core.message import Message, Text, ToolCall, tool_message
from kimi_agent.frontends import FRONTENDS, load
from kimi_agent.frontends.print import PrintFrontend
from kimi_agent.frontends.stdio import Output

CALL = ToolCall("c1", "Shell", '{"command": "make test"}')
RUN = (Effect("run", "make test"),)


class Run:
    """A finished run: what it wrote and how it ended."""

    def __init__(self, code: int, out: bytes, err: str, session: FakeSession | None) -> None:
        self.code, self.out, self.err, self.session = code, out.decode(), err, session

    @property
    def result(self) -> dict[str, object]:
        return json.loads(self.out.splitlines()[-1])


async def run(*scripts: Script, prompt: str = "do it", **options: object) -> Run:
    out, err = io.BytesIO(), io.StringIO()
    agent = FakeAgent(*scripts)
    frontend = PrintFrontend(prompt, stdout=Output(out), stderr=err, **options)
    code = await frontend.run(agent)
    return Run(code, out.getvalue(), err.getvalue(), next(iter(agent.sessions.values()), None))


def ends(end: ev.TurnEnded, text: str = "half") -> Script:
    async def turn(session: FakeSession, prompt: str) -> AsyncIterator[ev.Event]:
        yield ev.StepStarted(1, "fake")
        yield ev.MessageAdded(Message("assistant", (Text(text),), "model"))
        yield end

    return turn


async def asks(session: FakeSession, text: str) -> AsyncIterator[ev.Event]:
    yield ev.StepStarted(1, "fake")
    await session.question(Permission(CALL, RUN))
    await session.question(Choice((Item("Which?", (Option("a"), Option("b"))),)))
    yield ev.MessageAdded(Message("assistant", (Text("could not run it"),), "model"))


async def test_text_is_the_answer_and_nothing_else() -> None:
    done = await run(says("Hello", " [/foo] [bold]world"))
    assert (done.code, done.out, done.err) == (0, "Hello [/foo] [bold]world\n", "")


async def test_the_prompt_is_never_read_as_markup() -> None:
    done = await run(says("ok"), prompt="what does [/foo] do?")
    assert done.session is not None
    assert done.session.prompts == ["what does [/foo] do?"]


async def test_only_the_text_after_the_last_call_is_the_answer() -> None:
    done = await run(calls(CALL, RUN, ev.ToolFinished("c1"), "ok", "all green"))
    assert done.out == "all green\n"


async def test_progress_goes_to_stderr_when_asked_for() -> None:
    finished = ev.ToolFinished("c1", is_error=True)
    done = await run(calls(CALL, RUN, finished, "boom", "done\x1b[2J"), verbose=True)
    assert "Shell make test\n  Shell failed: boom\n" in done.err
    assert "session: session-1" in done.err


async def test_a_call_that_never_began_is_named_with_its_error() -> None:
    async def turn(session: FakeSession, prompt: str) -> AsyncIterator[ev.Event]:
        yield ev.MessageAdded(Message("assistant", (ToolCall("c9", "Shel", "{"),), "model"))
        yield ev.ToolFinished("c9", is_error=True)
        yield ev.MessageAdded(tool_message("c9", "There is no tool Shel.", is_error=True))
        yield ev.MessageAdded(Message("assistant", (Text("ok"),), "model"))

    assert "Shel failed: There is no tool Shel.\n" in (await run(turn, verbose=True)).err


async def test_json_is_one_object_with_every_field() -> None:
    done = await run(says("four"), output="json")
    assert done.out.count("\n") == 1
    result = done.result
    assert isinstance(result.pop("duration_s"), float)
    assert result == {
        "type": "result",
        "session_id": "session-1",
        "result": "four",
        "usage": {"input": 10, "cached": 0, "output": 2},
        "cost": None,
        "steps": 1,
        "turns": 1,
        "stop": "done",
        "error": "",
        "kind": "",
        "model": "fake",
        "denied": [],
        "exit_code": 0,
        "evidence": [],
        "goal": None,
    }


async def test_a_step_that_is_asked_again_counts_once() -> None:
    async def turn(session: FakeSession, text: str) -> AsyncIterator[ev.Event]:
        yield ev.StepStarted(1, "fake")
        yield ev.Compacted(900, 100)
        yield ev.StepStarted(1, "fake")
        yield ev.TurnEnded("done", steps=1)

    assert (await run(turn, output="json")).result["steps"] == 1


async def test_cost_and_tokens_count_subagents() -> None:
    async def turn(session: FakeSession, text: str) -> AsyncIterator[ev.Event]:
        yield ev.StepStarted(1, "fake")
        yield ev.Usage("fake", 100, 10, cached=60, cost=0.25)
        yield ev.Nested("c1", ev.Nested("c2", ev.Usage("other", 1000, 5, cost=0.5)))

    done = await run(turn, output="json")
    assert done.result["usage"] == {"input": 1100, "cached": 60, "output": 15}
    assert done.result["cost"] == 0.75


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (ev.TurnEnded("interrupted"), 130),
        (ev.TurnEnded("max_steps"), 4),
        (ev.TurnEnded("repeated_calls"), 4),
        (ev.TurnEnded("rejected"), 3),
        (ev.TurnEnded("error", "no", kind="BadRequestError"), 1),
        (ev.TurnEnded("error", "no", kind="ZeroDivisionError"), 1),
        (ev.TurnEnded("error", "no"), 1),
        (ev.TurnEnded("error", "no", kind="AuthError"), 7),
        (ev.TurnEnded("error", "no", kind="NoModelError"), 7),
        (ev.TurnEnded("error", "no", kind="RateLimitError"), 75),
        (ev.TurnEnded("error", "no", kind="ConnectionFailed"), 75),
        (ev.TurnEnded("error", "no", kind="QuotaError"), 1),
    ],
)
async def test_exit_codes(end: ev.TurnEnded, code: int) -> None:
    done = await run(ends(end))
    assert done.code == code
    assert done.out == "", "half an answer must not look like one"
    assert done.err != ""


async def test_every_stop_has_a_code() -> None:
    from typing import get_args

    from kimi_agent.core.exit import exit_code

    assert {exit_code(ev.TurnEnded(stop)) for stop in get_args(ev.Stop)} <= set(ExitCode)


async def test_what_needs_a_permission_is_denied_and_told() -> None:
    done = await run(asks, output="json")
    assert done.code == ExitCode.DENIED
    assert done.session is not None
    denied, dismissed = done.session.answers
    assert isinstance(denied, Deny)
    assert "--yolo" in denied.feedback
    assert isinstance(dismissed, Dismissed)
    assert [(item["tool"], item["targets"]) for item in done.result["denied"]] == [("Shell", ["make test"])]  # type: ignore[attr-defined]
    assert "--yolo" in done.err


async def test_a_denied_run_still_prints_its_answer() -> None:
    done = await run(asks)
    assert done.out == "could not run it\n"


async def test_an_unknown_session_is_a_usage_error_with_a_result() -> None:
    done = await run(says("x"), output="stream-json", session_id="nope")
    assert done.code == ExitCode.USAGE
    assert done.result["error"] == "There is no session 'nope'."
    assert done.result["kind"] == "SessionError"


async def test_no_prompt_is_a_usage_error() -> None:
    assert (await run(says("x"), prompt=" \n")).code == ExitCode.USAGE


async def test_an_internal_error_leaves_a_result_and_is_raised() -> None:
    async def breaks(session: FakeSession, text: str) -> AsyncIterator[ev.Event]:
        raise ZeroDivisionError("oops")
        yield

    out = io.BytesIO()

    class Broken(FakeSession):
        async def prompt(self, text, images=(), typed=None) -> AsyncIterator[ev.Event]:
            async for event in breaks(self, text):
                yield event

    class BrokenAgent(FakeAgent):
        def open(self, session_id: str | None = None, **options: object) -> FakeSession:  # type: ignore[override]
            return Broken(self, "s", options["ask"], Path("/"))  # type: ignore[arg-type]

    frontend = PrintFrontend("x", output="json", stdout=Output(out), stderr=io.StringIO())
    with pytest.raises(ZeroDivisionError):
        await frontend.run(BrokenAgent(says("x")))
    assert json.loads(out.getvalue())["kind"] == "ZeroDivisionError"


async def test_a_lone_surrogate_does_not_break_the_output() -> None:
    assert (await run(says("a\ud83d"))).out == "a?\n"
    assert (await run(says("a\ud83d"), output="json")).result["result"] == "a\ud83d"


async def test_outer_cancellation_is_not_swallowed() -> None:
    started = asyncio.Event()

    async def hangs(session: FakeSession, text: str) -> AsyncIterator[ev.Event]:
        yield ev.StepStarted(1, "fake")
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(run(hangs))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("name", [name for name in FRONTENDS if name not in ("line", "tui")])
def test_the_table_leads_to_front_ends(name: str) -> None:
    assert callable(load(name)("x").run)
