"""What is shown to people, as content of the protocol: texts, pictures, diffs."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kimi_agent.core.display import Diff, Display, Pictures, Plain, Terminal, TodoList
from kimi_agent.core.message import Image
from kimi_agent.core.sanitize import plain

Block = dict[str, Any]
SHOWN = 20_000
"""Characters of output in a card; the whole is in the session."""


def text_block(text: str) -> Block:
    return {"type": "text", "text": text}


def image_block(image: Image) -> Block:
    return {"type": "image", "data": image.data, "mimeType": image.media_type}


def content(block: Block) -> Block:
    """A block in the place of a tool call's content."""
    return {"type": "content", "content": block}


def fenced(text: str, language: str = "") -> str:
    """As a code block, whatever is in it."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}"


def output_text(text: str) -> str:
    """Output of a command as Markdown; of a long one the end."""
    shown = plain(text).strip("\n")
    if len(shown) > SHOWN:
        shown = "…" + shown[-SHOWN:]
    return fenced(shown, "console") if shown.strip() else ""


def display_content(display: Display | None) -> list[Block]:
    """Of a call that has ended, or that is asked for."""
    match display:
        case Diff():
            return list(diffs(display))
        case Terminal(output=output, exit_code=code):
            text = output_text(output)
            ending = f"exit code {code}" if code else ""
            return [content(text_block(part)) for part in (text, ending) if part]
        case Plain(text=text):
            return [content(text_block(plain(text)))] if text.strip() else []
        case Pictures(text=text, images=images):
            texts = [content(text_block(plain(text)))] if text.strip() else []
            return [*texts, *(content(image_block(image)) for image in images)]
        case TodoList(items=items):
            marks = {"done": "x", "in_progress": "~", "pending": " "}
            lines = [f"- [{marks[item.status]}] {plain(item.title)}" for item in items]
            return [content(text_block("\n".join(lines)))] if lines else []
    return []


def diffs(display: Diff) -> Iterator[Block]:
    """One diff per hunk, with its lines exactly as they were and are."""
    hunks = list(hunks_of(display.unified))
    for _, old, new in hunks:
        yield {"type": "diff", "path": display.path, "oldText": None if display.created else old, "newText": new}
    if not hunks:
        yield {"type": "diff", "path": display.path, "oldText": None if display.created else "", "newText": ""}


def hunks_of(unified: str) -> Iterator[tuple[int, str, str]]:
    """Of each hunk the first changed line in the new file (from 1), the old text and the new one."""
    old, new, line, changed, last = [""], [""], 0, 0, ""
    for text in [*unified.split("\n")[2:], "@@"]:
        mark, rest = text[:1], text[1:]
        if text.startswith("@@"):
            if line:
                yield changed or line, "".join(old), "".join(new)
            old, new, changed = [""], [""], 0
            line = _start(text)
        elif mark == "\\":  # no line feed at the end of the file: of the line before
            for side in (old, new):
                if side[-1].endswith("\n") and last in (" ", "-" if side is old else "+"):
                    side[-1] = side[-1][:-1]
        elif mark in ("-", "+", " "):
            changed = changed or (line + sum(1 for _ in new) - 1 if mark != " " else 0)
            if mark != "+":
                old.append(rest + "\n")
            if mark != "-":
                new.append(rest + "\n")
        last = mark


def _start(head: str) -> int:
    """`@@ -1,2 +3,4 @@` begins at line 3 of the new file."""
    try:
        return max(1, int(head.split("+")[1].split()[0].split(",")[0]))
    except (IndexError, ValueError):
        return 1


def locations(paths: Sequence[str], line: int | None = None) -> list[Block]:
    """Absolute paths, each once; the first at `line`, counted from 1."""
    found = [path for path in dict.fromkeys(paths) if Path(path).is_absolute()]
    return [{"path": path, **({"line": line} if line and not number else {})} for number, path in enumerate(found)]
