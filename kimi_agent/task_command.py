"""The slash command /tasks, and the question before a session is left whose tasks would end with it."""

import asyncio
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from kimi_agent.core.ask import Option
from kimi_agent.core.errors import ToolError
from kimi_agent.core.event import Nested, SubagentStarted, ToolFinished, TurnEnded
from kimi_agent.core.listing import Listing, Row, RowKey
from kimi_agent.core.sanitize import plain
from kimi_agent.core.task import Task, how_it_went, last_lines

if TYPE_CHECKING:
    from kimi_agent.commands import Shell

LISTED_LINES, LISTED_BYTES = 3, 2_000
SHOWN_BYTES, WHOLE_BYTES, GIVEN_BYTES = 8_000, 200_000, 30_000
NONE = "No tasks run in the background."


async def tasks_command(shell: "Shell", args: str) -> None:
    """`/tasks` lists, `/tasks ID` shows one, `/tasks stop ID` ends it. Raises ToolError for a task that there is not."""
    tasks = shell.session.tasks
    words = args.split()
    if not words and shell.draws and _rows(shell):
        if (picked := await shell.browse(_listing(shell))) is not None:
            _show(shell, picked)
    elif not words:
        shell.show("\n".join(map(_listed, tasks.list())) or NONE)
    elif len(words) == 1 and words[0] != "stop":
        shell.show(_whole(tasks.get(words[0]), SHOWN_BYTES))
    elif len(words) == 2 and words[0] == "stop":
        if not await _stop(shell, words[1]):
            shell.show(f"The task {words[1]} does not end.")
    else:
        shell.show("Usage: `/tasks`, `/tasks ID`, `/tasks stop ID`")


async def _stop(shell: "Shell", task_id: str) -> bool:
    """End a task; whether it has ended. Raises ToolError when it had ended already."""
    task = await shell.session.tasks.stop(task_id)
    shell.session.note(f"[The user stopped the background task {task.id}]")
    return task.state != "running"


# --- a list to look through -------------------------------------------------------------------------------------------


def _listing(shell: "Shell") -> Listing:
    async def stop(row: str) -> str:
        task = _task(shell, row)
        return f"{task.id} is stopped." if await _stop(shell, task.id) else f"{task.id} does not end."

    async def show(row: str) -> str:
        _show(shell, row)
        return "Its output stands in the conversation."

    async def give(row: str) -> str:
        task = _task(shell, row)
        shell.session.note(_for_model(task))
        return f"The model reads the output of {task.id} with your next message."

    async def preview(row: str) -> str:
        if row.startswith(_SUBAGENT):
            return next((agent.prompt for agent in _subagents(shell) if _SUBAGENT + agent.agent_id == row), "")
        task = shell.session.tasks.get(row)
        return task.report or await asyncio.to_thread(last_lines, Path(task.output), SHOWN_BYTES) or "(no output)"

    return Listing(
        "Background tasks", lambda: _rows(shell), "show in the conversation",
        (
            RowKey("s", "stop", stop), RowKey("delete", "", stop), RowKey("o", "show its output", show),
            RowKey("g", "give it to the model", give),
        ),
        preview, preview_plain=True, preview_end=True, empty=NONE, live=True,
    )  # fmt: skip


_SUBAGENT = "subagent "


def _rows(shell: "Shell") -> list[Row]:
    """The commands, the newest first, then subagents; those that their caller waits for, too."""
    tasks = shell.session.tasks.list()
    rows = [_row(task, "Commands") for task in tasks if task.kind == "command"]
    rows += [_row(task, "Subagents") for task in tasks if task.kind == "agent"]
    for agent in _subagents(shell):
        about = f"{agent.agent_type}: {_one_line(agent.description)}"
        rows.append(Row(_SUBAGENT + agent.agent_id, about, "its caller waits for it", None, "running", "Subagents"))
    return rows


def _row(task: Task, group: str) -> Row:
    said = _one_line(task.report or last_lines(Path(task.output), LISTED_BYTES).rpartition("\n")[2])
    seconds = max(0.0, (task.ended or time.time()) - task.started)
    about = [task.id, _time(seconds), f"exit {task.exit_code}" if task.exit_code is not None else "", said]
    return Row(
        task.id, _one_line(task.title), " · ".join(filter(None, about)), None, task.state.replace("_", " "), group
    )


def _subagents(shell: "Shell") -> list[SubagentStarted]:
    """The subagents of the session's own calls that run now and are no background task."""
    if not shell.session.running:
        return []
    at_work: dict[str, SubagentStarted] = {}
    for event in shell.session.events():
        match event:
            case Nested(call_id, SubagentStarted() as started):
                at_work[call_id] = started
            case ToolFinished(call_id):
                at_work.pop(call_id, None)
            case TurnEnded():
                at_work.clear()
            case _:
                pass
    background = {task.call_id for task in shell.session.tasks.list()}
    return [agent for call_id, agent in at_work.items() if call_id not in background]


def _task(shell: "Shell", row: str) -> Task:
    """Raises ToolError for a subagent that its caller waits for: it ends with the turn."""
    if row.startswith(_SUBAGENT):
        raise ToolError("Its caller waits for it: Esc in the conversation interrupts both.")
    return shell.session.tasks.get(row)


def _show(shell: "Shell", row: str) -> None:
    shell.show(_whole(_task(shell, row), WHOLE_BYTES))


def _for_model(task: Task) -> str:
    said = plain(task.report) or last_lines(Path(task.output), GIVEN_BYTES)
    return (
        f"[The user gives you the output of the background task {task.id}: {_state(task)}]\n{task.title[:300]}\n"
        f"<output>\n{said}\n</output>\n[The whole is in {task.output}]"
    )


# --- leaving ----------------------------------------------------------------------------------------------------------


async def may_end_tasks(shell: "Shell") -> bool:
    """Whether the person leaves the session although tasks run that end with it."""
    running = shell.session.tasks.running()
    if not running:
        return True
    about = ", ".join(f"{task.id} ({task.title.splitlines()[0][:60]})" for task in running)
    what = f"{len(running)} background task{'s' * (len(running) > 1)}"
    return await shell.choose(f"{what} of this session would end", [Option("End them", about), Option("Stay")]) == 0


def _listed(task: Task) -> str:
    lines = last_lines(Path(task.output), LISTED_BYTES).splitlines()[-LISTED_LINES:]
    return f"**{task.id}** {_state(task)}\n\n{_verbatim([task.title, *(f'  {line}' for line in lines)])}\n"


def _whole(task: Task, limit: int) -> str:
    """All of its output, the end of it when that is more than `limit` bytes."""
    output = task.report or last_lines(Path(task.output), limit) or "(no output)"
    return (
        f"**{task.id}** {_state(task)}, the whole output: `{task.output}`\n\n{_verbatim([task.title])}\n"
        f"{_verbatim([output])}"
    )


def _state(task: Task) -> str:
    """`running for 12 s, at most 600 s`."""
    if task.state != "running":
        return f"{how_it_went(task)}, after {max(0.0, task.ended - task.started):.0f} s"
    limit = f", at most {task.limit:.0f} s" if task.limit else ""
    return f"running for {max(0.0, time.time() - task.started):.0f} s{limit}"


def _verbatim(lines: list[str]) -> str:
    """A block of code, whatever stands in it."""
    text = "\n".join(lines)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}text\n{text}\n{fence}"


def _time(seconds: float) -> str:
    """`12 s`, `3 min 20 s`, `2 h 5 min`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _one_line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 120 else f"{text[:119]}…"
