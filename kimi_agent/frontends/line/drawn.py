"""Blocks for the eye: short lines with a few marks."""

from kimi_agent.agent.transcript import (
    CallBlock,
    CompactionBlock,
    EvidenceBlock,
    NoticeBlock,
    PromptBlock,
    ThoughtBlock,
)
from kimi_agent.core.display import Terminal, TodoList
from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common import subagent
from kimi_agent.frontends.common.describe import beginning, evidence, headline, one_line, outcome, seconds
from kimi_agent.frontends.line.questions import display_lines
from kimi_agent.frontends.line.screen import Lines, Style

MAX_OUTPUT_LINES = 6
SLOW_S = 2.0
"""A call that took longer than this is shown with its time."""

COMPACTED = {
    "prune": "old tool output left out",
    "summary": "history summarised",
    "restore": "tool output put back",
}
_LEVELS: dict[str, Style] = {"info": "dim", "warning": "warning", "error": "error"}


class Drawn:
    """`root` is the folder that paths are shown relative to."""

    def __init__(self, root: str = "") -> None:
        self._root = root

    def prompt(self, block: PromptBlock) -> Lines:
        shown, hidden = beginning(plain(block.text))
        first, *others = [*shown.split("\n"), *([f"... {hidden}"] if hidden else [])]
        text = "\n".join([f"> {first}", *(f"  {line}" for line in others)])
        return [("\n" + text, "user")]

    def thought(self, block: ThoughtBlock) -> Lines:
        return [(f"thought: {one_line(block.text)}", "dim")]

    def withdrawn(self) -> Lines:
        return [("(withdrawn: the request is made again)", "dim")]

    def answer(self) -> Lines:
        return []

    def told(self, block: NoticeBlock | EvidenceBlock | CompactionBlock) -> Lines:
        match block:
            case NoticeBlock(level=level, text=text):
                return [(plain(text), _LEVELS[level])]
            case EvidenceBlock(evidence=found):
                return [(evidence(found), "add" if found.verified else "warning")]
            case CompactionBlock(before=before, after=after, kind=kind):
                how = COMPACTED[kind]
                return [(f"{how}: {before:,} -> {after:,} tokens", "dim")]

    def call(self, block: CallBlock) -> Lines:
        return [(f"* {headline(block.call, block.effects, self._root)}", "tool")]

    def outcome(self, block: CallBlock, *, named: bool, number: int) -> Lines:
        failed = block.state == "failed"
        name = "" if named else f"{headline(block.call, block.effects, self._root, 40)}: "
        took = f" ({seconds(block.seconds)})" if block.seconds >= SLOW_S else ""
        tail, hidden = output_tail(block) if failed else ([], 0)
        said = outcome(block.display, block.result, failed, self._root)
        said = said.partition(", ")[0] if tail else said
        lines: Lines = [(f"  {name}{'failed: ' if failed else ''}{said}{took}", "error" if failed else "dim")]
        if hidden:
            lines.append((f"  | ... {hidden} lines above: /show {number}", "dim"))
        lines += [(f"  | {line}", "dim") for line in tail]
        if isinstance(block.display, TodoList):
            lines += display_lines(block.display)
        return lines + self._nested(block, number)

    def _nested(self, block: CallBlock, number: int) -> Lines:
        used = subagent.used(block.nested, block.seconds) if block.nested else ""
        return [(f"  {used}: /show {number} lists its calls", "dim")] if used else []


def output_tail(block: CallBlock) -> tuple[list[str], int]:
    """The last lines of a failed command, when there is more than the one that its outcome shows; how many are above."""
    if not isinstance(block.display, Terminal) or block.display.exit_code == 0:
        return [], 0
    lines = plain(block.display.output).rstrip().splitlines()
    return (lines[-MAX_OUTPUT_LINES:], max(0, len(lines) - MAX_OUTPUT_LINES)) if len(lines) > 1 else ([], 0)
