"""A session as a document: Markdown, one HTML file that loads nothing (both from the transcript fold), or its events as JSON."""

import contextlib
import html
import os
import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

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
from kimi_agent.core import event as ev
from kimi_agent.core.display import Diff, Display, Pictures, Plain, Terminal, TodoList
from kimi_agent.core.errors import ConfigError
from kimi_agent.core.message import Image
from kimi_agent.core.sanitize import plain, visible
from kimi_agent.frontends.common.describe import evidence, headline, one_line
from kimi_agent.frontends.json_lines import encode

_MARKS = {"done": "x", "in_progress": "-", "pending": " "}
_PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*")


class _Document:
    """What both forms say about a session."""

    def __init__(self, events: Iterable[ev.Event]) -> None:
        self.transcript = Transcript()
        self.started = 0.0
        first_prompt = ""
        for event in events:
            if isinstance(event, ev.SessionStarted):
                self.started = event.time
            for block in self.transcript.apply(event):
                if isinstance(block, PromptBlock) and not first_prompt:
                    first_prompt = block.text
        status = self.transcript.status
        self.title = one_line(status.title or first_prompt or "Session", 120)
        self.root = status.cwd

    def blocks(self) -> list[AnyBlock]:
        return [block for block in self.transcript.blocks if not block.void]

    def facts(self) -> list[tuple[str, str]]:
        status = self.transcript.status
        facts = [("session", status.session_id), ("folder", status.cwd), ("model", status.model)]
        with contextlib.suppress(ValueError, OverflowError, OSError):  # a time that no calendar has
            facts.append(("started", datetime.fromtimestamp(self.started).astimezone().isoformat(" ", "minutes")))
        if status.input or status.output:
            facts.append(("tokens", f"{status.input:,} in ({status.cached:,} cached), {status.output:,} out"))
        if status.cost is not None:
            facts.append(("cost", f"{status.cost:.4f}"))
        return [(name, plain(value)) for name, value in facts if value]


def check_name(path: Path) -> None:
    """Raises ConfigError when the ending of a file's name is that of no form."""
    if path.suffix.lower() not in (".md", ".markdown", ".html", ".htm", ".json"):
        raise ConfigError(f"cannot export to {path}", "The name ends in .md, .html or .json.")


def write(events: Iterable[ev.Event], path: Path) -> None:
    """Write a session in the form that the ending of the name says, over what is there. Raises ConfigError."""
    check_name(path)
    form = {"md": to_markdown, "ma": to_markdown, "ht": to_html, "js": to_json}[path.suffix.lower()[1:3]]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(form(events))
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None


def to_json(events: Iterable[ev.Event]) -> str:
    """The events themselves, a JSON array with one event per line."""
    return "[\n" + ",\n".join(encode(event).decode().rstrip() for event in events) + "\n]\n"


# --- Markdown ---------------------------------------------------------------------------------------------------------


def to_markdown(events: Iterable[ev.Event]) -> str:
    """The conversation as Markdown: answers as they were written, everything else fenced."""
    document = _Document(events)
    parts = [f"# {document.title}", "\n".join(f"- {name}: {_code(value)}" for name, value in document.facts())]
    parts += [_block_markdown(block, document.root) for block in document.blocks()]
    return "\n\n".join(part for part in parts if part) + "\n"


def _block_markdown(block: AnyBlock, root: str) -> str:
    match block:
        case PromptBlock(text=text, images=images):
            pictures = "".join(f"\n\n*{_note(image)}*" for image in images)
            return f"## You\n\n{_quote(plain(text))}{pictures}"
        case ThoughtBlock(text=text):
            return f"<details><summary>Thinking</summary>\n\n{_fence(text)}\n\n</details>" if text.strip() else ""
        case AnswerBlock(text=text, partial=partial):
            return f"## Kimi\n\n{plain(text).strip()}" + ("\n\n*(cut off)*" if partial else "")
        case CallBlock():
            return _call_markdown(block, root)
        case NoticeBlock(level=level, text=text):
            return f"> **{level}**: {one_line(text, 2000)}"
        case EvidenceBlock(evidence=found):
            return f"> {evidence(found)}"
        case CompactionBlock(before=before, after=after):
            return f"> The history was shortened here: {before:,} to {after:,} tokens."


def _call_markdown(block: CallBlock, root: str) -> str:
    failed = " (failed)" if block.state == "failed" else ""
    parts = [f"### {_code(headline(block.call, block.effects, root))}{failed}"]
    match block.display:
        case None:
            parts.append(_fence(block.result) if block.result.strip() else "")
        case Diff(unified=unified):
            parts.append(_fence(unified, "diff"))
        case TodoList(items=items):
            parts.append("\n".join(f"- [{_MARKS[item.status]}] {one_line(item.title, 500)}" for item in items))
        case Pictures(text=text, images=images):
            parts.append(_fence(text) if text.strip() else "")
            parts += [f"*{_note(image)}*" for image in images]
        case _:
            parts.append(_fence(_display_text(block.display)))
    if block.nested:
        inner = [_block_markdown(each, root) for each in block.nested.blocks if not each.void]
        parts.append(_quote("\n\n".join(part for part in inner if part)))
    return "\n\n".join(part for part in parts if part)


def _note(image: Image) -> str:
    return f"[picture {one_line(image.name or image.media_type)}]"


