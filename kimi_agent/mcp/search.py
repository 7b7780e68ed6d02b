"""One tool in place of many: it finds tools of MCP servers, and calls them, so that their definitions need no room."""

import json
import re
from collections.abc import Callable, Collection, Sequence
from typing import Annotated, Any, Protocol

from msgspec import Meta, Struct

from kimi_agent.core.display import Display, Plain
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ToolError
from kimi_agent.core.schema import params_schema, validate
from kimi_agent.core.servers import ServerState
from kimi_agent.core.tool import Tool, ToolContext, ToolOutput, text_output

NAME = "McpTools"
FOUND, MOST = 5, 20
"""Definitions that one search answers: as many as usual, and at most."""
_LISTED = 40  # names of one server in an overview
_SCHEMA = 8_000  # characters of the parameters of one tool: a huge one leaves room for the others
_WORD = re.compile(r"[a-z0-9]+|[^\x00-\x7f]")


class McpToolsParams(Struct, frozen=True):
    query: Annotated[str, Meta(description="Words to look for, or exact names with commas. Empty: every server.")] = ""
    limit: Annotated[int, Meta(ge=1, le=MOST, description="How many definitions to answer.")] = FOUND
    name: Annotated[str, Meta(description="A tool to call, by the name that a search answered.")] = ""
    arguments: Annotated[dict[str, Any], Meta(description="Its arguments.")] = {}


class Shelf(Protocol):
    """Where tools are found."""

    def find(self, name: str) -> Tool | None: ...
    def all(self) -> Sequence[Tool]: ...
    async def wait_for(self, query: str) -> str:
        """Wait for servers that a search may be about; what is still missing, in words for the model."""
        ...


class McpTools:
    name = NAME
    Params: type[Any] = McpToolsParams

    def __init__(
        self, shelf: Shelf, servers: Callable[[], Sequence[str]], wanted: Callable[[str], bool] = lambda name: True
    ) -> None:
        self._shelf, self._servers, self._wanted = shelf, servers, wanted
        named = ", ".join(servers())
        self.description = (
            f"Find tools of the connected MCP servers ({named}) and call them. With `query`, it answers the names and "
            "parameters of the best matches; call one with `name` and `arguments`, or directly by its name. Look here "
            "before you say that something cannot be done."
        )

    def only(self, wanted: Callable[[str], bool]) -> "McpTools":
        """The same for an agent that may have the tools of these names alone."""
        return McpTools(self._shelf, self._servers, lambda name: self._wanted(name) and wanted(name))

    def inner(self, params: McpToolsParams) -> tuple[str, dict[str, Any]] | None:
        """The call that a call of this stands for: hooks are shown that one."""
        return (params.name, params.arguments) if params.name else None

    def effects(self, params: McpToolsParams, ctx: ToolContext) -> Sequence[Effect]:
        if not params.name:
            return []
        tool = self._tool(params)
        return tool.effects(params.arguments, ctx)

    async def preview(self, params: McpToolsParams, ctx: ToolContext) -> Display | None:
        return await self._tool(params).preview(params.arguments, ctx)

    async def run(self, params: McpToolsParams, ctx: ToolContext) -> ToolOutput:
        if params.name:
            tool = self._tool(params)
            return await tool.run(validate(tool.Params, params.arguments), ctx)
        missing = await self._shelf.wait_for(params.query)
        tools = [tool for tool in self._shelf.all() if self._wanted(tool.name)]
        found = best(params.query, tools)[: params.limit]
        text = "\n\n".join(map(definition, found)) if params.query else overview(tools)
        if not text:
            text = f"Nothing matches {params.query!r}." if tools else "No server has a tool."
        shown = ", ".join(tool.name for tool in found) if params.query else f"{len(tools)} tools"
        return text_output(f"{text}\n\n{missing}".strip(), Plain(shown or text))

    def _tool(self, params: McpToolsParams) -> Tool:
        may = params.name != NAME and self._wanted(params.name)
        tool = self._shelf.find(params.name) if may else None
        if tool is None:
            raise ToolError(f"There is no tool {params.name[:64]!r}. Search with `query` for the names.")
        return tool


def definition(tool: Tool) -> str:
    schema = json.dumps(params_schema(tool.Params), ensure_ascii=False, separators=(",", ":"))
    if len(schema) > _SCHEMA:
        schema = f"{schema[:_SCHEMA]} [... {len(schema) - _SCHEMA:,} more characters are left out by kimi]"
    return f"## {tool.name}\n{tool.description}\nParameters: {schema}"


def overview(tools: Sequence[Tool]) -> str:
    """The names of all tools, by server."""
    servers: dict[str, list[str]] = {}
    for tool in tools:
        servers.setdefault(getattr(tool, "server", ""), []).append(tool.name)
    lines = []
    for server, names in servers.items():
        more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
        lines.append(f"{server}: {', '.join(names[:_LISTED])}{more}")
    return "\n".join(lines)


def words_of(states: Sequence[ServerState]) -> str:
    """Which servers are missing in what a search answers, and what the others say of their tools, for the model."""
    words = []
    for state in states:
        if state.status == "connecting":
            words.append(f"{state.name} is still connecting: search again later.")
        elif state.status != "ready":
            words.append(f"{state.name} is not there ({state.status}{f': {state.detail}' if state.detail else ''}).")
        if state.instructions:
            words.append(f"{state.name} says of its tools: {state.instructions}")
    return "\n".join(words)


def best(query: str, tools: Sequence[Tool]) -> list[Tool]:
    """Tools that a query is about, the best first: names count more than descriptions, rare words more than common ones."""
    exact = [word.strip() for word in query.split(",")]
    if named := [tool for tool in tools if tool.name in exact]:
        return named
    words = dict.fromkeys(_words(query))
    texts = [
        (tool, frozenset(_words(tool.name)), frozenset(_words(f"{tool.description} {' '.join(_parameters(tool))}")))
        for tool in tools
    ]
    weights = {word: 0.2 + 1 / (1 + sum(word in name or word in about for _, name, about in texts)) for word in words}
    scored = []
    for place, (tool, name, about) in enumerate(texts):
        score = sum((3 * _hits(word, name) + _hits(word, about)) * weight for word, weight in weights.items())
        if score:
            scored.append((-score, place, tool))
    return [tool for _, _, tool in sorted(scored, key=lambda item: item[:2])]


def _hits(word: str, words: Collection[str]) -> float:
    if word in words:
        return 1.0
    near = len(word) > 3 and any(other.startswith(word) or word.startswith(other) for other in words if len(other) > 3)
    return 0.5 if near else 0.0


def _words(text: str) -> list[str]:
    return _WORD.findall(re.sub(r"([a-z])([A-Z])", r"\1 \2", text).lower())


def _parameters(tool: Tool) -> list[str]:
    schema = tool.Params
    return list(schema.get("properties", {})) if isinstance(schema, dict) else []
