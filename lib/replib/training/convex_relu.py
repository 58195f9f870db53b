r"""Two-layer ReLU networks as convex programmes (Pilanci and Ergen, 2020; Bai, Gautam and Sojoudi, 2022).

Training f(x) = sum_j relu(x . u_j) a_j on X (n, r), y (n,),

    min  (1/2) |f(X) - y|^2 + (beta/2) sum_j (|u_j|^2 + a_j^2),

has the same optimal value as the convex programme over blocks v_i, w_i in R^r, one pair for each
activation pattern D_i = diag(1[X g >= 0]),

    min  (1/2) |sum_i D_i X (v_i - w_i) - y|^2 + beta sum_i (|v_i| + |w_i|)
    subject to  (2 D_i - I) X v_i >= 0,  (2 D_i - I) X w_i >= 0.

Append a column of ones to X for biases. Blocks stand in arrays of shape (..., 2, P, r): first all
v_i, then all w_i. Problems of one shape are solved together, along a first axis S.
"""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import nnls

Array = np.ndarray
TINY = 1e-300  # a block of 0 stays at 0


def count_patterns(points: int, rank: int) -> int:
    """2 sum_(k < rank) C(points - 1, k): patterns of points in general position, the empty one included.

    Cover (1965), theorem 1: the cells into which n hyperplanes through the origin cut R^r.
    """
    if points < 1 or rank < 1:
        raise ValueError(f"need at least one point and rank 1, got {points} and {rank}")
    return 2 * sum(math.comb(points - 1, k) for k in range(rank))


def _distinct(patterns: Array) -> Array:
    """Distinct rows without the empty one, in lexicographic order."""
    packed = np.unique(np.packbits(patterns, axis=1), axis=0)
    rows = np.unpackbits(packed, axis=1, count=patterns.shape[1]).astype(bool)
    return rows[rows.any(1)]


def all_patterns(x: Array) -> Array:
    """Every non-empty activation pattern 1[X g >= 0] of a cell, for rows of X in general position.

    Each cell has an edge on which some r - 1 rows vanish. So for every choice of r - 1 rows and both signs of their
    common normal g, take the signs of X g on the other rows and all settings of the bits of these.

    Shapes:
        x (n, r) -> (P, n) of bool, P = count_patterns(n, r) - 1 if the empty pattern is one of a cell.

    Raises:
        ValueError: fewer rows than columns, or rows not in general position (r of them are dependent).
    """
    x = np.asarray(x, dtype=float)
    if x.ndim != 2 or len(x) < x.shape[1] or not np.isfinite(x).all():
        raise ValueError(f"patterns need a finite matrix with at least as many rows as columns, got shape {x.shape}")
    n, r = x.shape
    unit = unit_rows(x)
    chosen = np.array(list(combinations(range(n), r - 1)), dtype=int).reshape(math.comb(n, r - 1), r - 1)
    normals = np.linalg.svd(unit[chosen])[2][:, -1] if r > 1 else np.ones((1, 1))  # (C, r)
    along = normals @ unit.T  # (C, n)
    others = np.ones(along.shape, dtype=bool)
    np.put_along_axis(others, chosen, False, axis=1)
    if np.abs(along[others]).min(initial=1.0) < 1e-10:
        raise ValueError("the rows are not in general position: some r of them are linearly dependent")
    found = []
    for sign in (1, -1):
        for setting in range(2 ** (r - 1)):
            pattern = sign * along > 0
            bits = np.array([setting >> k & 1 for k in range(r - 1)], dtype=bool)
            np.put_along_axis(pattern, chosen, np.broadcast_to(bits, chosen.shape), axis=1)
            found.append(_distinct(pattern))
    return _distinct(np.concatenate(found))


def patterns_of(x: Array, directions: Array) -> Array:
    """1[X g >= 0] for each direction. x (n, r), directions (K, r) -> (K, n) of bool, in the order of the directions."""
    return np.asarray(directions) @ np.asarray(x).T >= 0


def sampled_patterns(x: Array, count: int, rng: np.random.Generator) -> Array:
    """The distinct non-empty patterns among ``count`` directions g ~ N(0, I).

    Shapes:
        x (n, r) -> (P, n) of bool, P <= count.
    """
    if count < 1:
        raise ValueError(f"need at least one direction, got {count}")
    return _distinct(patterns_of(x, rng.standard_normal((count, np.shape(x)[1]))))


