import asyncio
import errno
import fcntl
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from kimi_agent.core.errors import StaleFileError, WorkspaceError
from kimi_agent.workspaces.local import LocalWorkspace


@pytest.fixture
def ws(tmp_path: Path) -> LocalWorkspace:
    return LocalWorkspace(tmp_path)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_resolves_relative_absolute_home_and_links(ws: LocalWorkspace, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    root = Path(os.path.realpath(tmp_path))
    assert ws.resolve("link/new.txt") == root / "real/new.txt"
    assert ws.resolve("a/../b") == root / "b"
    assert ws.resolve("/etc/../etc/hosts") == Path(os.path.realpath("/etc/hosts"))
    assert ws.resolve("~/x") == Path(os.path.realpath(Path.home() / "x"))


@pytest.mark.parametrize("path", ["", "a\0b", "\ud800"])
def test_refuses_what_is_no_path(ws: LocalWorkspace, path: str) -> None:
    with pytest.raises(WorkspaceError):
        ws.resolve(path)


def test_contains_roots_and_nothing_beside_them(tmp_path: Path) -> None:
    for name in ("a", "b", "ab"):
        (tmp_path / name).mkdir()
    ws = LocalWorkspace(tmp_path / "a", [tmp_path / "b"])
    assert ws.contains(ws.resolve("x/y"))
    assert ws.contains(ws.resolve(str(tmp_path / "b/x")))
    assert not ws.contains(ws.resolve(str(tmp_path / "ab/x")))
    assert not ws.contains(ws.resolve(".."))


async def test_reads_whole_and_in_pieces(ws: LocalWorkspace, tmp_path: Path) -> None:
    data = os.urandom(200_000)
    path = ws.root / "data"
    path.write_bytes(data)
    assert await ws.read(path) == data
    assert await ws.read(path, 10) == data[:10]
    assert await ws.read(path, 150_000, 100_000) == data[100_000:]
    assert await ws.read(path, 10, 300_000) == b""


async def test_refuses_pipes_devices_and_folders_without_waiting(ws: LocalWorkspace) -> None:
    fifo = ws.root / "fifo"
    os.mkfifo(fifo)
    for path, words in ((fifo, "named pipe"), (Path("/dev/zero"), "a device"), (ws.root, "folder")):
        with pytest.raises(WorkspaceError, match=words):
            await asyncio.wait_for(ws.read(path), 5)


async def test_missing_file_is_named_relative_to_the_root(ws: LocalWorkspace) -> None:
    with pytest.raises(WorkspaceError, match=r"^No such file or folder: src/gone\.py$"):
        await ws.read(ws.root / "src/gone.py")
    assert await ws.stat(ws.root / "src/gone.py") is None


async def test_writes_a_new_file_with_parents_and_the_users_umask(ws: LocalWorkspace) -> None:
    path = ws.root / "a/b/c.txt"
    stat_after = await ws.write(path, b"hello", None)
    assert path.read_bytes() == b"hello"
    assert stat_after == await ws.stat(path)
    (ws.root / "plain").touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((ws.root / "plain").stat().st_mode)
    assert path.stat().st_nlink == 1
    assert names(path.parent) == ["c.txt"]


async def test_keeps_mode_and_attributes(ws: LocalWorkspace) -> None:
    path = ws.root / "tool.sh"
    path.write_bytes(b"old")
    path.chmod(0o751)
    kept = True
    try:
        os.setxattr(path, "user.note", b"mine")
    except OSError:
        kept = False
    inode = path.stat().st_ino
    await ws.write(path, b"new", await ws.stat(path))
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o751
    assert path.stat().st_ino != inode
    if kept:
        assert os.getxattr(path, "user.note") == b"mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_keeps_the_owner(ws: LocalWorkspace) -> None:
    path = ws.root / "theirs"
    path.write_bytes(b"old")
    os.chown(path, 1234, 2345)
    path.chmod(0o4755)
    await ws.write(path, b"new", await ws.stat(path))
    found = path.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1234, 2345, 0o4755)


async def test_a_hard_link_stays_one_file(ws: LocalWorkspace) -> None:
    one, two = ws.root / "one", ws.root / "two"
    one.write_bytes(b"old content")
    two.hardlink_to(one)
    for data in (b"new", b"much longer than it was before", b""):
        await ws.write(one, data, await ws.stat(one))
        assert two.read_bytes() == one.read_bytes() == data
        assert one.samefile(two)
    assert names(ws.root) == ["one", "two"]


