"""R3: the view of the files that one boxed command has, made of mounts in a namespace of its own."""

import os
import stat

from kimi_agent.workspaces.sandbox import kernel
from kimi_agent.workspaces.sandbox.kernel import MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_PRIVATE, MS_REC
from kimi_agent.workspaces.sandbox.landlock import DEVICES
from kimi_agent.workspaces.sandbox.profile import Profile, inside

_LINKS = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}
_KERNELS = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus")


def enter(profile: Profile, nothing: str) -> None:
    """Give this process the view of `profile`. `nothing` holds an empty file and an empty folder that stand for what is hidden.

    Needs CAP_SYS_ADMIN in its user namespace. Raises OSError that names the mount that failed.
    """
    kernel.unshare(kernel.NEW_MOUNTS)
    kernel.mount("", "/", "", MS_REC | MS_PRIVATE)
    trees = _Trees([*profile.writable, *profile.shown])
    devices = {name: kernel.open_tree(f"/dev/{name}", recursive=False) for name in DEVICES if _there(f"/dev/{name}")}
    kernel.set_attributes("/", kernel.RDONLY | kernel.NOSUID | kernel.NODEV)
    _devices(devices)
    covered = []
    for path in sorted(
        {*profile.hidden, *profile.writable, *profile.shown}
    ):  # what is inside comes after what is around
        if path in profile.hidden and _hide(path, nothing, [tree for tree in trees.paths if inside(tree, path)]):
            covered.append(path)
        if path in trees.paths:
            trees.put(path, writable=path in profile.writable)
    for path in covered:
        kernel.set_attributes(path, kernel.RDONLY, recursive=False)
    _protect(profile)
    kernel.mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for path in _KERNELS:
        if _there(path):
            kernel.mount(path, path, "", MS_BIND | MS_REC)
            kernel.set_attributes(path, kernel.RDONLY)


class _Trees:
    """Copies of mounts as they were before everything became read-only; what does not exist has none."""

    def __init__(self, paths: "list[str]") -> None:
        self._trees = {path: kernel.open_tree(path) for path in dict.fromkeys(paths) if _there(path)}
        self.paths = frozenset(self._trees)

    def put(self, path: str, *, writable: bool) -> None:
        _point(path, self._trees[path])
        kernel.put_tree(self._trees[path], path)
        kernel.set_attributes(path, kernel.NOSUID | kernel.NODEV | (0 if writable else kernel.RDONLY))


def _there(path: str) -> bool:
    return os.path.lexists(path)


def _point(path: str, tree: int) -> None:
    """A place to mount at, where an empty file system covers what was there."""
    if _there(path):
        return
    os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
    if stat.S_ISDIR(os.fstat(tree).st_mode):
        os.mkdir(path)
    else:
        os.close(os.open(path, os.O_CREAT | os.O_CLOEXEC, 0o600))


def _hide(path: str, nothing: str, visible: "list[str]") -> bool:
    """Cover `path`; whether by an empty file system, in which `visible` parts get a place, else by something without content."""
    if not _there(path) or path in visible:
        return False
    if visible:
        kernel.mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=64k")
        return True
    kernel.mount(f"{nothing}/{'folder' if os.path.isdir(path) else 'file'}", path, "", MS_BIND)
    kernel.set_attributes(path, kernel.RDONLY)
    return False


def _protect(profile: Profile) -> None:
    """Make parts of writable trees read-only, and every folder between the two a mount of its own.

    The parent of a mount can be renamed, the mount itself cannot: without that `mv` would move a protected folder out of the way.
    """
    kept = sorted({path for path in (*profile.readonly, *profile.placeholders) if _there(path)})
    covered = [path for path in profile.hidden if _there(path)]
    pinned: set[str] = set()
    for path in (*kept, *covered):
        folder = os.path.dirname(path)
        while any(folder != root and inside(folder, root) for root in profile.writable):
            pinned.add(folder)
            folder = os.path.dirname(folder)
    for folder in sorted(pinned - {*kept, *profile.writable}):
        kernel.mount(folder, folder, "", MS_BIND | MS_REC)
    for path in kept:
        if any(inside(path, root) for root in profile.writable):
            kernel.put_tree(kernel.open_tree(path), path)
            if not os.path.islink(path):
                kernel.set_attributes(path, kernel.RDONLY)


def _devices(devices: "dict[str, int]") -> None:
    kernel.mount("tmpfs", "/dev", "tmpfs", MS_NOSUID, "mode=0755,size=64k")
    for name, tree in devices.items():
        os.close(os.open(f"/dev/{name}", os.O_CREAT | os.O_CLOEXEC, 0o600))
        kernel.put_tree(tree, f"/dev/{name}")
    for folder in ("pts", "shm"):
        os.mkdir(f"/dev/{folder}", 0o755)
    kernel.mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    kernel.mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=50%")  # noqa: S108
    os.symlink("pts/ptmx", "/dev/ptmx")
    for name, target in _LINKS.items():
        os.symlink(target, f"/dev/{name}")
