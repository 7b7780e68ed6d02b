"""Side questions (`/btw`): answered from what the session knows, beside a running turn, and forgotten."""

from collections.abc import Callable

from kimi_agent.agent.reply import collect
from kimi_agent.agent.runner import Runner
from kimi_agent.agent.tokens import cost
from kimi_agent.core import event as ev
from kimi_agent.core.message import Message, tool_message, user_message
from kimi_agent.core.provider import Request

QUESTION = (
    "[A side question of the user's. Answer it shortly from what you know; call no tools. It is no part of the task, and neither "
    "question nor answer is kept.]\n\n"
)
NO_TOOLS = (
    "Tools cannot be called in a side question. Answer from what you know, or say what would have to be looked up."
)
MAX_REQUESTS = 2


async def ask_aside(runner: Runner, question: str, show: Callable[[ev.Event], None]) -> str:
    """The answer. The prefix of the requests is that of the session, so that its cache is used; `show` gets deltas and usage.

    Raises KimiError as a provider does.
    """
    provider = runner.provider()
    messages: list[Message] = [*runner.history.settled(), user_message(QUESTION + question)]
    text = ""
    for _ in range(MAX_REQUESTS):
        request = Request(runner.session_id, runner.system, messages, runner.specs, None, runner.thinking)
        reply = await collect(provider, request, show, set(runner.used_ids))
        text = reply.text.strip()
        if (tokens := reply.tokens) is not None:
            model = provider.model
            show(ev.Usage(model.name, tokens.input, tokens.output, tokens.cached, cost(tokens, model.prices)))
        if text or not reply.calls:
            break
        messages = [*messages, reply.message(), *(tool_message(c.id, NO_TOOLS, is_error=True) for c in reply.calls)]
    return text or "(no answer)"
