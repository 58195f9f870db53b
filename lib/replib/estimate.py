"""Numbers with their 95 % intervals.

An :class:`Estimate` is what a claim is judged on: a value, its interval, how many independent
replicates stand behind it and how the interval was made. Intervals over seeds are percentile
bootstraps with 2000 resamples (Efron and Tibshirani, 1993, ch. 13), computed by
:func:`scipy.stats.bootstrap` from a fixed generator, so the same values always give the same
interval.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

CONFIDENCE = 0.95
RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval.

    Attributes:
        value: the estimate.
        low, high: ends of the 95 % interval; equal to ``value`` for an exact number.
        n: number of independent replicates (seeds, data sets) behind it.
        method: how value and interval were computed, in words.
        values: one number per replicate, in seed order.
        tolerance: how far a rerun on another machine may lie from ``value`` and still agree.
            Half the interval's width by default: rounding moves a run, it does not redraw it.
        timed: a time, or made of times: it differs from run to run and is not compared between runs.
    """

    value: float
    low: float
    high: float
    n: int
    method: str
    values: tuple[float, ...] = ()
    tolerance: float = 0.0
    timed: bool = False

    def __post_init__(self) -> None:
        # `not >` instead of `<=`: an undefined number must not be taken for a disorder
        if self.low > self.value or self.value > self.high:
            raise ValueError(f"the interval [{self.low}, {self.high}] does not hold {self.value}")

    @property
    def finite(self) -> bool:
        """Whether value and interval are all finite numbers."""
        return bool(np.isfinite([self.value, self.low, self.high]).all())


def _replicates(values: ArrayLike, least: int = 2) -> np.ndarray:
    array = np.asarray(values, dtype=float).ravel()
    if array.size < least:
        raise ValueError(
            f"an interval needs at least {least} replicates, got {array.size}: "
            "run more seeds, or report the number with estimate.exact"
        )
    return array


