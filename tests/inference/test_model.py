"""The torch model is the reference: every shape, every storage format, any mixture of chunks."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_house import SHAPES, random_tokens, random_weights, stored_as, tiny_config
from nightly import examples

from inference_backend.config import ModelConfig
from inference_backend.engine.runner import Chunk
from inference_backend.errors import CheckpointError
from inference_backend.reference import Reference, Segment

torch = pytest.importorskip("torch")
from inference_backend.engine.torch_runner import TorchRunner  # noqa: E402
from inference_backend.model.model import Model  # noqa: E402

CLOSE = {"rtol": 0, "atol": 3e-4}
"""float32 against the float64 reference, on logits of size 1 to 10."""
CLOSE_INT4 = {"rtol": 0, "atol": 2e-3}
"""The C kernel of INT4 rounds activations to 16 bits."""


def runner(config: ModelConfig, stored: Any, **options: Any) -> TorchRunner:
    return TorchRunner(Model.load(config, stored, **{"dtype": torch.float32, **options}), 16)


def expected(config: ModelConfig, weights: Any, tokens: list[int]) -> np.ndarray:
    model = Reference(config, weights, dtype=np.float64)
    return model.forward([Segment(tokens, model.new_cache(), len(tokens))])


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape(shape: str) -> None:
    config = tiny_config(**SHAPES[shape])
    weights, tokens = random_weights(config), random_tokens(config, 75)
    found = runner(config, weights).forward([Chunk(tokens, 0, [3, 1], 75)])
    np.testing.assert_allclose(found, expected(config, weights, tokens), **CLOSE)


@settings(max_examples=examples(10))
@given(st.integers(0, 2**32 - 1))
def test_any_mixture_of_chunks(seed: int) -> None:
    """Prompts of several lengths, cut anywhere, side by side in one step, their blocks in any order."""
    config = tiny_config()
    weights = random_weights(config)
    model = runner(config, weights)
    prompts = [random_tokens(config, length, seed=length) for length in (3, 66, 130)]
    rng = np.random.default_rng(seed)
    free = rng.permutation(16).tolist()
    tables = [free[:1], free[1:3], free[3:6]]
    done, found = [0, 0, 0], [[], [], []]
    while any(at < len(prompt) for at, prompt in zip(done, prompts, strict=True)):
        step = []
        for index, prompt in enumerate(prompts):
            left = len(prompt) - done[index]
            count = min(left, int(rng.choice([0, 1, 2, 40, 70, 130])))
            if count:
                step.append(
                    (index, Chunk(prompt[done[index] : done[index] + count], done[index], tables[index], count))
                )
        if not step:
            continue
        logits = model.forward([chunk for _, chunk in step])
        for index, chunk in step:
            found[index].append(logits[: chunk.logits])
            logits = logits[chunk.logits :]
            done[index] += chunk.logits
    for prompt, parts in zip(prompts, found, strict=True):
        np.testing.assert_allclose(np.concatenate(parts), expected(config, weights, prompt), **CLOSE)


def test_blocks_are_copied_saved_and_put_back() -> None:
    config = tiny_config()
    weights, tokens = random_weights(config), random_tokens(config, 70)
    model = runner(config, weights)
    model.forward([Chunk(tokens[:64], 0, [5], 0)])
    model.copy_block(5, 9)
    saved = model.read_block(5)
    assert len(saved) == 64 * config.latent_dim * config.num_hidden_layers * 4
    other = runner(config, weights)
    other.write_block(2, saved)
    want = expected(config, weights, tokens)[64:]
    np.testing.assert_allclose(model.forward([Chunk(tokens[64:], 64, [9, 0], 6)]), want, **CLOSE)
    np.testing.assert_allclose(other.forward([Chunk(tokens[64:], 64, [2, 0], 6)]), want, **CLOSE)
    with pytest.raises(CheckpointError):
        other.write_block(2, saved[:-1])


@pytest.mark.parametrize("scheme", ["bf16", "int4", "fp8"])
def test_weights_as_they_are_stored(scheme: str) -> None:
    config = tiny_config(hidden_size=160, intermediate_size=288)
    stored, meant = stored_as(scheme, random_weights(config))
    tokens = random_tokens(config, 30)
    found = runner(config, stored).forward([Chunk(tokens, 0, [0], 30)])
    close = CLOSE_INT4 if scheme == "int4" else CLOSE
    np.testing.assert_allclose(found, expected(config, meant, tokens), **close)


def test_bfloat16_is_as_near_as_transformers_in_bfloat16() -> None:
    """Routing may differ where scores are close, so the error is compared on a model with all experts chosen."""
    from inference_house import oracle, raw_config

    changes = {"n_routed_experts": 6, "num_experts_per_tok": 6}
    config = tiny_config(**changes)
    _, meant = stored_as("bf16", random_weights(config))
    tokens = random_tokens(config, 64)
    exact = expected(config, meant, tokens)
    ours = runner(config, meant, dtype=torch.bfloat16).forward([Chunk(tokens, 0, [0], 64)])
    with torch.no_grad():
        theirs = (
            oracle(config, meant, raw_config(**changes), torch.bfloat16)(torch.tensor([tokens]))
            .logits[0]
            .float()
            .numpy()
        )
    assert np.linalg.norm(ours - exact) <= 1.1 * np.linalg.norm(theirs - exact)


def test_a_missing_tensor_is_named() -> None:
    config = tiny_config()
    weights = random_weights(config)
    del weights["model.layers.2.mlp.experts.7.up_proj.weight"]
    with pytest.raises(CheckpointError, match=r"no tensor model\.layers\.2\.mlp\.experts\.7\.up_proj"):
        runner(config, weights)
