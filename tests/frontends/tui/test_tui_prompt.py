"""The prompt: lines, history, pastes, completions, the editor's text, slash commands."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from rich.cells import cell_len
from textual import events
from tui_house import gone, house, screen_text, seen, shell, until, write

from kimi_agent.core.provider import Finished, TextChunk
from kimi_agent.frontends.tui.widgets.popup import Completion

DONE = Finished("stop")


@pytest.mark.parametrize("key", ["shift+enter", "ctrl+j", "alt+enter"])
async def test_newline_keys_break_the_line(tmp_path: Path, key: str) -> None:
    home = house(tmp_path)
    async with shell(home.agent) as (app, pilot):
        await pilot.press("a", key, "b")
        assert app.composer.text == "a\nb"
        await pilot.press("enter")
        await until(pilot, lambda: home.provider.requests)
        assert home.provider.requests[0].messages[-1].text == "a\nb"


async def test_a_backslash_before_enter_breaks_the_line_too(tmp_path: Path) -> None:
    async with shell(house(tmp_path).agent) as (app, pilot):
        await pilot.press("a", "backslash", "enter", "b")
        assert app.composer.text == "a\nb"


async def test_the_prompt_grows_to_ten_lines_and_then_scrolls(tmp_path: Path) -> None:
    async with shell(house(tmp_path).agent) as (app, pilot):
        for lines, height in ((1, 1), (4, 4), (14, 10)):
            app.composer.put("\n".join(f"line {n}" for n in range(lines)))
            await until(pilot, lambda height=height: app.composer.area.size.height == height)
        assert "line 13" in screen_text(app)


async def test_long_pastes_stand_as_placeholders_and_always_expand(tmp_path: Path) -> None:
    home = house(tmp_path)
    text = "\n".join(f"log {n}" for n in range(20))
    async with shell(home.agent) as (app, pilot):
        await write(app, pilot, "see ")
        app.post_message(events.Paste(text))
        await until(pilot, lambda: "[Pasted text #1 +20 lines]" in app.composer.text)
        await pilot.press("backspace")  # takes the placeholder out whole
        assert app.composer.text == "see "
        app.post_message(events.Paste(text))
        await until(pilot, lambda: "#1" in app.composer.text)
        await write(app, pilot, " and [Pasted text #9 +1 line]")
        await pilot.press("enter")
        await until(pilot, lambda: home.provider.requests)
        assert home.provider.requests[0].messages[-1].text == f"see {text} and [Pasted text #9 +1 line]"
        home.provider.feed(TextChunk("ok"), DONE)
        await until(pilot, lambda: not app.talk.session.running)
        await pilot.press("up")
        assert app.composer.text == "see [Pasted text #1 +20 lines] and [Pasted text #9 +1 line]"


async def test_history_is_kept_per_folder_and_drafts_come_back(tmp_path: Path) -> None:
    home = house(tmp_path)
    async with shell(home.agent) as (app, pilot):
        for text in ("first", "second"):
            await write(app, pilot, text)
            await pilot.press("enter")
            home.provider.feed(TextChunk("ok"), DONE)
            await until(pilot, lambda: not app.talk.session.running)
    async with shell(home.agent) as (app, pilot):
        await write(app, pilot, "draft")
        await pilot.press("up")
        assert app.composer.text == "second"
        await pilot.press("up", "up")
        assert app.composer.text == "first"
        await pilot.press("down", "down")
        assert app.composer.text == "draft"
    (tmp_path / "other").mkdir()
    async with shell(home.agent, cwd=tmp_path / "other") as (app, pilot):
        await pilot.press("up")
        assert app.composer.text == ""


async def test_slash_commands_complete_and_run(tmp_path: Path) -> None:
    home = house(tmp_path)
    async with shell(home.agent) as (app, pilot):
        await pilot.press("slash", "t", "i")
        await seen(app, pilot, "name this session")
        await pilot.press("tab")
        assert app.composer.text == "/title "
        await write(app, pilot, "Great work")
        await pilot.press("enter")
        await until(pilot, lambda: app.talk.session.title == "Great work")
        await pilot.press("slash", *"stat", "enter")  # Enter runs what is selected
        await seen(app, pilot, "Great work")
        assert home.provider.requests == []
        await pilot.press("slash")
        await seen(app, pilot, "/sessions")
        await pilot.press("escape")
        await gone(app, pilot, "/sessions")
        assert app.composer.text == "/"


async def test_an_unknown_command_is_told_and_a_path_is_a_prompt(tmp_path: Path) -> None:
    home = house(tmp_path)
    async with shell(home.agent) as (app, pilot):
        await write(app, pilot, "/nosuch thing")
        await pilot.press("enter")
        await seen(app, pilot, "There is no command")
        await write(app, pilot, "/etc/hosts is what?")
        await pilot.press("enter")
        await until(pilot, lambda: home.provider.requests)


async def test_a_picker_chooses_among_sessions(tmp_path: Path) -> None:
    home = house(tmp_path)
    async with shell(home.agent) as (app, pilot):
        await write(app, pilot, "the first task")
        await pilot.press("enter")
        home.provider.feed(TextChunk("answer one"), DONE)
        await until(pilot, lambda: not app.talk.session.running)
        old = app.talk.session.id
        await write(app, pilot, "/new")
        await pilot.press("escape", "enter")
        await until(pilot, lambda: app.talk.session.id != old)
        await gone(app, pilot, "answer one")
        await write(app, pilot, "/sessions")
        await pilot.press("escape", "enter")
        await seen(app, pilot, "Enter open")
        await pilot.press("enter")
        await until(pilot, lambda: app.talk.session.id == old)
        await seen(app, pilot, "answer one")


async def test_at_completes_files_and_folders(tmp_path: Path) -> None:
    home = house(tmp_path)
    work = tmp_path / "work"
    (work / "src").mkdir()
    (work / "src" / "tokenizer.py").write_text("x")
    (work / "secret.log").write_text("x")
    (work / ".gitignore").write_text("*.log\n")
    subprocess.run(["git", "init", "-q"], cwd=work, check=True)
    async with shell(home.agent) as (app, pilot):
        await write(app, pilot, "look at ")
        await pilot.press("at", "t", "o", "k")
        await seen(app, pilot, "src/tokenizer.py")
        await pilot.press("tab")
        assert app.composer.text == "look at @src/tokenizer.py "
        await pilot.press("at", "s")
        await seen(app, pilot, "src/")
        assert "secret.log" not in screen_text(app)
        await pilot.press("enter")  # a folder goes on completing
        assert app.composer.text == "look at @src/tokenizer.py @src/"
        await seen(app, pilot, "❯ src/tokenizer.py")


async def test_at_puts_a_path_with_spaces_in_quotes(tmp_path: Path) -> None:
    home = house(tmp_path)
    folder = tmp_path / "work" / "my @home"
    folder.mkdir()
    (folder / "a note.txt").write_text("x")
    async with shell(home.agent) as (app, pilot):
        await write(app, pilot, "look at ")
        await pilot.press("at", "n", "o", "t", "e")
        await seen(app, pilot, "my @home/a note.txt")
        await pilot.press("tab")
        assert app.composer.text == 'look at @"my @home/a note.txt" '
        await pilot.press("at", "quotation_mark", "m", "y", "space", "at")
        await seen(app, pilot, "my @home/")
        await pilot.press("tab")
        assert app.composer.text == 'look at @"my @home/a note.txt" @"my @home/" '


async def test_wide_characters_stay_aligned(tmp_path: Path) -> None:
    home = house(tmp_path)
    async with shell(home.agent) as (app, pilot):
        await write(app, pilot, "请修复测试 🐛")
        await pilot.press("enter")
        home.provider.feed(
            TextChunk("| 名称 | n |\n|---|--:|\n| 中文表格 | 1 |\n| x | 22 |\n\n" + "很长的中文" * 30), DONE
        )
        await seen(app, pilot, "中文表格")
        widths = {strip.cell_length for strip in app.screen._compositor.render_strips()}
        assert widths == {80}
        lines = screen_text(app).split("\n")
        one, two = (next(line for line in lines if mark in line) for mark in ("中文表格", " 22"))
        assert cell_len(one[: one.index("1") + 1]) == cell_len(two[: two.index("22") + 2])


async def test_shift_tab_is_plan_mode(tmp_path: Path) -> None:
    async with shell(house(tmp_path).agent) as (app, pilot):
        await pilot.press("shift+tab")
        assert app.talk.session.mode == "plan"
        await seen(app, pilot, " plan kimi-k2")
        await pilot.press("shift+tab")
        assert app.talk.session.mode == "default"


class LateFiles:
    """Finds a file when it is told to, and not before."""

    def __init__(self, root: Path) -> None:
        self.root, self.found = root, asyncio.Event()

    async def search(self, query: str) -> AsyncIterator[list[str]]:
        await self.found.wait()
        yield [f"late-{query}"]

    def mentioned(self, path: str) -> None:
        pass


async def test_files_that_are_found_late_open_no_list_over_the_search_of_the_history(tmp_path: Path) -> None:
    async with shell(house(tmp_path).agent) as (app, pilot):
        app.composer.history.add("sent before")
        app.composer.files = late = LateFiles(tmp_path)  # type: ignore[assignment]
        await write(app, pilot, "see ")
        await pilot.press("at", "l", "ctrl+r")
        await seen(app, pilot, "search ❯")
        late.found.set()
        await pilot.pause()
        assert "late-l" not in screen_text(app)
        await pilot.press("enter")
        assert app.composer.text == "sent before"


async def test_a_late_file_is_not_taken_for_what_is_typed_now(tmp_path: Path) -> None:
    home = house(tmp_path)
    async with shell(home.agent) as (app, pilot):
        app.composer.files = late = LateFiles(tmp_path)  # type: ignore[assignment]
        late.found.set()
        await pilot.press("at", "a")
        await seen(app, pilot, "late-a")
        late.found.clear()
        await pilot.press("b", "enter", "tab")
        assert app.composer.text == "@ab"
        late.found.set()
        await seen(app, pilot, "late-ab")
        await pilot.press("tab")
        assert app.composer.text == "@late-ab "


async def test_enter_sends_when_the_list_it_was_meant_for_has_just_gone(tmp_path: Path) -> None:
    async with shell(house(tmp_path).agent) as (app, pilot):
        await pilot.press("slash", "t", "i")
        await seen(app, pilot, "name this session")
        await app.composer.area._on_key(events.Key("z", "z"))  # at once: the list cannot follow
        await app.composer.area._on_key(events.Key("enter", "\r"))
        await seen(app, pilot, "There is no command /tiz")


async def test_names_are_found_in_any_case_and_wide_ones_stay_aligned(tmp_path: Path) -> None:
    async with shell(house(tmp_path).agent) as (app, pilot):
        names = {"skill:MyTool": "one help", "skill:my文档": "two help"}
        app.composer.commands = lambda: [Completion(f"/{name}", f"/{name}", help_) for name, help_ in names.items()]
        await write(app, pilot, "/skill:MY")
        await seen(app, pilot, "two help")
        lines = screen_text(app).split("\n")
        one, two = (next(line for line in lines if help_ in line) for help_ in names.values())
        assert cell_len(one[: one.index("one help")]) == cell_len(two[: two.index("two help")])
        await pilot.press("down", "tab")
        assert app.composer.text == "/skill:my文档 "


async def test_blanks_around_a_paste_are_sent_too(tmp_path: Path) -> None:
    home = house(tmp_path)
    pasted = "\n".join(f"    indented {n}" for n in range(20)) + "\n\n"
    async with shell(home.agent) as (app, pilot):
        await write(app, pilot, "  ")
        await write(app, pilot, pasted)
        await pilot.press("space", "enter")
        await until(pilot, lambda: home.provider.requests)
        assert home.provider.requests[0].messages[-1].text == pasted


async def test_undoing_edits_in_several_places_and_long_texts_keeps_the_prompt_whole(tmp_path: Path) -> None:
    async with shell(house(tmp_path).agent) as (app, pilot):
        for text in ("one\n" * 12, "two", "three\n" * 8):
            app.composer.put(text)
            await pilot.press("up", "x", "up", "home", "y", "ctrl+j")
        at_last = app.composer.text
        for _ in range(12):
            await pilot.press("alt+z")
        for _ in range(12):
            await pilot.press("alt+shift+z")
        assert app.composer.text == at_last


@pytest.mark.parametrize("pasted", ["a\x1b[31mred\x1b[0m\x00b\x07", "a\x1b]0;title\x07redb", "a\x9b31mred\u202eb"])
async def test_a_paste_holds_nothing_that_a_terminal_obeys(tmp_path: Path, pasted: str) -> None:
    async with shell(house(tmp_path).agent) as (app, pilot):
        await write(app, pilot, pasted)
        assert app.composer.text == "aredb"
