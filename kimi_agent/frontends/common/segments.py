"""What a question for permission says of the commands of a command line, and of "always", the same in every front end."""

from kimi_agent.core.ask import Permission
from kimi_agent.core.rules import Segment

WORDS = {"allow": "covered", "ask": "asks", "deny": "forbidden"}


def told_segments(question: Permission) -> tuple[Segment, ...]:
    """The commands with what covers each, where that says more than the command line itself."""
    segments = question.segments
    return segments if len(segments) > 1 or any(s.verdict != "ask" for s in segments) else ()


def always_words(question: Permission) -> str:
    """What "always" would do, in words; empty when it is not offered."""
    if not question.always:
        return ""
    rules = ", ".join(question.always)
    where = f" in {question.cwd}" if question.cwd else ""
    return f"always: adds to your rules, for commands{where}: {rules}"
