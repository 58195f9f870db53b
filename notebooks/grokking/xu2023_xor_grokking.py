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
# # Benign overfitting and grokking in ReLU networks for XOR cluster data
#
# *Zhiwei Xu, Yutong Wang, Spencer Frei, Gal Vardi, Wei Hu. ICLR 2024* {footcite}`xu2023_xor_grokking`
#
# **The question.** Can a network fit every training label, wrong ones included, know nothing about new points, and a few
# steps later be right on nearly all new points, with the wrong labels still fitted? The paper proves it for one network
# and one kind of data: after the first step of gradient descent the fit is perfect and useless, after a dozen steps it
# is perfect and harmless.
#
# **Why it matters.** It is one of the few settings in which both the harmful and the harmless overfitting, and the way
# from one to the other, follow from a proof. So the cause can be looked at: after one step the network is a linear
# classifier, and no line separates an XOR.
#
# **What was found here.** At the paper's own sizes the sequence is there, and so is its cause, though with few runs two
# of the numbers stay too uncertain to call. The theorem speaks of an event of high probability, and rightly so: on some
# data sets test accuracy is still well below 1 when the others are learned, so the average over runs lags behind the
# typical run. A smaller step size delays both events, generalisation far more than the fit.

# %% tags=["parameters"]
profile = "quick"
seed = 0

# %% tags=["hide-input"]
from copy import deepcopy
from types import SimpleNamespace

import numpy as np
import torch
from replib import estimate
from replib.chapter import begin
from replib.figures import PALETTE, Heat, Histogram, Level, Lines, Points, table
from replib.onset import onset
from replib.randomness import numpy_generator

chapter = begin("xu2023_xor_grokking", profile, seed)

# %% [markdown]
# ## What the paper claims
#
# A claim counts only if the controls it needs behave as declared. $t$ counts steps of gradient descent.

# %% tags=["hide-input"]
chapter.claims()

# %% [markdown]
# ## Sizes
#
# `quick` has the paper's own dimension, sample, width, noise and initialisation. Scaled are the number of runs (20, and
# 5 to 10 in the smaller parts, instead of 100), their length (60 steps instead of 1000), and the slow step size (1e-15
# for 800 steps instead of 1e-16 for 20 000). `paper` has 100 runs everywhere and adds other sample sizes; as $\mu$ is
# tied to $n$, the signal $s$ changes with them.

# %% tags=["hide-input"]
# fmt: off
PLAIN = dict(p=40_000, n=200, tests=400, m=1000, flips=0.05, omega=1e-15)
sizes = chapter.sizes(
    quick=dict(runs=20, steps=60, slow_runs=5, slow_alpha=1e-15, slow_steps=800, other=10, sweep=5, widths=10,
               samples=(), check=dict(p=2000, n=60, m=200)),
    smoke=dict(runs=2, slow_runs=2, slow_steps=40, other=2, sweep=2, widths=2, check=dict(p=300, n=30, m=50)),
    paper=dict(runs=100, steps=1000, slow_runs=100, slow_alpha=1e-16, slow_steps=20_000, other=100, sweep=100,
               widths=100, samples=(100, 400)),
)
# fmt: on
SNRS, WIDTHS = (1.0, 3.0, 10.0, 30.0, 88.0), (64, 250, 1000, 4000)
ALPHA, AT = 1e-12, 15
PROBES = [*range(21), 25, 30, 40, 50, 60]


def strength(p, n):
    """The paper's length of a mean."""
    return 2.5 * np.sqrt(p / n)


