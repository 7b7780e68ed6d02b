"""The plan that a call of ExitPlanMode gives a person to review."""

from kimi_agent.agent.transcript import CallBlock
from kimi_agent.core.message import parse_arguments

TOOL = "ExitPlanMode"


def plan_argument(block: CallBlock) -> str:
    """In Markdown, not sanitised; empty for other calls, and when the plan is in its file."""
    if block.call.name != TOOL:
        return ""
    try:
        plan = parse_arguments(block.call.arguments).get("plan")
    except ValueError:
        return ""
    return plan if isinstance(plan, str) else ""


def reviewed_plan(block: CallBlock) -> str:
    """The plan once the review has ended: before that, the question shows it."""
    return plan_argument(block) if block.state in ("done", "failed") else ""
