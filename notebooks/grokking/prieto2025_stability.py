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
# # Grokking at the edge of numerical stability
#
# *Lucas Prieto, Melih Barsbey, Pedro A. M. Mediano, Tolga Birdal. ICLR 2025* {footcite}`prieto2025_stability`
#
# **The question.** Why does grokking need regularisation? The paper's answer is about floating-point numbers. Once all
# training labels are fitted, the loss falls fastest when all logits grow in proportion. They grow until the softmax
# runs out of digits: the loss of a sample becomes exactly zero, and with it the part of its gradient that pulls the
# right answer up. Weight decay keeps the logits small, so the digits never run out.
#
# **Why it matters.** If that is so, two small changes replace regularisation: a softmax that grows more slowly, and a
# gradient from which the useless direction has been removed.
#
# **What was found here.** The collapse is there, to the last bit, later the more digits the softmax has, and never with
# the slower softmax. The gradient does turn towards the weights. And with that direction removed most networks
# generalise without weight decay and almost without delay. That the collapse is *what stops* generalisation takes more epochs than
# a short run has.

# %% tags=["parameters"]
profile = "quick"
seed = 0

# %% tags=["hide-input"]
from functools import partial
from types import SimpleNamespace

import numpy as np
import torch
from replib import estimate, figures
from replib.chapter import Explore, begin
from replib.claims import above, below, equals, reported
from replib.data import modular
from replib.models.mlp import mlp
from replib.models.pairs import pair_sums
from replib.onset import DELAY, delay, onset
from replib.randomness import numpy_generator, torch_generator
from replib.training.descent import descend
from replib.training.ensemble import Ensemble

chapter = begin("prieto2025_stability", profile, seed)
device = torch.device("cuda" if profile == "paper" and torch.cuda.is_available() else "cpu")

# %% [markdown]
# ## What the paper claims
#
# Every claim and every control is declared here with its criterion, before anything is run. A claim counts only if the
# controls it needs behave as declared. The first two of the paper's claims have two halves: that the softmax collapses,
# and that the collapse stops generalisation. The second halves, c1b and c2b, need tens of thousands of epochs.

# %% tags=["hide-input"]
FULL = profile == "paper"
SEEDS = 5
PILOT = "A small pilot was seen before the cut-off was set; it used other seeds."
ONLY_PAPER = "Paper profile only."
FRACTIONS = (0.4, 0.6, 0.7)
ALL = SEEDS - 0.5

