"""Tropical polyhedra and zones against sampling, linear programs, vertex enumeration and a shortest-path library."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replib.domains.intervals import Layer, exact_range, forward, interval_bounds, zonotope
from replib.domains.planar import area
from replib.domains.tropical import (
    affine_image,
    affine_zone,
    analyse,
    bounds,
    box_zone,
    closure,
    combine,
    contains,
    gap,
    generators,
    hull,
    minima,
    relu,
    violation,
    zone_bounds,
    zone_polygon,
)
from replib.randomness import numpy_generator
from scipy.optimize import linprog
from scipy.sparse.csgraph import floyd_warshall

SEEDS = st.integers(0, 2**31)
EXAMPLE = [Layer([[1, -1], [1, 1]], [-1, 1])]


def drawn_weights(rng, count, r, largest=3.0):
    weights = rng.uniform(-largest, 0, (count, r))
    weights[np.arange(count), rng.integers(r, size=count)] = 0
    return weights


def random_zone(rng, d, *, whole=False):
    """A closed zone around a few random points, so that it is not empty; integers on request."""
    points = rng.integers(-4, 5, (3, d)).astype(float) if whole else rng.standard_normal((3, d))
    return hull(points)


def rows(zone):
    """The zone as A x <= b."""
    d = len(zone) - 1
    e = np.vstack([np.zeros(d), np.eye(d)])
    p, q = np.nonzero(~np.eye(d + 1, dtype=bool))
    return e[q] - e[p], -zone[p, q]


def random_network(rng, sizes):
    return [
        Layer(rng.standard_normal((n, m)) / m**0.5, rng.standard_normal(n) / m**0.5, i < len(sizes) - 2)
        for i, (m, n) in enumerate(itertools.pairwise(sizes))
    ]


# --- generators -------------------------------------------------------------------------------------


@given(SEEDS, st.integers(1, 6), st.integers(1, 8))
@settings(max_examples=60)
def test_members_are_recognised_and_relu_maps_them_onto_the_image(seed, d, r):
    rng = np.random.default_rng(seed)
    g = rng.standard_normal((r, d))
    x = combine(g, drawn_weights(rng, 50, r))
    assert contains(g, x).all()
    assert contains(relu(g), np.maximum(x, 0)).all()
    assert (x >= bounds(g)[0]).all()
    assert (x <= bounds(g)[1]).all()
    # every member of the polyhedron of the images is the image of a member
    weights = drawn_weights(rng, 50, r)
    np.testing.assert_array_equal(combine(relu(g), weights), np.maximum(combine(g, weights), 0))


def test_membership_equals_a_search_over_weights():
    rng = numpy_generator(0, "membership")
    for _ in range(20):
        g = rng.integers(0, 4, (3, 2)).astype(float)
        # with whole numbers every member on the lattice has whole weights: there are few to try
        weights = [w for w in itertools.product(range(-4, 1), repeat=3) if max(w) == 0]
        members = {tuple(combine(g, np.array(w))) for w in weights}
        for x in itertools.product(range(-1, 5), repeat=2):
            assert contains(g, np.array(x, dtype=float)) == (x in members)


def test_the_gap_of_a_leaky_image_is_the_one_computed_by_hand():
    leaky = lambda x: np.maximum(x, 0.1 * x)
    g = np.array([[-2.0, -1.0], [1.0, 2.0]])
    assert contains(g, np.array([-0.5, 0.5]))
    assert gap(leaky(g), np.array([-0.05, 0.5])) == pytest.approx(0.15)


# --- zones ------------------------------------------------------------------------------------------


@given(SEEDS, st.integers(1, 6))
@settings(max_examples=60)
def test_closure_is_all_shortest_paths(seed, d):
    rng = np.random.default_rng(seed)
    point = np.r_[0, rng.standard_normal(d)]
    loose = point[:, None] - point - rng.uniform(0, 2, (d + 1, d + 1))  # holds the point, so it is not empty
    np.fill_diagonal(loose, 0)
    closed = closure(loose)
    np.testing.assert_allclose(-closed, floyd_warshall(-loose), atol=1e-12)
    np.testing.assert_allclose(closure(closed), closed, atol=1e-12)
    a, b = rows(loose)
    for p, q in itertools.permutations(range(d + 1), 2):
        form = np.zeros(d + 1)
        form[p], form[q] = 1, -1
        best = linprog(form[1:], A_ub=a, b_ub=b, bounds=(None, None))
        assert closed[p, q] == pytest.approx(best.fun, abs=1e-7)


@given(SEEDS, st.integers(1, 5))
@settings(max_examples=60)
def test_generators_span_the_zone_and_nothing_else(seed, d):
    rng = np.random.default_rng(seed)
    zone = random_zone(rng, d)
    g = generators(zone)
    assert g.shape == (d + 1, d)
    np.testing.assert_allclose(hull(g), zone, atol=1e-12)
    assert violation(zone, combine(g, drawn_weights(rng, 100, d + 1))).max() <= 1e-12
    # points of the zone found without the generators: optima of random objectives and their mixtures
    a, b = rows(zone)
    corners = np.stack([linprog(rng.standard_normal(d), A_ub=a, b_ub=b, bounds=(None, None)).x for _ in range(6)])
    mixed = rng.dirichlet(np.ones(6), 50) @ corners
    assert gap(g, np.vstack([corners, mixed])).max() < 1e-7


@given(SEEDS)
@settings(max_examples=60)
def test_integer_zones_by_enumeration(seed):
    rng = np.random.default_rng(seed)
    zone = random_zone(rng, 3, whole=True)
    g = generators(zone)
    lattice = np.array(list(itertools.product(range(-5, 6), repeat=3)), dtype=float)
    inside = violation(zone, lattice) <= 0
    np.testing.assert_array_equal(contains(g, lattice), inside)
    # the vertices of a zone with whole bounds are whole, so the lattice holds the optima
    forms = rng.standard_normal((4, 3))
    np.testing.assert_allclose(minima(zone, forms), (lattice[inside] @ forms.T).min(0), atol=1e-9)


@given(SEEDS, st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_minima_over_many_zones_equal_single_linear_programs(seed, d):
    rng = np.random.default_rng(seed)
    zones = np.stack([random_zone(rng, d) for _ in range(6)]).reshape(2, 3, d + 1, d + 1)
    forms = rng.standard_normal((5, d))
    forms[0] = 0
    forms[1, rng.integers(d)] = 0
    found = minima(zones, forms)
    assert found.shape == (2, 3, 5)
    for at in np.ndindex(2, 3):
        a, b = rows(zones[at])
        single = [linprog(c, A_ub=a, b_ub=b, bounds=(None, None)).fun for c in forms]
        np.testing.assert_allclose(found[at], single, atol=1e-7)


def test_minima_do_not_depend_on_how_the_work_is_split(monkeypatch):
    rng = numpy_generator(0, "split")
    zones, forms = np.stack([random_zone(rng, 4) for _ in range(7)]), rng.standard_normal((9, 4))
    whole = minima(zones, forms)
    for flows in (1, 10, 40):
        monkeypatch.setattr("replib.domains.tropical._FLOWS", flows)
        np.testing.assert_allclose(minima(zones, forms), whole, atol=1e-9)


@given(SEEDS)
@settings(max_examples=60)
def test_polygon_of_a_zone_has_its_area(seed):
    rng = np.random.default_rng(seed)
    zone = random_zone(rng, 2)
    polygon = zone_polygon(zone)
    assert violation(zone, polygon).max() <= 1e-12
    (l1, l2), (u1, u2) = zone_bounds(zone)
    x = l1 + (np.arange(20_000) + 0.5) * (u1 - l1) / 20_000
    length = np.minimum(u2, x - zone[1, 2]) - np.maximum(l2, x + zone[2, 1])
    assert length.min() > -1e-9
    assert area(polygon) == pytest.approx(length.mean() * (u1 - l1), abs=1e-6)


# --- affine layers ----------------------------------------------------------------------------------


@given(SEEDS, st.integers(1, 5), st.integers(1, 4))
@settings(max_examples=60)
def test_affine_zone_holds_tight_bounds_at_the_vertices_of_the_box(seed, m, n):
    rng = np.random.default_rng(seed)
    w, b = rng.standard_normal((n, m)) * rng.choice([0.3, 1, 3]), rng.standard_normal(n)
    lower = rng.standard_normal(m)
    upper = lower + rng.uniform(0, 2, m)
    zone = affine_zone(w, b, lower, upper)
    # brute force over all vertices: a linear form has its least value at one of them
    x = np.array(list(itertools.product(*zip(lower, upper, strict=True))))
    points = np.hstack([np.zeros((len(x), 1)), x, x @ w.T + b])
    brute = (points[:, :, None] - points[:, None, :]).min(0)
    np.testing.assert_allclose(zone, brute, atol=1e-12)
    np.testing.assert_allclose(closure(zone), zone, atol=1e-12)
    g = generators(zone)
    assert g.shape == (n + m + 1, m + n)
    x = rng.uniform(lower, upper, (200, m))
    assert gap(g, np.hstack([x, x @ w.T + b])).max() < 1e-12


def test_generators_of_an_affine_layer_are_those_of_the_closed_form():
    w, b = np.array([[0.5, -1.0], [2.0, 0.25]]), np.array([0.1, -0.3])
    lower, upper = np.array([-1.0, 0.0]), np.array([1.0, 1.0])
    h, least = upper - lower, np.array([-1.4, -2.3])
    greatest = np.array([0.6, 1.95])
    delta = np.array([[0.5 * h[0], 0.0], [h[0], 0.25 * h[1]]])
    corners = np.array(list(itertools.product(*zip(lower, upper, strict=True)))) @ w.T + b
    difference = (corners[:, :, None] - corners[:, None, :]).min(0)
    expected = [[*lower, *least]]
    for j in range(2):
        expected.append([*np.where(np.arange(2) == j, upper, lower), *(least + delta[:, j])])
    for i in range(2):
        y = greatest[i] + difference[:, i]
        expected.append([*(lower + delta[i]), *np.where(np.arange(2) == i, greatest, y)])
    np.testing.assert_allclose(generators(affine_zone(w, b, lower, upper)), expected, atol=1e-12)


@given(SEEDS, st.integers(1, 4), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_affine_image_of_a_zone_is_the_tightest(seed, m, n):
    rng = np.random.default_rng(seed)
    zone = random_zone(rng, m)
    w, b = rng.standard_normal((n, m)), rng.standard_normal(n)
    found = affine_image(w, b, zone)
    a, limit = rows(zone)
    w0, b0 = np.vstack([np.zeros(m), w]), np.r_[0, b]
    for p, q in itertools.permutations(range(n + 1), 2):
        best = linprog(w0[p] - w0[q], A_ub=a, b_ub=limit, bounds=(None, None)).fun + b0[p] - b0[q]
        assert found[p, q] == pytest.approx(best, abs=1e-7)


# --- networks ---------------------------------------------------------------------------------------


def test_running_example():
    zone = analyse(EXAMPLE, -np.ones(2), np.ones(2))
    np.testing.assert_allclose(zone, [[0, -1, -3], [0, 0, -3], [0, 0, 0]], atol=1e-12)
    assert area(zone_polygon(zone)) == pytest.approx(2.5)
    linear = [Layer(EXAMPLE[0].weight, EXAMPLE[0].bias, relu=False)]
    assert area(zone_polygon(analyse(linear, -np.ones(2), np.ones(2)))) == pytest.approx(12)


@given(SEEDS, st.lists(st.integers(1, 5), min_size=2, max_size=5), st.sampled_from(["box", "zone"]))
@settings(max_examples=60)
def test_analysis_is_sound_and_between_the_exact_range_and_intervals(seed, sizes, variant):
    rng = np.random.default_rng(seed)
    network = random_network(rng, sizes)
    lower = rng.standard_normal((3, sizes[0]))
    upper = lower + rng.uniform(0, 2, lower.shape)
    zones = analyse(network, lower, upper, variant)
    low, high = interval_bounds(network, lower, upper)
    for zone, l, u, a, b in zip(zones, lower, upper, low, high, strict=True):  # noqa: E741
        assert violation(zone, forward(network, rng.uniform(l, u, (500, sizes[0])))).max() < 1e-9
        corners = np.array(list(itertools.product(*zip(l, u, strict=True))))
        assert violation(zone, forward(network, corners)).max() < 1e-9
        least, greatest = zone_bounds(zone)
        assert (least >= a - 1e-9).all()
        assert (greatest <= b + 1e-9).all()
        finer = analyse(network, l, u, "zone")
        np.testing.assert_allclose(analyse(network, l, u, variant), zone, atol=1e-9)
        assert (finer >= zone - 1e-9).all()


@pytest.mark.parametrize("seed", range(6))
def test_zones_and_zonotopes_hold_the_exact_range(seed):
    network = random_network(numpy_generator(seed, "network"), (2, 4, 4, 2))
    least, greatest = zone_bounds(analyse(network, -np.ones(2), np.ones(2)))
    low, high = exact_range(network, -np.ones(2), np.ones(2))
    for below, above in ((least, greatest), zonotope(network, -np.ones(2), np.ones(2)).bounds()):
        assert (below <= low + 1e-5).all()
        assert (above >= high - 1e-5).all()


def test_subdivision_converges_to_the_exact_range():
    network = random_network(numpy_generator(3, "subdivision"), (2, 3, 3, 2))
    low, high = exact_range(network, -np.ones(2), np.ones(2))
    slack = []
    for k in (4, 64):
        grid = np.linspace(-1, 1, k + 1)
        corner = np.stack(np.meshgrid(grid[:-1], grid[:-1]), -1).reshape(-1, 2)
        least, greatest = zone_bounds(analyse(network, corner, corner + 2 / k, "box"))
        slack.append(max((low - least.min(0)).max(), (greatest.max(0) - high).max()))
    assert -1e-5 < slack[1] < slack[0] / 8


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="empty"):
        closure(np.array([[0.0, -1.0], [2.0, 0.0]]))  # at least 2, at most 1
    with pytest.raises(ValueError, match="square"):
        closure(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="must be 0"):
        combine(np.zeros((2, 2)), np.array([-1.0, -1.0]))
    with pytest.raises(ValueError, match="as many weights"):
        combine(np.zeros((2, 2)), np.zeros(3))
    with pytest.raises(ValueError, match="dimension 3"):
        gap(np.zeros((2, 2)), np.zeros(3))
    with pytest.raises(ValueError, match="plane"):
        zone_polygon(box_zone(np.zeros(3), np.ones(3)))
    with pytest.raises(ValueError, match="needs forms"):
        minima(box_zone(np.zeros(3), np.ones(3)), np.ones((1, 2)))
    with pytest.raises(ValueError, match="unknown variant"):
        analyse(EXAMPLE, -np.ones(2), np.ones(2), "octagon")
    with pytest.raises(ValueError, match="exceed"):
        analyse(EXAMPLE, np.ones(2), -np.ones(2))