def stack_patterns(patterns: Sequence[Array]) -> Array:
    """Pattern sets of several problems as one array (S, P, n), filled up with empty patterns.

    An empty pattern multiplies X by 0: its blocks start at 0 and stay there, the other blocks do not notice.
    """
    if len({p.shape[1] for p in patterns}) != 1:
        raise ValueError(f"the problems must have equally many points, got {[p.shape for p in patterns]}")
    stacked = np.zeros((len(patterns), max(map(len, patterns)), patterns[0].shape[1]), dtype=bool)
    for row, p in zip(stacked, patterns, strict=True):
        row[: len(p)] = p
    return stacked


def unit_rows(x: Array) -> Array:
    """Rows scaled to length 1: the same sign constraints, better conditioned. (..., n, r) -> (..., n, r).

    Raises:
        ValueError: a row is 0 and has no direction.
    """
    length = np.linalg.norm(x, axis=-1, keepdims=True)
    if not (length > 0).all():
        raise ValueError("a row of X is 0: append a column of ones, or drop the row")
    return x / length


def group_soft_threshold(blocks: Array, threshold: float) -> Array:
    """(1 - t/|b|)_+ b for each block b along the last axis: the proximal map of t |b|.

    Raises:
        ValueError: a negative threshold.
    """
    if threshold < 0:
        raise ValueError(f"a threshold must not be negative, got {threshold}")
    norm = np.linalg.norm(blocks, axis=-1, keepdims=True)
    return blocks * np.maximum(0, 1 - threshold / np.maximum(norm, TINY))


