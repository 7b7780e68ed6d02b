"""Documents for tests: sound ones made by the libraries, and hostile ones made by hand."""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

NOTEBOOK = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {"kernelspec": {"language": "python"}},
    "cells": [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": ["# Plan\n", "of the year"]},
        {
            "cell_type": "code",
            "id": "b",
            "metadata": {},
            "execution_count": 7,
            "source": "print(40 + 2)",
            "outputs": [
                {"output_type": "stream", "name": "stdout", "text": ["42\n"]},
                {"output_type": "display_data", "metadata": {}, "data": {"image/png": "aGk=", "text/plain": "<Figure>"}},
                {"output_type": "error", "ename": "KeyError", "evalue": "'x'", "traceback": ["\u001b[31mKeyError\u001b[0m: 'x'"]},
            ],
        },
    ],
}  # fmt: skip


def make_pdf(*pages: str) -> bytes:
    """One line of text per page; an empty one makes a page without text."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, text in enumerate(pages):
        stream = f"BT /F1 24 Tf 72 720 Td ({text}) Tj ET".encode() if text else b""
        contents = 5 + 2 * number
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % contents
        )
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
    out = io.BytesIO(b"%PDF-1.4\n")
    out.seek(0, 2)
    offsets = []
    for number, content in enumerate(objects, start=1):
        offsets.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, content))
    table, count = out.tell(), len(objects) + 1
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % count + b"".join(b"%010d 00000 n \n" % at for at in offsets))
    out.write(b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (count, table))
    return out.getvalue()


def locked_pdf(password: str, *pages: str) -> bytes:
    """Encrypted with AES. With an empty password every reader opens it, as most locked documents in the wild."""
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(make_pdf(*pages))))
    writer.encrypt(password, "owner", algorithm="AES-256")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def make_docx() -> bytes:
    """Two headings, a list, a table with a merged cell, a link and a comment."""
    from docx import Document

    document = Document()
    document.add_paragraph("Before all")
    document.add_heading("Budget", 1)
    document.add_paragraph("Rent is due.")
    document.add_paragraph("first", style="List Bullet")
    table = document.add_table(2, 2)
    for cell, text in zip((c for row in table.rows for c in row.cells), ("Item", "Price", "Rent", "1200"), strict=True):
        cell.text = text
    document.add_heading("Outlook", 2)
    run = document.add_paragraph().add_run("Fine.")
    document.add_comment(run, text="Really?", author="Ada")
    return _saved(document)


def make_xlsx(rows: Mapping[str, Sequence[Sequence[Any]]]) -> bytes:
    """A workbook by sheet; formulas have no saved value, as nobody has computed them."""
    from openpyxl import Workbook

    book = Workbook()
    book.remove(book.active)
    for name, lines in rows.items():
        sheet = book.create_sheet(name)
        for line in lines:
            sheet.append(list(line))
    return _saved(book)


def make_pptx() -> bytes:
    """Two slides: the first with notes, the second with a table."""
    from pptx import Presentation
    from pptx.util import Inches

    show = Presentation()
    first = show.slides.add_slide(show.slide_layouts[1])
    first.shapes.title.text, first.placeholders[1].text = "Results", "Up by half"
    first.notes_slide.notes_text_frame.text = "Say it slowly"
    second = show.slides.add_slide(show.slide_layouts[5])
    second.shapes.title.text = "Numbers"
    table = second.shapes.add_table(1, 2, Inches(1), Inches(2), Inches(4), Inches(1)).table
    table.cell(0, 0).text, table.cell(0, 1).text = "Q1", "17"
    return _saved(show)


def make_ipynb() -> bytes:
    return json.dumps(NOTEBOOK).encode()


def with_member(document: bytes, name: str, content: bytes) -> bytes:
    """An office document in which one member of the zip archive is another one."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(document)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.namelist():
            if member != name:
                new.writestr(member, old.read(member))
        new.writestr(name, content)
    return out.getvalue()


def member(document: bytes, name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(document)) as archive:
        return archive.read(name)


def _saved(document: Any) -> bytes:
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()
