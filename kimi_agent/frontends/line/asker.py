"""Questions in line mode: prints them, reads the answers, asks again when an answer makes no sense."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

from kimi_agent.core.ask import Answer, Choice, Chosen, Deny, Dismissed, Item, Option, Permission, Question
from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common.guard import Guard
from kimi_agent.frontends.line import questions as wording
from kimi_agent.frontends.line.screen import Lines, Screen


class Asker:
    """Reads one line at a time for a question. While `label` is not None, the next line is an answer.

    One question is over before the next is printed: an answer can never be taken for another question's. Where a person
    types, what comes before a question of the agent has been seen for a moment does not answer it (see Guard).
    """

    def __init__(self, screen: Screen, call: Callable[[], None] = lambda: None) -> None:
        """`call` is called when the agent asks: the person may be looking elsewhere."""
        self._screen, self._call = screen, call
        self._lock = asyncio.Lock()
        self._line: asyncio.Future[str | None] | None = None
        self._label = ""
        self._guard: Guard | None = None  # of the question that waits; None: what is typed answers it at once
        self.asking = False  # from the moment when what a question is about is printed
        self.secret = False
        self.shown: set[str] = set()  # ids of the calls whose whole effect was printed with a question

    @property
    def label(self) -> str | None:
        return self._label if self._line is not None and not self._line.done() else None

    def hears(self) -> bool:
        """Whether what is typed now may answer. Typing that may not starts the time anew."""
        return self._guard is None or self._guard.passes()

    def offer(self, text: str) -> bool:
        """The line that was typed. False: it came too early to be an answer."""
        if self.label is None or self._line is None or not self.hears():
            return False
        self._line.set_result(text)
        return True

    def dismiss(self) -> bool:
        """Nobody answers. False when nothing was asked."""
        if self._line is None or self._line.done():
            return False
        self._line.set_result(None)
        return True

    async def ask(self, question: Question) -> Answer:
        self._call()
        await asyncio.sleep(0)  # the events before the question are shown before it
        async with self._turn(unasked=True):
            match question:
                case Permission():
                    return await self._permission(question)
                case Choice(items=items, text=text):
                    if text:
                        self._screen.markdown(plain(text))
                    return await self._choice(items)

    @contextlib.asynccontextmanager
    async def _turn(self, *, unasked: bool = False) -> AsyncIterator[None]:
        """Wait until what was asked before is answered. `unasked`: the person does not expect the question."""
        if waited := self._lock.locked():
            self._screen.line("(another question waits until this one is answered)", "dim")
        async with self._lock:
            self.asking = True
            try:
                self._begin(guarded=unasked or waited)
                yield
            finally:
                self.asking, self._guard = False, None
                self._screen.refresh()

    def _begin(self, *, guarded: bool) -> None:
        """A question comes: what is being typed is not meant for it."""
        self._guard = Guard() if guarded and self._screen.typed else None
        if guarded:
            self._screen.set_aside()

    async def choose(
        self, title: str, options: Sequence[Option], before: Callable[[], None] = lambda: None
    ) -> int | None:
        """As `read`."""
        async with self._turn():
            before()
            return await self._choose(title, options)

    async def _choose(self, title: str, options: Sequence[Option]) -> int | None:
        item = Item(title, tuple(options))
        self._print(wording.item_lines(item, spoken=self._screen.speaks))
        while (text := await self._read(f"Which? (1-{len(options)}, nothing: none) ")) is not None:
            word = text.strip()
            if not word:
                return None
            if word.isdecimal() and 1 <= int(word) <= len(options):
                return int(word) - 1
            self._screen.line(f"Type a number from 1 to {len(options)}.", "warning")
        return None

    async def read(self, label: str, *, secret: bool = False, before: Callable[[], None] = lambda: None) -> str | None:
        """One line; None when it was dismissed. `before` prints what it is about, when nothing else is asked."""
        async with self._turn():
            before()
            return await self._read(label, secret=secret)

    async def _read(self, label: str, *, secret: bool = False) -> str | None:
        self._line, self._label, self.secret = asyncio.get_running_loop().create_future(), label, secret
        self._screen.refresh()
        if self._guard is not None:
            self._guard.start()
        try:
            return await self._line
        finally:
            self._line, self.secret, self._guard = None, False, None
            self._screen.refresh()

    async def _permission(self, question: Permission) -> Answer:
        self.shown.add(question.call.id)
        self._print([("", ""), *wording.permission_lines(question, spoken=self._screen.speaks)])
        while (text := await self._read(wording.permission_label(question))) is not None:
            answer = wording.permission_answer(question, text)
            if answer == "feedback":
                return Deny((await self._read("What should it do instead? ") or "").strip())
            if answer is not None:
                return answer
            self._screen.line("Type the number of an answer, or y or n.", "warning")
        return Deny()

    async def _choice(self, items: Sequence[Item]) -> Answer:
        values: list[tuple[str, ...]] = []
        for number, item in enumerate(items):
            if number:
                self._begin(guarded=True)
            self._print([("", ""), *wording.item_lines(item, spoken=self._screen.speaks)])
            picked = await self._item(item)
            if picked is None:
                return Dismissed()
            values.append(picked)
        return Chosen(tuple(values))

    async def _item(self, item: Item) -> tuple[str, ...] | None:
        while text := (await self._read(wording.item_label(item)) or "").strip():
            picked = wording.item_answer(item, text)
            if picked is not None:
                return picked
            own = ", or your own words" if item.other else ""
            self._screen.line(f"Type a number from 1 to {len(item.options)}{own}.", "warning")
        return None

    def _print(self, lines: Lines) -> None:
        for text, style in lines:
            self._screen.line(plain(text), style)
