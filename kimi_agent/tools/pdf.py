"""The text of a PDF, page by page. It runs where hostile documents may be read: in a process of its own (isolated.py)."""

import io
from typing import TYPE_CHECKING

from kimi_agent.core.errors import ToolError
from kimi_agent.tools.isolated import MAX_CHARS

if TYPE_CHECKING:
    from pypdf import PdfReader

MAX_PAGES = 5000


def pdf_to_text(document: bytes, pages: range | None = None) -> str:
    """Each page below `[page N]`; `pages` (from 1) are those that are wanted, by default all.

    Raises ToolError for a PDF that is damaged, locked or has no text.
    """
    reader = _opened(document)
    count = len(reader.pages)
    wanted = range(1, count + 1) if pages is None else range(pages.start, min(pages.stop, count + 1))
    if not wanted:
        raise ToolError(f"The PDF has {count:,} page{'s' * (count != 1)}: there is no page {wanted.start:,}.")
    pieces, size, found = [], 0, False
    for number in wanted[:MAX_PAGES]:
        text, instead = "", "(no text on this page)"
        try:
            text = reader.pages[number - 1].extract_text().strip()
        except MemoryError:
            raise
        except Exception as error:  # one damaged page must not cost the others
            instead = f"(this page cannot be read: {type(error).__name__}: {error})"
        found = found or bool(text)
        pieces.append(f"[page {number}]\n{text or instead}")
        size += len(text)
        if size > MAX_CHARS:
            break
    if not found:
        which = "The PDF has" if len(wanted) == count else f"Pages {wanted.start}-{wanted.stop - 1} have"
        raise ToolError(
            f"{which} no text: probably a scan. Turn pages into pictures with Shell (pdftoppm -r 100 -png) and look at "
            "them with ReadMediaFile, or use OCR (ocrmypdf)."
        )
    if len(pieces) < len(wanted):
        pieces.append(f"[only {len(pieces):,} of {len(wanted):,} pages were read]")
    return "\n\n".join(pieces)


def _opened(document: bytes) -> "PdfReader":
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(io.BytesIO(document))
        if reader.is_encrypted and not reader.decrypt(""):
            raise ToolError("The PDF is locked by a password. Ask the user for a copy without (qpdf --decrypt).")
        len(reader.pages)
    except PyPdfError as error:
        raise ToolError(f"The PDF is damaged: {error}.") from None
    return reader
