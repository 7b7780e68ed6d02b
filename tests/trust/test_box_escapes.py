"""Ways out of the box by what stands outside of it: kimi itself, which reads and writes for commands, and git (T4, T18, T21)."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from boxes import box as box_of
from boxes import offered
from kimi_program import Program
from tool_context import call, make_context, text_of

from kimi_agent.core.access import Access
from kimi_agent.core.errors import WorkspaceError
from kimi_agent.tools.plain_git import git_folder, is_git_alone
from kimi_agent.tools.shell import Shell
from kimi_agent.workspaces.local import LocalWorkspace
from kimi_agent.workspaces.sandbox.policy import Folders, Places, make_profile

pytestmark = pytest.mark.usefixtures("a_box")
OUTSIDE = {"reason": "for this test", "outside": True}


class Desk:
    """A working folder, the session's scratch folder, and a file of the person beside both."""

    def __init__(self, folder: Path, rung: str = "") -> None:
        self.work, self.scratch, self.mine = folder / "work", folder / "scratch", folder / "mine"
        for path in (self.work, self.scratch):
            path.mkdir()
        self.mine.write_text("mine\n")
        box = box_of(rung or offered()[0])
        self.shell = Shell(box=box)
        workspace = LocalWorkspace(self.work, box=box, scratch=self.scratch)
        self.ctx = make_context(self.work, workspace=workspace, scratch=self.scratch)

    async def __call__(self, command: str, call_id: str = "Shell:0", **more: Any) -> str:
        return text_of(await call(self.shell, replace(self.ctx, call_id=call_id), command=command, **more))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def test_a_link_in_the_place_of_an_output_is_not_written_through(desk: Desk) -> None:
    """The whole output of a command goes to a file whose name can be known before: ids are counted."""
    attack = f"cd {desk.scratch}; for n in 1 2; do ln -sf {desk.mine} shell-Shell_$n.txt; done; mv reports r; ls -lR"
    said = await desk(attack)
    assert "Read-only file system" in said or "Permission denied" in said
    await desk("yes pwned | head -c 100000", "Shell:1")
    assert desk.mine.read_text() == "mine\n"
    assert (desk.scratch / "shell-Shell_1.txt").read_bytes().startswith(b"pwned\n")


@pytest.mark.parametrize(
    "plant", ["ln -s /dev/zero {}", "mkfifo {}", "ln -s {mine} {}", "mkdir {}", "truncate -s 9G {}", "ln -s {} {}"]
)
async def test_what_a_command_leaves_in_the_place_of_its_report_stops_nobody(desk: Desk, plant: str) -> None:
    (desk.work / "sub").mkdir()
    report = '"$r"'
    command = f"r=$_KIMI_CWD; trap - EXIT; cd sub; {plant.format(*[report] * plant.count('{}'), mine=desk.mine)}"
    await desk(command)
    assert await desk("pwd") == str(desk.work)
    assert desk.mine.read_text() == "mine\n"


async def test_a_refused_path_is_told_of_where_the_command_was(desk: Desk) -> None:
    """Not where the session began: what the model asks for then is what it needs."""
    assert 'write ["/opt/new"]' in await desk("cd /opt && touch new")
    assert 'write ["/opt/new"]' in await desk("touch new")


