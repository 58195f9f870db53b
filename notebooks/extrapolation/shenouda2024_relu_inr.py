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
# # ReLUs are sufficient for learning implicit neural representations
#
# *Joseph Shenouda, Yamin Zhou, Robert D. Nowak. ICML 2024* {footcite}`shenouda2024_relu_inr`
#
# **The question.** A network that maps coordinates to the brightness of an image learns smooth parts at once and fine
# detail hardly ever, if its activation is a ReLU. The usual cure is another activation, such as a sine. The paper says
# that ReLUs are enough: tie seven of them together, with fixed coefficients, into one small wavelet.
#
# **Why it matters.** The cure points at the cause. ReLU features of neighbouring neurons are nearly the same vector, so
# gradient descent sees a badly conditioned problem; wavelets hardly overlap. And a network of ReLUs keeps the theory of
# ReLU networks: a norm of its weights measures how regular the function is.
#
# **What was found here.** The cause is confirmed: wavelet features are conditioned better by orders of magnitude, and
# neither the scale alone nor other combinations of the same ReLUs do it. The scale sets what is learned, and in
# tomography the run with the lower norm has the better image; here the norm ranks the runs just as the scale does. Wavelet
# networks fit images far better than plain ReLUs. They do not match sines at these sizes: sines fit every training
# pixel to the last bit, narrow wavelet networks often stop short of that. Between the pixels neither is good.

# %% tags=["parameters"]
profile = "quick"
seed = 0

# %% tags=["hide-input"]
from functools import partial
from itertools import pairwise, product
from types import SimpleNamespace

import numpy as np
import torch
from replib import estimate
from replib.chapter import begin
from replib.figures import Heat, Lines, Points, table
from replib.randomness import numpy_generator
from scipy.stats import spearmanr
from sklearn.datasets import load_sample_image

chapter = begin("shenouda2024_relu_inr", profile, seed)

# %% [markdown]
# ## What the paper claims
#
# Criteria were set
# before this chapter was written; where a small pilot had been seen, the note says so, and the verdicts rest
# on seeds that the pilot did not use. Throughout, PSNR is $-10 \log_{10}$ of the mean squared error with peak 1, never
# after rescaling the output.

# %% tags=["hide-input"]
chapter.claims()

# %% [markdown]
# ## Sizes
#
# `quick` keeps about three parameters per pixel, the paper's ratio. With many more, every good method fits the training
# pixels to rounding error and nothing is compared.
#
# The official images are not at hand in a form that may be shipped. `paper` therefore uses two photographs at their full
# height, as far as an even number of pixels allows, instead of one image of 256 pixels a side, and a drawn phantom instead
# of the chest. Width, depth and iterations are the official ones; the learning rates are those of `quick`, which include
# the official one for images. The one-dimensional parts (c2, c3) run on a processor at full size within minutes. One step of one image network at that size is thousands of steps at the
# size of `quick`; so c1, c4 and c5 run only where there is a GPU, which by an estimate should have 40 GiB of
# memory. That part was not run at its full size; its code was, on small images.

# %% tags=["hide-input"]
# fmt: off
SCALES_CT = (1, 2, 3, 5)
sizes = chapter.sizes(
    quick=dict(
        layer=dict(draws=50, neurons=100),
        trained=dict(seeds=8, points=20, width=100, steps=1000, lr=5e-3),
        line=dict(seeds=8, points=64, width=100, steps=1000, lr=5e-3),
        image=dict(seeds=5, side=24, factor=16, width=28, steps=600),
        ct=dict(seeds=5, side=24, angles=20, width=48, depth=2, steps=dict.fromkeys(SCALES_CT, 500), decay=500),
        zoom=dict(seeds=3, side=48, block=8, factor=4, width=32, steps=150),
    ),
    smoke=dict(
        layer=dict(draws=4), trained=dict(seeds=2, steps=20), line=dict(seeds=2, steps=20),
        image=dict(seeds=2, steps=15), zoom=dict(seeds=2, steps=5),
        ct=dict(seeds=2, steps=dict.fromkeys(SCALES_CT, 20), decay=20),
    ),
    paper=dict(
        trained=dict(seeds=20, steps=5000), line=dict(seeds=20),
        image=dict(seeds=3, side=213, factor=2, width=300, steps=1000),
        ct=dict(seeds=3, side=256, angles=100, width=300, depth=3, decay=5000,
                steps={1: 100_000, 2: 100_000, 3: 10_000, 5: 10_000}),
        zoom=dict(seeds=3, side=384, block=1, factor=4, width=256, steps=2000),
    ),
)
# fmt: on
IMAGES = ("china", "flower")
SETTINGS = ("BW-ReLU, c=3", "BW-ReLU, c=9", "SIREN", "ReLU with encoding", "ReLU")
SCALES_COND, JUDGED_COND = (1, 3, 5, 10, 20), (5, 10)
SCALES_FIT, TARGETS = (0.5, 1, 3, 10), ("jumps", "sines")
LARGE = not chapter.full or chapter.device.type == "cuda"
if not LARGE:
    reason = "an image network of width 300 trains, by an estimate, for weeks on a processor; no GPU was there: not run"
    for claim in ("c1", "c4", "c5"):
        chapter.not_tested(claim, reason)


def tensor(array, dtype=torch.float32):
    return torch.as_tensor(np.asarray(array), dtype=dtype, device=chapter.device)


