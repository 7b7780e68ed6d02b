"""The todo list of a session, which goes back with the turns that are undone."""

from kimi_agent.core import event as ev
from kimi_agent.core.display import Todo, TodoList


class Todos:
    """A fold of the session's events; `items` is the list now."""

    def __init__(self) -> None:
        self.items: tuple[Todo, ...] = ()
        self._before: list[tuple[Todo, ...]] = []  # of each turn that is not undone
        self._undone: list[list[tuple[Todo, ...]]] = []  # of each undo: those of its turns, and the list then

    def apply(self, event: ev.Event) -> None:
        match event:
            case ev.ToolFinished(_, TodoList(items)):
                self.items = items
            case ev.TurnStarted():
                self._before.append(self.items)
            case ev.Rewound(turns) if 0 < turns <= len(self._before):
                self._undone.append([*self._before[-turns:], self.items])
                self.items = self._before[-turns]
                del self._before[-turns:]
            case ev.Redone() if self._undone:
                *before, self.items = self._undone.pop()
                self._before += before
            case _:
                pass
