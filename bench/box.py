"""What the box costs: the time of one command in each rung, side by side with none, and of the canary. Asserts nothing.

`python bench/box.py [--times N]`
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from measure import table  # noqa: E402

from kimi_agent.workspaces.process import run_process  # noqa: E402
from kimi_agent.workspaces.sandbox.box import Box  # noqa: E402
from kimi_agent.workspaces.sandbox.policy import Places  # noqa: E402
from kimi_agent.workspaces.sandbox.proof import RUNGS  # noqa: E402
from kimi_agent.workspaces.spawn import Room, room_of  # noqa: E402

COMMAND = ["bash", "-c", "true"]


async def one(room: Room | None, folder: Path) -> float:
    began = time.perf_counter()
    ended = await run_process(COMMAND, cwd=folder, env={}, timeout=60, on_output=lambda data: None, room=room)
    assert ended.code == 0
    return (time.perf_counter() - began) * 1e3


async def side_by_side(rooms: dict[str, Room | None], folder: Path, times: int) -> dict[str, list[float]]:
    """So many commands in each, in turn: what else the machine does meets all of them alike."""
    found: dict[str, list[float]] = {name: [] for name in rooms}
    for name in rooms:
        await one(rooms[name], folder)  # starts the zygote
    for _ in range(times):
        for name, room in rooms.items():
            found[name].append(await one(room, folder))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=200, help="commands in each rung")
    times = parser.parse_args().times
    with tempfile.TemporaryDirectory() as name:
        folder, proofs = Path(name), []
        rooms: dict[str, Room | None] = {"no box": None}
        places = Places(str(Path.home() / ".kimi"), str(Path.home()))
        for rung in RUNGS:
            box = Box(places, rungs=[rung])
            began = time.perf_counter()
            state = box.prove()
            took = (time.perf_counter() - began) * 1e3
            if state.rung == rung:
                rooms[rung] = room_of(box, folder)
                residue = ", ".join(state.not_held) or "nothing"
                proofs.append([rung, f"{took:.0f}", str(len(state.checks)), residue])
            else:
                proofs.append([rung, "-", "0", state.reason])
        found = asyncio.run(side_by_side(rooms, folder, times))
        for room in rooms.values():
            if room is not None:
                room.box.close()
    table("The canary, once per start", ["rung", "ms", "checks", "not held"], proofs)
    bare = statistics.median(found["no box"])
    rows = [
        [name, f"{statistics.median(ms):.1f}", f"{min(ms):.1f}", f"{statistics.median(ms) - bare:+.1f}"]
        for name, ms in found.items()
    ]
    table(
        f"`bash -c true` through run_process ({times} times, in turn)", ["", "median ms", "min", "more than none"], rows
    )


if __name__ == "__main__":
    main()
