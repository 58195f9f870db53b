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
# # Kolmogorov-Arnold Networks: A Critical Assessment of Claims, Performance, and Practical Viability
#
# *Yuntian Hou, Tianrui Ji, Di Zhang, Angelos Stefanidis. 2024, revised 2025* {footcite}`hou2024_kan_assessment`
#
# **The question.** A Kolmogorov-Arnold network (KAN) has a learnable univariate function on every edge where a
# multilayer perceptron (MLP) has a number. It was announced as more accurate, smaller, and free of the curse of
# dimensionality. What is left of that when both have equally many parameters and the same training?
#
# **Why it matters.** Parameters and time are what one pays. A comparison that lets one side pay more, or tunes only one
# side, says nothing about the architecture.
#
# **What was found here.** With equally many parameters the KAN fits every formula better than the MLP, and without
# its splines it loses that. With equally many operations most of the advantage is gone. In classification the MLP is
# slightly ahead, mostly on the digits. A step of the KAN takes about two to four times as long in an efficient
# implementation. The rate of cubic splines holds in any dimension for sums of univariate functions; on a function
# that is no sum, one layer has no rate at all. One statement does not hold as stated: an MLP with one hidden layer of
# splines reaches the KAN on only half of the formulas.

# %% tags=["parameters"]
profile = "quick"
seed = 0

# %% tags=["hide-input"]
import math
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from types import SimpleNamespace

import numpy as np
import torch
from replib import estimate, figures
from replib.chapter import Explore, begin
from replib.claims import above, below, between, reported
from replib.data import idx
from replib.data.registry import fetch
from replib.models.kan import (
    Affine,
    KANLayer,
    SplineLayer,
    kan_flops,
    kan_parameters,
    mlp_flops,
    mlp_parameters,
    spline_features,
    spline_mlp_parameters,
    stack,
)
from replib.randomness import numpy_generator, torch_generator
from replib.training.ensemble import Minibatches, build_seeded
from scipy import special
from sklearn import datasets
from torch import nn
from torch.optim import LBFGS, Adam

chapter = begin("hou2024_kan_assessment", profile, seed)
FULL = profile == "paper"
device = torch.device("cuda" if FULL and torch.cuda.is_available() else "cpu")

# %% [markdown]
# ## What the paper claims
#
# The paper assesses other people's experiments. It leans on a comparison with matched counts by Yu et al.
# {footcite}`yu2024_kan_mlp`. So the verdicts below are about its statements, tested by experiments of this chapter.
# Every claim and every control is declared with its criterion before anything is run. Where a small pilot had been
# seen, the note says so.
#
# A criterion such as "on at least 3 of 4 formulas, with the interval" is judged on an order statistic. The third
# largest value, the third largest lower end and the third largest upper end form one interval. It lies above zero
# exactly if those of at least three formulas do.
#
# The fifth claim is two claims here: c5 is the rate that least squares reaches, c5b the rate that training reaches. By
# the chapter's criteria c5b is judged only if training reaches the promised rate on an additive target.

# %% tags=["hide-input"]
PILOT = "A small pilot was seen before the cut-off was set; it used other seeds."
PRODUCTS = ("exp(sin πx + y²)", "x y")
FORMULAS = ("elliptic F", "Bessel J'", *PRODUCTS)
SETS = ("digits", "breast cancer", "wine", "iris")
if FULL:
    FORMULAS += ("elliptic E", "Bessel Y'", "Bessel K'", "Bessel I'", "Legendre P⁰", "Legendre P¹")
    FORMULAS += ("harmonic 1,0", "harmonic 1,1", "harmonic 2,0", "harmonic 2,1", "harmonic 2,2")
    FORMULAS += ("2^x / Γ(x+1)", "GELU", "sin πx / (1 + y)")
    SETS += ("MNIST",)
MOST = {n: math.floor(0.7 * n) + 1 for n in (len(FORMULAS), len(SETS))}  # more than 70 %; 3 of 4
MANY = f"at least {MOST[len(FORMULAS)]} of {len(FORMULAS)} formulas"
MANY_SETS = f"at least {MOST[len(SETS)]} of {len(SETS)} sets"
DIMENSIONS = (1, 2, 4, 8) if FULL else (1, 2, 4)
TRAINED_DIMENSIONS = DIMENSIONS if FULL else (1, 4)
PAIRS = ("formula", *SETS)

