"""A session: one conversation in one folder, with its log, its permissions and its waiting texts."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from kimi_agent.agent.calls import Caller
from kimi_agent.agent.compactor import Compactor
from kimi_agent.agent.history import History
from kimi_agent.agent.loop import Turn, run_turn
from kimi_agent.agent.permissions import Permissions
from kimi_agent.agent.skills import Library
from kimi_agent.agent.store import SessionLog, clean, encode_line, scrubbed
from kimi_agent.agent.tasks import BackgroundTasks
from kimi_agent.agent.waiting import Waiting
from kimi_agent.core import event as ev
from kimi_agent.core.ask import Ask
from kimi_agent.core.display import Todo, TodoList
from kimi_agent.core.errors import KimiError, SessionError
from kimi_agent.core.gate import Gate
from kimi_agent.core.message import Image, Message, user_message
from kimi_agent.core.provider import Model, Provider, ToolSpec
from kimi_agent.core.schema import tool_spec
from kimi_agent.core.tool import Tool
from kimi_agent.core.workspace import Workspace

if TYPE_CHECKING:
    from kimi_agent.agent.hooks import Hooks

MakeHooks: TypeAlias = Callable[[str, Path, Path, Callable[[ev.Event], None], bool], "Hooks"]
"""Makes a session's hooks from its id, its folder, its file, its `emit` and whether it is resumed."""
MOVED = "[The working folder is now"


@dataclass(frozen=True, slots=True)
class Limits:
    """`max_steps` per turn; the history is compacted at `compaction_ratio` of the window or when `reserved` tokens are left.

    `max_output` bounds one reply in tokens, None leaves it to the provider.
    """

    max_steps: int = 300
    compaction_ratio: float = 0.85
    reserved: int = 50_000
    max_output: int | None = None


