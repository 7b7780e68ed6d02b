"""Commands in the background: started there, moved there, watched and ended; looked at from outside, by the processes."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from boxes import workspace
from processes import living_with
from tool_context import Person, call, text_of

from kimi_agent.agent.tasks import BackgroundTasks
from kimi_agent.core import event as ev
from kimi_agent.core.errors import ToolError
from kimi_agent.core.task import Task
from kimi_agent.core.tool import ToolContext
from kimi_agent.tools.output import FILE_CAP, spill_path
from kimi_agent.tools.shell import Shell
from kimi_agent.tools.task_list import TaskList
from kimi_agent.tools.task_output import TaskOutput
from kimi_agent.tools.task_stop import TaskStop


class Desk:
    """Tasks, what they told, and contexts of calls that use them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "project").mkdir()
        self.events: list[ev.Event] = []
        self.ended = asyncio.Event()
        self.tasks = BackgroundTasks(self.events.append, self.ended.set, 2)
        self.shown: list[str] = []

    def context(self, call_id: str = "Shell:1", progress: Callable[[str], None] | None = None) -> ToolContext:
        show = progress or self.shown.append
        place = workspace(self.folder / "project", self.folder / "scratch")
        return ToolContext(call_id, place, Person(), show, (), self.folder / "scratch", self.tasks)

    def task(self) -> Task:
        return self.tasks.list()[0]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    await desk.tasks.aclose()


