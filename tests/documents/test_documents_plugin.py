"""The documents plugin: what it reads, what can be cited, and what hostile documents cannot do."""

import asyncio
import datetime
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from document_files import (
    locked_pdf,
    make_docx,
    make_ipynb,
    make_pdf,
    make_pptx,
    make_xlsx,
    member,
    with_member,
)
from kimi_documents import plugin
from kimi_documents.kinds import KINDS, LEGACY
from nightly import all_but
from processes import living_with, wait_until_gone
from tool_context import call, make_context, text_of

from kimi_agent.builtin import builtin_plugin
from kimi_agent.core.errors import ToolError
from kimi_agent.core.provider import Model
from kimi_agent.core.tool import Tool
from kimi_agent.parts import assemble
from kimi_agent.plugin import Host

COSTS = {"Costs": [["Item", "Price"], ["Rent", 1200], [None, True], ["Sum", "=SUM(B2:B3)"]], "Two": [["x"]]}
MAKERS: dict[str, Callable[[], bytes]] = {
    ".pdf": lambda: make_pdf("first", "second", "third"),
    ".docx": make_docx,
    ".xlsx": lambda: make_xlsx(COSTS),
    ".xlsm": lambda: make_xlsx(COSTS),
    ".pptx": make_pptx,
    ".ipynb": make_ipynb,
}


@cache
def sound(suffix: str) -> bytes:
    return MAKERS[suffix]()


def tools(folder: Path) -> dict[str, Tool]:
    """The tools of a session that has the plugin, as the program puts them together."""
    parts = assemble(builtin_plugin(think=False), [plugin])
    assert parts.problems == []
    made = parts.tools(
        lambda name: Host(Model("m", "m", "p", 0), folder, folder, readers=parts.readers), lambda name: True
    )
    return {tool.name: tool for tool in made}


async def ask(folder: Path, suffix: str, document: bytes, **part: str) -> str:
    (folder / f"file{suffix}").write_bytes(document)
    return text_of(await call(tools(folder)["ReadDocument"], make_context(folder), path=f"file{suffix}", **part))


async def test_every_kind_has_a_sound_document_here() -> None:
    assert set(MAKERS) == set(KINDS)
    assert set(plugin.readers) == set(KINDS) | set(LEGACY)


@pytest.mark.parametrize(
    ("suffix", "marks"),
    [
        (".pdf", ["[page 1]\nfirst", "[page 3]\nthird"]),
        (".docx", ["[section 1] Before all", "[section 2] # Budget", "- first", "[section 3] ## Outlook"]),
        (".docx", ["[table]\nItem | Price\nRent | 1200", "[comment by Ada] Really?"]),
        (".xlsx", ["[sheet Costs]\nA1: Item | B1: Price\nA2: Rent | B2: 1200\nB3: TRUE", "[sheet Two]\nA1: x"]),
        (".xlsx", ["B4: =SUM(B2:B3) (formula, no saved value)"]),
        (".pptx", ["[slide 1]\nResults\nUp by half\nNotes: Say it slowly", "[slide 2]\nNumbers\n[table]\nQ1 | 17"]),
        (".ipynb", ["[cell 1] markdown\n# Plan\nof the year", "[cell 2] code\nprint(40 + 2)\n[output]\n42"]),
        (".ipynb", ["<Figure>\n[image/png]", "[output]\nKeyError: 'x'"]),
    ],
)
async def test_readers_mark_what_can_be_cited(suffix: str, marks: list[str]) -> None:
    text = await plugin.readers[suffix](sound(suffix))
    assert [mark for mark in marks if mark not in text] == []


