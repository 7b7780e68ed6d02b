"""Think: room for a thought, for models that do not reason on their own."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from kimi_agent.core.display import Display, Plain
from kimi_agent.core.effect import Effect
from kimi_agent.core.tool import ToolContext, ToolOutput, text_output
from kimi_agent.tools.prompts import prompt


class ThinkParams(Struct, frozen=True):
    thought: str


class Think:
    name = "Think"
    description = prompt(__file__)
    Params: type[Any] = ThinkParams

    def effects(self, params: ThinkParams, ctx: ToolContext) -> Sequence[Effect]:
        return ()

    async def preview(self, params: ThinkParams, ctx: ToolContext) -> Display | None:
        return None

    async def run(self, params: ThinkParams, ctx: ToolContext) -> ToolOutput:
        return text_output("Noted.", Plain(params.thought))
