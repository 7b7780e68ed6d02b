"""Line mode in a real pseudo-terminal."""

import base64
import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fake_api import FakeAPI
from kimi_program import Program
from pty_screen import PtyScreen
from tui_terminal import FullScreen

CHILD = str(Path(__file__).parent.parent / "line_child.py")

YOU = "\nYou:"
"""Where words are typed on a screen that speaks."""


@contextmanager
def line_mode(home: Path, *scripts: str, prompt: str = "\n>", **env: str) -> Iterator[PtyScreen]:
    with PtyScreen([sys.executable, CHILD, str(home), *scripts], env=env, cwd=home) as screen:
        screen.wait_for("/help lists")
        screen.wait_for(prompt)
        yield screen


def test_a_turn_and_the_way_out(tmp_path: Path) -> None:
    with line_mode(tmp_path, "says") as screen:
        screen.type("what is it?\r")
        screen.wait_for("The answer is 42.")
        assert "> what is it?" in screen.text
        screen.type("\x04")
        screen.wait_for("Go on with: kimi -r session-1")
        assert screen.wait_end() == 0
        assert b"\x1b[6n" not in screen.raw
        assert b"\x1b[?1049h" not in screen.raw, "no alternate screen: the scrollback is the terminal's"


def test_a_command_is_written_once_and_in_the_place_of_the_prompt(tmp_path: Path) -> None:
    with line_mode(tmp_path, "says") as screen:
        screen.type("/goal --turns 1 it holds\r")
        screen.wait_for("The answer is 42.")
        assert screen.text.count("> /goal --turns 1 it holds") == 1
        screen.type("half")
        screen.wait_for("> half")
        screen.type("\x15/exit\r")
        screen.wait_end()
        assert "\n> /exit\nSession session-1 is kept." in screen.text


@pytest.mark.parametrize("newline", ["\\\r", "\n", "\x1b\r"], ids=["backslash", "ctrl-j", "alt-enter"])
def test_several_lines(tmp_path: Path, newline: str) -> None:
    with line_mode(tmp_path, "says") as screen:
        screen.type(f"one{newline}two\r")
        screen.wait_for("42.")
        assert "> one\n  two" in screen.text


def test_markdown_thoughts_and_nothing_of_the_models_control_sequences(tmp_path: Path) -> None:
    with line_mode(tmp_path, "thinks") as screen:
        screen.type("go\r")
        screen.wait_for("y = 2")
        assert "thought: first the plan" in screen.text
        assert screen.text.index("thought:") < screen.text.index("Some bold text and  more.")
        assert "**" not in screen.text
        assert b"owned" not in screen.raw


def test_nothing_of_an_answer_is_left_out(tmp_path: Path) -> None:
    word = "x" * 90
    program = Program(tmp_path)
    answer = f"Use <Button> or Vec<T>.\n\n<p>whole</p>\n\n| a |\n|---|\n| {word} |\n\n![shot](http://a/b.png) end"
    argv = [sys.executable, "-m", "kimi_agent", "--line", "--provider", program.scenario([{"text": answer}]), "go"]
    with PtyScreen(argv, env=program.environment(), cwd=program.work) as screen:
        screen.wait_for("(http://a/b.png) end")
        assert "Use <Button> or Vec<T>.\n\n<p>whole</p>" in screen.text
        assert screen.text.count("x") >= len(word)
        screen.type("\x1b[31mred")
        screen.wait_for("> red")


def test_a_picture_is_drawn_and_a_broken_one_told(tmp_path: Path) -> None:
    with line_mode(tmp_path, "draws", COLORTERM="truecolor") as screen:
        screen.type("go\r")
        screen.wait_for("that is it")
        assert "drawn, 2 pictures\n  ▀▀▀▀\n  ▀▀▀▀\n  [picture b.png]" in screen.text
        assert b"\x1b[38;2;255;0;0;48;2;255;0;0m" in screen.raw


def test_a_diff_and_a_failure_are_shown(tmp_path: Path) -> None:
    with line_mode(tmp_path, "edits", "fails") as screen:
        screen.type("go\r")
        screen.wait_for("edited")
        assert "* Shell make test" in screen.text
        assert "1 - old line" in screen.text
        assert "1 + new line" in screen.text
        screen.type("again\r")
        screen.wait_for("it failed")
        assert "failed: exit 2\n  | one\n  | two" in screen.text


