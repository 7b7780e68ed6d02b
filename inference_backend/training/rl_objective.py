"""What reinforcement minimises (Kimi K2, arXiv 2507.20534, section 3.2, after Kimi k1.5, arXiv 2501.12599, section 2.3).

A task x is played k times by the policy p_old; y_i earned r_i. With r the mean of the k rewards, the report minimises

    mean_i (r_i - r - tau log(p(y_i | x) / p_old(y_i | x)))^2

`objective` is that over 2 tau, less what does not depend on p: -A_i l_i + tau / 2 l_i^2, with A_i = r_i - r and l_i the log ratio
of the whole episode, which is the sum over the tokens that the policy chose.
"""

import torch
from torch import Tensor


def log_probs(logits: Tensor, targets: Tensor, allowed: Tensor, heat: float) -> Tensor:
    """[M]: of `targets` [M] under what was sampled from, `logits` [M, W] over `heat` among the `allowed` [M, W] tokens."""
    wide = torch.promote_types(logits.dtype, torch.float32)
    shaped = (logits.to(wide) / heat).masked_fill(~allowed, float("-inf"))
    return shaped.log_softmax(-1).gather(-1, targets[:, None])[:, 0]


def objective(log_ratios: Tensor, advantage: Tensor, tau: float) -> Tensor:
    """[N] log ratios of whole episodes to the policy that played them, their advantages [N]: the sum of all losses."""
    return (-advantage * log_ratios + tau / 2 * log_ratios.square()).sum()
