"""Tropical analysis of ReLU networks against interval bounds and zonotopes: time, and the area of what they find.

All three are this library's, on the same random networks and cells; the exact range by mixed-integer programming lies
in each. One thread.
"""

from collections.abc import Callable, Iterator
from functools import partial

import harness
import numpy as np
from harness import Case
from replib.domains import planar, tropical
from replib.domains.intervals import Layer, exact_range, interval_bounds, zonotope
from replib.randomness import numpy_generator


def network(width: int, seed: int) -> list[Layer]:
    """2-width-width-2, weights and biases N(0, 1/fan-in)."""
    rng, sizes = numpy_generator(seed, "benchmark", width), (2, width, width, 2)
    return [
        Layer(rng.standard_normal((n, m)) / np.sqrt(m), rng.standard_normal(n) / np.sqrt(m), relu=n == width)
        for m, n in zip(sizes, sizes[1:], strict=False)
    ]


def cells(k: int) -> tuple[np.ndarray, np.ndarray]:
    """The square [-1, 1]^2 cut into k x k cells."""
    grid = np.linspace(-1, 1, k + 1)
    at = np.stack(np.meshgrid(range(k), range(k), indexing="ij"), -1).reshape(-1, 2)
    return grid[at], grid[at + 1]


def polygons(name: str, net: list[Layer], low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The set of each cell as a polygon."""
    if name == "interval bounds":
        return tropical.zone_polygon(tropical.box_zone(*interval_bounds(net, low, high)))
    if name == "zonotopes (DeepZ)":
        return zonotope(net, low, high).polygon()
    return tropical.zone_polygon(tropical.analyse(net, low, high, name))


def cases() -> Iterator[Case]:
    for variant, width, k in (("box", 8, 1), ("box", 8, 8), ("box", 32, 8), ("zone", 8, 1), ("zone", 8, 4)):
        nets, box = [network(width, seed) for seed in range(10)], cells(k)
        for net in nets[:2] if width == 8 else []:
            low, high = exact_range(net, -np.ones(2), np.ones(2))
            for name in (variant, "interval bounds", "zonotopes (DeepZ)"):
                found = polygons(name, net, *cells(1))
                assert (found.min((0, 1)) <= low + 1e-6).all(), name
                assert (found.max((0, 1)) >= high - 1e-6).all(), name
        for peer in ("interval bounds", "zonotopes (DeepZ)"):
            ratio = np.median(
                [
                    planar.union_area(polygons(variant, net, *box)) / planar.union_area(polygons(peer, net, *box))
                    for net in nets
                ]
            )
            each: Callable[[str], list] = lambda name, nets=nets, box=box: [polygons(name, n, *box) for n in nets]
            yield Case(
                f"tropical analysis, variant {variant}, ten networks 2-{width}-{width}-2 on {k} x {k} cells",
                peer,
                partial(each, variant),
                partial(each, peer),
                f"not the same: the median area is {ratio:.2f} of the peer's; all hold the exact range",
                why="Differences of outputs are bounded too; the variant zone solves linear programs for that.",
                rounds=5,
            )


if __name__ == "__main__":
    harness.main("domains", __doc__, cases)
