"""Shell: one command line through bash, in the folder where the last one ended."""

import asyncio
import math
import os
import secrets
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec

from kimi_agent.core.access import BoxView
from kimi_agent.core.display import Plain, Terminal
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ToolError
from kimi_agent.core.task import Task, TaskEnd
from kimi_agent.core.tool import ToolContext, ToolOutput, text_output
from kimi_agent.core.workspace import Exit
from kimi_agent.tools.hints import NO_EDITOR, hint_for
from kimi_agent.tools.output import HeadTail, spill_path
from kimi_agent.tools.programs import program
from kimi_agent.tools.reports import read_report, report_folder
from kimi_agent.tools.running import RunningCommand
from kimi_agent.tools.shell_box import Wider, access_of, effects_of, notes_of, place_of, told, variables_of

_NO_EDITOR_COMMAND = f"sh -c 'echo \"{NO_EDITOR}\" >&2; exit 1'"

# Whatever would wait for a person fails at once instead.
_ENV = {
    "TERM": "dumb",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "MANPAGER": "cat",
    "SYSTEMD_PAGER": "cat",
    "EDITOR": _NO_EDITOR_COMMAND,
    "VISUAL": _NO_EDITOR_COMMAND,
    "GIT_EDITOR": _NO_EDITOR_COMMAND,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",  # set but empty: git looks no further
    "GCM_INTERACTIVE": "never",
    "SSH_ASKPASS_REQUIRE": "never",
    "SUDO_ASKPASS": "/bin/false",
    "DEBIAN_FRONTEND": "noninteractive",
    "PIP_NO_INPUT": "1",
}

_PROLOGUE = Path(__file__).with_suffix(".bash")
_SH_PROLOGUE = """trap 'pwd -P >|"$_KIMI_CWD"' EXIT; """

_ARGUMENT_LIMIT = 100_000  # bytes; Linux takes 128 KiB in one argument
_FROM_STDIN = 'eval "$(IFS= read -rd "" x; printf %s "$x")"'  # builtins alone; what runs finds its input at its end
_PATH_LIMIT = 4096  # bytes

FOREGROUND_S, FOREGROUND_MAX_S = 60, 600
MOVED_S = 600
"""How long a command may go on that was moved to the background because it outlived its timeout."""
_TIMEOUT = "Seconds, 60 when not given, at most 600; in the background a limit, none when not given"


Proved = Callable[[str, Path], Sequence[str] | None]


class ShellParams(msgspec.Struct, frozen=True):
    command: str
    timeout: Annotated[int, msgspec.Meta(ge=1, le=86_400, description=_TIMEOUT)] | None = None
    description: Annotated[str, msgspec.Meta(description="A few words for the user")] = ""
    run_in_background: Annotated[bool, msgspec.Meta(description="For servers, watchers and what takes long")] = False
    access: Annotated[Wider, msgspec.Meta(description="Asks the user for what the box refuses")] | None = None


