"""docs/guides/plugins.md is followed to the letter: both forms of plugin that it shows work."""

import re
import subprocess
import sys
from pathlib import Path

from kimi_program import Program

PAGE = (Path(__file__).parent.parent.parent / "docs" / "guides" / "plugins.md").read_text(encoding="utf-8")


def shown(name: str) -> str:
    """The block that the page calls by this name."""
    match = re.search(rf"^`{re.escape(name)}`[^\n]*:\n\n```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert match
    return match[1]


def test_the_folder_of_the_guide(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    (kimi.work / "plugin.json").write_text(shown("plugin.json"))
    lines = [line for line in PAGE.splitlines() if line.startswith(("mkdir hello", "printf "))]
    for line in lines:
        subprocess.run(["bash", "-c", line], cwd=kimi.work, check=True)
    assert kimi.run("plugin", "install", "hello", "--yes").returncode == 0
    call = [{"call": {"name": "greet", "arguments": {"name": "Ann"}}}]
    scenario = kimi.scenario(call, [{"expect": "Hello, Ann!"}, {"text": "Greeted."}])
    assert kimi.run("-p", "greet Ann", "--provider", scenario, "--yolo").stdout == "Greeted.\n"


def test_the_package_of_the_guide(tmp_path: Path) -> None:
    kimi, project, site = Program(tmp_path), tmp_path / "project", tmp_path / "site"
    project.mkdir()
    for name in ("kimi_words.py", "pyproject.toml"):
        (project / name).write_text(shown(name))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--target", str(site)]
    options = ["--no-index", "--no-deps", "--no-build-isolation"]
    done = subprocess.run([*pip, *options, str(project)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (kimi.work / "poem.txt").write_text("so much depends\nupon\n")
    assert kimi.run("words", "poem.txt", PYTHONPATH=str(site)).stdout == "4 poem.txt\n"
    assert "counts words" in kimi.run("plugin", "list", PYTHONPATH=str(site)).stdout
