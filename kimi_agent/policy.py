"""What may run unasked in a folder, and what is kept from the model there: rules out of every file, made when first needed."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kimi_agent.config import Config
from kimi_agent.config.rules import FILE, MANAGED, PROJECT, read_rules
from kimi_agent.config.safety import RuleConfig
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ConfigError
from kimi_agent.core.message import ToolCall
from kimi_agent.core.private import Private
from kimi_agent.core.rules import Ruling
from kimi_agent.core.trust import EVERYTHING, Trust

if TYPE_CHECKING:
    from kimi_agent.rules.book import RuleBook

Scope = Literal["managed", "user", "session", "project"]
Found = tuple[Scope, Sequence[RuleConfig]]
"""A scope and its rules."""


class Policies:
    """Of all sessions of one agent. `local`: commands run on this machine, where it can be looked at what they are.

    `trusted` answers the trust in a folder: rules of a project that nobody has trusted are left out.
    """

    def __init__(
        self,
        config: Config,
        home: Path,
        extra_roots: Sequence[Path] = (),
        *,
        local: bool = True,
        trusted: Callable[[Path], Trust] = lambda folder: EVERYTHING,
    ) -> None:
        self._trusted = trusted
        self._config, self._home, self._extra, self._local = config, home, tuple(extra_roots), local
        self._private: dict[Path, Private] = {}
        self._rules: dict[Path, FolderRules] = {}

    @property
    def file(self) -> Path:
        """Where the user's own rules are written."""
        return self._home / FILE

    def private(self, folder: Path) -> Private:
        """Which files are kept from the model in sessions of a folder."""
        if folder not in self._private:
            root = str(folder)
            pairs = [(folder, root), (self._home, root), *((extra, str(extra)) for extra in self._extra)]
            self._private[folder] = Private(pairs)
        return self._private[folder]

    def is_private(self, folder: Path, path: str) -> bool:
        return self.private(folder)(path)

    def open(self, folder: Path) -> "FolderRules":
        """The rules as the files have them now, for a new session. Raises ConfigError for rules that cannot be followed."""
        found, problems = self.read(folder)
        rules = self._rules[folder] = FolderRules(lambda: self._book(folder, found), problems)
        if any(entries for _, entries in found):
            rules.problems = [*problems, *rules.load_problems()]
        return rules

    def proved(self, folder: Path) -> Callable[[str, Path], Sequence[str] | None]:
        """What tells how a command is run that is proved to read only, None for others."""

        def argv(line: str, cwd: Path) -> Sequence[str] | None:
            rules = self._rules.get(folder)
            return rules.argv(line, cwd) if rules is not None else None

        return argv

    def read(self, folder: Path) -> tuple[list[Found], list[str]]:
        """Every rule with its scope, the strongest scope first, and what is wrong with the files. Raises ConfigError."""
        managed, problems = read_rules(MANAGED)
        own, more = read_rules(self._home / FILE)
        problems += more
        project: Sequence[RuleConfig] = ()
        file = folder / PROJECT
        if os.path.realpath(file) != os.path.realpath(self._home / FILE):
            try:
                project, more = read_rules(file, self._trusted(folder).reader("rules"))
                problems += more
            except ConfigError as error:  # a project must not keep anybody from starting
                problems.append(f"the rules of the project are left out: {error}")
        user = (*self._config.permission.rules, *own)
        return [
            ("managed", managed),
            ("user", user),
            ("session", self._config.session_rules),
            ("project", project),
        ], problems

    def _book(self, folder: Path, found: Sequence[Found]) -> "tuple[RuleBook, list[str]]":
        from kimi_agent.agent.tool_names import NAMES
        from kimi_agent.rules.book import RuleBook
        from kimi_agent.rules.load import Entry, built_in, load
        from kimi_agent.rules.matching import Place
        from kimi_agent.rules.proof import Places

        root = os.path.realpath(folder)
        place, private = Place(root), self.private(folder)
        entries = [
            Entry(
                scope, rule.where or "a flag", rule.decision, rule.pattern, rule.reason, rule.cwd, rule.exe, rule.match,
                rule.not_match,
            )
            for scope, rules in found
            for rule in rules
        ]  # fmt: skip
        loaded = load(entries, place, NAMES)
        roots = (root, *(os.path.realpath(extra) for extra in self._extra))
        places = Places(roots, private, lambda: private.names_more)
        rules = [*built_in(os.path.realpath(self._home), root), *loaded.rules]
        return RuleBook(rules, place, places, proves=self._local, keep=self._keep), loaded.problems

    def _keep(self, entries: Sequence[Mapping[str, str]]) -> None:
        """Add rules to the user's own file."""
        from kimi_agent.config.edit import save

        save(self._home / FILE, {}, append={"permission.rules": list(entries)})


class FolderRules:
    """The rules of one session's folder. What they need is loaded with the first call that has an effect."""

    def __init__(self, make: "Callable[[], tuple[RuleBook, list[str]]]", problems: Sequence[str]) -> None:
        self.problems = problems
        self._make = make
        self._made: tuple[RuleBook, list[str]] | None = None

    @property
    def book(self) -> "RuleBook":
        if self._made is None:
            self._made = self._make()
        return self._made[0]

    def load_problems(self) -> list[str]:
        """What is wrong with single rules. Raises ConfigError."""
        return self._made[1] if self.book and self._made else []

    def judge(self, call: ToolCall, effects: Sequence[Effect]) -> Ruling:
        return self.book.judge(call, effects) if effects else Ruling()

    def remember(self, call: ToolCall, effects: Sequence[Effect]) -> None:
        self.book.remember(call, effects)

    def argv(self, line: str, cwd: Path) -> Sequence[str] | None:
        from kimi_agent.rules.proof import hardened

        return hardened(line) if self.book.only_reads(line, str(cwd)) else None
