"""Questions of the agent to the person in front of the editor."""

from collections.abc import Callable
from typing import Any

from kimi_acp.blocks import content, diffs, fenced, text_block
from kimi_acp.cards import arguments_of, kind_of, places_of, title_of
from kimi_acp.client import Client
from kimi_acp.peer import Peer, RpcError
from kimi_agent.core.ask import Allow, Answer, Choice, Chosen, Deny, Dismissed, Item, Permission, Question
from kimi_agent.core.display import Diff
from kimi_agent.core.message import ToolCall
from kimi_agent.core.sanitize import visible
from kimi_agent.frontends.common.describe import effect_words, one_line
from kimi_agent.frontends.common.segments import WORDS, told_segments
from kimi_agent.frontends.line.questions import asked_lines
from kimi_agent.frontends.mcp_server.questions import Form, answer_of, form_of

UNSHOWN = "The editor could not show the question. Go on without it, or say in the answer what was needed."
NO_ANSWER = "none-of-these"
_REASON = "Reject, and say what to do instead"


class Asker:
    """Of one session. `running` says whether a prompt of the client is being worked on: only then is it asked."""

    def __init__(self, peer: Peer, client: Client, root: str, session: str = "") -> None:
        self._peer, self._client, self._root = peer, client, root
        self.session = session
        self.running: Callable[[], bool] = lambda: True
        self.dropped: Callable[[], None] = lambda: None  # the client has answered that it cancels the prompt
        self.place: Callable[[str], str] = lambda call: self.session  # the session of a call: a subagent has its own
        self._questions = 0

    async def ask(self, question: Question) -> Answer:
        if not self.running():
            return Deny(UNSHOWN) if isinstance(question, Permission) else Dismissed()
        try:
            if isinstance(question, Permission):
                return await self._permission(question)
            if self._client.forms:
                return await self._form(question)
            return await self._choices(question)
        except RpcError:
            return Deny(UNSHOWN) if isinstance(question, Permission) else Dismissed(UNSHOWN)

    # --- permissions --------------------------------------------------------------------------------------------------

    async def _permission(self, question: Permission) -> Answer:
        options = options_of(question, forms=self._client.forms)
        picked = await self._pick(card_of(question, self._root), options)
        match picked:
            case "once" | "session" | "always":
                return Allow(picked)
            case "reason":
                return Deny(await self.text("What should be done instead?") or "")
        return Deny()

    async def _pick(self, card: dict[str, Any], options: list[dict[str, Any]]) -> str | None:
        """The id of the option that was picked; None for none of them."""
        params = {"sessionId": self.place(card["toolCallId"]), "toolCall": card, "options": options}
        answer = await self._peer.request("session/request_permission", params)
        outcome = answer.get("outcome") if isinstance(answer, dict) else None
        chosen = outcome.get("outcome") if isinstance(outcome, dict) else None
        if chosen == "cancelled":
            self.dropped()
        picked = outcome.get("optionId") if isinstance(outcome, dict) and chosen == "selected" else None
        return picked if any(option["optionId"] == picked for option in options) else None

    # --- choices ------------------------------------------------------------------------------------------------------

    async def _form(self, question: Choice) -> Answer:
        action, given = await self._elicit(form_of(question))
        return answer_of(question, action, given)

    async def _elicit(self, form: Form) -> tuple[str, dict[str, Any]]:
        params = {"sessionId": self.session, "mode": "form", "message": form.message, "requestedSchema": form.schema}
        answer = await self._peer.request("elicitation/create", params)
        given = answer if isinstance(answer, dict) else {}
        filled = given.get("content")
        return str(given.get("action")), filled if isinstance(filled, dict) else {}

    async def text(self, label: str) -> str | None:
        """A line of text; None when none was given, or the client has no forms."""
        if not self._client.forms:
            return None
        field = {"answer": {"type": "string", "title": label}}
        action, given = await self._elicit(Form(label, {"type": "object", "properties": field, "required": ["answer"]}))
        answer = given.get("answer")
        return answer.strip() if action == "accept" and isinstance(answer, str) else None

    async def _choices(self, question: Choice) -> Answer:
        values = []
        for item in question.items:
            picked = await self._item(item, question.text)
            values.append(() if picked is None else (picked,))
        return Chosen(tuple(values)) if any(values) else Dismissed()

    async def _item(self, item: Item, text: str) -> str | None:
        """One question in the form of a permission: the only one that every client has."""
        if not item.options:
            return None
        self._questions += 1
        about = [
            f"- **{visible(o.label)}**{f': {visible(o.description)}' if o.description else ''}" for o in item.options
        ]
        told = "\n\n".join(filter(None, [text, visible(item.question), "\n".join(about)]))
        card = {
            "toolCallId": f"question-{self._questions}", "title": visible(item.question), "kind": "other",
            "status": "pending", "content": [content(text_block(told))],
        }  # fmt: skip
        options = [_option(str(n), visible(option.label), "allow_once") for n, option in enumerate(item.options)]
        picked = await self._pick(card, [*options, _option(NO_ANSWER, "No answer", "reject_once")])
        return item.options[int(picked)].label if picked is not None and picked != NO_ANSWER else None


