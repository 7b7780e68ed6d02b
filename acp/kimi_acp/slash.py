"""Slash commands: those of the terminal that need no screen of their own, through the same registry."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from kimi_acp.asking import Asker
from kimi_agent.agent.late import left_out
from kimi_agent.commands import available, execute, find, looks_like_command
from kimi_agent.core import event as ev
from kimi_agent.core.ask import Choice, Chosen, Item, Option
from kimi_agent.core.listing import Listing
from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common.describe import one_line
from kimi_agent.trust_command import ask_trust, go_on_trusted

if TYPE_CHECKING:
    from kimi_agent.agent.agent import Agent
    from kimi_agent.agent.session import Session

OF_SCREENS = frozenset(["new", "sessions", "fork", "queue", "theme", "copy", "exit", "login", "rewind"])
"""What the editor does itself, or what has no meaning without a screen of ours."""


def listed(session: "Session") -> list[dict[str, Any]]:
    """The commands of a session, as the editor offers them."""
    return [
        {
            "name": command.name,
            "description": one_line(command.help, 200) or command.name,
            **({"input": {"hint": plain(command.usage)}} if command.usage else {}),
        }
        for command in available(session)
        if command.name not in OF_SCREENS
    ]


class Slash:
    """A `commands.Shell` without a screen: what commands have to say is told in words."""

    draws = False

    def __init__(
        self,
        agent: "Agent",
        session: "Session",
        asker: Asker,
        say: Callable[[str], None],
        show: Callable[[ev.Event], None],
        run: Callable[[AsyncIterator[ev.Event]], Awaitable[None]],
    ) -> None:
        self.agent, self.session = agent, session
        self._asker, self._say, self._show, self._run = asker, say, show, run

    async def runs(self, text: str) -> bool:
        """Run `text` if it is a command that is no prompt for the model."""
        found = find(text, self.session)
        if found is None:
            if looks_like_command(text):
                self._say(f"There is no command `{text.split()[0]}`. `/help` lists them.")
                return True
            return False
        command, arguments = found
        if command.prompt or command.prompts(arguments):
            return False
        if command.name in OF_SCREENS:
            self._say(f"`/{command.name}` works in the terminal only; here the editor does it.")
            return True
        if command.name == "trust" and left_out(self.agent, self.session.cwd):
            if await ask_trust(self):
                await go_on_trusted(self)  # elsewhere a session without a turn is left for another one
            return True
        return await execute(self, text)

    # --- commands.Shell -----------------------------------------------------------------------------------------------

    def show(self, markdown: str) -> None:
        self._say(plain(markdown))

    def apply(self, events: Iterable[ev.Event]) -> None:
        for event in events:
            self._show(event)

    async def run(self, events: AsyncIterator[ev.Event]) -> None:
        await self._run(events)

    def switch(self, session: "Session") -> None:
        self._say(f"That is session `{session.id}` now: open it from the editor's list.")

    def copy(self, text: str) -> bool:
        return False

    def put(self, text: str) -> None:
        self._say(text)

    def set_theme(self, name: str) -> bool:
        return False

    def keys(self) -> Sequence[tuple[str, str]]:
        return ()

    async def choose(self, title: str, options: Sequence[Option], text: str = "") -> int | None:
        answer = await self._asker.ask(Choice((Item(title, tuple(options), other=False),), text))
        picked = answer.values[0][0] if isinstance(answer, Chosen) and answer.values and answer.values[0] else None
        return next((n for n, option in enumerate(options) if option.label == picked), None)

    async def browse(self, listing: Listing) -> str | None:
        rows = [row for row in listing.rows() if row.id]
        if not rows:
            return None
        number = await self.choose(listing.title, [Option(row.label, row.description) for row in rows])
        return rows[number].id if number is not None else None

    async def ask_text(self, label: str, *, secret: bool = False) -> str | None:
        return None if secret else await self._asker.text(label)

    def quit(self) -> None:
        self._say("Close the session in the editor.")
