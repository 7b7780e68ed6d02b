"""Headless runs: `kimi -p`. Standard output is only the answer, in one of three forms; see json_lines.py for the lines.

Text: the final answer as it is. JSON: one `Result`. Stream-JSON: every event, then the `Result`.
"""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO, cast

import msgspec

from kimi_agent.commands import refusal
from kimi_agent.core import event as ev
from kimi_agent.core.ask import Answer, Deny, Dismissed, Permission, Question
from kimi_agent.core.errors import ConfigError, KimiError
from kimi_agent.core.exit import ExitCode, error_code, exit_code
from kimi_agent.core.message import Image
from kimi_agent.frontends.common.listening import Listening
from kimi_agent.frontends.forms import FORMS, Form, Tally
from kimi_agent.frontends.json_lines import Denied, LineInput, Result
from kimi_agent.frontends.print_servers import ServersTold, require
from kimi_agent.frontends.print_tasks import TaskWait
from kimi_agent.frontends.progress import Progress
from kimi_agent.frontends.stdio import InputLines, Output
from kimi_agent.frontends.structured import TRIES, StructuredAnswer

if TYPE_CHECKING:
    from kimi_agent.agent.agent import Agent
    from kimi_agent.agent.session import Session

NOBODY = (
    "This is a non-interactive run: nobody can give the permission that this call needs. Do not try to get around it. Go on "
    "without it if the task allows that; else say in the final answer what was needed. The user can allow commands with --yolo "
    "(and --i-accept-no-sandbox where no box holds them), and what the box refuses in [box] of config.toml."
)
ANSWERED = ("done", "cut_off")  # how a turn ends that has an answer
NO_ANSWER = "This is a non-interactive run: nobody can answer. Say in the final answer what you assumed."


