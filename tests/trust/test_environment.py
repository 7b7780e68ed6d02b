"""Every process gets the environment that it is meant to get, and nothing else of ours (T59)."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from boxes import offered
from kimi_program import Program

from kimi_agent.core.environment import child_environment, persons_environment
from kimi_agent.frontends.common.editor import edit
from kimi_agent.frontends.common.shell_kinds import prepare
from kimi_agent.workspaces.sandbox.box import ALONE

KIMI = str(Path(sys.executable).with_name("kimi"))
STRACE = shutil.which("strace")
KEPT = {
    "LC_TIME": "C", "TZ": "UTC", "COLORTERM": "truecolor", "USER": "me", "LOGNAME": "me", "SHELL": "/bin/sh", "CI": "1",
    "VIRTUAL_ENV": "/venv", "CONDA_PREFIX": "/conda", "CARGO_HOME": "/cargo", "GOPATH": "/go", "NODE_ENV": "test",
    "XDG_CACHE_HOME": "/cache", "SSL_CERT_FILE": "/certs", "no_proxy": "localhost",
}  # fmt: skip
PASSED = {"OWN_ONE": "1", "OWN_TOKEN": "ghp_0123456789012345678901234567", "NPM_TOKEN": "passed-by-name"}
DROPPED = {
    "KIMI_API_KEY": "sk-kimi-0123456789abcdef", "OPENAI_API_KEY": "sk-0123456789abcdef", "AWS_SECRET_ACCESS_KEY": "secretsecret",
    "GH_PAT": "x", "LD_BIND_NOW": "1", "DYLD_LIBRARY_PATH": "/x", "PYTHONSTARTUP": "/x", "BASH_ENV": "/x", "ENV": "/x",
    "BASH_FUNC_cat%%": "() { echo planted; }", "GIT_EXTERNAL_DIFF": "x", "GIT_SSH_COMMAND": "x", "GIT_CONFIG_PARAMETERS": "x",
    "PAGER": "x", "EDITOR": "x", "VISUAL": "x", "NODE_OPTIONS": "--require x", "PERL5OPT": "-x", "RUBYOPT": "-x",
    "JAVA_TOOL_OPTIONS": "-x", "SSH_AUTH_SOCK": "/run/agent", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/x",
    "XDG_RUNTIME_DIR": "/run/user/1", "WHATEVER": "1", "RIPGREP_CONFIG_PATH": "/x",
    "LC_NAME": "AKIAIOSFODNN7EXAMPLE", "PIP_INDEX_URL": "https://me:pass@example.com/simple", "NODE_ENV_COPY": "secretsecret",
}  # fmt: skip
OF_THE_BOX = {"TMPDIR", "GOCACHE", "npm_config_cache", "UV_CACHE_DIR", "YARN_CACHE_FOLDER", "KIMI_RUN", *ALONE}
OF_SHELL = {
    "PAGER", "GIT_PAGER", "MANPAGER", "SYSTEMD_PAGER", "EDITOR", "VISUAL", "GIT_EDITOR", "GIT_TERMINAL_PROMPT", "GIT_ASKPASS",
    "GCM_INTERACTIVE", "SSH_ASKPASS_REQUIRE", "SUDO_ASKPASS", "DEBIAN_FRONTEND", "PIP_NO_INPUT", "BASH_ENV", "_KIMI_CWD",
    "_KIMI_NO_EDITOR",
}  # fmt: skip
OF_SNAPSHOTS = {
    "PATH", "HOME", "LC_ALL", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_GLOBAL", "GIT_ATTR_NOSYSTEM", "GIT_LITERAL_PATHSPECS", "GIT_NO_REPLACE_OBJECTS", "GIT_TERMINAL_PROMPT",
}  # fmt: skip


def test_the_list_and_what_is_passed_by_name() -> None:
    env = (
        KEPT
        | PASSED
        | DROPPED
        | {"KIMI_PASS_ENV": "NPM_TOKEN", "HTTPS_PROXY": "http://me:pass@proxy:8080", "PATH": "/sk-" + "x" * 30}
    )
    kept = child_environment({"ADDED": "yes"}, ["OWN_*"], env)
    assert kept == KEPT | PASSED | {"ADDED": "yes", "HTTPS_PROXY": "http://proxy:8080", "PATH": "/sk-" + "x" * 30}


def test_the_persons_own_programs_get_theirs_without_our_keys() -> None:
    env = KEPT | DROPPED
    assert persons_environment(env) == {name: value for name, value in env.items() if name != "KIMI_API_KEY"}


def test_the_editor_and_the_shell_of_the_person_are_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIMI_API_KEY", "sk-kimi-0123456789abcdef")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    seen = asyncio.run(edit(["sh", "-c", 'env >"$0"'], "")) or ""
    assert "SSH_AUTH_SOCK=/run/agent" in seen.splitlines()
    assert "sk-kimi" not in seen
    start = prepare("/bin/sh", tmp_path, "nonce", os.environ)
    assert start.env["SSH_AUTH_SOCK"] == "/run/agent"
    assert "KIMI_API_KEY" not in start.env


def runs(folder: Path) -> list[tuple[str, set[str]]]:
    """What was run, and the names of its variables but for those that every shell makes.

    A trace for each thread: in one for all, calls of two threads break each other's lines in two.
    """
    found = []
    for line in (line for trace in folder.glob("calls.*") for line in trace.read_text(errors="replace").splitlines()):
        if match := re.search(r'execve\("([^"]*)", \[(.*?)\], \[(.*)\]\) += 0', line):
            names = set(re.findall(r'"([^"=\\]*)=(?:[^"\\]|\\.)*"', match[3]))
            found.append((f"{match[1]} {match[2]}", names - {"PWD", "OLDPWD", "SHLVL", "_"}))
    return found


@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
def test_of_each_process_all_variables_are_known(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    (kimi.work / "page.txt").write_text("needle\n")
    kimi.write_config('[box]\nenv = ["OWN_*"]\n[[hooks]]\nevent = "SessionStart"\ncommand = "true hook"\n')
    shell = {"call": {"name": "Shell", "arguments": {"command": "/bin/echo shell > made"}}}
    grep = {"call": {"name": "Grep", "arguments": {"pattern": "needle"}}}
    scenario = kimi.scenario([shell], [grep], [{"text": "Done."}])
    env = kimi.environment(**KEPT, **PASSED, **DROPPED, KIMI_PASS_ENV="NPM_TOKEN")
    command = [
        STRACE or "",
        "-ff",
        "-v",
        "-s",
        "4000",
        "-qq",
        "-e",
        "trace=execve",
        "-o",
        str(tmp_path / "calls"),
        KIMI,
    ]
    command += ["-p", "hi", "--yolo", "--i-accept-no-sandbox", "--provider", scenario]
    done = subprocess.run(command, capture_output=True, text=True, cwd=kimi.work, env=env, timeout=60)
    assert done.stdout == "Done.\n", done.stderr
    base = env.keys() & {*KEPT, *PASSED, *["PATH", "LANG", "LC_ALL", "HOME", "TERM", "TMPDIR"]}
    base |= OF_THE_BOX if offered() else {"KIMI_RUN"}
    known = {
        r".*sandbox.zygote import main": {"PATH"},
        r"\S+ \S*(python|bwrap|env)\S*\", .*(-I|bwrap).*": {"PATH"},
        r'.*"sh", "-c", "read line"': {"PATH", "KIMI_CANARY"},
        r".*trap '' HUP|\S*/grep ": {"PATH"},
        r'.*bash", "-c"': base | OF_SHELL,
        r'/bin/echo "/bin/echo", "shell"': (base | OF_SHELL) - {"BASH_ENV", "_KIMI_CWD", "_KIMI_NO_EDITOR"},
        r".*true hook": base,
        r"\S*/rg |.*kimi_agent.tools.pyrg": base,
        r"\S*/git ": OF_SNAPSHOTS,
    }
    seen = set()
    for run, names in runs(tmp_path):
        if run.startswith(f"{KIMI} "):
            continue
        kind = next((kind for kind in known if re.match(kind, run)), run)
        assert names == known.get(kind), run
        seen.add(kind)
    assert {r'.*bash", "-c"', r".*true hook", r"\S*/rg |.*kimi_agent.tools.pyrg"} <= seen
