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
# # On the mechanism and dynamics of modular addition: Fourier features, lottery ticket, and grokking
#
# *Jianliang He, Leda Wang, Siyu Chen, Zhuoran Yang. Preprint, 2026* {footcite}`he2026_modular_addition`
#
# **The question.** A network with one hidden layer learns to add modulo $p$. What does each neuron compute, why this
# and not something else, and what happens between learning the training pairs by heart and getting the others right?
#
# **Why it matters.** It is one of the few tasks where a trained network can be read completely: the final weights, the
# way there, and the sudden late generalisation that is called grokking.
#
# **What was found here.** Every claim that these sizes can test holds. The closed form of the vote is exact, and
# trained networks show its two ghosts. The flow of the theory, started from a neuron's own random weights, names the
# frequency that this neuron ends with for most neurons, and for nearly all that grew while the theory's assumption
# held; neither phase nor size alone does. Neurons with ReLU settle on one dominant frequency with matching phases.
# Grokking comes in the stated order, and the plateau before it is, run by run, the share of test pairs whose mirror
# image was trained.

# %% tags=["parameters"]
profile = "quick"
seed = 0

# %% tags=["hide-input"]
from functools import partial
from types import SimpleNamespace

import numpy as np
import torch
from replib import estimate
from replib.analysis.fourier import harmonics, ipr, wrap
from replib.chapter import begin
from replib.data import modular
from replib.figures import PALETTE, Bars, Heat, Level, Lines, Points, table
from replib.models.pairs import PairNetwork
from replib.onset import delays, onset
from replib.randomness import numpy_generator, torch_generator
from replib.training.descent import descend, log_spaced
from torch.nn.functional import one_hot
from torch.optim import SGD, AdamW, lr_scheduler

chapter = begin("he2026_modular_addition", profile, seed)

# %% [markdown]
# ## Sizes
#
# `quick` has the paper's own moduli, $p = 23$ for the mechanism and $p = 31$ for grokking, and learning rates 10 to 50
# times the official ones, so that fewer steps are needed. The width at $p = 31$ is 512 instead of 931. In a pilot the
# plateau and the order of the stages were the same at half and at twice this rate. Not $p = 23$ for grokking: it has few
# test pairs, and in the pilot one run in three never reached 95 % of them.
#
# `paper` has the official rates, steps and widths, except for the lottery's plain gradient descent, whose rate and steps
# are ours in all profiles; ReLU networks at $p = 23$, 29 and 31, the others at 23. By an
# estimate from single steps it takes one processor core about one hour; $p = 97$ runs only where there is a GPU.

# %% tags=["hide-input"]
# fmt: off
WIDTHS = {23: 512, 29: 814, 31: 931}
sizes = chapter.sizes(
    quick=dict(
        vote=dict(p=23, phases=(3, 4, 5, 8, 11), draws=200, counts=(4, 8, 16, 32, 64)),
        flow=dict(neurons=1000, step=2.0, total=4000), scales=(0.4, 1.0), controls=dict(seeds=2, steps=600),
        descent=dict(p=23, width=256, scale=0.1, lr=3.0, steps=600, seeds=5),
        pure=dict(p=23, width=256, scale=0.02, lr=5.0, steps=200, seeds=5),
        quadratic=dict(p=23, width=256, scale=0.1, lr=5e-4, steps=500, seeds=5),
        relu=dict(widths={23: 512}, scale=0.1, lr=5e-4, steps=500, seeds=5),
        large=dict(p=97, width=1024, scale=0.1, lr=5e-5, steps=5000, seeds=5),
        grokking=dict(widths={31: 512}, scale=0.1, lr=2e-3, decay=2.0, share=0.75, steps=1000, every=10, seeds=5),
    ),
    smoke=dict(
        vote=dict(draws=4, counts=(4, 16)), flow=dict(neurons=20, step=4.0), descent=dict(width=32, seeds=2, steps=60),
        pure=dict(width=32, seeds=2, steps=20), quadratic=dict(width=32, seeds=2, steps=20),
        relu=dict(widths={23: 64}, seeds=2, steps=40), controls=dict(seeds=2, steps=40),
        grokking=dict(widths={31: 64}, seeds=2, steps=60),
    ),
    paper=dict(
        descent=dict(width=512), pure=dict(width=512, lr=0.1, steps=10_000),
        quadratic=dict(width=512, lr=5e-5, steps=5000), relu=dict(widths=WIDTHS, lr=5e-5, steps=5000),
        grokking=dict(widths=WIDTHS, lr=1e-4, steps=50_000, every=50), controls=dict(seeds=2, steps=12_000),
    ),
)
# fmt: on
LARGE = chapter.device.type == "cuda"

# %% [markdown]
# ## What the paper claims
#
# A claim counts only if the
# controls it needs behave as declared. The criteria were set before this run; where a small pilot had been seen, the
# note says so, and the verdicts rest on seeds that the pilot did not use. The figures are those of the official code
# and its published logs.

# %% tags=["hide-input"]
chapter.claims()

