"""The HTTP server of `kimi web`. Everything but the first visit needs the cookie that the token buys; see guard.py."""

import html
import json
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any

from aiohttp import WSMsgType, web

from kimi_agent.frontends.common.pty_child import Size
from kimi_agent.frontends.web.guard import Guard
from kimi_agent.frontends.web.page import ENDED, TOO_MANY, Page
from kimi_agent.frontends.web.places import Full, Places
from kimi_agent.frontends.web.program import Program

_OURS, _TEXTUAL = files("kimi_agent.frontends.web") / "pages", files("textual_serve") / "static"
_FILES = {
    "page.js": (_OURS / "page.js", "text/javascript"),
    "page.css": (_OURS / "page.css", "text/css"),
    "icon.svg": (_OURS / "icon.svg", "image/svg+xml"),
    "textual.js": (_TEXTUAL / "js" / "textual.js", "text/javascript"),
    "xterm.css": (_TEXTUAL / "css" / "xterm.css", "text/css"),
    "mono.ttf": (_TEXTUAL / "fonts" / "RobotoMono-VariableFont_wght.ttf", "font/ttf"),
    "mono-italic.ttf": (_TEXTUAL / "fonts" / "RobotoMono-Italic-VariableFont_wght.ttf", "font/ttf"),
}
"""All that can be had below /static/: names, not paths."""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'; img-src 'self' data:; "
    "connect-src 'self' ws://{host}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_WELCOME = '<!DOCTYPE html><link rel="icon" href="data:,"><meta http-equiv="refresh" content="0;url=/">\n'
_MAX_MESSAGE = 1 << 22
"""Bytes of one message from the browser: a large paste."""
_MAX_CELLS = 1000
_HEARTBEAT_S = 15.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(places: Places, guard: Guard, title: str) -> web.Application:
    """The server's routes. `title` is that of the page."""
    server = _Server(places, guard, title)
    app = web.Application(middlewares=[server.check], client_max_size=1 << 16)
    app.add_routes(
        [
            web.get("/", server.index),
            web.get("/s/{name:[0-9a-f]{16}}", server.page),
            web.get("/s/{name:[0-9a-f]{16}}/socket", server.socket),
            web.get("/static/{file}", server.static),
        ]
    )
    return app


class _Server:
    def __init__(self, places: Places, guard: Guard, title: str) -> None:
        self._places, self._guard, self._title = places, guard, title

    @web.middleware
    async def check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every request passes here first, whatever it asks for."""
        response: web.StreamResponse
        if not self._guard.host_is_ours(request.headers):
            response = _refusal("This server answers only under the name of this machine: 127.0.0.1 or localhost.")
        elif request.path == "/" and self._guard.knows_token(request.query.get("token", "")):
            response = self._welcome()
        elif not self._guard.knows_pass(request.cookies):
            response = _refusal("Open the address that <code>kimi web</code> printed: it holds the key to this page.")
        else:
            try:
                response = await handler(request)
            except web.HTTPException as error:
                response = error if error.status < 400 else _plain_page(error.status, html.escape(error.reason))
        if not response.prepared:
            host = request.headers.get("Host", "") if self._guard.host_is_ours(request.headers) else "127.0.0.1"
            response.headers.update(_HEADERS | {"Content-Security-Policy": _POLICY.format(host=host)})
        return response

    def _welcome(self) -> web.Response:
        """The token was right: set the cookie and go to the address without it.

        A page does this, no redirect: a browser keeps a strict cookie back from a redirect that began on another site.
        """
        response = web.Response(text=_WELCOME, content_type="text/html")
        response.headers["Set-Cookie"] = self._guard.cookie()
        return response

    async def index(self, request: web.Request) -> web.StreamResponse:
        raise web.HTTPSeeOther(f"/s/{self._places.new_name()}")

    async def page(self, request: web.Request) -> web.StreamResponse:
        text = (_OURS / "page.html").read_text(encoding="utf-8")
        address = f"ws://{request.host}{request.path}/socket"
        text = text.replace("{title}", html.escape(self._title)).replace("{socket}", html.escape(address))
        return web.Response(text=text, content_type="text/html")

    async def static(self, request: web.Request) -> web.StreamResponse:
        if (found := _FILES.get(request.match_info["file"])) is None:
            raise web.HTTPNotFound
        return web.Response(body=found[0].read_bytes(), content_type=found[1])

    async def socket(self, request: web.Request) -> web.StreamResponse:
        """The terminal of one page. textual.js says ["stdin", text], ["resize", {width, height}] and ["ping", text]."""
        if not self._guard.origin_is_ours(request.headers):
            return _refusal("This is for pages of this server.")
        socket = web.WebSocketResponse(heartbeat=_HEARTBEAT_S, max_msg_size=_MAX_MESSAGE)
        await socket.prepare(request)
        name, size = request.match_info["name"], _size(request.query)
        page = Page(socket, on_room=lambda: program.go_on())
        try:
            program = await self._places.join(name, page, size or (80, 24))
        except (Full, OSError) as error:
            await page.close(TOO_MANY if isinstance(error, Full) else ENDED)
            return socket
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT and not await self._hear(message.data, program, page, socket):
                    break
        finally:
            page.drop()
            self._places.leave(name, page)
        return socket

    async def _hear(self, text: str, program: Program, page: Page, socket: web.WebSocketResponse) -> bool:
        """Do what the browser says; false for what no page of ours would say."""
        match _parsed(text):
            case ["stdin", str(typed)] if program.page is page:
                program.type(typed)
            case ["resize", dict(wanted)] if (size := _size(wanted)) is not None:
                if program.page is page:
                    program.resize(size)
            case ["ping", str(word)]:
                await socket.send_json(["pong", word])
            case ["stdin", str()] | ["focus"] | ["blur"]:  # the terminal tells of the focus itself
                pass
            case _:
                return False
        return True


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _size(values: Any) -> Size | None:
    """Columns and rows, from what the browser says."""
    try:
        width, height = int(values["width"]), int(values["height"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return (min(max(width, 2), _MAX_CELLS), min(max(height, 2), _MAX_CELLS))


def _refusal(text: str) -> web.Response:
    return _plain_page(403, text)


def _plain_page(status: int, text: str) -> web.Response:
    head = '<meta charset="utf-8"><link rel="icon" href="data:,"><title>kimi</title>'
    page = f'<!DOCTYPE html><html lang="en">{head}<p>{text}</p></html>\n'
    return web.Response(status=status, text=page, content_type="text/html")
