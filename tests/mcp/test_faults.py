"""A server that is broken costs itself: the others answer, its cause is named, and nothing of it is left."""

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path

import pytest
from mcp_fakes import fake, fake_http
from mcp_house import call, hosting, state, until
from tool_context import make_context, text_of

from kimi_agent.core.errors import ToolError
from kimi_agent.mcp.connection import TRIES
from kimi_agent.mcp.host import McpHost


async def echo(host: McpHost, tmp_path: Path, server: str = "good") -> str:
    return text_of(await call(host, f"mcp__{server}__echo", make_context(tmp_path), text="hello"))


def pids(log: Path) -> list[int]:
    """Of every process that the server was."""
    return [int(line.split()[1]) for line in log.read_text().splitlines() if line.startswith("start ")]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def test_broken_servers_beside_a_good_one(tmp_path: Path) -> None:
    """All at once, as a person has them. The good one is there before the slow ones have failed."""
    logs = {name: tmp_path / f"{name}.log" for name in ("hanging", "flooding", "dirty", "stubborn")}
    servers = {
        "good": fake("good"),
        "gone": ["/nonexistent/program"],
        "dead": fake("exits_at_once", 3),
        "hanging": fake("hangs_at_start", log=logs["hanging"]),
        "flooding": fake("floods_stderr", log=logs["flooding"]),
        "garbage": fake("garbage", "line"),
        "dirty": fake("dirty", log=logs["dirty"]),
        "stubborn": fake("stubborn", log=logs["stubborn"]),
        "nowhere": {"url": "http://127.0.0.1:9/mcp"},
        "unset": {"command": "true", "env": {"A": "${NOT_SET_ANYWHERE}"}},
        "folderless": {"command": "true", "cwd": "/nonexistent/folder"},
    }
    async with hosting(tmp_path, servers, wait=False, startup_timeout=20) as host:
        await until(lambda: state(host, "good").status == "ready")
        assert state(host, "hanging").status == "connecting"
        assert await echo(host, tmp_path) == "hello"
        for server in ("flooding", "garbage", "dirty", "stubborn"):
            await until(lambda name=server: state(host, name).status == "ready")  # type: ignore[misc]
            assert await echo(host, tmp_path, server) == "hello"
        for server, cause in {
            "gone": "there is no program '/nonexistent/program'", "dead": "ended with code 3",
            "nowhere": "nothing answers at http://127.0.0.1:9/mcp", "unset": "NOT_SET_ANYWHERE",
            "folderless": "folder is missing",
        }.items():  # fmt: skip
            await until(lambda name=server: state(host, name).status == "failed")  # type: ignore[misc]
            assert cause in state(host, server).detail, server
            assert state(host, server).hint, server
        assert state(host, "dead").stderr == ("cannot start: the licence is missing",)
        assert any("warning: xxx" in line for line in state(host, "flooding").stderr)
    left = {name: [pid for pid in pids(log) if alive(pid)] for name, log in logs.items()}
    assert left == {name: [] for name in logs}


async def test_a_server_that_hangs_is_given_up_and_ended(tmp_path: Path) -> None:
    log = tmp_path / "log"
    servers = {
        "hanging": {"command": fake("x")[0], "args": fake("hangs_at_start", log=log)[1:], "startupTimeoutMs": 300}
    }
    async with hosting(tmp_path, servers) as host:
        assert state(host, "hanging").status == "failed"
        assert state(host, "hanging").detail == "it did not answer within 0.3 s"
        assert "startupTimeoutMs" in state(host, "hanging").hint
        await until(lambda: not any(map(alive, pids(log))))
        assert len(pids(log)) == 1
        assert not any(map(alive, pids(log)))


async def test_a_call_of_a_server_that_never_came_says_why(tmp_path: Path) -> None:
    async with hosting(tmp_path, {"dead": fake("exits_at_once", 3)}) as host:
        tool = host.find("mcp__dead__echo")
        assert tool is not None
        assert tool.effects({}, make_context(tmp_path)) == [], "nobody is asked for what cannot be done"
        with pytest.raises(ToolError, match=r"dead is not there \(failed\).* ended with code 3"):
            await call(host, "mcp__dead__echo", make_context(tmp_path))
        assert host.find("mcp__unheard_of__echo") is None