chapter.control(
    "silu-only",
    "A KAN without its splines loses the advantage: its error is above that of the MLP.",
    {MANY: above(0)} | {f: reported() for f in FORMULAS},
    note="log10 of the test error, KAN with silu only minus MLP, both at one learning rate. " + PILOT,
)
chapter.control(
    "frozen-splines",
    "A B-spline MLP whose splines stay at their random start is worse than one that learns them.",
    {MANY: above(0)} | {f: reported() for f in FORMULAS},
    note="log10 of the test error, frozen minus learnable, both at one learning rate. " + PILOT,
)
chapter.control(
    "grid-in-use",
    "A KAN whose inputs are three times as large, with the grid left as it is, is at least twice as bad.",
    {MANY: above(2)} | {f: reported() for f in FORMULAS},
    note="Ratio of test errors at one learning rate. " + PILOT,
)
chapter.claim(
    "c1",
    "With equally many parameters a KAN fits symbolic formulas better than an MLP.",
    {MANY: above(0)} | {f: reported() for f in FORMULAS} | {f"{f}, equal FLOPs": reported() for f in FORMULAS},
    paper="no figure; direction only",
    source="abstract, and the abstract of Yu et al.",
    needs=("silu-only", "grid-in-use"),
    note="log10 of the test error, MLP minus KAN. The MLP may choose between ReLU and GELU on the held-back points. "
    "Equal FLOPs: an MLP with GELU and as many operations as the KAN, one learning rate for both.",
)
chapter.claim(
    "c2",
    "With equally many parameters an MLP classifies better than a KAN.",
    {
        "pooled": reported() if FULL else above(0),
        "sets on which the KAN is better": reported() if FULL else below(1.5),
        MANY_SETS: above(0) if FULL else reported(),
    }
    | {s: reported() for s in SETS},
    paper="no figure; direction only",
    source="abstract, and the abstract of Yu et al.",
    note="Test accuracy, MLP minus KAN, paired by split and seed. A KAN is better where the whole interval is below zero.",
)
chapter.claim(
    "c3",
    "The advantage is the spline's: an MLP with learnable B-spline activations fits formulas as well as a KAN, and "
    "splines hardly change its accuracy elsewhere.",
    {f"log10 error, {MANY}": below(0.1, clear_of=0.3), "accuracy": between(-0.01, 0.01)}
    | {f"log10 error, {f}": reported() for f in FORMULAS}
    | {f"log10 error, {f}, two spline layers": reported() for f in FORMULAS}
    | {f"accuracy, {s}": reported() for s in SETS},
    paper="no figure; direction only",
    source="abstract, and the abstract of Yu et al.",
    needs=("silu-only", "frozen-splines"),
    note="log10 of the test error, B-spline MLP minus KAN. Test accuracy, B-spline MLP minus MLP, pooled over the sets. "
    "Two spline layers: as many parameters in two hidden layers of splines, both networks at one learning rate; added after "
    "the first run of this chapter.",
)
chapter.claim(
    "c4",
    "A training step of a KAN takes at least 1.36 times as long as one of an MLP with equally many parameters.",
    {p: above(1.36) for p in PAIRS}
    | {f"{p}, equal FLOPs": reported() for p in PAIRS}
    | {"formula, whole stack": reported()},
    paper="1.36 to 100 times",
    source="abstract",
    note="Wall time of a step, KAN / MLP, single networks. "
    + PILOT
    + " The time of the whole stack is that of the training behind c1, ReLU and KAN of the same size.",
)
chapter.claim(
    "c5",
    "The rate of cubic splines, error like the number of grid intervals to the power -4, is not free of the dimension: "
    "a KAN layer reaches it in every dimension on a sum of univariate functions, and not on a function that is no sum.",
    {f"additive, d={d}": between(3.7, 4.3) for d in DIMENSIONS}
    | {f"Gaussian, d={d}": below(0.5) if d > 1 else reported() for d in DIMENSIONS}
    | {f"trained, {t}, d={d}": reported() for t in ("additive", "mixture") for d in TRAINED_DIMENSIONS},
    paper="no figure; direction only. Promised for cubic splines: 4 [recalled, not verified]",
    source="abstract",
    note="Exponents: minus the slope of log error against log G. " + PILOT,
)
chapter.claim(
    "c5b",
    "The same for trained networks with a hidden layer: no exponent of 4 on a mixture of plane waves.",
    {"mixture, d=4": below(3), "additive - mixture, d=4": above(0)},
    paper="no figure; direction only",
    source="abstract",
    note="Judged only if training reaches an exponent above 3 on the additive target at d = 4.",
)
chapter.declarations()

# %% [markdown]
# ## Sizes
#
# The sizes of `quick` were cut for cost, before any verdict was seen. The chapter's criteria came with batches of 200
# for formulas and rates, six seeds for both, three seeds per split, and 200 timed steps per repetition. Here batches
# have 128 points, the smallest size in the official code of Yu et al.; formulas have five seeds, trained rates four,
# a split has two, and a repetition times 20 steps.
#
# `paper` has all special functions with two arguments that are at hand, two functions of one variable, whose second
# input is then irrelevant, and more settings and learning rates, among which every network chooses. Data are the four
# sets of scikit-learn and the first 6000 training images of MNIST, split like the others. Fashion-MNIST, CIFAR-10,
# text sets and the other tabular sets are not available to this book, so that part of the comparison is not run, and
# Feynman's formulas and the update of the grid from data are left out. The profile runs on a processor in some hours,
# by an estimate; it was run only at cut sizes.

# %% tags=["hide-input"]
# fmt: off
QUICK = SimpleNamespace(
    # settings of the KAN: hidden units, grid intervals, order; the others are matched to each
    symbolic=dict(seeds=5, settings=((5, 5, 3),), rates=(0.01, 0.03), train=800, held_back=200, test=1000,
                  batch=128, steps=700),
    classes=dict(splits=6, seeds=2, hidden=dict.fromkeys(SETS, 3) | dict(digits=6), rates=(0.003, 0.01),
                 batch=128, steps=200, most=6000),
    timing=dict(repetitions=5, warm_up=20, steps=20, batch=256),
    squares=dict(seeds=3, grids=(5, 10, 20, 40), train=4000, test=4000),
    rate=dict(seeds=4, grids=(3, 5, 10), train=4000, test=1000, batch=128, steps=800, lr=0.02, lbfgs=False),
)
SMOKE = SimpleNamespace(
    symbolic=QUICK.symbolic | dict(seeds=2, train=128, held_back=50, test=50, steps=3),
    classes=QUICK.classes | dict(splits=2, seeds=2, steps=3),
    timing=QUICK.timing | dict(repetitions=2, warm_up=1, steps=2),
    squares=QUICK.squares | dict(seeds=2, grids=(5, 10), train=500, test=100),
    rate=QUICK.rate | dict(seeds=2, grids=(3, 5), train=200, test=100, steps=3),
)
PAPER = SimpleNamespace(
    symbolic=QUICK.symbolic | dict(seeds=5, rates=(0.001, 0.01, 0.03, 0.1), steps=5000, settings=(
        (5, 5, 3), (5, 3, 3), (5, 10, 3), (5, 20, 3), (5, 5, 2), (5, 5, 5), (2, 5, 3), (10, 5, 3))),
    classes=QUICK.classes | dict(seeds=5, rates=(0.001, 0.003, 0.01, 0.03), steps=2000),
    timing=QUICK.timing | dict(steps=200),
    squares=QUICK.squares | dict(seeds=10, grids=(5, 10, 20, 50)),
    rate=QUICK.rate | dict(seeds=6, grids=(3, 5, 10, 20, 50), steps=500, lbfgs=True),
)
# fmt: on
sizes = {"smoke": SMOKE, "quick": QUICK, "paper": PAPER}[profile]
ONE_RATE = 0.03  # of the controls


def tensor(array, dtype=torch.float32):
    return torch.as_tensor(np.asarray(array), dtype=dtype, device=device)


def ranked(estimates, rank, largest=True):
    """The rank-th largest (smallest) value, lower end and upper end of several estimates."""

    def end(name):
        return sorted((getattr(e, name) for e in estimates), reverse=largest)[rank - 1]

    order = f"number {rank} from {'above' if largest else 'below'} of {len(estimates)}"
    return estimate.Estimate(
        *(end(name) for name in ("value", "low", "high")),
        n=min(e.n for e in estimates),
        method=f"{order}: of the values, of the lower and of the upper ends",
        tolerance=max(e.tolerance for e in estimates),
    )


