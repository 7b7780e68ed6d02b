"""The HTTP transport against a real server on loopback: what is sent, what is refused, what is too large."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mcp import Client, MCPError
from mcp_http_server import McpHttpServer
from nightly import all_but

from kimi_agent.core.errors import ConfigError
from kimi_agent.mcp.definition import Server
from kimi_agent.mcp.http import LARGEST, Heard, http_transport


def entry(url: str, **more: Any) -> Server:
    return Server(name="fake", scope="user", transport=more.pop("transport", "http"), url=url, **more)


@asynccontextmanager
async def connected(server: Server, heard: Heard, **env: str) -> AsyncIterator[Client]:
    async with Client(http_transport(server, None, heard, env), mode="legacy") as client:
        yield client


@pytest.fixture
def fake() -> Any:
    with McpHttpServer() as server:
        yield server


async def test_headers_and_the_token_go_with_every_request(fake: McpHttpServer) -> None:
    server = entry(fake.url, headers={"X-Team": "red"}, bearer_env="FAKE_TOKEN")
    async with connected(server, Heard(), FAKE_TOKEN="t0ken") as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["big"]
    assert fake.asked
    assert {(a.headers["x-team"], a.headers["authorization"]) for a in fake.asked} == {("red", "Bearer t0ken")}
    assert fake.asked[-1].method == "DELETE"


async def test_a_redirect_to_another_origin_gets_no_headers(fake: McpHttpServer) -> None:
    with McpHttpServer() as other:
        fake.refusal = (307, {"location": other.url})
        with pytest.raises(Exception) as caught:
            async with connected(entry(fake.url, headers={"X-Team": "red"}), Heard()):
                pass
        assert other.asked == []
        assert other.url in text_of(caught.value)


@pytest.mark.parametrize(
    ("status", "headers", "cause", "needs_auth"),
    [
        (401, {"www-authenticate": 'Bearer realm="x", scope="a b", resource_metadata="http://x/"'}, "401 Unauthorized", True),
        (403, {"www-authenticate": 'Bearer error="insufficient_scope", scope="a b"'}, "403 Forbidden: insufficient_scope", True),
        (403, {}, "403 Forbidden", False),
        (429, {"retry-after": "7"}, "429 Too Many Requests, retry after 7", False),
        (503, {}, "503 Service Unavailable", False),
        (599, {}, "599", False),
    ],
)  # fmt: skip
async def test_a_refusal_keeps_its_cause(
    fake: McpHttpServer, status: int, headers: dict[str, str], cause: str, needs_auth: bool
) -> None:
    heard = Heard()
    fake.mute = frozenset({"GET"})  # the client tries its stream again by itself, and would hear this refusal later
    async with connected(entry(fake.url), heard) as client:
        await client.list_tools()
        assert heard.status == 0
        fake.refusal = (status, headers)
        with pytest.raises(MCPError):
            await client.list_tools()
        fake.refusal = None
        assert (heard.cause, heard.needs_auth) == (f"HTTP {cause}", needs_auth)
        assert heard.scope == ("a b" if "scope" in str(headers) else "")
        assert heard.url == fake.url
        heard.forget()
        await client.list_tools()
        assert heard.cause == ""


async def test_a_sign_in_that_is_wanted_is_not_forgotten_for_a_400(fake: McpHttpServer) -> None:
    heard = Heard()
    async with connected(entry(fake.url, bearer_env="T"), heard, T="t") as client:
        for status in (401, 400):
            fake.refusal = (status, {})
            with pytest.raises(MCPError):
                await client.list_tools()
            assert heard.needs_auth
        fake.refusal = None
        await client.list_tools()
        assert not heard.status


async def test_a_lost_session_is_told_from_a_wrong_address(fake: McpHttpServer) -> None:
    heard = Heard()
    async with connected(entry(fake.url), heard) as client:
        fake.sessions.clear()
        with pytest.raises(MCPError):
            await client.list_tools()
        assert heard.session_lost
    fake.refusal, heard = (404, {}), Heard()
    with pytest.raises(Exception, match=r".*"):
        async with connected(entry(fake.url), heard):
            pass
    assert (heard.status, heard.session_lost) == (404, False)


@pytest.mark.parametrize("events", all_but([True], [False, True]))
async def test_an_answer_over_the_limit_fails_alone_and_says_so(fake: McpHttpServer, events: bool) -> None:
    fake.events = events
    async with connected(entry(fake.url), Heard()) as client:
        result = await client.call_tool("big", {"size": LARGEST - 1000})
        assert len(result.content[0].text) == LARGEST - 1000
        with pytest.raises(MCPError, match=str(LARGEST)):
            await client.call_tool("big", {"size": LARGEST + 1000})
        assert (await client.call_tool("big", {"size": 3})).content[0].text == "xxx"


async def test_a_packed_answer_cannot_unpack_to_gigabytes(fake: McpHttpServer) -> None:
    fake.packed = True
    async with connected(entry(fake.url), Heard()) as client:
        assert len((await client.call_tool("big", {"size": 2_000_000})).content[0].text) == 2_000_000
        assert len((await client.call_tool("big", {"size": 2_000_000, "noise": True})).content[0].text) == 2_000_000
        with pytest.raises(MCPError, match="larger than"):  # a few kilobytes of it have come by then
            await client.call_tool("big", {"size": 2 * LARGEST})


async def test_nobody_waits_long_for_a_goodbye(fake: McpHttpServer) -> None:
    async with connected(entry(fake.url), Heard()):
        fake.mute = frozenset({"DELETE"})
    assert "DELETE" in {asked.method for asked in fake.asked}


# --- the older transport -----------------------------------------------------------------------------------------------


def older(fake: McpHttpServer, **more: Any) -> Server:
    return entry(f"{fake.origin}/sse", transport="sse", **more)


async def test_the_older_transport_takes_large_answers_too(fake: McpHttpServer) -> None:
    async with connected(older(fake, headers={"X-Team": "red"}), Heard()) as client:
        assert len((await client.call_tool("big", {"size": 2_000_000})).content[0].text) == 2_000_000
    assert {asked.headers["x-team"] for asked in fake.asked} == {"red"}


async def test_a_message_that_cannot_be_sent_fails_at_once(fake: McpHttpServer) -> None:
    heard = Heard()
    async with connected(older(fake), heard) as client:
        fake.refusal = (503, {})
        with pytest.raises(MCPError, match="503"):
            await client.list_tools()
        assert heard.cause == "HTTP 503 Service Unavailable"
        fake.refusal = None
        await client.list_tools()


async def test_the_older_transport_ends_with_a_cause(fake: McpHttpServer) -> None:
    with pytest.raises(BaseException, match=r".*") as caught:
        async with connected(older(fake), Heard()) as client:
            await client.call_tool("big", {"size": LARGEST})
    assert f"exceeded the {LARGEST} byte limit" in text_of(caught.value)


async def test_messages_go_to_no_other_server(fake: McpHttpServer) -> None:
    with McpHttpServer() as other:
        fake.endpoint = f"{other.origin}/messages"
        with pytest.raises(BaseException, match=r".*") as caught:
            async with connected(older(fake), Heard()):
                pass
        assert other.asked == []
    assert "at another server" in text_of(caught.value)


async def test_a_refused_stream_says_why(fake: McpHttpServer) -> None:
    heard, fake.refusal = Heard(), (401, {"www-authenticate": "Bearer"})
    with pytest.raises(BaseException, match=r".*"):
        async with connected(older(fake), heard):
            pass
    assert heard.needs_auth


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"headers": {"X-A": "a\r\nX-B: b"}}, "the header 'X-A' cannot be sent"),
        ({"headers": {"X A": "a"}}, "the header 'X A' cannot be sent"),
        ({"bearer_env": "NO_SUCH"}, "the variable NO_SUCH"),
    ],
)
async def test_what_cannot_be_sent_is_said_before(more: dict[str, Any], said: str) -> None:
    server = entry("http://127.0.0.1:1/mcp", **more)
    with pytest.raises(ConfigError, match=said):
        async with http_transport(server, None, Heard(), {}):
            pass


def text_of(error: BaseException) -> str:
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return str(error) + "".join(map(text_of, inner))
