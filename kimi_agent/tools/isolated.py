"""Documents of strangers are read in a process of their own: it can be killed, its memory and time are bounded.

It writes nothing, reaches nobody and reads no file of the person's: see workspaces/sandbox/alone.py, which it begins with.
"""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from kimi_agent.core.errors import ToolError

MAX_CHARS = 5_000_000
"""Characters of text that come out of one document."""
_MEMORY = 2 << 30  # bytes of address space; a large page takes about 0.4 GB
_CPU_S = 120
_ORPHAN_S = 0.5
"""How often the child looks whether it still has its parent."""
_ALONE = "kimi_agent.workspaces.sandbox.alone"
_ENV = ("HOME", "PATH", "LANG", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "VIRTUAL_ENV")
"""All that the reader of hostile documents is given of the environment: what the Python that runs this program needs."""


async def isolated(module: str, *arguments: str, document: bytes) -> str:
    """What `python -m module arguments...` makes of the document: its main function answers `answer(...)` below.

    Raises ToolError with the reason when nothing can be read from it.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", _ALONE, module, *arguments),  # -P: nothing of the working folder is imported
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=_environment(),
        start_new_session=True,
    )
    try:
        text, trouble = await process.communicate(document)
    except BaseException:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if code := await process.wait():
        lines = trouble.decode("utf-8", "replace").strip().splitlines()
        killed = code < 0  # and the lines are a library's warnings
        raise ToolError("it took too much memory or time" if killed or not lines else lines[-1][:500])
    return text.decode("utf-8", "replace")


def _environment() -> dict[str, str]:
    """An entry of PYTHONPATH that is empty or relative is the working folder of a stranger: it is left out."""
    env = {name: os.environ[name] for name in _ENV if name in os.environ}
    if "PYTHONPATH" in env:
        env["PYTHONPATH"] = os.pathsep.join(filter(os.path.isabs, env["PYTHONPATH"].split(os.pathsep)))
    return env


def answer(read: Callable[[bytes], str]) -> int:
    """The child's side: read the document on stdin, write its text to stdout, or the reason why not to stderr.

    The answer is the exit code of the process.
    """
    import resource

    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    with suppress(ValueError, OSError):  # a tighter limit is in force
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
    try:
        text = read(sys.stdin.buffer.read())[:MAX_CHARS]
    except MemoryError:
        trouble = "it takes too much memory"
    except ToolError as error:
        trouble = error.full
    except Exception as error:  # a hostile document can raise anything in the libraries
        trouble = f"{type(error).__name__}: {error}"
    else:
        sys.stdout.buffer.write(text.encode("utf-8", "replace"))
        return 0
    sys.stderr.write(" ".join(trouble.split()) + "\n")
    return 1


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_ORPHAN_S)
    os._exit(0)
