"""Blocks for the ear: who speaks, then what; everything in words, in the order in which it is understood."""

from kimi_agent.agent.transcript import (
    CallBlock,
    CompactionBlock,
    EvidenceBlock,
    NoticeBlock,
    PromptBlock,
    ThoughtBlock,
)
from kimi_agent.core.display import Display, Pictures, Terminal, TodoList
from kimi_agent.core.event import Evidence
from kimi_agent.core.sanitize import plain, visible
from kimi_agent.frontends.common import subagent
from kimi_agent.frontends.common.describe import about, beginning, one_line, outcome
from kimi_agent.frontends.line.drawn import COMPACTED, output_tail
from kimi_agent.frontends.line.questions import todo_words
from kimi_agent.frontends.line.screen import Lines
from kimi_agent.frontends.line.words import took

_LEVELS = {"info": "", "warning": "Warning: ", "error": "Error: "}


class Spoken:
    """`root` is the folder that paths are told relative to."""

    def __init__(self, root: str = "") -> None:
        self._root = root

    def prompt(self, block: PromptBlock) -> Lines:
        shown, hidden = beginning(plain(block.text))
        return [(f"You: {shown}" + (f"\nAnd {hidden}." if hidden else ""), "user")]

    def thought(self, block: ThoughtBlock) -> Lines:
        return [(f"Kimi thought: {one_line(block.text)}", "dim")]

    def withdrawn(self) -> Lines:
        return [("The answer so far is withdrawn; the request is made again.", "dim")]

    def answer(self) -> Lines:
        return [("Kimi:", "bold")]

    def told(self, block: NoticeBlock | EvidenceBlock | CompactionBlock) -> Lines:
        match block:
            case NoticeBlock(level=level, text=text):
                return [(f"{_LEVELS[level]}{plain(text)}", "")]
            case EvidenceBlock(evidence=found):
                return [(_evidence(found), "")]
            case CompactionBlock(before=before, after=after, kind=kind):
                return [(f"{COMPACTED[kind].capitalize()}: from {before:,} to {after:,} tokens.", "")]

    def call(self, block: CallBlock) -> Lines:
        return [(self._named(block), "tool")]

    def outcome(self, block: CallBlock, *, named: bool, number: int) -> Lines:
        name = "" if named else f"{self._named(block)}: "
        end = "Failed" if block.state == "failed" else "Finished"
        parts = [end if named else end.lower(), _exit_code(block.display), took(block.seconds) if block.seconds else ""]
        head = f"{name}{', '.join(filter(None, parts))}."
        lines: Lines = [(f"{head} {self._came(block)}".rstrip(), "")]
        tail, hidden = output_tail(block) if block.state == "failed" else ([], 0)
        if tail:
            more = f", the last {len(tail)} of {len(tail) + hidden} lines; /show {number} tells all" if hidden else ""
            lines += [(f"Output{more}:", ""), *((line, "") for line in tail), ("End of output.", "")]
        if isinstance(block.display, TodoList):
            lines += todo_words(block.display)
        if block.nested and (used := subagent.used(block.nested)):
            lines.append((f"The subagent used {used.replace(' · ', ', ')}. /show {number} lists its calls.", ""))
        return lines

    def _named(self, block: CallBlock) -> str:
        what = one_line(about(block.call, block.effects, self._root))
        return f"Tool {one_line(block.call.name)}{f': {what}' if what else ''}"

    def _came(self, block: CallBlock) -> str:
        """What the call brought, in a sentence; the lines of a failed command follow by themselves."""
        failed = block.state == "failed"
        match block.display:
            case Terminal(output=output):
                lines = plain(output).strip().splitlines()
                alone = len(lines) == 1 or not failed
                return "No output." if not lines else f"Last line: {one_line(lines[-1])}" if alone else ""
            case TodoList() | Pictures(text=""):
                return ""
            case Pictures(text=text):
                return one_line(text)
        said = outcome(block.display, block.result, failed, self._root)
        return f"{said[:1].upper()}{said[1:]}"


def _exit_code(display: Display | None) -> str:
    if not isinstance(display, Terminal):
        return ""
    return "killed" if display.exit_code is None else f"exit code {display.exit_code}"


def _evidence(found: Evidence) -> str:
    code = f", exit code {found.exit_code}" if found.exit_code is not None else ""
    came = f", {one_line(found.result, 120)}" if found.result.strip() else ""
    command = f" Command: {one_line(visible(found.command))}{code}{came}." if found.command else ""
    reason = f" {found.reason[:1].upper()}{found.reason[1:]}." if found.reason else ""
    return plain(f"{'Verified' if found.verified else 'Not verified'}: {found.claim}.{command}{reason}")
