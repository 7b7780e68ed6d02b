"""What the command line asks of the box: whether it must hold, and what `kimi doctor --trust` tells of it."""

import asyncio
import os
from collections.abc import Iterable, Iterator

from kimi_agent.cli.options import Options
from kimi_agent.config import Config
from kimi_agent.core.access import BoxState, BoxView, Rung
from kimi_agent.core.errors import ConfigError

WORDS = {
    "write_in": "commands can write in the working folder",
    "write_out": "files outside of it cannot be written",
    "create_out": "no file can be made outside of it",
    "chmod_out": "modes, owners and times of files outside of it cannot be changed",
    "unlink_out": "no file outside of it can be removed",
    "read_hidden": "keys, and kimi's own settings and sessions, cannot be read",
    "tcp": "nothing is reached by TCP, not even this machine",
    "udp": "nothing is reached by UDP",
    "unix": "no socket of another program is reached",
    "environ_parent": "kimi's environment, with its keys, cannot be read",
    "kill_parent": "kimi cannot be killed",
    "proc_sys": "settings of the kernel cannot be changed",
}
"""What each check of the canary proves, in words."""


def needs_box(options: Options, config: Config, *, headless: bool) -> bool:
    """Whether nothing is to start where no box holds: somebody said so, or nobody is there to look."""
    if options.require_sandbox or config.box.mode == "require":
        return not options.no_sandbox
    return headless and bool(os.environ.get("CI")) and not options.no_sandbox and config.box.mode != "off"


async def require(box: "BoxView") -> None:
    """Raises ConfigError where no box holds."""
    state = await asyncio.to_thread(box.prove)
    if state.rung == "R0":
        hint = "`kimi doctor --trust` tells more; --no-sandbox goes on without one."
        raise ConfigError(f"no box for commands holds on this machine: {state.reason}", hint)


def box_lines(rungs: Iterable[tuple[Rung, BoxState]]) -> Iterator[tuple[bool, str, str]]:
    """What was proved of each rung: whether it holds, its name, and what to tell."""
    for rung, state in rungs:
        if state.rung != rung:
            yield False, rung, f"is not to be had: {state.reason}"
            continue
        for check in state.checks:
            yield check.held, rung, WORDS.get(check.name, check.name)
