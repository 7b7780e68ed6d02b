"""`@` in a folder of 100,000 files: how long until something is shown, and for how long the event loop stands still.

python -m bench.files [FILES]
"""

import asyncio
import random
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from kimi_agent.frontends.common.files import FileIndex

WORDS = (
    "alpha",
    "build",
    "cache",
    "driver",
    "engine",
    "filter",
    "gateway",
    "handler",
    "index",
    "journal",
    "kernel",
    "loader",
)
QUERIES = ("", "e", "aaaa", "ke", "kernel", "drmo", "parserloader", "kernel/driver", "zqxjkv", "src/", ".gi")


def make(root: Path, files: int) -> None:
    """A tree of packages, four levels deep, with names as programs have them."""
    chosen = random.Random(7)
    for number in range(files // 50):
        folder = root / "src" / "/".join(chosen.choices(WORDS, k=3)) / f"{chosen.choice(WORDS)}_{number}"
        folder.mkdir(parents=True)
        for part in range(50):
            (folder / f"{chosen.choice(WORDS)}_{chosen.choice(WORDS)}{part}.py").touch()


async def watch(standstills: list[float]) -> None:
    """Note for how many milliseconds the event loop stands still, until cancelled."""
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        standstills.append((time.perf_counter() - began) * 1000 - 1)


async def ask(index: FileIndex, query: str) -> tuple[float, float, float, int]:
    """Milliseconds to the first and to the last answer, the longest standstill, the number of results."""
    standstills = [0.0]
    watching = asyncio.create_task(watch(standstills))
    began, first, found = time.perf_counter(), 0.0, 0
    async for answer in index.search(query):
        first, found = first or (time.perf_counter() - began) * 1000, len(answer)
    last = (time.perf_counter() - began) * 1000
    watching.cancel()
    return first, last, max(standstills), found


async def measure(name: str, root: Path, say: Callable[[str], object]) -> None:
    say(f"\n{name}: the first `@`, nothing listed yet")
    say(f"{'query':>28} {'first ms':>9} {'last ms':>9} {'still ms':>9} {'found':>6}")
    for query in ("", "kernel"):
        _row(say, query, await ask(FileIndex(root), query))
    index = FileIndex(root)
    began = time.perf_counter()
    await index.refresh()
    say(f"{name}: listed in {(time.perf_counter() - began) * 1000:.0f} ms; then each key")
    letters = random.Random(1).choices(string.ascii_lowercase, k=40)
    for query in (*QUERIES, "".join(letters)):
        _row(say, query, await ask(index, query))


def _row(say: Callable[[str], object], query: str, figures: tuple[float, float, float, int]) -> None:
    first, last, still, found = figures
    say(f"{query[:24]!r:>28} {first:9.1f} {last:9.1f} {still:9.1f} {found:6}")


def main() -> None:
    files = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make(root, files)
        asyncio.run(measure("plain folder", root, print))
        (root / ".gitignore").write_text("*.log\n")
        for command in (["init", "-q"], ["add", "-A"]):
            subprocess.run(["git", "-C", folder, *command], check=True)
        asyncio.run(measure("git repository", root, print))


if __name__ == "__main__":
    main()
