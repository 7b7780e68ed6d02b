"""From flags to a running front end."""

import asyncio
import contextlib
import gc
import json
import os
import select
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from kimi_agent.cli.agents import log_to_file, make_agent
from kimi_agent.cli.box import needs_box, require
from kimi_agent.cli.local import with_embedded_model, with_local_engine
from kimi_agent.cli.options import Options
from kimi_agent.config import Config
from kimi_agent.core.errors import ConfigError, NoModelError, SessionError
from kimi_agent.frontends.common.terminal import can_draw
from kimi_agent.processes.harden import harden

if TYPE_CHECKING:
    from kimi_agent.agent.agent import Agent
    from kimi_agent.commands import Shell
    from kimi_agent.frontends.common.look import Look
    from kimi_agent.plugin import Plugin

STDIN_TOLD, STDIN_PATIENCE = 3.0, 10.0
"""Seconds of silence on standard input after which we say what we are waiting for, and go on without it."""


def start(options: Options) -> int:
    """Run the session that the flags ask for; answers its exit code. Raises KimiError."""
    options.check()
    harden()
    options = with_local_engine(options)
    config, cwd = options.load(), options.cwd()
    log_to_file(options)
    own = options.ui not in ("", "tui", "line")  # a plugin's front end: it need not have a terminal
    headless = options.headless or not (own or _is_tty(sys.stdin))
    for warning in config.warnings if headless else ():  # interactive front ends show `Agent.notices` themselves
        sys.stderr.write(f"kimi: {warning}\n")
    if not (headless or own or _is_tty(sys.stdout)):
        raise ConfigError("standard output is no terminal", 'Use -p "...", which prints only the answer.')
    options, config = with_embedded_model(options, config)
    config = _with_model(config, options, headless)
    session_id = _session_id(options, cwd, headless)
    arguments: dict[str, Any] = {"mode": options.mode(config), "session_id": session_id, "cwd": cwd}
    if session_id is None or options.model or options.provider or options.base_url or options.local:
        arguments["model"] = config.default_model
    if headless:
        arguments |= _print_arguments(options) | {"wait_ceiling": config.background.print_wait_ceiling_s}
    elif options.start:
        arguments["prompt"] = options.start
    spoken = options.screen_reader or config.screen_reader
    in_lines = options.line or spoken or not can_draw(os.environ)
    name = "print" if headless else options.ui or ("line" if in_lines else "tui")
    if not headless:
        arguments["look"] = _look(config)
    arguments |= {"plain": True} if spoken and name == "line" else {}
    from kimi_agent.agent.late import left_out
    from kimi_agent.build import offers
    from kimi_agent.frontends.common.status import unknown_items
    from kimi_agent.plugins.host import host_plugins
    from kimi_agent.trust_question import told_left_out

    plugins = host_plugins(options.home, config.plugins, lambda tool: offers(config, tool))
    frontend = _frontend(name, plugins)
    agent = make_agent(config, cwd, options, plugins, headless=headless)
    agent.notices = (*agent.notices, *(unknown_items(config.status_line) if not headless else ()))
    agent.mode_after_plan = options.mode_after_plan(config)
    agent.login = _login_for(agent, options)
    agent.remember = lambda key, value: _save(options, key, value)
    if session_id is None and not options.model and agent.main_agent.model in agent.models:
        arguments["model"] = agent.main_agent.model
    told = set(config.warnings)
    if headless:
        agent.skills(cwd)
        _tell_notices(agent, told)
    if (headless or own) and (paths := left_out(agent, cwd)):
        sys.stderr.write(f"kimi: {told_left_out(paths)}\n")
    if headless or own:
        _tell_servers(agent, cwd)
    try:
        return _run(name, frontend(**arguments), agent, boxed=needs_box(options, config, headless=headless))
    finally:
        if headless:  # what was left out when the session was opened
            _tell_notices(agent, told)


