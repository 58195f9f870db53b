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
# # Optimization of Graph Neural Networks: Implicit Acceleration by Skip Connections and More Depth
#
# *Keyulu Xu, Mozhi Zhang, Stefanie Jegelka, Kenji Kawaguchi. ICML 2021* {footcite}`xu2021_gnn_optimization`
#
# **The question.** Why do graph networks train well, although their loss is not convex? The paper answers for linear
# ones. Gradient training reaches a global minimum, at an exponential rate that can be computed from the graph and the
# weights. And three things make it faster: skip connections, more layers, and labels that carry a signal of the graph.
#
# **Why it matters.** Skip connections and depth are usually explained by what a network can represent. Here the function
# at the start is the same with and without them, and all networks can fit the labels; what changes is the speed alone.
#
# **What was found here.** All of it holds on generated graphs. The bound holds everywhere and is loose, the more so
# with every layer. The speed-up by skip connections and depth at matched weights is an identity and comes out
# to rounding error; over whole runs skip connections give a large acceleration and depth a small one. The gain by depth
# belongs to networks with skip connections: plain ones get slower.

# %% tags=["parameters"]
profile = "quick"
seed = 0

# %% tags=["hide-input"]
from collections import defaultdict, namedtuple
from functools import reduce

import numpy as np
import torch
from replib import estimate
from replib.chapter import begin
from replib.data.registry import fetch
from replib.data.unpickle import load
from replib.figures import Lines, table
from replib.randomness import numpy_generator, torch_generator
from scipy import sparse

chapter = begin("xu2021_gnn_optimization", profile, seed)

# %% [markdown]
# ## Sizes
#
# `quick` has generated graphs: two blocks of nodes, with more edges inside a block than across, and Gaussian features.
# The statements are about any graph. `paper` adds Cora with its standard split, and more variants: GIN aggregation,
# cross-entropy, up to ten layers. It needs no GPU; in a trial it took one processor core about half
# an hour. Citeseer is not available here and is not tested. The sizes and learning rates of the paper's own experiments
# are not known to us.

# %% tags=["hide-input"]
# fmt: off
BLOCKS = dict(nodes=120, inside=0.15, across=0.03)  # two blocks, edge probabilities
UNDER = dict(features=6, labelled=80, outputs=2)  # more labelled nodes than features: L* > 0
OVER = dict(features=24, labelled=20, outputs=2, width=32)  # fewer: L* = 0
CORA = dict(real=True, width=64, depths=(2, 3, 4), steps=2000)
BOUND = UNDER | dict(width=8, depths=(1, 2, 3), steps=3000)
SKIP = OVER | dict(depths=(2, 3, 4), steps=1500)
DEPTH = OVER | dict(depths=(2, 4, 6), steps=1500)
LABELS = OVER | dict(depth=2, steps=1500)
RELU = OVER | dict(steps=400)
sizes = chapter.sizes(
    quick=dict(bound={"": BOUND}, skip={"": SKIP}, depth={"": DEPTH}, labels={"": LABELS}, relu={"": RELU},
               seeds=10, seeds_cora=5),
    smoke=dict(bound={"": BOUND | dict(steps=100)}, skip={"": SKIP | dict(steps=40)}, relu={"": RELU | dict(steps=6)},
               depth={"": DEPTH | dict(steps=40)}, labels={"": LABELS | dict(steps=40)}, seeds=2, seeds_cora=2),
    paper=dict(
        bound={"Cora, ": CORA | dict(width=192, depths=(1, 2, 3, 4, 5, 6)),
               "Cora, ten times as long, ": CORA | dict(width=192, depths=(1, 2), steps=20_000)},
        skip={"Cora, ": CORA, "Cora, GIN, ": CORA | dict(aggregation="GIN"),
              "Cora, cross-entropy, ": CORA | dict(loss="cross-entropy")},
        depth={"": DEPTH | dict(depths=(2, 4, 6, 10)), "Cora, ": CORA | dict(depths=(2, 4, 6, 10))},
        labels={"Cora, ": CORA | dict(depth=2)},
        relu={"GIN, ": OVER | dict(width=64, steps=400, aggregation="GIN"), "Cora, ": CORA | dict(steps=500)},
    ),
)
# fmt: on
IDS = {"": "", "GIN, ": "gin_", "Cora, ": "cora_"}  # how quantities of a variant are called

# %% [markdown]
# ## What the paper claims
#
# A claim counts only if the
# controls it needs behave as declared. Criteria were set before this chapter was written; where a small
# pilot had been seen, the note says so, and the verdicts rest on seeds that the pilot did not use.

# %% tags=["hide-input"]
chapter.claims()

# %% [markdown]
# ## Graphs, features, labels
#
# A graph has $n$ nodes and edges $A$. Its aggregation matrix is $S = D^{-1/2}(A + I)D^{-1/2}$ (GCN), with $D$ the diagonal
# matrix of the row sums of $A + I$, or $S = A + I$ (GIN). Features are $X \in \mathbb{R}^{m_x\times n}$. All that a
# linear network sees are the aggregated features of the $\bar n$ labelled nodes $I$, at each scale $l$:
#
# $$X_l = (X S^l)_{*I} .$$
#
# **Labels.** Signal is $Y = V X S^2$ on $I$ with a Gaussian matrix $V$, plus 5 % noise; on Cora the true classes. Noise is
# independent Gaussian with rows of the same norm; on Cora random classes.
#
# **Two settings.** With 6 features and 80 labelled nodes the labels cannot be fitted exactly, so $L^* > 0$. With 24
# features and 20 labelled nodes every network can fit them, so $L^* = 0$. Only there does a lower loss mean faster
# training; elsewhere it may mean a better optimum.
#
# **Cora.** It has 1433 features, of which two are redundant, and 140 labelled nodes. Only the directions of feature space
# that some labelled node has can matter; the features are rotated into them, which changes no singular value of $X_l$.


