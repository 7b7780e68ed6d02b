"""What each mode does with what rules say and with what nobody can prove: asked, unasked, or not at all (T22)."""

import json
from pathlib import Path

import pytest
from kimi_program import Program
from machine import FakeTool, House, ListProvider, call, calls, play, say

from kimi_agent.config import Config
from kimi_agent.core.ask import Allow, Answer, Question
from kimi_agent.core.effect import Effect
from kimi_agent.core.event import Mode
from kimi_agent.policy import Policies

RULES = """
[[permission.rules]]
decision = "deny"
pattern = "Shell(curl)"
[[permission.rules]]
decision = "ask"
pattern = "Shell(make install)"
[[permission.rules]]
decision = "allow"
pattern = "Shell(make test)"
"""

YES = {"default": "asked", "plan": "denied", "yolo": "runs", "afk": "runs"}
NEVER = dict.fromkeys(YES, "denied")
ALWAYS_ASKED = YES | {"yolo": "asked", "afk": "asked"}
UNASKED = YES | {"default": "runs"}

CASES = {
    "denied by a rule that somebody wrote": ("ls && sudo curl x", NEVER),
    "perhaps what it denies": ("$(cat x) --silent", ALWAYS_ASKED),
    "asked for by a rule that somebody wrote": ("make install", ALWAYS_ASKED),
    "allowed by a rule": ("make test", UNASKED),
    "proved": ("ls -la && cat a.txt", UNASKED),
    "not known": ("touch x", YES),
    "a pattern of sed": ("sed 's/a!*/b/'", YES),
    "an escape": (r"yes $'\e[31m'", YES),
    "names that the shell makes": ("cp *.json build/", YES),
    "output to what the run tells": ('echo x > "$OUT"', YES),
    "a heredoc": ("cat > a <<E\nhello $x *\nE", YES),
    "a file beside our own": ("tail {home}/sessions/s1/out.txt", YES),
    "a program of a plugin": ("python3 {home}/plugins/hello/greet.py <<< '{{}}'", YES),
    "output to our own settings": ("echo x > {home}/config.toml", NEVER),
    "output to git's own folder": ("echo x > .git/hooks/pre-commit", ALWAYS_ASKED),
}


class Runs(FakeTool):
    """Shell, without running anything. `also` are further effects."""

    def __init__(self, *also: Effect) -> None:
        self.ran: list[str] = []
        super().__init__("Shell", "run", self._note)
        self._also = also

    async def _note(self, params, ctx) -> str:
        self.ran.append(params.path)
        return "ok"

    def effects(self, params, ctx):
        return (*super().effects(params, ctx), *self._also)


async def outcome(folder: Path, mode: Mode, command: str, *also: Effect, answer: Answer = Allow()) -> str:  # noqa: B008
    """`asked`, `runs` without a question, or `denied` without one."""
    home = folder / "home"
    home.mkdir()
    (home / "rules.toml").write_text(RULES)
    tool = Runs(*also)
    arguments = json.dumps({"path": command.format(home=home)})
    house = House(folder, ListProvider([calls(call("Shell", arguments)), say("ok")]), [tool])
    house.agent.make_rules = Policies(Config(), home).open
    asked: list[Question] = []

    async def ask(question: Question) -> Answer:
        asked.append(question)
        return answer

    await play(house.open(ask=ask, mode=mode), "go")
    return "asked" if asked else "runs" if tool.ran else "denied"


@pytest.mark.parametrize("mode", YES)
@pytest.mark.parametrize("case", CASES)
async def test_modes_and_rules(tmp_path: Path, case: str, mode: Mode) -> None:
    command, expected = CASES[case]
    assert await outcome(tmp_path, mode, command) == expected[mode]


@pytest.mark.parametrize("mode", ["default", "yolo", "afk"])
@pytest.mark.parametrize("command", ["ls", "make test", "touch x"])
async def test_what_would_leave_the_box_runs_unasked_in_no_mode(tmp_path: Path, mode: Mode, command: str) -> None:
    """In afk nobody is there to answer, and the model is told so."""
    expected = "denied" if mode == "afk" else "asked"
    assert await outcome(tmp_path, mode, command, Effect("widen", "net:example.org")) == expected


@pytest.mark.parametrize("flag", ["--yolo", "--afk"])
def test_without_a_person_yolo_runs_what_nobody_can_prove(tmp_path: Path, flag: str) -> None:
    kimi = Program(tmp_path)
    lines = ["echo a | sed 's/a!*/b/' > out.txt", r"printf '%s' $'\e' >> out.txt", 'X=out.txt; echo $((1+1)) >> "$X"']
    steps = [[{"call": {"name": "Shell", "arguments": {"command": line}}}] for line in lines]
    done = kimi.run("-p", "go", flag, "--provider", kimi.scenario(*steps, [{"text": "Done"}]))
    assert (done.returncode, done.stdout) == (0, "Done\n"), done.stderr
    assert (kimi.work / "out.txt").read_text() == "b\n\x1b2\n"
