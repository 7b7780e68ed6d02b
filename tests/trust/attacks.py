"""Run inside of a box: every attack once. Prints as JSON which succeeded. The argument is JSON: where things are."""

import ctypes
import fcntl
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from typing import Any

AT = json.loads(sys.argv[1])
OUT, WORK, PID, MARK = AT["out"], AT["work"], AT["pid"], AT["mark"]
LIBC = ctypes.CDLL(None, use_errno=True)
DONE: dict[str, bool] = {}
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
NUMBERS = {
    "x86_64": {"ptrace": 101, "vm_readv": 310, "keyctl": 250, "bpf": 321, "userfaultfd": 323, "perf": 298, "mount": 165}
    | {"umount": 166, "chroot": 161, "pivot_root": 155, "setns": 308, "init_module": 175, "kexec": 246, "clone": 56}
    | {
        "open_by_handle_at": 304,
        "swapon": 167,
        "reboot": 169,
        "acct": 163,
        "settimeofday": 164,
        "process_madvise": 440,
    },
}[os.uname().machine]


SPARED = {"kill_everything"}
"""Not tried where there is no box: it would reach every process of the user."""


def attack(function: Callable[[], Any]) -> None:
    """It succeeded when it raises nothing and answers anything but False. Each has a process of its own."""
    if AT["control"] and function.__name__ in SPARED:
        return
    heard, said = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            happened = function() is not False
        except BaseException:
            happened = False
        os.write(said, b"1" if happened else b"0")
        os._exit(0)
    os.close(said)
    ready = select.select([heard], [], [], 3)[0]
    DONE[function.__name__] = bool(ready) and os.read(heard, 1) == b"1"
    os.close(heard)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def call(number: int, *arguments: Any) -> int:
    result = LIBC.syscall(ctypes.c_long(number), *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result


def write(path: str, how: str = "w") -> None:
    with open(path, how) as file:
        file.write("attacked")


def reads(path: str, text: str = MARK) -> bool:
    with open(path, "rb") as file:
        return text.encode() in file.read(1 << 20)


# --- files outside ----------------------------------------------------------------------------------------------------


@attack
def create_outside() -> None:
    write(f"{OUT}/new")


@attack
def write_outside() -> None:
    write(f"{OUT}/file", "r+")


@attack
def append_outside() -> None:
    write(f"{OUT}/file", "a")


@attack
def truncate_outside() -> None:
    os.truncate(f"{OUT}/file", 1)


@attack
def unlink_outside() -> None:
    os.unlink(f"{OUT}/other")


@attack
def rename_from_outside() -> None:
    os.rename(f"{OUT}/third", f"{WORK}/third")


@attack
def rename_over_outside() -> None:
    write(f"{WORK}/mine")
    os.rename(f"{WORK}/mine", f"{OUT}/fourth")


@attack
def hardlink_of_outside() -> None:
    os.link(f"{OUT}/file", f"{WORK}/hard")
    write(f"{WORK}/hard", "a")


@attack
def symlink_to_outside() -> None:
    os.symlink(f"{OUT}/file", f"{WORK}/soft")
    write(f"{WORK}/soft", "a")


@attack
def mkdir_outside() -> None:
    os.mkdir(f"{OUT}/folder")


@attack
def rmdir_outside() -> None:
    os.rmdir(f"{OUT}/empty")


@attack
def fifo_outside() -> None:
    os.mkfifo(f"{OUT}/fifo")


@attack
def chmod_outside() -> None:
    os.chmod(f"{OUT}/file", 0o777)


@attack
def utime_outside() -> None:
    os.utime(f"{OUT}/file", (1, 1))


@attack
def xattr_outside() -> None:
    os.setxattr(f"{OUT}/file", "user.attacked", b"x")


@attack
def chown_outside() -> None:
    os.chown(f"{OUT}/file", os.getuid(), os.getgid())


@attack
def sibling_of_the_folder() -> None:
    write(f"{WORK}-evil/file", "a")


@attack
def outside_through_proc_self_root() -> None:
    write(f"/proc/self/root{OUT}/file", "a")


@attack
def outside_through_dot_dot() -> None:
    write(f"{WORK}/../out/file", "a")


@attack
def outside_through_a_folder_opened_before_chdir() -> None:
    folder = os.open(OUT, os.O_RDONLY | os.O_DIRECTORY)
    os.close(os.open("new-at", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=folder))


# --- reads ------------------------------------------------------------------------------------------------------------


@attack
def read_a_key_store() -> bool:
    return reads(f"{AT['user_home']}/.ssh/id_ed25519")


@attack
def read_a_file_with_passwords() -> bool:
    return reads(f"{AT['user_home']}/.netrc")


@attack
def read_a_key_store_through_proc_1() -> bool:
    return reads(f"/proc/1/root{AT['user_home']}/.ssh/id_ed25519")


@attack
def read_the_agents_settings() -> bool:
    return reads(f"{AT['home']}/config.toml")


@attack
def read_another_session() -> bool:
    return reads(f"{AT['home']}/sessions/other.jsonl")


@attack
def read_a_hidden_file_of_the_folder() -> bool:
    return reads(f"{WORK}/.env")


@attack
def read_a_private_key_of_the_folder() -> bool:
    return reads(f"{WORK}/server.pem")


@attack
def uncover_a_key_store() -> bool:
    os.rename(f"{WORK}/.env", f"{WORK}/plain")
    return reads(f"{WORK}/plain")


@attack
def write_the_agents_settings() -> None:
    write(f"{AT['home']}/config.toml", "a")


@attack
def secret_in_the_environment() -> bool:
    return MARK in json.dumps(dict(os.environ))


# --- processes --------------------------------------------------------------------------------------------------------


@attack
def environment_of_the_agent() -> bool:
    return reads(f"/proc/{PID}/environ")


@attack
def command_line_of_the_agent() -> bool:
    return reads(f"/proc/{PID}/cmdline")


@attack
def memory_of_the_agent() -> bool:
    os.close(os.open(f"/proc/{PID}/mem", os.O_RDONLY))
    return reads(f"/proc/{PID}/cmdline")  # a process of that number in the box is not the agent


@attack
def descriptors_of_the_agent() -> bool:
    os.close(os.open(f"/proc/{PID}/fd/0", os.O_RDONLY | os.O_NONBLOCK))
    return reads(f"/proc/{PID}/cmdline")


@attack
def kill_everything() -> bool:
    os.kill(-1, signal.SIGUSR1)
    return False  # what came of it is seen from outside


@attack
def ptrace_the_agent() -> bool:
    call(NUMBERS["ptrace"], 16, PID, 0, 0)
    return True


@attack
def ptrace_a_child_of_ones_own() -> None:
    call(NUMBERS["ptrace"], 0, 0, 0, 0)


@attack
def read_memory_of_another_process() -> None:
    here = ctypes.create_string_buffer(8)
    iovec = struct.pack("PN", ctypes.addressof(here), 8)
    call(NUMBERS["vm_readv"], os.getpid(), iovec, 1, iovec, 1, 0)


@attack
def signal_the_zygote() -> bool:
    if not AT["namespaces"]:
        return False
    os.kill(1, signal.SIGKILL)
    return not os.path.exists("/proc/1/stat")


@attack
def environment_of_the_zygote() -> bool:
    with open("/proc/1/environ", "rb") as file:
        return bool(file.read()) and AT["namespaces"]


# --- network ----------------------------------------------------------------------------------------------------------


@attack
def tcp() -> None:
    socket.create_connection(("127.0.0.1", AT["port"]), 2)


@attack
def tcp_v6() -> None:
    socket.create_connection(("::1", AT["port6"]), 2)


@attack
def tcp_to_the_internet() -> None:
    socket.create_connection(("192.0.2.1", 80), 0.5)


@attack
def udp() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(b"x", ("127.0.0.1", AT["udp"]))
    return False  # whether it came is seen from outside


@attack
def dns() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(b"x", ("192.0.2.53", 53))


@attack
def mptcp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262) as s:
        s.connect(("127.0.0.1", AT["port"]))


