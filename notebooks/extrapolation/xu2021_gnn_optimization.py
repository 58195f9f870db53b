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
from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import torch
from replib import estimate, figures
from replib.chapter import Explore, begin
from replib.claims import above, below, equals, reported
from replib.data.registry import fetch
from replib.data.unpickle import load
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
OVER = dict(features=24, labelled=20, outputs=2)  # fewer: L* = 0
CORA = dict(real=True)
QUICK = SimpleNamespace(
    seeds=10, seeds_cora=5,
    bound={"": UNDER | dict(width=8, depths=(1, 2, 3), steps=3000)},
    skip={"": OVER | dict(width=32, depths=(2, 3, 4), steps=1500)},
    depth={"": OVER | dict(width=32, depths=(2, 4, 6), steps=1500)},
    labels={"": OVER | dict(width=32, depth=2, steps=1500)},
    relu={"": OVER | dict(width=32, steps=400)},
)
SMOKE = SimpleNamespace(seeds=2, seeds_cora=2)
for part, steps in dict(bound=100, skip=40, depth=40, labels=40, relu=6).items():
    setattr(SMOKE, part, {"": getattr(QUICK, part)[""] | dict(steps=steps)})
LONG = CORA | dict(width=64, steps=2000)
PAPER = SimpleNamespace(
    seeds=10, seeds_cora=5,
    bound=QUICK.bound | {
        "Cora, ": CORA | dict(width=192, depths=(1, 2, 3, 4, 5, 6), steps=2000),
        "Cora, ten times as long, ": CORA | dict(width=192, depths=(1, 2), steps=20_000),
    },
    skip=QUICK.skip | {
        "Cora, ": LONG | dict(depths=(2, 3, 4)),
        "Cora, GIN, ": LONG | dict(depths=(2, 3, 4), aggregation="GIN"),
        "Cora, cross-entropy, ": LONG | dict(depths=(2, 3, 4), loss="cross-entropy"),
    },
    depth={"": QUICK.depth[""] | dict(depths=(2, 4, 6, 10)), "Cora, ": LONG | dict(depths=(2, 4, 6, 10))},
    labels=QUICK.labels | {"Cora, ": LONG | dict(depth=2)},
    relu={
        "": QUICK.relu[""],
        "GIN, ": OVER | dict(width=64, steps=400, aggregation="GIN"),
        "Cora, ": LONG | dict(steps=500),
    },
)
# fmt: on
sizes = {"smoke": SMOKE, "quick": QUICK, "paper": PAPER}[profile]
SETS = {"": chapter.seeds(sizes.seeds)}
if any(s.get("real") for s in sizes.bound.values()):
    SETS["Cora, "] = chapter.seeds(sizes.seeds_cora)

# %% [markdown]
# ## What the paper claims
#
# Every claim and every control is declared here with its criterion, before anything is run. A claim counts only if the
# controls it needs behave as declared. Criteria were set before this chapter was written; where a small
# pilot had been seen, the note says so, and the verdicts rest on seeds that the pilot did not use.

# %% tags=["hide-input"]
PILOT = "A small pilot was seen before the cut-off was set; it used other seeds."
NO_FIGURE = "no figures; direction only"


def decides(where):
    """Squared loss and GCN aggregation are judged, other variants reported."""
    return where in ("", "Cora, ")


