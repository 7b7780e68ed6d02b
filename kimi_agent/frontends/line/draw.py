"""Transcript blocks as lines that are printed once. Each block is printed piece by piece, as it becomes final."""

from collections.abc import Collection, Iterable

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
from kimi_agent.core.display import Diff, Pictures, Terminal, TodoList
from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common import subagent
from kimi_agent.frontends.common.describe import about, beginning, evidence, headline, one_line, outcome, seconds
from kimi_agent.frontends.line.markdown import MarkdownStream
from kimi_agent.frontends.line.questions import display_lines
from kimi_agent.frontends.line.screen import Screen, Style

MAX_DIFF_LINES = 40
MAX_OUTPUT_LINES = 6
MAX_LIVE_LINES, MAX_LIVE_AGENTS = 8, 5
SLOW_S = 2.0
"""A call that took longer than this is shown with its time."""

_LEVELS: dict[str, Style] = {"info": "dim", "warning": "warning", "error": "error"}


class Drawer:
    """Draws one transcript. `root` is the folder that paths are shown relative to; the diffs of `shown` calls were seen.

    Without `thinking`, reasoning is not shown while it comes.
    """

    def __init__(self, screen: Screen, root: str, shown: Collection[str] = (), thinking: bool = True) -> None:
        self._screen = screen
        self._root = root
        self._shown = shown
        self._streams_thinking = thinking
        self._printed: dict[int, str] = {}  # per block key, how far it has been printed
        self._streams: dict[int, tuple[MarkdownStream, int]] = {}  # per answer: its stream, characters fed
        self._thinking: ThoughtBlock | None = None
        self._last_head = -1  # key of the call whose headline was printed last

    def draw(self, blocks: Iterable[AnyBlock], *, replay: bool = False) -> None:
        for block in blocks:
            match block:
                case AnswerBlock():
                    self._answer(block)
                case CallBlock() if not block.void:
                    self._call(block)
                case _ if block.void or self._printed.get(block.key):
                    continue
                case ThoughtBlock(done=False):
                    self._thinking = block
                case PromptBlock():
                    self._prompt(block, replay)
                case ThoughtBlock():
                    self._thought(block)
                case NoticeBlock(level=level, text=text):
                    self._once(block.key, plain(text), _LEVELS[level])
                case EvidenceBlock(evidence=found):
                    self._once(block.key, evidence(found), "add" if found.verified else "warning")
                case CompactionBlock(before=before, after=after, kind=kind):
                    how = "old tool output left out" if kind == "prune" else "history summarised"
                    self._once(block.key, f"{how}: {before:,} -> {after:,} tokens", "dim")

    def live(self, transcript: Transcript) -> list[str]:
        """What is going on: the tail of the transcript that is not printed yet, and the subagents at work."""
        agents = self.subagents(transcript)
        return [*self._tail(transcript)[: MAX_LIVE_LINES - len(agents)], *agents]

    def subagents(self, transcript: Transcript) -> list[str]:
        """A line for each subagent at work, also in the background; the first ones and a count when there are many."""
        lines = []
        for block in transcript.blocks:
            if isinstance(block, CallBlock) and block.nested and subagent.at_work(block):
                told = (subagent.who(block.nested), about(block.call), subagent.used(block.nested))
                now = f"{' · '.join(filter(None, map(one_line, told)))}: {subagent.doing(block.nested, self._root)}"
                lines.append(one_line(now, 200))
        more = len(lines) - MAX_LIVE_AGENTS
        return [*lines[:MAX_LIVE_AGENTS], f"... {more} more subagents"] if more > 0 else lines

    def _tail(self, transcript: Transcript) -> list[str]:
        for block in reversed(transcript.blocks):
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
                    return [
                        f"running {headline(block.call, block.effects, self._root)}",
                        *(f"  {line}" for line in lines),
                    ]
            break
        return []

    # --- blocks -------------------------------------------------------------------------------------------------------

    def _once(self, key: int, text: str, style: Style) -> None:
        self._printed[key] = "whole"
        self._last_head = -1
        self._screen.line(text, style)

    def _prompt(self, block: PromptBlock, replay: bool) -> None:
        self._printed[block.key] = "whole"
        self._last_head = -1
        if self._screen.keeps_input and not replay:
            return
        images = [f"[image {plain(image.name)}]" for image in block.images]
        shown, hidden = beginning(plain(block.text))
        first, *others = [*shown.split("\n"), *([f"... {hidden}"] if hidden else [])]
        text = "\n".join([f"> {first}", *(f"  {line}" for line in others), *(f"  {image}" for image in images)])
        self._screen.line("\n" + text, "user")

    def _close_thought(self) -> None:
        """Something else begins, so the thought before it is whole, although its message is not."""
        block, self._thinking = self._thinking, None
        if block is not None and not block.void and not self._printed.get(block.key):
            self._thought(block)

    def _thought(self, block: ThoughtBlock) -> None:
        if block.text.strip():
            self._once(block.key, f"thought: {one_line(block.text)}", "dim")

    def _answer(self, block: AnswerBlock) -> None:
        if self._printed.get(block.key) == "whole":
            return
        if block.void:
            if self._printed.get(block.key):
                self._screen.line("(withdrawn: the request is made again)", "dim")
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
            self._printed[block.key] = "begun"
            self._screen.markdown(plain(piece))
        if block.done:
            self._printed[block.key] = "whole"

    def _call(self, block: CallBlock) -> None:
        state = self._printed.get(block.key)
        if state is None and block.state in ("running", "done", "failed"):
            self._close_thought()
            self._printed[block.key] = "begun"
            self._last_head = block.key
            self._screen.line(f"* {headline(block.call, block.effects, self._root)}", "tool")
        if state != "whole" and block.state in ("done", "failed") and _complete(block):
            self._printed[block.key] = "whole"
            self._outcome(block)

    def _outcome(self, block: CallBlock) -> None:
        failed = block.state == "failed"
        name = "" if self._last_head == block.key else f"{headline(block.call, block.effects, self._root, 40)}: "
        took = f" ({seconds(block.seconds)})" if block.seconds >= SLOW_S else ""
        tail = _output_tail(block) if failed else []
        said = outcome(block.display, block.result, failed, self._root)
        said = said.partition(", ")[0] if tail else said
        self._screen.line(f"  {name}{'failed: ' if failed else ''}{said}{took}", "error" if failed else "dim")
        self._last_head = -1
        for line in tail:
            self._screen.line(f"  | {line}", "dim")
        match block.display:
            case Diff() if block.call.id not in self._shown:
                _, *lines = display_lines(block.display)
                lines = [line for line in lines if line[1] != "dim"]
                for text, style in lines[:MAX_DIFF_LINES]:
                    self._screen.line(text, style)
                if len(lines) > MAX_DIFF_LINES:
                    self._screen.line(f"  ... {len(lines) - MAX_DIFF_LINES} more lines", "dim")
            case Pictures(images=images):
                for image in images:
                    self._screen.picture(image)
            case TodoList():
                for text, style in display_lines(block.display):
                    self._screen.line(text, style)


def _complete(block: CallBlock) -> bool:
    """Whether there is something to say already: the display comes with `ToolFinished`, the result a moment later."""
    return block.display is not None or bool(block.result)


def _output_tail(block: CallBlock) -> list[str]:
    """The last lines of a failed command, when there is more than the one that its outcome shows."""
    if not isinstance(block.display, Terminal) or block.display.exit_code == 0:
        return []
    lines = plain(block.display.output).rstrip().splitlines()
    return lines[-MAX_OUTPUT_LINES:] if len(lines) > 1 else []
