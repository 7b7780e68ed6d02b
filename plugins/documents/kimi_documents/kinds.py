"""Which documents are read, by suffix, and how: always in a process of its own (`python -m kimi_documents.child`)."""

from collections.abc import Mapping
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


def refusal(suffix: str) -> ToolError:
    """What to do with a document of the time before 2007."""
    new = LEGACY[suffix]
    return ToolError(
        f"{suffix} is Microsoft's binary format of before 2007, which is not read. Convert it with Shell "
        f"(soffice --headless --convert-to {new} FILE) or ask the user for a .{new}."
    )


async def _refuse(suffix: str, document: bytes) -> str:
    raise refusal(suffix)


READERS: Mapping[str, Reader] = {
    **{suffix: partial(read, suffix) for suffix in KINDS},
    **{suffix: partial(_refuse, suffix) for suffix in LEGACY},
}
