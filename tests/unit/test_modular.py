"""Modular arithmetic, networks on pairs, Fourier reading of weights, onsets."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from replib import onset
from replib.analysis import fourier
from replib.data import modular
from replib.models.pairs import PairNetwork, pair_sums
from replib.randomness import torch_generator

F64 = torch.float64


@pytest.mark.parametrize("p", [2, 5, 8])
def test_pairs_and_labels_are_those_of_two_loops(p):
    every = list(itertools.product(range(p), repeat=2))
    assert modular.pairs(p).tolist() == [list(x) for x in every]
    assert modular.pairs(p, ordered=False).tolist() == [[a, b] for a, b in every if a <= b]
    for name, value in (("+", lambda a, b: a + b), ("-", lambda a, b: a - b), ("*", lambda a, b: a * b)):
        assert modular.labels(modular.pairs(p), p, name).tolist() == [value(a, b) % p for a, b in every]


@given(st.integers(1, 60), st.floats(0.02, 1.0), st.integers(1, 4))
def test_training_sets_have_the_asked_size_and_depend_on_their_own_generator(points, share, size):
    if round(share * points) < 1:
        return
    mask = modular.split(points, share, [torch_generator(i, "split") for i in range(size)])
    assert mask.sum(1).tolist() == [round(share * points)] * size
    alone = modular.split(points, share, [torch_generator(size - 1, "split")])
    assert torch.equal(alone[0], mask[-1])


@given(st.floats(0.0, 1.0), st.integers(0, 20))
def test_only_chosen_labels_are_redrawn(share, seed):
    p = 7
    truth = modular.labels(modular.pairs(p), p)
    chosen = modular.split(p * p, 0.6, [torch_generator(seed, i) for i in range(3)])
    given_labels, redrawn = modular.corrupt(
        truth, chosen, share, p, [torch_generator(seed, i, "noise") for i in range(3)]
    )
    assert not (redrawn & ~chosen).any()
    assert redrawn.sum(1).tolist() == [round(share * int(chosen[0].sum()))] * 3
    assert torch.equal(given_labels[~redrawn], truth.expand(3, -1)[~redrawn])
    assert given_labels.min() >= 0
    assert given_labels.max() < p


def test_redrawn_labels_are_uniform():
    p, n = 5, 20000
    truth = torch.zeros(n, dtype=torch.long)
    drawn, _ = modular.corrupt(truth, torch.ones(1, n, dtype=torch.bool), 1.0, p, [torch_generator(3)])
    share = torch.bincount(drawn[0], minlength=p) / n
    assert (share - 1 / p).abs().max() < 5 * np.sqrt(0.16 / n)


@pytest.mark.parametrize(
    "call",
    [
        lambda: modular.pairs(1),
        lambda: modular.labels(modular.pairs(3), 3, "/"),
        lambda: modular.split(10, 0.01, [torch_generator(0)]),
        lambda: modular.split(10, 1.1, [torch_generator(0)]),
        lambda: modular.corrupt(torch.zeros(3), torch.ones(1, 3, dtype=torch.bool), -0.1, 2, [torch_generator(0)]),
        lambda: pair_sums(torch.zeros(3, 4), torch.zeros(3, 4)),
        lambda: PairNetwork(torch.zeros(1, 5, 4), None, torch.zeros(1, 3, 5), torch.relu),
        lambda: fourier.harmonics(torch.zeros(2)),
        lambda: onset.onset([0, 1], np.zeros((3, 2)), 0.5),
        lambda: onset.onset([1, 1], np.zeros((2, 2)), 0.5),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(ValueError, match=r"must|needs?"):
        call()


@given(st.integers(0, 30), st.booleans())
def test_a_pair_network_is_the_dense_network_on_one_hot_vectors(seed, tied):
    p, width, size = 5, 4, 3
    g = torch_generator(seed)
    u, v = (torch.randn(size, p, width, generator=g, dtype=F64) for _ in range(2))
    w = torch.randn(size, width, p, generator=g, dtype=F64)
    network = PairNetwork(u, None if tied else v, w, torch.relu)
    table = modular.pairs(p)
    one_hot = torch.nn.functional.one_hot(table, p).to(F64)
    for s in range(size):
        expected = (one_hot[:, 0] @ u[s] + one_hot[:, 1] @ (u if tied else v)[s]).relu() @ w[s]
        assert torch.allclose(network()[s], expected, atol=1e-12)
    some = torch.randint(p, (size, 7, 2), generator=g)
    position = some[..., 0] * p + some[..., 1]
    assert torch.allclose(network(some), torch.stack([network()[s, position[s]] for s in range(size)]), atol=1e-12)
    assert torch.allclose(network(some[0]), network()[:, position[0]], atol=1e-12)
    gradients = []
    for output in (network(some), torch.stack([network()[s, position[s]] for s in range(size)])):
        network.zero_grad()
        output.sin().sum().backward()
        gradients.append([q.grad.clone() for q in network.parameters()])
    assert all(torch.allclose(a, b, atol=1e-10) for a, b in zip(*gradients, strict=True))


@given(st.integers(3, 24), st.integers(0, 50))
def test_harmonics_rebuild_the_weights_and_their_power_adds_up(p, seed):
    theta = torch.randn(4, p, generator=torch_generator(seed), dtype=F64)
    found = fourier.harmonics(theta)
    j, k = torch.arange(p, dtype=F64), torch.arange(1, p // 2 + 1, dtype=F64)
    waves = torch.cos(2 * torch.pi * k[:, None] * j / p + found.phase[..., None])
    assert torch.allclose(found.mean[:, None] + (found.amplitude[..., None] * waves).sum(1), theta, atol=1e-10)
    assert torch.allclose(p * found.mean**2 + found.power.sum(-1), theta.square().sum(-1), atol=1e-10)
    assert torch.allclose(found.power, (found.amplitude[..., None] * waves).square().sum(-1), atol=1e-10)


@given(st.integers(3, 40), st.data())
def test_a_cosine_has_one_frequency(p, data):
    k = data.draw(st.integers(1, (p - 1) // 2))
    amplitude, phase = data.draw(st.floats(0.1, 9)), data.draw(st.floats(-3.1, 3.1))
    theta = amplitude * torch.cos(2 * torch.pi * k * torch.arange(p, dtype=F64) / p + phase)
    found = fourier.harmonics(theta)
    assert found.frequency == k
    assert found.amplitude[k - 1].item() == pytest.approx(amplitude)
    assert found.phase[k - 1].item() == pytest.approx(phase)
    assert found.purity.item() == pytest.approx(1)
    assert fourier.ipr(found.power).item() == pytest.approx(1)


@given(st.integers(1, 30), st.floats(-50, 50))
def test_ipr_of_equal_powers_and_wrapped_angles(count, angle):
    assert fourier.ipr(torch.full((2, count), 3.0, dtype=F64)).tolist() == pytest.approx([1 / count] * 2)
    wrapped = fourier.wrap(torch.tensor(angle, dtype=F64)).item()
    assert -np.pi < wrapped <= np.pi + 1e-12
    assert np.cos(wrapped) == pytest.approx(np.cos(angle), abs=1e-9)
    assert np.sin(wrapped) == pytest.approx(np.sin(angle), abs=1e-9)


@given(st.data())
def test_onsets_are_those_of_a_loop(data):
    count, size = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 4))
    steps = np.cumsum(data.draw(st.lists(st.integers(1, 5), min_size=count, max_size=count)))
    row = st.lists(st.sampled_from([0.0, 0.5, 1.0, np.nan]), min_size=size, max_size=size)
    curves = np.array(data.draw(st.lists(row, min_size=count, max_size=count)))
    after = data.draw(st.integers(0, 20))
    found = onset.onset(steps, curves, 0.5, after=after)
    for s in range(size):
        hits = [t for t, v in zip(steps, curves[:, s], strict=True) if v >= 0.5 and t >= after]
        assert found.reached[s] == bool(hits)
        assert found.step[s] == (hits[0] if hits else steps[-1])


def test_a_delay_is_two_medians_and_a_count():
    first = onset.onset([0, 10, 20], [[1, 0, 0], [1, 1, 0], [1, 1, 1]], 0.95)
    second = onset.onset([0, 10, 20], [[0, 0, 0], [1, 0, 0], [1, 0, 0]], 0.95)
    found = onset.delays({"with decay": (first, second)})
    assert {what: e["with decay"].value for what, e in found.items()} == {"memorises": 10, "generalises": 20, "runs": 1}
    assert len(found) == len(onset.DELAY)


def test_onsets_in_words_and_as_ratios():
    first = onset.onset([0, 10, 20], [[0, 0, 0], [1, 0, 0], [1, 1, 0]], 0.95)
    assert str(first) == "10 to 20 (2 of 3 runs)"
    assert first.over(onset.onset([0, 10, 20], [[1, 1, 1]] * 3, 0.95)).tolist() == [10, 20, 20]
    assert str(onset.onset([0, 5], [[0], [0]], 1)) == "never (0 of 1 runs)"
    assert str(onset.onset([0, 5], [[0], [1]], 1)) == "5"
