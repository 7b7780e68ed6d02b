import asyncio
import os
import re
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from boxes import room
from nightly import all_but

from kimi_agent.core.errors import WorkspaceError
from kimi_agent.core.workspace import Exit
from kimi_agent.workspaces.process import run_process

ESCAPES = {
    "child": "sleep 300 & wait",
    "pipeline": "sleep 300 | sleep 301 | cat",
    "ignores TERM": "trap '' TERM; sleep 300 & sleep 300; sleep 300",
    "setsid": "setsid sleep 300 & wait",
    "nohup": "nohup sleep 300 >/dev/null 2>&1 & wait",
    "double fork": "(setsid sh -c 'sleep 300 & sleep 300' >/dev/null 2>&1 &) ; sleep 300",
    "orphan with another group": "(setsid setsid sleep 300 &) & wait; sleep 300",
    "stopped": "kill -STOP $$",
}


async def shell(
    command: str, tmp_path: Path, timeout: float = 60, env: dict[str, str] | None = None
) -> tuple[Exit, bytes]:
    chunks: list[bytes] = []
    found = await run_process(
        ["bash", "-c", command],
        cwd=tmp_path,
        env=env or {},
        timeout=timeout,
        on_output=chunks.append,
        room=room(tmp_path),
    )
    return found, b"".join(chunks)


def living_with(value: str) -> list[str]:
    """Commands of the processes, zombies left out, whose environment holds `value`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if value.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().decode())
        except OSError:
            continue
    return found


def open_descriptors() -> set[str]:
    return {path.name for path in Path("/dev/fd").iterdir()}


def children() -> set[str]:
    """Of this process, zombies too. Tests before may have left some that live: those do not count."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int((process / "stat").read_bytes().rpartition(b")")[2].split()[1]) == os.getpid():
                found.add(process.name)
    return found


async def test_output_and_code_are_the_shells(tmp_path: Path) -> None:
    found, output = await shell("echo out; echo err >&2; pwd; exit 7", tmp_path)
    assert found == Exit(7)
    assert output == f"out\nerr\n{tmp_path}\n".encode()


async def test_death_by_a_signal_reads_as_in_a_shell(tmp_path: Path) -> None:
    assert (await shell("kill -9 $$", tmp_path))[0] == Exit(137)


async def test_stdin_is_empty_and_there_is_no_terminal(tmp_path: Path) -> None:
    found, output = await shell(
        "cat; read x || echo no input; (echo x >/dev/tty) 2>/dev/null || echo no terminal", tmp_path
    )
    assert (found, output) == (Exit(0), b"no input\nno terminal\n")


@pytest.mark.parametrize("command", ["sleep 300 & echo started", "(setsid sleep 300 &); echo started"])
async def test_a_child_that_holds_the_pipe_does_not_block(tmp_path: Path, command: str) -> None:
    begin = time.monotonic()
    found, output = await shell(f"export HOLDER={tmp_path}; {command}; echo $! > pid", tmp_path)
    assert (found, output) == (Exit(0, left_running=True), b"started\n")
    assert time.monotonic() - begin < 5  # the child holds the pipe for 300 s
    assert living_with(f"HOLDER={tmp_path}") == ["sleep\x00300\x00"]
    await shell(
        f"for p in /proc/[0-9]*; do grep -qs HOLDER={tmp_path} $p/environ && kill ${{p#/proc/}}; done", tmp_path
    )


@pytest.mark.parametrize(
    "talker",
    [
        pytest.param("for i in 1 2 3 4 5; do sleep 0.1; head -c 100000 /dev/zero || exit; done", id="a server's log"),
        pytest.param("yes", id="a flood ends as if its reader were gone"),
    ],
)
async def test_what_runs_on_may_go_on_writing(tmp_path: Path, talker: str) -> None:
    found, _ = await shell(f"({talker}; touch done) & sleep 0.01", tmp_path)
    assert found == Exit(0, left_running=True)
    async with asyncio.timeout(20):
        while not (tmp_path / "done").exists():
            await asyncio.sleep(0.01)