chapter.control(
    "projection",
    "The projected gradient is orthogonal to the weights and as long as the gradient.",
    {"largest |cosine| with the weights": below(1e-5), "largest relative change of the length": below(1e-5)},
)
chapter.control(
    "random-direction",
    "Projecting out a random direction instead of the weights does not make the network generalise.",
    {"final test accuracy": below(0.1)},
    note=PILOT,
)
chapter.control(
    "only-scaling",
    "From the first perfect fit on, steps along the weights alone lower the training loss and change no prediction.",
    {"share of predictions that change": below(1e-9), "training loss, end / start": below(1)},
)
chapter.control(
    "no-softmax",
    "With squared errors instead of the softmax no sample's gradient at its right class is exactly zero.",
    {"largest share of samples with a zero gradient at the right class": below(0.01)},
)
chapter.control(
    "emulated",
    "In double precision, with the right class's gradient taken away from just those samples that would have collapsed in "
    "single precision, the network ends like one in single precision.",
    {f"{f:.0%}: emulated - 32 bit, final test accuracy": equals(0, within=0.1) for f in FRACTIONS},
    note="The margin is this chapter's, set before any such run. " + ONLY_PAPER,
)
chapter.claim(
    "c1",
    "Without decay ever more samples collapse: the sum of exponentials rounds to its largest term, and loss and "
    "correct-class gradient of the sample are exactly zero.",
    {
        f"seeds of {SEEDS} in which 90 % of the sums collapse": above(ALL),
        f"seeds of {SEEDS} in which 90 % of the losses are exactly zero": above(ALL),
        "largest correct-class gradient of a sample with loss zero": below(1e-45),
    },
    paper="no figures; direction only",
    source="section 3, figure 2",
    needs=("no-softmax",),
    note="Cross-entropy in single precision, sparse parity. " + PILOT,
)
chapter.claim(
    "c1b",
    "After the collapse test accuracy stops improving.",
    {
        f"{f:.0%} of the pairs: {what}": criterion
        for f in FRACTIONS
        for what, criterion in (
            ("gain after half of the samples have collapsed", below(0.03)),
            (f"seeds of {SEEDS} in which 90 % of the sums collapse", above(ALL)),
            (f"seeds of {SEEDS} in which 90 % of the losses are exactly zero", above(ALL)),
        )
    },
    paper="40 %: no progress at all; 60 and 70 %: partial progress, then a stop",
    source="section 3, figure 2",
    needs=("no-softmax", "emulated"),
    note="Addition modulo 113, 32 bit. Not tested if some run never reaches half.",
)
chapter.claim(
    "c2",
    "More digits in the softmax move the collapse later.",
    {
        f"seeds of {SEEDS} with half collapse in the order 16, 32, 64 bit": above(ALL),
        "64 bit: share when half of the 32-bit sums have collapsed": reported(),
        "64 bit: largest share within the epochs of the 32-bit run": reported(),
        "32 bit / 16 bit, epoch of half collapse": reported(),
        "64 bit / 32 bit, epoch of half collapse": reported(),
    },
    paper="float16 < float32 < float64",
    source="figure 2",
    note="Judged is the order, which alone was fixed before the run. This page at first also asked that less than 1 % of the "
    "sums collapse in double precision, within all epochs of the single-precision run (not so: a few per cent do towards its "
    "end), then at the epoch of its half collapse (too close to call). Both shares are reported. " + PILOT,
)
chapter.claim(
    "c2b",
    "More digits in the softmax give a higher test accuracy.",
    {
        f"{f:.0%}: {a} - {b} bit, final test accuracy": above(0) if f == 0.6 else reported()
        for f in (0.6, 0.7)
        for a, b in ((32, 16), (64, 32))
    }
    | {f"{f:.0%}: seeds of {SEEDS} with half collapse in the order 16, 32, 64 bit": above(ALL) for f in FRACTIONS},
    paper="float16 < float32 < float64",
    source="figure 2",
    needs=("emulated",),
    note="Asked was a gain at 60 or at 70 % of the pairs; judged is 60 %, the stricter reading.",
)
chapter.claim(
    "c3",
    "StableMax never collapses and generalises without regularisation while the weights grow.",
    {
        "largest share of collapsed sums": below(1e-9),
        f"seeds of {SEEDS} in which the weights grow": above(ALL),
        "softmax: largest share of collapsed sums": reported(),
    }
    | (
        {"final test accuracy": above(0.95), "final test accuracy, softmax": below(0.1)}
        if FULL
        else {"final test accuracy, StableMax - softmax": above(0)}
    ),
    paper="addition modulo 113, 40 % of the pairs: near 100 % by about 80 000 epochs",
    source="figures 1b and 4; official scripts",
    note=PILOT,
)
chapter.claim(
    "c4",
    "Once all training labels are fitted, the gradient of the output layer aligns with its weights.",
    {
        "cosine of -gradient and weights, 200 epochs after the fit": above(0.8 if FULL else 0.6),
        "the same minus its value at the start": above(0.3),
        "the cosine at the fit": reported(),
        "the cosine at the end of the run": reported(),
    },
    paper="up to 0.9",
    source="figure 5",
    needs=("only-scaling",),
    note="The mean over the 200 epochs that follow the fit. " + PILOT,
)
chapter.claim(
    "c5",
    "With the gradient projected orthogonally to the weights the network generalises early, without decay.",
    {
        f"seeds of {SEEDS} with test accuracy 0.95 by epoch {300 if FULL else 400}": above(ALL if FULL else 3.5),
        "delay of the test accuracy, projected - weight decay, epochs": below(0),
        "projected, official wrapper's settings: seeds with test accuracy 0.95 in time": reported(),
    }
    | {f"{arm}: {what}": reported() for arm in ("projected", "decayed", "plain") for what in DELAY},
    paper="100 % test accuracy within 300 epochs (addition modulo 113, 40 % of the pairs)",
    source="figures 1a and 6; official scripts",
    needs=("projection", "random-direction"),
    note="Memorises, generalises: 95 % of the training or test pairs are right. A run that does not "
    "get there counts with its last epoch. " + PILOT,
)
chapter.claim(
    "c6",
    "StableMax is the softmax of sign(x) log(1 + |x|).",
    {"largest relative difference": below(1e-12)},
    paper="exact",
    source="proposition 1",
    note="Of the probabilities. The losses themselves agree to fewer digits where they are near 0, as differences of two "
    "logarithms that are nearly equal.",
)
chapter.declarations()

# %% [markdown]
# ## Sizes
#
# `quick` scales the modulus, the widths and the number of parity bits, and raises the share of training pairs, so that
# each effect appears within a few thousand epochs. In `paper` the claims c1b, c2b and c3 need up to 100 000 epochs on
# 12 769 pairs: they run only where there is a GPU. Left out in all profiles are the paper's transformer, perpSGD,
# products modulo 113 and sparse parity with StableMax, the softmax in double precision for 80 000 epochs, and the runs
# with a learning rate of 0.005. Adam's $\epsilon$ is $10^{-25}$ throughout, also where an official script has
# $10^{-30}$.