class ADMM:
    r"""Alternating directions for a stack of problems: u = z for the norms, G u = s >= 0 for the signs.

    With F = [D_1 X .. D_P X, -D_1 X .. -D_P X], G = blockdiag((2 D_i - I) X) twice with rows of length 1, scaled
    duals lam, nu, penalty rho and over-relaxation a, one iteration is

        u <- (I + F^T F / rho + G^T G)^(-1) (F^T y / rho + z - lam + G^T (s - nu))
        u' = a u + (1 - a) z,  h = a G u + (1 - a) s
        z <- group_soft_threshold(u' + lam, beta / rho),  s <- max(0, h + nu)
        lam <- lam + u' - z,  nu <- nu + h - s.

    Only p = u' + lam and q = h + nu need to be kept: z is the threshold of p, s = max(0, q), nu = min(0, q), so
    s - nu = |q|, and the last three lines become p <- p + a (u - z), q <- q + a (G u - max(0, q)). The blocks of
    G^T G are all equal, because (2 D_i - I)^2 = I. So the matrix inversion lemma needs a system of n equations only,
    and an iteration costs about 6 P n r multiplications instead of (2 P r)^2.

    Args:
        x: (S, n, r).
        y: (S, n).
        patterns: (S, P, n) of bool; empty ones are padding.
        beta: (S,), or one number.
        rho: penalty of the splitting.
        relaxation: a, between 0 and 2; 1 is plain ADMM.
        constrained: without the sign constraints the programme is a relaxation.

    Raises:
        ValueError: shapes that do not match, or beta, rho, a out of range.
    """

    def __init__(
        self,
        x: Array,
        y: Array,
        patterns: Array,
        beta: Array | float,
        *,
        rho: float = 0.3,
        relaxation: float = 1.7,
        constrained: bool = True,
    ) -> None:
        x, y, patterns = np.asarray(x, float), np.asarray(y, float), np.asarray(patterns, bool)
        if x.ndim != 3 or y.shape != x.shape[:2] or patterns.ndim != 3 or patterns.shape[::2] != y.shape:
            shapes = f"{x.shape}, {y.shape}, {patterns.shape}"
            raise ValueError(f"need x (S, n, r), y (S, n), patterns (S, P, n); got {shapes}")
        self.beta = np.broadcast_to(np.asarray(beta, float), len(x)).copy()
        if not (self.beta > 0).all() or not rho > 0 or not 0 < relaxation < 2:
            raise ValueError(f"need beta > 0, rho > 0 and 0 < a < 2, got {beta}, {rho}, {relaxation}")
        self.x, self.y, self.patterns = x, y, patterns
        self.rho, self.relaxation, self.constrained = rho, relaxation, constrained
        problems, n, r = x.shape
        blocks = 2 * patterns.shape[1]
        g = unit_rows(x) if constrained else np.zeros_like(x)
        inverse = np.linalg.inv(np.eye(r) + np.swapaxes(g, 1, 2) @ g)  # B^-1, (S, r, r)
        xb = x @ inverse  # (S, n, r)

        def tensor(array: Array) -> torch.Tensor:
            return torch.as_tensor(np.ascontiguousarray(array))

        # blocks run along the last axis, which keeps the products fast
        on = np.swapaxes(patterns, 1, 2).astype(float)  # (S, n, P)
        # F B^-1 F^T = 2 (X B^-1 X^T) o (D^T D), o element by element
        small = np.linalg.inv(rho * np.eye(n) + 2 * (xb @ np.swapaxes(x, 1, 2)) * (on @ np.swapaxes(on, 1, 2)))
        fy = np.swapaxes(x * y[..., None], 1, 2) @ on / rho  # (S, r, P)
        self._on, self._rows, self._columns = tensor(on), tensor(g), tensor(np.swapaxes(g, 1, 2))
        self._inverse, self._xb, self._small = tensor(inverse), tensor(xb), tensor(small)
        self._constant = tensor(np.concatenate([fy, -fy], 2))  # F^T y / rho, (S, r, 2P)
        self._signs = tensor(np.concatenate([2 * on - 1] * 2, 2))  # (S, n, 2P)
        self._threshold = tensor(self.beta / rho)[:, None, None]
        self._p = torch.zeros(problems, r, blocks, dtype=torch.float64)
        self._q = torch.zeros(problems, n, blocks, dtype=torch.float64)  # times the signs
        self._z = torch.zeros_like(self._p)

    def run(self, iterations: int) -> "ADMM":
        """Do ``iterations`` more iterations."""
        p, q, z, a = self._p, self._q, self._z, self.relaxation
        half = p.shape[2] // 2
        g, rhs, u = (torch.empty_like(t) for t in (q, p, p))
        for _ in range(iterations):
            torch.sub(self._constant, p, out=rhs).add_(z, alpha=2)
            if self.constrained:
                torch.copysign(q, self._signs, out=g)  # |q|, times the signs
                rhs.baddbmm_(self._columns, g)  # + G^T |q|
            torch.bmm(self._inverse, rhs, out=u)
            difference = (rhs[..., :half] - rhs[..., half:]).transpose(1, 2)  # (S, P, r)
            fitted = (self._xb * self._on.bmm(difference)).sum(2, keepdim=True)  # F B^-1 rhs, (S, n, 1)
            weighted = self._xb * self._small.bmm(fitted)  # (S, n, r)
            correction = weighted.transpose(1, 2).bmm(self._on)  # (S, r, P)
            u[..., :half] -= correction
            u[..., half:] += correction
            if self.constrained:
                q.add_(g, alpha=-a / (2 - a))
                q.baddbmm_(self._rows, u, beta=1 - a / 2, alpha=a)  # q + a (G u - max(0, q))
            p.add_(u.sub_(z), alpha=a)
            # |p|, block by block: five times as fast as vector_norm along this axis
            size = torch.mul(p, p, out=u).sum(1, keepdim=True).sqrt_().clamp_min_(TINY)
            torch.div(self._threshold, size, out=size)
            torch.mul(p, size.neg_().add_(1).clamp_min_(0), out=z)
        return self

    def keep(self, problems: Sequence[int]) -> None:
        """Go on with these problems of the stack only."""
        index = np.asarray(problems, dtype=int)
        for name in ("x", "y", "patterns", "beta"):
            setattr(self, name, getattr(self, name)[index])
        for name, value in vars(self).items():
            if isinstance(value, torch.Tensor):
                setattr(self, name, value[torch.as_tensor(index)].contiguous())

    @property
    def blocks(self) -> Array:
        """z, (S, 2, P, r): the blocks v and w."""
        return self._split(self._z)

    @property
    def multipliers(self) -> Array:
        """eta = max(0, -rho nu) >= 0 of the sign constraints, for rows of length 1, (S, 2, P, n)."""
        return self._split((self._q * self._signs).clamp_max(0).mul(-self.rho))

    @staticmethod
    def _split(array: torch.Tensor) -> Array:
        """(S, k, 2P) -> (S, 2, P, k)."""
        problems, k, count = array.shape
        return array.numpy().reshape(problems, k, 2, count // 2).transpose(0, 2, 3, 1).copy()

    def certificates(self) -> list["Certificate"]:
        """One certificate per problem, for the patterns it was given."""
        z, eta = self.blocks, self.multipliers
        return [certificate(*problem) for problem in zip(self.x, self.y, self.beta, z, self.patterns, eta, strict=True)]


def neurons(blocks: Array) -> tuple[Array, Array]:
    """The network of a solution: u = b / sqrt|b| and a = +-sqrt|b|, plus for v and minus for w.

    Shapes:
        blocks (2, P, r) -> u (k, r), a (k,) for the k blocks that are not 0.
    """
    flat = np.asarray(blocks).reshape(-1, np.shape(blocks)[-1])
    sign = np.repeat([1.0, -1.0], len(flat) // 2)
    root = np.sqrt(np.linalg.norm(flat, axis=1))
    alive = root > 0
    return flat[alive] / root[alive, None], (sign * root)[alive]


def network(x: Array, blocks: Array) -> Array:
    """sum_i relu(X v_i) - relu(X w_i), whatever pattern the blocks really have. x (n, r) -> (n,)."""
    v, w = blocks
    return np.maximum(x @ v.T, 0).sum(1) - np.maximum(x @ w.T, 0).sum(1)


def objective(x: Array, y: Array, beta: float, blocks: Array) -> float:
    """(1/2) |f(X) - y|^2 + beta sum |b| of the network built from the blocks: an upper bound of the optimum."""
    return float(np.sum((network(x, blocks) - y) ** 2) / 2 + beta * np.linalg.norm(blocks, axis=-1).sum())


def cone_maxima(x: Array, residual: Array, patterns: Array) -> Array:
    r"""max of +-r^T D_i X u over unit vectors u with pattern i, (2, P): first for +, then for -.

    By duality it is min over eta >= 0 of |+-X^T D_i r + X^T (2 D_i - I) eta|, a non-negative least squares problem;
    0 where every such u gives a negative number.

    Shapes:
        x (n, r), residual (n,), patterns (P, n).
    """
    unit = unit_rows(x)
    gradient = (patterns * residual) @ x  # (P, r)
    found = np.empty((2, len(patterns)))
    for i, pattern in enumerate(patterns):
        cone = np.where(pattern, -1.0, 1.0) * unit.T  # -(X^T (2 D - I)), (r, n)
        for k, sign in enumerate((1.0, -1.0)):
            found[k, i] = nnls(cone, sign * gradient[i])[1]
    return found


class Certificate(NamedTuple):
    """Bounds of the optimal value.

    Attributes:
        primal: objective of the network at hand.
        dual: no network does better.
        steepest: mu, the largest of the cone maxima; at the optimum it is beta.
    """

    primal: float
    dual: float
    steepest: float

    @property
    def gap(self) -> float:
        """(primal - dual) / primal."""
        return (self.primal - self.dual) / self.primal


def certificate(
    x: Array, y: Array, beta: float, blocks: Array, patterns: Array, multipliers: Array | None = None
) -> Certificate:
    r"""How far the network of these blocks can be from the optimum over ``patterns``.

    The dual programme is max y^T r - |r|^2 / 2 subject to |r^T relu(X u)| <= beta for all unit u with one of the
    patterns. Scaling the residual r = y - f(X) by min(1, beta / mu), with mu its largest cone maximum, makes it
    feasible.

    Args:
        blocks: (2, P', r).
        patterns: (P, n); with all patterns of X the bound is one on all networks.
        multipliers: (2, P, n) eta >= 0 for rows of length 1, one set per pattern and sign. Each bounds its cone maximum
            from above, so least squares problems are solved only until the largest found exceeds all bounds left.
    """
    residual = y - network(x, blocks)
    if multipliers is None:
        steepest = cone_maxima(x, residual, patterns).max(initial=0.0)
    else:
        unit, gradient = unit_rows(x), (patterns * residual) @ x
        signed = np.where(patterns, 1.0, -1.0) * multipliers  # (2, P, n)
        bound = np.linalg.norm(np.stack([gradient, -gradient]) + signed @ unit, axis=-1)  # (2, P)
        steepest, bound = 0.0, bound.max(0)
        for i in np.argsort(-bound):
            if bound[i] <= steepest:
                break
            steepest = max(steepest, cone_maxima(x, residual, patterns[i : i + 1]).max())
    feasible = residual * min(1.0, beta / steepest) if steepest > 0 else residual
    return Certificate(objective(x, y, beta, blocks), float(y @ feasible - feasible @ feasible / 2), float(steepest))
