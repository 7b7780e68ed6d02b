"""Exit codes of every front end: the documented table."""

from enum import IntEnum

from kimi_agent.core import errors
from kimi_agent.core.event import Stop, TurnEnded


class ExitCode(IntEnum):
    DONE = 0
    """The task was finished."""
    FAILED = 1
    """The provider refused the request, the account is out of quota, or the program failed."""
    USAGE = 2
    """A flag, a file or a config value is wrong."""
    DENIED = 3
    """Something needed a permission that nobody gave: see `denied` in the result."""
    LIMIT = 4
    """Stopped at a limit: too many steps, the same call again and again, or an answer that was cut off."""
    SCHEMA = 5
    """The answer did not match the schema given with `--json-schema`."""
    GOAL = 6
    """The goal of `-p "/goal ..."` was not reached: its rounds are used up, or it is blocked; see `goal` in the result."""
    NO_MODEL = 7
    """No model is configured, or the key was refused."""
    TRY_LATER = 75
    """The provider could not be reached, was overloaded or limited the rate: the same command may work later."""
    HUNG_UP = 129
    """The terminal went away (SIGHUP)."""
    INTERRUPTED = 130
    """Interrupted (SIGINT)."""
    TERMINATED = 143
    """Told to end (SIGTERM)."""


_STOPS: dict[Stop, ExitCode] = {
    "done": ExitCode.DONE,
    "interrupted": ExitCode.INTERRUPTED,
    "max_steps": ExitCode.LIMIT,
    "repeated_calls": ExitCode.LIMIT,
    "cut_off": ExitCode.LIMIT,
    "rejected": ExitCode.DENIED,
}


def exit_code(end: TurnEnded) -> ExitCode:
    """The code of a run whose last turn ended like this."""
    if (
        end.stop == "error" and end.kind == "SessionError"
    ):  # not a wrong id, which no turn begins with: a disk that is full
        return ExitCode.FAILED
    return error_code(end.kind) if end.stop == "error" else _STOPS[end.stop]


def error_code(kind: str) -> ExitCode:
    """The code for an error, by the name of its class in core/errors.py; other names are plain failures."""
    error = getattr(errors, kind, None)
    if not isinstance(error, type):
        return ExitCode.FAILED
    for base, code in _ERRORS:
        if issubclass(error, base):
            return code
    return ExitCode.FAILED


_ERRORS: tuple[tuple[type[errors.KimiError], ExitCode], ...] = (
    (errors.RetryableError, ExitCode.TRY_LATER),
    (errors.AuthError, ExitCode.NO_MODEL),
    (errors.NoModelError, ExitCode.NO_MODEL),
    (errors.ConfigError, ExitCode.USAGE),
    (errors.SessionError, ExitCode.USAGE),
)
