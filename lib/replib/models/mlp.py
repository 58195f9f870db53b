"""Multilayer perceptrons."""

from collections.abc import Callable

from torch import nn


def mlp(
    inputs: int,
    width: int,
    outputs: int = 1,
    *,
    depth: int = 2,
    activation: Callable[[], nn.Module] = nn.ReLU,
    final: Callable[[], nn.Module] = nn.Identity,
) -> nn.Sequential:
    """W_depth a(... a(W_1 x + b_1)) + b_depth with torch's default initialisation.

    Args:
        depth: number of linear layers; 2 is one hidden layer.
        activation: between the layers.
        final: after the last one.

    Shapes:
        (B, inputs) -> (B, outputs).
    """
    if min(inputs, width, outputs) < 1 or depth < 1:
        raise ValueError(f"sizes must be positive, got {inputs}, {width}, {outputs} and depth {depth}")
    sizes = [inputs, *[width] * (depth - 1), outputs]
    layers: list[nn.Module] = []
    for i, (fan_in, fan_out) in enumerate(zip(sizes, sizes[1:], strict=False)):
        last = i == depth - 1
        layers += [nn.Linear(fan_in, fan_out), final() if last else activation()]
    if isinstance(layers[-1], nn.Identity):
        layers.pop()
    return nn.Sequential(*layers)
