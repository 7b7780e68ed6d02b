"""Even use of experts: a bias for the choice that follows the load (arXiv 2408.15664), and a small loss per sequence.

Experts that had less than their share in a step become a little more likely in the next, those with more a little less; no
gradient is involved, so nothing pulls against the language loss. The loss per sequence (DeepSeek-V3, section 2.1.2) only keeps
single episodes from going to a few experts.
"""

import torch
from torch import Tensor


@torch.no_grad()
def update_bias(bias: Tensor, load: Tensor, speed: float) -> None:
    """Moves `bias` [E] in place by `speed` towards an even load; `load` [E] counts the tokens of the last step."""
    bias.add_(torch.sign(load.mean() - load), alpha=speed)
    bias.sub_(bias.mean())


def sequence_loss(scores: Tensor, chosen: Tensor, counted: Tensor) -> Tensor:
    """Mean over sequences of sum_e f_e P_e; 1 where all experts are used alike.

    `scores` [B, L, E] are the sigmoid scores, `chosen` [B, L, E] is 1 for the chosen experts, `counted` [B, L] tells padding (0)
    from tokens (1). f_e is the share of tokens that chose e times E / K, P_e the mean of the scores normalised per token.
    """
    tokens = counted.sum(1).clamp(min=1)[:, None]
    top = chosen.sum(-1).amax().clamp(min=1)
    share = (chosen * counted[..., None]).sum(1) * (chosen.shape[-1] / top) / tokens
    likely = scores / (scores.sum(-1, keepdim=True) + 1e-20)
    mean = (likely * counted[..., None]).sum(1) / tokens
    return (share.detach() * mean).sum(-1).mean()


def evenness(load: Tensor) -> float:
    """Load of the busiest expert over the mean: 1 is even, E / K the worst."""
    return float(load.max() / load.mean().clamp(min=1e-9))
