"""Keys that kimi knows reach no log, no screen, no file and no request, in any form (T57, T58)."""

import base64
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fake_api import FakeAPI
from kimi_program import Program
from plugin_files import python_plugin

KEY, TOKEN = "sk-canary+1/2=3456789", "ghp_canary-0987654321"
FORMS = [
    form.encode()
    for key in (KEY, TOKEN)
    for form in (key, quote(key, safe=""), key.encode().hex(), base64.b64encode(key.encode()).decode().rstrip("=")[:-1])
]
LEAK = (
    f"echo '{TOKEN}'; echo 'key={KEY}' | base64 -w0; echo; echo 'https://x.invalid/?k={quote(KEY, safe='')}';"
    f" printf %s '{KEY}' | od -An -tx1 | tr -d ' \\n'; cat key.txt"
)


def shell(command: str, **more: Any) -> dict[str, Any]:
    return {"call": {"name": "Shell", "arguments": {"command": command} | more}}


def leaks(data: bytes) -> list[bytes]:
    return [form for form in FORMS if form in data]


def test_a_key_that_a_command_prints_is_kept_and_sent_nowhere(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    (kimi.work / "key.txt").write_text(KEY)
    (kimi.work / "AGENTS.md").write_text(f"The key is {KEY}.")
    read = {"call": {"name": "ReadFile", "arguments": {"path": "key.txt"}}}
    sub = {"call": {"name": "Agent", "arguments": {"description": "look", "prompt": "Look at key.txt"}}}
    behind = shell("sh flood.sh", run_in_background=True)
    flood = f"for i in $(seq 2000); do echo '{TOKEN}{KEY}'; printf %s '{KEY}'; done; echo the end"
    (kimi.work / "flood.sh").write_text(flood)
    steps = [
        [shell("sh flood.sh")],
        [behind],
        [shell("sh leak.sh")],
        [read],
        [sub],
        [read],
        [{"text": "Seen."}],
        [{"text": f"It is {KEY}."}],
    ]
    (kimi.work / "leak.sh").write_text(LEAK)
    with FakeAPI(steps, strict=True) as api:
        kimi.use(api.url, key=KEY)
        asked = ("-p", f"Look for {TOKEN} and @key.txt", "--yolo", "--debug")
        done = kimi.run(*asked, "--output-format", "stream-json", GITHUB_TOKEN=TOKEN)
    assert done.returncode == 0, done.stderr
    assert api.requests[0].headers["authorization"] == f"Bearer {KEY}"
    for request in api.requests:
        assert not leaks(request.body)
    assert b"[redacted: providers.p.api_key]" in api.requests[-1].body
    assert b"[redacted: GITHUB_TOKEN]" in api.requests[-1].body
    assert not leaks(done.stdout.encode() + done.stderr.encode())
    kept = [file for file in kimi.home.rglob("*") if file.is_file() and file != kimi.config]
    assert {file.name for file in kept} >= {"kimi.log"}
    assert len([file for file in kept if file.name.startswith("shell-")]) == 2, "whole outputs"
    assert {file: leaks(file.read_bytes()) for file in kept if leaks(file.read_bytes())} == {}


def test_what_an_older_session_holds_is_not_exported(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    kimi.run("-p", f"use {KEY}", "--provider", kimi.scenario([{"text": f"Yes, {KEY}."}]))
    (log,) = (kimi.home / "sessions").glob("*.jsonl")
    assert leaks(log.read_bytes()), "nobody knew it then"
    kimi.write_config(f'[providers.p]\ntype = "kimi"\nbase_url = "http://127.0.0.1:9/v1"\napi_key = "{KEY}"\n')
    for arguments in (["export", "-o", "-"], ["sessions", "show"], ["sessions", "show", "--json"]):
        done = kimi.run(*arguments)
        assert "redacted: providers.p.api_key" in done.stdout, done.stderr
        assert not leaks(done.stdout.encode())


PROBE = """
import ctypes, resource
from kimi_agent.plugin import Plugin


class Probe:
    def __init__(self, **arguments):
        pass

    async def run(self, agent):
        print(ctypes.CDLL(None).prctl(3), resource.getrlimit(resource.RLIMIT_CORE)[0])  # PR_GET_DUMPABLE
        return 0


plugin = Plugin(name="probe", frontends={"probe": "their_probe:Probe"})
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_the_memory_of_kimi_is_no_file_and_no_core_dump(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    kimi.env["PYTHONPATH"] = str(python_plugin(tmp_path / "site", "probe", PROBE))
    assert kimi.run("--ui", "probe", "--provider", kimi.scenario([])).stdout == "0 0\n"


def test_files_of_ours_are_for_their_owner_alone(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    before = os.umask(0)
    try:
        with FakeAPI([[shell("seq 1 100000")], [{"text": "Done."}]], strict=True) as api:
            kimi.use(api.url, key=KEY)
            kimi.config.chmod(0o600)
            assert kimi.run("-p", "count", "--yolo", "--debug").returncode == 0
    finally:
        os.umask(before)
    assert [path for path in kimi.home.rglob("*") if path.is_file() and is_open(path, kimi.home)] == []


def is_open(path: Path, home: Path) -> bool:
    """Whether others may read a file: its own mode lets them, and that of each folder below `home`."""
    folders = [folder for folder in path.parents if folder.is_relative_to(home) and folder != home]
    return bool(path.stat().st_mode & 0o044) and all(folder.stat().st_mode & 0o011 for folder in folders)