async def test_refuses_a_file_in_another_state(ws: LocalWorkspace) -> None:
    path = ws.root / "f"
    path.write_bytes(b"1")
    before = await ws.stat(path)
    path.write_bytes(b"2")
    times = path.stat()
    os.utime(path, ns=(times.st_atime_ns, int(before.mtime * 1e9) if before else 0))  # a tool that hides its change
    for expect, content in ((before, b"2"), (None, b"2")):
        with pytest.raises(StaleFileError):
            await ws.write(path, b"3", expect)
        assert path.read_bytes() == content
    path.unlink()
    with pytest.raises(StaleFileError, match="deleted"):
        await ws.write(path, b"3", before)
    assert names(ws.root) == []


async def test_refuses_a_path_that_leads_elsewhere_since_it_was_resolved(ws: LocalWorkspace) -> None:
    inside, outside = ws.root / "inside", ws.root / "outside"
    inside.mkdir()
    outside.mkdir()
    path = ws.resolve("inside/f")
    inside.rmdir()
    inside.symlink_to(outside)
    with pytest.raises(StaleFileError):
        await ws.write(path, b"x", None)
    assert names(outside) == []


async def test_of_many_writers_with_the_same_expectation_one_wins(ws: LocalWorkspace) -> None:
    path = ws.root / "f"
    for start in (None, b"start"):
        path.unlink(missing_ok=True)
        if start is not None:
            path.write_bytes(start)
        expect = await ws.stat(path)
        others = [LocalWorkspace(ws.root) for _ in range(8)]
        writes = [other.write(path, b"%d" % number, expect) for number, other in enumerate(others)]
        results = await asyncio.gather(*writes, return_exceptions=True)
        winners = [number for number, result in enumerate(results) if not isinstance(result, BaseException)]
        assert len(winners) == 1
        assert all(isinstance(r, StaleFileError) for r in results if isinstance(r, BaseException))
        assert path.read_bytes() == b"%d" % winners[0]
        assert names(ws.root) == ["f"]


