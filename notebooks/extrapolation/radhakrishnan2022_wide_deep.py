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
# # Wide and deep neural networks achieve optimality for classification
#
# *Adityanarayanan Radhakrishnan, Mikhail Belkin, Caroline Uhler. PNAS 120 (2023); arXiv 2022*
# {footcite}`radhakrishnan2022_wide_deep`
#
# **The question.** Send the width of a network to infinity, then its depth. What classifier is left? The paper's
# answer: one of three. The network copies the label of the nearest training point, or it lets all training points
# vote with equal weight, or it lets them vote with weights that grow like a power of the inverse distance. Three
# Gaussian expectations of the activation decide which.
#
# **Why it matters.** The first two have long been known to be bad. The third can be optimal: with the right power its
# error tends to the smallest possible one, the Bayes error, for every distribution of the data. The paper writes down
# an activation with that power.
#
# **What was found here.** The three classifiers appear as announced, the power obeys the formula closely, and the
# network with the explicit cubic activation is the only classifier compared here that comes near the Bayes error on a
# problem built to trap the others. Three qualifications belong to the picture. The limit is far away: it takes on the
# order of a hundred layers before the cubic network resembles it more than 1-NN, and thousands before the two are
# hard to tell apart. On the other test problem a "wrong" power is better at the larger samples. And no network of
# realistic width with that activation survives ten layers as it stands.

# %% tags=["parameters"]
profile = "quick"
seed = 0

# %% tags=["hide-input"]
from collections import defaultdict
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from replib import estimate
from replib.chapter import begin
from replib.data import idx, points
from replib.data.registry import fetch
from replib.figures import Heat, Level, Lines, Points, table
from replib.kernels import limit
from replib.kernels.dual import RELU, Activation, quadrature
from replib.kernels.empirical import tangent
from replib.models.mlp import NTKMLP
from replib.randomness import numpy_generator
from replib.training.ensemble import build_seeded

chapter = begin("radhakrishnan2022_wide_deep", profile, seed)

# %% [markdown]
# ## Sizes
#
# Everything but networks of finite width is an exact kernel computation, so the quick profile replaces nothing; only
# the samples are moderate. `paper` goes to 100 000 points, to spheres of higher dimension and to MNIST. It should
# take one processor core about a quarter of an hour, an estimate from smaller runs. Networks of finite width run only
# where there is a GPU; nothing that is judged rests on them.

# %% tags=["hide-input"]
# fmt: off
sizes = chapter.sizes(
    quick=dict(
        taxonomy=dict(seeds=10, train=60, test=200),
        depths={"h₂": (2, 4, 6, 8, 10, 12, 14), "cubic": (3, 10, 30, 200, 1000, 5000),
                "ReLU": (3, 10, 30, 100, 300, 1000, 3000), "h₀ + h₃": (3, 10, 20, 30, 60)},
        consistency=dict(seeds=8, sizes=(100, 400, 1600, 6400), test=3000, relu=(100, 400)),
        regression=dict(seeds=8, train=400, test=1000),
        maps=dict(train=60, cells=56),
        spheres=None, images=None, networks=None,
    ),
    smoke=dict(
        taxonomy=dict(seeds=2, train=20, test=40), consistency=dict(seeds=2, test=200, relu=(100,)),
        regression=dict(seeds=2, train=60, test=100), maps=dict(train=20, cells=12),
    ),
    paper=dict(
        taxonomy=dict(train=1000, test=1000),
        depths={"h₂": (2, 4, 6, 8, 10, 12, 14, 19), "cubic": (3, 10, 30, 200, 1000, 5000, 84_000)},
        consistency=dict(sizes=(100, 400, 1600, 6400, 25_600, 100_000)),
        regression=dict(seeds=20),
        maps=dict(cells=120),
        spheres=dict(dimensions=(3, 4, 8), seeds=4, size=100_000, test=1000),
        images=dict(seeds=5, train=2000, test=2000, exponents=(4, 12, 783)),
        networks=dict(seeds=5, width=2048, depths=(20, 50), train=60, test=200),
    ),
)
# fmt: on
FINITE = chapter.device.type == "cuda"  # networks of finite width run only there

# %% [markdown]
# ## What the paper claims
#
# A claim counts only if the controls it needs behave as declared. Criteria were set before this chapter was written.
# Where values had been computed beforehand, the note says so; the verdicts rest on seeds not used then.
#
# Four activations stand for the cases. $h_k$ is the Hermite polynomial of degree $k$, normalised to
# $\mathbb{E}\,h_k(z)^2 = 1$ for standard normal $z$. With $A=\mathbb{E}\,\phi(z)$, $A'=\mathbb{E}\,\phi'(z)$,
# $B'=\mathbb{E}\,\phi'(z)^2$ and $\mathbb{E}\,\phi(z)^2=1$:
#
# | name here | activation | mean $A$ | slope $A'$ | squared slope $B'$ | predicted limit |
# |---|---|---|---|---|---|
# | h₂ | $h_2$ | 0 | 0 | 2 | 1-nearest neighbour |
# | cubic | $2^{-d/4}h_3+\sqrt{1-2^{1-d/2}}\,h_2+2^{-d/4}h_1$ | 0 | $2^{-d/4}$ | 2 | singular kernel, $\alpha=d$ |
# | ReLU | $\sqrt2\max(z,0)$ | $1/\sqrt\pi$ | $1/\sqrt2$ | 1 | majority vote |
# | h₀ + h₃ | $\sqrt{0.3}+\sqrt{0.7}\,h_3$ | $\sqrt{0.3}$ | 0 | 2.1 | majority vote |
#
# $d$ is the dimension of the sphere $S^d\subset\mathbb R^{d+1}$ on which the data lie; all coordinates are positive.
# Here $d=2$ unless another one is named. $L$ counts the hidden layers.

# %% tags=["hide-input"]
chapter.claims()