@attack
def sctp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132) as s:
        s.connect(("127.0.0.1", AT["port"]))


@attack
def tcp_fast_open() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.sendto(b"x", 0x2000_0000, ("127.0.0.1", AT["port"]))
        s.recv(1)


@attack
def icmp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 1) as s:
        s.sendto(b"\x08\0\0\0\0\0\0\0", ("192.0.2.1", 0))


def _family(number: int, kind: int = socket.SOCK_RAW, protocol: int = 0) -> Callable[[], None]:
    def opened() -> None:
        socket.socket(number, kind, protocol).close()

    return opened


for _name, _arguments in {
    "raw": (2, 3, 1), "packet": (17, 3, 3), "netlink": (16, 3, 0), "netlink_audit": (16, 3, 9), "vsock": (40, 1, 0),
    "alg": (38, 5, 0), "bluetooth": (31, 5, 0), "can": (29, 3, 1), "unix_stream": (1, 1, 0), "unix_datagram": (1, 2, 0),
}.items():  # fmt: skip
    _function = _family(*_arguments)
    _function.__name__ = f"socket_{_name}"
    attack(_function)


@attack
def unix_path() -> None:
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(f"{OUT}/socket")


@attack
def unix_abstract() -> None:
    with socket.socket(socket.AF_UNIX) as s:
        s.connect("\0" + AT["abstract"])


