# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Chapter 46: Pictures that move
#
# Eight sliders, each over numbers that were computed beforehand. Chapters 2 and 32 have one more each. Move a slider
# before you read what is below it. *Guess before you start: in which of the eight pictures is there a position at which
# a method that was good a moment ago becomes useless?*
#
# **What you will do**
#
# - cool a machine, and bring a zero of its partition function nearer;
# - fit one Gaussian to two hills, by both divergences, and bend it by a map;
# - walk from one system to another in haste and at leisure;
# - enlarge groups of weights, and copies of a system.
#
# **What you will learn**
#
# - to see in one picture what a chapter has derived in many lines;
# - where each of these methods stops working, and how suddenly;
# - how to make such a picture of numbers of your own.
#
# **What you need**: chapters 1 and 2 for section 1, chapter 17 for section 2, chapter 28 for section 3, chapter 20 for
# section 4, chapters 34 and 38 for section 5, chapter 31 for section 6. Each section can be used without the others.
#
# **Time**: about 39 minutes, and 120 for the exercises. The code runs in some seconds.
#
# The sliders move in JupyterLab and in the book, where no Python runs; elsewhere a picture of one position is shown.
# Numbers such as (B21) are rows of the table `EQUATIONS.md`; energies are in nats.

# %% tags=["setup"]
# On Colab: install the course. Everywhere else it is installed already.
import importlib.util
import subprocess
import sys

COURSE = ""  # where pip finds it, such as git+https://..
if importlib.util.find_spec("rbm_tf") is None:
    subprocess.check_call([sys.executable, "-m", "pip", "install", "--quiet", COURSE])

# %%
from rbm_tf.quiet import quiet_start

quiet_start()  # TensorFlow's start-up messages, off

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from scipy import optimize, special, stats

from rbm_tf import BernoulliRBM, cumulants, enumeration
from rbm_tf.course import check
from rbm_tf.explorable import Explorable
from rbm_tf.machine import clamped_free_energy
from rbm_tf.tempered_path import tempered_path

# %%
seed = 0
betas = np.linspace(0, 2.5, 16)
probability = 0.3  # of the upper one of two values
spreads = np.linspace(0.5, 4.0, 15)  # the upper value; the lower one is 0
distances = np.linspace(0, 2.5, 21)  # of either hill from the middle
temperatures = np.geomspace(3.0, 0.03, 15)
steps = 3, 30  # of a hasty and of a slow walk
shapes = np.geomspace(0.3, 30, 31)  # of Gamma-distributed weights, whose variance is 1 / shape
sizes = 2 ** np.arange(9)  # groups, and copies
bends = np.linspace(0, 1.6, 9)  # of a map

plt.style.use(["rbm_tf.course", {"figure.dpi": 100}])


# %% [markdown]
# ## 1. Cooling, and a zero that comes nearer
#
# All 4,096 states of a random machine of 12 binary units have an energy. At the inverse temperature $\beta$ a state has the
# probability $e^{-\beta E} / Z$. The bars show how probability is spread over energies. *Which part of the machine does a sample see at $\beta = 2.5$?*

# %%
rng = np.random.default_rng(seed)
machine = BernoulliRBM.from_parameters(
    rng.normal(size=(8, 4)), *(rng.normal(size=num) for num in (8, 4)), dtype="float64"
)
bits = [(np.arange(2**num)[:, None] >> np.arange(num)) & 1 for num in (8, 4)]
v, h = np.repeat(bits[0], 16, axis=0), np.tile(bits[1], (256, 1))
energies = machine.energy(v.astype(float), h.astype(float)).numpy()
p = special.softmax(-betas[:, np.newaxis] * energies, axis=1)  # (16, 4096)
exact = enumeration.thermodynamics(machine, betas)
check(p @ energies, exact.energy)
check(betas**2 * (p @ energies**2 - (p @ energies) ** 2), exact.heat_capacity, tolerance=1e-8)