# %% [markdown]
# ## The network
#
# The data are all pairs $(x, y)$ with label $x + y \bmod p$. Neuron $m$ has input weights $\theta_m$ and output weights
# $\xi_m$ in $\mathbb{R}^p$,
#
# $$f_j(x, y) = \sum_m \xi_m[j]\,\sigma(\theta_m[x] + \theta_m[y]),$$
#
# with $\sigma$ = ReLU, or $z^2$ in the theory, and the mean softmax cross-entropy as loss. Both layers start as
# $s\,N(0, 1)/\sqrt p$. Since $f(x, y) = f(y, x)$, training runs over the unordered pairs, each weighted by how many of
# its two orders are in the training set. That is exact and halves the cost.
#
# A neuron is read by its Fourier coefficients: $\theta[j] = c + \sum_k \alpha_k \cos(w_k j + \varphi_k)$ and $\xi[j] =
# c' + \sum_k \beta_k\cos(w_k j + \psi_k)$ with $w_k = 2\pi k/p$, $k = 1, \dots, K = (p-1)/2$. The *misalignment* is
# $D_k = 2\varphi_k - \psi_k$. The *inverse participation ratio* $\sum_k \alpha_k^4/(\sum_k\alpha_k^2)^2$ is 1 for one
# frequency and about $2/(K+1)$ at the start. It is averaged over neurons and over both layers; the mean $c$ is left
# out.


# %%
def tensor(array, dtype=torch.float32):
    return torch.as_tensor(np.asarray(array), dtype=dtype, device=chapter.device)


def fresh(seeds, p, width, scale, activation, key):
    """Networks with the official start, one per seed."""

    def draw(name, *shape):  # (S, *shape)
        drawn = [torch.randn(*shape, generator=torch_generator(i, key, name)) for i in seeds]
        return torch.stack(drawn) * scale / p**0.5

    # input weights (S, p, m) and output weights (S, m, p)
    return PairNetwork(draw("theta", p, width), None, draw("xi", width, p), activation).to(chapter.device)


def read(net):
    """Harmonics of both layers, entries (S, m, K)."""
    return harmonics(net.first.detach().transpose(1, 2)), harmonics(net.output.detach())


def mean_ipr(net):
    return torch.stack([ipr(layer.power).mean(1) for layer in read(net)]).mean(0)  # (S,)


class Table:
    """The unordered pairs of a modulus, with training and test weights (S, n): how many orders of each pair are in."""

    def __init__(self, p, seeds, share=1.0, labels=None):
        self.p, self.pairs = p, modular.pairs(p, ordered=False).to(chapter.device)
        self.labels = modular.labels(self.pairs, p) if labels is None else labels.to(chapter.device)
        self.orders = 1.0 + (self.pairs[:, 0] != self.pairs[:, 1])
        inside = modular.split(p * p, share, [torch_generator(i, "split", p) for i in seeds])
        inside = inside.view(-1, p, p).float().to(chapter.device)
        a, b = self.pairs.T
        self.train = inside[:, a, b] + inside[:, b, a] * (a != b)
        self.test = self.orders - self.train
        self.index = self.labels.expand(self.train.shape)[..., None]

    def loss(self, net):
        logits = net(self.pairs)  # (S, n, p)
        each = logits.logsumexp(2) - logits.gather(2, self.index)[..., 0]
        return (each * self.train).sum(1) / self.train.sum(1)

    def accuracy(self, net):
        """(S,) accuracies on the training and on the test pairs."""
        right = (net(self.pairs).argmax(2) == self.labels).float()
        return [(right * w).sum(1) / w.sum(1).clamp(min=1) for w in (self.train, self.test)]


def adam(lr, decay=0.0):
    """AdamW with the official betas and warm-up, as arguments of descend."""
    return dict(
        optimizer=partial(AdamW, lr=lr, betas=(0.9, 0.98), weight_decay=decay, fused=True),
        schedule=partial(lr_scheduler.LambdaLR, lr_lambda=lambda step: min(step / 10, 1)),
    )


def train(net, table, steps, **options):
    return descend(net.parameters(), lambda: table.loss(net), steps, **options)


# %% [markdown]
# ## A vote of cosines
#
# Take neurons $\theta[j] = \cos(w_k j + \varphi)$, $\xi[j] = \cos(w_k j + 2\varphi)$ with $\sigma = z^2$, at all
# frequencies and $N$ phases $\varphi = 2\pi i/N$. By the product formulas every term that depends on $\varphi$ cancels
# if $N$ does not divide 4, and the sum over $k$ leaves
#
# $$\frac1N\sum_{k,\varphi} f_j = \frac p4\,1[j = x+y] + \frac p8\,\bigl(1[j = 2x] + 1[j = 2y]\bigr) - \frac12 .$$
#
# The right class wins, with two *ghosts* of half its weight, at twice the inputs. For $N = 4$ a term with $4\varphi$
# survives, and the whole pattern appears once more, mirrored: at $-(x + y)$ as tall as the right class, so that the two
# tie, and at $-2x$ and $-2y$ half as tall. With $N$ random phases the
# rest cancels only on average, and the error should fall like $N^{-1/2}$.


# %%
def vote(p, phases):
    """Logits (S, n, p) of cosine neurons, divided by the number of phases; phases (S, frequencies, N)."""
    j, k = torch.arange(p, dtype=torch.double), torch.arange(1, phases.shape[1] + 1, dtype=torch.double)
    angle = (2 * torch.pi * k[:, None] / p * j)[None, :, None]  # (1, frequencies, 1, p)
    theta = torch.cos(angle + phases[..., None]).flatten(1, 2)  # (S, m, p)
    xi = torch.cos(angle + 2 * phases[..., None]).flatten(1, 2)
    net = PairNetwork(theta.transpose(1, 2), None, xi, torch.square)
    with torch.no_grad():
        return net(modular.pairs(p, ordered=False)) / phases.shape[-1]


