"""Session files: one append-only JSONL per session, whole after kill -9, a torn line, a full disk or a second instance.

A line is one event as a JSON object whose last key is `crc`, the CRC-32 of the object without it. Lines without `crc`
(written by hand) are read as well. Damaged lines are left out and counted; a torn tail is moved to `ID.jsonl.torn`, so that
the next record is never glued to it.
"""

import asyncio
import atexit
import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_args

import msgspec
from msgspec import Struct

from kimi_agent.core.errors import SessionError
from kimi_agent.core.event import Compacted, Event, MessageAdded, SessionStarted, Titled, TurnStarted
from kimi_agent.core.redact import Redactor

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Event)
_KINDS = frozenset(kind.__struct_config__.tag for kind in get_args(Event))
_CRC = b',"crc":"'
_FIRST_WRITTEN = (TurnStarted, Compacted)  # a session without these is not worth a file
_CRC_SIZE = len(_CRC) + 8 + 2  # the key, eight hex digits, `"}`


def encode_line(event: Event) -> bytes:
    """The line of an event. Raises UnicodeEncodeError for text that is not Unicode (see `keepable`)."""
    body = _encoder.encode(event)
    return b'%s,"crc":"%08x"}\n' % (body[:-1], zlib.crc32(body))


def keepable(event: Event, redactor: Redactor) -> tuple[Event, bytes]:
    """The event as it may be kept, shown and sent, and its line: without keys and lone surrogates, which JSON cannot have."""
    try:
        line = encode_line(event)
    except UnicodeEncodeError:
        event = cast(Event, msgspec.convert(_without_surrogates(msgspec.to_builtins(event)), Event))
        line = encode_line(event)
    if redactor.finds(line):
        event = cast(Event, msgspec.convert(redactor.value(msgspec.to_builtins(event)), Event))
        line = encode_line(event)
    return event, line


def clean(text: str) -> str:
    """`text` with lone surrogates replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _without_surrogates(value: Any) -> Any:
    match value:
        case str():
            return clean(value)
        case dict():
            return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
        case list() | tuple():
            return [_without_surrogates(item) for item in value]
        case _:
            return value


def decode_line(line: bytes) -> Event | Literal["newer"] | None:
    """The event of a line, None when it is damaged; "newer" for a whole record that this version does not know."""
    checked = False
    if line[-_CRC_SIZE : -_CRC_SIZE + len(_CRC)] == _CRC:
        body = line[:-_CRC_SIZE] + b"}"
        if line[-10:-2] != b"%08x" % zlib.crc32(body):
            return None
        line, checked = body, True
    try:
        return cast(Event, _decoder.decode(line))
    except msgspec.ValidationError:
        return "newer" if checked or _is_foreign(line) else None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _is_foreign(line: bytes) -> bool:
    try:
        value = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(value, dict) and isinstance(value.get("type"), str) and value["type"] not in _KINDS


def read_events(path: Path) -> tuple[list[Event], int]:
    """All whole events of a file that this version knows, and the number of damaged lines."""
    events, damaged, _ = _read(path)
    return events, damaged


def _read(path: Path) -> tuple[list[Event], int, int]:
    """Events, and how many lines are damaged or of a newer version."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SessionError(f"cannot read the session file {path}: {error.strerror}") from None
    events: list[Event] = []
    damaged = newer = 0
    for line in data.split(b"\n"):
        if not line.strip():
            continue
        event = decode_line(line)
        if event is None:
            damaged += 1
        elif event == "newer":
            newer += 1
        else:
            events.append(event)
    return events, damaged, newer


