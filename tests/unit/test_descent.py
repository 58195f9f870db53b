from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from replib.randomness import torch_generator
from replib.training.descent import descend, log_spaced
from torch.optim import SGD, Adam, AdamW

F64 = torch.float64


def quadratic(size, seed=0):
    """Losses 0.5 sum a (w - b)² with minima b: each network's gradient is known."""
    g = torch_generator(seed)
    a, b, w = (torch.rand(size, 3, generator=g, dtype=F64) for _ in range(3))
    return a, b, w


@given(st.integers(1, 4), st.floats(0.0, 0.3))
def test_gradient_descent_is_its_closed_form(size, rate):
    a, b, w = quadratic(size)
    start = w.clone()
    curves = descend([w], lambda: (0.5 * a * (w - b).square()).sum(1), 20, partial(SGD, lr=rate),
                     probes=[0, 7, 20, 99], probe=lambda _: {"w": w})  # fmt: skip
    assert curves.steps.tolist() == [0, 7, 20]
    for t, found in zip(curves.steps, curves["w"], strict=True):
        assert np.allclose(found, (b + (1 - rate * a) ** int(t) * (start - b)).numpy(), atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize(("decoupled", "decay"), [(True, 0.0), (True, 2.0), (False, 0.01)])
def test_adam_with_a_tiny_epsilon_is_the_published_recursion(dtype, decoupled, decay):
    """Kingma and Ba's algorithm 1; decay coupled to the gradient, or apart from it (Loshchilov and Hutter)."""
    a, b, w = (v.to(dtype) for v in quadratic(2))
    rate, betas, eps = 0.01, (0.9, 0.98), 1e-25
    kind = AdamW if decoupled else Adam
    x, m, v = w.to(F64).clone(), 0, 0
    for t in range(1, 31):
        gradient = a * (x - b) + (0 if decoupled else decay * x)
        m, v = betas[0] * m + (1 - betas[0]) * gradient, betas[1] * v + (1 - betas[1]) * gradient**2
        x = x * (1 - rate * decay * decoupled)
        x = x - rate * (m / (1 - betas[0] ** t)) / ((v / (1 - betas[1] ** t)).sqrt() + eps)
    make = partial(kind, lr=rate, betas=betas, eps=eps, weight_decay=decay, fused=True)
    descend([w], lambda: (0.5 * a * (w - b).square()).sum(1), 30, make)
    assert torch.allclose(w.to(F64), x, atol=1e-12 if dtype == F64 else 1e-5)


def test_networks_of_a_stack_do_not_touch_each_other():
    def run(rows):
        a, b, w = (v[rows].clone() for v in quadratic(4))
        descend([w], lambda: (0.5 * a * (w - b).square()).sum(1), 50, partial(AdamW, lr=0.1, weight_decay=0.3))
        return w.detach()

    together = run(slice(None))
    for s in range(4):
        assert torch.equal(run(slice(s, s + 1))[0], together[s])


def test_masked_gradients_leave_masked_weights_and_decay_keeps_zeros():
    a, b, w = quadratic(2)
    mask = torch.tensor([[1.0, 0, 1], [0, 1, 1]], dtype=F64)
    w *= mask

    def masked(parameters):
        parameters[0].grad *= mask

    descend(
        [w], lambda: (0.5 * a * (w - b).square()).sum(1), 40, partial(AdamW, lr=0.1, weight_decay=1.0), adjust=masked
    )
    assert (w[mask == 0] == 0).all()
    assert (w[mask == 1] != 0).all()


def test_a_run_ends_when_told_and_a_schedule_is_followed():
    _, _, w = quadratic(1)
    seen = []

    def probe(step):
        seen.append(step)
        return {"step": torch.tensor([step])}

    warm = partial(torch.optim.lr_scheduler.LambdaLR, lr_lambda=lambda t: min(1.0, (t + 1) / 4))
    curves = descend([w], lambda: w.sum(1), 50, partial(SGD, lr=1.0), probes=range(0, 51, 2), probe=probe,
                     until=lambda values: values["step"].item() >= 6, schedule=warm)  # fmt: skip
    assert seen == curves.steps.tolist() == [0, 2, 4, 6]
    start = quadratic(1)[2]
    assert torch.allclose(w, start - (0.25 + 0.5 + 0.75 + 1 + 1 + 1), atol=1e-12)


def test_bad_losses_and_optimisers_are_refused():
    _, _, w = quadratic(2)
    with pytest.raises(ValueError, match="one per network"):
        descend([w], lambda: w.sum(), 1, partial(SGD, lr=0.1))
    with pytest.raises(TypeError, match="couples the networks"):
        descend([w], lambda: w.sum(1), 1, torch.optim.LBFGS)


@given(st.integers(1, 500), st.integers(1, 40))
def test_log_spaced_steps(last, count):
    steps = log_spaced(last, count)
    assert steps[0] == 0
    assert steps[-1] == (last if count > 1 else 1)
    assert (np.diff(steps) > 0).all()
    assert len(steps) <= count + 1


def test_log_spaced_steps_need_an_order():
    with pytest.raises(ValueError, match="1 <= first <= last"):
        log_spaced(3, 5, first=4)
