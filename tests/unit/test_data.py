"""Samplers, graphs and bodies against closed forms, networkx and brute force."""

import itertools

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replib.data import points
from replib.graphs import generators as graphs
from replib.physics import bodies
from replib.randomness import numpy_generator, torch_generator
from scipy import stats


def rng(*key):
    return numpy_generator(*key, "test")


def test_cube_coordinates_are_uniform():
    x = points.cube(4000, 3, 2.0, rng(1))
    assert all(stats.kstest(column, stats.uniform(-2, 4).cdf).pvalue > 1e-3 for column in x.T)


def test_sphere_points_have_length_r_and_no_preferred_direction():
    x = points.sphere(4000, 3, 2.0, rng(2))
    assert np.linalg.norm(x, axis=1) == pytest.approx(2.0)
    # Archimedes: on the unit sphere in three dimensions every coordinate is uniform
    assert all(stats.kstest(column, stats.uniform(-2, 4).cdf).pvalue > 1e-3 for column in x.T)


def test_ball_lengths_are_uniform():
    x = points.ball(4000, 5, 3.0, rng(3))
    assert stats.kstest(np.linalg.norm(x, axis=1), stats.uniform(0, 3).cdf).pvalue > 1e-3


@pytest.mark.parametrize("bad", [(0, 1, 1.0), (1, 0, 1.0), (1, 1, 0.0)])
def test_bad_samples(bad):
    with pytest.raises(ValueError, match="above 0"):
        points.cube(*bad, rng(0))


def test_streams_are_named():
    assert numpy_generator(1, "a").random() == numpy_generator(1, "a").random()
    assert numpy_generator(1, "a").random() != numpy_generator(1, "b").random()
    assert torch_generator(1, "a").initial_seed() != torch_generator(2, "a").initial_seed()
    with pytest.raises(ValueError, match="negative"):
        numpy_generator(-1)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 9), st.floats(0.1, 0.9))
def test_connectivity_agrees_with_networkx(seed, nodes, p):
    upper = np.triu(rng(seed).random((20, 10, 10)) < p, 1)
    upper[:, nodes:] = upper[:, :, nodes:] = False
    adjacency = upper | upper.transpose(0, 2, 1)
    expected = [nx.is_connected(nx.from_numpy_array(a[:nodes, :nodes])) for a in adjacency]
    assert graphs.is_connected(adjacency, np.full(20, nodes)).tolist() == expected


