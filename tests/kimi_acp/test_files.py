"""Files through the editor: what is not saved is read, what is written is written once, and bytes stay what they are."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from acp_editor import Editor, Message, call, text
from acp_schema import editing
from kimi_program import Program

FILES = {"fs": {"readTextFile": True, "writeTextFile": True}}


class Buffers:
    """What an editor has open. `saves`: a write goes to the disk, too."""

    def __init__(self) -> None:
        self.open: dict[str, str] = {}
        self.saves = True
        self.written: list[str] = []
        self.read_by_agent: list[str] = []

    def read(self, params: Message) -> Any:
        self.read_by_agent.append(params["path"])
        path = Path(params["path"])
        if params["path"] in self.open:
            return {"content": self.open[params["path"]]}
        return {"content": path.read_text(encoding="utf-8-sig")} if path.exists() else RuntimeError("no such file")

    def write(self, params: Message) -> Any:
        self.written.append(params["path"])
        if self.saves:
            Path(params["path"]).write_bytes(params["content"].encode())
            self.open.pop(params["path"], None)
        else:
            self.open[params["path"]] = params["content"]
        return {}


@pytest.fixture(scope="module")
def filing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    with editing(Program(tmp_path_factory.mktemp("filing")), "--yolo", capabilities=FILES) as editor:
        yield editor


@pytest.fixture
def buffers(filing: Editor) -> Buffers:
    found = Buffers()
    filing.answers |= {"fs/read_text_file": found.read, "fs/write_text_file": found.write}
    return found


def run(editor: Editor, work: Path, *steps: Any) -> str:
    session = editor.new(*steps, text("Done."), cwd=str(work))
    assert editor.prompt(session) == {"stopReason": "end_turn"}
    return session


EDIT = call("StrReplaceFile", path="a.txt", edit={"old": "two", "new": "zwei"})
READ = call("ReadFile", path="a.txt")


def test_nothing_is_asked_before_a_prompt(filing: Editor, buffers: Buffers, work: Path) -> None:
    session = filing.new(READ, text("Done."), cwd=str(work))
    assert buffers.read_by_agent == []
    filing.prompt(session)
    assert buffers.read_by_agent == [str(work / "a.txt")]


def test_what_is_not_saved_is_read_and_changed(filing: Editor, buffers: Buffers, work: Path) -> None:
    path = work / "a.txt"
    buffers.open[str(path)] = "typed\ntwo\n"
    session = run(filing, work, READ, EDIT)
    assert "typed" in filing.card(session)["rawOutput"]["output"]
    assert path.read_text() == "typed\nzwei\n"
    assert buffers.written == [str(path)]
    [diff] = filing.card(session, 1)["content"]
    assert (diff["oldText"], diff["newText"]) == ("typed\ntwo\n", "typed\nzwei\n")


def test_an_editor_that_does_not_save_is_no_trouble(filing: Editor, buffers: Buffers, work: Path) -> None:
    buffers.saves = False
    again = call("StrReplaceFile", path="a.txt", edit={"old": "zwei", "new": "dos"})
    run(filing, work, READ, EDIT, READ, again, call("WriteFile", path="new.txt", content="n\n"))
    assert (work / "a.txt").read_text() == "one\ntwo\n"
    assert buffers.open[str(work / "a.txt")] == "one\ndos\n"
    assert buffers.open[str(work / "new.txt")] == "n\n"
    assert not (work / "new.txt").exists()


@pytest.mark.parametrize(
    ("before", "after", "through"),
    [
        (b"one\r\ntwo\r\n", b"one\r\nzwei\r\n", True),
        (b"\xef\xbb\xbfone\r\ntwo\r\n", b"\xef\xbb\xbfone\r\nzwei\r\n", True),
        (b"one\ntwo", b"one\nzwei", True),
        ("eins\ntwo\nGr\xfc\xdfe\n".encode("latin-1"), "eins\nzwei\nGr\xfc\xdfe\n".encode("latin-1"), False),
        ("one\ntwo\n".encode("utf-16"), "one\nzwei\n".encode("utf-16"), False),
    ],
    ids=["crlf", "bom", "no end", "latin-1", "utf-16"],
)  # fmt: skip
def test_bytes_stay_what_they_are(
    filing: Editor, buffers: Buffers, work: Path, before: bytes, after: bytes, through: bool
) -> None:
    """An editor tells no byte order mark; it writes what it is given."""
    (work / "a.txt").write_bytes(before)
    run(filing, work, READ, EDIT)
    assert (work / "a.txt").read_bytes() == after
    assert buffers.written == ([str(work / "a.txt")] if through else [])


def test_unsaved_text_keeps_the_line_ends_of_its_file(filing: Editor, buffers: Buffers, work: Path) -> None:
    (work / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n")
    buffers.open[str(work / "a.txt")] = "typed\ntwo\n"
    run(filing, work, READ, EDIT)
    assert (work / "a.txt").read_bytes() == b"\xef\xbb\xbftyped\r\nzwei\r\n"


def test_what_the_person_types_meanwhile_is_not_lost(filing: Editor, buffers: Buffers, work: Path) -> None:
    buffers.open[str(work / "a.txt")] = "typed\ntwo\n"
    reads = buffers.read

    def typing(params: Message) -> Any:
        answer = reads(params)
        if len(buffers.read_by_agent) >= 2:  # after the edit has looked at it
            buffers.open[params["path"]] = "typed more\ntwo\n"
        return answer

    filing.answers["fs/read_text_file"] = typing
    session = run(filing, work, READ, EDIT)
    assert buffers.written == []
    assert filing.card(session, 1)["status"] == "failed"


def test_an_editor_that_fails_is_told_to_the_model(filing: Editor, buffers: Buffers, work: Path) -> None:
    filing.answers["fs/write_text_file"] = lambda _: RuntimeError("the disk is full")
    session = run(filing, work, READ, EDIT)
    assert "the disk is full" in filing.card(session, 1)["rawOutput"]["output"]
    assert (work / "a.txt").read_text() == "one\ntwo\n"


def test_files_elsewhere_and_undo_are_our_own(
    filing: Editor, buffers: Buffers, work: Path, tmp_path_factory: Any
) -> None:
    other = tmp_path_factory.mktemp("other") / "c.txt"
    other.write_text("elsewhere\n")
    session = run(filing, work, call("ReadFile", path=str(other)), READ, EDIT)
    assert str(other) not in buffers.read_by_agent
    filing.prompt(session, "/undo 1 both")
    assert (work / "a.txt").read_text() == "one\ntwo\n"
