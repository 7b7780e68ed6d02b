"""Slash commands: one registry for every front end. A command says what it does through `Shell`, never through a screen."""

import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol, TypeAlias

from msgspec import Struct

from kimi_agent.agent.agent import Agent
from kimi_agent.agent.main_prompt import added_folder
from kimi_agent.agent.served import called
from kimi_agent.agent.session import Session
from kimi_agent.context_command import context_command
from kimi_agent.copy_command import copy_command
from kimi_agent.core import event as ev
from kimi_agent.core.ask import Ask, Option
from kimi_agent.core.errors import KimiError
from kimi_agent.core.listing import Listing
from kimi_agent.diff_command import diff_command
from kimi_agent.goal_command import goal_command, sets_goal
from kimi_agent.info_commands import hooks_command, status_command, usage_command, version_command
from kimi_agent.mcp_command import complete_mcp, mcp_command
from kimi_agent.mcp_prompts import about, complete_prompt, prompt_command, prompts_of, usage_of
from kimi_agent.model_command import model_command
from kimi_agent.queue_command import queue_command
from kimi_agent.rewind_command import rewind_command
from kimi_agent.session_command import fork_command, sessions_command
from kimi_agent.show_command import show_command
from kimi_agent.task_command import may_end_tasks, tasks_command
from kimi_agent.theme_command import theme_command
from kimi_agent.trust_command import trust_command
from kimi_agent.undo_command import redo_command, undo_command


class Shell(Protocol):
    """What an interactive front end offers to commands."""

    agent: Agent
    session: Session
    draws: bool
    """A list is looked through on a screen of its own; else what a command has to say is told in words."""

    def show(self, markdown: str) -> None:
        """Print text for the person; it does not join the history."""
        ...

    def apply(self, events: Iterable[ev.Event]) -> None:
        """Draw events that a session's method answered."""
        ...

    async def run(self, events: AsyncIterator[ev.Event]) -> None:
        """Draw a turn or a compaction while it runs."""
        ...

    def switch(self, session: Session) -> None:
        """Go on with another session, its transcript replayed."""
        ...

    def copy(self, text: str) -> bool:
        """Put text on the clipboard; False where the terminal has none."""
        ...

    def put(self, text: str) -> None:
        """Give the person a text to edit and send again."""
        ...

    def set_theme(self, name: str) -> bool:
        """Draw with another theme from now on; False where the terminal's own colours are used."""
        ...

    def keys(self) -> Sequence[tuple[str, str]]:
        """The keys as they are now and what they do; none where there are no keys but those of the terminal."""
        ...

    async def choose(self, title: str, options: Sequence[Option], text: str = "") -> int | None:
        """The number of an option; None when it was closed. `text` is what it is about, Markdown that is shown above."""

    async def browse(self, listing: Listing) -> str | None:
        """Let the person look through a list; the id of the row that they picked, None when they closed it."""
        ...

    async def ask_text(self, label: str, *, secret: bool = False) -> str | None: ...
    def quit(self) -> None: ...


def _never(args: str) -> bool:
    return False


class Command(Struct, frozen=True):
    name: str
    help: str
    run: Callable[[Shell, str], Awaitable[None]]
    aliases: tuple[str, ...] = ()
    usage: str = ""
    while_running: bool = True
    prompt: bool = False
    """It is a prompt for the model: the session expands it, and it may wait in the queue as any other text."""
    prompts: Callable[[str], bool] = _never
    """Whether it is one with these arguments, where it is none with others."""
    headless: bool = False
    """It is no prompt, but the session takes it for what it is in a run without a screen."""
    complete: Callable[[Session, str], Awaitable[Sequence[Option]]] | None = None
    """What the last word of these arguments may be; a word ends at a blank."""


async def _help(shell: Shell, args: str) -> None:
    lines = ["| command | what it does |", "|---|---|"]
    for command in available(shell.session):
        names = ", ".join(f"/{name}" for name in (command.name, *command.aliases))
        usage = command.usage.replace("|", "\\|")  # a bar would end the cell
        lines.append(f"| `{f'{names} {usage}'.rstrip()}` | {command.help.replace('|', '¦')} |")
    if keys := shell.keys():
        lines += ["", "| key | what it does |", "|---|---|"]
        lines += [f"| {key.replace('|', '¦')} | {what} |" for key, what in keys]
    shell.show("\n".join(lines))


