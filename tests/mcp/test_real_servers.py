"""Servers that people have, through our host and in the box: of the protocol's authors, and a browser (mcp_real_servers.py)."""

import base64
import contextlib
import http.server
import json
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import mcp_real_servers as real
import pytest
from fake_api import FakeAPI
from kimi_program import Program
from mcp_house import call, hosting, state, write_servers
from tool_context import make_context, text_of

from kimi_agent.core.message import Image
from kimi_agent.core.tool import ToolContext
from kimi_agent.mcp.host import McpHost

PAGE = b"<!doctype html><title>A page</title><h1 style='color:red'>Hello from here</h1><p>Forty-two ways.</p>"


@pytest.fixture
def ctx(tmp_path: Path) -> ToolContext:
    (tmp_path / "work").mkdir(exist_ok=True)
    return make_context(tmp_path / "work")


@pytest.fixture
def page() -> Iterator[str]:
    """The address of a page on this machine."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/"
            self.send_response(200 if found else 404)
            self.send_header("content-type", "text/html")
            self.send_header("content-length", str(len(PAGE) if found else 0))
            self.end_headers()
            self.wfile.write(PAGE if found else b"")

        def log_message(self, *args: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@contextlib.contextmanager
def serving(kind: str) -> Iterator[str]:
    """Server-everything over HTTP: its address. It takes no port 0, so one that was free a moment ago is named."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = real.everything(kind)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PORT": str(port)}) as process:
        assert process.stderr is not None
        try:
            assert any(str(port) in line for line in process.stderr), "it ended"
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield f"http://127.0.0.1:{port}/{'mcp' if kind == 'streamableHttp' else 'sse'}"
        finally:
            process.kill()


def is_up(host: McpHost, server: str, protocol: str) -> None:
    found = state(host, server)
    assert found.status == "ready", (found.detail, found.stderr)
    assert found.protocol == protocol


@pytest.mark.parametrize("kind", ["stdio", "streamableHttp", "sse"])
async def test_server_everything(tmp_path: Path, ctx: ToolContext, kind: str) -> None:
    shown: list[str] = []
    object.__setattr__(ctx, "progress", shown.append)
    with contextlib.ExitStack() as stack:
        servers: dict[str, object] = {}
        if kind == "stdio":
            servers["s"] = real.everything()
        else:
            servers["s"] = {"url": stack.enter_context(serving(kind)), **({"type": "sse"} if kind == "sse" else {})}
        async with hosting(tmp_path, servers, boxed=True) as host:  # type: ignore[arg-type]
            is_up(host, "s", "2025-11-25")
            await host.settled(whole=True)
            assert len(host.names()) >= 10
            assert (state(host, "s").prompts, state(host, "s").resources) >= (3, 5)
            assert text_of(await call(host, "mcp__s__echo", ctx, message="hello")) == "Echo: hello"
            await call(host, "mcp__s__trigger-long-running-operation", ctx, duration=0.2, steps=2)
            assert [line.split()[0] for line in shown] == ["1/2", "2/2"]
            picture = await call(host, "mcp__s__get-tiny-image", ctx)
            assert any(isinstance(part, Image) for part in picture.for_model)
            weather = text_of(await call(host, "mcp__s__get-structured-content", ctx, location="Chicago"))
            assert "temperature" in weather
            annotated = await call(host, "mcp__s__get-annotated-message", ctx, messageType="error", includeImage=True)
            assert text_of(annotated)


async def test_server_filesystem(tmp_path: Path, ctx: ToolContext) -> None:
    folder = tmp_path / "work"
    (folder / "a.txt").write_text("what stands in a")
    async with hosting(tmp_path, {"files": real.filesystem(folder)}, boxed=True) as host:
        is_up(host, "files", "2025-11-25")
        assert "what stands in a" in text_of(
            await call(host, "mcp__files__read_text_file", ctx, path=str(folder / "a.txt"))
        )
        await call(host, "mcp__files__write_file", ctx, path=str(folder / "b.txt"), content="b")
        assert (folder / "b.txt").read_text() == "b"
        denied = await call(host, "mcp__files__read_text_file", ctx, path="/etc/passwd")
        assert denied.is_error


@pytest.mark.nightly
async def test_servers_of_pypi(tmp_path: Path, ctx: ToolContext, page: str) -> None:
    repository = tmp_path / "work"
    git(repository, "init", "-q")
    (repository / "a.txt").write_text("a")
    git(repository, "add", ".")
    git(repository, "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "the first of all")
    (repository / "a.txt").write_text("other")
    command, *args = real.time()
    new = {"command": command, "args": args, "protocol": "2026-07-28"}
    servers = {"git": real.git(repository), "fetch": real.fetch(), "time": new}
    async with hosting(tmp_path, servers, boxed=True) as host:
        for server in servers:
            is_up(host, server, "2026-07-28" if server == "time" else "2025-11-25")
        assert "the first of all" in text_of(await call(host, "mcp__git__git_log", ctx, repo_path=str(repository)))
        assert "a.txt" in text_of(await call(host, "mcp__git__git_status", ctx, repo_path=str(repository)))
        assert "Hello from here" in text_of(await call(host, "mcp__fetch__fetch", ctx, url=page, raw=True))
        now = text_of(await call(host, "mcp__time__get_current_time", ctx, timezone="Asia/Tokyo"))
        assert "+09:00" in now


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True)


def test_a_browser_shows_the_agent_a_page(tmp_path: Path, page: str) -> None:
    """The whole way: the real program, playwright-mcp, Chromium, a picture in the request to the model.

    Both listen on sockets of Unix, which nothing in a box gets: docs/guides/mcp.md.
    """
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    kimi = Program(tmp_path)
    command, *args = real.playwright(chromium, kimi.work / "shots")
    write_servers(kimi.home / "mcp.json", {"browser": {"command": command, "args": args, "box": False}})
    steps: Sequence[object] = [
        [{"call": {"name": "mcp__browser__browser_navigate", "arguments": {"url": page}}}],
        [{"call": {"name": "mcp__browser__browser_take_screenshot", "arguments": {"scale": "css"}}}],
        [{"text": "Done."}],
    ]
    with FakeAPI(steps) as api:
        kimi.use(api.url)
        kimi.config.write_text(f'{kimi.config.read_text()}capabilities = ["image_in"]\n')
        done = kimi.run("-p", "Look at the page.", "--yolo")
        assert done.stdout == "Done.\n", done.stderr
        said = api.requests[-1].body.decode()
        assert "Page Title: A page" in said
        pictures = [part["image_url"]["url"] for part in parts(json.loads(said)) if part.get("type") == "image_url"]
        assert pictures, said[-3000:]
        kind, _, data = pictures[0].partition(",")
        assert kind in ("data:image/png;base64", "data:image/jpeg;base64")
        assert len(base64.b64decode(data)) > 1_000


def parts(request: dict[str, list[dict[str, object]]]) -> list[dict[str, dict[str, str]]]:
    found: list[dict[str, dict[str, str]]] = []
    for message in request["messages"]:
        content = message.get("content")
        found += content if isinstance(content, list) else []
    return found
