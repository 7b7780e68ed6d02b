"""That no requirement of the official conformance suite is left out, and those that are about every message."""

import re
from pathlib import Path
from typing import Any

import pytest
from acp_editor import Editor, Refused, text
from acp_schema import editing
from kimi_program import Program

REQUIREMENTS = {
    "TRANSPORT": 2, "JSONRPC": 5, "INIT": 4, "SCHEMA": 2, "SESSION": 2, "PROMPT": 3, "CANCEL": 2, "CONFIG": 3, "AUTH": 5,
    "CLIENTCAP": 3, "EXT": 1, "LOAD": 3, "RESUME": 2, "LIST": 2, "DELETE": 2, "CLOSE": 2, "ADDDIRS": 1, "MODES": 2,
    "PROMPTCAP": 3, "META": 1, "ERROR": 1, "SHUTDOWN": 1,
}  # fmt: skip
"""How many there are of each kind, numbered from 1; four more only inform."""
STOPS = {"end_turn", "max_tokens", "max_turn_requests", "refusal", "cancelled"}


def test_transport_001_002_schema_001_every_line_is_a_message(tmp_path: Path) -> None:
    odd = "ü\u2028\r\x00😀\ud800\x1b[2J"
    with editing(
        Program(tmp_path), capabilities={}
    ) as editor:  # which reads lines of UTF-8, and holds them against the schema
        session = editor.new([{"think": odd}, text(odd)], text("Done."))
        editor.prompt(session, odd)
        assert editor.prompt(session)["stopReason"] in STOPS
        assert "😀" in editor.said(session)
        assert "\ud800" not in editor.said(session)
        assert all(message["jsonrpc"] == "2.0" for way, message in editor.transcript if way == "<")


def test_error_001_messages_are_one_line(bare: Editor) -> None:
    wrong: list[tuple[str, Any]] = [
        ("no\nsuch", {}), ("session/new", {"cwd": "a\nb", "mcpServers": []}), ("session/load", {}),
        ("session/prompt", {"sessionId": "a\nb", "prompt": []}), ("session/list", {"cursor": "\n"}),
        ("session/set_mode", {"sessionId": 7, "modeId": "\n"}), ("authenticate", {"methodId": "\n"}),
    ]  # fmt: skip
    for method, params in wrong:
        error = bare.answer(bare.begin(method, params))["error"]
        assert error["message"].strip()
        assert "\n" not in error["message"]
        assert "http" not in error["message"]


def test_what_only_informs(tmp_path: Path) -> None:
    """Bytes on standard error, the answers to broken JSON and to no request, the code of an unknown session."""
    editor = Editor(Program(tmp_path), capabilities={})
    editor.write(b'{"broken\n{"foo":"bar"}\n')
    with pytest.raises(Refused) as refused:
        editor.prompt("nobody")
    codes = [m["error"]["code"] for way, m in editor.transcript if way == "<" and "error" in m]
    assert codes == [-32700, -32600, refused.value.code]
    assert refused.value.code == -32002
    assert (editor.close(), editor.stderr) == (0, "")


def test_every_requirement_has_a_test_of_its_name() -> None:
    kinds, found = "|".join(map(str.lower, REQUIREMENTS)), set()
    for path in Path(__file__).parent.glob("test_*.py"):
        for name in re.findall(r"^def test(_\w+)", path.read_text(), re.MULTILINE):
            for kind, numbers in re.findall(rf"_({kinds})((?:_\d{{3}})+)", name):
                found |= {(kind.upper(), int(number)) for number in numbers.strip("_").split("_")}
    assert found == {(kind, number + 1) for kind, count in REQUIREMENTS.items() for number in range(count)}
    assert sum(REQUIREMENTS.values()) + 4 == 56
