"""`kimi` with pipes, and as a file for those who start it by themselves: shells, SDKs. It is forked as in warm_kimi.py.

Who runs the file has a process that waits for the forked one, and passes signals on to it.
"""

import array
import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

LIMIT = 200_000  # bytes of a request
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def start(
    arguments: Sequence[str], cwd: Path, env: Mapping[str, str], *, errors: Any = subprocess.PIPE, text: bool = False
) -> Any:
    """`subprocess.Popen` of `kimi` with pipes; its standard error may be a file."""
    import warm_kimi

    if warm_kimi.can_be_forked(arguments, env):
        return _piped(arguments, cwd, env, errors, "" if text else "b")
    argv, pipe = [*warm_kimi.KIMI, *arguments], subprocess.PIPE
    return subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=errors, cwd=cwd, env=env, text=text)


def _piped(arguments: Sequence[str], cwd: Path, env: Mapping[str, str], errors: Any, kind: str) -> Any:
    import warm_kimi

    class Piped(warm_kimi.Process):
        stdin: IO[Any]
        stdout: IO[Any]
        stderr: IO[Any] | None = None

        def communicate(self, timeout: float) -> tuple[Any, Any]:
            """For less than a pipe holds."""
            self.stdin.close()
            self.wait(timeout)
            return self.stdout.read(), self.stderr.read() if self.stderr else None

    inward, outward = os.pipe(), os.pipe()
    told = os.pipe() if errors == subprocess.PIPE else (None, errors.fileno())
    process = Piped(arguments, [inward[0], outward[1], told[1]], cwd, env)
    process.stdin, process.stdout = os.fdopen(inward[1], "w" + kind), os.fdopen(outward[0], "r" + kind)
    if told[0] is not None:
        process.stderr = os.fdopen(told[0], "r" + kind)
        os.close(told[1])
    os.close(inward[0])
    os.close(outward[1])
    return process


@functools.cache
def executable() -> Path:
    """The file. What cannot be forked is a fresh interpreter, as everything is with `KIMI_COLD=1`."""
    folder = Path(tempfile.mkdtemp(prefix="kimi-warm-"))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(folder / "socket"))
    listener.listen(50)
    threading.Thread(target=_accept, args=(listener,), daemon=True).start()
    file = folder / "kimi"
    file.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{__file__}" "{folder}/socket" "$@"\n')
    file.chmod(0o755)
    return file


def _accept(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_start, args=(connection,), daemon=True).start()


def _start(connection: socket.socket) -> None:
    """Starts what one file was asked for, and answers with its process id, then with its exit code."""
    import warm_kimi

    with connection, contextlib.suppress(BrokenPipeError):
        data, streams, *_ = socket.recv_fds(connection, LIMIT, 3)
        arguments, cwd, env = json.loads(data)
        try:
            process = (
                warm_kimi.Process(arguments, streams, Path(cwd), env)
                if warm_kimi.can_be_forked(arguments, env)
                else None
            )
        finally:
            for stream in streams:
                os.close(stream)
        connection.send(b"%d" % process.pid if process else b"cold")
        if process:
            connection.send(b"%d" % process.wait())


def _run(address: str, arguments: list[str]) -> int:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * LIMIT)
    connection.connect(address)
    request = json.dumps([arguments, str(Path.cwd()), dict(os.environ)]).encode()
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    connection.sendmsg([request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
    answer = connection.recv(20)
    if answer == b"cold":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
        os.execv(sys.executable, [sys.executable, "-m", "kimi_agent", *arguments])
    for number in PASSED_ON:
        signal.signal(number, lambda number, _: os.kill(int(answer), number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    return int(connection.recv(20))


if __name__ == "__main__":
    code = _run(sys.argv[1], sys.argv[2:])
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)
