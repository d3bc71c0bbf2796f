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
# - fit one Gaussian to two wells, by both divergences, and by a map;
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
# **Time**: about 34 minutes, and 120 for the exercises. The code runs in some seconds.
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
from scipy import optimize, special

from rbm_tf import BernoulliRBM, cumulants, enumeration
from rbm_tf.explorable import Explorable
from rbm_tf.machine import clamped_free_energy
from rbm_tf.tempered_path import tempered_path

# %%
seed = 0
betas = np.linspace(0, 2.5, 16)
probability = 0.3  # of the upper one of two values
spreads = np.linspace(0.5, 4.0, 15)  # the upper value; the lower one is 0
distances = np.linspace(0, 2.5, 26)  # of either well from the middle
temperatures = np.geomspace(3.0, 0.03, 15)
steps = 3, 30  # of a hasty and of a slow walk
shapes = np.geomspace(0.3, 30, 31)  # of Gamma-distributed weights, whose variance is 1 / shape
sizes = 2 ** np.arange(9)  # groups, and copies
bends = np.linspace(0, 1.6, 9)  # of a map

plt.style.use(["rbm_tf.course", {"figure.dpi": 100}])


# %%
def check(left, right, tolerance=1e-10):
    """Raise unless both are equal to the tolerance, relative above 1, absolute below."""
    np.testing.assert_allclose(*np.broadcast_arrays(left, right), rtol=tolerance, atol=tolerance)


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
p = special.softmax(-betas[:, np.newaxis] * energies, axis=1)  # (26, 4096)
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
# A few states have half of the probability. What a sample at low temperature does not see is the hill at $\beta = 0$, which is
# the entropy.
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
radius = np.hypot(np.log(7 / 3), np.pi) / spreads
options = {"xlabel": "t", "ylabel": "ln of the mean of exp(t x)", "name": "s", "ylim": (-2, 5)}
alt = "Series of orders 2, 4 and 12 leave the exact curve at a point that moves inwards as s grows."
Explorable(t, series, values=spreads, alt=alt, **options)

# %%
at_one = np.argmin(np.abs(t - 1))
errors = {name: np.abs(curve - exact_cgf)[:, at_one] for name, curve in series.items()}
worse = spreads[errors["order 12"] > errors["order 4"]].min()
print(f"order 12 is worse than order 4 at t = 1 from s = {worse:.2f} on;", end=" ")
print(f"R = 1 at s = {np.hypot(np.log(7 / 3), np.pi):.2f}")
check(np.hypot(np.log(7 / 3), np.pi) / worse, 1, tolerance=0.1)

# %% [markdown]
# The order of the two turns round close to the $s$ where the singularity passes $t = 1$.
#
# ## 2. One Gaussian for two wells
#
# $p$ has two hills of width 0.5 at $\pm d$. The Gaussian with the least $\mathrm{KL}(p \| q)$ has the mean and the variance of
# $p$. The one with the least $\mathrm{KL}(q \| p)$, which is what a variational bound takes, is found by minimising over its mean
# and width (chapter 17, section 3). *What does the second one do when the hills part?*

# %%
x = np.linspace(-4.5, 4.5, 181)
nodes, node_weights = np.polynomial.hermite_e.hermegauss(40)
node_weights = node_weights / node_weights.sum()


def log_hills(y, d):
    """ln p of two hills of width 0.5 at d and -d."""
    both = [-2 * (y - d) ** 2, -2 * (y + d) ** 2]
    return np.logaddexp(*both) - np.log(2 * 0.5 * np.sqrt(2 * np.pi))


# %%
def reverse_kl(parameters, d):
    """KL(q || p) of a Gaussian, by quadrature."""
    y = parameters[0] + np.exp(parameters[1]) * nodes
    return -parameters[1] - 0.5 * np.log(2 * np.pi * np.e) - node_weights @ log_hills(y, d)


def best_fit(d):
    """Mean and ln of the width of the Gaussian with the least KL(q || p), from two starts."""
    starts = (0.0, np.log(1.0)), (d, np.log(0.5))
    tries = [optimize.minimize(reverse_kl, x, (d,), method="Nelder-Mead") for x in starts]
    return min(tries, key=lambda found: found.fun).x


# %% name="slide-kl" alt="Two hills and two Gaussians. Apart, one Gaussian is broad and covers both hills with its maximum between them; the other sits on one hill."
mean, log_width = np.transpose([best_fit(d) for d in distances])[..., np.newaxis]
wide = np.sqrt(0.25 + distances**2)[:, np.newaxis]
curves = {
    "p": np.exp([log_hills(x, d) for d in distances]),
    "least KL(q|p)": special.softmax(-0.5 * ((x - mean) / np.exp(log_width)) ** 2, axis=1),
    "least KL(p|q)": special.softmax(-0.5 * (x / wide) ** 2, axis=1),
}
for name in ("least KL(q|p)", "least KL(p|q)"):
    curves[name] = curves[name] / (x[1] - x[0])