# %% tags=["hide-input"]
# fmt: off
QUICK = SimpleNamespace(
    parity=dict(bits=15, train=200, test=2000, width=50, lr=0.01, eps=1e-25, epochs={16: 300, 32: 2000, 64: 5600}),
    stable=dict(p=31, width=50, fraction=0.9, lr=2e-3, epochs=1600, every=20),
    early=dict(p=31, width=100, fraction=0.7, lr=0.01, plain=300, projected=400, decay=800, squared=100, every=10),
    precision=None,
)
SMOKE = SimpleNamespace(
    parity=QUICK.parity | dict(epochs={16: 100, 32: 200, 64: 200}), stable=QUICK.stable | dict(epochs=40),
    early=QUICK.early | dict(plain=60, projected=40, decay=40, squared=20), precision=None,
)
PAPER = SimpleNamespace(
    parity=QUICK.parity | dict(bits=43, train=1000, test=1000, width=200, eps=1e-18),
    stable=dict(p=113, width=200, fraction=0.4, lr=0.01, epochs=100_000, every=500),
    early=dict(p=113, width=200, fraction=0.4, lr=0.01, plain=300, projected=300, decay=500, squared=100, every=10),
    precision=dict(p=113, width=200, lr=5e-4, epochs=20_000, every=200),
)
# fmt: on
sizes = {"smoke": SMOKE, "quick": QUICK, "paper": PAPER}[profile]
LARGE = not FULL or device.type == "cuda"
NO_GPU = "tens of thousands of epochs on 12 769 pairs take days on a processor; no GPU was there: not run"
SHORT = "the effect on test accuracy takes tens of thousands of epochs: paper profile only"

# %% [markdown]
# ## Where the digits end
#
# With $d_j = z_j - \max_i z_i$ the cross-entropy of a sample is $\log \sum_j e^{d_j} - d_y$. If every other logit is far
# enough below the largest, adding its exponential to 1 changes nothing. The distance at which that happens:

# %%
print("bits   gap at which 1 + exp(-gap) rounds to 1")
for dtype in (np.float16, np.float32, np.float64):
    gaps = np.linspace(0, 50, 200_001)
    first = gaps[np.argmax(dtype(1) + np.exp(-gaps).astype(dtype) == dtype(1))]
    print(f"{8 * dtype().itemsize:4} {first:8.2f}, half an epsilon: {-np.log(np.finfo(dtype).eps / 2):.2f}")

# %% [markdown]
# The loss in a chosen precision is written out, one rounding per operation, because a library's kernel may work in more
# digits than its result has. The network itself stays in single precision.
#
# **StableMax** replaces the exponential by $s(x) = x + 1$ for $x \ge 0$ and $1/(1-x)$ below, evaluated in double
# precision.

# %%
BITS = {16: torch.float16, 32: torch.float32, 64: torch.float64}


def softmax_terms(z, labels, bits):
    """Per sample (..., n): cross-entropy and the sum of exponentials, in the precision of ``bits``."""
    z = z.to(BITS[bits])
    d = z - z.amax(-1, keepdim=True).detach()
    total = d.exp().sum(-1)
    return total.log() - d.gather(-1, labels[..., None]).squeeze(-1), total


def stablemax_terms(z, labels):
    """Per sample: the loss, and whether the largest term swallows all others."""
    z = z.double()
    s = torch.where(z >= 0, z + 1, 1 / (1 - z.clamp_max(0)))
    total = s.sum(-1)
    loss = total.log() - s.gather(-1, labels[..., None]).squeeze(-1).log()
    return loss, (total == s.amax(-1)).double()


x = torch.cat([torch.linspace(-1e4, 1e4, 9999), torch.linspace(-3, 3, 1001)]).double()
x = x[torch.randperm(len(x), generator=torch_generator(seed, "shuffle"))].view(-1, 10)
y = torch.zeros(len(x), dtype=torch.long)
g = x.sign() * torch.log1p(x.abs())
cross_entropy = torch.nn.functional.cross_entropy(g, y, reduction="none")
# losses are minus logarithms of probabilities, so this is the relative difference of the probabilities
difference = (stablemax_terms(x, y)[0] - cross_entropy).abs().max()
chapter.measure(
    "c6", **{"largest relative difference": estimate.exact(difference, len(x), tolerance=1e-12, method="largest")}
)

# %% [markdown]
# ## Collapse, and digits
#
# **Sparse parity.** The label is the parity of three of the input's bits. A small network is trained on all samples at
# once with Adam and no decay. Adam's $\epsilon$ must be tiny here: the usual $10^{-8}$ would freeze training for another
# reason.

# %%
s, seeds = sizes.parity, chapter.seeds(SEEDS)


def parity(i, count, key):
    bits = numpy_generator(i, "parity", key).integers(2, size=(count, s["bits"]))
    return torch.tensor(bits, dtype=torch.float32), torch.tensor(bits[:, :3].sum(1) % 2)


def stack(key, count):
    return (torch.stack(v).to(device) for v in zip(*(parity(i, count, key) for i in seeds), strict=True))


(train_x, train_y), (test_x, test_y) = stack("train", s["train"]), stack("test", s["test"])


