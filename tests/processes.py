"""The machine's processes, seen from outside: for proofs that nothing is left running."""

import time
from pathlib import Path


def living_with(value: str) -> list[str]:
    """Processes, zombies left out, whose environment holds `value`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if value.encode() in (folder / "environ").read_bytes():
                found.append(folder.name)
        except OSError:
            continue
    return found


def working_in(folder: Path) -> list[str]:
    """Processes whose working folder this is."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder:
                found.append(process.name)
        except OSError:
            continue
    return found


def wait_until_gone(value: str, seconds: float = 20.0) -> None:
    """Wait for the end of every process whose environment holds `value`. Fails when one does not end."""
    deadline = time.monotonic() + seconds
    while left := living_with(value):
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.01)
