"""`kimi --local MODEL`: the flags of a session, with the address of the local engine in them."""

import sys

from msgspec.structs import replace

from kimi_agent.cli.options import Options


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