async def test_what_a_command_plants_does_not_run_in_one_that_the_person_lets_out(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is read before the approved command begins comes from where no command can write."""
    programs = desk.work / ".venv/bin"
    programs.mkdir(parents=True)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    plant = f"echo 'echo pwned >> {desk.mine}' >> $f; chmod +x $f"
    files = " ".join(f"{folder}/{name}" for folder in (desk.scratch, f"{desk.scratch}/reports", programs)
                     for name in ("bash_env", "bash", "sh", "env"))  # fmt: skip
    await desk(f"for f in {files}; do [ -e $f ] || echo '#!/bin/sh' > $f; {plant}; done")
    assert (programs / "bash").exists()
    assert await desk("echo fine", access=OUTSIDE) == "fine"
    long = f"echo {'x' * 300_000} | wc -c; echo $# $0"
    assert await desk(long, access=OUTSIDE) == "300001\n0 bash"
    assert desk.mine.read_text() == "mine\n"


# --- git, which may change the repository -----------------------------------------------------------------------------

RUNS_MORE = [
    "git log -1 --format=/evil --output=.git/commondir", "git diff --output x", "git show --outp=x", "git rebase -xid HEAD",
    "git rebase --exe id HEAD", "git rebase -ix id HEAD", "git fetch --upload-p=id ../x", "git push --receive=id ../x",
    "git init --separate-git-dir=x", "git apply --unsafe-paths p", "git worktree add .git/commondir", "git diff --ext-dif",
    "git bisect visualize", "git mv a sub/.GIT/commondir", "git apply --unsafe p", "git log --textc",
]  # fmt: skip


@pytest.mark.parametrize("command", RUNS_MORE)
def test_options_that_write_files_or_run_programs_are_not_git_alone(command: str) -> None:
    assert not is_git_alone(command)


def test_git_alone_works_in_one_folder(tmp_path: Path) -> None:
    assert git_folder("git add .gitignore && git diff --text --exit-code", tmp_path) == str(tmp_path)
    for line in ("cd sub && git status && git log | head -3", "cd . && cd sub && git log"):
        assert git_folder(line, tmp_path) == str(tmp_path / "sub"), line
    for line in (
        "cd sub; git status",
        "cd sub && ls || git log",
        "cd sub | git log",
        "ls | cd sub && git log",
        "git log; cd sub; git log",
    ):
        assert git_folder(line, tmp_path) == "", line
    assert git_folder("git status; cd sub; git log", tmp_path) == ""


def make_repository(folder: Path) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for words in (["init", "-q", "-b", "main"], [*who, "commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", *words], cwd=folder, check=True, env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull})


def is_taken(control: Path) -> bool:
    """Whether a command has written what git obeys. A placeholder of the box may still be there for a moment."""
    return control.exists() and b"pwned" in control.read_bytes()


@pytest.fixture
def repository(desk: Desk) -> Path:
    make_repository(desk.work)
    return desk.work


@pytest.mark.usefixtures("repository")
async def test_git_alone_is_the_real_git_and_changes_one_repository(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    if offered()[0] == "R1":
        pytest.skip("R1 does not guard repositories")
    programs = desk.work / "bin"
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    payload = f"echo pwned > {desk.work}/.git/commondir; rm -f {desk.work}/.git/HEAD; touch {desk.work}/ran"
    script = f"#!/bin/sh\n{payload}\n"
    make = f"""
    mkdir -p bin evil && cd evil && git init -q && git config core.fsmonitor '{payload}' && git config receive.x y; cd ..
    for f in bin/git bin/ssh bin/gpg bin/head evil/.git/hooks/pre-receive; do
      printf '%s' '{script}' > $f; chmod +x $f
    done; touch a
    """
    assert "exit code" not in await desk(make)
    for attack in ("git status", "cd evil && git status", "cd evil; git status; cd ..; git status", "git push ./evil main",
                   "git fetch ssh://h/x", "git log | head -3", "git fetch ext::id", "git tag -s t -m x"):  # fmt: skip
        await desk(f"cd {desk.work}")
        await desk(attack)
        assert not is_taken(desk.work / ".git/commondir"), attack
        assert (desk.work / ".git/HEAD").exists(), attack
    assert (desk.work / "ran").exists(), "the payload of the other repository has run, and reached its own alone"
    await desk(f"cd {desk.work}")
    who = "-c user.name=a -c user.email=a@b.c"
    monkeypatch.setenv("GIT_AUTHOR_NAME", "a")
    for name in ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(name, "a@b.c")
    assert "second" in await desk("git add a && git commit -m second"), who


CONTROL = [
    "commondir",
    "config.worktree",
    "modules/libs/sub/config",
    "modules/libs/sub/commondir",
    "modules/libs/sub/hooks/x",
]


@pytest.mark.parametrize("rung", [rung for rung in offered() if rung != "R1"])
@pytest.mark.parametrize("runs", ["a hook of the person", "a repository below"])
async def test_what_runs_beside_git_alone_does_not_take_the_repository_over(
    tmp_path: Path, rung: str, runs: str
) -> None:
    """Whatever git runs may write `.git`: no file may come to be there that makes the person's next git run something."""
    desk = Desk(tmp_path, rung)
    git = desk.work / ".git"
    make_repository(desk.work)
    (git / "modules/libs/sub/objects").mkdir(parents=True)  # submodules are called after their paths
    (git / "modules/libs/sub/HEAD").write_text("ref: refs/heads/main\n")
    (git / "modules/libs/sub/config").write_text("")
    writes = "; ".join(f"mkdir -p {git}/modules/libs/sub/hooks; echo pwned > {git / name}" for name in CONTROL)
    payload = f"#!/bin/sh\n{writes}\ntouch {desk.work}/ran\ncat\n"
    if runs == "a hook of the person":
        subprocess.run(["git", "config", "core.hooksPath", "hooks"], cwd=desk.work, check=True)
        plant = f"mkdir hooks; printf '%s' '{payload}' > hooks/post-index-change; chmod +x hooks/*; touch a"
    else:
        plant = f"""
        mkdir evil; cd evil; git init -q; printf '%s' '{payload}' > pay; chmod +x pay
        git -c user.name=a -c user.email=a@b.c commit -q --allow-empty -m x
        git config core.fsmonitor ./pay; cp pay .git/hooks/post-index-change; cd ..
        """
    assert "exit code" not in await desk(plant)
    await desk("git add evil" if runs != "a hook of the person" else "git add a")
    assert "exit code" not in await desk("git add -A && git status --ignore-submodules=none")
    assert (desk.work / "ran").exists() is (runs == "a hook of the person")
    assert [name for name in CONTROL if is_taken(git / name)] == []
    clean = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    assert subprocess.run(["git", "log", "--oneline"], cwd=desk.work, env=clean, capture_output=True, check=True).stdout


async def test_what_was_granted_to_one_command_is_of_no_use_to_the_next(tmp_path: Path) -> None:
    """The way to a granted host has a password; a command can tell it to others."""
    if offered()[0] == "R1":
        pytest.skip("R1 grants no hosts")
    desk = Desk(tmp_path)
    access = {"reason": "for this test", "hosts": ["granted.example"]}
    await desk("echo $HTTP_PROXY > proxy", access=access)
    proxy = (desk.work / "proxy").read_text().strip()
    assert proxy.startswith("http://kimi:")
    ask = "import urllib.request as u; u.urlopen('http://granted.example/', timeout=9)"
    await desk("true", access=access)  # the proxy goes on for others
    said = await desk(f'HTTP_PROXY={proxy} http_proxy={proxy} {sys.executable} -I -c "{ask}" 2>&1 | tail -1')
    assert "403" in said


async def test_secret_files_of_a_monorepo_are_masked_too(desk: Desk) -> None:
    if offered()[0] == "R1":
        pytest.skip("R1 masks nothing in the working folder")
    for folder in ("", "apps", "apps/web", "apps/web/src"):
        (desk.work / folder).mkdir(exist_ok=True)
        (desk.work / folder / ".env").write_text("TOKEN=sesame")
    assert "sesame" not in await desk("cat .env apps/.env apps/web/.env apps/web/src/.env; grep -r sesame .")


# --- kimi's own tools in the modes that ask nothing -------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["--yolo", "--afk"])
def test_no_mode_writes_outside_of_the_folder(tmp_path: Path, flag: str) -> None:
    """What a command may not do in its box, WriteFile may not do either; what is granted by name both may."""
    kimi = Program(tmp_path)
    (tmp_path / "opened").mkdir()
    (kimi.work / "link").symlink_to(tmp_path)
    kimi.write_config(f'[box]\nwrite = ["{tmp_path}/opened"]\n')
    targets = [
        "../.bashrc",
        f"{kimi.work}-evil/x",
        "link/.bashrc",
        "~/.ssh/authorized_keys",
        "in",
        f"{tmp_path}/opened/in",
    ]
    writes = [[{"call": {"name": "WriteFile", "arguments": {"path": path, "content": "x"}}}] for path in targets]
    kimi.run("-p", "go", flag, "--provider", kimi.scenario(*writes, [{"text": "Done."}]))
    assert not (tmp_path / ".bashrc").exists()
    assert not (tmp_path / "work-evil").exists()
    assert not (tmp_path / ".ssh").exists()
    assert (kimi.work / "in").exists()
    assert (tmp_path / "opened/in").exists()


SWAPS = """import ctypes, os, sys
libc = ctypes.CDLL(None)
os.mkdir("real")
os.symlink(sys.argv[1], "link")
os.rename("real", "t")
open("begun", "w").close()
while True:
    libc.renameat2(-100, b"t", -100, b"link", 2)
"""


def test_a_command_that_swaps_a_folder_for_a_link_leads_no_tool_away(tmp_path: Path) -> None:
    """A command of the background changes what a path leads to, thousands of times a second, while kimi's own tools write."""
    kimi = Program(tmp_path)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (kimi.work / "swap.py").write_text(SWAPS)
    start = f"{sys.executable} swap.py {theirs} >/dev/null 2>&1 & until [ -e begun ]; do sleep 0.01; done"
    writes = [{"call": {"name": "WriteFile", "arguments": {"path": f"t/{n}/in", "content": "x"}}} for n in range(150)]
    steps = [
        [{"call": {"name": "Shell", "arguments": {"command": start}}}],
        writes[:75],
        writes[75:],
        [{"text": "Done."}],
    ]
    kimi.run("-p", "go", "--yolo", "--provider", kimi.scenario(*steps))
    assert (kimi.work / "begun").exists()
    assert [path for path in theirs.rglob("*") if path.is_file()] == []


async def test_a_path_that_has_become_a_link_since_it_was_permitted_is_not_read(desk: Desk) -> None:
    path = desk.ctx.workspace.resolve("t/mine")
    (desk.work / "t").symlink_to(desk.mine.parent)
    with pytest.raises(WorkspaceError, match="symbolic link"):
        await desk.ctx.workspace.read(path)


def test_a_grant_of_git_holds_in_the_folders_of_the_session(tmp_path: Path) -> None:
    for name in ("work", "other"):
        (tmp_path / name / ".git").mkdir(parents=True)
    folders, places = Folders(str(tmp_path / "work")), Places("/nonexistent/k", "/nonexistent")
    for name, granted in (("work", True), ("other", False)):
        profile = make_profile(places, folders, "/box", Access(git=str(tmp_path / name)))
        assert (str(tmp_path / name / ".git") in profile.writable) is granted


@pytest.mark.parametrize("how", ["pointer", "link", "common folder"])
def test_a_repository_of_the_person_is_not_opened_by_a_pointer_to_it(tmp_path: Path, how: str) -> None:
    theirs, work = tmp_path / "theirs", tmp_path / "work"
    for folder in (theirs, work):
        folder.mkdir()
    subprocess.run(["git", "init", "-q", str(theirs)], check=True)
    if how == "pointer":
        (work / ".git").write_text(f"gitdir: {theirs}/.git\n")
    elif how == "link":
        (work / ".git").symlink_to(theirs / ".git")
    else:
        (work / ".git").mkdir()
        (work / ".git/commondir").write_text(f"{theirs}/.git\n")
    profile = make_profile(Places("/nonexistent/k", "/nonexistent"), Folders(str(work)), "/box", Access(git=str(work)))
    assert [path for path in profile.writable if path.startswith(str(theirs))] == []


def test_a_worktree_that_is_none_does_not_open_the_repository_of_the_folder(tmp_path: Path) -> None:
    """What a repository says in `config.worktree` git may follow, though the settings of the common folder are the person's."""
    for name in (".git", "evil/.git"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "evil/.git/commondir").write_text("../../.git\n")
    access = Access(git=str(tmp_path / "evil"))
    profile = make_profile(Places("/nonexistent/k", "/nonexistent"), Folders(str(tmp_path)), "/box", access)
    assert str(tmp_path / ".git") in profile.readonly
    assert str(tmp_path / ".git") not in profile.writable
