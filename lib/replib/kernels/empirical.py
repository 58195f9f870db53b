r"""The tangent kernel Theta(x, z) = <d f(x) / d theta, d f(z) / d theta> of a network at hand."""

import torch
from torch import Tensor, nn


def jacobian_contraction(network: nn.Module, x: Tensor, z: Tensor | None = None) -> Tensor:
    """Tangent kernel of any network with one output, by automatic differentiation of one point at a time.

    Every Jacobian is stored: (n + m) times the number of parameters.

    Shapes:
        x (n, ...), z (m, ...) -> (n, m); the network maps (B, ...) to (B,) or (B, 1).
    """
    parameters = {name: p.detach() for name, p in network.named_parameters()}

    def output(parameters: dict[str, Tensor], point: Tensor) -> Tensor:
        return torch.func.functional_call(network, parameters, (point[None],)).squeeze()

    jacobian = torch.vmap(torch.func.jacrev(output), (None, 0))
    at_x = jacobian(parameters, x)
    at_z = at_x if z is None else jacobian(parameters, z)
    return sum(at_x[name].flatten(1) @ at_z[name].flatten(1).T for name in parameters)


def tangent(network: nn.Module, x: Tensor) -> Tensor:
    r"""Tangent kernel on one set of points from one forward and one backward pass, without Jacobians.

    For a network whose parameters all sit in layers o = W a + b, each used once a point,

        Theta(x, z) = sum over layers of (<a(x), a(z)> + 1[bias]) <d f / d o (x), d f / d o (z)>.

    Works on one network and on a stack (:class:`replib.training.ensemble.Ensemble`), whose layers carry a leading axis.

    Args:
        network: maps (B, ...) to (B,) or (B, 1); a stack maps (S, B, ...) to (S, B) or (S, B, 1).

    Shapes:
        x (n, d) -> (n, n); x (S, n, d) -> (S, n, n).

    Raises:
        ValueError: parameters outside linear layers, or a layer that is not used exactly once.
    """
    layers = [m for m in network.modules() if isinstance(getattr(m, "weight", None), Tensor)]
    owned = sum(len(list(m.parameters(recurse=False))) for m in layers)
    if owned != len(list(network.parameters())):
        raise ValueError("some parameters sit outside linear layers: use jacobian_contraction")
    seen: list[tuple[nn.Module, Tensor, Tensor]] = []

    def keep(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        seen.append((layer, inputs[0], output))

    handles = [layer.register_forward_hook(keep) for layer in layers]
    try:
        with torch.enable_grad():
            outputs = network(x)
    finally:
        for handle in handles:
            handle.remove()
    if len(seen) != len(layers) or len({id(layer) for layer, _, _ in seen}) != len(layers):
        raise ValueError("a layer is used more than once or not at all: use jacobian_contraction")
    # points do not see each other: the gradient of the sum is, at each point, that of its own output
    signals = torch.autograd.grad(outputs.sum(), [o for _, _, o in seen])
    kernel = None
    for (layer, a, _), signal in zip(seen, signals, strict=True):
        a = a.detach()
        gram = a @ a.mT + (0 if layer.bias is None else 1)  # (..., n, n)
        term = gram * (signal @ signal.mT)
        kernel = term if kernel is None else kernel + term
    return kernel
