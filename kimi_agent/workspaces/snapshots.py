"""The saved files of a session, under `$KIMI_HOME/snapshots`, outside of what they are taken of.

`FOLDER/` belongs to a workspace: a GIT_DIR of ours, with what was saved first (see snapshot_tree.py). `FOLDER/sessions/ID/` has
what one session saved since, and goes with it. Without git only the files that a tool names are saved.
"""

import asyncio
import errno
import hashlib
import json
import os
import re
import shutil
import stat
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from kimi_agent.core.errors import SnapshotError
from kimi_agent.core.snapshot import FileChange, FileState, SnapshotUse
from kimi_agent.core.workspace import Workspace
from kimi_agent.workspaces.snapshot_git import Git, find_git, prepare, replace_text
from kimi_agent.workspaces.snapshot_index import Index
from kimi_agent.workspaces.snapshot_objects import Objects, Reader, decode, encode
from kimi_agent.workspaces.snapshot_others import Others
from kimi_agent.workspaces.snapshot_restore import open_parent, restore
from kimi_agent.workspaces.snapshot_tree import Limits, TooMany, Tree, unsaved

if TYPE_CHECKING:
    from kimi_agent.workspaces.sandbox.box import Box

T = TypeVar("T")
ONLY_EDITS = (
    "only the files that edits name are saved before they change; what commands change cannot be taken back by /undo and "
    "/rewind."
)
NO_GIT = f"git was not found: {ONLY_EDITS} Install git."
NO_PROJECT = f"{{}} holds more than a project, and commands write nothing there: {ONLY_EDITS}"


