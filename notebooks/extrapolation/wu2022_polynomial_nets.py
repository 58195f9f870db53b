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
# # Extrapolation and spectral bias of neural nets with Hadamard product: a polynomial net study
#
# *Yongtao Wu, Zhenyu Zhu, Fanghui Liu, Grigorios G. Chrysos, Volkan Cevher.
# NeurIPS 2022* {footcite}`wu2022_polynomial_nets`
#
# **The question.** Multiply the hidden layers of a network element by element instead of only composing them. What
# changes? The paper's answer has two parts, and both can be computed. Far from the data a ReLU network continues as a
# straight line; a product of $N$ ReLU layers continues as a polynomial of degree $N$. And the kernel that governs the
# training of wide networks gets a flatter spectrum, so high frequencies are learned sooner.
#
# **Why it matters.** Both effects are fixed by the architecture alone. Whoever chooses it also chooses what the network
# does where no data are, and which part of a signal it learns first.
#
# **What was found here.** What can be derived holds, most of it to rounding error: the degree along rays, the kernel
# and its spectrum, the training of wide networks. Higher degrees learn high frequencies sooner, in exact flows and in
# finite networks; only one comparison is too close for five data sets, the lowest degrees with skip at the highest
# judged frequency. A cubic is carried outward almost perfectly. A cosine is not, not even close to the training
# interval: the best polynomial of that degree would do better there than a ReLU network, the one found by training does
# far worse.

# %% tags=["parameters"]
profile = "quick"
seed = 0

# %% tags=["hide-input"]
from copy import deepcopy
from functools import partial
from itertools import pairwise, repeat

import numpy as np
import torch
from replib import estimate
from replib.chapter import begin
from replib.data import points
from replib.figures import Level, Lines, Points, table
from replib.kernels.empirical import tangent
from replib.kernels.limit import polynomial_tangent
from replib.kernels.regression import KernelDescent
from replib.kernels.sphere import funk_hecke, gegenbauer
from replib.models.mlp import NTKMLP, mlp
from replib.models.polynomial import PolynomialNet
from replib.randomness import numpy_generator, torch_generator
from replib.training.ensemble import Ensemble, Minibatches, mean_squared_error, train
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import ExponentialLR

chapter = begin("wu2022_polynomial_nets", profile, seed)
device = chapter.device

# %% [markdown]
# ## What the paper claims
#
# A claim counts only if the controls it needs behave as declared. Criteria come from the specification written before
# this chapter; where a small pilot had been seen, the note says so, and the verdicts rest on seeds that the pilot did
# not use.
#
# The specification has one claim c5 with two halves. They are two claims here, because the second needs a GPU at the
# paper's sizes: c5 is the exact flow of wide networks, c5b the training of networks of finite width.

# %% tags=["hide-input"]
chapter.claims()

# %% [markdown]
# ## Sizes
#
# `paper` has the official sizes, with two exceptions. The finite networks of c5b (width 32768, 30000 steps) run only
# where there is a GPU, which should have 40 GiB of memory; all else should take one processor core about half an hour.
# Both are estimates from a few steps. And the chapter leaves out two of the paper's demonstrations in every profile,
# because no claim above rests on them: adding two MNIST digits, and visual analogies. Neither was run.

# %% tags=["hide-input"]
# fmt: off
JUDGED_WIDTH = 16384
sizes = chapter.sizes(
    quick=dict(
        ray=dict(seeds=8, width=64, dimension=4, rays=30, train=500, batch=128, steps=200, lr=1e-2),
        line=dict(seeds=8, train=2000, batch=128, steps=1500, lr=1e-2, last_lr=1e-4, decay=1e-3, test=1000),
        tangent=dict(inits=30, dimension=5, points=12, degrees=(1, 2, 3, 4), widths=(256, 1024, 4096, JUDGED_WIDTH)),
        training=dict(seeds=8, dimension=4, train=24, test=200, steps=500, widths=(128, 512, 2048)),
        spectrum=dict(highest=20, nodes=400),
        # pairs are degrees that are compared
        flow=dict(seeds=5, dimension=3, points=800, times=300, pairs=((3, 1), (9, 3))),
        nets=dict(seeds=5, dimension=3, points=300, width=512, steps=400, pairs=((3, 1),), frequencies=(3, 4)),
    ),
    smoke=dict(
        ray=dict(seeds=2, rays=5, train=200, steps=5), line=dict(seeds=2, train=256, steps=30, test=200),
        tangent=dict(inits=3, points=4, widths=(256, JUDGED_WIDTH)), training=dict(seeds=2, test=50, steps=20),
        flow=dict(seeds=2, points=80, times=100), nets=dict(seeds=2, points=60, width=32, steps=50),
    ),
    paper=dict(
        ray=dict(seeds=20, width=1024, dimension=10, train=5000, steps=1000),
        line=dict(seeds=10, train=200_000, batch=512, steps=40 * 390, lr=1e-4),
        tangent=dict(inits=300, degrees=(1, 2, 3, 4, 5, 6), widths=(256, 1024, 4096, JUDGED_WIDTH, 131072)),
        training=dict(seeds=20, widths=(128, 512, 2048, 8192)),
        spectrum=dict(highest=40, nodes=2000),
        flow=dict(seeds=20, dimension=10, points=1000, times=600, pairs=((6, 3), (9, 6))),
        nets=dict(dimension=10, points=1000, width=32768, steps=30_000, pairs=((6, 3), (9, 6)), frequencies=(4, 5, 8)),
    ),
)
# fmt: on
LARGE = not chapter.full or device.type == "cuda"


def tensor(array, dtype=torch.float32):
    return torch.as_tensor(np.asarray(array), dtype=dtype, device=device)


