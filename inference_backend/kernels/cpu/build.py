"""A C file of this folder as a shared library: compiled once per machine with its own C compiler, kept in the user's cache.

The cache is a folder of the user alone (0700): a library in it is code that runs as the user. Its name holds a hash of the
source, the flags, the compiler and the CPU, so that a home shared by unlike machines is no danger.
"""

import ctypes
import hashlib
import os
import platform
import re
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

FLAGS = ("-std=gnu11", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-fPIC", "-shared")
TIMEOUT_S = 120


class BuildError(Exception):
    """Why there is no library; the message is for a log."""


def load_library(source: Path, *defines: str) -> ctypes.CDLL:
    """Raises BuildError: no compiler, one that refuses the source (missing instructions too), or no safe place for the result."""
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise BuildError("no C compiler (cc, gcc or clang) was found")
    flags = [*FLAGS, *(f"-D{each}" for each in defines)]
    library = cache_folder() / f"{source.stem}-{_key(source, compiler, flags)}.so"
    try:
        if not library.exists():
            _compile([compiler, *flags, str(source), "-lm"], library)
        if library.stat().st_uid != os.getuid():
            raise BuildError(f"{library} belongs to another user")
        return ctypes.CDLL(str(library))
    except (OSError, subprocess.SubprocessError) as error:
        raise BuildError(f"{source.name}: {error}") from error


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/kimi/kernels`, made with mode 0700. Raises BuildError where it is not the user's alone."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        folder = (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "kimi" / "kernels"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home
        raise BuildError(f"no cache folder: {error}") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise BuildError(f"{folder} is not a folder that you alone can write")
    return folder


def _key(source: Path, compiler: str, flags: list[str]) -> str:
    version = subprocess.run([compiler, "--version"], capture_output=True, timeout=TIMEOUT_S, check=False).stdout
    parts = [source.read_bytes(), compiler.encode(), version, " ".join(flags).encode(), _cpu().encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:32]


def _cpu() -> str:
    """What `-march=native` depends on."""
    try:
        info = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        info = ""
    told = re.findall(r"^(?:vendor_id|cpu family|model|stepping|flags|Features)\s*:.*$", info, re.MULTILINE)
    return "\n".join([platform.machine(), platform.processor(), *sorted(set(told))])


def _compile(command: list[str], library: Path) -> None:
    """Whole or not at all, whoever else compiles the same at the same time."""
    handle, name = tempfile.mkstemp(prefix=".building-", suffix=".so", dir=library.parent)
    os.close(handle)
    try:
        ran = subprocess.run([*command, "-o", name], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        if ran.returncode:
            raise BuildError(f"the C compiler refused {command[-2]}: {ran.stderr.strip()[:2000]}")
        Path(name).chmod(0o700)
        Path(name).replace(library)
    finally:
        Path(name).unlink(missing_ok=True)
