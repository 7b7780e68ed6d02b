"""A list in line mode: what is printed and said, and what a typed line does."""

from collections.abc import Callable

import pytest
from listings import ROWS, Garden, many

from kimi_agent.core.listing import Listing, Row
from kimi_agent.frontends.line.listing import ListingReader
from kimi_agent.frontends.line.screen import Style


class Paper:
    """A screen that keeps what is printed, and a person who types prepared lines. `labels` are the questions."""

    def __init__(self, typed: tuple[str, ...]) -> None:
        self.lines: list[str] = []
        self.labels: list[str] = []
        self._typed = list(typed)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def line(self, text: str, style: Style = "") -> None:
        self.lines += text.split("\n")

    def markdown(self, text: str) -> None:
        self.line(text)

    async def read(self, label: str, *, before: Callable[[], None]) -> str | None:
        before()
        if label not in self.labels[-1:]:
            self.labels.append(label)
        return self._typed.pop(0) if self._typed else ""


async def browse(listing: Listing, *typed: str) -> tuple[str | None, Paper]:
    screen = Paper(typed)
    return await ListingReader(listing, screen, screen.read).browse(), screen


async def test_rows_are_numbered_and_told_in_spoken_order():
    answer, screen = await browse(Garden().listing())
    assert answer is None
    assert screen.lines[:7] == [
        "What grows",
        "5 kinds in one bed",
        "Leaves:",
        "1. kale, a cabbage that stands the winter, 42 percent, pinned",
        "2. spinach, eaten young, and quickly, less than 1 percent",
        "3. chard, its stalks are red, yellow or white, 12 percent",
        "Roots:",
    ]
    assert screen.labels == [
        "Number to open, d 3 to drop, b 3 to break, v 3 to view, / text to search, empty to close: "
    ]
    assert not set(screen.text) & set("─━│▇█❯·")


@pytest.mark.parametrize("typed", ["3", " 3 "])
async def test_a_number_picks(typed: str):
    assert (await browse(Garden().listing(), typed))[0] == "c"


async def test_keys_are_letters_or_the_words_of_their_help():
    garden = Garden()
    _, screen = await browse(garden.listing(), "b 2", "d 2", "b 1")
    assert "Permission denied: /bed" in screen.lines
    assert garden.done == ["drop s"]
    assert "Dropped s." in screen.lines
    assert screen.lines.count("What grows") == 2
    assert "the spade is broken" in screen.text
    garden = Garden()
    _, screen = await browse(garden.listing(letters=False), "move up 2", "delete 1")
    assert garden.done == ["drop s"]
    assert screen.labels[0].startswith("Number to open, move up 3, delete 3, v 3 to view")


async def test_numbers_mean_the_rows_that_were_printed():
    garden = Garden()

    async def grow(row: str) -> str:
        garden.rows.insert(0, Row("new", "nettle"))
        return ""

    answer, screen = await browse(Listing("Beds", lambda: garden.rows, preview=grow), "v 1", "1")
    assert answer == "k"
    assert "nettle" not in screen.text


async def test_a_preview_and_a_search():
    answer, screen = await browse(Garden().listing(), "v 2", "/ red", "1")
    assert "Sow **spinach** in spring:" in screen.text
    assert screen.lines[-1].startswith("1. chard")
    assert answer == "c"


async def test_long_lists_come_in_pages():
    answer, screen = await browse(Garden(many(45)).listing(), "more", "more", "more", "45")
    assert screen.lines.count("25 more.") == 1
    assert screen.lines.count("5 more.") == 1
    assert "Type a number from 1 to 45" in screen.text
    assert answer == "r44"


async def test_nonsense_is_told_and_asked_again():
    answer, screen = await browse(Garden().listing(), "9", "0", "x 1", "d", "kale", "2")
    assert screen.text.count("Type a number from 1 to 5") == 5
    assert answer == "s"


async def test_an_empty_list_says_so_and_asks_nothing():
    answer, screen = await browse(Garden([]).listing(head=None, empty="Nothing grows here."))
    assert (answer, screen.lines) == (None, ["What grows", "Nothing grows here."])
    assert not screen.labels


async def test_what_rows_say_cannot_control_the_terminal():
    rows = [Row("x", "a\x1b[31mb\nc", "d\u202ee"), *ROWS]
    _, screen = await browse(Garden(rows).listing())
    assert "\x1b" not in screen.text
    assert "\u202e" not in screen.text