def start_serving(options: Options, make_frontend: Callable[..., Any], secret: str = "") -> int:
    """Run a front end that serves other programs; answers its exit code. `secret` is never to be seen. Raises KimiError.

    A mode that asks nobody comes from a flag alone: what a person has chosen for their own sessions is no word to others.
    """
    harden()
    options = with_local_engine(options)
    config, cwd = options.load(), options.cwd()
    log_to_file(options)
    config = _with_model(config, options, headless=True)
    from kimi_agent.agent.late import left_out
    from kimi_agent.build import offers
    from kimi_agent.plugins.host import host_plugins
    from kimi_agent.trust_question import told_left_out

    plugins = host_plugins(options.home, config.plugins, lambda tool: offers(config, tool))
    agent = make_agent(config, cwd, options, plugins, headless=True)
    agent.mode_after_plan = "yolo" if options.yolo else "afk" if options.afk else "default"
    agent.redactor.add("KIMI_MCP_TOKEN", secret)
    plans = options.plan or (config.default_plan_mode and agent.mode_after_plan == "default")
    mode = "plan" if plans else agent.mode_after_plan
    frontend = make_frontend(mode=mode, model=config.default_model if options.model else None)
    agent.skills(cwd)
    told: set[str] = set()
    _tell_notices(agent, told)
    if paths := left_out(agent, cwd):
        sys.stderr.write(f"kimi: {told_left_out(paths)}\n")
    _tell_servers(agent, cwd)
    return _run("mcp", frontend, agent, boxed=needs_box(options, config, headless=True))


def _look(config: Config) -> "Look":
    from kimi_agent.frontends.common.look import STATUS_ITEMS, Look

    return Look(
        theme=config.theme,
        editor=config.default_editor,
        show_thinking=config.show_thinking_stream,
        notifications=config.notifications.mode,
        still=config.reduced_motion,
        images=config.images,
        diffs=config.diffs,
        status_line=config.status_line or STATUS_ITEMS,
        vim=config.vim_mode,
        keys={name: (keys,) if isinstance(keys, str) else keys for name, keys in config.keys.items()},
    )


def _tell_notices(agent: "Agent", told: set[str]) -> None:
    for notice in agent.notices:
        if notice not in told:
            sys.stderr.write(f"kimi: {notice}\n")
    told.update(agent.notices)


def _tell_servers(agent: "Agent", cwd: Path) -> None:
    servers = agent.servers(cwd.resolve())
    if servers is not None:
        from kimi_agent.mcp_approval import told_unapproved

        for line in told_unapproved(servers):
            sys.stderr.write(f"kimi: {line}\n")


def _frontend(name: str, plugins: "Sequence[Plugin]") -> Any:
    """The class of a front end. Raises ConfigError when there is none of that name, or when it cannot be loaded."""
    from kimi_agent.frontends import FRONTENDS, load

    table = {key: value for plugin in reversed(plugins) for key, value in plugin.frontends.items()} | FRONTENDS
    try:
        return load(name, table)
    except KeyError:
        chosen = ", ".join(sorted(table.keys() - {"print", "json", "stream-json"}))
        raise ConfigError(f"there is no front end {name!r}", f"There are: {chosen}.") from None
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"the front end {name!r} cannot be loaded: {error}") from None


def _run(name: str, frontend: Any, agent: "Agent", *, boxed: bool) -> int:
    gc.freeze()  # what is loaded by now stays: later collections pass over it
    gc.enable()
    answers = contextlib.redirect_stdout(sys.stderr) if name == "print" else contextlib.nullcontext()

    async def drive() -> int:
        try:
            if boxed and agent.box is not None:
                await require(agent.box)
            return int(await frontend.run(agent))
        finally:
            await agent.aclose()

    with answers:  # what a plugin's tool prints must not come between: the front end has its own stream
        return asyncio.run(drive())


