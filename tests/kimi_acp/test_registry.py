"""The entry for the registry of agents, and the check that every agent has to pass there before it is listed.

Its rules are in github.com/agentclientprotocol/registry: FORMAT.md, agent.schema.json, CONTRIBUTING.md, and what its CI runs.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from kimi_agent import __version__

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "acp/registry/kimi"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PASSED_ON = ("CI", "PATH", "SSL_CERT_DIR", "SSL_CERT_FILE", "TMPDIR")
ASKED = {
    "protocolVersion": 1,
    "clientInfo": {"name": "ACP Registry Validator", "version": "1.0.0"},
    "clientCapabilities": {
        "terminal": True,
        "fs": {"readTextFile": True, "writeTextFile": True},
        "_meta": {"terminal_output": True, "terminal-auth": True},
    },
}
MODEL = """
default_model = "m"
[providers.p]
type = "openai"
base_url = "http://127.0.0.1:1/v1"
api_key = "KEY"
[models.m]
provider = "p"
model = "fake"
max_context_size = 32000
"""


def test_its_entry() -> None:
    entry = json.loads((FOLDER / "agent.json").read_text())
    assert entry.keys() == {"id", "name", "version", "description", "license", "distribution"}
    assert entry["id"] == FOLDER.name
    assert re.fullmatch(r"[a-z][a-z0-9-]*", entry["id"])
    assert entry["version"] == __version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
    assert entry["license"] == PROJECT["license"]
    package = f"{PROJECT['name']}=={__version__}"
    assert entry["distribution"] == {"uvx": {"package": package, "args": ["acp"]}}
    assert (
        PROJECT["scripts"][PROJECT["name"]] == PROJECT["scripts"]["kimi"]
    )  # uvx runs the script of the package's name


def test_its_picture_is_square_and_of_the_readers_colour() -> None:
    text = (FOLDER / "icon.svg").read_text()
    root = ET.fromstring(text)
    assert (root.get("width"), root.get("height"), root.get("viewBox")) == ("16", "16", "0 0 16 16")
    colours = {each.get(name) for each in root.iter() for name in ("fill", "stroke") if each.get(name)}
    assert "currentColor" in colours
    assert colours <= {"currentColor", "none", "inherit"}
    assert not [word for word in ("<!--", "style", "class=") if word in text]


@pytest.mark.parametrize(
    ("configured", "embedded", "usable"),
    [
        ("", "off", False),
        ("", "auto", True),
        (MODEL.replace("KEY", "sk-test"), "auto", True),
        (MODEL.replace('api_key = "KEY"', ""), "auto", True),
    ],
    ids=["no key", "kimi-tiny", "a key", "a local engine"],
)
def test_the_check_of_its_ci(tmp_path: Path, configured: str, embedded: str, usable: bool) -> None:
    """A home of its own, hardly any variable, and the first line of the output. And then: who can be asked needs no login."""
    work = tmp_path / "work"
    work.mkdir()
    if configured:
        (tmp_path / ".kimi").mkdir()
        (tmp_path / ".kimi/config.toml").write_text(configured)
    env = {name: os.environ[name] for name in PASSED_ON if name in os.environ} | {"HOME": str(tmp_path), "TERM": "dumb"}
    env |= {"KIMI_EMBEDDED_MODEL": "off"} if embedded == "off" else {}
    agent = subprocess.Popen(
        [sys.executable, "-m", "kimi_agent", "acp"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=work, env=env, text=True, bufsize=0,
    )  # fmt: skip
    assert agent.stdin is not None
    assert agent.stdout is not None
    assert agent.stderr is not None
    agent.stdin.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": ASKED}) + "\n")
    methods = json.loads(agent.stdout.readline())["result"]["authMethods"]
    assert {kind_of(method) for method in methods} & {"agent", "terminal"}
    assert all(method["id"] and method["name"] for method in methods)
    new = {"cwd": str(work), "mcpServers": []}
    agent.stdin.write(json.dumps({"jsonrpc": "2.0", "id": 2, "method": "session/new", "params": new}) + "\n")
    answer = json.loads(agent.stdout.readline())
    assert ("result" in answer) is usable
    assert usable or answer["error"]["code"] == -32000
    agent.terminate()
    agent.wait(20)
    assert agent.stderr.read() == ""
    for state in (tmp_path / ".kimi/engine").glob("*.json"):
        os.kill(json.loads(state.read_text())["pid"], signal.SIGTERM)


def kind_of(method: dict[str, Any]) -> str:
    """As the check has it: the method's type, else what its `_meta` holds, else `agent`."""
    if "type" in method:
        return str(method["type"])
    return "terminal" if "terminal-auth" in method.get("_meta", {}) else "agent"
