"""The blocks of a prompt as a text and pictures for the model."""

import base64
import binascii
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from kimi_acp.peer import RpcError
from kimi_acp.wire import INVALID_PARAMS
from kimi_agent.core.message import Image

_SUFFIXES = {
    "audio/wav": ".wav", "audio/x-wav": ".wav", "audio/mpeg": ".mp3", "audio/mp4": ".m4a", "audio/ogg": ".ogg",
    "audio/webm": ".webm", "image/svg+xml": ".svg", "image/bmp": ".bmp", "image/tiff": ".tiff",
    "application/pdf": ".pdf", "text/plain": ".txt",
}  # fmt: skip


_PICTURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}
"""By how they begin: those that every model which sees takes, with WebP."""


class Prompt(Struct, frozen=True):
    """`typed` is what a person has typed of `text`: mentions are read of that alone."""

    text: str
    typed: str
    images: tuple[Image, ...] = ()


def read_prompt(blocks: Sequence[Any], room: Path) -> Prompt:
    """What can be neither told nor shown to a model becomes a file in `room` that the text names. Raises RpcError."""
    texts, typed, images = list[str](), list[str](), list[Image]()
    for number, block in enumerate(blocks):
        kind = block.get("type") if isinstance(block, dict) else None
        match kind:
            case "text":
                typed.append(_text(block, "text", number))
                texts.append(typed[-1])
            case "image":
                _picture(block, "data", number, room, texts, images)
            case "audio":
                path = _kept(block, "data", room, number)
                texts.append(f"[The user has attached a recording ({_type(block)}): {path}]")
            case "resource_link":
                texts.append(_link(block, number))
            case "resource":
                _resource(block, number, room, texts, images)
            case str():
                texts.append(
                    f"[The user's editor sent something of the type {kind[:60]!r}, which cannot be shown to you.]"
                )
            case _:
                raise RpcError(INVALID_PARAMS, f"Invalid params: prompt[{number}] has no type")
    words = "\n\n".join(typed)
    if words.startswith("/"):  # a command, with what it is about
        texts = [*typed, *(text for text in texts if text not in typed)]
    return Prompt("\n\n".join(filter(None, texts)), words, tuple(images))


_ATTACHED = re.compile(
    r"\[The user has attached [^\n]*\]\n<(attached_*)>\n.*?\n</\1>|\[The user(?:'s editor)? [a-z]+ [^\n]*\]",
    re.DOTALL,
)


def title_of_prompt(text: str) -> str:
    """What a session is called by its first prompt: the words of the person, as far as there are some."""
    return " ".join((_ATTACHED.sub("", text).strip() or text).split())[:80]


def _text(block: dict[str, Any], key: str, number: int) -> str:
    value = block.get(key)
    if not isinstance(value, str):
        raise RpcError(INVALID_PARAMS, f"Invalid params: prompt[{number}].{key} must be a text")
    return value


def _type(block: dict[str, Any]) -> str:
    return str(block.get("mimeType") or "application/octet-stream")[:100]


def _picture(block: dict[str, Any], key: str, number: int, room: Path, texts: list[str], images: list[Image]) -> None:
    """For the model, by what its bytes are: a provider refuses all that follows one that it cannot read."""
    data = _text(block, key, number)
    start = _bytes(data, number)[:12]
    if not start:
        raise RpcError(INVALID_PARAMS, f"Invalid params: prompt[{number}] is an empty picture")
    found = next((kind for mark, kind in _PICTURES.items() if start.startswith(mark)), "")
    if start[:4] == b"RIFF" and start[8:] == b"WEBP":
        found = "image/webp"
    if found:
        images.append(Image(data, found, str(block.get("uri") or "")[:1000]))
    else:
        texts.append(f"[The user has attached a picture ({_type(block)}): {_kept(block, key, room, number)}]")


def _bytes(data: str, number: int) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise RpcError(INVALID_PARAMS, f"Invalid params: prompt[{number}] is no base64") from None


def _kept(block: dict[str, Any], key: str, room: Path, number: int) -> Path:
    """The file that holds the bytes of a block, named after them."""
    import hashlib

    data = _bytes(_text(block, key, number), number)
    path = room / f"attached-{hashlib.sha256(data).hexdigest()[:12]}{_SUFFIXES.get(_type(block), '')}"
    room.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:  # noqa: PTH123 - of a descriptor
        file.write(data)
    return path


def place_of(uri: str) -> str:
    """The path of a file: URI, with its lines where it names some; any other URI as it is."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return uri
    if parts.scheme != "file":
        return uri
    lines = parts.fragment.removeprefix("L").replace(":", "-").replace("L", "")
    return unquote(parts.path) + (f" (lines {lines})" if lines.replace("-", "").isdigit() else "")


def _link(block: dict[str, Any], number: int) -> str:
    place, name = place_of(_text(block, "uri", number)), str(block.get("name") or "")
    shown = f"{name}: {place}" if name and name not in place else place
    return f"[The user refers to {shown}]"


def _resource(block: dict[str, Any], number: int, room: Path, texts: list[str], images: list[Image]) -> None:
    resource = block.get("resource")
    if not isinstance(resource, dict):
        raise RpcError(INVALID_PARAMS, f"Invalid params: prompt[{number}].resource must be an object")
    place = place_of(_text(resource, "uri", number))
    if "text" in resource:
        text = _text(resource, "text", number)
        tag = "attached"
        while f"</{tag}>" in text:  # what is in a file does not end it
            tag += "_"
        texts.append(f"[The user has attached {place}]\n<{tag}>\n{text}\n</{tag}>")
    elif _type(resource).startswith("image/"):
        _picture(resource, "blob", number, room, texts, images)
    else:
        path = _kept(resource, "blob", room, number)
        texts.append(f"[The user has attached {place} ({_type(resource)}), saved as {path}]")
