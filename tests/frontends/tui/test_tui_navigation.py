"""Finding one's way in a long session: search, jumps between turns, back to an earlier message, copying."""

from pathlib import Path

import pytest
from textual.pilot import Pilot
from tui_house import Clock, gone, house, screen_text, seen, shell, until, write

from kimi_agent.agent.transcript import AnswerBlock, CallBlock, NoticeBlock, PromptBlock
from kimi_agent.core.display import Terminal
from kimi_agent.core.message import ToolCall
from kimi_agent.core.provider import Finished, TextChunk
from kimi_agent.frontends.tui.app import KimiApp
from kimi_agent.frontends.tui.draw.blocks import Drawable
from kimi_agent.frontends.tui.finder import Span, find_spans, folded

FENCED = "Two ways:\n\n```python\nprint(1)\n```\n\nor\n\n```sh\necho 2\n```\n"


def long_session(turns: int) -> list[Drawable]:
    """Every turn with a folded command whose first line says its number."""
    made: list[Drawable] = []
    for number in range(turns):
        call = CallBlock(0, ToolCall(f"c{number}", "Shell", '{"command": "make"}'), "done")
        call.display = Terminal("make", f"hidden {number}.\n" + "\n".join(f"row {n}" for n in range(30)), 0)
        answer = f"Answer **number** {number}. " + "It goes on for some more words. " * 6
        made += [PromptBlock(0, f"prompt {number}."), call, AnswerBlock(0, answer, True)]
    return made


async def turn(home, app: KimiApp, pilot: Pilot[int], text: str, answer: str) -> None:
    await write(app, pilot, text)
    await pilot.press("enter")
    home.provider.feed(TextChunk(answer), Finished("stop"))
    await until(pilot, lambda: home.provider.requests and not app.busy and not app.composer.text)


@pytest.mark.parametrize(
    ("rows", "wanted", "found"),
    [
        (["a Needle in", "needles"], "needle", [[Span(0, 2, 8)], [Span(1, 0, 6)]]),
        (["   the long", "   way home"], "long way", [[Span(0, 7, 11), Span(1, 3, 6)]]),
        (["bold `x` here"], "bold x", [[Span(0, 0, 7)]]),
        (["没有折扣"], "折扣", [[Span(0, 2, 4)]]),
        (["aaaa"], "aa", [[Span(0, 0, 2)], [Span(0, 2, 4)]]),
        (["nothing"], "else", []),
    ],
)
def test_text_is_found_in_drawn_rows(rows: list[str], wanted: str, found: list[list[Span]]) -> None:
    assert find_spans(rows, folded(wanted)) == found


async def test_search_counts_goes_both_ways_and_closes(tmp_path: Path) -> None:
    async with shell(house(tmp_path).agent) as (app, pilot):
        app.view.show(long_session(40))
        await seen(app, pilot, "Answer number 39")
        await write(app, pilot, "a draft")
        await pilot.press("ctrl+f")
        await write(app, pilot, "ANSWER number 3")
        await seen(app, pilot, "11 of 11")  # 3 and 30 to 39: the search begins at the end
        assert "Answer number 39" in screen_text(app)
        await pilot.press("up")
        await seen(app, pilot, "10 of 11")
        await seen(app, pilot, "Answer number 38")
        await pilot.press("enter", "enter")  # round the end
        await seen(app, pilot, "1 of 11")
        await seen(app, pilot, "Answer number 3.")
        assert not app.view.following
        await pilot.press("shift+enter")
        await seen(app, pilot, "11 of 11")
        await write(app, pilot, "x")
        await seen(app, pilot, "nothing found")
        await pilot.press("escape")
        await gone(app, pilot, "nothing found")
        assert app.view.marker is None
        await pilot.press("!")
        assert app.composer.text == "a draft!"


async def test_search_marks_what_it_finds_and_unfolds_what_it_jumps_to(tmp_path: Path) -> None:
    async with shell(house(tmp_path).agent) as (app, pilot):
        app.view.show(long_session(700))  # more than 2,000 blocks
        await seen(app, pilot, "Answer number 699")
        await pilot.press("ctrl+f")
        await write(app, pilot, "hidden 350")
        await seen(app, pilot, "1 of 1")
        await seen(app, pilot, "hidden 350.")
        rows = [app.view.render_line(y) for y in range(app.view.size.height)]
        painted = [segment.text for row in rows for segment in row if segment.style and segment.style.reverse]
        assert painted == ["hidden 350"]
        drawn = sum(entry.strips is not None for entry in app.view.entries)
        assert drawn < 60  # the others stay undrawn
        await pilot.press("escape")
        assert not any(
            segment.style and segment.style.reverse
            for y in range(app.view.size.height)
            for segment in app.view.render_line(y)
        )


async def test_a_search_follows_a_session_that_goes_on(tmp_path: Path) -> None:
    async with shell(house(tmp_path).agent) as (app, pilot):
        first, later = NoticeBlock(0, "info", "a needle"), NoticeBlock(0, "info", "another needle")
        app.view.show([first])
        await pilot.press("ctrl+f")
        await write(app, pilot, "needle")
        await seen(app, pilot, "1 of 1")
        app.view.show([later])
        await pilot.press("enter")
        await seen(app, pilot, "2 of 2")
        later.void = True
        app.view.show([later])
        await pilot.press("up")
        await seen(app, pilot, "1 of 1")
        first.void = True
        app.view.show([first])
        await pilot.press("enter")
        await seen(app, pilot, "nothing found")


