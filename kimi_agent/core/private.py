"""Which files are kept from the model: those whose names tell of keys, and those that `.kimiignore` names.

One policy for file tools, searches, mentions and the proof that a command only reads.
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from kimi_agent.core.ignore import Rule, parse_rules, verdict
from kimi_agent.core.secret import is_secret_path

FILE = ".kimiignore"
_BYTES = 256_000


class Private:
    """The policy of one session. Paths given are absolute and real.

    `folders` are those whose `.kimiignore` holds, for what lies in them (`""`: for every path). Its lines are those of
    .gitignore; a `!` line takes back an earlier line, never what the name of a file tells.
    """

    def __init__(self, folders: Sequence[tuple[Path, str]] = ()) -> None:
        """Pairs of the folder that holds a `.kimiignore`, and the one that its lines are relative to."""
        self._files = [_IgnoreFile(folder / FILE, base) for folder, base in folders]

    def __call__(self, path: str) -> bool:
        return is_secret_path(path) or self.ignores(path)

    def ignores(self, path: str) -> bool:
        return any(file.ignores(path) for file in self._files)

    @property
    def names_more(self) -> bool:
        """Whether a `.kimiignore` says anything."""
        return any(file.rules() for file in self._files)


class _IgnoreFile:
    """Read again whenever it has changed."""

    def __init__(self, path: Path, base: str) -> None:
        self._path, self._base = path, base
        self._seen: tuple[int, int, int] | None = None
        self._rules: list[Rule] = []

    def rules(self) -> list[Rule]:
        try:
            found = os.stat(self._path)  # noqa: PTH116 - half the time of Path.stat, and asked for every path
            key = (found.st_ino, found.st_mtime_ns, found.st_size)
            if key != self._seen:
                text = self._path.read_bytes()[:_BYTES] if stat.S_ISREG(found.st_mode) else b""
                self._rules, self._seen = parse_rules(text.decode("utf-8", "replace")), key
        except OSError:
            self._rules, self._seen = [], None
        return self._rules

    def ignores(self, path: str) -> bool:
        rules = self.rules()
        base = self._base.rstrip("/") + "/"
        if not rules or not path.startswith(base):
            return False
        names = path[len(base) :].split("/")
        folders = range(1, len(names))  # what lies in a folder that is left out is left out
        if any(verdict(rules, "/".join(names[:end]), is_dir=True) for end in folders):
            return True
        return bool(verdict(rules, "/".join(names), is_dir=Path(path).is_dir()))
