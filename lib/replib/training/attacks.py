"""Adversarial attacks: inputs moved within a small box so that a network does worse."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

Objective = Callable[[Tensor], tuple[Tensor, Tensor]]


def pgd(
    objective: Objective,
    x: Tensor,
    radius: float | Tensor,
    start: Tensor,
    *,
    steps: int,
    step: float,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> tuple[Tensor, Tensor]:
    r"""Projected gradient ascent within the box \|x' - x\| <= radius, the strongest point met.

    x_{k+1} = clip(x_k + step * radius * sign(grad), box and bounds); of x_0, ..., x_steps the point of the largest
    objective is kept for each input (Madry et al. 2018, section 2.1, with the sup norm).

    Args:
        objective: points (..., n, d) -> values (..., n) to be made large, and their gradients (..., n, d). An input's
            value must depend on that input alone.
        x: (..., n, d) inputs.
        radius: half the side of the box; a tensor (d,) gives one per coordinate, 0 where an attacker has no access.
        start: offsets from x as shares of the radius, in [-1, 1]; its leading axes may add restarts.
        step: length of a step as a share of the radius.
        bounds: smallest and largest value an input may take.

    Returns:
        The points, in the shape of x + start, and their values.

    Raises:
        ValueError: a negative radius, step or number of steps, or an input outside the bounds.
    """
    radius = torch.as_tensor(radius, dtype=x.dtype, device=x.device)
    if (radius < 0).any() or step < 0 or steps < 0:
        raise ValueError(f"radius, step and steps must not be negative, got {radius.tolist()}, {step}, {steps}")
    low, high = bounds
    if (x < low).any() or (x > high).any():
        raise ValueError(f"inputs lie outside the bounds {bounds}")
    least, most = torch.clamp(low - x, min=-radius), torch.clamp(high - x, max=radius)
    moved = torch.clamp(start * radius, least, most)
    best, strongest = None, None
    for k in range(steps + 1):
        point = x + moved
        value, gradient = objective(point)
        if best is None:
            best, strongest = value, point
        else:
            better = value > best
            best, strongest = torch.where(better, value, best), torch.where(better[..., None], point, strongest)
        if k < steps:
            moved = torch.clamp(moved + step * radius * gradient.sign(), least, most)
    return strongest, best


def by_autograd(values: Callable[[Tensor], Tensor]) -> Objective:
    """The objective for :func:`pgd` from a function points (..., n, d) -> (..., n) that torch can differentiate."""

    def objective(point: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            point = point.detach().requires_grad_()
            value = values(point)
            (gradient,) = torch.autograd.grad(value.sum(), point)
        return value.detach(), gradient

    return objective
