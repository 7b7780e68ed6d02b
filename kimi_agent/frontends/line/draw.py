"""Transcript blocks as lines that are printed once. Each block is printed piece by piece, as it becomes final."""

import time
from collections.abc import Callable, Collection, Iterable
from typing import Protocol

from kimi_agent.agent.transcript import (
    AnswerBlock,
    AnyBlock,
    CallBlock,
    CompactionBlock,
    EvidenceBlock,
    NoticeBlock,
    PromptBlock,
    ThoughtBlock,
    Transcript,
)
from kimi_agent.core.display import Diff, Pictures
from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common import subagent
from kimi_agent.frontends.common.describe import about, headline, one_line, seconds
from kimi_agent.frontends.common.plan import reviewed_plan
from kimi_agent.frontends.line.markdown import MarkdownStream
from kimi_agent.frontends.line.screen import Lines, Screen
from kimi_agent.show_command import numbered_calls

MAX_DIFF_LINES = 40
MAX_LIVE_LINES, MAX_LIVE_AGENTS = 8, 5
COUNTED_S = 3.0
"""How long something runs before its time is shown."""


class Wording(Protocol):
    """The words in which blocks are told: drawn.py for the eye, spoken.py for the ear. What it answers is safe to print."""

    def prompt(self, block: PromptBlock) -> Lines: ...
    def thought(self, block: ThoughtBlock) -> Lines: ...
    def withdrawn(self) -> Lines: ...
    def answer(self) -> Lines:
        """What stands before an answer."""
        ...

    def told(self, block: NoticeBlock | EvidenceBlock | CompactionBlock) -> Lines: ...
    def call(self, block: CallBlock) -> Lines: ...
    def outcome(self, block: CallBlock, *, named: bool, number: int) -> Lines:
        """How a call ended; `named`: its headline stands right above, so that its name need not be said again."""
        ...