# %% [markdown]
# ## Data and network
#
# Two orthogonal means $\mu_1, \mu_2 \in \mathbb R^p$ have the same length $\mu$. A point of class $+1$ is $\pm\mu_1 +
# z$, one of class $-1$ is $\pm\mu_2 + z$, with fair signs and $z \sim N(0, I_p)$. So the four clusters form an XOR.
# Each training label is flipped with probability $\eta$; test labels are clean. The network has fixed output weights,
#
# $$f(x) = \sum_j a_j\, \mathrm{relu}(\langle w_j, x\rangle),\qquad a_j = \pm\tfrac1{\sqrt m},\qquad
# w_j(0) \sim N(0, \omega^2 I_p),$$
#
# and gradient descent on the logistic loss moves the $w_j$, with step $\alpha$ and $g_i = 1/(1 + e^{y_i f(x_i)})$:
#
# $$w_j \leftarrow w_j + \frac{\alpha a_j}{n} \sum_i g_i\, 1[\langle w_j, x_i\rangle > 0]\; y_i x_i .$$
#
# **Coordinates.** $p = 40\,000$ is large, but nothing depends on more than inner products: every update lies in the span
# of the training points. So the coordinate system may be turned until $\mu_1$ and $\mu_2$ are the first two axes, the
# first point adds the third, the next one the fourth, and so on. In these coordinates the noise of point $i$ is two
# standard normal numbers on the axes of the means, $i$ more of them, one number from the chi distribution with
# $p - 2 - i$ degrees of freedom, and zeros (Bartlett's decomposition). That is the same distribution, not an
# approximation of it, and 602 coordinates instead of 40 000. The initial weights are standard normal numbers times
# $\omega$ in any orthonormal coordinates.
#
# **Steps.** With $w_j(t) = w_j(0) + \sum_i c_{ij} x_i$ all pre-activations are $H(t) = H(0) + K C$, where $K$ holds
# inner products. A step costs $n^2 m$ instead of $n p m$ operations.


# %%
def clusters(seed, *, p, n, tests, flips, mu, **_):
    """Points (n + tests, n + tests + 2) in the turned coordinates, clean labels, which labels are flipped."""
    rng = numpy_generator(seed, "data", n)
    count = n + tests
    sign, negative = rng.choice([-1.0, 1.0], count), rng.integers(2, size=count)
    x = np.zeros((count, count + 2))
    x[:, :2] = rng.standard_normal((count, 2))
    x[:, 2:] = np.tril(rng.standard_normal((count, count)), -1)
    x[range(count), range(2, count + 2)] = np.sqrt(rng.chisquare(p - 2 - np.arange(count)))
    x[range(count), negative] += sign * mu
    flipped = (rng.random(count) < flips) & (np.arange(count) < n)
    return x, 1.0 - 2 * negative, flipped


def start(seed, coordinates, m, omega):
    """Initial weights (coordinates, m) and output weights (m,)."""
    rng = numpy_generator(seed, "weights", m)
    return omega * rng.standard_normal((coordinates, m)), rng.choice([-1.0, 1.0], m) / np.sqrt(m)


def descend(x, y, given, w, a, *, n, alpha, steps, probes, mu, relu=True, frozen=False, until=None):
    """Gradient descent in the span of the n training points; what is seen at the probes, as a list of namespaces."""
    x, y, given, w, a = (torch.as_tensor(v, dtype=torch.float64, device=chapter.device) for v in (x, y, given, w, a))
    train, given = x[:n], given[:n]
    inner, across, h, h_test = train @ train.T, x[n:] @ train.T, train @ w, x[n:] @ w
    axes, along = x[:n, :2].T * mu, w[:2] * mu
    c, begun = torch.zeros_like(h), h > 0
    work, z = torch.empty_like(h), torch.empty_like(h_test)  # written over again and again
    wanted, seen = set(probes), []
    for t in range(steps + 1):
        active = (begun if frozen else h > 0) if relu else torch.ones_like(begun)
        f = torch.mul(h, active, out=work) @ a
        if t in wanted:
            torch.addmm(h_test, across, c, out=z)
            if relu:
                z *= (h_test if frozen else z) > 0
            f_test = z @ a
            right = (f * given) > 0
            seen.append(SimpleNamespace(
                step=t, train=right.double().mean().item(), test=(f_test * y[n:] > 0).double().mean().item(),
                flipped=right[given != y[:n]].double().mean().item(), f=f_test.cpu().numpy(),
                along=(along + axes @ c).cpu().numpy(),
            ))  # fmt: skip
            if until is not None and until(seen[-1]):
                break
        c += torch.outer(alpha / n * torch.sigmoid(-given * f) * given, a, out=work).mul_(active)
        h.addmm_(inner, work)
    return seen


