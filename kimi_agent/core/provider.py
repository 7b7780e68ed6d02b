"""A model behind an API: a request goes in, a stream of deltas comes out."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol, TypeAlias

from msgspec import Struct

from kimi_agent.core.message import Message
from kimi_agent.core.record import Record


class ToolSpec(Record):
    """A tool as the model sees it. `schema` is JSON Schema with every `$ref` resolved."""

    name: str
    description: str
    schema: dict[str, Any]


class Prices(Record):
    """Per million tokens, in whatever currency the user configured. `cached` is None where cached input costs the same."""

    input: float
    output: float
    cached: float | None = None


class Model(Record):
    """`name` is the user's key for it, `id` what the API calls it. `context_size` in tokens, 0 when unknown.

    `profile` is what it is told: `full`, or `compact` for a short prompt and few tools (agent/profile.py).
    """

    name: str
    id: str
    provider: str
    context_size: int = 0
    capabilities: frozenset[str] = frozenset()
    prices: Prices | None = None
    profile: str = "full"

    @property
    def sees(self) -> bool:
        """Whether pictures may be sent to it; one whose capabilities nobody told is trusted to see."""
        return not self.capabilities or "image_in" in self.capabilities


class Endpoint(Record):
    """Where a provider talks to. `kind` is a key of the providers table; `reasoning_field` overrides where reasoning stands.

    `headers` are added to every request. `sampling` holds request fields sent as they are (`temperature`, `top_p`, ...).
    Times are seconds: until connected, until the first byte, and between bytes.
    """

    name: str
    kind: str
    base_url: str = ""
    api_key: str = ""
    headers: dict[str, str] = {}
    reasoning_field: str = ""
    sampling: dict[str, Any] = {}
    connect_timeout: float = 15.0
    first_byte_timeout: float = 120.0
    idle_timeout: float = 90.0


class Request(Struct, frozen=True):
    """One step. Everything before the last messages is byte-stable from step to step: prompt caches live on it.

    `session_id` serves as the cache key. `max_output` None leaves the limit to the provider. `thinking` is None (the
    model's default), "off", "on", or an effort such as "low" or "high".
    """

    session_id: str
    system: str
    messages: Sequence[Message]
    tools: Sequence[ToolSpec] = ()
    max_output: int | None = None
    thinking: str | None = None


class TextChunk(Record):
    text: str


class ThinkChunk(Record):
    """Reasoning text, with the API's field that carried it; `details` as in `message.Think`."""

    text: str
    field: str = ""
    details: tuple[dict[str, Any], ...] = ()


class CallChunk(Record):
    """A piece of the call at `index`; `id` and `name` come with its first piece, `arguments` are concatenated."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


class Tokens(Record):
    """`input` counts the whole prompt, `cached` the part of it that was served from a cache, `thought` that part of `output`."""

    input: int
    output: int
    cached: int = 0
    thought: int = 0


class Finished(Record):
    """The reply is whole. `reason` in the API's words: `stop`, `tool_calls`, `length`, `content_filter`, ..."""

    reason: str


class Restarted(Record):
    """Everything streamed so far is void: the request is made again after `wait_s`, by `model` if that is not empty."""

    attempt: int
    wait_s: float
    error: str
    model: str = ""


class Prefill(Record):
    """The model has read `done` of the `total` tokens of the prompt: told by servers that can."""

    done: int
    total: int


Delta: TypeAlias = TextChunk | ThinkChunk | CallChunk | Tokens | Prefill | Finished | Restarted


class Provider(Protocol):
    """Streams one reply. Raises ProviderError (see errors.py); a stream that ends without `Finished` is an error.

    Nothing is executed while a reply streams, so a reply may be thrown away and asked for again.
    """

    @property
    def model(self) -> Model: ...
    def stream(self, request: Request) -> AsyncIterator[Delta]: ...
    async def aclose(self) -> None: ...
