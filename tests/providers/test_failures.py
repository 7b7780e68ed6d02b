"""Every server's words for what went wrong become the right error, with a hint, a trace id and no key in it."""

import email.utils
import json

import pytest

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
from kimi_agent.providers.failures import failure_of, read_failure, to_error

ENDPOINT = Endpoint("moonshot", "kimi", "https://api.moonshot.ai/v1", "sk-secret-key")


def error_of(status: int, error: object, **headers: str) -> ProviderError:
    body = error if isinstance(error, bytes) else json.dumps(error).encode()
    lower = {name.replace("_", "-"): value for name, value in headers.items()}
    return to_error(read_failure(status, lower, body), ENDPOINT, now=1_000_000.0)


def openai_error(message: str, kind: str = "", code: str | None = None) -> dict[str, object]:
    return {"error": {"message": message, "type": kind, "code": code}}


OVERFLOWS = [
    (400, "Invalid request: Your request exceeded model token limit: 262144 (requested: 270001)"),
    (400, "total message size 3000000 exceeds limit 2097152"),
    (400, "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."),
    (400, "Your input exceeds the context window of this model. Please adjust your input and try again."),
    (400, "The decoder prompt (length 5000) is longer than the maximum model length of 4096."),
    (400, "The input (70000 tokens) is longer than the model's context length (65536 tokens)."),
    (400, "Requested token count exceeds the model's maximum context length of 32768 tokens."),
    (400, "the request exceeds the available context size, try increasing it"),
    (500, "input is too large to process. increase the physical batch size"),
    (400, "This endpoint's maximum context length is 131072 tokens. However, you requested about 140000 tokens"),
    (400, "prompt is too long: 210000 tokens > 200000 maximum"),
    (400, "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"),
    (400, "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575)."),
    (400, "Please reduce the length of the messages or completion."),
    (413, "Request too large for model `llama` on tokens per minute (TPM): Limit 6000, Requested 7000"),
    (400, "This model's maximum prompt length is 131072 but the request contains 537812 tokens."),
    (400, "Trying to keep the first 9000 tokens when context the overflows. However, the model is loaded with 4096"),
    (400, "the input length exceeds the context length"),
]


@pytest.mark.parametrize(("status", "message"), OVERFLOWS)
def test_context_overflow(status: int, message: str) -> None:
    error = error_of(status, openai_error(message, "invalid_request_error"))
    assert isinstance(error, ContextOverflowError)
    assert "/compact" in error.hint


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, openai_error("x", "invalid_request_error", "context_length_exceeded"), ContextOverflowError),
        (413, b"<html><title>413 Request Entity Too Large</title></html>", ContextOverflowError),
        (429, openai_error("You exceeded your current quota", "exceeded_current_quota_error"), QuotaError),
        (429, openai_error("Insufficient balance, please recharge"), QuotaError),
        (429, openai_error("You exceeded your current quota", "insufficient_quota", "insufficient_quota"), QuotaError),
        (403, openai_error("Your account is suspended, please check your plan"), QuotaError),
        (402, openai_error("Payment required"), QuotaError),
        (400, openai_error("Your credit balance is too low to access the API"), QuotaError),
        (429, openai_error("max RPM: 3, please try again after 1 seconds", "rate_limit_reached_error"), RateLimitError),
        (429, openai_error("Too many tokens per minute, context window is big"), RateLimitError),
        (429, b"", RateLimitError),
        (429, openai_error("The engine is currently overloaded", "engine_overloaded_error"), ServerError),
        (529, openai_error("Overloaded", "overloaded_error"), ServerError),
        (401, openai_error("Invalid Authentication", "invalid_authentication_error"), AuthError),
        (403, openai_error("no access"), AuthError),
        (404, {"error": 'model "x" not found, try pulling it first'}, BadRequestError),
        (400, openai_error("text content is empty"), BadRequestError),
        (422, {"detail": [{"loc": ["body"], "msg": "field required"}]}, BadRequestError),
        (408, b"", ServerError),
        (409, b"", ServerError),
        (425, b"", ServerError),
        (500, b"oops", ServerError),
        (502, b"<html><head><title>502 Bad Gateway</title></head></html>", ServerError),
        (503, b"\xff\xfe\x00", ServerError),
    ],
)
def test_told_apart(status: int, body: object, expected: type[ProviderError]) -> None:
    error = error_of(status, body)
    assert type(error) is expected
    assert error.status == status
    assert str(error).isprintable()
    assert error.hint or isinstance(error, ServerError)


