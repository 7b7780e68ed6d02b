"""`kimi mcp auth` and `kimi mcp reset-auth` as a person runs them."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import oauth_pair
import pytest
from kimi_program import Program, Terminal
from oauth_pair import AuthorizationServer, ResourceServer, answer_of, visit


@pytest.fixture
def fake() -> Iterator[ResourceServer]:
    with AuthorizationServer() as guard, ResourceServer(guard=guard) as server:
        yield server


@pytest.fixture
def kimi(tmp_path: Path, fake: ResourceServer) -> Program:
    program = Program(tmp_path)
    (program.work / ".git").mkdir()
    program.home.mkdir()
    (program.home / "mcp.json").write_text(json.dumps({"mcpServers": {"fake": {"url": fake.url}}}))
    return program


def files(kimi: Program) -> list[Path]:
    return list((kimi.home / "mcp-oauth").glob("*.json"))


def test_the_address_is_printed_at_once_and_the_browser_comes_back(kimi: Program, fake: ResourceServer) -> None:
    command = [sys.executable, "-m", "kimi_agent", "mcp", "auth", "fake", "--no-browser"]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=kimi.work,
        env=kimi.environment(DISPLAY=":0"),
    ) as process:  # fmt: skip
        assert process.stderr is not None
        assert process.stdout is not None
        assert process.stderr.readline().startswith("To sign in to fake, open this address at 127.0.0.1")
        status, page = visit(answer_of(process.stderr.readline().strip()))
        assert (status, "Back to your terminal" in page) == (200, True)
        assert process.stdout.read() == "Signed in to fake.\n"
        assert process.wait(60) == 0
    assert len(files(kimi)) == 1
    done = kimi.run("mcp", "reset-auth", "fake")
    assert (done.returncode, done.stdout) == (0, "The sign-in to fake is forgotten.\n")
    assert files(kimi) == []
    assert kimi.run("mcp", "logout", "fake").stdout == "Nobody was signed in to fake.\n"


def test_the_browser_is_started_without_a_shell(kimi: Program, fake: ResourceServer) -> None:
    program = kimi.folder / "bin/xdg-open"
    program.parent.mkdir()
    code = "import oauth_pair, sys; oauth_pair.visit(oauth_pair.answer_of(sys.argv[1]))"
    tests = Path(oauth_pair.__file__).parent
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(tests))} exec {sys.executable} -c {shlex.quote(code)} "$1"\n'
    )
    program.chmod(0o700)
    env = {"DISPLAY": ":0", "PATH": f"{program.parent}:/usr/bin:/bin"}
    done = kimi.run("mcp", "login", "fake", **env)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Signed in to fake.\n"
    assert f"{fake.guard.issuer}/authorize?" in done.stderr


def test_an_address_can_be_pasted_where_there_is_no_browser(kimi: Program, fake: ResourceServer) -> None:
    terminal = Terminal(kimi, "mcp", "auth", "fake", DISPLAY=":0", SSH_CONNECTION="1 2 3 4")
    terminal.expect("\x1b]8;;")
    url = terminal.expect("\x1b\\").removesuffix("\x1b\\")
    terminal.expect("Paste here the address")
    terminal.type("http://127.0.0.1/callback?code=1&state=wrong\n")
    terminal.expect("its `state` is not ours")
    terminal.type(answer_of(url) + "\n")
    terminal.expect("Signed in to fake.")
    assert terminal.wait() == 0
    assert len(files(kimi)) == 1


def test_what_it_is_not_done_for(kimi: Program, fake: ResourceServer) -> None:
    (kimi.work / ".mcp.json").write_text(json.dumps({"mcpServers": {"theirs": {"url": fake.url}}}))
    (kimi.home / "mcp.json").write_text(json.dumps({"mcpServers": {"local": {"command": "true"}}}))
    for name, said in (
        ("theirs", "is not approved"),
        ("local", "is a local program"),
        ("nobody", "there is no MCP server"),
    ):
        done = kimi.run("mcp", "auth", name)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert fake.asked == []
