"""Line mode for a screen reader: words in the order in which they are understood, nothing drawn, nothing that moves."""

import io
import os
import re
import sys
from pathlib import Path
from threading import Event

import pytest
from fake_api import FakeAPI
from hypothesis import given
from hypothesis import strategies as st
from kimi_program import Program, Terminal
from pty_screen import PtyScreen
from tui_terminal import FullScreen

from kimi_agent.agent.transcript import Transcript
from kimi_agent.core import event as ev
from kimi_agent.core.ask import Item, Option, Permission
from kimi_agent.core.display import Diff, Plain, Todo, TodoList
from kimi_agent.core.display import Terminal as Output
from kimi_agent.core.effect import Effect
from kimi_agent.core.message import Message, Text, Think, ToolCall, tool_message, user_message
from kimi_agent.frontends.common.terminal import can_draw
from kimi_agent.frontends.line.draw import Drawer
from kimi_agent.frontends.line.plain import PlainScreen
from kimi_agent.frontends.line.questions import item_lines, permission_lines
from kimi_agent.frontends.line.spoken import Spoken
from kimi_agent.frontends.line.words import diff_words, markdown_words, spelled, undrawn

DRAWN = re.compile("[\u2500-\u259f\u2700-\u27bf\u2800-\u28ff\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Boxes, blocks, dingbats, braille, and control characters but line break and tab."""

ANSWER = """# The plan

Some **bold** text, `code`, a [link](https://a.example/x) and ✅ done.

| file | lines |
|---|---|
| `a.py` | 12 |

```python
x = "│"
```

1. first
   - inner
2. second

├── tree
└── leaf

> quoted
"""

SPOKEN_ANSWER = """Heading: The plan
Some bold text, code, a link (https://a.example/x) and check mark done.
Table, 1 row:
file: a.py; lines: 12.
End of table.
Code, python:
x = " "
End of code.
1. first
  - inner
2. second
    tree
    leaf
Quote:
quoted
End of quote."""

UNIFIED = "--- a/a.py\n+++ b/a.py\n@@ -11,3 +11,3 @@\n same\n-old ─ line\n+new line\n end\n"
DIFF = Diff("/w/a.py", UNIFIED, 1, 1)


def test_markdown_is_said() -> None:
    assert undrawn(markdown_words(ANSWER)) == SPOKEN_ANSWER


@given(st.text(alphabet="│█⠋✓ab \n`#|-*[](!"))
def test_whatever_is_written_nothing_drawn_is_left(text: str) -> None:
    assert not DRAWN.search(undrawn(markdown_words(text)))


def test_a_diff_says_what_happens_to_which_line() -> None:
    assert diff_words(DIFF) == [
        "Line 11: same",
        "Removed line 12: old ⟨U+2500⟩ line",
        "Added line 12: new line",
        "Line 13: end",
    ]
    assert diff_words(DIFF, context=False) == ["Removed line 12: old ⟨U+2500⟩ line", "Added line 12: new line"]


def test_a_permission_is_asked_in_the_order_of_speech_and_hides_nothing() -> None:
    call = ToolCall("c1", "Shell", '{"command": "x"}')
    effects = (Effect("run", "rm ─ a\u202e"), Effect("write", "/etc/passwd"))
    question = Permission(call, effects, Output("rm ─ a\u202e"), "rm", cwd="/w", agent="coder")
    assert [line for line, _ in permission_lines(question, spoken=True)] == [
        "Permission needed: Shell, for the subagent coder, in /w.",
        "write: /etc/passwd",
        "Command: rm ⟨U+2500⟩ a⟨U+202E⟩",
        "Answers:",
        "1: yes, once.",
        "2: yes, for this session: rm.",
        "3: no.",
        "4: no, and say what to do instead.",
    ]
    change = permission_lines(Permission(call, (), DIFF), spoken=True)
    assert ("Line 13: end", "") in change, "what is asked about is told with what stands around it"
    item = Item("Which?", (Option("red"), Option("blue", "as the sky")))
    assert [line for line, _ in item_lines(item, spoken=True)] == ["Question: Which?", "1: red", "2: blue, as the sky"]


@given(st.text())
def test_what_is_spelled_out_draws_nothing(text: str) -> None:
    assert not DRAWN.search(spelled(text))


def events() -> list[ev.Event]:
    """A turn with everything in it, half of it drawn by those who wrote it."""
    shell = ToolCall("c1", "Shell", '{"command": "make test"}')
    edit, todo, agent = (ToolCall(f"c{n}", name, "{}") for n, name in ((2, "Edit"), (3, "Todo"), (4, "Agent")))
    todos = TodoList((Todo("one ✓", "done"), Todo("two ▁", "in_progress"), Todo("three")))
    log = "".join(f"\x1b[3{n % 8}m⠋ {n} ████\x1b[0m\n" for n in range(200))
    return [
        ev.TurnStarted(1),
        ev.MessageAdded(user_message("make it ✨ work")),
        ev.StepStarted(1, "m"),
        ev.ThinkDelta("hm ─ first"),
        ev.TextDelta(ANSWER),
        ev.MessageAdded(Message("assistant", (Think("hm ─ first"), Text(ANSWER), shell, edit, todo, agent), "model")),
        ev.ToolStarted(shell, (Effect("run", "make test"),)),
        ev.ToolFinished("c1", Output("make test", log, 1), is_error=True, seconds=3.0),
        ev.MessageAdded(tool_message("c1", log, is_error=True)),
        ev.ToolStarted(edit),
        ev.ToolFinished("c2", DIFF),
        ev.ToolStarted(todo),
        ev.ToolFinished("c3", todos),
        ev.ToolStarted(agent),
        ev.Nested("c4", ev.SubagentStarted("s1", "coder", "does it", "do it")),
        ev.Nested("c4", ev.StepStarted(3)),
        ev.ToolFinished("c4", Plain("report │ ok"), seconds=75.0),
        ev.Notice("warning", "careful ⚠\ufe0f │"),
        ev.Evidence("tests pass", True, "make test", "12 passed ✓", 0),
        ev.Evidence("lint is clean", False, reason="no linter ran"),
        ev.Compacted(5000, 100),
        ev.TurnEnded("done", seconds=80.0),
    ]


def spoken(*, replay: bool = False) -> str:
    """What the real screen writes of these events."""
    out = io.StringIO()
    transcript = Transcript()
    screen = PlainScreen(None, os.open(os.devnull, os.O_RDONLY), out)  # type: ignore[arg-type]
    drawer = Drawer(screen, Spoken("/w"), transcript, "/w")
    for event in events():
        changed = transcript.apply(event)
        if not replay:
            drawer.draw(changed)
    if replay:
        drawer.draw(transcript.blocks, replay=True)
    return out.getvalue()


@pytest.mark.parametrize("replay", [False, True])
def test_of_a_whole_turn_nothing_is_drawn(replay: bool) -> None:
    text = spoken(replay=replay)
    assert not DRAWN.search(text)
    assert ("You: make it sparkles work" in text) == replay
    assert f"Kimi:\n{SPOKEN_ANSWER}" in text


def test_of_a_whole_turn_everything_is_said_in_order() -> None:
    said = [
        "Kimi thought: hm   first",
        "Kimi:",
        "Tool Shell: make test",
        "Failed, exit code 1, 3.0 seconds.",
        "Output, the last 6 of 200 lines; /show 1 tells all:",
        "End of output.",
        "Tool Edit",
        "Changed a.py (+1 -1)",
        "Removed line 12: old ⟨U+2500⟩ line",
        "Added line 12: new line",
        "Todo list, 1 of 3 done:",
        "Done: one ⟨U+2713⟩",
        "In progress: two ⟨U+2581⟩",
        "To do: three",
        "Tool Agent",
        "Finished, 1 minute 15 seconds. Report   ok",
        "The subagent used 3 steps. /show 4 lists its calls.",
        "Warning: careful",
        "Verified: tests pass. Command: make test, exit code 0, 12 passed check mark.",
        "Not verified: lint is clean. No linter ran.",
        "History summarised: from 5,000 to 100 tokens.",
    ]
    text, at = spoken(), 0
    for words in said:
        assert words in text[at:], f"{words!r} is not said after {text[:at][-80:]!r} but in\n{text}"
        at = text.index(words, at) + len(words)


# --- the program ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "config"), [(("--screen-reader",), ""), ((), "screen_reader = true\n")], ids=["flag", "config"]
)
def test_the_program_speaks_on_any_terminal(tmp_path: Path, flags: tuple[str, ...], config: str) -> None:
    kimi = Program(tmp_path)
    call = {"name": "Shell", "arguments": {"command": "printf 'one\\n│ two\\n'"}}
    with FakeAPI([[{"call": call}], [{"text": ANSWER}]]) as api:
        kimi.use(api.url)
        kimi.write_config(config + kimi.config.read_text())
        with FullScreen(kimi, *flags) as screen:
            screen.wait_for("You:")
            screen.type("go\n")
            screen.wait_for("4: no, and say what to do instead.")
            screen.wait_for("Allow?")
            screen.answer("1\n")
            screen.wait_for("End of quote.")
            screen.wait_for("Done after")
            screen.type("/show\n")
            screen.wait_for("one\n  two\nEnd of code.")
            screen.type("/sta\t\n")
            screen.wait_for("Completions: /status")
            screen.type("!\n")
            screen.wait_for("Shell mode is on")
            screen.type("!\n")
            screen.wait_for("Shell mode is off")
            screen.type("/exit\n")
            assert screen.wait_end() == 0
        shown = screen.raw.decode().replace("\r\n", "\n").replace("/sta\t", "")
        assert shown.count("\a") == 1, "the bell calls for the question"
        assert not DRAWN.search(shown.replace("\a", ""))


