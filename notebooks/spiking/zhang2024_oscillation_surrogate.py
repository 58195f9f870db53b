# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Learning spiking neuronal networks with artificial neural networks: neural oscillations
#
# *Ruilin Zhang, Zhongyi Wang, Tianyi Wu, Yuhang Cai, Louis Tao, Zhuo-Cheng Xiao, Yao Li.
# Journal of Mathematical Biology 88, 2024* {footcite}`zhang2024_oscillation_surrogate`
#
# **The question.** A network of excitatory and inhibitory spiking neurons produces gamma rhythms: quiet stretches,
# broken by bursts in which a large part of the neurons fires within milliseconds. The paper calls a burst a
# *multiple-firing event*. Can a small artificial network, which is told the state before a burst and guesses the state
# after it, stand in for the burst, so that only the quiet stretches are simulated, and does the rhythm survive?
#
# **Why it matters.** If it does, then the state that matters for a gamma rhythm is small, and the map from one burst to
# the next is all there is to it.
#
# **What was found here.** The map can be learned: on unseen states the ANN explains nearly all that can be explained,
# from a few numbers. In the closed loop rates, burst rate and the frequency of the rhythm stay close to the full
# network's. The sizes of bursts do not: an ANN trained on squared error answers the mean, large bursts vanish, and the
# mean size falls short. Drawing the answer from a learned distribution restores most of it.

# %% tags=["parameters"]
profile = "quick"
seed = 0

# %% tags=["hide-input"]
import math
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

import numpy as np
import torch
from replib import estimate, figures
from replib.chapter import Explore, begin
from replib.claims import above, below, between, reported
from replib.models.mlp import mlp
from replib.randomness import numpy_generator, torch_generator
from replib.spiking.events import EventDetector, otsu_threshold, within_window
from replib.spiking.leaping import TauLeaping
from replib.spiking.network import Network, State, Synapse
from replib.spiking.statistics import Recorder, peak_frequency, rate, spectrum, spike_synchrony
from replib.training.ensemble import Ensemble, Minibatches, train
from scipy.fft import dct, idct
from scipy.stats import qmc
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR

chapter = begin("zhang2024_oscillation_surrogate", profile, seed)

# %% [markdown]
# ## What the paper claims
#
# No figure of the paper is known to us beyond its abstract, so every criterion below was set by the specification
# written before this chapter. Where a pilot had been seen, the note says so; the verdicts rest on seeds that the pilot
# did not use. The simulator is calibrated first, against spike files that the same group published.

# %% tags=["hide-input"]
FULL = profile == "paper"
PILOT = "A small pilot was seen before the cut-off was set; it used other seeds."
SMALL, LARGE_NET = "75+25", "300+100"
# published runs, first 0.2 s dropped: rates in spikes/s, synchrony in windows of 1 and 5 ms
PUBLISHED = {
    SMALL: {"E rate": 43.9, "I rate": 73.6, "SSI(1 ms)": 0.121, "SSI(5 ms)": 0.495},
    LARGE_NET: {"E rate": 33.1, "I rate": 61.6, "SSI(1 ms)": 0.125, "SSI(5 ms)": 0.497},
}
KINDS = ("ee", "ie", "ei", "ii")
ERRORS = ("E rate", "I rate", "event rate", "event size")

margin = {"rate": 0.03, "SSI(": 0.06} if FULL else {"rate": 0.06, "SSI(": 0.12}
chapter.claim(
    "c0",
    "Calibration: the simulator reproduces two published runs of the same group, keeps Little's law (waiting kicks over kicks sent per ms times delay), and synchrony grows from "
    "Hom over Reg to Syn as the E-to-E kicks act sooner.",
    {
        f"{size}: {name}": between(1 - m, 1 + m)
        for size, names in PUBLISHED.items()
        for name in names
        for key, m in margin.items()
        if key in name
    }
    | {f"{size}: Little's law, {kind.upper()}": between(0.98, 1.02) for size in PUBLISHED for kind in KINDS}
    | {"gap of SSI intervals, Reg over Hom": above(0), "gap of SSI intervals, Syn over Reg": above(0)},
    paper="75+25: E 43.9, I 73.6 spikes/s, SSI 0.121 and 0.495; 300+100: E 33.1, I 61.6, SSI 0.125 and 0.497",
    source="published spike files of the group's code; order of regimes from Li, Chariker and Young (2019)",
    note=PILOT,
)
band = 0.08 if FULL else 0.15
chapter.control(
    "events-exist",
    "At the operating point bursts stand out: the two classes of the burst detector separate better than those of a normal "
    "variable, share of variance above 2/pi.",
    above(2 / math.pi),
    note=PILOT,
)
chapter.control(
    "lift-only",
    "With the true burst in place of the ANN, but through the coarse state, the four errors stay in the band of c1.",
    {name: between(-band, band) for name in ERRORS},
    note="If not, no ANN could be judged.",
)
chapter.control(
    "mean-map",
    "A map that always answers the training mean makes all bursts alike: standard deviation of sizes over that of the full network.",
    below(0.05),
    note="It may well keep rates and the mean size, which is why c1 also asks for the skill of the distributions.",
)
chapter.control(
    "shuffled-map",
    "An ANN trained on pairs with shuffled answers predicts nothing, and its skill for sizes is lower.",
    {"test R² of the E count": below(0.02), "skill of the ANN - skill of the shuffled one": above(0)},
)
NEEDS = ("events-exist", "lift-only", "mean-map", "shuffled-map")
SKILLS = {"skill of sizes": above(0), "skill of intervals": above(0)}
C1 = (
    {f"error of {name}": between(-band, band) for name in ERRORS}
    | SKILLS
    | {"gap of spectral peak, Hz": below(2 if FULL else 4)}
)
ALSO = "at (1.5, 1.2)"
SPREADS = ("spread of sizes / full", "spread of intervals / full")
chapter.claim(
    "c1",
    "With every burst replaced by one evaluation of the ANN, the rhythm of the full network is reproduced.",
    C1
    | dict.fromkeys(SPREADS, reported())
    | {f"{name}, Gaussian head": reported() for name in (*SKILLS, *SPREADS, "error of event size")}
    | {f"{name}, lift-only": reported() for name in SKILLS}
    | {f"{name}, ridge": reported() for name in SKILLS}
    | {"share of time still simulated": reported()}
    | ({f"{name}, {ALSO}": criterion for name, criterion in C1.items()} if FULL else {}),
    paper="direction only: faithful surrogates",
    source="abstract; figures 4 and 5 [recalled, not checked against the text]",
    needs=NEEDS,
    note=PILOT,
)
chapter.claim(
    "c2",
    "On unseen states before a burst the ANN predicts the state after it and the spike counts.",
    {
        "explained share, E count": above(0.9 if FULL else 0.75),
        "explained share, state": above(0.9 if FULL else 0.75),
        "R² over ridge, E count": above(0),
        "R² over ridge, state": above(0),
    },
    paper="direction only",
    source="Sections 3 and 4 [recalled]",
    needs=("events-exist", "shuffled-map"),
    note=PILOT,
)
chapter.claim(
    "c3",
    "One ANN that is also told the synaptic parameters works at unseen parameters, in clearly different regimes.",
    {
        "R² of the E rate": above(0.9 if FULL else 0.7),
        "median error of the E rate": below(0.08 if FULL else 0.15),
        "error of the mean map - error": above(0),
        "largest SSI / smallest": above(3 if FULL else 2),
        "median error, out of the box": reported(),
        "largest discarded share of starts, training": reported(),
    },
    paper="direction only",
    source="abstract; figure 6 [recalled]",
    needs=("events-exist", "lift-only"),
)
chapter.claim(
    "c4",
    "A few low modes of the voltage distributions are enough: test loss of the E count by the number of modes that the ANN sees.",
    {"8 modes / all": below(1.05), "1 mode / 8 modes": above(1.3, clear_of=1)},
    paper="direction only",
    source="Section 3 [recalled]",
    needs=("events-exist", "shuffled-map"),
)
chapter.claim(
    "c5",
    "Training on perturbed states is what makes the closed loop stable: error of an ANN trained on natural states only, minus that of one "
    "trained on as many perturbed ones.",
    above(0),
    paper="direction only",
    source="Sections 3 and 4 [recalled]",
    needs=("events-exist", "lift-only"),
)
chapter.declarations()

