"""`kimi mcp auth` and `kimi mcp reset-auth`: signing in to a server, and forgetting that."""

import asyncio
import os
import sys
from contextlib import suppress
from types import TracebackType
from typing import Annotated, Self

import typer

from kimi_agent.cli.mcp_found import known, options_of
from kimi_agent.core.errors import ConfigError
from kimi_agent.mcp.definition import Server

Name = Annotated[str, typer.Argument(metavar="NAME", help="The server, as `kimi mcp list` names it.")]
_LONGEST = 16_384


def auth(
    ctx: typer.Context,
    name: Name,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address only.")] = False,
) -> None:
    """Sign in to a server (OAuth). Sessions that are running use it from their next request on."""
    from kimi_agent.mcp.oauth_flow import authorize
    from kimi_agent.processes.browser import has_screen, open_page

    server = _approved(ctx, name)
    opens = None if no_browser or not has_screen(os.environ) else open_page

    async def sign_in() -> None:
        with _Lines() as lines:
            home = options_of(ctx).home
            await authorize(
                server, home, show=_show, open_browser=opens, pasted=lines.next if sys.stdin.isatty() else None
            )

    asyncio.run(sign_in())
    typer.echo(f"Signed in to {server.name}.")


def reset_auth(ctx: typer.Context, name: Name) -> None:
    """Forget the sign-in to a server: its tokens, and this program's registration there."""
    from kimi_agent.mcp.expand import expand
    from kimi_agent.mcp.oauth import forget

    written = known(options_of(ctx)).one(name)
    bare = Server(name=written.name, scope=written.scope, transport=written.transport, url=written.url)
    server = expand(bare, os.environ)  # its name and address say which file it is
    known_before = forget(server, options_of(ctx).home)
    typer.echo(
        f"The sign-in to {server.name} is forgotten." if known_before else f"Nobody was signed in to {server.name}."
    )


def _approved(ctx: typer.Context, name: str) -> Server:
    """With its variables filled in. Raises ConfigError, also for a server of a project that nobody has approved."""
    from kimi_agent.mcp.expand import expand

    servers = known(options_of(ctx))
    server = servers.startable(name)
    if not servers.approvals.holds(server, servers.folder):
        raise ConfigError(f'MCP server "{name}" is not approved', f"Look at it, then: kimi mcp approve {name}")
    return expand(server, os.environ)


def _show(line: str) -> None:
    """Addresses can be clicked on, however many lines of the terminal they take. `line` holds nothing that a terminal obeys."""
    if sys.stderr.isatty() and os.environ.get("TERM") not in (None, "dumb") and line.startswith("http"):
        line = f"\x1b]8;;{line}\x1b\\{line}\x1b]8;;\x1b\\"
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


class _Lines:
    """What is typed, line by line, without a thread that could not be ended."""

    def __init__(self) -> None:
        self._lines: asyncio.Queue[str] = asyncio.Queue()
        self._stdin = sys.stdin.fileno() if sys.stdin.isatty() else None

    def read(self) -> None:
        """Called when there is something to read. No text is the end, or a terminal that is gone."""
        assert self._stdin is not None
        with suppress(OSError):
            if text := os.read(self._stdin, _LONGEST).decode("utf-8", "replace"):
                self._lines.put_nowait(text)
                return
        self._end()
        self._lines.put_nowait("")

    async def next(self) -> str:
        """Raises EOFError."""
        line = await self._lines.get() if self._stdin is not None else ""
        if not line:
            raise EOFError
        return line

    def __enter__(self) -> Self:
        if self._stdin is not None:
            asyncio.get_running_loop().add_reader(self._stdin, self.read)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        if self._stdin is not None:
            asyncio.get_running_loop().remove_reader(self._stdin)
