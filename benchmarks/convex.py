"""Convex training of two-layer ReLU networks: ADMM against cvxpy with its default solver, at growing size.

Same data, patterns and weight decay. ADMM runs until its certified gap is below 1e-4, the general solver to its own
tolerance; the optimal values agree to 1e-3. Rows also give the growth of both with the number of patterns. One thread.
"""

from collections.abc import Iterator
from functools import partial

import cvxpy as cp
import harness
import numpy as np
from harness import Case, installed
from replib.randomness import numpy_generator
from replib.training.convex_relu import ADMM, sampled_patterns

POINTS, INPUTS, BETA, GAP = 40, 2, 0.2, 1e-4


def data() -> tuple[np.ndarray, np.ndarray]:
    """Points in the plane with a column of ones, and a noisy two-neuron teacher's answers."""
    rng = numpy_generator(0, "benchmark")
    x = np.c_[rng.standard_normal((POINTS, INPUTS)), np.ones(POINTS)]
    hidden = np.maximum(x @ rng.standard_normal((2, INPUTS + 1)).T, 0)
    return x, hidden @ [1, -1] + 0.2 * rng.standard_normal(POINTS)


def by_admm(x: np.ndarray, y: np.ndarray, patterns: np.ndarray) -> float:
    """Optimal value, with a certificate."""
    solver = ADMM(x[None], y[None], patterns[None], BETA)
    for _ in range(100):
        found = solver.run(250).certificates()[0]
        if found.gap < GAP:
            return found.primal
    raise RuntimeError(f"no certificate within 25000 iterations: gap {found.gap:.1e}")


def by_cvxpy(x: np.ndarray, y: np.ndarray, patterns: np.ndarray) -> float:
    """Optimal value by the solver that cvxpy chooses."""
    on, signs = patterns.T.astype(float), np.where(patterns.T, 1.0, -1.0)
    v, w = (cp.Variable((len(patterns), x.shape[1])) for _ in range(2))
    f = cp.sum(cp.multiply(on, x @ (v - w).T), axis=1)
    penalty = sum(cp.sum(cp.norm(b, 2, axis=1)) for b in (v, w))
    constraints = [cp.multiply(signs, x @ b.T) >= 0 for b in (v, w)]
    problem = cp.Problem(cp.Minimize(cp.sum_squares(f - y) / 2 + BETA * penalty), constraints)
    return problem.solve()


def cases() -> Iterator[Case]:
    x, y = data()
    spent: dict[str, list[float]] = {"ours": [], "theirs": []}
    counts = []
    for draws in (25, 50, 100, 200, 400):
        patterns = sampled_patterns(x, draws, numpy_generator(0, "patterns"))
        ours, theirs = by_admm(x, y, patterns), by_cvxpy(x, y, patterns)
        np.testing.assert_allclose(ours, theirs, rtol=1e-3)
        counts.append(len(patterns))
        for name, call in (("ours", by_admm), ("theirs", by_cvxpy)):
            spent[name].append(min(harness.seconds(partial(call, x, y, patterns)) for _ in range(3)))
        grown = ""
        if len(counts) > 2:
            slopes = {k: np.polyfit(np.log(counts), np.log(t), 1)[0] for k, t in spent.items()}
            grown = f"; exponents of growth so far: ours {slopes['ours']:.1f}, theirs {slopes['theirs']:.1f}"
        yield Case(
            f"convex training on {POINTS} points, {len(patterns)} patterns",
            f"{installed('cvxpy')}, default solver",
            partial(by_admm, x, y, patterns),
            partial(by_cvxpy, x, y, patterns),
            "optimal values to 1e-3" + grown,
            why="An interior-point method needs few iterations where ADMM rests on a plateau.",
            rounds=3,
        )


if __name__ == "__main__":
    harness.main("convex", __doc__, cases)
