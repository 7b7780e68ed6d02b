"""Making a long history short: old tool output goes first, then a summary that keeps the user's own words.

The summary is asked for with the session's own prefix (system prompt, tools, history), so that the provider's prompt cache
is hit. What the machine knows exactly (files read and changed, todos, the user's messages) is not left to the summary.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct, field

from kimi_agent.agent.history import output_file, result_id
from kimi_agent.agent.tokens import history_tokens, message_tokens, text_tokens
from kimi_agent.core.display import Todo
from kimi_agent.core.effect import Effect
from kimi_agent.core.message import Image, Message, Part, Text, ToolCall, user_message
from kimi_agent.core.provider import Request

KEEP_OUTPUT = 40_000
"""Tokens of the newest tool output that pruning leaves alone."""
MIN_PRUNE = 20_000
"""Tokens that pruning must gain to be worth a broken prompt cache."""
KEEP_WORDS = 20_000
"""Tokens of the user's own messages that a summary keeps verbatim, newest first."""
MIN_GAIN = 0.1
"""Share of the context that a compaction must free; else it is not applied and not tried again soon."""

SUMMARY_PROMPT = """\
The conversation is about to be replaced by a summary, because the context window is nearly full. Write that summary now, \
for yourself: with it alone you must be able to go on. Call no tools.

Use these headings: Task and constraints (what the user wants, decisions they made), State (what is done, how it was \
checked, exact results), Open (what is left, the next step), Knowledge (facts found: paths, names, commands, error texts).
Be exact and brief. The user's own messages, the todo list and the lists of files read and changed are kept separately.
"""


NO_SUMMARY = (
    "(No summary could be written: the conversation did not fit the context window. What was said before is lost but for "
    "what follows; look at the files to see what is done.)"
)


