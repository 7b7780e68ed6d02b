"""What commands can and cannot do in the box of a session: real commands, real repositories, every rung that there is."""

import asyncio
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from boxes import box as box_of
from boxes import offered
from processes import working_in

from kimi_agent.core.access import NO_MORE, Access, BoxState
from kimi_agent.core.errors import WorkspaceError
from kimi_agent.core.workspace import Exit
from kimi_agent.workspaces.process import run_process
from kimi_agent.workspaces.sandbox.box import Box
from kimi_agent.workspaces.sandbox.policy import Folders, Places, make_profile
from kimi_agent.workspaces.sandbox.proof import RUNGS
from kimi_agent.workspaces.spawn import room_of

PYTHON = shlex.quote(sys.executable)
GIT = {"GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent"}
for _who in ("AUTHOR", "COMMITTER"):
    GIT |= {f"GIT_{_who}_NAME": "a", f"GIT_{_who}_EMAIL": "a@b.c"}

each_rung = pytest.mark.parametrize("rung", RUNGS)
with_namespaces = pytest.mark.parametrize("rung", ["R3", "R2"])


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


async def run(
    work: Path, rung: str, command: str, access: Access = NO_MORE, env: dict[str, str] | None = None, **options: Any
) -> tuple[Exit, str]:
    out = bytearray()
    box = options.pop("box", None) or box_of(rung)
    room = room_of(box, options.pop("root", work), options.pop("extra", ()), options.pop("scratch", None))
    options.setdefault("timeout", 30)
    found = await run_process(
        ["bash", "-c", command], cwd=work, env=env or {}, on_output=out.extend, room=room, access=access, **options
    )
    return found, out.decode("utf-8", "replace")


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", *words], cwd=folder, env={**os.environ, **GIT}, capture_output=True, text=True, check=True
    )
    return done.stdout


# --- one network, one set of processes per session --------------------------------------------------------------------

SERVER = f"""{PYTHON} -c '
import http.server, pathlib
server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
pathlib.Path("port").write_text(str(server.server_port))
server.serve_forever()' > log 2>&1 &
until test -s port; do sleep 0.01; done"""
ASK = f"""{PYTHON} -c '
import pathlib, urllib.request
print(urllib.request.urlopen("http://localhost:" + pathlib.Path("port").read_text() + "/answer").read().decode())'"""


@with_namespaces
async def test_a_server_of_one_call_answers_the_next_and_can_be_ended_by_a_third(work: Path, rung: str) -> None:
    (work / "answer").write_text("here I am")
    assert (await run(work, rung, SERVER))[0].code == 0
    assert await run(work, rung, ASK) == (Exit(0), "here I am\n")
    assert (await run(work, rung, "pkill -f '[h]ttp.server'"))[0].code == 0
    found, _ = await run(work, rung, f"while pgrep -f '[h]ttp.server'; do sleep 0.01; done; {ASK}")
    assert found.code == 1


@with_namespaces
async def test_what_pkill_finds_is_never_the_agent(work: Path, rung: str) -> None:
    found, _ = await run(work, rung, "pkill -9 -f python; pkill -9 -f kimi; kill -9 -1")
    assert found.code in (137, 0, 1)
    assert await run(work, rung, "echo on we go") == (Exit(0), "on we go\n")


# --- temporary files --------------------------------------------------------------------------------------------------


@each_rung
async def test_temporary_files_are_where_everybody_sees_them(work: Path, rung: str) -> None:
    _, said = await run(work, rung, 'echo mine > "$TMPDIR/note"; mktemp; echo "$TMPDIR"')
    made, folder = said.splitlines()
    assert Path(folder, "note").read_text() == "mine\n"
    assert Path(made).is_relative_to(folder)
    assert Path(folder).parent.stat().st_mode & 0o077 == 0


