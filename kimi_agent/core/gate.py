"""Whether a call may run. Gates are asked in order; the first that answers decides; if none does, a person is asked."""

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

from kimi_agent.core.ask import Allow, Deny
from kimi_agent.core.effect import Effect
from kimi_agent.core.message import ToolCall

Verdict: TypeAlias = Allow | Deny | Literal["ask"]


class Gate(Protocol):
    async def __call__(self, call: ToolCall, effects: Sequence[Effect]) -> Verdict | None: ...
