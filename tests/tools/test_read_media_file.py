import base64
import io
import os
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image as Pillow
from tool_context import call, make_context, text_of

from kimi_agent.core.errors import ToolError
from kimi_agent.core.message import Image
from kimi_agent.core.tool import ToolContext
from kimi_agent.tools.images import EDGE, LIMIT
from kimi_agent.tools.read_media_file import ReadMediaFile


@pytest.fixture
def ctx(tmp_path: Path) -> ToolContext:
    return make_context(tmp_path)


async def look(ctx: ToolContext, path: Path) -> tuple[Pillow.Image, Image, str]:
    output = await call(ReadMediaFile(), ctx, path=path.name)
    part = output.for_model[1]
    assert isinstance(part, Image)
    data = base64.b64decode(part.data)
    assert len(data) <= LIMIT
    seen = Pillow.open(io.BytesIO(data))
    seen.load()
    assert max(seen.size) <= EDGE
    return seen, part, text_of(output)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
async def test_a_small_picture_goes_as_it_is(ctx: ToolContext, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "p"
    Pillow.new("RGB", (40, 30), "red").save(path, kind)
    _, part, text = await look(ctx, path)
    assert base64.b64decode(part.data) == path.read_bytes()
    assert part.media_type == f"image/{kind.lower()}"
    assert "40x30 pixels" in text


@pytest.mark.parametrize("kind", ["BMP", "TIFF"])
async def test_other_kinds_are_converted(ctx: ToolContext, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "p"
    Pillow.new("RGB", (40, 30), "red").save(path, kind)
    seen, part, _ = await look(ctx, path)
    assert part.media_type == "image/png"
    assert seen.convert("RGB").getpixel((5, 5)) == (255, 0, 0)


async def test_large_pictures_are_shrunk_and_said_to_be(ctx: ToolContext, tmp_path: Path) -> None:
    Pillow.new("RGB", (4000, 1000), "blue").save(tmp_path / "p.png")
    seen, _, text = await look(ctx, tmp_path / "p.png")
    assert seen.size == (2000, 500)
    assert text == "p.png: PNG image, 4000x1000 pixels, shown at 2000x500"


@pytest.mark.parametrize(
    ("kind", "mode"), [("PNG", "RGBA"), ("PNG", "RGB"), ("JPEG", "RGB"), ("PNG", "LA"), ("PNG", "I;16")]
)
async def test_noise_gets_under_the_limit(ctx: ToolContext, tmp_path: Path, kind: str, mode: str) -> None:
    width = {"RGBA": 4, "RGB": 3, "LA": 2, "I;16": 2}[mode]
    noise = Pillow.frombytes(mode, (1100, 900), os.urandom(1100 * 900 * width))
    noise.save(tmp_path / "p", kind)
    seen, part, _ = await look(ctx, tmp_path / "p")
    assert part.media_type == "image/jpeg"
    assert abs(seen.width / seen.height - 1100 / 900) < 0.01


async def test_transparent_drawings_stay_transparent(ctx: ToolContext, tmp_path: Path) -> None:
    drawing = Pillow.new("RGBA", (3000, 3000), (0, 0, 0, 0))
    drawing.paste((255, 0, 0, 255), (0, 0, 1500, 3000))
    drawing.save(tmp_path / "p.png")
    seen, _, _ = await look(ctx, tmp_path / "p.png")
    assert seen.mode == "RGBA"
    assert seen.getpixel((1900, 10)) == (0, 0, 0, 0)


async def test_photos_are_turned_upright(ctx: ToolContext, tmp_path: Path) -> None:
    photo = Pillow.new("RGB", (60, 40), "white")
    photo.paste("black", (0, 0, 60, 10))  # black on top as stored: on the right when upright
    exif = Pillow.Exif()
    exif[0x0112] = 6
    photo.save(tmp_path / "p.jpg", exif=exif, quality=95)
    seen, _, _ = await look(ctx, tmp_path / "p.jpg")
    assert seen.size == (40, 60)
    grey = seen.convert("L")
    assert (grey.getpixel((37, 30)) < 60, grey.getpixel((3, 30)) > 200) == (True, True)


def png_header(width: int, height: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [7_000, 12_000, 60_000])
async def test_bombs_are_refused_before_they_are_decoded(ctx: ToolContext, tmp_path: Path, side: int) -> None:
    (tmp_path / "p.png").write_bytes(png_header(side, side))
    with pytest.raises(ToolError, match="too many"):
        await look(ctx, tmp_path / "p.png")


async def test_what_is_no_picture(ctx: ToolContext, tmp_path: Path) -> None:
    good = io.BytesIO()
    Pillow.new("RGB", (400, 300), "red").save(good, "PNG")
    cases = {
        "cut.png": (good.getvalue()[:200], "damaged"),
        "head.png": (b"\x89PNG\r\n\x1a\n\0\0", "damaged|cannot be decoded|not a picture"),
        "text.png": (b"hello", "ReadFile"),
        "film.mp4": (b"\0\0\0\x18ftypmp42\0\0", "a video: only pictures"),
    }
    for name, (data, words) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ToolError, match=words):
            await look(ctx, tmp_path / name)
    with pytest.raises(ToolError, match="No such file"):
        await look(ctx, tmp_path / "gone.png")
    with pytest.raises(ToolError, match="folder"):
        await call(ReadMediaFile(), ctx, path=".")
