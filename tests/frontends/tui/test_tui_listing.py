"""The panel to look through a list, driven by its keys and the mouse."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from listings import ROWS, Garden, many
from machine import say
from textual.pilot import Pilot
from tui_house import gone, house, screen_text, seen, shell, until, write
from tui_look import CWD, every_look

from kimi_agent.agent.store import SessionStore, encode_line
from kimi_agent.agent.waiting import Waiting
from kimi_agent.core import event as ev
from kimi_agent.core.listing import Listing, Row, RowKey
from kimi_agent.core.message import Message, Text, ToolCall, user_message
from kimi_agent.core.provider import Model, Prices
from kimi_agent.frontends.tui.app import KimiApp
from kimi_agent.frontends.tui.widgets.panel import LinesView
from kimi_agent.frontends.tui.widgets.preview import Preview
from kimi_agent.model_command import ModelPanel
from kimi_agent.queue_command import QueuePanel
from kimi_agent.session_command import SessionPanel

WIDE, USUAL = (120, 40), (80, 24)


class Browsing:
    """What `browse` answers; `open` until then."""

    def __init__(self, app: KimiApp, listing: Listing) -> None:
        self.open, self.answer = True, ""
        app.run_worker(self._browse(app, listing))

    async def _browse(self, app: KimiApp, listing: Listing) -> None:
        self.answer = await app.commands.browse(listing)
        self.open = False


@asynccontextmanager
async def browsing(
    folder: Path, listing: Listing, size: tuple[int, int] = USUAL
) -> AsyncIterator[tuple[KimiApp, Pilot[int], Browsing]]:
    async with shell(house(folder).agent, size) as (app, pilot):
        browse = Browsing(app, listing)
        await until(pilot, lambda: len(app.screen_stack) == 2)
        yield app, pilot, browse


async def test_enter_picks_the_chosen_row_and_escape_none(tmp_path: Path):
    async with browsing(tmp_path, Garden().listing()) as (app, pilot, browse):
        await seen(app, pilot, "❯ kale")
        await pilot.press("down", "down", "enter")
        await until(pilot, lambda: not browse.open)
        assert browse.answer == "c"
        again = Browsing(app, Garden().listing())
        await seen(app, pilot, "❯ kale")
        await pilot.press("escape")
        await until(pilot, lambda: not again.open)
        assert again.answer is None


async def test_where_nothing_can_be_picked_enter_closes(tmp_path: Path):
    async with browsing(tmp_path, Garden().listing(picks="")) as (app, pilot, browse):
        await seen(app, pilot, "❯ kale")
        await pilot.press("enter")
        await until(pilot, lambda: not browse.open)
        assert browse.answer is None


async def test_rows_have_headings_marks_and_shares(tmp_path: Path):
    async with browsing(tmp_path, Garden().listing()) as (app, pilot, _):
        await seen(app, pilot, "Roots")
        await seen(app, pilot, "d drop")
        text = screen_text(app)
        for words in ("Leaves", "5 kinds in one bed", "pinned", "━━━━──────   42%", "<1%", "Esc close"):
            assert words in text


async def test_the_preview_follows_the_chosen_row(tmp_path: Path):
    garden = Garden()
    async with browsing(tmp_path, garden.listing(), WIDE) as (app, pilot, _):
        await seen(app, pilot, "Sow kale in spring")
        await pilot.press("down")
        await seen(app, pilot, "water spinach")
        assert "kale in spring" not in screen_text(app)


async def test_a_preview_as_it_is_breaks_between_words_and_keeps_its_columns(tmp_path: Path):
    word = "x" * 90

    async def preview(row: str) -> str:
        return f"one   two\n    four\n{'leaves ' * 30}\n{word}"

    listing = Garden().listing(preview=preview, preview_plain=True)
    async with browsing(tmp_path, listing, WIDE) as (app, pilot, _):
        await seen(app, pilot, "one   two")
        shown = app.screen.query_one(Preview)
        lines = [shown.render_line(row).text.rstrip() for row in range(shown.size.height)]
        assert lines[:2] == ["one   two", "    four"]
        text = lines[2 : lines.index(next(line for line in lines if "x" in line))]
        assert " ".join(text).split() == ["leaves"] * 30
        assert all(line.startswith("leaves") and line.endswith("leaves") for line in text)
        assert "".join(lines[2 + len(text) :]) == word


async def test_keys_that_have_no_room_are_told_by_a_sign(tmp_path: Path):
    keys = tuple(RowKey(letter, f"do what is {letter}", Garden()._drop) for letter in "abcdefg")
    async with browsing(tmp_path, Garden().listing(keys=keys)) as (app, pilot, _):
        await seen(app, pilot, "a do what is a")
        foot = app.screen.query_one("#listing-foot", LinesView).render_line(0).text.rstrip()
        assert foot.endswith(" …")
        *hints, last = foot.removesuffix(" …").split(" · ")
        assert hints
        assert last == f"{last[0]} do what is {last[0]}"


async def test_a_preview_that_comes_too_late_is_not_shown(tmp_path: Path):
    garden = Garden()
    async with browsing(tmp_path, garden.listing(), WIDE) as (app, pilot, _):
        await seen(app, pilot, "Sow kale in spring")
        garden.slow = asyncio.Event()
        await pilot.press("down")
        await until(pilot, lambda: garden.previews[-1] == "s")
        late, garden.slow = garden.slow, None
        await pilot.press("end")
        await seen(app, pilot, "Sow parsnip in spring")
        late.set()
        await pilot.pause(0.05)
        assert "Sow parsnip in spring" in screen_text(app)


async def test_where_there_is_no_room_a_key_shows_the_preview_instead_of_the_rows(tmp_path: Path):
    async with browsing(tmp_path, Garden().listing(), (60, 16)) as (app, pilot, browse):
        await seen(app, pilot, "❯ kale")
        assert "in spring" not in screen_text(app)
        await pilot.press("space")
        await seen(app, pilot, "Sow kale in spring")
        assert "❯ kale" not in screen_text(app)
        await pilot.press("left")
        await seen(app, pilot, "❯ kale")
        await pilot.press("right")
        await seen(app, pilot, "Sow kale in spring")
        await pilot.press("escape")
        await seen(app, pilot, "❯ kale")
        assert browse.open


async def test_typing_filters_and_escape_gives_all_rows_back(tmp_path: Path):
    async with browsing(tmp_path, Garden().listing(letters=False)) as (app, pilot, browse):
        await pilot.press(*"red")
        await gone(app, pilot, "kale")
        text = screen_text(app)
        assert "❯ chard" in text
        assert "1 of 5" in text
        await pilot.press("escape")
        await seen(app, pilot, "kale")
        assert browse.open
        await pilot.press(*"nonsense")
        await seen(app, pilot, "Nothing matches.")
        await pilot.press("enter")
        await until(pilot, lambda: not browse.open)
        assert browse.answer is None


async def test_where_letters_are_keys_a_slash_begins_the_filter(tmp_path: Path):
    garden = Garden()
    async with browsing(tmp_path, garden.listing()) as (app, pilot, browse):
        await pilot.press("slash", *"bed")
        await seen(app, pilot, "Nothing matches.")
        assert not garden.done
        await pilot.press("backspace", "backspace", "tab", "d")
        await seen(app, pilot, "Dropped k.")
        await pilot.press("escape", "end", "enter")
        await until(pilot, lambda: not browse.open)
        assert browse.answer == "p"


async def test_a_search_decides_what_matches(tmp_path: Path):
    async def search(text: str) -> list[str]:
        return ["p"] if text == "winter" else []

    async with browsing(tmp_path, Garden().listing(letters=False, search=search)) as (app, pilot, _):
        await pilot.press(*"winter")
        await seen(app, pilot, "❯ parsnip")
        await gone(app, pilot, "kale")


async def test_keys_do_something_with_the_row_and_errors_are_told(tmp_path: Path):
    garden = Garden()
    async with browsing(tmp_path, garden.listing()) as (app, pilot, _):
        await pilot.press("down", "b")
        await seen(app, pilot, "Permission denied: /bed")
        await pilot.press("d")
        await seen(app, pilot, "Dropped s.")
        await gone(app, pilot, "spinach")
        assert "❯ chard" in screen_text(app)
        await pilot.press("b")
        await seen(app, pilot, "the spade is broken")
        assert garden.done == ["drop s"]


async def test_a_moved_row_stays_the_chosen_one(tmp_path: Path):
    garden = Garden()
    async with browsing(tmp_path, garden.listing(letters=False)) as (app, pilot, _):
        await pilot.press("down", "down", "alt+up", "alt+up")
        await until(pilot, lambda: garden.rows[0].id == "c")
        await seen(app, pilot, "❯ chard")
        await pilot.press("delete")
        await until(pilot, lambda: garden.done == ["drop c"])
        await seen(app, pilot, "❯ kale")


async def test_a_live_list_is_asked_anew_and_keeps_the_chosen_row(tmp_path: Path):
    garden = Garden()
    async with browsing(tmp_path, garden.listing(live=True)) as (app, pilot, _):
        await pilot.press("down")
        await seen(app, pilot, "❯ spinach")
        garden.rows.insert(0, Row("n", "nettle", "came by itself", group="Leaves"))
        await seen(app, pilot, "nettle")
        assert "❯ spinach" in screen_text(app)


async def test_the_mouse_chooses_scrolls_and_picks(tmp_path: Path):
    async with browsing(tmp_path, Garden(many(200)).listing(head=None)) as (app, pilot, browse):
        await seen(app, pilot, "❯ row 0")
        await pilot.click("#listing-rows", offset=(4, 3))
        await seen(app, pilot, "❯ row 3")
        await pilot._post_mouse_events([_wheel()], "#listing-rows", offset=(4, 3))
        await gone(app, pilot, "row 1 ")
        await pilot.click("#listing-rows", offset=(4, 0), times=2)
        await until(pilot, lambda: not browse.open)
        assert browse.answer == "r2"


def _wheel() -> Any:
    from textual import events

    return events.MouseScrollDown


async def test_ten_thousand_rows_are_drawn_as_quickly_as_a_hundred(tmp_path: Path):
    async def seconds(count: int) -> float:
        async with browsing(tmp_path / str(count), Garden(many(count)).listing(preview=None), WIDE) as (app, pilot, _):
            await seen(app, pilot, "❯ row 0")
            begun = time.perf_counter()
            await pilot.press(*["down"] * 20, "end", "home")
            return time.perf_counter() - begun

    (tmp_path / "100").mkdir(), (tmp_path / "10000").mkdir()
    few = await seconds(100)
    assert await seconds(10_000) < 3 * few + 0.5


@pytest.mark.parametrize("size", [(20, 5), (40, 10), (80, 24), (300, 80)])
async def test_it_fits_every_window(tmp_path: Path, size: tuple[int, int]):
    async with browsing(tmp_path, Garden().listing(), (120, 40)) as (app, pilot, browse):
        await seen(app, pilot, "Sow kale")
        await pilot.resize_terminal(*size)
        await seen(app, pilot, "❯ kale")
        assert "Enter open" in screen_text(app)
        await pilot.press("end")
        await seen(app, pilot, "❯ parsnip")
        await pilot.press("enter")
        await until(pilot, lambda: not browse.open)


async def test_what_rows_say_cannot_control_the_terminal(tmp_path: Path):
    rows = [Row("x", "a\x1b[31mb\nc", "d\u202ee")]
    async with browsing(tmp_path, Garden(rows).listing(preview=None)) as (app, pilot, _):
        await seen(app, pilot, "❯ a")
        assert "\x1b" not in screen_text(app)
        assert "\u202e" not in screen_text(app)


async def test_what_waits_is_edited_while_a_turn_runs(tmp_path: Path):
    made = house(tmp_path)
    async with shell(made.agent) as (app, pilot):
        await write(app, pilot, "first")
        await pilot.press("enter")
        await until(pilot, lambda: made.provider.requests)
        for text in ("second", "third"):
            await write(app, pilot, text)
            await pilot.press("enter")
        await until(pilot, lambda: app.talk.transcript.status.queue == ("second", "third"))
        await write(app, pilot, "/queue")
        await pilot.press("enter")
        await seen(app, pilot, "❯ second")
        await pilot.press("alt+down", "s")
        await seen(app, pilot, "It joins the running turn.")
        assert app.talk.transcript.status.steering == ("second",)
        assert app.talk.transcript.status.queue == ("third",)
        await pilot.press("end", "enter")
        await until(pilot, lambda: app.composer.text == "third")
        assert app.talk.transcript.status.queue == ()
        made.provider.feed(*say("one"), *say("two"))
        await until(pilot, lambda: not app.talk.session.running)
        heard = [m.text for m in app.talk.session.runner.history.messages if m.role == "user"]
        assert heard == ["first", "second"]


# --- how it looks -----------------------------------------------------------------------------------------------------


def opened(listing: Listing, *keys: str) -> Any:
    async def act(pilot: Pilot[Any]) -> None:
        Browsing(pilot.app, listing)
        await until(pilot, lambda: len(pilot.app.screen_stack) == 2)
        await pilot.press(*keys)
        await pilot.pause(0.2)

    return act


@every_look
def test_rows_and_a_preview(look: Any, size: Any, theme: str):
    assert look(size, theme, act=opened(Garden().listing(), "down"))


@every_look
def test_a_filtered_list(look: Any, size: Any, theme: str):
    listing = Garden(ROWS * 1).listing(letters=False, preview=None)
    assert look(size, theme, act=opened(listing, *"st"))


@every_look
def test_an_error_of_a_key(look: Any, size: Any, theme: str):
    assert look(size, theme, act=opened(Garden().listing(preview=None), "b"))


@every_look
def test_an_empty_list(look: Any, size: Any, theme: str):
    assert look(size, theme, act=opened(Garden([]).listing(preview=None, head=None, empty="Nothing grows here yet.")))


NOW = 1_763_812_800.0
HOURS = {"parser": 0.2, "shed": 3, "prices": 26, "docs": 30, "broken": 24 * 40}
SAID = {
    "parser": ("The parser drops the last line of a file without a line end.", "It keeps it now; two tests show it."),
    "shed": ("Paint the shed", "It is **red** now."),
    "prices": ("Why is a discount of 10 % taken twice?", "`total` divided by 10 instead of 100."),
    "docs": ("Write the guide for new colleagues, with a picture of the whole, please", "Done: `docs/guide.md`."),
}


def store_with_sessions(folder: Path) -> SessionStore:
    store = SessionStore(folder)
    store.folder.mkdir(parents=True)
    for name, (asked, answered) in SAID.items():
        log = [
            ev.SessionStarted(name, str(CWD), 0.0, "1", "kimi-k2"),
            ev.TurnStarted(1),
            ev.MessageAdded(user_message(asked)),
        ]
        log += (
            [ev.MessageAdded(Message("assistant", (ToolCall("c", "ReadFile", "{}"),), "model"))]
            if name == "prices"
            else []
        )
        log += [ev.MessageAdded(Message("assistant", (Text(answered),), "model")), ev.TurnEnded("done")]
        log += [ev.Titled("Last lines of files")] if name == "parser" else []
        (store.folder / f"{name}.jsonl").write_bytes(b"".join(map(encode_line, log)))
    (store.folder / "broken.jsonl").write_bytes(b"{")
    for name, hours in HOURS.items():
        os.utime(store.folder / f"{name}.jsonl", (NOW - hours * 3600,) * 2)
    return store


@pytest.mark.parametrize("searched", ["", "discount"], ids=["sessions", "searched"])
@every_look
def test_sessions(look: Any, tmp_path: Path, size: Any, theme: str, searched: str):
    async def act(pilot: Pilot[Any]) -> None:
        app = pilot.app
        app.agent.store = store_with_sessions(tmp_path / "kept")
        panel = SessionPanel(app.commands, False, lambda: NOW)
        panel.catalog.read()
        Browsing(app, panel.listing())
        await seen(app, pilot, "❯ Last lines")
        await pilot.press("down")
        if searched:
            await pilot.press("slash", *searched)
            await seen(app, pilot, "1 of 5")
            await seen(app, pilot, "divided by 10")
        else:
            await seen(app, pilot, "It is red now")

    assert look(size, theme, act=act)


@every_look
def test_what_waits(look: Any, size: Any, theme: str):
    async def act(pilot: Pilot[Any]) -> None:
        waiting = pilot.app.commands.session.waiting = Waiting(lambda event: None)
        waiting.steer("Leave the public interface as it is.")
        for text in (
            "Then run all tests.",
            "Write a changelog entry:\n\n- what was wrong\n- what is right now",
            "Commit it.",
        ):
            waiting.queue(text)
        Browsing(pilot.app, QueuePanel(pilot.app.commands).listing())
        await seen(pilot.app, pilot, "❯ Leave")
        await pilot.press("down", "down")
        await seen(pilot.app, pilot, "- what is right now")

    assert look(size, theme, act=act)


@every_look
def test_models(look: Any, size: Any, theme: str):
    async def act(pilot: Pilot[Any]) -> None:
        app, able = pilot.app, frozenset({"thinking", "image_in"})
        app.agent.models["kimi-k2"] = Model("kimi-k2", "kimi-k2-0905", "moonshot", 262_144, able, Prices(0.6, 2.5))
        app.agent.models["local"] = Model("local", "k2-int4", "own", 131_072)
        Browsing(app, ModelPanel(app.commands).listing())
        await seen(app, pilot, "❯")
        await pilot.press("down", "down")
        await gone(app, pilot, "asking the providers")

    assert look(size, theme, act=act)
