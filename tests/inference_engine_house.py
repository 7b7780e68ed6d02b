"""For tests of the engine: a model of hashes whose every logit depends on every cached token, and answers computed alone."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from inference_house import END, tiny_config

from inference_backend.config import ModelConfig
from inference_backend.engine import sampler
from inference_backend.engine.engine import JOB_PAUSE, Engine
from inference_backend.engine.request import Request, SamplingParams, StepOutput
from inference_backend.engine.runner import Chunk, Runner
from inference_backend.errors import CheckpointError

GREEDY = SamplingParams(temperature=0, max_tokens=8)


def _mix(x: np.ndarray) -> np.ndarray:
    """splitmix64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


class HashRunner:
    """A Runner without a model: a token's row in the cache is a hash of it and its position, a logit a hash of all rows before.

    A block too many, too few, stale or written by another shows in the next token. `script` pulls greedy answers to what it says
    at each position, where it says anything; a step takes cost[0] + cost[1] * tokens of the seconds that `clock` tells.
    """

    def __init__(
        self,
        block_count: int = 64,
        *,
        block_tokens: int = 4,
        vocab_size: int = 50,
        max_context: int = 4096,
        script: Callable[[int], int | None] | None = None,
        cost: tuple[float, float] = (1.0, 0.0),
    ) -> None:
        self.config: ModelConfig = tiny_config(vocab_size=vocab_size, max_position_embeddings=max_context)
        self.block_count, self.block_tokens = block_count, block_tokens
        self.rows = np.zeros((block_count, block_tokens), np.uint64)
        self.script, self.cost, self.now = script, cost, 0.0
        self.steps = self.tokens = 0
        self.fail, self.failure = False, ""

    def clock(self) -> float:
        return self.now

    def forward(self, chunks: Sequence[Chunk]) -> np.ndarray:
        if self.fail:
            raise RuntimeError("out of memory, it says")
        self._check_isolation(chunks)
        self.steps += 1
        count = sum(len(chunk.tokens) for chunk in chunks)
        self.tokens += count
        self.now += self.cost[0] + self.cost[1] * count
        return np.concatenate([self._one(chunk) for chunk in chunks])

    def _check_isolation(self, chunks: Sequence[Chunk]) -> None:
        size = self.block_tokens
        owners: dict[int, int] = {}
        for number, chunk in enumerate(chunks):
            assert len(chunk.tokens) >= chunk.logits
            for block in chunk.blocks[chunk.start // size : -(-(chunk.start + len(chunk.tokens)) // size)]:
                assert owners.setdefault(block, number) == number, "two requests write one block"
        for number, chunk in enumerate(chunks):
            assert all(owners.get(block, number) == number for block in chunk.blocks), (
                "a block that another writes is read"
            )

    def _one(self, chunk: Chunk) -> np.ndarray:
        size, end = self.block_tokens, chunk.start + len(chunk.tokens)
        at = np.arange(end)
        blocks = np.asarray(chunk.blocks)[at // size]
        new = np.asarray(chunk.tokens, np.uint64) << np.uint64(32)
        self.rows[blocks[chunk.start :], at[chunk.start :] % size] = _mix(new + at[chunk.start :].astype(np.uint64))
        states = np.cumsum(_mix(self.rows[blocks, at % size] ^ at.astype(np.uint64)))[end - chunk.logits :]
        ids = np.arange(self.config.vocab_size, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        logits = (_mix(states[:, None] + ids) >> np.uint64(40)).astype(np.float32) * np.float32(6 / (1 << 24))
        for row, position in enumerate(range(end - chunk.logits, end)):
            said = self.script(position + 1) if self.script is not None else None
            if said is not None:
                logits[row, said] += 50
        return logits

    def copy_block(self, source: int, target: int) -> None:
        self.rows[target] = self.rows[source]

    def read_block(self, block: int) -> bytes:
        return self.rows[block].tobytes()

    def write_block(self, block: int, data: bytes) -> None:
        if len(data) != self.rows[block].nbytes:
            raise CheckpointError("the size of a block does not fit")
        self.rows[block] = np.frombuffer(data, np.uint64)

    def close(self) -> None:
        self.rows = self.rows[:0]


def engine_of(runner: HashRunner, *args: Any, **options: Any) -> Engine:
    return Engine(runner, *args, block_tokens=runner.block_tokens, clock=runner.clock, **options)


def alone(
    runner: Runner, prompt: Sequence[int], params: SamplingParams, *, block_tokens: int = 4, constraint: Any = None
) -> list[int]:
    """The answer by nothing but the runner and the sampler: one sequence, one token after the other."""
    tokens, done = list(prompt), 0
    most = len(prompt) + (params.max_tokens or 1 << 30)
    blocks = range(runner.block_count)
    ends = {*params.stop_tokens, *(() if params.ignore_end else runner.config.eos_token_ids)}
    while True:
        logits = runner.forward([Chunk(tokens[done:], done, blocks)])
        done = len(tokens)
        mask = constraint.allowed() if constraint is not None else None
        row = sampler.Row(params, params.seed or 0, done, mask, prompt, tokens[len(prompt) :])
        (token,), _ = sampler.sample(logits.copy(), [row])
        tokens.append(token)
        if constraint is not None and token not in ends:
            constraint.accept(token)
        if token in ends or len(tokens) >= most or (constraint is not None and constraint.is_done):
            return tokens[len(prompt) :]


@dataclass
class Answer:
    tokens: list[int] = field(default_factory=list)
    outputs: list[StepOutput] = field(default_factory=list)

    @property
    def last(self) -> StepOutput:
        return self.outputs[-1]


def finish(engine: Engine, requests: Iterable[Request] = (), most: int = 100_000) -> dict[str, Answer]:
    """Adds the requests and steps until all that runs has ended."""
    answers: dict[str, Answer] = {}
    for request in requests:
        engine.add(request)
    for _ in range(most):
        for output in engine.step():
            answer = answers.setdefault(output.request_id, Answer())
            answer.tokens += output.tokens
            answer.outputs.append(output)
        if engine.is_idle and not engine.has_jobs:
            return answers
        if engine.is_idle:
            time.sleep(JOB_PAUSE)
    raise AssertionError("the engine does not come to an end")


def check_books(engine: Engine) -> None:
    """No block twice, free + used + cached = all, references are those of the requests and the pinned sessions."""
    scheduler, pool = engine.scheduler, engine.scheduler.pool
    assert pool.free + pool.used + pool.cached == pool.count
    refs = [0] * pool.count
    holders = [request.blocks for request in scheduler.running]
    holders += [session.blocks for session in scheduler.sessions._held.values()]
    for blocks in holders:
        assert len(set(blocks)) == len(blocks)
        for block in blocks:
            refs[block] += 1
    assert pool.refs == refs
    nodes = {}
    stack = [scheduler.cache.root]
    while stack:
        node = stack.pop()
        assert node.alive
        for key, child in node.children.items():
            assert (child.parent, child.tokens) == (node, key)
            assert child.block not in nodes
            assert len(key) == scheduler.block_tokens or not child.children
            nodes[child.block] = child
            stack.append(child)
    assert nodes == scheduler.cache._node_of
    assert set(pool._cached) == {block for block in nodes if refs[block] == 0}
    assert pool._free.isdisjoint(nodes)
    assert not any(refs[block] for block in pool._free)
    for request in scheduler.running:  # what it will write to is its own
        for block in request.blocks[request.computed // scheduler.block_tokens :]:
            assert refs[block] == 1
            assert block not in nodes
    assert all(not request.blocks for request in scheduler.waiting)


class Letters:
    """A Constraint: the answer is one of `words`, lists of tokens. `ends` with the last of them."""

    def __init__(self, words: Sequence[Sequence[int]], vocab_size: int = 50, *, skip: bool = True) -> None:
        self.words, self.vocab_size, self.skip = [list(word) for word in words], vocab_size, skip
        self.said: list[int] = []

    def _open(self) -> list[list[int]]:
        return [word for word in self.words if word[: len(self.said)] == self.said]

    def allowed(self) -> np.ndarray:
        mask = np.zeros(self.vocab_size, bool)
        mask[[word[len(self.said)] for word in self._open() if len(word) > len(self.said)]] = True
        return mask

    def accept(self, token: int) -> None:
        self.said.append(token)
        assert self._open(), f"{token} is not allowed after {self.said[:-1]}"

    def forced(self) -> list[int]:
        found: list[int] = []
        while self.skip:
            said = [*self.said, *found]
            rest = {tuple(word[len(said) : len(said) + 1]) for word in self.words if word[: len(said)] == said}
            if len(rest) != 1 or rest == {()}:
                break
            found += rest.pop()
        return found

    def rollback(self, count: int) -> None:
        del self.said[len(self.said) - count :]

    @property
    def is_done(self) -> bool:
        return self.said in self.words and all(len(word) <= len(self.said) for word in self._open())


__all__ = ["END", "GREEDY", "Answer", "HashRunner", "Letters", "alone", "check_books", "engine_of", "finish"]
