"""In a hostile repository nothing that the repository names is run by a command that runs unasked (T17)."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from rule_house import book, run

from kimi_agent.core import git_env, secret
from kimi_agent.core.git_env import GIT_ENV
from kimi_agent.rules.proof import hardened

COMMANDS = (
    "git status", "git diff", "git diff --stat", "git log -p", "git log", "git show HEAD", "git blame a.txt", "git branch -v",
    "git grep -n a", "git stash list", "git ls-files -m", "git describe --always", "git rev-parse HEAD", "git shortlog -s HEAD",
    "git reflog", "git tag -l", "git remote -v", "git diff HEAD", "git check-ignore a.txt",
)  # fmt: skip

Make = Callable[[Path, str], None]


def git(folder: Path, *words: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=n", "-c", "user.email=e", *words],
        cwd=folder,
        check=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    work = tmp_path / "w"
    work.mkdir()
    git(work, "init", "-q", "-b", "main")
    (work / "a.txt").write_text("one\n")
    (work / ".gitattributes").write_text("*.txt diff=evil filter=evil\n")
    git(work, "add", ".")
    git(work, "commit", "-qm", "first")
    (work / "a.txt").write_text("two\n")
    return work


def config(folder: Path, text: str) -> None:
    with (folder / ".git" / "config").open("a") as file:
        file.write(text)


HOSTILE: dict[str, Make] = {
    "fsmonitor": lambda w, evil: config(w, f'[core]\n\tfsmonitor = "{evil}; false"\n'),
    "external diff": lambda w, evil: config(w, f'[diff]\n\texternal = "{evil}"\n'),
    "diff command": lambda w, evil: config(w, f'[diff "evil"]\n\tcommand = "{evil}"\n'),
    "textconv": lambda w, evil: config(w, f'[diff "evil"]\n\ttextconv = "{evil}; cat"\n'),
    "clean filter": lambda w, evil: config(w, f'[filter "evil"]\n\tclean = "{evil}; cat"\n'),
    "filter process": lambda w, evil: config(w, f'[filter "evil"]\n\tprocess = "{evil}"\n\trequired = true\n'),
    "pager": lambda w, evil: config(w, f'[core]\n\tpager = "{evil}"\n[pager]\n\tlog = "{evil}"\n\tdiff = true\n'),
    "alias": lambda w, evil: config(w, f'[alias]\n\tst = "!{evil}"\n\tstatus = "!{evil}"\n\tlog = "!{evil}"\n'),
    "gpg": lambda w, evil: config(w, f'[gpg]\n\tprogram = "{evil}"\n[log]\n\tshowSignature = true\n'),
    "ssh": lambda w, evil: config(w, f'[core]\n\tsshCommand = "{evil}"\n[remote "o"]\n\turl = ssh://x/y\n\tpromisor = true\n'),
    "credentials": lambda w, evil: config(w, f'[credential]\n\thelper = "!{evil}"\n'),
    "editor": lambda w, evil: config(w, f'[core]\n\teditor = "{evil}"\n\taskPass = "{evil}"\n'),
    "upload pack": lambda w, evil: config(w, f'[remote "o"]\n\turl = ext::{evil}\n\tuploadpack = "{evil}"\n'),
    "include": lambda w, evil: (w.joinpath("evil.inc").write_text(f'[core]\n\tfsmonitor = "{evil}"\n'),
                                config(w, "[include]\n\tpath = ../evil.inc\n"))[1],
    "worktree": lambda w, evil: config(w, f'[core]\n\tworktree = /\n\tfsmonitor = "{evil}"\n'),
    "hooks": lambda w, evil: hooks(w / ".git" / "hooks", evil),
    "hooks path": lambda w, evil: (hooks(w / "hooks", evil), config(w, "[core]\n\thooksPath = hooks\n"))[1],
    "info attributes": lambda w, evil: ((w / ".git" / "info" / "attributes").write_text("* diff=evil\n"),
                                        config(w, f'[diff "evil"]\n\ttextconv = "{evil}"\n'))[1],
    "config.worktree": lambda w, evil: ((w / ".git" / "config.worktree").write_text(f'[core]\n\tfsmonitor = "{evil}"\n'),
                                        config(w, "[extensions]\n\tworktreeConfig = true\n"))[1],
}  # fmt: skip


def hooks(folder: Path, evil: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in (
        "post-index-change",
        "pre-commit",
        "post-checkout",
        "fsmonitor-watchman",
        "reference-transaction",
        "pre-auto-gc",
    ):
        (folder / name).write_text(f"#!/bin/sh\n{evil}\n")
        (folder / name).chmod(0o755)


@pytest.mark.parametrize("how", HOSTILE)
def test_nothing_of_a_hostile_repository_runs(repository: Path, how: str) -> None:
    mark = repository.parent / "PWNED"
    HOSTILE[how](repository, f"touch {mark}")
    rules = book(repository)
    unasked = [line for line in (*COMMANDS, "git st") if run(rules, line).verdict == "allow"]
    for line in unasked:
        argv = hardened(line)
        assert argv is not None
        subprocess.run(argv, cwd=repository, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
    assert not mark.exists(), unasked


def test_the_traps_are_real(repository: Path) -> None:
    """Without our environment, and without looking at the configuration, the same commands run what the repository names."""
    mark = repository.parent / "PWNED"
    HOSTILE["textconv"](repository, f"touch {mark}")
    subprocess.run(["git", "diff"], cwd=repository, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    assert mark.exists()


def test_a_repository_that_is_hidden_in_another_is_not_gone_into(repository: Path) -> None:
    mark = repository.parent / "PWNED"
    bare = repository / "sub" / "deep"
    bare.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", "--bare", str(bare)], check=True)
    (bare / "config").write_text(
        f'[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tworktree = .\n\tfsmonitor = "touch {mark}; false"\n'
    )
    rules = book(repository)
    for line in COMMANDS:
        assert run(rules, line, str(bare)).verdict != "allow", line
        done = subprocess.run(
            ["git", *line.split()[1:]], cwd=bare, env=os.environ | GIT_ENV, capture_output=True, check=False
        )
        assert done.returncode or line == "git branch -v"
    assert not mark.exists()


def test_a_repository_elsewhere_is_asked_for(repository: Path, tmp_path: Path) -> None:
    """A `.git` file or link, or the repository around the workspace: what it shows lies outside."""
    other = tmp_path / "other"
    other.mkdir()
    (other / ".git").write_text(f"gitdir: {repository}/.git\n")
    assert run(book(other), "git log").verdict == ""
    (other / ".git").unlink()
    (other / ".git").symlink_to(repository / ".git")
    assert run(book(other), "git log").verdict == ""
    (repository / "sub").mkdir()
    assert run(book(repository / "sub"), "git log").verdict == ""
    assert run(book(repository), "git log", str(repository / "sub")).verdict == "allow"


def test_a_submodule_is_not_gone_into(repository: Path) -> None:
    mark = repository.parent / "PWNED"
    inner = repository / "inner"
    inner.mkdir()
    git(inner, "init", "-q")
    (inner / "f").write_text("1")
    git(inner, "add", ".")
    git(inner, "commit", "-qm", "i")
    git(repository, "add", "inner")
    git(repository, "commit", "-qm", "gitlink")
    (inner / "f").write_text("2")
    config(inner, f'[core]\n\tfsmonitor = "touch {mark}; false"\n[diff]\n\texternal = "touch {mark}"\n')
    rules = book(repository)
    for line in COMMANDS:
        if run(rules, line).verdict == "allow":
            argv = hardened(line)
            assert argv is not None
            subprocess.run(argv, cwd=repository, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    assert not mark.exists()


def test_a_usual_repository_is_read_unasked_and_shown_whole(repository: Path) -> None:
    config(repository, '[remote "origin"]\n\turl = git@example.org:a/b\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n'
           '[branch "main"]\n\tremote = origin\n\tmerge = refs/heads/main\n[user]\n\tname = n\n')  # fmt: skip
    rules = book(repository)
    assert [line for line in COMMANDS if run(rules, line).verdict != "allow"] == []
    argv = hardened("git diff")
    assert argv is not None
    shown = subprocess.run(argv, cwd=repository, capture_output=True, text=True, check=True).stdout
    assert "-one" in shown
    assert "+two" in shown


def test_git_tells_nothing_of_tracked_secrets(repository: Path) -> None:
    for name in (".env", "server.pem", "credentials.json"):
        (repository / name).write_text("KEY=old-canary\n")
    git(repository, "add", "-f", ".")
    git(repository, "commit", "-qm", "secrets")
    for name in (".env", "server.pem", "credentials.json"):
        (repository / name).write_text("KEY=new-canary\n")
    rules = book(repository)
    shown = ""
    for line in (
        "git diff",
        "git log -p",
        "git show HEAD",
        "git grep canary",
        "git diff HEAD^",
        "git stash list -p",
        "git status -v",
    ):
        if run(rules, line).verdict == "allow":
            argv = hardened(line)
            assert argv is not None
            shown += subprocess.run(argv, cwd=repository, capture_output=True, text=True, check=False).stdout
    assert ".env" in shown
    assert "canary" not in shown.replace("git grep canary", "")
    for line in (
        "git show HEAD:.env",
        "git blame .env",
        "git diff -- .env",
        "git log -p .env",
        "git diff HEAD~1 server.pem",
    ):
        assert run(rules, line).verdict == "", line


def test_the_list_of_secrets_is_the_list_of_secrets() -> None:
    """core/secret.gitattributes says to git what core/secret.py says to everything else."""
    text = Path(git_env.__file__).with_name("secret.gitattributes").read_text()
    lines = {line for line in text.splitlines() if not line.startswith("#")}
    expected = {f"{name} -diff" for name in secret.NAMES} | {f"{name}/** -diff" for name in secret.FOLDERS}
    assert lines == expected | {f"{name} diff" for name in secret.HARMLESS}
