"""Questions of the agent as MCP forms (elicitation), and what a filled form answers. Forms hold primitive values alone."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from kimi_agent.core.ask import Allow, Answer, Choice, Chosen, Deny, Dismissed, Item, Permission, Question
from kimi_agent.core.sanitize import visible
from kimi_agent.frontends.common.describe import one_line
from kimi_agent.frontends.line.questions import asked_lines

ALLOW, DENY = "allow once", "deny"
MAX_MESSAGE = 20_000
"""Characters of a question: a longer one cannot be looked through in a form, and is refused."""
REFUSED = "The person at the other end refused this call. Go on without it, or say in the final answer what was needed."
CANNOT_ASK = (
    "Nobody can be asked: the MCP client that gave this task shows no questions (it declares no elicitation of forms). Do not "
    "try to get around it. Go on without it if the task allows that; else say in the final answer what was needed."
)
TOO_LONG = "The call is too long to be shown to the person who would have to allow it. Make it shorter, or split it."
NO_ANSWER = "Nobody answered. Decide yourself, and say in the final answer what you assumed."


class Form(Struct, frozen=True):
    """`message` is shown above the fields of `schema`."""

    message: str
    schema: dict[str, Any]


def form_of(question: Question) -> Form:
    if isinstance(question, Permission):
        message = "\n".join(text for text, _ in asked_lines(question))
        fields: dict[str, Any] = {
            "answer": {"type": "string", "enum": [ALLOW, DENY], "title": "Allow it?"},
            "instead": {"type": "string", "title": "If not: what to do instead"},
        }
        return Form(message, {"type": "object", "properties": fields, "required": ["answer"]})
    told = [visible(question.text)] if question.text else []
    properties: dict[str, Any] = {}
    for number, item in enumerate(question.items, 1):
        told += _told(item)
        properties |= _fields(f"answer_{number}", item)
    return Form("\n".join(told), {"type": "object", "properties": properties})


def _told(item: Item) -> list[str]:
    options = [f"  {visible(o.label)}{f' - {visible(o.description)}' if o.description else ''}" for o in item.options]
    return [visible(item.question), *options]


def _fields(name: str, item: Item) -> dict[str, Any]:
    title = visible(item.header or item.question)
    labels = [visible(option.label) for option in item.options]
    fields: dict[str, Any] = {}
    if item.multiple:
        fields = {f"{name}_{n}": {"type": "boolean", "title": f"{title}: {o}"} for n, o in enumerate(labels, 1)}
    elif labels:
        fields = {name: {"type": "string", "enum": labels, "title": title}}
    if item.other or not labels:
        fields[f"{name}_other"] = {"type": "string", "title": "Something else" if labels else title}
    return fields


def unanswerable(question: Question, reason: str = CANNOT_ASK) -> Answer:
    """The answer where nobody is asked."""
    return Deny(reason) if isinstance(question, Permission) else Dismissed(NO_ANSWER)


def way_to_allow(question: Permission) -> str:
    """What needed a permission, and how the person who starts the server can give it: for a client that shows no questions."""
    name, effects = visible(question.call.name), question.effects
    rules = list(question.always)
    if not rules and all(effect.kind in ("read", "write") for effect in effects):
        rules = [f"{question.call.name}({effect.target})" for effect in effects]
    flags = " ".join(f"--allow '{visible(rule)}'" for rule in rules if "'" not in rule)
    what = ", ".join(one_line(visible(effect.target), 200) for effect in effects)
    return (
        f"{name} {what}: this needs a permission, and the client shows no questions. "
        f"kimi mcp serve allows it with {flags or 'a rule (--allow)'}, or with --yolo."
    )


def answer_of(question: Question, action: str, content: Mapping[str, Any] | None) -> Answer:
    """What a form says that came back with `action`: accept, decline or cancel. Anything unexpected allows nothing."""
    given = content or {}
    if isinstance(question, Permission):
        if action == "accept" and given.get("answer") == ALLOW:
            return Allow("once")
        instead = given.get("instead") if action == "accept" else None
        return Deny(instead if isinstance(instead, str) and instead.strip() else REFUSED)
    if action != "accept":
        return Dismissed(NO_ANSWER)
    return _chosen(question, given)


def _chosen(question: Choice, given: Mapping[str, Any]) -> Answer:
    values = []
    for number, item in enumerate(question.items, 1):
        name = f"answer_{number}"
        if item.multiple:
            picked = [o.label for n, o in enumerate(item.options, 1) if given.get(f"{name}_{n}") is True]
        else:
            picked = [o.label for o in item.options if given.get(name) == visible(o.label)]
        other = given.get(f"{name}_other")
        if isinstance(other, str) and other.strip() and (item.other or not item.options):
            picked = [*picked, other.strip()] if item.multiple else [other.strip()]
        values.append(tuple(picked))
    return Chosen(tuple(values)) if any(values) else Dismissed(NO_ANSWER)
