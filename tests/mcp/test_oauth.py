"""Signing in, against a real pair of servers on loopback, and what other programs of the same person make of it."""

import asyncio
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import oauth_child
import pytest
from mcp import Client, MCPError
from oauth_pair import AuthorizationServer, ResourceServer, answer_of, visit

from kimi_agent.core.errors import ConfigError, KimiError
from kimi_agent.mcp.definition import OAuth, Server
from kimi_agent.mcp.http import Heard, http_transport
from kimi_agent.mcp.oauth import forget, has_tokens, stamp, stored_auth, wanted_scopes
from kimi_agent.mcp.oauth_flow import authorize
from kimi_agent.mcp.oauth_store import SignIn


@pytest.fixture
def guard() -> Iterator[AuthorizationServer]:
    with AuthorizationServer() as server:
        yield server


@pytest.fixture
def fake(guard: AuthorizationServer) -> Iterator[ResourceServer]:
    with ResourceServer(guard=guard) as server:
        yield server


def entry(fake: ResourceServer, **more: Any) -> Server:
    return Server(name="fake", scope="user", transport="http", url=more.pop("url", fake.url), **more)


Browser = Callable[[str], object]


def browser(url: str) -> None:
    """A person who grants everything at once."""
    task = asyncio.get_running_loop().run_in_executor(None, lambda: visit(answer_of(url)))
    task.add_done_callback(lambda done: done.exception())


async def sign_in(
    server: Server,
    home: Path,
    browser: Browser | None = browser,
    pasted: Callable[[], Awaitable[str]] | None = None,
    **more: Any,
) -> list[str]:
    shown: list[str] = []
    await authorize(server, home, show=shown.append, open_browser=browser, pasted=pasted, **more)
    return shown


@asynccontextmanager
async def connected(server: Server, home: Path, heard: Heard | None = None) -> AsyncIterator[Client]:
    auth = stored_auth(server, home)
    async with Client(http_transport(server, auth, heard or Heard()), mode="legacy") as client:
        yield client


def stored(server: Server, home: Path) -> dict[str, Any]:
    return json.loads(SignIn(server, home).path.read_text())


class Child:
    """A program of its own that has imported the SDK and waits."""

    def __init__(self, home: Path, url: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, oauth_child.__file__, str(home), url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ready(self) -> "Child":
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"
        return self

    def go(self) -> "Child":
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self

    def said(self) -> str:
        return self.process.communicate(timeout=60)[0].strip()


# --- the whole way ----------------------------------------------------------------------------------------------------


async def test_one_sign_in_serves_every_later_program(
    fake: ResourceServer, guard: AuthorizationServer, tmp_path: Path
) -> None:
    """The second has an old token, and renews it; two more begin at once, with an old token, and one renews it for both."""
    guard.told, server = 0, entry(fake)
    children = [Child(tmp_path, fake.url) for _ in range(3)]
    assert not has_tokens(server, tmp_path)
    before = stamp(server, tmp_path)
    shown = await sign_in(server, tmp_path)
    assert stamp(server, tmp_path) != before
    assert shown[1].startswith(f"{guard.issuer}/authorize?")
    assert has_tokens(server, tmp_path)
    first = ["register", "authorize", "token authorization_code"]
    assert json.loads(urllib.request.urlopen(f"{guard.origin}/log").read()) == first

    guard.told = None
    guard.end_tokens()
    second, *others = [child.ready() for child in children]
    assert await asyncio.to_thread(second.go().said) == "big"
    assert guard.log == [*first, "token refresh_token"]

    guard.end_tokens()  # as an end that comes early: both are refused, and only one may spend the refresh token
    for child in others:
        child.go()
    assert [await asyncio.to_thread(child.said) for child in others] == ["big", "big"]
    assert guard.log == [*first, "token refresh_token", "token refresh_token"]


async def test_what_is_stored_is_for_one_person_one_server_and_one_issuer(
    fake: ResourceServer, guard: AuthorizationServer, tmp_path: Path
) -> None:
    server = entry(fake)
    await sign_in(server, tmp_path)
    path = SignIn(server, tmp_path).path
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}
    data = stored(server, tmp_path)
    assert (data["resource"], data["issuer"], data["client"]["issuer"]) == (fake.url, guard.issuer, guard.issuer)
    assert not has_tokens(entry(fake, url=fake.url + "2"), tmp_path)
    assert data["client"]["redirect_uris"][0].startswith("http://127.0.0.1:")
    assert guard.clients["client-1"]["application_type"] == "native"
    assert "fixed" not in guard.clients["client-1"]

    path.chmod(0o640)
    assert not has_tokens(server, tmp_path)
    path.chmod(0o600)
    path.write_text("{")
    assert not has_tokens(server, tmp_path)
    with pytest.raises(ConfigError, match="is damaged"):
        await sign_in(server, tmp_path)
    assert path.read_text() == "{"
    assert forget(server, tmp_path)
    assert not forget(server, tmp_path)
    assert not path.exists()


