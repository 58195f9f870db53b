"""The spiking network of 300 + 100 neurons against Brian2 and snnTorch: same equations and step, one thread.

Brian2 simulates one replica, in its default mode (Cython, a Python loop over steps) and in standalone mode (a C++
program for this network; compiling is not timed). snnTorch's neuron steps many replicas at once, as ours does; the
waiting kicks, which it has no part for, are written in torch. Ratios are per second of simulated network time. Rates
and synchrony of all three are compared first.
"""

import tempfile
from collections.abc import Iterator
from functools import partial

import brian2
import harness
import numpy as np
import snntorch
import torch
from brian2 import Network as BrianNetwork
from brian2 import NeuronGroup, SpikeMonitor, Synapses, implementation, ms, second
from harness import Case, installed
from replib.spiking.leaping import TauLeaping
from replib.spiking.network import Network, State, Synapse
from replib.spiking.statistics import Recorder, rate, spike_synchrony

STEP = 0.1
POPULATIONS = (slice(0, 300), slice(300, 400))
ALONE = "A compiled loop has little overhead a step; ours is meant to be shared by replicas, and here is one."
NETWORK = Network(
    300,
    100,
    ee=Synapse(0.15, 5.0, 1.3),
    ie=Synapse(0.5, 2.0, 0.95),
    ei=Synapse(0.5, 4.91, 4.5),
    ii=Synapse(0.4, 4.91, 4.5),
)

# inversion: one uniform a variable
_INVERSION = """
    double q = pow(1 - p, n), total = q;
    int k = 0;
    while (u > total && k < n) { q *= (n - k) * p / ((k + 1) * (1 - p)); total += q; k++; }
    return k;
"""


@implementation("cpp", "static int binomial_draw(int n, double p, double u) {" + _INVERSION + "}")
@implementation(
    "cython",
    """
from libc.math cimport pow as c_pow
cdef int binomial_draw(int n, double p, double u):
    cdef double q = c_pow(1 - p, n)
    cdef double total = q
    cdef int k = 0
    while u > total and k < n:
        q *= (n - k) * p / ((k + 1) * (1 - p))
        total += q
        k += 1
    return k
""",
)
@brian2.check_units(n=1, p=1, u=1, result=1)
def binomial_draw(n, p, u):
    raise NotImplementedError


def brian() -> tuple[BrianNetwork, SpikeMonitor]:
    group = NeuronGroup(
        NETWORK.size,
        """
        v : 1
        resting : 1
        was : 1
        h_e : integer
        h_i : integer
        n_e : integer
        n_i : integer
        p_e : 1 (constant)
        p_i : 1 (constant)
        s_e : 1 (constant)
        shrink : 1 (constant)
        """,
        threshold="v >= 100",
        reset="v = 0\nresting = 1",
        method="euler",
        dt=STEP * ms,
        namespace={"binomial_draw": binomial_draw, "mean_drive": 7.0 * STEP, "leave": STEP / 2.5},
    )
    group.run_regularly(
        """
        n_e = binomial_draw(h_e, p_e, rand())
        n_i = binomial_draw(h_i, p_i, rand())
        h_e -= n_e
        h_i -= n_i
        was = resting
        v = -66 + floor((v + 66) * shrink ** n_i + rand())
        v += poisson(mean_drive) + floor(n_e * s_e + rand())
        v *= 1 - was
        resting = was * int(rand() >= leave)
        """,
        dt=STEP * ms,
        when="start",
    )
    e, i = group[:300], group[300:]
    s = NETWORK.synapses
    for part, kind in ((e, "e"), (i, "i")):
        part.p_e, part.p_i = STEP / s[kind + "e"].delay, STEP / s[kind + "i"].delay
        part.s_e, part.shrink = s[kind + "e"].weight, 1 - s[kind + "i"].weight / 166
    group.v = "floor(rand() * 166) - 66"
    parts = [group]
    for source, targets in ((e, "e"), (i, "i")):
        for target, kind in ((e, "e"), (i, "i")):
            p = s[kind + targets].probability
            wire = Synapses(source, target, on_pre=f"h_{targets}_post += int(rand() < {p})")
            wire.connect()
            parts.append(wire)
    monitor = SpikeMonitor(group)
    return BrianNetwork(*parts, monitor), monitor


def counts(times: np.ndarray, steps: int) -> np.ndarray:
    return np.bincount(np.round(times / STEP).astype(int), minlength=steps)[None, :steps]


def described(e: np.ndarray, i: np.ndarray) -> np.ndarray:
    return np.array([rate(e, 300, STEP).mean(), rate(i, 100, STEP).mean(), spike_synchrony(e, 300, STEP, 1.0).mean()])


