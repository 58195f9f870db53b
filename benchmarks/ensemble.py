"""Training S networks as one stack against a plain loop over seeds, and against a published script's training step.

The published script is that of Xu et al. (2021), https://github.com/jinglingli/nn-extrapolate, which trains one network
a run; its own network class, step and batch preparation are called, nothing is copied. Same data, same batches, one
thread.
"""

from argparse import Namespace
from collections.abc import Callable, Iterator
from functools import partial

import harness
import main as published_script
import torch
from harness import Case, installed
from replib.models.mlp import mlp
from replib.randomness import torch_generator
from replib.training.ensemble import Ensemble, Minibatches, build_seeded, mean_squared_error, train
from torch.optim import Adam

POINTS, BATCH, DIMENSION = 2000, 64, 8


def data(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(size, POINTS, DIMENSION, generator=torch_generator(0, "benchmark"))
    return x, x.square().sum(-1)


def batches(seeds: range) -> Minibatches:
    return Minibatches([torch_generator(s, "batches") for s in seeds], POINTS, BATCH)


def stacked(seeds: range, width: int, depth: int, steps: int) -> Callable[[], list[torch.Tensor]]:
    x, y = data(len(seeds))
    nets = Ensemble(lambda: mlp(DIMENSION, width, depth=depth), seeds)
    loss = mean_squared_error(x, y)

    def run() -> list[torch.Tensor]:
        train(nets, loss, batches(seeds), steps, partial(Adam, lr=1e-3, fused=True))
        return [p.detach() for p in nets.stack]

    return run


def looped(seeds: range, width: int, depth: int, steps: int) -> Callable[[], list[torch.Tensor]]:
    x, y = data(len(seeds))
    nets = [build_seeded(lambda: mlp(DIMENSION, width, depth=depth), s) for s in seeds]

    def run() -> list[torch.Tensor]:
        for i, (net, seed) in enumerate(zip(nets, seeds, strict=True)):
            update = Adam(net.parameters(), lr=1e-3, fused=True)
            order = batches(range(seed, seed + 1))
            for _, index in zip(range(steps), order, strict=False):
                update.zero_grad(set_to_none=True)
                (net(x[i, index[0]]).squeeze(-1) - y[i, index[0]]).square().mean().backward()
                update.step()
        return [torch.stack([p.detach() for p in ps]) for ps in zip(*(n.parameters() for n in nets), strict=True)]

    return run


def published(seeds: range, width: int, depth: int, steps: int) -> Callable[[], list[torch.Tensor]]:
    """One network after the other, with the published class, step and batch preparation."""
    x, y = data(len(seeds))
    settings = Namespace(
        mlp_layer=depth,
        input_dim=DIMENSION,
        hidden_dim=width,
        output_dim=1,
        option="None",
        activation="relu",
        loss_fn="reg",
        optimizer="Adam",
        lr=1e-3,
        decay=0.0,
        batch_size=BATCH,
        device="cpu",
    )
    nets = []
    for seed in seeds:
        net = published_script.FeedForward(settings)
        start = build_seeded(lambda: mlp(DIMENSION, width, depth=depth), seed)
        with torch.no_grad():
            for p, q in zip(net.parameters(), start.parameters(), strict=True):
                p.copy_(q)
        nets.append(net)
    points = [(list(x[i].numpy()), [[v] for v in y[i].tolist()]) for i in range(len(seeds))]

    def run() -> list[torch.Tensor]:
        for net, seed, (inputs, labels) in zip(nets, seeds, points, strict=True):
            order = batches(range(seed, seed + 1))
            for _, index in zip(range(steps), order, strict=False):
                chosen = index[0].tolist()  # the script shuffles lists of points and cuts batches from them
                batch = [inputs[k] for k in chosen], [labels[k] for k in chosen]
                net.train_(*published_script.tensor_data(batch, 0, settings))
        return [torch.stack([p.detach() for p in ps]) for ps in zip(*(n.parameters() for n in nets), strict=True)]

    return run


def cases() -> Iterator[Case]:
    torch.set_num_threads(1)
    # Adam divides by small numbers: twenty steps of 1e-3 turn rounding into at most this
    close, same = partial(torch.testing.assert_close, rtol=1e-4, atol=2e-5), "parameters after 20 steps, to 2e-5"
    for width in (64, 128, 512):
        for size in (1, 10, 50):
            seeds, steps = range(100, 100 + size), max(20, 200 // size)
            close(stacked(seeds, width, 2, 20)(), looped(seeds, width, 2, 20)())
            yield Case(
                f"{size} network{'s' * (size > 1)} of width {width}, {steps} training steps",
                installed("torch") + ", plain loop over networks",
                stacked(seeds, width, 2, steps),
                looped(seeds, width, 2, steps),
                same,
                why="" if size > 1 else "A stack of one still gathers its batch and sums its losses as a stack does.",
            )
    for size in (1, 10):
        seeds, steps = range(100, 100 + size), max(20, 200 // size)
        close(stacked(seeds, 256, 3, 20)(), published(seeds, 256, 3, 20)())
        yield Case(
            f"{size} network{'s' * (size > 1)} of width 256 and 3 layers, {steps} training steps",
            "Xu et al. (2021), published training step",
            stacked(seeds, 256, 3, steps),
            published(seeds, 256, 3, steps),
            same,
        )


if __name__ == "__main__":
    harness.main("ensemble", __doc__, cases)
