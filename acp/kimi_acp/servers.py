"""MCP servers that the client brings: they belong to one session."""

from collections.abc import Mapping, Sequence
from typing import Any

from kimi_agent.mcp.definition import Server
from kimi_agent.mcp.entry import EntryError, parse_entry


def read_servers(given: Sequence[Any]) -> tuple[tuple[Server, ...], list[str]]:
    """The servers, and in words why others are left out: a bad one costs the session nothing but itself."""
    found, problems = dict[str, Server](), list[str]()
    for number, entry in enumerate(given):
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str):
            problems.append(f"MCP server {number + 1} of the editor is left out: it has no name")
            continue
        try:
            server, _ = parse_entry(_fitting(name), _entry(entry), scope="client", source="the editor")
            found.setdefault(server.name, server)
        except (EntryError, TypeError, ValueError) as error:
            problems.append(f'MCP server "{name[:60]}" of the editor is left out: {error}')
    return tuple(found.values()), problems


def _fitting(name: str) -> str:
    """A name as we have them: editors call theirs as they like."""
    cleaned = " ".join(name.split())[:64]
    return f"{cleaned} (editor)"[:64] if cleaned.casefold() == "kimi" else cleaned


def _entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    """As the files of kimi have them: pairs of name and value are an object there."""
    kind = entry.get("type") or ("http" if "url" in entry else "stdio")
    if kind == "stdio":
        return {
            "type": "stdio",
            "command": entry.get("command"),
            "args": entry.get("args") or [],
            "env": _pairs(entry, "env"),
        }
    return {"type": kind, "url": entry.get("url"), "headers": _pairs(entry, "headers")}


def _pairs(entry: Mapping[str, Any], key: str) -> dict[str, str]:
    pairs = entry.get(key) or []
    if isinstance(pairs, Mapping):
        return dict(pairs)
    if not isinstance(pairs, list):
        raise ValueError(f'"{key}" must be a list of names and values')
    return {
        str(pair["name"]): str(pair["value"])
        for pair in pairs
        if isinstance(pair, dict) and {"name", "value"} <= pair.keys()
    }
