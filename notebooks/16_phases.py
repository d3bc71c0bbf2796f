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
# # Chapter 16: Where is the Nishimori line?
#
# In a planted spin glass there is one right temperature for inference, that of the noise (chapter 14, section
# 5): the Nishimori line. The post calls it the boundary of the spin-glass phase. *Is it? Draw your guess
# before you read on: signal to the right, temperature upwards, three regions (disordered, ferromagnet, spin
# glass), and the line.*
#
# **What you will do**
#
# - show that on the line the magnetisation equals the overlap, on every lattice and of every size;
# - find the phases of the model in which every pair of spins is coupled, and draw the line among them;
# - compare with exact sums for 14 spins, and with parallel tempering for 64;
# - watch the theory fail below the line, by an entropy that is negative.
#
# **What you will learn**
#
# - what tells a spin glass from a ferromagnet;
# - that the line meets the spin glass in one point, and why it can do no more;
# - what "Bayes-optimal" protects from, and what it does not.
#
# **What you need**: chapter 14, section 5. Gaussian integrals.
#
# **Time**: about 55 minutes, and 95 for the exercises. The code runs in a quarter of a minute.
#
# Numbers such as (B53) are rows of the table `EQUATIONS.md`. $\langle \cdot \rangle$ is a thermal mean,
# $[\cdot]$ one over the couplings.

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

import itertools
import math
import os
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
from scipy import optimize

from rbm_tf.course import check, label, shipped
from rbm_tf.ising import Ising, pair_correlations

# %%
seed = 0
num_spins, num_glasses = 14, 120  # of the exact sums
biases = np.linspace(0.125, 2, 16)  # J_0, in units of J
temperatures = np.linspace(0.15, 2, 19)  # T, in units of J
cuts = (0.5, 1.0, 1.5)  # J_0 of parallel tempering
retrain = bool(os.environ.get("RETRAIN"))  # True: sum and sample here, several minutes
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 112}])
ink = plt.rcParams["text.color"]


# %% [markdown]
# ## 1. The model, and how to tell its phases
#
# Take $N$ spins $s_i = \pm 1$, a hidden state $s^*$, and a noisy hint for every *pair*:
#
# $$J_{ij} = \frac{J_0}{N}\, s_i^* s_j^* + \frac{J}{\sqrt N}\, g_{ij} , \qquad g_{ij} \sim N(0, 1) ,
#   \qquad E(s) = - \sum_{i < j} J_{ij} s_i s_j . \tag{1.1}$$
#
# This is the model of Sherrington and Kirkpatrick (1975), planted. $J_0 / J$ is the signal, and we set $J =
# 1$. Inference of $s^*$ at the right temperature has $\beta = J_0 / J^2$ (B28: mean over variance of a
# coupling), which is $T = 1 / J_0$. As in chapter 14 a gauge transformation turns $s^*$ into "all up". Two
# numbers tell the phases:
#
# $$m^2 = \frac{1}{N^2} \sum_{ij} [\langle s_i s_j \rangle] , \qquad
#   q^2 = \frac{1}{N^2} \sum_{ij} [\langle s_i s_j \rangle^2] . \tag{1.2}$$
#
# $m$ is the overlap of a state with the planted one, $q$ that of two thermal states with each other.
#
# | phase | $m$ | $q$ | in the words of inference |
# |:--|:--|:--|:--|
# | paramagnet | 0 | 0 | the hints say nothing |
# | ferromagnet | > 0 | > 0 | they point to $s^*$ |
# | spin glass | 0 | > 0 | firm opinions that have nothing to do with $s^*$ |
#
# %% [markdown]
# ## 2. On the line $m = q$
#
# Draw $s^*$ and then $J$. Given $J$, a thermal state $s$ at any $\beta$ and the planted $s^*$ are independent
# draws, and $s^*$ is one from the posterior, a thermal state at $\beta_p$ (chapter 14, section 5). So
#
# $$[\langle s_i s_j \rangle_\beta\; s_i^* s_j^*] = [\langle s_i s_j \rangle_\beta\, \langle s_i s_j \rangle_{\beta_p}] . \tag{2.1}$$
#
# After the gauge transformation $s_i^* s_j^* = 1$:
#
# $$\boxed{\; [\langle s_i s_j \rangle_\beta] = [\langle s_i s_j \rangle_\beta\, \langle s_i s_j \rangle_{\beta_p}] , \qquad
#   \beta = \beta_p: \quad [\langle s_i s_j \rangle] = [\langle s_i s_j \rangle^2] \;} \tag{B53}$$
#
# for every pair, lattice and size (Nishimori 1981). On the line $m = q$. *A spin glass has $m = 0 < q$, so
# the line never runs inside one.* Off the line, with $|\langle s_i s_j \rangle_\beta| \le 1$ and the
# inequality of Cauchy and Schwarz,
#
# $$\big| [\langle s_i s_j \rangle_\beta] \big| \le \big[ |\langle s_i s_j \rangle_{\beta_p}| \big]
#   \le \sqrt{[\langle s_i s_j \rangle_{\beta_p}^2]} = \sqrt{[\langle s_i s_j \rangle_{\beta_p}]} . \tag{2.2}$$
#
# Where the right temperature finds no trace of $s^*$ at large distance, no other temperature does.
#
# **Check against the exact result**: all $2^{12}$ glasses of $3 \times 2$ spins with $J_{ij} = \pm 1$.