async def test_a_cancelled_write_is_whole_or_not_made(ws: LocalWorkspace) -> None:
    path = ws.root / "f"
    old, new = b"a" * 3_000_000, b"b" * 3_000_000
    path.write_bytes(old)
    task = asyncio.create_task(ws.write(path, new, await ws.stat(path)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.get_running_loop().shutdown_default_executor()
    assert path.read_bytes() in (old, new)
    assert names(ws.root) == ["f"]


WRITE_IN_CHILD = """
    import asyncio, resource, sys
    from pathlib import Path
    from kimi_agent.core.errors import WorkspaceError
    from kimi_agent.workspaces.local import LocalWorkspace
    async def main(folder, size, limit):
        ws = LocalWorkspace(Path(folder))
        path = ws.root / "f"
        expect = await ws.stat(path)
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            await ws.write(path, b"n" * size, expect)
        except WorkspaceError as error:
            print(error)
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


def write_in_child(folder: Path, size: int, limit: int = 0, prefix: tuple[str, ...] = ()) -> str:
    argv = [*prefix, sys.executable, "-c", textwrap.dedent(WRITE_IN_CHILD), str(folder), str(size), str(limit)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.mark.parametrize("links", [1, 2])
def test_a_write_that_fails_half_way_leaves_the_original(tmp_path: Path, links: int) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"o" * 20_000)
    if links == 2:
        (tmp_path / "g").hardlink_to(path)
    assert "left as it was" in write_in_child(tmp_path, 200_000, limit=50_000)
    assert path.read_bytes() == b"o" * 20_000
    assert names(tmp_path) == ["f", "g"][:links]


def can_mount() -> bool:
    unshare = shutil.which("unshare")
    probe = [unshare or "false", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(probe, capture_output=True).returncode == 0


@pytest.mark.skipif(sys.platform != "linux" or not can_mount(), reason="needs a private mount")
@pytest.mark.parametrize(
    ("options", "links", "words"), [("size=64k", 1, "disk is full"), ("size=64k", 2, "disk is full")]
)
def test_a_full_disk_leaves_the_original(tmp_path: Path, options: str, links: int, words: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f'mount -t tmpfs -o {options} none "$0" && printf old > "$0/f" && ' + (
        'ln "$0/f" "$0/g" && ' if links == 2 else ""
    )
    script += '"$@" && cat "$0/f" && ls -A "$0" | tr "\\n" " "'
    out = write_in_child(disk, 500_000, prefix=("unshare", "-rm", "sh", "-c", script, str(disk)))
    assert words in out
    assert out.endswith("old" + ("f g " if links == 2 else "f "))


@pytest.mark.skipif(sys.platform != "linux" or not can_mount(), reason="needs a private mount")
def test_read_only_disk_and_single_mounted_file(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    (disk / "f").write_bytes(b"old")
    script = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && "$@" && cat "$0/f"'
    out = write_in_child(disk, 5, prefix=("unshare", "-rm", "sh", "-c", script, str(disk)))
    assert "read-only" in out or "Permission denied" in out
    assert out.endswith("old")
    script = 'mount --bind "$0/f" "$0/f" && "$@" && cat "$0/f"'  # a rename onto a mounted file is refused
    assert write_in_child(disk, 5, prefix=("unshare", "-rm", "sh", "-c", script, str(disk))) == "nnnnn"
    assert names(disk) == ["f"]


WRITE_FOREVER = """
    import asyncio, sys
    from pathlib import Path
    from kimi_agent.workspaces.local import LocalWorkspace
    async def main(folder):
        ws = LocalWorkspace(Path(folder))
        path = ws.root / "f"
        while True:
            for letter in b"ab":
                await ws.write(path, bytes([letter]) * 300_000, await ws.stat(path))
                print(flush=True)
    asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.parametrize("rounds", [1, 2, 3, 5, 8, 13])
def test_killed_at_any_moment_it_leaves_one_content_or_the_other(tmp_path: Path, rounds: int) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"b" * 300_000)
    argv = [sys.executable, "-c", textwrap.dedent(WRITE_FOREVER), str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        for _ in range(rounds):
            assert child.stdout.readline()
        child.kill()
    assert path.read_bytes() in (b"a" * 300_000, b"b" * 300_000)


WRITE_AS_NOBODY = """
    import asyncio, concurrent.futures.thread, os, sys
    from pathlib import Path
    from kimi_agent.core.errors import WorkspaceError
    from kimi_agent.workspaces.local import LocalWorkspace
    async def main(ws):
        for name in ("theirs", "read-only", "closed/f", "sticky/f"):
            path = ws.root / name
            try:
                await ws.write(path, b"new and longer", await ws.stat(path))
            except WorkspaceError as error:
                print(error)
    ws = LocalWorkspace(Path(sys.argv[1]))
    os.setgid(65534)
    os.setuid(65534)
    asyncio.run(main(ws))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_somebody_elses_file_stays_theirs_and_closed_folders_are_no_obstacle() -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to others
        root = Path(folder)
        for name, mode in (("theirs", 0o666), ("read-only", 0o444), ("closed/f", 0o666), ("sticky/f", 0o666)):
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_bytes(b"old")
            (root / name).chmod(mode)
        for name, mode in ((".", 0o777), ("closed", 0o755), ("sticky", 0o1777)):
            (root / name).chmod(mode)
        inodes = {path: path.stat().st_ino for path in root.rglob("*")}
        argv = [sys.executable, "-c", textwrap.dedent(WRITE_AS_NOBODY), folder]
        out = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout
        assert out == "Permission denied: read-only\n"
        assert (root / "read-only").read_bytes() == b"old"
        for name in ("theirs", "closed/f", "sticky/f"):
            assert (root / name).read_bytes() == b"new and longer"
            assert (root / name).stat().st_uid == 0
        assert {path: path.stat().st_ino for path in root.rglob("*")} == inodes


async def test_a_folder_that_somebody_keeps_locked_is_written_all_the_same(ws: LocalWorkspace) -> None:
    folder = os.open(ws.root, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        await ws.write(ws.root / "f", b"x", None)
    finally:
        os.close(folder)
    assert (ws.root / "f").read_bytes() == b"x"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
async def test_a_read_only_file_is_refused_although_a_rename_could_replace_it(ws: LocalWorkspace) -> None:
    path = ws.root / "f"
    path.write_bytes(b"old")
    path.chmod(0o444)
    with pytest.raises(WorkspaceError, match="Permission denied"):
        await ws.write(path, b"new", await ws.stat(path))
    assert path.read_bytes() == b"old"


def test_the_errors_that_matter_have_words() -> None:
    from kimi_agent.workspaces.trouble import describe

    for code in (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.ELOOP):
        line = describe(OSError(code, os.strerror(code)), Path("/r/dir/name"), Path("/r"))
        assert "dir/name" in line
        assert "/r/" not in line
