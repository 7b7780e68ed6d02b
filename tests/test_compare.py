"""docs/compare.md says of each thing whether it is here. What it says is held against the program."""

import dataclasses
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from machine import House, ListProvider, say

from kimi_agent import config
from kimi_agent.agent.agent_types import DEFAULT
from kimi_agent.build import agent_types, build
from kimi_agent.cli import app
from kimi_agent.cli.programs import GROUP
from kimi_agent.commands import COMMANDS
from kimi_agent.config.load import load_config
from kimi_agent.core.exit import ExitCode
from kimi_agent.core.hook import HOOK_EVENTS
from kimi_agent.core.schema import tool_spec
from kimi_agent.plugins.entry_points import entry_points
from kimi_agent.plugins.host import host_plugins
from kimi_agent.providers import PROVIDERS
from kimi_agent.tools import builtin_tools

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "compare.md").read_text(encoding="utf-8")
SOURCES = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "kimi_agent").rglob("*.py"))
VERDICT = re.compile(r"(present(?: \(.+\))?|better: .+|later|left out: .+)")


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of a table: the code in its first cell, and whether the last one says that it is here."""

    section: str
    text: str
    names: tuple[str, ...]
    verdict: str

    @property
    def here(self) -> bool:
        return self.verdict.startswith(("present", "better"))


def read_rows() -> list[Row]:
    rows, section = [], ""
    for line in PAGE.splitlines():
        if line.startswith("## "):
            section = line[3:]
        elif line.startswith("| ") and not line.endswith("| here |"):
            first, *_, verdict = [cell.strip() for cell in line.strip("|").split(" | ")]
            rows.append(Row(section, first, tuple(re.findall("`([^`]+)`", first)), verdict.rstrip(" |")))
    return rows


ROWS = read_rows()


def names(section: str, here: bool | None = None, only: str = "") -> set[str]:
    """The names of a section's rows, of those that are here or are not; those that match `only`."""
    found = (name for row in ROWS if row.section == section and here in (None, row.here) for name in row.names)
    return {name for name in found if re.match(only, name)}


def test_every_row_has_four_cells_and_a_verdict():
    tables = [line for line in PAGE.splitlines() if line.startswith("|")]
    assert not [line for line in tables if line.replace("\\|", "").count("|") != 5]
    assert not [row.text for row in ROWS if not VERDICT.fullmatch(row.verdict)]


def test_nothing_is_named_twice():
    for section in ("Commands", "Flags", "Slash commands", "Hooks", "Environment variables"):
        found = [name for row in ROWS if row.section == section for name in row.names]
        assert sorted(found) == sorted(set(found))


def test_commands():
    there = {f"kimi {name}" for name, sub in app.command().commands.items() if not sub.hidden} | {
        "kimi",
        "kimi migrate",
        *(f"kimi {name}" for name, _, ours in entry_points(GROUP) if ours),
    }
    assert names("Commands", here=True) == there
    assert not names("Commands", here=False) & there


def flags(parameters: Iterable[Any], *, hidden: bool) -> set[str]:
    return {name for p in parameters if p.hidden == hidden for name in (*p.opts, *p.secondary_opts)}


def test_flags():
    root = app.command()
    assert names("Flags", here=True) == flags(root.params, hidden=False) | {"-h", "--help", "--acp"}
    refused = {name for param in root.params if param.name in app.ABSENT for name in param.opts} - {"--acp"}
    assert refused <= names("Flags", here=False)
    assert not (names("Flags", here=False) - refused) & flags(root.params, hidden=True)


def test_flags_of_kimi_web():
    there = flags(app.command().commands["web"].params, hidden=False) - {"-h", "--help"}
    assert names("Flags of `kimi web`", here=True, only="-") == there
    assert not names("Flags of `kimi web`", here=False) & there


def test_slash_commands(tmp_path: Path):
    plugins = [command for plugin in host_plugins(tmp_path, {}) for command in plugin.commands]
    there = {f"/{name}" for c in (*COMMANDS.values(), *plugins) for name in (c.name, *c.aliases)}
    assert names("Slash commands", here=True) == there | {"/skill:NAME", "/flow:NAME"}


