"""Exact simulation of one network, event by event (Gillespie, 1977): slow, and the reference for everything else."""

from dataclasses import dataclass

import numpy as np

from replib.spiking.network import Network, State


@dataclass(frozen=True)
class Exact:
    """What an exact run gives.

    Attributes:
        times, neurons: of all spikes, in order; ms and index.
        waiting: mean number of waiting kicks over time, by kind of synapse.
        sent: kicks sent in all, by kind of synapse.
        acted: kicks that acted, lost ones included.
        state: the state at the end.
    """

    times: np.ndarray
    neurons: np.ndarray
    waiting: dict[str, float]
    sent: dict[str, int]
    acted: dict[str, int]
    state: State


class _Uniform:
    """Uniform numbers one at a time, drawn in blocks."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng, self.block = rng, iter(())

    def __call__(self) -> float:
        value = next(self.block, None)
        if value is None:
            self.block = iter(self.rng.random(65536).tolist())
            value = next(self.block)
        return value


def simulate(network: Network, duration: float, rng: np.random.Generator) -> Exact:
    """Simulate one replica from a random state for ``duration`` ms.

    Eight classes of events: a drive kick to E or I, a waiting kick of one of four kinds acts, an E or I neuron leaves
    the refractory state. The next event's class is drawn in proportion to the classes' rates, within a class each
    member alike.

    Raises:
        ValueError: parameters that differ between replicas, or a duration that is not positive.
    """
    if not duration > 0:
        raise ValueError(f"the duration must be positive, got {duration}")
    if any(np.ndim(s.weight) or np.ndim(s.delay) for s in network.synapses.values()):
        raise ValueError("exact simulation runs one replica: parameters must be numbers")
    uniform, neuron, n_e, n = _Uniform(rng), network.neuron, network.excitatory, network.size
    start = State.random(network, 1, rng)
    v, refractory = start.v[0].tolist(), [False] * n
    span = neuron.threshold - neuron.reversal
    kinds = {name: (s, name[0] == "e", name[1] == "e") for name, s in network.synapses.items()}
    kicks: dict[str, list[int]] = {name: [] for name in kinds}  # the target of every waiting kick
    resting: tuple[list[int], list[int]] = ([], [])  # refractory E and I neurons
    area, sent, acted = dict.fromkeys(kinds, 0.0), dict.fromkeys(kinds, 0), dict.fromkeys(kinds, 0)
    times, neurons = [], []
    drive = network.drive.rate * n

    def spike(i: int) -> None:
        times.append(now)
        neurons.append(i)
        v[i], refractory[i] = neuron.reset, True
        resting[i >= n_e].append(i)
        for name, (s, to_e, from_e) in kinds.items():
            if from_e == (i < n_e):
                first, count = (0, n_e) if to_e else (n_e, n - n_e)
                reached = np.flatnonzero(rng.random(count) < s.probability) + first
                kicks[name].extend(reached.tolist())
                sent[name] += len(reached)

    def push(i: int, change: float) -> None:
        whole = int(change // 1)
        v[i] += whole + (uniform() < change - whole)
        if v[i] >= neuron.threshold:
            spike(i)

    def take(members: list[int]) -> int:
        k = int(uniform() * len(members))
        members[k], members[-1] = members[-1], members[k]
        return members.pop()

    now = 0.0
    while True:
        rates = [len(kicks[name]) / s.delay for name, (s, _, _) in kinds.items()]
        leaving = (len(resting[0]) + len(resting[1])) / neuron.refractory
        total = drive + sum(rates) + leaving
        wait = -np.log1p(-uniform()) / total
        for name in kinds:
            area[name] += len(kicks[name]) * min(wait, duration - now)
        now += wait
        if now > duration:
            break
        u = uniform() * total
        if u < drive:
            i = int(u / network.drive.rate)
            if not refractory[i]:
                push(i, 1.0)
            continue
        u -= drive
        for (name, (s, _, from_e)), rate in zip(kinds.items(), rates, strict=True):
            if u < rate:
                i = take(kicks[name])
                acted[name] += 1
                if not refractory[i]:
                    push(i, s.weight if from_e else -s.weight * (v[i] - neuron.reversal) / span)
                break
            u -= rate
        else:
            both = len(resting[0]) + len(resting[1])
            i = take(resting[uniform() * both >= len(resting[0])])
            refractory[i] = False
    # the state in the form the other simulator has
    state = State(
        np.array([v], dtype=np.int16),
        np.array([refractory]),
        np.zeros((1, n), dtype=np.uint8),
        np.zeros((1, n), dtype=np.uint8),
    )
    for name, (_, _, from_e) in kinds.items():
        np.add.at((state.from_e if from_e else state.from_i)[0], kicks[name], 1)
    waiting = {name: a / duration for name, a in area.items()}
    return Exact(np.array(times), np.array(neurons, dtype=int), waiting, sent, acted, state)