def exactly(value, what, n=1, tolerance=1e-11):
    value = float(value)
    return estimate.exact(value, n, tolerance=1e-6 * abs(value) + tolerance, method=what)


s = sizes.vote
p, K = s["p"], s["p"] // 2
unordered = modular.pairs(p, ordered=False)
sums, first, second = (one_hot(c % p, p).double() for c in (unordered.sum(1), *(2 * unordered).T))
target = p / 4 * sums + p / 8 * (first + second) - 0.5  # the closed form
orders = (1 + (unordered[:, 0] != unordered[:, 1])).double()


def judged(logits):
    """Largest deviation from the closed form, share of pairs right, smallest margin of the right class."""
    sums = modular.labels(unordered, p)
    right = logits[0].gather(1, sums[:, None])
    margin = right[:, 0] - logits[0].scatter(1, sums[:, None], -torch.inf).amax(1)
    ties = (logits[0] > right - 1e-9).sum(1)  # among equal logits a fair draw decides
    share = ((margin > -1e-9) / ties * orders).sum() / orders.sum()
    deviation = exactly((logits[0] - target).abs().max(), "largest of all")
    return deviation, exactly(share, "exact"), float(margin.min())


cases = {}
print("phases, frequencies: deviation, share right, margin")
for n, k in [*((n, K) for n in s["phases"]), (5, 1), (5, 3)]:
    phases = 2 * torch.pi * torch.arange(n, dtype=torch.double) / n
    cases[n, k] = deviation, share, margin = judged(vote(p, phases.expand(1, k, n)))
    print(f"{n}, {k}: {deviation.value:.1e}, {share.value:.3f}, {margin:.3f}")

rng = torch_generator(chapter.seeds(1)[0], "phases")
noise = []
for n in s["counts"]:
    drawn = (2 * torch.pi * torch.rand(s["draws"], K, n, generator=rng, dtype=torch.double)).split(20)
    noise.append(torch.cat([(vote(p, part) - target).square().mean((1, 2)).sqrt() for part in drawn]).numpy())

# %% tags=["hide-input"]
margin = exactly(cases[5, 1][2] / cases[5, K][2], "exact")
chapter.measure("four-phases", deviation=cases[4, K][0], share=cases[4, K][1])
chapter.measure("one-frequency", deviation=cases[5, 1][0], share=cases[5, 1][1], margin=margin)

# %% [markdown]
# ## The lottery
#
# For small logits the softmax is uniform. Under gradient flow on the loss a $z^2$ network then falls apart into
# independent frequencies of independent neurons. With $z = \alpha e^{i\varphi}$ and $w = \beta e^{i\psi}$,
#
# $$\dot z = \tfrac2p\,\bar z\,w,\qquad \dot w = \tfrac1p\,z^2,\qquad\text{so}\qquad
# \dot D = -\tfrac1p\,(4\beta + \alpha^2/\beta)\sin D .$$
#
# Misalignment decays from every start but $\pi$, and growth is proportional to $\cos D$. All frequencies of a neuron
# therefore race, and the flow blows up in finite time: who comes first ends the race, because the loss is then gone.
# $\alpha^2 - 2\beta^2$ and $\alpha^2\beta\sin D$ stay constant and test the integrator, a Runge-Kutta method of fourth
# order. A frequency stops once its $\beta$ has reached the common level, ten times the mean start. The winner of a
# neuron is the first to reach it, ties go to the larger $\beta$. The time of a step is in units of a start of size
# 0.02; other sizes rescale time.


# %%
def field(z, w, p):
    return 2 / p * z.conj() * w, z * z / p


def advance(z, w, h, p):
    """One Runge-Kutta step."""
    slopes = [field(z, w, p)]
    for part in (h / 2, h / 2, h):
        slopes.append(field(z + part * slopes[-1][0], w + part * slopes[-1][1], p))
    dz, dw = (h / 6 * (q1 + 2 * (q2 + q3) + q4) for q1, q2, q3, q4 in zip(*slopes, strict=True))
    return z + dz, w + dw


