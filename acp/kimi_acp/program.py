"""From the arguments of `kimi acp` to a server that runs, with an agent that is put together beside its first answers."""

import asyncio
import atexit
import contextlib
import gc
import logging
import os
import signal
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from kimi_acp.providers import Providers
from kimi_acp.server import Server
from kimi_acp.wire import Wire
from kimi_agent.cli.agents import log_to_file, make_agent
from kimi_agent.cli.box import needs_box, require
from kimi_agent.cli.local import with_embedded_model, with_local_engine
from kimi_agent.cli.options import Options
from kimi_agent.config import Config
from kimi_agent.core.errors import ConfigError
from kimi_agent.core.event import Mode
from kimi_agent.core.exit import ExitCode
from kimi_agent.processes.harden import harden

if TYPE_CHECKING:
    from kimi_agent.agent.agent import Agent


T = TypeVar("T")
LAST_S = 0.5
"""How long the end may take: an editor that is closed leaves nothing behind."""


def serve(arguments: list[str], wire: Wire) -> NoReturn:
    """Ends the process with an `ExitCode`. Raises KimiError for options that cannot be followed."""
    _stand_somewhere()
    options = with_local_engine(_options(arguments), silent=True)
    harden()
    log_to_file(options)
    if not logging.getLogger().handlers:  # not even logging's last resort writes to standard error
        logging.getLogger().addHandler(logging.NullHandler())
    asyncio.run(_serve(options, wire))


def _stand_somewhere() -> None:
    """An editor may have been started in a folder that was deleted since; its sessions are in folders of their own."""
    try:
        Path.cwd()
    except OSError:
        os.chdir("/")


def _options(arguments: list[str]) -> Options:
    if not arguments:
        return Options()
    from typer.exceptions import TyperException

    from kimi_agent.cli.app import command
    from kimi_agent.cli.session_flags import parsed

    try:
        _, options = parsed(arguments, command(), "kimi acp")
    except TyperException as error:
        raise ConfigError(str(error), "kimi acp --help shows what there is.") from None
    of_one = options.headless or options.last or options.session is not None or options.start is not None
    if of_one or options.line or options.screen_reader or options.ui:
        raise ConfigError("kimi acp takes the options of sessions, not those of one session", "The editor opens them.")
    return options


def _with_model(config: Config) -> Config:
    """A name that the configuration leaves open is what the server has. Raises KimiError."""
    if not config.default_model or config.models[config.default_model].model:
        return config
    from kimi_agent.login import with_served_model

    return in_thread(with_served_model(config))


def in_thread(work: Coroutine[Any, Any, T]) -> T:
    """What is awaited before there is an agent: the loop at hand waits for it."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def _serve(options: Options, wire: Wire) -> NoReturn:
    providers = Providers(lambda: options.load())  # the options of now

    used: Config | None = None

    def make() -> "tuple[Agent, Mode]":
        """The agent and the mode of its sessions. Raises KimiError."""
        nonlocal used, options
        from kimi_agent.build import offers
        from kimi_agent.plugins.host import host_plugins

        options, _ = with_embedded_model(options, providers.config(), silent=True)
        config, cwd = _with_model(providers.config()), options.cwd()
        used = config
        plugins = host_plugins(options.home, config.plugins, lambda tool: offers(config, tool))
        agent = make_agent(config, cwd, options, plugins, headless=False)
        agent.mode_after_plan = options.mode_after_plan(config)
        if needs_box(options, config, headless=False) and agent.box is not None:
            in_thread(require(agent.box))
        gc.freeze()  # what is loaded by now stays: later collections pass over it
        gc.enable()
        return agent, options.mode(config)

    def reload(agent: "Agent") -> bool:
        """Whether the configuration is another one now. Raises KimiError."""
        nonlocal used
        assert agent.reconfigure is not None
        before, used = used, _with_model(providers.config())
        agent.reconfigure(used)
        return used != before

    server = Server(wire, make, reload, options.model or None, providers)
    stopped = 0

    def stop(number: int) -> None:
        nonlocal stopped
        stopped = number
        server.peer.stop()

    with _signals(stop):
        await server.serve()
    code = ExitCode(128 + stopped) if stopped else ExitCode.DONE
    late = threading.Timer(LAST_S, os._exit, [code])  # on a busy machine the loop itself may come too late
    late.daemon = True
    late.start()
    await asyncio.wait([asyncio.ensure_future(server.aclose())], timeout=LAST_S)
    wire.end()
    atexit._run_exitfuncs()
    # To take all its modules apart would cost the interpreter half a second; and where something would not end, a server of MCP
    # perhaps, what is left is killed when this process is gone.
    os._exit(code)


@contextlib.contextmanager
def _signals(stop: "object") -> Iterator[None]:
    loop, numbers = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, stop, number)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
