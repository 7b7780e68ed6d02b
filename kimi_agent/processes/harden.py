"""Keeps this process's memory, and so its keys, from other processes of the same user.

Children are not concerned: what they `exec` is as readable as ever.
"""

import sys
from contextlib import suppress

_PR_SET_DUMPABLE = 4  # prctl(2)


def harden() -> None:
    """No core dump, and on Linux no look at `/proc/PID/environ` and `/proc/PID/mem`, and no ptrace, but by root."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if sys.platform == "linux":
        with suppress(ImportError, OSError, AttributeError):
            import ctypes

            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