# %% name="identity"
bonds = np.array(list(itertools.product([-1.0, 1.0], repeat=12)))
right, down = bonds.reshape(-1, 2, 3, 2).transpose(1, 0, 2, 3)
glasses, planted = Ising(right, down, np.zeros_like(right)), 0.7
probability = np.exp(planted * bonds.sum(1)) / (2 * math.cosh(planted)) ** 12
at_planted = pair_correlations(glasses, planted)  # (4096, 6, 6)
for beta in (0.35, 0.7, 1.4):
    pairs = pair_correlations(glasses, beta)
    m2, q2, product = (
        np.tensordot(probability, x, 1) for x in (pairs, pairs**2, pairs * at_planted)
    )
    check(m2, product)  # (B53), every pair
    print(f"beta = {beta}: m^2 = {m2.mean():.6f}, q^2 = {q2.mean():.6f}")
    assert (abs(m2 - q2).max() < 1e-12) == (beta == planted)
    assert np.all(np.abs(m2) <= np.sqrt(np.tensordot(probability, at_planted, 1)) + 1e-12)  # (2.2)

# %% [markdown]
# ## 3. Infinitely many spins
#
# Spin $i$ feels the field $\sum_j J_{ij} s_j$. In the absence of spin $i$ the others have means $m_j$ that
# know nothing of the $J_{ij}$. The field is then a sum of many small independent terms: a Gaussian, of mean
# $J_0 m$ and variance $J^2 q$, where $m$ and $q$ are the averages of $m_j$ and $m_j^2$. Averaging $\langle
# s_i \rangle = \tanh \beta\, {\rm field}$ and its square closes the circle,
#
# $$m = \mathrm{E}[\tanh x] , \qquad q = \mathrm{E}[\tanh^2 x] , \qquad x \sim N(\beta J_0 m,\; \beta^2 J^2 q) . \tag{3.1}$$
#
# This *replica-symmetric* solution assumes that the means are unique, one valley. Small disturbances decide
# whether that is consistent. A disturbance travels from spin to spin by factors $\beta J_{ij} (1 - m_j^2)$,
# of random sign. Their squares add up to a geometric series, with the ratio $\beta^2 J^2\, \mathrm{E}[(1 -
# \tanh^2 x)^2]$. The assumption stands as long as
#
# $$\beta^2 J^2\, \mathrm{E} \big[ (1 - \tanh^2 x)^2 \big] < 1 \tag{3.2}$$
#
# (de Almeida and Thouless 1978). Expanding (3.1) for small $m$ and $q$ gives $m = \beta J_0 m$ and $q =
# \beta^2 J^2 q$: the paramagnet ends at $T = J_0$ or at $T = J$, whichever comes first.


# %%
z = np.linspace(-9, 9, 801)
z_weights = np.exp(-(z**2) / 2) / np.sum(np.exp(-(z**2) / 2))


