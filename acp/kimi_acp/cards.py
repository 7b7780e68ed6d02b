"""A tool call as a card: what an editor shows of it, from the moment that the model has written it to its end."""

import time
from collections.abc import Sequence
from typing import Any

from kimi_acp.blocks import content, display_content, hunks_of, locations, output_text, text_block
from kimi_agent.agent.file_history import SAVING
from kimi_agent.agent.transcript import AnswerBlock, CallBlock, Transcript
from kimi_agent.core.display import Diff, Display, Terminal
from kimi_agent.core.effect import Effect
from kimi_agent.core.message import ToolCall, parse_arguments
from kimi_agent.core.sanitize import plain, visible
from kimi_agent.frontends.common.describe import about, headline, one_line

KINDS = {
    "ReadFile": "read", "ReadMediaFile": "read", "Skill": "read", "TaskList": "read", "TaskOutput": "read",
    "Glob": "search", "Grep": "search", "WriteFile": "edit", "StrReplaceFile": "edit", "Shell": "execute",
    "TaskStop": "execute", "SearchWeb": "fetch", "FetchURL": "fetch", "Think": "think", "SetTodoList": "think",
    "Agent": "think", "EnterPlanMode": "switch_mode", "ExitPlanMode": "switch_mode",
}  # fmt: skip
_OF_EFFECTS = {"write": "edit", "run": "execute", "fetch": "fetch", "read": "read"}
_STATUS = {
    "writing": "pending",
    "waiting": "pending",
    "running": "in_progress",
    "done": "completed",
    "failed": "failed",
}
PACE_S = 0.2
"""Between two pictures of a running command's output, where the editor draws no terminal."""
STEPS = 12
"""Of a subagent: so many of its last calls are shown."""


def kind_of(call: ToolCall, effects: Sequence[Effect] = ()) -> str:
    if call.name in KINDS:
        return KINDS[call.name]
    return next((_OF_EFFECTS[effect.kind] for effect in effects if effect.kind in _OF_EFFECTS), "other")


def title_of(call: ToolCall, effects: Sequence[Effect] = (), root: str = "") -> str:
    """A command is its own title; characters that could mislead are spelled out."""
    if call.name == "Shell":
        return about(call, effects, root) or "Shell"
    return headline(call, effects, root, 200)


def arguments_of(call: ToolCall) -> Any:
    try:
        return parse_arguments(call.arguments)
    except ValueError:
        return call.arguments


def places_of(call: ToolCall, effects: Sequence[Effect], display: Display | None = None) -> list[dict[str, Any]]:
    line, paths = None, [effect.target for effect in effects if effect.kind in ("read", "write")]
    if isinstance(display, Diff):
        line, paths = next((first for first, _, _ in hunks_of(display.unified)), 1), [display.path, *paths]
    elif call.name == "ReadFile" and isinstance(given := arguments_of(call), dict):
        wanted = given.get("line_offset")
        line = wanted if isinstance(wanted, int) and wanted > 0 else None
    return locations(paths, line)


