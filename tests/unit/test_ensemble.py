"""A stack trains as its networks would one by one."""

from functools import partial

import pytest
import torch
from replib.graphs.networks import GNN
from replib.models.mlp import mlp
from replib.randomness import torch_generator
from replib.training.ensemble import Ensemble, Minibatches, StackedLinear, build_seeded, mean_squared_error, train
from torch import nn
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import StepLR

SEEDS = [3, 4, 5]
POINTS, BATCH, STEPS = 50, 16, 40


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


class Custom(nn.Module):
    """A parameter outside linear layers: goes through vmap."""

    def __init__(self):
        super().__init__()
        self.inner = mlp(4, 9)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.scale * self.inner(x).tanh()


def data(seeds=SEEDS):
    g = torch_generator(0, "data")
    x = torch.randn(len(seeds), POINTS, 4, generator=g)
    return x, (x**2).sum(-1)


def batches(seed):
    return Minibatches([torch_generator(seed, "batches")], POINTS, BATCH)


def loop(build, optimizer, schedule, seeds=SEEDS):
    """The obvious way: one plain module after the other."""
    x, y = data(seeds)
    networks = []
    for i, seed in enumerate(seeds):
        network = build_seeded(build, seed)
        update = optimizer(network.parameters())
        scheduler = schedule(update)
        for _, index in zip(range(STEPS), batches(seed), strict=False):
            loss = (network(x[i, index[0]]).squeeze(-1) - y[i, index[0]]).square().mean()
            update.zero_grad()
            loss.backward()
            update.step()
            scheduler.step()
        networks.append(network)
    return networks


def together(build, optimizer, schedule, seeds=SEEDS, **options):
    x, y = data(seeds)
    nets = Ensemble(build, seeds)
    order = Minibatches([torch_generator(s, "batches") for s in seeds], POINTS, BATCH)
    history = train(nets, mean_squared_error(x, y), order, STEPS, optimizer, schedule=schedule, **options)
    return nets, history


