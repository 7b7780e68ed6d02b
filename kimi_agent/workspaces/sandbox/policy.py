"""Which files a session's commands may use: from the folders of the session to a `Profile`."""

import fnmatch
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from kimi_agent.core.access import Access
from kimi_agent.core.record import Record
from kimi_agent.core.secret import is_secret_path
from kimi_agent.core.workspace import REPORTS
from kimi_agent.workspaces.sandbox.placeholders import FILES
from kimi_agent.workspaces.sandbox.profile import Profile, inside

KEY_STORES = (
    ".ssh", ".gnupg", ".aws", ".azure", ".kube", ".config/gcloud", ".config/gh", ".config/rclone", ".config/git/credentials",
    ".docker/config.json", ".netrc", ".npmrc", ".pypirc", ".git-credentials", ".password-store", ".local/share/keyrings",
    ".mozilla", ".config/google-chrome", ".config/chromium", ".config/BraveSoftware", ".config/microsoft-edge",
    ".bash_history", ".zsh_history", ".python_history", ".node_repl_history", ".psql_history", ".mysql_history",
    ".sqlite_history", ".local/share/fish/fish_history", ".codex", ".claude.json", ".claude/.credentials.json", ".kimi",
    ".kimi-code", "Library/Keychains",
)  # fmt: skip
"""Below the home directory: keys, passwords, and what a person has typed or seen."""
DOORS = (
    "/run/docker.sock", "/run/podman", "/run/containerd", "/run/dbus", "/run/snapd.socket", "/run/libvirt", "/var/lib/docker",
)  # fmt: skip
"""Sockets and folders through which another program would act for whoever can reach them."""
OF_KIMI = ("skills", "agents", "prompts", "commands", "plugins", "plans", "hooks", "bin", "scripts")
SCRIPTS = (".sh", ".bash", ".zsh", ".py", ".js", ".ts", ".rb", ".pl", ".md", ".txt")
"""What of kimi's own home commands may read: these folders, and files that end so (scripts of hooks). Nothing else of it."""
GUARDED = frozenset({".git", ".kimi"})
MASKED = (".env", ".env.*", ".env~", "*.pem", "*.key", "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*")
"""Secret files in a working folder, by name. Others with settings in them (.npmrc) are what the project's programs need."""
_GIT_RUNS, _GIT_LEADS = ("config", "config.worktree", "info", "hooks"), ("commondir", "gitdir")
"""What of a repository makes git run something, or look elsewhere: read-only for git as well."""
_GIT_DATA = frozenset({"objects", "refs", "logs", "lfs", *_GIT_RUNS})

_DEPTH, _ENTRIES = 4, 4_000  # of the look for repositories and secret files in a folder
_FRESH_S = 5.0
_PASSED_OVER = frozenset(
    {
        "node_modules",
        ".venv",
        "venv",
        "__pycache__",
        ".tox",
        ".nox",
        "target",
        "dist",
        "build",
        ".cache",
        "site-packages",
    }
)


class Places(Record):
    """Where things are. `home` is kimi's own, `user_home` the person's; `readable` is what the person opens of hidden things."""

    home: str
    user_home: str
    writable: tuple[str, ...] = ()
    readable: tuple[str, ...] = ()


class Folders(Record):
    """The folders of one session: where it works, and its scratch folder."""

    root: str
    extra: tuple[str, ...] = ()
    scratch: str = ""


