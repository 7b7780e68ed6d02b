"""The panel of the agent's question: below the conversation, or above the list that is open."""

import asyncio
from typing import TYPE_CHECKING

from textual.widgets import Input

from kimi_agent.agent.transcript import CallBlock
from kimi_agent.core.ask import Permission, Question
from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common.plan import plan_argument
from kimi_agent.frontends.tui.asking import Asker
from kimi_agent.frontends.tui.draw.local import NoteBlock
from kimi_agent.frontends.tui.screens.ask import AskScreen
from kimi_agent.frontends.tui.widgets.bars import ActivityBar
from kimi_agent.frontends.tui.widgets.panel import AskPanel
from kimi_agent.frontends.tui.widgets.permission import PermissionPanel
from kimi_agent.frontends.tui.widgets.question import QuestionPanel

if TYPE_CHECKING:
    from kimi_agent.frontends.tui.base import SessionApp


class Questions:
    def __init__(self, app: "SessionApp") -> None:
        self.asker = Asker(self._show)
        self.panel: AskPanel | None = None
        self.none = asyncio.Event()
        """No question is on the screen."""
        self.none.set()
        self._app = app
        self._above: AskScreen | None = None
        self._typing: Input | None = None  # the line that was being written in when the first question came

    def _show(self, question: Question | None) -> None:
        if question is not None:
            self._app.notifier.question()
        self._app.call_later(self._replace, question)

    async def _replace(self, question: Question | None) -> None:
        if self.panel is None and question is not None:
            focused = self._app.focused
            self._typing = focused if isinstance(focused, Input) else None
        await self._remove()
        if question is not None:
            await self._open(self._panel_for(question))
        else:
            self._give_back()

    def _panel_for(self, question: Question) -> AskPanel:
        app = self._app
        if isinstance(question, Permission):
            return PermissionPanel(question, app.palette, app.clock, str(app.talk.session.cwd), app.look.diffs)
        return QuestionPanel(question, app.palette, app.clock)

    async def _open(self, panel: AskPanel) -> None:
        self.panel, app = panel, self._app
        self.none.clear()
        if len(app.screen_stack) > 1:
            self._above = AskScreen(panel)
            await app.push_screen(self._above)
        else:
            app.composer.display = False
            app.screen.add_class("-asking")
            await app.screen.mount(panel, before=app.composer)
        panel.focus()
        app.call_after_refresh(app.update_bars)  # by then it is known whether it scrolls

    async def _remove(self) -> None:
        panel, self.panel = self.panel, None
        if panel is None:
            return
        reviewed = isinstance(panel, QuestionPanel) and panel.items[0].other  # else it was only to be looked at
        if (
            isinstance(panel, QuestionPanel)
            and reviewed
            and (text := panel.question.text)
            and not self._in_a_card(text)
        ):
            self._app.view.show([NoteBlock(plain(text))])  # a plan that was reviewed stays
        if self._above is None:
            await panel.remove()
        else:
            above, self._above = self._above, None
            above.dismiss()

    def _give_back(self) -> None:
        """No question is left: the prompt, or what was being written in, is there again."""
        app = self._app
        app.composer.display = True
        app.screen_stack[0].remove_class("-asking")
        if self._typing is not None and self._typing.is_attached:
            self._typing.focus()
        elif len(app.screen_stack) == 1:
            app.composer.area.focus()
        self.none.set()
        app.update_bars()

    def _in_a_card(self, plan: str) -> bool:
        """Whether the card of a call shows the plan itself, as soon as the review has ended."""
        blocks = reversed(self._app.talk.transcript.blocks)
        return any(isinstance(block, CallBlock) and plan_argument(block).strip() == plan.strip() for block in blocks)

    def type(self, text: str) -> None:
        """What was typed before the panel had been seen goes to where it was meant for."""
        if self._typing is not None and self._typing.is_attached:
            self._typing.insert_text_at_cursor(text)
        elif self._above is None:
            self._app.composer.area.insert(text)

    def erase(self) -> None:
        """Backspace, likewise."""
        if self._typing is not None and self._typing.is_attached:
            self._typing.action_delete_left()
        elif self._above is None:
            self._app.composer.area.action_delete_left()

    @property
    def bar(self) -> ActivityBar:
        """The bar that is in sight."""
        return self._app.activity if self._above is None else self._above.bar

    def tell(self, panel: AskPanel) -> None:
        """Say that it waits, and how many others do."""
        others = self.asker.count - 1
        more = f" · {others} more" if others > 0 else ""
        self.bar.tell(f"Waiting for your answer{more}", panel.hints(self._app.talk.session.running))
        panel.tell_more(others)
