"""The state of a line-mode conversation: what its keys do, what it runs, what it shows."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kimi_agent import commands
from kimi_agent.agent.transcript import PromptBlock, Transcript
from kimi_agent.core import event as ev
from kimi_agent.core.ask import Option
from kimi_agent.core.errors import KimiError
from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.describe import retrying
from kimi_agent.frontends.line_asker import Asker
from kimi_agent.frontends.line_draw import Drawer
from kimi_agent.frontends.line_screen import Owner, Screen
from kimi_agent.frontends.tui.userexec import UserShell

if TYPE_CHECKING:
    from kimi_agent.agent.agent import Agent
    from kimi_agent.agent.session import Session

REPLAYED_TURNS = 5
_COMMAND_WORD = re.compile(r"/[a-z][a-z-]*")


class LineShell:
    """The `commands.Shell` of slash commands and the `Owner` of the screen that `make_screen` makes.

    `open_with` are the arguments of `Agent.open`, whose errors it raises.
    """

    def __init__(self, agent: "Agent", make_screen: Callable[[Owner], Screen], open_with: dict[str, Any]) -> None:
        self.agent = agent
        self.screen = make_screen(self)
        self._asker = Asker(self.screen)
        self.session: Session = agent.open(ask=self._asker.ask, **open_with)
        self._transcript = Transcript()
        self._drawer = Drawer(self.screen, str(self.session.cwd))
        self._shell = UserShell(self.session.cwd)
        self._shell_mode = False
        self._job: asyncio.Task[None] | None = None
        self._side_jobs: set[asyncio.Task[None]] = set()
        self._in_turn = False

    # --- commands.Shell -----------------------------------------------------------------------------------------------

    def show(self, markdown: str) -> None:
        self.screen.markdown(plain(markdown))

    def apply(self, events: Iterable[ev.Event]) -> None:
        for event in events:
            if isinstance(event, ev.Retrying):
                self.screen.line(retrying(event), "warning")
            self._drawer.draw(self._transcript.apply(event))
        self.screen.refresh()

    async def run(self, events: AsyncIterator[ev.Event]) -> None:
        self._in_turn = True
        try:
            async for event in events:
                self.apply([event])
        finally:
            self._in_turn = False

    def switch(self, session: "Session") -> None:
        self.session = session
        self._transcript = Transcript()
        self._drawer = Drawer(self.screen, str(session.cwd))
        for event in session.events():
            self._transcript.apply(event)
        blocks = [block for block in self._transcript.blocks if not block.void]
        prompts = [index for index, block in enumerate(blocks) if isinstance(block, PromptBlock)]
        first = prompts[-REPLAYED_TURNS] if len(prompts) > REPLAYED_TURNS else 0
        if first:
            self.screen.line(f"({len(prompts) - REPLAYED_TURNS} earlier turns are not shown)", "dim")
        self._drawer.draw(blocks[first:], replay=True)
        self.screen.refresh()

    async def choose(self, title: str, options: Sequence[Option]) -> int | None:
        return await self._asker.choose(title, options)

    async def ask_text(self, label: str, *, secret: bool = False) -> str | None:
        return await self._asker.read(f"{plain(label)}: ", secret=secret)

    def quit(self) -> None:
        self.leave()

    def start(self, prompt: str) -> None:
        """Show the session that was opened, and run a first prompt if there is one."""
        for notice in self.agent.notices:
            self.screen.line(plain(notice), "warning")
        self.screen.line(f"Kimi in {plain(str(self.session.cwd))}. /help lists the commands.", "dim")
        self.switch(self.session)
        if prompt:
            self._start(self._converse(prompt))

    # --- line_screen.Owner: keys --------------------------------------------------------------------------------------

    def submit(self, text: str) -> bool:
        if self._asker.label is not None:
            self._asker.offer(text)
        elif not text.strip():
            pass
        elif self._shell_mode or commands.find(text):
            return self._submit_command(text)
        elif _COMMAND_WORD.fullmatch(text.strip()) and not Path(text.strip()).exists():
            self.screen.line(f"There is no command {text.strip()}. /help lists them.", "warning")
            return False
        elif self._in_turn:
            self.session.queue(text)
        elif self._job:
            return False
        else:
            self._start(self._converse(text))
        return True

    def _submit_command(self, text: str) -> bool:
        command = None if self._shell_mode else commands.find(text)
        if self._job and not (command and self._in_turn):
            return False
        if not self.screen.keeps_input:
            self.screen.line(f"{self.label()}{plain(text)}", "user")
        if command is None:
            self._start(self._run_shell(text))
        elif self._in_turn:
            self._start_aside(self._execute(text))
        else:
            self._start(self._execute_alone(text))
        return True

    def steer(self, text: str) -> bool:
        if not self._in_turn or self._asker.label is not None or not text.strip():
            return self.submit(text)
        self.session.steer(text)
        return True

    def interrupt(self) -> bool:
        if self._in_turn:
            self.session.interrupt()
            return True
        if self._asker.dismiss():
            return True
        if self._shell.running:
            self._shell.interrupt()
            return True
        return self._job is not None and self._job.cancel()

    def leave(self) -> None:
        self.screen.stop()

    def take_back(self) -> str | None:
        return self.session.take_back()

    def toggle_shell(self) -> None:
        self._shell_mode = not self._shell_mode
        self.screen.refresh()

    def toggle_plan(self) -> None:
        self.apply(self.session.set_mode("default" if self.session.mode == "plan" else "plan"))

    # --- line_screen.Owner: what it shows -----------------------------------------------------------------------------

    @property
    def secret(self) -> bool:
        return self._asker.secret

    def remembers(self) -> bool:
        return self._asker.label is None

    def label(self) -> str:
        if self._asker.label is not None:
            return self._asker.label
        return "$ " if self._shell_mode else "> "

    def wants_input(self) -> bool:
        return self._asker.label is not None or self._job is None

    def home(self) -> Path:
        return self.agent.home

    def folder(self) -> Path:
        return self.session.cwd

    def live(self) -> list[str]:
        status = self._transcript.status
        waiting = [("steering: ", text) for text in status.steering] + [("queued: ", text) for text in status.queue]
        shown = self._drawer.live(self._transcript) if self._in_turn else []
        return shown + [kind + plain(text).replace("\n", " ") for kind, text in waiting]

    def status(self) -> str:
        status = self._transcript.status
        parts = [plain(self.session.model.name) or "no model"]
        if self.session.mode != "default":
            parts.append(self.session.mode)
        if status.context and status.context_size:
            parts.append(f"context {status.context / status.context_size:.0%}")
        if status.cost is not None:
            parts.append(f"cost {status.cost:.2f}")
        if self._in_turn:
            parts.append("working, Esc interrupts")
        return " | ".join(parts)

    # --- jobs: one turn, command or shell command at a time -----------------------------------------------------------

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._job = asyncio.create_task(work)
        self._job.add_done_callback(self._job_done)
        self.screen.refresh()

    def _job_done(self, job: "asyncio.Task[None]") -> None:
        self._job = None
        self.screen.refresh()
        _raise(job)

    def _start_aside(self, work: Coroutine[Any, Any, None]) -> None:
        """A command that may run beside a turn."""
        task = asyncio.create_task(work)
        self._side_jobs.add(task)
        task.add_done_callback(self._side_jobs.discard)
        task.add_done_callback(_raise)

    async def close(self) -> None:
        """End what runs; the session keeps what was done."""
        if self._job is None:
            return
        job = self._job
        self._shell.kill()
        self.session.interrupt()
        self._asker.dismiss()
        _, pending = await asyncio.wait([job], timeout=2)
        for task in pending:
            task.cancel()

    async def _converse(self, *texts: str) -> None:
        """A turn per text, and per text queued meanwhile; what an interrupt left waiting goes back to the person."""
        while texts:
            first, *others = texts
            for other in others:
                self.session.queue(other)
            end = await self._turn(first)
            texts = self._take_all()
            if texts and not (end and end.stop == "done"):
                self.screen.restore("\n\n".join(texts))
                return

    async def _turn(self, text: str) -> ev.TurnEnded | None:
        end: ev.TurnEnded | None = None

        async def watched() -> AsyncIterator[ev.Event]:
            nonlocal end
            async for event in self.session.prompt(text):
                end = event if isinstance(event, ev.TurnEnded) else end
                yield event

        try:
            await self.run(watched())
        except KimiError as error:
            self.screen.line(f"{plain(str(error))} {error.hint}".rstrip(), "error")
        return end

    def _take_all(self) -> tuple[str, ...]:
        texts: list[str] = []
        while (text := self.session.take_back()) is not None:
            texts.insert(0, text)
        self._transcript.apply(ev.Queued())
        return tuple(texts)

    async def _execute(self, text: str) -> None:
        await commands.execute(self, text)

    async def _execute_alone(self, text: str) -> None:
        await self._execute(text)
        await self._converse(*self._take_all())

    async def _run_shell(self, command: str) -> None:
        """The person's own command; its output is for them, the model does not see it."""
        rest = ""

        def output(text: str) -> None:
            nonlocal rest
            *lines, rest = (rest + text).split("\n")
            for line in lines:
                self.screen.line(plain(line))

        code = await self._shell.run(command, output)
        if rest:
            self.screen.line(plain(rest))
        if code != 0:
            self.screen.line("(killed)" if code is None else f"(exit {code})", "dim")


def _raise(task: "asyncio.Task[None]") -> None:
    """An error of ours in a task ends the program with its traceback instead of vanishing."""
    if not task.cancelled() and (error := task.exception()):
        asyncio.get_running_loop().call_exception_handler({"message": "line mode", "exception": error, "task": task})
