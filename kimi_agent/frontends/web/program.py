"""One `kimi` on a pseudo-terminal, shown by at most one page at a time."""

import asyncio
import os
import re
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from kimi_agent.frontends.common.pty_child import PtyChild, Size
from kimi_agent.frontends.web.modes import Modes
from kimi_agent.frontends.web.page import Page

_ENDING_S = 8.0
"""How long it may take to close its turn before it is killed."""
_REDRAW_S = 0.3
_LAST_BYTES = 4096
_RESUME = re.compile(rb"kimi -r ([\w.-]+)")
"""What every interactive front end says last, when there is something to go on with."""
_OTHER_TERMINALS = re.compile(
    r"COLUMNS|LINES|TMUX.*|STY|WINDOWID|TERM_.*|LC_TERMINAL.*|(ITERM|KITTY|WEZTERM|GHOSTTY|VTE|KONSOLE|WT|TEXTUAL)_.*"
)


def environment(base: Mapping[str, str]) -> dict[str, str]:
    """`base` for a program in the browser's terminal, without what tells of the terminal that the server runs in."""
    kept = {name: value for name, value in base.items() if not _OTHER_TERMINALS.fullmatch(name)}
    return kept | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}


class Program:
    """`on_end` is called once, when nothing of it is left. Raises OSError when it cannot be started.

    `session_id` is known after the end, "" when there is no session to go on with; `was_told` says that the end was ours.
    """

    def __init__(self, argv: Sequence[str], size: Size, on_end: Callable[["Program"], None]) -> None:
        self.session_id, self.was_told = "", False
        self._page: Page | None = None
        self._modes, self._last = Modes(), b""
        self._size, self._narrow = size, False
        self._ended = asyncio.Event()
        self._on_end = on_end
        self._child = PtyChild(
            argv,
            cwd=Path.cwd(),
            env=environment(os.environ),
            size=size,
            on_data=self._wrote,
            on_exit=self._exited,
        )

    # --- the page -----------------------------------------------------------------------------------------------------

    @property
    def page(self) -> Page | None:
        return self._page

    def show_on(self, page: Page, size: Size) -> None:
        """Go on on this page, which is blank: what is set on the terminal is set there, and all is drawn again."""
        fresh = self._page is None and not self._last
        self._page = page
        page.write(self._modes.codes())
        self._child.read_on()
        if fresh:
            self.resize(size)
            return
        self._size = size
        self._redraw()

    def hide(self) -> None:
        """The page has gone; what the program draws is lost until it is shown again."""
        self._page = None
        self._child.read_on()

    def go_on(self) -> None:
        """The page takes more."""
        self._child.read_on()

    def type(self, text: str) -> None:
        self._child.write(text.encode("utf-8", "replace"))

    def resize(self, size: Size) -> None:
        self._size = size
        if not self._narrow:
            self._child.resize(size)

    def _redraw(self) -> None:
        """Have everything drawn anew, as programs do when their size changes: one row less, and back."""
        columns, rows = self._size
        self._narrow = True
        self._child.resize((columns, max(1, rows - 1)))
        asyncio.get_running_loop().call_later(_REDRAW_S, self._widen)

    def _widen(self) -> None:
        self._narrow = False
        self._child.resize(self._size)

    # --- the child ----------------------------------------------------------------------------------------------------

    async def end(self) -> None:
        """Ask it to end, which closes its turn and keeps its session; kill it when it does not."""
        self.was_told = True
        with suppress(ProcessLookupError):
            os.kill(self._child.pid, signal.SIGTERM)
            os.kill(self._child.pid, signal.SIGCONT)
        with suppress(TimeoutError):
            async with asyncio.timeout(_ENDING_S):
                await self._ended.wait()
        self._child.kill()

    def wake(self) -> None:
        """Let it go on when it has stopped (Ctrl-Z): no shell waits here that could."""
        with suppress(ChildProcessError, ProcessLookupError):
            if os.waitid(os.P_PID, self._child.pid, os.WSTOPPED | os.WNOHANG) is not None:
                os.kill(self._child.pid, signal.SIGCONT)
                self._redraw()

    def _wrote(self, data: bytes) -> None:
        self._modes.follow(data)
        self._last = (self._last + data)[-_LAST_BYTES:]
        if self._page is not None:
            self._page.write(data)
            if self._page.is_full:
                self._child.pause()

    def _exited(self, code: int | None) -> None:
        found = _RESUME.findall(self._last)
        self.session_id = found[-1].decode() if found else ""
        self._ended.set()
        self._on_end(self)
