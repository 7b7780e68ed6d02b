"""The expert as a provider: it stands where a model stands, so that the agent's own loop and tools do the rest."""

from collections.abc import AsyncIterator

from inference_backend.training.synthesis.masks import Masks
from inference_backend.training.synthesis.task import Call, Steps
from kimi_agent.core.message import Message, Text
from kimi_agent.core.provider import CallChunk, Delta, Finished, Model, Request, TextChunk


class Expert:
    """Plays the steps of one task. It knows nothing but the requests and what it has seen; `masks` keep this machine from it."""

    def __init__(self, steps: Steps, model: Model, masks: Masks) -> None:
        self.model = model
        self._steps, self._masks = steps, masks
        self._calls = 0
        self._begun = False
        self.last: Request | None = None

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Raises RuntimeError when the task goes on longer than its expert."""
        self.last = request
        seen = self._masks.shown(_text(request.messages[-1]))
        try:
            act = self._steps.send(seen) if self._begun else next(self._steps)
        except StopIteration:
            raise RuntimeError("the expert has nothing more to do") from None
        self._begun = True
        if isinstance(act, Call):
            if act.says:
                yield TextChunk(self._masks.real(act.says))
            yield CallChunk(0, f"functions.{act.tool}:{self._calls}", act.tool, self._masks.real(act.text()))
            self._calls += 1
            yield Finished("tool_calls")
        else:
            yield TextChunk(act.text)
            yield Finished("stop")

    async def aclose(self) -> None:
        self._steps.close()


def _text(message: Message) -> str:
    if (result := message.result) is not None:
        return "".join(part.text for part in result.content if isinstance(part, Text))
    return message.text