chapter.control(
    "tight",
    "Where the bound is an equality, training of W alone with orthonormal factors, the excess loss falls at rate 4.",
    equals(4, within=0.08),
    note="With random weights the bound is loose, so a wrong constant would pass unnoticed.",
)
chapter.control(
    "duplicate",
    "With a feature given twice the smallest singular value is 0 and the bound says nothing; the loss may still fall.",
    {"σ²": below(1e-12), "excess loss at the end": reported()},
)
chapter.control(
    "same-optimum",
    "In the comparisons of speed every net can reach loss 0.",
    {"largest L* / |Y|²": below(1e-20), "other sizes: L* plain / L* multiscale, H=3": reported()},
    note="Where the optima differ, a lower loss is capacity, not speed.",
)
chapter.control(
    "wider",
    "A plain net with as many parameters, in a wider last layer, is still slower than the multiscale net.",
    {
        f"{w}H={h}: time plain / multiscale": above(1) if decides(w) else reported()
        for w, s in sizes.skip.items()
        for h in s["depths"]
    },
    note="Times to 10 % of the initial loss. " + PILOT,
)
chapter.claim(
    "c1",
    "Gradient training of a linear graph network reaches a global minimum, at an exponential rate that can be "
    "computed from the graph and the weights.",
    {
        f"{w}H={h}: {what}": criterion if decides(w) and (h < 3 or "start" not in what) else reported()
        for w, s in sizes.bound.items()
        for h in s["depths"]
        for what, criterion in {
            "largest excess loss / bound": below(1.02),
            "smallest speed / guaranteed speed": above(1 - 1e-6),
            "excess loss, end / start": below(1e-3),
        }.items()
    }
    | {"H=2: largest excess loss / bound, half the step": below(1.02)},
    paper="L(T) - L* ≤ (L(0) - L*) exp(-4 λ_T σ² T)",
    source="Theorem 1; statement in the abstract, the constant [recalled, not verified] and [derived]",
    needs=("tight", "duplicate"),
    note="Largest and smallest over times and seeds. " + PILOT,
)
chapter.claim(
    "c2",
    "The two conditions of the bound hold: the aggregated features have no zero singular value, and the product of the "
    "weights stays non-degenerate while training.",
    {
        f"{w}H={h}: {what}": above(0.9 * sizes.seeds - 0.5) if not w and "seeds" in what else reported()
        for w, s in sizes.bound.items()
        for h in s["depths"]
        for what in ("seeds with both above 1e-8", "σ²", "λ_T", *(["raw σ², all nodes"] if w else []))
    },
    paper="values for Cora and Citeseer, not known to us; direction only",
    source="Section 3; statement in the abstract",
    note="Judged on generated graphs: at least 9 of 10 seeds. Citeseer is not available here: not tested there.",
)
chapter.claim(
    "c3",
    "Skip connections accelerate training: at matched weights by exactly the gradient energy of the added heads, and "
    "over a whole run the loss is lower at every matched time.",
    {
        f"{w}H={h}: {what}": criterion if decides(w) else reported()
        for w, s in sizes.skip.items()
        for h in s["depths"]
        for what, criterion in {
            "error of the identity": below(1e-6),
            "share of steps with lower loss": above(0.9, clear_of=0.7),
            "time plain / multiscale": reported(),
            "time plain / multiscale, own steps": reported(),
            "share of W₀ in the energy at the start": reported(),
        }.items()
    }
    | {
        f"{w}H={h}: seeds in order": above(sizes.seeds_cora - 0.5) if decides(w) else reported()
        for w, s in sizes.skip.items()
        if w
        for h in s["depths"]
    },
    paper=NO_FIGURE,
    source="theorems on multiscale networks, Section 4; direction in the abstract, identity [derived]",
    needs=("same-optimum", "wider"),
    note="Times to 10 % of the initial loss; a net that does not get there counts with the last step. " + PILOT,
)
chapter.claim(
    "c4",
    "More depth accelerates training: layers added to a multiscale net with heads of zero change nothing at first and "
    "speed it up by exactly their gradient energy.",
    {
        f"{w}{what}": criterion
        for w, s in sizes.depth.items()
        for what, criterion in {
            "error of the identity": below(1e-6),
            "time H=2 / H=6": above(1),
            **{f"time H=2 / H={h}": reported() for h in s["depths"] if h not in (2, 6)},
            **{f"plain nets: time H=2 / H={h}": reported() for h in s["depths"][1:]},
            "plain nets: runs that reach 10 %": reported(),
        }.items()
    },
    paper=NO_FIGURE,
    source="Section 4; direction in the abstract, identity [derived]",
    needs=("same-optimum",),
    note="Times to 10 % of the initial loss. The identity is about multiscale nets; plain nets are reported.",
)
chapter.claim(
    "c5",
    "Labels that carry a signal of the graph train faster than noise.",
    {f"{w}{net}: time noise / signal": above(1) for w in sizes.labels for net in ("plain", "multiscale")}
    | {f"{w}alignment signal / noise": reported() for w in sizes.labels},
    paper=NO_FIGURE,
    source="Section 4; direction in the abstract",
    needs=("same-optimum",),
    note="Time in which the excess loss is halved.",
)
chapter.claim(
    "c6",
    "Graph networks with ReLU order the same way: skip, depth and signal make training faster.",
    {
        f"{w}{what}": criterion if decides(w) else reported()
        for w in sizes.relu
        for what, criterion in {
            "skip - plain": below(0),
            "signal - noise": below(0),
            "H=4 - H=2": below(0, clear_of=np.inf),
        }.items()
    },
    paper=NO_FIGURE,
    source="experiments; direction in the abstract",
    note="Mean over the steps of log(L / L(0)), differences paired by seed. For depth the mean alone decides.",
)
chapter.declarations()

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


CORA_DATA = cora() if "Cora, " in SETS else None


def seeds_of(s):
    return SETS["Cora, " if s.get("real") else ""]


def tensor(arrays):
    return torch.as_tensor(np.stack(arrays), dtype=torch.float64)