class Shell:
    """Holds no state: the current folder of a session is in a file of its scratch folder, and so survives a resume.

    `moves_on_timeout`: a command that outlives its timeout goes on in the background instead of being killed. `proved` answers
    the arguments that run a command line which is proved to read only, in a folder; None for one that may do more. `box` is what
    commands run in.
    """

    name = "Shell"
    description = Path(__file__).with_suffix(".md").read_text("utf-8").strip()
    Params = ShellParams

    def __init__(
        self, *, moves_on_timeout: bool = True, proved: Proved | None = None, box: BoxView | None = None
    ) -> None:
        self._moves, self._proved, self._box = moves_on_timeout, proved, box
        self.description += told(box)

    def effects(self, params: ShellParams, ctx: ToolContext) -> Sequence[Effect]:
        if not params.command.strip():
            raise ToolError("The command is empty.")
        try:
            os.fsencode(params.command)
        except UnicodeEncodeError:
            raise ToolError("The command contains a broken character (half of a surrogate pair).") from None
        if "\0" in params.command:
            raise ToolError("The command contains a NUL character.")
        if (params.timeout or 0) > FOREGROUND_MAX_S and not params.run_in_background:
            raise ToolError(f"`timeout` is at most {FOREGROUND_MAX_S} s; what takes longer needs run_in_background.")
        cwd, _ = _kept_folder(ctx.scratch / "cwd", ctx.workspace.root)
        elsewhere = "" if cwd == ctx.workspace.root else os.fsencode(cwd).decode("utf-8", "replace")
        access = access_of(params.command, params.access, ctx.workspace, cwd)
        return (Effect("run", params.command, elsewhere), *effects_of(access))

    async def preview(self, params: ShellParams, ctx: ToolContext) -> Terminal:
        return Terminal(params.command, reason=params.access.reason if params.access else "")

    async def run(self, params: ShellParams, ctx: ToolContext) -> ToolOutput:
        with suppress(OSError):  # a full disk: the command that makes room must run
            ctx.scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
        kept = ctx.scratch / "cwd"
        cwd, notes = _starting_folder(kept, ctx.workspace.root)
        proved = self._proved(params.command, cwd) if self._proved is not None else None
        if params.run_in_background:
            return _start(params, ctx, cwd, proved, self._box)
        report = _report(ctx)
        seconds = params.timeout or FOREGROUND_S
        command = _command(params, ctx, cwd, report, proved, self._box)
        command.show(ctx.progress)
        work = asyncio.create_task(command.run(math.inf if self._moves else seconds))
        moved: Task | None = None
        try:
            await asyncio.wait([work], timeout=seconds if self._moves else None)
            if not work.done():
                moved = _move(params, ctx, command, work, report, notes)
        finally:
            if moved is None:
                work.cancel()  # nothing, when it has ended
                await asyncio.wait([work])
                _keep_folder(report, kept)
        if moved is not None:
            return _moved(moved, command.output.text(), seconds)
        ended = Exit(None, timed_out=True) if work.cancelled() else command.exit_of(work)
        new_cwd, _ = _starting_folder(kept, ctx.workspace.root)
        if new_cwd != cwd:
            notes.append(f"the working directory is now {new_cwd}")
        text = command.output.text()
        notes += notes_of(params.command, new_cwd, ended, text, ctx.workspace, self._box, command.access)
        ran_in = place_of(ended, self._box, command.access)
        return _answer(Terminal(params.command, text, ended.code, box=ran_in), ended, notes, seconds)


def _command(
    params: ShellParams, ctx: ToolContext, cwd: Path, report: Path, proved: Sequence[str] | None, box: BoxView | None
) -> RunningCommand:
    """`report` is where it writes the folder in which it ended; `proved` are the arguments for a command that goes nowhere."""
    output = HeadTail(spill_path(ctx.scratch, "shell", ctx.call_id), ctx.redactor)
    if proved is not None:
        return RunningCommand(ctx.workspace, proved, cwd, {}, output)
    argv, env, stdin = _invocation(params.command, program("bash", ctx.workspace))
    access = access_of(params.command, params.access, ctx.workspace, cwd)
    env = env | variables_of(access, ctx.workspace, box) | {"_KIMI_CWD": str(report)}
    return RunningCommand(ctx.workspace, argv, cwd, env, output, access, stdin)


def _report(ctx: ToolContext) -> Path:
    """Where a command writes the folder in which it ended."""
    try:
        return report_folder(ctx.workspace, ctx.scratch) / f"cwd-{secrets.token_hex(6)}"
    except OSError:  # a full disk
        return Path(os.devnull)


def _keep_folder(report: Path, kept: Path) -> None:
    """Remember for the next command what this one has reported."""
    if folder := read_report(report, _PATH_LIMIT):
        with suppress(OSError):
            new = kept.with_name(f"cwd-{secrets.token_hex(6)}")
            new.write_bytes(folder)
            new.replace(kept)
    _remove(report)


def _remove(report: Path) -> None:
    if str(report) != os.devnull:
        with suppress(OSError):  # it may be anything
            report.unlink(missing_ok=True)


def _title(params: ShellParams) -> str:
    """The command line; what the model says of it is as a comment."""
    return f"{params.command}  # {params.description}" if params.description.strip() else params.command