def collapse(bits):
    """Train with the loss in one precision; curves of accuracy, of collapsed sums and of losses that are exactly 0."""
    starts = [int(numpy_generator(i, "parity network").integers(2**31)) for i in seeds]
    network = Ensemble(lambda: mlp(s["bits"], s["width"], 2, depth=3), starts).to(device)

    def probe(_):
        with torch.enable_grad():
            z = network(train_x).detach().requires_grad_()
            loss, total = softmax_terms(z, train_y, bits)
            (gradient,) = torch.autograd.grad(loss.sum(), z)
        right = gradient.gather(-1, train_y[..., None]).squeeze(-1).abs()
        return {
            "train": (z.argmax(-1) == train_y).double().mean(1),
            "test": (network(test_x).argmax(-1) == test_y).double().mean(1),
            "collapsed": (total == 1).double().mean(1),
            "zero": (loss == 0).double().mean(1),
            "gradient": torch.where(loss == 0, right, 0).amax(1).double(),
        }

    epochs = s["epochs"][bits]
    return descend(
        network.stack,
        lambda: softmax_terms(network(train_x), train_y, bits)[0].float().mean(1),
        epochs,
        partial(torch.optim.AdamW, lr=s["lr"], betas=(0.9, 0.99), eps=s["eps"], weight_decay=0, fused=True),
        probes=range(0, epochs + 1, 10 if bits == 16 else 50),
        probe=probe,
    )


digits = {bits: collapse(bits) for bits in BITS}
single = digits[32]
chapter.measure(
    "c1",
    **{
        f"seeds of {SEEDS} in which 90 % of the sums collapse": estimate.count(single["collapsed"].max(0) >= 0.9),
        f"seeds of {SEEDS} in which 90 % of the losses are exactly zero": estimate.count(single["zero"].max(0) >= 0.9),
        "largest correct-class gradient of a sample with loss zero": estimate.exact(
            single["gradient"].max(), SEEDS, tolerance=1e-45, method="largest of all samples and probes"
        ),
    },
)


def in_order(curves):
    """Seeds in which half of the sums collapse first with 16, then with 32, then, or never, with 64 bits."""
    h = {bits: onset(c.steps, c["collapsed"], 0.5) for bits, c in curves.items()}
    later = (h[16].step < h[32].step) & ((h[32].step < h[64].step) | ~h[64].reached)
    return later & h[16].reached & h[32].reached


half = {bits: onset(c.steps, c["collapsed"], 0.5) for bits, c in digits.items()}
at_half = [np.interp(t, digits[64].steps, v) for t, v in zip(half[32].step, digits[64]["collapsed"].T, strict=True)]
while_single = digits[64].steps <= single.steps[-1]
chapter.measure(
    "c2",
    **{
        f"seeds of {SEEDS} with half collapse in the order 16, 32, 64 bit": estimate.count(in_order(digits)),
        "64 bit: share when half of the 32-bit sums have collapsed": estimate.mean(at_half),
        "64 bit: largest share within the epochs of the 32-bit run": estimate.exact(
            digits[64]["collapsed"][while_single].max(), SEEDS, tolerance=0.01, method="largest of all seeds"
        ),
        "32 bit / 16 bit, epoch of half collapse": estimate.geometric_mean(half[32].over(half[16])),
        "64 bit / 32 bit, epoch of half collapse": estimate.geometric_mean(half[64].over(half[32])),
    },
)

# %% tags=["hide-input"]
with figures.figure(columns=2, size=(9, 3.2)) as (fig, axes):
    columns = {"bits": [], "epoch": [], "test": [], "collapsed": [], "exactly zero": []}
    for k, (bits, c) in enumerate(digits.items()):
        style = dict(color=figures.PALETTE[k], marker=figures.MARKERS[k], ms=4, markevery=0.15)
        for ax, name in zip(axes, ("collapsed", "test"), strict=True):
            ax.plot(c.steps + 1, c[name].mean(1), label=f"{bits} bit", **style)
        axes[0].plot(c.steps + 1, c["zero"].mean(1), ":", color=figures.PALETTE[k], lw=1)
        figures.fill(columns, bits, c.steps, c["test"].mean(1), c["collapsed"].mean(1), c["zero"].mean(1))
    axes[0].set(xscale="log", xlabel="epoch + 1", ylabel="share of training samples")
    axes[1].set(xscale="log", xlabel="epoch + 1", ylabel="test accuracy")
    axes[0].legend()
    figure_1 = chapter.figure(
        fig,
        "Sparse parity, softmax in three precisions, mean of five seeds. Left: samples whose sum of exponentials equals its largest term "
        f"(solid) and whose loss is exactly 0 (dotted). Half have collapsed at epoch {half[16]} with 16 bits, {half[32]} with "
        f"32 and {half[64]} with 64.",
        "Left panel: three curves rise from 0 to near 1, one after the other: 16 bits first, then 32 bits, 64 bits last. "
        "Right panel: at the same epoch the test accuracies differ little between precisions.",
        columns,
        explore=Explore("epoch", ("collapsed", "exactly zero", "test"), by="bits", log="x"),
    )
figure_1

# %% [markdown]
# ## Modular addition
#
# The network for $a + b$ modulo $p$ has two hidden layers and no biases. Its input is two one-hot vectors, so the first
# layer is a sum of two rows, taken over the whole table at once; the loss counts the training pairs alone.
#
# **perpGrad.** From the gradient $g$ of each weight tensor $w$ the part along $w$ is taken out, and the rest is brought
# to the length of $g$, before Adam sees it:
#
# $$g_\perp = g - \frac{\langle w, g\rangle}{\langle w, w\rangle}\,w,\qquad g \leftarrow g_\perp\,\|g\| / \|g_\perp\| .$$


