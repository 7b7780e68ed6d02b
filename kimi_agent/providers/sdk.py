"""What the providers on an SDK share: time limits, errors put into words, and no headers that tell the device apart."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Iterable
from types import ModuleType
from typing import Any, Protocol

from kimi_agent.core.errors import ConfigError, ConnectionFailed, ProviderError
from kimi_agent.core.provider import Delta, Endpoint
from kimi_agent.providers.failures import failure_of, to_error
from kimi_agent.providers.transport import PROXY_HINT, check_address, headers_for, host_of, proxy_for, ssl_context

# Packages whose errors mean that the connection or the stream broke: SDKs let some of them through.
BELOW = ("httpx", "httpx2", "httpcore", "httpcore2", "json", "openai", "anthropic", "pydantic_core")
TELLING = ("OS", "Arch", "Lang", "Package-Version", "Runtime", "Runtime-Version", "Async", "Retry-Count", "Timeout")


def client_options(endpoint: Endpoint, sdk: ModuleType) -> dict[str, Any]:
    """Arguments for the SDK's client: ours to retry, ours to name, nothing told about the device. Raises ConfigError."""
    own = {key: value for key, value in headers_for(endpoint).items() if key in ("User-Agent", *endpoint.headers)}
    silent = {f"X-Stainless-{name}": sdk.Omit() for name in TELLING}
    if host_of(endpoint.base_url) != "api.openai.com":  # OPENAI_ORG_ID and its like are nobody else's business
        silent |= {name: sdk.Omit() for name in ("OpenAI-Organization", "OpenAI-Project")}
    check_address(endpoint)
    proxy = proxy_for(endpoint.base_url)
    try:
        client = sdk.DefaultAsyncHttpxClient(
            proxy=proxy or None, trust_env=False, verify=ssl_context(endpoint.base_url)
        )
    except (ValueError, ImportError) as error:
        raise ConfigError(f"cannot set up HTTP for {endpoint.name!r}: {error}", PROXY_HINT) from None
    return {
        "http_client": client,
        "api_key": endpoint.api_key or "none",
        "base_url": endpoint.base_url,
        "max_retries": 0,
        "timeout": sdk.Timeout(None, connect=endpoint.connect_timeout, write=endpoint.idle_timeout),
        "default_headers": {**silent, **own},
    }


class Reply(Protocol):
    """Turns the events of one stream into deltas; `finished` once it has seen the end."""

    finished: bool

    def feed(self, event: Any) -> Iterable[Delta]: ...


async def deltas(
    opening: Awaitable[Any], endpoint: Endpoint, sdk: ModuleType, reply: Reply
) -> AsyncGenerator[Delta, None]:
    """The whole reply. Raises ProviderError, ConnectionFailed for one that ends too early."""
    async with contextlib.aclosing(events(opening, endpoint, sdk)) as stream:
        async for event in stream:
            for delta in reply.feed(event):
                yield delta
    if not reply.finished:
        raise ConnectionFailed(f"The reply of {endpoint.name} broke off before its end.")


async def events(opening: Awaitable[Any], endpoint: Endpoint, sdk: ModuleType) -> AsyncGenerator[Any, None]:
    """The events of the stream that `opening` opens. Raises ProviderError; a silent stream is ConnectionFailed."""
    stream = None
    limit = max(endpoint.first_byte_timeout, endpoint.idle_timeout)  # SDKs hide the pings that show a stream is alive
    try:
        async with asyncio.timeout(endpoint.connect_timeout + limit):
            stream = await opening
        iterator = aiter(stream)
        while True:
            try:
                async with asyncio.timeout(limit):
                    event = await anext(iterator)
            except StopAsyncIteration:
                return
            yield event
    except TimeoutError:
        raise ConnectionFailed(f"{endpoint.name} stalled: nothing arrived for {limit:g} s.") from None
    except sdk.APIError as error:
        raise _put_into_words(error, endpoint, sdk) from error
    except ProviderError:
        raise
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in BELOW:
            raise
        raise ConnectionFailed(f"The connection to {endpoint.name} was lost: {error}") from error
    finally:
        if stream is not None:
            await stream.close()


def _put_into_words(error: Any, endpoint: Endpoint, sdk: ModuleType) -> ProviderError:
    if isinstance(error, sdk.APIConnectionError):
        cause = error.__cause__ or error
        return ConnectionFailed(
            f"No connection to {endpoint.name}: {cause or error}", "Check the network and the address."
        )
    status, response = getattr(error, "status_code", 0), getattr(error, "response", None)
    status = status if status >= 400 else 0  # an error inside a stream has the status of the stream: 200
    headers = {key.lower(): value for key, value in response.headers.items()} if response is not None else {}
    failure = failure_of(error.body or {"message": error.message}, status, headers)
    return to_error(failure, endpoint)
