"""Running the tool calls of one reply: validation, gates and questions, order, results."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from kimi_agent.agent.asking import NOT_RUN, Batch, Rejected, internal_error, permit
from kimi_agent.agent.file_history import FileHistory, Window
from kimi_agent.agent.history import output_file
from kimi_agent.agent.permissions import Permissions
from kimi_agent.agent.settled import settled
from kimi_agent.agent.traffic import Traffic, conflict
from kimi_agent.core import event as ev
from kimi_agent.core.ask import Answer, Ask
from kimi_agent.core.display import Display, Plain, Todo
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import KimiError, ToolError
from kimi_agent.core.gate import Gate
from kimi_agent.core.message import Message, Text, ToolCall, ToolResult, parse_arguments
from kimi_agent.core.redact import Redactor
from kimi_agent.core.schema import validate
from kimi_agent.core.servers import ToolSource
from kimi_agent.core.task import Tasks
from kimi_agent.core.tool import Content, Tool, ToolContext, ToolOutput, text_output
from kimi_agent.core.workspace import Workspace

if TYPE_CHECKING:
    from kimi_agent.agent.hooks import Hooks

OUTPUT_LIMIT = 100_000
"""Characters of one result that join the history. Tools bound themselves well below; this holds for every tool there may be."""
KNOWN = 100
"""Names of tools that an unknown name is answered with."""
SHOWN_LIMIT = 4_000
"""Characters of live output that an interrupted call leaves in the history."""
CANCEL_GRACE = 0.15
"""Seconds that a cancelled tool gets before the turn ends without it."""

CHANGED = (
    "Not run: what this call would do is not what it was when the user allowed it: a path leads elsewhere now. "
    "Look, then call again."
)
INTERRUPTED = "Interrupted by the user. The call may have had side effects."
NOT_BEGUN = "Interrupted by the user before the call began. Nothing was done."


class Caller(Struct):
    """What calls need. `emit` logs and shows an event; `todos` gives the current list; `more` has tools that come and go.

    A session's agent and its subagents have one each, and share `traffic`, `permissions` and the `lock` under which people
    are asked.
    """

    tools: Mapping[str, Tool]
    gates: Sequence[Gate]
    permissions: Permissions
    workspace: Workspace
    scratch: Path
    ask: Ask
    emit: Callable[[ev.Event], None]
    sync: Callable[[], Any]
    todos: Callable[[], tuple[Todo, ...]]
    tasks: Tasks
    hooks: "Hooks | None" = None
    traffic: Traffic = field(default_factory=Traffic)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    files: FileHistory | None = None
    redactor: Redactor = field(default_factory=Redactor)
    more: ToolSource | None = None
    session: str = ""

    def tool(self, name: str) -> Tool | None:
        """Of two of one name the fixed one: nothing that comes later stands in for it."""
        return self.tools.get(name) or (self.more.find(name) if self.more is not None else None)


class Prepared(Struct):
    """A call whose arguments are known to be good, or (`output` set) one that is answered already."""

    call: ToolCall
    tool: Tool | None = None
    params: Any = None
    ctx: ToolContext | None = None
    effects: tuple[Effect, ...] = ()
    output: ToolOutput | None = None
    must_ask: bool = False  # a hook wants a person to be asked, whatever would allow the call
    remarks: list[str] = field(default_factory=list)  # of hooks; they join the result for the model
    agreed: tuple[Effect, ...] | None = None  # the effects that a person has said yes to
    begun: bool = False  # it acts
    window: Window | None = None  # what it may change is saved
    shown: str = ""  # the end of its live output
    answered: bool = False  # its result is in the history; a tool that outlived its cancellation has no say any more


async def run_calls(caller: Caller, calls: Sequence[ToolCall]) -> tuple[list[tuple[Prepared, ToolResult]], bool]:
    """Run the calls of one reply; answer the results in call order and whether the person rejected one.

    Calls whose effects are disjoint run side by side; a call waits for earlier ones that it conflicts with. Every call gets
    its result into the history, also when this coroutine is cancelled.
    """
    prepared = [prepare(caller, call) for call in calls]
    if caller.files is not None:
        caller.files.warm_up()  # beside this call, which is likely to read, and while the model thinks of the next
    if caller.hooks is not None:  # before the order is made: a hook may change what a call does
        await _all(caller, prepared, [asyncio.create_task(_show_to_hooks(caller, item)) for item in prepared])
    batch = Batch()
    tasks: list[asyncio.Task[ToolResult]] = []
    for position, item in enumerate(prepared):
        before = [tasks[i] for i in range(position) if conflict(prepared[i].effects, item.effects)]
        tasks.append(asyncio.create_task(_run_after(caller, item, before, batch), name=f"call {item.call.id}"))
    await _all(caller, prepared, tasks)
    results, rejected = [], False
    for item, task in zip(prepared, tasks, strict=True):
        rejected = rejected or isinstance(task.exception(), Rejected)
        results.append((item, task.result() if task.exception() is None else _late_result(caller, item, task)))
    return results, rejected


async def _all(caller: Caller, prepared: Sequence[Prepared], tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Wait for one task per call. Cancelled, it closes the calls."""
    try:
        await asyncio.wait(tasks)
    except asyncio.CancelledError:
        await _abandon(caller, prepared, tasks)
        raise


