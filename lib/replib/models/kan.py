r"""Kolmogorov-Arnold networks: layers whose learnable parts are B-splines.

A Kolmogorov-Arnold layer puts a univariate function of its own on every edge (Liu et al., 2024),

    y_o = b_o + sum_i phi_oi(x_i),   phi(x) = w_b silu(x) + w_s sum_m c_m B_m(x),

where B_m are the B-splines of order k (degree k) on a uniform grid of G intervals over [low, high], extended
by k knots on each side: G + k of them. On [low, high] they sum to one; beyond the extended knots all are 0.

Every layer takes a ``leading`` shape: its parameters carry those axes in front, so a stack of networks runs
in one pass, with one batched matrix product per layer. Inside, points run along the last axis, which keeps
the operations on the basis contiguous.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable


def uniform_knots(
    grid: int, order: int, low: float = -1.0, high: float = 1.0, *, dtype: torch.dtype = torch.float64
) -> Tensor:
    """(grid + 2 order + 1,) equidistant knots: ``grid`` intervals over [low, high], ``order`` more beyond each end.

    Raises:
        ValueError: no interval, a negative order, or an empty range.
    """
    if grid < 1 or order < 0 or not low < high:
        raise ValueError(f"bad grid: {grid} intervals of order {order} over [{low}, {high}]")
    return low + (high - low) / grid * torch.arange(-order, grid + order + 1, dtype=dtype)


def bspline_basis(x: Tensor, knots: Tensor, order: int) -> Tensor:
    r"""All B-splines of one order on given knots, by the recursion of Cox and de Boor.

    B_m^0(x) = 1 on [t_m, t_(m+1)), else 0
    B_m^k(x) = (x - t_m) / (t_(m+k) - t_m) B_m^(k-1)(x) + (t_(m+k+1) - x) / (t_(m+k+1) - t_(m+1)) B_(m+1)^(k-1)(x)

    Shapes:
        x (...), knots (T,) strictly rising -> (..., T - order - 1).

    Raises:
        ValueError: knots that do not rise, or fewer than order + 2 of them.

    Source: de Boor, A Practical Guide to Splines (1978).
    """
    if order < 0 or knots.ndim != 1 or len(knots) < order + 2:
        raise ValueError(f"splines of order {order} need at least {order + 2} knots, got shape {tuple(knots.shape)}")
    if not (knots[1:] > knots[:-1]).all():
        raise ValueError("knots must rise strictly")
    x, t = x.unsqueeze(-1), knots.to(x)
    basis = ((x >= t[:-1]) & (x < t[1:])).to(x.dtype)
    for k in range(1, order + 1):
        rising = (x - t[: -k - 1]) / (t[k:-1] - t[: -k - 1])
        falling = (t[k + 1 :] - x) / (t[k + 1 :] - t[1:-k])
        basis = rising * basis[..., :-1] + falling * basis[..., 1:]
    return basis


class _CubicFeatures(torch.autograd.Function):
    """[silu(x),] B_0(x), ..., B_(G+2)(x) along a new axis before the last, in cardinal form.

    B_m(x) = ((2 - |u|)_+^3 - 4 (1 - |u|)_+^3) / 6,   u = (x - low) / delta - (m - 1),   delta = (high - low) / G,
    B_m'(x) = -sign(u) ((2 - |u|)_+^2 - 4 (1 - |u|)_+^2) / (2 delta).
    """

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, grid: int, low: float, high: float, silu: bool) -> Tensor:
        # u and all that follows in units in which the factor 1/6 of the cube is 1
        unit, first = 6 ** (-1 / 3), int(silu)
        scale = unit * grid / (high - low)
        centres = unit * torch.arange(-1, grid + 2, dtype=x.dtype, device=x.device).unsqueeze(-1)
        u = ((x - low) * scale).unsqueeze(-2) - centres  # (..., G + 3, points)
        value = x.new_empty(*x.shape[:-1], grid + 3 + first, x.shape[-1])
        outer = torch.rsub(u.abs(), 2 * unit).clamp_(min=0)
        inner = (outer - unit).clamp_(min=0)
        outer_squared, inner_squared = outer * outer, inner * inner
        splines = value[..., first:, :]
        torch.mul(outer, outer_squared, out=splines)
        splines.addcmul_(inner, inner_squared, value=-4)
        if silu:
            value[..., 0, :] = nn.functional.silu(x)
        if ctx.needs_input_grad[0]:
            slope = torch.empty_like(value)
            outer_squared.sub_(inner_squared, alpha=4)
            torch.mul(outer_squared, u.sign_().mul_(-3 * scale), out=slope[..., first:, :])
            if silu:
                s = torch.sigmoid(x)
                slope[..., 0, :] = s * (1 + x * (1 - s))
            ctx.save_for_backward(slope)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (slope,) = ctx.saved_tensors
        return (gradient * slope).sum(-2), None, None, None, None


def spline_features(
    x: Tensor, grid: int, order: int = 3, low: float = -1.0, high: float = 1.0, *, silu: bool = False
) -> Tensor:
    """The B-splines on the uniform extended grid, silu before them if wanted, along a new axis before the last.

    Cubic ones are computed in closed form with their derivative beside them; other orders by
    :func:`bspline_basis`. The cubic form can be differentiated once.

    Shapes:
        (..., points) -> (..., grid + order (+ 1 with silu), points).

    Raises:
        ValueError: a bad grid, see :func:`uniform_knots`.
    """
    knots = uniform_knots(grid, order, low, high)
    if order == 3:
        return _CubicFeatures.apply(x, grid, low, high, silu)
    basis = bspline_basis(x, knots, order).movedim(-1, -2)
    return torch.cat([nn.functional.silu(x).unsqueeze(-2), basis], -2) if silu else basis


def _normal(*shape: int, std: float) -> nn.Parameter:
    return nn.Parameter(torch.randn(shape) * std)


class _Layer(nn.Module):
    """What the layers share: shapes, and points along the last axis inside."""

    def __init__(self, inputs: int, outputs: int, leading: Sequence[int]) -> None:
        super().__init__()
        if min(inputs, outputs, *leading) < 1:
            raise ValueError(f"sizes must be positive, got {inputs}, {outputs} and leading {tuple(leading)}")
        self.inputs, self.outputs, self.leading = inputs, outputs, tuple(leading)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim < len(self.leading) + 2 or x.shape[: len(self.leading)] != self.leading or x.shape[-1] != self.inputs:
            raise ValueError(f"expected ({', '.join(map(str, self.leading))}..., points, {self.inputs}), got {x.shape}")
        between = x.shape[len(self.leading) : -1]
        rows = x.reshape(*self.leading, -1, self.inputs)
        y = self.transposed(rows.mT.contiguous()).mT  # (*leading, points, outputs)
        return y if len(between) == 1 else y.reshape(*self.leading, *between, self.outputs)

    def transposed(self, x: Tensor) -> Tensor:
        """(*leading, inputs, points) -> (*leading, outputs, points)."""
        raise NotImplementedError


class Affine(_Layer):
    """``nn.Linear`` with leading axes: W x + b, with torch's default initialisation.

    Shapes:
        (*leading, ..., points, inputs) -> (*leading, ..., points, outputs).
    """

    def __init__(self, inputs: int, outputs: int, *, leading: Sequence[int] = ()) -> None:
        super().__init__(inputs, outputs, leading)
        reach = inputs**-0.5
        self.weight = nn.Parameter(torch.empty(*leading, outputs, inputs).uniform_(-reach, reach))
        self.bias = nn.Parameter(torch.empty(*leading, outputs, 1).uniform_(-reach, reach))

    def transposed(self, x: Tensor) -> Tensor:
        return self.weight @ x + self.bias


class KANLayer(_Layer):
    r"""y_o = b_o + sum_i [w_b silu(x_i) + w_s sum_m c_m B_m(x_i)], with w_b, w_s, c for every edge (i, o).

    One matrix product: features [silu, B_0, ..., B_(G+k-1)](x_i) against the weights [w_b, w_s c_0, ...].

    Starts with w_s = 1, w_b uniform with Xavier's reach sqrt(6 / (inputs + outputs)), c from N(0, (0.1 / G)^2), b = 0.

    Args:
        grid, order: G, k.
        low, high: range of the grid; beyond its extension by k intervals only silu acts.
        leading: axes of a stack of layers.

    Shapes:
        (*leading, ..., points, inputs) -> (*leading, ..., points, outputs).

    Raises:
        ValueError: sizes that are not positive, a bad grid, or inputs of another shape.

    Source: Liu et al., KAN: Kolmogorov-Arnold networks (2024), section 2.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        grid: int = 5,
        order: int = 3,
        low: float = -1.0,
        high: float = 1.0,
        leading: Sequence[int] = (),
    ) -> None:
        super().__init__(inputs, outputs, leading)
        uniform_knots(grid, order, low, high)  # checks
        self.grid, self.order, self.low, self.high = grid, order, low, high
        reach = math.sqrt(6 / (inputs + outputs))
        edges = (*leading, outputs, inputs)
        self.base = nn.Parameter(torch.empty(edges).uniform_(-reach, reach))  # w_b
        self.scale = nn.Parameter(torch.ones(edges))  # w_s
        self.coefficients = _normal(*edges, grid + order, std=0.1 / grid)  # c
        self.bias = nn.Parameter(torch.zeros(*leading, outputs, 1))

    def transposed(self, x: Tensor) -> Tensor:
        features = spline_features(x, self.grid, self.order, self.low, self.high, silu=True)
        # (*leading, outputs, inputs, 1 + G + k)
        weight = torch.cat([self.base.unsqueeze(-1), self.scale.unsqueeze(-1) * self.coefficients], -1)
        return weight.flatten(-2) @ features.flatten(-3, -2) + self.bias