def race(z, w, p, to_the_end=True):
    """The flow (..., K) of neurons: z, w and the time at which beta reached the level (infinite if never).

    Unless run to the end, a neuron's race is over with its first winner.
    """
    mean = np.abs(w).mean()
    level, h = 10 * mean, sizes.flow["step"] / (mean / 0.02)
    z, w = z.copy(), w.copy()
    reached, alive = np.full(z.size, np.inf), np.arange(z.size)
    a, b = z.ravel(), w.ravel()
    for i in range(1, round(sizes.flow["total"] / sizes.flow["step"]) + 1):
        a, b = advance(a, b, h, p)
        over = np.abs(b) >= level
        if over.any():
            reached[alive[over]] = i * h
            done = over if to_the_end else np.isin(alive // z.shape[-1], alive[over] // z.shape[-1])
            z.flat[alive[done]], w.flat[alive[done]] = a[done], b[done]
            a, b, alive = a[~done], b[~done], alive[~done]
    z.flat[alive], w.flat[alive] = a, b
    return z, w, reached.reshape(z.shape)


def winner(w, reached):
    """Index of the winning frequency of each neuron."""
    return np.where(reached == reached.min(-1, keepdims=True), np.abs(w), -1).argmax(-1)


def misalignment(z, w):
    return np.angle(z * z * w.conj())


def invariants(z, w):
    a, b = np.abs(z) ** 2, np.abs(w)
    return (a - 2 * b**2, a + 2 * b**2), ((z * z * w.conj()).imag, a * b)


s = sizes.flow
rng = numpy_generator(chapter.seeds(1)[0], "flow")
phase = rng.uniform(-np.pi, np.pi, (2, s["neurons"], K))
unit = rng.rayleigh(np.sqrt(2 / np.pi), (2, s["neurons"], K))  # mean 1, as of a random start
starts = {"equal sizes": 0.02 * np.exp(1j * phase), "random sizes": 0.02 * unit * np.exp(1j * phase)}
aligned, drifts, won = {}, [], {}
for name, (z, w) in starts.items():
    z1, w1, reached = race(z, w, p)
    aligned[name] = exactly((np.abs(misalignment(z1, w1)) < 0.05).mean(), "share of all frequencies", tolerance=1e-3)
    pairs = zip(invariants(z, w), invariants(z1, w1), strict=True)
    drifts.append([np.abs((after - before) / size).max() for (before, _), (after, size) in pairs])
    won[name] = winner(w1, reached)
misses = (np.abs(misalignment(*starts["equal sizes"])).argmin(-1) != won["equal sizes"]).sum()

# %%
small = fresh(chapter.seeds(1), p, 8, 1e-3, torch.square, "field").double()
slopes = torch.autograd.grad(Table(p, chapter.seeds(1)).loss(small).sum(), (small.first, small.output))


def complex_parts(first, output):
    """z and w, both (S, m, K), of weights in the layout of the network."""
    layers = harmonics(first.transpose(1, 2)), harmonics(output)
    return [torch.polar(h.amplitude, h.phase).cpu().numpy() for h in layers]


# descent moves the weights against the slope
moved = complex_parts(-slopes[0], -slopes[1])
expected = field(*complex_parts(small.first.detach(), small.output.detach()), p)
difference = max(np.abs(m - e).max() / np.abs(e).max() for m, e in zip(moved, expected, strict=True))
chapter.measure("field", exactly(difference, "largest of both layers, relative to the largest entry"))

# %% [markdown]
# **Trained networks.** A $z^2$ network is trained on all pairs by plain gradient descent. The winner of each neuron is
# predicted by the flow from this neuron's own start, and by two simpler rules: the smallest $|D|$, the largest input
# amplitude $\alpha$. The actual winner has the largest $\beta$ at the end. The theory's assumption ends when the loss
# falls: then neurons that lag behind stop growing, wherever they are. So agreement is also reported among those that
# passed the level. The official code trains the same network with AdamW, whose steps are not the flow's; that is
# reported beside, and so are larger starts $s$, for which the softmax is less uniform from the beginning.


# %%
def lottery(s, key, **options):
    """Train z² networks: which winners each guess names right, and which neurons passed the level, (S, m) each."""
    seeds, p = chapter.seeds(s["seeds"]), s["p"]
    net, table = fresh(seeds, p, s["width"], s["scale"], torch.square, key), Table(p, seeds)
    z, w = (v.astype(complex) for v in complex_parts(net.first.detach(), net.output.detach()))  # (S, m, K)

    def watch(step):  # the first network's neurons
        layers = harmonics(net.first[:1].transpose(1, 2)), harmonics(net.output[:1])
        return dict(beta=layers[1].amplitude, d=wrap(2 * layers[0].phase - layers[1].phase))

    probes = range(0, s["steps"] + 1, max(1, s["steps"] // 60))
    curves = train(net, table, s["steps"], probe=watch, probes=probes, **options)
    end = read(net)[1].amplitude.cpu().numpy()
    _, w1, reached = race(z, w, p, to_the_end=False)
    flow = winner(w1, reached)
    shuffled = [numpy_generator(i, "shuffle").permutation(row) for i, row in zip(seeds, flow, strict=True)]
    guesses = {
        "flow": flow,
        "smallest $|D|$": np.abs(misalignment(z, w)).argmin(-1),
        "largest $\\alpha$": np.abs(z).argmax(-1),
        "other neuron": np.stack(shuffled),
    }
    right = {name: guess == end.argmax(-1) for name, guess in guesses.items()}
    passed = end.max(-1) > 10 * np.abs(w).mean()
    return SimpleNamespace(net=net, table=table, curves=curves, start=(z[0], w[0]), right=right, passed=passed)


s = sizes.descent
descent = lottery(s, "descent", optimizer=partial(SGD, lr=s["lr"]))
larger = {}
for scale in sizes.scales:
    changed = s | dict(scale=scale, steps=max(1, round(s["steps"] * s["scale"] / scale)))
    run = lottery(changed, "scales", optimizer=partial(SGD, lr=s["lr"]))
    larger[str(scale)] = estimate.mean(run.right["flow"].mean(1))
s = sizes.quadratic
quadratic = lottery(s, "quadratic", **adam(s["lr"]))

# %% tags=["hide-input"]
agreed = {name: right.mean(1) for name, right in descent.right.items()}  # (S,) each
flow, closest, largest, shuffled = agreed.values()
chapter.measure("shuffled", estimate.mean(shuffled))
chapter.measure(
    "c2",
    misses=exactly(misses, f"count out of {phase.shape[1]}", phase.shape[1], tolerance=1),
    flow=estimate.mean(flow),
    over_closest=estimate.paired_difference(flow, closest),
    over_largest=estimate.paired_difference(flow, largest),
    among_passed=estimate.mean((descent.right["flow"] & descent.passed).sum(1) / np.maximum(descent.passed.sum(1), 1)),
    passed=estimate.mean(descent.passed.mean(1)),
    adamw=estimate.mean(quadratic.right["flow"].mean(1)),
    larger=larger,
)

# %% [markdown]
# **One frequency stays one frequency.** The official code has runs whose neurons start as single cosines, with phases
# unrelated between the layers. In the flow nothing can leak into other frequencies. In a real network the softmax does
# not stay uniform, so the share of the power that stays is reported.

# %%
s = sizes.pure
pure_seeds = chapter.seeds(s["seeds"])


own = np.arange(s["width"]) % (s["p"] // 2)  # each neuron's frequency, minus 1


def single(i, name):
    """Cosines (m, p) of one frequency per neuron, amplitudes and phases as of random numbers."""
    c = numpy_generator(i, "pure", name).standard_normal((2, s["width"], 1))
    angle = 2 * np.pi * np.outer(own + 1, np.arange(s["p"])) / s["p"]
    return s["scale"] * (c[0] * np.cos(angle) + c[1] * np.sin(angle))


theta, xi = (tensor([single(i, name) for i in pure_seeds]) for name in ("theta", "xi"))
pure = PairNetwork(theta.mT.contiguous(), None, xi, torch.square).to(chapter.device)
everything = Table(s["p"], pure_seeds)
train(pure, everything, s["steps"], optimizer=partial(SGD, lr=s["lr"]))
print("mean accuracy after training:", round(float(everything.accuracy(pure)[0].mean()), 3))
at_own = torch.as_tensor(own).expand(len(pure_seeds), -1)[..., None]  # (S, m, 1)
powers = [layer.power.cpu() for layer in read(pure)]  # (S, m, K) each
kept = [(power.gather(2, at_own)[..., 0] / power.sum(2)).mean(1).numpy() for power in powers]

# %% tags=["hide-input"]
drift, twisted = (exactly(worst, "largest of all") for worst in np.max(drifts, 0))
chapter.measure("c6", drift=drift, twisted=twisted, aligned=aligned, kept=estimate.mean(np.min(kept, 0)))

# %% tags=["hide-input"]
beta, d = (descent.curves[name][:, 0] for name in ("beta", "d"))  # (T, m, K)
grown = int(beta[-1].max(-1).argmax())  # the neuron that grew most
best = int(beta[-1, grown].argmax())
time = sizes.descent["lr"] * descent.curves.steps
z, w = (v[grown] for v in descent.start)
course = [np.abs(w[best])]
for gap in np.diff(time):
    for _ in range(20):
        z, w = advance(z, w, gap / 20, p)
    course.append(np.abs(w[best]))
    if course[-1] > beta[-1, grown, best]:
        break
amplitude, misaligned = "amplitude $\\beta_k$", "misalignment $|D_k|$"
k, curve = np.arange(1, K + 1), np.where(np.arange(K) == best, "winner", "other frequencies")
entries = [
    (amplitude, "flow", best + 1, time[: len(course)], course),
    (amplitude, curve, k, time[:, None], beta[:, grown]),
    (misaligned, curve, k, time[:, None], np.abs(d[:, grown])),
]
chapter.figure(
    table(("panel", "curve", "frequency", "time", "value"), entries),
    Lines("time", "value", by="curve", each="frequency", gray=["flow"]),
    panel="panel",
    panels={amplitude: {"yscale": "log"}, misaligned: {"ylim": (0, np.pi)}},
    ylabel="",
    xlabel="time (rate × step)",
    caption="Amplitudes and misalignments of all frequencies of one neuron in a trained z² network: the winner, and "
    "the others, thin, with their mean. It is the neuron that grew most. Dotted: the flow's forecast for the winner.",
    alt="One frequency of the neuron outgrows all others, as the flow forecasts; its misalignment falls to 0 first.",
)

# %% tags=["hide-input"]
chapter.figure(
    table(("predicted by", "share", "low", "high"), [(name, estimate.mean(v)) for name, v in agreed.items()]),
    Bars("predicted by", "share", interval=("low", "high")),
    Level(1 / K, "chance"),
    ylabel="winners predicted",
    ylim=(0, 1),
    caption="How often the winner is predicted by the flow from the neuron's own start, by one of its two ingredients "
    "alone, and from the start of another neuron; the dotted line is chance.",
    alt="The flow predicts most winners; smallest misalignment or largest input alone predict far fewer, and another "
    "neuron's start predicts about as many as chance.",
)

# %% [markdown]
# ## ReLU networks trained on all pairs
#
# This is the official standard run. AdamW moves every weight by about the same amount, so weights should come out
# closer to a square wave than to a cosine. A square wave has the participation ratio 2/3 and its second strongest
# frequency is three times the first, modulo $p$ and up to sign; by chance that would be one neuron in ten. The share is
# reported. For the phases $\varphi$ of the $n$ neurons at one frequency, $n\,|\mathrm{mean}\,e^{i\iota\varphi}|^2$ has
# mean 1 if they are independent and uniform, and is smaller if they repel. Its mean over frequencies is judged.


# %%
def cosine_reading(net):
    """The estimates of c3, from one number per network; no network may leave a frequency unused."""
    first, last = read(net)
    k1, k2 = first.frequency - 1, last.frequency - 1  # (S, m)
    own = k1[..., None]
    phi = first.phase.gather(2, own)[..., 0]
    sin_d = torch.sin(2 * phi - last.phase.gather(2, own)[..., 0]).abs()
    p = 2 * first.power.shape[-1] + 1
    triple = 3 * (k1 + 1) % p
    second = first.power.scatter(2, own, 0).argmax(2) + 1
    member = one_hot(k1, first.power.shape[-1]).to(torch.cfloat)  # (S, m, K)
    counts = member.sum(1).real
    expected = counts.mean(1, keepdim=True)

    def mean(values):
        return estimate.mean(values.cpu().numpy())

    def order(i):
        sums = torch.einsum("smk,sm->sk", member, torch.polar(torch.ones_like(phi), i * phi))
        return mean((sums.abs() ** 2 / counts.clamp(min=1)).mean(1))

    return dict(
        ipr=mean(mean_ipr(net)),
        one_frequency=mean((k1 == k2).float().mean(1)),
        sin_d=mean(sin_d.median(1).values),
        fewest=exactly(counts.min(), "smallest of all networks", len(counts), tolerance=3),
        chi2=mean(((counts - expected) ** 2 / expected).sum(1) / (counts.shape[1] - 1)),
        triple=mean((second == torch.minimum(triple, p - triple)).float().mean(1)),
        phases={i: order(i) for i in (1, 2, 3, 4)},
    )


def above_rest(net, table):
    """Mean logit of the right class and of the ghosts over pairs x ≠ y, minus the mean of the others; (S,) each."""
    apart = table.orders == 2
    pairs, p = table.pairs[apart], table.p
    with torch.no_grad():
        logits = net(pairs)
    right = logits[:, torch.arange(len(pairs)), table.labels[apart]]
    ghosts = logits.gather(2, (2 * pairs % p).expand(len(logits), -1, -1)).sum(2)
    rest = (logits.sum(2) - right - ghosts) / (p - 3)
    return [(v - rest).mean(1).cpu().numpy() for v in (right, ghosts / 2)]


def standard(p, width, s):
    seeds = chapter.seeds(s["seeds"])
    net, table = fresh(seeds, p, width, s["scale"], torch.relu, "standard"), Table(p, seeds)
    before = read(net)
    train(net, table, s["steps"], **adam(s["lr"]))
    return SimpleNamespace(net=net, table=table, before=before, found=cosine_reading(net))


relu = {p: standard(p, width, sizes.relu) for p, width in sizes.relu["widths"].items()}
chapter.measure("c3", **relu[23].found, other_ipr={p: run.found["ipr"] for p, run in relu.items() if p > 23})
if LARGE:
    chapter.measure("c3b", **standard(sizes.large["p"], sizes.large["width"], sizes.large).found)
elif chapter.full:
    reason = "p = 97 with width 1024 is run in the paper profile where there is a GPU; none was there"
    chapter.not_tested("c3b", reason)

# %% tags=["hide-input"]
right, ghosts = above_rest(descent.net, descent.table)
relu_right, relu_ghosts = above_rest(relu[23].net, relu[23].table)
chapter.measure(
    "c1",
    closed_form={n: cases[n, K][0] for n in (5, 8, 11)},
    quadratic=estimate.mean(right / ghosts),
    relu_ghosts=estimate.mean(relu_ghosts),
    relu_ratio=estimate.mean(relu_right / relu_ghosts),
    noise=estimate.loglog_slope(sizes.vote["counts"], np.stack(noise, 1)),
)

# %% tags=["hide-input"]
p, y = sizes.vote["p"], np.arange(sizes.vote["p"])
row = tensor([np.zeros_like(y), y], torch.long).T  # x = 0
maps = {"5 phases, all frequencies": target[unordered[:, 0] == 0]}
for name, net in (("z², gradient descent", descent.net), ("ReLU, AdamW", relu[23].net)):
    maps[name] = net(row).detach().mean(0).cpu()


def marks(ax, rows, cues):
    y = rows["y"].unique()
    for j, marker, color in ((y, "o", PALETTE[1]), (2 * y % p, "s", "white"), (0 * y, "^", "white")):
        ax.plot(y, j, marker, mfc="none", color=color, ms=5)


chapter.figure(
    table(("network", "y", "class", "logit"), [(name, y[:, None], y, logits) for name, logits in maps.items()]),
    Heat("y", "class", "logit", bar="logit"),
    marks,
    panel="network",
    size=(11, 3.8),
    ylabel="class j",
    caption="Logits for x = 0. Circles: the right class x + y; squares and triangles: the predicted ghosts at 2y and "
    "2x. Left: the closed form. Middle and right: means over the trained networks.",
    alt="Three heat maps. The right class is the brightest line in all of them. The two ghost lines are plain in the "
    "closed form, fainter in the ReLU networks, and in the z² networks partly hidden in the noise, from which they "
    "stand out in the mean over all pairs.",
)

# %% tags=["hide-input"]
entries = []
for when, (first, last) in (("before training", relu[23].before), ("after training", read(relu[23].net))):
    own = first.power[0].argmax(1, keepdim=True)
    twice, psi = (torch.remainder(v[0].gather(1, own)[:, 0], 2 * torch.pi).cpu() for v in (2 * first.phase, last.phase))
    entries.append((when, np.arange(len(own)), own[:, 0].cpu() + 1, twice, psi))
neurons = table(("when", "neuron", "frequency", "2 phi", "psi"), entries)
chapter.figure(
    neurons,
    lambda ax, rows, cues: ax.plot([0, 2 * np.pi], [0, 2 * np.pi], color="gray", ls=":"),
    Points("2 phi", "psi", size=2),
    panel="when",
    xlabel="$2\\varphi$ mod $2\\pi$",
    ylabel="$\\psi$ mod $2\\pi$",
    aspect="equal",
    caption="One ReLU network at p = 23, each point a neuron at its strongest frequency: twice the input phase "
    "against the output phase. On the dotted line they match.",
    alt="Before training the points fill the square; after it they lie along the diagonal, all the way round.",
)

# %% tags=["hide-input"]
used = neurons.query("when == 'after training'")["frequency"].value_counts().reindex(range(1, K + 1), fill_value=0)
chapter.figure(
    table(("frequency", "neurons"), [(used.index, used)]),
    Bars("frequency", "neurons"),
    Level(used.mean(), "an even share"),
    caption="How many neurons of this network ended at each frequency; dotted: an even share.",
    alt="Every frequency is used.",
)

# %% [markdown]
# ## Grokking
#
# Now a quarter of the ordered pairs is held out, drawn at random, and weight decay is strong (2.0). A test pair $(x,
# y)$ with $x \ne y$ whose mirror image $(y, x)$ was trained is solved as soon as the training pairs are. The share of
# such pairs is about $0.75\,(1 - 1/p)$ on average, and it is known exactly for each split; it predicts the plateau.
# $t_{95}$ is the first probe with 95 % accuracy.
#
# Controls: no weight decay on the same splits; no activation; a random symmetric table in place of addition, which can
# be memorised, mirror images included, but not generalised.


# %%
def grok(p, decay, activation=torch.relu, labels=None, **changes):
    s = sizes.grokking | changes
    seeds = chapter.seeds(s["seeds"])
    net = fresh(seeds, p, s["widths"][p], s["scale"], activation, "grokking")
    table = Table(p, seeds, s["share"], labels)

    def watch(step):
        train, test = table.accuracy(net)
        norm = sum(w.square().sum((1, 2)) for w in net.parameters()).sqrt()
        return dict(train=train, test=test, ipr=mean_ipr(net), norm=norm)

    probes = range(0, s["steps"] + 1, s["every"])
    curves = train(net, table, s["steps"], probe=watch, probes=probes, **adam(s["lr"], decay))
    t95 = [onset(curves.steps, curves[name], 0.95) for name in ("train", "test")]
    # of the test pairs, those whose mirror image is in the training set
    mirrored = ((table.train == 1) & (table.orders == 2)).sum(1) / table.test.sum(1)
    return SimpleNamespace(curves=curves, t95=t95, share=mirrored.cpu().numpy())


def at(run, name, steps):
    """Values (S,) of a curve at one step per run."""
    where = np.searchsorted(run.curves.steps, steps)
    return run.curves[name][where, np.arange(len(steps))]


g, controls = sizes.grokking, sizes.controls
runs = {p: grok(p, g["decay"]) for p in g["widths"]}
last = max(runs)
plain = grok(last, 0.0)
identity = grok(last, g["decay"], activation=torch.nn.Identity(), **controls)
table_generator = torch_generator(chapter.seeds(1)[0], "random table")
random_labels = torch.randint(last, (last * (last + 1) // 2,), generator=table_generator)
random = grok(last, g["decay"], labels=random_labels, **controls)

# %% tags=["hide-input"]
LOGGED_T95 = {23: 9431, 29: 6426, 31: 5119}


def end(run, name):
    return run.curves[name][-1]


c4, c4b, c5 = {}, {}, {}  # p -> quantity -> estimate
for p, run in runs.items():
    (first, second), steps, norm = run.t95, run.curves.steps, run.curves["norm"]
    sparse = at(run, "ipr", second.step)
    c4[p] = dict(
        slow=estimate.count(first.reached & second.reached & (second.over(first) >= 2)),
        rise=estimate.paired_difference(sparse, at(run, "ipr", first.step)),
        afterwards=estimate.paired_difference(end(run, "ipr"), sparse),
        test=estimate.mean(end(run, "test")),
        ipr=estimate.mean(end(run, "ipr")),
    )
    late = np.where(steps[:, None] >= second.step, norm, 0)
    c4b[p] = dict(
        fall=estimate.mean(norm[-1] / late.max(0)),
        since_t95=estimate.mean(norm[-1] / at(run, "norm", second.step)),
        peak=estimate.median(steps[late.argmax(0)]),
        logged=estimate.median(second.step / LOGGED_T95[p]),
    )
    # test accuracy at the first probe with every training pair right
    seen = at(run, "test", onset(steps, run.curves["train"], 1 - 1e-6).step)
    flat, off = estimate.mean(seen), np.abs(seen - run.share).max()
    c5[p] = dict(
        plateau=flat,
        gap=exactly(max(0.0, 0.646 - flat.high, flat.low - 0.806), "from the interval of the plateau"),
        off_share=estimate.exact(off, len(seen), tolerance=0.01, method="largest of all runs"),
    )


def families(by_p):
    """quantity -> p -> estimate."""
    return {name: {p: found[name] for p, found in by_p.items()} for name in by_p[last]}


chapter.measure("c4", **families(c4), **delays({p: run.t95 for p, run in runs.items()}))
chapter.measure("c5", **families(c5))
if chapter.full:
    chapter.measure("c4b", **families(c4b))

later = ~plain.t95[1].reached | (plain.t95[1].step > runs[last].t95[1].step)
chapter.measure(
    "no-decay",
    training=exactly(end(plain, "train").min(), "smallest of all runs"),
    later=estimate.count(runs[last].t95[1].reached & later),
    ipr=estimate.paired_difference(end(plain, "ipr"), end(runs[last], "ipr")),
    test=estimate.mean(end(plain, "test")),
    **delays({"no decay": plain.t95}),
)
chapter.measure("identity", training=estimate.mean(end(identity, "train")), test=estimate.mean(end(identity, "test")))
chapter.measure(
    "random-table",
    training=estimate.mean(end(random, "train")),
    off_share=exactly(np.abs(end(random, "test") - random.share).max(), "largest of all runs"),
    generalise=estimate.count(random.t95[1].reached),
    rise=estimate.paired_difference(end(random, "ipr"), random.curves["ipr"][0]),
)

# %% tags=["hide-input"]
shown = {"train": "training accuracy", "test": "test accuracy", "ipr": "participation ratio", "norm": "norm of weights"}
entries = []
for name, run in (("with decay", runs[last]), ("without decay", plain), ("random table", random)):
    steps = run.curves.steps
    keep = np.unique(np.searchsorted(steps, log_spaced(steps[-1], 100)))[1:]
    entries += [(panel, name, steps[keep], run.curves[key][keep].mean(1)) for key, panel in shown.items()]
chapter.figure(
    table(("panel", "run", "step", "value"), entries),
    Lines("step", "value", by="run"),
    Level({"test accuracy": g["share"] * (1 - 1 / last)}, "mirrored pairs"),
    panel="panel",
    panels={panel: {"ylim": (0, 1.02)} for key, panel in shown.items() if key != "norm"},
    xscale="log",
    ylabel="",
    caption=f"Grokking at p = {last}, means over {g['seeds']} runs (random table: {controls['seeds']}): accuracies, "
    f"with the share of test pairs whose mirror image was trained (dotted), sparsity of the spectrum, norm of the "
    "weights.",
    alt="Training accuracy rises first. Test accuracy then pauses near the share of mirrored pairs and, with weight "
    "decay, rises to the top while the spectrum becomes sparse. Without decay it lags behind and the spectrum stays "
    "less sparse. With a random table it stays at that share.",
)

# %% [markdown]
# The training accuracy pauses too, while the test accuracy is still near 0. By symmetry this means that of the pairs
# trained in one order only hardly any is right yet: those trained in both orders, which count twice in the loss, come
# first. The others follow, and with them their mirror images in the test set.
#
# ## Verdict

# %% tags=["nbval-check-output"]
chapter.verdicts()

# %%
chapter.report()

# %% [markdown]
# **What was easy.** The theory at small weights. The vote, the flow and the plateau have closed forms or exact
# invariants, so each was computed on its own and then compared with networks. The flow's field agrees with automatic
# differentiation; a sign error in one of its terms, which one public text has, would show there.
#
# **What was hard.** To say what a winner is. Most neurons of a $z^2$ network under gradient descent stop growing when
# the loss is gone, before any frequency has clearly won. They are counted too, and they hold most of the wrong
# predictions; among the neurons that passed the level hardly any is wrong.
#
# **What the paper leaves out.** That AdamW plays nearly the same lottery is more than the theory says: it moves weights
# by other steps than the flow, and the flow's forecast still beats guessing by far. The ratio of right class to ghosts
# is 2:1 in the closed form only. In trained $z^2$ networks it is somewhat larger, in ReLU networks, which the paper
# mostly uses, more than twice as large; the official logits show the same. And the weights under AdamW are no pure
# cosines: what comes second in a neuron is the third harmonic, as in a square wave, far more often than by chance.
#
# **Where this run differs.** Learning rates are larger and runs shorter in `quick`; decay per step grows with the rate
# in AdamW, which is intended. The $z^2$ networks of the lottery are trained by plain gradient descent, for which the
# theory is made; the official run with AdamW is reported. Random sizes in the flow have the same mean as equal ones.
# The official run of a ReLU network from single frequencies is left out, because no claim here rests on it. The norm's
# fall and the official times need the official rate, so they are a claim of their own, c4b; $p = 97$ needs a GPU and is
# c3b.
#
# **What is ambiguous.** Four phases make the right class tie with another one; the share of pairs that come out right
# then depends on rounding, so here ties are drawn by lot. The criterion of c5 asks that an interval "contains or
# touches" 0.726 ± 0.08: judged is the gap between the two, which must be 0. "About 1/11", "memorises" and "stays at its
# start" in the controls had no numbers: 0.03 around 1/11, a training accuracy above 0.95 and a rise below 0.1 were set
# after a pilot on other seeds. The drifts of the invariants are relative to their present size, since both terms grow.
# "Ordering as logged" in the paper profile is read as: memorise first, then generalise, with a sparser spectrum at each
# stage.