def run(seed, *, alpha=ALPHA, steps=60, probes=None, mu=None, relu=True, frozen=False, until=None, **changes):
    """One run of the paper's experiment, with changes."""
    s = PLAIN | changes
    s["mu"] = strength(s["p"], s["n"]) if mu is None else mu
    x, y, flipped = clusters(seed, **s)
    w, a = start(seed, x.shape[1], s["m"], s["omega"])
    given = np.where(flipped, -y, y)
    probes = [t for t in PROBES if t <= steps] if probes is None else probes
    seen = descend(x, y, given, w, a, n=s["n"], alpha=alpha, steps=steps, probes=probes, mu=s["mu"],
                   relu=relu, frozen=frozen, until=until)  # fmt: skip
    rule = x[s["n"] :] @ (given[: s["n"]] @ x[: s["n"]])
    # what is kept lies between large arrays on the heap; copies let the allocator have the room in one piece
    return SimpleNamespace(seen=deepcopy(seen), positive=a > 0, rule=rule, n=s["n"], mu=s["mu"])


def curve(runs, name):
    """(T, runs) values at the probes, and their steps."""
    return np.array([[getattr(v, name) for v in r.seen] for r in runs]).T, [v.step for v in runs[0].seen]


def at(runs, step, name="test"):
    values, steps = curve(runs, name)
    return values[steps.index(step)]


# %% [markdown]
# Is it gradient descent? The same steps are taken once with explicit vectors of dimension $p$, which a random rotation
# makes from the turned ones, all weights, and automatic differentiation of the logistic loss.

# %%
s = PLAIN | sizes.check | dict(tests=20, flips=0.2)
s["mu"], rate = strength(s["p"], s["n"]), s["n"] / s["p"]
x, y, flipped = clusters(0, **s)
given = np.where(flipped, -y, y)
turn = np.linalg.qr(numpy_generator(0, "turn").standard_normal((s["p"], x.shape[1])))[0].T
w, a = start(0, s["p"], s["m"], s["omega"])
ours = descend(x, y, given, turn @ w, a, n=s["n"], alpha=rate, steps=5, probes=[5], mu=s["mu"])[0].f
explicit, weights = torch.tensor(x @ turn), torch.tensor(w, requires_grad=True)
for _ in range(5):
    f = (explicit[: s["n"]] @ weights).relu() @ torch.tensor(a)
    loss = torch.nn.functional.softplus(-torch.tensor(given[: s["n"]]) * f).mean()
    (gradient,) = torch.autograd.grad(loss, weights)
    weights = (weights - rate * gradient).detach().requires_grad_()
theirs = ((explicit[s["n"] :] @ weights).relu() @ torch.tensor(a)).detach().numpy()
noise = clusters(0, **PLAIN, mu=0.0)[0]
products = noise @ noise.T / PLAIN["p"]
apart = products[np.tril_indices(len(products), -1)]
relative = np.abs(ours - theirs).max() / np.abs(theirs).max()
variance = apart.var() * PLAIN["p"]
chapter.measure(
    "same-as-descent",
    difference=estimate.exact(relative, len(ours), tolerance=1e-10, method="largest of the test points"),
    length=estimate.exact(products.diagonal().mean(), len(products), tolerance=0.01, method="mean over points"),
    variance=estimate.exact(variance, len(apart), tolerance=0.05, method="variance over pairs of points"),
)

# %% [markdown]
# The theorem asks for six things, each up to a constant. Which of them does the paper's experiment satisfy? Even with
# all constants 1, those with a ratio below 1 fail.

