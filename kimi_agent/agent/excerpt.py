"""A piece of a conversation as markdown, for a preview."""

from collections.abc import Iterable
from pathlib import Path

from kimi_agent.agent.store import decode_line
from kimi_agent.agent.transcript import AnswerBlock, CallBlock, NoticeBlock, PromptBlock, Transcript
from kimi_agent.core import event as ev

MAX_SHOWN = 20_000
"""Characters of an excerpt."""
TAIL, MAX_TAIL = 256_000, 8_000_000
"""Bytes at the end of a file that are read; more only where they hold no whole record."""


def beginning(events: Iterable[ev.Event]) -> str:
    """What was said and done, from its beginning."""
    return "\n\n".join(_pieces(events))[:MAX_SHOWN]


def ending(path: Path) -> str:
    """The last of what a session file holds; only the end of the file is read. Raises OSError."""
    kept: list[str] = []
    size = 0
    for piece in reversed(_pieces(_tail(path))):
        kept.append(piece[-MAX_SHOWN:])
        size += len(piece)
        if size > MAX_SHOWN:
            break
    return "\n\n".join(reversed(kept))


def _pieces(events: Iterable[ev.Event]) -> list[str]:
    transcript = Transcript()
    for event in events:
        transcript.apply(event)
    shown = (_shown(block) for block in transcript.blocks if not block.void)
    return [piece for piece in shown if piece]


def _tail(path: Path) -> list[ev.Event]:
    """The events at the end of a file."""
    with path.open("rb") as file:
        size, want = file.seek(0, 2), TAIL
        while True:
            file.seek(max(0, size - want))
            lines = file.read(want).split(b"\n")
            if want < size:
                del lines[0]  # a part of a record
            decoded = (decode_line(line) for line in lines if line.strip())
            events = [event for event in decoded if event is not None and event != "newer"]
            if events or want >= min(size, MAX_TAIL):
                return events
            want *= 4


def _shown(block: object) -> str:
    match block:
        case PromptBlock(text=text, images=images):
            quoted = "\n".join(f"> {line}" for line in text[:MAX_SHOWN].splitlines())
            return quoted or ("> (a picture)" if images else "")
        case AnswerBlock(text=text):
            return text
        case CallBlock(call=call, state=state):
            return f"- {call.name}{', failed' if state == 'failed' else ''}"
        case NoticeBlock(text=text):
            return text
        case _:
            return ""
