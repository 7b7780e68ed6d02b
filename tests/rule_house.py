"""A folder with files and rules, and what the rules say of calls in it."""

import os
from collections.abc import Sequence
from pathlib import Path

from kimi_agent.agent.tool_names import NAMES
from kimi_agent.core.effect import Effect
from kimi_agent.core.message import ToolCall
from kimi_agent.core.private import Private
from kimi_agent.core.rules import Ruling
from kimi_agent.rules.book import RuleBook
from kimi_agent.rules.load import Entry, load
from kimi_agent.rules.matching import Place
from kimi_agent.rules.proof import Places


def entry(rule: str, scope: str = "user", **more: object) -> Entry:
    """`deny Shell(rm)` as a file would have it."""
    decision, _, pattern = rule.partition(" ")
    return Entry(scope, "rules.toml:1", decision, pattern, **more)  # type: ignore[arg-type]


def book(folder: Path, rules: Sequence[str | Entry] = ()) -> RuleBook:
    root = os.path.realpath(folder)
    private = Private([(folder, root)])
    entries = [entry(rule) if isinstance(rule, str) else rule for rule in rules]
    loaded = load(entries, Place(root), NAMES)
    assert not loaded.problems
    return RuleBook(
        loaded.rules, Place(root), Places((root,), private, lambda: private.names_more), keep=lambda new: None
    )


def run(rules: RuleBook, line: str, cwd: str = "") -> Ruling:
    return rules.judge(ToolCall("c1", "Shell", "{}"), [Effect("run", line, cwd)])


def call(rules: RuleBook, tool: str, kind: str, target: str, arguments: str = "{}") -> Ruling:
    return rules.judge(ToolCall("c1", tool, arguments), [Effect(kind, target)])  # type: ignore[arg-type]
