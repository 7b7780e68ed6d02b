"""Claims and what shows them: a ledger of the commands that ran and of the last change, folded from a session's events.

A command shows something only when it began after the last change had ended, and succeeded.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from kimi_agent.agent.check_names import ELSEWHERE, Kind
from kimi_agent.agent.checks import Part, parts
from kimi_agent.agent.loop import EndGate
from kimi_agent.core import event as ev
from kimi_agent.core.display import Terminal
from kimi_agent.core.sanitize import plain
from kimi_agent.core.task import Task, last_lines

if TYPE_CHECKING:
    from kimi_agent.agent.claims import Claim

MAX_RUNS = 200
"""Commands that are remembered; what a claim rests on is among the last ones."""
RESULT_LIMIT = 120
_SUMMARY = re.compile(
    r"\b\d+ (?:passed|failed|passing|failing|errors?|tests?|examples?|warnings?|problems?)\b|^ok\b|^OK\b|^FAIL|test result:|"
    r"All checks passed|Success: no issues|no issues found|Tests?:\s+\d|BUILD (?:SUCCESS|FAIL)|Finished\b|^PASS",
)
_TESTS_PASSED = re.compile(
    r"\b[1-9]\d* pass(?:ed|ing)?\b|^ok\s(?!.*no tests to run)|^OK\b|test result: ok\. [1-9]|^PASS\b|BUILD SUCCESS|"
    r"[#ℹ] pass [1-9]|\b[1-9]\d* examples?, 0 failures|100% tests passed",
    re.MULTILINE,
)
# What the output says when it went well; it counts where the exit code is hidden.
_GOOD: dict[Kind, re.Pattern[str]] = {
    "test": _TESTS_PASSED,
    "run": _TESTS_PASSED,
    "types": re.compile(r"Success: no issues|\b0 errors\b"),
    "lint": re.compile(
        r"All checks passed|no issues found|\b0 (?:errors|problems|issues)\b|no offenses|already formatted|left unchanged"
    ),
    "build": re.compile(
        r"BUILD SUCCESS|^\s*Finished\b|\bbuilt in\b|Build succeeded|[Cc]ompiled successfully", re.MULTILINE
    ),
}
_BAD = re.compile(
    r"\b[1-9]\d* (?:fail(?:ed|ing|ures?)?|errors?)\b|\bFAIL(?:ED|URE)?\b|Traceback|(?i:\berror(?:\[\w+\]| TS\d+)?:)|"
    r"[#ℹ] fail [1-9]"
)
# No exit code 0 makes that good: a script may have lost the one of its tests.
_TESTS_FAILED = re.compile(
    r"\b[1-9]\d* (?:tests? )?(?:failed|failing|failures?)\b|test result: FAILED|^FAIL(?:ED|URE)?\b|[#ℹ] fail [1-9]",
    re.MULTILINE,
)
_NO_TESTS = re.compile(
    r"\bno tests? (?:ran|found|to run|were found)|no test files|collected 0 items|Ran 0 tests|\b0 passing\b|running 0 tests",
    re.IGNORECASE,
)
_SELECTS = re.compile(
    r"::|\s(?:-k|--lf|--last-failed|-run|--testNamePattern)(?:[ =]|$)|"
    r"(?:test|jest|mocha|rspec|phpunit)\s(?:.*\s)?\S*(?:test|spec)\S*\.(?:py|m?[jt]sx?|rb|php|rs|go)\b"
)


class Run(Struct):
    """A command that ran. `began` and changes are counted in events; `exit_code` None: killed, or not known."""

    command: str
    parts: list[Part]
    began: int
    done: bool = False
    exit_code: int | None = None
    output: str = ""  # its last lines
    file: str = ""  # where a background command writes

    @property
    def result(self) -> str:
        """The line of the output that says how it went, else the last one."""
        lines = [" ".join(line.strip(" =-\t").split()) for line in plain(self.tail()).splitlines()]
        lines = [line for line in lines if line]
        summary = [line for line in lines if _SUMMARY.search(line)]
        return (summary or lines or [""])[-1][:RESULT_LIMIT]

    def tail(self) -> str:
        return self.output or (last_lines(Path(self.file)) if self.file else "")

    def exit_of(self, part: Part) -> int | None:
        """The exit code of one of its commands; None when another one hid it."""
        return self.exit_code if part.speaks or self.exit_code != 0 else None

    def passed(self, part: Part) -> bool:
        """Whether one of its commands succeeded: by the exit code, or by what only it can have printed when that is hidden."""
        if not self.done or self.exit_code != 0 or self.shows_failure(part):
            return False
        return part.speaks or (part.heard and self._printed_good(part) and not _BAD.search(self.tail()))

    def shows_failure(self, part: Part) -> bool:
        """Whether its tests failed by what was printed, whatever the exit code says."""
        return "test" in part.kinds and bool(_TESTS_FAILED.search(self.tail()))

    def tested_nothing(self, part: Part) -> bool:
        """Whether its tests were none."""
        return "test" in part.kinds and bool(_NO_TESTS.search(self.tail())) and not self._printed_good(part)

    def _printed_good(self, part: Part) -> bool:
        kinds = part.kinds[:1] if part.kinds[:1] == ("test",) else part.kinds
        return any(_GOOD[kind].search(self.tail()) for kind in kinds)


class Ledger:
    """Fed with every event of a session (`apply`), live or from the log.

    What is written into temporary folders, and into kimi's `own`, is no change of the project in `root`.
    """

    def __init__(self, root: str = "", own: Sequence[str] = ()) -> None:
        self._root = root.rstrip("/") + "/"
        self._elsewhere = (*ELSEWHERE, *own)
        self._clock = 0
        self._changed = 0  # when the last change ended; 0: nothing was changed yet
        self._runs: list[Run] = []
        self.called = False  # whether the turn has called any tool
        self._calls: dict[str, tuple[Run | None, bool]] = {}  # by path and id: its command, whether it writes

    def apply(self, event: ev.Event, path: str = "") -> None:
        self._clock += 1
        match event:
            case ev.TurnStarted() if not path:
                self.called = False
            case ev.ToolStarted(call, effects):
                self.called = True
                command = next((effect.target for effect in effects if effect.kind == "run"), "")
                writes = any(effect.kind == "write" and not self._is_elsewhere(effect.target) for effect in effects)
                if command or writes:
                    self._calls[f"{path}/{call.id}"] = (self._start(command) if command else None, writes)
            case ev.ToolFinished(call_id, display, is_error):
                run, writes = self._calls.get(f"{path}/{call_id}", (None, False))
                if writes and not is_error:
                    self._changed = self._clock
                if run is not None and isinstance(display, Terminal):
                    del self._calls[f"{path}/{call_id}"]
                    self._end(run, display.exit_code, display.output[-4000:])
                elif run is not None and is_error and not run.file:
                    self._end(run, None, "")
            case ev.TurnEnded() if not path:
                self._end_all()
            case ev.TaskChanged(task):
                self._task(task)
            case ev.FilesChanged(by="undo" | "redo"):
                self._changed = self._clock
            case ev.Nested(call_id, inner):
                self.apply(inner, f"{path}/{call_id}")
            case _:
                pass

    def _is_elsewhere(self, path: str) -> bool:
        return path.startswith(self._elsewhere) and not (self._root != "/" and path.startswith(self._root))

    def _parts(self, command: str) -> list[Part]:
        """Its parts, with paths in the project relative: that may lie in a temporary folder itself."""
        return parts(command.replace(self._root, "./") if self._root != "/" else command)

    def _start(self, command: str) -> Run:
        run = Run(command.strip(), self._parts(command), self._clock)
        self._mark_changes(run)
        self._runs = [*self._runs[-MAX_RUNS:], run]
        return run

    def _end(self, run: Run, exit_code: int | None, output: str) -> None:
        run.done, run.exit_code, run.output = True, exit_code, output
        self._mark_changes(run)

    def _end_all(self) -> None:
        """A turn has ended: of its own commands only those in the background still run; a crash ends the others unseen."""
        for key, (run, _) in self._calls.items():
            if run is not None and not run.done and not run.file and key.count("/") == 1:
                self._end(run, None, "")

    def _mark_changes(self, run: Run) -> None:
        """A command that changes files does so from its beginning to its end; a check in the same line runs after that change."""
        changing = [n for n, part in enumerate(run.parts) if part.changes]
        if changing:
            self._changed = self._clock
            if checks := [n for n, part in enumerate(run.parts) if part.kinds]:
                run.began = self._clock + (1 if max(checks) >= max(changing) else 0)
                run.parts = [part if n >= max(changing) else _without_kinds(part) for n, part in enumerate(run.parts)]

    def _task(self, task: Task) -> None:
        found = [run for key, (run, _) in self._calls.items() if key.endswith(f"/{task.call_id}")]
        run = found[-1] if found else None
        if task.kind != "command" or run is None:
            return
        run.file = task.output
        if task.state != "running":
            self._end(run, task.exit_code if task.state in ("done", "failed") else None, "")

    # --- questions to it ----------------------------------------------------------------------------------------------

    @property
    def empty(self) -> bool:
        """Whether nothing was run or changed in the whole session."""
        return not self._changed and not self._runs

    def fresh(self, run: Run) -> bool:
        """Whether it began after the last change."""
        return run.began > self._changed

    def missing(self, command: str) -> str:
        """Why a command does not show anything as things stand; empty when it does."""
        wanted = self._parts(command)
        if all(part.idle for part in wanted):
            return "it shows nothing by itself"
        for run in reversed(self._runs):
            if [part.text for part in run.parts] == [part.text for part in wanted]:
                hidden = not any(part.speaks for part in run.parts if not part.idle)
                return self._fault(run, [part for part in run.parts if part.kinds or (hidden and not part.idle)])
            part = next((part for part in run.parts if [part.text] == [each.text for each in wanted]), None)
            if part is not None:
                return self._fault(run, [part])
        return "it was not run in this session"

    def _fault(self, run: Run, what: Sequence[Part]) -> str:
        """Why a run shows nothing about these commands of it; empty when it shows that they succeed."""
        if not self.fresh(run):
            return "it ran before the last edit"
        if not run.done:
            return "it still runs"
        if run.exit_code is None:
            return "the last run of it did not come to its end"
        if run.exit_code != 0:
            return "the last run of it failed"
        if any(run.tested_nothing(part) for part in what):
            return "it ran no tests"
        if all(run.passed(part) for part in what):
            return ""
        spoke = all(part.speaks for part in what)
        return "its output shows a failure" if spoke else "its exit code was hidden by another command"

    def bind(self, claim: "Claim", *, every: bool = False) -> ev.Evidence:
        """What shows a claim, or why nothing does: the latest command that checks this counts.

        For `every` test a run of another program with failed tests since the last change counts before it.
        """
        from kimi_agent.agent.claims import WORDS  # its many patterns are compiled when the first turn ends

        words, noun = WORDS[claim], _NOUNS[claim]
        found = (self._other_failure() if every else None) or next(self._matching(claim), None)
        if found is None:
            since = " after the last edit" if self._changed else ""
            return ev.Evidence(words, verified=False, reason=f"no {noun} ran{since}")
        run, part = found
        wanted = _kinds(claim)
        reason = self._fault(run, [each for each in run.parts if wanted.intersection(each.kinds)])
        if claim == "test" and not reason and _SELECTS.search(part.text):
            words = f"selected {words}"
        return ev.Evidence(words, not reason, run.command, run.result, run.exit_of(part), reason)

    def _other_failure(self) -> tuple[Run, Part] | None:
        """The latest run since the last change whose tests failed, of a program that has not succeeded since."""
        passed: set[str] = set()
        for run, part in self._matching("test"):
            if not self.fresh(run):
                break
            if run.passed(part):
                passed.add(part.program)
            elif run.exit_code and part.program not in passed and _BAD.search(run.tail()):
                return run, part
        return None

    def _matching(self, claim: "Claim") -> Iterator[tuple[Run, Part]]:
        wanted = _kinds(claim)
        for run in reversed(self._runs):
            for part in reversed(run.parts):
                if wanted.intersection(part.kinds):
                    yield run, part


_NOUNS: "dict[Claim, str]" = {
    "test": "test", "build": "build", "lint": "linter", "types": "type checker", "run": "program", "check": "check",
}  # fmt: skip


def _kinds(claim: "Claim") -> set[Kind]:
    return {"test", "build", "lint", "types"} if claim == "check" else {claim}


def _without_kinds(part: Part) -> Part:
    return replace(part, kinds=())


def evidence(ledger: Ledger, text: str) -> list[ev.Evidence]:
    """Every claim of an answer with what shows it. Nothing for talk: a session in which nothing was run or changed.

    An answer after any call that says "I fixed it", or one that says "I ran the tests", is none.
    """
    from kimi_agent.agent.claims import claims, says_all, says_it_ran, says_it_worked

    works = says_it_ran(text) or (ledger.called and says_it_worked(text))
    if ledger.empty and not works:
        return []
    every = says_all(text)
    return [ledger.bind(claim, every=every and claim == "test") for claim in claims(text)]


def evidence_gate(ledger: Ledger, emit: Callable[[ev.Event], None], *, asks: bool) -> EndGate:
    """The gate of one turn that marks the claims of its answer. With `asks` it first demands the check, once."""
    asked = False

    async def gate(text: str) -> str | None:
        nonlocal asked
        found = evidence(ledger, text)
        missing = [each for each in found if not each.verified]
        if asks and missing and not asked:
            asked = True
            return _demand(missing)
        for each in found:
            emit(each)
        return None

    return gate


def _demand(missing: list[ev.Evidence]) -> str:
    lines = [f"- {each.claim}: {f'`{each.command}`: ' if each.command else ''}{each.reason}" for each in missing]
    return (
        "[Not shown by any command:\n" + "\n".join(lines) + "\nRun what shows it now, then answer again; or answer "
        "without that claim and say what you could not check.]"
    )
