"""One question to a search service: the request, what went wrong in words, the results cleaned. No key ever leaves here."""

import asyncio
import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, urlsplit

from kimi_agent import __version__
from kimi_agent.core.errors import ToolError
from kimi_agent.core.sanitize import plain
from kimi_agent.tools.search.template import Query, Service, Template, dig, fill, fill_header, fill_url, values_of
from kimi_agent.tools.untrusted import one_line

if TYPE_CHECKING:
    import httpx

MAX_WAIT_S = 5.0
"""Seconds that a service may ask to wait before the one retry."""
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_TITLE, _URL, _SNIPPET, _MESSAGE = 200, 2000, 1000, 300
_SECRET_HEADER = re.compile("auth|key|token|secret|cookie", re.IGNORECASE)
_SHORTEST_SECRET = 6


@dataclass(frozen=True, slots=True)
class Result:
    title: str
    url: str
    snippet: str
    date: str
    content: str


class _Again(Exception):
    """The request may be sent once more, `wait` seconds later. `error` is what is told when that does not help."""

    def __init__(self, error: ToolError, wait: float | None = None) -> None:
        super().__init__()
        self.error, self.wait = error, wait


class Client:
    """`name` is the service's in the configuration. Times in seconds: `time_limit_s` is for everything together."""

    def __init__(
        self, name: str, service: Service, template: Template, *, time_limit_s: float = 45.0, retry_wait_s: float = 1.0
    ) -> None:
        self.setting = f"[services.{name}]"
        self.template = template
        self._key = service.api_key.strip()
        self._custom = service.custom_headers
        self._time_limit_s, self._retry_wait_s = time_limit_s, retry_wait_s
        secrets = {self._key, *(text.strip() for name, text in self._custom.items() if _SECRET_HEADER.search(name))}
        secrets |= {secret.partition(" ")[2].strip() for secret in secrets}  # of `Bearer KEY` the key
        self._secrets = sorted((s for s in secrets if len(s) >= _SHORTEST_SECRET), key=len, reverse=True)

    @property
    def host(self) -> str:
        return self._address()[1]

    def effect_url(self, query: str) -> str:
        """What a search is to the gates: the address that is asked and the query, without keys."""
        scheme, host, path = self._address()
        return f"{scheme}://{host}{path}?q={quote_plus(query, errors='replace')}"

    async def search(self, query: Query) -> list[Result]:
        """At most `query.limit` results, each with a URL. Raises ToolError that says what to check."""
        try:
            async with asyncio.timeout(self._time_limit_s):
                return self._results(await self._ask(query), query.limit)
        except TimeoutError:
            less = " Try again without include_content." if query.include_content else " Try again later."
            raise ToolError(f"{self.host} did not answer within {self._time_limit_s:g} s.{less}") from None

    def redact(self, text: str) -> str:
        """`text` without keys, also when the service repeats one."""
        for secret in self._secrets:
            for form in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1]):
                text = text.replace(form, "[key]")
        return text

    # --- asking -------------------------------------------------------------------------------------------------------

    def _address(self) -> tuple[str, str, str]:
        """Scheme, host with port, path. Raises ToolError for what is no web address; it is not repeated: it may hold a key."""
        try:
            parts = urlsplit(self.template.url)
            if (
                parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
            ):  # a wrong port raises ValueError
                return parts.scheme, parts.netloc.rpartition("@")[2], parts.path
        except ValueError:
            pass
        raise ToolError(f"The base_url of {self.setting} in config.toml is no http:// or https:// address.")

    async def _ask(self, query: Query) -> Any:
        try:
            return await self._once(query)
        except _Again as failure:
            wait = self._retry_wait_s if failure.wait is None else failure.wait
            if wait > MAX_WAIT_S:
                raise failure.error from None
        await asyncio.sleep(wait)
        try:
            return await self._once(query)
        except _Again as failure:
            raise failure.error from None

    async def _once(self, query: Query) -> Any:
        import httpx

        from kimi_agent.tools.http_get import proxy_for, tls
        from kimi_agent.tools.net import parse_url

        scheme, host, _ = self._address()
        values = values_of(query, self._key)
        body = None if self.template.body is None else fill(self.template.body, values)
        proxy = None if urlsplit(f"//{host}").hostname in _LOOPBACK else proxy_for(parse_url(f"{scheme}://{host}/"))
        try:
            async with (
                httpx.AsyncClient(
                    verify=tls(), proxy=proxy, trust_env=False, timeout=httpx.Timeout(None, connect=15)
                ) as client,
                client.stream(
                    self.template.method, fill_url(self.template.url, values), headers=self._headers(values), json=body
                ) as response,
            ):
                return await self._answer(response)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as error:
            raise ToolError(
                f"{host} cannot be asked: check base_url and api_key of {self.setting} in config.toml."
            ) from error
        except httpx.HTTPError as error:
            what = self.redact(str(error) or type(error).__name__)
            raise _Again(
                ToolError(f"{host} could not be reached: {what}. Is base_url of {self.setting} right?")
            ) from error

    def _headers(self, values: Mapping[str, Any]) -> dict[str, str]:
        """The template's headers, and the user's over them. Raises ToolError for one that HTTP cannot carry."""
        headers = {"user-agent": f"kimi-agent/{__version__}", "accept": "application/json"}
        headers["accept-encoding"] = "gzip, deflate"
        for table in (self.template.headers, self._custom):
            headers |= {name.lower(): fill_header(text, values) for name, text in table.items()}
        for name, value in headers.items():
            if not (name.isascii() and name.isprintable() and value.isascii() and value.isprintable()):
                raise ToolError(
                    f"The header {name!r} of {self.setting} holds characters that HTTP cannot carry: check api_key and "
                    "custom_headers in config.toml."
                )
        return headers

    async def _answer(self, response: "httpx.Response") -> Any:
        from kimi_agent.tools.http_get import read_body

        if response.has_redirect_location:
            goal = self.redact(one_line(response.headers["location"].partition("?")[0], _MESSAGE))
            raise ToolError(
                f"{self.host} redirects to {goal}: not followed, the key is for {self.host} alone. "
                f"If that is where the service is now, set base_url of {self.setting} to it."
            )
        body, truncated = await read_body(response)
        if response.status_code >= 400:
            error = ToolError(self._refusal(response, body))
            if response.status_code == 429 or response.status_code >= 500:
                raise _Again(error, _retry_after(response))
            raise error
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            what = "more than can be read" if truncated else "something that is not JSON"
            raise ToolError(
                f"{self.host} answered with {what}: check base_url and type of {self.setting} in config.toml."
            ) from None

    def _refusal(self, response: "httpx.Response", body: bytes) -> str:
        status = response.status_code
        said = self.redact(one_line(body.decode("utf-8", "replace"), _MESSAGE))
        advice = self.template.advice.get(status) or _advice(status, self.setting)
        return f"{self.host} answered {status} {response.reason_phrase}. {advice}" + (
            f"\nIt said: {said}" if said else ""
        )

    # --- the answer ---------------------------------------------------------------------------------------------------

    def _results(self, answer: Any, limit: int) -> list[Result]:
        items = dig(answer, self.template.results)
        if items is None and self.template.optional and isinstance(answer, Mapping):
            items = []
        if not isinstance(items, list):
            where = f"at {self.template.results!r}" if self.template.results else "as the whole"
            raise ToolError(
                f"The answer of {self.host} holds no list {where}: check base_url and type of {self.setting}."
            )
        found: dict[str, Result] = {}
        for item in items:
            result = self._result(item)
            if result.url:
                found.setdefault(result.url, result)
        if items and not found:
            raise ToolError(
                f"None of the {len(items)} results of {self.host} has a web address at {self.template.fields.url!r}: "
                f"check the fields of {self.setting}."
            )
        return list(found.values())[:limit]

    def _result(self, item: Any) -> Result:
        paths = self.template.fields

        def text(path: str) -> str:
            value = dig(item, path) if path else None
            return self.redact(str(value)) if isinstance(value, str | int | float) else ""

        return Result(
            one_line(html.unescape(text(paths.title)), _TITLE),
            _web_address(text(paths.url)),
            one_line(html.unescape(text(paths.snippet)), _SNIPPET),
            one_line(text(paths.date), 40),
            plain(text(paths.content)).strip(),
        )


def _web_address(text: str) -> str:
    """`text` as an address that can be cited and fetched, empty when it is none."""
    url = plain(text).strip().replace(" ", "%20")
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    good = parts.scheme in ("http", "https") and parts.hostname and len(url) <= _URL and len(url.split()) == 1
    return url if good else ""


def _advice(status: int, setting: str) -> str:
    """What to check at a status, in words for the model to pass on."""
    if status in (401, 403):
        return f"It refuses the key: tell the user to check api_key of {setting} in config.toml."
    if status == 402:
        return "The account is out of credit: tell the user."
    if status == 429:
        return "Too many requests, or the quota is used up: search less, or later."
    if status >= 500:
        return "The service is in trouble: try again later, or go on without it."
    if status in (404, 405):
        return f"Tell the user to check base_url of {setting} in config.toml."
    return f"It does not understand the request: try a shorter query, and check type and base_url of {setting}."


def _retry_after(response: "httpx.Response") -> float | None:
    """Seconds; None where the service did not say, or not in seconds."""
    text = response.headers.get("retry-after", "")
    return float(text) if text.isdecimal() else None
