"""A child process that runs line mode with a scripted double: `python line_child.py HOME SCRIPT...`."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fakes import FakeAgent, FakeSession, calls, says

from kimi_agent.core import event as ev
from kimi_agent.core.ask import Choice, Item, Option, Permission
from kimi_agent.core.display import Diff, Pictures, Terminal
from kimi_agent.core.effect import Effect
from kimi_agent.core.message import Image, Message, Text, Think, ToolCall
from kimi_agent.frontends.line.app import LineFrontend

CALL = ToolCall("c1", "Shell", '{"command": "make test"}')
RUN = (Effect("run", "make test"),)
DIFF = Diff("/w/a.py", "--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-old line\n+new line\n", 1, 1)

RED = Image(
    "iVBORw0KGgoAAAANSUhEUgAAAAQAAAAECAIAAAAmkwkpAAAAEElEQVR4nGP8z4AATAxEcQAz0QEHOoQ+uAAAAABJRU5ErkJggg==", "image/png"
)
"""Four by four pixels."""
BROKEN = Image("AAAA", "image/png", "b\x1b[31m.png")


async def hangs(session: FakeSession, text: str) -> AsyncIterator[ev.Event]:
    yield ev.StepStarted(1, "fake")
    yield ev.TextDelta("half an ans")
    await asyncio.Event().wait()


async def asks(session: FakeSession, text: str) -> AsyncIterator[ev.Event]:
    yield ev.StepStarted(1, "fake")
    yield ev.MessageAdded(Message("assistant", (CALL,), "model"))
    preview = Terminal("rm -rf build\u202e\nmake test")
    answer = await session.question(Permission(CALL, RUN, preview, "commands that begin with make test"))
    yield ev.ToolStarted(CALL, RUN)
    yield ev.ToolFinished("c1", Terminal("make test", "1 passed\nok\n", 0), seconds=3.2)
    yield ev.MessageAdded(Message("assistant", (Text(f"answered {type(answer).__name__} {answer!r}"),), "model"))


async def asks_when_steered(session: FakeSession, text: str) -> AsyncIterator[ev.Event]:
    """Asks as soon as something was steered: at a moment that the test chooses."""
    yield ev.StepStarted(1, "fake")
    yield ev.TextDelta("at work")
    while not session.steered:
        await asyncio.sleep(0.01)
    yield ev.MessageAdded(Message("assistant", (Text("at work"), CALL), "model"))
    answer = await session.question(Permission(CALL, RUN))
    yield ev.TextDelta(f"answered {answer!r}")
    yield ev.MessageAdded(Message("assistant", (Text(f"answered {answer!r}"),), "model"))


async def chooses(session: FakeSession, text: str) -> AsyncIterator[ev.Event]:
    yield ev.StepStarted(1, "fake")
    items = (Item("Which colour?", (Option("red"), Option("blue", "as the sky"))), Item("Why?", ()))
    answer = await session.question(Choice(items))
    yield ev.MessageAdded(Message("assistant", (Text(f"chosen {answer!r}"),), "model"))


async def thinks(session: FakeSession, text: str) -> AsyncIterator[ev.Event]:
    yield ev.StepStarted(1, "fake")
    yield ev.ThinkDelta("first the \x1b[31mplan\nthen the rest")
    yield ev.TextDelta("# Title\n\nSome **bold** text and \x1b]0;owned\x07 more.\n\n```py\nx = 1\n\ny = 2\n```\n")
    yield ev.MessageAdded(
        Message("assistant", (Think("first the plan\nthen the rest"), Text("# Title")), "model"),
    )


async def steered(session: FakeSession, text: str) -> AsyncIterator[ev.Event]:
    """Runs until something was steered and something queued."""
    yield ev.StepStarted(1, "fake")
    yield ev.TextDelta("at work")
    while not session.steered:
        await asyncio.sleep(0.01)
        yield ev.Queued(tuple(session.steered), tuple(session.queued))
    while not session.queued:
        await asyncio.sleep(0.01)
        yield ev.Queued(tuple(session.steered), tuple(session.queued))
    answer = f", steered by {session.steered.pop()}"
    yield ev.TextDelta(answer)
    yield ev.MessageAdded(Message("assistant", (Text(f"at work{answer}"),), "model"))


SCRIPTS = {
    "says": says("The answer ", "is 42."),
    "edits": calls(CALL, (Effect("write", "/w/a.py"),), ev.ToolFinished("c1", DIFF), "ok", "edited"),
    "draws": calls(CALL, RUN, ev.ToolFinished("c1", Pictures("drawn", (RED, BROKEN))), "drawn", "that is it"),
    "fails": calls(
        CALL, RUN, ev.ToolFinished("c1", Terminal("make test", "one\ntwo\n", 2), is_error=True), "exit 2", "it failed"
    ),
    "hangs": hangs,
    "asks": asks,
    "asks_when_steered": asks_when_steered,
    "chooses": chooses,
    "thinks": thinks,
    "steered": steered,
}


async def login(shell: Any) -> None:
    secret = await shell.ask_text("Key", secret=True)
    shell.show(f"got {len(secret)} characters")


if __name__ == "__main__":
    home, *names = sys.argv[1:]
    agent = FakeAgent(*(SCRIPTS[name] for name in names), home=Path(home))
    agent.login = login
    sys.exit(asyncio.run(LineFrontend().run(agent)))
