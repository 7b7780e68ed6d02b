"""`run_task`: a whole turn of a session of its own, headless, as `kimi -p` runs one."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec

from kimi_agent.core import event as ev
from kimi_agent.core.ask import Answer, Deny, Permission, Question
from kimi_agent.frontends.common.describe import one_line, relative
from kimi_agent.frontends.common.listening import Listening
from kimi_agent.frontends.forms import Tally
from kimi_agent.frontends.json_lines import Denied
from kimi_agent.frontends.mcp_server.questions import CANNOT_ASK, way_to_allow
from kimi_agent.frontends.mcp_server.tools import Outcome
from kimi_agent.frontends.print_tasks import TaskWait
from kimi_agent.frontends.progress import Progress

if TYPE_CHECKING:
    import mcp_types as types

    from kimi_agent.agent.session import Session
    from kimi_agent.frontends.mcp_server.jobs import Job

ANSWERED = ("done", "cut_off")
BACKGROUND_S = 3600.0
"""How long background tasks with a limit are waited for at the end of a turn, in seconds."""


class Task:
    """One turn. `ask` is the session's."""

    def __init__(self, job: "Job") -> None:
        self._job = job
        self._tally = Tally()
        self._changed: dict[str, None] = {}
        self._writes: dict[str, tuple[str, ...]] = {}
        self._ways: list[str] = []
        self._progress = Progress(Saying(job.say), shown=True)  # type: ignore[arg-type]

    async def ask(self, question: Question) -> Answer:
        answer = await self._job.ask(question)
        if isinstance(question, Permission) and isinstance(answer, Deny):
            targets = tuple(effect.target for effect in question.effects)
            self._tally.denied.append(Denied(question.call.name, targets, answer.feedback))
            if answer.feedback == CANNOT_ASK:
                self._ways.append(way_to_allow(question))
        return answer

    async def run(self, session: "Session", prompt: str) -> "types.CallToolResult":
        """The turn and those that its background tasks start. Raises KimiError as a session does."""
        self._progress.root = str(session.cwd)
        tasks = TaskWait(session, self._show, BACKGROUND_S)
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(session.listen, None)
            stack.push_async_callback(tasks.end)
            session.listen(Listening(self._show, tasks.wake))
            await self._turn(session.prompt(prompt, (), typed=""))  # a program's `@file` mentions nothing
            while self._tally.end is not None and self._tally.end.stop in ANSWERED and await tasks.next():
                await self._turn(session.go_on())
        return self._result(session)

    async def _turn(self, events: AsyncIterator[ev.Event]) -> None:
        async with contextlib.aclosing(cast("AsyncGenerator[ev.Event, None]", events)) as closing:
            async for event in closing:
                self._show(event)

    def _show(self, event: ev.Event) -> None:
        self._tally.apply(event)
        self._progress.apply(event)
        if isinstance(event, ev.MessageAdded) and event.message.calls and event.message.text.strip():
            self._job.say(one_line(event.message.text, 200))
        self._note_changes(event)

    def _note_changes(self, event: ev.Event) -> None:
        while isinstance(event, ev.Nested):
            event = event.event
        match event:
            case ev.ToolStarted(call, effects):
                self._writes[call.id] = tuple(effect.target for effect in effects if effect.kind == "write")
            case ev.ToolFinished(call_id, is_error=False):
                self._changed |= dict.fromkeys(self._writes.get(call_id, ()))
            case ev.FilesChanged(by, paths=paths) if by in ("calls", "tasks"):
                self._changed |= dict.fromkeys(paths)

    def _result(self, session: "Session") -> "types.CallToolResult":
        import mcp_types as types

        tally, root = self._tally, str(session.cwd)
        end = tally.end or ev.TurnEnded("error", "no turn was run")
        changed = dict.fromkeys(relative(str(Path(root, path)), root) for path in self._changed)
        outcome = Outcome(session.id, end.stop, tally.steps, tuple(changed), tuple(tally.denied), end.error)
        answered = end.stop in ANSWERED
        ending = end.error or f"The turn was stopped: {end.stop.replace('_', ' ')}."
        texts = [tally.answer or "(no answer)"] if answered else [ending]
        texts += dict.fromkeys(self._ways)
        return types.CallToolResult(
            content=[types.TextContent(text=text) for text in texts],
            structured_content=msgspec.to_builtins(outcome),
            is_error=not answered,
        )


class Saying:
    """What `Progress` writes lines to."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def write(self, text: str) -> None:
        if line := text.rstrip("\n"):
            self._say(line)

    def flush(self) -> None:
        pass
