"""The life of a process that follows another, rank 0, which has made it and tells it through a pipe what to do."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait

from inference_backend.errors import EngineError

LOOPBACK = {"linux": "lo", "darwin": "lo0"}


@contextmanager
def following(pipe: Connection) -> Iterator[None]:
    """For all that the process does: it ends with rank 0, and says ("failed", why) before it ends for any other reason.

    Signals from the terminal or a service manager are rank 0's to answer.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_rank_0, daemon=True).start()
    try:
        yield
    except EOFError:  # rank 0 has closed it
        os._exit(0)
    except Exception as error:
        text = str(error) if isinstance(error, EngineError) else f"{type(error).__name__}: {error}"
        try:
            pipe.send(("failed", text[:500]))
        finally:
            os._exit(1)  # others may be in the middle of a sum: nothing is taken apart


def _end_with_rank_0() -> None:
    """Also where this process waits in a sum for one that was killed."""
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def speak_over_loopback(*libraries: str) -> None:
    """For the libraries of torch.distributed, GLOO and NCCL, unless the environment names an interface already."""
    if interface := LOOPBACK.get(sys.platform):
        for library in libraries:
            os.environ.setdefault(f"{library}_SOCKET_IFNAME", interface)
