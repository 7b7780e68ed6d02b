"""The text of a web page or a PDF, read in a process of its own: it can be killed and its memory is bounded.

As a program (`python -m kimi_agent.tools.extract html|pdf URL`) it takes the document on stdin and writes text to stdout.
"""

import asyncio
import copy
import os
import sys
from contextlib import suppress
from typing import Any

from kimi_agent.core.errors import ToolError

MAX_CHARS = 5_000_000
_MEMORY = 2 << 30  # bytes of address space; a large page takes about 0.4 GB
_CPU_S = 120  # whoever wanted the text may be gone without having killed this
_THIN = 250  # characters below which an extraction is doubted
_UNSEEN = ("script", "style", "noscript", "template", "svg", "head")
_AROUND = ("nav", "footer")
_INLINE = frozenset(
    ["a", "abbr", "b", "cite", "code", "em", "font", "i", "kbd", "mark", "q", "s", "small", "span", "strong"]
)
_ENV = ("HOME", "PATH", "LANG", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "VIRTUAL_ENV")
"""All that the reader of hostile documents is given of the environment: no key, no token."""


async def extract(kind: str, document: bytes, url: str) -> str:
    """`kind` is `html` (the document in UTF-8) or `pdf`. Raises ToolError when nothing can be read from it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "kimi_agent.tools.extract", kind, url),  # -P: nothing of the folder is imported
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={name: os.environ[name] for name in _ENV if name in os.environ},
        start_new_session=True,
    )
    try:
        text, trouble = await process.communicate(document)
    except BaseException:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        lines = trouble.decode("utf-8", "replace").strip().splitlines() or ["it took too much memory or time"]
        raise ToolError(f"The {kind.upper()} document cannot be read: {lines[-1][:300]}")
    return text.decode("utf-8", "replace")


def html_to_markdown(page: str, url: str) -> str:
    """The main content as Markdown, or the whole page where no main content is found."""
    import trafilatura

    found = (
        trafilatura.extract(
            page, url=url, output_format="markdown", include_links=True, include_tables=True, favor_recall=True
        )
        or ""
    )
    return found if len(found) >= _THIN else _whole_page(page, url) or found


def _whole_page(page: str, url: str) -> str:
    """The page as Markdown without what surrounds its content; with it where nothing else is there."""
    from lxml import etree, html

    try:
        tree = html.document_fromstring(page.encode("utf-8"), parser=html.HTMLParser(encoding="utf-8", huge_tree=True))
    except etree.ParserError:
        return ""
    title = " ".join(tree.findtext(".//title", "").split())
    tree.make_links_absolute(url, handle_failures="ignore")
    etree.strip_elements(tree, *_UNSEEN, with_tail=False)
    content = copy.deepcopy(tree)
    etree.strip_elements(content, *_AROUND, with_tail=False)
    text = _markdown(content) or _markdown(tree)
    return f"# {title}\n\n{text}" if title and text and not text.startswith("# ") else text


def _markdown(tree: Any) -> str:
    from lxml import html
    from markdownify import markdownify

    source = html.tostring(tree, encoding="unicode")
    try:
        text = markdownify(
            source,
            bs4_options="lxml",
            heading_style="ATX",
            bullets="-",
            strip=["img"],
            escape_asterisks=False,  # the reader is a model, not a renderer
            escape_underscores=False,
        )
    except RecursionError:  # hundreds of elements in one another
        return _visible_text(tree)
    return str(text).strip()


def _visible_text(tree: Any) -> str:
    """One line per block that holds some text."""
    from lxml import etree

    for element in tree.iter(etree.Element):
        if element.tag not in _INLINE:
            element.text = "\n" + (element.text or "")
            element.tail = "\n" + (element.tail or "")
    lines = (" ".join(line.split()) for line in str(tree.text_content()).splitlines())
    return "\n".join(line for line in lines if line)


def pdf_to_text(document: bytes) -> str:
    """Page by page, each below a heading of its number."""
    import io

    from pypdf import PdfReader

    pieces, size = [], 0
    for number, page in enumerate(PdfReader(io.BytesIO(document)).pages, start=1):
        text = page.extract_text().strip()
        pieces.append(f"## Page {number}\n\n{text}")
        size += len(text)
        if size > MAX_CHARS:
            break
    return "\n\n".join(pieces)


def main() -> int:
    import resource

    with suppress(ValueError, OSError):  # a tighter limit is in force
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
    document = sys.stdin.buffer.read()
    try:
        if sys.argv[1] == "pdf":
            text = pdf_to_text(document)
        else:
            text = html_to_markdown(document.decode("utf-8", "replace"), sys.argv[2])
    except MemoryError:
        sys.stderr.write("it takes too much memory\n")
        return 1
    except Exception as error:  # a hostile document can raise anything in the libraries
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    sys.stdout.buffer.write(text[:MAX_CHARS].encode("utf-8", "replace"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
