"""The parts below the widgets: files and their ranking, history, pastes, the asker, the guard."""

import asyncio
import subprocess
import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from tui_house import Clock

from kimi_agent.core.ask import Allow, Choice, Deny, Question
from kimi_agent.frontends.common.files import FileIndex, git_branch, list_paths
from kimi_agent.frontends.common.history import PromptHistory
from kimi_agent.frontends.common.pastes import Pastes
from kimi_agent.frontends.tui.asking import Asker
from kimi_agent.frontends.tui.widgets.panel import Guard


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


async def test_a_hundred_thousand_files_are_searched_quickly(tmp_path: Path) -> None:
    index = FileIndex(tmp_path)
    index._paths = [f"package{n % 300}/module{n % 77}/file_{n}.py" for n in range(100_000)]
    index._joined = "\n".join(index._paths)
    started = time.process_time()
    for query in ("f", "file_99", "module3/file_99", "pkgfile99", "zzz"):
        index.find(query)
    baseline = time.process_time() - started
    assert index.find("file_99999")[0].endswith("file_99999.py")
    assert baseline < 5 * _cost_of_counting(index._joined)


def _cost_of_counting(text: str) -> float:
    """Processor time of a plain pass over the same text with the same machinery: what the machine can do."""
    import re

    started = time.process_time()
    for _ in range(5):
        sum(1 for _ in re.finditer(r"[^\n]+", text))
    return time.process_time() - started


def test_history_survives_torn_lines_and_is_private(tmp_path: Path) -> None:
    history = PromptHistory(Path("/project"), tmp_path)
    for text in ("one", "two", "two", "中文\nzwei"):
        history.add(text)
    with history.path.open("ab") as file:
        file.write(b'{"content": "torn')
    assert oct(history.path.stat().st_mode & 0o777) == "0o600"
    again = PromptHistory(Path("/project"), tmp_path)
    assert again.entries == ["one", "two", "中文\nzwei"]
    again.add("after")
    assert PromptHistory(Path("/project"), tmp_path).entries[-1] == "after"
    assert PromptHistory(Path("/elsewhere"), tmp_path).entries == []


def test_a_disk_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "user-history").write_text("a file where the folder should be")
    history = PromptHistory(Path("/project"), tmp_path)
    history.add("kept in memory")
    assert history.older("") == "kept in memory"


@given(st.lists(st.text(max_size=2000) | st.just("line\n" * 20), max_size=5))
def test_pastes_always_expand_to_what_was_pasted(texts: list[str]) -> None:
    pastes = Pastes()
    shown = [pastes.collapse(text) for text in texts]
    for text, stand_in in zip(texts, shown, strict=True):
        assert pastes.expand(f"a {stand_in} b") == f"a {pastes.expand(text)} b"
        assert len(stand_in) < 1000


async def test_a_cancelled_question_gives_way_to_the_next() -> None:
    shown: list[Question | None] = []
    asker = Asker(shown.append)
    one, two = Choice(()), Choice((), *())
    first, second = asyncio.create_task(asker.ask(one)), asyncio.create_task(asker.ask(two))
    await asyncio.sleep(0)
    asker.answer(Allow())
    assert await first == Allow()
    await asyncio.sleep(0)
    asker.answer(Deny("no"))
    asker.answer(Allow())  # a second answer to the same question changes nothing
    assert await second == Deny("no")
    assert shown == [one, two, None]
    third = asyncio.create_task(asker.ask(one))
    await asyncio.sleep(0)
    third.cancel()
    await asyncio.wait([third])
    assert shown[-2:] == [one, None]
    assert asker.count == 0


def test_the_guard_wants_300_ms_of_calm() -> None:
    clock = Clock()
    guard = Guard(clock)
    assert not guard.passes()  # not painted yet
    clock.now += 10
    assert not guard.passes()
    guard.start()
    clock.now += 0.29
    assert not guard.passes()
    clock.now += 0.29
    assert not guard.passes()  # the person is still typing
    clock.now += 0.31
    assert guard.passes()


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
