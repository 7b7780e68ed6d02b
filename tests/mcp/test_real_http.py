"""The reference server of the protocol's authors over both HTTP transports."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import mcp_real_servers
import pytest
from mcp import Client, types

from kimi_agent.mcp.definition import Server, Transport
from kimi_agent.mcp.http import Heard, http_transport


@contextmanager
def everything(kind: str) -> Iterator[str]:
    """Its origin. It takes no port 0, so one that was free a moment ago is named."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = mcp_real_servers.everything(kind)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PORT": str(port)}) as process:
        assert process.stderr is not None
        try:
            assert any(str(port) in line for line in process.stderr), "it ended"
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


@pytest.mark.parametrize(("kind", "transport", "path"), [("streamableHttp", "http", "mcp"), ("sse", "sse", "sse")])
async def test_the_reference_server(kind: str, transport: Transport, path: str) -> None:
    steps: list[float] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        steps.append(done)

    with everything(kind) as origin:
        server = Server(name="everything", scope="user", transport=transport, url=f"{origin}/{path}")
        async with Client(
            http_transport(server, None, Heard(), {}), mode="auto" if transport == "http" else "legacy"
        ) as client:
            assert client.protocol_version == "2025-11-25"
            assert "echo" in {tool.name for tool in (await client.list_tools()).tools}
            (said,) = (await client.call_tool("echo", {"message": "hello"})).content
            assert isinstance(said, types.TextContent)
            assert "hello" in said.text
            arguments = {"duration": 0.2, "steps": 2}
            await client.call_tool("trigger-long-running-operation", arguments, progress_callback=progress)
    assert steps == [1, 2]
