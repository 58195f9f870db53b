"""The spiking network of 300 + 100 neurons against Brian2: same equations, step and parameters, one thread.

    export MALLOC_MMAP_THRESHOLD_=8388608 MALLOC_TRIM_THRESHOLD_=1073741824  # as the build sets them
    OMP_NUM_THREADS=1 PYTHONPATH=lib python benchmarks/spiking.py

Brian2 2.9 needs a numpy below 2.4; the book does not depend on it:

    pip install brian2==2.9.0 "numpy<2.4" scipy

Brian2 simulates one replica, in its default mode (Cython, a Python loop over steps) and in standalone mode (a C++
program for this network; compiling is not timed). Ours steps many replicas at once. Rates and synchrony of both are
compared first. The figure is network time simulated per wall second, all replicas together; ratios are medians over
rounds with their range.
"""

import cProfile
import pstats
import shutil
import statistics
import tempfile
import time

import brian2
import numpy as np
from brian2 import Network as BrianNetwork
from brian2 import NeuronGroup, SpikeMonitor, Synapses, implementation, ms, second
from replib.spiking.leaping import TauLeaping
from replib.spiking.network import Network, State, Synapse
from replib.spiking.statistics import Recorder, rate, spike_synchrony

STEP, ROUNDS = 0.1, 5
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


def main() -> None:
    brian2.prefs.codegen.target = "cython"
    brian2.BrianLogger.suppress_hierarchy("brian2.codegen")  # warns of random numbers in synapses
    network, monitor = brian()
    network.run(200 * ms)  # compiles, and lets the start be forgotten

    sims, warm = {}, 2000
    for replicas in (1, 50, 400):
        rng = np.random.default_rng(replicas)
        sims[replicas] = TauLeaping(NETWORK, State.random(NETWORK, replicas, rng), rng, step=STEP)
        for _ in range(warm):
            sims[replicas].advance()
    span = {1: 2.0, 50: 0.2, 400: 0.05}  # network seconds a round

    def brian_cython() -> float:
        network.run(2 * second, report=None)
        return 2.0

    folder = tempfile.mkdtemp()

    def brian_standalone(duration: float = 20.0) -> tuple[float, float]:
        brian2.device.run(run_args=[])
        return duration, brian2.device._last_run_time

    def ours(replicas: int) -> float:
        recorder = Recorder(300, replicas, round(span[replicas] * 1000 / STEP))
        for _ in range(recorder.steps):
            recorder.add(sims[replicas].advance())
        return span[replicas] * replicas

    speed: dict[str, list[float]] = {}

    def timed(name: str, call) -> None:
        start = time.perf_counter()
        seconds = call()
        speed.setdefault(name, []).append(seconds / (time.perf_counter() - start))

    for _ in range(ROUNDS):
        timed("Brian2, Cython, 1 replica", brian_cython)
        for replicas in span:
            timed(f"ours, {replicas} replicas", lambda: ours(replicas))
    spikes = np.asarray(monitor.t / ms), np.asarray(monitor.i)
    late = spikes[0] > 200
    steps = round((200 + ROUNDS * 2000) / STEP)
    is_e = spikes[1] < 300
    theirs = described(*(counts(spikes[0][late & chosen], steps)[:, 2000:] for chosen in (is_e, ~is_e)))
    recorder = Recorder(300, 50, 10_000)
    for _ in range(recorder.steps):
        recorder.add(sims[50].advance())
    mine = described(recorder.e.T, recorder.i.T)
    print("            E Hz   I Hz   synchrony (1 ms)")
    print("Brian2    ", *(f"{x:.3g}" for x in theirs), sep="  ")
    print("ours      ", *(f"{x:.3g}" for x in mine), sep="  ")
    np.testing.assert_allclose(mine, theirs, rtol=0.08)

    # standalone last: it takes over the process's device
    brian2.set_device("cpp_standalone", directory=folder, build_on_run=False)
    brian2.prefs.devices.cpp_standalone.openmp_threads = 0
    network, monitor = brian()
    network.run(20 * second)
    brian2.device.build(directory=folder, compile=True, run=False)
    for _ in range(ROUNDS):
        seconds, wall = brian_standalone()
        speed.setdefault("Brian2, C++ standalone, 1 replica", []).append(seconds / wall)
        timed("ours, 50 replicas, beside standalone", lambda: ours(50))
    shutil.rmtree(folder)

    print("\nnetwork seconds per wall second: median (range)")
    for name, values in speed.items():
        print(f"{name:<38} {statistics.median(values):7.2f} ({min(values):.2f} to {max(values):.2f})")
    pairs = [(f"ours, {k} replicas", "Brian2, Cython, 1 replica") for k in span]
    pairs.append(("ours, 50 replicas, beside standalone", "Brian2, C++ standalone, 1 replica"))
    print("\nratios")
    for a, b in pairs:
        r = [x / y for x, y in zip(speed[a], speed[b], strict=True)]
        print(f"{a} / {b}: {statistics.median(r):.1f} ({min(r):.1f} to {max(r):.1f})")

    profile = cProfile.Profile()
    profile.runcall(ours, 50)
    print("\nwhere the time goes, 50 replicas")
    pstats.Stats(profile).sort_stats("tottime").print_stats(10)


if __name__ == "__main__":
    main()
