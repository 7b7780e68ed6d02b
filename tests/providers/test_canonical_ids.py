"""Calls are numbered over the whole conversation, whatever ids another provider gave them."""

from kimi_agent.core.message import Message, Text, ToolCall, ToolResult
from kimi_agent.providers.canonical_ids import CanonicalIds


def test_ids_that_come_again_each_turn_stay_apart() -> None:
    ids = CanonicalIds()
    seen = []
    for call_id in ("call_0", "call_0", "call_1", "call_0"):
        (call,) = ids.rename(Message("assistant", (ToolCall(call_id, "Read", "{}"),))).calls
        result = ids.rename(Message("tool", (ToolResult(call_id, (Text("x"),)),))).result
        assert result is not None
        assert result.call_id == call.id
        seen.append(call.id)
    assert seen == [f"functions.Read:{n}" for n in range(4)]
