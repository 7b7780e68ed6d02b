"""Names of MCP tools as models call them: `mcp__server__tool`, at most 64 characters, of the characters that every API takes."""

import hashlib
import re
from collections.abc import Iterable

PREFIX = "mcp__"
LONGEST = 64
"""Characters that every API takes in the name of a tool."""
_ODD = re.compile(r"[^A-Za-z0-9_-]")
_HASH = 8


def word(server: str) -> str:
    """A server's part in the names of its tools, and in rules."""
    return _ODD.sub("_", server)


def tool_name(server: str, tool: str) -> str:
    """The same for the same two names always. What had to be changed ends in a hash of what it was, so it stays unique."""
    words = (word(server), _ODD.sub("_", tool))
    name = f"{PREFIX}{words[0]}__{words[1]}"
    if words == (server, tool) and "__" not in server and not server.endswith("_") and len(name) <= LONGEST:
        return name
    suffix = hashlib.sha256(f"{server}\0{tool}".encode()).hexdigest()[:_HASH]
    return f"{name[: LONGEST - _HASH - 1]}_{suffix}"


def server_of(name: str, servers: Iterable[str]) -> str | None:
    """The server that a name may belong to: the one whose part fits best; None where none does."""
    fitting = [server for server in servers if name.startswith(f"{PREFIX}{word(server)}__")]
    if not fitting:
        fitting = [s for s in servers if name.startswith(f"{PREFIX}{word(s)}__"[: LONGEST - _HASH - 1])]
    return max(fitting, key=len, default=None)