@pytest.mark.parametrize(
    ("typed", "answered"),
    [
        ("1\r", "answered Allow Allow(scope='once')"),
        ("y\r", "answered Allow Allow(scope='once')"),
        ("2\r", "answered Allow Allow(scope='session')"),
        ("n\r", "answered Deny Deny(feedback='')"),
        ("4 use ninja\r", "answered Deny Deny(feedback='use ninja')"),
    ],
)
def test_permissions(tmp_path: Path, typed: str, answered: str) -> None:
    with line_mode(tmp_path, "asks") as screen:
        screen.type("go\r")
        screen.wait_for("Allow?")
        assert "rm -rf build⟨U+202E⟩\n    make test" in screen.text
        screen.answer(typed)
        screen.wait_for(answered)


def test_a_sentence_is_no_permission_and_feedback_is_asked_for(tmp_path: Path) -> None:
    with line_mode(tmp_path, "asks") as screen:
        screen.type("go\r")
        screen.wait_for("Allow?")
        screen.answer("yes do it, then stop\r")
        screen.wait_for("Type the number of an answer")
        screen.answer("4\r")
        screen.wait_for("What should it do instead?")
        screen.answer("use ninja\r")
        screen.wait_for("answered Deny Deny(feedback='use ninja')")


def test_what_was_being_typed_comes_back_after_a_question(tmp_path: Path) -> None:
    with line_mode(tmp_path, "asks_when_steered", "says") as screen:
        screen.type("go\r")
        screen.wait_for("at work")
        screen.type("ask now\x13do step")
        screen.wait_for("Allow?")
        screen.answer("n")
        while not screen.sees("answered Deny(feedback='')", within=0.1):
            screen.type("\r")
        screen.wait_for("> do step")


def test_choices(tmp_path: Path) -> None:
    with line_mode(tmp_path, "chooses") as screen:
        screen.type("go\r")
        screen.wait_for("2  blue  - as the sky")
        screen.answer("2\r")
        screen.wait_for("Why?")
        screen.answer("no reason\r")
        screen.wait_for("chosen Chosen(values=(('blue',), ('no reason',)))")


@pytest.mark.parametrize("key", ["\x1b", "\x03"], ids=["escape", "ctrl-c"])
def test_an_interrupt_is_quick_and_the_prompt_stays(tmp_path: Path, key: str) -> None:
    with line_mode(tmp_path, "hangs", "says") as screen:
        screen.type("go\r")
        screen.wait_for("half an ans")
        screen.type(key)
        screen.wait_for("Interrupted.")
        screen.type("next\r")
        screen.wait_for("The answer is 42.")


def test_an_interrupt_withdraws_a_question(tmp_path: Path) -> None:
    with line_mode(tmp_path, "asks", "says") as screen:
        screen.type("go\r")
        screen.wait_for("Allow?")
        screen.answer("\x1b")
        screen.wait_for("Interrupted.")
        screen.type("1\r")
        screen.wait_for("The answer is 42.")


def test_steering_and_queueing_while_it_works(tmp_path: Path) -> None:
    with line_mode(tmp_path, "steered", "says") as screen:
        screen.type("go\r")
        screen.wait_for("at work")
        screen.type("be quick\x13")
        screen.wait_for("steering: be quick")
        screen.type("and then this\r")
        screen.wait_for("steered by be quick")
        screen.wait_for("> and then this")
        screen.wait_for("The answer is 42.")


def test_what_waits_comes_back_after_an_interrupt(tmp_path: Path) -> None:
    with line_mode(tmp_path, "hangs", "says") as screen:
        screen.type("go\r")
        screen.wait_for("half an ans")
        screen.type("later\r")
        screen.type("\x03")
        screen.wait_for("Interrupted.")
        screen.wait_for("> later")
        screen.type("!\r")
        screen.wait_for("The answer is 42.")
        assert "> later!" in screen.text


def test_commands_complete_and_run(tmp_path: Path) -> None:
    with line_mode(tmp_path, "says") as screen:
        screen.type("/sta")
        screen.wait_for("model, folder, mode")
        screen.type("\t\r\r")
        screen.wait_for("session session-1")
        screen.type("/sta\r")
        screen.wait_for("There is no command /sta")
        screen.type("\x03/plan\r")
        screen.wait_for("Plan mode is on")
        screen.wait_for("plan | fake |")


def test_files_complete(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "needle.py").write_text("")
    with line_mode(tmp_path, "says") as screen:
        screen.type("look at @need")
        screen.wait_for("deep/needle.py")
        screen.type("\t\r\r")
        screen.wait_for("> look at @deep/needle.py")


