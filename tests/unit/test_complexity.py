import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from replib.analysis.complexity import affine_maps, local_complexity, orthonormal_frame, preactivations
from replib.models.mlp import mlp
from replib.randomness import torch_generator
from replib.training.ensemble import Ensemble

F64 = torch.float64


def stack(seed, sizes, networks):
    """Random layers with biases large enough that some hyperplanes miss."""
    g = torch_generator(seed, "layers")
    return [
        (
            torch.randn(networks, b, a, generator=g, dtype=F64) / a**0.5,
            torch.randn(networks, b, generator=g, dtype=F64) / 2,
        )
        for a, b in itertools.pairwise(sizes)
    ]


def by_loops(layers, x, frame, radius, activation):
    """One network, one point, one vertex and one neuron at a time."""
    counts = torch.zeros(len(layers[0][0]), x.shape[-2], len(layers), dtype=torch.long)
    for s, n in itertools.product(range(counts.shape[0]), range(counts.shape[1])):
        point = x[s, n] if x.ndim == 3 else x[n]
        seen = []
        for sign, v in itertools.product((1, -1), frame):
            h, signs = point + sign * radius * v, []
            for weight, bias in layers:
                z = weight[s] @ h + bias[s]
                signs.append([float(one) > 0 for one in z])
                h = activation(z)
            seen.append(signs)
        for k in range(len(layers)):
            counts[s, n, k] = sum(len({signs[k][j] for signs in seen}) == 2 for j in range(len(seen[0][k])))
    return counts


@given(
    st.integers(0, 1000),
    st.lists(st.integers(1, 5), min_size=2, max_size=4),
    st.integers(1, 3),
    st.integers(1, 4),
    st.floats(0.01, 3),
    st.booleans(),
    st.sampled_from([torch.relu, lambda z: z, lambda z: torch.maximum(z, 0.1 * z)]),
    st.sampled_from([1, 40, 2**20]),
)
def test_counts_equal_a_loop_over_vertices_and_neurons(
    seed, sizes, networks, points, radius, shared, activation, numbers
):
    g = torch_generator(seed, "points")
    layers = stack(seed, sizes, networks)
    x = torch.randn(*([] if shared else [networks]), points, sizes[0], generator=g, dtype=F64)
    frame = orthonormal_frame(1 + seed % sizes[0], sizes[0], g, F64)
    found = local_complexity(layers, x, frame, radius, activation=activation, numbers=numbers)
    assert torch.equal(found, by_loops(layers, x, frame, radius, activation))


@given(st.integers(0, 100), st.floats(0.01, 1.5))
def test_hyperplanes_placed_by_hand(seed, radius):
    """Neuron j is the plane x_0 = c_j: the polytope's reach along axis 0 is r max_p |v_p0|, so the count is known."""
    g = torch_generator(seed)
    cuts = torch.linspace(-1, 1, 21, dtype=F64) + 0.003
    weight = torch.zeros(1, 21, 4, dtype=F64)
    weight[..., 0] = 1
    x = torch.rand(6, 4, generator=g, dtype=F64) * 2 - 1
    frame = orthonormal_frame(3, 4, g, F64)
    reach = radius * frame[:, 0].abs().max()
    expected = ((cuts - x[:, :1]).abs() < reach).sum(1)
    assert torch.equal(local_complexity([(weight, -cuts[None])], x, frame, radius)[0, :, 0], expected)


def test_axis_frame_around_the_origin():
    """Planes at distance 0.5 on each axis: inside the cross-polytope of radius 1, outside that of radius 0.4."""
    weight, bias = torch.eye(3)[None], torch.full((1, 3), -0.5)
    x, frame = torch.zeros(1, 3), torch.eye(3)
    assert local_complexity([(weight, bias)], x, frame, 1.0).tolist() == [[[3]]]
    assert local_complexity([(weight, bias)], x, frame, 0.4).tolist() == [[[0]]]
    assert local_complexity([(weight, bias)], x, frame[:1], 1.0).tolist() == [[[1]]]


@given(st.integers(0, 100), st.floats(0.1, 10))
def test_scaling_a_hidden_layer_moves_no_hyperplane(seed, factor):
    """(W_l, b_l) times c > 0 and the next weights divided by c: the same function, the same counts."""
    layers, g = stack(seed, [4, 6, 5, 2], 2), torch_generator(seed, "x")
    x, frame = torch.randn(2, 5, 4, generator=g, dtype=F64), orthonormal_frame(3, 4, g, F64)
    (w1, b1), (w2, b2), last = layers
    scaled = [(factor * w1, factor * b1), (w2 / factor, b2), last]
    assert torch.equal(local_complexity(scaled, x, frame, 0.3), local_complexity(layers, x, frame, 0.3))
    # and all parameters of a layer alike, at the end, keep the sign of the output
    louder = [*layers[:2], (factor * last[0], factor * last[1])]
    assert torch.equal(local_complexity(louder, x, frame, 0.3), local_complexity(layers, x, frame, 0.3))


