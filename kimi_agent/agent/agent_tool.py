"""Agent: hands a piece of work to a subagent and gets its report."""

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct

from kimi_agent.agent.agent_types import AgentTypes
from kimi_agent.agent.subagents import Order, Subagents
from kimi_agent.core.display import Display
from kimi_agent.core.effect import Effect
from kimi_agent.core.tool import ToolContext, ToolOutput

DESCRIPTION = """\
Hand a piece of work to a subagent; its report is the result. It knows nothing of this conversation (but for `fork`): put \
everything it needs into `prompt`. Several calls in one reply run side by side. Use it for broad searches and for independent \
pieces of work, not for what a call or two of yours would answer. Types:
"""


class AgentParams(Struct, frozen=True):
    description: Annotated[str, Meta(description="3 to 6 words for the user")]
    prompt: str
    subagent_type: str = "coder"
    model: Annotated[str | None, Meta(description="Another configured model")] = None
    resume: Annotated[str | None, Meta(description="Id of an earlier subagent, which goes on with `prompt`")] = None
    run_in_background: bool = False
    timeout: Annotated[int, Meta(ge=30, le=3600, description="Seconds")] | None = None


class AgentTool:
    """Has no effect of its own: what a subagent's calls do goes through the gates, each by itself."""

    name = "Agent"
    Params: type[Any] = AgentParams

    def __init__(self, subagents: Subagents, types: AgentTypes) -> None:
        self._subagents = subagents
        self.description = DESCRIPTION + types.listing()

    def effects(self, params: AgentParams, ctx: ToolContext) -> Sequence[Effect]:
        return ()

    async def preview(self, params: AgentParams, ctx: ToolContext) -> Display | None:
        return None

    async def run(self, params: AgentParams, ctx: ToolContext) -> ToolOutput:
        order = Order(
            params.description,
            params.prompt,
            params.subagent_type,
            params.model or "",
            params.resume or "",
            params.timeout,
        )
        if params.run_in_background:
            return self._subagents.start(order, ctx)
        return await self._subagents.run(order, ctx)
