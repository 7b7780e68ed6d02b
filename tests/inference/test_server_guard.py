"""The HTTP layer from outside, over raw sockets: who is refused, what is cut off, and that others are served meanwhile."""

import asyncio
import json
import random
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from inference_http_house import LIMITS, TOKEN, House, serving
from inference_server_house import read_answer

from inference_backend.server.app import App
from inference_backend.server.listener import ListenError, listen, listen_unix
from inference_backend.server.message import HttpError, Limits, Request
from inference_backend.server.metrics import Metrics


@pytest.fixture(scope="module")
def shared() -> Iterator[House]:
    with serving() as house:
        yield house


@pytest.fixture
def house(shared: House) -> House:
    shared.site.ran.clear()
    shared.site.ended.clear()
    return shared


REFUSED = {
    "no token": ({"Authorization": None}, 401),
    "wrong token": ({"Authorization": "Bearer " + "u" * 43}, 401),
    "token as a basic password": ({"Authorization": f"Basic {TOKEN}"}, 401),
    "token cut short": ({"Authorization": f"Bearer {TOKEN[:-1]}"}, 401),
    "token with a letter beyond ASCII": ({"Authorization": f"Bearer {TOKEN}\xff"}, 401),
    "other host": ({"Host": "evil.example"}, 421),
    "other host on our port": ({"Host": "evil.example:{port}"}, 421),
    "our name on a port without end": ({"Host": "localhost:" + "9" * 5000}, 421),
    "our name on another port": ({"Host": "localhost:1"}, 421),
    "our name as a suffix": ({"Host": "localhost.evil.example:{port}"}, 421),
    "our name with a dot": ({"Host": "localhost.:{port}"}, 421),
    "our address in other digits": ({"Host": "127.1:{port}"}, 421),
    "no host": ({"Host": None}, 400),
    "empty host": ({"Host": ""}, 421),
    "origin of a page": ({"Origin": "https://evil.example"}, 403),
    "origin null": ({"Origin": "null"}, 403),
    "origin of this server": ({"Origin": "http://localhost:{port}"}, 403),
    "origin without a token": ({"Origin": "null", "Authorization": None}, 403),
    "cross-site fetch": ({"Sec-Fetch-Site": "cross-site"}, 403),
    "same-site fetch": ({"Sec-Fetch-Site": "same-site"}, 403),
    "form": ({"Content-Type": "text/plain"}, 415),
    "form that looks like JSON": ({"Content-Type": "text/plain; application/json"}, 415),
    "no type": ({"Content-Type": None}, 415),
}


@pytest.mark.parametrize("name", REFUSED)
def test_who_is_refused_reaches_no_handler(house: House, name: str):
    fields, status = REFUSED[name]
    filled = {key: value and value.replace("{port}", str(house.address[1])) for key, value in fields.items()}
    answer = house.ask(house.post("/echo", b"{}", **filled))
    assert answer.status == status
    assert not house.site.ran
    assert TOKEN not in answer.body.decode()
    assert not [name for name in answer.head if name.startswith("access-control")]


def test_a_good_request_is_answered(house: House):
    for host in ("localhost", "127.0.0.1", "LOCALHOST", "[::1]"):
        assert house.ask(house.post("/echo", b"{}", Host=f"{host}:{house.address[1]}")).body == b"{}"
    fields = {"Content-Type": "application/json; charset=utf-8", "Sec-Fetch-Site": "none"}
    assert house.ask(house.post("/echo", b"{}", **fields)).status == 200


def test_preflight_and_upgrade_get_nothing(house: House):
    assert house.ask(house.head("OPTIONS", "/echo", Origin="https://evil.example", Authorization=None)).status == 403
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "x", "Sec-WebSocket-Version": "13"}
    assert house.ask(house.head("GET", "/get", Authorization=None, **upgrade)).status == 401
    assert house.ask(house.head("GET", "/get", Origin="http://localhost", **upgrade)).status == 403
    assert house.ask(house.head("GET", "/get", **upgrade)).status == 200  # as if it were not there
    assert house.ask(house.head("CONNECT", "evil.example:443")).status == 421
    assert house.ask(house.head("GET", f"http://localhost:{house.address[1]}/get")).status == 421


