"""The box as Shell tells of it: to the model beforehand, in what it may ask for, and in what came of a command."""

import os
import re
from pathlib import Path
from typing import Annotated

import msgspec

from kimi_agent.core.access import NO_BOX, Access, BoxView, box_words
from kimi_agent.core.address import host_name
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ToolError
from kimi_agent.core.workspace import Exit, Workspace
from kimi_agent.tools.plain_git import git_folder
from kimi_agent.tools.programs import program, safe_path

TOLD = """
- Commands run in a box: they write only in the working folder and $TMPDIR{hosts}. `.git` changes only by a command of
  git alone. When the box refuses what the task needs, call again with `access`: the user decides."""
_NO_NET = " and reach no network but localhost"
UNBOXED = "this ran without a box, with all rights of the user"
UNTRUSTED = (
    "the user has not trusted this folder, so commands write nothing but temporary files: `/trust` or `kimi trust` asks the "
    "user, --trust trusts it for one run"
)
GIT_ALONE = (
    "a repository changes only by a command of git alone: literal words, no option before git's command, no other program than "
    "cd, echo, head, grep and the like (`git add -A && git commit -m 'x'`); write files in another call. Its hooks and config "
    "change not at all"
)
_NO_SOCKET = re.compile(r"(?i)(?:\bsocket\b|_socket\.)[^\n]*(?:\n[^\n]*)?operation not permitted|listen EPERM")
_PLACEHOLDER = re.compile(r"\.kimi/?['\"]?: Device or resource busy")
_SILENT_GIT = re.compile(r"\bgit +stash\b")
_END = 4000  # characters of the output in which a refusal is looked for
_REFUSED_PATH = re.compile(
    r"(?P<path>(?:/|\./|\.\./)?[\w.@+~-][^\s:'\"`]*|/)['\"`]?:? ?(?:\([^)]*\))?:? *"
    r"(?:Read-only file system|Permission denied|Operation not permitted)"
    r"|(?:EROFS|EACCES|EPERM|PermissionError|Errno (?:1|13|30))[^\n]*?['\"](?P<named>/[^'\"\n]+)['\"]"
)
_READ_ONLY = re.compile(r"Read-only file system|Permission denied|Operation not permitted|EROFS|EACCES|EPERM")
_NO_NAME = re.compile(
    r"Could not resolve (?:host(?:name)?:? )?(?P<a>[\w.-]+\.\w+)|(?:ENOTFOUND|EAI_AGAIN) (?P<b>[\w.-]+)"
    r"|unable to access 'https?://(?P<c>[\w.-]+)|host='(?P<d>[\w.-]+)'|lookup (?P<e>[\w.-]+)"
)
_NO_NET_WORDS = re.compile(
    r"Could not resolve|Temporary failure in name resolution|Name or service not known|Network is unreachable|ENOTFOUND|EAI_AGAIN"
    r"|ENETUNREACH|getaddrinfo|Failed to establish a new connection|no such host|dial tcp"
)


class Wider(msgspec.Struct, frozen=True):
    """What a call asks for beyond the box."""

    reason: Annotated[str, msgspec.Meta(description="Why the task needs it, for the user")]
    write: Annotated[tuple[str, ...], msgspec.Meta(description="Paths to write")] = ()
    hosts: Annotated[tuple[str, ...], msgspec.Meta(description="Host names to reach by HTTP(S)")] = ()
    outside: Annotated[bool, msgspec.Meta(description="Run without the box, with all the user's rights")] = False


def told(box: BoxView | None) -> str:
    """What the description of Shell says of the box; empty where there is none."""
    if box is None or not box.possible:
        return ""
    return TOLD.format(hosts=f", and reach only {', '.join(box.hosts)}" if box.hosts else _NO_NET)


def access_of(command: str, wider: Wider | None, workspace: Workspace, cwd: Path) -> Access:
    """What a command may do if a person allows what it asks for. Raises ToolError for what cannot be asked for."""
    git = git_folder(command, cwd) if program("git", workspace) else ""
    if wider is None:
        return Access(git=git)
    if not wider.reason.strip() or not (wider.write or wider.hosts or wider.outside):
        raise ToolError("`access` needs a reason, and what it is for: write, hosts or outside.")
    try:
        hosts = tuple(host_name(name) for name in wider.hosts)
    except ValueError as error:
        raise ToolError(f"access.hosts: {error}. Write names, such as pypi.org.") from None
    write = tuple(str(workspace.resolve(path)) for path in wider.write)
    return Access(write, hosts, wider.outside, git)


