"""The client that the official conformance suite drives: our connection, calls and sign-in, with a person who grants everything.

The suite starts a command for each scenario: it appends the address of its server, names the scenario and the revision in the
environment, and looks at the wire. Here the command is conformance_forward.py, which hands all that to a `Driver` in the process
of the test: the SDK is imported once, not fifty times.
"""

import asyncio
import json
import os
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Self

import conformance_forward
from oauth_pair import answer_of

from kimi_agent.core.errors import KimiError, ToolError
from kimi_agent.mcp.calling import call_tool
from kimi_agent.mcp.connection import Connection
from kimi_agent.mcp.definition import OAuth, Server
from kimi_agent.mcp.described import described
from kimi_agent.mcp.link import Link
from kimi_agent.mcp.oauth import wanted_scopes
from kimi_agent.mcp.oauth_flow import authorize

SECRET = "CONFORMANCE_SECRET"
SIGN_INS = 3
"""A server that asks for more and more is given up."""


NOT_OURS = ("auth/client-credentials", "auth/enterprise-managed", "auth/dpop", "auth/wif-jwt-bearer")
"""Extensions that no revision requires: they are not tried, which the suite reports and does not count."""


class Driver:
    """Listens for what the suite starts. `failures` are those of scenarios, by name: some are meant to end in one."""

    def __init__(self) -> None:
        self.failures: dict[str, str] = {}
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    @property
    def command(self) -> str:
        return f"{sys.executable} -IS {conformance_forward.__file__} {self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        url, scenario, revision, context = json.loads(await reader.readline())
        try:
            if not scenario.startswith(NOT_OURS):
                await run(url, scenario, revision, json.loads(context or "{}"))
        except Exception as error:
            self.failures[scenario] = f"{type(error).__name__}: {error}\n"
            writer.write(self.failures[scenario].encode())
        writer.close()


async def run(url: str, scenario: str, revision: str, context: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        connection = Connection(server_for(url, revision, context), link_in(Path(folder), context), lambda: None)
        connection.start()
        try:
            await connection.settled()
            await use(connection, scenario, context)
        finally:
            await connection.aclose()


def server_for(url: str, revision: str, context: dict[str, Any]) -> Server:
    oauth = OAuth(
        client_id=context.get("client_id", ""),
        secret_env=SECRET if context.get("client_secret") else "",
        client_metadata_url="https://conformance-test.local/client-metadata.json",
    )
    protocol = "legacy" if revision <= "2025-11-25" else "auto"
    return Server(name="conformance", scope="user", transport="http", url=url, oauth=oauth, protocol=protocol)


def link_in(folder: Path, context: dict[str, Any]) -> Link:
    async def no_child(*_: Any) -> Any:
        raise NotImplementedError

    env = {**os.environ, SECRET: context.get("client_secret") or ""}
    return Link(no_child, folder / "home", folder, folder / "cache", lambda: (), env, accept_defaults)


async def use(connection: Connection, scenario: str, context: dict[str, Any]) -> None:
    """Sign in where it is asked for, then call every tool."""
    for _ in range(SIGN_INS):
        if connection.status == "needs-auth":
            await sign_in(connection)
            await connection.restart()
    if connection.status != "ready":
        raise KimiError(f"not connected: {connection.problem}")
    for name, arguments in calls(connection, scenario, context):
        await call(connection, name, arguments)


def calls(connection: Connection, scenario: str, context: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    if "toolCalls" in context:
        return [(given["name"], given["arguments"]) for given in context["toolCalls"]]
    if scenario == "json-schema-2020-12-preservation":
        schema = connection.tools[0].input_schema
        return [("json_schema_echo", {"schema": schema})]
    return [(tool.name, {"a": 5, "b": 3} if tool.name == "add_numbers" else {}) for tool in connection.tools]


async def call(connection: Connection, name: str, arguments: dict[str, Any]) -> None:
    """A tool that wants a scope more gets it from a new sign-in."""
    for _ in range(SIGN_INS):
        tool = next(tool for tool in connection.tools if tool.name == name)
        try:
            await call_tool(connection, described(tool), arguments, lambda _: None)
            return
        except ToolError as error:
            if not connection.heard.needs_auth:
                sys.stderr.write(f"{name}: {error}\n")
                return
        await sign_in(connection)
    raise KimiError(
        f"{name} wants more than any sign-in gives: {wanted_scopes(connection.server, connection.link.home)}"
    )


async def sign_in(connection: Connection) -> None:
    connection.heard.forget()
    line: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def visit(url: str) -> None:
        loop = asyncio.get_running_loop()
        threading.Thread(target=lambda: loop.call_soon_threadsafe(line.set_result, answer_of(url)), daemon=True).start()

    async def pasted() -> str:
        return await asyncio.shield(line)

    link = connection.link
    await authorize(
        connection.server, link.home, show=lambda _: None, open_browser=visit, pasted=pasted, env=link.env, patience=20
    )


async def accept_defaults(server: Server, params: Any, session: str) -> Any:
    from mcp import types

    properties = getattr(params, "requested_schema", {}).get("properties", {})
    content = {name: about["default"] for name, about in properties.items() if "default" in about}
    return types.ElicitResult(action="accept", content=content)
