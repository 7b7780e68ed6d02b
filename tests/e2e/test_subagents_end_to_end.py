"""Three subagents at once on one repository, in the real program: no edit is lost, and a kill in the middle is survived."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from bugfix import call, program, well_formed
from fake_api import FakeAPI
from kimi_program import Program
from pty_screen import PtyScreen

KIMI = [sys.executable, "-m", "kimi_agent"]
GUARD = 0.35  # the panel ignores keys for its first 0.3 s, on purpose: no answer can come sooner
NAMES = ("alpha", "beta", "gamma")
SPENT = {"tokens": {"input": 100, "output": 10, "cached": 50}}
RESULTS = "All three are done."


def texts(body: Any) -> list[str]:
    """The user's texts of a request; a subagent's task is the last of its own."""
    return [str(message["content"]) for message in body["messages"] if message["role"] == "user"]


def name_in(body: Any) -> str:
    """Whose request it is; empty for the main agent."""
    found = [name for text in texts(body) for name in NAMES if f"You are {name}." in text]
    return found[-1] if found else ""


def results(body: Any) -> list[str]:
    return [str(message["content"]) for message in body["messages"] if message["role"] == "tool"]


def orders(**more: Any) -> list[dict[str, Any]]:
    return [
        call("Agent", description=f"work of {name}", prompt=f"You are {name}. Do your part.", **more) for name in NAMES
    ]


def succeeded(body: Any) -> list[str]:
    """The tools whose calls went well, in order; "" stands for one that did not."""
    names = {c["id"]: c["function"]["name"] for m in body["messages"] for c in m.get("tool_calls") or []}
    told = [(names[m["tool_call_id"]], str(m["content"])) for m in body["messages"] if m["role"] == "tool"]
    return ["" if "has changed since" in text else name for name, text in told]


def work(name: str, body: Any, command: str) -> list[dict[str, Any]]:
    """A subagent reads the shared file, changes its line of it, writes a file of its own and runs a command.

    When another one was quicker and the file is not as it was read, it reads and tries again, as a model does; each try
    has one exclamation mark more, so that no two of its questions look alike.
    """
    done = succeeded(body)
    new = f"{name}: done" + "!" * done.count("")
    if not done or not done[-1]:
        step = call("ReadFile", path="shared.txt")
    elif "StrReplaceFile" not in done:
        step = call("StrReplaceFile", path="shared.txt", edit={"old": f"{name}: todo", "new": new})
    elif "WriteFile" not in done:
        step = call("WriteFile", path=f"{name}.txt", content=f"{name}\n")
    elif "Shell" not in done:
        step = call("Shell", command=command)
    else:
        step = {"text": f"{name} has done its part."}
    return [{"think": "One thing after the other."}, step, SPENT]


def model(body: Any) -> list[dict[str, Any]]:
    if name := name_in(body):
        return work(name, body, f"sed -i 's/^{name}: done!*/{name}: checked/' shared.txt")
    return [*(orders() if not results(body) else [{"text": RESULTS}]), SPENT]


def repository(folder: Path, url: str) -> Program:
    kimi = program(folder, url)
    (kimi.work / "shared.txt").write_text("".join(f"{name}: todo\n\n" for name in NAMES))
    for command in (
        ["git", "add", "-A"],
        ["git", "-c", "user.name=t", "-c", "user.email=t@e.org", "commit", "-qm", "shared"],
    ):
        subprocess.run(command, cwd=kimi.work, check=True)
    return kimi


def assert_all_is_there(folder: Path) -> None:
    assert (folder / "shared.txt").read_text() == "".join(f"{name}: checked\n\n" for name in NAMES)
    assert [(folder / f"{name}.txt").read_text() for name in NAMES] == [f"{name}\n" for name in NAMES]


def test_in_print_mode_nothing_is_lost_and_all_is_counted(tmp_path: Path):
    with FakeAPI(model, strict=True) as api:
        kimi = repository(tmp_path, api.url)
        done = kimi.run("--yolo", "--output-format", "json", "--verbose", "-p", "Let three work on it.")
    assert done.returncode == 0, done.stderr
    assert_all_is_there(kimi.work)
    result = json.loads(done.stdout)
    assert (result["result"], result["steps"], result["turns"]) == (RESULTS, 2, 1)
    count = len(api.requests)
    assert count >= 2 + 3 * 5
    assert result["usage"] == {"input": 100 * count, "cached": 50 * count, "output": 10 * count}
    assert result["cost"] == pytest.approx(count * (50 * 1.0 + 50 * 0.1 + 10 * 10.0) / 1e6)
    assert well_formed([r.json for r in api.requests])
    for number in (1, 2, 3):
        assert f"[coder s{number}] StrReplaceFile shared.txt" in done.stderr
    assert "Agent work of alpha" in done.stderr


def test_stream_json_nests_the_events_of_subagents(tmp_path: Path):
    with FakeAPI(model, strict=True) as api:
        kimi = repository(tmp_path, api.url)
        done = kimi.run("--yolo", "--output-format", "stream-json", "-p", "Let three work on it.")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    started = [line for line in lines if line["type"] == "nested" and line["event"]["type"] == "subagent_started"]
    assert sorted(line["event"]["description"] for line in started) == [f"work of {name}" for name in NAMES]
    for line in started:
        own = [
            each["event"]["type"] for each in lines if each["type"] == "nested" and each["call_id"] == line["call_id"]
        ]
        assert (own[0], own[1], own[-1]) == ("subagent_started", "turn_started", "turn_ended")
    assert lines[-1]["type"] == "result"


@pytest.mark.parametrize("mode", ["tui", "line"])
def test_each_question_says_for_whom_it_is(tmp_path: Path, mode: str):
    asked: set[tuple[str, str, str]] = set()
    who = re.compile(r"(\w+) (?:wants to|asks for)[\s\S]*?for the subagent: work of (\w+)")
    waits = "Yes, this once" if mode == "tui" else "Allow? (1, 2, 3, 4)\n"
    with FakeAPI(model, strict=True) as api:
        kimi = repository(tmp_path, api.url)
        argv = [*KIMI, *(["--line"] if mode == "line" else []), "Let three work on it."]
        with PtyScreen(argv, env=kimi.environment(), cwd=kimi.work, columns=100, lines=30) as screen:

            def question() -> tuple[str, str, str] | None:
                """The one that waits: tool, for whom, which try. One that was answered is a screen not drawn anew yet."""
                shown = screen.visible + "\n"
                if waits not in shown or not (found := list(who.finditer(shown))):
                    return None
                tool, name = found[-1].groups()
                tries = re.search(rf"\+\s*{name}: done(!*)", shown[found[-1].start() :])
                if tool == "StrReplaceFile" and not tries:
                    return None  # half drawn
                new = (tool, name, tries[1] if tries else "")
                return new if new not in asked else None

            while RESULTS not in screen.visible:
                screen.wait_until(lambda: question() or RESULTS in screen.visible)
                if waiting := question():
                    time.sleep(GUARD)
                    asked.add(waiting)
                    screen.type("1" if mode == "tui" else "1\r")
            screen.wait_for(RESULTS)
            screen.type("/exit\r")
            assert screen.wait_end() == 0
        seen = {(tool, name) for tool, name, _ in asked} | set(who.findall(screen.text))  # some came between two looks
    assert seen == {(tool, name) for tool in ("StrReplaceFile", "WriteFile", "Shell") for name in NAMES}
    assert_all_is_there(kimi.work)
    assert well_formed([r.json for r in api.requests])


def test_killed_in_the_middle_each_is_taken_up_by_its_id(tmp_path: Path):
    """A command excludes all other effects: one hangs and two wait for it when kimi is killed. Then all three go on."""
    ids = {name: f"s{number}" for number, name in enumerate(NAMES, 1)}

    def reply(body: Any) -> list[dict[str, Any]]:
        if name := name_in(body):
            if any("Go on with it." in text for text in texts(body)):
                return [{"text": f"{name} has done its part."}]
            return work(name, body, f"echo {name} >> log.txt; echo {name} > begun; sleep 600")
        if "What became of it?" not in texts(body)[-1]:
            return orders()
        if len(results(body)) == 3:
            return [
                call("Agent", description=f"{name} again", prompt="Go on with it.", resume=ids[name]) for name in NAMES
            ]
        return [{"text": RESULTS}]

    with FakeAPI(reply, strict=True) as api:
        kimi = repository(tmp_path, api.url)
        os.mkfifo(kimi.work / "begun")
        argv = [*KIMI, "--yolo", "-p", "Let three work on it."]
        with PtyScreen(argv, env=kimi.environment(), cwd=kimi.work) as screen:
            first = (kimi.work / "begun").read_text()
            screen.child.send_signal(signal.SIGKILL)
            screen.child.wait(20)
        done = kimi.run("--yolo", "-C", "-p", "What became of it?")
    assert (done.returncode, done.stdout) == (0, RESULTS + "\n"), done.stderr
    assert well_formed([r.json for r in api.requests])
    resumed = [r.json for r in api.requests if any("Go on with it." in text for text in texts(r.json))]
    assert sorted(map(name_in, resumed)) == sorted(NAMES)
    for body in resumed:
        assert succeeded(body)[0] == "ReadFile", "what it did before is all there"
    killed = next(body for body in resumed if name_in(body) == first.strip())
    assert "interrupted" in results(killed)[-1].lower(), "and so is the call in which it was killed"
    assert (kimi.work / "log.txt").read_text() == first, "nothing ran twice"
    heard = results(api.requests[-1].json)
    assert [f"{name} has done its part." in heard[-3 + number] for number, name in enumerate(NAMES)] == [True] * 3


@pytest.mark.parametrize("mode", ["tui", "line"])
def test_in_the_background_it_stays_in_view_and_is_taken_up_again(tmp_path: Path, mode: str):
    def reply(body: Any) -> list[dict[str, Any]]:
        if name_in(body):
            if "Once more." in texts(body)[-1]:
                return [{"text": "Once more it is well."}]
            return [call("Shell", command="cat ../gate")] if not results(body) else [{"text": "All is well."}]
        match len(results(body)), texts(body)[-1]:
            case 0, _:
                return [call("Agent", description="keep watch", prompt="You are alpha.", run_in_background=True)]
            case 1, text if "has ended" in text:
                return [call("Agent", description="watch again", prompt="Once more.", resume="s1")]
            case 1, _:
                return [{"text": "It keeps watch."}]
        return [{"text": RESULTS}]

    with FakeAPI(reply, strict=True) as api:
        kimi = repository(tmp_path, api.url)
        os.mkfifo(kimi.folder / "gate")
        argv = [*KIMI, "--yolo", *(["--line"] if mode == "line" else []), "Let one keep watch."]
        with PtyScreen(argv, env=kimi.environment(), cwd=kimi.work, columns=100, lines=30) as screen:
            screen.wait_for("It keeps watch.")
            if mode == "tui":
                screen.wait_until(lambda: "● Agent  coder s1  keep watch  in the background" in screen.visible)
                screen.wait_until(lambda: "● Shell  cat ../gate" in screen.visible)
            else:
                screen.wait_until(lambda: "coder s1 · keep watch · 1 step: Shell cat ../gate" in screen.visible)
            (kimi.folder / "gate").write_text("open\n")
            screen.wait_for(RESULTS)
            if mode == "tui":
                assert "✓ Agent  coder s1  keep watch" in screen.text
                assert "✓ Agent  coder s1  watch again" in screen.text
                assert "↳ Once more it is well." in screen.text
            else:
                assert "coder s1 · keep watch" not in screen.visible
            screen.type("/exit\r")
            assert screen.wait_end() == 0
    again = next(r.json for r in api.requests if "Once more." in texts(r.json)[-1])
    assert "All is well." in str(again["messages"]), "it remembers"
