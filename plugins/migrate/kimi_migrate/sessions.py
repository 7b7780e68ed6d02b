"""Steps for sessions: each becomes a session file under a name that says where it came from."""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from kimi_agent.agent.store import clean
from kimi_agent.core.errors import SessionError
from kimi_migrate import read_claude, read_codex, read_kimi_cli, read_kimi_code
from kimi_migrate.conversation import Imported, session_file, system_prompt_for
from kimi_migrate.records import items, read_json, read_lines, text
from kimi_migrate.step import NewFile, Step, left

_DIGEST = re.compile(r"(\w+_)?[0-9a-f]{32}")
_UNUSUAL = re.compile(r"[^A-Za-z0-9._-]+")
"""What no name of a session has: file names of others hold spaces, control characters and bytes that are no text."""
Read = Callable[[], Imported | None]


def of_kimi_cli(root: Path, home: Path) -> Iterator[Step]:
    """`sessions/MD5/UUID/context.jsonl`; kimi.json tells which folder an MD5 stands for."""
    try:
        known = {_md5(text(entry.get("path"))): text(entry.get("path")) for entry in items(_kimi_json(root))}
    except SessionError as error:
        yield left("sessions", "all", root / "kimi.json", str(error))
        return
    for context in sorted([*root.glob("sessions/*/*/context.jsonl"), *root.glob("sessions/*/*.jsonl")]):
        is_folder = context.name == "context.jsonl"
        digest = (context.parent.parent if is_folder else context.parent).name
        if not is_folder and (context.with_suffix("") / "context.jsonl").exists():
            continue  # it was moved by a later version
        if not _DIGEST.fullmatch(digest):
            continue  # the folder of whole outputs of one of our own sessions
        if digest not in known:
            yield left("session", context.parent.name, context, "kimi.json does not tell its folder", digest)
            continue
        yield _step(context, "kimi-cli", home, partial(read_kimi_cli.read, context, known[digest]))


def of_kimi_code(root: Path, home: Path) -> Iterator[Step]:
    folders: dict[str, str] = {}
    index = root / "session_index.jsonl"
    try:
        for entry in read_lines(index) if index.exists() else ():
            folders[text(entry.get("sessionId"))] = text(entry.get("workDir"))
    except SessionError as error:
        yield left("session index", index.name, index, str(error))
    for wire in sorted(root.glob("sessions/*/*/agents/main/wire.jsonl")):
        folder = wire.parent.parent.parent
        cwd = folders.get(folder.name, "")
        yield _step(folder, "kimi-code", home, partial(read_kimi_code.read, folder, cwd))


def of_claude(root: Path, home: Path) -> Iterator[Step]:
    for path in sorted(root.glob("projects/*/*.jsonl")):
        if not path.name.startswith("agent-"):  # subagents of old versions
            yield _step(path, "Claude Code", home, partial(read_claude.read, path))


def of_codex(root: Path, home: Path) -> Iterator[Step]:
    for folder in ("sessions", "archived_sessions"):
        for path in sorted(root.glob(f"{folder}/**/rollout-*")):
            if path.suffix == ".jsonl":
                yield _step(path, "Codex", home, partial(read_codex.read, path))
            elif path.suffix in (".zst", ".json"):
                yield left("session", path.name, path, f"{path.suffix} files are not read", str(path.parent))


def _step(path: Path, agent: str, home: Path, read: Read) -> Step:
    """A step for one session. It is read for the plan, and once more when it is brought over: no plan holds them all."""
    name = path.parent.name if path.name == "context.jsonl" else path.name
    try:
        session = read()
    except SessionError as error:
        return left("session", name, path, str(error))
    if session is None:
        return left("session", name, path, "belongs to a subagent", "subagents")
    if not session.conversation.prompts():
        return left("session", name, path, "holds no conversation", "empty")
    cwd, name_here = clean(session.cwd), _UNUSUAL.sub("-", session.id)
    if not cwd.startswith("/") or "\0" in cwd:
        return left("session", name, path, "its folder is none of this machine", "elsewhere")
    target = home / "sessions" / f"{name_here}.jsonl"
    if target.exists():
        return Step("session", name_here, path, target, "there", "is here already", group="here")

    def make() -> bytes:
        again = read()
        if again is None or again.cwd != session.cwd:
            raise SessionError(f"{path} has changed meanwhile", "Run kimi migrate again.")
        return session_file(replace(again, id=name_here, cwd=cwd), agent, system_prompt_for(cwd, home))

    note = f"shortened texts: {session.conversation.cut}" if session.conversation.cut else ""
    return Step("session", name_here, path, target, "new", note, NewFile(target, make, session.times[1]), cwd)


def _kimi_json(root: Path) -> object:
    return read_json(root / "kimi.json").get("work_dirs")


def _md5(folder: str) -> str:
    return hashlib.md5(folder.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