# %%
def inner(a, b):
    """(S, 1, 1) inner products of stacked matrices."""
    return (a * b).sum((1, 2), keepdim=True)


def orthogonal(gradient, direction):
    rest = gradient - inner(direction, gradient) / (inner(direction, direction) + 1e-30) * direction
    return rest * (inner(gradient, gradient).sqrt() / (inner(rest, rest).sqrt() + 1e-30))


def perp(weights):
    for w in weights:
        w.grad = orthogonal(w.grad, w.detach())


class Addition:
    """A stack of networks on one table, each with its own training pairs."""

    def __init__(self, p, width, fraction, key):
        self.labels = modular.labels(modular.pairs(p), p).expand(SEEDS, -1).to(device)
        self.training = modular.split(p * p, fraction, [torch_generator(i, key, "split") for i in seeds]).to(device)
        self.count = self.training[0].sum()
        drawn = [torch_generator(i, key, "weights") for i in seeds]

        def uniform(rows, columns, fan_in):
            both = [torch.rand(rows, columns, generator=g) * 2 - 1 for g in drawn]
            return (torch.stack(both) / fan_in**0.5).to(device)

        self.start = [uniform(2 * p, width, 2 * p), uniform(width, width, width), uniform(width, p, width)]

    def logits(self, weights):
        first, hidden, output = weights
        return (pair_sums(*first.chunk(2, 1)).relu() @ hidden).relu() @ output

    def loss(self, weights, terms):
        """(S,) losses, the mean of the training pairs' terms."""
        return (terms(self.logits(weights), self.labels)[0].float() * self.training).sum(1) / self.count

    def share(self, hits):
        return (hits & self.training).sum(1) / self.count

    def accuracies(self, weights):
        right = self.logits(weights).argmax(-1) == self.labels
        return {"train": self.share(right), "test": (right & ~self.training).sum(1) / (~self.training).sum(1)}

    def train(self, terms, epochs, *, lr, every, beta=0.99, eps=1e-25, decay=0.0, also=None, **options):
        """AdamW from the common start; curves of both accuracies and of what ``also`` adds, and the last weights."""
        weights = [w.clone() for w in self.start]
        curves = descend(
            weights,
            lambda: self.loss(weights, terms),
            epochs,
            partial(torch.optim.AdamW, lr=lr, betas=(0.9, beta), eps=eps, weight_decay=decay, fused=True),
            probes=range(0, epochs + 1, every),
            probe=lambda _: self.accuracies(weights) | (also(weights) if also else {}),
            **options,
        )
        return curves, [w.detach() for w in weights]


single_precision = partial(softmax_terms, bits=32)

# %% [markdown]
# **A softmax that does not collapse.** StableMax against the softmax in single precision, neither with decay. Adam's
# $\beta_2$ is 0.999 with StableMax and 0.99 with the softmax, as in the official scripts, so the arms differ in that,
# too.

# %%
s = sizes.stable
if LARGE:
    task = Addition(s["p"], s["width"], s["fraction"], "stable")

    def arm(terms, **options):
        """Train with one loss; also the norm and the share of sums that equal their largest term."""

        def swallowed(weights):
            norm = torch.stack([inner(w, w).flatten() for w in weights]).sum(0).sqrt()
            gone = terms(task.logits(weights), task.labels)[1] == 1
            return {"collapsed": task.share(gone), "norm": norm}

        return task.train(terms, s["epochs"], lr=s["lr"], every=s["every"], also=swallowed, **options)[0]

    stable, softmax = arm(stablemax_terms, beta=0.999), arm(single_precision)
    final = [c["test"][-1] for c in (stable, softmax)]
    gained = {"final test accuracy": estimate.mean(final[0]), "final test accuracy, softmax": estimate.mean(final[1])} if FULL else {
        "final test accuracy, StableMax - softmax": estimate.paired_difference(*final)
    }  # fmt: skip
    chapter.measure(
        "c3",
        **gained,
        **{
            "largest share of collapsed sums": estimate.exact(
                stable["collapsed"].max(), SEEDS, tolerance=1e-9, method="largest"
            ),
            f"seeds of {SEEDS} in which the weights grow": estimate.count(stable["norm"][-1] > stable["norm"][0]),
            "softmax: largest share of collapsed sums": estimate.exact(
                softmax["collapsed"].max(), SEEDS, tolerance=0.05, method="largest"
            ),
        },
    )
else:
    chapter.not_tested("c3", NO_GPU)

