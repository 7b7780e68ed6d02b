"""What `kimi acp` costs an editor, beside the agents that npm has: start, sessions, streaming, tool calls, memory, the end.

`python bench/acp.py`. All agents take their turns in one run, on one machine. Prints tables; asserts nothing.
"""

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "acp"), str(ROOT / "tests"), str(Path(__file__).parent)]

import pytest  # noqa: E402
from acp_agents import RIVALS, Agent, NotAnswered, Running, ours, rival  # noqa: E402
from fake_api import FakeAPI  # noqa: E402
from mcp_fakes import fake  # noqa: E402
from measure import table  # noqa: E402

FOLDERS = iter(range(10**6))
SETTLING_S = 2.0
"""Memory is looked at, and the input ended, once what is loaded in the background is there."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=7, help="counted starts of each agent")
    parser.add_argument("--chunks", type=int, default=5000)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--only", nargs="*", help="names of agents")
    arguments = parser.parse_args()
    agents = [agent for agent in with_rivals() if not arguments.only or agent.name in arguments.only]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        starts(agents, folder, arguments.times)
        streaming(agents, folder, arguments.chunks)
        tool_calls(agents, folder, arguments.calls)
        two_at_once(agents, folder)


def with_rivals() -> list[Agent]:
    """Ours, and the rivals that this machine can get."""
    agents = [ours()]
    for name in RIVALS:
        try:
            agents.append(rival(name))
        except pytest.skip.Exception as reason:
            print(f"{name} is left out: {reason}")
        except AssertionError as error:
            print(f"{name} cannot be installed: {str(error)[:300]}")
    return agents


def servers() -> list[dict[str, Any]]:
    """Two that an editor may bring: one that works, one that never says a word."""
    commands = {"good": fake("good"), "silent": ["sleep", "100"]}
    return [{"name": name, "command": command[0], "args": command[1:], "env": []} for name, command in commands.items()]


def lives(process: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False


def hello(body: Any) -> list[dict[str, Any]]:
    return [{"text": "Hello."}]


def starts(agents: list[Agent], folder: Path, times: int) -> None:
    """Each start in a home of its own; the one that is not counted has filled the caches of the machine."""
    found: dict[str, list[tuple[float, ...]]] = {agent.name: [] for agent in agents}
    refused: dict[str, str] = {}
    with FakeAPI(hello) as api:
        for number in range(times + 1):
            for agent in agents:
                if agent.name in refused:
                    continue
                with Running(agent, folder / f"{next(FOLDERS)}", api.url) as running:
                    try:
                        first = running.initialize()
                        opened, _ = running.new(folder / f"{next(FOLDERS)}", servers())
                        whole = time.perf_counter() - running.began
                        time.sleep(SETTLING_S)
                        memory, family, end = running.memory(), running.family(), running.end()
                        time.sleep(SETTLING_S / 2)
                        left = sum(map(lives, family))
                    except NotAnswered as error:
                        refused[agent.name] = str(error)
                        continue
                if number:
                    found[agent.name].append((first, opened, whole, memory, end, left))
    rows = []
    for name, runs in found.items():
        if not runs:
            rows.append([name, refused[name], "", "", "", "", ""])
            continue
        first, opened, whole, memory, end, left = (statistics.median(column) for column in zip(*runs, strict=True))
        slowest = max(run[0] for run in runs)
        rows.append([
            name, f"{first * 1000:.0f} ({slowest * 1000:.0f})", f"{opened * 1000:.0f}", f"{whole * 1000:.0f}", f"{memory:.0f}",
            f"{end * 1000:.0f}", f"{left:.0f}",
        ])  # fmt: skip
    head = [
        "agent",
        "initialize ms (slowest)",
        "session/new ms",
        "both ms",
        "MB 2 s later",
        "input's end to exit ms",
        "left behind",
    ]
    table(f"Start (median of {times}, in turn; two MCP servers, one of which never answers)", head, rows)


def streams(count: int) -> Callable[[], FakeAPI]:
    """An API that answers everything with `count` pieces of text, in the words of three vendors."""
    pieces = [f"word{number} " for number in range(count)]
    responses: list[dict[str, Any]] = [
        {"type": "response.created", "response": {"id": "r", "object": "response", "status": "in_progress"}},
        {"type": "response.output_item.added", "output_index": 0,
         "item": {"type": "message", "id": "m", "role": "assistant", "status": "in_progress", "content": []}},
        *({"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "content_index": 0, "delta": piece}
          for piece in pieces),
        {"type": "response.output_item.done", "output_index": 0, "item": {
            "type": "message", "id": "m", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": "".join(pieces), "annotations": []}]}},
        {"type": "response.completed", "response": {
            "id": "r", "object": "response", "status": "completed", "output": [],
            "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}}},
    ]  # fmt: skip
    messages: list[dict[str, Any]] = [
        {"type": "message_start", "message": {
            "id": "m", "type": "message", "role": "assistant", "model": "fake", "content": [], "stop_reason": None,
            "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}} for piece in pieces),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ]  # fmt: skip
    return lambda: FakeAPI(
        lambda body: [{"text": piece} for piece in pieces],
        event_streams={"/v1/responses": [responses] * 9, "/v1/messages": [messages] * 9},
    )


def streaming(agents: list[Agent], folder: Path, count: int) -> None:
    """The second prompt of a session: one of few pieces has warmed the agent up."""
    rows = []
    for agent in agents:
        if not agent.streams:
            continue
        try:
            with streams(10)() as short, streams(count)() as api:
                _, few, _ = one_stream(agent, folder, short.url)
                wall, cpu, updates = one_stream(agent, folder, api.url)
            per = (cpu - few) / count * 1e6
            rows.append([agent.name, f"{wall:.2f}", f"{cpu:.2f}", f"{per:.0f}", str(updates)])
        except NotAnswered as error:
            rows.append([agent.name, str(error), "", "", ""])
    head = ["agent", "wall s", "CPU s", "CPU µs for each", "updates sent"]
    table(f"A reply of {count:,} chunks (the API included in wall)", head, rows)


def one_stream(agent: Agent, folder: Path, url: str) -> tuple[float, float, int]:
    with Running(agent, folder / f"{next(FOLDERS)}", url) as running:
        running.initialize()
        _, session = running.new(folder / f"{next(FOLDERS)}")
        running.prompt(session)
        before, cpu = running.updates.get(session, 0), running.cpu()
        wall = running.prompt(session)
        return wall, running.cpu() - cpu, running.updates.get(session, 0) - before


def tool_calls(agents: list[Agent], folder: Path, calls: int) -> None:
    """One file read after the other. The API notes when each request comes, and how much the agent has worked by then."""
    rows = []
    for agent in agents:
        if agent.read is None:
            continue
        work = folder / f"{next(FOLDERS)}"
        work.mkdir()
        for number in range(calls):
            (work / f"f{number}.txt").write_text("".join(f"line {i} of file {number}\n" for i in range(40)))
        try:
            cpu, memory, wall = one_long_turn(agent, folder, work, calls)
        except NotAnswered as error:
            rows.append([agent.name, str(error), "", "", ""])
            continue
        steps = [b - a for a, b in pairwise(cpu)]
        early, late = statistics.median(steps[5:15]), statistics.median(steps[-10:])
        rows.append([
            agent.name, f"{wall / calls * 1000:.1f}", f"{early * 1000:.1f}", f"{late * 1000:.1f} ({late / early:.2f})",
            f"{memory[10]:.0f} / {memory[-1]:.0f}",
        ])  # fmt: skip
    head = ["agent", "wall ms a call", "CPU ms, call 10", f"CPU ms, call {calls} (late / early)", "MB"]
    table(f"A turn of {calls} tool calls", head, rows)


def one_long_turn(agent: Agent, folder: Path, work: Path, calls: int) -> tuple[list[float], list[float], float]:
    cpu: list[float] = []
    memory: list[float] = []
    started: list[Running] = []

    def reply(body: Any) -> list[dict[str, Any]]:
        done = sum(message["role"] == "tool" for message in body["messages"])
        cpu.append(started[0].cpu())
        memory.append(started[0].memory())
        assert agent.read is not None
        return [agent.read(str(work / f"f{done}.txt"))] if done < calls else [{"text": "Done."}]

    with FakeAPI(reply) as api, Running(agent, folder / f"{next(FOLDERS)}", api.url) as running:
        started.append(running)
        running.initialize()
        _, session = running.new(work)
        return cpu, memory, running.prompt(session)


def two_at_once(agents: list[Agent], folder: Path) -> None:
    """Two sessions in two folders, beside one: an answer takes the API half a second, so what waits for the other shows."""
    rows = []
    for agent in agents:
        if agent.read is None:
            continue
        with FakeAPI(lambda body: [{"delay": 0.5}, {"text": "Hello."}]) as api:
            try:
                with Running(agent, folder / f"{next(FOLDERS)}", api.url) as running:
                    running.initialize()
                    sessions = [running.new(folder / f"{next(FOLDERS)}")[1] for _ in range(2)]
                    running.prompt(sessions[0])
                    one = running.prompt(sessions[0])
                    running.prompt(sessions[1])
                    began = time.perf_counter()
                    asked = [running.begin_prompt(session) for session in sessions]
                    both = max(running.answer(request)[0] for request in asked) - began
            except NotAnswered as error:
                rows.append([agent.name, str(error), ""])
                continue
        rows.append([agent.name, f"{one:.2f}", f"{both:.2f}"])
    table("Two sessions in two folders, an answer takes 0.5 s", ["agent", "one s", "both at once s"], rows)


if __name__ == "__main__":
    assert threading.current_thread() is threading.main_thread()
    main()
