"""The text of a web page or a PDF, read in a process of its own.

As a program (`python -m kimi_agent.tools.extract html|pdf URL`) it takes the document on stdin and writes text to stdout.
"""

import copy
import sys
from typing import Any

from kimi_agent.core.errors import ToolError
from kimi_agent.tools.isolated import answer, isolated
from kimi_agent.tools.pdf import pdf_to_text

_THIN = 250  # characters below which an extraction is doubted
_UNSEEN = ("script", "style", "noscript", "template", "svg", "head")
_AROUND = ("nav", "footer")
_INLINE = frozenset(
    ["a", "abbr", "b", "cite", "code", "em", "font", "i", "kbd", "mark", "q", "s", "small", "span", "strong"]
)


async def extract(kind: str, document: bytes, url: str) -> str:
    """`kind` is `html` (the document in UTF-8) or `pdf`. Raises ToolError when nothing can be read from it."""
    try:
        return await isolated("kimi_agent.tools.extract", kind, url, document=document)
    except ToolError as error:
        raise ToolError(f"The {kind.upper()} document cannot be read: {error}") from None


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


def main() -> int:
    if sys.argv[1] == "pdf":
        return answer(pdf_to_text)
    return answer(lambda document: html_to_markdown(document.decode("utf-8", "replace"), sys.argv[2]))


if __name__ == "__main__":
    sys.exit(main())
