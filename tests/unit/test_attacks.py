import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from replib.randomness import torch_generator
from replib.training import attacks

F64 = torch.float64


@given(st.integers(0, 50), st.floats(0.0, 2.0))
def test_a_linear_objective_ends_in_the_corner_of_the_box(seed, radius):
    g = torch_generator(seed)
    w, x = torch.randn(3, generator=g, dtype=F64), torch.randn(4, 3, generator=g, dtype=F64)
    start = 2 * torch.rand(2, 4, 3, generator=g, dtype=F64) - 1
    points, values = attacks.pgd(attacks.by_autograd(lambda z: z @ w), x, radius, start, steps=8, step=0.25)
    assert torch.allclose(points, (x + radius * w.sign()).expand(2, 4, 3), atol=1e-12)
    assert torch.allclose(values, (x @ w + radius * w.abs().sum()).expand(2, 4), atol=1e-12)


@given(st.integers(0, 50))
def test_a_small_network_is_not_attacked_beyond_the_best_corner_or_grid_point(seed):
    """A convex function on a box is largest in a corner: sum of |.| of linear maps."""
    g = torch_generator(seed)
    u, x = torch.randn(6, 2, generator=g, dtype=F64), torch.randn(5, 2, generator=g, dtype=F64)

    def values(z):
        return (z @ u.T).abs().sum(-1)

    starts = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=2)), dtype=F64)[:, None].expand(4, 5, 2)
    best = values(x + 0.3 * starts).amax(0)
    points, found = attacks.pgd(attacks.by_autograd(values), x, 0.3, starts, steps=10, step=0.5)
    assert torch.allclose(found.amax(0), best, atol=1e-12)
    assert torch.allclose(values(points), found, atol=1e-12)


@given(st.integers(0, 50))
def test_points_stay_in_the_box_and_the_bounds_and_never_get_weaker_than_the_start(seed):
    g = torch_generator(seed)
    x = torch.rand(7, 4, generator=g, dtype=F64)
    radius = torch.tensor([0.1, 0.5, 0.0, 2.0], dtype=F64)
    start = 2 * torch.rand(7, 4, generator=g, dtype=F64) - 1
    w = torch.randn(4, generator=g, dtype=F64)

    def values(z):
        return torch.sin(9 * z @ w)

    points, found = attacks.pgd(attacks.by_autograd(values), x, radius, start, steps=5, step=0.7, bounds=(0, 1))
    assert ((points - x).abs() <= radius + 1e-15).all()
    assert points.min() >= 0
    assert points.max() <= 1
    assert (found >= values((x + start * radius).clamp(0, 1)) - 1e-12).all()


def test_gradient_of_a_closed_form_and_of_autograd_attack_alike():
    g = torch_generator(0)
    u, x = torch.randn(8, 3, generator=g, dtype=F64), torch.randn(6, 3, generator=g, dtype=F64)
    start = torch.zeros(6, 3, dtype=F64)

    def closed(z):
        h = z @ u.T
        return h.relu().sum(-1), (h > 0).to(F64) @ u

    options = {"steps": 7, "step": 0.4}
    by_hand = attacks.pgd(closed, x, 0.2, start, **options)
    automatic = attacks.pgd(attacks.by_autograd(lambda z: closed(z)[0]), x, 0.2, start, **options)
    assert all(torch.equal(a, b) for a, b in zip(by_hand, automatic, strict=True))


@pytest.mark.parametrize("bad", [{"radius": -1.0}, {"steps": -1}, {"step": -0.1}, {"bounds": (0.5, 1.0)}])
def test_bad_arguments(bad):
    x = torch.zeros(2, 2)
    options = {"radius": 0.1, "steps": 1, "step": 1.0} | bad
    with pytest.raises(ValueError, match="must not be negative|outside the bounds"):
        attacks.pgd(attacks.by_autograd(lambda z: z.sum(-1)), x, options.pop("radius"), x, **options)
