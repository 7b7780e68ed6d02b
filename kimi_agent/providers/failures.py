"""What went wrong, told apart and put into words: every server's errors become the tree of core/errors.py."""

import email.utils
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kimi_agent.core.errors import (
    AuthError,
    BadRequestError,
    ContextOverflowError,
    ProviderError,
    QuotaError,
    RateLimitError,
    ServerError,
)
from kimi_agent.core.provider import Endpoint

MAX_TEXT = 500  # characters of a server's words that a person is shown
TRACE_HEADERS = ("x-trace-id", "msh-request-id", "x-request-id", "request-id", "cf-ray")

OVERFLOW = re.compile(
    r"context_length_exceeded|exceed_context_size|request_too_large|string_above_max_length"
    r"|exceeded model token limit|total message size \d+ exceeds"  # Moonshot
    r"|(maximum|model'?s?|available|max(imum)?) context (length|size|window)"  # OpenAI, vLLM, SGLang, llama.cpp
    r"|exceeds? (the|this|your|model|its)?.{0,20}context|context (length|window|size|limit).{0,20}exceed"
    r"|longer than the (maximum model|model'?s? context) length|maximum prompt length"
    r"|prompt is too long|input is too long|too large for model with|input is too large to process"
    r"|input token count.{0,40}exceeds|prompt token count.{0,40}exceeds"
    r"|reduce the length of the (messages|prompt|input)|request too large for model"
    r"|greater than the context length|context the overflows",  # LM Studio
    re.IGNORECASE | re.DOTALL,
)
QUOTA = re.compile(
    r"exceeded_current_quota|insufficient_quota|insufficient[ _](account )?(balance|funds|credits?)|recharge"
    r"|exceeded your current quota|credit balance is too low|out of credits|billing_(hard_limit|not_active)"
    r"|account.{0,40}(suspended|arrears)|余额不足|欠费|充值",
    re.IGNORECASE,
)
OVERLOADED = re.compile(r"overloaded|engine is currently|at capacity|server is busy|服务器.{0,6}繁忙", re.IGNORECASE)
AGAIN_IN = re.compile(r"(?:try again|retry)(?: in| after)[: ]*([\d.]+)\s*(ms|s|seconds?|m|minutes?)?\b", re.IGNORECASE)
RETRY_DELAY = re.compile(r'"retryDelay"\s*:\s*"([\d.]+)s"')
STATUS_OF_TYPE = {
    "invalid_request_error": 400,
    "invalid_authentication_error": 401,
    "authentication_error": 401,
    "incorrect_api_key_error": 401,
    "permission_error": 403,
    "permission_denied_error": 403,
    "not_found_error": 404,
    "resource_not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_reached_error": 429,
    "rate_limit_exceeded": 429,
    "exceeded_current_quota_error": 429,
    "insufficient_quota": 429,
    "engine_overloaded_error": 429,
    "overloaded_error": 529,
    "content_filter": 400,
    "exceed_context_size_error": 400,
}
RETRYABLE_4XX = (408, 409, 425)


