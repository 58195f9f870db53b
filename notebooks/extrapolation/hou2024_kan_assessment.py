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
from functools import partial
from time import perf_counter
from types import SimpleNamespace

import numpy as np
import torch
from replib import estimate
from replib.chapter import begin
from replib.data import idx
from replib.data.registry import fetch
from replib.figures import Bars, Level, Lines, Points, table
from replib.models import kan as library
from replib.models.kan import Affine, KANLayer, SplineLayer
from replib.randomness import numpy_generator, torch_generator
from replib.training.ensemble import Minibatches, build_seeded
from scipy import special
from sklearn import datasets
from torch import nn
from torch.optim import LBFGS, Adam

chapter = begin("hou2024_kan_assessment", profile, seed)

# %% [markdown]
# ## What the paper claims
#
# The paper assesses other people's experiments. It leans on a comparison with matched counts by Yu et al.
# {footcite}`yu2024_kan_mlp`. So the verdicts below are about its statements, tested by experiments of this chapter.
# Where a small pilot had been
# seen, the note says so.
#
# A criterion such as "on at least 3 of 4 formulas, with the interval" is judged on an order statistic. The third
# largest value, the third largest lower end and the third largest upper end form one interval. It lies above zero
# exactly if those of at least three formulas do.
#
# The fifth claim is two claims here: c5 is the rate that least squares reaches, c5b the rate that training reaches. By
# the chapter's criteria c5b is judged only if training reaches the promised rate on an additive target.

# %% tags=["hide-input"]
chapter.claims()

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
sizes = chapter.sizes(
    quick=dict(
        formulas=4,  # of the list below
        # settings of the KAN: hidden units, grid intervals, order; the others are matched to each
        symbolic=dict(seeds=5, settings=((5, 5, 3),), rates=(0.01, 0.03), train=800, held_back=200, test=1000,
                      batch=128, steps=700),
        sets={  # inputs, classes, hidden units of the KAN
            "digits": (64, 10, 6), "breast cancer": (30, 2, 3), "wine": (13, 3, 3), "iris": (4, 3, 3)},
        classes=dict(splits=6, seeds=2, rates=(0.003, 0.01), batch=128, steps=200, most=6000),
        timing=dict(repetitions=5, warm_up=20, steps=20, batch=256),
        squares=dict(dimensions=(1, 2, 4), seeds=3, grids=(5, 10, 20, 40), train=4000, test=4000),
        rate=dict(dimensions=(1, 4), seeds=4, grids=(3, 5, 10), train=4000, test=1000, batch=128, steps=800, lr=0.02,
                  lbfgs=False),
    ),
    smoke=dict(
        symbolic=dict(seeds=2, train=128, held_back=50, test=50, steps=3),
        classes=dict(splits=2, seeds=2, steps=3), timing=dict(repetitions=2, warm_up=1, steps=2),
        squares=dict(seeds=2, grids=(5, 10), train=500, test=100),
        rate=dict(seeds=2, grids=(3, 5), train=200, test=100, steps=3),
    ),
    paper=dict(
        formulas=18, sets={"MNIST": (784, 10, 3)},
        symbolic=dict(seeds=5, rates=(0.001, 0.01, 0.03, 0.1), steps=5000, settings=(
            (5, 5, 3), (5, 3, 3), (5, 10, 3), (5, 20, 3), (5, 5, 2), (5, 5, 5), (2, 5, 3), (10, 5, 3))),
        classes=dict(seeds=5, rates=(0.001, 0.003, 0.01, 0.03), steps=2000), timing=dict(steps=200),
        squares=dict(dimensions=(1, 2, 4, 8), seeds=10, grids=(5, 10, 20, 50)),
        rate=dict(dimensions=(1, 2, 4, 8), seeds=6, grids=(3, 5, 10, 20, 50), steps=500, lbfgs=True),
    ),
)
# fmt: on
ONE_RATE = 0.03  # of the controls


def tensor(array, dtype=torch.float32):
    return torch.as_tensor(np.asarray(array), dtype=dtype, device=chapter.device)


