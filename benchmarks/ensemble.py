"""Training S networks as one stack against a plain loop over seeds: same data, same batches, one thread.

    OMP_NUM_THREADS=1 python benchmarks/ensemble.py

Both are timed alternately in this process; the ratio is the median over rounds with its range. First it is checked
that both end with the same parameters.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from replib.ensemble import Ensemble, Minibatches, build_seeded, mean_squared_error, train
from replib.models.mlp import mlp
from replib.randomness import torch_generator
from torch.optim import Adam

POINTS, BATCH, DIMENSION, ROUNDS = 2000, 64, 8, 5


def data(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(size, POINTS, DIMENSION, generator=torch_generator(0, "benchmark"))
    return x, x.square().sum(-1)


def batches(seeds: range) -> Minibatches:
    return Minibatches([torch_generator(s, "batches") for s in seeds], POINTS, BATCH)


def stacked(seeds: range, width: int, steps: int) -> Callable[[], list[torch.Tensor]]:
    x, y = data(len(seeds))
    nets = Ensemble(lambda: mlp(DIMENSION, width), seeds)
    loss = mean_squared_error(x, y)

    def run() -> list[torch.Tensor]:
        train(nets, loss, batches(seeds), steps, partial(Adam, lr=1e-3, fused=True))
        return [p.detach() for p in nets.stack]

    return run


def looped(seeds: range, width: int, steps: int) -> Callable[[], list[torch.Tensor]]:
    x, y = data(len(seeds))
    nets = [build_seeded(lambda: mlp(DIMENSION, width), s) for s in seeds]

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


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    torch.set_num_threads(1)
    torch.set_grad_enabled(True)
    print("  S  width  stack, seed-steps/s  loop, seed-steps/s  ratio (range)")
    for width in (64, 128, 512):
        for size in (1, 5, 10, 50):
            seeds, steps = range(100, 100 + size), max(20, 200 // size)
            for a, b in zip(stacked(seeds, width, 20)(), looped(seeds, width, 20)(), strict=True):
                # Adam divides by small numbers: twenty steps of 1e-3 turn rounding into at most this
                torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-5)
            ours, plain = stacked(seeds, width, steps), looped(seeds, width, steps)
            pairs = [(seconds(ours), seconds(plain)) for _ in range(ROUNDS + 1)][1:]  # the first warms up
            ratios = sorted(b / a for a, b in pairs)
            rates = [size * steps / statistics.median(t) for t in zip(*pairs, strict=True)]
            print(
                f"{size:3d} {width:6d} {rates[0]:19.0f} {rates[1]:19.0f}  "
                f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            )


if __name__ == "__main__":
    main()
