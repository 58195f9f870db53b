"""Convex training of two-layer ReLU networks: against brute force, closed forms and an independent conic solver."""

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replib.training.convex_relu import (
    ADMM,
    all_patterns,
    certificate,
    cone_maxima,
    count_patterns,
    group_soft_threshold,
    network,
    neurons,
    objective,
    sampled_patterns,
    stack_patterns,
    unit_rows,
)
from scipy.optimize import linprog


def data(seed, n=7, r=3):
    rng = np.random.default_rng(seed)
    x = np.c_[rng.standard_normal((n, r - 1)), np.ones(n)]
    return x, rng.standard_normal(n)


def conic_optimum(x, y, patterns, beta, constrained=True):
    """The convex programme, written down once more and given to Clarabel."""
    v, w = (cp.Variable((len(patterns), x.shape[1])) for _ in range(2))
    fitted = sum(cp.multiply(p.astype(float), x @ (v[i] - w[i])) for i, p in enumerate(patterns))
    signs = [cp.multiply(np.where(p, 1.0, -1.0), x @ b[i]) >= 0 for i, p in enumerate(patterns) for b in (v, w)]
    penalty = sum(cp.sum(cp.norm(b, 2, axis=1)) for b in (v, w))
    problem = cp.Problem(cp.Minimize(cp.sum_squares(fitted - y) / 2 + beta * penalty), signs if constrained else [])
    return problem.solve(solver=cp.CLARABEL)


@pytest.mark.parametrize(("n", "r"), [(1, 1), (4, 1), (5, 2), (12, 3), (8, 4), (6, 6)])
def test_patterns_are_as_many_as_the_formula_says(n, r):
    x = np.random.default_rng(n).standard_normal((n, r))
    found = all_patterns(x)
    # g and -g have opposite patterns: the empty one is there exactly if the full one is
    empty = found.all(1).any()
    assert len(np.unique(found, axis=0)) == len(found) == count_patterns(n, r) - empty
    assert found.any(1).all()


def test_known_counts():
    assert count_patterns(12, 3) == 134
    assert count_patterns(40, 3) == 1562
    assert len(all_patterns(data(0, 12)[0])) == 133
    assert len(all_patterns(data(0, 40)[0])) == 1561


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(3, 7), r=st.integers(2, 3))
def test_every_sampled_pattern_is_listed_and_every_listed_one_exists(seed, n, r):
    x, _ = data(seed, n, r)
    listed = {p.tobytes() for p in all_patterns(x)}
    sampled = {p.tobytes() for p in sampled_patterns(x, 2000, np.random.default_rng(seed))}
    assert sampled <= listed
    # a cell is open: some g has all its signs strictly, found by a linear programme
    for p in all_patterns(x):
        signed = np.where(p, 1.0, -1.0)[:, None] * unit_rows(x)
        slack = linprog(np.r_[np.zeros(r), -1], np.c_[-signed, np.ones(n)], np.zeros(n), bounds=[(-1, 1)] * (r + 1))
        assert slack.x[-1] > 0


def test_dense_sampling_finds_all_patterns_of_few_points():
    x, _ = data(3, 5)
    assert len(sampled_patterns(x, 20_000, np.random.default_rng(0))) == len(all_patterns(x)) == 21


def test_points_not_in_general_position_are_refused():
    x = np.c_[[0.0, 1.0, 2.0, 5.0], [0.0, 1.0, 2.0, -1.0], np.ones(4)]  # three on one line
    with pytest.raises(ValueError, match="general position"):
        all_patterns(x)
    with pytest.raises(ValueError, match="at least as many rows"):
        all_patterns(x[:2])
    with pytest.raises(ValueError, match="row of X is 0"):
        unit_rows(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="at least one"):
        sampled_patterns(x, 0, np.random.default_rng(0))
    with pytest.raises(ValueError, match="at least one"):
        count_patterns(0, 1)