# %%
def aggregation(edges, kind="GCN"):
    s = edges + sparse.eye_array(edges.shape[0])
    root = sparse.diags_array(s.sum(0) ** -0.5)
    return sparse.csr_array(root @ s @ root if kind == "GCN" else s)


def labels(i, signal, classes):
    """Signal and noise of one seed, (2, m_y, n̄)."""
    rng = numpy_generator(i, "labels")
    if classes:
        return signal, np.eye(len(signal))[:, rng.integers(len(signal), size=signal.shape[1])]
    y = signal + 0.05 * signal.std(1, keepdims=True) * rng.standard_normal(signal.shape)
    noise = rng.standard_normal(y.shape)
    return y, noise * np.linalg.norm(y, axis=1, keepdims=True) / np.linalg.norm(noise, axis=1, keepdims=True)


def problem(s, scales):
    """X_l (seeds, scales, m_x, n̄), or (1, ...) if all are equal, and labels y["signal"], y["noise"] (seeds, m_y, n̄)."""
    real, xs, ys = s.get("real"), [], []
    for i in seeds_of(s):
        edges, x, at, classes = CORA_DATA if real else block_model(i, **s)
        if not (real and xs):  # one graph serves all seeds of Cora
            matrix, powers = aggregation(edges, s.get("aggregation", "GCN")), [x]
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


def start(s, nets, features, outputs, gain=1.0, mlp=False):
    """All nets in one stack: parameters (nets * seeds, ., .), and masks that are 0 where nothing is trained."""
    depth, wide, count = max(n.depth for n in nets), max(n.extra for n in nets), len(seeds_of(s))
    width = [features, *[s["width"]] * (depth - 1), s["width"] + wide]
    usual = torch.tensor([[k < s["width"] + n.extra for k in range(width[-1])] for n in nets]).double()
    usual = usual.repeat_interleave(count, 0)  # the units of the last layer that a net has
    p, masks = [], []
    for level in range(1, depth + 1):
        shapes = [(width[level], width[level - 1])] + [(width[level], width[level])] * mlp
        for k, shape in enumerate(shapes):
            p.append(gaussian(s, f"B{level}{'ab'[k]}", *shape, gain).repeat(len(nets), 1, 1))
            masks.append(usual[..., None] if level == depth else torch.ones(1, 1, 1).double())
    for level in range(depth + 1):
        w = torch.zeros(len(nets), count, outputs, width[level]).double()
        for k, net in enumerate(nets):
            if net.at == level:
                w[k, ..., : s["width"]] = gaussian(s, f"W{level}", outputs, min(width[level], s["width"]))
        used = torch.tensor([level in n.heads for n in nets]).double().repeat_interleave(count)[:, None, None]
        p.append(w.flatten(0, 1))
        masks.append(used * usual[:, None] if level == depth else used)
    for k, mask in enumerate(masks[: -depth - 1]):
        p[k] = p[k] * mask
    return p, masks


def stacked(nets, x, y):
    """Inputs and targets of all nets."""
    return x if len(x) == 1 else x.repeat(len(nets), 1, 1, 1), torch.cat([y[n.labels] for n in nets])


# %% [markdown]
# ## Training
#
# The loss is $L = \lVert f - Y\rVert_F^2$. The theory is about gradient flow; here full-batch gradient descent with a small
# step $\eta$ stands for it, with time $T = \eta\cdot\text{steps}$. The step is 0.2 over the largest Hessian eigenvalue at
# the start, the smallest of all networks that are compared, for each seed. Deep linear networks become more curved on
# their way. So when a loss rises at any step by more than $10^{-9} L(0)$, the step of all networks compared at that seed
# is halved and they start anew.


# %%
def squared(f, y):
    return (f - y).square().sum((1, 2))


def cross_entropy(f, y):
    return -(y * torch.log_softmax(f, 1)).sum((1, 2))


def gradient(loss, p, **options):
    return torch.autograd.grad(loss.sum(), p, **options)


def energy(parts):
    """Sum of squares over all parameters, (nets,)."""
    return sum(g.square().sum((1, 2)) for g in parts)


def curvature(objective, p, masks):
    """Largest Hessian eigenvalue of each net by 30 power iterations, (nets,)."""
    p = [w.clone().requires_grad_() for w in p]
    slope = gradient(objective(p), p, create_graph=True)
    v = [
        torch.randn(w.shape, generator=torch_generator(k, "power")).to(w) * m
        for k, (w, m) in enumerate(zip(p, masks, strict=True))
    ]
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


def time_to(share, losses, optimum=0.0):
    """First step at which the excess is this share of its start, between steps on its logarithm; (steps, ...) -> (...)."""
    level = np.log((losses - optimum) / (losses[0] - optimum)) - np.log(share)
    flat = level.reshape(len(level), -1)
    found = np.full(flat.shape[1], len(flat) - 1.0)
    for k, row in enumerate(flat.T):
        if (row <= 0).any():
            i = (row <= 0).argmax()
            found[k] = i - 1 + row[i - 1] / (row[i - 1] - row[i])
    return found.reshape(level.shape[1:])


