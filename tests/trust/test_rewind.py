"""What kimi changed comes back, byte by byte, and nothing else is touched: real files, real commands, real git."""

import asyncio
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from machine import of
from rewind_house import AnsweringShell, RewindHouse, picture, sh, write

from kimi_agent.core import event as ev

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.fixture
def house(tmp_path: Path) -> RewindHouse:
    return RewindHouse(tmp_path)


def fill(work: Path) -> None:
    """A folder with all that file systems have."""
    for name, data in {
        "a.txt": b"one\n", "crlf.txt": b"a\r\nb\r\n", "no-end": b"x", "empty": b"", "src/deep/b.py": b"b = 1\n",
        ".gitattributes": b"*.txt text eol=lf\n*.py working-tree-encoding=UTF-16\n", ".gitignore": b"ignored*\n",
        "ignored.log": b"log\n", "nul.bin": b"\0\1\2\r\n", "new\nline": b"n", "-rf": b"dash", ":(glob)": b"magic",
        "*?[x]": b"stars", "back\\slash": b"b", "git~1": b"short",
    }.items():  # fmt: skip
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    Path(os.fsdecode(os.fsencode(work) + b"/bad\xff\xfename")).write_bytes(b"bytes")
    (work / "run.sh").write_text("#!/bin/sh\n")
    (work / "run.sh").chmod(0o755)
    (work / "private").write_text("secret")
    (work / "private").chmod(0o600)
    (work / "link").symlink_to("a.txt")
    (work / "broken").symlink_to("nowhere")
    (work / "hollow" / "inner").mkdir(parents=True)


WRECK = r"""
printf 'changed\n' > a.txt; printf 'a\nb\n' > crlf.txt; printf yes > no-end; rm empty nul.bin ignored.log
rm -rf src hollow; mv run.sh moved.sh; rm -- -rf ':(glob)' 'git~1'; printf s > '*?[x]'; chmod +x private
ln -sfn /etc link; rm broken; mkdir broken; echo f > broken/f; rm private; mkdir -p made/by/kimi empty-made
echo new > made/by/kimi/file; printf n > "$(printf 'bad\377new')"; rm "$(printf 'bad\377\376name')"
"""


async def test_all_that_a_command_did_is_undone_and_redone_byte_by_byte(house: RewindHouse) -> None:
    fill(house.work)
    before = picture(house.work)
    session = house.open()
    await house.turn(session, [sh(WRECK)])
    wrecked = picture(house.work)
    assert wrecked != before
    shell = AnsweringShell(house, session)
    said = await shell.do("/undo", "Conversation and files")
    assert "files are as they were before" in said
    assert picture(house.work) == before
    assert session.runner.history.messages == []
    said = await shell.do("/redo")
    assert "The conversation is back" in said
    assert picture(house.work) == wrecked
    assert session.runner.history.messages[0].text == "go"
    await session.aclose()


async def test_only_what_kimi_changed_is_touched_and_turns_go_back_one_by_one(house: RewindHouse) -> None:
    (house.work / "mine").write_text("1")
    session = house.open()
    shell = AnsweringShell(house, session)
    await house.turn(session, [write("a", "one")], text="first")
    (house.work / "mine").write_text("2")
    (house.work / "untracked").write_text("mine, too")
    await house.turn(session, [sh("echo two > b")], [write("a", "two")], text="second")
    (house.work / "mine").write_text("3")
    await house.turn(session, [sh("cat mine")], text="third")
    await shell.do("/rewind", None)
    assert shell.rows == [
        "third | the last turn | ",
        "second | 2 turns back | 2 files",
        "first | 3 turns back | 2 files",
    ]
    assert "Files stay" in await shell.do("/undo")
    assert "2 files are" in await shell.do("/undo 1 both")
    assert picture(house.work) == {
        b"mine": ("file", 0o644, b"3"), b"untracked": ("file", 0o644, b"mine, too"), b"a": ("file", 0o644, b"one"),
    }  # fmt: skip
    await shell.do("/undo both")
    assert not (house.work / "a").exists()
    for _ in range(3):
        await shell.do("/redo")
    assert ((house.work / "a").read_text(), (house.work / "b").read_text()) == ("two", "two\n")
    assert session.runner.history.turns() == 3
    assert "nothing to redo" in await shell.do("/redo")
    await session.aclose()


