"""Pictures made fit for a terminal: scaled, as half blocks (two pixels per cell), or one line of words.

Bytes of pictures are a stranger's: the size is looked at before anything is decoded, and what is damaged is told in words.
"""

import base64
import io
import math
import warnings
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from kimi_agent.core.message import Image
from kimi_agent.core.sanitize import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL.Image import Image as Decoded

UPPER_HALF = "▀"
MAX_ROWS = 20
MAX_PIXELS = 16_000_000
"""More are not decoded for a screen."""
MAX_DATA = 24 << 20
"""Characters of base64."""
MAX_BOX = (1600, 1200)
"""Pixels of a picture that is sent to the terminal."""
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP")
_ORIENTATION, _TO_A_SIDE = 0x0112, (5, 6, 7, 8)
"""Tag of a camera's note on how it was held, and those that swap width and height."""
_KEPT = 32
"""Pictures that are kept as they were drawn last."""

Pixel: TypeAlias = tuple[int, int, int]
Cell: TypeAlias = tuple[Pixel, Pixel]
"""The colours of the upper and the lower half."""
Rows: TypeAlias = tuple[tuple[Cell, ...], ...]


def caption(image: Image) -> str:
    """`[picture 640x480, plot.png]`: safe to show; what is not known is left out."""
    size = _size(image.data)
    known = [f"{size[0]}x{size[1]}" if size else "", " ".join(plain(image.name).split()) or plain(image.media_type)]
    return f"[picture {', '.join(filter(None, known))}]"


class Scaled(Struct, frozen=True):
    """An RGB picture in its size on the screen, and the cells that it fills at least in part."""

    picture: "Decoded"
    columns: int
    rows: int

    @property
    def png(self) -> bytes:
        out = io.BytesIO()
        self.picture.save(out, "PNG", compress_level=3)
        return out.getvalue()


def scaled(image: Image, width: int, rows: int, cell: tuple[int, int], max_pixels: int | None = None) -> Scaled | None:
    """The picture for at most `width` cells and `rows` rows of `cell` pixels each, never enlarged, upright, on white.

    None when it cannot be decoded safely.
    """
    with _opened(image.data) as picture:
        if picture is None or width < 1 or rows < 1 or picture.width * picture.height > MAX_PIXELS:
            return None
        box = _box(width, rows, cell)
        smaller = min(1.0, math.sqrt(max_pixels / (box[0] * box[1]))) if max_pixels else 1.0
        try:
            flat = _flat(picture, (max(1, int(box[0] * smaller)), max(1, int(box[1] * smaller))))
        except Exception:  # damaged pictures raise anything in Pillow: struct.error, too
            return None
    return Scaled(flat, math.ceil(flat.width / cell[0]), math.ceil(flat.height / cell[1]))


def size_on_screen(image: Image, width: int, rows: int, cell: tuple[int, int]) -> tuple[int, int]:
    """About how many pixels of it `scaled` gives: the same for all widths that do not limit it. (0, 0) for what is none."""
    size, box = _upright_size(image.data), _box(width, rows, cell)
    if size is None:
        return 0, 0
    scale = min(1.0, box[0] / size[0], box[1] / size[1])
    return round(size[0] * scale), round(size[1] * scale)


def _box(width: int, rows: int, cell: tuple[int, int]) -> tuple[int, int]:
    return min(MAX_BOX[0], width * cell[0]), min(MAX_BOX[1], rows * cell[1])


def half_blocks(image: Image, width: int, rows: int = MAX_ROWS) -> Rows | None:
    """The picture in at most `width` cells and `rows` rows, never enlarged; None when it cannot be decoded safely."""
    return _half_blocks(image.data, width, rows)


@lru_cache(_KEPT)
def _size(data: str) -> tuple[int, int] | None:
    with _opened(data) as picture:
        return picture.size if picture else None


@lru_cache(_KEPT)
def _upright_size(data: str) -> tuple[int, int] | None:
    with _opened(data) as picture:
        if picture is None:
            return None
        try:
            turned = picture.getexif().get(_ORIENTATION, 1) in _TO_A_SIDE
        except Exception:  # as below
            turned = False
        return (picture.height, picture.width) if turned else picture.size


@lru_cache(_KEPT)
def _half_blocks(data: str, width: int, rows: int) -> Rows | None:
    with _opened(data) as picture:
        if picture is None or width < 1 or rows < 1 or picture.width * picture.height > MAX_PIXELS:
            return None
        try:
            return _cells(_flat(picture, (width, 2 * rows)))
        except Exception:  # damaged pictures raise anything in Pillow: struct.error, too
            return None


@contextmanager
def _opened(data: str) -> "Iterator[Decoded | None]":
    """The picture with its header read, nothing decoded; None when it is none."""
    from PIL import Image as Pillow

    if len(data) > MAX_DATA:
        yield None
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)  # our own limit is lower
            picture = Pillow.open(io.BytesIO(base64.b64decode(data)), formats=_FORMATS)
    except Exception:  # as above
        yield None
        return
    with picture:
        yield picture


def _flat(picture: "Decoded", box: tuple[int, int]) -> "Decoded":
    """Decoded into the box, upright, on white: plots without a ground have black letters."""
    from PIL import Image as Pillow
    from PIL import ImageOps

    picture.draft("RGB", (box[0] * 2, box[1] * 2))  # JPEG: decodes at a fraction of its size
    small = ImageOps.exif_transpose(picture)
    if small.mode.startswith("I"):  # 16 bits of grey
        small = small.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    small = small.convert("RGBA")
    small.thumbnail(box, Pillow.Resampling.BOX)  # no ripples along edges, which plots are full of
    ground = Pillow.new("RGBA", small.size, "white")
    return Pillow.alpha_composite(ground, small).convert("RGB")


def _cells(picture: "Decoded") -> Rows:
    """An odd last row of pixels stands twice."""
    width, height = picture.size
    data = picture.tobytes()
    lines = [
        [(data[at], data[at + 1], data[at + 2]) for at in range(row * width * 3, (row + 1) * width * 3, 3)]
        for row in range(height)
    ]
    return tuple(tuple(zip(lines[y], lines[min(y + 1, height - 1)], strict=True)) for y in range(0, height, 2))
