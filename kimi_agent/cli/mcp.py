"""`kimi mcp ...`: a table of commands, which are loaded when one is asked for. A new one is a line here."""

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from kimi_agent.core.errors import ConfigError

COMMANDS = {
    "add": "mcp_edit:add",
    "add-json": "mcp_edit:add_json",
    "list": "mcp_list:list_servers",
    "get": "mcp_list:get",
    "remove": "mcp_edit:remove",
    "enable": "mcp_edit:enable",
    "disable": "mcp_edit:disable",
    "approve": "mcp_approve:approve",
    "revoke": "mcp_approve:revoke",
    "import": "mcp_import:import_servers",
    "test": "mcp_test:test",
    "serve": "mcp_serve:serve",
    "auth": "mcp_auth:auth",
    "login": "mcp_auth:auth",
    "reset-auth": "mcp_auth:reset_auth",
    "logout": "mcp_auth:reset_auth",
}
"""Modules of this folder, and their functions."""
_PASSES_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
SETTINGS = {"serve": {"context_settings": _PASSES_ON, "options_metavar": "[OPTIONS] [OPTIONS OF A SESSION]"}}


class _Command(TyperCommand):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except Exception as error:  # Typer's own class of it has no public name
            option = getattr(error, "option_name", "")
            if self.name != "add" or "--" in args or type(error).__name__ != "NoSuchOption":
                raise
            hint = "What belongs to the program stands behind --: kimi mcp add NAME -- npx -y some-server"
            raise ConfigError(f"kimi mcp add has no option {option}", hint) from None


class _Group(TyperGroup):
    """Every start of kimi would pay for commands that are hardly ever called."""

    _loaded: dict[str, Any] | None = None

    @property  # type: ignore[override]
    def commands(self) -> dict[str, Any]:
        if self._loaded is None:
            self._loaded = _load()
        return self._loaded

    @commands.setter
    def commands(self, value: dict[str, Any]) -> None:
        """Typer finds none: they are in the table."""


def register(app: typer.Typer) -> None:
    group = typer.Typer(cls=_Group, help="Add, show, approve and remove MCP servers.", rich_markup_mode=None)
    app.add_typer(group, name="mcp", no_args_is_help=True)


def _load() -> dict[str, Any]:
    group = typer.Typer(rich_markup_mode=None)
    for name, place in COMMANDS.items():
        module, function = place.split(":")
        settings: dict[str, Any] = SETTINGS.get(name, {})
        group.command(name, cls=_Command, **settings)(getattr(import_module(f"kimi_agent.cli.{module}"), function))
    return dict(get_group(group).commands)
