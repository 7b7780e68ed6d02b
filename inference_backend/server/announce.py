"""What a server says of itself: to a person at a terminal, as lines for a log, or as JSON for the program that started it."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from inference_backend.checkpoint.folder import Progress
from inference_backend.server.served import Served


class Announcer(Protocol):
    def listening(self, url: str, socket: Path | None, token_file: Path) -> None: ...

    def loading(self, what: str, done: int, total: int) -> None:
        """In the thread that loads."""
        ...

    def ready(self, served: Served, url: str, socket: Path | None, token_file: Path) -> None: ...

    def draining(self, seconds: float, answers: int) -> None:
        """`answers` are on their way, and have so many seconds to end; without any it ends now."""
        ...

    def warn(self, text: str) -> None: ...

    def failed(self, text: str, hint: str) -> None:
        """The server ends with this."""
        ...


class JsonAnnouncer:
    """One JSON object per line on standard output, told apart by `event`."""

    def listening(self, url: str, socket: Path | None, token_file: Path) -> None:
        self._say("listening", url=url, socket=str(socket or ""), token_file=str(token_file))

    def loading(self, what: str, done: int, total: int) -> None:
        self._say("loading", what=what, done=done, total=total)

    def ready(self, served: Served, url: str, socket: Path | None, token_file: Path) -> None:
        place = {"url": url, "socket": str(socket or ""), "token_file": str(token_file)}
        self._say("ready", model=served.name, context_length=served.context, **place)

    def draining(self, seconds: float, answers: int) -> None:
        self._say("draining", seconds=seconds, answers=answers)

    def warn(self, text: str) -> None:
        self._say("warning", message=text)

    def failed(self, text: str, hint: str) -> None:
        self._say("error", message=text, hint=hint)

    def _say(self, event: str, **facts: Any) -> None:
        with suppress(OSError):  # who started the server may have read what it wanted, and gone
            sys.stdout.write(json.dumps({"event": event, **facts}) + "\n")
            sys.stdout.flush()


class LineAnnouncer:
    """Lines on standard error; `progress` shows how far the load is (a bar, or a line for each tenth)."""

    def __init__(self, progress: Progress, done: Callable[[], None] = lambda: None) -> None:
        self._progress, self._done = progress, done

    def listening(self, url: str, socket: Path | None, token_file: Path) -> None:
        self._say(f"listening on {socket or url}")

    def loading(self, what: str, done: int, total: int) -> None:
        self._progress(what, done, total)

    def ready(self, served: Served, url: str, socket: Path | None, token_file: Path) -> None:
        self._done()
        self._say(f"ready: {served.name}, {served.context:,} tokens of context, at {socket or url}")
        self._say(f"the token lies in {token_file}")

    def draining(self, seconds: float, answers: int) -> None:
        if not answers:
            self._say("ending: nothing is being answered")
            return
        what = "one answer" if answers == 1 else f"{answers} answers"
        self._say(f"ending: {what} on the way, {seconds:g} s at most; until then the model keeps its memory")
        self._say("a second signal ends it at once")

    def warn(self, text: str) -> None:
        self._say(f"warning: {text}")

    def failed(self, text: str, hint: str) -> None:
        self._done()
        self._say(f"{text}\n{hint}" if hint else text)

    def _say(self, text: str) -> None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def tenths() -> Progress:
    """Progress as a line on standard error for each tenth of each thing."""
    said: dict[str, int] = {}

    def report(what: str, done: int, total: int) -> None:
        tenth = 10 * done // total if total else 10
        if said.get(what) != tenth:
            said[what] = tenth
            sys.stderr.write(f"{what}: {done} of {total}\n")
            sys.stderr.flush()

    return report


@contextmanager
def announcer(kind: str) -> Iterator[Announcer]:
    """`kind`: json, lines, or auto (a bar where standard error is a terminal, else lines)."""
    if kind == "json":
        yield JsonAnnouncer()
    elif kind == "lines" or not sys.stderr.isatty():
        yield LineAnnouncer(tenths())
    else:
        from inference_backend.commands.output import progress_bar

        with ExitStack() as stack:
            yield LineAnnouncer(stack.enter_context(progress_bar()), stack.close)
