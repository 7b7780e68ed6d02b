"""Reading the files of other agents: JSON, JSON lines and their message parts. Nothing in them is trusted to have a shape."""

import base64
import binascii
import datetime
import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kimi_agent.core.errors import SessionError
from kimi_agent.core.message import Image, Text

MAX_SIZE = 256 << 20
"""Bytes of a file that is read at all."""

LATEST = 4e9
"""Seconds since 1970 that a record can have been written at."""

PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})

_DATA_URL = re.compile(r"data:(image/[\w.+-]+);base64,(.*)", re.DOTALL)


def read_bytes(path: Path) -> bytes:
    """Raises SessionError, worded for the plan, when the file cannot be read."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # a pipe in its place would be waited for without end
            raise SessionError("it is no file")
        if found.st_size > MAX_SIZE:
            raise SessionError(f"it is larger than {MAX_SIZE >> 20} MB")
        return path.read_bytes()
    except OSError as error:
        raise SessionError(f"it cannot be read: {error.strerror or error}") from None


def read_json(path: Path) -> dict[str, Any]:
    """An object; empty when there is no file. Raises SessionError."""
    if not path.exists():
        return {}
    try:
        value = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise SessionError(f"it is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise SessionError("it holds no JSON object")
    return value


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON lines file; damaged lines are passed over. Raises SessionError when all are damaged."""
    seen = good = 0
    for line in read_bytes(path).split(b"\n"):
        if not line.strip():
            continue
        seen += 1
        try:
            value = json.loads(line, strict=False)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            good += 1
            yield value
    if seen and not good:
        raise SessionError("no line of it can be read")


def table(value: Any) -> dict[str, Any]:
    """`value` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; none of anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def seconds(value: Any) -> float:
    """Seconds since 1970 of an ISO time or of a number of seconds or milliseconds; 0 for what is no time of our days."""
    found = 0.0
    if isinstance(value, int | float) and not isinstance(value, bool):
        found = value / 1000 if value > 1e11 else float(value)
    elif isinstance(value, str):
        try:
            found = datetime.datetime.fromisoformat(value).timestamp()
        except (ValueError, OverflowError):
            return 0.0
    return found if 0 < found < LATEST else 0.0


def parts(content: Any) -> list[Text | Image]:
    """The texts and pictures of a message's content, in any of the shapes that agents write."""
    if isinstance(content, str):
        return [Text(content)]
    return [part for item in items(content) if (part := _part(item)) is not None]


def _part(item: dict[str, Any]) -> Text | Image | None:
    kind = item.get("type")
    if kind in ("text", "input_text", "output_text"):
        return Text(text(item.get("text")))
    if kind == "image":
        source = table(item.get("source"))
        return _picture(text(source.get("data")), text(source.get("media_type")))
    if kind in ("image_url", "input_image"):
        url = item.get("image_url", item.get("imageUrl"))
        match = _DATA_URL.match(text(table(url).get("url")) if isinstance(url, dict) else text(url))
        return _picture(match[2], match[1]) if match else Text("[A picture that is not in the session's file.]")
    return None


def _picture(data: str, media_type: str) -> Text | Image:
    """A picture that a model can be sent: a request with any other one fails, and so would every later turn."""
    try:
        if media_type in PICTURES and base64.b64decode(data, validate=True):
            return Image(data, media_type)
    except (binascii.Error, ValueError):
        pass
    return Text("[A picture that cannot be read is left out.]")


def joined(content: Any) -> str:
    """The texts of a message's content."""
    return "\n".join(part.text for part in parts(content) if isinstance(part, Text))
