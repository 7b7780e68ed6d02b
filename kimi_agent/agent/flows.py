"""Flows: skills that hold a diagram (`type: flow`), walked from BEGIN to END, one turn of the session per node."""

import re
from collections.abc import Callable, Sequence

from kimi_agent.agent.flow_d2 import parse_d2
from kimi_agent.agent.flow_graph import Edge, Flow
from kimi_agent.agent.flow_mermaid import parse_mermaid
from kimi_agent.agent.placeholders import fill
from kimi_agent.core.errors import SessionError

MAX_MOVES = 1000
"""Nodes that one run may come to, kimi-cli's limit: a circle ends."""
MAX_ASKED = 3
"""Times that the model is asked for a choice at one node."""

_OPEN = re.compile(
    r"^[ \t]*(?P<fence>`{3,}|~{3,})[ \t]*(?P<language>mermaid|d2)\b[^\n]*\n", re.MULTILINE | re.IGNORECASE
)
_PARSERS: dict[str, Callable[[str, int], Flow]] = {"mermaid": parse_mermaid, "d2": parse_d2}


def read_flow(text: str) -> Flow:
    """The flow of a file's first mermaid or d2 block. Raises ValueError that names the line of the file."""
    text = text.replace("\r\n", "\n")
    opened = _OPEN.search(text)
    if opened is None:
        raise ValueError("it has neither a ```mermaid nor a ```d2 block")
    line = text.count("\n", 0, opened.start("fence")) + 1
    closed = re.compile(rf"^[ \t]*{opened['fence']}[`~]*[ \t]*$", re.MULTILINE).search(text, opened.end())
    if closed is None:
        raise ValueError(f"line {line}: the {opened['language']} block has no end")
    return _PARSERS[opened["language"].lower()](text[opened.end() : closed.start()], line + 1)


class FlowRun:
    """One walk through a flow. `names` are the arguments that its texts call by name, `folder` is where its files lie."""

    def __init__(self, flow: Flow, name: str, names: Sequence[str] = (), folder: str = "") -> None:
        self.name = name
        self._flow, self._names, self._folder = flow, names, folder
        self._arguments = ""
        self._at = flow.begin
        self._moves = self._asked = 0

    def start(self, arguments: str) -> str:
        """The text of the first turn. Arguments that it does not place are put below it."""
        self._arguments = arguments.strip()
        text = self._go(self._flow.begin)
        assert text is not None  # a flow has a step behind its BEGIN
        return text

    def next(self, answer: str) -> str | None:
        """The text of the turn after the model's `answer`, None at the end of the flow.

        An answer that chooses no way is asked for again. Raises SessionError when that does not help, and in a walk without end.
        """
        ways = self._flow.edges[self._at]
        if not ways:
            return None
        way = ways[0] if len(ways) == 1 else chosen(ways, answer)
        if way is not None:
            return self._go(way.target)
        if self._asked == MAX_ASKED:
            labels = ", ".join(edge.label for edge in ways)
            raise SessionError(
                f"the flow {self.name} stops: the model chose none of {labels}", "Answer it and start the flow again."
            )
        self._asked += 1
        return f"Your answer chose none of the ways on.{_ask(ways)}"

    def _go(self, name: str) -> str | None:
        """Move to a node and through BEGIN; the text of where this ends, None at END."""
        self._moves += 1
        if self._moves > MAX_MOVES:
            raise SessionError(
                f"the flow {self.name} stops after {MAX_MOVES} moves", "Look for a circle in its diagram."
            )
        self._at, self._asked = name, 1
        ways = self._flow.edges[name]
        if name in self._flow.ends:
            return None
        if name == self._flow.begin:
            return self._go(ways[0].target)
        first = self._moves == 2  # behind BEGIN
        text = fill(self._flow.texts[name], self._arguments, self._names, self._folder, append=first)
        return text + _ask(ways) if len(ways) > 1 else text


def _ask(ways: Sequence[Edge]) -> str:
    lines = "\n".join(f"<choice>{way.label}</choice>" for way in ways)
    return f"\n\nDecide, and end your answer with one of these lines as it stands here:\n{lines}"


def chosen(ways: Sequence[Edge], answer: str) -> Edge | None:
    """The way that the last `<choice>` of an answer names; letter case counts only where labels differ in nothing else."""
    before, closed, _ = answer.rpartition("</choice>")
    _, opened, label = before.rpartition("<choice>")
    if not closed or not opened:
        return None
    label = " ".join(label.split())
    same = [way for way in ways if way.label == label]
    alike = [way for way in ways if way.label.casefold() == label.casefold()]
    return next(iter(same or alike), None)