@pytest.mark.parametrize("flags", [(), ("--line",)], ids=["full", "line"])
def test_files_are_offered_while_others_are_still_listed(tmp_path: Path, flags: tuple[str, ...]) -> None:
    kimi, git = Program(tmp_path), tmp_path / "bin" / "git"
    git.parent.mkdir()
    first = f"printf 'a/needle.py\\0'; read go < {tmp_path}/go; printf 'needle\\0'"
    git.write_text(f'#!/bin/sh\ncase "$*" in *--cached*) {first};; esac\n')
    git.chmod(0o755)
    os.mkfifo(tmp_path / "go")
    (kimi.work / "a").mkdir()
    (kimi.work / "a" / "needle.py").touch()
    (kimi.work / "needle").touch()
    path = f"{git.parent}:{os.environ['PATH']}"
    with FullScreen(kimi, "--provider", kimi.scenario([{"text": "ok"}]), *flags, PATH=path) as screen:
        screen.wait_for("/help lists" if flags else "Ctrl-C twice")
        screen.type("@need")
        screen.expect("a/needle.py")
        (tmp_path / "go").write_text("on\n")
        screen.until(lambda: re.search(r"(?m)^\W*needle\b", screen.visible))


def test_shell_mode_keeps_its_folder(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    with line_mode(tmp_path, "says") as screen:
        screen.type("\x18")
        screen.wait_for("$")
        screen.type("cd sub\r")
        screen.wait_for("/sub $")
        screen.type('printf "in %s\\n" "${PWD##*/}"; exit 3\r')
        screen.wait_for("in sub")
        screen.wait_for("(exit 3)")
        screen.type("\x18")
        screen.type("hello\r")
        screen.wait_for("The answer is 42.")


def test_a_shell_command_can_be_stopped(tmp_path: Path) -> None:
    with line_mode(tmp_path, "says") as screen:
        screen.type("\x18")
        screen.wait_for("$")
        # one process says that it runs: an interrupt between bash's fork and exec is lost, in any terminal
        screen.type('python3 -c \'import time; print("be" + "gun", flush=True); time.sleep(1000)\'\r')
        screen.wait_for("begun\n")
        screen.type("\x03")
        screen.wait_for("(interrupted)")


def test_a_key_is_no_answer_and_what_a_list_asks_is_seen_whole(tmp_path: Path) -> None:
    with line_mode(tmp_path, "chooses") as screen:
        screen.type("go\r")
        screen.wait_for("2  blue  - as the sky")
        screen.answer("2\r")
        screen.wait_for("Why?")
        screen.type("\x1bOP")  # F1
        screen.wait_for("/exit, /quit, /q")
        screen.type("\x1bt")
        screen.wait_for("> /tasks")
        screen.answer("no reason\r")
        screen.wait_for("chosen Chosen(values=(('blue',), ('no reason',)))")


def test_a_question_that_is_longer_than_the_line_is_seen_whole(tmp_path: Path) -> None:
    with line_mode(tmp_path, "says") as screen:
        question = " ".join(f"word{n}" for n in range(20))
        screen.type("\x18")
        screen.wait_for("$")
        screen.type(f"read -p '{question} ' a; echo got $a\r")
        screen.wait_until(lambda: screen.visible.replace("\n", "").endswith(f"{question}>"))
        screen.type("y\r")
        screen.wait_for("got y")


def test_keys_are_the_ones_that_the_person_has_chosen(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    kimi.write_config('[keys]\npaste = ["ctrl+y"]\nend = []\ninterrupt = ["f9"]\nsuspend = []\n')
    steps = kimi.scenario([{"text": "begun"}, {"stall": 100}])
    with FullScreen(kimi, "--line", "--provider", steps) as screen:
        screen.wait_for("\n>")
        screen.type("\x16\x04\x1a")  # Ctrl-V, Ctrl-D, Ctrl-Z do nothing here
        screen.pause()
        assert "clipboard" not in screen.text
        screen.type("\x19")
        screen.wait_for("clipboard")
        screen.type("go\r")
        screen.wait_for("F9 interrupts")
        screen.type("\x1b[20~")
        screen.wait_for("Interrupted.")


def test_history_is_kept_per_folder_without_answers(tmp_path: Path) -> None:
    with line_mode(tmp_path, "asks", "says") as screen:
        screen.type("remember me\r")
        screen.wait_for("Allow?")
        screen.answer("1\r")
        screen.wait_for("answered")
        screen.type("\x04")
        assert screen.wait_end() == 0
    (file,) = (tmp_path / "user-history").iterdir()
    assert [json.loads(line)["content"] for line in file.read_text().splitlines()] == ["remember me"]
    with line_mode(tmp_path, "says") as screen:
        screen.type("\x1b[A")
        screen.wait_for("> remember me")


def test_a_long_paste_is_folded_and_sent_whole(tmp_path: Path) -> None:
    text = "\n".join(f"pasted line {n}" for n in range(40))
    with line_mode(tmp_path, "says") as screen:
        screen.type(f"\x1b[200~{text}\x1b[201~")
        screen.wait_for("[Pasted text #1 +40 lines]")
        screen.type("\r")
        screen.wait_for("pasted line 39")
        screen.wait_for("The answer is 42.")


def test_sigterm_ends_it_with_its_code(tmp_path: Path) -> None:
    with line_mode(tmp_path, "hangs") as screen:
        screen.type("go\r")
        screen.wait_for("half an ans")
        screen.child.send_signal(signal.SIGTERM)
        assert screen.wait_end() == 143


@pytest.mark.parametrize("term", ["xterm-256color", "dumb"])
def test_a_terminal_that_dies_ends_the_turn_and_the_program(tmp_path: Path, term: str) -> None:
    program = Program(tmp_path)
    with FakeAPI([[{"text": "begun\n\n"}, {"stall": 100}]]) as api:
        program.use(api.url)
        with FullScreen(program, "--line", TERM=term) as screen:
            screen.wait_for("\n>" if term != "dumb" else YOU)
            screen.type("go\r")
            screen.wait_for("begun")
            screen.hang_up()
            assert screen.child.wait(20) == 129
    (log,) = program.home.glob("sessions/**/*.jsonl")
    last = json.loads(log.read_text().splitlines()[-1])
    assert (last["type"], last["stop"]) == ("turn_ended", "interrupted")


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"NO_COLOR": "1"}], ids=["dumb", "no-color"])
def test_not_one_escape_sequence_where_it_would_be_noise(tmp_path: Path, env: dict[str, str]) -> None:
    with line_mode(tmp_path, "thinks", "asks", "hangs", "says", prompt=YOU, **env) as screen:
        screen.type("think\n")
        screen.wait_for("y = 2")
        screen.type("ask\n")
        screen.wait_for("Allow?")
        screen.answer("y\n")
        screen.wait_for("answered Allow")
        screen.wait_until(lambda: screen.text.endswith(YOU))
        screen.type("hang\n")
        screen.wait_for("hang\nWorking.")
        screen.type("queued\n")
        screen.wait_for("(waits for the end")
        screen.type("\x03")
        screen.wait_for("Interrupted.")
        screen.wait_for("Not sent: queued")
        screen.type("two \\\nlines\n")
        screen.wait_for("The answer is 42.")
        screen.type("/exit\n")
        assert screen.wait_end() == 0
        assert b"\x1b" not in screen.raw


