"""Questions to a person. The agent awaits the answer; a front end supplies the `Ask` that gets it."""

from collections.abc import Awaitable, Callable
from typing import Literal, TypeAlias

from kimi_agent.core.display import Display
from kimi_agent.core.effect import Effect
from kimi_agent.core.message import ToolCall
from kimi_agent.core.record import Record
from kimi_agent.core.rules import Segment


class Permission(Record):
    """May this call run? `preview` is the exact effect: the whole command, the real diff.

    `session_scope` says in words what "this session" would cover, empty when it may not be offered. `agent` describes the
    subagent that wants it, empty for the session's own agent. `segments` are the commands of a command line with what covers
    each, `reason` says why it is asked for where a rule wants that. `always` are the rules that "always" would add, as a file
    has them, empty when it may not be offered.
    """

    call: ToolCall
    effects: tuple[Effect, ...]
    preview: Display | None = None
    session_scope: str = ""
    cwd: str = ""
    agent: str = ""
    segments: tuple[Segment, ...] = ()
    reason: str = ""
    always: tuple[str, ...] = ()


class Option(Record):
    label: str
    description: str = ""


class Item(Record):
    """One question with its options; `other`: the person may write something else."""

    question: str
    options: tuple[Option, ...]
    header: str = ""
    multiple: bool = False
    other: bool = True


class Choice(Record):
    """`text` is what the questions are about (a plan under review), Markdown that is shown above them."""

    items: tuple[Item, ...]
    text: str = ""


class Allow(Record):
    """`always`: for this session, and the rules that the question names are kept for later ones."""

    scope: Literal["once", "session", "always"] = "once"


class Deny(Record):
    """`feedback` reaches the model; without it the turn ends, so that the person can say what they want instead."""

    feedback: str = ""


class Chosen(Record):
    """Per item of the `Choice`, the labels picked or the text written."""

    values: tuple[tuple[str, ...], ...]


class Dismissed(Record):
    """Nobody answered: the question was closed, or there is nobody to ask. `reason` is worded for the model."""

    reason: str = "The user dismissed the question."


Question: TypeAlias = Permission | Choice
Answer: TypeAlias = Allow | Deny | Chosen | Dismissed
Ask: TypeAlias = Callable[[Question], Awaitable[Answer]]
