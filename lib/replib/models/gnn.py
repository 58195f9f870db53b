"""Graph networks on padded batches of small graphs.

A batch of B graphs with at most N nodes is dense: features (B, N, F), adjacency (B, N, N), node
mask (B, N). At the sizes of the book this is faster than scattering over edge lists, and it stacks:
:class:`replib.ensemble.Ensemble` trains many such networks at once. The layer computes what a
torch-geometric ``MessagePassing`` of the same weights computes (tests/test_gnn.py).
"""

from typing import Literal

import torch
from torch import Tensor, nn

from replib.models.mlp import mlp

Pooling = Literal["sum", "mean", "max", "min"]


def pool(values: Tensor, mask: Tensor, how: Pooling) -> Tensor:
    """Pool over the last but one axis where ``mask`` holds; nothing pools to 0.

    Shapes:
        values (..., n, F), mask (..., n) bool -> (..., F).
    """
    inside = mask.unsqueeze(-1)
    if how in ("sum", "mean"):
        total = (values * inside).sum(-2)
        return total if how == "sum" else total / mask.sum(-1, keepdim=True).clamp(min=1)
    if how == "max":
        extreme = values.masked_fill(~inside, -torch.inf).amax(-2)
    elif how == "min":
        extreme = values.masked_fill(~inside, torch.inf).amin(-2)
    else:
        raise ValueError(f"pooling must be sum, mean, max or min, got {how!r}")
    return torch.where(mask.any(-1, keepdim=True), extreme, 0.0)


class MessagePassing(nn.Module):
    """h'_v = pool over u in N(v) of MLP([h_u, h_v, w_uv]), MLP = Linear, ReLU, Linear, ReLU.

    The first linear layer acts on [h_u, h_v, w_uv] as three blocks: two per node and one per pair,
    instead of one on every pair's concatenation.

    Args:
        features: F, node features.
        width: hidden width and output features.
        edge_weights: whether edges carry a number w_uv.
        identical: all nodes have the same features, so every message is the same vector and is
            computed once: sum pooling multiplies it by the degree. Without edge weights only.

    Shapes:
        h (B, N, F), adjacency (B, N, N) bool with [b, v, u] true for u in N(v), weights (B, N, N)
        -> (B, N, width).
    """

    def __init__(
        self, features: int, width: int, pooling: Pooling, *, edge_weights: bool = False, identical: bool = False
    ) -> None:
        super().__init__()
        if identical and edge_weights:
            raise ValueError("messages with edge weights differ: identical does not apply")
        self.features, self.pooling, self.identical = features, pooling, identical
        self.first = nn.Linear(2 * features + edge_weights, width)
        self.second = nn.Linear(width, width)

    def forward(self, h: Tensor, adjacency: Tensor, weights: Tensor | None = None) -> Tensor:
        if self.identical:
            pair = torch.cat([h[:, :1], h[:, :1]], -1)  # (B, 1, 2 F)
            message = self.second(self.first(pair).relu()).relu()  # (B, 1, width)
            degree = adjacency.sum(-1).unsqueeze(-1)  # (B, N, 1)
            return message * (degree if self.pooling == "sum" else degree > 0)
        blocks = [self.features, self.features] + [1] * (weights is not None)
        of_sender, of_receiver, *of_edge = self.first.weight.split(blocks, dim=1)
        sender = h @ of_sender.T  # (B, N, width)
        receiver = h @ of_receiver.T + self.first.bias  # (B, N, width)
        hidden = receiver.unsqueeze(2) + sender.unsqueeze(1)  # (B, v, u, width)
        if weights is not None:
            hidden = hidden + weights.unsqueeze(-1) * of_edge[0].T
        hidden = hidden.relu()  # (B, v, u, width)
        if self.pooling in ("max", "min"):
            # adding a bias and taking a ReLU keep the order, rounding included: do both after pooling
            extreme = pool(hidden @ self.second.weight.T, adjacency, self.pooling)
            return (extreme + self.second.bias).relu() * adjacency.any(-1, keepdim=True)
        return pool(self.second(hidden).relu(), adjacency, self.pooling)


class GNN(nn.Module):
    """Rounds of message passing, optionally a node MLP, graph pooling and a linear readout.

    Shapes:
        h (B, N, F), mask (B, N) bool, adjacency (B, N, N) bool, weights (B, N, N) -> (B,).
    """

    def __init__(
        self,
        features: int,
        width: int,
        rounds: int,
        neighbours: Pooling,
        graph: Pooling,
        *,
        edge_weights: bool = False,
        node_mlp: bool = False,
        identical: bool = False,
    ) -> None:
        super().__init__()
        self.graph = graph
        self.rounds = nn.ModuleList(
            MessagePassing(
                width if k else features, width, neighbours, edge_weights=edge_weights, identical=identical and not k
            )
            for k in range(rounds)
        )
        self.node = mlp(width, width, width, final=nn.ReLU) if node_mlp else nn.Identity()
        self.readout = nn.Linear(width, 1)

    def forward(self, h: Tensor, mask: Tensor, adjacency: Tensor, weights: Tensor | None = None) -> Tensor:
        for layer in self.rounds:
            h = layer(h, adjacency, weights)
        # a node MLP gives padding a value of its own, so the mask comes after it
        return self.readout(pool(self.node(h), mask, self.graph)).squeeze(-1)
