"""Several processes are one model: real ones, over gloo; what each holds, how they end, and that none is left."""

import os
import signal
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from inference_engine_house import GREEDY, alone, check_books, finish
from inference_house import random_tokens, random_weights, stored_as, tiny_config

from inference_backend.engine.engine import Engine
from inference_backend.engine.request import Request
from inference_backend.engine.runner import Chunk
from inference_backend.engine.scheduler import Limits
from inference_backend.engine.snapshots import SnapshotStore
from inference_backend.errors import CheckpointError, EngineError
from inference_backend.reference import Reference, Segment

torch = pytest.importorskip("torch")
from inference_backend.engine.ranks import RankedRunner  # noqa: E402
from inference_backend.engine.torch_runner import TorchRunner  # noqa: E402
from inference_backend.model.model import Model  # noqa: E402
from inference_backend.model.parallel import ALONE, Ranks  # noqa: E402

CLOSE = {"rtol": 0, "atol": 2e-3}
"""The C kernel of INT4 rounds activations to 16 bits."""
CONFIG = tiny_config(
    moe_intermediate_size=64, v_head_dim=32, intermediate_size=128, hidden_size=128, vocab_size=321,
    n_routed_experts=8, num_experts_per_tok=8,
)  # fmt: skip
"""The vocabulary cannot be shared, all else can. All experts are chosen: where two are as good, rounding would choose."""
BLOCKS = 24


@cache
def weights() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """As they are stored, INT4 on the experts and bfloat16 elsewhere, and what they stand for."""
    return stored_as("int4", random_weights(CONFIG))


def load(ranks: Ranks, device: str, progress: Any) -> tuple[Model, int]:
    """Each rank has other room: the least counts."""
    blocks = BLOCKS // ranks.size if ranks.split else BLOCKS
    return Model.load(CONFIG, weights()[0], dtype=torch.float32, device=device, ranks=ranks), blocks + ranks.rank


def expected(tokens: list[int]) -> np.ndarray:
    model = Reference(CONFIG, weights()[1], dtype=np.float64)
    return model.forward([Segment(tokens, model.new_cache(), len(tokens))])


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def fails(ranks: Ranks, device: str, progress: Any) -> tuple[Model, int]:
    if ranks.rank:
        raise RuntimeError("no memory left, it says")
    while True:  # a rank that loads for long hears of it while it does
        progress("loading layers", 0, 1)


def test_a_rank_that_cannot_load_is_told_at_once() -> None:
    with pytest.raises(EngineError, match=r"rank 1 of the model ended: RuntimeError: no memory left, it says"):
        RankedRunner(fails, Ranks(0, 2))


def forward_for_long(runner: RankedRunner) -> None:
    for _ in range(1000):
        runner.forward([Chunk([5], 0, [0], 1)])


def test_a_rank_that_is_killed_ends_the_engine_and_the_others() -> None:
    runner = RankedRunner(load, Ranks(0, 2))
    (pid,) = [process.pid for process in runner._processes]
    assert runner.failure == ""
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(EngineError, match=r"rank 1 of the model ended \(killed by signal 9\)"):
        forward_for_long(runner)
    assert "killed by signal 9" in runner.failure
    runner.close()
    assert not is_there(pid)


WAYS = [
    (2, False),
    (2, True),
    pytest.param((4, False), marks=pytest.mark.nightly),
    pytest.param((4, True), marks=pytest.mark.nightly),
]


@pytest.fixture(scope="module", params=WAYS, ids=lambda way: f"{way[0]} ranks, {'split' if way[1] else 'whole'} cache")
def ranked(request: pytest.FixtureRequest) -> Iterator[RankedRunner]:
    size, split = request.param
    runner = RankedRunner(load, Ranks(0, size, split))
    yield runner
    runner.close()


def test_ranks_together_are_one_model(ranked: RankedRunner) -> None:
    """Prefill in chunks, absorbed and expanded, several sequences in one step, decoding; blocks in any order."""
    assert ranked.block_count == BLOCKS
    long, short = random_tokens(CONFIG, 330), random_tokens(CONFIG, 70, seed=1)
    one, two = [7, 2, 4, 9, 0, 5], [3, 11]
    found: list[list[np.ndarray]] = [[], []]

    def step(*chunks: tuple[int, int, int]) -> None:
        which = {0: (long, one), 1: (short, two)}
        made = [Chunk(which[n][0][start:end], start, which[n][1], end - start) for n, start, end in chunks]
        logits = ranked.forward(made)
        for (n, start, end), _ in zip(chunks, made, strict=True):
            found[n].append(logits[: end - start])
            logits = logits[end - start :]

    step((0, 0, 3))
    step((0, 3, 200), (1, 0, 1))
    step((0, 200, 203), (1, 1, 64))
    step((0, 203, 327), (1, 64, 65))
    for at in range(3):
        step((0, 327 + at, 328 + at), (1, 65 + at, 66 + at))
    np.testing.assert_allclose(np.concatenate(found[0]), expected(long), **CLOSE)
    np.testing.assert_allclose(np.concatenate(found[1]), expected(short[:68]), **CLOSE)