def test_shrinkage_is_the_proximal_map():
    rng = np.random.default_rng(0)
    blocks = np.r_[rng.standard_normal((20, 3)), np.zeros((1, 3))]
    shrunk = group_soft_threshold(blocks, 0.7)
    # optimality: b - prox(b) = t prox / |prox|, or |b| <= t where prox = 0
    for b, z in zip(blocks, shrunk, strict=True):
        if z.any():
            np.testing.assert_allclose(b - z, 0.7 * z / np.linalg.norm(z), atol=1e-12)
        else:
            assert np.linalg.norm(b) <= 0.7
    with pytest.raises(ValueError, match="negative"):
        group_soft_threshold(blocks, -1)


@pytest.mark.parametrize("relaxation", [1.0, 1.7])
def test_iterates_equal_the_textbook_iteration(relaxation):
    x, y = data(1, 6)
    patterns, beta, rho, a = all_patterns(x), 0.1, 0.4, relaxation
    signs = np.where(patterns, 1.0, -1.0)
    half = np.concatenate([p[:, None] * x for p in patterns], 1)
    f = np.concatenate([half, -half], 1)
    size = f.shape[1]
    g = np.zeros((2 * len(patterns) * len(x), size))
    for i, s in enumerate(np.concatenate([signs, signs])):
        g[i * len(x) : (i + 1) * len(x), i * 3 : (i + 1) * 3] = s[:, None] * unit_rows(x)
    z, lam, s, nu = np.zeros(size), np.zeros(size), np.zeros(len(g)), np.zeros(len(g))
    solver = ADMM(x[None], y[None], patterns[None], beta, rho=rho, relaxation=a)
    for k in range(60):
        u = np.linalg.solve(np.eye(size) + f.T @ f / rho + g.T @ g, f.T @ y / rho + z - lam + g.T @ (s - nu))
        relaxed, h = a * u + (1 - a) * z, a * g @ u + (1 - a) * s
        z = group_soft_threshold((relaxed + lam).reshape(-1, 3), beta / rho).ravel()
        s = np.maximum(0, h + nu)
        lam, nu = lam + relaxed - z, nu + h - s
        np.testing.assert_allclose(solver.run(1).blocks[0].ravel(), z, atol=1e-10, err_msg=str(k))
    np.testing.assert_allclose(solver.multipliers[0].ravel(), np.maximum(0, -rho * nu), atol=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_optimum_equals_that_of_a_conic_solver(seed):
    x, y = data(seed, 6)
    patterns = all_patterns(x)
    solver = ADMM(x[None], y[None], patterns[None], 0.2).run(20_000)
    found = solver.certificates()[0]
    expected = conic_optimum(x, y, patterns, 0.2)
    assert found.dual - 1e-7 <= expected <= found.primal + 1e-7
    assert found.gap < 1e-4
    assert found.steepest == pytest.approx(0.2, rel=1e-3)


def test_relaxation_without_signs_equals_that_of_a_conic_solver():
    x, y = data(5, 6)
    patterns = all_patterns(x)
    blocks = ADMM(x[None], y[None], patterns[None], 0.2, constrained=False).run(5000).blocks[0]
    fitted = ((patterns[:, :, None] * x) @ (blocks[0] - blocks[1])[..., None]).sum((0, 2))
    value = np.sum((fitted - y) ** 2) / 2 + 0.2 * np.linalg.norm(blocks, axis=-1).sum()
    assert value == pytest.approx(conic_optimum(x, y, patterns, 0.2, constrained=False), rel=1e-6)


def test_one_point_has_a_closed_form():
    # one point x = 2, y = 3: min (1/2)(2 v - 3)^2 + beta v at v = (6 - beta) / 4
    solver = ADMM(np.array([[[2.0]]]), np.array([[3.0]]), np.array([[[True]]]), 0.4).run(500)
    np.testing.assert_allclose(solver.blocks[0].ravel(), [1.4, 0.0], atol=1e-10)
    assert solver.certificates()[0].primal == pytest.approx(0.2**2 / 2 + 0.4 * 1.4)


def test_strong_decay_leaves_no_neuron():
    x, y = data(2)
    solver = ADMM(x[None], y[None], all_patterns(x)[None], 1e3).run(200)
    assert not solver.blocks.any()
    c = solver.certificates()[0]
    assert c.primal == pytest.approx(y @ y / 2)
    assert c.gap == pytest.approx(0, abs=1e-12)


def test_no_network_lies_below_the_dual_value():
    x, y = data(4, 8)
    patterns = all_patterns(x)
    dual = ADMM(x[None], y[None], patterns[None], 0.1).run(3000).certificates()[0].dual
    rng = np.random.default_rng(0)
    for _ in range(200):
        u, a = rng.standard_normal((6, 3)), rng.standard_normal(6)
        value = np.sum((np.maximum(x @ u.T, 0) @ a - y) ** 2) / 2 + 0.05 * (np.sum(u**2) + a @ a)
        assert value >= dual


def test_recovered_network_has_the_convex_objective():
    x, y = data(6)
    blocks = ADMM(x[None], y[None], all_patterns(x)[None], 0.1).run(500).blocks[0]
    u, a = neurons(blocks)
    np.testing.assert_allclose(np.maximum(x @ u.T, 0) @ a, network(x, blocks), atol=1e-12)
    value = np.sum((network(x, blocks) - y) ** 2) / 2 + 0.05 * (np.sum(u**2) + a @ a)
    assert objective(x, y, 0.1, blocks) == pytest.approx(value, rel=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_cone_maxima_bound_every_unit_vector_and_are_reached(seed):
    x, residual = data(seed, 6)
    patterns = all_patterns(x)
    found = cone_maxima(x, residual, patterns)
    rng = np.random.default_rng(seed)
    u = rng.standard_normal((5_000, 3))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    reached = residual @ np.maximum(x @ u.T, 0)
    assert reached.max() <= found[0].max() + 1e-9
    assert -reached.min() <= found[1].max() + 1e-9
    # the largest of all is the maximum over the sphere: a point of the sample is close to where it is taken
    lipschitz = np.abs(residual) @ np.linalg.norm(x, axis=1)
    assert max(reached.max(), -reached.min()) > found.max() - 0.15 * lipschitz


def test_bounds_from_multipliers_give_the_same_certificate():
    x, y = data(8, 9)
    patterns = all_patterns(x)
    for iterations in (0, 10, 1000):
        solver = ADMM(x[None], y[None], patterns[None], 0.1).run(iterations)
        with_bounds = solver.certificates()[0]
        without = certificate(x, y, 0.1, solver.blocks[0], patterns)
        np.testing.assert_allclose(with_bounds, without, rtol=1e-9)


def test_a_stack_and_its_padding_change_nothing():
    problems = [data(s, 7) for s in range(3)]
    some = [sampled_patterns(x, 5 * (k + 1), np.random.default_rng(k)) for k, (x, _) in enumerate(problems)]
    betas = np.array([0.05, 0.1, 0.2])
    stack = ADMM(*map(np.stack, zip(*problems, strict=True)), stack_patterns(some), betas).run(300)
    stack.keep([0, 2])
    stack.run(100)
    for row, k in enumerate((0, 2)):
        x, y = problems[k]
        alone = ADMM(x[None], y[None], some[k][None], betas[k]).run(400)
        np.testing.assert_allclose(stack.blocks[row][:, : len(some[k])], alone.blocks[0], atol=1e-11)
        assert not stack.blocks[row][:, len(some[k]) :].any()
        np.testing.assert_allclose(stack.certificates()[row], alone.certificates()[0], rtol=1e-9)


def test_bad_input_is_named():
    x, y = data(0)
    patterns = all_patterns(x)
    with pytest.raises(ValueError, match="need x"):
        ADMM(x, y, patterns, 0.1)
    for options in ({"rho": 0.0}, {"relaxation": 2.0}):
        with pytest.raises(ValueError, match="need beta > 0"):
            ADMM(x[None], y[None], patterns[None], 0.1, **options)
    with pytest.raises(ValueError, match="need beta > 0"):
        ADMM(x[None], y[None], patterns[None], 0.0)
    with pytest.raises(ValueError, match="equally many points"):
        stack_patterns([patterns, patterns[:, :3]])