PARENT = """
import asyncio, sys
from pathlib import Path
from kimi_agent.workspaces.process import run_process
from kimi_agent.workspaces.sandbox.box import Box
from kimi_agent.workspaces.sandbox.policy import Places
from kimi_agent.workspaces.spawn import room_of

async def main():
    work = Path.cwd()
    room = room_of(Box(Places("/nonexistent/k", "/nonexistent"), rungs=[sys.argv[1]]), work)
    command = 'echo "$TMPDIR" > folder; setsid env -i sleep 300 & (setsid sleep 301 &); touch ready; wait'
    await run_process(["bash", "-c", command], cwd=work, env={}, timeout=60, on_output=print, room=room)

asyncio.run(main())
"""


@each_rung
def test_after_sigkill_nothing_is_left(work: Path, rung: str) -> None:
    program = subprocess.Popen([sys.executable, "-c", PARENT, rung], cwd=work)
    wait_for(lambda: (work / "ready").exists())
    folder = Path((work / "folder").read_text().strip())
    assert folder.is_dir()
    program.kill()
    program.wait()
    wait_for(lambda: not folder.parent.exists())
    wait_for(lambda: not working_in(work))
    wait_for(lambda: not (work / ".kimi").exists())


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- repositories -----------------------------------------------------------------------------------------------------


@pytest.fixture
def repository(work: Path) -> Path:
    git(work, "init", "-q", "-b", "main")
    (work / "file").write_text("one\n")
    git(work, "add", "-A")
    git(work, "commit", "-qm", "first")
    return work


@with_namespaces
async def test_only_git_alone_changes_a_repository_and_never_its_hooks_and_settings(
    repository: Path, rung: str
) -> None:
    (repository / "file").write_text("two\n")
    assert (await run(repository, rung, "git commit -qam no", env=GIT))[0].code != 0
    assert (await run(repository, rung, "rm -rf .git"))[0].code != 0
    assert (await run(repository, rung, "git log --oneline; git status; git diff", env=GIT))[0].code == 0
    assert git(repository, "status", "--porcelain") == " M file\n"
    proved = Access(git=str(repository))
    assert await run(repository, rung, "git commit -qam second && git switch -qc other", proved, env=GIT) == (
        Exit(0),
        "",
    )
    assert git(repository, "log", "--format=%s") == "second\nfirst\n"
    for attack in (
        "echo x > .git/hooks/pre-commit", "mv .git/hooks .git/h", "git config core.fsmonitor x", "rm -rf .git/hooks .git/config",
        "mv .git/config .git/c && echo > .git/config",
    ):  # fmt: skip
        assert (await run(repository, rung, attack, proved, env=GIT))[0].code != 0, attack
    assert (
        git(repository, "config", "--get-regexp", "core") == "core.repositoryformatversion 0\ncore.filemode true\n"
        "core.bare false\ncore.logallrefupdates true\n"
    )


@with_namespaces
async def test_worktrees_and_submodules_are_repositories_too(repository: Path, tmp_path: Path, rung: str) -> None:
    git(repository, "worktree", "add", "-q", str(tmp_path / "tree"))
    git(repository, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(repository), "module")
    before = (tmp_path / "tree/.git").read_text()
    tree = tmp_path / "tree"
    for attack in ("echo gitdir: /evil > .git", "mv .git x && mkdir .git", "rm .git"):
        assert (await run(tree, rung, attack))[0].code != 0
    assert (tree / ".git").read_text() == before
    (tree / "new").write_text("x")
    assert (await run(tree, rung, "git add new && git commit -qm third", Access(git=str(tree)), env=GIT))[0].code == 0
    assert git(tree, "log", "--format=%s", "-1") == "third\n"
    for attack in ("echo gitdir: /evil > module/.git", "mv module m2", "echo x >> .git/modules/module/config"):
        assert (await run(repository, rung, attack))[0].code != 0
    attack = "echo x > .git/modules/module/hooks/post-checkout"
    assert (await run(repository, rung, attack, Access(git=str(repository))))[0].code != 0


