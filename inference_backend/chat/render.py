"""A conversation as tokens, the way K2's chat templates write it.

    <|im_system|>tool_declare<|im_middle|>TOOLS<|im_end|>
    <|im_system|>system<|im_middle|>...<|im_end|>
    <|im_user|>user<|im_middle|>...<|im_end|>
    <|im_assistant|>assistant<|im_middle|><think>REASONING</think>TEXT
        <|tool_calls_section_begin|><|tool_call_begin|>ID<|tool_call_argument_begin|>JSON<|tool_call_end|>...<|im_end|>
    <|im_system|>NAME or tool<|im_middle|>## Return of ID\\nRESULT<|im_end|>
    <|im_assistant|>assistant<|im_middle|>  and <think> or <think></think> from K2.5 on

(without the line breaks and blanks between the parts). Markers are placed by id; every text between two markers is encoded in
one piece, as ordinary text.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from inference_backend.chat.messages import Message, read_messages, read_tools
from inference_backend.chat.template import Template
from inference_backend.chat.tokenizer import Tokenizer
from inference_backend.chat.tool_ids import ToolIds
from inference_backend.chat.typescript import declare
from inference_backend.errors import RequestError

_OPENERS = {"system": "<|im_system|>", "tool": "<|im_system|>", "user": "<|im_user|>", "assistant": "<|im_assistant|>"}


@dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt. The three last say how the reply goes on: for the parser and the grammar."""

    tokens: list[int]
    next_tool_index: int
    in_think: bool
    """The prompt ends with an open `<think>`."""
    may_think: bool
    """The model may open `<think>` itself."""
    client_ids: dict[str, str]
    """The client's id of every call of the history by the canonical one."""


def render(
    messages: object,
    tools: object = None,
    *,
    tokenizer: Tokenizer,
    template: Template,
    thinking: bool | None = None,
    preserve_thinking: bool | None = None,
    add_generation_prompt: bool = True,
) -> Rendered:
    """The tokens of OpenAI-style `messages` and `tools`. None leaves `thinking` and `preserve_thinking` to the model's custom.

    Raises RequestError that names the message or switch that is wrong.
    """
    conversation, declared = read_messages(messages), read_tools(tools)
    thinks = _thinks(template, thinking)
    writer = _Writer(tokenizer)
    if declared:
        writer.turn("system", "tool_declare", declaration(declared, template))
    if conversation[0].role != "system" and template.default_system:
        writer.turn("system", "system", template.default_system)
    kept = _first_kept(conversation, template, thinks, preserve_thinking)
    ids = ToolIds()
    for index, message in enumerate(conversation):
        if message.role == "assistant":
            reasoning = None if template.thinking == "never" else message.reasoning if index >= kept else ""
            _assistant(writer, message, reasoning, ids)
        elif message.role == "tool":
            call_id = ids.result(message.call_id)
            if call_id is None:
                raise RequestError(f"messages[{index}]: no earlier call has the id {message.call_id[:80]!r}")
            writer.turn("tool", message.name, f"## Return of {call_id}\n{message.text}")
        else:
            writer.turn(message.role, message.name, message.text)
    prefilled = add_generation_prompt and template.thinking == "prefilled"
    if add_generation_prompt:
        writer.open("assistant", "assistant")
        if prefilled:
            writer.mark("<think>", *(() if thinks else ("</think>",)))
    return Rendered(writer.finish(), ids.next_index, prefilled and thinks, template.thinking == "itself", ids.original)


def declaration(tools: Sequence[dict[str, Any]], template: Template) -> str:
    """What the tool_declare message says."""
    written = _sorted(list(tools)) if template.sorts_tools else tools
    if template.typescript:
        try:
            return declare(written)
        except ValueError:
            pass  # the checkpoints' encoder falls back too
    return json.dumps(written, ensure_ascii=False, separators=(",", ":"))


def _thinks(template: Template, asked: bool | None) -> bool:
    able = template.thinking != "never"
    if asked is True and not able:
        raise RequestError(f"a model with the template {template.name} does not think", "Leave thinking out.")
    if asked is False and able and not template.can_rest:
        raise RequestError(f"a model with the template {template.name} always thinks", "Leave thinking out.")
    return able if asked is None else asked


def _first_kept(messages: list[Message], template: Template, thinks: bool, preserve: bool | None) -> int:
    """Index of the first message whose reasoning stays; before it `<think></think>` stands in its place.

    What was thought before the last answer without calls is over; a turn still busy with tools keeps its thoughts.
    """
    if template.preserves == "always" or (template.preserves == "asked" and preserve):
        return 0
    if not thinks:
        return len(messages)
    answers = (index for index, m in enumerate(messages) if m.role == "assistant" and not m.calls)
    return max(answers, default=-1) + 1


def _assistant(writer: "_Writer", message: Message, reasoning: str | None, ids: ToolIds) -> None:
    writer.open("assistant", message.name)
    if reasoning is not None:
        writer.mark("<think>")
        writer.text(reasoning)
        writer.mark("</think>")
    writer.text(message.text)
    if message.calls:
        writer.mark("<|tool_calls_section_begin|>")
        for call in message.calls:
            writer.mark("<|tool_call_begin|>")
            writer.text(ids.call(call.id, call.name))
            writer.mark("<|tool_call_argument_begin|>")
            writer.text(call.arguments)
            writer.mark("<|tool_call_end|>")
        writer.mark("<|tool_calls_section_end|>")
    writer.mark("<|im_end|>")


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(one) for one in value] if isinstance(value, list) else value


class _Writer:
    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._tokens: list[int] = []
        self._pending: list[str] = []

    def text(self, text: str) -> None:
        self._pending.append(text)

    def mark(self, *names: str) -> None:
        self._tokens += self._tokenizer.encode("".join(self._pending))
        self._pending = []
        self._tokens += map(self._tokenizer.marker, names)

    def open(self, role: str, name: str) -> None:
        self.mark(_OPENERS[role])
        self.text(name)
        self.mark("<|im_middle|>")

    def turn(self, role: str, name: str, text: str) -> None:
        self.open(role, name)
        self.text(text)
        self.mark("<|im_end|>")

    def finish(self) -> list[int]:
        self.mark()
        return self._tokens
