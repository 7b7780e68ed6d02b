"""Questions in words and numbers: how line mode puts them, and what a typed answer means."""

from typing import Literal, TypeAlias

from kimi_agent.core.ask import Allow, Deny, Item, Permission
from kimi_agent.core.display import Diff, Display, Pictures, Plain, Terminal, TodoList
from kimi_agent.core.sanitize import visible
from kimi_agent.frontends.line.screen import Style

Lines: TypeAlias = list[tuple[str, Style]]

_YES, _NO = ("1", "y", "yes"), ("3", "n", "no")


def permission_lines(question: Permission) -> Lines:
    """The whole effect, with everything spelled out that could mislead, then the possible answers."""
    where = f" in {visible(question.cwd)}" if question.cwd else ""
    who = f" (for the subagent: {visible(question.agent)})" if question.agent else ""
    lines: Lines = [(f"{visible(question.call.name)} asks for permission{who}{where}:", "question")]
    lines += _preview(question)
    lines.append(("  1  yes, once", ""))
    if question.session_scope:
        lines.append((f"  2  yes, for this session: {visible(question.session_scope)}", ""))
    lines.append(("  3  no", ""))
    lines.append(("  4  no, and say what to do instead", ""))
    return lines


def _preview(question: Permission) -> Lines:
    shown: Lines = [] if question.preview is None else display_lines(question.preview)
    seen = "\n".join(text for text, _ in shown)
    effects = [f"  {effect.kind}: {visible(effect.target)}" for effect in question.effects]
    missing: Lines = [(line, "") for line in effects if line.split(": ", 1)[1] not in seen]
    if not shown and not missing:
        return [(f"  {line}", "") for line in visible(question.call.arguments).split("\n")]
    return missing + shown


def display_lines(display: Display) -> Lines:
    """A display in full, every line indented and spelled out."""
    match display:
        case Diff(path=path, unified=unified, added=added, removed=removed, created=created):
            head = f"  {'new file ' if created else ''}{visible(path)} (+{added} -{removed})"
            return [(head, "bold"), *((f"  {visible(line)}", diff_style(line)) for line in unified.split("\n") if line)]
        case Terminal(command=command):
            return [
                (f"  $ {line}" if n == 0 else f"    {line}", "bold")
                for n, line in enumerate(visible(command).split("\n"))
            ]
        case Plain(text=text) | Pictures(text=text):
            return [(f"  {line}", "") for line in visible(text).split("\n")]
        case TodoList(items=items):
            marks = {"done": "[x]", "in_progress": "[>]", "pending": "[ ]"}
            return [(f"  {marks[item.status]} {visible(item.title)}", "") for item in items]


def diff_style(line: str) -> Style:
    if line.startswith("@@"):
        return "hunk"
    if line.startswith(("+++", "---")):
        return "dim"
    return "add" if line.startswith("+") else "remove" if line.startswith("-") else ""


def permission_label(question: Permission) -> str:
    return "Allow? (1, 2, 3, 4) " if question.session_scope else "Allow? (1, 3, 4) "


def permission_answer(question: Permission, text: str) -> Allow | Deny | Literal["feedback"] | None:
    """What was answered; "feedback": the reason is still to be asked for; None: the text is no answer.

    Words after a "no" (`n use ninja`, `4 use ninja`) are the feedback.
    """
    word, _, rest = text.strip().partition(" ")
    word = word.lower().rstrip(".,:")
    if word in (*_NO, "4") and rest.strip():
        return Deny(rest.strip())
    if rest.strip():
        return None
    if word in _YES:
        return Allow()
    if word == "2" and question.session_scope:
        return Allow("session")
    if word in _NO:
        return Deny()
    return "feedback" if word == "4" else None


def item_lines(item: Item) -> Lines:
    head = f"{visible(item.header)}: {visible(item.question)}" if item.header else visible(item.question)
    lines: Lines = [(head, "question")]
    for number, option in enumerate(item.options, 1):
        about = f"  - {visible(option.description)}" if option.description else ""
        lines.append((f"  {number}  {visible(option.label)}{about}", ""))
    return lines


def item_label(item: Item) -> str:
    if not item.options:
        return "Answer (nothing: no answer) "
    how = "numbers such as 1,3" if item.multiple else f"1-{len(item.options)}"
    return f"Answer ({how}, or your own words; nothing: no answer) "


def item_answer(item: Item, text: str) -> tuple[str, ...] | None:
    """Labels picked, or the words written; None when a number is out of range."""
    words = text.replace(",", " ").split()
    if not all(word.isdecimal() for word in words) or (len(words) > 1 and not item.multiple):
        return (text.strip(),)
    numbers = [int(word) for word in words]
    if not item.options or not all(1 <= number <= len(item.options) for number in numbers):
        return None if item.options else (text.strip(),)
    return tuple(dict.fromkeys(item.options[number - 1].label for number in numbers))
