"""Gradient descent on stacked networks with probes at chosen steps: the loop below every training in the book."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

_SEPARABLE = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD, torch.optim.RMSprop, torch.optim.Adagrad)


@dataclass(frozen=True)
class Curves:
    """What the probes of a run found.

    Attributes:
        steps: (T,) steps of the probes; a probe at step t sees the parameters after t updates.
        values: name -> (T, S, ...) values.
    """

    steps: np.ndarray
    values: Mapping[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.values[name]


def descend(
    parameters: Iterable[Tensor],
    loss: Callable[[], Tensor],
    steps: int,
    optimizer: Callable[[list[Tensor]], Optimizer],
    *,
    probes: Iterable[int] = (),
    probe: Callable[[int], Mapping[str, Tensor]] | None = None,
    until: Callable[[Mapping[str, Tensor]], bool] | None = None,
    schedule: Callable[[Optimizer], LRScheduler] | None = None,
    adjust: Callable[[Sequence[Tensor]], None] | None = None,
) -> Curves:
    """Train a stack of S networks in place; the sum of their losses has for each network just its own gradient.

    Args:
        parameters: tensors (S, ...), or parameters of modules that hold such.
        loss: (S,) losses at the present parameters, one per network; called once per step.
        optimizer: makes the optimiser, for instance ``partial(AdamW, lr=1e-3, eps=1e-25)``; it must work element by
            element, or networks would influence each other.
        probes: steps at which ``probe`` is called, 0 for before the first; others than 0 to ``steps`` are left out.
        probe: step -> values (S, ...) by name, computed without gradients.
        until: given the newest probe's values, whether to end the run there.
        schedule: makes torch's learning-rate scheduler, stepped once per step.
        adjust: changes the gradients in place between the backward pass and the update (masks, projections).

    Raises:
        ValueError: ``loss`` does not give one number per network.
        TypeError: an optimiser that couples the networks.
    """
    parameters = [p if isinstance(p, nn.Parameter) else p.requires_grad_() for p in parameters]
    update = optimizer(parameters)
    if not isinstance(update, _SEPARABLE):
        raise TypeError(f"{type(update).__name__} couples the networks of a stack; use Adam, AdamW or SGD")
    scheduler = schedule(update) if schedule else None
    wanted = {int(t) for t in probes if 0 <= t <= steps} if probe is not None else set()
    at: list[int] = []
    found: dict[str, list[np.ndarray]] = {}

    def ended(step: int) -> bool:
        if step not in wanted:
            return False
        with torch.no_grad():
            values = probe(step)
        at.append(step)
        for name, value in values.items():
            found.setdefault(name, []).append(value.detach().cpu().numpy().copy())
        return until is not None and until(values)

    done = ended(0)
    for step in range(1, 0 if done else steps + 1):
        losses = loss()
        if losses.shape != parameters[0].shape[:1]:
            raise ValueError(
                f"the loss must give {len(parameters[0])} numbers, one per network, got shape {tuple(losses.shape)}"
            )
        for p in parameters:  # what zero_grad does, without its hooks
            p.grad = None
        losses.sum().backward()
        if adjust is not None:
            adjust(parameters)
        update.step()
        if scheduler:
            scheduler.step()
        if ended(step):
            break
    return Curves(np.array(at, dtype=int), {name: np.stack(v) for name, v in found.items()})


def log_spaced(last: int, count: int, first: int = 1) -> np.ndarray:
    """0 and at most ``count`` different whole steps from ``first`` to ``last``, evenly spaced on a log scale."""
    if not 1 <= first <= last or count < 1:
        raise ValueError(f"log-spaced steps need 1 <= first <= last and a count, got {first}, {last}, {count}")
    return np.unique(np.r_[0, np.round(np.geomspace(first, last, count)).astype(int)])