async def test_jumps_from_turn_to_turn_and_to_the_end(tmp_path: Path) -> None:
    async with shell(house(tmp_path).agent) as (app, pilot):
        app.view.show(long_session(300))
        await seen(app, pilot, "Answer number 299")

        def top() -> str:
            return app.view.render_line(0).text.strip()

        await pilot.press("alt+up", "alt+up")
        await until(pilot, lambda: top() in ("❯ prompt 297.", "❯ prompt 298."))
        number = int(top()[-4:-1])
        await pilot.press("alt+up")
        await until(pilot, lambda: top() == f"❯ prompt {number - 1}.")
        await pilot.press("alt+down")
        await until(pilot, lambda: top() == f"❯ prompt {number}.")
        await pilot.press("end")  # the prompt is empty
        await until(pilot, lambda: app.view.following)
        await pilot.press("alt+down")
        assert app.view.following
        assert "Answer number 299" in screen_text(app)


async def test_what_comes_out_of_view_is_told_until_the_reader_is_at_the_end(tmp_path: Path) -> None:
    async with shell(house(tmp_path).agent) as (app, pilot):
        app.view.show(long_session(10))
        await seen(app, pilot, "Answer number 9")
        await pilot.press("pageup")
        await until(pilot, lambda: not app.view.following)
        assert "new below" not in screen_text(app)
        app.view.show([NoticeBlock(0, "info", "something new")])
        await seen(app, pilot, "↓ new below: Ctrl-End")
        assert "something new" not in screen_text(app)
        await pilot.press("ctrl+end")
        await seen(app, pilot, "something new")
        await gone(app, pilot, "new below")


async def test_esc_twice_rewinds_to_before_a_message_and_gives_it_back(tmp_path: Path) -> None:
    home, clock = house(tmp_path), Clock()
    async with shell(home.agent, clock=clock) as (app, pilot):
        await pilot.press("escape", "escape")
        assert len(app.screen_stack) == 1  # there is nothing to go back to
        for text in ("first", "second", "third"):
            await turn(home, app, pilot, text, f"answer to {text}")
        await pilot.press("escape")
        await seen(app, pilot, "Esc again goes back")
        clock.now += 5
        await pilot.press("escape")
        assert len(app.screen_stack) == 1  # too late to count as twice
        await pilot.press("escape")
        await seen(app, pilot, "Go back to before which message?")
        await pilot.press("down", "enter")
        await seen(app, pilot, "Fork there")
        await pilot.press("enter")
        await until(pilot, lambda: app.composer.text == "second")
        await seen(app, pilot, "Files stay as they are")
        assert "answer to second" not in screen_text(app)
        assert "answer to first" in screen_text(app)
        assert app.talk.session.runner.history.turns() == 1


async def test_esc_twice_forks_before_a_message(tmp_path: Path) -> None:
    home = house(tmp_path)
    async with shell(home.agent) as (app, pilot):
        for text in ("first", "second"):
            await turn(home, app, pilot, text, f"answer to {text}")
        original = app.talk.session.id
        await pilot.press("escape", "escape")
        await seen(app, pilot, "2 turns back")
        await pilot.press("enter")
        await seen(app, pilot, "Fork there")
        await pilot.press("down", "enter")
        await until(pilot, lambda: app.composer.text == "second")
        assert app.talk.session.id != original
        await seen(app, pilot, "This is a fork")
        assert "answer to second" not in screen_text(app)


async def test_esc_with_a_draft_opens_nothing(tmp_path: Path) -> None:
    home = house(tmp_path)
    async with shell(home.agent) as (app, pilot):
        await turn(home, app, pilot, "first", "answer")
        await write(app, pilot, "a draft")
        await pilot.press("escape", "escape")
        assert len(app.screen_stack) == 1
        assert app.composer.text == "a draft"


async def test_ctrl_t_copies_the_last_answer_or_the_block_of_a_selection(tmp_path: Path) -> None:
    home = house(tmp_path)
    async with shell(home.agent) as (app, pilot):
        await pilot.press("ctrl+t")
        await seen(app, pilot, "There is no answer to copy yet")
        await turn(home, app, pilot, "how", FENCED)
        await pilot.press("ctrl+t")
        await seen(app, pilot, f"Copied the last answer: {len(FENCED)} characters; 2 code blocks")
        assert app.clipboard == FENCED
        await write(app, pilot, "/copy 2")
        await pilot.press("enter")
        await seen(app, pilot, "Copied code block 2")
        assert app.clipboard == "echo 2"
        row = next(y for y in range(24) if "❯ how" in app.view.render_line(y).text)
        await pilot.mouse_down(app.view, offset=(3, row))
        await pilot.hover(app.view, offset=(5, row))
        await pilot.mouse_up(app.view, offset=(5, row))
        await pilot.press("ctrl+t")
        await seen(app, pilot, "Copied the block: 3 characters")
        assert app.clipboard == "how"
