"""One Jupyter kernel: a process of the workspace, spoken to through sockets in a private folder, never over the network."""

import asyncio
import json
import math
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING, Any

from kimi_agent.core.errors import ToolError
from kimi_agent.core.sanitize import plain
from kimi_agent.core.workspace import Exit, Workspace

if TYPE_CHECKING:
    from jupyter_client.asynchronous.client import AsyncKernelClient
    from zmq.asyncio import Context

START_S = 60.0
_ASK_AGAIN_S = 0.5
_QUIET_S = 2.0
"""After its reply, a kernel that says nothing for so long has lost its last word."""
MAX_MESSAGE = 64 << 20
"""Bytes; the connection drops a larger message instead of filling the memory of this program."""
_LAST_WORDS = 2000

# The folder of the session joins the import path only when the kernel itself is loaded: a module of its own that happens to
# be called like one of the kernel's does not break it.
# In a box nobody makes a socket that leads out: the kernel is given those that this program listens at, and only accepts. The
# one that it makes itself, for its forks, is bound to all addresses of the box (there is but the loopback), because libzmq looks
# at the list of them, which is refused, before it binds to one.
_LAUNCH = """\
import os, sys, tempfile
sys.path[:] = [path for path in sys.path if path]
import logging
import zmq
given = dict(zip(sys.argv.pop(1).split("\\n"), map(int, os.environ.pop("KIMI_DESCRIPTORS").split())))
try:
    os.mkdir(os.environ["IPYTHONDIR"])
    boxed = False
except OSError:
    os.environ["IPYTHONDIR"] = tempfile.mkdtemp(prefix="ipython-")
    boxed = True
bind = zmq.Socket.bind
def take_given(self, address):
    if address in given:
        self.setsockopt(zmq.USE_FD, given.pop(address))
    elif boxed:
        address = address.replace("tcp://127.0.0.1:", "tcp://*:")
    return bind(self, address)
zmq.Socket.bind = take_given
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
from ipykernel import kernelapp
kernelapp.launch_new_instance()
"""
_OPTIONS = ("--HistoryManager.enabled=False", "--InteractiveShell.colors=NoColor")

Message = dict[str, Any]


class KernelDied(Exception):
    """`str(error)` says how it ended, with its last words."""


