"""What the desktop's clipboard holds: a picture or text, read by the programs that each platform has for it."""

import asyncio
import base64
import binascii
import os
import shutil
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from msgspec import Struct

PATIENCE_S = 5.0
MAX_BYTES = 32 << 20

_WINDOWS_PICTURE = (
    "Add-Type -AssemblyName System.Windows.Forms, System.Drawing; $i = [Windows.Forms.Clipboard]::GetImage(); "
    "if ($i) { $m = New-Object IO.MemoryStream; $i.Save($m, [Drawing.Imaging.ImageFormat]::Png); "
    "[Console]::Out.Write([Convert]::ToBase64String($m.ToArray())) }"
)


class ClipboardError(Exception):
    """The clipboard cannot be read; the text says why, for the person."""


def _as_it_is(output: bytes) -> bytes:
    return output


def _of_applescript(output: bytes) -> bytes:
    """`«data PNGf8950...»`."""
    return bytes.fromhex(output.decode("utf-8", "replace").partition("PNGf")[2].rstrip().rstrip("»"))


class Reader(Struct, frozen=True):
    """Commands for a picture, tried in their order, and one for text."""

    pictures: Sequence[tuple[str, ...]]
    text: tuple[str, ...]
    decode: Callable[[bytes], bytes] = _as_it_is


async def read_clipboard(env: Mapping[str, str] = os.environ, platform: str = sys.platform) -> bytes | str:
    """The bytes of a picture, else text, which may be empty. Raises ClipboardError."""
    reader = find_reader(env, platform)
    for command in reader.pictures:
        output = await _output(command, env)
        with suppress(ValueError, binascii.Error):
            if output and (picture := reader.decode(output)):
                return picture
    return (await _output(reader.text, env) or b"").decode("utf-8", "replace")


def find_reader(env: Mapping[str, str], platform: str) -> Reader:
    """Raises ClipboardError that says what is missing."""

    def has(program: str) -> bool:
        return shutil.which(program, path=env.get("PATH")) is not None

    if platform == "darwin":
        script = ("osascript", "-e", "get the clipboard as «class PNGf»")
        pngpaste = has("pngpaste")
        return Reader(
            (("pngpaste", "-") if pngpaste else script,), ("pbpaste",), _as_it_is if pngpaste else _of_applescript
        )
    if has("powershell.exe") and (platform == "win32" or env.get("WSL_DISTRO_NAME")):
        shell = "powershell.exe", "-NoProfile", "-NonInteractive", "-STA", "-Command"
        return Reader(((*shell, _WINDOWS_PICTURE),), (*shell, "Get-Clipboard -Raw"), base64.b64decode)
    kinds = "image/png", "image/jpeg"
    if env.get("WAYLAND_DISPLAY") and has("wl-paste"):
        return Reader([("wl-paste", "--type", kind) for kind in kinds], ("wl-paste", "--no-newline", "--type", "text"))
    if env.get("DISPLAY") and has("xclip"):
        xclip = "xclip", "-selection", "clipboard"
        return Reader([(*xclip, "-t", kind, "-o") for kind in kinds], (*xclip, "-o"))
    raise ClipboardError(_what_is_missing(env))


def _what_is_missing(env: Mapping[str, str]) -> str:
    if env.get("WAYLAND_DISPLAY") or env.get("DISPLAY"):
        tool = "wl-clipboard" if env.get("WAYLAND_DISPLAY") else "xclip"
        return f"The clipboard cannot be read: install {tool}"
    if env.get("SSH_CONNECTION"):
        return "Your clipboard cannot be read over SSH: copy the picture here and name it with @"
    return "There is no clipboard here"


async def _output(command: Sequence[str], env: Mapping[str, str]) -> bytes | None:
    """What it writes; None when it fails: the clipboard holds nothing of that kind. Raises ClipboardError."""
    try:
        child = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=dict(env),
            start_new_session=True,
        )
    except OSError as error:
        raise ClipboardError(f"The clipboard cannot be read: {command[0]}: {error.strerror}") from None
    assert child.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            output = await _at_most(child.stdout, MAX_BYTES)
            return output if await child.wait() == 0 else None
    except TimeoutError:
        raise ClipboardError(f"The clipboard cannot be read: {command[0]} does not answer") from None
    finally:
        if child.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
            await child.wait()


async def _at_most(stream: asyncio.StreamReader, limit: int) -> bytes:
    read = bytearray()
    while piece := await stream.read(1 << 16):
        read += piece
        if len(read) > limit:
            raise ClipboardError(f"What the clipboard holds is too large: more than {limit >> 20} MB")
    return bytes(read)
