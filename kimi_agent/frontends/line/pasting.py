"""What comes into the prompt of line mode from outside of the keyboard: pastes, the clipboard, dropped files."""

import asyncio
from collections.abc import Callable

from prompt_toolkit.application import get_app
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import Condition
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys

from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common.clipboard_reader import ClipboardError, read_clipboard
from kimi_agent.frontends.common.pastes import Pastes
from kimi_agent.frontends.common.prompt_pictures import attach_stored, dropped, store_picture
from kimi_agent.frontends.line.screen import Owner

Handler = Callable[[KeyPressEvent], object]


class Pasting:
    """`tell` prints a word to the person."""

    def __init__(self, owner: Owner, pastes: Pastes, tell: Callable[[str], None]) -> None:
        self._owner, self._pastes, self._tell = owner, pastes, tell

    def put(self, buffer: Buffer, pasted: str) -> None:
        """Put a text in at the cursor: the files that it names, or a placeholder where it is long."""
        text = plain(pasted.replace("\r\n", "\n").replace("\r", "\n"))
        if self._owner.secret:
            buffer.insert_text(text)
            return
        before = buffer.document.text_before_cursor
        named = dropped(text, before, self._owner.folder(), self._pastes) if self._takes_files() else None
        buffer.insert_text(self._pastes.collapse(text) if named is None else named)

    async def put_clipboard(self, buffer: Buffer) -> None:
        try:
            found = await read_clipboard()
            if isinstance(found, bytes):
                await self._attach(buffer, found)
            elif found:
                self.put(buffer, found)
            else:
                self._tell("The clipboard is empty.")
        except ClipboardError as error:
            self._tell(f"{error}.")

    async def _attach(self, buffer: Buffer, data: bytes) -> None:
        if not self._takes_files():
            self._tell("The clipboard holds a picture: only a prompt takes one.")
            return
        path = await asyncio.to_thread(store_picture, data, self._owner.home())
        before = buffer.document.char_before_cursor
        blank = " " if before and not before.isspace() else ""
        buffer.insert_text(f"{blank}{attach_stored(path, self._pastes)} ")

    def _takes_files(self) -> bool:
        """Whether it is a prompt that is being written."""
        owner = self._owner
        return owner.remembers() and not (owner.secret or owner.feeding() or owner.shell_folder())

    def placeholder_before(self, buffer: Buffer) -> int:
        """Length of the placeholder that ends at the cursor, 0 when none does."""
        document = buffer.document
        return self._pastes.ending_at(document.current_line, document.cursor_position_col)

    def placeholder_behind(self, buffer: Buffer) -> int:
        """Length of the placeholder that begins at the cursor, 0 when none does."""
        document = buffer.document
        spans = self._pastes.spans(document.current_line)
        return next((end - start for start, end in spans if start == document.cursor_position_col), 0)


def beside_placeholders(pastes: Pastes) -> Callable[[Buffer], None]:
    """What keeps the cursor of a buffer out of placeholders: on the way through it goes to the far edge."""
    last = 0

    def move(buffer: Buffer) -> None:
        nonlocal last
        document = buffer.document
        column = document.cursor_position_col
        for start, end in pastes.spans(document.current_line):
            if start < column < end:
                buffer.cursor_position += (end if document.cursor_position > last else start) - column
                break
        last = buffer.cursor_position

    return move


def add_pasting(
    keys: KeyBindings,
    on_paste: Callable[[Handler], Handler],
    owner: Owner,
    pastes: Pastes,
    tell: Callable[[str], None],
) -> None:
    """The keys of `on_paste` read the clipboard; what deletes takes a placeholder out whole."""
    pasting = Pasting(owner, pastes, tell)

    @on_paste
    def clipboard(event: KeyPressEvent) -> None:
        event.app.create_background_task(pasting.put_clipboard(event.current_buffer))

    @keys.add(Keys.BracketedPaste)
    def paste(event: KeyPressEvent) -> None:
        if event.data:
            pasting.put(event.current_buffer, event.data)
        else:  # what terminals send when the clipboard holds no text
            clipboard(event)

    before = Condition(lambda: bool(pasting.placeholder_before(get_app().current_buffer)))
    behind = Condition(lambda: bool(pasting.placeholder_behind(get_app().current_buffer)))

    @keys.add("backspace", filter=before)
    @keys.add("c-w", filter=before)
    @keys.add("escape", "backspace", filter=before)
    def take_out(event: KeyPressEvent) -> None:
        event.current_buffer.delete_before_cursor(pasting.placeholder_before(event.current_buffer))

    @keys.add("delete", filter=behind)
    @keys.add("c-d", filter=behind)
    @keys.add("escape", "d", filter=behind)
    def take_out_next(event: KeyPressEvent) -> None:
        event.current_buffer.delete(pasting.placeholder_behind(event.current_buffer))
