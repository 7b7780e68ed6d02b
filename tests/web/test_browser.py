"""`kimi web` in a real Chromium. Skipped where there is none."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyte
import pytest
from fake_api import FakeAPI
from kimi_program import Program
from web_server import PATIENCE_S, WebServer

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


def model(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Looks into the folder, which needs a permission, and tells what it saw."""
    last = body["messages"][-1]
    if last["role"] == "tool":
        return [{"text": "There is **one** file. 你好"}]
    return [{"text": "I look."}, {"call": {"name": "Shell", "arguments": {"command": "touch new.txt && ls"}}}]


class Page:
    """A page of Chromium, its terminal read from what the server sends: the page draws it on a canvas."""

    def __init__(self, page: Any) -> None:
        self.page, self.strangers, self.errors = page, [], []
        self._new_screen()
        page.on("websocket", self._socket)
        page.on("request", lambda request: self._asked(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)

    def visit(self, url: str) -> None:
        self.page.goto(url)
        self.until(lambda: "/s/" in self.page.url)

    def until(self, condition: Callable[[], object]) -> None:
        for _ in range(int(PATIENCE_S / 0.05)):
            if condition():
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"never came true; the page:\n{self.visible}")

    @property
    def visible(self) -> str:
        return "\n".join(line.rstrip() for line in self._screen.display)

    def expect(self, text: str) -> None:
        self.until(lambda: text in self.visible)

    def type(self, text: str) -> None:
        self.page.keyboard.type(text)
        self.expect(text)

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)

    def colours(self) -> int:
        """How many colours a screenshot has: a blank page has few."""
        import io

        from PIL import Image

        image = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        return len(image.getcolors(1 << 24))

    def _asked(self, url: str) -> None:
        if not url.startswith(("http://127.0.0.1:", "data:")):
            self.strangers.append(url)

    def _new_screen(self, columns: int = 80, lines: int = 24) -> None:
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)

    def _socket(self, socket: Any) -> None:
        width, height = (int(value) for value in re.findall(r"(?:width|height)=(\d+)", socket.url))
        self._new_screen(width, height)
        socket.on("framereceived", lambda data: self._stream.feed(data) if isinstance(data, bytes) else None)
        socket.on("framesent", self._sent)

    def _sent(self, data: str | bytes) -> None:
        if size := re.match(r'\["resize",\{"width":(\d+),"height":(\d+)\}\]', str(data)):
            self._screen.resize(int(size[2]), int(size[1]))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WebServer]:
    program = Program(tmp_path)
    with FakeAPI(model) as api:
        program.use(api.url)
        with WebServer(program) as server:
            yield server


@pytest.fixture
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def test_a_session_in_a_browser(server: WebServer, browser: Any, tmp_path: Path) -> None:
    context = browser.new_context(viewport={"width": 1000, "height": 640})
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=server.base)
    page = Page(context.new_page())
    page.visit(server.url)
    assert "token" not in page.page.url
    assert page.page.title() == "kimi · work"
    page.expect("your own shell")

    page.type("look around")
    page.press("Shift+Enter")
    page.type("and tell")
    page.press("Enter")
    page.expect("wants to run a command")
    page.page.wait_for_timeout(500)  # keys that come sooner do not answer a panel
    page.press("1")
    page.expect("There is one file. 你")
    assert (tmp_path / "work" / "new.txt").exists()
    assert page.colours() > 20

    page.page.reload()
    page.expect("There is one file. 你")
    assert "and tell" in page.visible

    page.page.set_viewport_size({"width": 620, "height": 420})
    page.until(lambda: "There is one file. 你" in page.visible and len(page.visible.splitlines()) < 24)
    page.type("/copy")
    page.press("Enter")
    page.until(lambda: "one" in page.page.evaluate("navigator.clipboard.readText()"))

    page.type("/quit")
    page.press("Enter")
    page.page.wait_for_selector("body.-ended")
    assert "kimi has ended." in page.page.inner_text("#end")
    page.page.click("#again")
    page.expect("your own shell")
    assert not page.strangers
    assert not page.errors


def test_a_browser_without_the_token_sees_nothing(server: WebServer, browser: Any) -> None:
    page = browser.new_page()
    assert page.goto(server.base).status == 403
    assert "kimi web" in page.inner_text("body")
    page.goto("data:text/html,<title>elsewhere</title>")
    told = page.evaluate(
        """address => new Promise((done) => {
            const socket = new WebSocket(address);
            socket.onopen = () => done("open");
            socket.onerror = () => done("refused");
        })""",
        server.base.replace("http", "ws") + "/s/0123456789abcdef/socket",
    )
    assert told == "refused"


def test_a_page_of_another_site_cannot_use_the_cookie(server: WebServer, browser: Any) -> None:
    context = browser.new_context()
    mine = Page(context.new_page())
    mine.visit(server.url)
    mine.expect("your own shell")
    other = context.new_page()
    other.goto(server.base.replace("127.0.0.1", "localhost"))  # another site with the same server behind it
    assert (
        other.evaluate(
            """address => new Promise((done) => {
            const socket = new WebSocket(address);
            socket.onopen = () => done("open");
            socket.onerror = () => done("refused");
        })""",
            server.base.replace("http", "ws") + "/s/0123456789abcdef/socket",
        )
        == "refused"
    )
