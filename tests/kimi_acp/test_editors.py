"""What is ready for editors and for their registry: it can be read, and it starts what there is."""

import json
import re
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from kimi_agent import __version__

ACP = Path(__file__).parents[2] / "acp"


def project() -> dict[str, Any]:
    return tomllib.loads((ACP.parent / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("name", ["zed.json", "jetbrains.json"])
def test_settings_start_the_agent(name: str) -> None:
    (agent,) = json.loads((ACP / "editors" / name).read_text())["agent_servers"].values()
    assert [agent["command"], *agent["args"]] == ["kimi", "acp"]


def test_each_editor_has_a_page_and_each_file_is_named() -> None:
    index = (ACP / "editors/README.md").read_text()
    links = set(re.findall(r"\]\(([\w.-]+)\)", index))
    assert links == {path.name for path in (ACP / "editors").iterdir()} - {"README.md"}


def test_the_entry_of_the_registry() -> None:
    """As its rules have it: facts of github.com/agentclientprotocol/registry."""
    folder = ACP / "registry/kimi"
    entry = json.loads((folder / "agent.json").read_text())
    assert entry["id"] == folder.name
    assert re.fullmatch(r"[a-z][a-z0-9-]*", entry["id"])
    assert entry["version"] == __version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
    assert entry["license"] == project()["license"]
    uvx = entry["distribution"]["uvx"]
    assert uvx == {"package": f"{project()['name']}=={__version__}", "cmd": "kimi", "args": ["acp"]}
    assert uvx["cmd"] in project()["scripts"]


def test_its_picture_is_square_and_of_the_readers_colour() -> None:
    root = ET.parse(ACP / "registry/kimi/icon.svg").getroot()
    assert (root.get("width"), root.get("height"), root.get("viewBox")) == ("16", "16", "0 0 16 16")
    colours = {each.get(name) for each in root.iter() for name in ("fill", "stroke") if each.get(name)}
    assert colours <= {"currentColor", "none", "inherit"}