# %% name="slide-beta" alt="Bars: the probability of energies. At beta = 0 a broad hill; as beta grows it moves to low energies and ends as a single bar at the left."
edges = np.linspace(energies.min() - 0.01, energies.max() + 0.01, 41)
bars = [np.histogram(energies, edges, weights=one)[0] for one in p]
options = {"xlabel": "energy (nats)", "ylabel": "probability", "name": "beta", "bars": True}
alt = "A hill of energies that moves to low energies and narrows as beta grows."
lowest = np.sort(p[-1])[::-1]
print(
    f"beta = 2.5: {np.sum(np.cumsum(lowest) < 0.5) + 1} of 4096 states have half of the probability"
)
assert np.sum(np.cumsum(lowest) < 0.5) < 10
Explorable((edges[1:] + edges[:-1]) / 2, {"probability": bars}, values=betas, alt=alt, **options)

# %% [markdown]
# A few states have half of the probability. What a sample at low temperature does not see is the hill at $\beta = 0$: there all
# 4,096 states count alike, and the logarithm of their number is the entropy.
#
# Now a variable with two values: 0, and $s$ with the probability $0.3$. Its cumulant generating function
# $\ln (0.7 + 0.3\, e^{s t})$ has its nearest singularity where the bracket vanishes, at the distance
#
# $$R = \frac1s \sqrt{ \ln^2 \tfrac{7}{3} + \pi^2 } \tag{1.1}$$
#
# from $t = 0$ (chapter 2, section 3). The slider enlarges $s$, and the truncated series (B21) are drawn over $t$. *At which $s$
# does a higher order become worse than a lower one at $t = 1$?*

# %% name="slide-zero" alt="The exact cumulant generating function, and its series of orders 2, 4 and 12. For small s they agree; as s grows order 12 leaves the exact curve at a point that moves in towards t = 0, and shoots off."
t = np.linspace(-1.5, 1.5, 31)
exact_cgf = np.log(1 - probability + probability * np.exp(spreads[:, np.newaxis] * t))
powers = np.arange(1, 13)
series = {"exact": exact_cgf}
kappa = cumulants.cumulants_from_moments(probability * spreads ** powers[:, np.newaxis]).numpy()
for order in (2, 4, 12):
    terms = kappa[:order, :, np.newaxis] * t ** powers[:order, np.newaxis, np.newaxis]
    factorials = special.factorial(powers[:order])[:, np.newaxis, np.newaxis]
    series[f"order {order}"] = np.sum(terms / factorials, axis=0)
options = {"xlabel": "t", "ylabel": "ln of the mean of exp(t x)", "name": "s", "ylim": (-2, 8)}
alt = "Series of orders 2, 4 and 12 leave the exact curve at a point that moves inwards as s grows."
Explorable(t, series, values=spreads, alt=alt, index=13, **options)

# %%
at_one = np.argmin(np.abs(t - 1))
errors = {name: np.abs(curve - exact_cgf)[:, at_one] for name, curve in series.items()}
worse = spreads[errors["order 12"] > errors["order 4"]].min()
on_the_circle = np.hypot(np.log(1 / probability - 1), np.pi)  # the s of R = 1 (1.1)
print(f"R = 1 at s = {on_the_circle:.2f};", end=" ")
print(f"at t = 1 order 12 is worse than order 4 from s = {worse:.2f} on,", end=" ")
early = spreads[errors["order 4"] > errors["order 2"]].min()
print(f"order 4 worse than order 2 from {early:.2f} on")
assert early < on_the_circle < worse < 1.25 * on_the_circle