class WorkspaceSnapshots:
    """Implements `core.snapshot.Snapshots`, in threads. Nothing is made before it is needed."""

    def __init__(
        self, home: Path, session_id: str, workspace: Workspace, limits: Limits, box: "Box | None" = None
    ) -> None:
        self._workspace, self._limits, self._home = workspace, limits, home
        self._store = store_of(home, workspace.root)
        self._own = self._store / "sessions" / session_id
        self._objects = Objects(self._own / "objects", self._store / "objects")
        program = find_git([workspace.root, *workspace.extra_roots])
        self._git = Git(program, self._store, box) if program else None
        self._box = box
        self.why_not_whole = "" if program else NO_GIT
        if not self._roots():
            self.why_not_whole = NO_PROJECT.format(workspace.root)
        self._trees: dict[Path, Tree] = {}
        roots = [workspace.root, *workspace.extra_roots]
        self._others = Others(home / "snapshots" / "acting", session_id, roots)
        self._lock = threading.Lock()
        self._whole = threading.Lock()  # a look at all, or files coming back: an edit waits for neither
        self._closed = False

    # --- core.snapshot.Snapshots --------------------------------------------------------------------------------------

    async def scan(self, progress: Callable[[str], None]) -> Sequence[FileChange]:
        loop = asyncio.get_running_loop()

        def tell(text: str) -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(progress, text)

        return await asyncio.to_thread(self._scan, tell)

    async def look(self, paths: Sequence[str]) -> Sequence[FileState | None]:
        return await asyncio.to_thread(lambda: self._do(lambda: [self._look(path) for path in paths]))

    async def save(self, changes: Sequence[FileChange]) -> str:
        return await asyncio.to_thread(lambda: self._do(lambda: self._objects.put(encode(changes))))

    async def load(self, record: str) -> Sequence[FileChange]:
        def read() -> list[FileChange]:
            with self._reader() as reader:
                return list(decode(reader.get(record)))

        return await asyncio.to_thread(read)

    async def content(self, state: FileState | None) -> bytes | None:
        def read() -> bytes | None:
            if state is None or not state.saved or not state.blob:
                return None
            with self._reader() as reader:
                return reader.get(state.blob)

        return await asyncio.to_thread(read)

    async def restore(self, changes: Sequence[FileChange]) -> Mapping[str, str]:
        def put_back() -> Mapping[str, str]:
            with self._reader() as reader:
                return restore(changes, reader.get, self._look)

        return await asyncio.to_thread(lambda: self._do(put_back, self._whole))

    async def begin(self, call_id: str, record: str) -> None:
        await asyncio.to_thread(lambda: self._do(lambda: self._begin(call_id, record)))

    async def end(self, call_id: str) -> None:
        def forget() -> None:
            self._mark({name: record for name, record in self._marks().items() if name != call_id})
            self._others.end(call_id)

        await asyncio.to_thread(lambda: self._do(forget))

    async def unfinished(self) -> Mapping[str, str]:
        return await asyncio.to_thread(self._marks)

    async def others(self, since: float) -> tuple[set[str], bool]:
        return await asyncio.to_thread(self._others.since, since)

    async def use(self) -> SnapshotUse:
        return await asyncio.to_thread(self._use)

    async def news(self) -> Sequence[str]:
        return await asyncio.to_thread(lambda: self._do(self._news))

    def fork(self, session_id: str) -> None:
        if self._own.is_dir():
            shutil.copytree(self._own, self._own.parent / session_id, copy_function=_link_or_copy)

    def close(self) -> None:
        self._closed = True
        self._others.close()
        if self._git is not None:
            self._git.kill()

    # --- in threads ---------------------------------------------------------------------------------------------------

    def _do(self, work: Callable[[], T], lock: "threading.Lock | None" = None) -> T:
        """Raises SnapshotError, worded for people."""
        with lock or self._lock:
            if self._closed:
                raise SnapshotError("the session is closing")
            try:
                self._prepare()
                return work()
            except OSError as error:
                raise SnapshotError(f"{self._store}: {error.strerror or type(error).__name__}") from None

    def _prepare(self) -> None:
        if (self._own / "objects" / "info" / "alternates").is_file():
            return
        for folder in (self._home / "snapshots", self._store):  # others have no business in here
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        prepare(self._store)
        (self._own / "objects" / "info").mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_text(self._own / "objects" / "info" / "alternates", f"{_quoted(self._store / 'objects')}\n")

    def _scan(self, progress: Callable[[str], None]) -> list[FileChange]:
        return self._do(lambda: self._scan_all(progress), self._whole)

    def _scan_all(self, progress: Callable[[str], None]) -> list[FileChange]:
        changes: list[FileChange] = []
        try:
            for tree in self._all_trees():
                changes += tree.scan(progress)
        except TooMany as error:
            self.why_not_whole = f"{error}: {ONLY_EDITS} `[snapshots]` in config.toml sets the limits."
            raise SnapshotError(self.why_not_whole) from None
        return changes

    def _all_trees(self) -> list[Tree]:
        """One per folder of the workspace; what lies in another one belongs to that."""
        roots = self._roots()
        roots = [root for root in roots if not any(root != other and root.is_relative_to(other) for other in roots)]
        for root in dict.fromkeys(roots):
            if root not in self._trees:
                self._trees[root] = self._tree(root)
        return [self._trees[root] for root in dict.fromkeys(roots)]

    def _roots(self) -> list[Path]:
        """The folders that commands may write: a whole home is not read where the box keeps them from it."""
        roots = [self._workspace.root, *self._workspace.extra_roots]
        return [root for root in roots if self._box is None or self._box.opens(root)]

    def _tree(self, root: Path) -> Tree:
        if not self._trees and not (self._own / "index").is_file() and size_of(self._store) > self._limits.bytes:
            mb = self._limits.bytes // 1_000_000
            raise TooMany(f"{self._store} holds more than {mb} MB (kimi sessions delete makes room)")
        name = "index" if root == self._workspace.root else f"index-{_key(root)}"
        hidden = [self._home] if root != self._home else [self._home / "snapshots", self._home / "sessions"]
        assert self._git is not None
        index = Index(self._git, root, self._own / name, self._objects.own, self._objects.shared)
        return Tree(index, self._store / name, self._limits, hidden, partial(self._look, durable=False))

    def _look(self, path: str, *, durable: bool = True) -> FileState | None:
        """What stands behind a link on the way to it is not there. Raises OSError where the content cannot be saved."""
        try:
            with open_parent(path, make=False) as parent:
                return self._look_in(parent, Path(path).name, durable)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return None
            raise

    def _look_in(self, parent: int, name: str, durable: bool) -> FileState:
        info = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISDIR(info.st_mode):
            return FileState(info.st_mode)
        if stat.S_ISLNK(info.st_mode):
            target = os.readlink(os.fsencode(name), dir_fd=parent)
            return FileState(info.st_mode, self._objects.put(target, durable=durable))
        if not stat.S_ISREG(info.st_mode) or info.st_size > self._limits.file_bytes:
            return FileState(info.st_mode, unsaved(info))
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            with os.fdopen(os.open(name, flags, dir_fd=parent), "rb") as file:
                data = file.read(self._limits.file_bytes + 1)
        except PermissionError:
            return FileState(info.st_mode, unsaved(info))
        if len(data) > self._limits.file_bytes:
            return FileState(info.st_mode, unsaved(info))
        return FileState(info.st_mode, self._objects.put(data, durable=durable))

    @contextmanager
    def _reader(self) -> Iterator[Reader]:
        with ExitStack() as stack:
            git = self._git
            if git is None:
                yield Reader(self._objects, None)
                return
            env = git.environment(self._own, self._own / "index", self._objects.own)
            yield Reader(self._objects, lambda: stack.enter_context(git.batch(env, self._own)))

    def _begin(self, call_id: str, record: str) -> None:
        paths = None
        if record:
            with self._reader() as reader:
                paths = [change.path for change in decode(reader.get(record))]
        self._mark({**self._marks(), call_id: record})
        self._others.begin(call_id, paths)

    def _marks(self) -> dict[str, str]:
        with suppress(OSError, ValueError):
            found = json.loads((self._own / "open").read_text())
            return {str(name): str(record) for name, record in found.items()}
        return {}

    def _mark(self, marks: dict[str, str]) -> None:
        replace_text(self._own / "open", json.dumps(marks))

    def _left_out(self) -> dict[str, str]:
        """What is not saved, and why."""
        found, trees = dict[str, str](), tuple(self._trees.values())  # a look may go on
        for tree in trees:
            found |= {f"{name}/": "a folder that is excluded" for name in sorted(tree.excluded.copy())}
        for tree in trees:
            found |= {name: f"{size / 1e6:.1f} MB" for name, size in sorted(tree.left_out.items())}
        return found

    def _use(self) -> SnapshotUse:
        covers = self.why_not_whole or "all files of the folder, before every step that may change some"
        left_out = tuple(f"{name} ({why})" for name, why in self._left_out().items())
        return SnapshotUse(covers, left_out, size_of(self._store))

    def _news(self) -> list[str]:
        path, told = self._store / "told", set()
        with suppress(OSError, ValueError):
            told = set(json.loads(path.read_text()))
        new = {name: why for name, why in self._left_out().items() if name not in told}
        if new:
            replace_text(path, json.dumps(sorted({*told, *new})))
        return [f"{name} ({why})" for name, why in new.items()]


def store_of(home: Path, root: Path) -> Path:
    """The folder of a workspace's snapshots."""
    name = re.sub(r"[^\w.-]", "_", root.name)[:40]
    return home / "snapshots" / f"{name}-{_key(root)}"


def _key(root: Path) -> str:
    return hashlib.sha256(os.fsencode(root)).hexdigest()[:16]


def _quoted(path: Path) -> str:
    """As git reads a name in its list of other stores."""
    text = str(path)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    total, waiting = 0, [str(folder)]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                else:
                    with suppress(OSError):
                        total += entry.stat(follow_symlinks=False).st_size
    return total


def _link_or_copy(source: str, target: str) -> None:
    """Only what never changes is shared."""
    if "/objects/" in source:
        with suppress(OSError):
            os.link(source, target)
            return
    shutil.copy2(source, target)