class Ledger(Struct):
    """Files that the session read and changed, in the order of their last use."""

    read: dict[str, None] = field(default_factory=dict)
    written: dict[str, None] = field(default_factory=dict)

    def note(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            target = {"read": self.read, "write": self.written}.get(effect.kind)
            if target is not None:
                target.pop(effect.target, None)
                target[effect.target] = None


def threshold(size: int, ratio: float, reserved: int) -> int:
    """Tokens of context at which a window of `size` is compacted. Small windows reserve a fifth at most."""
    return int(max(size * 0.5, min(size * ratio, size - min(reserved, size // 5))))


def plan_prune(messages: Sequence[Message], size: int = 0) -> tuple[list[str], int]:
    """Calls whose output may go, oldest first, and the tokens gained; none when that is too little to be worth it.

    In a small window of `size` tokens less is kept, and less is enough.
    """
    keep = min(KEEP_OUTPUT, size // 5) if size else KEEP_OUTPUT
    minimum = min(MIN_PRUNE, size // 10) if size else MIN_PRUNE
    kept = gained = 0
    pruned: list[str] = []
    for message in reversed(messages):
        call_id = result_id(message)
        if not call_id or message.pinned:
            continue
        size = message_tokens(message)
        if kept < keep:
            kept += size
        elif size > 200:
            pruned.append(call_id)
            gained += size - 40
    return (pruned[::-1], gained) if gained >= minimum else ([], 0)


def save_outputs(messages: Sequence[Message], call_ids: Sequence[str], scratch: Path) -> None:
    """Write the outputs that are about to be pruned to the session's folder, where the agent can read them."""
    wanted = set(call_ids)
    scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
    for message in messages:
        if (call_id := result_id(message)) in wanted and message.result is not None:
            text = "".join(part.text for part in message.result.content if isinstance(part, Text))
            (scratch / output_file(call_id)).write_text(text, encoding="utf-8", errors="replace")


def summary_request(messages: Sequence[Message], focus: str) -> list[Message]:
    """The history with the wish for a summary at its end: the prefix is the very one of the last step."""
    wish = SUMMARY_PROMPT + (f"\nThe user asks to keep in particular: {focus}\n" if focus else "")
    return [*messages, user_message(wish, origin="agent")]


def shortened(messages: Sequence[Message], share: float) -> list[Message]:
    """The newest `share` of a history (by tokens), well formed: it begins with a message of the user."""
    budget = int(history_tokens(messages) * share)
    start = len(messages) - 1
    while start > 0 and (budget := budget - message_tokens(messages[start])) > 0:
        start -= 1
    while start < len(messages) - 1 and messages[start].role != "user":
        start += 1
    if start == len(messages) - 1:  # at least what the user said last
        start = next((n for n in range(start - 1, -1, -1) if messages[n].role == "user"), start)
    return list(messages[start:])


def summarised(
    messages: Sequence[Message], summary: str, ledger: Ledger, todos: Sequence[Todo], scratch: Path, window: int = 0
) -> tuple[Message, ...]:
    """The history that takes the place of `messages`: the person's words, what they pinned, and the summary.

    In a small window (tokens, 0: unknown) fewer old words are kept; what is pinned is always whole.
    """
    budget = min(KEEP_WORDS, window // 4) if window else KEEP_WORDS
    return (*_kept(messages, budget), user_message(_note(summary, ledger, todos, scratch), origin="agent"))


def _kept(messages: Sequence[Message], budget: int) -> list[Message]:
    """What is pinned, and of the person's words the newest, in order."""
    words = {at: message for at, message in enumerate(messages) if message.role == "user" and not message.pinned}
    said = _own_words([(at, message) for at, message in words.items() if message.origin == "person"], budget)
    calls = {call.id: call for message in messages for call in message.calls}
    pinned = {at: _quoted(message, calls) for at, message in enumerate(messages) if message.pinned}
    return [message for _, message in sorted((said | pinned).items())]


def _quoted(message: Message, calls: Mapping[str, ToolCall]) -> Message:
    """A pinned message as one that needs no call before it and no result behind it."""
    if message.role == "user":
        return message
    parts: Iterable[Part] = message.parts
    about = "what you said"
    if (result := message.result) is not None:
        call = calls.get(result.call_id)
        about = f"the output of {call.name} {call.arguments}" if call else "the output of a call"
        parts = result.content
    head = Text(f"[The user pinned {about}. It follows word for word.]\n")
    return Message("user", (head, *(part for part in parts if isinstance(part, Text | Image))), "agent", pinned=True)


def _own_words(said: Sequence[tuple[int, Message]], budget: int) -> dict[int, Message]:
    """The newest of what was said (place and message) that fit into `budget` tokens."""
    kept: dict[int, Message] = {}
    for at, message in reversed(said):
        size = message_tokens(message)
        if size <= budget:
            budget -= size
            kept[at] = message
            continue
        if (size := text_tokens(message.text)) > budget:
            room = budget * 3
            text = f"{message.text[:room]}\n[... cut: this message was {len(message.text)} characters long]"
            kept[at] = user_message(text)
            break
        budget -= size
        kept[at] = user_message(f"{message.text}\n[pictures left out]".strip())
    return kept


def _note(summary: str, ledger: Ledger, todos: Sequence[Todo], scratch: Path) -> str:
    parts = [
        "[The earlier conversation was replaced by this summary. The user's messages above are verbatim. Go on with the task.]",
        summary.strip(),
    ]
    if todos:
        parts.append("Todo list:\n" + "\n".join(f"- [{todo.status}] {todo.title}" for todo in todos))
    for title, paths in (("Files changed", ledger.written), ("Files read", ledger.read)):
        if paths:
            parts.append(f"{title} (most recent last):\n" + "\n".join(f"- {path}" for path in list(paths)[-60:]))
    parts.append(f"Whole tool outputs that were removed are in {scratch}")
    return "\n\n".join(parts)


def overhead(request: Request) -> int:
    """Tokens, estimated, of what a request holds besides the history: no compaction makes that smaller."""
    tools = (f"{tool.name}{tool.description}{tool.schema}" for tool in request.tools)
    return text_tokens(request.system) + sum(map(text_tokens, tools))


def measured(estimate: int, known_estimate: int, known_tokens: int) -> int:
    """An estimate corrected by what the API counted for the history before: tokenizers differ by a factor of two."""
    return int(estimate * known_tokens / known_estimate) if known_estimate and known_tokens else estimate


def after_gain(request: Request, gained: int, context: int) -> int:
    """The tokens of a context of `context` tokens that was `request`, once `gained` tokens (estimated) are gone."""
    total = overhead(request) + history_tokens(request.messages)
    return max(0, context - measured(gained, total, context))
