"""Lines of .gitignore and its kind as rules, and what they say of a path."""

import re

from msgspec import Struct

from kimi_agent.core.globs import glob_regex


class Rule(Struct, frozen=True):
    regex: re.Pattern[str]
    folders_only: bool
    negated: bool


def parse_rules(text: str) -> list[Rule]:
    rules = []
    for raw in text.splitlines():
        line = re.sub(r"(?<!\\)\s+$", "", raw)
        if not line or line.startswith("#"):
            continue
        negated = line.startswith("!")
        line = line[1:] if negated else line
        bare = line.rstrip("/")
        if not bare:
            continue
        pattern = bare.lstrip("/") if "/" in bare else f"**/{bare}"
        try:
            rules.append(Rule(glob_regex(pattern), line.endswith("/"), negated))
        except ValueError:
            continue  # git passes over a line that it cannot read, too
    return rules


def verdict(rules: list[Rule], path: str, is_dir: bool) -> bool | None:
    """True: ignored. False: kept by a `!` line. None: nothing is said about it. The last line that matches decides."""
    for rule in reversed(rules):
        if (is_dir or not rule.folders_only) and rule.regex.fullmatch(path):
            return not rule.negated
    return None
