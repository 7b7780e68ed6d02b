"""Pictures that the terminal draws in the full-screen shell: placeholders that scroll, are cut and go away like text."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kimi_program import Program
from nightly import all_but
from PIL import Image as Pillow
from rich.segment import Segment
from sample_pictures import encoded, two_bars
from terminal_pictures import Drawing, placeholders
from tui_house import house, shell, until
from tui_terminal import FullScreen

from kimi_agent.agent.transcript import PromptBlock
from kimi_agent.core.message import Image
from kimi_agent.frontends.tui.draw.lines import text_of
from kimi_agent.frontends.tui.graphics import TerminalPictures

KITTY = {"TERM": "xterm-kitty", "COLORTERM": "truecolor"}
LONG = "\n\n".join(f"Paragraph {n} of a long answer." for n in range(9))


class PictureScreen(FullScreen):
    """`kimi` in a terminal that draws pictures, in a folder with `bars.png`: 100 x 80 pixels, red above blue."""

    def __init__(self, program: Program, *arguments: str, **env: str) -> None:
        super().__init__(program, *arguments, **env)
        self._stream = drawing = Drawing(self._stream)
        self.pictures = drawing.pictures

    @property
    def shown(self) -> dict[tuple[int, int], tuple[int, int, int]]:
        return placeholders(self._screen)

    def cells(self) -> set[tuple[int, int]]:
        """Row and column of what is seen of the only picture; none while a frame is half drawn, and so where they disagree."""
        shown = self.shown
        numbers = {number for number, _, _ in shown.values()}
        places = {(x - column, y - row) for (x, y), (_, row, column) in shown.items()}
        return {(row, column) for _, row, column in shown.values()} if len(numbers) == len(places) == 1 else set()


@contextmanager
def kimi(tmp_path: Path, *steps: Any, **env: str) -> Iterator[PictureScreen]:
    program = Program(tmp_path)
    two_bars(100, 80).save(program.work / "bars.png")
    with PictureScreen(program, "--provider", program.scenario(*steps), **{**KITTY, **env}) as screen:
        screen.expect("❯")
        yield screen


WHOLE = {(row, column) for row in range(4) for column in range(10)}
"""Cells of a terminal that does not tell their size count as 10 x 20 pixels."""


def ask_about_picture(screen: PictureScreen, answer: str) -> None:
    screen.type("see @bars.png ")
    screen.expect("see @bars.png")
    screen.type("\r")
    screen.expect(answer)


def leave(screen: FullScreen) -> None:
    screen.type("\x04")
    screen.expect("again leaves")
    screen.type("\x04")
    assert screen.wait_end() == 0


def test_the_terminal_is_sent_the_picture_once_and_shows_it_where_it_scrolls(tmp_path: Path) -> None:
    with kimi(tmp_path, [{"text": "I see."}], [{"text": LONG}]) as screen:
        ask_about_picture(screen, "I see.")
        screen.until(lambda: screen.cells() == WHOLE)
        ((number, (keys, picture)),) = screen.pictures.kitty.items()
        assert {shown[0] for shown in screen.shown.values()} == {number}
        assert (keys["U"], keys["c"], keys["r"]) == ("1", "10", "4")
        assert [picture.getpixel(at) for at in ((0, 0), (99, 39), (0, 40), (99, 79))] == [(255, 0, 0)] * 2 + [
            (0, 0, 255)
        ] * 2
        screen.type("more")
        screen.expect("❯ more")
        screen.type("\r")
        screen.expect("Paragraph 8")
        screen.until(lambda: not screen.shown)
        screen.type("\x1b[5~")  # Page Up: by fewer rows than it needs to be seen whole, say
        screen.until(screen.cells)
        assert screen.cells() <= WHOLE
        assert screen.pictures.sent == 1
        screen.resize(60, 20)
        screen.type("\x1b[1;5H")  # Ctrl-Home
        screen.until(lambda: screen.cells() == WHOLE)
        assert screen.pictures.sent == 1, "as large as before, so nothing is sent again"
        leave(screen)
        assert screen.pictures.deleted == [number]
        assert screen.raw.rindex(b"\x1b_Ga=d") < screen.raw.rindex(b"\x1b[?1049l")
        assert screen.restored


def test_a_picture_is_sent_again_to_a_terminal_that_was_lent(tmp_path: Path) -> None:
    editor = tmp_path / "editor.py"
    editor.write_text("import sys; open(sys.argv[1], 'a').write('written')\n")
    with kimi(tmp_path, [{"text": "I see."}], VISUAL=f"{sys.executable} {editor}") as screen:
        ask_about_picture(screen, "I see.")
        screen.until(lambda: screen.pictures.sent == 1)
        screen.type("\x0f")
        screen.expect("❯ written")
        screen.until(lambda: screen.pictures.sent == 2)
        screen.until(lambda: screen.cells() == WHOLE)


@pytest.mark.parametrize(
    "env",
    all_but(
        [{"TMUX": "/tmp/tmux,1,0"}],
        [
            {"TMUX": "/tmp/tmux,1,0"},
            {"TERM": "foot"},
            {"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"},
            {"COLORTERM": ""},  # the number of a picture is a colour of 24 bits
        ],
    ),
    ids=["tmux", "sixel", "iterm2", "256-colours"],
)
def test_other_terminals_see_half_blocks(tmp_path: Path, env: dict[str, str]) -> None:
    with kimi(tmp_path, [{"text": "I see."}], **env) as screen:
        ask_about_picture(screen, "I see.")
        screen.expect("▀▀▀▀▀▀▀▀▀▀")
        assert (screen.pictures.sent, screen.pictures.sixel, screen.pictures.iterm2) == (0, [], [])


def test_who_wants_no_pictures_sees_their_names(tmp_path: Path) -> None:
    Program(tmp_path).write_config('images = "off"\n')
    with kimi(tmp_path, [{"text": "I see."}]) as screen:
        ask_about_picture(screen, "I see.")
        screen.expect("[image: bars.png]")
        assert "▀" not in screen.visible
        assert screen.pictures.sent == 0


async def test_copied_text_holds_no_placeholder(tmp_path: Path) -> None:
    async with shell(house(tmp_path).agent, images="kitty") as (app, pilot):
        app.view.pictures = TerminalPictures("kitty")
        app.view.show([PromptBlock(0, "Look here", (encoded(two_bars(100, 80)),))])
        await until(pilot, lambda: any("\U0010eeee" in strip.text for strip in app.view.entries[-1].strips or ()))
        app.screen.get_selected_text()
        app.view.text_select_all()
        copied = app.screen.get_selected_text()
        assert copied is not None
        assert "[image: plot.png]" in copied
        assert "\U0010eeee" not in copied
        assert "\u0305" not in copied
        assert not any("\U0010eeee" in row for row in app.view.drawn(len(app.view.entries) - 1))


def draw(pictures: TerminalPictures, image: Image) -> str:
    assert pictures.draw is not None
    lines = pictures.draw(image, 40, 20)
    assert lines is not None
    assert all(isinstance(segment, Segment) for line in lines for segment in line)
    return text_of(lines)


def test_beyond_what_a_terminal_should_hold_pictures_are_half_blocks() -> None:
    sent: list[str] = []
    pictures = TerminalPictures("kitty", sent.append, limit=4 * 400 * 400)
    one, two, three = (encoded(Pillow.new("RGB", (400, 400), (n, 0, 0))) for n in range(3))
    assert "\U0010eeee" in draw(pictures, one)
    assert "\U0010eeee" in draw(pictures, two)
    assert "▀" in draw(pictures, three)
    assert pictures.many
    assert len(sent) == 2
    pictures.clear()
    assert sent[2].count("a=d,d=I") == 2
    assert "\U0010eeee" in draw(pictures, three)
