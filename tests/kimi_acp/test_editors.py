"""What is ready for editors: it can be read, and it starts what there is."""

import json
import re
from pathlib import Path

import pytest

ACP = Path(__file__).parents[2] / "acp"


@pytest.mark.parametrize("name", ["zed.json", "jetbrains.json"])
def test_settings_start_the_agent(name: str) -> None:
    (agent,) = json.loads((ACP / "editors" / name).read_text())["agent_servers"].values()
    assert [agent["command"], *agent["args"]] == ["kimi", "acp"]


def test_each_editor_has_a_page_and_each_file_is_named() -> None:
    index = (ACP / "editors/README.md").read_text()
    links = set(re.findall(r"\]\(([\w.-]+)\)", index))
    assert links == {path.name for path in (ACP / "editors").iterdir()} - {"README.md"}