@given(st.integers(0, 100))
def test_permuting_neurons_and_networks_permutes_counts(seed):
    layers, g = stack(seed, [4, 6, 5, 2], 3), torch_generator(seed, "x")
    x, frame = torch.randn(5, 4, generator=g, dtype=F64), orthonormal_frame(3, 4, g, F64)
    counts = local_complexity(layers, x, frame, 0.5)
    order = torch.randperm(6, generator=g)
    (w1, b1), (w2, b2), last = layers
    assert torch.equal(
        local_complexity([(w1[:, order], b1[:, order]), (w2[..., order], b2), last], x, frame, 0.5), counts
    )
    assert torch.equal(
        local_complexity([(w[[2, 0, 1]], b[[2, 0, 1]]) for w, b in layers], x, frame, 0.5), counts[[2, 0, 1]]
    )


@given(st.integers(0, 100))
def test_first_layer_grows_with_the_radius_and_a_linear_network_in_every_layer(seed):
    layers, g = stack(seed, [4, 6, 5, 2], 2), torch_generator(seed, "x")
    x, frame = torch.randn(5, 4, generator=g, dtype=F64), orthonormal_frame(4, 4, g, F64)
    radii = (0.05, 0.2, 0.8)
    first = [local_complexity(layers, x, frame, r)[..., 0] for r in radii]
    linear = [local_complexity(layers, x, frame, r, activation=lambda z: z) for r in radii]
    assert all((a <= b).all() for counts in (first, linear) for a, b in itertools.pairwise(counts))


@given(st.integers(0, 200), st.integers(1, 6))
def test_a_frame_is_orthonormal_and_repeats_with_its_generator(seed, directions):
    frame = orthonormal_frame(directions, 6, torch_generator(seed), F64)
    assert torch.allclose(frame @ frame.T, torch.eye(directions, dtype=F64), atol=1e-12)
    assert torch.equal(frame, orthonormal_frame(directions, 6, torch_generator(seed), F64))


def test_frames_have_no_preferred_direction():
    g = torch_generator(0)
    first = torch.stack([orthonormal_frame(2, 3, g, F64)[0] for _ in range(4000)])
    assert first.mean(0).abs().max() < 4 / (3 * 4000) ** 0.5
    assert torch.allclose(first.T @ first / 4000, torch.eye(3, dtype=F64) / 3, atol=0.03)


def test_preactivations_are_those_of_the_ensemble():
    nets = Ensemble(lambda: mlp(4, 7, 3, depth=4), [1, 2])
    layers, g = affine_maps(nets.stack), torch_generator(0)
    own, shared = torch.randn(2, 5, 4, generator=g), torch.randn(5, 4, generator=g)
    assert [tuple(z.shape) for z in preactivations(layers, own)] == [(2, 5, 7)] * 3 + [(2, 5, 3)]
    assert torch.allclose(preactivations(layers, own)[-1], nets(own), atol=1e-6)
    assert torch.allclose(preactivations(layers, shared)[-1], nets(shared, shared=True), atol=1e-6)


def test_bad_arguments():
    layers, frame, x = stack(0, [4, 6, 2], 2), torch.eye(4, dtype=F64), torch.zeros(3, 4, dtype=F64)
    with pytest.raises(ValueError, match="radius"):
        local_complexity(layers, x, frame, 0.0)
    with pytest.raises(ValueError, match="orthonormal"):
        local_complexity(layers, x, 2 * frame, 1.0)
    with pytest.raises(ValueError, match="the frame must"):
        local_complexity(layers, x, frame[:, :3], 1.0)
    for points in (x[:, :3], x.expand(3, 3, 4), x[0]):
        with pytest.raises(ValueError, match="points must"):
            local_complexity(layers, points, frame, 1.0)
    for wrong in (
        [],
        [t for layer in layers for t in layer][:3],
        [layers[1][0], layers[1][1], layers[0][0], layers[0][1]],
    ):
        with pytest.raises(ValueError, match="layers must"):
            affine_maps(wrong)
    with pytest.raises(ValueError, match="orthonormal vectors"):
        orthonormal_frame(5, 4, torch_generator(0))
