"""`kimi mcp import`: what other programs have, without a change to their files."""

import json
from pathlib import Path
from typing import Any

import pytest
from kimi_program import Program, Terminal


@pytest.fixture
def kimi(tmp_path: Path) -> Program:
    program = Program(tmp_path)
    (program.work / ".git").mkdir()
    program.home.mkdir()
    return program


def put(path: Path, text: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return path


def run(kimi: Program, *arguments: str, code: int = 0, **env: str) -> str:
    done = kimi.run("mcp", "import", *arguments, **env)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def user(kimi: Program) -> dict[str, Any]:
    return dict(json.loads((kimi.home / "mcp.json").read_text())["mcpServers"])


def local(kimi: Program) -> dict[str, Any]:
    projects = json.loads((kimi.home / "mcp-local.json").read_text())["projects"]
    return dict(projects[str(kimi.work)]["mcpServers"])


def test_claude(kimi: Program) -> None:
    entry = {"type": "stdio", "command": "npx", "args": ["x"], "env": {"K": "${V}"}}
    given = {"mcpServers": {"a": entry, "b": {"type": "ws-ide", "url": "ws://h"}}, "other": 1}
    given["projects"] = {
        str(kimi.work): {"mcpServers": {"p": {"type": "http", "url": "https://h"}}},
        "/else": {"mcpServers": {"no": entry}},
    }
    path = put(kimi.folder / ".claude.json", given)
    before = path.read_text()
    shown = run(kimi, "claude", code=2)
    assert "+ a  user  npx x  from" in shown
    assert "- b  from" in shown
    assert "none of stdio, http and sse" in shown
    assert "nobody can be asked" in shown
    assert not (kimi.home / "mcp.json").exists()
    run(kimi, "claude", "--yes")
    assert user(kimi) == {"a": {"command": "npx", "args": ["x"], "env": {"K": "${V}"}}}
    assert local(kimi) == {"p": {"url": "https://h", "transport": "http"}}
    assert path.read_text() == before
    assert "= a  user  npx x" in (again := run(kimi, "claude", "--yes"))
    assert "Nothing to add." in again


def test_cursor_and_vs_code(kimi: Program) -> None:
    put(kimi.folder / ".cursor/mcp.json", {"mcpServers": {"c": {"command": "x", "env": {"K": "${env:V}"}}}})
    put(kimi.work / ".cursor/mcp.json", {"mcpServers": {"cp": {"url": "https://h", "headers": {"A": "b"}}}})
    put(
        kimi.folder / ".config/Code/User/mcp.json",
        '{ // JSON with comments\n"inputs": [{"id": "gh-token", "type": "promptString",},],\n"servers": {"v": {"type": "http", '
        '"url": "https://v//x", "headers": {"Authorization": "Bearer ${input:gh-token}"},},},}',
    )
    put(
        kimi.work / ".vscode/mcp.json",
        {"servers": {"vp": {"command": "x", "args": ["${workspaceFolder}/a"], "envFile": ".env"}}},
    )
    shown = run(kimi, "--yes", XDG_CONFIG_HOME="")
    assert user(kimi) == {
        "c": {"command": "x", "env": {"K": "${env:V}"}},
        "v": {"url": "https://v//x", "transport": "http", "headers": {"Authorization": "Bearer ${GH_TOKEN}"}},
    }
    assert local(kimi) == {
        "cp": {"url": "https://h", "transport": "http", "headers": {"A": "b"}},
        "vp": {"command": "x", "args": [f"{kimi.work}/a"]},
    }
    assert "asks for a value: set the variable GH_TOKEN" in shown
    assert "its envFile is not read" in shown


def test_codex_and_both_kimis(kimi: Program) -> None:
    put(
        kimi.folder / ".codex/config.toml",
        'model = "m"\n[mcp_servers.docs]\ncommand = "npx"\nargs = ["d"]\nenv = { K = "v" }\nenv_vars = ["P"]\n'
        'startup_timeout_sec = 20\ntool_timeout_sec = 1.5\nenabled_tools = ["t"]\n'
        '[mcp_servers.figma]\nurl = "https://f"\nbearer_token_env_var = "T"\n'
        'http_headers = { R = "eu" }\nenv_http_headers = { O = "OTHER" }\n[mcp_servers.odd]\ncommand = 3\n',
    )
    put(
        kimi.folder / ".kimi/mcp.json",
        {"mcpServers": {"k": {"url": "https://k", "transport": "http", "auth": "oauth"}}},
    )
    put(
        kimi.folder / ".kimi-code/mcp.json",
        {"mcpServers": {"k": {"command": "x"}, "kc": {"command": "x", "startupTimeoutMs": 9}}},
    )
    shown = run(kimi, "--yes")
    assert user(kimi) == {
        "docs": {"command": "npx", "args": ["d"], "env": {"K": "v"}, "passEnv": ["P"], "startupTimeoutMs": 20000,
                 "toolTimeoutMs": 1500, "enabledTools": ["t"]},
        "figma": {"url": "https://f", "transport": "http", "headers": {"R": "eu", "O": "${OTHER}"}, "bearerTokenEnvVar": "T"},
        "k": {"url": "https://k", "transport": "http", "auth": "oauth"},
        "kc": {"command": "x", "startupTimeoutMs": 9},
    }  # fmt: skip
    assert '"command" must be text' in shown
    assert "another program's one of that name is taken" in shown


def test_one_that_differs_is_kept_unless_forced(kimi: Program) -> None:
    put(kimi.home / "mcp.json", {"mcpServers": {"a": {"command": "mine"}}})
    file = put(kimi.folder / "theirs.json", {"mcpServers": {"a": {"command": "theirs"}, "b": {"command": "x"}}})
    assert "another server of that name: --force replaces it" in run(kimi, str(file), "--yes")
    assert {name: entry["command"] for name, entry in user(kimi).items()} == {"a": "mine", "b": "x"}
    run(kimi, str(file), "--yes", "--force")
    assert user(kimi)["a"] == {"command": "theirs"}


def test_it_asks(kimi: Program) -> None:
    file = put(kimi.folder / "theirs.json", {"mcpServers": {"a": {"command": "x"}}})
    terminal = Terminal(kimi, "mcp", "import", str(file), "--scope", "local")
    terminal.expect("Add this server? [y/N]:")
    terminal.type("y\n")
    assert terminal.wait() == 0
    assert local(kimi) == {"a": {"command": "x"}}


def test_what_cannot_be_read_is_told(kimi: Program) -> None:
    put(kimi.folder / ".cursor/mcp.json", "{")
    put(kimi.folder / ".codex/config.toml", "x")
    put(kimi.folder / ".claude.json", "[")
    put(kimi.folder / ".kimi-code/mcp.json", {"mcpServers": {"kc": {"command": "x"}, "a\u001b[31m": {"command": "x"}}})
    shown = run(kimi, "--yes")
    for name in (
        ".cursor/mcp.json:1: not valid JSON",
        ".codex/config.toml: not valid TOML",
        ".claude.json:1: not valid JSON",
    ):
        assert name in shown
    assert "\x1b" not in shown
    assert set(user(kimi)) == {"kc"}
    assert "not valid JSON" in run(kimi, str(kimi.folder / ".cursor/mcp.json"), code=2)
    assert "Or one of: claude" in run(kimi, "clod", code=2)