# %%
p, n, m, omega = (PLAIN[k] for k in ("p", "n", "m", "omega"))
square = strength(p, n) ** 2
for condition, ratio in {
    "μ² / (n^0.51 √p), at least C": square / (n**0.51 * np.sqrt(p)),
    "p / (n² μ²), at least C": p / (n**2 * square),
    "1 / η, at least C": 1 / PLAIN["flips"],
    "1 / (α n p), at least C": 1 / (ALPHA * n * p),
    "α μ² / (ω n m^1.5 p), at least 1": ALPHA * square / (omega * n * m**1.5 * p),
    "m / n^0.02, at least C": m / n**0.02,
}.items():
    print(f"{condition:34} {ratio:8.2g} {'' if ratio >= 1 else '  fails'}")

# %% [markdown]
# ## From useless to harmless
#
# The paper's experiment, and the same with a small step. How small matters: a step of the ordinary kind fits all labels
# at once because $\alpha$ is large against $\omega$. Two times follow from the sizes. A step adds $\alpha p/4n$ to the
# output at a training point, which starts at about $0.58\,\omega\sqrt p$ times a normal number, the largest of 200 of
# which is about 2.8; so all labels are fitted after about $6.5\,\omega n/(\alpha\sqrt p)$ steps. And it adds
# $\alpha p/(2n\sqrt m)$ to a pre-activation of size $\omega\sqrt p$, so activation patterns change after
# $t^* = 2\,\omega n\sqrt m/(\alpha\sqrt p)$ steps; test accuracy 0.9 took about $8\,t^*$ in a pilot. The table of c5 has
# both times over these predictions.

# %%
seeds, slow_seeds = chapter.seeds(sizes.runs), chapter.seeds(sizes.slow_runs)
further = [t for t in (100, 200, 400, 700, 1000) if t <= sizes.steps]
fast = [run(i, steps=sizes.steps, probes=PROBES + further) for i in seeds]
slow_probes = np.unique(np.geomspace(1, sizes.slow_steps, 60).astype(int)).tolist()
slow = [run(i, alpha=sizes.slow_alpha, steps=sizes.slow_steps, probes=[0, *slow_probes]) for i in slow_seeds]

fitted = {t: at(fast, t, "train") for t in (1, AT)}
test = {t: at(fast, t) for t in (1, AT)}
chapter.measure("c1", fitted=estimate.count(fitted[1] == 1), test=estimate.mean(test[1]))
other_n = {n: [run(i, n=n, steps=AT, probes=[AT]) for i in seeds] for n in sizes.samples}
chapter.measure(
    "c2",
    train=estimate.count(fitted[AT] == 1) if chapter.full else estimate.mean(fitted[AT]),
    median=estimate.median(test[AT]),
    mean=estimate.mean(test[AT]),
    share=estimate.mean(test[AT] >= 0.9),
    other_fitted={n: estimate.count(at(runs, AT, "train") == 1) for n, runs in other_n.items()},
    other_median={n: estimate.median(at(runs, AT)) for n, runs in other_n.items()},
)


def times(runs):
    """Onsets of a perfect fit and of test accuracy 0.9."""
    return [onset(curve(runs, n)[1], curve(runs, n)[0], level) for n, level in (("train", 1.0), ("test", 0.9))]


(fast_fit, fast_test), (slow_fit, slow_test) = times(fast[: len(slow)]), times(slow)
unit = PLAIN["omega"] * PLAIN["n"] / (sizes.slow_alpha * np.sqrt(PLAIN["p"]))
steps = {"large step": times(fast), "small step": (slow_fit, slow_test)}
chapter.measure(
    "c5",
    order={
        "fits later": estimate.count(fast_fit.reached & (slow_fit.step > fast_fit.step)),
        "generalises later": estimate.count(fast_test.reached & (slow_test.step > fast_test.step)),
        "fits before it generalises": estimate.count(slow_fit.reached & (slow_test.step > slow_fit.step)),
    },
    fit_time=estimate.geometric_mean(slow_fit.step / (6.5 * unit)),
    test_time=estimate.geometric_mean(slow_test.step / (16 * unit * np.sqrt(PLAIN["m"]))),
    memorises={name: estimate.median(fit.step) for name, (fit, _) in steps.items()},
    generalises={name: estimate.median(general.step) for name, (_, general) in steps.items()},
    runs={name: estimate.count(general.reached) for name, (_, general) in steps.items()},
)

