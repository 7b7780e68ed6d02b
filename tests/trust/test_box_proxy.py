"""The way out to named hosts: what it lets through, what it refuses, and that it says so."""

import asyncio
import base64
import socket
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from boxes import box as box_of

from kimi_agent.core.access import Access
from kimi_agent.core.address import allows, host_name
from kimi_agent.workspaces.process import run_process
from kimi_agent.workspaces.sandbox.hello import server_name
from kimi_agent.workspaces.sandbox.proxy import Grant, Proxy
from kimi_agent.workspaces.spawn import room_of

ADDRESSES = {
    "allowed.com": ["93.184.216.34"], "deep.sub.example.org": ["93.184.216.34"], "inside.com": ["10.0.0.1"],
    "mixed.com": ["93.184.216.34", "127.0.0.1"], "metadata.com": ["169.254.169.254"], "mapped.com": ["::ffff:127.0.0.1"],
}  # fmt: skip
GRANTED = ("allowed.com", "*.example.org", "inside.com", "mixed.com", "metadata.com", "mapped.com", "gone.com")


ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


class Net:
    """A net of one server, which says what it was sent; `dialled` are the addresses that were connected to."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.dialled: list[tuple[str, int]] = []
        self.got = bytearray()

    async def resolve(self, name: str, port: int) -> Sequence[str]:
        if name not in ADDRESSES:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return ADDRESSES[name]

    async def dial(self, address: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self.dialled.append((address, port))
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while b"\r\n\r\n" not in self.got and (piece := await reader.read(65536)):
            self.got += piece
            if self.got[:1] == b"\x16":
                break
        writer.write(self.answer)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def proxied(hosts: Sequence[str] = GRANTED, answer: bytes = ANSWER) -> AsyncIterator[tuple[Net, Grant]]:
    net = Net(answer)
    server = await asyncio.start_server(net.serve, "127.0.0.1", 0)
    net.port = server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    proxy = Proxy(net.resolve, net.dial)
    await proxy.start(socket.create_server(("127.0.0.1", 0)))
    try:
        yield net, proxy.grant(hosts)
    finally:
        await proxy.aclose()
        server.close()


async def ask(grant: Grant, head: str, then: bytes = b"", word: str | None = None) -> bytes:
    """All that comes back; `then` is sent when a tunnel is there. `{auth}` in the head stands for the command's password."""
    user, _, place = grant.variables["HTTP_PROXY"].removeprefix("http://").partition("@")
    auth = base64.b64encode((user if word is None else word).encode()).decode()
    host, _, port = place.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head.replace("{auth}", f"Proxy-Authorization: Basic {auth}").encode("latin-1"))
    if then:
        answer = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " in answer.split(b"\r\n")[0]:
            writer.write(then)
            answer = await reader.read()
    else:
        answer = await reader.read()
    writer.close()
    return answer


def connect(target: str) -> str:
    return f"CONNECT {target} HTTP/1.1\r\n{{auth}}\r\n\r\n"


