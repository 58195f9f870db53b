r"""Ranges of affine/ReLU networks: interval bounds, zonotopes (DeepZ) and the exact range of small networks.

A network is a sequence of :class:`Layer`; an input set is a box [lower, upper]. Interval bounds and
zonotopes take many boxes at once along leading axes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp


@dataclass(frozen=True)
class Layer:
    """y = W x + b, then max(y, 0) if ``relu``.

    Attributes:
        weight: W, (n, m).
        bias: b, (n,).
    """

    weight: np.ndarray
    bias: np.ndarray
    relu: bool = True

    def __post_init__(self) -> None:
        for name in ("weight", "bias"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=float))
        if self.weight.ndim != 2 or self.bias.shape != self.weight.shape[:1] or not self.weight.size:
            raise ValueError(
                f"a layer needs a weight (n, m) and a bias (n,), got {self.weight.shape} and {self.bias.shape}"
            )
        if not (np.isfinite(self.weight).all() and np.isfinite(self.bias).all()):
            raise ValueError("a layer's weight and bias must be finite")

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(..., m) -> (..., n)."""
        y = x @ self.weight.T + self.bias
        return np.maximum(y, 0) if self.relu else y


Network = Sequence[Layer]


def checked_box(inputs: int, lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``lower`` and ``upper`` as float arrays (..., inputs).

    Raises:
        ValueError: another shape, or a lower bound above its upper bound.
    """
    lower, upper = np.asarray(lower, dtype=float), np.asarray(upper, dtype=float)
    if lower.shape != upper.shape or lower.ndim < 1 or lower.shape[-1] != inputs:
        raise ValueError(f"a box needs two arrays (..., {inputs}), got {lower.shape} and {upper.shape}")
    if not (lower <= upper).all():
        raise ValueError("a box's lower bounds must not exceed its upper bounds")
    return lower, upper


def check_network(network: Network) -> None:
    """Raise ValueError unless there is a layer and each takes what the one before it gives."""
    if not network:
        raise ValueError("a network needs at least one layer")
    for before, after in zip(network, network[1:], strict=False):
        if after.weight.shape[1] != len(before.bias):
            gives, takes = len(before.bias), after.weight.shape[1]
            raise ValueError(f"a layer with {gives} outputs is followed by one of {takes} inputs")


def forward(network: Network, x: np.ndarray) -> np.ndarray:
    """The network's outputs, (..., m) -> (..., n)."""
    for layer in network:
        x = layer(x)
    return x


def affine_bounds(
    weight: np.ndarray, bias: np.ndarray, lower: np.ndarray, upper: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest W x + b over a box: W+ l + W- u + b and W+ u + W- l + b.

    Shapes:
        weight (n, m), bias (n,), lower and upper (..., m) -> two arrays (..., n).
    """
    positive, negative = np.maximum(weight, 0).T, np.minimum(weight, 0).T
    return lower @ positive + upper @ negative + bias, upper @ positive + lower @ negative + bias


def preactivation_bounds(network: Network, lower: np.ndarray, upper: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Interval bounds of W x + b before the ReLU, one pair (..., n) per layer."""
    check_network(network)
    lower, upper = checked_box(network[0].weight.shape[1], lower, upper)
    found = []
    for layer in network:
        lower, upper = affine_bounds(layer.weight, layer.bias, lower, upper)
        found.append((lower, upper))
        if layer.relu:
            lower, upper = np.maximum(lower, 0), np.maximum(upper, 0)
    return found


def interval_bounds(network: Network, lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Interval bound propagation: bounds of the outputs, two arrays (..., n)."""
    lower, upper = preactivation_bounds(network, lower, upper)[-1]
    return (np.maximum(lower, 0), np.maximum(upper, 0)) if network[-1].relu else (lower, upper)


@dataclass(frozen=True)
class Zonotope:
    """The points c + G e with every |e_i| <= 1.

    Attributes:
        center: c, (..., n).
        generators: G, (..., n, p).
    """

    center: np.ndarray
    generators: np.ndarray

    def support(self, directions: np.ndarray) -> np.ndarray:
        """Greatest <a, y> over the zonotope: <a, c> + sum_i |<a, g_i>|, directions (k, n) -> (..., k)."""
        return self.center @ directions.T + np.abs(directions @ self.generators).sum(-1)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest coordinates, two arrays (..., n)."""
        radius = np.abs(self.generators).sum(-1)
        return self.center - radius, self.center + radius

    def polygon(self) -> np.ndarray:
        """Corners of a zonotope in the plane, counter-clockwise, (..., 2p, 2); some may coincide.

        The boundary runs through the generators in order of their angle, from the lowest corner up and down again.
        """
        if self.center.shape[-1] != 2:
            raise ValueError(f"a polygon needs a zonotope in the plane, got dimension {self.center.shape[-1]}")
        g = np.swapaxes(self.generators, -1, -2)  # (..., p, 2)
        down = (g[..., 1] < 0) | ((g[..., 1] == 0) & (g[..., 0] < 0))
        g = np.where(down[..., None], -g, g)
        order = np.argsort(np.arctan2(g[..., 1], g[..., 0]), -1, kind="stable")
        g = np.take_along_axis(g, order[..., None], -2)
        right = np.cumsum(2 * g, -2) - g.sum(-2, keepdims=True)
        return self.center[..., None, :] + np.concatenate([right, -right], -2)


def zonotope(network: Network, lower: np.ndarray, upper: np.ndarray) -> Zonotope:
    """The network's outputs by the DeepZ relaxation (Singh et al., 2018).

    Affine layers are exact. Where l < 0 < u bound a neuron, ReLU becomes the band
    max(x, 0) in s x + r +- r with s = u / (u - l), r = -u l / (2 (u - l)), a new noise symbol per neuron
    (of radius 0 where the neuron keeps its sign).
    """
    check_network(network)
    lower, upper = checked_box(network[0].weight.shape[1], lower, upper)
    center, radius = (lower + upper) / 2, (upper - lower) / 2
    generators = radius[..., None] * np.eye(lower.shape[-1])  # (..., m, m)
    for layer in network:
        center, generators = center @ layer.weight.T + layer.bias, layer.weight @ generators
        if not layer.relu:
            continue
        low, high = Zonotope(center, generators).bounds()
        crosses = (low < 0) & (high > 0)
        width = np.where(crosses, high - low, 1.0)
        slope = np.where(crosses, high / width, (high > 0).astype(float))
        shift = np.where(crosses, -high * low / (2 * width), 0.0)
        fresh = shift[..., None] * np.eye(len(layer.bias))  # (..., n, n)
        center, generators = slope * center + shift, np.concatenate([slope[..., None] * generators, fresh], -1)
    return Zonotope(center, generators)


def exact_range(network: Network, lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Exact least and greatest value of each output over one box, by mixed-integer programming.

    Each neuron that can change its sign has a binary variable d: a >= z, a >= 0, a <= z - l (1 - d), a <= u d, with
    interval bounds l, u of z. Exact to the solver's tolerance (about 1e-6); the time grows exponentially with the
    number of such neurons.

    Raises:
        ValueError: more than one box.
        RuntimeError: the solver found no optimum.
    """
    bounds = preactivation_bounds(network, lower, upper)
    lower, upper = np.asarray(lower, dtype=float), np.asarray(upper, dtype=float)
    if lower.ndim != 1:
        raise ValueError(f"the exact range is computed for one box (m,), got {lower.shape}")
    # columns: inputs, then z, a, d of each layer
    sizes = [len(layer.bias) for layer in network]
    columns = len(lower) + 3 * sum(sizes)
    least, greatest = np.full(columns, -np.inf), np.full(columns, np.inf)
    least[: len(lower)], greatest[: len(lower)] = lower, upper
    integral = np.zeros(columns)
    rows, low, high = [], [], []

    def constrain(coefficients: np.ndarray, at_least: float, at_most: float) -> None:
        rows.append(coefficients)
        low.append(at_least)
        high.append(at_most)

    before, start = np.arange(len(lower)), len(lower)
    for layer, (l, u), n in zip(network, bounds, sizes, strict=True):  # noqa: E741
        z, a, d = (start + i * n + np.arange(n) for i in range(3))
        start += 3 * n
        least[d], greatest[d] = 0, 1
        for i in range(n):
            row = np.zeros(columns)
            row[z[i]], row[before] = 1, -layer.weight[i]
            constrain(row, layer.bias[i], layer.bias[i])
            if not layer.relu or l[i] >= 0:
                row = np.zeros(columns)
                row[a[i]], row[z[i]] = 1, -1
                constrain(row, 0, 0)
            elif u[i] <= 0:
                least[a[i]] = greatest[a[i]] = 0
            else:
                integral[d[i]], least[a[i]], greatest[a[i]] = 1, 0, u[i]
                row = np.zeros(columns)
                row[a[i]], row[z[i]] = 1, -1
                constrain(row, 0, np.inf)
                row = row.copy()
                row[d[i]] = -l[i]  # a - z - l d <= -l
                constrain(row, -np.inf, -l[i])
                row = np.zeros(columns)
                row[a[i]], row[d[i]] = 1, -u[i]
                constrain(row, -np.inf, 0)
        before = a
    problem = LinearConstraint(np.stack(rows), low, high)
    ends = np.empty((2, len(before)))
    for i, column in enumerate(before):
        for k, sign in enumerate((1, -1)):
            objective = np.zeros(columns)
            objective[column] = sign
            found = milp(objective, constraints=problem, integrality=integral, bounds=Bounds(least, greatest),
                         options={"mip_rel_gap": 0.0})  # fmt: skip
            if found.status != 0:
                raise RuntimeError(f"no exact range of output {i}: {found.message}")
            ends[k, i] = sign * found.fun
    return ends[0], ends[1]
