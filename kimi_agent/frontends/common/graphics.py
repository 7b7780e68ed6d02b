"""Which way of drawing pictures a terminal understands, and its control sequences.

What cannot be known from the environment is not guessed: a wrong guess fills the screen with letters, half blocks never do.
"""

import base64
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import chain
from typing import Literal, TypeAlias

from kimi_agent.frontends.common.look import Images

Protocol: TypeAlias = Literal["kitty", "iterm2", "sixel", "blocks", "off"]

PLACEHOLDER = "\U0010eeee"
"""Kitty draws a cell of a picture where this character stands, followed by marks that say its row and column."""
CELL = (10, 20)
"""Pixels of a cell where the terminal does not tell."""
_CHUNK = 4096
"""Characters of base64 in one of Kitty's sequences."""
_MULTIPLEXERS = ("TMUX", "STY", "ZELLIJ")
_SIXEL_TERMINALS = ("foot", "mlterm", "contour", "yaft")
_KITTY_TERMINALS = ("xterm-kitty", "xterm-ghostty")
_PROGRAMS: Mapping[str, Protocol] = {
    "ghostty": "kitty", "iTerm.app": "iterm2", "WezTerm": "iterm2", "rio": "iterm2", "mintty": "sixel",
}  # fmt: skip

_MARKS = (
    "305 30d-30e 310 312 33d-33f 346 34a-34c 350-352 357 35b 363-36f 483-487 592-595 597-599 59c-5a1 5a8-5a9 5ab-5ac 5af 5c4 "
    "610-617 657-65b 65d-65e 6d6-6dc 6df-6e2 6e4 6e7-6e8 6eb-6ec 730 732-733 735-736 73a 73d 73f-741 743 745 747 749-74a "
    "7eb-7f1 7f3 816-819 81b-823 825-827 829-82d 951 953-954 f82-f83 f86-f87 135d-135f 17dd 193a 1a17 1a75-1a7c 1b6b 1b6d-1b73 "
    "1cd0-1cd2 1cda-1cdb 1ce0 1dc0-1dc1 1dc3-1dc9 1dcb-1dcc 1dd1-1de6 1dfe 20d0-20d1 20d4-20d7 20db-20dc 20e1 20e7 20e9 20f0 "
    "2cef-2cf1 2de0-2dff a66f a67c-a67d a6f0-a6f1 a8e0-a8f1 aab0 aab2-aab3 aab7-aab8 aabe-aabf aac1 fe20-fe26 10a0f 10a38 "
    "1d185-1d189 1d1aa-1d1ad 1d242-1d244"
)
"""The combining characters that stand for 0, 1, 2, ... in Kitty's protocol, in hexadecimal."""


def protocol(images: Images, env: Mapping[str, str] = os.environ) -> Protocol:
    """How pictures are drawn: what the person has chosen; for `auto` what the terminal is known to understand."""
    if images == "off" or "NO_COLOR" in env:
        return "off"
    return images if images != "auto" else _known(env)


def _known(env: Mapping[str, str]) -> Protocol:
    """TERM is set by each terminal anew and goes through SSH; other variables are inherited by what is started inside."""
    term, program = env.get("TERM", ""), env.get("TERM_PROGRAM", "")
    if any(env.get(name) for name in _MULTIPLEXERS) or term.startswith(("screen", "tmux")):
        return "blocks"
    if term in _KITTY_TERMINALS:
        return "kitty"
    if term.split("-")[0] in _SIXEL_TERMINALS:
        return "sixel"
    if not program and env.get("SSH_CONNECTION") and env.get("LC_TERMINAL") == "iTerm2":
        return "iterm2"
    return _PROGRAMS.get(program, "blocks")


def cell_size(descriptor: int = 1) -> tuple[int, int] | None:
    """Pixels of one character, wide and high, as the terminal told the kernel; None when it did not."""
    if sys.platform == "win32":
        return None
    import fcntl
    import struct
    import termios

    with suppress(OSError):
        answer = fcntl.ioctl(descriptor, termios.TIOCGWINSZ, bytes(8))
        rows, columns, width, height = struct.unpack("HHHH", answer)
        if rows and columns and width >= columns and height >= rows:
            return width // columns, height // rows
    return None


# --- Kitty ------------------------------------------------------------------------------------------------------------


def kitty_stored(number: int, png: bytes, columns: int, rows: int) -> str:
    """Send a picture under a number of 24 bits, to be seen where its placeholders stand. Never answered."""
    return _kitty(f"a=T,U=1,i={number},f=100,c={columns},r={rows},q=2", png)


def kitty_deleted(number: int) -> str:
    return f"\x1b_Ga=d,d=I,i={number},q=2\x1b\\"


def kitty_placeholders(columns: int, rows: int) -> list[str]:
    """The rows of a picture, whole or cut anywhere: each cell says where it belongs. Its colour is the number."""
    return ["".join(f"{PLACEHOLDER}{MARKS[row]}{MARKS[x]}" for x in range(columns)) for row in range(rows)]


def without_placeholders(text: str) -> str:
    """Text of the screen as a person would copy it."""
    return text.translate(_UNSEEN) if PLACEHOLDER in text else text


def _kitty(keys: str, png: bytes) -> str:
    data = base64.b64encode(png).decode()
    pieces = [data[at : at + _CHUNK] for at in range(0, len(data), _CHUNK)]
    parts = (f"m={int(at < len(pieces) - 1)};{piece}" for at, piece in enumerate(pieces))
    return "".join(f"\x1b_G{f'{keys},' if not at else 'q=2,'}{part}\x1b\\" for at, part in enumerate(parts))


def _marks() -> Iterator[str]:
    for part in _MARKS.split():
        first, _, last = part.partition("-")
        yield from map(chr, range(int(first, 16), int(last or first, 16) + 1))


MARKS = "".join(_marks())
_UNSEEN = dict.fromkeys(map(ord, chain(PLACEHOLDER, MARKS)))


# --- where text scrolls by itself ---------------------------------------------------------------------------------------


def kitty_here(png: bytes, columns: int, rows: int) -> str:
    """Draw at the cursor, which stays. Never answered."""
    return _kitty(f"a=T,f=100,c={columns},r={rows},C=1,q=2", png)


def iterm2_here(png: bytes, columns: int, rows: int) -> str:
    """Draw at the cursor, which moves as the terminal likes."""
    data = base64.b64encode(png).decode()
    return f"\x1b]1337;File=inline=1;size={len(png)};width={columns};height={rows}:{data}\a"


def on_rows(drawn: str, rows: int) -> str:
    """`drawn` where the cursor is, on rows that are made for it; afterwards the cursor is on the line below, at its start."""
    return "\n" * rows + f"\x1b[{rows}A\x1b[2C\x1b7{drawn}\x1b8\r" + "\n" * rows
