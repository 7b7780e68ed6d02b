"""One step after the other: schedule, run the model, sample, and see what became of each request."""

import secrets
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from inference_backend.engine import sampler
from inference_backend.engine.draft import Speculator
from inference_backend.engine.growth import Growth, Writer
from inference_backend.engine.request import FinishReason, Request, StepOutput
from inference_backend.engine.resume import Resumption
from inference_backend.engine.runner import BLOCK_TOKENS, Chunk, Runner
from inference_backend.engine.scheduler import Limits, Scheduler, Work
from inference_backend.engine.snapshots import SnapshotStore
from inference_backend.errors import EngineError, RequestError

JOB_PAUSE = 0.002
"""Seconds between looks at the disk where nothing is computed meanwhile."""


@dataclass(frozen=True, slots=True)
class Stats:
    """What is now, and counters since the start."""

    running: int
    waiting: int
    blocks: int
    blocks_used: int
    blocks_cached: int
    pinned_sessions: int
    preemptions: int
    steps: int
    step_seconds: float
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    forced_tokens: int
    drafted_tokens: int
    accepted_tokens: int
    saved_blocks: int
    restored_blocks: int


@dataclass(slots=True)
class _Counters:
    steps: int = 0
    step_seconds: float = 0.0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0


@dataclass(slots=True)
class _Job:
    """Something that is done a little between steps; `request` enters the queue when it is done."""

    run: Generator[None, None, int]
    done: Callable[[int], None]
    request: Request | None = None


