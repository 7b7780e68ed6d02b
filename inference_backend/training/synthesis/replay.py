"""Replay: the calls of an episode once more, without its expert, in a clean copy of its world."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inference_backend.training.synthesis.masks import Masks
from kimi_agent.agent.calls import Caller, run_calls
from kimi_agent.agent.permissions import Permissions
from kimi_agent.agent.tasks import BackgroundTasks
from kimi_agent.core.ask import Allow, Answer, Deny, Question
from kimi_agent.core.message import Text, ToolCall
from kimi_agent.core.tool import Tool
from kimi_agent.core.workspace import Workspace


async def replay(
    messages: Sequence[dict[str, Any]],
    tools: Sequence[Tool],
    workspace: Workspace,
    scratch: Path,
    masks: Masks,
    no: str = "",
) -> bool:
    """Whether each call of `messages` shows what it showed there. `no` is what a person says who allows nothing."""

    async def answers(question: Question) -> Answer:
        return Deny(no) if no else Allow()

    async def sync() -> None:
        return None

    caller = Caller(
        {tool.name: tool for tool in tools}, (), Permissions(), workspace, scratch, answers, lambda event: None, sync, tuple,
        BackgroundTasks(lambda event: None, lambda: None),
    )  # fmt: skip
    shown = {message["tool_call_id"]: message["content"] for message in messages if message["role"] == "tool"}
    for call in (call for message in messages for call in message.get("tool_calls", ())):
        function = call["function"]
        made = ToolCall(call["id"], function["name"], masks.real(function["arguments"]))
        results, _ = await run_calls(caller, (made,))
        seen = "".join(part.text for part in results[0][1].content if isinstance(part, Text))
        if masks.shown(seen) != shown[call["id"]]:
            return False
    return True
