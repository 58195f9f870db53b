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
# # How neural networks extrapolate: from feedforward to graph neural networks
#
# *Keyulu Xu, Mozhi Zhang, Jingling Li, Simon S. Du, Ken-ichi Kawarabayashi, Stefanie Jegelka.
# ICLR 2021* {footcite}`xu2021_extrapolation`
#
# **The question.** A network is trained on points of a bounded region and asked about points far outside it.
# What does it answer? The paper's thesis: a ReLU network turns into a straight line along every ray
# that leaves the data, so alone it can only carry a linear function outward. A graph network can
# still extrapolate an algorithm such as shortest paths, provided that its pooling, or its input features,
# already contains the algorithm's non-linear part and leaves to its learned modules a linear one.
#
# **Why it matters.** It says which part of a problem must be built into an architecture and which
# part may be left to learning, before any training is done.

# %% tags=["parameters"]
profile = "quick"
seed = 0

# %% tags=["hide-input"]
from functools import partial
from itertools import groupby
from types import SimpleNamespace

import numpy as np
import torch
from replib import estimate
from replib.chapter import begin
from replib.data import points
from replib.figures import Bars, Level, Lines, Points, table
from replib.graphs import generators as graphs
from replib.graphs.networks import GNN
from replib.kernels import limit
from replib.kernels.regression import dual_coefficients
from replib.models.mlp import mlp
from replib.physics import bodies
from replib.randomness import numpy_generator, torch_generator
from replib.training.ensemble import Ensemble, Minibatches, mean_squared_error, train
from torch import nn
from torch.optim import Adam
from torch.optim.lr_scheduler import StepLR

chapter = begin("xu2021_extrapolation", profile, seed)
device = chapter.device

# %% [markdown]
# ## What the paper claims
#
# A claim counts only if the controls it needs behave as declared. Criteria come from the specification
# written before this chapter; where a small pilot had been seen, the note says so, and
# the verdicts rest on seeds that the pilot did not use.
#
# One error measure needs a warning. For plain networks the authors' "MAPE" is the *median* absolute percentage
# error over test points, for graph networks the mean, for the three-body task a ratio of vector norms.

# %% tags=["hide-input"]
chapter.claims()

# %% [markdown]
# ## Sizes
#
# `quick` runs the paper's method with smaller dimensions, graphs and widths and about a hundredth of
# its steps, which asks for larger learning rates. `paper` has the official sizes; what takes it hours, the graph and
# three-body networks and the grid of dimensions, shapes, widths and depths, runs only where there is a GPU.
# Two quick settings differ in kind. The cosine is trained on a range of $0.5\pi$ instead of $\pi$, which this budget
# does not learn; it is part of the official grid. The linear target uses a cube, because a sphere of one radius fixes no
# slope along the radius. The specification planned 600 steps for shortest paths; 450 keep the chapter within its minute.

# %% tags=["hide-input"]
# fmt: off
PAPER_MLP = dict(width=128, lr=1e-4, batch=64, steps=500 * 312, halve=50 * 312, every=312)
PAPER_LINEAR = dict(width=256, lr=1e-3, batch=64, steps=500 * 156, halve=50 * 156, every=156)
BOTH, THREE, CURVED = ("cube", "sphere"), (1, 2, 8), ("quadratic", "cos", "sqrt")
SUPPORTS = ("all", "one", "half", "positive", "frozen")
GRID = {
    f"{name} d={d} {shape} {near:g}->{far:g}": (d, shape, near, far)
    for name, dimensions, shapes, ranges in (
        ("quadratic", THREE, BOTH, ((0.5, 5), (1, 10))), ("cos", THREE, BOTH, ((0.5, 2), (1, 4))),
        ("sqrt", THREE, ("cube",), ((1, 10), (2, 20))), ("l1", THREE, BOTH, ((0.5, 5), (1, 10))),
        ("linear", (1, 16, 32), BOTH, ((5, 100), (5, 150), (5, 200))),
    )
    for d in dimensions for shape in shapes for near, far in ranges
} | {f"{name} width={w} depth={h}": None for name in CURVED for w in (64, 128, 256, 512) for h in (2, 4)}
sizes = chapter.sizes(
    quick=dict(
        seeds=8, graph_seeds=5, train=2000, val=500, test=4000, rays=200, linear_scale=5.0,
        targets={  # name: dimension, training shape and range, test range
            "quadratic": (2, "sphere", 1.0, 5.0), "cos": (2, "cube", 0.5, 2.0), "sqrt": (2, "cube", 2.0, 10.0),
            "l1": (2, "sphere", 0.5, 10.0), "linear": (2, "cube", 5.0, 100.0),
        },
        grid={}, kernel_targets=("quadratic",),
        # neighbour pooling / graph pooling, the aligned one first
        degree_poolings=("sum/max", "sum/sum"), path_poolings=("min/min", "sum/sum", "max/min"),
        mlp=dict(width=128, lr=1e-2, batch=64, steps=2000, halve=333, every=50),
        mlp_of={},  # targets that are trained otherwise
        support=dict(dimension=8, train=4000, width=128, lr=1e-2, batch=64, steps=1500, halve=250, every=50),
        degree=dict(train=500, val=200, test=150, nodes=(8, 12), larger=(24, 39), features=None, rounds=1,
                    width=32, lr=0.01, batch=64, steps=400, halve=100, every=50),
        path=dict(train=1500, val=200, test=300, nodes=(6, 8), larger=(12, 16), rounds=2,
                  width=32, lr=0.01, batch=32, steps=450, halve=112, every=50),
        nbody=dict(videos=(50, 200), train=8000, val=500, test=1000, unit=100.0, feature_unit=1e4,
                   width=32, lr=0.005, batch=32, steps=6000, halve=1500, every=50),
    ),
    smoke=dict(
        seeds=2, graph_seeds=2, train=128, val=64, test=200, rays=10, mlp=dict(steps=20, every=10),
        support=dict(train=128, steps=20, every=10), path=dict(train=32, val=18, test=18, steps=5),
        degree=dict(train=64, val=18, test=18, steps=10, larger=(14, 16)),
        nbody=dict(videos=(10, 10), train=200, val=50, test=50, steps=20),
    ),
    paper=dict(
        seeds=5, train=20000, val=1000, test=20000, rays=5000, linear_scale=20.0, grid=GRID,
        kernel_targets=("quadratic", "cos", "l1"),
        degree_poolings=("sum/max", "sum/sum", "max/max"),
        path_poolings=("min/min", "sum/sum", "max/min", "sum/min", "max/max"),
        targets={
            "quadratic": (8, "sphere", 1.0, 5.0), "cos": (2, "cube", 1.0, 2.0), "sqrt": (8, "cube", 2.0, 10.0),
            "l1": (8, "sphere", 0.5, 10.0), "linear": (32, "sphere", 5.0, 200.0),
        },
        mlp=PAPER_MLP,
        mlp_of={
            "sqrt": PAPER_MLP | dict(train=2000, steps=500 * 31, halve=50 * 31, every=31),
            "l1": PAPER_MLP | dict(width=256, lr=1e-3),
            "linear": PAPER_LINEAR | dict(train=10000),
        },
        support=PAPER_LINEAR | dict(dimension=32, train=10000),
        degree=dict(train=5000, val=1000, test=2500, nodes=(20, 29), larger=(50, 99), features=(3, 5.0, 10.0), rounds=2,
                    width=256, lr=0.01, batch=64, steps=300 * 78, halve=50 * 78, every=78),
        path=dict(train=10000, val=1000, test=2500, nodes=(20, 39), larger=(50, 69), rounds=3,
                  width=256, lr=0.005, batch=32, steps=250 * 312, halve=50 * 312, every=312),
        nbody=dict(videos=(100, 100), train=10000, val=2500, test=5000, unit=1.0, feature_unit=1.0,
                   width=128, lr=0.005, batch=32, steps=2000 * 312, halve=50 * 312, every=312),
    ),
)
# fmt: on
LARGE = not chapter.full or device.type == "cuda"  # hours on a GPU, days on a processor
NO_GPU = "at the paper's sizes this takes hours on a GPU and days on a processor; no GPU was there"
seeds, graph_seeds = chapter.seeds(sizes.seeds), chapter.seeds(sizes.graph_seeds)


