"""Everything that a server lists, page by page, within bounds."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from kimi_agent.mcp.guard import Dropped

if TYPE_CHECKING:
    from mcp import Client, types

PAGES, ITEMS = 100, 5_000
"""At most so many are asked for; a server may page for ever."""


async def list_tools(client: "Client", dropped: list[Dropped]) -> "list[types.Tool]":
    """Those that can be called; `dropped` grows by the others. Raises MCPError."""
    if not client.server_capabilities.tools:
        return []
    found: dict[str, types.Tool] = {}
    for tool in await _pages(client.list_tools, "tools"):
        support = getattr(tool.execution, "task_support", None) if tool.execution else None
        if tool.name in found:
            dropped.append(Dropped(tool.name, "there are two of that name: the first one holds"))
        elif support == "required":
            dropped.append(Dropped(tool.name, "it runs only as a task, which kimi does not have"))
        else:
            found[tool.name] = tool
    return list(found.values())


async def list_prompts(client: "Client") -> "list[types.Prompt]":
    return await _pages(client.list_prompts, "prompts") if client.server_capabilities.prompts else []


async def list_resources(client: "Client") -> "list[types.Resource]":
    return await _pages(client.list_resources, "resources") if client.server_capabilities.resources else []


async def list_templates(client: "Client") -> "list[types.ResourceTemplate]":
    look = client.list_resource_templates
    return await _pages(look, "resource_templates") if client.server_capabilities.resources else []


async def _pages(look: Callable[..., Awaitable[Any]], name: str) -> list[Any]:
    found: list[Any] = []
    cursor: str | None = None
    seen: set[str] = set()
    for _ in range(PAGES):
        page = await look(cursor=cursor)
        found += getattr(page, name)
        cursor = page.next_cursor
        if not cursor or cursor in seen or len(found) >= ITEMS:
            break
        seen.add(cursor)
    return found[:ITEMS]
