"""What a selection of drawn lines says: without gutters, signs, line numbers and padding, wrapped lines whole again."""

from collections.abc import Iterable, Sequence

from msgspec import Struct
from rich.segment import Segment

from kimi_agent.frontends.tui.draw.lines import Absent, Decor, Divider, Folded, Gap, Line, Wrapped


class Piece(Struct, frozen=True):
    """The part of a line that is selected: its characters from `start` to `end` (None: to its end)."""

    line: Line
    start: int = 0
    end: int | None = None


def selected(lines: Sequence[Line], start: int | None, end: int | None) -> str:
    """The text of these lines from a character of the first one to one of the last.

    Of two columns it is the one that the selection begins in, the right one when it begins with the first line.
    """
    pieces = [Piece(line) for line in lines]
    if pieces and end is not None:
        pieces[-1] = Piece(lines[-1], 0, end)
    if pieces and start is not None:
        pieces[0] = Piece(lines[0], start, pieces[0].end)
    return copied(pieces, right=not start or not pieces or _in_right_column(lines[0], start))


def copied(pieces: Sequence[Piece], *, right: bool = True) -> str:
    """The text of these lines. Of two columns, the right one or the left one is meant."""
    texts: list[str] = []
    for piece in pieces:
        segments = _column(piece.line, piece, right=right)
        if any(isinstance(segment, Absent) for segment in segments):
            continue
        joint = next((n for n, segment in enumerate(segments) if isinstance(segment, Wrapped | Folded)), None)
        words = _words(segments if joint is None else segments[joint:])
        if joint is None or not texts:
            texts.append(words)
        elif isinstance(segments[joint], Wrapped) and not texts[-1].endswith(" "):
            texts[-1] += f" {words}"
        else:
            texts[-1] += words
    return "\n".join(text.rstrip() for text in texts)


def _column(line: Line, piece: Piece, *, right: bool) -> Line:
    """The selected segments, of the chosen column when there are two."""
    columns: list[Line] = [[]]
    at = 0
    for segment in line:
        start, end = max(0, piece.start - at), None if piece.end is None else max(0, piece.end - at)
        at += len(segment.text)
        if isinstance(segment, Divider):
            columns.append([])
        else:
            columns[-1].append(type(segment)(segment.text[start:end], segment.style))
    return columns[-1 if right else 0]


def _words(segments: Iterable[Segment]) -> str:
    parts = [
        "  " if isinstance(each, Gap) and each.text else each.text for each in segments if not isinstance(each, Decor)
    ]
    return "".join(parts)


def _in_right_column(line: Line, start: int) -> bool:
    """Whether a selection that begins at this character of a line begins right of its divider; also without one."""
    at = 0
    for segment in line:
        if isinstance(segment, Divider):
            return start >= at
        at += len(segment.text)
    return True
