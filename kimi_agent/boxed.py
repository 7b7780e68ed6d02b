"""The part of the composition root that puts child processes into the box: the workspace's, the hooks'."""

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kimi_agent.agent.session_parts import MakeHooks
from kimi_agent.config import Config, SnapshotsConfig
from kimi_agent.core.access import Rung
from kimi_agent.core.errors import ConfigError
from kimi_agent.core.event import Event
from kimi_agent.core.hook import Hook
from kimi_agent.core.snapshot import MakeSnapshots, Snapshots
from kimi_agent.core.trust import Trust
from kimi_agent.core.workspace import Workspace
from kimi_agent.parts import Parts

if TYPE_CHECKING:
    from kimi_agent.workspaces.sandbox.box import Box


def hooks_of(
    config: Config,
    parts: Parts,
    box: "Box",
    extra_roots: Sequence[Path],
    caution: Callable[[Path], Callable[[], bool]] = lambda folder: lambda: False,
) -> MakeHooks | None:
    """What makes a session's hooks, if there are any. They run on this machine, in its box, wherever the session's tools work."""
    given, source = config.hooks, "configuration"
    own = [Hook(h.event, h.command, h.matcher, h.timeout, h.strict, source, outside=h.outside) for h in given]
    hooks = [*own, *parts.hooks]
    if not hooks:
        return None
    from kimi_agent.agent.hooks import Hooks
    from kimi_agent.workspaces.command import run_hook
    from kimi_agent.workspaces.spawn import room_of

    def make(session_id: str, cwd: Path, transcript: Path, emit: Callable[[Event], None], resumed: bool) -> Hooks:
        room = room_of(box, cwd, extra_roots, transcript.with_suffix(""), caution(cwd))
        run = functools.partial(run_hook, room=room, passed=config.box.env)
        return Hooks(hooks, run, session_id, cwd, transcript, emit, resumed)

    return make


def make_box(config: Config, home: Path, off: str = "", rungs: Sequence[Rung] = ()) -> "Box":
    """The box of this run, as configured; `off` is why there is none, empty when there is one. Raises ConfigError.

    `rungs` are those to try, the configuration's if none are given.
    """
    from kimi_agent.core.address import host_name
    from kimi_agent.core.environment import is_pattern
    from kimi_agent.workspaces.sandbox.box import Box
    from kimi_agent.workspaces.sandbox.policy import Places
    from kimi_agent.workspaces.sandbox.proof import RUNGS

    given = config.box
    try:
        hosts = [host_name(name) for name in given.hosts]
    except ValueError as error:
        raise ConfigError(f"box.hosts: {error}", "Write names, such as pypi.org or *.example.com.") from None
    if odd := [name for name in given.env if not is_pattern(name)]:
        raise ConfigError(f"box.env: {odd[0]!r} names no variable", "Write names, such as GH_TOKEN or AWS_*.")
    places = Places(str(home), os.path.expanduser("~"), given.write, given.read)  # noqa: PTH111 - there may be no home
    reason = off or ("it is turned off in config.toml" if given.mode == "off" else "")
    wanted: Sequence[Rung] = rungs or ([given.rung] if given.rung else RUNGS)
    return Box(places, hosts=hosts, rungs=wanted, off=reason)


def caution_of(trusted: Callable[[Path], Trust]) -> Callable[[Path], Callable[[], bool]]:
    """What tells, for a folder, whether commands may write nothing there yet: something of it waits to be trusted.

    What comes to lie there later, by a command perhaps, changes nothing for this run.
    """
    free: set[Path] = set()

    def of(folder: Path) -> Callable[[], bool]:
        def is_read_only() -> bool:
            if folder not in free and not trusted(folder).left_out:
                free.add(folder)
            return folder not in free

        return is_read_only

    return of


def workspaces_of(
    parts: Parts,
    name: str,
    extra_roots: Sequence[Path],
    box: "Box",
    caution: Callable[[Path], Callable[[], bool]] = lambda folder: lambda: False,
    passed: Sequence[str] = (),
) -> Callable[[Path, Path], Workspace]:
    """What makes the workspace of a session: the local one is in the box, and read-only there where `caution` says so.

    Raises ConfigError for an unknown name.
    """
    other = parts.workspace_of(name, extra_roots)
    if name != "local":
        return lambda folder, scratch: other(folder)
    from kimi_agent.workspaces.local import LocalWorkspace

    return lambda folder, scratch: LocalWorkspace(
        folder, extra_roots, box=box, scratch=scratch, is_read_only=caution(folder), passed=passed
    )


def snapshots_of(
    given: SnapshotsConfig, home: Path, place: str = "local", box: "Box | None" = None
) -> MakeSnapshots | None:
    """What makes the saved files of a session. They lie on this machine, and only what lies there is saved."""

    def make(session_id: str, workspace: Workspace) -> Snapshots:
        from kimi_agent.workspaces.snapshot_tree import Limits
        from kimi_agent.workspaces.snapshots import WorkspaceSnapshots

        return WorkspaceSnapshots(home.resolve(), session_id, workspace, Limits.of(given), box)

    return make if given.enabled and place == "local" else None