def ensemble(build, seeds, *key):
    """One network per seed; another key, another initialisation."""
    starts = [int(numpy_generator(s, *key, "initialisation").integers(2**31)) for s in seeds]
    return Ensemble(build, starts).to(device)


def shuffles(seeds, key, count, batch):
    return Minibatches([torch_generator(s, key, "batches") for s in seeds], count, batch)


def parameters(build):
    return sum(p.numel() for p in build().parameters())


# %% [markdown]
# ## The network, and what it does along a ray
#
# With weight matrices $W_n$ of size $m \times d$, output weights $w$, and $\odot$ the product element by element, the
# polynomial network (PNN) of degree $N$ is
#
# $$y_1 = \mathrm{relu}(W_1 x),\qquad y_n = \mathrm{relu}(W_n x)\odot y_{n-1}\;[\,+\; y_{n-1}\text{ with skip}\,],\qquad
# f(x) = \sqrt{2/m}\; w^\top y_N .$$
#
# All weights start as independent standard normal numbers. $N = 1$ is the standard network with one hidden layer.
#
# For $t > 0$ a unit without bias satisfies $\mathrm{relu}(t\,w^\top v) = t\,\mathrm{relu}(w^\top v)$. So on the ray
# $x = tv$ the network is exactly $t^N f(v)$ without skip and $\sum_{k=1}^N c_k t^k$ with skip, for any weights, trained
# or not. That leaves little to measure; what is checked is that the arithmetic of real networks agrees, and that degree
# $N - 1$ is not enough.
#
# **The measure.** $r_p$ is the root mean square residual of the best polynomial of degree $p$ on the points of a ray,
# divided by the standard deviation of $f$ there. There is no constant term where there is no bias. Networks with skip
# are measured untrained, and after training on $y = |x|^2$ on a cube. The control has two hidden layers of the same
# width, no products and no biases, and is trained on the same batches with the same number of steps. A network of
# degree $N$ has $Nmd + m$ parameters, the control with its hidden matrix $md + m^2 + m$, which is more.


# %%
def misfit(values, t, degree, lowest=1):
    """r_p: values (..., points) at t (points,) -> (...), with the powers lowest..degree of t."""
    basis = (t / t.max())[:, None] ** np.arange(lowest, degree + 1)
    q, _ = np.linalg.qr(basis)  # (points, powers)
    rest = values - (values @ q) @ q.T
    spread = values.std(-1)
    # a constant is a polynomial of any degree
    return np.divide(np.sqrt((rest**2).mean(-1)), spread, out=np.zeros_like(spread), where=spread > 0)


s, ray_seeds = sizes.ray, chapter.seeds(sizes.ray["seeds"])
x = np.stack([points.cube(s["train"], s["dimension"], 1.0, numpy_generator(i, "ray")) for i in ray_seeds])
v = np.stack([points.sphere(s["rays"], s["dimension"], 1.0, numpy_generator(i, "directions")) for i in ray_seeds])
t = np.linspace(0.1, 10, 40)


def along_rays(nets):
    """f(t v) in float64, (seeds, rays, points)."""
    with torch.no_grad():
        return nets.double()(tensor(t[:, None] * v[:, :, None, :], torch.float64))[..., 0].cpu().numpy()


RAY_DEGREES, STATES = (1, 2, 3, 5), ("untrained", "trained")
shape = s["dimension"], s["width"]
builds = {f"N={n}": partial(PolynomialNet, *shape, n, skip=True) for n in RAY_DEGREES}
on_rays = {}  # (network, state): (seeds, rays, points)
for name, build in (builds | {"MLP": partial(NTKMLP, *shape, 3, bias=0.0)}).items():
    nets = ensemble(build, ray_seeds, name)
    on_rays[name, "untrained"] = along_rays(nets)
    nets.float()
    loss = mean_squared_error(tensor(x), tensor((x**2).sum(-1)))
    batches = shuffles(ray_seeds, "ray", s["train"], s["batch"])
    train(nets, loss, batches, s["steps"], partial(Adam, lr=s["lr"], fused=True))
    on_rays[name, "trained"] = along_rays(nets)


def worst(values):
    return estimate.exact(np.max(values), np.size(values), tolerance=1e-9, method="largest of all")


lines = np.stack([on_rays["MLP", state] for state in STATES])
gain = misfit(lines, t, 1) - misfit(lines, t, 5)
chapter.measure("no-product", line=worst(misfit(lines, t, 1)), gain=worst(gain))
enough = {
    f"N={n}: degree {n}": worst([misfit(on_rays[f"N={n}", state], t, n) for state in STATES]) for n in RAY_DEGREES
}
too_low = {
    f"N={n}, {state}: degree {n - 1}": estimate.median(np.median(misfit(on_rays[f"N={n}", state], t, n - 1), -1))
    for n in RAY_DEGREES[1:]
    for state in STATES
}

# %% tags=["hide-input"]
powers, fits = np.arange(1, 7), "misfit $r_p$"
rows = [
    (name, f"ray {ray + 1}", t, on_rays[name, "trained"][0, ray]) for name in ("MLP", "N=2", "N=3") for ray in range(3)
]
for name in ("MLP", "N=2", "N=3", "N=5"):
    rows.append((fits, name, powers, [np.median(misfit(on_rays[name, "trained"], t, p)) for p in powers]))
chapter.figure(
    table(("panel", "curve", "x", "y"), rows),
    Lines("x", "y", by="curve"),
    panel="panel",
    panels={"MLP": {"ylabel": "f(tv)"}, fits: dict(yscale="log", xlabel="degree p of the fit", xticks=powers)},
    xlabel="t",
    ylabel="",
    caption="Trained networks without biases along three rays of one seed; the data end at "
    f"t = {np.sqrt(s['dimension']):.2g} or before. Right: residual of the best polynomial of degree p, median over all "
    "rays.",
    alt="The network without products is a straight line on every ray, degree 2 a parabola, degree 3 a cubic. The "
    "residual falls to rounding error exactly at p = N, and at p = 1 for the network without products.",
)

