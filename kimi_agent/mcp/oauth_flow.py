"""The one place where a person signs in to a server: `kimi mcp auth NAME`."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kimi_agent.core.errors import ConfigError, KimiError
from kimi_agent.core.sanitize import plain, visible
from kimi_agent.mcp.definition import Server
from kimi_agent.mcp.oauth import check_endpoint
from kimi_agent.mcp.oauth_hosts import check
from kimi_agent.mcp.oauth_listener import PATH, Listener, WrongAnswer
from kimi_agent.mcp.oauth_store import FOLDER, SignIn, held

PATIENCE = 300.0
"""Seconds for a person to sign in."""


async def authorize(
    server: Server,
    home: Path,
    *,
    show: Callable[[str], None],
    open_browser: Callable[[str], object] | None = None,
    pasted: Callable[[], Awaitable[str]] | None = None,
    env: Mapping[str, str] = os.environ,
    patience: float = PATIENCE,
) -> None:
    """Lead a person through the sign-in to an expanded `server`, and store what comes of it.

    `show` gets lines to print, the address to open as a line of its own; `open_browser` gets that address, None opens none.
    `pasted` waits for a line that the person has pasted, the address that their browser ended at; it raises EOFError when no more
    will come.

    Raises ConfigError for a server that none can sign in to, KimiError where it came to nothing: then nothing is stored that was
    not there before but perhaps a registration.
    """
    check_endpoint(server)
    if server.bearer_env or any(name.lower() == "authorization" for name in server.headers):
        raise ConfigError(
            f'MCP server "{server.name}" has a token of its own in its definition: there is nothing to sign in to'
        )
    sign_in = SignIn(server, home)
    async with (
        held(home / FOLDER / ".sign-in", patience, "another sign-in"),
        await _listener(server, sign_in, show) as listener,
    ):
        person = _Person(server, listener, show, open_browser, pasted, patience)
        await _sign_in(server, sign_in, person, env)


async def _listener(server: Server, sign_in: SignIn, show: Callable[[str], None]) -> Listener:
    """On the port that the definition says, or that the server knows from its registration, or any. Raises KimiError."""

    def refused(why: str) -> None:
        show(f"({why})")

    port = server.oauth.callback_port
    known = 0 if port or server.oauth.client_id else _registered_port(sign_in)
    if known:
        with suppress(KimiError):
            async with Listener(known, refused):
                port = known
        if not port:
            sign_in.update(client=None)  # the port is taken: another one must be registered
    return Listener(port, refused)


def _registered_port(sign_in: SignIn) -> int:
    client = sign_in.read().get("client")
    redirects = client.get("redirect_uris") if isinstance(client, dict) else None
    with suppress(ValueError, TypeError, IndexError, KeyError):
        parts = urlsplit(str(redirects[0])) if redirects else None
        if parts and parts.path == PATH:
            return parts.port or 0
    return 0


class _Person:
    """The two halves of the sign-in that a person takes part in, as the SDK calls them."""

    def __init__(
        self,
        server: Server,
        listener: Listener,
        show: Callable[[str], None],
        open_browser: Callable[[str], object] | None,
        pasted: Callable[[], Awaitable[str]] | None,
        patience: float,
    ) -> None:
        self.listener = listener
        self._server, self._show, self._open, self._pasted, self._patience = (
            server,
            show,
            open_browser,
            pasted,
            patience,
        )

    async def send(self, url: str) -> None:
        await check(url, self._server.url, "the page to sign in at")
        self.listener.state = parse_qs(urlsplit(url).query)["state"][0]
        host = urlsplit(url).hostname or ""
        scopes = " ".join(parse_qs(urlsplit(url).query).get("scope", []))
        asks = f", which is asked for: {visible(plain(scopes)):.300}" if scopes else ""
        self._show(f"To sign in to {self._server.name}, open this address at {visible(host)}{asks}")
        self._show(visible(plain(url)))
        if self._open is not None:
            self._open(url)
        if self._pasted is not None:
            self._show(
                "Is the browser on another machine? Paste here the address that it ends at, even if the page fails."
            )

    async def answer(self) -> Any:
        from mcp.client.auth import AuthorizationCodeResult

        pasting = asyncio.create_task(self._paste())
        try:
            async with asyncio.timeout(self._patience):
                await asyncio.wait([self.listener.answer, pasting], return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            raise KimiError(f"nobody has signed in for {self._patience:g} s", "Run the command again.") from None
        finally:
            pasting.cancel()
        found = self.listener.answer.result() if self.listener.answer.done() else pasting.result()
        if "error" in found:
            more = found.get("error_description", "")
            raise KimiError(f"the server did not grant it: {_said(found['error'] + (': ' + more if more else ''))}")
        return AuthorizationCodeResult(code=found["code"], state=found["state"], iss=found.get("iss"))

    async def _paste(self) -> dict[str, str]:
        """The first pasted line that is an answer. Never ends when none will come."""
        while self._pasted is not None:
            try:
                line = await self._pasted()
            except EOFError:
                break
            try:
                if line.strip():
                    return self.listener.take(line)
            except WrongAnswer as error:
                self._show(f"({error})")
        never: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
        return await never


async def _sign_in(server: Server, sign_in: SignIn, person: _Person, env: Mapping[str, str]) -> None:
    import httpx2
    from mcp.client.auth import OAuthFlowError, OAuthRegistrationError, OAuthTokenError
    from pydantic import ValidationError

    from kimi_agent.mcp.oauth_interactive import InteractiveAuth, first_request

    name = f'the sign-in to MCP server "{server.name}" came to nothing'
    try:
        auth = InteractiveAuth(server, sign_in, env, person.listener.redirect, person.send, person.answer)
        refusal = await first_request(server, auth)
    except (OAuthFlowError, OAuthRegistrationError, OAuthTokenError, ValidationError, ValueError) as error:
        raise KimiError(f"{name}: {_said(str(error))}") from None
    except httpx2.HTTPError as error:
        asked = error.request.url.host if getattr(error, "_request", None) else urlsplit(server.url).hostname
        raise KimiError(f"{name}: {asked} cannot be reached ({type(error).__name__})") from None
    except ConfigError:
        raise
    except KimiError as error:
        raise KimiError(f"{name}: {error}", error.hint) from None
    if not auth.signed_in:
        raise KimiError(f"{name}: it asks for none", f"kimi mcp test {server.name} says whether it can be used.")
    if refusal:
        raise KimiError(f'MCP server "{server.name}" refuses the token that it was signed in with: {_said(refusal)}')


def _said(text: str) -> str:
    """Words of a stranger: one line, nothing hidden."""
    return visible(" ".join(plain(text).split()))[:500]
