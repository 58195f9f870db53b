"""Networks against torch-geometric and against plain loops."""

import pytest
import torch
from replib.graphs.networks import GNN, Edges, MessagePassing, pool
from replib.models.mlp import NTKMLP, mlp
from replib.models.polynomial import PolynomialNet
from replib.randomness import torch_generator
from torch import nn
from torch_geometric.nn import MessagePassing as PygMessagePassing
from torch_geometric.nn import global_add_pool, global_max_pool, global_mean_pool
from torch_geometric.utils import dense_to_sparse

POOLINGS = ["sum", "mean", "max", "min"]


class Pyg(PygMessagePassing):
    """The same layer as torch-geometric would write it: an MLP on each edge's concatenation."""

    def __init__(self, layer):
        super().__init__(aggr=layer.pooling)
        self.layer = layer
        blocks = [layer.of_sender.weight, layer.of_receiver.weight]
        if layer.of_edge is not None:
            blocks.append(layer.of_edge.weight)
        self.weight = torch.cat(blocks, 1)

    def forward(self, h, edge_index, weight):
        return self.propagate(edge_index, h=h, weight=weight)

    def message(self, h_i, h_j, weight):
        parts = [h_j, h_i] + ([weight[:, None]] if self.layer.of_edge is not None else [])
        hidden = torch.relu(torch.cat(parts, 1) @ self.weight.T + self.layer.of_receiver.bias)
        return torch.relu(self.layer.second(hidden))


