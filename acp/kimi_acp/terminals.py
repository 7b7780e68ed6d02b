"""Commands in the editor's own terminals: only where no box is lost by it, and where the editor cannot draw ours."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kimi_acp.peer import Peer, RpcError
from kimi_agent.core.errors import WorkspaceError
from kimi_agent.core.workspace import Exit

PACE_S = 0.2
"""Between two looks at the output of a command that runs."""
LIMIT = 1_000_000
"""Bytes of output that the editor keeps for us."""


class EditorTerminals:
    """`began` is told the id of a terminal, and what runs in it."""

    def __init__(self, peer: Peer, session: Callable[[], str], began: Callable[[str, Sequence[str]], None]) -> None:
        self._peer, self._session, self._began = peer, session, began
        self._endings: set[asyncio.Future[None]] = set()  # of terminals that nobody waits for any more

    async def run(
        self,
        argv: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        timeout: float,
        on_output: Callable[[bytes], None],
    ) -> Exit:
        """As `Workspace.run`. The terminal stays on the screen of the editor when it has been released."""
        pairs = [{"name": name, "value": value} for name, value in env.items()]
        params = {"command": argv[0], "args": list(argv[1:]), "cwd": str(cwd), "env": pairs, "outputByteLimit": LIMIT}
        making = asyncio.ensure_future(self._make(params))
        try:
            terminal = await asyncio.shield(making)
        except asyncio.CancelledError:  # it may be there already: then it is ended when we hear of it
            making.add_done_callback(self._drop)
            raise
        self._began(terminal, argv)
        output = _Output(on_output)
        try:
            async with asyncio.timeout(timeout if timeout < 1e9 else None):
                return await self._watched(terminal, output)
        except TimeoutError:
            await self._kill(terminal)
            return Exit(None, timed_out=True)
        except asyncio.CancelledError:
            await asyncio.shield(self._kill(terminal))
            raise
        except RpcError as error:
            raise WorkspaceError(f"The editor's terminal went away: {error}") from None
        finally:
            with contextlib.suppress(RpcError, asyncio.CancelledError):
                output.take(await self._ask("output", {"terminalId": terminal}))
            with contextlib.suppress(RpcError, asyncio.CancelledError):
                await asyncio.shield(self._ask("release", {"terminalId": terminal}))

    async def _make(self, params: dict[str, Any]) -> str:
        try:
            made = await self._ask("create", params)
        except RpcError as error:
            raise WorkspaceError(f"The editor could not start a terminal: {error}") from None
        terminal = made.get("terminalId") if isinstance(made, dict) else None
        if not isinstance(terminal, str):
            raise WorkspaceError("The editor has started no terminal.")
        return terminal

    def _drop(self, making: "asyncio.Future[str]") -> None:
        if not making.cancelled() and making.exception() is None:
            ending = asyncio.ensure_future(self._end(making.result()))
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)

    async def _end(self, terminal: str) -> None:
        await self._kill(terminal)
        with contextlib.suppress(RpcError):
            await self._ask("release", {"terminalId": terminal})

    async def _watched(self, terminal: str, output: "_Output") -> Exit:
        ended = asyncio.ensure_future(self._ask("wait_for_exit", {"terminalId": terminal}))
        try:
            while not (await asyncio.wait([ended], timeout=PACE_S))[0]:
                output.take(await self._ask("output", {"terminalId": terminal}))
            status = ended.result()
        finally:
            ended.cancel()
        code = status.get("exitCode") if isinstance(status, dict) else None
        return Exit(code if isinstance(code, int) else None)

    async def _kill(self, terminal: str) -> None:
        with contextlib.suppress(RpcError):
            await self._ask("kill", {"terminalId": terminal})

    async def _ask(self, method: str, params: dict[str, Any]) -> Any:
        return await self._peer.request(f"terminal/{method}", {"sessionId": self._session(), **params})


class _Output:
    """Tells what is new of an output that is always told whole, or from somewhere on when it is long."""

    def __init__(self, tell: Callable[[bytes], None]) -> None:
        self._tell, self._known = tell, ""

    def take(self, answer: Any) -> None:
        text = answer.get("output") if isinstance(answer, dict) else None
        if not isinstance(text, str) or text == self._known:
            return
        before, self._known = self._known, text
        if text.startswith(before):
            self._tell(text[len(before) :].encode("utf-8", "replace"))
            return
        tail = before[-200:]
        at = text.rfind(tail)
        self._tell((text[at + len(tail) :] if at >= 0 else text).encode("utf-8", "replace"))
