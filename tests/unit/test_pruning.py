import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from replib.randomness import torch_generator
from replib.training import pruning
from torch import nn
from torch.nn.utils import prune

F64 = torch.float64
SIZES = ((4, 6), (6, 5), (5, 2))


def weights(seed, size=3):
    g = torch_generator(seed)
    return [torch.randn(size, *shape, generator=g, dtype=F64) for shape in SIZES]


def outputs(parameters, x):
    for w in parameters[:-1]:
        x = (x @ w).relu()
    return x @ parameters[-1]


def loss(parameters):
    x = torch.linspace(-1, 1, 28, dtype=F64).view(7, 4)
    return (outputs(parameters, x) - 0.5).square().mean((1, 2))


@given(st.integers(0, 40), st.floats(0, 1))
def test_global_magnitude_masks_are_those_of_torch(seed, share):
    stack = weights(seed)
    masks = pruning.keep_largest([w.abs() for w in stack], share)
    total = sum(w[0].numel() for w in stack)
    for s in range(3):
        layers = [nn.Linear(w.shape[2], w.shape[1], bias=False, dtype=F64) for w in stack]
        for layer, w in zip(layers, stack, strict=True):
            layer.weight.data = w[s].clone()
        prune.global_unstructured(
            [(layer, "weight") for layer in layers], prune.L1Unstructured, amount=total - round(share * total)
        )
        for layer, mask in zip(layers, masks, strict=True):
            assert torch.equal(layer.weight_mask.bool(), mask[s])


@given(st.integers(0, 20))
def test_snip_is_the_change_of_the_loss_when_a_weight_is_scaled(seed):
    stack = weights(seed, 1)
    scores = pruning.snip(loss, stack)
    g = torch_generator(seed, "which")
    for k, w in enumerate(stack):
        i = int(torch.randint(w.numel(), (1,), generator=g))
        moved = []
        for factor in (1 + 1e-6, 1 - 1e-6):
            other = [v.clone() for v in stack]
            other[k].view(-1)[i] *= factor
            moved.append(loss(other))
        slope = (moved[0] - moved[1]).item() / 2e-6
        assert scores[k].view(-1)[i].item() == pytest.approx(abs(slope), rel=1e-4, abs=1e-8)


def test_grasp_is_the_hessian_times_the_gradient():
    """For 0.5 w'Aw - b'w the gradient is Aw - b and the Hessian A."""
    g = torch_generator(0)
    root, b, w = (torch.randn(*s, generator=g, dtype=F64) for s in ((2, 5, 5), (2, 5), (2, 5)))
    a = root @ root.transpose(1, 2)

    def quadratic(parameters):
        v = parameters[0]
        return 0.5 * torch.einsum("si,sij,sj->s", v, a, v) - (b * v).sum(1)

    gradient = torch.einsum("sij,sj->si", a, w) - b
    assert torch.allclose(pruning.grasp(quadratic, [w])[0], w * torch.einsum("sij,sj->si", a, gradient), atol=1e-10)


@given(st.integers(0, 20))
def test_synflow_is_conserved_from_layer_to_layer(seed):
    """Tanaka et al.'s conservation law: every layer's scores add up to the output."""
    stack, x = weights(seed), torch.ones(1, 4, dtype=F64)

    def summed(parameters):
        return outputs(parameters, x).sum((1, 2))

    total = summed([w.abs() for w in stack])
    for scores in pruning.synflow(summed, stack):
        assert torch.allclose(scores.sum((1, 2)), total, rtol=1e-10)


@given(st.integers(0, 20), st.floats(0, 1))
def test_shuffled_masks_keep_each_tensors_count(seed, share):
    masks = pruning.keep_largest([w.abs() for w in weights(seed)], share)
    mixed = pruning.shuffled(masks, [torch_generator(seed, i) for i in range(3)])
    for a, b in zip(masks, mixed, strict=True):
        assert a.shape == b.shape
        assert torch.equal(a.sum((1, 2)), b.sum((1, 2)))


def test_networks_are_scored_apart():
    stack = weights(5)
    for score in (pruning.snip, pruning.grasp):
        alone = score(loss, [w[1:2] for w in stack])
        assert all(torch.allclose(a[0], b[1]) for a, b in zip(alone, score(loss, stack), strict=True))


def test_bad_shares_and_scores_are_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        pruning.keep_largest(weights(0), 1.5)
    with pytest.raises(ValueError, match="must be numbers"):
        pruning.keep_largest([torch.full((1, 2), torch.nan)], 0.5)
