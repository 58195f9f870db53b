r"""Which weights of a stack of networks to keep: scores, global masks.

Scores and masks are lists of tensors (S, ...), one per parameter; networks are scored and cut apart from each other.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Loss = Callable[[Sequence[Tensor]], Tensor]


def keep_largest(scores: Sequence[Tensor], share: float) -> list[Tensor]:
    """Masks that keep in each network the share of all its weights with the largest scores, all tensors together.

    round(share * weights) weights are kept. With |theta| as scores this is global magnitude pruning (Han et al. 2015;
    the global threshold is that of Frankle and Carbin 2019).

    Raises:
        ValueError: a share outside [0, 1], or scores that are not numbers.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"the share of kept weights must be between 0 and 1, got {share}")
    flat = torch.cat([s.flatten(1) for s in scores], 1)
    if flat.isnan().any():
        raise ValueError("scores must be numbers, some are not")
    best = flat.topk(round(share * flat.shape[1]), dim=1, sorted=False).indices
    kept = torch.zeros_like(flat, dtype=torch.bool).scatter_(1, best, value=True)
    return [k.view_as(s) for k, s in zip(kept.split([s[0].numel() for s in scores], 1), scores, strict=True)]


def _leaves(weights: Sequence[Tensor]) -> list[Tensor]:
    return [w.detach().clone().requires_grad_() for w in weights]


def snip(loss: Loss, weights: Sequence[Tensor]) -> list[Tensor]:
    """|g theta|: how fast the loss changes when a weight is scaled (SNIP, Lee et al. 2019, equation 5, unnormalised).

    Args:
        loss: weights -> (S,) losses.
    """
    weights = _leaves(weights)
    gradients = torch.autograd.grad(loss(weights).sum(), weights)
    return [(g * w).abs().detach() for g, w in zip(gradients, weights, strict=True)]


def grasp(loss: Loss, weights: Sequence[Tensor]) -> list[Tensor]:
    """theta (H g): a large value means that cutting the weight shrinks the gradient's norm (GraSP, Wang et al. 2020).

    Wang et al. score -theta (H g) and cut the largest (equation 8); here, as everywhere in this module, the largest
    scores are kept.
    """
    weights = _leaves(weights)
    gradients = torch.autograd.grad(loss(weights).sum(), weights, create_graph=True)
    norm = sum((g.detach() * g).sum() for g in gradients)
    return [(h * w).detach() for h, w in zip(torch.autograd.grad(norm, weights), weights, strict=True)]


def synflow(output: Loss, weights: Sequence[Tensor]) -> list[Tensor]:
    """|dR/dtheta theta| with R the summed output of the network of absolute weights (SynFlow, Tanaka et al. 2020).

    Args:
        output: weights -> (S,) sums of all outputs for inputs that are not negative.
    """
    weights = _leaves([w.abs() for w in weights])
    gradients = torch.autograd.grad(output(weights).sum(), weights)
    return [(g * w).abs().detach() for g, w in zip(gradients, weights, strict=True)]


def shuffled(masks: Sequence[Tensor], generators: Sequence[torch.Generator]) -> list[Tensor]:
    """Each tensor's mask in a random order, network by network: the same share per tensor, no structure."""
    return [
        torch.stack(
            [
                row.flatten()[torch.randperm(row.numel(), generator=g)].view_as(row)
                for row, g in zip(mask, generators, strict=True)
            ]
        )
        for mask in masks
    ]