def mean_of(function, mean, variance):
    """E[function(x)] for x ~ N(mean, variance), arrays of any shape."""
    mean, variance = np.broadcast_arrays(mean, variance)
    return function(mean[..., np.newaxis] + np.sqrt(variance)[..., np.newaxis] * z) @ z_weights


def tanh_squared(x):
    return np.tanh(x) ** 2


# %%
def replica_symmetric(signal, temperature, num_iterations=400):
    """m, q and the left-hand side of (3.2) by iteration of (3.1)."""
    m = q = np.ones(np.broadcast_shapes(np.shape(signal), np.shape(temperature)))
    for _ in range(num_iterations):
        x = signal * m / temperature, q / temperature**2  # mean and variance
        m, q = mean_of(np.tanh, *x), mean_of(tanh_squared, *x)
    x = signal * m / temperature, q / temperature**2
    return m, q, mean_of(lambda x: np.cosh(x) ** -4.0, *x) / temperature**2


# %% [markdown]
# ## 4. The line in the diagram
#
# On the line $\beta J^2 = J_0$, and with $m = q$ the field $x$ has mean and variance alike, $v = \beta J_0
# q$. For such a Gaussian the density is an even function times $e^x$. Only the even part of what is
# multiplied survives:
#
# $$\mathrm{E}[\tanh^{2k-1} x] = \mathrm{E}[\tanh^{2k} x] , \qquad x \sim N(v, v) , \tag{4.1}$$
#
# since $e^x \tanh^{2k-1} x$ has the even part $\sinh x \tanh^{2k-1} x = \cosh x \tanh^{2k} x$, which is also
# that of $e^x \tanh^{2k} x$. So the two equations (3.1) are one, $q = G(\beta J_0 q)$ with $G(v) =
# \mathrm{E}[\tanh x]$. A change of $v$ moves the mean and the variance, and with $t = \tanh x$
#
# $$G'(v) = \mathrm{E}\big[ (1 - t^2) - t (1 - t^2) \big] = \mathrm{E}\big[ 1 - t^2 - t^2 + t^4 \big] = \mathrm{E}\big[ (1 - t^2)^2 \big] , \tag{4.2}$$
#
# by (4.1) for $k = 1, 2$. With $\beta J_0 = \beta^2 J^2$ the slope of the iteration, $\beta J_0\, G'(v)$, is
# exactly the left-hand side of (3.2). The iteration started at $q = 1$ comes down to the largest solution,
# where the graph of $G$ crosses the diagonal from above, with a slope of at most 1. *On the line the
# replica-symmetric solution is stable.* At $J_0 = J = T$ the slope at $q = 0$ is 1: all phases meet in this
# point.
#
# Where does (3.2) fail? With $r = \beta^2 J^2 q$ and $u$ for the mean of $x$, equality in (3.2) says $r\,
# \mathrm{E}[(1 - t^2)^2] = \mathrm{E}[t^2]$. For each $r$ that gives $u$, then $q$, $m$, $T$ and $J_0$,
# without iteration.


# %% name="limit"
def point_of_limit(r):
    """(J_0, T) where (3.2) is an equality."""

    def excess(u):
        return mean_of(lambda x: r * np.cosh(x) ** -4.0 - np.tanh(x) ** 2, u, r)

    u = optimize.brentq(excess, 0, r + 5)
    temperature = np.sqrt(mean_of(tanh_squared, u, r) / r)
    return u * temperature / mean_of(np.tanh, u, r), temperature


limit = np.array([point_of_limit(r) for r in np.geomspace(1e-2, 400, 40)])  # (40, 2)
lowest, highest = np.min(np.prod(limit, 1)), np.max(np.prod(limit, 1))
print(f"where (3.2) becomes an equality, T J_0 is {lowest:.3f} to {highest:.3f}; on the line 1")
assert highest < 1  # the limit lies below the line

# %% name="on-the-line"
on_line = np.linspace(1.02, 2, 15)
m, q, stability = replica_symmetric(on_line, 1 / on_line)
check(m, q, tolerance=1e-4)
check(mean_of(np.tanh, 1.3, 1.3), mean_of(tanh_squared, 1.3, 1.3))  # (4.1)
print(f"on the line (3.2) has {stability.min():.3f} to {stability.max():.3f}, below 1")
assert stability.max() < 1