async def test_the_next_sign_in_keeps_the_registration(
    fake: ResourceServer, guard: AuthorizationServer, tmp_path: Path
) -> None:
    server = entry(fake)
    await sign_in(server, tmp_path)
    before = stored(server, tmp_path)
    await sign_in(server, tmp_path)
    assert guard.log.count("register") == 1
    assert stored(server, tmp_path)["client"] == before["client"]

    port = int(re.findall(r":(\d+)/", before["client"]["redirect_uris"][0])[0])
    taken = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", port)
    async with taken:
        await sign_in(server, tmp_path)
    assert guard.log.count("register") == 2
    with pytest.raises(KimiError, match=r"port \d+ of 127.0.0.1"):
        async with await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", port):
            await sign_in(entry(fake, oauth=OAuth(callback_port=port)), tmp_path)


# --- tokens that end --------------------------------------------------------------------------------------------------


async def test_refused_for_good_a_token_is_dropped_and_the_client_is_kept(
    fake: ResourceServer, guard: AuthorizationServer, tmp_path: Path
) -> None:
    guard.told, server, heard = 0, entry(fake), Heard()
    await sign_in(server, tmp_path)
    guard.end_tokens()
    guard.refresh.clear()
    with pytest.raises(BaseException, match=r".*"):
        async with connected(server, tmp_path, heard):
            pass
    assert heard.needs_auth
    assert not has_tokens(server, tmp_path)
    assert stored(server, tmp_path)["client"]["client_id"] == "client-1"
    assert guard.log.count("token refresh_token") == 1
    guard.told = None
    await sign_in(server, tmp_path)
    assert guard.log.count("register") == 1


async def test_a_bad_moment_of_the_authorization_server_costs_no_token(
    fake: ResourceServer, guard: AuthorizationServer, tmp_path: Path
) -> None:
    guard.told, server = 0, entry(fake)
    await sign_in(server, tmp_path)
    guard.broken, guard.told = (503, "temporarily_unavailable"), None
    guard.end_tokens()
    with pytest.raises(BaseException, match=r".*") as caught:
        async with connected(server, tmp_path):
            pass
    assert "cannot be renewed: 127.0.0.1 answers HTTP 503 temporarily_unavailable" in text_of(caught.value)
    guard.broken = None
    async with connected(server, tmp_path) as client:
        await client.list_tools()


async def test_a_running_session_takes_what_another_program_stores(
    fake: ResourceServer, guard: AuthorizationServer, tmp_path: Path
) -> None:
    server, heard = entry(fake), Heard()
    await sign_in(server, tmp_path)
    async with connected(server, tmp_path, heard) as client:
        await client.list_tools()
        guard.end_tokens()
        guard.refresh.clear()
        await sign_in(server, tmp_path)  # kimi mcp auth, elsewhere
        renewals = guard.log.count("token refresh_token")
        await client.call_tool("big", {})
        assert guard.log.count("token refresh_token") == renewals
        forget(server, tmp_path)
        with pytest.raises(MCPError):
            await client.list_tools()
        assert heard.needs_auth
        await sign_in(server, tmp_path)
        await client.call_tool("big", {})


async def test_a_scope_more_is_asked_for_at_the_next_sign_in(
    fake: ResourceServer, guard: AuthorizationServer, tmp_path: Path
) -> None:
    fake.strict, server, heard = True, entry(fake), Heard()
    shown = await sign_in(server, tmp_path)
    assert shown[0].endswith("which is asked for: basic")
    async with connected(server, tmp_path, heard) as client:
        with pytest.raises(MCPError):
            await client.call_tool("big", {})
        assert (heard.needs_auth, heard.scope, wanted_scopes(server, tmp_path)) == (True, "big", "big")
        shown = await sign_in(server, tmp_path)
        assert shown[0].endswith("which is asked for: basic big")
        await client.call_tool("big", {})
    assert wanted_scopes(server, tmp_path) == ""