def test_a_secret_is_not_echoed_on_a_dumb_terminal(tmp_path: Path) -> None:
    with line_mode(tmp_path, "says", prompt=YOU, TERM="dumb") as screen:
        screen.type("/login\n")
        screen.wait_for("Key:")
        screen.type("hunter2\n")
        screen.wait_for("got 7 characters")
        screen.type("visible again\n")
        screen.wait_for("visible again")
        assert b"hunter2" not in screen.raw


@pytest.mark.parametrize("key", ["\r", "\x13"], ids=["enter", "ctrl-s"])
def test_a_secret_is_not_echoed_on_a_real_one(tmp_path: Path, key: str) -> None:
    with line_mode(tmp_path, "says") as screen:
        screen.type("/login\r")
        screen.wait_for("Key:")
        screen.type(f"hunter2{key}")
        screen.wait_for("got 7 characters")
        assert b"hunter2" not in screen.raw
        screen.type("\x04")
        screen.wait_end()
    assert "hunter2" not in "".join(file.read_text() for file in (tmp_path / "user-history").glob("*"))


def test_a_long_command_is_shown_whole_before_it_is_allowed(tmp_path: Path) -> None:
    program = Program(tmp_path)
    command = f"echo {'quite harmless words ' * 30}; rm -rf everything"
    with FakeAPI([[{"call": {"name": "Shell", "arguments": {"command": command}}}]]) as api:
        program.use(api.url)
        with FullScreen(program, "--line") as screen:
            screen.wait_for("\n>")
            screen.type("go\r")
            screen.wait_for("Allow?")
            assert "".join(command.split()) in "".join(screen.text.split())


def test_a_very_long_command_is_run(tmp_path: Path) -> None:
    program = Program(tmp_path)
    program.use("http://127.0.0.1:9/v1")
    with FullScreen(program, "--line") as screen:
        screen.wait_for("\n>")
        screen.type("\x18")
        screen.wait_for(" $")
        screen.type(f"\x1b[200~: {'x' * 200_000}; echo lo''ng\x1b[201~")
        screen.wait_for("[Pasted text")
        screen.type("\r")
        screen.wait_for("\nlong")