# %% [markdown]
# ## Regression in one dimension
#
# The paper's experiment: fit a function on an interval, look at it on one twice as long. The polynomial network has
# biases, the skip recursion, no activation and an affine output; it *is* a polynomial of degree $N$, so the cubic lies
# within its reach and the experiment tests optimisation and inductive bias, not approximation.
#
# The official network has width 1. It is a product of affine functions and often gets stuck, so width 16 is judged and
# width 1 and a version with ReLU are reported. All networks of a target see the same data in the same batches with the
# same optimiser: Adam with weight decay. The ReLU network has four affine layers of width 32 and so several times as
# many parameters as the polynomial one. The small MLP is the narrowest of that depth with at least as many parameters
# as the polynomial network. Errors are root mean squares over test points spread uniformly over the long interval.

# %%
s, line_seeds = sizes.line, chapter.seeds(sizes.line["seeds"])
TARGETS = {  # function, end of the training interval, degree
    "cubic": (lambda x: x**3 + x**2 - 5 * x + 5, 2.5, 3),
    "cos": (lambda x: np.cos(2 * x), 0.75 * np.pi, 10),
    "|x|": (np.abs, 2.5, 3),
}
# errors outside are compared as first / second
COMPARED = (("MLP", "PNN"), ("small MLP", "PNN"), ("MLP", "PNN, width 1"), ("MLP", "PNN, ReLU"))
# least squares: the polynomial of equal degree with the lowest training error
RATIOS = {"cubic": [*COMPARED], "cos": [*COMPARED, ("MLP", "least squares")], "|x|": [("MLP", "PNN")]}
if chapter.full:
    for target in ("cubic", "cos"):
        RATIOS[target].append(("MLP, no decay", "PNN, no decay"))
    RATIOS["cos"].append(("deep MLP", "PNN"))


def networks_for(target):
    """What is fitted to a target: name -> how to build it."""
    degree = TARGETS[target][2]
    pnn = partial(
        PolynomialNet, 1, degree=degree, width=16, activation="identity", skip=True, parametrisation="standard"
    )
    small = next(w for w in range(1, 33) if parameters(partial(mlp, 1, w, depth=4)) >= parameters(pnn))
    every = {
        "PNN": pnn,
        "MLP": partial(mlp, 1, 32, depth=4),
        "small MLP": partial(mlp, 1, small, depth=4),
        "PNN, width 1": partial(pnn, width=1),
        "PNN, ReLU": partial(pnn, activation="relu"),
        "PNN, no decay": pnn,
        "MLP, no decay": partial(mlp, 1, 32, depth=4),
        "deep MLP": partial(mlp, 1, 32, depth=degree + 1),
    }
    compared = {name for pair in RATIOS[target] for name in pair}
    return {name: build for name, build in every.items() if name in compared}


# %%
fitted, predictions, test_points = {}, {}, {}
cooling = partial(ExponentialLR, gamma=(s["last_lr"] / s["lr"]) ** (1 / s["steps"]))
for target, (function, edge, degree) in TARGETS.items():
    rngs = [numpy_generator(i, target, "data") for i in line_seeds]
    x, x_test = (
        np.stack([points.cube(n, 1, end, rng) for rng in rngs])
        for n, end in ((s["train"], edge), (s["test"], 2 * edge))
    )
    test_points[target] = x_test[..., 0]  # (seeds, test points)
    loss = mean_squared_error(tensor(x), tensor(function(x[..., 0])))
    builds = networks_for(target)
    for name, build in builds.items():
        nets = fitted[target, name] = ensemble(build, line_seeds, target, name)
        adam = partial(Adam, lr=s["lr"], weight_decay=0 if "no decay" in name else s["decay"], fused=True)
        batches = shuffles(line_seeds, target, s["train"], s["batch"])
        train(nets, loss, batches, s["steps"], adam, schedule=cooling)
        with torch.no_grad():
            predictions[target, name] = nets(tensor(x_test))[..., 0].double().cpu().numpy()
    predictions[target, "least squares"] = np.stack(
        [np.polynomial.Chebyshev.fit(a, function(a), degree)(b) for a, b in zip(x[..., 0], x_test[..., 0], strict=True)]
    )
    print(f"{target}, parameters:", {name: parameters(build) for name, build in builds.items()})


# %%
def rmse(target, name, low, high):
    """Root mean square error where low < |x| < high, (seeds,)."""
    x = test_points[target]
    error = predictions[target, name] - TARGETS[target][0](x)
    return np.sqrt(np.mean(error**2, -1, where=(low < np.abs(x)) & (np.abs(x) < high)))


def inside(target, name):
    """The error inside the training interval over the target's standard deviation there, (seeds,)."""
    function, edge, _ = TARGETS[target]
    return rmse(target, name, 0, edge) / function(np.linspace(-edge, edge, 10_001)).std()


def ratio(target, a, b, low, high):
    return estimate.paired_ratio(rmse(target, a, low, high), rmse(target, b, low, high))


JUDGED = ("PNN", "MLP")
for target, claim, far in (("cubic", "c6", 5.0), ("cos", "c6b", np.pi)):
    edge = TARGETS[target][1]
    chapter.measure(f"in-range-{target}", error={n: estimate.median(inside(target, n)) for n in JUDGED})
    further = {n: estimate.geometric_mean(rmse(target, n, far, 2 * edge)) for n in JUDGED} if target == "cos" else {}
    chapter.measure(
        claim,
        ratio={f"{a} / {b}": ratio(target, a, b, edge, far) for a, b in RATIOS[target]},
        narrow=estimate.count(inside(target, "PNN, width 1") < 0.1),
        further=further,
    )
