"""The status line: what it says, in which order, and what is left out first."""

from pathlib import Path

import pytest
from tui_house import house, screen_text, shell, until

from kimi_agent.agent.status import McpTally, Status
from kimi_agent.core.display import Todo
from kimi_agent.frontends.common.status import NUMBERS, PLACE, number, numbers, thinking_word, unknown_items

BUSY = Status(
    model="kimi-k2", context=50_000, context_size=200_000, input=140_000, output=2_000, cached=70_000, cost=0.5,
    todos=(Todo("a", "done"), Todo("b", "pending")), mcp=McpTally(5, 3, failed=1, unapproved=1),
)  # fmt: skip


def last_line(text: str) -> str:
    return text.rstrip().split("\n")[-1]


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ("context", "25% of 200k"),
        ("cost", "0.50"),
        ("cached", "50% cached"),
        ("tokens", "140k in, 50% cached, 2k out"),
        ("todos", "1/2 done"),
        ("tasks", ""),
        ("goal", ""),
        ("mcp", "mcp 1 failed !approve"),
    ],
)
def test_each_number(item: str, text: str):
    assert number(item, BUSY) == text
    assert number(item, Status()) == ""


def test_the_order_is_the_persons():
    assert numbers(BUSY, ("cost", "model", "context", "goal")) == ["0.50", "25% of 200k"]


def test_what_was_chosen_for_thinking():
    assert [thinking_word(value) for value in (None, "on", "high")] == ["", "thinking on", "high"]


def test_an_item_that_there_is_not_is_told_with_all_that_there_are():
    (told,) = unknown_items(["cost", "weather\x1b[2J"])
    assert "weather" in told
    assert "\x1b" not in told
    assert all(name in told for name in PLACE + NUMBERS)


async def test_what_does_not_fit_is_left_out_the_least_important_first(tmp_path: Path):
    items = ("model", "context", "cost", "tokens")
    async with shell(house(tmp_path).agent, (80, 24), status_line=items) as (app, pilot):
        app.status.update(BUSY, cwd=tmp_path, branch="main", thinking="high", shell=False)
        await pilot.pause()
        line = last_line(screen_text(app))
        assert "tokens" not in line
        assert line.split() == [
            "kimi-k2",
            "140k",
            "in,",
            "50%",
            "cached,",
            "2k",
            "out",
            "·",
            "0.50",
            "·",
            "25%",
            "of",
            "200k",
        ]
        await pilot.resize_terminal(40, 24)
        await until(pilot, lambda: len(last_line(screen_text(app))) <= 40)
        assert last_line(screen_text(app)).split() == ["kimi-k2", "0.50", "·", "25%", "of", "200k"]


async def test_only_what_was_chosen_is_shown(tmp_path: Path):
    async with shell(house(tmp_path).agent, (80, 24), status_line=("branch", "thinking")) as (app, pilot):
        app.status.update(BUSY, cwd=tmp_path, branch="main", thinking="high", shell=False)
        await pilot.pause()
        assert last_line(screen_text(app)).split() == ["high", "main"]
