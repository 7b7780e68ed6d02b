"""Errors, worded for people: what happened, where, what to do next. They hold strings and numbers only.

KimiError
|-- ConfigError                 a config file or flag is wrong
|-- SessionError                no such session, a session file that cannot be read or written
|-- PromptRefusedError          a hook of the user's refused the prompt
|-- NoModelError                nothing to talk to: no key, no local server
|-- SnapshotError               files could not be saved before a change, or not be brought back
|-- ToolError                   the model's mistake: its text is the tool's answer
|   |-- WorkspaceError          a file or process could not be reached
|   `-- StaleFileError          the file changed since it was read
`-- ProviderError               a request to the model failed
    |-- AuthError               401, 403: the key is wrong
    |-- QuotaError              the account is out of money: never retried
    |-- ContextOverflowError    the prompt does not fit: compaction helps
    |-- BadRequestError         the server refused the request: retrying cannot help
    `-- RetryableError          retrying may help
        |-- RateLimitError      429; `retry_after` in seconds when the server said it
        |-- ServerError         5xx, 529, overloaded
        `-- ConnectionFailed    no connection, dropped or stalled stream, a reply that makes no sense
"""


class KimiError(Exception):
    """Base. `str(error)` is one line for a person; `hint` is what to do next, may be empty."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    @property
    def full(self) -> str:
        """Message and hint, as sentences."""
        end = "." if self.hint and not str(self).endswith((".", "…", "!", "?")) else ""
        return f"{self}{end} {self.hint}".rstrip()


class ConfigError(KimiError):
    pass


class SessionError(KimiError):
    pass


class PromptRefusedError(KimiError):
    pass


class NoModelError(KimiError):
    pass


class SnapshotError(KimiError):
    pass


class ToolError(KimiError):
    pass


class WorkspaceError(ToolError):
    pass


class StaleFileError(ToolError):
    pass


class ProviderError(KimiError):
    """`status` is the HTTP status, 0 when there was none; `trace` the server's request id, for a report to the provider."""

    def __init__(self, message: str, hint: str = "", *, status: int = 0, trace: str = "") -> None:
        super().__init__(message, hint)
        self.status = status
        self.trace = trace


class AuthError(ProviderError):
    pass


class QuotaError(ProviderError):
    pass


class ContextOverflowError(ProviderError):
    pass


class BadRequestError(ProviderError):
    pass


class RetryableError(ProviderError):
    """`retry_after` is how long the server asks to wait (seconds), None when it did not say."""

    def __init__(
        self, message: str, hint: str = "", *, status: int = 0, trace: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(message, hint, status=status, trace=trace)
        self.retry_after = retry_after


class RateLimitError(RetryableError):
    pass


class ServerError(RetryableError):
    pass


class ConnectionFailed(RetryableError):
    pass
