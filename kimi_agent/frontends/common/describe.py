"""Tool calls in a few words, the same in every front end."""

import signal
from collections.abc import Sequence

from kimi_agent.core.display import Diff, Display, Pictures, Plain, Terminal, TodoList
from kimi_agent.core.effect import Effect
from kimi_agent.core.event import Evidence, Retrying
from kimi_agent.core.goal import Goal
from kimi_agent.core.message import ToolCall, parse_arguments
from kimi_agent.core.sanitize import plain, visible
from kimi_agent.core.task import Task

PROMPT_LINES, PROMPT_CHARACTERS = 40, 4000
"""A prompt longer than this is folded: a log that was pasted would bury the conversation."""
_TELLING = ("command", "code", "query", "url", "path", "name", "description")
"""Arguments that say what a call is about, the most telling first."""


def effect_words(effect: Effect) -> tuple[str, str]:
    """What an effect does, and to what."""
    if effect.kind != "widen":
        return effect.kind, effect.target
    what, _, name = effect.target.partition(":")
    words = {"net": ("reach", name), "write": ("write", name)}
    return words.get(what, ("run", "outside of the box, with all your rights"))


def one_line(text: str, width: int = 100) -> str:
    """The first line of `text`, sanitised and cut to `width` characters; an ellipsis says that something is missing."""
    lines = plain(text).strip().splitlines() or [""]
    line = lines[0].rstrip().replace("\t", " ")
    if len(line) > width:
        return line[: width - 1] + "…"
    return f"{line} …" if len(lines) > 1 else line


def beginning(text: str) -> tuple[str, str]:
    """The beginning of a long prompt, and in words what is left out of it, empty when nothing is."""
    lines = text.split("\n")
    if len(lines) <= PROMPT_LINES and len(text) <= PROMPT_CHARACTERS:
        return text, ""
    shown = "\n".join(lines[:PROMPT_LINES])[:PROMPT_CHARACTERS]
    hidden = len(lines) - shown.count("\n") - 1
    return shown, f"{hidden} more line{'s' * (hidden > 1)}" if hidden else "the rest of this line"


def headline(call: ToolCall, effects: Sequence[Effect] = (), root: str = "", width: int = 100) -> str:
    """`Shell pytest -q`: the tool's name and what the call is about; paths below `root` are shown relative to it."""
    return f"{one_line(call.name)} {one_line(about(call, effects, root), width)}".rstrip()


def about(call: ToolCall, effects: Sequence[Effect] = (), root: str = "") -> str:
    """The argument that tells most about a call, else the target of its first effect.

    Every character of it that could mislead is spelled out: a carriage return would show another command than the one that ran.
    """
    return visible(_about(call, effects, root))


def _about(call: ToolCall, effects: Sequence[Effect], root: str) -> str:
    try:
        arguments = parse_arguments(call.arguments)
    except ValueError:
        arguments = {}
    said = {key: relative(value, root) for key, value in arguments.items() if isinstance(value, str) and value}
    if "pattern" in said:
        return f"{said['pattern']} in {said['path']}" if "path" in said else said["pattern"]
    for key in _TELLING:
        if key in said:
            return said[key]
    if not effects:
        return ""
    more = f" (+{len(effects) - 1})" if len(effects) > 1 else ""
    return relative(effects[0].target, root) + more


def relative(path: str, root: str) -> str:
    """`path` as seen from `root` when it lies below it."""
    if root and path.startswith(root.rstrip("/") + "/"):
        return path[len(root.rstrip("/")) + 1 :]
    return path


def box_note(display: Display | None) -> str:
    """The box that a command ran in, where it was not the usual one: none, a lesser one, read-only, or one that reaches hosts."""
    box = display.box if isinstance(display, Terminal) else ""
    return "" if box in ("box R3 · net off", "box R2 · net off") else box


def outcome(display: Display | None, result: str, is_error: bool, root: str = "") -> str:
    """What came of a call, in one line."""
    match display:
        case Diff(path=path, added=added, removed=removed, created=created):
            return f"{'created' if created else 'changed'} {plain(relative(path, root))} (+{added} -{removed})"
        case Terminal(output=output, exit_code=code):
            lines = plain(output).strip().splitlines()
            end = "killed" if code is None else f"exit {code}" if code else ""
            return ", ".join(filter(None, [end, box_note(display), one_line(lines[-1]) if lines else "no output"]))
        case TodoList(items=items):
            return f"{sum(item.status == 'done' for item in items)} of {len(items)} done"
        case Pictures(text=text, images=images):
            count = f"{len(images)} picture{'s' * (len(images) != 1)}"
            return f"{one_line(text)}, {count}" if text.strip() else count
        case Plain(text=text):
            return one_line(text)
    lines = plain(result).strip().splitlines()
    if is_error or len(lines) <= 1:
        return one_line(result)
    return f"{len(lines)} lines"


def retrying(event: Retrying) -> str:
    by = f" with {plain(event.model)}" if event.model else ""
    error = one_line(event.error)
    end = "" if error.endswith((".", "…")) else "."
    return f"{error}{end} Trying again{by} in {seconds(event.wait_s)} (attempt {event.attempt})."


def thousands(tokens: int) -> str:
    """A count of tokens, short: 950, 12.3k, 140k, 1.2M."""
    if tokens < 1000:
        return str(tokens)
    value, unit = (tokens / 1e6, "M") if tokens >= 999_500 else (tokens / 1e3, "k")
    return f"{value:.0f}{unit}" if value >= 100 else f"{value:.1f}{unit}".replace(".0", "")


def counted(tasks: Sequence[Task]) -> str:
    """`2 tasks`."""
    return f"{len(tasks)} task{'s' * (len(tasks) != 1)}"


def seconds(value: float) -> str:
    """`0.4 s`, `12 s`, `3 min 05 s`."""
    if value < 10:
        return f"{value:.1f} s"
    return f"{value:.0f} s" if value < 60 else f"{value // 60:.0f} min {value % 60:02.0f} s"


def ending(code: int | None) -> str:
    """How a command ended, empty when all is well."""
    names = {0: "", None: "killed", 128 + signal.SIGINT: "interrupted", 128 + signal.SIGKILL: "killed"}
    if code == 128 + signal.SIGTSTP:
        return "suspended: fg goes on"
    return names.get(code, f"exit {code}")


def evidence(found: Evidence) -> str:
    """`✓ tests pass: pytest -q → exit 0, 12 passed`, on one line."""
    shown = []
    if found.command:
        code = f"exit {found.exit_code}" if found.exit_code is not None else ""
        came = ", ".join(filter(None, (code, one_line(found.result, 120))))
        shown.append(f"`{one_line(visible(found.command), 100)}`{f' → {came}' if came else ''}")
    reason = f"({found.reason})" if shown and found.reason else found.reason
    text = f"{found.claim}: {' '.join(filter(None, (*shown, reason)))}"
    return plain(f"✓ {text}" if found.verified else f"⚠ unverified: {text}")


def at_work(goal: Goal | None) -> str:
    """`goal 3/25` while it is to be reached, else nothing."""
    return goal.progress if goal is not None and goal.state in ("active", "paused") else ""