def hello(name: str | None) -> bytes:
    """A TLS greeting as a real client sends it."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname = False
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def test_the_name_in_a_greeting() -> None:
    assert server_name(hello("allowed.com")) == "allowed.com"
    with pytest.raises(ValueError, match="does not name one host"):
        server_name(hello(None))
    whole = hello("allowed.com")
    for end in range(5, len(whole), 7):
        with pytest.raises(ValueError):
            server_name(whole[:end])


async def test_a_granted_host_is_reached_at_the_address_that_was_checked() -> None:
    async with proxied() as (net, grant):
        said = await ask(grant, connect("allowed.com:443"), hello("allowed.com"))
        assert said.endswith(b"ok")
        assert net.dialled == [("93.184.216.34", 443)]
        assert net.got.startswith(b"\x16\x03")
        assert grant.refused == []


async def test_a_plain_request_goes_out_without_the_password() -> None:
    async with proxied() as (net, grant):
        first = "POST http://deep.sub.example.org/a?b=c HTTP/1.1\r\nHost: deep.sub.example.org\r\n"
        assert (await ask(grant, first + "Content-Length: 3\r\n{auth}\r\n\r\nabcTAIL")).endswith(b"ok")
        assert bytes(net.got).startswith(b"POST /a?b=c HTTP/1.1\r\nHost: deep.sub.example.org\r\ncontent-length: 3\r\n")
        assert b"TAIL" not in net.got
        assert b"uthorization" not in net.got


REFUSED = {
    "allowed.com.evil.com:443": "not among", "evilallowed.com:443": "not among", "example.org:443": "not among",
    "evil\x00.allowed.com:443": "no host name",
    "ALLOWED.com.:22": "only 443 and 80", "allowed.com:8443": "only 443 and 80",
    "93.184.216.34:443": "address", "[::1]:443": "no host name", "0x5db8d822:443": "no host name",
    "1572395042:443": "no host name",
    "127.1:443": "address", "*.example.org:443": "not among", "allowed.com": "", "user@allowed.com:443": "no host name",
    "allowed.com:443:80": "no host name", "inside.com:443": "inside this machine", "mixed.com:443": "inside this machine",
    "metadata.com:80": "inside this machine", "mapped.com:443": "inside this machine", "gone.com:443": "cannot be found",
    "all_owed.com:443": "no host name", "\xe4llowed.com:443": "no host name", "-allowed.com:443": "no host name",
}  # fmt: skip


@pytest.mark.parametrize("target", [target for target, why in REFUSED.items() if why])
async def test_what_is_not_granted_is_refused_and_told(target: str) -> None:
    async with proxied() as (net, grant):
        said = await ask(grant, connect(target))
        assert said.startswith(b"HTTP/1.1 403 Forbidden\r\nX-Kimi-Blocked: ")
        assert REFUSED[target] in said.decode("latin-1")
        assert net.dialled == []
        assert len(grant.refused) == 1
        assert REFUSED[target] in grant.refused[0]


async def test_upper_case_and_a_last_dot_are_the_same_name() -> None:
    async with proxied() as (_, grant):
        assert (await ask(grant, connect("ALLOWED.com.:443"), hello("allowed.com"))).endswith(b"ok")


@pytest.mark.parametrize(
    ("target", "then"),
    [
        ("allowed.com:443", hello("evil.com")),
        ("allowed.com:443", hello(None)),
        ("allowed.com:443", b"GET / HTTP/1.1\r\nHost: allowed.com\r\n\r\n"),
        ("allowed.com:80", b"GET / HTTP/1.1\r\nHost: evil.com\r\n\r\n"),
        ("allowed.com:80", b"GET / HTTP/1.1\r\nHost: allowed.com\r\nHost: evil.com\r\n\r\n"),
    ],
    ids=["another name", "no name", "no TLS", "another host", "two hosts"],
)
async def test_a_tunnel_is_for_its_host_alone(target: str, then: bytes) -> None:
    async with proxied() as (net, grant):
        assert await ask(grant, connect(target), then) == b""
        assert net.got == b""
        assert len(grant.refused) == 1


@pytest.mark.parametrize(
    "head",
    [
        "GET http://allowed.com/ HTTP/1.1\r\nHost: evil.com\r\n{auth}\r\n\r\n",
        "GET http://evil.com/ HTTP/1.1\r\nHost: allowed.com\r\n{auth}\r\n\r\n",
        "GET http://allowed.com:8080/ HTTP/1.1\r\n{auth}\r\n\r\n",
        "GET https://allowed.com/ HTTP/1.1\r\n{auth}\r\n\r\n",
        "GET http://allowed.com@evil.com/ HTTP/1.1\r\n{auth}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: allowed.com\r\n{auth}\r\n\r\n",
        "POST http://allowed.com/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n{auth}\r\n\r\n0\r\n\r\n",
        "POST http://allowed.com/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n{auth}\r\n\r\nab",
        "POST http://allowed.com/ HTTP/1.1\r\nContent-Length: +1\r\n{auth}\r\n\r\nab",
        "GET http://allowed.com/ HTTP/1.1\r\nX : y\r\n{auth}\r\n\r\n",
        "GET http://allowed.com/ HTTP/1.1\nX: y\r\n{auth}\r\n\r\n",
        "GET http://allowed.com/ FTP/1.1\r\n{auth}\r\n\r\n",
        "GET http://allowed.com/ HTTP/1.1\r\nHost: allowed.com\r\n\r\n",
        "GET http://allowed.com/ HTTP/1.1\r\nUpgrade: h2c\r\n{auth}\r\n\r\n",
    ],
    ids=range(14),
)
async def test_requests_that_could_mean_two_things_are_refused(head: str) -> None:
    async with proxied() as (net, grant):
        assert (await ask(grant, head)).startswith(b"HTTP/1.1 403 ")
        assert net.dialled == []


async def test_a_redirect_leads_nowhere_else() -> None:
    moved = (
        b"HTTP/1.1 302 Found\r\nLocation: http://evil.com/?q=secret\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    async with proxied(answer=moved) as (net, grant):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": grant.variables["HTTP_PROXY"]}))
        with pytest.raises(urllib.error.HTTPError, match="403"):
            await asyncio.to_thread(opener.open, "http://allowed.com/", None, 10)
        assert net.dialled == [("93.184.216.34", 80)]
        assert grant.refused == ["evil.com is not among the granted hosts (" + ", ".join(GRANTED) + ")"]


async def test_nobody_gets_out_on_another_commands_grant() -> None:
    async with proxied() as (net, grant):
        for word in ("kimi:", "kimi:guess", "", "root:" + grant.variables["HTTP_PROXY"]):
            assert (await ask(grant, connect("allowed.com:443"), word=word)).startswith(b"HTTP/1.1 403 ")
    async with proxied([]) as (net, grant):
        assert (await ask(grant, connect("allowed.com:443"))).startswith(b"HTTP/1.1 403 ")
        assert net.dialled == []


COMPARED = [
    (["example.com"], "example.com", True),
    (["example.com"], "www.example.com", False),
    (["*.example.com"], "example.com", False),
    (["*.example.com"], "a.b.example.com", True),
    (["*.example.com"], "aexample.com", False),
    ([], "example.com", False),
]


@pytest.mark.parametrize(("rules", "name", "allowed"), COMPARED)
def test_names_are_compared_label_by_label(rules: list[str], name: str, allowed: bool) -> None:
    assert allows(rules, name) == allowed


NO_NAMES = ["", "localhost", "a..b", "1.2.3.4", "0x7f.1", "::1", "a b.com", "a/b.com", "*", "http://a.com"]


@pytest.mark.parametrize("text", NO_NAMES)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(ValueError):
        host_name(text)


TRY = """
import socket, urllib.error, urllib.request
for url in ("http://evil.com/", "https://evil.com/"):
    try:
        urllib.request.urlopen(url, timeout=10)
    except OSError as error:
        print(getattr(error, "code", ""), error)