def _login_for(agent: "Agent", options: Options) -> Callable[["Shell"], Awaitable[None]]:
    """What `/login` does: the set-up of `kimi login` in the front end's own panels, then the new model at once."""

    async def log_in(shell: "Shell") -> None:
        from kimi_agent.login import login

        account = await login(shell, options.config_path)
        if account is None:
            return
        assert agent.reconfigure is not None
        agent.reconfigure(replace(options, model="", config=None).load())
        agent.default_model = account.model
        shell.apply(shell.session.set_model(account.model))

    return log_in


def _save(options: Options, key: str, value: Any) -> None:
    from kimi_agent.config.edit import save

    save(options.config_path, {(key,): value})


def _print_arguments(options: Options) -> dict[str, Any]:
    output = options.output_format or "text"
    input_format = options.input_format or "text"
    typed = _joined(options.prompt or "", options.start or "")
    piped = input_format == "text" and not _is_tty(sys.stdin)
    return {
        "prompt": _joined(typed, _read_stdin(bool(options.prompt))) if piped else typed,
        "typed": typed,
        "output": output,
        "input": input_format,
        "schema": _schema(options.json_schema),
        "final_only": options.final_message_only or options.quiet,
        "verbose": options.verbose,
    }


def _joined(*parts: str) -> str:
    return "\n\n".join(_utf8(part) for part in parts if part.strip())


def _utf8(text: str) -> str:
    """Arguments that are no UTF-8 carry surrogates, which no API takes."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _read_stdin(has_prompt: bool) -> str:
    """All of standard input.

    Beside a prompt, a pipe that stays silent is not waited for without end: programs that start us often leave one open.
    """
    if sys.stdin is None:
        return ""
    if has_prompt and not _stdin_speaks(STDIN_TOLD):
        sys.stderr.write("kimi: waiting for standard input (`< /dev/null` gives none)\n")
        if not _stdin_speaks(STDIN_PATIENCE - STDIN_TOLD):
            sys.stderr.write(f"kimi: nothing came on standard input for {STDIN_PATIENCE:g} s; going on without it\n")
            return ""
    return sys.stdin.buffer.read().decode("utf-8", "replace")


def _stdin_speaks(seconds: float) -> bool:
    """Whether there is something to read, or the end, within so many seconds; true where that cannot be told."""
    try:
        return bool(select.select([sys.stdin], [], [], seconds)[0])
    except (OSError, ValueError):
        return True


def _schema(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        schema = json.loads(path.expanduser().read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"--json-schema {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"--json-schema {path}: not JSON: {error}") from None
    if not isinstance(schema, dict):
        raise ConfigError(f"--json-schema {path}: a schema is a JSON object")
    return schema


def _with_model(config: Config, options: Options, headless: bool) -> Config:
    """A configuration whose model can be asked: names left open are looked up, a first run is led through the set-up."""
    if not config.default_model:
        if headless:
            hint = "Run `kimi login`, or set KIMI_API_KEY, or name a server with --base-url URL."
            raise NoModelError("no model is configured", hint)
        from kimi_agent.cli.login import first_run

        first_run(options.config_path)
        config = options.load()
    if not config.default_model:
        raise NoModelError("no model is configured", "Run `kimi login`.")
    if config.models[config.default_model].model:
        return config
    from kimi_agent.login import with_served_model

    return asyncio.run(with_served_model(config))


def _session_id(options: Options, cwd: Path, headless: bool) -> str | None:
    """The session to go on with, None for a new one. Raises SessionError when there is no such session."""
    if options.session is None and not options.last:
        return None
    from kimi_agent.agent.store import SessionStore

    store = SessionStore(options.home)
    if options.session:
        return store.path(options.session).stem
    found = store.list(cwd)
    if not found:
        raise SessionError(f"there is no earlier session in {cwd}", "Start one with `kimi`.")
    if options.last or headless:
        return found[0].id
    from kimi_agent.cli.sessions import pick

    return pick(found)


def _is_tty(stream: Any) -> bool:
    try:
        return bool(stream is not None and stream.isatty())
    except ValueError:  # closed
        return False