@pytest.fixture
def tools(tmp_path: Path) -> Sequence[Any]:
    """All tools of a session of ours, those that need a service or a flag too."""
    house = House(tmp_path, ListProvider(lambda request: say("fine")))
    (tmp_path / "home" / "skills").mkdir(parents=True)
    (tmp_path / "home" / "skills" / "notes.md").write_text("Keep notes.")
    given = load_config(None, {}, text='[services.search]\ntype = "brave"\napi_key = "k"')
    built = build(given, cwd=tmp_path, home=tmp_path / "home")
    house.agent.find_skills, house.agent.main_agent = built.find_skills, DEFAULT
    house.agent.find_agents = lambda folder: agent_types((), folder, tmp_path / "home")
    session = house.open()
    return [*map(tool_spec, builtin_tools(think=True, services=given.services)), *session.runner.specs]


def test_tools_and_their_parameters(tools: Sequence[Any]):
    there = {tool.name: set(tool.schema.get("properties", {})) for tool in tools}
    listed = {row.names[0]: set(row.names[1:]) for row in ROWS if row.section == "Tools" and row.here}
    assert listed == there
    assert not names("Tools", here=False) & there.keys()


def test_hooks():
    events = names("Hooks", only="[A-Z]")
    assert set(HOOK_EVENTS) <= events
    assert names("Hooks", here=True, only="[A-Z]") == set(HOOK_EVENTS)
    for answer in names("Hooks", here=True, only="[a-z]"):
        assert re.sub("[A-Z]", lambda match: f"_{match[0].lower()}", answer) in SOURCES  # msgspec renames them


SECTIONS: dict[str, type] = {
    "top": config.Config, "providers": config.ProviderConfig, "models": config.ModelConfig,
    "models.prices": config.Prices, "loop_control": config.LoopControl, "thinking": config.ThinkingConfig,
    "tools": config.ToolsConfig, "network": config.NetworkConfig, "services": config.ServiceConfig,
    "services.fields": config.ResultFields, "hooks": config.HookConfig, "background": config.BackgroundConfig,
    "subagent": config.SubagentConfig, "mcp": config.McpConfig, "notifications": config.NotificationsConfig,
    "snapshots": config.SnapshotsConfig,
    "trust": config.TrustConfig,
}  # fmt: skip


def keys_of(section: str, here: bool | None = None) -> set[str]:
    """Of the rows whose first word is the section, which is code too where it is one of the file."""
    rows = [row for row in ROWS if row.section == "Configuration" and here in (None, row.here)]
    if section == "top":
        return {name for row in rows if row.text.startswith("top ") for name in row.names}
    return {name for row in rows if row.names[0] == section for name in row.names[1:]}


@pytest.mark.parametrize("section", SECTIONS)
def test_configuration(section: str):
    cls = SECTIONS[section]
    fields = {f.name for f in dataclasses.fields(cls) if not f.metadata.get("internal")}
    if section == "top":  # what is a section has rows of its own
        fields -= {name.split(".")[0] for name in SECTIONS} | {"plugins"}
    ignored = getattr(cls, "IGNORED", frozenset())
    assert keys_of(section) == fields | ignored
    assert keys_of(section, here=False) >= ignored
    assert keys_of(section, here=False) == ignored


def test_provider_types():
    assert names("Provider types", here=True) == PROVIDERS.keys()
    assert not names("Provider types", here=False) & PROVIDERS.keys()


def test_environment_variables():
    for name in names("Environment variables", here=True):
        assert re.search(rf"\b{name}\b", SOURCES) or re.search(rf'_{name.split("_", 1)[1]}"', SOURCES), name
    for name in names("Environment variables", here=False):
        assert name not in SOURCES


def test_exit_codes():
    assert {int(name) for name in names("Exit codes", here=True)} == {code.value for code in ExitCode}
