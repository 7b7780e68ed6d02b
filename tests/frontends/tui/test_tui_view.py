"""The transcript view: what it shows after any changes, where it scrolls, what the mouse does, and that it stays quick."""

import asyncio
from pathlib import Path

import pytest
from nightly import all_but
from textual.app import App, ComposeResult
from textual.strip import Strip
from tui_house import house, screen_text, seen, shell, until, write

from kimi_agent.agent.transcript import AnswerBlock, CallBlock, NoticeBlock, PromptBlock
from kimi_agent.core.display import Terminal
from kimi_agent.core.message import ToolCall
from kimi_agent.core.provider import Finished, TextChunk
from kimi_agent.frontends.tui.draw.blocks import Drawable, block_lines, gap
from kimi_agent.frontends.tui.draw.canvas import Canvas
from kimi_agent.frontends.tui.draw.lines import text_of
from kimi_agent.frontends.tui.draw.palette import PLAIN_PALETTE
from kimi_agent.frontends.tui.draw.strips import selection_style
from kimi_agent.frontends.tui.view import TranscriptView


class OneView(App[None]):
    def compose(self) -> ComposeResult:
        yield TranscriptView()

    @property
    def view(self) -> TranscriptView:
        return self.query_one(TranscriptView)


def all_rows(view: TranscriptView) -> str:
    """Every row of the view as it would be drawn, by scrolling through it."""
    rows: dict[int, str] = {}
    step = max(1, view.size.height // 2)
    view.scroll_to(y=view.virtual_size.height, animate=False)
    while view.scroll_offset.y > 0:  # guesses become heights
        view.scroll_relative(y=-step, animate=False)
    for top in range(0, view.virtual_size.height, step):
        view.scroll_to(y=top, animate=False)
        first = view.scroll_offset.y
        rows |= {first + y: view.render_line(y).text.rstrip() for y in range(view.size.height)}
    return "\n".join(rows[number] for number in sorted(rows)).strip("\n")


def expected(blocks: list[Drawable], width: int, expanded: bool = False) -> str:
    """The same by drawing one block after the other."""
    parts: list[str] = []
    shown = [block for block in blocks if not block.void]
    for before, block in zip([None, *shown], shown, strict=False):
        parts += [""] * gap(before, block)
        parts.append(text_of(block_lines(block, Canvas(width, PLAIN_PALETTE, expanded))))
    return "\n".join(parts).strip("\n")


def blocks_of(count: int) -> list[Drawable]:
    made: list[Drawable] = []
    for number in range(count):
        call = CallBlock(3 * number + 1, ToolCall(f"c{number}", "Shell", '{"command": "make"}'), "done")
        call.display = Terminal("make", "\n".join(f"out {number}.{n}" for n in range(number % 11)), 0)
        text = f"Answer {number} " + "with words that wrap around " * (number % 7)
        made += [PromptBlock(3 * number, f"prompt {number}"), call, AnswerBlock(3 * number + 2, text, True)]
    return made


async def test_any_part_of_a_long_session_looks_as_if_all_of_it_was_drawn() -> None:
    app = OneView()
    async with app.run_test(size=(60, 20)) as pilot:
        blocks = blocks_of(60)
        app.view.show(blocks)
        await pilot.pause()
        width = app.view.scrollable_content_region.width
        assert app.view.following
        assert all_rows(app.view) == expected(blocks, width)
        for voided in (blocks[5], blocks[6], blocks[100]):
            voided.void = True
        app.view.show([blocks[5], blocks[6], blocks[100]])
        app.view.flush()
        assert all_rows(app.view) == expected(blocks, width)
        app.view.toggle_expanded()
        app.view.flush()
        assert all_rows(app.view) == expected(blocks, width, True)
        await pilot.resize_terminal(41, 9)
        await pilot.pause()
        assert all_rows(app.view) == expected(blocks, app.view.scrollable_content_region.width, True)


async def test_a_reader_who_scrolled_away_is_left_in_peace() -> None:
    app = OneView()
    async with app.run_test(size=(60, 20)) as pilot:
        view = app.view
        view.show(blocks_of(50))
        await pilot.pause()
        view.scroll_relative(y=-37, animate=False)
        await pilot.pause()
        before = screen_text(app)
        assert not view.following
        live = AnswerBlock(999, "")
        for number in range(40):
            live.text += f"streamed line {number}\n\n"
            view.show([live])
            await asyncio.sleep(0)
        view.flush()
        await pilot.pause()
        assert [line[:-2] for line in screen_text(app).split("\n")] == [line[:-2] for line in before.split("\n")]
        view.jump_end()
        await pilot.pause()
        assert "streamed line 39" in screen_text(app)
        assert view.following


async def test_a_window_that_is_dragged_leaves_the_reader_where_he_is() -> None:
    app = OneView()
    async with app.run_test(size=(80, 20)) as pilot:
        view = app.view
        long = "\n\n".join(f"Paragraph {n} with some words that are broken in a narrow window." for n in range(300))
        view.show([PromptBlock(0, "go"), AnswerBlock(1, long, True), AnswerBlock(2, "The end.", True)])
        await pilot.pause()
        view.scroll_to(y=302, animate=False)
        await pilot.pause()
        before = screen_text(app)
        assert "Paragraph 150 " in before
        for size in [(80 - n, 20 - n // 5) for n in range(0, 60, 6)] + [(300, 80), (40, 12)]:
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert "Paragraph 150 " in screen_text(app)
        await pilot.resize_terminal(80, 20)
        await pilot.pause()
        assert screen_text(app) == before


async def test_scrolling_up_by_pages_reaches_the_top_without_a_jump() -> None:
    app = OneView()
    async with app.run_test(size=(60, 20)) as pilot:
        view = app.view
        view.show(blocks_of(80))
        await pilot.pause()
        for _ in range(200):
            above = [view.render_line(y).text.rstrip() for y in range(3)]
            view.scroll_relative(y=-10, animate=False)
            view.flush()
            if view.scroll_offset.y == 0:
                break
            assert [view.render_line(y + 10).text.rstrip() for y in range(3)] == above
        assert "prompt 0" in view.render_line(0).text


async def test_a_growing_answer_paints_its_own_rows_only() -> None:
    """Painting is most of what a stream costs."""
    painted: list[str] = []

    class Watched(TranscriptView):
        def render_line(self, y: int) -> Strip:
            strip = super().render_line(y)
            painted.append(strip.text.strip())
            return strip

    class Watching(OneView):
        def compose(self) -> ComposeResult:
            yield Watched()

    app = Watching()
    async with app.run_test(size=(60, 20)) as pilot:
        answer = AnswerBlock(60, "A whole paragraph.\n\nIt")
        app.view.show([*blocks_of(20), answer])
        for word in (" begins", " grows"):  # the scroll bar comes with the first frame
            await until(pilot, lambda: painted)
            painted.clear()
            answer.text += word
            app.view.show([answer])
        await until(pilot, lambda: "It begins grows" in painted)
        assert painted == ["It begins grows"]


async def test_drawn_blocks_are_let_go_far_from_the_view() -> None:
    app = OneView()
    async with app.run_test(size=(60, 20)) as pilot:
        view = app.view
        view.show([NoticeBlock(n, "info", f"notice {n}") for n in range(3000)])
        await pilot.pause()
        for _ in range(100):
            view.scroll_relative(y=-19, animate=False)
            view.flush()
        assert sum(entry.strips is not None for entry in view._entries) <= 450


async def test_the_mouse_selects_clean_text_and_ctrl_c_copies_it(tmp_path: Path) -> None:
    home = house(tmp_path)
    async with shell(home.agent) as (app, pilot):
        await write(app, pilot, "go")
        await pilot.press("enter")
        home.provider.feed(TextChunk("first 中文 line\n\nsecond line"), Finished("stop"))
        await seen(app, pilot, "second line")
        await until(pilot, lambda: not app.talk.session.running)
        rows = screen_text(app).split("\n")
        first = next(y for y, row in enumerate(rows) if "first" in row)
        await pilot.mouse_down(offset=(9, first))
        await pilot.hover(offset=(9, first + 2))
        await pilot.mouse_up(offset=(9, first + 2))
        assert app.screen.get_selected_text() == "中文 line\n\nsecond"
        await pilot.press("ctrl+c")
        assert app.clipboard == "中文 line\n\nsecond"
        await seen(app, pilot, "Copied")
        assert app.composer.area.has_focus
        mark = app.query_one("#mark").region
        await pilot.mouse_down(offset=(9, first - 1))  # from the blank row above the answer into the prompt
        await pilot.hover(offset=(9, mark.y + 1))
        await pilot.mouse_up(offset=(9, mark.y + 1))
        assert app.screen.get_selected_text() == "\nfirst 中文 line\n\nsecond line"


async def test_a_click_unfolds_one_card(tmp_path: Path) -> None:
    app = OneView()
    async with app.run_test(size=(60, 20)) as pilot:
        call = CallBlock(0, ToolCall("c", "Shell", '{"command": "make"}'), "done")
        call.display = Terminal("make", "\n".join(f"out {n}" for n in range(12)), 0)
        app.view.show([call])
        await pilot.pause()
        assert "out 0" not in screen_text(app)
        await pilot.click(offset=(5, 0))
        await until(pilot, lambda: "out 0" in screen_text(app))
        await pilot.click(offset=(5, 0))
        await until(pilot, lambda: "out 0" not in screen_text(app))


@pytest.mark.parametrize(
    "theme",
    all_but(
        ["nord", "ansi-light", "no such theme"],
        ["dark", "nord", "gruvbox", "solarized-light", "ansi-dark", "ansi-light", "no such theme", "auto"],
    ),
)
async def test_every_theme_of_textual_can_be_used(tmp_path: Path, theme: str) -> None:
    home = house(tmp_path)
    async with shell(home.agent, theme=theme) as (app, pilot):
        await write(app, pilot, "go")
        await pilot.press("enter")
        home.provider.feed(TextChunk("**ok** `code`"), Finished("stop"))
        await seen(app, pilot, "ok code")
        style = selection_style(app.screen, app.palette)
        assert style.color != style.bgcolor
        assert app.theme == (theme if theme not in ("no such theme", "auto", "dark") else "kimi-dark")


async def test_an_undone_turn_disappears(tmp_path: Path) -> None:
    home = house(tmp_path)
    async with shell(home.agent) as (app, pilot):
        await write(app, pilot, "a wrong idea")
        await pilot.press("enter")
        home.provider.feed(TextChunk("a wrong answer"), Finished("stop"))
        await until(pilot, lambda: not app.talk.session.running)
        await write(app, pilot, "/undo")
        await pilot.press("escape", "enter")
        await seen(app, pilot, "Undone in the conversation")
        assert "a wrong" not in screen_text(app)
