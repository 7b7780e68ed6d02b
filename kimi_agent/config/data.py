"""What can be configured, as plain data. A superset of kimi-cli's `config.toml`: every key of that is accepted."""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from kimi_agent.config.fields import internal, required
from kimi_agent.config.safety import (
    BoxConfig,
    NetworkConfig,
    PermissionConfig,
    RuleConfig,
    SnapshotsConfig,
    TrustConfig,
)


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """Where models are served. Times are seconds: until connected, until the first byte, and between bytes."""

    IGNORED: ClassVar[frozenset[str]] = frozenset({"oauth", "env"})

    type: str = required("")
    base_url: str = ""
    api_key: str = field(default="", repr=False)
    custom_headers: dict[str, str] = field(default_factory=dict, repr=False)
    reasoning_key: str = ""
    connect_timeout: Annotated[float, Meta(gt=0)] = 15.0
    first_byte_timeout: Annotated[float, Meta(gt=0)] = 120.0
    idle_timeout: Annotated[float, Meta(gt=0)] = 90.0


@dataclass(frozen=True, slots=True)
class Prices:
    """Per million tokens, in any currency. `cached` is None where cached input costs the same."""

    input: Annotated[float, Meta(ge=0)] = required(0.0)
    output: Annotated[float, Meta(ge=0)] = required(0.0)
    cached: Annotated[float, Meta(ge=0)] | None = None


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A model under the user's name for it. `model` is what the API calls it, `max_context_size` is in tokens (0: unknown).

    `capabilities` are of `thinking always_thinking image_in video_in`; None when the file does not say. `sampling` holds
    request fields sent as they are; `max_output_size` is in tokens, reasoning included. `profile` is what the model is told:
    `full`, or `compact` for small models, a short prompt and few tools, see guides/local.md.
    """

    IGNORED: ClassVar[frozenset[str]] = frozenset(
        {"display_name", "overrides", "support_efforts", "default_effort", "off_effort"}
    )

    provider: str = required("")
    model: str = required("")
    max_context_size: Annotated[int, Meta(ge=0)] = 0
    capabilities: frozenset[str] | None = None
    prices: Prices | None = None
    sampling: dict[str, Any] = field(default_factory=dict)
    max_output_size: Annotated[int, Meta(gt=0)] | None = None
    profile: Literal["full", "compact"] = "full"


@dataclass(frozen=True, slots=True)
class LoopControl:
    """Limits of a turn. `reserved_context_size` is in tokens; compaction begins when the window is filled to `ratio`.

    `max_ralph_iterations` gives every prompt so many times more, until the model chooses STOP (-1: no limit, 0: off). `evidence`
    says what happens to a claim that tests pass when no command shows it: nothing, a mark, or the model is asked once to run one.
    """

    IGNORED: ClassVar[frozenset[str]] = frozenset({"max_steps_per_run"})

    max_steps_per_turn: Annotated[int, Meta(ge=1)] = 300
    max_retries_per_step: Annotated[int, Meta(ge=0)] = 5
    reserved_context_size: Annotated[int, Meta(ge=0)] = 50_000
    compaction_trigger_ratio: Annotated[float, Meta(ge=0.5, le=0.99)] = 0.85
    max_ralph_iterations: Annotated[int, Meta(ge=-1)] = 0
    evidence: Literal["off", "mark", "ask"] = "mark"


@dataclass(frozen=True, slots=True)
class HookConfig:
    """A command that is run at an event, see guides/hooks.md. `timeout` is in seconds, `matcher` a regular expression.

    A `strict` hook that fails or takes too long objects; any other is passed over then. An `outside` one runs without the box,
    with all rights of the user.
    """

    event: str = required("")
    command: str = required("")
    matcher: str = ""
    timeout: Annotated[float, Meta(ge=1, le=600)] = 30.0
    strict: bool = False
    outside: bool = False


@dataclass(frozen=True, slots=True)
class ResultFields:
    """Where things stand inside one result of a search service of the type `http`: dotted paths, empty for what is not there."""

    title: str = "title"
    url: str = "url"
    snippet: str = "snippet"
    date: str = "date"
    content: str = ""


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """A web service, see guides/search.md: `search`, and `moonshot_search` as kimi-cli wrote it.

    `type` is one of `moonshot brave tavily searxng http`. The keys from `method` on describe one of the type `http`: `results` is
    the dotted path of the list of results in its answer.
    """

    IGNORED: ClassVar[frozenset[str]] = frozenset({"oauth"})

    type: str = ""
    base_url: str = ""
    api_key: str = field(default="", repr=False)
    custom_headers: dict[str, str] = field(default_factory=dict, repr=False)
    method: Literal["GET", "POST"] = "GET"
    body: dict[str, Any] = field(default_factory=dict, repr=False)
    results: str = "results"
    fields: ResultFields = field(default_factory=ResultFields)


@dataclass(frozen=True, slots=True)
class BackgroundConfig:
    """Background tasks; times in seconds. `print_wait_ceiling_s` bounds how long a headless run waits for those with a limit.

    `bash_auto_background_on_timeout` moves a command that outlives its timeout to the background instead of killing it.
    """

    IGNORED: ClassVar[frozenset[str]] = frozenset(
        {"read_max_bytes", "notification_tail_lines", "notification_tail_chars", "wait_poll_interval_ms"}
        | {"worker_heartbeat_interval_ms", "worker_stale_after_ms", "kill_grace_period_ms", "keep_alive_on_exit"}
        | {"bash_task_timeout_s", "print_background_mode"}
    )

    max_running_tasks: Annotated[int, Meta(ge=1, le=64)] = 4
    bash_auto_background_on_timeout: bool = True
    agent_task_timeout_s: Annotated[int, Meta(ge=30)] = 900
    print_wait_ceiling_s: Annotated[int, Meta(ge=0)] = 3600


@dataclass(frozen=True, slots=True)
class SubagentConfig:
    """What one run of a subagent may use at most: steps, tokens (input that is not cached, and output), milliseconds."""

    max_steps: Annotated[int, Meta(ge=1)] = 100
    max_tokens: Annotated[int, Meta(ge=1000)] = 1_000_000
    timeout_ms: Annotated[int, Meta(ge=1000)] = 7_200_000


@dataclass(frozen=True, slots=True)
class McpConfig:
    """MCP servers. A call is given up when a server has said nothing for `tool_timeout_ms`; `client.tool_call_timeout_ms` is its
    older name. Definitions that take more than `tools_share` of the context window are found by a search instead. Servers
    that may ask the model get `sampling_tokens` for one session, input and output together.
    """

    client: dict[str, Any] = field(default_factory=dict)
    startup_timeout_ms: Annotated[int, Meta(gt=0)] = 30_000
    tool_timeout_ms: Annotated[int, Meta(gt=0)] = 60_000
    tools_share: Annotated[float, Meta(ge=0, le=1)] = 0.05
    sampling_tokens: Annotated[int, Meta(ge=0)] = 50_000

    @property
    def tool_timeout(self) -> float:
        """In seconds."""
        older = self.client.get("tool_call_timeout_ms")
        given = (
            older if isinstance(older, int) and older > 0 and self.tool_timeout_ms == 60_000 else self.tool_timeout_ms
        )
        return given / 1000


@dataclass(frozen=True, slots=True)
class ToolsConfig:
    """Tools by name. An empty `enabled` means all of them."""

    enabled: tuple[str, ...] = ()
    disabled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ThinkingConfig:
    """`effort` is the model's word for it (`low`, `high`, `max`); `keep` is `all` for preserved thinking."""

    enabled: bool | None = None
    effort: str = ""
    keep: str = ""