@with_namespaces
async def test_a_linked_folder_is_guarded_where_it_really_is(repository: Path, tmp_path: Path, rung: str) -> None:
    link = tmp_path / "link"
    link.symlink_to(repository)
    for attack in (
        "echo x > .git/config",
        "echo x > ../link/.git/config",
        f"echo x > {repository}/.git/config",
        "mv .git g",
    ):
        assert (await run(link, rung, attack))[0].code != 0
    assert (await run(link, rung, "echo fine > made"))[0].code == 0
    assert (repository / "made").exists()


# --- kimi's own folder ------------------------------------------------------------------------------------------------


@with_namespaces
async def test_a_folder_that_must_not_come_to_be_leaves_no_trace(work: Path, rung: str) -> None:
    found, said = await run(work, rung, "mkdir -p .kimi/skills || rmdir .kimi || mv .kimi x || ls -A")
    assert found.code == 0
    assert said.splitlines()[-1] == ".kimi"
    if rung == "R3":
        wait_for(lambda: not (work / ".kimi").exists())


@with_namespaces
async def test_one_that_is_there_is_read_and_stays(work: Path, rung: str) -> None:
    (work / ".kimi/skills").mkdir(parents=True)
    (work / ".kimi/skills/a.md").write_text("a")
    assert await run(work, rung, "cat .kimi/skills/a.md; echo b > .kimi/skills/b.md || echo no") == (
        Exit(0), "abash: line 1: .kimi/skills/b.md: Read-only file system\nno\n",
    )  # fmt: skip
    assert [path.name for path in (work / ".kimi/skills").iterdir()] == ["a.md"]


def test_of_kimis_home_scripts_and_the_own_session_are_to_be_seen_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for name in ("sessions/mine", "sessions/other", "skills", "logs"):
        (home / name).mkdir(parents=True)
    for name in ("config.toml", "mcp.json", "hook.sh", "sessions/mine.jsonl", "sessions/other.jsonl"):
        (home / name).touch()
    (tmp_path / "work").mkdir()
    folders = Folders(str(tmp_path / "work"), scratch=str(home / "sessions/mine"))
    profile = make_profile(Places(str(home), "/nonexistent"), folders, "/box", Access())
    assert str(home) in profile.hidden
    assert {Path(path).relative_to(home).as_posix() for path in profile.shown} == {
        "hook.sh",
        "sessions/mine",
        "sessions/mine.jsonl",
        "skills",
    }
    assert str(home / "sessions/mine") not in profile.writable
    assert str(home / "sessions/mine/reports") in profile.writable


@each_rung
async def test_the_scratch_folder_can_be_used_and_the_rest_of_the_home_cannot(tmp_path: Path, rung: str) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    for folder in (home / "sessions/mine/reports", home / "sessions/other", work):
        folder.mkdir(parents=True)
    (home / "config.toml").write_text("api_key = 'sesame'")
    (home / "hook.sh").write_text("echo hooked")
    box = Box(Places(str(home), "/nonexistent"), rungs=[rung])
    command = f"cat {home}/config.toml; sh {home}/hook.sh; echo kept > {home}/sessions/mine/reports/note"
    command += (
        f"; ln -s {work} {home}/sessions/mine/link; mv {home}/sessions/mine/reports {home}/x; echo x > {home}/new"
    )
    found, said = await run(work, rung, command, box=box, scratch=home / "sessions/mine")
    assert "sesame" not in said
    assert "hooked\n" in said
    assert (home / "sessions/mine/reports/note").read_text() == "kept\n"
    assert [path.name for path in (home / "sessions/mine").iterdir()] == ["reports"]
    assert found.code != 0
    assert not (home / "new").exists()
    await box.aclose()


