"""When a curve first reaches a level, with the runs that never do kept in as censored."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from replib import estimate
from replib.estimate import Estimate

# what ``delays`` reports of a setting; claims files name these
DELAY = ("memorises at step", "generalises at step", "runs that generalise")


@dataclass(frozen=True)
class Onset:
    """First steps at which S curves reach a level.

    Attributes:
        step: (S,) that step; for a run that never gets there the last observed step, so a lower bound.
        reached: (S,) whether it got there.
    """

    step: np.ndarray
    reached: np.ndarray

    def over(self, earlier: "Onset") -> np.ndarray:
        """(S,) ratios of two onsets, run by run; steps 0 count as 1.

        A numerator that was not reached gives a lower bound, a denominator an upper bound.
        """
        return np.maximum(self.step, 1) / np.maximum(earlier.step, 1)

    def __str__(self) -> str:
        inside = self.step[self.reached]
        span = "never" if not len(inside) else f"{inside.min():g}" + f" to {inside.max():g}" * bool(np.ptp(inside))
        return span if self.reached.all() else f"{span} ({self.reached.sum()} of {len(self.reached)} runs)"


def onset(steps: ArrayLike, curves: ArrayLike, level: float, *, after: ArrayLike = -np.inf) -> Onset:
    """The first step at which each curve is at or above ``level``.

    Args:
        steps: (T,) increasing.
        curves: (T, S); not-a-number counts as below.
        after: steps before this, one number or (S,), do not count.

    Raises:
        ValueError: shapes that do not fit, or steps that do not increase.
    """
    steps, curves = np.asarray(steps, float), np.asarray(curves, float)
    if steps.ndim != 1 or curves.ndim != 2 or len(steps) != len(curves) or not len(steps):
        raise ValueError(f"onsets need steps (T,) and curves (T, S), got {steps.shape} and {curves.shape}")
    if (np.diff(steps) <= 0).any():
        raise ValueError("the steps must increase")
    there = (curves >= level) & (steps[:, None] >= np.asarray(after, float))
    reached = there.any(0)
    return Onset(np.where(reached, steps[there.argmax(0)], steps[-1]), reached)


def delays(settings: Mapping[object, tuple[Onset, Onset]]) -> dict[str, dict[object, Estimate]]:
    """When the runs of each setting memorise and when they generalise, as three families of a claim's quantities.

    Args:
        settings: name -> onsets of memorising and of generalising.

    Returns:
        ``memorises`` and ``generalises``, medians over the runs of both steps, where a run that never gets there counts
        with its last observed step, and ``runs``, how many generalise; each by setting. A claims file names them
        ``{}: memorises at step`` and so on, after ``DELAY``.
    """
    return {
        "memorises": {name: estimate.median(memorised.step) for name, (memorised, _) in settings.items()},
        "generalises": {name: estimate.median(generalised.step) for name, (_, generalised) in settings.items()},
        "runs": {name: estimate.count(generalised.reached) for name, (_, generalised) in settings.items()},
    }
