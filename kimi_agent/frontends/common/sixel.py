"""A picture as Sixel: bands of six rows, one pass over a band for each of its colours."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

COLORS = 128
MAX_PIXELS = 400_000
"""More take too long to encode."""
_RUN = re.compile(rb"(.)\1{3,}", re.DOTALL)


def sixel(picture: "Image") -> str:
    """The sequence that draws an RGB picture at the cursor."""
    from PIL import Image as Pillow

    reduced = picture.quantize(COLORS, Pillow.Quantize.MEDIANCUT, dither=Pillow.Dither.FLOYDSTEINBERG)
    width, height = reduced.size
    palette = reduced.getpalette() or []
    pixels = reduced.tobytes()
    used = sorted(set(pixels))
    colors = "".join(f"#{n};2;{';'.join(str(round(c / 2.55)) for c in palette[3 * n : 3 * n + 3])}" for n in used)
    bands = (_band(pixels[at : at + 6 * width], width) for at in range(0, width * height, 6 * width))
    return f'\x1bP0;1q"1;1;{width};{height}{colors}' + "-".join(bands) + "\x1b\\"


def _band(pixels: bytes, width: int) -> str:
    """Six rows or fewer. Bit n of a letter is row n."""
    masks: dict[int, bytearray] = {}
    for row in range(len(pixels) // width):
        bit = 1 << row
        for x, color in enumerate(pixels[row * width : (row + 1) * width]):
            mask = masks.get(color)
            if mask is None:
                mask = masks[color] = bytearray(b"?" * width)
            mask[x] += bit
    return "$".join(f"#{color}{_runs(bytes(mask))}" for color, mask in masks.items())


def _runs(letters: bytes) -> str:
    """Repeated letters as a count."""
    return _RUN.sub(lambda run: b"!%d%c" % (len(run[0]), run[0][0]), letters.rstrip(b"?")).decode()
