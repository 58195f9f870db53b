"""Kernels against Monte Carlo, finite networks, neural-tangents, scikit-learn and closed forms."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from replib.kernels import empirical, limit, sphere
from replib.kernels.dual import ERF, RELU, Activation, quadrature
from replib.kernels.regression import KernelDescent, dual_coefficients
from replib.models.mlp import NTKMLP, mlp
from replib.models.polynomial import PolynomialNet
from replib.randomness import numpy_generator
from replib.training.ensemble import Ensemble
from scipy import integrate, special
from sklearn.kernel_ridge import KernelRidge
from torch import nn

PEER = json.loads((Path(__file__).parent / "peers" / "neural_tangents.json").read_text())
TANH = quadrature("tanh", np.tanh, lambda z: 1 - np.tanh(z) ** 2)
ERF_BY_QUADRATURE = quadrature("erf", special.erf, lambda z: 2 / np.sqrt(np.pi) * np.exp(-(z**2)))
SQUARE = quadrature("square", np.square, lambda z: 2 * z, nodes=8)
IDENTITY = Activation("identity", lambda xx, zz, xz: (xz, np.ones_like(xz)))


def sample(n, d, *key):
    return numpy_generator(*key, "kernels").standard_normal((n, d))


def circle(n):
    angle = 2 * np.pi * np.arange(n) / n
    return np.stack([np.cos(angle), np.sin(angle)], 1)


# --- expectations ---------------------------------------------------------------------------------


FUNCTIONS = {
    "relu": (RELU, lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(float)),
    "erf": (ERF, special.erf, lambda z: 2 / np.sqrt(np.pi) * np.exp(-(z**2))),
    "tanh": (TANH, np.tanh, lambda z: 1 - np.tanh(z) ** 2),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_expectations_are_the_limits_of_monte_carlo_at_the_usual_rate(name):
    activation, function, derivative = FUNCTIONS[name]
    covariance = np.array([[1.3, -0.4], [-0.4, 0.6]])
    exact = activation.dual(covariance[0, 0], covariance[1, 1], covariance[0, 1])
    root = np.linalg.cholesky(covariance)
    for f, value in ((function, exact[0]), (derivative, exact[1])):
        errors = []
        for draws in (1_000, 100_000):
            u, v = np.moveaxis(numpy_generator(3, name, draws).standard_normal((40, draws, 2)) @ root.T, -1, 0)
            errors.append(np.sqrt(((f(u) * f(v)).mean(1) - value).__pow__(2).mean()))
        # a hundred times the draws, a tenth of the error; 40 repetitions know it to a few tenths
        assert 6 < errors[0] / errors[1] < 16


def test_closed_form_of_erf_equals_quadrature():
    var = np.array([0.3, 1.0, 4.0])
    xx, zz = np.meshgrid(var, var)
    for rho in (-0.9, 0.0, 0.5, 1.0):
        pair = ERF.dual(xx, zz, rho * np.sqrt(xx * zz)), ERF_BY_QUADRATURE.dual(xx, zz, rho * np.sqrt(xx * zz))
        assert pair[0][0] == pytest.approx(pair[1][0], rel=1e-6)
        assert pair[0][1] == pytest.approx(pair[1][1], rel=1e-6)


def test_quadrature_is_exact_for_polynomials():
    xx, zz, xz = np.array([2.0]), np.array([3.0]), np.array([-1.5])
    # Isserlis: E[u^2 v^2] = var_u var_v + 2 cov^2, E[2u 2v] = 4 cov
    assert SQUARE.dual(xx, zz, xz)[0] == pytest.approx(xx * zz + 2 * xz**2)
    assert SQUARE.dual(xx, zz, xz)[1] == pytest.approx(4 * xz)
    with pytest.raises(ValueError, match="at least 2 nodes"):
        quadrature("one", np.tanh, np.tanh, nodes=1)


def test_known_values_of_relu():
    one, zero = np.ones(1), np.zeros(1)
    assert RELU.dual(one, one, one) == (pytest.approx(0.5), pytest.approx(0.5))
    assert RELU.dual(one, one, zero) == (pytest.approx(1 / (2 * np.pi)), pytest.approx(0.25))
    assert RELU.dual(one, one, -one) == (pytest.approx(0), pytest.approx(0))
    assert RELU.dual(zero, one, zero)[0] == pytest.approx(0)


# --- infinite width -------------------------------------------------------------------------------


@pytest.mark.parametrize("case", PEER["cases"], ids=lambda c: f"{c['activation']}-{c['depth']}-{c['bias']}")
def test_limits_equal_those_of_neural_tangents(case):
    activation = {"relu": RELU, "erf": ERF}[case["activation"]]
    ours = limit.mlp(np.array(PEER["x"]), np.array(PEER["z"]), case["depth"], activation, case["bias"])
    assert ours.covariance == pytest.approx(np.array(case["nngp"]), rel=1e-6, abs=1e-9)
    assert ours.tangent == pytest.approx(np.array(case["ntk"]), rel=1e-6, abs=1e-9)


def test_a_linear_network_has_its_kernel_in_closed_form():
    x, z = sample(4, 3, 21), sample(5, 3, 22)
    ours = limit.mlp(x, z, 4, IDENTITY)
    assert ours.covariance == pytest.approx(x @ z.T / 3)
    assert ours.tangent == pytest.approx(4 * x @ z.T / 3)


@settings(max_examples=30, deadline=None)
@given(depth=st.integers(1, 5), bias=st.floats(0, 2), seed=st.integers(0, 10**6), erf=st.booleans())
def test_limits_are_symmetric_positive_semidefinite_and_functions_of_the_angle_on_the_sphere(depth, bias, seed, erf):
    x = sample(12, 4, seed)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    rotation, _ = np.linalg.qr(sample(4, 4, seed, 1))
    both = limit.mlp(x, x, depth, ERF if erf else RELU, bias)
    turned = limit.mlp(x @ rotation, x @ rotation, depth, ERF if erf else RELU, bias)
    for kernel, again in ((both.covariance, turned.covariance), (both.tangent, turned.tangent)):
        assert kernel == pytest.approx(kernel.T)
        # where x equals z the angle is known to the root of the rounding error only
        assert kernel == pytest.approx(again, abs=1e-6 * kernel.max())
        assert np.linalg.eigvalsh(kernel).min() > -1e-6 * kernel.max()


def test_rank_on_the_circle_tells_polynomial_activations_from_others():
    # Jacot et al., Proposition 2: z^2 reaches frequencies up to 2, so rank 5; ReLU reaches all
    for activation, rank in ((RELU, 24), (SQUARE, 5)):
        values = np.linalg.eigvalsh(limit.mlp(circle(24), circle(24), 2, activation, 0.1).tangent)
        assert (values > 1e-12 * values.max()).sum() == rank


@pytest.mark.parametrize(("degree", "skip"), [(1, False), (2, False), (3, False), (1, True), (3, True)])
def test_polynomial_kernel_is_the_limit_of_wide_networks(degree, skip):
    x = torch.as_tensor(sample(6, 4, 4) / 2)
    exact = limit.polynomial_tangent(x.numpy(), x.numpy(), degree, skip=skip)
    errors = []
    for width in (500, 50_000):
        nets = [empirical.tangent(net, x).numpy() for net in ensembles(10, x.dtype, width, degree, skip)]
        errors.append(np.sqrt(np.mean([(k - exact) ** 2 for k in nets]) / np.mean(exact**2)))
    assert errors[1] < 0.08
    assert 5 < errors[0] / errors[1] < 20  # 1 / sqrt(width)


def ensembles(count, dtype, width, degree, skip):
    for seed in range(count):
        yield Ensemble(lambda: PolynomialNet(4, width, degree, skip=skip), [seed]).network(0).to(dtype)


def test_polynomial_kernel_of_degree_one_is_the_two_layer_network():
    x, z = sample(4, 3, 1), sample(5, 3, 2)
    # weights on the output scaled by sqrt(2), inputs not divided by sqrt(n_0)
    assert limit.polynomial_tangent(x, z, 1) == pytest.approx(2 * 3 * limit.mlp(x, z, 2).tangent)
    assert limit.polynomial_tangent(x, z, 1, skip=True) == pytest.approx(2 * 3 * limit.mlp(x, z, 2).tangent)


def test_limits_refuse_bad_input():
    with pytest.raises(ValueError, match="one dimension"):
        limit.mlp(np.ones((2, 3)), np.ones((2, 4)), 2)
    with pytest.raises(ValueError, match="depth"):
        limit.mlp(np.eye(2), np.eye(2), 0)
    with pytest.raises(ValueError, match="bias"):
        limit.mlp(np.eye(2), np.eye(2), 2, bias=-1)
    with pytest.raises(ValueError, match="degree"):
        limit.polynomial_tangent(np.eye(2), np.eye(2), 0)


# --- networks at hand -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "build",
    [
        lambda: NTKMLP(3, 20, 4),
        lambda: NTKMLP(3, 20, 2, bias=0.0, activation=nn.Tanh),
        lambda: mlp(3, 20, depth=3, activation=nn.Tanh),
        lambda: PolynomialNet(3, 20, 3, skip=True),
        lambda: PolynomialNet(3, 20, 2, parametrisation="standard"),
    ],
)
def test_signals_give_the_kernel_of_automatic_differentiation(build):
    x = torch.as_tensor(sample(5, 3, 30))
    stack = Ensemble(build, range(3)).double()
    stacked = empirical.tangent(stack, x.expand(3, 5, 3))
    for seed in range(3):
        network = stack.network(seed)
        oracle = empirical.jacobian_contraction(network, x)
        assert empirical.tangent(network, x).numpy() == pytest.approx(oracle.numpy(), rel=1e-12)
        assert stacked[seed].numpy() == pytest.approx(oracle.numpy(), rel=1e-12)


def test_contraction_equals_explicit_gradients():
    x, z = torch.as_tensor(sample(3, 4, 31)), torch.as_tensor(sample(2, 4, 32))
    network = NTKMLP(4, 10, 3).double()

    def gradient(point):
        return torch.cat([g.flatten() for g in torch.autograd.grad(network(point[None]).sum(), network.parameters())])

    oracle = torch.stack([gradient(p) for p in x]) @ torch.stack([gradient(p) for p in z]).T
    assert empirical.jacobian_contraction(network, x, z).numpy() == pytest.approx(oracle.numpy(), rel=1e-12)


@pytest.mark.parametrize(("activation", "dual"), [(nn.ReLU, RELU), (nn.Tanh, TANH)])
def test_empirical_kernel_converges_to_the_limit_at_the_expected_rate(activation, dual):
    x = torch.as_tensor(circle(5))
    exact = limit.mlp(x.numpy(), x.numpy(), 3, dual, 0.1).tangent
    errors = []
    for width in (64, 1024):
        stack = Ensemble(lambda width=width: NTKMLP(2, width, 3, activation=activation), range(40)).double()
        kernel = empirical.tangent(stack, x.expand(40, 5, 2)).numpy()
        errors.append(np.sqrt(((kernel - exact) ** 2).mean() / (exact**2).mean()))
    assert 3 < errors[0] / errors[1] < 5.5  # sqrt(16) = 4


def test_signals_refuse_what_they_cannot_do():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x):
            return self.layer(self.layer(x)).sum(-1)

    class Bare(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Parameter(torch.ones(2))

        def forward(self, x):
            return x @ self.a

    for network, message in ((Twice(), "more than once"), (Bare(), "outside linear layers")):
        with pytest.raises(ValueError, match=message):
            empirical.tangent(network, torch.ones(3, 2))


# --- learning with a kernel -----------------------------------------------------------------------


def test_regression_equals_scikit_learn():
    x, z, y = sample(20, 4, 11), sample(7, 4, 12), sample(20, 1, 13)[:, 0]
    k, cross = limit.mlp(x, x, 2).tangent, limit.mlp(z, x, 2).tangent
    for ridge in (1e-12, 0.3):
        peer = KernelRidge(alpha=ridge, kernel="precomputed").fit(k, y)
        assert cross @ dual_coefficients(k, y, ridge) == pytest.approx(peer.predict(cross), rel=1e-6)


def test_ridgeless_regression_interpolates():
    x, y = sample(20, 4, 14), sample(20, 1, 15)[:, 0]
    k = limit.mlp(x, x, 2).tangent
    assert k @ dual_coefficients(k, y) == pytest.approx(y)


def test_regression_refuses_a_singular_kernel():
    twice = np.repeat(sample(4, 3, 16), 2, axis=0)
    with pytest.raises(ValueError, match="singular"):
        dual_coefficients(limit.mlp(twice, twice, 2).tangent, np.ones(8))


@pytest.fixture
def problem():
    x, z, y = sample(12, 3, 40), sample(6, 3, 41), sample(12, 1, 42)[:, 0]
    return limit.mlp(x, x, 3).tangent, limit.mlp(z, x, 3).tangent, y, sample(12, 1, 43)[:, 0], sample(6, 1, 44)[:, 0]


def test_steps_along_a_kernel_equal_a_plain_loop(problem):
    kernel, cross, y, f, g = problem
    step = 0.5 / np.linalg.eigvalsh(kernel).max()
    descent = KernelDescent(kernel)
    on, off = f.copy(), g.copy()
    for _ in range(37):
        residual = on - y
        on, off = on - step * kernel @ residual, off - step * cross @ residual
    assert descent.residual(f - y, 37, step=step) == pytest.approx(on - y)
    assert g + descent.operator(cross, 37, step=step) @ (y - f) == pytest.approx(off)


def test_flow_equals_an_integrator(problem):
    kernel, cross, y, f, g = problem
    start = np.concatenate([f, g])
    both = np.vstack([kernel, cross])
    times = [0.5, 3.0]
    solution = integrate.solve_ivp(
        lambda t, u: -both @ (u[:12] - y), (0, 3), start, t_eval=times, rtol=1e-10, atol=1e-10, method="DOP853"
    ).y.T
    descent = KernelDescent(kernel)
    assert descent.residual(f - y, times) == pytest.approx(solution[:, :12] - y, abs=1e-8)
    for t, u in zip(times, solution, strict=True):
        assert g + descent.operator(cross, t) @ (y - f) == pytest.approx(u[12:], abs=1e-8)


def test_endless_flow_is_regression(problem):
    kernel, cross, y, *_ = problem
    assert KernelDescent(kernel).operator(cross, np.inf) @ y == pytest.approx(cross @ dual_coefficients(kernel, y))


def test_flow_leaves_alone_what_the_kernel_does_not_see():
    kernel = np.diag([1.0, 0.0])
    descent = KernelDescent(kernel)
    assert descent.residual(np.array([1.0, 1.0]), np.inf) == pytest.approx([0, 1])
    assert descent.operator(np.eye(2), np.inf) == pytest.approx(np.diag([1.0, 0.0]))
    with pytest.raises(ValueError, match="symmetric"):
        KernelDescent(np.array([[1.0, 2.0], [0.0, 1.0]]))


# --- the sphere -----------------------------------------------------------------------------------


def test_gegenbauer_polynomials_are_known_ones_and_orthogonal():
    t = np.linspace(-1, 1, 7)
    assert sphere.gegenbauer(3, 3, t) == pytest.approx(special.eval_legendre(3, t))
    assert sphere.gegenbauer(4, 2, t) == pytest.approx(np.cos(4 * np.arccos(t)))
    assert sphere.gegenbauer(5, 10, np.array(1.0)) == pytest.approx(1)
    for k in range(5):
        values = sphere.funk_hecke(lambda t, k=k: sphere.gegenbauer(k, 7, t), 7, range(6))
        assert (np.abs(values) > 1e-12).tolist() == [j == k for j in range(6)]


def test_funk_hecke_gives_the_eigenvalues_of_a_kernel_matrix():
    # equally spaced points on the circle make the discrete operator exact for low frequencies
    n, kernel = 400, lambda t: np.exp(t)
    matrix = kernel(circle(n) @ circle(n).T) / n
    values = np.sort(np.linalg.eigvalsh(matrix))[::-1]
    mu = sphere.funk_hecke(kernel, 2, range(4))
    assert mu == pytest.approx(special.iv(range(4), 1.0))  # e^cos has Bessel coefficients
    assert values[:7] == pytest.approx([mu[0], mu[1], mu[1], mu[2], mu[2], mu[3], mu[3]])


def test_trace_of_a_kernel_is_the_sum_over_harmonics():
    # sum over k of mu_k times the number of harmonics of degree k is K(1)
    d, kernel = 5, lambda t: np.exp(t)
    degrees = np.arange(30)
    number = special.comb(degrees + d - 1, d - 1) - special.comb(degrees + d - 3, d - 1)
    assert (number * sphere.funk_hecke(kernel, d, degrees)).sum() == pytest.approx(np.e)
    with pytest.raises(ValueError, match="nodes"):
        sphere.funk_hecke(kernel, d, degrees, nodes=1)
    with pytest.raises(ValueError, match="dimension"):
        sphere.gegenbauer(2, 1, np.zeros(1))
