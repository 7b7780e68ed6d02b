"""Subagents: agents that a call starts, each with a history of its own in its session's file.

`Nested` events with the id of the call that runs them are the only record; from them a subagent is taken up again.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from kimi_agent.agent.agent_types import CALLERS, AgentType, AllowedTools, allows
from kimi_agent.agent.calls import Caller
from kimi_agent.agent.history import History, fold
from kimi_agent.agent.loop import run_turn
from kimi_agent.agent.runner import Runner
from kimi_agent.agent.store import keepable
from kimi_agent.core import event as ev
from kimi_agent.core.ask import Answer, Ask, Dismissed, Permission, Question
from kimi_agent.core.display import Plain, Todo, TodoList
from kimi_agent.core.errors import KimiError, ToolError
from kimi_agent.core.message import Message
from kimi_agent.core.provider import Model
from kimi_agent.core.task import TaskEnd
from kimi_agent.core.tool import Tool, ToolContext, ToolOutput, text_output

if TYPE_CHECKING:
    from kimi_agent.agent.session import Session

MAX_PARALLEL = 8
"""Subagents of one session that run at once; more wait for their turn."""
LAST_WORDS_S = 30.0
"""What a subagent in the background may take beyond its time to end by itself, with its report."""
NOBODY = "You are a subagent: nobody answers questions. Decide yourself, and say in your report what you assumed."


class Budget(Struct, frozen=True):
    """What one run may use: steps, tokens (input that was not cached, and output), seconds in front and in the background."""

    max_steps: int = 100
    max_tokens: int = 1_000_000
    seconds: float = 7200.0
    background_seconds: float = 900.0


class SubagentParts(Struct, frozen=True):
    """What subagents are made of besides their session. `make_tools` answers fresh tools for a model, `make_prompt` the whole
    system prompt of a type in the session's folder."""

    models: Callable[[], dict[str, Model]]
    make_tools: Callable[[Model], Sequence[Tool]]
    make_prompt: Callable[[AgentType], str]
    budget: Budget


class Order(Struct, frozen=True):
    """What a call asks for. `resume` is the id of the subagent to go on with; `seconds` None is the budget's."""

    description: str
    prompt: str
    agent_type: str = "coder"
    model: str = ""
    resume: str = ""
    seconds: float | None = None


class _Run(Struct):
    """One run of one subagent, on behalf of the call `call_id`."""

    agent_id: str
    kind: AgentType
    order: Order
    call_id: str
    runner: Runner
    todos: tuple[Todo, ...] = ()