def test_connected_graphs_have_the_conditional_distribution_on_three_nodes():
    adjacency = graphs.connected_erdos_renyi(np.full(20_000, 3), np.full(20_000, 0.3), rng(4))
    observed = np.bincount(adjacency.sum((1, 2)) // 2, minlength=4)[2:]
    # of the eight graphs on three nodes, the three paths and the triangle are connected
    weight = np.array([3 * 0.3**2 * 0.7, 0.3**3])
    assert stats.chisquare(observed, 20_000 * weight / weight.sum()).pvalue > 1e-3


def test_connected_graphs_are_what_they_say():
    nodes = np.array([1, 4, 9, 6])
    adjacency = graphs.connected_erdos_renyi(nodes, np.array([0.5, 0.2, 0.3, 1.0]), rng(5))
    for a, n in zip(adjacency, nodes, strict=True):
        assert np.array_equal(a, a.T)
        assert not a.diagonal().any()
        assert not a[n:].any()
        assert nx.is_connected(nx.from_numpy_array(a[:n, :n]))
    assert adjacency[3, :6, :6].sum() == 30  # p = 1 is the complete graph
    padded = graphs.connected_erdos_renyi(nodes, np.array([0.5, 0.2, 0.3, 1.0]), rng(5), size=12)
    assert padded.shape == (4, 12, 12)
    assert not padded[:, 9:].any()
    with pytest.raises(ValueError, match="cannot be padded to 5"):
        graphs.connected_erdos_renyi(nodes, np.full(4, 0.5), rng(5), size=5)


@pytest.mark.parametrize(("nodes", "p"), [([3], [0.0]), ([3], [1.5]), ([0], [0.5]), ([3, 4], [0.5]), ([], [])])
def test_impossible_graphs(nodes, p):
    with pytest.raises(ValueError, match="probability|positive"):
        graphs.connected_erdos_renyi(np.array(nodes, dtype=int), np.array(p), rng(0))


def test_bellman_ford_equals_brute_force_over_all_paths_and_dijkstra():
    problems = graphs.path_problems(np.full(30, 6), np.resize([0.3, 0.6, 0.9], 30), 5.0, 2, rng(6))
    for hops in (1, 2, 3, 5):
        distance = graphs.bellman_ford(problems.weights, problems.source, hops)
        for g in range(30):
            w, s = problems.weights[g], problems.source[g]
            for t in range(6):
                through = itertools.chain.from_iterable(itertools.permutations(range(6), k) for k in range(hops))
                routes = [(s, *m, t) for m in through if s not in m and t not in m]
                lengths = [sum(w[a, b] for a, b in zip(r, r[1:], strict=False)) for r in routes]
                assert distance[g, t] == pytest.approx(0.0 if s == t else min(lengths))


def test_path_problems_agree_with_networkx():
    nodes = np.resize([6, 7, 9], 60)
    problems = graphs.path_problems(nodes, np.resize([0.2, 0.5, 0.9], 60), 5.0, 2, rng(7))
    for g, n in enumerate(nodes):
        graph = nx.from_numpy_array(np.where(problems.adjacency[g], problems.weights[g], 0.0)[:n, :n])
        source, target = int(problems.source[g]), int(problems.target[g])
        paths = list(nx.all_shortest_paths(graph, source, target, weight="weight"))
        assert len(paths) == 1
        assert len(paths[0]) <= 3
        assert source != target
        assert problems.length[g] == pytest.approx(nx.dijkstra_path_length(graph, source, target))
    weights = problems.weights[problems.adjacency]
    assert weights.min() >= 1
    assert weights.max() <= 5


def loop_step(state, gravity, step):
    """One frame of the simulator as two loops over bodies."""
    following = state.copy()
    for i, body in enumerate(state):
        acceleration = np.zeros(2)
        for j, other in enumerate(state):
            if i != j:
                difference = other[1:3] - body[1:3]
                acceleration += gravity * other[0] * difference / max(np.linalg.norm(difference), 1.0) ** 3
        following[i, 3:5] = body[3:5] + acceleration * step
        following[i, 1:3] = body[1:3] + following[i, 3:5] * step
    return following


def test_simulation_equals_plain_loops():
    start = bodies.orbits(4, 3, rng(8))
    video = bodies.simulate(start, 6)
    for v in range(4):
        state = start[v]
        for frame in video[:, v]:
            assert frame == pytest.approx(state)
            state = loop_step(state, bodies.GRAVITY, bodies.STEP)


def test_a_circular_orbit_stays_a_circle_with_keplers_period():
    gravity, mass, radius = 1.0, 1000.0, 10.0
    speed = np.sqrt(gravity * mass / radius)
    period = 2 * np.pi * radius / speed
    state = np.array([[mass, 0, 0, 0, 0], [1e-9, radius, 0, 0, speed]])
    video = bodies.simulate(state, 2001, step=period / 2000, gravity=gravity)
    assert np.linalg.norm(video[:, 1, 1:3], axis=1) == pytest.approx(radius, rel=0.01)
    assert video[-1, 1, 1:3] == pytest.approx([radius, 0], abs=0.05)


def test_momentum_is_conserved_and_pull_is_mutual():
    video = bodies.simulate(bodies.orbits(5, 3, rng(9)), 100)
    momentum = (video[..., :1] * video[..., 3:5]).sum(-2)
    assert momentum == pytest.approx(np.broadcast_to(momentum[0], momentum.shape), rel=1e-6, abs=1e-6)
    mass = video[0][..., 0]
    force = bodies.pull(video[0]) * mass[:, :, None, None]
    assert force == pytest.approx(-force.transpose(0, 2, 1, 3))


def test_orbits_start_as_specified():
    state = bodies.orbits(500, 3, rng(10), mass_scale=2.0)
    assert (state[:, 0] == [200.0, 0, 0, 0, 0]).all()
    distance = np.linalg.norm(state[:, 1:, 1:3], axis=-1)
    speed = np.linalg.norm(state[:, 1:, 3:5], axis=-1)
    assert speed == pytest.approx(bodies.GRAVITY * 200.0 / (1000 * distance))
    assert (state[:, 1:, 1:3] * state[:, 1:, 3:5]).sum(-1) == pytest.approx(0, abs=1e-6)
    assert (distance.min() >= 10, distance.max() <= 100, state[:, 1:, 0].max() <= 18) == (True, True, True)
    assert bodies.pair_distances(state)[:, 0] == pytest.approx(distance[:, 0])
    with pytest.raises(ValueError, match="2 bodies"):
        bodies.orbits(1, 1, rng(0))
