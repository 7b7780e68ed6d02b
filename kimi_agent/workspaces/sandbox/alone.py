"""`python -m kimi_agent.workspaces.sandbox.alone MODULE ARGUMENTS...`: run a module of ours that reads what strangers wrote.

Before the module is imported the process takes away from itself what it can: it writes nothing, reads only Python, our code and
libraries of the system, runs no program, makes no socket. Landlock and seccomp do that, also where the box is off. Where the
kernel has neither, the module runs with what else holds it (see tools/isolated.py).
"""

import importlib.util
import os
import runpy
import sys

from kimi_agent.workspaces.sandbox import landlock, seccomp

_SYSTEM = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime",
    "/etc/mime.types", "/etc/nsswitch.conf", "/etc/passwd", "/etc/fonts")  # fmt: skip


def main() -> None:
    module = sys.argv[1]
    found = importlib.util.find_spec(module)
    ours = [
        os.path.dirname(file) for file in (found.origin if found else None, sys.modules["kimi_agent"].__file__) if file
    ]
    if landlock.abi():
        landlock.keep_signals_inside()
        landlock.read_alone([*_SYSTEM, sys.prefix, sys.base_prefix, sys.exec_prefix, *_path(), *ours])
    if seccomp.supported() and sys.platform == "linux":
        seccomp.restrict(sockets=False)
    sys.argv[:] = sys.argv[1:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _path() -> "list[str]":
    """Where Python imports from; not what holds the person's home."""
    home = os.path.realpath(os.path.expanduser("~"))
    folders = [os.path.realpath(folder) for folder in sys.path if folder]
    return [folder for folder in folders if not f"{home}/".startswith(f"{folder.rstrip('/')}/")]


if __name__ == "__main__":
    main()