# %% [markdown]
# From $s = 3.25$ on the point $t = 1$ lies outside of the circle with the radius $R$, and there the series diverges, although
# the exact curve is smooth: the zero is at a complex $t$. Finite orders know nothing of $R$: order 4
# is worse than order 2 from 2.75 on, inside of the circle, and order 12 worse than order 4 from 3.75 on. Lines
# that leave the picture run along its edge.
#
# ## 2. One Gaussian for two hills
#
# $p$ has two hills of width 0.5 at $\pm d$. The Gaussian with the least $\mathrm{KL}(p \| q)$ has the mean and the variance of
# $p$. The one with the least $\mathrm{KL}(q \| p)$, which is what a variational bound takes, is found by minimising over its mean
# and width (chapter 17, section 3). *What does the second one do when the hills part?*

# %%
x = np.linspace(-4.5, 4.5, 181)
nodes = np.linspace(-8, 8, 801)  # of a standard normal variable
node_weights = special.softmax(-(nodes**2) / 2)


def log_hills(y, d):
    """ln p of two hills of width 0.5 at d and -d."""
    both = [-2 * (y - d) ** 2, -2 * (y + d) ** 2]
    return np.logaddexp(*both) - np.log(2 * 0.5 * np.sqrt(2 * np.pi))


# %%
def reverse_kl(parameters, d):
    """KL(q || p) of a Gaussian, whose parameters are its mean and ln of its width, as a sum."""
    y = parameters[0] + np.exp(parameters[1]) * nodes
    return -parameters[1] - 0.5 * np.log(2 * np.pi * np.e) - node_weights @ log_hills(y, d)


def best_fit(d):
    """Mean and ln of the width of the Gaussian with the least KL(q || p), from two starts."""
    starts = (0.0, np.log(1.0)), (d, np.log(0.5))
    tries = [optimize.minimize(reverse_kl, x, (d,), method="Nelder-Mead") for x in starts]
    return min(tries, key=lambda found: found.fun).x


# %% name="slide-kl" alt="Two hills and two Gaussians. When the hills are apart, one Gaussian is broad and covers both with its maximum between them; the other sits on one hill."
mean, log_width = np.transpose([best_fit(d) for d in distances])[..., np.newaxis]
wide = np.sqrt(0.25 + distances**2)[:, np.newaxis]
curves = {
    "p": np.exp([log_hills(x, d) for d in distances]),
    "least KL(q|p)": stats.norm.pdf(x, mean, np.exp(log_width)),
    "least KL(p|q)": stats.norm.pdf(x, 0, wide),
}
options = {"xlabel": "x", "ylabel": "density", "name": "distance d", "ylim": (0, 1.1)}
alt = "Two hills part; one Gaussian stays on one of them, the other grows to cover both."
shown = {name: np.array(curve)[::2, ::3] for name, curve in curves.items()}
Explorable(x[::3], shown, values=distances[::2], alt=alt, index=7, **options)

# %%
variances = np.trapezoid(curves["p"] * x**2, x, axis=1)
check(variances[:, np.newaxis], wide**2, tolerance=1e-3)
size, jump = np.abs(mean[:, 0]), np.argmax(np.abs(mean[:, 0]) > 0.5)
fits = zip(mean[:, 0], log_width[:, 0], distances, strict=True)
least = [reverse_kl((m, w), d) for m, w, d in fits]
print(f"least KL(q|p): mean 0 up to d = {distances[jump - 1]:.3f},", end=" ")
print(f"{size[jump]:.2f} at d = {distances[jump]:.3f}, {size[-1]:.2f} at d = {distances[-1]:.3f}")
print(f"KL(q|p) {least[jump - 1]:.3f} before the jump, {least[jump]:.3f} after it")
assert np.log(2) > least[jump] and least[jump - 1] > 0.9 * np.log(2)  # no jump of the KL
assert np.all(size[:jump] < 0.01) and np.all(np.abs(size - distances)[jump:] < 0.02)
check(reverse_kl((mean[-1], log_width[-1]), distances[-1]), np.log(2), tolerance=1e-4)
near = stats.norm.cdf(distances[-1] + np.array([-1, 1]), scale=wide[-1])  # to one hill
print(f"least KL(p|q): {1 - 2 * np.diff(near)[0]:.0%} is further than two widths from both hills")
assert 0.55 < 1 - 2 * np.diff(near)[0] < 0.65

