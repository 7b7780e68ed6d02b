"""How finding one's way looks: the search bar, the hints, the list of earlier messages."""

from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot
from tui_house import seen
from tui_look import tool

from kimi_agent.core import event as ev
from kimi_agent.core.display import Terminal
from kimi_agent.core.message import Message, Text, user_message

LOOKS = pytest.mark.parametrize(
    ("size", "theme"),
    [
        pytest.param((80, 24), "dark", id="80x24-dark"),
        pytest.param((80, 24), "light", id="80x24-light", marks=pytest.mark.nightly),
    ],
)
ANSWER = "The discount was divided by **10** instead of 100. A discount outside of 0 to 100 is refused now."
TESTED = "\n".join([f"tests/test_{n}.py ...." for n in range(9)] + ["12 passed in 0.31s"])
LOG: list[ev.Event] = [
    ev.ModelChanged("kimi-k2"),
    ev.TurnStarted(1),
    ev.MessageAdded(user_message("A test fails. Find out why and mend the discount.")),
    ev.MessageAdded(Message("assistant", (Text(ANSWER),), "model")),
    ev.TurnEnded("done", steps=1),
    ev.TurnStarted(2),
    ev.MessageAdded(user_message("Now show that all tests pass, and say what the discount of a whole basket is.")),
    *tool(1, "Shell", '{"command": "pytest -q"}', Terminal("pytest -q", TESTED, 0), TESTED, 1.7),
    ev.MessageAdded(
        Message("assistant", (Text("All tests pass. The *discount* is taken once, of the sum."),), "model")
    ),
    ev.TurnEnded("done", steps=2),
    ev.TurnStarted(3),
    ev.MessageAdded(user_message("Write a changelog entry.")),
    ev.MessageAdded(Message("assistant", (Text("- Fixed: a discount is a share of 100."),), "model")),
    ev.Usage("kimi-k2", 48_200, 1_310, 39_000, 0.0312, 17_400, 262_144),
    ev.TurnEnded("done", steps=1),
]


async def list_earlier(pilot: Pilot[Any]) -> None:
    """As Esc twice does, but without the hint that the first one shows for two seconds."""
    pilot.app.submit("/rewind")
    await seen(pilot.app, pilot, "❯ Write")


@LOOKS
def test_search_bar(look: Any, size: Any, theme: str) -> None:
    async def search(pilot: Pilot[Any]) -> None:
        await pilot.press("ctrl+f")
        pilot.app.post_message(events.Paste("discount"))
        await pilot.pause()
        await pilot.press("up")

    assert look(size, theme, LOG, act=search)


@LOOKS
def test_search_finds_nothing(look: Any, size: Any, theme: str) -> None:
    async def search(pilot: Pilot[Any]) -> None:
        await pilot.press("ctrl+f")
        pilot.app.post_message(events.Paste("refund"))
        await pilot.pause()

    assert look(size, theme, LOG, act=search)


@LOOKS
def test_search_bar_before_anything_is_typed(look: Any, size: Any, theme: str) -> None:
    async def search(pilot: Pilot[Any]) -> None:
        await pilot.press("ctrl+f")

    assert look(size, theme, LOG, act=search)


@LOOKS
def test_new_below(look: Any, size: Any, theme: str) -> None:
    async def up_while_it_goes_on(pilot: Pilot[Any]) -> None:
        await pilot.press("ctrl+home")
        pilot.app.feed(ev.TextDelta("I look at what has changed."))

    live = [ev.TurnStarted(4), ev.MessageAdded(user_message("Release it.")), ev.StepStarted(1, "kimi-k2")]
    assert look(size, theme, LOG, live, act=up_while_it_goes_on)


@LOOKS
def test_copied(look: Any, size: Any, theme: str) -> None:
    async def copy_block(pilot: Pilot[Any]) -> None:
        pilot.app.notify_hint("Copied the last answer: 1,310 characters; 2 code blocks: /copy N")

    assert look(size, theme, LOG, act=copy_block)


@LOOKS
def test_esc_once(look: Any, size: Any, theme: str) -> None:
    async def escape(pilot: Pilot[Any]) -> None:
        await pilot.press("escape")

    assert look(size, theme, LOG, act=escape)


@LOOKS
def test_earlier_messages(look: Any, size: Any, theme: str) -> None:
    async def escape_twice(pilot: Pilot[Any]) -> None:
        await list_earlier(pilot)
        await pilot.press("down")
        await seen(pilot.app, pilot, "❯ Now show")
        await seen(pilot.app, pilot, "• Shell")

    assert look(size, theme, LOG, act=escape_twice)


@LOOKS
def test_ways_back(look: Any, size: Any, theme: str) -> None:
    async def choose(pilot: Pilot[Any]) -> None:
        await list_earlier(pilot)
        await pilot.press("down")
        await seen(pilot.app, pilot, "❯ Now show")
        await pilot.press("enter")
        await seen(pilot.app, pilot, "❯ Rewind to before it")

    assert look(size, theme, LOG, act=choose)
