"""What the full screen costs a person: start, keys, streams, idleness, long sessions; against a bare Textual app.

`python bench/screens.py`. Everything that is compared runs in turn, in one run. Prints tables; asserts nothing.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(Path(__file__).parent)]

from fake_api import FakeAPI  # noqa: E402
from long_session import make  # noqa: E402
from measure import table  # noqa: E402
from raw_terminal import RawTerminal  # noqa: E402

KIMI = [sys.executable, "-m", "kimi_agent"]
BARE = """
from textual.app import App
from textual.widgets import TextArea

class Bare(App):
    def compose(self):
        area = TextArea()
        area.cursor_blink = False
        yield area

Bare().run()
"""
PROMPT = "\u276f".encode()
TOKENS_PER_S, STREAM_S = 200, 10.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=7, help="counted starts of each program")
    parser.add_argument("--keys", type=int, default=200, help="keys typed in each session")
    parser.add_argument("--idle", type=float, default=20.0, help="seconds of idleness")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, FakeAPI(lambda body: list(stream())) as api:
        folder = Path(name)
        env = environment(folder, api.url)
        starts(folder, env, arguments.times)
        keys(folder, env, arguments.keys)
        streaming(folder, env)
        idle(folder, env, arguments.idle)
        long_session(folder, env)


def environment(folder: Path, url: str) -> dict[str, str]:
    kept = {key: os.environ[key] for key in ("PATH", "LANG", "TMPDIR") if key in os.environ}
    (folder / "work").mkdir()
    (folder / "home").mkdir()
    config = f'default_model = "fake"\n[providers.p]\ntype = "kimi"\nbase_url = "{url}"\napi_key = "sk-bench"\n'
    config += '[models.fake]\nprovider = "p"\nmodel = "fake"\nmax_context_size = 10000000\n'
    (folder / "home" / "config.toml").write_text(config)
    own = {"HOME": str(folder), "KIMI_HOME": str(folder / "home"), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    return kept | own


def stream() -> Iterator[dict[str, object]]:
    """Markdown, a token at a time."""
    words = [
        *["Some", "**bold**", "text", "and", "`code`,", "then", "a", "list:", ""],
        "\n\n- one",
        "\n- two",
        "\n\n```py\nx = 1\n```\n\n",
    ]
    for number in range(int(TOKENS_PER_S * STREAM_S)):
        yield {"text": words[number % len(words)] + " "}
        yield {"delay": 1 / TOKENS_PER_S}
    yield {"text": "THE-END"}


def starts(folder: Path, env: dict[str, str], times: int) -> None:
    programs = {
        "bare Textual app": ([sys.executable, "-c", BARE], b"x"),
        "kimi": (KIMI, b"x"),
    }
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in programs}
    for number in range(times + 1):
        for name, (argv, _) in programs.items():
            with RawTerminal(argv, env, folder / "work") as terminal:
                drawn = terminal.wait_for(PROMPT if name == "kimi" else b"\x1b[?1049h")
                terminal.send("\u00a7")  # a letter that nothing else draws
                echoed = terminal.wait_for("\u00a7".encode())
                if number:  # the first one warms the caches
                    found[name].append((drawn, echoed, terminal.resident_mb))
    bare = statistics.median(echo for _, echo, _ in found["bare Textual app"])
    rows = []
    for name, runs in found.items():
        drawn, echoed, memory = (statistics.median(column) for column in zip(*runs, strict=True))
        rows.append([name, f"{drawn:.3f}", f"{echoed:.3f}", f"{echoed / bare:.2f}", f"{memory:.0f}"])
    table(f"Start (median of {times}, in turn)", ["program", "drawn s", "first key shown s", "x bare", "MB"], rows)


def keys(folder: Path, env: dict[str, str], count: int) -> None:
    """Key to screen, in turn in an empty session and in one of 2,000 blocks."""
    long = make(folder / "k", 2000)
    long_env = env | {"KIMI_HOME": str(folder / "k" / "home")}
    (folder / "k" / "home" / "config.toml").write_text((folder / "home" / "config.toml").read_text())
    took: dict[str, list[float]] = {"empty": [], "2,000 blocks": []}
    with (
        RawTerminal(KIMI, env, folder / "work") as empty,
        RawTerminal([*KIMI, "-r", long], long_env, folder / "work") as full,
    ):
        for terminal in (empty, full):
            terminal.wait_for(PROMPT)
            terminal.settle(1.0)
        for number in range(count):
            key = "abcdefghij"[number % 10] if number % 40 < 30 else "\x7f"
            took["empty"].append(empty.latency(key))
            took["2,000 blocks"].append(full.latency(key))
    rows = []
    for name, all_of in took.items():
        ordered = sorted(all_of)
        median, p99 = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
        ratio = median / statistics.median(took["empty"])
        rows.append([name, f"{median * 1000:.1f}", f"{p99 * 1000:.1f}", f"{ratio:.2f}"])
    table(f"Key to screen ({count} keys each, in turn)", ["session", "median ms", "p99 ms", "x empty"], rows)


def streaming(folder: Path, env: dict[str, str]) -> None:
    with RawTerminal(KIMI, env, folder / "work") as terminal:
        terminal.wait_for(PROMPT)
        terminal.send("go")
        terminal.settle()
        before, began = terminal.cpu, time.perf_counter()
        terminal.send("\r")
        terminal.wait_for(b"THE-END", 120)
        seconds = time.perf_counter() - began
        cpu = terminal.cpu - before
    rows = [[f"{TOKENS_PER_S * STREAM_S / seconds:.0f}", f"{seconds:.1f}", f"{cpu:.2f}", f"{cpu / seconds:.0%}"]]
    table("Streaming markdown", ["tokens/s", "wall s", "CPU s", "of a core"], rows)


def idle(folder: Path, env: dict[str, str], seconds: float) -> None:
    rows = []
    for name, argv in {"bare Textual app": [sys.executable, "-c", BARE], "kimi": KIMI}.items():
        with RawTerminal(argv, env, folder / "work") as terminal:
            terminal.wait_for(b"\x1b[?1049h")
            terminal.settle(2.0)
            before = terminal.cpu
            end = time.perf_counter() + seconds
            while (left := end - time.perf_counter()) > 0:
                terminal.read(left)
            rows.append([name, f"{terminal.cpu - before:.2f}", f"{(terminal.cpu - before) / seconds:.2%}"])
    table(f"Idle for {seconds:g} s", ["program", "CPU s", "share"], rows)


def long_session(folder: Path, env: dict[str, str]) -> None:
    session = make(folder / "l", 5000)
    (folder / "l" / "home" / "config.toml").write_text((folder / "home" / "config.toml").read_text())
    env = env | {"KIMI_HOME": str(folder / "l" / "home")}
    with RawTerminal([*KIMI, "-r", session], env, folder / "work") as terminal:
        drawn = terminal.wait_for(PROMPT)
        terminal.settle(1.0)
        opened = terminal.resident_mb
        pages = [terminal.latency("\x1b[5~") for _ in range(40)]
        home = terminal.latency("\x1b[1;5H")
        end = terminal.latency("\x1b[1;5F")
        before = terminal.cpu
        for _ in range(20):
            terminal.send("\x1b[O\x1b[I")
            terminal.settle(0.05)
        focus = (terminal.cpu - before) / 20
        memory = terminal.resident_mb
    rows = [
        ["opened and drawn, s", f"{drawn:.2f}"],
        ["MB when opened / after scrolling", f"{opened:.0f} / {memory:.0f}"],
        ["a page up, median / slowest ms", f"{statistics.median(pages) * 1000:.0f} / {max(pages) * 1000:.0f}"],
        ["to the beginning / the end, ms", f"{home * 1000:.0f} / {end * 1000:.0f}"],
        ["focus out and in, CPU ms", f"{focus * 1000:.1f}"],
    ]
    table("A session of 5,000 blocks", ["figure", "value"], rows)


if __name__ == "__main__":
    main()
