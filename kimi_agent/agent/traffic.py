"""Which calls may act side by side: in one reply, and between a session's agent and its subagents."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from kimi_agent.core.effect import Effect


class Traffic:
    """The calls of a session that act now, or wait for that. A call waits for those that came before it and that it conflicts
    with, whoever made them.

    Stopping a task waits for nobody: what the task does may be what would be waited for.
    """

    def __init__(self) -> None:
        self._calls: list[
            tuple[Sequence[Effect], asyncio.Future[None]]
        ] = []  # in the order they came; set: it has ended

    def busy(self, effects: Sequence[Effect]) -> bool:
        return bool(self._before(effects))

    def _before(self, effects: Sequence[Effect]) -> list[asyncio.Future[None]]:
        awaited = [effect for effect in effects if effect.kind != "stop"]
        return [ended for others, ended in self._calls if conflict(others, awaited)]

    @contextlib.asynccontextmanager
    async def act(self, effects: Sequence[Effect]) -> AsyncIterator[None]:
        before, mine = self._before(effects), (effects, asyncio.get_running_loop().create_future())
        self._calls.append(mine)
        try:
            if before:
                await asyncio.wait(before)
            yield
        finally:
            self._calls.remove(mine)
            mine[1].set_result(None)


def conflict(first: Sequence[Effect], second: Sequence[Effect]) -> bool:
    return any(_conflicting(a, b) for a in first for b in second)


def _conflicting(a: Effect, b: Effect) -> bool:
    kinds = {a.kind, b.kind}
    if kinds <= {"read", "fetch"}:
        return False
    if "run" in kinds:
        return kinds != {"run", "fetch"}
    if kinds == {"mcp"}:
        return a.target.split("/")[0] == b.target.split("/")[0] and not (a.beside and b.beside)
    if "mcp" in kinds or "fetch" in kinds:
        return False
    return a.target == b.target or _inside(a.target, b.target) or _inside(b.target, a.target)


def _inside(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/")