# %% tags=["hide-input"]
def block_model(i, features, labelled, **_):
    """Edges (n, n), features (m_x, n) and labelled nodes (n̄,) of one seed."""
    rng, block = numpy_generator(i, "graph"), np.arange(BLOCKS["nodes"]) % 2
    likely = np.where(block[:, None] == block, BLOCKS["inside"], BLOCKS["across"])
    edges = np.triu(rng.random(likely.shape) < likely, 1)
    x = rng.standard_normal((features, len(block)))
    return sparse.csr_array(1.0 * (edges | edges.T)), x, rng.permutation(len(block))[:labelled], None


def cora():
    """The same of Cora's standard split, and the labelled nodes' classes as columns of 0 and 1."""
    files = chapter.data(fetch("Cora"))
    top, rest, links, y = (load(files[f"ind.cora.{p}"]) for p in ("allx", "tx", "graph", "y"))
    x, test = sparse.vstack([top, rest]).toarray(), np.loadtxt(files["ind.cora.test.index"], int)
    x[test] = x[np.sort(test)]  # the files hold the test nodes in an order of their own
    pairs = {(a, b) for v, ends in links.items() for u in ends if u != v for a, b in ((u, v), (v, u))}
    edges = sparse.csr_array((np.ones(len(pairs)), np.array(sorted(pairs)).T), shape=(len(x), len(x)))
    return edges, x.T.astype(float), np.arange(len(y)), y.T.astype(float)


ONE = torch.ones(1, 1, 1).double()
CORA_DATA = cora() if chapter.full else None


def seeds_of(s):
    return chapter.seeds(sizes.seeds_cora if s.get("real") else sizes.seeds)


def tensor(arrays):
    return torch.as_tensor(np.stack(arrays), dtype=torch.float64)


# %%
def aggregation(edges, kind="GCN"):
    s = edges + sparse.eye_array(edges.shape[0])
    root = sparse.diags_array(s.sum(0) ** -0.5)
    return sparse.csr_array(root @ s @ root if kind == "GCN" else s)


def graphs(s):
    """Of each seed: the seed, S, features, labelled nodes, classes if there are any."""
    for i in seeds_of(s):
        edges, *data = CORA_DATA if s.get("real") else block_model(i, **s)
        yield i, aggregation(edges, s.get("aggregation", "GCN")), *data


def labels(i, signal, classes):
    """Signal and noise of one seed, (2, m_y, n̄)."""
    rng = numpy_generator(i, "labels")
    if classes:
        return signal, np.eye(len(signal))[:, rng.integers(len(signal), size=signal.shape[1])]
    y = signal + 0.05 * signal.std(1, keepdims=True) * rng.standard_normal(signal.shape)
    noise = rng.standard_normal(y.shape)
    return y, noise * np.linalg.norm(y, axis=1, keepdims=True) / np.linalg.norm(noise, axis=1, keepdims=True)


def problem(s, scales):
    """X_l (seeds, scales, m_x, n̄), or (1, ...) if all are equal, and labels "signal" and "noise" (seeds, m_y, n̄)."""
    real, xs, ys = s.get("real"), [], []
    for i, matrix, x, at, classes in graphs(s):
        if not (real and xs):  # one graph serves all seeds of Cora
            powers = [x]
            for _ in range(max(2, *scales)):
                powers.append((matrix @ powers[-1].T).T)
            seen = np.stack([powers[level][:, at] for level in scales])
            if real:  # directions that no labelled node has do not matter
                u, size, _ = np.linalg.svd(np.concatenate(seen, 1), full_matrices=False)
                seen = u[:, size > 1e-10 * size[0]].T @ seen
            xs.append(seen)
        v = None if real else numpy_generator(i, "V").standard_normal((s["outputs"], len(x)))
        ys.append(labels(i, classes if real else v @ powers[2][:, at], real))
    return tensor(xs), dict(zip(("signal", "noise"), tensor(ys).unbind(1), strict=True))


# %% [markdown]
# ## The networks
#
# The linear graph network of depth $H$ and its multiscale version with skip connections to the output are
#
# $$f = W B_H\cdots B_1 X_H, \qquad f = \sum_{l=0}^{H} W_l B_l\cdots B_1 X_l .$$
#
# Products are formed from the left, where there are few rows, one per output. So one pass of the multiscale network
# yields the rows of all scales at once.
#
# **Matched starts.** All comparisons begin at the same function. A multiscale network whose heads are all 0 but one *is* a
# plain network. So one stack holds all networks that are compared: they have the same $B_l$ and the same non-zero head, and
# a mask says which heads may move. Layers above the highest head neither act nor move. Entries of $B_l$ and $W$ start as
# $N(0, 1/\text{fan-in})$.


# %%
def plain(p, x):
    """f = W B_H ... B_1 X_H of p = [B_1, ..., B_H, W] and x (nets, ..., m_x, n̄) with X_H last."""
    *layers, product = p
    for b in reversed(layers):
        product = product @ b
    return product @ x[:, -1]


