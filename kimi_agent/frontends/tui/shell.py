"""The application as slash commands see it (`commands.Shell`)."""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from kimi_agent.agent.agent import Agent
from kimi_agent.agent.session import Session
from kimi_agent.core.ask import Choice, Chosen, Item, Option
from kimi_agent.core.event import Event
from kimi_agent.core.listing import Listing
from kimi_agent.frontends.common.keymap import keymap
from kimi_agent.frontends.tui.draw.local import NoteBlock
from kimi_agent.frontends.tui.screens.dialog import Dialog
from kimi_agent.frontends.tui.screens.line import LineScreen
from kimi_agent.frontends.tui.screens.pick import PickScreen

if TYPE_CHECKING:
    from kimi_agent.frontends.tui.base import SessionApp

Result = TypeVar("Result")


class TuiShell:
    draws = True

    def __init__(self, app: "SessionApp", agent: Agent, session: Session) -> None:
        self._app = app
        self.agent, self.session = agent, session

    def show(self, markdown: str) -> None:
        self._app.view.show([NoteBlock(markdown)])

    def apply(self, events: Iterable[Event]) -> None:
        for event in events:
            self._app.feed(event)

    async def run(self, events: AsyncIterator[Event]) -> None:
        await self._app.drive(events)
        self._app.start_waiting()

    def switch(self, session: Session) -> None:
        self.session = session
        self._app.open(session)

    def copy(self, text: str) -> bool:
        self._app.copy_to_clipboard(text)
        return True

    def put(self, text: str) -> None:
        draft = self._app.composer.area.expanded_text
        self._app.composer.put(f"{text}\n{draft}" if draft.strip() else text)

    def set_theme(self, name: str) -> bool:
        return self._app.set_theme(name)

    def keys(self) -> Sequence[tuple[str, str]]:
        return [(keys, help_) for _, keys, help_ in keymap(self._app.look.keys).rows(line=False)]

    async def choose(self, title: str, options: Sequence[Option], text: str = "") -> int | None:
        if text:  # a dialog would lie on it
            item = Item(title, tuple(options), other=False)
            answer = await self.session.ask(Choice((item,), text))
            labels = answer.values[0] if isinstance(answer, Chosen) and answer.values else ()
            return next((number for number, option in enumerate(options) if option.label in labels), None)
        return await self._open(PickScreen(title, options, self._app.palette))

    async def browse(self, listing: Listing) -> str | None:
        from kimi_agent.frontends.tui.screens.listing import ListingScreen  # not needed for the first paint

        return await self._open(ListingScreen(listing, self._app.palette))

    async def ask_text(self, label: str, *, secret: bool = False) -> str | None:
        return await self._open(LineScreen(label, secret=secret))

    async def _open(self, dialog: Dialog[Result]) -> Result | None:
        """A question of the agent that is on the screen already is answered first."""
        await self._app.questions.none.wait()
        return await self._app.push_screen_wait(dialog)

    def quit(self) -> None:
        self._app.leave()
