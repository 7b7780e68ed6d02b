"""The zygote: a process of one thread, started before anything else is known, that forks a supervisor for every command.

It is a fresh interpreter (`python -I -S`), so no command is forked from a process with threads, and neither it nor its children
have anything of the agent's memory or environment. It ends, with all that it started, when the socket to the agent closes.

    janitor (outside; removes the box's folder at the end)
    `-- zygote (pid 1 of the box's namespaces in R3 and R2)
        |-- supervisor of a command
        |   `-- the command
        `-- supervisor of another command
"""

import contextlib
import os
import select
import signal
import socket
import struct
from typing import Any

from kimi_agent.workspaces.sandbox import kernel, landlock
from kimi_agent.workspaces.sandbox.child import IGNORED, supervise
from kimi_agent.workspaces.sandbox.placeholders import make, remove
from kimi_agent.workspaces.sandbox.profile import Profile
from kimi_agent.workspaces.sandbox.wire import receive, send

_NAMESPACES = kernel.NEW_USER | kernel.NEW_PIDS | kernel.NEW_IPC | kernel.NEW_UTS | kernel.NEW_NET
_MORE_PROCESSES = 512
_PROCESSES = 1024  # where the box counts its own
_OWN_PID_MAX = (6, 14)  # the kernel since which a pid namespace has its own; RLIMIT_NPROC does not hold for root
_OOM_SCORE = "500"  # the kernel looks for memory here before it looks at the agent


def main(arguments: "list[str]") -> None:
    """Arguments: `zygote` or `janitor`, the socket, the rung, the box's folder; for the janitor what to remove at the end.

    For bwrap its words follow, and with them the placeholders are the janitor's: one view serves many commands.
    """
    role, descriptor, rung, folder, *rest = arguments
    if role == "zygote":
        Zygote(int(descriptor), rung, folder).serve()
        return
    removed, profile, *command = rest
    kernel.set_title(b"kimi-box")
    sock = socket.socket(fileno=int(descriptor))
    made = [path for path in Profile.decoded(profile).placeholders if make(path)] if command else []
    try:
        zygote = _start(sock, rung, folder, command, net=Profile.decoded(profile).net)
    except OSError as error:
        send(sock, {"error": error.strerror or str(error)})
        zygote = 0
    sock.close()
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    if zygote:
        os.waitpid(zygote, 0)
    for path in made:
        remove(path)
    if removed:
        _remove_tree(removed)


def _start(sock: socket.socket, rung: str, folder: str, command: "list[str]", *, net: bool) -> int:
    """Fork the zygote, in namespaces of its own where the rung has them; with `net` it keeps this machine's network."""
    janitor = os.getpid()
    mapped = None
    if rung == "R3":
        mapped = _map_users(janitor)
        kernel.unshare(_NAMESPACES & ~kernel.NEW_NET if net else _NAMESPACES)
        os.write(mapped[1], b"x")
        os.waitpid(mapped[0], 0)
        if not _is_mapped():
            _map_own_user()
    pid = os.fork()
    if pid:
        return pid
    kernel.die_with_parent(janitor) if rung != "R3" else kernel.prctl(1, 9, "PDEATHSIG")
    if command:
        os.set_inheritable(sock.fileno(), True)
        os.execv(command[0], command)  # noqa: S606 - bwrap, by its absolute path
    Zygote(sock.detach(), rung, folder).serve()
    os._exit(0)


def _map_users(janitor: int) -> "tuple[int, int]":
    """Fork a helper that stays outside and, when it is told to, maps all our users into the namespace that we are in then.

    Only root may; with one's own user alone root could not work on files of other users.
    """
    maps = {kind: _lines(f"/proc/self/{kind}_map") for kind in ("uid", "gid")}
    heard, told = os.pipe()
    pid = os.fork()
    if pid:
        os.close(heard)
        return pid, told
    os.close(told)
    os.read(heard, 1)
    try:
        for kind, lines in maps.items():
            text = "".join(f"{first} {first} {count}\n" for first, _, count in lines)
            _write(f"/proc/{janitor}/{kind}_map", text)
    except OSError:
        pass
    os._exit(0)


def _lines(path: str) -> "list[list[str]]":
    with open(path) as file:
        return [line.split() for line in file]


def _is_mapped() -> bool:
    return bool(_lines("/proc/self/uid_map"))


def _map_own_user() -> None:
    _write("/proc/self/setgroups", "deny")
    for kind, number in (("uid", os.geteuid()), ("gid", os.getegid())):
        _write(f"/proc/self/{kind}_map", f"{number} {number} 1")


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