# %% [markdown]
# ## The kernel of a very deep network
#
# Points are unit vectors with inner product $\xi=\langle x,z\rangle$ and distance $r$, $r^2=2(1-\xi)$. A network
# without biases, infinitely wide and trained by gradient descent on the square loss, predicts
# $f_L(x)=\operatorname{sign}\,\Theta_L(x,X)\,\Theta_L(X,X)^{-1}y$. Its tangent kernel depends on $\xi$ alone. For
# $\phi=\sum_k a_kh_k$ let $\hat\phi(\xi)=\sum_k a_k^2\xi^k$; then
#
# $$\Sigma_0=\Theta_0=\xi,\qquad \Sigma_l=\hat\phi(\Sigma_{l-1}),\qquad
# \Theta_l=\Theta_{l-1}\,\hat\phi'(\Sigma_{l-1})+\Sigma_l,\qquad
# \hat\phi(0)=A^2,\quad \hat\phi'(0)=A'^2,\quad \hat\phi'(1)=B'.$$
#
# The three limits can be read off. On the diagonal $\Sigma_l=1$ and $\Theta_L$ grows like $B'^L$, for $B'=1$ like
# $L$.
#
# - $A=A'=0$: a similarity below 1 is at least squared in each layer. For $h_2$ one finds
#   $\Theta_L=(2^{L+1}-1)\,\xi^{2^L}$ exactly: the nearest point outweighs all others together.
# - $A=0$, $A'\ne0$: similarities shrink by the constant factor $A'^2$ once they are small, all alike. So
#   $\Theta_L/\big((L+1)A'^{2L}\big)\to\psi(\xi)=\lim_l\Sigma_l/A'^{2l}$, the matrix $\Theta_L(X,X)$ becomes a
#   multiple of the identity, and $f(x)=\operatorname{sign}\sum_iy_i\,\psi(\langle x,x_i\rangle)$.
# - $A\ne0$: all similarities tend to one constant, the diagonal outgrows it, and all training points count alike.
#
# **Numbers that fit.** Over 5000 layers $\Theta$ leaves the range of floating-point numbers, and a rounding error in
# $\xi$ next to 1 grows like $B'^L$. So the recursion runs on $s=-\log\xi$, which resolves both ends, with
# $\log\Theta$; once on a table of values of $s$, from which every kernel matrix is looked up by its distances. On the
# diagonal $s$ is 0 exactly. Up to ten layers, where kernel matrices can be nearly singular, the library's recursion
# runs on the points themselves.

# %%
NEAREST_E = 1e-15  # r² / 2 below which points count as equal
S = np.geomspace(NEAREST_E, 60, 3000)  # s = -log ξ
LOG_E = np.log(-np.expm1(-S))  # log (1 - ξ) = log (r² / 2): where a kernel is looked up


def hermite_layer(p):
    """One layer of φ = Σ a_k h_k, a_k² = p_k: s -> s of the next layer, log φ̂'(ξ); ξ = exp(-s)."""
    p = np.asarray(p, dtype=float)[:, None]
    k = np.arange(len(p))[:, None]
    k, p = k[p > 0][:, None], p[p > 0][:, None]
    slope_k, slope_p = k[k > 0][:, None], (k * p)[k > 0][:, None]

    def layer(s):
        with np.errstate(divide="ignore"):  # where ξ is too small for this form
            near = -np.log1p((p * np.expm1(-k * s)).sum(0))
        far = -np.logaddexp.reduce(np.log(p) - k * s)
        slope = np.logaddexp.reduce(np.log(slope_p) - (slope_k - 1) * s)
        return np.where(s < np.log(2), near, far), slope

    return layer


def hermite_activation(name, p):
    """The same for the library's recursion, on unit variances."""
    dual = np.polynomial.Polynomial(p)
    slope = dual.deriv()
    return Activation(name, lambda u, v, xi: (dual(xi), slope(xi)))


def relu_layer(s):
    value, slope = RELU.dual(1.0, 1.0, np.exp(-s))  # of E φ² = 1/2: twice that is normalised
    return np.maximum(-np.log(2 * value), 0.0), np.log(2 * slope)


RELU_1 = Activation("normalised ReLU", lambda u, v, xi: tuple(2 * e for e in RELU.dual(u, v, xi)))


def cubic(d):
    """p of the paper's activation for the sphere of dimension d."""
    return (0.0, 2 ** (-d / 2), 1 - 2 ** (1 - d / 2), 2 ** (-d / 2))


WEIGHTS = {"h₂": (0, 0, 1.0), "cubic": cubic(2), "h₀ + h₃": (0.3, 0, 0, 0.7)}
LAYERS = {name: hermite_layer(p) for name, p in WEIGHTS.items()} | {"ReLU": relu_layer}
ACTIVATIONS = {n: hermite_activation(n, p) for n, p in WEIGHTS.items()} | {"ReLU": RELU_1}


def tables(layer, depths):
    """{L: log Θ_L(ξ) / Θ_L(1) on the table} for every L of ``depths``."""
    s, found = np.append(S, 0.0), {}  # the last entry is the diagonal
    log_theta = -s
    for L in range(1, max(depths) + 1):
        s, slope = layer(s)
        log_theta = np.logaddexp(log_theta + slope, -s)
        if L in depths:
            found[L] = log_theta[:-1] - log_theta[-1]
    return found


def log_singular(p, layers=400):
    """log ψ on the table, ψ = lim φ̂∘...∘φ̂(ξ) / A'^(2L)."""
    s, layer = S, hermite_layer(p)
    for _ in range(layers):
        s, _ = layer(s)
    return -s - layers * np.log(p[1])


EXACT_DEPTH = 10  # up to here the library's recursion on the points themselves
TABLES = {
    name: tables(LAYERS[name], {L for L in (*depths, 10, 100) if L >= EXACT_DEPTH})
    for name, depths in sizes.depths.items()
}
PSI_2 = log_singular(cubic(2))


