"""A session: one conversation in one folder, with its log, its permissions and its waiting texts."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

from kimi_agent.agent.aside import ask_aside
from kimi_agent.agent.calls import Caller
from kimi_agent.agent.evidence import Ledger, evidence_gate
from kimi_agent.agent.file_history import FileHistory
from kimi_agent.agent.goal import GoalKeeper
from kimi_agent.agent.history import History
from kimi_agent.agent.late import late_notes
from kimi_agent.agent.loop import Turn
from kimi_agent.agent.mentions import Mentions
from kimi_agent.agent.plan_mode import mode_note
from kimi_agent.agent.runner import Runner
from kimi_agent.agent.served import Served
from kimi_agent.agent.session_parts import Listener, SessionParts
from kimi_agent.agent.store import keepable
from kimi_agent.agent.tasks import BackgroundTasks, told_end
from kimi_agent.agent.todos import Todos
from kimi_agent.agent.turns import MAX_WOKEN, Turns
from kimi_agent.agent.waiting import Waiting
from kimi_agent.core import event as ev
from kimi_agent.core.display import Todo
from kimi_agent.core.errors import SessionError
from kimi_agent.core.goal import Goal, GoalState
from kimi_agent.core.message import Image
from kimi_agent.core.provider import Model
from kimi_agent.core.rules import Rules
from kimi_agent.core.servers import Servers


class Session:
    """Made by `Agent.open`. One turn runs at a time; everything else may be called while it runs unless it says otherwise."""

    def __init__(self, parts: SessionParts) -> None:
        log, started = parts.log, parts.log.events[0]
        assert isinstance(started, ev.SessionStarted)
        self.id = started.id
        self.workspace, self.cwd = parts.workspace, parts.workspace.root
        self.ask, self.redactor, self.box = parts.ask, parts.redactor, parts.box
        self.skills, self.agent_types = parts.skills, parts.agent_types
        self.servers: Servers | None = None  # of MCP
        self.late: Sequence[str] = ()  # what its folder says, and its system prompt does not
        self.commands = parts.commands  # slash commands by name, for `commands.py` alone
        self._todos = Todos()
        self.title = ""
        self._log, self._permissions, self._fork_log = log, parts.permissions, parts.fork_log
        self.plan_file = parts.plan_file
        self._mentions = Mentions(parts.attach, parts.workspace, self._emit, Served(self))
        self.mode_before_plan: ev.Mode = "default"
        self._mode_told = False  # the model knows whether plan mode is on
        self._events_before = len(log.events)
        turns = sum(isinstance(event, ev.TurnStarted) for event in log.events)
        self.waiting = Waiting(self._show)  # texts, to be edited at any time
        self._notes: list[str] = []
        self._task: asyncio.Task[None] | None = None
        self._watcher: Callable[[ev.Event], None] | None = None
        self._listener: Listener | None = None
        self.saved = True  # the file holds all that happened
        self._went_well = False  # the last turn was done, or the compaction
        self.hooks = parts.make_hooks(self.id, self.cwd, log.path, self._emit, turns > 0) if parts.make_hooks else None
        self.tasks = BackgroundTasks(self.emit_aside, self._wake, parts.max_tasks)
        self.files = FileHistory(parts.make_snapshots, self.emit_aside, self.tasks.commands, parts.private)
        tools = [*parts.tools, *parts.session_tools(self)]
        caller = Caller(
            {tool.name: tool for tool in tools}, parts.permissions.gates(parts.gates), parts.permissions,
            parts.workspace, parts.scratch, parts.ask, self._emit, log.sync, lambda: self.todos, self.tasks, self.hooks,
            files=self.files, redactor=self.redactor, session=self.id,
        )  # fmt: skip
        self.runner = Runner(
            self.id, started.system_prompt, caller, None, parts.models, parts.model, parts.thinking, parts.limits,
            History(parts.scratch),
        )  # fmt: skip
        own = (str(parts.scratch), str(parts.plan_file))
        self.ledger, self._evidence = Ledger(str(parts.workspace.root), own), parts.evidence
        self.goals = GoalKeeper(caller, self.ledger, parts.permissions.grant, rounds=parts.rounds)
        self._turns = Turns(
            self.runner, self._turn, lambda: self.skills, self.waiting, lambda: self.has_news, turns, self.goals
        )
        self._take_up(log.events)

    def _take_up(self, events: Sequence[ev.Event]) -> None:
        """Fold the log in, and close what a crash left open."""
        for event in events:
            self._follow(event)
        for repair in self.runner.history.repairs():
            self._emit(ev.MessageAdded(repair))
        self.tasks.take_up(events)
        ends = [event for event in events if isinstance(event, ev.TurnStarted | ev.TurnEnded)]
        if ends and isinstance(ends[-1], ev.TurnStarted):  # killed in the middle of a turn
            self._emit(ev.TurnEnded("interrupted"))
        self.goals.end_turn()

    # --- what front ends read -----------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        return self._task is not None

    @property
    def model(self) -> Model:
        return self.runner.model

    @property
    def thinking(self) -> str | None:
        """None (as the model does), "off", "on" or an effort."""
        return self.runner.thinking

    @thinking.setter
    def thinking(self, value: str | None) -> None:
        self.runner.thinking = value

    @property
    def todos(self) -> tuple[Todo, ...]:
        return self._todos.items

    @property
    def goal(self) -> Goal | None:
        return self.goals.goal

    @property
    def mode(self) -> ev.Mode:
        return self._permissions.mode

    def events(self) -> list[ev.Event]:
        """The durable events so far, for a Transcript."""
        return list(self._log.events)

    def events_since_opened(self) -> list[ev.Event]:
        """The durable events since this process took the session up, by opening it too."""
        return list(self._log.events[self._events_before :])

    # --- turns --------------------------------------------------------------------------------------------------------

    async def prompt(
        self, text: str, images: tuple[Image, ...] = (), typed: str | None = None
    ) -> AsyncIterator[ev.Event]:
        """Run a turn, then one turn per queued text, and yield their events. Closing the generator interrupts the turn.

        `typed` is the part of `text` that a person typed, whose mentions are read; None: all of it. A failure of the model
        arrives as `TurnEnded("error", ...)`. Raises SessionError when a turn runs already.
        """
        self._mentions.only(text, typed)
        async with contextlib.aclosing(self._chain(lambda: self._run(text, images))) as events:
            async for event in events:
                yield event

    async def go_on(self) -> AsyncIterator[ev.Event]:
        """A turn about what the model has not heard yet (a background task has ended); nothing when there is nothing."""
        if self.has_news:
            async with contextlib.aclosing(self._chain(lambda: self._run(""))) as events:
                async for event in events:
                    yield event

    async def compact(self, focus: str = "") -> AsyncIterator[ev.Event]:
        """Make the history short now, then run the texts queued meanwhile. Raises as `prompt` does."""
        async with contextlib.aclosing(self._chain(lambda: self._compact(focus))) as events:
            async for event in events:
                yield event

    async def _chain(self, work: Callable[[], Coroutine[Any, Any, None]]) -> AsyncGenerator[ev.Event, None]:
        """Drive `work`, then the texts that came while its last events were on their way to a slow screen."""
        while True:
            self._went_well = False
            async with contextlib.aclosing(self._drive(work())) as events:
                async for event in events:
                    yield event
            self.waiting.end_turn()
            text = self.waiting.next_prompt() if self._went_well else None
            if text is None and not (self._went_well and self.has_news):
                return
            work = functools.partial(self._run, text or "")

    async def _drive(self, work: Coroutine[Any, Any, None]) -> AsyncGenerator[ev.Event, None]:
        """The only place where the push of events meets the pull of a front end."""
        if self._task is not None:
            work.close()
            raise SessionError("a turn is running in this session", "Queue the text, or interrupt the turn.")
        events: asyncio.Queue[ev.Event | None] = asyncio.Queue()
        self._watcher = events.put_nowait
        task = self._task = asyncio.create_task(work)
        task.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                yield event
            while not events.empty() and (event := events.get_nowait()):  # the background went on meanwhile
                yield event
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            self._task, self._watcher = None, None

    async def _run(self, text: str, images: tuple[Image, ...] = ()) -> None:
        self._went_well = False
        if self.servers is not None and self.runner.profile is None:
            self.servers.start(gently=True)  # the request goes first
        self._went_well = await self._turns.run(text, images)
        await self.files.quiet()  # what the person changes from now on is theirs

    def _turn(self) -> Turn:
        turn = self.runner.turn()
        turn.take_steering, turn.take_notes = self.waiting.take_steering, self._take_notes
        turn.expand, turn.attach, turn.hooks = self.skills.expand, self._mentions.read, self.hooks
        turn.end_gates = [self.goals.gate]
        if self._evidence != "off":
            turn.end_gates.append(evidence_gate(self.ledger, self._emit, asks=self._evidence == "ask"))
        return turn

    async def _compact(self, focus: str) -> None:
        self._went_well = await self.runner.compact(focus)

    def interrupt(self) -> None:
        """End the running turn, if any; its history is closed properly."""
        if self._task is not None:
            self._task.cancel()

    # --- texts that wait ----------------------------------------------------------------------------------------------

    def steer(self, text: str) -> None:
        """Let `text` join the running turn before its next step."""
        self.waiting.steer(text)

    def queue(self, text: str) -> None:
        """Run `text` as the next turn when the running one is done."""
        self.waiting.queue(text)

    def take_back(self) -> str | None:
        """Remove and answer the text that was given last and still waits."""
        return self.waiting.take_back()

    def _show(self, event: ev.Event) -> None:
        """Tell the front end alone: the log does not keep it."""
        if self._watcher is not None:
            self._watcher(event)

    # --- what the model is told by the program ------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """Tell the model before its next step; that alone does not wake it."""
        self._notes.append(text)

    @property
    def has_news(self) -> bool:
        """Whether there is something for which `go_on` would start a turn."""
        return self.tasks.has_news and self._turns.woken < MAX_WOKEN

    def _take_notes(self) -> list[str]:
        notes, self._notes = self._notes, []
        if not self._mode_told:
            note = mode_note(self.runner.history.messages, self.mode, self.plan_file, has_tools=not self.runner.profile)
            notes += [note] if note else []
            self._mode_told = True
        late = late_notes(self.runner.history.messages, self.late) if (full := self.runner.profile is None) else []
        late += self.servers.take_notes(self.id) if self.servers is not None and full else []
        return [*notes, *late, *(told_end(task) for task in self.tasks.take_ended())]

    def listen(self, listener: Listener | None) -> None:
        """Who is told of what happens while no turn runs."""
        self._listener = listener

    def _wake(self) -> None:
        if not self.running and self._listener is not None:
            self._listener.wake()

    async def aside(self, question: str) -> str:
        """The answer to a side question, also while a turn runs; only its cost is kept. Raises KimiError as a provider does."""

        def show(event: ev.Event) -> None:
            if isinstance(event, ev.Usage):
                self.emit_aside(ev.Nested("btw", event))

        return await ask_aside(self.runner, self.redactor.text(question), show)

    # --- what can be changed ------------------------------------------------------------------------------------------

    def undo(self, turns: int = 1) -> list[ev.Event]:
        """Take the last turns out of the history, or the compaction when that came last; of files see rewind.py.

        Raises SessionError while a turn runs, or when there is nothing to undo."""
        self._refuse_while_running("undone")
        undone: list[ev.Event] = []
        while self.runner.history.last_is_compaction():  # it may have pruned first and summarised then
            undone += self._change(ev.Rewound(compaction=True))
        if undone:
            return undone
        self.runner.history.require_turns(turns)
        return self._change(ev.Rewound(turns=turns))

    def redo(self) -> list[ev.Event]:
        """Put the turns of the last undo into the history again. Raises SessionError as `undo` does."""
        self._refuse_while_running("redone")
        turns = self.runner.history.can_redo
        if not turns:
            raise SessionError("there is nothing to redo", "A new turn, and a compaction, end that.")
        return self._change(ev.Redone(turns))

    def fork(self, turns: int = 0) -> "Session":
        """A new session that begins with this history, less its last `turns` turns. Raises SessionError as `undo` does."""
        self._refuse_while_running("forked")
        if not turns:
            return self._fork_log(self._log.events)
        self.runner.history.require_turns(turns)
        return self._fork_log([*self._log.events, ev.Rewound(turns=turns)])

    def rename(self, title: str) -> list[ev.Event]:
        return self._change(ev.Titled(" ".join(title.split())[:200]))

    def change_goal(self, state: GoalState) -> list[ev.Event]:
        """Pause or stop the goal; a turn that works on it goes on to its end. Raises ConfigError when there is none."""
        events = self.goals.change(state)
        return [] if self.running else events  # shown already

    def set_mode(self, mode: ev.Mode) -> list[ev.Event]:
        if mode == "plan" and self.mode != "plan":
            self.mode_before_plan = self.mode
        self._permissions.mode = mode
        return self._change(ev.ModeChanged(mode))

    def set_rules(self, rules: Rules | None) -> None:
        self._permissions.rules = rules

    def set_model(self, name: str, thinking: str | None = None) -> list[ev.Event]:
        """Go on with another model. Raises KimiError when it is unknown, or while a turn runs."""
        self._refuse_while_running("given another model")
        self.runner.set_model(name)
        self.thinking = thinking if thinking is not None else self.thinking
        return self._change(ev.ModelChanged(name))

    def _refuse_while_running(self, verb: str) -> None:
        if self.running:
            raise SessionError(f"a session cannot be {verb} while a turn runs", "Interrupt it first (Esc).")

    def _change(self, event: ev.Event) -> list[ev.Event]:
        self._emit(event)
        return [event]

    async def aclose(self) -> None:
        """End the running turn and close the file and the connection."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=1)
        await self.tasks.aclose()
        await self.files.aclose()
        if self.hooks is not None:
            await self.hooks.aclose()
        self._log.close()
        await self.runner.aclose()

    # --- events -------------------------------------------------------------------------------------------------------

    def announce(self, event: ev.Event) -> None:
        """Log and show what happened outside of a turn. Raises as `_emit` does."""
        self._emit(event)

    def _emit(self, event: ev.Event, *, aside: bool = False) -> None:
        """Apply, show and log one event. What happens `aside` the listener is shown while no turn runs.

        Raises SessionError, once, when the log cannot be written any more: the turn ends, and the next one goes on in memory
        until a write catches up. Where nothing could be written from the start, that is told and nothing is raised.
        """
        event, line = keepable(event, self.redactor)
        self._follow(event)
        show = self._watcher or (self._listener.show if aside and self._listener is not None else None)
        if show is not None:
            show(event)
        if ev.is_delta(event):
            return
        try:
            self._log.append(event, line)
            self.saved = True
        except SessionError as error:
            before, self.saved = self.saved, False
            if before and self._log.written:
                raise
            if before:
                self._emit(ev.Notice("warning", f"{error}. It goes on in memory alone."), aside=True)

    def emit_aside(self, event: ev.Event) -> None:
        """Log and show what happens beside the turn: in the background, in a subagent."""
        self._emit(event, aside=True)

    def _follow(self, event: ev.Event) -> None:
        self.runner.apply(event)
        self._permissions.reads.follow(event)
        self.ledger.apply(event)
        self.goals.apply(event)
        self._todos.apply(event)
        match event:
            case ev.TaskChanged(task) if task.state != "running":
                self.files.task_ended()
            case ev.Titled(title):
                self.title = title
            case ev.ModeChanged() | ev.Compacted() | ev.Rewound() | ev.Redone():
                self._mode_told = False
