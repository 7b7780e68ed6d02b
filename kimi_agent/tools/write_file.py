"""WriteFile: a whole text file, new or over an old one, or more text at its end."""

from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from kimi_agent.core.errors import StaleFileError, ToolError
from kimi_agent.core.tool import ToolContext
from kimi_agent.tools.diff import diff_of, split_lines
from kimi_agent.tools.editing import EDIT_LIMIT, EditTool, target_name
from kimi_agent.tools.known_files import Change
from kimi_agent.tools.prompts import prompt
from kimi_agent.tools.textfile import Encoding, TextFile, decode, main_line_end, with_line_ends


class WriteFileParams(Struct, frozen=True):
    path: str
    content: str
    mode: Literal["overwrite", "append"] = "overwrite"


class WriteFile(EditTool):
    name = "WriteFile"
    description = prompt(__file__)
    Params: type[Any] = WriteFileParams

    async def plan(self, params: WriteFileParams, path: Path, ctx: ToolContext) -> Change:
        stat, data = await self.current(path, ctx.workspace)
        name = target_name(params.path, path, ctx.workspace)
        file = decode(data, name) if data else TextFile("", Encoding("utf-8"))
        if data and params.mode == "overwrite" and not self._files.knows(path):
            raise StaleFileError(
                f"{name} exists and has not been read in this session. Read it first, or change a part of it with "
                "StrReplaceFile."
            )
        added = _fitted(params.content, file)
        file.encoding.encode_new(added)
        text = file.text + added if params.mode == "append" else added
        after = file.encode(text) if params.mode == "overwrite" else data + file.encoding.encode_new(added)
        if len(after) > EDIT_LIMIT:
            raise ToolError(f"{name} would have {len(after):,} bytes; the limit is {EDIT_LIMIT:,}.")
        diff = diff_of(str(path), file.text, text, created=stat is None)
        return Change(
            path, stat, data, after, diff, _summary(name, params, stat is None, data == after, len(split_lines(added)))
        )


def _fitted(content: str, file: TextFile) -> str:
    """`content` with the line ends that the file has, unless it brings its own; without a second byte order mark."""
    if file.encoding.bom or file.text:
        content = content.removeprefix("\ufeff")
    return content if "\r\n" in content else with_line_ends(content, main_line_end(file.text))


def _summary(name: str, params: WriteFileParams, created: bool, same: bool, lines: int) -> str:
    count = f"{lines} line{'s' if lines != 1 else ''}"
    if created:
        return f"Created {name}: {count}."
    if same:
        return f"{name} has this content already: nothing was written."
    return f"Appended {count} to {name}." if params.mode == "append" else f"Overwrote {name}: {count}."
