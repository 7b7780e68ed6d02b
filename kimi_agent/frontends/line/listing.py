"""A list to look through in line mode: numbered lines in spoken order, and one question until it is closed."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from kimi_agent.core.errors import KimiError
from kimi_agent.core.listing import Listing, Row, RowKey
from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common.listing import Choice, told
from kimi_agent.frontends.line.screen import Screen, Style

PAGE = 20
"""Rows that are printed at once."""


class Read(Protocol):
    def __call__(self, label: str, *, before: Callable[[], None]) -> Coroutine[Any, Any, str | None]:
        """Ask for one line, when nothing else is asked and `before` was called; None when nobody answers."""
        ...


@dataclass(frozen=True, slots=True)
class Order:
    """What was typed: a word (empty: pick), and the number of a row, 0 without one."""

    word: str
    number: int


def row_text(row: Row) -> str:
    """A row in the order in which it is spoken."""
    share = (
        ""
        if row.share is None
        else "less than 1 percent"
        if 0 < row.share < 0.005
        else f"{row.share * 100:.0f} percent"
    )
    return ", ".join(filter(None, (row.label, row.description, share, row.mark)))


def order(text: str) -> Order:
    word, _, last = text.strip().rpartition(" ")
    if last.isascii() and last.isdigit() and len(last) < 10:
        return Order(word.strip().lower(), int(last))
    return Order(text.strip().lower(), 0)


class ListingReader:
    """Prints a listing and does what is typed about its rows."""

    def __init__(self, listing: Listing, screen: Screen, read: Read) -> None:
        self._listing, self._screen, self._read = listing, screen, read
        self._choice = Choice()
        self._printed: list[Row] = []  # the rows by the numbers that were printed
        self._next = 0  # the first row of the next page
        self._unsaid: list[Callable[[], None]] = []  # what is printed above the next question

    async def browse(self) -> str | None:
        """The id of the row that was picked, None when the list was closed. Raises KimiError as `rows` does."""
        self._choice.take(self._listing.rows())
        self._print_all()
        if not self._choice.rows:
            self._say_all()
            return None
        while text := (await self._read(self._label(), before=self._say_all) or "").strip():
            if text.startswith("/"):
                await self._search(text[1:].strip())
                continue
            given = order(text)
            row = self._printed[given.number - 1] if 0 < given.number <= len(self._printed) else None
            if row is not None and not given.word and self._listing.picks:
                return row.id
            if await self._do(given.word, row):
                break
        self._say_all()
        return None

    def _say(self, text: str, style: Style = "") -> None:
        self._unsaid.append(partial(self._screen.line, text, style))

    def _say_all(self) -> None:
        unsaid, self._unsaid = self._unsaid, []
        for say in unsaid:
            say()

    async def _do(self, word: str, row: Row | None) -> bool:
        """Do what a word says; whether the list is closed with that."""
        key = next((key for key in self._listing.keys if word and word in (key.key, key.help.lower())), None)
        if word == "more" and row is None and self._more:
            self._print_page()
        elif key is None and word in ("v", "view") and row is not None and self._listing.preview is not None:
            await self._view(row.id)
        elif key is not None and row is not None:
            return await self._act(key, row.id)
        else:
            does = ", before it what to do" if self._listing.keys else ""
            self._say(f"Type a number from 1 to {len(self._printed)}{does}.", "warning")
        return False

    async def _act(self, key: RowKey, row: str) -> bool:
        try:
            answer = await key.act(row)
            if key.closes:
                return True
            if answer:
                self._say(plain(answer))
            if self._choice.take(self._listing.rows()):
                self._print_all()
        except (KimiError, OSError) as error:
            self._say(plain(told(error)), "error")
        return False

    async def _view(self, row: str) -> None:
        assert self._listing.preview is not None
        try:
            text = plain(await self._listing.preview(row))
        except (KimiError, OSError) as error:
            self._say(plain(told(error)), "error")
            return
        if self._listing.preview_plain:
            self._say(text)
        else:
            self._unsaid.append(partial(self._screen.markdown, text))

    async def _search(self, text: str) -> None:
        """Show what matches; all of it without a text."""
        self._choice.take(self._listing.rows())
        self._choice.filter(text)
        if text and self._listing.search is not None:
            try:
                self._choice.found(await self._listing.search(text))
            except (KimiError, OSError) as error:
                self._say(plain(told(error)), "error")
        self._print_all()

    def _print_all(self) -> None:
        self._say(plain(self._listing.title), "bold")
        if self._listing.head is not None and (head := plain(self._listing.head())):
            self._say(head, "dim")
        self._printed, self._next = [], 0
        if not self._choice.rows:
            self._say(plain(self._listing.empty))
        elif not self._choice.shown:
            self._say("Nothing matches.")
        else:
            self._print_page()

    def _print_page(self) -> None:
        shown: Sequence[Row] = self._choice.shown[self._next : self._next + PAGE]
        group = self._printed[-1].group if self._printed else ""
        for number, row in enumerate(shown, len(self._printed) + 1):
            if row.group != group:
                group = row.group
                self._say(f"{group}:", "dim")
            self._say(f"{number}. {row_text(row)}")
        self._printed += shown
        self._next += PAGE
        if self._more:
            self._say(f"{len(self._choice.shown) - len(self._printed)} more.", "dim")

    @property
    def _more(self) -> bool:
        return len(self._printed) < len(self._choice.shown)

    def _label(self) -> str:
        """The question, with all that can be answered."""
        offers = [f"Number to {self._listing.picks}"] if self._listing.picks else []
        for key in filter(lambda key: key.help, self._listing.keys):
            word = plain(key.help)
            offers.append(f"{key.key} 3 to {word}" if len(key.key) == 1 else f"{word} 3")
        if self._listing.preview is not None:
            taken = any(key.key == "v" for key in self._listing.keys)
            offers.append("view 3" if taken else "v 3 to view")
        offers += ["/ text to search", *(["more"] if self._more else []), "empty to close: "]
        return ", ".join(offers)
