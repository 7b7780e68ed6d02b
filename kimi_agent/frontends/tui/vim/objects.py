"""Vim's text objects: a word, a quoted text, a pair of brackets, with what belongs around it (`a`) or without (`i`)."""

from kimi_agent.frontends.common.graphemes import before
from kimi_agent.frontends.tui.vim.motions import end_of_word, forward
from kimi_agent.frontends.tui.vim.text import END, NEXT_LINE, Place, VimText

PAIRS = {key: pair for pair in ("()", "[]", "{}", "<>") for key in pair} | {"b": "()", "B": "{}"}
QUOTES = "\"'`"
Span = tuple[Place, Place]
"""From the first place to before the second one."""


def text_object(text: VimText, inner: bool, key: str) -> Span | None:
    """The object at the cursor, which stays; None when there is none."""
    probe = VimText(text.lines, text.place)
    if key in ("w", "W"):
        return _word(probe, inner=inner, big=key == "W")
    if key in PAIRS:
        return _brackets(probe, PAIRS[key], inner=inner)
    return _quoted(probe, key, inner=inner) if key and key in QUOTES else None


def _word(text: VimText, *, inner: bool, big: bool) -> Span | None:
    _to_run_start(text, big=big)
    start = text.place
    white_before = False
    if (text.kind(big=big) == 0) != inner:
        if not end_of_word(text, 1, big=big, stays=True, stop_at_empty=True):
            return None
    else:
        forward(text, 1, big=big, stop_at_line=True)
        if text.col == 0:
            _back_over_line_end(text)
        else:
            text.col = before(text.line, text.col)
        white_before = not inner
    if white_before and text.kind(big=big) != 0:
        start = _with_white_before(text, start, big=big)
    end = VimText(text.lines, text.place)
    if end.here:
        end.inc()
    return start, end.place


def _to_run_start(text: VimText, *, big: bool) -> None:
    """Back to the first character of the run of one class in which the cursor stands."""
    sort = text.kind(big=big)
    while text.col > 0:
        column = text.col
        text.dec()
        if text.kind(big=big) != sort:
            text.col = column
            return


def _with_white_before(text: VimText, start: Place, *, big: bool) -> Place:
    """`start`, or where the blanks before it begin; an indent is left alone."""
    probe = VimText(text.lines, start)
    if probe.col == 0:
        return start
    probe.dec()
    _to_run_start(probe, big=big)
    return probe.place if probe.kind(big=big) == 0 and probe.col > 0 else start


def _back_over_line_end(text: VimText) -> None:
    """Back by one character, from a line's beginning onto the last one of the line before."""
    if text.dec() == NEXT_LINE and text.col:
        text.dec()


def _brackets(text: VimText, pair: str, *, inner: bool) -> Span | None:
    opened = _unclosed(text, pair)
    closed = None if opened is None else _closing(VimText(text.lines, opened), pair)
    if opened is None or closed is None:
        return None
    if not inner:
        return opened, (closed[0], closed[1] + 1)
    first = VimText(text.lines, (opened[0], opened[1] + 1))
    if not first.here and first.row < closed[0]:  # nothing but the line's end behind the bracket
        first.place = first.row + 1, 0
    last = VimText(text.lines, closed)
    if pair == "{}":
        while last.col <= last.indent(last.row) and last.row > first.row:
            last.place = last.row - 1, len(last.lines[last.row - 1])
            return (first.place, (last.row + 1, 0)) if first.place <= last.place else (first.place, first.place)
    return first.place, max(first.place, last.place)


def _unclosed(text: VimText, pair: str) -> Place | None:
    """The bracket under the cursor, the one before it that is still open there, or else the next one."""
    if text.here == pair[0]:
        return text.place
    depth, start = 0, text.place
    while text.dec() != END:
        if text.here == pair[1]:
            depth += 1
        elif text.here == pair[0]:
            if depth == 0:
                return text.place
            depth -= 1
    text.place = start
    while text.inc() != END:
        if text.here == pair[0]:
            return text.place
    return None


def _closing(text: VimText, pair: str) -> Place | None:
    depth = 0
    while text.inc() != END:
        if text.here == pair[0]:
            depth += 1
        elif text.here == pair[1]:
            if depth == 0:
                return text.place
            depth -= 1
    return None


def _quoted(text: VimText, quote: str, *, inner: bool) -> Span | None:
    line, row = text.line, text.row
    found = _quotes_around(line, text.col, quote)
    if found is None:
        return None
    first, last = found
    if inner:
        return (row, first + 1), (row, last)
    end = last + 1
    while end < len(line) and line[end] in " \t":
        end += 1
    if end == last + 1:
        while first > 0 and line[first - 1] in " \t":
            first -= 1
    return (row, first), (row, end)


def _quotes_around(line: str, column: int, quote: str) -> tuple[int, int] | None:
    """The columns of a pair of quotes: around the cursor, or the next ones behind it."""
    if line[column : column + 1] == quote:  # which of a pair it is, only the line from its beginning can tell
        start = 0
        while True:
            first = _next_quote(line, start, quote)
            if first < 0 or first > column:
                return None
            last = _next_quote(line, first + 1, quote)
            if last < 0:
                return None
            if first <= column <= last:
                return first, last
            start = last + 1
    first = _quote_before(line, column, quote)
    if first < 0:
        first = _next_quote(line, column, quote)
        if first < 0:
            return None
    last = _next_quote(line, first + 1, quote)
    return None if last < 0 else (first, last)


def _next_quote(line: str, start: int, quote: str) -> int:
    """-1 when there is none. A backslash takes the meaning from the character behind it."""
    column = start
    while column < len(line):
        if line[column] == "\\":
            column += 1
        elif line[column] == quote:
            return column
        column += 1
    return -1


def _quote_before(line: str, column: int, quote: str) -> int:
    while (column := line.rfind(quote, 0, column)) >= 0:
        backslashes = len(line[:column]) - len(line[:column].rstrip("\\"))
        if backslashes % 2 == 0:
            return column
    return -1
