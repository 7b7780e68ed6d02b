"""The local disk as a workspace."""

import asyncio
import os
import stat as stat_module
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kimi_agent.core.access import NO_MORE, Access
from kimi_agent.core.errors import WorkspaceError
from kimi_agent.core.workspace import REPORTS, Exit, Stat
from kimi_agent.workspaces.replace import key_of, replace_file
from kimi_agent.workspaces.trouble import worded

if TYPE_CHECKING:
    from kimi_agent.workspaces.sandbox.box import Box

_INLINE = 1 << 16
"""Bytes up to which a read is quicker than the thread that would do it."""


_STREAMS = frozenset(
    {"/proc/kmsg", "/sys/kernel/tracing/trace_pipe", "/sys/kernel/debug/tracing/trace_pipe", "/proc/acpi/event"}
)
"""Regular files by their looks, pipes by their nature."""


class LocalWorkspace:
    """Files and processes of this machine, as the user who runs the program. Holds no lock and no open file.

    `box` is what processes run in, None for no box; `scratch` is the session's own folder, of which
    they may read all and write `reports`. While `is_read_only`, they write nothing else. `passed` are variables that they get
    although they are on no list (see core/environment.py).
    """

    def __init__(
        self,
        root: Path,
        extra_roots: Iterable[Path] = (),
        *,
        box: "Box | None" = None,
        scratch: Path | None = None,
        is_read_only: Callable[[], bool] = lambda: False,
        passed: Sequence[str] = (),
    ) -> None:
        self._box, self._scratch, self._is_read_only, self._passed = box, scratch, is_read_only, tuple(passed)
        self._mark = ""  # of all that was run here, once something was
        self.reports = scratch / REPORTS if scratch is not None else None
        self.root = Path(os.path.realpath(root))
        self.extra_roots = tuple(Path(os.path.realpath(path)) for path in extra_roots)

    def resolve(self, path: str) -> Path:
        """Raises WorkspaceError for what cannot be a path at all."""
        if not path or "\0" in path:
            raise WorkspaceError("The path is empty." if not path else "The path contains a NUL character.")
        try:
            os.fsencode(path)
        except UnicodeEncodeError:
            raise WorkspaceError("The path contains a character that no file name can have.") from None
        expanded = os.path.expanduser(path) if path.startswith("~") else path  # noqa: PTH111 - Path would raise for ~nobody
        real = Path(os.path.realpath(self.root / expanded))
        return (_by_shown_name(real) or real) if "\ufffd" in path else real

    def contains(self, path: Path) -> bool:
        return any(path.is_relative_to(root) for root in (self.root, *self.extra_roots))

    async def stat(self, path: Path) -> Stat | None:
        """Raises WorkspaceError when the path cannot be looked at."""
        with worded(path, self.root):
            try:
                return _stat_of(path.stat())
            except FileNotFoundError:
                return None

    async def read(self, path: Path, limit: int | None = None, offset: int = 0) -> bytes:
        with worded(path, self.root):
            if (path.stat().st_size if limit is None else limit) <= _INLINE:
                return _read(path, limit, offset)
            return await asyncio.to_thread(_read, path, limit, offset)

    async def write(self, path: Path, data: bytes, expect: Stat | None) -> Stat:
        """When it is cancelled the change is made whole or not at all: the thread is never cut off half way."""
        with worded(path, self.root):
            return _stat_of(await asyncio.to_thread(replace_file, path, data, expect.key if expect else None))

    async def list(self, path: Path) -> Sequence[Path]:
        """The entries of a folder, by name."""
        with worded(path, self.root):
            return sorted(path.iterdir())

    async def run(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        timeout: float,
        on_output: Callable[[bytes], None],
        stdin: bytes = b"",
        access: Access = NO_MORE,
        descriptors: Sequence[int] = (),
    ) -> Exit:
        from kimi_agent.processes.family import new_mark
        from kimi_agent.processes.watcher import watcher
        from kimi_agent.workspaces.process import run_process
        from kimi_agent.workspaces.spawn import room_of

        self._mark = self._mark or new_mark(watcher().mark)
        room = room_of(self._box, self.root, self.extra_roots, self._scratch, self._is_read_only)
        return await run_process(
            argv,
            cwd=cwd,
            env=env,
            timeout=timeout,
            on_output=on_output,
            stdin=stdin,
            room=room,
            access=access,
            passed=self._passed,
            descriptors=descriptors,
            outer=self._mark,
        )

    async def aclose(self) -> None:
        """End what commands have left running."""
        if self._mark:
            from kimi_agent.processes.family import kill_marked

            await asyncio.to_thread(kill_marked, self._mark)


def _by_shown_name(path: Path) -> Path | None:
    """The one file whose name is no UTF-8 and is shown, with its bad bytes replaced, as that of `path`, which is not there."""
    if os.path.lexists(path):
        return None
    try:
        found = [entry for entry in path.parent.iterdir() if _shown(entry) == path.name]
    except OSError:
        return None
    return Path(os.path.realpath(found[0])) if len(found) == 1 else None


def _shown(path: Path) -> str:
    return os.fsencode(path.name).decode("utf-8", "replace")


def _stat_of(found: os.stat_result) -> Stat:
    return Stat(found.st_size, stat_module.S_ISDIR(found.st_mode), key_of(found), found.st_mtime)


def _read(path: Path, limit: int | None, offset: int) -> bytes:
    """Looks before it opens, because opening a pipe waits and opening a device acts; checks again what it has opened."""
    _refuse_special(path, path.stat().st_mode)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        _refuse_special(path, os.fstat(descriptor).st_mode)
        opened = Path(f"/proc/self/fd/{descriptor}")
        if opened.is_symlink() and os.path.realpath(opened) != str(path):
            raise WorkspaceError(f"{path} is not what was opened: a part of the path has become a symbolic link.")
        if offset:
            file.seek(offset)
        if limit is None:
            return file.readall()
        pieces: list[bytes] = []
        while limit > 0 and (piece := file.read(limit)):
            pieces.append(piece)
            limit -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _refuse_special(path: Path, mode: int) -> None:
    if str(path) in _STREAMS:
        raise WorkspaceError(f"{path} is a stream of the kernel: what is read of it is gone for everybody else.")
    if stat_module.S_ISREG(mode):
        return
    if stat_module.S_ISDIR(mode):
        raise IsADirectoryError(path)
    kinds = {stat_module.S_IFIFO: "a named pipe", stat_module.S_IFSOCK: "a socket"}
    raise WorkspaceError(f"{path} is {kinds.get(stat_module.S_IFMT(mode), 'a device')}, not a regular file.")