# --- folders of every kind --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["/", "home", "above home", "kimi's home"])
def test_where_everything_would_be_writable_nothing_is(tmp_path: Path, where: str) -> None:
    user_home = tmp_path / "users/me"
    (user_home / ".kimi/skills").mkdir(parents=True)
    root = {
        "/": "/",
        "home": str(user_home),
        "above home": str(tmp_path / "users"),
        "kimi's home": f"{user_home}/.kimi/skills",
    }
    places = Places(str(user_home / ".kimi"), str(user_home))
    profile = make_profile(places, Folders(root[where]), str(tmp_path / "box"), Access())
    assert profile.writable == (str(tmp_path / "box/tmp"),)
    (user_home / "project").mkdir()
    profile = make_profile(places, Folders(str(user_home / "project")), str(tmp_path / "box"), Access())
    assert str(user_home / "project") in profile.writable


@each_rung
async def test_names_that_are_no_utf8_and_odd_ones(tmp_path: Path, rung: str) -> None:
    work = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9 \n'\""))
    work.mkdir()
    found, _ = await run(work, rung, "echo fine > $'\\xff'; echo \"$1\" > ../out")
    assert (work / os.fsdecode(b"\xff")).read_text() == "fine\n"
    assert found.code != 0
    assert not (tmp_path / "out").exists()


@each_rung
async def test_folders_that_are_gone(work: Path, tmp_path: Path, rung: str) -> None:
    extra = tmp_path / "extra"
    extra.mkdir()
    assert await run(work, rung, f"echo a > {extra}/a", extra=[extra]) == (Exit(0), "")
    shutil.rmtree(extra, ignore_errors=True)  # the box may take its own `.kimi` away meanwhile
    assert not extra.exists()
    assert await run(work, rung, "echo still", extra=[extra]) == (Exit(0), "still\n")
    shutil.rmtree(work, ignore_errors=True)
    assert not work.exists()
    with pytest.raises(WorkspaceError, match="no such folder"):
        await run(work, rung, "true")
    work.mkdir()  # another one, of the same name
    assert await run(work, rung, "echo new > made; cat made") == (Exit(0), "new\n")


# --- more than the box allows -----------------------------------------------------------------------------------------


@each_rung
async def test_what_is_granted_is_granted_to_one_command(work: Path, tmp_path: Path, rung: str) -> None:
    (tmp_path / "other").mkdir()
    write = f"echo x >> {tmp_path}/other/file"
    assert (await run(work, rung, write))[0].code != 0
    assert (await run(work, rung, write, Access(write=(str(tmp_path / "other"),))))[0].code == 0
    assert (await run(work, rung, write))[0].code != 0
    assert (await run(work, rung, write, Access(outside=True)))[0].code == 0
    assert (tmp_path / "other/file").read_text() == "x\nx\n"


@with_namespaces
async def test_a_masked_file_is_shown_to_whom_it_was_granted(work: Path, rung: str) -> None:
    (work / ".env").write_text("TOKEN=sesame")
    (work / ".env.example").write_text("TOKEN=")
    assert "sesame" not in (await run(work, rung, "cat .env .env.example"))[1]
    assert (await run(work, rung, "cat .env", Access(write=(str(work / ".env"),))))[1] == "TOKEN=sesame"


# --- when the box fails -----------------------------------------------------------------------------------------------


@each_rung
async def test_without_its_zygote_a_command_fails_and_the_next_one_gets_another(work: Path, rung: str) -> None:
    box = Box(Places("/nonexistent/k", "/nonexistent"), rungs=[rung])
    assert (await run(work, rung, "true", box=box))[0].code == 0
    for pid in boxes_of_this_process():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    found, said = await run(work, rung, "touch ran", box=box)
    if found.code == 125:
        assert said.startswith("kimi: the box could not be made, so the command was not run: ")
        assert not (work / "ran").exists()
    assert await run(work, rung, "id -u; exec 2>&-; echo x > /nonexistent", box=box) == (Exit(1), f"{os.getuid()}\n")
    await box.aclose()
    for other in offered():  # those of other tests were ended as well
        await run(work, other, "true")