# %%
def draw_phases(axis, colour=ink):
    """The boundaries for infinitely many spins, and the line."""
    for x, y in (([0, 1], [1, 1]), ([1, 2], [1, 2]), ([1, 1], [0, 1])):
        axis.plot(x, y, color=colour, lw=2)
    axis.plot(*limit.T, color=colour, lw=2, ls=":", label="(3.2) fails below")
    side = np.linspace(0.5, 2, 100)
    axis.plot(side, 1 / side, color=orange, lw=3, ls="--", label="Nishimori line, $T = J^2 / J_0$")
    axis.set(xlim=(0, 2), ylim=(0, 2))


# %% name="diagram" alt="The phase diagram. Above, the paramagnet; at the lower left the spin glass; at the right the ferromagnet, and under it a mixed region. The Nishimori line comes from the upper left through the paramagnet, passes the point (1, 1) where all meet, and goes on inside the ferromagnet, above the limit of stability."
figure, axis = plt.subplots(figsize=(7.5, 5.2))
draw_phases(axis)
axis.plot(1, 1, "o", color=orange, ms=10)
names = ((0.35, 1.4, "paramagnet"), (0.35, 0.45, "spin glass"), (1.5, 1.05, "ferromagnet"))
for x, y, name in (*names, (1.16, 0.2, "mixed")):
    axis.text(x, y, name, ha="center", fontsize=12)
label(axis, "Every pair coupled, N to infinity", "signal $J_0 / J$", "temperature $T / J$")
axis.legend(loc="upper center")
plt.show()

# %% [markdown]
# The vertical boundary below $(1, 1)$ follows from (2.2), for the half that we need. By (4.2) $G(v) \le v$,
# so that for $J_0 < J$ the line has $q \le (J_0 / J)^2 q$, hence $q = m = 0$, and no other temperature finds
# more. That it is not further to the right is known (Toulouse 1980). In the mixed region both $m > 0$ and
# many valleys occur.
#
# *So the sentence is to be corrected.* The line runs through the paramagnet and then through the ferromagnet.
# It touches the spin glass in one point, where all phases meet. If one keeps the right temperature, less
# signal turns knowledge into ignorance, never into false conviction.
#
# %% [markdown]
# ## 5. Fourteen spins, exactly
#
# (B53) holds for every $N$, so small systems should know the line, though they have no phases. We sum over
# all states of 14 spins, for 120 draws of the $g_{ij}$. (The averages come with the course.) *Where will $m$
# and $q$ cross?*

# %%
half = np.indices((num_spins - 1) * (2,)).reshape(num_spins - 1, -1).T * 2.0 - 1
half = np.hstack([np.ones((len(half), 1)), half])  # the first spin is up


def noise(rng, size):
    """The part of J_ij with g_ij, symmetric, (size, size)."""
    g = np.triu(rng.normal(size=(size, size)), 1) / np.sqrt(size)
    return g + g.T


# %%
def squares(coupling, signal, temperature):
    """m^2 and q^2 of (1.2) for one glass, by summing over half of the states."""
    energy = -np.sum(half @ coupling * half, 1) / 2 - signal / (2 * num_spins) * half.sum(1) ** 2
    weight = np.exp((energy.min() - energy) / temperature)
    pairs = (half * (weight / weight.sum())[:, np.newaxis]).T @ half
    return pairs.mean(), np.mean(pairs**2)


# %%
def exact_grid():
    """Means over the glasses, and the standard errors of m^2 - q^2."""
    rng, grid, line = np.random.default_rng(seed), [], []
    for _ in range(num_glasses):
        coupling = noise(rng, num_spins)
        grid.append([[squares(coupling, x, T) for T in temperatures] for x in biases])
        line.append([squares(coupling, x, 1 / x) for x in biases])
    error = np.std(np.subtract(*np.moveaxis(grid, -1, 0)), 0, ddof=1) / math.sqrt(num_glasses)
    return {"grid": np.mean(grid, 0), "error": error, "line": np.array(line, np.float32)}