def _start(
    params: ShellParams, ctx: ToolContext, cwd: Path, proved: Sequence[str] | None, box: BoxView | None
) -> ToolOutput:
    """Start the command as a background task."""
    command = _command(params, ctx, cwd, Path(os.devnull), proved, box)
    task = ctx.tasks.start(
        "command", _title(params), command.run(math.inf), call_id=ctx.call_id, output=command.output.path,
        limit=params.timeout,
    )  # fmt: skip
    command.output.follow()
    return text_output(
        f"Started as the background task {task.id}. {_about(task)}", Plain(f"in the background: {task.id}")
    )


def _move(
    params: ShellParams,
    ctx: ToolContext,
    command: RunningCommand,
    work: asyncio.Task[TaskEnd],
    report: Path,
    notes: list[str],
) -> Task | None:
    """Let a command that has outlived its timeout go on in the background; None when there is no room for it."""
    try:
        task = ctx.tasks.start(
            "command", _title(params), work, call_id=ctx.call_id, output=command.output.path, limit=MOVED_S
        )
    except ToolError as error:
        notes.append(str(error))
        return None
    command.show(None)
    command.output.follow()
    work.add_done_callback(lambda _: _remove(report))
    return task


def _moved(task: Task, text: str, seconds: int) -> ToolOutput:
    note = f"[still running after {seconds} s: it goes on as the background task {task.id}. {_about(task)}]"
    shown = f"still running after {seconds} s, now in the background: {task.id}"
    return text_output("\n".join(filter(None, [text.rstrip("\n"), note])), Plain(shown))


def _about(task: Task) -> str:
    limit = f", at most {task.limit:.0f} s" if task.limit else ""
    return (
        f"It runs until it ends or this session does{limit}; you are told when it ends, so do other work or end your turn. "
        f"TaskOutput shows its output, TaskStop stops it; the whole output is in {task.output}"
    )


def _answer(shown: Terminal, ended: Exit, notes: list[str], seconds: int) -> ToolOutput:
    text = shown.output
    failed = ended.timed_out or ended.code != 0
    if ended.timed_out:
        notes.insert(0, f"timed out after {seconds} s: killed, with everything it had started")
    elif ended.code is None:
        notes.insert(0, "killed")
    elif failed:
        notes.insert(0, f"exit code {ended.code}{_signal_name(ended.code)}")
    if ended.left_running:
        notes.append(
            "a background process goes on running until this session ends; what it writes from now on is lost: "
            "redirect it to a file to read it"
        )
    if failed and (hint := hint_for(text)):
        notes.append(hint)
    lines = [text.rstrip("\n")] if text.strip() else [] if notes else ["[no output]"]
    return text_output("\n".join([*lines, *(f"[{note}]" for note in notes)]), shown, is_error=failed)


def _signal_name(code: int) -> str:
    """Shells answer 128 + signal for a command that died of one."""
    with suppress(ValueError):
        return f" ({signal.Signals(code - 128).name})"
    return ""


def _starting_folder(kept: Path, root: Path) -> tuple[Path, list[str]]:
    """Where the next command runs, and what to tell about it."""
    cwd, gone = _kept_folder(kept, root)
    if gone is None:
        return cwd, []
    kept.unlink(missing_ok=True)
    return root, [f"the working directory {gone} is gone; this ran in {root}"]


def _kept_folder(kept: Path, root: Path) -> tuple[Path, Path | None]:
    """The folder where the last command ended, else `root`; and that folder when it is gone."""
    try:
        cwd = Path(os.fsdecode(kept.read_bytes().removesuffix(b"\n")))
    except OSError:
        return root, None
    return (cwd, None) if cwd.is_dir() else (root, cwd)


def _invocation(command: str, bash: str | None) -> tuple[list[str], dict[str, str], bytes]:
    """The arguments, environment and input for `command`. Nothing of it lies where a command could change it."""
    if bash is None:
        return ["sh", "-c", _SH_PROLOGUE + command], _ENV, b""
    env = _ENV | {"BASH_ENV": str(_PROLOGUE), "_KIMI_NO_EDITOR": NO_EDITOR}
    script = os.fsencode(command)
    if len(script) <= _ARGUMENT_LIMIT:
        return [bash, "-c", command, "bash"], env, b""
    return [bash, "-c", _FROM_STDIN, "bash"], env, script
