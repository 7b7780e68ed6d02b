"""What WriteFile and StrReplaceFile share: one change is planned, shown, checked and made."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ToolError
from kimi_agent.core.tool import ToolContext, ToolOutput, text_output
from kimi_agent.core.workspace import Stat, Workspace
from kimi_agent.tools.known_files import Change, KnownFiles
from kimi_agent.tools.paths import shown

EDIT_LIMIT = 16 << 20
"""Bytes of the largest file that is edited: it is held in memory several times over."""


class EditTool:
    """A tool that changes one file. A subclass says in `plan` what the change is."""

    def __init__(self, files: KnownFiles | None = None) -> None:
        self._files = files or KnownFiles()

    async def plan(self, params: Any, path: Path, ctx: ToolContext) -> Change:
        """The change, computed from the file as it is now. Raises ToolError when there is none to make."""
        raise NotImplementedError

    def effects(self, params: Any, ctx: ToolContext) -> Sequence[Effect]:
        return (Effect("write", str(ctx.workspace.resolve(params.path))),)

    async def preview(self, params: Any, ctx: ToolContext) -> Any:
        change = await self.plan(params, ctx.workspace.resolve(params.path), ctx)
        self._files.approve(ctx.call_id, change)
        return change.diff

    async def run(self, params: Any, ctx: ToolContext) -> ToolOutput:
        path = ctx.workspace.resolve(params.path)
        async with self._files.lock(path):
            change = await self.plan(params, path, ctx)
            self._files.check_approved(ctx.call_id, change, shown(path, ctx.workspace))
            if change.after != change.before or change.expect is None:
                stat = await ctx.workspace.write(path, change.after, change.expect)
                self._files.saw(path, stat, change.after)
        return text_output(change.summary, change.diff)

    async def current(self, path: Path, workspace: Workspace) -> tuple[Stat | None, bytes]:
        """State and content of the file now. Raises StaleFileError when it is not what the session saw last."""
        name = shown(path, workspace)
        stat = await workspace.stat(path)
        if stat is not None and stat.is_dir:
            raise ToolError(f"{name} is a folder, not a file.")
        if stat is not None and stat.size > EDIT_LIMIT:
            raise ToolError(f"{name} has {stat.size:,} bytes; files over {EDIT_LIMIT:,} are edited with Shell (sed).")
        data = b"" if stat is None else await workspace.read(path)
        self._files.check_fresh(path, stat, data, name)
        return stat, data


def target_name(given: str, path: Path, workspace: Workspace) -> str:
    """The file as it is named in a result; a symbolic link is named with what it leads to."""
    plain = workspace.root / given
    name = shown(path, workspace)
    return f"{given} -> {name}" if plain.name != path.name or plain.is_symlink() else name
