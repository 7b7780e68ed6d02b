"""Whole-process figures by the operating system's own accounting: CPU seconds, wall seconds, peak memory."""

import os
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Run:
    """`cpu` and `wall` in seconds, `memory` (peak resident set) in MB."""

    cpu: float
    wall: float
    memory: float


def run_once(argv: Sequence[str], env: dict[str, str], cwd: Path) -> Run:
    """Run a command to its end. Raises RuntimeError with its output when it fails."""
    output = cwd / "bench-output.txt"
    with output.open("wb") as sink:
        started = time.perf_counter()
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, env=env, cwd=cwd
        )
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(
            f"{' '.join(argv)} ended with {child.returncode}:\n{output.read_text(errors='replace')[-2000:]}"
        )
    return Run(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024)


def median_of(runs: Sequence[Run]) -> Run:
    return Run(
        statistics.median(r.cpu for r in runs),
        statistics.median(r.wall for r in runs),
        statistics.median(r.memory for r in runs),
    )


def alternate(commands: dict[str, Sequence[str]], env: dict[str, str], cwd: Path, times: int) -> dict[str, Run]:
    """Each command `times` times, in turn, after one warm-up each: drift of the machine hits all alike."""
    for argv in commands.values():
        run_once(argv, env, cwd)
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for _ in range(times):
        for name, argv in commands.items():
            runs[name].append(run_once(argv, env, cwd))
    return {name: median_of(found) for name, found in runs.items()}


def resident_mb(pid: int) -> float:
    """Resident set of a living process in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024 / 1024


def cpu_seconds(pid: int) -> float:
    """CPU time of a living process so far, all its threads, in nanosecond resolution."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def table(title: str, head: list[str], rows: list[list[str]]) -> None:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in [head, *rows]
    ]
    print(f"\n{title}\n{lines[0]}\n{'-' * len(lines[0])}\n" + "\n".join(lines[1:]), flush=True)