def make_profile(places: Places, folders: Folders, box: str, access: Access, *, read_only: bool = False) -> Profile:
    """What a command of the session may do. `box` is the box's own folder; `read_only`: nothing but temporary files is written.

    The working folders are writable unless one is `/`, the home directory, around it, or in kimi's own home.
    """
    user_home, home = os.path.realpath(places.user_home), os.path.realpath(places.home)
    asked = [folders.root, *folders.extra, *places.writable]
    roots = [] if read_only else [path for path in _real(asked) if is_workable(path, user_home, home)]
    granted = _real(access.write)
    own = [path for path in (folders.scratch, f"{folders.scratch}.jsonl") if folders.scratch and os.path.exists(path)]
    scripts = [entry.path for entry in _entries(home) if entry.is_file() and entry.name.endswith(SCRIPTS)]
    shown = [*(f"{home}/{name}" for name in OF_KIMI), *scripts, *own, *_real(places.readable)]
    when = time.monotonic() if access.git else time.monotonic() // _FRESH_S
    found = [_look(root, when) for root in roots]
    repositories = [path for guarded, _ in found for path in guarded]
    secrets = [path for _, secret in found for path in secret]
    writable = [*roots, *granted, os.path.join(box, "tmp"), *(f"{path}/{REPORTS}" for path in own[:1])]
    readonly, kept, strangers = [*repositories], [], []
    if access.git and any(inside(access.git, root) for root in roots):
        gits = [git for entry in _git_around(access.git) for git in _own_gits(entry, roots)]
        writable += gits
        freed = [path for path in repositories if _is_of(_git_folders([path]), gits)]
        readonly = [path for path in repositories if path not in freed]
        readonly += [path for git in {*gits, *_git_folders(freed)} for path in _control(git)]
        kept = [f"{folder}/{name}" for git in gits for folder in _all_of(git) for name in ("hooks", *FILES)]
    locked = _git_folders([path for path in readonly if path in repositories])
    if access.git:  # git looks into repositories below the one that it works in, and runs what they say
        strangers = [path for git in locked for path in _control(git, _GIT_RUNS)]
    readonly += [git for git in locked if any(inside(git, root) for root in roots)]
    placeholders = [*(f"{root}/.kimi" for root in roots), *kept]
    hidden = [*_hidden(user_home), home, *secrets, *strangers]
    return Profile(
        writable=_sorted(writable),
        readonly=_sorted(path for path in readonly if path not in {*granted, *placeholders}),
        placeholders=_sorted(placeholders),
        hidden=_sorted(path for path in hidden if path not in {*granted, *roots, *_real(places.readable)}),
        shown=_sorted(path for path in shown if os.path.exists(path)),
        net=access.net,
    )


def is_workable(path: str, user_home: str, home: str) -> bool:
    """Whether commands may write in a working folder: not where everything of the person, or of kimi, would be writable."""
    return os.path.isdir(path) and not holds_more(path, user_home, home)


def holds_more(path: str, user_home: str, home: str) -> bool:
    return inside(user_home, path) or inside(home, path) or inside(path, home)


def _real(paths: Sequence[str]) -> list[str]:
    return [os.path.realpath(os.path.expanduser(path)) for path in paths]


def _sorted(paths: Iterable[str]) -> list[str]:
    return sorted(set(paths))


def _hidden(user_home: str) -> Iterator[str]:
    for path in (*(f"{user_home}/{name}" for name in KEY_STORES), *DOORS, f"/run/user/{os.getuid()}"):
        if os.path.lexists(path):
            yield os.path.realpath(path)


@lru_cache(maxsize=32)
def _look(root: str, when: float) -> tuple[list[str], list[str]]:
    """The guarded folders and files of a tree, and its secret files: a bounded look from the top down, once per `when`."""
    guarded: list[str] = []
    secret: list[str] = []
    level, seen = [root], 0
    for _ in range(_DEPTH):
        below: list[str] = []
        for folder in level:
            for entry in _entries(folder):
                seen += 1
                if entry.name in GUARDED:
                    guarded.append(entry.path)
                elif entry.is_dir(follow_symlinks=False):
                    below += [entry.path] if entry.name not in _PASSED_OVER else []
                elif entry.is_file(follow_symlinks=False) and _is_secret(entry.path):
                    secret.append(entry.path)
            if seen > _ENTRIES:
                return guarded, secret
        level = below
    return guarded, secret


def _entries(folder: str) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []


