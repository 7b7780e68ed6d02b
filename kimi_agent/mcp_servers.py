"""The part of the composition root that makes the hosts of MCP servers: one for each folder that sessions work in."""

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from kimi_agent.agent.agent_types import allows
from kimi_agent.boxed import make_box
from kimi_agent.config import Config
from kimi_agent.core.child import StartChild
from kimi_agent.core.project import project_root
from kimi_agent.core.sanitize import visible
from kimi_agent.core.servers import MakeServers, Servers, ServerState
from kimi_agent.parts import Parts
from kimi_agent.processes.browser import has_screen, open_page

if TYPE_CHECKING:
    from kimi_agent.agent.agent import Agent
    from kimi_agent.mcp.approvals import Approvals
    from kimi_agent.mcp.definition import Server
    from kimi_agent.mcp.files import Flags, Found
    from kimi_agent.mcp.link import Link
    from kimi_agent.workspaces.sandbox.box import Box


def servers_of(
    agent: "Agent",
    config: Config,
    parts: Parts,
    box: "Box",
    flags: "Flags | None",
    caution: Callable[[Path], Callable[[], bool]],
    *,
    has_person: bool,
) -> MakeServers:
    """What makes the host for a folder; None where no server is written down.

    Without a person, files of a project in which nothing was ever approved are not even read, and what servers ask is declined.
    """

    home, roots = agent.home, agent.extra_roots

    def wanted(name: str) -> bool:
        return agent.offers(name) and allows(agent.main_agent, name)

    def make(folder: Path, more: "Sequence[Server]" = ()) -> Servers | None:
        if not (more or flags or parts.mcp_servers or any(map(os.path.lexists, _places(home, folder)))):
            return None
        from kimi_agent.mcp.approvals import Approvals
        from kimi_agent.mcp.eliciting import Eliciting
        from kimi_agent.mcp.files import Flags, Found, find_servers
        from kimi_agent.mcp.host import McpHost
        from kimi_agent.mcp.sampling import Sampling

        given = flags or Flags()
        approvals = Approvals(home, given.trusted)

        def find() -> "Found":
            """Those given; else of files: those of a folder that nobody trusts only if something of them was approved before."""
            if more:
                return Found(tuple(more))
            project = (has_person and not agent.trust(folder).left_out) or approvals.known(folder)
            found = find_servers(home, folder, given, parts.mcp_servers, project=project)
            unread = [] if project or has_person else [path for path in _of_project(folder) if os.path.lexists(path)]
            return replace(found, unread=tuple(map(visible, unread)))

        link = _link(config, home, box, folder, roots, caution)
        host = McpHost(folder, home, find, approvals, link, wanted, config.mcp.tools_share)
        elicit = Eliciting(lambda session: host.person(session)[0] if has_person else None, link.open_page)
        link.elicit, link.finished = elicit, elicit.finished
        if has_person:
            link.sample = Sampling(
                lambda session: host.person(session)[0],
                lambda session: host.person(session)[1],
                config.mcp.sampling_tokens,
            )
        return host

    return make


def _places(home: Path, folder: Path) -> list[str]:
    """Files that may define servers: what is here is looked for before anything is loaded that reads them."""
    return [str(home / "mcp.json"), str(home / "mcp-local.json"), *_of_project(folder)]


def _of_project(folder: Path) -> list[str]:
    names = (".mcp.json", ".kimi/mcp.json", ".kimi-code/mcp.json")
    roots = dict.fromkeys((folder, project_root(folder)))
    return [str(root / name) for root in roots for name in names]


def _link(
    config: Config,
    home: Path,
    box: "Box",
    folder: Path,
    roots: Sequence[Path],
    caution: Callable[[Path], Callable[[], bool]],
) -> "Link":
    from kimi_agent.mcp.link import Link

    user = os.path.expanduser("~")  # noqa: PTH111 - there may be no home
    return Link(
        start_child=_starter(config, box, folder, roots, caution),
        home=home,
        folder=folder,
        cache=Path(os.environ.get("XDG_CACHE_HOME") or Path(user, ".cache"), "kimi", "mcp"),
        roots=lambda: (folder, *roots),
        open_page=open_page if has_screen(os.environ) else None,
        startup_timeout=config.mcp.startup_timeout_ms / 1000,
        tool_timeout=config.mcp.tool_timeout,
    )


def _starter(
    config: Config,
    box: "Box",
    folder: Path,
    extra_roots: Sequence[Path],
    caution: Callable[[Path], Callable[[], bool]],
) -> StartChild:
    def start(*arguments: object) -> object:
        from kimi_agent.workspaces.piped_child import start_child
        from kimi_agent.workspaces.spawn import room_of

        room = room_of(box, folder, extra_roots, None, caution(folder))
        return functools.partial(start_child, room=room, passed=config.box.env)(*arguments)  # type: ignore[arg-type]

    return start  # type: ignore[return-value]


async def try_server(config: Config, home: Path, folder: Path, server: "Server", approvals: "Approvals") -> ServerState:
    """Connect to one server as a session in `folder` would, and end that again."""
    from kimi_agent.mcp.files import Found
    from kimi_agent.mcp.host import McpHost

    box = make_box(config, home)
    link = _link(config, home, box, folder, (), lambda folder: lambda: False)
    host = McpHost(folder, home, lambda: Found((server,)), approvals, link)
    try:
        host.start()
        await host.settled(whole=True)
        return host.states()[0]
    finally:
        await host.aclose()
        await box.aclose()