# --- kernel -----------------------------------------------------------------------------------------------------------


@attack
def io_uring() -> None:
    call(425, 1, ctypes.create_string_buffer(120))


@attack
def new_user_namespace() -> None:
    if LIBC.unshare(0x1000_0000) < 0:
        raise OSError


@attack
def new_user_namespace_by_clone() -> None:
    pid = call(NUMBERS["clone"], 0x1000_0000 | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


@attack
def mount() -> None:
    call(NUMBERS["mount"], b"none", f"{WORK}".encode(), b"tmpfs", 0, None)


@attack
def remount_writable() -> None:
    call(NUMBERS["mount"], None, b"/", None, 32 | 4096, None)


@attack
def unmount() -> None:
    call(NUMBERS["umount"], b"/proc", 2)


@attack
def unmount_what_hides() -> None:
    call(NUMBERS["umount"], f"{AT['user_home']}/.ssh".encode(), 2)


@attack
def open_tree() -> None:
    call(428, -100, b"/", 1)


@attack
def new_root() -> None:
    call(NUMBERS["pivot_root"], b"/", b"/")


@attack
def enter_namespace() -> None:
    descriptor = os.open("/proc/1/ns/mnt", os.O_RDONLY)
    call(NUMBERS["setns"], descriptor, 0)


@attack
def block_device() -> None:
    os.mknod(f"{WORK}/disk", 0o60600, os.makedev(7, 0))


@attack
def read_a_disk() -> bool:
    for name in os.listdir("/sys/block"):
        try:
            os.close(os.open(f"/dev/{name}", os.O_RDONLY))
        except OSError:
            continue
        return True
    return False


@attack
def kernel_log() -> None:
    os.close(os.open("/dev/kmsg", os.O_RDONLY))


@attack
def kernel_memory() -> None:
    os.close(os.open("/dev/mem", os.O_RDONLY))


@attack
def core_pattern() -> None:
    os.close(os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY))


@attack
def sysrq() -> None:
    os.close(os.open("/proc/sysrq-trigger", os.O_WRONLY))


@attack
def uevent_helper() -> None:
    os.close(os.open("/sys/kernel/uevent_helper", os.O_WRONLY))


@attack
def cgroup() -> None:
    os.mkdir("/sys/fs/cgroup/attacked")


@attack
def keyrings() -> None:
    call(NUMBERS["keyctl"], 0, -3, 0)


@attack
def bpf() -> None:
    call(NUMBERS["bpf"], 0, ctypes.create_string_buffer(128), 128)


@attack
def userfaultfd() -> None:
    call(NUMBERS["userfaultfd"], 0)


@attack
def perf() -> None:
    call(NUMBERS["perf"], ctypes.create_string_buffer(128), 0, -1, -1, 0)


@attack
def kernel_module() -> None:
    call(NUMBERS["init_module"], b"", 0, b"")


