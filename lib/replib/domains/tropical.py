r"""Max-plus ("tropical") polyhedra and zones as abstract domains for affine/ReLU networks (Goubault et al., 2021).

In max-plus algebra the sum of two numbers is their maximum and the product their ordinary sum. A tropical polyhedron
with generators p^1..p^r in R^d holds the points max_g (lambda_g + p^g) with max_g lambda_g = 0. Generators are rows,
(r, d).

A zone is the set {x: x_p - x_q >= Z[p, q]}, with x_0 = 0 beside the coordinates x_1..x_d; so Z[p, 0] is a lower bound
of x_p and -Z[0, p] an upper one. Its matrix Z (d + 1, d + 1), the difference-bound matrix, is closed when every bound
is tight: Z[p, q] >= Z[p, k] + Z[k, q]. Functions of zones take many along leading axes, (..., d + 1, d + 1).
"""

from typing import Literal

import numpy as np
from scipy import sparse
from scipy.optimize import linprog

from replib.domains.intervals import Network, affine_bounds, check_network, checked_box

# a matrix whose bounds contradict each other by more than rounding describes no point
_ROUNDING = 1e-9
# flows of one linear program: beyond it the solver slows down more than a call costs
_FLOWS = 20_000


# --- tropical polyhedra by generators ---------------------------------------------------------------


