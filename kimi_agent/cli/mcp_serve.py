"""`kimi mcp serve`: kimi as an MCP server."""

import os
import secrets
import sys
from typing import Annotated, Any

import typer

from kimi_agent.cli.options import Options
from kimi_agent.cli.session_flags import session_options
from kimi_agent.core.errors import ConfigError

TOKEN, SHORTEST = "KIMI_MCP_TOKEN", 16


def serve(
    ctx: typer.Context,
    http: Annotated[
        int | None,
        typer.Option("--http", min=0, max=65535, metavar="PORT", help="Serve HTTP on 127.0.0.1; 0: a free port."),
    ] = None,
) -> None:
    """Be an MCP server on standard input and output. Takes the options of a session too: -w DIR, --yolo, --allow RULE ..."""
    from kimi_agent.cli.app import command

    stdin, stdout = _apart() if http is None else (0, 1)
    _, options = session_options(ctx, command())
    _check(options)
    raise typer.Exit(_serve(options, http, stdin, stdout))


def _apart() -> tuple[int, int]:
    """Standard input and output as descriptors of our own; what else writes to 1 reaches standard error, 0 has nothing to read.

    Commands, and modules of plugins, would else read and write between the lines of the protocol.
    """
    stdin, stdout = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return stdin, stdout


def _check(options: Options) -> None:
    """Raises ConfigError for options that are of one conversation."""
    of_one = {
        "-p, --print, --quiet and the formats": options.headless,
        "--resume and --continue": options.last or options.session is not None,
        "a prompt": options.start is not None,
        "--line, --screen-reader and --ui": options.line or options.screen_reader or bool(options.ui),
    }
    for name, given in of_one.items():
        if given:
            raise ConfigError(f"kimi mcp serve has no use for {name}", "Clients bring their tasks, and name sessions.")


def _serve(options: Options, http: int | None, stdin: int, stdout: int) -> int:
    from kimi_agent.cli.start import start_serving
    from kimi_agent.cli.web import listening
    from kimi_agent.frontends.mcp_server.frontend import McpServerFrontend, address
    from kimi_agent.frontends.stdio import Output

    def frontend(**arguments: Any) -> McpServerFrontend:
        roots = (options.cwd(), *options.extra_roots())
        return McpServerFrontend(roots, **arguments)

    if http is None:
        with os.fdopen(stdout, "wb", closefd=False) as out:
            return start_serving(options, lambda **given: frontend(stdin=stdin, stdout=Output(out), **given))
    token = _token()
    with listening("127.0.0.1", http) as listener:
        sys.stderr.write(f"kimi: the MCP server is at {address(listener)}\n")
        if TOKEN not in os.environ:
            sys.stderr.write(f"kimi: clients need the header  Authorization: Bearer {token}\n")
        sys.stderr.flush()
        os.environ.pop(TOKEN, None)  # commands of the agent inherit the environment
        return start_serving(options, lambda **given: frontend(listener=listener, token=token, **given), secret=token)


def _token() -> str:
    """Raises ConfigError for one that could be guessed, or that no header can have."""
    given = os.environ.get(TOKEN)
    if given is None:
        return secrets.token_urlsafe(32)
    if len(given) < SHORTEST or not given.isascii() or not given.isprintable() or " " in given:
        hint = "Leave it out, and one is made; or: openssl rand -hex 32"
        raise ConfigError(f"{TOKEN} must be at least {SHORTEST} printable ASCII characters without blanks", hint)
    return given