@attack
def open_by_handle() -> None:
    call(NUMBERS["open_by_handle_at"], -100, ctypes.create_string_buffer(struct.pack("Ii", 8, 1) + bytes(8)), 0)


@attack
def accounting() -> None:
    call(NUMBERS["acct"], None)


@attack
def host_name() -> bool:
    before = os.uname().nodename
    socket.sethostname("attacked")
    return os.uname().nodename != before and not AT["namespaces"]


@attack
def type_for_the_person() -> None:
    _, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSTI, b"x")


@attack
def a_terminal_of_the_person() -> None:
    os.close(os.open("/dev/tty", os.O_RDWR))


@attack
def core_dump() -> bool:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20))
    return True


# --- what is guarded in the folder ------------------------------------------------------------------------------------


@attack
def hook_of_git() -> None:
    write(f"{WORK}/.git/hooks/pre-commit")


@attack
def settings_of_git() -> None:
    write(f"{WORK}/.git/config", "a")


@attack
def history_of_git() -> None:
    os.unlink(f"{WORK}/.git/HEAD")


@attack
def move_git_away() -> None:
    os.rename(f"{WORK}/.git", f"{WORK}/.git2")


@attack
def hook_of_a_nested_repository() -> None:
    write(f"{WORK}/deep/er/.git/hooks/pre-commit")


@attack
def move_a_parent_of_a_nested_repository() -> None:
    os.rename(f"{WORK}/deep", f"{WORK}/deep2")


@attack
def pointer_of_a_submodule() -> None:
    write(f"{WORK}/module/.git", "w")


@attack
def git_through_a_symlink() -> None:
    os.symlink(f"{WORK}/.git", f"{WORK}/way")
    write(f"{WORK}/way/config", "a")


@attack
def git_through_a_hardlink() -> None:
    os.link(f"{WORK}/.git/config", f"{WORK}/settings")
    write(f"{WORK}/settings", "a")


@attack
def make_the_agents_folder() -> None:
    os.makedirs(f"{WORK}/.kimi/skills")


@attack
def replace_the_agents_folder() -> None:
    os.rmdir(f"{WORK}/.kimi")
    os.mkdir(f"{WORK}/.kimi")


# --- what must work ---------------------------------------------------------------------------------------------------


@attack
def works_write_in_the_folder() -> bool:
    write(f"{WORK}/fine")
    return reads(f"{WORK}/fine", "attacked")


@attack
def works_rename_in_the_folder() -> None:
    write(f"{WORK}/a")
    os.mkdir(f"{WORK}/b")
    os.rename(f"{WORK}/a", f"{WORK}/b/a")


@attack
def works_temporary_files() -> None:
    import tempfile

    with tempfile.NamedTemporaryFile(dir=os.environ["TMPDIR"]) as file:
        file.write(b"x")


@attack
def works_read_the_system() -> bool:
    return reads("/etc/passwd", "root")


@attack
def works_devices() -> None:
    write("/dev/null")
    with open("/dev/urandom", "rb") as file:
        file.read(1)


@attack
def works_run_programs() -> bool:
    return subprocess.run(["sh", "-c", "true | cat"], check=True).returncode == 0


@attack
def works_pseudo_terminals() -> None:
    pid, descriptor = pty.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(descriptor)


@attack
def works_semaphores() -> None:
    import _multiprocessing

    _multiprocessing.SemLock(1, 1, 1, f"/kimi-test-{os.getpid()}", True)


@attack
def works_socket_pairs() -> None:
    a, b = socket.socketpair()
    a.send(b"x")
    assert b.recv(1) == b"x"


@attack
def works_loopback() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    with server, socket.create_connection(server.getsockname(), 2) as client:
        server.accept()[0].send(b"x")
        assert client.recv(1) == b"x"


# --- what would change the rest, last ---------------------------------------------------------------------------------


@attack
def rename_the_folder_itself() -> None:
    os.rename(WORK, f"{WORK}-moved")


@attack
def kill_the_agent() -> bool:
    os.kill(PID, signal.SIGKILL)
    return False  # what came of it is seen from outside


print(json.dumps(DONE))
