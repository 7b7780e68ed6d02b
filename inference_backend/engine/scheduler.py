"""Which tokens of which requests the next step computes, and in which blocks. Numbers alone, no tensors. Stdlib only.

A step is as large as `Limits.step_tokens` allows: first one token of each request that decodes, with its drafts, then chunks of
prompts. Half of what is left for prompts goes to the oldest of them, so that it ends; the rest to those with least left, so that
a short prompt never waits for a long one. Who came first is never preempted by who came later, so that everybody ends.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from inference_backend.engine.blocks import BlockPool
from inference_backend.engine.prefix import PrefixCache
from inference_backend.engine.request import Request
from inference_backend.engine.sessions import Sessions
from inference_backend.errors import CapacityError

FORESEEN = 64
"""Blocks that a new sequence is given room for beyond its first chunk, where there is such room in one piece."""

Draft = Callable[[Request, int], Sequence[int]]
"""Guesses of the next tokens of a request, at most so many."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a step and the queue may hold."""

    step_tokens: int = 2048
    running: int = 256
    waiting: int = 1024
    """Requests that wait for a place; one more is refused."""
    step_drafts: int = 64
    """Drafted tokens per step, all requests together."""
    pin_seconds: float = 600.0
    pinned_sessions: int = 64

    def __post_init__(self) -> None:
        if self.step_tokens <= self.running:
            raise ValueError("step_tokens must be more than running, or prompts would wait for ever")


@dataclass(slots=True, eq=False)
class Work:
    """tokens[computed : computed + count] of a request, and `draft` behind them where they end its tokens."""

    request: Request
    count: int
    draft: Sequence[int] = ()

    @property
    def is_last(self) -> bool:
        """The tokens end here: the next one can be sampled."""
        return self.count == self.request.remaining


@dataclass(slots=True)
class Plan:
    """One step: `copies` of whole blocks (source, target) in order, then the work."""

    work: list[Work] = field(default_factory=list)
    copies: list[tuple[int, int]] = field(default_factory=list)


