"""Plugins as `build` takes them. A broken one is named and left out, whatever it does; one that is off is not looked into."""

import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

from kimi_agent.core.errors import KimiError
from kimi_agent.plugin import MakeTools, Plugin
from kimi_agent.plugins.find import Found, find
from kimi_agent.plugins.manifest import Manifest, one_line, read_manifest


def load_plugins(
    home: Path, options: Mapping[str, Mapping[str, Any]], offers: Callable[[str], bool] = lambda tool: True
) -> list[Plugin]:
    """Every plugin that is on, by name, and for each that is left out a `Plugin` with the reason in its `problems`.

    `options` are the tables `[plugins.NAME]` of config.toml; `enabled = false` turns one off. `offers` says which
    tools the model may have.
    """
    wanted = [found for found in find(home, options) if found.state != "off"]
    plugins = [load(found) for found in wanted]
    if not any(found.folder and plugin.tools for found, plugin in zip(wanted, plugins, strict=True)):
        return plugins
    from kimi_agent.plugins.many_tools import within_budget

    return within_budget(plugins, offers)


def load(found: Found) -> Plugin:
    """The plugin, or one that adds nothing and says why. Never raises, but for a person's interrupt.

    What a plugin prints while it is loaded goes to standard error: standard output is the answer's.
    """
    if found.state != "on":
        return Plugin(name=found.name, problems=[f"it is left out: {found.problem}"])
    try:
        with redirect_stdout(sys.stderr):
            plugin = _from_python(found) if found.target else as_plugin(read_manifest(found.folder or Path()))
        if plugin.name != found.name:
            raise ValueError(f"it calls itself {one_line(plugin.name, 80)!r}")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a stranger's code: it may even call sys.exit
        kind = "" if isinstance(error, KimiError) else f"{type(error).__name__}: "
        return Plugin(name=found.name, problems=[f"it is left out: {kind}{one_line(str(error))}"])
    return plugin


def as_plugin(manifest: Manifest) -> Plugin:
    return Plugin(
        name=manifest.name,
        description=manifest.description,
        version=manifest.version,
        tools=_command_tools(manifest) if manifest.tools else None,
        hooks=manifest.hooks,
        agents=manifest.agents,
        skills=manifest.skills,
        prompts=manifest.prompts,
        mcp_servers=manifest.mcp_servers,
        problems=manifest.problems,
    )


def _command_tools(manifest: Manifest) -> MakeTools:
    from kimi_agent.plugins.command_tool import CommandTool
    from kimi_agent.plugins.many_tools import CommandTools

    return CommandTools([CommandTool(spec, manifest) for spec in manifest.tools])


def _from_python(found: Found) -> Plugin:
    from kimi_agent.plugins.shape import check_shape

    module, _, attribute = found.target.partition(":")
    value: Any = import_module(module)
    for name in attribute.split("."):
        value = getattr(value, name)
    plugin = value() if callable(value) else value
    if not isinstance(plugin, Plugin):
        raise TypeError(f"{found.target} is no Plugin but a {type(plugin).__name__}")
    check_shape(plugin)
    return plugin
