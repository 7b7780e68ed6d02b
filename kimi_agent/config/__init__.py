"""The configuration as plain data: `config.toml`, flags and environment variables. Knows nothing of what it configures."""

from kimi_agent.config.data import (
    Config,
    HookConfig,
    LoopControl,
    McpConfig,
    ModelConfig,
    NetworkConfig,
    Overrides,
    Prices,
    ProviderConfig,
    ResultFields,
    ServiceConfig,
    ThinkingConfig,
    ToolsConfig,
)
from kimi_agent.config.load import home_dir, load_config

__all__ = [
    "Config",
    "HookConfig",
    "LoopControl",
    "McpConfig",
    "ModelConfig",
    "NetworkConfig",
    "Overrides",
    "Prices",
    "ProviderConfig",
    "ResultFields",
    "ServiceConfig",
    "ThinkingConfig",
    "ToolsConfig",
    "home_dir",
    "load_config",
]
