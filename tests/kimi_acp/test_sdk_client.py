"""The SDK's own client, in Python, at the other end."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import acp
import pytest
from acp import schema
from acp_editor import call, text
from kimi_program import Program


class Client:
    """What the SDK calls for the agent's requests and updates."""

    def __init__(self) -> None:
        self.updates: list[Any] = []
        self.asked: list[Any] = []

    def on_connect(self, connection: Any) -> None:
        pass

    async def session_update(self, session_id: str, update: Any, **_: Any) -> None:
        self.updates.append(update)

    async def request_permission(self, options: Any, session_id: str, tool_call: Any, **_: Any) -> Any:
        self.asked.append(tool_call)
        allow = next(option for option in options if option.kind == "allow_once")
        return schema.RequestPermissionResponse(
            outcome=schema.AllowedOutcome(outcome="selected", option_id=allow.option_id)
        )


async def test_a_typed_round_trip(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    write = call("WriteFile", path="b.txt", content="b\n")
    scenario = kimi.scenario([text("Now."), write], [text("Done.")], [text("Begun."), {"delay": 300}])
    client, command = Client(), [sys.executable, "-m", "kimi_agent", "acp", "--provider", scenario]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=kimi.work, env=kimi.environment()
    )
    connection = acp.connect_to_agent(client, process.stdin, process.stdout, use_unstable_protocol=True)  # type: ignore[arg-type]
    hello = await connection.initialize(protocol_version=1, client_capabilities=schema.ClientCapabilities())
    assert hello.protocol_version == 1
    session = await connection.new_session(cwd=str(kimi.work), mcp_servers=[])
    assert [mode.id for mode in session.modes.available_modes] == ["default", "plan", "yolo", "afk"]
    go = [schema.TextContentBlock(type="text", text="Go.")]
    answer = await connection.prompt(session_id=session.session_id, prompt=go)
    assert answer.stop_reason == "end_turn"
    assert (kimi.work / "b.txt").read_text() == "b\n"
    assert client.asked[0].title == "WriteFile b.txt"
    kinds = [type(update).__name__ for update in client.updates]
    assert {"AgentMessageChunk", "ToolCallStart", "ToolCallProgress", "UsageUpdate", "AvailableCommandsUpdate"} <= set(
        kinds
    )
    running = asyncio.ensure_future(connection.prompt(session_id=session.session_id, prompt=go))
    while not any("Begun." in str(update) for update in client.updates):
        await asyncio.sleep(0.02)
    await connection.cancel(session_id=session.session_id)
    assert (await running).stop_reason == "cancelled"
    listed = await connection.list_sessions()
    assert [found.session_id for found in listed.sessions] == [session.session_id]
    with pytest.raises(acp.RequestError) as refused:
        await connection.prompt(session_id="nobody", prompt=go)
    assert refused.value.code == -32002
    await connection.close_session(session_id=session.session_id)
    await connection.close()
    process.stdin.close()  # type: ignore[union-attr]
    assert await process.wait() == 0