async def test_slow_calls_do_not_wait_for_each_other(
    fake: ResourceServer, guard: AuthorizationServer, tmp_path: Path
) -> None:
    """The SDK's own provider lets one request at a time through, until it is answered."""
    server = entry(fake)
    await sign_in(server, tmp_path)
    async with connected(server, tmp_path) as client:
        fake.gather = 3
        async with asyncio.timeout(30):
            await asyncio.gather(*[client.call_tool("big", {}) for _ in range(3)])


async def test_a_sign_in_that_fails_leaves_the_last_one(
    fake: ResourceServer, guard: AuthorizationServer, tmp_path: Path
) -> None:
    server = entry(fake)
    await sign_in(server, tmp_path)
    before, guard.broken = stored(server, tmp_path), (400, "invalid_grant")
    with pytest.raises(KimiError, match="invalid_grant"):
        await sign_in(server, tmp_path)
    assert stored(server, tmp_path) == before


# --- what a definition says -------------------------------------------------------------------------------------------


async def test_a_client_and_scopes_that_are_written_down_are_used(
    fake: ResourceServer, guard: AuthorizationServer, tmp_path: Path
) -> None:
    oauth = OAuth(client_id="mine", secret_env="MINE", scopes=("read", "write"))
    server = entry(fake, oauth=oauth)
    guard.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    with pytest.raises(ConfigError, match="the variable MINE"):
        await sign_in(server, tmp_path, env={})
    shown = await sign_in(server, tmp_path, env={"MINE": "s3cret"})
    assert shown[0].endswith("which is asked for: read write")
    assert "register" not in guard.log
    assert guard.asked[-1].body.endswith("client_secret=s3cret")
    assert "s3cret" not in SignIn(server, tmp_path).path.read_text()


async def test_a_document_of_the_client_is_used_where_it_is_known(
    fake: ResourceServer, guard: AuthorizationServer, tmp_path: Path
) -> None:
    server = entry(fake, oauth=OAuth(client_metadata_url="https://example.com/kimi.json"))
    guard.documents = True
    await sign_in(server, tmp_path)
    assert "register" not in guard.log
    assert stored(server, tmp_path)["client"]["client_id"] == "https://example.com/kimi.json"


def test_a_token_in_the_definition_comes_first(fake: ResourceServer, tmp_path: Path) -> None:
    SignIn(entry(fake), tmp_path).update(tokens={"access_token": "x"})
    assert stored_auth(entry(fake), tmp_path) is not None
    assert stored_auth(entry(fake, bearer_env="X"), tmp_path) is None
    assert stored_auth(entry(fake, headers={"authorization": "x"}), tmp_path) is None


# --- what comes back --------------------------------------------------------------------------------------------------


async def test_a_wrong_issuer_ends_it(fake: ResourceServer, guard: AuthorizationServer, tmp_path: Path) -> None:
    guard.iss = guard.issuer + "/"
    with pytest.raises(KimiError, match="iss mismatch"):
        await sign_in(entry(fake), tmp_path)
    assert not has_tokens(entry(fake), tmp_path)
    assert "token authorization_code" not in guard.log


async def test_a_wrong_state_is_passed_over(fake: ResourceServer, guard: AuthorizationServer, tmp_path: Path) -> None:
    pages: list[tuple[int, str]] = []

    def attacked(url: str) -> None:
        async def visits() -> None:
            real = answer_of(url)
            for wrong in (
                real.replace("state=", "state=x"),
                re.sub("code=[^&]*&?", "", real),
                real.replace("/callback", "/x"),
            ):
                pages.append(await asyncio.to_thread(visit, wrong))
            pages.append(await asyncio.to_thread(visit, real))

        running.append(asyncio.get_running_loop().create_task(visits()))

    running: list[asyncio.Task[None]] = []
    shown = await sign_in(entry(fake), tmp_path, attacked)
    await running[0]
    assert [status for status, _ in pages] == [400, 400, 400, 200]
    assert any("its `state` is not ours" in line for line in shown)
    assert not any("script" in page or "state=" in page for _, page in pages)