def most(by_name, largest=True):
    """What more than 70 % of several estimates reach: 3 of 4, and of their lower and upper ends likewise."""
    rank = math.floor(0.7 * len(by_name)) + 1
    ends = {name: [getattr(e, name) for e in by_name.values()] for name in ("value", "low", "high")}
    order = f"number {rank} from {'above' if largest else 'below'} of {len(by_name)}"
    return estimate.Estimate(
        **{name: sorted(values, reverse=largest)[rank - 1] for name, values in ends.items()},
        n=min(e.n for e in by_name.values()),
        method=f"{order}: of the values, of the lower and of the upper ends",
        tolerance=max(e.tolerance for e in by_name.values()),
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
    pairs = zip(widths, widths[1:], strict=False)
    layers = [part for i, o in pairs for part in (Affine(i, o, leading=leading), activation())]
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


def networks(inputs, outputs, hidden, grid, order, *, layers):
    """name -> (builder, parameters by the counter): a KAN and the MLPs that match it."""
    widths = (inputs, hidden, outputs)
    target = library.kan_parameters(widths, grid, order)

    def equal(count, target, layers=layers):
        """Widths with hidden layers of one size whose count is closest to the target."""
        width = closest(lambda h: count((inputs, *[h] * layers, outputs)), target)
        return (inputs, *[width] * layers, outputs)

    def counted(widths):
        return library.spline_mlp_parameters(widths, grid, order)

    plain = equal(library.mlp_parameters, target)
    costly = equal(library.mlp_flops, library.kan_flops(widths, grid, order))
    found = {"KAN": (partial(kan, widths, grid, order), target)}
    for name, activation in ACTIVATIONS.items():
        found[name] = partial(perceptron, plain, activation), library.mlp_parameters(plain)
    for name, depth in (("B-spline MLP", 1), ("two spline layers", 2)):
        splined = equal(counted, target, depth)
        found[name] = partial(spline_mlp, splined, grid, order), counted(splined)
    found["MLP, equal FLOPs"] = partial(perceptron, costly, nn.GELU), library.mlp_parameters(costly)
    return found


matched = {"formula": networks(2, 1, *sizes.symbolic["settings"][0], layers=2)}
for name, widths in sizes.sets.items():
    matched[name] = networks(*widths, 5, 3, layers=1)
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
    return library.stack(singles, build(leading=(len(starts),))).to(chapter.device)


def start(*key):
    return int(numpy_generator(*key, "initialisation").integers(2**31))


def fit(net, loss, batches, steps, rates):
    """Adam with cosine decay to 1 %, one learning rate for all networks or one for each.

    loss: (net, indices) -> one number per network.
    """
    rates = torch.as_tensor(rates, dtype=torch.float32, device=chapter.device).expand(len(next(net.parameters())))
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


def minibatch_loss(x, y, of):
    """(net, indices (S, B)) -> mean over the batch of ``of(outputs, targets)``, for x (S, n, d) and y (S, n)."""
    first = torch.arange(len(x), device=chapter.device).unsqueeze(1) * x.shape[1]
    flat_x, flat_y = x.flatten(0, 1), y.flatten()

    def loss(net, indices):
        chosen = (indices.to(chapter.device) + first).flatten()
        batch = flat_x.index_select(0, chosen).view(*indices.shape, -1)
        return of(net(batch), flat_y.index_select(0, chosen).view(indices.shape)).mean(1)

    return loss


def squared_error(outputs, y):
    return (outputs.squeeze(-1) - y).square()


def cross_entropy(scores, y):
    return nn.functional.cross_entropy(scores.flatten(0, 1), y.flatten(), reduction="none").view(y.shape)


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
    "Bessel J'": special.jvp,
    "exp(sin πx + y²)": lambda x, y: np.exp(np.sin(np.pi * x) + y**2),
    "x y": lambda x, y: x * y,
    "elliptic E": special.ellipeinc,
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
    "sin πx / (1 + y)": lambda x, y: np.sin(np.pi * x) / (1 + y),
}
FORMULAS = list(FUNCTIONS)[: sizes.formulas]


