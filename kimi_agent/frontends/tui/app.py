"""The keys of the full-screen shell."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any, ClassVar

from textual import events, on
from textual.app import SuspendNotSupported
from textual.geometry import Offset
from textual.widgets import Input, TextArea

from kimi_agent.agent.agent import Agent
from kimi_agent.agent.transcript import NoticeBlock, PromptBlock
from kimi_agent.copy_command import last_answer, told_copied
from kimi_agent.core.exit import ExitCode
from kimi_agent.frontends.common import editor
from kimi_agent.frontends.common.clipboard import tell_tmux
from kimi_agent.frontends.common.keymap import keymap
from kimi_agent.frontends.common.look import Look
from kimi_agent.frontends.tui import keys
from kimi_agent.frontends.tui.base import HINT_S, SessionApp
from kimi_agent.frontends.tui.draw.source import block_text
from kimi_agent.frontends.tui.finder import Finder
from kimi_agent.frontends.tui.screens.conversation import ConversationScreen
from kimi_agent.frontends.tui.widgets.permission import PermissionPanel
from kimi_agent.frontends.tui.widgets.search_bar import SearchBar

LATE_S = 0.3
"""A signal that ended the program which had the terminal may be heard so long after its end."""


class _LeftError(Exception):
    """The program was told to end while another one had the terminal."""


class KimiApp(SessionApp):
    BINDINGS: ClassVar[list[Any]] = keys.bindings()
    _exit_pressed = _escape_pressed = float("-inf")
    _lent_until = float("-inf")
    _finder: Finder | None = None
    _editing: asyncio.Task[str | None] | None = None

    def __init__(self, agent: Agent, *, look: Look = Look(), **options: Any) -> None:  # noqa: B008 - frozen
        super().__init__(agent, look=look, **options)
        self.keymap = keymap(look.keys)
        self.set_keymap(keys.for_textual(self.keymap))
        self.composer.area.keys = keys.for_prompt(self.keymap)
        if look.vim:
            self.composer.area.set_vim(True)

    @property
    def fault(self) -> Exception | None:
        """What ended the application that should not have."""
        return self._exception

    def _fatal_error(self) -> None:
        """Whoever started the application tells of the fault; Textual would print local variables, which may be keys."""
        self._close_messages_no_wait()

    def get_default_screen(self) -> ConversationScreen:
        return ConversationScreen(id="_default")

    @on(events.Mount)
    def _tell_keys(self) -> None:
        self.call_later(self.view.show, [NoticeBlock(0, "warning", text) for text in self.keymap.notices])

    @property
    def cursor_position(self) -> Offset:
        """Where the terminal's own cursor stands, which input methods look at: asked for whenever the screen is drawn."""
        focused = self.focused
        if isinstance(focused, TextArea | Input) and focused.is_attached:
            return focused.cursor_screen_offset
        return Offset(0, 0)

    @cursor_position.setter
    def cursor_position(self, position: Offset) -> None:
        """What widgets tell is the same place, though not each time that it moves."""

    def action_run_command(self, command: str) -> None:
        """A key of a slash command, as if it had been typed."""
        self.submit(command)

    @on(events.Mount)
    def _watch_below(self) -> None:
        self.watch(self.view, "new_below", self._tell_below)

    def _tell_below(self, below: bool) -> None:
        self.activity.below = below
        self.update_bars()

    def action_interrupt(self) -> None:
        """Esc: stop what runs, or say no to what goes on in the background; twice, go back to an earlier message."""
        if self.shell.feeding:
            self.shell.interrupt()
        elif self.talk.session.running:
            self.talk.session.interrupt()
        elif isinstance(self.panel, PermissionPanel):
            self.asker.answer(self.panel.refusal)
        elif self.shell.running:
            self.shell.interrupt()
        elif self._finder is not None:
            self._close_search()
        elif self.screen.selections:
            self.screen.clear_selection()
        elif not self.commanding.cancel():
            self._go_back()

    def _go_back(self) -> None:
        prompts = any(isinstance(block, PromptBlock) and not block.void for block in self.talk.transcript.blocks)
        if self.composer.text or self.shell.on or self.busy or not prompts:
            return
        now = self.clock()
        if now - self._escape_pressed > HINT_S:
            self._escape_pressed = now
            self.notify_hint("Esc again goes back to an earlier message")
            return
        self._escape_pressed = float("-inf")
        self.submit("/rewind")

    def action_interrupt_or_exit(self) -> None:
        """Ctrl-C: copy what is selected, stop what runs, empty the prompt, and pressed twice leave."""
        selected = self.screen.get_selected_text() or self.composer.area.selected_text
        if selected:
            self.copy_to_clipboard(selected)
            self.screen.clear_selection()
            self.notify_hint("Copied")
        elif self.shell.running or self.talk.session.running:
            self.shell.interrupt() if self.shell.running else self.talk.session.interrupt()
        elif self.panel is not None:
            self.asker.answer(self.panel.refusal)
        elif self.composer.end_search(None):
            pass
        elif self.composer.text:
            self.composer.put("")
        else:
            self.action_exit_twice("Ctrl-C")

    @contextlib.contextmanager
    def suspend(self) -> Iterator[None]:
        self._lent_until = float("inf")
        try:
            with contextlib.suppress(_LeftError), super().suspend():
                yield
                if self.return_code is not None:  # a terminal that was taken back now would be left as it is then
                    raise _LeftError
        finally:
            self._lent_until = self.clock() + LATE_S

    def interrupted(self) -> None:
        """SIGINT is a Ctrl-C; where another program has the terminal, one that is meant for it alone."""
        if not self._shown:
            self.leave(ExitCode.INTERRUPTED)
        elif self.clock() > self._lent_until:
            self.call_next(self.action_interrupt_or_exit)

    def leave(self, code: int = 0) -> None:
        if self._editing is not None:
            self._editing.cancel()
        super().leave(code)

    def action_exit_twice(self, key: str = "Ctrl-Q") -> None:
        if key == "Ctrl-D" and self.shell.on and self.shell.alive:
            self.shell.end_input()
            return
        now = self.clock()
        if now - self._exit_pressed <= HINT_S:
            self.leave()
            return
        self._exit_pressed = now
        self.notify_hint(f"{key} again leaves; the session is kept")

    def action_expand(self) -> None:
        """Ctrl-E: unfold all cards, or make a panel as high as it can be."""
        if self.panel is not None:
            self.panel.toggle_expanded()
        else:
            self.view.toggle_expanded()

    def action_plan_mode(self) -> None:
        """Shift-Tab."""
        session = self.talk.session
        for event in session.set_mode("default" if session.mode == "plan" else "plan"):
            self.feed(event)

    def action_page(self, pages: int) -> None:
        if pages == 0:
            self.view.scroll_home(animate=False)
        else:
            self.view.scroll_relative(y=pages * max(1, self.view.size.height - 2), animate=False)

    def action_jump_end(self) -> None:
        self.view.jump_end()

    def action_jump_turn(self, step: int) -> None:
        """Alt-Up, Alt-Down."""
        self.view.jump_turn(step)

    def copy_to_clipboard(self, text: str) -> None:
        """By OSC 52, which goes through SSH, and through tmux in its own way."""
        super().copy_to_clipboard(text)
        tell_tmux(text)

    def action_copy(self) -> None:
        """Ctrl-T: copy the block in which a selection begins, else the last answer."""
        selection = self.view.text_selection
        block = self.view.block_at(selection.start.y) if selection is not None and selection.start else None
        if block is not None and (text := block_text(block)):
            self.copy_to_clipboard(text)
            self.screen.clear_selection()
            self.notify_hint(f"Copied the block: {len(text):,} characters")
        elif text := last_answer(self.talk.session):
            self.copy_to_clipboard(text)
            self.notify_hint(f"Copied the last answer: {told_copied(text)}")
        else:
            self.notify_hint("There is no answer to copy yet")

    # --- search -------------------------------------------------------------------------------------------------------

    async def action_search(self) -> None:
        """Ctrl-F."""
        if self._finder is None:
            self._finder = Finder(self.view)
            await self.mount(SearchBar(), before=self.activity)
        field = self.query_one(SearchBar).input
        self.screen.set_focus(field)
        field.action_select_all()

    @on(SearchBar.Sought)
    def _sought(self, event: SearchBar.Sought) -> None:
        if self._finder is not None:
            self._finder.search(event.text)
            self._tell_found(event.text)

    @on(SearchBar.Stepped)
    def _stepped(self, event: SearchBar.Stepped) -> None:
        if self._finder is not None:
            self._finder.step(event.by)
            self._tell_found("sought")

    def _tell_found(self, text: str) -> None:
        finder = self._finder
        assert finder is not None
        found = f"{finder.position} of {finder.count}" if finder.count else "nothing found" if text.strip() else ""
        self.query_one(SearchBar).say(found if finder.shown else f"{found}, in text that is not drawn")

    @on(SearchBar.Closed)
    def _close_search(self) -> None:
        if self._finder is not None:
            self._finder.close()
            self._finder = None
            self.query_one(SearchBar).remove()
            (self.panel or self.composer.area).focus()

    def action_shell_mode(self) -> None:
        """Ctrl-X."""
        self.shell.on = not self.shell.on
        self.composer.set_shell(self.shell.on)
        self.update_bars()

    def on_ready(self) -> None:
        """After the first paint."""
        self._settling.warm_box()

    def action_suspend_process(self) -> None:
        """Ctrl-Z: what runs in shell mode, else kimi itself."""
        if self.shell.feeding:
            self.shell.suspend()
        else:
            super().action_suspend_process()

    def action_give_output(self) -> None:
        """Ctrl-G: the shell's last command and what it wrote join the next prompt."""
        if self.shell.last is None:
            self.notify_hint("No command has been run yet: Ctrl-X, or !command")
            return
        if self.shell.on:
            self.action_shell_mode()
        self.composer.attach(self.shell.last.for_model())

    def action_paste_clipboard(self) -> None:
        """Ctrl-V, Alt-V."""
        self.run_worker(self.pasting.paste(), group="clipboard", exclusive=True)

    def action_steer(self) -> None:
        """Ctrl-S: what is typed joins the running turn before its next step."""
        text = self.composer.take()
        if text and self.talk.session.running:
            self.talk.session.steer(text)
        elif text:
            self.submit(text)

    def action_take_back(self) -> None:
        """Up in an empty prompt: the newest waiting text, or the history."""
        if (text := self.talk.take_back()) is not None:
            self.composer.put(text)
            self.update_bars()
        else:
            self.composer.older()

    async def action_editor(self) -> None:
        """Ctrl-O: write the prompt in an editor; the session goes on meanwhile."""
        command = editor.editor_command(self.look.editor)
        if not command:
            self.notify_hint("No editor found: set VISUAL or EDITOR")
            return
        text = self.composer.area.expanded_text
        try:
            with self.batch_update(), self.suspend():
                self._editing = asyncio.create_task(editor.edit(command, text))
                await asyncio.wait((self._editing,))
        except SuspendNotSupported:
            self.notify_hint("This terminal cannot be lent to an editor")
            return
        if self._editing.cancelled():
            return
        if (edited := self._editing.result()) is None:
            self.notify_hint("The editor failed: the text is as it was")
        else:
            self.composer.put(edited)
