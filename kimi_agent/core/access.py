"""The box as the rest of the program sees it: how good it is, and what one command may do beyond it."""

from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

from kimi_agent.core.record import Record

Rung = Literal["R3", "R2", "R1", "R0"]
"""How a child process is boxed, best first: own namespaces, bubblewrap's, Landlock and seccomp alone, not at all."""


class Access(Record):
    """What one command may do beyond what its session's box allows. Only a person gives it, for this command.

    `write` are real absolute paths, `hosts` names that can be reached through the proxy; `outside`: it runs without a box.
    `git`: it was proved to be git alone, so the repository that this folder lies in may change, but not its hooks and settings.
    `net`: it shares the network of this machine, as MCP servers do; no command of the model ever has that.
    """

    write: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    outside: bool = False
    git: str = ""
    net: bool = False


NO_MORE = Access()
NO_BOX = "NO BOX"


class Check(Record):
    """One thing that the canary tried in the box. `held`: what had to work did, what had to fail did not happen."""

    name: str
    held: bool


class BoxState(Record):
    """What the canary proved. `reasons` say why each better rung is not there; `not_held` is what this one lets through."""

    rung: Rung
    reasons: tuple[tuple[str, str], ...] = ()
    checks: tuple[Check, ...] = ()

    @property
    def not_held(self) -> tuple[str, ...]:
        return tuple(check.name for check in self.checks if not check.held)

    @property
    def reason(self) -> str:
        """Why it is no better; empty for the best."""
        return "; ".join(f"{rung}: {why}" if len(self.reasons) > 1 else why for rung, why in self.reasons)


def box_words(state: BoxState, hosts: Sequence[str] = (), *, read_only: bool = False) -> str:
    """Which box a command has, what it reaches of the net, and what is not held, in a few words."""
    if state.rung == "R0":
        return NO_BOX
    reached = "hosts" if hosts and state.rung != "R1" else "off"
    words = [f"box {state.rung}", *(["read-only"] if read_only else []), f"net {reached}"]
    return " · ".join([*words, *([f"not held: {', '.join(state.not_held)}"] if state.not_held else [])])


class BoxView(Protocol):
    """The box of this run. `state` is None until it is proved; `hosts` can be reached by every command, through the proxy;
    `opened` are the paths beside the working folder that every command may write.

    `prove` blocks until the canary is back, `warm` has that done in a thread and calls `proved` there; `possible` is False where
    there cannot be a box.
    """

    hosts: tuple[str, ...]
    opened: tuple[str, ...]

    @property
    def state(self) -> BoxState | None: ...
    @property
    def possible(self) -> bool: ...
    def warm(self, proved: Callable[[], None] = ...) -> None: ...
    def prove(self) -> BoxState: ...
    def output(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path) -> Generator[bytes, None, None]:
        """What a program of ours prints, in pieces as they come, in a box where it writes nothing and reaches nobody.

        Blocks. Dropping the iterator ends the program. Raises OSError and BoxError when it cannot be started.
        """
        ...

    async def aclose(self) -> None: ...


class BoxError(Exception):
    """No box could be made. The text is for people: what failed, and why."""
