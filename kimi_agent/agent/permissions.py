"""The built-in gates: modes, rules, what was granted for this session, secret files, and what needs no question at all.

Order matters: a mode that forbids comes before a rule that forbids, that before a grant, a grant before a mode that allows, and a
secret file asks before the rule that reads are free. What `insists` says is asked whatever would allow it.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from pathlib import PurePath

from kimi_agent.agent.leaks import Reads
from kimi_agent.core.access import BoxView
from kimi_agent.core.ask import Allow, Deny
from kimi_agent.core.effect import Effect
from kimi_agent.core.event import Mode
from kimi_agent.core.gate import Gate, Verdict
from kimi_agent.core.message import ToolCall
from kimi_agent.core.rules import Rules, Ruling
from kimi_agent.core.secret import is_secret_path

HARMLESS = ("read", "fetch")
UNASKED = (*HARMLESS, "stop")
"""A background task that the agent started it may also end; plan mode lets it run."""
PLAN_DENIAL = (
    "Plan mode is on: nothing may be changed or run. Read, search and think, then present the plan to the user."
)
NO_RULES = Ruling()
NOBODY_WIDENS = "Nobody is here who could let a command out of its box. Do without, or say at the end what was needed."
NOBODY_OPENS = "{} lies outside of the working folder, and nobody is here who could allow to write it. Do without."
NOBODY_LOOKS = "The server of {} has changed its tools, and nobody is here to look at that. Do without."
LEAKS = "the address carries what was read: {!r}"
NO_BOX = "No box holds on this machine ({}), so commands run only when a person has seen them."


class Permissions:
    """State of the built-in gates of one session. Grants live in memory only: a resumed session asks again."""

    def __init__(
        self,
        mode: Mode = "default",
        plan_file: str = "",
        home: str = "",
        rules: Rules | None = None,
        is_private: Callable[[str], bool] = is_secret_path,
        *,
        box: BoxView | None = None,
        is_inside: Callable[[str], bool] = lambda path: True,
    ) -> None:
        """`plan_file` is the real path of the one file that may be written in plan mode; `home` holds our own keys.

        `is_private` says which files are asked for before they are read. `box` is what commands run in; where it turns out to be
        none, every command is asked for. None: that is not looked at. `is_inside` says where a mode may allow to write.
        """
        self._box, self._is_inside = box, is_inside
        self.mode: Mode = mode
        self.rules = rules
        self._home, self._is_private = home, is_private
        self._plan_file = plan_file
        self.reads = Reads()
        self._grants: set[Effect] = set()
        self.doubts: Callable[[], Collection[str]] = tuple
        """Names of MCP servers whose tools are not what they were: what was granted for them holds no more."""

    def gates(self, others: Sequence[Gate] = ()) -> list[Gate]:
        """Those of plugins, `others`, stand behind what nothing lifts, and before what would allow a call."""
        return [
            self.plan, self.forbidden, *others, self.leaking, self.widening, self.doubted, self.granted,
            self.unboxed, self.approve_all, self.secrets, self.allowed, self.harmless,
        ]  # fmt: skip

    def grant(self, effects: Sequence[Effect]) -> None:
        """Allow, until the session ends, these very paths, and command lines in their folders, and nothing else."""
        self._grants.update(_granted(effect) for effect in effects if effect.kind != "widen")

    def ruling(self, call: ToolCall, effects: Sequence[Effect]) -> Ruling:
        """What the rules say of a call now."""
        return self.rules.judge(call, effects) if self.rules is not None else NO_RULES

    def insists(self, call: ToolCall, effects: Sequence[Effect]) -> bool:
        """Whether a person is asked although a mode or a plugin would allow the call: a rule wants it, or the box is left."""
        if self.rules is None:
            return is_widening(effects)
        return self.ruling(call, effects).verdict == "ask" and not self._are_granted(effects)

    async def plan(self, call: ToolCall, effects: Sequence[Effect]) -> Verdict | None:
        if self.mode != "plan" or all(effect.kind in HARMLESS for effect in effects):
            return None
        if any(effect.kind not in HARMLESS and effect != Effect("write", self._plan_file) for effect in effects):
            return Deny(PLAN_DENIAL)
        return Allow() if all(effect.target == self._plan_file for effect in effects) else None

    async def forbidden(self, call: ToolCall, effects: Sequence[Effect]) -> Verdict | None:
        ruling = self.ruling(call, effects)
        return Deny(ruling.reason) if ruling.verdict == "deny" else None

    def leak(self, effects: Sequence[Effect]) -> str:
        """Why a person is asked about an address; empty where nothing that was read is in one."""
        found = next((piece for e in effects if e.kind == "fetch" and (piece := self.reads.carried(e.target))), "")
        return LEAKS.format(found) if found else ""

    async def leaking(self, call: ToolCall, effects: Sequence[Effect]) -> Verdict | None:
        """What was read leaves in an address only when a person has seen it: no mode and no grant is enough."""
        if not (reason := self.leak(effects)):
            return None
        return Deny(f"{reason}, and nobody is here who could allow that.") if self.mode == "afk" else "ask"

    async def widening(self, call: ToolCall, effects: Sequence[Effect]) -> Verdict | None:
        """Out of its box only a person lets a command, each time anew or by a rule of theirs: no mode does, and no grant."""
        if not is_widening(effects) or not self.insists(call, effects):
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

    async def doubted(self, call: ToolCall, effects: Sequence[Effect]) -> Verdict | None:
        """A server that has changed its tools is asked about like a new one, until a person accepts that: no grant holds."""
        doubts = self.doubts()
        theirs = [effect for effect in effects if effect.kind == "mcp" and effect.target.split("/")[0] in doubts]
        if not theirs:
            return None
        self._grants.difference_update(map(_granted, theirs))
        return Deny(NOBODY_LOOKS.format(theirs[0].target)) if self.mode == "afk" else "ask"

    async def granted(self, call: ToolCall, effects: Sequence[Effect]) -> Verdict | None:
        return Allow("session") if self._are_granted(effects) else None

    def _are_granted(self, effects: Sequence[Effect]) -> bool:
        needed = [effect for effect in effects if effect.kind not in HARMLESS or self._holds_keys(effect)]
        return bool(needed) and self._grants.issuperset(map(_granted, needed))

    async def approve_all(self, call: ToolCall, effects: Sequence[Effect]) -> Verdict | None:
        if self.mode not in ("yolo", "afk"):
            return None
        outside = next((e.target for e in effects if e.kind == "write" and not self._is_inside(e.target)), None)
        if outside is None or self.ruling(call, effects).verdict == "allow":
            return Allow()
        return Deny(NOBODY_OPENS.format(outside)) if self.mode == "afk" else "ask"

    async def secrets(self, call: ToolCall, effects: Sequence[Effect]) -> Verdict | None:
        if not any(map(self._holds_keys, effects)):
            return None
        return None if self.ruling(call, effects).verdict == "allow" else "ask"

    def _holds_keys(self, effect: Effect) -> bool:
        """Private files, and the settings in our own home, wherever it is."""
        if effect.kind != "read":
            return False
        path = PurePath(effect.target)
        settings = str(path.parent) == self._home and bool({".toml", ".json"}.intersection(path.suffixes))
        ours = bool(self._home) and (settings or effect.target == self._home)
        return ours or self._is_private(effect.target)

    async def allowed(self, call: ToolCall, effects: Sequence[Effect]) -> Verdict | None:
        return Allow() if self.ruling(call, effects).verdict == "allow" else None

    async def harmless(self, call: ToolCall, effects: Sequence[Effect]) -> Verdict | None:
        return Allow() if all(effect.kind in UNASKED for effect in effects) else None


def is_secret(effect: Effect) -> bool:
    """Whether an effect reads a file that usually holds keys or passwords."""
    return effect.kind == "read" and is_secret_path(effect.target)


def is_widening(effects: Sequence[Effect]) -> bool:
    return any(effect.kind == "widen" for effect in effects)


def session_scope(effects: Sequence[Effect]) -> str:
    """In words, what "allow for this session" covers for these effects; empty where it may not be offered."""
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


def _granted(effect: Effect) -> Effect:
    """What a grant holds for, whatever the server says of its tool."""
    return Effect(effect.kind, effect.target, effect.cwd)
