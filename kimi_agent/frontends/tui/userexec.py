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
        """Run `command` to its end and answer its exit code, None when it was killed. Output comes as it is written."""
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        shell = shutil.which("bash") or "/bin/sh"
        try:
            self._process = await asyncio.create_subprocess_exec(
                shell, "-c", _SCRIPT, shell, command,
                cwd=self.cwd if self.cwd.is_dir() else Path.home(),
                env={**os.environ, "KIMI_PWD": str(writer), "PAGER": "cat", "GIT_PAGER": "cat"},
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
                start_new_session=True, pass_fds=(writer,),
            )  # fmt: skip
        finally:
            os.close(writer)
        try:
            await self._pump(self._process, on_output)
            self._follow_cd(reader)
        finally:
            os.close(reader)
            if self._process.returncode is None:
                self._kill(signal.SIGKILL)
            code, self._process, self._interrupts = self._process.returncode, None, 0
        return code if code is not None and code >= 0 else None

    async def _pump(self, process: asyncio.subprocess.Process, on_output: Callable[[str], None]) -> None:
        assert process.stdout is not None
        stream = process.stdout
        decoder = codecs.getincrementaldecoder("utf-8")("replace")

        async def copy() -> None:
            while chunk := await stream.read(65536):
                on_output(decoder.decode(chunk))
            on_output(decoder.decode(b"", final=True))

        copying = asyncio.create_task(copy())
        try:
            await process.wait()
            await asyncio.wait([copying], timeout=DRAIN_S)
        finally:
            copying.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await copying

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