options = {"xlabel": "x", "ylabel": "density", "name": "distance d"}
alt = "Two hills part; one Gaussian stays on one of them, the other grows to cover both."
shown = {name: np.array(curve)[::2, ::3] for name, curve in curves.items()}
Explorable(x[::3], shown, values=distances[::2], alt=alt, **options)

# %%
variances = np.trapezoid(curves["p"] * x**2, x, axis=1)
check(variances[:, np.newaxis], wide**2, tolerance=1e-3)
jump = distances[np.argmax(np.abs(mean) > 0.5)]
print(
    f"the least KL(q|p) moves to one hill at d = {jump:.1f}; there |mean| = {np.abs(mean).max():.2f} in the end"
)
assert np.abs(mean[4]) < 0.01 and abs(np.abs(mean[-1]) - distances[-1]) < 0.01
check(reverse_kl((mean[-1], log_width[-1]), distances[-1]), np.log(2), tolerance=1e-2)

# %% [markdown]
# It jumps: from some distance on it sits on one hill, and pays $\ln 2$ for the other one. The broad Gaussian puts most of its
# probability where $p$ has none.
#
# ## 3. Energy, entropy and the way to a point
#
# An energy with a narrow deep well and a wide shallow one. At the temperature $T$ the density $e^{-E/T} / Z$ is the one with the least
# $\langle E \rangle - T S$ (chapter 28, section 1). *Which well does it prefer when it is hot, and which when it is cold?*

# %% name="slide-temperature" alt="A density over z with two wells. Hot, the wide well on the right has most of it; cold, it contracts to the bottom of the narrow deep one on the left."
z = np.linspace(-3, 3, 241)
energy = -2.0 * np.exp(-0.5 * ((z + 1.2) / 0.15) ** 2) - 1.4 * np.exp(-0.5 * ((z - 1) / 0.6) ** 2)
density = np.exp(-(energy - energy.min()) / temperatures[:, np.newaxis])
density /= np.trapezoid(density, z, axis=1)[:, np.newaxis]
right = np.trapezoid(density * (z > -0.5), z, axis=1)
print(f"probability of the wide well: {right[0]:.2f} at T = 3, {right[-1]:.2g} at T = 0.03")
free = -temperatures * special.logsumexp(-energy / temperatures[:, np.newaxis], axis=1)
assert right[0] > 0.6 and right[-1] < 1e-3 and 0.3 < right[np.argmax(right < 0.5)] < 0.5
options = {"xlabel": "z", "ylabel": "density", "name": "T"}
alt = "Hot: most of the density is in the wide well. Cold: a spike at the bottom of the narrow one."
Explorable(z[::2], {"density at T": density[:, ::2]}, values=temperatures, alt=alt, **options)

# %% [markdown]
# Hot: the wide well, for its entropy. Cold: the deep one, and in the end a single point, which is what a deterministic autoencoder
# keeps.
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