# %% [markdown]
# ## Sizes
#
# The network, its model and its dynamics are not scaled down in `quick`. What is smaller: the number of training bursts
# (thousands), the ANN, and how densely the box of parameters is sampled. `paper` halves the step, and takes many more
# bursts, a wider ANN and longer runs; how large the paper's own sets and ANN were is not known to us.

# %% tags=["hide-input"]
# fmt: off
QUICK = SimpleNamespace(
    step=0.1, ann_seeds=5, width=128, epochs=30, batch=256, bins_all=24,
    small=(64, 500), regimes=dict(Hom=8, Reg=8, Syn=12), neighbours=8, regime_ms=600, regime_drop=200, also=None,
    natural=(40, 600), perturbed=3000, together=500, ceiling=(40, 20),
    points=40, starts=50, held_out=12, counted=8, true_replicas=6, true_ms=300,
    loops=8, controls=8, loop_ms=600, generic_loops=2, generic_ms=300, drop_ms=100,
)
SMOKE = SimpleNamespace(**vars(QUICK) | dict(
    ann_seeds=2, width=16, epochs=6, batch=32, small=(2, 60), regimes=dict(Hom=2, Reg=2, Syn=2), neighbours=2, regime_ms=200,
    regime_drop=50,
    natural=(4, 200), perturbed=100, together=100, ceiling=(4, 3), points=3, starts=20, held_out=3, counted=2, true_replicas=2,
    true_ms=120, loops=2, controls=2, loop_ms=200, generic_ms=100, drop_ms=50,
))
PAPER = SimpleNamespace(**vars(QUICK) | dict(
    step=0.05, ann_seeds=10, width=256, epochs=10, bins_all=83,
    small=(64, 1000), regimes=dict(Hom=16, Reg=16, Syn=32), neighbours=16, regime_ms=1000, also=(1.5, 1.2),
    natural=(100, 2000), perturbed=20_000, together=1000, ceiling=(100, 40),
    points=200, starts=100, held_out=40, counted=24, true_replicas=6, true_ms=1000,
    loops=8, controls=20, loop_ms=1000, generic_loops=2, generic_ms=500,
))
# fmt: on
sizes = {"smoke": SMOKE, "quick": QUICK, "paper": PAPER}[profile]
H = sizes.step  # ms
ann_seeds = chapter.seeds(sizes.ann_seeds)
stream = partial(numpy_generator, ann_seeds[0])
N_E, N_I = 300, 100
POPULATIONS = (slice(0, N_E), slice(N_E, N_E + N_I))

# %% [markdown]
# ## The network
#
# 300 excitatory (E) and 100 inhibitory (I) neurons with integer potentials $V \in \{-66, \dots, 100\}$. Every neuron
# gets Poisson kicks of size 1 at 7 per ms. At $V \ge 100$ it spikes and rests for an exponential time of mean 2.5 ms,
# then starts from $V = 0$. A spike of population $Q'$ sends a kick to each neuron of $Q$ with probability $P_{QQ'}$,
# drawn anew each time; the kick waits an exponential time of mean $\tau_{QQ'}$ and then acts: from E it adds $S_{QE}$,
# from I it subtracts $S_{QI} (V + 66)/166$. The three regimes differ in how soon E kicks act {footcite}`li2019_gamma`:
# *Hom* fires without a rhythm, *Syn* in bursts, *Reg* in between. All of this is from the group's published code.
#
# The simulator leaps in steps of a tenth of a millisecond through many copies of the network at once; the library's
# tests compare it with exact simulation.


# %%
WEIGHTS = (5.0, 2.0, 4.91, 4.91)  # S_EE, S_IE, S_EI, S_II
REGIMES = {"Hom": (4.0, 1.2), "Reg": (2.0, 1.2), "Syn": (1.3, 0.95)}  # tau_EE, tau_IE in ms
NEIGHBOURS = ((1.4, 1.2), (1.5, 1.2), (1.6, 1.2), (1.7, 1.2))
OPERATING_POINT = REGIMES["Syn"]


def network(tau_ee=1.3, tau_ie=0.95, weights=WEIGHTS, neurons=(N_E, N_I)):
    s_ee, s_ie, s_ei, s_ii = weights
    return Network(
        *neurons,
        ee=Synapse(0.15, s_ee, tau_ee),
        ie=Synapse(0.5, s_ie, tau_ie),
        ei=Synapse(0.5, s_ei, 4.5),
        ii=Synapse(0.4, s_ii, 4.5),
    )


def steps(ms):
    return round(ms / H)


def observe(net, replicas, ms, drop, name, spikes=False):
    """Simulate from random states; a recorder after ``drop`` ms, waiting over (sent x delay) by kind, the simulator."""
    rng = stream(name)
    sim = TauLeaping(net, State.random(net, replicas, rng), rng, step=H)
    for _ in range(steps(drop)):
        sim.advance()
    recorder = Recorder(net.excitatory, replicas, steps(ms), spikes=spikes)
    sent = {kind: count.copy() for kind, count in sim.sent.items()}
    waiting = {kind: np.zeros(replicas) for kind in KINDS}
    for k in range(recorder.steps):
        recorder.add(sim.advance())
        if k % 10 == 0:
            for kind, count in sim.state.waiting(net).items():
                waiting[kind] += count / math.ceil(recorder.steps / 10)
    little = {kind: waiting[kind] / ((sim.sent[kind] - sent[kind]) / ms * net.synapses[kind].delay) for kind in KINDS}
    return recorder, little, sim


def described(e, i, neurons=(N_E, N_I)):
    """Rates and synchrony of each replica from counts (B, T)."""
    return {
        "E rate": rate(e, neurons[0], H),
        "I rate": rate(i, neurons[1], H),
        "SSI(1 ms)": spike_synchrony(e, neurons[0], H, 1.0),
        "SSI(5 ms)": spike_synchrony(e, neurons[0], H, 5.0),
    }


# %% [markdown]
# **When is a burst?** An E spike is *recurrent* if an E kick arrived in the same step, so the drive alone did not cause
# it. Let $c$ be the number of recurrent spikes in the last millisecond. A burst begins when $c \ge k_\mathrm{on}$ and
# ends once $c \le k_\mathrm{on}/2$ has held for 1.5 ms. The threshold is Otsu's: of all splits of $\sqrt c$ into two
# classes the one with the largest variance between them. The share of variance between the classes, $\eta$, is $2/\pi$
# for a normal variable, so bursts are said to exist only where $\eta$ exceeds that. The paper's own thresholds are not
# known to us.


# %%
WINDOW, QUIET = steps(1.0), steps(1.5)


def detector_of(replicas, recent=None):
    return EventDetector(replicas, k_on, WINDOW, QUIET, recent)


# %%
recorder, little, _ = observe(network(1.4, 1.2, (20, 8, 20, 20), (75, 25)), *sizes.small, sizes.drop_ms, "small")
calibration = {SMALL: (described(recorder.e.T, recorder.i.T, (75, 25)), little)}

regime_of = [n for n, k in sizes.regimes.items() for _ in range(k)]
regime_of += [f"({ee}, {ie})" for ee, ie in NEIGHBOURS for _ in range(sizes.neighbours)]
taus = np.array([*(REGIMES[n] for n in regime_of if n in REGIMES), *np.repeat(NEIGHBOURS, sizes.neighbours, 0)])
regimes, regimes_little, _ = observe(
    network(taus[:, 0], taus[:, 1]), len(taus), sizes.regime_ms, sizes.regime_drop, "regimes", spikes=True
)
member = {n: np.array([r == n for r in regime_of]) for n in dict.fromkeys(regime_of)}
regime_values = described(regimes.e.T, regimes.i.T)
c_regimes = within_window(regimes.recurrent, WINDOW)
k_on, _ = otsu_threshold(c_regimes[:, member["Syn"]])
eta = {
    n: estimate.mean([otsu_threshold(c_regimes[:, b])[1] for b in np.flatnonzero(chosen)])
    for n, chosen in member.items()
}
print(f"k_on = {k_on}")
print("regime       E 1/s   I 1/s    SSI  peak Hz  eta")
for n, chosen in member.items():
    values = {k: estimate.mean(v[chosen]) for k, v in regime_values.items()}
    frequencies, power = spectrum(regimes.e.T[chosen], N_E, H)
    print(
        f"{n:<10}  {values['E rate'].value:6.1f}  {values['I rate'].value:6.1f}  {values['SSI(1 ms)'].value:5.3f}"
        f"  {peak_frequency(frequencies, power.mean(0)):7.0f}  {eta[n].value:.2f} [{eta[n].low:.2f}, {eta[n].high:.2f}]"
    )

