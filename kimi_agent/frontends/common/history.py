"""What was typed before, per folder: one JSON line per entry under `$KIMI_HOME/user-history`."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from kimi_agent.core.sanitize import plain

LIMIT = 1000
"""Entries kept in memory."""
BLOCK, TAIL = 1 << 16, 1 << 23
"""Bytes of the file that are read first, and about as many as are read at most."""
FOUND = 50
"""Entries that a search answers at most."""


class PromptHistory:
    """Entries of one folder, oldest first. The file is shared by all sessions there, each line appended in one write."""

    def __init__(self, folder: Path, home: Path, hide: Callable[[str], str] = str) -> None:
        """`hide` takes the keys out of what is stored."""
        digest = hashlib.md5(str(folder).encode(), usedforsecurity=False).hexdigest()
        self.path = home / "user-history" / f"{digest}.jsonl"
        self._hide = hide
        self.entries = self._load()
        self._position = len(self.entries)
        self._draft = ""

    def add(self, text: str) -> None:
        """Remember a text; one like the last entry is not stored twice. A disk that cannot be written is no error here."""
        if text.strip() and self.entries[-1:] != [text]:
            self.entries = [*self.entries, text][-LIMIT:]
            with contextlib.suppress(OSError):
                self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
                with os.fdopen(descriptor, "r+b", buffering=0) as file:
                    end = file.seek(0, os.SEEK_END)
                    torn = end > 0 and os.pread(descriptor, 1, end - 1) != b"\n"  # a line that a crash cut short
                    line = json.dumps({"content": self._hide(text)}, ensure_ascii=False).encode(errors="replace")
                    file.write((b"\n" if torn else b"") + line + b"\n")
        self._position, self._draft = len(self.entries), ""

    def older(self, draft: str) -> str | None:
        """The entry before the one shown; `draft` comes back at the end of `newer`. None at the oldest."""
        if self._position == len(self.entries):
            self._draft = draft
        if self._position == 0:
            return None
        self._position -= 1
        return self.entries[self._position]

    def newer(self) -> str | None:
        """The entry after the one shown, at last the draft. None when the draft is shown already."""
        if self._position == len(self.entries):
            return None
        self._position += 1
        return self._draft if self._position == len(self.entries) else self.entries[self._position]

    def search(self, query: str) -> list[str]:
        """The entries that hold every word of `query`, in any case; the newest first, each once."""
        words = query.lower().split()
        return [text for text in dict.fromkeys(reversed(self.entries)) if all(word in text.lower() for word in words)][
            :FOUND
        ]

    def _load(self) -> list[str]:
        """The last entries; what is no entry is passed over."""
        entries: list[str] = []
        for line in _last_lines(self.path):
            with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
                if isinstance(content := json.loads(line)["content"], str):
                    entries.append(plain(content))
        return entries


def _last_lines(path: Path) -> list[bytes]:
    """At most `LIMIT` whole lines and `TAIL` bytes from a file's end: an old history must not slow the start."""
    try:
        if not path.is_file():
            return []
        with path.open("rb") as file:
            end = start = file.seek(0, os.SEEK_END)
            raw = b""
            while start > 0 and raw.count(b"\n") <= LIMIT and end - start < TAIL:
                size = min(start, max(BLOCK, len(raw)), TAIL)
                start -= size
                file.seek(start)
                raw = file.read(size) + raw
    except OSError:
        return []
    lines = raw.split(b"\n")
    return (lines[1:] if start > 0 else lines)[-LIMIT - 1 :]