def extreme(values, what="largest over seeds and times", n=None):
    value = float(np.max(values) if "largest" in what else np.min(values))
    return estimate.exact(value, n or np.size(values), tolerance=1e-3 * abs(value) + 1e-12, method=what)


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


def product(layers):
    total = layers[0]
    for b in layers[1:]:
        total = b @ total
    return total


def smallest(x):
    """σ²: square of the smallest of the min(rows, columns) singular values."""
    return torch.linalg.svdvals(x)[..., -1].square().numpy()


def train_plain(s, x, y, p, masks=None, **options):
    """Losses (steps + 1, seeds), step sizes (seeds,), and of every tenth step: B^(1:H) and -dL/dt."""
    masks = masks or [torch.ones(1, 1, 1).double()] * len(p)

    def watch(p, slope):
        return product(p[:-1]).detach().clone(), energy(slope)

    losses, eta, (products, speed) = descend(
        lambda p: squared(plain(p, x), y), p, masks, [0], s["steps"], watch=watch, every=10, **options
    )
    gram = torch.linalg.eigvalsh(products.mT @ products)[..., 0].numpy()
    return losses[:, 0], eta[0], gram, speed.numpy()


def plain_start(s, features, depth, outputs):
    p, _ = start(s, [plain_net(depth)], features, outputs)
    return p[:depth] + p[-1:]


LOOKS = 50


def against_bound(s, x, y, p, **options):
    """Of one run, at every tenth step (times, seeds): T, L - L*, λ(t), the bound, and speed / guaranteed speed."""
    losses, eta, gram, speed = train_plain(s, x, y, p, **options)
    excess = (losses - optimum(x[:, -1], y))[::10]
    time, sigma = eta * np.arange(0, s["steps"] + 1, 10)[:, None], smallest(x[:, -1])
    limit = excess[0] * np.exp(-4 * np.minimum.accumulate(gram) * sigma * time)
    moving = excess > 1e-9 * excess[0]
    return time, excess, gram, limit, speed[moving] / (4 * gram * sigma * excess)[moving]


def worst_ratio(excess, limit):
    looks = np.linspace(1, len(limit) - 1, LOOKS).astype(int)  # not the start, where both agree
    return extreme((excess / limit)[looks], "largest over seeds and 50 times")


c1, c2, bound_runs = {}, {}, {}
for w, s in sizes.bound.items():
    for h in s["depths"]:
        name, (x, y) = f"{w}H={h}: ", problem(s, [h])
        y = y["signal"]
        p = plain_start(s, x.shape[2], h, y.shape[1])
        time, excess, gram, limit, speed = against_bound(s, x, y, p)
        c1 |= {
            f"{name}largest excess loss / bound": worst_ratio(excess, limit),
            f"{name}smallest speed / guaranteed speed": extreme(speed, "smallest over seeds and times"),
            f"{name}excess loss, end / start": extreme(excess[-1] / excess[0], "largest over seeds"),
        }
        sigma, lowest = np.broadcast_to(smallest(x[:, -1]), len(y)), gram.min(0)
        c2 |= {
            f"{name}seeds with both above 1e-8": estimate.count((sigma > 1e-8) & (lowest > 1e-8)),
            f"{name}σ²": estimate.geometric_mean(sigma),
            f"{name}λ_T": estimate.geometric_mean(lowest),
        }
        if w:
            raw = CORA_DATA[1]
            for _ in range(h):
                raw = (aggregation(CORA_DATA[0]) @ raw.T).T
            c2[f"{name}raw σ², all nodes"] = extreme(smallest(torch.as_tensor(raw)), "smallest")
        bound_runs[w, h] = time, excess, limit
        if w == "" and h == 2:
            short, half = s | dict(steps=min(1000, s["steps"])), torch.as_tensor(time[1:2] / 20)
            _, excess, _, limit, _ = against_bound(short, x, y, p, eta=half)
            c1["H=2: largest excess loss / bound, half the step"] = worst_ratio(excess, limit)
chapter.measure("c1", **c1)
chapter.measure("c2", **c2)

