"""Pictures made fit to send: upright, at most EDGE pixels wide and high, at most LIMIT bytes."""

import io
import warnings
from typing import TYPE_CHECKING

from msgspec import Struct

from kimi_agent.core.errors import ToolError

if TYPE_CHECKING:
    from PIL.Image import Image

EDGE = 2000
LIMIT = 384 << 10
"""Bytes. Base64 makes them a third more, a history holds several pictures, and one API refuses bodies over 2 MiB."""
MAX_PIXELS = 40_000_000
"""Decoded at four bytes each."""
MAX_JPEG_PIXELS = 160_000_000
"""A JPEG is decoded at a fraction of its size."""

_SENDABLE = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif"}
_QUALITIES = (88, 75, 60)
_ORIENTATION = 0x0112


class Picture(Struct, frozen=True):
    data: bytes
    media_type: str
    size: tuple[int, int]
    original_size: tuple[int, int]


def shrink(data: bytes) -> Picture:
    """Raises ToolError for what is no picture, damaged, or too large to decode. Takes up to a second: use a thread."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limits are lower or deliberate
            image = Image.open(io.BytesIO(data))
        with image:
            return _shrunk(image, data)
    except Image.DecompressionBombError:
        raise ToolError("The picture has too many pixels to be decoded safely.") from None
    except UnidentifiedImageError:
        raise ToolError("The file is not a picture that can be decoded here.") from None
    except ToolError:
        raise
    except Exception as error:  # damaged pictures raise anything in Pillow: struct.error, too
        raise ToolError(f"The picture is damaged: {error}.") from None


def _shrunk(image: "Image", data: bytes) -> Picture:
    size = image.size
    pixels, kind = size[0] * size[1], image.format or ""
    if pixels > (MAX_JPEG_PIXELS if kind == "JPEG" else MAX_PIXELS):
        raise ToolError(f"The picture has {size[0]} x {size[1]} pixels: too many to be decoded safely.")
    upright = image.getexif().get(_ORIENTATION, 1) == 1
    if kind in _SENDABLE and upright and max(size) <= EDGE and len(data) <= LIMIT:
        image.load()  # a damaged file must not reach the provider
        return Picture(data, _SENDABLE[kind], size, size)
    return _encoded(_prepared(image), size, photo=kind == "JPEG")


def _prepared(image: "Image") -> "Image":
    from PIL import Image, ImageOps

    image.draft("RGB", (EDGE, EDGE))  # JPEG: decodes at 1/2, 1/4 or 1/8 where that is still large enough
    image.load()
    small = ImageOps.exif_transpose(image)
    if small.mode.startswith("I"):  # 16 bits of grey; Pillow would clip them
        small = small.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    small = small.convert("RGBA" if small.has_transparency_data else "RGB")
    small.thumbnail((EDGE, EDGE), Image.Resampling.LANCZOS)
    return small


def _encoded(image: "Image", original: tuple[int, int], *, photo: bool) -> Picture:
    """PNG where that is small enough (drawings, screenshots), else JPEG on white, smaller until it fits."""
    from PIL import Image

    while True:
        if not photo:
            data = _saved(image, "PNG", compress_level=6)
            if len(data) <= LIMIT:
                return Picture(data, "image/png", image.size, original)
        flat = image
        if image.mode == "RGBA":
            flat = Image.new("RGB", image.size, "white")
            flat.paste(image, mask=image.getchannel("A"))
        for quality in _QUALITIES:
            data = _saved(flat, "JPEG", quality=quality, optimize=True)
            if len(data) <= LIMIT:
                return Picture(data, "image/jpeg", image.size, original)
        image = image.resize((max(1, image.width * 3 // 4), max(1, image.height * 3 // 4)))


def _saved(image: "Image", kind: str, **options: int | bool) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()
