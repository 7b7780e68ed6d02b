"""The built-in gates: modes, what was granted for this session, secret files, and what needs no question at all.

Order matters: a mode that forbids comes before a grant, a grant before a mode that allows, and a secret file asks before
the rule that reads are free.
"""

import asyncio
from collections.abc import Sequence
from pathlib import PurePath

from kimi_agent.core.access import BoxView
from kimi_agent.core.ask import Allow, Deny
from kimi_agent.core.effect import Effect
from kimi_agent.core.event import Mode
from kimi_agent.core.gate import Gate, Verdict
from kimi_agent.core.message import ToolCall
from kimi_agent.core.secret import is_secret_path

HARMLESS = ("read", "fetch")
UNASKED = (*HARMLESS, "stop")
"""A background task that the agent started it may also end; plan mode lets it run."""
PLAN_DENIAL = (
    "Plan mode is on: nothing may be changed or run. Read, search and think, then present the plan to the user."
)
NOBODY_WIDENS = "Nobody is here who could let a command out of its box. Do without, or say at the end what was needed."
NO_BOX = "No box holds on this machine ({}), so commands run only when a person has seen them."


class Permissions:
    """State of the built-in gates of one session. Grants live in memory only: a resumed session asks again."""

    def __init__(
        self, mode: Mode = "default", plan_file: str = "", home: str = "", *, box: BoxView | None = None
    ) -> None:
        """`plan_file` is the real path of the one file that may be written in plan mode; `home` holds our own keys.

        `box` is what commands run in; where it turns out to be none, every command is asked for. None: that is not looked at.
        """
        self._box = box
        self.mode: Mode = mode
        self._home = home
        self._plan_file = plan_file
        self._grants: set[Effect] = set()

    def gates(self, others: Sequence[Gate] = ()) -> list[Gate]:
        """Those of plugins, `others`, stand behind plan mode, which nothing lifts, and before what would allow a call."""
        narrowing = [_narrowing(gate) for gate in others]
        return [
            self.plan,
            *narrowing,
            self.widening,
            self.granted,
            self.unboxed,
            self.approve_all,
            self.secrets,
            self.harmless,
        ]

    def grant(self, effects: Sequence[Effect]) -> None:
        """Allow, until the session ends, these very paths, and command lines in their folders, and nothing else."""
        self._grants.update(effects)

    async def plan(self, call: ToolCall, effects: Sequence[Effect]) -> Verdict | None:
        if self.mode != "plan" or all(effect.kind in HARMLESS for effect in effects):
            return None
        if any(effect.kind not in HARMLESS and effect != Effect("write", self._plan_file) for effect in effects):
            return Deny(PLAN_DENIAL)
        return Allow() if all(effect.target == self._plan_file for effect in effects) else None

    async def widening(self, call: ToolCall, effects: Sequence[Effect]) -> Verdict | None:
        """Out of its box only a person lets a command, each time anew: no mode does, and no grant."""
        if not is_widening(effects):
            return None
        return Deny(NOBODY_WIDENS) if self.mode == "afk" else "ask"

    async def unboxed(self, call: ToolCall, effects: Sequence[Effect]) -> Verdict | None:
        """Without a box no mode allows a command."""
        if self._box is None or all(effect.kind != "run" for effect in effects):
            return None
        state = await asyncio.to_thread(self._box.prove)
        if state.rung != "R0":
            return None
        return Deny(NO_BOX.format(state.reason)) if self.mode == "afk" else "ask"

    async def granted(self, call: ToolCall, effects: Sequence[Effect]) -> Verdict | None:
        needed = [effect for effect in effects if effect.kind not in HARMLESS or self._holds_keys(effect)]
        if needed and self._grants.issuperset(needed):
            return Allow("session")
        return None

    async def approve_all(self, call: ToolCall, effects: Sequence[Effect]) -> Verdict | None:
        return Allow() if self.mode in ("yolo", "afk") else None

    async def secrets(self, call: ToolCall, effects: Sequence[Effect]) -> Verdict | None:
        return "ask" if any(map(self._holds_keys, effects)) else None

    def _holds_keys(self, effect: Effect) -> bool:
        """Secret files, and the settings in our own home, wherever it is."""
        if effect.kind != "read" or not self._home:
            return is_secret(effect)
        path = PurePath(effect.target)
        settings = str(path.parent) == self._home and bool({".toml", ".json"}.intersection(path.suffixes))
        return settings or effect.target == self._home or is_secret(effect)

    async def harmless(self, call: ToolCall, effects: Sequence[Effect]) -> Verdict | None:
        return Allow() if all(effect.kind in UNASKED for effect in effects) else None


def is_secret(effect: Effect) -> bool:
    """Whether an effect reads a file that usually holds keys or passwords."""
    return effect.kind == "read" and is_secret_path(effect.target)


def is_widening(effects: Sequence[Effect]) -> bool:
    return any(effect.kind == "widen" for effect in effects)


def _narrowing(gate: Gate) -> Gate:
    """A plugin's gate: what it allows of the box's limits does not count."""

    async def narrowing(call: ToolCall, effects: Sequence[Effect]) -> Verdict | None:
        verdict = await gate(call, effects)
        return None if isinstance(verdict, Allow) and is_widening(effects) else verdict

    return narrowing


def session_scope(effects: Sequence[Effect]) -> str:
    """In words, what "allow for this session" covers for these effects; empty where that is not to be had."""
    if is_widening(effects):
        return ""
    words = {"run": "this exact command", "write": "edits of {}", "read": "reading {}", "stop": "stopping {}"}
    return ", ".join(
        dict.fromkeys(
            words.get(effect.kind, "{}").format(effect.target) + (f" in {effect.cwd}" if effect.cwd else "")
            for effect in effects
            if effect.kind != "fetch"
        )
    )
