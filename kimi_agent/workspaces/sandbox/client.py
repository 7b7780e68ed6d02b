"""This program's end of a zygote: start it, ask it for processes, end it. Blocking calls, for a thread of their own."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from kimi_agent.core.access import BoxError
from kimi_agent.workspaces.sandbox.bwrap import bwrap_command
from kimi_agent.workspaces.sandbox.child import encoded
from kimi_agent.workspaces.sandbox.profile import Profile
from kimi_agent.workspaces.sandbox.wire import receive, send

_ROOM = str(Path(__file__).parents[3])
_BOOT = (
    f"import sys; sys.path.append({_ROOM!r}); from kimi_agent.workspaces.sandbox.zygote import main; main(sys.argv[1:])"
)
"""Our package comes last on the path of a fresh interpreter: nothing of it, or beside it, stands in for the standard library."""
_NOBODY = (
    1 << 22
) + 1  # above PID_MAX_LIMIT: -1 and 0, which Linux says then, would mean everybody to who sends a signal
_ANSWER_S = 20.0  # a zygote that says nothing for so long is ended


class Zygote:
    """One zygote of a rung. `profile` is what R2 builds its one view from; the others take a profile per command.

    `folder` is the box's own, see `lay_out`; the zygote `removes` it at its end. Raises BoxError.
    """

    def __init__(self, rung: str, folder: Path, profile: Profile, *, removes: bool = False) -> None:
        self._lock = threading.Lock()
        self._held = _folders(profile) if rung == "R2" else []
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(_ANSWER_S)
        with tempfile.TemporaryFile() as trouble:
            try:
                self._process = _launch(rung, folder, profile, theirs.fileno(), trouble, removes=removes)
            except OSError as error:
                self._socket.close()
                raise BoxError(f"the zygote does not start: {error}") from error
            finally:
                theirs.close()
            try:
                self._receive()
            except BaseException as error:
                self.close()
                if said := _said(trouble):
                    raise BoxError(said) from error
                raise

    def start(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        profile: Profile,
        stdin: int,
        output: int,
        errors: int | None = None,
        kept: Sequence[int] = (),
    ) -> tuple[int, int]:
        """Run `argv`; answers the process id of its supervisor, and where that reports (see `child.supervise`).

        `errors` is its stderr, `output` when there is none; `kept` are what it has from descriptor 3 on, 12 at most.
        Raises BoxError, or ValueError for what cannot be an argument list.
        """
        words = [_word(word) for word in argv]
        named = {_word(name): _word(value) for name, value in env.items()}
        request = encoded(words, named, _word(os.fspath(cwd)), profile, errors=errors is not None)
        report, theirs = os.pipe()
        try:
            with self._lock:
                pidfd = self._ask(request, [stdin, output, theirs, *([] if errors is None else [errors]), *kept])
        except BaseException:
            os.close(report)
            raise
        finally:
            os.close(theirs)
        try:
            return _process_of(pidfd), report
        finally:
            os.close(pidfd)

    def listen(self) -> socket.socket:
        """A socket that listens on the box's own loopback, to be accepted from here. Raises BoxError."""
        with self._lock:
            descriptor = self._ask(b'{"listen": true}', [])
        return socket.socket(fileno=descriptor)

    def close(self) -> None:
        """End the zygote and everything that it started."""
        with contextlib.suppress(OSError):
            self._socket.close()
        for descriptor in self._held:
            os.close(descriptor)
        self._held = []
        try:
            self._process.wait(_ANSWER_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, request: bytes, descriptors: list[int]) -> int:
        try:
            send(self._socket, request, descriptors)
        except OSError as error:
            raise BoxError(f"the zygote has ended ({error.strerror or error})") from error
        found = self._receive()
        if len(found) != 1:
            raise BoxError("the zygote gave no process")
        return found[0]

    def _receive(self) -> list[int]:
        try:
            message, descriptors = receive(self._socket)
        except OSError as error:
            raise BoxError(f"the zygote does not answer ({error.strerror or error})") from error
        if message is None:
            raise BoxError("the zygote has ended")
        if "error" in message:
            raise BoxError(str(message["error"]))
        return descriptors


def _launch(
    rung: str, folder: Path, profile: Profile, number: int, trouble: IO[bytes], *, removes: bool
) -> "subprocess.Popen[bytes]":
    python = [sys.executable, "-I", "-S", "-X", "utf8", "-c", _BOOT]
    end = [str(number), rung, str(folder)]
    inner = bwrap_command(profile, folder, [*python, "zygote", *end]) if rung == "R2" else []
    return subprocess.Popen(
        [*python, "janitor", *end, str(folder) if removes else "", profile.encoded(), *inner],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=trouble,
        cwd="/",
        env={"PATH": os.defpath},
        pass_fds=(number,),
        start_new_session=True,
    )


def _folders(profile: Profile) -> list[int]:
    """Descriptors of the writable folders of a view: while they are open no other folder gets the number of one that has gone."""
    found = []
    for path in profile.writable:
        with contextlib.suppress(OSError):
            found.append(os.open(path, os.O_PATH | os.O_CLOEXEC))
    return found


def _said(trouble: IO[bytes]) -> str:
    """The last line of what a zygote, or bwrap, wrote before it ended."""
    trouble.seek(0)
    lines = trouble.read(1 << 16).decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:300] if lines else ""


def lay_out(folder: Path) -> None:
    """Make the box's own folder: `tmp` for temporary files, `nothing` to stand for what is hidden. Raises BoxError."""
    try:
        for path, mode in (
            (folder, 0o700),
            (folder / "tmp", 0o700),
            (folder / "nothing", 0o755),
            (folder / "nothing/folder", 0),
        ):
            path.mkdir(mode, exist_ok=True)
        (folder / "nothing/file").touch(0)
    except OSError as error:
        raise BoxError(f"there is no place for temporary files: {error}") from error


def _word(text: str) -> str:
    """Text as the zygote takes it, whose encoding is UTF-8. Raises ValueError."""
    if "\0" in text:
        raise ValueError("embedded null byte")
    return os.fsencode(text).decode("utf-8", "surrogateescape")


def _process_of(pidfd: int) -> int:
    """The number of a process here, which in the zygote's namespace has another; that of nobody when it has ended already."""
    for line in Path(f"/proc/self/fdinfo/{pidfd}").read_text().splitlines():
        if line.startswith("Pid:"):
            return int(line.split()[1]) if int(line.split()[1]) > 0 else _NOBODY
    return _NOBODY
