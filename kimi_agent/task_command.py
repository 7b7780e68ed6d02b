"""The slash command /tasks, and the question before a session is left whose tasks would end with it."""

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from kimi_agent.core.ask import Option
from kimi_agent.core.task import Task, how_it_went, last_lines

if TYPE_CHECKING:
    from kimi_agent.commands import Shell

LISTED_LINES, LISTED_BYTES = 3, 2_000
SHOWN_BYTES = 8_000


async def tasks_command(shell: "Shell", args: str) -> None:
    """`/tasks` lists, `/tasks ID` shows one, `/tasks stop ID` ends it. Raises ToolError for a task that there is not."""
    tasks = shell.session.tasks
    words = args.split()
    if not words:
        shell.show("\n".join(map(_listed, tasks.list())) or "No tasks run in the background.")
    elif len(words) == 1 and words[0] != "stop":
        shell.show(_whole(tasks.get(words[0])))
    elif len(words) == 2 and words[0] == "stop":
        task = await tasks.stop(words[1])
        shell.session.note(f"[The user stopped the background task {task.id}]")
        if task.state == "running":
            shell.show(f"The task {task.id} does not end.")
    else:
        shell.show("Usage: `/tasks`, `/tasks ID`, `/tasks stop ID`")


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


def _whole(task: Task) -> str:
    output = task.report or last_lines(Path(task.output), SHOWN_BYTES) or "(no output)"
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