async def test_a_pasted_address_is_as_good_as_the_browser(
    fake: ResourceServer, guard: AuthorizationServer, tmp_path: Path
) -> None:
    shown: list[str] = []
    lines = iter(["", "what?", "http://127.0.0.1/callback?code=1&state=2"])

    async def paste() -> str:
        line = next(lines, None)
        return answer_of(shown[1]) if line is None else line

    await authorize(entry(fake), tmp_path, show=shown.append, pasted=paste)
    assert has_tokens(entry(fake), tmp_path)
    assert [line for line in shown if line.startswith("(")] == [
        "(that is not the address that the browser was sent to at the end)",
        "(an answer to another sign-in was refused: its `state` is not ours)",
    ]


async def test_what_is_not_granted_is_said_in_clean_words(
    fake: ResourceServer, guard: AuthorizationServer, tmp_path: Path
) -> None:
    guard.denies = True
    with pytest.raises(KimiError, match="did not grant it: access_denied: not today"):
        await sign_in(entry(fake), tmp_path)


async def test_nobody_waits_for_ever(fake: ResourceServer, tmp_path: Path) -> None:
    async def end() -> str:
        raise EOFError

    with pytest.raises(KimiError, match="nobody has signed in"):
        await sign_in(entry(fake), tmp_path, None, end, patience=0.05)


async def test_one_sign_in_at_a_time(fake: ResourceServer, tmp_path: Path) -> None:
    begun = asyncio.Event()
    first = asyncio.create_task(sign_in(entry(fake), tmp_path, lambda url: begun.set()))
    await begun.wait()
    with pytest.raises(KimiError, match="another sign-in"):
        await sign_in(entry(fake), tmp_path, patience=0.01)
    first.cancel()
    await asyncio.wait([first])


# --- where it may lead ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["http://example.com/mcp", "http://localhost.example.com/mcp", "https://a:b@example.com/mcp"]
)
async def test_tokens_go_over_https_or_stay_here(fake: ResourceServer, tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="tokens are sent over https"):
        await sign_in(entry(fake, url=url), tmp_path)
    SignIn(entry(fake, url=url), tmp_path).update(tokens={"access_token": "x"})
    with pytest.raises(ConfigError, match="tokens are sent over https"):
        stored_auth(entry(fake, url=url), tmp_path)


async def test_a_server_cannot_lead_to_plain_http(
    fake: ResourceServer, guard: AuthorizationServer, tmp_path: Path
) -> None:
    fake.leads_to = "http://example.com/tenant"
    with pytest.raises(KimiError, match="neither https nor on this machine"):
        await sign_in(entry(fake), tmp_path)
    fake.leads_to, guard.metadata = "", {"token_endpoint": "http://example.com/token"}
    with pytest.raises(KimiError, match="neither https nor on this machine"):
        await sign_in(entry(fake), tmp_path)
    guard.metadata = {"authorization_endpoint": "http://example.com/authorize"}
    with pytest.raises(KimiError, match="the page to sign in at"):
        await sign_in(entry(fake), tmp_path)


@pytest.mark.parametrize(
    "inside",
    ["http://127.0.0.1:1/x", "https://10.0.0.1/x", "https://169.254.169.254/x", "https://[fd00::1]/x", "https://router/x",
     "https://db.internal/x"],
)  # fmt: skip
async def test_a_public_server_cannot_lead_into_this_network(inside: str) -> None:
    from kimi_agent.mcp.oauth_hosts import check

    with pytest.raises(KimiError, match="refused"):
        await check(inside, "https://8.8.8.8/mcp", "it")
    await check(inside, "https://10.1.1.1/mcp", "it")


async def test_a_server_that_asks_for_nothing_is_told_so(tmp_path: Path) -> None:
    from mcp_http_server import McpHttpServer

    with McpHttpServer() as plain:
        server = Server(name="fake", scope="user", transport="http", url=plain.url)
        with pytest.raises(KimiError, match="came to nothing"):
            await sign_in(server, tmp_path)


def text_of(error: BaseException) -> str:
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return str(error) + "".join(map(text_of, inner))
