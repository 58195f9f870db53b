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
# # Neural tangent kernel: convergence and generalization in neural networks
#
# *Arthur Jacot, Franck Gabriel, Clément Hongler. NeurIPS 2018* {footcite}`jacot2018_ntk`
#
# **The question.** Gradient descent moves the parameters of a network. How does the *function* move?
# Along the tangent kernel $\Theta(x,z)=\langle\partial_\theta f(x),\partial_\theta f(z)\rangle$, for any network.
# The paper's discovery is what becomes of it at large width: a fixed kernel that can be written down, the same for
# every initialisation and at every moment of training.
#
# **Why it matters.** A non-convex training problem turns into a linear differential equation. How fast it converges, on
# which components first, and what it predicts between the data then follow from one kernel's eigenvalues.
#
# **What was found.** The limit holds in every respect that was measured, and the distance from it shrinks with the width as
# announced. How wide is wide enough depends on what is asked: trained functions look like the limit long before the
# slowest component of the residual decays at its predicted rate.

# %% tags=["parameters"]
profile = "quick"
seed = 0

# %% tags=["hide-input"]
from functools import partial
from itertools import repeat

import numpy as np
import torch
from replib import estimate
from replib.chapter import begin
from replib.data import idx, points
from replib.data.registry import fetch
from replib.figures import Lines, Points, table
from replib.kernels import empirical, limit
from replib.kernels.dual import RELU, quadrature
from replib.kernels.regression import KernelDescent
from replib.models.mlp import NTKMLP
from replib.randomness import numpy_generator
from replib.training.ensemble import Ensemble, build_seeded, train
from scipy.stats import norm
from torch.optim import SGD

chapter = begin("jacot2018_ntk", profile, seed)
LARGE = chapter.device.type == "cuda"  # the widest network on images: hours on a GPU, days on a processor

# %% [markdown]
# ## Sizes
#
# `quick` keeps the paper's method and replaces width 10000 by 2048, four layers by two where hundreds of networks are
# trained, and images by points on a circle. `paper` has the paper's widths and a batch of MNIST. On a processor it takes
# about an hour, and there fewer networks are trained: two of width 10000 instead of ten, 60 of width 1000 instead of
# 200, and none of width 10000 on the images. The mean kernel at the largest width is judged over more initialisations
# than the paper drew, because the sampling error of ten would exceed the bound.

# %% tags=["hide-input"]
# fmt: off
sizes = chapter.sizes(
    quick=dict(
        initial={  # depth: width: initialisations
            4: {64: 400, 128: 400, 256: 400, 512: 200, 1024: 100, 2048: 150},
            3: {64: 50, 256: 50, 1024: 50}, 2: {64: 50, 256: 50, 1024: 50},
        },
        moved=dict(widths={64: 10, 128: 10, 256: 10, 512: 5}, depth=4, steps=200),
        mean_field=dict(widths={64: 10, 128: 10, 256: 10, 512: 10}, depth=2, steps=200),
        trained=dict(widths={50: 400, 200: 400, 1000: 400}, depth=2, steps=500),
        gaussian_inputs=dict(widths={512: 5}, depth=4, steps=200),
        modes=dict(width=2048, narrower=512, nets=10, points=64, steps=250),
        process=dict(widths=(64, 256, 1024), nets=2000),
        random_points=None, images=None,
    ),
    smoke=dict(
        initial={4: {32: 3, 64: 3}, 3: {32: 2, 64: 2}, 2: {32: 2, 64: 2}},
        moved=dict(widths={32: 2, 64: 2}, steps=20), mean_field=dict(widths={32: 2, 64: 2}, steps=20),
        trained=dict(widths={16: 10, 64: 10}, steps=20), gaussian_inputs=dict(widths={32: 2}, steps=20),
        modes=dict(width=128, narrower=64, nets=2, points=16, steps=60), process=dict(widths=(64, 256), nets=50),
    ),
    paper=dict(
        initial={4: {500: 400, 10000: 60}, 3: {500: 50, 2000: 50}, 2: {500: 50, 2000: 50}},
        moved=dict(widths={500: 10, 10000: 10 if LARGE else 2}),
        trained=dict(widths={50: 200, 1000: 200 if LARGE else 60}, depth=4, steps=1000),
        gaussian_inputs=dict(widths={500: 10}),
        modes=dict(width=10000, narrower=2048), process=dict(widths=(64, 256, 1024, 4096)),
        random_points=dict(points=64, dimension=5),
        images=dict(points=512, depths=(4, 5), draws=10, rate=5.0, steps=600,
                    widths={100: 10, 1000: 5} | ({10000: 2} if LARGE else {})),
    ),
)
# fmt: on
BETA = 0.1  # the paper's factor of the biases, everywhere
narrowest, widest = min(sizes.initial[4]), max(sizes.initial[4])
narrow, wide = min(sizes.moved["widths"]), max(sizes.moved["widths"])
judged = max(sizes.trained["widths"])  # the width whose trained functions are judged
gaussian = max(sizes.process["widths"]) if chapter.full else 256  # the width whose kurtosis is judged

