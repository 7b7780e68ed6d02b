"""Public doubles: an agent whose sessions play scripts of events, for tests of front ends."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from kimi_agent.agent.file_history import FileHistory
from kimi_agent.agent.skills import Library
from kimi_agent.agent.tasks import BackgroundTasks
from kimi_agent.core import event as ev
from kimi_agent.core.ask import Ask
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import KimiError, SessionError
from kimi_agent.core.message import Image, Message, Text, ToolCall, tool_message, user_message
from kimi_agent.core.provider import Model
from kimi_agent.core.redact import Redactor
from kimi_agent.core.trust import EVERYTHING, Trust

Script = Callable[["FakeSession", str], AsyncIterator[ev.Event]]
"""One turn: what the session emits for a prompt, without `TurnStarted`, the user's message and the last `TurnEnded`."""


def says(*chunks: str, usage: tuple[int, int] = (10, 2)) -> Script:
    """A turn of one step that answers with text, streamed in these chunks."""

    async def turn(session: "FakeSession", text: str) -> AsyncIterator[ev.Event]:
        yield ev.StepStarted(1, session.model.name)
        for chunk in chunks:
            yield ev.TextDelta(chunk)
            await asyncio.sleep(0)
        yield ev.MessageAdded(Message("assistant", (Text("".join(chunks)),), "model"))
        yield ev.Usage(session.model.name, *usage)

    return turn


def calls(call: ToolCall, effects: tuple[Effect, ...], finished: ev.ToolFinished, result: str, answer: str) -> Script:
    """A turn of two steps: one tool call that runs unasked, then an answer."""

    async def turn(session: "FakeSession", text: str) -> AsyncIterator[ev.Event]:
        yield ev.StepStarted(1, session.model.name)
        yield ev.MessageAdded(Message("assistant", (call,), "model"))
        yield ev.ToolStarted(call, effects)
        yield finished
        yield ev.MessageAdded(tool_message(call.id, result, is_error=finished.is_error))
        yield ev.StepStarted(2, session.model.name)
        yield ev.TextDelta(answer)
        yield ev.MessageAdded(Message("assistant", (Text(answer),), "model"))
        yield ev.Usage(session.model.name, 10, 2)

    return turn


async def shrinks(session: "FakeSession", focus: str) -> AsyncIterator[ev.Event]:
    yield ev.Compacted(100, 10)


