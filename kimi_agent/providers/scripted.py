"""A provider that plays a scenario: for tests, demonstrations and reports of bugs (`kimi --provider scripted:FILE`).

A scenario is a list of steps, one per request; a step is a list of items, played in order:

    {"think": "Let me see."}                    reasoning
    {"text": "Hello", "chunk": 3}               text; with `chunk`, in pieces of so many characters
    {"call": {"name": "ReadFile", "arguments": {"path": "a"}, "id": "x"}, "chunk": 5}
                                                a tool call; `arguments` may be raw text (broken JSON too); `id` is optional
    {"delay": 0.2}                              wait so many seconds, then go on
    {"tokens": {"input": 100, "output": 5, "cached": 80}}
    {"finish": "length"}                        the finish reason; without it `tool_calls` or `stop`
    {"expect": "text"}                          the last message of the request must contain this, else the request fails
    {"error": {"status": 429, "message": "slow down", "type": "...", "retry_after": 2}}
    {"drop": true}                              the connection is lost
    {"end": true}                               the stream ends too early
    {"stall": 3}                                nothing more arrives; the request fails after so many seconds
    {"garbage": "{no json"}                     something that is not a chunk

`{"repeat": 3, "steps": [...]}` in place of a step plays those steps three times, without a number for ever. A file is JSON
(such a list) or JSON lines (one step per line).
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import msgspec

from kimi_agent.core.errors import BadRequestError, ConfigError, ConnectionFailed
from kimi_agent.core.message import Message, Text
from kimi_agent.core.provider import (
    CallChunk,
    Delta,
    Endpoint,
    Finished,
    Model,
    Request,
    TextChunk,
    ThinkChunk,
    Tokens,
)
from kimi_agent.providers.failures import Failure, to_error

Item: TypeAlias = dict[str, Any]
Step: TypeAlias = list[Item]

ITEMS = frozenset(
    ["think", "text", "call", "delay", "tokens", "finish", "expect", "error", "drop", "end", "stall", "garbage"]
)


class Scenario:
    """Steps to play, repeats unrolled as they are reached. `take` answers the next one, None after the last."""

    def __init__(self, steps: Sequence[Any], extra_items: frozenset[str] = frozenset()) -> None:
        self._known = ITEMS | extra_items
        self._check(steps)
        self._steps = self._unroll(steps)
        self.taken = 0

    def take(self) -> Step | None:
        step = next(self._steps, None)
        self.taken += step is not None
        return step

    def _check(self, steps: Any) -> None:
        if not isinstance(steps, list | tuple):
            raise ConfigError("a scenario is a list of steps")
        for number, step in enumerate(steps, 1):
            if isinstance(step, dict) and isinstance(step.get("steps"), list) and step["steps"]:
                if not isinstance(step.get("repeat"), int | None):
                    raise ConfigError(f"step {number} of the scenario: `repeat` is a whole number")
                self._check(step["steps"])
            elif not isinstance(step, list):
                raise ConfigError(f"step {number} of the scenario is neither a list of items nor a repeat of steps")
            for item in step if isinstance(step, list) else ():
                if not isinstance(item, dict) or not self._known & item.keys():
                    known = ", ".join(sorted(self._known))
                    raise ConfigError(f"step {number} of the scenario has an unknown item {item!r}", f"Known: {known}.")
                if reason := _wrong_in(item):
                    raise ConfigError(f"step {number} of the scenario has a wrong item {item!r}: {reason}")

    def _unroll(self, steps: Sequence[Any]) -> Iterator[Step]:
        for step in steps:
            if isinstance(step, list):
                yield step
                continue
            left = step.get("repeat")
            while left is None or left > 0:
                yield from self._unroll(step["steps"])
                left = None if left is None else left - 1


def _wrong_in(item: Item) -> str:
    """What is wrong with the values of an item; empty when nothing is."""
    try:
        msgspec.convert(item, Values)
    except msgspec.ValidationError as error:
        return str(error)
    return ""


class Call(msgspec.Struct):
    name: str
    arguments: Any = None
    id: str = ""


class Count(msgspec.Struct, forbid_unknown_fields=True):
    input: int = 0
    output: int = 0
    cached: int = 0
    thought: int = 0


class Error(msgspec.Struct):
    status: int = 500
    message: str = ""
    type: str = ""
    retry_after: Any = None


class Values(msgspec.Struct):
    """The types of what an item may hold; other keys are a server's in a test."""

    think: str = ""
    text: str = ""
    call: Call | None = None
    chunk: Annotated[int, msgspec.Meta(ge=1)] | None = None
    delay: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    stall: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    tokens: Count | None = None
    finish: str = ""
    expect: str = ""
    error: Error | None = None


