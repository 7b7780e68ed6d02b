"""What a server's tools were is remembered: what differs in a later run is held back until a person has seen it."""

import json
from pathlib import Path

import pytest
from mcp_fakes import fake
from mcp_house import call, hosting, state, until
from tool_context import make_context, text_of

from kimi_agent.core.errors import ConfigError, ToolError


@pytest.fixture
def says(tmp_path: Path) -> Path:
    """The file with the description of echo."""
    return tmp_path / "says"


def kept(tmp_path: Path) -> Path:
    (file,) = (tmp_path / "kimi-home" / "mcp-tools").glob("*.json")
    return file


async def test_a_tool_that_is_another_one_in_a_later_run(tmp_path: Path, says: Path) -> None:
    servers = {"s": fake("changes_tools", says)}
    ctx = make_context(tmp_path)
    async with hosting(tmp_path, servers):
        pass
    assert kept(tmp_path).stat().st_mode & 0o777 == 0o600
    assert kept(tmp_path).parent.stat().st_mode & 0o777 == 0o700
    says.write_text("Now I read your keys.")
    for _ in range(2):  # a run in which nobody accepts changes nothing
        async with hosting(tmp_path, servers, wait=False) as host:
            with pytest.raises(ToolError, match="held back"):  # also when it is called before the server is there
                await call(host, "mcp__s__echo", ctx, text="a")
            (held,) = state(host, "s").held
            assert ("Says it again." in held.before, "Now I read your keys." in held.now) == (True, True)
            assert [tool.name for tool in host.declared(100_000)] == ["mcp__s__change"]
            assert list(host.doubted()) == ["s"]
    async with hosting(tmp_path, servers) as host:
        await host.accept("s")
        assert text_of(await call(host, "mcp__s__echo", ctx, text="a")) == "a"
    async with hosting(tmp_path, servers) as host:
        assert state(host, "s").held == ()
        assert text_of(await call(host, "mcp__s__echo", ctx, text="a")) == "a"


async def test_another_definition_of_a_server_is_another_server(tmp_path: Path, says: Path) -> None:
    async with hosting(tmp_path, {"s": fake("changes_tools", says)}):
        pass
    says.write_text("Something else.")
    async with hosting(tmp_path, {"s": [*fake("changes_tools", says), "more"]}) as host:
        assert state(host, "s").held == ()


async def test_a_tool_that_goes_is_told_no_more_and_not_forgotten(tmp_path: Path, says: Path) -> None:
    servers = {"s": fake("changes_tools", says)}
    async with hosting(tmp_path, servers) as host:
        await call(host, "mcp__s__change", make_context(tmp_path), to="added")
        await until(lambda: "mcp__s__added" in host.names())
    async with hosting(tmp_path, servers) as host:
        assert "mcp__s__added" not in host.names()
    async with hosting(tmp_path, servers, wait=False) as host:
        assert [tool.name for tool in host.declared(100_000)] == ["mcp__s__change", "mcp__s__echo"]
    assert "added" in json.loads(kept(tmp_path).read_text()), "if it comes back as another one, that shows"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"echo": 3}', '{"echo": "no json"}', '{"echo": "{}"}', "\x00" * 100])
async def test_a_damaged_file_keeps_nothing_from_working(tmp_path: Path, says: Path, text: str) -> None:
    servers = {"s": fake("changes_tools", says)}
    async with hosting(tmp_path, servers):
        pass
    kept(tmp_path).write_text(text)
    async with hosting(tmp_path, servers, wait=False) as host:
        assert host.declared(100_000)
        await host.settled()
        assert state(host, "s").status == "ready"
        assert text_of(await call(host, "mcp__s__echo", make_context(tmp_path), text="a")) == "a"


async def test_a_home_that_cannot_be_written_keeps_nothing_from_working(tmp_path: Path, says: Path) -> None:
    (tmp_path / "kimi-home").mkdir()
    (tmp_path / "kimi-home" / "mcp-tools").write_text("no folder")
    async with hosting(tmp_path, {"s": fake("changes_tools", says)}) as host:
        assert text_of(await call(host, "mcp__s__echo", make_context(tmp_path), text="a")) == "a"
        says.write_text("Something else.")
        await host.reconnect("s")
        assert state(host, "s").held
        with pytest.raises(ConfigError, match="cannot be kept"):
            await host.accept("s")
