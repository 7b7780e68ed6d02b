"""Themes: high contrast is what it says, a change is drawn at once, and no colours stay no colours."""

from itertools import product
from pathlib import Path

import pytest
from rich.style import Style
from textual.color import Color
from tui_house import house, shell

from kimi_agent.frontends.tui.draw.palette import PLAIN_PALETTE, palette_from
from kimi_agent.frontends.tui.themes import ALIASES, HIGH_CONTRAST_DARK, HIGH_CONTRAST_LIGHT, theme_name
from kimi_agent.theme_command import THEMES

ENOUGH = 7.0
"""The contrast that WCAG calls enhanced (AAA)."""


def luminance(color: Color) -> float:
    shares = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in color.normalized]
    return sum(share * weight for share, weight in zip(shares, (0.2126, 0.7152, 0.0722), strict=True))


def contrast(one: Color, other: Color) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_every_theme_that_can_be_chosen_is_there():
    assert set(THEMES) == {"auto", *ALIASES}


@pytest.mark.parametrize("theme", [HIGH_CONTRAST_DARK, HIGH_CONTRAST_LIGHT], ids=lambda theme: theme.name)
def test_high_contrast_is_enough_on_every_ground(theme):
    variables = theme.to_color_system().generate() | theme.variables
    palette = palette_from(variables)
    words = (palette.text, palette.muted, palette.primary, palette.accent, palette.success, palette.warning)
    grounds = (Style(bgcolor=Color.parse(theme.background).rich_color), palette.code_bg)
    for word, ground in product((*words, palette.error, palette.string), grounds):
        pair = [Color.from_rich_color(word.color), Color.from_rich_color(ground.bgcolor)]
        assert contrast(*pair) >= ENOUGH, (word, ground)
    for ground in (palette.prompt_bg, palette.added_bg, palette.removed_bg):
        assert contrast(Color.from_rich_color(palette.text.color), Color.from_rich_color(ground.bgcolor)) >= ENOUGH


async def test_a_theme_is_changed_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    async with shell(house(tmp_path).agent, theme="dark") as (app, pilot):
        before = app.palette
        assert app.commands.set_theme("high-contrast-light")
        await pilot.pause()
        assert app.theme == HIGH_CONTRAST_LIGHT.name
        assert app.palette.text != before.text
        assert app.status.palette == app.palette


async def test_the_terminals_own_colours_and_ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    async with shell(house(tmp_path).agent, theme="terminal") as (app, _):
        assert app.native_ansi_color
        assert app.screen.styles.background.ansi == -1
        assert app.palette == PLAIN_PALETTE


async def test_no_colours_stay_no_colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NO_COLOR", "1")
    async with shell(house(tmp_path).agent) as (app, _):
        assert not app.commands.set_theme("dark")
        assert app.theme == "ansi-dark"


def test_auto_follows_the_terminal(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLORFGBG", "0;15")
    assert theme_name("auto") == "kimi-light"
    monkeypatch.setenv("COLORFGBG", "15;0")
    assert theme_name("auto") == "kimi-dark"
