"""Clients of every kind, thousands of them, on a real (if tiny) model: each gets the answer that it would get alone."""

import asyncio
import random
import resource
import sys
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
from inference_engine_house import alone, check_books
from inference_house import random_tokens, random_weights, tiny_config

from inference_backend.engine.async_engine import AsyncEngine
from inference_backend.engine.engine import Engine
from inference_backend.engine.reference_runner import ReferenceRunner
from inference_backend.engine.request import Request, SamplingParams
from inference_backend.engine.scheduler import Limits

CONFIG = tiny_config(
    vocab_size=96, hidden_size=32, intermediate_size=32, moe_intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
    q_lora_rank=16, kv_lora_rank=16, qk_nope_head_dim=8, qk_rope_head_dim=16, v_head_dim=8, n_routed_experts=4,
    num_experts_per_tok=2, max_position_embeddings=512,
)  # fmt: skip
BLOCK = 8
CLIENTS = 24
ENDS = ("reads all", "leaves", "is aborted", "has enough", "is cancelled")


@dataclass(frozen=True)
class Asked:
    prompt: list[int]
    params: SamplingParams
    answer: list[int]


def runner(blocks: int) -> ReferenceRunner:
    return ReferenceRunner(CONFIG, random_weights(CONFIG, seed=5), blocks, block_tokens=BLOCK)


def conversations(rng: random.Random, count: int) -> list[Asked]:
    """Turns that go on from one another and fork, and what the model answers to each when nothing else runs."""
    made: list[Asked] = []
    model = runner(512 // BLOCK)
    while len(made) < count:
        before = rng.choice(made) if made and rng.random() < 0.8 else None
        said = [*before.prompt, *before.answer] if before is not None else []
        said = said[: len(said) - rng.choice((0, 0, 3))] if len(said) < 150 else []
        prompt = [*said, *random_tokens(CONFIG, rng.randint(1, 40), seed=len(made))]
        params = SamplingParams(temperature=rng.choice((0.0, 1.0)), seed=len(made), max_tokens=rng.randint(1, 25))
        made.append(Asked(prompt, params, alone(model, prompt, params, block_tokens=BLOCK)))
    return made


class Clients:
    """`CLIENTS` at once, each with one request after the other; what became of them is counted."""

    def __init__(self, engine: AsyncEngine, asked: list[Asked], rng: random.Random) -> None:
        self.engine, self.asked, self.rng = engine, asked, rng
        self.begun, self.ends = 0, Counter[str]()

    async def run(self, until: int) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(self._one_after_the_other(until))

    async def _one_after_the_other(self, until: int) -> None:
        while self.begun < until:
            self.begun += 1
            how = self.rng.choices(ENDS, (6, 1, 1, 1, 1))[0]
            work = asyncio.create_task(self._ask(str(self.begun), self.rng.choice(self.asked), how))
            if how == "is cancelled":
                await asyncio.sleep(self.rng.random() / 50)
                work.cancel()
            await asyncio.wait({work})
            if not work.cancelled():
                work.result()
            self.ends[how] += 1

    async def _ask(self, name: str, asked: Asked, how: str) -> None:
        session = self.rng.choice(("", "", "a", "b", "c", "d"))
        drafts = [self.rng.choice(self.asked).answer]
        request = Request(name, asked.prompt, asked.params, None, drafts, session)
        enough, tokens = self.rng.randint(0, 5), list[int]()
        stream = self.engine.submit(request)
        async for output in stream:
            tokens += output.tokens
            assert output.error == ""
            if output.finish_reason is None and len(tokens) >= enough:
                if how == "leaves":
                    break
                if how in ("is aborted", "has enough"):
                    (self.engine.abort if how == "is aborted" else self.engine.stop)(name)
                    enough = 1 << 30
        await stream.aclose()
        assert tokens == asked.answer[: len(tokens)]
        if how == "reads all":
            assert tokens == asked.answer
            assert output.finish_reason in ("stop", "length")


def resident() -> int:
    """The most memory that this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << (0 if sys.platform == "darwin" else 10)


@pytest.mark.parametrize(
    ("requests", "seed"), [(250, 1), pytest.param(10_000, 2, marks=[pytest.mark.nightly, pytest.mark.timeout(3600)])]
)
async def test_nothing_is_leaked_and_every_answer_is_the_one_alone(requests: int, seed: int) -> None:
    """Some leave, are aborted, cancelled, or have read enough; the cache is too small for all that run at once."""
    rng = random.Random(seed)
    limits = Limits(step_tokens=96, running=16, waiting=64, pin_seconds=5, pinned_sessions=3)
    inner = Engine(runner(70), limits, block_tokens=BLOCK)
    engine = AsyncEngine(inner)
    engine.start()
    clients = Clients(engine, conversations(rng, 40 if requests < 1000 else 300), rng)
    await clients.run(requests // 2)
    before = resident()
    await clients.run(requests)
    for session in "abcd":
        engine.release(session)
    while engine.stats().running or engine.stats().waiting or engine.stats().blocks_used:
        await asyncio.sleep(0.01)
    check_books(inner)
    grown, stats = resident() - before, engine.stats()
    await engine.close()
    assert not engine.failure
    assert clients.ends.total() == requests
    assert min(clients.ends[how] for how in ENDS) > requests // 50
    assert stats.preemptions > 0
    assert stats.cached_tokens > 0
    assert (stats.blocks_used, stats.pinned_sessions) == (0, 0)
    assert grown < 32 << 20
    assert np.isfinite(stats.step_seconds)
    print(f"{requests} requests, {dict(clients.ends)}, grown by {grown >> 10} KiB, {stats}")