async def _new(shell: Shell, args: str) -> None:
    if not await may_end_tasks(shell):
        return
    old = shell.session
    shell.switch(shell.agent.open(ask=shell_ask(shell), cwd=old.cwd, model=old.model.name or None))
    await old.aclose()


async def _title(shell: Shell, args: str) -> None:
    if not args.strip():
        shell.show(f"The title is: {shell.session.title or '(none)'}. `/title TEXT` changes it.")
        return
    shell.apply(shell.session.rename(args))


async def _compact(shell: Shell, args: str) -> None:
    await shell.run(shell.session.compact(args.strip()))


async def _thinking(shell: Shell, args: str) -> None:
    value = args.strip() or {"off": "on"}.get(shell.session.thinking or "on", "off")
    if value not in ("on", "off", "low", "medium", "high", "max"):
        shell.show("Usage: `/thinking [on|off|low|medium|high|max]`")
        return
    shell.session.thinking = value
    shell.show(f"Thinking: {value}.")


def _toggle(mode: ev.Mode, on: str, off: str) -> Callable[[Shell, str], Awaitable[None]]:
    async def run(shell: Shell, args: str) -> None:
        session = shell.session
        wanted = {"on": True, "off": False}.get(args.strip(), session.mode != mode)
        if wanted or session.mode == mode:
            shell.apply(session.set_mode(mode if wanted else "default"))
        elif session.mode_before_plan == mode:  # it would come back with the approved plan
            session.mode_before_plan = "default"
        shell.show(on if wanted else off)

    return run


_toggle_plan = _toggle("plan", "Plan mode is on: read only, until you approve a plan.", "Plan mode is off.")


async def _plan(shell: Shell, args: str) -> None:
    file, word = shell.session.plan_file, args.strip()
    if word == "view":
        shell.show(file.read_text("utf-8", "replace") if file.is_file() else "There is no plan yet.")
    elif word == "clear":
        file.unlink(missing_ok=True)
        shell.show("The plan is deleted.")
    else:
        await _toggle_plan(shell, args)


async def _btw(shell: Shell, args: str) -> None:
    question = args.strip()
    if not question:
        shell.show("Usage: `/btw QUESTION`")
        return
    answer = await shell.session.aside(question)
    shell.show(f"**{' '.join(question.split())[:200]}**\n\n{answer}")


async def _login(shell: Shell, args: str) -> None:
    if shell.agent.login is None:
        shell.show("Run `kimi login` in a terminal.")
        return
    await shell.agent.login(shell)


async def _export(shell: Shell, args: str) -> None:
    session = shell.session
    if shell.agent.export is None:
        shell.show("Run `kimi export` in a terminal.")
        return
    path = session.cwd / (Path(args.strip()).expanduser() if args.strip() else f"kimi-session-{session.id}.md")
    if path.exists() and await shell.choose(f"{path} exists", [Option("Replace it"), Option("Keep it")]) != 0:
        return
    shell.agent.export(session.events(), path)
    shell.show(f"Written: `{path}`")


async def _add_dir(shell: Shell, args: str) -> None:
    workspace = shell.session.workspace
    known = (workspace.root, *workspace.extra_roots)
    if not args.strip():
        shell.show("\n".join(f"- `{folder}`" for folder in known))
        return
    folder = workspace.resolve(args.strip())
    if not folder.is_dir():
        shell.show(f"There is no folder `{folder}`.")
    elif folder in known:
        shell.show(f"`{folder}` is one of this session's folders already.")
    else:
        workspace.extra_roots = (*workspace.extra_roots, folder)
        shell.agent.extra_roots = (*shell.agent.extra_roots, folder)  # for subagents and later sessions
        shell.session.note(added_folder(folder))
        shell.show(f"`{folder}` belongs to the work now.")


