"""A child process that runs the print front end with a scripted double: `python print_child.py OUTPUT SCRIPT [INPUT]`."""

import asyncio
import sys
from collections.abc import AsyncIterator

from fakes import FakeAgent, FakeSession, says

from kimi_agent.core import event as ev
from kimi_agent.core.message import Message, Text
from kimi_agent.frontends.print import PrintFrontend


async def hangs(session: FakeSession, text: str) -> AsyncIterator[ev.Event]:
    yield ev.StepStarted(1, "fake")
    yield ev.TextDelta("working")
    await asyncio.Event().wait()


async def floods(session: FakeSession, text: str) -> AsyncIterator[ev.Event]:
    yield ev.StepStarted(1, "fake")
    while True:
        yield ev.TextDelta("x" * 4000)
        await asyncio.sleep(0)


async def long(session: FakeSession, text: str) -> AsyncIterator[ev.Event]:
    yield ev.StepStarted(1, "fake")
    yield ev.MessageAdded(Message("assistant", (Text("line\n" * 200_000),), "model"))


SCRIPTS = {"says": says("the answer"), "hangs": hangs, "floods": floods, "long": long}

if __name__ == "__main__":
    output, script, *rest = sys.argv[1:]
    frontend = PrintFrontend("go", output=output, input=rest[0] if rest else "text")
    code = asyncio.run(frontend.run(FakeAgent(SCRIPTS[script])))
    heavy = [name for name in ("rich", "textual", "prompt_toolkit", "jsonschema") if name in sys.modules]
    if heavy:
        print("heavy imports:", heavy, file=sys.stderr)
    sys.exit(code)
