"""/tasks as a list to look through: what it shows, and what its keys do."""

import asyncio
from pathlib import Path

import pytest
from machine import FakeTool, House, ListProvider, Params, call, calls, house, order, play, say, task_of
from test_commands import RecordingShell

from kimi_agent.commands import execute
from kimi_agent.core.errors import ToolError
from kimi_agent.core.listing import Listing, Row
from kimi_agent.core.task import TaskEnd
from kimi_agent.core.tool import ToolContext


class Starter:
    """A tool that starts tasks, which end when the test says so."""

    def __init__(self, folder: Path) -> None:
        self.output = folder / "output.txt"
        self.ends: list[asyncio.Future[TaskEnd]] = []
        self.tool = FakeTool("Start", "run", self._start)

    async def _start(self, params: Params, ctx: ToolContext) -> str:
        self.ends.append(asyncio.get_running_loop().create_future())
        ctx.tasks.start("command", f"make {params.path}", self.ends[-1], call_id=ctx.call_id, output=self.output)
        return "started"


async def started(folder: Path) -> tuple[Starter, RecordingShell, House]:
    """A session in which `make a` and `make b` run; the last one has said something."""
    starter = Starter(folder)
    both = calls(call("Start", '{"path": "a"}', "s1"), call("Start", '{"path": "b"}', "s2", 1))
    made = House(
        folder, ListProvider(lambda request: both if len(request.messages) == 1 else say("fine")), [starter.tool]
    )
    shell = RecordingShell(made)
    shell.draws = True
    await play(shell.session, "go")
    starter.output.write_text("compiling\nlinking \x1b[2Jnow\n")
    return starter, shell, made


def by_id(listing: Listing) -> dict[str, Row]:
    return {row.id: row for row in listing.rows()}


async def test_the_list_tells_of_what_runs_and_how_it_ended(tmp_path: Path):
    starter, shell, _ = await started(tmp_path)

    async def look_through(listing: Listing) -> None:
        assert listing.live
        assert [(row.label, row.mark) for row in listing.rows()] == [("make b", "running"), ("make a", "running")]
        assert by_id(listing)["b1"].description.endswith("· linking now")
        assert await listing.preview("b1") == "compiling\nlinking now"
        starter.ends[0].set_result(TaskEnd(failed=True, exit_code=2))
        await shell.session.tasks.wait("b1", 20)
        assert by_id(listing)["b1"].mark == "failed"
        assert "· exit 2 ·" in by_id(listing)["b1"].description

    shell.browsing = look_through
    await execute(shell, "/tasks")
    assert len(shell.listings) == 1
    await shell.session.aclose()


async def test_its_keys_stop_show_and_give_to_the_model(tmp_path: Path):
    _, shell, made = await started(tmp_path)

    async def look_through(listing: Listing) -> str:
        keys = {key.key: key.act for key in listing.keys}
        assert "next message" in await keys["g"]("b1")
        assert await keys["delete"]("b2") == "b2 is stopped."
        with pytest.raises(ToolError, match="ended already"):
            await keys["s"]("b2")
        await keys["o"]("b1")
        assert "compiling\nlinking now" in shell.shown[-1]
        return "b2"

    shell.browsing = look_through
    await execute(shell, "/tasks")
    assert shell.shown[-1].startswith("**b2** stopped")
    await play(shell.session, "well?")
    told = [m.text for m in made.provider.requests[-1].messages if m.origin == "agent"]
    assert any("output of the background task b1" in text and "linking now" in text for text in told)
    await shell.session.aclose()


async def test_without_tasks_it_is_told_in_a_line(tmp_path: Path):
    shell = RecordingShell(House(tmp_path, ListProvider([])))
    shell.draws = True
    await execute(shell, "/tasks")
    assert shell.shown == ["No tasks run in the background."]
    assert not shell.listings


async def test_a_subagent_that_its_caller_waits_for_is_listed(tmp_path: Path):
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def hold(params: Params, ctx: ToolContext) -> str:
        begun.set()
        await go_on.wait()
        return "held"

    def reply(request):
        if task_of(request) == "go":
            return calls(call("Agent", order("look around"), "a1")) if len(request.messages) == 1 else say("done")
        return calls(call("Hold", "{}", "h1")) if len(request.messages) == 1 else say("seen")

    shell = RecordingShell(house(tmp_path, ListProvider(reply), [FakeTool("Hold", "read", hold)]))
    shell.draws = True
    turn = asyncio.create_task(play(shell.session, "go"))

    async def look_through(listing: Listing) -> None:
        (row,) = listing.rows()
        assert (row.mark, row.group) == ("running", "Subagents")
        assert "some work" in row.label
        assert "look around" in await listing.preview(row.id)
        with pytest.raises(ToolError, match="caller waits"):
            await listing.keys[0].act(row.id)
        go_on.set()
        await turn
        assert not listing.rows()

    shell.browsing = look_through
    async with asyncio.timeout(20):
        await begun.wait()
        await execute(shell, "/tasks")
    assert shell.listings