class Engine:
    """Requests in by `add`, what happens to them out by `step`. Not safe for several threads.

    Without `speculate` nothing is guessed. Costs are measured and pins end by `clock`, in seconds. With `snapshots`, what a
    session computed is written there when a request of it ends, and a prompt begins with what is there.
    """

    def __init__(
        self,
        runner: Runner,
        limits: Limits | None = None,
        *,
        snapshots: SnapshotStore | None = None,
        speculate: bool = True,
        block_tokens: int = BLOCK_TOKENS,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.runner, self._clock = runner, clock
        longest = runner.config.max_position_embeddings
        self.scheduler = Scheduler(runner.block_count, block_tokens, longest, limits or Limits())
        self._writer = Writer(frozenset(runner.config.eos_token_ids), runner.config.vocab_size)
        self._requests: dict[str, Request] = {}
        self._resumption = Resumption(snapshots, runner, self.scheduler) if snapshots is not None else None
        self._jobs: list[_Job] = []
        self._speculator = Speculator(clock) if speculate else None
        self._pending: list[StepOutput] = []
        self._counters = _Counters()

    @property
    def is_idle(self) -> bool:
        """Nothing runs, waits, or is to be told; snapshots may still be on their way."""
        return not (self.scheduler.running or self.scheduler.waiting or self._pending)

    @property
    def has_jobs(self) -> bool:
        """Blocks are on their way from or to the disk: `step` goes on with them."""
        return bool(self._jobs)

    def check(self, request: Request, ahead: int = 0) -> None:
        """Raises RequestError or CapacityError where `add` would, `ahead` requests after now."""
        size = self.runner.config.vocab_size
        if request.id in self._requests:
            raise RequestError(f"a request with the id {request.id[:80]!r} runs already")
        if not request.prompt:
            raise RequestError("the prompt is empty")
        named = [request.prompt, request.params.logit_bias.keys(), *request.drafts]
        if any(tokens and not (min(tokens) >= 0 and max(tokens) < size) for tokens in named):
            raise RequestError(f"a token is not below the size of the vocabulary, {size:,}")
        self.scheduler.check(request, ahead + sum(job.request is not None for job in self._jobs))

    def add(self, request: Request) -> None:
        """Takes a request in. Raises RequestError where it makes no sense, CapacityError where there is no room for it."""
        self.check(request)
        seed = request.params.seed
        request.seed = secrets.randbits(64) if seed is None else seed % (1 << 64)
        self._requests[request.id] = request
        self._counters.prompt_tokens += len(request.prompt)
        if self._resumption is not None:
            self._jobs.append(_Job(self._resumption.restore(request), lambda restored: None, request))
        else:
            self._enqueue(request)

    def _enqueue(self, request: Request) -> None:
        self.scheduler.add(request)
        growth = Growth()
        self._writer.force(request, growth)
        if growth.tokens or growth.reason:
            request.tokens += growth.tokens
            self._pending.append(self._told(request, growth))

    def abort(self, request_id: str, reason: FinishReason = "abort") -> bool:
        """Ends a request; its blocks are free at once. False where there is none of this id.

        With the reason "stop" its reader has all that it wanted: a session's blocks stay, as after any other end.
        """
        request = self._requests.get(request_id)
        if request is None:
            return False
        for job in [job for job in self._jobs if job.request is request]:
            job.run.close()
            self._jobs.remove(job)
        self._pending.append(self._told(request, Growth(reason=reason)))
        return True

    def release(self, session: str) -> None:
        """A session is over: its blocks are the first to be given up, like those of others."""
        self.scheduler.sessions.release(session)

    def snapshot(self, session: str, done: Callable[[int], None]) -> None:
        """Writes a pinned session to disk during the next steps; `done` is told how many blocks the disk lacked."""
        held = self.scheduler.sessions.get(session)
        if self._resumption is None or held is None:
            done(0)
        else:
            self._jobs.append(_Job(self._resumption.save(held), done))

    def close(self) -> None:
        """Waits for snapshots on their way, and closes the model; what runs is forgotten."""
        while self._jobs:
            self._advance_jobs()
            time.sleep(JOB_PAUSE)
        if self._resumption is not None:
            self._resumption.close()
        self.runner.close()

    def step(self) -> list[StepOutput]:
        """One step of the model, where there is anything to compute. Raises EngineError where the model cannot go on."""
        self._advance_jobs()
        outputs, self._pending = self._pending, []
        plan = self.scheduler.schedule(self._clock(), self._propose if self._speculator is not None else None)
        if not plan.work:
            return outputs
        started = self._clock()
        try:
            for source, target in plan.copies:
                self.runner.copy_block(source, target)
            outputs += self._run(plan.work)
        except Exception as error:
            if self.runner.failure:
                raise EngineError(self.runner.failure) from error
            why = f"the model failed: {str(error)[:200] or type(error).__name__}"
            outputs += [self._told(each, Growth(reason="error", error=why)) for each in self.scheduler.reset()]
        self._counters.steps += 1
        self._counters.step_seconds += self._clock() - started
        return outputs

    def _run(self, works: Sequence[Work]) -> list[StepOutput]:
        """The model over all chunks, a token for each row of logits, and what follows from them."""
        started = self._clock()
        chunks, rows = [], []
        for work in works:
            rows += self._writer.rows(work)
            request = work.request
            tokens = [*request.tokens[request.computed : request.computed + work.count], *work.draft]
            logits = 1 + len(work.draft) if work.is_last else 0
            chunks.append(Chunk(tokens, request.computed, request.blocks, logits))
        sampled, logprobs = sampler.sample(self.runner.forward(chunks), rows)
        if self._speculator is not None and all(work.count == 1 for work in works):
            self._speculator.cost.observe(sum(len(chunk.tokens) for chunk in chunks), self._clock() - started)
        outputs, at = [], 0
        for work, chunk in zip(works, chunks, strict=True):
            growth = Growth()
            if chunk.logits:
                end = at + chunk.logits
                self._writer.grow(work, sampled[at:end], logprobs[at:end], growth)
                at = end
            right = self.scheduler.advance(work, growth.tokens)
            if self._speculator is not None and work.draft:
                self._speculator.observe(work.request.id, len(work.draft), right)
            outputs.append(self._told(work.request, growth))
        return outputs

    def _propose(self, request: Request, most: int) -> Sequence[int]:
        assert self._speculator is not None
        batch = len(self.scheduler.running)
        return self._speculator.propose(request.id, request.drafts, request.tokens, batch, most)

    def _told(self, request: Request, growth: Growth) -> StepOutput:
        """The output of one step; the last one of a request ends it."""
        self._counters.output_tokens += len(growth.tokens)
        size = len(request.prompt)
        output = StepOutput(
            request.id,
            tuple(growth.tokens),
            tuple(growth.logprobs),
            growth.reason,
            (min(request.computed, size), size),
            request.cached_tokens,
            len(request.tokens),
            growth.error,
        )
        if growth.reason is not None:
            self._end(request, growth.reason)
        return output

    def _end(self, request: Request, reason: FinishReason) -> None:
        request.finish_reason = reason
        self._counters.cached_tokens += request.cached_tokens
        self.scheduler.finish(request, self._clock())
        del self._requests[request.id]
        if self._speculator is not None:
            self._speculator.forget(request.id)
        if self._resumption is not None and request.session and reason in ("stop", "length"):
            self.snapshot(request.session, lambda blocks: None)

    def _advance_jobs(self) -> None:
        """The next part of each job."""
        for job in list(self._jobs):
            try:
                next(job.run)
            except StopIteration as end:
                self._jobs.remove(job)
                if job.request is not None:
                    self._enqueue(job.request)
                job.done(end.value)

    def stats(self) -> Stats:
        scheduler, guesses, resumption = self.scheduler, self._speculator, self._resumption
        return Stats(
            running=len(scheduler.running),
            waiting=len(scheduler.waiting) + sum(job.request is not None for job in self._jobs),
            blocks=scheduler.pool.count,
            blocks_used=scheduler.pool.used,
            blocks_cached=scheduler.pool.cached,
            pinned_sessions=len(scheduler.sessions),
            preemptions=scheduler.preemptions,
            steps=self._counters.steps,
            step_seconds=self._counters.step_seconds,
            prompt_tokens=self._counters.prompt_tokens,
            cached_tokens=self._counters.cached_tokens,
            output_tokens=self._counters.output_tokens,
            forced_tokens=self._writer.forced_tokens,
            drafted_tokens=guesses.drafted if guesses is not None else 0,
            accepted_tokens=guesses.accepted if guesses is not None else 0,
            saved_blocks=resumption.saved_blocks if resumption is not None else 0,
            restored_blocks=resumption.restored_blocks if resumption is not None else 0,
        )
