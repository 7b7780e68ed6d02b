"""A trained model as a provider: it stands where the expert stands, and is told what a server of it would be told."""

import json
from collections.abc import AsyncIterator

import numpy as np

from inference_backend.training.rl_policy import Policy, Reply
from inference_backend.training.synthesis.masks import Masks
from kimi_agent.core.provider import CallChunk, Delta, Endpoint, Finished, Model, Request, TextChunk
from kimi_agent.providers.chat_request import RequestEncoder

ENDPOINT = Endpoint("engine", "kimi_engine", "http://127.0.0.1/v1")


class OverBudget(Exception):
    """The model wrote all the tokens that it was given."""


class Player:
    """Plays one task. `replies` are what it wrote, `over` says whether it was cut off at `budget` tokens."""

    def __init__(
        self, policy: Policy, model: Model, masks: Masks, budget: int, heat: float, rng: np.random.Generator
    ) -> None:
        self.model = model
        self.last: Request | None = None
        self.replies: list[Reply] = []
        self.over = False
        self._policy, self._masks, self._left, self._heat, self._rng = policy, masks, budget, heat, rng

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Raises OverBudget."""
        self.last = request
        body = json.loads(self._masks.shown(RequestEncoder(ENDPOINT, self.model).encode(request).decode()))
        reply = self._policy.reply(body["messages"], body.get("tools", []), self._heat, self._rng, self._left)
        self.replies.append(reply)
        self._left -= len(reply.tokens)
        if not reply.is_whole:
            self.over = True
            raise OverBudget("the budget of tokens is used up")
        if reply.text:
            yield TextChunk(self._masks.real(reply.text))
        for index, call in enumerate(reply.calls):
            yield CallChunk(index, call.id, call.name, self._masks.real(call.arguments))
        yield Finished("tool_calls" if reply.calls else "stop")

    async def aclose(self) -> None:
        pass
