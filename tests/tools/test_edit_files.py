import asyncio
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from nightly import examples
from tool_context import call, make_context, text_of

from kimi_agent.core.display import Diff
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import StaleFileError, ToolError
from kimi_agent.core.schema import validate
from kimi_agent.core.tool import ToolContext
from kimi_agent.tools.known_files import KnownFiles
from kimi_agent.tools.read_file import ReadFile
from kimi_agent.tools.str_replace_file import StrReplaceFile
from kimi_agent.tools.write_file import WriteFile


class Session:
    """The three tools of one session over one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        files = KnownFiles()
        self.reader, self.writer, self.replacer = ReadFile(files), WriteFile(files), StrReplaceFile(files)

    def ctx(self, call_id: str = "c") -> ToolContext:
        return make_context(self.root, call_id=call_id)

    async def read(self, path: str = "f") -> str:
        return text_of(await call(self.reader, self.ctx(), path=path))

    async def replace(self, old: str, new: str, path: str = "f", **more: Any) -> str:
        return await self.edits({"old": old, "new": new, **more}, path=path)

    async def edits(self, *edits: dict[str, Any], path: str = "f") -> str:
        return text_of(await call(self.replacer, self.ctx(), path=path, edit=list(edits)))

    async def write(self, content: str, path: str = "f", **more: Any) -> str:
        return text_of(await call(self.writer, self.ctx(), path=path, content=content, **more))

    async def preview(self, tool: Any, ctx: ToolContext, **arguments: Any) -> Diff:
        shown = await tool.preview(validate(tool.Params, arguments), ctx)
        assert isinstance(shown, Diff)
        return shown


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path)


@pytest.fixture
def f(tmp_path: Path) -> Path:
    return tmp_path / "f"


# --- one place, exactly -----------------------------------------------------------------------------------------------


async def test_a_replacement_says_where(session: Session, f: Path) -> None:
    f.write_text("a\nb\nc\n")
    assert await session.replace("b", "B") == "Edited f: 1 replacement at line 2."
    assert f.read_text() == "a\nB\nc\n"


async def test_a_single_edit_need_not_be_a_list(session: Session, f: Path) -> None:
    f.write_text("x = 1\n")
    output = await call(session.replacer, session.ctx(), path="f", edit={"old": "1", "new": "2"})
    assert isinstance(output.for_user, Diff)
    assert output.for_user.path == str(Path(os.path.realpath(f)))
    assert "-x = 1\n+x = 2\n" in output.for_user.unified


async def test_an_ambiguous_edit_shows_all_its_places(session: Session, f: Path) -> None:
    f.write_text("".join(f"def f{n}():\n    return 1\n\n" for n in range(3)))
    with pytest.raises(ToolError) as error:
        await session.replace("return 1", "return 2")
    assert "3 places (lines 2, 5, 8)" in str(error.value)
    assert "     4\tdef f1():\n     5\t    return 1" in str(error.value)
    assert "return 2" not in f.read_text()


async def test_overlapping_places_are_ambiguous_too(session: Session, f: Path) -> None:
    f.write_text("aaa")
    with pytest.raises(ToolError, match="2 places"):
        await session.replace("aa", "b")


async def test_replace_all(session: Session, f: Path) -> None:
    f.write_text("a a\na\nb\n")
    assert await session.replace("a", "aa", replace_all=True) == "Edited f: 3 replacements at lines 1, 2."
    assert f.read_text() == "aa aa\naa\nb\n"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [("b", "b", "the same"), ("b\r\n", "b\n", "the same"), ("", "x", "empty"), ("zzz", "y", "not in the file")],
)
async def test_edits_that_make_no_sense(session: Session, f: Path, old: str, new: str, words: str) -> None:
    f.write_bytes(b"a\r\nb\r\n")
    with pytest.raises(ToolError, match=words):
        await session.replace(old, new)
    assert f.read_bytes() == b"a\r\nb\r\n"


async def test_a_missing_text_brings_up_the_nearest_passages(session: Session, f: Path) -> None:
    f.write_text(
        "import os\n\n\ndef total(items):\n    count = 0\n    for item in items:\n        count += item.price\n    return count\n"
    )
    with pytest.raises(ToolError) as error:
        await session.replace("def total(items):\n    count = 1\n    for item in items:", "pass")
    assert "Lines 4-6 (" in str(error.value)
    assert "     5\t    count = 0" in str(error.value)
    with pytest.raises(ToolError, match=r"Line 7 \(\d\d% alike\):\n     7\t        count \+= item.price"):
        await session.replace("count += items.prices", "pass")


@pytest.mark.parametrize(
    ("text", "old"),
    [
        ("a\nx = “it’s”\n", "it's"),
        ("a\nx = “it’s”\n", 'x = "it\'s"'),
        ("a\npages 1–2…\nend\n", "1-2...\nend"),
        ("a\ncafe\u0301 noir\n", "café"),
        ("a\nfoo(1,\u00a02)\n", "o(1, 2"),
    ],
)
async def test_typographic_characters_are_pointed_out(session: Session, f: Path, text: str, old: str) -> None:
    f.write_text(text)
    with pytest.raises(ToolError, match=r"at line 2 the file has other quotes") as caught:
        await session.replace(old, "new")
    assert "     2\t" + text.split("\n")[1] in str(caught.value)
    assert f.read_text() == text


async def test_line_numbers_copied_along_are_recognised(session: Session, f: Path) -> None:
    f.write_text("alpha\nbeta\n")
    with pytest.raises(ToolError, match="line numbers"):
        await session.replace("     1\talpha\n     2\tbeta", "x")


async def test_missing_file_folder_and_binary(session: Session, tmp_path: Path) -> None:
    (tmp_path / "bin").write_bytes(b"a\0b")
    (tmp_path / "name.py").touch()
    for path, words in (("nam.py", r"mean name\.py"), (".", "folder"), ("bin", "binary")):
        with pytest.raises(ToolError, match=words):
            await session.replace("a", "b", path=path)
    with pytest.raises(ToolError, match="binary"):
        await session.write("text", "bin")


# --- the second chance ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "old", "new", "result"),
    [
        # the model thinks of less indentation than there is
        (
            "class A:\n    def f(self):\n        a = 1\n        return a\n",
            "def f(self):\n    a = 1\n    return a\n",
            "def f(self):\n    a = 2\n    if a:\n        a += 1\n    return a\n",
            "class A:\n    def f(self):\n        a = 2\n        if a:\n            a += 1\n        return a\n",
        ),
        # spaces for tabs
        (
            "func main() {\n\tif x {\n\t\ty()\n\t}\n}\n",
            "    if x {\n        y()\n    }",
            "    if x {\n        y()\n        for {\n            z()\n        }\n    }",
            "func main() {\n\tif x {\n\t\ty()\n\t\tfor {\n\t\t\tz()\n\t\t}\n\t}\n}\n",
        ),
        # too much indentation, and a line that goes out of the passage
        (
            "def f():\n  if a:\n    b()\n",
            "        if a:\n            b()",
            "        if a:\n            c()\n        d()",
            "def f():\n  if a:\n    c()\n  d()\n",
        ),
        # trailing blanks in the file stay where nothing was changed
        ("a = 1  \nb  =  2\nc = 3\n", "a = 1\nb = 2\nc = 3", "a = 1\nb = 2\nc = 4", "a = 1  \nb  =  2\nc = 4\n"),
        # whole lines are deleted with their line end
        ("a\n  b  c\nd\n", "b c\n", "", "a\nd\n"),
        ("a\n\tb c", "  b c\n", "  x\n  y\n", "a\n\tx\n\ty"),
    ],
)
async def test_white_space_apart(session: Session, f: Path, text: str, old: str, new: str, result: str) -> None:
    f.write_text(text)
    answer = await session.replace(old, new)
    assert f.read_text() == result
    assert "white space ignored" in answer


async def test_white_space_apart_keeps_mixed_line_ends(session: Session, f: Path) -> None:
    f.write_bytes(b"\ta\r\n\tb\n\tc\r\n\td\n")
    await session.replace("a\nb\nc\nd", "a\nb\nC\nd")
    assert f.read_bytes() == b"\ta\r\n\tb\n\tC\r\n\td\n"


async def test_white_space_apart_must_be_unique_too(session: Session, f: Path) -> None:
    f.write_text("  a  b\nx\n    a\tb\n")
    with pytest.raises(ToolError, match=r"2 places \(lines 1, 3\)"):
        await session.replace("a b\n", "c\n")


INDENTED = st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["if a:", "b = 1", "c( 2 )", "d", "}"])), min_size=1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(200))
@given(INDENTED, st.data(), st.sampled_from(["\t", "  ", "    "]), st.sampled_from(["\t", "  ", "   "]))
async def test_white_space_apart_changes_only_the_lines_that_were_meant(
    tmp_path: Path, lines: list[tuple[int, str]], data: st.DataObject, unit: str, model_unit: str
) -> None:
    in_file = [f"{unit * depth}{text}" for depth, text in lines]
    first = data.draw(st.integers(0, len(lines) - 1))
    last = data.draw(st.integers(first + 1, len(lines)))
    changed = data.draw(st.integers(first, last - 1))
    in_file[changed] = unit * lines[changed][0] + "the one line"
    (tmp_path / "f").write_text("\n".join(in_file))
    old = [f"{model_unit * lines[n][0]}{in_file[n].strip()}" for n in range(first, last)]
    new = [*old]
    new[changed - first] = new[changed - first].replace("the one line", "another\tline  x")
    await Session(tmp_path).replace("\n".join(old), "\n".join(new))
    assert (tmp_path / "f").read_text().split("\n") == [
        *in_file[:changed],
        unit * lines[changed][0] + "another\tline  x",
        *in_file[changed + 1 :],
    ]


# --- several edits ----------------------------------------------------------------------------------------------------


async def test_later_edits_see_earlier_ones(session: Session, f: Path) -> None:
    f.write_text("one\ntwo\nthree\n")
    answer = await session.edits(
        {"old": "three", "new": "four"}, {"old": "one", "new": "zero\none"}, {"old": "four", "new": "five"}
    )
    assert f.read_text() == "zero\none\ntwo\nfive\n"
    assert answer == "Edited f: 3 replacements at lines 1, 4."


async def test_time_grows_with_the_number_of_places_not_its_square(session: Session, f: Path) -> None:
    f.write_text("a,b;" * 50_000)  # one long line; the test's own time limit is the assertion
    answer = await session.edits(
        {"old": "a", "new": "\nA", "replace_all": True}, {"old": "b", "new": "B", "replace_all": True}
    )
    assert answer.startswith("Edited f: 100000 replacements at lines 1, 2, 3,")
    assert f.read_text() == "\nA,B;" * 50_000


async def test_all_or_none_and_each_failure_named(session: Session, f: Path) -> None:
    f.write_text("a\nb\nb\n")
    before = f.stat()
    with pytest.raises(ToolError) as error:
        await session.edits({"old": "a", "new": "A"}, {"old": "zz", "new": "Z"}, {"old": "b", "new": "B"})
    message = str(error.value)
    assert message.startswith("f was not changed.")
    assert "Edit 2 of 3: `old` is not in the file" in message
    assert "Edit 3 of 3: `old` is found in 2 places" in message
    assert "Edit 1" not in message
    assert (f.stat().st_ino, f.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


async def test_edits_that_undo_one_another(session: Session, f: Path) -> None:
    f.write_text("a\n")
    with pytest.raises(ToolError, match="undo"):
        await session.edits({"old": "a", "new": "b"}, {"old": "b", "new": "a"})
    with pytest.raises(ToolError, match="empty list"):
        await session.edits()


# --- bytes ------------------------------------------------------------------------------------------------------------

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-be-bom", "utf-32", "latin-1", "cp1252"]
LINES = st.lists(
    st.tuples(st.text(st.sampled_from("ab ü\t\"'é–€¥"), max_size=8), st.sampled_from(["\n", "\r\n"])), max_size=8
)


def encoded(text: str, codec: str) -> bytes:
    return b"\xfe\xff" + text.encode("utf-16-be") if codec == "utf-16-be-bom" else text.encode(codec)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(300))
@given(LINES, LINES, st.sampled_from(ENCODINGS), st.sampled_from(["", "x", "ab\nab", "é\n", "\n\n"]), st.booleans())
async def test_every_byte_outside_the_change_is_kept(
    tmp_path: Path, head: Any, tail: Any, codec: str, new: str, final_newline: bool
) -> None:
    before, after = ("".join(a + b for a, b in part) for part in (head, tail))
    if not final_newline:
        after = after.rstrip("\r\n")
    if codec in ("latin-1", "cp1252"):
        before += "é"  # or it would be ASCII
    try:
        data = encoded(f"{before}MARK{after}", codec)
        size = len(encoded(before, codec))
        encoded(new, codec)
    except UnicodeEncodeError:
        assume(False)
    path = tmp_path / "f"
    path.write_bytes(data)
    path.chmod(0o640)
    session = Session(tmp_path)
    await session.read()
    await session.replace("MARK", new)
    result = path.read_bytes()
    assert result[:size] == data[:size]
    kept = encoded(after, codec)[len(encoded("", codec)) :]
    assert result.endswith(kept)
    middle = result[size : len(result) - len(kept)]
    ends = [
        end
        for end in ("\n", "\r\n")
        if encoded(before, codec) + _raw(new.replace("\n", end), codec) == result[:size] + middle
    ]
    assert ends
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def _raw(text: str, codec: str) -> bytes:
    return encoded(text, codec)[len(encoded("", codec)) :]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(200))
@given(st.binary(max_size=60), st.binary(max_size=60))
async def test_any_bytes_around_an_edit_are_kept_or_the_file_is_refused(
    tmp_path: Path, head: bytes, tail: bytes
) -> None:
    path = tmp_path / "f"
    path.write_bytes(head + b"MARK" + tail)
    try:
        await Session(tmp_path).replace("MARK", "other")
    except ToolError:
        assert path.read_bytes() == head + b"MARK" + tail
    else:
        assert path.read_bytes() == head + b"other" + tail


@pytest.mark.parametrize(
    ("data", "old", "new", "result"),
    [
        (b"a\r\nb\r\nc", "a\nb", "a\nx\nb", b"a\r\nx\r\nb\r\nc"),
        (b"a\nb\r\nc\n", "b\nc", "b\nx\nc", b"a\nb\r\nx\nc\n"),
        (b"a\r\nb\nc\r\n", "a\nb\nc", "a\nb\nC", b"a\r\nb\nC\r\n"),
        (b"a\r\nb\r\n", "\nb", "", b"a\r\n"),
        (b"a\r\nb", "b", "b\nc", b"a\r\nb\r\nc"),
        (b"a", "a", "a\nb", b"a\nb"),
        (b"one\xe9\xff two", "two", "2", b"one\xe9\xff 2"),
    ],
)
async def test_line_ends_follow_the_place(
    session: Session, f: Path, data: bytes, old: str, new: str, result: bytes
) -> None:
    f.write_bytes(data)
    await session.replace(old, new)
    assert f.read_bytes() == result


async def test_text_that_the_encoding_has_not(session: Session, f: Path) -> None:
    f.write_bytes("café\n".encode("latin-1"))
    await session.read()
    for change in (session.replace("caf", "日"), session.write("日本"), session.write("日", mode="append")):
        with pytest.raises(ToolError, match="which has no '日'"):
            await change
    await session.replace("café", "thé")
    assert f.read_bytes() == "thé\n".encode("latin-1")


async def test_a_chinese_file_is_read_and_edited_as_such(session: Session, f: Path) -> None:
    f.write_bytes("标题：配置说明\r\n端口 = 80  # 朱镕基\r\n".encode("gbk"))
    shown = await session.read()
    assert "标题：配置说明" in shown
    assert "not UTF-8, read as gb18030" in shown
    await session.replace("端口 = 80", "端口号 = 8080\n主机 = 本机")
    assert f.read_bytes() == "标题：配置说明\r\n端口号 = 8080\r\n主机 = 本机  # 朱镕基\r\n".encode("gbk")


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("Größe, Maße, naïve, créée, Ärger, öffnen, «déjà»", "latin-1"),
        ("Größe", "latin-1"),
        ("Prix : 20 €, “œuvre” – l’été…", "cp1252"),
        ("ÄÖÜ äöü ß", "latin-1"),
    ],
)
async def test_western_files_are_not_taken_for_chinese(session: Session, f: Path, text: str, codec: str) -> None:
    f.write_bytes(text.encode(codec))
    assert text in await session.read()


async def test_invalid_bytes_in_utf8_stay_and_can_be_shown(session: Session, f: Path) -> None:
    f.write_bytes("日本\n".encode() + b"\xff x\n")
    output = await call(session.replacer, session.ctx(), path="f", edit={"old": "x", "new": "ÿ"})
    assert f.read_bytes() == "日本\n".encode() + b"\xff " + "ÿ\n".encode()
    assert isinstance(output.for_user, Diff)
    output.for_user.unified.encode()


# --- stale ------------------------------------------------------------------------------------------------------------


async def test_a_file_that_changed_since_it_was_read_is_refused(session: Session, f: Path) -> None:
    f.write_text("a\nb\n")
    await session.read()
    f.write_text("a\nb\nmine\n")
    for change in (session.replace("a", "A"), session.write("all"), session.write("x", mode="append")):
        with pytest.raises(StaleFileError, match="Read it again"):
            await change
    assert f.read_text() == "a\nb\nmine\n"
    await session.read()
    await session.replace("a", "A")
    await session.replace("mine", "ours")  # its own change is no surprise
    assert f.read_text() == "A\nb\nours\n"


async def test_a_file_that_was_only_touched_is_not_stale(session: Session, f: Path) -> None:
    f.write_text("a\n")
    await session.read()
    os.utime(f)
    f.chmod(0o600)
    await session.replace("a", "b")
    assert f.read_text() == "b\n"


async def test_a_deleted_file_is_not_made_again_by_an_edit(session: Session, f: Path) -> None:
    f.write_text("a\n")
    await session.read()
    f.unlink()
    with pytest.raises(StaleFileError, match="deleted"):
        await session.replace("a", "b")
    assert not f.exists()


async def test_a_change_while_the_person_thinks_is_refused(session: Session, f: Path) -> None:
    f.write_text("a\nb\n")
    for tool, arguments, words in (
        (session.replacer, {"path": "f", "edit": {"old": "a", "new": "A"}}, "waited for approval"),
        (session.writer, {"path": "f", "content": "new\n", "mode": "append"}, "waited for approval"),
        (session.writer, {"path": "f", "content": "new\n"}, "since you read it"),
    ):
        ctx = session.ctx("asked")
        if "read" in words:
            await session.read()
        await session.preview(tool, ctx, **arguments)
        f.write_text(f.read_text() + "theirs\n")
        content = f.read_text()
        with pytest.raises(StaleFileError, match=words):
            await call(tool, ctx, **arguments)
        assert f.read_text() == content


async def test_a_file_made_while_the_person_thinks_is_not_overwritten(session: Session, f: Path) -> None:
    ctx = session.ctx("asked")
    await session.preview(session.writer, ctx, path="f", content="new\n")
    f.write_text("theirs\n")
    with pytest.raises(StaleFileError):
        await call(session.writer, ctx, path="f", content="new\n")
    assert f.read_text() == "theirs\n"


async def test_the_approved_path_is_the_one_that_is_written(session: Session, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text("a\n")
    link = tmp_path / "link"
    link.symlink_to("one")
    ctx = session.ctx("asked")
    arguments = {"path": "link", "edit": {"old": "a", "new": "b"}}
    await session.preview(session.replacer, ctx, **arguments)
    link.unlink()
    link.symlink_to("two")
    with pytest.raises(StaleFileError):
        await call(session.replacer, ctx, **arguments)
    assert (tmp_path / "two").read_text() == "a\n"


async def test_the_preview_is_the_change(session: Session, f: Path) -> None:
    f.write_bytes(b"a\r\n  b\r\n")
    arguments = {"path": "f", "edit": [{"old": "b \n", "new": "c\n"}, {"old": "a", "new": "A"}]}
    ctx = session.ctx("asked")
    shown = await session.preview(session.replacer, ctx, **arguments)
    assert f.read_bytes() == b"a\r\n  b\r\n"
    assert (await call(session.replacer, ctx, **arguments)).for_user == shown
    assert f.read_bytes() == b"A\r\n  c\r\n"


# --- at the same time -------------------------------------------------------------------------------------------------


async def test_parallel_edits_of_one_file_are_all_made(session: Session, f: Path) -> None:
    f.write_text("".join(f"line{n};\n" for n in range(20)))
    await session.read()
    changes = [
        call(session.replacer, session.ctx(f"c{n}"), path="f", edit={"old": f"line{n};", "new": f"LINE{n};"})
        for n in range(20)
    ]
    await asyncio.gather(*changes, *(session.write(f"more{n}\n", mode="append") for n in range(5)))
    lines = f.read_text().split("\n")[:-1]
    assert lines[:20] == [f"LINE{n};" for n in range(20)]
    assert sorted(lines[20:]) == [f"more{n}" for n in range(5)]


async def test_edits_approved_together_are_all_made(session: Session, f: Path) -> None:
    f.write_text("".join(f"{n};\n" for n in range(30)))
    all_arguments = [{"path": "f", "edit": {"old": f"\n{n};", "new": f"\nx\n{n}!"}} for n in (5, 15, 25)]
    contexts = [session.ctx(f"c{n}") for n in range(3)]
    for ctx, arguments in zip(contexts, all_arguments, strict=True):
        await session.preview(session.replacer, ctx, **arguments)
    for ctx, arguments in zip(contexts, all_arguments, strict=True):
        await call(session.replacer, ctx, **arguments)
    assert all(f"x\n{n}!\n" in f.read_text() for n in (5, 15, 25))


async def test_of_two_sessions_one_is_told_to_read_again(tmp_path: Path, f: Path) -> None:
    f.write_text("a\nb\n")
    one, two = Session(tmp_path), Session(tmp_path)
    await one.read()
    await two.read()
    results = await asyncio.gather(one.replace("a", "A"), two.replace("b", "B"), return_exceptions=True)
    made = [result for result in results if isinstance(result, str)]
    assert all(isinstance(result, StaleFileError | str) for result in results)
    changed = f.read_text()
    assert len(made) == ("A" in changed) + ("B" in changed) > 0


# --- WriteFile --------------------------------------------------------------------------------------------------------


async def test_new_file_with_parents(session: Session, tmp_path: Path) -> None:
    ctx = session.ctx()
    output = await call(session.writer, ctx, path="a/b/c.txt", content="x\ny\n")
    assert text_of(output) == "Created a/b/c.txt: 2 lines."
    assert (tmp_path / "a/b/c.txt").read_text() == "x\ny\n"
    assert isinstance(output.for_user, Diff)
    assert output.for_user.created
    params = validate(WriteFile.Params, {"path": "a/b/c.txt", "content": ""})
    assert session.writer.effects(params, ctx) == (Effect("write", str(ctx.workspace.root / "a/b/c.txt")),)


async def test_overwriting_keeps_encoding_and_line_ends(session: Session, f: Path) -> None:
    f.write_bytes("a\r\nb\r\n".encode("utf-16"))
    await session.read()
    assert await session.write("\ufeffé\nb\n") == "Overwrote f: 2 lines."
    assert f.read_bytes() == "é\r\nb\r\n".encode("utf-16")
    assert await session.write("é\nb\n") == "f has this content already: nothing was written."
    f.write_bytes(b"a\n")
    await session.read()
    await session.write("a\r\nb\r\n")  # the model insists
    assert f.read_bytes() == b"a\r\nb\r\n"


async def test_what_nobody_has_read_is_not_overwritten(session: Session, f: Path) -> None:
    f.write_bytes(b"precious\n")
    with pytest.raises(ToolError, match=r"^f exists and has not been read in this session\. Read it first"):
        await session.preview(session.writer, session.ctx(), path="f", content="x")
    with pytest.raises(ToolError, match="has not been read"):
        await session.write("x")
    assert await session.write("more\n", mode="append") == "Appended 1 line to f."
    assert await session.write("x\n") == "Overwrote f: 1 line."  # it is the session's own by now
    (f.parent / "empty").touch()
    assert await session.write("x\n", path="empty") == "Overwrote empty: 1 line."


async def test_append(session: Session, f: Path) -> None:
    await session.write("a\n", mode="append")
    f.write_bytes(b"a\r\n\xe9")
    await session.read()
    assert await session.write("é\nb", mode="append") == "Appended 2 lines to f."
    assert f.read_bytes() == b"a\r\n\xe9\xe9\r\nb"


async def test_links_are_followed_and_named(session: Session, tmp_path: Path) -> None:
    (tmp_path / "real").write_text("a\n")
    (tmp_path / "link").symlink_to("real")
    ctx = session.ctx()
    assert await session.replace("a", "b", path="link") == "Edited link -> real: 1 replacement at line 1."
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "b\n"
    shown = await session.preview(session.replacer, ctx, path="link", edit={"old": "b", "new": "c"})
    assert shown.path == str(ctx.workspace.root / "real")


async def test_an_empty_new_file(session: Session, f: Path) -> None:
    assert await session.write("") == "Created f: 0 lines."
    assert f.read_bytes() == b""
