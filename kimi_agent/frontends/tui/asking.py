"""Questions of the agent, one at a time."""

import asyncio
from collections.abc import Callable

from kimi_agent.core.ask import Answer, Question


class Asker:
    """Its `ask` is what sessions are opened with. `show` gets the question whose turn it is, None when there is none."""

    def __init__(self, show: Callable[[Question | None], None]) -> None:
        self._show = show
        self._waiting: list[tuple[Question, asyncio.Future[Answer]]] = []
        self._shown: asyncio.Future[Answer] | None = None

    async def ask(self, question: Question) -> Answer:
        """Wait for the person. A cancelled wait takes its question back."""
        entry: tuple[Question, asyncio.Future[Answer]] = (question, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        self._advance()
        try:
            return await entry[1]
        finally:
            self._waiting.remove(entry)
            self._advance()

    def answer(self, answer: Answer) -> None:
        """Answer the question that is shown."""
        if self._shown is not None and not self._shown.done():
            self._shown.set_result(answer)

    @property
    def count(self) -> int:
        return len(self._waiting)

    def _advance(self) -> None:
        first = self._waiting[0] if self._waiting else None
        future = first[1] if first else None
        if future is not self._shown:
            self._shown = future
            self._show(first[0] if first else None)
