"""What a connection needs of the rest of the program: given once, by the host of all servers."""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from msgspec import Struct

from kimi_agent.core.access import Access
from kimi_agent.core.child import StartChild
from kimi_agent.mcp.definition import Server

Sample: TypeAlias = Callable[[Server, Any, str], Awaitable[Any]]
Elicit: TypeAlias = Callable[[Server, Any, str], Awaitable[Any]]


class Link(Struct):
    """`folder` is where servers run, `home` is `$KIMI_HOME`, `cache` the folder below which each has one of its own to write.

    `roots` are the folders of the session. `elicit` and `sample` answer what a server asks (types of the SDK), given the
    id of the session whose call is under way (empty: none is); None: servers are told that there is nobody. `finished` asks
    whether a person has done what they went to a page for. `open_page` shows an address in the person's browser, where there is
    one. Times are in seconds.
    """

    start_child: StartChild
    home: Path
    folder: Path
    cache: Path
    roots: Callable[[], Sequence[Path]]
    env: Mapping[str, str] = os.environ
    elicit: Elicit | None = None
    finished: Callable[[Server, str], Awaitable[bool]] | None = None
    sample: Sample | None = None
    open_page: Callable[[str], object] | None = None
    startup_timeout: float = 30.0
    tool_timeout: float = 60.0


CACHES = {
    "npm_config_cache": "npm", "UV_CACHE_DIR": "uv", "UV_TOOL_DIR": "uv-tools", "PIP_CACHE_DIR": "pip", "DENO_DIR": "deno",
    "BUN_INSTALL_CACHE_DIR": "bun", "XDG_CACHE_HOME": "cache", "XDG_STATE_HOME": "state",
}  # fmt: skip
"""What runners of servers (npx, uvx) and servers write to, in the box: folders of their own, kept from run to run."""


async def start_server(link: Link, server: Server) -> Any:
    """The process of an expanded stdio `server`. Raises OSError, ValueError, BoxError."""
    env = {name: link.env[name] for name in server.pass_env if name in link.env}
    access = Access(outside=True)
    if server.box:
        own = link.cache / _folder(server.name)
        own.mkdir(parents=True, exist_ok=True, mode=0o700)
        env |= {name: str(own / folder) for name, folder in CACHES.items()}
        access = Access(write=(str(own),), net=True)
    cwd = Path(os.path.join(link.folder, os.path.expanduser(server.cwd))) if server.cwd else link.folder  # noqa: PTH111, PTH118
    return await link.start_child([server.command, *server.args], cwd, {**env, **server.env}, access)


def _folder(name: str) -> str:
    import hashlib

    clean = "".join(char if char.isalnum() or char in "-_" else "-" for char in name)[:40]
    return f"{clean}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
