"""seccomp: the system calls that a boxed process does not get, as a BPF program made here.

Sources: Documentation/userspace-api/seccomp_filter.rst, include/uapi/linux/{filter,seccomp}.h, the kernel's syscall tables.
"""

import ctypes
import os
import struct

from kimi_agent.workspaces.sandbox import kernel

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF_0000, 0x8000_0000, 0x0005_0000
_EPERM, _ENOSYS = 1, 38
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND = 0, 4, 16, 24  # offsets in struct seccomp_data
_X32 = 0x4000_0000
_INET, _INET6, _NETLINK = 2, 10, 16
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C

_DENIED = {  # name: number on x86_64, on aarch64
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "bpf": (321, 280), "userfaultfd": (323, 282),
    "perf_event_open": (298, 241), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "unshare": (272, 97),
    "setns": (308, 268), "kexec_load": (246, 104), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142), "acct": (163, 89),
    "quotactl": (179, 60), "open_by_handle_at": (304, 265),
}  # fmt: skip
_MACHINES = {
    "x86_64": (0, 0xC000_003E, {"socket": 41, "clone": 56, "ioctl": 16}),
    "aarch64": (1, 0xC000_00B7, {"socket": 198, "clone": 220, "ioctl": 29}),
}
_EVERYWHERE = (
    *(425, 426, 427),  # io_uring_setup, _enter, _register: they pass by every filter
    *(428, 429, 430, 431, 432, 433, 442),  # open_tree .. fspick, mount_setattr
    438,  # pidfd_getfd
)
_CLONE3 = 435  # its flags are behind a pointer: with ENOSYS every C library falls back to clone


def supported() -> bool:
    return os.uname().machine in _MACHINES


def restrict(*, sockets: bool, net: bool = False) -> None:
    """Take the calls away from this process and its children. `sockets`: those of the internet's families can be made.

    They lead nowhere but to this machine's own loopback in a network namespace. `net`: there is none, and interfaces may be
    asked for. Raises OSError for a machine without table.
    """
    code = program(os.uname().machine, sockets=sockets, net=net)
    buffer = ctypes.create_string_buffer(code)
    kernel.no_new_privileges()
    filter_ = struct.pack("@HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
    kernel.prctl(22, 2, "seccomp", filter_)


def program(machine: str, *, sockets: bool, net: bool = False) -> bytes:
    """The BPF program for a machine's architecture. Raises OSError for one without table."""
    if machine not in _MACHINES:
        raise OSError(_ENOSYS, f"seccomp: no table of system calls for {machine}")
    column, architecture, special = _MACHINES[machine]
    deny = _op(_RETURN, 0, 0, _ERRNO | _EPERM)
    code = [_op(_LOAD, 0, 0, _ARCHITECTURE), _op(_EQUAL, 1, 0, architecture), _op(_RETURN, 0, 0, _KILL)]
    code += [_op(_LOAD, 0, 0, _NUMBER)]
    if machine == "x86_64":
        code += [_op(_AT_LEAST, 0, 1, _X32), deny]
    for number in (*(numbers[column] for numbers in _DENIED.values()), *_EVERYWHERE):
        code += [_op(_EQUAL, 0, 1, number), deny]
    code += [_op(_EQUAL, 0, 1, _CLONE3), _op(_RETURN, 0, 0, _ERRNO | _ENOSYS)]
    code += _argument(special["clone"], _FIRST, [_op(_ANY_BIT, 0, 1, kernel.NEW_USER), deny])
    stolen = [_op(_EQUAL, 1, 0, _TIOCSTI), _op(_EQUAL, 0, 1, _TIOCLINUX), deny]
    code += _argument(special["ioctl"], _SECOND, stolen)
    allowed = [*((_INET, _INET6) if sockets else ()), *((_NETLINK,) if net else ())]
    families = [_op(_EQUAL, len(allowed) - place, 0, family) for place, family in enumerate(allowed)]
    code += _argument(special["socket"], _FIRST, [*families, deny])
    return b"".join([*code, _op(_RETURN, 0, 0, _ALLOW)])


def _argument(number: int, offset: int, checks: "list[bytes]") -> "list[bytes]":
    """Look at an argument (its low half) of one call, by `checks`; the number is loaded again after them."""
    body = [_op(_LOAD, 0, 0, offset), *checks, _op(_LOAD, 0, 0, _NUMBER)]
    return [_op(_EQUAL, 0, len(body), number), *body]


def _op(code: int, if_true: int, if_false: int, value: int) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
