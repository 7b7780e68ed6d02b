"""Pictures to draw, and files that only pretend to be one."""

import base64
import io
import struct
import zlib

from PIL import Image as Pillow

from kimi_agent.core.message import Image

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def encoded(picture: Pillow.Image, kind: str = "PNG", name: str = "plot.png") -> Image:
    out = io.BytesIO()
    picture.save(out, kind)
    return Image(base64.b64encode(out.getvalue()).decode(), f"image/{kind.lower()}", name)


def two_bars(width: int = 4, height: int = 4) -> Pillow.Image:
    """Red above blue."""
    picture = Pillow.new("RGB", (width, height), RED)
    picture.paste(BLUE, (0, height // 2, width, height))
    return picture


def png_that_claims(width: int, height: int) -> Image:
    """A PNG whose header promises that size, and which holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    return Image(base64.b64encode(data).decode(), "image/png", "bomb.png")
