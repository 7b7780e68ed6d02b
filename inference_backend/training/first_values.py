"""The first values of the weights: drawn from a seed, and heads of the first layer that look at the token before.

To copy, a model needs a head that tells each token what stood before it, and a later one that looks for that (induction, Olsson
et al., arXiv 2209.11895). Gradients find the first late: the rotary key has no bias to make the same key of all tokens from, and
neighbours differ little in angle. So it is given (after mimetic initialisation, Trockman and Kolter, arXiv 2305.09828): all
embeddings have a direction in common, the rotary key of the first layer is made from it, and its queries are turned back by one,
two or three tokens (`BACK`): a piece that stands in several names is told by what is before it. Training moves all of it as it
moves the rest.
"""

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from inference_backend.training.layers import Attention, Experts, Weight

if TYPE_CHECKING:
    from inference_backend.training.model import TrainableModel

BACK = 1, 2, 3, 1
"""How many tokens back the heads of the first layer look; more heads begin again."""
PAIRS = 5
"""The fastest rotary pairs: the first tell neighbours apart, the others what is a period of these away."""
SIZE = 7.0
"""Of each of these pairs in query and key."""
CHANNEL = 4.0
"""Of the channel of the query's latent that all tokens have in common, before its norm."""
DAMPED = 0.3
"""What is left of the drawn values beside."""


@torch.no_grad()
def draw(model: "TrainableModel", seed: int) -> None:
    """All weights of `model`, from a generator of their own."""
    rng = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, Weight) and module.std is not None:
            module.weight.normal_(0.0, module.std, generator=rng)
        elif isinstance(module, Experts):
            module.gate_up.normal_(0.0, module.std, generator=rng)
            module.down.normal_(0.0, module.std_down, generator=rng)
    embedding = model.model.embed_tokens
    assert embedding.std is not None
    common = torch.empty(model.config.hidden_size).normal_(generator=rng)
    embedding.weight += embedding.std * common
    # the norm before the layer makes sqrt(D) long what is half drawn, half common
    seen = common / common.norm() / math.sqrt(model.config.hidden_size / 2)
    _look_back(next(model.attention()), seen, model.frequencies.float())


def _look_back(layer: Attention, seen: Tensor, frequencies: Tensor) -> None:
    """`seen` [D] is 1 for the normed states of all tokens; frequencies [R / 2] in radians per token."""
    config, pairs = layer.config, min(PAIRS, len(frequencies))
    key = layer.kv_a_proj_with_mqa.weight[config.kv_lora_rank :]  # [R, D]
    key *= DAMPED
    key[: 2 * pairs : 2] += SIZE * seen
    layer.q_a_proj.weight[0] = CHANNEL * seen
    query = layer.q_b_proj.weight.view(config.num_attention_heads, config.qk_head_dim, -1)
    query *= DAMPED
    query[:, config.qk_nope_head_dim :, 0] = 0.0
    normed = CHANNEL / math.sqrt(1 + CHANNEL**2 / config.q_lora_rank)
    for head in range(len(query)):
        back = frequencies[:pairs] * BACK[head % len(BACK)]
        turned = torch.stack([back.cos(), -back.sin()], dim=1).flatten()  # [2 pairs]
        query[head, config.qk_nope_head_dim :, 0][: 2 * pairs] = SIZE / normed * turned
