"""A model that is ready, as a server needs it: its name and sizes, how it reads and writes chats, the engine that runs it."""

import asyncio
import sys
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from inference_backend.chat.grammar import GrammarCompiler
from inference_backend.chat.parser import STOPS
from inference_backend.chat.template import Template
from inference_backend.chat.tokenizer import Tokenizer
from inference_backend.engine.async_engine import AsyncEngine
from inference_backend.engine.request import Request, StepOutput
from inference_backend.errors import CapacityError, EngineError
from inference_backend.server.message import HttpError
from inference_backend.server.metrics import Metrics

HEARTBEAT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Served:
    name: str
    context: int
    """Tokens of prompt and answer."""
    tokenizer: Tokenizer
    template: Template
    compiler: GrammarCompiler
    engine: AsyncEngine
    defaults: dict[str, float] = field(default_factory=dict)
    """`temperature` and `top_p` that the checkpoint recommends."""
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def stop_tokens(self) -> list[int]:
        return [self.tokenizer.special[name] for name in STOPS if name in self.tokenizer.special]

    def check_name(self, name: str) -> None:
        if name not in ("", self.name):
            raise HttpError(
                404, f"this server has one model, {self.name}", param="model", code="model_not_found"
            )  # fmt: skip

    def about(self) -> dict[str, Any]:
        """The model as an entry of /v1/models."""
        return {
            "id": self.name,
            "object": "model",
            "created": self.created,
            "owned_by": "local",
            "context_length": self.context,
            "max_model_len": self.context,
            "supports_reasoning": self.template.thinking != "never",
            "supports_image_in": False,
        }


class Desk:
    """Lets requests in, as many as there are places, and counts what became of them."""

    def __init__(self, places: int, metrics: Metrics) -> None:
        self._places, self._metrics = places, metrics
        self._inside = 0
        self._seconds = 1.0  # of an answer, on average

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Raises HttpError 429 where none is left."""
        if self._inside >= self._places:
            wait = str(max(1, min(60, round(self._seconds))))
            raise HttpError(
                429, f"{self._places} requests are answered already: come back in {wait} s",
                code="queue_full", headers={"Retry-After": wait},
            )  # fmt: skip
        self._inside += 1
        started = time.monotonic()
        try:
            yield
            took = time.monotonic() - started
            self._metrics.answer_seconds.observe(took)
            self._seconds += (took - self._seconds) / 8
        except (asyncio.CancelledError, GeneratorExit):  # its client has left
            self._metrics.abandoned.inc()
            raise
        finally:
            self._inside -= 1

    async def outputs(self, served: Served, request: Request) -> AsyncGenerator[StepOutput | None]:
        """What the engine does for `request`; None where it has nothing to say for a while.

        Raises HttpError where it fails. Closing the generator ends the request.
        """
        if len(request.prompt) >= served.context:
            raise HttpError(
                400, f"the prompt has {len(request.prompt):,} tokens; with an answer it must stay within {served.context:,}",
                code="context_length_exceeded", param="messages",
            )  # fmt: skip
        source = served.engine.submit(request)
        started, first = time.monotonic(), True
        pending: asyncio.Future[StepOutput] | None = None
        try:
            while True:
                pending = pending or asyncio.ensure_future(anext(source))
                await asyncio.wait({pending}, timeout=HEARTBEAT_SECONDS)
                if not pending.done():
                    yield None
                    continue
                output, pending = pending.result(), None
                if output.finish_reason == "error":
                    sys.stderr.write(f"error: a request failed: {output.error[:200]}\n")
                    raise HttpError(500, "the engine failed while answering", code="engine_error")
                if output.finish_reason == "abort":
                    raise _ending()
                if output.tokens and first:
                    first = False
                    self._metrics.first_token.observe(time.monotonic() - started)
                yield output
                if output.finish_reason is not None:
                    return
        except EngineError as error:
            raise to_http(error) from None
        finally:
            if pending is not None:
                pending.cancel()
                await asyncio.wait({pending})
            await source.aclose()


def to_http(error: EngineError) -> HttpError:
    """A client's mistake as 400; no room, or the end of the server, as 503."""
    message = f"{error}. {error.hint}" if error.hint else str(error)
    if isinstance(error, CapacityError):
        return HttpError(503, message, code="unavailable", headers={"Retry-After": "1"})
    return HttpError(400, message)


def _ending() -> HttpError:
    return HttpError(503, "the server is shutting down", code="unavailable", headers={"Retry-After": "5"})


def new_id(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex}"