# %% [markdown]
# ## Three networks
#
# **KAN.** The function of Kolmogorov-Arnold networks {footcite}`liu2024_kan` on the edge from input $i$ to output $o$
# is
#
# $$\phi_{oi}(x) = w_b\,\mathrm{silu}(x) + w_s \sum_m c_m B_m(x),\qquad y_o = b_o + \sum_i \phi_{oi}(x_i),$$
#
# with B-splines $B_m$ of order $k = 3$ on a uniform grid of $G$ intervals over $[-1, 1]$, extended by $k$ knots on each
# side. There are $G + k$ of them; $w_b$, $w_s$ and $c$ belong to the edge. Farther than $k$ intervals outside the grid
# the spline is zero. On a uniform grid a cubic B-spline has the closed form
#
# $$B(u) = \tfrac16\big((2-|u|)_+^3 - 4\,(1-|u|)_+^3\big),$$
#
# and a layer is one matrix product: the features $[\mathrm{silu}(x_i), B_0(x_i), \dots]$ against the weights
# $[w_b, w_s c_0, \dots]$. Times measured with a slow recursion would be about the code.
#
# **MLP.** Linear layers with ReLU or GELU between them.
#
# **B-spline MLP.** One hidden layer; each hidden unit has a learnable spline of its own as activation,
# $a_h(z) = \sum_m c_{hm} B_m(z)$, and nothing else.
#
# **Matching.** The published counter gives a KAN layer $d_\text{in} d_\text{out} (G + k + 2) + d_\text{out}$
# parameters and $d_\text{in} d_\text{out}$ more for the silu, which the $+2$ holds already. Networks are matched by
# this count. So the KAN trains fewer numbers than the others; the table shows both. For the B-spline MLP splines are
# counted at hidden units only, where they are.

# %%
ACTIVATIONS = {"MLP, ReLU": nn.ReLU, "MLP, GELU": nn.GELU}


def kan(widths, grid, order, leading=()):
    pairs = zip(widths, widths[1:], strict=False)
    return nn.Sequential(*(KANLayer(i, o, grid=grid, order=order, leading=leading) for i, o in pairs))


def perceptron(widths, activation, leading=()):
    layers = [
        part for i, o in zip(widths, widths[1:], strict=False) for part in (Affine(i, o, leading=leading), activation())
    ]
    return nn.Sequential(*layers[:-1])


def spline_mlp(widths, grid, order, leading=()):
    pairs = zip(widths[:-1], widths[1:-1], strict=False)
    hidden = (SplineLayer(i, o, grid=grid, order=order, leading=leading) for i, o in pairs)
    return nn.Sequential(*hidden, Affine(*widths[-2:], leading=leading))


def closest(count, target):
    """The width whose count is closest to the target; counts rise with the width."""
    width = 1
    while count(width + 1) < target:
        width += 1
    return min((width, width + 1), key=lambda w: abs(count(w) - target))


def networks(inputs, hidden, outputs, grid, order, *, layers):
    """name -> (builder, parameters by the counter): a KAN and the MLPs that match it."""
    widths = (inputs, hidden, outputs)
    target = kan_parameters(widths, grid, order)

    def plain(h):
        return (inputs, *[h] * layers, outputs)

    def splined(layers):
        widths = closest(lambda h: spline_mlp_parameters((inputs, *[h] * layers, outputs), grid, order), target)
        widths = (inputs, *[widths] * layers, outputs)
        return partial(spline_mlp, widths, grid, order), spline_mlp_parameters(widths, grid, order)

    equal = plain(closest(lambda h: mlp_parameters(plain(h)), target))
    costly = plain(closest(lambda h: mlp_flops(plain(h)), kan_flops(widths, grid, order)))
    return {
        "KAN": (partial(kan, widths, grid, order), target),
        **{n: (partial(perceptron, equal, a), mlp_parameters(equal)) for n, a in ACTIVATIONS.items()},
        "B-spline MLP": splined(1),
        "two spline layers": splined(2),
        "MLP, equal FLOPs": (partial(perceptron, costly, nn.GELU), mlp_parameters(costly)),
    }


classes_of = {"digits": (64, 10), "breast cancer": (30, 2), "wine": (13, 3), "iris": (4, 3), "MNIST": (784, 10)}
matched = {"formula": networks(2, *sizes.symbolic["settings"][0][:1], 1, *sizes.symbolic["settings"][0][1:], layers=2)}
for name in SETS:
    inputs, outputs = classes_of[name]
    matched[name] = networks(inputs, sizes.classes["hidden"][name], outputs, 5, 3, layers=1)
print(f"{'task':14s}{'network':18s}{'counted':>8s}{'trained':>8s}")
for task, nets in matched.items():
    for name, (build, counted) in nets.items():
        print(f"{task:14s}{name:18s}{counted:8d}{sum(p.numel() for p in build().parameters()):8d}")

# %% [markdown]
# **Training.** All networks get the same optimiser: Adam, whose learning rate falls along a cosine to 1 % of its start.
# Published wins of KANs used a second-order method and refined the grid on small data. Networks of all seeds and tasks
# are stacked and trained in one pass; they share nothing. Adam is written out, so that networks of one stack can have
# learning rates of their own.


# %%
def stacked(build, starts):
    """One network per start value, as one module with stacked parameters."""
    singles = [build_seeded(build, s) for s in starts]
    return stack(singles, build(leading=(len(starts),))).to(device)


def start(*key):
    return int(numpy_generator(*key, "initialisation").integers(2**31))


def fit(net, loss, batches, steps, rates):
    """Adam with cosine decay to 1 %, one learning rate for all networks or one for each.

    loss: (net, indices) -> one number per network.
    """
    rates = torch.as_tensor(rates, dtype=torch.float32, device=device).expand(len(next(net.parameters())))
    state = [
        (p, torch.zeros_like(p), torch.zeros_like(p), rates.to(p).view(-1, *[1] * (p.ndim - 1)))
        for p in net.parameters()
        if p.requires_grad
    ]
    for step, indices in zip(range(1, steps + 1), batches, strict=False):
        for p, *_ in state:
            p.grad = None
        loss(net, indices).sum().backward()
        decay = 0.01 + 0.99 * (1 + math.cos(math.pi * (step - 1) / steps)) / 2
        root = math.sqrt(1 - 0.999**step)  # corrects the second moment's start at zero
        with torch.no_grad():
            for p, m, v, rate in state:
                m.lerp_(p.grad, 0.1)
                v.mul_(0.999).addcmul_(p.grad, p.grad, value=0.001)
                p.addcdiv_(rate * m, v.sqrt().add_(1e-8 * root), value=-decay * root / (1 - 0.9**step))


