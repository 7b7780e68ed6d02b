"""A question of the agent that comes while a list is open: above it. The list is there again after the answer."""

from typing import Any, ClassVar

from textual.app import ComposeResult

from kimi_agent.frontends.tui import keys
from kimi_agent.frontends.tui.screens.dialog import Dialog
from kimi_agent.frontends.tui.widgets.bars import ActivityBar
from kimi_agent.frontends.tui.widgets.panel import AskPanel


class AskScreen(Dialog[None]):
    AUTO_FOCUS = None
    BINDINGS: ClassVar[list[Any]] = keys.bindings_of_questions()

    def __init__(self, panel: AskPanel) -> None:
        super().__init__()
        self.panel, self.bar = panel, ActivityBar(id="ask-activity")
        self.bar.palette = panel.palette

    def compose(self) -> ComposeResult:
        yield self.bar
        yield self.panel
