"""/mcp: what a person sees of servers, and does about them, while a session runs."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from machine import play
from mcp_fakes import fake
from mcp_house import call, hosting, until, write_servers
from mcp_shell import proposals, run, shell_with
from oauth_pair import AuthorizationServer, ResourceServer, answer_of, visit
from test_commands import RecordingShell
from tool_context import make_context

from kimi_agent.commands import completes_arguments, find
from kimi_agent.core.errors import ConfigError
from kimi_agent.mcp.host import McpHost


def notes(shell: RecordingShell) -> list[str]:
    return shell.session._take_notes()


def project(tmp_path: Path, **servers: Any) -> Path:
    path = tmp_path / "work" / ".mcp.json"
    write_servers(path, servers)
    return path


async def test_states_are_told_and_a_server_is_looked_at_turned_off_and_on(tmp_path: Path) -> None:
    servers = {"good": fake("features"), "gone": fake("exits_at_once")}
    async with hosting(tmp_path, servers, wait=False) as host:
        await host.settled(whole=True)
        shell = shell_with(tmp_path, host)
        table = await run(shell, "/mcp")
        assert "| `good` | ready | stdio | 2 tools, 2 prompts, 3 resources | 2025-11-25 |" in table
        assert "| `gone` | failed | stdio |" in table
        assert "ended with code 1 before it answered" in table
        gone = await run(shell, "/mcp gone")
        assert "mcp.json" in gone and '"exits_at_once"' in gone  # noqa: PT018 - one look
        good = await run(shell, "/mcp good")
        assert "echo\n    Says it again." in good
        notes(shell)
        assert "is off in this run" in await run(shell, "/mcp disable good")
        assert "mcp__good__echo" in notes(shell)[0]
        assert list(host.names()) == []
        assert await proposals(shell, "/mcp enable ") == ["good"]
        assert "good is ready: 2 tools" in await run(shell, "/mcp enable good")
        assert "there are more tools: mcp__good__echo" in notes(shell)[0]
        assert await proposals(shell, "/mcp re") == ["reload", "reconnect"]
        assert await proposals(shell, "/mcp reconnect g") == ["good", "gone"]
        assert await proposals(shell, "/mcp reconnect good ") == []
        assert "gone is failed" in await run(shell, "/mcp reconnect gone")
        assert "no MCP server 'nobody'" in await run(shell, "/mcp reconnect nobody")
        assert "no MCP server 'reconnect'" in await run(shell, "/mcp reconnect")


async def test_the_list_to_look_through_has_its_keys(tmp_path: Path) -> None:
    async with hosting(tmp_path, {"good": fake("good")}) as host:
        shell = shell_with(tmp_path, host, [0])
        shell.draws = True
        shown = await run(shell, "/mcp")
        listing = shell.listings[0]
        assert (listing.rows()[0].mark, listing.rows()[0].label) == ("ready", "good")
        assert "Says it again." in shown
        assert "Says it again." in await listing.preview("good")
        off, on = [await next(key for key in listing.keys if key.key == "e").act("good") for _ in range(2)]
        assert (off, on) == ("good is off in this run.", "good is on in this run.")


async def test_a_server_that_is_added_in_another_terminal_joins_a_session(tmp_path: Path) -> None:
    async with hosting(tmp_path, {"later": fake("good")}) as host:
        made: list[McpHost | None] = [None]
        shell = shell_with(tmp_path, None)
        shell.agent.make_servers = lambda folder: made[0]
        assert "There are no MCP servers" in await run(shell, "/mcp")
        assert "There are no MCP servers" in await run(shell, "/mcp reload")
        assert shell.session.servers is None
        made[0] = host
        await play(shell.session, "first")
        assert "added later" in await run(shell, "/mcp reload")
        await host.settled()
        await play(shell.session, "second")
        request = shell.session.runner.models.make_provider("").requests[-1]
        assert "[MCP servers were changed by the user: added later]" in [m.text for m in request.messages]
        assert any(tool.name in ("mcp__later__echo", "McpTools") for tool in request.tools)
        write_servers(tmp_path / "kimi-home" / "mcp.json", {"other": fake("good")})
        assert "removed later" in await run(shell, "/mcp reload")
        assert "Nothing has changed" in await run(shell, "/mcp reload")


async def test_a_definition_is_shown_whole_before_it_is_approved(tmp_path: Path) -> None:
    long = "x" * 5000
    path = project(tmp_path, mine=[*fake("good"), long, "\u202eevil"])
    async with hosting(tmp_path, {}) as host:
        shell = shell_with(tmp_path, host, [0, None, 1])
        asked: list[str] = []
        choose = shell.choose

        async def choosing(title: str, options: Any, text: str = "") -> int | None:
            asked.append(text)
            return await choose(title, options)

        shell.choose = choosing
        assert "/mcp approve mine" in await run(shell, "/mcp")
        assert "not approved" in await run(shell, "/mcp approve mine")
        assert long in asked[0]
        assert "⟨U+202E⟩evil" in asked[0]
        assert shell.titles[0] == "Not now"
        await run(shell, "/mcp approve mine")
        assert host.states()[0].status == "needs-approval"
        assert "mine is ready" in await run(shell, "/mcp approve mine")
        document = json.loads(path.read_text())
        document["mcpServers"]["mine"]["args"].append("--more")
        path.write_text(json.dumps(document))
        assert "its definition has changed" in await run(shell, "/mcp reload")
        await run(shell, "/mcp approve mine")
        assert "--more" in asked[-1].split("what is different now")[1]


async def test_an_approval_is_for_what_was_shown(tmp_path: Path) -> None:
    project(tmp_path, mine=fake("good"))
    async with hosting(tmp_path, {}) as host:
        shown = host.states()[0].digest
        project(tmp_path, mine=[*fake("good"), "--more"])
        await host.reload()
        with pytest.raises(ConfigError, match="has changed meanwhile"):
            await host.approve("mine", shown)
        assert host.states()[0].status == "needs-approval"


async def test_tools_that_have_changed_are_shown_as_a_diff_and_accepted(tmp_path: Path) -> None:
    async with hosting(tmp_path, {"shifty": fake("changes_tools")}) as host:
        shell = shell_with(tmp_path, host, [0, 1])
        host.names()
        await call(host, "mcp__shifty__change", make_context(tmp_path), to="described")
        await until(lambda: host.states()[0].held)
        asked: list[str] = []
        choose = shell.choose

        async def choosing(title: str, options: Any, text: str = "") -> int | None:
            asked.append(text)
            return await choose(title, options)

        shell.choose = choosing
        assert "have changed: `/mcp accept shifty`" in await run(shell, "/mcp")
        assert "```diff" in await run(shell, "/mcp shifty")
        assert "still held back" in await run(shell, "/mcp accept shifty")
        assert "\n-" in asked[0] and "\n+" in asked[0]  # noqa: PT018 - a diff
        await run(shell, "/mcp accept shifty")
        assert not host.states()[0].held
        assert "No tool of shifty has changed" in await run(shell, "/mcp accept shifty")


def test_the_command_is_known(tmp_path: Path) -> None:
    shell = shell_with(tmp_path, None)
    assert find("/mcp reload", shell.session)[1] == "reload"
    assert completes_arguments("/mcp", shell.session) is None
    assert completes_arguments("/btw what ", shell.session) is None


async def test_a_person_signs_in_from_within_a_session(tmp_path: Path) -> None:
    def browser(url: str) -> None:
        """A person who grants everything at once."""
        asyncio.get_running_loop().run_in_executor(None, lambda: visit(answer_of(url)))

    with AuthorizationServer() as guard, ResourceServer(guard=guard) as server:
        async with hosting(tmp_path, {"far": {"url": server.url}}, open_page=browser) as host:
            shell = shell_with(tmp_path, host)
            assert "`/mcp auth far` signs in" in await run(shell, "/mcp")
            shown = await run(shell, "/mcp auth far")
            assert "```text\nhttp://127.0.0.1:" in shown
            assert "far is ready" in shown
            assert "came to nothing" not in shown
