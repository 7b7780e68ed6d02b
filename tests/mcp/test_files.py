"""Files of MCP servers: what holds, what is told with file and line, and that one bad entry costs only itself."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nightly import examples

from kimi_agent.core.errors import ConfigError
from kimi_agent.mcp.approvals import Approvals
from kimi_agent.mcp.definition import OAuth, Server
from kimi_agent.mcp.document import LIMIT
from kimi_agent.mcp.entry import parse_entry
from kimi_agent.mcp.files import Flags, find_servers
from kimi_agent.mcp.show import as_entry, description, headline, redacted, state


class Place:
    """A home and a repository, and what is found there."""

    def __init__(self, folder: Path) -> None:
        self.home, self.work = folder / "home", folder / "work"
        self.home.mkdir()
        (self.work / ".git").mkdir(parents=True)
        self.problems: tuple[str, ...] = ()
        self.hidden: tuple[Server, ...] = ()

    def write(self, name: str, text: Any) -> Path:
        path = self.home.parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            text if isinstance(text, bytes) else (text if isinstance(text, str) else json.dumps(text)).encode()
        )
        return path

    def find(self, folder: str = "work", **options: Any) -> dict[str, Server]:
        found = find_servers(self.home, self.home.parent / folder, **options)
        self.problems, self.hidden = found.problems, found.hidden
        return {server.name: server for server in found.servers}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def one(place: Place, **entry: Any) -> Server:
    place.write("home/mcp.json", {"mcpServers": {"s": entry}})
    return place.find()["s"]


# --- spellings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"command": "npx", "args": ["-y", "x"]}, {"transport": "stdio", "command": "npx", "args": ("-y", "x")}),
        ({"command": ["npx", "-y", "x"]}, {"command": "npx", "args": ("-y", "x")}),
        ({"command": "x", "env": {"A": "1", "B": 2, "C": None, "D": True}}, {"env": {"A": "1", "B": "2", "D": "true"}}),
        ({"url": "https://h/mcp"}, {"transport": "http", "url": "https://h/mcp"}),
        ({"url": "https://h", "type": "streamableHttp"}, {"transport": "http"}),
        ({"url": "https://h", "transport": "streamable-http"}, {"transport": "http"}),
        ({"url": "https://h", "type": "http", "transport": "http"}, {"transport": "http"}),
        ({"url": "https://h", "type": "sse"}, {"transport": "sse"}),
        ({"httpUrl": "https://h"}, {"transport": "http", "url": "https://h"}),
        ({"url": "https://h", "command": "x", "type": "stdio"}, {"transport": "stdio"}),
        ({"command": "x", "disabled": True}, {"enabled": False}),
        ({"command": "x", "enabled": False}, {"enabled": False}),
        ({"command": "x", "startupTimeoutMs": 1500, "toolTimeoutMs": 2000}, {"startup_timeout": 1.5, "tool_timeout": 2.0}),
        ({"command": "x", "startup_timeout_sec": 20, "tool_timeout_sec": 90}, {"startup_timeout": 20, "tool_timeout": 90}),
        ({"command": "x", "timeout": 60000}, {"tool_timeout": 60.0}),
        ({"command": "x", "timeout": 60}, {"tool_timeout": 60.0}),
        ({"command": "x", "includeTools": ["a"], "excludeTools": ["b"]}, {"enabled_tools": ("a",), "disabled_tools": ("b",)}),
        ({"command": "x", "enabled_tools": ["a"], "disabledTools": ["b"]}, {"enabled_tools": ("a",), "disabled_tools": ("b",)}),
        ({"url": "https://h", "bearerTokenEnvVar": "T"}, {"bearer_env": "T"}),
        ({"url": "https://h", "bearer_token_env_var": "T"}, {"bearer_env": "T"}),
        ({"url": "https://h", "headers": {"K": "V"}, "env_http_headers": {"O": "VAR"}}, {"headers": {"K": "V", "O": "${VAR}"}}),
        ({"url": "https://h", "auth": "oauth"}, {"auth": "oauth"}),
        ({"url": "https://h", "auth": "a-token"}, {"auth": "", "headers": {"Authorization": "Bearer a-token"}}),
        (
            {"url": "https://h", "oauth": {"clientId": "c", "clientSecretEnv": "S", "callbackPort": 8000, "scopes": "a b"}},
            {"auth": "oauth", "oauth": OAuth("c", "S", "", 8000, ("a", "b"))},
        ),
        ({"command": "x", "env_vars": ["A"]}, {"pass_env": ("A",)}),
        ({"command": "x", "passEnv": ["A"], "cwd": "/c"}, {"pass_env": ("A",), "cwd": "/c"}),
        ({"command": "x", "protocol": "2026-07-28", "sampling": True, "box": False, "required": True},
         {"protocol": "2026-07-28", "sampling": True, "box": False, "required": True}),
        ({"command": "x", "alwaysAllow": ["a"], "description": "d", "gallery": True, "args": None}, {"args": ()}),
    ],
)  # fmt: skip
def test_every_spelling(place: Place, entry: dict[str, Any], expected: dict[str, Any]) -> None:
    server = one(place, **entry)
    assert {key: getattr(server, key) for key in expected} == expected
    assert place.problems == ()
    again, notes = parse_entry("s", as_entry(server), scope="user", source=server.source)
    assert (as_entry(again), notes) == (as_entry(server), []), "what is written says the same"


def test_what_is_odd_is_told_and_kept(place: Place) -> None:
    place.write(
        "home/mcp.json",
        '{"mcpServers": {\n"a": {"url": "https://h/sse"},\n"b": {"command": "npx -y x"},\n"c": {"command": "x", "arg": []}}}',
    )
    assert set(place.find()) == {"a", "b", "c"}
    a, b, c = place.problems
    assert "mcp.json:2: " in a
    assert '"type": "sse"' in a
    assert "mcp.json:3: " in b
    assert '"args"' in b
    assert "mcp.json:4: " in c
    assert 'did you mean "args"?' in c


# --- what is wrong ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "line", "told"),
    [
        ('{"args": []}', 3, 'neither a "command" nor a "url"'),
        ('{"command": "x",\n"url": "https://h"}', 4, 'both a "command" and a "url"'),
        ('{"type":\n"ws", "url": "ws://h"}', 3, '"ws" is none of stdio, http and sse'),
        ('{"type": "stdio",\n"url": "https://h"}', 3, 'leave "type" out or make it "http"'),
        ('{"type": "http", "command": "x"}', 3, 'it has no "url"'),
        ('{"url": "file:///etc"}', 3, "must begin with http:// or https://"),
        ('{"command": "x",\n\n"args": "y"}', 5, '"args" must be a list of texts'),
        ('{"command": "x", "env": ["A"]}', 3, '"env" must be an object of texts'),
        ('{"command": "x", "enabled": "yes"}', 3, '"enabled" must be true or false'),
        ('{"command": "x", "timeout": -1}', 3, '"timeout" must be a time above 0'),
        ('{"command": "x", "timeout": NaN}', 3, '"timeout" must be a time above 0'),
        ('{"command": "x", "protocol": "3"}', 3, "auto, legacy or 2026-07-28"),
        ('{"command": "a\\u0000"}', 3, "NUL"),
        ('{"command": "x", "env": {"A": "\\ud800"}}', 3, "half a character"),
        ('{"url": "https://h", "oauth": {"clientSecret": "s"}}', 3, "clientSecretEnv"),
        ('{"url": "https://h", "headers": {"A": "b\\r\\nC: d"}}', 3, "line break"),
        (
            '{"command": "x", "timeout": 5,\n"tool_timeout": 1, "type": "stdio",\n"transport": "http"}',
            5,
            "different things",
        ),
        ("[]", 3, "no object"),
        ("null", 3, "no object"),
    ],
)
def test_a_malformed_entry_costs_only_itself(place: Place, entry: str, line: int, told: str) -> None:
    path = place.write(
        "home/mcp.json",
        f'{{"mcpServers": {{\n"good": {{"command": "x"}},\n"bad": {entry},\n"last": {{"url": "http://h"}}}}}}',
    )
    assert set(place.find()) == {"good", "last"}
    (problem,) = [text for text in place.problems if "left out" in text]
    assert problem.startswith(f'{path}:{line}: MCP server "bad" is left out: ')
    assert told in problem


@pytest.mark.parametrize("name", ["", " ", "a\\u001b[31m", "a\\nb", "kimi", "Kimi", "x" * 65, "a\\u202eb"])
def test_names_that_no_server_can_have(place: Place, name: str) -> None:
    place.write("home/mcp.json", f'{{"mcpServers": {{"{name}": {{"command": "x"}}, "good": {{"command": "x"}}}}}}')
    assert set(place.find()) == {"good"}
    (problem,) = place.problems
    assert "name" in problem
    assert problem.isprintable()


def test_names_that_others_accept(place: Place) -> None:
    names = ["a__b", "My Server", "@org/server", "服务器", "a.b-c"]
    place.write("home/mcp.json", {"mcpServers": {name: {"command": "x"} for name in names}})
    assert list(place.find()) == names


def test_names_that_rules_could_not_tell_apart(place: Place) -> None:
    place.write(
        "home/mcp.json",
        {"mcpServers": {"git_hub": {"command": "mine"}, "a b": {"command": "1"}, "a/b": {"command": "2"}}},
    )
    place.write("work/.mcp.json", {"mcpServers": {"git hub": {"command": "theirs"}}})
    assert set(place.find()) == {"git_hub", "a b"}
    theirs, ours = place.problems
    assert 'MCP server "git hub" is left out: its tools would be called as those of "git_hub" (user)' in theirs
    assert 'MCP server "a/b" is left out' in ours


def test_a_project_takes_the_place_of_no_server_of_the_person(place: Place) -> None:
    """Neither by a name that rules cannot tell from theirs, however it is written."""
    place.write("home/mcp.json", {"mcpServers": {"my.server": {"command": "mine"}}})
    place.write("work/.mcp.json", {"mcpServers": {"my_server": {"command": "theirs"}}})
    assert set(place.find()) == {"my.server"}
    assert 'MCP server "my_server" is left out' in place.problems[0]


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ('{"mcpServers": {\n"a": {"command": "x"},\n}}', 2, "remove the comma before the closing bracket"),
        ('{"mcpServers": {\n"a": {"command": "x", "args": ["y",]}}}', 2, "remove the comma before the closing bracket"),
        ('{\n// mine\n"mcpServers": {}}', 2, "comments have no place in JSON"),
        ('{"mcpServers": {} /* mine */}', 1, "comments have no place in JSON"),
        ("{'mcpServers': {}}", 1, "use double quotes"),
        ('{"mcpServers": {}\n"x": 1}', 2, "a comma is missing"),
        ('{"mcpServers": {\n\n', 3, "ends too early"),
        ('{"mcpServers": {"a": {"command": "x}}}', 1, "a quote is not closed"),
        ('{"mcpServers": {}}\n{}', 2, "behind the end"),
        ("", 1, "the file is empty"),
        ("\n[]", 1, "not an object"),
    ],
)
def test_a_malformed_file_is_told_and_the_others_are_read(place: Place, text: str, line: int, told: str) -> None:
    path = place.write("home/mcp.json", text)
    place.write("work/.mcp.json", {"mcpServers": {"theirs": {"command": "x"}}})
    assert set(place.find()) == {"theirs"}
    (problem,) = place.problems
    assert problem.startswith(f"{path}:{line}: ")
    assert told in problem


def test_encodings(place: Place) -> None:
    text = '{"mcpServers": {"a": {"command": "x"}}}'
    place.write("home/mcp.json", b"\xef\xbb\xbf" + text.replace(" ", "\r\n").encode())
    assert set(place.find()) == {"a"}
    assert place.problems == ()
    place.write("home/mcp.json", text.encode("utf-16"))
    assert place.find() == {}
    assert "Save it as UTF-8" in place.problems[0]
    place.write("home/mcp.json", b'{\n"mcpServers": {"\xff": {}}}')
    place.find()
    assert "mcp.json:2: not UTF-8" in place.problems[0]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 50_000, '{"a": ' + "9" * 5000 + "}"], ids=["[", "{", "9"])
def test_a_nest_and_a_giant_are_told(place: Place, text: str) -> None:
    place.write("home/mcp.json", text)
    assert place.find() == {}
    assert len(place.problems) == 1


def test_what_is_no_file_is_not_waited_for(place: Place) -> None:
    os.mkfifo(place.work / ".mcp.json")
    (place.home / "mcp.json").mkdir()
    assert place.find() == {}
    assert len(place.problems) == 2


def test_the_keys_of_others(place: Place) -> None:
    place.write("home/mcp.json", '{\n"servers": {"a": {"command": "x"}}}')
    place.write("work/.mcp.json", '{\n"github": {"command": "x"}}')
    assert place.find() == {}
    theirs, ours = place.problems
    assert '.mcp.json:2: the servers stand at the top: put them into {"mcpServers": {...}}' in theirs
    assert 'mcp.json:2: the servers stand under "servers": rename it to "mcpServers"' in ours


def test_keys_that_stand_twice(place: Place) -> None:
    place.write("home/mcp.json", '{"mcpServers": {"a": {"command": "x"},\n"a": {"command": "y",\n"command": "z"}}}')
    assert place.find()["a"].command == "z"
    assert [problem.split(":", 1)[1] for problem in place.problems] == [
        '2: "a" stands here again; the last one holds',
        '3: "command" stands here again; the last one holds',
    ]


# --- scopes -----------------------------------------------------------------------------------------------------------


def test_precedence(place: Place) -> None:
    def servers(command: str, *names: str) -> dict[str, Any]:
        return {"mcpServers": {name: {"command": command} for name in names}}

    place.write("home/mcp.json", servers("user", "a", "b", "c", "d", "u"))
    place.write("work/.mcp.json", servers("project", "a", "b", "c"))
    place.write(
        "home/mcp-local.json", {"projects": {str(place.work): servers("local", "a", "b"), "/else": servers("no", "n")}}
    )
    flags = Flags(texts=(json.dumps(servers("first", "a")), json.dumps(servers("flag", "a"))))
    found = place.find(flags=flags, plugins={"p": {"command": "plugin"}, "u": {"command": "plugin"}})
    assert {name: server.command for name, server in found.items()} == {
        "a": "flag", "b": "local", "c": "project", "d": "user", "u": "user", "p": "plugin",
    }  # fmt: skip
    assert [server.scope for server in found.values()] == ["flag", "local", "project", "user", "user", "plugin"]
    assert found["c"].source == f"{place.work}/.mcp.json:1"
    told = [text for text in place.problems if "holds, not the other one" in text]
    assert len(told) == len(place.hidden) == 8
    assert f'MCP server "c" holds, not the other one of {place.home}/mcp.json:1 (user)' in "".join(told)


def test_the_same_twice_is_no_news(place: Place) -> None:
    for name in ("home/mcp.json", "work/.mcp.json"):
        place.write(name, {"mcpServers": {"a": {"command": "x"}}})
    assert place.find()["a"].scope == "project"
    assert place.problems == ()


def test_a_file_by_flag_stands_for_the_users(place: Place) -> None:
    place.write("home/mcp.json", {"mcpServers": {"user": {"command": "x"}}})
    file = place.write("my.json", {"mcpServers": {"mine": {"command": "x"}}})
    assert set(place.find(flags=Flags(files=(file,)))) == {"mine"}
    assert set(place.find(flags=Flags(texts=('{"mcpServers": {"t": {"url": "http://h"}}}',)))) == {"t", "user"}


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (Flags(files=(Path("none.json"),)), "there is no file none.json"),
        (Flags(texts=("{,}",)), "--mcp-config:1: not valid JSON"),
        (Flags(texts=("my.json",)), "--mcp-config-file takes a file"),
    ],
)
def test_a_flag_that_cannot_be_read(place: Place, flags: Flags, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        flags.check()
    assert told in caught.value.full
    assert place.find(flags=flags) == {}
    assert told in place.problems[0]


def test_the_files_of_a_project(place: Place) -> None:
    place.write("work/.mcp.json", {"mcpServers": {"root": {"command": "1"}, "a": {"command": "root"}}})
    place.write("work/sub/.kimi-code/mcp.json", {"mcpServers": {"code": {"command": "1"}, "a": {"command": "code"}}})
    place.write("work/sub/.kimi/mcp.json", {"mcpServers": {"own": {"command": "1"}}})
    place.write("work/sub/deeper/x", "")
    found = place.find("work/sub")
    assert set(found) == {"root", "code", "own", "a"}
    assert found["a"].command == "code"
    assert set(place.find("work/sub/deeper")) == {"root", "a"}
    assert place.find("work/sub", project=False) == {}


def test_the_persons_own_file_is_no_projects(place: Place) -> None:
    """A repository in the home folder, with the person's `.kimi` in it."""
    home = place.work / ".kimi"
    home.mkdir()
    (home / "mcp.json").write_text('{"mcpServers": {"a": {"command": "x"}}}')
    (server,) = find_servers(home, place.work).servers
    assert server.scope == "user"


