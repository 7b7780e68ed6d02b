"""D2 diagrams, as flows use them: nodes with texts, and arrows between them. Containers and looks are skipped."""

import re
from textwrap import dedent

from kimi_agent.agent.flow_graph import Drawing, Flow, wrong

MAX_DEPTH = 50

_GAP = re.compile(r'(?:[\s;]|#[^\n]*|"""[\s\S]*?""")*')
_END = re.compile(r"[ \t]*(?=[\n;}#]|\Z)")
_DOUBLE, _SINGLE = r'"((?:[^"\\]|\\.)*)"', r"'((?:[^']|'')*)'"
_QUOTED = re.compile(f"{_DOUBLE}|{_SINGLE}", re.DOTALL)
_KEY = re.compile(f"[ \\t]*((?:{_DOUBLE}|{_SINGLE}|[^\\n;:{{}}\"'|<>#-]|-(?![->]))+)", re.DOTALL)
_ARROW = re.compile(r"[ \t]*(?P<back><)?-+(?P<on>>)?(?:[ \t]*\\\n)?")
_COLON = re.compile(r"[ \t]*:[ \t]*")
_OPEN = re.compile(r"[ \t]*\{")
_BARE = re.compile(r"(?:\\.|\\\n|[^\n;{}#\\]|(?<![\s:])#)*")
_BLOCK = re.compile(r"(\|+[^\w\s|]*)\w*(?:[ \t]*(?:#[^\n]*)?\n)?")
_ESCAPE = re.compile(r"\\(n|[\"'\\;{}#|]|\n[ \t]*)")


def parse_d2(text: str, first_line: int = 1) -> Flow:
    """Raises ValueError that names the line, counted from `first_line`."""
    return _Reader(text, first_line).flow()


class _Reader:
    def __init__(self, text: str, first_line: int) -> None:
        self._text, self._at, self._first = text, 0, first_line
        self._depth = 0
        self._drawing = Drawing(first_line)

    def flow(self) -> Flow:
        while self._skip_gap() < len(self._text):
            line = self._line()
            names, arrows, text = self._statement()
            if not arrows and names[0].endswith(".label"):
                self._drawing.node(names[0].removesuffix(".label"), line, text)
                continue
            for name in names:
                self._drawing.node(name, line, None if arrows else text)
            for source, forward, target in zip(names, arrows, names[1:], strict=False):
                ends = (source, target) if forward else (target, source)
                self._drawing.edge(*ends, line, text)
        return self._drawing.flow()

    def _statement(self) -> tuple[list[str], list[bool], str]:
        """`a -> b <- c: label`: the names, whether each arrow points forward, and the label of all; or a node and its text."""
        names, arrows = [self._key()], []
        while match := _ARROW.match(self._text, self._at):
            if bool(match["back"]) == bool(match["on"]):
                raise wrong(self._line(), f"{match[0].strip()!r} points no single way: write -> or <-")
            self._at = match.end()
            arrows.append(bool(match["on"]))
            names.append(self._key())
        text = self._value()
        end = _END.match(self._text, self._at)
        if end is None:
            rest = self._text[self._at :].strip().partition("\n")[0][:40]
            raise wrong(self._line(), f"cannot read {rest!r}")
        self._at = end.end()
        return names, arrows, text

    def _key(self) -> str:
        match = _KEY.match(self._text, self._at)
        if match is None or not match[1].strip():
            rest = self._text[self._at :].lstrip().partition("\n")[0][:40]
            raise wrong(self._line(), f"a node was expected, not {rest!r}")
        self._at = match.end()
        return _unquote(match[1].strip())

    def _value(self) -> str:
        """The text behind the colon, or the `label` of the block in braces, empty without either."""
        text = ""
        if colon := _COLON.match(self._text, self._at):
            self._at = colon.end()
            if self._text.startswith("|", self._at):
                text = self._block_text()
            elif quoted := _QUOTED.match(self._text, self._at):
                self._at = quoted.end()
                text = _unquote(quoted[0])
            elif bare := _BARE.match(self._text, self._at):
                self._at = bare.end()
                text = _unescape(bare[0].strip())
        if opened := _OPEN.match(self._text, self._at):
            return self._braces(opened.end()) or text
        return text

    def _block_text(self) -> str:
        """A text such as `|md ... |`. Behind a line break it ends at a line that is only its end mark, as tables have bars."""
        line, opened = self._line(), _BLOCK.match(self._text, self._at)
        assert opened is not None  # the caller has seen the bar
        mark = re.escape(opened[1][::-1])
        ends = [rf"^[ \t]*{mark}(?=[ \t]*(?:[{{}};#\n]|\Z))", mark] if opened[0].endswith("\n") else [mark]
        for each in ends:
            if end := re.compile(each, re.MULTILINE).search(self._text, opened.end()):
                self._at = end.end()
                return dedent(self._text[opened.end() : end.start()]).strip()
        raise wrong(line, f"the text that {opened[1]} opens is not closed by {opened[1][::-1]}")

    def _braces(self, start: int) -> str:
        """The `label` in a block, empty without one; `start` is behind its brace."""
        line, label, self._at = self._line(), "", start
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise wrong(line, f"more than {MAX_DEPTH} braces are nested")
        while self._skip_gap() < len(self._text):
            if self._text[self._at] == "}":
                self._at += 1
                self._depth -= 1
                return label
            names, arrows, text = self._statement()
            if names == ["label"] and not arrows:
                label = text
        raise wrong(line, "this brace is not closed")

    def _skip_gap(self) -> int:
        match = _GAP.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return self._at

    def _line(self) -> int:
        return self._first + self._text.count("\n", 0, self._at)


def _unquote(text: str) -> str:
    """Without the quotes around all of it, if there are any."""
    match = _QUOTED.fullmatch(text)
    if match is None:
        return text
    return _unescape(match[1]).strip() if match[1] is not None else match[2].replace("''", "'").strip()


def _unescape(text: str) -> str:
    """Line breaks and escaped signs; a backslash before anything else stays, and so does one of a path."""
    text = _ESCAPE.sub(lambda m: "\n" if m[1] == "n" else m[1].strip() if m[1][0] != "\n" else " ", text)
    return re.sub(r"<br\s*/?>", "\n", text)
