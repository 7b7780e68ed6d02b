"""Mermaid flowcharts, as flows use them: nodes of every shape and the arrows between them. What concerns looks is skipped."""

import html
import re
from inspect import cleandoc

from kimi_agent.agent.flow_graph import Drawing, Flow, wrong

_FRONT = re.compile(r"\s*---[ \t]*\n.*?\n[ \t]*---[ \t]*(?=\n)", re.DOTALL)
_GAP = re.compile(r"(?:[\s;]|%%[^\n]*)*")
_END = re.compile(r"[ \t]*(?=[\n;]|%%|\Z)")
_SKIPPED = re.compile(
    r"(?i:flowchart(?:-elk)?|graph)(?:[ \t]+(?i:TB|TD|BT|RL|LR))?(?=[\s;]|\Z)"
    r"|(?i:subgraph|direction|classDef|class|style|linkStyle|click|accTitle|accDescr)"
    r"(?=[\s:])(?![ \t]*[-=~&.<@])[^\n]*"
    r"|end(?=[ \t]*(?:[\n;]|\Z))"
)
_NAME = re.compile(r"[\w/](?:[\w./]|-(?![->.]))*")
_AND = re.compile(r"[ \t]*&[ \t]*")
_CLASS = re.compile(r":::[\w-]+")
_SETTINGS = re.compile(r"@\{((?:\"[^\"]*\"|'[^']*'|[^}\"'])*)\}")
_LABEL = re.compile(r"\blabel[ \t]*:[ \t]*(?:\"([^\"]*)\"|'([^']*)'|([^,\n}]+))")
_QUOTED = (re.compile(r'\s*"((?:[^"\\]|\\.)*)"\s*', re.DOTALL), re.compile(r'\s*"([^"]*)"\s*'))
"""As kimi-cli reads it, with `\\"` for a quote, and as Mermaid does."""
_LINK = re.compile(
    r"[ \t]*(?:\w+@(?=[-=<xo~]))?(?P<back><|[xo](?=--|==|-\.))?"
    r"(?:(?:--+(?:[->]|[xo](?=\s))|==+(?:[=>]|[xo](?=\s))|-\.{1,9}-(?:>|[xo](?=\s))?|(?P<hidden>~~~+))"
    r'(?:[ \t]*\|[ \t]*(?P<bar>"[^"\n]*"|[^|\n]*)\|)?'
    r'|--(?![->])[ \t]*(?P<line>"[^"\n]*"[ \t]*|\S[^\n]*?)--+(?:[->]|[xo](?=\s))'
    r'|==(?![=>])[ \t]*(?P<thick>"[^"\n]*"[ \t]*|\S[^\n]*?)==+(?:[=>]|[xo](?=\s))'
    r'|-\.(?![-.])[ \t]*(?P<dots>"[^"\n]*"[ \t]*|\S[^\n]*?)\.{1,9}-(?:>|[xo](?=\s))?)\s*'
)
_SHAPES = (
    ("(((", (")))",)), ("((", ("))",)), ("([", ("])",)), ("(", (")",)), ("[[", ("]]",)), ("[(", (")]",)),
    ("[/", ("/]", "\\]")), ("[\\", ("\\]", "/]")), ("[", ("]",)), ("{{", ("}}",)), ("{", ("}",)), (">", ("]",)),
)  # fmt: skip


def parse_mermaid(text: str, first_line: int = 1) -> Flow:
    """Raises ValueError that names the line, counted from `first_line`."""
    return _Reader(text, first_line).flow()


