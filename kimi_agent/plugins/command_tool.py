"""A plugin's command as a tool, as kimi-cli runs it: in the plugin's folder, arguments as JSON on stdin, stdout is the result."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from kimi_agent.core.display import Terminal
from kimi_agent.core.effect import Effect
from kimi_agent.core.sanitize import plain
from kimi_agent.core.tool import ToolContext, ToolOutput, text_output
from kimi_agent.plugins.manifest import CommandSpec, Manifest
from kimi_agent.tools.output import HeadTail, Live, spill_path
from kimi_agent.tools.reports import read_report, report_folder

TIMEOUT_S = 120.0
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_ERRORS = 8_000  # bytes of stderr that the model is shown, from its end
_APART = 'errors=$1; shift; exec "$@" 2>"$errors"'  # the workspace merges both streams; here only stdout is the result


class CommandTool:
    """`params` are the arguments as the model wrote them, valid for the tool's schema."""

    def __init__(self, spec: CommandSpec, manifest: Manifest) -> None:
        self.name = spec.name
        self.description = spec.description or f"A tool of the plugin {manifest.name}."
        self.Params: dict[str, Any] = dict(spec.parameters)
        self.plugin = manifest.name
        self._command, self._folder, self._manifest = list(spec.command), manifest.folder, manifest

    def effects(self, params: dict[str, Any], ctx: ToolContext) -> Sequence[Effect]:
        return (Effect("run", self._line(params), str(self._folder)),)

    async def preview(self, params: dict[str, Any], ctx: ToolContext) -> Terminal:
        return Terminal(self._line(params))

    async def run(self, params: dict[str, Any], ctx: ToolContext) -> ToolOutput:
        ctx.scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
        output = HeadTail(spill_path(ctx.scratch, "plugin", ctx.call_id), ctx.redactor)
        errors = spill_path(report_folder(ctx.workspace, ctx.scratch), "plugin-errors", ctx.call_id)
        live = Live(ctx.progress)

        def on_output(data: bytes) -> None:
            live.feed(output.feed(data))

        try:
            ended = await ctx.workspace.run(
                ["sh", "-c", _APART, "sh", str(errors), *self._command],
                cwd=self._folder,
                env=self._environment(ctx),
                timeout=TIMEOUT_S,
                on_output=on_output,
                stdin=_json(params).encode(),
            )
            said = plain(read_report(errors, _ERRORS).decode("utf-8", "replace")).strip()
        finally:
            live.close()
            output.close()
            with suppress(OSError):  # it may be anything
                errors.unlink(missing_ok=True)
        text = output.text().strip()
        failure = f"timed out after {TIMEOUT_S:g} s: killed" if ended.timed_out else f"exit code {ended.code}"
        if ended.code == 0:
            return text_output(text or "[no output]", Terminal(self._line(params), text, 0))
        shown = "\n".join(filter(None, (said or text, f"[{failure}]")))
        return text_output(shown, Terminal(self._line(params), said or text, ended.code), is_error=True)

    def _line(self, params: Mapping[str, Any]) -> str:
        """The call as one would type it in the plugin's folder."""
        return f"{shlex.join(self._command)} <<< {shlex.quote(_json(params))}"

    def _environment(self, ctx: ToolContext) -> dict[str, str]:
        """Python leaves no compiled files in the plugin's folder: they would count as a change of the plugin."""
        folder = {"KIMI_PLUGIN_ROOT": str(self._folder), "KIMI_WORK_DIR": str(ctx.workspace.root)}
        return {**folder, "PYTHONDONTWRITEBYTECODE": "1", **_injected(self._manifest)}


def _json(params: Mapping[str, Any]) -> str:
    return json.dumps(params, ensure_ascii=False).encode("utf-8", "replace").decode()


def _injected(manifest: Manifest) -> dict[str, str]:
    """What the person let the plugin have, from its config file, as the variables that kimi-cli sets.

    A dotted key names no variable that a shell would hand on: it is a place in the file only.
    """
    if not manifest.inject:
        return {}
    with suppress(OSError, ValueError, RecursionError):
        config = json.loads((manifest.folder / manifest.config_file).read_text("utf-8"))
        found = {target: value_at(config, target) for target in manifest.inject}
        return {
            name: value for name, value in found.items() if isinstance(value, str) and value and _VARIABLE.match(name)
        }
    return {}


def value_at(config: Any, dotted: str) -> Any:
    """What a nested table holds at `a.b.c`; None when there is nothing."""
    for key in dotted.split("."):
        config = config.get(key) if isinstance(config, dict) else None
    return config
