"""The newest schema of version 1, and whether every line of an agent follows it."""

import contextlib
import functools
import json
from collections.abc import Iterable, Iterator
from typing import Any

import node_house
import pytest
from acp_editor import Editor, Message
from jsonschema import Draft202012Validator
from kimi_program import Program

SDK = "@agentclientprotocol/sdk@2.4.0"
RESULTS = {
    "initialize": "InitializeResponse", "authenticate": "AuthenticateResponse", "logout": "LogoutResponse",
    "session/new": "NewSessionResponse", "session/load": "LoadSessionResponse", "session/resume": "ResumeSessionResponse",
    "session/list": "ListSessionsResponse", "session/close": "CloseSessionResponse",
    "session/delete": "DeleteSessionResponse", "session/prompt": "PromptResponse", "session/set_mode": "SetSessionModeResponse",
    "session/set_config_option": "SetSessionConfigOptionResponse", "session/fork": "ForkSessionResponse",
    "session/set_title": "SetSessionTitleResponse", "auth/status": "AuthStatusResponse",
    "providers/list": "ListProvidersResponse", "providers/set": "SetProviderResponse",
    "providers/disable": "DisableProviderResponse",
}  # fmt: skip
REQUESTS = {
    "session/request_permission": "RequestPermissionRequest", "fs/read_text_file": "ReadTextFileRequest",
    "fs/write_text_file": "WriteTextFileRequest", "terminal/create": "CreateTerminalRequest",
    "terminal/output": "TerminalOutputRequest", "terminal/wait_for_exit": "WaitForTerminalExitRequest",
    "terminal/kill": "KillTerminalRequest", "terminal/release": "ReleaseTerminalRequest",
    "elicitation/create": "CreateElicitationRequest",
}  # fmt: skip
UNSTABLE = {
    "ForkSessionResponse", "SetSessionTitleResponse", "AuthStatusResponse", "AuthStatusUpdateNotification",
    "ListProvidersResponse", "SetProviderResponse", "DisableProviderResponse",
}  # fmt: skip
DRAFTS = ("plan", "subagents")
"""Capabilities of clients that take drafts: all that these are told is held against the schema that has them."""
ENVELOPES = ({"jsonrpc", "id", "method", "params"}, {"jsonrpc", "method", "params"}, {"jsonrpc", "id", "result"})


@functools.cache
def _definitions(file: str) -> dict[str, Any]:
    folder = node_house.package(SDK) / "schema/v1"
    definitions: dict[str, Any] = json.loads((folder / file).read_text())["$defs"]
    return definitions


@functools.cache
def validator(name: str, drafts: bool = False) -> Draft202012Validator:
    file = "schema.unstable.json" if drafts or name in UNSTABLE else "schema.json"
    return Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": _definitions(file)})


def known_keys(name: str) -> set[str]:
    return set(_definitions("schema.json")[name].get("properties", {}))


def _capabilities(message: dict[str, Any]) -> dict[str, Any]:
    params = message.get("params") if message.get("method") == "initialize" else None
    found = params.get("clientCapabilities") if isinstance(params, dict) else None
    return found if isinstance(found, dict) else {}


def violations(transcript: Iterable[tuple[str, dict[str, Any]]]) -> list[str]:
    """What the agent's lines of a transcript break, in words."""
    asked: dict[str, str] = {}
    found: list[str] = []
    transcript = list(transcript)
    drafts = any(name in _capabilities(message) for _, message in transcript for name in DRAFTS)

    def check(name: str, value: Any) -> None:
        found.extend(
            f"{name}: {error.message[:300]} in {json.dumps(value)[:500]}"
            for error in validator(name, drafts).iter_errors(value)
        )

    for way, message in transcript:
        method, key = message.get("method"), json.dumps(message.get("id"))
        if way == ">":
            if method is not None and "id" in message:
                asked[key] = method
            continue
        if message.get("jsonrpc") != "2.0" or (
            set(message) not in ENVELOPES and set(message) != {"jsonrpc", "id", "error"}
        ):
            found.append(f"no message: {json.dumps(message)[:300]}")
        if method == "session/update":
            check("SessionNotification", message["params"])
        elif method == "auth/status_update":
            check("AuthStatusUpdateNotification", message["params"])
        elif method in REQUESTS:
            check(REQUESTS[method], message["params"])
        elif method is not None and not method.startswith(("_", "$/")):
            found.append(f"a method that there is not: {method}")
        elif "error" in message:
            check("Error", message["error"])
        elif "result" in message and asked.get(key) in RESULTS:
            check(RESULTS[asked[key]], message["result"])
    return found


@contextlib.contextmanager
def editing(program: Program, *flags: str, capabilities: Message) -> Iterator[Editor]:
    """An editor whose whole session keeps to the schema, and writes nothing to standard error."""
    editor = Editor(program, *flags, capabilities=capabilities)
    try:
        yield editor
    finally:
        code = editor.close()
    assert (code, editor.stderr) == (0, "")
    with contextlib.suppress(pytest.skip.Exception):  # no registry of npm, no schema
        assert violations(editor.transcript) == []
