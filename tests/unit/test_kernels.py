"""Kernels against Monte Carlo, finite networks, scikit-learn and closed forms."""

import numpy as np
import pytest
import torch
from replib import kernels
from replib.randomness import numpy_generator
from sklearn.kernel_ridge import KernelRidge


def sample(n, d, *key):
    return numpy_generator(*key, "kernels").standard_normal((n, d))


@pytest.mark.parametrize("order", [0, 1])
def test_arc_cosine_kernels_are_the_limits_of_monte_carlo_at_the_usual_rate(order):
    x, z = sample(4, 3, 1), sample(5, 3, 2)
    exact = kernels.arc_cosine(x, z, order)
    errors = []
    for draws in (1_000, 100_000):
        w = sample(draws, 3, 3, draws)
        a, b = np.maximum(x @ w.T, 0), np.maximum(z @ w.T, 0)
        if order == 0:
            a, b = (a > 0).astype(float), (b > 0).astype(float)
        errors.append(np.abs(a @ b.T / draws - exact).mean())
    # a hundred times the draws, a tenth of the error, within the spread of a single run
    assert errors[1] < 0.02
    assert 3 < errors[0] / errors[1] < 40


def test_tangent_kernel_is_the_limit_of_wide_networks():
    x = sample(6, 4, 4)
    width = 200_000
    w, a = sample(width, 4, 5), sample(width, 1, 6)[:, 0]
    active = (x @ w.T) > 0
    first = (x @ x.T) * ((active * a**2) @ active.T) / width
    second = np.maximum(x @ w.T, 0) @ np.maximum(x @ w.T, 0).T / width
    assert kernels.relu_tangent(x, x, "first") == pytest.approx(first, abs=0.05)
    assert kernels.relu_tangent(x, x, "both") == pytest.approx(first + second, abs=0.08)


def test_tangent_kernel_is_the_jacobian_product_of_a_network_in_torch():
    x = torch.as_tensor(sample(3, 4, 7))
    width = 400
    w, a = torch.as_tensor(sample(width, 4, 8)), torch.as_tensor(sample(width, 1, 9)[:, 0])

    def f(w, a, x):
        return (a * torch.relu(w @ x)).sum() / width**0.5

    rows = torch.stack([torch.cat([g.flatten() for g in torch.func.grad(f, (0, 1))(w, a, p)]) for p in x])
    # at finite width the kernel fluctuates by 1 / sqrt(width)
    assert (rows @ rows.T).numpy() == pytest.approx(kernels.relu_tangent(x.numpy(), x.numpy()), rel=0.5, abs=0.5)


def test_kernels_are_symmetric_and_positive_semidefinite():
    x = sample(30, 5, 10)
    for k in (kernels.arc_cosine(x, x, 0), kernels.arc_cosine(x, x, 1), kernels.relu_tangent(x, x)):
        assert k == pytest.approx(k.T)
        assert np.linalg.eigvalsh(k).min() > -1e-10


def test_known_values():
    e = np.eye(2)
    assert kernels.arc_cosine(e, e, 0) == pytest.approx(np.array([[0.5, 0.25], [0.25, 0.5]]))
    assert kernels.arc_cosine(e, e, 1) == pytest.approx(np.array([[0.5, 1 / (2 * np.pi)], [1 / (2 * np.pi), 0.5]]))
    assert kernels.relu_tangent(e, -e) == pytest.approx(
        np.array([[0, 1 / (2 * np.pi)], [1 / (2 * np.pi), 0]]), abs=1e-15
    )
    assert kernels.relu_tangent(np.zeros((1, 2)), e) == pytest.approx(0)


def test_regression_equals_scikit_learn():
    x, z, y = sample(20, 4, 11), sample(7, 4, 12), sample(20, 1, 13)[:, 0]
    k = kernels.relu_tangent(x, x)
    for ridge in (1e-12, 0.3):
        peer = KernelRidge(alpha=ridge, kernel="precomputed").fit(k, y)
        ours = kernels.relu_tangent(z, x) @ kernels.dual_coefficients(k, y, ridge)
        assert ours == pytest.approx(peer.predict(kernels.relu_tangent(z, x)), rel=1e-6)


def test_ridgeless_regression_interpolates():
    x, y = sample(20, 4, 14), sample(20, 1, 15)[:, 0]
    k = kernels.relu_tangent(x, x)
    assert k @ kernels.dual_coefficients(k, y) == pytest.approx(y)


def test_bad_input():
    with pytest.raises(ValueError, match="one dimension"):
        kernels.arc_cosine(np.ones((2, 3)), np.ones((2, 4)), 0)
    with pytest.raises(ValueError, match="order"):
        kernels.arc_cosine(np.eye(2), np.eye(2), 2)
    with pytest.raises(ValueError, match="layers"):
        kernels.relu_tangent(np.eye(2), np.eye(2), "second")
    twice = np.repeat(sample(4, 3, 16), 2, axis=0)
    with pytest.raises(ValueError, match="singular"):
        kernels.dual_coefficients(kernels.relu_tangent(twice, twice), np.ones(8))
