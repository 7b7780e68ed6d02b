"""A request and what the engine knows of it. Stdlib only."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from inference_backend.errors import RequestError

if TYPE_CHECKING:
    from inference_backend.engine.constraint import Constraint

FinishReason = Literal["stop", "length", "abort", "error"]
MAX_LOGPROBS = 20


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How tokens are chosen, named as in OpenAI's and vLLM's APIs. Raises RequestError that names the field.

    Order: penalties and bias, the constraint, temperature, top-k, top-p of what top-k left, min-p. Tokens as probable as the last
    one kept are kept too. Temperature 0 takes the most probable token, the lowest id of equal ones.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0  # 0: all
    min_p: float = 0.0  # of the most probable token's probability
    presence_penalty: float = 0.0  # off the logit of each token in the answer so far
    frequency_penalty: float = 0.0  # ... times how often it is there
    repetition_penalty: float = 1.0  # divides positive logits of tokens in prompt and answer, multiplies negative ones
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    seed: int | None = None  # the same seed gives the same tokens, whatever else runs; None: a random one
    max_tokens: int | None = None  # None: until the context is full
    logprobs: int | None = None  # this many alternatives for each token; None: no logprobs
    stop_tokens: frozenset[int] = frozenset()  # besides the model's own end tokens
    ignore_end: bool = False  # the model's own end tokens do not end the answer

    def __post_init__(self) -> None:
        _within("temperature", self.temperature, 0, 100)
        _within("top_p", self.top_p, 0, 1)
        _within("top_k", self.top_k, 0, 1 << 31)
        _within("min_p", self.min_p, 0, 1)
        _within("presence_penalty", self.presence_penalty, -2, 2)
        _within("frequency_penalty", self.frequency_penalty, -2, 2)
        _within("repetition_penalty", self.repetition_penalty, 0.01, 100)
        for token, bias in self.logit_bias.items():
            _within(f"logit_bias of token {token}", bias, -100, 100)
        if self.seed is not None:
            _within("seed", self.seed, -(1 << 63), (1 << 64) - 1)
        if self.max_tokens is not None:
            _within("max_tokens", self.max_tokens, 1, 1 << 40)
        if self.logprobs is not None:
            _within("logprobs", self.logprobs, 0, MAX_LOGPROBS)

    @property
    def has_penalties(self) -> bool:
        return bool(self.presence_penalty or self.frequency_penalty or self.repetition_penalty != 1.0)


def _within(name: str, value: float, least: float, most: float) -> None:
    if not (math.isfinite(value) and least <= value <= most):
        raise RequestError(f"{name} is {value:g}; it must be between {least:g} and {most:g}")


@dataclass(slots=True, eq=False)
class Request:
    """One answer to be written. The first fields are the client's; the engine's thread alone changes the others."""

    id: str
    prompt: Sequence[int]
    params: SamplingParams = field(default_factory=SamplingParams)
    constraint: "Constraint | None" = None
    drafts: Sequence[Sequence[int]] = ()
    """Texts in play that the answer may copy from, as tokens: files as they would look inside JSON. They cost no context."""
    session: str = ""
    """Requests of one session follow one another: its blocks stay pinned while a tool runs (`prompt_cache_key`)."""

    tokens: list[int] = field(init=False)
    """Prompt and answer."""
    computed: int = field(default=0, init=False)
    """This many of `tokens` have their latents in `blocks`."""
    blocks: list[int] = field(default_factory=list, init=False)
    node: Any = field(default=None, init=False)
    """Where the last of the request's blocks known to the prefix cache lies in it."""
    registered: int = field(default=0, init=False)
    """Blocks known to the prefix cache."""
    cached_tokens: int = field(default=0, init=False)
    """Tokens of the prompt that were never computed for this request: its prefix was there."""
    arrival: int = field(default=0, init=False)
    limit: int = field(default=0, init=False)
    """Tokens at which the answer ends, prompt included."""
    seed: int = field(default=0, init=False)
    preempted: int = field(default=0, init=False)
    """How often its blocks were taken away."""
    finish_reason: FinishReason | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.tokens = list(self.prompt)

    @property
    def remaining(self) -> int:
        """Tokens to be computed before the next one can be sampled."""
        return len(self.tokens) - self.computed

    @property
    def output(self) -> list[int]:
        return self.tokens[len(self.prompt) :]


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """Of the model's own distribution (temperature 1, before penalties and constraint). A token that the constraint forced was
    not computed by itself: its logprob is 0 and it has no alternatives."""

    logprob: float
    top: tuple[tuple[int, float], ...] = ()
    """Alternatives, best first: (token, logprob)."""


@dataclass(frozen=True, slots=True)
class StepOutput:
    """What one step did for one request."""

    request_id: str
    tokens: tuple[int, ...] = ()
    """New tokens; an end token is the last of them."""
    logprobs: tuple[TokenLogprob, ...] = ()
    """One for each of `tokens` where the request wants them."""
    finish_reason: FinishReason | None = None
    """Set on the last output of a request."""
    progress: tuple[int, int] = (0, 0)
    """(computed, all) tokens of the prompt."""
    cached_tokens: int = 0
    context_tokens: int = 0
    """Prompt and answer so far: the true size of the context."""
    error: str = ""
    """Why, where finish_reason is "error"."""