def test_a_token_in_the_address_is_none(house: House):
    assert house.ask(house.head("GET", f"/get?api_key={TOKEN}&token={TOKEN}", Authorization=None)).status == 401


def test_paths_and_methods(house: House):
    assert house.ask(house.head("GET", "/nowhere", Authorization=None)).status == 401  # a stranger learns no paths
    assert house.ask(house.head("GET", "/nowhere")).status == 404
    answer = house.ask(house.head("GET", "/echo"))
    assert (answer.status, answer.head["allow"]) == (405, "post")
    assert house.ask(house.head("GET", "/open", Authorization=None)).json() == {"authorised": False}
    assert house.ask(house.head("GET", "/open")).json() == {"authorised": True}
    assert house.ask(house.head("GET", "/get/../open")).status == 404


TWISTED = {
    "both lengths": ["Content-Length: 2", "Transfer-Encoding: chunked"],
    "two lengths": ["Content-Length: 2", "Content-Length: 3"],
    "the same length twice": ["Content-Length: 2", "Content-Length: 2"],
    "lengths in a list": ["Content-Length: 2, 2"],
    "length with a sign": ["Content-Length: +2"],
    "length in hexadecimal": ["Content-Length: 0x2"],
    "negative length": ["Content-Length: -2"],
    "unknown coding": ["Transfer-Encoding: gzip, chunked"],
    "coding twice": ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
    "coding misspelt": ["Transfer-Encoding: xchunked"],
    "blank before the colon": ["Content-Length : 2"],
    "folded line": ["X-A: b", " c", "Content-Length: 2"],
    "bare line feed": ["X-A: b\nX-C: d", "Content-Length: 2"],
    "bare carriage return": ["X-A: b\rX-C: d", "Content-Length: 2"],
    "zero byte": ["X-A: b\0", "Content-Length: 2"],
    "second host": ["Host: evil.example", "Content-Length: 2"],
    "second token": [f"Authorization: Bearer {TOKEN}", "Content-Length: 2"],
    "no colon": ["nonsense", "Content-Length: 2"],
}


@pytest.mark.parametrize("name", TWISTED)
def test_what_two_parsers_could_read_in_two_ways_is_refused(house: House, name: str):
    """Request smuggling: after such a header the connection is over, and what follows on it is not read."""
    head = (
        house.head("POST", "/echo", Connection=None)[:-2] + "\r\n".join(TWISTED[name]).encode("latin-1") + b"\r\n\r\n"
    )
    answer = house.ask(head + b"{}" + house.head("GET", "/get"))
    assert answer.status in (400, 501)
    assert answer.head["connection"] == "close"
    assert b"HTTP/1.1 200" not in answer.body
    assert not house.site.ran