# %% [markdown]
# ## What the paper claims
#
# A claim counts only if the controls it needs behave as declared. Criteria come from the specification written before this
# chapter; where a small pilot had been seen, the note says so, and the verdicts rest on seeds that the pilot did
# not use. The paper's settings and figures were recalled and not checked against its text.

# %% tags=["hide-input"]
chapter.claims()

# %% [markdown]
# ## The limit kernel
#
# A network of $L$ affine layers is written with explicit factors, so that gradient descent at a learning rate of
# order 1 does the same at every width:
#
# $$z^{(l+1)}=\tfrac{1}{\sqrt{n_l}}W^{(l)}a^{(l)}+\beta b^{(l)},\qquad a^{(0)}=x,\quad a^{(l)}=\sigma(z^{(l)}),\quad f=z^{(L)},$$
#
# all entries of $W$ and $b$ drawn from $N(0,1)$; $\sigma$ is the ReLU and $\beta=0.1$. As the widths $n_l$ grow, $f$
# becomes a Gaussian process with covariance $\Sigma^{(L)}$, and the tangent kernel becomes $\Theta^{(L)}$:
#
# $$\Sigma^{(1)}(x,z)=\tfrac{\langle x,z\rangle}{n_0}+\beta^2,\qquad \Sigma^{(l+1)}=\mathbb E[\sigma(u)\sigma(v)]+\beta^2,\qquad
# \Theta^{(1)}=\Sigma^{(1)},\qquad \Theta^{(l+1)}=\Theta^{(l)}\,\mathbb E[\sigma'(u)\sigma'(v)]+\Sigma^{(l+1)},$$
#
# with $(u,v)$ a centred Gaussian pair whose covariance is $\Sigma^{(l)}$ on $\{x,z\}$. For ReLU both expectations are
# elementary. The kernel of a network at hand needs one backward pass; the library's tests compare both with independent computations.


# %%
def circle(angles):
    return np.stack([np.cos(angles), np.sin(angles)], -1)


def limits(x, z, depth):
    return limit.mlp(x, z, depth, bias=BETA)


def tensor(array):
    return torch.as_tensor(np.asarray(array), dtype=torch.float32, device=chapter.device)


def starts(part, width, depth, count, build=NTKMLP, inputs=2):
    """What makes each of ``count`` networks: its class with sizes, and a seed of its own."""
    for s in chapter.seeds(count):
        own = int(numpy_generator(s, part, depth, width).integers(2**31))
        yield partial(build, inputs, width, depth, bias=BETA), own


def stack(networks):
    builds, own = zip(*networks, strict=True)
    return Ensemble(builds[0], own).to(chapter.device)


def root_mean_square(a, axis=None):
    return np.sqrt(np.mean(np.square(a), axis))


def relative(kernel, reference):
    return root_mean_square(kernel - reference) / root_mean_square(reference)


def log_slope(groups, power=1.0):
    """Slope of log (mean over initialisations)^power against log width, groups: width -> (inits,)."""
    log_width = np.log(list(groups))
    return estimate.resampled(
        list(groups.values()),
        lambda *g: estimate.slopes(log_width, power * np.log([v.mean() for v in g]))[0],
        f"log-log slope through the {'root mean squares' if power == 0.5 else 'means'} at each width",
    )


# %% [markdown]
# ## At initialisation
#
# The kernel between $x_0=(1,0)$ and $(\cos\gamma,\sin\gamma)$ is computed at 41 angles $\gamma$. A single network's kernel deviates from
# the limit at order $1/\sqrt{n}$. The mean over initialisations is biased at order $1/n$ only, so it is
# judged by itself. Its interval leans upward: resampling adds to the norm of a mean the noise of the mean once more.

# %%
angles = np.linspace(-np.pi, np.pi, 41)
ring, at_zero = circle(angles), 20  # angles[20] = 0


def kernel(network, x):
    """Tangent kernel on x (n, d): (n, n) of a network, (nets, n, n) of a stack."""
    x = tensor(x)
    x = x.expand(network.size, *x.shape) if isinstance(network, Ensemble) else x
    return empirical.tangent(network, x).double().cpu().numpy()


rows, limit_row = {}, {L: limits(ring[[at_zero]], ring, L).tangent[0] for L in (2, 3, 4)}
for L, counts in sizes.initial.items():
    for n, count in counts.items():
        nets = (build_seeded(*own).to(chapter.device) for own in starts("initial", n, L, count))
        rows[L, n] = np.stack([kernel(net, ring)[at_zero] for net in nets])  # (inits, 41)
