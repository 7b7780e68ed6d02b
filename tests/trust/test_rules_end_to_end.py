"""Rules in the program itself: headless, in line mode, for a screen reader; what is approved is what runs (T18, T19, T22)."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from kimi_program import Program
from machine import FakeTool, House, ListProvider, call, calls, instant, of, play, say
from tui_terminal import FullScreen

from kimi_agent.core import event as ev
from kimi_agent.core.ask import Allow, Answer, Permission, Question
from kimi_agent.tools.known_files import KnownFiles
from kimi_agent.tools.shell import Shell
from kimi_agent.tools.write_file import WriteFile


@pytest.fixture
def kimi(tmp_path: Path) -> Program:
    program = Program(tmp_path)
    program.home.mkdir()
    return program


def shell(command: str) -> dict[str, Any]:
    return {"call": {"name": "Shell", "arguments": {"command": command}}}


def rules(kimi: Program, text: str, name: str = "rules.toml") -> None:
    (kimi.home / name).write_text(text)


DENY = '[[permission.rules]]\ndecision = "deny"\npattern = "Bash(touch *)"\nreason = "nothing is touched here"\n'


def headless(kimi: Program, command: str, *flags: str) -> tuple[dict[str, Any], str]:
    """The result of a run whose model runs one command, and what it was told of it."""
    scenario = kimi.scenario([shell(command)], [{"text": "Done"}])
    done = kimi.run("-p", "go", "--provider", scenario, "--output-format", "stream-json", *flags)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    told = [record for record in records if record["type"] == "message_added" and record["message"]["role"] == "tool"]
    assert done.returncode == records[-1]["exit_code"], done.stderr
    return records[-1], json.dumps(told)


def test_a_denial_reaches_the_model_and_no_mode_lifts_it(kimi: Program) -> None:
    rules(kimi, DENY, "config.toml")
    for flag in ("--yolo", "--afk"):
        result, told = headless(kimi, "ls && bash -c 'sudo touch pwned'", flag)
        assert "nothing is touched here" in told
        assert "Not allowed: the rule Bash(touch *)" in told
        assert result["denied"][0]["tool"] == "Shell"
        assert result["exit_code"] == 0
    assert not (kimi.work / "pwned").exists()


def test_what_only_reads_runs_unasked_and_all_else_is_refused_without_a_person(kimi: Program) -> None:
    (kimi.work / "a.txt").write_text("content-of-a\n")
    subprocess.run(["git", "init", "-q"], cwd=kimi.work, check=True)
    result, told = headless(kimi, "ls -la | head -20; cat a.txt && grep -rn content . && git status")
    assert (result["exit_code"], "content-of-a" in told, "No commits yet" in told) == (0, True, True)
    result, told = headless(kimi, "touch pwned")
    assert result["exit_code"] == 3
    assert result["denied"][0]["targets"] == ["touch pwned"]
    assert not (kimi.work / "pwned").exists()


def test_an_ask_rule_asks_in_every_mode(kimi: Program) -> None:
    rules(kimi, '[[permission.rules]]\ndecision = "ask"\npattern = "Shell(touch)"\n')
    result, _ = headless(kimi, "touch pwned", "--yolo")
    assert result["exit_code"] == 3
    assert not (kimi.work / "pwned").exists()


def test_rules_of_flags_of_a_project_and_broken_ones(kimi: Program) -> None:
    result, _ = headless(kimi, "touch a && ls", "--allow", "Shell(touch a)")
    assert result["exit_code"] == 0
    assert (kimi.work / "a").exists()
    (kimi.work / ".kimi").mkdir()
    (kimi.work / ".kimi" / "rules.toml").write_text(
        DENY + '[[permission.rules]]\ndecision = "allow"\npattern = "Shell"\n'
    )
    result, told = headless(kimi, "touch b", "--yolo", "--trust")
    assert "nothing is touched here" in told
    result, told = headless(kimi, "touch b", "--yolo")
    assert "nothing is touched here" not in told, "nobody has trusted these rules"
    assert not (kimi.work / "b").exists()
    (kimi.work / ".kimi" / "rules.toml").unlink()
    os.mkfifo(kimi.work / ".kimi" / "rules.toml")
    result, _ = headless(kimi, "touch c", "--yolo")
    assert (kimi.work / "c").exists()
    rules(kimi, '[[permission.rules]]\ndecision = "deny"\npattern = "Shell(rm"\n')
    done = kimi.run("-p", "go", "--provider", kimi.scenario([{"text": "x"}]))
    assert done.returncode == 2
    assert "rules.toml:1: rule 'Shell(rm':" in done.stderr


def test_commands_that_are_proved_run_without_anybody_s_start_up_files(kimi: Program) -> None:
    """Functions, aliases, BASH_ENV, PATH and variables of git do not change what a proved command is."""
    planted = kimi.folder / "bin"
    planted.mkdir()
    for name in ("ls", "git", "cat", "bash", "env"):
        (planted / name).write_text("#!/bin/sh\necho PLANTED\n")
        (planted / name).chmod(0o755)
    (kimi.folder / "bash_env").write_text("ls() { echo PLANTED; }\n")
    subprocess.run(["git", "init", "-q"], cwd=kimi.work, check=True)
    kimi.env |= {
        "BASH_ENV": str(kimi.folder / "bash_env"), "BASH_FUNC_cat%%": "() { echo PLANTED; }", "GIT_EXTERNAL_DIFF": "touch PWNED",
        "PATH": f"{planted}:{os.environ['PATH']}", "GIT_DIR": "/nowhere", "POSIXLY_CORRECT": "1", "SHELLOPTS": "xtrace",
    }  # fmt: skip
    (kimi.work / "a.txt").write_text("content-of-a\n")
    result, told = headless(kimi, "ls -la && cat a.txt && git status")
    assert result["exit_code"] == 0
    assert "content-of-a" in told
    assert "PLANTED" not in told
    assert "No commits yet" in told


def test_kimiignore_holds_for_files_searches_commands_and_mentions(kimi: Program) -> None:
    (kimi.work / ".kimiignore").write_text("private/\n*.secret\n!kept.secret\n!.env\n")
    (kimi.work / "private").mkdir()
    for name in ("private/x.txt", "a.secret", ".env"):
        (kimi.work / name).write_text("canary-text\n")
    (kimi.work / "kept.secret").write_text("kept-text\n")
    for name in ("private/x.txt", "a.secret", ".env"):
        read = {"call": {"name": "ReadFile", "arguments": {"path": name}}}
        grep = {"call": {"name": "Grep", "arguments": {"pattern": "canary|kept", "output_mode": "content"}}}
        scenario = kimi.scenario(
            [read], [grep], [shell(f"cat {name}")], [shell(f"head -1 ./{name}")], [{"text": "Done"}]
        )
        done = kimi.run("-p", f"look at @{name}", "--provider", scenario, "--output-format", "stream-json")
        assert "canary-text" not in done.stdout, name
        assert "kept-text" in done.stdout
        assert done.returncode == 3


def test_the_commands_that_explain(kimi: Program) -> None:
    rules(
        kimi,
        DENY
        + '[[permission.rules]]\ndecision = "allow"\npattern = "Shell(make test *)"\nnot_match = ["make test -j"]\n',
    )
    done = kimi.run("rules", "list")
    assert "deny   Bash(touch *)  (user: ~/home/rules.toml:1)" in done.stdout
    assert "and is left out" in done.stderr
    done = kimi.run("rules", "check", "ls && sudo touch x")
    assert done.returncode == 3
    assert "runs    ls  (only reads)" in done.stdout
    assert "denied  sudo touch x  (rule Bash(touch *) (~/home/rules.toml:1))" in done.stdout
    done = kimi.run("rules", "check", "--json", "ls | wc -l")
    assert (done.returncode, json.loads(done.stdout)["verdict"]) == (0, "allow")
    assert kimi.run("rules", "check", "--tool", "Write", "a.txt").returncode == 3
    assert kimi.run("rules", "check", "--tool", "Read", "a.txt").returncode == 0


# --- the question -----------------------------------------------------------------------------------------------------


WORDS = {
    "--line": ("covered   ls  (only reads)", "a  yes, always: adds to your rules", "Allow? (1, 2, a, 3, 4)"),
    "--screen-reader": ("ls, covered: only reads.", "a: yes, always: adds to your rules", "Allow? (1, 2, a, 3, 4)"),
    "--ui=tui": ("covered", "always: adds to your rules", "No, and say what to do instead"),
}


@pytest.mark.parametrize("flag", WORDS)
def test_always_adds_the_rule_that_it_names(kimi: Program, flag: str) -> None:
    scenario = kimi.scenario([shell("ls && touch made")], [{"text": "All done"}])
    with FullScreen(kimi, flag, "--provider", scenario, "--start", "go") as screen:
        for words in (*WORDS[flag], "Shell(touch made)"):
            screen.wait_for(words)
        screen.answer("a" if flag == "--ui=tui" else "a\r")
        screen.wait_for("All done")
        screen.type("/exit\r")
        assert screen.wait_end() == 0
    text = (kimi.home / "rules.toml").read_text()
    assert 'pattern = "Shell(touch made)"' in text
    assert f'cwd = "{kimi.work}"' in text
    assert "exe = " in text
    assert (kimi.home / "rules.toml").stat().st_mode & 0o077 == 0
    (kimi.work / "made").unlink()
    result, _ = headless(kimi, "touch made")
    assert result["exit_code"] == 0
    assert (kimi.work / "made").exists()


ONCE = Allow()


class Asked:
    """A person who does something while being asked, and then says yes."""

    def __init__(self, meanwhile: Any = lambda: None, answer: Answer = ONCE) -> None:
        self.questions: list[Permission] = []
        self._meanwhile, self._answer = meanwhile, answer

    async def __call__(self, question: Question) -> Answer:
        assert isinstance(question, Permission)
        self.questions.append(question)
        self._meanwhile()
        return self._answer


async def test_a_link_that_is_swapped_during_the_question_is_refused(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "good").mkdir()
    (work / "evil").mkdir()
    (work / "link").symlink_to("good")

    def swap() -> None:
        (work / "link").unlink()
        (work / "link").symlink_to("evil")

    arguments = json.dumps({"path": "link/f", "content": "x"})
    house = House(tmp_path, ListProvider([calls(call("WriteFile", arguments)), say("ok")]), [WriteFile(KnownFiles())])
    asked = Asked(swap)
    events = await play(house.open(ask=asked), "go")
    texts = ["".join(p.text for p in m.message.result.content) for m in of(events, ev.MessageAdded) if m.message.result]
    assert "not what it was when the user allowed it" in texts[0]
    assert [q.effects[0].target for q in asked.questions] == [str(work / "good" / "f")]
    assert list(work.glob("*/f")) == []


@pytest.mark.parametrize(
    "command", ["printf '%s' \"a  b\t$X\\n\" > out  ", "touch 'a\u202eb'", "true\nfalse\r\n", "touch \u00e9 # \x1b[2K"]
)
async def test_what_is_shown_is_what_runs_byte_for_byte(tmp_path: Path, command: str) -> None:
    house = House(
        tmp_path, ListProvider([calls(call("Shell", json.dumps({"command": command}))), say("ok")]), [Shell()]
    )
    ran: list[list[str]] = []
    make = house.agent.make_workspace

    def recording(folder: Path, scratch: Path) -> Any:
        workspace = make(folder, scratch)
        run = workspace.run

        async def record(argv: Any, **more: Any) -> Any:
            ran.append(list(argv))
            return await run(argv, **more)

        workspace.run = record
        return workspace

    house.agent.make_workspace = recording
    asked = Asked()
    await play(house.open(ask=asked), "go")
    shown = asked.questions[0]
    assert shown.preview.command == command == shown.effects[0].target
    assert ran[0][2] == command
    assert shown.always == ()


async def test_a_mode_that_changes_during_the_question_counts(tmp_path: Path) -> None:
    house = House(tmp_path, ListProvider([calls(call("Go")), say("ok")]), [FakeTool("Go", "write", instant())])
    session = house.open(ask=lambda question: asked(question))
    asked = Asked(lambda: session.set_mode("plan"))
    events = await play(session, "go")
    texts = ["".join(p.text for p in m.message.result.content) for m in of(events, ev.MessageAdded) if m.message.result]
    assert "Plan mode is on" in texts[0]
