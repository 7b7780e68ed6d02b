"""What a request asks of the sampler, for chats and completions alike."""

from collections.abc import Iterable, Mapping

from inference_backend.engine.request import MAX_LOGPROBS, SamplingParams
from inference_backend.server.fields import Fields, wrong
from inference_backend.server.message import HttpError

MOST_TOKENS = 1 << 24
MOST_TOP_K = 1 << 20


def read_params(
    fields: Fields, defaults: Mapping[str, float], *, logprobs: int | None, stop_tokens: Iterable[int]
) -> SamplingParams:
    """Raises HttpError that names the field. One answer per request: `n` other than 1 is refused."""
    if (fields.count("n", 1, 1 << 20) or 1) != 1:
        raise HttpError(
            400, "n must be 1: send as many requests as you want answers", param="n", code="unsupported_value"
        )
    limit = fields.count("max_completion_tokens", 1, MOST_TOKENS)
    older = fields.count("max_tokens", 1, MOST_TOKENS)
    return SamplingParams(
        temperature=fields.number("temperature", defaults.get("temperature", 1.0), 0, 2),
        top_p=fields.number("top_p", defaults.get("top_p", 1.0), 0, 1),
        top_k=fields.count("top_k", 0, MOST_TOP_K) or 0,
        min_p=fields.number("min_p", 0.0, 0, 1),
        presence_penalty=fields.number("presence_penalty", 0.0, -2, 2),
        frequency_penalty=fields.number("frequency_penalty", 0.0, -2, 2),
        repetition_penalty=fields.number("repetition_penalty", 1.0, 0.01, 100),
        logit_bias=fields.biases(),
        seed=fields.count("seed", -(1 << 63), (1 << 63) - 1),
        max_tokens=older if limit is None else limit,
        logprobs=logprobs,
        stop_tokens=frozenset(stop_tokens),
    )


def chat_logprobs(fields: Fields) -> int | None:
    """`logprobs` (true or false) and `top_logprobs` of a chat; None: none are wanted."""
    top = fields.count("top_logprobs", 0, MAX_LOGPROBS)
    wanted = fields.flag("logprobs", False)
    if top and not wanted:
        raise wrong("logprobs", "true where top_logprobs is given")
    return (top or 0) if wanted else None
