"""The history: what the model has been told, what it said, and what its tools answered."""

import json
from typing import Any, Literal, TypeAlias

from kimi_agent.core.record import Record


class Text(Record):
    text: str


class Think(Record):
    """Reasoning. It goes back to the API with its message, in the very field that it came in.

    `field` names that field (`reasoning_content`, `reasoning`, `reasoning_details`, `thinking`); `details` holds what the
    API wants back byte for byte (signatures, encrypted blocks) and is never shown.
    """

    text: str
    field: str = ""
    details: tuple[dict[str, Any], ...] = ()


class Image(Record):
    """A picture. `data` is base64; `media_type` such as `image/png`; `name` is for people (a path or a URL)."""

    data: str
    media_type: str
    name: str = ""


class ToolCall(Record):
    """A call as the model wrote it. `arguments` is its JSON text, possibly broken: see `parse_arguments`."""

    id: str
    name: str
    arguments: str


class ToolResult(Record):
    call_id: str
    content: tuple[Text | Image, ...]
    is_error: bool = False


Part: TypeAlias = Text | Think | Image | ToolCall | ToolResult
Role: TypeAlias = Literal["user", "assistant", "tool"]
Origin: TypeAlias = Literal["person", "model", "agent"]


class Message(Record):
    """One entry of the history. A tool message holds exactly one `ToolResult`.

    `origin` is `agent` for text that a person did not write (a reminder, a compaction summary): compaction keeps what the
    person wrote verbatim and may drop the rest. What is `pinned` it keeps word for word, whoever wrote it.
    """

    role: Role
    parts: tuple[Part, ...]
    origin: Origin = "person"
    pinned: bool = False

    @property
    def text(self) -> str:
        """All visible text, joined; reasoning, pictures and calls left out."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def thinking(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, Think))

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        return tuple(part for part in self.parts if isinstance(part, ToolCall))

    @property
    def result(self) -> ToolResult | None:
        return next((part for part in self.parts if isinstance(part, ToolResult)), None)


def user_message(text: str, images: tuple[Image, ...] = (), origin: Origin = "person") -> Message:
    return Message("user", (Text(text), *images) if text else images, origin)


def tool_message(call_id: str, text: str, *, is_error: bool = False) -> Message:
    return Message("tool", (ToolResult(call_id, (Text(text),), is_error),), "agent")


JSON_TYPES = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "array",
    dict: "object",
    type(None): "null",
}
"""What JSON calls the types that its values have in Python."""


def parse_arguments(text: str) -> dict[str, Any]:
    """The arguments of a call as an object. Raw line breaks inside strings are accepted: models write them.

    Raises ValueError with the position and the reason, worded for the model.
    """
    try:
        value = json.loads(text or "{}", strict=False)
    except json.JSONDecodeError as error:
        near = text[max(0, error.pos - 30) : error.pos + 10]
        raise ValueError(f"invalid JSON at character {error.pos}: {error.msg}, near {near!r}") from None
    except ValueError:  # Python's limit for the digits of a number
        raise ValueError("invalid JSON: a number has too many digits") from None
    except RecursionError:
        raise ValueError("invalid JSON: nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, got {JSON_TYPES[type(value)]}")
    return value
