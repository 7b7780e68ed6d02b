"""Ids of tool calls in K2's own form, `functions.NAME:IDX`, IDX counting all calls of the conversation from 0.

The id is the only place where K2 sees which function a call names, and a foreign form in the history (`call_abc`) makes it
write broken ids itself. Clients keep whatever ids they like: they are renumbered on the way in.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_ID = re.compile(r"\s*(?:functions\.)?(?P<name>.*?)\s*(?::\s*(?P<index>[0-9]+))?\s*", re.DOTALL)
_COUNTER = re.compile(r"(?:call|functions?|tool)?[_-]?[0-9]*", re.ASCII)


def canonical(name: str, index: int) -> str:
    return f"functions.{name}:{index}"


def function_name(written: str, known: Iterable[str]) -> str | None:
    """The function that an id written by a model names; `known` are the declared ones. None where it names none.

    `functions.Read:0`, `Read:0`, `Read` and `functions_Read_0` name Read; `call_2` and `7` name nothing, unless declared so.
    """
    match = _ID.fullmatch(written)
    name = match["name"] if match else ""
    known = list(known)
    if name in known:
        return name
    for one in known:
        if re.fullmatch(rf"(?:functions[._])?{re.escape(one)}[_:]?[0-9]*", name):
            return one
    return None if _COUNTER.fullmatch(name) else name


@dataclass
class ToolIds:
    """The renumbering of one history: calls are added in order, results look up the call that they answer."""

    next_index: int = 0
    original: dict[str, str] = field(default_factory=dict)
    """The client's id by the canonical one."""
    _open: dict[str, str] = field(default_factory=dict)

    def call(self, client_id: str, name: str) -> str:
        """The canonical id of the next call of the history."""
        new = canonical(name, self.next_index)
        self.next_index += 1
        self.original[new] = client_id
        self._open[client_id] = new  # an id used again, as some clients do every turn, means its latest call
        return new

    def result(self, client_id: str) -> str | None:
        """The canonical id of the call that a result answers; None where no call has that id."""
        return self._open.get(client_id)
