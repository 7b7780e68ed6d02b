"""The documents plugin: what it reads, what can be cited, and what hostile documents cannot do."""

import io
import json
import os
import sys
import zipfile
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
from tool_context import call, make_context, text_of

from kimi_agent.builtin import builtin_plugin
from kimi_agent.core.errors import ToolError
from kimi_agent.core.provider import Model
from kimi_agent.core.tool import Tool
from kimi_agent.parts import assemble
from kimi_agent.plugin import Host

COSTS = make_xlsx({"Costs": [["Item", "Price"], ["Rent", 1200], [None, True], ["Sum", "=SUM(B2:B3)"]], "Two": [["x"]]})
SOUND = {
    ".pdf": make_pdf("first", "second", "third"),
    ".docx": make_docx(),
    ".xlsx": COSTS,
    ".xlsm": COSTS,
    ".pptx": make_pptx(),
    ".ipynb": make_ipynb(),
}


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
    assert set(SOUND) == set(KINDS)
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
    import asyncio

    text = await asyncio.to_thread(plugin.readers[suffix], SOUND[suffix])
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
    text = await ask(tmp_path, suffix, SOUND[suffix], **part)
    assert there in text
    assert not_there not in text


@pytest.mark.parametrize(
    ("suffix", "part", "words"),
    [
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
    ],
)
async def test_a_part_that_is_not_there(tmp_path: Path, suffix: str, part: dict[str, str], words: str) -> None:
    with pytest.raises(ToolError, match=words):
        await ask(tmp_path, suffix, SOUND.get(suffix, b"text"), **part)


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


@pytest.mark.parametrize(
    ("suffix", "document", "words"),
    [
        (".docx", bomb(SOUND[".docx"], "word/document.xml"), "zip bomb"),
        (".xlsx", bomb(COSTS, "xl/media/image1.png"), "zip bomb"),
        (".pptx", many_members(SOUND[".pptx"]), "too many"),
        (".pptx", SOUND[".pptx"][:-3000], "damaged or cut short"),
        (".docx", SOUND[".docx"][:3000], "damaged or cut short"),
        (".docx", with_member(SOUND[".docx"], "word/document.xml", b"<w:doc"), "cannot|Error|damaged"),
        (".docx", COSTS, "another kind of document"),
        (".docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "locked by a password"),
        (".docx", b"", "damaged"),
        (".pdf", locked_pdf("secret", "x"), "locked by a password"),
        (".pdf", SOUND[".pdf"][:200], "damaged"),
        (".pdf", make_pdf("", ""), "no text: probably a scan.*ocrmypdf"),
        (".ipynb", b"{", "not valid JSON"),
        (".ipynb", b"[" * 100_000, "not valid JSON"),
        (".ipynb", b'{"worksheets": []}', "no notebook of format 4"),
        (".ipynb", b'{"cells": [{"cell_type": "code"}]}', "no notebook of format 4"),
    ],
    ids=range(16),
)
async def test_hostile_and_broken_documents(tmp_path: Path, suffix: str, document: bytes, words: str) -> None:
    with pytest.raises(ToolError, match=words) as caught:
        await ask(tmp_path, suffix, document)
    assert "\n" not in str(caught.value)
    assert "Traceback" not in str(caught.value)


async def test_what_is_not_locked_for_readers_is_read(tmp_path: Path) -> None:
    assert "[page 1]\nfor all" in await ask(tmp_path, ".pdf", locked_pdf("", "for all"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
async def test_entities_read_no_file(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "secret").write_text("TOP SECRET")
    document = with_entities(SOUND[".docx"], "word/document.xml", tmp_path / "secret")
    if encoding != "utf-8":
        xml = member(document, "word/document.xml").decode().replace("UTF-8", "UTF-16")
        document = with_member(document, "word/document.xml", xml.encode(encoding))
    with pytest.raises(ToolError, match="declares XML entities") as caught:
        await ask(tmp_path, ".docx", document)
    assert "SECRET" not in str(caught.value)


async def test_a_sheet_that_claims_to_be_endless(tmp_path: Path) -> None:
    name = "xl/worksheets/sheet1.xml"
    xml = member(COSTS, name).replace(b'ref="A1:B4"', b'ref="A1:XFD1048576"').replace(b'r="4"', b'r="1048576"')
    assert b"XFD1048576" in xml
    text = await ask(tmp_path, ".xlsx", with_member(COSTS, name, xml))
    assert "A2: Rent" in text


async def test_no_key_of_the_environment_reaches_the_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader's process says what it was given: the interpreter is a script that prints its environment."""
    monkeypatch.setenv("KIMI_API_KEY", "sk-secret")
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\ncat >/dev/null\nenv\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    text = await ask(tmp_path, ".pdf", SOUND[".pdf"])
    assert "PATH=" in text
    assert "sk-secret" not in text


async def test_control_sequences_do_not_come_through(tmp_path: Path) -> None:
    book = json.loads(SOUND[".ipynb"])
    book["cells"][0]["source"] = "\x1b]0;title\x07red\x1b[31m"
    assert "\x1b" not in await ask(tmp_path, ".ipynb", json.dumps(book).encode())


async def test_long_documents_are_cut_with_a_word(tmp_path: Path) -> None:
    text = await ask(tmp_path, ".xlsx", make_xlsx({"S": [["word " * 20] * 5 for _ in range(400)]}))
    assert len(text) < 101_000
    assert text.endswith("ask for fewer cells of one sheet]")


async def test_read_file_numbers_and_pages_a_document(tmp_path: Path) -> None:
    (tmp_path / "Plan.DOCX").write_bytes(SOUND[".docx"])
    read_file, ctx = tools(tmp_path)["ReadFile"], make_context(tmp_path)
    text = text_of(await call(read_file, ctx, path="Plan.DOCX", n_lines=3))
    assert text.splitlines()[:3] == ["     1\t[section 1] Before all", "     2\t", "     3\t[section 2] # Budget"]
    assert "go on with line_offset=4; text extracted from the document" in text.splitlines()[3]
    assert "     5\tRent is due." in text_of(await call(read_file, ctx, path="Plan.DOCX", line_offset=4))
    assert ".docx" in read_file.description


async def test_loading_the_plugin_loads_no_library() -> None:
    import subprocess

    program = (
        "import sys, kimi_documents; print(*sorted({'pypdf', 'docx', 'openpyxl', 'pptx', 'lxml'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=dict(os.environ), timeout=60
    )
    assert (done.stdout, done.stderr) == ("\n", "")