# %% [markdown]
# ## Bursts, natural and perturbed
#
# The full network runs freely at the operating point, Syn. Each burst gives a pair: the state at the end of the step in
# which it began, and the state when it had ended, with the numbers $n_E, n_I$ of spikes in between and the duration
# $T$. A surrogate that errs a little visits states that the free network does not, so the paper enlarges the training
# set: natural onset states are perturbed, and the true network runs from there until a burst has begun and ended.


# %%
@dataclass
class Events:
    """Bursts: states before and after, spikes of E and I, duration in ms, replica, step of onset, window at onset."""

    before: State
    after: State
    size: np.ndarray
    duration: np.ndarray
    replica: np.ndarray
    onset: np.ndarray
    window: np.ndarray

    def __len__(self):
        return len(self.duration)


def watch(sim, count, *, once=False, window=None):
    """Step the simulator ``count`` times and collect bursts. With ``once`` a replica leaves after its first."""
    replicas = len(sim.state)
    who, found = np.arange(replicas), []
    recorder = None if once else Recorder(N_E, replicas, count)
    detector, begun = detector_of(replicas, window), sim.state[:]
    onset, windows = np.zeros(replicas, dtype=int), detector.recent
    for k in range(count):
        spikes = sim.advance()
        if recorder:
            recorder.add(spikes)
        starts, ends = detector.update(*spikes.counts(N_E, len(who)))
        if starts.size:
            begun[who[starts]] = sim.state[starts]
            onset[who[starts]], windows[who[starts]] = k, detector.recent[starts]
        if ends.size:
            ids = who[ends]
            found.append(
                (
                    begun[ids],
                    sim.state[ends],
                    detector.size[ends].copy(),
                    detector.duration[ends] * H,
                    ids,
                    onset[ids],
                    windows[ids],
                )
            )
            if once:
                stay = np.setdiff1d(np.arange(len(who)), ends)
                sim.keep(stay)
                detector.keep(stay)
                who = who[stay]
                if not who.size:
                    break
    before, after, *rest = zip(*found, strict=True)
    return recorder, Events(State.join(before), State.join(after), *map(np.concatenate, rest))


def free_run(name, replicas, ms, net=None):
    """The full network: counts (B, T) of E and I after the first ``drop_ms``, its bursts, and the simulator."""
    rng = stream(name)
    net = net or network()
    sim = TauLeaping(net, State.random(net, replicas, rng), rng, step=H)
    for _ in range(steps(sizes.drop_ms)):
        sim.advance()
    recorder, events = watch(sim, steps(ms))
    return SimpleNamespace(e=recorder.e.T, i=recorder.i.T, recurrent=recorder.recurrent, events=events, sim=sim)


def perturbed(state, rng):
    """Shift potentials, rescale and redistribute waiting kicks, toggle who rests."""
    n = len(state)
    v = np.clip(state.v + rng.integers(-10, 11, state.v.shape), -66, 99)
    refractory = state.refractory ^ (rng.random(v.shape) < rng.uniform(0, 0.05, (n, 1)))
    v[refractory | state.refractory] = 0  # also those who were woken
    kicks = []
    for waiting in (state.from_e, state.from_i):
        new = np.empty_like(waiting)
        for q in POPULATIONS:
            total = np.rint(waiting[:, q].sum(1) * rng.uniform(0.5, 1.5, n)).astype(int)
            new[:, q] = rng.multinomial(total, np.full(q.stop - q.start, 1 / (q.stop - q.start)))
        kicks.append(new)
    return State(v.astype(np.int16), refractory, *kicks)


def one_event_each(states, rng, net=None, window=None):
    """The first burst from each state, at most 30 ms, at the operating point unless another network is given."""
    net = net or network()
    return watch(TauLeaping(net, states, rng, step=H), steps(30), once=True, window=window)[1]


def joined(parts):
    """Bursts of several batches."""
    arrays = {
        n: np.concatenate([getattr(p, n) for p in parts]) for n in ("size", "duration", "replica", "onset", "window")
    }
    return Events(State.join([p.before for p in parts]), State.join([p.after for p in parts]), **arrays)


def enlarge(run, name, net=None):
    """Bursts from perturbed onset states of a free run."""
    rng, parts = stream(name), []
    for _ in range(0, sizes.perturbed, sizes.together):
        chosen = rng.integers(len(run.events), size=min(sizes.together, sizes.perturbed))
        parts.append(one_event_each(perturbed(run.events.before[chosen], rng), rng, net))
    return joined(parts)


natural = free_run("natural", *sizes.natural)
enlarged = enlarge(natural, "perturbed")
print(
    f"{len(natural.events)} natural bursts; {len(enlarged)} from perturbed states, {1 - len(enlarged) / sizes.perturbed:.1%} discarded"
)

# %% [markdown]
# **Calibration.** Rates and synchrony against the published runs; and Little's law: the mean number of waiting kicks
# must be the number sent per ms times the mean waiting time. The free run at the operating point is included.

# %%
syn = described(natural.e, natural.i)
calibration[LARGE_NET] = (
    {k: np.concatenate([v[member["Syn"]], syn[k]]) for k, v in regime_values.items()},
    {kind: v[member["Syn"]] for kind, v in regimes_little.items()},
)
ssi = {n: estimate.mean(regime_values["SSI(1 ms)"][member[n]]) for n in ("Hom", "Reg")}
ssi["Syn"] = estimate.mean(calibration[LARGE_NET][0]["SSI(1 ms)"])


def gap(lower, upper):
    return estimate.exact(
        ssi[upper].low - ssi[lower].high,
        tolerance=0.01,
        method="lower end of one 95 % interval minus upper end of the other",
    )


chapter.measure(
    "c0",
    **{
        f"{size}: {name}": estimate.mean(calibration[size][0][name] / published)
        for size, names in PUBLISHED.items()
        for name, published in names.items()
    },
    **{
        f"{size}: Little's law, {kind.upper()}": estimate.mean(calibration[size][1][kind])
        for size in PUBLISHED
        for kind in KINDS
    },
    **{
        "gap of SSI intervals, Reg over Hom": gap("Hom", "Reg"),
        "gap of SSI intervals, Syn over Reg": gap("Reg", "Syn"),
    },
)
chapter.measure("events-exist", eta["Syn"])

# %% [markdown]
# ## The state in 22 numbers, and back
#
# For each population the potentials are binned into 24 bins, as fractions of the population; resting neurons are in no
# bin. Of the orthonormal discrete cosine transform of each histogram the first 8 coefficients are kept. With the two
# resting fractions and the waiting kicks per receiving neuron of the four kinds that makes 22 numbers $x$. The answer
# $y$ has the same 22 after the burst, $n_E/300$, $n_I/100$ and $T/10\,\mathrm{ms}$.
#
# To go on, the answer must become a state again. The *lift* inverts the transform, draws potentials from the histogram
# by systematic sampling, uniform inside a bin, puts neurons at rest and spreads waiting kicks at random. What it cannot
# restore is who had which kicks at which potential.


# %%
BINS, MODES, REST = 24, 8, 6


