"""A tool call of a program's own, through the gates of a session. Its history and its log know nothing of it."""

import asyncio
import json
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from kimi_agent.agent.calls import run_calls
from kimi_agent.core.ask import Ask
from kimi_agent.core.gate import Gate
from kimi_agent.core.message import Text, ToolCall, ToolResult

if TYPE_CHECKING:
    from kimi_agent.agent.session import Session


async def call_outside(session: "Session", name: str, arguments: Mapping[str, Any], ask: Ask, gate: Gate) -> ToolResult:
    """Its result, without secrets. `gate` comes before those of the session, `ask` answers what they leave open."""
    own = session.runner.caller
    caller = replace(
        own, gates=[gate, *own.gates], ask=ask, emit=lambda event: None, files=None, lock=asyncio.Lock()
    )  # a question of one client must not wait for another's answer
    call = ToolCall(f"outside_{secrets.token_hex(6)}", name, json.dumps(arguments))
    [(_, result)], _ = await run_calls(caller, [call])
    content = [Text(session.redactor.text(p.text)) if isinstance(p, Text) else p for p in result.content]
    return ToolResult(call.id, tuple(content), result.is_error)
