"""Slash commands, through a shell that keeps what it is told to show."""

from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

import pytest
from machine import House, ListProvider, allow, play, say

from kimi_agent.agent.session import Session
from kimi_agent.commands import COMMANDS, execute, find
from kimi_agent.core import event as ev
from kimi_agent.core.ask import Option


class RecordingShell:
    """A `commands.Shell` without a screen. `picks` answers `choose`."""

    def __init__(self, house: House, picks: Sequence[int | None] = ()) -> None:
        self.agent, self.session = house.agent, house.open()
        self.shown: list[str] = []
        self.events: list[ev.Event] = []
        self.titles: list[str] = []
        self._picks = list(picks)
        self.left = False

    def show(self, markdown: str) -> None:
        self.shown.append(markdown)

    def apply(self, events: Iterable[ev.Event]) -> None:
        self.events += events

    async def run(self, events: AsyncIterator[ev.Event]) -> None:
        self.events += [event async for event in events]

    def switch(self, session: Session) -> None:
        self.session = session

    async def choose(self, title: str, options: Sequence[Option]) -> int | None:
        self.titles += [option.label for option in options]
        return self._picks.pop(0) if self._picks else None

    async def ask_text(self, label: str, *, secret: bool = False) -> str | None:
        return None

    def quit(self) -> None:
        self.left = True


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path, ListProvider(lambda request: say("fine")))


def test_find_tells_commands_from_paths():
    assert find("/compact the parser")[1] == "the parser"
    assert find("/?")[0].name == "help"
    assert find("/etc/passwd is odd") is None
    assert find("hello") is None


@pytest.mark.parametrize("name", COMMANDS)
async def test_every_command_runs_on_an_empty_session(house: House, name: str):
    shell = RecordingShell(house)
    assert await execute(shell, f"/{name}")
    assert shell.shown or shell.events or shell.left or shell.titles or name in ("new", "fork", "sessions", "compact")


async def test_a_session_is_renamed_undone_forked_and_left(house: House):
    shell = RecordingShell(house)
    await play(shell.session, "one")
    await execute(shell, "/title A better name")
    first = shell.session.id
    await execute(shell, "/fork")
    assert shell.session.id != first
    await execute(shell, "/undo")
    assert any(isinstance(event, ev.Rewound) for event in shell.events)
    await execute(shell, "/undo")
    assert "nothing to undo" in shell.shown[-1]
    await execute(shell, "/usage")
    assert "| requests | 1 | 1 |" in shell.shown[-1]
    await execute(shell, "/exit")
    assert shell.left


async def test_sessions_are_picked_and_closed(house: House):
    other = house.open()
    await play(other, "the other one")
    await other.aclose()
    shell = RecordingShell(house, [0])
    await execute(shell, "/sessions")
    assert shell.titles == ["the other one"]
    assert shell.session.id == other.id


async def test_modes_toggle(house: House):
    shell = RecordingShell(house)
    for command, mode in (
        ("/plan", "plan"),
        ("/plan", "default"),
        ("/yolo on", "yolo"),
        ("/yolo off", "default"),
        ("/afk", "afk"),
    ):
        await execute(shell, command)
        assert shell.session.mode == mode


async def test_an_unknown_model_is_told_with_the_known_ones(tmp_path: Path):
    house = House(tmp_path, ListProvider([]))
    session = house.agent.open(ask=allow)
    assert session.model.name == "fake"
    from kimi_agent.core.errors import NoModelError

    with pytest.raises(NoModelError, match="nope"):
        house.agent.open(ask=allow, model="nope")


async def test_commands_that_would_break_a_turn_wait(house: House):
    shell = RecordingShell(house)
    async for _ in shell.session.prompt("go"):
        await execute(shell, "/undo")
        break
    assert "waits for the end of the turn" in shell.shown[-1]


async def test_the_table_of_help_has_two_columns_in_every_row(house: House) -> None:
    shell = RecordingShell(house)
    await execute(shell, "/help")
    rows = shell.shown[0].splitlines()
    assert len(rows) == len(COMMANDS) + 2
    assert all(row.replace("\\|", "").count("|") == 3 for row in rows)
    assert "`/plan [on\\|off]`" in shell.shown[0]
