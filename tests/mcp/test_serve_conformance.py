"""The official conformance suite against `kimi mcp serve --http`: the scenarios that ask for no tools of their own.

The suite knows no tokens: its requests go through a proxy that adds ours, and our port where they name that of the proxy.
"""

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import node_house
import pytest
from kimi_program import Program
from nightly import all_but

SUITE = "@modelcontextprotocol/conformance@0.2.0-alpha.12"
EVERYDAY = ("server-session-lifecycle", "tools-list", "dns-rebinding-protection")
SCENARIOS = (*EVERYDAY, "server-initialize", "ping", "http-header-validation")
TOKEN = "a-token-that-was-made-for-this-test"


@contextlib.contextmanager
def proxy(port: int) -> Iterator[int]:
    """The port of a proxy to `port` that knows the token. One request per connection."""

    def serve() -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                threading.Thread(target=relay, args=(listener.accept()[0],), daemon=True).start()

    def relay(client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (data := client.recv(65536)):
                return
            head += data
        head, _, rest = head.partition(b"\r\n\r\n")
        lines = head.replace(b":%d" % own, b":%d" % port).split(b"\r\n")
        lines = [line for line in lines if not line.lower().startswith(b"connection:")]
        lines += [f"authorization: Bearer {TOKEN}".encode(), b"connection: close"]
        server = socket.create_connection(("127.0.0.1", port))
        server.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + rest)
        threading.Thread(target=pump, args=(client, server), daemon=True).start()
        pump(server, client)

    def pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        own = listener.getsockname()[1]
        threading.Thread(target=serve, daemon=True).start()
        yield own


@pytest.mark.parametrize("whole", all_but([False], [False, True]))
def test_the_official_suite(tmp_path: Path, whole: bool) -> None:
    kimi = Program(tmp_path)
    suite = [str(node_house.node()), str(node_house.package(SUITE) / "dist/index.js"), "server"]
    command = [sys.executable, "-m", "kimi_agent", "mcp", "serve", "--http", "0"]
    command += ["--provider", kimi.scenario([{"text": "Done."}])]
    env = kimi.environment(KIMI_MCP_TOKEN=TOKEN)
    with subprocess.Popen(command, cwd=kimi.work, env=env, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            port = int(server.stderr.readline().split(":")[-1].split("/")[0])
            with proxy(port) as shown:
                url = f"http://127.0.0.1:{shown}/mcp"
                for scenario in SCENARIOS if whole else EVERYDAY:
                    done = subprocess.run(
                        [*suite, "--url", url, "--scenario", scenario], capture_output=True, text=True, timeout=60
                    )
                    assert done.returncode == 0, f"{scenario}: {done.stdout}{done.stderr}"
                    assert ", 0 failed" in done.stdout
        finally:
            server.terminate()
        assert server.stderr.read() == ""
