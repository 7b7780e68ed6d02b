"""The person's own shell in shell mode: one of it, on a pseudo-terminal, with their rc files and their whole environment.

It runs with the person's authority, outside of the model's permissions and sandbox. It is started with the first command
and lasts, with its folder, variables, aliases and background jobs, until it is left or the session ends.
"""

import asyncio
import os
import secrets
import shutil
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from kimi_agent.frontends.common.lending import CannotLend, Lend, pass_output, passing_keys, take_back, terminal_size
from kimi_agent.frontends.common.output_flow import OutputFlow
from kimi_agent.frontends.common.pty_child import PtyChild, Size
from kimi_agent.frontends.common.shell_folder import new_folder
from kimi_agent.frontends.common.shell_kinds import COMMAND_FILE, REPLY_FILE, Chosen, Start
from kimi_agent.frontends.common.shell_marks import Began, Ended, Marks, Output, Over, Piece, Switch

WATCH_S = 0.1
"""Seconds between two looks at what tells nothing by itself: the size of the window, whether a password is read."""
ASK_S = 2.0
"""Seconds that a quiet question to the shell may take, with the start of the shell."""
LEFT = b"(The shell's start files end it: here is one without them.)\n"
_SCREEN = frozenset({b"1049", b"1047", b"47"})