class _Reader:
    def __init__(self, text: str, first_line: int) -> None:
        self._text, self._first = text, first_line
        self._drawing = Drawing(first_line)
        front = _FRONT.match(text)
        self._at = front.end() if front else 0

    def flow(self) -> Flow:
        while (match := _GAP.match(self._text, self._at)) and match.end() < len(self._text):
            self._at = match.end()
            if skipped := _SKIPPED.match(self._text, self._at):
                self._at = skipped.end()
            else:
                self._statement()
        return self._drawing.flow()

    def _statement(self) -> None:
        """`A & B --> C -- yes --> D`, or a node alone."""
        sources = self._nodes()
        while link := _LINK.match(self._text, self._at):
            line = self._line()
            self._at = link.end()
            if link["back"] == "<":
                raise wrong(line, "an arrow of a flow points one way")
            label = _clean(link["bar"] or link["line"] or link["thick"] or link["dots"] or "")
            targets = self._nodes()
            if not link["hidden"]:
                for source in sources:
                    for target in targets:
                        self._drawing.edge(source, target, line, label)
            sources = targets
        end = _END.match(self._text, self._at)
        if end is None:
            raise self._confused("texts with brackets or quotes go into double quotes")
        self._at = end.end()

    def _nodes(self) -> list[str]:
        names = [self._node()]
        while match := _AND.match(self._text, self._at):
            self._at = match.end()
            names.append(self._node())
        return names

    def _node(self) -> str:
        match = _NAME.match(self._text, self._at)
        if match is None:
            raise self._confused("a node was expected")
        line, name = self._line(), match[0]
        self._at = match.end()
        self._skip_class()
        text = self._shape()
        while settings := _SETTINGS.match(self._text, self._at):
            self._at = settings.end()
            if label := _LABEL.search(settings[1]):
                text = _clean(label[1] or label[2] or label[3] or "")
        self._skip_class()
        self._drawing.node(name, line, text)
        return name

    def _skip_class(self) -> None:
        if match := _CLASS.match(self._text, self._at):
            self._at = match.end()

    def _shape(self) -> str | None:
        """The text in the brackets behind a node's name, None without any."""
        opened = False
        for opener, closers in _SHAPES:
            if not self._text.startswith(opener, self._at):
                continue
            opened = True
            start = self._at + len(opener)
            text, found = self._quoted(start, closers)
            line = self._text[start:].partition("\n")[0]
            if not found and not line.lstrip().startswith('"'):
                found = [(start + at, c) for c in closers if (at := _closing(line, opener, c)) >= 0]
                text = self._text[start : min(found)[0]] if found else ""
            if found:
                at, closer = min(found)
                self._at = at + len(closer)
                return _clean(text)
        if opened:
            raise self._confused("this bracket is not closed")
        return None

    def _quoted(self, start: int, closers: tuple[str, ...]) -> tuple[str, list[tuple[int, str]]]:
        """A text in quotes that a bracket follows, and where which one stands; none when there is no such text."""
        for pattern in _QUOTED:
            if quoted := pattern.match(self._text, start):
                end = quoted.end()
                if found := [(end, closer) for closer in closers if self._text.startswith(closer, end)]:
                    return quoted[1].replace('\\"', '"') if pattern is _QUOTED[0] else quoted[1], found
        return "", []

    def _line(self) -> int:
        return self._first + self._text.count("\n", 0, self._at)

    def _confused(self, hint: str) -> ValueError:
        rest = self._text[self._at :].lstrip(" \t").partition("\n")[0][:40]
        return wrong(self._line(), f"cannot read {rest!r}: {hint}")


def _closing(line: str, opener: str, closer: str) -> int:
    """Where a text without quotes ends: at the bracket that closes this one, else at the first; -1 without any."""
    depth = 0
    for at, sign in enumerate(line) if len(opener) == 1 else ():
        if sign == opener:
            depth += 1
        elif sign == closer:
            if not depth:
                return at
            depth -= 1
    return line.find(closer)


def _clean(text: str) -> str:
    """A text as the model is to read it: quotes, Markdown quotes, line breaks and entities resolved."""
    text = text.strip()
    for mark in ('"', "`"):
        if len(text) > 1 and text[0] == mark == text[-1]:
            text = text[1:-1]
    text = re.sub(r"<br\s*/?>|\\n", "\n", text)
    text = re.sub(r"#(\w+);", lambda m: html.unescape(f"&{'#' * m[1].isdecimal()}{m[1]};"), text)
    return cleandoc(text).strip()