def at_distance(r, table):
    """A function of ξ for two points at distance r."""
    return np.interp(np.log(r**2 / 2), LOG_E, table)


def look_up(table, x, z):
    """A function of ξ on all pairs, (m, n)."""
    return np.interp(np.log(np.maximum(1 - x @ z.T, NEAREST_E)), LOG_E, table)


def log_kernel(name, L, x, z):
    """log Θ_L(x, z) / Θ_L(x, x) on unit vectors, (m, n)."""
    if L > EXACT_DEPTH:
        return look_up(TABLES[name][L], x, z)
    root = np.sqrt(x.shape[1])  # the library divides inner products by the dimension
    one = np.eye(1, x.shape[1])
    theta, diagonal = (limit.mlp(a * root, b * root, L + 1, ACTIVATIONS[name]).tangent for a, b in ((x, z), (one, one)))
    with np.errstate(divide="ignore"):  # 0 where h₂ has gone below the smallest number
        return np.log(theta / diagonal)


def coefficients(name, L, x, y):
    """Θ_L(X, X)^-1 y: the pseudo-inverse, relative cut-off 1e-12."""
    matrix = np.exp(log_kernel(name, L, x, x))
    np.fill_diagonal(matrix, 1.0)
    return np.linalg.pinv(matrix, rcond=1e-12, hermitian=True) @ y


def signs(log_weights, y):
    """sign Σ_i w_i y_i for each row; only ratios of weights matter."""
    return np.sign(np.exp(log_weights - log_weights.max(1, keepdims=True)) @ y)


def orthant(count, d, rng):
    """Uniform on the part of the sphere S^d where all coordinates are positive, (count, d + 1)."""
    return np.abs(points.sphere(count, d + 1, 1.0, rng))


# %% [markdown]
# Does the table give what a direct computation gives? The library's recursion, given the activation itself, finds the
# expectations by Gaussian quadrature: no Hermite coefficients, no logarithms, no table. Ten layers are compared.

# %%
H = np.polynomial.hermite_e.HermiteE
NORMALISED = [H.basis(k) / np.sqrt(float(np.prod(range(1, k + 1)))) for k in range(4)]


def activation_function(p):
    """φ itself, from the squares of its coefficients."""
    return sum(np.sqrt(w) * h for w, h in zip(p, NORMALISED, strict=False))


check = numpy_generator(chapter.seeds(1)[0], "recursion")
x, z = (orthant(6, 2, check) for _ in range(2))
one, deviation = np.eye(1, 3), {}
for name, p in WEIGHTS.items():
    phi = activation_function(p)
    integrated = quadrature(name, phi, phi.deriv(), nodes=16)
    theta, diagonal = (
        limit.mlp(np.sqrt(3) * a, np.sqrt(3) * b, EXACT_DEPTH + 1, integrated).tangent for a, b in ((x, z), (one, one))
    )
    theta /= diagonal
    # what is too small for a quotient of quadratures says nothing
    large = theta > 1e-8
    off = np.abs(np.exp(look_up(TABLES[name][EXACT_DEPTH], x, z)) / theta - 1)[large]
    deviation[name] = estimate.exact(off.max(), off.size, tolerance=1e-4, method="largest of all pairs")
chapter.measure("recursion", deviation=deviation)

# %% [markdown]
# ## Three classifiers
#
# Training points lie at random, and exactly 70 % of them carry the label +1, independently of where they are. (With
# balanced labels a majority vote would be a coin flip and agreement with it would say nothing.) Counted is how often
# the network of depth $L$ agrees with each of the three limits.
#
# The paper takes the width to infinity first. What happens at finite width? Given the previous layer, the next one
# has independent Gaussian entries of variance $q$, the mean square of the previous activations; so the norm of the
# signal can be followed without any weight matrix: $q'=\frac1m\sum_j\phi(\sqrt q\,z_j)^2$. At $m=\infty$ the value
# $q=1$ is a fixed point. Whether it is a stable one is a question of the derivative
# $\mathbb{E}\,[z\,\phi(z)\,\phi'(z)]$.

# %%
METHODS = PSI, SHALLOW, STEEP, NEAREST, MAJORITY = ("ψ, α = d", "α = d/2", "α = 2d", "1-NN", "majority")
TARGET = {"h₂": NEAREST, "cubic": PSI, "ReLU": MAJORITY, "h₀ + h₃": MAJORITY}


def draw(s, rng):
    """Training points, their labels, test points."""
    x, z = (orthant(n, 2, rng) for n in (s["train"], s["test"]))
    return x, np.where(np.arange(s["train"]) < 0.7 * s["train"], 1.0, -1.0), z  # positions are random


def limits(x, y, z):
    """Signs of the three classifiers."""
    majority = np.sign(y.sum()) * np.ones(len(z))
    return {NEAREST: y[(z @ x.T).argmax(1)], PSI: signs(look_up(PSI_2, z, x), y), MAJORITY: majority}


def deep_signs(name, L, x, y, z):
    """Signs of the network of depth L."""
    return signs(log_kernel(name, L, z, x), coefficients(name, L, x, y))


s = sizes.taxonomy
agreement = defaultdict(list)  # (activation, L, classifier): one number per seed
for i in chapter.seeds(s["seeds"]):
    x, y, z = draw(s, numpy_generator(i, "taxonomy"))
    predicted = limits(x, y, z)
    for name, depths in sizes.depths.items():
        for L in depths:
            f = deep_signs(name, L, x, y, z)
            for classifier, other in predicted.items():
                agreement[name, L, classifier].append((f == other).mean())

phi = activation_function(cubic(2))
nodes, weights = np.polynomial.hermite_e.hermegauss(16)
growth = (weights / weights.sum()) @ (nodes * phi(nodes) * phi.deriv()(nodes))  # d E φ(√q z)² / dq at q = 1


def lifetime(width, rng):
    """Layers until the mean square of the activations is off by a factor of 10."""
    q, layers = 1.0, 0
    while 0.1 < q < 10:
        q, layers = np.mean(phi(np.sqrt(q) * rng.standard_normal(width)) ** 2), layers + 1
    return layers


