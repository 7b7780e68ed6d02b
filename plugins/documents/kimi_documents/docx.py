"""Word: paragraphs and tables in their order, in sections that begin at headings; comments and footnotes below."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kimi_documents.package import checked
from kimi_documents.part import Part, chosen

if TYPE_CHECKING:
    from docx.document import Document

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_UNSEEN = {f"{_W}del", f"{_W}moveFrom", f"{_W}instrText", f"{_W}txbxContent", _FALLBACK}
"""Deleted text, the code of fields, the copy of a drawing for old programs; text boxes are paragraphs of their own."""
_TEXT = {f"{_W}t", "{http://schemas.openxmlformats.org/officeDocument/2006/math}t"}
_NOTES = {f"{_W}footnoteReference": "footnote", f"{_W}endnoteReference": "endnote"}
_BREAKS = {f"{_W}tab": "\t", f"{_W}br": "\n", f"{_W}cr": "\n", f"{_W}noBreakHyphen": "-"}


def read(document: bytes, part: Part) -> str:
    """`[section N]` stands before each heading; `part.pages` are numbers of sections."""
    import docx

    file = docx.Document(checked(document, "word/"))
    sections: list[list[str]] = []
    for text, level in _blocks(file.element.body, _heading_levels(file)):
        if level or not sections:
            sections.append([])
        sections[-1].append(f"{'#' * level} {text}" if level else text)
    pieces = []
    for number in chosen(len(sections), part.page_range, "section"):
        pieces.append(f"[section {number}] " + "\n\n".join(sections[number - 1]))
    if part.page_range is None:
        pieces += _notes(file)
        pieces += [f"[comment by {comment.author or 'unknown'}] {comment.text}" for comment in file.comments]
    return "\n\n".join(pieces) or "(the document holds no text)"


def _heading_levels(file: "Document") -> dict[str, int]:
    """By the id of a paragraph style. Their names are English in every language of Word."""
    levels = {}
    for style in file.styles:
        if match := re.fullmatch(r"(?:heading ([1-6])|title)", (style.name or "").lower()):
            levels[style.style_id] = int(match[1] or 1)
    return levels


def _blocks(parent: Any, levels: dict[str, int]) -> Iterator[tuple[str, int]]:
    """Texts with their level as a heading, 0 for none. Content controls and text boxes are looked into."""
    for element in parent:
        if element.tag == f"{_W}p":
            style = element.find(f"{_W}pPr/{_W}pStyle")
            name = "" if style is None else style.get(f"{_W}val") or ""
            level = levels.get(name, 0)
            if text := _text(element).strip():
                listed = not level and (name.startswith("List") or element.find(f"{_W}pPr/{_W}numPr") is not None)
                yield f"- {text}" if listed else text, level
            for box in element.iter(f"{_W}txbxContent"):
                if not any(above.tag == _FALLBACK for above in box.iterancestors()):
                    yield from _blocks(box, levels)
        elif element.tag == f"{_W}tbl":
            yield _table(element), 0
        elif element.tag in (f"{_W}sdt", f"{_W}sdtContent", f"{_W}ins", f"{_W}customXml"):
            yield from _blocks(element, levels)


def _table(table: Any) -> str:
    rows = []
    for row in _inside(table, f"{_W}tr"):
        rows.append(" | ".join(" ".join(_text(cell).split()) for cell in _inside(row, f"{_W}tc")))
    return "\n".join(["[table]", *rows])


def _inside(parent: Any, tag: str) -> Iterator[Any]:
    """Children of that tag, also those in content controls; a table within a cell is text of the cell."""
    for child in parent:
        if child.tag == tag:
            yield child
        elif child.tag in (f"{_W}sdt", f"{_W}sdtContent"):
            yield from _inside(child, tag)


def _notes(file: "Document") -> Iterator[str]:
    from docx.oxml import parse_xml

    for relation in file.part.rels.values():
        kind = relation.reltype.rpartition("/")[2].removesuffix("s")
        if kind in _NOTES.values() and not relation.is_external:
            for note in parse_xml(relation.target_part.blob):
                if text := _text(note).strip():
                    yield f"[{kind} {note.get(f'{_W}id')}] {text}"


def _text(element: Any) -> str:
    pieces: list[str] = []
    _collect(element, pieces)
    return "".join(pieces)


def _collect(element: Any, pieces: list[str]) -> None:
    for child in element:
        if child.tag in _TEXT:
            pieces.append(child.text or "")
        elif child.tag in _NOTES:
            pieces.append(f"[{_NOTES[child.tag]} {child.get(f'{_W}id')}]")
        elif child.tag in _BREAKS:
            pieces.append(_BREAKS[child.tag])
        elif child.tag == f"{_W}p":
            _collect(child, pieces)
            pieces.append(" ")
        elif child.tag not in _UNSEEN:
            _collect(child, pieces)
