"""A command at work, in the foreground or the background: its output in bounded memory, live on the screen or in a file."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from kimi_agent.core.access import NO_MORE, Access
from kimi_agent.core.task import TaskEnd
from kimi_agent.core.workspace import Exit, Workspace
from kimi_agent.tools.output import HeadTail, Live

_LEFT_RUNNING = (
    b"[the command has ended; what it started runs on until kimi ends, and its output from here on is lost]\n"
)


class RunningCommand:
    """`run` once; `show` decides meanwhile whether a person sees the output live."""

    def __init__(
        self,
        workspace: Workspace,
        argv: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        output: HeadTail,
        access: Access = NO_MORE,
        stdin: bytes = b"",
    ) -> None:
        self.output, self.access = output, access
        self._workspace, self._argv, self._cwd, self._env, self._stdin = workspace, argv, cwd, env, stdin
        self._live: Live | None = None
        self._ended: Exit | None = None

    def show(self, progress: Callable[[str], None] | None) -> None:
        if self._live is not None:
            self._live.close()
        self._live = Live(progress) if progress is not None else None

    async def run(self, timeout: float) -> TaskEnd:
        """Cancelling it kills the command with all that it started. Raises WorkspaceError when it cannot be started."""
        try:
            run = self._workspace.run
            if self.access != NO_MORE:  # workspaces of plugins may know of no box
                run = partial(run, access=self.access)
            if self._stdin:
                run = partial(run, stdin=self._stdin)
            ended = self._ended = await run(
                self._argv, cwd=self._cwd, env=self._env, timeout=timeout, on_output=self._feed
            )
            if ended.left_running and self._live is None:
                self._feed(_LEFT_RUNNING)
        finally:
            self.show(None)
            self.output.close()
        lost = f"(its output could not be saved: {self.output.problem})" if self.output.problem else ""
        return TaskEnd(ended.timed_out or ended.code != 0, ended.code, lost)

    def exit_of(self, work: asyncio.Task[TaskEnd]) -> Exit:
        """How it ended. Raises what `run` raised."""
        work.result()
        assert self._ended is not None
        return self._ended

    def _feed(self, data: bytes) -> None:
        shown = self.output.feed(data)
        if self._live is not None:
            self._live.feed(shown)