judged = [(name, depths[-1]) for name, depths in sizes.depths.items()]
if chapter.full:
    judged += [("h₂", 14), ("cubic", 5000)]  # too shallow for 1000 points, see the end
lifetimes = {
    m: [lifetime(m, numpy_generator(i, "lifetime", m)) for i in chapter.seeds(s["seeds"])] for m in (2048, 2**17)
}
ends = {L: {m: agreement["cubic", L, m] for m in (PSI, NEAREST, MAJORITY)} for L in sizes.depths["cubic"]}
last = ends[sizes.depths["cubic"][-1]]
steps = pairwise(L for L in ends if L not in (3, 30))
chapter.measure(
    "c1",
    limit={
        f"{name}, {TARGET[name].split(',')[0]} at L = {L}": estimate.mean(agreement[name, L, TARGET[name]])
        for name, L in judged
    },
    minus={m: estimate.paired_difference(last[PSI], last[m]) for m in (NEAREST, MAJORITY)},
    rise={f"{a} to {b}": estimate.paired_difference(ends[b][PSI], ends[a][PSI]) for a, b in steps},
    growth=estimate.exact(growth, tolerance=1e-9),
    lifetime={m: estimate.median(found) for m, found in lifetimes.items()},
)

# %% [markdown]
# So the networks that the paper's limit speaks of cannot be built as they stand: their norm explodes or dies out,
# doubly exponentially, after a few layers. Where there is a GPU, the next cell therefore builds them in two ways: as
# they are, where the share is counted whose tangent kernel is a finite number, and with every layer divided by its
# own root mean square, which is held constant when the gradient is taken. At infinite width that divides by 1, so the
# limit is the same. Compared are the classifiers of the tangent kernel of the network at initialisation and of the
# limit kernel of equal depth.


# %%
class Cubic(torch.nn.Module):
    def __init__(self, normalise):
        super().__init__()
        self.normalise = normalise

    def forward(self, x):
        if self.normalise:
            x = x / x.square().mean(-1, keepdim=True).sqrt().detach()
        return ((x**3 - 3 * x) / 6**0.5 + x) / 2**0.5


def network_signs(i, L, normalise, x, z, y):
    """Signs of the classifier with the tangent kernel of one network; zeros if it has overflowed."""
    build = partial(NTKMLP, 3, s["width"], L + 1, bias=0.0, activation=partial(Cubic, normalise))
    net = build_seeded(build, int(numpy_generator(i, "network", L).integers(2**31))).double().to(chapter.device)
    both = torch.as_tensor(np.sqrt(3) * np.concatenate([x, z]), device=chapter.device)
    theta = tangent(net, both).cpu().numpy()
    if not np.isfinite(theta).all() or theta.max() == 0:
        return np.zeros(len(z))
    theta /= np.diagonal(theta).max()
    n = len(x)
    return np.sign(theta[n:, :n] @ np.linalg.pinv(theta[:n, :n], rcond=1e-12, hermitian=True) @ y)


if FINITE:
    s = sizes.networks
    for L in s["depths"]:
        TABLES["cubic"] |= tables(LAYERS["cubic"], {L})
        survived, agreed = [], []
        for i in chapter.seeds(s["seeds"]):
            x, y, z = draw(s, numpy_generator(i, "networks"))
            survived.append(network_signs(i, L, False, x, z, y).any())
            agreed.append(np.mean(network_signs(i, L, True, x, z, y) == deep_signs("cubic", L, x, y, z)))
        print(f"{L} layers: {sum(survived)} of {len(survived)} networks keep a finite kernel;", end=" ")
        print(f"normalised, they agree with the limit on a share of {np.mean(agreed):.3f} of the test points")

# %% tags=["hide-input"]
cases, depth = "three cases", "agreement with the predicted limit"
rows, noted = [], {}
for name, target in TARGET.items():
    at_0, at_1 = (ACTIVATIONS[name].dual(1.0, 1.0, xi) for xi in (0.0, 1.0))
    A, A1 = np.sqrt(at_0[0]), np.sqrt(at_0[1])
    noted[f"{name}, B′ = {at_1[1]:.2g}"] = A, A1
    rows.append((cases, f"{name}: {target}", A, A1, np.nan, np.nan))
    depths = sizes.depths[name]
    rows.append((depth, f"{name}: {target}", depths, [estimate.mean(agreement[name, L, target]) for L in depths]))


def regions(ax, rows, cues):
    if ax.get_label() == cases:
        ax.axvspan(0.03, 0.98, color="gray", alpha=0.15, lw=0)
        ax.plot([0, 0], [0.03, 0.95], color="gray", lw=4, alpha=0.4)
        ax.text(0.4, 0.35, "A ≠ 0, B′ ≥ 1:\nmajority vote", ha="center")
        ax.text(-0.02, 0.4, "A = 0, A′ ≠ 0:\nsingular kernel", ha="right")
        ax.text(-0.04, 0.0, "A = A′ = 0:\n1-NN", ha="right", va="center")
        for text, place in noted.items():
            ax.annotate(text, place, (8, 8), textcoords="offset points")


chapter.figure(
    table(("panel", "activation", "x", "y", "low", "high"), rows),
    regions,
    Lines("x", "y", by="activation", where="low == low"),
    Points("x", "y", by="activation", interval=("low", "high")),
    panel="panel",
    panels={
        cases: dict(xlabel="A", ylabel="A′", xlim=(-0.42, 0.98), ylim=(-0.12, 1.0)),
        depth: dict(xscale="log", xlabel="layers L", ylabel="", ylim=(0.45, 1.02)),
    },
    size=(10, 4),
    caption="Left: the tested activations among the three cases. Right: how often the network of depth L gives the "
    "same label as the limit predicted for its activation, with 95 % intervals over draws of the data.",
    alt="All four activations approach the classifier predicted for them. h₂ and h₀ + h₃ need a dozen to a few dozen "
    "layers, ReLU hundreds, and the cubic activation thousands.",
)

