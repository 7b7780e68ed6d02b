"""What is told of a subagent, the same in every front end: who it is, what it has used, what it does."""

from kimi_agent.agent.transcript import AnswerBlock, CallBlock, NoticeBlock, PromptBlock, ThoughtBlock, Transcript
from kimi_agent.frontends.common.describe import headline, one_line, seconds, thousands


def at_work(block: CallBlock) -> bool:
    """Whether the subagent of a call works, maybe in the background after the call has returned."""
    return block.nested is not None and block.nested.status.running


def who(nested: Transcript) -> str:
    """`coder s1`, empty when that is not known."""
    agent = nested.status.agent
    return one_line(f"{agent.agent_type} {agent.agent_id}", 60) if agent else ""


def used(nested: Transcript, took: float = 0.0) -> str:
    """`3 steps · 12.3k tokens · 41 s`, as far as it is known; `took` is in seconds."""
    status = nested.status
    tokens = status.input + status.output
    return " · ".join(
        filter(
            None,
            (
                f"{status.step} step{'s' * (status.step != 1)}" if status.step else "",
                f"{thousands(tokens)} tokens" if tokens else "",
                seconds(took) if took >= 0.1 else "",
            ),
        )
    )


def last_call(nested: Transcript) -> CallBlock | None:
    """The newest call that is not only being written: it stands still while the model thinks."""
    return next(
        (b for b in reversed(nested.blocks) if isinstance(b, CallBlock) and not b.void and b.state != "writing"), None
    )


def doing(nested: Transcript, root: str) -> str:
    """Its last call, else what it begins with."""
    if (call := last_call(nested)) is not None:
        return headline(call.call, call.effects, root)
    shown = [block for block in nested.blocks if not block.void]
    return "thinking" if any(isinstance(block, ThoughtBlock) for block in shown) else "starting"


def end(nested: Transcript) -> str:
    """The first line of its report, or why there is none."""
    for block in reversed(nested.blocks):
        if isinstance(block, PromptBlock):
            break
        if isinstance(block, AnswerBlock | NoticeBlock) and not block.void and block.text.strip():
            return one_line(block.text, 400)
    return ""