def _estimate(
    samples: tuple[np.ndarray, ...],
    statistic: Callable[..., np.ndarray],
    method: str,
    values: np.ndarray,
    back: Callable[[np.ndarray], np.ndarray] = lambda x: x,
) -> Estimate:
    """Percentile bootstrap of ``back(statistic(*samples))``; replicates are drawn together."""
    value = float(back(statistic(*samples, axis=-1)))
    described = f"{method}; percentile bootstrap over {values.size}, {RESAMPLES} resamples"
    per_replicate = tuple(float(v) for v in values)
    from scipy import stats  # half a second, which reading a record need not pay

    if not np.isfinite(values).all():
        return Estimate(np.nan, np.nan, np.nan, values.size, described, per_replicate)
    result = stats.bootstrap(
        samples,
        statistic,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        paired=len(samples) > 1,
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    low = float(back(result.confidence_interval.low))
    high = float(back(result.confidence_interval.high))
    # the percentile interval of a skewed statistic may miss the value by rounding, or lie beside it
    low, high = min(low, value), max(high, value)
    tolerance = max((high - low) / 2, 1e-6 * abs(value))
    return Estimate(value, low, high, values.size, described, per_replicate, tolerance)


def mean(values: ArrayLike) -> Estimate:
    """Mean over replicates with its bootstrap interval."""
    x = _replicates(values)
    return _estimate((x,), np.mean, "mean", x)


def median(values: ArrayLike) -> Estimate:
    """Median over replicates with its bootstrap interval."""
    x = _replicates(values)
    return _estimate((x,), np.median, "median", x)


def geometric_mean(values: ArrayLike) -> Estimate:
    """exp(mean(log x)) over positive replicates; the bootstrap runs on the logarithms."""
    x = _replicates(values)
    if (x <= 0).any():
        raise ValueError(f"a geometric mean needs positive numbers, got {x.min()}")
    return _estimate((np.log(x),), np.mean, "geometric mean", x, back=np.exp)


def paired_difference(first: ArrayLike, second: ArrayLike) -> Estimate:
    """mean(first - second), paired by replicate."""
    a, b = _pair(first, second)
    return _estimate((a - b,), np.mean, "mean of paired differences", a - b)


def paired_ratio(numerator: ArrayLike, denominator: ArrayLike) -> Estimate:
    """Geometric mean of numerator / denominator, paired by replicate."""
    a, b = _pair(numerator, denominator)
    if (a <= 0).any() or (b <= 0).any():
        raise ValueError("a ratio needs positive numerators and denominators")
    return _estimate((np.log(a) - np.log(b),), np.mean, "geometric mean of paired ratios", a / b, back=np.exp)


def _pair(first: ArrayLike, second: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    a, b = _replicates(first), _replicates(second)
    if a.shape != b.shape:
        raise ValueError(f"pairs need equally many replicates, got {a.size} and {b.size}")
    return a, b


def slopes(x: ArrayLike, y: ArrayLike) -> np.ndarray:
    """Least-squares slope of y against x for each row of y.

    Args:
        x: (points,).
        y: (replicates, points).

    Returns:
        (replicates,): sum((x - mean x) y) / sum((x - mean x)^2).
    """
    x, y = np.asarray(x, dtype=float), np.atleast_2d(np.asarray(y, dtype=float))
    if x.ndim != 1 or x.size < 2 or y.shape[-1] != x.size:
        raise ValueError(f"a slope needs x of at least 2 points and y of as many, got {x.shape} and {y.shape}")
    centred = x - x.mean()
    if not centred.any():
        raise ValueError("a slope needs at least two different x")
    return y @ centred / (centred @ centred)


def slope(x: ArrayLike, y: ArrayLike) -> Estimate:
    """Mean over replicates of the least-squares slope of y (replicates, points) against x (points,)."""
    per_replicate = _replicates(slopes(x, y))
    return _estimate((per_replicate,), np.mean, "mean of least-squares slopes", per_replicate)


def loglog_slope(x: ArrayLike, y: ArrayLike) -> Estimate:
    """Mean over replicates of the slope of log y (replicates, points) against log x (points,)."""
    x, y = np.asarray(x, dtype=float), np.atleast_2d(np.asarray(y, dtype=float))
    if (x <= 0).any() or (y <= 0).any():
        raise ValueError("a log-log slope needs positive x and y")
    per_replicate = _replicates(slopes(np.log(x), np.log(y)))
    return _estimate((per_replicate,), np.mean, "mean of log-log slopes", per_replicate)


def spearman(x: ArrayLike, y: ArrayLike) -> Estimate:
    """Spearman's rank correlation of x and y; pairs are resampled together."""
    a, b = _replicates(x, least=3), _replicates(y, least=3)
    if a.shape != b.shape:
        raise ValueError(f"a correlation needs equally many x and y, got {a.size} and {b.size}")

    from scipy import stats

    def statistic(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
        ra, rb = stats.rankdata(a, axis=axis), stats.rankdata(b, axis=axis)
        ra, rb = ra - ra.mean(axis, keepdims=True), rb - rb.mean(axis, keepdims=True)
        norm = np.sqrt((ra**2).sum(axis) * (rb**2).sum(axis))
        # a resample of one repeated pair has no correlation: count it as none
        return np.divide((ra * rb).sum(axis), norm, out=np.zeros_like(norm), where=norm > 0)

    return _estimate((a, b), statistic, "Spearman's rank correlation", b)


def resampled(
    samples: Sequence[ArrayLike], statistic: Callable[..., float], method: str, *, paired: bool = False
) -> Estimate:
    """Any statistic of groups of replicates, such as a slope through the root mean squares of several groups.

    Each group's replicates are resampled independently of the other groups', or with ``paired`` together.

    Args:
        samples: one array per group, replicates along the first axis; groups may differ in size.
        statistic: (*groups) -> a number.
        method: how it was computed, in words.
    """
    groups = [np.asarray(s) for s in samples]
    sizes = [len(g) for g in groups]
    if not groups or min(sizes) < 2:
        raise ValueError(f"resampling needs at least 2 replicates in every group, got {sizes}")
    if paired and len(set(sizes)) != 1:
        raise ValueError(f"pairs need equally many replicates, got {sizes}")
    rng = np.random.default_rng(0)

    def resample() -> float:
        if paired:
            chosen = rng.integers(sizes[0], size=sizes[0])
            return statistic(*(g[chosen] for g in groups))
        return statistic(*(g[rng.integers(n, size=n)] for g, n in zip(groups, sizes, strict=True)))

    value = float(statistic(*groups))
    drawn = np.array([resample() for _ in range(RESAMPLES)])
    described = f"{method}; percentile bootstrap over {' + '.join(map(str, sizes))}, {RESAMPLES} resamples"
    if not (np.isfinite(value) and np.isfinite(drawn).all()):
        return Estimate(np.nan, np.nan, np.nan, min(sizes), described)
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    low, high = min(float(low), value), max(float(high), value)
    return Estimate(value, low, high, min(sizes), described, (), max((high - low) / 2, 1e-6 * abs(value)))


def timed(estimate: Estimate) -> Estimate:
    """The same estimate, marked as made of times."""
    return replace(estimate, timed=True)


def exact(value: float, n: int = 1, *, tolerance: float, method: str = "exact") -> Estimate:
    """A number without sampling error, such as a worst case over all points or a count.

    Args:
        tolerance: how far a rerun elsewhere may lie from it (rounding), in its own units.
    """
    value = float(value)
    return Estimate(value, value, value, n, method, (value,), tolerance)


def count(outcomes: ArrayLike) -> Estimate:
    """How many of the replicates satisfy a condition: an exact number, not an interval."""
    x = np.asarray(outcomes, dtype=bool).ravel()
    hits = float(x.sum())
    return Estimate(hits, hits, hits, x.size, f"count out of {x.size}", tuple(map(float, x)))
