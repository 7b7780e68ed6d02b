"""Pictures that the terminal itself draws: what is sent, as decoders of their own read it."""

import fcntl
import os
import struct
import sys
import termios
from pathlib import Path

import pytest
from PIL import Image as Pillow
from PIL import ImageChops, ImageStat
from pty_screen import PtyScreen
from sample_pictures import encoded, png_that_claims, two_bars
from terminal_pictures import FIRST_MARKS, Drawing, Pictures

from kimi_agent.core.message import Image
from kimi_agent.frontends.common import graphics
from kimi_agent.frontends.common.graphics import MARKS, cell_size, protocol, without_placeholders
from kimi_agent.frontends.common.inline_pictures import inline_picture
from kimi_agent.frontends.common.pictures import MAX_BOX, scaled
from kimi_agent.frontends.common.sixel import MAX_PIXELS, sixel

KITTY = {"TERM": "xterm-kitty", "KITTY_WINDOW_ID": "1"}


def plot(width: int = 300, height: int = 200) -> Pillow.Image:
    """Many colours, and sharp edges."""
    level = Pillow.linear_gradient("L").resize((width, height))
    picture = Pillow.merge("RGB", (level, level.rotate(180), Pillow.radial_gradient("L").resize((width, height))))
    picture.paste((250, 240, 10), (20, 30, 60, 90))
    return picture


def difference(one: Pillow.Image, other: Pillow.Image) -> float:
    """Mean of all channels, 0 to 255."""
    assert one.size == other.size
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


@pytest.mark.parametrize(
    ("env", "wanted"),
    [
        (KITTY, "kitty"),
        ({"TERM": "xterm-ghostty", "TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM": "xterm-kitty", "SSH_CONNECTION": "1 2 3 4"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2", "SSH_CONNECTION": "1 2 3 4"}, "iterm2"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "iterm2"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "mlterm-256color"}, "sixel"),
        ({"TERM": "contour"}, "sixel"),
        # inside of something that passes nothing on, or no evidence at all
        ({**KITTY, "TMUX": "/tmp/tmux,1,0"}, "blocks"),
        ({"TERM": "tmux-256color", "LC_TERMINAL": "iTerm2", "SSH_CONNECTION": "1 2 3 4"}, "blocks"),
        ({"TERM": "screen", "STY": "1.pts", "TERM_PROGRAM": "iTerm.app"}, "blocks"),
        ({**KITTY, "ZELLIJ": "0"}, "blocks"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "blocks"),  # another terminal, started from Kitty
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "vscode", "LC_TERMINAL": "iTerm2"}, "blocks"),
        ({"TERM": "xterm-256color", "SSH_CONNECTION": "1 2 3 4"}, "blocks"),
        ({"TERM": "xterm-256color"}, "blocks"),
        ({}, "blocks"),
        ({**KITTY, "NO_COLOR": "1"}, "off"),
    ],
)
def test_only_evidence_chooses_a_protocol(env: dict[str, str], wanted: str) -> None:
    assert protocol("auto", env) == wanted


def test_a_persons_choice_holds_everywhere_but_without_colours() -> None:
    tmux = {**KITTY, "TMUX": "/tmp/tmux,1,0"}
    assert [protocol(each, tmux) for each in ("kitty", "sixel", "iterm2", "blocks", "off")] == [
        "kitty", "sixel", "iterm2", "blocks", "off",
    ]  # fmt: skip
    assert protocol("kitty", {**KITTY, "NO_COLOR": "1"}) == "off"


def test_the_marks_are_those_of_the_protocol() -> None:
    assert MARKS.startswith(FIRST_MARKS)
    assert len(MARKS) == 297  # the length of Kitty's table, whose last is U+1D244
    assert MARKS[-1] == "\U0001d244"


def test_placeholders_leave_nothing_in_copied_text() -> None:
    row = graphics.kitty_placeholders(3, 1)[0]
    assert without_placeholders(f"a{row}b") == "ab"
    assert without_placeholders("e\u0305") == "e\u0305", "text without a picture keeps its marks"


def test_kitty_stores_what_the_picture_shows() -> None:
    picture, terminal = plot(1000, 700), Pictures()
    found = scaled(encoded(picture), 80, 20, (10, 20))
    assert found is not None
    assert (found.picture.size, found.columns, found.rows) == ((571, 400), 58, 20)
    assert terminal.take(b"x" + graphics.kitty_stored(70_000, found.png, 58, 20).encode() + b"y") == b"xy"
    keys, shown = terminal.kitty[70_000]
    assert (keys["a"], keys["U"], keys["c"], keys["r"]) == ("T", "1", "58", "20")
    assert difference(shown, found.picture) == 0
    terminal.take(graphics.kitty_deleted(70_000).encode())
    assert terminal.kitty == {}