# %% tags=["hide-input"]
entries = []
for runs, alpha in ((fast, ALPHA), (slow, sizes.slow_alpha)):
    for name, label in {"train": "training", "flipped": "training, flipped", "test": "test"}.items():
        v, t = curve(runs, name)
        reach = np.nanpercentile(v, [10, 90], 1)
        entries.append((f"step size {alpha:g}", label, np.array(t) + 1, np.nanmean(v, 1), *reach))
chapter.figure(
    table(("step size", "points", "t + 1", "mean", "10 %", "90 %"), entries),
    Lines("t + 1", "mean", by="points", where="points != 'test'"),
    Lines("t + 1", "mean", by="points", band=("10 %", "90 %"), where="points == 'test'"),
    Level(0.5, "chance"),
    panel="step size",
    xscale="log",
    ylabel="accuracy",
    caption="Accuracy, mean over runs; the band holds the middle 80 % of the runs' test accuracies. Dotted: chance. "
    f"Left: after one step the training accuracy is {fitted[1].mean():.3f} and the test accuracy "
    f"{test[1].mean():.2f}, after {AT} steps {fitted[AT].mean():.3f} and {test[AT].mean():.2f}.",
    alt="Two panels against steps on a logarithmic axis. Left: training accuracy, flipped labels included, jumps to 1 "
    "at the first step; test accuracy stays at one half there and rises towards 1 in the next dozen steps. Right: "
    "with a small step size both rises are spread out, the test accuracy much later than the fit.",
)

# %% [markdown]
# ## After one step: a line
#
# At the first step all $g_i$ are $\tfrac12$ and every neuron is active on a random half of the points, which of them it
# is does not depend on the labels. In the average over many neurons this leaves $f(x) \to \frac{\alpha}{8n}
# \langle\sum_i y_i x_i, x\rangle$. That rule fits every training point, because $\|x_i\|^2 \approx p$ outweighs all
# other terms, and no linear rule can do an XOR: of two opposite clusters of one class it gets at most one right.

# %%
width_seeds = chapter.seeds(sizes.widths)
by_width = {m: [run(i, m=m, steps=1, probes=[1]) for i in width_seeds] for m in WIDTHS}
agreement = [np.mean(np.sign(r.seen[0].f) == np.sign(r.rule)) for r in by_width[1000]]
correlation = np.array([[np.corrcoef(r.seen[0].f, r.rule)[0, 1] for r in by_width[m]] for m in WIDTHS])
scale = [r.seen[0].f @ r.rule / (r.rule @ r.rule) * 8 * r.n / ALPHA for r in by_width[1000]]
chapter.measure(
    "c3",
    agreement=estimate.mean(agreement),
    correlation=estimate.mean(correlation[WIDTHS.index(1000)]),
    width=estimate.loglog_slope(WIDTHS, 1 - correlation.T),
    scale=estimate.mean(scale),
)

# %% [markdown]
# ## What the neurons learn
#
# $\langle w_j, \mu_1\rangle$ and $\langle w_j, \mu_2\rangle$ say which cluster a neuron answers to. A neuron that
# happens to lean towards $+\mu_1$ is active on that cluster and not on $-\mu_1$. If $a_j > 0$, the cluster pulls it
# further the same way, step after step. On the other axis the points have label $-1$: they push it back from whichever
# side it is active on.


