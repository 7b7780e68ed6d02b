"""What a server's tools were when they were first seen: one that changes is held back until a person has seen the change.

Kept in `$KIMI_HOME/mcp-tools/`, a file per server and definition. It is also what a server's tools are taken from while it is
still connecting.
"""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from kimi_agent.core.servers import Held
from kimi_agent.mcp.definition import Server
from kimi_agent.mcp.described import Described, from_text
from kimi_agent.mcp.store import locked, write_whole

INSTRUCTIONS, LISTED = "(instructions)", "(listed)"
"""Names under which a server's instructions are pinned, and the names of its last list, as JSON. A tool called so is none."""
_LIMIT = 32_000_000  # bytes


class Pins:
    """Of one server. `known` is what a person has, by using the server, taken: definitions by tool name, as JSON texts."""

    def __init__(self, home: Path, server: Server) -> None:
        stem = "".join(char if char.isalnum() or char in "-_" else "-" for char in server.name)[:40]
        key = hashlib.sha256(f"{server.name}\0{server.digest}".encode()).hexdigest()[:16]
        self._home, self._path = home, home / "mcp-tools" / f"{stem}-{key}.json"

    @cached_property
    def known(self) -> dict[str, str]:
        return self._read()

    def sort(self, tools: Sequence[Described], instructions: str) -> tuple[list[Described], tuple[Held, ...], str]:
        """The tools that are what they were, or new; what is held back; the instructions if they are what they were.

        What is new is kept from now on. Blocks; a file that cannot be written changes nothing but that.
        """
        now = {tool.name: tool.text for tool in tools if tool.name not in (INSTRUCTIONS, LISTED)}
        listed = json.dumps(list(now), ensure_ascii=False)
        if instructions:
            now[INSTRUCTIONS] = json.dumps(instructions, ensure_ascii=False)
        changed = {name for name, text in now.items() if self.known.get(name, text) != text}
        new = {name: text for name, text in now.items() if name not in self.known}
        if new or self.known.get(LISTED) != listed:
            self.known.update({**new, LISTED: listed})
            self._write()
        held = tuple(Held(name, self.known[name], now[name]) for name in sorted(changed))
        kept = "" if INSTRUCTIONS in changed else instructions
        return [tool for tool in tools if tool.name in now and tool.name not in changed], held, kept

    def accept(self, held: Sequence[Held]) -> None:
        """Take these definitions for the known ones. Raises OSError."""
        self.known.update({item.name: item.now for item in held})
        self._write(strict=True)

    def tools(self) -> list[Described]:
        """The known tools of its last list, for a server that is not there yet."""
        listed = json.loads(self.known.get(LISTED, "[]"))
        return [from_text(self.known[name]) for name in listed if name in self.known]

    def _read(self) -> dict[str, str]:
        try:
            with self._path.open("rb") as file:
                data: Any = json.loads(file.read(_LIMIT))
        except (OSError, ValueError, RecursionError):
            return {}
        return {name: text for name, text in data.items() if _is_good(name, text)} if isinstance(data, dict) else {}

    def _write(self, *, strict: bool = False) -> None:
        try:
            with locked(self._home):
                write_whole(self._path, json.dumps(self._read() | self.known, ensure_ascii=False, indent=0))
        except OSError:
            if strict:
                raise


def _is_good(name: str, text: Any) -> bool:
    """Whether a pin can be read: one that is damaged is as if it had never been."""
    try:
        told = json.loads(text)
        if name == LISTED:
            return isinstance(told, list) and all(isinstance(each, str) for each in told)
        return isinstance(told, str) if name == INSTRUCTIONS else from_text(text).name == name
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def forget(home: Path, server: Server) -> None:
    """What was known of a server's tools is known no more. Raises OSError."""
    Pins(home, server)._path.unlink(missing_ok=True)