class FakeSession:
    """A session that plays one script per prompt. `prompts` are the texts it was given, `answers` what `ask` said."""

    def __init__(self, agent: "FakeAgent", session_id: str, ask: Ask, cwd: Path) -> None:
        self.agent, self.id, self.ask, self.cwd = agent, session_id, ask, cwd
        self.mode: ev.Mode = "default"
        self.model = next(iter(agent.models.values()))
        self.title, self.plan_file = "", cwd / "plan.md"
        self.skills = Library()
        self.commands: dict[str, Any] = {}
        self.thinking: str | None = None
        self.running, self.saved = False, True
        self.workspace: Any = agent.workspace
        self.box: Any = agent.box
        self.servers: Any = None
        self.prompts: list[str] = []
        self.steered: list[str] = []
        self.queued: list[str] = []
        self.answers: list[Any] = []
        self.listener: Any = None
        self.tasks = BackgroundTasks(lambda event: None, lambda: None)
        self.files = FileHistory(None, lambda event: None, self.tasks.commands, "")  # which saves nothing
        self._log: list[ev.Event] = [ev.SessionStarted(session_id, str(cwd), 0.0, "0", self.model.name)]
        self._task: asyncio.Task[None] | None = None

    def events(self) -> list[ev.Event]:
        return list(self._log)

    def events_since_opened(self) -> list[ev.Event]:
        return self._log[1:]

    async def question(self, question: Any) -> Any:
        """For scripts: ask the person, remember the answer."""
        answer = await self.ask(question)
        self.answers.append(answer)
        return answer

    async def prompt(
        self, text: str, images: tuple[Image, ...] = (), typed: str | None = None
    ) -> AsyncIterator[ev.Event]:
        out: asyncio.Queue[ev.Event | None] = asyncio.Queue()
        self._task = asyncio.create_task(self._turns(text, images, out))
        try:
            while (event := await out.get()) is not None:
                yield event
        finally:
            self.running = False
            self._task.cancel()

    async def _turns(self, text: str, images: tuple[Image, ...], out: "asyncio.Queue[ev.Event | None]") -> None:
        waiting = [text]
        while waiting:
            end = await self._turn(waiting.pop(0), images, out)
            waiting += [self.queued.pop(0)] if self.queued and end.stop == "done" else []
        out.put_nowait(None)

    async def _turn(self, text: str, images: tuple[Image, ...], out: "asyncio.Queue[ev.Event | None]") -> ev.TurnEnded:
        def emit(event: ev.Event) -> None:
            if not isinstance(event, ev.DELTAS):
                self._log.append(event)
            out.put_nowait(event)

        self.running = True
        self.prompts.append(text)
        emit(ev.TurnStarted(len(self.prompts)))
        emit(ev.MessageAdded(user_message(text, images)))
        end = ev.TurnEnded("done", steps=1)
        try:
            async for event in self.agent.next_script()(self, text):
                if isinstance(event, ev.TurnEnded):
                    end = event
                else:
                    emit(event)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
            end = ev.TurnEnded("interrupted")
        self.running = False
        emit(end)
        return end

    def steer(self, text: str) -> None:
        self.steered.append(text)

    def queue(self, text: str) -> None:
        self.queued.append(text)

    def take_back(self) -> str | None:
        return next((texts.pop() for texts in (self.queued, self.steered) if texts), None)

    def listen(self, listener: Any) -> None:
        self.listener = listener

    has_news = False

    async def go_on(self) -> AsyncIterator[ev.Event]:
        for event in ():
            yield event

    def interrupt(self) -> None:
        if self._task and self.running:
            self._task.cancel()

    async def compact(self, focus: str = "") -> AsyncIterator[ev.Event]:
        async for event in self.agent.compaction(self, focus):
            yield event

    def undo(self, turns: int = 1) -> list[ev.Event]:
        return self._record(ev.Rewound(turns))

    def fork(self) -> "FakeSession":
        other = self.agent.open(None, ask=self.ask, cwd=self.cwd)
        other._log += self._log[1:]
        return other

    def rename(self, title: str) -> list[ev.Event]:
        self.title = title
        return self._record(ev.Titled(title))

    def set_mode(self, mode: ev.Mode) -> list[ev.Event]:
        self.mode = mode
        return self._record(ev.ModeChanged(mode))

    def set_model(self, name: str, thinking: str | None = None) -> list[ev.Event]:
        if name not in self.agent.models:
            raise KimiError(f"There is no model {name!r}.")
        self.model = self.agent.models[name]
        return self._record(ev.ModelChanged(name))

    async def aclose(self) -> None:
        self.interrupt()

    def _record(self, event: ev.Event) -> list[ev.Event]:
        self._log.append(event)
        return [event]


class FakeAgent:
    """Plays `scripts` in order, one per prompt of any session; the last one is played again and again."""

    def __init__(self, *scripts: Script, workspace: Any = None, home: Path | None = None) -> None:
        self.models = {"fake": Model("fake", "fake-1", "fake", 1000), "other": Model("other", "other-1", "fake")}
        self.default_model = "fake"
        self.scripts = list(scripts)
        self.sessions: dict[str, FakeSession] = {}
        self.workspace = workspace
        self.box: Any = None
        self.home = home or Path("/nonexistent")
        self.cwd = Path.cwd()
        self.notices: list[str] = []
        self.login: Any = None
        self.compaction: Script = shrinks
        self.redactor = Redactor()
        self.trust: Callable[[Path], Trust] = lambda folder: EVERYTHING
        self.closed = False

    async def served_models(self) -> Sequence[Model]:
        return ()

    def next_script(self) -> Script:
        return self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]

    def open(
        self,
        session_id: str | None = None,
        *,
        ask: Ask,
        cwd: Path | None = None,
        mode: ev.Mode = "default",
        model: str | None = None,
    ) -> FakeSession:
        if session_id is not None:
            if session_id not in self.sessions:
                raise SessionError(f"There is no session {session_id!r}.")
            session = self.sessions[session_id]
            session.ask = ask
            return session
        session = FakeSession(self, f"session-{len(self.sessions) + 1}", ask, cwd or Path.cwd())
        session.mode = mode
        if model:
            session.set_model(model)
        self.sessions[session.id] = session
        return session

    async def aclose(self) -> None:
        self.closed = True


async def collect(events: AsyncIterator[ev.Event]) -> list[ev.Event]:
    return [event async for event in events]


def fold(events: Iterable[ev.Event]) -> Any:
    from kimi_agent.agent.transcript import Transcript

    transcript = Transcript()
    for event in events:
        transcript.apply(event)
    return transcript