def test_a_long_paste_is_sent_whole_and_shown_folded(tmp_path: Path) -> None:
    program = Program(tmp_path)
    with FakeAPI([[{"text": "read it"}]]) as api:
        program.use(api.url)
        with FullScreen(program, "--line") as screen:
            screen.wait_for("\n>")
            screen.type("\x1b[200~" + "\n".join(f"row {n}\x1b[31m\x00" for n in range(500)) + "\x1b[201~")
            screen.wait_for("[Pasted text #1 +500 lines]")
            screen.type("\r")
            screen.wait_for("read it")
            assert "... 460 more lines" in screen.text
            sent = str(api.requests[0].json["messages"][-1]["content"])
            assert "row 499" in sent
            assert "\x00" not in sent
            assert "\x1b" not in sent


def test_the_wait_before_a_retry_is_counted_down(tmp_path: Path) -> None:
    program = Program(tmp_path)
    with FakeAPI([[{"error": {"status": 429, "message": "slow down", "retry_after": 4}}], [{"text": "fine"}]]) as api:
        program.use(api.url)
        with FullScreen(program, "--line") as screen:
            screen.wait_for("\n>")
            screen.type("go\r")
            screen.wait_for("Trying again in 3 s (attempt 2)")
            screen.wait_for("Trying again in 1 s (attempt 2)")
            screen.wait_for("fine")
            screen.wait_gone("attempt 2): ")


def test_a_stream_is_drawn_at_the_pace_of_a_person(tmp_path: Path) -> None:
    """A token costs no frame of its own."""
    kimi, tokens = Program(tmp_path), 600
    words = [item for number in range(tokens) for item in ({"text": f"w{number} "}, {"delay": 0.001})]
    argv = [sys.executable, "-m", "kimi_agent", "--line", "--provider", kimi.scenario([*words, {"text": "and done"}])]
    with PtyScreen(argv, env=kimi.environment(), cwd=kimi.work) as screen:
        screen.wait_for("\n>")
        screen.type("go\r")
        screen.wait_for("and done")
        assert screen.raw.count(b"\x1b[?25l") < tokens // 2  # each frame hides the cursor while it is drawn


def test_the_variables_of_kimi_cli_say_which_paste_is_long(tmp_path: Path) -> None:
    with line_mode(
        tmp_path, "says", KIMI_CLI_PASTE_LINE_THRESHOLD="2", KIMI_CLI_PASTE_CHAR_THRESHOLD="nonsense"
    ) as screen:
        screen.type("\x1b[200~one\ntwo\x1b[201~")
        screen.wait_for("[Pasted text #1 +2 lines]")


def test_an_answer_is_copied_by_the_terminal(tmp_path: Path) -> None:
    program = Program(tmp_path)
    with FullScreen(program, "--line", "--provider", program.scenario([{"text": "für dich"}])) as screen:
        screen.wait_for("\n>")
        screen.type("go\r")
        screen.wait_for("für dich")
        screen.type("/copy\r")
        screen.wait_for("Copied the last answer (8 characters)")
        assert b"\x1b]52;c;" + base64.b64encode("für dich".encode()) + b"\a" in screen.raw


def test_the_editor_of_the_configuration_takes_the_prompt(tmp_path: Path) -> None:
    program, editor = Program(tmp_path), tmp_path / "editor.py"
    editor.write_text("import sys; f = open(sys.argv[1], 'a'); f.write(' and more'); f.close(); print('IN EDITOR')\n")
    program.write_config(f'default_editor = "{sys.executable} {editor}"\n')
    with FullScreen(program, "--line", "--provider", program.scenario([{"text": "ok"}]), VISUAL="false") as screen:
        screen.wait_for("\n>")
        screen.type("some text\x0f")
        screen.wait_for("> some text and more")
        assert b"IN EDITOR" in screen.raw


@pytest.mark.parametrize(("flags", "mark"), [((), "∴ Thinking"), (("--line",), "\nthinking\n")], ids=["full", "line"])
@pytest.mark.parametrize("shown", [True, False])
def test_the_configuration_says_whether_reasoning_is_shown_as_it_comes(
    tmp_path: Path, flags: tuple[str, ...], mark: str, shown: bool
) -> None:
    program = Program(tmp_path)
    program.write_config(f"show_thinking_stream = {str(shown).lower()}\n")
    steps = program.scenario([{"think": "a secret plan"}, {"stall": 100}])
    with FullScreen(program, "--provider", steps, *flags, "go") as screen:
        screen.until(lambda: ("secret plan" if shown else mark) in screen.visible)
        assert ("secret plan" in screen.visible) == shown