async def test_files_alone_go_back_and_the_model_hears_of_it(house: RewindHouse) -> None:
    session = house.open()
    shell = AnsweringShell(house, session)
    await house.turn(session, [write("a", "kimi's")])
    await shell.do("/undo", "Files only")
    assert not (house.work / "a").exists()
    assert session.runner.history.turns() == 1
    await house.turn(session)
    assert "took your changes of files back: a." in house.provider.requests[-1].messages[-1].text
    await session.aclose()


async def test_a_conversation_alone_goes_back_and_its_files_do_later(house: RewindHouse) -> None:
    session = house.open()
    shell = AnsweringShell(house, session)
    await house.turn(session, [write("a", "1")])
    await house.turn(session, [write("a", "2")])
    assert "Files stay" in await shell.do("/undo conversation")
    assert (house.work / "a").read_text() == "2"
    await shell.do("/undo both")
    assert not (house.work / "a").exists(), "what the undone turn left is kimi's, too"
    await session.aclose()


async def test_a_file_that_the_person_changed_since_is_asked_about_in_three_ways(house: RewindHouse) -> None:
    (house.work / "a").write_text("before\n")
    (house.work / "b").write_text("before\n")
    session = house.open()
    shell = AnsweringShell(house, session)
    await house.turn(session, [sh("echo kimi > a; echo kimi > b; echo kimi > c")])
    (house.work / "a").write_text("mine\n")
    (house.work / "c").unlink()
    kept = picture(house.work)
    await shell.do("/undo both", None)
    assert picture(house.work) == kept, "whoever closes the question changes nothing"
    await shell.do("/undo both", "Keep it")
    view = next(text for text in shell.shown if text.startswith("**`a`**"))
    assert [part in view for part in ("-before", "+kimi", "-kimi", "+mine")] == [True] * 4
    assert ((house.work / "a").read_text(), (house.work / "b").read_text()) == ("mine\n", "before\n")
    await shell.do("/redo")
    assert (house.work / "b").read_text() == "kimi\n"
    await shell.do("/undo both", "Restore it")
    assert (house.work / "a").read_text() == "before\n"
    await shell.do("/redo")
    assert (house.work / "a").read_text() == "mine\n", "what a restore overwrites comes back"
    await session.aclose()


async def test_an_edit_of_the_person_between_two_of_kimi_is_asked_about(house: RewindHouse) -> None:
    (house.work / "a").write_text("0")
    session = house.open()
    shell = AnsweringShell(house, session)
    await house.turn(session, [sh("echo 1 > a")])
    (house.work / "a").write_text("person")
    await house.turn(session, [sh("echo 2 >> a")])
    await shell.do("/undo 2 files", "Keep")
    assert "between kimi's changes" in shell.asked[-1]
    await shell.do("/undo 1 files")
    assert (house.work / "a").read_text() == "person"
    await session.aclose()


async def test_files_outside_of_the_folder_that_an_edit_names_come_back(house: RewindHouse) -> None:
    outside = house.folder / "else" / "where" / "x"
    session = house.open()
    await house.turn(session, [write(str(outside), "kimi")])
    assert outside.read_text() == "kimi"
    await AnsweringShell(house, session).do("/undo both")
    assert not (house.folder / "else").exists()
    await session.aclose()


async def test_an_added_folder_is_saved_as_a_whole_too(house: RewindHouse) -> None:
    more = house.folder / "more"
    more.mkdir()
    (more / "x").write_text("1")
    session = house.open()
    shell = AnsweringShell(house, session)
    await shell.do(f"/add-dir {more}")
    await house.turn(session, [sh(f"rm {more}/x; echo y > {more}/y; echo z > z")])
    await shell.do("/undo both")
    assert picture(more) == {b"x": ("file", 0o644, b"1")}
    assert picture(house.work) == {}
    await session.aclose()


# --- repositories -----------------------------------------------------------------------------------------------------


