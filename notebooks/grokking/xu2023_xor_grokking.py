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
from replib import estimate, figures
from replib.chapter import Explore, begin
from replib.claims import above, below, between, equals, reported
from replib.onset import DELAY, delay, onset
from replib.randomness import numpy_generator

chapter = begin("xu2023_xor_grokking", profile, seed)
device = torch.device("cuda" if profile == "paper" and torch.cuda.is_available() else "cpu")

# %% [markdown]
# ## What the paper claims
#
# Every claim and every control is declared here with its criterion, before anything is run. A claim counts only if the
# controls it needs behave as declared. $t$ counts steps of gradient descent.

# %% tags=["hide-input"]
FULL = profile == "paper"
RUNS, SLOW_RUNS = (100, 100) if FULL else (20, 5)
PILOT = "A small pilot was seen before the cut-off was set; it used other seeds."
SAMPLES = (100, 400) if FULL else ()
OTHER = ("runs with train accuracy 1", "test accuracy, median")
SNRS, WIDTHS = (1.0, 3.0, 10.0, 30.0, 88.0), (64, 250, 1000, 4000)

chapter.control(
    "same-as-descent",
    "Training in the coordinates used here is gradient descent on all weights: with explicit vectors and automatic "
    "differentiation the network's outputs agree. And noise drawn in them has the lengths and inner products of noise in p "
    "dimensions.",
    {
        "largest relative difference after 5 steps": below(1e-10),
        "mean squared length of the noise / p": equals(1, within=0.01),
        "variance of inner products of noise / its value 1 / p": equals(1, within=0.05),
    },
    note="With flipped labels, and with a step so large that the outputs are of order 1 and the logistic factor matters.",
)
chapter.control(
    "linear",
    "Without the ReLU the same network fits and never generalises.",
    {"train at t = 60": above(0.995), "test at t = 60": between(0.45, 0.55)},
    note=PILOT,
)
chapter.control(
    "no-signal",
    "With all means at 0 there is nothing to learn.",
    {"test at t = 15": between(0.45, 0.55), "test at t = 60": between(0.45, 0.55)},
)
chapter.control(
    "large-start",
    "With an initialisation a million times larger nothing happens in 60 steps.",
    {"train at t = 60": below(0.6), "test at t = 60": below(0.6)},
)
chapter.control(
    "frozen",
    "With the activation pattern of the start kept for ever, the network fits and does not generalise.",
    {"train at t = 60": above(0.995), "test at t = 60": below(0.7)},
    note=PILOT,
)
chapter.claim(
    "c1",
    "After one step all training labels are fitted, the flipped ones included, and new points are guessed.",
    {
        f"runs of {RUNS} with train accuracy 1": above(94.5 if FULL else 15.5),
        "test accuracy": between(0.48, 0.52) if FULL else between(0.45, 0.55),
    },
    paper="test error within (1 ± n^-c) / 2",
    source="theorem 3.1, figure 1",
    needs=("same-as-descent", "no-signal", "large-start"),
    note="The theorem gives a band around one half, not one half itself. " + PILOT,
)
chapter.claim(
    "c2",
    "A dozen steps later all training labels are still fitted and new points are classified almost perfectly.",
    {
        **({f"runs of {RUNS} with train accuracy 1": above(94.5)} if FULL else {"train accuracy": above(0.995)}),
        "test accuracy, median": above(0.99) if FULL else above(0.97),
        "test accuracy, mean": reported() if FULL else above(0.9),
        "share of runs with test accuracy of at least 0.9": reported(),
    }
    | {f"n = {n}: {what}": reported() for n in SAMPLES for what in OTHER},
    paper="test error exp(-Ω(n^0.99 μ⁴/p)) for C n^0.01 ≤ t ≤ √n; t = 15 shown",
    source="theorem 3.1, figures 1 and 2",
    needs=("same-as-descent", "linear", "no-signal", "frozen"),
    note="At t = 15, which the paper shows; its bound √n is 14.1. The theorem holds on an event of high probability, so single "
    "runs may miss a cluster. " + PILOT,
)
chapter.claim(
    "c3",
    "After one step the network is the linear classifier with direction Σ y_i x_i, the more exactly the wider it is.",
    {
        "m = 1000: agreement of signs on test points": above(0.95),
        "m = 1000: correlation of f and the linear rule": above(0.98),
        "log-log slope of 1 - correlation in m": below(0),
        "m = 1000: slope of f on the rule, times 8n/α": reported(),
    },
    paper="f → (α/8n) ⟨Σ y_i x_i, x⟩ as m grows",
    source="section 4.2.1, equation 4.3",
    needs=("same-as-descent",),
    note=PILOT,
)
chapter.claim(
    "c4",
    "Neurons of positive sign grow along μ₁ in proportion to t and not along μ₂; neurons of negative sign the other way "
    "round.",
    {
        "own axis / other axis, t = 1": between(0.8, 1.25),
        "own axis / other axis, t = 15": above(3),
        "R² of a line through the own-axis projection, t = 1 to 15": above(0.98),
    },
    paper="Ω(α μ² t/√m) against O(α μ² √(log n) t/√(mn))",
    source="lemma 4.7, figure 3",
    needs=("same-as-descent", "frozen"),
    note="Geometric mean of both signs: one sign alone carries the accident of the cluster sizes. " + PILOT,
)
chapter.claim(
    "c5",
    "A step size that is small against the initialisation delays fit and generalisation; their order stays.",
    {
        f"runs of {SLOW_RUNS} in which it {what}": reported() if FULL else above(SLOW_RUNS - 0.5)
        for what in ("fits later", "generalises later", "fits before it generalises")
    }
    | {
        "time of the fit / prediction": between(0.5, 2) if FULL else reported(),
        "time to test accuracy 0.9 / prediction": between(0.5, 2) if FULL else reported(),
    }
    | {f"{arm}: {what}": reported() for arm in ("large step", "small step") for what in DELAY},
    paper="same picture at α = 1e-12 and 1e-16",
    source="figure 1, left and right",
    needs=("same-as-descent",),
    note="Predictions: 6.5 ω n / (α √p) steps for the fit, 16 ω n √m / (α √p) for test accuracy 0.9; the factors 6.5 and "
    "8 times 2 are this book's, from a pilot on other seeds. Memorises: the fit. Generalises: test accuracy 0.9. With 100 runs "
    "the times are judged, with 5 the order.",
)
chapter.claim(
    "c6",
    "Whether it generalises is a matter of the signal s = √n μ²/√p: chance below, perfect above.",
    {"s = 1, median": below(0.65), "s = 88, median": above(0.97)}
    | {f"mean rises from s = {a:g} to {b:g}": above(0) for a, b in zip(SNRS[1:], SNRS[2:], strict=False)}
    | {f"s = {s:g}, mean": reported() for s in SNRS},
    paper="error bound in n μ⁴/p = s²",
    source="theorem 3.1; the sweep is this chapter's",
    needs=("same-as-descent", "no-signal"),
    note="Test accuracy at t = 15. " + PILOT,
)
chapter.declarations()

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
QUICK = SimpleNamespace(runs=RUNS, steps=60, slow_runs=SLOW_RUNS, slow_alpha=1e-15, slow_steps=800, other=10, sweep=5, widths=10,
                        check=dict(p=2000, n=60, m=200))
