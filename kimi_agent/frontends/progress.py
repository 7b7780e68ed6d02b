"""What a headless run says on standard error: a calm line per tool call, and what went wrong."""

import contextlib
from typing import TextIO

from kimi_agent.core import event as ev
from kimi_agent.core.display import Display, Pictures
from kimi_agent.core.exit import ExitCode
from kimi_agent.core.message import Text, ToolCall, ToolResult
from kimi_agent.core.sanitize import plain
from kimi_agent.core.task import told_person
from kimi_agent.frontends.common.describe import evidence, headline, one_line, outcome, retrying
from kimi_agent.frontends.common.pictures import caption
from kimi_agent.frontends.json_lines import Result


class Progress:
    """`shown` false keeps everything back but errors. `root` is the folder that paths are shown relative to.

    Every line begins with `prefix`: it says which subagent the line is about.
    """

    def __init__(self, stream: TextIO, *, shown: bool, prefix: str = "") -> None:
        self._stream, self._prefix = stream, prefix
        self._shown = shown
        self._calls: dict[str, ToolCall] = {}
        self._displays: dict[str, Display] = {}
        self._subagents: dict[str, Progress] = {}
        self.root = ""

    def apply(self, event: ev.Event) -> None:
        match event:
            case ev.Notice(level, text) if self._shown or level != "info":
                self._say(f"{level}: {plain(text)}")
            case ev.Evidence(verified=verified) if self._shown or not verified:
                self._say(evidence(event))
            case ev.GoalChanged(goal) if goal.told and (self._shown or goal.state in ("paused", "blocked", "spent")):
                self._say(plain(f"{goal.progress}: {goal.told}"))
            case ev.Retrying(model=model) if model:  # another model answers: never silent
                self._say(retrying(event))
            case ev.Nested(call_id, inner):
                self._nested(call_id, inner)
            case _ if self._shown:
                self._tell(event)

    def _tell(self, event: ev.Event) -> None:
        match event:
            case ev.ToolStarted(call, effects):
                self._say(headline(call, effects, self.root))
            case ev.MessageAdded(message):
                self._calls |= {call.id: call for call in message.calls}
                if (result := message.result) and result.is_error:
                    self._failed(result)
            case ev.ToolFinished(_, Pictures(images=images), False):
                for image in images:
                    self._say(f"  {caption(image)}")
            case ev.ToolFinished(call_id, display, True) if display is not None:
                self._displays[call_id] = display
            case ev.Retrying() if event.attempt:
                self._say(retrying(event))
            case ev.TaskChanged(task) if task.state != "running":
                self._say(plain(told_person(task)[1]))
            case ev.Compacted(before, after):
                self._say(f"compacted the history: {before} -> {after} tokens")

    def _nested(self, call_id: str, event: ev.Event) -> None:
        if isinstance(event, ev.SubagentStarted):
            agent = f"{event.agent_type} {event.agent_id}"
            inner = Progress(self._stream, shown=self._shown, prefix=f"{self._prefix}[{one_line(agent, 40)}] ")
            inner.root, self._subagents[call_id] = self.root, inner
        elif call_id in self._subagents:
            self._subagents[call_id].apply(event)

    def _failed(self, result: ToolResult) -> None:
        call = self._calls.get(result.call_id)
        text = "".join(part.text for part in result.content if isinstance(part, Text))
        told = outcome(self._displays.pop(result.call_id, None), text, True, self.root)
        self._say(f"  {plain(call.name) if call else 'call'} failed: {told}")

    def finish(self, result: Result) -> None:
        if result.error:
            self._say(f"error: {plain(result.error)}")
        elif result.stop not in ("done", ""):
            self._say(f"stopped: {result.stop.replace('_', ' ')}")
        for denied in result.denied:
            self._say(f"denied: {plain(denied.tool)} {one_line(', '.join(denied.targets))}")
        if result.exit_code == ExitCode.DENIED:
            self._say("Run with --yolo to allow what the box holds, or without -p to be asked.")
        if self._shown and result.session_id:
            self._say(f"session: {result.session_id}")

    def _say(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # nobody listens
            self._stream.write((self._prefix + line).encode("utf-8", "replace").decode() + "\n")
            self._stream.flush()
