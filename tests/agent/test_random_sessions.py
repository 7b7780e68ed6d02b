"""Whatever a session goes through, the screen, the log and the model tell the same story.

Turns with steering, interrupts and failures, compactions, undo, fork and resume, in any order: the history stays well formed,
the fold of the log gives it again, and what the person sees of their own words is what the model has of them.
"""

import asyncio
import contextlib
import random
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from machine import FakeTool, House, ListProvider, Params, Reply, call, calls, say
from nightly import examples

from kimi_agent.agent.context_use import context_use, drop, pin, restore
from kimi_agent.agent.history import fold, is_well_formed
from kimi_agent.agent.session import Session
from kimi_agent.agent.tokens import history_tokens
from kimi_agent.agent.transcript import PromptBlock, Transcript
from kimi_agent.core import event as ev
from kimi_agent.core.errors import ContextOverflowError, ServerError, SessionError
from kimi_agent.core.message import Message, Text
from kimi_agent.core.provider import Request, TextChunk, Tokens
from kimi_agent.core.tool import ToolContext


class Life:
    """One session under random events; `dice` decides everything."""

    def __init__(self, folder: Path, dice: random.Random) -> None:
        self.dice = dice
        self.provider = ListProvider(self.reply, context_size=dice.choice([0, 1500, 4000, 8000]))
        self.house = House(folder, self.provider, [FakeTool("Look", "read", self.look)])
        self.session: Session = self.house.open()
        self.screen = self.replayed()

    def reply(self, request: Request) -> Reply:
        if "Write that summary now" in request.messages[-1].text:
            failures = [[ServerError("overloaded")], [ContextOverflowError("too long")]]
            return self.dice.choice([say("SUMMARY"), say(""), *failures])
        chance = self.dice.random()
        if chance < 0.05:
            return [ContextOverflowError("too long")]
        if chance < 0.1:
            return [TextChunk("part"), ServerError("overloaded")]
        if chance < 0.6:
            paths = (self.dice.randrange(99) for _ in range(self.dice.randrange(1, 4)))
            deltas = calls(*(call("Look", f'{{"path":"{path}"}}', index=n) for n, path in enumerate(paths)))
        else:
            deltas = say("answer " * self.dice.randrange(1, 300)) if chance > 0.65 else calls(call("Nope"))
        counted = Tokens(history_tokens(request.messages) + 300, 5)
        return [counted if isinstance(delta, Tokens) else delta for delta in deltas]

    async def look(self, params: Params, ctx: ToolContext) -> str:
        if self.dice.random() < 0.1:
            self.session.steer("steered")
        if self.dice.random() < 0.05:
            self.session.queue("queued")
        if self.dice.random() < 0.05:
            self.session.interrupt()
        return "out " * self.dice.randrange(1, 2000)

    async def live(self, steps: int) -> None:
        for number in range(steps):
            deeds = [self.ask, self.compact, self.undo, self.redo, self.resume, self.fork, self.change_context]
            (deed,) = self.dice.choices(deeds, [42, 11, 14, 9, 7, 6, 15])
            try:
                await deed(number)
            except SessionError:
                assert not self.session.running
            self.check()
        await self.session.aclose()

    async def ask(self, number: int) -> None:
        async for event in self.session.prompt(f"prompt {number}"):
            self.screen.apply(event)

    async def compact(self, number: int) -> None:
        before = [said(m) for m in self.session.runner.history.messages if m.pinned]
        async for event in self.session.compact():
            self.screen.apply(event)
        after = [said(m) for m in self.session.runner.history.messages if m.pinned]
        assert len(after) == len(before)
        assert all(now.endswith(then) for now, then in zip(after, before, strict=True)), "a pinned piece changed"

    async def undo(self, number: int) -> None:
        for event in self.session.undo(self.dice.randrange(1, 4)):
            self.screen.apply(event)

    async def redo(self, number: int) -> None:
        for event in self.session.redo():
            self.screen.apply(event)

    async def change_context(self, number: int) -> None:
        """Drop, restore and pin whatever can be, as a person does who tries everything."""
        pieces = [piece for piece in context_use(self.session).pieces if piece.number]
        for piece in self.dice.sample(pieces, min(3, len(pieces))):
            act = self.dice.choice([drop, restore, lambda *of: pin(*of)[1]])
            with contextlib.suppress(SessionError):
                for event in act(self.session, piece.number):
                    self.screen.apply(event)

    async def resume(self, number: int) -> None:
        await self.session.aclose()
        self.session = self.house.open(self.session.id)
        self.screen = self.replayed()

    async def fork(self, number: int) -> None:
        turns = self.dice.randrange(0, 3)
        old, self.session = self.session, self.session.fork(turns)
        await old.aclose()
        self.screen = self.replayed()

    def replayed(self) -> Transcript:
        transcript = Transcript()
        for event in self.session.events():
            transcript.apply(event)
        return transcript

    def check(self) -> None:
        messages = self.session.runner.history.messages
        assert is_well_formed(messages)
        assert all(is_well_formed(request.messages) for request in self.provider.requests)
        assert fold(self.session.events(), self.house.store.scratch(self.session.id)).messages == messages
        words = [m.text for m in messages if m.role == "user" and m.origin == "person"]
        assert words == prompts(self.screen) == prompts(self.replayed())
        ends = [e for e in self.session.events() if isinstance(e, ev.TurnStarted | ev.TurnEnded)]
        assert not self.screen.status.running
        assert len(ends) % 2 == 0


def said(message: Message) -> str:
    """The text that a message gives the model."""
    content = message.result.content if message.result else message.parts
    return "".join(part.text for part in content if isinstance(part, Text))


def prompts(transcript: Transcript) -> list[str]:
    return [block.text for block in transcript.blocks if isinstance(block, PromptBlock) and not block.void]


@given(st.integers(0, 2**32), st.integers(3, 14))
@settings(max_examples=examples(60))
def test_the_screen_the_log_and_the_model_tell_one_story(seed: int, steps: int):
    with tempfile.TemporaryDirectory() as folder:

        async def run() -> None:
            await Life(Path(folder), random.Random(seed)).live(steps)

        asyncio.run(asyncio.wait_for(run(), 60))
