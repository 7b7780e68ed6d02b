"""Which files .gitignore and .ignore leave out, by ripgrep's rules. Used only where ripgrep is missing."""

import re
from dataclasses import dataclass
from pathlib import Path

from kimi_agent.tools.globs import glob_regex

_FILES = (".gitignore", ".ignore")
"""In order of precedence, weakest first: a verdict of any .ignore beats those of all .gitignore."""


@dataclass(frozen=True, slots=True)
class Rule:
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


class IgnoreStack:
    """The rules that hold in one folder: its own, those of its parents, and at last `weakest` (relative to `weakest_base`)."""

    def __init__(
        self, levels: list[tuple[Path, dict[str, list[Rule]]]], weakest: list[Rule], weakest_base: Path
    ) -> None:
        self._levels = levels
        self._weakest = weakest
        self._weakest_base = weakest_base

    @classmethod
    def above(cls, folder: Path, weakest: list[Rule], honour_files: bool) -> "IgnoreStack":
        """The rules of the folders above `folder`, up to the repository's top when there is one."""
        levels = []
        if honour_files and not (folder / ".git").exists():
            for parent in folder.parents:
                levels.append((parent, _rules_in(parent)))
                if (parent / ".git").exists():
                    break
        return cls(levels[::-1], weakest, folder)

    def inside(self, folder: Path) -> "IgnoreStack":
        return IgnoreStack([*self._levels, (folder, _rules_in(folder))], self._weakest, self._weakest_base)

    def ignores(self, path: Path, is_dir: bool) -> bool:
        for name in reversed(_FILES):
            for base, rules in reversed(self._levels):
                said = verdict(rules.get(name, []), path.relative_to(base).as_posix(), is_dir)
                if said is not None:
                    return said
        return verdict(self._weakest, path.relative_to(self._weakest_base).as_posix(), is_dir) is True


def _rules_in(folder: Path) -> dict[str, list[Rule]]:
    found = {}
    for name in _FILES:
        try:
            found[name] = parse_rules((folder / name).read_text("utf-8", "replace"))
        except OSError:
            continue
    return found
