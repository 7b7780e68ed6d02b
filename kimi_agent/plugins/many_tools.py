"""Many command tools cost little: beyond a budget the model sees their names, and one tool that tells the rest on demand."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from kimi_agent.core.display import Display
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ToolError
from kimi_agent.core.schema import params_schema, tool_spec, validate
from kimi_agent.core.tool import ToolContext, ToolOutput, text_output
from kimi_agent.plugin import Host, Plugin
from kimi_agent.plugins.command_tool import CommandTool

BUDGET = 3_200
"""Characters that the command tools of all plugins may take together in every request: about 800 tokens."""
NAMES = 1_600
"""Characters of names that the one tool lists."""


class CallParams(msgspec.Struct, frozen=True):
    tool: str
    arguments: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class CommandTools:
    """The `tools` of a folder plugin."""

    tools: Sequence[CommandTool]

    def __call__(self, host: Host) -> Iterable[CommandTool]:
        return self.tools


class CallPluginTool:
    name = "CallPluginTool"
    Params = CallParams

    def __init__(self, tools: Sequence[CommandTool]) -> None:
        self._tools = {tool.name: tool for tool in reversed(tools)}
        names = ", ".join(tool.name for tool in tools)
        if len(names) > NAMES:
            names = names[: names.rfind(",", 0, NAMES)] + ", … (a wrong name lists all)"
        self.description = (
            f"Call a tool of a plugin. With `tool` alone it answers what that tool does and takes. Tools: {names}"
        )

    def effects(self, params: CallParams, ctx: ToolContext) -> Sequence[Effect]:
        tool = self._tool(params)
        if self._asks(params, tool):
            return ()
        return tool.effects(self._checked(params, tool), ctx)

    async def preview(self, params: CallParams, ctx: ToolContext) -> Display | None:
        tool = self._tool(params)
        return await tool.preview(self._checked(params, tool), ctx)

    async def run(self, params: CallParams, ctx: ToolContext) -> ToolOutput:
        tool = self._tool(params)
        if self._asks(params, tool):
            schema = json.dumps(params_schema(tool.Params), ensure_ascii=False)
            return text_output(f"{tool.name} (plugin {tool.plugin}): {tool.description}\nArguments: {schema}")
        return await tool.run(self._checked(params, tool), ctx)

    def _tool(self, params: CallParams) -> CommandTool:
        if params.tool not in self._tools:
            raise ToolError(f"There is no tool {params.tool[:60]!r}. Tools: {', '.join(self._tools)}.")
        return self._tools[params.tool]

    def _asks(self, params: CallParams, tool: CommandTool) -> bool:
        """Whether the call wants to know about the tool. One that takes nothing is run by its name alone."""
        return params.arguments is None and bool(tool.Params.get("properties"))

    def _checked(self, params: CallParams, tool: CommandTool) -> dict[str, Any]:
        checked: dict[str, Any] = validate(tool.Params, params.arguments or {})
        return checked


def _offered(plugin: Plugin, offers: Callable[[str], bool]) -> Plugin:
    if not isinstance(plugin.tools, CommandTools):
        return plugin
    return replace(plugin, tools=CommandTools([tool for tool in plugin.tools.tools if offers(tool.name)]))


@dataclass(slots=True)
class _Cost:
    characters: int = 0
    tools: list[CommandTool] = field(default_factory=list)


def within_budget(plugins: Sequence[Plugin], offers: Callable[[str], bool]) -> list[Plugin]:
    """The plugins; when their command tools are too many, one more plugin offers them all through one tool.

    `offers` says by name what the model may have: of what it may not have, nothing is offered through the one tool either.
    """
    plugins = [_offered(plugin, offers) for plugin in plugins]
    if not offers(CallPluginTool.name):
        return plugins
    cost = _Cost()
    for plugin in plugins:
        for tool in plugin.tools.tools if isinstance(plugin.tools, CommandTools) else ():
            cost.tools.append(tool)
            spec = tool_spec(tool)
            cost.characters += len(spec.name) + len(spec.description) + len(json.dumps(spec.schema)) + 60
    if cost.characters <= BUDGET:
        return list(plugins)
    rest = [replace(plugin, tools=None) if isinstance(plugin.tools, CommandTools) else plugin for plugin in plugins]
    one = CallPluginTool(cost.tools)
    text = f"offers the {len(cost.tools)} tools of the plugins by name"
    return [*rest, Plugin(name="plugin-tools", description=text, tools=lambda host: [one])]
