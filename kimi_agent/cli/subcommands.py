"""The subcommands that plugins add: `kimi NAME ...`."""

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kimi_agent.cli.options import Options
from kimi_agent.cli.programs import program
from kimi_agent.cli.session_flags import flat, given_words
from kimi_agent.core.errors import KimiError
from kimi_agent.core.sanitize import plain, visible

if TYPE_CHECKING:
    from kimi_agent.plugin import Plugin


def is_subcommand(word: str) -> bool:
    return program(word) is not None or _subcommand(word) is not None


def subcommand(name: str) -> Any:
    """The command `kimi NAME` of a plugin, None when there is none. What follows the name is the plugin's own to read.

    A program of ours is told the options before its name, too.
    """
    own = program(name)
    plugin = _subcommand(name) if own is None else None
    if own is None and plugin is None:
        return None
    app = typer.Typer(add_completion=False, rich_markup_mode=None)

    @app.command(
        name,
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    )
    def call(ctx: typer.Context, arguments: Annotated[list[str] | None, typer.Argument()] = None) -> None:
        if own is not None:
            root = ctx.find_root()
            raise typer.Exit(own([*flat(given_words(root.command, root)), *(arguments or [])]))
        assert plugin is not None
        raise typer.Exit(_run(plugin, name, arguments or []))

    return typer.main.get_command(app)


def _run(plugin: "Plugin", name: str, arguments: list[str]) -> int:
    """What fails in a stranger's plugin is no fault of kimi. Raises KimiError."""
    try:
        return plugin.subcommands[name](arguments)
    except (KimiError, OSError):
        raise
    except Exception as error:
        from kimi_agent.plugins.entry_points import entry_points

        if any(ours and found == plugin.name for found, _, ours in entry_points()):
            raise
        said = f"the plugin {plugin.name} failed: {type(error).__name__}: {visible(plain(str(error)))}"
        raise KimiError(said, f"kimi --debug shows where; kimi plugin disable {plugin.name} turns it off.") from error


def _subcommand(word: str) -> "Plugin | None":
    """Plugins are loaded only for a word that can be a command: a prompt is longer than one word, mostly."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,31}", word):
        return None
    from kimi_agent.plugins.load import load_plugins

    options = Options()
    loaded = load_plugins(options.home, options.load().plugins)
    return next((plugin for plugin in loaded if word in plugin.subcommands), None)
