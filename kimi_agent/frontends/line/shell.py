"""The state of a line-mode conversation: what its keys do, what it runs, what it shows."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kimi_agent import commands
from kimi_agent.agent.late import trusts
from kimi_agent.core import event as ev
from kimi_agent.core.ask import Option
from kimi_agent.core.errors import KimiError
from kimi_agent.core.listing import Listing
from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common.describe import retrying
from kimi_agent.frontends.common.editor import editor_command
from kimi_agent.frontends.common.file_listing import Run, lister
from kimi_agent.frontends.common.keymap import keymap, shown
from kimi_agent.frontends.common.listening import Listening
from kimi_agent.frontends.common.look import Look
from kimi_agent.frontends.common.notify import Notifier
from kimi_agent.frontends.common.shell_complete import Candidates
from kimi_agent.frontends.common.unsent import Unsent
from kimi_agent.frontends.line.asker import Asker
from kimi_agent.frontends.line.beginning import begin, notices
from kimi_agent.frontends.line.instead import KEYS, WORDS, Instead
from kimi_agent.frontends.line.jobs import Jobs
from kimi_agent.frontends.line.listing import ListingReader
from kimi_agent.frontends.line.screen import Owner, Screen
from kimi_agent.frontends.line.shellmode import ShellMode
from kimi_agent.frontends.line.view import View

if TYPE_CHECKING:
    from kimi_agent.agent.agent import Agent
    from kimi_agent.agent.session import Session

TICK_S = 1.0
"""How often a running turn looks whether there is something to count on, or to say."""
_COMMAND_WORD = re.compile(r"/(?:[a-z][a-z-]*|skill:\S*(?:\s.*)?)", re.DOTALL)


class LineShell:
    """The `commands.Shell` of slash commands and the `Owner` of the screen that `make_screen` makes.

    `open_with` are the arguments of `Agent.open`, whose errors it raises.
    """

    draws = False

    def __init__(
        self,
        agent: "Agent",
        make_screen: Callable[[Owner], Screen],
        open_with: dict[str, Any],
        look: Look = Look(),  # noqa: B008 - frozen
    ) -> None:
        self._look, self._keymap = look, keymap(look.keys)
        self.agent, self.hide = agent, agent.redactor.text
        self.screen = make_screen(self)
        self._notifier = Notifier(look.notifications, self.screen.control)
        self._asker = Asker(self.screen, self._notifier.question)
        self.session: Session = agent.open(ask=self._asker.ask, **open_with)
        self._view = self._view_of(self.session)
        self._shell = ShellMode(self.screen, self.session.cwd, self.screen.refresh)
        self._jobs = Jobs(self._changed)
        self._in_turn = False
        self._instead = Instead(self, self.screen, self._jobs.start, self._converse)

    # --- commands.Shell -----------------------------------------------------------------------------------------------

    def show(self, markdown: str) -> None:
        self.screen.markdown(plain(markdown))

    def apply(self, events: Iterable[ev.Event]) -> None:
        for event in events:
            self._notifier.follow(event)
            if isinstance(event, ev.Retrying) and event.attempt:
                self.screen.line(retrying(event), "warning")
            self._view.feed(event)
        self.screen.refresh()

    async def run(self, events: AsyncIterator[ev.Event]) -> None:
        self._in_turn = True
        tick = asyncio.create_task(self._tick())
        try:
            async for event in events:
                self.apply([event])
        finally:
            tick.cancel()
            self._in_turn = False

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            if self._view.moved():
                self.screen.refresh()

    def switch(self, session: "Session") -> None:
        self.session.listen(None)
        self.session = session
        self._shell.move(session.cwd)
        self._view.close()
        self._view = self._view_of(session)
        self.screen.line(f"Session {session.id} in {plain(str(session.cwd))}", "dim")
        self._view.replay()
        woken = partial(self._jobs.start, "", self._go_on)
        session.listen(Listening(lambda event: self.apply([event]), woken))
        self.screen.refresh()

    def _view_of(self, session: "Session") -> View:
        unsent, trusted = Unsent(self.agent.home, session.id, session.cwd, self.hide), partial(trusts, self.agent)
        return View(self.screen, session, self._look, self._asker.shown, unsent=unsent, trusts=trusted)

    def copy(self, text: str) -> bool:
        return self.screen.copy(text)

    def put(self, text: str) -> None:
        self.screen.restore(plain(text))

    def set_theme(self, name: str) -> bool:
        return False

    def keys(self) -> Sequence[tuple[str, str]]:
        return [(keys, help_) for _, keys, help_ in self._keymap.rows(line=True)] if self.screen.obeys else WORDS

    async def choose(self, title: str, options: Sequence[Option], text: str = "") -> int | None:
        return await self._asker.choose(title, options, lambda: self.show(text) if text else None)

    async def browse(self, listing: Listing) -> str | None:
        return await ListingReader(listing, self.screen, self._asker.read).browse()

    async def ask_text(self, label: str, *, secret: bool = False) -> str | None:
        return await self._asker.read(f"{plain(label)}: ", secret=secret)

    def quit(self) -> None:
        self.leave()

    def start(self, prompt: str) -> None:
        """Show the session that was opened, and run a first prompt if there is one."""
        for notice in notices(self, self._keymap, self._look):
            self.screen.line(plain(notice), "warning")
        self.screen.line("/help lists the commands.", "dim")
        self.switch(self.session)
        begin(self, self._jobs)
        if prompt:
            self._jobs.start(prompt, lambda: self._converse(prompt))

    # --- screen.Owner: keys -----------------------------------------------------------------------------------------

    def submit(self, text: str) -> bool:
        if self._asker.asking:
            return self._asker.offer(text)
        if self._shell.feeding:
            self._shell.feed(text)
        elif not text.strip() or (not self.screen.obeys and self._instead.does(text)):
            pass
        elif text.strip() == "!":
            self.toggle_shell()
        elif command := self._shell.command_in(text):
            return self._submit_shell(text, command)
        elif self._command(text):
            self._submit_command(text)
        elif not commands.find(text, self.session) and self._seems_command(text.strip()):
            self.screen.line(f"There is no command {plain(text.split()[0])}. /help lists them.", "warning")
            return False
        else:
            if self._jobs.busy and self.screen.keeps_input:
                self.screen.line("(waits for the end of this turn)", "dim")
            if self._in_turn:
                self.session.queue(text)
            else:
                self._jobs.start(text, lambda: self._converse(text))
        return True

    def _command(self, text: str) -> bool:
        """Whether it is a command of ours; a skill, a custom command and a goal are prompts."""
        return commands.find(text, self.session) is not None and not commands.is_prompt(text, self.session)

    def _seems_command(self, text: str) -> bool:
        return bool(_COMMAND_WORD.fullmatch(text)) and not os.path.exists(text)  # noqa: PTH110 - Path raises for a long word

    def _submit_command(self, text: str) -> None:
        if self._in_turn:
            self._jobs.start_aside(lambda: self._execute(text))
        else:
            self._jobs.start(text, lambda: self._execute_alone(text))

    def _submit_shell(self, text: str, command: str) -> bool:
        if self._shell.shell.running:
            self.screen.line(
                f"A command is running: {self._key('shell_mode')} types to it, Ctrl-C stops it.", "warning"
            )
            return False
        if self._in_turn:
            self._jobs.start_aside(lambda: self._run_shell(command))
        else:
            self._jobs.start(text, lambda: self._run_shell(command))
        return True

    def steer(self, text: str) -> bool:
        if not self._in_turn or self._shell.feeding or self._asker.asking or not text.strip():
            return self.submit(text)
        self.session.steer(text)
        return True

    def hears(self) -> bool:
        return self._asker.hears()

    def command(self, text: str) -> None:
        self._submit_command(text)

    def tab(self, text: str) -> bool:
        return self._shell.shell.tab(text)

    def interrupt(self) -> bool:
        if waiting := self._jobs.take_waiting():
            self.screen.restore("\n".join(waiting))
        if self._in_turn and not self._shell.feeding:
            self.session.interrupt()
            return True
        if self._asker.dismiss():
            return True
        if self._shell.shell.running:
            self._shell.shell.interrupt()
            return True
        return self._jobs.cancel()

    def leave(self, draft: str = "") -> None:
        self._shell.kill()
        self._view.leave(*self._jobs.waiting, "" if self._shell.on else draft)
        self.screen.stop()

    def explain_leaving(self) -> None:
        self.screen.line(f"{self._key('end')} or /exit leaves.", "dim")

    def take_back(self) -> str | None:
        return self.session.take_back()

    def toggle_shell(self) -> None:
        self._shell.on = not self._shell.on
        if self.screen.speaks:
            self.screen.line(f"Shell mode is {'on, in no box: ! alone leaves it' if self._shell.on else 'off'}.")
        self.screen.refresh()

    def feeding(self) -> bool:
        return self._shell.feeding and not self._asker.asking

    def suspend_command(self) -> None:
        self._shell.shell.suspend()

    def end_input(self) -> None:
        if self._shell.on and self._shell.shell.alive:
            self._shell.shell.end_input()
        else:
            self.leave()

    def output_for_model(self) -> str:
        if self._shell.last is None:
            self.screen.line(f"No command has been run yet: {self._key('shell_mode')}, or !command.", "warning")
            return ""
        if self._shell.on:
            self._shell.on = False
            self.screen.refresh()
        return self._shell.last.for_model()

    async def shell_candidates(self, text: str) -> tuple[int, Candidates] | None:
        return await self._shell.candidates(text)

    def shell_folder(self) -> Path | None:
        return self._shell.shell.cwd if self._shell.on else None

    def editor(self) -> list[str]:
        command = editor_command(self._look.editor)
        if not command:
            self.screen.line("No editor found: set VISUAL or EDITOR.", "warning")
        return command

    def toggle_plan(self) -> None:
        self.apply(self.session.set_mode("default" if self.session.mode == "plan" else "plan"))

    # --- screen.Owner: what it shows --------------------------------------------------------------------------------

    @property
    def secret(self) -> bool:
        return self._asker.secret or (self._shell.feeding and self._shell.shell.reads_secret)

    def remembers(self) -> bool:
        return not self._asker.asking and not self._shell.feeding

    def label(self) -> str:
        if self._asker.label is not None:
            return self._asker.label
        return self._shell.label() if self._shell.on else self.screen.prompt

    def wants_input(self) -> bool:
        return self._asker.label is not None or not self._jobs.busy

    def home(self) -> Path:
        return self.agent.home

    def folder(self) -> Path:
        return self.session.cwd

    def runs_git(self) -> Run | None:
        return lister(self.session.box, trusted=trusts(self.agent, self.session.cwd))

    def _key(self, action: str) -> str:
        """What the person presses or types for an action."""
        if not self.screen.obeys:
            return KEYS.get(action, "Ctrl-C")
        keys = self._keymap.keys[action]
        return shown(keys[0]) if keys else "no key"

    def live(self) -> list[str]:
        waiting = [f"next: {plain(text)}".replace("\n", " ") for text in self._jobs.waiting]
        return self._view.live(in_turn=self._in_turn) + waiting

    def status(self) -> str:
        doing, *items = self._view.status(self._key("interrupt"), in_turn=self._in_turn)
        if self._shell.feeding:
            doing = f"Ctrl-C stops it, {self._key('suspend')} suspends it"
        elif self._shell.on and self._shell.last is not None and not doing:
            doing = f"{self._key('give_output')} gives the output to the model"
        return " | ".join(filter(None, [doing, "your own shell, in no box" if self._shell.on else "", *items]))

    # --- work ---------------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """End what runs; the session keeps what was done. Raises the error that made line mode stop, if one did."""
        self._shell.kill()
        self.session.listen(None)
        self.session.interrupt()
        self._asker.dismiss()
        await self._jobs.close()
        if self._jobs.failure:
            raise self._jobs.failure

    def _changed(self) -> None:
        if self._jobs.failure:
            self.screen.stop()
        self.screen.refresh()

    async def _converse(self, *texts: str) -> None:
        """A turn per text, and per text queued meanwhile; what an interrupt left waiting goes back to the person."""
        while texts:
            first, *others = texts
            for other in others:
                self.session.queue(other)
            texts = await self._turn(self.session.prompt(first))

    async def _go_on(self) -> None:
        """The turn that the session was woken for, if no other has taken it over."""
        await self._converse(*await self._turn(self.session.go_on()))

    async def _turn(self, events: AsyncIterator[ev.Event]) -> tuple[str, ...]:
        """Draw a turn; answers the texts that wait for the next one."""
        end: ev.TurnEnded | None = None

        async def watched() -> AsyncIterator[ev.Event]:
            nonlocal end
            async for event in events:
                end = event if isinstance(event, ev.TurnEnded) else end
                yield event

        try:
            await self.run(watched())
        except KimiError as error:
            self.screen.line(plain(error.full), "error")
        if (texts := self._take_all()) and not (end and end.stop == "done"):
            self.screen.restore("\n\n".join(texts))
            return ()
        return texts

    def _take_all(self) -> tuple[str, ...]:
        texts: list[str] = []
        while (text := self.session.take_back()) is not None:
            texts.insert(0, text)
        self._view.transcript.apply(ev.Queued())
        return tuple(texts)

    async def _execute(self, text: str) -> None:
        self._echo(f"{self.screen.prompt}{text}")
        await commands.execute(self, text)

    def _echo(self, text: str) -> None:
        if not self.screen.keeps_input:
            self.screen.line(plain(text), "user")

    async def _execute_alone(self, text: str) -> None:
        await self._execute(text)
        await self._converse(*self._take_all())

    async def _run_shell(self, command: str) -> None:
        self._echo(f"$ {command}")
        await self._shell.run(command)
