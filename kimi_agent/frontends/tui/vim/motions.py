"""Vim's motions: where a key takes the cursor, and what an operator makes of the way."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from kimi_agent.frontends.common.graphemes import after, before
from kimi_agent.frontends.tui.vim.text import END, INSIDE, VimText

Reach = Literal["exclusive", "inclusive", "lines"]


@dataclass(slots=True)
class Asked:
    """What a motion is asked for. `operator` is d, c or y, or empty; `visual`: a selection follows the cursor."""

    count: int
    counted: bool
    operator: str = ""
    visual: bool = False


def left(text: VimText, asked: Asked) -> Reach | None:
    for _ in range(asked.count):
        text.col = before(text.line, text.col)
    return "exclusive"


def right(text: VimText, asked: Asked) -> Reach | None:
    for _ in range(asked.count):
        if text.here and (asked.visual or after(text.line, text.col) < len(text.line)):
            text.col = after(text.line, text.col)
        elif asked.operator:
            return "inclusive" if text.line else "exclusive"
        else:
            break
    return "exclusive"


def line_start(text: VimText, asked: Asked) -> Reach | None:
    text.col = 0
    return "exclusive"


def first_nonblank(text: VimText, asked: Asked) -> Reach | None:
    text.to_first_nonblank(text.row)
    return "exclusive"


def line_end(text: VimText, asked: Asked) -> Reach | None:
    if not _go_down(text, asked.count - 1):
        return None
    text.col = len(text.line) if asked.visual else text.last(text.row)
    return "inclusive"


def down(text: VimText, asked: Asked) -> Reach | None:
    return "lines" if _go_down(text, asked.count) else None


def up(text: VimText, asked: Asked) -> Reach | None:
    if text.row == 0:
        return None
    text.row = max(0, text.row - asked.count)
    return "lines"


def _go_down(text: VimText, count: int) -> bool:
    if count and text.row >= text.last_row:
        return False
    text.row = min(text.last_row, text.row + count)
    return True


def first_line(text: VimText, asked: Asked) -> Reach | None:
    text.to_first_nonblank(min(asked.count - 1, text.last_row) if asked.counted else 0)
    return "lines"


def last_line(text: VimText, asked: Asked) -> Reach | None:
    text.to_first_nonblank(min(asked.count - 1, text.last_row) if asked.counted else text.last_row)
    return "lines"


def word_back(text: VimText, asked: Asked, *, big: bool) -> Reach | None:
    for _ in range(asked.count):
        if text.dec() == END:
            return None
        if _skip_blanks_back(text, big=big):
            continue
        if text.place == (0, 0) or text.skip(text.kind(big=big), big=big, forward=False):
            break
        text.inc()
    return "exclusive"


def _skip_blanks_back(text: VimText, *, big: bool) -> bool:
    """To the end of the word before; True when an empty line, or the beginning of the text, stopped it."""
    while text.kind(big=big) == 0:
        if not text.line or text.dec() == END:
            return True
    return False


def word(text: VimText, asked: Asked, *, big: bool) -> Reach | None:
    """w. As the operator c on a word it is e, but stays on a word's last character."""
    if asked.operator == "c" and text.kind() != 0:
        end_of_word(text, asked.count, big=big, stays=True)
        return _off_line_end(text, "inclusive")
    start = text.place
    moved = forward(text, asked.count, big=big, stop_at_line=bool(asked.operator))
    if not moved and not asked.operator and text.place == start:
        return None
    return _off_line_end(text, "exclusive") if text.place > start and not asked.visual else "exclusive"


def forward(text: VimText, count: int, *, big: bool, stop_at_line: bool) -> bool:
    """`count` words on; `stop_at_line`: the last one ends where its line does. False at the end of the text."""
    for left_over in range(count - 1, -1, -1):
        sort, on_last = text.kind(big=big), text.row == text.last_row
        came = text.inc()
        if came == END or (came != INSIDE and on_last):
            return False
        if came != INSIDE and stop_at_line and left_over == 0:
            return True
        while sort and text.kind(big=big) == sort:
            came = text.inc()
            if came == END or (came != INSIDE and stop_at_line and left_over == 0):
                return True
        while text.kind(big=big) == 0:
            if not text.line:
                break
            came = text.inc()
            if came == END or (came != INSIDE and on_last):
                return True
    return True


def word_end(text: VimText, asked: Asked, *, big: bool) -> Reach | None:
    if not end_of_word(text, asked.count, big=big) and not asked.operator:
        text.clamp(past_end=asked.visual)
        return "inclusive"
    return "inclusive" if asked.visual else _off_line_end(text, "inclusive")


def end_of_word(text: VimText, count: int, *, big: bool, stays: bool = False, stop_at_empty: bool = False) -> bool:
    """To the `count`th end of a word; `stays`: an end on which the cursor stands counts. False at the end of the text."""
    for _ in range(count):
        sort = text.kind(big=big)
        if text.inc() == END:
            return False
        if text.kind(big=big) == sort and sort != 0:
            if text.skip(sort, big=big, forward=True):
                return False
        elif not stays or sort == 0:
            while text.kind(big=big) == 0:
                if stop_at_empty and not text.line:
                    return True
                if text.inc() == END:
                    return False
            if text.skip(text.kind(big=big), big=big, forward=True):
                return False
        text.dec()
        stays = False
    return True


def _off_line_end(text: VimText, reach: Reach) -> Reach:
    """The cursor does not stay behind the last character; an operator takes that character then."""
    if text.col > 0 and not text.here:
        text.col = before(text.line, text.col)
        return "inclusive"
    return reach


def find(text: VimText, character: str, key: str, count: int, *, repeated: bool = False) -> Reach | None:
    """f, F, t and T. `repeated` by ; or , a t goes on from right before its character."""
    ahead, line, column = key in "ft", text.line, text.col
    till = key in "tT"
    if till and repeated and count == 1:
        beside = column + 1 if ahead else column - 1
        count += 1 if 0 <= beside < len(line) and line[beside] == character else 0
    for _ in range(count):
        column = line.find(character, column + 1) if ahead else line.rfind(character, 0, max(0, column))
        if column < 0:
            return None
    if till:
        column = before(line, column) if ahead else after(line, column)
    text.col = column
    return "inclusive" if ahead else "exclusive"


Motion = Callable[[VimText, Asked], Reach | None]
MOTIONS: dict[str, Motion] = {
    "h": left,
    "left": left,
    "l": right,
    "right": right,
    "j": down,
    "down": down,
    "k": up,
    "up": up,
    "0": line_start,
    "home": line_start,
    "^": first_nonblank,
    "$": line_end,
    "end": line_end,
    "gg": first_line,
    "G": last_line,
    "w": lambda text, asked: word(text, asked, big=False),
    "W": lambda text, asked: word(text, asked, big=True),
    "b": lambda text, asked: word_back(text, asked, big=False),
    "B": lambda text, asked: word_back(text, asked, big=True),
    "e": lambda text, asked: word_end(text, asked, big=False),
    "E": lambda text, asked: word_end(text, asked, big=True),
}