def graph_batch(graphs=7, nodes=6, features=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    count = torch.randint(3, nodes + 1, (graphs,), generator=g)
    mask = torch.arange(nodes) < count[:, None]
    upper = torch.triu(torch.rand(graphs, nodes, nodes, generator=g) < 0.5, 1) & mask[:, :, None] & mask[:, None, :]
    weights = torch.triu(torch.rand(graphs, nodes, nodes, generator=g), 1)
    h = torch.randn(graphs, nodes, features, generator=g)
    return h, mask, upper | upper.transpose(1, 2), weights + weights.transpose(1, 2)


@pytest.mark.parametrize("edges", [True, False])
@pytest.mark.parametrize("how", POOLINGS)
def test_message_passing_equals_torch_geometric(how, edges):
    torch.manual_seed(1)
    layer = MessagePassing(3, 8, how, edge_weights=edges)
    h, mask, adjacency, weights = graph_batch()
    dense = layer(h, Edges(adjacency), weights if edges else None)
    for b in range(len(h)):
        n = int(mask[b].sum())
        index, _ = dense_to_sparse(adjacency[b, :n, :n].float())
        sparse = Pyg(layer)(h[b, :n], index, weights[b][index[0], index[1]])
        torch.testing.assert_close(dense[b, :n], sparse)


@pytest.mark.parametrize("how", POOLINGS)
@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_edges_pool_like_masked_pairs_when_stacked_graphs_differ(how, density):
    g = torch.Generator().manual_seed(5)
    adjacency = torch.rand(3, 2, 5, 5, generator=g) < density * torch.tensor([0.2, 1.0, 0.6])[:, None, None, None]
    pairs = torch.randn(3, 2, 5, 5, generator=g, requires_grad=True)
    edges = Edges(adjacency)
    assert edges.most == int(adjacency.flatten(1).sum(1).max())
    pooled = edges.pool(edges.of_pairs(pairs), how)
    expected = pool(pairs.unsqueeze(-1), adjacency, how)
    torch.testing.assert_close(pooled, expected)
    weight = torch.randn(pooled.shape, generator=g)
    gradients = [torch.autograd.grad((x * weight).sum(), pairs)[0] for x in (pooled, expected)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(
    ("how", "peer"), [("sum", global_add_pool), ("mean", global_mean_pool), ("max", global_max_pool)]
)
def test_graph_pooling_equals_torch_geometric(how, peer):
    h, mask, *_ = graph_batch()
    batch = torch.arange(len(h)).repeat_interleave(mask.sum(1))
    torch.testing.assert_close(pool(h, mask, how), peer(h[mask], batch))


def test_min_pooling_is_max_pooling_of_negatives_and_nothing_pools_to_zero():
    h, mask, *_ = graph_batch()
    torch.testing.assert_close(pool(h, mask, "min"), -pool(-h, mask, "max"))
    for how in POOLINGS:
        assert pool(h, torch.zeros_like(mask), how).abs().max() == 0


@pytest.mark.parametrize("how", POOLINGS)
def test_gradient_of_pooling_equals_autograd_of_the_plain_formula(how):
    g = torch.Generator().manual_seed(2)
    values = torch.randint(-2, 3, (4, 5, 3), generator=g).double()  # many ties
    mask = torch.rand(4, 5, generator=g) < 0.7
    fill = {"max": -torch.inf, "min": torch.inf}.get(how, 0.0)

    def plain(v):
        v = v.masked_fill(~mask.unsqueeze(-1), fill)
        if how in ("sum", "mean"):
            return v.sum(-2) if how == "sum" else v.sum(-2) / mask.sum(-1, keepdim=True).clamp(min=1)
        extreme = v.amax(-2) if how == "max" else v.amin(-2)
        return torch.where(mask.any(-1, keepdim=True), extreme, 0.0)

    a, b = values.clone().requires_grad_(), values.clone().requires_grad_()
    weight = torch.randn(4, 3, generator=g, dtype=torch.double)
    (pool(a, mask, how) * weight).sum().backward()
    (plain(b) * weight).sum().backward()
    torch.testing.assert_close(a.grad, b.grad)


@pytest.mark.parametrize("how", ["sum", "max", "min"])
def test_identical_features_shortcut_equals_the_general_layer(how):
    _, mask, adjacency, _ = graph_batch()
    ones = torch.ones(*mask.shape, 1)
    torch.manual_seed(3)
    fast = MessagePassing(1, 8, how, identical=True)
    torch.manual_seed(3)
    general = MessagePassing(1, 8, how)
    torch.testing.assert_close(fast(ones, Edges(adjacency)), general(ones, Edges(adjacency)))


def test_the_blocks_start_as_one_linear_layer():
    torch.manual_seed(4)
    layer = MessagePassing(3, 8, "sum", edge_weights=True)
    torch.manual_seed(4)
    whole = nn.Linear(7, 8)
    blocks = [layer.of_sender.weight, layer.of_receiver.weight, layer.of_edge.weight]
    assert torch.equal(torch.cat(blocks, 1), whole.weight)
    assert torch.equal(layer.of_receiver.bias, whole.bias)


@pytest.mark.parametrize("node_mlp", [True, False])
def test_padding_changes_nothing(node_mlp):
    torch.manual_seed(5)
    net = GNN(3, 8, 2, "min", "sum", edge_weights=True, node_mlp=node_mlp)
    h, mask, adjacency, weights = graph_batch()
    result = net(h, mask, adjacency, weights)
    for b in range(len(h)):
        n = slice(int(mask[b].sum()))
        alone = net(h[b : b + 1, n], mask[b : b + 1, n], adjacency[b : b + 1, n, n], weights[b : b + 1, n, n])
        torch.testing.assert_close(result[b : b + 1], alone)


def test_relabelling_nodes_changes_nothing():
    torch.manual_seed(6)
    net = GNN(3, 8, 2, "max", "mean")
    h, mask, adjacency, _ = graph_batch()
    order = torch.randperm(6)
    moved = net(h[:, order], mask[:, order], adjacency[:, order][:, :, order])
    torch.testing.assert_close(net(h, mask, adjacency), moved)


def test_mlp_is_the_formula():
    torch.manual_seed(7)
    net = mlp(3, 5, 2, depth=3)
    x = torch.randn(4, 3)
    w = list(net.parameters())
    expected = torch.relu(torch.relu(x @ w[0].T + w[1]) @ w[2].T + w[3]) @ w[4].T + w[5]
    torch.testing.assert_close(net(x), expected)
    assert len(mlp(3, 5, depth=1)) == 1


def test_misuse():
    with pytest.raises(ValueError, match="pooling"):
        pool(torch.ones(2, 3), torch.ones(2, dtype=torch.bool), "median")
    with pytest.raises(ValueError, match="identical"):
        MessagePassing(1, 2, "sum", identical=True, edge_weights=True)
    with pytest.raises(ValueError, match="positive"):
        mlp(0, 3)


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("activation", ["relu", "identity"])
@pytest.mark.parametrize("parametrisation", ["ntk", "standard"])
def test_polynomial_network_equals_a_loop_over_units(skip, activation, parametrisation):
    net = PolynomialNet(3, 5, 4, skip=skip, activation=activation, parametrisation=parametrisation).double()
    x = torch.randn(7, 3, dtype=torch.float64, generator=torch_generator(1, "polynomial"))
    for point, value in zip(x, net(x)[:, 0], strict=True):
        total = 0.0
        for j in range(5):
            y = None
            for factor in net.factors:
                z = factor.weight[j] @ point + (0.0 if factor.bias is None else factor.bias[j])
                z = z.clamp(min=0) if activation == "relu" else z
                y = z if y is None else z * y + (y if skip else 0.0)
            total = total + net.output.weight[0, j] * y
        expected = total * (2 / 5) ** 0.5 if parametrisation == "ntk" else total + net.output.bias[0]
        assert value.item() == pytest.approx(expected.item())


def test_polynomial_network_refuses_bad_input():
    with pytest.raises(ValueError, match="positive"):
        PolynomialNet(3, 0, 2)
    with pytest.raises(ValueError, match="unknown activation"):
        PolynomialNet(3, 4, 2, activation="tanh")


def test_tangent_parametrisation_equals_its_formula():
    net = NTKMLP(3, 6, 3, bias=0.3, activation=torch.nn.Tanh).double()
    x = torch.randn(4, 3, dtype=torch.float64, generator=torch_generator(2, "tangent"))
    a = x
    for k, layer in enumerate(net.layers):
        z = a @ layer.weight.T / layer.weight.shape[1] ** 0.5 + 0.3 * layer.bias
        a = z.tanh() if k < 2 else z
    assert net(x).detach().numpy() == pytest.approx(a.detach().numpy())
    assert all(layer.bias is None for layer in NTKMLP(3, 6, 3, bias=0.0).layers)
    with pytest.raises(ValueError, match="bad size"):
        NTKMLP(3, 6, 0)
