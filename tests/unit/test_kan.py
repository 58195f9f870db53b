"""Kolmogorov-Arnold layers against SciPy's splines and a plain loop over edges."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from replib.models.kan import (
    Affine,
    KANLayer,
    SplineLayer,
    bspline_basis,
    kan_flops,
    kan_parameters,
    mlp_flops,
    mlp_parameters,
    spline_features,
    spline_mlp_parameters,
    stack,
    uniform_knots,
)
from scipy.interpolate import BSpline
from torch import nn

LAYERS = (Affine, KANLayer, SplineLayer)


def scipy_basis(x, knots, order):
    columns = []
    for m in range(len(knots) - order - 1):
        element = BSpline.basis_element(knots[m : m + order + 2], extrapolate=False)
        columns.append(np.nan_to_num(element(x)))
    return np.stack(columns, -1)


@settings(max_examples=50, deadline=None)
@given(order=st.integers(0, 5), seed=st.integers(0, 2**16), more=st.integers(2, 9))
def test_basis_is_that_of_scipy_on_any_knots(order, seed, more):
    rng = np.random.default_rng(seed)
    knots = np.cumsum(rng.uniform(0.05, 1, order + more))
    x = rng.uniform(knots[0] - 1, knots[-1] + 1, 40)
    ours = bspline_basis(torch.tensor(x), torch.tensor(knots), order)
    np.testing.assert_allclose(ours, scipy_basis(x, knots, order), atol=1e-10)


@settings(max_examples=50, deadline=None)
@given(grid=st.integers(1, 20), low=st.floats(-5, 5), width=st.floats(0.1, 10), seed=st.integers(0, 2**16))
def test_cardinal_form_is_the_recursion(grid, low, width, seed):
    x = torch.tensor(np.random.default_rng(seed).uniform(low - 2 * width, low + 3 * width, 50))
    slow = bspline_basis(x, uniform_knots(grid, 3, low, low + width), 3)
    fast = spline_features(x, grid, 3, low, low + width).mT
    torch.testing.assert_close(fast, slow, atol=1e-10, rtol=0)


@pytest.mark.parametrize("order", [2, 3, 5])
def test_splines_sum_to_one_on_the_grid_and_vanish_beyond_it(order):
    x = torch.linspace(-1, 1, 101, dtype=torch.float64)[:-1]
    basis = spline_features(x, 7, order)
    assert basis.shape == (7 + order, 100)
    torch.testing.assert_close(basis.sum(0), torch.ones_like(x))
    far = torch.tensor([-1 - 2 * order / 7 - 0.01, 1 + 2 * order / 7 + 0.01])
    assert not spline_features(far, 7, order).any()


@pytest.mark.parametrize("silu", [False, True])
def test_derivative_of_the_cardinal_form(silu):
    x = torch.tensor(np.random.default_rng(0).uniform(-2.5, 2.5, (2, 9)), requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: spline_features(x, 5, 3, silu=silu), x)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_layer_is_a_loop_over_edges(order):
    torch.manual_seed(0)
    layer = KANLayer(3, 2, grid=4, order=order, low=-2.0, high=1.0).double()
    x = torch.empty(11, 3, dtype=torch.float64).uniform_(-3, 2)
    basis = scipy_basis(x.numpy(), uniform_knots(4, order, -2, 1).numpy(), order)  # (11, 3, 4 + order)
    expected = np.zeros((11, 2))
    for o in range(2):
        expected[:, o] = layer.bias[o, 0].item()
        for i in range(3):
            spline = basis[:, i] @ layer.coefficients[o, i].detach().numpy()
            silu = x[:, i].numpy() / (1 + np.exp(-x[:, i].numpy()))
            expected[:, o] += layer.base[o, i].item() * silu + layer.scale[o, i].item() * spline
    np.testing.assert_allclose(layer(x).detach(), expected, atol=1e-9)


def test_spline_layer_is_a_loop_over_units():
    torch.manual_seed(0)
    layer = SplineLayer(3, 4).double()
    x = torch.randn(9, 3, dtype=torch.float64)
    z = (x @ layer.affine.weight.T + layer.affine.bias[:, 0]).detach().numpy()
    basis = scipy_basis(z, uniform_knots(5, 3).numpy(), 3)
    expected = np.stack([basis[:, h] @ layer.coefficients[h].detach().numpy() for h in range(4)], 1)
    np.testing.assert_allclose(layer(x).detach(), expected, atol=1e-9)


def test_affine_layer_is_torchs():
    layer, x = Affine(3, 2), torch.randn(2, 5, 3)
    torch.testing.assert_close(layer(x), nn.functional.linear(x, layer.weight, layer.bias[:, 0]))


@pytest.mark.parametrize("layer", LAYERS)
def test_a_stack_computes_what_its_networks_compute(layer):
    torch.manual_seed(0)
    singles = [layer(3, 2).double() for _ in range(4)]
    stacked = stack(singles, layer(3, 2, leading=(4,)).double())
    x = torch.randn(4, 6, 3, dtype=torch.float64)
    y = stacked(x)
    y.square().sum().backward()
    for k, single in enumerate(singles):
        expected = single(x[k])
        torch.testing.assert_close(y[k], expected)
        expected.square().sum().backward()
        for a, b in zip(stacked.parameters(), single.parameters(), strict=True):
            torch.testing.assert_close(a.grad[k], b.grad)
    assert stacked(torch.zeros(4, 2, 5, 3, dtype=torch.float64)).shape == (4, 2, 5, 2)


def test_counts():
    assert kan_parameters((2, 5, 1), 5, 3) == 171
    kan = nn.Sequential(KANLayer(2, 5), KANLayer(5, 1))
    assert kan_parameters((2, 5, 1), 5, 3, shortcut=False) == 156 == sum(p.numel() for p in kan.parameters())
    assert mlp_parameters((2, 11, 11, 1)) == 177
    assert mlp_flops((2, 11, 11, 1)) == 2 * (22 + 121 + 11) + 22
    spline = nn.Sequential(SplineLayer(2, 14), Affine(14, 1))
    assert spline_mlp_parameters((2, 14, 1), 5, 3) == 169 == sum(p.numel() for p in spline.parameters())
    assert spline_mlp_parameters((2, 14, 1), 5, 3, output_splines=True) == 177
    assert kan_flops((2, 5, 1), 5, 3) == 15 * (9 * 3 * 9.5 + 10 - 7.5 + 1) + 7 + 30


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="bad grid"):
        uniform_knots(0, 3)
    with pytest.raises(ValueError, match="bad grid"):
        KANLayer(2, 1, low=1.0, high=1.0)
    with pytest.raises(ValueError, match="at least 5 knots"):
        bspline_basis(torch.zeros(1), torch.arange(4.0), 3)
    with pytest.raises(ValueError, match="rise"):
        bspline_basis(torch.zeros(1), torch.zeros(6), 3)
    with pytest.raises(ValueError, match="positive"):
        Affine(0, 1)
    with pytest.raises(ValueError, match="expected"):
        KANLayer(2, 1, leading=(3,))(torch.zeros(2, 5, 2))
    with pytest.raises(ValueError, match="leading"):
        stack([Affine(2, 1)], Affine(2, 1))
    with pytest.raises(ValueError, match="two positive widths"):
        mlp_parameters((2,))