def run_kernel(
    workspace: Workspace,
    python: str,
    connection: Path,
    listening: Mapping[str, socket.socket],
    on_output: Callable[[bytes], None],
) -> Coroutine[Any, Any, Exit]:
    """The one place where a kernel is started: in the session's folder, with the environment that commands get.

    It runs until it is cancelled; then all that it started is killed. `connection` lies in the private folder that kernel
    and client share; `listening` are the sockets of the kernel by their addresses.
    """
    env = {
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "IPYTHONDIR": str(connection.parent / "ipython"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "TERM": "dumb",
        "PAGER": "cat",
        "GIT_TERMINAL_PROMPT": "0",
    }
    argv = [python or sys.executable, "-c", _LAUNCH, "\n".join(listening), "-f", str(connection), *_OPTIONS]
    descriptors = [each.fileno() for each in listening.values()]
    return workspace.run(
        argv, cwd=workspace.root, env=env, timeout=math.inf, on_output=on_output, descriptors=descriptors
    )


def _listen(connection: Path) -> dict[str, socket.socket]:
    """Sockets at all addresses of a connection file."""
    given = json.loads(connection.read_text())
    listening: dict[str, socket.socket] = {}
    for name in ("shell", "iopub", "stdin", "control", "hb"):
        path = f"{given['ip']}-{given[f'{name}_port']}"
        made = listening[f"ipc://{path}"] = socket.socket(socket.AF_UNIX)
        made.bind(path)
        made.listen()
        made.setblocking(False)
    return listening


class Kernel:
    """A kernel that answers. Run one cell at a time."""

    def __init__(
        self, process: asyncio.Task[Exit], client: "AsyncKernelClient", context: "Context", folder: Path
    ) -> None:
        self.said = bytearray()
        self._process, self._client, self._context, self._folder = process, client, context, folder

    @classmethod
    async def start(cls, workspace: Workspace, python: str = "") -> "Kernel":
        """Raises ToolError, worded for the person and the model, when it does not come up."""
        import zmq
        from jupyter_client.asynchronous.client import AsyncKernelClient
        from jupyter_client.connect import write_connection_file
        from zmq.asyncio import Context

        folder = Path(tempfile.mkdtemp(prefix="kimi-notebook-"))
        file = folder / "kernel.json"
        write_connection_file(str(file), ip=str(folder / "socket"), transport="ipc", kernel_name="python3")
        context = Context()
        context.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE)
        context.setsockopt(zmq.RCVHWM, 0)
        client = AsyncKernelClient(context=context)
        client.load_connection_file(str(file))
        said = bytearray()

        def on_output(data: bytes) -> None:
            said.extend(data)
            del said[:-_LAST_WORDS]

        listening = _listen(file)
        process = asyncio.create_task(run_kernel(workspace, python, file, listening, on_output))
        kernel = cls(process, client, context, folder)
        kernel.said = said
        try:
            client.start_channels(stdin=False, hb=False)
            await kernel._hear()
            said.clear()  # its greeting
        except KernelDied as error:
            await kernel.aclose()
            raise ToolError(f"The Python kernel did not start: {error}") from None
        except BaseException:
            await kernel.aclose()
            raise
        finally:
            for each in listening.values():
                each.close()
        return kernel

    @property
    def alive(self) -> bool:
        return not self._process.done()

    def ending(self) -> str:
        """How the process ended, with the last words that it wrote outside of any cell."""
        how = "killed"
        if self._process.done() and not self._process.cancelled():
            error = self._process.exception()
            how = str(error) if error else f"exit code {self._process.result().code}"
        words = plain(self.said.decode("utf-8", "replace")).strip()
        return f"{how}\n{words}" if words else how

    async def execute(self, code: str, on_message: Callable[[Message], None]) -> Message:
        """Run a cell to its end; answer the reply's content, with `lost` true when output was lost on its way.

        `on_message` gets what the kernel publishes, also what threads and processes of earlier cells wrote since. Raises
        KernelDied.
        """
        sent = self._client.execute(code, allow_stdin=False)
        replied = asyncio.create_task(self._reply(sent))
        followed = asyncio.create_task(self._follow(sent, replied, on_message))
        try:
            await self._unless_dead(followed)
            await self._unless_dead(replied)
            if not followed.result():
                await self._subscribe_again()
            return {**replied.result(), "lost": not followed.result()}
        finally:
            for task in (replied, followed):
                task.cancel()
            await asyncio.gather(replied, followed, return_exceptions=True)

    def interrupt(self) -> None:
        """KeyboardInterrupt in the running cell, SIGINT for what it started."""
        self._client.control_channel.send(self._client.session.msg("interrupt_request", {}))

    async def aclose(self) -> None:
        """Kill it with all that it started. Nothing is left, in memory or on disk."""
        self._process.cancel()
        await asyncio.wait({self._process})
        self._client.stop_channels()
        self._context.destroy(linger=0)
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _hear(self) -> None:
        """Wait for both of its voices, at most START_S. Raises KernelDied."""
        waiting = asyncio.create_task(self._answered())
        try:
            async with asyncio.timeout(START_S):
                await self._unless_dead(waiting)
        except TimeoutError:
            raise KernelDied(f"it did not answer within {START_S:.0f} s") from None
        finally:
            waiting.cancel()

    async def _answered(self) -> None:
        """Until it has answered a question, and something that it publishes has come."""
        while True:
            self._client.kernel_info()
            with suppress(Empty):
                await self._client.get_shell_msg(timeout=_ASK_AGAIN_S)
                await self._client.get_iopub_msg(timeout=_ASK_AGAIN_S)
                return

    async def _reply(self, sent: str) -> Message:
        while True:
            message = await self._client.get_shell_msg(timeout=None)
            if message["parent_header"].get("msg_id") == sent:
                return dict(message["content"])

    async def _follow(self, sent: str, replied: asyncio.Task[Message], on_message: Callable[[Message], None]) -> bool:
        """Pass on what is published until the cell is over; False when its end was never told."""
        while True:
            try:
                message = await self._client.get_iopub_msg(timeout=_QUIET_S)
            except Empty:
                if replied.done():
                    return False
                continue
            if message["msg_type"] != "status":
                on_message(message)
            elif message["content"]["execution_state"] == "idle" and message["parent_header"].get("msg_id") == sent:
                return True

    async def _unless_dead(self, task: asyncio.Task[Any]) -> None:
        await asyncio.wait({task, self._process}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise KernelDied(self.ending())
        task.result()

    async def _subscribe_again(self) -> None:
        """A message over the limit has ended the connection. Until the new one stands, what is published is missed."""
        socket, url = self._client.iopub_channel.socket, self._client._make_url("iopub")
        socket.disconnect(url)
        socket.connect(url)
        await self._hear()
