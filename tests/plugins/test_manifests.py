"""What a plugin's folder offers: manifests written for kimi-cli 1.49 and the bundles of its successors load unchanged."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from plugin_files import manifest, write_plugin

from kimi_agent.core.errors import ConfigError
from kimi_agent.core.json_schema import problem_with
from kimi_agent.core.schema import tool_spec
from kimi_agent.plugins.bundle import folders
from kimi_agent.plugins.command_tool import CommandTool
from kimi_agent.plugins.load import as_plugin
from kimi_agent.plugins.manifest import check_name, read_manifest

CORPUS = Path(__file__).parent.parent / "corpus" / "plugins"
FOLDERS = sorted(folder for folder in CORPUS.iterdir() if folder.is_dir())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_corpus_loads_unchanged(folder: Path) -> None:
    found = read_manifest(folder)
    assert found.name == folder.name
    assert found.problems == []
    assert as_plugin(found).problems == []
    (file,) = folder.rglob("*plugin.json")
    given = json.loads(file.read_text())
    assert [tool.name for tool in found.tools] == [tool["name"] for tool in given.get("tools", [])]
    for spec, told in zip(found.tools, given.get("tools", []), strict=True):
        assert list(spec.command) == told["command"]
        assert spec.description == told["description"]
        assert not problem_with(dict(spec.parameters))
        shown = tool_spec(CommandTool(spec, found)).schema
        assert shown["type"] == "object"
        assert set(shown["properties"]) == set(told.get("parameters", {}).get("properties", {}))
    assert found.inject == given.get("inject", {})


def test_a_bundle_of_kimi_code() -> None:
    folder = CORPUS / "code-bundle"
    found = read_manifest(folder)
    assert (found.skills, found.prompts) == ([folder / "skills"], [folder / "commands", folder / "more" / "close.md"])
    assert found.mcp_servers["own"] == {"command": str(folder / "server.sh"), "cwd": str(folder)}
    assert found.mcp_servers["docs"] == {"url": "https://example.com/mcp"}
    (hook,) = found.hooks
    assert (hook.event, hook.matcher, hook.timeout) == ("PreToolUse", "(?:Bash|Shell)", 5)
    assert f"cd {shlex.quote(str(folder))} || exit\nsh ./hooks/check.sh" in hook.command
    assert not found.notes


def test_a_bundle_of_claude_code() -> None:
    folder = CORPUS / "claude-bundle"
    found = read_manifest(folder)
    assert found.agents == [folder / "agents"]
    assert found.mcp_servers == {"db": {"command": f"{folder}/db", "args": ["--all"]}}
    after, start = found.hooks
    assert (after.event, after.matcher, after.timeout) == ("PostToolUse", "^(?:WriteFile|StrReplaceFile)$", 10)
    assert "cd " not in after.command
    assert f"CLAUDE_PLUGIN_ROOT={shlex.quote(str(folder))}\n" in after.command
    assert (start.event, start.matcher) == ("SessionStart", "")


def test_a_skill_at_the_root_of_a_plugin_and_paths_that_are_skills() -> None:
    """As kimi-cli finds it, which takes its folder of plugins for one of skills, and kimi-code."""
    folder = CORPUS / "with-skill"
    assert read_manifest(folder).skills == [folder / "SKILL.md"]
    rates = CORPUS / "code-bundle" / "skills" / "rates"
    assert folders(CORPUS / "code-bundle", "./skills/rates", "skills", []) == [rates / "SKILL.md"]


def test_unknown_keys_are_notes() -> None:
    found = read_manifest(CORPUS / "future-keys")
    assert found.problems == []
    assert [note for note in found.notes if "'experimental'" in note]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"tools": [{"name": "a b", "command": ["x"]}]}, "no name that models can call"),
        ({"tools": [{"name": "a", "command": "rm -rf"}]}, "no list of words"),
        ({"tools": [{"name": "a", "command": []}]}, "no list of words"),
        ({"tools": [{"name": "a", "command": ["x"], "parameters": [1]}]}, "no JSON Schema"),
        ({"tools": [{"name": "a", "command": ["x"]}] * 2}, "there is a a before it"),
        ({"tools": {"a": 1}}, "tools is no list"),
        ({"tools": [7]}, "it is no table"),
        ({"inject": {"k": "api_key"}}, "needs a config_file"),
        ({"inject": {"k": "api_key"}, "config_file": "../config.json"}, "needs a config_file"),
        ({"inject": ["k"]}, "no table of names"),
        ({"skills": "../elsewhere"}, "no such folder"),
        ({"skills": "/"}, "no such folder"),
        ({"agents": [5]}, "no such folder"),
        ({"commands": "plugin.json"}, "no such Markdown file"),
        ({"hooks": [{"event": "Stop"}]}, "no event or no command"),
        ({"hooks": [{"event": "TurnStarted", "command": "x"}]}, "does not happen here"),
        ({"hooks": [{"event": "Stop", "command": "x", "matcher": "("}]}, "no regular expression"),
        ({"hooks": [{"event": "Stop", "command": "x", "timeout": 9999}]}, "between 1 and 600"),
        ({"hooks": {"Stop": [{"hooks": [{"type": "prompt"}]}]}}, "it is no command"),
        ({"hooks": "none.json"}, "no such JSON file"),
        ({"mcpServers": {"a": {"command": "../../bin/sh"}}}, "leads elsewhere"),
        ({"mcpServers": {"a": {"args": []}}}, "no command and no url"),
    ],
)
def test_what_is_wrong_is_named_and_the_rest_stays(tmp_path: Path, more: dict[str, Any], words: str) -> None:
    found = read_manifest(write_plugin(tmp_path / "hello", manifest(**more)))
    assert any(words in problem for problem in found.problems), found.problems
    assert found.name == "hello"
    assert "tools" in more or [tool.name for tool in found.tools] == ["greet"]


BROKEN = {
    "half": ("{", "no JSON: line 1"),
    "list": ("[]", "no JSON object"),
    "no name": ('{"version": "1"}', "says no name"),
    "deep": ("[" * 100_000, "no JSON"),
    "large": (json.dumps({"name": "x" * (1 << 20)}), "larger than"),
    "path": ('{"name": "../x"}', "cannot be called"),
}


@pytest.mark.parametrize(("text", "words"), BROKEN.values(), ids=BROKEN)
def test_a_manifest_that_cannot_be_read(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_manifest(write_plugin(tmp_path / "hello", text))


NO_NAMES = [
    "",
    ".",
    "..",
    ".hidden",
    "-x",
    "a/b",
    "a\\b",
    "a..b",
    "a.",
    "CON",
    "nul.txt",
    "com1",
    "x" * 65,
    "a b",
    "a\n",
]


@pytest.mark.parametrize("name", [*NO_NAMES, "installed.json", "kimi", "naïve", "a\u202eb"], ids=ascii)
def test_names_that_no_plugin_has(name: str) -> None:
    with pytest.raises(ConfigError):
        check_name(name)


def test_descriptions_are_one_short_line_without_tricks(tmp_path: Path) -> None:
    text = "do\n\nthis \x1b[31mred\u202e " + "word " * 100
    tool = {"name": "t", "description": text, "command": ["x"]}
    found = read_manifest(write_plugin(tmp_path / "hello", manifest(description=text, tools=[tool])))
    for shown in (found.description, found.tools[0].description):
        assert len(shown) <= 200
        assert shown.startswith("do this red")
        assert shown.isprintable()
