"""What it costs to save files before a step: in a repository of 20,000 files, side by side with `git status` there.

python bench/rewind.py [--files N] [--times N]. The first snapshot is once per folder, and beside what goes on; each step after
it waits for one look at the whole folder (commands) or at the files that it names (edits). Prints a table; asserts nothing.
"""

import argparse
import asyncio
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from kimi_agent.config import Config  # noqa: E402
from kimi_agent.workspaces.local import LocalWorkspace  # noqa: E402
from kimi_agent.workspaces.snapshot_tree import Limits  # noqa: E402
from kimi_agent.workspaces.snapshots import WorkspaceSnapshots, size_of  # noqa: E402

GIT = ["git", "-c", "user.name=bench", "-c", "user.email=bench@localhost"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--times", type=int, default=30)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, home = Path(folder, "repository").resolve(), Path(folder, "home").resolve()
        make(root, given.files)
        print(f"{given.files} files, {given.times} times, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        asyncio.run(measure(root, home, given.times))


def make(root: Path, files: int) -> None:
    for number in range(files):
        path = root / f"part{number % 40}" / f"package{number // 40 % 25}" / f"module_{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"x = {number}\n" * (number % 100 + 20))
    for args in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
        subprocess.run([*GIT, *args], cwd=root, check=True)


async def measure(root: Path, home: Path, times: int) -> None:
    limits = Limits(excluded=frozenset(Config().snapshots.exclude))
    print("| | median ms | least ms | CPU ms |\n|---|---|---|---|")
    for session in ("one", "two"):
        saved = WorkspaceSnapshots(home, session, LocalWorkspace(root), limits)
        began = time.perf_counter()
        await saved.scan(lambda text: None)
        first = (time.perf_counter() - began) * 1000
        print(f"| first snapshot of {'the folder' if session == 'one' else 'a later session'} | {first:.0f} | | |")
    edited = root / "part1" / "package1" / "module_41.py"
    number = 0

    async def status() -> None:
        await asyncio.to_thread(
            subprocess.run, ["git", "status", "--porcelain"], cwd=root, capture_output=True, check=True
        )

    async def unchanged() -> None:
        await saved.scan(lambda text: None)

    async def look() -> None:
        await saved.look([str(edited)])

    async def changed() -> None:
        nonlocal number
        number += 1
        edited.write_text(f"{number}\n")
        await saved.scan(lambda text: None)

    rows = {
        "git status": status,
        "before a command": unchanged,
        "before an edit": look,
        "after a change of one file": changed,
    }
    for name, found in (await alternate(rows, times)).items():
        walls, cpus = zip(*found, strict=True)
        print(f"| {name} | {statistics.median(walls):.1f} | {min(walls):.1f} | {statistics.median(cpus):.1f} |")
    print(f"\n{size_of(home) / 1e6:.1f} MB on the disk, of {size_of(root) / 1e6:.1f} MB with the repository")


async def alternate(rows: dict[str, Callable[[], Awaitable[None]]], times: int) -> dict[str, list[tuple[float, float]]]:
    """Wall and CPU milliseconds of each, in turn, so that what else the machine does hits all alike."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in rows}
    for _ in range(times):
        for name, act in rows.items():
            began, used = time.perf_counter(), cpu_s()
            await act()
            found[name].append(((time.perf_counter() - began) * 1000, (cpu_s() - used) * 1000))
    return found


def cpu_s() -> float:
    """Seconds that this process and its ended children have used: what a busy machine does not change much."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    main()