# %% tags=["hide-input"]
figure_2 = None
if LARGE:
    with figures.figure(columns=2, size=(9, 3)) as (fig, axes):
        columns = {"loss": [], "epoch": [], "train": [], "test": [], "norm": []}
        for k, (name, c) in enumerate((("StableMax", stable), ("softmax, 32 bit", softmax))):
            axes[0].plot(c.steps, c["test"], color=figures.PALETTE[k], lw=0.8, alpha=0.5)
            axes[0].plot(c.steps, c["test"].mean(1), color=figures.PALETTE[k], lw=2.5, label=name, ls=("-", "--")[k])
            axes[1].plot(c.steps, c["norm"].mean(1), color=figures.PALETTE[k], lw=2.5, ls=("-", "--")[k])
            figures.fill(columns, name, c.steps, c["train"].mean(1), c["test"].mean(1), c["norm"].mean(1))
        axes[0].set(xlabel="epoch", ylabel="test accuracy")
        axes[1].set(xlabel="epoch", ylabel="norm of all weights")
        axes[0].legend()
        figure_2 = chapter.figure(
            fig,
            f"Addition modulo {s['p']} on {s['fraction']:.0%} of the pairs, no decay; thin lines are seeds. The final test accuracy is "
            f"{final[0].mean():.2f} with StableMax and {final[1].mean():.2f} with the softmax.",
            "Left: with StableMax test accuracy climbs above that of the softmax. Right: the norm of the weights grows with both.",
            columns,
        )
figure_2

# %% [markdown]
# **The useless direction, and what happens without it.** All arms start from the same weights and see the same pairs.
# The cosine is that of $-g$ and $w$ for each matrix, on raw gradients.

# %%
s = sizes.early
task = Addition(s["p"], s["width"], s["fraction"], "early")
LAYERS = ("input", "hidden", "output")


def alignment(weights):
    with torch.enable_grad():
        copies = [w.detach().clone().requires_grad_() for w in weights]
        gradients = torch.autograd.grad(task.loss(copies, single_precision).sum(), copies)
    return {
        name: (-inner(w, g) / (inner(w, w) * inner(g, g)).clamp_min(1e-60).sqrt()).flatten()
        for name, w, g in zip(LAYERS, weights, gradients, strict=True)
    }


fitted = {}


def watch(weights):
    """Alignment; and the weights at the first perfect fit of all networks."""
    if not fitted and bool((task.accuracies(weights)["train"] == 1).all()):
        fitted["weights"] = [w.detach().clone() for w in weights]
    return alignment(weights)


directions = [torch.stack([torch.randn(w.shape[1:], generator=torch_generator(i, "direction", k)) for i in seeds]).to(device)
              for k, w in enumerate(task.start)]  # fmt: skip


def perp_random(weights):
    for w, d in zip(weights, directions, strict=True):
        w.grad = orthogonal(w.grad, d)


def zero_gradients(weights):
    """Share of training pairs whose squared error has a gradient of exactly zero at the right class."""
    right = task.logits(weights).gather(-1, task.labels[..., None]).squeeze(-1)
    return {"vanished": task.share(right == 1)}


def squared(z, labels):
    return ((z - torch.nn.functional.one_hot(labels, z.shape[-1])).square().sum(-1), None)


def generalised(values):
    return bool((values["test"] >= 0.95).all())


options = dict(lr=s["lr"], every=s["every"])
plain, plain_end = task.train(single_precision, s["plain"], also=watch, **options)
projected, _ = task.train(single_precision, s["projected"], adjust=perp, until=generalised, **options)
official, _ = task.train(
    single_precision, s["projected"], adjust=perp, beta=0.999, eps=1e-8, until=generalised, **options
)
decayed, _ = task.train(single_precision, s["decay"], decay=1.0, until=generalised, **options)
randomly, _ = task.train(single_precision, s["projected"], adjust=perp_random, **options)
errors, _ = task.train(squared, s["squared"], also=zero_gradients, **options)

# %% tags=["hide-input"]
fit = onset(plain.steps, plain["train"], 1.0)
after = (plain.steps[:, None] >= fit.step) & (plain.steps[:, None] <= fit.step + 200)
aligned = np.array([plain["output"][rows, i].mean() for i, rows in enumerate(after.T)])
at_fit = plain["output"][np.searchsorted(plain.steps, fit.step), np.arange(SEEDS)]
if fit.reached.all():
    chapter.measure(
        "c4",
        **{
            "cosine of -gradient and weights, 200 epochs after the fit": estimate.mean(aligned),
            "the same minus its value at the start": estimate.paired_difference(aligned, plain["output"][0]),
            "the cosine at the fit": estimate.mean(at_fit),
            "the cosine at the end of the run": estimate.mean(plain["output"][-1]),
        },
    )
else:
    chapter.not_tested("c4", "a network did not fit all training pairs within these epochs")
onsets = {name: [onset(c.steps, c[n], 0.95) for n in ("train", "test")] for name, c in
          (("plain", plain), ("projected", projected), ("decayed", decayed), ("official", official))}  # fmt: skip