def tensor(array):
    return torch.as_tensor(np.asarray(array), dtype=torch.float32, device=device)


def fit(build, loss, validation, seeds, train_points, *, lr, batch, steps, halve, every, **_):
    """Train one network per seed with Adam, weight decay 1e-5 and a halving learning rate; keep each one's
    parameters with the lowest validation loss."""
    nets = Ensemble(build, seeds).to(device)
    batches = Minibatches([torch_generator(s, "batches") for s in seeds], train_points, batch)
    adam = partial(Adam, lr=lr, weight_decay=1e-5, fused=True)
    schedule = partial(StepLR, step_size=halve, gamma=0.5)
    train(nets, loss, batches, steps, adam, schedule=schedule, validation=validation, every=every)
    return nets


def fit_regression(x, y, x_val, y_val, seeds, settings, **architecture):
    """Networks for data x (S, n, d), y (S, n)."""
    build = lambda: mlp(x.shape[2], settings["width"], depth=settings.get("depth", 2), **architecture)
    validation = lambda nets: (nets(x_val).squeeze(-1) - y_val).square().mean(1)
    return fit(build, mean_squared_error(x, y), validation, seeds, x.shape[1], **settings)


# %% [markdown]
# ## Plain networks: straight lines outward
#
# A network with one hidden layer, $f(x) = w_2^\top\,\mathrm{relu}(W_1 x + b_1) + b_2$, is trained on five targets:
#
# $$x^\top A x,\qquad \textstyle\sum_i \cos \pi x_i,\qquad \sum_i \sqrt{x_i},\qquad \sum_i |x_i|,\qquad a^\top x .$$
#
# Far out on a ray $tv$ the sign of every hidden unit is settled: unit $i$ contributes
# $t\, w_{2,i} (W_1 v)_i$ if $(W_1 v)_i > 0$ and a constant otherwise. What is left is a line in $t$.
#
# "Outside" means the listed test points that lie beyond the training range. Each seed draws its own target, data and
# initialisation; all networks of equal shape are trained in one pass.

# %%
TARGETS = {
    "quadratic": lambda x, a: ((x @ a) * x).sum(1),
    "cos": lambda x, a: np.cos(np.pi * x).sum(1),
    "sqrt": lambda x, a: np.sqrt(x).sum(1),
    "l1": lambda x, a: np.abs(x).sum(1),
    "linear": lambda x, a: x @ a[0],
}


def draw(function, shape, radius, count, dimension, rng):
    """Points of a training or test distribution; sqrt lives on positive coordinates."""
    sampler = {"sphere": points.sphere, "ball": points.ball, "cube": points.cube}[shape]
    x = sampler(count, dimension, radius, rng)
    return np.abs(x) if function == "sqrt" else x


def beyond(x, shape, radius):
    return np.abs(x).max(1) > radius if shape == "cube" else np.linalg.norm(x, axis=1) > radius


def mlp_data(name, seed):
    """Training, validation, in-range test and test points of one target and seed, with labels."""
    function = name.split()[0]
    dimension, shape, near, far = (sizes.targets | sizes.grid)[name] or sizes.targets[function]
    unit = np.pi if function == "cos" else 1.0
    rng = numpy_generator(seed, name, "data")
    scale = sizes.linear_scale if function == "linear" else 1.0
    a = rng.uniform(-scale, scale, (dimension, dimension))
    train_points = sizes.mlp_of.get(function, {}).get("train", sizes.train)
    x = [draw(function, shape, unit * near, n, dimension, rng) for n in (train_points, sizes.val, sizes.test)]
    test_shape = "ball" if shape == "sphere" else shape
    x.append(draw(function, test_shape, unit * far, sizes.test, dimension, rng))
    return SimpleNamespace(
        name=name, function=function, seed=seed, a=a, shape=shape, radius=unit * near, x=x,
        y=[TARGETS[function](p, a) for p in x], outside=beyond(x[3], shape, unit * near),
    )  # fmt: skip


