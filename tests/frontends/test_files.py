"""The files that `@` completes: listing, ranking, answers that do not wait."""

import asyncio
import os
import subprocess
import time
from pathlib import Path

import pytest

from kimi_agent.frontends.common.file_listing import BATCH_FILES, Batch, batch_of, batches
from kimi_agent.frontends.common.file_search import search
from kimi_agent.frontends.common.files import FileIndex, git_branch, list_paths


def tree(root: Path, *files: str) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text("x")


async def find(root: Path, query: str) -> list[str]:
    index = FileIndex(root)
    await index.refresh()
    return index.find(query)


async def test_names_rank_before_paths_and_scattered_letters(tmp_path: Path) -> None:
    tree(tmp_path, "src/test/deep/z.py", "lib/mytest.py", "test.py", "a/t/e/s/t.txt", "other.md")
    found = await find(tmp_path, "test")
    assert found[:2] == ["test.py", "src/test/"]
    assert found.index("lib/mytest.py") < found.index("src/test/deep/z.py") < found.index("a/t/e/s/t.txt")
    assert "other.md" not in found
    assert (await find(tmp_path, "TEST.P"))[:2] == ["test.py", "lib/mytest.py"]


async def test_an_empty_query_lists_the_top(tmp_path: Path) -> None:
    tree(tmp_path, "b.py", "A/x.py", "node_modules/dep/index.js")
    assert await find(tmp_path, "") == ["A/", "b.py"]


def test_git_decides_what_is_listed(tmp_path: Path) -> None:
    tree(tmp_path, "kept.py", "new file.py", "build/out.o", "名字.txt")
    (tmp_path / ".gitignore").write_text("build/\n")
    subprocess.run(["git", "init", "-qb", "trunk"], cwd=tmp_path, check=True)
    assert list_paths(tmp_path) == [".gitignore", "kept.py", "new file.py", "名字.txt"]
    assert git_branch(tmp_path / "sub") == "trunk"
    assert git_branch(Path("/")) == ""


async def test_listing_follows_the_disk_after_a_while(tmp_path: Path) -> None:
    tree(tmp_path, "a.py")
    index = FileIndex(tmp_path)
    await index.refresh()
    tree(tmp_path, "b.py")
    await index.refresh()
    assert index.find("b.py") == []  # fresh enough
    assert index._listed_at is not None
    index._listed_at -= 60
    await index.refresh()
    assert index.find("b.py") == ["b.py"]


def test_links_and_loops_end(tmp_path: Path) -> None:
    tree(tmp_path, "a/b.py")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    assert "a/b.py" in list_paths(tmp_path)


def git(root: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=root, check=True, capture_output=True)


def ranked(query: str, *paths: str, used: dict[str, float] | None = None) -> list[str]:
    """The order of paths for a query, all of them on the disk."""
    listed = [batch_of("".join(f"{path}\n" for path in paths))]
    *_, last = search(listed, query, lambda path: (used or {}).get(path, 0.0))
    assert last is not None
    return last


@pytest.mark.parametrize(
    ("query", "best_first"),
    [
        ("sh", ["a/b/shell.py", "user_shell.py", "pushed.py", "fish/x.py", "suchwords.py"]),
        ("ush", ["ushers.py", "user_shell.py", "pushed.py", "u/s/h.py", "unusual_touch.py"]),
        ("us", ["use.py", "src/userShell.py", "abus.py"]),
        ("fcf", ["frontends/common/files.py", "fanciful.py"]),
        ("ShellMode", ["ShellMode.java", "b/shellmode.py"]),
        ("main", ["main.py", "z/main.py", "a/b/main.py"]),
        ("x", ["x.py", ".x/x.py", ".hidden/x.py"]),
        (".x", [".x.py", "a.x/y"]),
        ("src/a", ["src/a.py", "lib/src/abc.py", "xsrc/a.py"]),
        ("ÄB", ["äbc.txt", "x/ÄB.txt"]),
        ("(.*)", ["(.*).py"]),
    ],
)
def test_the_better_match_comes_first(query: str, best_first: list[str]) -> None:
    assert ranked(query, *reversed(best_first), "zzz") == best_first


def test_among_equals_the_last_used_comes_first(tmp_path: Path) -> None:
    assert ranked("a", "aa.py", "abc.py", "abcd.py", used={"abcd.py": 2.0, "abc.py": 1.0}) == [
        "abcd.py",
        "abc.py",
        "aa.py",
    ]


async def test_what_was_mentioned_or_changed_comes_first_and_what_is_gone_is_left_out(tmp_path: Path) -> None:
    tree(tmp_path, "a1.py", "a22.py", "a333.py", "a4444.py")
    for number, name in enumerate(("a1.py", "a22.py", "a333.py", "a4444.py")):
        os.utime(tmp_path / name, (number, number))
    index = FileIndex(tmp_path)
    await index.refresh()
    assert index.find("a") == ["a1.py", "a22.py", "a333.py", "a4444.py"]
    index.mentioned("a333.py")
    later = time.time() + 60
    os.utime(tmp_path / "a4444.py", (later, later))
    (tmp_path / "a1.py").unlink()
    assert index.find("a") == ["a4444.py", "a333.py", "a22.py"]