async def test_output_without_end_costs_next_to_nothing(tmp_path: Path) -> None:
    """Floods of stray lines, of news, of one line that never ends: calls of others, and its own, go through."""
    floods = {kind: fake("floods_stdout", kind) for kind in ("lines", "news", "line")}
    async with hosting(tmp_path, {"good": fake("good"), **floods}, wait=False, startup_timeout=120) as host:
        for server in ("good", "lines", "news"):
            await until(lambda name=server: state(host, name).status == "ready")  # type: ignore[misc]
        assert await echo(host, tmp_path, "news") == "hello"
        for _ in range(5):
            assert await echo(host, tmp_path) == "hello"
            assert await echo(host, tmp_path, "lines") == "hello"
        before, began = time.process_time(), time.monotonic()
        await asyncio.sleep(1)  # while nothing but the floods goes on
        share = (time.process_time() - before) / (time.monotonic() - began)
        assert share < 0.8, "they took a whole core"
        assert state(host, "line").status == "connecting", "its answer never comes"


async def test_a_server_that_asks_and_asks_takes_no_memory(tmp_path: Path) -> None:
    async with hosting(tmp_path, {"asks": fake("asks_for_ever"), "good": fake("good")}) as host:
        await until(lambda: len(asyncio.all_tasks()) > 100)  # a question that waits for its answer is a task
        for _ in range(5):
            assert await echo(host, tmp_path) == "hello"
            await asyncio.sleep(0.1)
            assert 100 < len(asyncio.all_tasks()) < 200


@pytest.mark.parametrize("boxed", [False, True])
async def test_what_a_server_leaves_behind_ends_with_it(tmp_path: Path, boxed: bool) -> None:
    note = tmp_path / "work" / "pid"
    log = tmp_path / "work" / "log"
    async with hosting(tmp_path, {"forks": fake("double_forks", note, log=log)}, boxed=boxed) as host:
        assert await echo(host, tmp_path, "forks") == "hello"
        await until(note.exists)
        if not boxed:  # in a box its number means nothing here
            assert alive(int(note.read_text()))
        mark = f"{note}"
        assert running(mark) or boxed
    await until(lambda: not running(mark))
    assert not running(mark)
    if not boxed:
        await until(lambda: not alive(int(note.read_text())))
        assert not alive(int(note.read_text()))


def running(word: str) -> list[str]:
    """Processes with this in their command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if word.encode() in (folder / "cmdline").read_bytes() and int(folder.name) != os.getpid():
                found.append(folder.name)
        except OSError:
            continue
    return found


async def test_a_server_that_ends_by_itself_takes_along_what_it_started(tmp_path: Path) -> None:
    note, log = tmp_path / "pid", tmp_path / "log"
    async with hosting(tmp_path, {"forks": fake("double_forks", note, log=log)}) as host:
        await until(note.exists)
        os.kill(pids(log)[0], signal.SIGKILL)
        await until(lambda: state(host, "forks").status == "failed")
        assert "137" in state(host, "forks").detail
        await until(lambda: not alive(int(note.read_text())))
        assert not alive(int(note.read_text()))


async def test_servers_that_refuse_at_the_start(tmp_path: Path) -> None:
    """What may pass is tried again after each wait of TRIES, beside everything else."""
    causes = {
        403: "answered HTTP 403 Forbidden", 429: "answered HTTP 429 Too Many Requests, retry after 1",
        500: "answered HTTP 500 Internal Server Error", 503: "answered HTTP 503 Service Unavailable, retry after 1",
    }  # fmt: skip
    logs = {status: tmp_path / f"{status}.log" for status in causes}
    with contextlib.ExitStack() as stack:
        urls = {f"s{status}": stack.enter_context(fake_http("status", status, log=logs[status])) for status in causes}
        servers = {name: {"url": url} for name, url in urls.items()}
        async with hosting(tmp_path, {**servers, "good": fake("good")}, wait=False) as host:
            await until(lambda: state(host, "good").status == "ready")
            assert await echo(host, tmp_path) == "hello"
            await host.settled()
            for status, cause in causes.items():
                found = state(host, f"s{status}")
                assert (found.status, cause in found.detail) == ("failed", True), found.detail
                asked = logs[status].read_text().count("authorization")
                assert asked <= 2 if status == 403 else asked > len(TRIES), (status, asked)


async def test_a_server_that_wants_a_sign_in(tmp_path: Path) -> None:
    with fake_http("status", 401) as url:
        async with hosting(tmp_path, {"web": {"url": url}}) as host:
            assert state(host, "web").status == "needs-auth"
            assert state(host, "web").hint == "Run: kimi mcp auth web"