def median_ape(prediction, y):
    return 100 * np.median(np.abs(prediction - y) / np.abs(y))


def predict(nets, index, x):
    network = nets.network(index)
    with torch.no_grad():  # in pieces: the paper's rays are half a million points
        parts = [network(piece).squeeze(-1).double().cpu() for piece in tensor(x).split(2**16)]
    return torch.cat(parts).numpy()


# %% [markdown]
# **The ray test** {footcite}`xu2021_extrapolation`. For a random direction $v$ take 100 points $t v$ with $t$ from $k_0$, just outside
# the data, to $k_0 + 10\max|x_{\mathrm{test}}|$, and fit a line. Its $R^2$ is 1 for a straight line. For $t^2$ it is
# $1 - \tfrac{1}{180} / (\tfrac{4}{45} + \tfrac{u^2}{3} + \tfrac{u}{3})$ with $u = k_0/L$: between 0.9375 and about 0.96
# here, so 0.99 tells the two apart. The official script forgets the factor $\pi$ in the range of the cosine and so
# starts those rays inside the data; this one does not.


# %%
def ray_r_squared(f, data, rng):
    """R² of a line fitted to f along random rays outside the data: (rays,)."""
    dimension = data.x[0].shape[1]
    v = points.sphere(sizes.rays, dimension, 1.0, rng)
    widest = np.abs(v).max(1) if data.shape == "cube" else 1.0
    start = np.broadcast_to(1.1 * data.radius / widest, sizes.rays)  # just outside the data
    t = start[:, None] + np.linspace(0, 10 * np.abs(data.x[3]).max(), 100)  # (rays, 100)
    values = f((t[:, :, None] * v[:, None, :]).reshape(-1, dimension)).reshape(t.shape)
    tc, vc = t - t.mean(1, keepdims=True), values - values.mean(1, keepdims=True)
    return (tc * vc).sum(1) ** 2 / ((tc**2).sum(1) * (vc**2).sum(1))


# %%
def settings_of(data):
    """Training settings of a target; the grid's names may set width and depth."""
    own = {k: int(v) for k, v in (w.split("=") for w in data.name.split() if "=" in w) if k != "d"}
    return sizes.mlp | sizes.mlp_of.get(data.function, {}) | own


def train_together(data, settings_of=settings_of, **architecture):
    """Train one network per data set, stacking those of one shape; returns rows of results."""
    rows = []
    for _, group in groupby(data, key=lambda d: (d.x[0].shape, tuple(settings_of(d).items()))):
        group = list(group)
        settings = settings_of(group[0])
        x, x_val = (tensor(np.stack([d.x[i] for d in group])) for i in (0, 1))
        y, y_val = (tensor(np.stack([d.y[i] for d in group])) for i in (0, 1))
        starts = [numpy_generator(d.seed, d.name, "initialisation").integers(2**31) for d in group]
        nets = fit_regression(x, y, x_val, y_val, [int(s) for s in starts], settings, **architecture)
        for i, d in enumerate(group):
            network, rays = partial(predict, nets, i), numpy_generator(d.seed, d.name, "rays")
            far = network(d.x[3])
            rows.append(
                SimpleNamespace(
                    data=d, network=network, inside=median_ape(network(d.x[2]), d.y[2]),
                    outside=median_ape(far[d.outside], d.y[3][d.outside]), official=median_ape(far, d.y[3]),
                    r2=ray_r_squared(network, d, rays),
                )
            )  # fmt: skip
    return rows


mlp_rows = train_together([mlp_data(name, s) for name in sizes.targets for s in seeds])


def per_seed(name, what):
    return np.array([np.median(getattr(r, what)) for r in mlp_rows if r.data.name == name])


for name in sizes.targets:
    chapter.measure(f"in-range-{name}", estimate.median(per_seed(name, "inside")))
mean_r2 = {n: [r.r2.mean() for r in mlp_rows if r.data.name == n] for n in CURVED}
chapter.measure(
    "c1",
    r2={n: estimate.mean(per_seed(n, "r2")) for n in sizes.targets},
    mean_over_rays={n: estimate.mean(mean_r2[n]) for n in CURVED},
)
slower = {}
if chapter.full:  # the listed step size does not learn the cosine; is it the step size?
    again = train_together([r.data for r in mlp_rows if r.data.name == "cos"], lambda d: sizes.mlp | {"lr": 1e-3})
    inside, outside = np.array([[r.inside, r.outside] for r in again]).T
    slower = {
        "inside, %": estimate.median(inside),
        "outside / inside": estimate.paired_ratio(outside, inside),
        "ray R²": estimate.mean([np.median(r.r2) for r in again]),
    }
chapter.measure(
    "c2",
    ratio={n: estimate.paired_ratio(per_seed(n, "outside"), per_seed(n, "inside")) for n in (*CURVED, "l1")},
    linear=estimate.mean(per_seed("linear", "outside")),
    official={n: estimate.mean(per_seed(n, "official")) for n in CURVED},
    slower=slower,
)

# %% [markdown]
# The controls of the ray test: the true quadratic on the same rays, and networks whose activation is $z^2$, which can
# represent the target and stay curved for ever.


# %%
class Square(nn.Module):
    leading_axes = True

    def forward(self, z):
        return z.square()


quadratics = [r.data for r in mlp_rows if r.data.name == "quadratic"]
square_rows = train_together(quadratics, activation=Square)
true_r2 = [
    np.median(ray_r_squared(lambda x, d=d: TARGETS["quadratic"](x, d.a), d, numpy_generator(d.seed, "true rays")))
    for d in quadratics
]
square_r2 = [np.median(r.r2) for r in square_rows]
chapter.measure("rays-see-curvature", truth=estimate.mean(true_r2), square=estimate.mean(square_r2))