def _is_secret(path: str) -> bool:
    """By its name; a certificate is none without a private key in it."""
    name = os.path.basename(path)
    if not is_secret_path(name) or not any(fnmatch.fnmatchcase(name.lower(), pattern) for pattern in MASKED):
        return False
    if not name.lower().endswith((".pem", ".key")):
        return True
    try:
        with open(path, "rb") as file:
            return b"PRIVATE KEY" in file.read(4096)
    except OSError:
        return True


def _git_folders(entries: Sequence[str]) -> list[str]:
    """The repositories that `.git` entries are or point to, with the common folder of a worktree."""
    found: list[str] = []
    for entry in entries:
        if os.path.basename(entry) != ".git":
            continue
        folder = os.path.realpath(entry) if os.path.isdir(entry) else _pointed(entry, "gitdir:")
        if not folder or not os.path.isdir(folder):
            continue
        found.append(folder)
        common = _pointed(f"{folder}/commondir", "")
        if common and os.path.isdir(common):
            found.append(common)
    return list(dict.fromkeys(found))


def _is_of(folders: Sequence[str], gits: Sequence[str]) -> bool:
    """Whether repositories are among `gits`, or part of one (submodules, worktrees), or one is part of theirs."""
    return any(inside(folder, git) or inside(git, folder) for folder in folders for git in gits)


def _own_gits(entry: str, roots: Sequence[str]) -> list[str]:
    """What of the repository of a `.git` may be written: all in `roots`, beyond them only what itself knows this `.git`.

    A pointer or a link in a working folder may be a command's, and lead to any repository of the person. The common folder of a
    worktree is around it; another one is only called so.
    """
    folders = _git_folders([entry])
    folders = [git for git in folders if inside(folders[0], git)]
    theirs = [git for git in folders if not any(inside(git, root) for root in roots)]
    if not theirs or not any(inside(entry, root) for root in roots) or _knows(folders[0], entry):
        return folders
    return [git for git in folders if git not in theirs]


def _knows(git: str, entry: str) -> bool:
    """Whether a repository of a worktree, or of a submodule, says that it is that of `entry`."""
    if _pointed(f"{git}/gitdir", "") == os.path.realpath(entry):
        return True
    try:
        config = Path(git, "config").read_text("utf-8", "replace")
    except OSError:
        return False
    named = re.search(r"^\s*worktree\s*=\s*(.+?)\s*$", config, re.MULTILINE)
    return named is not None and os.path.realpath(os.path.join(git, named[1])) == os.path.dirname(entry)


def _git_around(root: str) -> list[str]:
    """The `.git` of the repository that the folder lies in."""
    for folder in (Path(root), *Path(root).parents):
        if os.path.lexists(folder / ".git"):
            return [str(folder / ".git")]
    return []


def _pointed(file: str, word: str) -> str:
    """The path that a pointer file of git names, real; empty when it is none."""
    try:
        if not stat.S_ISREG(os.lstat(file).st_mode):
            return ""
        text = os.fsdecode(Path(file).read_bytes()[:4096]).strip()
    except OSError:
        return ""
    if not text.startswith(word):
        return ""
    return os.path.realpath(os.path.join(os.path.dirname(file), text.removeprefix(word).strip()))


def _control(git: str, names: Sequence[str] = (*_GIT_RUNS, *_GIT_LEADS)) -> Iterator[str]:
    """What stays read-only in a repository, and in those of its submodules and worktrees, when git may write it."""
    for folder in _all_of(git):
        for name in names:
            if os.path.lexists(f"{folder}/{name}"):
                yield f"{folder}/{name}"


def _all_of(git: str) -> list[str]:
    """A repository, and those of its submodules, which may be called `a/b` and have their own, and of its worktrees."""
    found, folders = [git], [f"{git}/modules", f"{git}/worktrees"]
    for folder in folders:
        for entry in _entries(folder):
            if entry.name not in _GIT_DATA and entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
                found += [entry.path] if os.path.lexists(f"{entry.path}/HEAD") else []
        if len(folders) > _ENTRIES:
            break
    return found
