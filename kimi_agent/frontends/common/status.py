"""What a status line says, item by item, the same in both shells."""

from collections.abc import Sequence
from pathlib import Path

from kimi_agent.agent.status import McpTally, Status
from kimi_agent.core.access import BoxView, box_words
from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common.describe import at_work, counted, one_line, thousands

PLACE = ("mode", "box", "model", "thinking", "title", "folder", "branch")
"""Items that say where one is."""
NUMBERS = ("mcp", "goal", "tasks", "todos", "context", "cost", "cached", "tokens")
"""Items that say how far it has come."""


def unknown_items(items: Sequence[str]) -> list[str]:
    """One sentence for each item that there is not."""
    known = ", ".join((*PLACE, *NUMBERS))
    return [f'status_line: there is no item "{plain(item)}" ({known})' for item in items if item not in PLACE + NUMBERS]


def number(item: str, status: Status) -> str:
    """What one of NUMBERS says; empty when there is nothing to say."""
    match item:
        case "mcp":
            return _mcp_words(status.mcp)
        case "goal":
            return at_work(status.goal)
        case "tasks":
            return counted(status.tasks) if status.tasks else ""
        case "todos":
            return (
                f"{sum(todo.status == 'done' for todo in status.todos)}/{len(status.todos)} done"
                if status.todos
                else ""
            )
        case "context" if status.context_size:
            return f"{status.context / status.context_size:.0%} of {thousands(status.context_size)}"
        case "context":
            return f"{thousands(status.context)} context" if status.context else ""
        case "cost" if status.cost is not None:
            return f"{status.cost:.4f}" if status.cost < 0.01 else f"{status.cost:.2f}"
        case "cached":
            return f"{_cached(status)} cached" if _cached(status) else ""
        case "tokens" if status.input:
            cached = f", {_cached(status)} cached" if _cached(status) else ""
            return f"{thousands(status.input)} in{cached}, {thousands(status.output)} out"
        case _:
            return ""


def _mcp_words(mcp: McpTally | None) -> str:
    """`mcp 3/5`, or what wants a look: `mcp 1 failed !approve`."""
    if mcp is None:
        return ""
    failed = f"{mcp.failed} failed" if mcp.failed else ""
    words = [failed, "!approve" * bool(mcp.unapproved), "!auth" * bool(mcp.unsigned)]
    return " ".join(["mcp", *(filter(None, words) if mcp.worries else [f"{mcp.ready}/{mcp.total}"])])


def numbers(status: Status, items: Sequence[str]) -> list[str]:
    """The items of NUMBERS that say something, in the order of `items`."""
    return [text for item in items if item in NUMBERS and (text := number(item, status))]


def thinking_word(thinking: str | None) -> str:
    """What was chosen for the model's thinking; empty for the model's own default."""
    return (
        "" if thinking is None else f"thinking {thinking}" if thinking in ("on", "off") else f"{one_line(thinking, 12)}"
    )


def box_word(box: BoxView | None, *, read_only: bool = False) -> str:
    """The box that commands run in, and its net; empty while nobody knows."""
    if box is None or box.state is None:
        return ""
    return box_words(box.state, box.hosts, read_only=read_only)


def home_relative(folder: Path) -> str:
    """A folder with the home directory written as `~`."""
    home, text = str(Path.home()), str(folder)
    return "~" + text.removeprefix(home) if text == home or text.startswith(home + "/") else text


def _cached(status: Status) -> str:
    return f"{status.cached / status.input:.0%}" if status.cached and status.input else ""