chapter.measure("kink", ratio("|x|", "PNN", "MLP", 2.5, 5))

# %% [markdown]
# The ReLU version with biases is piecewise polynomial. On a ray its pieces end at $t_{\mathrm{last}}$, the largest
# $-b/(w^\top v)$ over all units with weight $w$ and bias $b$. Beyond it the sign pattern is frozen and the network is a
# polynomial of degree at most $N$ with a constant term. That place is not bounded by the data: a unit with a small
# weight switches far out. So the ray starts at 1.01 times the larger of $t_{\mathrm{last}}$ and the data's radius and
# is ten times as long. Weight decay drives the weights of unused units towards 0, down to $10^{-30}$, and those units
# would switch only where the numbers overflow: weights below the resolution of single precision are set to 0 first,
# which changes what the networks compute by no more than their own rounding.

# %%
u = np.linspace(1.01, 10, 40)


def misfit_with_biases(target):
    """r_N of the trained ReLU networks beyond the last switch, (2 directions, seeds)."""
    nets, (_, edge, degree) = fitted[target, "PNN, ReLU"].double(), TARGETS[target]
    found, factors = [], nets.module.factors
    for factor in factors:
        factor.weight.data[factor.weight.abs() < np.finfo(np.float32).eps] = 0.0
    for direction in (1.0, -1.0):
        w = torch.stack([f.weight[..., 0] for f in factors]) * direction  # (N, seeds, m)
        b = torch.stack([f.bias for f in factors])
        switch = torch.where(w == 0, 0.0, -b / w).amax((0, 2)).clamp(min=edge)  # (seeds,)
        with torch.no_grad():
            values = nets(direction * switch[:, None, None] * tensor(u[:, None], torch.float64))
        found.append(misfit(values[..., 0].cpu().numpy(), u, degree, lowest=0))
    return found


biases = {target: worst(misfit_with_biases(target)) for target in ("cubic", "cos")}
chapter.measure("c1", enough=enough, too_low=too_low, biases=biases)