# %% [markdown]
# It jumps: from some distance on it sits on one hill, and pays $\ln 2$ for the other one. Its KL does not jump: nearly all of
# that was lost before. The broad Gaussian stays in the
# middle. When the hills are furthest apart, three fifths of its probability lie where $p$ has less than a twentieth.
#
# ## 3. Energy, entropy and the way to a point
#
# The energy (2.1) of chapter 28 has a narrow deep well and one that is five times as wide, but shallower by $\ln \frac53$
# nats. At the temperature $T$ the density $e^{-E/T} / Z$ is the one with the least $\langle E \rangle - T S$ (section 1 there).
# *Which well does it prefer when it is hot, and which when it is cold?* The height between the two steps is the
# probability of the deep one.

# %% name="slide-temperature" alt="The probability up to z, with a step at each of two wells. Hot, most of it comes from the wide well on the right; cold, it is a single step at the bottom of the narrow deep one on the left."
z = np.linspace(-8, 8, 6401)
deep = -((z + 1.5) ** 2) / (2 * 0.1**2)
energy = -np.logaddexp(deep, np.log(0.6) - (z - 1.5) ** 2 / (2 * 0.5**2))
density = special.softmax(-energy / temperatures[:, np.newaxis], axis=1)  # times the spacing
right, equal = density[:, z > 0].sum(axis=1), np.log(5 / 3) / np.log(5)  # T_* of chapter 28
print(f"probability of the wide well: {right[0]:.2f} at T = 3, {right[-1]:.0e} at T = 0.03", end="")
print(f", one half at T = {equal:.3f}")
assert right[0] > 0.7 and right[-1] < 1e-6 and np.all((right > 0.5) == (temperatures > equal))
below, show = np.cumsum(density, axis=1), (np.abs(z) < 3.5) & (np.arange(6401) % 40 == 0)
options = {"xlabel": "z", "ylabel": "probability up to z", "name": "T", "index": 5}
alt = "Hot: a high step at the wide well. Cold: a single step at the bottom of the narrow one."
Explorable(z[show], {"up to z": below[:, show]}, values=temperatures, alt=alt, **options)

# %% [markdown]
# Hot: the wide well, for its entropy. Cold: the deep one, and in the end a single point, which is what a deterministic autoencoder
# keeps. They are level at $T = \ln \frac53 / \ln 5 = 0.32$, where the free energies of the wells are equal.
#
# ## 4. In haste and at leisure
#
# Annealing walks from independent units to a machine, $\beta$ from 0 to 1. Here are *all* walks at once: the distribution over
# the 64 states of six visible units after each step, by matrices, for a walk of 3 and one of 30 steps, and in equilibrium. *How far does
# the hasty walk lag behind?*