def variables_of(access: Access, workspace: Workspace, box: BoxView | None) -> dict[str, str]:
    """For git alone: no program is taken from a folder that commands write, and no other repository takes part."""
    is_boxed = box is not None and (box.state is None or box.state.rung != "R0") and not access.outside
    if not access.git or not is_boxed:
        return {}
    return {"PATH": safe_path(workspace), "GIT_ALLOW_PROTOCOL": "http:https:ssh:git"}


def effects_of(access: Access) -> list[Effect]:
    """What a person is asked beside the command itself."""
    named = [f"write:{path}" for path in access.write] + [f"net:{host}" for host in access.hosts]
    return [Effect("widen", target) for target in [*(["host"] if access.outside else []), *named]]


def place_of(ended: Exit, box: BoxView | None, access: Access) -> str:
    """The box that a command ran in, in words; empty where nobody knows."""
    if box is None or box.state is None:
        return ""
    return NO_BOX if access.outside else box_words(box.state, (*box.hosts, *access.hosts), read_only=ended.read_only)


def notes_of(
    command: str, cwd: Path, ended: Exit, output: str, workspace: Workspace, box: BoxView | None, access: Access
) -> list[str]:
    """What the box did to a command that ended in `cwd`, in sentences for the model."""
    state = box.state if box is not None else None
    if state is None or access.outside:
        return []
    if state.rung == "R0":
        return [UNBOXED]
    notes = [f"the box did not let through: {why}" for why in ended.refused]
    end = output[-_END:]
    lost = "|" in command and (
        _NO_NET_WORDS.search(end) or "Read-only file system" in end
    )  # the code is that of `tail`
    if (ended.code == 0 and not lost) or ended.timed_out:
        return notes
    if _NO_SOCKET.search(end):
        notes.append(
            f"box {state.rung}: Unix and raw sockets are refused here, TCP on localhost works; if it must be, `access`: outside"
        )
    elif ended.read_only and _READ_ONLY.search(end):
        notes.append(UNTRUSTED)
    elif found := _refused_path(end, workspace, cwd):
        notes.append(f"box {state.rung}: {found}")
    elif _PLACEHOLDER.search(end):
        notes.append(f"box {state.rung}: an empty .kimi stands there while a command runs; all else was done")
    elif not ended.refused and _NO_NET_WORDS.search(end):
        match = _NO_NAME.search(end)
        host = next(filter(None, match.groups()), "") if match else ""
        asks = f'hosts ["{host}"]' if host else "the hosts"
        notes.append(
            f"box {state.rung}: commands reach no network but localhost. If the task needs it, call again with `access`: {asks} "
            "and the reason; the user decides"
        )
    elif not (access.git or ended.refused or end.strip()) and _SILENT_GIT.search(command):
        notes.append(f"box {state.rung}: {GIT_ALONE}")  # it fails without a word
    return notes


def _refused_path(output: str, workspace: Workspace, cwd: Path) -> str:
    """What to say of a path that could not be written or read because of the box; empty when it was none."""
    for match in reversed(list(_REFUSED_PATH.finditer(output))):
        path = os.path.realpath(cwd / (match["path"] or match["named"]))
        read_only = "Read-only" in match[0] or "Errno 30" in match[0] or "EROFS" in match[0]
        if ".git" in Path(path).parts:
            return GIT_ALONE
        inside = any(path.startswith(f"{root}/") for root in (workspace.root, *workspace.extra_roots))
        if not read_only and (inside or Path(path).exists()) and not _is_kept(path):
            continue  # the system's own rights
        if path.startswith(("/tmp/", "/var/tmp/")):  # noqa: S108 - a place that the box does not give
            return f"{path} cannot be written; temporary files go to $TMPDIR"
        return (
            f'{path} is out of reach. If the task needs it, call again with `access`: write ["{path}"] and the reason; '
            "the user decides"
        )
    return ""


def _is_kept(path: str) -> bool:
    """Whether the box, not the system, keeps a path that exists: the person, who sees it here, may read it."""
    return os.access(path, os.R_OK)