# %%
s, symbolic_seeds = sizes.symbolic, chapter.seeds(sizes.symbolic["seeds"])
networks_of_stack = [(f, i) for f in FORMULAS for i in symbolic_seeds]
xs, ys = [], []  # training points first
for formula, i in networks_of_stack:
    rng = numpy_generator(i, formula, "points")
    points = rng.random((s["train"] + s["held_back"] + s["test"], 2))
    if "Bessel" in formula:
        points[:, 1] = 0.05 + 0.95 * points[:, 1]
    values = FUNCTIONS[formula](*points.T)
    known = values[: s["train"] + s["held_back"]]
    xs.append(2 * points - 1)
    ys.append((values - known.mean()) / known.std())
x, y = tensor(xs), tensor(ys)  # (S, n, 2) in [-1, 1] and standardised (S, n)


def run(name, build, lr, *, change=lambda net: None, factor=1.0):
    """Train one network per formula and seed: errors (formulas, seeds) on held-back and test points, seconds per step.

    ``change`` alters the networks before training, ``factor`` the inputs.
    """
    net = stacked(build, [start(i, f, name) for f, i in networks_of_stack])
    change(net)
    shuffles = [torch_generator(i, f, "batches") for f, i in networks_of_stack]
    batches = Minibatches(shuffles, s["train"], s["batch"])
    loss = minibatch_loss(factor * x[:, : s["train"]], y[:, : s["train"]], squared_error)
    began = perf_counter()
    fit(net, loss, batches, s["steps"], lr)
    seconds = (perf_counter() - began) / s["steps"]
    with torch.no_grad():
        square = squared_error(net(factor * x[:, s["train"] :]), y[:, s["train"] :])
    held_back, test = square.split([s["held_back"], s["test"]], 1)
    shape = len(FORMULAS), len(symbolic_seeds)
    held_back, test = (e.mean(1).sqrt().double().cpu().numpy().reshape(shape) for e in (held_back, test))
    return SimpleNamespace(lr=lr, held_back=held_back, test=test, seconds=seconds)


def chosen(runs):
    """Test errors (formulas, seeds) of the run that is best on the held-back points, formula by formula."""
    quality = np.stack([np.log(r.held_back).mean(1) for r in runs])  # (runs, formulas)
    return np.stack([runs[k].test[f] for f, k in enumerate(quality.argmin(0))])


runs = {name: [] for name in ("KAN", *ACTIVATIONS, "B-spline MLP")}
for hidden, grid, order in s["settings"]:
    offered = networks(2, 1, hidden, grid, order, layers=2)
    for name, done in runs.items():
        done += [run(name, offered[name][0], lr) for lr in s["rates"]]
# the first setting at the controls' learning rate
at_one = {name: [next(r for r in done if r.lr == ONE_RATE)] for name, done in runs.items()}
for family in (runs, at_one):
    family["MLP"] = [r for a in ACTIVATIONS for r in family[a]]
error, plain = ({n: chosen(family[n]) for n in ("KAN", "MLP", "B-spline MLP")} for family in (runs, at_one))


# %% [markdown]
# The controls take something away. They run at one learning rate, and are compared with networks trained at the same
# one. An MLP with as many operations as the KAN runs beside them.


# %%
def without_splines(net):
    """Only silu is left: w_s = 0, neither w_s nor the splines are trained."""
    for layer in net:
        nn.init.zeros_(layer.scale).requires_grad_(False)
        layer.coefficients.requires_grad_(False)


def at_one_rate(name, **altered):
    """Test errors (formulas, seeds) at the controls' learning rate."""
    return run(name, matched["formula"][name][0], ONE_RATE, **altered).test


silu_only = at_one_rate("KAN", change=without_splines)
off_grid = at_one_rate("KAN", factor=3.0)
frozen = at_one_rate("B-spline MLP", change=lambda net: net[0].coefficients.requires_grad_(False))
costly = at_one_rate("MLP, equal FLOPs")
deep = at_one_rate("two spline layers")


def differences(a, b):
    """formula -> log10 a - log10 b, paired by seed."""
    pairs = zip(FORMULAS, np.log10(a), np.log10(b), strict=True)
    return {f: estimate.paired_difference(p, q) for f, p, q in pairs}


