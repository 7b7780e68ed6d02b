"""Which calls may act side by side: in one reply, and between a session's agent and its subagents."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from kimi_agent.core.effect import Effect


class Traffic:
    """The calls of a session that act now. A call waits here while one that it conflicts with acts, whoever made it.

    Stopping a task waits for nobody: what the task does may be what would be waited for.
    """

    def __init__(self) -> None:
        self._acting: list[list[Effect]] = []
        self._waiting: set[asyncio.Future[None]] = set()

    def busy(self, effects: Sequence[Effect]) -> bool:
        awaited = [effect for effect in effects if effect.kind != "stop"]
        return any(conflict(acting, awaited) for acting in self._acting)

    @contextlib.asynccontextmanager
    async def act(self, effects: Sequence[Effect]) -> AsyncIterator[None]:
        while self.busy(effects):
            change = asyncio.get_running_loop().create_future()
            self._waiting.add(change)
            try:
                await change
            finally:
                self._waiting.discard(change)
        mine = list(effects)
        self._acting.append(mine)
        try:
            yield
        finally:
            self._acting = [acting for acting in self._acting if acting is not mine]
            for change in self._waiting:
                if not change.done():
                    change.set_result(None)


def conflict(first: Sequence[Effect], second: Sequence[Effect]) -> bool:
    return any(_conflicting(a, b) for a in first for b in second)


def _conflicting(a: Effect, b: Effect) -> bool:
    kinds = {a.kind, b.kind}
    if kinds <= {"read", "fetch"}:
        return False
    if "run" in kinds:
        return kinds != {"run", "fetch"}
    if kinds == {"mcp"}:
        return a.target.split("/")[0] == b.target.split("/")[0]
    if "mcp" in kinds or "fetch" in kinds:
        return False
    return a.target == b.target or _inside(a.target, b.target) or _inside(b.target, a.target)


def _inside(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/")
