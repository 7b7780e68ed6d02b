"""One boxed command: a supervisor that stays while anything of the command lives, and the command itself below it."""

import fcntl
import json
import os
import resource
import signal
from typing import Any, NoReturn

from kimi_agent.workspaces.sandbox import kernel, landlock, mounts, seccomp
from kimi_agent.workspaces.sandbox.profile import Profile

BOX_FAILED = 125
"""Exit code of a command whose box could not be made: it has not run."""
_NOT_RUN = 127
_FREE = 64  # from here on no descriptor of a command has its place
_LARGEST_FILE = 10 << 30  # bytes
IGNORED = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGTSTP,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
_RESTORED = (*IGNORED, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD)


def supervise(
    rung: str, request: "dict[str, Any]", given: "list[int]", nothing: str, zygote: int, processes: int
) -> NoReturn:
    """The life of one command's supervisor, in a process of its own.

    `given` is stdin, output and the report's pipe, then where errors go if not to `output` (`request["errors"]`), then what
    the command has from descriptor 3 on.

    What it reports, a line each: `errno N` when the command cannot be started, `exit N` with its exit code, as a shell has it.
    It ends when the last process of the command has, and everything of the command that it can see with it.
    """
    output, report = given[1:3]
    try:
        kernel.die_with_parent(zygote)
        os.setsid()
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)  # a command that signals its group must not lose its supervisor
        kernel.adopt_orphans()
        profile = Profile.decoded(request["profile"])
        if rung == "R3":
            mounts.enter(profile, nothing)
        kernel.drop_capabilities()
        command = os.fork()
        if command == 0:
            _become(rung, request, profile, given, processes)
    except BaseException as error:
        _say_box_failed(output, error)
        os.write(report, f"exit {BOX_FAILED}\n".encode())
        os._exit(BOX_FAILED)
    for descriptor in given:
        if descriptor != report:
            os.close(descriptor)
    _reap(command, report)


def _reap(command: int, report: int) -> NoReturn:
    while True:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            os._exit(0)
        if pid == command:
            code = os.waitstatus_to_exitcode(status)
            os.write(report, f"exit {code if code >= 0 else 128 - code}\n".encode())
            os.close(report)


def _become(rung: str, request: "dict[str, Any]", profile: Profile, given: "list[int]", processes: int) -> NoReturn:
    """Restrict this process and run the command in it. The order matters: each step needs what a later one takes away."""
    stdin, output, report, *more = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _FREE) for number in given]
    try:
        errors = more.pop(0) if request["errors"] else output
        for place, number in enumerate((stdin, output, errors, *more)):
            os.dup2(number, place)
        for caught in _RESTORED:
            signal.signal(caught, signal.SIG_DFL)
        _limit(processes)
        try:
            os.chdir(request["cwd"])
        except OSError as error:
            os.write(report, f"errno {error.errno}\n".encode())
            os._exit(_NOT_RUN)
        if landlock.abi() or rung == "R1":
            unread = list(profile.hidden) if rung == "R1" else None
            landlock.restrict(list(profile.writable), unread=unread, shown=profile.shown, net=profile.net)
        seccomp.restrict(sockets=profile.net or (profile.sockets and rung != "R1"), net=profile.net)
    except BaseException as error:
        _say_box_failed(output, error)
        os._exit(BOX_FAILED)
    try:
        os.execvpe(request["argv"][0], request["argv"], request["env"])  # noqa: S606 - the command itself
    except OSError as error:
        os.write(report, f"errno {error.errno}\n".encode())
    os._exit(_NOT_RUN)


def _limit(processes: int) -> None:
    for what, most in (
        (resource.RLIMIT_FSIZE, _LARGEST_FILE),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, processes),
    ):
        hard = resource.getrlimit(what)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


def _say_box_failed(output: int, error: BaseException) -> None:
    text = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
    os.write(
        output, f"kimi: the box could not be made, so the command was not run: {text}\n".encode("utf-8", "replace")
    )


def encoded(argv: "list[str]", env: "dict[str, str]", cwd: str, profile: Profile, *, errors: bool) -> bytes:
    """A request for the zygote. Names that are no UTF-8 travel as surrogates, as everywhere in Python."""
    request = {"argv": argv, "env": env, "cwd": cwd, "profile": profile.encoded(), "errors": errors}
    return json.dumps(request).encode()
