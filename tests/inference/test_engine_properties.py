"""Whatever comes in whatever order: no block is in two hands, and every answer is the one computed alone."""

import random
import resource
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from inference_engine_house import Answer, HashRunner, Letters, alone, check_books, engine_of
from nightly import examples

from inference_backend.engine.request import Request, SamplingParams
from inference_backend.engine.scheduler import Limits
from inference_backend.engine.snapshots import SnapshotStore

LETTERS = st.integers(10, 12)
PARAMS = st.builds(
    SamplingParams,
    temperature=st.sampled_from([0.0, 1.0]),
    top_p=st.sampled_from([1.0, 0.8]),
    seed=st.integers(0, 5),
    max_tokens=st.integers(1, 14),
    frequency_penalty=st.sampled_from([0.0, 0.0, 1.5]),
)
WORDS = st.lists(st.lists(LETTERS, min_size=1, max_size=9).map(tuple), min_size=1, max_size=3, unique=True)


class Conversations(RuleBasedStateMachine):
    """Conversations that grow, fork, are aborted, preempted and pinned, in a cache of a few small blocks."""

    @initialize(
        blocks=st.integers(10, 40), step_tokens=st.integers(6, 40), running=st.integers(2, 5), pins=st.integers(0, 3)
    )
    def begin(self, blocks: int, step_tokens: int, running: int, pins: int) -> None:
        self.runner = HashRunner(blocks)
        limits = Limits(step_tokens=step_tokens, running=running, pin_seconds=20, pinned_sessions=pins, step_drafts=8)
        self.engine = engine_of(self.runner, limits)
        self.said: list[list[int]] = [[]]  # what a new prompt may go on from
        self.asked: dict[str, tuple[Request, list[tuple[int, ...]]]] = {}
        self.answers: dict[str, Answer] = {}

    @rule(
        back=st.integers(0, 6), cut=st.integers(0, 3), more=st.lists(LETTERS, min_size=1, max_size=11), params=PARAMS,
        session=st.sampled_from(["", "a", "b"]), words=st.none() | WORDS, data=st.lists(LETTERS, max_size=12),
    )  # fmt: skip
    def ask(
        self, back: int, cut: int, more: list[int], params: SamplingParams, session: str, words, data: list[int]
    ) -> None:
        before = self.said[-1 - back % len(self.said)]
        prompt = [*before[: max(len(before) - cut, 0)], *more][: self.engine.scheduler.max_context - 3]
        number = str(len(self.asked))
        constraint = Letters(words) if words else None
        request = Request(number, prompt, params, constraint, [data], session)
        self.engine.add(request)
        self.asked[number] = request, words or []
        self.said.append(prompt)

    @rule(steps=st.integers(1, 6))
    def step(self, steps: int) -> None:
        for _ in range(steps):
            for output in self.engine.step():
                answer = self.answers.setdefault(output.request_id, Answer())
                answer.tokens += output.tokens
                answer.outputs.append(output)
                if output.finish_reason is not None:
                    self.judge(output.request_id)

    @rule(which=st.integers(0, 99))
    def abort(self, which: int) -> None:
        if self.asked:
            self.engine.abort(str(which % len(self.asked)))

    @rule(session=st.sampled_from("ab"), seconds=st.integers(0, 30))
    def release(self, session: str, seconds: int) -> None:
        self.engine.release(session)
        self.runner.now += seconds

    def judge(self, number: str) -> None:
        request, words = self.asked[number]
        answer = self.answers[number]
        assert answer.last.finish_reason != "error", answer.last.error
        assert answer.last.cached_tokens <= len(request.prompt)  # all of it where the constraint forces what follows
        fresh = HashRunner(64)
        constraint = Letters(words, skip=False) if words else None
        params = request.params
        limit = self.engine.scheduler.max_context - len(request.prompt)
        if params.max_tokens > limit:
            params = SamplingParams(temperature=params.temperature, top_p=params.top_p, seed=params.seed, max_tokens=limit,
                                    frequency_penalty=params.frequency_penalty)  # fmt: skip
        expected = alone(fresh, request.prompt, params, constraint=constraint)
        if answer.last.finish_reason == "abort":
            assert answer.tokens == expected[: len(answer.tokens)]
        else:
            assert answer.tokens == expected
            self.said.append([*request.prompt, *expected])
        assert answer.last.context_tokens == len(request.prompt) + len(answer.tokens)

    @invariant()
    def books(self) -> None:
        if hasattr(self, "engine"):
            check_books(self.engine)

    def teardown(self) -> None:
        if not hasattr(self, "engine"):
            return
        for _ in range(3000):
            if self.engine.is_idle:
                break
            self.step(1)
        assert self.engine.is_idle
        assert {number for number, answer in self.answers.items() if answer.last.finish_reason} == set(self.asked)
        self.engine.release("a")
        self.engine.release("b")
        assert self.engine.stats().blocks_used == 0
        check_books(self.engine)