class Subagents:
    """The subagents of one session. They share its permissions, its gates and its hooks, and nobody else is asked."""

    def __init__(self, session: "Session", parts: SubagentParts) -> None:
        self._session, self._parts = session, parts
        self._running: set[str] = set()
        self._count = 0
        self._slots = asyncio.Semaphore(MAX_PARALLEL)

    async def run(self, order: Order, ctx: ToolContext) -> ToolOutput:
        """Run a subagent to its report. Raises ToolError for an order that cannot be followed."""
        run = self._prepare(order, ctx.call_id)
        return await self._finish(run, order.seconds or self._parts.budget.seconds, ctx.progress)

    def start(self, order: Order, ctx: ToolContext) -> ToolOutput:
        """Let a subagent work in the background. Raises ToolError as `run`, and when too many tasks run."""
        run = self._prepare(order, ctx.call_id)
        output = run.runner.caller.scratch / "progress.txt"
        limit = order.seconds or self._parts.budget.background_seconds

        async def work() -> TaskEnd:
            output.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with output.open("a", encoding="utf-8", errors="replace", buffering=1) as file:
                done = await self._finish(run, limit, file.write)
            report = "".join(part.text for part in done.for_model if not hasattr(part, "data"))
            return TaskEnd(done.is_error, None, report)

        try:
            task = ctx.tasks.start(
                "agent", order.description, work(), call_id=ctx.call_id, output=output, limit=limit + LAST_WORDS_S
            )
        except KimiError:  # too many tasks run, or the log cannot be written
            self._running.discard(run.agent_id)
            raise
        text = (
            f"The subagent {run.agent_id} works in the background as task {task.id}, for at most {limit:g} s. You are told "
            f"when it ends; TaskOutput shows how far it is, TaskStop ends it."
        )
        return text_output(text, Plain(f"{run.kind.name} {run.agent_id} in the background"))

    # --- making a run -------------------------------------------------------------------------------------------------

    def _prepare(self, order: Order, call_id: str) -> _Run:
        run = self._take_up(order, call_id) if order.resume else self._create(order, call_id)
        self._running.add(run.agent_id)
        return run

    def _create(self, order: Order, call_id: str) -> _Run:
        types = self._session.agent_types
        kind = types.get(order.agent_type)
        if kind is None:
            raise ToolError(f"There is no agent type {order.agent_type!r}. Types: {', '.join(types)}.")
        model = self._model(order.model or kind.model, strict=bool(order.model))
        parent = self._session.runner
        before = parent.history.settled() if kind.context == "fork" else []
        system = self._parts.make_prompt(kind) if kind.context == "own" else ""
        agent_id = self._new_id()
        started = ev.SubagentStarted(
            agent_id, kind.name, order.description, order.prompt, model.name, system, len(before)
        )
        history = History(self._scratch(agent_id))
        history.messages += before
        run = self._make(agent_id, kind, order, call_id, model, system, history)
        run.runner.caller.emit(started)
        return run

    def _take_up(self, order: Order, call_id: str) -> _Run:
        """The subagent as its events left it."""
        agent_id = order.resume.strip()
        if agent_id in self._running:
            raise ToolError(f"The subagent {agent_id} is still at work.")
        life = _lives(self._session.events()).get(agent_id)
        if life is None:
            known = ", ".join(_lives(self._session.events())) or "there is none"
            raise ToolError(f"There is no subagent {agent_id!r} in this session. Known: {known}.")
        first = life.first
        kind = self._session.agent_types.get(first.agent_type)
        if kind is None:
            raise ToolError(f"The type {first.agent_type!r} of the subagent {agent_id} is gone. Start another one.")
        history = History(self._scratch(agent_id))
        if first.forked:
            before = fold(self._session.events()[: life.begins], self._session.runner.caller.scratch)
            history.messages += before.messages[: first.forked]
        model = self._model(order.model or first.model, strict=bool(order.model))
        run = self._make(agent_id, kind, order, call_id, model, first.system_prompt, history)
        for event in life.events:
            run.runner.apply(event)
        run.runner.caller.emit(
            ev.SubagentStarted(agent_id, kind.name, order.description, order.prompt, model.name, first.system_prompt)
        )
        for repair in history.repairs():
            run.runner.caller.emit(ev.MessageAdded(repair))
        return run

    def _make(
        self, agent_id: str, kind: AgentType, order: Order, call_id: str, model: Model, system: str, history: History
    ) -> _Run:
        session, parent = self._session, self._session.runner
        tools = [tool for tool in self._parts.make_tools(model) if allows(kind, tool.name) and tool.name not in CALLERS]
        own = parent.caller
        caller = Caller(
            {tool.name: tool for tool in tools}, own.gates, own.permissions, own.workspace, history.scratch,
            _asking_for(order.description, own.ask), lambda event: self._emit(run, event), own.sync,
            lambda: run.todos, own.tasks, own.hooks, own.traffic, own.lock, own.files, own.redactor,
            AllowedTools(own.more, kind) if own.more is not None else None, own.session,
        )  # fmt: skip
        shares = kind.context != "own"
        specs = parent.specs if shares else None
        name = parent.session_id if shares else f"{parent.session_id}-{agent_id}"
        runner = Runner(
            name, parent.system if shares else system, caller, specs, parent.models, model, session.thinking,
            parent.limits, history,
        )  # fmt: skip
        if model.name == parent.model.name:
            runner.share_provider(parent)
        run = _Run(agent_id, kind, order, call_id, runner)
        return run

    def _new_id(self) -> str:
        if not self._count:
            self._count = len(_lives(self._session.events()))
        self._count += 1
        return f"s{self._count}"

    def _scratch(self, agent_id: str) -> Path:
        return self._session.runner.caller.scratch / "agents" / agent_id

    def _model(self, name: str, *, strict: bool) -> Model:
        """The model of that name; the parent's for no name, and for one that only a file from elsewhere knows."""
        models = self._parts.models()
        if name in models:
            return models[name]
        if name and strict:
            raise ToolError(f"There is no model {name!r}. Models: {', '.join(models) or 'none'}.")
        return self._session.model

    def _emit(self, run: _Run, event: ev.Event) -> None:
        event, _ = keepable(event, self._session.redactor)
        run.runner.apply(event)
        if isinstance(event, ev.ToolFinished) and isinstance(event.display, TodoList):
            run.todos = event.display.items
        self._session.emit_aside(ev.Nested(run.call_id, event))

    # --- running ------------------------------------------------------------------------------------------------------

    async def _finish(self, run: _Run, seconds: float, progress: Callable[[str], object]) -> ToolOutput:
        hooks = run.runner.caller.hooks
        started = time.monotonic()
        end = ev.TurnEnded("interrupted")
        try:
            async with self._slots:
                if hooks is not None:
                    await hooks.fire("SubagentStart", run.kind.name, agent_name=run.kind.name, prompt=run.order.prompt)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        end = await self._turn(run, progress)
            report = _report(run.runner.history.messages)
            if hooks is not None:
                name = run.kind.name
                await hooks.fire("SubagentStop", name, agent_name=name, response=report[:2000])
        except asyncio.CancelledError:  # its last live output stays in the history, and so does this
            progress(f"[subagent {run.agent_id}; resume={run.agent_id} asks it to go on.]\n")
            raise
        finally:
            self._running.discard(run.agent_id)
            await run.runner.aclose()
        return _output(run, end, report, time.monotonic() - started)

    async def _turn(self, run: _Run, progress: Callable[[str], object]) -> ev.TurnEnded:
        turn = run.runner.turn()
        budget, kind = self._parts.budget, run.kind
        turn.alone = True
        turn.max_steps = kind.max_steps or budget.max_steps
        turn.max_tokens = kind.max_tokens or budget.max_tokens
        emit = turn.emit

        def tell(event: ev.Event) -> None:
            if isinstance(event, ev.MessageAdded) and event.message.role == "assistant":
                for line in [
                    event.message.text,
                    *(f"{call.name} {call.arguments[:150]}" for call in event.message.calls),
                ]:
                    if line.strip():
                        progress(line.strip() + "\n")
            emit(event)

        turn.emit = tell
        fresh = run.order.resume == "" and kind.context != "own" and kind.prompt
        prompt = f"{kind.prompt}\n\n# Your task\n\n{run.order.prompt}" if fresh else run.order.prompt
        return await run_turn(turn, 1, prompt)