def multiscale(p, x):
    """f = sum_l W_l B_l ... B_1 X_l of p = [B_1, ..., B_H, W_0, ..., W_H] and x (nets, H + 1, m_x, n̄)."""
    layers, heads = p[: len(p) // 2], p[len(p) // 2 :]
    rows = heads[-1]
    for b, w in zip(reversed(layers), heads[-2::-1], strict=True):
        rows = torch.cat([w, rows @ b], 1)  # of all scales at once
    _, scales, features, nodes = x.shape
    rows = rows.view(len(rows), scales, -1, features).transpose(1, 2).flatten(2)
    x = x.reshape(-1, scales * features, nodes)
    return rows @ (x if len(x) > 1 else x[0])


def one_head(p, x):
    """The same where each net has a single head that is not 0, for x (nets, m_x, n̄) at the scale of that head."""
    layers, (*heads, rows) = p[: len(p) // 2], p[len(p) // 2 :]
    for b, w in zip(reversed(layers), reversed(heads), strict=True):
        rows = w + rows @ b
    return rows @ x


Net = namedtuple("Net", "depth at heads labels extra", defaults=("signal", 0))


def skip_net(depth, at=None, **options):
    return Net(depth, depth if at is None else at, range(depth + 1), **options)


def plain_net(depth, **options):
    return Net(depth, depth, (depth,), **options)


def gaussian(s, key, rows, columns, gain=1.0):
    """Entries N(0, gain / fan_in), (seeds, rows, columns)."""
    draw = [torch.randn(rows, columns, generator=torch_generator(i, key)) for i in seeds_of(s)]
    return (gain / columns) ** 0.5 * torch.stack(draw).double()


def start(s, nets, features, outputs, relu=False):
    """All nets in one stack: parameters (nets * seeds, ., .), and masks that are 0 where nothing is trained."""
    depth, wide, count = max(n.depth for n in nets), max(n.extra for n in nets), len(seeds_of(s))
    width = [features, *[s["width"]] * (depth - 1), s["width"] + wide]
    # the units of the last layer that a net has
    usual = torch.tensor([[k < s["width"] + n.extra for k in range(width[-1])] for n in nets for _ in range(count)])
    p, masks = [], []
    matrices = "ab" if relu and s.get("aggregation") == "GIN" else "a"  # of each layer
    for level in range(1, depth + 1):
        mask = usual.double()[..., None] if level == depth else ONE
        for name, fan_in in zip(matrices, width[level - 1 : level + 1], strict=False):
            b = gaussian(s, f"B{level}{name}", width[level], fan_in, gain=2.0 if relu else 1.0)
            p.append(b.repeat(len(nets), 1, 1) * mask)
            masks.append(mask)
    for level in range(depth + 1):
        head = gaussian(s, f"W{level}", outputs, min(width[level], s["width"]))
        head = torch.nn.functional.pad(head, (0, width[level] - head.shape[2]))
        p.append(torch.cat([head if n.at == level else torch.zeros_like(head) for n in nets]))
        used = torch.tensor([level in n.heads for n in nets]).double().repeat_interleave(count)[:, None, None]
        masks.append(used * usual[:, None] if level == depth else used)
    return p, masks


# %% [markdown]
# ## Training
#
# The loss is $L = \lVert f - Y\rVert_F^2$. The theory is about gradient flow; here full-batch gradient descent with a small
# step $\eta$ stands for it, with time $T = \eta\cdot\text{steps}$. The step is 0.2 over the largest Hessian eigenvalue at
# the start, the smallest of all networks that are compared, for each seed. Deep linear networks become more curved on
# their way. So when a loss rises at any step by more than $10^{-9} L(0)$, the step of all networks compared at that seed
# is halved and they start anew.


# %%
squared = lambda f, y: (f - y).square().sum((1, 2))
cross_entropy = lambda f, y: -(y * torch.log_softmax(f, 1)).sum((1, 2))


def gradient(loss, p, **options):
    return torch.autograd.grad(loss.sum(), p, **options)


def energy(parts):
    """Sum of squares over all parameters, (nets,)."""
    return sum(g.square().sum((1, 2)) for g in parts)


def curvature(objective, p, masks):
    """Largest Hessian eigenvalue of each net by 30 power iterations, (nets,)."""
    p = [w.clone().requires_grad_() for w in p]
    slope = gradient(objective(p), p, create_graph=True)
    noise = (torch.randn(w.shape, generator=torch_generator(k, "power")).to(w) for k, w in enumerate(p))
    v = [a * m for a, m in zip(noise, masks, strict=True)]
    for _ in range(30):
        size = energy(v).sqrt()[:, None, None]
        v = [a / size for a in v]
        v = torch.autograd.grad(slope, p, v, retain_graph=True)
        v = [a * m for a, m in zip(v, masks, strict=True)]
    return energy(v).sqrt()


def descend(objective, begin, masks, groups, steps, *, eta=None, watch=None, every=1):
    """Gradient descent on objective(p) -> (nets * seeds,). Nets of one group share a step size per seed.

    Returns losses (steps + 1, nets, seeds), step sizes (nets, seeds), and what ``watch`` saw every so many steps.
    """
    tied = torch.tensor(groups)[:, None] == torch.tensor(groups)  # (nets, nets)
    shape, check = (len(groups), -1), every * -(-50 // every)  # look for a rise every 50 steps or so
    if eta is None:
        eta = 0.2 / curvature(objective, begin, masks).view(shape)
        eta = torch.stack([eta[t].amin(0) for t in tied])
    p, losses, seen = [w.clone().requires_grad_() for w in begin], [], []
    started, step = torch.zeros(eta.numel(), dtype=torch.long), 0  # when each net started anew
    scales = [-eta.view(-1, 1, 1) * m for m in masks]
    while True:
        value = objective(p)
        slope = gradient(value, p)
        losses.append(value.detach())
        if watch and step % every == 0:
            seen.append(watch(p, slope))
        with torch.no_grad():
            for w, scale, g in zip(p, scales, slope, strict=True):
                w.addcmul_(scale, g)
        step += 1
        done = step > started.max() + steps
        if step % check and not done:
            continue
        rise = torch.stack(losses[-check - 1 :]).diff(dim=0)
        at = torch.arange(step - len(rise), step)[:, None]
        counts = (started < at) & (at <= started + steps)
        bad = (counts & ~(rise <= 1e-9 * losses[0])).any(0).view(shape)  # also what is not a number
        bad = torch.stack([bad[t].any(0) for t in tied])
        if done and not bad.any():
            break
        if bad.any() and not step % check:
            eta, again = torch.where(bad, eta / 2, eta), bad.flatten()
            scales, started[again] = [-eta.view(-1, 1, 1) * m for m in masks], step
            with torch.no_grad():
                for w, first in zip(p, begin, strict=True):
                    w[again] = first[again]

    def own(rows, every=1):
        """(steps, nets, ...) on each net's own clock."""
        rows = torch.stack(rows)
        nets = torch.arange(rows.shape[1])
        return rows[(started[nets] + torch.arange(0, steps + 1, every)[:, None]) // every, nets]

    seen = [own(part, every) for part in zip(*seen, strict=True)]
    return own(losses).view(steps + 1, *shape).numpy(), eta.numpy(), seen


def compare(s, nets, forward, x, y, groups, *, loss=squared, relu=False, **options):
    """Train all nets in one stack: losses (steps + 1, nets, seeds), the common start, and what was seen."""
    p, masks = start(s, nets, x.shape[-2], y["signal"].shape[1], relu)
    targets = torch.cat([y[n.labels] for n in nets])
    if len(x) not in (1, len(targets)):  # each net has its own copy
        x = x.repeat(len(nets), 1, 1, 1)
    losses, _, seen = descend(lambda p: loss(forward(p, x), targets), p, masks, groups, s["steps"], **options)
    return losses, p, seen


def time_to(share, losses):
    """First step at which the loss is this share of its start, interpolated in its logarithm; (steps, ...) -> (...)."""

    def first(level):
        i = (level <= 0).argmax()
        return i - 1 + level[i - 1] / (level[i - 1] - level[i]) if level[i] <= 0 else len(level) - 1.0

    return np.apply_along_axis(first, 0, np.log(losses / losses[0]) - np.log(share))


def extreme(values, what="largest over seeds and times"):
    value = float(np.max(values) if "largest" in what else np.min(values))
    return estimate.exact(value, np.size(values), tolerance=1e-3 * abs(value) + 1e-12, method=what)


# %% [markdown]
# ## A bound on the training time
#
# Let $B = B_H\cdots B_1$, let $\sigma$ be the smallest singular value of $X_H$ (of the $\min(m_x, \bar n)$ that it has), and
# $\lambda_T$ the smallest eigenvalue of $B^\top B$ that occurs until time $T$. The rows of $Y$ split into a part within
# the row space of $X_H$ and a rest, whose norm is $L^*$. Moving $W$ alone would already give
#
# $$\frac{dL}{dt} \le -\lVert \partial L/\partial W\rVert_F^2 = -4\,\lVert (f - Y)\,X_H^\top B^\top\rVert_F^2
# \le -4\,\lambda\,\sigma^2\,(L - L^*),$$
#
# because $f - Y$ outside the row space never changes. Integrated, this is the bound
# $L(T) - L^* \le (L(0) - L^*)\,e^{-4\lambda_T\sigma^2 T}$. It needs at least as many hidden units as features, or
# $\lambda = 0$.
#
# Both inequalities become equalities if only $W$ moves, $B$ has orthonormal columns and $X_H$ orthonormal rows; that is
# the control. In the other control one feature is given twice, so $\sigma = 0$: the bound is sufficient, not necessary.


# %%
def optimum(x, y):
    """L* = |Y (I - P)|², P the projector onto the row space of x (seeds, m_x, n̄)."""
    _, size, rows = torch.linalg.svd(x, full_matrices=False)
    rows = rows * (size > 1e-12 * size[:, :1])[..., None]
    return (y - y @ rows.mT @ rows).square().sum((1, 2)).numpy()


product = lambda layers: reduce(lambda total, b: b @ total, layers)


def smallest(x):
    """σ²: square of the smallest of the min(rows, columns) singular values."""
    return torch.linalg.svdvals(x)[..., -1].square().numpy()


def plain_start(s, features, depth, outputs):
    p, _ = start(s, [plain_net(depth)], features, outputs)
    return p[:depth] + p[-1:]


def against_bound(s, x, y, p, **options):
    """Of one run, at every tenth step (times, seeds): T, L - L*, λ(t), the bound, and speed / guaranteed speed."""

    def watch(p, slope):
        return product(p[:-1]).detach().clone(), energy(slope)

    losses, eta, (products, speed) = descend(
        lambda p: squared(plain(p, x), y), p, [ONE] * len(p), [0], s["steps"], watch=watch, every=10, **options
    )
    gram, speed = torch.linalg.eigvalsh(products.mT @ products)[..., 0].numpy(), speed.numpy()
    excess = (losses[:, 0] - optimum(x[:, -1], y))[::10]
    time, sigma = eta[0] * np.arange(0, s["steps"] + 1, 10)[:, None], smallest(x[:, -1])
    limit = excess[0] * np.exp(-4 * np.minimum.accumulate(gram) * sigma * time)
    moving = excess > 1e-9 * excess[0]
    return time, excess, gram, limit, speed[moving] / (4 * gram * sigma * excess)[moving]


def worst_ratio(excess, limit):
    looks = np.linspace(1, len(limit) - 1, 50).astype(int)  # not the start, where both agree
    return extreme((excess / limit)[looks], "largest over seeds and 50 times")


thin = lambda values: values[:: max(1, len(values) // 75)]
c1, c2, shown = defaultdict(dict), defaultdict(dict), []
for w, s in sizes.bound.items():
    for h in s["depths"]:
        key, (x, y) = f"{w}H={h}", problem(s, [h])
        y = y["signal"]
        p = plain_start(s, x.shape[2], h, y.shape[1])
        time, excess, gram, limit, speed = against_bound(s, x, y, p)
        c1["ratio"][key] = worst_ratio(excess, limit)
        c1["speed"][key] = extreme(speed, "smallest over seeds and times")
        c1["end"][key] = extreme(excess[-1] / excess[0], "largest over seeds")
        sigma, lowest = np.broadcast_to(smallest(x[:, -1]), len(y)), gram.min(0)
        c2["both"][key] = estimate.count((sigma > 1e-8) & (lowest > 1e-8))
        c2["sigma"][key], c2["gram"][key] = estimate.geometric_mean(sigma), estimate.geometric_mean(lowest)
        if w:
            raw = reduce(lambda seen, _: (aggregation(CORA_DATA[0]) @ seen.T).T, range(h), CORA_DATA[1])
            c2["raw"][key] = extreme(smallest(torch.as_tensor(raw)), "smallest")
        else:
            shown.append((f"H = {h}", *(thin(part[:, 0]) for part in (time, excess, limit))))
        if key == "H=2":
            short, half = s | dict(steps=min(1000, s["steps"])), torch.as_tensor(time[1:2] / 20)
            _, excess, _, limit, _ = against_bound(short, x, y, p, eta=half)
            c1["half_step"] = worst_ratio(excess, limit)
chapter.measure("c1", **c1)
chapter.measure("c2", **c2)

# %%
s = sizes.bound[""]
x, y = problem(s, [2])
y, features = y["signal"], x.shape[2]
orthonormal = torch.linalg.qr(x.mT)[0].mT
p = plain_start(s, features, 2, y.shape[1])
p[:2] = [torch.linalg.qr(b)[0] for b in p[:2]]
fixed = torch.full((1, len(y)), 0.005).double()
masks = [0 * ONE, 0 * ONE, ONE]  # W alone moves
losses, *_ = descend(lambda p: squared(plain(p, orthonormal), y), p, masks, [0], 400, eta=fixed)
excess = losses[:, 0] - optimum(orthonormal[:, -1], y)
chapter.measure("tight", estimate.mean(-estimate.slopes(0.005 * np.arange(401), np.log(excess.T))))

twice = torch.cat([x, x[:, :, :1]], 2)
p, steps = plain_start(s, features + 1, 2, y.shape[1]), min(1000, s["steps"])
losses, *_ = descend(lambda p: squared(plain(p, twice), y), p, [ONE] * len(p), [0], steps)
excess = losses[:, 0] - optimum(twice[:, -1], y)
sigma = extreme(smallest(twice[:, -1]), "largest over seeds")
chapter.measure("duplicate", sigma=sigma, end=extreme(excess[-1] / excess[0], "largest over seeds"))


# %% tags=["hide-input"]
limits = {panel: {"ylim": (1e-10 * excess[0], 3 * excess[0])} for panel, _, excess, _ in shown}
chapter.figure(
    table(("depth", "time", "excess loss", "bound"), shown),
    Lines("time", ("excess loss", "bound")),
    panel="depth",
    panels=limits,
    yscale="log",
    xlabel="time T",
    ylabel="loss above the optimum",
    caption="Loss above the optimum and its bound (dashed) against time, one seed. Both axes differ between the "
    "panels only in the range of time and loss.",
    alt="Three panels, one per depth, on a logarithmic axis. The measured curve lies below the bound at all times. "
    "For one layer the bound falls visibly; for two and three layers it is almost flat while the loss falls by orders "
    "of magnitude.",
)

# %% [markdown]
# ## Skip connections
#
# Take a plain network and the multiscale one at the same weights, the added heads 0. They compute the same function and
# have the same gradient in the shared weights. What the multiscale network has in addition is the gradient in its
# added heads, so under gradient flow
#
# $$\frac{dL_{\text{multi}}}{dt} - \frac{dL_{\text{plain}}}{dt} = -\sum_{l<H}\left\|\frac{\partial L}{\partial W_l}\right\|_F^2 .$$
#
# The two sides are computed apart along the plain network's path: the left from the automatic gradients of two separate
# functions, the right by hand as $\lVert D\,(B_l\cdots B_1X_l)^\top\rVert^2$ with $D = \partial L/\partial f$.
#
# The identity holds at one instant. Whether the multiscale network stays ahead over a whole run is a question for the
# experiment. Two objections are met. The multiscale network has more parameters: so a plain network gets as many, in a
# wider last layer whose added units start with outgoing weights 0, which is a matched start too. And at one common step
# the network with the larger gradient moves further: so both also run with a step of their own curvature, and times are
# counted in steps.


# %%
def head_energy(p, x, y, loss, level):
    """|dL/dW_l|² = |D (B_l ... B_1 X_l)^T|² with D = dL/df, by hand."""
    f = multiscale(p, x).detach().requires_grad_()
    outer = gradient(loss(f, y), [f])[0]
    h = product(p[:level]) @ x[:, level] if level else x[:, 0]
    return (outer @ h.mT).square().sum((1, 2))


def speeds(forward, p, x, y, loss):
    """-dL/dt under gradient flow, (nets,)."""
    p = [w.detach().clone().requires_grad_() for w in p]
    return energy(gradient(loss(forward(p, x), y), p))


c3, wider, skip_runs = defaultdict(dict), {}, {}
for w, s in sizes.skip.items():
    loss = cross_entropy if s.get("loss") == "cross-entropy" else squared
    for h in s["depths"]:
        key, (x, y) = f"{w}H={h}", problem(s, range(h + 1))
        seeds, outputs, features = *y["signal"].shape[:2], x.shape[2]
        added = outputs * (features + (h - 1) * s["width"])  # parameters of the added heads
        extra = -(-added // (s["width"] + outputs))
        nets = [plain_net(h), skip_net(h), plain_net(h, extra=extra), plain_net(h), skip_net(h)]
        sides, target = [], y["signal"]
        watched = dict(watch=lambda p, _: [v[:seeds].detach().clone() for v in p], every=s["steps"] // 20)
        losses, _, seen = compare(s, nets, multiscale, x, y, [0, 0, 0, 1, 2], loss=loss, **watched)
        for p in zip(*seen, strict=True):  # the plain net, seen as a multiscale net whose other heads are 0
            both = speeds(multiscale, p, x, target, loss)
            alone = speeds(plain, p[:h] + p[-1:], x, target, loss)
            heads = torch.stack([head_energy(p, x, target, loss, k) for k in range(h)])
            sides.append((both, alone, heads.sum(0), heads[0]))
        both, alone, heads, lowest = (torch.stack(side).numpy() for side in zip(*sides, strict=True))
        lower = (losses[1:, 1] < losses[1:, 0]).mean(0)
        t = time_to(0.1, losses)
        c3["identity"][key] = extreme(np.abs(both - alone - heads) / both, "largest over seeds and 20 times")
        c3["lower"][key] = estimate.mean(lower)
        c3["time"][key] = estimate.paired_ratio(t[0], t[1])
        c3["own_steps"][key] = estimate.paired_ratio(t[3], t[4])
        c3["lowest_head"][key] = estimate.mean(lowest[0] / heads[0])
        if w:
            c3["in_order"][key] = estimate.count(lower >= 0.9)
        wider[key] = estimate.paired_ratio(t[2], t[1])
        skip_runs[key] = losses, both - alone, heads
chapter.measure("c3", **c3)
chapter.measure("wider", time=wider)

# %%
s = sizes.skip[""]
x, y = problem(s, range(max(sizes.depth[""]["depths"]) + 1))
left = [optimum(x[:, level], v) / v.square().sum((1, 2)).numpy() for level in range(x.shape[1]) for v in y.values()]
small, y_small = problem(sizes.bound[""], range(4))
apart = optimum(small[:, 3], y_small["signal"]) / optimum(small.flatten(1, 2), y_small["signal"])
largest = extreme(left, "largest over seeds, scales and labels")
chapter.measure("same-optimum", largest=largest, other_sizes=estimate.geometric_mean(apart))


# %% tags=["hide-input"]
def course(panel, network, losses):
    """Rows of a figure: geometric mean over seeds of L / L(0), for losses (steps + 1, seeds)."""
    mean = np.exp(np.log(np.maximum(losses / losses[0], 1e-30)).mean(1))
    return panel, network, thin(np.arange(len(mean))), thin(mean)


entries = [
    course(f"H = {h}", name, skip_runs[f"H={h}"][0][:, k])
    for h in sizes.skip[""]["depths"]
    for name, k in (("multiscale", 1), ("plain, wider", 2), ("plain", 0))
]
every = sizes.skip[""]["steps"] // 20
for name, side in zip(("difference of speeds", "energy of heads"), skip_runs["H=3"][1:], strict=True):
    entries.append(("two sides, H = 3", name, every * np.arange(1, len(side), 4), side[1::4, 0]))
chapter.figure(
    table(("panel", "curve", "step", "value"), entries),
    Lines("step", "value", by="curve"),
    panel="panel",
    panels={"two sides, H = 3": {"yscale": "linear", "ylabel": "", "xlabel": "step of the plain network"}},
    yscale="log",
    ylabel="L / L(0)",
    caption="Left: loss of plain and multiscale networks from the same start with the same step, geometric mean over "
    "seeds. Right: the two sides of the identity along the path of one plain network; the curves lie on each other.",
    alt="Three panels of falling curves for depths 2, 3 and 4: the multiscale network falls far below the plain one, "
    "and the wider plain network stays with the plain one. In the fourth panel the two sides are equal.",
)

# %% [markdown]
# ## Depth
#
# The same argument with layers: a multiscale network of depth $H' > H$ with heads 0 above $H$ is the network of depth
# $H$, and its loss falls faster by $\sum_{H<l\le H'}\lVert\partial L/\partial W_l\rVert^2$. All networks start with only
# $W_2$ non-zero. Beside them stand plain networks of the same depths. There the argument does not apply: a plain network
# sees $X_H$ only, and each aggregation averages over neighbours and shrinks the small singular values.

# %%
c4, depth_runs = {}, {}
for w, s in sizes.depth.items():
    depths, deepest, seeds = s["depths"], max(s["depths"]), len(seeds_of(s))
    x, y = problem(s, range(deepest + 1))
    together, seen = [0] * len(depths), torch.cat([x[:, h].expand(seeds, -1, -1) for h in depths])
    losses, p, _ = compare(s, [skip_net(h, at=2) for h in depths], multiscale, x, y, together)
    plain_losses, *_ = compare(s, [plain_net(h) for h in depths], one_head, seen, y, together)
    deep, errors = [v[:seeds] for v in p], []
    # the nested net of depth h at the common start: parameters, X_0 ... X_h
    cut = lambda h: (deep[:h] + deep[deepest : deepest + h + 1], x[:, : h + 1])
    shallow = speeds(multiscale, *cut(2), y["signal"], squared)
    for h in depths[1:]:
        more = speeds(multiscale, *cut(h), y["signal"], squared)
        heads = sum(head_energy(*cut(h), y["signal"], squared, level) for level in range(3, h + 1))
        errors.append((torch.abs(more - shallow - heads) / more).numpy())
    c4[f"{IDS[w]}identity"] = extreme(errors, "largest over seeds and depths")
    for name, run in (("time", losses), ("plain", plain_losses)):
        depth_runs[f"{w}{name}"] = first, *others = time_to(0.1, run)
        c4[f"{IDS[w]}{name}"] = {h: estimate.paired_ratio(first, t) for h, t in zip(depths[1:], others, strict=True)}
    c4[f"{IDS[w]}reached"] = estimate.count((plain_losses <= 0.1 * plain_losses[0]).any(0))
chapter.measure("c4", **c4)

# %% [markdown]
# ## Labels
#
# Same graphs, same starts, other labels. Signal lies along the large singular directions of the aggregated features,
# noise is spread over all; the alignment $\lVert YX_H^\top\rVert^2/\lVert Y\rVert^2$ of the two is compared. The step is the
# smaller one of the two kinds of labels.

# %%
c5, label_runs = {}, {}
for w, s in sizes.labels.items():
    h = s["depth"]
    x, y = problem(s, range(h + 1))
    nets = [net(h, labels=kind) for net in (plain_net, skip_net) for kind in ("signal", "noise")]
    losses, *_ = compare(s, nets, multiscale, x, y, [0, 0, 1, 1])
    t = time_to(0.5, losses)
    aligned = {k: ((v @ x[:, h].mT).square().sum((1, 2)) / v.square().sum((1, 2))).numpy() for k, v in y.items()}
    c5[f"{IDS[w]}plain"] = estimate.paired_ratio(t[1], t[0])
    c5[f"{IDS[w]}multiscale"] = estimate.paired_ratio(t[3], t[2])
    c5[f"{IDS[w]}alignment"] = estimate.paired_ratio(aligned["signal"], aligned["noise"])
    label_runs[w] = losses
chapter.measure("c5", **c5)

# %% tags=["hide-input"]
depths = sizes.depth[""]["depths"]
x, _ = problem(sizes.depth[""], range(max(depths) + 1))
scales, singular = np.arange(x.shape[1]), np.exp(np.log(smallest(x)).mean(0))
entries = []
for key, name in (("time", "multiscale"), ("plain", "plain")):
    entries.append(("time", name, depths, np.exp(np.log(depth_runs[key]).mean(1))))
entries.append(("smallest singular value", "$\\sigma^2$ of $X_l$", scales, singular))
for k, name in enumerate(("plain, signal", "plain, noise", "multiscale, signal", "multiscale, noise")):
    entries.append(course("labels", name, label_runs[""][:, k]))
chapter.figure(
    table(("panel", "curve", "x", "value"), entries),
    Lines("x", "value", by="curve"),
    panel="panel",
    panels={
        "time": {"xlabel": "depth H", "ylabel": "steps to 10 % of L(0)", "xticks": depths},
        "smallest singular value": {"xlabel": "scale l", "ylabel": ""},
        "labels": {"xlabel": "step", "ylabel": "L / L(0)"},
    },
    yscale="log",
    caption="Left: steps to a tenth of the initial loss against depth; plain runs that do not get there count with "
    "the last step. Each kind of network has a step size of its own, so levels are comparable within a curve only. "
    "Middle: what aggregation leaves of the smallest singular value. Right: signal against noise at depth 2. "
    "Geometric means over seeds.",
    alt="Left: the time of multiscale networks falls with depth, that of plain networks rises. Middle: the smallest "
    "singular value falls by orders of magnitude with every few aggregations. Right: for both networks the loss falls "
    "faster on signal than on noise.",
)

# %% [markdown]
# ## ReLU networks
#
# The theory is about linear networks; what it says is tried on $h^0 = X$, $h^l = \mathrm{relu}(B_l h^{l-1} S)$ and
# $f = \sum_l W_l h^l$, again with matched starts and plain gradient descent, without momentum. Entries of $B_l$ are
# $N(0, 2/\text{fan-in})$. Plain and skip networks have three layers; the skip networks of two, three and four layers
# start with only $W_2$ non-zero. GIN layers, in the paper's profile, have two matrices each. Measured is the mean over all
# steps of $\log(L/L(0))$.


# %%
def multiplication(s, matrices, copies):
    """h -> h M: one sparse matrix M for all nets, or one for each of which the first ``out`` are left out."""
    if s.get("real"):
        m = sparse.coo_array(matrices[0])
        m = torch.sparse_coo_tensor(np.stack(m.coords), m.data, m.shape, check_invariants=True).coalesce()
        return lambda h, out=0: (m.mT @ h.flatten(0, 1).mT).mT.view(*h.shape[:2], -1)
    dense = tensor([m.toarray() if sparse.issparse(m) else m for m in matrices]).repeat(copies, 1, 1)
    return lambda h, out=0: h @ dense[out:]


def relu_data(s, copies):
    """Multiplications with X S, S and the labelled columns of S; where these are; and those of X."""
    found = [((m @ x.T).T, m, m[:, at], at, x[:, at]) for _, m, x, at, _ in graphs(s)]
    *parts, at, x = zip(*found, strict=True)
    parts = [multiplication(s, part, copies) for part in parts]
    return *parts, torch.as_tensor(np.stack(at)).repeat(copies, 1)[:, None], tensor(x).repeat(copies, 1, 1)


def relu_net(p, data, depths, x):
    """f = sum_l W_l h^l, h^0 = X, h^l = relu(B_l h^(l-1) S), at the labelled nodes; depths (nets,) never fall."""
    first, everywhere, near, at = data
    deepest = depths[-1]
    layers, heads = p[: -deepest - 1], p[-deepest - 1 :]
    each = len(layers) // deepest
    f = heads[0] @ x
    for level in range(1, deepest + 1):
        out = sum(d < level for d in depths) * len(x) // len(depths)  # nets that have no such layer
        b, *second = (w[out:] for w in layers[each * (level - 1) : each * level])
        aggregate = near if level == deepest else everywhere
        h = first(b) if level == 1 else aggregate(b @ h[len(h) - len(b) :], out)
        h = h.relu()
        for c in second:  # GIN has two matrices per layer
            h = (c @ h).relu()
        seen = h if level == deepest else h.gather(2, at[out:].expand(-1, h.shape[1], -1))
        f = torch.cat([f[:out], f[out:] + heads[level][out:] @ seen])
    return f


def relu_train(s, nets, y):
    depths, (*data, x) = [n.depth for n in nets], relu_data(s, len(nets))
    return compare(s, nets, lambda p, x: relu_net(p, data, depths, x), x, y, [0] * len(nets), relu=True)[0]


c6, relu_runs = {}, {}
for w, s in sizes.relu.items():
    _, y = problem(s, [2])
    three = relu_train(s, [plain_net(3), skip_net(3), skip_net(3, labels="noise")], y)
    nested = relu_train(s, [skip_net(h, at=2) for h in (2, 3, 4)], y)
    (alone, skip, noise), (two, _, four) = (np.log(part / part[0]).mean(0) for part in (three, nested))
    c6[f"{IDS[w]}skip"] = estimate.paired_difference(skip, alone)
    c6[f"{IDS[w]}signal"] = estimate.paired_difference(skip, noise)
    c6[f"{IDS[w]}depth"] = estimate.paired_difference(four, two)
    relu_runs[w] = three, nested
chapter.measure("c6", **c6)

# %% tags=["hide-input"]
three, nested = relu_runs[""]
names = "plain, signal", "skip, signal", "skip, noise"
entries = [course("three layers", name, three[:, k]) for k, name in enumerate(names)]
entries += [course("skip, more layers", f"H = {h}", nested[:, k]) for k, h in enumerate((2, 3, 4))]
chapter.figure(
    table(("panel", "network", "step", "L / L(0)"), entries),
    Lines("step", "L / L(0)", by="network"),
    panel="panel",
    yscale="log",
    caption="ReLU graph networks from matched starts, geometric mean over seeds.",
    alt="Left: the skip network falls faster than the plain one, and faster on signal than on noise. Right: the "
    "curves of two, three and four layers lie close together.",
)

# %% [markdown]
# ## Verdict

# %% tags=["nbval-check-output"]
chapter.verdicts()

# %%
chapter.report()

# %% [markdown]
# **What was easy.** The identities. At matched weights they are a line of algebra, so they test the arithmetic more than the
# world. The bound is nearly as safe: its proof uses the gradient of the last layer only, and the others can only help.
#
# **What was hard.** To compare speeds and nothing else. With more labelled nodes than features the multiscale network
# has a much better optimum than the plain one, and a lower loss says nothing about speed. So the comparisons run where
# every network can reach loss 0. Step sizes matter as much: the curvature of deep linear networks grows on the way, and
# some seeds had to be restarted with half the step.
#
# **What the paper leaves out.** The rate in the bound *falls* with depth, because aggregation shrinks the smallest
# singular value and a product of more Gaussian matrices has a smaller $\lambda$, while multiscale networks train faster
# with depth. The bound proves that training converges; it does not explain how fast. It is the identity that
# explains the acceleration. It also says where the acceleration comes from: in this setting most of the added
# energy is in the head $W_0$, which sees the features before any aggregation. Some of the advantage at a common step may
# be that the network with more heads has a larger gradient and so takes larger strides; the runs with each network's own
# step show what remains. And the gain by depth is there for multiscale networks only.
#
# **Where this run differs.** Initialisation, step sizes, widths and graphs are our choice. For ReLU networks the depth
# criterion asks for the mean alone, as set before the run; whether its interval excludes zero is in the table. The version of the
# bound for multiscale networks, which takes the smallest $\lambda$ over all scales, was not tested.
#
# **What a trial on Cora says.** The paper profile was tried on seeds that are not judged. With GCN aggregation and squared
# loss, what was found on generated graphs comes back, with smaller factors. More than four aggregations make the smallest
# singular value so small that the guaranteed time has no practical meaning. The bound held, but 2000 steps, the number set
# before, missed the mark of c1 for the final excess loss, narrowly with one layer and clearly with two. Ten times as many
# steps reached it; the profile reports that run beside the judged one. Two variants that are reported only show where the
# claim about whole runs ends. With cross-entropy the identity holds too, and the multiscale network starts faster; but
# after a few percent of the steps the plain network has overtaken it. With GIN aggregation the added heads gain
# next to nothing, and a wider plain network is faster than the multiscale one. Why was not examined.
