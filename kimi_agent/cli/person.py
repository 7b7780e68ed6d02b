"""A person at plain prompts: for `kimi login` and the first run, before any screen exists."""

import contextlib
import getpass
import signal
import sys
from collections.abc import Iterator, Sequence

from kimi_agent.core.ask import Option


class TerminalPerson:
    """Asks on standard error, so that standard output stays what the command answers. End of input is "no answer"."""

    def show(self, markdown: str) -> None:
        sys.stderr.write(f"{markdown}\n")
        sys.stderr.flush()

    async def choose(self, title: str, options: Sequence[Option]) -> int | None:
        lines = [
            f"  {n:>2}  {o.label}{'  - ' + o.description if o.description else ''}" for n, o in enumerate(options, 1)
        ]
        self.show("\n".join([title, *lines]))
        while (answer := await self.ask_text(f"1-{len(options)}")) is not None:
            if answer.isdecimal() and 1 <= int(answer) <= len(options):
                return int(answer) - 1
            if not answer:
                return None
            self.show(f"A number from 1 to {len(options)}; nothing to go back.")
        return None

    async def ask_text(self, label: str, *, secret: bool = False) -> str | None:
        with _interruptible():
            try:
                if secret and sys.stdin.isatty():
                    return getpass.getpass(f"{label} (not shown): ", stream=sys.stderr).strip()
                if sys.stdin.isatty():
                    sys.stderr.write(f"{label}: ")
                    sys.stderr.flush()
                line = sys.stdin.readline()
            except EOFError:
                return None
        return line.strip() if line else None


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end a blocking read: asyncio's own handler would only cancel the task, which cannot run meanwhile."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
