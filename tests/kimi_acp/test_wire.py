"""The wire: the probes that break the SDK, and whatever else may come in."""

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
from acp_editor import Editor, Message, Refused, text
from kimi_program import Program
from nightly import examples

LINES = examples(600)


@pytest.fixture
def raw(tmp_path: Path) -> Any:
    editor = Editor(Program(tmp_path), capabilities={})
    yield editor
    assert editor.close() == 0
    assert editor.stderr == ""


def errors(editor: Editor) -> list[tuple[Any, int]]:
    found = [m for way, m in editor.transcript if way == "<" and "error" in m]
    return [(m["id"], m["error"]["code"]) for m in found]


@pytest.mark.parametrize(
    ("line", "code", "known"),
    [
        ("{no json", -32700, None),
        ('"open', -32700, None),
        ("NaN{}", -32700, None),
        ('{"a":' * 10_000, -32700, None),
        ("[]", -32600, None),
        ('[{"jsonrpc":"2.0","id":1,"method":"session/list"}]', -32600, None),
        ("42", -32600, None),
        ('"text"', -32600, None),
        ("null", -32600, None),
        ('{"foo":"bar"}', -32600, None),
        ('{"id":"a","foo":"bar"}', -32600, "a"),
        ('{"id":"a","method":7}', -32600, "a"),
        ('{"id":{"a":1},"method":"session/list"}', -32600, None),
        ('{"id":true,"method":"session/list"}', -32600, None),
        ('{"jsonrpc":"2.0","id":"b","method":"session/list","params":[1]}', -32602, "b"),
        ('{"jsonrpc":"2.0","id":"c","method":"session/list","params":"x"}', -32602, "c"),
        ('{"jsonrpc":"2.0","id":"d","method":"initialize","params":[1]}', -32602, "d"),
        ('{"jsonrpc":"2.0","id":"e","method":"initialize"}', -32602, "e"),
        ('{"jsonrpc":"2.0","id":null,"method":"no/such"}', -32601, None),
        ('{"jsonrpc":"2.0","id":1.5,"method":"no/such"}', -32601, 1.5),
    ],
)  # fmt: skip
def test_what_is_wrong_is_answered_as_json_rpc_says(bare: Editor, line: str, code: int, known: Any) -> None:
    before = len(errors(bare))
    bare.write(line.encode() + b"\n")
    bare.until(lambda: len(errors(bare)) > before)
    assert errors(bare)[before:] == [(known, code)]
    assert "sessions" in bare.request("session/list")


def test_what_may_not_be_answered_is_not(bare: Editor) -> None:
    place = len(bare.transcript)
    for line in (
        '{"id":{"a":1},"result":1}',
        '{"id":null,"error":{}}',
        '{"jsonrpc":"2.0","id":99999,"result":{}}',
        "",
        "  ",
    ):
        bare.write(line.encode() + b"\n")
    bare.request("session/list")
    assert sum(way == "<" for way, _ in bare.transcript[place:]) == 1


def test_invalid_utf_8_is_no_message(bare: Editor) -> None:
    before = len(errors(bare))
    bare.write(b'{"jsonrpc":"2.0","id":1,"method":"\xff\xfe"}\n')
    bare.until(lambda: len(errors(bare)) > before)
    assert errors(bare)[-1] == (None, -32700)


def test_a_session_before_initialize_and_a_second_initialize(tmp_path: Path) -> None:
    editor = Editor(Program(tmp_path))
    session = editor.new(text("Hello."))
    assert editor.request("initialize", protocolVersion=1)["protocolVersion"] == 1
    assert editor.prompt(session) == {"stopReason": "end_turn"}
    assert editor.request("initialize", protocolVersion=99)["protocolVersion"] == 1
    assert editor.close() == 0


