"""Which documents are read, by suffix, and how: always in a process of its own (`python -m kimi_documents.child`)."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

from kimi_agent.core.errors import ToolError
from kimi_agent.core.reader import Reader
from kimi_agent.tools.isolated import isolated
from kimi_documents.part import WHOLE, Part

KINDS = {".pdf": "pdf", ".docx": "docx", ".xlsx": "xlsx", ".xlsm": "xlsx", ".pptx": "pptx", ".ipynb": "ipynb"}
LEGACY = {".doc": "docx", ".xls": "xlsx", ".ppt": "pptx"}


async def read(suffix: str, document: bytes, part: Part = WHOLE) -> str:
    """The text of a document, or of a part of it. Raises ToolError, worded for the model."""
    return await isolated("kimi_documents.child", KINDS[suffix], part.to_json(), document=document)


def _reader(suffix: str) -> Reader:
    return lambda document: asyncio.run(read(suffix, document))


def refuse_legacy(suffix: str, document: bytes = b"") -> str:
    """Raises ToolError that says what to do with a document of the time before 2007."""
    new = LEGACY[suffix]
    raise ToolError(
        f"{suffix} is Microsoft's binary format of before 2007, which is not read. Convert it with Shell "
        f"(soffice --headless --convert-to {new} FILE) or ask the user for a .{new}."
    )


_refusals: Mapping[str, Callable[[bytes], str]] = {suffix: partial(refuse_legacy, suffix) for suffix in LEGACY}
READERS: Mapping[str, Reader] = {**{suffix: _reader(suffix) for suffix in KINDS}, **_refusals}
