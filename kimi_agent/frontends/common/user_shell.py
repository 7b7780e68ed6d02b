"""The person's own commands in shell mode: a process per command, in a folder that `cd` changes for good."""

import asyncio
import codecs
import contextlib
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

DRAIN_S = 0.3
"""How long output is still awaited after the shell has ended, when a background child holds the pipe."""
_SCRIPT = 'trap \'pwd -P >&"$KIMI_PWD"\' EXIT\neval "$1"'


class UserShell:
    """Runs one command at a time with the person's own authority, outside of the model's permissions and sandbox."""

    def __init__(self, cwd: Path) -> None:
        self.cwd = cwd
        self._process: asyncio.subprocess.Process | None = None
        self._interrupts = 0

    @property
    def running(self) -> bool:
        return self._process is not None

    async def run(self, command: str, on_output: Callable[[str], None]) -> int | None:
        """Run `command` to its end and answer its exit code, None when it was killed. Output comes as it is written.

        Raises OSError or ValueError when it cannot be started: too long, a null character, no more processes.
        """
        output, folder = _Pipe(), _Pipe()  # our own pipes: asyncio's would wait for background children that hold them
        shell = shutil.which("bash") or "/bin/sh"
        try:
            process = await asyncio.create_subprocess_exec(
                shell, "-c", _SCRIPT, shell, command,
                cwd=self.cwd if self.cwd.is_dir() else Path.home(),
                env={**os.environ, "KIMI_PWD": str(folder.writer), "PAGER": "cat", "GIT_PAGER": "cat"},
                stdin=asyncio.subprocess.DEVNULL, stdout=output.writer, stderr=asyncio.subprocess.STDOUT,
                start_new_session=True, pass_fds=(folder.writer,),
            )  # fmt: skip
            self._process, self._interrupts = process, 0
            for pipe in (output, folder):
                pipe.close_writer()
            await self._follow(process, output.reader, on_output)
            self._follow_cd(folder.reader)
            code = process.returncode
            return code if code is not None and code >= 0 else None
        finally:
            if self._process is not None and self._process.returncode is None:
                self._kill(signal.SIGKILL)
            self._process = None
            for pipe in (output, folder):
                pipe.close()

    async def _follow(self, process: asyncio.subprocess.Process, reader: int, on_output: Callable[[str], None]) -> None:
        """Hand the output on until the shell has ended and its pipe is closed, or a while after the end."""
        loop = asyncio.get_running_loop()
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        closed = asyncio.Event()

        def read() -> None:
            try:
                chunk = os.read(reader, 65536)
            except BlockingIOError:
                return
            if text := decoder.decode(chunk, final=not chunk):
                on_output(text)
            if not chunk:
                loop.remove_reader(reader)
                closed.set()

        loop.add_reader(reader, read)
        try:
            await process.wait()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(closed.wait(), DRAIN_S)
        finally:
            loop.remove_reader(reader)

    def _follow_cd(self, reader: int) -> None:
        with contextlib.suppress(OSError):
            if folder := os.read(reader, 65536).decode(errors="surrogateescape").rstrip("\n"):
                self.cwd = Path(folder)

    def interrupt(self) -> None:
        """As Ctrl-C in a terminal; the second time the whole group is killed."""
        self._interrupts += 1
        self._kill(signal.SIGINT if self._interrupts == 1 else signal.SIGKILL)

    def kill(self) -> None:
        self._kill(signal.SIGKILL)

    def _kill(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)


class _Pipe:
    """A pipe whose reading end does not block."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)

    def close_writer(self) -> None:
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def close(self) -> None:
        self.close_writer()
        os.close(self.reader)
