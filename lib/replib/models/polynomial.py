"""Polynomial networks: layers multiplied element by element."""

from typing import Literal

import torch
from torch import Tensor, nn


class PolynomialNet(nn.Module):
    r"""A polynomial network of degree N (Wu et al., 2022).

    y_1 = a(W_1 x),  y_n = a(W_n x) * y_(n-1) [+ y_(n-1) with skip],  n = 2..N;  f(x) = scale w . y_N

    Args:
        inputs, width, degree: d, m, N; degree 1 is a two-layer network.
        skip: whether each product adds its input.
        activation: a; ``"relu"``, or ``"identity"``, which makes f a polynomial of x of degree N.
        parametrisation: ``"ntk"``: no biases, all weights N(0, 1), scale sqrt(2 / m), the form of the theory.
            ``"standard"``: biases everywhere, torch's default initialisation, scale 1, as in the official code for
            regression.

    Shapes:
        (..., d) -> (..., 1).
    """

    leading_axes = True

    def __init__(
        self,
        inputs: int,
        width: int,
        degree: int,
        *,
        skip: bool = False,
        activation: Literal["relu", "identity"] = "relu",
        parametrisation: Literal["ntk", "standard"] = "ntk",
    ) -> None:
        super().__init__()
        if min(inputs, width, degree) < 1:
            raise ValueError(f"inputs, width and degree must be positive, got {inputs}, {width}, {degree}")
        if activation not in ("relu", "identity") or parametrisation not in ("ntk", "standard"):
            raise ValueError(f"unknown activation {activation!r} or parametrisation {parametrisation!r}")
        ntk = parametrisation == "ntk"
        self.skip, self.relu, self.scale = skip, activation == "relu", (2 / width) ** 0.5 if ntk else 1.0
        self.factors = nn.ModuleList(nn.Linear(inputs, width, bias=not ntk) for _ in range(degree))
        self.output = nn.Linear(width, 1, bias=not ntk)
        if ntk:
            for layer in (*self.factors, self.output):
                nn.init.normal_(layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        y = None
        for factor in self.factors:
            z = factor(x)  # (..., m)
            z = torch.relu(z) if self.relu else z
            y = z if y is None else (z + 1) * y if self.skip else z * y
        return self.scale * self.output(y)