def _late_result(caller: Caller, item: Prepared, task: asyncio.Task[ToolResult]) -> ToolResult:
    error = task.exception()
    if not isinstance(error, Rejected):
        raise error or AssertionError
    return _finish(caller, item, text_output(str(error), is_error=True), 0.0)


async def _abandon(caller: Caller, prepared: Sequence[Prepared], tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cancel what runs, wait a moment, and close every call that has no result yet."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=CANCEL_GRACE)
    for item, task in zip(prepared, tasks, strict=True):
        if not item.answered:
            rejected = task.done() and not task.cancelled() and isinstance(task.exception(), Rejected)
            text = NOT_RUN if rejected else INTERRUPTED if item.begun else NOT_BEGUN
            if item.shown:
                text += f" Its output so far:\n{item.shown}"
            done = item.output if item.begun else None  # hooks were looking at it
            _finish(caller, item, done or text_output(text, Plain("interrupted"), is_error=True), 0.0)


def prepare(caller: Caller, call: ToolCall) -> Prepared:
    """Check a call before anything runs. A bad call becomes an answer that says precisely what was expected."""
    item = Prepared(call, caller.tool(call.name))
    if item.tool is None:
        known = ", ".join([*caller.tools, *(caller.more.names() if caller.more is not None else ())][:KNOWN])
        item.output = text_output(f"There is no tool {call.name[:60]!r} for you. Tools: {known}.", is_error=True)
        return item

    def progress(text: str) -> None:
        if not item.answered:
            item.shown = (item.shown + text)[-SHOWN_LIMIT:]
            caller.emit(ev.ToolProgress(call.id, text))

    item.ctx = ToolContext(
        call_id=call.id,
        workspace=caller.workspace,
        ask=locked_ask(caller),
        progress=progress,
        todos=caller.todos(),
        scratch=caller.scratch,
        tasks=caller.tasks,
        redactor=caller.redactor,
        session=caller.session,
    )
    try:
        item.params = validate(item.tool.Params, parse_arguments(call.arguments))
    except (ToolError, ValueError) as error:
        item.output = text_output(f"{call.name}: {error}", is_error=True)
        return item
    _foresee(caller, item)
    return item


def _foresee(caller: Caller, item: Prepared) -> None:
    """What the call would do if it ran now; from now on its paths lead where they do at this moment."""
    assert item.tool is not None
    assert item.ctx is not None
    item.ctx = replace(item.ctx, workspace=settled(caller.workspace))
    try:
        item.effects = tuple(item.tool.effects(item.params, item.ctx))
    except (ToolError, ValueError) as error:
        item.output = text_output(f"{item.call.name}: {error}", is_error=True)
    except BaseException as error:
        item.output = internal_error(item.call, error)


def locked_ask(caller: Caller) -> Ask:
    """People are asked one question at a time."""

    async def ask(question: Any) -> Answer:
        async with caller.lock:
            return await caller.ask(question)

    return ask


async def _run_after(
    caller: Caller, item: Prepared, before: Sequence[asyncio.Task[ToolResult]], batch: Batch
) -> ToolResult:
    if before:
        await asyncio.wait(before)
        if any(not task.cancelled() and isinstance(task.exception(), Rejected) for task in before):
            raise Rejected(NOT_RUN)
        if item.output is None:
            _foresee(caller, item)  # the calls before it may have changed what a path or a link leads to
    seconds = 0.0
    if item.output is None:
        item.output = await permit(caller, item, batch)
    try:
        if item.output is None:
            seconds = await _act_in_traffic(caller, item, batch)
        assert item.output is not None
        if caller.hooks is not None:
            await _show_result_to_hooks(caller, item, item.output)
    finally:
        if caller.files is not None and item.window is not None:
            caller.files.after(item.window)
    return _finish(caller, item, item.output, seconds)


async def _act_in_traffic(caller: Caller, item: Prepared, batch: Batch) -> float:
    """Act when no conflicting call of a subagent does any more; answer the seconds that it took.

    What happened meanwhile may have changed what a path leads to, what a rule says, or the mode: the call is permitted anew.
    """
    async with caller.traffic.act(item.effects):
        await _permit_now(caller, item, batch)
        started = time.monotonic()  # the time of people and of other calls is not the tool's
        item.output = item.output or await _act(caller, item)
        return time.monotonic() - started


async def _permit_now(caller: Caller, item: Prepared, batch: Batch) -> None:
    """Permit what the call would do at this very moment. What a person said yes to, and nothing else, is done for it."""
    while item.output is None:
        _foresee(caller, item)
        if item.output is None and item.agreed not in (None, item.effects):
            item.output = text_output(CHANGED, is_error=True)
        agreed = item.agreed
        item.output = item.output or await permit(caller, item, batch)
        if item.agreed == agreed:
            return


async def _show_to_hooks(caller: Caller, item: Prepared) -> None:
    """PreToolUse: a hook may refuse the call or write its input anew; what it allows still goes through the gates."""
    if item.output is not None or caller.hooks is None:
        return
    name, given = _meant(item)
    told = {"tool_name": name, "tool_input": given, "tool_call_id": item.call.id}
    said = await caller.hooks.fire("PreToolUse", name, **told)
    item.must_ask = said.ask
    item.remarks += [said.context] if said.context else []
    if said.denial is not None:
        item.output = text_output(f"Blocked by a hook of the user: {said.denial}", Plain(said.denial), is_error=True)
    elif said.input is not None and said.input != given:
        through = name != item.call.name
        whole = {**parse_arguments(item.call.arguments), "arguments": said.input} if through else said.input
        _rewrite(caller, item, whole)


def _meant(item: Prepared) -> tuple[str, dict[str, Any]]:
    """Name and arguments as hooks know them. A tool that calls others (`inner`) must be no way around what is said of those."""
    inner = getattr(item.tool, "inner", None)
    meant: tuple[str, dict[str, Any]] | None = inner(item.params) if inner is not None else None
    return meant or (item.call.name, parse_arguments(item.call.arguments))


def _rewrite(caller: Caller, item: Prepared, given: dict[str, Any]) -> None:
    """Take a hook's input for the model's. One that does not fit the tool refuses the call: the model's is not wanted."""
    assert item.tool is not None
    call = item.call = ToolCall(item.call.id, item.call.name, json.dumps(given, ensure_ascii=False))
    try:
        item.params = validate(item.tool.Params, given)
    except ToolError as error:
        caller.emit(ev.Notice("warning", f"A hook gave {call.name} an input that it cannot take: {error}"))
        item.output = text_output(f"Blocked: a hook of the user gave {call.name} a wrong input. {error}", is_error=True)
        return
    caller.emit(ev.Notice("info", f"A hook changed the input of {call.name} to {call.arguments[:300]}"))
    item.remarks.append(f"A hook of the user changed the input of this call to {call.arguments[:2000]}")
    _foresee(caller, item)


async def _show_result_to_hooks(caller: Caller, item: Prepared, output: ToolOutput) -> None:
    """PostToolUse and PostToolUseFailure of a call that ran: objections and remarks join its result."""
    remarks = list(item.remarks)
    if item.begun and caller.hooks is not None:
        text = "\n".join(part.text for part in output.for_model if isinstance(part, Text))[:OUTPUT_LIMIT]
        event, key = ("PostToolUseFailure", "error") if output.is_error else ("PostToolUse", "tool_output")
        name, given = _meant(item)
        told = {"tool_name": name, "tool_input": given, key: text, "tool_call_id": item.call.id}
        said = await caller.hooks.fire(event, name, **told)
        remarks += [f"A hook of the user objects: {said.denial}"] if said.denial is not None else []
        remarks += [said.context] if said.context else []
    if remarks:
        added = (Text("\n".join(f"[{remark}]" for remark in remarks)),)
        item.output = ToolOutput((*output.for_model, *added), output.for_user, output.is_error)


async def _act(caller: Caller, item: Prepared) -> ToolOutput:
    assert item.tool is not None
    caller.emit(ev.ToolStarted(item.call, item.effects))
    item.begun = True
    if any(effect.kind not in ("read", "fetch") for effect in item.effects):
        if caller.files is not None:
            item.window = await caller.files.before(item.call.id, item.effects, item.ctx.progress)  # type: ignore[union-attr]
        await caller.sync()
    try:
        return await item.tool.run(item.params, item.ctx)  # type: ignore[arg-type]
    except KimiError as error:
        return text_output(error.full, is_error=True)
    except BaseException as error:
        return internal_error(item.call, error)


def _finish(caller: Caller, item: Prepared, output: ToolOutput, seconds: float) -> ToolResult:
    display: Display | None = output.for_user
    content = _bounded(output.for_model, item.call, caller)
    result = ToolResult(item.call.id, content, output.is_error)
    if item.answered:
        return result
    item.answered = True
    try:
        caller.emit(ev.ToolFinished(item.call.id, display, output.is_error, round(seconds, 3)))
    finally:  # what has happened is in the history, also where it cannot be saved
        caller.emit(ev.MessageAdded(Message("tool", (result,), "agent")))
    return result


def _bounded(content: Content, call: ToolCall, caller: Caller) -> Content:
    if sum(len(part.text) for part in content if isinstance(part, Text)) <= OUTPUT_LIMIT:
        return content or (Text("(no output)"),)
    text = "\n".join(part.text for part in content if isinstance(part, Text))
    text, scratch = caller.redactor.text(text), caller.scratch
    path = scratch / f"whole-{output_file(call.id)}"
    half = OUTPUT_LIMIT // 2
    try:
        scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text(text, encoding="utf-8", errors="replace")
        where = f"the whole is in {path}"
    except OSError as error:
        where = f"the whole could not be saved: {error.strerror}"
    cut = f"{text[:half]}\n[... {len(text) - 2 * half} characters left out; {where} ...]\n{text[-half:]}"
    return (Text(cut), *(part for part in content if not isinstance(part, Text)))