# %% [markdown]
# ## The wavelet neuron
#
# $$\psi(z) = \sum_{k=0}^{6} a_k\, \mathrm{relu}\big(z - \tfrac k2\big),\qquad
# a = \tfrac16\,(1, -8, 23, -32, 23, -8, 1),\qquad \text{a layer:}\quad \psi\big(c\,(Wx + b)\big).$$
#
# The scale $c$ multiplies the whole pre-activation; the shifts $k/2$ stay as they are. The coefficients sum to 0 and so
# does $\sum_k k\,a_k$: beyond $z = 3$ the seven ReLUs cancel, and $\psi$ lives on $[0, 3]$. Since $\sum_k k^2 a_k$ and
# $\sum_k k^3 a_k$ vanish too, $\psi$ has mean zero and first moment zero. It is a wavelet, piecewise linear, with the
# values $0, \tfrac1{12}, -\tfrac12, \tfrac56, -\tfrac12, \tfrac1{12}, 0$ at $z = 0, \tfrac12, \dots, 3$.
#
# So one need not evaluate seven ReLUs. On each piece $\psi$ is a straight line; which piece follows from $\lfloor 2z
# \rfloor$, and one table look-up gives the line. That is faster, and the control below compares it with the sum.

# %%
SHIFTS, OUTER = np.arange(7) / 2, np.array([1, -8, 23, -32, 23, -8, 1]) / 6
KNOT_VALUES = np.array([0, 0, 1 / 12, -1 / 2, 5 / 6, -1 / 2, 1 / 12, 0])  # at z = -1/2, 0, ..., 3
SLOPES = tensor(np.append(np.diff(KNOT_VALUES) * 2, 0.0), torch.float64)  # z < 0, six pieces, z > 3
INTERCEPTS = tensor(KNOT_VALUES, torch.float64) - SLOPES * tensor(np.arange(8) / 2 - 0.5)


def seven_relus(z, outer=OUTER):
    """The sum of seven ReLUs, at z (...) with coefficients (..., 7)."""
    return (np.maximum(z[..., None] - SHIFTS, 0) * outer).sum(-1)


class Wavelet(torch.autograd.Function):
    """psi, element by element."""

    @staticmethod
    def forward(ctx, z):
        piece = (2 * z).add_(1).clamp_(0, 7).int().flatten()
        slope, intercept = (t.to(z.dtype).index_select(0, piece).view_as(z) for t in (SLOPES, INTERCEPTS))
        ctx.save_for_backward(slope)
        return intercept.addcmul_(slope, z)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0]


z = np.linspace(-1, 4, 1001) + 1e-4  # beside the knots
on_grid = tensor(z, torch.float64).requires_grad_()
values = Wavelet.apply(on_grid)
values.sum().backward()
slopes = np.where(z[:, None] > SHIFTS, OUTER, 0).sum(-1)
sums = torch.stack([values.detach(), on_grid.grad]).cpu().numpy() - [seven_relus(z), slopes]
chapter.measure("seven", estimate.exact(np.abs(sums).max(), tolerance=1e-12, method="largest of all"))
print("sums of kⁿ aₖ, n = 0..4:", [round(float((np.arange(7.0) ** n * OUTER).sum()), 9) for n in range(5)])

# %% [markdown]
# ## Conditioning of one layer
#
# The feature matrix of a layer has one row per point and one column per neuron. Training the outer weights by gradient
# descent is fast along its large singular directions and slow along the small ones; the condition number is the ratio of
# the largest to the smallest. Points are spread evenly over $[-1, 1]$, weights and biases are uniform on $[-1, 1]$.
#
# Two controls keep the explanation honest. A ReLU layer scaled by $c$ is the same matrix times $c$, so $c$ alone cannot
# be the cure. And seven shifted ReLUs per neuron with other coefficients have the same kinks, but not the cancellation.


# %%
def features(seed, points, scale, kind):
    """(points, neurons) of one random layer."""
    rng, n = numpy_generator(seed, "layer"), sizes.layer["neurons"]
    w, b = rng.uniform(-1, 1, (2, n))
    z = scale * (np.linspace(-1, 1, points)[:, None] * w + b)
    if kind == "ReLU":
        return np.maximum(z, 0)
    if kind == "Gaussian":
        return seven_relus(z, rng.standard_normal((n, 7)))
    if kind == "permuted":
        return seven_relus(z, rng.permuted(np.tile(OUTER, (n, 1)), axis=1))
    return seven_relus(z)


draws = chapter.seeds(sizes.layer["draws"])
condition = {
    (kind, points, c): np.linalg.cond(np.stack([features(i, points, c, kind) for i in draws]))
    for kind in ("ReLU", "BW-ReLU", "Gaussian", "permuted")
    for points in (20, 50)
    for c in SCALES_COND
}


def ratio_of_medians(first, second):
    return estimate.resampled(
        (first, second), lambda a, b: np.median(a) / np.median(b), "ratio of medians", paired=True
    )


def over_wavelet(kind):
    """c -> ratio of median condition numbers, this kind over the wavelet."""
    return {c: ratio_of_medians(condition[kind, 20, c], condition["BW-ReLU", 20, c]) for c in JUDGED_COND}


relu_medians = np.array([np.median(condition["ReLU", 20, c]) for c in SCALES_COND])
change = np.abs(relu_medians / relu_medians[0] - 1).max()
chapter.measure("scale-alone", estimate.exact(change, tolerance=1e-9, method="largest of all"))
chapter.measure("untied", gaussian=over_wavelet("Gaussian"), permuted=over_wavelet("permuted"))

