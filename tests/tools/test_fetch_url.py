import asyncio
import gzip
import shutil
import socket
import ssl
import subprocess
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from document_files import make_pdf
from hypothesis import given
from hypothesis import strategies as st
from nightly import all_but
from tool_context import NoTasks

from kimi_agent.core.ask import Answer, Dismissed, Question
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ToolError
from kimi_agent.core.message import Text
from kimi_agent.core.tool import ToolContext
from kimi_agent.tools import http_get
from kimi_agent.tools.extract import html_to_markdown
from kimi_agent.tools.fetch_url import FetchURL, FetchURLParams
from kimi_agent.tools.net import MAX_PAGE_BYTES, is_public, parse_url, resolve
from kimi_agent.tools.output import spill_path
from kimi_agent.workspaces.local import LocalWorkspace

HOSTS = r"""
127.0.0.1 127.1 2130706433 0x7f000001 0177.0.0.1 0 0.0.0.0 [::1] [::] [::ffff:127.0.0.1] [::ffff:a9fe:a9fe]
169.254.169.254 0xA9FEA9FE 2852039166 [fd00:ec2::254] 100.100.100.200 100.64.0.1 [64:ff9b::a9fe:a9fe]
[64:ff9b:1::7f00:1] [2002:7f00:1::] 192.168.1.1 10.0.0.1 172.31.255.255 localhost localhost. LOCALHOST
user@127.0.0.1 user@8.8.8.8 :pw@8.8.8.8 8.8.8.8@127.0.0.1 127.0.0.1#@8.8.8.8 ８.８.８.８ ①②⑦.0.0.1 [fe80::1%25lo]
[fe80::1] [fec0::1] [ff02::1] [::127.0.0.1] [2001:db8::1] 198.18.0.1 224.0.0.1 255.255.255.255 192.0.0.192
168.63.129.16 [::ffff:168.63.129.16] [2002:c0a8:101::1] 127.0.0.1:80 127.0.0.1\@8.8.8.8
[2001:0:7f00:1::f5ff:fffe] 8.8.8.8%00.x a..b
"""
REFUSED = HOSTS.split()
NO_WEB_ADDRESS = [
    "file:///etc/passwd",
    "gopher://x/",
    "ftp://x/",
    "x",
    "",
    "http://",
    "http:///x",
    "//x",
    "http://a b/",
]
NO_WEB_ADDRESS += ["http://x:99999/", "http://[::1", "javascript:x", "http://x\n/"]


async def nobody(question: Question) -> Answer:
    return Dismissed()


def context(tmp_path: Path) -> ToolContext:
    return ToolContext("c1", LocalWorkspace(tmp_path), nobody, lambda text: None, (), tmp_path / "scratch", NoTasks())


async def fetch(tmp_path: Path, url: str, allow_private: bool = True) -> str:
    part = (await FetchURL(allow_private).run(FetchURLParams(url), context(tmp_path))).for_model[0]
    assert isinstance(part, Text)
    return part.text


@dataclass
class Server:
    """Answers each request with what `answers` holds for its path: headers and body as they go over the wire."""

    answers: dict[str, bytes]
    port: int = 0
    requests: list[str] = field(default_factory=list)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.requests.append(head)
            writer.write(self.answers[head.split()[1]])
            await writer.drain()
            if not self.answers[head.split()[1]].endswith(b"..."):  # a body that ends so is never finished
                writer.close()
            else:
                await reader.read()
                writer.close()
        except (OSError, asyncio.IncompleteReadError):
            pass