@pytest.mark.parametrize(
    "text",
    [
        '{"mcpServers": {'
        + ", ".join(f'"s{n}": {{"command": "x", "comand": 1, "k{n}": 1}}' for n in range(14_000))
        + "}}",
        '{"mcpServers": {\n' + ",\n".join(f'"s{n}": 1' for n in range(60_000)) + "}}",
        '{"mcpServers": {"s": {' + ", ".join(f'"comman{n}": 1' for n in range(45_000)) + "}}}",
        "{" + ",".join(['"k":1'] * 150_000) + "}",
        '{"mcpServers": {"' + "x" * 900_000 + '": 1}}',
    ],
    ids=["servers", "faults", "keys", "repeated", "name"],
)
def test_a_strangers_file_costs_a_moment(place: Place, text: str) -> None:
    place.write("work/.mcp.json", text)
    place.write("home/mcp.json", {"mcpServers": {"mine": {"command": "x"}}})
    assert len(text) < LIMIT
    assert "mine" in place.find()  # what grew with the square would take longer than a test may
    assert len(place.problems) <= 101
    assert sum(map(len, place.problems)) < 60_000


FILES = ("home/mcp.json", "home/mcp-local.json", "work/.mcp.json", "work/.kimi/mcp.json", "work/.kimi-code/mcp.json")
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
keys = st.sampled_from(["command", "url", "args", "env", "type", "oauth", "timeout", "headers", "enabled"]) | st.text(
    max_size=6
)
values = st.recursive(scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(keys, v, max_size=3), max_leaves=8)
entries = st.dictionaries(keys, values, max_size=5)
texts = st.binary(max_size=60) | st.dictionaries(st.text(max_size=6), entries | values, max_size=4).map(
    lambda servers: json.dumps({"mcpServers": servers}).encode()
)


@settings(max_examples=examples(60))
@given(st.sampled_from(FILES), texts, st.data())
def test_no_bytes_crash_or_cost_another_file(name: str, text: bytes, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(os.path.realpath(folder)))
        for number, other in enumerate(FILES):
            servers = {"mcpServers": {f"good {number}": {"command": "x"}}}
            place.write(other, {"projects": {str(place.work): servers}} if "local" in other else servers)
        place.write(name, text)
        found = place.find()
        assert {f"good {n}" for n, other in enumerate(FILES) if other != name} <= set(found)
        assert all(problem.isprintable() for problem in place.problems)
        approvals = Approvals(place.home)
        for server in found.values():
            assert len(server.digest) == 64
            assert state(server, approvals, place.work, {})
            assert all(
                line.isprintable() for line in (headline(server), *description(server), *description(redacted(server)))
            )
