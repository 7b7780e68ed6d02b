"""Files come back whole or not at all: a restore that is killed, or refused by the disk, at any of its system calls (T42)."""

import errno
import os
import resource
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest
import syscalls
from machine import of
from rewind_house import AnsweringShell, RewindHouse, picture, sh

from kimi_agent.core import event as ev
from kimi_agent.core.snapshot import FileChange, FileState
from kimi_agent.workspaces.snapshot_objects import id_of
from kimi_agent.workspaces.snapshot_restore import restore

trace = pytest.mark.skipif(not syscalls.can_trace(), reason="needs ptrace on x86_64 Linux")
OLD, NEW = b"as it was\n" * 9, b"as kimi left it\n" * 9
DISK = frozenset(("write", "rename", "renameat", "renameat2", "symlinkat", "unlinkat", "mkdirat"))
FILE, FOLDER = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755
CONTENTS = {id_of(data): data for data in (OLD, NEW, b"there")}


def state(path: Path) -> FileState | None:
    if path.is_symlink():
        return FileState(stat.S_IFLNK | 0o777, id_of(os.fsencode(path.readlink())))
    if path.is_dir():
        return FileState(FOLDER)
    return FileState(FILE, id_of(path.read_bytes())) if path.exists() else None


class Scene:
    """Of everything one: a file that was edited, deleted, made; a link, and folders, in the place of a file and the other way."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        was, now = FileState(FILE, id_of(OLD)), FileState(FILE, id_of(NEW))
        link, box = FileState(stat.S_IFLNK | 0o777, id_of(b"there")), FileState(FOLDER)
        pairs = {"edit": (now, was), "gone": (None, was), "made": (now, None), "link": (now, link), "box": (box, was),
                 "sub": (None, box), "sub/in": (None, was), "flat": (now, box), "flat/in": (None, was)}  # fmt: skip
        self.changes = [FileChange(str(self.root / name), *pair) for name, pair in pairs.items()]

    def stage(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir()
        (self.root / "box").mkdir()
        for name in ("edit", "made", "link", "flat"):
            (self.root / name).write_bytes(NEW)

    def restore(self) -> None:
        refused = restore(self.changes, CONTENTS.__getitem__, lambda path: state(Path(path)))
        (self.root.parent / "refused").write_text("\n".join(refused))

    def again(self) -> None:
        """As a second /undo does: from what is there now."""
        self.changes = [FileChange(each.path, state(Path(each.path)), each.after) for each in self.changes]
        self.restore()
        assert len(self.done()) == len(self.changes)

    def done(self, *, killed: bool = False) -> set[str]:
        """The paths that are as they were. Raises AssertionError for one that is neither so nor as it was left."""
        found = {change.path: state(Path(change.path)) for change in self.changes}
        for change in self.changes:
            between = [None] if killed and change.path.endswith(("box", "flat")) else []  # what changes its kind
            assert alike(found[change.path], [change.before, change.after, *between]), change.path
        return {change.path for change in self.changes if alike(found[change.path], [change.after])}

    def left_over(self) -> list[Path]:
        return list(self.root.rglob(".kimi-*"))


def alike(found: FileState | None, states: Sequence[FileState | None]) -> bool:
    return any(
        found == each or (found and each and (found.kind, found.blob) == (each.kind, each.blob)) for each in states
    )


@trace
def test_a_kill_leaves_each_file_as_it_is_or_as_it_was_and_a_second_undo_goes_on(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    before = scene.changes
    for number in syscalls.everywhere(scene.restore, scene.stage, only=DISK):
        syscalls.run(scene.restore, at=number, only=DISK)
        scene.done(killed=True)
        scene.again()
        scene.changes = before


@trace
@pytest.mark.parametrize(
    "fault",
    [errno.ENOSPC, pytest.param(errno.EROFS, marks=pytest.mark.nightly)],
    ids=lambda fault: errno.errorcode[fault],
)
def test_what_the_disk_refuses_is_named_and_left_as_it_is(tmp_path: Path, fault: int) -> None:
    scene = Scene(tmp_path)
    before = scene.changes
    for number in syscalls.everywhere(scene.restore, scene.stage, only=DISK):
        outcome = syscalls.run(scene.restore, at=number, refuse=fault, only=DISK)
        refused = set((tmp_path / "refused").read_text().split("\n")) - {""}
        every = {change.path for change in scene.changes}
        assert every - scene.done() <= refused, (number, outcome)
        assert not scene.left_over() or outcome.calls[number] == "unlinkat", (number, outcome)
        scene.again()
        scene.changes = before


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
async def test_an_undo_that_finds_no_room_keeps_the_conversation_and_goes_on_when_there_is_some(tmp_path: Path) -> None:
    house = RewindHouse(tmp_path)
    (house.work / "small").write_text("small")
    (house.work / "large").write_bytes(b"x" * 200_000)
    before = picture(house.work)
    session = house.open()
    await house.turn(session, [sh("rm small; echo > large; echo > new")])
    shell = AnsweringShell(house, session)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # as a full disk is
    try:
        said = await shell.do("/undo both")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "2 files are as they were before." in said
    assert "- `large` stays: File too large." in said
    assert "The conversation stays as it is: `/undo` again goes on with the rest." in said
    assert {path.name: path.read_bytes() for path in house.work.iterdir()} == {"small": b"small", "large": b"\n"}
    assert session.runner.history.turns() == 1
    assert "1 file is as it was before." in await shell.do("/undo both")
    assert picture(house.work) == before
    assert session.runner.history.turns() == 0
    assert [event.files for event in of(session.events(), ev.FilesChanged) if event.by == "undo"] == [2, 1]
    await shell.do("/redo")
    await shell.do("/redo")
    assert {path.name: path.read_bytes() for path in house.work.iterdir()} == {"large": b"\n", "new": b"\n"}
    await session.aclose()