@pytest.mark.parametrize(
    ("suffix", "part", "there", "not_there"),
    [
        (".pdf", {"pages": "2"}, "[page 2]\nsecond", "[page 1]"),
        (".pdf", {"pages": "2-9"}, "[page 3]\nthird", "[page 1]"),
        (".docx", {"pages": "3"}, "[section 3] ## Outlook\n\nFine.", "Budget"),
        (".xlsx", {"sheet": "two"}, "[sheet Two]\nA1: x", "Rent"),
        (".xlsx", {"sheet": "Costs", "cells": "B2:$B$3"}, "[sheet Costs]\nB2: 1200\nB3: TRUE", "A2"),
        (".xlsm", {"sheet": "Costs", "cells": "z99"}, "(no values)", "A1"),
        (".pptx", {"pages": "2-"}, "[slide 2]\nNumbers", "Results"),
        (".ipynb", {"pages": "1-1"}, "[cell 1] markdown", "[cell 2]"),
    ],
)
async def test_a_part_of_it(tmp_path: Path, suffix: str, part: dict[str, str], there: str, not_there: str) -> None:
    text = await ask(tmp_path, suffix, sound(suffix), **part)
    assert there in text
    assert not_there not in text


NOT_THERE = [
    (".pdf", {"pages": "4"}, "has 3 pages: there is no page 4"),
    (".pptx", {"pages": "7-9"}, "has 2 slides: there is no slide 7"),
    (".pdf", {"pages": "0-2"}, "begin at 1"),
    (".pdf", {"pages": "two"}, "Write it as 3, 1-5 or 7-"),
    (".pdf", {"sheet": "Costs"}, "for Excel files"),
    (".xlsx", {"pages": "1"}, "no pages: give sheet and cells"),
    (".xlsx", {"sheet": "Nope"}, "no sheet 'Nope'. Sheets: Costs, Two"),
    (".xlsx", {"cells": "A1"}, "of which sheet"),
    (".xlsx", {"sheet": "Costs", "cells": "D4:A1"}, "upper left"),
    (".txt", {}, "is not one of .pdf"),
]


@pytest.mark.parametrize(("suffix", "part", "words"), all_but(NOT_THERE[::3], NOT_THERE))
async def test_a_part_that_is_not_there(tmp_path: Path, suffix: str, part: dict[str, str], words: str) -> None:
    with pytest.raises(ToolError, match=words):
        await ask(tmp_path, suffix, sound(suffix) if suffix in MAKERS else b"text", **part)


@pytest.mark.parametrize("suffix", LEGACY)
async def test_old_formats_are_refused_with_a_way_out(tmp_path: Path, suffix: str) -> None:
    old = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2000)
    with pytest.raises(ToolError, match=f"before 2007.*soffice --headless --convert-to {LEGACY[suffix]}"):
        await ask(tmp_path, suffix, old)
    with pytest.raises(ToolError, match="before 2007"):
        await call(tools(tmp_path)["ReadFile"], make_context(tmp_path), path=f"file{suffix}")


def bomb(document: bytes, name: str) -> bytes:
    return with_member(document, name, b"<a>" + bytes(64 << 20) + b"</a>")


def with_entities(document: bytes, name: str, secret: Path) -> bytes:
    """Declares an entity that is a file of this machine, and uses it as text."""
    xml = member(document, name).decode()
    head, _, body = xml.partition("?>")
    declared = f'{head}?><!DOCTYPE x [<!ENTITY e SYSTEM "file://{secret}">]>{body}'
    return with_member(document, name, declared.replace("Rent is due.", "&e;").encode())


def many_members(document: bytes) -> bytes:
    out = io.BytesIO(document)
    with zipfile.ZipFile(out, "a") as archive:
        for number in range(20_001):
            archive.writestr(f"x/{number}", b"")
    return out.getvalue()


