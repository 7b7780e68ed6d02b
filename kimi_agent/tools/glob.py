"""Glob: files by the pattern of their path."""

import asyncio
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from kimi_agent.core.display import Display, Plain
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ToolError
from kimi_agent.core.globs import glob_regex, split_literal
from kimi_agent.core.tool import ToolContext, ToolOutput, text_output
from kimi_agent.tools.recent import newest_first
from kimi_agent.tools.ripgrep import BASE, TIME_LIMIT_S, find_ripgrep, printable, run_ripgrep, shown_path

_MOST = 250


class GlobParams(msgspec.Struct, frozen=True):
    pattern: str
    directory: Annotated[str | None, msgspec.Meta(description="Where to look; by default the workspace")] = None
    include_dirs: Annotated[bool, msgspec.Meta(description="Also list folders that hold files")] = True


class Glob:
    """`command` runs ripgrep, or what takes its place; by default the best that there is on this machine."""

    name = "Glob"
    description = Path(__file__).with_suffix(".md").read_text("utf-8").strip()
    Params = GlobParams

    def __init__(self, command: Sequence[str] | None = None) -> None:
        self._command = command

    def effects(self, params: GlobParams, ctx: ToolContext) -> Sequence[Effect]:
        return (Effect("read", str(_place(params, ctx)[0])),)

    async def preview(self, params: GlobParams, ctx: ToolContext) -> Display:
        return Plain(f"{params.pattern} in {params.directory or '.'}")

    async def run(self, params: GlobParams, ctx: ToolContext) -> ToolOutput:
        base, regex = _place(params, ctx)
        found = await ctx.workspace.stat(base)
        if found is None or not found.is_dir:
            raise ToolError(f"No such folder: {shown_path(base, ctx.workspace.root)}")
        command = [*(self._command or find_ripgrep()), *BASE, "--files", "./"]
        raw = await run_ripgrep(ctx.workspace, command, base, b"\0")
        matching = await asyncio.to_thread(_matching, raw.rows, regex, params.include_dirs)
        paths = await newest_first(ctx.workspace, base, matching)
        return _answer(paths, raw.complete, shown_path(base, ctx.workspace.root))


def _place(params: GlobParams, ctx: ToolContext) -> tuple[Path, re.Pattern[str]]:
    """The folder to list and what to look for in it: leading folders without wildcard belong to the place."""
    if not params.pattern.strip("/ "):
        raise ToolError("The pattern is empty.")
    literal, rest = split_literal(params.pattern)
    base = ctx.workspace.resolve(params.directory or ".")
    if literal:
        base = ctx.workspace.resolve(literal if literal.startswith("~") else str(base / literal))
    try:
        return base, glob_regex(rest)
    except ValueError as error:
        raise ToolError(f"Invalid pattern: {error}") from None


def _matching(rows: Iterable[bytes], regex: re.Pattern[str], include_dirs: bool) -> set[bytes]:
    files = [row.removeprefix(b"./") for row in rows]
    folders = {parent for path in files for parent in _parents(path)} if include_dirs else set()
    return {path for path in {*files, *folders} if regex.fullmatch(printable(path))}


def _parents(path: bytes) -> Iterable[bytes]:
    end = path.rfind(b"/")
    while end > 0:
        yield path[:end]
        end = path.rfind(b"/", 0, end)


def _answer(paths: list[bytes], complete: bool, prefix: str) -> ToolOutput:
    lead = "" if prefix == "." else f"{prefix.rstrip('/')}/"
    lines = [lead + printable(path) for path in paths[:_MOST]] or ["No files match (ignored files are not looked at)."]
    if len(paths) > _MOST:
        lines.append(f"[{_MOST} of {len(paths):,}; narrow the pattern]")
    if not complete:
        lines.append(f"[stopped after {TIME_LIMIT_S:g} s or too many files: incomplete; narrow the pattern]")
    return text_output("\n".join(lines), Plain(f"{len(paths):,} found" if paths else "nothing found"))
