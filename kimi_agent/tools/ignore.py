"""Which files .gitignore and .ignore leave out, by ripgrep's rules. Used only where ripgrep is missing."""

from pathlib import Path

from kimi_agent.core.ignore import Rule, parse_rules, verdict

_FILES = (".gitignore", ".ignore")
"""In order of precedence, weakest first: a verdict of any .ignore beats those of all .gitignore."""


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