# %% [markdown]
# ## The exponent of the singular kernel
#
# Two points at a small distance $r$ have $1-\xi=r^2/2$, which each layer multiplies by $B'$. So about
# $\log(2/r^2)/\log B'$ layers pass until it is of order one, during which $\Sigma$ stays near 1 while $1/A'^{2l}$
# grows. From then on $\Sigma_l/A'^{2l}$ hardly changes. Hence
#
# $$\psi\;\approx\;A'^{-2\log(2/r^2)/\log B'}\;\propto\;r^{-\alpha},\qquad \alpha=-\frac{4\log A'}{\log B'}.$$
#
# With the cubic's $A'=2^{-d/4}$ and $B'=2$ this is $\alpha=d$. The exponent is fitted for five spheres and four more
# activations.
#
# One may not look for it at finite depth. There the network's kernel carries another term, of order $B'^l/(L+1)$
# after $l$ layers, which makes the singularity steeper by two powers at distances $r^2\ll1/(L+1)$. The figure shows
# it, and a fit below $r=0.001$ at 100 layers is reported.


# %%
def fitted(r, table):
    """The exponent of a singularity."""
    return -estimate.slopes(np.log(r), at_distance(r, table))[0]


exactly = partial(estimate.exact, tolerance=1e-6)
r, near, close = np.geomspace(1e-4, 0.5, 200), np.geomspace(1e-6, 0.1, 200), np.geomspace(1e-4, 1e-3, 50)
SPHERES, exponent, spread, factor = (2, 3, 4, 5, 6), {}, {}, {}
OTHERS = ((0.3, 0.7, 0.0), (0.5, 0.3, 0.2), (0.6, 0.0, 0.4), (0.2, 0.4, 0.4))  # a₁², a₂², a₃²
singular = {d: log_singular(cubic(d)) for d in SPHERES}
for case, p in [(d, cubic(d)) for d in SPHERES] + [(p, (0, *p)) for p in OTHERS]:
    psi = singular[case] if case in SPHERES else log_singular(p)
    formula = -2 * np.log(p[1]) / np.log(np.arange(len(p)) @ p)  # p_1 = A'^2, B'
    name = f"d = {case}" if case in SPHERES else f"a² = {case}"
    exponent[name] = exactly(fitted(r, psi) - formula, r.size, method="least-squares slope")
    if case in SPHERES:
        R = np.exp(at_distance(near, psi) + formula * np.log(near))
        spread[case] = exactly(R.max() / R.min(), near.size)
        factor[case] = exactly(np.exp(at_distance(1e-3, psi) + formula * np.log(1e-3)))
hundred = exactly(fitted(close, TABLES["cubic"][100]), close.size, method="least-squares slope")
chapter.measure("c3", exponent=exponent, spread=spread, factor=factor, hundred=hundred)

# %% tags=["hide-input"]
r, rows = np.geomspace(1e-4, 1.4, 120), []
for d in (2, 3, 4, 6):
    values = at_distance(r, singular[d]) / np.log(10)
    rows.append((f"ψ, d = {d}", r, values))
    rows.append((f"slope -{d} (raised)", r[:80], values[0] + 0.7 - d * np.log10(r[:80] / r[0])))
values = at_distance(r, TABLES["cubic"][100]) / np.log(10)
offset = np.interp(np.log(0.5), np.log(r), at_distance(r, PSI_2) / np.log(10) - values)
rows.append(("d = 2, 100 layers (shifted)", r, values + offset))
chapter.figure(
    table(("kernel", "distance r", "log₁₀ of the kernel"), rows),
    Lines("distance r", "log₁₀ of the kernel", by="kernel", gray=[name for name, *_ in rows if name[0] == "s"]),
    xscale="log",
    ylim=(-3, 27),
    size=(7, 4.2),
    caption="The singular kernel ψ of the cubic activation for spheres of several dimensions, with gray lines of "
    "slope -d drawn a little higher, and the tangent kernel after 100 layers, d = 2, shifted to meet ψ at r = 0.5.",
    alt="In both logarithms ψ is a straight line of slope -d over more than three decades of the distance. The kernel "
    "of 100 layers agrees with it at large distances and is steeper at small ones.",
)

# %% [markdown]
# ## Is it optimal?
#
# $\eta(x)=P(y=1\mid x)$ is known, so the error of a classifier is computed from it, not from sampled test labels. The
# smallest possible is the Bayes error $\mathbb{E}\min(\eta,1-\eta)$; 1-NN tends to $\mathbb{E}\,2\eta(1-\eta)$,
# majority vote to the mass of the minority. Two distributions on the positive part of $S^2$:
#
# - **island**: $\eta=0.2$ within the angle 0.3 of the diagonal, about 18 % of the mass, and 0.8 elsewhere,
# - **wave**: $\eta=0.5+0.35\,\sin(4\pi x_1)\cos(2\pi x_2)$.
#
# Compared are the vote with weights $\psi$, where $\alpha=d$, votes with weights $r^{-d/2}$ and $r^{-2d}$, 1-NN and
# majority. In each draw the smaller samples are the first points of the largest. The tangent kernel of a ReLU network
# with three affine layers is a practical reference at small $n$.
#
# Why $\alpha=d$? At $r^{-\alpha}$ with $\alpha<d$ most of the weight sits with the many points far away, at
# $\alpha>d$ with the few nearest ones. At $\alpha=d$ every scale of distance carries the same weight, and the scales
# within a given neighbourhood, whose number grows like $\log n$, slowly win.

# %%
CENTRE, ANGLE = np.ones(3) / np.sqrt(3), 0.3


def island(x, angle=ANGLE):
    """P(y = 1 | x)."""
    return np.where(x.mean(1) * np.sqrt(x.shape[1]) > np.cos(angle), 0.2, 0.8)


