"""Multilayer perceptrons."""

from collections.abc import Callable

from torch import Tensor, nn


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


class GaussianLinear(nn.Linear):
    """A linear layer that starts with weights, then biases, from N(0, 1)."""

    def reset_parameters(self) -> None:
        for parameter in self.parameters():
            nn.init.normal_(parameter)


class NTKMLP(nn.Module):
    r"""A fully connected network in the parametrisation of Jacot et al. (2018).

    z^(l) = W^(l) a^(l-1) / sqrt(n_(l-1)) + beta b^(l),  a^(0) = x,  a^(l) = a(z^(l)),  output z^(L), all entries of W
    and b drawn from N(0, 1).

    Args:
        depth: L, the number of linear layers.
        bias: beta; 0 leaves the biases out.

    Shapes:
        (..., inputs) -> (..., 1).
    """

    leading_axes = True

    def __init__(
        self,
        inputs: int,
        width: int,
        depth: int,
        *,
        bias: float = 0.1,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        if min(inputs, width, depth) < 1 or bias < 0:
            raise ValueError(f"bad size or bias: inputs {inputs}, width {width}, depth {depth}, bias {bias}")
        sizes = [inputs, *[width] * (depth - 1), 1]
        self.bias, self.activation = bias, activation()
        self.layers = nn.ModuleList(
            GaussianLinear(fan_in, fan_out, bias=bias > 0) for fan_in, fan_out in zip(sizes, sizes[1:], strict=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        scale = self.bias or 1.0
        for k, layer in enumerate(self.layers):
            # beta (W a / (beta sqrt n) + b): a plain linear layer, which an ensemble can stack
            x = scale * layer(x / (scale * layer.weight.shape[-1] ** 0.5))
            if k < len(self.layers) - 1:
                x = self.activation(x)
        return x
