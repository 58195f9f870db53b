"""Two-layer networks on pairs of classes, a stack of them in one pass.

A pair (a, b) enters as two one-hot vectors, so the first layer only picks columns: z(a, b) = U_a + V_b. Over the whole
table of p² pairs that is one broadcast sum, with no gather and no product with one-hot vectors.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def pair_sums(first: Tensor, second: Tensor, pairs: Tensor | None = None) -> Tensor:
    """(S, n, N) sums U_a + V_b of rows of first and second, both (S, p, N).

    Args:
        pairs: (n, 2), the same for all networks, or (S, n, 2); without it all p² pairs in the order of
            :func:`replib.data.modular.pairs`.
    """
    if first.dim() != 3 or second.dim() != 3:
        raise ValueError(f"embeddings must be (S, p, N), got {tuple(first.shape)} and {tuple(second.shape)}")
    if pairs is None:
        return (first.unsqueeze(2) + second.unsqueeze(1)).flatten(1, 2)
    if pairs.dim() == 2:
        return first.index_select(1, pairs[:, 0]) + second.index_select(1, pairs[:, 1])
    shape = (*pairs.shape[:2], first.shape[2])
    a, b = (pairs[..., i : i + 1].expand(shape) for i in (0, 1))
    return first.gather(1, a) + second.gather(1, b)


class PairNetwork(nn.Module):
    """S networks f(a, b) = W act(U_a + V_b) without biases.

    Args:
        first: U, (S, p, N): a row per class, a column per neuron.
        second: V, (S, p, N); None ties it to U.
        output: W, (S, N, C).
        activation: elementwise.

    Shapes:
        pairs (n, 2) or (S, n, 2), or None for all p² pairs -> (S, n, C).
    """

    def __init__(
        self, first: Tensor, second: Tensor | None, output: Tensor, activation: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__()
        tied = first if second is None else second
        if first.shape != tied.shape or first.dim() != 3 or output.shape[:2] != (first.shape[0], first.shape[2]):
            raise ValueError(
                "a stack of pair networks needs U and V (S, p, N) and W (S, N, C), got "
                f"{tuple(first.shape)}, {tuple(tied.shape)} and {tuple(output.shape)}"
            )
        self.first, self.output = nn.Parameter(first.clone()), nn.Parameter(output.clone())
        self.second = None if second is None else nn.Parameter(second.clone())
        self.activation = activation

    def hidden(self, pairs: Tensor | None = None) -> Tensor:
        """(S, n, N) activations."""
        return self.activation(pair_sums(self.first, self.first if self.second is None else self.second, pairs))

    def forward(self, pairs: Tensor | None = None) -> Tensor:
        return torch.bmm(self.hidden(pairs), self.output)
