"""What comes into the prompt from outside of the keyboard: the clipboard, with its pictures, and dropped files."""

import asyncio
from typing import TYPE_CHECKING

from kimi_agent.frontends.common.clipboard_reader import ClipboardError, read_clipboard
from kimi_agent.frontends.common.prompt_pictures import attach_stored, blind, dropped, store_picture

if TYPE_CHECKING:
    from kimi_agent.frontends.tui.base import SessionApp


class Pasting:
    def __init__(self, app: "SessionApp") -> None:
        self._app = app
        app.composer.area.as_dropped = self._dropped

    async def paste(self) -> None:
        """Put in what the desktop's clipboard holds; where that cannot be read, what was copied here."""
        area = self._app.composer.area
        try:
            found = await read_clipboard()
            if isinstance(found, bytes):
                await self._attach(found)
            elif found:
                await area.put_pasted(found)
            else:
                self._app.notify_hint("The clipboard is empty")
        except ClipboardError as error:
            if copied := self._app.clipboard:
                await area.put_pasted(copied)
            else:
                self._app.notify_hint(str(error))

    async def _attach(self, data: bytes) -> None:
        app, composer = self._app, self._app.composer
        if composer.shell or composer.feeding:
            app.notify_hint("The clipboard holds a picture: the shell takes none")
            return
        path = await asyncio.to_thread(store_picture, data, app.agent.home)
        before = composer.area.before_cursor
        blank = "" if not before or before[-1].isspace() else " "
        composer.area.put_in(f"{blank}{attach_stored(path, composer.pastes)} ")
        if blind(app.talk.session.model):
            app.notify_hint("This model cannot see pictures: /model picks another")

    async def _dropped(self, text: str) -> str | None:
        composer = self._app.composer
        if composer.shell or composer.feeding:
            return None
        before, root = composer.area.before_cursor, composer.files.root
        return await asyncio.to_thread(dropped, text, before, root, composer.pastes)