class _Life(Struct):
    """What the log holds of one subagent. `begins` is how many events of the session came before it."""

    first: ev.SubagentStarted
    begins: int
    events: list[ev.Event] = field(default_factory=list)


def _lives(events: Iterable[ev.Event]) -> dict[str, _Life]:
    lives: dict[str, _Life] = {}
    of_call: dict[str, str] = {}
    for position, event in enumerate(events):
        if not isinstance(event, ev.Nested):
            continue
        if isinstance(event.event, ev.SubagentStarted):
            of_call[event.call_id] = event.event.agent_id
            lives.setdefault(event.event.agent_id, _Life(event.event, position))
        elif event.call_id in of_call:
            lives[of_call[event.call_id]].events.append(event.event)
    return lives


def _asking_for(description: str, ask: Ask) -> Ask:
    """The parent's `ask`, which says for whom a permission is wanted; nobody answers a subagent's questions."""

    async def asking(question: Question) -> Answer:
        if not isinstance(question, Permission):
            return Dismissed(NOBODY)
        return await ask(replace(question, agent=description))  # type: ignore[type-var]

    return asking


def _report(messages: Sequence[Message]) -> str:
    """The last thing that the subagent said."""
    return next((m.text.strip() for m in reversed(messages) if m.role == "assistant" and m.text.strip()), "")


def _output(run: _Run, end: ev.TurnEnded, report: str, seconds: float) -> ToolOutput:
    how = {
        "done": "",
        "interrupted": "It ran out of time; this is how far it came.",
        "max_steps": "It used up its budget.",
        "rejected": "The user rejected one of its calls; it stopped there.",
        "repeated_calls": "It was stopped: it repeated the same call again and again.",
        "cut_off": "Its report was cut off.",
        "error": f"It failed: {end.error}",
    }[end.stop]
    failed = end.stop not in ("done", "max_steps", "cut_off") or not report
    note = (
        f"[subagent {run.agent_id}, {run.kind.name}: {end.steps or '?'} steps. resume={run.agent_id} asks it to go on.]"
    )
    text = "\n\n".join(filter(None, (how, report or "It said nothing.", note)))
    summary = f"{run.kind.name} {run.agent_id}: {end.stop.replace('_', ' ')}, {end.steps} steps, {seconds:.0f} s"
    return text_output(text, Plain(summary), is_error=failed)