better = differences(error["MLP"], error["KAN"])
chapter.measure("c1", most=most(better), formula=better, equal_flops=differences(costly, plain["KAN"]))
for control, measured in {
    "silu-only": differences(silu_only, plain["MLP"]),
    "frozen-splines": differences(frozen, plain["B-spline MLP"]),
    "grid-in-use": {f: estimate.paired_ratio(a, b) for f, a, b in zip(FORMULAS, off_grid, plain["KAN"], strict=True)},
}.items():
    chapter.measure(control, most=most(measured), formula=measured)

# %% tags=["hide-input"]
drawn = error | {"KAN, silu only": silu_only, "frozen splines": frozen}
chapter.figure(
    table(
        ("formula", "network", "seed", "RMSE"),
        [(np.array(FORMULAS)[:, None], name, symbolic_seeds, values) for name, values in drawn.items()],
    ),
    Points("formula", "RMSE", by="network", spread=0.15),
    size=(max(7.0, 1.4 * len(FORMULAS)), 3.6),
    yscale="log",
    ylabel="test RMSE / std of target",
    caption="Test error of each seed's network with about equally many parameters, learning rates chosen on held-back "
    "points. The last two are controls at one learning rate: a KAN with silu only, and a B-spline MLP whose splines "
    "are not trained.",
    alt="Test errors on a logarithmic axis, formula by formula: KAN, MLP and B-spline MLP, and two controls in which "
    "the splines are absent or not trained.",
)

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


def split_data(name, splits):
    """Inputs (splits, n, d), each in an order of its own and scaled by its training part; classes; its size."""
    if name == "MNIST":
        pixels, labels = idx.images(chapter.data(fetch("MNIST")))
        inputs, labels = pixels[: s["most"]].astype(float), labels[: s["most"]].astype(int)
    else:
        inputs, labels = getattr(datasets, "load_" + name.replace(" ", "_"))(return_X_y=True)
    train, xs, ys = round(0.7 * len(labels)), [], []
    for i in splits:
        order = numpy_generator(i, name, "split").permutation(len(labels))
        z, known = inputs[order], inputs[order[:train]]
        spread = known.std(0)
        xs.append(np.tanh((z - known.mean(0)) / np.where(spread > 0, spread, 1) / 2).astype(np.float32))
        ys.append(labels[order])
    return tensor(xs), tensor(ys, torch.long), train


def scores_of(net, x):
    """Outputs in pieces, since the features of all points at once may not fit into memory."""
    with torch.no_grad():
        return torch.cat([net(part) for part in x.split(600, 1)], 1)


def classifiers(build, x, y, keys, rates):
    """One network per key, trained on x (S, n, d), y (S, n)."""
    net = stacked(build, [start(*key) for key in keys])
    batches = Minibatches([torch_generator(*key, "batches") for key in keys], x.shape[1], s["batch"])
    fit(net, minibatch_loss(x, y, cross_entropy), batches, s["steps"], rates)
    return net


CLASSIFIERS = {"KAN": "KAN", "MLP": "MLP, ReLU", "B-spline MLP": "B-spline MLP"}
split_seeds = chapter.seeds(s["splits"])
accuracy = {name: {} for name in CLASSIFIERS}  # set -> (splits, seeds)
for name in sizes.sets:
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
        losses = cross_entropy(scores_of(net, first_x[:, tuning:train]), first_y[:, tuning:train])
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
    gaps = np.stack([accuracy[a][name] - accuracy[b][name] for name in sizes.sets])
    each = {name: nested(g[None], "mean of paired differences") for name, g in zip(sizes.sets, gaps, strict=True)}
    return each, nested(gaps, "mean over sets of paired differences")


each, pooled = accuracy_gap("MLP", "KAN")
losses = estimate.exact(sum(e.high < 0 for e in each.values()), n=len(each), tolerance=0.5, method="count of sets")
chapter.measure("c2", pooled=pooled, kan_better=losses, most=most(each), data_set=each)
each, pooled = accuracy_gap("B-spline MLP", "MLP")
against = differences(error["B-spline MLP"], error["KAN"])
chapter.measure(
    "c3",
    most=most(against, largest=False),
    pooled=pooled,
    formula=against,
    two_layers=differences(deep, plain["KAN"]),
    data_set=each,
)

