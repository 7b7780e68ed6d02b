"""How /context, /diff, /tasks, /usage and the panels that ask look. `pytest -m '' --snapshot-update` accepts a new look."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from machine import FakeTool, House, ListProvider, call, calls, instant, play
from nightly import all_but
from test_commands import RecordingShell
from textual.pilot import Pilot
from tui_house import seen
from tui_look import every_look

from kimi_agent.commands import execute
from kimi_agent.core import event as ev
from kimi_agent.core.ask import Choice, Item, Option, Permission
from kimi_agent.core.display import Terminal
from kimi_agent.core.effect import Effect
from kimi_agent.core.listing import Listing
from kimi_agent.core.message import ToolCall, user_message
from kimi_agent.core.provider import Finished, TextChunk, Tokens
from kimi_agent.core.task import Task
from kimi_agent.frontends.tui.draw.local import NoteBlock
from kimi_agent.tools.known_files import KnownFiles
from kimi_agent.tools.write_file import WriteFile
from kimi_agent.usage_report import report

FIRST = {"context": "❯ system prompt", "diff": "❯ prices.py", "tasks": "❯ python"}
OLD = "def total(prices, discount=0):\\n    return sum(prices) * (1 - discount / 10)\\n"
NEW = OLD.replace("/ 10)", "/ 100)") + "\\n\\nassert total([100], 10) == 90\\n"


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose name is always as long: what is dropped names it, so that its length counts as tokens."""
    with tempfile.TemporaryDirectory(prefix="look-", dir="/tmp") as name:
        yield Path(name)


async def worked(folder: Path) -> RecordingShell:
    """A session that read, searched and wrote, and has tasks behind it."""
    replies = [
        calls(call("ReadFile", '{"path": "shop/prices.py"}', "c1"), call("Grep", '{"pattern": "total"}', "c2", 1)),
        calls(call("WriteFile", f'{{"path": "prices.py", "content": "{OLD}"}}', "c3")),
        calls(call("WriteFile", f'{{"path": "prices.py", "content": "{NEW}"}}', "c4")),
        [TextChunk("The discount is divided by 100 now."), Tokens(17_000, 400, 9000), Finished("stop")],
    ]
    tools = [
        WriteFile(KnownFiles()),
        FakeTool("ReadFile", "read", instant("a line of code\n" * 900)),
        FakeTool("Grep", "read", instant("shop/prices.py:4: total\n" * 300)),
    ]
    made = RecordingShell(House(folder, ListProvider(lambda request: replies.pop(0), 131_072), tools))
    made.session.runner.own_system = (
        "You are Kimi. " * 150 + "\n\n# Instructions of the user and the project\n\n" + "Tabs. " * 900
    )
    await play(made.session, "Mend the discount.")
    for number in (4, 1):  # a result and the prompt
        await execute(made, f"/context pin {number}")
    output = folder / "output.txt"
    output.write_text("collected 212 items\n\ntests/test_prices.py ...F\n1 failed, 211 passed in 8.41s\n")
    ended = [
        Task("b1", "command", "make test", "t1", str(output), 1000.0, None, "failed", 1008.5, 1),
        Task("b2", "command", "python -m http.server", "t2", str(output), 1000.0, None, "stopped", 4700.0),
        Task(
            "a3",
            "agent",
            "review the discount",
            "t3",
            str(output),
            1000.0,
            None,
            "done",
            1200.0,
            None,
            "It is right now.",
        ),
    ]
    made.session.tasks.take_up([ev.TaskChanged(task) for task in ended])
    return made


async def listed(folder: Path, command: str) -> Listing:
    made = await worked(folder)
    made.draws = True
    await execute(made, command)
    return made.listings[-1]


@every_look
@pytest.mark.parametrize("command", ["context", "diff", "tasks"])
def test_what_a_session_holds(look: Any, short_path: Path, size: Any, theme: str, command: str) -> None:
    async def browse(pilot: Pilot[Any]) -> None:
        listing = await listed(short_path, f"/{command}")
        pilot.app.run_worker(pilot.app.commands.browse(listing))
        await seen(pilot.app, pilot, FIRST[command])
        if command == "context":
            await pilot.press("end", "up", "up", "up", "up", "up", "d")
            await seen(pilot.app, pilot, "is out of the context")
            await pilot.press("up")
            await seen(pilot.app, pilot, "a line of code")
        elif command == "tasks":
            await pilot.press("down")
            await seen(pilot.app, pilot, "211 passed")

    assert look(size, theme, act=browse)


@pytest.mark.parametrize("theme", all_but(["light"], ["dark", "light"]))
@pytest.mark.parametrize("size", [(20, 5), (40, 12)])
def test_the_context_in_a_small_window(look: Any, tmp_path: Path, size: Any, theme: str) -> None:
    async def browse(pilot: Pilot[Any]) -> None:
        pilot.app.run_worker(pilot.app.commands.browse(await listed(tmp_path, "/context")))
        await seen(pilot.app, pilot, "❯ s")

    assert look(size, theme, act=browse)


@every_look
def test_what_it_cost(look: Any, size: Any, theme: str) -> None:
    async def say(pilot: Pilot[Any]) -> None:
        turns = [
            [ev.TurnStarted(n), ev.MessageAdded(user_message(text)), ev.Usage("kimi-k2", 9000 * n, 400, 8000, 0.01 * n)]
            for n, text in enumerate(("Mend the discount.", "And the tests?", "Write it down."), 1)
        ]
        agent = ev.SubagentStarted("a1", "coder", "review the discount", "Look.")
        nested = [ev.Nested("c9", agent), ev.Nested("c9", ev.Usage("local", 5000, 120))]
        pilot.app.view.show([NoteBlock(report([*(event for turn in turns for event in turn), *nested]))])
        await pilot.pause()

    assert look(size, theme, act=say)


@every_look
def test_a_command_with_blanks_and_hidden_characters(look: Any, size: Any, theme: str) -> None:
    async def ask(pilot: Pilot[Any]) -> None:
        command = "cat > Makefile <<'EOF'  \nall:\n\tpython \\ \nEOF\nls\u3164-la\u202e\u200b"
        call_ = ToolCall("c1", "Shell", "{}")
        pilot.app.run_worker(
            pilot.app.asker.ask(Permission(call_, (Effect("run", command),), Terminal(command), "make"))
        )
        await pilot.pause()

    assert look(size, theme, act=ask)


@every_look
def test_answers_before_they_are_sent(look: Any, size: Any, theme: str) -> None:
    async def ask(pilot: Pilot[Any]) -> None:
        items = (
            Item("Which database should the shop use?", (Option("SQLite"), Option("Postgres")), "Database"),
            Item("Which extras?", (Option("cache"), Option("search")), "Extras", True),
        )
        pilot.app.run_worker(pilot.app.asker.ask(Choice(items)))
        await seen(pilot.app, pilot, "Which database")
        pilot.app.clock.now += 1
        await pilot.press("2", "1", "2")
        pilot.app.clock.now += 1
        await pilot.press("enter")
        await seen(pilot.app, pilot, "Enter send the answers")

    assert look(size, theme, act=ask)