async def test_last_words_after_the_shells_exit_are_heard(tmp_path: Path) -> None:
    found, output = await shell("echo one | tee >(sleep 0.02; cat) >/dev/null", tmp_path)
    assert (found, output) == (Exit(0), b"one\n")


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("command", ESCAPES.values(), ids=ESCAPES)
@pytest.mark.parametrize("way", all_but(["timeout", "cancel"], ["timeout", "cancel", "cancel twice"]))
async def test_nothing_survives(tmp_path: Path, command: str, way: str) -> None:
    mark = {"ESCAPE_TEST": str(tmp_path)}
    started = asyncio.Event()

    def on_output(data: bytes) -> None:
        started.set()

    running = asyncio.create_task(
        run_process(
            ["bash", "-c", f"echo ready; {command}"],
            cwd=tmp_path,
            env=mark,
            timeout=0.3 if way == "timeout" else 60,
            on_output=on_output,
            room=room(tmp_path),
        )
    )
    await started.wait()
    if way == "timeout":
        assert await running == Exit(None, timed_out=True)
    else:
        while len(living_with(str(tmp_path))) < 1:
            await asyncio.sleep(0)
        running.cancel()
        if way == "cancel twice":
            await asyncio.sleep(0)
            running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    async with asyncio.timeout(10):
        while living_with(str(tmp_path)):  # a killed process takes a moment to be gone
            await asyncio.sleep(0.01)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("deaf", ["", "trap '' TERM; "], ids=["", "deaf"])
async def test_what_cuts_its_ties_is_known_by_its_parents(tmp_path: Path, deaf: str) -> None:
    """It has left the session and the mark is gone from its environment; its parent dies of the first signal."""
    trace = f"TRACE={tmp_path}"
    command = f'env -i {trace} setsid bash -c "{deaf}sleep 300; true" & sleep 300'
    running = asyncio.create_task(
        run_process(["bash", "-c", command], cwd=tmp_path, env={}, timeout=60, on_output=lambda data: None)
    )
    while len(living_with(trace)) < 2:
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    async with asyncio.timeout(10):
        while living_with(trace):
            await asyncio.sleep(0.01)


async def test_the_callback_may_refuse(tmp_path: Path) -> None:
    def refuse(data: bytes) -> None:
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        await run_process(
            ["yes"], cwd=tmp_path, env={"REFUSED": str(tmp_path)}, timeout=60, on_output=refuse, room=room(tmp_path)
        )
    assert living_with(str(tmp_path)) == []


@pytest.mark.parametrize(
    ("argv", "folder", "words"),
    [
        (["no-such-program-here"], ".", "Cannot run no-such-program-here: No such file"),
        (["true"], "gone", "there is no such folder"),
        (["true", "a\0b"], ".", "Cannot run true: embedded null byte"),
        (["true", "\ud800"], ".", "Cannot run true:"),
        (["true", "x" * 3_000_000], ".", "Argument list too long"),
    ],
)
async def test_what_cannot_start_says_why(tmp_path: Path, argv: list[str], folder: str, words: str) -> None:
    await shell("true", tmp_path)  # the first command of all opens what all of them use
    before = open_descriptors()
    with pytest.raises(WorkspaceError, match=words):
        await run_process(
            argv, cwd=tmp_path / folder, env={}, timeout=9, on_output=lambda data: None, room=room(tmp_path)
        )
    assert open_descriptors() == before


SECRETS = re.findall(
    r"\w+",
    """KIMI_API_KEY OPENAI_API_KEY SOME_apikey API_KEY ANTHROPIC_AUTH_TOKEN KIMI_X_TOKEN AWS_ACCESS_KEY_ID
    AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN GITHUB_TOKEN GH_TOKEN HF_TOKEN NPM_TOKEN npm_config__authToken DB_PASSWORD
    PGPASSWORD MYSQL_PWD DB_PASS SSH_PASSPHRASE MY_SECRET SECRET_KEY GOOGLE_APPLICATION_CREDENTIALS DOCKER_AUTH_CONFIG
    CI_JOB_TOKEN GH_PAT""",
)


async def test_secrets_stay_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, "sesame")
    _, output = await shell("env", tmp_path, env={"ADDED": "yes"})
    assert b"sesame" not in output
    assert {b"ADDED=yes", b"PWD=" + os.fsencode(tmp_path)} <= set(output.splitlines())


async def test_secrets_that_the_user_names_are_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GH_TOKEN", "NPM_TOKEN", "HF_TOKEN"):
        monkeypatch.setenv(name, "sesame")
    monkeypatch.setenv("KIMI_PASS_ENV", "GH_TOKEN, NPM_TOKEN")
    _, output = await shell("env", tmp_path)
    assert sorted(line for line in output.splitlines() if b"sesame" in line) == [
        b"GH_TOKEN=sesame",
        b"NPM_TOKEN=sesame",
    ]