def picker(x, y):
    """Indices (S, B) -> the points x (S, n, d) and targets y (S, n) they stand for."""
    first = torch.arange(len(x), device=device).unsqueeze(1) * x.shape[1]
    flat_x, flat_y = x.flatten(0, 1), y.flatten()

    def pick(indices):
        chosen = (indices.to(device) + first).flatten()
        batch = flat_x.index_select(0, chosen).view(*indices.shape, -1)
        return batch, flat_y.index_select(0, chosen).view(indices.shape)

    return pick


def squared_error(x, y):
    pick = picker(x, y)

    def loss(net, indices):
        batch, target = pick(indices)
        return (net(batch).squeeze(-1) - target).square().mean(1)

    return loss


# %% [markdown]
# ## Symbolic formulas
#
# Two special functions, the incomplete elliptic integral $F(\varphi = x, m = y)$ and the derivative $J_x'(y)$ of a
# Bessel function of order $x$, and two formulas of products and elementary functions. Points are uniform in $[0,1]^2$,
# for Bessel functions with $y \in [0.05, 1]$, since the derivative diverges at 0. Networks see the inputs mapped to
# $[-1, 1]$ and standardised targets. Of 1000 training points 200 are held back. On them the learning rate is chosen for
# each network and formula, and for the MLP the activation. The error is the root mean square on 1000 new points, in
# units of the target's standard deviation.

# %% tags=["hide-input"]
FUNCTIONS = {
    "elliptic F": special.ellipkinc,
    "elliptic E": special.ellipeinc,
    "Bessel J'": special.jvp,
    "Bessel Y'": special.yvp,
    "Bessel K'": special.kvp,
    "Bessel I'": special.ivp,
    "Legendre P⁰": lambda x, y: special.lpmv(0, x, y),
    "Legendre P¹": lambda x, y: special.lpmv(1, x, y),
    "harmonic 1,0": lambda x, y: np.cos(np.pi * x) + 0 * y,
    "harmonic 1,1": lambda x, y: np.sin(np.pi * x) * np.cos(2 * np.pi * y),
    "harmonic 2,0": lambda x, y: 3 * np.cos(np.pi * x) ** 2 - 1 + 0 * y,
    "harmonic 2,1": lambda x, y: np.sin(2 * np.pi * x) * np.cos(2 * np.pi * y),
    "harmonic 2,2": lambda x, y: np.sin(np.pi * x) ** 2 * np.cos(4 * np.pi * y),
    "2^x / Γ(x+1)": lambda x, y: 2**x / special.gamma(x + 1),
    "GELU": lambda x, y: (8 * x - 4) * special.ndtr(8 * x - 4),
    "exp(sin πx + y²)": lambda x, y: np.exp(np.sin(np.pi * x) + y**2),
    "x y": lambda x, y: x * y,
    "sin πx / (1 + y)": lambda x, y: np.sin(np.pi * x) / (1 + y),
}


# %%
def symbolic_data(s, seeds):
    """x (S, n, 2) in [-1, 1] and standardised y (S, n), formulas first, then seeds; training points first."""
    xs, ys = [], []
    for formula in FORMULAS:
        for i in seeds:
            rng = numpy_generator(i, formula, "points")
            x = rng.random((s["train"] + s["held_back"] + s["test"], 2))
            if "Bessel" in formula:
                x[:, 1] = 0.05 + 0.95 * x[:, 1]
            y = FUNCTIONS[formula](*x.T)
            known = y[: s["train"] + s["held_back"]]
            xs.append(2 * x - 1)
            ys.append((y - known.mean()) / known.std())
    return tensor(xs), tensor(ys)


@dataclass
class Run:
    """One training of a stack: errors (formulas, seeds) on held-back and on test points, seconds per step."""

    lr: float
    held_back: np.ndarray
    test: np.ndarray
    seconds: float


s, symbolic_seeds = sizes.symbolic, chapter.seeds(sizes.symbolic["seeds"])
x, y = symbolic_data(s, symbolic_seeds)
networks_of_stack = [(f, i) for f in FORMULAS for i in symbolic_seeds]


def run(name, build, lr, *, change=lambda net: None, factor=1.0):
    """Train one network per formula and seed; ``change`` alters the networks before, ``factor`` the inputs."""
    net = stacked(build, [start(i, f, name) for f, i in networks_of_stack])
    change(net)
    shuffles = [torch_generator(i, f, "batches") for f, i in networks_of_stack]
    batches = Minibatches(shuffles, s["train"], s["batch"])
    loss = squared_error(factor * x[:, : s["train"]], y[:, : s["train"]])
    began = perf_counter()
    fit(net, loss, batches, s["steps"], lr)
    seconds = (perf_counter() - began) / s["steps"]
    with torch.no_grad():
        square = (net(factor * x[:, s["train"] :]).squeeze(-1) - y[:, s["train"] :]).square()
    held_back, test = square.split([s["held_back"], s["test"]], 1)
    shape = len(FORMULAS), len(symbolic_seeds)
    held_back, test = (e.mean(1).sqrt().double().cpu().numpy().reshape(shape) for e in (held_back, test))
    return Run(lr, held_back, test, seconds)


def chosen(runs):
    """Test errors (formulas, seeds) of the run that is best on the held-back points, formula by formula."""
    quality = np.stack([np.log(r.held_back).mean(1) for r in runs])  # (runs, formulas)
    return np.stack([runs[k].test[f] for f, k in enumerate(quality.argmin(0))])


runs = {name: [] for name in ("KAN", *ACTIVATIONS, "B-spline MLP")}
for hidden, grid, order in s["settings"]:
    offered = networks(2, hidden, 1, grid, order, layers=2)
    for name, done in runs.items():
        done += [run(name, offered[name][0], lr) for lr in s["rates"]]
runs["MLP"] = [r for a in ACTIVATIONS for r in runs[a]]
error = {name: chosen(runs[name]) for name in ("KAN", "MLP", "B-spline MLP")}


# %% [markdown]
# The controls take something away. They run at one learning rate, and are compared with networks trained at the same
# one. An MLP with as many operations as the KAN runs beside them.