# %%
def own_and_other(r, probe):
    """Mean size of the projection on the own and the other axis, for positive and for negative neurons."""
    size, pairs = np.abs(probe.along), (((0, True), (1, True)), ((1, False), (0, False)))
    return np.array([[size[k][r.positive == own].mean() for k, own in pair] for pair in pairs])


grown = np.array([[own_and_other(r, v) for v in r.seen if v.step <= AT] for r in fast])  # (runs, t, sign, own/other)
ratio = np.exp(np.log(grown[..., 0] / grown[..., 1]).mean(-1))  # (runs, t)
own = grown[:, 1 : AT + 1, :, 0].mean(-1)
line = [np.corrcoef(np.arange(1, AT + 1), v)[0, 1] ** 2 for v in own]
chapter.measure("c4", ratio={t: estimate.geometric_mean(ratio[:, t]) for t in (1, AT)}, line=estimate.mean(line))

# %% tags=["hide-input"]
first, drawn, entries = fast[0], grown[0, :, 0, 0] / grown[0, :, 0, 1], []
for t in (0, 1, AT):
    along = next(v for v in first.seen if v.step == t).along[:, first.positive]
    edges = np.linspace(-1.05, 1.05, 42) * np.abs(along).max()
    for k, name in enumerate(("on μ₁", "on μ₂")):
        entries.append((f"t = {t}", name, (edges[1:] + edges[:-1]) / 2, np.histogram(along[k], edges)[0]))
chapter.figure(
    table(("t", "axis", "projection", "neurons"), entries),
    Histogram("projection", "neurons", by="axis"),
    panel="t",
    sharey=False,
    size=(9, 3.2),
    xlabel="$\\langle w_j, \\mu_k\\rangle$",
    ylabel="neurons with $a_j > 0$",
    caption="Projections of the positive neurons on both means, first run. The mean size on the own axis is "
    f"{drawn[1]:.2f} times that on the other after one step and {drawn[AT]:.1f} times after {AT} steps.",
    alt="Three histograms. At the start both projections are the same bell. After one step they have grown alike. "
    f"After {AT} steps the projections on the first mean form two far groups, one on each side, and those on the "
    "second mean stay in the middle.",
)

# %% [markdown]
# ## How strong must the signal be?
#
# Test points keep their noise, so only $\mu$ decides how far the clusters stand out. At fixed $n$ and $p$ the sweep
# changes $\mu$; $s = 88$ is the paper's value.

# %%
sweep_seeds = chapter.seeds(sizes.sweep)
weak = [
    [run(i, steps=AT, probes=[AT], mu=np.sqrt(s * np.sqrt(PLAIN["p"] / PLAIN["n"]))) for i in sweep_seeds] for s in SNRS
]
level, learned = (np.array([at(runs, AT, name) for runs in weak]) for name in ("test", "train"))
chapter.measure(
    "c6",
    median={SNRS[k]: estimate.median(level[k]) for k in (0, -1)},
    rise={
        f"{SNRS[k]:g} to {SNRS[k + 1]:g}": estimate.paired_difference(level[k + 1], level[k])
        for k in range(1, len(SNRS) - 1)
    },
    mean={s: estimate.mean(v) for s, v in zip(SNRS, level, strict=True)},
)

# %% tags=["hide-input"]
chapter.figure(
    table(
        ("what", "s", "test accuracy"),
        [("one run", s, v) for s, v in zip(SNRS, level, strict=True)] + [("mean", SNRS, level.mean(1))],
    ),
    Points("s", "test accuracy", by="what", where="what == 'one run'"),
    Lines("s", "test accuracy", by="what", where="what == 'mean'"),
    Level(0.5, "chance"),
    size=(6, 3.4),
    xscale="log",
    xlabel="signal s = √n μ²/√p",
    ylabel=f"test accuracy at t = {AT}",
    caption=f"Test accuracy after {AT} steps against the strength of the signal; one dot per run. The means are "
    f"{', '.join(f'{v.mean():.2f} at s = {s:g}' for s, v in zip(SNRS, level, strict=True))}.",
    alt="Dots on a logarithmic axis: at chance for the weakest signals, scattered in between, near 1 at the paper's "
    f"signal. The lowest training accuracy of all runs is {learned.min():.3f}.",
)