SMOKE = SimpleNamespace(**vars(QUICK) | dict(runs=2, slow_runs=2, slow_steps=40, other=2, sweep=2, widths=2,
                                             check=dict(p=300, n=30, m=50)))
PAPER = SimpleNamespace(**vars(QUICK) | dict(runs=RUNS, steps=1000, slow_alpha=1e-16, slow_steps=20_000, widths=RUNS, sweep=RUNS, other=RUNS))
# fmt: on
sizes = {"smoke": SMOKE, "quick": QUICK, "paper": PAPER}[profile]
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
    x, y, given, w, a = (torch.as_tensor(v, dtype=torch.float64, device=device) for v in (x, y, given, w, a))
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
chapter.measure(
    "same-as-descent",
    **{
        "largest relative difference after 5 steps": estimate.exact(
            np.abs(ours - theirs).max() / np.abs(theirs).max(),
            len(ours),
            tolerance=1e-10,
            method="largest of the test points",
        ),
        "mean squared length of the noise / p": estimate.exact(
            products.diagonal().mean(), len(products), tolerance=0.01, method="mean over points"
        ),
        "variance of inner products of noise / its value 1 / p": estimate.exact(
            apart.var() * PLAIN["p"], len(apart), tolerance=0.05, method="variance over pairs of points"
        ),
    },
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

all_fitted = {t: estimate.count(at(fast, t, "train") == 1) for t in (1, AT)}
test_at = {t: at(fast, t) for t in (1, AT)}
chapter.measure(
    "c1", **{f"runs of {RUNS} with train accuracy 1": all_fitted[1], "test accuracy": estimate.mean(test_at[1])}
)
fit = {f"runs of {RUNS} with train accuracy 1": all_fitted[AT]} if FULL else {
    "train accuracy": estimate.mean(at(fast, AT, "train"))
}  # fmt: skip
other_n = {n: [run(i, n=n, steps=AT, probes=[AT]) for i in seeds] for n in SAMPLES}
chapter.measure(
    "c2",
    **fit,
    **{
        f"n = {n}: {what}": value
        for n, runs in other_n.items()
        for what, value in zip(
            OTHER, (estimate.count(at(runs, AT, "train") == 1), estimate.median(at(runs, AT))), strict=True
        )
    },
    **{
        "test accuracy, median": estimate.median(test_at[AT]),
        "test accuracy, mean": estimate.mean(test_at[AT]),
        "share of runs with test accuracy of at least 0.9": estimate.mean(test_at[AT] >= 0.9),
    },
)


def times(runs):
    """Onsets of a perfect fit and of test accuracy 0.9."""
    return [onset(curve(runs, n)[1], curve(runs, n)[0], level) for n, level in (("train", 1.0), ("test", 0.9))]


(fast_fit, fast_test), (slow_fit, slow_test) = times(fast[: len(slow)]), times(slow)
unit = PLAIN["omega"] * PLAIN["n"] / (sizes.slow_alpha * np.sqrt(PLAIN["p"]))
chapter.measure(
    "c5",
    **{
        f"runs of {SLOW_RUNS} in which it fits later": estimate.count(
            fast_fit.reached & (slow_fit.step > fast_fit.step)
        ),
        f"runs of {SLOW_RUNS} in which it generalises later": estimate.count(
            fast_test.reached & (slow_test.step > fast_test.step)
        ),
        f"runs of {SLOW_RUNS} in which it fits before it generalises": estimate.count(
            slow_fit.reached & (slow_test.step > slow_fit.step)
        ),
        "time of the fit / prediction": estimate.geometric_mean(slow_fit.step / (6.5 * unit)),
        "time to test accuracy 0.9 / prediction": estimate.geometric_mean(
            slow_test.step / (16 * unit * np.sqrt(PLAIN["m"]))
        ),
        **delay("large step", *times(fast)),
        **delay("small step", slow_fit, slow_test),
    },
)

# %% tags=["hide-input"]
with figures.figure(columns=2, size=(9, 3.4), sharey=True) as (fig, axes):
    columns = {"step size": [], "t": [], "points": [], "mean": [], "10 %": [], "90 %": []}
    for ax, runs, alpha in ((axes[0], fast, ALPHA), (axes[1], slow, sizes.slow_alpha)):
        for k, (name, label) in enumerate((("train", "training"), ("flipped", "training, flipped"), ("test", "test"))):
            v, t = curve(runs, name)
            mean, (low, high) = np.nanmean(v, 1), np.nanpercentile(v, [10, 90], 1)
            ax.plot(np.array(t) + 1, mean, marker=figures.MARKERS[k], ms=3, label=label, ls=("-", ":", "-")[k])
            if name == "test":
                ax.fill_between(np.array(t) + 1, low, high, color=figures.PALETTE[k], alpha=0.2, lw=0)
            figures.fill(columns, f"{alpha:g}", t, label, mean, low, high)
        ax.axhline(0.5, ls="--", color="gray", lw=1)
        ax.set(xscale="log", xlabel="t + 1", title=f"step size {alpha:g}")
    axes[0].set(ylabel="accuracy")
    axes[0].legend(loc="lower right")
    figure_1 = chapter.figure(
        fig,
        f"Accuracy, mean over runs; the band holds the middle 80 % of the runs' test accuracies. Dashed: chance. Left: after one step "
        f"the training accuracy is {at(fast, 1, 'train').mean():.3f} and the test accuracy {test_at[1].mean():.2f}, after {AT} steps "
        f"{at(fast, AT, 'train').mean():.3f} and {test_at[AT].mean():.2f}.",
        "Two panels against steps on a logarithmic axis. Left: training accuracy, flipped labels included, jumps to 1 at the first step; "
        "test accuracy stays at one half there and rises towards 1 in the next dozen steps. Right: with a small step size both rises are "
        "spread out, the test accuracy much later than the fit.",
        columns,
        explore=Explore("t", ("mean",), by="points", choose="step size", log="x"),
    )
figure_1

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
    **{
        "m = 1000: agreement of signs on test points": estimate.mean(agreement),
        "m = 1000: correlation of f and the linear rule": estimate.mean(correlation[WIDTHS.index(1000)]),
        "log-log slope of 1 - correlation in m": estimate.loglog_slope(WIDTHS, 1 - correlation.T),
        "m = 1000: slope of f on the rule, times 8n/α": estimate.mean(scale),
    },
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
    size = np.abs(probe.along)
    return np.array(
        [
            [size[k][r.positive == own].mean() for k, own in pair]
            for pair in (((0, True), (1, True)), ((1, False), (0, False)))
        ]
    )


grown = np.array([[own_and_other(r, v) for v in r.seen if v.step <= AT] for r in fast])  # (runs, t, sign, own/other)
ratio = np.exp(np.log(grown[..., 0] / grown[..., 1]).mean(-1))  # (runs, t)
own = grown[:, 1 : AT + 1, :, 0].mean(-1)
line = [np.corrcoef(np.arange(1, AT + 1), v)[0, 1] ** 2 for v in own]
chapter.measure(
    "c4",
    **{
        "own axis / other axis, t = 1": estimate.geometric_mean(ratio[:, 1]),
        f"own axis / other axis, t = {AT}": estimate.geometric_mean(ratio[:, AT]),
        f"R² of a line through the own-axis projection, t = 1 to {AT}": estimate.mean(line),
    },
)

# %% tags=["hide-input"]
first, drawn = fast[0], grown[0, :, 0, 0] / grown[0, :, 0, 1]
with figures.figure(columns=3, size=(9, 3)) as (fig, axes):
    columns = {"t": [], "axis": [], "projection": [], "neurons": []}
    for ax, t in zip(axes, (0, 1, AT), strict=True):
        along = next(v for v in first.seen if v.step == t).along[:, first.positive]
        edges = np.linspace(-1.05, 1.05, 42) * np.abs(along).max()
        for k in (0, 1):
            heights, _ = np.histogram(along[k], edges)
            ax.stairs(heights, edges, label=f"on $\\mu_{k + 1}$", ls=("-", "--")[k], lw=1.5)
            figures.fill(columns, t, f"μ{k + 1}", (edges[1:] + edges[:-1]) / 2, heights)
        ax.set(title=f"t = {t}", xlabel="$\\langle w_j, \\mu_k\\rangle$")
        ax.locator_params(axis="x", nbins=4)
    axes[0].set(ylabel="neurons with $a_j > 0$")
    axes[0].legend(fontsize="small")
    figure_2 = chapter.figure(
        fig,
        f"Projections of the positive neurons on both means, first run. The mean size on the own axis is {drawn[1]:.2f} times that on "
        f"the other after one step and {drawn[AT]:.1f} times after {AT} steps.",
        f"Three histograms. At the start both projections are the same bell. After one step they have grown alike. After {AT} steps the "
        "projections on the first mean form two far groups, one on each side, and those on the second mean stay in the middle.",
        columns,
    )
figure_2

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
level, fitted = (np.array([at(runs, AT, name) for runs in weak]) for name in ("test", "train"))
chapter.measure(
    "c6",
    **{f"s = {s:g}, median": estimate.median(level[SNRS.index(s)]) for s in (SNRS[0], SNRS[-1])},
    **{
        f"mean rises from s = {SNRS[k]:g} to {SNRS[k + 1]:g}": estimate.paired_difference(level[k + 1], level[k])
        for k in range(1, len(SNRS) - 1)
    },
    **{f"s = {s:g}, mean": estimate.mean(v) for s, v in zip(SNRS, level, strict=True)},
)

# %% tags=["hide-input"]
with figures.figure(size=(6, 3)) as (fig, ax):
    columns = {"s": [], "test accuracy": []}
    for s, v in zip(SNRS, level, strict=True):
        ax.plot(np.full(len(v), s), v, "o", color=figures.PALETTE[0], alpha=0.5, mec="none")
        figures.fill(columns, s, v)
    ax.plot(SNRS, level.mean(1), "-", color=figures.PALETTE[1], label="mean")
    ax.axhline(0.5, ls="--", color="gray", lw=1, label="chance")
    ax.set(xscale="log", xlabel="signal s = √n μ²/√p", ylabel=f"test accuracy at t = {AT}")
    ax.legend()
    figure_3 = chapter.figure(
        fig,
        f"Test accuracy after {AT} steps against the strength of the signal; one dot per run. The means are "
        + ", ".join(f"{v.mean():.2f} at s = {s:g}" for s, v in zip(SNRS, level, strict=True))
        + ".",
        "Dots on a logarithmic axis: at chance for the weakest signals, scattered in between, near 1 at the paper's signal. "
        f"The lowest training accuracy of all runs is {fitted.min():.3f}.",
        columns,
    )
figure_3

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
changed = {name: [run(i, probes=[AT, 60], **change) for i in other_seeds] for name, change in changes.items()}
for name in changes:
    measured = {"test at t = 60": estimate.mean(at(changed[name], 60))}
    if name == "no-signal":
        measured["test at t = 15"] = estimate.mean(at(changed[name], 15))
    else:
        measured["train at t = 60"] = estimate.mean(at(changed[name], 60, "train"))
    chapter.measure(name, **measured)

# %% tags=["hide-input"]
with figures.figure(columns=2, size=(7, 3.2), sharey=True) as (fig, axes):
    grid = np.linspace(-2, 2, 61)
    u, v = np.meshgrid(grid, grid)
    columns = {"t": [], "x along μ₁ / μ": [], "x along μ₂ / μ": [], "f > 0": []}
    a = np.where(first.positive, 1, -1)
    for ax, t in zip(axes, (1, AT), strict=True):
        along = next(p for p in first.seen if p.step == t).along
        f = np.maximum(u[..., None] * along[0] + v[..., None] * along[1], 0) @ a
        ax.contourf(u, v, np.sign(f), levels=[-2, 0, 2], colors=[figures.PALETTE[1], figures.PALETTE[0]], alpha=0.5)
        ax.plot([1, -1], [0, 0], "P", color="black", mec="white", ms=9, label="class +1")
        ax.plot([0, 0], [1, -1], "X", color="black", mec="white", ms=9, label="class -1")
        ax.set(title=f"t = {t}", xlabel="along $\\mu_1$, in units of μ", aspect="equal")
        figures.fill(columns, t, u[::4, ::4].ravel(), v[::4, ::4].ravel(), (f[::4, ::4] > 0).ravel())
    axes[0].set(ylabel="along $\\mu_2$")
    axes[1].legend(fontsize="small", loc="upper right")
    figure_4 = chapter.figure(
        fig,
        "Where the network of the first run answers +1 (blue) in the plane of the two means, without noise.",
        f"Two maps. After one step one straight line through the origin divides the plane. After {AT} steps two crossing lines divide it "
        "into four sectors, each around one cluster, with opposite sectors alike.",
        columns,
    )
figure_4

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