# %% name="slide-haste" alt="Three distributions over the energy at beta = 1. As beta grows the one in equilibrium moves to low energies; that of thirty steps follows closely; that of three steps stays behind."
shown = np.linspace(0, 1, 31)
walks = {"equilibrium": [equilibrium(beta) for beta in shown]}
for num in steps:
    now, walked = equilibrium(0.0), []
    for k, beta in enumerate(shown):
        now = now @ sweep(beta) if k and k % (30 // num) == 0 else now
        walked.append(now)
    walks[f"{num} steps"] = walked
order = np.argsort(clamped_free_energy(tiny, tf.constant(states)).numpy())
curves = {name: np.cumsum(np.array(rows)[:, order], axis=1) for name, rows in walks.items()}
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
assert lag[1] < lag[0] / 5

# %% [markdown]
# ## 5. Groups, and copies
#
# Weights $w$ with a Gamma distribution of mean 1 have known cumulants: those of $\ln w$ are polygamma functions of the shape $a$. The
# mean of $G$ such weights has a Gamma distribution again, of shape $a G$ (chapter 34, sections 4 and 5). So the error of order $n$
# for groups of $G$ is exact,
#
# $$\epsilon_n = \psi(a G) - \ln (a G) + \sum_{k=2}^{n} \frac{\psi^{(k-1)}(a G)}{k!} . \tag{5.1}$$
#
# The slider enlarges the groups. *For which variance $1/a$ does order 3 do harm?*


# %% name="slide-groups" alt="Errors of orders 1 to 3 against the variance of the weights. For single weights all leave zero early, order 3 upwards; with larger groups the flat part at zero reaches to larger variances."
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
draws = np.random.default_rng(seed).gamma(2.0, size=(100_000, 8)) / 2.0
logs = np.log(draws.mean(1))
k = cumulants.sample_cumulants(tf.constant(logs), max_order=3).numpy()
expected = [float(error_of_order(n, np.array([16.0]))[0]) for n in (1, 2, 3)]
check(np.cumsum(k / [1, 2, 6]), expected, tolerance=2e-3)
harm = variance[np.abs(curves["order 3"][0]) > np.abs(curves["order 1"][0])].min()
print(f"single weights: order 3 is worse than the bound from variance {harm:.2f} on")
assert 0.5 < harm < 2.5

# %% [markdown]
# Single weights leave the flat part where their variance is about 1. Groups of $G$ push the end outwards by the factor $G$, because
# the variance of their mean is $G$ times smaller; a group costs $G$ draws.
#
# **Copies.** Now let $N$ independent copies of one such system be a single large one. Its log-weight is the sum of $N$ log-weights.
# Every cumulant grows like $N$, so the error of order 2 *per copy* is a number. The bound with the mean of $K$ weights
# falls back to the single one ([chapter 38, section 4](38_size_extensivity.ipynb)). *How many samples does it need for 64 copies, to be as
# good as for one?*

# %% name="slide-copies" alt="Error per copy against the number of samples K. For one copy the bound with K samples approaches zero; as copies are added its curve rises and flattens towards the error of the ELBO; the line of order 2 stays where it is."
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
alt = "The error per copy of a mean of K weights rises as copies are added; order 2 stays."
Explorable(
    np.log2(samples), curves, values=(1, 2, 4, 8, 16, 32, 64), name="copies", alt=alt, **options
)

# %%
elbo = float(error_of_order(1, np.array([shape]))[0])
spread = np.std(copies[..., 63][:, 0]) / np.sqrt(400) / 64
print(f"per copy: ELBO {elbo:.4f}, order 2 {second:.4f}", end=", ")
print(f"512 samples {gaps[0][-1]:.4f} for one copy and {gaps[-1][-1]:.4f} for 64 nats")
assert abs(gaps[-1][0] - elbo) < 5 * spread
assert abs(gaps[0][-1]) < abs(second) < abs(gaps[-1][-1])

# %% [markdown]
# With 512 samples one copy is nearly exact. With 64 copies the same samples leave more than order 2 does.
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
assert 0 <= divergences[best] < 0.2 and divergences[0] > 1 and divergences[-1] > 1

# %% [markdown]
# ## 7. Summary
#
# - Cold samples see few states; what they miss is entropy.
# - A series ends where the nearest zero is, whatever its order.
# - The divergence of a bound chooses one hill; a map can have both.
# - Slow walks stay near equilibrium, and hasty ones lag.
# - Groups push the end of a series outwards. Copies leave orders alone, and ruin a mean of weights.
#
# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **A heat bath of your own.** Write `level_probabilities(energies, degeneracies, beta)` for levels that occur
#    several times, and let the slider of section 1 show the ion with the energies 0, 0.8 and 2 and the degeneracies 1, 3, 2.
# 2. *(medium)* **How large a group?** For which group size is the error of order 2 below 0.01 nats at the variance 4 of a
#    single weight? Write `smallest_group(variance, tolerance)`.
# 3. *(hard)* **Two minima.** In section 2 a Gaussian in the middle is stationary for every $d$. Show for all distances of the slider
#    that it is a minimum of $\mathrm{KL}(q \| p)$, at its best width. Find the distance `critical` from which on the Gaussian on
#    one hill is the better minimum.
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
options = {"xlabel": "energy (nats)", "ylabel": "probability", "name": "beta"}
three_levels = Explorable([0, 0.8, 2.0], {"ion": ion}, values=betas, alt="Levels", **options)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. The error of order 2 falls monotonically with the shape a G.
def smallest_group(variance, tolerance):
    size = 1
    while abs(error_of_order(2, np.array([size / variance]))[0]) > tolerance:
        size += 1
    return size


print(f"2. groups of {smallest_group(4.0, 0.01)} for the variance 4")
check(smallest_group(1.0, 0.01), int(np.ceil(smallest_group(4.0, 0.01) / 4)), tolerance=0.2)
check(smallest_group(0.01, 0.01), 1)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. The curvature in the mean is positive throughout, so there are two minima, and the lower one changes.
def middle(d):
    """The least KL(q || p) with mean 0, and its curvature in the mean."""
    found = optimize.minimize_scalar(lambda s: reverse_kl((0.0, s), d), bounds=(-2, 1.5))
    return found.fun, reverse_kl((1e-3, found.x), d) - found.fun


# %% jupyter={"source_hidden": true} tags=["solution"]
# The other minimum is found from a start on one hill.
def aside(d):
    return optimize.minimize(reverse_kl, (d, np.log(0.5)), (d,), method="Nelder-Mead").fun


assert all(middle(d)[1] > 0 for d in distances)
critical = optimize.brentq(lambda d: middle(d)[0] - aside(d), 1.2, 1.8)
print(f"3. the Gaussian on one hill is better from d = {critical:.3f} on")
check(middle(critical)[0], aside(critical), tolerance=1e-6)
assert middle(critical - 0.1)[0] < aside(critical - 0.1)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. One of many: tanh of a field, which becomes a step as the machine cools.
field = np.linspace(-2, 2, 81)
magnetisations = np.tanh(betas[:, np.newaxis] * field)
labels = {"name": "beta", "alt": "A curve that becomes a step", "xlabel": "field (nats)"}
picture = Explorable(field, {"mean of a spin": magnetisations}, values=betas, **labels)
assert isinstance(picture, Explorable) and len(picture.labels) >= 10
