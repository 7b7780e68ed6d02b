"""`make bench`: what kimi costs, against bare Python in the same run. Prints tables; asserts nothing."""

import argparse
import json
import os
import statistics
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(Path(__file__).parent)]

from fake_api import FakeAPI  # noqa: E402
from measure import alternate, cpu_seconds, resident_mb, run_once, table  # noqa: E402
from navigation import TURNS, navigation  # noqa: E402

KIMI = [sys.executable, "-m", "kimi_agent"]
SCRIPT = str(Path(sys.executable).parent / "kimi")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=7, help="counted runs of each command")
    parser.add_argument("--calls", type=int, default=300, help="tool calls of the long turn")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        env = environment(folder)
        start_up(folder, env, arguments.times)
        long_turn(folder, env, arguments.calls)
    table(
        f"Search and jumps in a session of {TURNS * 3} blocks",
        ["what", "median ms", "max ms"],
        navigation(arguments.times),
    )


def environment(folder: Path) -> dict[str, str]:
    kept = {key: os.environ[key] for key in ("PATH", "LANG", "TMPDIR") if key in os.environ}
    return kept | {"HOME": str(folder), "KIMI_HOME": str(folder / "home"), "KIMI_API_KEY": "sk-bench", "TERM": "dumb"}


def start_up(folder: Path, env: dict[str, str], times: int) -> None:
    with FakeAPI(lambda body: [{"text": "hello"}]) as api:
        turn = [*KIMI, "--base-url", api.url, "--provider", "kimi", "-m", "bench", "-p", "hi"]
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "kimi --version": [SCRIPT, "--version"],
            "kimi --help": [SCRIPT, "--help"],
            "import asyncio, httpx": [sys.executable, "-c", "import asyncio, httpx"],
            "one headless turn": turn,
        }
        found = alternate(commands, env, folder, times)
        body = api.requests[-1].json
    bare = found["python -c pass"]
    table(
        f"Start-up (median of {times}, in turn)",
        ["command", "CPU s", "wall s", "peak MB", "x bare Python (CPU)"],
        [
            [name, f"{r.cpu:.3f}", f"{r.wall:.3f}", f"{r.memory:.0f}", f"{r.cpu / max(bare.cpu, 1e-4):.1f}"]
            for name, r in found.items()
        ],
    )
    system, tools = body["messages"][0]["content"], json.dumps(body["tools"])
    table(
        "What every request carries (characters / 4)",
        ["part", "tokens"],
        [["system prompt", str(len(system) // 4)], [f"{len(body['tools'])} tools", str(len(tools) // 4)],
         ["both", str((len(system) + len(tools)) // 4)]],
    )  # fmt: skip


def long_turn(folder: Path, env: dict[str, str], calls: int) -> None:
    """A turn of sequential file reads. The server notes when each request comes and how large the client is then."""
    work = folder / "files"
    work.mkdir()
    for n in range(calls):
        (work / f"f{n}.txt").write_text("".join(f"line {i} of file {n}\n" for i in range(40)))
    cpu: list[float] = []
    memory: list[float] = []

    def reply(body: dict) -> list[dict]:
        pid = child_pid()
        cpu.append(cpu_seconds(pid))
        memory.append(resident_mb(pid))
        done = sum(m["role"] == "tool" for m in body["messages"])
        if done == calls:
            return [{"text": "done"}]
        return [{"call": {"name": "ReadFile", "arguments": {"path": f"files/f{done}.txt"}, "id": f"ReadFile:{done}"}}]

    with FakeAPI(reply) as api:
        base = [*KIMI, "--base-url", api.url, "--provider", "kimi", "-m", "bench"]
        whole = run_once([*base, "-p", "read all files"], env, folder)
        bodies = [r.body for r in api.requests]
    steps = [b - a for a, b in pairwise(cpu)]
    early, late = statistics.median(steps[5:25]), statistics.median(steps[-20:])
    stable = all(later.startswith(shared_prefix(earlier)) for earlier, later in pairwise(bodies))
    table(
        f"One turn with {calls} sequential file reads",
        ["figure", "value"],
        [
            ["CPU ms per call (start-up included)", f"{whole.cpu / calls * 1000:.1f}"],
            ["wall ms per call, server included", f"{whole.wall / calls * 1000:.1f}"],
            [f"CPU ms of the calls around 15 / {calls - 10} (median)", f"{early * 1000:.1f} / {late * 1000:.1f}"],
            ["late / early", f"{late / early:.2f}"],
            [f"memory at call 10 / {calls}, MB", f"{memory[10]:.0f} / {memory[-1]:.0f}"],
            ["growth, MB", f"{memory[-1] - memory[10]:.1f}"],
            ["peak MB", f"{whole.memory:.0f}"],
            ["request prefix byte-identical from step to step", "yes" if stable else "NO"],
        ],
    )


def shared_prefix(body: bytes) -> bytes:
    """The part of a request that the next one has to begin with: all up to the end of its last message."""
    return body[: body.rindex(b"}]")]


def child_pid() -> int:
    """The process that runs the long turn: its prompt is on its command line."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if b"read all files" in (entry / "cmdline").read_bytes():
                    return int(entry.name)
            except OSError:
                continue
    raise RuntimeError("the measured process is gone")


if __name__ == "__main__":
    main()
