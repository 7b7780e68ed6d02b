"""The outline of a reply as rules of llguidance's Lark: thoughts, text and calls in their order, markers by their ids."""

from collections.abc import Mapping
from dataclasses import dataclass

from inference_backend.chat.tokenizer import Tokenizer
from inference_backend.chat.tool_ids import canonical

MAX_CALLS = 32
"""Calls in one reply: the rules of each are written out, for its number."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A reply's outline: which tools may and must be called, what the text must be, and where the prompt left off."""

    tools: tuple[tuple[str, str], ...] = ()
    """Name and schema text of each tool that may be called."""
    must_call: bool = False
    most_calls: int = MAX_CALLS
    text_schema: str | None = None
    next_tool_index: int = 0
    in_think: bool = False
    may_think: bool = False


def lark(shape: Shape, tokenizer: Tokenizer) -> str:
    """The grammar, a rule a line. Raises CheckpointError where the tokenizer lacks a marker."""

    def mark(name: str) -> str:
        return f"<[{tokenizer.marker(name)}]>"

    rules = [f"start: {_outline(shape, tokenizer.special)}", "TXT: /(.|\\n)*/"]
    if shape.text_schema is not None:
        rules.append(f"text: %json {shape.text_schema}")
    if not shape.tools:
        return "\n".join(rules)
    rules.append(f"calls: {mark('<|tool_calls_section_begin|>')} call_0 {mark('<|tool_calls_section_end|>')}")
    begin, argument, end = (mark(f"<|tool_call_{part}|>") for part in ("begin", "argument_begin", "end"))
    for nth in range(shape.most_calls):
        more = f" call_{nth + 1}?" if nth + 1 < shape.most_calls else ""
        rules.append(f"call_{nth}: {begin} id_{nth} {end}{more}")
        index = shape.next_tool_index + nth
        ids = (f'"{canonical(name, index)}" args_{place}' for place, (name, _) in enumerate(shape.tools))
        rules.append(f"id_{nth}: {' | '.join(ids)}")
    for place, (_, schema) in enumerate(shape.tools):
        rules += [f"args_{place}: {argument} json_{place}", f"json_{place}: %json {schema}"]
    return "\n".join(rules)


def _outline(shape: Shape, special: Mapping[str, int]) -> str:
    """The reply from its first token on: thoughts, then text or calls. What must be a call or JSON is nothing else."""
    say = "text" if shape.text_schema is not None else "TXT"
    if shape.must_call:
        body = "calls"
    elif not shape.tools:
        body = say
    else:
        body = f"({say} | calls)" if shape.text_schema is not None else "TXT calls?"
    if "<think>" not in special or "</think>" not in special:
        return body
    opened, closed = f"<[{special['<think>']}]>", f"<[{special['</think>']}]>"
    after = f"{closed} {body}"
    optional = "" if shape.must_call or shape.text_schema is not None else "?"
    if shape.must_call:
        inside = f"TXT {closed}? calls"
    elif shape.tools:  # calls straight out of the thoughts too, as K2 sometimes makes them
        inside = f"TXT ({after} | calls){optional}"
    else:
        inside = f"TXT ({after}){optional}"
    if shape.in_think:
        return inside
    return f"({opened} {inside} | {body})" if shape.may_think else body