def boxes_of_this_process() -> set[int]:
    """Processes called kimi-box below this one."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
            parents[int(folder.name)] = (int(fields[1]), (folder / "cmdline").read_bytes().startswith(b"kimi-box"))
        except OSError:
            continue
    found, grown = {os.getpid()}, True
    while grown:
        more = {pid for pid, (parent, _) in parents.items() if parent in found} - found
        found |= more
        grown = bool(more)
    return {pid for pid in found if pid in parents and parents[pid][1]}


DENIED = """
import ctypes, json, struct, sys
from kimi_agent.workspaces.sandbox import kernel
from kimi_agent.workspaces.sandbox.box import Box
from kimi_agent.workspaces.sandbox.policy import Places
op = lambda code, yes, no, value: struct.pack("=HBBI", code, yes, no, value)
code = [op(0x20, 0, 0, 0)]
if "namespaces" in sys.argv:
    code += [op(0x15, 0, 1, 272), op(6, 0, 0, 0x50001)]
    code += [op(0x15, 0, 3, 56), op(0x20, 0, 0, 16), op(0x45, 0, 1, 0x10000000), op(6, 0, 0, 0x50001), op(0x20, 0, 0, 0)]
    code += [op(0x15, 0, 1, 435), op(6, 0, 0, 0x50026)]
if "landlock" in sys.argv:
    code += [op(0x15, 0, 1, 444), op(6, 0, 0, 0x50026)]
code += [op(6, 0, 0, 0x7FFF0000)]
buffer = ctypes.create_string_buffer(b"".join(code))
kernel.no_new_privileges()
kernel.prctl(22, 2, "seccomp", struct.pack("@HxxxxxxP", len(code), ctypes.addressof(buffer)))
box = Box(Places("/nonexistent/k", "/nonexistent"))
state = box.prove()
box.close()
print(json.dumps([state.rung, dict(state.reasons)]))
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the filter of the test has numbers of one architecture")
@pytest.mark.parametrize(
    ("missing", "found", "reason"),
    [
        (["namespaces"], "R1", ("R3", "unshare: Operation not permitted")),
        (["landlock"], "R3", None),
        (["namespaces", "landlock"], "R0", ("R1", "Landlock is not in this kernel (ABI 3 is needed)")),
    ],
)
def test_the_report_is_what_there_is(missing: list[str], found: str, reason: tuple[str, str] | None) -> None:
    if not {"R3", "R1"}.issubset(offered()):
        pytest.skip("this machine lacks what is taken away")
    done = subprocess.run([sys.executable, "-c", DENIED, *missing], capture_output=True, text=True, timeout=60)
    rung, reasons = json_of(done)
    assert rung == found, reasons
    if reason:
        assert reasons[reason[0]] == reason[1]


def json_of(done: "subprocess.CompletedProcess[str]") -> Any:
    import json

    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# --- limits -----------------------------------------------------------------------------------------------------------


@each_rung
async def test_limits_are_in_force(work: Path, rung: str) -> None:
    _, said = await run(work, rung, "ulimit -c; ulimit -f; cat /proc/self/oom_score_adj")
    assert said.split() == ["0", str(10 << 20), "500"]


@pytest.mark.parametrize("rung", ["R3"])
async def test_a_fork_bomb_ends_with_its_command(work: Path, rung: str) -> None:
    box = Box(Places("/nonexistent/k", "/nonexistent"), rungs=[rung])
    looked: list[float] = []

    async def look() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0)
            looked.append(time.monotonic() - before)
            await asyncio.sleep(0.01)

    looking = asyncio.create_task(look())
    found, _ = await run(work, rung, "bomb() { bomb | bomb & }; bomb; sleep 60", box=box, timeout=0.5)
    looking.cancel()
    assert found == Exit(None, timed_out=True)
    await box.aclose()
    wait_for(lambda: not working_in(work))


def test_a_box_that_is_off_says_so() -> None:
    box = Box(Places("/nonexistent/k", "/nonexistent"), off="for this test")
    assert box.prove() == BoxState("R0", (("R3", "for this test"),))
    assert not box.possible
