"""A network of Markovian integrate-and-fire neurons (Li, Chariker and Young, 2019), as data.

Potentials are integers. Every neuron gets independent Poisson kicks of size 1. A spike sends a kick to each neuron of a
population with a probability, drawn anew at every spike; the kick waits an exponential time, then it acts. A neuron
that reaches the threshold spikes and is refractory for an exponential time, in which kicks that act on it are lost. All
waiting times are exponential, so the state is memoryless: potentials, refractory flags, numbers of waiting kicks.

Times are in ms, rates per ms.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

Parameter = float | np.ndarray


@dataclass(frozen=True)
class Neuron:
    """Potential V in {reversal, ..., threshold}.

    Attributes:
        threshold: V at or above it is a spike.
        reversal: the lowest potential, at which inhibition has no effect.
        reset: V after the refractory time.
        refractory: its mean, ms.
    """

    threshold: int = 100
    reversal: int = -66
    reset: int = 0
    refractory: float = 2.5


@dataclass(frozen=True)
class Drive:
    """Independent Poisson kicks of size 1 to every neuron. Attributes: ``rate`` per ms."""

    rate: float = 7.0


@dataclass(frozen=True)
class Synapse:
    """Kicks from one population to another.

    An excitatory kick adds ``weight`` to V; an inhibitory one subtracts weight (V - reversal) / (threshold - reversal).
    Steps between integers are rounded at random with the right mean.

    Attributes:
        probability: that a spike sends a kick to a given neuron.
        weight, delay: size, and mean waiting time in ms; a number, or one per replica.
    """

    probability: float
    weight: Parameter
    delay: Parameter


@dataclass(frozen=True)
class Network:
    """An excitatory and an inhibitory population; synapses are named to, from: ``ie`` is to I from E.

    Raises:
        ValueError: an empty population, a probability outside [0, 1], a negative weight, a waiting time or rate that is
            not positive.
    """

    excitatory: int
    inhibitory: int
    ee: Synapse
    ie: Synapse
    ei: Synapse
    ii: Synapse
    neuron: Neuron = Neuron()
    drive: Drive = Drive()

    def __post_init__(self) -> None:
        if min(self.excitatory, self.inhibitory) < 1:
            raise ValueError(f"both populations need neurons, got {self.excitatory} and {self.inhibitory}")
        if not (self.neuron.reversal < self.neuron.reset < self.neuron.threshold and self.neuron.refractory > 0):
            raise ValueError(f"need reversal < reset < threshold and a positive refractory time, got {self.neuron}")
        if not self.drive.rate >= 0:
            raise ValueError(f"the drive's rate must not be negative, got {self.drive.rate}")
        for name, s in self.synapses.items():
            if not (0 <= s.probability <= 1 and np.all(np.asarray(s.weight) >= 0) and np.all(np.asarray(s.delay) > 0)):
                raise ValueError(f"synapse {name}: need 0 <= probability <= 1, weight >= 0 and delay > 0, got {s}")
            if name in ("ei", "ii") and np.any(np.asarray(s.weight) > self.neuron.threshold - self.neuron.reversal):
                raise ValueError(f"synapse {name}: one kick would push the potential below the reversal")

    @property
    def size(self) -> int:
        """Number of neurons; the excitatory ones come first."""
        return self.excitatory + self.inhibitory

    @property
    def synapses(self) -> dict[str, Synapse]:
        """The four kinds of synapses by name."""
        return {name: getattr(self, name) for name in ("ee", "ie", "ei", "ii")}

    def per_neuron(self, to_excitatory: Parameter, to_inhibitory: Parameter, replicas: int) -> np.ndarray:
        """A parameter of both populations as (B, size)."""
        both = np.empty((replicas, self.size))
        both[:, : self.excitatory] = np.reshape(to_excitatory, (-1, 1))
        both[:, self.excitatory :] = np.reshape(to_inhibitory, (-1, 1))
        return both


@dataclass
class State:
    """The state of B replicas; all arrays (B, size), excitatory neurons first.

    Attributes:
        v: potentials.
        refractory: who is refractory; their potential is the reset value.
        from_e, from_i: kicks from E and from I that wait to act on each neuron.
    """

    v: np.ndarray
    refractory: np.ndarray
    from_e: np.ndarray
    from_i: np.ndarray

    def __len__(self) -> int:
        return len(self.v)

    def __getitem__(self, index: np.ndarray | slice) -> "State":
        """A copy of some replicas."""
        return State(*(np.array(getattr(self, f.name)[index]) for f in fields(self)))

    def __setitem__(self, index: np.ndarray | slice, other: "State") -> None:
        for f in fields(self):
            getattr(self, f.name)[index] = getattr(other, f.name)

    @staticmethod
    def join(states: Sequence["State"]) -> "State":
        """All replicas of several states."""
        return State(*(np.concatenate([getattr(s, f.name) for s in states]) for f in fields(State)))

    @staticmethod
    def random(network: Network, replicas: int, rng: np.random.Generator) -> "State":
        """Potentials uniform below the threshold, no waiting kicks, nobody refractory."""
        shape, neuron = (replicas, network.size), network.neuron
        return State(
            rng.integers(neuron.reversal, neuron.threshold, shape, dtype=np.int16),
            np.zeros(shape, dtype=bool),
            np.zeros(shape, dtype=np.uint8),
            np.zeros(shape, dtype=np.uint8),
        )

    def waiting(self, network: Network) -> dict[str, np.ndarray]:
        """Waiting kicks in all, by kind of synapse, (B,) each."""
        e = slice(network.excitatory)
        i = slice(network.excitatory, None)
        return {
            "ee": self.from_e[:, e].sum(1, dtype=np.int64),
            "ie": self.from_e[:, i].sum(1, dtype=np.int64),
            "ei": self.from_i[:, e].sum(1, dtype=np.int64),
            "ii": self.from_i[:, i].sum(1, dtype=np.int64),
        }