def load_scenario(path: str) -> list[Any]:
    """The steps in a file. Raises ConfigError when it cannot be read."""
    try:
        text = Path(path).expanduser().read_text("utf-8")
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"cannot read the scenario {path!r}: {error}") from None
    try:
        value = json.loads(text)
    except ValueError:
        return _load_lines(path, text)
    # One line of JSON lines is a list of items, or a repeat; a list of steps is a list of lists (or of repeats).
    alone = (isinstance(value, list) and value and _is_item(value[0])) or (isinstance(value, dict) and "steps" in value)
    return [value] if alone else value


def _load_lines(path: str, text: str) -> list[Any]:
    steps = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                steps.append(json.loads(line))
            except ValueError as error:
                raise ConfigError(f"{path}:{number}: the scenario is not JSON: {error}") from None
    return steps


def _is_item(value: Any) -> bool:
    return isinstance(value, dict) and "steps" not in value


class ScriptedProvider:
    """Plays `steps`. `requests` holds what was asked; `sleep` is injectable, so that tests need not wait."""

    def __init__(
        self,
        steps: Sequence[Any],
        *,
        model: Model | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.model = model or Model("scripted", "scripted", "scripted", 262_144)
        self.requests: list[Request] = []
        self._scenario = Scenario(steps)
        self._sleep = sleep
        self._ids = 0

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        self.requests.append(request)
        step = self._scenario.take()
        if step is None:
            raise BadRequestError(f"The scenario has no step for request {self._scenario.taken + 1}: it is over.")
        calls, reason = 0, ""
        for item in step:
            if "delay" in item:
                await self._sleep(item["delay"])
            elif "call" in item:
                self._ids += 1
                for chunk in call_chunks(item, calls, f"call_{self._ids}"):
                    yield chunk
                calls += 1
            elif "finish" in item:
                reason = item["finish"]
            else:
                for delta in await self._play(item, request):
                    yield delta
        yield Finished(reason or ("tool_calls" if calls else "stop"))

    async def aclose(self) -> None:
        return None

    async def _play(self, item: Item, request: Request) -> Sequence[Delta]:
        if "text" in item:
            return [TextChunk(piece) for piece in pieces(item["text"], item.get("chunk"))]
        if "think" in item:
            return [ThinkChunk(piece, "reasoning_content") for piece in pieces(item["think"], item.get("chunk"))]
        if "tokens" in item:
            return [Tokens(**item["tokens"])]
        if "stall" in item:
            await self._sleep(item["stall"])
        _fail(item, request)
        return []


def _fail(item: Item, request: Request) -> None:
    """Raise what the item stands for."""
    if "error" in item:
        raise to_error(failure_in(item), Endpoint("scripted", "scripted"))
    if "stall" in item:
        raise ConnectionFailed(f"The scenario stalled for {item['stall']:g} s.")
    if "drop" in item or "end" in item:
        raise ConnectionFailed("The scenario dropped the connection.")
    if str(item.get("garbage", "")).startswith("{"):
        raise ConnectionFailed("The scenario sent something that is not JSON.")
    if "expect" in item:
        last = plain_text(request.messages[-1]) if request.messages else ""
        if item["expect"] not in last:
            raise BadRequestError(f"The scenario expected {item['expect']!r} in the last message: {last[:500]!r}")


def failure_in(item: Item) -> Failure:
    error = item["error"]
    wait = {"retry-after": str(error["retry_after"])} if "retry_after" in error else {}
    return Failure(error.get("status", 500), error.get("type", ""), error.get("message", "scripted failure"), "", wait)


def call_chunks(item: Item, index: int, default_id: str) -> list[CallChunk]:
    call = item["call"]
    arguments = call.get("arguments", {})
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    first = CallChunk(index, call.get("id") or default_id, call["name"])
    return [first, *(CallChunk(index, arguments=piece) for piece in pieces(text, item.get("chunk")))]


def pieces(text: str, size: int | None) -> list[str]:
    if not size:
        return [text] if text else []
    return [text[start : start + size] for start in range(0, len(text), size)]


def plain_text(message: Message) -> str:
    """All text of a message, that of a tool's result too."""
    if result := message.result:
        return "".join(part.text for part in result.content if isinstance(part, Text))
    return message.text