class Session:
    """Made by `Agent.open`. One turn runs at a time; everything else may be called while it runs unless it says otherwise."""

    def __init__(
        self,
        *,
        log: SessionLog,
        scratch: Path,
        workspace: Workspace,
        tools: Sequence[Tool],
        gates: Sequence[Gate],
        permissions: Permissions,
        ask: Ask,
        make_provider: Callable[[str], Provider],
        find_window: Callable[[Model], Awaitable[int]],
        fork_log: Callable[[Sequence[ev.Event]], "Session"],
        model: Model,
        thinking: str | None,
        limits: Limits,
        skills: Library | None = None,
        make_hooks: MakeHooks | None = None,
        commands: Mapping[str, Any] | None = None,
    ) -> None:
        started = log.events[0]
        assert isinstance(started, ev.SessionStarted)
        self.id = started.id
        self.system = started.system_prompt
        self.workspace, self.cwd, self.model, self.thinking = workspace, workspace.root, model, thinking
        self.ask = ask
        self.skills = skills or Library()
        self.commands = commands or {}  # slash commands by name, for `commands.py` alone
        self.todos: tuple[Todo, ...] = ()
        self._todos_before: list[tuple[Todo, ...]] = []  # of each turn that is not undone
        self.title = ""
        self._log, self._scratch, self._limits = log, scratch, limits
        self._tools = {tool.name: tool for tool in tools}
        self._specs: tuple[ToolSpec, ...] = tuple(tool_spec(tool) for tool in tools)
        self._permissions, self._make_provider, self._fork_log = permissions, make_provider, fork_log
        self._find_window = find_window
        self._window_search: asyncio.Task[None] | None = None
        self._provider: Provider | None = None
        self._history = History(scratch)
        self._last_count: tuple[list[Message], int, int] = ([], 0, 0)  # messages, how many of them, their tokens
        self._events_before = len(log.events)
        self._turns_done = sum(isinstance(event, ev.TurnStarted) for event in log.events)
        self._used_ids = {call.id for e in log.events if isinstance(e, ev.MessageAdded) for call in e.message.calls}
        self._waiting = Waiting(self._show)
        self._task: asyncio.Task[None] | None = None
        self._watcher: Callable[[ev.Event], None] | None = None
        self._saving = True
        self._went_well = False  # the last turn was done, or the compaction
        self._compactor: Compactor | None = None
        self._hooks = make_hooks(self.id, self.cwd, log.path, self._emit, self._turns_done > 0) if make_hooks else None
        self.tasks = BackgroundTasks(self._emit, lambda: None)
        self._caller = Caller(
            self._tools, [*gates, *permissions.gates()], permissions, workspace, scratch, ask, self._emit, log.sync,
            lambda: self.todos, self.tasks, self._hooks,
        )  # fmt: skip
        for event in log.events:
            self._history.apply(event)
            self._follow(event)
        for repair in self._history.repairs():
            self._emit(ev.MessageAdded(repair))
        ends = [event for event in log.events if isinstance(event, ev.TurnStarted | ev.TurnEnded)]
        if ends and isinstance(ends[-1], ev.TurnStarted):  # killed in the middle of a turn
            self._emit(ev.TurnEnded("interrupted"))

    # --- what front ends read -----------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        return self._task is not None

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

    async def prompt(self, text: str, images: tuple[Image, ...] = ()) -> AsyncIterator[ev.Event]:
        """Run a turn, then one turn per queued text, and yield their events. Closing the generator interrupts the turn.

        A failure of the model arrives as `TurnEnded("error", ...)`. Raises SessionError when a turn runs already.
        """
        async with contextlib.aclosing(self._chain(lambda: self._turns(text, images))) as events:
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
            self._waiting.end_turn()
            text = self._waiting.next_prompt() if self._went_well else None
            if text is None:
                return
            work = functools.partial(self._turns, text, ())

    async def _drive(self, work: Coroutine[Any, Any, None]) -> AsyncGenerator[ev.Event, None]:
        """The only place where the push of events meets the pull of a front end."""
        if self._task is not None:
            work.close()
            raise SessionError("a turn is running in this session", "Queue the text, or interrupt the turn.")
        events: asyncio.Queue[ev.Event | None] = asyncio.Queue()
        self._watcher, self._saving = events.put_nowait, True
        task = self._task = asyncio.create_task(work)
        task.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                yield event
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            self._task, self._watcher = None, None

    async def _turns(self, text: str, images: tuple[Image, ...]) -> None:
        while True:
            try:
                turn = self._turn()
            except KimiError as error:
                self._turns_done += 1
                self._emit(ev.TurnStarted(self._turns_done))
                self._emit(ev.MessageAdded(user_message(text, images)))
                end = ev.TurnEnded("error", error.full, type(error).__name__)
                self._emit(end)
                return
            self._turns_done += 1
            try:
                end = await run_turn(turn, self._turns_done, text, images)
            finally:
                self._waiting.end_turn()
            self._went_well = end.stop == "done"
            following = self._waiting.next_prompt() if self._went_well else None
            if following is None:
                return
            text, images = following, ()

    def _turn(self) -> Turn:
        provider = self._get_provider()
        return Turn(
            provider, self.system, self._specs, self._history, self._caller, self._get_compactor(provider), self._emit,
            self._waiting.take_steering, self.skills.expand, self.id, self._limits.max_steps,
            self.thinking, self._limits.max_output, used_ids=self._used_ids, hooks=self._hooks,
        )  # fmt: skip

    async def _compact(self, focus: str) -> None:
        try:
            turn = self._turn()
            await turn.compactor.compact(turn.request(), focus)
            self._went_well = True
        except KimiError as error:
            self._emit(ev.Notice("error", f"Compaction failed: {error.full}"))
        except Exception as error:  # a bug of ours must not lose the session
            self._emit(ev.Notice("error", f"Compaction failed: {type(error).__name__}: {error}"))

    def _get_provider(self) -> Provider:
        if self._provider is None:
            self._provider = self._make_provider(self.model.name)
        return self._provider

    def _get_compactor(self, provider: Provider) -> Compactor:
        if self._compactor is None:
            self._compactor = Compactor(
                provider, self._emit, lambda: self.todos, self._scratch,
                self._limits.compaction_ratio, self._limits.reserved, hooks=self._hooks,
            )  # fmt: skip
            for event in self._log.events:
                if isinstance(event, ev.ToolStarted):
                    self._compactor.ledger.note(event.effects)
            messages, counted, context = self._last_count
            if messages is self._history.messages and counted <= len(messages):
                self._compactor.resume(context, counted)
        self._compactor.provider = provider
        if not self._compactor.size and self._window_search is None:
            self._window_search = asyncio.create_task(self._look_up_window(self._compactor))
        return self._compactor

    async def _look_up_window(self, compactor: Compactor) -> None:
        """Beside the first turn, ask the server how large the window is. Without an answer nothing is compacted by itself."""
        with contextlib.suppress(KimiError, TimeoutError, OSError):
            compactor.window = await self._find_window(compactor.provider.model)

    def interrupt(self) -> None:
        """End the running turn, if any; its history is closed properly."""
        if self._task is not None:
            self._task.cancel()

    # --- texts that wait ----------------------------------------------------------------------------------------------

    def steer(self, text: str) -> None:
        """Let `text` join the running turn before its next step."""
        self._waiting.steer(text)

    def queue(self, text: str) -> None:
        """Run `text` as the next turn when the running one is done."""
        self._waiting.queue(text)

    def take_back(self) -> str | None:
        """Remove and answer the text that was given last and still waits."""
        return self._waiting.take_back()

    def _show(self, event: ev.Event) -> None:
        """Tell the front end alone: the log does not keep it."""
        if self._watcher is not None:
            self._watcher(event)

    # --- what can be changed ------------------------------------------------------------------------------------------

    def undo(self, turns: int = 1) -> list[ev.Event]:
        """Take the last turns out of the history, or the compaction when that came last. Files stay as they are.

        Raises SessionError while a turn runs, or when there is nothing to undo.
        """
        self._refuse_while_running("undone")
        undone: list[ev.Event] = []
        while self._history.last_is_compaction():  # it may have pruned first and summarised then
            undone += self._change(ev.Rewound(compaction=True))
        if undone:
            return undone
        available = self._history.turns()
        if not 0 < turns <= available:
            raise SessionError(f"there are {available} turns to undo, not {turns}" if available else "nothing to undo")
        return self._change(ev.Rewound(turns=turns))

    def fork(self) -> "Session":
        """A new session that begins with this history. Raises SessionError while a turn runs."""
        self._refuse_while_running("forked")
        return self._fork_log(self._log.events)

    def tell_once(self, text: str, level: Literal["info", "warning"] = "warning") -> None:
        """A notice, unless this very one is in the log already."""
        if not any(isinstance(event, ev.Notice) and event.text == text for event in self._log.events):
            self._change(ev.Notice(level, text))

    def tell_folder(self, recorded: str) -> None:
        """When the system prompt, or what was told since, names another working folder: tell the model and the person."""
        folder = clean(str(self.cwd))
        told = [m.text for m in self._history.messages if m.origin == "agent" and m.text.startswith(MOVED)]
        text = f"{MOVED} {folder}]"
        if (told[-1] != text) if told else (folder != recorded):
            self._change(ev.MessageAdded(user_message(text, origin="agent")))
            self._change(ev.Notice("warning", f"This session began in {recorded}; it goes on in {folder}."))

    def rename(self, title: str) -> list[ev.Event]:
        return self._change(ev.Titled(" ".join(title.split())[:200]))

    def set_mode(self, mode: ev.Mode) -> list[ev.Event]:
        self._permissions.mode = mode
        return self._change(ev.ModeChanged(mode))

    def set_model(self, name: str, thinking: str | None = None) -> list[ev.Event]:
        """Go on with another model. Raises KimiError when it is unknown, or while a turn runs."""
        self._refuse_while_running("given another model")
        provider = self._make_provider(name)
        self._provider, self.model, self._window_search = provider, provider.model, None
        if self._compactor is not None:
            self._compactor.window = 0
        self.thinking = thinking if thinking is not None else self.thinking
        return self._change(ev.ModelChanged(name))

    def _refuse_while_running(self, verb: str) -> None:
        if self.running:
            raise SessionError(f"a session cannot be {verb} while a turn runs", "Interrupt it first (Esc).")

    def _change(self, event: ev.Event) -> list[ev.Event]:
        self._saving = True
        self._emit(event)
        if self._compactor is not None and isinstance(event, ev.Rewound):
            self._compactor.forget()
        return [event]

    async def aclose(self) -> None:
        """End the running turn and close the file and the connection."""
        tasks = [task for task in (self._task, self._window_search) if task is not None and not task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1)
        await self.tasks.aclose()
        if self._hooks is not None:
            await self._hooks.aclose()
        self._log.close()
        if self._provider is not None:
            await self._provider.aclose()

    # --- events -------------------------------------------------------------------------------------------------------

    def announce(self, event: ev.Event) -> None:
        """Log and show what happened outside of a turn. Raises as `_emit` does."""
        self._emit(event)

    def _emit(self, event: ev.Event) -> None:
        """Apply, show and log one event. Raises SessionError once when the log cannot be written.

        After that the turn closes its history in memory, and the next successful write catches up.
        """
        try:
            line = encode_line(event)
        except UnicodeEncodeError:
            event = scrubbed(event)
            line = encode_line(event)
        self._history.apply(event)
        self._follow(event)
        if self._watcher is not None:
            self._watcher(event)
        if isinstance(event, ev.DELTAS):
            return
        try:
            self._log.append(event, line)
        except SessionError:
            if self._saving:
                self._saving = False
                raise

    def _follow(self, event: ev.Event) -> None:
        match event:
            case ev.ToolFinished(_, TodoList(items)):
                self.todos = items
            case ev.TurnStarted():
                self._todos_before.append(self.todos)
            case ev.Rewound(turns) if 0 < turns <= len(self._todos_before):
                self.todos = self._todos_before[-turns]
                del self._todos_before[-turns:]
            case ev.Titled(title):
                self.title = title
            case ev.Usage():
                self._last_count = (self._history.messages, len(self._history.messages), event.context)
            case ev.ToolStarted(_, effects) if self._compactor is not None:
                self._compactor.ledger.note(effects)
            case _:
                pass