# %% tags=["hide-input"]
courses, edges = [], {}
for name in sizes.targets:
    row = next(r for r in mlp_rows if r.data.name == name)
    dimension, far = row.data.x[0].shape[1], np.abs(row.data.x[3]).max()
    direction = draw(name, "sphere", 1.0, 1, dimension, numpy_generator(row.data.seed, "figure"))[0]
    t = np.linspace(0 if name == "sqrt" else -far, far, 121)
    x = t[:, None] * direction
    edge = row.data.radius / (np.abs(direction).max() if row.data.shape == "cube" else 1.0)
    edges[name] = (0 if name == "sqrt" else -edge, edge)
    courses += [(name, "target", t, TARGETS[name](x, row.data.a)), (name, "network", t, row.network(x))]
chapter.figure(
    table(("target", "curve", "t", "f"), courses),
    Level(edges, axis="x"),
    Lines("t", "f", by="curve", gray=["target"]),
    panel="target", columns=5, size=(11, 2.8), sharey=False, xlabel="t along a ray",
    caption="Learned functions (blue) and targets (gray, dotted) along one ray of one seed; the training range is shaded. "
    "Outside it every network continues as a straight line.",
    alt="Five panels. Inside the shaded training range network and target coincide. Outside, the networks for the "
    "quadratic, the cosine and the square root leave their targets along straight lines. The one for l1 is straight "
    "too, with slopes of its own on either side; only the linear target is met everywhere.",
)  # fmt: skip

# %% tags=["hide-input"]
pooled = {n: np.concatenate([r.r2 for r in mlp_rows if r.data.name == n]) for n in sizes.targets}
quantiles = [(n, *np.quantile(v, (0.5, 0.01, 0.25, 0.75, 0.99))) for n, v in pooled.items()]
chapter.figure(
    table(("target", "median", "1 %", "25 %", "75 %", "99 %"), quantiles),
    Points("target", "median", interval=("1 %", "99 %")),
    Level(0.99, "criterion, 0.99"),
    Level(np.mean(true_r2), "true quadratic", dash="--"),
    ylabel="R² along rays", ylim=(0.9, 1.005),
    caption="R² of a straight line along random rays outside the data, over all rays and seeds (mark: median; bar: 1 % to "
    f"99 %). The true quadratic reaches {np.mean(true_r2):.3f} on the same rays.",
    alt="Medians with bars: nearly all rays of all five targets lie above 0.99, well above the dashed line of the true "
    "quadratic.",
)  # fmt: skip

# %% [markdown]
# **The L1 norm** is piecewise linear, so a network can extrapolate it, and whether it does hangs on the learning rate
# and the width. At the quick budget the slow setting moves hardly any weight, so it would only show
# underfitting: the pair is compared in the paper profile.

# %%
if chapter.full:
    bad = train_together([r.data for r in mlp_rows if r.data.name == "l1"], lambda d: sizes.mlp)
    good = per_seed("l1", "outside")
    ratio = estimate.paired_ratio([r.outside for r in bad], good)
    chapter.measure("c2-l1", good=estimate.mean(good), bad=ratio)

# %% [markdown]
# ## Which directions the data cover
#
# Theorem 2: a linear target is recovered everywhere if the support of the data meets every direction. Here the training
# cube loses directions: the first coordinate, half of them or all are restricted to positive values, or the first is frozen
# at 0.1. The test cube always covers all signs, and the five networks of a seed share target and test points.


