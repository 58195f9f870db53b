"""The Kolmogorov-Arnold layer, forward and backward, against pykan's.

Same weights, grid and points. Ten layers as one stack are compared with a loop over ten of the peer's. One thread.
"""

from collections.abc import Iterator

import harness
import torch
from harness import Case, installed
from kan.KANLayer import KANLayer as PykanLayer
from replib.models.kan import KANLayer
from replib.randomness import torch_generator

POINTS, GRID = 256, 5


def cases() -> Iterator[Case]:
    torch.set_num_threads(1)
    for inputs, outputs, layers in ((2, 5, 1), (2, 5, 10), (64, 64, 1)):
        x = 2 * torch.rand(layers, POINTS, inputs, generator=torch_generator(0, "points")) - 1
        stack = KANLayer(inputs, outputs, grid=GRID, leading=(layers,))
        peers = [PykanLayer(inputs, outputs, num=GRID, k=3, save_plot_data=False) for _ in range(layers)]
        with torch.no_grad():
            for k, peer in enumerate(peers):  # pykan's axes are (inputs, outputs, ...)
                peer.coef.copy_(stack.coefficients[k].transpose(0, 1))
                peer.scale_base.copy_(stack.base[k].T)
                peer.scale_sp.copy_(stack.scale[k].T)

        def ours(stack=stack, x=x) -> torch.Tensor:
            stack.zero_grad()
            y = stack(x)
            y.square().sum().backward()
            return y.detach()

        def theirs(peers=peers, x=x) -> torch.Tensor:
            found = []
            for peer, points in zip(peers, x, strict=True):
                peer.zero_grad()
                y = peer(points)[0]
                y.square().sum().backward()
                found.append(y.detach())
            return torch.stack(found)

        torch.testing.assert_close(ours(), theirs(), rtol=1e-4, atol=1e-4)
        for k, peer in enumerate(peers):
            mine = stack.coefficients.grad[k].transpose(0, 1)
            torch.testing.assert_close(mine, peer.coef.grad, rtol=1e-3, atol=1e-3)
        yield Case(
            f"{layers} spline layer{'s' * (layers > 1)} {inputs} to {outputs}, {POINTS} points, forward and backward",
            installed("pykan"),
            ours,
            theirs,
            "outputs to 1e-4, gradients to 1e-3",
            rounds=15,
        )


if __name__ == "__main__":
    harness.main("splines", __doc__, cases)
