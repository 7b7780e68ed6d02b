"""`kimi mcp serve --http`: the door, the token, and the SDK's own client behind it."""

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import warm_program
from kimi_program import Program

TOKEN = "a-token-that-was-made-for-this-test"
START = b'{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25", "capabilities": {}, '
START += b'"clientInfo": {"name": "x", "version": "1"}}}'


@dataclass
class Served:
    url: str
    port: int
    process: "subprocess.Popen[str]"

    def post(self, **headers: str) -> tuple[int, dict[str, str]]:
        """Status and headers of the answer to `initialize`. In names of headers, `_` stands for `-`."""
        given = {"host": f"127.0.0.1:{self.port}", "authorization": f"Bearer {TOKEN}"} | headers
        given |= {"accept": "application/json, text/event-stream", "content-type": "application/json"}
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(connection):
            connection.putrequest("POST", "/mcp", skip_host=True)
            for name, value in given.items():
                if value:
                    connection.putheader(name, value)
            connection.putheader("content-length", str(len(START)))
            connection.endheaders(START)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}


@contextlib.contextmanager
def serving(kimi: Program, *flags: str, **env: str) -> Iterator[Served]:
    process = warm_program.start(["mcp", "serve", "--http", "0", *flags], kimi.work, kimi.environment(**env), text=True)
    try:
        url = process.stderr.readline().split()[-1]
        yield Served(url, int(url.split(":")[2].split("/")[0]), process)
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    kimi = Program(tmp_path_factory.mktemp("served"))
    (kimi.work / "a.txt").write_text("hello\n")
    with serving(kimi, "--provider", kimi.scenario([{"text": "Done."}]), KIMI_MCP_TOKEN=TOKEN) as served:
        yield served


def test_who_knows_the_token_comes_in(served: Served) -> None:
    status, headers = served.post()
    assert status == 200
    assert "mcp-session-id" in headers
    assert served.post(host=f"localhost:{served.port}", origin=f"http://127.0.0.1:{served.port}")[0] == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": ""}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": f"Bearer {TOKEN}x"}, 401),
        ({"authorization": f"Basic {TOKEN}"}, 401),
        ({"authorization": "Bearer \xe9"}, 401),
        ({"host": ""}, 400),
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1"}, 421),
        ({"host": "127.0.0.1.evil.example:80"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:1"}, 403),
        ({"origin": "http://evil.example", "authorization": ""}, 403),
    ],
)
def test_who_does_not_is_told_nothing(served: Served, headers: dict[str, str], status: int) -> None:
    answered, told = served.post(**headers)
    assert answered == status
    assert not any(name.startswith(("access-control", "mcp-")) for name in told)


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_the_client_of_the_sdk(served: Served, mode: Any) -> None:
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    async with (
        httpx2.AsyncClient(headers={"authorization": f"Bearer {TOKEN}"}, timeout=30) as http,
        Client(streamable_http_client(served.url, http_client=http), mode=mode) as client,
    ):
        result = await client.call_tool("run_task", {"prompt": "Go."})
        assert result.content[0].text == "Done."  # type: ignore[union-attr]
        assert result.structured_content["stop"] == "done"
        looked = await client.call_tool("read_file", {"path": "a.txt"})
        assert "hello" in looked.content[0].text  # type: ignore[union-attr]


def test_a_token_is_made_where_none_is_given_and_no_command_sees_it(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    with serving(kimi, "--provider", kimi.scenario([{"text": "Done."}])) as served:
        assert served.process.stderr is not None
        token = served.process.stderr.readline().split()[-1]
        assert len(token) > 30
        assert served.post(authorization=f"Bearer {token}")[0] == 200
        assert served.post()[0] == 401
        served.process.terminate()
        assert served.process.wait(20) == 143
        assert served.process.stderr.read() == ""
        assert served.process.stdout is not None
        assert served.process.stdout.read() == ""


def test_a_token_that_can_be_guessed_is_refused(tmp_path: Path) -> None:
    done = Program(tmp_path).run("mcp", "serve", "--http", "0", KIMI_MCP_TOKEN="short")
    assert done.returncode == 2
    assert "at least 16 printable" in done.stderr