try:
    socket.create_connection(("93.184.216.34", 80), 1)
except OSError as error:
    print("no way but the proxy")
"""


@pytest.mark.parametrize("rung", ["R3", "R2"])
async def test_from_inside_of_a_box_there_is_no_other_way(tmp_path: Path, rung: str) -> None:
    out = bytearray()
    ended = await run_process(
        [sys.executable, "-I", "-c", TRY], cwd=tmp_path, env={}, timeout=30, on_output=out.extend,
        room=room_of(box_of(rung), tmp_path), access=Access(hosts=("allowed.com",)),
    )  # fmt: skip
    said = out.decode().splitlines()
    assert said[0].startswith("403 ")
    assert "403" in said[1]
    assert said[2] == "no way but the proxy"
    assert ended.refused == ("evil.com is not among the granted hosts (allowed.com)",)


@pytest.mark.parametrize("rung", ["R1"])
async def test_where_hosts_cannot_be_kept_apart_none_is_granted(tmp_path: Path, rung: str) -> None:
    out = bytearray()
    room, access = room_of(box_of(rung), tmp_path), Access(hosts=("allowed.com",))
    ended = await run_process(
        ["true"], cwd=tmp_path, env={}, timeout=30, on_output=out.extend, room=room, access=access
    )
    assert ended.code == 125
    assert b"named hosts need a network of the box's own" in out


def test_a_way_out_outlives_the_loop_that_had_one_before(tmp_path: Path) -> None:
    """Who uses kimi from Python may run one loop after the other."""
    room, said = room_of(box_of("R3"), tmp_path), []
    for _ in range(2):
        out = bytearray()
        run = run_process(
            [sys.executable, "-I", "-c", TRY], cwd=tmp_path, env={}, timeout=30, on_output=out.extend, room=room,
            access=Access(hosts=("allowed.com",)),
        )  # fmt: skip
        asyncio.run(run)
        said.append(out.decode().splitlines()[0][:4])
    assert said == ["403 ", "403 "]
