"""What line mode shows of one session: its transcript as it grows, what is going on, and the status."""

import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from kimi_agent.agent.status import Status
from kimi_agent.agent.transcript import PromptBlock, Transcript
from kimi_agent.core import event as ev
from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common.conversation import Conversation
from kimi_agent.frontends.common.describe import one_line
from kimi_agent.frontends.common.files import git_branch
from kimi_agent.frontends.common.look import Look
from kimi_agent.frontends.common.servers import ServersWatch
from kimi_agent.frontends.common.status import box_word, home_relative, number, numbers, thinking_word
from kimi_agent.frontends.common.unsent import Unsent
from kimi_agent.frontends.line.draw import Drawer
from kimi_agent.frontends.line.drawn import Drawn
from kimi_agent.frontends.line.screen import Screen
from kimi_agent.frontends.line.spoken import Spoken
from kimi_agent.frontends.line.words import took

if TYPE_CHECKING:
    from kimi_agent.agent.session import Session

REPLAYED_TURNS = 5
PROGRESS_S = 30.0
"""How often a long turn is spoken of."""


class View:
    """`shown` are the ids of the calls whose diffs were seen with a question."""

    def __init__(
        self,
        screen: Screen,
        session: "Session",
        look: Look,
        shown: Collection[str] = (),
        clock: Callable[[], float] = time.monotonic,
        unsent: Unsent | None = None,
        trusts: Callable[[Path], bool] = lambda folder: True,
    ) -> None:
        self._screen, self._session, self._look, self._clock = screen, session, look, clock
        self._unsent, self._trusts = unsent, trusts
        self._talk = Conversation(session, clock, still=look.still)
        root = str(session.cwd)
        self._drawer = Drawer(
            screen,
            Spoken(root) if screen.speaks else Drawn(root),
            self._talk.transcript,
            root,
            shown,
            thinking=look.show_thinking,
            still=look.still,
            clock=clock,
        )
        self._servers = ServersWatch(self._servers_changed)
        self._servers_told = ""
        self._servers.tally(session.servers)
        self._branch = git_branch(session.cwd)
        self._told_at = clock()  # when progress was spoken of last
        self._last_look: tuple[object, ...] = ()

    @property
    def transcript(self) -> Transcript:
        return self._talk.transcript

    def close(self) -> None:
        """Look at nothing any more: another view takes its place."""
        self._servers.end()

    def _servers_changed(self) -> None:
        """Where no status line is seen, what is wrong with servers is told once."""
        self._screen.refresh()
        mcp = self._servers.tally(self._session.servers)
        words = number("mcp", Status(mcp=mcp))
        if self._screen.speaks and mcp is not None and mcp.worries and words != self._servers_told:
            self._servers_told = words
            self._screen.line(f"{words.replace('!', 'to ').replace('mcp', 'MCP servers:')}. /mcp says more.")

    def feed(self, event: ev.Event) -> None:
        if isinstance(event, ev.TurnStarted):
            self._told_at = self._clock()
            if self._screen.speaks:
                self._screen.line("Working.")
        self._drawer.draw(self._talk.feed(event))
        if isinstance(event, ev.Queued | ev.TurnStarted):
            self.keep()
        if isinstance(event, ev.TurnEnded):
            self._branch = git_branch(self._session.cwd)
            if self._screen.speaks:
                self._screen.line(self._ended(event))

    def replay(self) -> None:
        """Print the last turns of the session."""
        blocks = [block for block in self._talk.replay() if not block.void]
        prompts = [index for index, block in enumerate(blocks) if isinstance(block, PromptBlock)]
        first = prompts[-REPLAYED_TURNS] if len(prompts) > REPLAYED_TURNS else 0
        if first:
            self._screen.line(f"({len(prompts) - REPLAYED_TURNS} earlier turns are not shown)", "dim")
        self._drawer.draw(blocks[first:], replay=True)
        if self._unsent is not None and (kept := self._unsent.kept()):
            self._screen.restore(plain(kept))

    def leave(self, *more: str) -> None:
        """Keep what waits, and what else is not sent, for the next start."""
        self.keep(*more)
        if self._unsent is not None:
            self._unsent.seal()

    def keep(self, *more: str) -> None:
        if self._unsent is not None:
            status = self._talk.transcript.status
            self._unsent.keep([*status.steering, *status.queue, *more])

    def live(self, *, in_turn: bool) -> list[str]:
        """What is not printed yet, and the texts that wait."""
        status = self.transcript.status
        waiting = [("steering: ", text) for text in status.steering] + [("queued: ", text) for text in status.queue]
        shown = self._drawer.live() if in_turn else self._drawer.subagents()
        return shown + [kind + plain(text).replace("\n", " ") for kind, text in waiting]

    def status(self, interrupts: str = "Esc", *, in_turn: bool) -> list[str]:
        """What is going on and what `interrupts` it, then where one is and how far it has come, as configured."""
        activity, _ = self._talk.activity() if in_turn else ("", False)
        return [
            f"{activity or 'working'}, {interrupts} interrupts" if activity or in_turn else "",
            *self._items(),
        ]

    def _items(self) -> list[str]:
        session, status = self._session, self.transcript.status
        status.mcp = self._servers.tally(session.servers)
        place = {
            "mode": session.mode if session.mode != "default" else "",
            "box": box_word(session.box, read_only=not self._trusts(session.cwd)),
            "model": plain(session.model.name) or "no model",
            "thinking": thinking_word(session.thinking),
            "title": one_line(status.title, 40),
            "folder": plain(home_relative(session.cwd)),
            "branch": one_line(self._branch, 24),
        }
        items = self._look.status_line
        return [*(place[item] for item in items if item in place), *numbers(status, items)]

    def moved(self) -> bool:
        """Whether what goes on looks different from when this was asked last; speaks of it, if that is due."""
        now = (*self.live(in_turn=True), *self.status(in_turn=True))
        if self._screen.speaks and self._clock() - self._told_at >= PROGRESS_S:
            self._told_at = self._clock()
            self._screen.line(f"Still at work: {self._talk.activity()[0].replace(' · ', ', ')}.")
        changed, self._last_look = now != self._last_look, now
        return changed

    def _ended(self, event: ev.TurnEnded) -> str:
        words = {"done": "Done", "interrupted": "Stopped", "error": "Failed"}.get(event.stop, "Stopped")
        lasted = f" after {took(event.seconds)}" if event.seconds else ""
        context = [text for text in numbers(self.transcript.status, ("context", "cost")) if text]
        return f"{words}{lasted}.{' Context ' if context else ''}{', cost '.join(context)}{'.' * bool(context)}"
