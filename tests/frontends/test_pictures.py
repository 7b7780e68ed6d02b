"""Pictures as half blocks: what is drawn is what the picture shows, and no bytes of a stranger's break a screen."""

import base64
import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nightly import examples
from PIL import Image as Pillow
from rich.cells import cell_len
from sample_pictures import BLUE, RED, WHITE, encoded, png_that_claims, two_bars

from kimi_agent.agent.transcript import CallBlock, PromptBlock
from kimi_agent.core import event as ev
from kimi_agent.core.display import Pictures
from kimi_agent.core.errors import ToolError
from kimi_agent.core.message import Image, ToolCall, tool_message
from kimi_agent.frontends.common.pictures import MAX_ROWS, caption, half_blocks
from kimi_agent.frontends.export import to_html, to_markdown
from kimi_agent.frontends.progress import Progress
from kimi_agent.frontends.tui.draw.blocks import block_lines
from kimi_agent.frontends.tui.draw.canvas import Canvas
from kimi_agent.frontends.tui.draw.lines import text_of
from kimi_agent.frontends.tui.draw.palette import PLAIN_PALETTE
from kimi_agent.tools.images import LIMIT, shrink


def card(image: Image, width: int = 40, **options: bool) -> list:
    block = CallBlock(0, ToolCall("c", "Notebook", "{}"), "done", display=Pictures("one\ntwo", (image,)))
    return block_lines(block, Canvas(width, PLAIN_PALETTE, **options))


def test_two_pixels_stand_in_a_cell() -> None:
    assert half_blocks(encoded(two_bars(2, 2)), 80) == (((RED, BLUE), (RED, BLUE)),)
    assert half_blocks(encoded(two_bars(1, 3)), 80) == (((RED, BLUE),), ((BLUE, BLUE),))


def test_a_large_picture_is_scaled_to_the_room_there_is() -> None:
    wide, tall = encoded(two_bars(1000, 200)), encoded(two_bars(200, 1000))
    assert [len(row) for row in half_blocks(wide, 50)] == [50] * 5
    rows = half_blocks(tall, 50)
    assert len(rows) == MAX_ROWS
    assert rows[0][0] == (RED, RED)
    assert rows[-1][0] == (BLUE, BLUE)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
def test_every_usual_format_is_drawn(kind: str, mode: str) -> None:
    if (kind, mode) == ("JPEG", "P"):
        pytest.skip("there is no such JPEG")
    rows = half_blocks(encoded(Pillow.new("RGB", (60, 60), WHITE).convert(mode), kind), 30)
    assert rows is not None
    assert all(min(*cell[0], *cell[1]) > 245 for row in rows for cell in row)


def test_what_is_transparent_is_white() -> None:
    assert half_blocks(encoded(Pillow.new("RGBA", (1, 2), (0, 0, 0, 0))), 9) == (((WHITE, WHITE),),)
    deep = Pillow.new("I;16", (1, 2), 65535)
    assert half_blocks(encoded(deep), 9) == (((WHITE, WHITE),),)


def test_a_bomb_is_told_and_not_decoded() -> None:
    for size in [(5000, 5000), (30_000, 30_000)]:
        assert half_blocks(png_that_claims(*size), 80) is None
    assert caption(png_that_claims(5000, 5000)) == "[picture 5000x5000, bomb.png]"
    assert caption(png_that_claims(30_000, 30_000)) == "[picture bomb.png]"


@settings(max_examples=examples(100))
@given(st.binary(max_size=60) | st.integers(0, 300).map(lambda n: base64.b64decode(encoded(two_bars(9, 9)).data)[:n]))
def test_broken_bytes_are_a_line_of_words(data: bytes) -> None:
    image = Image(base64.b64encode(data).decode(), "image/png", "a\x1b[31m\nb.png")
    assert half_blocks(image, 40) is None or data
    assert caption(image).startswith("[picture ")
    assert all(character.isprintable() for character in caption(image))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_damaged_notes_of_a_camera_are_a_line_of_words(kind: str) -> None:
    """Turned to the side, and its width is a text: Pillow cannot write them anew."""
    notes = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHLLHHLLL", 2, 0x0112, 3, 1, 6, 0x0100, 2, 4, 0x616161, 0)
    out = io.BytesIO()
    two_bars(9, 9).save(out, kind, exif=notes)
    image = Image(base64.b64encode(out.getvalue()).decode(), "image/png", "a.png")
    assert half_blocks(image, 40) is None
    with pytest.raises(ToolError, match="damaged"):
        shrink(out.getvalue() + bytes(LIMIT))


@pytest.mark.parametrize("data", ["", "é", "a", "=", "!!!!"])
def test_broken_base64_is_a_line_of_words(data: str) -> None:
    assert half_blocks(Image(data, "image/png"), 40) is None
    assert caption(Image(data, "image/png")) == "[picture image/png]"


def test_the_card_shows_text_and_picture_below_its_head() -> None:
    lines = card(encoded(two_bars(400, 400)))
    assert text_of(lines[1:3]) == "   one\n   two"
    assert all(cell_len("".join(segment.text for segment in line)) <= 40 for line in lines)
    colours = {segment.style.color.triplet for segment in lines[3] if segment.text.strip()}
    assert colours == {RED}
    assert len(card(encoded(two_bars(400, 400)), 100, expanded=True)) > len(card(encoded(two_bars(400, 400)), 100))


def test_without_colours_and_for_broken_data_the_card_says_what_it_is() -> None:
    assert text_of(card(encoded(two_bars()), colors=False)[3:]) == "   [picture 4x4, plot.png]"
    assert text_of(card(Image("AAAA", "image/png", "x.png"))[3:]) == "   [picture x.png]"


def test_a_picture_of_a_prompt_is_drawn_below_its_name() -> None:
    lines = block_lines(PromptBlock(0, "Look", (encoded(two_bars()),)), Canvas(40, PLAIN_PALETTE))
    assert text_of(lines).split("\n") == [" ❯ Look", "   [image: plot.png]", "   ▀▀▀▀", "   ▀▀▀▀"]


def test_exports_and_progress_know_pictures() -> None:
    call, image = ToolCall("c", "Notebook", '{"code": "plot()"}'), encoded(two_bars())
    events = [
        ev.MessageAdded(ev.Message("assistant", (call,), "model")),
        ev.ToolStarted(call, ()),
        ev.ToolFinished("c", Pictures("drawn", (image,)), False, 0.1),
        ev.MessageAdded(tool_message("c", "drawn")),
    ]
    assert f'src="data:image/png;base64,{image.data}"' in to_html(events)
    assert "*[picture plot.png]*" in to_markdown(events)
    progress = Progress(said := io.StringIO(), shown=True)
    for event in events:
        progress.apply(event)
    assert "Notebook plot()\n  [picture 4x4, plot.png]\n" in said.getvalue()
    assert "drawn" in to_markdown(events)
