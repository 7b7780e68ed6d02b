"""What went wrong, as errors of the protocol: one sentence, and what a program can tell them apart by."""

from typing import Any

from kimi_acp.peer import RpcError
from kimi_acp.wire import AUTH_REQUIRED, INTERNAL, INVALID_PARAMS, NOT_FOUND
from kimi_agent.core.errors import AuthError, KimiError, NoModelError, ProviderError, RetryableError, SessionError
from kimi_agent.core.event import TurnEnded

_RETRYABLE = frozenset({"RetryableError", "RateLimitError", "ServerError", "ConnectionFailed"})
_AUTH = frozenset({"AuthError", "NoModelError"})


def failure_of(end: TurnEnded) -> RpcError:
    """Of a turn that has failed."""
    data: dict[str, Any] = {"kind": end.kind or "Error", "retryable": end.kind in _RETRYABLE}
    if end.status:
        data["status"] = end.status
    return RpcError(AUTH_REQUIRED if end.kind in _AUTH else INTERNAL, end.error, data)


def error_of(error: KimiError) -> RpcError:
    """Of a request that could not be followed."""
    data: dict[str, Any] = {"kind": type(error).__name__, "retryable": isinstance(error, RetryableError)}
    if isinstance(error, ProviderError) and error.status:
        data["status"] = error.status
    if isinstance(error, RetryableError) and error.retry_after is not None:
        data["retryAfterMs"] = round(error.retry_after * 1000)
    if isinstance(error, ProviderError) and error.trace:
        data["requestId"] = error.trace
    code = AUTH_REQUIRED if isinstance(error, AuthError | NoModelError) else INTERNAL
    if isinstance(error, SessionError):
        code = NOT_FOUND if "there is no session" in str(error) else INVALID_PARAMS
    return RpcError(code, error.full, data)