class PrintFrontend:
    """Runs one prompt, or those that come as lines on `stdin`, and ends.

    `prompt` is the whole text (the command line has joined standard input to it), `typed` the part of it that a person wrote,
    None for all. `schema` forces a JSON answer.
    `final_only` leaves out progress on standard error and, in stream-json, every event but the first. `verbose` shows
    progress although standard error is no terminal. `wait_ceiling` is how long, in seconds, background tasks are waited for.
    """

    def __init__(
        self,
        prompt: str = "",
        *,
        typed: str | None = None,
        output: Literal["text", "json", "stream-json"] = "text",
        input: Literal["text", "stream-json"] = "text",  # noqa: A002
        schema: dict[str, Any] | None = None,
        session_id: str | None = None,
        mode: ev.Mode = "default",
        model: str | None = None,
        cwd: Path | None = None,
        images: tuple[Image, ...] = (),
        final_only: bool = False,
        verbose: bool = False,
        wait_ceiling: float = 3600.0,
        stdin: int = 0,
        stdout: Output | None = None,
        stderr: TextIO | None = None,
    ) -> None:
        self._prompt, self._typed, self._images, self._schema = prompt, typed, images, schema
        self._open: dict[str, Any] = {"session_id": session_id, "mode": mode, "model": model, "cwd": cwd}
        self._out = stdout or Output()
        self._form: Form = FORMS[output](self._out)
        self._streams = output == "stream-json" and not final_only
        err = self._err = stderr or sys.stderr
        self._progress = Progress(err, shown=(verbose or err.isatty()) and not final_only)
        self._input = LineInput(InputLines(stdin), self._form.record, self._nobody) if input == "stream-json" else None
        self._tally = Tally()
        self._unanswered = False
        self._wait_ceiling = wait_ceiling
        self._structured: Any = msgspec.UNSET
        self._mismatch: list[str] = []
        self._signal = 0
        self._started = time.monotonic()

    async def run(self, agent: "Agent") -> int:
        """Answers an `ExitCode`. Failures of the model's provider end in the result, never in an exception."""
        try:
            self._check()
            structured = StructuredAnswer(self._schema) if self._schema is not None else None
            session = agent.open(ask=self._ask, **self._open)
        except KimiError as error:
            return self._finish("", error)
        self._progress.root = str(session.cwd)
        self._form.record(session.events()[0])
        for event in session.events_since_opened():  # what was wrong with it; its repairs are no news here
            if isinstance(event, ev.Notice | ev.TaskChanged):
                self._show(event)
        tasks = TaskWait(session, self._progress.apply, self._wait_ceiling)
        work = asyncio.ensure_future(self._converse(session, structured, tasks))
        with self._signals(session, work, tasks):
            try:
                await work
            except asyncio.CancelledError:
                if not self._signal:
                    raise
            except KimiError as error:
                return self._finish(session.id, error)
            except Exception as error:
                self._finish(session.id, error)
                raise
        return self._finish(session.id)

    def _check(self) -> None:
        if self._input and not self._streams:
            raise ConfigError("--input-format stream-json needs --output-format stream-json.")
        if not self._input and not self._prompt.strip() and not self._images:
            raise ConfigError("There is no prompt.", "Give one with -p, or on standard input.")

    # --- the conversation ---------------------------------------------------------------------------------------------

    async def _converse(self, session: "Session", structured: StructuredAnswer | None, tasks: TaskWait) -> None:
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(session.listen, None)
            stack.push_async_callback(tasks.end)
            session.listen(Listening(self._show, self._input.wake if self._input else tasks.wake))
            if session.servers is not None:
                stack.callback(ServersTold(session.servers, self._err).end)
                await require(session.servers)
            if self._input:
                reader = asyncio.create_task(self._input.read(session))
                stack.callback(reader.cancel)
            prompts = await stack.enter_async_context(contextlib.aclosing(self._prompts()))
            async for text in prompts:
                images, self._images = self._images, ()
                typed, self._typed = self._typed, None
                if not self._input and (reason := refusal(text if typed is None else typed, session)):
                    raise ConfigError(reason, "A prompt that begins with a slash: put a space before it.")
                asked = text + structured.instruction() if structured else text
                events = session.prompt(asked, images, typed) if text or images else session.go_on()
                await self._turns(session, events, structured)
                if self._signal or self._out.closed:
                    return
            session.listen(Listening(self._show, tasks.wake))
            while self._answered() and await tasks.next():
                await self._turns(session, session.go_on(), structured)

    async def _prompts(self) -> AsyncGenerator[str, None]:
        """Texts to run, and "" when the idle session has something to go on with."""
        if self._prompt or not self._input:
            yield self._prompt
        if self._input:
            async for text in self._input.prompts():
                yield text

    async def _turn(self, session: "Session", events: AsyncIterator[ev.Event]) -> None:
        async with contextlib.aclosing(_generator(events)) as closing:
            async for event in closing:
                if not isinstance(event, ev.SessionStarted):
                    self._show(event)
                if self._streams and self._out.closed:
                    session.interrupt()

    async def _turns(
        self, session: "Session", events: AsyncIterator[ev.Event], structured: StructuredAnswer | None
    ) -> None:
        """A turn. Where the answer must match a schema, up to `TRIES` - 1 more that correct it."""
        await self._turn(session, events)
        if structured is None:
            return
        for tries_left in reversed(range(TRIES)):
            self._structured, self._mismatch = msgspec.UNSET, []
            if not self._answered():
                return
            value, self._mismatch = structured.check(self._tally.answer)
            if not self._mismatch:
                self._structured = value
                return
            if tries_left:
                await self._turn(session, session.prompt(structured.correction(self._mismatch)))

    def _answered(self) -> bool:
        """Whether the last turn has an answer, and nothing has ended the run."""
        ended = self._signal or self._out.closed
        return not ended and self._tally.end is not None and self._tally.end.stop in ANSWERED

    def _show(self, event: ev.Event) -> None:
        self._tally.apply(event)
        self._progress.apply(event)
        if self._streams:
            self._form.record(event)

    # --- questions ----------------------------------------------------------------------------------------------------

    async def _ask(self, question: Question) -> Answer:
        answer = await (self._input.ask if self._input else self._nobody)(question)
        if isinstance(question, Permission) and isinstance(answer, Deny):
            targets = tuple(effect.target for effect in question.effects)
            self._tally.denied.append(Denied(question.call.name, targets, answer.feedback))
        return answer

    async def _nobody(self, question: Question) -> Answer:
        if isinstance(question, Permission):
            self._unanswered = True
            return Deny(NOBODY)
        return Dismissed(NO_ANSWER)

    # --- the end ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _signals(self, session: "Session", work: "asyncio.Future[None]", tasks: TaskWait) -> Iterator[None]:
        """The first signal interrupts the turn, so that the history stays whole; a second one does not wait for that.

        Ctrl-C while tasks are waited for only ends the waiting: there is an answer already.
        """
        loop = asyncio.get_running_loop()

        def stop(number: int) -> None:
            if number == signal.SIGINT and tasks.give_up():
                return
            if not self._signal and session.running:
                session.interrupt()
            else:
                work.cancel()
            self._signal = number

        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # else: nohup
            numbers.append(signal.SIGHUP)
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # not in the main thread: no signals
            for number in numbers:
                loop.add_signal_handler(number, stop, number)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _finish(self, session_id: str, failure: Exception | None = None) -> int:
        tally, end = self._tally, self._tally.end
        code = error_code(type(failure).__name__) if failure else self._code(end)
        error, kind = (end.error, end.kind) if end else ("", "")
        if self._mismatch:
            error = "The answer does not match the schema: " + "; ".join(self._mismatch)
        if failure:
            error, kind = describe_error(failure), type(failure).__name__
        result = Result(
            session_id=session_id,
            result=tally.answer,
            usage=tally.tokens,
            cost=tally.cost,
            steps=tally.steps,
            turns=tally.turns,
            stop=end.stop if end else "",
            error=error,
            kind=kind,
            model=tally.model,
            duration_s=round(time.monotonic() - self._started, 3),
            denied=tuple(self._tally.denied),
            exit_code=code,
            evidence=tuple(tally.evidence),
            goal=tally.goal,
            structured=self._structured,
        )
        self._form.finish(result)
        self._progress.finish(result)
        return code

    def _code(self, end: ev.TurnEnded | None) -> ExitCode:
        if self._signal:
            return ExitCode(128 + self._signal)
        if end is None:
            return ExitCode.DONE
        if self._mismatch and end.stop in ANSWERED:
            return ExitCode.SCHEMA
        if end.stop != "done":
            return exit_code(end)
        if (goal := self._tally.goal) is not None and not goal.repeat:
            return ExitCode.DONE if goal.state == "reached" else ExitCode.GOAL
        return ExitCode.DENIED if self._unanswered else ExitCode.DONE


def describe_error(error: Exception) -> str:
    """One line, with what to do next when the error says so."""
    if isinstance(error, KimiError):
        return error.full
    return f"Internal error: {error!r}"


def _generator(events: AsyncIterator[ev.Event]) -> AsyncGenerator[ev.Event, None]:
    return cast("AsyncGenerator[ev.Event, None]", events)


JsonFrontend = partial(PrintFrontend, output="json")
StreamJsonFrontend = partial(PrintFrontend, output="stream-json")
