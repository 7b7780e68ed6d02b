"""`kimi web`: the shell in a browser on this machine."""

import contextlib
import errno
import html
import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from kimi_agent.cli.session_flags import session_options
from kimi_agent.core.errors import ConfigError

_ONCE = ("session", "last", "start")
"""Flags that count for the first page only: two programs must not write one session, nor send one prompt twice."""


def register(app: typer.Typer) -> None:
    settings = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command("web", context_settings=settings, options_metavar="[OPTIONS] [OPTIONS OF A SESSION]")(web)


def web(
    ctx: typer.Context,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, metavar="N", help="0: one that is free.")] = 0,
    host: Annotated[Literal["127.0.0.1", "::1"], typer.Option("--host", help="Which loopback address.")] = "127.0.0.1",
    grace: Annotated[
        float, typer.Option("--grace", min=0, metavar="SECONDS", help="How long a session waits for its closed page.")
    ] = 120,
    max_sessions: Annotated[
        int, typer.Option("--max-sessions", min=1, metavar="N", help="Open at the same time.")
    ] = 16,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True,
) -> None:
    """Serve the shell to a browser on this machine. Takes the options of a session too: -C, -r ID, -m NAME, --yolo ..."""
    import asyncio

    first, later = _command_lines(ctx)
    try:
        from kimi_agent.frontends.web import places, serving
    except ModuleNotFoundError as error:
        if error.name not in ("aiohttp", "textual_serve"):
            raise
        raise ConfigError("kimi web needs packages that are not here", "pip install 'kimi-agent[web]'") from None

    def command(is_first: bool, session_id: str) -> Sequence[str]:
        flags = [*later, f"--resume={session_id}"] if session_id else first if is_first else later
        return [sys.executable, "-P", "-m", "kimi_agent", *flags]

    with listening(host, port) as listener, contextlib.ExitStack() as until_end:

        def announce(url: str) -> None:
            sys.stdout.write(f"kimi is at {url}\nCtrl-C ends it, and every session that is open there.\n")
            sys.stdout.flush()
            if open_browser and _has_screen(os.environ):
                until_end.enter_context(_opened(url))

        title = f"kimi · {Path().resolve().name}"
        rooms = places.Places(command, grace_s=grace, max_programs=max_sessions)
        code = asyncio.run(serving.serve(listener, rooms, title, announce))
    raise typer.Exit(code)


# --- flags ------------------------------------------------------------------------------------------------------------


def _command_lines(ctx: typer.Context) -> tuple[list[str], list[str]]:
    """The flags of the first program, and those of every later one. Raises ConfigError for what has no screen."""
    from kimi_agent.cli.app import command

    flags, options = session_options(ctx, command())
    if options.headless:
        raise ConfigError("kimi web is for sessions with a screen", "Leave out -p, --print and the formats.")
    options.load()
    options.cwd()
    first = [word for words in flags.values() for word in words]
    later = [word for name, words in flags.items() if name not in _ONCE for word in words]
    return first, later


# --- the server and the browser ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket on this loopback address. Raises ConfigError when the port cannot be had."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen()
        except OSError as error:
            reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be had: {error.strerror}"
            raise ConfigError(f"port {port} of {host} {reason}", "Without --port, a free one is taken.") from None
        yield listener


def _has_screen(env: Mapping[str, str]) -> bool:
    """Whether a browser has a screen to appear on; a text browser would take the terminal."""
    return sys.platform == "darwin" or bool(env.get("DISPLAY") or env.get("WAYLAND_DISPLAY"))


@contextlib.contextmanager
def _opened(url: str) -> Iterator[None]:
    """The browser, sent to `url` by a file that only we can read: command lines are for all to see, and it holds the token."""
    import tempfile
    import threading
    import webbrowser

    with tempfile.NamedTemporaryFile("w", suffix=".html", prefix="kimi-web-", encoding="utf-8") as file:
        file.write(f'<meta http-equiv="refresh" content="0;url={html.escape(url)}">')
        file.flush()
        address = Path(file.name).as_uri()
        threading.Thread(target=lambda: webbrowser.open(address), name="browser", daemon=True).start()
        yield
