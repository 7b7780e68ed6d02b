"""What of a listing is shown: the rows that match what is typed, one of them chosen."""

from collections.abc import Collection, Iterator, Sequence

from msgspec.structs import replace

from kimi_agent.core.errors import KimiError
from kimi_agent.core.listing import Listing, Row
from kimi_agent.core.sanitize import plain


def has_letters(listing: Listing) -> bool:
    """Whether letters are keys, so that `/` begins the filter."""
    return any(len(key.key) == 1 for key in listing.keys)


def safe(row: Row) -> Row:
    """The row as single lines that may be shown."""
    one_line = (" ".join(plain(text).split()) for text in (row.label, row.description, row.mark, row.group))
    label, description, mark, group = one_line
    return replace(row, label=label, description=description, mark=mark, group=group)


def told(error: KimiError | OSError) -> str:
    """What a person is told of an error of a key, a preview or a search: it ends neither the list nor the program."""
    return (
        error.full
        if isinstance(error, KimiError)
        else f"{error.strerror or error}: {error.filename or ''}".rstrip(": ")
    )


class Choice:
    """The rows of a list, those that match, and the chosen one, which stays the same by its id while the list changes."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.shown: list[Row] = []
        self.index = 0  # in `shown`
        self.words: tuple[str, ...] = ()
        self._given: Sequence[Row] = ()
        self._found: Collection[str] | None = None  # ids; None: labels and descriptions are compared

    @property
    def id(self) -> str | None:
        return self.shown[self.index].id if self.shown else None

    def take(self, rows: Sequence[Row]) -> bool:
        """The rows as they are now; False when nothing has changed."""
        if rows == self._given:
            return False
        self._given = list(rows)
        self.rows = [safe(row) for row in rows]
        self._match()
        return True

    def filter(self, text: str) -> None:
        """Show the rows that hold every word of `text`, the first one chosen; all of them without words."""
        self.words, self._found = tuple(text.casefold().split()), None
        self._match()
        if self.words:
            self.index = 0

    def found(self, ids: Sequence[str]) -> bool:
        """Show these rows only: a search has answered for what is typed. False when these are shown already."""
        before = self.shown
        self._found = frozenset(ids)
        self._match()
        return self.shown != before

    def choose(self, index: int) -> None:
        self.index = max(0, min(index, len(self.shown) - 1))

    def _match(self) -> None:
        chosen = self.id
        if self._found is not None:
            self.shown = [row for row in self.rows if row.id in self._found]
        elif self.words:
            self.shown = [row for row in self.rows if self._holds(f"{row.label}\n{row.description}".casefold())]
        else:
            self.shown = self.rows
        again = next((at for at, row in enumerate(self.shown) if row.id == chosen), self.index)
        self.choose(again)

    def _holds(self, text: str) -> bool:
        return all(word in text for word in self.words)


def matches(text: str, words: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Where the words stand in a text, as (start, end)."""
    folded = text.lower()
    if len(folded) != len(text):  # a letter whose small form is longer: the places would be wrong
        return
    for word in words:
        at = folded.find(word)
        while word and at >= 0:
            yield at, at + len(word)
            at = folded.find(word, at + len(word))