class UserShell:
    """Runs one command at a time. `changed` is called when `reads_secret` or `alive` may have changed.

    `lend` gives the terminal to full-screen programs; without it they draw into the output, which keeps only their words.
    """

    def __init__(
        self,
        cwd: Path,
        *,
        lend: Lend | None = None,
        size: Callable[[], Size] = terminal_size,
        changed: Callable[[], None] = lambda: None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.cwd = self._home = cwd
        self.reads_secret = False
        self._lend, self._size, self._changed, self._environ = lend, size, changed, environ
        self._child: PtyChild | None = None
        self._folder: Path | None = None  # what the shell reads: its start, and the command
        self._marks = Marks("")
        self._pieces: deque[Piece] = deque()
        self._flow = OutputFlow(lambda text: None)
        self._ready = asyncio.Event()
        self._end: asyncio.Future[int | None] | None = None  # of the running command
        self._asked: asyncio.Future[None] | None = None  # a quiet question
        self._greeting = ""  # what the shell said when it was started for a question
        self._how = Start([], {})
        self._chosen = Chosen(environ)
        self._inside = False  # a command runs, by what the shell says
        self._begun = False  # it has begun since it was given
        self._echoing = False  # the line that runs a command is on its way
        self._modes: frozenset[bytes] = frozenset()
        self._lent: asyncio.Task[None] | None = None
        self._returned = asyncio.Event()
        self._passing = False
        self._interrupts = 0
        self._early = ""  # typed before the command has begun
        self._answered = False  # a secret was typed

    @property
    def running(self) -> bool:
        return self._end is not None

    @property
    def alive(self) -> bool:
        return self._child is not None

    @property
    def kind(self) -> str:
        """Its name: bash, zsh, fish or sh."""
        return self._chosen.kind

    @property
    def home(self) -> Path:
        return Path(self._environ.get("HOME") or Path.home())

    @property
    def search_path(self) -> str:
        return self._environ.get("PATH", os.defpath)

    @property
    def lent(self) -> bool:
        """Whether a full-screen program has the terminal."""
        return self._lent is not None

    def move(self, folder: Path) -> None:
        """The session is in this folder now: a shell that was begun in another one ends."""
        if folder != self._home:
            self.kill()
            self.cwd = self._home = folder

    # --- a command ----------------------------------------------------------------------------------------------------

    async def run(self, command: str, on_output: Callable[[str], None]) -> int | None:
        """Run `command` to its end and answer its exit code, None when the shell was killed.

        `on_output` gets the output as it comes, not sanitised, and after the end what background jobs write. Raises OSError
        or ValueError when nothing can be run: no more processes, a null character.
        """
        if "\0" in command:
            raise ValueError("A command cannot hold a null character.")
        assert self._end is None, "one command at a time"
        self._flow.flush()
        self._flow.show = on_output
        end = self._end = asyncio.get_running_loop().create_future()
        self._interrupts, self._early = 0, ""
        self._begun = self._asked is not None and self._begun
        watching = None
        try:
            if self._child is None:
                self._start()
            elif self._greeting:
                on_output(self._greeting)
                self._greeting = ""
            watching = asyncio.create_task(self._watch())
            ready = asyncio.create_task(self._idle())
            await asyncio.wait((ready, end), return_when=asyncio.FIRST_COMPLETED)
            ready.cancel()
            if not end.done():
                self._begun = False
                self._give(command)
            code: int | None = await end
            if self._lent is not None:
                await asyncio.wait((self._lent,))
            return code
        except asyncio.CancelledError:
            self.kill()
            raise
        finally:
            if watching is not None:
                watching.cancel()
            self._flow.flush()
            self._end = None
            self._tell_secret(False)

    def _start(self) -> None:
        nonce = secrets.token_hex(16)
        self._ready.clear()
        self._echoing = self._inside = False
        self._modes = frozenset()
        self._marks = Marks(nonce)
        self._folder = new_folder()
        cwd = self._home if self._home.is_dir() else Path.home()
        try:
            self._how = how = self._chosen.prepare(self._folder, nonce)
            self._child = PtyChild(
                how.argv, cwd=cwd, env=how.env, size=self._size(), on_data=self._take, on_exit=self._exited
            )
        except OSError:
            self._forget_folder()
            raise
        self.cwd = cwd

    async def _idle(self) -> None:
        await self._ready.wait()
        if self._asked is not None:
            await asyncio.wait((self._asked,))

    async def ask(self, script: str) -> str | None:
        """What `script` writes to the file `@REPLY@`, quietly: nobody sees it, and no history has it.

        None when the shell is busy or takes too long.
        """
        if self.running or self._asked is not None or "\0" in script:
            return None
        try:
            async with asyncio.timeout(ASK_S):
                if self._child is None:
                    self._flow.show = self._greet
                    self._start()
                await self._ready.wait()
                if self.running or self._folder is None:
                    return None
                reply = self._folder / REPLY_FILE
                self._asked, self._begun = asyncio.get_running_loop().create_future(), False
                self._give(script.replace("@REPLY@", f"'{reply}'"))
                await asyncio.shield(self._asked)
                return reply.read_bytes().decode(errors="surrogateescape")
        except TimeoutError:
            if self._asked is not None:
                self._echoing, self._begun = True, True
                self._send("\x03")
            return None
        except (OSError, ValueError):
            return None
        finally:
            self._unlink(REPLY_FILE)

    def _greet(self, text: str) -> None:
        self._greeting += text

    def _answer(self) -> bool:
        """Whether it was a quiet question that has ended."""
        asked, self._asked = self._asked, None
        if asked is not None and not asked.done():
            asked.set_result(None)
        self._echoing = self._echoing and asked is None
        return asked is not None

    def _give(self, command: str) -> None:
        assert self._child is not None
        assert self._folder is not None
        (self._folder / COMMAND_FILE).write_bytes(command.encode("utf-8", "surrogateescape"))
        self._echoing = True
        if not self._how.noisy:  # a line editor sets what it needs
            self._child.mend_modes()
        self._child.write(self._how.trigger)

    async def _watch(self) -> None:
        while self._child is not None:
            if not self._ready.is_set() and self._chosen.was_left_for_another(self._child.pid):
                self._child.kill()
            elif not self.lent:
                self._child.resize(self._size())
                self._tell_secret(self._child.reads_secret)
            else:
                self._child.resize(terminal_size())
            await asyncio.sleep(WATCH_S)

    def _tell_secret(self, reads: bool) -> None:
        if reads != self.reads_secret:
            self.reads_secret = reads
            self._flow.flush()  # what it asks for
            self._changed()

    # --- what the person does meanwhile -------------------------------------------------------------------------------

    def type(self, text: str) -> None:
        """Keys for the program that runs, as a terminal sends them: Enter is a carriage return.

        Before the command has begun they wait: the shell would take them for a command.
        """
        self._answered = self.reads_secret
        if self._ready.is_set() and not self._inside:
            self._early += text
        else:
            self._send(text)

    def tab(self, typed: str) -> bool:
        """Tab, behind what is typed, for a program that reads keys; False when the one that runs reads lines."""
        if self._child is None or not self._inside or not self._child.reads_keys:
            return False
        self._send(f"{typed}\t")
        return True

    def _send(self, text: str) -> None:
        if self._child is not None:
            self._child.write(text.encode("utf-8", "replace"))

    def interrupt(self) -> None:
        """Ctrl-C. When the program has not said a word since the last one, it is killed."""
        self._interrupts += 1
        self._echoing, self._begun = False, True  # a line that is thrown away never begins
        if self._interrupts > 1 and self._child is not None:
            self._child.kill_foreground()
        else:
            self._send("\x03")

    def suspend(self) -> None:
        """Ctrl-Z."""
        self._send("\x1a")

    def end_input(self) -> None:
        """Ctrl-D: the end of what a program reads, or of the shell itself when none runs."""
        self._send("\x04")

    def kill(self) -> None:
        """End the shell and all that was started in it."""
        if self._child is not None:
            self._child.kill()

    # --- what the shell writes ----------------------------------------------------------------------------------------

    def _take(self, data: bytes) -> None:
        self._pieces.extend(self._marks.feed(data))
        self._work()

    def _work(self) -> None:
        """Follow the pieces, up to one that gives the terminal away or takes it back."""
        while self._pieces and (self._lent is None or (self._passing and not self._returned.is_set())):
            match self._pieces.popleft():
                case Output(data):
                    self._show(data)
                case Began():
                    self._echoing, self._inside, self._begun = False, True, True
                    self._unlink(COMMAND_FILE)
                    self._send(self._early)
                    self._early = ""
                case Over():
                    self._inside = False
                case Ended(code, folder):
                    self._ended(code, folder)
                case Switch() as switch:
                    self._switch(switch)

    def _show(self, data: bytes) -> None:
        if self._passing:
            pass_output(data)
            return
        if self._echoing or (self._how.noisy and self._ready.is_set() and not self._inside):
            return
        if data.strip(b"^C\r\n"):
            self._interrupts = 0
            if self._answered:  # it asks for the next secret
                self._answered = self.reads_secret = False
        self._flow.add(data)

    def _ended(self, code: int, folder: Path) -> None:
        """A mark of the end; each prompt repeats it, so that one may come before the next command has begun."""
        self.cwd = folder
        if not self._ready.is_set():
            self._ready.set()
            self._unlink("start", ".zshrc", ".zshenv")
        elif self._begun:
            self._inside = False
            self._returned.set()
            if not self._answer() and self._end is not None and not self._end.done():
                self._end.set_result(code)

    def _switch(self, switch: Switch) -> None:
        if not self._inside:
            return
        self._modes = self._modes | switch.modes if switch.on else self._modes - switch.modes
        if self._passing:
            pass_output(switch.data)
            if not self._modes:
                self._returned.set()
        elif switch.on and self._lend is not None and self._child is not None:
            self._child.pause()
            self._returned.clear()
            self._lent = asyncio.create_task(self._lend_out(self._lend, self._child, switch.data))

    async def _lend_out(self, lend: Lend, child: PtyChild, first: bytes) -> None:
        """Let a full-screen program have the terminal until it gives it back, is suspended or ends."""
        try:
            async with lend():
                with passing_keys(child.write, self._returned.set):
                    child.resize(terminal_size())
                    self._passing = True
                    pass_output(first)
                    self._work()
                    child.read_on()
                    await self._returned.wait()
                    child.pause()
                take_back(on_screen=bool(self._modes & _SCREEN))
        except CannotLend:
            self._lend = None
            self._flow.add(b"\n(There is no terminal here for full-screen programs: quit it, or press Ctrl-C.)\n")
        finally:
            self._passing, self._lent, self._modes = False, None, frozenset()
            child.resize(self._size())
            self._work()
            child.read_on()

    def _exited(self, code: int | None) -> None:
        self._child, self._inside = None, False
        self._returned.set()
        self._answer()
        if self._lent is None:
            self._work()
        self._forget_folder()
        self.cwd = self._home
        if not self._started_again(code) and self._end is not None and not self._end.done():
            self._end.set_result(code)
        self._flow.flush()
        self._changed()

    def _started_again(self, code: int | None) -> bool:
        """Whether the command gets another shell than one that has ended before its first prompt."""
        if self._end is None or self._ready.is_set() or not self._chosen.once_more(code):
            return False
        if code is not None:
            self._flow.add(LEFT)
        with suppress(OSError):
            self._start()
        return self._child is not None

    # --- its files ----------------------------------------------------------------------------------------------------

    def _unlink(self, *names: str) -> None:
        if self._folder is not None:
            for name in names:
                with suppress(OSError):
                    (self._folder / name).unlink()

    def _forget_folder(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
