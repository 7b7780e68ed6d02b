"""What a session is made of: `Agent` gathers it, `Session` takes it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from msgspec import Struct

from kimi_agent.agent.agent_types import AgentTypes
from kimi_agent.agent.permissions import Permissions
from kimi_agent.agent.runner import Limits, Models
from kimi_agent.agent.skills import Library
from kimi_agent.agent.store import SessionLog
from kimi_agent.core import event as ev
from kimi_agent.core.access import BoxView
from kimi_agent.core.ask import Ask
from kimi_agent.core.attach import Attach
from kimi_agent.core.gate import Gate
from kimi_agent.core.provider import Model
from kimi_agent.core.redact import Redactor
from kimi_agent.core.snapshot import Snapshots
from kimi_agent.core.tool import Tool
from kimi_agent.core.workspace import Workspace

if TYPE_CHECKING:
    from kimi_agent.agent.hooks import Hooks
    from kimi_agent.agent.session import Session

MakeHooks: TypeAlias = Callable[[str, Path, Path, Callable[[ev.Event], None], bool], "Hooks"]
"""Makes a session's hooks from its id, its folder, its file, its `emit` and whether it is resumed."""


Evidence: TypeAlias = Literal["off", "mark", "ask"]


class Listener(Protocol):
    """Who is told of a session while no turn runs: what happens, and that `Session.go_on` has something to do."""

    def show(self, event: ev.Event) -> None: ...
    def wake(self) -> None: ...


class SessionParts(Struct, frozen=True):
    """`session_tools` makes the tools that act on the session itself; they keep it and use it when they are called.

    `fork_log` makes a session that begins with these events, `attach` reads what mentions in a prompt name, `commands` are the
    slash commands of front ends. `make_snapshots` makes what saves files, `private` is a folder whose files are not saved.
    `evidence` says what happens to claims, `rounds` makes a goal of every prompt (see goal.py).
    """

    log: SessionLog
    scratch: Path
    workspace: Workspace
    box: BoxView | None
    tools: Sequence[Tool]
    session_tools: Callable[["Session"], Sequence[Tool]]
    gates: Sequence[Gate]
    permissions: Permissions
    ask: Ask
    redactor: Redactor
    models: Models
    model: Model
    thinking: str | None
    limits: Limits
    skills: Library
    agent_types: AgentTypes
    commands: Mapping[str, Any]
    make_hooks: MakeHooks | None
    attach: Attach | None
    plan_file: Path
    max_tasks: int
    evidence: Evidence
    rounds: int
    fork_log: Callable[[Sequence[ev.Event]], "Session"]
    make_snapshots: Callable[[], Snapshots] | None
    private: str