# %% tags=["hide-input"]
bars = table(
    ("data set", "network", "accuracy", "low", "high"),
    [(list(sizes.sets), label, [nested(v[None], "mean") for v in found.values()]) for label, found in accuracy.items()],
)
chapter.figure(
    bars,
    Bars("data set", "accuracy", by="network", interval=("low", "high")),
    ylim=(max(0, bars["low"].min() - 0.05), 1),
    ylabel="test accuracy",
    caption="Test accuracy of networks with about equally many parameters: mean over splits and seeds, with 95 % "
    "intervals. The axis does not start at zero.",
    alt="Bars of test accuracy of KAN, MLP and B-spline MLP for each data set, with intervals.",
)

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
    net = build_seeded(build, start(*key)).to(chapter.device)
    optimiser = Adam(net.parameters(), lr=1e-3, fused=True)
    rng = numpy_generator(*key, "batch")
    batch = tensor(rng.uniform(-1, 1, (s["batch"], inputs)))
    target = tensor(rng.normal(size=(s["batch"], outputs)))

    def step():
        optimiser.zero_grad()
        (net(batch) - target).square().mean().backward()
        optimiser.step()
        if chapter.device.type == "cuda":
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
ratios = {"equal parameters": {}, "equal FLOPs": {}}
for task in matched:
    inputs, outputs, *_ = sizes.sets.get(task, (2, 1))
    steps = [stepper(matched[task][n][0], inputs, outputs, *chapter.seeds(1), task, n) for n in TIMED]
    for step in steps:
        seconds_per_step(step, s["warm_up"])
    rows = [[seconds_per_step(step, s["steps"]) for step in steps] for _ in range(s["repetitions"])]
    kan_seconds, *others = zip(*rows, strict=True)
    for by_task, other in zip(ratios.values(), others, strict=True):
        by_task[task] = estimate.timed(estimate.paired_ratio(kan_seconds, other))
whole = at_one["KAN"][0].seconds / at_one["MLP, ReLU"][0].seconds
whole = estimate.timed(estimate.exact(whole, tolerance=whole, method="ratio of two trainings"))
if chapter.full and chapter.device.type != "cuda":
    chapter.not_tested("c4", "the criterion for the paper's sizes asks for a GPU, and none was there")
else:
    equal_parameters, equal_flops = ratios.values()
    chapter.measure("c4", equal_parameters=equal_parameters, equal_flops=equal_flops, whole_stack=whole)

# %% tags=["hide-input"]
chapter.figure(
    table(
        ("task", "compared at", "ratio", "low", "high"),
        [(list(matched), name, list(by_task.values())) for name, by_task in ratios.items()],
    ),
    Level((1.36, 100), "the paper's range"),
    Bars("task", "ratio", by="compared at", interval=("low", "high")),
    yscale="log",
    ylim=(0.2, 150),
    ylabel="time per step, KAN / MLP",
    caption="Time of a training step, KAN / MLP, single networks, with 95 % intervals over repetitions. Shaded is "
    "the paper's range, 1.36 to 100. Times differ from machine to machine.",
    alt="Bars of the ratio of times per step for each task, at equal parameters and at equal FLOPs, on a logarithmic "
    "axis with the paper's range marked.",
)

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
    features = library.spline_features(tensor(x, torch.float64).mT, grid, 3, 0.0, 1.0)  # (d, G + 3, points)
    features = features.flatten(0, 1).T.cpu().numpy()
    targets = np.stack([f(x) for f in TARGETS.values()], 1)
    known = slice(s["train"])
    coefficients = np.linalg.lstsq(features[known], targets[known], rcond=1e-12)[0]
    return np.sqrt(((features @ coefficients - targets)[s["train"] :] ** 2).mean(0))


