"""What a server says of one tool, as plain data: it is kept from run to run, and read without the SDK."""

import json
from typing import TYPE_CHECKING, Any

from kimi_agent.core.record import Record

if TYPE_CHECKING:
    from mcp import types


class Described(Record):
    """`schema` is the JSON Schema of its parameters, `hints` are its annotations by their names of the specification."""

    name: str
    description: str = ""
    schema: dict[str, Any] = {}
    hints: dict[str, Any] = {}

    @property
    def text(self) -> str:
        """All of it, in an order of its own: two texts are equal when nothing has changed."""
        told = {
            "name": self.name,
            "description": self.description,
            "inputSchema": self.schema,
            "annotations": self.hints,
        }
        return json.dumps(told, sort_keys=True, ensure_ascii=False, indent=1)


def described(tool: "types.Tool") -> Described:
    hints = tool.annotations.model_dump(mode="json", by_alias=True, exclude_none=True) if tool.annotations else {}
    return Described(tool.name, tool.description or tool.title or "", tool.input_schema, hints)


def from_text(text: str) -> Described:
    """Raises ValueError, KeyError, TypeError for what is no text of one."""
    told = json.loads(text)
    return Described(str(told["name"]), str(told["description"]), dict(told["inputSchema"]), dict(told["annotations"]))
