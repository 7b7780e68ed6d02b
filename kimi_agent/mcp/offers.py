"""What servers offer besides tools: prompts, resources, completions."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kimi_agent.core.errors import ToolError
from kimi_agent.core.message import Image, Text
from kimi_agent.core.redact import Redactor
from kimi_agent.core.sanitize import plain, visible
from kimi_agent.core.servers import Prompt, Resource
from kimi_agent.mcp.connection import Connection
from kimi_agent.mcp.failures import call_words
from kimi_agent.mcp.results import Saved, resource_parts
from kimi_agent.mcp.tool import told

COMPLETE_S = 1.0
"""Seconds that a completion may take; the person is typing."""
LONGEST = 100_000
"""Characters of a prompt or a resource."""


async def prompt_text(connection: Connection, name: str, arguments: Mapping[str, str]) -> str:
    """Its messages as one text, whose parts say who would have said them. Raises ToolError."""
    result: Any = await _asked(connection, lambda client: client.get_prompt(name, dict(arguments)))
    parts = []
    for message in result.messages:
        content = message.content
        if content.type == "text":
            text = content.text
        elif content.type == "resource" and hasattr(content.resource, "text"):
            text = f"[resource {content.resource.uri}]\n{content.resource.text}"
        else:
            text = f"[content of the type {content.type}]"
        parts.append(text if message.role == "user" else f"[assistant] {text}")
    return told("\n\n".join(parts), LONGEST)


async def resource_content(connection: Connection, uri: str) -> tuple[Text | Image, ...]:
    """Raises ToolError."""
    result: Any = await _asked(connection, lambda client: client.read_resource(uri))
    saved = Saved(Path(), "", Redactor())
    parts = [part for part in resource_parts(result.contents, saved) if isinstance(part, Text | Image)]
    return tuple(Text(plain(p.text)[:LONGEST]) if isinstance(p, Text) else p for p in parts)


async def completions(
    connection: Connection, of: Prompt | Resource, argument: str, value: str, known: Mapping[str, str]
) -> Sequence[str]:
    """What the server proposes; nothing when it cannot, or takes too long."""
    from mcp import types

    client = connection.client
    if client is None or not client.server_capabilities.completions:
        return []
    ref: Any = (
        types.PromptReference(type="ref/prompt", name=of.name)
        if isinstance(of, Prompt)
        else types.ResourceTemplateReference(type="ref/resource", uri=of.uri)
    )
    with contextlib.suppress(Exception):
        async with asyncio.timeout(COMPLETE_S):
            found = await client.complete(ref, {"name": argument, "value": value}, dict(known) or None)
            return [visible(text) for text in found.completion.values[:100] if text == plain(text)]
    return []


async def _asked(connection: Connection, request: Any) -> Any:
    client = connection.client
    if client is None:
        raise ToolError(f"The MCP server {connection.server.name} is not there.")
    try:
        async with asyncio.timeout(connection.server.tool_timeout or connection.link.tool_timeout):
            return await request(client)
    except TimeoutError:
        raise ToolError(f"The MCP server {connection.server.name} did not answer in time.") from None
    except Exception as error:
        raise ToolError(f"{connection.server.name}: {call_words(error)}") from error
