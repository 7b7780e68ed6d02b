"""Attacks on `kimi web`: whoever has no token gets nothing, whatever the path, the name or the origin."""

import http.client
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from kimi_program import Program
from web_server import Visitor, WebServer

PATHS = ["/", "/s/0123456789abcdef", "/s/0123456789abcdef/socket", "/static/page.js", "/static/textual.js", "/nothing"]
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    program = Program(tmp_path_factory.mktemp("door"))
    with WebServer(program, "--provider", program.scenario([{"text": "hello"}])) as server:
        yield server


def get(server: WebServer, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
    """Status, headers (names in lower case) and body of one request; `Host` as given, else the right one."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    host = headers.pop("Host", f"127.0.0.1:{server.port}")
    connection.putrequest("GET", path, skip_host=True)
    for name, value in {"Host": host, **headers}.items():
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    found = {name.lower(): value for name, value in response.getheaders()}
    body = "" if response.status == 101 else response.read().decode("utf-8", "replace")
    connection.close()
    return response.status, found, body


def cookie_of(server: WebServer) -> str:
    return get(server, f"/?token={server.token}")[1]["set-cookie"].partition(";")[0]


@pytest.mark.parametrize("path", PATHS)
def test_without_a_token_nothing_is_told(server: WebServer, path: str) -> None:
    status, headers, body = get(server, path, **UPGRADE)
    assert status == 403
    assert "set-cookie" not in headers
    assert "kimi web" in body


@pytest.mark.parametrize("token", ["", "x", "%00", "%FF", "{token}x", "%C3%A9"])
def test_a_wrong_token(server: WebServer, token: str) -> None:
    wrong = token.replace("{token}", server.token)
    status, headers, _ = get(server, f"/?token={wrong}")
    assert status == 403
    assert "set-cookie" not in headers


@pytest.mark.parametrize("path", PATHS)
def test_the_token_buys_nothing_but_the_cookie(server: WebServer, path: str) -> None:
    if path != "/":
        assert get(server, f"{path}?token={server.token}")[0] == 403
    name = cookie_of(server).partition("=")[0]
    assert get(server, path, Cookie=f"{name}={server.token}")[0] == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "evil.example:80", "0.0.0.0", "192.168.1.2", ""]
)
def test_a_strange_host_is_refused_even_with_the_cookie(server: WebServer, host: str) -> None:
    cookie = cookie_of(server)
    for path in [*PATHS, f"/?token={server.token}"]:
        status, headers, body = get(server, path, Host=host, Cookie=cookie)
        assert status in (400, 403)
        assert "set-cookie" not in headers
        assert host not in headers.get("content-security-policy", "") or not host
        assert "evil" not in body


@pytest.mark.parametrize(
    "origin", ["", "null", "http://evil.example", "https://127.0.0.1:{port}", "http://127.0.0.1:1"]
)
def test_a_socket_of_another_page_is_refused(server: WebServer, origin: str) -> None:
    headers = {**UPGRADE, "Cookie": cookie_of(server), "Origin": origin.replace("{port}", str(server.port))}
    assert get(server, "/s/0123456789abcdef/socket", **headers)[0] == 403


def test_a_socket_of_our_own_page_is_accepted(server: WebServer) -> None:
    own = {**UPGRADE, "Cookie": cookie_of(server), "Origin": f"http://127.0.0.1:{server.port}"}
    assert get(server, "/s/0123456789abcdef/socket", **own)[0] == 101


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/..%2fserver.py",
        "/static/%2e%2e/%2e%2e/etc/passwd",
        "/static//etc/passwd",
        "/static/",
        "/static/page.js/..",
        "/s/../../etc/passwd",
        "/s/0123456789ABCDEF",
        "/download/x",
    ],
)
def test_only_the_listed_files_can_be_had(server: WebServer, path: str) -> None:
    status, _, body = get(server, path, Cookie=cookie_of(server))
    assert status in (400, 404)
    assert "import" not in body
    assert "root:" not in body


def test_the_cookie_is_for_this_site_and_no_script(server: WebServer) -> None:
    _, headers, body = get(server, f"/?token={server.token}")
    attributes = {part.strip() for part in headers["set-cookie"].split(";")[1:]}
    assert attributes == {"HttpOnly", "SameSite=Strict", "Path=/"}
    assert server.token not in body + headers["set-cookie"]


@pytest.mark.parametrize("path", [*PATHS, "/?token={token}"])
@pytest.mark.parametrize("known", [False, True])
def test_every_answer_keeps_to_itself(server: WebServer, path: str, known: bool) -> None:
    cookie = {"Cookie": cookie_of(server)} if known else {}
    _, headers, _ = get(server, path.replace("{token}", server.token), **cookie)
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src 'self';" in policy


def test_pages_name_no_other_server(server: WebServer) -> None:
    cookie = cookie_of(server)
    for path in ("/s/0123456789abcdef", "/static/page.js", "/static/page.css", "/static/xterm.css"):
        text = get(server, path, Cookie=cookie)[2].replace("https://github.com/chjj/term.js", "")
        assert "https://" not in text
        assert "http://" not in text.replace("http://bellard.org/jslinux/", "")


def test_only_loopback_listens(server: WebServer) -> None:
    for family, _, _, _, address in socket.getaddrinfo(socket.gethostname(), server.port, type=socket.SOCK_STREAM):
        if not str(address[0]).startswith(("127.", "::1")):
            with socket.socket(family) as client:
                client.settimeout(5)
                assert client.connect_ex(address) != 0


def test_the_token_is_in_no_command_line_and_no_environment(server: WebServer) -> None:
    for folder in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                found = (folder / name).read_bytes()
            except OSError:
                continue
            assert server.token.encode() not in found


@pytest.mark.parametrize(
    "said",
    [
        "{}",
        "[]",
        "nonsense",
        '["stdin", 5]',
        '["resize", {"width": "x"}]',
        '["open", "x"]',
        pytest.param("[" * 9999, id="deep"),
    ],
)
async def test_a_socket_that_talks_nonsense_is_closed(server: WebServer, said: str) -> None:
    async with Visitor(server) as visitor:
        tab = await visitor.open("/s/0123456789abcdef")
        await tab.socket.send_str(said)
        await tab.closed()
        assert get(server, "/static/page.js", Cookie=cookie_of(server))[0] == 200


async def test_a_message_without_end_is_refused(server: WebServer) -> None:
    async with Visitor(server) as visitor:
        tab = await visitor.open("/s/0123456789abcdef")
        with suppress(ConnectionError):
            await tab.socket.send_json(["stdin", "x" * (5 << 20)])
        await tab.closed()
        assert get(server, "/static/page.js", Cookie=cookie_of(server))[0] == 200


def send_raw(server: WebServer, data: bytes) -> bytes:
    """What the server answers until it closes; the browser has nothing more to say."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        answer = b""
        with suppress(ConnectionError):
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(1 << 16):
                answer += piece
    return answer


@pytest.mark.parametrize("debug", ["", "1"])
def test_no_request_is_ever_printed(tmp_path: Path, debug: str) -> None:
    program = Program(tmp_path)
    scenario = program.scenario([{"text": "hello"}])
    with WebServer(program, "--provider", scenario, PYTHONASYNCIODEBUG=debug) as server:
        cookie, much = cookie_of(server), "x" * 20_000
        host, secrets = f"Host: 127.0.0.1:{server.port}", f"token={server.token}"
        good = f"{host}\r\nCookie: {cookie}"
        for request in (
            f"GET / HTTP/1.1\r\n{good}; other={much}",
            f"GET /?{secrets}&x={much} HTTP/1.1\r\n{host}",
            f"GARBAGE {secrets}",
            f"{secrets} {cookie}",
            f"GET /?{secrets} HTTP/1.1\r\nCookie: {cookie}",
            f"GET /?{secrets} HTTP/9.x\r\n{good}",
            f"GET http://[::{secrets} HTTP/1.1\r\n{good}",
            f"GET http://127.0.0.1:port{secrets}/ HTTP/1.1\r\n{good}",
            f"GET /?{secrets} HTTP/1.1\r\n{good}\r\nbad header {cookie}",
            f"GET /?{secrets} HTTP/1.1\r\n{good}\r\n{cookie}\0: x",
            f"GET / HTTP/1.1\r\n{good}\r\nContent-Length: {cookie}",
            f"GET / HTTP/1.1\r\n{good}\r\nTransfer-Encoding: chunked\r\n\r\n{cookie}",
        ):
            send_raw(server, f"{request}\r\n\r\n".encode())
        assert get(server, "/static/page.js", Cookie=cookie)[0] == 200
        written = "".join(server.end())
    for secret in (server.token, *cookie.split("=", 1), "Traceback", much[:100]):
        assert secret not in written