square_seeds = chapter.seeds(s["seeds"])
squares = {  # (targets, seeds, grids)
    d: np.array([[least_squares_errors(d, g, i) for g in s["grids"]] for i in square_seeds]).transpose(2, 0, 1)
    for d in s["dimensions"]
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
    xs, additive, mixture = [], [], []
    for i in rate_seeds:
        rng = numpy_generator(i, dimension, "trained rate points")
        x = rng.random((s["train"] + s["test"], dimension))
        w = rng.normal(size=(dimension, 8))
        a, b = rng.normal(size=8) / 8**0.5, rng.uniform(0, 2 * np.pi, 8)
        xs.append(2 * x - 1)
        additive.append(TARGETS["additive"](x))
        mixture.append(np.sin(2 * np.pi * x @ (w / np.linalg.norm(w, axis=0)) + b) @ a)
    dtype = torch.float64 if s["lbfgs"] else torch.float32
    return tensor(xs * 2, dtype), tensor(additive + mixture, dtype)


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
    for part in np.array_split(np.arange(len(keys)), len(keys) if s["lbfgs"] else 1):
        net, points, values = stacked(build, [start(*keys[k]) for k in part]).to(x.dtype), x[part], y[part]
        loss = minibatch_loss(points[:, known], values[:, known], squared_error)
        if s["lbfgs"]:
            second_order(net, loss, s["steps"])
        else:
            batches = [torch_generator(*keys[k], "batches") for k in part]
            fit(net, loss, Minibatches(batches, s["train"], s["batch"]), s["steps"], s["lr"])
        with torch.no_grad():
            squares.append(squared_error(net(points[:, new]), values[:, new]).mean(1))
    return torch.cat(squares).sqrt().double().cpu().numpy().reshape(2, -1)


# (targets, seeds, grids)
trained = {d: np.stack([trained_errors(d, g) for g in s["grids"]], -1) for d in s["dimensions"]}


# %%
in_squares, in_trained = sizes.squares["grids"], sizes.rate["grids"]
# exponents of each seed: minus the slope of log error against log G
layer, network = (
    [{d: -estimate.slopes(np.log(grids), np.log(e[k])) for d, e in errors.items()} for k in range(2)]
    for grids, errors in ((in_squares, squares), (in_trained, trained))
)
means = [{d: estimate.mean(e) for d, e in found.items()} for found in (*layer, *network)]
chapter.measure("c5", additive=means[0], gaussian=means[1], trained_additive=means[2], trained_mixture=means[3])
if means[2][4].low > 3:
    gap = estimate.paired_difference(network[0][4], network[1][4])
    chapter.measure("c5b", mixture=means[3][4], gap=gap)
else:
    chapter.not_tested(
        "c5b",
        "training does not reach an exponent above 3 even on the additive target, so a small exponent would tell of "
        "the optimiser and not of the architecture",
    )

# %% tags=["hide-input"]
entries = []
for d in squares:
    intervals, parameters = np.array(in_squares), [library.kan_parameters((d, 1), g, 3) for g in in_squares]
    for target, errors in zip(TARGETS, squares[d], strict=True):
        middle = np.exp(np.log(errors).mean(0))
        entries.append((f"d = {d}", f"{target}, least squares", intervals, parameters, middle))
    promised = 0.3 * squares[d][0].mean(0)[0] * (intervals[0] / intervals) ** 4.0
    entries.append((f"d = {d}", "G⁻⁴", intervals, parameters, promised))
    parameters = [library.kan_parameters((d, 5, 1), g, 3) for g in in_trained]
    for target, errors in zip(("additive", "mixture"), trained.get(d, ()), strict=False):
        entries.append((f"d = {d}", f"{target}, trained", in_trained, parameters, np.exp(np.log(errors).mean(0))))
chapter.figure(
    table(("dimension", "target", "grid intervals", "parameters", "RMSE"), entries),
    Lines("grid intervals", "RMSE", by="target", gray=["G⁻⁴"]),
    panel="dimension",
    xscale="log",
    yscale="log",
    ylabel="test RMSE",
    caption="Error against the number of grid intervals, geometric means over seeds. The dotted line, drawn below the "
    "additive target, falls like $G^{-4}$. For the networks trained with a hidden layer there is no such line.",
    alt="For each dimension, errors of least-squares fits of a sum of univariate functions and of a Gaussian, with a "
    "line of the promised slope, and errors of trained networks where they were run.",
)

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