class SessionLog:
    """The open file of one session. Holds an exclusive lock for its life, so that two instances never mix their records.

    Where the file cannot be written, events are kept in memory, and join it with the first one that can be.
    """

    def __init__(self, path: Path, events: list[Event] | None = None) -> None:
        """`events` are what the file already holds (see `open_log`). A new file is made by the first turn, not before."""
        self.path = path
        self.events: list[Event] = events if events is not None else []
        self.newer = 0  # records of a newer version that were passed over
        self.written = False  # this process has added to the file
        self._unwritten: list[bytes] = []
        self._fd = -1
        self._begun = False  # whether there is to be a file

    def _open(self) -> int:
        """Raises OSError, and SessionError when another kimi holds the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise SessionError(
                f"session {self.path.stem} is open in another kimi",
                "Close it there, or fork it: /fork in that session.",
            ) from None
        except OSError:
            pass  # a file system without locks
        return fd

    def append(self, event: Event, line: bytes | None = None) -> None:
        """Write one event (`line`: its encoding, when the caller has it).

        On failure nothing half-written stays, and the event is written with the next one.

        Raises SessionError (a full or read-only disk).
        """
        self.events.append(event)
        self._unwritten.append(line or encode_line(event))
        self._begun = self._begun or self._fd >= 0 or isinstance(event, _FIRST_WRITTEN)
        if not self._begun:
            return
        try:
            self._flush()
        except OSError as error:
            full = "make room on the disk, or " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
            raise SessionError(
                f"cannot save the session to {self.path}: {error.strerror}",
                f"Nothing is lost yet: {full}go on without it being saved.",
            ) from None

    def _flush(self) -> None:
        """Raises OSError; then the file ends where it did before."""
        if self._fd >= 0 and os.fstat(self._fd).st_nlink == 0:  # somebody deleted the file: the memory has it all
            os.close(self._fd)
            self._fd = -1
            self._unwritten = [encode_line(event) for event in self.events]
        if self._fd < 0:
            self._fd = self._open()
        data = b"".join(self._unwritten)
        start = os.fstat(self._fd).st_size
        try:
            written = 0
            while written < len(data):
                written += os.write(self._fd, data[written:])
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, start)
            raise
        self._unwritten.clear()
        self.written = True

    async def sync(self) -> None:
        """Ask the disk to keep what is written: a power cut then loses nothing that was acted on."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(os.fdatasync, self._fd)

    def lock(self) -> None:
        """Open the file and take its lock. Raises SessionError when another kimi holds it, or it cannot be opened."""
        try:
            if self._fd < 0:
                self._fd, self._begun = self._open(), True
        except OSError as error:
            raise SessionError(f"cannot open the session file {self.path}: {error.strerror}") from None

    def take_up(self) -> int:
        """Load what the file holds, and go on with it: in memory alone where it can be read but not written.

        Answers the number of damaged lines. Raises SessionError when it is open elsewhere, or cannot be read.
        """
        self._begun = True
        try:
            self._fd = self._open()
            _cut_torn_tail(self.path, self._fd)
        except OSError:
            self._unwritten.append(b"\n")  # a torn tail that is not cut off stays, as a damaged line of its own
        self.events, damaged, self.newer = _read(self.path)
        return damaged

    def close(self) -> None:
        if self._fd >= 0 and self._unwritten:
            with contextlib.suppress(OSError, SessionError):
                self._flush()
        self._begun = False
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                fcntl.flock(fd, fcntl.LOCK_UN)  # a `sync` that still runs keeps the file open for a moment
            with contextlib.suppress(OSError):
                os.close(fd)


def open_log(path: Path) -> tuple[SessionLog, int]:
    """Open an existing session for writing; answer the log (its `events` loaded) and the number of damaged lines."""
    log = SessionLog(path)
    try:
        damaged = log.take_up()
    except BaseException:
        log.close()
        raise
    if not log.events or not isinstance(log.events[0], SessionStarted):
        log.close()
        raise SessionError(f"{path} is not a kimi session, or its first line is damaged")
    return log, damaged


def _cut_torn_tail(path: Path, fd: int) -> None:
    """Raises OSError when what is torn can neither be kept elsewhere nor be cut off."""
    data = path.read_bytes()
    if not data or data.endswith(b"\n"):
        return
    tail = data[data.rfind(b"\n") + 1 :]
    if decode_line(tail) is not None and tail.endswith(b"}"):
        os.write(fd, b"\n")  # only the line end is missing
        return
    with (path.parent / f"{path.name}.torn").open("ab") as torn:
        torn.write(tail + b"\n")
    os.ftruncate(fd, len(data) - len(tail))


class SessionInfo(Struct, frozen=True):
    """A line of a session list. `updated` is seconds since 1970."""

    id: str
    cwd: str
    title: str
    first_prompt: str
    updated: float
    size: int
    path: Path


