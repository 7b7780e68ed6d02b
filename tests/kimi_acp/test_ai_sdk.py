"""The AI SDK, to which an agent of ACP is a model, from the npm registry: a client that can do nothing itself."""

import json
import subprocess
import sys
from pathlib import Path

import node_house
from acp_editor import call, text
from kimi_program import Program

PROVIDER = "@mcpc-tech/acp-ai-provider@0.2.9"
CLIENT = Path(__file__).parents[1] / "acp_ai_sdk_client.mjs"


def entry(package: Path) -> str:
    """The module that a package is for an import."""
    exported = json.loads((package / "package.json").read_text())["exports"]["."]
    found = exported["import"]
    return str(package / (found if isinstance(found, str) else found["default"]))


def test_a_stream(tmp_path: Path) -> None:
    node, provider = node_house.node(), node_house.package(PROVIDER)
    kimi = Program(tmp_path)
    steps = ([text("I write."), call("WriteFile", path="b.txt", content="b\n")], [text("Done.")])
    agent = [sys.executable, "-m", "kimi_agent", "acp", "--provider", kimi.scenario(*steps)]
    modules = [entry(provider), entry(provider.parents[1] / "ai")]
    done = subprocess.run(
        [str(node), str(CLIENT), *modules, str(kimi.work), *agent],
        capture_output=True, text=True, timeout=100, env=kimi.environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    parts = json.loads(done.stdout.splitlines()[-1])
    assert [said for kind, said in parts if kind == "text-delta"] == ["I write.", "Done."]
    assert {"tool-call", "tool-result"} <= {kind for kind, _ in parts}
    assert parts[-1] == ["finish", "stop"]
    assert (kimi.work / "b.txt").read_text() == "b\n"
