"""The SDK, loaded in a thread: a second of work that gives way to everything else, and ends when nobody wants it any more."""

import asyncio
import os
import sys
import threading
import time
from typing import Any

_LOADED = "mcp.client.streamable_http"  # the last of what is loaded
_OWN = ("mcp", "mcp_types")
_LOCK = threading.Lock()


class _GivenUp(BaseException):
    """Nobody wants it any more."""


class _Gate:
    """Stands before each import of one thread, of which there are hundreds. Those of others are never broken off: an extension
    in Rust prints a panic then."""

    def __init__(self) -> None:
        self.closed = False
        self._thread = 0

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if threading.get_ident() == self._thread:
            if self.closed and name.partition(".")[0] in _OWN:
                raise _GivenUp
            time.sleep(0)  # others run first: keys that are typed, a turn

    def load(self) -> None:
        with _LOCK:
            self._thread = threading.get_ident()
            sys.meta_path.insert(0, self)
            try:
                import mcp
                import mcp.client.streamable_http

                assert mcp
            except _GivenUp:  # what is half loaded is loaded anew
                for name in [name for name in sys.modules if name.partition(".")[0] in _OWN]:
                    del sys.modules[name]
            finally:
                sys.meta_path.remove(self)


async def load_sdk() -> None:
    """Once. Cancelled, it ends within one import, so that no exit of the program waits for it."""
    if _LOADED in sys.modules:
        return
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # plugins of others are loaded by name from anywhere
    gate = _Gate()
    try:
        await asyncio.get_running_loop().run_in_executor(None, gate.load)
    except asyncio.CancelledError:
        gate.closed = True
        raise
