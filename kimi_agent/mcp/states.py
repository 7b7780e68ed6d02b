"""What a person is shown of one server."""

from collections.abc import Sequence

from kimi_agent.core.sanitize import plain, visible
from kimi_agent.core.servers import Held, ServerState, Status
from kimi_agent.mcp.connection import Connection
from kimi_agent.mcp.definition import Server
from kimi_agent.mcp.show import description, headline
from kimi_agent.mcp.tool import McpTool

_TOLD = 300  # characters of a line


def state_of(
    server: Server,
    connection: Connection | None,
    tools: Sequence[McpTool],
    held: tuple[Held, ...],
    instructions: str,
    *,
    enabled: bool,
    approved: bool,
    changed: Sequence[str],
) -> ServerState:
    """`changed` are lines of what differs from the definition that was approved."""
    status: Status = "connecting"
    detail = hint = ""
    if not enabled:
        status, hint = "disabled", f"kimi mcp enable {server.name}"
    elif not approved:
        status, hint = "needs-approval", f"Look at it with `kimi mcp approve {server.name}`, or in /mcp."
        detail = "its definition has changed" if changed else "it comes from this project, and nobody has approved it"
    elif connection is not None:
        status = connection.status
        if connection.problem is not None:
            detail, hint = connection.problem.text, connection.problem.hint
    live = connection if status == "ready" or connection is not None else None
    client = live.client if live is not None else None
    info = client.server_info if client is not None else None
    return ServerState(
        name=visible(server.name),
        status=status,
        scope=server.scope,
        transport=server.transport,
        where=headline(server),
        source=server.source,
        detail=detail,
        hint=hint,
        stderr=tuple(live.process.errors.lines()) if live is not None else (),
        tools=tuple((tool.name, _line(tool.description)) for tool in tools),
        dropped=tuple((_line(d.name), _line(d.reason)) for d in live.dropped) if live is not None else (),
        held=held,
        prompts=len(live.prompts) if live is not None else 0,
        resources=len(live.resources) + len(live.templates) if live is not None else 0,
        instructions=instructions,
        protocol=client.protocol_version if client is not None else "",
        version=_line(f"{info.name} {info.version}") if info is not None else "",
        box=live.process.box if live is not None else "",
        digest=server.digest,
        definition="\n".join([*description(server), *(["", "what is different now:", *changed] if changed else [])]),
    )


def _line(text: str) -> str:
    return visible(" ".join(plain(text).split()))[:_TOLD]