TestConversations = Conversations.TestCase
TestConversations.settings = settings(
    max_examples=examples(40), stateful_step_count=30, suppress_health_check=list(HealthCheck)
)


class Soak:
    """Random conversations with aborts, in a cache that is too small for those that run at once."""

    def __init__(self, seed: int, snapshots: SnapshotStore | None = None) -> None:
        self.rng = random.Random(seed)
        self.engine = engine_of(
            HashRunner(90, block_tokens=8, vocab_size=40),
            Limits(step_tokens=96, running=16, waiting=64, pin_seconds=30, pinned_sessions=4),
            snapshots=snapshots,
        )
        self.fresh = HashRunner(90, block_tokens=8, vocab_size=40)
        self.said: list[list[int]] = [[]]
        self.asked: dict[str, Request] = {}
        self.tokens: dict[str, list[int]] = {}
        self.added = self.ended = 0

    def ask(self) -> None:
        rng = self.rng
        before = rng.choice(self.said)
        prompt = [*before[: len(before) - rng.choice((0, 0, 0, 5))], *rng.choices(range(4, 40), k=rng.randint(1, 30))]
        prompt = prompt if len(prompt) < 500 else prompt[:20]
        params = SamplingParams(
            temperature=rng.choice((0.0, 1.0)),
            top_p=rng.choice((0.9, 1.0)),
            seed=self.added,
            max_tokens=rng.randint(1, 40),
        )
        name, drafts = str(self.added), [rng.choice(self.said)]
        request = Request(name, prompt, params, None, drafts, rng.choice(("", "", "a", "b", "c")))
        self.engine.add(request)
        self.asked[name], self.tokens[name] = request, []
        self.said = [*self.said[-12:], prompt]
        self.added += 1

    def step(self) -> None:
        for output in self.engine.step():
            name = output.request_id
            self.tokens[name] += output.tokens
            if output.finish_reason is None:
                continue
            request, answer = self.asked.pop(name), self.tokens.pop(name)
            expected = alone(self.fresh, request.prompt, request.params, block_tokens=8)
            assert output.finish_reason != "error", output.error
            assert answer == (expected[: len(answer)] if output.finish_reason == "abort" else expected)
            self.said.append([*request.prompt, *answer])
            self.ended += 1

    def run(self, requests: int) -> None:
        while self.ended < requests:
            while self.added < requests and len(self.asked) < 40 and self.rng.random() < 0.6:
                self.ask()
            if self.asked and self.rng.random() < 0.03:
                self.engine.abort(self.rng.choice(list(self.asked)))
            self.step()
            if self.ended % 50 == 0 and not self.engine.has_jobs:
                check_books(self.engine)


def resident() -> int:
    """The most memory that this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << (0 if sys.platform == "darwin" else 10)


@pytest.mark.parametrize(
    ("seed", "requests"), [(1, 150), pytest.param(2, 10_000, marks=[pytest.mark.nightly, pytest.mark.timeout(3600)])]
)
def test_soak(seed: int, requests: int) -> None:
    soak = Soak(seed)
    soak.run(requests // 2)
    before = resident()
    soak.run(requests)
    for session in "abc":
        soak.engine.release(session)
    check_books(soak.engine)
    stats = soak.engine.stats()
    assert soak.engine.is_idle
    assert stats.preemptions > 0
    assert (stats.blocks_used, stats.pinned_sessions) == (0, 0)
    assert resident() - before < 32 << 20


@pytest.mark.parametrize("seed", [3, 100, 101, *(pytest.param(n, marks=pytest.mark.nightly) for n in range(102, 150))])
def test_soak_with_snapshots(tmp_path: Path, seed: int) -> None:
    """Blocks that come from the disk, and go there, while others are preempted; the quota is never enough."""
    store = SnapshotStore(tmp_path / "kv", "hashes", quota=30_000)
    soak = Soak(seed, store)
    soak.run(100)
    soak.engine.close()
    stats = soak.engine.stats()
    assert min(stats.saved_blocks, stats.restored_blocks, stats.preemptions) > 0
    assert store.total <= store.quota
    check_books(soak.engine)
