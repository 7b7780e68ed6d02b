"""The system prompt: instructions of the user and the project, within a budget, and stable."""

import os
from pathlib import Path

import pytest

from kimi_agent.agent.prompt import INSTRUCTIONS_LIMIT, instruction_files, system_prompt


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    (tmp_path / "repo" / "sub" / "deep").mkdir(parents=True)
    return tmp_path


def test_instructions_go_from_general_to_near(tree: Path):
    home, repo = tree / "home", tree / "repo"
    home.mkdir()
    for folder, text in ((home, "ALWAYS"), (tree, "OUTSIDE"), (repo, "ROOT"), (repo / "sub", "SUB")):
        (folder / "AGENTS.md").write_text(text)
    (repo / ".kimi").mkdir()
    (repo / ".kimi" / "AGENTS.md").write_text("DOTKIMI")
    prompt = system_prompt(repo / "sub" / "deep", home)
    positions = [prompt.index(word) for word in ("ALWAYS", "DOTKIMI", "ROOT", "SUB")]
    assert positions == sorted(positions)
    assert "OUTSIDE" not in prompt, "nothing above the repository's root is read"


def test_the_nearest_file_is_kept_whole_when_the_budget_is_short(tree: Path):
    repo = tree / "repo"
    (repo / "AGENTS.md").write_text("far " * INSTRUCTIONS_LIMIT)
    (repo / "sub" / "AGENTS.md").write_text("NEAR rule")
    prompt = system_prompt(repo / "sub", tree / "home")
    assert "NEAR rule" in prompt
    assert "bytes in all" in prompt
    assert len(prompt) < INSTRUCTIONS_LIMIT + 6000


def test_one_file_under_two_names_counts_once(tree: Path):
    repo = tree / "repo"
    (repo / "AGENTS.md").write_text("x")
    (repo / "agents.md").symlink_to(repo / "AGENTS.md")
    assert len(instruction_files(repo, tree / "home")) == 1


def test_the_prompt_is_short_and_the_same_every_time(tree: Path):
    first = system_prompt(tree / "repo", tree / "home")
    assert first == system_prompt(tree / "repo", tree / "home")
    assert len(first) // 4 < 800
    assert str(tree / "repo") in first


def test_only_the_budget_of_a_giant_file_is_read(tmp_path: Path):
    with (tmp_path / "AGENTS.md").open("wb") as file:
        file.write(b"Use \xff tabs. ")
        file.truncate(1 << 40)  # sparse: no memory could hold it
    text = system_prompt(tmp_path, tmp_path / "home")
    assert "Use \ufffd tabs." in text
    assert f"{1 << 40} bytes in all" in text
    assert len(text) < 50_000


def test_what_is_no_file_is_no_instruction(tmp_path: Path):
    os.mkfifo(tmp_path / "AGENTS.md")
    (tmp_path / "agents.md").symlink_to(tmp_path / "agents.md")
    assert "AGENTS.md" not in system_prompt(tmp_path, tmp_path / "home")
