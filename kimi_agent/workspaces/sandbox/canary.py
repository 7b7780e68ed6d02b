"""The canary: does a rung hold on this machine? It is tried, as an attacker would, before anything relies on it."""

import contextlib
import json
import os
import secrets
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from kimi_agent.core.access import BoxError, Check
from kimi_agent.workspaces.sandbox.client import Zygote
from kimi_agent.workspaces.sandbox.profile import Profile

RESIDUE = {"R3": frozenset[str](), "R2": frozenset[str](), "R1": frozenset({"chmod_out", "kill_parent"})}
"""What a rung may let through and still be used; it is told then. R1: Landlock does not know of modes, owners and times of files,
and before ABI 6 not of signals."""
_TIME_S = 20.0
_PROBE = r"""
import json, os, socket, sys
place, port, pid, mark = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
done = {}
def tried(name, act):
    try:
        done[name] = act() is not False
    except BaseException:
        done[name] = False
def write(path, how="w"):
    with open(path, how) as file: file.write("x")
def reads(path, text):
    with open(path, "rb") as file: return text.encode() in file.read()
def unix():
    with socket.socket(socket.AF_UNIX) as s: s.connect(place + "/socket")
def udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s: s.connect(("127.0.0.1", port)); s.send(mark.encode())
tried("write_in", lambda: write(place + "/in/new"))
tried("write_out", lambda: write(place + "/out/file", "a"))
tried("create_out", lambda: write(place + "/out/new"))
tried("chmod_out", lambda: os.chmod(place + "/out/file", 0))
tried("unlink_out", lambda: os.unlink(place + "/out/other"))
tried("read_hidden", lambda: reads(place + "/secret", mark))
tried("tcp", lambda: socket.create_connection(("127.0.0.1", port), 2).close())
tried("udp", udp)
tried("unix", unix)
tried("environ_parent", lambda: reads(f"/proc/{pid}/environ", mark))
tried("kill_parent", lambda: os.kill(pid, 9))
tried("proc_sys", lambda: os.close(os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY)))
print(json.dumps(done))
"""


def prepare(folder: Path) -> Profile:
    """Lay out what the canary attacks, in the box's own folder; the profile to attack it in."""
    place = folder / "canary"
    for name in ("in", "out"):
        (place / name).mkdir(parents=True)
    for name in ("out/file", "out/other", "secret"):
        (place / name).write_text("original")
    return Profile(writable=[str(place / "in")], hidden=[str(place / "secret")])


def examine(zygote: Zygote, folder: Path, profile: Profile) -> list[Check]:
    """Attack from inside of a box, look from outside at what came of it. Raises BoxError when nothing can be tried."""
    place, mark = folder / "canary", secrets.token_hex(16)
    (place / "secret").write_text(mark)
    with _victim(mark) as victim, _listening(place) as (tcp, udp):
        arguments = [str(place), str(tcp.getsockname()[1]), str(victim.pid), mark]
        said = _run(zygote, [sys.executable, "-I", "-S", "-c", _PROBE, *arguments], place / "in", profile)
        done: dict[str, bool] = {str(name): bool(value) for name, value in json.loads(said).items()}
        done |= {
            "write_in": (place / "in/new").exists(),
            "write_out": (place / "out/file").stat().st_size != len("original"),
            "create_out": (place / "out/new").exists(),
            "chmod_out": (place / "out/file").stat().st_mode & 0o777 == 0,
            "unlink_out": not (place / "out/other").exists(),
            "tcp": done["tcp"] or _came(tcp),
            "udp": _came(udp),
            "kill_parent": victim.poll() is not None,
        }
    return [Check(name, happened == (name == "write_in")) for name, happened in done.items()]


@contextlib.contextmanager
def _victim(mark: str) -> "Iterator[subprocess.Popen[bytes]]":
    """A process like this one, which must not be reached from the box."""
    env = {"PATH": os.defpath, "KIMI_CANARY": mark}
    with subprocess.Popen(["sh", "-c", "read line"], stdin=subprocess.PIPE, env=env) as victim:
        try:
            yield victim
        finally:
            victim.kill()


@contextlib.contextmanager
def _listening(place: Path) -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as tcp, contextlib.ExitStack() as stack:
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(tcp.getsockname())
        unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        unix.bind(os.fspath(place / "socket"))
        unix.listen()
        yield tcp, udp


def _came(sock: socket.socket) -> bool:
    """Whether something waits at a socket."""
    return bool(select.select([sock], [], [], 0)[0])


def _run(zygote: Zygote, argv: list[str], cwd: Path, profile: Profile) -> str:
    """The output of a command in the box. Raises BoxError when it fails, or says nothing for too long."""
    heard, said = os.pipe()
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _, report = zygote.start(argv, {"PATH": os.defpath}, cwd, profile, nothing, said)
    finally:
        os.close(said)
        os.close(nothing)
    deadline = time.monotonic() + _TIME_S
    try:
        text, code = _all(heard, deadline), _all(report, deadline)
    finally:
        os.close(heard)
        os.close(report)
    if not code.startswith("exit 0\n"):
        raise BoxError(text.strip()[-300:] or f"the canary's command failed ({code.strip() or 'killed'})")
    return text


def _all(descriptor: int, deadline: float) -> str:
    pieces: list[bytes] = []
    while True:
        if not select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise BoxError("the canary's command does not end")
        piece = os.read(descriptor, 65536)
        if not piece:
            return b"".join(pieces).decode("utf-8", "replace")
        pieces.append(piece)
