"""A real session with a long log, made by the agent itself: prompts, calls with output, answers with code."""

import asyncio
from pathlib import Path

from machine import FakeTool, House, ListProvider, Params, call, calls, play, say

from kimi_agent.core.tool import ToolContext

BLOCKS_PER_TURN = 4
OUTPUT = "\n".join(f"row {n} of the output of a command" for n in range(40))
ANSWER = "Answer.\n\n```python\nprint('done')\n```\n\n" + "It goes on with more **words** and `code`. " * 20


async def output(params: Params, ctx: ToolContext) -> str:
    return OUTPUT


def make(folder: Path, blocks: int) -> str:
    """A session of so many blocks in `folder/home`, about `folder/work`; answers its id."""
    folder.mkdir(parents=True, exist_ok=True)
    replies = []
    for number in range(blocks // BLOCKS_PER_TURN):
        both = [call("Look", f'{{"path": "{number}.py"}}'), call("Look", '{"path": "b.py"}', index=1)]
        replies += [calls(*both), say(ANSWER)]

    async def live() -> str:
        house = House(folder, ListProvider(replies), [FakeTool("Look", "read", output)])
        session = house.open()
        for number in range(blocks // BLOCKS_PER_TURN):
            await play(session, f"prompt {number}: look at it twice")
        await session.aclose()
        return session.id

    return asyncio.run(live())
