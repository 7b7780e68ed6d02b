"""ReadFile: a bounded window of a text file or of a document's text, with line numbers and the way to go on."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct

from kimi_agent.core.display import Display, Plain
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ToolError
from kimi_agent.core.reader import Reader
from kimi_agent.core.tool import ToolContext, ToolOutput, text_output
from kimi_agent.tools.documents import Documents
from kimi_agent.tools.known_files import KnownFiles
from kimi_agent.tools.paths import missing, shown
from kimi_agent.tools.prompts import prompt
from kimi_agent.tools.reading import MAX_LINES, read_excerpt


class ReadFileParams(Struct, frozen=True):
    path: str
    line_offset: Annotated[int, Meta(description="First line to read; negative counts from the end")] = 1
    n_lines: Annotated[int, Meta(ge=1)] = MAX_LINES


class ReadFile:
    """`readers` read documents, by suffix."""

    name = "ReadFile"
    Params: type[Any] = ReadFileParams

    def __init__(self, files: KnownFiles | None = None, readers: Mapping[str, Reader] | None = None) -> None:
        self._files = files or KnownFiles()
        self._documents = Documents(readers or {})
        also = f" Documents are read as text, too: {', '.join(readers)}." if readers else ""
        self.description = prompt(__file__) + also

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
        excerpt = await read_excerpt(
            ctx.workspace, path, stat, self._documents, params.line_offset or 1, params.n_lines
        )
        if not excerpt.extracted:
            self._files.saw(path, stat, excerpt.window.content)
        count = len(excerpt.window.lines)
        return text_output(excerpt.text(), Plain(f"{count} line{'s' if count != 1 else ''} of {name}"))
