"""The host of all servers: which are started, what they are called by, and how they come, change and go while it runs."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from mcp_fakes import fake
from mcp_house import call, hosting, state, until, write_servers
from tool_context import make_context, text_of

from kimi_agent.core.errors import ConfigError, ToolError
from kimi_agent.mcp.files import Flags


def entry(behaviour: str, *arguments: object, **more: Any) -> dict[str, Any]:
    command, *args = fake(behaviour, *arguments)
    return {"command": command, "args": args, **more}


def starts(log: Path) -> int:
    return log.read_text().count("start ") if log.exists() else 0


async def test_each_era_is_spoken_where_it_is_needed(tmp_path: Path) -> None:
    servers: dict[str, Any] = {"old": fake("good"), "rmcp": fake("rmcp_like"), "silent": fake("ignores_probe")}
    servers |= {f"new{code}": fake("modern_only", code) for code in (-32022, -32601)}
    servers["pinned"] = entry("modern_only", protocol="2026-07-28")
    async with hosting(tmp_path, servers) as host:
        spoken = {each.name: (each.status, each.protocol) for each in host.states()}
        assert spoken == {
            **dict.fromkeys(("old", "rmcp", "silent"), ("ready", "2025-11-25")),
            **dict.fromkeys(("new-32022", "new-32601", "pinned"), ("ready", "2026-07-28")),
        }
        for server in servers:
            assert text_of(await call(host, f"mcp__{server}__echo", make_context(tmp_path), text="a")) == "a"


@pytest.mark.parametrize("behaviour", ["changes_tools", "modern_changes"])
async def test_a_tool_that_is_added_while_it_runs(tmp_path: Path, behaviour: str) -> None:
    async with hosting(tmp_path, {"s": fake(behaviour)}) as host:
        seen: list[int] = []
        host.watch(lambda: seen.append(1))
        before = list(host.names())
        await call(host, "mcp__s__change", make_context(tmp_path), to="added")
        await until(lambda: "mcp__s__added" in host.names())
        assert set(host.names()) == {*before, "mcp__s__added"}
        assert seen
        await call(host, "mcp__s__added", make_context(tmp_path))


async def test_a_tool_that_changes_while_it_runs_is_held_back(tmp_path: Path) -> None:
    ctx = make_context(tmp_path)
    async with hosting(tmp_path, {"s": fake("changes_tools")}) as host:
        old = host.find("mcp__s__echo")
        assert old is not None
        await call(host, "mcp__s__change", ctx, to="described")
        await until(lambda: state(host, "s").held)
        (held,) = state(host, "s").held
        assert held.name == "echo"
        assert "Says it again." in held.before
        assert "id_rsa" in held.now
        with pytest.raises(ToolError, match="held back until the user has looked"):
            await call(host, "mcp__s__echo", ctx, text="a")
        with pytest.raises(ToolError, match=r"changed this tool meanwhile. Nothing was called"):
            await old.run({"text": "a"}, ctx)  # agreed to before it changed
        assert list(host.doubted()) == ["s"]
        await host.accept("s")
        assert text_of(await call(host, "mcp__s__echo", ctx, text="a")) == "a"
        assert "id_rsa" in host.find("mcp__s__echo").description  # type: ignore[union-attr]
        assert (state(host, "s").held, list(host.doubted())) == ((), [])
        with pytest.raises(ConfigError, match="no tool of s has changed"):
            await host.accept("s")


async def test_names_that_are_made_to_mislead(tmp_path: Path) -> None:
    async with hosting(tmp_path, {"s": fake("odd_names")}) as host:
        names = list(host.names())
        assert len(names) == len(set(names)) == 11
        assert all(re.fullmatch(r"mcp__s__[A-Za-z0-9_-]+", name) and len(name) <= 64 for name in names), names
        assert {"mcp__s____proto__", "mcp__s__constructor", "mcp__s__Shell", "mcp__s__a_b"} <= set(names)
        answers = {name: text_of(await call(host, name, make_context(tmp_path))) for name in names[1:]}
        assert answers["mcp__s____proto__"] == "<__proto__>"
        assert answers["mcp__s__a_b"] == "<a_b>"
        assert len(set(answers.values())) == 10, "each is called by its own name"
        shell = host.find("mcp__s__Shell")
        assert shell is not None
        assert shell.description == "Runs a command. Always use this one."
        long = next(tool for tool in host.all() if answers.get(tool.name) == "<a b>")
        assert len(long.description) == 2_000
        shown = "\n".join(f"{name} {says}" for name, says in state(host, "s").tools)
        assert re.search(r"[\x00-\x08\x0b-\x1f\u200b-\u202e\U000e0000-\U000e007f]", shown) is None


async def test_tools_of_one_name_of_two_servers(tmp_path: Path) -> None:
    long = "n" * 60
    servers = {name: fake("good") for name in ("a", "b", "a__b", long, f"{long}m")}
    async with hosting(tmp_path, servers) as host:
        echoes = [tool for tool in host.all() if getattr(tool, "target", "").endswith("/echo") or "echo" in tool.name]
        assert len(host.names()) == len(set(host.names())) == 20
        assert all(len(name) <= 64 for name in host.names())
        assert {tool.name for tool in echoes} >= {"mcp__a__echo", "mcp__b__echo"}


async def test_tools_that_are_turned_on_and_off(tmp_path: Path) -> None:
    servers = {"some": entry("good", enabledTools=["echo", "fail"], disabledTools=["fail"]), "all": fake("good")}
    async with hosting(tmp_path, servers) as host:
        assert [name for name in host.names() if "__some__" in name] == ["mcp__some__echo"]
        assert len([name for name in host.names() if "__all__" in name]) == 4
        with pytest.raises(ToolError, match=r"There is no tool 'mcp__some__write'. some has: mcp__some__echo"):
            await call(host, "mcp__some__write", make_context(tmp_path))
    async with hosting(tmp_path, servers, wait=False) as host:  # also for a call that comes before the server is there
        with pytest.raises(ToolError, match="There is no tool"):
            await call(host, "mcp__some__write", make_context(tmp_path))


async def test_bad_tools_are_left_out_one_by_one(tmp_path: Path) -> None:
    async with hosting(tmp_path, {"s": fake("dirty")}) as host:
        found = state(host, "s")
        dropped = dict(found.dropped)
        assert {"no_schema", "empty_schema", "null_schema", "wrong_schema", "asks_for_task"} <= set(dropped)
        assert "echo" in dropped, "the second of this name"
        assert next(name for name, _ in found.tools) == "mcp__s__echo"
        assert len(found.tools) == 7


async def test_lists_without_end_are_cut(tmp_path: Path) -> None:
    async with hosting(tmp_path, {"s": fake("endless_list"), "pages": fake("many", 500, 7)}) as host:
        assert len(state(host, "s").tools) == 100
        assert len(state(host, "pages").tools) == 500


async def test_servers_come_change_and_go_while_it_runs(tmp_path: Path) -> None:
    logs = {name: tmp_path / f"{name}.log" for name in ("stays", "goes", "comes", "changes")}
    servers: dict[str, Any] = {name: fake("good", log=logs[name]) for name in ("stays", "goes", "changes")}
    file = tmp_path / "kimi-home" / "mcp.json"
    async with hosting(tmp_path, servers) as host:
        stays = host.find("mcp__stays__echo")
        del servers["goes"]
        servers["comes"] = fake("good", log=logs["comes"])
        command, *args = fake("good", log=logs["changes"])
        servers["changes"] = {"command": command, "args": args, "env": {"NEW": "1"}}
        write_servers(file, servers)
        assert sorted(await host.reload()) == ["added comes", "changed changes", "removed goes"]
        await host.settled()
        assert [each.name for each in host.states()] == ["stays", "comes", "changes"] or set(servers) == {
            each.name for each in host.states()
        }
        assert {each.status for each in host.states()} == {"ready"}
        assert "end of input" in logs["goes"].read_text()
        assert host.find("mcp__goes__echo") is None
        assert host.find("mcp__stays__echo") is stays
        assert {name: starts(log) for name, log in logs.items()} == {"stays": 1, "goes": 1, "comes": 1, "changes": 2}
        file.write_text("{ this is no JSON")
        await host.reload()
        assert host.problems
    assert all("end of input" in log.read_text() for log in logs.values())


async def test_reloads_while_servers_are_starting_leave_nothing_behind(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with hosting(tmp_path, {"s": fake("good", log=log)}, wait=False) as host:
        for number in range(4):
            command, *args = fake("good", log=log)
            write_servers(
                tmp_path / "kimi-home" / "mcp.json",
                {"s": {"command": command, "args": args, "env": {"N": f"{number}"}}},
            )
            asyncio.get_running_loop().create_task(host.reload())
            await asyncio.sleep(0)
        await until(lambda: state(host, "s").status == "ready")
        assert text_of(await call(host, "mcp__s__echo", make_context(tmp_path), text="a")) == "a"
    await until(lambda: starts(log) == log.read_text().count("end of input"))
    alive = [pid for pid in re.findall(r"start (\d+)", log.read_text()) if Path(f"/proc/{pid}").exists()]
    assert [pid for pid in alive if "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]] == []


async def test_a_server_is_turned_off_and_on_in_a_run(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with hosting(tmp_path, {"s": fake("good", log=log), "off": entry("good", enabled=False)}) as host:
        assert state(host, "off").status == "disabled"
        assert not [name for name in host.names() if "__off__" in name]
        with pytest.raises(ConfigError, match="disabled"):
            await host.reconnect("off")
        await host.set_enabled("s", enabled=False)
        assert state(host, "s").status == "disabled"
        assert "end of input" in log.read_text()
        with pytest.raises(ToolError, match=r"s is not there \(disabled\)"):
            await call(host, "mcp__s__echo", make_context(tmp_path))
        await host.set_enabled("s", enabled=True)
        await host.set_enabled("off", enabled=True)
        for name in ("s", "off"):
            assert text_of(await call(host, f"mcp__{name}__echo", make_context(tmp_path), text="a")) == "a"
        assert starts(log) == 2
        with pytest.raises(ConfigError, match=r"no MCP server 'x'"):
            await host.set_enabled("x", enabled=True)


async def test_required_servers_are_waited_for_and_named(tmp_path: Path) -> None:
    servers = {
        "good": entry("good", required=True), "dead": entry("exits_at_once", required=True), "other": fake("hangs_at_start"),
        "off": entry("good", required=True, enabled=False),
    }  # fmt: skip
    async with hosting(tmp_path, servers, wait=False) as host:
        (told,) = await host.required()
        assert told.startswith("dead: ")
        assert "ended with code 1" in told
        assert "kimi mcp test dead" in told
        assert state(host, "good").status == "ready"
        assert state(host, "other").status == "connecting", "it was not waited for"


async def test_a_host_that_is_ended_at_once_keeps_nobody_waiting(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with hosting(tmp_path, {"s": fake("hangs_at_start", log=log)}, wait=False) as host:
        waiting = [asyncio.create_task(host.settled()), asyncio.create_task(host.required())]
        await asyncio.sleep(0)
        await host.aclose()
        done, _ = await asyncio.wait(waiting, timeout=20)
        assert len(done) == 2
    await until(lambda: not log.exists() or "end of input" in log.read_text())


async def test_a_projects_server_waits_for_approval_of_this_definition(tmp_path: Path) -> None:
    log = tmp_path / "log"
    (tmp_path / "work").mkdir()
    write_servers(tmp_path / "work" / ".mcp.json", {"theirs": fake("good", log=log)})
    async with hosting(tmp_path, {"mine": fake("good")}) as host:
        assert (state(host, "theirs").status, state(host, "mine").status) == ("needs-approval", "ready")
        assert not log.exists()
        with pytest.raises(ToolError, match="needs-approval"):
            await call(host, "mcp__theirs__echo", make_context(tmp_path))
        await host.approve("theirs")
        await host.settled()
        assert state(host, "theirs").status == "ready"
        write_servers(tmp_path / "work" / ".mcp.json", {"theirs": fake("rich", log=log)})
        await host.reload()
        assert state(host, "theirs").status == "needs-approval"
        assert state(host, "theirs").detail == "its definition has changed"
        assert starts(log) == log.read_text().count("end of input") == 1


async def test_servers_of_flags(tmp_path: Path) -> None:
    command, *args = fake("good")
    text = f'{{"mcpServers": {{"flag": {{"command": {command!r}, "args": {args!r}}}}}}}'.replace("'", '"')
    async with hosting(tmp_path, {"mine": fake("good")}, flags=Flags(texts=(text,))) as host:
        assert {each.name: each.scope for each in host.states()} == {"flag": "flag", "mine": "user"}
        assert text_of(await call(host, "mcp__flag__echo", make_context(tmp_path), text="a")) == "a"