# %%
s = sizes.bound[""]
x, y = problem(s, [2])
y, features = y["signal"], x.shape[2]
orthonormal = torch.linalg.qr(x.mT)[0].mT
p = plain_start(s, features, 2, y.shape[1])
p[:2] = [torch.linalg.qr(b)[0] for b in p[:2]]
only_w = [torch.zeros(1, 1, 1).double()] * 2 + [torch.ones(1, 1, 1).double()]
fixed = torch.full((1, len(y)), 0.005).double()
losses, *_ = train_plain(s | dict(steps=400), orthonormal, y, p, only_w, eta=fixed)
excess = losses - optimum(orthonormal[:, -1], y)
chapter.measure("tight", estimate.mean(-estimate.slopes(0.005 * np.arange(401), np.log(excess.T))))

twice = torch.cat([x, x[:, :, :1]], 2)
losses, *_ = train_plain(s | dict(steps=min(1000, s["steps"])), twice, y, plain_start(s, features + 1, 2, y.shape[1]))
excess = losses - optimum(twice[:, -1], y)
chapter.measure(
    "duplicate",
    **{
        "σ²": extreme(smallest(twice[:, -1]), "largest over seeds"),
        "excess loss at the end": extreme(excess[-1] / excess[0], "largest over seeds"),
    },
)


