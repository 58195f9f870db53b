"""Arithmetic modulo p: all pairs, their labels, random training sets and wrong labels."""

import operator
from collections.abc import Sequence

import torch
from torch import Tensor

_OPERATIONS = {"+": operator.add, "-": operator.sub, "*": operator.mul}


def pairs(p: int, *, ordered: bool = True) -> Tensor:
    """(n, 2) pairs of residues: all p² in the order of a table's rows, or the p (p + 1) / 2 with a <= b."""
    if p < 2:
        raise ValueError(f"a modulus must be at least 2, got {p}")
    every = torch.arange(p)
    return torch.cartesian_prod(every, every) if ordered else torch.combinations(every, with_replacement=True)


def labels(pairs: Tensor, p: int, operation: str = "+") -> Tensor:
    """(...,) values of a + b, a - b or a * b modulo p, for pairs (..., 2)."""
    if operation not in _OPERATIONS:
        raise ValueError(f"the operation must be one of {', '.join(_OPERATIONS)}, got {operation!r}")
    return _OPERATIONS[operation](pairs[..., 0], pairs[..., 1]) % p


def split(points: int, share: float, generators: Sequence[torch.Generator]) -> Tensor:
    """(S, points) masks of training sets: round(share * points) points drawn without replacement for each network."""
    count = round(share * points)
    if not 0 < count <= points:
        raise ValueError(f"a training set needs between 1 and {points} points, got {count}")
    mask = torch.zeros(len(generators), points, dtype=torch.bool)
    for row, g in zip(mask, generators, strict=True):
        row[torch.randperm(points, generator=g)[:count]] = True
    return mask


def corrupt(
    labels: Tensor, chosen: Tensor, share: float, classes: int, generators: Sequence[torch.Generator]
) -> tuple[Tensor, Tensor]:
    """Symmetric label noise: a share of the chosen points get a label drawn uniformly from all classes.

    Of the redrawn labels a share of 1 / classes stays right by luck.

    Args:
        labels: (n,) true labels.
        chosen: (S, n) masks, for instance training sets.

    Returns:
        (S, n) given labels, and (S, n) masks of the points whose label was redrawn.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"the share of redrawn labels must be between 0 and 1, got {share}")
    given, redrawn = labels.expand(chosen.shape).clone(), torch.zeros_like(chosen)
    for row, marks, mask, g in zip(given, redrawn, chosen, generators, strict=True):
        candidates = mask.nonzero().squeeze(1)
        hit = candidates[torch.randperm(len(candidates), generator=g)[: round(share * len(candidates))]]
        row[hit] = torch.randint(classes, (len(hit),), generator=g, dtype=labels.dtype)
        marks[hit] = True
    return given, redrawn
