"""Subagents in front and in the background, taken up again, stopped, interrupted, asked for, in plan mode, after a crash.

Whatever happens: what the parent and each subagent send to the model is well formed, the log gives the same history and
the same screen again, nothing waits for ever, and no call acts that the mode forbids.
"""

import asyncio
import random
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from machine import FakeTool, ListProvider, Params, Reply, call, calls, house, order, say, task_of
from nightly import examples

from kimi_agent.agent.agent_types import AgentType, AgentTypes
from kimi_agent.agent.history import fold, is_well_formed
from kimi_agent.agent.session import Session
from kimi_agent.agent.subagents import Budget
from kimi_agent.agent.tokens import history_tokens
from kimi_agent.agent.transcript import CallBlock, Transcript
from kimi_agent.core import event as ev
from kimi_agent.core.ask import Allow, Answer, Choice, Chosen, Deny, Dismissed, Question
from kimi_agent.core.errors import ContextOverflowError, ServerError, SessionError, ToolError
from kimi_agent.core.provider import Request, TextChunk, Tokens
from kimi_agent.core.task import TaskEnd
from kimi_agent.core.tool import ToolContext
from kimi_agent.tools.task_output import TaskOutput
from kimi_agent.tools.task_stop import TaskStop

TYPES = {
    "worker": AgentType("worker", "works", "You work."),
    "twin": AgentType("twin", "works", "You are a twin.", context="shared"),
    "fork": AgentType("fork", "works", "You are a fork.", context="fork", excluded=("Run",)),
}