def test_an_echo_of_the_conversation_is_not_what_went_wrong() -> None:
    detail = [{"loc": ["messages", 3], "msg": "field required", "input": "prompt is too long, please recharge"}]
    error = error_of(422, {"detail": detail})
    assert type(error) is BadRequestError
    assert "recharge" not in str(error)


def test_an_empty_account_stays_one_when_the_server_says_to_wait() -> None:
    error = error_of(429, openai_error("m", "exceeded_current_quota_error"), retry_after="5")
    assert isinstance(error, QuotaError)


def test_googles_quota_with_a_delay_is_a_rate_limit() -> None:
    body = [
        {
            "error": {
                "code": 429,
                "status": "RESOURCE_EXHAUSTED",
                "message": "You exceeded your current quota. Please retry in 31.5s.",
            }
        }
    ]
    error = error_of(429, body)
    assert isinstance(error, RateLimitError)
    assert error.retry_after == 31.5


@pytest.mark.parametrize(
    ("headers", "message", "wait"),
    [
        ({"retry_after": "7"}, "", 7.0),
        ({"retry_after": "0.5"}, "", 0.5),
        ({"retry_after_ms": "250"}, "", 0.25),
        ({"retry_after": email.utils.formatdate(1_000_030, usegmt=True)}, "", 30.0),
        ({"retry_after": email.utils.formatdate(999_000, usegmt=True)}, "", 0.0),
        ({"retry_after": "soon"}, "", None),
        ({"retry_after": "-3"}, "", None),
        ({"retry_after": "nan"}, "", None),
        ({}, "please try again after 2 seconds", 2.0),
        ({}, "Please try again in 120ms", 0.12),
        ({}, "try again in 2m", 120.0),
        ({}, "slow down", None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], message: str, wait: float | None) -> None:
    error = error_of(429, openai_error(message), **headers)
    assert isinstance(error, RateLimitError)
    assert error.retry_after == wait


@pytest.mark.parametrize(
    ("headers", "shown"),
    [({"retry_after_ms": "280"}, "280 ms"), ({"retry_after": "7"}, "7 s"), ({"retry_after": "7200"}, "2 h")],
)
def test_the_wait_is_told_in_a_fitting_unit(headers: dict[str, str], shown: str) -> None:
    assert f"(it asks to wait {shown})" in str(error_of(429, openai_error("slow"), **headers))


def test_the_other_region_is_hinted_at() -> None:
    assert "api.moonshot.cn" in error_of(401, openai_error("Invalid Authentication")).hint
    china = Endpoint("moonshot", "kimi", "https://api.moonshot.cn/v1", "sk-secret-key")
    assert "api.moonshot.ai" in to_error(read_failure(401, {}, b"{}"), china).hint
    keyless = Endpoint("moonshot", "kimi", "https://api.moonshot.cn/v1")
    assert "no API key" in to_error(read_failure(401, {}, b"{}"), keyless).hint


def test_trace_ids_are_kept() -> None:
    assert error_of(500, b"", msh_request_id="m-1").trace == "m-1"
    assert error_of(500, b"", x_trace_id="t-1", msh_request_id="m-1").trace == "t-1"


def test_neither_the_key_nor_control_characters_are_shown() -> None:
    error = error_of(400, openai_error("bad key sk-secret-key \x1b[31mred\x07\nnext" + "x" * 5000))
    assert "sk-secret-key" not in str(error)
    assert str(error).isprintable()
    assert len(str(error)) < 700


def test_errors_inside_a_stream_have_their_status_in_them() -> None:
    assert failure_of({"error": {"message": "x", "code": 502}}).status == 502
    assert failure_of({"error": {"message": "x", "code": "429"}}).status == 429
    assert failure_of({"error": {"message": "x", "type": "invalid_request_error"}}).status == 400
    assert isinstance(to_error(failure_of({"error": "boom"}), ENDPOINT), ServerError)
    nested = {"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": "prompt is too long"}}}
    assert isinstance(to_error(failure_of(nested), ENDPOINT), ContextOverflowError)


def test_a_fault_of_the_server_says_what_the_person_can_do() -> None:
    assert "/model" in error_of(500, openai_error("down")).full
