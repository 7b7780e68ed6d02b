"""What background tasks cost an idle session: CPU seconds of line mode and the full-screen shell with 0 and with 4 of them.

`python bench/tasks.py --seconds 10`. Both run at the same time, on the same machine. Prints a table; asserts nothing.
"""

import argparse
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(Path(__file__).parent)]

from kimi_program import Program  # noqa: E402
from pty_screen import PtyScreen  # noqa: E402

KIMI = [sys.executable, "-m", "kimi_agent", "--yolo"]
TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    seconds = parser.parse_args().seconds
    print(f"CPU seconds of an idle session in {seconds:g} s")
    print("| front end | 0 tasks | 4 tasks |\n|---|---|---|")
    for name, flags in (("line mode", ["--line"]), ("full screen", [])):
        none, four = measure(flags, seconds)
        print(f"| {name} | {none:.3f} | {four:.3f} |")


def measure(flags: list[str], seconds: float) -> list[float]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        screens = [stack.enter_context(begun(folder / str(tasks), flags, tasks)) for tasks in (0, 4)]
        for screen in screens:
            screen.wait_for("all is started")
            while screen.sees("never", within=1.0):
                pass  # what it still draws
        before = [cpu(screen.child.pid) for screen in screens]
        time.sleep(seconds)
        return [cpu(screen.child.pid) - start for screen, start in zip(screens, before, strict=True)]


def begun(folder: Path, flags: list[str], tasks: int) -> PtyScreen:
    """A session that starts so many sleeping tasks, and then has nothing to do."""
    kimi = Program(folder)
    arguments = {"command": "sleep 600", "run_in_background": True}
    calls = [{"call": {"name": "Shell", "arguments": arguments}} for _ in range(tasks)]
    scenario = kimi.scenario(*([calls] if calls else []), [{"text": "all is started"}])
    return PtyScreen([*KIMI, "--provider", scenario, *flags, "go"], env=kimi.environment(), cwd=kimi.work)


def cpu(pid: int) -> float:
    """User and system seconds of one process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


if __name__ == "__main__":
    main()
