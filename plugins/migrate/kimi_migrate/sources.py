"""What each agent keeps where, and the steps that bring it over."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kimi_agent.core.errors import SessionError
from kimi_migrate import files, sessions
from kimi_migrate.claude_hooks import hook_steps
from kimi_migrate.records import read_json, table
from kimi_migrate.servers import Servers
from kimi_migrate.settings import Settings
from kimi_migrate.step import Step, left


@dataclass(slots=True)
class Run:
    """One run: `home` is `$KIMI_HOME`, `user` the person's home folder, `cwd` the folder at hand."""

    home: Path
    user: Path
    cwd: Path
    settings: Settings
    servers: Servers


@dataclass(frozen=True, slots=True)
class Agent:
    """Another agent. Its files are in the folder that `variable` names, else in `folder` of the person's home."""

    name: str
    variable: str
    folder: str
    steps: Callable[[Path, Run], Iterator[Step]]

    def root(self, env: Mapping[str, str], user: Path) -> Path:
        given = env.get(self.variable, "")
        return Path(given).expanduser().absolute() if given else user / self.folder


def kimi_cli(root: Path, run: Run) -> Iterator[Step]:
    same = _is(root, run.home)
    legacy = root / "config.json"
    if same:
        yield from files.in_place("settings", [root / "config.toml"])
        yield from files.in_place("MCP servers", [root / "mcp.json"])
        yield from files.in_place("skills", [root / "skills"])
        yield from files.in_place("typed prompts", [root / "user-history"])
    else:
        yield from run.settings.of_config(root / "config.toml")
        yield from run.servers.of_json(root / "mcp.json")
        yield from files.skill_steps(root / "skills", run.home / "skills")
        yield from files.history_steps(root / "user-history", run.home / "user-history")
    if legacy.exists() and (root / "config.toml").exists():
        yield left("settings", legacy.name, legacy, "config.toml has taken its place")
    else:
        yield from run.settings.of_config(legacy)
    yield from _logins(root / "credentials")
    yield from sessions.of_kimi_cli(root, run.home)


def kimi_code(root: Path, run: Run) -> Iterator[Step]:
    yield from run.settings.of_config(root / "config.toml")
    yield from run.servers.of_json(root / "mcp.json")
    yield from files.skill_steps(root / "skills", run.home / "skills")
    yield from _agents(root, run)
    yield from files.instruction_steps(root / "AGENTS.md", run.home / "AGENTS.md")
    yield from files.history_steps(root / "user-history", run.home / "user-history")
    if (root / "tui.toml").exists():
        yield left("settings", "tui.toml", root / "tui.toml", "the look of its screen has no meaning here")
    yield from _logins(root / "credentials")
    yield from sessions.of_kimi_code(root, run.home)


def claude(root: Path, run: Run) -> Iterator[Step]:
    yield from hook_steps(root / "settings.json", run.settings)
    inner = root / ".claude.json"  # where it is when CLAUDE_CONFIG_DIR is set
    listed = inner if inner.exists() else run.user / ".claude.json"
    yield from run.servers.of_json(listed)
    try:
        project = table(table(read_json(listed).get("projects")).get(str(run.cwd)))
    except SessionError:
        project = {}  # told above
    for name, entry in table(project.get("mcpServers")).items():
        yield run.servers.step(listed, name, entry, f"was for {run.cwd} only")
    yield from run.servers.of_json(run.cwd / ".mcp.json", f"was for {run.cwd} only")
    if _is(root, run.user / ".claude"):
        yield from files.in_place("skills", [root / "skills"])
        yield from files.in_place("commands", [root / "commands"])
    else:
        yield from files.skill_steps(root / "skills", run.home / "skills")
        yield from files.command_steps(root / "commands", run.home / "commands")
    yield from _agents(root, run)
    yield from files.instruction_steps(root / "CLAUDE.md", run.home / "AGENTS.md")
    if (run.cwd / "CLAUDE.md").is_file() and not (run.cwd / "AGENTS.md").exists():
        yield left(
            "instructions", "CLAUDE.md", run.cwd / "CLAUDE.md", "kimi reads AGENTS.md: ln -s CLAUDE.md AGENTS.md"
        )
    yield from sessions.of_claude(root, run.home)


def codex(root: Path, run: Run) -> Iterator[Step]:
    config = root / "config.toml"
    yield from run.servers.of_codex(config)
    if config.exists():
        yield left("settings", config.name, config, "all but mcp_servers has no meaning here")
    if _is(root, run.user / ".codex"):
        yield from files.in_place("skills", [root / "skills"])
    else:
        yield from files.skill_steps(root / "skills", run.home / "skills")
    yield from files.command_steps(root / "prompts", run.home / "commands")
    yield from files.instruction_steps(root / "AGENTS.md", run.home / "AGENTS.md")
    if (root / "hooks.json").exists():
        yield left("hooks", "hooks.json", root / "hooks.json", "its format is not known well enough")
    yield from _logins(root / "auth.json")
    yield from sessions.of_codex(root, run.home)


AGENTS = {
    "kimi-cli": Agent("kimi-cli", "KIMI_SHARE_DIR", ".kimi", kimi_cli),
    "kimi-code": Agent("kimi-code", "KIMI_CODE_HOME", ".kimi-code", kimi_code),
    "claude": Agent("Claude Code", "CLAUDE_CONFIG_DIR", ".claude", claude),
    "codex": Agent("Codex", "CODEX_HOME", ".codex", codex),
}
"""By the word after `--from`, in the order in which their things win."""


def _agents(root: Path, run: Run) -> Iterator[Step]:
    """Types of agents: kimi looks for them below the person's home, whatever a variable says."""
    folder = root / "agents"
    if any(_is(root, run.user / name) for name in (".kimi-code", ".claude")):
        yield from files.in_place("agents", [folder])
    elif folder.is_dir():
        for path in sorted(folder.glob("*.md")):
            yield files.new_file("agent", path, run.home / "agents" / path.name)


def _is(folder: Path, other: Path) -> bool:
    """Whether both lead to one folder: homes are often links."""
    return folder.resolve() == other.resolve()


def _logins(path: Path) -> Iterator[Step]:
    if path.exists():
        yield left("logins", path.name, path, "are not brought over: run kimi login")
