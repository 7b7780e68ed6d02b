"""Markdown to lines. Nothing that the text says is dropped: raw HTML is shown as it is written."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from kimi_agent.frontends.common.look import Diffs
from kimi_agent.frontends.common.math_markdown import math_plugin, may_be_math
from kimi_agent.frontends.common.math_text import math_text
from kimi_agent.frontends.tui.draw.code import HIGHLIGHT_LIMIT, highlight
from kimi_agent.frontends.tui.draw.diff import diff_lines
from kimi_agent.frontends.tui.draw.lines import Decor, Line, fill, fold, indent, wrap
from kimi_agent.frontends.tui.draw.palette import Palette
from kimi_agent.frontends.tui.draw.table import table_lines

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token
    from markdown_it.tree import SyntaxTreeNode
    from rich.console import JustifyMethod

BOLD, ITALIC, STRIKE, UNDERLINE = Style(bold=True), Style(italic=True), Style(strike=True), Style(underline=True)
SAFE_LINKS = ("http://", "https://", "mailto:")
JUSTIFY: "dict[str, JustifyMethod]" = {"right": "right", "center": "center"}
BULLETS = ("•", "◦", "▪")
TASKS = {False: "☐", True: "☑"}
_TASK = re.compile(r"\[([ xX])\]\s+")
LONG = 8_000
"""Characters of a block that is being written from which its beginning is not drawn again with every word."""


@lru_cache(maxsize=1)
def _parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    math_plugin(parser)
    return parser


def markdown_lines(source: str, width: int, palette: Palette, diffs: Diffs = "auto") -> list[Line]:
    """`source` must already be safe to show (`sanitize.plain`)."""
    return _Writer(palette, diffs).tokens(_parser().parse(source), max(4, width))


class MarkdownStream:
    """A growing text: what can no longer change is drawn once, only the last top-level block is drawn again.

    A long one is drawn in pieces until it is whole: their columns, and the numbers of their items, may differ from its own.
    """

    def __init__(self, width: int, palette: Palette, diffs: Diffs = "auto") -> None:
        self.width, self.palette, self._diffs = max(4, width), palette, diffs
        self._settled = 0  # lines that can no longer change
        self._offset = 0  # characters of the source that they stand for
        self._head = ""  # what a piece needs before it to be read as the block that it belongs to
        self._head_lines = 0  # lines that the head alone is drawn as
        self._pieces = 0  # characters of the last block that are settled

    def update(self, source: str) -> tuple[int, list[Line]]:
        """How many leading lines stay as they were at the last call, and all lines after those.

        `source` must begin with what was given before.
        """
        writer = _Writer(self.palette, self._diffs)
        kept, changed = self._settled, list[Line]()
        rest = self._head + source[self._offset :]
        tokens = _parser().parse(rest)
        start = _open_block(tokens, rest)
        begins = sum(len(line) + 1 for line in rest.split("\n")[: (tokens[start].map or [0])[0]]) if start else 0
        long = bool(tokens) and len(rest) - begins > LONG
        if may_be_math(rest[:begins].split("\n")[:-1]) and not long:
            start = begins = 0
        if start:
            changed = [*self._draw(writer, tokens[:start]), []]
            self._go_on(begins, "", 0)
        if long and (cut := _cut(tokens[start:], rest, coloured=self._pieces < HIGHLIGHT_LIMIT)) is not None:
            end, head = cut
            changed += self._draw(writer, _parser().parse(rest[begins:end]))
            titles = head if tokens[start].type == "table_open" else ""
            self._go_on(end - begins, head, len(writer.tokens(_parser().parse(titles), self.width)))
            start, tokens = 0, _parser().parse(head + rest[end:])
        self._settled += len(changed)
        return kept, changed + self._draw(writer, tokens[start:])

    def _draw(self, writer: "_Writer", tokens: "Sequence[Token]") -> list[Line]:
        return writer.tokens(tokens, self.width)[self._head_lines :]

    def _go_on(self, characters: int, head: str, lines: int) -> None:
        """So many characters of what was parsed are settled; `head` takes the place of the one before."""
        self._offset += characters - len(self._head)
        self._pieces = self._pieces + characters if head else 0
        self._head, self._head_lines = head, lines


def _cut(tokens: "Sequence[Token]", source: str, *, coloured: bool) -> tuple[int, str] | None:
    """Where in `source` a block that is still being written can be cut, and what the piece after that has to begin with.

    `tokens` are those of the block. Code that is not to be `coloured` goes on without the name of its language.
    """
    lines = source.split("\n")
    block, at, head = tokens[0], len(lines) - 1, ""
    first, end = block.map or [0, at]
    match block.type:
        case "fence" if re.fullmatch(rf" {{0,3}}{block.markup}[`~]*\s*", lines[end - 1]) and end - 1 > first:
            at = end
        case "fence":
            head = (lines[first] if coloured else block.markup) + "\n"
        case "table_open" if end >= at:
            head = "".join(line + "\n" for line in lines[first : first + 2])
        case "bullet_list_open" | "ordered_list_open":
            at = next((t.map[0] for t in reversed(tokens) if t.type == "list_item_open" and t.level == 1 and t.map), at)
        case "paragraph_open" if at == first:
            words = source.rfind(" ", len(source) - LONG, -1) + 1
            return words or len(source), ""
        case _:
            pass
    return (sum(len(line) + 1 for line in lines[:at]), head) if at > first else None


def _open_block(tokens: "Sequence[Token]", source: str) -> int:
    """Index of the token that opens the first top-level block which more text may still change.

    That is the last block; when it begins on a line that is still being written, or is a formula that ends on one, it may yet
    turn out to belong to the block before it (`1` becomes `1. item`, `$$` becomes `$$y`).
    """
    starts = [index for index, token in enumerate(tokens) if token.level == 0 and token.nesting >= 0]
    if not starts:
        return 0
    last, written = tokens[starts[-1]], source.count("\n")
    begins, ends = last.map or [0, 0]
    unfinished = begins >= written or (last.type == "math_block" and ends > written)
    return starts[-2] if unfinished and len(starts) > 1 else 0 if unfinished else starts[-1]


def _is_diff(text: str) -> bool:
    """Whether nothing of it is lost when it is drawn as the hunks of one file."""
    return text.startswith("@@ -") and all(line[:1] in ("", " ", "+", "-", "\\", "@") for line in text.split("\n"))


def _take_task(item: "SyntaxTreeNode") -> bool | None:
    """Take `[ ]` or `[x]` off the beginning of a list item; whether it was ticked, None when it is no task."""
    inline = item.children[0].children[0] if item.children and item.children[0].type == "paragraph" else None
    text = inline.children[0] if inline and inline.children else None
    if text is None or text.type != "text" or text.token is None or not (match := _TASK.match(text.content)):
        return None
    text.token.content = text.content[match.end() :]
    return match[1] != " "


class _Writer:
    def __init__(self, palette: Palette, diffs: Diffs = "auto") -> None:
        self.palette, self._diffs = palette, diffs

    def tokens(self, tokens: "Sequence[Token]", width: int) -> list[Line]:
        from markdown_it.tree import SyntaxTreeNode

        return self.blocks(SyntaxTreeNode(tokens).children, width)

    def blocks(
        self, nodes: "Sequence[SyntaxTreeNode]", width: int, *, tight: bool = False, depth: int = 0
    ) -> list[Line]:
        lines: list[Line] = []
        for node in nodes:
            if lines and not tight:
                lines.append([])
            lines += self.block(node, width, depth)
        return lines

    def block(self, node: "SyntaxTreeNode", width: int, depth: int) -> list[Line]:
        match node.type:
            case "heading":
                return self.heading(node, width)
            case "fence" | "code_block":
                return self.code(node, width)
            case "bullet_list" | "ordered_list":
                return self.listing(node, width, depth)
            case "blockquote":
                inner = self.blocks(node.children, max(4, width - 2), depth=depth)
                return indent(inner, Decor("▎ ", self.palette.faint), Decor("▎ ", self.palette.faint))
            case "table":
                return self.table(node, width)
            case "hr":
                return [[Decor("─" * min(width, 40), self.palette.faint)]]
            case "math_block":
                formula = Text(math_text(node.content) + node.info, self.palette.text)
                return indent(wrap(formula, max(4, width - 2)), Segment("  "))
            case "html_block":
                return fold(Text(node.content.rstrip("\n"), self.palette.muted), width)
            case _:
                return wrap(self.inline(node, self.palette.text), width)

    def heading(self, node: "SyntaxTreeNode", width: int) -> list[Line]:
        major = node.tag in ("h1", "h2")
        style = (self.palette.primary if major else self.palette.text) + BOLD
        return wrap(self.inline(node, style), width)

    def code(self, node: "SyntaxTreeNode", width: int) -> list[Line]:
        info = node.info.split() if node.type == "fence" else []
        text = node.content.rstrip("\n")
        if info[:1] == ["diff"] and len(info) > 1 and _is_diff(text):
            return diff_lines(text, info[1], width, self.palette, self._diffs)
        code = highlight(text, info[0] if info else "", self.palette)
        lines = indent(fold(code, width - 2), Decor(" "))
        return fill(lines, width, self.palette.code_bg)

    def listing(self, node: "SyntaxTreeNode", width: int, depth: int) -> list[Line]:
        ordered = node.type == "ordered_list"
        first = int(node.attrs.get("start", 1)) if ordered else 0
        marker_width = len(str(first + len(node.children) - 1)) + 2 if ordered else 2
        lines: list[Line] = []
        for number, item in enumerate(node.children, first):
            tight = all(child.hidden for child in item.children if child.type == "paragraph")
            if lines and not tight:
                lines.append([])
            marker = f"{number}. ".rjust(marker_width) if ordered else f"{BULLETS[min(depth, 2)]} "
            style = self.palette.muted
            if (done := _take_task(item)) is not None:
                marker = f"{marker if ordered else ''}{TASKS[done]} "
                style = self.palette.success if done else style
            room = max(4, width - cell_len(marker))
            inner = self.blocks(item.children, room, tight=tight, depth=depth + 1)
            lines += indent(inner or [[]], Segment(marker, style))
        return lines

    def table(self, node: "SyntaxTreeNode", width: int) -> list[Line]:
        rows = [row for part in node.children for row in part.children]
        justify = [
            JUSTIFY.get(str(cell.attrs.get("style", "")).removeprefix("text-align:"), "left")
            for cell in rows[0].children
        ]
        header = [self.inline(cell, self.palette.text + BOLD) for cell in rows[0].children]
        cells = [[self.inline(cell, self.palette.text) for cell in row.children] for row in rows[1:]]
        return table_lines(header, cells, justify, width, self.palette)

    # --- inline -------------------------------------------------------------------------------------------------------

    def inline(self, node: "SyntaxTreeNode", style: Style) -> Text:
        text = Text()
        self._append(text, node, style)
        return text

    def _append(self, text: Text, node: "SyntaxTreeNode", style: Style) -> None:
        match node.type:
            case "text":
                text.append(node.content, style)
            case "softbreak" | "hardbreak":
                text.append("\n")
            case "code_inline":
                text.append(node.content, style + self.palette.accent)
            case "math_inline":
                text.append(math_text(node.content).replace("\n", "; "), style)
            case "html_inline":
                text.append(node.content, style + self.palette.muted)
            case "image":
                text.append(f"[image: {node.content or 'untitled'}]", style + self.palette.muted)
                self._address(text, str(node.attrs.get("src", "")), node.content)
            case "link":
                self._link(text, node, style)
            case kind:
                inner = style + {"strong": BOLD, "em": ITALIC, "s": STRIKE}.get(kind, Style.null())
                for child in node.children:
                    self._append(text, child, inner)

    def _link(self, text: Text, node: "SyntaxTreeNode", style: Style) -> None:
        target = str(node.attrs.get("href", ""))
        linked = style + self.palette.primary + UNDERLINE
        if target.startswith(SAFE_LINKS):
            linked += Style(link=target)
        start = len(text)
        for child in node.children:
            self._append(text, child, linked)
        self._address(text, target, text.plain[start:])

    def _address(self, text: Text, target: str, label: str) -> None:
        """Where a link leads is always readable: its label may say something else."""
        if target and label not in (target, target.removeprefix("mailto:")):
            text.append(f" ({target})", self.palette.muted)
