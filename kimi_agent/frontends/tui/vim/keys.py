"""Vim as a machine: keys go in, a changed text with a cursor comes out. Visual mode is here, normal mode in normal.py."""

from kimi_agent.frontends.common.graphemes import after, before
from kimi_agent.frontends.tui.vim.editor import Register
from kimi_agent.frontends.tui.vim.motions import Asked
from kimi_agent.frontends.tui.vim.normal import FINDS, Mode, Normal
from kimi_agent.frontends.tui.vim.objects import Span, text_object
from kimi_agent.frontends.tui.vim.text import VimText

__all__ = ["Mode", "Vim"]

_VISUAL_SHORT = {"x": "d", "X": "D", "s": "c", "delete": "d"}


class Vim(Normal):
    """`key` takes one key in normal or visual mode. Insert mode belongs to the editor around, which says `escape` at its end."""

    @property
    def selection(self) -> Span | None:
        """What is selected, from its first place to behind its last one; None out of visual mode."""
        if self.mode not in ("visual", "visual line"):
            return None
        first, last = sorted((self.anchor, self.text.place))
        lines = self.text.lines
        if self.mode == "visual line":
            return (first[0], 0), (last[0], len(lines[last[0]]))
        if last[1] < len(lines[last[0]]):
            return first, (last[0], after(lines[last[0]], last[1]))
        return (first, (last[0] + 1, 0)) if last[0] < self.text.last_row else (first, last)

    def _try(self, keys: list[str], count: int, counted: bool) -> bool | None:
        if self.mode not in ("visual", "visual line"):
            return super()._try(keys, count, counted)
        key = _VISUAL_SHORT.get(keys[0], keys[0])
        if key in FINDS + "gria" and len(keys) == 1:
            return None
        if key in "ia" and (span := text_object(self.text, key == "i", keys[1])) is not None:
            self.anchor, self.text.place = span
            _back(self.text)
            self.mode = "visual"
            return True
        if key not in "ia" and self._move([key, *keys[1:]], Asked(count, counted, visual=True)):
            return True
        match key:
            case "o":
                self.anchor, self.text.place = self.text.place, self.anchor
            case "v" | "V":
                wanted: Mode = "visual" if key == "v" else "visual line"
                self.mode = "normal" if self.mode == wanted else wanted
                self.text.clamp(past_end=self.mode != "normal")
            case "d" | "c" | "y" | "D" | "C" | "S" | "R" | "Y":
                self._over_selection(key)
            case "~" | "u" | "U" | "J" | "r" | "p" | "P":
                self._change_selection(key, keys)
            case _:
                return False
        return True

    def _over_selection(self, key: str) -> None:
        span, lines = self.selection, self.mode == "visual line" or key in "DCSRY"
        assert span is not None
        self.mode, self._column = "normal", None
        operator = {"D": "d", "C": "c", "S": "c", "R": "c", "Y": "y"}.get(key, key)
        first, row = span[0], self.text.row
        keys: list[str] = []  # a change of a selection is not repeated by the dot
        if lines:
            bottom = max(self.anchor[0], row)
            self.text.place = first
            self._over_lines(operator, first[0], bottom, keys, 1, False)
        else:
            self._over(operator, span, keys, 1, False)

    def _change_selection(self, key: str, keys: list[str]) -> None:
        span, text = self.selection, self.text
        assert span is not None
        whole = self.mode == "visual line"
        self.mode, self._column = "normal", None
        self._note([], 0)
        if key == "J":
            text.place = span[0]
            rows = max(self.anchor[0], span[1][0] if span[1][1] or whole else span[1][0] - 1) - span[0][0] + 1
            self._join(["J"], rows, False)
            return
        taken = self._between(span)
        if key in "pP":
            self._paste_over(span, taken, whole=whole)
            return
        self._remember()
        change = {"~": str.swapcase, "u": str.lower, "U": str.upper}.get(key)
        new = change(taken) if change else "".join(keys[1] if c != "\n" else c for c in taken)
        self._cut(span)
        self._put(new, span[0])
        text.place = span[0]
        text.clamp()

    def _paste_over(self, span: Span, taken: str, *, whole: bool) -> None:
        new, self.register = self.register, Register(taken, whole)
        self._remember()
        self._cut(span)
        piece = f"\n{new.text}\n" if new.lines and not whole else new.text
        self._put(piece, span[0])
        if new.lines or "\n" in new.text:
            self.text.place = span[0]
        self.text.clamp()


def _back(text: VimText) -> None:
    if text.col:
        text.col = before(text.line, text.col)
    elif text.row:
        text.row -= 1
        text.col = text.last(text.row)
