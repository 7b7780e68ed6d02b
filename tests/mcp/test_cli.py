"""`kimi mcp` from outside: nothing is started, nothing is lost, no secret is shown."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from kimi_program import Program, Terminal
from mcp_fakes import fake
from test_import_time import HEAVY, loaded


@pytest.fixture
def kimi(tmp_path: Path) -> Program:
    program = Program(tmp_path)
    (program.work / ".git").mkdir()
    return program


def mcp(kimi: Program, *arguments: str, code: int = 0, **env: str) -> str:
    done = kimi.run("mcp", *arguments, **env)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def servers(kimi: Program, file: str = "home/mcp.json") -> dict[str, Any]:
    return dict(json.loads((kimi.folder / file).read_text())["mcpServers"])


def listed(kimi: Program, **env: str) -> dict[str, Any]:
    return {row["name"]: row for row in json.loads(mcp(kimi, "list", "--json", **env))["servers"]}


def project(kimi: Program, text: str, name: str = ".mcp.json") -> Path:
    path = kimi.work / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


MANY = """
import contextlib, io, json, sys
from kimi_agent.cli import run
answers = []
for words in json.load(sys.stdin):
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        code = run(["mcp", *words])
    answers.append((code, told.getvalue()))
print(json.dumps(answers))
"""


def many(kimi: Program, commands: Sequence[Sequence[str]]) -> list[tuple[int, str]]:
    """Code and output of each command: one process, for a start of Python takes longer than what they do."""
    done = subprocess.run(
        [sys.executable, "-c", MANY], input=json.dumps(commands), capture_output=True, text=True, cwd=kimi.work,
        env=kimi.environment(), check=True,
    )  # fmt: skip
    return [(code, text) for code, text in json.loads(done.stdout)]


# --- add --------------------------------------------------------------------------------------------------------------


ADDED: list[tuple[str, dict[str, Any]]] = [  # the first three are the examples of kimi-cli
    ("--transport|http|NAME|https://h|--header|K: a:b", {"url": "https://h", "transport": "http", "headers": {"K": "a:b"}}),
    ("--transport|http|--auth|oauth|NAME|https://h/mcp", {"url": "https://h/mcp", "transport": "http", "auth": "oauth"}),
    ("--transport|stdio|NAME|--|npx|chrome@latest", {"command": "npx", "args": ["chrome@latest"]}),
    ("NAME|-t|stdio|-e|A=b=c|-e|B=|--|npx|-e|1", {"command": "npx", "args": ["-e", "1"], "env": {"A": "b=c", "B": ""}}),
    ("NAME|npx|x", {"command": "npx", "args": ["x"]}),
    ("NAME|https://h", {"url": "https://h", "transport": "http"}),
    ("NAME|-t|sse|https://h", {"url": "https://h", "transport": "sse"}),
    ("NAME|https://h|--client-id|c|--client-secret-env|S|--callback-port|8000|--scopes|a b",
     {"url": "https://h", "transport": "http", "auth": "oauth",
      "oauth": {"clientId": "c", "clientSecretEnv": "S", "callbackPort": 8000, "scopes": ["a", "b"]}}),
    ("NAME|--startup-timeout|5|--tool-timeout|90|--enable-tool|a|--disable-tool|b|--pass-env|P|--no-box|--cwd|/c|--|x",
     {"command": "x", "passEnv": ["P"], "cwd": "/c", "startupTimeoutMs": 5000, "toolTimeoutMs": 90000,
      "enabledTools": ["a"], "disabledTools": ["b"], "box": False}),
    ("NAME|https://h|--bearer-env|T", {"url": "https://h", "transport": "http", "bearerTokenEnvVar": "T"}),
]  # fmt: skip


def test_add(kimi: Program) -> None:
    commands = [["add", *text.replace("NAME", f"s{n}").split("|")] for n, (text, _) in enumerate(ADDED)]
    assert many(kimi, commands) == [(0, f"added s{n} in {kimi.home}/mcp.json\n") for n in range(len(ADDED))]
    assert servers(kimi) == {f"s{n}": entry for n, (_, entry) in enumerate(ADDED)}


REFUSED = [
    ("s", "what is the server?"),
    ("s|npx|-y|x", "stands behind --"),
    ("s|-t|ws|ws://h", "none of stdio, http and sse"),
    ("s|https://h|-e|A=1", "--env means nothing for a server that is reached by URL"),
    ("s|-H|A: 1|--|x", "--header means nothing for a program"),
    ("s|-t|http|https://h|more", "one URL"),
    ("s|-t|http|ftp://h", "must begin with http"),
    ("s|-e|A|--|x", "is not KEY=VALUE"),
    ("kimi|https://h", "our own"),
    ("a\x1bb|https://h", "cannot be seen"),
]


def test_what_cannot_be_added(kimi: Program) -> None:
    answers = many(kimi, [["add", *text.split("|")] for text, _ in REFUSED])
    for (text, told), (code, said) in zip(REFUSED, answers, strict=True):
        assert (code, told in said, "\x1b" in said) == (2, True, False), f"{text}: {said}"
    assert not (kimi.home / "mcp.json").exists()


def test_the_files_of_the_scopes(kimi: Program) -> None:
    commands = {
        "add a https://user": "added a in HOME/mcp.json",
        "add -s project a https://project": "added a in WORK/.mcp.json",
        'add-json a {"type":"http","url":"https://local"} -s local': "added a in HOME/mcp-local.json",
        "list --json": '"url": "https://local"',
        "add a https://user2": "the one of HOME/mcp-local.json:5 (local) holds in this folder",
        "add a https://user3": "replaced a in HOME/mcp.json",
        "get a": "instead of  WORK/.mcp.json:3 (project)",
        "remove a": "several files (local, project, user)",
        "remove a -s local": "removed a from HOME/mcp-local.json",
        "get a --json": '"approved": true',  # what the person adds to a project is approved by that
        "remove a -s project": "removed a from WORK/.mcp.json",
        "disable a": "a is off in HOME/mcp.json",
        "list": "disabled",
        "enable a": "a is on in HOME/mcp.json",
        "list ": "enabled",
        "remove a ": "removed a from HOME/mcp.json",
        "get a ": "there is no MCP server 'a'",
    }
    answers = many(kimi, [command.split() for command in commands])
    for (command, told), (code, said) in zip(commands.items(), answers, strict=True):
        assert told.replace("HOME", str(kimi.home)).replace("WORK", str(kimi.work)) in said, f"{command}: {said}"
        assert code == (2 if command in ("remove a", "get a ") else 0)
    assert servers(kimi) == servers(kimi, "work/.mcp.json") == {}
    assert (kimi.home / "mcp.json").stat().st_mode & 0o777 == 0o600


def test_several_programs_add_at_once(kimi: Program) -> None:
    command = [sys.executable, "-m", "kimi_agent", "mcp", "add"]
    running = [
        subprocess.Popen(
            [*command, f"s{n}", f"https://h/{n}"], cwd=kimi.work, env=kimi.environment(), stdout=subprocess.DEVNULL
        )
        for n in range(6)
    ]
    assert [process.wait(60) for process in running] == [0] * 6
    assert set(servers(kimi)) == {f"s{n}" for n in range(6)}


# --- list and get -----------------------------------------------------------------------------------------------------


def test_list_shows_no_secret_and_starts_nothing(kimi: Program) -> None:
    touch = json.dumps({"command": "touch", "args": [str(kimi.folder / "pwned")]})
    project(kimi, f'{{"mcpServers": {{"theirs": {touch}}}}}')
    kimi.home.mkdir()
    secrets = [
        "sk-s3cret-one",
        "s3cret-two",
        "s3cret-three",
        "s3cret-four",
        "s3cret-five",
        "s3cret-six",
        "s3cret-seven",
    ]
    entries = {
        "run": {"command": "touch", "args": [str(kimi.folder / "pwned"), "--api-key", secrets[1], f"--token={secrets[2]}",
                                             "--header", f"Authorization: Bearer {secrets[3]}"], "env": {"A": secrets[0]}},
        "web": {"url": f"https://me:{secrets[4]}@h/mcp?key={secrets[5]}", "headers": {"X": secrets[6], "Y": "Bearer ${TOKEN}"}},
        "path": {"url": "https://h/s/abcdefghijklm0123456789nopqrs3cret/mcp"},
    }  # fmt: skip
    (kimi.home / "mcp.json").write_text(json.dumps({"mcpServers": entries}))
    shown = "".join(
        mcp(kimi, *words, TOKEN="s3cret-token")
        for words in (("list",), ("list", "--json"), ("get", "run"), ("get", "web"))
    )
    assert "s3cret" not in shown
    assert "Bearer ${TOKEN}" in shown
    assert "theirs  project  stdio  needs approval  touch" in shown
    assert "kimi mcp approve theirs" in shown
    assert not (kimi.folder / "pwned").exists()


def test_states_and_problems(kimi: Program) -> None:
    project(kimi, '{"mcpServers": {\n"bad": {"args": 1},\n"theirs": {"command": "x"}}}')
    project(kimi, "{,}", ".kimi/mcp.json")
    kimi.home.mkdir()
    entries = {
        "off": {"command": "x", "disabled": True},
        "unset": {"command": "${NOPE_A}", "args": ["${NOPE_B}"]},
        "on": {"url": "http://h"},
    }
    (kimi.home / "mcp.json").write_text(json.dumps({"mcpServers": entries}))
    assert {name: row["state"] for name, row in listed(kimi, NOPE_B="x").items()} == {
        "theirs": "needs approval", "off": "disabled", "unset": "unset variable NOPE_A", "on": "enabled",
    }  # fmt: skip
    text = mcp(kimi, "list")
    assert f'problem: {kimi.work}/.mcp.json:2: MCP server "bad" is left out: "args" must be a list of texts' in text
    assert f"problem: {kimi.work}/.kimi/mcp.json:1: not valid JSON" in text
    assert '"args" must be a list of texts' in mcp(kimi, "get", "bad", code=2)
    assert "Known: theirs, off" in mcp(kimi, "get", "none", code=2)
    doctor = kimi.run("doctor", "--offline").stdout
    for said in (
        ".mcp.json:2: ",
        "theirs comes with this project",
        "unset: unset variable NOPE_A, NOPE_B",
        "1 server, not tried: on",
    ):
        assert said in doctor
    mcp(kimi, "disable", "bad")
    mcp(kimi, "remove", "bad")
    assert set(servers(kimi, "work/.mcp.json")) == {"theirs"}


def test_a_broken_configuration_keeps_nothing_from_being_listed(kimi: Program) -> None:
    kimi.write_config("theme = 3\n")
    mcp(kimi, "add", "a", "https://h")
    text = mcp(kimi, "list")
    assert text.startswith("a  user")
    assert "problem: the servers of plugins are left out" in text


def test_nothing_heavy_is_loaded_for_a_list(kimi: Program) -> None:
    project(kimi, '{"mcpServers": {"theirs": {"command": "x"}}}')
    program = "import sys; from kimi_agent.cli import run; assert run(sys.argv[1:]) == 0"
    names = loaded(kimi, program, "mcp", "list")
    assert names & (HEAVY | {"httpx", "httpx2", "anyio", "mcp_types"}) == set()


def test_flags(kimi: Program) -> None:
    mcp(kimi, "add", "mine", "https://h")
    file = kimi.folder / "more.json"
    file.write_text('{"mcpServers": {"more": {"command": "x"}}}')
    project(kimi, '{"mcpServers": {"theirs": {"command": "x"}}}')
    done = kimi.run(
        "--mcp-config-file",
        str(file),
        "--mcp-config",
        '{"mcpServers": {"text": {"url": "http://h"}}}',
        "--trust-mcp",
        "theirs",
        "mcp",
        "list",
    )
    states = {line.split()[0]: line.split()[1] for line in done.stdout.splitlines()}
    assert states == {"text": "flag", "more": "flag", "theirs": "project"}
    assert "needs approval" not in done.stdout
    assert "needs approval" in mcp(kimi, "list")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--mcp-config-file", "none.json"], "there is no file none.json"),
        (["--mcp-config", '{"mcpServers":\n{,}}'], "--mcp-config:2: not valid JSON"),
    ],
)
def test_a_flag_that_cannot_be_read_ends_the_run(kimi: Program, given: list[str], told: str) -> None:
    done = kimi.run(*given, "-p", "hi")
    assert done.returncode == 2
    assert told in done.stderr


# --- approval ---------------------------------------------------------------------------------------------------------


def test_an_approval_shows_all_and_asks(kimi: Program) -> None:
    words = ["-c", "echo " + "long " * 200 + "\u202eend", "line\nbreak"]
    path = project(
        kimi,
        json.dumps(
            {"mcpServers": {"s": {"command": "sh", "args": words, "env": {"NODE_OPTIONS": "--require x"}, "cwd": "/c"}}}
        ),
    )
    assert "nobody can be asked" in mcp(kimi, "approve", "s", code=2)
    terminal = Terminal(kimi, "mcp", "approve", "s")
    shown = terminal.expect("[y/N]:").replace("\r\n", "\n")
    for part in ('"sh"', "long " * 200 + "⟨U+202E⟩end", '"line\\nbreak"', '"NODE_OPTIONS": "--require x"', '"/c"'):
        assert part in shown
    terminal.type("\n")
    assert terminal.wait() == 1
    assert listed(kimi)["s"]["state"] == "needs approval"
    terminal = Terminal(kimi, "mcp", "approve", "s")
    terminal.expect("[y/N]:")
    terminal.type("y\n")
    assert terminal.wait() == 0
    assert listed(kimi)["s"]["state"] == "enabled"
    path.write_text(path.read_text().replace("--require x", "--require evil"))
    assert listed(kimi)["s"]["state"] == "needs approval"
    told = mcp(kimi, "approve", "s", code=2)
    assert '  - env         "NODE_OPTIONS": "--require x"' in told
    assert '  + env         "NODE_OPTIONS": "--require evil"' in told
    mcp(kimi, "approve", "s", "--yes")
    assert "no longer approved" in mcp(kimi, "revoke", "s")
    assert "is not approved" in mcp(kimi, "revoke", "s", code=2)


def test_what_is_the_persons_own_needs_no_approval(kimi: Program) -> None:
    mcp(kimi, "add", "a", "https://h")
    assert "needs no approval" in mcp(kimi, "approve", "a")
    assert not (kimi.home / "mcp-approvals.json").exists()


def test_an_entry_that_nobody_approved_hides_none_of_the_person_s_from_a_test(kimi: Program) -> None:
    """What is tried is what a session starts."""
    mcp(kimi, "add", "good", "--", *fake("good"))
    project(kimi, '{"mcpServers": {"good": {"command": "/theirs"}}}')
    assert mcp(kimi, "test", "good").startswith("good: ok")


def test_an_address_that_is_none_is_named_by_its_line_alone(kimi: Program) -> None:
    project(kimi, '{"mcpServers": {\n"a": {"url": "https://u:pass@h:99999/?key=abc"},\n"b": {"url": " HTTPS://h/ "}}}')
    assert {"a", "b"} == set(listed(kimi))
    for command in ("test", "auth"):
        done = kimi.run("--trust-mcp", "a", "mcp", command, "a")
        told = done.stdout + done.stderr
        assert done.returncode != 0, told
        assert "its url is no http address" in told
        assert ".mcp.json:2" in told
        assert not any(text in told for text in ("pass", "abc", "Traceback"))