HOSTILE = [
    (".docx", lambda: bomb(sound(".docx"), "word/document.xml"), "zip bomb"),
    (".xlsx", lambda: bomb(sound(".xlsx"), "xl/media/image1.png"), "zip bomb"),
    (".pptx", lambda: many_members(sound(".pptx")), "too many"),
    (".pptx", lambda: sound(".pptx")[:-3000], "damaged or cut short"),
    (".docx", lambda: sound(".docx")[:3000], "damaged or cut short"),
    (".docx", lambda: with_member(sound(".docx"), "word/document.xml", b"<w:doc"), "cannot|Error|damaged"),
    (".docx", lambda: sound(".xlsx"), "another kind of document"),
    (".docx", lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "locked by a password"),
    (".docx", lambda: b"", "damaged"),
    (".pdf", lambda: locked_pdf("secret", "x"), "locked by a password"),
    (".pdf", lambda: sound(".pdf")[:200], "damaged"),
    (".pdf", lambda: make_pdf("", ""), "no text: probably a scan.*ocrmypdf"),
    (".ipynb", lambda: b"{", "not valid JSON"),
    (".ipynb", lambda: b"[" * 100_000, "not valid JSON"),
    (".ipynb", lambda: b'{"worksheets": []}', "no notebook of format 4"),
    (".ipynb", lambda: b'{"cells": [{"cell_type": "code"}]}', "no notebook of format 4"),
]


@pytest.mark.parametrize(("suffix", "make", "words"), all_but(HOSTILE[::2], HOSTILE), ids=range(16))
async def test_hostile_and_broken_documents(tmp_path: Path, suffix: str, make: Callable[[], bytes], words: str) -> None:
    with pytest.raises(ToolError, match=words) as caught:
        await ask(tmp_path, suffix, make())
    assert "\n" not in str(caught.value)
    assert "Traceback" not in str(caught.value)


async def test_what_is_not_locked_for_readers_is_read(tmp_path: Path) -> None:
    assert "[page 1]\nfor all" in await ask(tmp_path, ".pdf", locked_pdf("", "for all"))


async def test_a_damaged_page_does_not_cost_the_others(tmp_path: Path) -> None:
    damaged = make_pdf("first", "second", "third").replace(b"<< /Length 37 >>", b"<< /Length 37 /Filter /Odd >>")
    text = await ask(tmp_path, ".pdf", damaged)
    assert "[page 1]\nfirst\n\n[page 2]\n(this page cannot be read: NotImplementedError" in text
    assert text.endswith("[page 3]\nthird")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
async def test_entities_read_no_file(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "secret").write_text("TOP SECRET")
    document = with_entities(sound(".docx"), "word/document.xml", tmp_path / "secret")
    if encoding != "utf-8":
        xml = member(document, "word/document.xml").decode().replace("UTF-8", "UTF-16")
        document = with_member(document, "word/document.xml", xml.encode(encoding))
    with pytest.raises(ToolError, match="declares XML entities") as caught:
        await ask(tmp_path, ".docx", document)
    assert "SECRET" not in str(caught.value)


W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
BODY = """
<w:p><w:ins><w:r><w:t>added </w:t></w:r></w:ins><w:del><w:r><w:delText>deleted</w:delText></w:r></w:del>
<w:hyperlink><w:r><w:t>linked</w:t></w:r></w:hyperlink><w:r><w:footnoteReference w:id="2"/></w:r></w:p>
<w:sdt><w:sdtContent><w:p><w:r><w:t>in a</w:t><w:tab/><w:t>form</w:t></w:r></w:p></w:sdtContent></w:sdt>
<w:p><w:r><mc:AlternateContent xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006">
<mc:Choice><w:txbxContent><w:p><w:r><w:t>boxed</w:t></w:r></w:p></w:txbxContent></mc:Choice>
<mc:Fallback><w:txbxContent><w:p><w:r><w:t>boxed</w:t></w:r></w:p></w:txbxContent></mc:Fallback>
</mc:AlternateContent></w:r></w:p>
<w:tbl><w:tr><w:tc><w:tbl><w:tr><w:tc><w:p><w:r><w:t>inner</w:t></w:r></w:p></w:tc></w:tr></w:tbl><w:p/></w:tc>
<w:tc><w:p><w:r><w:t>outer</w:t></w:r></w:p></w:tc></w:tr></w:tbl>
"""


