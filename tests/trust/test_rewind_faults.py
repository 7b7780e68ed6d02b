"""Going back after what nobody plans: kill -9, random changes in any order, names and kinds that change places."""

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kimi_program import Program, Terminal
from rewind_house import AnsweringShell, RewindHouse, picture, write

from kimi_agent.workspaces.local import LocalWorkspace
from kimi_agent.workspaces.snapshot_tree import Limits
from kimi_agent.workspaces.snapshots import WorkspaceSnapshots

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
KIMI = [sys.executable, "-m", "kimi_agent"]


def test_killed_in_the_middle_of_a_command_it_can_still_be_undone(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    for name in ("a", "b", "mine"):
        (kimi.work / name).write_text("before\n")
    command = "echo kimi > a; rm b; echo kimi > c; echo > started; sleep 600"
    scenario = kimi.scenario([{"call": {"name": "Shell", "arguments": {"command": command}}}], [{"text": "done"}])
    argv = [*KIMI, "--yolo", "--provider", scenario, "-p", "go"]
    child = subprocess.Popen(
        argv, cwd=kimi.work, env=kimi.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    while not (kimi.work / "started").exists():
        assert child.poll() is None, child.communicate()[0]
    child.send_signal(signal.SIGKILL)
    child.communicate()
    (kimi.work / "mine").write_text("changed\n")
    screen = Terminal(kimi, "--line", "-C", "--provider", scenario)
    screen.expect("Interrupted.")
    screen.expect("scripted |")
    screen.type("/undo both\r")
    screen.expect("kimi, or you")
    screen.expect("Which?")
    screen.type("4\r")
    screen.expect("Undone in the conversation.")
    screen.expect("5 files are as they were before.")
    screen.type("\x04")
    assert screen.wait() == 0
    assert {path.name: path.read_text() for path in kimi.work.iterdir()} == dict.fromkeys(
        ("a", "b", "mine"), "before\n"
    )


SHAPES = ("file", "link", "folder", "nothing")


class Person:
    """Somebody, or something, that changes a folder at random."""

    def __init__(self, root: Path, dice: random.Random) -> None:
        self.root, self.dice = root, dice

    def path(self) -> Path:
        parts = self.dice.choices(["a", "b", "c", "d e", "ä\n"], k=self.dice.randrange(1, 4))
        return self.root.joinpath(*parts)

    def act(self) -> None:
        path = self.path()
        for parent in reversed(path.relative_to(self.root).parents[:-1]):
            place = self.root / parent
            if place.is_symlink() or place.is_file():
                place.unlink()
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif os.path.lexists(path):
            path.unlink()
        shape = self.dice.choice(SHAPES)
        if shape != "nothing":
            path.parent.mkdir(parents=True, exist_ok=True)
        if shape == "file":
            path.write_bytes(self.dice.randbytes(self.dice.choice([0, 1, 10, 5000])))
            path.chmod(self.dice.choice([0o644, 0o755]))
        elif shape == "link":
            path.symlink_to(self.dice.choice(["a", "..", "nowhere", "/etc"]))
        elif shape == "folder":
            path.mkdir()


@pytest.mark.parametrize("seed", range(int(os.environ.get("KIMI_REWIND_SEEDS", "6"))))
async def test_any_change_of_anything_is_undone_and_redone(tmp_path: Path, seed: int) -> None:
    """A command that runs long is played by a tool: between its beginning and its end the folder changes at random."""
    house = RewindHouse(tmp_path)
    dice = random.Random(seed)
    person = Person(house.work, dice)
    for _ in range(15):
        person.act()
    session = house.open()
    shell = AnsweringShell(house, session)
    pictures = [picture(house.work)]
    for _ in range(3):
        if dice.random() < 0.3:
            await house.turn(session, [write(f"w{dice.random()}/x", "exact")])
        else:
            house.during = lambda: [person.act() for _ in range(dice.randrange(1, 12))]
            await house.turn(session, [("Disturb", "{}")])
        pictures.append(picture(house.work))
    for number in (2, 1, 0):
        await shell.do("/undo both" if pictures[number] != pictures[number + 1] else "/undo conversation")
        assert picture(house.work) == pictures[number], f"seed {seed}"
    for number in (1, 2, 3):
        await shell.do("/redo")
        assert picture(house.work) == pictures[number], f"seed {seed}"
    await shell.do("/undo 3 both" if pictures[0] != pictures[3] else "/undo 3 conversation")
    assert picture(house.work) == pictures[0], f"seed {seed}"
    await session.aclose()


def tick(folder: Path) -> None:
    """Let the clock of the file system go on."""
    probe = folder / "probe"
    probe.touch()
    before = probe.stat().st_mtime_ns
    while probe.stat().st_mtime_ns == before:
        probe.touch()


@pytest.mark.parametrize("seed", range(int(os.environ.get("KIMI_REWIND_SEEDS", "6"))))
async def test_folders_that_are_not_read_again_hide_nothing(tmp_path: Path, seed: int) -> None:
    """Every time stamp counts at once, so that most looks read only what changed; each must find all of it."""
    root, dice = tmp_path / "work", random.Random(seed)
    root.mkdir()
    person = Person(root, dice)
    for number in range(60):
        person.act()
        (root / f"{number}").write_bytes(b"a")
    tick(tmp_path)
    limits = Limits(settled_ns=0)
    saved = WorkspaceSnapshots(tmp_path / "home", "one", LocalWorkspace(root), limits)
    await saved.scan(lambda text: None)
    for step in range(12):
        if step == 6:  # the session is resumed
            saved.close()
            saved = WorkspaceSnapshots(tmp_path / "home", "one", LocalWorkspace(root), limits)
        before = picture(root)
        tick(tmp_path)
        for _ in range(dice.choice([0, 1, 1, 5])):
            person.act()
        for number in dice.sample(range(60), dice.choice([0, 1, 58])):  # the same size, and often the same second
            (root / f"{number}").write_bytes(dice.choice([b"a", b"b"]))
        tick(tmp_path)
        after = picture(root)
        changes = {os.fsencode(Path(change.path).relative_to(root)): change for change in await saved.scan(print)}
        assert changes.keys() == {path for path in {*before, *after} if unlike(before.get(path), after.get(path))}
        for path, change in changes.items():
            content = await saved.content(change.after)
            assert content == (after[path][-1] if path in after and after[path][0] != "folder" else None)
        assert not await saved.scan(print)
    saved.close()


def unlike(one: tuple[Any, ...] | None, other: tuple[Any, ...] | None) -> bool:
    """Whether that is a change: who may read a file is none."""
    if one and other and one[0] == other[0] == "file":
        return (one[1] & 0o100, one[2]) != (other[1] & 0o100, other[2])
    return one != other


async def test_an_edit_of_the_same_size_is_found_though_its_time_was_set_back(tmp_path: Path) -> None:
    root = tmp_path / "work"
    root.mkdir()
    path = root / "a"
    path.write_text("one")
    saved = WorkspaceSnapshots(tmp_path / "home", "one", LocalWorkspace(root), Limits())
    await saved.scan(print)
    for content in ("two", "six", "ten"):
        info = path.stat()
        tick(tmp_path)
        path.write_text(content)
        os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
        (change,) = await saved.scan(print)
        assert await saved.content(change.after) == content.encode()
    saved.close()