def git(folder: Path, *args: str) -> str:
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    env |= {f"GIT_{who}_{what}": "x@y" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    argv = ["git", "-c", "protocol.file.allow=always", *args]
    return subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, check=True).stdout


def repository(folder: Path) -> Path:
    """With a commit, something staged, something not, something untracked and something ignored."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q")
    (folder / "kept").write_text("1\n")
    (folder / ".gitignore").write_text("ignored\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    (folder / "staged").write_text("staged\n")
    git(folder, "add", "staged")
    (folder / "kept").write_text("2\n")
    for name in ("untracked", "ignored"):
        (folder / name).write_text(name)
    return folder


CHANGES = "for f in kept staged untracked ignored; do echo kimi > $f; done; rm kept; echo made > made"


async def test_a_dirty_repository_a_worktree_and_what_is_nested_in_it(house: RewindHouse) -> None:
    main = repository(house.folder / "main")
    git(main, "worktree", "add", "-q", str(house.work / "tree"))
    tree = house.work / "tree"
    repository(tree / "nested")
    git(tree, "submodule", "add", "-q", str(repository(house.folder / "module")), "module")
    repository(house.work / "other")
    before, status = picture(house.work), git(tree, "status", "--porcelain")
    own = [picture(folder) for folder in (main / ".git", tree / "nested" / ".git", house.work / "other" / ".git")]
    session = house.open()
    shell = AnsweringShell(house, session)
    for where in ("tree", "tree/nested", "tree/module", "other"):
        await house.turn(session, [sh(f"cd {house.work / where}; touch kept staged; {CHANGES}")])
    await shell.do("/undo 4 both")
    assert picture(house.work) == before
    folders = (main / ".git", tree / "nested" / ".git", house.work / "other" / ".git")
    assert [picture(folder) for folder in folders] == own, "kimi never looks into a repository of the user's"
    assert git(tree, "status", "--porcelain") == status
    await session.aclose()


async def test_a_hostile_repository_runs_nothing_and_its_bytes_are_exact(house: RewindHouse) -> None:
    """T17: filters, textconv, fsmonitor, hooks, attributes, an include and an embedded bare repository."""
    work, marker = repository(house.work), house.folder / "executed"
    evil = house.folder / "evil.sh"
    evil.write_text(f'#!/bin/sh\necho "$0 $*" >> {marker}\ncat\n')
    evil.chmod(0o755)
    settings = {
        "core.fsmonitor": evil, "core.hooksPath": work / "hooks", "filter.evil.clean": evil, "filter.evil.smudge": evil,
        "filter.evil.process": evil, "filter.evil.required": "true", "diff.evil.textconv": evil, "diff.external": evil,
        "core.pager": evil, "core.autocrlf": "true", "core.sshCommand": evil, "core.excludesFile": work / "all",
    }  # fmt: skip
    for name, value in settings.items():
        git(work, "config", name, str(value))
    (work / "all").write_text("*\n")
    (work / "hooks").mkdir()
    for hook in ("pre-commit", "post-index-change", "post-checkout", "reference-transaction"):
        shutil.copy(evil, work / "hooks" / hook)
    (work / ".gitattributes").write_text(
        "* filter=evil diff=evil text eol=crlf ident\n*.txt working-tree-encoding=UTF-32\n"
    )
    (work / "id.txt").write_bytes(b"$Id$\r\nlf\n")
    bare = work / "bare"
    git(house.folder, "init", "-q", "--bare", str(bare))
    git(bare, "config", "core.fsmonitor", str(evil))
    shutil.copy(work / ".git" / "config", house.folder / "gitconfig")
    before = picture(work)
    session = house.open()
    await house.turn(session, [sh("printf changed > id.txt; rm -rf bare hooks; echo x > .gitattributes")])
    await AnsweringShell(house, session).do("/undo both")
    assert picture(work) == before
    assert not marker.exists(), marker.read_text()
    await session.aclose()


# --- hostile and broken -----------------------------------------------------------------------------------------------


async def test_a_link_that_took_the_place_of_a_folder_is_never_followed(house: RewindHouse) -> None:
    outside = house.folder / "outside"
    outside.mkdir()
    (outside / "x").write_text("theirs")
    (house.work / "d").mkdir()
    (house.work / "d" / "x").write_text("1")
    session = house.open()
    shell = AnsweringShell(house, session)
    await house.turn(session, [sh("echo 2 > d/x")])
    shutil.rmtree(house.work / "d")
    (house.work / "d").symlink_to(outside)
    said = await shell.do("/undo both", "Restore")
    assert "d/x` stays" in said
    assert picture(outside) == {b"x": ("file", 0o644, b"theirs")}
    (house.work / "d").unlink()
    await house.turn(session, [sh("mkdir e; echo 1 > e/x")])
    await house.turn(session, [sh(f"rm -r e; ln -s {outside} e")])
    await shell.do("/undo both")
    assert picture(house.work) == {b"e": ("folder",), b"e/x": ("file", 0o644, b"1\n")}
    assert picture(outside) == {b"x": ("file", 0o644, b"theirs")}
    await session.aclose()


async def test_pipes_sockets_loops_and_too_large_files_are_left_alone_and_named_once(tmp_path: Path) -> None:
    house = RewindHouse(tmp_path, "[snapshots]\nmax_file_mb = 0.001")
    work = house.work
    os.mkfifo(work / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(work)
        listener.bind("socket")
        (work / "loop").symlink_to("loop")
        (work / "large").write_bytes(b"x" * 2000)
        with (work / "huge").open("wb") as file:
            file.truncate(50 << 30)
        (work / "node_modules").mkdir()
        (work / "node_modules" / "m.js").write_text("1")
        (work / "grows").write_text("small")
        session = house.open()
        shell = AnsweringShell(house, session)
        await house.turn(session, [sh("rm large loop; echo 2 > node_modules/m.js; head -c 3000 /dev/zero > grows")])
        await house.turn(session, [sh("true")])
        await session.files.settle()
        told = [event.text for event in session.events() if isinstance(event, ev.Notice) and "Not saved" in event.text]
        assert [sum(name in text for text in told) for name in ("node_modules/", "large", "huge", "grows")] == [1] * 4
        said = await shell.do("/undo 2 both")
        assert "`large` stays: what it was before is not saved" in said
        assert "`grows` stays: what it is now is too large" in said
        assert (work / "loop").is_symlink()
        assert (work / "node_modules" / "m.js").read_text() == "2\n"
        await session.aclose()


async def test_a_folder_that_was_deleted_with_all_in_it_comes_back(house: RewindHouse) -> None:
    fill(house.work)
    before = picture(house.work)
    session = house.open()
    await house.turn(session, [sh(f"cd /; rm -rf {house.work}")])
    assert not house.work.exists()
    await AnsweringShell(house, session).do("/undo both")
    assert picture(house.work) == before
    await session.aclose()


async def test_a_full_store_is_told_once_and_keeps_no_call_back(house: RewindHouse) -> None:
    (house.agent.home / "snapshots").parent.mkdir(exist_ok=True)
    (house.agent.home / "snapshots").write_text("in the way")
    session = house.open()
    events = [*await house.turn(session, [sh("echo 1 > a")]), *await house.turn(session, [write("b", "2")])]
    assert ((house.work / "a").exists(), (house.work / "b").exists()) == (True, True)
    assert len([event for event in of(events, ev.Notice) if "not saved" in event.text]) == 1
    assert "Files stay" in await AnsweringShell(house, session).do("/undo")
    await session.aclose()


async def test_a_folder_with_too_many_files_is_told_and_edits_still_come_back(tmp_path: Path) -> None:
    house = RewindHouse(tmp_path, "[snapshots]\nmax_files = 5")
    for number in range(9):
        (house.work / f"{number}").write_text("x")
    session = house.open()
    await house.turn(session, [sh("echo 1 > 1")], [write("new", "kimi")], [sh("echo 2 > 2")])
    notices = [event.text for event in session.events() if isinstance(event, ev.Notice)]
    assert len(notices) == 1
    assert "more than 5 files" in notices[0]
    await AnsweringShell(house, session).do("/undo both")
    assert not (house.work / "new").exists()
    assert (house.work / "1").read_text() == "1\n"
    await session.aclose()


async def test_without_git_edits_come_back_and_commands_do_not(
    house: RewindHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = house.folder / "bin"
    tools.mkdir()
    for name in ("bash", "sh", "cat", "rm", "grep"):
        if found := shutil.which(name):
            (tools / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(tools))
    (house.work / "a").write_text("0")
    session = house.open()
    await house.turn(
        session, [sh("cat a; echo 1 > a")], [("ReadFile", '{"path": "a"}')], [write("a", "2")], [sh("true")]
    )
    notices = [event.text for event in session.events() if isinstance(event, ev.Notice)]
    assert len(notices) == 1
    assert "git was not found" in notices[0]
    await AnsweringShell(house, session).do("/undo both")
    assert (house.work / "a").read_text() == "1\n"
    await session.aclose()


# --- more than one at once --------------------------------------------------------------------------------------------


async def test_what_a_background_task_writes_later_is_not_said_to_be_kimis_for_sure(house: RewindHouse) -> None:
    (house.work / "log").write_text("0")
    session = house.open()
    shell = AnsweringShell(house, session)
    wait = "until [ -e go ]; do sleep 0.02; done; echo task > log; rm go"
    await house.turn(session, [sh(f"echo first > a; {wait}", run_in_background=True, timeout=60)], text="start")
    await house.turn(session, [sh("echo second > b")], text="more")
    (house.work / "go").touch()
    async with asyncio.timeout(30):
        while session.tasks.running():
            await asyncio.sleep(0.01)
    await session.files.settle()
    by = [event.by for event in of(session.events(), ev.FilesChanged)]
    assert by[-1] == "tasks"
    said = await shell.do("/undo 1 both")
    assert "1 file is" in said, "the task belongs to the turn that began it"
    assert (house.work / "log").read_text() == "task\n"
    await shell.do("/undo 1 both", "Restore")
    assert "only a background task ran" in shell.asked[-1]
    assert (house.work / "log").read_text() == "0"
    await session.aclose()


async def test_a_task_that_still_runs_is_spoken_of_before_files_are_restored(house: RewindHouse) -> None:
    session = house.open()
    shell = AnsweringShell(house, session)
    await house.turn(session, [sh("sleep 600", run_in_background=True, timeout=600)], [write("b", "2")])
    assert await shell.do("/undo both", None) == ""
    assert (house.work / "b").exists()
    await shell.do("/undo both", "End them first")
    assert picture(house.work) == {}
    assert not session.tasks.running()
    await session.aclose()


async def test_two_sessions_in_one_folder_take_back_their_own(house: RewindHouse) -> None:
    (house.work / "shared").write_text("0")
    one, two = house.open(), house.open()
    await house.turn(one, [sh("echo one > one; echo 1 > shared")])
    await house.turn(two, [write("two", "two")], [sh("echo 2 > deux")])
    await AnsweringShell(house, one).do("/undo both")
    assert picture(house.work) == {
        b"shared": ("file", 0o644, b"0"), b"two": ("file", 0o644, b"two"), b"deux": ("file", 0o644, b"2\n"),
    }  # fmt: skip
    await AnsweringShell(house, two).do("/undo both")
    assert picture(house.work) == {b"shared": ("file", 0o644, b"0")}
    await one.aclose()
    await two.aclose()


async def test_two_sessions_at_the_same_time_keep_apart_what_is_known_and_ask_about_the_rest(
    house: RewindHouse,
) -> None:
    other = RewindHouse(house.folder)
    one, two = house.open(), other.open()

    async def edit() -> None:
        (house.work / "ones").write_text("1")
        await other.turn(two, [write("twos", "2")])

    async def command() -> None:
        (house.work / "late").write_text("1")
        await other.turn(two, [sh("echo 2 > shell")])

    house.during = edit
    await house.turn(one, [("Disturb", "{}")])
    await AnsweringShell(house, one).do("/undo both")
    assert picture(house.work) == {b"twos": ("file", 0o644, b"2")}
    house.during = command
    await house.turn(one, [("Disturb", "{}")])
    shell = AnsweringShell(house, one)
    await shell.do("/undo both", "Remove it", "Keep it")
    assert all("another kimi worked" in title for title in shell.asked)
    await one.aclose()
    await two.aclose()


async def test_calls_of_one_reply_side_by_side_come_back_together(house: RewindHouse) -> None:
    session = house.open()
    await house.turn(session, [write(f"f{n}", str(n)) for n in range(6)] + [sh("cat f* > all"), write("f0", "again")])
    assert (house.work / "all").read_text() == "012345"
    await AnsweringShell(house, session).do("/undo both")
    assert picture(house.work) == {}
    await session.aclose()


# --- sessions ---------------------------------------------------------------------------------------------------------


async def test_a_resumed_session_and_a_fork_can_still_go_back(house: RewindHouse) -> None:
    session = house.open()
    await house.turn(session, [sh("echo 1 > a")])
    await session.aclose()
    again = house.open(session.id)
    (house.work / "between").write_text("mine")
    await house.turn(again, [sh("echo 2 > a")])
    fork = again.fork()
    await again.aclose()
    await AnsweringShell(house, fork).do("/undo 2 both")
    assert picture(house.work) == {b"between": ("file", 0o644, b"mine")}
    await AnsweringShell(house, fork).do("/redo")
    assert (house.work / "a").read_text() == "2\n"
    await fork.aclose()


async def test_what_is_saved_goes_with_its_sessions_and_only_then(house: RewindHouse) -> None:
    saved = house.agent.home / "snapshots"
    one, two = house.open(), house.open()
    for session in (one, two):
        await house.turn(session, [sh("date +%N > a")])
        await session.aclose()
    house.store.delete(one.id)
    again = house.open(two.id)
    await AnsweringShell(house, again).do("/undo both")
    await again.aclose()
    assert len(list(saved.glob("*/sessions/*"))) == 1
    house.store.delete(two.id)
    assert list(saved.iterdir()) == []


async def test_nothing_is_saved_of_kimis_own_folder_and_nothing_when_it_is_off(tmp_path: Path) -> None:
    house = RewindHouse(tmp_path)
    session = house.agent.open(ask=house.open().ask, cwd=tmp_path)
    await house.turn(session, [sh("echo 1 > a"), write(str(tmp_path / "home" / "note"), "x")])
    await session.files.settle()
    (event,) = of(session.events(), ev.FilesChanged)
    assert event.paths == (str(tmp_path / "a"),)
    await session.aclose()


async def test_the_first_look_begins_with_the_first_call_and_tells_those_who_wait_how_far_it_is(
    house: RewindHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes as long as this test wants: who names files does not wait, who may change any file does, and is told."""
    gate, waits = house.slow_git(monkeypatch, "update-index")
    for number in range(4_100):
        (house.work / f"{number}").write_bytes(b"")
    session = house.open()
    house.script.thought = lambda: house.script.count == 1 or waits()
    house.script.steps = [[("ReadFile", '{"path": "1"}')], [write("new", "kimi")], [sh("rm 7")]]
    told: list[str] = []
    async for event in session.prompt("go"):
        if isinstance(event, ev.ToolProgress):
            assert (house.work / "new").exists()
            told.append(event.text)
            gate.touch()
    assert told[0] == "Saving the files as they are now, so that they can come back.\n"
    assert "Saving the files as they are now: 4000 of 4100\n" in told
    assert not (house.work / "7").exists()
    await AnsweringShell(house, session).do("/undo both")
    assert (house.work / "7").exists()
    assert not (house.work / "new").exists()
    await session.aclose()


async def test_what_a_git_that_was_killed_left_behind_is_thrown_away_when_it_is_old(house: RewindHouse) -> None:
    session = house.open()
    await house.turn(session, [sh("echo 1 > a")])
    await session.aclose()
    (store,) = (house.agent.home / "snapshots").glob("work-*")
    packs = store / "objects" / "pack"
    packs.mkdir(exist_ok=True)
    for name in ("tmp_pack_old", "tmp_pack_new"):
        (packs / name).touch()
    os.utime(packs / "tmp_pack_old", (0, 0))
    session = house.open()
    await house.turn(session, [sh("echo 2 > a")])
    await session.aclose()
    assert [path.name for path in packs.glob("tmp_*")] == ["tmp_pack_new"]
