"""Params of requests, checked. Unknown fields are passed over: the protocol grows by them."""

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from kimi_acp.peer import RpcError
from kimi_acp.wire import INVALID_PARAMS, Message

T = TypeVar("T")


class _Params(msgspec.Struct, rename="camel", frozen=True):
    pass


class NewSession(_Params, frozen=True):
    cwd: str
    mcp_servers: list[Any]
    additional_directories: list[str] | None = None


class LoadSession(_Params, frozen=True):
    session_id: str
    cwd: str
    mcp_servers: list[Any]
    additional_directories: list[str] | None = None


class ResumeSession(_Params, frozen=True):
    """`session/fork` has the same."""

    session_id: str
    cwd: str
    mcp_servers: list[Any] | None = None
    additional_directories: list[str] | None = None


class ListSessions(_Params, frozen=True):
    cwd: str | None = None
    cursor: str | None = None


class OfSession(_Params, frozen=True):
    session_id: str


class Prompt(_Params, frozen=True):
    session_id: str
    prompt: list[Any]


class SetMode(_Params, frozen=True):
    session_id: str
    mode_id: str


class SetOption(_Params, frozen=True):
    session_id: str
    config_id: str
    value: str | bool


class SetTitle(_Params, frozen=True):
    session_id: str
    title: str


class Authenticate(_Params, frozen=True):
    method_id: str


class Provider(_Params, frozen=True):
    provider_id: str
    api_type: str
    base_url: str
    headers: dict[str, str] | None = None


class OfProvider(_Params, frozen=True):
    provider_id: str


def read(kind: type[T], params: Message) -> T:
    """Raises RpcError that names the field."""
    try:
        return msgspec.convert(params, kind)
    except msgspec.ValidationError as error:
        raise RpcError(INVALID_PARAMS, f"Invalid params: {error}") from None


def absolute(path: str, name: str = "cwd") -> Path:
    """Raises RpcError."""
    if not path.startswith("/"):
        raise RpcError(INVALID_PARAMS, f"Invalid params: `{name}` must be an absolute path")
    if "\0" in path or any("\ud800" <= letter <= "\udfff" for letter in path):
        raise RpcError(INVALID_PARAMS, f"Invalid params: `{name}` is the path of no file")
    return Path(path)


def folder(path: str, name: str = "cwd") -> Path:
    """An absolute path of a folder that is there, real. Raises RpcError."""
    try:
        real = absolute(path, name).resolve(strict=True)
    except (OSError, RuntimeError):
        raise RpcError(INVALID_PARAMS, f"Invalid params: `{name}`: there is no folder {path[:500]!r}") from None
    if not real.is_dir():
        raise RpcError(INVALID_PARAMS, f"Invalid params: `{name}`: {path[:500]!r} is no folder")
    return real
