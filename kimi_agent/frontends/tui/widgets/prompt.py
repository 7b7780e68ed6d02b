"""The text area that a person types in."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import events
from textual.document._document import Location, Selection
from textual.message import Message

from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common.keymap import Keymap
from kimi_agent.frontends.common.pastes import Pastes
from kimi_agent.frontends.tui.keys import for_prompt, typed
from kimi_agent.frontends.tui.widgets.readline import ReadlineArea

if TYPE_CHECKING:
    from kimi_agent.frontends.tui.vim.keys import Mode, Vim

_ARROWS = ("left", "right", "up", "down", "home", "end", "delete")


class PromptArea(ReadlineArea):
    """Enter sends, Shift-Enter (Ctrl-J, Alt-Enter) breaks the line. The keys of the popup are asked for by `Wanted` messages.

    `keys` says which action of Textual a key runs. With `vim` the keys of normal mode go there first.
    """

    class Submitted(Message):
        """Enter was pressed."""

    @dataclass
    class Wanted(Message):
        """A key that means something outside of the text: `older`, `newer`, `complete`, `accept`, `dismiss`, `end`, `exit`,
        `search`."""

        what: str

    @dataclass
    class ModeChanged(Message):
        """Of vim: what its keys mean now."""

        mode: "Mode"

    def __init__(self, pastes: Pastes, *, id: str | None = None) -> None:  # noqa: A002
        self.pastes = pastes
        super().__init__(id=id, soft_wrap=True, tab_behavior="focus", highlight_cursor_line=False, compact=True)
        self.cursor_blink = False
        self.popup_open = False
        self.keys: Mapping[str, str] = for_prompt(Keymap())
        self.vim: Vim | None = None
        self.as_dropped: Callable[[str], Awaitable[str | None]] | None = None
        """What is put in for a paste that names the files that were dropped on the window; None for any other text."""

    @property
    def expanded_text(self) -> str:
        return self.pastes.expand(self.text)

    def replace_all(self, text: str) -> None:
        """Set the text, cursor at its end; long texts that were pasted are collapsed again. It can be undone."""
        self.history.checkpoint()
        self.replace(self.pastes.collapse_again(text), (0, 0), self.document.end, maintain_selection_offset=False)
        self.history.checkpoint()
        self.move_cursor(self.document.end)

    @property
    def before_cursor(self) -> str:
        return self.get_text_range((0, 0), self.cursor_location)

    @property
    def line_before_cursor(self) -> str:
        """What stands before the cursor on its line: unlike all that stands before it, it costs nothing in a long prompt."""
        row, column = self.cursor_location
        return self.document.get_line(row)[:column]

    async def _on_key(self, event: events.Key) -> None:
        if self._key_of_popup(event.key) or self._key_of_vim(event):
            pass
        elif action := self.keys.get(event.key):
            await self.run_action(action)
        elif not self._key_outside(event.key):
            if event.key.startswith("alt+") and event.is_printable:
                event.prevent_default()  # the terminal's ESC and a letter: no letter
            elif event.is_printable or not (text := typed(event)):
                await super()._on_key(event)
            else:
                event.stop()
                event.prevent_default()
                self._replace_via_keyboard(text, *self.selection)
            return
        event.stop()
        event.prevent_default()

    def _key_of_popup(self, key: str) -> bool:
        wanted = {"enter": "accept", "escape": "dismiss", "up": "older", "down": "newer"}.get(key, "")
        if self.popup_open and wanted:
            self.post_message(self.Wanted(wanted))
        return self.popup_open and bool(wanted)

    def _key_outside(self, key: str) -> bool:
        """The keys whose meaning is outside of the text, where the cursor is now."""
        wanted = ""
        if key == "tab":
            wanted = "complete"
        elif key == "up" and self.cursor_at_first_line:
            wanted = "older"
        elif key == "down" and self.cursor_at_last_line:
            wanted = "newer"
        elif key == "end" and not self.text:
            wanted = "end"
        if wanted:
            self.post_message(self.Wanted(wanted))
        return bool(wanted)

    # --- actions ------------------------------------------------------------------------------------------------------

    def action_send(self) -> None:
        """Enter; behind a backslash it breaks the line."""
        if self.line_before_cursor.endswith("\\") and not (self.vim and self.vim.mode != "insert"):
            self.action_delete_left()
            self.action_newline()
        else:
            self.post_message(self.Submitted())

    def action_newline(self) -> None:
        self._replace_via_keyboard("\n", *self.selection)

    def action_search_history(self) -> None:
        self.post_message(self.Wanted("search"))

    def action_delete_or_exit(self) -> None:
        if self.text:
            self.action_delete_right()
        else:
            self.post_message(self.Wanted("exit"))

    # --- placeholders: the cursor never stands in one, and none is cut in half: it would not expand --------------------

    def _validate_selection(self, selection: Selection) -> Selection:
        """Textual's hook for wherever the cursor is to go."""
        old, new = self.selection, super()._validate_selection(selection)
        return Selection(self._beside(new.start, old.start), self._beside(new.end, old.end))

    def _beside(self, place: Location, came_from: Location) -> Location:
        """`place`, or the edge of the placeholder in which it is: the far one on the way through, else the near one."""
        row, column = place
        for start, end in self.pastes.spans(self.document.get_line(row)):
            if start < column < end:
                forward = column > came_from[1] if row == came_from[0] else column - start > end - column
                return row, end if forward else start
        return place

    def whole(self, start: Location, end: Location) -> tuple[Location, Location]:
        """With all of the placeholders that begin or end in this part."""
        for first, last in self.pastes.spans(self.document.get_line(start[0])):
            if first < start[1] < last:
                start = start[0], first
        for first, last in self.pastes.spans(self.document.get_line(end[0])):
            if first < end[1] < last:
                end = end[0], last
        return start, end

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

    # --- vim ----------------------------------------------------------------------------------------------------------

    def set_vim(self, on: bool) -> None:
        from kimi_agent.frontends.tui.vim.keys import Vim
        from kimi_agent.frontends.tui.vim.wholes import Wholes

        self._wholes = Wholes(self.pastes)
        self.vim = Vim() if on else None
        self._tell_mode()

    def start_insert(self) -> None:
        """What is typed now is text again: something was sent."""
        if self.vim is not None:
            self.vim.start_insert()
            self._tell_mode()

    def _key_of_vim(self, event: events.Key) -> bool:
        """Whether vim took the key. In normal mode all letters are its own; Enter and the other keys keep their meaning."""
        vim = self.vim
        if vim is None:
            return False
        character = event.character if event.is_printable and event.character else ""
        if vim.mode == "insert":
            alt = event.key.startswith("alt+") and bool(character) and event.key not in self.keys
            if event.key != "escape" and not alt:  # Esc and a letter, typed quickly, come as Alt and the letter
                return False
            self._take_over(vim)
            vim.escape()
            if alt:
                vim.key(character)
            self._bring_back(vim)
            return True
        key = event.key if event.key in ("escape", "ctrl+r", *_ARROWS) else character
        if not key or (event.key.startswith("alt+") and event.key in self.keys):
            return False
        if not vim.pending and vim.mode == "normal":
            if key == "escape":
                return False
            rows = {"k": "up", "j": "down"}
            if key in (*rows, *rows.values()) and self._key_outside(rows.get(key, key)):
                return True
        self._take_over(vim)
        vim.key(key)
        self._bring_back(vim)
        return True

    def _take_over(self, vim: "Vim") -> None:
        lines, place = self._wholes.coded(self.text.split("\n"), self.cursor_location)
        if vim.selection is None or lines != vim.text.lines:
            vim.sync(lines, place)

    def _bring_back(self, vim: "Vim") -> None:
        """Show what vim has made of the text: one edit, which the prompt's own undo can take back too."""
        text = self._wholes.decoded("\n".join(vim.text.lines))
        if text != self.text:
            self.history.checkpoint()
            self.replace(text, (0, 0), self.document.end, maintain_selection_offset=False)
            self.history.checkpoint()
        if (span := vim.selection) is not None:
            start, end = span if vim.anchor <= vim.text.place else (span[1], span[0])
            self.selection = Selection(self._shown_at(vim, start), self._shown_at(vim, end))
        else:
            self.move_cursor(self._shown_at(vim, vim.text.place))
        self._tell_mode()

    def _shown_at(self, vim: "Vim", place: Location) -> Location:
        return place[0], len(self._wholes.decoded(vim.text.lines[place[0]][: place[1]]))

    def _tell_mode(self) -> None:
        self.post_message(self.ModeChanged(self.vim.mode if self.vim else "insert"))
