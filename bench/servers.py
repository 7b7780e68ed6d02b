"""What MCP servers cost: the first prompt and the first token beside none, a call beside the bare SDK, idleness, many tools.

`python bench/servers.py`. What is compared runs in turn, in one run. Prints tables; asserts nothing.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TextIO

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(Path(__file__).parent)]

from fake_api import FakeAPI  # noqa: E402
from mcp_fakes import fake  # noqa: E402
from mcp_house import hosting, write_servers  # noqa: E402
from measure import table  # noqa: E402
from raw_terminal import RawTerminal  # noqa: E402
from tool_context import make_context  # noqa: E402

KIMI = [sys.executable, "-m", "kimi_agent"]
PROMPT = "\u276f".encode()
TEN = {f"good{number}": fake("good") for number in range(9)} | {"hanging": fake("hangs_at_start")}
TEXT = "\u00a7"  # a letter that nothing else writes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=11, help="counted starts of each kind")
    parser.add_argument("--calls", type=int, default=200, help="counted calls of each kind")
    parser.add_argument("--idle", type=float, default=10.0, help="seconds of idleness")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        homes = {"no servers": folder / "none", "10 servers, one hangs": folder / "ten"}
        for title, home in homes.items():
            home.mkdir()
            if title != "no servers":
                write_servers(home / "mcp.json", TEN)
        first_prompt(folder, homes, arguments.times)
        first_token(folder, homes, arguments.times)
        listing(folder, homes, arguments.times)
        with Path(os.devnull).open("w") as log:
            asyncio.run(calls(folder, arguments.calls, log))
        asyncio.run(idle(folder, arguments.idle))
        asyncio.run(many_tools(folder))


def environment(folder: Path, home: Path) -> dict[str, str]:
    kept = {key: os.environ[key] for key in ("PATH", "LANG", "TMPDIR") if key in os.environ}
    own = {"HOME": str(folder), "KIMI_HOME": str(home), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    return kept | own | {"KIMI_API_KEY": "sk-bench"}


def rows_of(found: dict[str, list[tuple[float, ...]]]) -> list[list[str]]:
    """Medians per kind, and what each column has more than that of the first kind."""
    medians = {name: [statistics.median(column) for column in zip(*runs, strict=True)] for name, runs in found.items()}
    base = next(iter(medians.values()))
    return [
        [name, *(f"{value:.3f} ({value - zero:+.3f})" for value, zero in zip(values, base, strict=True))]
        for name, values in medians.items()
    ]


def first_prompt(folder: Path, homes: dict[str, Path], times: int) -> None:
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in homes}
    with FakeAPI(lambda body: [{"text": "hello"}]) as api:
        for number in range(times + 1):
            for name, home in homes.items():
                argv = [*KIMI, "--base-url", api.url, "--provider", "kimi", "-m", "b", "--trust"]
                with RawTerminal(argv, environment(folder, home), folder) as terminal:
                    drawn = terminal.wait_for(PROMPT)
                    terminal.send(TEXT)
                    echoed = terminal.wait_for(TEXT.encode())
                    if number:
                        found[name].append((drawn, echoed))
    table(
        f"The first prompt (median of {times}, in turn; beside none)",
        ["", "drawn s", "first key shown s"],
        rows_of(found),
    )


def first_token(folder: Path, homes: dict[str, Path], times: int) -> None:
    """From the start of the process to the first text on its standard output, and to its end."""
    scenario = folder / "scenario.json"
    scenario.write_text(json.dumps([[{"text": TEXT}]]))
    argv = [*KIMI, "-p", "hi", "--output-format", "stream-json", "--provider", f"scripted:{scenario}"]
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in homes}
    for number in range(times + 1):
        for name, home in homes.items():
            began = time.perf_counter()
            with subprocess.Popen(argv, stdout=subprocess.PIPE, env=environment(folder, home), cwd=folder) as process:
                assert process.stdout is not None
                seen = b""
                while b"\\u00a7" not in seen and TEXT.encode() not in seen:
                    seen += os.read(process.stdout.fileno(), 65536)
                token = time.perf_counter() - began
                process.stdout.read()
                process.wait()
            if number:
                found[name].append((token, time.perf_counter() - began))
    table(f"kimi -p (median of {times}, in turn; beside none)", ["", "first token s", "whole run s"], rows_of(found))


def listing(folder: Path, homes: dict[str, Path], times: int) -> None:
    heavy = ("mcp", "pydantic", "httpx2", "anyio", "msgspec", "typer")
    program = (
        "import sys; from kimi_agent.cli import run; run(['mcp', 'list']); "
        f"print(len(sys.modules), [m for m in {heavy!r} if m in sys.modules], file=sys.stderr)"
    )
    rows = []
    for name, home in homes.items():
        took = []
        for _ in range(times):
            began = time.perf_counter()
            subprocess.run(
                [*KIMI, "mcp", "list"], capture_output=True, env=environment(folder, home), cwd=folder, check=True
            )
            took.append(time.perf_counter() - began)
        env = environment(folder, home) | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=env, cwd=folder)
        rows.append([name, f"{statistics.median(took):.3f}", done.stderr.strip()])
    table(f"kimi mcp list (median of {times})", ["", "wall s", "modules, and which of the heavy ones"], rows)


@asynccontextmanager
async def bare_client(argv: list[str], log: TextIO) -> AsyncIterator[Any]:
    from mcp import Client
    from mcp.client.stdio import StdioServerParameters, stdio_client

    params = StdioServerParameters(command=argv[0], args=argv[1:])
    async with Client(stdio_client(params, errlog=log), mode="legacy") as client:
        yield client


async def calls(folder: Path, count: int, log: TextIO) -> None:
    """One call after the other, in turn through the bare SDK and through our host, out of the box and in it."""
    took: dict[str, list[float]] = {"bare SDK": [], "host": [], "host, in the box": []}
    ctx = make_context(folder)
    for boxed in (False, True):
        (folder / f"calls{boxed}").mkdir()
    async with (
        bare_client(fake("good"), log) as client,
        hosting(folder / "callsFalse", {"s": fake("good")}) as plain,
        hosting(folder / "callsTrue", {"s": fake("good")}, boxed=True) as boxed_host,
    ):
        tools = {"host": plain.find("mcp__s__echo"), "host, in the box": boxed_host.find("mcp__s__echo")}
        for number in range(count + 20):
            for name, times in took.items():
                began = time.perf_counter()
                if name == "bare SDK":
                    await client.call_tool("echo", {"text": "hello"})
                else:
                    await tools[name].run({"text": "hello"}, ctx)  # type: ignore[union-attr]
                if number >= 20:
                    times.append((time.perf_counter() - began) * 1000)
    base = statistics.median(took["bare SDK"])
    rows = [
        [
            name,
            f"{statistics.median(times):.2f}",
            f"{statistics.median(times) - base:+.2f}",
            f"{sorted(times)[int(count * 0.95)]:.2f}",
        ]
        for name, times in took.items()
    ]
    table(f"One call ({count} each, in turn)", ["", "median ms", "over the bare SDK ms", "p95 ms"], rows)


async def idle(folder: Path, seconds: float) -> None:
    rows = []
    for name, count in {"no servers": 0, "5 servers": 5}.items():
        place = folder / f"idle{count}"
        place.mkdir()
        async with hosting(place, {f"s{number}": fake("good") for number in range(count)}):
            await asyncio.sleep(1)
            before = time.process_time()
            await asyncio.sleep(seconds)
            used = time.process_time() - before
        rows.append([name, f"{used * 1000:.1f}", f"{used / seconds:.4%}"])
    table(f"Idle for {seconds:g} s", ["host with", "CPU ms", "of a core"], rows)


async def many_tools(folder: Path) -> None:
    from kimi_agent.core.schema import tool_spec

    (folder / "many").mkdir()
    async with hosting(folder / "many", {"many": fake("many")}) as host:

        def tokens(tools: Any) -> int:
            return sum(len(json.dumps([s.name, s.description, s.schema])) for s in map(tool_spec, tools)) // 4

        rows = [["declared", f"{tokens(host.declared(128_000)):,}"], ["all definitions", f"{tokens(host.all()):,}"]]
    table("500 tools", ["", "tokens (characters / 4)"], rows)


if __name__ == "__main__":
    main()