exact = shipped("phases_exact", exact_grid, retrain=retrain)
m2, q2 = np.moveaxis(exact["grid"], -1, 0)  # (J_0, T)

# %% name="maps" alt="Two maps over signal and temperature with the phase boundaries. m squared is large at the lower right only, q squared along the whole bottom. A white contour where both are equal follows the dashed Nishimori line."
figure, axes = plt.subplots(1, 2, figsize=(10.5, 4.4), sharey=True, layout="constrained")
for axis, values, name in zip(axes, (m2, q2), ("m", "q"), strict=True):
    mesh = axis.pcolormesh(biases, temperatures, values.T, cmap="cividis", vmin=0, vmax=1)
    draw_phases(axis, colour="0.8")
    axis.contour(biases, temperatures, (m2 - q2).T, [0], colors="white", linewidths=2)
    axis.set(xlim=(biases[0], 2), ylim=(temperatures[0], 2))
    label(axis, f"${name}^2$ of 14 spins", "signal $J_0 / J$", "temperature $T / J$")
figure.colorbar(mesh, ax=axes, label="$m^2$, $q^2$")
plt.show()

# %% name="crossing"
line = exact["line"].astype(float)
difference = line[..., 0] - line[..., 1]
deviation = difference.mean(0) / (difference.std(0, ddof=1) / math.sqrt(num_glasses))
off_line = np.abs(biases[:, np.newaxis] * temperatures - 1) > 0.25
agree = np.sign(m2 - q2) == np.sign(biases[:, np.newaxis] * temperatures - 1)
print(
    f"on the line: (m^2 - q^2) / standard error is {deviation.min():.1f} to {deviation.max():.1f}"
)
print(
    f"elsewhere: q > m below the line and m > q above at {agree[off_line].mean():.0%} of the points"
)
assert np.abs(deviation).max() < 5 and agree[off_line].all()

# %% [markdown]
# The white contour, where $m = q$, is the Nishimori line, up to the noise of 120 glasses (the same $g_{ij}$
# at every $J_0$, so that it strays to one side). Below the line, outside this noise, $q > m$ everywhere: states agree with each
# other more than with the truth. That is overfitting, the word of chapter 14, now as a map.
#
# %% [markdown]
# ## 6. Sixty-four spins, by parallel tempering
#
# $2^{64}$ states are out of reach, and at low temperature a single chain stays in its valley. Parallel
# tempering runs all temperatures at once and exchanges neighbours with the probability $\min(1, e^{(\beta -
# \beta')(E - E')})$ ([chapter 6, section 1](06_negative_phases.ipynb)). Two independent copies give $q$.


# %%
def heat_bath(s, field, coupling, beta, rng):
    """One sweep over the spins; s and field are (glasses, 2, temperatures, N)."""
    for i in range(s.shape[-1]):
        up = rng.random(s.shape[:-1]) < 0.5 + 0.5 * np.tanh(beta * field[..., i])
        change = np.where(up, 1.0, -1.0) - s[..., i]
        s[..., i] += change
        field += change[..., np.newaxis] * coupling[:, np.newaxis, np.newaxis, i]


# %%
def exchange(s, field, beta, first, rng):
    """Neighbouring temperatures first, first + 1; first + 2, .. exchange their states."""
    low = np.arange(first, len(beta) - 1, 2)
    energy = -np.sum(s * field, -1) / 2
    gain = (beta[low + 1] - beta[low]) * (energy[..., low + 1] - energy[..., low])
    order = np.tile(np.arange(len(beta)), (*energy.shape[:2], 1))
    swapped = np.log(rng.random(gain.shape)) < gain
    order[..., low], order[..., low + 1] = low + swapped, low + 1 - swapped
    return (np.take_along_axis(x, order[..., np.newaxis], 2) for x in (s, field))


# %%
def tempered(noises, signal, ladder, num_sweeps, rng):
    """m^2 and q^2, (2, glasses, temperatures), from the last two thirds of the sweeps."""
    size, beta = noises.shape[-1], 1 / ladder
    coupling = noises + signal / size * (1 - np.eye(size))
    s = rng.choice([-1.0, 1.0], size=(len(noises), 2, len(beta), size))
    field, kept = np.einsum("gij,grtj->grti", coupling, s), []
    for sweep in range(num_sweeps):
        heat_bath(s, field, coupling, beta, rng)
        s, field = exchange(s, field, beta, sweep % 2, rng)
        if 3 * sweep >= num_sweeps:
            m2 = np.mean(s.mean(-1) ** 2, 1)
            kept.append([m2, np.mean(s[:, 0] * s[:, 1], -1) ** 2])
    return np.mean(kept, 0)