async def _prompt(name: str, shell: Shell, args: str) -> None:
    text = f"/{name} {args}".rstrip()
    if shell.session.running:
        shell.session.queue(text)
    else:
        await shell.run(shell.session.prompt(text))


async def _quit(shell: Shell, args: str) -> None:
    shell.quit()


def shell_ask(shell: Shell) -> Ask:
    """The `Ask` of the shell's present session: new sessions of the same front end ask through the same screen."""
    return shell.session.ask


_ALL = (
    Command("help", "list the commands", _help, ("h", "?")),
    Command("new", "start a new session", _new, ("clear", "reset"), while_running=False),
    Command("sessions", "look through the sessions, go on with one", sessions_command, ("resume",), "[all]", while_running=False),
    Command("fork", "go on in a copy of this session", fork_command, while_running=False),
    Command("undo", "take back the last turn, or N: the conversation, the files that it changed, or both", undo_command, (),
            "[N] [both|conversation|files]", while_running=False),
    Command("redo", "bring back what was undone last", redo_command, while_running=False),
    Command("rewind", "go back to before an earlier message, here or in a fork; the files, too, if wanted", rewind_command,
            while_running=False),
    Command("title", "name this session", _title, ("rename",), "TEXT"),
    Command("queue", "the texts that wait: put them in order, take one back, steer with one", queue_command),
    Command("btw", "ask something beside the task; it leaves no trace in the conversation", _btw, (), "QUESTION"),
    Command("compact", "shorten the history now", _compact, (), "[what to keep]", while_running=False),
    Command("model", "pick the model", model_command, (), "[NAME]", while_running=False),
    Command("thinking", "switch thinking on or off, or set an effort", _thinking, (), "[on|off|low|high]"),
    Command("plan", "plan mode: read only", _plan, (), "[on|off|view|clear]"),
    Command("goal", "work on until it is shown to be reached", goal_command, (), "[TEXT|pause|stop]", prompts=sets_goal,
            headless=True),
    Command("yolo", "approve everything unasked", _toggle("yolo", "YOLO: nothing asks.", "Calls ask again."), (), "[on|off]"),
    Command("afk", "as yolo, and questions are skipped", _toggle("afk", "AFK: nothing asks.", "AFK is off."), ("auto",),
            "[on|off]"),
    Command("context", "what fills the context window; drop, restore or pin a piece of it", context_command, (),
            "[drop|restore|pin N]"),
    Command("diff", "what the session changed in files", diff_command, (), "[FILE]"),
    Command("usage", "tokens and cost of this session", usage_command, ("cost",)),
    Command("status", "model, folder, mode", status_command),
    Command("show", "the whole output of the newest tool call, or of call N", show_command, (), "[N]"),
    Command("hooks", "the hooks that run in this session", hooks_command),
    Command("mcp", "the MCP servers, and what they offer; connect anew, approve, reload", mcp_command, (), "[[ACTION] NAME]",
            complete=complete_mcp),
    Command("tasks", "what runs in the background; show or stop one", tasks_command, ("task",), "[[stop] ID]"),
    Command("theme", "the colours of the full-screen shell, also of later sessions", theme_command, (), "[NAME]"),
    Command("export", "write this session to a .md, .html or .json file", _export, ("export-md",), "[FILE]"),
    Command("init", "let the agent write AGENTS.md", partial(_prompt, "init"), (), "[what matters]", prompt=True),
    Command("add-dir", "work in another folder, too", _add_dir, (), "[DIR]"),
    Command("copy", "copy the last answer, or its Nth code block, to the clipboard", copy_command, (), "[N]"),
    Command("trust", "look at what of this folder is left out until you trust it", trust_command, while_running=False),
    Command("version", "the version of kimi", version_command),
    Command("login", "set up a provider and key", _login, ("setup",), while_running=False),
    Command("exit", "leave (the session is kept)", _quit, ("quit", "q")),
)  # fmt: skip

COMMANDS: dict[str, Command] = {command.name: command for command in _ALL}


NAMES = frozenset(name for command in _ALL for name in (command.name, *command.aliases))
"""What no skill and no custom command can be called by."""