class SessionStore:
    """The sessions of one `$KIMI_HOME`. Files are `sessions/ID.jsonl`; `sessions/ID/` holds whole tool outputs."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "sessions"

    def new_id(self) -> str:
        return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"

    def path(self, session_id: str) -> Path:
        """The file of a session. Raises SessionError for an unknown id; a unique beginning of an id is enough."""
        if session_id and "/" not in session_id and "\0" not in session_id and not session_id.startswith("."):
            exact = self.folder / f"{session_id}.jsonl"
            if exact.exists():
                return exact
            matches = [path for path in self._files() if path.name.startswith(session_id)]
            if len(matches) == 1:
                return matches[0]
            if matches:
                raise SessionError(f"{len(matches)} sessions begin with {session_id!r}", "Give more of the id.")
        raise SessionError(f"there is no session {session_id!r}", "`kimi sessions list` shows what there is.")

    def scratch(self, session_id: str) -> Path:
        return self.folder / session_id

    def workroom(self, session_id: str) -> Path:
        """The scratch folder; where nothing can be written there, one that ends with this process."""
        folder = self.scratch(session_id)
        above = next(parent for parent in folder.parents if os.path.exists(parent))  # noqa: PTH110 - a closed one is none
        if os.access(above, os.W_OK | os.X_OK):
            return folder
        import tempfile  # a read-only home is rare

        for place in (os.environ.get("XDG_RUNTIME_DIR"), None):
            with contextlib.suppress(OSError):
                made = tempfile.mkdtemp(prefix="kimi-", dir=place or None)
                atexit.register(shutil.rmtree, made, ignore_errors=True)
                return Path(made)
        return folder

    def create(self, session_id: str) -> SessionLog:
        return SessionLog(self.folder / f"{session_id}.jsonl")

    def open(self, session_id: str) -> tuple[SessionLog, int]:
        return open_log(self.path(session_id))

    def read(self, session_id: str) -> Sequence[Event]:
        return read_events(self.path(session_id))[0]

    def delete(self, session_id: str) -> None:
        """Remove a session for good. Raises SessionError when it is unknown or open."""
        path = self.path(session_id)
        log = SessionLog(path)
        log.lock()
        log.close()
        path.unlink()
        (self.folder / f"{path.name}.torn").unlink(missing_ok=True)
        shutil.rmtree(self.scratch(path.stem), ignore_errors=True)
        self._delete_snapshots(path.stem)

    def _delete_snapshots(self, session_id: str) -> None:
        """The files that a session has saved; and with the last session of a workspace what its sessions have in common."""
        for saved in self.folder.parent.glob(f"snapshots/*/sessions/{session_id}"):
            shutil.rmtree(saved, ignore_errors=True)
            with contextlib.suppress(OSError):
                saved.parent.rmdir()  # another session has something in it
                shutil.rmtree(saved.parent.parent, ignore_errors=True)

    def list(self, cwd: Path | None = None) -> Sequence[SessionInfo]:
        """Newest first; those of one folder when `cwd` is given. Sessions without a prompt are left out."""
        infos = (self._info(path) for path in self._files())
        found = [info for info in infos if info and (cwd is None or info.cwd == clean(str(cwd)))]
        return sorted(found, key=lambda info: (info.updated, info.id), reverse=True)

    def search(self, text: str) -> Iterator[tuple[SessionInfo, str]]:
        """Sessions that hold `text` (case does not matter) in a message, newest first, with the line that matched."""
        needle = text.casefold()
        for info in self.list():
            for event in read_events(info.path)[0]:
                if isinstance(event, MessageAdded) and (line := _matching_line(event, needle)):
                    yield info, line
                    break

    def _files(self) -> Sequence[Path]:
        return sorted(self.folder.glob("*.jsonl")) if self.folder.is_dir() else []

    def _info(self, path: Path) -> SessionInfo | None:
        try:
            data, stat = path.read_bytes(), path.stat()
        except OSError:
            return None
        head = data.split(b"\n", 40)[:40]
        lines = (decode_line(line) for line in head if line.strip())
        events = [event for event in lines if event is not None and event != "newer"]
        if not events or not isinstance(events[0], SessionStarted):
            return None
        prompts = (e.message for e in events if isinstance(e, MessageAdded) and e.message.role == "user")
        prompt = next((message.text for message in prompts if message.origin == "person"), "")
        if not prompt and len(head) < 3:
            return None
        title = _last_title(data) or " ".join(prompt.split())[:80]
        return SessionInfo(path.stem, events[0].cwd, title, prompt, stat.st_mtime, stat.st_size, path)


def _last_title(data: bytes) -> str:
    at = data.rfind(b'{"type":"titled"')
    if at < 0 or (at and data[at - 1 : at] != b"\n"):
        return ""
    event = decode_line(data[at:].split(b"\n", 1)[0])
    return event.title if isinstance(event, Titled) else ""


def _matching_line(event: MessageAdded, needle: str) -> str:
    texts = [event.message.text, *(call.arguments for call in event.message.calls)]
    if result := event.message.result:
        texts += [part.text for part in result.content if hasattr(part, "text")]
    for text in texts:
        if needle in text.casefold():
            return next((line.strip() for line in text.splitlines() if needle in line.casefold()), text.strip())[:200]
    return ""