def histograms(state, bins=BINS):
    """(n, 2, bins + 1): fractions of E and I neurons by bin, the resting fraction last."""
    n, found = len(state), []
    for q in POPULATIONS:
        bin_ = np.where(state.refractory[:, q], bins, (state.v[:, q].astype(int) + 66) * bins // 166)
        flat = np.bincount((bin_ + np.arange(n)[:, None] * (bins + 1)).ravel(), minlength=n * (bins + 1))
        found.append(flat.reshape(n, -1) / (q.stop - q.start))
    return np.stack(found, 1)


def features(state, modes=MODES, bins=BINS):
    """Coarse state (n, 2 modes + 6): low modes of E, of I, resting fractions, waiting kicks EE, EI, IE, II a neuron."""
    h = histograms(state, bins)
    kicks = [w[:, q].mean(1) for q in POPULATIONS for w in (state.from_e, state.from_i)]
    low = dct(h[:, :, :bins], norm="ortho", axis=-1)[:, :, :modes].reshape(len(h), -1)
    return np.column_stack([low, h[:, :, bins], *kicks])


def answers(events):
    """y (n, 25)."""
    return np.column_stack([features(events.after), events.size / [N_E, N_I], events.duration / 10])


EDGES = -66 + np.ceil(np.arange(BINS + 1) * 166 / BINS).astype(int)  # a bin's lowest potential


def lift(coarse, rng):
    """States from coarse states (n, 22)."""
    n = len(coarse)
    state = State(*(np.zeros((n, N_E + N_I), dtype=t) for t in (np.int16, bool, np.uint8, np.uint8)))
    low = np.zeros((n, 2, BINS))
    low[:, :, :MODES] = coarse[:, : 2 * MODES].reshape(n, 2, MODES)
    mass = np.clip(idct(low, norm="ortho", axis=-1), 0, None) + 1e-12
    cumulative = np.cumsum(mass, -1) / mass.sum(-1, keepdims=True)
    resting, kicks = (
        np.clip(coarse[:, 2 * MODES :][:, :2], 0, 1),
        np.clip(coarse[:, 2 * MODES + 2 : 2 * MODES + 6], 0, None),
    )
    for r in range(n):
        for p, q in enumerate(POPULATIONS):
            size = q.stop - q.start
            awake = size - round(resting[r, p] * size)
            at = (
                np.searchsorted(cumulative[r, p], (np.arange(awake) + rng.random()) / awake, side="right")
                if awake
                else []
            )
            at = np.minimum(np.asarray(at, dtype=int), BINS - 1)
            order = rng.permutation(size)
            state.v[r, q][order[:awake]] = rng.integers(EDGES[at], EDGES[at + 1])
            state.refractory[r, q][order[awake:]] = True
            for waiting, density in ((state.from_e, kicks[r, 2 * p]), (state.from_i, kicks[r, 2 * p + 1])):
                hit = rng.integers(size, size=round(density * size))
                waiting[r, q] = np.minimum(np.bincount(hit, minlength=size), 255)
    return state


# %% [markdown]
# ## The network that learns the map
#
# A multilayer perceptron with three hidden layers of ReLU units, trained on the mean squared error of standardised
# answers with Adam and a cosine schedule; all seeds at once. Four fifths of the bursts train, the rest tests. The
# Gaussian variant also predicts a logarithmic variance for every answer and is trained by likelihood; in the loop its
# answer is drawn, not averaged. It is an addition of ours.


# %%
def split(count, name):
    order = stream("split", name).permutation(count)
    return order[: count * 4 // 5], order[count * 4 // 5 :]


class Fitted:
    """One map per seed, from inputs to answers. ``predict``: (n, inputs) -> (seeds, n, answers)."""

    def __init__(self, x, y, name, *, gaussian=False):
        self.x, self.y = StandardScaler().fit(x), StandardScaler().fit(y)
        self.gaussian, self.answers = gaussian, y.shape[1]
        a, b = (torch.as_tensor(v, dtype=torch.float32) for v in (self.x.transform(x), self.y.transform(y)))
        build = partial(mlp, x.shape[1], sizes.width, y.shape[1] * (1 + gaussian), depth=4)
        self.nets = Ensemble(build, ann_seeds)
        many = len(ann_seeds)

        def loss(nets, i):
            out = nets(a[i])
            if not gaussian:
                return (out - b[i]).square().mean((1, 2))
            mean, log_variance = out.chunk(2, -1)
            log_variance = log_variance.clamp(-8, 4)
            return (log_variance + (b[i] - mean).square() * torch.exp(-log_variance)).mean((1, 2))

        batch = min(sizes.batch, len(x))
        count = sizes.epochs * (len(x) // batch)
        batches = Minibatches([torch_generator(s, "batches", name) for s in ann_seeds], len(x), batch)
        optimizer = partial(Adam, lr=1e-3, weight_decay=1e-5, fused=True)
        train(self.nets, loss, batches, count, optimizer, schedule=partial(CosineAnnealingLR, T_max=count))
        self.weights = [
            [(m.weight.detach().numpy(), m.bias.detach().numpy()) for m in self.nets.network(k) if hasattr(m, "weight")]
            for k in range(many)
        ]

    def one(self, k, x, rng=None):
        """The map of seed k: (n, inputs) -> (n, answers); a Gaussian one draws its answer if given a generator."""
        a = ((x - self.x.mean_) / self.x.scale_).astype(np.float32)  # transform() would check x each time
        for layer, (w, b) in enumerate(self.weights[k]):
            a = a @ w.T + b
            if layer < len(self.weights[k]) - 1:
                a = np.maximum(a, 0)
        mean = a[:, : self.answers]
        if self.gaussian and rng is not None:
            mean = mean + np.exp(np.clip(a[:, self.answers :], -8, 4) / 2) * rng.standard_normal(mean.shape)
        return mean * self.y.scale_ + self.y.mean_

    def predict(self, x):
        return np.stack([self.one(k, x) for k in range(len(self.weights))])


x_all, y_all = features(enlarged.before), answers(enlarged)
fit_on, test_on = split(len(enlarged), "enlarged")
x, y, x_test, y_test = x_all[fit_on], y_all[fit_on], x_all[test_on], y_all[test_on]
x_natural, y_natural = features(natural.events.before), answers(natural.events)
natural_on, _ = split(len(natural.events), "natural")
subset = stream("subset").choice(fit_on, min(len(natural_on), len(fit_on)), replace=False)
shuffle = stream("shuffle").permutation(len(y))

ann = Fitted(x, y, "enlarged")
ann_natural = Fitted(x_natural[natural_on], y_natural[natural_on], "natural")
ann_subset = Fitted(x_all[subset], y_all[subset], "subset")
ann_shuffled = Fitted(x, y[shuffle], "shuffled")
ann_gaussian = Fitted(x, y, "gaussian", gaussian=True)
# linear regression on standardised columns, penalty 1
ridge = (
    TransformedTargetRegressor(make_pipeline(StandardScaler(), Ridge()), transformer=StandardScaler()).fit(x, y).predict
)

# %% [markdown]
# **One step (c2).** Even a perfect map leaves the scatter of bursts that start from the same state. It is measured:
# stored onset states are continued again and again with new randomness. With $R^2_c = 1 -
# \mathrm{E}[\mathrm{Var}(y|x)]/\mathrm{Var}(y)$, the ceiling, the explained share is $R^2/R^2_c$; for the state both
# are summed over its 22 columns, since single columns have ceilings near zero.

# %%
again, times = sizes.ceiling
chosen = stream("ceiling").choice(test_on, min(again, len(test_on)), replace=False)
repeated = np.repeat(chosen, times)
continued = one_event_each(enlarged.before[repeated], stream("again"), window=enlarged.window[repeated])
y_again = answers(continued)  # every burst ends: the order of ends is not that of starts
inner = np.stack([y_again[continued.replica // times == k].var(0, ddof=1) for k in range(len(chosen))])  # (states, 25)
COUNT, STATE = 22, slice(0, 22)
error = (ann.predict(x_test) - y_test) ** 2  # (seeds, n, 25)
error_ridge = (ridge(x_test) - y_test) ** 2
SAMPLES = (np.arange(len(x_test)), np.arange(len(inner)), np.arange(len(ann_seeds)))


def r_squared(squares, rows, columns):
    """Sum over columns of R² on some test bursts; squares (..., n, 25) averaged over leading axes."""
    mean = squares[..., rows, columns] if isinstance(columns, int) else squares[..., rows, :][..., columns]
    target = y_test[rows][:, columns]
    axes = tuple(range(mean.ndim - target.ndim + 1))
    return np.sum(1 - mean.mean(axes) / target.var(0))


def explained(columns, rows, states, seeds):
    ceiling = np.sum(1 - inner[states][:, columns].mean(0) / y_test[rows][:, columns].var(0))
    return r_squared(error[seeds], rows, columns) / ceiling


def over_ridge(columns, rows, seeds):
    ours, theirs = r_squared(error[seeds], rows, columns), r_squared(error_ridge, rows, columns)
    return (ours - theirs) / (1 if columns == COUNT else 22)


two = (SAMPLES[0], SAMPLES[2])
chapter.measure(
    "c2",
    **{
        "explained share, E count": estimate.resampled(SAMPLES, partial(explained, COUNT), "R² over its ceiling"),
        "explained share, state": estimate.resampled(SAMPLES, partial(explained, STATE), "R² over its ceiling"),
        "R² over ridge, E count": estimate.resampled(two, partial(over_ridge, COUNT), "difference of R²"),
        "R² over ridge, state": estimate.resampled(two, partial(over_ridge, STATE), "difference of mean R²"),
    },
)

# %% [markdown]
# **How many modes (c4).** The same training with 1, 8 and all modes in the input; the answers, and so the loss, stay
# the same.

# %%
bins_all = sizes.bins_all
coarse = {"1": (1, BINS), "8": (MODES, BINS), "all": (bins_all, bins_all)} | (
    {"2": (2, BINS), "4": (4, BINS), "16": (16, BINS)} if FULL else {}
)
loss_of = {}
for modes, (count, bins) in coarse.items():
    wide = features(enlarged.before, count, bins)
    fitted = ann if modes == "8" else Fitted(wide[fit_on], y, f"modes {modes}")
    loss_of[modes] = ((fitted.predict(wide[test_on])[..., COUNT] - y_test[:, COUNT]) ** 2).mean(1)  # (seeds,)
chapter.measure(
    "c4",
    **{
        "8 modes / all": estimate.paired_ratio(loss_of["8"], loss_of["all"]),
        "1 mode / 8 modes": estimate.paired_ratio(loss_of["1"], loss_of["8"]),
    },
)

# %% [markdown]
# ## The closed loop
#
# The full network is simulated neuron by neuron until a burst begins. Then the map answers, the answer is lifted, the
# clock jumps by the predicted $T$, the predicted spikes are spread over it, and the simulation goes on. All copies
# share the steps but keep their own clocks. Predicted fractions are clipped to $[0, 1]$, $n_E$ to $[0, 3 \cdot 300]$,
# $T$ to 1 to 30 ms. Each variant of the map runs beside the others: the ANN, those trained on natural states only and
# on as many perturbed ones, the Gaussian one, and the controls: the mean answer, the shuffled ANN, ridge regression,
# and *lift-only*, where the true burst is simulated and only its end passes through the coarse state.


# %%
def closed_loop(net, state, maps, ms, rng):
    """Run each replica with its own map (None: lift-only). Returns counts (B, T) of E and I and bursts by replica, after the first drop."""
    replicas, drop = len(maps), steps(sizes.drop_ms)
    total = drop + steps(ms)
    sim, detector = TauLeaping(net, state, rng, step=H), detector_of(replicas)
    who, clock = np.arange(replicas), np.zeros(replicas, dtype=int)
    counts = np.zeros((2, replicas, total + steps(31)), dtype=np.int32)
    lift_only = np.array([m is None for m in maps])
    begun, events, clipped, calls, raster = np.zeros(replicas, dtype=int), [], 0, 0, []
    while who.size:
        spikes = sim.advance()
        e, i, recurrent = spikes.counts(N_E, len(who))
        counts[0, who, clock], counts[1, who, clock] = e, i
        first = who[spikes.replica] == 0
        raster += [(clock[0], n) for n in spikes.neuron[first]]
        clock += 1
        starts, ends = detector.update(e, i, recurrent)
        begun[who[starts]] = clock[starts]
        for r in ends:  # lift-only: through the coarse state and back
            size, duration = detector.size[r], detector.duration[r]
            events.append((who[r], begun[who[r]], size[0], size[1], duration * H))
            sim.state[np.array([r])] = lift(features(sim.state[np.array([r])]), rng)
        for r in starts[~lift_only[who[starts]]]:
            at = np.array([r])
            y = maps[who[r]](features(sim.state[at]))[0]
            size = np.clip(y[22:24] * [N_E, N_I], 0, [3 * N_E, 3 * N_I])
            duration = np.clip(10 * y[24], 1, 30)
            clipped += (
                (size != y[22:24] * [N_E, N_I]).any()
                or duration != 10 * y[24]
                or y[16:22].min() < 0
                or y[16:18].max() > 1
            )
            calls += 1
            number = (size + rng.random(2)).astype(int)
            jump = int(duration / H + rng.random())
            for p, q in enumerate(POPULATIONS):
                when = clock[r] + rng.integers(jump, size=number[p])
                np.add.at(counts[p, who[r]], when, 1)
                if who[r] == 0:  # the answer does not say who spikes: draw them
                    raster += zip(when, stream("who", calls, p).integers(q.start, q.stop, number[p]), strict=True)
            events.append((who[r], clock[r], *number, duration))
            sim.state[at] = lift(y[None, :22], rng)
            clock[r] += jump
            detector.restart(at)
        if (clock >= total).any():
            stay = np.flatnonzero(clock < total)
            sim.keep(stay)
            detector.keep(stay)
            who, clock = who[stay], clock[stay]
    table = np.array(sorted(events), dtype=float).reshape(-1, 5)
    table = table[(table[:, 1] >= drop) & (table[:, 1] < total)]
    return SimpleNamespace(
        e=counts[0, :, drop:total],
        i=counts[1, :, drop:total],
        events=table,
        clipped=clipped / max(calls, 1),
        raster=raster,
    )


# %%
by_seed = {"ANN": ann, "natural only": ann_natural, "as many perturbed": ann_subset, "Gaussian head": ann_gaussian}
maps, label = [], []
loop_rng = stream("loop")
for name, fitted in by_seed.items():
    for k in range(len(ann_seeds)):
        maps += [partial(fitted.one, k, rng=loop_rng)] * sizes.loops
        label += [(name, k)] * sizes.loops
mean_answer = y.mean(0)
single = {
    "mean map": lambda x: mean_answer[None],
    "shuffled": partial(ann_shuffled.one, 0),
    "ridge": ridge,
    "lift-only": None,
}
for name, function in single.items():
    maps += [function] * sizes.controls
    label += [(name, k) for k in range(sizes.controls)]
start = natural.sim.state[stream("starts").integers(sizes.natural[0], size=len(maps))]
loop = closed_loop(network(), start, maps, sizes.loop_ms, loop_rng)
print(f"clipping acted in {loop.clipped:.1%} of the answers")

# %% [markdown]
# **Comparison (c1, c5).** Rates, bursts per second and mean size say little: any map that keeps the mean passes. The
# *skill* of a map is $S = 1 - W_1(\text{surrogate}, \text{full})/W_1(\text{mean map}, \text{full})$, with $W_1$ the
# Wasserstein distance between the samples of burst sizes $n_E/300$, or of intervals from onset to onset: 1 is perfect,
# 0 no better than making all bursts alike. Intervals run over the seeds of the ANN and the copies of the full network.

# %%
MOST_SIZE, MOST_INTERVAL = 3 * N_E + 1, steps(200)


def summary(e, i, table, members):
    """Per group of replicas: spikes of E and I, bursts, their E spikes, and histograms of sizes and intervals."""
    rows, of_size, intervals = [], [], []
    for group in members:
        of_group = [table[table[:, 0] == b] for b in group]
        n_e = np.concatenate([t[:, 2] for t in of_group])
        between = np.concatenate([np.diff(t[:, 1]) for t in of_group])
        time = len(group) * e.shape[1] * H / 1000
        rows.append((e[group].sum() / N_E, i[group].sum() / N_I, len(n_e), n_e.sum() / N_E, time))
        of_size.append(np.bincount(np.minimum(n_e, MOST_SIZE - 1).astype(int), minlength=MOST_SIZE))
        intervals.append(np.bincount(np.minimum(between, MOST_INTERVAL - 1).astype(int), minlength=MOST_INTERVAL))
    return {"moments": np.array(rows), "sizes": np.array(of_size), "intervals": np.array(intervals)}


PARTS = ("sizes", "intervals")
MOMENT = {
    "E rate": lambda s: s[0] / s[4], "I rate": lambda s: s[1] / s[4],
    "event rate": lambda s: s[2] / s[4], "event size": lambda s: s[3] / s[2],
}  # fmt: skip


def relative(name, ours, full):
    return MOMENT[name](ours.sum(0)) / MOMENT[name](full.sum(0)) - 1


def distance(a, b):
    """Wasserstein-1 distance between two pooled histograms on the same grid."""
    f, g = a.sum(0), b.sum(0)
    return np.abs(np.cumsum(f) / f.sum() - np.cumsum(g) / g.sum()).sum()


def skill(ours, full, mean_map):
    return 1 - distance(ours, full) / distance(mean_map, full)


def spread(ours, full=None):
    h = ours.sum(0)
    at = np.arange(h.size)
    value = np.sqrt((h * at**2).sum() / h.sum() - ((h * at).sum() / h.sum()) ** 2)
    return value if full is None else value / spread(full)


def mean_error(ours, full):
    return np.mean([abs(relative(n, ours, full)) for n in ERRORS])


def summary_of(run):
    """The same of a free run, by replica."""
    table = np.column_stack([run.events.replica, run.events.onset, run.events.size, run.events.duration])
    table = table[np.lexsort((table[:, 1], table[:, 0]))]
    return summary(run.e, run.i, table, [[b] for b in range(len(run.e))])


full = summary_of(natural)
groups = {}
for b, key in enumerate(label):
    groups.setdefault(key, []).append(b)
summaries = {
    name: summary(loop.e, loop.i, loop.events, [m for (n, _), m in groups.items() if n == name])
    for name in (*by_seed, *single)
}


def error_of(name, variant):
    pair = [summaries[variant]["moments"], full["moments"]]
    return estimate.resampled(pair, partial(relative, name), "relative error")


def skill_of(part, variant):
    three = [s[part] for s in (summaries[variant], full, summaries["mean map"])]
    return estimate.resampled(three, skill, "skill")


def spread_of(part, variant):
    return estimate.resampled([summaries[variant][part], full[part]], spread, "ratio of standard deviations")


frequencies, power_full = spectrum(natural.e, N_E, H)
_, power_loop = spectrum(loop.e, N_E, H)
power_by_seed = np.stack([power_loop[m].mean(0) for (n, _), m in groups.items() if n == "ANN"])


def loop_time(loop, replicas):
    """Network time inside bursts, and in all, in ms."""
    return loop.events[np.isin(loop.events[:, 0], replicas), 4].sum(), len(replicas) * sizes.loop_ms


def peak_gap(ours, full):
    return abs(peak_frequency(frequencies, ours.mean(0)) - peak_frequency(frequencies, full.mean(0)))


def elsewhere(taus):
    """c1 once more at another point: bursts, ANN, mean map and closed loop of its own. The threshold stays."""
    net, rng = network(*taus), stream("loop elsewhere")
    run = free_run("natural elsewhere", *sizes.natural, net)
    events = enlarge(run, "perturbed elsewhere", net)
    fitted, answer = (Fitted(features(events.before), answers(events), "elsewhere"), answers(events).mean(0))
    many = sizes.loops * len(ann_seeds)
    maps = [partial(fitted.one, b // sizes.loops) for b in range(many)] + [lambda x: answer[None]] * sizes.controls
    start = run.sim.state[rng.integers(sizes.natural[0], size=len(maps))]
    loop, reference = closed_loop(net, start, maps, sizes.loop_ms, rng), summary_of(run)
    members = np.arange(many).reshape(-1, sizes.loops)
    ours = summary(loop.e, loop.i, loop.events, members)
    fixed = summary(loop.e, loop.i, loop.events, np.arange(many, len(maps))[:, None])
    power = np.stack([spectrum(loop.e[m], N_E, H)[1].mean(0) for m in members])
    moments = [ours["moments"], reference["moments"]]
    return (
        {f"error of {n}": estimate.resampled(moments, partial(relative, n), "relative error") for n in ERRORS}
        | {
            "gap of spectral peak, Hz": estimate.resampled(
                [power, spectrum(run.e, N_E, H)[1]], peak_gap, "difference of peaks"
            )
        }
        | {f"skill of {p}": estimate.resampled([s[p] for s in (ours, reference, fixed)], skill, "skill") for p in PARTS}
    )


chapter.measure(
    "c1",
    **{f"{name}, {ALSO}": value for name, value in (elsewhere(sizes.also) if sizes.also else {}).items()},
    **{f"error of {name}": error_of(name, "ANN") for name in ERRORS},
    **{"gap of spectral peak, Hz": estimate.resampled([power_by_seed, power_full], peak_gap, "difference of peaks")},
    **{f"skill of {p}": skill_of(p, "ANN") for p in PARTS},
    **{f"spread of {p} / full": spread_of(p, "ANN") for p in PARTS},
    **{f"skill of {p}, {v}": skill_of(p, v) for p in PARTS for v in ("Gaussian head", "lift-only", "ridge")},
    **{f"spread of {p} / full, Gaussian head": spread_of(p, "Gaussian head") for p in PARTS},
    **{
        "error of event size, Gaussian head": error_of("event size", "Gaussian head"),
        "share of time still simulated": estimate.resampled(
            [np.stack([loop_time(loop, m) for (n, _), m in groups.items() if n == "ANN"])],
            lambda t: 1 - t[:, 0].sum() / t[:, 1].sum(),
            "1 - time inside bursts",
        ),
    },
)
chapter.measure("lift-only", **{name: error_of(name, "lift-only") for name in ERRORS})
chapter.measure("mean-map", spread_of("sizes", "mean map"))
r2_shuffled = 1 - ((ann_shuffled.predict(x_test)[..., COUNT] - y_test[:, COUNT]) ** 2).mean(1) / y_test[:, COUNT].var()
chapter.measure(
    "shuffled-map",
    **{
        "test R² of the E count": estimate.mean(r2_shuffled),
        "skill of the ANN - skill of the shuffled one": estimate.resampled(
            [s["sizes"] for s in (summaries["ANN"], summaries["shuffled"], full, summaries["mean map"])],
            lambda a, b, f, m: skill(a, f, m) - skill(b, f, m),
            "difference of skills",
        ),
    },
)
chapter.measure(
    "c5",
    estimate.resampled(
        [np.stack([summaries[n]["moments"] for n in ("natural only", "as many perturbed")], 1), full["moments"]],
        lambda pair, f: mean_error(pair[:, 0], f) - mean_error(pair[:, 1], f),
        "difference of mean absolute errors, paired over seeds",
    ),
)

# %% [markdown]
# ## Other synaptic parameters
#
# The generic ANN sees the four weights and $\tau_{EE}$ besides the state. It is trained at points of a box around the
# operating point, spread by a Latin hypercube, on bursts that the true network makes there, and judged at points of the
# box that it has not seen. A held-out point where fewer than ten bursts a second occur, or where more than 30 % of the
# starts find no complete burst within 30 ms, has no bursts in the sense used here: it is shown and not counted.

# %%
BOX = np.array([[4.2, 5.8], [1.7, 2.3], [4.2, 5.6], [4.2, 5.6], [1.05, 1.55]])  # S_EE, S_IE, S_EI, S_II, tau_EE


def box_points(count, name):
    return qmc.scale(qmc.LatinHypercube(5, rng=stream(name)).random(count), *BOX.T)


def starts_at(points, count, name):
    """Bursts at each point from perturbed onset states of the operating point, and the discarded share by point."""
    rng, parts = stream(name), []
    parameters = np.repeat(points, count, 0)
    for first in range(0, len(parameters), sizes.together):
        rows = parameters[first : first + sizes.together]
        states = natural.events.before[rng.integers(len(natural.events), size=len(rows))]
        part = one_event_each(perturbed(states, rng), rng, network(rows[:, 4], weights=rows[:, :4].T))
        part.replica += first
        parts.append(part)
    events = joined(parts)
    kept = np.bincount(events.replica // count, minlength=len(points))
    return events, parameters[events.replica], 1 - kept / count


generic, generic_parameters, discarded = starts_at(box_points(sizes.points, "box"), sizes.starts, "generic")
parameter_scale = StandardScaler().fit(generic_parameters).transform
x_generic, y_generic = (
    np.column_stack([features(generic.before), parameter_scale(generic_parameters)]),
    answers(generic),
)
ann_generic = Fitted(x_generic, y_generic, "generic")

held_out = box_points(sizes.held_out, "held out")
outside = np.array([[s, 2.0, i, 4.91, t] for s, i in ((6.3, 4.91), (5.0, 3.8)) for t in (1.05, 1.55)])
candidates = np.concatenate([held_out, outside])
_, _, lost = starts_at(candidates, sizes.starts, "held-out starts")
rows = np.repeat(candidates, sizes.true_replicas, 0)
truth = free_run("truth", len(rows), sizes.true_ms, network(rows[:, 4], weights=rows[:, :4].T))
true_rate = rate(truth.e, N_E, H).reshape(len(candidates), -1).mean(1)
true_ssi = spike_synchrony(truth.e, N_E, H, 1.0).reshape(len(candidates), -1).mean(1)
bursts = np.bincount(truth.events.replica // sizes.true_replicas, minlength=len(candidates))
bursts = bursts / sizes.true_replicas / sizes.true_ms * 1000
has_bursts = (bursts >= 10) & (lost <= 0.3)
counted = np.flatnonzero(has_bursts[: len(held_out)])[: sizes.counted]
shown = np.concatenate([counted, np.arange(len(held_out), len(candidates))])

generic_mean = y_generic.mean(0)
maps, where = [], []
for point in shown:
    tail = parameter_scale(candidates[[point]])
    for k in range(len(ann_seeds)):
        maps += [lambda x, k=k, tail=tail: ann_generic.one(k, np.column_stack([x, tail]))] * sizes.generic_loops
    maps += [lambda x: generic_mean[None]] * sizes.generic_loops
where = np.repeat(shown, (len(ann_seeds) + 1) * sizes.generic_loops)
rows = candidates[where]
start = truth.sim.state[where * sizes.true_replicas + np.arange(len(where)) % sizes.true_replicas]
generic_loop = closed_loop(
    network(rows[:, 4], weights=rows[:, :4].T), start, maps, sizes.generic_ms, stream("generic loop")
)
found = rate(generic_loop.e, N_E, H).reshape(len(shown), len(ann_seeds) + 1, -1).mean(2)
surrogate_rate, mean_map_rate = found[:, :-1].mean(1), found[:, -1]
inside = np.arange(len(counted))
true_shown = true_rate[shown]
error_ann = np.abs(surrogate_rate / true_shown - 1)
error_mean_map = np.abs(mean_map_rate / true_shown - 1)
pairs = [surrogate_rate[inside], true_shown[inside]]
chapter.measure(
    "c3",
    **{
        "R² of the E rate": estimate.resampled(
            pairs,
            lambda s, t: 1 - ((s - t) ** 2).sum() / max(((t - t.mean()) ** 2).sum(), 1e-12),
            "R² over points",
            paired=True,
        ),
        "median error of the E rate": estimate.median(error_ann[inside]),
        "error of the mean map - error": estimate.paired_difference(error_mean_map[inside], error_ann[inside]),
        "largest SSI / smallest": estimate.exact(
            true_ssi[counted].max() / true_ssi[counted].min(), len(counted), tolerance=0.3, method="over counted points"
        ),
        "median error, out of the box": estimate.median(error_ann[len(counted) :]),
        "largest discarded share of starts, training": estimate.exact(discarded.max(), len(discarded), tolerance=0.05),
    },
)
print(
    f"{len(counted)} held-out points counted, {int((~has_bursts[: len(held_out)]).sum())} of {len(held_out)} without bursts"
)

# %% [markdown]
# ## What it looks like

# %% tags=["hide-input"]
SHOWN_MS = 200 if profile == "smoke" else 300


def raster(ax, time, neuron, bursts, title):
    for chosen, color in ((neuron < N_E, figures.PALETTE[1]), (neuron >= N_E, figures.PALETTE[0])):
        ax.plot(time[chosen], neuron[chosen], ".", ms=1.5, color=color, rasterized=True)
    for start, end in bursts:
        ax.axvspan(start, end, color="gray", alpha=0.25, lw=0)
    ax.set(title=title, xlim=(0, SHOWN_MS), yticks=[N_E / 2, N_E + N_I / 2], yticklabels=["E", "I"])


def spans(e, i, recurrent):
    """Bursts in one recording of counts (T,): begin and end in ms."""
    detector, found, start = detector_of(1), [], 0
    for k in range(len(e)):
        begins, ends = detector.update(e[k : k + 1], i[k : k + 1], recurrent[k : k + 1])
        start = k if begins.size else start
        if ends.size:
            found.append((start * H, k * H))
    return found


with figures.figure(rows=4, size=(8, 7.5), sharex=True) as (fig, axes):
    columns = {"panel": [], "ms": [], "neuron": []}
    for ax, name in zip(axes, REGIMES, strict=False):
        b = np.flatnonzero(member[name])[0]
        spikes = [(at, s.neuron[s.replica == b]) for at, s in regimes.raster if at < steps(SHOWN_MS)]
        time = np.concatenate([np.full(len(n), at * H) for at, n in spikes])
        neuron = np.concatenate([n for _, n in spikes])
        counts = regimes.e[:, b], regimes.i[:, b], regimes.recurrent[:, b]
        raster(ax, time, neuron, spans(*counts) if name == "Syn" else [], f"{name}, full network")
        figures.fill(columns, name, time, neuron)
    at, neuron = np.array(loop.raster).T
    time = (at - steps(sizes.drop_ms)) * H
    keep = (time >= 0) & (time < SHOWN_MS)
    first = loop.events[loop.events[:, 0] == 0]
    begun = (first[:, 1] - steps(sizes.drop_ms)) * H
    raster(axes[3], time[keep], neuron[keep], zip(begun, begun + first[:, 4], strict=True), "Syn, surrogate")
    axes[3].set(xlabel="ms")
    figures.fill(columns, "surrogate", time[keep], neuron[keep])
    figure_1 = chapter.figure(
        fig,
        "Spikes of 300 E (red) and 100 I neurons (blue). Detected bursts are shaded at the operating point, in the surrogate those that "
        "the ANN stands for; there the neurons are drawn at random, since the answer does not say who spikes.",
        "Four rasters. Hom fires evenly, Reg in loose groups, Syn in sharp bursts of unequal size. The surrogate shows the same alternation of "
        "bursts and quiet stretches.",
        columns,
    )
figure_1

# %% tags=["hide-input"]
predicted = ann.predict(x_test).mean(0)
with figures.figure(rows=2, columns=3, size=(10, 5.6)) as (fig, axes):
    axes[0].plot(y_test[:, COUNT], predicted[:, COUNT], ".", ms=3, rasterized=True)
    top = max(y_test[:, COUNT].max(), predicted[:, COUNT].max())
    axes[0].plot([0, top], [0, top], color="gray", lw=1)
    axes[0].set(title="E spikes in a burst / 300", xlabel="true", ylabel="predicted")
    middle = (np.arange(BINS) + 0.5) * 166 / BINS - 66
    for k, ax in enumerate(axes[1:5]):
        repeats = histograms(continued.after[continued.replica // times == k])[:, 0, :BINS]
        modes = np.zeros(BINS)
        modes[:MODES] = ann.predict(x_all[chosen[k : k + 1]]).mean(0)[0, :MODES]
        ax.fill_between(middle, *np.quantile(repeats, [0.1, 0.9], axis=0), alpha=0.3, label="10-90 % of repeats")
        ax.plot(middle, repeats.mean(0), label="their mean")
        ax.plot(middle, idct(modes, norm="ortho"), "--", label="ANN")
        ax.set(title=f"state {k + 1}", xlabel="E potential after the burst", ylabel="fraction")
    axes[1].legend(fontsize="x-small", loc="upper right")
    each, ceiling = 1 - error.mean((0, 1)) / y_test.var(0), 1 - inner.mean(0) / y_test.var(0)
    axes[5].plot(ceiling, each, "o", ms=4)
    axes[5].plot([0, 1], [0, 1], color="gray", lw=1)
    axes[5].set(title="25 answers", xlabel="best possible R²", ylabel="R² of the ANN")
    figure_2 = chapter.figure(
        fig,
        "One burst. Top left: predicted and true E spikes on unseen states. Four panels: potentials of E neurons after the burst, for four onset "
        "states, continued again and again and as predicted. Bottom right: R² of every answer against the best possible.",
        f"Predicted and true counts lie along the diagonal, R² {each[COUNT]:.2f} of at most {ceiling[COUNT]:.2f}; predicted histograms follow the mean "
        "over repeats.",
        {"answer": np.arange(25), "r_squared": each, "ceiling": ceiling},
    )
figure_2

# %% tags=["hide-input"]
with figures.figure(columns=3, size=(11, 3.4)) as (fig, axes):
    shown_range = (frequencies >= 10) & (frequencies <= 80)
    curves = {"full network": power_full.mean(0)}
    for name in ("ANN", "Gaussian head", "lift-only", "mean map"):
        curves[name] = power_loop[[b for (n, _), m in groups.items() if n == name for b in m]].mean(0)
    for k, (name, power) in enumerate(curves.items()):
        style = dict(color=figures.PALETTE[k], ls=("-", "-", "--", ":", "-.")[k], lw=1.4 if k else 2)
        axes[0].plot(frequencies[shown_range], power[shown_range], label=name, **style)
        for ax, part, unit in ((axes[1], "sizes", 1 / N_E), (axes[2], "intervals", H)):
            h = (summaries[name] if k else full)[part].sum(0)
            ax.plot(np.arange(h.size) * unit, np.cumsum(h) / h.sum(), **style)
    axes[0].set(xlabel="Hz", ylabel="power of E spike density", yscale="log")
    axes[0].legend(fontsize="small")
    axes[1].set(xlabel="E spikes in a burst / 300", ylabel="share of bursts below", xlim=(0, 1.6))
    axes[2].set(xlabel="ms from onset to onset", ylabel="share of intervals below", xlim=(0, 60))
    width = {n: spread_of("sizes", n).value for n in ("ANN", "Gaussian head")}
    figure_3 = chapter.figure(
        fig,
        "Spectra, and cumulative distributions of burst sizes and intervals, at the operating point.",
        f"The ANN's bursts vary {width['ANN']:.2f} times as much as the full network's, with a Gaussian head {width['Gaussian head']:.2f} times; "
        "the mean map's are all alike.",
        {"hz": frequencies[shown_range]} | {n: p[shown_range] for n, p in curves.items()},
        explore=Explore(x="hz", y=tuple(curves), log="y"),
    )
figure_3

# %% tags=["hide-input"]
with figures.figure(columns=2, size=(9, 3.6)) as (fig, (left, right)):
    out = np.arange(len(counted), len(shown))
    left.plot(true_shown[inside], surrogate_rate[inside], "o", label="inside the box")
    left.plot(true_shown[out], surrogate_rate[out], "o", mfc="none", color=figures.PALETTE[1], label="outside")
    left.plot(true_shown, mean_map_rate, "x", color="gray", label="mean map")
    left.plot([0, true_shown.max()], [0, true_shown.max()], color="gray", lw=1)
    left.set(xlabel="true E rate, spikes/s", ylabel="surrogate")
    left.legend()
    losses = {n: estimate.mean(v) for n, v in sorted(loss_of.items(), key=lambda item: coarse[item[0]])}
    figures.grouped_bars(right, {"test loss of the E count": losses})
    right.set(xlabel="modes of each histogram", ylabel="test loss of the E count")
    figure_4 = chapter.figure(
        fig,
        "Left: E rate of the surrogate against that of the full network at parameters not trained on. Right: loss by the number of modes "
        "that the ANN sees, means over seeds with 95 % intervals.",
        f"Inside the box the median error is {np.median(error_ann[inside]):.1%}, that of the mean map {np.median(error_mean_map[inside]):.0%}. One mode loses "
        f"{loss_of['1'].mean() / loss_of['8'].mean():.1f} times as much as eight.",
        {
            "true_rate": true_shown, "surrogate_rate": surrogate_rate, "mean_map_rate": mean_map_rate,
            "inside": [k < len(counted) for k in range(len(shown))],
        },
    )  # fmt: skip
figure_4

# %% [markdown]
# **How much hangs on the threshold.** Bursts of the same free run, found with half and with one and a half times
# $k_\mathrm{on}$; and without any threshold, as groups of at least 15 E spikes with no gap above 1.5 ms.

# %% tags=["hide-input"]
for threshold in (max(k_on // 2, 1), k_on, 3 * k_on // 2):
    detector, found = EventDetector(len(natural.e), threshold, WINDOW, QUIET), []
    for e, i, recurrent in zip(natural.e.T, natural.i.T, natural.recurrent, strict=True):
        _, ends = detector.update(e, i, recurrent)
        found += detector.size[ends, 0].tolist()
    seconds = natural.e.size * H / 1000
    print(
        f"k_on {threshold:>2}: {len(found) / seconds:.0f} bursts/s, mean size {np.mean(found) / N_E:.2f} of the E neurons"
    )

groups_of = []
for row in natural.e:
    active = np.flatnonzero(row)
    for group in np.split(active, np.flatnonzero(np.diff(active) > steps(1.5)) + 1):
        if row[group].sum() >= 0.05 * N_E:
            groups_of.append(row[group].sum() / N_E)
print(f"by gaps: {len(groups_of) / seconds:.0f} groups/s, median size {np.median(groups_of):.2f} of the E neurons")

# %% [markdown]
# ## Verdict

# %% tags=["nbval-check-output"]
chapter.verdicts()

# %%
chapter.report()

# %% [markdown]
# **What was easy.** The simulator: with the group's published parameters it meets their spike files, and Little's law
# exposes any lost or doubled kick. The one-step map: burst sizes span the whole range from none to more than all
# neurons, and most of that is decided when the burst begins.
#
# **What was hard.** The closed loop. Bursts of the surrogate are too small on average. The interval of the error in size
# reaches across the edge of the band set beforehand, in earlier runs it lay beyond it; rates, burst rate and both skills
# pass. Was it the implementation? Simulator and statistics are tested
# against exact simulation and closed forms. Lift-only, which simulates the true burst and passes only its end through
# the coarse state, shows what the coarse state costs: part of the error in size, not all, and the control holds. Most
# of the rest is the spread that a mean cannot have: the same ANN with a Gaussian head, drawn instead of averaged,
# brings the mean size back to about where lift-only is, and most of the spread of sizes, but makes intervals too
# irregular: it draws every column of its answer independently. So squared error costs more than the coarse state does.
# Figure 3 shows the same in the spectrum: the second peak near half the frequency, which comes from large and small
# bursts taking turns, is almost gone.
#
# **At the paper's sizes** the ANN has many more bursts to learn from and explains all that can be explained of one
# step. The bursts of the closed loop are still too small, so it is not for want of data. But the band is half as wide
# there, and lift-only itself reaches its edge: then no ANN could be judged by it, and c1 stays open in that profile, as
# do c3 and c5, which were declared to need the same control. The specification asks that of c1 only; the page shows
# what the other two would have read.
#
# **Perturbed states (c5)** made no difference that five seeds could show at this point: the ANN trained on natural
# states alone is as good in the loop as one trained on as many perturbed ones. The rhythm is noisy enough to visit the
# states it needs. That is no refutation: the criterion's interval lies across zero.
#
# **How firm is this?** The chapter was run on four random streams: a second time because fewer
# candidates for held-out points were drawn, to save time, a third and a fourth because the simulator was made faster and
# so draws its random numbers in another order. All verdicts came out the same, except two. c3 read *replicated*,
# *inconclusive*, *replicated*, *replicated*: the interval of a median over eight points is wide. c1 read
# *not replicated* three times and is *inconclusive* in the published run: the bursts were too small in all four, and in
# the fourth the interval of that error reaches back into the band. The last run is published, whatever it said. The paper
# profile counts more points.
#
# **What the paper leaves out, as far as we know it.** Thresholds of the burst detector, the number of bins and modes,
# the size of the training set and of the ANN are this chapter's. No figure of the paper could be compared; the criteria
# are the specification's. The paper's own operating point, recalled as weights 4, 3, -2.2, -2, was not run.
#
# **Where this run differs.** The paper varies synaptic strengths; here the E-to-E waiting time varies too, because it
# moves the network between regimes. The specification's plan for the paper profile, 200,000 bursts a regime, four
# layers of 512 units and runs of 20 s, asks for a GPU; the sizes above are what a processor does within half an hour.
# Detection restarts with an empty window after every burst in both networks. The group's earlier two-state reduction
# was not built.