def combine(generators: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Tropical combinations max_g (lambda_g + p^g), weights (..., r) with maximum 0 -> points (..., d).

    Raises:
        ValueError: weights whose maximum is not 0, or not one per generator.
    """
    weights = np.asarray(weights, dtype=float)
    if weights.shape[-1] != len(generators):
        raise ValueError(f"{len(generators)} generators need as many weights, got {weights.shape[-1]}")
    if not (weights.max(-1) == 0).all():
        raise ValueError("the largest weight of a tropical combination must be 0")
    return (weights[..., None] + generators).max(-2)


def gap(generators: np.ndarray, points: np.ndarray) -> np.ndarray:
    """How far points (..., d) are from the tropical polyhedron of generators (r, d): 0 exactly for its members.

    With lambda_g = min(0, min_i (x_i - p^g_i)), the largest admissible weights, x is a member iff max_g lambda_g = 0
    and max_g (lambda_g + p^g) = x. Returned is the larger of the two defects.
    """
    points = np.asarray(points, dtype=float)
    if points.shape[-1] != np.shape(generators)[-1]:
        raise ValueError(f"points of dimension {points.shape[-1]}, generators of {np.shape(generators)[-1]}")
    weights = np.minimum((points[..., None, :] - generators).min(-1), 0)  # (..., r)
    reached = np.full(points.shape, -np.inf)
    for g, p in enumerate(generators):
        np.maximum(reached, weights[..., g, None] + p, out=reached)
    return np.maximum(-weights.max(-1), (points - reached).max(-1))


def contains(generators: np.ndarray, points: np.ndarray, tolerance: float = 1e-9) -> np.ndarray:
    """Whether points (..., d) belong to the tropical polyhedron."""
    return gap(generators, points) <= tolerance


def bounds(generators: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest coordinates, both attained: (..., r, d) -> two arrays (..., d)."""
    return generators.min(-2), generators.max(-2)


def relu(generators: np.ndarray) -> np.ndarray:
    """Generators of the exact image under max(x, 0): max(max_g(lambda_g + p^g), 0) = max_g(lambda_g + max(p^g, 0))."""
    return np.maximum(generators, 0)


# --- zones ------------------------------------------------------------------------------------------


def box_zone(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """The closed matrix of a box, (..., d) -> (..., d + 1, d + 1)."""
    lower, upper = checked_box(np.shape(lower)[-1], lower, upper)
    zero = np.zeros_like(lower[..., :1])
    least, greatest = np.concatenate([zero, lower], -1), np.concatenate([zero, upper], -1)
    zone = least[..., :, None] - greatest[..., None, :]
    diagonal = np.arange(zone.shape[-1])
    zone[..., diagonal, diagonal] = 0
    return zone


def closure(zone: np.ndarray) -> np.ndarray:
    """Tight bounds of the same set: the max-plus star of Z, by the Floyd-Warshall recursion.

    Raises:
        ValueError: the zone is empty, or the matrix not square.
    """
    zone = np.array(zone, dtype=float)
    if zone.ndim < 2 or zone.shape[-1] != zone.shape[-2]:
        raise ValueError(f"a zone needs a square matrix, got {zone.shape}")
    for k in range(zone.shape[-1]):
        np.maximum(zone, zone[..., :, k, None] + zone[..., None, k, :], out=zone)
    diagonal = np.arange(zone.shape[-1])
    if (zone[..., diagonal, diagonal] > _ROUNDING).any():
        raise ValueError("the zone is empty: its bounds contradict each other")
    zone[..., diagonal, diagonal] = 0
    return zone


def zone_bounds(zone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of the coordinates that a closed matrix holds, two arrays (..., d)."""
    return zone[..., 1:, 0], -zone[..., 0, 1:]


def generators(zone: np.ndarray) -> np.ndarray:
    """Generators of a closed zone as a tropical polyhedron, (..., d + 1, d).

    They are the columns of Z, scaled tropically to x_0 = 0: generator q has x_p = Z[p, q] - Z[0, q], where x_q is at
    its upper bound and every other coordinate as low as that allows; generator 0 holds the lower bounds.
    """
    return np.swapaxes(zone[..., 1:, :] - zone[..., :1, :], -1, -2)


def hull(generators: np.ndarray) -> np.ndarray:
    """The least zone around a tropical polyhedron, closed: Z[p, q] = min_g (p^g_p - p^g_q), (..., r, d) -> a matrix."""
    g = np.concatenate([np.zeros_like(generators[..., :1]), generators], -1)  # (..., r, d + 1)
    return (g[..., :, None] - g[..., None, :]).min(-3)


def violation(zone: np.ndarray, points: np.ndarray) -> np.ndarray:
    """By how much points (..., d) break the worst bound of one zone; 0 or less for its members."""
    h = np.concatenate([np.zeros_like(points[..., :1]), points], -1)
    worst = np.full(h.shape[:-1], -np.inf)
    for p, row in enumerate(zone):
        others = np.arange(len(row)) != p
        np.maximum(worst, (row - h[..., p, None] + h)[..., others].max(-1), out=worst)
    return worst


def zone_polygon(zone: np.ndarray) -> np.ndarray:
    """Corners of a closed zone in the plane, counter-clockwise, (..., 8, 2); some coincide."""
    if zone.shape[-1] != 3:
        raise ValueError(f"a polygon needs a zone in the plane, got dimension {zone.shape[-1] - 1}")
    (l1, l2), (u1, u2) = (np.moveaxis(b, -1, 0) for b in zone_bounds(zone))
    least, greatest = zone[..., 1, 2], -zone[..., 2, 1]  # of x_1 - x_2
    corners = (
        (np.maximum(l1, l2 + least), l2),
        (np.minimum(u1, l2 + greatest), l2),
        (u1, np.maximum(l2, u1 - greatest)),
        (u1, np.minimum(u2, u1 - least)),
        (np.minimum(u1, u2 + greatest), u2),
        (np.maximum(l1, u2 + least), u2),
        (l1, np.minimum(u2, l1 - least)),
        (l1, np.maximum(l2, l1 - greatest)),
    )
    return np.stack([np.stack(c, -1) for c in corners], -2)


# --- affine layers ----------------------------------------------------------------------------------


def affine_zone(weight: np.ndarray, bias: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    r"""The tightest zone of (x, y = W x + b) for x in a box, in closed form.

    With h = upper - lower, interval bounds m, M of y and delta_ij = h_j clip(w_ij, 0, 1):

        m_i - u_j + delta_ij <= y_i - x_j <= M_i - l_j - delta_ij,
        y_i - y_k >= (W_i - W_k)^+ l + (W_i - W_k)^- u + b_i - b_k.

    All bounds are attained, so the matrix is closed; :func:`generators` gives n + m + 1 generators of it.

    Shapes:
        weight (n, m), bias (n,), lower and upper (..., m) -> (..., 1 + m + n, 1 + m + n), order (0, x, y).
    """
    weight, bias = np.asarray(weight, dtype=float), np.asarray(bias, dtype=float)
    n, m = weight.shape
    lower, upper = checked_box(m, lower, upper)
    least, greatest = affine_bounds(weight, bias, lower, upper)
    zone = box_zone(np.concatenate([lower, least], -1), np.concatenate([upper, greatest], -1))
    delta = np.clip(weight, 0, 1) * (upper - lower)[..., None, :]  # (..., n, m)
    zone[..., 1 + m :, 1 : 1 + m] += delta  # y_i - x_j
    zone[..., 1 : 1 + m, 1 + m :] += np.swapaxes(delta, -1, -2)  # x_j - y_i
    rows = (weight[:, None] - weight).reshape(n * n, m)
    differences, _ = affine_bounds(rows, (bias[:, None] - bias).ravel(), lower, upper)
    zone[..., 1 + m :, 1 + m :] = differences.reshape(*lower.shape[:-1], n, n)
    return zone


def minima(zone: np.ndarray, forms: np.ndarray) -> np.ndarray:
    r"""Least values of linear forms over closed zones, by linear programming.

    The dual of min <c, x> over a zone is a transportation problem: with c_0 = -sum_i c_i, goods leave the nodes with
    c_p > 0 and reach those with c_q < 0, and what is shipped from p to q earns Z[p, q]; closure makes detours useless.
    Where one side has a single node the plan is forced; all other problems go to the solver together.

    Shapes:
        zone (..., d + 1, d + 1), forms (k, d) -> (..., k).

    Raises:
        RuntimeError: the solver found no optimum.
    """
    forms = np.asarray(forms, dtype=float)
    nodes = zone.shape[-1]
    if forms.ndim != 2 or forms.shape[1] != nodes - 1:
        raise ValueError(f"a zone of dimension {nodes - 1} needs forms (k, {nodes - 1}), got {forms.shape}")
    zones = zone.reshape(-1, nodes, nodes)  # (B, d + 1, d + 1)
    c = np.concatenate([-forms.sum(-1, keepdims=True), forms], -1)  # (k, d + 1)
    value = np.zeros((len(zones), len(c)))
    open_, flows = [], []
    for k, row in enumerate(c):
        sources, sinks = np.flatnonzero(row > 0), np.flatnonzero(row < 0)
        if len(sources) == 1:
            value[:, k] = zones[:, sources[0], sinks] @ -row[sinks]
        elif len(sinks) == 1:
            value[:, k] = zones[:, sources, sinks[0]] @ row[sources]
        elif len(sources):
            open_.append(k)
            flows.append(len(sources) * len(sinks))
    call = np.cumsum(flows) // _FLOWS  # which forms share a program
    for group in (np.array(open_, dtype=int)[call == i] for i in np.unique(call)):
        size = sum(f for k, f in zip(open_, flows, strict=True) if k in group)
        for part in np.array_split(np.arange(len(zones)), -(-len(zones) * size // _FLOWS)):
            if len(part):
                value[np.ix_(part, group)] = _transport(zones[part], c[group])
    return value.reshape(*zone.shape[:-2], len(c))


def _transport(zones: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Greatest earnings of the transportation problems c (k, d + 1) on every zone (B, d + 1, d + 1), (B, k)."""
    blocks, amounts, routes = [], [], []
    for row in c:
        p, q = (i.ravel() for i in np.meshgrid(np.flatnonzero(row > 0), np.flatnonzero(row < 0), indexing="ij"))
        flow = np.arange(len(p))
        ones = np.ones(2 * len(p)), (np.concatenate([p, q]), np.concatenate([flow, flow]))
        incidence = sparse.csr_array(ones, (len(row), len(p)))
        # what leaves or reaches each node is given; the equation of the busiest node follows from the others
        kept = (row != 0) & (np.arange(len(row)) != np.abs(row).argmax())
        blocks.append(incidence[kept])
        amounts.append(np.abs(row[kept]))
        routes.append((p, q))
    earned = np.concatenate([zones[:, p, q] for p, q in routes], 1)  # (B, flows)
    every = sparse.block_diag([sparse.block_diag(blocks)] * len(zones), format="csc")
    given = np.tile(np.concatenate(amounts), len(zones))
    found = linprog(-earned.ravel(), A_eq=every, b_eq=given, bounds=(0, None), method="highs-ds")
    if found.status != 0:
        raise RuntimeError(f"no least value of a linear form over a zone: {found.message}")
    starts = np.cumsum([0] + [len(p) for p, _ in routes[:-1]])
    return np.add.reduceat(found.x.reshape(earned.shape) * earned, starts, 1)


def affine_image(weight: np.ndarray, bias: np.ndarray, zone: np.ndarray) -> np.ndarray:
    """The tightest zone around {W x + b: x in a closed zone}, (..., m + 1, m + 1) -> (..., n + 1, n + 1).

    Bounds of y_i and y_i - y_k over the zone are linear programs, n + n^2 of them; over the box around the zone they
    are explicit. The two are intersected, so the result is never larger than the box gives.
    """
    n, m = weight.shape
    over_box = affine_zone(weight, bias, *zone_bounds(zone))
    keep = np.r_[0, 1 + m : 1 + m + n]
    image = over_box[..., keep[:, None], keep]
    w, b = np.vstack([np.zeros(m), weight]), np.r_[0.0, bias]
    p, q = np.nonzero(~np.eye(n + 1, dtype=bool))
    image[..., p, q] = np.maximum(image[..., p, q], minima(zone, w[p] - w[q]) + b[p] - b[q])
    return closure(image)


def analyse(
    network: Network, lower: np.ndarray, upper: np.ndarray, variant: Literal["box", "zone"] = "zone"
) -> np.ndarray:
    """A zone around the network's outputs for inputs in a box, closed, (..., m) -> (..., n + 1, n + 1).

    Layer by layer: a zone of the affine part, its generators, ReLU on them (exact), the least zone around the result.
    With ``"box"`` each affine layer sees only the box around its input, so this is interval analysis with one final set
    of difference bounds; with ``"zone"`` it sees the zone (the first layer's input is a box, where both agree).

    Raises:
        ValueError: an unknown variant, or a box or network of wrong shape.
    """
    if variant not in ("box", "zone"):
        raise ValueError(f"unknown variant {variant!r}: use 'box' or 'zone'")
    check_network(network)
    zone = box_zone(*checked_box(network[0].weight.shape[1], lower, upper))
    for i, layer in enumerate(network):
        if variant == "zone" and i:
            zone = affine_image(layer.weight, layer.bias, zone)
        else:
            m, n = layer.weight.shape[::-1]
            keep = np.r_[0, 1 + m : 1 + m + n]
            zone = affine_zone(layer.weight, layer.bias, *zone_bounds(zone))[..., keep[:, None], keep]
        if layer.relu:
            zone = hull(relu(generators(zone)))
    return zone
