import asyncio
import os
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nightly import examples
from tool_context import call, make_context, text_of

from kimi_agent.core.display import Plain
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ToolError
from kimi_agent.core.schema import validate
from kimi_agent.core.tool import ToolContext
from kimi_agent.tools import lines as lines_module
from kimi_agent.tools.lines import BUDGET, LINE_WIDTH, WHOLE
from kimi_agent.tools.read_file import ReadFile


@pytest.fixture
def ctx(tmp_path: Path) -> ToolContext:
    return make_context(tmp_path)


async def read(ctx: ToolContext, path: str = "f", **arguments: int) -> tuple[list[tuple[int, str]], str]:
    """Numbered lines and footer."""
    *numbered, footer = text_of(await call(ReadFile(), ctx, path=path, **arguments)).split("\n")
    parts = [line.partition("\t") for line in numbered]
    return [(int(number), text) for number, _, text in parts], footer


async def test_a_small_file_whole(ctx: ToolContext, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("one\ntwo\n")
    output = await call(ReadFile(), ctx, path="f")
    assert text_of(output) == "     1\tone\n     2\ttwo\n[End of file, 2 lines]"
    assert output.for_user == Plain("2 lines of f")
    params = validate(ReadFile.Params, {"path": "f"})
    assert ReadFile().effects(params, ctx) == (Effect("read", str(ctx.workspace.root / "f")),)


async def test_empty_file(ctx: ToolContext, tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    assert text_of(await call(ReadFile(), ctx, path="f")) == "[The file is empty]"


async def test_goes_on_until_every_line_was_read_once(ctx: ToolContext, tmp_path: Path) -> None:
    content = [f"line {n} " + "x" * (n % 300) for n in range(1, 2501)]
    (tmp_path / "f").write_text("\n".join(content))
    seen: list[tuple[int, str]] = []
    offset = 1
    while offset:
        window, footer = await read(ctx, line_offset=offset)
        assert len("".join(text for _, text in window)) <= BUDGET + LINE_WIDTH
        seen += window
        offset = int(footer.rpartition("line_offset=")[2].strip("]")) if "line_offset=" in footer else 0
    assert seen == list(enumerate(content, 1))


async def test_tail(ctx: ToolContext, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("".join(f"{n}\n" for n in range(1, 101)))
    assert await read(ctx, line_offset=-2) == ([(99, "99"), (100, "100")], "[End of file, 100 lines]")
    window, footer = await read(ctx, line_offset=-50, n_lines=2)
    assert window == [(51, "51"), (52, "52")]
    assert footer == "[Lines 51-52 of 100; go on with line_offset=53]"
    assert (await read(ctx, line_offset=-5000))[0][0] == (1, "1")


async def test_past_the_end_says_how_long_it_is(ctx: ToolContext, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("1\n2\n")
    with pytest.raises(ToolError, match="only 2 lines"):
        await read(ctx, line_offset=3)
    (tmp_path / "f").write_text("1\n")
    with pytest.raises(ToolError, match="only 1 line: there is no line 2"):
        await read(ctx, line_offset=2)


async def test_long_lines_are_cut_and_said_to_be(ctx: ToolContext, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("a" * LINE_WIDTH + "\r\n" + "b" * 5000 + "\nc\n")
    window, footer = await read(ctx)
    assert window[0][1] == "a" * LINE_WIDTH
    assert window[1][1] == "b" * LINE_WIDTH + " … [3,000 more characters in this line]"
    assert window[2] == (3, "c")
    assert "long lines cut" in footer


@pytest.mark.parametrize(
    ("data", "text", "label"),
    [
        ("é\r\n".encode("latin-1"), "é", "not UTF-8, read as cp1252; CRLF line ends"),
        ("“q”\n".encode("cp1252"), "“q”", "not UTF-8, read as cp1252"),
        (b"\x81\xe9\n", "\x81é", "not UTF-8, read as latin-1"),
        ("é\r\n".encode("utf-16"), "é", "UTF-16-LE; CRLF line ends"),
        (b"\xfe\xff" + "日\n".encode("utf-16-be"), "日", "UTF-16-BE"),
        ("é\n".encode("utf-8-sig"), "é", "UTF-8 with BOM"),
        ("日本語 é\n".encode() + b"\xff\n", "日本語 é", "UTF-8 with invalid bytes"),
    ],
)
async def test_encodings(ctx: ToolContext, tmp_path: Path, data: bytes, text: str, label: str) -> None:
    (tmp_path / "f").write_bytes(data)
    window, footer = await read(ctx)
    assert window[0] == (1, text)
    assert footer.endswith(f"; {label}]")
    text_of(await call(ReadFile(), ctx, path="f")).encode()  # fit for JSON


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG image.*ReadMediaFile"),
        (b"%PDF-1.7\n", "a PDF document.*pdftotext"),
        (b"\x7fELF\x02\x01\0", "a compiled program"),
        (b"abc\0def", "a binary file"),
        (b"\0\0\0\x18ftypmp42\0\0", "a video"),
    ],
)
async def test_binary_files_are_refused_with_another_way(
    ctx: ToolContext, tmp_path: Path, data: bytes, words: str
) -> None:
    (tmp_path / "f").write_bytes(data)
    with pytest.raises(ToolError, match=words):
        await read(ctx)


@pytest.mark.parametrize("data", [b"ID3 tags in text\n", b"BZh\n", b"BM\n", b"RIFF raff\n", b"\x1b[1mbold\x1b[0m\n"])
async def test_texts_that_begin_like_something_else(ctx: ToolContext, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "f").write_bytes(data)
    assert (await read(ctx))[0] == [(1, data.decode().strip("\n"))]


async def test_pipes_devices_and_folders_are_refused(ctx: ToolContext, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path, words in (("fifo", "named pipe"), ("/dev/zero", "device"), (".", "folder")):
        with pytest.raises(ToolError, match=words):
            await read(ctx, path)


async def test_a_missing_file_brings_up_its_neighbours(ctx: ToolContext, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/Config.py").touch()
    with pytest.raises(ToolError, match=r"No such file: src/confg\.py\. Did you mean src/Config\.py\?"):
        await read(ctx, "src/confg.py")
    with pytest.raises(ToolError, match="folder does not exist"):
        await read(ctx, "lib/x.py")


async def test_a_proc_file_has_no_size_and_is_read_all_the_same(ctx: ToolContext) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc")
    assert (await read(ctx, "/proc/self/status"))[0][0][1].startswith("Name:")


LARGE_TEXT = st.lists(
    st.tuples(st.text(st.sampled_from("aé日😀 \r"), max_size=30), st.sampled_from(["\n", "\r\n"])), max_size=40
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(150))
@given(
    LARGE_TEXT,
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.integers(-50, 50),
    st.integers(1, 50),
    st.sampled_from([16, 64]),
)
async def test_a_large_file_reads_like_a_small_one(
    ctx: ToolContext,
    tmp_path: Path,
    text: list[tuple[str, str]],
    codec: str,
    offset: int,
    count: int,
    chunk: int,
) -> None:
    """The path for large files is taken with small chunks, so that every seam falls into some line or character."""
    path = tmp_path / "f"
    path.write_bytes(("\n" + "".join(a + b for a, b in text)).encode(codec))
    workspace = ctx.workspace
    found = await workspace.stat(workspace.root / "f")
    assert found is not None
    offset = offset or 1
    small = lines_module.window_of(path.read_bytes(), offset, count)
    large = await lines_module.LargeFile(workspace, workspace.root / "f", found, chunk).window(offset, count)
    assert (large.lines, large.total) == (small.lines, small.total)
    if small.lines:
        assert large.first == small.first


async def test_memory_stays_bounded_in_a_large_file(ctx: ToolContext, tmp_path: Path) -> None:
    import tracemalloc

    size = 64 << 20
    with (tmp_path / "f").open("wb") as file:
        for number in range(size >> 20):
            file.write(b"%07d\n" % number * (1 << 17))
        file.write(b"x" * (8 << 20))  # one long line
    assert size > WHOLE
    tracemalloc.start()
    window, footer = await read(ctx, line_offset=-2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    total = (size >> 20) * (1 << 17) + 1
    assert window[0] == (total - 1, "0000063")
    assert window[1][0] == total
    assert footer.startswith(f"[End of file, {total} lines")
    assert peak < 24 << 20


async def test_a_file_too_large_to_count_shows_its_head_and_its_tail(ctx: ToolContext, tmp_path: Path) -> None:
    with (tmp_path / "f").open("wb") as file:
        file.write(b"first\nsecond\n" + b"more\n" * 2000)  # text, as far as one looks
        file.truncate(lines_module.COUNTED + 10)  # a hole: takes no room
        file.seek(0, os.SEEK_END)
        file.write(b"\nlast but one\nlast\n")
    window, footer = await read(ctx, n_lines=2)
    assert window == [(1, "first"), (2, "second")]
    assert "go on with line_offset=3" in footer
    window, footer = await read(ctx, line_offset=-2)
    assert window == [(-2, "last but one"), (-1, "last")]


async def test_an_endless_line_is_not_read_to_its_end(ctx: ToolContext, tmp_path: Path) -> None:
    with (tmp_path / "f").open("wb") as file:
        file.write(b"first\n" + b"more\n" * 2000)
        file.truncate(1 << 40)  # a hole: takes no room; to read it all would take minutes
    async with asyncio.timeout(20):
        window, _ = await read(ctx, line_offset=2001)
        with pytest.raises(ToolError, match="tail -c"):
            await read(ctx, line_offset=-3)
    assert window[0] == (2001, "more")
    assert re.fullmatch(r"\0{2000} … \[at least [\d,]+ more characters in this line\]", window[1][1])


async def shouted(document: bytes) -> str:
    if b"locked" in document:
        raise ToolError("The document is locked.")
    if b"odd" in document:
        raise KeyError("odd")
    return document.decode().strip("\0").upper() + "\x1b[31m\udc80"


async def read_document(ctx: ToolContext, name: str, **arguments: int) -> str:
    return text_of(await call(ReadFile(readers={".doc": shouted}), ctx, path=name, **arguments))


async def test_a_document_comes_through_its_reader(ctx: ToolContext, tmp_path: Path) -> None:
    (tmp_path / "a.DOC").write_bytes(b"\0one\ntwo\nthree")
    lines = (await read_document(ctx, "a.DOC", line_offset=2, n_lines=1)).split("\n")
    assert lines[0] == "     2\tTWO"
    assert lines[1].startswith("[Lines 2-2 of 3; go on with line_offset=3; text extracted from the document")
    assert (await read_document(ctx, "a.DOC", line_offset=3)).startswith("     3\tTHREE\ufffd\n")
    with pytest.raises(ToolError, match="only 3 lines"):
        await read_document(ctx, "a.DOC", line_offset=4)


async def test_a_document_is_read_once_until_it_changes(ctx: ToolContext, tmp_path: Path) -> None:
    asked: list[bytes] = []

    async def reader(document: bytes) -> str:
        asked.append(document)
        return f"{len(asked)}\n" * 2

    tool, path = ReadFile(readers={".x": reader}), tmp_path / "a.x"
    path.write_bytes(b"\0")
    assert "     1\t1" in text_of(await call(tool, ctx, path="a.x"))
    assert "     2\t1" in text_of(await call(tool, ctx, path="a.x", line_offset=2))
    path.write_bytes(b"\0\0")
    assert "     2\t2" in text_of(await call(tool, ctx, path="a.x", line_offset=2))
    assert asked == [b"\0", b"\0\0"]


async def test_what_a_reader_refuses_is_read_as_text_where_it_is_text(ctx: ToolContext, tmp_path: Path) -> None:
    """Many a .doc or .xls is a text file or a page; a notebook with conflict marks is no JSON."""
    (tmp_path / "a.doc").write_text("locked\n")
    assert await read_document(ctx, "a.doc") == "     1\tlocked\n[End of file, 1 line]"
    (tmp_path / "b.doc").write_bytes(b"\0locked")
    with pytest.raises(ToolError, match=r"b\.doc: The document is locked\."):
        await read_document(ctx, "b.doc")
    (tmp_path / "c.doc").write_bytes(b"\0odd")
    with pytest.raises(ToolError, match=r"c\.doc cannot be read: KeyError: 'odd'"):
        await read_document(ctx, "c.doc")


async def test_a_document_has_a_limit(ctx: ToolContext, tmp_path: Path) -> None:
    with (tmp_path / "a.doc").open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(ToolError, match="documents of up to 67,108,864 are read"):
        await read_document(ctx, "a.doc")


@pytest.mark.parametrize("name", ["a.docx", "a.XLSX", "a.pdf", "a.ppt"])
async def test_without_a_reader_the_plugin_is_named(ctx: ToolContext, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"%PDF-" if name == "a.pdf" else b"PK\x03\x04\0")
    with pytest.raises(ToolError, match="The plugin `documents` reads it, but it is not loaded"):
        await read(ctx, name)
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04\0")
    with pytest.raises(ToolError, match="Look into it with Shell"):
        await read(ctx, "a.zip")
