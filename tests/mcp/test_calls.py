"""Calls that go wrong: cancelled, never answered, cut off in the middle. What may have had its effect is not done again."""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from mcp_fakes import fake, fake_http
from mcp_house import call, hosting, state, until
from tool_context import make_context, text_of

from kimi_agent.core.errors import ToolError
from kimi_agent.core.tool import ToolContext


def entry(behaviour: str, *arguments: object, log: Path | None = None, **more: Any) -> dict[str, Any]:
    command, *args = fake(behaviour, *arguments, log=log)
    return {"command": command, "args": args, **more}


def lines(log: Path, beginning: str) -> list[str]:
    return [line for line in log.read_text().splitlines() if line.startswith(beginning)]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def ctx(tmp_path: Path) -> ToolContext:
    (tmp_path / "work").mkdir()
    return make_context(tmp_path / "work")


async def test_a_server_that_dies_in_a_call_is_started_again_by_the_next_one(
    tmp_path: Path, log: Path, ctx: ToolContext
) -> None:
    async with hosting(tmp_path, {"s": fake("dies_in_call", log=log)}) as host:
        with pytest.raises(ToolError) as caught:
            await call(host, "mcp__s__die", ctx)
        assert "ended with code 3 during the call" in str(caught.value)
        assert "Whether the call had its effect is not known" in str(caught.value)
        assert "panic: index out of range" in str(caught.value)
        assert len(lines(log, "call die")) == 1, "it is not made again, whatever the server says of it"
        await until(lambda: state(host, "s").status == "failed")
        assert state(host, "s").detail == "it ended with code 3"
        outputs = await asyncio.gather(*(call(host, "mcp__s__echo", ctx, text=f"{n}") for n in range(5)))
        assert [text_of(output) for output in outputs] == ["0", "1", "2", "3", "4"]
        assert len(lines(log, "start")) == 2, "five callers, one new start"
        assert state(host, "s").status == "ready"


async def test_what_a_server_says_of_its_tool_makes_no_call_safe(tmp_path: Path, log: Path, ctx: ToolContext) -> None:
    async with hosting(tmp_path, {"s": fake("dies_in_call", log=log)}) as host:
        with pytest.raises(ToolError, match="not known"):
            await call(host, "mcp__s__die_once", ctx)
        assert text_of(await call(host, "mcp__s__die_once", ctx)) == "alive"
        assert len(lines(log, "call die_once")) == 2


async def test_a_call_waits_for_a_server_that_is_connecting(tmp_path: Path, ctx: ToolContext) -> None:
    async with hosting(tmp_path, {"s": fake("good")}, wait=False) as host:
        assert state(host, "s").status == "connecting"
        assert text_of(await call(host, "mcp__s__echo", ctx, text="early")) == "early"
        with pytest.raises(ToolError, match=r"There is no tool 'mcp__s__nothing'. s has: mcp__s__echo"):
            await call(host, "mcp__s__nothing", ctx)


@pytest.mark.parametrize(("behaviour", "told"), [("ignores_cancel", False), ("heeds_cancel", True)])
async def test_an_interrupt_ends_a_call_at_once(
    tmp_path: Path, log: Path, ctx: ToolContext, behaviour: str, told: bool
) -> None:
    async with hosting(tmp_path, {"s": fake(behaviour, log=log)}) as host:
        calling = asyncio.create_task(call(host, "mcp__s__slow", ctx))
        await until(lambda: "call slow" in log.read_text())
        calling.cancel()
        await asyncio.wait([calling], timeout=10)
        assert calling.cancelled()
        await until(lambda: "cancelled" in log.read_text())
        assert lines(log, "cancelled"), "the server is told"
        if told:
            await until(lambda: "stopped" in log.read_text())
            assert lines(log, "stopped")
        assert text_of(await call(host, "mcp__s__echo", ctx, text="still there")) == "still there"
        assert len(lines(log, "start")) == 1


async def test_silence_ends_a_call_and_progress_does_not(tmp_path: Path, log: Path, ctx: ToolContext) -> None:
    shown: list[str] = []
    ctx = make_context(tmp_path / "work")
    object.__setattr__(ctx, "progress", shown.append)
    servers = {
        "silent": entry("ignores_cancel", log=log, toolTimeoutMs=400),
        "busy": entry("slow_progress", 8, 0.2, toolTimeoutMs=1000),
    }
    async with hosting(tmp_path, servers) as host:
        working = asyncio.create_task(call(host, "mcp__busy__work", ctx))
        with pytest.raises(ToolError, match=r"silent has said nothing for 0.4 s: the call was cancelled") as caught:
            await call(host, "mcp__silent__slow", ctx)
        assert "not known" in str(caught.value)
        assert "toolTimeoutMs" in str(caught.value)
        await until(lambda: "cancelled" in log.read_text())
        assert text_of(await working) == "worked"
        assert [line.strip() for line in shown] == [f"{n}/8 step {n}" for n in range(1, 9)]


async def test_a_chatty_server_is_shown_without_its_escape_sequences(tmp_path: Path) -> None:
    shown: list[str] = []
    ctx = make_context(tmp_path)
    object.__setattr__(ctx, "progress", shown.append)
    async with hosting(tmp_path, {"s": fake("slow_progress")}) as host:
        assert text_of(await call(host, "mcp__s__chatty", ctx)) == "talked"
    assert shown
    assert not any("\x1b" in line or "title" in line for line in shown)