class Scheduler:
    """Owns every request from `add` to `finish`, the pool and the prefix cache. For one thread."""

    def __init__(self, block_count: int, block_tokens: int, max_context: int, limits: Limits) -> None:
        self.limits, self.block_tokens = limits, block_tokens
        self.pool = BlockPool(block_count)
        self.cache = PrefixCache(self.pool, block_tokens)
        self.sessions = Sessions(self.cache, limits.pin_seconds, limits.pinned_sessions)
        self.max_context = min(max_context, block_count * block_tokens)
        self.waiting: deque[Request] = deque()
        self.running: list[Request] = []  # by arrival
        self.preemptions = 0
        self._arrivals = 0
        self._plan = Plan()
        self._refused = (0, 0)  # who did not fit into how many blocks when its prefix was looked up

    def check(self, request: Request, ahead: int = 0) -> None:
        """Raises CapacityError where the request does not fit; `ahead` requests will have been added before it."""
        size = len(request.prompt)
        if size >= self.max_context:
            raise CapacityError(
                f"the prompt has {size:,} tokens; with an answer it must stay within {self.max_context:,}",
                "Shorten or compact the conversation, or serve the model with more memory for its cache.",
            )
        if len(self.waiting) + ahead >= self.limits.waiting:
            raise CapacityError(
                f"the queue is full: {self.limits.waiting} requests wait already",
                "Try again in a moment.",
            )

    def add(self, request: Request) -> None:
        """Puts a request that passed `check` into the queue; its prompt is not empty."""
        self._arrivals += 1
        request.arrival, request.node = self._arrivals, self.cache.root
        most = request.params.max_tokens
        request.limit = self.max_context if most is None else min(len(request.prompt) + most, self.max_context)
        self.waiting.append(request)

    def schedule(self, now: float, draft: Draft | None = None) -> Plan:
        """The next step; it is carried out before anything else is asked. An empty plan means that nothing is left to do."""
        self.sessions.expire(now)
        self._plan = plan = Plan()
        budget = self.limits.step_tokens
        guesses = min(self.limits.step_drafts, budget - len(self.running))
        for request in list(self.running):
            if request.remaining != 1 or request.node is None:  # preempted by one before it
                continue
            guess: Sequence[int] = ()
            if draft is not None and guesses > 0:
                guess = draft(request, min(guesses, request.limit - len(request.tokens) - 1))
            if guess and not self._reserve(request, 1 + len(guess), may_preempt=False):
                guess = ()
            if self._reserve(request, 1):
                plan.work.append(Work(request, 1, guess))
                guesses -= len(guess)
                budget -= 1 + len(guess)
        self._prompts(budget)
        return plan

    def _prompts(self, budget: int) -> None:
        """Chunks of all that has more than one token to compute, and of what can be let in."""
        pending = [request for request in self.running if request.remaining > 1]
        pending += self._let_in(budget)
        if not pending:
            return
        for request in pending:
            self._adopt(request)
        oldest, others = pending[0], sorted(pending[1:], key=lambda request: request.remaining)
        share = {oldest.arrival: min(oldest.remaining, budget if not others else (budget + 1) // 2)}
        budget -= share[oldest.arrival]
        for request in others:
            share[request.arrival] = min(request.remaining, budget)
            budget -= share[request.arrival]
        share[oldest.arrival] += min(oldest.remaining - share[oldest.arrival], budget)
        for request in pending:
            count = share[request.arrival]
            if count and request.node is not None and self._reserve(request, count):
                self._plan.work.append(Work(request, count))

    def _let_in(self, budget: int) -> list[Request]:
        """Requests from the queue, in order, as long as their prompts fit into blocks that nobody uses."""
        entered: list[Request] = []
        promised = 0
        while self.waiting and len(self.running) < self.limits.running and len(entered) < budget:
            request = self.waiting[0]
            needed = self._needed(request, self.cache.available - promised)
            while self.running and needed + promised > self.cache.available and self.sessions.release_oldest():
                pass
            if self.running and needed + promised > self.cache.available:
                break
            self.waiting.popleft()
            request.node = self.cache.root
            self.running.append(request)
            entered.append(request)
            promised += needed
        if entered:
            self.running.sort(key=lambda request: request.arrival)
        return entered

    def _needed(self, request: Request, room: int) -> int:
        """Blocks that a request takes from those that nobody uses. After a preemption it leaves the others some to grow into."""
        needed = self._blocks_for(len(request.tokens) + 1) + (len(self.running) if request.preempted else 0)
        if needed <= room or self._refused == (request.arrival, room):
            return needed
        self._refused = request.arrival, room
        return needed - sum(self.pool.refs[node.block] > 0 for node in self.cache.walk(request.tokens))

    def _blocks_for(self, tokens: int) -> int:
        return -(-tokens // self.block_tokens)

    def _adopt(self, request: Request) -> None:
        """Goes on with blocks that others have computed, as far as they are the same; the last token is always computed."""
        size, before = self.block_tokens, request.computed
        most = len(request.tokens) - 1
        while request.computed % size == 0 and request.computed + size <= most and request.node.alive:
            node = self.cache.next_full(request.node, request.tokens, request.computed)
            if node is None or len(request.blocks) > request.registered:
                break
            self.pool.retain(node.block)
            request.blocks.append(node.block)
            request.node, request.registered = node, request.registered + 1
            request.computed += size
        if request.computed < most and len(request.blocks) * size == request.computed and request.node.alive:
            self._copy_part(request, most - request.computed)
        new = min(request.computed, len(request.prompt)) - before
        if new > 0 and not request.preempted:
            request.cached_tokens += new

    def _copy_part(self, request: Request, most: int) -> None:
        """Starts the next block with a copy of one that begins alike (copy-on-write)."""
        found = self.cache.best_part(request.node, request.tokens, request.computed, min(most, self.block_tokens))
        if found is None:
            return
        source, same = found
        self.pool.retain(source.block)  # so that it is not taken for its own copy
        target = self.cache.take(request.blocks[-1] if request.blocks else None)
        self.pool.release([source.block])
        if target is not None:
            self._plan.copies.append((source.block, target))
            request.blocks.append(target)
            request.computed += same

    def _reserve(self, request: Request, count: int, *, may_preempt: bool = True) -> bool:
        """Blocks for the next `count` tokens. Takes them from pinned sessions and from later requests where it must and may."""
        needed = self._blocks_for(request.computed + count)
        wanted = min(needed + FORESEEN, self._blocks_for(request.limit))
        while len(request.blocks) < needed:
            block = self.cache.take(request.blocks[-1] if request.blocks else None, wanted)
            if block is not None:
                request.blocks.append(block)
            elif not may_preempt:
                return False
            elif not self.sessions.release_oldest():
                victim = self.running[-1]
                self._preempt(victim)
                if victim is request:
                    return False
        return True

    def _preempt(self, request: Request) -> None:
        """Takes the blocks of a running request away; what nobody overwrites until it comes back is found in the cache again."""
        self._plan.work = [work for work in self._plan.work if work.request is not request]
        self.running.remove(request)
        self._keep_all(request)
        self.pool.release(reversed(request.blocks))
        request.blocks, request.node = [], None
        request.computed = request.registered = 0
        request.preempted += 1
        self.preemptions += 1
        place = next((i for i, other in enumerate(self.waiting) if other.arrival > request.arrival), len(self.waiting))
        self.waiting.insert(place, request)

    def advance(self, work: Work, new: Sequence[int]) -> int:
        """After the step: `new` tokens follow. Returns how many of the draft were right."""
        request = work.request
        right = 0
        for guess, token in zip(work.draft, new, strict=False):
            if guess != token:
                break
            right += 1
        request.computed += work.count + right
        request.tokens.extend(new)
        self._register(request)
        return right

    def _register(self, request: Request) -> None:
        """Makes full blocks known, so that others can go on from them."""
        size = self.block_tokens
        if not request.node.alive:  # a block before it was another request's, and is gone: its own are as good
            request.node, request.registered = self.cache.root, 0
        while (request.registered + 1) * size <= request.computed:
            start = request.registered * size
            block = request.blocks[request.registered]
            request.node = self.cache.insert(request.node, request.tokens[start : start + size], block)
            request.registered += 1

    def _keep_all(self, request: Request) -> None:
        """... and the part of the last block, when nothing more will be written to it."""
        self._register(request)
        start = request.registered * self.block_tokens
        if start < request.computed:
            part = request.tokens[start : request.computed]
            self.cache.insert(request.node, part, request.blocks[request.registered])

    def finish(self, request: Request, now: float) -> None:
        """A running or waiting request ends; a session's blocks stay pinned, others' are given up when there is need."""
        if request.node is not None and request in self.running:
            self.running.remove(request)
            self._keep_all(request)
            used = self._blocks_for(request.computed)
            self.pool.release(reversed(request.blocks[used:]))
            if request.session and request.finish_reason in ("stop", "length"):
                self.sessions.pin(request.session, request.tokens[: request.computed], request.blocks[:used], now)
            else:
                self.pool.release(reversed(request.blocks[:used]))
        elif request in self.waiting:
            self.waiting.remove(request)
        request.blocks, request.node = [], None

    def reset(self) -> list[Request]:
        """After a failure of the model no block is trusted: all are forgotten. Returns what ran; what waits stays."""
        failed, self.running = self.running, []
        for request in failed:
            self.pool.release(request.blocks)
            request.blocks, request.node = [], None
        while self.sessions.release_oldest():
            pass
        self.cache.clear()
        return failed