async def soon(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_background_command_is_a_task_with_its_output_in_a_file(desk: Desk) -> None:
    output = await call(Shell(), desk.context(), command="echo one; echo two >&2; exit 3", run_in_background=True)
    task = desk.task()
    assert (task.id, task.state, task.limit) == ("b1", "running", None)
    for word in ("b1", task.output, "TaskOutput", "TaskStop"):
        assert word in text_of(output)
    await desk.ended.wait()
    task = desk.task()
    assert (task.state, task.exit_code) == ("failed", 3)
    assert Path(task.output).read_text() == "one\ntwo\n"
    assert [e.task.state for e in desk.events if isinstance(e, ev.TaskChanged)] == ["running", "failed"]


async def test_output_is_in_the_file_as_it_comes(desk: Desk) -> None:
    os.mkfifo(gate := desk.folder / "gate")
    await call(Shell(), desk.context(), command=f"echo first; cat {gate}", run_in_background=True)
    file = Path(desk.task().output)
    await soon(lambda: file.exists() and file.read_text() == "first\n")
    assert desk.task().state == "running"
    gate.write_text("second\n")
    await desk.ended.wait()
    assert file.read_text() == "first\nsecond\n"


async def test_it_starts_where_the_last_command_ended_and_does_not_move_it(desk: Desk) -> None:
    root = desk.context().workspace.root
    await call(Shell(), desk.context(), command="mkdir -p a/b; cd a")
    await call(Shell(), desk.context("Shell:2"), command="pwd; cd b", run_in_background=True)
    await desk.ended.wait()
    assert Path(desk.task().output).read_text() == f"{root}/a\n"
    assert text_of(await call(Shell(), desk.context("Shell:3"), command="pwd")) == f"{root}/a"


async def test_a_command_that_outlives_its_timeout_goes_on(desk: Desk) -> None:
    """The very same process: it wrote its number before and after."""
    os.mkfifo(gate := desk.folder / "gate")
    command = f"mkdir sub; cd sub; echo at $$; cat {gate}; echo at $$"
    output = await call(Shell(), desk.context(), command=command, timeout=1)
    text, task = text_of(output), desk.task()
    first = text.splitlines()[0]
    assert f"still running after 1 s: it goes on as the background task {task.id}" in text
    assert not output.is_error
    assert (task.state, task.limit, task.title) == ("running", 600, command)
    shown = list(desk.shown)
    gate.write_text("through the gate\n")
    await desk.ended.wait()
    assert (desk.task().state, desk.task().exit_code) == ("done", 0)
    assert Path(task.output).read_text() == f"{first}\nthrough the gate\n{first}\n"
    assert desk.shown == shown, "the call is over: nothing more is shown in it"
    root = desk.context().workspace.root
    assert text_of(await call(Shell(), desk.context("Shell:2"), command="pwd")) == str(root)
    assert not list((desk.folder / "scratch").glob("cwd-*"))


async def test_with_a_full_table_it_is_killed_as_ever(desk: Desk) -> None:
    for number in range(2):
        await call(Shell(), desk.context(f"s{number}"), command="sleep 600", run_in_background=True)
    mark = f"FULL={desk.folder}"
    output = await call(Shell(), desk.context(), command=f"export {mark}; echo before; sleep 600", timeout=1)
    assert text_of(output).startswith("before\n[timed out after 1 s: killed, with everything it had started]")
    assert "2 background tasks run already (b1, b2)" in text_of(output)
    assert output.is_error
    assert not living_with(mark)
    with pytest.raises(ToolError, match="2 background tasks run already"):
        await call(Shell(), desk.context("more"), command=f"{mark} sleep 600", run_in_background=True)
    assert len(desk.tasks.list()) == 2


async def test_switched_off_it_is_killed_too(desk: Desk) -> None:
    output = await call(Shell(moves_on_timeout=False), desk.context(), command="echo before; sleep 600", timeout=1)
    assert "timed out after 1 s" in text_of(output)
    assert not desk.tasks.list()


async def test_an_interrupt_in_the_foreground_leaves_nothing(desk: Desk) -> None:
    mark, begun = f"INTERRUPTED={desk.folder}", asyncio.Event()
    ctx = desk.context(progress=lambda text: begun.set())
    command = f"export {mark}; (setsid sleep 600 &); echo begun; sleep 600"
    running = asyncio.create_task(call(Shell(), ctx, command=command))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not living_with(mark)
    assert not desk.tasks.list()


@pytest.mark.parametrize("way", ["TaskStop", "limit", "close"])
async def test_every_end_takes_all_that_it_started_along(desk: Desk, way: str) -> None:
    mark = f"ENDED={desk.folder}"
    limit = {"timeout": 1} if way == "limit" else {}
    command = f"export {mark}; (setsid nohup sleep 600 >/dev/null 2>&1 &); echo begun; sleep 600"
    await call(Shell(), desk.context(), command=command, run_in_background=True, **limit)
    await soon(lambda: "begun" in Path(desk.task().output).read_text())
    if way == "TaskStop":
        text = text_of(await call(TaskStop(), desk.context("stop"), task_id="b1", reason="enough"))
        assert text == "[b1 stopped]\nbegun"
        with pytest.raises(ToolError, match="has ended already"):
            await call(TaskStop(), desk.context("again"), task_id="b1")
        assert not desk.ended.is_set(), "who stopped it knows"
    elif way == "close":
        await desk.tasks.aclose()
        assert not desk.ended.is_set(), "nobody is woken by a session that closes"
    else:
        await desk.ended.wait()
    assert desk.task().state == ("timed_out" if way == "limit" else "stopped")
    assert not living_with(mark)


async def test_a_command_that_cannot_start_says_why(desk: Desk) -> None:
    ctx = desk.context()
    ctx.workspace.root.rmdir()
    await call(Shell(), ctx, command="true", run_in_background=True)
    await desk.ended.wait()
    assert desk.task().state == "failed"
    assert "no such folder" in desk.task().report


async def test_output_without_end_is_bounded_and_its_end_is_kept(desk: Desk) -> None:
    command = "head -c 60000000 /dev/zero | tr '\\0' x; echo; echo the end"
    await call(Shell(), desk.context(), command=command, run_in_background=True)
    await desk.ended.wait()
    file = Path(desk.task().output)
    assert FILE_CAP < file.stat().st_size < FILE_CAP + 20_000
    with file.open("rb") as whole:
        whole.seek(FILE_CAP)
        rest = whole.read()
    assert rest.startswith(b"\n[kimi keeps 50 MB")
    assert rest.endswith(b"\nthe end\n")


async def test_an_output_that_cannot_be_saved_is_told(desk: Desk) -> None:
    file = spill_path(desk.folder / "scratch", "shell", "Shell:1")
    file.mkdir(parents=True)
    await call(Shell(), desk.context(), command="echo x", run_in_background=True)
    await desk.ended.wait()
    assert desk.task().report == "(its output could not be saved: Is a directory)"


async def test_what_a_command_leaves_running_is_told(desk: Desk) -> None:
    await call(Shell(), desk.context(), command="sleep 600 & echo $!", run_in_background=True)
    await desk.ended.wait()
    pid, told = Path(desk.task().output).read_text().splitlines()
    await call(Shell(), desk.context("Shell:2"), command=f"kill -9 {pid}")  # its number is the box's
    assert "what it started runs on until kimi ends" in told


async def test_task_output_now_and_at_the_end(desk: Desk) -> None:
    os.mkfifo(gate := desk.folder / "gate")
    await call(Shell(), desk.context(), command=f"echo first; cat {gate}; exit 4", run_in_background=True)
    file = desk.task().output
    await soon(lambda: Path(file).exists() and Path(file).read_text())
    text = text_of(await call(TaskOutput(), desk.context("o1"), task_id="b1"))
    assert text == f"[b1 running]\nfirst\n[the whole output: {file}]"
    assert text_of(await call(TaskOutput(), desk.context("o2"), task_id="b1", block=True, timeout=0)) == text
    seen = asyncio.Event()
    ctx = desk.context("o3", lambda text: seen.set() if "second" in text else None)
    waiting = asyncio.create_task(call(TaskOutput(), ctx, task_id="b1", block=True))
    written = 0
    with gate.open("w") as pipe:
        while not seen.is_set():  # live, while it waits: what was written before it looked is no news to it
            pipe.write("second\n")
            pipe.flush()
            written += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(seen.wait(), 0.5)
    told = "second\n" * written
    assert text_of(await waiting) == f"[b1 failed, exit code 4]\nfirst\n{told}[the whole output: {file}]"
    assert not desk.ended.is_set(), "who waits knows"
    assert not desk.tasks.take_ended()


async def test_task_output_is_the_end_of_much_and_clean(desk: Desk) -> None:
    command = r"seq 100000; printf '\033]0;owned\007\033[31mred\n'"
    await call(Shell(), desk.context(), command=command, run_in_background=True)
    text = text_of(await call(TaskOutput(), desk.context("o"), task_id="b1", block=True))
    lines = text.splitlines()
    assert lines[-2] == "red"
    assert lines[1:-2] == [str(n) for n in range(int(lines[1]), 100_001)]
    assert 30_000 < len(text) < 34_000


async def test_task_list(desk: Desk) -> None:
    listed = TaskList()
    assert text_of(await call(listed, desk.context("l"))) == "[no background tasks]"
    ctx = desk.context("a")
    await call(Shell(), ctx, command="true", description="nothing", run_in_background=True)
    await desk.ended.wait()
    await call(Shell(), desk.context("b"), command="sleep 600", run_in_background=True, timeout=900)
    active = text_of(await call(listed, desk.context("l")))
    assert active.startswith("b2  command  running (limit 900 s)  sleep 600  output: ")
    both = text_of(await call(listed, desk.context("l"), active_only=False)).splitlines()
    assert both[0] == active
    assert both[1].startswith("b1  command  done, exit code 0  true  # nothing  output: ")
    assert text_of(await call(listed, desk.context("l"), active_only=False, limit=1)) == f"{active}\n[1 more]"


@pytest.mark.parametrize("tool", [TaskOutput(), TaskStop()], ids=lambda tool: tool.name)
async def test_a_task_that_there_is_not(desk: Desk, tool: TaskOutput | TaskStop) -> None:
    with pytest.raises(ToolError, match="no background task 'b9'"):
        await call(tool, desk.context(), task_id="b9")
