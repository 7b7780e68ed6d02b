"""Which program belongs to which page: by the address of the page, which a reload keeps."""

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from kimi_agent.frontends.common.pty_child import Size
from kimi_agent.frontends.web.page import ELSEWHERE, ENDED, STOPPED, Page
from kimi_agent.frontends.web.program import Program

_MAX_PLACES = 1000

Command = Callable[[bool, str], Sequence[str]]
"""The command line of a program, from whether it is the first one, and the session to go on with ("" for its own choice)."""


@dataclass(slots=True)
class Place:
    program: Program | None = None
    session_id: str = ""
    leaving: asyncio.TimerHandle | None = None


class Full(Exception):
    """As many programs run as may."""


class Places:
    """`grace_s` is how long a program waits for its page to come back."""

    def __init__(self, command: Command, *, grace_s: float, max_programs: int) -> None:
        self._command, self._grace_s, self._max = command, grace_s, max_programs
        self._places: dict[str, Place] = {}
        self._begun = False
        self._tasks: set[asyncio.Task[None]] = set()

    @staticmethod
    def new_name() -> str:
        return secrets.token_hex(8)

    @property
    def programs(self) -> list[Program]:
        return [place.program for place in self._places.values() if place.program is not None]

    async def join(self, name: str, page: Page, size: Size) -> Program:
        """The program of this place on this page: the one that runs there, else a new one. Raises Full and OSError."""
        place = self._place(name)
        if place.leaving is not None:
            place.leaving.cancel()
            place.leaving = None
        if place.program is not None and place.program.was_told:
            await place.program.end()  # it is about to end: its session is not opened twice
        program = place.program
        if program is None:
            if len(self.programs) >= self._max:
                raise Full
            argv = self._command(not self._begun, place.session_id)
            program = place.program = Program(argv, size, lambda ended: self._ended(place, ended))
            self._begun = True
        elif program.page is not None:
            self._later(program.page.close(ELSEWHERE))
        program.show_on(page, size)
        return program

    def leave(self, name: str, page: Page) -> None:
        """The page has gone. Its program is ended after a while, unless a page comes back."""
        place = self._places[name]
        if place.program is not None and place.program.page is page:
            place.program.hide()
            loop = asyncio.get_running_loop()
            place.leaving = loop.call_later(self._grace_s, self._give_up, place.program)

    def wake(self) -> None:
        """A child has stopped or ended."""
        for program in self.programs:
            program.wake()

    async def close(self) -> None:
        """End all programs."""
        await asyncio.gather(*(program.end() for program in self.programs))
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _give_up(self, program: Program) -> None:
        self._later(program.end())

    def _ended(self, place: Place, program: Program) -> None:
        place.program = None
        place.session_id = program.session_id if program.was_told else ""
        if program.page is not None:
            self._later(program.page.close(STOPPED if program.was_told else ENDED))

    def _place(self, name: str) -> Place:
        if name not in self._places:
            for old in [name for name, place in self._places.items() if place.program is None][:-_MAX_PLACES]:
                del self._places[old]
            self._places[name] = Place()
        return self._places[name]

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
