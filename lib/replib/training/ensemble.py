r"""Many networks trained in one pass.

The parameters of S networks of one shape are stacked along a new first axis, so one pass computes
all of them. The networks share nothing: the sum of their losses has, for each network, just its own
gradient, and an optimiser that works element by element treats each as if it were alone. Training
together therefore equals training one by one, bit for bit where the batched kernels add in the same
order, else to rounding (tests/test_ensemble.py).

A module whose parameters all sit in ``nn.Linear`` layers and whose forward treats leading axes alike
runs as it is, each layer replaced by one ``baddbmm`` over the stack (:class:`StackedLinear`). A plain
``nn.Sequential`` of linear and elementwise layers is such a module; others say so with a class
attribute ``leading_axes = True``. Any other module goes through :func:`torch.func.functional_call`
under :func:`torch.vmap`, which computes the same with more overhead per operation.
"""

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from replib.training.descent import descend

# layers of a Sequential that treat each number alone, so a stack passes through them unchanged
_ELEMENTWISE = (
    nn.ReLU,
    nn.Tanh,
    nn.Sigmoid,
    nn.GELU,
    nn.SiLU,
    nn.Softplus,
    nn.ELU,
    nn.LeakyReLU,
    nn.Identity,
)


def build_seeded(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Call ``build`` with torch's generator set to ``seed`` and give the generator back unchanged.

    Networks are built on the processor, so its generator alone is set: ``torch.manual_seed`` would also note a stack
    trace for GPUs that are not in use yet, which costs more than building a small network.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return build()


class StackedLinear(nn.Module):
    """S linear layers as one batched matrix product: (S, ..., in) -> (S, ..., out)."""

    def __init__(self, layer: nn.Linear, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(layer.weight.new_empty(size, *layer.weight.shape))  # (S, out, in)
        self.bias = None if layer.bias is None else nn.Parameter(layer.bias.new_empty(size, *layer.bias.shape))

    def forward(self, x: Tensor) -> Tensor:
        if len(x) == 1:  # one network: the plain layer has less overhead
            bias = None if self.bias is None else self.bias.squeeze(0)
            return nn.functional.linear(x.squeeze(0), self.weight.squeeze(0), bias).unsqueeze(0)
        rows = x.reshape(len(x), -1, x.shape[-1])  # (S, rows, in)
        weight = self.weight.transpose(1, 2)
        y = torch.bmm(rows, weight) if self.bias is None else torch.baddbmm(self.bias.unsqueeze(1), rows, weight)
        return y.view(*x.shape[:-1], -1)


def _is_linear(module: nn.Module) -> bool:
    """``nn.Linear`` or a subclass that only starts differently."""
    return isinstance(module, nn.Linear) and type(module).forward is nn.Linear.forward


def _stackable(module: nn.Module) -> bool:
    """Whether ``module`` itself can run on stacked inputs once its linear layers are replaced."""
    plain = type(module) is nn.Sequential and all(
        _is_linear(m) or type(m) in _ELEMENTWISE or getattr(m, "leading_axes", False) for m in module
    )
    in_linear = sum(len(list(m.parameters())) for m in module.modules() if _is_linear(m))
    return (plain or getattr(module, "leading_axes", False)) and in_linear == len(list(module.parameters()))


def _stack_linears(module: nn.Module, size: int) -> nn.Module:
    """Replace every linear layer below ``module`` by a stacked one, names unchanged."""
    for name, child in module.named_children():
        setattr(
            module,
            name,
            StackedLinear(child, size) if _is_linear(child) else _stack_linears(child, size),
        )
    return module


class Ensemble(nn.Module):
    """S networks of one shape as one module with stacked parameters.

    Args:
        build: makes one network; called once per seed.
        seeds: one per network; ``build`` runs with torch's generator set to it.

    Shapes:
        forward inputs: (S, B, ...), one batch per network, or (B, ...) with ``shared=True``.
        forward output: (S, B, ...).
    """

    def __init__(self, build: Callable[[], nn.Module], seeds: Sequence[int]) -> None:
        super().__init__()
        if not seeds:
            raise ValueError("an ensemble needs at least one seed")
        networks = [build_seeded(build, seed) for seed in seeds]
        stacked, buffers = torch.func.stack_module_state(networks)
        if buffers:
            raise ValueError("modules with buffers, such as batch normalisation, cannot be stacked")
        self.size = len(seeds)
        self._names = list(stacked)
        # in a list: the skeleton is no submodule, its parameters are not trained
        self._skeleton = [copy.deepcopy(networks[0]).to("meta")]
        self._native = _stackable(networks[0])
        if self._native:
            self.module = _stack_linears(networks[0], self.size)
            self.module.load_state_dict(stacked)
            self.stack = [self.module.get_parameter(name) for name in self._names]
        else:
            self.stack = nn.ParameterList([nn.Parameter(stacked[name].detach().clone()) for name in self._names])

    def _apply(self, *args: object, **options: object) -> "Ensemble":
        super()._apply(*args, **options)
        if self._native:  # moving to a device may have replaced the parameters
            self.stack = [self.module.get_parameter(name) for name in self._names]
        return self

    def forward(self, *inputs: Tensor, shared: bool = False) -> Tensor:
        if self._native:
            return self.module(*(i.expand(self.size, *i.shape) if shared else i for i in inputs))

        def call(parameters: dict[str, Tensor], *inputs: Tensor) -> Tensor:
            return torch.func.functional_call(self._skeleton[0], parameters, inputs)

        in_dims = (0, *([None if shared else 0] * len(inputs)))
        return torch.vmap(call, in_dims=in_dims)(dict(zip(self._names, self.stack, strict=True)), *inputs)

    def network(self, index: int) -> nn.Module:
        """One network of the stack as a module of its own, with a copy of its parameters."""
        module = copy.deepcopy(self._skeleton[0]).to(self.stack[0].dtype).to_empty(device=self.stack[0].device)
        module.load_state_dict({n: p[index].detach().clone() for n, p in zip(self._names, self.stack, strict=True)})
        return module


class Minibatches:
    """Indices of minibatches, one independent shuffle per network and epoch; the last partial batch is dropped.

    A network's batches depend on its own generator alone, so they are the same however many
    networks train beside it.

    Args:
        generators: one per network.
        points: training points per network.
        batch: minibatch size; a batch of at least ``points`` gives full batches.

    Yields:
        (S, batch) indices, for ever.
    """

    def __init__(self, generators: Sequence[torch.Generator], points: int, batch: int) -> None:
        if points < 1 or batch < 1:
            raise ValueError(f"minibatches need points and a batch size, got {points} and {batch}")
        self.generators, self.points, self.batch = list(generators), points, min(batch, points)

    def __iter__(self) -> Iterable[Tensor]:
        per_epoch = self.points // self.batch
        while True:
            order = torch.stack([torch.randperm(self.points, generator=g) for g in self.generators])
            yield from order[:, : per_epoch * self.batch].split(self.batch, dim=1)


@dataclass
class History:
    """What happened during training.

    Attributes:
        steps: steps at which the networks were validated.
        validation: (checks, S) validation losses.
        best: (S,) lowest validation loss; the parameters kept are those of that check.
        best_step: (S,) when it was reached.
        stopped: (S,) step at which patience ran out, or the last step.
    """

    best: Tensor
    best_step: Tensor
    stopped: Tensor
    steps: list[int] = field(default_factory=list)
    validation: list[Tensor] = field(default_factory=list)


Loss = Callable[[Ensemble, Tensor], Tensor]


def train(
    ensemble: Ensemble,
    loss: Loss,
    batches: Iterable[Tensor],
    steps: int,
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
    *,
    schedule: Callable[[Optimizer], LRScheduler] | None = None,
    validation: Callable[[Ensemble], Tensor] | None = None,
    every: int = 50,
    patience: int | None = None,
) -> History:
    """Train all networks of ``ensemble`` in place.

    Args:
        loss: (ensemble, indices (S, B)) -> (S,) losses, one per network.
        batches: yields index tensors (S, B), see :class:`Minibatches`.
        optimizer: makes the optimiser, for instance ``partial(Adam, lr=1e-3, fused=True)``; it must
            work element by element, or networks would influence each other.
        schedule: makes torch's learning-rate scheduler, stepped once per step.
        validation: ensemble -> (S,) losses, computed without gradients every ``every`` steps and
            after the last; each network ends with the parameters of its own best check.
        patience: a network stops after this many checks without a new best: later checks no longer
            count for it. Training ends when all have stopped.

    Raises:
        ValueError: ``loss`` does not give one number per network, patience without validation, or too few batches.
        TypeError: an optimiser that couples the networks.
    """
    if patience is not None and validation is None:
        raise ValueError("patience counts validation checks: give a validation function too")
    size, device = ensemble.size, ensemble.stack[0].device
    history = History(
        best=torch.full((size,), math.inf, device=device),
        best_step=torch.zeros(size, dtype=torch.long, device=device),
        stopped=torch.full((size,), steps, dtype=torch.long, device=device),
    )
    kept = [p.detach().clone() for p in ensemble.stack]
    running = torch.ones(size, dtype=torch.bool, device=device)
    checks_without_best = torch.zeros(size, dtype=torch.long, device=device)
    drawn = iter(batches)

    def check(step: int) -> dict[str, Tensor]:
        current = validation(ensemble).detach()
        history.steps.append(step)
        history.validation.append(current)
        better = running & (current < history.best)
        history.best = torch.where(better, current, history.best)
        history.best_step[better] = step
        for saved, now in zip(kept, ensemble.stack, strict=True):
            saved[better] = now[better]
        if patience is not None:
            checks_without_best.copy_(torch.where(better, 0, checks_without_best + 1))
            out = running & (checks_without_best >= patience)
            history.stopped[out] = step
            running.logical_and_(~out)
        return {}

    def step_loss() -> Tensor:
        try:
            indices = next(drawn)
        except StopIteration:
            raise ValueError(f"the batches ran out before {steps} steps: give one for each, or for ever") from None
        return loss(ensemble, indices)

    descend(
        ensemble.parameters(),
        step_loss,
        steps,
        optimizer,
        probes=[*range(every, steps, every), steps] if steps else (),
        probe=check if validation else None,
        until=lambda _: patience is not None and not running.any(),
        schedule=schedule,
    )
    if validation is not None:
        with torch.no_grad():
            for saved, now in zip(kept, ensemble.stack, strict=True):
                now.copy_(saved)
    return history


def mean_squared_error(x: Tensor, y: Tensor) -> Loss:
    """Loss on minibatches of x (S, n, d) and y (S, n): (S,) means of (f(x) - y)^2."""
    first = (torch.arange(x.shape[0], device=x.device) * x.shape[1]).unsqueeze(
        1
    )  # (S, 1): where a network's points begin
    all_x, all_y = x.flatten(0, 1), y.flatten()

    def loss(ensemble: Ensemble, indices: Tensor) -> Tensor:
        chosen = (indices.to(x.device) + first).flatten()
        batch = all_x.index_select(0, chosen).view(*indices.shape, *x.shape[2:])
        target = all_y.index_select(0, chosen).view(indices.shape)
        return (ensemble(batch).squeeze(-1) - target).square().mean(1)

    return loss