def wave(x):
    return 0.5 + 0.35 * np.sin(4 * np.pi * x[:, 0]) * np.cos(2 * np.pi * x[:, 1])


def label(eta, rng):
    return np.where(rng.random(len(eta)) < eta, 1.0, -1.0)


def error(predicted, eta):
    """Probability of a wrong label, averaged over the points; a tie is settled by a coin."""
    return np.mean(0.5 * (1 - predicted * (2 * eta - 1)), axis=-1)


def classifiers(x, labels, z, counts, d, table):
    """Signs of every method from the first n points of x, for every n of ``counts``.

    Shapes: x (N, d + 1), labels (N, columns), z (m, d + 1) -> {method: (counts, columns, m)}.
    """
    found = {m: np.zeros((len(counts), labels.shape[1], len(z))) for m in METHODS}
    found[MAJORITY] += np.sign(labels.cumsum(0)[np.array(counts) - 1])[:, :, None]
    for rows in np.array_split(np.arange(len(z)), max(1, len(z) * counts[-1] // 2**18)):
        sums, closest, nearest = 0.0, np.full(len(rows), np.inf), np.zeros(len(rows), dtype=int)
        for at, (a, b) in enumerate(pairwise((0, *counts))):
            e = np.maximum(1 - z[rows] @ x[a:b].T, NEAREST_E)  # r^2 / 2, (rows, b - a)
            best = e.argmin(1)
            nearer = e[np.arange(len(rows)), best] < closest
            nearest[nearer] = a + best[nearer]
            closest = np.minimum(closest, e[np.arange(len(rows)), best])
            log_e = np.log(e)
            shallow = np.exp(-d / 4 * log_e)  # r^(-d/2) up to a factor
            weights = np.exp(np.interp(log_e, LOG_E, table)), shallow, (shallow**2) ** 2
            sums = sums + np.stack([w @ labels[a:b] for w in weights])  # (3, rows, columns)
            for m, total in zip((PSI, SHALLOW, STEEP), sums, strict=True):
                found[m][at, :, rows] = np.sign(total)
            found[NEAREST][at, :, rows] = labels[nearest]
    return found


def relu_signs(x, y, z):
    """Classifier of a ReLU network with three affine layers."""
    return np.sign(limit.mlp(z, x, 3).tangent @ np.linalg.solve(limit.mlp(x, x, 3).tangent, y))


SMALLEST, MIDDLE, LARGEST = 100, 1600, 6400  # the sizes that are compared
TASKS = {"island": island, "wave": wave}
s = sizes.consistency
errors, inside, relu, permuted = defaultdict(list), defaultdict(list), defaultdict(list), []
for i in chapter.seeds(s["seeds"]):
    rng = numpy_generator(i, "consistency")
    x, z = orthant(s["sizes"][-1], 2, rng), orthant(s["test"], 2, rng)
    y = [label(eta(x), rng) for eta in TASKS.values()]
    mixed = np.zeros(len(x))
    mixed[:MIDDLE] = rng.permutation(y[0][:MIDDLE])
    found = classifiers(x, np.stack([*y, mixed], 1), z, s["sizes"], 2, PSI_2)
    cap = island(z) < 0.5
    for column, (name, eta) in enumerate(TASKS.items()):
        for m in METHODS:
            errors[name, m].append(error(found[m][:, column], eta(z)))
        for n in s["relu"]:
            relu[name, n].append(error(relu_signs(x[:n], y[column][:n], z), eta(z)))
    for m in METHODS:
        inside[m].append(error(found[m][:, 0, cap], island(z[cap])))
    permuted.append(error(found[PSI][s["sizes"].index(MIDDLE), 2, cap], island(z[cap])))
errors, inside = ({key: np.array(v) for key, v in found.items()} for found in (errors, inside))  # (seeds, sizes)


# %%
def at(values, n=LARGEST):
    """(seeds,) values at one number of training points."""
    return values[:, sizes.consistency["sizes"].index(n)]


def compare(task, first, second):
    return estimate.paired_difference(at(errors[task, first]), at(errors[task, second]))


everywhere = orthant(400_000, 2, numpy_generator(0, "integration"))
BAYES, beyond = {}, defaultdict(dict)  # beyond: quantity of c5 -> one estimate per task
for task, eta in TASKS.items():
    p = eta(everywhere)
    BAYES[task] = np.minimum(p, 1 - p).mean()
    nearest, majority = errors[task, NEAREST], errors[task, MAJORITY]
    beyond["nearest_limit"][task] = estimate.mean(at(nearest) - np.mean(2 * p * (1 - p)))
    beyond["nearest_fall"][task] = estimate.paired_difference(at(nearest, MIDDLE), at(nearest))
    beyond["majority_limit"][task] = estimate.mean(at(majority) - min(p.mean(), 1 - p.mean()))
    beyond["nearest"][task], beyond["majority"][task] = compare(task, NEAREST, PSI), compare(task, MAJORITY, PSI)
chapter.measure("c5", **beyond)
chapter.measure("permuted", estimate.mean(permuted))
wrong = errors["island", SHALLOW]
chapter.measure("wrong-exponent", estimate.paired_difference(at(wrong), at(wrong, SMALLEST)))

# %% [markdown]
# The paper profile adds the largest sample, spheres of other dimension and images. In dimension $d$ the island is the
# cap that holds the same 18 % of the mass. MNIST images, divided by their length, have positive coordinates and lie
# on $S^{783}$, so the exponent of the theory is 783; smaller ones are what a lower intrinsic dimension would ask for.
# The task is odd against even digits.

# %%
excess = errors["island", PSI] - BAYES["island"]  # (seeds, sizes)
largest, spheres, images = {}, defaultdict(list), defaultdict(list)
if chapter.full:
    level = [at(excess, n) * np.log(n) for n in (sizes.consistency["sizes"][-1], LARGEST)]
    largest = dict(excess=estimate.mean(excess[:, -1]), level=estimate.paired_ratio(*level))
    s = sizes.spheres
    for d in s["dimensions"]:
        psi = log_singular(cubic(d))
        for i in chapter.seeds(s["seeds"]):
            rng = numpy_generator(i, "spheres", d)
            x, z = orthant(s["size"], d, rng), orthant(s["test"], d, rng)
            angle = np.arccos(np.quantile(x.mean(1) * np.sqrt(d + 1), 0.82))
            y = label(island(x, angle), rng)[:, None]
            eta = island(z, angle)
            for m, f in classifiers(x, y, z, (s["size"],), d, psi).items():
                spheres[f"d = {d}, excess error of {m}"].append(error(f[0, 0], eta) - np.minimum(eta, 1 - eta).mean())
    s = sizes.images
    pixels, digits = idx.images(chapter.data(fetch("MNIST")))
    for i in chapter.seeds(s["seeds"]):
        chosen = numpy_generator(i, "images").permutation(len(digits))[: s["train"] + s["test"]]
        unit = pixels[chosen].astype(float)
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        parity = np.where(digits[chosen] % 2 == 1, 1.0, -1.0)
        (x, z), (y, truth) = (np.split(a, [s["train"]]) for a in (unit, parity))
        decided = {"1-NN": y[(z @ x.T).argmax(1)], "ReLU kernel of 3 layers": relu_signs(x, y, z)}
        for a in s["exponents"]:
            decided[f"ψ, α = {a}"] = signs(look_up(log_singular(cubic(a)), z, x), y)
        for m, f in decided.items():
            images[m].append(np.mean(f != truth))
n = sizes.consistency["relu"][-1]
chapter.measure(
    "c4",
    fall=estimate.paired_ratio(at(excess), at(excess, SMALLEST)),
    inside={m: estimate.mean(at(inside[m])) for m in (PSI, SHALLOW)},
    minus={m: compare("island", PSI, m) for m in (SHALLOW, STEEP, NEAREST)},
    wave=compare("wave", PSI, SHALLOW),
    relu=estimate.paired_difference(at(errors["island", PSI], n), relu["island", n]),
    spheres={case: estimate.mean(found) for case, found in spheres.items()},
    images={m: estimate.mean(found) for m, found in images.items()},
    **largest,
)

# %% tags=["hide-input"]
counts = sizes.consistency["sizes"]
rows = [(task, m, counts, [estimate.mean(e) for e in found.T]) for (task, m), found in errors.items()]
rows += [(task, "ReLU, 3 layers", n, estimate.mean(found)) for (task, n), found in relu.items()]
chapter.figure(
    table(("distribution", "classifier", "training points n", "error", "low", "high"), rows),
    Lines("training points n", "error", by="classifier", where="classifier != 'ReLU, 3 layers'"),
    Points("training points n", "error", by="classifier", interval=("low", "high")),
    Level(BAYES, "Bayes error", dash="--"),
    panel="distribution",
    xscale="log",
    size=(10, 4.2),
    caption="Error against the number of training points, mean over draws with 95 % intervals.",
    alt="On the island ψ with exponent d approaches the Bayes error while the other exponents, 1-NN and majority stay "
    "well above; the exponent d/2 does not improve at all. On the wave ψ falls too, but at the larger samples the "
    "exponent d/2 is below it.",
)

# %% [markdown]
# ## Depth: classification against regression
#
# The cubic network at several depths and the limit, on the labels of the island and on a regression target without
# noise, $\sin(4\pi x_1)$. After one layer the kernel is the polynomial $\xi+2\xi^3$ of rank 10, and cannot
# interpolate: it is fitted by least squares and reported apart. Regression errors are relative to those of the zero
# predictor. At $L=\infty$ there is nothing to measure: off the training points the network is that predictor.

# %%
s = sizes.regression
wrong_labels, squared = defaultdict(list), defaultdict(list)  # L: one number per seed
for i in chapter.seeds(s["seeds"]):
    rng = numpy_generator(i, "regression")
    x, z = (orthant(n, 2, rng) for n in (s["train"], s["test"]))
    targets = np.stack([label(island(x), rng), np.sin(4 * np.pi * x[:, 0])], 1)
    truth = np.sin(4 * np.pi * z[:, 0])
    for L in (1, 3, 10, 100):
        f = np.exp(log_kernel("cubic", L, z, x)) @ coefficients("cubic", L, x, targets)
        wrong_labels[L].append(error(np.sign(f[:, 0]), island(z)))
        squared[L].append(np.mean((f[:, 1] - truth) ** 2) / np.mean(truth**2))
    wrong_labels["∞"].append(error(signs(look_up(PSI_2, z, x), targets[:, 0]), island(z)))

chapter.measure(
    "c6",
    better=estimate.paired_difference(wrong_labels["∞"], np.minimum(wrong_labels[3], wrong_labels[10])),
    zero=estimate.mean(squared[100]),
    worse=estimate.paired_ratio(squared[100], squared[3]),
    classification={L: estimate.mean(found) for L, found in wrong_labels.items()},
    regression={L: estimate.geometric_mean(squared[L]) for L in (1, 3, 10)},
)

# %% tags=["hide-input"]
s = sizes.maps
u, v = np.meshgrid(np.linspace(0, 1, s["cells"]), np.linspace(0, np.sqrt(0.75), s["cells"]))
corners = np.stack([1 - u - v / np.sqrt(3), u - v / np.sqrt(3), 2 * v / np.sqrt(3)], -1)  # barycentric
within = (corners > 0).all(-1)
z = corners[within] / np.linalg.norm(corners[within], axis=1, keepdims=True)
rng = numpy_generator(chapter.seeds(1)[0], "maps")
x = orthant(s["train"], 2, rng)
y = label(island(x), rng)
flat = x / x.sum(1, keepdims=True)
final, rows = limits(x, y, z), []
for name, target in TARGET.items():
    for L in (1, 10, 100, "∞"):
        predicted = final[target] if L == "∞" else deep_signs(name, L, x, y, z)
        case = f"{name}, L = {L}"
        rows.append((case, "predicted", u[within].round(3), v[within].round(3), predicted.astype(int)))
        rows.append((case, "training point", flat[:, 1] + flat[:, 2] / 2, np.sqrt(0.75) * flat[:, 2], y.astype(int)))


def training_points(ax, rows, cues):
    for value, own in rows[rows["kind"] == "training point"].groupby("label"):
        style = dict(color=cues.color(value), marker=cues.marker(value), ls="", ms=3)
        cues.label(f"label {value:+}", ax.plot(own["u"], own["v"], **style)[0])
    ax.set_axis_off()


chapter.figure(
    table(("network", "kind", "u", "v", "label"), rows),
    Heat("u", "v", "label", low=-1, high=1, colors=("#b3cde3", "#fdcc8a"), where="kind == 'predicted'"),
    training_points,
    panel="network",
    size=(8.6, 8.2),
    aspect="equal",
    caption="The predicted label on the positive part of the sphere, drawn as a triangle, for one sample of the "
    "island: by activation (rows) and depth (columns), the last column being the limit. Marks are the training points.",
    alt="At one layer the maps are smooth. At ten and a hundred layers h₂ shows the cells of the nearest neighbours. "
    "The cubic network still resembles them at a hundred layers and has smaller islands in the limit. h₀ + h₃ has "
    "become one colour by a hundred layers; ReLU is on its way there.",
)

# %% [markdown]
# ## Verdict

# %% tags=["nbval-check-output"]
chapter.verdicts()

# %%
chapter.report()

# %% [markdown]
# **What was easy.** Everything the theory says about the kernel. One recursion for $-\log\xi$ and $\log\Theta$ covers
# a single layer and five thousand, and the exponent, the factor $R$ and the three limits come out of it in seconds.
# The predictions for 1-NN and majority, including their limiting errors, hold within the noise of the draws.
#
# **What was hard.** The numbers rather than the theory. The kernels of very deep networks exist only as logarithms,
# and the diagonal must be exact, because a rounding error there grows like $B'^L$. Exponents must be fitted to the
# limit: at a hundred layers the kernel is still steeper at small distances.
#
# **What the paper leaves out, or this chapter shows beside it.**
#
# - *The limit in depth is slow.* For $A=0$, $A'\ne0$ the kernel at a given distance approaches $\psi$ only like
#   $1/L$, and at short distances it starts late. At ten and at thirty layers the cubic network agrees more often with
#   1-NN than with its own limit.
# - *Consistency is about every distribution and large samples.* On the island the smaller exponent votes with the
#   majority and never sees the minority; on the wave, where both labels are equally common, the same smoothing is an
#   advantage at the larger sizes. The excess error of $\psi$ falls slowly, as with the logarithm of $n$, and no
#   sample here brings it to 0.
# - *Depth need not help.* Among the networks that interpolate, a hundred layers classify better than three or ten,
#   and the limit better still, as claimed. Regression is destroyed, as claimed: off the training points the predictor
#   goes to 0. But on the island the best of all depths is a single layer. Its kernel cannot interpolate; it is a
#   cubic polynomial fit, which happens to suit a round cap. That says nothing against the claim, and shows how much
#   the comparison depends on what it is made with.
# - *The order of the limits matters.* For the cubic activation a relative deviation of the norm more than triples in
#   each layer. At finite width there always is one, so the signal explodes or dies doubly exponentially; squaring the
#   width only about doubles the number of layers it survives. Dividing each layer by its root mean square cures the
#   norm. In small trials such networks agreed with the limit kernel at two and three layers and less and less at
#   more; why was not examined.
#
# **Where this run differs.** The paper's theorems are about the limit; it is tested here on exact kernels, with data
# of our own making whose Bayes error is known. The conditions, the exponent and the activation were recalled and not
# checked against the text; the derivations above stand for them. The smaller samples of a draw are parts of the
# larger. Networks of finite width are not trained, in no profile: their tangent kernel at initialisation is used,
# because the plain ones overflow at the depths in question. The paper's own experiments on images are represented by
# one task on MNIST in the paper profile, where nothing is judged.
#
# **Where the criteria were open, and one that was changed.** The criteria asked in the paper profile for the same
# agreement with 1000 training points as with 60, at the same depths. But the limit is one of depth for a given
# sample, and how deep is deep enough depends on the sample: the kernel has reached its limit where $2^Lr^2$ is large
# for $h_2$, and where $Lr^2$ is large for the cubic, and the squared distance of neighbours falls like $1/n$ for
# $d=2$. In a trial on other seeds with 1000 points both fell short at the depths of the quick profile. Old: $L=14$
# for $h_2$ and 5000 for the cubic at both sample sizes. New, in the paper profile only: $L=14+\log_2(1000/60)$,
# rounded up to 19, and $L=5000\cdot1000/60$, rounded up to 84 000; the bounds are unchanged, and the old depths are
# reported. The quick profile has the criterion as it was set.
#
# "Increasing in $L$" for the cubic became a positive rise, interval above 0, from each of 10, 200, 1000 and 5000
# layers to the next, in the paper profile also to the deepest. "Must not fall" for the wrong exponent became a change
# whose interval lies above 0: stricter than was asked, and kept. The rise is small, because that classifier is close
# to a majority vote at every $n$; eight draws can leave its sign open, and with it c4. Bounds on 1-NN and majority
# were applied to both distributions. The criterion of c4 for the paper profile, on the excess error at 100 000 points,
# is judged there in addition to those of the quick one. Its bound was reasoned, without a trial. Scales of distance
# win like $\log n$ here, so a slow fall is expected; the product of excess error and $\log n$ is reported beside it,
# and would stay level if the error fell like $1/\log n$. The control `recursion`, the numbers on the norm and the
# exponent at a hundred layers were added here.