class SplineLayer(_Layer):
    """A hidden layer whose units have learnable B-splines as activations: a_h = sum_m c_hm B_m((W x + b)_h).

    Starts with W, b as ``nn.Linear`` does, c from N(0, 0.1^2).

    Args:
        grid, order, low, high, leading: as in :class:`KANLayer`.

    Shapes:
        (*leading, ..., points, inputs) -> (*leading, ..., points, outputs).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        grid: int = 5,
        order: int = 3,
        low: float = -1.0,
        high: float = 1.0,
        leading: Sequence[int] = (),
    ) -> None:
        super().__init__(inputs, outputs, leading)
        uniform_knots(grid, order, low, high)  # checks
        self.grid, self.order, self.low, self.high = grid, order, low, high
        self.affine = Affine(inputs, outputs, leading=leading)
        self.coefficients = _normal(*leading, outputs, grid + order, std=0.1)

    def transposed(self, x: Tensor) -> Tensor:
        basis = spline_features(self.affine.transposed(x), self.grid, self.order, self.low, self.high)
        return (self.coefficients.unsqueeze(-2) @ basis).squeeze(-2)  # (..., 1, G + k) @ (..., G + k, points)


def stack(networks: Sequence[nn.Module], stacked: nn.Module) -> nn.Module:
    """Copy the parameters of single networks into ``stacked``, built with ``leading=(len(networks),)``.

    Raises:
        ValueError: shapes that do not fit.
    """
    singles = [list(n.parameters()) for n in networks]
    with torch.no_grad():
        for k, parameter in enumerate(stacked.parameters()):
            joined = torch.stack([s[k] for s in singles])
            if joined.shape != parameter.shape:
                raise ValueError(f"cannot put {tuple(joined.shape)} into {tuple(parameter.shape)}: check `leading`")
            parameter.copy_(joined)
    return stacked


def kan_parameters(widths: Sequence[int], grid: int, order: int, *, shortcut: bool = True) -> int:
    """Published count: d_in d_out (G + k + 2) + d_out per layer, d_in d_out more with the shortcut.

    With the shortcut the silu weights are counted twice, since "+ 2" holds w_b and w_s already: ``shortcut=False``
    gives the number of parameters that :class:`KANLayer` trains.

    Source: Yu et al., KAN or MLP: a fairer comparison (2024), code.
    """
    return sum(i * o * (grid + order + 2 + shortcut) + o for i, o in _pairs(widths))


def kan_flops(widths: Sequence[int], grid: int, order: int) -> float:
    """d_in d_out [9k (G + 1.5k) + 2G - 2.5k + 1] per layer, and for the shortcut silu on d_in and 2 d_in d_out.

    A silu counts as one operation per input. Source: as :func:`kan_parameters`.
    """
    edge = 9 * order * (grid + 1.5 * order) + 2 * grid - 2.5 * order + 1
    return sum(i * o * edge + i + 2 * i * o for i, o in _pairs(widths))


def mlp_parameters(widths: Sequence[int]) -> int:
    """d_out (d_in + 1) per layer."""
    return sum(o * (i + 1) for i, o in _pairs(widths))


def mlp_flops(widths: Sequence[int]) -> int:
    """2 d_in d_out per layer, and one operation for each hidden unit's activation."""
    return sum(2 * i * o for i, o in _pairs(widths)) + sum(widths[1:-1])


def spline_mlp_parameters(widths: Sequence[int], grid: int, order: int, *, output_splines: bool = False) -> int:
    """d_out (d_in + 1) + d_out (G + k) per layer; the published counter adds the splines for the output layer too."""
    units = sum(widths[1:] if output_splines else widths[1:-1])
    return mlp_parameters(widths) + units * (grid + order)


def _pairs(widths: Sequence[int]) -> list[tuple[int, int]]:
    if len(widths) < 2 or min(widths) < 1:
        raise ValueError(f"a network needs at least two positive widths, got {tuple(widths)}")
    return list(zip(widths, widths[1:], strict=False))
