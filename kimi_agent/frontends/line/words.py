"""Text for a screen reader: everything that is drawn (boxes, bars, tables, marks) is put into words, or left out."""

import re
import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kimi_agent.core.display import Diff
from kimi_agent.core.sanitize import visible
from kimi_agent.frontends.common.math_text import math_text

if TYPE_CHECKING:
    from markdown_it.tree import SyntaxTreeNode

_DRAWN = re.compile("[\u2500-\u259f\u2800-\u28ff]")  # boxes, blocks, braille
_MARK = re.compile("[\u2700-\u27bf]\ufe0f?")  # dingbats
_LINE_OF_DRAWING = re.compile("[ \t]*[\u2500-\u259f\u2800-\u28ff][ \t\u2500-\u259f\u2800-\u28ff]*")
_NAMES = {
    "✓": "check mark",
    "✔": "check mark",
    "✅": "check mark",
    "✗": "cross mark",
    "✘": "cross mark",
    "❌": "cross mark",
}
_HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")
_SIGNS = {"+": "Added line", "-": "Removed line", " ": "Line"}


def undrawn(text: str) -> str:
    """`text` without characters that draw: a line of nothing else goes, others become blanks; marks say their names."""
    if not (_DRAWN.search(text) or _MARK.search(text)):
        return text
    lines = (line for line in text.split("\n") if not _LINE_OF_DRAWING.fullmatch(line))
    return _MARK.sub(_mark_name, _DRAWN.sub(" ", "\n".join(lines)))


def _mark_name(match: re.Match[str]) -> str:
    char = match.group()[0]
    return _NAMES.get(char) or unicodedata.name(char, "mark").lower()


def spelled(text: str) -> str:
    """As `visible`, and what draws is spelled out too: nothing that a person is about to approve goes unsaid."""
    return re.sub(f"{_DRAWN.pattern}|{_MARK.pattern}", lambda match: f"⟨U+{ord(match.group()[0]):04X}⟩", visible(text))


def diff_words(diff: Diff, *, context: bool = True) -> list[str]:
    """Each line of a diff with its number and what happens to it; without `context` only what changes."""
    lines: list[str] = []
    old = new = 0
    for row in diff.unified.rstrip("\n").split("\n"):
        if match := _HUNK.match(row):
            old, new = int(match[1]), int(match[2])
        elif (old, new) != (0, 0) and row[:1] in _SIGNS:
            sign, text = row[0], spelled(row[1:])
            if context or sign != " ":
                lines.append(f"{_SIGNS[sign]} {old if sign == '-' else new}: {text or '(empty)'}")
            old += sign in " -"
            new += sign in " +"
        elif row.startswith("\\"):
            lines.append(f"{spelled(row[1:].strip())}.")
    return lines


def diff_head(diff: Diff, path: str) -> str:
    added, removed = _counted(diff.added, "line"), _counted(diff.removed, "line")
    what = "New file" if diff.created else "Changed"
    return f"{what} {spelled(path)}: {added} added, {removed} removed."


def _counted(count: int, thing: str) -> str:
    return f"{count or 'no'} {thing}{'s' * (count != 1)}"


def took(value: float) -> str:
    """`0.4 seconds`, `12 seconds`, `3 minutes 5 seconds`."""
    if value < 10:
        return f"{value:.1f} seconds"
    minutes, rest = divmod(round(value), 60)
    return " ".join(([_counted(minutes, "minute")] if minutes else []) + ([_counted(rest, "second")] if rest else []))


# --- Markdown ---------------------------------------------------------------------------------------------------------


def markdown_words(text: str) -> str:
    """Markdown as it is said: `Heading: ...`, `Code, python:` ... `End of code.`, a table row by row, `text (address)`."""
    from markdown_it import MarkdownIt
    from markdown_it.tree import SyntaxTreeNode

    from kimi_agent.frontends.common.math_markdown import math_plugin

    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"]).use(math_plugin)
    return "\n".join(_block(SyntaxTreeNode(parser.parse(text)))).strip("\n")


def _block(node: "SyntaxTreeNode") -> Iterator[str]:
    match node.type:
        case "heading":
            yield f"Heading: {_inline(node)}"
        case "paragraph":
            yield from _inline(node).split("\n")
        case "fence" | "code_block":
            language = node.info.split()[0] if node.type == "fence" and node.info.strip() else ""
            yield f"Code, {language}:" if language else "Code:"
            yield from node.content.rstrip("\n").split("\n")
            yield "End of code."
        case "bullet_list" | "ordered_list":
            first = int(node.attrs.get("start", 1))
            for number, item in enumerate(node.children, first):
                yield from _item(item, f"{number}. " if node.type == "ordered_list" else "- ")
        case "blockquote":
            yield "Quote:"
            yield from _blocks(node)
            yield "End of quote."
        case "table":
            yield from _table(node)
        case "hr":
            return
        case "math_block":
            yield f"Formula: {math_text(node.content)}"
        case "html_block":
            yield from node.content.rstrip("\n").split("\n")
        case _:
            yield from _blocks(node)


def _blocks(node: "SyntaxTreeNode") -> Iterator[str]:
    for child in node.children:
        yield from _block(child)


def _item(item: "SyntaxTreeNode", mark: str) -> Iterator[str]:
    for number, line in enumerate(_blocks(item)):
        yield f"{mark}{line}" if number == 0 else f"  {line}"


def _table(node: "SyntaxTreeNode") -> Iterator[str]:
    rows = [[_inline(cell) for cell in row.children] for part in node.children for row in part.children]
    head, body = rows[0], rows[1:]
    yield f"Table, {_counted(len(body), 'row')}:"
    for row in body:
        cells = zip(head, row, strict=False)
        yield "; ".join(f"{name}: {value}" if name else value for name, value in cells if value.strip()) + "."
    yield "End of table."


def _inline(node: "SyntaxTreeNode") -> str:
    match node.type:
        case "text" | "code_inline" | "html_inline":
            return str(node.content)
        case "math_inline":
            return math_text(node.content)
        case "softbreak" | "hardbreak":
            return "\n"
        case "link":
            text, address = "".join(map(_inline, node.children)), str(node.attrs.get("href", ""))
            return text if not address or text == address.removeprefix("mailto:") else f"{text} ({address})"
        case "image":
            return f"image {node.content or 'without a description'} ({node.attrs.get('src', '')})"
        case _:
            return "".join(map(_inline, node.children))
