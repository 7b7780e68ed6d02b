"""Steps in fixed tensors are the steps; recorded ones are, too, where there is a GPU."""

import os
import subprocess
import sys

import numpy as np
import pytest
from inference_house import random_tokens, random_weights, tiny_config

from inference_backend.engine.runner import BLOCK_TOKENS

torch = pytest.importorskip("torch")
from inference_backend.errors import EngineError  # noqa: E402
from inference_backend.model import graphs  # noqa: E402
from inference_backend.model.batch import make_batch  # noqa: E402
from inference_backend.model.model import Model  # noqa: E402

CONFIG = tiny_config(max_position_embeddings=512)
BLOCKS, SPARE, LONGEST = 12, 12, 8
CLOSE = {"rtol": 0, "atol": 1e-4}


def prompts() -> list[tuple[list[int], list[int]]]:
    """Tokens and blocks of sequences that end at the edges of blocks, and in their middle."""
    tables = [[3], [1, 4], [9, 2], [5], [11, 8, 0, 6]]
    lengths = (1, 65, 128, 63, 200)
    return [(random_tokens(CONFIG, n, seed=n), table) for n, table in zip(lengths, tables, strict=True)]


def test_padded_steps_are_the_steps() -> None:
    """Many sequences, then few in the same tensors: nothing is left of those that were there before."""
    model = Model.load(CONFIG, random_weights(CONFIG), dtype=torch.float32)
    free, fixed = ([torch.zeros(BLOCKS + 1, BLOCK_TOKENS, CONFIG.latent_dim) for _ in range(3)] for _ in range(2))
    padded = None
    for at, names in enumerate([(0, 1, 2, 3, 4), (1,), (4, 0)]):
        prefill, steps = [], []
        for tokens, blocks in (prompts()[n] for n in names):
            if len(tokens) > 1:
                prefill.append((tokens[:-1], 0, blocks, 0))
            steps.append(([tokens[-1] + at], len(tokens) - 1, blocks, 1))
        for caches in (free, fixed):
            if prefill:
                model.forward(make_batch(prefill, BLOCK_TOKENS, model.inv_freq, model.rope_scale), caches)
        step = make_batch(steps, BLOCK_TOKENS, model.inv_freq, model.rope_scale)
        assert graphs.fits(step)
        padded = padded or graphs.Padded(8, step, LONGEST, SPARE, BLOCK_TOKENS)
        addresses = [each.data_ptr() for each in (padded.batch.tokens, padded.batch.slots, padded.decoding.tables)]
        padded.fill(step)
        assert addresses == [
            each.data_ptr() for each in (padded.batch.tokens, padded.batch.slots, padded.decoding.tables)
        ]
        found = model.forward(padded.batch, fixed)[: len(names)]
        np.testing.assert_allclose(found, model.forward(step, free), **CLOSE)
        for one, other in zip(free, fixed, strict=True):
            np.testing.assert_allclose(one[:SPARE], other[:SPARE], **CLOSE)


def test_what_is_recorded() -> None:
    def step(*chunks: tuple[list[int], int, list[int], int]):
        return make_batch(chunks, BLOCK_TOKENS, torch.ones(32, dtype=torch.float64), 1.0)

    assert graphs.fits(step(([5], 0, [0], 1), ([6], 70, [1, 2], 1)))
    assert not graphs.fits(step(([5], 0, [0], 1), ([6, 7], 70, [1, 2], 1))), "a prompt, or a guess to be checked"
    assert not graphs.fits(step(([5], 0, [0], 0))), "part of a prompt"
    assert not graphs.fits(step(*(([5], 0, [0], 1) for _ in range(graphs.SIZES[-1] + 1))))
    assert [graphs.size_for(n) for n in (1, 2, 3, 9, 64, 65, 256)] == [1, 2, 4, 16, 64, 96, 256]


def test_nothing_is_recorded_without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not graphs.wanted(torch.device("cpu"))
    monkeypatch.setenv(graphs.SETTING, "maybe")
    with pytest.raises(EngineError, match="neither on nor off"):
        graphs.wanted(torch.device("cpu"))


ON_A_GPU = """
import sys
sys.path[:0] = ["tests", "."]
import numpy as np, torch
from inference_house import random_tokens, random_weights, tiny_config
from inference_backend.engine.runner import Chunk
from inference_backend.engine.torch_runner import TorchRunner
from inference_backend.model.model import Model
config = tiny_config(max_position_embeddings=512)
model = Model.load(config, random_weights(config), dtype=torch.float32, device="cuda")
runner = TorchRunner(model, 16)
tables = [[n, 8 + n] for n in range(8)]
runner.forward([Chunk(random_tokens(config, 60 + n, seed=n), 0, tables[n], 0) for n in range(8)])
rows = []
for at in range(12):
    count = (8, 3, 1)[at % 3]
    rows.append(runner.forward([Chunk([7 + at], 60 + n + at, tables[n], 1) for n in range(count)]))
np.save(sys.argv[1], np.concatenate(rows))
"""


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_recorded_steps_are_the_steps(tmp_path) -> None:
    """Each way in a process of its own: the setting is the process's."""
    found = []
    for setting in ("on", "off"):
        file = tmp_path / f"{setting}.npy"
        command = [sys.executable, "-c", ON_A_GPU, str(file)]
        ran = subprocess.run(command, env={**os.environ, graphs.SETTING: setting}, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr[-3000:]
        assert "without CUDA graphs" not in ran.stderr
        found.append(np.load(file))
    np.testing.assert_allclose(*found, rtol=0, atol=1e-3)
