"""git as a store of files, and nothing else: no configuration, no hook, no filter and no attribute of anybody is heard.

It runs in the box, with a view of its own: all can be read (a snapshot saves what is hidden from commands, too), nothing but its
own folder written, and nobody reached.

Its folder is ours (GIT_DIR), its index is ours; the repository that a workspace may be is never looked at. Only plumbing runs.
"""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from kimi_agent.core.access import BoxError
from kimi_agent.core.errors import SnapshotError
from kimi_agent.processes.watcher import watcher
from kimi_agent.workspaces.piped import Piped, start_piped

if TYPE_CHECKING:
    from kimi_agent.workspaces.sandbox.box import Box

TIMEOUT_S = 600.0
"""For one run of git; the first one reads the whole workspace."""
_CONFIG = """\
[core]
\trepositoryFormatVersion = 0
\tbare = false
\tattributesFile = /dev/null
\tcompression = 1
\tfileMode = true
\tfsmonitor = false
\tfsyncMethod = batch
\thooksPath = /dev/null
\tignoreCase = false
\tpreloadIndex = true
\tprecomposeUnicode = false
\tprotectHFS = false
\tprotectNTFS = false
\tsymlinks = true
\tuntrackedCache = false
"""
_ATTRIBUTES = "* -text -eol -crlf -ident -filter -working-tree-encoding\n"
"""Stronger than every .gitattributes: the bytes of a file are saved as they are, and no program is asked about them."""


def find_git(roots: Sequence[Path]) -> str | None:
    """The git of the PATH; one that lies in a workspace is none."""
    for name in os.environ.get("PATH", os.defpath).split(os.pathsep):
        folder = Path(os.path.realpath(name))
        inside = any(folder.is_relative_to(root) for root in roots)
        if name.startswith("/") and not inside and os.access(folder / "git", os.X_OK) and (folder / "git").is_file():
            return str(folder / "git")
    return None


def prepare(folder: Path) -> None:
    """Make `folder` a GIT_DIR, as far as it is none. Raises OSError."""
    for name in ("objects", "refs", "info", "sessions"):
        (folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, text in (("config", _CONFIG), ("info/attributes", _ATTRIBUTES), ("HEAD", "ref: refs/heads/none\n")):
        path = folder / name
        if not path.is_file() or path.read_text() != text:
            replace_text(path, text)
    for path in (folder / "objects" / "pack").glob("tmp_*"):  # of a git that was killed
        with suppress(OSError):
            if path.stat().st_mtime < time.time() - 2 * TIMEOUT_S:
                path.unlink()


def replace_text(path: Path, text: str) -> None:
    """Whole or not at all. Raises OSError."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.new")
    temporary.write_text(text)
    temporary.replace(path)


class Git:
    """Runs git on behalf of one session. Its methods block; `kill` may be called from any thread, and is for good."""

    def __init__(self, program: str, folder: Path, box: "Box | None" = None) -> None:
        self._program, self._folder, self._box = program, folder, box
        self._running: set[Piped] = set()
        self._closed = False

    def environment(self, tree: Path, index: Path, objects: Path) -> dict[str, str]:
        return {
            "PATH": str(Path(self._program).parent),
            "HOME": str(self._folder),
            "LC_ALL": "C",
            "GIT_DIR": str(self._folder),
            "GIT_WORK_TREE": str(tree),
            "GIT_INDEX_FILE": str(index),
            "GIT_OBJECT_DIRECTORY": str(objects),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_TERMINAL_PROMPT": "0",
        }

    def start(self, args: Sequence[str | bytes], env: dict[str, str], cwd: Path) -> Piped:
        """Raises SnapshotError."""
        from kimi_agent.workspaces.sandbox.profile import Profile

        try:
            profile = Profile(writable=[os.path.realpath(self._folder)], sockets=False)
            child = start_piped([self._program, *args], env, cwd, self._box, profile)
        except OSError as error:
            raise SnapshotError(f"git does not run: {error.strerror}") from None
        except BoxError as error:
            raise SnapshotError(f"git does not run: {error}") from None
        self._running.add(child)
        watcher().started(child.pid)
        if self._closed:
            self._forget(child)
            raise SnapshotError("the session is closing")
        return child

    def finish(self, child: Piped, data: bytes = b"") -> bytes:
        """What it prints. Raises SnapshotError when it fails."""
        try:
            out, said = child.talk(data, TIMEOUT_S)
        except TimeoutError:
            raise SnapshotError(f"git took longer than {TIMEOUT_S:.0f} s") from None
        except OSError as error:
            raise SnapshotError(f"git does not run: {error.strerror}") from None
        finally:
            self._forget(child)
        if child.returncode:
            words = said.decode("utf-8", "replace").strip().splitlines() or [f"exit code {child.returncode}"]
            raise SnapshotError("the session is closing" if self._closed else f"git: {words[-1]}")
        return out

    def run(self, args: Sequence[str | bytes], env: dict[str, str], cwd: Path, data: bytes = b"") -> bytes:
        return self.finish(self.start(args, env, cwd), data)

    @contextmanager
    def batch(self, env: dict[str, str], cwd: Path) -> Iterator[Piped]:
        """`cat-file --batch`, to be asked for one object after the other."""
        child = self.start(["cat-file", "--batch"], env, cwd)
        try:
            yield child
        finally:
            self._forget(child)

    def _forget(self, child: Piped) -> None:
        child.end()
        watcher().ended(child.pid)
        self._running.discard(child)

    def kill(self) -> None:
        self._closed = True
        for child in list(self._running):
            child.kill()
