"""What a tool, a resource or a prompt of a server answers, as the model and the person get it."""

import base64
import binascii
import json
import mimetypes
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kimi_agent.core.display import Pictures, Plain
from kimi_agent.core.message import Image, Text
from kimi_agent.core.redact import Redactor
from kimi_agent.core.sanitize import plain
from kimi_agent.core.tool import Content, ToolOutput

if TYPE_CHECKING:
    from mcp import types

LONGEST = 50_000
"""Characters of a result that join the history; the whole is in a file then."""
SHOWN = 4_000
"""Characters that a person is shown below the call."""
PICTURES = 8
"""Pictures of one result that the model sees; the others are files."""
LARGEST_PICTURE = 20 << 20
"""Bytes."""
SEEN = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""Pictures that models take."""


class Saved:
    """Where what cannot join the history is kept: files in the session's scratch folder, named after the call."""

    def __init__(self, folder: Path, call_id: str, redactor: Redactor) -> None:
        self._folder, self._redactor = folder, redactor
        self._stem = "".join(char if char.isalnum() else "-" for char in call_id)[:60]
        self._count = 0

    def text(self, text: str) -> str:
        return self._write(self._redactor.text(text).encode("utf-8", "replace"), ".txt")

    def data(self, data: bytes, media_type: str) -> str:
        return self._write(data, mimetypes.guess_extension(media_type.partition(";")[0].strip()) or ".bin")

    def _write(self, data: bytes, suffix: str) -> str:
        """The path for the model, or why there is none."""
        self._count += 1
        path = self._folder / f"mcp-{self._stem}-{self._count}{suffix}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.write_bytes(data)
        except OSError as error:
            return f"it could not be saved: {error.strerror}"
        return f"it is in {path}"


def tool_output(result: "types.CallToolResult", saved: Saved, remark: str = "") -> ToolOutput:
    """A result whole: texts, pictures, files for what is neither. `remark` is what we have to say of it."""
    parts = list(_parts(result.content, saved))
    text = "\n".join(part.text for part in parts if isinstance(part, Text))
    if result.structured_content is not None and not _is_told(result.structured_content, text):
        told = json.dumps(result.structured_content, ensure_ascii=False, indent=1, default=str)
        text = f"{text}\n{told}" if text else told
    text = _bounded(text, saved)
    if remark:
        text = f"{text}\n[{remark}]" if text else f"[{remark}]"
    images = tuple(part for part in parts if isinstance(part, Image))
    shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}\n… {len(text) - SHOWN:,} more characters"
    display = Pictures(shown, images) if images else Plain(shown)
    content: Content = (*((Text(text),) if text else ()), *images)
    return ToolOutput(content or (Text("(no output)"),), display, result.is_error)


def _bounded(text: str, saved: Saved) -> str:
    """Cleaned, and the middle of a long one in a file, as it came: cleaning it all would take seconds."""
    if len(text) <= LONGEST:
        return plain(text)
    half = LONGEST // 2
    where = f"[... {len(text) - 2 * half:,} characters of {len(text):,} left out by kimi; {saved.text(text)} ...]"
    return f"{plain(text[:half])}\n{where}\n{plain(text[-half:])}"


def _is_told(structured: Any, text: str) -> bool:
    """Whether the text is the structured content itself, as servers send it for older clients."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return bool(told == structured or (isinstance(structured, dict) and structured == {"result": told}))


def _parts(blocks: Iterable[Any], saved: Saved) -> Iterable[Text | Image]:
    seen = 0
    for block in blocks:
        match block.type:
            case "text":
                yield Text(block.text)
            case "image" | "audio":
                image = _picture(block.data, block.mime_type) if block.type == "image" and seen < PICTURES else None
                seen += image is not None
                yield image or _binary(block.data, block.mime_type, block.type, saved)
            case "resource_link":
                about = f", {block.mime_type}" if block.mime_type else ""
                told = f": {block.description}" if block.description else ""
                yield Text(f"[link to the resource {block.uri} ({block.name}{about}){told}]")
            case "resource":
                yield from resource_parts([block.resource], saved)
            case kind:
                yield Text(f"[content of the type {kind}]")


def resource_parts(contents: Sequence[Any], saved: Saved) -> Iterable[Text | Image]:
    """The contents of resources, each with its address."""
    for content in contents:
        kind = content.mime_type or ""
        yield Text(f"[resource {content.uri}{f' ({kind})' if kind else ''}]")
        if (text := getattr(content, "text", None)) is not None:
            yield Text(text)
        else:
            yield _picture(content.blob, kind) or _binary(content.blob, kind, "data", saved)


def _picture(data: str, media_type: str) -> Image | None:
    """None for what no model takes."""
    kind = media_type.partition(";")[0].strip().lower()
    if kind not in SEEN or len(data) * 3 // 4 > LARGEST_PICTURE or _decoded(data) is None:
        return None
    return Image("".join(data.split()), kind)


def _binary(data: str, media_type: str, what: str, saved: Saved) -> Text:
    decoded = _decoded(data)
    kind = media_type or "of no type"
    if decoded is None:
        return Text(f"[{what} ({kind}) that is no base64]")
    return Text(f"[{what} ({kind}), {len(decoded):,} bytes: {saved.data(decoded, media_type)}]")


def _decoded(data: str) -> bytes | None:
    try:
        return base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        return None
