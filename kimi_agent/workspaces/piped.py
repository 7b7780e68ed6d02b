"""Programs of ours (git) with a pipe at each end, in the box, or, where there is none, directly. Blocking, for threads."""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from kimi_agent.core.access import BoxError
from kimi_agent.workspaces.spawn import heard_exit

if TYPE_CHECKING:
    from kimi_agent.workspaces.sandbox.box import Box, Placed
    from kimi_agent.workspaces.sandbox.profile import Profile

_CHUNK = 1 << 16


class Piped(Protocol):
    """What of `subprocess.Popen` is used. `pid` leads its session."""

    pid: int
    returncode: int | None

    @property
    def stdin(self) -> IO[bytes] | None: ...
    @property
    def stdout(self) -> IO[bytes] | None: ...

    def talk(self, data: bytes, timeout: float) -> tuple[bytes, bytes]:
        """Give it `data` and take all that it says, to both of its ends. Raises TimeoutError; NotStarted, which is an OSError."""
        ...

    def end(self) -> None:
        """Kill it, wait for that, and close the pipes."""
        ...

    def kill(self) -> None: ...


def start_piped(
    argv: Sequence[str | bytes],
    env: Mapping[str, str],
    cwd: Path,
    box: "Box | None",
    profile: "Profile",
    *,
    told: bool = True,
) -> Piped:
    """Start `argv`, in the box if there is one that holds. Raises OSError and BoxError. Not `told`: its errors go nowhere."""
    if box is None or box.prove().rung == "R0":
        return _Direct(argv, env, cwd, told=told)
    return _Boxed([os.fsdecode(word) for word in argv], env, cwd, box, box.place_alone(profile), told=told)


def output_of(
    argv: Sequence[str], env: Mapping[str, str], cwd: Path, box: "Box", profile: "Profile"
) -> Generator[bytes, None, None]:
    """What `argv` prints, in pieces as they come; its errors are read by nobody. Raises as `start_piped`, at the first piece."""
    child = start_piped(argv, env, cwd, box, profile, told=False)
    try:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.close()
        while piece := os.read(child.stdout.fileno(), _CHUNK):
            yield piece
    finally:
        child.end()


class _Direct(subprocess.Popen[bytes]):
    def __init__(self, argv: Sequence[str | bytes], env: Mapping[str, str], cwd: Path, *, told: bool) -> None:
        pipe = subprocess.PIPE
        errors = pipe if told else subprocess.DEVNULL
        super().__init__(argv, stdin=pipe, stdout=pipe, stderr=errors, env=dict(env), cwd=cwd, start_new_session=True)

    def talk(self, data: bytes, timeout: float) -> tuple[bytes, bytes]:
        try:
            return self.communicate(data, timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError from None

    def end(self) -> None:
        self.kill()
        self.wait()
        for pipe in (self.stdin, self.stdout, self.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


class _Boxed:
    def __init__(
        self, argv: Sequence[str], env: Mapping[str, str], cwd: Path, box: "Box", placed: "Placed", *, told: bool
    ) -> None:
        self.returncode: int | None = None
        self._report = -1
        theirs_in, ours_in = os.pipe()
        ours_out, theirs_out = os.pipe()
        ours_err, theirs_err = os.pipe()
        if not told:
            os.close(theirs_err)
            theirs_err = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        self.stdin: IO[bytes] = os.fdopen(ours_in, "wb")
        self.stdout: IO[bytes] = os.fdopen(ours_out, "rb")
        self.stderr: IO[bytes] = os.fdopen(ours_err, "rb")
        try:
            self.pid, self._report = box.start(placed, argv, env, cwd, theirs_in, theirs_out, theirs_err)
        except BaseException:
            self._close()
            raise
        finally:
            for end in (theirs_in, theirs_out, theirs_err):
                os.close(end)

    def talk(self, data: bytes, timeout: float) -> tuple[bytes, bytes]:
        deadline = time.monotonic() + timeout
        found: dict[IO[bytes], list[bytes]] = {self.stdout: [], self.stderr: []}
        left = memoryview(data)
        os.set_blocking(self.stdin.fileno(), False)
        with selectors.DefaultSelector() as selector:
            for pipe in found:
                selector.register(pipe, selectors.EVENT_READ)
            selector.register(self.stdin, selectors.EVENT_WRITE)
            while selector.get_map():
                if (wait := deadline - time.monotonic()) <= 0:
                    raise TimeoutError
                for key, _ in selector.select(wait):
                    if key.fileobj is self.stdin:
                        left = self._feed(left)
                        if not left:
                            selector.unregister(self.stdin)
                            self.stdin.close()
                    elif piece := os.read(key.fd, _CHUNK):
                        found[key.fileobj].append(piece)  # type: ignore[index]
                    else:
                        selector.unregister(key.fileobj)
        self._wait()
        out, said = found.values()
        return b"".join(out), b"".join(said)

    def _feed(self, data: memoryview) -> memoryview:
        try:
            return data[os.write(self.stdin.fileno(), data[:_CHUNK]) :] if data else data
        except BlockingIOError:
            return data
        except BrokenPipeError:  # it reads no more: its exit code says why
            return data[:0]

    def _wait(self) -> None:
        heard = b""
        while self.returncode is None:
            piece = os.read(self._report, 4096)
            heard += piece
            self.returncode = heard_exit(heard, ended=not piece)

    def kill(self) -> None:
        if self.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def end(self) -> None:
        self.kill()
        self._close()
        if self._report >= 0:
            os.close(self._report)
            self._report = -1

    def _close(self) -> None:
        for pipe in (self.stdin, self.stdout, self.stderr):
            with contextlib.suppress(OSError):
                pipe.close()


__all__ = ["BoxError", "Piped", "start_piped"]