def _code(text: str) -> str:
    """A code span of one line, whatever backquotes it holds."""
    ticks = "`" * (max((len(run) for run in re.findall(r"`+", text)), default=0) + 1)
    gap = " " if len(ticks) > 1 else ""
    return f"{ticks}{gap}{text}{gap}{ticks}"


def _fence(text: str, language: str = "") -> str:
    """A code block that no run of backquotes in `text` can end."""
    text = plain(text).strip("\n")
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}{language}\n{text}\n{ticks}"


def _quote(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))


def _display_text(display: Display) -> str:
    match display:
        case Terminal(command=command, output=output, exit_code=code):
            end = "" if code == 0 else "\n(killed)" if code is None else f"\n(exit {code})"
            return f"$ {visible(command)}\n{output.rstrip()}{end}"
        case Plain(text=text) | Pictures(text=text):
            return text
        case Diff(unified=unified):
            return unified
        case TodoList(items=items):
            return "\n".join(f"[{_MARKS[item.status]}] {item.title}" for item in items)


# --- HTML -------------------------------------------------------------------------------------------------------------

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --dim: #777; --add: #18794e; --remove: #c62a2f; --card: #8881; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 54rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere; }
pre { font: 13px/1.45 ui-monospace, monospace; white-space: pre-wrap; margin: .5rem 0; }
dl { color: var(--dim); display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; font-size: .85rem; }
dd { margin: 0; }
.prompt { border-left: 3px solid; padding-left: 1rem; margin: 2rem 0 1rem; font-weight: 600; white-space: pre-wrap; }
.answer { margin: 1rem 0; }
table { border-collapse: collapse; } td, th { border: 1px solid var(--line); padding: .2rem .6rem; }
.call { border: 1px solid var(--line); border-radius: 6px; background: var(--card); padding: .3rem .8rem; margin: .5rem 0; }
.thought, .notice { color: var(--dim); font-size: .9rem; }
.failed > summary, .error { color: var(--remove); }
.add { color: var(--add); } .remove { color: var(--remove); }
img { max-width: 100%; } summary { cursor: pointer; }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def to_html(events: Iterable[ev.Event]) -> str:
    """The conversation as one HTML page without scripts. Nothing in it is loaded from anywhere, and its policy says so."""
    document = _Document(events)
    facts = "".join(f"<dt>{_escape(name)}</dt><dd>{_escape(value)}</dd>" for name, value in document.facts())
    body = "\n".join(_block_html(block, document.root) for block in document.blocks())
    title = _escape(document.title)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<h1>{title}</h1>\n<dl>{facts}</dl>\n{body}\n</body>\n</html>\n"
    )


def _escape(text: str) -> str:
    return html.escape(plain(text))


def _block_html(block: AnyBlock, root: str) -> str:
    match block:
        case PromptBlock(text=text, images=images):
            pictures = "".join(_image_html(image) for image in images)
            return f'<div class="prompt">{_escape(text)}{pictures}</div>'
        case ThoughtBlock(text=text):
            shown = f'<details class="thought"><summary>Thinking</summary><pre>{_escape(text)}</pre></details>'
            return shown if text.strip() else ""
        case AnswerBlock(text=text, partial=partial):
            return f'<div class="answer">{_rendered(text)}{"<p><em>(cut off)</em></p>" if partial else ""}</div>'
        case CallBlock():
            return _call_html(block, root)
        case NoticeBlock(level=level, text=text):
            return f'<p class="notice {level}">{_escape(text)}</p>'
        case EvidenceBlock(evidence=found):
            return f'<p class="notice {"add" if found.verified else "remove"}">{_escape(evidence(found))}</p>'
        case CompactionBlock(before=before, after=after):
            return f'<p class="notice">The history was shortened here: {before:,} to {after:,} tokens.</p>'


def _rendered(text: str) -> str:
    """Markdown as HTML. HTML in it is shown as text, pictures in it as links: nothing may be loaded."""
    from markdown_it import MarkdownIt

    return str(MarkdownIt("commonmark", {"html": False}).enable("table").disable("image").render(plain(text)))


def _call_html(block: CallBlock, root: str) -> str:
    display = block.display
    if isinstance(display, Diff):
        inner = "\n".join(_diff_line(line) for line in plain(display.unified).split("\n"))
    else:
        inner = _escape(block.result if display is None else _display_text(display))
    nested = [_block_html(each, root) for each in block.nested.blocks if not each.void] if block.nested else []
    pictures = [_image_html(image) for image in display.images] if isinstance(display, Pictures) else []
    head = _escape(headline(block.call, block.effects, root))
    below = "".join([*pictures, *nested])
    return f'<details class="call {block.state}"><summary>{head}</summary><pre>{inner}</pre>{below}</details>'


def _diff_line(line: str) -> str:
    kind = "add" if line.startswith("+") else "remove" if line.startswith("-") else ""
    return f'<span class="{kind}">{html.escape(line)}</span>' if kind else html.escape(line)


def _image_html(image: Image) -> str:
    name = _escape(image.name or "picture")
    if image.media_type not in _PICTURES or not _BASE64.fullmatch(image.data):
        return f"<p>[{name}]</p>"
    return f'<p><img alt="{name}" src="data:{image.media_type};base64,{html.escape(image.data)}"></p>'