@dataclass(frozen=True, slots=True)
class NotificationsConfig:
    """How a person who looks elsewhere is called when a long turn is over or a question waits.

    `mode` is `auto` (a bell, and on the desktop where the terminal can), `bell` or `off`.
    """

    IGNORED: ClassVar[frozenset[str]] = frozenset({"claim_stale_after_ms"})

    mode: Literal["auto", "bell", "off"] = "auto"


@dataclass(frozen=True, slots=True)
class Config:
    """Everything the program is told. `default_model` is a key of `models`, empty when there is no model at all.

    `plugins` holds what each plugin is told: `[plugins.NAME]`, with `enabled = true|false` and the plugin's own keys.
    `status_line` names what the status line says, empty for the usual; `keys` the keys of an action, where they are not the
    usual ones. `embedded_model` is what runs where no model is set up: `auto` (the one in the package), `off`, or the folder of
    a checkpoint. `images` is how pictures are drawn, `diffs` whether old and new stand side by side (`auto`: where it is wide).
    `reduced_motion` leaves nothing on the screen that counts or moves by itself; `screen_reader` is line mode in plain words.
    `session_rules` are those of the flags `--allow` and `--deny`.
    `chaos` is the seed with which every provider is made unreliable (`--provider chaos:SEED`), None for reliable ones.
    """

    IGNORED: ClassVar[frozenset[str]] = frozenset(
        {"telemetry", "token_counting", "image", "identity"}
        | {"skip_afk_prompt_injection", "is_from_default_location", "experimental"}
    )

    default_model: str = ""
    default_thinking: bool | None = None
    default_yolo: bool = False
    default_plan_mode: bool = False
    default_permission_mode: Literal["manual", "yolo", "auto"] = "manual"
    default_editor: str = ""
    theme: Literal["dark", "light", "auto", "terminal", "high-contrast-dark", "high-contrast-light"] = "auto"
    reduced_motion: bool = False
    screen_reader: bool = False
    vim_mode: bool = False
    images: Literal["auto", "kitty", "iterm2", "sixel", "blocks", "off"] = "auto"
    diffs: Literal["auto", "unified", "side-by-side"] = "auto"
    status_line: tuple[str, ...] = ()
    keys: dict[str, tuple[str, ...] | str] = field(default_factory=dict)
    show_thinking_stream: bool = True
    merge_all_available_skills: bool = True
    extra_skill_dirs: tuple[str, ...] = ()
    fallback_models: tuple[str, ...] = ()
    providers: dict[str, ProviderConfig] = field(default_factory=dict)
    models: dict[str, ModelConfig] = field(default_factory=dict)
    loop_control: LoopControl = field(default_factory=LoopControl)
    services: dict[str, ServiceConfig] = field(default_factory=dict)
    hooks: tuple[HookConfig, ...] = ()
    mcp: McpConfig = field(default_factory=McpConfig)
    background: BackgroundConfig = field(default_factory=BackgroundConfig)
    subagent: SubagentConfig = field(default_factory=SubagentConfig)
    plugins: dict[str, dict[str, Any]] = field(default_factory=dict)
    tools: ToolsConfig = field(default_factory=ToolsConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    permission: PermissionConfig = field(default_factory=PermissionConfig)
    box: BoxConfig = field(default_factory=BoxConfig)
    thinking: ThinkingConfig = field(default_factory=ThinkingConfig)
    notifications: NotificationsConfig = field(default_factory=NotificationsConfig)
    snapshots: SnapshotsConfig = field(default_factory=SnapshotsConfig)
    session_rules: tuple[RuleConfig, ...] = internal(default=())
    trust: TrustConfig = field(default_factory=TrustConfig)
    embedded_model: str = "auto"
    chaos: int | None = internal(default=None)
    warnings: tuple[str, ...] = internal(default=())

    @property
    def effort(self) -> str | None:
        """What `Request.thinking` takes: None (the model's default), "off", "on" or an effort."""
        enabled = self.thinking.enabled if self.default_thinking is None else self.default_thinking
        if enabled is False:
            return "off"
        return self.thinking.effort or ("on" if enabled else None)


@dataclass(frozen=True, slots=True)
class Overrides:
    """What flags say; None or empty where they say nothing. `provider` is a name in the file or a kind (`scripted:FILE`)."""

    model: str = ""
    thinking: bool | None = None
    max_steps_per_turn: int | None = None
    max_retries_per_step: int | None = None
    max_ralph_iterations: int | None = None
    provider: str = ""
    base_url: str = ""
    local: tuple[str, str] | None = None
    """Address and token of the local engine, started for `--local`."""
    embedded: tuple[str, str] | None = None
    """Those of the engine that runs the embedded model: the default where nothing else is one."""
    profile: Literal["full", "compact"] | None = None
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
