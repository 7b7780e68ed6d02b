"""Ids of calls as Kimi K2 itself numbers them: `functions.NAME:N`, N counted over the whole conversation from 0.

Moonshot's own gateway, and our engine, number them anew whatever a client sends. vLLM and SGLang pass them on as they are, and K2
answers a history with other ids (`call_x1y2`, of another provider's turns) with broken calls, or not at all.
"""

from kimi_agent.core.message import Message, Part, ToolCall, ToolResult


class CanonicalIds:
    """Renames the ids of one conversation, message by message in order: a message gets the same ids in every request."""

    def __init__(self) -> None:
        self._known: dict[
            str, str
        ] = {}  # an id that comes again, as some servers number each turn anew, is its latest call
        self._count = 0

    def rename(self, message: Message) -> Message:
        """The message with its calls numbered on, or its result under the number of its call."""
        if not message.calls and message.result is None:
            return message
        parts = tuple(self._part(part) for part in message.parts)
        return Message(message.role, parts, message.origin, message.pinned)

    def _part(self, part: Part) -> Part:
        if isinstance(part, ToolCall):
            self._known[part.id] = f"functions.{part.name}:{self._count}"
            self._count += 1
            return ToolCall(self._known[part.id], part.name, part.arguments)
        if isinstance(part, ToolResult):
            return ToolResult(self._known.get(part.call_id, part.call_id), part.content, part.is_error)
        return part
