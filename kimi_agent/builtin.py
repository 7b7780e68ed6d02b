"""The built-in plugin: what comes with the program, through the same door as everything else."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from kimi_agent import __version__
from kimi_agent.commands import COMMANDS
from kimi_agent.core.access import BoxView
from kimi_agent.core.tool import Tool
from kimi_agent.core.workspace import Workspace
from kimi_agent.frontends import FRONTENDS
from kimi_agent.plugin import Host, Plugin
from kimi_agent.providers import PROVIDERS, make_provider

NAME = "kimi"
SKILLS = Path(__file__).with_name("skills")
"""The skills of lowest rank: any other of the same name comes before them."""


def builtin_plugin(*, think: bool, moves_on_timeout: bool = True, box: BoxView | None = None) -> Plugin:
    """`think` offers the Think tool, for models that do not reason on their own; the rest see `builtin_tools`."""

    def tools(host: Host) -> Iterable[Tool]:
        from kimi_agent.tools import builtin_tools

        return builtin_tools(
            think=think,
            media=host.model.sees,
            allow_private=host.allow_private,
            readers=host.readers,
            services=host.services,
            moves_on_timeout=moves_on_timeout,
            is_private=host.is_private,
            proved=host.proved,
            box=box,
        )

    return Plugin(
        name=NAME,
        description="what comes with the program",
        version=__version__,
        tools=tools,
        commands=tuple(COMMANDS.values()),
        providers=dict.fromkeys(PROVIDERS, make_provider),
        frontends=FRONTENDS,
        workspaces={"local": _local},
    )


def _local(folder: Path, extra_roots: Sequence[Path]) -> Workspace:
    from kimi_agent.workspaces.local import LocalWorkspace

    return LocalWorkspace(folder, tuple(extra_roots))
