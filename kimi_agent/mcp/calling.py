"""One call of a tool: waited for while it moves, cancelled when it does not, repeated only where that is safe."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kimi_agent.core.errors import ToolError
from kimi_agent.core.sanitize import plain
from kimi_agent.mcp.described import Described, described
from kimi_agent.mcp.failures import call_words, codes, was_not_sent
from kimi_agent.mcp.visiting import pages, visit

if TYPE_CHECKING:
    from mcp import types

    from kimi_agent.mcp.connection import Connection

_NO_SESSION = -32600
_NEWS_STEPS = 3  # of the loop, until what the system knows of the end of a process is known here
_LAST_NEWS_S = 2.0  # for the owner of a broken connection to say what broke it
UNKNOWN = "Whether the call had its effect is not known: look before you call it again."


async def call_tool(
    connection: "Connection",
    tool: Described,
    arguments: dict[str, Any],
    progress: Callable[[str], None],
    session: str = "",
) -> "types.CallToolResult":
    """The result of `tool`, as long as the server has it as described there. `session` is the id of who calls.

    Raises ToolError, in words for the model, whatever goes wrong; CancelledError after the server was told.

    A call is made a second time only where the first one cannot have reached the server, or where the server knew its session
    no more, or refused it until a page was visited. What the server says of itself (`idempotentHint`) is no reason.
    """
    try:
        return await _call(connection, tool, arguments, progress, session)
    except ToolError as error:
        if not (wanted := pages(error.__cause__)):
            raise
        connection.callers.append(session)
        try:
            await visit(connection, wanted, session)
        finally:
            connection.callers.remove(session)
    return await _call(connection, tool, arguments, progress, session)


async def _call(
    connection: "Connection",
    tool: Described,
    arguments: dict[str, Any],
    progress: Callable[[str], None],
    session: str,
) -> "types.CallToolResult":
    for last in (False, True):
        await ready(connection)
        _check(connection, tool)
        generation = connection.generation
        try:
            return await _watched(connection, tool.name, arguments, progress, session)
        except ToolError:
            raise
        except Exception as error:
            gone = await _gone(connection, error)
            if gone is None:
                raise ToolError(f"{connection.server.name}: {connection.refused() or call_words(error)}") from error
            if last or not gone:
                raise ToolError(_lost_words(connection, error, safe=gone)) from error
            await connection.restart(after=generation)
    raise AssertionError


async def ready(connection: "Connection") -> None:
    """Wait for a server that is connecting; bring one back that has gone. Raises ToolError."""
    await connection.settled()
    for _ in range(_NEWS_STEPS):
        await asyncio.sleep(0)
    if not connection.alive and connection.may_be_back:
        await connection.restart(after=connection.generation)
    if not connection.alive:
        problem = connection.problem
        why = f": {problem.text}. {problem.hint}".rstrip(". ") if problem else ""
        raise ToolError(f"The MCP server {connection.server.name} is not there{why}.")


def _check(connection: "Connection", tool: Described) -> None:
    """What was agreed to is what is called: a server may have changed it meanwhile. Raises ToolError."""
    now = next((each for each in connection.tools if each.name == tool.name), None)
    if now is None or described(now).text != tool.text:
        how = "has no such tool any more" if now is None else "has changed this tool meanwhile"
        raise ToolError(f"The MCP server {connection.server.name} {how}. Nothing was called.")


async def _watched(
    connection: "Connection", name: str, arguments: dict[str, Any], show: Callable[[str], None], session: str
) -> "types.CallToolResult":
    """Call, and give up when nothing has come for the server's `tool_timeout`: progress counts, questions to people too."""
    client = connection.client
    assert client is not None
    moved = time.monotonic()

    async def moving(progress: float, total: float | None, message: str | None) -> None:
        nonlocal moved
        moved = time.monotonic()
        show(progress_words(progress, total, message))

    if not connection.callers:
        connection.heard.forget()
    patience = connection.server.tool_timeout or connection.link.tool_timeout
    calling = asyncio.ensure_future(client.call_tool(name, arguments, progress_callback=moving))
    connection.callers.append(session)
    try:
        while not calling.done():
            if connection.asking:
                moved = time.monotonic()
            left = moved + patience - time.monotonic()
            if left <= 0:
                raise ToolError(
                    f"{connection.server.name} has said nothing for {patience:g} s: the call was cancelled. {UNKNOWN} "
                    "`toolTimeoutMs` in its entry gives it more time."
                )
            await asyncio.wait([calling], timeout=min(left, 1.0) if connection.asking else left)
        return calling.result()
    finally:
        connection.callers.remove(session)
        if not calling.done():
            calling.cancel()
            with contextlib.suppress(BaseException):
                await asyncio.wait([calling], timeout=1)


def progress_words(done: float, total: float | None, message: str | None) -> str:
    """`3/10 what it does`, one line."""
    count = f"{done:g}/{total:g}" if total else f"{done:g}"
    said = " ".join(plain(message or "").split())[:200]
    return f"{count} {said}".strip() + "\n"


async def _gone(connection: "Connection", error: Exception) -> bool | None:
    """Whether the connection is gone: True if the call cannot have reached the server, False if it may have; None: it is up."""
    found = codes(error)
    if connection.server.transport == "stdio":
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_NEWS_S if -32000 in found else 0):
                await connection.process.closed.wait()
        return False if connection.process.closed.is_set() else None
    if connection.heard.session_lost or (_NO_SESSION in found and "session" in str(error).lower()):
        return True
    if -32000 in found or not found:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_NEWS_S):
                await connection.down.wait()
        failure = connection.failure
        if connection.client is None:
            return was_not_sent(failure) if failure is not None else was_not_sent(error)
        return True if was_not_sent(error) else None
    return None


def _lost_words(connection: "Connection", error: Exception, *, safe: bool) -> str:
    code = connection.process.exit_code
    how = f"ended with code {code} during the call" if code is not None else f"is gone: {call_words(error)}"
    lines = "\n".join(connection.process.errors.lines(5))
    said = f"\nIts last words:\n{lines}" if lines else ""
    return f"The MCP server {connection.server.name} {how}. {'Nothing was done.' if safe else UNKNOWN}{said}"
