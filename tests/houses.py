"""Programs of package registries for tests: each installed once per machine, and used by every later run."""

import fcntl
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

PATIENCE_S = 100
ANEW_S = 300
"""For so long after a registry could not be reached nobody tries again: each try takes its time."""
_UNREACHABLE = re.compile(
    r"\b(ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH|E50[234]|NewConnectionError"
    r"|ConnectTimeoutError|ReadTimeoutError|NameResolutionError|ProxyError|50[234] Server Error)\b"
)


def house(spec: str, registry: str, command: Callable[[Path], list[str]], patience: float = PATIENCE_S) -> Path:
    """The folder `$XDG_CACHE_HOME/kimi-tests/SPEC`, which `command` (of that folder) has filled, now or in an earlier run.

    It may take `patience` seconds.

    The test is skipped where the registry cannot be reached; any other failure of the command is one of the test.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kimi-tests"
    base.mkdir(parents=True, exist_ok=True)
    folder = base / spec.replace("/", "+")
    lock = os.open(folder.with_name(folder.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several workers want it at once: one installs, the others wait
        if not (folder / "whole").exists():
            _fill(folder, registry, command, patience)
    finally:
        os.close(lock)
    return folder


def _fill(folder: Path, registry: str, command: Callable[[Path], list[str]], patience: float) -> None:
    missed = folder.with_name(f"unreachable-{registry}")
    if missed.exists() and time.time() - missed.stat().st_mtime < ANEW_S:
        pytest.skip(f"{registry} could not be reached: {missed.read_text()}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        done = subprocess.run(command(folder), capture_output=True, text=True, timeout=patience, cwd=folder)
    except subprocess.TimeoutExpired:
        _unreachable(missed, registry, f"no end after {patience:g} s")
        return
    if done.returncode:
        found = _UNREACHABLE.search(done.stderr)
        if found:
            _unreachable(missed, registry, found[1])
        raise AssertionError(f"{folder.name} cannot be installed:\n{done.stderr[-2000:]}")
    (folder / "whole").touch()


def _unreachable(note: Path, registry: str, why: str) -> None:
    note.write_text(why)
    pytest.skip(f"{registry} could not be reached: {why}")