deviation = {  # depth -> width -> squared relative deviation per initialisation
    L: {n: np.array([relative(row, limit_row[L]) ** 2 for row in rows[L, n]]) for n in counts}
    for L, counts in sizes.initial.items()
}
slope_of_depth = {L: log_slope(d, power=0.5) for L, d in deviation.items()}


def mean_deviation(n, formula=4):
    """Deviation of the mean kernel of four layers from the limit of ``formula`` layers."""
    return estimate.resampled(
        [rows[4, n]], lambda k: relative(k.mean(0), limit_row[formula]), "relative, of the mean kernel"
    )


chapter.measure("wrong-depth", mean_deviation(widest, formula=3))
chapter.measure(
    "c1",
    slope=slope_of_depth[4],
    widest=mean_deviation(widest),
    narrowest=mean_deviation(narrowest),
    shallow_slope={L: slope_of_depth[L] for L in (3, 2)},
)

# %% [markdown]
# ## During training
#
# Networks of four layers learn $f^*(x)=x_1x_2$ on 16 equally spaced points of the circle by gradient descent on
# $\tfrac{1}{2N}\sum_i(f(x_i)-y_i)^2$ with learning rate 1, which is stable because no eigenvalue of $\Theta/N$ exceeds the largest
# $\Theta(x,x)<1$. The kernel on the sample is compared before and after, in Frobenius norm. The paper may have drawn
# Gaussian inputs; a run with such inputs is reported beside.
#
# The control is the same training in the *mean-field* scaling. The output is divided by a further $\sqrt n$, the step
# multiplied by $n$: outputs and kernel have again a limit, but hidden weights now move as far as they are large, so the kernel must move at any width.


