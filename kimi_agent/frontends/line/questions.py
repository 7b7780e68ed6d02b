"""Questions in words and numbers: how line mode puts them, and what a typed answer means."""

from typing import Literal

from kimi_agent.core.ask import Allow, Deny, Item, Permission
from kimi_agent.core.display import Diff, Display, Pictures, Plain, Terminal, TodoList
from kimi_agent.core.sanitize import visible
from kimi_agent.frontends.common.describe import effect_words
from kimi_agent.frontends.common.segments import WORDS, always_words, told_segments
from kimi_agent.frontends.line.screen import Lines, Style
from kimi_agent.frontends.line.words import diff_head, diff_words, spelled

_YES, _NO, _ALWAYS = ("1", "y", "yes"), ("3", "n", "no"), ("a", "always")


def permission_lines(question: Permission, *, spoken: bool = False) -> Lines:
    """The whole effect, with everything spelled out that could mislead, then the possible answers."""
    if spoken:
        return _spoken_permission(question)
    lines = asked_lines(question)
    lines.append(("  1  yes, once", ""))
    if question.session_scope:
        lines.append((f"  2  yes, for this session: {visible(question.session_scope)}", ""))
    if always := always_words(question):
        lines.append((f"  a  yes, {visible(always)}", ""))
    lines.append(("  3  no", ""))
    lines.append(("  4  no, and say what to do instead", ""))
    return lines


def asked_lines(question: Permission) -> Lines:
    """What is asked for: the whole effect, with everything spelled out that could mislead."""
    where = f" in {visible(question.cwd)}" if question.cwd else ""
    who = f" (for the subagent: {visible(question.agent)})" if question.agent else ""
    lines: Lines = [(f"{visible(question.call.name)} asks for permission{who}{where}:", "question")]
    lines += _preview(question)
    for segment in told_segments(question):
        why = f"  ({visible(segment.why)})" if segment.why else ""
        lines.append((f"  {WORDS[segment.verdict]:<9} {visible(segment.text)}{why}", ""))
    if question.reason:
        lines.append((f"  asked because {visible(question.reason)}", ""))
    return lines


def _preview(question: Permission) -> Lines:
    shown: Lines = [] if question.preview is None else display_lines(question.preview)
    seen = "\n".join(text for text, _ in shown)
    effects = [f"  {kind}: {visible(target)}" for kind, target in map(effect_words, question.effects)]
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
        case Terminal(command=command, reason=reason):
            lines = [f"  $ {line}" if n == 0 else f"    {line}" for n, line in enumerate(visible(command).split("\n"))]
            because: Lines = [(f"  because: {visible(reason)}", "")] if reason else []
            return [*((line, "bold") for line in lines), *because]
        case Plain(text=text) | Pictures(text=text):
            return [(f"  {line}", "") for line in visible(text).split("\n")]
        case TodoList(items=items):
            marks = {"done": "[x]", "in_progress": "[>]", "pending": "[ ]"}
            return [(f"  {marks[item.status]} {visible(item.title)}", "") for item in items]


def _spoken_permission(question: Permission) -> Lines:
    where = f", in {spelled(question.cwd)}" if question.cwd else ""
    who = f", for the subagent {spelled(question.agent)}" if question.agent else ""
    lines = [f"Permission needed: {spelled(question.call.name)}{who}{where}."]
    shown = [] if question.preview is None else display_words(question.preview)
    seen = "\n".join(shown)
    lines += [f"{e.kind}: {spelled(e.target)}" for e in question.effects if spelled(e.target) not in seen]
    lines += shown
    if len(lines) == 1:
        lines.append(f"Arguments: {spelled(question.call.arguments)}")
    for segment in told_segments(question):
        why = f": {spelled(segment.why)}" if segment.why else ""
        lines.append(f"{spelled(segment.text)}, {WORDS[segment.verdict]}{why}.")
    if question.reason:
        lines.append(f"Asked because {spelled(question.reason)}.")
    lines += ["Answers:", "1: yes, once."]
    if question.session_scope:
        lines.append(f"2: yes, for this session: {spelled(question.session_scope)}.")
    if always := always_words(question):
        lines.append(f"a: yes, {spelled(always)}.")
    return [(line, "") for line in [*lines, "3: no.", "4: no, and say what to do instead."]]


def display_words(display: Display) -> list[str]:
    """A display in full, in words, everything spelled out."""
    match display:
        case Diff(path=path):
            return [diff_head(display, path), *diff_words(display), "End of the change."]
        case Terminal(command=command) if "\n" in command:
            return ["Command:", *spelled(command).split("\n"), "End of command."]
        case Terminal(command=command):
            return [f"Command: {spelled(command)}"]
        case Plain(text=text) | Pictures(text=text):
            return spelled(text).split("\n")
        case TodoList():
            return [text for text, _ in todo_words(display)]


def todo_words(display: TodoList) -> Lines:
    states = {"done": "Done", "in_progress": "In progress", "pending": "To do"}
    done = sum(item.status == "done" for item in display.items)
    items: Lines = [(f"{states[item.status]}: {spelled(item.title)}", "") for item in display.items]
    return [(f"Todo list, {done} of {len(display.items)} done:", ""), *items]


def diff_style(line: str) -> Style:
    if line.startswith("@@"):
        return "hunk"
    if line.startswith(("+++", "---")):
        return "dim"
    return "add" if line.startswith("+") else "remove" if line.startswith("-") else ""


def permission_label(question: Permission) -> str:
    keys = ["1", *(["2"] if question.session_scope else []), *(["a"] if question.always else []), "3", "4"]
    return f"Allow? ({', '.join(keys)}) "


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
    if word in _ALWAYS and question.always:
        return Allow("always")
    if word in _NO:
        return Deny()
    return "feedback" if word == "4" else None


def item_lines(item: Item, *, spoken: bool = False) -> Lines:
    if spoken:
        return _spoken_item(item)
    head = f"{visible(item.header)}: {visible(item.question)}" if item.header else visible(item.question)
    lines: Lines = [(head, "question")]
    for number, option in enumerate(item.options, 1):
        about = f"  - {visible(option.description)}" if option.description else ""
        lines.append((f"  {number}  {visible(option.label)}{about}", ""))
    return lines


def _spoken_item(item: Item) -> Lines:
    about = f"{spelled(item.header)}: " if item.header else ""
    options = [
        f"{number}: {spelled(option.label)}{f', {spelled(option.description)}' if option.description else ''}"
        for number, option in enumerate(item.options, 1)
    ]
    return [(line, "") for line in [f"Question: {about}{spelled(item.question)}", *options]]


def item_label(item: Item) -> str:
    if not item.options:
        return "Answer (nothing: no answer) "
    how = "numbers such as 1,3" if item.multiple else f"1-{len(item.options)}"
    if not item.other:
        return f"Answer ({how}; nothing: no answer) "
    return f"Answer ({how}, or your own words; nothing: no answer) "


def item_answer(item: Item, text: str) -> tuple[str, ...] | None:
    """Labels picked, or the words written; None when a number is out of range, or words are no answer."""
    words = text.replace(",", " ").split()
    if not all(word.isdecimal() for word in words) or (len(words) > 1 and not item.multiple):
        return (text.strip(),) if item.other else None
    numbers = [int(word) for word in words]
    if not item.options or not all(1 <= number <= len(item.options) for number in numbers):
        return None if item.options else (text.strip(),)
    return tuple(dict.fromkeys(item.options[number - 1].label for number in numbers))
