"""The migrate plugin: `kimi migrate` brings over what other agents have: settings, MCP servers, skills, hooks, sessions."""

from collections.abc import Sequence

from kimi_agent import __version__
from kimi_agent.plugin import Plugin


def _migrate(arguments: Sequence[str]) -> int:
    from kimi_migrate.command import migrate

    return migrate(arguments)


plugin = Plugin(
    name="migrate",
    description="brings settings and sessions of kimi-cli, kimi-code, Claude Code and Codex over",
    version=__version__,
    subcommands={"migrate": _migrate},
)
