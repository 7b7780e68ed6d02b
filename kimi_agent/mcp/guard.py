"""What a server answers, repaired before the SDK checks it: one bad tool, or one odd piece of a result, costs only itself.

The SDK rejects a whole page of `tools/list` for one wrong entry, and a whole result for a block that it does not know.
"""

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from kimi_agent.core.record import Record

_SHOWN = 2_000  # characters of a block that nobody knows


class Dropped(Record):
    """A tool that was left out. Both are a stranger's words."""

    name: str
    reason: str


@asynccontextmanager
async def guarded(transport: AbstractAsyncContextManager[Any], dropped: list[Dropped]) -> AsyncIterator[Any]:
    """The same streams, repaired; `dropped` grows by the tools that are left out."""
    methods: dict[Any, str] = {}
    async with transport as (read, write):
        yield _Read(read, methods, dropped), _Write(write, methods)


class _Stream:
    def __init__(self, inner: Any, methods: dict[Any, str]) -> None:
        self._inner, self._methods = inner, methods

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def __aenter__(self) -> Any:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *failure: object) -> Any:
        return await self._inner.__aexit__(*failure)


class _Write(_Stream):
    """Remembers which request has which id."""

    async def send(self, item: Any) -> None:
        message = getattr(item, "message", None)
        method, number = getattr(message, "method", None), getattr(message, "id", None)
        if method in ("tools/list", "tools/call") and number is not None:
            self._methods[number] = method
        await self._inner.send(item)


class _Read(_Stream):
    def __init__(self, inner: Any, methods: dict[Any, str], dropped: list[Dropped]) -> None:
        super().__init__(inner, methods)
        self._dropped = dropped

    async def receive(self) -> Any:
        return self._repaired(await self._inner.receive())

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> Any:
        import anyio

        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    def _repaired(self, item: Any) -> Any:
        message = getattr(item, "message", None)
        number, result = getattr(message, "id", None), getattr(message, "result", None)
        if (method := self._methods.pop(number, None)) is None or not isinstance(result, dict):
            return item
        if method == "tools/list":
            result["tools"] = list(self._good_tools(result.get("tools")))
        elif result.get("resultType", "complete") == "complete":
            result["content"] = [_block(block) for block in _list(result.get("content"))]
        return item

    def _good_tools(self, tools: Any) -> Any:
        for tool in _list(tools):
            if reason := _fault(tool):
                name = tool.get("name") if isinstance(tool, dict) else tool
                self._dropped.append(Dropped(str(name)[:200], reason))
            else:
                yield tool


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _fault(tool: Any) -> str:
    """Why a definition cannot be used; empty for a good one. Unknown fields, and odd annotations, are no fault."""
    from mcp import types
    from pydantic import ValidationError

    if not isinstance(tool, dict) or not isinstance(tool.get("name"), str) or not tool["name"]:
        return "it has no name"
    schema = tool.get("inputSchema")
    if not isinstance(schema, dict) or schema.get("type") != "object":
        return "its inputSchema is not of the type object"
    try:
        types.Tool.model_validate(tool, by_name=False)
    except ValidationError as error:
        where = {str(detail["loc"][0]) for detail in error.errors() if detail["loc"]}
        if not where <= {"annotations", "icons", "title", "outputSchema", "execution", "_meta"}:
            return f"its {' and '.join(sorted(where)) or 'definition'} cannot be read"
        for key in where:  # what only adorns it
            del tool[key]
    return ""


def _block(block: Any) -> Any:
    """A content block that the SDK knows; any other one as text."""
    from mcp import types
    from pydantic import TypeAdapter, ValidationError

    try:
        TypeAdapter(types.ContentBlock).validate_python(block, by_name=False)
    except ValidationError:
        kind = block.get("type") if isinstance(block, dict) else type(block).__name__
        text = json.dumps(block, ensure_ascii=False, default=str)[:_SHOWN]
        return {"type": "text", "text": f"[content of a type that is not known, {str(kind)[:60]!r}: {text}]"}
    return block
