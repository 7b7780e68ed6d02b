"""A file as the model reads it: a window of its lines, numbered, and a line that says how to go on."""

from pathlib import Path

from msgspec import Struct

from kimi_agent.core.errors import ToolError
from kimi_agent.core.workspace import Stat, Workspace
from kimi_agent.tools.documents import SUFFIXES, Documents
from kimi_agent.tools.lines import WHOLE, LargeFile, Window, window_of
from kimi_agent.tools.paths import shown
from kimi_agent.tools.textfile import HEAD, kind_of

MAX_LINES = 1000


class Excerpt(Struct, frozen=True):
    """`extracted` says that the lines are those of a document's text, not of the file."""

    window: Window
    extracted: bool = False

    @property
    def last(self) -> int:
        return self.window.first + len(self.window.lines) - 1

    def text(self) -> str:
        numbered = [f"{number:6d}\t{line}" for number, line in enumerate(self.window.lines, self.window.first)]
        return "\n".join([*numbered, self._footer()])

    def _footer(self) -> str:
        """Where the window ends and how to go on, and what about the file a reader could not guess."""
        window, last, total = self.window, self.last, self.window.total
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
        if self.extracted:
            traits.append("text extracted from the document: the numbers are not those of the file's own lines")
        if window.cut:
            traits.append("long lines cut" if self.extracted else "long lines cut: see them whole with Shell (cut -c)")
        return f"[{'; '.join([where, *filter(None, traits)])}]"


async def read_excerpt(
    workspace: Workspace, path: Path, stat: Stat, documents: Documents, offset: int, count: int
) -> Excerpt:
    """Up to `count` lines from line `offset` on (counted from the end when it is negative), at most MAX_LINES.

    A document is read by its reader; one that is a text file after all, where the reader cannot, as text. Raises ToolError
    for what cannot be read, with another way to look at it, and when there is no line `offset`.
    """
    name, count = shown(path, workspace), min(count, MAX_LINES)
    small = stat.size <= WHOLE
    data = await workspace.read(path, WHOLE if small else HEAD)
    kind = kind_of(data[:HEAD])
    text: str | None = None
    if documents.reads(path):
        try:
            text = await documents.text(workspace, path, stat, name)
        except ToolError:
            if kind:
                raise
    if text is not None:
        window = window_of(text.encode("utf-8", "replace"), offset, count)
    elif kind:
        raise ToolError(f"{name} is {kind}, not text. {_other_way(kind, path)}")
    else:
        large = LargeFile(workspace, path, stat)
        window = window_of(data, offset, count) if small else await large.window(offset, count)
    if not window.lines and offset > 1:
        total = "fewer lines" if window.total is None else f"only {window.total:,} line{'s' * (window.total != 1)}"
        raise ToolError(f"{name} has {total}: there is no line {offset:,}.")
    return Excerpt(window, text is not None)


def _other_way(kind: str, path: Path) -> str:
    if kind.endswith("image"):
        return "Look at it with ReadMediaFile."
    plugin = "The plugin `documents` reads it, but it is not loaded. " if path.suffix.lower() in SUFFIXES else ""
    if kind.startswith("a PDF"):
        return f"{plugin}Extract its text with Shell (pdftotext)."
    if plugin:
        return f"{plugin}Convert it with Shell (soffice --headless --convert-to txt)."
    if "archive" in kind or "database" in kind:
        return "Look into it with Shell."
    return "Use Shell if you need it (file, strings, xxd)."