def _table(session: Session) -> Mapping[str, Command]:
    """The commands of an agent that was built with plugins, else ours."""
    return session.commands or COMMANDS


def available(session: Session) -> list[Command]:
    """The commands of a session: ours, then its custom commands and skills."""
    own = session.skills.for_person()
    commands = list(_table(session).values())
    for name, skill in own.items():
        long = f"skill:{skill.name}"
        if name != long or own.get(skill.name) is not skill:
            aliases = (long,) if name == skill.name and own.get(long) is skill else ()
            commands.append(Command(name, skill.description, partial(_prompt, name), aliases, skill.hint, prompt=True))
    taken = {name for command in commands for name in (command.name, *command.aliases)}
    served = [(f"{prompt.server}:{prompt.name}", prompt) for prompt in prompts_of(session)]
    return commands + [_of_server(name, about(p), usage_of(p)) for name, p in served if name not in taken]


def _of_server(name: str, help_: str = "", usage: str = "") -> Command:
    """A prompt of an MCP server."""
    run, complete = partial(prompt_command, name), partial(complete_prompt, name)
    return Command(name, help_, run, usage=usage, headless=True, complete=complete)


def find(text: str, session: Session) -> tuple[Command, str] | None:
    """The command that `text` calls and its arguments; None when the text is no command (a path such as /etc is none)."""
    if not text.startswith("/"):
        return None
    name, _, args = text[1:].partition(" ")
    name = name.strip()
    for command in _table(session).values():
        if name == command.name or name in command.aliases:
            return command, args
    if (found := session.skills.find(text)) is not None:
        name = text[1:].split(maxsplit=1)[0]
        return Command(name, found[0].description, partial(_prompt, name), prompt=True), found[1]
    if (call := called(text, session.servers)) is not None:
        return _of_server(f"{call.server}:{call.name}"), text.partition(" ")[2]
    return None


_COMMAND_LIKE = re.compile(r"/((?:skill|flow):\S*|[a-zA-Z][\w-]*(?::\w[\w.:-]*)?)(\s|\Z)")


CompleteArguments: TypeAlias = Callable[[], Awaitable[Sequence[Option]]]
"""Answers what the last word of a text may be. Raises nothing."""


def completes_arguments(text: str, session: Session) -> CompleteArguments | None:
    """What knows the arguments of the command in `text`; None where nobody does."""
    if not text.startswith("/") or " " not in text or (found := find(text, session)) is None:
        return None
    command, args = found
    if (complete := command.complete) is None:
        return None

    async def known() -> Sequence[Option]:
        try:
            return await complete(session, args)
        except Exception:  # a stranger's code, perhaps
            return ()

    return known


def looks_like_command(text: str) -> bool:
    """Whether a text begins with a slash and a word, as a command does, and with no path that exists."""
    return bool(_COMMAND_LIKE.match(text)) and not os.path.exists(text.split()[0])  # noqa: PTH110 - Path raises for a long word


def is_prompt(text: str, session: Session) -> bool:
    """Whether a text that names a command is a prompt for the model."""
    found = find(text, session)
    return found is not None and (found[0].prompt or found[0].prompts(found[1]))


def refusal(text: str, session: Session) -> str:
    """Why a text is no prompt for a run without a screen; empty when it is one."""
    found = find(text, session)
    if found is not None:
        return "" if found[0].prompt or found[0].headless else f"/{found[0].name} works in the interactive shells only"
    return f"there is no command {text.split()[0]}" if looks_like_command(text) else ""


async def execute(shell: Shell, text: str) -> bool:
    """Run `text` if it is a command; False when it is none. Errors are shown, never raised."""
    found = find(text, shell.session)
    if found is None:
        return False
    command, args = found
    if shell.session.running and not command.while_running:
        shell.show(f"`/{command.name}` waits for the end of the turn: interrupt it first (Esc).")
        return True
    try:
        await command.run(shell, args)
    except KimiError as error:
        shell.show(error.full)
    except Exception as error:  # a stranger's code, perhaps: it must not cost the session
        shell.show(f"`/{command.name}` failed, which is a fault of its own: {type(error).__name__}: {error}")
    return True