@asynccontextmanager
async def serving(answers: dict[str, bytes], tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(answers)
    listening = await asyncio.start_server(server.handle, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()


def answer(body: bytes, content_type: str = "text/html", *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", REFUSED)
async def test_what_is_inside_is_refused(tmp_path: Path, scheme: str, host: str) -> None:
    with pytest.raises(ToolError):
        await fetch(tmp_path, f"{scheme}://{host}/", allow_private=False)


@pytest.mark.parametrize("url", NO_WEB_ADDRESS)
def test_what_is_no_web_address_is_refused_before_anyone_is_asked(tmp_path: Path, url: str) -> None:
    with pytest.raises(ToolError):
        FetchURL().effects(FetchURLParams(url), context(tmp_path))


async def test_public_addresses_are_allowed() -> None:
    for host in ("8.8.8.8", "[2606:4700::1111]", "1.1.1.1.", "[64:ff9b::808:808]", "[::ffff:8.8.8.8]"):
        assert await resolve(parse_url(f"http://{host}/"), allow_private=False)


@given(st.ip_addresses(v=4).filter(lambda ip: not ip.is_global or ip.is_multicast))
def test_no_wrapping_makes_an_address_public(ip: object) -> None:
    number = int(ip)  # type: ignore[call-overload]
    assert not is_public(str(ip))
    high, low = number >> 16, number & 0xFFFF
    for form in (f"::ffff:{ip}", f"64:ff9b::{high:x}:{low:x}", f"2002:{high:x}:{low:x}::1", f"::{high:x}:{low:x}"):
        assert not is_public(form)


def test_effects_name_the_url_that_is_fetched(tmp_path: Path) -> None:
    effects = FetchURL().effects(FetchURLParams("https://Example.COM:443/a?b=c#d"), context(tmp_path))
    assert effects == (Effect("fetch", "https://example.com/a?b=c"),)


async def test_a_page_becomes_markdown(tmp_path: Path) -> None:
    main = f"<main><h1>Head</h1><p>{'Some text. ' * 40}</p><ul><li>one</li></ul></main>"
    body = f"<html><head><title>T</title><script>evil()</script></head><body><nav>menu</nav>{main}</body></html>"
    async with serving({"/p?q=1": answer(body.encode())}) as server:
        text = await fetch(tmp_path, f"http://localhost:{server.port}/p?q=1")
    assert text.startswith(f"http://localhost:{server.port}/p?q=1\n\n# Head")
    assert "- one" in text
    assert "evil" not in text
    assert f"Host: localhost:{server.port}\r\n" in server.requests[0]


def test_a_page_without_an_article_still_gives_its_text() -> None:
    page = "<title>Hi</title><body><script>no()</script><aside>Go</aside><footer>Name</footer></body>"
    assert html_to_markdown(page, "http://h/").splitlines() == ["# Hi", "", "Go"]
    assert html_to_markdown("<nav>Only</nav>", "http://h/") == "Only"
    for nothing in ("", "<title>App</title><div id=root></div><script>draw()</script>"):
        assert html_to_markdown(nothing, "http://h/") == ""


def test_a_short_page_keeps_its_structure() -> None:
    page = """<nav>menu menu</nav><article><h1>Head</h1><p>Para with <a href="/x">link</a> and <code>a_b*</code>.</p>
<ul><li>one<li>two</ul><pre>x = 1\n\n\n  y</pre><style>p {}</style></article><footer>foot</footer>"""
    found = html_to_markdown(page, "http://h/a/b")
    assert found == "# Head\n\nPara with [link](http://h/x) and `a_b*`.\n\n- one\n- two\n\n```\nx = 1\n\n\n  y\n```"


def test_a_page_nested_too_deeply_for_markdown_gives_its_text() -> None:
    assert html_to_markdown(f"{'<div>' * 1000}deep<p>down", "http://h/").split() == ["deep", "down"]


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("application/json", b'{"a": 1}', '{"a": 1}'),
        ("text/plain; charset=latin-1", "é".encode("latin-1"), "é"),
        ("text/plain; charset=no-such", "é".encode(), "é"),
        ("text/plain; charset=hex", "é".encode(), "é"),
        ("text/plain", "é".encode("utf-16"), "é"),
        ("text/html", "<meta charset=gbk><body><p>漢字</p>".encode("gbk"), "漢字"),
        ("application/vnd.api+json", b"[]", "[]"),
        ("", b"plain", "plain"),
        ("text/plain", b"a\x1b[2Jb", "ab"),
        ("text/plain", b"", "[the page holds no text]"),
    ],
)
async def test_text_in_its_encoding(tmp_path: Path, content_type: str, body: bytes, expected: str) -> None:
    async with serving({"/": answer(body, content_type)}) as server:
        assert (await fetch(tmp_path, f"http://127.0.0.1:{server.port}/")).split("\n\n")[-1].strip() == expected


async def test_a_pdf_gives_its_text(tmp_path: Path) -> None:
    async with serving(
        {"/": answer(make_pdf("Hello from a PDF"), "application/pdf"), "/bad": answer(b"%PDF-1.4 garbage")}
    ) as server:
        assert "[page 1]\nHello from a PDF" in await fetch(tmp_path, f"http://127.0.0.1:{server.port}/")
        with pytest.raises(ToolError, match="PDF document cannot be read"):
            await fetch(tmp_path, f"http://127.0.0.1:{server.port}/bad")


@pytest.mark.parametrize(
    "pack",
    all_but([gzip.compress], [gzip.compress, zlib.compress, lambda data: zlib.compress(data, wbits=-15)]),
    ids=["gzip", "zlib", "raw"],
)
async def test_compressed_pages_and_bombs(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    encoding = "Content-Encoding: gzip" if pack is gzip.compress else "Content-Encoding: deflate"
    pages = {
        "/": answer(pack(b"small"), "text/plain", encoding),
        "/bomb": answer(pack(b"A" * 300_000_000), "text/plain", encoding),
    }
    async with serving(pages) as server:
        assert (await fetch(tmp_path, f"http://127.0.0.1:{server.port}/")).endswith("\nsmall")
        text = await fetch(tmp_path, f"http://127.0.0.1:{server.port}/bomb")
    assert "only the first 5 MB" in text
    assert spill_path(tmp_path / "scratch", "fetch", "c1").stat().st_size == MAX_PAGE_BYTES


async def test_a_long_page_is_cut_and_saved(tmp_path: Path) -> None:
    body = "".join(f"line {n}\n" for n in range(20_000))
    async with serving({"/": answer(body.encode(), "text/plain")}) as server:
        text = await fetch(tmp_path, f"http://127.0.0.1:{server.port}/")
    whole = spill_path(tmp_path / "scratch", "fetch", "c1")
    assert whole.read_text() == body
    assert len(text) < 41_000
    assert str(whole) in text


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (answer(b"", status="404 Not Found"), "answered 404 Not Found"),
        (answer(b"", status="503 "), "answered 503"),
        (answer(b"\0\1", "image/png"), "is image/png, not text"),
        (answer(b"\0\1", ""), "binary data"),
        (answer(b"x", "text/plain", "Content-Encoding: br"), "not asked for: br"),
        (answer(b"not gzip at all", "text/plain", "Content-Encoding: gzip"), "compression is broken"),
        (b"garbage\r\n\r\n", "could not be fetched"),
        (b"", "could not be fetched"),
        (answer(b"short", "text/plain", "Content-Length: 100"), "could not be fetched"),
        (answer(b"", "text/html", "Location: file:///etc/passwd", status="302 Found"), "Only http"),
        (answer(b"", "text/html", "Location: //user:pw@localhost/", status="302 Found"), "user name"),
        (answer(b"", "text/html", "Location: /", status="302 Found"), "redirects more than"),
    ],
)
async def test_what_goes_wrong_is_told(tmp_path: Path, response: bytes, words: str) -> None:
    async with serving({"/": response}) as server:
        with pytest.raises(ToolError, match=words):
            await fetch(tmp_path, f"http://127.0.0.1:{server.port}/")


