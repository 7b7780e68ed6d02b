"""What the prompt keeps in files: the history of a folder, and the text that an editor works on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kimi_agent.core.redact import Redactor
from kimi_agent.frontends.common.editor import edit
from kimi_agent.frontends.common.history import LIMIT, TAIL, PromptHistory
from kimi_agent.frontends.common.unsent import Unsent


def history(folder: Path) -> PromptHistory:
    return PromptHistory(folder / "work", folder)


def test_a_damaged_history_gives_what_is_whole(tmp_path: Path) -> None:
    kept = history(tmp_path)
    kept.add("first")
    with kept.path.open("ab") as file:
        for line in (
            b"",
            b"\xff\xfe",
            b"[" * 100_000,
            b"[]",
            b"3",
            b'{"content": 3}',
            b'{"content": null}',
            b'{"content"',
        ):
            file.write(line + b"\n")
        file.write(b'{"content": "a\\u001b[31mred\\ud800\\u0000"}\n{"content": "cut sho')
    assert history(tmp_path).entries == ["first", "ared\ufffd"]
    history(tmp_path).add("after the crash")
    assert history(tmp_path).entries == ["first", "ared\ufffd", "after the crash"]


def test_a_history_that_is_no_file_is_an_empty_one(tmp_path: Path) -> None:
    path = history(tmp_path).path
    path.mkdir(parents=True)
    history(tmp_path).add("lost")
    assert history(tmp_path).entries == []
    path.rmdir()
    os.mkfifo(path)
    assert history(tmp_path).entries == []


def test_only_the_end_of_a_long_history_is_read(tmp_path: Path) -> None:
    path = history(tmp_path).path
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps({"content": f"entry {n}"}) + "\n" for n in range(100_000)))
    entries = history(tmp_path).entries
    assert entries[-1] == "entry 99999"
    assert LIMIT <= len(entries) <= LIMIT + 1
    sized = "x" * 100_000
    path.write_text("".join(json.dumps({"content": f"{n} {sized}"}) + "\n" for n in range(500)))
    entries = history(tmp_path).entries
    assert entries[-1].startswith("499 ")
    assert TAIL / 2 < sum(map(len, entries)) < 3 * TAIL


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from kimi_agent.frontends.common.history import PromptHistory\n"
        "kept = PromptHistory(Path(sys.argv[1]) / 'work', Path(sys.argv[1]))\n"
        "for n in range(100): kept.add(f'{sys.argv[2]} {n} ' + 'long ' * 2000)"
    )
    children = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name]) for name in "abc"]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    found = [text.split(" long")[0] for text in history(tmp_path).entries]
    assert sorted(found) == sorted(f"{name} {n}" for name in "abc" for n in range(100))


@pytest.mark.parametrize(
    ("writes", "code", "left"),
    [
        (b"changed\n\n", 0, "changed"),
        (b"changed", 3, None),
        (b"", 0, ""),
        (b"\xef\xbb\xbfone\r\ntwo\rthree\r\n", 0, "one\ntwo\nthree"),
        (b"a\x00b\x1b[31mc\xff\td", 0, "abc\ufffd\td"),
        (None, 0, None),
    ],
)
async def test_what_an_editor_leaves(tmp_path: Path, writes: bytes | None, code: int, left: str | None) -> None:
    script = tmp_path / "editor.py"
    change = f"p.write_bytes({writes!r})" if writes is not None else "p.unlink()"
    script.write_text(f"import sys; from pathlib import Path\np = Path(sys.argv[1])\n{change}\nsys.exit({code})")
    assert await edit([sys.executable, str(script)], "was there") == left


async def test_no_editor_no_change(tmp_path: Path) -> None:
    assert await edit([str(tmp_path / "missing")], "text") is None


def test_a_key_that_was_typed_is_not_stored(tmp_path: Path) -> None:
    hide = Redactor({"A_KEY": "sk-canary-123"}).text
    typed = PromptHistory(tmp_path / "work", tmp_path, hide)
    typed.add("use sk-canary-123 now")
    assert typed.entries == ["use sk-canary-123 now"]
    assert PromptHistory(tmp_path / "work", tmp_path).entries == ["use [redacted: A_KEY] now"]
    unsent = Unsent(tmp_path, "s", tmp_path, hide)
    unsent.keep(["and sk-canary-123"])
    assert "redacted: A_KEY" in next(tmp_path.glob("drafts/*/*.json")).read_text()
    assert not any(b"sk-canary-123" in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
