"""An edit that is killed, refused or overtaken at any of its system calls (T32, T41, T42)."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import syscalls

from kimi_agent.config.edit import save
from kimi_agent.core.errors import ConfigError, StaleFileError
from kimi_agent.workspaces.replace import key_of, replace_file

pytestmark = pytest.mark.skipif(not syscalls.can_trace(), reason="needs ptrace on x86_64 Linux")

OLD, NEW, THEIRS = b"old\n" * 10, b"something new\n" * 10, b"theirs\n" * 9
MADE, STALE, REFUSED = 0, 3, 4  # exit codes of the child
DISK = frozenset(
    "write pwrite64 openat fsync rename renameat2 link fallocate ftruncate fchmod fchown flock unlink mkdir".split()  # noqa: SIM905
)
FAULTS = [
    errno.ENOSPC,
    errno.EIO,
    *(pytest.param(rare, marks=pytest.mark.nightly) for rare in (errno.EDQUOT, errno.EROFS)),
]
LINKS = pytest.mark.parametrize("links", [1, 2], ids=["by rename", "in place"])


class Scene:
    """A file that is edited; with two `links` its inode must stay."""

    def __init__(self, folder: Path, links: int) -> None:
        self.folder, self.path, self.links, self.key = folder, folder / "f", links, ""

    def set(self) -> None:
        for path in self.folder.iterdir():
            path.unlink()
        self.path.write_bytes(OLD)
        if self.links == 2:
            (self.folder / "g").hardlink_to(self.path)
        self.key = key_of(self.path.stat())

    def edit(self) -> None:
        try:
            replace_file(self.path, NEW, self.key)
        except StaleFileError:
            os._exit(STALE)
        except OSError:
            os._exit(REFUSED)

    def left_over(self) -> list[bytes]:
        """What lies beside the file."""
        return [path.read_bytes() for path in self.folder.iterdir() if path.name not in ("f", "g")]


@LINKS
def test_a_kill_leaves_the_old_content_or_the_new(tmp_path: Path, links: int) -> None:
    scene = Scene(tmp_path, links)
    for number in syscalls.everywhere(scene.edit, scene.set):
        outcome = syscalls.run(scene.edit, at=number)
        found = scene.path.read_bytes()
        if links == 2 and found not in (OLD, NEW):  # an inode that must stay cannot be written at once
            assert OLD in scene.left_over(), outcome
        else:
            assert found in (OLD, NEW), outcome


@LINKS
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: errno.errorcode[fault])
def test_a_fault_of_the_disk_changes_nothing_and_is_told(tmp_path: Path, links: int, fault: int) -> None:
    scene = Scene(tmp_path, links)
    for number in syscalls.everywhere(scene.edit, scene.set, only=DISK):
        outcome = syscalls.run(scene.edit, at=number, refuse=fault, only=DISK)
        assert (outcome.code, scene.path.read_bytes()) in ((REFUSED, OLD), (MADE, NEW)), (number, outcome)
        assert not scene.left_over() or outcome.calls[number] == "unlink", outcome


@LINKS
@pytest.mark.parametrize("in_place", [True, False], ids=["writes it", "replaces it"])
def test_what_somebody_else_writes_meanwhile_is_never_lost(tmp_path: Path, links: int, in_place: bool) -> None:
    scene = Scene(tmp_path, links)

    def somebody() -> None:
        target = scene.path if in_place else tmp_path / "theirs"
        target.write_bytes(THEIRS)
        target.rename(scene.path)

    lost = []
    for number in syscalls.everywhere(scene.edit, scene.set):
        outcome = syscalls.run(scene.edit, at=number, act=somebody)
        if THEIRS not in scene.path.read_bytes():
            lost.append(outcome.calls[number])
    # Only where an inode must stay are there three calls during which nobody can be kept out.
    known = ["fallocate", "lseek", "write"] if links == 2 and in_place else []
    assert lost == known if syscalls.STEP == 1 else set(lost) <= set(known)


def test_a_new_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "new"

    def clear() -> None:
        path.unlink(missing_ok=True)
        for left in tmp_path.glob("sub/.*"):
            left.unlink()

    def write() -> None:
        replace_file(path, NEW, None)

    for number in syscalls.everywhere(write, clear):
        syscalls.run(write, at=number)
        assert not path.exists() or path.read_bytes() == NEW


CONFIG = '# mine\ntheme = "dark"\nunknown = 1\n'


def saving(path: Path) -> tuple[Callable[[], None], Callable[[], None]]:
    def before() -> None:
        path.write_text(CONFIG)

    def work() -> None:
        try:
            save(path, {("theme",): "light"})
        except ConfigError:
            os._exit(REFUSED)

    before()
    save(path, {("theme",): "light"})  # loads what a save needs
    return work, before


def test_the_configuration_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    work, before = saving(path)
    texts = (CONFIG, CONFIG.replace("dark", "light"))
    for number in syscalls.everywhere(work, before):
        syscalls.run(work, at=number)
        assert path.read_text() in texts
    for fault in (errno.ENOSPC, errno.EROFS):
        for number in syscalls.everywhere(work, before, only=DISK):
            outcome = syscalls.run(work, at=number, refuse=fault, only=DISK)
            assert (outcome.code, path.read_text()) in ((REFUSED, texts[0]), (MADE, texts[1])), outcome