# %% tags=["hide-input"]
z, x = np.linspace(-0.5, 4, 46), np.linspace(-1, 1, 81)
entries = [("one neuron", f"ReLU {k + 1}", z, a * np.maximum(z - k / 2, 0)) for k, a in enumerate(OUTER)]
entries.append(("one neuron", "their sum $\\psi$", z, seven_relus(z)))
for kind in ("ReLU", "BW-ReLU"):
    for k, feature in enumerate(features(draws[0], len(x), 5, kind).T[:8]):
        entries.append((f"{kind}: 8 features, c=5", f"neuron {k + 1}", x, feature))


def curves(ax, rows, cues):
    for name, curve in rows.groupby("curve", sort=False):
        gray = name.startswith("ReLU")
        (line,) = ax.plot(curve["x"], curve["y"], color="gray" if gray else cues.color(name), lw=0.8 if gray else 1.7)
        if "neuron" not in name:
            cues.label("the seven ReLUs" if gray else name, line)


chapter.figure(
    table(("panel", "curve", "x", "y"), entries),
    curves,
    panel="panel",
    panels={"one neuron": {"ylim": (-2, 2), "xlabel": "z"}},
    size=(10, 3.2),
    xlabel="x",
    caption="Left: the wavelet and the seven ReLUs it is the sum of; they cancel beyond z = 3. Middle and right: the "
    "first eight features of one random layer.",
    alt="The wavelet is a short zigzag. ReLU features are long ramps that resemble each other; wavelet features are "
    "short zigzags in different places, or wide ones where the weight is small.",
)

# %% tags=["hide-input"]
chapter.figure(
    table(
        ("points", "features", "c", "median"),
        [
            (f"{n} points", kind if "ReLU" in kind else f"{kind} coefficients", c, np.median(numbers))
            for (kind, n, c), numbers in condition.items()
        ],
    ),
    Lines("c", "median", by="features"),
    panel="points",
    xscale="log",
    yscale="log",
    xlabel="scale c",
    ylabel="condition number",
    caption="Median condition number of the feature matrix of one untrained layer over random draws, against the "
    "scale. With other coefficients the same seven ReLUs stay far above the wavelet where it is best. With 50 points "
    "the typical ReLU layer is singular to rounding.",
    alt="For 20 points the curve of BW-ReLU falls with c to its lowest point between 5 and 10, orders of magnitude "
    "below the flat line of ReLU. Layers with other coefficients stay near ReLU. For 50 points all curves lie higher, "
    "and at the largest scale the wavelets no longer cover all points.",
)

# %% [markdown]
# ## The networks and their training
#
# All networks of this chapter are $f(x) = v\,\sigma(c\,(W_3\,\sigma(c\,(W_2\,\sigma(c\,(W_1 x + b_1)) + b_2)) + b_3)) + d$
# with one to three hidden layers and $\sigma$ the wavelet, a ReLU with $c = 1$, or for SIREN
# {footcite}`sitzmann2020_siren` a sine with $c = \omega_0 = 30$ in all layers. Initial weights and biases are uniform on
# $\pm 1/\sqrt{n_{\mathrm{in}}}$. SIREN needs a start of its own: $\pm 1/n_{\mathrm{in}}$ for the first weights and
# $\pm\sqrt{6/n_{\mathrm{in}}}/\omega_0$ for all others.
#
# The parameters of $S$ networks form one matrix, a row each, so one pass trains them all: every $c$, image, learning
# rate and seed of a method. They share nothing. The optimiser is Adam, written out because each row may have a learning
# rate of its own; the rate falls as $0.1^{\,t/T}$ where the setting says so. Batches are always full.


# %%
def initial(seed, layers, omega=None):
    """One row of parameters; omega gives the start of SIREN."""
    rng, row = numpy_generator(seed, "initialisation", *layers), []
    for k, (n_in, n_out) in enumerate(pairwise(layers)):
        bound = n_in**-0.5
        if omega:
            bound = 1 / n_in if k == 0 else np.sqrt(6 / n_in) / omega
        row += [rng.uniform(-bound, bound, n_in * n_out), rng.uniform(-1, 1, n_out) / np.sqrt(n_in)]
    return np.concatenate(row)


def matrices(theta, layers):
    """(S, P) -> for each layer the weights (S, out, in) and biases (S, out, 1)."""
    counts = [n for n_in, n_out in pairwise(layers) for n in (n_in * n_out, n_out)]
    parts = iter(theta.split(counts, dim=1))
    return [(next(parts).view(-1, n_out, n_in), next(parts)[..., None]) for n_in, n_out in pairwise(layers)]


def output(stack, x, activation, scale):
    """Layers of S networks, points (in, n), scales (S,) -> (S, out, n)."""
    a, scale = x.expand(len(scale), *x.shape), scale[:, None, None]
    for w, b in stack[:-1]:
        a = activation(torch.bmm(scale * w, a).add_(scale * b))  # (S, width, n)
    v, d = stack[-1]
    return torch.bmm(v, a).add_(d)


def adam(objective, theta, rate, steps, decay=None):
    """Minimise objective: (S, P) -> (S,) losses. Returns the last theta and all losses (steps, S)."""
    theta = theta.clone().requires_grad_()
    mean, square, losses = torch.zeros_like(theta), torch.zeros_like(theta), []
    for t in range(steps):
        loss = objective(theta)
        (g,) = torch.autograd.grad(loss.sum(), theta)
        mean.lerp_(g, 0.1)
        square.lerp_(g.square_(), 0.001)
        step = rate * 0.1 ** min(t / decay, 1) if decay else rate
        with torch.no_grad():
            size = (square / (1 - 0.999 ** (t + 1))).sqrt_().add_(1e-8)
            theta -= step / (1 - 0.9 ** (t + 1)) * mean / size
        losses.append(loss.detach())
    return theta.detach(), torch.stack(losses).double().cpu().numpy()


