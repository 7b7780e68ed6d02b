"""A host of MCP servers for tests: real processes in the real box, real files; nobody's keys."""

import asyncio
import contextlib
import functools
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kimi_agent.config import Config
from kimi_agent.core.access import Rung
from kimi_agent.core.tool import ToolContext, ToolOutput
from kimi_agent.mcp.approvals import Approvals
from kimi_agent.mcp.files import Flags, find_servers
from kimi_agent.mcp.host import McpHost
from kimi_agent.mcp.link import Link
from kimi_agent.workspaces.piped_child import start_child
from kimi_agent.workspaces.spawn import room_of


@contextlib.asynccontextmanager
async def hosting(
    tmp_path: Path,
    servers: Mapping[str, Sequence[str] | Mapping[str, Any]],
    *,
    boxed: bool | Rung = False,
    wait: bool = True,
    flags: Flags | None = None,
    **options: Any,
) -> AsyncIterator[McpHost]:
    """A started host. Of a server the command is enough. `boxed`: in the best box of this machine, or this one; `options` are the
    link's."""
    from kimi_agent.boxed import make_box

    home, folder = tmp_path / "kimi-home", tmp_path / "work"
    folder.mkdir(exist_ok=True)
    home.mkdir(exist_ok=True, mode=0o700)
    write_servers(home / "mcp.json", servers)
    box = make_box(Config(), home, rungs=[boxed] if isinstance(boxed, str) else ()) if boxed else None
    link = Link(
        start_child=functools.partial(start_child, room=room_of(box, folder)),
        home=home,
        folder=folder,
        cache=tmp_path / "cache",
        roots=lambda: [folder],
        env={**os.environ, **options.pop("env", {})},
        **options,
    )
    given = flags or Flags()
    find = functools.partial(find_servers, home, folder, given)
    host = McpHost(folder, home, find, Approvals(home, given.trusted), link)
    host.start()
    try:
        if wait:
            await host.settled()
        yield host
    finally:
        await host.aclose()
        if box is not None:
            await box.aclose()


def write_servers(path: Path, servers: Mapping[str, Sequence[str] | Mapping[str, Any]]) -> None:
    entries = {
        name: s if isinstance(s, Mapping) else {"command": s[0], "args": list(s[1:])} for name, s in servers.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"mcpServers": entries}))


async def call(host: McpHost, name: str, ctx: ToolContext, /, **arguments: Any) -> ToolOutput:
    """Call a tool by the name that models have for it. Raises ToolError as it does."""
    tool = host.find(name)
    assert tool is not None, f"no {name}: {list(host.names())}"
    return await tool.run(arguments, ctx)


def state(host: McpHost, name: str) -> Any:
    return next(state for state in host.states() if state.name == name)


async def until(condition: Any, seconds: float = 30.0) -> None:
    """Wait until `condition()` holds; the caller's next assertion says what did not."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.02)