lag = {name: test.step - train.step for name, (train, test) in onsets.items()}
chapter.measure(
    "c5",
    **{
        f"seeds of {SEEDS} with test accuracy 0.95 by epoch {300 if FULL else 400}": estimate.count(
            onsets["projected"][1].reached
        ),
        "delay of the test accuracy, projected - weight decay, epochs": estimate.paired_difference(
            lag["projected"], lag["decayed"]
        ),
        "projected, official wrapper's settings: seeds with test accuracy 0.95 in time": estimate.count(
            onsets["official"][1].reached
        ),
        **{key: value for arm in ("projected", "decayed", "plain") for key, value in delay(arm, *onsets[arm]).items()},
    },
)
chapter.measure("random-direction", **{"final test accuracy": estimate.mean(randomly["test"][-1])})
chapter.measure(
    "no-softmax",
    **{
        "largest share of samples with a zero gradient at the right class": estimate.exact(
            errors["vanished"].max(), SEEDS, tolerance=0.01, method="largest"
        )
    },
)

# %% [markdown]
# Two checks. The projected gradient must be orthogonal to the weights and keep its length. And if a network without
# biases is trained with plain steps along its own weights only, each matrix is multiplied by a positive number: all
# logits grow in proportion, no prediction can change, and yet the loss falls. That is the direction to which the
# gradient turns after the fit.

# %%
weights = [w.requires_grad_() for w in fitted.get("weights", plain_end)]
gradients = torch.autograd.grad(task.loss(weights, single_precision).sum(), weights)
made = [(orthogonal(g, w.detach()), g, w.detach()) for g, w in zip(gradients, weights, strict=True)]
cosines = [(inner(o, w) / (inner(o, o) * inner(w, w)).sqrt()).abs().max() for o, _, w in made]
lengths = [(inner(o, o).sqrt() / inner(g, g).sqrt() - 1).abs().max() for o, g, _ in made]
chapter.measure(
    "projection",
    **{
        "largest |cosine| with the weights": estimate.exact(max(cosines), SEEDS, tolerance=1e-5, method="largest"),
        "largest relative change of the length": estimate.exact(max(lengths), SEEDS, tolerance=1e-5, method="largest"),
    },
)
before, first_loss = task.logits(weights).argmax(-1), task.loss(weights, single_precision).detach()


def along(weights):
    for w in weights:
        w.grad = inner(w.detach(), w.grad) / inner(w.detach(), w.detach()) * w.detach()


descend(weights, lambda: task.loss(weights, single_precision), 20, partial(torch.optim.SGD, lr=1.0), adjust=along)
changed = (task.logits(weights).argmax(-1) != before).double().mean()
if fitted:
    chapter.measure(
        "only-scaling",
        **{
            "share of predictions that change": estimate.exact(
                changed, SEEDS, tolerance=1e-9, method="share of all pairs"
            ),
            "training loss, end / start": estimate.paired_ratio(
                task.loss(weights, single_precision).detach().cpu(), first_loss.cpu()
            ),
        },
    )
else:
    chapter.not_tested("only-scaling", "the networks never fit all training pairs at one epoch")

# %% tags=["hide-input"]
with figures.figure(size=(6.5, 3)) as (fig, ax):
    columns = {"layer": [], "epoch": [], "cosine": [], "low": [], "high": []}
    for k, name in enumerate(LAYERS):
        v = plain[name]
        ax.plot(plain.steps, v.mean(1), marker=figures.MARKERS[k], ms=4, markevery=3, label=name)
        ax.fill_between(plain.steps, v.min(1), v.max(1), alpha=0.2, color=figures.PALETTE[k], lw=0)
        figures.fill(columns, name, plain.steps, v.mean(1), v.min(1), v.max(1))
    if fit.reached.all():
        ax.axvline(fit.step.max(), ls="--", color="gray", lw=1, label="all fitted")
    ax.set(xlabel="epoch", ylabel="cosine of -gradient and weights")
    ax.legend()
    figure_3 = chapter.figure(
        fig,
        "Alignment of the descent direction with the weights, layer by layer; mean and range of five seeds, no decay.",
        "Three curves start at 0 and jump up within the first epochs. Around the fit they dip, then they rise slowly and stay high, that of "
        "the output layer highest.",
        columns,
    )
figure_3

# %% tags=["hide-input"]
with figures.figure(size=(7, 3.2)) as (fig, ax):
    columns = {"arm": [], "epoch": [], "train": [], "test": []}
    for k, (name, c) in enumerate(
        (("perpGrad", projected), ("weight decay 1", decayed), ("neither", plain), ("random direction", randomly))
    ):
        ax.plot(c.steps + 1, c["train"].mean(1), "--", lw=1, color=figures.PALETTE[k])
        ax.plot(
            c.steps + 1,
            c["test"].mean(1),
            color=figures.PALETTE[k],
            marker=figures.MARKERS[k],
            ms=4,
            markevery=0.12,
            label=name,
        )
        figures.fill(columns, name, c.steps, c["train"].mean(1), c["test"].mean(1))
    ax.set(xscale="log", xlabel="epoch + 1", ylabel="accuracy")
    ax.legend(loc="upper left")
    figure_4 = chapter.figure(
        fig,
        f"Training (dashed) and test accuracy, mean of five seeds; arms that generalise end when all their networks do. 95 % of the test pairs: with perpGrad at epoch "
        f"{onsets['projected'][1]}, with weight decay at {onsets['decayed'][1]}. With the settings that the official wrapper really "
        f"uses, perpGrad gets there at {onsets['official'][1]}.",
        "All arms fit the training pairs within the first tens of epochs. With the projected gradient most test accuracies follow soon after; "
        "with weight decay later; with neither, or with a random direction projected out, it stays near 0.",
        columns,
    )