def test_a_paste_of_lines_is_one_prompt_and_what_was_being_typed_comes_back_after_a_question(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    call = {"name": "Shell", "arguments": {"command": "touch done"}}
    typed = Event()

    def reply(request: object) -> list[dict[str, object]]:
        typed.wait(30)
        return [{"call": call}] if len(api.requests) == 1 else [{"text": "It is done."}]

    with FakeAPI(reply) as api:
        kimi.use(api.url)
        with FullScreen(kimi, "--screen-reader") as screen:
            screen.wait_for("You:")
            screen.type("first\nsecond\n")
            screen.wait_for("Working.")
            screen.type("1")  # half a line, typed before the question is there
            screen.wait_for("Working.\n1")
            typed.set()
            screen.wait_for("Allow?")
            screen.answer("\n")
            screen.wait_for("Type the number of an answer")
            screen.type("y\n")
            screen.wait_for("It is done.")
            screen.wait_until(lambda: screen.text.endswith("\nYou: 1"))
            screen.type(" more\n")
            screen.wait_until(lambda: len(api.requests) == 3)
        assert api.requests[0].json["messages"][-1]["content"].endswith("first\nsecond")
        assert api.requests[2].json["messages"][-1]["content"] == "1 more"


@pytest.mark.parametrize("flag", ["--line", "--screen-reader"])
def test_what_is_typed_as_soon_as_a_question_is_there_is_no_answer(tmp_path: Path, flag: str) -> None:
    kimi = Program(tmp_path)
    call = {"name": "Shell", "arguments": {"command": "touch ran"}}
    with FakeAPI([[{"call": call}], [{"text": "It is done."}], [{"text": "And that."}]]) as api:
        kimi.use(api.url)
        with FullScreen(kimi, flag) as screen:
            screen.wait_for("You:" if flag != "--line" else "\n>")
            screen.type("go\r")
            screen.wait_for("Allow?")
            screen.type("1")  # in the very moment
            screen.answer("\r")  # what was typed too early is not there any more
            screen.wait_for("Type the number of an answer")
            assert not (kimi.work / "ran").exists()
            screen.answer("1\r")
            screen.wait_for("It is done.")
            screen.wait_until(lambda: screen.text.endswith(("\nYou: 1", "\n> 1")))  # but meant for the prompt
            assert (kimi.work / "ran").exists()


def test_what_a_program_asks_is_told_once_and_words_do_what_keys_do_elsewhere(tmp_path: Path) -> None:
    kimi, editor = Program(tmp_path), tmp_path / "editor.py"
    editor.write_text("import sys; f = open(sys.argv[1], 'a'); f.write(' in the editor'); f.close()\n")
    with FakeAPI(
        [[{"text": "First."}], [{"text": "Second."}], [{"delay": 2}, {"text": "Third."}], [{"text": "Fourth."}]]
    ) as api:
        kimi.use(api.url)
        with FullScreen(kimi, "--screen-reader", VISUAL=f"{sys.executable} {editor}") as screen:
            screen.wait_for("You:")
            screen.type("!\n")
            screen.wait_for(" $")
            screen.type("read -p 'Overwrite? ' a; echo got $a\n")
            screen.wait_for("\nOverwrite?")
            screen.type("y\n")
            screen.wait_for("\nOverwrite? y\ngot y\n")
            assert screen.text.count("\nOverwrite?") == 1
            screen.wait_until(lambda: screen.text.endswith(" $"))
            screen.type("read -sp 'Password: ' a; echo [$a]\n")
            screen.wait_until(lambda: screen.text.endswith("\nPassword:") and not screen.echoes)
            screen.type("sesame\n")
            screen.wait_for("\nPassword:\n[sesame]\n")
            screen.wait_until(lambda: screen.text.endswith(" $"))
            screen.type("sh -c 'echo be''gun; exec sleep 1000'\n")
            screen.wait_for("begun")
            screen.type("\x1a")
            screen.wait_for("(suspended: fg goes on)")
            screen.wait_until(lambda: screen.text.endswith(" $"))
            screen.type("echo a''gain\n")  # the last command, which is given to the model
            screen.wait_for("\nagain")
            screen.wait_until(lambda: screen.text.endswith(" $"))
            screen.type("!\n")
            screen.wait_for("Shell mode is off")
            screen.type("/give what is that?\n")
            screen.wait_for("First.")
            screen.type("/edit written\n")
            screen.wait_for("Second.")
            screen.wait_until(lambda: screen.text.endswith("\nYou:"))
            screen.type("go\n")
            screen.wait_for("go\nWorking.")
            screen.type("/steer be quick\n")
            screen.wait_for("Fourth.")
            screen.type("/help\n")
            screen.wait_for("key: /steer TEXT")
            assert "\x1b" not in screen.raw.decode()
        asked = [str(request.json["messages"][-1]["content"]) for request in api.requests]
    assert "again" in asked[0]
    assert asked[0].endswith("what is that?")
    assert asked[1] == "written in the editor"
    assert asked[3] == "be quick"


@pytest.mark.parametrize(
    ("env", "draws"),
    [
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "vt100"}, True),
        ({"TERM": "linux"}, True),
        ({"TERM": "a-terminal-of-tomorrow"}, True),
        ({"TERM": "dumb"}, False),
        ({"TERM": "unknown"}, False),
        ({"TERM": ""}, False),
        ({}, False),
        ({"TERM": "emacs"}, False),
        ({"TERM": "xterm", "CI": "true"}, False),
        ({"TERM": "xterm", "CI": "1"}, False),
        ({"TERM": "xterm", "CI": "false"}, True),
    ],
)
def test_the_full_screen_is_for_terminals_that_can_show_it(env: dict[str, str], draws: bool) -> None:
    assert can_draw(env) == draws