# %% [markdown]
# **Check against the exact result**: the same 14 spins, eight glasses, both ways.

# %% name="tempering-check"
rng = np.random.default_rng(seed)
eight = np.array([noise(rng, num_spins) for _ in range(8)])
T_check = np.array([0.4, 0.7, 1.0, 1.5])
runs = [tempered(eight, 1.0, T_check, 150, np.random.default_rng(k)) for k in range(10)]
runs = np.mean(runs, 2)  # over the glasses: (run, 2, temperature)
by_sum = np.mean([[squares(one, 1.0, T) for T in T_check] for one in eight], 0).T
error = runs.std(0, ddof=1) / np.sqrt(10)
print("tempering", runs.mean(0).round(3).tolist())
print("exact    ", by_sum.round(3).tolist())
assert np.all(np.abs(runs.mean(0) - by_sum) < 5 * error) and error.max() < 0.01

# %%
ladder = np.array([0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.15, 1.3, 1.5, 1.75, 2.0])
ladders = {cut: np.unique(np.append(ladder, 1 / cut).round(6)) for cut in cuts}


def sample(cut):
    rng = np.random.default_rng(seed)
    noises = np.array([noise(rng, 64) for _ in range(24)])
    return {"squares": tempered(noises, cut, ladders[cut], 3000, rng)}


sampled = {
    cut: shipped(f"phases_tempered_{cut}", partial(sample, cut), retrain=retrain)["squares"]
    for cut in cuts
}

# %% name="cuts" alt="m and q against temperature at three signals. At 0.5 q rises in the cold and m does not. At 1.0 and 1.5 they cross where the Nishimori line is drawn; at 1.5 both are large. Dashed and dotted curves of the theory for infinitely many spins are near at 1.5."
figure, axes = plt.subplots(1, 3, figsize=(11, 3.8), sharey=True)
for axis, (J_0, values) in zip(axes, sampled.items(), strict=True):
    T = ladders[J_0]
    theory = replica_symmetric(J_0, T)
    for k, (name, colour, style) in enumerate((("m", blue, "--"), ("q", orange, ":"))):
        axis.plot(T, np.sqrt(values[k].mean(0)), "os"[k], color=colour, label=f"${name}$, N = 64")
        axis.plot(T, theory[k], style, color=colour, label=f"${name}$, theory")
    axis.axvline(1 / J_0, color=grey, lw=1)
    label(axis, f"$J_0 = {J_0}$, line at T = {1 / J_0:.2f}", "temperature $T / J$", "")
axes[0].set_ylabel("m and q, roots of (1.2)")
axes[0].legend(fontsize=10)
plt.show()

# %% name="cuts-numbers"
for J_0, values in sampled.items():
    at = np.argmin(np.abs(ladders[J_0] - 1 / J_0))
    gap = values[0] - values[1]  # (glasses, temperatures)
    standard_error = gap.std(0, ddof=1) / math.sqrt(len(gap))
    print(
        f"J_0 = {J_0}: on the line m^2 - q^2 = {gap[:, at].mean():.4f} +- {standard_error[at]:.4f}",
        end="; ",
    )
    coldest = np.sqrt(values[:, :, 0].mean(1))
    print(f"at T = 0.3 m = {coldest[0]:.2f}, q = {coldest[1]:.2f}")
    assert abs(gap[:, at].mean()) < 5 * standard_error[at]
    assert gap[:, 0].mean() < -5 * standard_error[0]
spin_glass, magnet = (np.sqrt(sampled[x][:, :, 0].mean(1)) for x in (0.5, 1.5))
assert spin_glass[0] < 0.3 < 0.6 < spin_glass[1] and magnet[0] > 0.6

