"""`kimi plugin ...` in the real program: each form of plugin is installed, used, turned off and removed."""

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from fake_api import FakeAPI
from kimi_program import Program, Terminal
from plugin_files import archive_of, commit, git, manifest, write_plugin

from kimi_agent.core.errors import ConfigError
from kimi_agent.plugins.find import ABOUT, find
from kimi_agent.plugins.source import split_git


@pytest.fixture
def kimi(tmp_path: Path) -> Program:
    return Program(tmp_path)


def rows(kimi: Program) -> dict[str, dict[str, object]]:
    return {row["name"]: row for row in json.loads(kimi.run("plugin", "list", "--json").stdout)}


def states(kimi: Program) -> dict[str, str]:
    """As the program's next start finds them."""
    return {found.name: found.state for found in find(kimi.home, {})}


def greets(kimi: Program, *flags: str) -> subprocess.CompletedProcess[str]:
    call = [{"call": {"name": "greet", "arguments": {"name": "Ann"}}}]
    scenario = kimi.scenario(call, [{"expect": "Hello, Ann!"}, {"text": "Greeted."}])
    return kimi.run("-p", "greet Ann", "--provider", scenario, *flags)


@contextmanager
def served(data: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hello.zip"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("form", ["folder", "zip", "zip with a folder", "zip at an address", "git", "git folder"])
def test_every_form_from_install_to_remove(kimi: Program, tmp_path: Path, form: str) -> None:
    source, wanted = write_plugin(tmp_path / "src" / "hello"), ""
    with served(archive_of(source, tmp_path / "a.zip").read_bytes()) as url:
        match form:
            case "folder":
                address = str(source)
            case "zip":
                address = str(archive_of(source, tmp_path / "hello.zip"))
            case "zip with a folder":
                address = str(archive_of(source, tmp_path / "hello.zip", "hello-main/"))
            case "zip at an address":
                address = url
            case "git":
                wanted = commit(source)
                address = f"file://{source}"
            case _:
                wanted = commit(tmp_path / "src")
                address = f"file://{tmp_path}/src#hello"
        done = kimi.run("plugin", "install", address, "--yes")
    assert (done.returncode, done.stdout) == (0, "installed hello 1.0.0\n"), done.stderr
    assert "tool greet, which runs: python3 scripts/greet.py" in done.stderr
    row = rows(kimi)["hello"]
    assert (row["state"], row["origin"], row["commit"]) == ("on", "installed", wanted)
    assert f"sha256:{row['hash']}" in done.stderr
    assert greets(kimi, "--yolo").stdout == "Greeted.\n"
    assert not [path for path in (kimi.home / "plugins").rglob("*") if path.name in (".git", "__pycache__")]

    assert kimi.run("plugin", "disable", "hello").stdout == "hello is off\n"
    assert states(kimi)["hello"] == "off"
    assert form != "folder" or "There is no tool 'greet'" in greets(kimi, "--yolo").stderr
    assert kimi.run("plugin", "remove", "hello").stdout == "removed hello\n"
    assert "hello" not in states(kimi)
    assert not (kimi.home / "plugins" / "hello").exists()


def test_a_call_is_asked_for_like_any_command(kimi: Program, tmp_path: Path) -> None:
    kimi.run("plugin", "install", str(write_plugin(tmp_path / "hello")), "--yes")
    call = [{"call": {"name": "greet", "arguments": {"name": "Ann"}}}]
    scenario = kimi.scenario(call, [{"text": "Not done."}])
    done = kimi.run("-p", "greet", "--provider", scenario, "--output-format", "json")
    result = json.loads(done.stdout)
    assert done.returncode == 3
    assert 'python3 scripts/greet.py <<< \'{"name": "Ann"}\'' in json.dumps(
        result["denied"], ensure_ascii=False
    ).replace('\\"', '"')


def test_the_result_is_what_kimi_cli_gave(kimi: Program, tmp_path: Path) -> None:
    """Standard output alone, run in the plugin's folder; a failure is told with standard error."""
    kimi.run("plugin", "install", str(write_plugin(tmp_path / "hello")), "--yes")
    folder = kimi.home / "plugins" / "hello"
    calls = [
        [{"call": {"name": "greet", "arguments": arguments}}] for arguments in ({"name": "Ann"}, {"name": "nobody"}, {})
    ]
    scenario = kimi.scenario(*calls, [{"text": "Done."}])
    done = kimi.run("-p", "x", "--provider", scenario, "--yolo", "--output-format", "stream-json")
    added = [
        event["message"] for event in map(json.loads, done.stdout.splitlines()) if event["type"] == "message_added"
    ]
    texts = [json.dumps(message, ensure_ascii=False) for message in added if message["role"] == "tool"]
    assert f'"cwd": "{folder}", "work": "{kimi.work}"' in texts[0].replace("\\", "")
    assert "a remark" not in texts[0]
    assert "there is nobody to greet" in texts[1]
    assert "exit code 1" in texts[1]
    assert "'name' is a required property" in texts[2]


def test_nothing_is_installed_where_nobody_can_be_asked(kimi: Program, tmp_path: Path) -> None:
    done = kimi.run("plugin", "install", str(write_plugin(tmp_path / "hello")))
    assert done.returncode == 2
    assert "content  sha256:" in done.stderr
    assert "--yes" in done.stderr
    assert not (kimi.home / "plugins").exists()


def test_a_person_is_asked(kimi: Program, tmp_path: Path) -> None:
    source = write_plugin(tmp_path / "hello")
    for answer, code in (("n", 1), ("y", 0)):
        terminal = Terminal(kimi, "plugin", "install", str(source))
        shown = terminal.expect("Install and trust hello?")
        assert "python3 scripts/greet.py" in shown
        terminal.type(f"{answer}\r")
        assert terminal.wait() == code
        assert (kimi.home / "plugins" / "hello").exists() is (code == 0)


def test_an_update_shows_what_changed(kimi: Program, tmp_path: Path) -> None:
    source = write_plugin(tmp_path / "src")
    write_plugin(source, manifest("hello"))
    first = commit(source)
    address = f"file://{source}"
    assert kimi.run("plugin", "install", address, "--yes").returncode == 0
    before = rows(kimi)["hello"]
    assert "as it is installed" in kimi.run("plugin", "install", address, "--yes").stderr
    write_plugin(source, manifest("hello", version="2.0.0"))
    second = commit(source)
    updated = kimi.run("plugin", "install", address, "--yes")
    assert f"was sha256:{before['hash']} (1.0.0)" in updated.stderr
    after = rows(kimi)["hello"]
    assert (after["version"], after["commit"]) == ("2.0.0", second)
    git(source, "tag", "old", first)
    assert kimi.run("plugin", "install", f"{address}@old", "--yes").returncode == 0
    pinned = rows(kimi)["hello"]
    assert (pinned["version"], pinned["commit"], pinned["hash"]) == ("1.0.0", first, before["hash"])


def test_git_runs_nothing_of_the_repository(kimi: Program, tmp_path: Path) -> None:
    """Not its hooks, not a filter, not a submodule, not what the person's settings would run on its files."""
    source = write_plugin(tmp_path / "hello", **{".gitattributes": "*.py filter=evil\n"})
    commit(source)
    ran = tmp_path / "ran"
    hook = source / ".git" / "hooks" / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {ran}\n")
    hook.chmod(0o755)
    settings = (
        f'[filter "evil"]\nsmudge = touch {ran}; cat\n[core]\nfsmonitor = touch {ran}\nhooksPath = {hook.parent}\n'
    )
    (tmp_path / ".gitconfig").write_text(settings)
    assert kimi.run("plugin", "install", f"file://{source}", "--yes").returncode == 0
    assert not ran.exists()
    refused = kimi.run("plugin", "install", f"git+ext::sh -c touch% {ran}", "--yes")
    assert refused.returncode == 2
    assert not ran.exists()
    missing = kimi.run("plugin", "install", f"file://{tmp_path}/nowhere", "--yes")
    assert missing.returncode == 2
    assert "git fetch failed" in missing.stderr


def test_several_plugins_in_one_repository_are_named(kimi: Program, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_plugin(tmp_path / "many" / name)
    done = kimi.run("plugin", "install", str(tmp_path / "many"), "--yes")
    assert done.returncode == 2
    assert "it holds several plugins: one, two" in done.stderr


def test_trust_is_given_to_what_kimi_cli_left(kimi: Program) -> None:
    folder = write_plugin(kimi.home / "plugins" / "hello")
    asked = kimi.run("plugin", "enable", "hello")
    assert asked.returncode == 2
    assert "python3 scripts/greet.py" in asked.stderr
    assert states(kimi)["hello"] == "new"
    assert kimi.run("plugin", "enable", "hello", "--yes").stdout == "hello is on\n"
    assert greets(kimi, "--yolo").stdout == "Greeted.\n"
    (folder / "scripts" / "greet.py").write_text("print('other')")
    assert states(kimi)["hello"] == "changed"
    info = kimi.run("plugin", "info", "hello")
    assert "was sha256:" in info.stdout
    assert kimi.run("plugin", "enable", "hello", "--yes").returncode == 0
    assert states(kimi)["hello"] == "on"
    assert kimi.run("plugin", "path", "hello").stdout.strip() == str(folder)


KEYED = {"config_file": "config.json", "inject": {"llm.api_key": "api_key", "llm.endpoint": "base_url"}}


@pytest.mark.parametrize("flags", [["--yes"], ["--yes", "--allow-key"]], ids=" ".join)
def test_a_key_is_given_only_when_it_is_allowed(kimi: Program, tmp_path: Path, flags: list[str]) -> None:
    kimi.use("http://127.0.0.1:9/v1", key="sk-precious")
    show = 'import json, os, sys\nprint(os.environ.get("llm.api_key"), open("config.json").read())\n'
    template = '{"llm": {"api_key": ""}, "other": 1}'
    source = write_plugin(tmp_path / "hello", manifest(**KEYED), **{"scripts__greet.py": show, "config.json": template})
    done = kimi.run("plugin", "install", str(source), *flags)
    assert "WANTS YOUR api_key, base_url, to be written to config.json" in done.stderr
    config = kimi.home / "plugins" / "hello" / "config.json"
    assert states(kimi)["hello"] == "on"
    assert "sk-precious" not in done.stdout + done.stderr
    if "--allow-key" in flags:
        assert "GETS YOUR api_key" in done.stderr
        given = {"api_key": "sk-precious", "endpoint": "http://127.0.0.1:9/v1"}
        assert json.loads(config.read_text()) == {"llm": given, "other": 1}
        assert config.stat().st_mode & 0o077 == 0
    else:
        assert "installed without your api_key, base_url" in done.stderr
        assert config.read_text() == template
    assert "sk-precious" not in (source / "config.json").read_text()


def test_a_key_is_a_variable_of_its_tools_where_it_has_the_name_of_one(kimi: Program, tmp_path: Path) -> None:
    kimi.use("http://127.0.0.1:9/v1", key="sk-precious")
    show = 'import os\nprint(sorted(name for name, value in os.environ.items() if value == "sk-precious"))\n'
    asks = {"config_file": "config.json", "inject": {"llm.api_key": "api_key", "MY_KEY": "api_key"}}
    source = write_plugin(tmp_path / "hello", manifest(**asks), **{"scripts__greet.py": show})
    assert kimi.run("plugin", "install", str(source), "--yes", "--allow-key").returncode == 0
    call = [{"call": {"name": "greet", "arguments": {"name": "Ann"}}}]
    scenario = kimi.scenario(call, [{"expect": "['MY_KEY']"}, {"text": "Greeted."}])
    done = kimi.run("-p", "x", "--provider", scenario, "--yolo")
    assert done.stdout == "Greeted.\n", done.stderr
    config = json.loads((kimi.home / "plugins" / "hello" / "config.json").read_text())
    assert config == {"llm": {"api_key": "sk-precious"}, "MY_KEY": "sk-precious"}


def test_the_command_lists_plugins_in_a_session(kimi: Program, tmp_path: Path) -> None:
    write_plugin(kimi.home / "plugins" / "left")
    kimi.use("http://127.0.0.1:9/v1")
    terminal = Terminal(kimi, "--line")
    terminal.expect("/help lists the commands")
    terminal.expect("> ")
    terminal.type("/plugins\r")
    terminal.expect("not trusted")
    terminal.type("/exit\r")
    assert terminal.wait() == 0


def test_a_kill_while_it_is_fetched_leaves_nothing(kimi: Program, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/hello.zip"
        child = subprocess.Popen(
            [sys.executable, "-m", "kimi_agent", "plugin", "install", address, "--yes"],
            env=kimi.environment(),
            cwd=kimi.work,
        )
        connection, _ = server.accept()
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\nPK\x03\x04")
        child.kill()
        child.wait()
        connection.close()
    assert not (kimi.home / "plugins").exists()
    assert "hello" not in states(kimi)


KILLED = """
import os, signal, sys
from pathlib import Path
from kimi_agent.plugins.install import examine, install
from kimi_agent.plugins.source import fetch
home, source, scratch, event, number = sys.argv[1:]
candidate, left = examine(fetch(source, Path(scratch))), int(number)

def audit(name, args):
    global left
    if name == event and str(args[0]).startswith(home):
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

sys.addaudithook(audit)
install(Path(home), candidate)
"""


@pytest.mark.parametrize("event", ["open", "os.rename"])
def test_a_kill_at_any_step_leaves_no_half_plugin(kimi: Program, tmp_path: Path, event: str) -> None:
    """Killed before the n-th file is opened or renamed: then there is the old plugin, the new one, or one that is left out."""
    old, new = write_plugin(tmp_path / "1" / "hello"), write_plugin(tmp_path / "2" / "hello", manifest(version="2.0.0"))
    assert kimi.run("plugin", "install", str(old), "--yes").returncode == 0
    for number in range(100):
        arguments = [str(kimi.home), str(new), str(tmp_path / f"scratch{number}"), event, str(number)]
        done = subprocess.run([sys.executable, "-c", KILLED, *arguments], env=kimi.environment(), check=False)
        row = states(kimi)
        folder = kimi.home / "plugins" / "hello"
        if row.get("hello") == "on":
            assert (folder / "scripts" / "greet.py").read_text() == (old / "scripts" / "greet.py").read_text()
            assert (folder / "plugin.json").read_bytes() in (
                (old / "plugin.json").read_bytes(),
                (new / "plugin.json").read_bytes(),
            )
        else:
            assert row.get("hello") in ("changed", "broken")
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
    assert number > 1
    assert row["hello"] == "on"
    assert json.loads((folder / "plugin.json").read_text())["version"] == "2.0.0"
    assert sorted(path.name for path in (kimi.home / "plugins").iterdir()) == [".lock", "hello", "installed.json"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("https://github.com/u/r.git", ("https://github.com/u/r.git", "", "")),
        ("https://github.com/u/r", ("https://github.com/u/r", "", "")),
        ("https://github.com/u/r.git@v1.2", ("https://github.com/u/r.git", "v1.2", "")),
        ("https://github.com/u/r@v1", ("https://github.com/u/r", "v1", "")),
        ("https://github.com/u/r.git@feature/x#a/b", ("https://github.com/u/r.git", "feature/x", "a/b")),
        ("git@github.com:u/r.git@main", ("git@github.com:u/r.git", "main", "")),
        ("git@github.com:u/r.git#sub", ("git@github.com:u/r.git", "", "sub")),
        ("https://github.com/u/r.git/plugins/mine", ("https://github.com/u/r.git", "", "plugins/mine")),
        ("https://github.com/u/r/tree/dev/plugins/mine", ("https://github.com/u/r", "dev", "plugins/mine")),
        ("https://gitlab.com/u/r/-/tree/dev/x", ("https://gitlab.com/u/r", "dev", "x")),
        ("git+ssh://git@host/r.git@abc", ("ssh://git@host/r.git", "abc", "")),
        ("https://github.com/u/r/releases/tag/v1.2", ("https://github.com/u/r", "v1.2", "")),
        ("https://github.com/u/r/commit/0a1b2c3", ("https://github.com/u/r", "0a1b2c3", "")),
    ],
)
def test_addresses_of_repositories(source: str, expected: tuple[str, str, str]) -> None:
    assert split_git(source) == expected


@pytest.mark.parametrize(
    "source", ["https://h/u/r.git@--upload-pack=x", "https://h/u/r.git@a b", "http://example.com/r.git"]
)
def test_addresses_that_are_refused(source: str) -> None:
    with pytest.raises(ConfigError):
        split_git(source)


def test_a_bundle_adds_skills_commands_and_hooks(kimi: Program, tmp_path: Path) -> None:
    """As kimi-code lays them out; the hook runs in the plugin's folder, which it cannot change, and is told where that is."""
    check = 'cat >/dev/null; touch told 2>/dev/null; test "$PWD" = "$KIMI_PLUGIN_ROOT" && echo "no shells today" >&2; exit 2\n'
    hooks = [{"event": "PreToolUse", "matcher": "^Bash$", "command": "sh ./check.sh"}]
    source = write_plugin(
        tmp_path / "bundle",
        {"name": "bundle", "version": "1.0.0", "hooks": hooks},
        **{
            "skills__rates__SKILL.md": "---\nname: rates\ndescription: how to read rates\n---\nRead the newest first.\n",
            "commands__report.md": "Report on $ARGUMENTS.\n",
            "SKILL.md": "---\ndescription: how we count\n---\nCount twice.\n",
            "check.sh": check,
        },
    )
    done = kimi.run("plugin", "install", str(source), "--yes")
    assert "hook at PreToolUse ^(?:Bash|Shell)$, which runs in its folder: sh ./check.sh\n" in done.stderr
    assert "skills: SKILL\n  skills: rates\n" in done.stderr
    calls = [
        {"call": {"name": "Shell", "arguments": {"command": "touch ran"}}},
        {"call": {"name": "Skill", "arguments": {"name": "bundle"}}},
        {"call": {"name": "Skill", "arguments": {"name": "rates"}}},
    ]
    scenario = kimi.scenario(
        [{"expect": "Report on March."}, *calls], [{"expect": "Read the newest"}, {"text": "Done."}]
    )
    done = kimi.run("-p", "/bundle:report March", "--provider", scenario, "--yolo", "--output-format", "stream-json")
    assert "Blocked by a hook of the user: no shells today" in done.stdout, done.stdout + done.stderr
    assert "Count twice." in done.stdout
    assert "Hook PreToolUse `sh ./check.sh` objected" in done.stdout
    assert not (kimi.work / "ran").exists()
    assert not (kimi.home / "plugins" / "bundle" / "told").exists()  # no child of ours writes into kimi's own home


def test_a_tool_with_the_name_of_one_of_ours_is_told_before_it_is_installed(kimi: Program, tmp_path: Path) -> None:
    """Also for tools that only a session makes: the model must not be offered two of one name."""
    for tool in ("Shell", "Agent"):
        source = write_plugin(tmp_path / tool.lower(), manifest(tool.lower(), tool))
        told = f"its tool {tool} is left out: there is one of that name already."
        assert f"left out: {told}\n" in kimi.run("plugin", "install", str(source), "--yes").stderr
        assert f"left out: {told}\n" in kimi.run("plugin", "info", tool.lower()).stdout
        assert rows(kimi)[tool.lower()]["problems"] == [told]
    with FakeAPI([[{"text": "Done."}]]) as api:
        kimi.use(api.url)
        assert kimi.run("-p", "x").stdout == "Done.\n"
        names = [tool["function"]["name"] for tool in api.requests[0].json["tools"]]
    assert len(names) == len(set(names))


def test_commands_are_shown_as_they_are_written(kimi: Program, tmp_path: Path) -> None:
    """Not with the folder that they lie in only while they are looked at."""
    write_plugin(
        tmp_path / "bundle",
        {
            "name": "bundle",
            "hooks": [{"event": "Stop", "command": "sh ./a.sh"}],
            "mcpServers": {"s": {"command": "./serve", "args": ["--at", "${KIMI_PLUGIN_ROOT}/x"], "cwd": "./"}},
        },
        serve="",
    )
    told = kimi.run("plugin", "install", str(tmp_path / "bundle"), "--yes").stderr
    assert "  hook at Stop, which runs in its folder: sh ./a.sh\n" in told
    root = "${KIMI_PLUGIN_ROOT}"
    assert f'  MCP server s: {root}/serve --at {root}/x cwd="{root}"\n' in told
    assert "kimi-plugin-" not in told
    listed = kimi.run("mcp", "list").stdout
    assert listed.startswith("s  plugin   stdio  enabled")
    assert "/serve --at " in listed


def test_plugins_that_are_off_are_described_without_loading_them(kimi: Program, tmp_path: Path) -> None:
    kimi.run("plugin", "install", str(write_plugin(tmp_path / "hello")), "--yes")
    names = {*ABOUT, "hello"}
    on = {}
    for name in names:
        kimi.run("plugin", "enable", name)
    on = rows(kimi)
    for name in names:
        kimi.run("plugin", "disable", name)
    off = rows(kimi)
    assert {off[name]["state"] for name in names} == {"off"}
    assert {name: off[name]["description"] for name in names} == {name: on[name]["description"] for name in names}
    assert all(off[name]["description"] for name in names)


def test_a_password_in_an_address_is_not_recorded(kimi: Program, tmp_path: Path) -> None:
    source = write_plugin(tmp_path / "src" / "hello")
    with served(archive_of(source, tmp_path / "a.zip").read_bytes()) as url:
        done = kimi.run("plugin", "install", url.replace("://", "://me:secret-word@"), "--yes")
    assert done.returncode == 0
    assert "secret-word" not in done.stderr
    assert rows(kimi)["hello"]["source"] == url
