"""/diff tells all that a session changed, by edits and by commands, and what was taken back since."""

import shutil
from pathlib import Path

import pytest
from rewind_house import AnsweringShell, RewindHouse, sh, write

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


async def test_what_is_taken_back_is_no_change_any_more_and_what_is_brought_back_is(tmp_path: Path) -> None:
    house = RewindHouse(tmp_path)
    (house.work / "b").write_text("old\n")
    session = house.open()
    shell = AnsweringShell(house, session)
    await house.turn(session, [write("a", "kept\n")])
    await house.turn(session, [write("a", "kept\nmore\n"), sh("echo new > b; printf '\\0' > c; ln -s a d")])
    said = await shell.do("/diff")
    assert said.startswith("**4 files, +3 -1** since before the session's first change of each")
    assert "-old\n+new" in said
    assert "**`c`** +0 -0 (new): binary, not there before, 1 bytes now" in said
    assert "**`d`** +0 -0 (new): a link, of which no lines are shown" in said
    assert "not known" not in said
    await shell.do("/undo files")
    said = await shell.do("/diff")
    assert said.startswith("**1 file, +1 -0**")
    assert "+kept" in said
    await shell.do("/undo 2 both")
    assert "**`a`** +0 -0: as it was before" in await shell.do("/diff")
    await shell.do("/redo")
    (house.work / "a").write_text("kept\nmine\n")
    said = await shell.do("/diff a")
    assert "Somebody else has changed it, too:" in said
    assert "+kept\n+mine" in said
    await session.aclose()


async def test_without_git_it_tells_the_edits_and_says_what_it_cannot_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "sh"):
        (tools / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(tools))
    house = RewindHouse(tmp_path)
    session = house.open()
    shell = AnsweringShell(house, session)
    await house.turn(session, [write("a", "1\n")], [sh("echo 2 > b")])
    await shell.do("/undo files")
    said = await shell.do("/diff")
    assert "**`a`** +0 -0: as it was before" in said
    assert "1 command ran in this session; what commands changed is not known here" in said
    await session.aclose()
