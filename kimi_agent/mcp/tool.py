"""A tool of a server as a tool of ours. All that the server says of it is a stranger's: cleaned, bounded, never believed."""

import contextlib
import json
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from kimi_agent.core.display import Display, Plain
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ToolError
from kimi_agent.core.sanitize import plain, visible
from kimi_agent.core.schema import validate
from kimi_agent.core.tool import ToolContext, ToolOutput
from kimi_agent.mcp.calling import call_tool, ready
from kimi_agent.mcp.described import Described
from kimi_agent.mcp.names import PREFIX, tool_name
from kimi_agent.mcp.results import Saved, tool_output

if TYPE_CHECKING:
    from kimi_agent.mcp.connection import Connection

DESCRIPTION = 2_000
"""Characters of a description, or of a server's instructions, that the model reads."""
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]"
)
_HINTS = (
    ("destructiveHint", "destructive"),
    ("openWorldHint", "reaches out of this machine"),
    ("readOnlyHint", "only reads"),
)


def told(text: str, most: int = DESCRIPTION) -> str:
    """A stranger's text for the model: nothing that people could not see, and no more than `most` characters."""
    clean = _INVISIBLE.sub("", plain(text)).strip()
    return clean if len(clean) <= most else f"{clean[: most - 1]}…"


def cleaned_schema(node: Any, depth: int = 0) -> Any:
    """A schema whose descriptions are `told`; everything else as the server wrote it."""
    if depth > 40:
        return node
    if isinstance(node, list):
        return [cleaned_schema(item, depth + 1) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: told(value)
        if key in ("description", "title") and isinstance(value, str)
        else cleaned_schema(value, depth + 1)
        for key, value in node.items()
    }


def effect_target(server: str, tool: str) -> str:
    """`server/tool` in the words that the model's name of it has, which are the words of rules."""
    name = tool_name(server, tool)
    start = f"{PREFIX}{re.sub('[^A-Za-z0-9_-]', '_', server)}__"
    return f"{start[len(PREFIX) : -2]}/{name[len(start) :]}" if name.startswith(start) else f"{server}/{tool}"


class McpTool:
    def __init__(self, connection: "Connection", tool: Described) -> None:
        self._connection, self._tool = connection, tool
        self.server = connection.server.name
        self.name = tool_name(self.server, tool.name)
        self.description = told(tool.description)
        self.Params: dict[str, Any] = cleaned_schema(tool.schema)
        self.target = effect_target(self.server, tool.name)

    def effects(self, params: dict[str, Any], ctx: ToolContext) -> Sequence[Effect]:
        return [Effect("mcp", self.target, beside=self._tool.hints.get("readOnlyHint") is True)]

    async def preview(self, params: dict[str, Any], ctx: ToolContext) -> Display | None:
        """The server, the tool and the whole arguments, in our words; what the server says of it stands apart."""
        arguments = json.dumps(params, ensure_ascii=False, indent=2)
        lines = [
            f"server     {visible(self.server)} ({self._connection.server.scope})",
            f"tool       {visible(self._tool.name)}",
        ]
        if hints := self.hints():
            lines.append(f"it says    {hints}")
        return Plain("\n".join([*lines, f"arguments  {visible(arguments)}"]))

    def hints(self) -> str:
        return ", ".join(words for name, words in _HINTS if self._tool.hints.get(name) is True)

    async def run(self, params: dict[str, Any], ctx: ToolContext) -> ToolOutput:
        result = await call_tool(self._connection, self._tool, params, ctx.progress, ctx.session)
        remark = self._connection.remarks.pop(id(result), "")
        if remark:
            remark = f"its structured content does not match the schema that the server gave: {visible(remark)[:300]}"
        return tool_output(result, Saved(ctx.scratch, ctx.call_id, ctx.redactor), remark)


class LaterTool:
    """A tool of a server that is not ready, called by its name: the call waits for the server.

    `find` has the tool then, `missing` says why there is none.
    """

    description = ""

    def __init__(
        self,
        connection: "Connection",
        name: str,
        find: Callable[[], McpTool | None],
        missing: Callable[[], str],
    ) -> None:
        self._connection, self.name, self._find, self._missing = connection, name, find, missing
        self.Params: dict[str, Any] = {"type": "object", "properties": {}}
        server, _, tool = name.removeprefix(PREFIX).partition("__")
        self.target = f"{server}/{tool}"

    def effects(self, params: dict[str, Any], ctx: ToolContext) -> Sequence[Effect]:
        return [Effect("mcp", self.target)]

    async def preview(self, params: dict[str, Any], ctx: ToolContext) -> Display | None:
        with contextlib.suppress(ToolError):
            await ready(self._connection)
        tool = self._find()
        return await tool.preview(params, ctx) if tool is not None else Plain(visible(json.dumps(params, indent=2)))

    async def run(self, params: dict[str, Any], ctx: ToolContext) -> ToolOutput:
        await ready(self._connection)
        tool = self._find()
        if tool is None:
            raise ToolError(self._missing())
        return await tool.run(validate(tool.Params, params), ctx)


class AbsentTool:
    """A name that belongs to a server which has no such tool: a call of it does nothing but say why, and needs no permission."""

    description = ""

    def __init__(self, name: str, why: str) -> None:
        self.name, self._why = name, why
        self.Params: dict[str, Any] = {"type": "object", "properties": {}}

    def effects(self, params: dict[str, Any], ctx: ToolContext) -> Sequence[Effect]:
        return []

    async def preview(self, params: dict[str, Any], ctx: ToolContext) -> Display | None:
        return None

    async def run(self, params: dict[str, Any], ctx: ToolContext) -> ToolOutput:
        raise ToolError(self._why)