def test_long_contexts(ranked: RankedRunner) -> None:
    """Where torch's blocked kernel takes over from the plain one, on each rank's part."""
    tokens, blocks = random_tokens(CONFIG, 1210, seed=6), np.random.default_rng(6).permutation(BLOCKS)[:20].tolist()
    found = []
    for start, end in ((0, 1200), (1200, 1203), (1203, 1208), (1208, 1209), (1209, 1210)):
        found.append(ranked.forward([Chunk(tokens[start:end], start, blocks, min(end - start, 10))]))
    np.testing.assert_allclose(np.concatenate(found), expected(tokens)[1190:], **CLOSE)


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(n, marks=pytest.mark.nightly) for n in range(2, 12))])
def test_any_mixture_of_chunks(ranked: RankedRunner, seed: int) -> None:
    """Cut anywhere, side by side in one step, blocks in any order: sometimes all of a sequence's on one rank."""
    rng = np.random.default_rng(seed)
    free = rng.permutation(BLOCKS).tolist()
    if seed % 2:
        free.sort(key=lambda block: block % 2)
    prompts = [random_tokens(CONFIG, int(rng.integers(1, most)), seed=seed + most) for most in (10, 128, 500)]
    tables = [free[:1], free[1:3], free[3:11]]
    done, found = [0, 0, 0], [[], [], []]
    while any(at < len(prompt) for at, prompt in zip(done, prompts, strict=True)):
        counts = [
            min(len(prompt) - at, int(rng.choice([0, 1, 2, 30, 150]))) for at, prompt in zip(done, prompts, strict=True)
        ]
        which = [n for n, count in enumerate(counts) if count]
        if which:
            spans = [slice(done[n], done[n] + counts[n]) for n in which]
            chunks = [
                Chunk(prompts[n][span], done[n], tables[n], counts[n]) for n, span in zip(which, spans, strict=True)
            ]
            parts = np.split(ranked.forward(chunks), np.cumsum([counts[n] for n in which])[:-1])
            for n, part in zip(which, parts, strict=True):
                found[n].append(part)
                done[n] += counts[n]
    for prompt, parts in zip(prompts, found, strict=True):
        np.testing.assert_allclose(np.concatenate(parts), expected(prompt), **CLOSE)


def test_blocks_are_copied_saved_and_put_back(ranked: RankedRunner) -> None:
    """From a rank to itself and to others."""
    tokens = random_tokens(CONFIG, 70, seed=2)
    want = expected(tokens)[64:]
    ranked.forward([Chunk(tokens[:64], 0, [3], 0)])
    for source, target in ((3, 5), (5, 8), (8, 11)):
        ranked.copy_block(source, target)
    for target in (1, 4):
        ranked.write_block(target, ranked.read_block(11 if target == 1 else 8))
    for first in (1, 4, 5, 8, 11):
        np.testing.assert_allclose(ranked.forward([Chunk(tokens[64:], 64, [first, 10], 6)]), want, **CLOSE)
    with pytest.raises(CheckpointError):
        ranked.write_block(1, b"too short")


def test_an_engine_on_ranks_answers_as_on_one(ranked: RankedRunner, tmp_path: Any) -> None:
    """Prefix hits, copies on write, preemption, sessions from the disk: greedy tokens are those of one process."""
    prompt = random_tokens(CONFIG, 100, seed=3)
    prompts = {
        "first": prompt,
        "same": list(prompt),
        "fork": [*prompt[:90], *random_tokens(CONFIG, 60, seed=4)],
        "other": random_tokens(CONFIG, 250, seed=5),
    }
    model, _ = load(ALONE, "cpu", None)
    wanted = {
        name: alone(TorchRunner(model, BLOCKS), tokens, GREEDY, block_tokens=64) for name, tokens in prompts.items()
    }
    store = SnapshotStore(tmp_path / "kept", "ranks", quota=1 << 24)
    limits = Limits(step_tokens=128, running=4)
    engine = Engine(ranked, limits, snapshots=store)
    answers = finish(engine, [Request("first", prompts["first"], GREEDY, session="first")])
    answers |= finish(engine, [Request(name, prompts[name], GREEDY) for name in ("same", "fork", "other")])
    check_books(engine)
    assert {name: answer.tokens for name, answer in answers.items()} == wanted
    assert answers["same"].last.cached_tokens >= 64

    later = Engine(ranked, limits, snapshots=store)
    again = finish(later, [Request("first", [*prompt, *wanted["first"]], GREEDY, session="first")])
    assert later.stats().restored_blocks > 0
    following = alone(TorchRunner(model, BLOCKS), [*prompt, *wanted["first"]], GREEDY, block_tokens=64)
    assert again["first"].tokens == following
