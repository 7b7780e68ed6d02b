"""What the session files of a home hold, read once for a list of them: titles, sizes, models, and what was said."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from kimi_agent.agent.store import clean, decode_line
from kimi_agent.core import event as ev
from kimi_agent.core.message import Message

MAX_TEXT = 50_000
"""Characters of what was said that are kept of a session for a search: its beginning and its end."""

_TURN, _MODEL, _TITLE = b'{"type":"turn_started"', b'{"type":"model_changed"', b'{"type":"titled"'
_REWOUND, _REDONE = b'{"type":"rewound"', b'{"type":"redone"'
_SAID = b'{"type":"message_added","message":{"type":"message","role":'
_WANTED = (_TURN, _MODEL, _TITLE, _REWOUND, _REDONE, _SAID + b'"user"', _SAID + b'"assistant"')
_CRC = b',"crc":"'


class Found(Struct):
    """A session file. `updated` is seconds since 1970, `size` bytes. `broken` says why it cannot be opened.

    `said` is what the person and the model have said, with small letters.
    """

    id: str
    path: Path
    updated: float
    size: int
    cwd: str = ""
    title: str = ""
    model: str = ""
    turns: int = 0
    prompt: str = ""
    broken: str = ""
    said: str = ""

    @property
    def label(self) -> str:
        return self.title or " ".join(self.prompt.split())[:80] or self.id


class Catalog:
    """The sessions of a folder of session files, newest first. `read` runs in a thread; the others answer what it has by now."""

    def __init__(self, folder: Path, cwd: Path | None = None) -> None:
        """With `cwd`, sessions of other working folders are left out."""
        self._folder, self._cwd = folder, cwd and clean(str(cwd))
        self._found: list[Found] = []
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def read(self) -> None:
        """Read all files, the newest first. A file that vanishes or cannot be read meanwhile costs nothing else."""
        for updated, size, path in sorted(self._files(), reverse=True):
            if self._stopped.is_set():
                return
            found = read_session(path, updated, size)
            if found is not None and (found.broken or self._cwd in (None, found.cwd)):
                with self._lock:
                    self._found.append(found)

    def stop(self) -> None:
        self._stopped.set()

    def all(self) -> Sequence[Found]:
        with self._lock:
            return list(self._found)

    def get(self, session_id: str) -> Found | None:
        return next((found for found in self.all() if found.id == session_id), None)

    def forget(self, session_id: str) -> None:
        with self._lock:
            self._found = [found for found in self._found if found.id != session_id]

    def search(self, text: str) -> list[str]:
        """Ids of the sessions in which every word of `text` was said, or stands in the title or the folder."""
        words = text.casefold().split()
        return [
            found.id
            for found in self.all()
            if all(word in found.said or word in f"{found.label} {found.cwd} {found.id}".casefold() for word in words)
        ]

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        for path in self._folder.glob("*.jsonl"):
            try:
                stat = path.stat()
            except OSError:
                continue
            yield stat.st_mtime, stat.st_size, path


def read_session(path: Path, updated: float, size: int) -> Found | None:
    """What a session file holds; None for a session in which nothing was said."""
    found = Found(path.stem, path, updated, size)
    try:
        with path.open("rb") as file:
            _read_lines(found, file)
    except OSError as error:
        found.broken = f"cannot be read: {error.strerror}"
    return found if found.broken or found.turns or found.prompt else None


def _read_lines(found: Found, lines: Iterator[bytes]) -> None:
    first = next(lines, b"")
    started = decode_line(first.rstrip(b"\n"))
    if not isinstance(started, ev.SessionStarted):
        found.broken = "the first line is damaged" if first else "the file is empty"
        return
    found.cwd, found.model = started.cwd, started.model
    begin: list[str] = []
    end: list[str] = []
    room = MAX_TEXT // 2
    by_hand = _CRC not in first  # its records may be written in other ways
    for line in lines:
        if not by_hand and not line.startswith(_WANTED):
            continue
        event = decode_line(line.rstrip(b"\n"))
        if not isinstance(event, ev.MessageAdded):
            _note(found, event)
            continue
        if text := _said(event.message):
            if not found.prompt and event.message.role == "user":
                found.prompt = text[:1000]
            if room > 0:
                begin.append(text[:room])
                room -= len(text)
            else:
                end = [*end[-200:], text[-MAX_TEXT // 2 :]]
    found.said = "\n".join((*begin, "\n".join(end)[-MAX_TEXT // 2 :])).casefold()


def _note(found: Found, event: object) -> None:
    match event:
        case ev.TurnStarted():
            found.turns += 1
        case ev.Rewound(turns=turns, compaction=False):
            found.turns = max(0, found.turns - turns)
        case ev.Redone(turns=turns):
            found.turns += turns
        case ev.Titled(title):
            found.title = " ".join(title.split())
        case ev.ModelChanged(model):
            found.model = model
        case _:
            pass


def _said(message: Message) -> str:
    """The words of a person or a model; empty for what the program said."""
    if message.role == "user" and message.origin != "person":
        return ""
    return message.text if message.role in ("user", "assistant") else ""