def test_in_a_build_it_writes_words(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    terminal = Terminal(kimi, "hello", "--provider", kimi.scenario([{"text": "Good **morning**"}]), CI="true")
    terminal.expect("Good morning")
    terminal.type("/exit\n")
    assert terminal.wait() == 0
    assert "\x1b" not in terminal.seen


@pytest.mark.parametrize("flags", [(), ("--screen-reader",)], ids=["drawn", "spoken"])
@pytest.mark.parametrize("size", [(20, 5), (300, 20)])
def test_windows_of_any_size(tmp_path: Path, flags: tuple[str, ...], size: tuple[int, int]) -> None:
    kimi = Program(tmp_path)
    with FullScreen(
        kimi, "--line", *flags, "--provider", kimi.scenario([{"text": "雪" * 30 + "\n\nthe end"}])
    ) as screen:
        screen.wait_for("You:" if flags else "\n>")
        screen.resize(*size)
        screen.type("go")
        screen.wait_for("go")
        screen.type("\r")
        screen.wait_for("the end")
        assert screen.raw.decode().count("雪" * 9) >= 1
        screen.type("/exit\r" if flags else "\x04")
        assert screen.wait_end() == 0


def test_the_terminal_is_given_back_as_it_was(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    command = f"stty -g; {kimi_command(kimi, '--line')}; stty -g; echo ENDED"
    with PtyScreen(["bash", "-c", command], env=kimi.environment(), cwd=kimi.work) as screen:
        screen.wait_for("\n>")
        screen.type("\x18")
        screen.wait_for("$")
        screen.type("\x18\x04")
        screen.wait_for("ENDED")
        settings = re.findall(r"^(?:[0-9a-f]+:){10,}[0-9a-f]+", screen.text, re.MULTILINE)
        assert len(set(settings)) == 1
        assert len(settings) == 2


def kimi_command(kimi: Program, *arguments: str) -> str:
    import shlex

    return shlex.join([sys.executable, "-m", "kimi_agent", "--provider", kimi.scenario([{"text": "x"}]), *arguments])
