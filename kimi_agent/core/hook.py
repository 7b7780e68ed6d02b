"""A hook: a command of the user's that is told what happens in a session and may object. See docs/guides/hooks.md."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

from kimi_agent.core.record import Record

HOOK_EVENTS = (
    "PreToolUse", "PostToolUse", "PostToolUseFailure", "UserPromptSubmit", "Stop", "StopFailure", "SessionStart",
    "SessionEnd", "SubagentStart", "SubagentStop", "PreCompact", "PostCompact", "Notification",
)  # fmt: skip
"""All that hooks are told of: one of any other event never runs."""


class Hook(Record):
    """`matcher` is a regular expression that is searched in the event's subject (a tool's name), empty for every one.

    `timeout` is in seconds. A `strict` hook that fails or takes too long counts as one that objects. `source` says for people
    where it comes from, `written` is the command as its author wrote it, where more is run than that. An `outside` one runs
    without the box.
    """

    event: str
    command: str
    matcher: str = ""
    timeout: float = 30.0
    strict: bool = False
    source: str = ""
    written: str = ""
    outside: bool = False

    @property
    def shown(self) -> str:
        return self.written or self.command


class HookExit(Record):
    """How a hook's command ended. `code` is None when it was killed at its timeout."""

    code: int | None
    stdout: str = ""
    stderr: str = ""


RunHook: TypeAlias = Callable[[str, bytes, Path, float, bool], Awaitable[HookExit]]
"""Runs a command line with these bytes on its stdin, in this folder, for so many seconds at most; whether without the box.

Cancelled, it kills the command with everything it started. Raises KimiError when the command cannot be started.
"""
