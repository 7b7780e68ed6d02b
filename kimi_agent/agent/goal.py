"""`/goal`: work goes on, round by round, until a command that ran after the last edit shows that the goal is reached.

The model says so in the last line of its answer, because a tool would be in every request of every session. With `--check` it is
kimi that runs the person's command at the end of each round, and nothing else counts.
"""

import json
import re
from collections.abc import Callable, Container
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from kimi_agent.agent.calls import Caller, run_calls
from kimi_agent.agent.evidence import Ledger
from kimi_agent.agent.tasks import told_end
from kimi_agent.core import event as ev
from kimi_agent.core.display import Terminal
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ConfigError
from kimi_agent.core.goal import Goal, GoalState
from kimi_agent.core.message import Message, Text, ToolCall, user_message

ROUNDS = 25
CHECK_SECONDS = 600
CHECK_ID = "goal-check-"
TEXT_LIMIT = 4_000
USAGE = '/goal [--check "COMMAND"] [--turns N] WHAT IS TO HOLD'
STATES: dict[str, GoalState] = {"pause": "paused", "stop": "stopped"}

_COMMAND = re.compile(r"/goal(?:\s+(.*))?$", re.DOTALL)
_OPTION = re.compile(
    r"--([a-z]+)(?:=|\s+)(\"(?:[^\"\\]|\\.)*\"|“[^”]*”|'[^']*'|‘[^’]*’|[^\s\"'“‘]\S*)(?:\s+|$)", re.DOTALL
)
_DECLARED = re.compile(
    r"^[\s*_>#`-]*GOAL (REACHED|BLOCKED)[*_`]*\s*[:：]\s*(?:\*\*)?\s*(?:```\w*\n)?(.*?)[\s*_]*$", re.MULTILINE
)
_IN_BACKQUOTES = re.compile(r"(`+)(.+?)\1(?:$|\s*[(（,，.。—–-])")
_PLACEHOLDER = re.compile(r"^<[^<>]*>$")  # of the instructions, repeated
_CHOICE = re.compile(r"<choice>\s*([^<]*?)\s*</choice>", re.IGNORECASE)


class Declared(Struct, frozen=True):
    """What the model says at the end of a round: `about` is the command that shows it, or the reason."""

    what: Literal["reached", "blocked"]
    about: str


def parse_goal(arguments: str) -> Goal:
    """The goal that the arguments of `/goal` set. Raises ConfigError for options that it does not have."""
    rest, given = arguments.strip(), {"check": "", "turns": str(ROUNDS)}
    while rest.startswith("--"):
        match = _OPTION.match(rest)
        if match is None or match[1] not in given:
            raise _misread(rest.split()[0].partition("=")[0], given)
        given[match[1]], rest = _unquoted(match[2]).strip(), rest[match.end() :]
        if not given[match[1]]:
            raise ConfigError(f"--{match[1]} of /goal is empty", f"Usage: {USAGE}")
    if not (given["turns"].isascii() and given["turns"].isdigit() and 0 < int(given["turns"]) < 10_000):
        raise ConfigError("--turns of /goal takes a number from 1 on", f"Usage: {USAGE}")
    if not rest.strip() and given["check"]:
        rest = f"`{given['check']}` succeeds"
    if not rest.strip():
        raise ConfigError("/goal needs a text: what is to hold", f"Usage: {USAGE}")
    return Goal(rest.strip()[:TEXT_LIMIT], given["check"], limit=int(given["turns"]))


def _unquoted(value: str) -> str:
    """Without its quotes; between double ones, \\" and \\\\ are one character, other backslashes stay."""
    if value[:1] == '"':
        return re.sub(r'\\(["\\])', r"\1", value[1:-1])
    return value[1:-1] if value[:1] in ("'", "“", "‘") else value


def _misread(option: str, known: Container[str]) -> ConfigError:
    if option.removeprefix("--") in known:
        return ConfigError(f"{option} of /goal has no value, or its quote is not closed", f"Usage: {USAGE}")
    return ConfigError(f"/goal does not know {option}", f"Usage: {USAGE}")


def declared(text: str) -> Declared | None:
    """What the last line of that form in an answer says."""
    found = _DECLARED.findall(text)
    if not found:
        return None
    word, about = found[-1]
    reached = word == "REACHED"
    if reached:
        quoted = _IN_BACKQUOTES.match(about)
        about = quoted[2] if quoted else re.sub(r"(?<=\w)\.$", "", about.removeprefix("$ "))
    about = _PLACEHOLDER.sub("", about.strip().strip("`").strip())
    return Declared("reached" if reached else "blocked", about)


