"""Message passing on batches given as dense adjacency against torch-geometric's message passing over edge lists.

Same weights, graphs and pooling, forward and backward, one thread: one network, and ten as one stack against a loop
over ten. Ours finds its edges in each pass, as in training; the peer is given them.
"""

import copy
from collections.abc import Iterator

import harness
import torch
from harness import Case, installed
from replib.graphs.networks import Edges, MessagePassing
from replib.randomness import torch_generator
from replib.training.ensemble import Ensemble
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing as PygMessagePassing
from torch_geometric.utils import dense_to_sparse

FEATURES, WIDTH = 8, 32


class Peer(PygMessagePassing):
    """The layer as torch-geometric writes it: a network on each edge's concatenation [h_j, h_i]."""

    def __init__(self, layer: MessagePassing) -> None:
        super().__init__(aggr=layer.pooling)
        self.first = nn.Linear(2 * FEATURES, WIDTH)
        self.second = copy.deepcopy(layer.second)
        with torch.no_grad():
            self.first.weight.copy_(torch.cat([layer.of_sender.weight, layer.of_receiver.weight], 1))
            self.first.bias.copy_(layer.of_receiver.bias)

    def forward(self, h: Tensor, edge_index: Tensor) -> Tensor:
        return self.propagate(edge_index, h=h)

    def message(self, h_i: Tensor, h_j: Tensor) -> Tensor:
        return self.second(self.first(torch.cat([h_j, h_i], 1)).relu()).relu()


def graphs(count: int, nodes: int, density: float) -> tuple[Tensor, Tensor]:
    """Features (count, nodes, FEATURES) and symmetric adjacency (count, nodes, nodes)."""
    g = torch_generator(0, "graphs", count, nodes)
    upper = torch.triu(torch.rand(count, nodes, nodes, generator=g) < density, 1)
    return torch.randn(count, nodes, FEATURES, generator=g), upper | upper.mT


def cases() -> Iterator[Case]:
    torch.set_num_threads(1)
    for count, nodes, density in ((64, 15, 0.5), (64, 15, 0.1), (8, 100, 0.05)):
        for pooling in ("sum", "max"):
            for nets in (1, 10):
                h, adjacency = graphs(count, nodes, density)
                stack = Ensemble(lambda pooling=pooling: MessagePassing(FEATURES, WIDTH, pooling), range(nets))
                peers = [Peer(stack.network(k)) for k in range(nets)]
                edges = dense_to_sparse(adjacency.float())[0].flip(0)
                flat = h.flatten(0, 1)

                def ours(stack=stack, h=h, adjacency=adjacency, nets=nets) -> Tensor:
                    stack.zero_grad()
                    both = h.expand(nets, *h.shape), adjacency.expand(nets, *adjacency.shape)
                    out = stack.module(both[0], Edges(both[1]))
                    out.sum().backward()
                    return out.detach()

                def theirs(peers=peers, flat=flat, edges=edges) -> Tensor:
                    outs = []
                    for net in peers:
                        net.zero_grad()
                        out = net(flat, edges)
                        out.sum().backward()
                        outs.append(out.detach())
                    return torch.stack(outs)

                torch.testing.assert_close(ours().flatten(1, 2), theirs(), rtol=1e-4, atol=1e-4)
                for k, net in enumerate(peers):
                    mine = dict(stack.module.named_parameters())["second.weight"].grad[k]
                    torch.testing.assert_close(mine, net.second.weight.grad, rtol=1e-3, atol=1e-3)
                yield Case(
                    f"{pooling} over neighbours, {count} graphs of {nodes} nodes and "
                    f"{edges.shape[1] / count:.0f} edges, {nets} network{'s' * (nets > 1)}",
                    installed("torch-geometric"),
                    ours,
                    theirs,
                    "outputs and gradients to 1e-3",
                    why="Ours looks for its edges in each pass, the peer has them."
                    if nets == 1
                    else "Ten networks in one pass leave the cache, the peer's loop over networks stays in it.",
                    rounds=15,
                )


if __name__ == "__main__":
    harness.main("graphs", __doc__, cases)
