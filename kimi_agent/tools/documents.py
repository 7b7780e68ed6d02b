"""Documents that are no text files, read by the plugins' readers, by suffix."""

from collections.abc import Mapping
from pathlib import Path

from kimi_agent.core.errors import ToolError
from kimi_agent.core.reader import Reader
from kimi_agent.core.sanitize import plain
from kimi_agent.core.workspace import Stat, Workspace

MAX_BYTES = 64 << 20
"""Bytes of a document."""
SUFFIXES = frozenset({".pdf", ".docx", ".xlsx", ".xlsm", ".pptx", ".doc", ".xls", ".ppt"})
"""Binary files that the plugin `documents` reads, for the word about it where it is missing."""


class Documents:
    """Keeps the latest text: a long document is read window by window."""

    def __init__(self, readers: Mapping[str, Reader]) -> None:
        self._readers = readers
        self._latest: tuple[Path, str, str] | None = None  # path, key of its state, text

    def reads(self, path: Path) -> bool:
        return path.suffix.lower() in self._readers

    async def text(self, workspace: Workspace, path: Path, stat: Stat, name: str) -> str:
        """The text of the document at `path`, called `name`. Raises ToolError when it cannot be read."""
        if self._latest is not None and self._latest[:2] == (path, stat.key):
            return self._latest[2]
        if stat.size > MAX_BYTES:
            raise ToolError(f"{name} has {stat.size:,} bytes; documents of up to {MAX_BYTES:,} are read.")
        document = await workspace.read(path, MAX_BYTES)
        try:
            text = plain(await self._readers[path.suffix.lower()](document))
        except ToolError as error:
            raise ToolError(f"{name}: {error.full}") from None
        except Exception as error:  # a stranger's code
            raise ToolError(f"{name} cannot be read: {type(error).__name__}: {error}") from None
        self._latest = (path, stat.key, text)
        return text