# %%
def without_splines(net):
    """Only silu is left: w_s = 0, neither w_s nor the splines are trained."""
    for layer in net:
        layer.scale.data.zero_()
        layer.scale.requires_grad_(False)
        layer.coefficients.requires_grad_(False)


def with_frozen_splines(net):
    net[0].coefficients.requires_grad_(False)


first = matched["formula"]
silu_only = run("KAN", first["KAN"][0], ONE_RATE, change=without_splines).test
off_grid = run("KAN", first["KAN"][0], ONE_RATE, factor=3.0).test
frozen = run("B-spline MLP", first["B-spline MLP"][0], ONE_RATE, change=with_frozen_splines).test
costly = run("MLP, equal FLOPs", first["MLP, equal FLOPs"][0], ONE_RATE).test
deep = run("two spline layers", first["two spline layers"][0], ONE_RATE).test
# the same networks untouched: the first setting, at the controls' learning rate
at_one = {n: next(r for r in done if r.lr == ONE_RATE) for n, done in runs.items() if n != "MLP"}
at_one["MLP"] = [at_one[a] for a in ACTIVATIONS]
plain = {n: chosen(r if isinstance(r, list) else [r]) for n, r in at_one.items()}


def differences(a, b):
    """formula -> log10 a - log10 b, paired by seed."""
    pairs = zip(FORMULAS, np.log10(a), np.log10(b), strict=True)
    return {f: estimate.paired_difference(p, q) for f, p, q in pairs}


def most(by_name, largest=True):
    return ranked(list(by_name.values()), MOST[len(by_name)], largest)


better = differences(error["MLP"], error["KAN"])
equal_flops = differences(costly, plain["KAN"])
chapter.measure("c1", **{MANY: most(better)}, **better, **{f"{f}, equal FLOPs": e for f, e in equal_flops.items()})
for control, measured in {
    "silu-only": differences(silu_only, plain["MLP"]),
    "frozen-splines": differences(frozen, plain["B-spline MLP"]),
    "grid-in-use": {f: estimate.paired_ratio(a, b) for f, a, b in zip(FORMULAS, off_grid, plain["KAN"], strict=True)},
}.items():
    chapter.measure(control, **{MANY: most(measured)}, **measured)

# %% tags=["hide-input"]
with figures.figure(size=(max(8.5, 1.4 * len(FORMULAS)), 3.6)) as (fig, ax):
    columns = {"formula": [], "network": [], "seed": [], "RMSE": []}
    shown = error | {"KAN, silu only": silu_only, "frozen splines": frozen}
    for j, (name, values) in enumerate(shown.items()):
        at = np.arange(len(FORMULAS)) + 0.15 * (j - 2)
        ax.plot(np.repeat(at, values.shape[1]), values.ravel(), figures.MARKERS[j], ms=4, alpha=0.6,
                color=figures.PALETTE[j], label=name)  # fmt: skip
        figures.fill(columns, np.array(FORMULAS)[:, None], name, np.array(symbolic_seeds)[None], values)
    ax.set_xticks(range(len(FORMULAS)), FORMULAS)
    ax.set(yscale="log", ylabel="test RMSE / std of target")
    ax.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    figure_1 = chapter.figure(
        fig,
        "Test error of each seed's network with about equally many parameters, learning rates chosen on held-back "
        "points. The last two are controls at one learning rate: a KAN with silu only, and a B-spline MLP whose splines "
        "are not trained.",
        "Test errors on a logarithmic axis, formula by formula: KAN, MLP and B-spline MLP, and two controls in which the "
        "splines are absent or not trained.",
        columns,
    )
figure_1

# %% [markdown]
# ## Classification
#
# Four small sets that come with scikit-learn: digits, breast cancer, wine, iris. Each is split into 70 % for training
# and 30 % for testing, several times, with several seeds per split. Inputs are standardised on the training part, then
# $\tanh(z/2)$ puts them into the grid: without it about a third of them would lie outside and KANs would look worse
# than they are. All networks get these inputs. The learning rate is chosen by cross-entropy on a fifth of the first split's
# training part. The MLP has one hidden layer of ReLU units.

# %%
s = sizes.classes


def labelled(name):
    """Inputs (n, d) and classes (n,)."""
    if name == "MNIST":
        pixels, labels = idx.images(chapter.data(fetch("MNIST")))
        return pixels[: s["most"]].astype(float), labels[: s["most"]].astype(int)
    return getattr(datasets, "load_" + name.replace(" ", "_"))(return_X_y=True)


def split_data(name, splits):
    """Inputs (splits, n, d), each in an order of its own and scaled by its training part; classes; its size."""
    inputs, labels = labelled(name)
    train, xs, ys = round(0.7 * len(labels)), [], []
    for i in splits:
        order = numpy_generator(i, name, "split").permutation(len(labels))
        z, known = inputs[order], inputs[order[:train]]
        spread = known.std(0)
        xs.append(np.tanh((z - known.mean(0)) / np.where(spread > 0, spread, 1) / 2).astype(np.float32))
        ys.append(labels[order])
    return tensor(xs), tensor(ys, torch.long), train


def cross_entropy(x, y):
    pick = picker(x, y)

    def loss(net, indices):
        batch, target = pick(indices)
        scores = net(batch).flatten(0, 1)
        return nn.functional.cross_entropy(scores, target.flatten(), reduction="none").view(indices.shape).mean(1)

    return loss


def scores_of(net, x):
    """Outputs in pieces, since the features of all points at once may not fit into memory."""
    with torch.no_grad():
        return torch.cat([net(part) for part in x.split(600, 1)], 1)


def classifiers(build, x, y, keys, rates):
    """One network per key, trained on x (S, n, d), y (S, n)."""
    net = stacked(build, [start(*key) for key in keys])
    batches = Minibatches([torch_generator(*key, "batches") for key in keys], x.shape[1], s["batch"])
    fit(net, cross_entropy(x, y), batches, s["steps"], rates)
    return net


