"""Vim's normal mode: reading commands, motions, operators, and what begins and ends an insertion."""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from kimi_agent.frontends.common.graphemes import after, before
from kimi_agent.frontends.tui.vim.editor import Editor, Insertion, Register, Repeat, State
from kimi_agent.frontends.tui.vim.motions import MOTIONS, Asked, Reach, find
from kimi_agent.frontends.tui.vim.objects import Span, text_object
from kimi_agent.frontends.tui.vim.text import Place

Mode: TypeAlias = Literal["insert", "normal", "visual", "visual line"]
COUNT_LIMIT = 10_000
_OPERATORS = "dcy"
FINDS = "fFtT"
_SHORT = {"x": "dl", "X": "dh", "D": "d$", "C": "c$", "s": "cl", "S": "cc", "Y": "yy", "delete": "dl"}
_INSERTING = "iaIAoO"
FAR = 1 << 30
"""A column at the end of every line."""


def _at_boundary(line: str, column: int) -> int:
    """The first column of the character that stands at `column`."""
    return column if line.isascii() or column >= len(line) else before(line, after(line, column))


@dataclass
class Normal(Editor):
    """`key` takes one key in normal or visual mode; insert mode belongs to the editor around, which says `escape` when it ends.

    Keys are single characters or `escape`, `ctrl+r`, `left`, ... `text` is changed in place; the cursor of insert mode may stand
    behind the last character.
    """

    mode: Mode = "insert"
    anchor: Place = (0, 0)
    """Where a visual selection began."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._keys: list[str] = []  # of the command that is not complete yet
        self._found: tuple[str, str] | None = None
        self._repeat = Repeat()
        self._insertion: Insertion | None = None
        self._column: int | None = None  # that j and k try to keep; FAR after $
        self._dotting = False

    # --- from outside -------------------------------------------------------------------------------------------------

    @property
    def pending(self) -> bool:
        """Whether a command waits for its rest."""
        return bool(self._keys)

    def sync(self, lines: list[str], place: Place) -> None:
        """Take over what the editor around has changed; out of insert mode that is a change of its own."""
        if lines != self.text.lines:
            if self.mode != "insert":
                self._remember()
                self._keys.clear()
                self.mode = "normal"
            self.text.lines = list(lines)
        self.text.place = place
        self.text.clamp(past_end=self.mode != "normal")

    def start_insert(self) -> None:
        """Insert mode, wherever the cursor is: at the beginning, and after something was sent."""
        self._keys.clear()
        self.mode, self._insertion = "insert", None

    def escape(self) -> None:
        """Leave insert mode, with the text as the editor around has left it: one change that u takes back whole."""
        typed, count, opened = self._typed()
        if self._insertion is not None and (typed or list(self._insertion.lines) != self.text.lines):
            self._remember(State(self._insertion.lines, self.text.place))
        if typed is not None:
            self._repeat.typed = typed
            piece = "\n" + typed if opened else typed
            self._put(piece * (count - 1), self.text.place)
        self.mode, self._insertion, self._column = "normal", None, None
        self.text.col = before(self.text.line, self.text.col)

    def _typed(self) -> tuple[str | None, int, bool]:
        """What stands between the old text's two halves; None when one of them was changed too."""
        begun = self._insertion
        if begun is None:
            return None, 1, False
        whole, end = "\n".join(self.text.lines), len(begun.after)
        fits = whole.startswith(begun.before) and whole.endswith(begun.after)
        if not fits or len(whole) < len(begun.before) + end:
            return None, 1, False
        return whole[len(begun.before) : len(whole) - end], begun.count, begun.opened

    def key(self, key: str) -> bool:
        """False for a key that means nothing here, or a command that could not be done."""
        if key == "escape":
            done = self.mode != "normal" or bool(self._keys)
            self._keys.clear()
            self.mode = "normal"
            self.text.clamp()
            return done
        self._keys.append(key)
        count, counted, command = self._parse(self._keys)
        answer = self._try(command, count, counted) if command else True
        if answer is None:
            return True
        if command:
            self._keys.clear()
        return answer

    # --- reading ------------------------------------------------------------------------------------------------------

    def _parse(self, keys: list[str]) -> tuple[int, bool, list[str]]:
        """The counts of a command, multiplied, whether there is any, and its other keys."""
        counts: list[int] = []
        rest: list[str] = []
        digits = ""
        for key in keys:
            takes_any = bool(rest) and (rest[-1] in FINDS + "r" or (rest[-1] in "ia" and len(rest) > 1))
            if (
                not takes_any
                and len(key) == 1
                and key in "0123456789"
                and (key != "0" or digits)
                and rest[-1:] != ["g"]
            ):
                digits += key
                continue
            if digits:
                counts.append(min(COUNT_LIMIT, int(digits[:9])))
                digits = ""
            rest.append(key)
        return min(COUNT_LIMIT, math.prod(counts)), bool(counts), rest

    def _try(self, keys: list[str], count: int, counted: bool) -> bool | None:
        """Run a command; None when it is not complete."""
        first = keys[0]
        if first in _SHORT:
            return self._operate(list(_SHORT[first]), count, counted)
        if first in _OPERATORS:
            return self._operate(keys, count, counted)
        if first in FINDS + "rg" and len(keys) == 1:
            return None
        if self._move(keys, Asked(count, counted)):
            return True
        return self._simple(keys, count, counted)

    # --- motions ------------------------------------------------------------------------------------------------------

    def _reach(self, keys: list[str], asked: Asked) -> Reach | None:
        """Move the cursor; None, and it stays, when the motion cannot be made."""
        text, start, name = self.text, self.text.place, keys[0]
        column = text.col if self._column is None else self._column
        if name in FINDS and len(keys) > 1:
            self._found = (name, keys[1]) if len(keys[1]) == 1 else self._found
            reach = find(text, keys[1], name, asked.count) if len(keys[1]) == 1 else None
        elif name in (";", ",") and self._found:
            key = self._found[0] if name == ";" else self._found[0].swapcase()
            reach = find(text, self._found[1], key, asked.count, repeated=True)
        else:
            motion = MOTIONS.get("".join(keys[:2]) if name == "g" else name)
            reach = motion(text, asked) if motion else None
        if reach is None:
            text.place = start
            return None
        if name in ("j", "k", "up", "down"):
            self._column = column
            limit = len(text.line) if asked.visual and column >= FAR else text.last(text.row)
            text.col = _at_boundary(text.line, min(column, limit))
        else:
            self._column = FAR if name in ("$", "end") else None
        return reach

    def _move(self, keys: list[str], asked: Asked) -> bool:
        moved = self._reach(keys, asked) is not None
        self.text.clamp(past_end=asked.visual)
        return moved

    # --- operators ----------------------------------------------------------------------------------------------------

    def _operate(self, keys: list[str], count: int, counted: bool) -> bool | None:
        operator, motion = keys[0], keys[1:]
        if not motion or (motion[0] in FINDS + "gia" and len(motion) == 1):
            return None
        start = self.text.place
        if motion[0] == operator:
            if count > 1 and start[0] >= self.text.last_row:
                return False
            last = min(start[0] + count - 1, self.text.last_row)
            return self._over_lines(operator, start[0], last, keys, count, counted)
        if motion[0] in "ia":
            span = text_object(self.text, motion[0] == "i", motion[1])
            return False if span is None else self._over_object(operator, span, keys)
        reach = self._reach(motion, Asked(count, counted, operator))
        if reach is None:
            return False
        first, last_place = sorted((start, self.text.place))
        if reach == "lines":
            self.text.place, self._column = first, self._column if operator == "y" else None
            return self._over_lines(operator, first[0], last_place[0], keys, count, counted)
        span_, lines = self._adjusted(operator, first, last_place, inclusive=reach == "inclusive")
        self.text.place, self._column = first, None
        if lines:
            return self._over_lines(operator, span_[0][0], span_[1][0], keys, count, counted)
        return self._over(operator, span_, keys, count, counted)

    def _adjusted(self, operator: str, first: Place, last: Place, *, inclusive: bool) -> tuple[Span, bool]:
        """Vim's rules for a way over several lines: (the part, whether whole lines are meant)."""
        text = self.text
        if first[0] < last[0] and not inclusive and last[1] == 0:
            last = last[0] - 1, len(text.lines[last[0] - 1])
            if first[1] <= text.indent(first[0]):
                return (first, last), True
        elif inclusive:
            last = last[0], after(text.lines[last[0]], last[1])
        rest = text.lines[last[0]][last[1] :].strip(" \t")
        return (first, last), operator == "d" and first[0] < last[0] and first[1] <= text.indent(first[0]) and not rest

    def _over_object(self, operator: str, span: Span, keys: list[str]) -> bool:
        (first, last), lines = self._adjusted(operator, *span, inclusive=False)
        self.text.place = first
        if lines:
            return self._over_lines(operator, first[0], last[0], keys, 1, False)
        return self._over(operator, (first, last), keys, 1, False)

    def _over(self, operator: str, span: Span, keys: list[str], count: int, counted: bool) -> bool:
        """d, c or y over a part of the text."""
        text, (first, _last) = self.text, span
        taken = self._between(span)
        text.place = first
        if operator == "y":
            self.register = Register(taken)
            text.clamp()
            return True
        self._note(keys, count if counted else 0)
        if operator == "c":
            self._begin(first, span)
            if taken:
                self.register = Register(taken)
            return True
        if taken:
            self._remember()
            self.register = Register(taken)
            self._cut(span)
        text.clamp()
        return True

    def _over_lines(self, operator: str, first: int, last: int, keys: list[str], count: int, counted: bool) -> bool:
        text = self.text
        if operator == "y" or text.lines != [""]:
            self.register = Register("\n".join(text.lines[first : last + 1]), lines=True)
        if operator == "y":
            if keys[1:2] != [operator]:
                text.clamp()
            return True
        self._note(keys, count if counted else 0)
        if operator == "c":
            self._begin((first, 0), ((first, 0), (last, len(text.lines[last]))))
            return True
        self._remember()
        text.lines[first : last + 1] = [] if first > 0 or last < text.last_row else [""]
        text.to_first_nonblank(min(first, text.last_row))
        return True

    # --- other commands -----------------------------------------------------------------------------------------------

    def _simple(self, keys: list[str], count: int, counted: bool) -> bool:
        key, text = keys[0], self.text
        self._column = None
        if key in _INSERTING:
            self._insert(key, count, counted)
            return True
        match key:
            case "v" | "V":
                self.mode, self.anchor = "visual" if key == "v" else "visual line", text.place
                return True
            case "u":
                return self._travel(self._undo, self._redo, count)
            case "ctrl+r":
                return self._travel(self._redo, self._undo, count)
            case "." if self._repeat.keys:
                return self._again(count, counted)
            case "p" | "P" if self.register.text or self.register.lines:
                self._note(keys, count if counted else 0)
                self._remember()
                self._paste(count, behind=key == "p")
                return True
            case "r" if len(keys) > 1 and len(keys[1]) == 1:
                return self._replace(keys, count, counted)
            case "~" if text.line:
                self._note(keys, count if counted else 0)
                self._remember()
                end = text.col
                for _ in range(count):
                    end = after(text.line, end)
                text.lines[text.row] = text.line[: text.col] + text.line[text.col : end].swapcase() + text.line[end:]
                text.col = end
                text.clamp()
                return True
            case "J":
                return self._join(keys, count, counted)
        return False

    def _replace(self, keys: list[str], count: int, counted: bool) -> bool:
        text, end = self.text, self.text.col
        for _ in range(count):
            if end >= len(text.line):
                return False
            end = after(text.line, end)
        self._note(keys, count if counted else 0)
        self._remember()
        text.lines[text.row] = text.line[: text.col] + keys[1] * count + text.line[end:]
        text.col += len(keys[1]) * (count - 1)
        return True

    def _join(self, keys: list[str], count: int, counted: bool) -> bool:
        text, count = self.text, max(2, count)
        if text.row + count - 1 > text.last_row:
            if count <= 2:
                return False
            count = text.last_row - text.row + 1
        self._note(keys, count if counted else 0)
        self._remember()
        joined, column = text.line, 0
        for line in text.lines[text.row + 1 : text.row + count]:
            rest = line.lstrip(" \t")
            column = len(joined)
            blank = rest and not rest.startswith(")") and joined and joined[-1] not in " \t"
            joined += (" " if blank else "") + rest
        text.lines[text.row : text.row + count] = [joined]
        text.col = column
        text.clamp()
        return True

    def _paste(self, count: int, *, behind: bool) -> None:
        text, taken = self.text, self.register
        if taken.lines:
            row = text.row + 1 if behind else text.row
            text.lines[row:row] = taken.text.split("\n") * count
            text.to_first_nonblank(row)
            return
        start = (text.row, after(text.line, text.col) if behind and text.line else text.col)
        self._put(taken.text * count, start)
        if "\n" in taken.text:
            text.place = start
            text.clamp()
        else:
            text.col = before(text.line, text.col)

    # --- insert mode --------------------------------------------------------------------------------------------------

    def _insert(self, key: str, count: int, counted: bool) -> None:
        text = self.text
        self._note([key], count if counted else 0)
        old = tuple(text.lines)
        if key in "oO":
            row = text.row + (key == "o")
            text.lines.insert(row, "")
            text.place = row, 0
        elif key == "I":
            text.col = text.indent(text.row)
        elif key == "A":
            text.col = len(text.line)
        elif key == "a" and text.line:
            text.col = after(text.line, text.col)
        self._insert_here(old, count, opened=key in "oO")

    def _begin(self, first: Place, span: Span) -> None:
        """Cut what c was asked for, and go on in insert mode."""
        old = tuple(self.text.lines)
        self._cut(span)
        self.text.place = first
        self._insert_here(old, 1)

    def _insert_here(self, old: tuple[str, ...], count: int, *, opened: bool = False) -> None:
        text = self.text
        lines = text.lines
        head = "\n".join([*lines[: text.row], text.line[: text.col]])
        tail = "\n".join([text.line[text.col :], *lines[text.row + 1 :]])
        self.mode, self._insertion = "insert", Insertion(old, head, tail, count, opened)
        if self._dotting:
            self._put(self._repeat.typed or "", text.place)
            self.escape()

    def _again(self, count: int, counted: bool) -> bool:
        repeat = self._repeat
        if counted:
            repeat.count = count
        self._dotting = True
        try:
            return bool(self._try(list(repeat.keys), repeat.count or 1, repeat.count > 0))
        finally:
            self._dotting = False

    def _note(self, keys: list[str], count: int) -> None:
        """Keep a change for the dot."""
        if not self._dotting:
            self._repeat = Repeat(tuple(keys), count, None)
