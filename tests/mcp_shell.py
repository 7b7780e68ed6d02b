"""Slash commands in a session with MCP servers, without a screen."""

from collections.abc import Sequence
from pathlib import Path

from machine import House, ListProvider, say
from test_commands import RecordingShell

from kimi_agent.commands import completes_arguments, execute
from kimi_agent.core.servers import Servers


def shell_with(tmp_path: Path, servers: Servers | None, picks: Sequence[int | None] = ()) -> RecordingShell:
    (tmp_path / "house").mkdir(exist_ok=True)
    house = House(tmp_path / "house", ListProvider(lambda request: say("fine")))
    house.agent.make_servers = lambda folder: servers
    return RecordingShell(house, picks)


async def run(shell: RecordingShell, text: str) -> str:
    """What the command showed."""
    shell.shown.clear()
    await execute(shell, text)
    return "\n".join(shell.shown)


async def proposals(shell: RecordingShell, text: str) -> list[str]:
    complete = completes_arguments(text, shell.session)
    return [option.label for option in await complete()] if complete is not None else []