def test_the_client_may_answer_with_anything(bare: Editor, work: Path) -> None:
    """To a question for permission: nothing of it allows the call, and the prompt settles."""
    answers: list[Any] = [
        {}, {"outcome": {}}, {"outcome": {"outcome": "selected"}}, {"outcome": {"outcome": "selected", "optionId": "x"}},
        {"outcome": {"outcome": "selected", "optionId": ["once"]}}, {"outcome": "selected"}, [], "once", 7,
        {"outcome": {"outcome": ["cancelled"]}}, RuntimeError("no"),
    ]  # fmt: skip
    before = bare.answers["session/request_permission"]
    try:
        for answer in answers:
            bare.answers["session/request_permission"] = lambda _, answer=answer: answer
            write = {"call": {"name": "WriteFile", "arguments": {"path": "b.txt", "content": "x"}}}
            session = bare.new(write, text("Done."), cwd=str(work))
            assert bare.prompt(session)["stopReason"] == "end_turn"
            assert not (work / "b.txt").exists(), answer
            assert bare.card(session)["status"] == "failed"
    finally:
        bare.answers["session/request_permission"] = before


METHODS = [
    "initialize", "authenticate", "logout", "session/new", "session/load", "session/resume", "session/list", "session/close",
    "session/delete", "session/set_mode", "session/set_config_option", "session/prompt", "session/cancel", "$/cancel_request",
    "session/fork", "session/set_title", "auth/status", "_x/y", "", "no/such",
]  # fmt: skip
FIELDS = ["sessionId", "cwd", "mcpServers", "prompt", "modeId", "configId", "value", "methodId", "cursor", "requestId", "_meta",
          "additionalDirectories", "title", "clientCapabilities", "clientInfo", "protocolVersion"]  # fmt: skip


def odd(chance: random.Random, depth: int = 0) -> Any:
    plain = [None, True, 0, -1, 2**70, 1.5, "", "x", "/", "\0", "\ud800", "é" * 50, [], {}]
    if depth > 3 or chance.random() < 0.6:
        return chance.choice(plain)
    if chance.random() < 0.5:
        return [odd(chance, depth + 1) for _ in range(chance.randrange(4))]
    return {
        chance.choice([*FIELDS, "type", "name", "session_id", "self"]): odd(chance, depth + 1)
        for _ in range(chance.randrange(4))
    }


def odd_line(chance: random.Random, number: int, folder: str) -> bytes:
    if chance.random() < 0.1:
        return bytes(chance.randrange(256) for _ in range(chance.randrange(200))).replace(b"\n", b" ")
    params: Message = {field: odd(chance) for field in chance.sample(FIELDS, chance.randrange(6))}
    if chance.random() < 0.5:
        params |= {"cwd": folder, "mcpServers": []}
    if chance.random() < 0.3:
        params["mcpServers"] = [odd(chance) for _ in range(3)]
    message: Message = {"jsonrpc": "2.0", "id": f"fuzz-{number}", "method": chance.choice(METHODS), "params": params}
    for key in list(message):
        if chance.random() < 0.05:
            del message[key]
        elif chance.random() < 0.05:
            message[key] = odd(chance)
    line = json.dumps(message).encode()
    return line[: chance.randrange(len(line))] if chance.random() < 0.05 else line


def test_whatever_comes_in_it_goes_on(raw: Editor) -> None:
    chance = random.Random(int(os.environ.get("KIMI_FUZZ_SEED", "7")))
    lines = [odd_line(chance, number, str(raw.program.work)) for number in range(LINES)]
    for line in lines:
        raw.write(line + b"\n")
    huge = {"jsonrpc": "2.0", "id": "huge", "method": "session/prompt", "params": {"sessionId": "x" * 5_000_000}}
    with pytest.raises(Refused):
        raw.request("session/prompt", sessionId="nobody", prompt=[])
    raw.send(huge)
    assert raw.answer("huge")["error"]["code"] in (-32602, -32002)
    raw.request("authenticate", methodId="kimi-login")  # a logout was among them
    assert raw.prompt(raw.new(text("Still here."))) == {"stopReason": "end_turn"}
    answered = {json.dumps(m["id"]) for way, m in raw.transcript if way == "<" and "id" in m and "method" not in m}
    for line in lines:
        try:
            message = json.loads(line)
        except ValueError:
            continue
        if isinstance(message, dict) and isinstance(message.get("id"), str) and isinstance(message.get("method"), str):
            assert json.dumps(message["id"].encode("utf-8", "replace").decode()) in answered, line