@pytest.mark.parametrize("kind", ["kitty", "iterm2", "sixel"])
def test_line_mode_draws_on_rows_that_it_made(kind: graphics.Protocol) -> None:
    terminal = Pictures()
    drawn = inline_picture(encoded(plot()), kind, 76, 20, (10, 20))
    assert drawn is not None
    text = terminal.take(drawn.encode())
    assert text == b"\n" * 10 + b"\x1b[10A\x1b[2C\x1b7\x1b8\r" + b"\n" * 10
    if kind == "kitty":
        keys, shown = terminal.kitty[0]
        assert (keys["a"], keys["C"], keys["c"], keys["r"]) == ("T", "1", "30", "10")
    elif kind == "iterm2":
        ((keys, shown),) = terminal.iterm2
        assert (keys["inline"], keys["width"], keys["height"]) == ("1", "30", "10")
    else:
        (shown,) = terminal.sixel
    assert difference(shown, plot()) < (12 if kind == "sixel" else 0.01)


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (7, 13), (640, 5)])
def test_sixel_draws_every_pixel_in_its_colour(size: tuple[int, int]) -> None:
    terminal = Pictures()
    terminal.take(sixel(two_bars(*size)).encode())
    (shown,) = terminal.sixel
    assert difference(shown, two_bars(*size)) < 1


def test_what_is_sent_is_bounded_however_large_the_picture_and_the_window() -> None:
    huge = encoded(two_bars(3900, 3900), "PNG")
    found = scaled(huge, 1000, 1000, (20, 40))
    assert found is not None
    assert found.picture.size == (MAX_BOX[1], MAX_BOX[1])
    terminal = Pictures()
    terminal.take((inline_picture(huge, "sixel", 1000, 1000, (20, 40)) or "").encode())
    (shown,) = terminal.sixel
    assert shown.width * shown.height <= MAX_PIXELS


@pytest.mark.parametrize("image", [Image("AAAA", "image/png"), png_that_claims(5000, 5000), png_that_claims(30, 30)])
@pytest.mark.parametrize("kind", ["kitty", "iterm2", "sixel"])
def test_a_damaged_picture_sends_nothing(image: Image, kind: graphics.Protocol) -> None:
    assert inline_picture(image, kind, 76, 20, (10, 20)) is None


def test_sixel_without_a_cells_size_is_left_to_half_blocks() -> None:
    with Path(os.devnull).open() as nothing:
        assert cell_size(nothing.fileno()) is None
    main, child = os.openpty()
    try:
        fcntl.ioctl(main, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 80, 0, 0))
        assert cell_size(child) is None
        fcntl.ioctl(main, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 80, 640, 480))
        assert cell_size(child) == (8, 16)
    finally:
        os.close(main)
        os.close(child)


# --- in a real terminal -------------------------------------------------------------------------------------------------


class PictureTerminal(PtyScreen):
    """Line mode in a terminal with cells of 8 x 16 pixels that draws pictures."""

    def __init__(self, home: Path, **env: str) -> None:
        child = str(Path(__file__).parent.parent / "line_child.py")
        super().__init__([sys.executable, child, str(home), "draws"], env={"COLORTERM": "truecolor", **env}, cwd=home)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 80, 640, 480))
        self._stream = drawing = Drawing(self._stream)
        self.pictures = drawing.pictures


@pytest.mark.parametrize("term", ["xterm-kitty", "foot"])
def test_line_mode_draws_in_scrollback(tmp_path: Path, term: str) -> None:
    with PictureTerminal(tmp_path, TERM=term) as screen:
        screen.wait_for("\n>")
        screen.type("go\r")
        screen.wait_for("that is it")
        assert "drawn, 2 pictures\n\n  [picture b.png]" in screen.text, "a row for the picture, then the broken one"
        shown = screen.pictures.kitty[0][1] if term == "xterm-kitty" else screen.pictures.sixel[0]
        assert difference(shown, Pillow.new("RGB", (4, 4), (255, 0, 0))) < 1


@pytest.mark.parametrize("program", ["iTerm.app", "WezTerm"])
def test_line_mode_draws_for_iterm2(tmp_path: Path, program: str) -> None:
    with PictureTerminal(tmp_path, TERM_PROGRAM=program) as screen:
        screen.wait_for("\n>")
        screen.type("go\r")
        screen.wait_for("that is it")
        ((keys, shown),) = screen.pictures.iterm2
        assert (keys["width"], keys["height"], shown.size) == ("1", "1", (4, 4))


def test_tmux_gets_half_blocks(tmp_path: Path) -> None:
    with PictureTerminal(tmp_path, TERM="xterm-kitty", TMUX="/tmp/tmux,1,0") as screen:
        screen.wait_for("\n>")
        screen.type("go\r")
        screen.wait_for("that is it")
        assert "  ▀▀▀▀\n  ▀▀▀▀\n" in screen.text
        assert screen.pictures.sent == 0