# %% tags=["hide-input"]
def thin(values, count=75):
    return values[:: max(1, len(values) // count)]


with figures.figure(columns=3, size=(10, 3.2)) as (fig, axes):
    columns = {"depth": [], "time": [], "excess loss": [], "bound": []}
    for ax, h in zip(axes, sizes.bound[""]["depths"], strict=True):
        time, excess, limit = (part[:, 0] for part in bound_runs["", h])
        drawn = [thin(part) for part in (time, excess, limit)]
        ax.plot(drawn[0], drawn[1], color=figures.PALETTE[0], label="$L - L^*$")
        ax.plot(drawn[0], drawn[2], color=figures.PALETTE[1], ls="--", label="bound")
        ax.set(yscale="log", xlabel="time T", title=f"H = {h}", ylim=(1e-10 * excess[0], 3 * excess[0]))
        figures.fill(columns, h, *drawn)
    axes[0].set(ylabel="loss above the optimum")
    axes[-1].legend(loc="lower left")
    figure_1 = chapter.figure(
        fig,
        "Loss above the optimum and its bound against time, one seed. Both axes differ between the panels only in the range of time and loss.",
        "Three panels, one per depth, on a logarithmic axis. The measured curve lies below the bound at all times. For one layer the bound falls "
        "visibly; for two and three layers it is almost flat while the loss falls by orders of magnitude.",
        columns,
        explore=Explore(x="time", y=("excess loss", "bound"), choose="depth", log="y"),
    )
figure_1

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
LOSSES = {"squared": squared, "cross-entropy": cross_entropy}


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


c3, wider, skip_runs, identity = {}, {}, {}, {}
for w, s in sizes.skip.items():
    loss = LOSSES[s.get("loss", "squared")]
    for h in s["depths"]:
        x, y = problem(s, range(h + 1))
        seeds, outputs, features = *y["signal"].shape[:2], x.shape[2]
        added = outputs * (features + (h - 1) * s["width"])  # parameters of the added heads
        extra = -(-added // (s["width"] + outputs))
        nets = [plain_net(h), skip_net(h), plain_net(h, extra=extra), plain_net(h), skip_net(h)]
        p, masks = start(s, nets, features, outputs)
        inputs, targets = stacked(nets, x, y)

        def watch(p, _):
            return [v[:seeds].detach().clone() for v in p]

        losses, eta, seen = descend(
            lambda p: loss(multiscale(p, inputs), targets),
            p,
            masks,
            [0, 0, 0, 1, 2],
            s["steps"],
            watch=watch,
            every=s["steps"] // 20,
        )
        sides, target = [], targets[:seeds]
        for p in zip(*seen, strict=True):  # the plain net, seen as a multiscale net whose other heads are 0
            both = speeds(multiscale, p, x, target, loss)
            alone = speeds(plain, p[:h] + p[-1:], x, target, loss)
            heads = torch.stack([head_energy(p, x, target, loss, k) for k in range(h)])
            sides.append((both, alone, heads.sum(0), heads[0]))
        both, alone, heads, lowest = (torch.stack(side).numpy() for side in zip(*sides, strict=True))
        lower = (losses[1:, 1] < losses[1:, 0]).mean(0)
        t = time_to(0.1, losses)
        c3 |= {
            f"{w}H={h}: error of the identity": extreme(
                np.abs(both - alone - heads) / both, "largest over seeds and 20 times"
            ),
            f"{w}H={h}: share of steps with lower loss": estimate.mean(lower),
            f"{w}H={h}: time plain / multiscale": estimate.paired_ratio(t[0], t[1]),
            f"{w}H={h}: time plain / multiscale, own steps": estimate.paired_ratio(t[3], t[4]),
        }
        share = estimate.mean(lowest[0] / heads[0])
        c3[f"{w}H={h}: share of W₀ in the energy at the start"] = share
        if w:
            c3[f"{w}H={h}: seeds in order"] = estimate.count(lower >= 0.9)
        wider[f"{w}H={h}: time plain / multiscale"] = estimate.paired_ratio(t[2], t[1])
        skip_runs[w, h] = losses
        identity[w, h] = both - alone, heads
chapter.measure("c3", **c3)
chapter.measure("wider", **wider)

# %%
s = sizes.skip[""]
x, y = problem(s, range(max(sizes.depth[""]["depths"]) + 1))
left = [optimum(x[:, level], v) / v.square().sum((1, 2)).numpy() for level in range(x.shape[1]) for v in y.values()]
small, y_small = problem(sizes.bound[""], range(4))
apart = optimum(small[:, 3], y_small["signal"]) / optimum(small.flatten(1, 2), y_small["signal"])
chapter.measure(
    "same-optimum",
    **{
        "largest L* / |Y|²": extreme(left, "largest over seeds, scales and labels"),
        "other sizes: L* plain / L* multiscale, H=3": estimate.geometric_mean(apart),
    },
)


# %% tags=["hide-input"]
def course(losses):
    """Geometric mean over seeds of L / L(0); losses (steps + 1, seeds)."""
    return np.exp(np.log(np.maximum(losses / losses[0], 1e-30)).mean(1))


def draw(ax, columns, panel, curves, styles=("-", "--", ":", "-."), widths=(2, 2, 2, 2)):
    for k, (name, losses) in enumerate(curves.items()):
        steps, values = thin(np.arange(len(losses))), thin(course(losses))
        ax.plot(steps, values, color=figures.PALETTE[k], ls=styles[k], lw=widths[k], label=name)
        figures.fill(columns, panel, name, steps, values)
    ax.set(yscale="log", xlabel="step", title=panel)


with figures.figure(columns=4, size=(11, 3)) as (fig, axes):
    columns = {"panel": [], "network": [], "x": [], "value": []}
    depths = sizes.skip[""]["depths"]
    for ax, h in zip(axes, depths, strict=False):
        curves = {"multiscale": 1, "plain, wider": 2, "plain": 0}
        curves = {n: skip_runs["", h][:, k] for n, k in curves.items()}
        draw(ax, columns, f"H = {h}", curves, styles=("-", "-", "--"), widths=(2, 5, 1.5))
    axes[0].set(ylabel="L / L(0)")
    axes[0].legend(fontsize="small", loc="lower left")
    looks = np.arange(1, len(identity["", 3][0]), 4)
    for k, (name, side) in enumerate(zip(("difference of speeds", "energy of heads"), identity["", 3], strict=True)):
        at = np.arange(len(looks)) + 0.4 * (k - 0.5)
        axes[3].bar(at, side[looks, 0], 0.38, color=figures.PALETTE[k], hatch=("", "//")[k], label=name)
        figures.fill(columns, "identity, H = 3", name, looks * (sizes.skip[""]["steps"] // 20), side[looks, 0])
    axes[3].set_xticks(np.arange(len(looks)), looks * (sizes.skip[""]["steps"] // 20))
    axes[3].set(xlabel="step of the plain network", title="two sides, H = 3")
    axes[3].legend(fontsize="small")
    figure_2 = chapter.figure(
        fig,
        "Left: loss of plain and multiscale networks from the same start with the same step, geometric mean over seeds. Right: "
        "the two sides of the identity along the path of one plain network.",
        "Three panels of falling curves for depths 2, 3 and 4: the multiscale network falls far below the plain one, and the wider plain "
        "network stays with the plain one. In the fourth panel the bars of the two sides have equal heights at every step shown.",
        columns,
    )
figure_2

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
    depths, deepest = s["depths"], max(s["depths"])
    x, y = problem(s, range(deepest + 1))
    outputs, features = y["signal"].shape[1], x.shape[2]
    nets = [skip_net(h, at=2) for h in depths]
    (inputs, targets), together = stacked(nets, x, y), [0] * len(nets)
    p, masks = start(s, nets, features, outputs)
    losses, _, _ = descend(lambda p: squared(multiscale(p, inputs), targets), p, masks, together, s["steps"])
    single, single_masks = start(s, [plain_net(h) for h in depths], features, outputs)
    seen = torch.cat([x[:, h].expand(len(seeds_of(s)), -1, -1) for h in depths])
    plain_losses, _, _ = descend(
        lambda p: squared(one_head(p, seen), targets), single, single_masks, together, s["steps"]
    )
    t, plain_t = time_to(0.1, losses), time_to(0.1, plain_losses)
    deep, errors = [v[: len(seeds_of(s))] for v in p], []

    def cut(h):
        """The nested net of depth h at the common start: (parameters, X_0 ... X_h)."""
        return deep[:h] + deep[deepest : deepest + h + 1], x[:, : h + 1]

    shallow = speeds(multiscale, *cut(2), y["signal"], squared)
    for h in depths[1:]:
        more = speeds(multiscale, *cut(h), y["signal"], squared)
        heads = sum(head_energy(*cut(h), y["signal"], squared, level) for level in range(3, h + 1))
        errors.append((torch.abs(more - shallow - heads) / more).numpy())
    c4[f"{w}error of the identity"] = extreme(errors, "largest over seeds and depths")
    for k, h in enumerate(depths):
        if k:
            c4[f"{w}time H=2 / H={h}"] = estimate.paired_ratio(t[0], t[k])
            c4[f"{w}plain nets: time H=2 / H={h}"] = estimate.paired_ratio(plain_t[0], plain_t[k])
    reached = (plain_losses <= 0.1 * plain_losses[0]).any(0)
    c4[f"{w}plain nets: runs that reach 10 %"] = estimate.count(reached)
    depth_runs[w] = t, plain_t
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
    p, masks = start(s, nets, x.shape[2], y["signal"].shape[1])
    inputs, targets = stacked(nets, x, y)
    losses, _, _ = descend(lambda p: squared(multiscale(p, inputs), targets), p, masks, [0, 0, 1, 1], s["steps"])
    t = time_to(0.5, losses)
    c5 |= {
        f"{w}plain: time noise / signal": estimate.paired_ratio(t[1], t[0]),
        f"{w}multiscale: time noise / signal": estimate.paired_ratio(t[3], t[2]),
    }
    aligned = {k: ((v @ x[:, h].mT).square().sum((1, 2)) / v.square().sum((1, 2))).numpy() for k, v in y.items()}
    c5[f"{w}alignment signal / noise"] = estimate.paired_ratio(aligned["signal"], aligned["noise"])
    label_runs[w] = losses
chapter.measure("c5", **c5)

# %% tags=["hide-input"]
with figures.figure(columns=3, size=(10.5, 3.2)) as (fig, axes):
    columns = {"panel": [], "network": [], "x": [], "value": []}
    depths = sizes.depth[""]["depths"]
    x, _ = problem(sizes.depth[""], range(max(depths) + 1))
    singular = np.exp(np.log(smallest(x)).mean(0))
    lines = {
        name: np.exp(np.log(part).mean(1)) for name, part in zip(("multiscale", "plain"), depth_runs[""], strict=True)
    }
    for k, (name, values) in enumerate(lines.items()):
        axes[0].plot(depths, values, marker=figures.MARKERS[k], color=figures.PALETTE[k], label=name)
        figures.fill(columns, "time", name, depths, values)
    axes[0].set(yscale="log", xlabel="depth H", ylabel="steps to 10 % of L(0)", title="time", xticks=depths)
    axes[1].plot(singular, marker="o", color=figures.PALETTE[2])
    axes[1].set(yscale="log", xlabel="scale l", ylabel="$\\sigma^2$ of $X_l$", title="smallest singular value")
    figures.fill(columns, "smallest singular value", "", np.arange(len(singular)), singular)
    kinds = [f"{net}, {kind}" for net in ("plain", "multiscale") for kind in ("signal", "noise")]
    draw(axes[2], columns, "labels", {n: label_runs[""][:, k] for k, n in enumerate(kinds)})
    axes[2].set(ylabel="L / L(0)")
    for ax in (axes[0], axes[2]):
        ax.legend(fontsize="small")
    figure_3 = chapter.figure(
        fig,
        "Left: steps to a tenth of the initial loss against depth; plain runs that do not get there count with the last step. Each kind of network "
        "has a step size of its own, so levels are comparable within a curve only. Middle: what aggregation leaves of the smallest singular value. "
        "Right: signal against noise at depth 2. Geometric means over seeds.",
        "Left: the time of multiscale networks falls with depth, that of plain networks rises. Middle: the smallest singular value falls by "
        "orders of magnitude with every few aggregations. Right: for both networks the loss falls faster on signal than on noise.",
        columns,
    )
figure_3

# %% [markdown]
# ## ReLU networks
#
# The theory is about linear networks; what it says is tried on $h^0 = X$, $h^l = \mathrm{relu}(B_l h^{l-1} S)$ and
# $f = \sum_l W_l h^l$, again with matched starts and plain gradient descent, without momentum. Entries of $B_l$ are
# $N(0, 2/\text{fan-in})$. Plain and skip networks have three layers; the skip networks of two, three and four layers
# start with only $W_2$ non-zero. GIN layers, in the paper's profile, have two matrices each. Measured is the mean over all
# steps of $\log(L/L(0))$.


# %%
def times(h, s, out=0):
    """h S: (nets, m, n) times one matrix per net, the first ``out`` left out, or one sparse matrix for all."""
    if s.layout is torch.strided:
        return h @ s[out:]
    return (s.mT @ h.flatten(0, 1).mT).mT.view(*h.shape[:2], -1)


def relu_data(s, copies):
    """X S, S, the labelled columns of S and X, and where they are; and both kinds of labels."""
    found = []
    for i in seeds_of(s):
        edges, x, at, _ = CORA_DATA if s.get("real") else block_model(i, **s)
        matrix = aggregation(edges, s.get("aggregation", "GCN"))
        found.append(((matrix @ x.T).T, matrix, matrix[:, at], x[:, at], at))
    first, matrix, near, x, at = zip(*found, strict=True)
    if s.get("real"):
        first, matrix, near = (sparse_tensor(part[0]) for part in (first, matrix, near))
    else:
        first, matrix, near = (
            tensor([getattr(m, "toarray", lambda m=m: m)() for m in part]).repeat(copies, 1, 1)
            for part in (first, matrix, near)
        )
    return (
        first,
        matrix,
        near,
        tensor(x).repeat(copies, 1, 1),
        torch.as_tensor(np.stack(at)).repeat(copies, 1)[:, None],
    )


def sparse_tensor(m):
    m = sparse.coo_array(m)
    return torch.sparse_coo_tensor(np.stack(m.coords), m.data, m.shape, check_invariants=True).coalesce()


def relu_net(p, data, depths):
    """f = sum_l W_l h^l, h^0 = X, h^l = relu(B_l h^(l-1) S), at the labelled nodes; depths (nets,) never fall."""
    first, matrix, near, x, at = data
    deepest = depths[-1]
    layers, heads = p[: -deepest - 1], p[-deepest - 1 :]
    each = len(layers) // deepest
    f = heads[0] @ x
    for level in range(1, deepest + 1):
        out = sum(d < level for d in depths) * len(x) // len(depths)  # nets that have no such layer
        b, *second = (w[out:] for w in layers[each * (level - 1) : each * level])
        if level == 1:
            h = times(b, first)
        else:
            h = times(b @ h[len(h) - len(b) :], near if level == deepest else matrix, out)
        h = h.relu()
        for c in second:  # GIN has two matrices per layer
            h = (c @ h).relu()
        seen = h if level == deepest else h.gather(2, at[out:].expand(-1, h.shape[1], -1))
        f = torch.cat([f[:out], f[out:] + heads[level][out:] @ seen])
    return f


def relu_train(s, nets, y):
    depths, data = [n.depth for n in nets], relu_data(s, len(nets))
    features, outputs, mlp = data[3].shape[1], y["signal"].shape[1], s.get("aggregation") == "GIN"
    p, masks = start(s, nets, features, outputs, gain=2.0, mlp=mlp)
    targets = torch.cat([y[n.labels] for n in nets])
    together = [0] * len(nets)
    return descend(lambda p: squared(relu_net(p, data, depths), targets), p, masks, together, s["steps"])[0]


c6, relu_runs = {}, {}
for w, s in sizes.relu.items():
    _, y = problem(s, [2])
    three = relu_train(s, [plain_net(3), skip_net(3), skip_net(3, labels="noise")], y)
    nested = relu_train(s, [skip_net(h, at=2) for h in (2, 3, 4)], y)
    (alone, skip, noise), (two, _, four) = (np.log(part / part[0]).mean(0) for part in (three, nested))
    c6 |= {
        f"{w}skip - plain": estimate.paired_difference(skip, alone),
        f"{w}signal - noise": estimate.paired_difference(skip, noise),
        f"{w}H=4 - H=2": estimate.paired_difference(four, two),
    }
    relu_runs[w] = three, nested
chapter.measure("c6", **c6)

# %% tags=["hide-input"]
with figures.figure(columns=2, size=(8.5, 3.2)) as (fig, axes):
    columns = {"panel": [], "network": [], "step": [], "loss": []}
    three, nested = relu_runs[""]
    names = ("plain, signal", "skip, signal", "skip, noise")
    draw(axes[0], columns, "three layers", {n: three[:, k] for k, n in enumerate(names)})
    draw(axes[1], columns, "skip, more layers", {f"H = {h}": nested[:, k] for k, h in enumerate((2, 3, 4))})
    axes[0].set(ylabel="L / L(0)")
    for ax in axes:
        ax.legend(fontsize="small")
    figure_4 = chapter.figure(
        fig,
        "ReLU graph networks from matched starts, geometric mean over seeds.",
        "Left: the skip network falls faster than the plain one, and faster on signal than on noise. Right: the curves of two, three "
        "and four layers lie close together.",
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