# %%
def stacks(part, widths, depth, build=NTKMLP):
    """Width -> its networks, stacked in pieces that fit the cache of a processor or the memory of a GPU."""
    for n, count in widths.items():
        piece = max(1, int((5e7 if LARGE else 5e5) // (4 * n + (depth - 2) * n**2)))
        own = list(starts(part, n, depth, count, build))
        yield n, (stack(own[i : i + piece]) for i in range(0, count, piece))


def descend(nets, x, y, steps, rate=1.0):
    """Full-batch gradient descent of every network on (1/2N) sum (f - y)^2, x (N, d), y (N,) or (nets, N).
    Returns f on the sample before each step, (steps, nets, N)."""
    path = []

    def cost(nets, _):
        f = nets(x, shared=True).squeeze(-1)
        path.append(f.detach())
        return (f - y).square().mean(1) / 2

    train(nets, cost, repeat(None), steps, partial(SGD, lr=rate))
    return torch.stack(path).double().cpu().numpy()


def outputs(nets, x):
    with torch.no_grad():
        return nets(tensor(x), shared=True).squeeze(-1).double().cpu().numpy()


def product(x):
    return x[:, 0] * x[:, 1]


sixteen = circle(2 * np.pi * np.arange(16) / 16)


def trained_kernels(part, widths, depth, steps, build=NTKMLP, rate=lambda n: 1.0, sample=sixteen):
    """Width -> (relative change, growth of the trace, rows before, rows after), one entry per initialisation."""
    found = {}
    for n, groups in stacks(part, widths, depth, build):
        parts = []
        for nets in groups:
            k0, row0 = kernel(nets, sample), kernel(nets, ring)[:, at_zero]
            descend(nets, tensor(sample), tensor(product(sample)), steps, rate(n))
            k1, row1 = kernel(nets, sample), kernel(nets, ring)[:, at_zero]
            change = np.linalg.norm(k1 - k0, axis=(1, 2)) / np.linalg.norm(k0, axis=(1, 2))
            growth = np.trace(k1, axis1=1, axis2=2) / np.trace(k0, axis1=1, axis2=2) - 1
            parts.append((change, growth, row0, row1))
        found[n] = tuple(np.concatenate(p) for p in zip(*parts, strict=True))
    return found


class MeanField(NTKMLP):
    def forward(self, x):
        return super().forward(x) / self.layers[-1].weight.shape[-1] ** 0.5


moved = trained_kernels("moved", **sizes.moved)
moved_shallow = trained_kernels("tangent scaling", **sizes.mean_field)
gaussian_points = numpy_generator(chapter.seeds(1)[0], "inputs").standard_normal((16, 2))
moved_gaussian = trained_kernels("Gaussian inputs", **sizes.gaussian_inputs, sample=gaussian_points)
moved_mean_field = trained_kernels("mean field", **sizes.mean_field, build=MeanField, rate=float)
change_slope, shallow_slope, free_slope = (
    log_slope({n: parts[0] for n, parts in found.items()}) for found in (moved, moved_shallow, moved_mean_field)
)
chapter.measure("mean-field", slope=free_slope, tangent_slope=shallow_slope)
if chapter.full:
    both = [moved[n][0] for n in (narrow, wide)]
    movement = dict(ratio=estimate.resampled(both, lambda a, b: a.mean() / b.mean(), "ratio of means"))
else:
    movement = dict(slope=change_slope, wide=estimate.mean(moved[wide][0]))
chapter.measure(
    "c2",
    growth_narrow=estimate.mean(moved[narrow][1]),
    growth_wide=estimate.mean(moved[wide][1]),
    gaussian={n: estimate.mean(parts[1]) for n, parts in moved_gaussian.items()},
    **movement,
)

# %% tags=["hide-input"]
spread = [relative(moved[n][2], limit_row[4]) for n in (narrow, wide)]
stages = "before", "after", "limit"
chapter.figure(
    table(
        ("width", "stage", "initialisation", "angle", "kernel"),
        [
            (f"width {n}", stage, np.arange(len(lines))[:, None], angles, lines)
            for n in (narrow, wide)
            for stage, lines in zip(stages, (*moved[n][2:], limit_row[4][None]), strict=True)
        ],
    ),
    Lines("angle", "kernel", by="stage", each="initialisation", gray=["limit"]),
    panel="width",
    xlabel="angle γ",
    ylabel="Θ((1, 0), (cos γ, sin γ))",
    caption=f"The tangent kernel against the angle before and after {sizes.moved['steps']} steps, one thin line per "
    "initialisation beside their mean, and the limit of infinite width (dotted). Wider networks scatter less and move "
    "less.",
    alt=f"At width {narrow} the kernels scatter about the limit by {spread[0]:.0%} before training and change by "
    f"{moved[narrow][0].mean():.1%} in it; at width {wide} by {spread[1]:.0%} and {moved[wide][0].mean():.1%}.",
)

# %% tags=["hide-input"]
shallow = sizes.mean_field["depth"]
changes = {
    f"tangent scaling, {sizes.moved['depth']} layers": moved,
    f"tangent scaling, {shallow} layers": moved_shallow,
    f"mean-field scaling, {shallow} layers": moved_mean_field,
}
entries = []
for L, found in deviation.items():
    entries.append(("at initialisation", f"{L} layers", [*found], [np.sqrt(v.mean()) for v in found.values()]))
for name, found in changes.items():
    entries.append(("during training", name, [*found], [parts[0].mean() for parts in found.values()]))
for panel, _, n, value in entries[::3]:  # a guide below the first curve of each panel
    entries.append((panel, "slope -1/2", n, 0.75 * value[0] * (np.array(n) / n[0]) ** -0.5))
chapter.figure(
    table(("panel", "series", "width", "value"), entries),
    Lines("width", "value", by="series", gray=["slope -1/2"]),
    panel="panel",
    panels={
        "at initialisation": {"ylabel": "relative deviation from the limit"},
        "during training": {"ylabel": "relative change of the kernel"},
    },
    xscale="log",
    yscale="log",
    caption="Left: relative root mean square deviation of the initial kernel from its limit. Right: relative change "
    "of the kernel on the sample during training. Dotted lines have slope -1/2.",
    alt=f"The initial deviation falls with slope {slope_of_depth[4].value:.2f} at four layers. The change during "
    f"training falls with slope {change_slope.value:.2f}; in the mean-field scaling the slope is "
    f"{free_slope.value:.2f}.",
)

# %% [markdown]
# ## The trained function
#
# With a constant kernel, training is linear. On the sample $X$ with labels $y$, and anywhere else,
#
# $$f_t(x)=f_0(x)+M(x)\,\bigl(y-f_0(X)\bigr),\qquad M(x)=\Theta(x,X)\,\Theta^{-1}\bigl(I-(I-\tfrac{\eta}{N}\Theta)^{t}\bigr),$$
#
# where $\Theta=\Theta(X,X)$, $\eta$ is the learning rate and $t$ counts steps of gradient descent (in continuous time the power
# is an exponential). Since $f_0$ is a Gaussian process with covariance $\Sigma$, so is $f_t$: its mean is $My$, its covariance
# $\Sigma(x,z)-M\Sigma(X,z)-\Sigma(x,X)M^\top+M\,\Sigma(X,X)\,M^\top$. Percentiles of networks trained on four points of the circle
# are compared with those of this Gaussian at 50 angles. The predictor is compared network by network, each with its own $f_0$.

# %%
s = sizes.trained
data_angles = np.array([0.4, 1.7, 2.9, 5.0])
four = circle(data_angles)
target, N = product(four), 4
test_angles = np.linspace(0, 2 * np.pi, 50, endpoint=False)
test = circle(test_angles)
on, cross, off = (limits(a, b, s["depth"]) for a, b in ((four, four), (test, four), (test, test)))
M = KernelDescent(on.tangent / N).operator(cross.tangent / N, s["steps"], step=1.0)  # (50, 4)
mixed = M @ cross.covariance.T
covariance = off.covariance - mixed - mixed.T + M @ on.covariance @ M.T
deviation_of_limit = np.sqrt(np.diag(covariance))
LEVELS = (0.1, 0.5, 0.9)
limit_percentiles = M @ target + norm.ppf(LEVELS)[:, None] * deviation_of_limit  # (3, 50)


def distance(f):
    """Of the percentiles of functions (nets, 50) from the limit's, in units of its standard deviation."""
    ordered, at = (np.sort(f, axis=0), np.multiply(LEVELS, len(f) - 1))  # np.quantile, three times as fast
    below, part = at.astype(int), (at % 1)[:, None]
    gap = (1 - part) * ordered[below] + part * ordered[below + 1] - limit_percentiles
    return root_mean_square(gap) / root_mean_square(deviation_of_limit)


untrained, functions, predictor_error = {}, {}, {}
for n, groups in stacks("trained", s["widths"], s["depth"]):
    parts = []
    for nets in groups:
        start = outputs(nets, test)
        path = descend(nets, tensor(four), tensor(target), s["steps"])
        parts.append((start, outputs(nets, test), start + (target - path[0]) @ M.T))
    untrained[n], functions[n], predicted = (np.concatenate(p) for p in zip(*parts, strict=True))
    predictor_error[n] = np.square(functions[n] - predicted).mean(1)
measured = {
    n: estimate.resampled([f], distance, "distance of percentiles from the limiting Gaussian's")
    for n, f in functions.items()
}
chapter.measure("prior", estimate.resampled([untrained[judged]], distance, "the same distance before training"))
chapter.measure(
    "c3",
    judged={judged: measured[judged]},
    others={n: e for n, e in measured.items() if n != judged},
    slope=log_slope(predictor_error, power=0.5),
)

# %% tags=["hide-input"]
entries = [(f"width {n}", "data", data_angles, target, np.nan) for n in functions]
for n, f in functions.items():
    for level, found, line in zip(LEVELS, np.quantile(f, LEVELS, axis=0), limit_percentiles, strict=True):
        entries.append((f"width {n}", f"{100 * level:g}th percentile", test_angles, found, line))
chapter.figure(
    table(("width", "series", "angle", "networks", "limit"), entries),
    Lines("angle", ("networks", "limit"), by="series", where="series != 'data'"),
    Points("angle", "networks", by="series", where="series == 'data'"),
    panel="width",
    ylabel="f after training",
    caption="10th, 50th and 90th percentiles over initialisations of the trained functions (solid), and those of the "
    "limiting Gaussian (dashed); the four data points are marked.",
    alt="The distance of the percentiles from the limit, in units of its standard deviation, is "
    + ", ".join(f"{e.value:.2f} at width {n}" for n, e in measured.items())
    + ".",
)

# %% [markdown]
# ## Component by component
#
# In the eigenbasis of $\Theta(X,X)/N$ the equation falls apart: the residual along an eigenvector of eigenvalue $\lambda$ is
# multiplied by $1-\eta\lambda$ in each step and decays at the rate $-\log(1-\eta\lambda)/\eta$ in the time $t=\eta\cdot$steps; for small $\eta\lambda$
# this is $\lambda$. On equally spaced points of the circle the eigenvectors are the Fourier modes, in pairs of equal
# eigenvalue from frequency 1 on, so the norm of the projection on a pair is measured. The target is the sum of the modes of
# frequency 0, 1, 2 and 4, each of mean square 1. Networks of two layers learn it on top of their own initial function, so the
# residual starts as minus the target. Each rate is a slope of the log coefficient against time, fitted while the coefficient is above 10 % of its start (at least three points).

# %%
s = sizes.modes
theta = 2 * np.pi * np.arange(s["points"]) / s["points"]
FREQUENCIES = (0, 1, 2, 4)
pairs = np.stack([[np.cos(k * theta), np.sin(k * theta)] for k in FREQUENCIES])  # (4, 2, N)
pairs /= np.sqrt(np.square(pairs[:, :1]).mean(2, keepdims=True))  # mean square 1
gram = limits(circle(theta), circle(theta), 2).tangent / s["points"]
eigenvalues = np.array([c @ gram @ c / (c @ c) for c in pairs[:, 0]])
eta = 0.5 / np.linalg.eigvalsh(gram).max()
predicted_rates = -np.log1p(-eta * eigenvalues) / eta


def residual_path(nets, x, target, steps, rate):
    """Residual f - f_0 - target before each step, (steps, nets, N), of networks that learn f_0 + target."""
    path = descend(nets, tensor(x), tensor(outputs(nets, x) + target), steps, rate)
    return path - path[0] - target


def coefficients(residuals):
    """Norm of the projection on each pair, (steps, nets, N) -> (steps, nets, 4)."""
    return np.linalg.norm(np.einsum("tsn,kpn->tskp", residuals, pairs) / s["points"], axis=3)


def decay_rate(time, coefficient):
    """Minus the slope of the log coefficient while it is above 10 % of its start (at least 3 points)."""
    low = np.flatnonzero(coefficient <= 0.1 * coefficient[0])
    end = max(3, low[0]) if low.size else len(time)
    return -estimate.slopes(time[:end], np.log(coefficient[:end]))[0]


def decay_rates(path):
    """(steps, nets, 4) -> (nets, 4)."""
    return np.array([[decay_rate(time, c) for c in net.T] for net in path.swapaxes(0, 1)])


time, x, target = eta * np.arange(s["steps"]), circle(theta), pairs[:, 0].sum(0)
paths = {}
cases = {"judged": (s["width"], 1.0), "small": (s["width"], 0.25), "narrow": (s["narrower"], 1.0)}
for case, (n, size) in cases.items():
    nets = stack(starts("modes", n, 2, s["nets"]))
    if case == "judged":  # the same networks once more, their initial kernels held fixed
        descents = [KernelDescent(k / s["points"]) for k in kernel(nets, x)]
        fixed = [d.residual(-target, np.arange(s["steps"]), step=eta) for d in descents]
        paths["fixed"] = coefficients(np.stack(fixed, 1))
    paths[case] = coefficients(residual_path(nets, x, size * target, s["steps"], eta))
rates = {case: decay_rates(path) for case, path in paths.items()}
rate_slopes = {case: estimate.loglog_slope(predicted_rates, r) for case, r in rates.items()}
chapter.measure("reversed", estimate.loglog_slope(predicted_rates[::-1], rates["judged"]))


def r_squared(log_rates):
    return np.corrcoef(np.log(predicted_rates), log_rates.mean(0))[0, 1] ** 2


def smallest_ratio(rates):
    return (rates.mean(0)[:-1] / rates.mean(0)[1:]).min()


chapter.measure(
    "c4",
    slope=rate_slopes["judged"],
    r2=estimate.resampled([np.log(rates["judged"])], r_squared, "R² of the mean log rates"),
    smallest_ratio=estimate.resampled([rates["judged"]], smallest_ratio, "smallest of three"),
    fixed=rate_slopes["fixed"],
    quarter=rate_slopes["small"],
    narrower=rate_slopes["narrow"],
)

# %% tags=["hide-input"]
entries = []
for panel, part in (("the beginning", time < 60), ("all steps", time < np.inf)):
    t, found = time[part], paths["judged"][part]  # (steps, nets, 4)
    for k, frequency in enumerate(FREQUENCIES):
        c = found[:, :, k]
        predicted, flow = (np.exp(-rate[k] * t) for rate in (predicted_rates, eigenvalues))
        entries.append((panel, f"frequency {frequency}", t, c.mean(1), c.min(1), c.max(1), predicted, flow))
slowest = (rates["judged"] / predicted_rates).mean(0)
chapter.figure(
    table(("panel", "frequency", "time", "mean", "low", "high", "predicted", "flow"), entries),
    Lines("time", ("mean", "predicted", "flow"), by="frequency", band=("low", "high")),
    panel="panel",
    yscale="log",
    ylim=(0.02, 1.3),
    ylabel="residual coefficient",
    caption="Residual along four eigenvectors against time, the beginning enlarged on the left: mean of the networks "
    "(solid) and their range (shaded), the prediction for gradient descent (dashed) and the flow exp(-λt) of "
    "continuous time (dotted).",
    alt="Curves on a logarithmic axis, steeper for larger eigenvalues; the fast ones follow their predictions. "
    "Mean measured over predicted rate: "
    + ", ".join(f"{r:.2f} at frequency {k}" for k, r in zip(FREQUENCIES, slowest, strict=True))
    + ".",
)

# %% [markdown]
# ### A batch of MNIST
#
# The paper takes 512 images, computes the first three principal components of the kernel, and trains towards a target along
# the second one: $f^*=f_0+\tfrac12 f^{(2)}$ with $f^{(2)}$ of mean square 1. At infinite width the residual stays on the line $f^{(2)}$
# and shrinks at the rate of $\lambda_2$. At finite width it also leaves the line. The paper profile does this; the quick one downloads nothing.

# %%
image_paths = {}
if chapter.full:
    s = sizes.images
    pixels, _ = idx.images(chapter.data(fetch("MNIST")))

    def batch(i):
        chosen = numpy_generator(i, "images").choice(len(pixels), s["points"], replace=False)
        return pixels[chosen] / 255

    def image_gram(x, depth):
        return limits(x, x, depth).tangent / len(x)

    leading = {  # depth -> first three eigenvalues over the recalled ones
        L: np.array([np.linalg.eigvalsh(image_gram(batch(i), L))[:-4:-1] for i in chapter.seeds(s["draws"])])
        / (0.0457, 0.00108, 0.00078)
        for L in s["depths"]
    }
    x, L = batch(chapter.seeds(1)[0]), max(s["depths"])
    values, vectors = np.linalg.eigh(image_gram(x, L))
    second = vectors[:, -2] * np.sqrt(len(x))
    second_rate = -np.log1p(-s["rate"] * values[-2]) / s["rate"]
    image_time = s["rate"] * np.arange(s["steps"])
    found = {"rate": {}, "off_line": {}, "growth": {}}
    for n, count in s["widths"].items():
        along, across, grown = [], [], []
        for one in starts("images", n, L, count, inputs=784):
            net = stack([one])
            before = np.trace(kernel(net, x)[0])
            path = residual_path(net, x, second / 2, s["steps"], s["rate"])[:, 0]
            g = path @ second / len(x)
            along.append(np.abs(g))
            across.append(root_mean_square(path - np.outer(g, second), axis=1))
            grown.append(np.trace(kernel(net, x)[0]) / before - 1)
        image_paths[n] = np.array(along), np.array(across)  # (inits, steps) each
        if n <= 1000:  # width 10000, on a GPU, is only drawn
            rate = np.array([decay_rate(image_time, a) for a in along]) / second_rate
            for what, values in (("rate", rate), ("off_line", np.max(across, 1) / 0.5), ("growth", grown)):
                found[what][n] = estimate.mean(values)
    first, fourth = ({i + 1: estimate.mean(v) for i, v in enumerate(leading[L].T)} for L in (5, 4))
    chapter.measure("c4-mnist", eigenvalue=first, eigenvalue_4=fourth, **found)

# %% tags=["hide-input"]
if chapter.full:
    names = "residual along the component", "deviation from the line"
    entries = [
        (name, f"width {n}", image_time, lines.mean(0), lines.min(0), lines.max(0))
        for n, parts in image_paths.items()
        for name, lines in zip(names, parts, strict=True)
    ]
    line = 0.5 * np.exp(-second_rate * image_time)
    entries.append((names[0], "limit", image_time, line, line, line))
    shown = chapter.figure(
        table(("panel", "network", "time", "mean", "low", "high"), entries),
        Lines("time", "mean", by="network", band=("low", "high"), gray=["limit"]),
        panel="panel",
        panels={names[0]: {"yscale": "log"}},
        ylabel="",
        caption="512 MNIST images, target along the second principal component: the residual along it (left, with the "
        "limit dotted) and orthogonal to it (right), mean of the networks and their range (shaded).",
        alt="Largest mean deviation from the straight line: "
        + ", ".join(f"{p[1].mean(0).max():.3f} at width {n}" for n, p in image_paths.items())
        + ".",
    )
shown if chapter.full else None

# %% [markdown]
# ## When the kernel is positive definite
#
# A polynomial activation of degree $r$ makes the kernel of two layers a polynomial of degree $r$ in $\langle x,z\rangle$, and on the circle
# such a kernel sees only frequencies up to $r$: rank $2r+1$. Any other activation reaches all frequencies. The
# biases are needed: without them the ReLU kernel of two layers is blind to odd frequencies above 1, and an odd activation to the even ones.

# %%
TANH = quadrature("tanh", np.tanh, lambda z: 1 - np.tanh(z) ** 2)
SQUARE = quadrature("z²", np.square, lambda z: 2 * z, nodes=8)
CUBE = quadrature("z³", lambda z: z**3, lambda z: 3 * z**2, nodes=8)
ACTIVATIONS = {"ReLU": RELU, "tanh": TANH, "z²": SQUARE, "z³": CUBE}


def eigenvalues_of(x, name, bias=BETA, depth=2):
    return np.linalg.eigvalsh(limit.mlp(x, x, depth, ACTIVATIONS[name], bias).tangent)


def rank(*args):
    values = eigenvalues_of(*args)
    found = (values > 1e-12 * values[-1]).sum()
    return estimate.exact(found, tolerance=0.1, method="eigenvalues above 1e-12 of the largest")


even = circle(2 * np.pi * np.arange(24) / 24)
spectra = {name: eigenvalues_of(even, name) for name in ("ReLU", "tanh")}
smallest = {name: estimate.exact(v[0] / v[-1], tolerance=1e-10) for name, v in spectra.items()}
on_sphere = {}
if sizes.random_points:
    rng = numpy_generator(chapter.seeds(1)[0], "sphere")
    x = points.sphere(sizes.random_points["points"], sizes.random_points["dimension"], 1.0, rng)
    on_sphere = {name: rank(x, name) for name in ACTIVATIONS}
chapter.measure("c5", smallest=smallest, rank={name: rank(even, name) for name in ACTIVATIONS}, on_sphere=on_sphere)
without = {name: rank(even, name, 0.0) for name in ACTIVATIONS}
chapter.measure("without-bias", rank=without | {"ReLU, 3 layers": rank(even, "ReLU", 0.0, 3)})

# %% [markdown]
# ## A Gaussian process at initialisation
#
# Given the last hidden layer, the output is exactly Gaussian: its covariance over the last weights is
# $C(x,z)=\langle a(x),a(z)\rangle/n+\beta^2$. Over all weights it is a mixture of Gaussians with random covariance $C$, so
# $\mathbb E[C]$ is its covariance and $3\operatorname{Var}(C(x,x))/\mathbb E[C(x,x)]^2$ its excess kurtosis, both without the noise of sampling outputs.
# Neurons of a layer are independent given the layer below, with covariance $C$, so networks can be drawn neuron by neuron. Four layers, three inputs.

# %%
three = circle(np.array([0.0, 1.0, 2.5]))
s = sizes.process
expected = limits(three, three, 4).covariance


def conditional_covariances(n, nets, rng):
    """C of random networks of four layers and width n, (nets, 3, 3)."""
    C = np.broadcast_to(limits(three, three, 1).covariance, (nets, 3, 3))
    for _ in range(3):
        z = rng.standard_normal((nets, n, 3)) @ np.linalg.cholesky(C).mT
        a = np.maximum(z, 0)
        C = a.mT @ a / n + BETA**2
    return C


def kurtosis(C):
    own = np.diagonal(C, axis1=1, axis2=2)  # (nets, 3)
    return (3 * own.var(0) / own.mean(0) ** 2).mean()


def kurtosis_slope(*groups):
    return estimate.slopes(np.log(s["widths"]), np.log([kurtosis(C) for C in groups]))[0]


drawn = {
    n: conditional_covariances(n, s["nets"], numpy_generator(chapter.seeds(1)[0], "process", n)) for n in s["widths"]
}
groups, method = list(drawn.values()), "largest error over widths and pairs of inputs"
chapter.measure(
    "c6",
    covariance=estimate.resampled(groups, lambda *g: max(np.abs(C.mean(0) / expected - 1).max() for C in g), method),
    kurtosis=estimate.resampled([drawn[gaussian]], kurtosis, "from the variance of the conditional variance"),
    slope=estimate.resampled(groups, kurtosis_slope, "log-log slope over the widths"),
)

# %% [markdown]
# ## Verdict

# %% tags=["nbval-check-output"]
chapter.verdicts()

# %%
chapter.report()

# %% [markdown]
# **What was easy.** The limit kernel, its rank and the Gaussian process at initialisation: each is a short calculation, and
# networks of moderate width already show the rates of convergence. The linear equation predicts the trained functions,
# network by network, with an error that falls nearly like $1/\sqrt n$.
#
# **What was hard.** The rates of the components. The specification expects a slope of 1 within 10 % between
# measured and predicted log rates at width 2048, and the quick run falls on that bound, so the claim stays open there. The fast components
# agree; the slowest decays too slowly once the others are learned. Was it the implementation? With each network's initial kernel held fixed
# the same measurement returns a slope close to 1, so eigenvectors, rates and fits are right. A quarter of the step
# changed nothing in a pilot on other seeds, so it is not the discrete steps. A narrower network is farther off, and a target a quarter
# as large is much closer: what is left is the movement of the kernel during training. A change that is small beside the largest
# eigenvalue is not small beside the smallest. The paper profile asks again at width 10000.
#
# **At the paper's sizes** c4 replicates: at width 10000 the slope is within the bounds, as the explanation above
# predicts. Two claims stay open there. The kernel moves far less at width 10000 than at 500, but on the circle it does
# not grow clearly at either (c2); with Gaussian inputs it does. And the percentiles of the trained functions (c3) come
# from 60 networks on a processor, whose sampling noise alone is a large part of the bound; the predictor, network by
# network, agrees. With the 200 of the paper profile on a GPU the noise would be about half.
#
# **What the paper leaves out, or this chapter could not check.** How large the target is matters, as just seen. So do the
# inputs: the paper shows kernels that grow ("inflate") during training. On the circle only narrow networks do so; with
# Gaussian inputs, some of which are longer and have larger targets, networks do so whose kernels do not grow on the circle. The eigenvalues
# recalled for MNIST fit five affine layers, not the four of its other figures; with four the second and third are too large.
#
# **Where this run differs.** Images are replaced by Fourier modes on the circle except in the paper profile, where the
# learning rate on the images is larger than the recalled 1 to reach the same time in fewer steps. The quick
# profile trains two layers where the paper has four. Outputs are not sampled to test Gaussianity: the conditional covariance
# gives the same kurtosis without sampling noise.
#
# **Where the specification was open.** It asks for "unit modes" in the target without saying in which norm; here it is the mean
# square over the sample, the paper's norm. With vectors of length 1 the target would be an eighth as large, and the
# claim about rates would probably pass. It asks in the paper profile for a positive inflation without naming the width; the narrower one is
# judged there. For the mean kernel it planned 50 initialisations at width 2048; 150 were drawn, fixed before the run, because the
# interval of 50 is wider than the bound.