# %% tags=["hide-input"]
rows, panels, edges = [], {}, {}
for target, (function, edge, degree) in TARGETS.items():
    title = f"{target}, degree {degree}"
    order = np.argsort(test_points[target][0])[:: max(1, s["test"] // 200)]
    grid = test_points[target][0][order]
    rows.append((title, "target", grid, function(grid)))
    rows += [(title, name, grid, predictions[target, name][0][order]) for name in JUDGED]
    low, high = function(grid).min(), function(grid).max()
    panels[title] = {"ylim": (low - 0.3 * (high - low), high + 0.3 * (high - low))}
    edges[title] = (-edge, edge)
far_error = [further[n].value for n in JUDGED]
chapter.figure(
    table(("panel", "curve", "x", "y"), rows),
    Lines("x", "y", by="curve", gray=["target"]),
    Level(edges, "training interval", axis="x"),
    panel="panel",
    panels=panels,
    caption="Fits of one seed; the training interval is shaded. Outside, the MLP continues in straight lines, the "
    "polynomial network as a polynomial. A polynomial of degree 10 that errs by ε inside may err by "
    f"{np.cosh(10 * np.arccosh(4 / 3)):.0f} ε at x = π. From π to 3π/2 the error at the cosine is {far_error[0]:.2g} "
    f"against {far_error[1]:.2g} for the MLP.",
    alt="Three panels. The polynomial network follows the cubic over the whole interval while the MLP leaves it in "
    "straight lines. At the cosine both leave the target soon after the training interval, the polynomial network "
    "steeply. At |x| the MLP stays near the target and the polynomial network leaves it.",
)

# %% [markdown]
# ## The tangent kernel
#
# The tangent kernel $K(x, z) = \langle \partial f(x)/\partial\theta,\, \partial f(z)/\partial\theta\rangle$ over all
# parameters $\theta$ rules the training of wide networks. Let $\phi$ be the angle between $x$ and $z$,
#
# $$\kappa_0 = \frac{\pi - \phi}{2\pi},\qquad \kappa_1 = \frac{|x||z|}{2\pi}\,(\sin\phi + (\pi - \phi)\cos\phi).$$
#
# As $m \to \infty$ the kernel of the network without skip tends to
# $K_N = 2N\langle x, z\rangle\,\kappa_0\,\kappa_1^{N-1} + 2\kappa_1^N$. With skip let
# $A = \kappa_1 + (|x| + |z|)/\sqrt{2\pi} + 1$; then
# $K_N = 2\langle x, z\rangle\,\kappa_0\,[A^{N-1} + (N-1)\,\kappa_1 A^{N-2}] + 2\kappa_1 A^{N-1}$.
#
# The kernel of a network of width $m$ is an average over its $m$ units, so its error should fall like $m^{-1/2}$. Each
# unit's term is a product of $N$ factors and heavy-tailed; the relative variance of a diagonal entry is about $6^N/m$.
# Measured is the Frobenius norm of the difference over that of the limit, on random unit vectors, as a root mean square
# over initialisations.

# %%
s, init_seeds = sizes.tangent, chapter.seeds(sizes.tangent["inits"])
x = points.sphere(s["points"], s["dimension"], 1.0, numpy_generator(init_seeds[0], "tangent", "points"))


def kernels_at(degree, width):
    """Tangent kernels of networks without skip, (initialisations, n, n), a few networks at a time."""
    step, found = max(1, 2**16 // width), []
    for k in range(0, len(init_seeds), step):
        chunk = init_seeds[k : k + step]
        nets = ensemble(partial(PolynomialNet, s["dimension"], width, degree), chunk, "tangent", width, degree)
        found.append(tangent(nets.double(), tensor(x, torch.float64).expand(len(chunk), -1, -1)).cpu())
    return np.concatenate(found)


def relative_error(kernels, degree):
    limit = polynomial_tangent(x, x, degree)
    return np.linalg.norm(kernels - limit, axis=(1, 2)) / np.linalg.norm(limit)


def rms(errors):
    return np.sqrt(np.mean(np.square(errors)))


def slope_of_rms(*errors):
    return estimate.slopes(np.log(s["widths"]), np.log([rms(e) for e in errors]))[0]


def over_starts(errors):
    return estimate.resampled([errors], rms, "root mean square over initialisations")


kernel_errors, wrong = {}, {}
for n in s["degrees"]:
    for m in s["widths"]:
        kernels = kernels_at(n, m)
        kernel_errors[n, m] = relative_error(kernels, n)
        if m == JUDGED_WIDTH and n > 1:
            wrong[n] = over_starts(relative_error(kernels, n - 1))
slopes = {
    n: estimate.resampled([kernel_errors[n, m] for m in s["widths"]], slope_of_rms, "slope of log error against log m")
    for n in s["degrees"]
}
judged = {n: kernel_errors[n, JUDGED_WIDTH] for n in s["degrees"]}
chapter.measure(
    "c2",
    slope=slopes,
    error={n: over_starts(errors) for n, errors in judged.items()},
    median={n: estimate.median(errors) for n, errors in judged.items() if n > 3},
)
chapter.measure("wrong-degree", error=wrong)

# %% tags=["hide-input"]
widths = np.array(s["widths"])
rows = [(f"N={n}", widths, [rms(kernel_errors[n, m]) for m in widths]) for n in s["degrees"]]
steepness = [slopes[n].value for n in (1, 2, 3)]
chapter.figure(
    table(("degree", "width m", "relative error of the kernel"), [*rows, ("slope -1/2", widths, 2 * widths**-0.5)]),
    Lines("width m", "relative error of the kernel", by="degree", gray=["slope -1/2"]),
    xscale="log",
    yscale="log",
    caption=f"Distance of the finite kernel from its limit, root mean square over {s['inits']} initialisations.",
    alt=f"On logarithmic axes the errors of N = 1, 2 and 3 fall along lines of slope {min(steepness):.2f} to "
    f"{max(steepness):.2f}, close to the guide of slope -1/2; higher degrees have larger errors and scatter around "
    "their lines.",
)

# %% [markdown]
# ## Training follows the kernel
#
# Let $g = f - f_{\mathrm{init}}$: without the subtraction the random output at the start, of order 1, would swamp the
# target. Full-batch gradient descent on $\frac12\sum_i (g(x_i) - y_i)^2$ with step $\eta$ moves an infinitely wide
# network after $S$ steps to
#
# $$g(x) = K(x, X)\,K^{-1}\,\bigl(I - (I - \eta K)^S\bigr)\,y,\qquad K = K(X, X),\ \eta = 1/\lambda_{\max}(K),$$
#
# with $X$ the training points. Both sides are compared at the same time, so neither need converge. Degree 2, no skip.
# The target is $\langle x, u_1\rangle + \langle x, u_2\rangle\langle x, u_3\rangle$ with random unit vectors $u_i$.


# %%
def descend(nets, x, y, step, steps, watch=lambda residual: None):
    """Full-batch gradient descent on (1/2) sum_i (g(x_i) - y_i)^2 with one step size per network.

    x (S, n, d), y (S, n), step (S,). Returns g, and what ``watch`` saw of the residual y - g(X) before each step.
    """
    initial = deepcopy(nets).requires_grad_(False)
    goal, seen = y + initial(x)[..., 0], []

    def loss(nets, _):
        residual = goal - nets(x)[..., 0]
        seen.append(watch(residual.detach()))
        # the step sits in the loss: it differs between networks
        return step * residual.square().sum(1) / 2

    train(nets, loss, repeat(None), steps, partial(SGD, lr=1.0))
    return lambda z: (nets(z) - initial(z))[..., 0].detach(), seen


# %%
s, trained_seeds = sizes.training, chapter.seeds(sizes.training["seeds"])
problems = []
for i in trained_seeds:
    rng = numpy_generator(i, "training")
    x, x_test, u = (points.sphere(n, s["dimension"], 1.0, rng) for n in (s["train"], s["test"], 3))
    y = x @ u[0] + (x @ u[1]) * (x @ u[2])
    kernel, cross = (polynomial_tangent(z, x, 2) for z in (x, x_test))
    step = 1 / np.linalg.eigvalsh(kernel)[-1]
    predicted = KernelDescent(kernel).operator(cross, s["steps"], step=step) @ y
    problems.append((x, y, step, x_test, predicted))
x, y, step, x_test, predicted = map(np.stack, zip(*problems, strict=True))
errors = {}
for m in s["widths"]:
    nets = ensemble(partial(PolynomialNet, s["dimension"], m, 2), trained_seeds, "training", m)
    g, _ = descend(nets, tensor(x), tensor(y), tensor(step), s["steps"])
    difference = g(tensor(x_test)).double().cpu().numpy() - predicted
    errors[m] = np.linalg.norm(difference, axis=1) / np.linalg.norm(predicted, axis=1)
chapter.measure(
    "c3",
    wider={f"m = {b} / at m = {a}": estimate.paired_ratio(errors[b], errors[a]) for a, b in pairwise(errors)},
    slope=estimate.loglog_slope(s["widths"], np.stack(list(errors.values()), 1)),
    widest=estimate.mean(errors[s["widths"][-1]]),
)

# %% [markdown]
# ## The spectrum on the sphere
#
# On the unit sphere of $\mathbb{R}^d$ the kernel depends on $t = \langle x, z\rangle$ alone. Its eigenfunctions are the
# spherical harmonics; all those of degree $k$ share one eigenvalue (Funk-Hecke),
#
# $$\mu_k = \int_{-1}^{1} K(t)\,P_k(t)\,(1 - t^2)^{(d-3)/2}\,dt \Big/ \int_{-1}^{1} (1 - t^2)^{(d-3)/2}\,dt ,$$
#
# with $P_k$ the Gegenbauer polynomial of parameter $(d-2)/2$, $P_k(1) = 1$. Gradient flow shrinks the harmonics of
# degree $k$ at a rate proportional to $\mu_k$. A common factor of the kernel only rescales time, and $K(1)$ changes
# with $N$; so what counts is $\mu_k/\mu_1$.
#
# Two facts help to read the result. For $N = 1$ every odd $k \ge 3$ has eigenvalue exactly 0; for $N \ge 2$ none
# vanishes, since the odd part of $\kappa_1$ is $t/4$ and its powers mix the parities. And for $k$ far above $N$ all
# degrees decay alike up to a constant: the gain lies in the middle of the spectrum and in $\mu_k/\mu_1$, it is no other
# power law at the far end.

# %%
s, DEGREES, VARIANTS = sizes.spectrum, (1, 2, 3, 6, 9), ("skip", "no skip")
COMPUTED = {  # mu_k / K(1) for k = 1, 2, 3, 4, 5, 8, 12, 20; d = 10, no skip; computed before this chapter
    1: (5.00e-2, 4.29e-3, 0, 4.83e-5, 0, 3.93e-7, 1.77e-8, 2.64e-10),
    2: (2.68e-2, 6.33e-3, 8.39e-4, 6.95e-5, 1.21e-5, 3.28e-7, 1.32e-8, 1.85e-10),
    3: (1.53e-2, 5.05e-3, 1.20e-3, 2.02e-4, 2.83e-5, 4.79e-7, 1.68e-8, 2.18e-10),
    6: (4.02e-3, 1.98e-3, 8.39e-4, 3.05e-4, 9.50e-5, 1.67e-6, 2.97e-8, 2.90e-10),
    9: (1.42e-3, 8.37e-4, 4.45e-4, 2.14e-4, 9.27e-5, 4.33e-6, 5.79e-8, 3.61e-10),
}
COLUMNS = [1, 2, 3, 4, 5, 8, 12, 20]


def zonal(t, degree, skip):
    """K(t) for two unit vectors at angle arccos t."""
    z = np.stack([t, np.sqrt(1 - np.square(t))], -1)
    return polynomial_tangent(np.array([[1.0, 0.0]]), z, degree, skip=skip)[0]


relative, at_one, deviation = {}, {}, []  # mu_k / mu_1, K(1), deviations from the table
for v in VARIANTS:
    for n in DEGREES:
        kernel = partial(zonal, degree=n, skip=v == "skip")
        at_one[v, n] = kernel([1.0])[0]
        for d in (3, 10):
            mu = funk_hecke(kernel, d, range(s["highest"] + 1), s["nodes"])
            relative[v, d, n] = mu / mu[1]
        if v == "no skip":  # mu is now that of d = 10
            expected = zip(COLUMNS, COMPUTED[n], strict=True)
            deviation += [np.abs(mu[k] / at_one[v, n] / value - 1) for k, value in expected if value]


def exactly(value, what):
    return estimate.exact(value, tolerance=1e-6 * abs(value) + 1e-15, method=what)


def smallest_rise(v):
    """Of mu_k / mu_1 in ten dimensions."""
    ratios = [relative[v, 10, b][k] / relative[v, 10, a][k] for a, b in pairwise((1, 3, 6, 9)) for k in (4, 8, 12, 20)]
    return exactly(min(ratios), "smallest factor, k in {4, 8, 12, 20}, N in {1, 3, 6, 9}")


odd = [np.abs(r[3::2]).max() for (_, _, n), r in relative.items() if n == 1]
reached = [r[k] for (_, _, n), r in relative.items() if n > 1 for k in (3, 5)]
chapter.measure(
    "c4",
    rise={v: smallest_rise(v) for v in VARIANTS},
    odd=exactly(max(odd), "largest of both dimensions"),
    reached=exactly(min(reached), "smallest of all variants"),
    deviation=exactly(max(deviation), "largest of all entries"),
)

# %% tags=["hide-input"]
ks, rows = np.arange(1, s["highest"] + 1), []
bottom = 0.3 * min(relative["no skip", 10, n][s["highest"]] for n in DEGREES)
for v in VARIANTS[::-1]:
    for n in DEGREES:
        there = (n > 1) | (ks % 2 == 0) | (ks == 1)
        rows.append((v, f"N={n}", ks, np.where(there, relative[v, 10, n][ks], bottom), there))
twelve = [relative["no skip", 10, n][12] / relative["no skip", 10, 1][12] for n in (3, 9)]
chapter.figure(
    table(("variant", "network", "k", "ratio", "not 0"), rows),
    Lines("k", "ratio", by="network", where="`not 0`"),
    Points("k", "ratio", by="network", filled="not 0", where="not `not 0`"),
    panel="variant",
    xticks=range(5, s["highest"] + 1, 5),
    xlabel="degree k of the harmonic",
    ylabel="$\\mu_k / \\mu_1$",
    yscale="log",
    caption="Eigenvalues relative to that of the linear harmonics, d = 10. Open marks at the bottom: the odd "
    f"frequencies that are exactly 0 for N = 1. At k = 12 without skip, N = 3 has {twelve[0]:.2g} times and N = 9 "
    f"{twelve[1]:.2g} times the ratio of N = 1.",
    alt="Two panels, curves falling on a logarithmic axis. Without skip higher degrees lie higher; the gap opens in "
    "the middle of the spectrum and narrows towards its end. With skip the curves lie closer together, and those of N "
    "= 2 and 3 zigzag between even and odd k.",
)

# %% [markdown]
# ## Which frequencies are learned first
#
# The target is a sum of harmonics of several degrees, $y = \sum_k 0.1\,v_k$ with
# $v_k(x) = P_k(\langle x, \zeta_k\rangle)$ for random unit vectors $\zeta_k$ and $k \in \{1, 3, 4, 5, 8, 12\}$, on $n$
# random points of the sphere. Each $v_k$ is divided by its root mean square on the sample. The official code uses the
# Gegenbauer parameter $(d-1)/2$; harmonics of this sphere need $(d-2)/2$, which is used here. Of the residual one
# follows
#
# $$a_k = \frac{1}{\sqrt n}\sum_i v_k(x_i)\,(y_i - f(x_i)),\qquad T_k = \text{first time with } |a_k| \le |a_k(0)|/2 .$$
#
# In the limit of infinite width training is a linear flow, and the residual at time $\tau$ is exactly
# $e^{-\tau K/n} y$. One eigendecomposition gives it for all times. All degrees see the same data.
#
# The paper's size is $d = 10$ and $n = 1000$. That sphere has 935 independent harmonics of degree up to 4, nearly as
# many as there are points. So on the sample the frequencies 5, 8 and 12 cannot be told apart and are halved at about
# the same time: only the comparison of degrees $N$ has a meaning there, not that of frequencies. `quick` has $d = 3$,
# where the sample resolves them.

# %%
FREQUENCIES = (1, 3, 4, 5, 8, 12)


def harmonic_sum(seed, count, dimension):
    """Points (n, d), normalised harmonics (n, frequencies), target (n,)."""
    rng = numpy_generator(seed, "harmonics", count, dimension)
    x, zeta = (points.sphere(c, dimension, 1.0, rng) for c in (count, len(FREQUENCIES)))
    v = np.stack([gegenbauer(k, dimension, x @ z) for k, z in zip(FREQUENCIES, zeta, strict=True)], 1)
    v /= np.sqrt((v**2).mean(0))
    return x, v, 0.1 * v.sum(1)


def halving_times(time, a):
    """T_k of a (times, frequencies), interpolated; the last time where |a_k| is never halved."""
    size, found = np.abs(a), np.full(a.shape[1], time[-1], dtype=float)
    for k, row in enumerate(size.T):
        low = row <= row[0] / 2
        if low.any():
            i = low.argmax()
            found[k] = np.interp(row[0] / 2, row[i - 1 : i + 1][::-1], time[i - 1 : i + 1][::-1])
    return dict(zip(FREQUENCIES, found, strict=True))


# %%
s, flow_seeds = sizes.flow, chapter.seeds(sizes.flow["seeds"])
halved = {v: {n: [] for n in (1, 3, 6, 9)} for v in VARIANTS}  # T_k of each seed
courses = {}  # a_k of the first seed, with skip
for i in flow_seeds:
    x, v, y = harmonic_sum(i, s["points"], s["dimension"])
    for variant, n in [("skip", 1), *((v, n) for v in VARIANTS for n in (3, 6, 9))]:
        descent = KernelDescent(polynomial_tangent(x, x, n, skip=variant == "skip") / len(x))
        time = np.concatenate([[0], np.geomspace(1e-2, 1e7, s["times"])]) / descent.eigenvalues[-1]
        a = descent.residual(y, time) @ v / np.sqrt(len(x))  # (times, frequencies)
        halved[variant][n].append(halving_times(time, a))
        if variant == "skip" and i == flow_seeds[0]:
            courses[n] = time, a
halved["no skip"][1] = halved["skip"][1]  # nothing to skip


def relative_times(times, k):
    """T_k / T_1 of each seed."""
    return np.array([one[k] / one[1] for one in times])


def compared(times, high, low, k):
    """T_k / T_1 at one degree over that at a lower one, paired by seed."""
    return estimate.paired_ratio(relative_times(times[high], k), relative_times(times[low], k))


skip, no_skip = (
    {f"k={k}: N={b} / N={a}": compared(halved[v], b, a, k) for k in (4, 5, 8) for b, a in s["pairs"]} for v in VARIANTS
)
chapter.measure("c5", skip=skip, no_skip=no_skip)
off = [abs(at_one["no skip", n] - (n + 1) * 2 ** (1 - n)) for n in DEGREES]
lowest = {v: [[one[1] for one in times[n]] for n in (9, 1)] for v, times in halved.items()}  # T_1
chapter.measure(
    "scale",
    skip={n: exactly(at_one["skip", n], "exact") for n in (3, 6, 9)},
    no_skip=exactly(max(off), "largest of all"),
    lowest={v: estimate.paired_ratio(*times) for v, times in lowest.items()},
)

# %% tags=["hide-input"]
rows = []
for n in (1, 3, 6, 9):
    time, a = courses[n]
    units = time / halved["skip"][n][0][1]
    drawn = np.flatnonzero((units > 0.1) & (units < 1e6))[:: max(1, len(units) // 150)]
    rows += [
        (f"N={n}, skip", f"k={k}", units[drawn], np.abs(c / c[0])[drawn]) for k, c in zip(FREQUENCIES, a.T, strict=True)
    ]
one, three = (relative["skip", s["dimension"], n][8] for n in (1, 3))
spread = {n: estimate.geometric_mean(relative_times(halved["skip"][n], 8)).value for n in (1, 9)}
chapter.figure(
    table(("network", "frequency", "time / $T_1$", "residual"), rows),
    Lines("time / $T_1$", "residual", by="frequency"),
    Level(0.5),
    panel="network",
    xscale="log",
    yscale="log",
    ylim=(1e-2, 2),
    ylabel="$|a_k(\\tau)| / |a_k(0)|$",
    caption="What is left of each frequency along the exact flow, against time in units of $T_1$ (one seed, d = "
    f"{s['dimension']}). The dotted line is one half. k = 8 is halved {spread[1]:.3g} times later than k = 1 for N = "
    f"1 and {spread[9]:.3g} times later for N = 9 (geometric means). From the eigenvalues alone, without sampling, "
    f"the ratio of N = 3 to N = 1 at k = 8 would be {one / three:.2g}.",
    alt="Four panels. From N = 1 to N = 9 the curves of the high frequencies move to earlier times, closer to that of "
    "k = 1. For N = 1 the odd frequencies 3 and 5 stay up far longer than the even frequency 4.",
)

# %% [markdown]
# **Networks of finite width**, with skip, trained by full-batch gradient descent on
# $\frac{1}{2n}\sum_i (g(x_i) - y_i)^2$. At one fixed step size a higher degree would diverge, so the step is a quarter
# of $1/\lambda_{\max}(K/n)$ of each network's own limit kernel. The networks that are compared have equal width, so the
# higher degree has more parameters. The lower degree is therefore also trained at the width that gives it as many
# parameters; that comparison is reported. All get the same number of steps.

# %%
s, net_seeds = sizes.nets, chapter.seeds(sizes.nets["seeds"])
if LARGE:
    samples = [harmonic_sum(i, s["points"], s["dimension"]) for i in net_seeds]
    x, v, y = map(np.stack, zip(*samples, strict=True))
    on_device, root = tensor(v), np.sqrt(s["points"])

    def watch(residual):
        return torch.einsum("sn,snk->sk", residual, on_device).cpu().numpy() / root

    def net_times(degree, width):
        step = [0.25 / np.linalg.eigvalsh(polynomial_tangent(z, z, degree, skip=True))[-1] for z in x]
        build = partial(PolynomialNet, s["dimension"], width, degree, skip=True)
        nets = ensemble(build, net_seeds, "harmonics", width, degree)
        _, seen = descend(nets, tensor(x), tensor(y), tensor(step), s["steps"], watch)
        return [halving_times(np.arange(s["steps"]), a) for a in np.stack(seen, 1)]

    times = {n: net_times(n, s["width"]) for n in sorted({n for pair in s["pairs"] for n in pair})}
    equal_width, equal_parameters = {}, {}
    for high, low in s["pairs"]:
        d = s["dimension"]  # a unit has N d weights and one on the output
        fair = times | {low: net_times(low, round(s["width"] * (high * d + 1) / (low * d + 1)))}
        for k in s["frequencies"]:
            name = f"k={k}: N={high} / N={low}"
            equal_width[name], equal_parameters[name] = compared(times, high, low, k), compared(fair, high, low, k)
    chapter.measure("c5b", equal_width=equal_width, equal_parameters=equal_parameters)
else:
    no_gpu = "width 32768 and 30000 steps take hours on a GPU and weeks on a processor; no GPU was there: not run"
    chapter.not_tested("c5b", no_gpu)

# %% [markdown]
# ## Verdict

# %% tags=["nbval-check-output"]
chapter.verdicts()

# %%
chapter.report()

# %% [markdown]
# **What was easy.** Everything that can be derived. Along rays the identities hold to rounding error for any weights,
# so c1 tests the arithmetic more than the world; the second half of its criterion, that one degree less is not enough,
# is the part that could have failed. Kernel, spectrum and flow follow from two closed forms.
#
# **What was hard.** The cosine. At the quick sizes its control holds, so both networks have learned it inside; still
# the judged polynomial network loses outside. Was it the implementation? A least-squares fit of the same degree to the
# same data beats the ReLU network next to the interval, so the claim is within reach of the architecture. But a
# polynomial multiplies its error inside on the way out, for degree 10 more than a thousandfold at $\pi$, and gradient
# training leaves too large an error inside. On seeds that are not judged the official step size and number of steps
# were tried, with and without weight decay: the error inside falls, and on most of them the ReLU network still wins
# outside; the paper profile runs this on the judged seeds. The network and its batched training agree with a plain loop
# over units. What helps the cubic hurts here: the polynomial is of the right kind in one case, and in the other an
# approximation that is only good where it was fitted.
#
# The lowest degrees with skip at $k = 8$. The eigenvalues put the ratio of $N = 3$ to $N = 1$ only slightly below 1,
# and random samples scatter more than that. The number of data sets was fixed before, so the comparison, and with it
# c5, stays open at these sizes. All others are clear. Without skip the differences between degrees are larger.
#
# **What the paper leaves out.** "Slower decay" of the spectrum is no other power law: far above the degree all curves
# run parallel. And with skip a higher degree raises the kernel as a whole, so at one step size it learns everything
# sooner, low frequencies too; without skip it is the other way round. A comparison at equal step size mixes the two
# effects. The official width-1 network often fails to fit even inside the interval. And the advantage at the cubic
# belongs to the network without activation, which is a polynomial itself: with ReLU, the form of the theory, it is hardly
# better than the standard network.
#
# **Where this run differs.** The Gegenbauer parameter is that of the sphere, not the official one. Harmonics are
# normalised on the sample. Finite networks are trained with their initial output subtracted and a step set by their own
# kernel, not with one step for all degrees. The judged polynomial network in one dimension has width 16; the ReLU
# network is our choice, with more parameters, and a small one stands beside it. In the paper's profile the
# one-dimensional runs follow the official schedule.
#
# **What is ambiguous.** For the convergence of the kernel the specification names degrees up to four, in the paper
# profile up to six, but gives bounds for degrees up to three; so the higher ones are reported and decide nothing. Where
# one reads the bound on the slope as meant for all of them, the reported slopes say what comes of it: the terms are so
# heavy-tailed that a root mean square over the networks at hand is not settled, and a slope fitted through it may be
# well off -1/2. The specification's claim c5 became c5 and c5b.