async def test_a_lost_session_is_made_anew_and_the_call_repeated_once(
    tmp_path: Path, log: Path, ctx: ToolContext
) -> None:
    """The server knew the session no more, so nothing was done."""
    with fake_http("loses_session", log=log) as url:
        async with hosting(tmp_path, {"web": {"url": url}}) as host:
            for text in ("one", "two", "three"):
                assert text_of(await call(host, "mcp__web__echo", ctx, text=text)) == text
            assert len(lines(log, "call echo")) == 3
            assert len(lines(log, "initialize")) == 3


async def test_several_callers_share_one_new_session(tmp_path: Path, log: Path, ctx: ToolContext) -> None:
    with fake_http("loses_session", 5, log=log) as url:
        async with hosting(tmp_path, {"web": {"url": url}}) as host:
            for n in range(5):
                await call(host, "mcp__web__echo", ctx, text=f"{n}")
            outputs = await asyncio.gather(*(call(host, "mcp__web__echo", ctx, text=f"{n}") for n in range(4)))
            assert [text_of(output) for output in outputs] == ["0", "1", "2", "3"]
            assert len(lines(log, "initialize")) == 2


async def test_a_server_over_http_that_goes_and_comes_back(tmp_path: Path, log: Path, ctx: ToolContext) -> None:
    with fake_http("dies", log=log) as url:
        port = url.split(":")[2].split("/")[0]
        async with hosting(tmp_path, {"web": {"url": url}}) as host:
            assert text_of(await call(host, "mcp__web__echo", ctx, text="a")) == "a"
            with pytest.raises(ToolError, match="not known"):
                await call(host, "mcp__web__die", ctx)
            began = time.monotonic()
            with pytest.raises(ToolError, match="nothing answers at"):
                await call(host, "mcp__web__echo", ctx, text="b")
            took = time.monotonic() - began
            assert state(host, "web").status == "failed"
            began = time.monotonic()
            with pytest.raises(ToolError, match="nothing answers at"):
                await call(host, "mcp__web__echo", ctx, text="c")
            assert time.monotonic() - began < took / 2, "nobody waits for it again at once"
            with fake_http("good", "--port", port, log=log):
                await host.reconnect("web")
                assert text_of(await call(host, "mcp__web__echo", ctx, text="d")) == "d"
    assert len(lines(log, "call die")) == 1


@pytest.mark.parametrize(
    ("status", "cause"), [(500, "500 Internal Server Error"), (429, "429 Too Many Requests"), (403, "403")]
)
async def test_a_refusal_in_a_call_names_its_cause(tmp_path: Path, ctx: ToolContext, status: int, cause: str) -> None:
    with fake_http("status", status, 1) as url:
        async with hosting(tmp_path, {"web": {"url": url}}) as host:
            assert text_of(await call(host, "mcp__web__echo", ctx, text="a")) == "a"
            with pytest.raises(ToolError, match=cause):
                await call(host, "mcp__web__echo", ctx, text="b")
            assert state(host, "web").status == "ready"


async def test_a_sign_in_that_is_wanted_in_a_call_shows(tmp_path: Path, ctx: ToolContext) -> None:
    with fake_http("status", 401, 1) as url:
        async with hosting(tmp_path, {"web": {"url": url}}) as host:
            await call(host, "mcp__web__echo", ctx, text="a")
            with pytest.raises(ToolError, match="kimi mcp auth web"):
                await call(host, "mcp__web__echo", ctx, text="b")
            assert state(host, "web").status == "needs-auth"


async def test_a_stream_that_breaks_off_in_a_call(tmp_path: Path, ctx: ToolContext) -> None:
    with fake_http("streams") as url:
        async with hosting(tmp_path, {"web": {"url": url, "toolTimeoutMs": 3000}}) as host:
            with pytest.raises(ToolError):
                await call(host, "mcp__web__cut", ctx)
            assert text_of(await call(host, "mcp__web__echo", ctx, text="a", n=1)) == "a"


async def test_a_killed_server_is_back_for_the_next_call(tmp_path: Path, log: Path, ctx: ToolContext) -> None:
    async with hosting(tmp_path, {"s": fake("good", log=log)}) as host:
        pid = int(lines(log, "start")[0].split()[1])
        os.kill(pid, signal.SIGKILL)
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
            time.sleep(0.001)  # this loop of ours stands still meanwhile, and hears nothing
        assert text_of(await call(host, "mcp__s__echo", ctx, text="a")) == "a", "also before anybody has noticed"
        assert len(lines(log, "start")) == 2


async def test_callers_that_leave_do_not_keep_others_from_a_restart(
    tmp_path: Path, log: Path, ctx: ToolContext
) -> None:
    async with hosting(tmp_path, {"s": fake("good", log=log)}) as host:
        for count in (2, 3):
            os.kill(int(lines(log, "start")[-1].split()[1]), signal.SIGKILL)
            await until(lambda: state(host, "s").status == "failed")
            calling = asyncio.create_task(call(host, "mcp__s__echo", ctx, text="a"))
            await asyncio.sleep(0)
            calling.cancel()
            assert text_of(await call(host, "mcp__s__echo", ctx, text="b")) == "b"
            assert len(lines(log, "start")) == count