CLASSIFIERS = {"KAN": "KAN", "MLP": "MLP, ReLU", "B-spline MLP": "B-spline MLP"}
split_seeds = chapter.seeds(s["splits"])
accuracy = {name: {} for name in CLASSIFIERS}  # set -> (splits, seeds)
for name in SETS:
    x, y, train = split_data(name, split_seeds)
    tuning = round(0.8 * train)
    for label, source in CLASSIFIERS.items():
        build = matched[name][source][0]
        keys = [(i, name, label, j) for i in split_seeds for j in range(s["seeds"])]
        # every rate for every seed of the first split, in one stack
        rates = np.repeat(s["rates"], s["seeds"])
        first_x, first_y = (part[:1].expand(len(rates), *part.shape[1:]) for part in (x, y))
        tuned = keys[: s["seeds"]] * len(s["rates"])
        net = classifiers(build, first_x[:, :tuning], first_y[:, :tuning], tuned, rates)
        scores, truth = scores_of(net, first_x[:, tuning:train]), first_y[:, tuning:train]
        losses = nn.functional.cross_entropy(scores.flatten(0, 1), truth.flatten(), reduction="none")
        best = s["rates"][losses.view(len(s["rates"]), -1).mean(1).argmin().item()]
        each_x, each_y = (part.repeat_interleave(s["seeds"], 0) for part in (x, y))
        net = classifiers(build, each_x[:, :train], each_y[:, :train], keys, best)
        right = scores_of(net, each_x[:, train:]).argmax(-1) == each_y[:, train:]
        accuracy[label][name] = right.double().mean(1).cpu().numpy().reshape(s["splits"], s["seeds"])


def nested(values, method):
    """Mean of values (sets, splits, seeds); bootstrap over splits, then over seeds within each drawn split."""
    values = np.asarray(values)
    sets, splits, seeds = values.shape
    rng, draws = np.random.default_rng(0), estimate.RESAMPLES
    which_set = np.arange(sets)[None, :, None, None]
    which_split = rng.integers(splits, size=(draws, sets, splits, 1))
    which_seed = rng.integers(seeds, size=(draws, sets, splits, seeds))
    low, high = np.quantile(values[which_set, which_split, which_seed].mean((1, 2, 3)), [0.025, 0.975])
    value = values.mean()
    low, high = min(low, value), max(high, value)
    described = f"{method}; bootstrap over {splits} splits, then over {seeds} seeds within each, {draws} resamples"
    by_split = tuple(values.mean((0, 2)).tolist())
    return estimate.Estimate(float(value), float(low), float(high), splits, described, by_split, float(high - low) / 2)


def accuracy_gap(a, b):
    """set -> estimate of the accuracy of a minus that of b; and pooled over the sets."""
    gaps = np.stack([accuracy[a][name] - accuracy[b][name] for name in SETS])
    each = {name: nested(g[None], "mean of paired differences") for name, g in zip(SETS, gaps, strict=True)}
    return each, nested(gaps, "mean over sets of paired differences")


each, pooled = accuracy_gap("MLP", "KAN")
chapter.measure(
    "c2",
    pooled=pooled,
    **{
        "sets on which the KAN is better": estimate.exact(
            sum(e.high < 0 for e in each.values()), n=len(SETS), tolerance=0.5, method="count of sets"
        ),
        MANY_SETS: most(each),
    },
    **each,
)
each, pooled = accuracy_gap("B-spline MLP", "MLP")
against = differences(error["B-spline MLP"], error["KAN"])
chapter.measure(
    "c3",
    **{f"log10 error, {MANY}": most(against, largest=False)},
    accuracy=pooled,
    **{f"log10 error, {f}": e for f, e in against.items()},
    **{f"log10 error, {f}, two spline layers": e for f, e in differences(deep, plain["KAN"]).items()},
    **{f"accuracy, {name}": e for name, e in each.items()},
)

# %% tags=["hide-input"]
with figures.figure(size=(8, 3.2)) as (fig, ax):
    columns = figures.grouped_bars(
        ax,
        {
            label: {name: nested(values[None], "mean") for name, values in by_set.items()}
            for label, by_set in accuracy.items()
        },
    )
    ax.set(ylabel="test accuracy", ylim=(max(0, min(columns["low"]) - 0.05), 1))
    ax.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    figure_2 = chapter.figure(
        fig,
        "Test accuracy of networks with about equally many parameters: mean over splits and seeds, with 95 % intervals. "
        "The axis does not start at zero.",
        "Bars of test accuracy of KAN, MLP and B-spline MLP for each data set, with intervals.",
        columns,
    )
figure_2

# %% [markdown]
# ## Time of a training step
#
# Forward, backward and Adam for one network, batches of 256, one thread. Networks take turns: a repetition times each
# of them once, and gives a median over its steps. Intervals are over repetitions. At these widths a step is mostly the
# cost of calling operations, for both kinds of network. The whole stack of c1 spends more of its time on arithmetic.
# Its ratio is reported beside.

# %%
s = sizes.timing


def stepper(build, inputs, outputs, *key):
    """A function that makes one training step."""
    net = build_seeded(build, start(*key)).to(device)
    optimiser = Adam(net.parameters(), lr=1e-3, fused=True)
    rng = numpy_generator(*key, "batch")
    batch = tensor(rng.uniform(-1, 1, (s["batch"], inputs)))
    target = tensor(rng.normal(size=(s["batch"], outputs)))

    def step():
        optimiser.zero_grad()
        (net(batch) - target).square().mean().backward()
        optimiser.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return step


def seconds_per_step(step, count):
    taken = []
    for _ in range(count):
        began = perf_counter()
        step()
        taken.append(perf_counter() - began)
    return np.median(taken)


TIMED = ("KAN", "MLP, ReLU", "MLP, equal FLOPs")
ratios, seconds = {}, {}
for pair in PAIRS:
    inputs, outputs = (2, 1) if pair == "formula" else classes_of[pair]
    steps = {n: stepper(matched[pair][n][0], inputs, outputs, *chapter.seeds(1), pair, n) for n in TIMED}
    for step in steps.values():
        seconds_per_step(step, s["warm_up"])
    rows = [{n: seconds_per_step(f, s["steps"]) for n, f in steps.items()} for _ in range(s["repetitions"])]
    kan_seconds, mlp_seconds, costly_seconds = ([row[n] for row in rows] for n in TIMED)
    ratios[pair] = estimate.timed(estimate.paired_ratio(kan_seconds, mlp_seconds))
    ratios[f"{pair}, equal FLOPs"] = estimate.timed(estimate.paired_ratio(kan_seconds, costly_seconds))
whole = at_one["KAN"].seconds / at_one["MLP, ReLU"].seconds
whole = estimate.timed(estimate.exact(whole, tolerance=whole, method="ratio of two trainings"))
if FULL and device.type != "cuda":
    chapter.not_tested("c4", "the criterion for the paper's sizes asks for a GPU, and none was there")
else:
    chapter.measure("c4", **ratios, **{"formula, whole stack": whole})