def test_every_kind_of_ignore_file_is_honoured(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    tree(
        tmp_path,
        "kept.py",
        "sub/kept.log",
        "sub/gone.tmp",
        "deep/er/secret.key",
        "deep/er/open.key",
        "mine.txt",
        "tracked.log",
    )
    git(tmp_path, "add", "tracked.log", "kept.py")
    (tmp_path / ".gitignore").write_text("*.log\n!sub/*.log\n")
    (tmp_path / "sub/.gitignore").write_text("*.tmp\n")
    (tmp_path / "deep/er/.gitignore").write_text("secret.*\n")
    (tmp_path / ".git/info/exclude").write_text("mine.txt\n")
    listed = set(list_paths(tmp_path))
    assert {"kept.py", "tracked.log", "sub/kept.log", "deep/", "deep/er/", "deep/er/open.key"} <= listed
    assert not {"sub/gone.tmp", "deep/er/secret.key", "mine.txt", ".git/"} & listed
    assert list_paths(tmp_path / "deep") == ["er/", "er/.gitignore", "er/open.key"]


def test_no_program_of_the_repository_is_run(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    tree(tmp_path, "a.py")
    git(tmp_path, "add", "a.py")
    (tmp_path / "hook").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (tmp_path / "hook").chmod(0o755)
    git(tmp_path, "config", "core.fsmonitor", f"{tmp_path}/hook")
    list_paths(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_folder_that_its_repository_ignores_is_walked(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text("build/\n")
    tree(tmp_path, "build/out/a.js")
    assert list_paths(tmp_path / "build") == ["out/", "out/a.js"]


def test_names_that_no_list_can_show_are_left_out(tmp_path: Path) -> None:
    tree(tmp_path, "two\nlines.py", "a b/İstanbul.py", "\x1b[31mred.py")
    (tmp_path / os.fsdecode(b"\xff\xfe.py")).touch()
    plain_folder = list_paths(tmp_path)
    git(tmp_path, "init", "-q")
    assert list_paths(tmp_path) == plain_folder
    assert plain_folder[:3] == ["\x1b[31mred.py", "a b/", "a b/İstanbul.py"]
    assert ranked("İSTAN", *plain_folder) == ranked("stanbul", *plain_folder) == ["a b/İstanbul.py"]


async def test_paths_elsewhere_are_completed_from_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    tree(home, "notes.md", "docs/a.md", ".profile")
    tree(work, "x.py", ".github/workflows/ci.yml", "sub/y.py")
    monkeypatch.setenv("HOME", str(home))

    async def last(query: str) -> list[str]:
        found: list[str] = []
        async for answer in FileIndex(work).search(query):
            found = answer
        return found

    assert await last("~/") == ["~/docs/", "~/notes.md"]
    assert await last("~/.p") == ["~/.profile"]
    assert await last("~") == ["~/"]
    assert await last("../ho") == ["../home/"]
    assert await last("./") == ["./sub/", "./x.py"]
    assert await last(f"{home}/no") == [f"{home}/notes.md"]
    assert await last(".github/wo") == [".github/workflows/"]
    assert await last("/no/such/folder/") == await last("~nobody/x") == []


def test_the_first_batch_does_not_wait_for_the_whole_listing(tmp_path: Path) -> None:
    """What is found so far can be searched: the folders below are read when the first batch is already there."""
    tree(tmp_path, *(f"file{number}.py" for number in range(BATCH_FILES)), "z/y.py")
    listing = batches(tmp_path)
    first = next(listing)
    assert "file1.py" in first.text
    (tmp_path / "z/late.py").touch()
    assert any("z/late.py" in batch.text for batch in listing)


async def test_answers_come_while_the_files_are_listed(tmp_path: Path) -> None:
    tree(tmp_path, "a.py", "b/a.py")
    answers = [answer async for answer in FileIndex(tmp_path).search("a")]
    assert answers[-1] == ["a.py", "b/a.py"]


async def test_a_new_file_is_found_when_the_list_is_old(tmp_path: Path) -> None:
    tree(tmp_path, "old.py")
    index = FileIndex(tmp_path)
    await index.refresh()
    tree(tmp_path, "new.py")
    assert index._listed_at is not None
    index._listed_at -= 3600
    assert [answer async for answer in index.search("new")] == [[], ["new.py"]]


async def test_a_search_that_nobody_wants_any_more_ends(tmp_path: Path) -> None:
    """Closing the answers stops the thread: the second half of the batches is never looked at."""
    looked: list[int] = []

    class Watched(list[Batch]):
        def __iter__(self):  # type: ignore[no-untyped-def]
            for number in range(len(self)):
                looked.append(number)
                yield self[number]

    answers = search(Watched([batch_of("a.py\n")] * 10), "b", lambda path: 0.0)
    assert next(answers) is None
    answers.close()  # type: ignore[attr-defined]
    assert looked == [0]


async def test_an_ending_program_does_not_wait_for_a_listing(tmp_path: Path) -> None:
    index = FileIndex(tmp_path)
    task = asyncio.create_task(index.refresh())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
