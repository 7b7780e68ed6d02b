"""Rough token counts for what no API has counted yet: a quarter per ASCII character, one per other character."""

from collections.abc import Iterable

from kimi_agent.core.message import Image, Message, Part, Text, Think, ToolCall, ToolResult
from kimi_agent.core.provider import Prices, Tokens

IMAGE_TOKENS = 1500
MESSAGE_OVERHEAD = 4


def text_tokens(text: str) -> int:
    ascii_count = len(text) if text.isascii() else sum(c < "\x80" for c in text)
    return ascii_count // 4 + len(text) - ascii_count + 1


def _part_tokens(part: Part) -> int:
    match part:
        case Text(text) | Think(text):
            return text_tokens(text)
        case Image():
            return IMAGE_TOKENS
        case ToolCall(_, name, arguments):
            return text_tokens(name) + text_tokens(arguments)
        case ToolResult(_, content):
            return sum(_part_tokens(inner) for inner in content)


def message_tokens(message: Message) -> int:
    return MESSAGE_OVERHEAD + sum(_part_tokens(part) for part in message.parts)


def history_tokens(messages: Iterable[Message]) -> int:
    return sum(message_tokens(message) for message in messages)


def cost(tokens: Tokens, prices: Prices | None) -> float | None:
    """What a request cost, in the currency of `prices`; None without prices."""
    if prices is None:
        return None
    cached_price = prices.input if prices.cached is None else prices.cached
    fresh = max(0, tokens.input - tokens.cached)
    return (fresh * prices.input + tokens.cached * cached_price + tokens.output * prices.output) / 1_000_000