# %%
def support_data(seed, hide):
    """Training, validation and outside test points with one kind of support; y = a.x."""
    dimension, radius, far = sizes.support["dimension"], 5.0, 20.0
    rng = numpy_generator(seed, "support", "target")
    a = rng.uniform(-10, 10, dimension)
    x_test = points.cube(sizes.test, dimension, far, rng)
    x_test = x_test[beyond(x_test, "cube", radius)]
    rng = numpy_generator(seed, "support", hide)
    x = [points.cube(n, dimension, radius, rng) for n in (sizes.support["train"], sizes.val)]
    restricted = {"all": 0, "one": 1, "half": dimension // 2, "positive": dimension, "frozen": 0}[hide]
    for block in x:
        block[:, :restricted] = np.abs(block[:, :restricted])
        if hide == "frozen":
            block[:, 0] = 0.1
    return [*x, x_test], [p @ a for p in (*x, x_test)], restricted


cells = [(s, hide, *support_data(s, hide)) for hide in SUPPORTS for s in seeds]
x_fit, x_val = (tensor(np.stack([c[2][i] for c in cells])) for i in (0, 1))
y_fit, y_val = (tensor(np.stack([c[3][i] for c in cells])) for i in (0, 1))
nets = fit_regression(x_fit, y_fit, x_val, y_val, [c[0] for c in cells], sizes.support)
ape = np.array([median_ape(predict(nets, i, c[2][2]), c[3][2]) for i, c in enumerate(cells)])
support_ape = dict(zip(SUPPORTS, ape.reshape(len(SUPPORTS), -1), strict=True))  # each (seeds,)
restricted = [cells[i * len(seeds)][4] for i in range(4)]
log_ape = np.log(np.stack([support_ape[name] for name in SUPPORTS[:4]], 1))  # (seeds, 4)
chapter.measure(
    "c3",
    error=estimate.mean(support_ape["all"]),
    more={n: estimate.paired_difference(support_ape[n], support_ape["all"]) for n in SUPPORTS[1:]},
    ratio={n: estimate.paired_ratio(support_ape[n], support_ape["all"]) for n in ("half", "positive")},
    slope=estimate.slope(restricted, log_ape),
)

# %% [markdown]
# ## The kernel view, exactly
#
# A very wide network with small steps does kernel regression with the tangent kernel
# {footcite}`jacot2018_ntk`. With $\theta$ the angle between $x$ and $z$, and up to a factor that no prediction depends on,
#
# $$K(x, z) = \underbrace{\langle x, z\rangle\,\frac{\pi - \theta}{2\pi}}_{\text{first layer}} +
#   \underbrace{\frac{|x||z|}{2\pi}\bigl(\sin\theta + (\pi - \theta)\cos\theta\bigr)}_{\text{second layer}} .$$
#
# **Exactness (c4).** Train on the $2d$ points $\pm r q_i$ of an orthogonal basis. For the first-layer kernel the matrix is
# $\tfrac{r^2}{2} I$, and a pair with coefficients $\pm c$ contributes
# $c\, r \langle x, q\rangle [(\pi - \theta) + \theta]/2\pi$: the angle cancels and what remains is linear. The
# official data generator repeats the points up to 1000, which makes the matrix singular; here each appears once.


# %%
def first_layer(x, z):
    return limit.mlp(x, z, depth=2).layers[0]


def both_layers(x, z):
    return limit.mlp(x, z, depth=2).tangent


def opposite_basis(seed, dimension=32, radius=5.0):
    """Worst error on the ±q basis relative to the target's size, and the median relative error on the +q half."""
    rng = numpy_generator(seed, "basis")
    q, _ = np.linalg.qr(rng.uniform(size=(dimension, dimension)))
    a = rng.uniform(-20, 20, dimension)
    x_test = points.ball(2000, dimension, 20.0, rng)
    y_test = x_test @ a
    worst, halved = {}, {}
    for name, kernel in (("first layer", first_layer), ("both layers", both_layers)):
        for x, result in ((radius * np.vstack([q.T, -q.T]), worst), (radius * q.T, halved)):
            alpha = dual_coefficients(kernel(x, x), x @ a)
            error = np.abs(kernel(x_test, x) @ alpha - y_test)
            if result is worst:
                result[name] = error.max() / np.sqrt((y_test**2).mean())
            else:
                result[name] = np.median(error / np.abs(y_test))
    return worst, halved


worst, halved = zip(*map(opposite_basis, seeds), strict=True)
largest = {n: max(w[n] for w in worst) for n in worst[0]}
chapter.measure(
    "c4",
    error={
        n: estimate.exact(v, len(seeds), tolerance=1e-10, method="worst point and seed") for n, v in largest.items()
    },
)
chapter.measure("half-basis", error={n: estimate.mean([h[n] for h in halved]) for n in halved[0]})

# %% [markdown]
# **Rate (c1t).** With a coordinate 1 appended for the bias, the regression function along a ray has the expansion
# $f(tv) = g_0 t + g_1 + g_2/t + \dots$, so its difference quotient approaches
# $\beta_v = g_0 = K([v, 0], X)\,K(X, X)^{-1} y$ like $1/t^2$, inside the theorem's $O(1/t)$. Without that coordinate
# $f(tv) = t f(v)$ exactly and there is nothing to measure.


# %%
def ray_deviation(name, seed, rays=20):
    """|f((t+1)v) - f(tv) - limit| for kernel regression on 80 points: t (T,), deviations (rays, T), twice."""
    rng = numpy_generator(seed, "rate", name)
    x = points.cube(80, 2, 1.0, rng)
    y = TARGETS[name](x, rng.uniform(-1, 1, (2, 2)))
    augment = lambda x, last: np.column_stack([x, np.full(len(x), last)])
    x = augment(x, 1.0)
    alpha = dual_coefficients(both_layers(x, x), y)
    f = lambda z: both_layers(z, x) @ alpha
    v = points.sphere(rays, 2, 1.0, rng)
    slope_at = lambda t: f(augment((t + 1) * v, 1.0)) - f(augment(t * v, 1.0))
    t = np.geomspace(3, 1000, 40)
    slopes = np.stack([slope_at(u) for u in t], 1)  # (rays, T)
    return (t, np.abs(slopes - f(augment(v, 0.0))[:, None]), np.abs(slopes - slope_at(30.0)[:, None]))


def exponent(t, deviation):
    """Median over rays of the log-log slope for t in (30, 1000]."""
    late = t > 30
    return np.median(estimate.slopes(np.log(t[late]), np.log(deviation[:, late])))


rate_runs = {(n, s): ray_deviation(n, s) for n in sizes.kernel_targets for s in seeds}
of_target = [[run for (n, _), run in rate_runs.items() if n == name] for name in sizes.kernel_targets]
rates = np.array([[exponent(t, d) for t, d, _ in runs] for runs in of_target])
wrong = np.array([[exponent(t, w) for t, _, w in runs] for runs in of_target])
chapter.measure("c1t", estimate.mean(rates.max(0)))  # the slowest target of each data seed
chapter.measure("wrong-limit", estimate.mean(wrong.min(0)))

# %% tags=["hide-input"]
shown = {n: estimate.geometric_mean(support_ape[n]) for n in SUPPORTS}
t, deviation, _ = rate_runs[sizes.kernel_targets[0], seeds[0]]
typical = np.median(deviation, 0)
left, right = "error outside, %", "distance from the limit slope"
courses = {"median over rays": typical, f"slope {rates[0, 0]:.2f}": typical[-1] * (t / t[-1]) ** rates[0, 0]}
courses["1/t"] = typical[0] * (t / t[0]) ** -1.0
chapter.figure(
    table(
        ("panel", "support", "value", "low", "high", "curve", "t", "deviation"),
        [(left, n, e, None, np.nan, np.nan) for n, e in shown.items()]
        + [(right, None, np.nan, np.nan, np.nan, name, t, course) for name, course in courses.items()],
    ),
    Bars("support", "value", interval=("low", "high"), where=f"panel == '{left}'"),
    Lines("t", "deviation", by="curve", gray=list(courses)[1:], where=f"panel == '{right}'"),
    panel="panel", size=(9, 3.4), sharey=False, yscale="log", ylabel="",
    panels={left: {"xlabel": "training support"}, right: {"xscale": "log", "xlabel": "t along the ray"}},
    caption="Left: median error outside by training support (geometric mean over seeds, 95 % interval). Right: how "
    "fast the slope of kernel regression along a ray approaches its limit, one data seed.",
    alt=f"Left: the error is {shown['all'].value:.2g} % with full support and grows with every hidden direction, to "
    f"{shown['positive'].value:.3g} % when all coordinates are positive. Right: the deviation falls with exponent "
    f"{rates[0, 0]:.2f}, faster than 1/t.",
)  # fmt: skip

# %% [markdown]
# ## Graph networks: the non-linear step in the architecture
#
# Write an algorithm as a non-linear step that the architecture provides, composed with a step that a module must learn.
# Extrapolation needs the second to be linear. The maximum degree is $\max_v \sum_{u \in N(v)} 1$: with sum and max in the
# architecture the module learns a constant. A shortest path is $d_v = \min_u (d_u + w_{uv})$: with min in the
# architecture it learns a sum. A network that pools otherwise must learn the minimum itself, and what it learned ends with
# the training range.
#
# One round is $h_v \leftarrow \mathrm{pool}_{u \in N(v)}\,\mathrm{MLP}([h_u, h_v, w_{uv}])$; after the last the
# nodes are pooled and read out linearly. Variants share data, steps and widths. They cannot be expected to be equally good
# inside the range, hence ratios of outside to inside error.


# %%
def degree_graphs(count, low, high, spread, rng):
    """Connected Erdős-Rényi graphs labelled with their maximum degree; node features constant or uniform."""
    nodes, p = rng.integers(low, high + 1, count), np.resize(np.arange(1, 10) / 10, count)
    adjacency = graphs.connected_erdos_renyi(nodes, p, rng, size=high)
    mask = np.arange(adjacency.shape[1]) < nodes[:, None]
    features = np.ones((*mask.shape, 1)) if spread is None else rng.uniform(-spread, spread, (*mask.shape, 3))
    return features, mask, adjacency, adjacency.sum(2).max(1)


def path_graphs(count, low, high, heaviest, hops, rng):
    """Shortest-path questions; node features: a random number, is source, is target."""
    nodes, p = rng.integers(low, high + 1, count), np.resize(np.arange(1, 10) / 10, count)
    problems = graphs.path_problems(nodes, p, heaviest, hops, rng, size=high)
    mask = np.arange(problems.adjacency.shape[1]) < nodes[:, None]
    features = np.zeros((*mask.shape, 3))
    features[:, :, 0] = rng.uniform(-5, 5, mask.shape)
    rows = np.arange(count)
    features[rows, problems.source, 1] = features[rows, problems.target, 2] = 1.0
    weights = np.where(problems.adjacency, problems.weights, 0.0)
    return features, mask, problems.adjacency, weights, problems.length


def stacked(sets):
    """One tuple of arrays per seed -> one tuple of tensors (seeds, graphs, ...)."""
    return tuple(
        torch.as_tensor(np.stack(parts), dtype=torch.bool if parts[0].dtype == bool else torch.float32, device=device)
        for parts in zip(*sets, strict=True)
    )


def graph_errors(build, fitting, validating, tests, settings):
    """Train one graph network per seed; mean absolute percentage errors on each test set: (tests, seeds)."""
    rows = torch.arange(len(graph_seeds), device=device).unsqueeze(1)

    def loss(nets, indices):
        *inputs, y = (part[rows, indices.to(device)] for part in fitting)
        return (nets(*inputs) - y).square().mean(1)

    validation = lambda nets: (nets(*validating[:-1]) - validating[-1]).square().mean(1)
    nets = fit(build, loss, validation, graph_seeds, fitting[0].shape[1], **settings)
    with torch.no_grad():
        return np.array([(100 * ((nets(*t[:-1]) - t[-1]) / t[-1]).abs().mean(1)).tolist() for t in tests])


def constant_errors(fitting, tests):
    """The same errors of the best constant in the training range, the mean label."""
    constant = fitting[-1].mean(1, keepdim=True)
    return np.array([(100 * ((constant - t[-1]) / t[-1]).abs().mean(1)).tolist() for t in tests])


# %%
s, errors = sizes.degree, {}
if LARGE:
    spread, spread_outside = s["features"][1:] if s["features"] else (None, None)
    plan = {"train": s["nodes"], "val": s["nodes"], "inside": s["nodes"], "outside": s["larger"]}
    count = {"train": s["train"], "val": s["val"], "inside": s["val"], "outside": s["test"]}
    made = lambda k, i: degree_graphs(
        count[k], *plan[k], spread_outside if k == "outside" else spread, numpy_generator(i, "degree", k)
    )
    sets = [stacked([made(k, i) for i in graph_seeds]) for k in plan]
    degree_constant = constant_errors(sets[0], sets[2:])
    inputs = dict(node_mlp=True, identical=s["features"] is None)
    for variant in sizes.degree_poolings:
        build = partial(GNN, sets[0][0].shape[-1], s["width"], s["rounds"], *variant.split("/"), **inputs)
        errors["degree", variant] = graph_errors(build, *sets[:2], sets[2:], s)
    aligned, *others = (errors["degree", v] for v in sizes.degree_poolings)
    chapter.measure(
        "c5-degree",
        ratio={
            v: estimate.paired_ratio(e[1], aligned[1]) for v, e in zip(sizes.degree_poolings[1:], others, strict=True)
        },
        aligned=estimate.geometric_mean(aligned[1]),
    )

# %%
s = sizes.path
if LARGE:
    plan = {
        "train": (s["train"], s["nodes"], 5),
        "val": (s["val"], s["nodes"], 5),
        "inside": (s["test"], s["nodes"], 5),
    }
    plan["outside"] = (s["test"], s["larger"], 10)
    made = lambda k, i: path_graphs(plan[k][0], *plan[k][1], plan[k][2], s["rounds"], numpy_generator(i, "path", k))
    sets = [stacked([made(k, i) for i in graph_seeds]) for k in plan]
    constant = constant_errors(sets[0], sets[2:])
    for variant in sizes.path_poolings:
        build = partial(GNN, 3, s["width"], s["rounds"], *variant.split("/"), edge_weights=True)
        errors["path", variant] = graph_errors(build, *sets[:2], sets[2:], s)
    ranges = {"degree": degree_constant, "path": constant}
    chapter.measure(
        "gnn-learned",
        degree={v: estimate.paired_ratio(e[0], degree_constant[0]) for (t, v), e in errors.items() if t == "degree"},
        path={v: estimate.paired_ratio(e[0], constant[0]) for (t, v), e in errors.items() if t == "path"},
        degree_outside=estimate.paired_ratio(errors["degree", "sum/max"][1], degree_constant[1]),
        path_outside=estimate.paired_ratio(errors["path", "min/min"][1], constant[1]),
        worse=estimate.count([e[0] >= ranges[task][0] for (task, _), e in errors.items()]),
    )
    others, aligned = sizes.path_poolings[1:], errors["path", "min/min"]
    growth = {v: errors["path", v][1] / errors["path", v][0] for v in sizes.path_poolings}
    chapter.measure(
        "c5-path",
        ratio={v: estimate.paired_ratio(errors["path", v][1], aligned[1]) for v in others},
        growth={} if chapter.full else {v: estimate.paired_ratio(growth[v], growth["min/min"]) for v in others},
        aligned=estimate.geometric_mean(aligned[1] if chapter.full else growth["min/min"]),
    )
else:
    for name in ("c5-degree", "c5-path", "gnn-learned"):
        chapter.not_tested(name, NO_GPU)

# %% [markdown]
# ## Three bodies: the non-linear step in the features
#
# A heavy body and two light ones move under gravity. From the present frame an interaction network predicts all
# velocities of the next: a relation network on [receiver, sender, edge feature], summed over senders, then an object network.
# With the edge feature $G m_j (x_j - x_i)/\max(r, 1)^3$ the network only has to add it to the velocity, a linear
# step; with zeros in its place it must learn the inverse-square law. Training frames have all distances above 30,
# the distance test has all below 20, the mass test has all masses doubled. Frames of the three sets come from different videos.
#
# Persistence, "the next velocity is the present one", is already within a few per cent, so a network must beat it to have
# learned any force. Errors are medians over frames and the two light bodies; the heavy one is nearly at rest and dominates the mean.


# %%
OTHERS = torch.tensor([[1, 2], [0, 2], [0, 1]])  # the senders of each receiver


class InteractionNetwork(nn.Module):
    """state (B, 3, 5), edge features (B, 3, 2, 2) by receiver and sender -> next velocities (B, 3, 2)."""

    leading_axes = True  # the same code runs on (seeds, B, ...)

    def __init__(self, width):
        super().__init__()
        self.relation = mlp(5 + 5 + 2, width, width, depth=4, final=nn.ReLU)
        self.object = mlp(5 + width, width, 2)

    def forward(self, state, edge):
        sender = state[..., OTHERS, :]  # (B, 3, 2, 5)
        receiver = state.unsqueeze(-2).expand_as(sender)
        effect = self.relation(torch.cat([receiver, sender, edge], -1)).sum(-2)  # (B, 3, width)
        return self.object(torch.cat([state, effect], -1))


def frames(seed, kind, count):
    """``count`` frames (state, engineered feature, next velocities), drawn from videos of their own."""
    rng = numpy_generator(seed, "bodies", kind)
    doubled = 2.0 if kind == "mass" else 1.0
    found, videos = [], sizes.nbody["videos"][kind == "train"]
    while sum(len(now) for now, _ in found) < count:
        video = bodies.simulate(bodies.orbits(videos, 3, rng, mass_scale=doubled), 500)  # (500, videos, 3, 5)
        now, following = (part.reshape(-1, 3, 5) for part in (video[:-1], video[1:]))
        distance = bodies.pair_distances(now)
        near = (distance.max(1) < 20) & (distance.max(1) > 1)
        keep = near if kind == "distance" else distance.min(1) > 30
        found.append((now[keep], following[keep]))
    now, following = (np.concatenate(part) for part in zip(*found, strict=True))
    chosen = rng.permutation(len(now))[:count]
    now, following = now[chosen], following[chosen]
    feature = bodies.pull(now)[:, np.arange(3)[:, None], OTHERS.numpy()]  # (frames, 3, 2, 2)
    unit = np.array([1, *[sizes.nbody["unit"]] * 4])
    return (now / unit, feature / sizes.nbody["feature_unit"], following[..., 3:5] / sizes.nbody["unit"])


def body_error(velocity, truth):
    """|v - truth| / |truth| in per cent, (nets, B, 3, 2) -> (2, nets): the median over frames and light bodies, and
    the mean over frames and all bodies, which is the official measure."""
    error = 100 * (velocity - truth).norm(dim=-1) / truth.norm(dim=-1)  # (nets, B, 3)
    light, everything = error[:, :, 1:].flatten(1).median(1).values, error.flatten(1).mean(1)
    return torch.stack([light, everything]).cpu().numpy()


# %%
# both variants of a seed share data, minibatches and initialisation; the plain one sees zeros for the feature
s, body_errors = sizes.nbody, {}
net_seeds = [i for i in graph_seeds for _ in range(2)]
data_row = torch.arange(len(graph_seeds), device=device).repeat_interleave(2)  # (nets,)
sees = torch.tensor([0.0, 1.0], device=device).repeat(len(graph_seeds))[:, None, None, None, None]


def squared(nets, state, feature, truth):
    return (nets(state, sees * feature) - truth).square().mean((1, 2, 3))


if LARGE:
    count = {"train": s["train"], "val": s["val"]} | dict.fromkeys(("inside", "distance", "mass"), s["test"])
    sets = {kind: stacked([frames(i, kind, n) for i in graph_seeds]) for kind, n in count.items()}
    loss = lambda nets, i: squared(nets, *(part[data_row[:, None], i.to(device)] for part in sets["train"]))
    validation = lambda nets: squared(nets, *(part[data_row] for part in sets["val"]))
    nets = fit(lambda: InteractionNetwork(s["width"]), loss, validation, net_seeds, s["train"], **s)
    with torch.no_grad():
        for kind in ("inside", "distance", "mass"):
            state, feature, truth = (part[data_row] for part in sets[kind])
            predicted = body_error(nets(state, sees * feature), truth)  # (2, nets)
            body_errors["persistence", kind] = body_error(state[..., 3:5], truth)[:, ::2]
            body_errors["plain", kind] = predicted[:, ::2]
            body_errors["engineered", kind] = predicted[:, 1::2]

    def ratio(first, second, kind):
        return estimate.paired_ratio(body_errors[first, kind][0], body_errors[second, kind][0])

    chapter.measure("nbody-learned", ratio={v: ratio(v, "persistence", "inside") for v in ("plain", "engineered")})
    chapter.measure(
        "c6-distance",
        ratio=ratio("plain", "engineered", "distance"),
        official={v: estimate.mean(body_errors[v, "distance"][1]) for v in ("plain", "engineered")},
        **({} if chapter.full else {"persistence": ratio("engineered", "persistence", "distance")}),
    )
    if chapter.full:
        chapter.measure("c6-mass", ratio=ratio("plain", "engineered", "mass"))
else:
    for name in ("nbody-learned", "c6-distance", "c6-mass"):
        chapter.not_tested(name, NO_GPU)

# %% tags=["hide-input"]
shown = None
if LARGE:
    tests = {"inside": "inside", "distance": "outside", "mass": "doubled masses"}
    rows = [(task, v, at, e[k]) for (task, v), e in errors.items() for k, at in enumerate(("inside", "outside"))]
    rows += [("three bodies", v, tests[kind], e[0]) for (v, kind), e in body_errors.items()]
    rows = [(task, v, at, estimate.geometric_mean(e)) for task, v, at, e in rows]
    path = {v: e.value for task, v, at, e in rows if (task, at) == ("path", "outside")}
    shown = chapter.figure(
        table(("task", "network", "test", "error", "low", "high"), rows),
        Bars("network", "error", by="test", interval=("low", "high")),
        panel="task", sharey=False, size=(10, 3.6), yscale="log", xlabel="", ylabel="error, %",
        caption="Errors inside and outside the training range by pooling (neighbours/graph) and by edge feature: "
        "geometric means over seeds with 95 % intervals. Aligned variants come first in the graph panels.",
        alt=f"Bars on a logarithmic axis. Outside the range the aligned shortest-path network errs by {path['min/min']:.2g} "
        f"%, the one with sums by {path['sum/sum']:.2g} %; maximum degree shows the same. Of the three-body networks "
        "the one with the engineered feature has the lower error at unseen distances.",
    )  # fmt: skip
shown

# %% [markdown]
# ## The grid
#
# The official scripts list more dimensions, shapes and ranges than the ones judged above, and the theorem holds for every
# width and depth. The whole grid runs in the paper profile where there is a GPU; it is reported and decides nothing.

# %% tags=["hide-input"]
shown = None
if sizes.grid and LARGE:
    grid_rows = train_together([mlp_data(name, i) for name in sizes.grid for i in seeds])
    r2 = {n: np.mean([np.median(r.r2) for r in grid_rows if r.data.name == n]) for n in sizes.grid}
    far = {n: np.mean([r.outside for r in grid_rows if r.data.name == n]) for n in sizes.grid}
    shown = chapter.figure(
        table(
            ("target", "setting", "error outside, %", "R² along rays"), [(n.split()[0], n, far[n], r2[n]) for n in r2]
        ),
        Points("error outside, %", "R² along rays", by="target"),
        xscale="log",
        caption="Every setting of the grid: R² along rays against the error outside, means over seeds.",
        alt=f"The lowest mean R² in the grid is {min(r2.values()):.3f}, whatever the error.",
    )
shown

# %% [markdown]
# ## Verdict

# %% tags=["nbval-check-output"]
chapter.verdicts()

# %%
chapter.report()

# %% [markdown]
# **What was easy.** Everything about plain networks: the straight lines appear in every seed, target and size, and the
# kernel results hold to machine precision. Theorem 1's bound is loose here: the measured exponent agrees with the expansion
# in $1/t$, one order better than the theorem promises.
#
# **What was hard, and what the paper leaves out.** The cosine at the paper's own sizes: with the listed step size
# 1e-4, halved every 50 epochs, 500 epochs do not learn it inside the range, so its control fails there and c1 and c2
# stay open in that profile, although every number would pass. The same networks at step size 1e-3 are reported beside it.
# The data, the range, the step size and the halving were compared with the official scripts, and the batched training
# equals a plain loop in a test.
#
# The three-body task. Its error measure, a mean of norm ratios over all
# bodies, is dominated by the nearly resting heavy body, so the median over the light ones is judged here. At this budget
# the plain network does not reliably beat persistence inside its range, so its failure outside could be mere
# underfitting and the claim stays open, although the ratio alone would pass. Was it the implementation? The simulator
# is tested against closed forms, the network equals a plain loop over pairs, and with twice the steps, on other seeds,
# the plain network does beat persistence; but then the engineered network loses part of its lead at unseen distances.
# What the official 2000 epochs make of that is for a GPU to say.
#
# **What was changed after a first run.** The specification has one control, that every target is learned in range. A
# first run at the paper's sizes failed it for the cosine alone and so left even the L1 pair open. It is now one control
# per target with the same bound, and each claim needs those of its own targets. c1 and c2 still need the cosine's.
#
# **Where this run differs.** "Outside" counts only test points beyond the training range, the official evaluation all of them.
# One median is taken over all test points, the official code averages medians of batches. Variants that are compared
# share data within a seed. Graphs are padded to a dense batch, which gives the same numbers as message passing over
# edge lists. The official grids also train on paths, cycles, ladders, trees and other special graphs; here only the
# general kind is used, on which the claims are judged.