class Zygote:
    """Answers the requests that come through the socket, in order, until it closes."""

    def __init__(self, descriptor: int, rung: str, folder: str) -> None:
        os.set_inheritable(descriptor, False)
        self._socket = socket.socket(fileno=descriptor)
        self._rung = rung
        self._nothing = f"{folder}/nothing"
        self._placeholders: dict[int, tuple[str, ...]] = {}
        self._processes = _PROCESSES

    def serve(self) -> None:
        woken, wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wakes)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        for number in IGNORED:  # in R1 a command can signal its zygote
            signal.signal(number, signal.SIG_IGN)
        try:
            self._settle()
        except OSError as error:
            send(self._socket, {"error": error.strerror or str(error)})
            return
        send(self._socket, {"ready": os.getpid()})
        while True:
            readable = select.select([self._socket.fileno(), woken], [], [])[0]
            if woken in readable:
                os.read(woken, 4096)
                self._reap()
            if self._socket.fileno() in readable:
                message, descriptors = receive(self._socket)
                if message is None:
                    break
                self._answer(message, descriptors)
        for path in {path for paths in self._placeholders.values() for path in paths}:
            remove(path)
        self._end_families()

    def _settle(self) -> None:
        kernel.set_title(b"kimi-box")
        if self._rung == "R3":
            _bring_up_loopback()
            if os.geteuid() == 0 and os.getpid() == 1 and _release() >= _OWN_PID_MAX:
                _write("/proc/sys/kernel/pid_max", str(2 * _PROCESSES))
        else:
            self._processes = _processes_of_user() + _MORE_PROCESSES
        kernel.adopt_orphans()
        with contextlib.suppress(OSError):  # it is higher already
            _write("/proc/self/oom_score_adj", _OOM_SCORE)
        kernel.keep_memory_private()
        if self._rung == "R1":  # elsewhere namespaces do that
            landlock.keep_signals_inside()

    def _answer(self, message: "dict[str, Any]", descriptors: "list[int]") -> None:
        try:
            if "listen" in message:
                with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
                    send(self._socket, {"port": server.getsockname()[1]}, [server.fileno()])
                return
            pid = self._fork(message, descriptors)
            pidfd = os.pidfd_open(pid)
            send(self._socket, {"pid": pid}, [pidfd])
            os.close(pidfd)
        except OSError as error:
            send(self._socket, {"error": error.strerror or str(error)})
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _fork(self, message: "dict[str, Any]", descriptors: "list[int]") -> int:
        wanted = Profile.decoded(message["profile"]).placeholders if self._rung == "R3" else ()
        made = tuple(path for path in wanted if self._place(path))
        zygote = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._socket.close()
            signal.set_wakeup_fd(-1)
            supervise(self._rung, message, descriptors, self._nothing, zygote, self._processes)
        self._placeholders[pid] = made
        return pid

    def _place(self, path: str) -> bool:
        """Have a folder at `path`; whether it is ours, and is to be removed when no command needs it any more."""
        return any(path in paths for paths in self._placeholders.values()) or make(path)

    def _reap(self) -> None:
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            left = self._placeholders.pop(pid, ())
            for path in left:
                if not any(path in paths for paths in self._placeholders.values()):
                    remove(path)

    def _end_families(self) -> None:
        """Without a pid namespace the supervisors' families outlive this process: they are its children once the supervisors are
        gone, because it adopts orphans."""
        while self._rung == "R1":
            try:
                with open("/proc/thread-self/children") as file:
                    children = [int(word) for word in file.read().split()]
            except OSError:
                return
            if not children:
                return
            for pid in children:
                os.kill(pid, signal.SIGKILL)
            for pid in children:
                os.waitpid(pid, 0)


def _remove_tree(folder: str) -> None:
    """The box's own folder, with the temporary files of its commands."""
    for parent, folders, files, descriptor in os.fwalk(folder, topdown=False):
        for name in (*files, *folders):
            try:
                if name in folders and not os.path.islink(f"{parent}/{name}"):
                    os.rmdir(name, dir_fd=descriptor)
                else:
                    os.unlink(name, dir_fd=descriptor)
            except OSError:
                continue
    remove(folder)


def _bring_up_loopback() -> None:
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = struct.pack("16sH14x", b"lo", 0)
        (flags,) = struct.unpack("16xH14x", fcntl.ioctl(any_socket, 0x8913, asked))  # SIOCGIFFLAGS
        if not flags & 1:  # that of this machine is up, and not ours to change
            fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14x", b"lo", 0x41))  # SIOCSIFFLAGS: up, running


def _release() -> "tuple[int, ...]":
    return tuple(int(number) for number in os.uname().release.split("-")[0].split(".")[:2] if number.isdigit())


def _processes_of_user() -> int:
    """Processes and threads of this user, which RLIMIT_NPROC counts all together."""
    me, count = os.geteuid(), 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.stat(f"/proc/{name}").st_uid == me:
                    count += len(os.listdir(f"/proc/{name}/task"))
            except OSError:
                continue
    return count