class Cards:
    """The cards of one conversation. `terminals`: the editor draws those that we feed; `nested`: a call shows its subagent."""

    def __init__(self, root: str, *, terminals: bool, nested: bool = True) -> None:
        self._root, self._terminals, self._nested = root, terminals, nested
        self._sent: dict[str, dict[str, Any]] = {}
        self._fed: dict[str, int] = {}  # by call: characters of its terminal
        self._shown: dict[str, float] = {}
        self._arguments: dict[str, tuple[str, Any]] = {}
        self._elsewhere: dict[str, str] = {}  # by call: the terminal of the editor that it runs in

    def runs_in(self, block: CallBlock, terminal: str, line: str) -> bool:
        """Show a call by a terminal of the editor, if it is the one whose command is in `line`."""
        command = next((effect.target for effect in block.effects if effect.kind == "run"), None)
        if command is None or command not in line or block.call.id in self._elsewhere:
            return False
        self._elsewhere[block.call.id] = terminal
        return True

    def update(self, block: CallBlock) -> list[dict[str, Any]]:
        """What has changed on the card of a call; nothing while the model still writes it."""
        call = block.call
        if block.state == "writing" or not call.id:
            return []
        card, sent = self._card(block), self._sent.get(call.id)
        if sent is None:
            self._sent[call.id] = card
            return [{"sessionUpdate": "tool_call", "toolCallId": call.id, **card}]
        changed = {key: value for key, value in card.items() if sent.get(key) != value}
        meta = self._feed(block)
        if not changed and not meta:
            return []
        self._sent[call.id] = sent | changed
        update = {"sessionUpdate": "tool_call_update", "toolCallId": call.id, **changed}
        return [update | ({"_meta": meta} if meta else {})]

    def progress(self, block: CallBlock, text: str) -> list[dict[str, Any]]:
        """A running call has said something."""
        call = block.call.id
        if call not in self._sent or call in self._elsewhere:
            return []
        if self._is_terminal(block):
            if text.startswith(SAVING):
                return []
            self._fed[call] = self._fed.get(call, 0) + len(text)
            meta = {"terminal_output": {"terminal_id": call, "data": plain(text).replace("\n", "\r\n")}}
            return [{"sessionUpdate": "tool_call_update", "toolCallId": call, "_meta": meta}]
        now = time.monotonic()
        if now - self._shown.get(call, 0.0) < PACE_S:
            return []
        self._shown[call] = now
        return self.update(block)

    def _card(self, block: CallBlock) -> dict[str, Any]:
        call = block.call
        card: dict[str, Any] = {
            "title": title_of(call, block.effects, self._root),
            "name": call.name,
            "kind": kind_of(call, block.effects),
            "status": _STATUS[block.state],
            "rawInput": self._given(call),
        }
        if places := places_of(call, block.effects, block.display):
            card["locations"] = places
        if inside := self._content(block):
            card["content"] = inside
        if block.state in ("done", "failed"):
            code = block.display.exit_code if isinstance(block.display, Terminal) else None
            card["rawOutput"] = {"output": block.result, **({"exitCode": code} if code is not None else {})}
        return card

    def _given(self, call: ToolCall) -> Any:
        known = self._arguments.get(call.id)
        if known is None or known[0] != call.arguments:
            known = self._arguments[call.id] = (call.arguments, arguments_of(call))
        return known[1]

    def _content(self, block: CallBlock) -> list[dict[str, Any]]:
        terminal = block.call.id if self._is_terminal(block) else self._elsewhere.get(block.call.id)
        if terminal is not None:
            return [{"type": "terminal", "terminalId": terminal}]
        inside: list[dict[str, Any]] = []
        if block.nested is not None and self._nested:
            inside.append(content(text_block(_nested(block.nested, self._root))))
        if block.state == "running":
            live = output_text(block.output[-8_000:])
            return [*inside, *([content(text_block(live))] if live else [])]
        inside += display_content(block.display)
        if block.state == "failed" and block.result and not isinstance(block.display, Terminal):
            inside = [content(text_block(plain(block.result)))] if not inside or block.nested is None else inside
        return inside

    def _is_terminal(self, block: CallBlock) -> bool:
        runs = isinstance(block.display, Terminal) or any(effect.kind == "run" for effect in block.effects)
        return self._terminals and runs and block.call.name == "Shell"

    def _feed(self, block: CallBlock) -> dict[str, Any]:
        """What the terminal of a command is told beside its card: where it is, the rest of its output, its end."""
        if not self._is_terminal(block):
            return {}
        call, display, meta = block.call.id, block.display, dict[str, Any]()
        if call not in self._fed:
            self._fed[call] = 0
            cwd = next((effect.cwd for effect in block.effects if effect.cwd), self._root)
            meta["terminal_info"] = {"terminal_id": call, "cwd": cwd}
        if block.state in ("done", "failed") and self._fed[call] >= 0:
            shown = display.output if isinstance(display, Terminal) else block.result
            if not self._fed[call] and shown:
                meta["terminal_output"] = {"terminal_id": call, "data": plain(shown).replace("\n", "\r\n")}
            self._fed[call] = -1
            code = display.exit_code if isinstance(display, Terminal) else None
            meta["terminal_exit"] = {"terminal_id": call, "exit_code": code, "signal": None}
        return meta


def _nested(transcript: Transcript, root: str) -> str:
    """What a subagent does: its last calls, and what it says."""
    agent, marks = transcript.status.agent, {"done": "✓", "failed": "✗"}
    calls = [b for b in transcript.blocks if isinstance(b, CallBlock) and not b.void and b.call.id]
    head = f"**{visible(agent.agent_type)}**: {one_line(agent.description)}" if agent is not None else ""
    more = f"- … {len(calls) - STEPS} more" if len(calls) > STEPS else ""
    lines = [f"- {marks.get(b.state, '…')} {headline(b.call, b.effects, root, 120)}" for b in calls[-STEPS:]]
    said = [b.text for b in transcript.blocks if isinstance(b, AnswerBlock) and not b.void and b.done]
    parts = [head, "\n".join(filter(None, [more, *lines])), said[-1] if said else ""]
    return "\n\n".join(filter(None, parts))