async def test_word_documents_of_the_wild(tmp_path: Path) -> None:
    """Tracked changes, forms, text boxes with their copy for old programs, tables in tables, footnotes."""
    document = with_member(
        make_docx(), "word/document.xml", f"<w:document {W}><w:body>{BODY}</w:body></w:document>".encode()
    )
    note = f'<w:footnotes {W}><w:footnote w:id="2"><w:p><w:r><w:t>the small print</w:t></w:r></w:p></w:footnote></w:footnotes>'
    document = with_member(document, "word/footnotes.xml", note.encode())
    relations, types = "word/_rels/document.xml.rels", "[Content_Types].xml"
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/footnotes"
    relation = f'<Relationship Id="rId99" Type="{kind}" Target="footnotes.xml"/></Relationships>'.encode()
    document = with_member(document, relations, member(document, relations).replace(b"</Relationships>", relation))
    override = b'<Override PartName="/word/footnotes.xml" ContentType="application/xml"/></Types>'
    document = with_member(document, types, member(document, types).replace(b"</Types>", override))
    lines = [line for line in (await ask(tmp_path, ".docx", document)).splitlines() if line]
    assert lines == [
        "[section 1] added linked[footnote 2]",
        "in a\tform",
        "boxed",
        "[table]",
        "inner | outer",
        "[footnote 2] the small print",
        "[comment by Ada] Really?",
    ]


async def test_hidden_sheets_and_slides_are_told(tmp_path: Path) -> None:
    name = "xl/workbook.xml"
    hidden = member(sound(".xlsx"), name).replace(
        b'name="Two" sheetId="2" state="visible"', b'name="Two" sheetId="2" state="hidden"'
    )
    assert b"hidden" in hidden
    assert "[sheet Two] (hidden)\nA1: x" in await ask(tmp_path, ".xlsx", with_member(sound(".xlsx"), name, hidden))
    name = "ppt/slides/slide2.xml"
    hidden = member(sound(".pptx"), name).replace(b"<p:sld ", b'<p:sld show="0" ')
    assert "[slide 2] (hidden)" in await ask(tmp_path, ".pptx", with_member(sound(".pptx"), name, hidden))


async def test_dates_charts_and_groups(tmp_path: Path) -> None:
    from pptx import Presentation
    from pptx.chart.data import CategoryChartData
    from pptx.enum.chart import XL_CHART_TYPE
    from pptx.util import Inches

    days = make_xlsx({"Days": [[datetime.datetime(2026, 2, 3), datetime.datetime(2026, 2, 3, 4, 5), "two\nlines"]]})
    text = await ask(tmp_path, ".xlsx", days)
    assert text.endswith("A1: 2026-02-03 | B1: 2026-02-03T04:05:00 | C1: two lines")
    show = Presentation()
    slide = show.slides.add_slide(show.slide_layouts[6])
    slide.shapes.add_group_shape().shapes.add_textbox(0, 0, Inches(1), Inches(1)).text_frame.text = "grouped"
    data = CategoryChartData()
    data.categories = ["East", "West"]
    data.add_series("Sales", (1, 2.5))
    slide.shapes.add_chart(XL_CHART_TYPE.PIE, 0, 0, Inches(2), Inches(2), data)
    out = io.BytesIO()
    show.save(out)
    text = await ask(tmp_path, ".pptx", out.getvalue())
    assert "[slide 1]\ngrouped\n[chart]" in text
    assert text.endswith("Sales: East 1.0, West 2.5")
    (name,) = [name for name in zipfile.ZipFile(out).namelist() if name.startswith("ppt/charts/chart")]
    odd = member(out.getvalue(), name).replace(b"c:pieChart", b"c:surfaceChart")
    assert "[chart]\n(of a kind" in await ask(tmp_path, ".pptx", with_member(out.getvalue(), name, odd))


