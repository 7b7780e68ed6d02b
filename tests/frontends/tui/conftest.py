"""Compares how the shell looks with how it looked. `pytest -m '' --snapshot-update` accepts a new look."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from tui_house import Clock
from tui_look import CWD, ShownAgent

from kimi_agent.frontends.common.look import Look
from kimi_agent.frontends.tui.app import KimiApp

Act = Callable[[Pilot[Any]], Awaitable[None]]


@pytest.fixture
def look(snap_compare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Compare a screen: a log that is replayed, events that are live, and what is done then."""
    monkeypatch.delenv("NO_COLOR", raising=False)

    def compare(size: Any, theme: str, log: Any = (), live: Any = (), act: Act | None = None) -> bool:
        clock = Clock()
        agent = ShownAgent(list(log), list(live), tmp_path)
        app = KimiApp(agent, cwd=CWD, look=Look(theme=theme), clock=clock, version="1.0.0")

        async def before(pilot: Pilot[Any]) -> None:
            for event in live:
                app.feed(event)
            clock.now += 4 if live else 0
            app.update_bars()
            await pilot.pause()
            if act is not None:
                await act(pilot)
            app.view.flush()
            await pilot.pause()

        return snap_compare(app, terminal_size=size, run_before=before)

    return compare