ACTIVATIONS = {"BW-ReLU": Wavelet.apply, "ReLU": torch.relu, "SIREN": torch.sin}
CAP = 10 * np.log10(12 * 255**2)  # the rounding error of an 8-bit image


def psnr(mse):
    return np.minimum(-10 * np.log10(np.maximum(mse, 1e-12)), CAP)


# %% [markdown]
# ## One dimension: what the scale does
#
# Two targets on 64 points: a function with twenty random jumps and Gaussian levels, another one for each seed, and
# $\sin 20x + \sin 5x$. Both are standardised. One hidden layer of width 100 is trained for the same number of steps at
# each $c$. The official script for this experiment cannot test the claim: there the scale reaches the norm and the file
# name, and the network keeps $c = 1$.
#
# The same networks, on 20 points of functions with jumps, also show whether the conditioning survives training: the
# condition number of the hidden feature matrix is taken after the last step.


# %%
def jumps(seed, points):
    rng = numpy_generator(seed, "jumps")
    edges, levels = np.sort(rng.uniform(-1, 1, 20)), rng.standard_normal(21)
    return levels[np.searchsorted(edges, np.linspace(-1, 1, points))]


def fit_line(s, seeds, kind, scales, targets):
    """Train scales x targets x seeds; targets (targets, seeds, n) -> losses (scales, targets, seeds), networks."""
    y = (targets - targets.mean(-1, keepdims=True)) / targets.std(-1, keepdims=True)
    y = tensor(np.concatenate([y.reshape(-1, s["points"])] * len(scales)))  # (S, n)
    layers, x = (1, s["width"], 1), torch.linspace(-1, 1, s["points"], device=chapter.device)[None]
    theta = tensor(np.stack([initial(i, layers) for _ in scales for _ in targets for i in seeds]))
    c, shape = tensor(np.repeat(scales, len(theta) // len(scales))), (len(scales), len(targets), -1)

    def error(theta):
        net = output(matrices(theta, layers), x, ACTIVATIONS[kind], c)
        return (net[:, 0] - y).square().mean(1)

    theta, losses = adam(error, theta, s["lr"], s["steps"])
    with torch.no_grad():
        return error(theta).double().cpu().numpy().reshape(shape), theta, losses


s, line_seeds = sizes.line, chapter.seeds(sizes.line["seeds"])
x = np.linspace(-1, 1, s["points"])
waves = np.tile(np.sin(20 * x) + np.sin(5 * x), (len(line_seeds), 1))
targets = np.stack([[jumps(i, s["points"]) for i in line_seeds], waves])
line_loss, _, line_course = fit_line(s, line_seeds, "BW-ReLU", SCALES_FIT, targets)
relu_loss, _, relu_course = fit_line(s, line_seeds, "ReLU", (1,), targets)
last = line_loss[-1]  # (targets, seeds)
chapter.measure(
    "c3",
    slope={t: estimate.loglog_slope(SCALES_FIT, line_loss[:, k].T) for k, t in enumerate(TARGETS)},
    slow={t: estimate.paired_ratio(line_loss[0, k], last[k]) for k, t in enumerate(TARGETS)},
    relu={t: estimate.paired_ratio(relu_loss[0, k], last[k]) for k, t in enumerate(TARGETS)},
)

# %%
s, trained_seeds = sizes.trained, chapter.seeds(sizes.trained["seeds"])
targets = np.array([[jumps(i, s["points"]) for i in trained_seeds]])
x, trained = np.linspace(-1, 1, s["points"]), {}
for kind, scales in (("ReLU", (1,)), ("BW-ReLU", JUDGED_COND)):
    _, theta, _ = fit_line(s, trained_seeds, kind, scales, targets)
    (w, b), _ = matrices(theta.double(), (1, s["width"], 1))
    z = np.repeat(scales, len(trained_seeds))[:, None, None] * (w * tensor(x, w.dtype) + b).cpu().numpy()
    phi = np.maximum(z, 0) if kind == "ReLU" else seven_relus(z)  # (S, neurons, points)
    trained |= zip(scales, np.linalg.cond(phi).reshape(len(scales), -1), strict=True)
trained_ratio = {c: ratio_of_medians(trained[1], trained[c]) for c in JUDGED_COND}
chapter.measure("c2", untrained=over_wavelet("ReLU"), trained=trained_ratio)

# %% tags=["hide-input"]
course = np.concatenate([line_course, relu_course], 1)
course = np.exp(np.log(course.reshape(len(course), len(SCALES_FIT) + 1, len(TARGETS), -1)).mean(-1))
step = np.unique(np.geomspace(1, len(course), 60).astype(int))
chapter.figure(
    table(
        ("target", "network", "step", "loss"),
        [
            (target, name, step, course[step - 1, j, k])
            for k, target in enumerate(TARGETS)
            for j, name in enumerate([*(f"c={c}" for c in SCALES_FIT), "ReLU"])
        ],
    ),
    Lines("step", "loss", by="network"),
    panel="target",
    xscale="log",
    yscale="log",
    ylabel="training loss",
    caption="Training loss on both targets, geometric mean over seeds. Loss 1 is a network that has learned nothing "
    "but the mean.",
    alt="On both targets ReLU and c = 0.5 stay near the top, c = 1 falls slowly, c = 3 and c = 10 fall by orders of "
    "magnitude. On the jumps c = 10 is far ahead of c = 3; on the sines the two are close.",
)

# %% [markdown]
# ## Images
#
# Two photographs, in grey: the top left corner, averaged over blocks of pixels down to the training resolution and
# scaled to $[0, 1]$. Coordinates are the centres of the pixels in $[-1, 1]^2$, so the pixels of a grid twice as fine,
# averaged from the same corner, lie beside those trained on; the official code puts the outer pixels on the border.
#
# The encoding gives a ReLU network $x$ and $\sin, \cos$ of $2^i \pi x$ for $i = 0, \dots, \lfloor \log_2(n/4) \rfloor -
# 1$ at $n$ pixels a side. Each method and image gets the learning rate out of three that trains best with one start that
# is not among the judged ones. WIRE, another baseline of the paper, is left out.

# %%
LEARNING_RATES, TUNING_SEED = (1e-3, 3e-3, 1e-2), 0


def photograph(name, side, block, colour=False):
    """The top left corner, averaged over blocks of pixels: (channels, side, side) in [0, 1]."""
    corner = load_sample_image(f"{name}.jpg")[: side * block, : side * block] / 255
    averaged = corner.reshape(side, block, side, block, 3).mean((1, 3))
    return averaged.transpose(2, 0, 1) if colour else (averaged @ [0.299, 0.587, 0.114])[None]


def centres(side):
    """Coordinates (2, side * side) of the pixel centres."""
    line = (2 * np.arange(side) + 1) / side - 1
    return np.stack(np.meshgrid(line, line, indexing="xy")).reshape(2, -1)


def encode(x, side):
    angles = [2**i * np.pi * x for i in range(int(np.log2(side / 4)))]
    return np.concatenate([x, *map(np.sin, angles), *map(np.cos, angles)])


s, image_seeds = sizes.image, chapter.seeds(sizes.image["seeds"])
pictures, finer_pictures = {}, {}
for name in IMAGES:
    coarse, fine = (photograph(name, s["side"] * k, s["factor"] // k) for k in (1, 2))
    low, high = coarse.min(), coarse.max()  # one map for both grids
    pictures[name], finer_pictures[name] = ((p.ravel() - low) / (high - low) for p in (coarse, fine))


def fit_images(method, runs):
    """Train one network per run (scale, image, rate, seed): training MSE over steps, at the end, finer MSE, images."""
    scale, image, rate, seed = zip(*runs, strict=True)
    prepare = partial(encode, side=s["side"]) if "encoding" in method else lambda x: x
    x, x_fine = (tensor(prepare(centres(k * s["side"]))) for k in (1, 2))
    y, y_fine = (tensor(np.stack([p[i] for i in image])) for p in (pictures, finer_pictures))
    layers, c = (len(x), *[s["width"]] * 3, 1), tensor(scale)
    omega = 30 if method == "SIREN" else None
    theta = tensor(np.stack([initial(i, layers, omega) for i in seed]))
    activation = ACTIVATIONS[method.split()[0]]

    def drawn(theta, x):
        return output(matrices(theta, layers), x, activation, c)[:, 0]

    def error(theta):
        return (drawn(theta, x) - y).square().mean(1)

    theta, losses = adam(error, theta, tensor(rate)[:, None], s["steps"], s["steps"])
    with torch.no_grad():
        last, finer = error(theta), (drawn(theta, x_fine) - y_fine).square().mean(1)
        return losses, *(t.double().cpu().numpy() for t in (last, finer, drawn(theta, x)))


METHODS = {"BW-ReLU": (3, 9), "SIREN": (30,), "ReLU with encoding": (1,), "ReLU": (1,)}
image_runs = {}  # by setting and image
if LARGE:
    for method, scales in METHODS.items():
        cases = list(product(scales, IMAGES))
        _, tuning, *_ = fit_images(method, [(*case, r, TUNING_SEED) for case in cases for r in LEARNING_RATES])
        best = [LEARNING_RATES[k] for k in tuning.reshape(len(cases), -1).argmin(1)]
        runs = [(*case, r, i) for case, r in zip(cases, best, strict=True) for i in image_seeds]
        losses, last, finer, drawn = fit_images(method, runs)
        for k, (c, image) in enumerate(cases):
            setting = f"{method}, c={c}" if len(scales) > 1 else method
            own = slice(k * len(image_seeds), (k + 1) * len(image_seeds))
            course, end, beside = (psnr(mse) for mse in (losses[:, own], last[own], finer[own]))
            run = SimpleNamespace(rate=best[k], course=course, last=end, finer=beside, picture=drawn[own][0])
            image_runs[setting, image] = run
    for image in IMAGES:
        print(f"{image:22}rate   training  finer grid  (mean PSNR)")
        for setting in SETTINGS:
            run = image_runs[setting, image]
            print(f"  {setting:20}{run.rate:g}{run.last.mean():10.1f}{run.finer.mean():10.1f}")

# %%
if LARGE:
    better = {i: max((image_runs[f"BW-ReLU, c={c}", i].last for c in (3, 9)), key=np.mean) for i in IMAGES}
    relu, siren, encoding = (
        {i: estimate.paired_difference(better[i], image_runs[other, i].last) for i in IMAGES}
        for other in ("ReLU", "SIREN", "ReLU with encoding")
    )
    china, flower = ({name: estimate.mean(image_runs[name, i].finer) for name in SETTINGS} for i in IMAGES)
    chapter.measure("c1", relu=relu, siren=siren, encoding=encoding, china_finer=china, flower_finer=flower)

# %% tags=["hide-input"]
if LARGE:
    step = np.unique(np.linspace(1, s["steps"], 60).astype(int))
    entries = [(i, name, step, image_runs[name, i].course.mean(1)[step - 1]) for i in IMAGES for name in SETTINGS]
    shown = chapter.figure(
        table(("image", "network", "step", "PSNR"), entries),
        Lines("step", "PSNR", by="network"),
        panel="image",
        ylabel="training PSNR (dB)",
        caption="Training PSNR against the step, mean over seeds, each method at its own best learning rate.",
        alt="On both photographs SIREN reaches the cap early, the plain ReLU network ends lowest by a wide margin, "
        "and the wavelet networks lie between, above the ReLU network with encoding.",
    )
shown if LARGE else None

# %% tags=["hide-input"]
if LARGE:
    side = s["side"]
    drawn = np.arange(0, side, max(1, side // 48))  # rows and columns
    entries, titles, bare = [], {}, dict(xticks=[], yticks=[], xlabel="", ylabel="")
    for image in IMAGES:
        made = {name: image_runs[name, image].picture for name in SETTINGS}
        for name, picture in ({"target": pictures[image]} | made).items():
            thinned = picture.reshape(side, side)[np.ix_(drawn, drawn)].round(4)
            entries.append((f"{image}, {name}", drawn[:, None], drawn, thinned))
            titles[f"{image}, {name}"] = {"title": name if image == IMAGES[0] else ""}
    shown = chapter.figure(
        table(("panel", "row", "column", "brightness"), entries),
        Heat("column", "row", "brightness", colors="gray", low=0, high=1),
        panel="panel",
        panels=titles,
        columns=6,
        size=(11, 3.9),
        aspect="equal",
        ylim=(side - 0.5, -0.5),
        **bare,
        caption="The training pixels of both photographs and what networks of the first seed make of them"
        + (f"; {len(drawn)} rows and columns of {side} are drawn." if len(drawn) < side else "."),
        alt="The images of the plain ReLU network are blurred; those of the other networks are sharp, more or less.",
    )
shown if LARGE else None

# %% [markdown]
# ## Tomography
#
# A scanner measures sums of the image along lines. The Radon matrix $A$ has a row for each angle and detector: the image
# is turned by the angle, with bilinear interpolation and zero outside, and its columns are summed. The network never
# sees a pixel; it is fitted to the projections, with the loss $\frac1m \lVert A f_\theta - A u\rVert^2$, where $u$ is a
# phantom of three ellipses.
#
# The paper's norm is defined for networks with one more linear layer $V$ behind each wavelet layer,
#
# $$\text{path norm} = \sum_{\text{layers}} c \sum_k \lVert w_k\rVert_2\,\lVert v_k\rVert_2,$$
#
# with $w_k$ the weights into neuron $k$ and $v_k$ those out of it; the last $V$ is the output. Two linear maps in a row
# are one: $W(Va + d) + b = (WV)a + (Wd + b)$. Multiplying the small matrices first saves half of the work and computes
# the same.
#
# Comparing norms needs equal fits. For each seed the common data loss is the largest of the four lowest losses, which
# every run reaches; each run is read at its first step at or below it. The official runs stop at a fixed loss, which
# belongs to their image. Their last angle repeats the first, at 180 degrees; here it is left out.


# %%
def radon(side, angles):
    """(angles * side, side * side): turn by each angle about the centre, sum the columns."""
    matrix, centre = np.zeros((angles, side, side * side), np.float32), (side - 1) / 2
    i, j = np.mgrid[:side, :side].reshape(2, -1)
    for k, angle in enumerate(np.pi * np.arange(angles) / angles):
        u, v = i - centre, j - centre
        row = np.cos(angle) * u + np.sin(angle) * v + centre  # where pixel (i, j) comes from
        column = np.cos(angle) * v - np.sin(angle) * u + centre
        top, left = np.floor(row).astype(int), np.floor(column).astype(int)
        for a, b in product((0, 1), repeat=2):
            r, c = top + a, left + b
            share = (1 - np.abs(row - r)) * (1 - np.abs(column - c))
            inside = (r >= 0) & (r < side) & (c >= 0) & (c < side)
            np.add.at(matrix[k], (j[inside], (r * side + c)[inside]), share[inside])
    return matrix.reshape(angles * side, -1)


def phantom(side, finer=8):
    """Three ellipses, averaged over each pixel: (side * side,), values in [0, 1]."""
    x, y = centres(side * finer)
    picture = 0.4 * ((x / 0.69) ** 2 + (y / 0.9) ** 2 < 1)
    picture += 0.6 * (((x + 0.25) / 0.2) ** 2 + ((y - 0.1) / 0.4) ** 2 < 1)
    picture += 0.3 * (((x - 0.3) / 0.25) ** 2 + ((y + 0.3) / 0.25) ** 2 < 1)
    return picture.reshape(side, finer, side, finer).mean((1, 3)).ravel()


def fold(stack):
    """W1, V1, W2, V2, ..., output -> the layers of the same network without linear layers in between."""
    pairs = zip(stack[1:-1:2], stack[2::2], strict=True)
    return [stack[0], *((torch.bmm(w, v), torch.baddbmm(b, w, d)) for (v, d), (w, b) in pairs), stack[-1]]


def path_norm(stack, scale):
    pairs = zip(stack[::2], stack[1::2], strict=True)
    return scale * sum((w.norm(dim=2) * v.norm(dim=1)).sum(1) for (w, _), (v, _) in pairs)


# %%
def fit_projections(method, scales, rate, steps):
    """Train scales x seeds: projection loss, norm and image PSNR (scales, seeds, steps), final images."""
    wavelet, runs = method == "BW-ReLU", list(product(scales, ct_seeds))
    hidden = 2 * s["depth"] - 1 if wavelet else s["depth"]
    layers, c = (2, *[s["width"]] * hidden, 1), tensor([c for c, _ in runs])
    theta = tensor(np.stack([initial(i, layers) for _, i in runs]))
    norms, errors = [], []

    def drawn(theta):
        stack = matrices(theta, layers)
        if wavelet:
            with torch.no_grad():
                norms.append(path_norm(stack, c))
            stack = fold(stack)
        return output(stack, x, ACTIVATIONS[method], c)[:, 0]

    def error(theta):
        picture = drawn(theta)
        errors.append((picture.detach() - truth).square().mean(1))
        return (picture @ projector - projections).square().mean(1)

    theta, losses = adam(error, theta, rate, steps, min(steps, s["decay"]))
    with torch.no_grad():
        last = drawn(theta).double().cpu().numpy()

    def by_run(rows):
        return np.asarray(rows).T.reshape(len(scales), len(ct_seeds), -1)

    read = [torch.stack(r).double().cpu().numpy() if r else losses for r in (norms[:steps], errors)]
    return by_run(losses), by_run(read[0]), psnr(by_run(read[1])), by_run(last.T)


if LARGE:
    s, ct_seeds = sizes.ct, chapter.seeds(sizes.ct["seeds"])
    x, true_image = tensor(centres(s["side"])), phantom(s["side"])
    projector, truth = tensor(radon(s["side"], s["angles"])).T, tensor(true_image)
    projections = truth @ projector
    ct = {}
    for steps in set(s["steps"].values()):
        together = [c for c in SCALES_CT if s["steps"][c] == steps]
        ct |= zip(together, zip(*fit_projections("BW-ReLU", together, 3e-3, steps), strict=True), strict=True)
    relu_image = fit_projections("ReLU", (1,), 1e-2, s["steps"][3])[3][0]

# %%
if LARGE:
    matched = {c: [] for c in SCALES_CT}  # (norm, PSNR) of each seed at the common loss
    for i in range(len(ct_seeds)):
        common = max(ct[c][0][i].min() for c in SCALES_CT)
        for c in SCALES_CT:
            first = (ct[c][0][i] <= common).argmax()
            matched[c].append((ct[c][1][i, first], ct[c][2][i, first]))
    norm, quality = np.moveaxis([matched[c] for c in SCALES_CT], -1, 0)  # (scales, seeds) each
    lowest = np.take_along_axis(quality, norm.argmin(0)[None], 0)[0]
    others = np.where(np.arange(len(norm))[:, None] == norm.argmin(0), -np.inf, quality).max(0)
    by_norm = [spearmanr(a, b).statistic for a, b in zip(norm.T, quality.T, strict=True)]
    by_scale = [spearmanr(SCALES_CT, b).statistic for b in quality.T]
    lead = estimate.paired_difference(lowest, others)
    chapter.measure("c4", norm=estimate.mean(by_norm), scale=estimate.mean(by_scale), lead=lead)

# %% tags=["hide-input"]
if LARGE:
    entries = []
    for k, c in enumerate(SCALES_CT):
        loss, _, course, _ = ct[c]
        step = np.unique(np.geomspace(1, loss.shape[1], 100).astype(int)) - 1
        entries.append(("at equal loss", f"c={c}", ct_seeds, norm[k], quality[k]))
        entries.append(("training", f"c={c}", 0, np.exp(np.log(loss).mean(0))[step], course.mean(0)[step]))

    def joined(ax, rows, cues):
        for _, by_seed in rows.query("seed > 0").sort_values("x").groupby("seed"):
            ax.plot(by_seed["x"], by_seed["PSNR"], color="gray", lw=0.6, zorder=0)

    data = table(("panel", "scale", "seed", "x", "PSNR"), entries)
    falling = {"xscale": "log", "xlim": tuple(data.query("seed == 0")["x"].agg(["max", "min"]))}
    shown = chapter.figure(
        data,
        joined,
        Points("x", "PSNR", by="scale", where="seed > 0"),
        Lines("x", "PSNR", by="scale", where="seed == 0"),
        panel="panel",
        panels={"at equal loss": {"xlabel": "path norm"}, "training": dict(falling, xlabel="loss on the projections")},
        ylabel="PSNR of the image (dB)",
        caption="Left: path norm and quality of the image, each run at the step where it first reaches the loss "
        "common to its seed; grey lines join the runs of one seed. Right: quality against the loss over the whole "
        "training, which falls to the right, means over seeds. In the table x is the norm or the loss, and seed 0 "
        "stands for the mean.",
        alt="Left: the points fall from the upper left, small scale and small norm, to the lower right, large scale "
        "and large norm. Right: at equal loss the curve of the smallest scale lies highest, but it ends first; larger "
        "scales fit further.",
    )
shown if LARGE else None

# %% [markdown]
# ## Super-resolution
#
# The last task: a colour image is known only after averaging over blocks of four by four pixels. The network is
# evaluated on the fine grid, its output is averaged in the same way, and the loss compares the averages. This is
# reported, not judged, and `quick` runs it with little training.


# %%
def zoom(method, scale, rate):
    """PSNR on the fine grid, (seeds,)."""
    layers, c = (2, *[s["width"]] * 3, 3), tensor([scale] * s["seeds"])
    theta = tensor(np.stack([initial(i, layers) for i in chapter.seeds(s["seeds"])]))

    def drawn(theta):
        return output(matrices(theta, layers), fine_grid, ACTIVATIONS[method], c)  # (S, 3, n)

    theta, _ = adam(lambda t: (shrink(drawn(t)) - known).square().mean((1, 2, 3)), theta, rate, s["steps"], s["steps"])
    with torch.no_grad():
        return psnr((drawn(theta) - full.flatten(1)).square().mean((1, 2)).cpu().numpy())


def shrink(picture):
    few = s["side"] // s["factor"]
    return picture.reshape(-1, 3, few, s["factor"], few, s["factor"]).mean((3, 5))


if LARGE:
    s = sizes.zoom
    fine_grid, full = (tensor(centres(s["side"])), tensor(photograph("flower", s["side"], s["block"], colour=True)))
    known = shrink(full[None])
    repeated = known[0].repeat_interleave(s["factor"], 1).repeat_interleave(s["factor"], 2)
    zoomed = {m: zoom(m, c, rate) for m, c, rate in (("BW-ReLU", 3, 3e-3), ("ReLU", 1, 1e-2))}
    final = {"BW-ReLU": ct[3][3], "ReLU": relu_image}  # (seeds, pixels)
    final = {m: psnr(((image - true_image) ** 2).mean(1)) for m, image in final.items()}
    extra = {}
    if not chapter.full:
        least_squares = np.linalg.lstsq(projector.T.double().numpy(), projections.double().numpy(), 1e-5)[0]
        extra["least_squares"] = estimate.exact(psnr(((least_squares - true_image) ** 2).mean()), tolerance=0.1)
    repeated_psnr = psnr((repeated - full).square().mean().item())
    chapter.measure(
        "c5",
        tomography=estimate.paired_difference(final["BW-ReLU"], final["ReLU"]),
        wavelet=estimate.mean(final["BW-ReLU"]),
        zoom=estimate.paired_difference(zoomed["BW-ReLU"], zoomed["ReLU"]),
        repeated=estimate.mean(zoomed["BW-ReLU"] - repeated_psnr),
        **extra,
    )

# %% [markdown]
# ## Verdict

# %% tags=["nbval-check-output"]
chapter.verdicts()

# %%
chapter.report()

# %% [markdown]
# **What was easy.** The cause. Condition numbers take seconds, and both controls could have failed: the constraint on the
# seven coefficients does it, not the kinks and not the scale. The order of the scales in one dimension is just as clear.
#
# **What was hard.** The comparison with SIREN, the only judged quantity that failed. The criterion allows a deficit of two
# decibels; the deficit is far larger and differs much from seed to seed. First the implementation was suspected. The
# activation and its derivative equal those of the seven ReLUs (a control), the network equals a plain loop over layers,
# and the optimiser equals the library's, all to rounding. Then the size, on seeds that are not judged: with the official
# scale and learning rate on the same pixels, layers of width 48 or 64 pass the cap in most or all runs; and at the
# same three parameters per pixel, with four times as many pixels and layers twice as wide, all runs come close to the
# cap or pass it. So it is the narrow layer: a wavelet is silent over much of the plane, and 28 of them leave too little to
# work with. The width was fixed before, so the verdict stands for these sizes; it says little about the paper's.
# Nor is the ratio of parameters to pixels what makes the comparison fair, as the criteria assume: SIREN reaches the cap
# at that ratio too. A size where neither does would compare more.
#
# **What the paper leaves out.** Fitting pixels is not the same as drawing the image. On the finer grid the order is nearly
# turned round: the ReLU network with encoding is the best of all, and the wavelet network with the large scale is far
# worse than even the plain one. Between two pixels it can do anything. The same is seen in super-resolution: with c = 3
# the network loses to plain ReLUs, and to repeating the pixels. On seeds that are not judged, smaller scales with a larger
# learning rate did better there; c counts per side of the image, and few pixels a side call for a small one.
# In tomography the wavelet network is better than the plain one, and minimum-norm least squares on the same projections,
# without any network, is better than both.
#
# **The norm.** It grows with c, and at equal loss it orders the four runs just as c does. So the result supports choosing
# the run with the small norm, but here the scale would have told as much. The common loss is the one that the slowest
# run reaches. Trained to the end the larger scales fit the projections better, and the best final image is not that of
# the smallest norm.
#
# **Where this run differs.** Photographs instead of the official image, a drawn phantom instead of the chest, pixel
# centres instead of a grid that ends on the border, angles without the repeated one. Norms are read at a common loss per
# seed, not at one fixed loss. The one-dimensional networks have no linear skip. The official script adds up other terms
# where there are no linear layers; the norm here is that with linear layers. Learning rates are tuned for the images only.
# Super-resolution in `quick` is an addition; its steps were halved for cost after its result had been seen, and nothing
# judged rests on it. The better of two c is chosen on the judged seeds, which favours the wavelet network a little. For the trained networks
# of c2 the ratio is only a lower limit on what it says: trained ReLU layers are singular to rounding.