class Torch:
    """The network with snnTorch's integrate-and-fire neuron, many replicas at once; all arrays (replicas, neurons)."""

    def __init__(self, replicas: int) -> None:
        synapses, (e, i) = NETWORK.synapses, POPULATIONS
        self.act, self.sent = torch.empty(2, NETWORK.size), torch.empty(2, NETWORK.size)
        self.weight, self.shrink = torch.empty(NETWORK.size), torch.empty(NETWORK.size)
        for part, kind in ((e, "e"), (i, "i")):
            for k, source in enumerate("ei"):
                self.act[k, part] = STEP / synapses[kind + source].delay
                self.sent[k, part] = synapses[kind + source].probability
            self.weight[part], self.shrink[part] = synapses[kind + "e"].weight, 1 - synapses[kind + "i"].weight / 166
        # potentials are whole numbers: above 99.5 is at least 100
        self.neuron = snntorch.Leaky(beta=1.0, threshold=99.5, reset_mechanism="zero", reset_delay=False)
        shape = replicas, NETWORK.size
        self.v = torch.randint(-66, 100, shape).float()
        self.waiting, self.resting = torch.zeros(2, *shape), torch.zeros(shape)

    @torch.no_grad()
    def advance(self) -> torch.Tensor:
        acting = torch.binomial(self.waiting, self.act.unsqueeze(1).expand_as(self.waiting))
        self.waiting -= acting
        n_e, n_i = acting
        v = -66 + torch.floor((self.v + 66) * self.shrink**n_i + torch.rand_like(self.v))
        v += torch.poisson(torch.full_like(v, 7.0 * STEP)) + torch.floor(n_e * self.weight + torch.rand_like(v))
        v *= 1 - self.resting
        stay = self.resting * (torch.rand_like(v) >= STEP / 2.5)
        spikes, self.v = self.neuron(v - self.v, self.v)
        self.resting = torch.maximum(stay, spikes)
        for k, part in enumerate(POPULATIONS):
            count = spikes[:, part].sum(1, keepdim=True).expand_as(spikes)
            self.waiting[k] += torch.binomial(count.contiguous(), self.sent[k].expand_as(spikes))
        return spikes


def network_seconds(sim: TauLeaping, duration: float) -> None:
    recorder = Recorder(300, len(sim.state), round(duration * 1000 / STEP))
    for _ in range(recorder.steps):
        recorder.add(sim.advance())


def cases() -> Iterator[Case]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    brian2.prefs.codegen.target = "cython"
    brian2.BrianLogger.suppress_hierarchy("brian2.codegen")  # warns of random numbers in synapses
    network, monitor = brian()
    network.run(10_200 * ms)  # compiles, and lets the start be forgotten
    sims = {}
    for replicas in (1, 50, 400):
        rng = np.random.default_rng(replicas)
        sims[replicas] = TauLeaping(NETWORK, State.random(NETWORK, replicas, rng), rng, step=STEP)
        for _ in range(2000):
            sims[replicas].advance()

    spikes = np.asarray(monitor.t / ms), np.asarray(monitor.i)
    late, is_e, steps = spikes[0] > 200, spikes[1] < 300, round(10_200 / STEP)
    in_brian = described(*(counts(spikes[0][late & chosen], steps)[:, 2000:] for chosen in (is_e, ~is_e)))
    recorder = Recorder(300, 50, 10_000)
    for _ in range(recorder.steps):
        recorder.add(sims[50].advance())
    ours = described(recorder.e.T, recorder.i.T)
    in_torch = Torch(50)
    seen = torch.stack(
        [torch.stack([s[:, p].sum(1) for p in POPULATIONS]) for s in (in_torch.advance() for _ in range(4000))]
    )
    there = described(*seen[2000:].permute(1, 2, 0).numpy().astype(int))
    print("E Hz, I Hz, synchrony in 1 ms: Brian2, snnTorch, ours", in_brian, there, ours)
    np.testing.assert_allclose(ours, in_brian, rtol=0.08)
    np.testing.assert_allclose(ours, there, rtol=0.08)

    same = "rates and synchrony to 8 %"
    for replicas, span in ((1, 1.0), (50, 0.2), (400, 0.05)):
        yield Case(
            f"spiking network, {replicas} replica{'s' * (replicas > 1)}",
            f"{installed('brian2')}, Cython, one replica",
            partial(network_seconds, sims[replicas], span),
            lambda: network.run(1 * second, report=None),
            same,
            work=replicas * span,
            why=ALONE,
            rounds=5,
        )
    yield Case(
        "spiking network, 50 replicas",
        f"{installed('snntorch')}, 50 replicas",
        partial(network_seconds, sims[50], 0.05),
        lambda: [in_torch.advance() for _ in range(100)],
        same,
        work=5.0,
        rounds=5,
    )
    # standalone last: it takes over the process's device
    with tempfile.TemporaryDirectory() as folder:
        brian2.set_device("cpp_standalone", directory=folder, build_on_run=False)
        brian2.prefs.devices.cpp_standalone.openmp_threads = 0
        network, monitor = brian()
        network.run(10 * second)
        brian2.device.build(directory=folder, compile=True, run=False)
        for replicas, span in ((1, 1.0), (50, 0.2)):
            yield Case(
                f"spiking network, {replicas} replica{'s' * (replicas > 1)}",
                f"{installed('brian2')}, C++ standalone, one replica",
                partial(network_seconds, sims[replicas], span),
                lambda: brian2.device.run(run_args=[]),
                same,
                work=replicas * span / 10,
                why=ALONE,
                rounds=5,
            )


if __name__ == "__main__":
    harness.main("spiking", __doc__, cases)
