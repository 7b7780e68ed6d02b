"""Many tools, told by one: found by words, called through it or by their names, while the request stays small."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mcp_fakes import fake
from mcp_house import hosting, state, until
from tool_context import make_context, text_of

from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ToolError
from kimi_agent.core.schema import tool_spec, validate
from kimi_agent.core.tool import ToolContext, ToolOutput
from kimi_agent.mcp.host import McpHost
from kimi_agent.mcp.search import NAME, best, definition

WINDOW = 128_000


def tokens(host: McpHost) -> int:
    """What the declared tools take, estimated as everywhere: four characters each."""
    return sum(len(json.dumps([s.name, s.description, s.schema])) for s in map(tool_spec, host.declared(WINDOW))) // 4


async def use(host: McpHost, ctx: ToolContext, **arguments: Any) -> ToolOutput:
    tool = host.find(NAME)
    assert tool is not None
    return await tool.run(validate(tool.Params, arguments), ctx)


async def test_five_hundred_tools_take_the_room_of_one(tmp_path: Path) -> None:
    ctx = make_context(tmp_path)
    async with hosting(tmp_path, {"many": fake("many"), "good": fake("good")}) as host:
        assert [tool.name for tool in host.declared(WINDOW)] == [NAME]
        assert tokens(host) < 1_500
        found = text_of(await use(host, ctx, query="merge a pull request"))
        assert found.startswith("## mcp__many__merge_pull_request_")
        assert found.count("\n## ") == 4
        assert '"pull_request_id"' in found
        name = found.split()[1]
        called = await use(
            host, ctx, name=name, arguments={"owner": "o", "repo": "r", "pull_request_id": 1, "state": "open"}
        )
        assert text_of(called) == f"{name.removeprefix('mcp__many__')} was called"
        direct = host.find(name)
        assert direct is not None
        assert text_of(await direct.run({}, ctx)) == text_of(called)


async def test_a_call_through_the_search_is_asked_for_as_the_tool_itself(tmp_path: Path) -> None:
    ctx = make_context(tmp_path)
    async with hosting(tmp_path, {"many": fake("many"), "good": fake("good")}) as host:
        search = host.find(NAME)
        assert search is not None
        params = validate(search.Params, {"name": "mcp__good__write", "arguments": {"a": 1}})
        assert search.effects(params, ctx) == [Effect("mcp", "good/write")]
        assert search.effects(validate(search.Params, {"query": "write"}), ctx) == []
        preview = await search.preview(params, ctx)
        assert "tool       write" in preview.text  # type: ignore[union-attr]
        with pytest.raises(ToolError, match="There is no tool"):
            await use(host, ctx, name="mcp__nobody__write")


async def test_what_a_query_finds(tmp_path: Path) -> None:
    ctx = make_context(tmp_path)
    async with hosting(tmp_path, {"many": fake("many"), "good": fake("good")}) as host:
        everything = text_of(await use(host, ctx))
        assert "and 460 more" in everything
        assert "good: mcp__good__echo, mcp__good__fail" in everything
        assert "good says of its tools: Say things with echo." in everything
        assert text_of(await use(host, ctx, query="zzzz")).startswith("Nothing matches 'zzzz'.")
        named = text_of(await use(host, ctx, query="mcp__good__write, mcp__many__list_commit_95"))
        assert [line for line in named.splitlines() if line.startswith("## ")] == [
            "## mcp__many__list_commit_95", "## mcp__good__write",
        ]  # fmt: skip
        assert next(tool.name for tool in best("says", host.all())) == "mcp__good__echo"


async def test_a_search_waits_for_servers_within_bounds(tmp_path: Path) -> None:
    ctx = make_context(tmp_path)
    servers = {"many": fake("many"), "hanging": fake("hangs_at_start"), "dead": fake("exits_at_once")}
    async with hosting(tmp_path, servers, wait=False) as host:
        await until(lambda: state(host, "many").status == "ready" and state(host, "dead").status == "failed")
        found = text_of(await use(host, ctx, query="release"))
        assert found.startswith("## mcp__many__")
        assert "hanging is still connecting: search again later." in found
        assert "dead is not there (failed: " in found


async def test_few_tools_are_told_themselves_and_the_order_never_changes(tmp_path: Path) -> None:
    servers = {"b": fake("good"), "a": fake("good")}
    async with hosting(tmp_path, servers, wait=False) as host:
        assert [tool.name for tool in host.declared(WINDOW)] == [NAME], "nobody knows them yet"
        await host.settled()
        first = [tool_spec(tool) for tool in host.declared(WINDOW)]
        assert [spec.name for spec in first][:4] == [f"mcp__b__{name}" for name in ("echo", "fail", "refuse", "write")]
    async with hosting(tmp_path, servers, wait=False) as host:
        assert [tool_spec(tool) for tool in host.declared(WINDOW)] == first, "as they were, before they are there"
        assert [tool.name for tool in host.declared(2_000)] == [NAME], "a small window has no room for them"


async def test_a_huge_definition_leaves_room_for_the_others(tmp_path: Path) -> None:
    def tool(name: str, **text: Any) -> Any:
        params = {"type": "object", "properties": {"text": {"type": "string", **text}}}
        return SimpleNamespace(name=name, description="Reads.", Params=params)

    huge = tool("mcp__a__read", enum=[f"{number:01000}" for number in range(3_000)])
    told = [definition(each) for each in (huge, tool("mcp__b__read"))]
    assert len(told[0]) < 9_000
    assert "more characters are left out by kimi" in told[0]
    assert told[1].endswith("}")