# %% tags=["hide-input"]
with figures.figure(size=(8, 3.2)) as (fig, ax):
    columns = figures.grouped_bars(
        ax,
        {
            "equal parameters": {p: ratios[p] for p in PAIRS},
            "equal FLOPs": {p: ratios[f"{p}, equal FLOPs"] for p in PAIRS},
        },
    )
    for bound in (1.36, 100):
        ax.axhline(bound, color="gray", ls=":")
        ax.annotate(f"{bound:g}", (len(PAIRS) - 0.45, bound), xytext=(0, 2), textcoords="offset points")
    ax.set(yscale="log", ylabel="time per step, KAN / MLP", ylim=(0.2, 150), xlim=(-0.6, len(PAIRS) - 0.05))
    ax.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    figure_3 = chapter.figure(
        fig,
        "Time of a training step, KAN / MLP, single networks, with 95 % intervals over repetitions. The dotted lines are "
        "the paper's range, 1.36 to 100. Times differ from machine to machine.",
        "Bars of the ratio of times per step for each task, at equal parameters and at equal FLOPs, on a logarithmic "
        "axis with the paper's range marked.",
        columns,
    )
figure_3

# %% [markdown]
# ## The promised rate
#
# A cubic spline with $G$ intervals approximates a smooth function of one variable with an error like $G^{-4}$. The
# promise is that a KAN inherits the exponent 4 in any dimension. On $[0,1]^d$ take
#
# $$f_d(x) = \frac1d\sum_i \sin \pi x_i,\qquad g_d(x) = e^{-4|x - 1/2|^2}.$$
#
# First without an optimiser. A KAN layer $d \to 1$ without silu is linear in its coefficients, so least squares finds
# its best fit exactly, here in double precision on a grid over $[0, 1]$. It represents sums of univariate functions:
# $f_d$ is one, $g_d$ is not for $d > 1$.

# %%
s = sizes.squares
TARGETS = {"additive": lambda x: np.sin(np.pi * x).mean(1), "Gaussian": lambda x: np.exp(-4 * ((x - 0.5) ** 2).sum(1))}


def least_squares_errors(dimension, grid, i):
    """Test errors of the best one-layer KAN for each target."""
    rng = numpy_generator(i, dimension, "rate points")
    x = rng.random((s["train"] + s["test"], dimension))
    features = spline_features(tensor(x, torch.float64).mT, grid, 3, 0.0, 1.0)  # (d, G + 3, points)
    features = features.flatten(0, 1).T.cpu().numpy()
    targets = np.stack([f(x) for f in TARGETS.values()], 1)
    known = slice(s["train"])
    coefficients = np.linalg.lstsq(features[known], targets[known], rcond=1e-12)[0]
    return np.sqrt(((features @ coefficients - targets)[s["train"] :] ** 2).mean(0))


square_seeds = chapter.seeds(s["seeds"])
squares = {  # (targets, seeds, grids)
    d: np.array([[least_squares_errors(d, g, i) for g in s["grids"]] for i in square_seeds]).transpose(2, 0, 1)
    for d in DIMENSIONS
}

# %% [markdown]
# Now trained networks with a hidden layer, $d$-5-1. The second target is a mixture of plane waves
# $m_d(x) = \sum_{j \le 8} a_j \sin(2\pi w_j\cdot x + b_j)$ with random unit vectors $w_j$, amplitudes
# $a_j \sim N(0, 1/8)$ and phases $b_j$. It is no short composition of univariate functions; $g_d$ would be one, the
# exponential of a sum.

# %%
s = sizes.rate
rate_seeds = chapter.seeds(s["seeds"])


def rate_data(dimension):
    """x (2 S, n, d) in [-1, 1] and y (2 S, n): the additive target for every seed, then the mixture."""
    xs, ys = [], {"additive": [], "mixture": []}
    for i in rate_seeds:
        rng = numpy_generator(i, dimension, "trained rate points")
        x = rng.random((s["train"] + s["test"], dimension))
        w = rng.normal(size=(dimension, 8))
        a, b = rng.normal(size=8) / 8**0.5, rng.uniform(0, 2 * np.pi, 8)
        xs.append(2 * x - 1)
        ys["additive"].append(TARGETS["additive"](x))
        ys["mixture"].append(np.sin(2 * np.pi * x @ (w / np.linalg.norm(w, axis=0)) + b) @ a)
    dtype = torch.float64 if s["lbfgs"] else torch.float32
    return tensor(xs * 2, dtype), tensor(ys["additive"] + ys["mixture"], dtype)


def second_order(net, loss, steps):
    """LBFGS on all points, for one network."""
    optimiser = LBFGS(net.parameters(), max_iter=steps, history_size=50, line_search_fn="strong_wolfe",
                      tolerance_grad=1e-14, tolerance_change=0.0)  # fmt: skip

    def closure():
        optimiser.zero_grad()
        value = loss(net, torch.arange(s["train"]).unsqueeze(0)).sum()
        value.backward()
        return value

    optimiser.step(closure)


def trained_errors(dimension, grid):
    """Test errors (targets, seeds)."""
    x, y = rate_data(dimension)
    build = partial(kan, (dimension, 5, 1), grid, 3)
    keys = [(i, dimension, grid, t) for t in ("additive", "mixture") for i in rate_seeds]
    known, new = slice(s["train"]), slice(s["train"], None)
    squares = []
    # a second-order method would couple the networks of a stack: one after the other then
    for part in [[k] for k in range(len(keys))] if s["lbfgs"] else [range(len(keys))]:
        part = list(part)
        net, points, values = (stacked(build, [start(*keys[k]) for k in part]).to(x.dtype), x[part], y[part])
        loss = squared_error(points[:, known], values[:, known])
        if s["lbfgs"]:
            second_order(net, loss, s["steps"])
        else:
            batches = [torch_generator(*keys[k], "batches") for k in part]
            fit(net, loss, Minibatches(batches, s["train"], s["batch"]), s["steps"], s["lr"])
        with torch.no_grad():
            squares.append((net(points[:, new]).squeeze(-1) - values[:, new]).square().mean(1))
    return torch.cat(squares).sqrt().double().cpu().numpy().reshape(2, -1)


trained = {  # (targets, seeds, grids)
    d: np.stack([trained_errors(d, g) for g in s["grids"]], -1) for d in TRAINED_DIMENSIONS
}


# %%
def exponents(grids, errors):
    """Minus the slope of log error against log G, for each seed."""
    return -estimate.slopes(np.log(grids), np.log(errors))


