"""ReLU networks with two inputs, exactly: their linear regions, the image of a square, and areas in the plane."""

import numpy as np

from replib.domains.intervals import Network, check_network, checked_box


def area(polygons: np.ndarray) -> np.ndarray:
    """Area of convex or simple polygons by the shoelace formula, (..., v, 2) -> (...)."""
    x, y = polygons[..., 0], polygons[..., 1]
    x, y = x - x.mean(-1, keepdims=True), y - y.mean(-1, keepdims=True)  # against cancellation
    return np.abs((x * np.roll(y, -1, -1) - y * np.roll(x, -1, -1)).sum(-1)) / 2


def _stacked(polygons: list[np.ndarray]) -> np.ndarray:
    """Polygons (v, 2) as one array (N, most v, 2), last corners repeated."""
    most = max(map(len, polygons), default=1)
    padded = [np.vstack([p, np.repeat(p[-1:], most - len(p), 0)]) for p in polygons]
    return np.stack(padded) if padded else np.zeros((0, most, 2))


def clip(polygons: np.ndarray, normal: np.ndarray, offset: float) -> np.ndarray:
    """The parts of convex polygons (N, v, 2) with <normal, x> + offset >= 0; those with none are left out."""
    parts = [_cut(p, p @ normal + offset)[0] for p in polygons]
    return _stacked([p for p in parts if len(p)])


def _cut(polygon: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The parts of a convex polygon (v, 2) where an affine function, given at its corners, is >= 0 and <= 0."""
    following, after = np.roll(polygon, -1, 0), np.roll(value, -1)
    crosses = value * after < 0
    share = np.divide(value, value - after, out=np.zeros_like(value), where=crosses)[:, None]
    both = np.stack([polygon, polygon + share * (following - polygon)], 1)  # corner, then crossing
    return tuple(both[np.stack([side * value >= 0, crosses], 1)] for side in (1, -1))


def linear_regions(
    network: Network, lower: np.ndarray, upper: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Convex polygons that tile a rectangle and on each of which the network is y = A x + c.

    The polygons are cut along the zero lines of the neurons, layer by layer.

    Returns:
        (polygon (v, 2) counter-clockwise, A (n, 2), c (n,)) for each region.
    """
    check_network(network)
    (left, bottom), (right, top) = checked_box(2, lower, upper)
    square = np.array([[left, bottom], [right, bottom], [right, top], [left, top]])
    regions = [(square, np.eye(2), np.zeros(2))]
    for layer in network:
        pieces = []
        for polygon, a, c in regions:
            a, c = layer.weight @ a, layer.weight @ c + layer.bias
            parts = [polygon]
            for i in range(len(c) if layer.relu else 0):
                whole, parts = parts, []
                for part in whole:
                    value = part @ a[i] + c[i]
                    value[np.abs(value) < 1e-13 * (1 + np.abs(c[i]))] = 0
                    parts += [part] if (value >= 0).all() or (value <= 0).all() else _cut(part, value)
            for part in parts:
                on = part.mean(0) @ a.T + c > 0 if layer.relu else np.ones(len(c), dtype=bool)
                pieces.append((part, a * on[:, None], c * on))
        regions = pieces
    return regions


def image(network: Network, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """The exact image of a rectangle in the plane: convex polygons (N, v, 2), counter-clockwise, last corners repeated.

    Some have no area: a region that is mapped to a segment or a point.
    """
    mapped = [p @ a.T + c if np.linalg.det(a) >= 0 else (p @ a.T + c)[::-1]
              for p, a, c in linear_regions(network, lower, upper)]  # fmt: skip
    return _stacked(mapped)


def union_area(polygons: np.ndarray, *, span: tuple[float, float] | None = None, slices: int = 4000) -> float:
    """Area of a union of convex polygons: lengths of the union on lines x = const, by the midpoint rule.

    Args:
        polygons: (N, v, 2), counter-clockwise; corners may coincide.
        span: range of x that is sliced, by default the polygons' own. Sets that are compared should share one: then a
            set inside another never gets the larger area.
        slices: number of lines.
    """
    polygons = np.asarray(polygons, dtype=float)
    if not len(polygons):
        return 0.0
    if polygons.ndim != 3 or polygons.shape[-1] != 2 or slices < 1:
        raise ValueError(f"need polygons (N, v, 2) and at least one slice, got {polygons.shape} and {slices}")
    low, high = span or (polygons[..., 0].min(), polygons[..., 0].max())
    if not high > low:
        return 0.0
    step = (high - low) / slices
    # slice i is the line x = low + (i + 1/2) step; an edge from a to b crosses slices first(a) .. first(b) - 1
    first = np.clip(np.ceil((polygons[..., 0] - low) / step - 0.5), 0, slices).astype(int)  # (N, v)
    begin, count = first.min(1), np.ptp(first, axis=1)
    offset = np.cumsum(count) - count  # where a polygon's slices start in the arrays of ends
    ends = np.full((2, count.sum()), np.nan)  # below, above
    after, following = np.roll(first, -1, 1), np.roll(polygons, -1, 1)
    for side, rightward in enumerate((True, False)):
        n, e = np.nonzero(after > first if rightward else after < first)
        start, stop = np.minimum(first, after)[n, e], np.maximum(first, after)[n, e]
        a, b = polygons[n, e], following[n, e]
        slope = (b[:, 1] - a[:, 1]) / (b[:, 0] - a[:, 0])
        length = stop - start
        edge = np.repeat(np.arange(len(n)), length)
        i = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length) + start[edge]
        x = low + (i + 0.5) * step
        ends[side, (offset - begin)[n][edge] + i] = a[edge, 1] + slope[edge] * (x - a[edge, 0])
    lines = np.arange(count.sum()) - np.repeat(offset - begin, count)
    below, above = ends[:, np.isfinite(ends).all(0)]
    lines = lines[np.isfinite(ends).all(0)]
    if not len(lines):
        return 0.0
    # shift each line's intervals out of the others' way, so that one sweep measures all unions
    apart = 1.5 * (max(above.max(), below.max()) - min(below.min(), above.min())) + 1e-300
    order = np.argsort(below + lines * apart, kind="stable")
    below, above = (below + lines * apart)[order], (above + lines * apart)[order]
    reached = np.concatenate([[-np.inf], np.maximum.accumulate(above)[:-1]])
    return float(np.maximum(above - np.maximum(below, reached), 0).sum() * step)
