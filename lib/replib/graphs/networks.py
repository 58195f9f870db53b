"""Graph networks on padded batches of small graphs.

A batch of B graphs with at most N nodes is dense: features (B, N, F), adjacency (B, N, N), node mask (B, N). Messages
are computed on the edges only. :class:`replib.training.ensemble.Ensemble` trains many such networks at once, each on
graphs of its own. The layer computes what a torch-geometric ``MessagePassing`` of the same weights computes
(tests/unit/test_models.py); benchmarks/graphs.py compares the speed.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from replib.models.mlp import mlp

Pooling = Literal["sum", "mean", "max", "min"]


# stands for infinity behind a mask: differences of it stay numbers
_FAR = 1e30


class _Maximum(torch.autograd.Function):
    """amax over the last but one axis. Its gradient is shared by ties, as that of ``torch.amax``, but is
    computed without boolean tensors, which cost ten times a floating-point operation on a processor."""

    generate_vmap_rule = True

    @staticmethod
    def forward(values: Tensor) -> Tensor:
        return values.amax(-2)

    @staticmethod
    def setup_context(ctx: object, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs, output)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        values, maximum = ctx.saved_tensors
        attained = (values - maximum.unsqueeze(-2)).sign_().add_(1.0)  # 1 at the maximum, 0 below it
        share = gradient / attained.sum(-2)
        return attained.mul_(share.unsqueeze(-2))


def pool(values: Tensor, mask: Tensor, how: Pooling) -> Tensor:
    """Pool over the last but one axis where ``mask`` holds; nothing pools to 0.

    Shapes:
        values (..., n, F), mask (..., n) bool -> (..., F).
    """
    inside = mask.unsqueeze(-1).to(values.dtype)
    if how in ("sum", "mean"):
        total = (values * inside).sum(-2)
        return total if how == "sum" else total / inside.sum(-2).clamp(min=1)
    if how not in ("max", "min"):
        raise ValueError(f"pooling must be sum, mean, max or min, got {how!r}")
    sign = 1.0 if how == "max" else -1.0
    extreme = sign * _Maximum.apply(sign * values + (inside - 1.0) * _FAR)
    return extreme * mask.any(-1, keepdim=True)


class Edges:
    """The edges of batches of graphs, ordered by receiver: values on edges are rows (..., E, features).

    The stacked networks of leading axes may have different graphs: E is the largest number of edges, the others' rows
    end with some that no node receives.

    Shapes:
        adjacency (..., B, N, N) bool with [b, v, u] true for u in N(v).
    """

    def __init__(self, adjacency: Tensor) -> None:
        self.shape = adjacency.shape[:-1]  # (..., B, N)
        self.lead, nodes = self.shape[:-2], self.shape[-1]
        per_network = self.shape[-2] * nodes
        self.degree = adjacency.sum(-1).reshape(-1, per_network)  # (S, B N)
        pair = adjacency.reshape(-1).nonzero().squeeze(1)  # flat (s, b, v, u)
        self.networks, count = len(self.degree), self.degree.sum(1)
        self.most = int(count.max()) if self.networks else 0
        if len(pair) < self.networks * self.most:  # fill up
            place = torch.arange(len(pair), device=pair.device)
            network = torch.arange(self.networks, device=pair.device).repeat_interleave(count)
            place += network * self.most - (count.cumsum(0) - count)[network]
            padded = pair.new_zeros(self.networks * self.most)
            padded[place] = pair
            pair = padded
        self.pair = pair
        self.receiver = pair // nodes  # flat (s, b, v)
        self.sender = self.receiver // nodes * nodes + pair % nodes  # flat (s, b, u)
        # the last segment of a network is its filling
        self.lengths = torch.cat([self.degree, (self.most - count).unsqueeze(1)], 1).flatten()
        self.degree = self.degree.view(*self.shape, 1)

    def gather(self, of_nodes: Tensor, index: Tensor) -> Tensor:
        """(..., B, N, F) -> (..., E, F)."""
        features = of_nodes.shape[-1]
        return of_nodes.reshape(-1, features).index_select(0, index).view(*self.lead, self.most, features)

    def of_pairs(self, weights: Tensor) -> Tensor:
        """(..., B, N, N) -> (..., E, 1)."""
        return weights.reshape(-1).index_select(0, self.pair).view(*self.lead, self.most, 1)

    def pool(self, messages: Tensor, how: Pooling) -> Tensor:
        """(..., E, F) -> (..., B, N, F); nodes that receive nothing get 0."""
        features = messages.shape[-1]
        rows = messages.reshape(-1, features)
        reduced = torch.segment_reduce(rows, how, lengths=self.lengths, axis=0, initial=0.0 if how == "sum" else None)
        of_nodes = reduced.view(self.networks, -1, features)[:, :-1].reshape(*self.shape, features)
        return of_nodes if how == "sum" else torch.where(self.degree > 0, of_nodes, 0.0)


class MessagePassing(nn.Module):
    """h'_v = pool over u in N(v) of MLP([h_u, h_v, w_uv]), MLP = Linear, ReLU, Linear, ReLU.

    The first linear layer acts on [h_u, h_v, w_uv] as three blocks: two per node and one per edge,
    instead of one on every edge's concatenation.

    Args:
        features: F, node features.
        width: hidden width and output features.
        edge_weights: whether edges carry a number w_uv.
        identical: all nodes have the same features, so every message is the same vector and is
            computed once: sum pooling multiplies it by the degree. Without edge weights only.

    Shapes:
        h (B, N, F), edges of (B, N, N), weights (B, N, N) -> (B, N, width).
    """

    leading_axes = True

    def __init__(
        self,
        features: int,
        width: int,
        pooling: Pooling,
        *,
        edge_weights: bool = False,
        identical: bool = False,
    ) -> None:
        super().__init__()
        if identical and edge_weights:
            raise ValueError("messages with edge weights differ: identical does not apply")
        self.pooling, self.identical = pooling, identical
        # one layer on the concatenation, initialised as such, then cut into its blocks
        first = nn.Linear(2 * features + edge_weights, width)
        self.of_sender = nn.Linear(features, width, bias=False)
        self.of_receiver = nn.Linear(features, width)
        self.of_edge = nn.Linear(1, width, bias=False) if edge_weights else None
        with torch.no_grad():
            sender, receiver, *edge = first.weight.split([features, features] + [1] * edge_weights, dim=1)
            self.of_sender.weight.copy_(sender)
            self.of_receiver.weight.copy_(receiver)
            self.of_receiver.bias.copy_(first.bias)
            if edge_weights:
                self.of_edge.weight.copy_(edge[0])
        self.second = nn.Linear(width, width)

    def forward(self, h: Tensor, edges: Edges, weights: Tensor | None = None) -> Tensor:
        if self.identical:
            one = h[..., :1, :]  # (B, 1, F)
            message = self.second((self.of_sender(one) + self.of_receiver(one)).relu()).relu()  # (B, 1, width)
            return message * (edges.degree if self.pooling == "sum" else edges.degree > 0)
        sender, receiver = self.of_sender(h), self.of_receiver(h)
        hidden = edges.gather(receiver, edges.receiver) + edges.gather(sender, edges.sender)  # (E, width)
        if weights is not None:
            hidden = hidden + self.of_edge(edges.of_pairs(weights))
        messages = self.second(hidden.relu())  # (E, width)
        if self.pooling in ("max", "min"):
            # a ReLU keeps the order: take it after pooling, on one vector per node instead of one per edge
            return edges.pool(messages, self.pooling).relu()
        return edges.pool(messages.relu(), self.pooling)


class GNN(nn.Module):
    """Rounds of message passing, optionally a node MLP, graph pooling and a linear readout.

    Shapes:
        h (B, N, F), mask (B, N) bool, adjacency (B, N, N) bool, weights (B, N, N) -> (B,).
    """

    leading_axes = True

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
                width if k else features,
                width,
                neighbours,
                edge_weights=edge_weights,
                identical=identical and not k,
            )
            for k in range(rounds)
        )
        self.node = mlp(width, width, width, final=nn.ReLU) if node_mlp else nn.Identity()
        self.readout = nn.Linear(width, 1)

    def forward(self, h: Tensor, mask: Tensor, adjacency: Tensor, weights: Tensor | None = None) -> Tensor:
        edges = Edges(adjacency)
        for layer in self.rounds:
            h = layer(h, edges, weights)
        # a node MLP gives padding a value of its own, so the mask comes after it
        return self.readout(pool(self.node(h), mask, self.graph)).squeeze(-1)
