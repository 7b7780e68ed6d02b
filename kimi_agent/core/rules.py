"""What rules say of a call. The rules themselves are in `kimi_agent.rules`; the machine knows this contract alone."""

from collections.abc import Sequence
from typing import Literal, Protocol

from kimi_agent.core.effect import Effect
from kimi_agent.core.message import ToolCall
from kimi_agent.core.record import Record

RULE_DENIAL = "the rule "
"""How the reason of a denial by a rule begins."""


class Segment(Record):
    """One command of a command line, and what covers it: `allow` with the rule or the proof, `ask` or `deny` with the reason."""

    text: str
    verdict: Literal["allow", "ask", "deny"]
    why: str = ""


class Ruling(Record):
    """What the rules say together: the strictest verdict, empty where they say nothing and a person is to be asked.

    `reason` is worded for the model and for people. `always` are the rules that "always" would add, as written in a file;
    empty where it may not be offered.
    """

    verdict: Literal["", "allow", "ask", "deny"] = ""
    reason: str = ""
    segments: tuple[Segment, ...] = ()
    always: tuple[str, ...] = ()


class Rules(Protocol):
    """`problems` tell people what is wrong with the rules, one line each."""

    problems: Sequence[str]

    def judge(self, call: ToolCall, effects: Sequence[Effect]) -> Ruling: ...

    def remember(self, call: ToolCall, effects: Sequence[Effect]) -> None:
        """Add what `Ruling.always` names to the user's rules. Raises ConfigError when it cannot be kept."""
        ...