class GoalKeeper:
    """The goal of one session. Fed with its events (`apply`); it emits through the session's caller.

    `rounds` makes a goal of every prompt that is no command: so many more rounds, -1 for no limit, 0 for none.
    """

    def __init__(
        self, caller: Caller, ledger: Ledger, grant: Callable[[list[Effect]], None], *, rounds: int = 0
    ) -> None:
        self.goal: Goal | None = None
        self._stop: ev.Stop = "interrupted"
        self._caller, self._ledger, self._grant, self._rounds = caller, ledger, grant, rounds
        self._checks = 0
        self._forgotten = False  # a summary has taken the place of its instructions

    def apply(self, event: ev.Event) -> None:
        match event:
            case ev.GoalChanged(goal):
                self.goal = goal
            case ev.TurnStarted():
                self._stop = "interrupted"
            case ev.TurnEnded(stop):
                self._stop = stop
            case ev.Compacted(kind="summary"):
                self._forgotten = True
            case ev.MessageAdded(message):
                self._checks += any(call.id.startswith(CHECK_ID) for call in message.calls)
            case _:
                pass

    @property
    def active(self) -> bool:
        return self.goal is not None and self.goal.state == "active"

    # --- at the beginning and the end of a turn -----------------------------------------------------------------------

    def begin(self, text: str) -> str:
        """Take the prompt of a turn; answer the instructions that belong to it. Raises ConfigError for a wrong `/goal`."""
        self._forgotten = False
        match = _COMMAND.match(text.strip())
        if match is None:
            if self._rounds and text.strip() and not text.startswith("/"):
                limit = None if self._rounds < 0 else self._rounds + 1
                self._set(Goal(text.strip()[:TEXT_LIMIT], limit=limit, repeat=True))
            return ""
        arguments = (match[1] or "").strip()
        if arguments == "resume":
            self._resume()
        elif arguments in STATES or not arguments:
            raise ConfigError(f"{text.strip()} is no prompt", f"Usage: {USAGE}, or /goal resume")
        else:
            goal = parse_goal(arguments)
            if goal.check and "Shell" not in self._caller.tools:
                raise ConfigError("/goal --check needs the tool Shell, which this agent does not have")
            self._set(goal)
        assert self.goal is not None
        return _instructions(self.goal)

    def notes(self) -> list[str]:
        """The instructions once more, when a compaction in the middle of the work has taken them out of the history."""
        if not self._forgotten or not self.active or self.goal is None or self.goal.repeat:
            return []
        self._forgotten = False
        return [_instructions(self.goal)]

    def _resume(self) -> None:
        if self.goal is None or self.goal.state in ("reached", "stopped"):
            raise ConfigError("there is no goal to resume", f"Usage: {USAGE}")
        goal, spent = self.goal, self.goal.state == "spent"
        limit = goal.round + (goal.limit or ROUNDS) if spent else goal.limit
        self._set(replace_goal(goal, "active", limit=limit, round_=goal.round + 1 if spent else goal.round))

    def end_turn(self) -> None:
        """A goal is at work only while a turn is: what ends one otherwise pauses it."""
        if self.active:
            self._move("paused", f"the turn ended: {self._stop.replace('_', ' ')}")

    def change(self, state: GoalState) -> list[ev.Event]:
        """Pause or stop it. Raises ConfigError when there is none."""
        if self.goal is None or self.goal.state in ("reached", "stopped"):
            raise ConfigError("there is no goal", f"Usage: {USAGE}")
        if state == "paused" and not self.active:
            raise ConfigError(f"the goal is not at work: {self.goal.state}", "/goal resume goes on with it.")
        return [self._move(state, "by you")]

    def steps(self, per_round: int) -> int:
        """How many steps a turn may take that works on it."""
        if not self.active or self.goal is None:
            return per_round
        return per_round * (self.goal.limit - self.goal.round + 1 if self.goal.limit else 1_000)

    # --- at the end of a round ----------------------------------------------------------------------------------------

    async def gate(self, text: str) -> str | None:
        """An `EndGate`: None when the goal is reached, or is given up."""
        if not self.active or self.goal is None:
            return None
        goal, said = self.goal, declared(text)
        if said is not None and said.what == "blocked" and said.about:
            self._move("blocked", said.about)
            return None
        if (news := await self._tasks_end()) is not None:
            return news
        why = self._repeat(text) if goal.repeat else await self._run_check() if goal.check else self._declared(said)
        if not self.active or why is None:  # it was reached, or paused meanwhile
            return None
        if goal.limit is not None and goal.round >= goal.limit:
            self._move("spent", why)
            return None
        self._set(replace_goal(goal, "active", round_=goal.round + 1, told=why))
        return _again(goal, text) if goal.repeat else _go_on(goal, why)

    async def _tasks_end(self) -> str | None:
        """Wait for a background task that is to end by itself: the model may have ended its round because of it."""
        for task in self._caller.tasks.list():
            if task.state == "running" and task.limit is not None:
                ended = await self._caller.tasks.wait(task.id, min(task.limit, CHECK_SECONDS))
                return told_end(ended) if ended.state != "running" else None
        return None

    def _repeat(self, text: str) -> str | None:
        choices = _CHOICE.findall(text)
        if choices and choices[-1].strip().upper() == "STOP":
            self._move("reached", "the model chose to stop")
            return None
        return "the model did not choose STOP"

    def _declared(self, said: Declared | None) -> str | None:
        """Why the goal is not shown to be reached, by what the model named."""
        if said is None:
            return "no command that shows it was named"
        if not said.about:
            return "the line named no command" if said.what == "reached" else "the line named no reason"
        if why := self._ledger.missing(said.about):
            return f"{_quoted(said.about)}: {why}"
        self._move("reached", f"{_quoted(said.about)} succeeded after the last edit")
        return None

    async def _run_check(self) -> str | None:
        """Run the person's command as a call of Shell, in the session's folder. It needs no question: they wrote it."""
        assert self.goal is not None
        command, number = self.goal.check, self._checks + 1
        call = ToolCall(f"{CHECK_ID}{number}", "Shell", json.dumps({"command": command, "timeout": CHECK_SECONDS}))
        shown: list[Terminal] = []

        def emit(event: ev.Event) -> None:
            if isinstance(event, ev.ToolFinished) and isinstance(event.display, Terminal):
                shown.append(event.display)
            self._caller.emit(event)

        emit(ev.MessageAdded(user_message("[kimi runs the check of the goal now.]", origin="agent")))
        emit(ev.MessageAdded(Message("assistant", (call,), "model")))
        self._grant([Effect("run", command)])
        folder = self._caller.scratch / call.id  # of its own: where the model's commands ended does not matter
        results, rejected = await run_calls(replace(self._caller, scratch=folder, emit=emit), [call])
        exit_code = shown[-1].exit_code if shown else None
        if self.goal.state == "stopped":  # meanwhile
            return None
        if exit_code == 0:
            self._move("reached", f"{_quoted(command)} succeeded")
            return None
        if rejected or not any(item.begun for item, _ in results):
            content = results[0][1].content
            said = "".join(part.text for part in content if isinstance(part, Text))
            self._move("paused", f"the check did not run: {said[:300]}")
        ended = f"exit code {exit_code}" if exit_code is not None else "it did not come to its end"
        return f"{_quoted(command)}: {ended}"

    def _set(self, goal: Goal) -> None:
        self._caller.emit(ev.GoalChanged(goal))

    def _move(self, state: GoalState, told: str) -> ev.Event:
        assert self.goal is not None
        event = ev.GoalChanged(replace_goal(self.goal, state, told=told))
        self._caller.emit(event)
        return event