class Life:
    """One session under random events; `dice` decides everything. It is its session's listener, too."""

    def __init__(self, folder: Path, dice: random.Random) -> None:
        self.dice, self.folder = dice, folder
        self.provider = ListProvider(self.reply, context_size=dice.choice([0, 0, 3000, 8000]))
        tools = [
            FakeTool("Look", "read", self.look),
            FakeTool("Run", "run", self.act),
            FakeTool("Bg", "run", self.background),
            TaskOutput(),
            TaskStop(),
        ]
        budget = Budget(max_steps=4, max_tokens=20_000)
        self.house = house(folder, self.provider, tools, types=AgentTypes(TYPES), budget=budget)
        self.session: Session = self.house.open(ask=self.answer)
        self.follow()

    # --- the model ----------------------------------------------------------------------------------------------------

    def reply(self, request: Request) -> Reply:
        if "Write that summary now" in request.messages[-1].text:
            return say("SUMMARY")
        chance = self.dice.random()
        if chance < 0.03:
            return [ContextOverflowError("too long")]
        if chance < 0.06:
            return [TextChunk("part"), ServerError("overloaded")]
        if chance < 0.45:
            return say("answer " * self.dice.randrange(1, 50))
        wanted = self.child_call if "child" in task_of(request) else self.parent_call
        deltas = calls(*(wanted(n) for n in range(self.dice.randrange(1, 4))))
        counted = Tokens(history_tokens(request.messages) + 300, 5)
        return [counted if isinstance(delta, Tokens) else delta for delta in deltas]

    def child_call(self, index: int) -> Any:
        name = self.dice.choice(["Look", "Run", "Run", "Bg", "Agent", "ExitPlanMode"])
        return call(name, f'{{"path":"{self.dice.randrange(99)}"}}', index=index)

    def parent_call(self, index: int) -> Any:
        name = self.dice.choice(
            ["Agent"] * 5 + ["Run", "Bg", "TaskOutput", "TaskStop", "EnterPlanMode", "ExitPlanMode"]
        )
        match name:
            case "Agent":
                more: dict[str, Any] = {"subagent_type": self.dice.choice(list(TYPES))}
                if self.dice.random() < 0.3:
                    more = {"resume": f"s{self.dice.randrange(1, 4)}"}
                more["run_in_background"] = self.dice.random() < 0.4
                arguments = order(f"child {self.dice.randrange(99)}", **more)
            case "TaskOutput" | "TaskStop":
                arguments = f'{{"task_id":"{self.dice.choice("ab")}{self.dice.randrange(1, 4)}"}}'
            case "ExitPlanMode":
                arguments = '{"plan":"the plan"}'
            case _:
                arguments = f'{{"path":"{self.dice.randrange(99)}"}}'
        return call(name, arguments, index=index)

    # --- the tools ----------------------------------------------------------------------------------------------------

    async def look(self, params: Params, ctx: ToolContext) -> str:
        self.disturb()
        await self.pause()
        return "out " * self.dice.randrange(1, 300)

    async def act(self, params: Params, ctx: ToolContext) -> str:
        assert self.session.mode != "plan", "nothing is run in plan mode"
        ctx.progress("live")
        return await self.look(params, ctx)

    async def background(self, params: Params, ctx: ToolContext) -> str:
        assert self.session.mode != "plan"

        async def work() -> TaskEnd:
            await self.pause()
            return TaskEnd(False, 0, "worked")

        return ctx.tasks.start("command", "bg", work(), call_id=ctx.call_id, output=self.folder / "out").id

    async def pause(self) -> None:
        for _ in range(self.dice.randrange(30)):
            await asyncio.sleep(0)

    def disturb(self) -> None:
        """What a person does while it works."""
        session, deed = self.session, self.dice.random()
        if deed < 0.06:
            session.steer("steered")
        elif deed < 0.1:
            session.queue("queued")
        elif deed < 0.16:
            session.interrupt()
        elif deed < 0.22 and session.running:
            session.set_mode(self.dice.choice(["plan", "default", "yolo"]))
        elif deed < 0.26 and session.running:
            session.announce(ev.Notice("info", "notice"))

    async def answer(self, question: Question) -> Answer:
        await self.pause()
        self.disturb()
        if isinstance(question, Choice):
            return self.dice.choice([Dismissed(), Chosen((("Approve",),)), Chosen((("Reject",),))])
        if self.session.mode == "plan":
            return Deny("plan mode")
        return self.dice.choice([Allow(), Allow(), Allow("session"), Deny(), Deny("no")])

    # --- the person ---------------------------------------------------------------------------------------------------

    async def live(self, steps: int) -> None:
        await self.ask(0)
        for number in range(1, steps):
            deeds = [self.ask, self.go_on, self.compact, self.undo, self.stop, self.resume, self.crash]
            (deed,) = self.dice.choices(deeds, [50, 15, 6, 9, 6, 7, 7])
            try:
                await deed(number)
            except (SessionError, ToolError):
                assert not self.session.running
            self.check()
        await self.resume(0)
        self.check()
        await self.session.aclose()

    async def ask(self, number: int) -> None:
        async for event in self.session.prompt(f"prompt {number}"):
            self.screen.apply(event)

    async def go_on(self, number: int) -> None:
        await self.pause()
        async for event in self.session.go_on():
            self.screen.apply(event)

    async def compact(self, number: int) -> None:
        async for event in self.session.compact():
            self.screen.apply(event)

    async def undo(self, number: int) -> None:
        for event in self.session.undo(self.dice.randrange(1, 4)):
            self.screen.apply(event)

    async def stop(self, number: int) -> None:
        await self.session.tasks.stop(f"{self.dice.choice('ab')}{self.dice.randrange(1, 5)}")

    async def resume(self, number: int) -> None:
        await self.session.aclose()
        assert picture(self.screen) == picture(self.replayed())
        self.session = self.house.open(self.session.id, ask=self.answer)
        self.follow()

    async def crash(self, number: int) -> None:
        """Killed at any moment: what the log has by then is all that is left."""
        path = self.house.store.path(self.session.id)
        await asyncio.wait([asyncio.ensure_future(self.pause()), turn := asyncio.ensure_future(self.ask(number))],
                           return_when=asyncio.FIRST_COMPLETED)  # fmt: skip
        whole = path.read_bytes()
        self.session.interrupt()
        await asyncio.wait([turn])
        await self.session.aclose()
        path.write_bytes(whole[: len(whole) - self.dice.randrange(40)])
        self.session = self.house.open(self.session.id, ask=self.answer)
        self.follow()

    # --- what is watched ----------------------------------------------------------------------------------------------

    def follow(self) -> None:
        self.screen = self.replayed()
        self.session.listen(self)

    def show(self, event: ev.Event) -> None:
        self.screen.apply(event)

    def wake(self) -> None:
        pass

    def replayed(self) -> Transcript:
        transcript = Transcript()
        for event in self.session.events():
            transcript.apply(event)
        return transcript

    def check(self) -> None:
        session = self.session
        messages = session.runner.history.messages
        assert not session.running
        assert is_well_formed(messages)
        assert all(is_well_formed(request.messages) for request in self.provider.requests)
        self.provider.requests.clear()
        assert fold(session.events(), self.house.store.scratch(session.id)).messages == messages
        assert not any(ev.is_delta(event) for event in session.events())
        if not session.tasks.running():  # else a subagent may be in the middle of a word
            assert picture(self.screen) == picture(self.replayed())


def picture(transcript: Transcript) -> list[Any]:
    """What a person sees, but for what only goes by."""
    return [
        (
            type(block).__name__,
            getattr(block, "text", ""),
            *((block.call.name, block.result, block.display) if isinstance(block, CallBlock) else ()),
            *((picture(block.nested),) if isinstance(block, CallBlock) and block.nested else ()),
        )
        for block in transcript.blocks
        if not block.void
    ]


@given(st.integers(0, 2**32), st.integers(3, 12))
@settings(max_examples=examples(30))
def test_parents_and_subagents_tell_one_story(seed: int, steps: int):
    with tempfile.TemporaryDirectory() as folder:

        async def run() -> None:
            await Life(Path(folder), random.Random(seed)).live(steps)

        asyncio.run(asyncio.wait_for(run(), 60))
