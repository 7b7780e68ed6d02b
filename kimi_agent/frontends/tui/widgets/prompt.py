"""The text area that a person types in."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from textual import events
from textual.binding import Binding
from textual.message import Message
from textual.widgets import TextArea

from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common.pastes import Pastes

NEWLINE_KEYS = ("shift+enter", "ctrl+j", "alt+enter")


class PromptArea(TextArea):
    """Enter sends, Shift-Enter (Ctrl-J, Alt-Enter) breaks the line. The keys of the popup are asked for by `Key` messages."""

    BINDINGS = [
        Binding("ctrl+e", "app.expand", show=False),
        Binding("ctrl+x", "app.shell_mode", show=False),
        Binding("ctrl+g", "app.give_output", show=False),
        Binding("ctrl+o", "app.editor", show=False),
        Binding("ctrl+c", "app.interrupt_or_exit", show=False),
        Binding("ctrl+s", "app.steer", show=False),
        Binding("ctrl+v", "app.paste_clipboard", show=False),
        Binding("ctrl+d", "delete_or_exit", show=False),
        Binding("ctrl+f", "app.search", show=False),
        Binding("ctrl+z", "app.suspend_process", show=False),
        Binding("pageup", "app.page(-1)", show=False),
        Binding("pagedown", "app.page(1)", show=False),
    ]

    class Submitted(Message):
        """Enter was pressed."""

    @dataclass
    class Wanted(Message):
        """A key that means something outside of the text: `older`, `newer`, `complete`, `accept`, `dismiss`, `end`, `exit`."""

        what: str

    def __init__(self, pastes: Pastes, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, soft_wrap=True, tab_behavior="focus", highlight_cursor_line=False, compact=True)
        self.cursor_blink = False
        self.pastes = pastes
        self.popup_open = False
        self.as_dropped: Callable[[str], Awaitable[str | None]] | None = None
        """What is put in for a paste that names the files that were dropped on the window; None for any other text."""

    @property
    def expanded_text(self) -> str:
        return self.pastes.expand(self.text)

    def replace_all(self, text: str) -> None:
        """Set the text, cursor at its end; long texts that were pasted are collapsed again."""
        self.load_text(self.pastes.collapse_again(text))
        self.move_cursor(self.document.end)

    @property
    def before_cursor(self) -> str:
        return self.get_text_range((0, 0), self.cursor_location)

    async def _on_key(self, event: events.Key) -> None:
        key = event.key
        wanted = ""
        if key in NEWLINE_KEYS:
            self._replace_via_keyboard("\n", *self.selection)
        elif key == "enter":
            if self.popup_open:
                wanted = "accept"
            elif self.before_cursor.endswith("\\"):
                self.action_delete_left()
                self._replace_via_keyboard("\n", *self.selection)
            else:
                self.post_message(self.Submitted())
        elif key == "tab":
            wanted = "complete"
        elif key == "escape" and self.popup_open:
            wanted = "dismiss"
        elif key == "up" and (self.popup_open or self.cursor_at_first_line):
            wanted = "older"
        elif key == "down" and (self.popup_open or self.cursor_at_last_line):
            wanted = "newer"
        elif key == "end" and not self.text:
            wanted = "end"
        elif key == "backspace":  # at once: as a binding it would run after keys that were typed behind it
            if not self._delete_placeholder():
                self.action_delete_left()
        else:
            await super()._on_key(event)
            return
        if wanted:
            self.post_message(self.Wanted(wanted))
        event.stop()
        event.prevent_default()

    def _delete_placeholder(self) -> bool:
        """Backspace behind a placeholder takes it out whole: half of one would not expand."""
        if not self.selection.is_empty:
            return False
        row, column = self.cursor_location
        length = self.pastes.ending_at(self.document.get_line(row), column)
        if length:
            self._delete_via_keyboard((row, column - length), (row, column))
        return bool(length)

    async def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        if event.text:
            await self.put_pasted(event.text)
        else:  # what terminals send when the clipboard holds no text
            await self.run_action("app.paste_clipboard")

    async def put_pasted(self, pasted: str) -> None:
        """Put a text in at the cursor: the files that it names, or a placeholder where it is long."""
        text = plain(pasted.replace("\r\n", "\n").replace("\r", "\n"))
        named = await self.as_dropped(text) if self.as_dropped is not None else None
        self.put_in(self.pastes.collapse(text) if named is None else named)

    def put_in(self, text: str) -> None:
        if result := self._replace_via_keyboard(text, *self.selection):
            self.move_cursor(result.end_location)

    def action_delete_or_exit(self) -> None:
        if self.text:
            self.action_delete_right()
        else:
            self.post_message(self.Wanted("exit"))
