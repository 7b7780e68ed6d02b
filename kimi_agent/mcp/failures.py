"""Why a server is not there, or did not answer: in words that say what happened and what to do."""

import errno
from collections.abc import Iterator
from typing import Any

from kimi_agent.core.access import BoxError
from kimi_agent.core.errors import KimiError
from kimi_agent.core.record import Record
from kimi_agent.core.sanitize import plain, visible
from kimi_agent.mcp.definition import Server
from kimi_agent.mcp.http import Heard
from kimi_agent.mcp.stdio import Process

CLOSED, TIMED_OUT = -32000, -32001
_TRY = "Try it: kimi mcp test {}"
_TOLD = 400  # characters of a server's own words


class Problem(Record):
    """`auth`: signing in would help. `passing`: it may be gone in a moment, and nothing was done."""

    text: str
    hint: str = ""
    auth: bool = False
    passing: bool = False


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors in nested groups, which is how the SDK's task groups raise them."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


def codes(error: BaseException) -> list[int]:
    """Those of JSON-RPC."""
    from mcp import MCPError

    return [leaf.code for leaf in leaves(error) if isinstance(leaf, MCPError)]


def start_problem(server: Server, error: BaseException, process: Process, heard: Heard, seconds: float) -> Problem:
    """Why a server could not be connected to within `seconds`."""
    found = list(leaves(error))
    first = found[0]
    if heard.needs_auth:
        scope = f" (it wants the scope {_said(heard.scope)})" if heard.scope else ""
        return Problem(f"it wants you to sign in{scope}", f"Run: kimi mcp auth {server.name}", auth=True)
    try_it = _TRY.format(server.name)
    if heard.status:
        passing = heard.status == 429 or heard.status >= 500
        return Problem(f"{server.url} answered {_said(heard.cause)}", try_it, passing=passing)
    if isinstance(first, TimeoutError):
        return Problem(f"it did not answer within {seconds:g} s", "`startupTimeoutMs` in its entry gives it more time.")
    if server.transport == "stdio" and (ended := _ended(server, process)):
        return ended
    match first:
        case BoxError():
            return Problem(f"its box could not be made: {first}", '"box": false in its entry starts it without one.')
        case KimiError():
            return Problem(str(first), first.hint)
        case OSError() if server.transport == "stdio":
            return _not_started(server, first)
    if network := _network(server, first):
        return Problem(network, "Is the address right, and does it run?", passing=True)
    return Problem(_words(first), try_it)


def _ended(server: Server, process: Process) -> Problem | None:
    try_it = _TRY.format(server.name)
    if process.box.startswith("box"):
        try_it += '. If it needs what its box denies: "box": false in its entry starts it outside.'
    if process.failure is not None:
        return _not_started(server, process.failure)
    if process.exit_code is not None:
        return Problem(f"{visible(server.command)} ended with code {process.exit_code} before it answered", try_it)
    if process.closed.is_set():
        return Problem(f"{visible(server.command)} closed its output before it answered", try_it)
    return None


def _not_started(server: Server, error: OSError) -> Problem:
    if error.errno == errno.ENOENT:
        return Problem(
            f"there is no program {visible(server.command)!r}, or its folder is missing",
            "Install it, or correct the entry.",
        )
    return Problem(f"{visible(server.command)!r} cannot be started: {error.strerror or error}")


def _network(server: Server, error: BaseException) -> str:
    """Where the network did not lead to the server; empty for other errors."""
    import httpx2

    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return f"nothing answers at {visible(server.url)}: {_said(str(error)) or type(error).__name__}"
    if isinstance(error, httpx2.TransportError):
        return f"the connection to {visible(server.url)} broke: {_said(str(error)) or type(error).__name__}"
    return ""


def was_not_sent(error: BaseException) -> bool:
    """Whether a request cannot have reached the server."""
    import httpx2

    return any(isinstance(leaf, httpx2.ConnectError | httpx2.ConnectTimeout) for leaf in leaves(error))


def _words(error: BaseException) -> str:
    from mcp import MCPError
    from pydantic import ValidationError

    if isinstance(error, MCPError):
        return f"it refused: {_said(error.message)} ({error.code})"
    if isinstance(error, ValidationError):
        detail: Any = error.errors()[0]
        return f"what it answered is not MCP: {'.'.join(map(str, detail['loc']))}: {_said(str(detail['msg']))}"
    return _said(str(error)) or type(error).__name__


def call_words(error: BaseException) -> str:
    """What went wrong in one request."""
    return "; ".join(dict.fromkeys(_words(leaf) for leaf in leaves(error)))


def _said(text: str) -> str:
    return visible(" ".join(plain(text).split()))[:_TOLD]
