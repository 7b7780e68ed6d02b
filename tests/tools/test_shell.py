import asyncio
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from boxes import workspace
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from nightly import examples
from tool_context import NoTasks

from kimi_agent.core.ask import Answer, Dismissed, Question
from kimi_agent.core.display import Terminal
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ToolError, WorkspaceError
from kimi_agent.core.message import Text
from kimi_agent.core.schema import validate
from kimi_agent.core.tool import ToolContext, ToolOutput
from kimi_agent.tools.output import FILE_CAP, HEAD, TAIL, HeadTail, Live, spill_path
from kimi_agent.tools.shell import Shell, ShellParams


async def nobody(question: Question) -> Answer:
    return Dismissed()


def context(tmp_path: Path, progress: Callable[[str], None] = lambda text: None) -> ToolContext:
    root = tmp_path / "project"
    root.mkdir(exist_ok=True)
    scratch = tmp_path / "scratch"
    return ToolContext("Shell:1", workspace(root, scratch), nobody, progress, (), scratch, NoTasks())


async def run(ctx: ToolContext, command: str, timeout: int | None = None) -> tuple[str, ToolOutput]:
    output = await Shell(moves_on_timeout=False).run(ShellParams(command, timeout), ctx)
    part = output.for_model[0]
    assert isinstance(part, Text)
    return part.text, output


async def test_output_comes_as_it_is(tmp_path: Path) -> None:
    text, output = await run(context(tmp_path), "echo out; echo err >&2")
    assert text == "out\nerr"
    assert output.for_user == Terminal("echo out; echo err >&2", "out\nerr\n", 0)
    assert not output.is_error


async def test_a_failure_is_named(tmp_path: Path) -> None:
    assert (await run(context(tmp_path), "echo x; exit 3"))[0] == "x\n[exit code 3]"
    text, output = await run(context(tmp_path), "kill -9 $$")
    assert text == "[exit code 137 (SIGKILL)]"
    assert output.is_error
    assert (await run(context(tmp_path), "true"))[0] == "[no output]"