in_squares, in_trained = sizes.squares["grids"], sizes.rate["grids"]
chapter.measure(
    "c5",
    **{
        f"{t}, d={d}": estimate.mean(exponents(in_squares, e[k]))
        for k, t in enumerate(TARGETS)
        for d, e in squares.items()
    },
    **{
        f"trained, {t}, d={d}": estimate.mean(exponents(in_trained, e[k]))
        for k, t in enumerate(("additive", "mixture"))
        for d, e in trained.items()
    },
)
by_additive, by_mixture = (exponents(in_trained, trained[4][k]) for k in range(2))
if estimate.mean(by_additive).low > 3:
    gap = estimate.paired_difference(by_additive, by_mixture)
    chapter.measure("c5b", **{"mixture, d=4": estimate.mean(by_mixture), "additive - mixture, d=4": gap})
else:
    chapter.not_tested(
        "c5b",
        "training does not reach an exponent above 3 even on the additive target, so a small exponent would tell of the "
        "optimiser and not of the architecture",
    )

# %% tags=["hide-input"]
with figures.figure(columns=len(DIMENSIONS), size=(max(10, 2.8 * len(DIMENSIONS)), 3.2), sharey=True) as (fig, axes):
    columns = {"dimension": [], "target": [], "parameters": [], "RMSE": []}
    for ax, d in zip(axes, DIMENSIONS, strict=True):
        counts = np.array([kan_parameters((d, 1), g, 3) for g in in_squares])
        drawn = [(f"{t}, least squares", counts, squares[d][k]) for k, t in enumerate(TARGETS)]
        if d in trained:
            wide = np.array([kan_parameters((d, 5, 1), g, 3) for g in in_trained])
            drawn += [(f"{t}, trained", wide, trained[d][k]) for k, t in enumerate(("additive", "mixture"))]
        for j, (label, at, errors) in enumerate(drawn):
            middle = np.exp(np.log(errors).mean(0))
            ax.plot(at, middle, marker=figures.MARKERS[j], color=figures.PALETTE[j], label=label)
            figures.fill(columns, d, label, at, middle)
        ax.plot(counts, squares[d][0].mean(0)[0] * (in_squares[0] / np.array(in_squares)) ** 4.0, color="gray", ls=":",
                label="$G^{-4}$")  # fmt: skip
        ax.set(xscale="log", yscale="log", xlabel="parameters", title=f"d = {d}")
        ax.set_xticks((20, 50, 100, 200, 500), ("20", "50", "100", "200", "500"))
        ax.set_xticks((), minor=True)
        ax.set_xlim(0.85 * min(counts), 1.2 * max(at))
    axes[0].set(ylabel="test RMSE")
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, fontsize="small", loc="outside right center")
    figure_4 = chapter.figure(
        fig,
        "Error against parameters as the grid is refined, geometric means over seeds. The dotted line falls like $G^{-4}$ "
        "from the first point of the additive target. For the networks trained with a hidden layer there is no such line.",
        "For each dimension, errors of least-squares fits of a sum of univariate functions and of a Gaussian, with a line "
        "of the promised slope, and errors of trained networks where they were run.",
        columns,
        explore=Explore(x="parameters", y=("RMSE",), by="target", choose="dimension", log="xy"),
    )
figure_4

# %% [markdown]
# ## Verdict

# %% tags=["nbval-check-output"]
chapter.verdicts()

# %%
chapter.report()

# %% [markdown]
# **What was easy.** The direction of the main comparison. On formulas the KAN wins clearly, and the controls say why:
# with silu alone it is far worse than the MLP, and splines that are not trained are of little use. The least-squares
# fits leave no doubt either. The exponent of splines belongs to functions that are sums of univariate ones, in any
# dimension, and to nothing else that one layer can see.
#
# **What was hard.** The third claim. On the elliptic integral and on the product the B-spline MLP is as good as the
# KAN, on the Bessel function and on the exponential it is not. Was it the training? On seeds that are not judged it
# was given three and seven times as many steps, batches of 200, and up to three times the largest learning rate. All
# errors fall, and a larger rate nearly closes the gap on the exponential at the shortest training; yet on these two
# formulas the KAN stays ahead in each of these trials. Was it the implementation? The layers agree with a loop over
# edges and units that uses SciPy's splines. Was it the depth? With two hidden layers of splines and as many
# parameters most of the gap on the Bessel function is gone, on the exponential little is gained and elsewhere nothing; these
# numbers are reported beside the judged ones, and were added after the first run. They are small gaps, but mostly in
# favour of the KAN. So the spline is most of the advantage, as the paper says, and not all of it at equal size. The
# product $xy$ is a sum of two functions of $x + y$ and $x - y$, which is just what one hidden layer of splines
# represents. The exponential of $\sin \pi x + y^2$ is just what two layers of a KAN represent. One depth for all formulas may
# be a stricter test than a search over depths and widths.
#
# In classification the gap of the B-spline MLP to the MLP spreads too far for the margin of one per cent. It comes
# mostly from iris, where the learning rate rests on about twenty points of one split. On splits that are not judged
# the same code shows almost no gap there.
#
# **What the paper leaves out.** "Slower" needs a fixed yardstick. At equal parameters a KAN does many times the
# operations of an MLP, so it must be slower; at equal operations the two are about equally fast or the KAN is faster,
# except on the smallest network, where most of a step goes into calling operations. The upper end of the paper's
# range is out of reach of any of our pairs; we have not looked for implementations that reach it. And the curse of
# dimensionality cannot be judged by training alone. Adam does not reach the rate of splines even where least squares
# does, on a sum in one dimension. So a small exponent of a trained network tells of the optimiser first.
#
# **Where this run differs.** Small sets instead of eight tabular ones, vision and language. The MLP may choose its
# activation on the held-back points, which the KAN cannot; that is in favour of the MLP. Controls are compared with
# networks at the same learning rate. Trained rates use the same cosine decay as all else. A grid that stays as it is
# and a first-order optimiser are the same for all; published successes of KANs refined
# the grid and used a second-order optimiser. Counting is that of the
# published counter, by which the KAN has fewer trained numbers than it is charged for. The criterion "at most 0.1,
# with the interval below 0.3, on at least 3 of 4 formulas" is judged on the third smallest value and the third
# smallest upper end, which could in principle belong to different formulas; here they do not. What the chapter's
# criteria had as one claim c5 became c5 and c5b.