# %% [markdown]
# At the weak signal the cold system has firm opinions and knows next to nothing. At the strong one it knows;
# cooled below the line, it comes to agree with itself faster than with the truth. 64 spins round all
# transitions off, and chance alone gives them $m = 1 / \sqrt{64} = 0.125$. (Right at a transition the
# iteration of (3.1) is slow: the few hundredths that the curves of $m$ keep there are no part of the theory.)
#
# %% [markdown]
# ## 7. When it fails: a negative entropy
#
# The solution (3.1) exists below the limit of (3.2), too, and a program returns it without complaint. Its
# free energy (Sherrington and Kirkpatrick 1975) gives the entropy per spin
#
# $$S = \mathrm{E}[\ln 2 \cosh x] - \beta J_0 m^2 - \tfrac14 \beta^2 J^2 (1 - q)(1 + 3 q) . \tag{7.1}$$


# %%
def entropy(signal, temperature):
    """(7.1), nats per spin."""
    m, q, _ = replica_symmetric(signal, temperature)
    x = signal * m / temperature, q / temperature**2
    log_cosh = mean_of(lambda x: np.logaddexp(x, -x), *x)
    return log_cosh - m * x[0] - (1 - q) * (1 + 3 * q) / (4 * temperature**2)


# %% name="entropy" alt="The entropy per spin against temperature. The curves of the signals 0.5 and 1.0 coincide and become negative below T = 0.27; that of 1.5 becomes negative below 0.13. A dotted line marks -1 / 2 pi."
T = np.linspace(0.05, 1.5, 30)
figure, axis = plt.subplots(figsize=(7.5, 3.8))
for cut, colour, style in zip(cuts, (blue, orange, green), ("-", "--", "-."), strict=True):
    axis.plot(T, entropy(cut, T), style, color=colour, label=f"$J_0$ = {cut}")
axis.axhline(0, color=ink, lw=1)
axis.axhline(-1 / (2 * math.pi), color=grey, ls=":", label=r"$-1 / 2 \pi$")
label(axis, "Entropy of the replica-symmetric solution", "temperature $T / J$", "nats per spin")
axis.legend()
plt.show()
cold, optimal = entropy(0.5, 0.05), entropy(on_line, 1 / on_line)
print(f"J_0 = 0.5, T = 0.05: {cold:.3f} nats; on the line at least {optimal.min():.3f} nats")
assert cold < -0.1 and optimal.min() > 0
check(entropy(0.5, T), entropy(1.0, T), tolerance=1e-3)

# %% [markdown]
# At the signals 0.5 and 1.0 the solution has $m = 0$ and the same entropy. Discrete states have no negative
# entropy. The error is the assumption of one valley; Parisi's solution (1979) has a hierarchy of them. On the
# line nothing of this happens.
#
# %% [markdown]
# ## 8. Other lattices, and what the line does not say
#
# On the square lattice with $J_{ij} = \pm 1$ there is no spin glass at all at $T > 0$ (Bhatt and Young 1988),
# hence no boundary of one for the line to follow. There, too, it passes from the paramagnet to the
# ferromagnet, at a share of about 0.109 of wrong bonds (Honecker, Picco and Pujol 2001).
#
# And local minima, the question of [chapter 15](15_local_minima.ipynb)? On the line the posterior has no
# broken replica symmetry. That speaks for inference with the true model. A trained machine is not the true
# model, and the line is silent about how long an algorithm takes.
#
# %% [markdown]
# ## 9. Summary
#
# - Magnetisation is agreement with the truth, overlap agreement of opinions. On the Nishimori line they are
#   equal, exactly (B53).
# - So the line cannot run in a spin glass. In the model with all pairs coupled it touches it at $J_0 = T = J$
#   only.
# - It is not the boundary of the spin-glass phase; it goes from the paramagnet into the ferromagnet.
# - Below it $q > m$ in the exact sums here, outside the noise at the line itself: overfitting.
# - A formula may be solved where its assumption has failed. The sign is an impossible entropy.
#
# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **Equal moments.** Write `even_odd(v, k)`, which returns the two sides of (4.1), and check them
#    for $v = 0.3$ and 5. Where in the proof was it needed that mean and variance agree?
# 2. *(easy)* **The energy.** The replica-symmetric energy per spin is $-\frac12 J_0 m^2 - \frac12 \beta J^2
#    (1 - q^2)$. Show that on the line it is $-\frac12 J_0$ in every phase, and derive that from (B28). Write
#    `energy(signal, temperature)`.
# 3. *(medium)* **Find the line without knowing it.** For all glasses of $2 \times 2$ spins with $J = \pm 1$
#    planted at 0.9, find the $\beta$ at which the mean over all pairs of $m^2$ equals that of $q^2$,
#    `crossing`. How would one use this to measure an unknown noise?
# 4. *(hard)* **The entropy crisis.** At which temperature `T_zero` does (7.1) vanish for $J_0 = 0$? Show that
#    $S \to -1 / 2 \pi$ for $T \to 0$.
#
# The solutions are in the cells below, folded: click on one to open it.


# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. The density of N(mean, variance) is an even function times exp(mean x / variance): e^x needs both equal.
def even_odd(v, k):
    sides = (
        mean_of(lambda x: np.tanh(x) ** (2 * k - 1), v, v),
        mean_of(lambda x: np.tanh(x) ** (2 * k), v, v),
    )
    return tuple(float(side) for side in sides)


print("1.", even_odd(0.3, 1), even_odd(5.0, 2))
check(*even_odd(0.3, 1), tolerance=1e-9)
check(even_odd(5.0, 2)[0], mean_of(lambda x: np.tanh(x) ** 3, 5.0, 5.0), tolerance=1e-9)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. With m = q and beta J^2 = J_0: -J_0 q^2 / 2 - J_0 (1 - q^2) / 2. By (B28) each of N (N - 1) / 2 bonds has minus its
# mean, -J_0 / N, which makes -J_0 / 2 per spin.
def energy(signal, temperature):
    m, q, _ = replica_symmetric(signal, temperature)
    return -signal * m**2 / 2 - (1 - q**2) / (2 * temperature)


print("2.", energy(np.array([0.6, 1.5]), 1 / np.array([0.6, 1.5])), "-J_0 / 2 = -0.3, -0.75")
check(energy(np.array([0.6, 1.5]), 1 / np.array([0.6, 1.5])), [-0.3, -0.75], tolerance=1e-6)
check(energy(0.5, 2.0), -0.25, tolerance=1e-6)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. Of real data one knows the bonds, not s*; but q needs no s*, and tanh beta_p is minus the energy of a bond at
# the right beta (B28): one looks for the beta whose energy agrees with its own -tanh beta.
small_bonds = np.indices(8 * (2,)).reshape(8, -1).T * 2.0 - 1
small = Ising(*small_bonds.T.reshape(2, 2, 2, -1).transpose(0, 3, 1, 2), np.zeros((256, 2, 2)))
chance = np.exp(0.9 * small_bonds.sum(1)) / (2 * math.cosh(0.9)) ** 8


def excess(beta):
    pairs = pair_correlations(small, beta)
    return chance @ np.mean(pairs - pairs**2, axis=(1, 2))


crossing = optimize.brentq(excess, 0.3, 3)
print(f"3. m = q at beta = {crossing:.9f}")
check(crossing, 0.9, tolerance=1e-6)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. Let c = sqrt(2 / pi). 1 - q = E[1 / cosh^2] = c T / sqrt(q) + .. = c T + c^2 T^2 / 2 + .., as the density of x at 0 is
# T / sqrt(2 pi q). E[ln 2 cosh x] = E|x| + O(T) = c sqrt(q) / T = c / T - c^2 / 2. The last term of (7.1) is
# -c / T - c^2 / 2 + 3 c^2 / 4. The terms in 1 / T cancel, and -c^2 / 4 = -1 / (2 pi) is left.
T_zero = optimize.brentq(partial(entropy, 0.0), 0.1, 0.9)
print(f"4. S = 0 at T = {T_zero:.4f}; S(0.05) = {entropy(0.0, 0.05):.4f}", end=", ")
print(f"-1 / 2 pi = {-1 / (2 * math.pi):.4f}")
check(entropy(0.0, T_zero), 0, tolerance=1e-6)
assert abs(T_zero - 0.26) < 0.02