@dataclass(frozen=True, slots=True)
class Failure:
    """What a server said of a failure. `type` joins its type and code, `raw` is the whole body (to search in)."""

    status: int = 0
    type: str = ""
    text: str = ""
    raw: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def read_failure(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """From an HTTP answer: JSON in any of the usual shapes, HTML of a proxy, or bare text."""
    raw = body.decode("utf-8", "replace")
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return Failure(status, "", _from_markup(raw), raw, headers)
    return failure_of(value, status, headers, raw)


def failure_of(value: Any, status: int = 0, headers: Mapping[str, str] | None = None, raw: str = "") -> Failure:
    """From an `error` object (inside a stream it is all there is: then the status is read from its code or type)."""
    raw = raw or json.dumps(value, ensure_ascii=False, default=str)
    while isinstance(value, list) and value:
        value = value[0]  # Google wraps the object in a list
    if isinstance(value, dict):
        value = value.get("error") or value
    if not isinstance(value, dict):
        return Failure(status, "", str(value), raw, headers or {})
    kind = " ".join(str(value[key]) for key in ("type", "code", "status") if isinstance(value.get(key), str))
    return Failure(status or _status_in(value, kind), kind, _words_in(value), raw, headers or {})


def _status_in(error: dict[str, Any], kind: str) -> int:
    code = str(error.get("code") or error.get("status_code") or "")
    if code.isdecimal() and 400 <= int(code) < 600:
        return int(code)
    return next((STATUS_OF_TYPE[word] for word in kind.split() if word in STATUS_OF_TYPE), 0)


def _words_in(error: dict[str, Any]) -> str:
    text = next((error[key] for key in ("message", "detail", "error_msg", "msg") if error.get(key)), "")
    if isinstance(text, list):  # what FastAPI says of a field: it also holds the input, which is not ours to show
        text = "; ".join(str(item.get("msg", "")) if isinstance(item, dict) else str(item) for item in text)
    inner = error.get("metadata")  # OpenRouter puts the words of the provider behind it here
    if isinstance(inner, dict) and isinstance(inner.get("raw"), str):
        return f"{text}: {inner['raw']}"
    return text if isinstance(text, str) else json.dumps(text)


def to_error(failure: Failure, endpoint: Endpoint, *, now: float | None = None) -> ProviderError:
    """The error that this failure is. `now` (seconds since 1970) is what a `Retry-After` date is measured from."""
    status, name = failure.status, endpoint.name or endpoint.kind
    words = _clean(failure.text, endpoint.api_key) or f"HTTP {status}"
    told = f"{failure.type} {failure.text}"[:4000]  # not the body: some servers echo the conversation in it
    wait = _retry_after(failure, time.time() if now is None else now)
    trace = next((failure.headers[key] for key in TRACE_HEADERS if key in failure.headers), "")[:200]

    if status not in (401, 403, 429) and OVERFLOW.search(told):
        hint = "Run /compact, or pick a model with a larger context."
        return ContextOverflowError(
            f"The conversation is too long for {name}: {words}", hint, status=status, trace=trace
        )
    spent = QUOTA.search(failure.type) or (
        wait is None and QUOTA.search(told)
    )  # Google says "quota" of rates: with a wait
    if status == 402 or (status in (0, 400, 403, 429) and spent):
        hint = "Top up the account at the provider, or pick another model with /model. Retrying does not help."
        return QuotaError(f"The account at {name} is out of quota: {words}", hint, status=status, trace=trace)
    if status in (401, 403):
        return AuthError(f"{name} refused the key: {words}", _key_hint(endpoint), status=status, trace=trace)
    if status == 413:
        hint = "Run /compact; large pictures are usually the reason."
        return ContextOverflowError(f"The request is too big for {name}: {words}", hint, status=status, trace=trace)
    if status == 529 or (status in (0, 429) and OVERLOADED.search(told)):
        hint = (
            "The provider is busy, or the plan's rate limit is reached; it may help to wait or to pick another model."
        )
        return ServerError(f"{name} is overloaded: {words}", hint, status=status, trace=trace, retry_after=wait)
    if status == 429:
        hint = "The provider limits how much may be asked per minute or day; wait, or pick another model with /model."
        words = f"{words} (it asks to wait {_duration(wait)})" if wait else words
        return RateLimitError(f"{name} limits the rate: {words}", hint, status=status, trace=trace, retry_after=wait)
    if status >= 500 or status == 0 or status in RETRYABLE_4XX:
        hint = "The fault is the provider's: try again later, or pick another model with /model."
        return ServerError(f"{name} failed: {words}", hint, status=status, trace=trace, retry_after=wait)
    return BadRequestError(
        f"{name} refused the request: {words}", _request_hint(status, endpoint), status=status, trace=trace
    )


def _key_hint(endpoint: Endpoint) -> str:
    if not endpoint.api_key:
        return "There is no API key for it: run `kimi login`."
    for here, there in (("api.moonshot.ai", "api.moonshot.cn"), ("api.moonshot.cn", "api.moonshot.ai")):
        if here in endpoint.base_url:
            return f"Keys of {there} do not work at {here}: check where the key is from, then run `kimi login`."
    return "Check the key, then run `kimi login`."


def _request_hint(status: int, endpoint: Endpoint) -> str:
    if status == 404:
        return f"Check the model's name (`/model`) and the address {endpoint.base_url}."
    return "Retrying does not help. If it goes on, undo the last turn (/undo) or start a new session (/new)."


def _clean(text: str, secret: str) -> str:
    """One printable line of bounded length without the key."""
    if len(secret) >= 8:
        text = text.replace(secret, "***")
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * MAX_TEXT]).split())
    return line if len(line) <= MAX_TEXT else line[: MAX_TEXT - 1] + "…"


def _from_markup(raw: str) -> str:
    if "<" not in raw:
        return raw
    if title := re.search(r"<title[^>]*>(.*?)</title>", raw, re.IGNORECASE | re.DOTALL):
        return title[1]
    return re.sub(r"<[^>]{0,1000}>", " ", raw[:20_000])


def _retry_after(failure: Failure, now: float) -> float | None:
    """Seconds to wait, when the server said so in a header (a number or a date) or in its words."""
    headers = failure.headers
    if (milliseconds := _number(headers.get("retry-after-ms", ""))) is not None:
        return milliseconds / 1000
    if value := headers.get("retry-after", ""):
        if (seconds := _number(value)) is not None:
            return seconds
        try:
            return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
        except (ValueError, TypeError, OverflowError):
            pass
    if failure.status not in (0, 429, 503):
        return None
    if match := RETRY_DELAY.search(failure.raw):
        return _number(match[1])
    if match := AGAIN_IN.search(failure.text):
        unit = (match[2] or "s").lower()
        scale = 0.001 if unit == "ms" else 60 if unit.startswith("m") else 1
        return (_number(match[1]) or 0.0) * scale
    return None


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if seconds < 1:
        return f"{max(1, round(seconds * 1000))} ms"
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.0f} h"


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < 1e9 else None
