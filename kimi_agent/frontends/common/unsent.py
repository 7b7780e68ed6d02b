"""What a person wrote and did not send, kept beside the session: a program that is killed loses none of it."""

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

KEEP_S = 0.5
"""A text that is being typed is kept so many seconds after a change."""


class Unsent:
    """`unsent.json` in the session's folder: there only while there is something to keep. Nothing here ever raises."""

    def __init__(self, home: Path, session_id: str) -> None:
        self._file = home / "sessions" / session_id / "unsent.json"
        self._kept: tuple[str, ...] | None = None
        self._sealed = False

    def keep(self, texts: Sequence[str]) -> None:
        """Replace what is kept, blank texts left out."""
        kept = tuple(text for text in texts if text.strip())
        if kept == self._kept or self._sealed:
            return
        self._kept = kept
        with contextlib.suppress(OSError):  # a full disk or a read-only home: the text is on the screen still
            if not kept:
                self._file.unlink(missing_ok=True)
                return
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            part = self._file.with_suffix(".part")
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                json.dump(kept, file)
            part.replace(self._file)

    def seal(self) -> None:
        """The program ends: what empties the queue from now on sends nothing."""
        self._sealed = True

    def kept(self) -> str:
        """All of it as one text, empty when there is nothing; it stays kept until it is sent."""
        try:
            texts = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return ""
        return "\n\n".join(text for text in texts if isinstance(text, str)) if isinstance(texts, list) else ""
