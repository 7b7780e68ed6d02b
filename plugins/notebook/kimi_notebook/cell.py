"""What one cell gave: text for the model, pictures, and its record for the notebook file."""

import base64
import binascii
import json
from typing import Any

from kimi_agent.core.sanitize import plain
from kimi_agent.tools.output import HeadTail, Live

PICTURE_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")
TEXT_TYPES = ("image/svg+xml", "text/markdown", "text/plain", "text/latex", "text/html", "application/json")
"""The first one that there is becomes the text: what people and models read best."""
RECORDED_TEXT = 200_000
"""Characters of text and JSON that the record of a cell keeps."""
_ENTRY = 100
"""What an output without any text counts as, so that they are not without number."""
RECORDED_PICTURES = 32


class Cell:
    """Takes the kernel's messages. `pictures` are encoded as they came; `record` holds outputs as an .ipynb does."""

    def __init__(self, text: HeadTail, live: Live) -> None:
        self.text, self._live = text, live
        self.pictures: list[bytes] = []
        self.record: list[dict[str, Any]] = []
        self.count: int | None = None
        self.failed = False
        self._room = RECORDED_TEXT
        self._clear = False

    def take(self, message: dict[str, Any]) -> None:
        content = message["content"]
        kind = message["msg_type"]
        if self._clear and kind in ("stream", "display_data", "execute_result", "error"):
            self._forget()
        match kind:
            case "stream":
                self._stream(content["name"], content["text"])
            case "execute_result" | "display_data" | "update_display_data":
                self._data(content)
            case "error":
                self._error(content)
            case "clear_output":
                self._clear = True
                if not content.get("wait"):
                    self._forget()
            case _:
                pass

    def page(self, payload: list[dict[str, Any]]) -> None:
        """What `name?` would show in a pager."""
        for item in payload:
            if item.get("source") == "page":
                self._stream("stdout", plain(item.get("data", {}).get("text/plain", "")) + "\n")

    def _forget(self) -> None:
        """Pictures and record only: what was printed has been seen."""
        self.pictures.clear()
        self.record.clear()
        self._clear = False

    def _say(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        self.text.feed(data)
        self._live.feed(data)

    def _stream(self, name: str, text: str) -> None:
        self._say(text)
        text = self._bounded(text)
        last = self.record[-1] if self.record else {}
        if last.get("output_type") == "stream" and last["name"] == name:
            last["text"] += text
        elif text:
            self._add({"output_type": "stream", "name": name, "text": text})

    def _data(self, content: dict[str, Any]) -> None:
        data: dict[str, Any] = content["data"]
        picture = next((kind for kind in PICTURE_TYPES if kind in data), None)
        decoded = _decoded(data[picture]) if picture is not None else None
        if decoded is not None:
            if len(self.pictures) >= RECORDED_PICTURES:
                self._say("[one more picture is left out]\n")
                return
            self.pictures.append(decoded)
        elif (kind := next((kind for kind in TEXT_TYPES if kind in data), None)) is not None:
            self._say(f"{data[kind]}".rstrip("\n") + "\n")
        self._keep(data, picture if decoded is not None else None, content)

    def _keep(self, data: dict[str, Any], picture: str | None, content: dict[str, Any]) -> None:
        kept = {kind: self._bounded(value) for kind, value in data.items() if kind not in PICTURE_TYPES}
        kept = {kind: value for kind, value in kept.items() if value is not None}
        if picture is not None:
            kept[picture] = data[picture]
        result = "execution_count" in content
        output = {"output_type": "execute_result" if result else "display_data", "data": kept, "metadata": {}}
        output |= {"execution_count": content["execution_count"]} if result else {}
        self._add(output, always=picture is not None)

    def _error(self, content: dict[str, Any]) -> None:
        self.failed = True
        lines = [plain(line) for line in content["traceback"]]
        self._say("\n".join(lines) + "\n")
        kept = self._bounded("\n".join(lines)).split("\n")
        names = {name: self._bounded(content[name]) for name in ("ename", "evalue")}
        self._add({"output_type": "error", "traceback": kept, **names}, always=True)

    def _add(self, output: dict[str, Any], *, always: bool = False) -> None:
        if always or self._room > 0:
            self.record.append(output)
        self._room -= _ENTRY

    def _bounded(self, value: Any) -> Any:
        """Text as far as there is room; other data (JSON) as it is when there is room for it."""
        room = max(0, self._room)
        kept = value[:room] if isinstance(value, str) else value
        size = len(kept) if isinstance(kept, str) else len(json.dumps(kept))
        if size > room:
            return None
        self._room -= size
        return kept


def _decoded(data: Any) -> bytes | None:
    try:
        return base64.b64decode(data)
    except (TypeError, ValueError, binascii.Error):
        return None
