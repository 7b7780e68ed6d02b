"""One rule: `Tool(pattern)` with a decision. How a pattern is written is told in docs/guides/rules.md."""

import re
import shlex
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

Decision = Literal["allow", "ask", "deny"]
Scope = Literal["built-in", "managed", "user", "session", "project"]
SCOPES: tuple[Scope, ...] = ("built-in", "managed", "user", "session", "project")
"""From the strongest to the weakest. Decisions come before scopes: a deny of the weakest beats an allow of the strongest."""

_PATTERN = re.compile(r"\s*([\w.*?-]+)\s*(?:\((.*)\)\s*)?\Z", re.DOTALL)
_MCP = re.compile(r"mcp__([^_](?:_?[^_])*)(?:__(.+))?\Z")

KINDS = {
    "shell": "run", "readfile": "read", "readmediafile": "read", "readdocument": "read", "grep": "read", "glob": "read",
    "writefile": "write", "strreplacefile": "write", "fetchurl": "fetch", "searchweb": "fetch", "mcp": "mcp", "widen": "widen",
}  # fmt: skip
"""What the tools do whose rules have an argument."""


class Rule(Struct, frozen=True):
    """`tool` is in small letters, and may hold `*`; `argument` None stands for every call of it.

    `where` names file and line. `cwd` and `exe` bind an allow to the folder of a session and to a program's file, both real.
    `files_only` holds for file tools, and in commands for nothing but where output goes.
    """

    decision: Decision
    pattern: str
    tool: str
    argument: str | None = None
    scope: Scope = "user"
    where: str = ""
    reason: str = ""
    cwd: str = ""
    exe: str = ""
    match: tuple[str, ...] = ()
    not_match: tuple[str, ...] = ()
    files_only: bool = False

    @property
    def kind(self) -> str:
        """The kind of effect that the argument is about, empty for tools that are not known here."""
        return "mcp" if self.tool.startswith("mcp__") else KINDS.get(self.tool, "")

    @property
    def named(self) -> str:
        """For people: the rule and where it stands."""
        return f"{self.pattern} ({self.where or self.scope})"


def parse_pattern(pattern: str, names: Mapping[str, str]) -> tuple[str, str | None]:
    """Tool and argument of `Tool(argument)`; `names` are ours by those of other programs, in small letters. Raises ValueError."""
    match = _PATTERN.match(pattern)
    if match is None:
        raise ValueError("a rule is written Tool or Tool(pattern), such as Shell(npm test *)")
    tool, argument = match[1].casefold(), match[2]
    argument = None if argument is None or argument.strip() in ("", "*", "**") else argument.strip()
    if mcp := _MCP.match(match[1]):
        return "mcp", f"{mcp[1]}/{mcp[2] or '*'}"
    tool = names.get(tool, tool).casefold()
    if argument is not None and tool not in KINDS:
        raise ValueError(f"{match[1]} takes no pattern in brackets here")
    return tool, argument


def words_of(argument: str) -> list[str]:
    """The words of a command pattern; `npm run test:*` is `npm run test` and anything."""
    try:
        words = shlex.split(argument)
    except ValueError:
        words = argument.split()
    if words and words[-1].endswith(":*") and len(words[-1]) > 2:
        words = [*words[:-1], words[-1][:-2], "*"]
    return words


def word_regex(word: str) -> re.Pattern[str]:
    """`*` and `?` stand for any text within one word."""
    pieces = (".*" if char == "*" else "." if char == "?" else re.escape(char) for char in word)
    return re.compile("".join(pieces), re.DOTALL)