figure_4

# %% [markdown]
# ## Does the collapse stop generalisation?
#
# The precision study at the paper's sizes, with one control that cuts the knot: the loss in double precision, but with
# the correct-class gradient set to zero by hand for just those samples that would have collapsed in single precision.

# %% tags=["hide-input"]
if sizes.precision and LARGE:
    s = sizes.precision

    def emulated(z, labels):
        """Double precision, without the correct-class gradient of samples that collapse in single precision."""
        gone = softmax_terms(z.detach(), labels, 32)[1] == 1
        at = torch.nn.functional.one_hot(labels, z.shape[-1]).bool() & gone[..., None]
        return softmax_terms(torch.where(at, z.detach(), z), labels, 64)

    runs = {}
    for f in FRACTIONS:
        task = Addition(s["p"], s["width"], f, "precision")
        for name, terms in (*((b, partial(softmax_terms, bits=b)) for b in BITS), ("emulated", emulated)):

            def sums(weights, terms=terms, task=task):
                loss, total = terms(task.logits(weights), task.labels)
                return {"collapsed": task.share(total == 1), "zero": task.share(loss == 0)}

            runs[f, name], _ = task.train(terms, s["epochs"], lr=s["lr"], every=s["every"], also=sums)

    def apart(f, a, b):
        return estimate.paired_difference(runs[f, a]["test"][-1], runs[f, b]["test"][-1])

    stopped, gaps, all_stop = {}, {}, True
    for f in FRACTIONS:
        c = runs[f, 32]
        gone = onset(c.steps, c["collapsed"], 0.5)
        all_stop &= gone.reached.all()
        from_there = np.searchsorted(c.steps, gone.step)
        gain = [c["test"][j:, i].max() - c["test"][j, i] for i, j in enumerate(from_there)]
        stopped |= {f"{f:.0%} of the pairs: gain after half of the samples have collapsed": estimate.mean(gain)} | {
            f"{f:.0%} of the pairs: seeds of {SEEDS} in which 90 % of the {what}": estimate.count(c[name].max(0) >= 0.9)
            for what, name in (("sums collapse", "collapsed"), ("losses are exactly zero", "zero"))
        }
        gaps[f"{f:.0%}: seeds of {SEEDS} with half collapse in the order 16, 32, 64 bit"] = estimate.count(
            in_order({bits: runs[f, bits] for bits in BITS})
        )
    gaps |= {
        f"{f:.0%}: {a} - {b} bit, final test accuracy": apart(f, a, b)
        for f in (0.6, 0.7)
        for a, b in ((32, 16), (64, 32))
    }
    if all_stop:
        chapter.measure("c1b", **stopped)
    else:
        chapter.not_tested("c1b", "in some runs not even half of the samples collapse")
    chapter.measure("c2b", **gaps)
    chapter.measure(
        "emulated", **{f"{f:.0%}: emulated - 32 bit, final test accuracy": apart(f, "emulated", 32) for f in FRACTIONS}
    )
else:
    for name in ("c1b", "c2b", "emulated"):
        chapter.not_tested(name, NO_GPU if FULL else SHORT)

# %% [markdown]
# ## Verdict

# %% tags=["nbval-check-output"]
chapter.verdicts()

# %%
chapter.report()

# %% [markdown]
# **What was easy.** The collapse. It follows from the spacing of floating-point numbers and appears in every seed.
#
# **What was hard.** Writing a softmax in half precision that does not secretly use more digits; and Adam's $\epsilon$.
# A collapsed sample loses the gradient of its right class only. In single and double precision the other classes'
# gradients survive, tiny, and Adam with a tiny $\epsilon$ scales them up again, so weights go on moving after the
# collapse; in half precision they too round to zero once the gap is wide, because the mean over samples makes them
# smaller still. On the small tasks of `quick` learning goes on, and at the same epoch test accuracies hardly differ
# between precisions. The causal half of the claims is left to the paper's sizes.
#
# **What the paper leaves out.** Its official wrapper for perpGrad builds a fresh AdamW, so $\epsilon = 10^{-8}$ and
# $\beta_2 = 0.999$ hold there whatever the command line says (a reader reported it publicly). Both settings were run
# here; the caption of the last figure gives both. The rescaling to the length of the gradient stands in the code, not
# in the paper's definition. And readers of the official code report that stronger weight decay also generalises early
# at this learning rate: nothing here says that perpGrad is the fastest way. Nor does the alignment wait for the fit: it
# is there after the first few epochs, dips, and comes back. So the average over the 200 epochs after the fit, which was
# fixed before as the number to judge, holds the climb out of that dip, and lies below what the alignment reaches in the
# end; the table of c4 gives the cosine at the fit and at the end of the run beside it.
#
# **Where this run differs.** Pairs keep their order from epoch to epoch, where the official code shuffles them. The loss
# of each precision is written out operation by operation. The official curves were not compared point by point.