def test_effects_are_the_whole_command(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    assert Shell().effects(ShellParams("a | b"), ctx) == (Effect("run", "a | b"),)
    for broken in (" \n", "a\0b", "a\ud800"):
        with pytest.raises(ToolError):
            Shell().effects(ShellParams(broken), ctx)


def test_the_timeout_has_bounds(tmp_path: Path) -> None:
    assert validate(ShellParams, {"command": "x"}).timeout is None
    assert validate(ShellParams, {"command": "x", "timeout": "600"}).timeout == 600
    for wrong in (0, 86_401, "soon"):
        with pytest.raises(ToolError, match="timeout"):
            validate(ShellParams, {"command": "x", "timeout": wrong})
    ctx = context(tmp_path)
    assert Shell().effects(ShellParams("x", 86_400, run_in_background=True), ctx)
    with pytest.raises(ToolError, match="at most 600 s"):
        Shell().effects(ShellParams("x", 601), ctx)


@pytest.mark.parametrize(
    ("command", "folder"),
    [
        ("cd sub", "sub"),
        ("cd sub; exit 3", "sub"),
        ("set -e; cd sub; false; cd ..", "sub"),
        ("set -eu; cd sub; echo $unset", "sub"),
        ("set -x; cd sub", "sub"),
        ("set -C; cd sub", "sub"),
        ("cd sub\necho )", "sub"),
        ("cd sub; exec >&- 2>&-", "sub"),
        ("pwd() { echo no; }; cd sub", "sub"),
        ("trap 'echo x' DEBUG; cd sub", "sub"),
        ("set -E; trap 'echo x' ERR; cd sub; false", "sub"),
        ("(cd sub); ls | (cd sub; cat)", "."),
        ("cd sub; exec true", "."),
        ("cd sub; trap 'echo mine' EXIT", "."),
        ("cd sub; kill -9 $$", "."),
        ("cd sub && cd -", "."),
        ("cd sub; cd 'with space\n and line'", "sub/with space\n and line"),
    ],
)
async def test_the_folder_lasts(tmp_path: Path, command: str, folder: str) -> None:
    ctx = context(tmp_path)
    (ctx.workspace.root / "sub/with space\n and line").mkdir(parents=True)
    text, _ = await run(ctx, command)
    expected = (ctx.workspace.root / folder).resolve()
    assert (f"[the working directory is now {expected}]" in text) == (folder != ".")
    assert (await run(ctx, "pwd -P"))[0] == str(expected)
    assert (await run(context(tmp_path), "pwd -P"))[0] == str(expected)  # another instance, as after a resume


async def test_a_folder_that_is_gone_leads_back_to_the_root(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    root = ctx.workspace.root
    await run(ctx, "mkdir sub; cd sub")
    (root / "sub").rmdir()
    text, _ = await run(ctx, "pwd")
    assert text.startswith(f"{root}\n[the working directory {root}/sub is gone; this ran in {root}]")
    assert (await run(ctx, "pwd"))[0] == str(root)
    shutil.rmtree(root)
    with pytest.raises(WorkspaceError, match="no such folder"):
        await run(ctx, "pwd")


PIECES = [
    "cd /usr",
    "false",
    "true",
    "exit 3",
    "set -e",
    "set -u",
    "echo a",
    "echo b >&2",
    "(exit 5)",
    "f() { return 4; }",
    "f",
]
PIECES += [
    "echo )",
    "if",
    "fi",
    "$nope",
    "echo $LINENO",
    "set -o pipefail",
    "trap 'echo bye' EXIT",
    "exec true",
    "trap",
    "'",
    "cat",
]
PIECES += [
    "echo $0 $# $-",
    "set -x",
    "while",
    "{ echo g; }",
    "return",
    "kill $$",
    "{ echo p | cat; } 2>/dev/null",
    "wait",
    "echo ${BASH_ENV-none}",
    "env | grep -c KIMI",
]


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=5), st.sampled_from(["\n", "; ", " && ", " || "]))
@example(["echo )"], ";")
@example(["trap"], ";")
@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_command_behaves_as_in_bash_itself(tmp_path: Path, pieces: list[str], glue: str) -> None:
    """The wrapping changes neither output nor exit code (`trap` alone shows our trap, which is left out here)."""
    command = glue.join(pieces)
    ctx = context(tmp_path)
    shutil.rmtree(ctx.scratch, ignore_errors=True)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("KIMI", "BASH_ENV"))}
    plain = subprocess.run(
        ["bash", "-c", command],
        cwd=ctx.workspace.root,
        env=clean | {"KIMI_RUN": "x"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
        preexec_fn=lambda: [
            signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
        ],
    )
    _, output = asyncio.run(run(ctx, command))
    shown = output.for_user
    assert isinstance(shown, Terminal)
    code = plain.returncode if plain.returncode >= 0 else 128 - plain.returncode
    ours = "".join(line for line in shown.output.splitlines(True) if "_KIMI_CWD" not in line)
    assert re.sub(r"kill \d+", "kill", ours) == re.sub(r"kill \d+", "kill", plain.stdout)
    assert shown.exit_code == code


async def test_a_command_longer_than_an_argument_may_be(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    text, _ = await run(ctx, f"cat <<'E' | wc -c\n{'x' * 200_000}\nE\nmkdir a; cd a")
    assert text.splitlines() == ["200001", f"[the working directory is now {ctx.workspace.root}/a]"]


async def test_long_output_keeps_both_ends_and_the_whole_in_a_file(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    text, _ = await run(ctx, "seq 1 100000")
    whole = spill_path(ctx.scratch, "shell", "Shell:1")
    assert whole.read_text() == "".join(f"{n}\n" for n in range(1, 100001))
    lines = text.splitlines()
    gap = next(n for n, line in enumerate(lines) if line.startswith("[... "))
    assert str(whole) in lines[gap]
    assert lines[: gap - 1] == [str(n) for n in range(1, gap)]
    assert lines[gap + 2 :] == [str(n) for n in range(100001 - len(lines[gap + 2 :]), 100001)]
    left_out = 100000 - (gap - 1) - len(lines[gap + 2 :])
    assert f"({left_out:,} line breaks)" in lines[gap]
    assert len(text) < HEAD + TAIL + 300


async def test_one_endless_line_stays_bounded(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    text, _ = await run(ctx, "head -c 200000000 /dev/zero | tr '\\0' é; echo; echo end")
    assert text.endswith("end")
    assert len(text) < HEAD + TAIL + 300
    assert spill_path(ctx.scratch, "shell", "Shell:1").stat().st_size == FILE_CAP
    assert "the first 50 MB are in" in text


@given(st.lists(st.binary(max_size=60_000), max_size=8), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(40))
def test_nothing_is_lost_between_buffer_and_file(tmp_path: Path, chunks: list[bytes], repeat: bool) -> None:
    chunks = chunks * 3 if repeat else chunks
    buffer = HeadTail(tmp_path / "whole")
    for chunk in chunks:
        buffer.feed(chunk)
    buffer.close()
    data = b"".join(chunks)
    assert buffer.total == len(data)
    if len(data) > HEAD + TAIL:
        assert (tmp_path / "whole").read_bytes() == data
    assert len(buffer.text().encode()) <= 3 * (HEAD + TAIL) + 300  # a broken byte becomes three


def test_a_full_disk_is_told_and_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    buffer = HeadTail(tmp_path / "file/not-a-folder/out.txt")
    for _ in range(100):
        buffer.feed(b"line\n" * 1000)
    assert "could not be saved" in buffer.text()


async def test_live_output_is_coalesced_and_decoded_across_chunks() -> None:
    shown: list[str] = []
    live = Live(shown.append)
    for byte in "é漢😀\n".encode() * 50:
        live.feed(bytes([byte]))
        await asyncio.sleep(0)
    live.close()
    assert "".join(shown) == "é漢😀\n" * 50
    assert len(shown) < 20


async def test_a_flood_reaches_the_screen_as_its_newest_part() -> None:
    shown: list[str] = []
    live = Live(shown.append)
    for number in range(20_000):
        live.feed(b"%d\n" % number)
    live.close()
    assert "".join(shown).endswith("19998\n19999\n")
    assert len("".join(shown)) < 20_000


async def test_output_is_shown_while_the_command_runs(tmp_path: Path) -> None:
    seen = asyncio.Event()
    ctx = context(tmp_path, lambda text: seen.set())
    running = asyncio.create_task(run(ctx, "echo first; sleep 300"))
    await seen.wait()
    assert not running.done()
    begin = time.monotonic()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert time.monotonic() - begin < 100  # it did not wait for the command's end


async def test_a_timeout_keeps_what_was_printed(tmp_path: Path) -> None:
    text, output = await run(context(tmp_path), "echo before; sleep 300", timeout=1)
    assert text.splitlines()[0] == "before"
    assert "[timed out after 1 s: killed, with everything it had started]" in text
    assert output.is_error


async def test_a_background_child_is_told_and_left_alone(tmp_path: Path) -> None:
    text, output = await run(context(tmp_path), "sleep 300 & echo $!")
    assert "background process goes on running" in text
    assert not output.is_error
    assert (await run(context(tmp_path), f"kill -9 {text.splitlines()[0]}"))[
        0
    ] == "[no output]"  # its number is the box's


async def test_a_background_child_with_its_own_output_is_no_matter(tmp_path: Path) -> None:
    text, _ = await run(context(tmp_path), "sleep 300 >/dev/null 2>&1 & echo $!")
    assert (await run(context(tmp_path), f"kill -9 {text}"))[0] == "[no output]"


@pytest.mark.parametrize(
    ("program", "command", "hint"),
    [
        ("vim", "vim file", "no editor"),
        ("vim", "vi +7 file", "no editor"),
        ("git", "git init -q; git -c user.email=a@b commit --allow-empty", "no editor"),
        (
            "git",
            "git credential fill <<< $'protocol=https\\nhost=h\\n'",
            "credentials",
        ),
        ("python3", "python3 -c 'input()'", "asked a question"),
        ("bash", "echo 'sudo: a terminal is required to read the password' >&2; exit 1", "sudo cannot"),
        ("bash", "echo 'git@github.com: Permission denied (publickey).'; exit 128", "ssh cannot"),
        ("bash", "exec 3</dev/tty", "wants a terminal"),
        ("stty", "stty size", "wants a terminal"),
    ],
)
async def test_what_waits_for_a_person_fails_with_a_hint(tmp_path: Path, program: str, command: str, hint: str) -> None:
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    ctx = context(tmp_path)
    text, output = await run(
        ctx,
        f"export HOME={tmp_path} GIT_CONFIG_NOSYSTEM=1; git config --global user.name a; {command}",
    )
    assert output.is_error
    assert hint in text


async def test_pagers_do_not_wait(tmp_path: Path) -> None:
    text, _ = await run(context(tmp_path), "seq 3 | $PAGER; git --version | ${GIT_PAGER:-less}")
    assert text.startswith("1\n2\n3\n")


async def test_escape_sequences_do_not_reach_the_model(tmp_path: Path) -> None:
    assert (await run(context(tmp_path), r"printf '\033[31mred\033[0m 10%%\r100%%\n'"))[0] == "100%"


async def test_vi_with_commands_of_its_own_needs_no_terminal(tmp_path: Path) -> None:
    if not shutil.which("vim"):
        pytest.skip("vim is not installed")
    text, _ = await run(context(tmp_path), "echo a >f; vim -es -c s/a/b/ -c wq f; cat f; vim --version | head -c 3")
    assert text == "b\nVIM"


async def test_a_connection_refused_is_not_blamed_on_the_terminal(tmp_path: Path) -> None:
    text, _ = await run(
        context(tmp_path), "echo 'Pseudo-terminal will not be allocated because stdin is not a terminal.'; false"
    )
    assert "wants a terminal" not in text