async def test_nobody_there(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ToolError, match="could not be fetched"):
        await fetch(tmp_path, f"http://127.0.0.1:{port}/")
    with pytest.raises(ToolError, match="was not found"):
        await fetch(tmp_path, "http://no-such-host.invalid/")


async def test_redirects_stay_on_the_site(tmp_path: Path) -> None:
    async with serving({}) as server:
        here = f"http://127.0.0.1:{server.port}"
        server.answers = {
            "/a": answer(b"", "text/html", "Location: b?x=1#frag", status="301 Moved"),
            "/b?x=1": answer(b"arrived", "text/plain"),
            "/away": answer(
                b"", "text/html", f"Location: http://localhost:{server.port}/b?x=1", status="307 Temporary"
            ),
            "/port": answer(b"", "text/html", "Location: http://127.0.0.1:1/", status="302 Found"),
        }
        assert await fetch(tmp_path, f"{here}/a") == f"{here}/b?x=1\n\narrived"
        assert f"Fetch that one to go on: http://localhost:{server.port}/b?x=1" in await fetch(tmp_path, f"{here}/away")
        assert "http://127.0.0.1:1/" in await fetch(tmp_path, f"{here}/port")
    assert len(server.requests) == 4


async def test_the_name_is_looked_up_once_so_that_it_cannot_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that answers with another address the second time gains nothing."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def rebinding(host: object, *args: object, **more: object) -> object:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if name == "moving.test":
            asked.append(name)
            return real("127.0.0.1" if len(asked) == 1 else "127.0.0.2", *args, **more)  # type: ignore[arg-type]
        return real(host, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    async with serving({"/": answer(b"here", "text/plain")}) as server:
        assert (await fetch(tmp_path, f"http://moving.test:{server.port}/")).endswith("here")
        assert asked == ["moving.test"]
        assert f"Host: moving.test:{server.port}" in server.requests[0]
        with pytest.raises(ToolError, match=r"moving\.test is at 127\.0\.0\.2"):
            await fetch(tmp_path, f"http://moving.test:{server.port}/", allow_private=False)


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl to make a certificate")
async def test_a_certificate_is_checked_against_the_name_not_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=kimi"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    http_get.tls.cache_clear()
    try:
        async with serving({"/": answer(b"safe", "text/plain")}, tls) as server:
            assert (await fetch(tmp_path, f"https://localhost:{server.port}/")).endswith("safe")
            with pytest.raises(ToolError, match="certificate verify failed"):
                await fetch(tmp_path, f"https://127.0.0.1:{server.port}/")
    finally:
        http_get.tls.cache_clear()


async def test_the_users_proxy_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving({"http://name-only-the-proxy-knows.invalid/": answer(b"through", "text/plain")}) as proxy:
        monkeypatch.setenv("http_proxy", f"127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "direct.invalid")
        text = await fetch(tmp_path, "http://name-only-the-proxy-knows.invalid/", allow_private=False)
        assert text.endswith("through")
        with pytest.raises(ToolError, match="inside this machine's network"):
            await fetch(tmp_path, "http://127.1/", allow_private=False)
        with pytest.raises(ToolError, match="was not found"):
            await fetch(tmp_path, "http://direct.invalid/", allow_private=False)
    assert len(proxy.requests) == 1


async def test_a_fetch_can_be_cancelled_at_any_point(tmp_path: Path) -> None:
    async with serving({"/": answer(b"never done...", "text/plain", "Content-Length: 1000")}) as server:
        task = asyncio.create_task(fetch(tmp_path, f"http://127.0.0.1:{server.port}/"))
        while not server.requests:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_the_time_limit_covers_a_stalled_page_and_a_stalled_reader(tmp_path: Path) -> None:
    async with serving(
        {"/": answer(b"never done...", "text/plain", "Content-Length: 1000"), "/p": answer(b"<p>x", "text/html")}
    ) as server:
        for path, limit in {"/": 0.3, "/p": 0.15}.items():
            with pytest.raises(ToolError, match="took longer than"):
                await FetchURL(True, limit).run(
                    FetchURLParams(f"http://127.0.0.1:{server.port}{path}"), context(tmp_path)
                )
    assert len(server.requests) == 2
