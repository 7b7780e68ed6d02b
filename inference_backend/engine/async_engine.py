"""The engine for asyncio: one thread runs its steps, any number of tasks wait for their answers."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TypeVar

from inference_backend.engine.engine import JOB_PAUSE, Engine, Stats
from inference_backend.engine.request import Request, StepOutput
from inference_backend.errors import CapacityError, EngineError

T = TypeVar("T")


class _Stream:
    """Outputs of one request on their way to the task that waits for them; a slow one gets several as one."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop, self.ready = loop, asyncio.Event()
        self._outputs: list[StepOutput] = []

    def put(self, output: StepOutput) -> None:
        """In the loop's thread."""
        self._outputs.append(output)
        self.ready.set()

    async def get(self) -> StepOutput:
        """All that came since the last one."""
        await self.ready.wait()
        self.ready.clear()
        outputs, self._outputs = self._outputs, []
        if len(outputs) == 1:
            return outputs[0]
        tokens = tuple(token for output in outputs for token in output.tokens)
        logprobs = tuple(logprob for output in outputs for logprob in output.logprobs)
        return replace(outputs[-1], tokens=tokens, logprobs=logprobs)


class AsyncEngine:
    """Owns the engine from `start` to `close`. Coroutines may belong to several loops; the other methods are for any thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._wake = threading.Condition()
        self._commands: deque[Callable[[], object]] = deque()
        self._streams: dict[str, _Stream] = {}
        self._refusal = ""  # why nothing more is taken in
        self._failure = ""
        self._deadline = 0.0  # when what still runs is aborted, once nothing more is taken in
        self._stats = engine.stats()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    async def submit(self, request: Request) -> AsyncGenerator[StepOutput]:
        """The outputs of a request as they come; the last one has a finish_reason. Closing the generator aborts the request.

        Raises RequestError or CapacityError before the first one where the request cannot be taken in.
        """
        stream = _Stream(asyncio.get_running_loop())
        accepted: asyncio.Future[None] = stream.loop.create_future()
        with self._wake:
            if self._refusal:
                raise CapacityError(self._refusal, "Try again in a moment.")
            self._commands.append(partial(self._add, request, stream, accepted))
            self._wake.notify()
        finished = False
        try:
            await accepted
            while not finished:
                output = await stream.get()
                finished = output.finish_reason is not None
                yield output
        finally:
            if not finished:
                self._command(partial(self._drop, request.id, stream))

    def abort(self, request_id: str) -> None:
        """Ends a request within one step; who waits for it gets an output with finish_reason "abort"."""
        self._command(partial(self._engine.abort, request_id))

    def stop(self, request_id: str) -> None:
        """The answer is complete for who reads it, as after a stop string; nothing where it has ended already."""
        self._command(partial(self._engine.abort, request_id, "stop"))

    def release(self, session: str) -> None:
        """A session is over: nothing of it stays pinned."""
        self._command(partial(self._engine.release, session))

    async def snapshot(self, session: str) -> int:
        """Writes a pinned session to disk; returns how many blocks were not there yet."""
        loop = asyncio.get_running_loop()
        written: asyncio.Future[int] = loop.create_future()

        def done(blocks: int) -> None:
            _call(loop, lambda: _resolve(written, blocks))

        self._command(partial(self._engine.snapshot, session, done))
        return await written

    @property
    def failure(self) -> str:
        """Why the engine's thread has ended, or the model cannot go on; empty while all is well. Nothing is answered any more."""
        return self._failure or self._engine.runner.failure

    def stats(self) -> Stats:
        """As of the last step."""
        return self._stats

    async def close(self, drain_seconds: float = 0.0) -> None:
        """Takes nothing more in, lets what runs go on for so long, aborts the rest, and waits for snapshots on their way."""
        with self._wake:
            self._refusal = self._refusal or "the server is shutting down"
            self._deadline = time.monotonic() + drain_seconds
            self._wake.notify()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)

    def _command(self, command: Callable[[], object]) -> None:
        with self._wake:
            self._commands.append(command)
            self._wake.notify()

    def _run(self) -> None:
        """The engine's thread."""
        try:
            while not self._is_over():
                for command in self._wait():
                    command()
                outputs = self._engine.step()
                # before anybody hears of the step: who has an answer finds it counted
                self._stats = self._engine.stats()
                self._deliver(outputs)
        except Exception as error:  # nobody is left waiting
            with self._wake:
                self._refusal = self._failure = f"the engine failed: {str(error)[:200] or type(error).__name__}"
                late, self._commands = self._commands, deque()
            for command in late:  # who asked meanwhile is told too
                with suppress(Exception):
                    command()
            self._deliver([StepOutput(each, finish_reason="error", error=self._refusal) for each in self._streams])
            if isinstance(error, EngineError):  # a rank of the model is gone
                return
            raise
        for request_id in list(self._streams):
            self._engine.abort(request_id)
        self._deliver(self._engine.step())
        self._engine.close()

    def _is_over(self) -> bool:
        with self._wake:
            over = not self._streams or time.monotonic() >= self._deadline
            return bool(self._refusal) and over and not self._commands

    def _wait(self) -> deque[Callable[[], object]]:
        """What is to be done before the next step, as soon as there is one to make."""
        with self._wake:
            while self._engine.is_idle and not self._commands and not (self._refusal and not self._streams):
                if self._engine.has_jobs:
                    self._wake.wait(JOB_PAUSE)
                    break
                self._wake.wait()
            commands, self._commands = self._commands, deque()
            return commands

    def _deliver(self, outputs: list[StepOutput]) -> None:
        """One call into each loop for all outputs of the step."""
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Stream, StepOutput]]] = {}
        for output in outputs:
            stream = self._streams.get(output.request_id)
            if stream is None:
                continue
            by_loop.setdefault(stream.loop, []).append((stream, output))
            if output.finish_reason is not None:
                del self._streams[output.request_id]
        for loop, pairs in by_loop.items():
            _call(loop, partial(_put_all, pairs))

    def _add(self, request: Request, stream: _Stream, accepted: "asyncio.Future[None]") -> None:
        try:
            if self._failure:
                raise CapacityError(self._failure)
            self._engine.add(request)
        except EngineError as error:
            _call(stream.loop, partial(_fail, accepted, error))
            return
        self._streams[request.id] = stream
        _call(stream.loop, partial(_resolve, accepted, None))

    def _drop(self, request_id: str, stream: _Stream) -> None:
        """Nobody waits any more. An id that belongs to another request by now is left alone."""
        if self._streams.get(request_id) is stream:
            del self._streams[request_id]
            self._engine.abort(request_id)


def _put_all(pairs: list[tuple[_Stream, StepOutput]]) -> None:
    for stream, output in pairs:
        stream.put(output)


def _resolve(future: "asyncio.Future[T]", value: T) -> None:
    if not future.done():
        future.set_result(value)


def _fail(future: "asyncio.Future[None]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _call(loop: asyncio.AbstractEventLoop, what: Callable[[], object]) -> None:
    """In the loop's thread; nothing where the loop has ended."""
    try:
        loop.call_soon_threadsafe(what)
    except RuntimeError:
        return
