"""What tests of the full-screen shell's look share: sizes and themes, an agent that only shows a log, and calls for it."""

from pathlib import Path
from typing import Any

import pytest
from fakes import FakeAgent

from kimi_agent.core import event as ev
from kimi_agent.core.message import Message, ToolCall, tool_message

SIZES = [(80, 24), (120, 40)]
THEMES = ["dark", "light"]
HIGH_CONTRAST = ["high-contrast-dark", "high-contrast-light"]
CWD = Path("/srv/shop")
EVERYDAY = ((80, 24), "dark")


def looks(*everyday: tuple[tuple[int, int], str]) -> list[Any]:
    """Each size in each theme; those that are not `everyday` are for `make nightly`."""
    return [
        pytest.param(s, t, id=f"{s[0]}x{s[1]}-{t}", marks=() if (s, t) in everyday else pytest.mark.nightly)
        for s in SIZES
        for t in THEMES
    ]


every_look = pytest.mark.parametrize(("size", "theme"), looks(EVERYDAY))
"""One look at every change, the others at night."""
whole_look = pytest.mark.parametrize(("size", "theme"), looks(*((s, t) for s in SIZES for t in THEMES)))
"""All of them at every change: for screens that show most of what there is to draw."""


class ShownAgent(FakeAgent):
    """Its session has a log to replay; `live` events follow as if a turn were running."""

    def __init__(self, log: list[ev.Event], live: list[ev.Event], home: Path) -> None:
        super().__init__(home=home)
        self.log, self.live = log, live
        self.notices: tuple[str, ...] = ()

    def open(self, session_id: str | None = None, **options: Any) -> Any:
        session = super().open(session_id, **options)
        session._log += self.log
        session.running = bool(self.live)
        return session


def tool(
    number: int, name: str, arguments: str, display: Any, result: str = "", seconds: float = 0.0, bad: bool = False
):
    call = ToolCall(f"c{number}", name, arguments)
    return [
        ev.MessageAdded(Message("assistant", (call,), "model")),
        ev.ToolStarted(call, ()),
        ev.ToolFinished(call.id, display, bad, seconds),
        ev.MessageAdded(tool_message(call.id, result, is_error=bad)),
    ]
