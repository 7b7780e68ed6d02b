"""The real `kimi`, forked by a parent that has imported most of it: more than half of what a short run costs is imports.

So are scripts of the tests that run a part of it on a terminal.

Each test process has one parent for runs to their end and one for shells. A run is a process of its own, with the arguments, the
environment, the folder, and the streams or the terminal that it is given. `KIMI_COLD=1` starts a fresh interpreter for each
instead, as `make nightly` does.
"""

import array
import atexit
import contextlib
import fcntl
import functools
import gc
import importlib
import json
import os
import runpy
import select
import selectors
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

LIMIT = 200_000  # bytes of a request
OF_AN_INTERPRETER = ("PYTHON", "COVERAGE_")  # variables that need a fresh one
OF_IMPORTS = ("LC_", "LANG", "TEXTUAL_")  # those that need a parent of their own
KIMI = [sys.executable, "-m", "kimi_agent"]

# What parents import: of runs to their end, and of shells.
RUNS = """
    __main__ agent.agent_files agent.claims agent.late build builtin cli.app cli.start core.git_env
    frontends.common.status frontends.json_lines frontends.print plugins.load plugins.host processes.watcher
    providers.chat_completions providers.retry providers.scripted rules.book rules.load tools.ask_user tools.fetch_url
    tools.glob tools.grep tools.read_file tools.read_media_file tools.shell tools.str_replace_file tools.task_list
    tools.task_output tools.task_stop tools.think tools.todo tools.write_file trust.folder trust.store
    workspaces.local workspaces.piped workspaces.sandbox.client workspaces.sandbox.proof workspaces.snapshots
    workspaces.spawn
"""
WITH_SERVERS = "frontends.mcp_server.frontend mcp.host"  # runs that reach MCP servers, or are one
LIBRARIES = {
    "mcp.host": "anyio._backends._asyncio httpcore httpx mcp mcp.server.lowlevel.server"
}  # what these import late
SHELLS = "frontends.line.app frontends.line.shell frontends.line.shellmode frontends.tui.app frontends.tui.frontend"


def can_be_forked(arguments: Sequence[str], env: Mapping[str, str]) -> bool:
    """Whether a fresh interpreter would do the same."""
    small = len(repr((arguments, env))) < LIMIT / 4
    return small and "KIMI_COLD" not in os.environ and not any(name.startswith(OF_AN_INTERPRETER) for name in env)


def _has_servers(arguments: Sequence[str], cwd: Path, env: Mapping[str, str]) -> bool:
    if arguments and arguments[0] == "mcp":
        return arguments[1:2] == ["serve"]
    return Path(env.get("KIMI_HOME", ""), "mcp.json").exists() or (cwd / ".mcp.json").exists()


class Process:
    """A forked `kimi`, as a `subprocess.Popen` without pipes. With `terminal` its input is the terminal that controls it.

    `program` is "kimi", or the path of a script.
    """

    stdin = stdout = stderr = None

    def __init__(
        self,
        arguments: Sequence[str],
        streams: Sequence[int],
        cwd: Path,
        env: Mapping[str, str],
        *,
        terminal: bool = False,
        program: str = "kimi",
    ) -> None:
        self.args, self.returncode = [program, *arguments], None
        self._became, became = os.pipe()
        request = json.dumps([self.args, str(cwd), dict(env), terminal]).encode()
        sent = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [*streams, became]))]
        read = tuple(sorted((name, text) for name, text in env.items() if name.startswith(OF_IMPORTS)))
        needed = [RUNS, *([SHELLS] if terminal else []), *([WITH_SERVERS] if _has_servers(arguments, cwd, env) else [])]
        _parent(" ".join(needed), read).sendmsg([request], sent)
        os.close(became)
        self.pid = int(b"".join(iter(lambda: os.read(self._became, 1), b" ")))  # its end may be told already

    def poll(self) -> int | None:
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        if (code := self._look(timeout)) is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def _look(self, patience: float | None) -> int | None:
        if self.returncode is None and select.select([self._became], [], [], patience)[0]:
            self.returncode = int(os.read(self._became, 20))
            os.close(self._became)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it has ended, and its parent has not told yet
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start_on(
    terminal: int, argv: Sequence[str], env: Mapping[str, str], cwd: Path
) -> subprocess.Popen[bytes] | Process:
    """The program in a session of its own, controlled by this terminal."""
    streams = (terminal, terminal, terminal)
    if list(argv[:3]) == KIMI and can_be_forked(argv[3:], env):
        return Process(argv[3:], streams, cwd, env, terminal=True)
    if argv[0] == sys.executable and argv[1].endswith(".py") and can_be_forked(argv[2:], env):
        return Process(argv[2:], streams, cwd, env, terminal=True, program=argv[1])
    return subprocess.Popen(
        argv,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=env,
        cwd=cwd,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )


def run(
    arguments: Sequence[str], stdin: str, cwd: Path, env: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run` of `kimi`, with text for input and output."""
    deadline = time.monotonic() + timeout
    pipes = [os.pipe() for _ in range(3)]
    theirs = [pipes[0][0], pipes[1][1], pipes[2][1]]
    process = Process(arguments, theirs, cwd, env)
    for descriptor in theirs:
        os.close(descriptor)
    output = _exchange(pipes[0][1], stdin.encode(), [pipes[1][0], pipes[2][0]], timeout)
    try:
        code = process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        process.kill()
        raise subprocess.TimeoutExpired(process.args, timeout, *output) from error
    texts = [data.decode().replace("\r\n", "\n").replace("\r", "\n") for data in output]
    return subprocess.CompletedProcess(process.args, code, *texts)


def _exchange(into: int, sent: bytes, out_of: Sequence[int], timeout: float) -> list[bytes]:
    """Write into one pipe and read the others to their ends, or until the time is over."""
    read, deadline = dict.fromkeys(out_of, b""), time.monotonic() + timeout
    with selectors.DefaultSelector() as selector:
        selector.register(into, selectors.EVENT_WRITE)
        for descriptor in out_of:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map() and time.monotonic() < deadline:
            for key, _ in selector.select(deadline - time.monotonic()):
                if key.fd != into:
                    data = os.read(key.fd, 65536)
                    read[key.fd] += data
                    ended = not data
                else:
                    try:
                        sent = sent[os.write(into, sent[: select.PIPE_BUF]) :]
                    except BrokenPipeError:
                        sent = b""
                    ended = not sent
                if ended:
                    selector.unregister(key.fd)
                    os.close(key.fd)
        for left in list(selector.get_map()):
            os.close(left)
    return list(read.values())


# --- the parent -------------------------------------------------------------------------------------------------------


@functools.cache
def _parent(imports: str, env: tuple[tuple[str, str], ...]) -> socket.socket:
    """The connection to the one that has imported these modules with these variables."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * LIMIT)
    started = subprocess.Popen(
        [sys.executable, __file__, str(theirs.fileno()), imports],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**dict(env), "PATH": os.environ["PATH"]}, pass_fds=[theirs.fileno()],
    )  # fmt: skip
    theirs.close()

    def end() -> None:
        ours.close()
        started.communicate()

    atexit.register(end)
    return ours


def _serve(requests: socket.socket) -> list[str] | None:
    """Forks for each request. Comes back with its words in each child, and with nothing in the parent, at the end."""
    waiting: dict[int, int] = {}
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    while True:
        for ready in select.select([requests, woken], [], [])[0]:
            if ready == woken:
                os.read(woken, 4096)
                _tell_of_the_ended(waiting)
                continue
            data, descriptors, *_ = socket.recv_fds(requests, LIMIT, 4)
            if not data:
                return None
            if (pid := os.fork()) == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for descriptor in (woken, wake, descriptors[3], *waiting.values()):
                    os.close(descriptor)
                requests.close()
                return _become(data, descriptors[:3])
            os.write(descriptors[3], f"{pid} ".encode())
            waiting[pid] = descriptors[3]
            for descriptor in descriptors[:3]:
                os.close(descriptor)


def _tell_of_the_ended(waiting: dict[int, int]) -> None:
    for pid, told in list(waiting.items()):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            with contextlib.suppress(BrokenPipeError):
                os.write(told, str(os.waitstatus_to_exitcode(status)).encode())
            os.close(told)
            del waiting[pid]


def _become(request: bytes, streams: Sequence[int]) -> list[str]:
    """As if this process had been started with what was asked for; answers its words."""
    command, cwd, env, terminal = json.loads(request)
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    if terminal:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        sys.stdout.reconfigure(line_buffering=True)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.path[0] = cwd if command[0] == "kimi" else str(Path(command[0]).parent)
    return list(command)


def _end(code: object) -> None:
    """What an interpreter does at its end, but for taking apart all that it has imported, which takes as long as a short run."""
    threading._shutdown()
    atexit._run_exitfuncs()
    if isinstance(code, str):
        print(code, file=sys.stderr)
    status = code if isinstance(code, int) else int(code is not None)
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream and not getattr(stream, "closed", False):  # a screen that was killed leaves a stand-in there
                stream.flush()
        except OSError:
            status = 120
    os._exit(status)


if __name__ == "__main__":
    for name in sys.argv[2].split():
        for module in (*LIBRARIES.get(name, "").split(), f"kimi_agent.{name}"):
            importlib.import_module(module)
    gc.freeze()
    words = _serve(socket.socket(fileno=int(sys.argv[1])))
    if words is not None:
        sys.argv[:] = words
        if words[0] == "kimi":
            try:
                sys.exit(sys.modules["kimi_agent.__main__"].main())
            except SystemExit as end:
                _end(end.code)
        runpy.run_path(words[0], run_name="__main__")