# %% [markdown]
# ## Controls
#
# Only one thing is changed at a time. In `quick` three runs each were planned; with three, two of the controls stayed
# unclear, and ten are used.

# %%
other_seeds = chapter.seeds(sizes.other)
changes = {
    "linear": dict(relu=False),
    "no-signal": dict(mu=0.0),
    "large-start": dict(omega=1e-9),
    "frozen": dict(frozen=True),
}
for name, change in changes.items():
    runs = [run(i, probes=[AT, 60], **change) for i in other_seeds]
    more = {"test_15": at(runs, AT)} if name == "no-signal" else {"train_60": at(runs, 60, "train")}
    chapter.measure(name, test_60=estimate.mean(at(runs, 60)), **{k: estimate.mean(v) for k, v in more.items()})

# %% tags=["hide-input"]
u, v = np.meshgrid(*[np.linspace(-2, 2, 41)] * 2)
a, entries = np.where(first.positive, 1, -1), []
for t in (1, AT):
    along = next(p for p in first.seen if p.step == t).along
    f = np.maximum(u[..., None] * along[0] + v[..., None] * along[1], 0) @ a
    entries.append((f"t = {t}", "", u, v, np.where(f > 0, 1, -1)))
    entries += [(f"t = {t}", "class +1", (1, -1), 0, np.nan), (f"t = {t}", "class -1", 0, (1, -1), np.nan)]
MU1, MU2 = "along μ₁, in units of μ", "along μ₂, in units of μ"


def means(ax, rows, cues):
    """The means of the four clusters, a mark for each class."""
    for (name, own), mark in zip(rows.query("cluster != ''").groupby("cluster", sort=False), "PX", strict=True):
        (drawn,) = ax.plot(own[MU1], own[MU2], mark, color="black", mec="white", ms=9)
        cues.label(name, drawn)


chapter.figure(
    table(("t", "cluster", MU1, MU2, "answer"), entries),
    Heat(MU1, MU2, "answer", colors=(PALETTE[4], PALETTE[5]), where="cluster == ''"),
    means,
    panel="t",
    size=(7, 3.6),
    aspect="equal",
    caption="Where the network of the first run answers +1 (blue) in the plane of the two means, without noise.",
    alt=f"Two maps. After one step one straight line through the origin divides the plane. After {AT} steps two "
    "crossing lines divide it into four sectors, each around one cluster, with opposite sectors alike.",
)

# %% [markdown]
# ## Verdict

# %% tags=["nbval-check-output"]
chapter.verdicts()

# %%
chapter.report()

# %% [markdown]
# **What was easy.** The experiment itself: everything is a product of matrices of a few hundred rows once the
# coordinates are turned. Where $\alpha$ is large against $\omega$ the order of events leaves no doubt.
#
# **What was hard.** Saying what "generalises" means over runs. After the first step the network is a linear rule, which
# has of two opposite clusters one right, so every run is near one half. At $t = 15$ most runs are nearly perfect and
# some are not. The theorem allows that. Median and mean are both given. For the same reason some intervals of `quick`
# are wide: with twenty runs that of the median at $t = 15$, and with ten that of the agreement with the linear rule,
# reach below their bounds although the values lie above them. Those claims stay open there; the number of runs was
# fixed before.
#
# **What the paper leaves out.** Its experiment does not satisfy its theorem's conditions (printed above, even with the
# constant $C = 1$); the conclusions hold all the same. And with outputs as small as here the logistic loss is in its
# linear regime throughout: the fit is one of signs, not of margins.
#
# **Where this run differs.** The data are drawn in turned coordinates; test points number 400 instead of 200. The slow
# step size of `quick` is ten times that of the paper. The factors in the two predicted times are rounded from a pilot.
# How much faster the turned coordinates are was not measured.