class Drawer:
    """Draws `transcript`. `root` is the folder that paths are shown relative to; the diffs of `shown` calls were seen.

    Without `thinking`, reasoning is not shown while it comes; when it is to be `still`, no time is counted.
    """

    def __init__(
        self,
        screen: Screen,
        wording: Wording,
        transcript: Transcript,
        root: str = "",
        shown: Collection[str] = (),
        *,
        thinking: bool = True,
        still: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._screen, self._wording, self._transcript = screen, wording, transcript
        self._root, self._shown = root, shown
        self._streams_thinking, self._still, self._clock = thinking, still, clock
        self._printed: dict[int, str] = {}  # per block key, how far it has been printed
        self._pictures: dict[int, int] = {}  # per prompt: how many of its pictures are drawn
        self._began: dict[int, float] = {}  # per key of a call: when it began to run
        self._streams: dict[int, tuple[MarkdownStream, int]] = {}  # per answer: its stream, characters fed
        self._thinking: ThoughtBlock | None = None
        self._last_head = -1  # key of the call whose headline was printed last

    def draw(self, blocks: Iterable[AnyBlock], *, replay: bool = False) -> None:
        for block in blocks:
            match block:
                case AnswerBlock():
                    self._answer(block)
                case CallBlock() if not block.void:
                    self._call(block, replay)
                case PromptBlock() if not block.void:
                    self._prompt(block, replay)
                case _ if block.void or self._printed.get(block.key):
                    continue
                case ThoughtBlock(done=False):
                    self._thinking = block
                case ThoughtBlock():
                    self._thought(block)
                case NoticeBlock() | EvidenceBlock() | CompactionBlock():
                    self._once(block, self._wording.told(block))

    # --- what is going on ---------------------------------------------------------------------------------------------

    def live(self) -> list[str]:
        """The tail of the transcript that is not printed yet, and the subagents at work."""
        agents = self.subagents()
        return [*self._tail()[: MAX_LIVE_LINES - len(agents)], *agents]

    def subagents(self) -> list[str]:
        """A line for each subagent at work, also in the background; the first ones and a count when there are many."""
        lines = []
        for block in self._transcript.subagents:
            if block.nested and subagent.at_work(block):
                told = (
                    subagent.who(block.nested),
                    about(block.call),
                    subagent.used(block.nested),
                    self.running_for(block),
                )
                now = f"{' · '.join(filter(None, map(one_line, told)))}: {subagent.doing(block.nested, self._root)}"
                lines.append(one_line(now, 200))
        more = len(lines) - MAX_LIVE_AGENTS
        return [*lines[:MAX_LIVE_AGENTS], f"... {more} more subagents"] if more > 0 else lines

    def running_for(self, block: CallBlock) -> str:
        """`12 s`, empty as long as that says nothing."""
        ran = self._clock() - self._began.get(block.key, self._clock())
        return seconds(int(ran)) if ran >= COUNTED_S and not self._still else ""

    def _tail(self) -> list[str]:
        for block in reversed(self._transcript.blocks):
            if block.void:
                continue
            match block:
                case AnswerBlock(done=False) if block.key in self._streams:
                    return plain(self._streams[block.key][0].rest).split("\n")[-MAX_LIVE_LINES:]
                case ThoughtBlock(done=False) if not self._streams_thinking:
                    return ["thinking"]
                case ThoughtBlock(done=False, text=text):
                    return ["thinking: " + (plain(text).strip().splitlines() or [""])[-1]]
                case CallBlock(state="writing", size=size):
                    return [f"writing {one_line(block.call.name)}: {size:,} characters"]
                case CallBlock(nested=Transcript()):
                    return []
                case CallBlock(state="running", output=output):
                    lines = plain(output).rstrip().splitlines()[-3:]
                    ran = self.running_for(block)
                    head = f"running {headline(block.call, block.effects, self._root)}{f' ({ran})' if ran else ''}"
                    return [head, *(f"  {line}" for line in lines)]
            break
        return []

    # --- blocks -------------------------------------------------------------------------------------------------------

    def _print(self, lines: Lines) -> None:
        for text, style in lines:
            self._screen.line(text, style)

    def _once(self, block: AnyBlock, lines: Lines) -> None:
        self._printed[block.key] = "whole"
        self._last_head = -1
        self._print(lines)

    def _prompt(self, block: PromptBlock, replay: bool) -> None:
        """Print it, then its pictures; those of files that it mentions come a moment after it."""
        if not self._printed.get(block.key):
            typed = self._screen.keeps_input and not replay
            self._once(block, [] if typed else self._wording.prompt(block))
        drawn = self._pictures.get(block.key, 0)
        self._pictures[block.key] = len(block.images)
        for image in block.images[drawn:]:
            self._screen.picture(image)

    def _close_thought(self) -> None:
        """Something else begins, so the thought before it is whole, although its message is not."""
        block, self._thinking = self._thinking, None
        if block is not None and not block.void and not self._printed.get(block.key):
            self._thought(block)

    def _thought(self, block: ThoughtBlock) -> None:
        if block.text.strip():
            self._once(block, self._wording.thought(block))

    def _answer(self, block: AnswerBlock) -> None:
        if self._printed.get(block.key) == "whole":
            return
        if block.void:
            self._print(self._wording.withdrawn() if self._printed.get(block.key) else [])
            self._printed[block.key] = "whole"
            self._streams.pop(block.key, None)
            return
        stream, fed = self._streams.setdefault(block.key, (MarkdownStream(), 0))
        pieces = stream.feed(block.text[fed:])
        self._streams[block.key] = (stream, len(block.text))
        if block.done:
            pieces += stream.flush()
            del self._streams[block.key]
        for piece in pieces:
            self._close_thought()
            self._last_head = -1
            if not self._printed.get(block.key):
                self._print(self._wording.answer())
            self._printed[block.key] = "begun"
            self._screen.markdown(plain(piece))
        if block.done:
            self._printed[block.key] = "whole"

    def _call(self, block: CallBlock, replay: bool) -> None:
        state = self._printed.get(block.key)
        if state is None and block.state in ("running", "done", "failed"):
            self._close_thought()
            self._printed[block.key] = "begun"
            self._began[block.key] = self._clock()
            self._last_head = block.key
            self._print(self._wording.call(block))
            if replay and (plan := reviewed_plan(block)):  # else the question has shown it
                self._screen.markdown(plain(plan))
        if state != "whole" and block.state in ("done", "failed") and _complete(block):
            self._printed[block.key] = "whole"
            self._outcome(block)

    def _outcome(self, block: CallBlock) -> None:
        number = numbered_calls(self._transcript.blocks).index(block) + 1
        self._print(self._wording.outcome(block, named=self._last_head == block.key, number=number))
        self._last_head = -1
        match block.display:
            case Diff() if block.call.id not in self._shown:
                self._screen.diff(block.display, MAX_DIFF_LINES, number)
            case Pictures(images=images):
                for image in images:
                    self._screen.picture(image)


def _complete(block: CallBlock) -> bool:
    """Whether there is something to say already: the display comes with `ToolFinished`, the result a moment later."""
    return block.display is not None or bool(block.result)
