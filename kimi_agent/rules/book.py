"""All rules of one session, and what they say of a call: deny before ask before allow, then the proof that nothing is changed."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from kimi_agent.core.effect import Effect
from kimi_agent.core.message import ToolCall
from kimi_agent.core.rules import RULE_DENIAL, Ruling, Segment
from kimi_agent.core.sanitize import visible
from kimi_agent.rules.always import rule_for
from kimi_agent.rules.lexer import Command
from kimi_agent.rules.matching import Place, allows, concerns, names_tool
from kimi_agent.rules.names import BUILTINS
from kimi_agent.rules.proof import UNPROVED, Places, reads_only
from kimi_agent.rules.reader import name_of
from kimi_agent.rules.rule import SCOPES, Rule

HARMLESS = ("read", "fetch", "stop")
"""Effects that need no rule to be allowed."""

Keep = Callable[[Sequence[Mapping[str, str]]], None]
"""Writes rules to the user's file. Raises ConfigError."""


class RuleBook(Struct):
    """The rules that hold in one session. `proves`: what is proved to read only runs unasked.

    `keep` writes rules that the person adds; without it "always" is not offered.
    """

    rules: list[Rule]
    place: Place
    places: Places
    proves: bool = True
    keep: Keep | None = None

    def judge(self, call: ToolCall, effects: Sequence[Effect]) -> Ruling:
        """The strictest of what all rules say.

        Where only the run can tell whether a rule is meant, one that somebody wrote asks. A built-in one keeps other rules from
        allowing the call: a person is asked, unless the mode allows every call.
        """
        strict = [
            (rule, said) for rule in self.rules if (said := concerns(rule, call, effects, self.place)) is not False
        ]
        if denying := _strongest(rule for rule, said in strict if said and rule.decision == "deny"):
            return Ruling("deny", _denial(denying), self._segments(call, effects, [denying]))
        if any(rule.scope == "built-in" for rule, _ in strict) and self.proved(effects):  # it writes nothing
            strict = [(rule, said) for rule, said in strict if rule.scope != "built-in"]
        doubts = [rule for rule, said in strict if rule.scope == "built-in" and said is None]
        strict = [(rule, said) for rule, said in strict if rule not in doubts]
        if asking := _strongest(rule for rule, _ in strict):
            maybe = asking.decision == "deny"
            reason = f"the rule {asking.named} {'may forbid it' if maybe else 'wants it asked for'}"
            return Ruling("ask", asking.reason or reason, self._segments(call, effects, [rule for rule, _ in strict]))
        if not self._may_widen(effects):
            return Ruling("ask", "it would leave the box")
        ruling = self._allowed(call, effects)
        return self._doubted(ruling, call, effects, doubts) if doubts else ruling

    def proved(self, effects: Sequence[Effect]) -> bool:
        """Whether every command among the effects is proved to read only, without any rule."""
        needed = [effect for effect in effects if effect.kind not in HARMLESS]
        return bool(needed) and all(e.kind == "run" and self.only_reads(e.target, e.cwd) for e in needed)

    def only_reads(self, line: str, cwd: str = "") -> bool:
        """Whether a command line is proved to read only."""
        found = reads_only(line, cwd or self.place.root, self.places) if self.proves else None
        return found is not None and not any(found[1])

    def remember(self, call: ToolCall, effects: Sequence[Effect]) -> None:
        """Add the rules that `judge` offers as `always`, for this folder and the program that runs now. Raises ConfigError."""
        new = self._new_rules(call, effects)
        if self.keep is None or not new:
            return
        names = ("decision", "pattern", "cwd", "exe")
        self.keep([{name: value for name in names if (value := getattr(rule, name))} for rule in new])
        self.rules = [*self.rules, *(rule for rule in new if rule not in self.rules)]

    # --- what allows --------------------------------------------------------------------------------------------------

    @property
    def _allowing(self) -> list[Rule]:
        return [rule for rule in self.rules if rule.decision == "allow"]

    def _may_widen(self, effects: Sequence[Effect]) -> bool:
        """Whether every widening is allowed by a rule that names it, of the user or of who manages the machine."""
        strong = [rule for rule in self._allowing if rule.scope in ("managed", "user")]
        widenings = [effect for effect in effects if effect.kind == "widen"]
        return all(any(allows(rule, effect, self.place) for rule in strong) for effect in widenings)

    def _allowed(self, call: ToolCall, effects: Sequence[Effect]) -> Ruling:
        needed = [effect for effect in effects if effect.kind not in HARMLESS or self._is_private(effect)]
        segments = self._segments(call, needed, [])
        free = bool(needed) and all(segment.verdict == "allow" for segment in segments)
        for effect in needed:
            if effect.kind not in ("run", "widen"):
                free = free and any(
                    _covers_tool(rule, call) or allows(rule, effect, self.place, call) for rule in self._allowing
                )
        if free:
            return Ruling("allow", segments=segments)
        reason = next((segment.why for segment in segments if segment.verdict == "ask"), "")
        return Ruling("", reason, segments, tuple(rule.pattern for rule in self._new_rules(call, effects)))

    def _doubted(self, ruling: Ruling, call: ToolCall, effects: Sequence[Effect], doubts: Sequence[Rule]) -> Ruling:
        """Not allowed, and not to be allowed for ever, because built-in rules may be meant."""
        if ruling.verdict != "allow":
            return Ruling("", ruling.reason, ruling.segments)
        asking = [replace(rule, decision="ask") for rule in doubts]
        return Ruling("", doubts[0].reason, self._segments(call, effects, asking))

    def _is_private(self, effect: Effect) -> bool:
        return effect.kind == "read" and self.places.is_private(effect.target)

    # --- segment by segment -------------------------------------------------------------------------------------------

    def _segments(self, call: ToolCall, effects: Sequence[Effect], strict: Sequence[Rule]) -> tuple[Segment, ...]:
        """The commands of all command lines with what covers each; `strict` are rules that stop the call."""
        return tuple(s for effect in effects if effect.kind == "run" for s in self._of_line(call, effect, strict))

    def _of_line(self, call: ToolCall, effect: Effect, strict: Sequence[Rule]) -> list[Segment]:
        cwd = effect.cwd or self.place.root
        whole = None if strict else next((rule for rule in self._allowing if _covers_tool(rule, call)), None)
        if whole is not None:
            return [Segment(effect.target, "allow", f"rule {whole.named}")]
        found = reads_only(effect.target, cwd, self.places)
        if found is None:
            rule = _strongest(strict)
            return [Segment(effect.target, _verdict(rule), f"rule {rule.named}" if rule else UNPROVED)]
        commands, problems = found
        segments = []
        for command, problem in zip(commands, problems, strict=True):
            alone = Effect("run", command.text, effect.cwd)
            stops = _strongest(r for r in strict if concerns(r, call, [alone], self.place) is not False)
            allowing = self._rule_of(command, effect, commands)
            if stops is not None:
                segments.append(Segment(command.text, _verdict(stops), f"rule {stops.named}"))
            elif allowing is not None:
                segments.append(Segment(command.text, "allow", f"rule {allowing.named}"))
            elif problem or not self.proves:
                segments.append(Segment(command.text, "ask", problem or "nothing runs unasked here"))
            else:
                segments.append(Segment(command.text, "allow", "only reads"))
        return segments

    def _rule_of(self, command: Command, effect: Effect, commands: Sequence[Command]) -> Rule | None:
        """The rule that allows a command, unless another one of its line may change what it means."""
        if len(commands) > 1 and any(name_of(other.words[0]) in BUILTINS for other in commands):
            return None
        return next((rule for rule in self._allowing if allows(rule, effect, self.place, command=command)), None)

    # --- "always" -----------------------------------------------------------------------------------------------------

    def _new_rules(self, call: ToolCall, effects: Sequence[Effect]) -> list[Rule]:
        """What "always" would add: a rule for each command that nothing covers; nothing where one of them may not have one."""
        needed = [effect for effect in effects if effect.kind not in HARMLESS]
        if self.keep is None or any(effect.kind not in ("run", "mcp") for effect in needed):
            return []
        if any(self._is_private(effect) for effect in effects):
            return []
        new: list[Rule] = []
        for effect in needed:
            rules = (
                [Rule("allow", call.name, "mcp", effect.target)]
                if effect.kind == "mcp"
                else self._for_line(call, effect)
            )
            if rules is None:
                return []
            new += rules
        return list(dict.fromkeys(new))

    def _for_line(self, call: ToolCall, effect: Effect) -> list[Rule] | None:
        """A rule for each command of a line that nothing covers; None where one of them may not have one."""
        found = reads_only(effect.target, effect.cwd or self.place.root, self.places)
        if found is None or visible(effect.target) != effect.target:
            return None
        segments = self._of_line(call, effect, [])
        words = {word for command in found[0] for word in command.words[1:]}
        cwd = os.path.realpath(effect.cwd or self.place.root)
        if any(self.places.is_private(os.path.realpath(os.path.join(cwd, word))) for word in words if word):  # noqa: PTH118
            return None
        asked = [command for command, said in zip(found[0], segments, strict=True) if said.verdict != "allow"]
        rules = [rule_for(command.words, cwd, self.place.root) for command in asked]
        return None if None in rules else [rule for rule in rules if rule is not None]


def _strongest(rules: Iterable[Rule]) -> Rule | None:
    """Of rules that stop a call the one to name: a denial before a question, the stronger scope before the weaker."""
    return min(rules, key=lambda rule: (rule.decision != "deny", SCOPES.index(rule.scope)), default=None)


def _verdict(rule: Rule | None) -> Literal["ask", "deny"]:
    return "deny" if rule is not None and rule.decision == "deny" else "ask"


def _denial(rule: Rule) -> str:
    because = f": {rule.reason.rstrip('.')}." if rule.reason else "."
    return f"{RULE_DENIAL}{rule.named} forbids it{because} Do not try to do the same in another way."


def _covers_tool(rule: Rule, call: ToolCall) -> bool:
    """Whether a rule without an argument allows every call of the tool."""
    return rule.argument is None and not rule.cwd and rule.kind != "widen" and names_tool(rule, call)