def test_headers_are_bounded(house: House):
    many = "".join(f"X-{number}: y\r\n" for number in range(100_000)).encode()
    assert house.ask(house.head()[:-2] + many[: 12 << 10] + b"\r\n").status in (400, 431)
    assert house.ask(house.head()[:-2] + b"X-A: y\r\n" * 98 + b"\r\n").status == 431
    assert house.ask(house.head()[:-2] + b"X-A: y\r\n" * 90 + b"\r\n").status == 200
    for huge in (many, b"X-A: " + b"y" * (1 << 20) + b"\r\n"):
        assert house.ask(house.head()[:-2] + huge + b"\r\n").status in (0, 431)
    assert house.ask(b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\n\r\n").status in (0, 431)
    assert house.ask(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n").status == 400  # TLS


def test_bodies_are_bounded(house: House):
    size = LIMITS.body_bytes
    assert house.ask(house.post("/echo", b"x" * size)).status == 200
    assert house.ask(house.head("POST", "/echo", **{"Content-Length": str(size + 1)})).status == 413
    assert house.ask(house.head("POST", "/echo", **{"Content-Length": "9" * 19})).status == 413
    chunked = {"Transfer-Encoding": "chunked"}
    piece = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    whole = house.ask(house.head("POST", "/echo", **chunked) + piece * 8 + b"0\r\n\r\n")
    assert (whole.status, len(whole.body)) == (200, 8 * 0x8000)
    assert house.ask(house.head("POST", "/echo", **chunked) + piece * 40 + b"0\r\n\r\n").status == 413
    assert house.ask(house.head("POST", "/echo", **chunked) + b"1\r\nx\r\n" * 4000 + b"0\r\n\r\n").status == 400
    assert (
        house.ask(house.head("POST", "/echo", **chunked) + b"1;" + b"e" * 200_000 + b"\r\nx\r\n0\r\n\r\n").status == 431
    )
    assert house.ask(house.head("POST", "/echo", **chunked) + b"zz\r\n").status == 400
    assert house.ask(house.head("POST", "/echo", **chunked) + b"ffffffffffffffffff\r\nx").status in (400, 408, 413)


def test_a_large_body_without_a_token_is_not_read(house: House):
    answer = house.ask(
        house.head("POST", "/echo", Authorization=None, **{"Content-Length": str(1 << 20)}) + b"x" * 70_000
    )
    assert answer.status == 401
    no_token = {"Authorization": None, "Content-Length": "5"}
    assert house.ask(house.head("GET", "/open", **no_token) + b"x" * 5).status == 413
    assert (
        house.ask(house.head("GET", "/open", Authorization=None, Transfer_Encoding="chunked") + b"1\r\nx\r\n").status
        == 413
    )


def test_expect_continue(house: House):
    with closing(house.connect()) as wire:
        wire.sendall(house.head("POST", "/echo", Expect="100-continue", **{"Content-Length": "2"}))
        assert wire.recv(4096).startswith(b"HTTP/1.1 100")
        wire.sendall(b"{}")
        assert read_answer(wire).body == b"{}"


def test_keep_alive_and_pipelining(house: House):
    with closing(house.connect()) as wire:
        for _ in range(3):
            wire.sendall(house.head(Connection=None))
            assert b'{"path":"/get"}' in wire.recv(4096)
        wire.sendall(house.head(Connection=None) * 5)
        rest = read_answer(wire)
    assert (rest.status, rest.body.count(b'{"path":"/get"}')) == (200, 5), "in order, and nothing after the last"
    assert rest.body.count(b"HTTP/1.1") == 4
    assert house.ask(house.post("/echo", b"{}") + house.head()).status == 400  # behind a body it is not waited for
    with closing(house.connect()) as wire:
        wire.sendall(house.post("/hang", b"{}"))
        house.until(lambda: "hang" in house.site.ran)
        wire.sendall(house.head())
        assert read_answer(wire).status == 0, "who asks again while being answered is cut off"
    house.until(lambda: house.site.ended == ["hang"])


@pytest.mark.parametrize(
    "what", ["nothing", "half a header", "a header bit by bit", "half a body", "a body bit by bit", "idle"]
)
def test_who_is_slow_is_cut_off(house: House, what: str):
    begin = {
        "nothing": b"",
        "half a header": house.head()[:30],
        "a header bit by bit": b"GET /get HTTP/1.1\r\n",
        "half a body": house.post("/echo", b"x" * 100)[:-50],
        "a body bit by bit": house.head("POST", "/echo", **{"Content-Length": "1000000"}),
        "idle": house.head(Connection=None),
    }[what]
    with closing(house.connect()) as wire:
        wire.sendall(begin)
        wire.settimeout(0.05)
        seen, open_ = b"", True
        for _ in range(400):  # 20 s, where the limit is 0.4 s
            with suppress(TimeoutError):
                piece = wire.recv(4096)
                seen += piece
                open_ = bool(piece)
            if not open_:
                break
            if "bit" in what:
                with suppress(BrokenPipeError, ConnectionResetError):
                    wire.sendall(b"x")
        assert not open_
    assert (b" 408 " in seen) is (what != "idle")


def test_two_hundred_slow_clients_keep_nobody_out():
    with serving(limits=Limits(connections=16)) as house:
        slow = []
        for number in range(200):
            wire = house.connect()
            wire.sendall(house.head()[: 10 + number % 40])
            slow.append(wire)
            if number % 10 == 0:
                assert house.ask(house.head()).status == 200
        assert house.http.connections <= 16
        for _ in range(20):
            assert house.ask(house.head()).status == 200
        for wire in slow:
            wire.close()


def test_connections_that_are_answered_are_never_ended_for_others():
    with serving(limits=Limits(connections=4)) as house:
        busy = [house.connect() for _ in range(4)]
        for wire in busy:
            wire.sendall(house.post("/hang", b"{}"))
        house.until(lambda: house.site.ran == ["hang"] * 4)
        answer = house.ask(house.head())
        assert answer.status in (0, 503)  # 0: the refusal came before the request was sent
        busy.pop().close()
        house.until(lambda: house.site.ended == ["hang"])
        house.until(lambda: house.http.connections == 3)
        assert house.ask(house.head()).status == 200
        for wire in busy:
            wire.close()


def test_a_client_that_leaves_ends_its_answer(house: House):
    for path, body in (("/hang", b"{}"), ("/stream", b'{"count":3,"size":10,"wait":1}')):
        house.site.ended.clear()
        wire = house.connect()
        wire.sendall(house.post(path, body))
        if path == "/stream":
            assert wire.recv(4096)
        else:
            house.until(lambda: "hang" in house.site.ran)
        wire.close()
        house.until(lambda name=path[1:]: house.site.ended == [name])


def test_a_client_that_does_not_read_ends_its_answer(house: House):
    with closing(house.connect()) as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.sendall(house.post("/stream", b'{"count":1000,"size":100000}'))
        house.until(lambda: house.site.ended == ["stream"])
        with pytest.raises(ConnectionResetError):
            list(iter(lambda: wire.recv(1 << 16), b""))


def test_streams_end_as_they_should(house: House):
    whole = house.ask(house.post("/stream", b'{"count":3,"size":10}'))
    assert (whole.status, whole.body) == (200, b"x" * 30)
    assert house.ask(house.post("/stream", b'{"count":0,"size":1,"fail":1}')).status == 429
    failed = house.ask(house.post("/stream", b'{"count":0,"size":1,"fail":2}'))
    assert failed.status == 500
    assert "secret" not in failed.body.decode()
    with closing(house.connect()) as wire:
        wire.sendall(house.post("/stream", b'{"count":2,"size":10,"fail":2}'))
        data = b"".join(iter(lambda: wire.recv(4096), b""))
    assert b"x" * 10 in data
    assert not data.endswith(b"0\r\n\r\n"), "a stream that broke off must not look whole"


def test_mistakes_of_the_server_tell_nothing(house: House, capfd):
    answer = house.ask(house.head("GET", "/fails", X_Words="secret"))
    assert answer.status == 500
    assert answer.json()["error"]["type"] == "server_error"
    log = capfd.readouterr().err
    assert "secret" not in answer.body.decode() + log
    assert "ValueError" in log
    assert "inference_http_house.py" in log


def test_no_mangled_request_gets_in(house: House):
    """A thousand requests that are nearly good, without the token: bytes lost, doubled, changed, swapped."""
    dice = random.Random(11)
    good = house.post("/echo", b'{"a":1}', Authorization="Bearer " + "u" * 43)
    for _ in range(1000):
        data = bytearray(good)
        for _ in range(dice.randint(1, 4)):
            mangle(data, dice)
        with closing(house.connect()) as wire:
            wire.sendall(bytes(data))
            wire.shutdown(socket.SHUT_WR)
            assert read_answer(wire).status in (0, 400, 401, 404, 405, 408, 413, 415, 421, 431, 501)
    assert not house.site.ran
    assert house.ask(house.head()).status == 200


def mangle(data: bytearray, dice: random.Random) -> None:
    at, change = dice.randrange(len(data)), dice.randrange(4)
    if change == 0:
        del data[at : at + dice.randint(1, 9)]
    elif change == 1:
        data[at:at] = data[at : at + dice.randint(1, 9)]
    elif change == 2:
        data[at] = dice.choice(b"\0\t\r\n :,;\xff0aA")
    else:
        data[at:at] = dice.choice((b"\r\n", b"\n", b"\r\n\r\n", b"Transfer-Encoding: chunked\r\n"))


async def test_before_the_model_is_there_and_at_the_end():
    metrics = Metrics(lambda: 1)
    app = App(metrics, Limits(), "tiny")
    app.loaded = ("loading layers", 3, 61)

    async def health(authorised: bool) -> tuple[int, dict]:
        answer = await app.routes["/health"].handler(Request("GET", "/health", {}, authorised=authorised))
        return answer.status, json.loads(answer.body)

    assert await health(False) == (503, {"status": "loading"})
    told = {"what": "loading layers", "done": 3, "total": 61}
    assert await health(True) == (503, {"status": "loading", "loading": told})
    for path in ("/v1/chat/completions", "/v1/completions", "/v1/models/tiny"):
        with pytest.raises(HttpError, match="loading") as refused:
            await app.routes[path].handler(Request("POST", path, {}))
        assert (refused.value.status, refused.value.headers["Retry-After"]) == (503, "5")
    app.drain()
    assert await health(False) == (503, {"status": "draining"})
    assert b'kimi_requests_total{path="/v1/completions",status="503"} 1.0' in metrics.text()


BAD_JSON = {
    "no JSON": b"{",
    "a list": b"[]",
    "a key twice": b'{"a":{"b":1,"c":2,"b":3}}',
    "NaN": b'{"a":NaN}',
    "infinity": b'{"a":-Infinity}',
    "a number like infinity": b'{"a":1e999}',
    "depth in lists": b'{"a":' + b"[" * 64 + b"]" * 64 + b"}",
    "depth in objects": b'{"a":' * 65 + b"1" + b"}" * 65,
    "a deep bomb": b'{"a":' + b"[" * 200_000,
    "a number of many digits": b'{"a":' + b"9" * 100_000 + b"}",
    "no UTF-8": b'{"a":"\xff"}',
    "another encoding": '{"a":1}'.encode("utf-16"),
    "nothing": b"",
}


@pytest.mark.parametrize("name", BAD_JSON)
def test_json_that_is_not_meant_so_is_refused(house: House, name: str):
    answer = house.ask(house.post("/json", BAD_JSON[name]))
    assert answer.status == 400
    assert answer.json()["error"]["code"] == "invalid_json"


def test_json_as_it_is_meant(house: House):
    value = {"a": [1, -2.5, 1e300, None, True], "b": {"c": {}}, "d": "\u0000ü😀"}
    assert house.ask(house.post("/json", json.dumps(value).encode())).json() == value
    assert house.ask(house.post("/json", b'{"a":' + b"[" * 62 + b"]" * 62 + b"}")).status == 200


def test_the_end_waits_for_answers():
    with serving() as house:
        wire, idle = house.connect(), house.connect()
        wire.sendall(house.post("/stream", b'{"count":1,"size":10,"wait":1}'))
        assert wire.recv(4096)
        idle.sendall(house.head(Connection=None))
        assert idle.recv(4096)
        closing_ = asyncio.run_coroutine_threadsafe(house.http.close(0.3), house.loop)
        assert read_answer(idle).status == 0  # at once: it has nothing to wait for
        assert house.site.ended == []
        closing_.result(20)
        assert house.site.ended == ["stream"]
        with pytest.raises(ConnectionRefusedError):
            house.connect()
        wire.close()
        idle.close()


def test_a_port_in_use_is_said():
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        for host in ("127.0.0.1", "localhost"):
            with pytest.raises(ListenError, match=f"port {port} already"):
                listen(host, port)


def test_localhost_is_both_addresses_and_no_other():
    sockets = listen("localhost", 0)
    names = {each.getsockname()[0] for each in sockets}
    assert names <= {"127.0.0.1", "::1"}
    assert "127.0.0.1" in names
    for each in sockets:
        each.close()


def test_a_unix_socket_is_its_owners(tmp_path: Path):
    path = tmp_path / "s"
    with serving([listen_unix(path)]) as house:
        assert path.stat().st_mode & 0o777 == 0o600
        assert house.ask(house.head(Host="localhost")).status == 200
        assert house.ask(house.head(Host="evil.example")).status == 421
        assert house.ask(house.head(Host="localhost", Authorization=None)).status == 401
        with pytest.raises(ListenError, match="already"):
            listen_unix(path)
    again = listen_unix(path)  # what a dead server left is replaced
    again.close()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ListenError):
        listen_unix(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
