"""Keys of the prompt: one's own, readline's, undo, the search of the history, vim's; and where the cursor stands."""

from pathlib import Path

import pytest
from rich.cells import cell_len
from tui_house import gone, house, screen_text, seen, shell, until, write

from kimi_agent.core.provider import Finished, TextChunk

FAMILY = "👨‍👩‍👧"


async def test_keys_of_ones_own_hold_and_the_usual_ones_no_longer(tmp_path: Path) -> None:
    keys = {"expand": ("f2",), "search": ("ctrl+e",), "copy": ("ctrl+c",), "nosuch": ("f3",)}
    async with shell(house(tmp_path).agent, keys=keys) as (app, pilot):
        await seen(app, pilot, "keys.nosuch in config.toml")
        await seen(app, pilot, "Ctrl-C always means stop")
        await pilot.press("f2")
        assert app.view.expanded
        await pilot.press("ctrl+e")
        await until(pilot, lambda: app.query("#search"))
        await pilot.press("escape")
        await pilot.press("a", "b", "ctrl+f", "c", "ctrl+c")
        assert app.composer.text == ""


async def test_help_lists_the_keys_as_they_are(tmp_path: Path) -> None:
    async with shell(house(tmp_path).agent, (120, 90), keys={"expand": ("f2",)}) as (app, pilot):
        await pilot.press("f1")
        await seen(app, pilot, "unfold all tool calls")
        line = next(line for line in screen_text(app).split("\n") if "unfold all tool calls" in line)
        assert "F2" in line


@pytest.mark.parametrize(
    ("text", "keys", "left"),
    [
        ("one two three", ["ctrl+w", "ctrl+w", "ctrl+y"], "one two three"),
        ("one two", ["ctrl+u", "x", "ctrl+y"], "xone two"),
        ("one two", ["ctrl+a", "ctrl+k", "a", "ctrl+y"], "aone two"),
        ("one two", ["ctrl+a", "alt+d", "end", "ctrl+y"], " twoone"),
        ("a.b c", ["alt+backspace", "alt+backspace"], "a."),
        ("a.b c", ["ctrl+w", "ctrl+w"], ""),
        ("one two", ["alt+b", "x"], "one xtwo"),
        ("one two", ["ctrl+a", "alt+f", "x"], "onex two"),
        ("one", ["ctrl+u", "b", "ctrl+u", "ctrl+y", "alt+y"], "one"),
        (f"a{FAMILY}e\u0301", ["backspace"], f"a{FAMILY}"),
        (f"a{FAMILY}", ["left", "x"], f"ax{FAMILY}"),
        (f"{FAMILY}b", ["home", "delete"], "b"),
        ("one", ["alt+k"], "one"),
    ],
)
async def test_the_keys_of_readline(tmp_path: Path, text: str, keys: list[str], left: str) -> None:
    async with shell(house(tmp_path).agent) as (app, pilot):
        await write(app, pilot, text)
        await pilot.press(*keys)
        assert app.composer.text == left


async def test_clearing_and_what_came_out_of_the_history_can_be_undone(tmp_path: Path) -> None:
    home = house(tmp_path)
    async with shell(home.agent) as (app, pilot):
        await write(app, pilot, "sent before")
        await pilot.press("enter")
        home.provider.feed(TextChunk("ok"), Finished("stop"))
        await until(pilot, lambda: not app.talk.session.running)
        await write(app, pilot, "a draft")
        await pilot.press("ctrl+c")
        assert app.composer.text == ""
        await pilot.press("ctrl+underscore")
        assert app.composer.text == "a draft"
        await pilot.press("up")
        assert app.composer.text == "sent before"
        await pilot.press("alt+z")
        assert app.composer.text == "a draft"
        await pilot.press("alt+shift+z")
        assert app.composer.text == "sent before"


async def test_the_history_is_searched_and_nothing_is_sent_by_taking(tmp_path: Path) -> None:
    home = house(tmp_path)
    async with shell(home.agent) as (app, pilot):
        for text in ("fix the parser", "write docs", "fix\nthe tests", "write docs"):
            app.composer.history.add(text)
        await write(app, pilot, "my draft")
        await pilot.press("left", "ctrl+r")
        await seen(app, pilot, "search ❯")
        await seen(app, pilot, "fix ⏎ the tests")
        assert screen_text(app).count("write docs") == 1
        await pilot.press(*"FIX")
        await gone(app, pilot, "write docs")
        await pilot.press("ctrl+r", "enter")
        assert app.composer.text == "fix the parser"
        assert home.provider.requests == []
        await pilot.press("alt+z")
        assert app.composer.text == "my draft"
        await pilot.press("ctrl+r", *"zzz")
        await seen(app, pilot, "nothing found")
        await pilot.press("escape", "x")
        assert "my draf" in app.composer.text
        await gone(app, pilot, "search ❯")
        await pilot.press("ctrl+r", "ctrl+c")
        assert "my draf" in app.composer.text


async def test_vim_mode_is_shown_and_enter_sends_in_normal_mode(tmp_path: Path) -> None:
    home = house(tmp_path)
    async with shell(home.agent, vim=True) as (app, pilot):
        await seen(app, pilot, "INSERT ❯")
        await write(app, pilot, "one two three")
        await pilot.press("escape", "b", "d", "a", "w")
        await seen(app, pilot, "NORMAL ❯")
        assert app.composer.text == "one two"
        await pilot.press("u")
        assert app.composer.text == "one two three"
        await pilot.press("v", "b")
        await seen(app, pilot, "VISUAL ❯")
        await pilot.press("escape", "enter")
        await until(pilot, lambda: home.provider.requests)
        await seen(app, pilot, "INSERT ❯")
        await pilot.press("escape", "escape")
        await until(pilot, lambda: not app.talk.session.running)


@pytest.mark.parametrize("text", ["abc", "请修复测试", f"a{FAMILY}b", "e\u0301x", "word " * 40, "宽" * 60])
async def test_the_terminals_cursor_stands_at_the_caret(tmp_path: Path, text: str) -> None:
    async with shell(house(tmp_path).agent) as (app, pilot):
        await write(app, pilot, text)
        for width in (80, 50):
            await pilot.resize_terminal(width, 24)
            await pilot.pause()
            position = app.cursor_position
            assert app.composer.area.content_region.contains(position.x, position.y)
            row = "".join(s.text for s in app.screen._compositor.render_strips()[position.y])
            last = text.split()[-1][-1:] if " " in text else text
            shown = row.rstrip()
            assert shown.endswith((text[-1], last)), row
            assert position.x >= cell_len(shown), row