def options_of(question: Permission, *, forms: bool) -> list[dict[str, Any]]:
    """Each says exactly what it allows."""
    options = [_option("once", "Allow once", "allow_once")]
    if question.session_scope:
        options.append(_option("session", f"Allow in this session: {visible(question.session_scope)}", "allow_always"))
    if question.always:
        rules = ", ".join(map(visible, question.always))
        options.append(_option("always", f"Always allow {rules} (is kept as a rule)", "allow_always"))
    options.append(_option("no", "Reject", "reject_once"))
    return [*options, _option("reason", _REASON, "reject_once")] if forms else options


def _option(name: str, label: str, kind: str) -> dict[str, Any]:
    return {"optionId": name, "name": one_line(label, 200), "kind": kind}


def card_of(question: Permission, root: str) -> dict[str, Any]:
    """Everything that is to be known for an answer, whatever of the call the editor has shown before."""
    call: ToolCall = question.call
    card: dict[str, Any] = {
        "toolCallId": call.id,
        "title": title_of(call, question.effects, root),
        "name": call.name,
        "kind": kind_of(call, question.effects),
        "status": "pending",
        "rawInput": arguments_of(call),
        "content": _shown(question),
    }
    if places := places_of(call, question.effects, question.preview):
        card["locations"] = places
    return card


def _shown(question: Permission) -> list[dict[str, Any]]:
    if isinstance(question.preview, Diff):
        return [*diffs(question.preview), *([content(text_block(more))] if (more := _around(question)) else [])]
    if question.call.name != "Shell":
        lines = [text for text, _ in asked_lines(question)]
        return [content(text_block(fenced("\n".join(lines))))]
    command = next((effect.target for effect in question.effects if effect.kind == "run"), question.call.arguments)
    parts = [fenced(visible(command), "sh"), f"in `{visible(question.cwd)}`" if question.cwd else "", _around(question)]
    return [content(text_block("\n\n".join(filter(None, parts))))]


def _around(question: Permission) -> str:
    """Who asks, and why, and what covers which command."""
    wider = [effect for effect in question.effects if effect.kind == "widen"]
    lines = [f"for the subagent: {visible(question.agent)}"] if question.agent else []
    lines += [f"beyond the box: {' '.join(map(visible, effect_words(effect)))}" for effect in wider]
    lines += [
        f"{WORDS[s.verdict]}: `{visible(s.text)}`{f' ({visible(s.why)})' if s.why else ''}"
        for s in told_segments(question)
    ]
    lines += [f"asked because {visible(question.reason)}"] if question.reason else []
    return "\n".join(f"- {line}" for line in lines)
