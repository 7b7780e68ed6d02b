"""The trust in one folder: which of its files are read, and which are left out until a person has seen them."""

import hashlib
import os
import stat
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from kimi_agent.core.errors import ConfigError
from kimi_agent.core.head import read_head
from kimi_agent.core.trust import Item, Kind, Reader, Untrusted
from kimi_agent.trust.store import changing, read_trust

HASHED = 1 << 20
"""Bytes of a file that are compared. No reader takes as many."""
KEPT, KEPT_IN_ALL = 16_384, 262_144
"""Characters of a trusted text that are kept for a later diff: of a file, and of a folder."""
MOST = 200
"""Files that are asked about at once."""


class FolderTrust:
    """Trust in `root`, by its real path, its device and inode, and the content of each file.

    `project` is the folder whose files need trust: `root`, or one around it that cannot be trusted itself. `own` are the person's
    own folders, wherever they lie. `home` is `$KIMI_HOME`; texts pass `clean` before they are shown or kept.
    """

    asks = True

    def __init__(
        self,
        home: Path,
        root: Path,
        project: Path,
        *,
        own: Sequence[Path] = (),
        obstacle: str = "",
        clean: Callable[[str], str] = lambda text: text,
    ) -> None:
        self.root, self._home, self._clean = root, home, clean
        self._bounds = {os.path.join(folder, "") for folder in (str(project), os.path.realpath(project))}  # noqa: PTH118
        self._own = tuple(os.path.join(os.path.abspath(folder), "") for folder in own)  # noqa: PTH100, PTH118
        self._left: dict[str, tuple[Path, Kind]] = {}
        self._trusted: dict[str, dict[str, Any]] | None = None
        self._obstacle = obstacle

    @property
    def left_out(self) -> Sequence[str]:
        return tuple(self._left)

    @property
    def obstacle(self) -> str:
        if not self._obstacle:
            self._known()
        return self._obstacle

    def reader(self, kind: Kind) -> Reader:
        return partial(self._read, kind)

    def _read(self, kind: Kind, path: Path | str, limit: int) -> bytes:
        if not self._concerns(path):
            return read_head(path, limit)
        name = self._name(path)
        trusted = self._known().get(name)
        if trusted is not None:
            data = read_head(path, HASHED)
            if digest_of(data) == trusted.get("sha256"):
                self._left.pop(name, None)
                return data[:limit]
        elif not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - it may be missing, which is the reader's to know
            raise ValueError("it is no file")
        self._left[name] = (Path(path), kind)
        changed = "it changed since it was trusted" if trusted is not None else "nobody has trusted it"
        raise Untrusted(f"{changed}; `kimi trust` shows it")

    def items(self) -> Sequence[Item]:
        found = []
        for name, (path, kind) in list(self._left.items())[:MOST]:
            if os.path.isabs(name):  # noqa: PTH117 - outside of what can be trusted
                continue
            try:
                data, size = read_head(path, HASHED), os.stat(path).st_size  # noqa: PTH116
            except (OSError, ValueError):
                continue
            text = self._clean(data.decode("utf-8", "replace"))
            before = None if (trusted := self._known().get(name)) is None else str(trusted.get("text", ""))
            real = os.path.realpath(path)
            leads_to = "" if real.startswith(os.path.join(os.path.realpath(self.root), "")) else real  # noqa: PTH118
            cut = trusted is not None and bool(trusted.get("cut"))
            found.append(Item(kind, name, size, digest_of(data), text, leads_to, before, cut))
        return found

    def accept(self, items: Sequence[Item]) -> None:
        if self.obstacle:
            raise ConfigError(f"{self.root} cannot be trusted: {self.obstacle}")
        device, inode = _identity(self.root)
        with changing(self._home) as folders:
            entry = folders.setdefault(str(self.root), {})
            if (entry.get("device"), entry.get("inode")) != (device, inode):
                entry.update(device=device, inode=inode, files={})
            files = entry.setdefault("files", {})
            for item in items:
                kept = sum(len(str(file.get("text", ""))) for name, file in files.items() if name != item.path)
                text = item.text[: min(KEPT, KEPT_IN_ALL - kept)]
                about = {"sha256": item.digest, "text": text, "cut": len(text) < len(item.text)}
                files[item.path] = {**files.get(item.path, {}), **about}
        self._trusted = None

    # ------------------------------------------------------------------------------------------------------------------

    def _concerns(self, path: Path | str) -> bool:
        """Whether a file is the project's: it is named as one, or really is one."""
        named = os.path.abspath(path)  # noqa: PTH100
        if named.startswith(self._own):
            return False
        return any(named.startswith(bound) or os.path.realpath(named).startswith(bound) for bound in self._bounds)

    def _name(self, path: Path | str) -> str:
        """How a file is called in the record: absolute where it is outside of what can be trusted."""
        named = os.path.abspath(path)  # noqa: PTH100
        inside = os.path.join(self.root, "")  # noqa: PTH118
        return named.removeprefix(inside)

    def _known(self) -> dict[str, dict[str, Any]]:
        """The trusted files of this very folder; none when another one has taken its place."""
        if self._trusted is None:
            self._trusted = {}
            try:
                entry = read_trust(self._home).get(str(self.root), {})
                if (entry.get("device"), entry.get("inode")) == _identity(self.root):
                    self._trusted = entry.get("files", {})
            except ConfigError as error:
                self._obstacle = error.full
            except OSError as error:
                self._obstacle = f"it cannot be looked at: {error.strerror or error}"
        return self._trusted


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _identity(folder: Path) -> tuple[int, int]:
    about = os.stat(folder)  # noqa: PTH116
    return about.st_dev, about.st_ino
