r"""Local complexity: how many hyperplanes of a piecewise linear network pass through a small neighbourhood.

A stack of S networks is given by its affine maps, (weight (S, out, in), bias (S, out)) per layer, first layer first;
the last one is the output. Between the maps stands an activation that bends at 0.

    z_1 = W_1 x + b_1,   z_l = W_l a(z_(l-1)) + b_l

The neighbourhood of x is the cross-polytope with the 2P vertices x + r v_p and x - r v_p, for orthonormal v_1 ... v_P.
A neuron counts if it is on (z > 0) at one vertex and off (z <= 0) at another; the local complexity of x is the number
of such neurons (Humayun, Balestriero and Baraniuk 2024; their code compares signs, which is the same unless a
pre-activation is exactly 0).

In the first layer the count is exact for the whole cross-polytope, since a linear function takes its extremes at
vertices. In deeper layers it is the vertices that are compared: hyperplanes that fold between them are missed.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

Layer = tuple[Tensor, Tensor]


def affine_maps(parameters: Iterable[Tensor]) -> list[Layer]:
    """The parameters of a stacked perceptron, weight and bias in turn, as layers.

    Raises:
        ValueError: not weights (S, out, in) and biases (S, out) in turn, or maps that do not fit one another.
    """
    tensors = list(parameters)
    layers = list(zip(tensors[::2], tensors[1::2], strict=False))
    _check(layers, len(tensors) % 2 == 0)
    return layers


def preactivations(
    layers: Sequence[Layer], x: Tensor, activation: Callable[[Tensor], Tensor] = torch.relu
) -> list[Tensor]:
    """z_1, ..., z_L of a stack of networks; the last is the output.

    Shapes:
        x: (S, n, d), each network's own points, or (n, d), the same for all.
        returns: (S, n, width) per layer.
    """
    weight, bias = layers[0]
    z = [torch.baddbmm(bias.unsqueeze(1), x.expand(len(weight), *x.shape[-2:]), weight.mT)]
    return z + list(_deeper(layers, z[0], activation))


def orthonormal_frame(
    directions: int, dimension: int, generator: torch.Generator, dtype: torch.dtype | None = None
) -> Tensor:
    """P random orthonormal vectors, uniform among all such (Gaussian vectors, orthogonalised). Returns (P, d).

    Raises:
        ValueError: more directions than dimensions, or none.
    """
    if not 1 <= directions <= dimension:
        raise ValueError(
            f"in {dimension} dimensions there are 1 to {dimension} orthonormal vectors, asked for {directions}"
        )
    gaussian = torch.randn(dimension, directions, generator=generator, dtype=torch.float64, device=generator.device)
    q, r = torch.linalg.qr(gaussian)
    # the sign of r's diagonal is the algorithm's choice: without it q is uniform
    frame = (q * r.diagonal().sign()).T.contiguous()
    return frame.to(dtype or torch.get_default_dtype())


def local_complexity(
    layers: Sequence[Layer],
    x: Tensor,
    frame: Tensor,
    radius: float,
    *,
    activation: Callable[[Tensor], Tensor] = torch.relu,
    numbers: int = 2**18,
) -> Tensor:
    """How many neurons of each layer are on at some vertices around x and off at others.

    The first map is applied to x and to the frame apart, W (x + r v) + b = (W x + b) + r W v; so no vertex is ever
    formed in the input space, and a large input costs little.

    Args:
        layers: S networks as affine maps, see :func:`affine_maps`.
        x: (S, n, d) each network's own points, or (n, d) the same for all.
        frame: (P, d) orthonormal vectors, the same around all points.
        radius: r.
        activation: between the layers, element by element; must bend at 0 only for the count to mean hyperplanes.
        numbers: points are taken in blocks such that a layer's values at all vertices are about this many; few enough
            to stay in a cache.

    Returns:
        (S, n, L) counts; sum over the layers wanted (all but the last for the hidden ones).

    Raises:
        ValueError: shapes that do not fit, a radius that is not positive, or a frame that is not orthonormal.
    """
    _check(layers)
    weight, bias = layers[0]
    stack, dimension = len(weight), weight.shape[-1]
    if x.ndim not in (2, 3) or x.shape[-1] != dimension or (x.ndim == 3 and len(x) != stack):
        raise ValueError(f"points must be (n, {dimension}) or ({stack}, n, {dimension}), got {tuple(x.shape)}")
    if frame.ndim != 2 or frame.shape[-1] != dimension:
        raise ValueError(f"the frame must be (P, {dimension}), got {tuple(frame.shape)}")
    if not radius > 0:
        raise ValueError(f"the radius must be positive, got {radius}")
    if not torch.allclose(frame @ frame.T, torch.eye(len(frame), dtype=frame.dtype, device=frame.device), atol=1e-4):
        raise ValueError("the frame's vectors are not orthonormal")
    with torch.no_grad():
        points = x.expand(stack, *x.shape[-2:])
        along = radius * torch.matmul(frame, weight.mT)  # (S, P, width): r W v
        offsets = torch.cat([along, -along], 1).unsqueeze(1)  # (S, 1, 2P, width)
        widest = max(w.shape[1] for w, _ in layers)
        block = max(1, numbers // (stack * offsets.shape[2] * widest))
        found = []
        for part in points.split(block, 1):
            centre = torch.baddbmm(bias.unsqueeze(1), part, weight.mT)  # (S, n, width)
            z = (centre.unsqueeze(2) + offsets).flatten(1, 2)  # (S, n 2P, width)
            shape = (stack, part.shape[1], offsets.shape[2])
            counts = [_changes(z.view(*shape, -1))]
            counts += [_changes(z.view(*shape, -1)) for z in _deeper(layers, z, activation)]
            found.append(torch.stack(counts, -1))
        return torch.cat(found, 1)


def _changes(z: Tensor) -> Tensor:
    """Neurons on at one vertex and off at another, of z (S, n, vertices, width): (S, n)."""
    return ((z.amax(2) > 0) & (z.amin(2) <= 0)).sum(-1)


def _deeper(layers: Sequence[Layer], z: Tensor, activation: Callable[[Tensor], Tensor]) -> Iterator[Tensor]:
    """z_2, ..., z_L from z_1, one at a time so that memory holds no more than two."""
    for weight, bias in layers[1:]:
        z = torch.baddbmm(bias.unsqueeze(1), activation(z), weight.mT)
        yield z


def _check(layers: Sequence[Layer], paired: bool = True) -> None:
    shapes = [(tuple(w.shape), tuple(b.shape)) for w, b in layers]
    fit = paired and bool(layers) and all(w.ndim == 3 and b.shape == w.shape[:2] for w, b in layers)
    if not fit or any(
        a.shape[1] != b.shape[2] or len(a) != len(b) for (a, _), (b, _) in zip(layers, layers[1:], strict=False)
    ):
        raise ValueError(f"layers must be weights (S, out, in) and biases (S, out) that fit one another, got {shapes}")
