"""The configuration as plain data: `config.toml`, flags and environment variables. Knows nothing of what it configures."""

from kimi_agent.config.data import (
    BackgroundConfig,
    Config,
    HookConfig,
    LoopControl,
    McpConfig,
    ModelConfig,
    NotificationsConfig,
    Overrides,
    Prices,
    ProviderConfig,
    ResultFields,
    ServiceConfig,
    SubagentConfig,
    ThinkingConfig,
    ToolsConfig,
)
from kimi_agent.config.load import home_dir, load_config
from kimi_agent.config.safety import NetworkConfig, SnapshotsConfig, TrustConfig

__all__ = [
    "BackgroundConfig",
    "Config",
    "HookConfig",
    "LoopControl",
    "McpConfig",
    "ModelConfig",
    "NetworkConfig",
    "NotificationsConfig",
    "Overrides",
    "Prices",
    "ProviderConfig",
    "ResultFields",
    "ServiceConfig",
    "SnapshotsConfig",
    "SubagentConfig",
    "ThinkingConfig",
    "ToolsConfig",
    "TrustConfig",
    "home_dir",
    "load_config",
]
