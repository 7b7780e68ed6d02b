"""Where a tool works: the local disk, an IDE over ACP, a container, an SSH host. Tools touch files and processes only here."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from kimi_agent.core.access import NO_MORE, Access
from kimi_agent.core.record import Record


class Stat(Record):
    """Identity of a file's content at one moment. `key` changes whenever the file may have changed."""

    size: int
    is_dir: bool
    key: str
    mtime: float = 0.0


class Exit(Record):
    """How a process ended. `code` is None when it was killed; `timed_out` says that the deadline did it.

    `left_running` says that a background child still holds the output (it goes on running). `refused` are the requests for the
    net that the box did not let through; `read_only`: it could write nothing but temporary files, as nobody trusts the folder.
    """

    code: int | None
    timed_out: bool = False
    left_running: bool = False
    refused: tuple[str, ...] = ()
    read_only: bool = False


REPORTS = "reports"
"""The folder in a session's scratch folder that processes in the box may write."""


class Workspace(Protocol):
    """Paths given to these methods are absolute and real: they come from `resolve`.

    Raises WorkspaceError (a ToolError, worded for the model) for what a model can mend: a missing file, a folder where a
    file is expected, no permission, a full disk.
    """

    root: Path
    extra_roots: tuple[Path, ...]

    def resolve(self, path: str) -> Path:
        """`path` as written by the model (relative to `root`, or absolute, `~` expanded), symlinks resolved."""
        ...

    def contains(self, path: Path) -> bool:
        """Whether `path` lies in `root` or an extra root."""
        ...

    async def stat(self, path: Path) -> Stat | None:
        """None when there is nothing at `path`."""
        ...

    async def read(self, path: Path, limit: int | None = None, offset: int = 0) -> bytes:
        """At most `limit` bytes from `offset` on; fewer only at the end of the file. Only regular files are read."""
        ...

    async def write(self, path: Path, data: bytes, expect: Stat | None) -> Stat:
        """Replace the content atomically, keep mode and ownership, make missing parents; answer the new stat.

        `expect` is the file's stat that the caller decided on, None for "there is no such file". Raises StaleFileError
        when the file is not in that state any more.
        """
        ...

    async def list(self, path: Path) -> Sequence[Path]: ...

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
        """Run a process to its end: `stdin` and then its end on stdin, stdout and stderr merged into `on_output` as they come.

        `access` is what a person granted this one process beyond the workspace's box. `descriptors` of this program are kept
        open in it; their numbers there are in its variable `KIMI_DESCRIPTORS`, in this order, with spaces.

        On timeout (`math.inf`: there is none) and on cancellation the whole process group is killed. Returns at the
        process's own exit, even when a background child still holds the pipe. `env` is added to the workspace's own
        environment.
        """
        ...

    async def aclose(self) -> None:
        """End what processes have left running."""
        ...