@pytest.mark.parametrize("build", [lambda: mlp(4, 16), lambda: mlp(4, 16, depth=3, activation=nn.Tanh), Custom])
@pytest.mark.parametrize(
    "optimizer",
    [
        partial(Adam, lr=1e-2, weight_decay=1e-3, fused=True),
        partial(AdamW, lr=1e-2, fused=True),
        partial(SGD, lr=1e-3, momentum=0.9, fused=True),
    ],
)
def test_a_stack_equals_a_loop_over_seeds(build, optimizer):
    schedule = partial(StepLR, step_size=15, gamma=0.5)
    nets, _ = together(build, optimizer, schedule)
    for i, single in enumerate(loop(build, optimizer, schedule)):
        for a, b in zip(nets.network(i).parameters(), single.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


def test_a_stack_of_one_equals_a_plain_loop_bit_for_bit():
    optimizer, schedule = partial(Adam, lr=1e-2, fused=True), partial(StepLR, step_size=15, gamma=0.5)
    nets, _ = together(lambda: mlp(4, 16), optimizer, schedule, [7])
    single = loop(lambda: mlp(4, 16), optimizer, schedule, [7])[0]
    assert all(torch.equal(a, b) for a, b in zip(nets.network(0).parameters(), single.parameters(), strict=True))


def test_a_network_does_not_depend_on_its_neighbours():
    optimizer, schedule = partial(Adam, lr=1e-2, fused=True), partial(StepLR, step_size=15, gamma=0.5)
    x, _ = data()
    alone, _ = together(lambda: mlp(4, 16), optimizer, schedule)
    # the first network again, with other neighbours: same data row, other seeds beside it
    other, _ = together(lambda: mlp(4, 16), optimizer, schedule, [3, 98, 99])
    assert x.shape[0] == 3
    torch.testing.assert_close(alone.stack[0][0], other.stack[0][0], rtol=0, atol=0)


def test_native_and_vmapped_forward_agree_for_a_graph_network():
    def build():
        return GNN(3, 8, 2, "min", "max", edge_weights=True)

    nets = Ensemble(build, SEEDS)
    h, mask = torch.randn(3, 5, 6, 3), torch.ones(3, 5, 6, dtype=torch.bool)
    adjacency, weights = torch.rand(3, 5, 6, 6) < 0.5, torch.rand(3, 5, 6, 6)
    expected = [nets.network(i)(h[i], mask[i], adjacency[i], weights[i]) for i in range(3)]
    torch.testing.assert_close(nets(h, mask, adjacency, weights), torch.stack(expected))


def test_shared_inputs_reach_every_network():
    for build in (lambda: mlp(4, 8), Custom):
        nets, x = Ensemble(build, SEEDS), torch.randn(6, 4)
        expected = torch.stack([nets.network(i)(x) for i in range(3)])
        torch.testing.assert_close(nets(x, shared=True), expected)


def test_stacked_linear_equals_its_layers():
    stack = StackedLinear(nn.Linear(5, 7), 3)
    nn.init.normal_(stack.weight)
    nn.init.normal_(stack.bias)
    x = torch.randn(3, 2, 4, 5)
    expected = torch.stack([nn.functional.linear(x[i], stack.weight[i], stack.bias[i]) for i in range(3)])
    torch.testing.assert_close(stack(x), expected)


def test_best_on_validation_is_kept_per_network():
    x, y = data()
    seen = []

    def validation(nets):
        loss = (nets(x).squeeze(-1) - y).square().mean(1)
        seen.append((loss.clone(), [p.detach().clone() for p in nets.stack]))
        return loss

    nets, history = together(
        lambda: mlp(4, 16),
        partial(SGD, lr=0.05, momentum=0.95),
        partial(StepLR, step_size=99),
        validation=validation,
        every=5,
    )
    losses = torch.stack([s[0] for s in seen])
    assert torch.equal(history.best, losses.min(0).values)
    assert torch.equal(torch.stack(history.validation), losses)
    for i in range(3):
        check = int(losses[:, i].argmin())
        assert history.best_step[i] == history.steps[check]
        assert all(torch.equal(p[i], kept[i]) for p, kept in zip(nets.stack, seen[check][1], strict=True))


def test_patience_stops_each_network_by_itself():
    better = [8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
    script = iter(torch.tensor([better, [3.0, 4.0, 5.0, *[0.1] * 5], [3.0, 2.0, 3.0, 4.0, *[0.1] * 4]]).T)
    _, history = together(
        lambda: mlp(4, 16),
        partial(SGD, lr=1e-3),
        partial(StepLR, step_size=99),
        validation=lambda _: next(script),
        every=5,
        patience=2,
    )
    # what a stopped network would have reached later does not count
    assert history.stopped.tolist() == [40, 15, 20]
    assert history.best.tolist() == [1.0, 3.0, 2.0]
    assert history.best_step.tolist() == [40, 5, 10]


def test_training_ends_when_all_have_stopped():
    _, history = together(
        lambda: mlp(4, 16),
        partial(SGD, lr=1e-3),
        partial(StepLR, step_size=99),
        validation=lambda _: torch.ones(3),
        every=5,
        patience=2,
    )
    assert history.steps == [5, 10, 15]


def test_training_leaves_the_global_generator_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    together(lambda: mlp(4, 16), partial(SGD, lr=1e-3), partial(StepLR, step_size=99))
    assert torch.equal(torch.rand(3), expected)


def test_minibatches_cover_each_epoch_once_and_drop_the_rest():
    taken = [b for _, b in zip(range(6), batches(1), strict=False)]
    for epoch in (taken[:3], taken[3:]):
        assert len(set(torch.cat(epoch, 1)[0].tolist())) == 48
    assert torch.cat(taken[:3], 1).tolist() != torch.cat(taken[3:], 1).tolist()


def test_misuse():
    x, y = data()
    with pytest.raises(ValueError, match="at least one seed"):
        Ensemble(lambda: mlp(4, 8), [])
    with pytest.raises(ValueError, match="batch normalisation"):
        Ensemble(lambda: nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8)), SEEDS)
    with pytest.raises(TypeError, match="couples"):
        train(Ensemble(lambda: mlp(4, 8), SEEDS), mean_squared_error(x, y), batches(1), 1, torch.optim.LBFGS)
    with pytest.raises(ValueError, match="one per network"):
        train(Ensemble(lambda: mlp(4, 8), SEEDS), lambda n, i: n(x).mean(), batches(1), 1, partial(SGD, lr=1e-3))
    with pytest.raises(ValueError, match="validation function"):
        train(Ensemble(lambda: mlp(4, 8), SEEDS), mean_squared_error(x, y), batches(1), 1, SGD, patience=2)
    few = [torch.zeros(len(SEEDS), 2, dtype=torch.long)]
    with pytest.raises(ValueError, match="ran out before 3 steps"):
        train(Ensemble(lambda: mlp(4, 8), SEEDS), mean_squared_error(x, y), few, 3, partial(SGD, lr=1e-3))
    with pytest.raises(ValueError, match="batch size"):
        Minibatches([torch_generator(1)], 0, 4)
