"""ReadMediaFile: a picture for a model that can see."""

import asyncio
import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from kimi_agent.core.display import Display, Pictures
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ToolError
from kimi_agent.core.message import Image, Text
from kimi_agent.core.tool import ToolContext, ToolOutput
from kimi_agent.core.workspace import Stat, Workspace
from kimi_agent.tools.images import shrink
from kimi_agent.tools.paths import missing, shown
from kimi_agent.tools.prompts import prompt
from kimi_agent.tools.textfile import HEAD, kind_of

MAX_BYTES = 64 << 20


class ReadMediaFileParams(Struct, frozen=True):
    path: str


class ReadMediaFile:
    name = "ReadMediaFile"
    description = prompt(__file__)
    Params: type[Any] = ReadMediaFileParams

    def effects(self, params: ReadMediaFileParams, ctx: ToolContext) -> Sequence[Effect]:
        return (Effect("read", str(ctx.workspace.resolve(params.path))),)

    async def preview(self, params: ReadMediaFileParams, ctx: ToolContext) -> Display | None:
        return None

    async def run(self, params: ReadMediaFileParams, ctx: ToolContext) -> ToolOutput:
        path = ctx.workspace.resolve(params.path)
        name = shown(path, ctx.workspace)
        if (stat := await ctx.workspace.stat(path)) is None:
            raise await missing(path, ctx.workspace)
        if not (kind := kind_of(await ctx.workspace.read(path, HEAD))).endswith("image"):
            raise ToolError(f"{name} is {kind}: only pictures can be sent." if kind else _text_hint(name))
        line, image = await picture_of(ctx.workspace, path, stat, kind)
        return ToolOutput((Text(line), image), Pictures(line, (image,)))


async def picture_of(workspace: Workspace, path: Path, stat: Stat, kind: str) -> tuple[str, Image]:
    """The picture made fit to send, with a line about it. `kind` is what `kind_of` called it. Raises ToolError."""
    name = shown(path, workspace)
    if stat.size > MAX_BYTES:
        raise ToolError(f"{name} has {stat.size:,} bytes; the limit is {MAX_BYTES:,}.")
    data = await workspace.read(path, MAX_BYTES)
    try:
        picture = await asyncio.to_thread(shrink, data)
    except ToolError as error:
        raise ToolError(f"{name}: {error}") from None
    width, height = picture.original_size
    line = f"{name}: {kind.split(' ', 1)[1]}, {width}x{height} pixels"
    if picture.size != picture.original_size:
        line += f", shown at {picture.size[0]}x{picture.size[1]}"
    return line, Image(base64.b64encode(picture.data).decode(), picture.media_type, name)


def _text_hint(name: str) -> str:
    return f"{name} is text, not a picture. Read it with ReadFile."
