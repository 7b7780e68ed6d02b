"""What a reply may look like, as a grammar over K2's tokens: thoughts, text, and tool calls that are valid by construction.

The arguments of a call follow its tool's JSON schema, its id is pinned to `functions.NAME:NEXT`, counting on, and markers stand
only where they belong. Matching is llguidance's; markers are matched by id, so text can spell them and stay text.
"""

import json
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_backend.chat.messages import check_depth, read_tools
from inference_backend.chat.outline import MAX_CALLS, Shape, lark
from inference_backend.chat.parser import STOPS
from inference_backend.chat.schemas import ANY_OBJECT, MAX_PARTS, Strict, parts, strictest
from inference_backend.chat.tokenizer import Tokenizer
from inference_backend.errors import CheckpointError, RequestError

MAX_RULES = 1024
"""Rules for the calls of all tools; with many tools, fewer calls fit into one reply."""
MAX_TOOLS = 512
MAX_PARTS_TOGETHER = 4 * MAX_PARTS
"""Values in the schemas of all tools: the tools behind take any object."""
CACHE_ENTRIES = 512
_TOO_LARGE = "the schemas of the tools are too large together: any JSON object is allowed"


class GrammarCompiler:
    """Makes the grammars of one tokenizer (half a second to set up for K2's). Safe for several threads."""

    def __init__(self, tokenizer: Tokenizer, *, end_ids: Iterable[int] = (), vocab_size: int | None = None) -> None:
        """`end_ids` are the model's besides the tokenizer's own; `vocab_size` is the model's, where it has more ids.

        Raises CheckpointError where tokenizer and model do not fit.
        """
        from llguidance import LLTokenizer

        self.vocab_size = vocab_size or tokenizer.vocab_size
        if self.vocab_size < tokenizer.vocab_size:
            raise CheckpointError(f"the model has {vocab_size} tokens, its tokenizer {tokenizer.vocab_size}")
        self._tokenizer = tokenizer
        stops = [tokenizer.special[name] for name in STOPS if name in tokenizer.special]
        ends = self._ends = list(dict.fromkeys([*stops, *end_ids])) or [tokenizer.marker(STOPS[0])]
        self._tokens: Any = LLTokenizer(_ForGuidance(tokenizer, ends[0]), n_vocab=self.vocab_size, eos_token=ends)
        self._matchers: _Cache = _Cache()
        self._schemas: _Cache = _Cache()

    def grammar(
        self,
        tools: object = None,
        *,
        tool_choice: object = "auto",
        parallel: bool = True,
        response_format: object = None,
        next_tool_index: int = 0,
        in_think: bool = False,
        may_think: bool = False,
    ) -> "Grammar":
        """The grammar of one reply, from the fields of a chat request and the rendered prompt. Raises RequestError."""
        declared = read_tools(tools)
        must, names = _choice(tool_choice, [tool["function"]["name"] for tool in declared])
        notes: list[str] = []
        chosen = self._chosen([tool["function"] for tool in declared if tool["function"]["name"] in names], notes)
        text = self._text_schema(response_format, notes)
        most = min(MAX_CALLS, max(4, MAX_RULES // max(1, len(chosen)))) if parallel else 1
        shape = Shape(chosen, must, most, text, next_tool_index, in_think, may_think)
        matcher, note = self._matchers.get(shape, lambda: self._compile(shape))
        notes += [note] if note else []
        return Grammar(matcher.deep_copy(), self.vocab_size, self._ends, notes)

    def _chosen(self, functions: list[dict[str, Any]], notes: list[str]) -> tuple[tuple[str, str], ...]:
        """Name and schema text of the tools that may be called."""
        if len(functions) > MAX_TOOLS:
            raise RequestError(f"there are {len(functions)} tools; at most {MAX_TOOLS} can be offered at once")
        chosen, total = [], 0
        for function in functions:
            schema = function.get("parameters") or {}
            total += parts(schema)
            strict = Strict(ANY_OBJECT, _TOO_LARGE) if total > MAX_PARTS_TOGETHER else self._strictest(schema)
            notes += [f"tool {function['name']}: {strict.note}"] if strict.note else []
            chosen.append((function["name"], strict.text))
        return tuple(chosen)

    def _text_schema(self, response_format: object, notes: list[str]) -> str | None:
        schema = _format(response_format)
        if schema is None:
            return None
        check_depth(schema, "response_format")
        strict = self._strictest(schema)
        notes += [f"response_format: {strict.note}"] if strict.note else []
        return strict.text

    def _strictest(self, schema: object) -> Strict:
        return self._schemas.get(json.dumps(schema), lambda: strictest(schema, self._wrong_with))

    def _wrong_with(self, schema_text: str) -> str:
        from llguidance import LLMatcher

        return LLMatcher.validate_grammar(f"start: %json {schema_text}")

    def _compile(self, shape: Shape) -> tuple[Any, str]:
        """A matcher, and what of the shape it does not enforce. Each schema compiles alone: together they may be too large."""
        matcher, note = self._matcher(shape), ""
        if matcher.is_error():
            matcher = self._matcher(replace(shape, tools=tuple((name, ANY_OBJECT) for name, _ in shape.tools)))
            note = _TOO_LARGE
        if matcher.is_error():
            wrong = matcher.get_error().split("\n", 1)[0][:120]
            raise RequestError(f"{len(shape.tools)} tools make too large a grammar ({wrong})", "Declare fewer tools.")
        return matcher, note

    def _matcher(self, shape: Shape) -> Any:
        """A hostile pattern can have any number of states: the limits keep a mask below some 50 ms (2,000 otherwise)."""
        from llguidance import LLMatcher, LLParserLimits

        limits = LLParserLimits(step_lexer_fuel=50_000, max_lexer_states=50_000, verbose_errors=False)
        return LLMatcher(self._tokens, lark(shape, self._tokenizer), log_level=0, limits=limits)


class Grammar:
    """A Constraint of the engine (`engine/constraint.py`)."""

    def __init__(self, matcher: Any, vocab_size: int, end_ids: Sequence[int], notes: Sequence[str] = ()) -> None:
        self.notes = list(notes)
        """What of the schemas is not enforced, for the log."""
        self._matcher, self._vocab_size, self._end_ids = matcher, vocab_size, frozenset(end_ids)
        self._ended = 0  # end tokens accepted; the matcher never sees them

    def allowed(self) -> NDArray[np.bool_] | None:
        """Which tokens may come next, bool [vocab_size]; None once the matcher gave up (see `notes`)."""
        if self._ended:
            only = np.zeros(self._vocab_size, np.bool_)
            only[list(self._end_ids)] = True
            return only
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        return (
            None if self._gave_up() else np.unpackbits(bits, count=self._vocab_size, bitorder="little").view(np.bool_)
        )

    def accept(self, token: int) -> None:
        """Raises ValueError where `token` cannot stand; the grammar is then as it was.

        `allowed` is the narrower of the two: of several ways to write forced bytes it allows the tokenizer's own alone.
        """
        if token in self._end_ids and (self._ended or self._matcher.is_accepting()):
            self._ended += 1
        elif self._ended or (self._matcher.try_consume_tokens([token]) != 1 and not self._gave_up()):
            raise ValueError(f"token {token} is not allowed here")

    def forced(self) -> Sequence[int]:
        """The tokens that must come next, may be empty."""
        return [] if self._ended or self._gave_up() else self._matcher.compute_ff_tokens()

    def rollback(self, count: int) -> None:
        """Takes the last `count` accepted tokens back."""
        ends = min(count, self._ended)
        self._ended -= ends
        if count > ends and not self._gave_up() and not self._matcher.rollback(count - ends):
            raise ValueError(f"{count} tokens cannot be taken back")

    @property
    def is_done(self) -> bool:
        """Nothing but an end token may come any more."""
        return self._ended > 0 or (bool(self._matcher.is_stopped()) and not self._matcher.is_error())

    def _gave_up(self) -> bool:
        """llguidance stops at its own limits of time and size; the request then goes on without a grammar."""
        if not self._matcher.is_error():
            return False
        note = f"the grammar was given up: {self._matcher.get_error()[:200]}"
        if note not in self.notes:
            self.notes.append(note)
        return True


class _ForGuidance:
    """A tokenizer as llguidance wants it: special tokens begin with the byte 0xff, which no text has."""

    is_tokenizer_wrapper = True

    def __init__(self, tokenizer: Tokenizer, end_id: int) -> None:
        ordinary, everything = tokenizer.ordinary_count, tokenizer.all_bytes()
        self.tokens = [*everything[:ordinary], *(b"\xff" + name for name in everything[ordinary:])]
        self.special_token_ids = list(range(ordinary, tokenizer.vocab_size))
        self.eos_token_id, self.bos_token_id = end_id, tokenizer.special.get("[BOS]", end_id)
        self._tokenizer = tokenizer

    def __call__(self, text: bytes | str) -> list[int]:
        return self._tokenizer.encode(text.decode("utf-8", "replace") if isinstance(text, bytes) else text)


class _Cache:
    """The newest few results by key."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Any, Any] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Any, make: Any) -> Any:
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key]
        made = make()
        with self._lock:
            self._entries[key] = made
            while len(self._entries) > CACHE_ENTRIES:
                self._entries.popitem(last=False)
        return made


def _choice(choice: object, names: list[str]) -> tuple[bool, list[str]]:
    """Whether a call must come, and of which tools."""
    if choice is None or choice == "auto":
        return False, names
    if choice == "none":
        return False, []
    if choice == "required":
        if not names:
            raise RequestError("tool_choice is required, but there are no tools")
        return True, names
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        return _among(choice.get("allowed_tools"), names)
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if name is None:
        raise RequestError("tool_choice must be auto, none, required, or a function by its name")
    if name not in names:
        raise RequestError(f"tool_choice names {str(name)[:80]!r}, which is none of the tools")
    return True, [name]


def _among(allowed: object, names: list[str]) -> tuple[bool, list[str]]:
    """OpenAI's `allowed_tools`: some of the tools, of which one may or must be called."""
    mode = allowed.get("mode") if isinstance(allowed, dict) else None
    tools = allowed.get("tools") if isinstance(allowed, dict) else None
    if mode not in ("auto", "required") or not isinstance(tools, list) or not tools:
        raise RequestError("tool_choice of allowed_tools must have a mode, auto or required, and tools")
    chosen = {name for tool in tools for name in _choice(tool, names)[1]}
    return mode == "required", [name for name in names if name in chosen]


def _format(response_format: object) -> object:
    """The schema that the text must follow; None where it is free."""
    if response_format is None:
        return None
    kind = response_format.get("type") if isinstance(response_format, dict) else None
    if isinstance(response_format, dict) and kind in ("text", "json_object"):
        return None if kind == "text" else {"type": "object"}
    wrapped = response_format.get("json_schema") if isinstance(response_format, dict) else None
    if kind != "json_schema" or not isinstance(wrapped, dict) or not isinstance(wrapped.get("schema"), dict):
        raise RequestError("response_format must be of type text, json_object, or json_schema with a schema")
    return wrapped["schema"]
