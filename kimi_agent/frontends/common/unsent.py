"""What a person wrote and did not send, kept for the next start: a program that is killed loses none of it."""

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

KEEP_S = 0.5
"""A text that is being typed is kept so many seconds after a change."""


class Unsent:
    """`unsent.json` in the session's folder: there only while there is something to keep. Nothing here ever raises.

    Before its first turn there is no session that one could go on with. What is written then is a draft of the folder
    `cwd`, which the next session that begins there takes over, once the program that kept it is gone. `hide` takes the keys out.
    """

    def __init__(self, home: Path, session_id: str, cwd: Path, hide: Callable[[str], str] = str) -> None:
        digest = hashlib.md5(str(cwd).encode(errors="surrogateescape"), usedforsecurity=False).hexdigest()
        self._hide = hide
        self._log = home / "sessions" / f"{session_id}.jsonl"
        self._file = home / "sessions" / session_id / "unsent.json"
        self._draft = home / "drafts" / digest / f"{secrets.token_hex(8)}.json"
        self._lock = -1  # on the draft: who has it lives
        self._kept: tuple[str, ...] | None = None
        self._begun = False
        self._sealed = False

    def keep(self, texts: Sequence[str]) -> None:
        """Replace what is kept, blank texts left out."""
        kept, begun = tuple(text for text in texts if text.strip()), self._log.exists()
        if (kept, begun) == (self._kept, self._begun) or self._sealed:
            return
        self._kept, self._begun = kept, begun
        with contextlib.suppress(OSError):  # a full disk or a read-only home: the text is on the screen still
            if kept:
                self._write(self._file if begun else self._draft, kept)
            else:
                self._file.unlink(missing_ok=True)
            if begun or not kept:
                self._drop_draft()

    def seal(self) -> None:
        """The program ends: what empties the queue from now on sends nothing."""
        self._sealed = True

    def kept(self) -> str:
        """All of it as one text, empty when there is nothing; it stays kept until it is sent."""
        texts = _texts(self._file)
        if not self._log.exists():
            for draft in sorted(self._draft.parent.glob("*.json")):
                self._take_over(draft, texts)
        return "\n\n".join(texts)

    def _take_over(self, draft: Path, texts: list[str]) -> None:
        """Add what a program that is gone has left in `draft`, and keep it here instead."""
        with contextlib.suppress(OSError), draft.open("r+b") as left:
            fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a program that lives has it
            if os.fstat(left.fileno()).st_ino == draft.stat().st_ino:  # and has not written it anew meanwhile
                texts += _texts(draft)
                self.keep(texts)
                draft.unlink()

    def _write(self, file: Path, texts: Sequence[str]) -> None:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = file.with_suffix(".part")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", closefd=False) as written:
                json.dump([self._hide(text) for text in texts], written)
            if file == self._draft:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            part.replace(file)
            if file == self._draft:
                self._lock, descriptor = descriptor, self._lock
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _drop_draft(self) -> None:
        if self._lock >= 0:
            self._draft.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = -1


def _texts(file: Path) -> list[str]:
    try:
        texts = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return []
    return [text for text in texts if isinstance(text, str)] if isinstance(texts, list) else []
