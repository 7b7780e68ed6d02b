"""Search and jumps in a session of 2,100 blocks, in the view that the full-screen shell uses."""

import asyncio
import statistics
import time
from collections.abc import Callable

from textual.app import App, ComposeResult

from kimi_agent.agent.transcript import AnswerBlock, CallBlock, PromptBlock
from kimi_agent.core.display import Terminal
from kimi_agent.core.message import ToolCall
from kimi_agent.frontends.tui.draw.blocks import Drawable
from kimi_agent.frontends.tui.finder import Finder
from kimi_agent.frontends.tui.view import TranscriptView

TURNS = 700
OUTPUT = "\n".join(f"row {n} of the output of a command" for n in range(40))


class OneView(App[None]):
    def compose(self) -> ComposeResult:
        yield TranscriptView()


def blocks() -> list[Drawable]:
    made: list[Drawable] = []
    for number in range(TURNS):
        call = CallBlock(0, ToolCall(f"c{number}", "Shell", '{"command": "make"}'), "done")
        call.display = Terminal("make", f"hidden {number}.\n{OUTPUT}", 0)
        answer = f"Answer **{number}**.\n\n```python\nprint({number})\n```\n\n" + "It goes on with more words. " * 40
        made += [PromptBlock(0, f"prompt {number}."), call, AnswerBlock(0, answer, True)]
    return made


def navigation(times: int) -> list[list[str]]:
    """Rows of (what, median ms, slowest ms)."""
    return asyncio.run(_measure(times))


async def _measure(times: int) -> list[list[str]]:
    app = OneView()
    async with app.run_test(size=(120, 40)) as pilot:
        view = app.query_one(TranscriptView)
        view.show(blocks())
        await pilot.pause()
        finder = Finder(view)
        rows = [
            _row("search a word that 700 blocks hold", times, lambda n: finder.search("answer")),
            _row("next", times, lambda n: finder.step(1)),
            _row("search a word that is folded away", times, lambda n: finder.search(f"hidden {n * 37 % TURNS}.")),
            _row("search a single letter", times, lambda n: finder.search("e")),
        ]
        finder.close()
        return [
            *rows,
            _row("jump to the turn before", times, lambda n: view.jump_turn(-1)),
            _row("jump to the end", times, lambda n: view.jump_end()),
        ]


def _row(what: str, times: int, act: Callable[[int], None]) -> list[str]:
    took = []
    for number in range(times):
        began = time.perf_counter()
        act(number)
        took.append((time.perf_counter() - began) * 1000)
    return [what, f"{statistics.median(took):.1f}", f"{max(took):.1f}"]
