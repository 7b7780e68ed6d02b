"""The program as a person or a script meets it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from kimi_program import Program
from nightly import all_but

from kimi_agent import __version__


@pytest.fixture
def kimi(tmp_path: Path) -> Program:
    return Program(tmp_path)


@pytest.mark.parametrize("arguments", [["--version"], ["-V"], ["-y", "--version"]])
def test_version(kimi: Program, arguments: list[str]) -> None:
    done = kimi.run(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"kimi {__version__}\n", "")


def test_help_names_every_flag_of_the_official_programs(kimi: Program) -> None:
    done = kimi.run("-h")
    assert done.returncode == 0
    flags = """-V -h --verbose --debug -w --work-dir --add-dir -S -r --session --resume -C --continue --config --config-file
    -m --model --thinking --no-thinking -y --yolo --yes --auto-approve --afk --auto --plan -p -c --prompt --command --print
    --quiet --input-format --output-format --final-message-only --max-steps-per-turn --max-retries-per-step"""
    words = done.stdout.replace(",", " ").split()
    assert [flag for flag in flags.split() if flag not in words] == []


def test_without_a_model_one_clear_line(kimi: Program) -> None:
    done = kimi.run("-p", "hi")
    assert (done.returncode, done.stdout) == (7, "")
    assert done.stderr.splitlines()[0] == "kimi: no model is configured"
    assert "kimi login" in done.stderr
    assert len(done.stderr.splitlines()) == 2


def test_a_broken_file_is_one_line_and_stays(kimi: Program) -> None:
    kimi.write_config("default_model = \n")
    done = kimi.run("-p", "hi")
    assert done.returncode == 2
    assert done.stderr.startswith("kimi: ~/home/config.toml:1: not valid TOML")
    assert kimi.config.read_text() == "default_model = \n"


def test_debug_shows_where_it_went_wrong(kimi: Program) -> None:
    done = kimi.run("-p", "hi", "--debug")
    assert "Traceback" in done.stderr
    assert "NoModelError" in done.stderr


def test_an_unknown_model_lists_those_there_are(kimi: Program) -> None:
    kimi.use("http://127.0.0.1:1/v1")
    done = kimi.run("-p", "hi", "-m", "gpt")
    assert done.returncode == 2
    assert 'unknown model "gpt"' in done.stderr
    assert "Known models: m." in done.stderr


@pytest.mark.parametrize("flag", ["-r", "-S", "--session", "--resume"])
def test_an_unknown_session_is_an_error(kimi: Program, flag: str) -> None:
    kimi.use("http://127.0.0.1:1/v1")
    done = kimi.run("-p", "hi", flag, "nope")
    assert done.returncode == 2
    assert "there is no session 'nope'" in done.stderr


@pytest.mark.parametrize("flag", ["-C", "-c", "-r"])
def test_going_on_without_a_session_is_an_error(kimi: Program, flag: str) -> None:
    kimi.use("http://127.0.0.1:1/v1")
    done = kimi.run("--print", flag, stdin="hi")
    assert done.returncode == 2
    assert "there is no earlier session" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--yolo", "--afk"], "--yolo and --afk exclude each other"),
        (["-C", "-r", "x"], "--continue and --resume exclude each other"),
        (["--config", "", "--config-file", "x"], "--config and --config-file exclude each other"),
        (["--line", "-p", "x"], "--line and -p and --print exclude each other"),
        (["--quiet", "--output-format", "json"], "--quiet and --output-format and --input-format exclude"),
        (["-w", "/nowhere/at/all"], "there is no folder /nowhere/at/all"),
        (["--add-dir", "/nowhere/at/all"], "there is no folder /nowhere/at/all"),
        (["--config-file", "/nowhere"], "there is no config file /nowhere"),
        (["--json-schema", "/nowhere"], "--json-schema /nowhere: No such file"),
        (["--config", "x = "], "--config:1: not valid TOML"),
        (["--nonsense"], "--nonsense"),
        (["--output-format", "xml"], "xml"),
        (["--max-steps-per-turn", "0"], "--max-steps-per-turn"),
        (["--provider", "chaos:x"], "needs a number"),
        (["acp"], "kimi: kimi acp takes the options of sessions, not those of one session\n"),
        (
            ["--agent", "nobody"],
            "kimi: there is no agent 'nobody'\n      Known: default, okabe, coder, explore, plan.\n",
        ),
        (["--agent-file", "/nowhere.yaml"], "kimi: agent file /nowhere.yaml: No such file or directory\n"),
        (["--agent", "x", "--agent-file", "y"], "--agent and --agent-file exclude each other"),
        (["--wire"], "kimi: --wire is not in this version\n"),
        (["--acp"], "kimi: kimi acp takes the options of sessions, not those of one session\n"),
    ],
)
def test_wrong_usage_says_so(kimi: Program, arguments: list[str], told: str) -> None:
    kimi.use("http://127.0.0.1:1/v1")
    done = kimi.run("--print", *arguments, stdin="hi")
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_config_show_hides_secrets(kimi: Program) -> None:
    kimi.use("http://127.0.0.1:1/v1", key="sk-very-secret")
    done = kimi.run("config", "show")
    assert "sk-very-secret" not in done.stdout
    assert json.loads(done.stdout)["providers"]["p"]["api_key"] == "***"
    assert kimi.run("config", "path").stdout == f"{kimi.config}\n"


def test_info_as_json(kimi: Program) -> None:
    facts = json.loads(kimi.run("info", "--json").stdout)
    assert facts["version"] == __version__
    assert facts["home"] == str(kimi.home)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(kimi: Program, shell: str) -> None:
    done = kimi.run("completion", shell)
    assert done.returncode == 0
    assert "_KIMI_COMPLETE" in done.stdout


def test_completion_answers(kimi: Program) -> None:
    kimi.use("http://127.0.0.1:1/v1")

    def complete(words: str, index: int) -> list[str]:
        answer = kimi.run(_KIMI_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(index))
        return answer.stdout.split()

    assert complete("kimi ses", 1) == ["sessions"]
    assert complete("kimi sessions l", 2) == ["list"]
    assert complete("kimi -m ", 2) == ["m"]
    assert "--model" in complete("kimi --mo", 1)


def test_a_reader_that_leaves_is_no_error(kimi: Program) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "kimi_agent", "-h"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=kimi.environment(),
        cwd=kimi.work,
    )
    assert child.stdout
    child.stdout.close()
    _, errors = child.communicate()
    assert errors == b""


def test_a_home_that_cannot_be_written_is_one_line(kimi: Program) -> None:
    kimi.folder.joinpath("file").write_text("")
    done = kimi.run("login", "--base-url", "http://127.0.0.1:1/v1", KIMI_HOME=str(kimi.folder / "file"))
    assert done.returncode != 0
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("closed", all_but([">&-", "<&- >&- 2>&-"], ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"]))
@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("--version", 0, f"kimi {__version__}\n"),
        ("sessions list", 0, ""),
        ("-p hi --provider SCENARIO", 0, "Hello\n"),
        ("-p hi -m nope", 2, ""),
    ],
)
def test_streams_that_the_parent_closed(kimi: Program, closed: str, command: str, code: int, said: str) -> None:
    scenario = kimi.scenario([{"text": "Hello"}])
    done = shell(kimi, f"{command.replace('SCENARIO', scenario)} {closed}")
    assert (done.returncode, done.stdout) == (code, "" if ">&-" in closed.split() else said)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command",
    ["--version", "-p hi --provider SCENARIO", "config path", "-p hi --provider SCENARIO --output-format json"],
)
def test_a_full_disk_behind_stdout_is_told(kimi: Program, command: str) -> None:
    done = shell(kimi, f"{command.replace('SCENARIO', kimi.scenario([{'text': 'Hello'}]))} >/dev/full")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) <= 1, done.stderr


def shell(kimi: Program, tail: str, before: str = "") -> "subprocess.CompletedProcess[str]":
    """`kimi tail` by bash, for redirections."""
    return subprocess.run(
        ["bash", "-c", f"{before}{sys.executable} -m kimi_agent {tail}"],
        capture_output=True,
        text=True,
        cwd=kimi.work,
        env=kimi.environment(),
        stdin=subprocess.DEVNULL,
        timeout=60,
    )


@pytest.mark.parametrize("set_home", [False, True])
def test_a_user_without_a_home(kimi: Program, set_home: bool) -> None:
    """As in a container that runs under a number that no user has, or from cron."""
    program = "import pwd, sys; pwd.getpwuid = lambda uid: {}[uid]; from kimi_agent.cli import run; sys.exit(run(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", program, "-p", "hi", "--provider", kimi.scenario([{"text": "Hello"}])],
        capture_output=True,
        text=True,
        cwd=kimi.work,
        stdin=subprocess.DEVNULL,
        env={"KIMI_HOME": str(kimi.home)} if set_home else {},
        timeout=60,
    )
    assert (done.returncode, done.stdout) == ((0, "Hello\n") if set_home else (2, "")), done.stderr
    assert set_home or "Set KIMI_HOME" in done.stderr


def test_a_deleted_folder_is_said_to_be_that(kimi: Program) -> None:
    done = shell(kimi, "-p hi; cd /", before="mkdir gone && cd gone && rmdir ../gone && ")
    assert "the current folder was deleted" in done.stderr


def test_a_config_from_a_pipe(kimi: Program) -> None:
    kimi.use("http://127.0.0.1:1/v1")
    done = shell(kimi, f"--config-file <(cat {kimi.config}) config show")
    assert json.loads(done.stdout)["default_model"] == "m"


def test_a_silent_standard_input_is_told_of_and_left(tmp_path: Path) -> None:
    import os
    import subprocess
    import sys

    kimi = Program(tmp_path)
    reader, writer = os.pipe()  # open, and nobody ever writes: how cron jobs and other programs start us
    scenario = kimi.scenario([{"expect": "hi"}, {"text": "hello"}])
    command = [sys.executable, "-m", "kimi_agent", "--provider", scenario, "-p", "hi"]
    done = subprocess.run(
        command, stdin=reader, capture_output=True, text=True, cwd=kimi.work, env=kimi.environment(), timeout=60
    )
    os.close(reader)
    os.close(writer)
    assert (done.returncode, done.stdout) == (0, "hello\n")
    assert "going on without it" in done.stderr


def test_an_answer_that_was_cut_off_does_not_look_whole(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    scenario = kimi.scenario([{"text": "half an ans"}, {"finish": "length"}])
    done = kimi.run("--provider", scenario, "-p", "hi")
    assert (done.returncode, done.stdout) == (4, "half an ans\n")
    assert "output limit" in done.stderr
    done = kimi.run("--provider", scenario, "-p", "hi", "--output-format", "json")
    assert json.loads(done.stdout)["stop"] == "cut_off"
