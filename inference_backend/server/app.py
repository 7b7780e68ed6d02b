"""The paths of the server, before the model is ready, while it serves, and while it ends."""

from collections.abc import Mapping
from typing import Literal

from inference_backend.server.chat_api import ChatApi
from inference_backend.server.completions_api import CompletionsApi
from inference_backend.server.message import Handler, HttpError, Limits, Request, Response, Route, json_response
from inference_backend.server.metrics import CONTENT_TYPE, Metrics
from inference_backend.server.served import Desk, Served

State = Literal["loading", "ready", "draining"]


class App:
    """`routes` never changes; what they answer follows `serve` and `drain`."""

    def __init__(self, metrics: Metrics, limits: Limits, model: str) -> None:
        self.state: State = "loading"
        self.loaded = ("", 0, 0)
        """(what is being loaded, done, of how many), for /health."""
        self._metrics, self._limits = metrics, limits
        self._served: Served | None = None
        self._handlers: dict[str, Handler] = {}
        self.routes: Mapping[str, Route] = {
            "/health": Route("GET", self._counted("/health", self._health), open=True),
            "/metrics": Route("GET", self._counted("/metrics", self._numbers)),
            "/v1/models": Route("GET", self._counted("/v1/models", self._models)),
            f"/v1/models/{model}": Route("GET", self._counted("/v1/models", self._model)),
            "/v1/chat/completions": Route("POST", self._counted("/v1/chat/completions", self._when_ready("chat"))),
            "/v1/completions": Route("POST", self._counted("/v1/completions", self._when_ready("completions"))),
        }

    def serve(self, served: Served) -> None:
        desk = Desk(self._limits.answers, self._metrics)
        self._served, self.state = served, "ready"
        self._handlers = {
            "chat": ChatApi(served, desk, self._metrics),
            "completions": CompletionsApi(served, desk, self._metrics),
        }
        self._metrics.watch(served.engine.stats)

    def drain(self) -> None:
        self.state = "draining"

    def _when_ready(self, name: str) -> Handler:
        async def handler(request: Request) -> Response:
            if self.state != "ready":
                raise self._not_ready()
            return await self._handlers[name](request)

        return handler

    def _not_ready(self) -> HttpError:
        return HttpError(503, f"the server is {self.state}", code="unavailable", headers={"Retry-After": "5"})

    def _counted(self, path: str, inner: Handler) -> Handler:
        async def handler(request: Request) -> Response:
            try:
                response = await inner(request)
            except HttpError as error:
                self._metrics.requests.labels(path, str(error.status)).inc()
                raise
            self._metrics.requests.labels(path, str(response.status)).inc()
            return response

        return handler

    async def _health(self, request: Request) -> Response:
        """200 once requests are answered. Without a token it says no more than that."""
        facts: dict[str, object] = {"status": self.state}
        if request.authorised:
            what, done, total = self.loaded
            if self.state == "loading":
                facts["loading"] = {"what": what, "done": done, "total": total}
            if self._served is not None:
                now = self._served.engine.stats()
                facts |= {"model": self._served.name, "context_length": self._served.context}
                facts |= {"running": now.running, "waiting": now.waiting}
        return json_response(facts, 200 if self.state == "ready" else 503)

    async def _numbers(self, request: Request) -> Response:
        return Response(body=self._metrics.text(), content_type=CONTENT_TYPE)

    async def _model(self, request: Request) -> Response:
        if self._served is None:
            raise self._not_ready()
        return json_response(self._served.about())

    async def _models(self, request: Request) -> Response:
        models = [self._served.about()] if self._served is not None else []
        return json_response({"object": "list", "data": models})
