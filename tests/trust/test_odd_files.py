"""Files that are none, folders that are too many, names that no one would give, a working folder that goes away (T47)."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from kimi_program import Program
from tool_context import call, make_context, text_of

from kimi_agent.core.errors import ToolError
from kimi_agent.core.tool import ToolContext
from kimi_agent.tools.glob import Glob
from kimi_agent.tools.grep import Grep
from kimi_agent.tools.read_file import ReadFile
from kimi_agent.tools.read_media_file import ReadMediaFile
from kimi_agent.tools.str_replace_file import StrReplaceFile
from kimi_agent.tools.write_file import WriteFile

BAD = b"bad\xff.txt"
EDIT = {"old": "a", "new": "b"}
NO_FILES = {
    "fifo": "a named pipe", "socket": "a socket", "/dev/zero": "a device", "/dev/full": "a device", "/proc/kmsg": "a stream of",
    "loop": "leads back to itself", "circle": "a folder", "sparse": "binary file|bytes|pictures|has not been read",
}  # fmt: skip


@pytest.fixture
def ctx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToolContext:
    root = tmp_path / "root"
    root.mkdir()
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(root)  # the path of a socket has at most 108 bytes
        listening.bind("socket")
    with (root / "sparse").open("wb") as file:
        file.truncate(50 << 30)
    (root / "loop").symlink_to("loop")
    (root / "circle").symlink_to(".")
    (root / "line\nbreak.txt").write_text("needle a\n")
    (root / "esc\x1b[31m.txt").write_text("needle c\n")
    Path(os.fsdecode(os.fsencode(root) + b"/" + BAD)).write_text("needle b\n")
    return make_context(root)


@pytest.mark.parametrize(("path", "words"), NO_FILES.items())
async def test_what_is_no_file_is_refused_at_once(ctx: ToolContext, path: str, words: str) -> None:
    for tool, more in (
        (ReadFile(), {}), (ReadMediaFile(), {}), (WriteFile(), {"content": "x"}), (StrReplaceFile(), {"edit": EDIT}),
    ):  # fmt: skip
        async with asyncio.timeout(10):
            with pytest.raises(ToolError, match=words):
                await call(tool, ctx, path=path, **more)


async def test_names_that_no_one_would_give(ctx: ToolContext) -> None:
    found = text_of(await call(Grep(), ctx, pattern="needle", output_mode="content"))
    assert sorted(found.split("\n\n")) == [
        "bad\ufffd.txt\n1:needle b", "esc\x1b[31m.txt\n1:needle c", "line\nbreak.txt\n1:needle a",
    ]  # fmt: skip
    assert text_of(await call(Glob(), ctx, pattern="b*.txt")) == "bad\ufffd.txt"
    for name, letter in (("bad\ufffd.txt", "b"), ("line\nbreak.txt", "a")):
        assert f"needle {letter}" in text_of(await call(ReadFile(), ctx, path=name))
        await call(StrReplaceFile(), ctx, path=name, edit={"old": "needle", "new": "thread"})
    assert (ctx.workspace.root / os.fsdecode(BAD)).read_text() == "thread b\n"
    assert len(list(ctx.workspace.root.iterdir())) == 8, "no file of another name was made"


@pytest.mark.parametrize("number", [2_000, pytest.param(100_000, marks=pytest.mark.nightly)])
async def test_a_folder_of_many_files(tmp_path: Path, number: int) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for name in range(number):
        os.close(os.open(many / f"f{name}", os.O_CREAT | os.O_WRONLY))
    (many / "f7").write_text("needle\n")
    ctx = make_context(tmp_path)
    assert text_of(await call(Grep(), ctx, pattern="needle")) == "many/f7"
    listed = text_of(await call(Glob(), ctx, pattern="many/*"))
    assert len(listed) < 40_000
    assert f"of {number:,}" in listed or "more" in listed


LOST = {
    "deleted": ("rm -rf ../work", "Cannot run in"),
    "renamed": ("mv ../work ../moved", "/moved"),
    "another one in its place": ("mv ../work ../moved; mkdir ../work", "/work"),
}


@pytest.mark.parametrize(("command", "told"), LOST.values(), ids=LOST)
def test_a_working_folder_that_goes_away(tmp_path: Path, command: str, told: str) -> None:
    kimi = Program(tmp_path)
    (kimi.work / "a.txt").write_text("needle\n")
    calls = [
        ("ReadFile", {"path": "a.txt"}), ("Shell", {"command": command}), ("Shell", {"command": "pwd"}),
        ("ReadFile", {"path": "a.txt"}), ("Glob", {"pattern": "*"}), ("Grep", {"pattern": "needle"}),
        ("StrReplaceFile", {"path": "a.txt", "edit": EDIT}), ("WriteFile", {"path": "b.txt", "content": "x"}),
    ]  # fmt: skip
    steps = [[{"call": {"name": name, "arguments": arguments}}] for name, arguments in calls]
    boxless = ["--no-sandbox", "--i-accept-no-sandbox"]  # in its box a command cannot take its own folder away
    arguments = [*boxless, "--yolo", "-p", "x", "--provider", kimi.scenario(*steps, [{"text": "Done."}])]
    done = subprocess.run(
        [sys.executable, "-m", "kimi_agent", *arguments, "--output-format", "stream-json"],
        capture_output=True, text=True, cwd=kimi.work, env=kimi.environment(), stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    results = [json.loads(line)["message"]["parts"][0] for line in done.stdout.splitlines() if '"tool_result"' in line]
    texts = [part["content"][0]["text"] for part in results]
    assert told in texts[2]
    assert not [text for text in texts if "Internal error" in text or "Errno" in text]
    assert (kimi.work / "b.txt").read_text() == "x"