# %%
tiny = BernoulliRBM.from_parameters(
    2.0 * rng.normal(size=(6, 4)), *(rng.normal(size=num) for num in (6, 4)), dtype="float64"
)
states, hidden = (((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(float) for n in (6, 4))
path, kernel = tempered_path(tiny, base="uniform"), tiny.kernel.numpy()


# %%
def sweep(beta):
    """T(v'|v) of a Gibbs sweep, rows v."""
    exponent = states @ kernel @ hidden.T + (states @ tiny.visible_bias.numpy())[:, None]
    exponent = beta * (exponent + hidden @ tiny.hidden_bias.numpy())
    return special.softmax(exponent, 1) @ special.softmax(exponent, 0).T


def equilibrium(beta):
    free = path.free_energy(tf.constant(states), path.hidden_input(states), beta).numpy()
    return special.softmax(-free)


# %% name="slide-haste" alt="Three cumulative probabilities of 64 states, those of the lowest free energy first. As beta grows the one in equilibrium rises more steeply; that of thirty steps follows closely; that of three steps stays below."
shown = np.linspace(0, 1, 31)
walks = {"equilibrium": [equilibrium(beta) for beta in shown]}
for num in steps:
    now, walked = equilibrium(0.0), []
    for k, beta in enumerate(shown):
        now = now @ sweep(beta) if k and k % (30 // num) == 0 else now
        walked.append(now)
    walks[f"{num} steps"] = walked
by_height = np.argsort(clamped_free_energy(tiny, tf.constant(states)).numpy())
curves = {name: np.cumsum(np.array(rows)[:, by_height], axis=1) for name, rows in walks.items()}
options = {"xlabel": "states, lowest first", "ylabel": "probability up to here", "name": "beta"}
alt = "Cumulative probabilities: that of three steps lags behind the one in equilibrium."
every_second = {name: curve[::2] for name, curve in curves.items()}
Explorable(np.arange(64), every_second, values=shown[::2], alt=alt, index=10, **options)


# %%
def divergence(name, row=-1):
    now, goal = walks[name][row], walks["equilibrium"][row]
    return np.sum(special.rel_entr(now, goal))


lag = [divergence(f"{num} steps") for num in steps]
for num, value in zip(steps, lag, strict=True):
    print(f"{num:2d} steps: KL to the machine at the end {value:.4f} nats")
check(equilibrium(1.0), special.softmax(-tiny.free_energy(states).numpy()))
check(equilibrium(0.6) @ sweep(0.6), equilibrium(0.6))  # a sweep leaves equilibrium alone
assert lag[1] < lag[0] / 100 and lag[0] > 0.05

# %% [markdown]
# The hasty walk ends 0.09 nats away from the machine, the one with ten times as many steps more than a hundred times nearer. In
# annealing the weights have to make up for this lag ([chapter 20, section 6](20_fluctuation_theorems.ipynb)).
#
# ## 5. Groups, and copies
#
# Weights $w$ with a Gamma distribution of mean 1 have known cumulants: those of $\ln w$ are polygamma functions of the shape $a$. The
# mean of $G$ such weights has a Gamma distribution again, of shape $a G$ (chapter 34, sections 4 and 5). Since $\ln \langle w \rangle
# = 0$, the error of order $n$ from groups of $G$ is
#
# $$\epsilon_n = \psi(a G) - \ln (a G) + \sum_{k=2}^{n} \frac{\psi^{(k-1)}(a G)}{k!} . \tag{5.1}$$
#
# $\psi$ is the digamma function. The slider enlarges the groups. *From which variance $1/a$ on is order 3 worse than order
# 2, and from which on worse than the bound, which is order 1?*


# %% name="slide-groups" alt="Errors of orders 1 to 3 against the variance of the weights. Order 1 leaves zero first, downwards; then order 2 goes up and order 3 down. With larger groups all three do so at larger variances."
def error_of_order(order, shape):
    """(5.1)"""
    higher = [special.polygamma(k - 1, shape) / special.factorial(k) for k in range(2, order + 1)]
    return special.digamma(shape) - np.log(shape) + np.sum(higher, axis=0)


variance, by_size = 1 / shapes[::-1], shapes[::-1] * sizes[:, np.newaxis]
curves = {f"order {n}": error_of_order(n, by_size) for n in (1, 2, 3)}
options = {"xlabel": "ln of the variance of a weight", "ylabel": "error (nats)", "ylim": (-1, 1)}
alt = "Errors of orders 1 to 3 against the spread of weights; larger groups push them outwards."
Explorable(np.log(variance), curves, values=sizes, name="group size", alt=alt, **options)

# %%
draws = np.random.default_rng(seed).gamma(2.0, size=(20, 10_000, 2)) / 2.0  # 20 blocks of pairs
k = [cumulants.sample_cumulants(block, max_order=3) for block in np.log(draws.mean(axis=2))]
sums = np.cumsum(np.array(k) / [1, 2, 6], axis=1)
expected = [error_of_order(n, 4.0) for n in (1, 2, 3)]
assert np.all(np.abs(sums.mean(axis=0) - expected) < 5 * stats.sem(sums))


# %%
def border(higher, lower):
    """The variance of single weights from which on the higher order is the worse one."""
    by_how_much = [lambda v, n=n: abs(error_of_order(n, 1 / v)) for n in (higher, lower)]
    return optimize.brentq(lambda v: by_how_much[0](v) - by_how_much[1](v), 0.3, 4.0)


print(f"single weights: order 3 is worse than order 2 from variance {border(3, 2):.2f}", end=" ")
print(f"on, worse than the bound from {border(3, 1):.2f} on; order 2 from {border(2, 1):.2f} on")
assert border(3, 2) < border(3, 1) < border(2, 1)

# %% [markdown]
# With single weights order 3 is worse than order 2 from the variance 1.5 on, and worse than the bound from 1.8 on. Since (5.1)
# depends on $a G$ alone, groups of $G$ push these borders outwards by the factor $G$; a group costs $G$ draws.
#
# **Copies.** Now let $N$ independent copies of one such system be a single large one. Its log-weight is the sum of $N$ log-weights.
# Every cumulant grows like $N$, so the error of order 2 *per copy* does not depend on $N$. The bound with the mean of $K$ weights
# falls back to the ELBO ([chapter 38, section 4](38_size_extensivity.ipynb)). *With 512 samples one copy is nearly exact. What do
# they leave for 64 copies?*

# %% name="slide-copies" alt="Error per copy against the number of samples K. For one copy the bound with K samples approaches zero; as copies are added its curve sinks and flattens towards the error of the ELBO; the line of order 2 stays where it is."
samples, shape, rng = 2 ** np.arange(10), 4.0, np.random.default_rng(seed)
copies = np.log(rng.gamma(shape, size=(400, samples[-1], 64)) / shape).cumsum(axis=2)
gaps = []
for num in (1, 2, 4, 8, 16, 32, 64):
    log_w = copies[..., num - 1]  # (400, 512)
    bound = [np.mean(special.logsumexp(log_w[:, :K], axis=1) - np.log(K)) for K in samples]
    gaps.append(np.array(bound) / num)
second = float(error_of_order(2, np.array([shape]))[0])
curves = {"mean of K weights": gaps, "order 2": np.full((7, 10), second)}
options = {"xlabel": "log2 of the number of samples K", "ylabel": "error per copy (nats)"}
options = options | {"name": "copies", "ylim": (-0.15, 0.05), "index": 6}
alt = "The error per copy of a mean of K weights grows as copies are added; order 2 stays."
Explorable(np.log2(samples), curves, values=(1, 2, 4, 8, 16, 32, 64), alt=alt, **options)

# %%
elbo = float(error_of_order(1, np.array([shape]))[0])
spread = np.std(copies[..., 63][:, 0]) / np.sqrt(400) / 64
print(f"per copy: ELBO {elbo:.4f}, order 2 {second:.4f}", end=", ")
print(f"512 samples {gaps[0][-1]:.4f} for one copy, {gaps[-1][-1]:.4f} nats for 64")
assert abs(gaps[-1][0] - elbo) < 5 * spread
every_bound = special.logsumexp(log_w, axis=1) - np.log(samples[-1])  # of 64 copies
both = np.array([every_bound, log_w.mean(axis=1) + log_w.var(axis=1, ddof=1) / 2]) / 64
rms = np.sqrt(np.mean(both**2, axis=1))  # a mean of weights, order 2
print("64 copies, root mean square: {:.4f} and, by order 2, {:.4f} nats per copy".format(*rms))
assert np.mean(both[0] ** 2 - both[1] ** 2) > 5 * stats.sem(both[0] ** 2 - both[1] ** 2)
kl = special.digamma(shape + 1) - np.log(shape)  # KL(p|q) of one copy
print(f"exp(64 KL(p|q)) = {np.exp(64 * kl):.0f} samples")
assert abs(gaps[0][-1]) < second / 2 and np.exp(64 * kl) > 512

# %% [markdown]
# One copy is nearly exact with 512 samples. For 64 copies the same samples leave more than order 2, also when the noise of order
# 2 is counted. To close the whole gap it takes about $e^{0.12 N}$ samples ((4.4) of chapter 38: $\mathrm{KL}(p \| q)$ of one copy
# is $\psi(a + 1) - \ln a = 0.12$ nats).
#
# ## 6. A map that makes two hills
#
# The map $y = z + c \tanh(12 z)$ pushes a Gaussian of width 0.25 apart. By the change of variables (B46) its density is
# $q(y) = q_0(z) / |dy/dz|$. The target has two wells. *At which bend $c$ is the map best, and what happens beyond it?*

# %% name="slide-map" alt="A density over y and the target with two hills at -1 and 1. As the bend grows a single hill becomes broad, then two; near c = 0.8 they lie on those of the target."
y, grid = np.linspace(-2.8, 2.8, 225), np.linspace(-3, 3, 6001)  # of y and of z
start = np.exp(-8 * grid**2) / (0.25 * np.sqrt(2 * np.pi))
target = np.exp(-3 * (y**2 - 1) ** 2)
log_z = np.log(np.trapezoid(target, y))
pushed, divergences = [], []
for c in bends:
    slope, moved = 1 + 12 * c / np.cosh(12 * grid) ** 2, grid + c * np.tanh(12 * grid)
    pushed.append(np.interp(y, moved, start / slope))
    log_q = -8 * grid**2 - np.log(0.25 * np.sqrt(2 * np.pi) * slope)
    divergences.append(np.trapezoid(start * (log_q + 3 * (moved**2 - 1) ** 2), grid) + log_z)
curves = {"q": pushed, "target": np.tile(target * np.exp(-log_z), (len(bends), 1))}
options = {"xlabel": "y", "ylabel": "density", "name": "bend c"}
alt = "A hill splits into two, which pass those of the target as the bend grows."
shown = {name: np.array(curve)[:, ::2] for name, curve in curves.items()}
Explorable(y[::2], shown, values=bends, alt=alt, index=int(np.argmin(divergences)), **options)

# %%
check(np.trapezoid(pushed, y, axis=1), 1, tolerance=2e-3)
best = int(np.argmin(divergences))
print(
    f"KL(q|p): {divergences[0]:.2f} nats without bend, {divergences[best]:.3f} at c = {bends[best]:.1f}"
)
assert 0 <= divergences[best] < 0.1 and divergences[0] > 1 and divergences[-1] > 10
assert np.all(np.diff(divergences[: best + 1]) < 0) and np.all(np.diff(divergences[best:]) > 0)

# %% [markdown]
# The best bend of the slider is 0.8. Beyond it the hills pass those of the target, and $\mathrm{KL}(q \| p)$ grows faster than it
# fell.
#
# ## 7. Summary
#
# - Cold samples see few states; what they miss is entropy.
# - A series ends where the nearest zero is, whatever its order.
# - The divergence of a bound chooses one hill; a map can have both.
# - Slow walks stay near equilibrium, and hasty ones lag.
# - Groups push the end of a series outwards. Copies leave orders alone, and ruin a mean of weights.
# - So to the guess: only a series has an end, sharp at high order. The Gaussian of section 2 jumps, but its KL had gone
#   before. The other methods fade.
#
# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **A heat bath of your own.** Write `level_probabilities(energies, degeneracies, beta)` for levels that occur
#    several times, and let the slider of section 1 show an ion with the energies 0, 0.8 and 2 and the degeneracies 1, 3, 2.
# 2. *(medium)* **How large a group?** For which group size is the error of order 2 below 0.01 nats at the variance 4 of a
#    single weight? Write `smallest_group(variance, tolerance)`.
# 3. *(hard)* **Two minima.** In section 2 a Gaussian in the middle is stationary in its mean for every $d$. Show that at its best
#    width $s$ the curvature of $\mathrm{KL}(q \| p)$ in the mean is $1/s^2$, so that it is a minimum. Find the distance `critical`
#    from which on the Gaussian on one hill is the better one.
# 4. *(to explore)* **A picture of yours.** Make an `Explorable` of at least ten positions from a chapter of your choice, with
#    the answer to a question that it lets one see; call it `picture`.
#
# The solutions are in the cells below, folded: click on one to open it.


# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. Each level counts as often as it occurs.
def level_probabilities(energies, degeneracies, beta):
    weights = np.asarray(degeneracies) * np.exp(-beta * np.asarray(energies))
    return weights / weights.sum()


check(level_probabilities([0, 0.8, 2.0], [1, 3, 2], 0.0), [1 / 6, 1 / 2, 1 / 3])
check(level_probabilities([0, 1.0], [1, 1], 1.0)[1], special.expit(-1.0))
ion = [level_probabilities([0, 0.8, 2.0], [1, 3, 2], beta) for beta in betas]
options = {"xlabel": "energy (nats)", "ylabel": "probability", "name": "beta", "bars": True}
three_levels = Explorable([0, 0.8, 2.0], {"ion": ion}, values=betas, alt="Levels", **options)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. The error of order 2 falls monotonically with the shape a G.
def smallest_group(variance, tolerance):
    size = 1
    while abs(error_of_order(2, np.array([size / variance]))[0]) > tolerance:
        size += 1
    return size


print(f"2. groups of {smallest_group(4.0, 0.01)} for the variance 4")
assert smallest_group(4.0, 0.01) == 18 and smallest_group(1.0, 0.01) == 5
assert smallest_group(0.01, 0.01) == 1


# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. With f = -ln p the slope in s is -1/s + <u f'(s u)> = -1/s + s <f''> for a standard normal u, by parts. At the
# best s it is 0, and the curvature in the mean is <f''> = 1/s^2. The
# mixed derivative <u f''> is 0, since p is even: a minimum.
def middle(d):
    """The least KL(q || p) with mean 0, the width s, and the curvature in the mean."""
    found = optimize.minimize_scalar(lambda s: reverse_kl((0.0, s), d), bounds=(-2, 1.5))
    curvature = 2 * (reverse_kl((1e-3, found.x), d) - found.fun) / 1e-6
    return found.fun, np.exp(found.x), curvature


for d in distances:
    check(middle(d)[2] * middle(d)[1] ** 2, 1, tolerance=1e-4)


# %% jupyter={"source_hidden": true} tags=["solution"]
# The other minimum is found from a start on one hill.
def aside(d):
    return optimize.minimize(reverse_kl, (d, np.log(0.5)), (d,), method="Nelder-Mead").fun


critical = optimize.brentq(lambda d: middle(d)[0] - aside(d), 1.3, 1.6)
print(f"3. the Gaussian on one hill is better from d = {critical:.3f} on")
check(middle(critical)[0], aside(critical), tolerance=1e-6)
assert middle(critical - 0.1)[0] < aside(critical - 0.1)
assert distances[jump - 1] < critical < distances[jump]

# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. One of many: tanh of a field, which becomes a step as the machine cools.
field = np.linspace(-2, 2, 81)
magnetisations = np.tanh(betas[:, np.newaxis] * field)
labels = {"name": "beta", "alt": "A curve that becomes a step", "xlabel": "field (nats)"}
picture = Explorable(field, {"mean of a spin": magnetisations}, values=betas, **labels)
assert isinstance(picture, Explorable) and len(picture.labels) >= 10
