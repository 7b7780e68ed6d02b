"""How /context and /diff look. `pytest --snapshot-update` accepts a new look."""

from pathlib import Path
from typing import Any

import pytest
from machine import FakeTool, House, ListProvider, call, calls, instant, play
from test_commands import RecordingShell
from textual.pilot import Pilot

from kimi_agent.commands import execute
from kimi_agent.core.provider import Finished, TextChunk, Tokens
from kimi_agent.frontends.tui.draw.local import NoteBlock
from kimi_agent.tools.known_files import KnownFiles
from kimi_agent.tools.write_file import WriteFile

SIZE = (80, 24)
OLD = "def total(prices, discount=0):\\n    return sum(prices) * (1 - discount / 10)\\n"
NEW = OLD.replace("/ 10)", "/ 100)") + "\\n\\nassert total([100], 10) == 90\\n"


async def told(folder: Path, command: str) -> str:
    """What a command says at the end of a session that read, searched and wrote."""
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
    made = RecordingShell(House(folder, ListProvider(lambda request: replies.pop(0)), tools))
    made.session.runner.system = (
        "You are Kimi. " * 150 + "\n\n# Instructions of the user and the project\n\n" + "Tabs. " * 900
    )
    await play(made.session, "Mend the discount.")
    await execute(made, command)
    return made.shown[-1]


@pytest.mark.parametrize("theme", ["dark", "light", "high-contrast-dark"])
@pytest.mark.parametrize("command", ["context", "diff"])
def test_what_a_session_holds(look: Any, tmp_path: Path, theme: str, command: str) -> None:
    async def say(pilot: Pilot[Any]) -> None:
        pilot.app.view.show([NoteBlock(await told(tmp_path, f"/{command}"))])
        await pilot.pause()
        await pilot.press("pageup")

    assert look(SIZE, theme, act=say)
