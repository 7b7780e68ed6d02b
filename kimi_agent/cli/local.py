"""The flags of a session with the address of the local engine in them: for `kimi --local MODEL`, and where no model is set up."""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor

from msgspec.structs import replace

from kimi_agent.cli.options import Options
from kimi_agent.config import Config
from kimi_agent.core.errors import KimiError


def with_local_engine(options: Options, *, silent: bool = False) -> Options:
    """The options, and the engine that `--local` asks for running. Raises ConfigError, NoModelError.

    `silent`: nothing is written to standard error meanwhile.
    """
    if not options.local or options.local_url:
        return options
    from kimi_agent.local_engine import local_engine

    teller = _Teller(silent)
    try:
        engine = local_engine(options.home, options.local, teller.tell)
    finally:
        teller.end()
    return replace(options, local_url=engine.url, local_key=engine.token)


def with_embedded_model(options: Options, config: Config, *, silent: bool = False) -> tuple[Options, Config]:
    """Both as they are where a model is set up, or a server of this machine can be; else with the embedded model running.

    Raises ConfigError for a setting that cannot be followed. Where the engine cannot start, that is told, and nothing changes.
    """
    if config.default_model or config.models:
        return options, config
    from kimi_agent.embedded import embedded_folder, start_embedded

    folder = embedded_folder(config.embedded_model)
    if folder is None or _has_server():
        return options, config
    teller = _Teller(silent or sys.stderr is None or not sys.stderr.isatty())  # elsewhere one line is all that is said
    try:
        engine = start_embedded(options.home, folder, teller.tell)
    except KimiError as error:
        if not silent and sys.stderr is not None:
            sys.stderr.write(f"kimi: the embedded model is not there: {error.full}\n")
        return options, config
    finally:
        teller.end()
    options = replace(options, embedded_url=engine.url, embedded_key=engine.token)
    return options, options.load()


def _has_server() -> bool:
    """Whether a server of models runs on this machine: then a person is led to it. Also where a loop runs already."""
    from kimi_agent.providers.models import discover

    with ThreadPoolExecutor(1) as thread:
        return bool(thread.submit(asyncio.run, discover()).result())


class _Teller:
    """Progress on standard error: one line that is drawn again on a terminal, a line per stage elsewhere."""

    def __init__(self, silent: bool) -> None:
        self._silent = silent or sys.stderr is None
        self._draws = not self._silent and sys.stderr.isatty()
        self._stage = ""

    def tell(self, stage: str, done: float | None) -> None:
        if self._draws:
            share = f" {done:4.0%}" if done is not None else ""
            sys.stderr.write(f"\r\x1b[Kkimi: {stage}{share}")
            sys.stderr.flush()
        elif stage != self._stage and not self._silent:
            sys.stderr.write(f"kimi: {stage}\n")
        self._stage = stage

    def end(self) -> None:
        if self._draws and self._stage:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