@pytest.mark.parametrize("number", [300, pytest.param(5000, marks=pytest.mark.nightly)])
async def test_no_zombie_and_no_descriptor_is_left(tmp_path: Path, number: int) -> None:
    await shell("true", tmp_path)
    before, others = open_descriptors(), children()
    for each in range(number):
        if each % 10:
            await shell("true", tmp_path)
        else:
            await asyncio.wait([task := asyncio.create_task(shell("sleep 60", tmp_path))], timeout=0.001)
            task.cancel()
            await asyncio.wait([task])
    assert open_descriptors() == before
    assert children() <= others


async def test_the_loop_stays_free_while_output_floods(tmp_path: Path) -> None:
    running = asyncio.create_task(
        run_process(["yes"], cwd=tmp_path, env={}, timeout=60, on_output=lambda data: None, room=room(tmp_path))
    )
    for _ in range(200):
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


ORPHANS = (
    "sleep 300 & setsid sleep 301 & nohup sleep 302 >/dev/null 2>&1 & (setsid sh -c 'sleep 303 & sleep 304' &)"
    "; env -i sleep 305 & echo ready"
)
PARENT = """
import asyncio, os, sys
from pathlib import Path
from boxes import room
from kimi_agent.workspaces.process import run_process

async def main():
    async def run(command):
        await run_process(
            ["bash", "-c", command], cwd=Path.cwd(), env={}, timeout=60, on_output=lambda data: None, room=room(Path.cwd())
        )
    if sys.argv[2] == "between calls":
        await run(sys.argv[1].replace("env -i ", ""))
        print("ready", flush=True)
        if sys.argv[3] == "exit":
            return
        await asyncio.sleep(60)
    await run(sys.argv[1] + "; touch ready; wait")

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize(
    ("moment", "end"),
    all_but(
        [("during a call", "SIGKILL"), ("between calls", "SIGHUP")],
        [
            *(("during a call", end) for end in ("SIGKILL", "SIGHUP")),
            *(("between calls", end) for end in ("SIGKILL", "SIGHUP", "exit")),
        ],
    ),
)
async def test_nothing_outlives_this_program(tmp_path: Path, moment: str, end: str) -> None:
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PARENT, ORPHANS, moment, end),
        cwd=tmp_path,
        env={**os.environ, "ORPHAN_TEST": str(tmp_path), "PYTHONPATH": str(Path(__file__).parent.parent)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert program.stdout is not None
    if moment == "between calls":
        assert await program.stdout.readline() == b"ready\n"
    while moment == "during a call" and not (tmp_path / "ready").exists():
        await asyncio.sleep(0.01)
    if end != "exit":
        program.send_signal(signal.Signals[end])
    await program.wait()
    async with asyncio.timeout(10):
        while living_with(str(tmp_path)) or working_in(tmp_path):
            await asyncio.sleep(0.01)


def working_in(folder: Path) -> list[str]:
    """The processes whose current folder is `folder`: also those without any environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink() == folder:
                found.append(process.name)
    return found


async def test_what_is_given_on_stdin_is_read_to_its_end(tmp_path: Path) -> None:
    """More than a pipe holds, and a process that never looks at it, are no trouble."""
    data, out = b"0123456789" * 50_000, bytearray()
    options = {"cwd": tmp_path, "env": {}, "timeout": 30, "stdin": data, "room": room(tmp_path)}
    assert (await run_process(["cat"], on_output=out.extend, **options)).code == 0
    assert bytes(out) == data
    assert (await run_process(["true"], on_output=out.extend, **options)).code == 0
    out.clear()
    await run_process(["cat"], cwd=tmp_path, env={}, timeout=30, on_output=out.extend, room=room(tmp_path))
    assert not out


async def test_each_look_for_what_is_left_comes_after_a_kill() -> None:
    """A look costs milliseconds for every hundred processes of the machine: where nobody is left there is one."""
    looks = """
import sys
from kimi_agent.processes.family import kill_family
seen = []
sys.addaudithook(lambda event, given: seen.append(given) if event == "os.listdir" else None)
kill_family(2**22 + 1, "nobody:carries:this")
print(len(seen))
"""
    found = await asyncio.create_subprocess_exec(sys.executable, "-c", looks, stdout=asyncio.subprocess.PIPE)
    assert (await found.communicate())[0] == b"1\n"
