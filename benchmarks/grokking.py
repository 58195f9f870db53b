"""Training steps on modular addition against the published code of He et al. (2026): same task, width, batch and start.

Full batches of 75 % of all ordered pairs, cross-entropy, AdamW, one thread; the peer's model, one network after the
other, without its logging. Ours trains the unordered pairs, weighted by how many of their orders are in the batch, and
all networks in one stack.
"""

from collections.abc import Iterator
from functools import partial

import harness
import torch
from harness import Case
from model_base import EmbedMLP
from replib.data import modular
from replib.models.pairs import PairNetwork
from replib.randomness import torch_generator
from replib.training.descent import descend
from torch import Tensor
from torch.nn.functional import log_softmax
from torch.optim import AdamW

STEPS = 20
OPTIMIZER = partial(AdamW, lr=1e-4, betas=(0.9, 0.98), weight_decay=2.0)


def task(p: int, networks: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training masks over the ordered pairs (S, p²), ordered and unordered pairs, weights (S, n) of the latter."""
    inside = modular.split(p * p, 0.75, [torch_generator(i, "split") for i in range(networks)])
    ordered, unordered = modular.pairs(p), modular.pairs(p, ordered=False)
    a, b = unordered.T
    square = inside.view(-1, p, p).float()
    return inside, ordered, unordered, square[:, a, b] + square[:, b, a] * (a != b)


def cases() -> Iterator[Case]:
    torch.set_num_threads(1)
    for p, width, networks in ((31, 512, 1), (31, 512, 5), (23, 512, 5)):
        inside, ordered, unordered, weights = task(p, networks)
        peers = []
        for i in range(networks):
            torch.manual_seed(i)
            peers.append(EmbedMLP(p, p, width, "ReLU", use_ln=False))
        stack = PairNetwork(
            torch.stack([m.mlp.W_in.detach().T for m in peers]),
            None,
            torch.stack([m.mlp.W_out.detach().T for m in peers]),
            torch.relu,
        )
        index = modular.labels(unordered, p).expand(networks, -1)[..., None]
        batches = [(ordered[m], modular.labels(ordered[m], p)) for m in inside]
        updates = [OPTIMIZER(m.parameters()) for m in peers]

        def loss(stack=stack, unordered=unordered, weights=weights, index=index) -> Tensor:
            logits = stack(unordered)
            each = logits.logsumexp(2) - logits.gather(2, index)[..., 0]
            return (each * weights).sum(1) / weights.sum(1)

        def ours(stack=stack, loss=loss, steps=STEPS) -> None:
            descend(stack.parameters(), loss, steps, partial(OPTIMIZER, fused=True))

        def theirs(peers=peers, batches=batches, updates=updates, steps=STEPS) -> None:
            for model, (x, y), update in zip(peers, batches, updates, strict=True):
                for _ in range(steps):
                    value = -log_softmax(model(x), -1).gather(-1, y[:, None]).mean()
                    update.zero_grad()
                    value.backward()
                    update.step()

        ours(steps=3)
        theirs(steps=3)
        for k, model in enumerate(peers):
            torch.testing.assert_close(stack.first[k].T, model.mlp.W_in, rtol=1e-3, atol=1e-6)
            torch.testing.assert_close(stack.output[k].T, model.mlp.W_out, rtol=1e-3, atol=1e-6)
        yield Case(
            f"{STEPS} steps of {networks} network{'s' * (networks > 1)}, p = {p}, width {width}",
            "He et al.'s published model and loss",
            ours,
            theirs,
            "weights after three steps to 1e-3",
        )


if __name__ == "__main__":
    harness.main("grokking", __doc__, cases)
