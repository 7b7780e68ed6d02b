"""`kimi mcp` from outside: nothing is started, nothing is lost, no secret is shown."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kimi_program import Program, Terminal
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


# --- add --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "entry"),
    [  # the first three are the examples of kimi-cli
        ("--transport|http|s|https://h|--header|KEY: a:b", {"url": "https://h", "transport": "http", "headers": {"KEY": "a:b"}}),
        ("--transport|http|--auth|oauth|s|https://h/mcp", {"url": "https://h/mcp", "transport": "http", "auth": "oauth"}),
        ("--transport|stdio|s|--|npx|chrome@latest", {"command": "npx", "args": ["chrome@latest"]}),
        ("s|-t|stdio|-e|A=b=c|-e|B=|--|npx|-y|-e|1", {"command": "npx", "args": ["-y", "-e", "1"], "env": {"A": "b=c", "B": ""}}),
        ("s|npx|x", {"command": "npx", "args": ["x"]}),
        ("s|https://h", {"url": "https://h", "transport": "http"}),
        ("s|-t|sse|https://h", {"url": "https://h", "transport": "sse"}),
        ("s|https://h|--client-id|c|--client-secret-env|S|--callback-port|8000|--scopes|a b",
         {"url": "https://h", "transport": "http", "auth": "oauth",
          "oauth": {"clientId": "c", "clientSecretEnv": "S", "callbackPort": 8000, "scopes": ["a", "b"]}}),
        ("s|--startup-timeout|5|--tool-timeout|90|--enable-tool|a|--disable-tool|b|--pass-env|P|--no-box|--cwd|/c|--|x",
         {"command": "x", "passEnv": ["P"], "cwd": "/c", "startupTimeoutMs": 5000, "toolTimeoutMs": 90000,
          "enabledTools": ["a"], "disabledTools": ["b"], "box": False}),
        ("s|https://h|--bearer-env|T", {"url": "https://h", "transport": "http", "bearerTokenEnvVar": "T"}),
    ],
)  # fmt: skip
def test_add(kimi: Program, arguments: str, entry: dict[str, Any]) -> None:
    assert mcp(kimi, "add", *arguments.split("|")).startswith(f"added s in {kimi.home}/mcp.json")
    assert servers(kimi) == {"s": entry}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
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
    ],
)
def test_what_cannot_be_added(kimi: Program, arguments: str, told: str) -> None:
    said = mcp(kimi, "add", *arguments.split("|"), code=2)
    assert told in said
    assert "\x1b" not in said
    assert not (kimi.home / "mcp.json").exists()


def test_the_files_of_the_scopes(kimi: Program) -> None:
    mcp(kimi, "add", "a", "https://user")
    mcp(kimi, "add", "-s", "project", "a", "https://project")
    assert "mcp-local.json" in mcp(kimi, "add-json", "a", '{"type": "http", "url": "https://local"}', "-s", "local")
    assert servers(kimi, "work/.mcp.json") == {"a": {"url": "https://project", "transport": "http"}}
    assert listed(kimi)["a"]["definition"]["url"] == "https://local"
    assert "(local) holds in this folder" in mcp(kimi, "add", "a", "https://user2")
    assert "replaced a" in mcp(kimi, "add", "a", "https://user3")
    told = mcp(kimi, "get", "a")
    assert f"from        {kimi.home}/mcp-local.json" in told
    assert f"instead of  {kimi.work}/.mcp.json:3 (project)" in told
    assert "several files (local, project, user)" in mcp(kimi, "remove", "a", code=2)
    mcp(kimi, "remove", "a", "-s", "local")
    assert listed(kimi)["a"]["state"] == "enabled", "what the person adds to a project is approved by that"
    mcp(kimi, "remove", "a", "-s", "project")
    mcp(kimi, "disable", "a")
    assert listed(kimi)["a"]["state"] == "disabled"
    mcp(kimi, "enable", "a")
    mcp(kimi, "remove", "a")
    assert listed(kimi) == {}
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