async def test_a_sheet_that_claims_to_be_endless(tmp_path: Path) -> None:
    name = "xl/worksheets/sheet1.xml"
    xml = member(sound(".xlsx"), name).replace(b'ref="A1:B4"', b'ref="A1:XFD1048576"').replace(b'r="4"', b'r="1048576"')
    assert b"XFD1048576" in xml
    text = await ask(tmp_path, ".xlsx", with_member(sound(".xlsx"), name, xml))
    assert "A2: Rent" in text


async def test_no_key_of_the_environment_reaches_the_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader's process says what it was given: the interpreter is a script that prints its environment."""
    monkeypatch.setenv("KIMI_API_KEY", "sk-secret")
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\ncat >/dev/null\nenv\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    text = await ask(tmp_path, ".pdf", sound(".pdf"))
    assert "PATH=" in text
    assert "sk-secret" not in text


async def test_control_sequences_do_not_come_through(tmp_path: Path) -> None:
    book = json.loads(sound(".ipynb"))
    book["cells"][0]["source"] = "\x1b]0;title\x07red\x1b[31m"
    assert "\x1b" not in await ask(tmp_path, ".ipynb", json.dumps(book).encode())


async def test_long_documents_are_cut_with_a_word(tmp_path: Path) -> None:
    text = await ask(tmp_path, ".xlsx", make_xlsx({"S": [["word " * 20] * 5 for _ in range(400)]}))
    assert len(text) < 101_000
    assert text.endswith("ask for fewer cells of one sheet]")


async def test_read_file_numbers_and_pages_a_document(tmp_path: Path) -> None:
    (tmp_path / "Plan.DOCX").write_bytes(sound(".docx"))
    read_file, ctx = tools(tmp_path)["ReadFile"], make_context(tmp_path)
    text = text_of(await call(read_file, ctx, path="Plan.DOCX", n_lines=3))
    assert text.splitlines()[:3] == ["     1\t[section 1] Before all", "     2\t", "     3\t[section 2] # Budget"]
    assert "go on with line_offset=4; text extracted from the document" in text.splitlines()[3]
    assert "     5\tRent is due." in text_of(await call(read_file, ctx, path="Plan.DOCX", line_offset=4))
    assert ".docx" in read_file.description


async def test_loading_the_plugin_loads_no_library() -> None:
    program = (
        "import sys, kimi_documents; print(*sorted({'pypdf', 'docx', 'openpyxl', 'pptx', 'lxml'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=dict(os.environ), timeout=60
    )
    assert (done.stdout, done.stderr) == ("\n", "")


def endless() -> bytes:
    """A sheet whose second row is said to be the last of a million million: it is counted up to."""
    name = "xl/worksheets/sheet1.xml"
    xml = member(sound(".xlsx"), name).replace(b'r="4"', b'r="999999999999"')
    return with_member(sound(".xlsx"), name, xml)


async def test_a_cancelled_reading_ends_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # all that marks the reader's process
    (tmp_path / "a.xlsx").write_bytes(endless())
    work = asyncio.create_task(call(tools(tmp_path)["ReadFile"], make_context(tmp_path), path="a.xlsx"))
    async with asyncio.timeout(30):
        while not living_with(str(tmp_path / "home")):
            await asyncio.sleep(0.01)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert living_with(str(tmp_path / "home")) == []


CRASH = """
import asyncio, os, sys
from kimi_documents import plugin

async def main():
    work = asyncio.create_task(plugin.readers[".xlsx"](open(sys.argv[1], "rb").read()))
    while not open(f"/proc/self/task/{os.getpid()}/children").read():
        await asyncio.sleep(0.01)
    await asyncio.sleep(1)  # the document is on its way: its end is not what ends the reader
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""


def test_a_crash_of_kimi_leaves_no_reader(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(endless())
    home = str(tmp_path / "home")
    done = subprocess.run(
        [sys.executable, "-c", CRASH, str(tmp_path / "a.xlsx")],
        env=os.environ | {"HOME": home},
        timeout=60,
        check=False,
        capture_output=True,
    )
    assert done.returncode == -9, done.stderr
    wait_until_gone(home)
