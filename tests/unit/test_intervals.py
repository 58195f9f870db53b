"""Interval bounds, zonotopes, exact ranges and exact images against sampling, enumeration and closed forms."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replib.domains.intervals import (
    Layer,
    Zonotope,
    affine_bounds,
    exact_range,
    forward,
    interval_bounds,
    preactivation_bounds,
    zonotope,
)
from replib.domains.planar import area, clip, image, linear_regions, union_area
from replib.randomness import numpy_generator
from scipy.spatial import ConvexHull

SEEDS = st.integers(0, 2**31)
ONE = np.ones(2)
EXAMPLE = [Layer([[1, -1], [1, 1]], [-1, 1])]


def random_network(rng, sizes, relu_at_end=False):
    return [
        Layer(rng.standard_normal((n, m)) / m**0.5, rng.standard_normal(n) / m**0.5, i < len(sizes) - 2 or relu_at_end)
        for i, (m, n) in enumerate(itertools.pairwise(sizes))
    ]


def random_box(rng, m):
    lower = rng.standard_normal(m)
    return lower, lower + rng.uniform(0, 2, m)


def patterns_range(network, lower, upper):
    """Exact range by brute force: every pattern of active neurons, a linear program each."""
    from scipy.optimize import linprog

    widths = [len(layer.bias) for layer in network]
    ends = np.array([np.full(widths[-1], np.inf), np.full(widths[-1], -np.inf)])
    for signs in itertools.product(*([0, 1] for layer in network if layer.relu for _ in layer.bias)):
        signs, a, c, limits, rhs = list(signs), np.eye(len(lower)), np.zeros(len(lower)), [], []
        for layer in network:
            a, c = layer.weight @ a, layer.weight @ c + layer.bias
            if layer.relu:
                on = np.array([signs.pop(0) for _ in c])
                limits.append(np.where(on[:, None], -a, a))
                rhs.append(np.where(on, c, -c))
                a, c = a * on[:, None], c * on
        box = list(zip(lower, upper, strict=True))
        for i in range(widths[-1]):
            for k, sign in enumerate((1, -1)):
                found = linprog(sign * a[i], A_ub=np.vstack(limits), b_ub=np.concatenate(rhs), bounds=box)
                if found.status == 0:
                    value = sign * found.fun + c[i]
                    ends[k, i] = min(ends[k, i], value) if k == 0 else max(ends[k, i], value)
    return ends


@given(SEEDS, st.integers(1, 6), st.integers(1, 4))
@settings(max_examples=60)
def test_affine_bounds_are_attained_at_vertices(seed, m, n):
    rng = np.random.default_rng(seed)
    w, b = rng.standard_normal((n, m)), rng.standard_normal(n)
    lower, upper = random_box(rng, m)
    y = np.array(list(itertools.product(*zip(lower, upper, strict=True)))) @ w.T + b
    low, high = affine_bounds(w, b, lower, upper)
    np.testing.assert_allclose(low, y.min(0), atol=1e-12)
    np.testing.assert_allclose(high, y.max(0), atol=1e-12)


@given(SEEDS, st.lists(st.integers(1, 5), min_size=2, max_size=5), st.booleans())
@settings(max_examples=60)
def test_intervals_and_zonotopes_are_sound(seed, sizes, end):
    rng = np.random.default_rng(seed)
    network = random_network(rng, sizes, end)
    boxes = [random_box(rng, sizes[0]) for _ in range(3)]
    lower, upper = (np.stack(side) for side in zip(*boxes, strict=True))
    low, high = interval_bounds(network, lower, upper)
    z = zonotope(network, lower, upper)
    directions = rng.standard_normal((10, sizes[-1]))
    reach = z.support(directions)
    for i, (a, b) in enumerate(boxes):
        y = forward(network, rng.uniform(a, b, (300, sizes[0])))
        assert (y >= low[i] - 1e-9).all()
        assert (y <= high[i] + 1e-9).all()
        assert ((y @ directions.T) <= reach[i] + 1e-9).all()
        single = zonotope(network, a, b)
        np.testing.assert_allclose(single.generators, z.generators[i], atol=1e-12)
        np.testing.assert_allclose(single.center, z.center[i], atol=1e-12)


def test_a_zonotope_is_exact_for_affine_maps_and_for_neurons_of_one_sign():
    network = random_network(numpy_generator(0, "affine"), (2, 3, 2))
    shifted = [Layer(network[0].weight, network[0].bias + 10), network[1]]
    plain = [Layer(network[0].weight, network[0].bias + 10, relu=False), network[1]]
    expected = area(image(plain, -ONE, ONE)[0])
    for net in (shifted, plain):
        assert area(zonotope(net, -ONE, ONE).polygon()) == pytest.approx(expected, rel=1e-12)
    dead = [Layer(network[0].weight, network[0].bias - 10), network[1]]
    np.testing.assert_allclose(zonotope(dead, -ONE, ONE).bounds(), interval_bounds(dead, -ONE, ONE), atol=1e-12)


def test_the_relaxation_of_one_neuron_is_the_smallest_band():
    # on [-1, 3]: slope 3/4, band of half-width 3/8 around 3/4 x + 3/8
    z = zonotope([Layer([[1.0]], [0.0])], np.array([-1.0]), np.array([3.0]))
    np.testing.assert_allclose(z.center, [0.75 * 1 + 0.375])
    np.testing.assert_allclose(np.abs(z.generators).ravel(), [1.5, 0.375])


@given(SEEDS, st.integers(1, 6))
@settings(max_examples=60)
def test_polygon_of_a_zonotope_is_the_hull_of_its_sign_vectors(seed, p):
    rng = np.random.default_rng(seed)
    g = rng.integers(-3, 4, (2, p)).astype(float)
    z = Zonotope(rng.standard_normal(2), g)
    every = z.center + np.array(list(itertools.product([-1, 1], repeat=p))) @ g.T
    expected = ConvexHull(every).volume if np.linalg.matrix_rank(g) == 2 else 0.0
    polygon = z.polygon()
    assert area(polygon) == pytest.approx(expected, abs=1e-9)
    np.testing.assert_allclose(polygon.min(0), every.min(0), atol=1e-12)
    np.testing.assert_allclose(polygon.max(0), every.max(0), atol=1e-12)
    edges = np.roll(polygon, -1, 0) - polygon
    turns = edges[:, 0] * np.roll(edges[:, 1], -1) - edges[:, 1] * np.roll(edges[:, 0], -1)
    assert turns.min() >= -1e-9  # counter-clockwise and convex


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sizes", [(1, 3, 1), (2, 3, 2), (3, 2, 2, 1)])
def test_exact_range_equals_all_activation_patterns(seed, sizes):
    rng = numpy_generator(seed, "patterns")
    network = random_network(rng, sizes)
    lower, upper = random_box(rng, sizes[0])
    np.testing.assert_allclose(exact_range(network, lower, upper), patterns_range(network, lower, upper), atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("end", [False, True])
def test_exact_range_equals_the_exact_image(seed, end):
    network = random_network(numpy_generator(seed, "image"), (2, 6, 6, 2), end)
    corners = image(network, -ONE, ONE).reshape(-1, 2)
    np.testing.assert_allclose(exact_range(network, -ONE, ONE), [corners.min(0), corners.max(0)], atol=1e-5)


@given(SEEDS, st.integers(1, 6), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_regions_tile_the_square_and_the_network_is_affine_on_each(seed, width, depth):
    rng = np.random.default_rng(seed)
    network = random_network(rng, (2, *[width] * depth, 2), relu_at_end=True)
    regions = linear_regions(network, -ONE, ONE)
    assert sum(area(p) for p, _, _ in regions) == pytest.approx(4)
    for polygon, a, c in regions:
        x = rng.dirichlet(np.ones(len(polygon)), 5) @ polygon
        np.testing.assert_allclose(x @ a.T + c, forward(network, x), atol=1e-9)


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_area_of_a_union_of_boxes_equals_inclusion_and_exclusion(seed):
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 8, (4, 2)) / 8  # corners on the slices' borders, where the midpoint rule is exact
    high = low + rng.integers(1, 8, (4, 2)) / 8
    boxes = np.stack([low, np.c_[high[:, 0], low[:, 1]], high, np.c_[low[:, 0], high[:, 1]]], 1)
    exact = 0.0
    for r in range(1, 5):
        for chosen in itertools.combinations(range(4), r):
            sides = high[list(chosen)].min(0) - low[list(chosen)].max(0)
            exact -= (-1) ** r * np.prod(np.maximum(sides, 0))
    assert union_area(boxes, span=(0, 2), slices=4000) == pytest.approx(exact)


@given(SEEDS, st.integers(3, 9))
@settings(max_examples=60)
def test_area_of_one_polygon_equals_the_shoelace_formula(seed, corners):
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
    polygon = np.stack([np.cos(angle), np.sin(angle)], -1) @ np.diag([1.0, rng.uniform(0.1, 3)])
    assert union_area(polygon[None]) == pytest.approx(area(polygon), abs=2e-3)
    assert union_area(np.stack([polygon, polygon])) == pytest.approx(union_area(polygon[None]))


@given(SEEDS)
@settings(max_examples=40, deadline=None)
def test_a_half_plane_and_its_complement_share_a_polygon_between_them(seed):
    rng = np.random.default_rng(seed)
    polygons = zonotope(random_network(rng, (2, 3, 2)), *np.array([-ONE, ONE])).polygon()[None]
    normal, offset = rng.standard_normal(2), rng.standard_normal()
    parts = [clip(polygons, side * normal, side * offset) for side in (1, -1)]
    assert sum(area(p).sum() for p in parts) == pytest.approx(area(polygons)[0])
    for side, part in zip((1, -1), parts, strict=True):
        assert (side * (part @ normal + offset) >= -1e-9).all()
    assert union_area(clip(polygons, normal, -1e6)) == 0


def test_images_of_the_running_example():
    assert union_area(image(EXAMPLE, -ONE, ONE)) == pytest.approx(1)
    plain = [Layer(EXAMPLE[0].weight, EXAMPLE[0].bias, relu=False)]
    assert area(image(plain, -ONE, ONE)).sum() == pytest.approx(8)
    assert area(zonotope(EXAMPLE, -ONE, ONE).polygon()) == pytest.approx(5.0625)
    # a point and a segment have no area and break nothing
    assert union_area(image([Layer(np.zeros((2, 2)), ONE)], -ONE, ONE)) == 0
    assert union_area(image([Layer(np.ones((2, 2)), ONE)], -ONE, ONE)) == pytest.approx(0, abs=1e-12)


def test_area_of_an_image_by_monte_carlo():
    network = random_network(numpy_generator(2, "area"), (2, 5, 5, 2))
    polygons = image(network, -ONE, ONE)
    low, high = polygons.min((0, 1)), polygons.max((0, 1))
    y = numpy_generator(0, "darts").uniform(low, high, (20_000, 2))
    hit = np.zeros(len(y), dtype=bool)
    for polygon in polygons:
        edge = np.roll(polygon, -1, 0) - polygon
        offset = y[:, None] - polygon
        hit |= (edge[:, 0] * offset[..., 1] - edge[:, 1] * offset[..., 0] >= -1e-12).all(1)
    share = hit.mean()
    assert union_area(polygons) / np.prod(high - low) == pytest.approx(share, abs=4 * (share / 20_000) ** 0.5)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="a layer needs"):
        Layer(np.ones((2, 2)), np.ones(3))
    with pytest.raises(ValueError, match="finite"):
        Layer([[np.nan]], [0.0])
    with pytest.raises(ValueError, match="at least one layer"):
        interval_bounds([], ONE, ONE)
    with pytest.raises(ValueError, match="is followed by"):
        interval_bounds([Layer(np.ones((3, 2)), np.ones(3)), *EXAMPLE], ONE, ONE)
    with pytest.raises(ValueError, match="two arrays"):
        zonotope(EXAMPLE, np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match="exceed"):
        preactivation_bounds(EXAMPLE, ONE, -ONE)
    with pytest.raises(ValueError, match="one box"):
        exact_range(EXAMPLE, -np.ones((2, 2)), np.ones((2, 2)))
    with pytest.raises(ValueError, match="plane"):
        zonotope([Layer(np.ones((3, 2)), np.ones(3))], -ONE, ONE).polygon()
    with pytest.raises(ValueError, match="slice"):
        union_area(np.zeros((1, 4, 2)), slices=0)