def _quoted(command: str) -> str:
    """On one line, as status lines show it."""
    return f"`{' '.join(command.split())[:200]}`"


def replace_goal(
    goal: Goal, state: GoalState, *, round_: int | None = None, limit: int | None = None, told: str = ""
) -> Goal:
    """The goal in another state; its text, its check and what is not given stay."""
    return Goal(goal.text, goal.check, state, round_ or goal.round, limit or goal.limit, goal.repeat, told)


def _instructions(goal: Goal) -> str:
    head = f"[The user has set a goal. Work until it is reached, without asking whether to go on.]\n{goal.text}\n"
    blocked = "If it cannot be reached without the user, end your answer with the line\nGOAL BLOCKED: <why>"
    if goal.check:
        how = "It is reached when this command succeeds, which kimi runs when you end your answer:"
        return f"{head}{how}\n{goal.check}\n{blocked}"
    return (
        f"{head}When it is reached, run a command that shows it, after the last edit; then end your answer with the line\n"
        f"GOAL REACHED: <that very command>\n{blocked}"
    )


def _go_on(goal: Goal, why: str) -> str:
    way = "\nWhen it is, run the command that shows it and end with the line GOAL REACHED: <that very command>"
    way = "" if goal.check else way
    return (
        f"[The goal is not shown to be reached: {why}. Round {goal.round + 1}{f' of {goal.limit}' if goal.limit else ''}. "
        f"Go on; a line GOAL BLOCKED: <why> gives up.]\n{goal.text[:1000]}{way}"
    )


def _again(goal: Goal, text: str) -> str:
    """The prompt once more, with the choice that ends the loop, as kimi-cli gives it."""
    asked = goal.round > 1 and not _CHOICE.search(text)
    hint = "\nYour last answer held no choice." if asked else ""
    return (
        f"{goal.text}\n\n[This prompt is repeated until you choose STOP. Choose it only when the task is fully done and checked; "
        f"when in doubt, CONTINUE. End your answer with <choice>CONTINUE</choice> or <choice>STOP</choice>.]{hint}"
    )
