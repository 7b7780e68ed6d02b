"""Rules out of what files say. A rule that cannot be trusted to mean what it says is told, and never allows anything."""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ConfigError
from kimi_agent.core.message import ToolCall
from kimi_agent.rules.lexer import prove
from kimi_agent.rules.matching import Place, allows, concerns
from kimi_agent.rules.rule import Decision, Rule, Scope, parse_pattern
from kimi_agent.rules.targets import path_regex


class Entry(Struct, frozen=True):
    """A rule as a file has it. `where` is the file and the line, worded for people."""

    scope: Scope
    where: str
    decision: Decision
    pattern: str
    reason: str = ""
    cwd: str = ""
    exe: str = ""
    match: tuple[str, ...] = ()
    not_match: tuple[str, ...] = ()


class Loaded(Struct, frozen=True):
    """`problems` tell people what is wrong, one line each."""

    rules: list[Rule]
    problems: list[str]


def load(entries: Iterable[Entry], place: Place, names: Mapping[str, str]) -> Loaded:
    """The rules that hold. `names` are our tools by what other programs call them.

    Raises ConfigError for a rule of the user or the machine that forbids or asks and cannot be read: without it less would be
    forbidden than the person believes.
    """
    loaded = Loaded([], [])
    for entry in entries:
        try:
            rule = _rule(entry, names, place)
        except ValueError as error:
            if entry.decision != "allow" and entry.scope != "project":
                raise ConfigError(f"{entry.where}: rule {entry.pattern!r}: {error}", "Correct or remove it.") from None
            loaded.problems.append(f"{entry.where}: the rule {entry.pattern!r} is left out: {error}")
            continue
        if entry.scope == "project" and rule.decision == "allow":
            loaded.problems.append(
                f"{entry.where}: {entry.pattern!r} is left out: a project can forbid and ask, not allow"
            )
            continue
        wrong = _wrong_examples(rule, place)
        loaded.problems.extend(f"{entry.where}: the rule {entry.pattern!r} {text}" for text in wrong)
        if wrong and rule.decision == "allow":
            loaded.problems[-1] += ", and is left out"
        else:
            loaded.rules.append(rule)
    return loaded


def _rule(entry: Entry, names: Mapping[str, str], place: Place) -> Rule:
    tool, argument = parse_pattern(entry.pattern, names)
    rule = Rule(
        entry.decision, entry.pattern, tool, argument, entry.scope, entry.where, entry.reason, entry.cwd, entry.exe,
        entry.match, entry.not_match,
    )  # fmt: skip
    if argument is not None and rule.kind in ("read", "write"):
        path_regex(argument, place.root)
    return rule


def _wrong_examples(rule: Rule, place: Place) -> list[str]:
    """What the rule's own examples show to be wrong with it."""
    wrong = [f"does not match its example {text!r}" for text in rule.match if not matches(rule, text, place)]
    return wrong + [
        f"matches {text!r}, its example of what it must not" for text in rule.not_match if matches(rule, text, place)
    ]


def matches(rule: Rule, text: str, place: Place) -> bool:
    """Whether a rule is about an example: a command line, a path, an address, `server/tool`."""
    kind = rule.kind or "run"
    target = _real(text, place) if kind in ("read", "write") else text
    call, effect = ToolCall("", rule.tool, "{}"), Effect(kind, target)  # type: ignore[arg-type]
    if rule.decision != "allow":
        return concerns(rule, call, [effect], place) is True
    if rule.argument is None:
        return True
    if kind != "run":
        return allows(_unbound(rule), effect, place)
    commands = prove(text)
    return commands is not None and all(allows(_unbound(rule), effect, place, command=command) for command in commands)


def _unbound(rule: Rule) -> Rule:
    """An example is about words, wherever it is checked."""
    from msgspec.structs import replace

    return replace(rule, cwd="", exe="")


def _real(path: str, place: Place) -> str:
    import os

    return os.path.realpath(os.path.join(place.root, os.path.expanduser(path)))  # noqa: PTH111, PTH118


def built_in(home: str, root: str) -> list[Rule]:
    """What no configuration takes back: the model does not write what decides about it. `home` is ours, real."""

    def rule(decision: Decision, path: str, reason: str, *, files_only: bool = False) -> Rule:
        return Rule(
            decision, f"WriteFile({path})", "writefile", path, "built-in", "built in", reason, files_only=files_only
        )

    own = "it decides what kimi may do; only the user changes it"
    state: Sequence[str] = (
        "*.toml*", "*.json*", "credentials*", "trust*", "sessions/**/*.jsonl*", "sessions/*.jsonl*", "plugins/**", "logs/**",
        "mcp-oauth/**", ".kimiignore",
    )  # fmt: skip
    rules = [rule("deny", f"{home}/{name}", own) for name in state]
    rules.append(rule("deny", f"{root}/.kimi/rules.toml", own))
    rules.append(rule("ask", ".kimiignore", "it decides what is kept from the model", files_only=True))
    rules.append(rule("ask", ".git", "git runs what stands there", files_only=True))
    return rules
