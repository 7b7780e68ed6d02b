"""ReadFile: a bounded window of a text file, with line numbers and the way to go on."""

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct

from kimi_agent.core.display import Display, Plain
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ToolError
from kimi_agent.core.tool import ToolContext, ToolOutput, text_output
from kimi_agent.tools.known_files import KnownFiles
from kimi_agent.tools.lines import WHOLE, LargeFile, Window, window_of
from kimi_agent.tools.paths import missing, shown
from kimi_agent.tools.prompts import prompt
from kimi_agent.tools.textfile import HEAD, kind_of

MAX_LINES = 1000


class ReadFileParams(Struct, frozen=True):
    path: str
    line_offset: Annotated[int, Meta(description="First line to read; negative counts from the end")] = 1
    n_lines: Annotated[int, Meta(ge=1)] = MAX_LINES


class ReadFile:
    name = "ReadFile"
    description = prompt(__file__)
    Params: type[Any] = ReadFileParams

    def __init__(self, files: KnownFiles | None = None) -> None:
        self._files = files or KnownFiles()

    def effects(self, params: ReadFileParams, ctx: ToolContext) -> Sequence[Effect]:
        return (Effect("read", str(ctx.workspace.resolve(params.path))),)

    async def preview(self, params: ReadFileParams, ctx: ToolContext) -> Display | None:
        return None

    async def run(self, params: ReadFileParams, ctx: ToolContext) -> ToolOutput:
        path = ctx.workspace.resolve(params.path)
        name = shown(path, ctx.workspace)
        stat = await ctx.workspace.stat(path)
        if stat is None:
            raise await missing(path, ctx.workspace)
        if stat.is_dir:
            raise ToolError(f"{name} is a folder. List it with Glob or Shell (ls).")
        small = stat.size <= WHOLE
        data = await ctx.workspace.read(path, WHOLE if small else HEAD)
        if kind := kind_of(data[:HEAD]):
            raise ToolError(f"{name} is {kind}, not text. {_other_way(kind)}")
        offset, count = params.line_offset or 1, min(params.n_lines, MAX_LINES)
        large = LargeFile(ctx.workspace, path, stat)
        window = window_of(data, offset, count) if small else await large.window(offset, count)
        self._files.saw(path, stat, window.content)
        if not window.lines and offset > 1:
            total = "fewer lines" if window.total is None else f"only {window.total:,} line{'s' * (window.total != 1)}"
            raise ToolError(f"{name} has {total}: there is no line {offset:,}.")
        numbered = [f"{number:6d}\t{line}" for number, line in enumerate(window.lines, window.first)]
        count = len(window.lines)
        for_user = Plain(f"{count} line{'s' if count != 1 else ''} of {name}")
        return text_output("\n".join([*numbered, _footer(window)]), for_user)


def _footer(window: Window) -> str:
    """Where the window ends and how to go on, and what about the file a reader could not guess."""
    last, total = window.first + len(window.lines) - 1, window.total
    if total == 0:
        where = "The file is empty"
    elif total is None:
        more = f"; go on with line_offset={last + 1}" if last != -1 else ""
        where = f"Lines {window.first}..{last} of a file too large to count{more}"
    elif last < total:
        where = f"Lines {window.first}-{last} of {total}; go on with line_offset={last + 1}"
    else:
        where = f"End of file, {total} line{'s' if total != 1 else ''}"
    traits = [window.encoding.label, "CRLF line ends" if window.crlf else ""]
    if window.cut:
        traits.append("long lines cut: see them whole with Shell (cut -c)")
    return f"[{'; '.join([where, *filter(None, traits)])}]"


def _other_way(kind: str) -> str:
    if kind.endswith("image"):
        return "Look at it with ReadMediaFile."
    if kind.startswith("a PDF"):
        return "Extract its text with Shell (pdftotext)."
    if "archive" in kind or "database" in kind:
        return "Look into it with Shell."
    return "Use Shell if you need it (file, strings, xxd)."
