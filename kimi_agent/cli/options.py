"""What the flags said, and where that leads: the folder, the home, the configuration."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from kimi_agent.config import Config, Overrides, home_dir, load_config
from kimi_agent.core.errors import ConfigError
from kimi_agent.core.event import Mode

if TYPE_CHECKING:
    from kimi_agent.mcp.files import Flags


class Options(Struct, frozen=True):
    """The flags by name; see app.py for what each means. `session` is "" for "--resume" without an id."""

    prompt: str | None = None
    start: str | None = None
    session: str | None = None
    last: bool = False
    model: str = ""
    thinking: bool | None = None
    work_dir: Path | None = None
    add_dir: list[Path] | None = None
    skills_dir: list[Path] | None = None
    yolo: bool = False
    afk: bool = False
    plan: bool = False
    require_sandbox: bool = False
    no_sandbox: bool = False
    accept_no_sandbox: bool = False
    agent: str = ""
    agent_file: Path | None = None
    print_mode: bool = False
    quiet: bool = False
    line: bool = False
    screen_reader: bool = False
    ui: str = ""
    workspace: str = "local"
    output_format: str | None = None
    input_format: str | None = None
    final_message_only: bool = False
    json_schema: Path | None = None
    max_steps_per_turn: int | None = None
    max_retries_per_step: int | None = None
    max_ralph_iterations: int | None = None
    config: str | None = None
    config_file: Path | None = None
    provider: str = ""
    base_url: str = ""
    local: str = ""
    local_url: str = ""
    local_key: str = ""
    profile: Literal["full", "compact"] | None = None
    embedded_url: str = ""
    embedded_key: str = ""
    allow: list[str] | None = None
    deny: list[str] | None = None
    verbose: bool = False
    debug: bool = False
    trust: bool = False
    mcp_config: list[str] | None = None
    mcp_config_file: list[Path] | None = None
    trust_mcp: list[str] | None = None

    @property
    def home(self) -> Path:
        return home_dir(os.environ)

    @property
    def config_path(self) -> Path:
        return self.config_file.expanduser() if self.config_file else self.home / "config.toml"

    def cwd(self) -> Path:
        """The folder to work in, real and absolute. Raises ConfigError when it is none, or was deleted."""
        return folder(self.work_dir) if self.work_dir else folder(Path())

    def extra_roots(self) -> tuple[Path, ...]:
        return tuple(folder(path) for path in self.add_dir or ())

    def skill_dirs(self) -> tuple[Path, ...]:
        return tuple(folder(path) for path in self.skills_dir or ())

    @property
    def has_mcp_flags(self) -> bool:
        return bool(self.mcp_config or self.mcp_config_file or self.trust_mcp)

    def mcp_flags(self) -> "Flags":
        """What was said of MCP servers. `check` of it raises ConfigError for what cannot be read."""
        from kimi_agent.mcp.files import Flags

        texts, names = self.mcp_config or (), self.trust_mcp or ()
        return Flags(tuple(self.mcp_config_file or ()), tuple(texts), tuple(names))

    def load(self) -> Config:
        """The configuration. Raises ConfigError."""
        if self.config_file and not self.config_path.exists():  # `<(...)` of a shell is no file, but can be read
            raise ConfigError(f"there is no config file {self.config_file}")
        flags = Overrides(
            model=self.model,
            thinking=self.thinking,
            max_steps_per_turn=self.max_steps_per_turn,
            max_retries_per_step=self.max_retries_per_step,
            max_ralph_iterations=self.max_ralph_iterations,
            provider=self.provider,
            base_url=self.base_url,
            local=(self.local_url, self.local_key) if self.local_url else None,
            embedded=(self.embedded_url, self.embedded_key) if self.embedded_url else None,
            profile=self.profile,
            allow=tuple(self.allow or ()),
            deny=tuple(self.deny or ()),
        )
        return load_config(self.config_path, os.environ, flags, text=self.config)

    @property
    def headless(self) -> bool:
        """Whether a flag says that there is to be no screen."""
        only_print = (self.output_format, self.input_format, self.json_schema, self.prompt)
        return self.print_mode or self.quiet or self.final_message_only or any(v is not None for v in only_print)

    def check(self) -> None:
        """Raises ConfigError for flags that contradict one another."""
        formats = self.output_format not in (None, "text") or self.input_format == "stream-json"
        for one, other, clash in (
            ("--yolo", "--afk", self.yolo and self.afk),
            ("--config", "--config-file", self.config is not None and self.config_file is not None),
            ("--require-sandbox", "--no-sandbox", self.require_sandbox and self.no_sandbox),
            ("--agent", "--agent-file", bool(self.agent) and self.agent_file is not None),
            ("--continue", "--resume", self.last and self.session is not None),
            ("--line", "-p and --print", self.line and self.headless),
            ("--screen-reader", "--ui, -p and --print", self.screen_reader and (bool(self.ui) or self.headless)),
            ("--ui", "--line, -p and --print", bool(self.ui) and (self.line or self.headless)),
            (
                "--local",
                "-m, --provider and --base-url",
                bool(self.local) and bool(self.model or self.provider or self.base_url),
            ),
            ("--quiet", "--output-format and --input-format", self.quiet and formats),
        ):
            if clash:
                raise ConfigError(f"{one} and {other} exclude each other.")
        if self.mcp_config or self.mcp_config_file:
            self.mcp_flags().check()

    def mode(self, config: Config) -> Mode:
        """The mode to start in: a flag, else the file's default."""
        if self.plan or (config.default_plan_mode and not (self.yolo or self.afk)):
            return "plan"
        return self.mode_after_plan(config)

    def mode_after_plan(self, config: Config) -> Mode:
        """The mode that an approved plan is carried out in: `--plan --yolo` plans first, and then asks nothing."""
        if self.yolo or self.afk:
            return "yolo" if self.yolo else "afk"
        if config.default_yolo or config.default_permission_mode == "yolo":
            return "yolo"
        return "afk" if config.default_permission_mode == "auto" else "default"


def folder(path: Path) -> Path:
    """`path` real and absolute. Raises ConfigError when it is not a folder."""
    try:
        real = path.expanduser().resolve(strict=True)
    except (OSError, RuntimeError):
        if path == Path():
            raise ConfigError("the current folder was deleted", "Go to another one, or name one with -w.") from None
        raise ConfigError(f"there is no folder {path}") from None
    if not real.is_dir():
        raise ConfigError(f"{path} is not a folder")
    return real
