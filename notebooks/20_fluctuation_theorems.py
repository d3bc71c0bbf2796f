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
# # Chapter 20: Fluctuation theorems
#
# Annealing drags a system from one equilibrium to another in finite time, and on the way the system lags
# behind. Physicists call what this costs *work*. On average it costs more than the difference of the free
# energies: that is the second law. Single walks break it. *Guess before you read on: what would we
# lose if they never did?*
#
# **What you will do**
#
# - read annealed importance sampling as an experiment of thermodynamics;
# - compare each walk with the same walk backwards, and prove the variational bound from that;
# - find $\ln Z$ where two histograms cross;
# - see hasty walks fail;
# - pull a magnet over a barrier of 16 nats, with windows that bias it.
#
# **What you will learn**
#
# - that Jarzynski's equality and Crooks's theorem are two statements about log-weights;
# - that the bound of chapter 18 is the second law for a switch in no time at all;
# - how a bias makes rare states common, and how it is taken back exactly.
#
# **What you need**: chapter 8, section 4; chapter 9, section 2; chapter 18, section 2.
#
# **Time**: about 60 minutes, and 120 for the exercises. The code runs in half a minute.
#
# Numbers such as (B49) are rows of the table `EQUATIONS.md`; free energies and work are in nats.

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

from rbm_tf import Machine, ais, bar, bennett, ising, log_z, mbar, reverse_ais, units, wham
from rbm_tf.course import check, label
from rbm_tf.machine import clamped_free_energy
from rbm_tf.tempered_path import tempered_path
from rbm_tf.tempering import Windows

# %%
seed = 0
num_walks = 8000  # in each direction
path_lengths = 1, 3, 10, 100  # steps of annealing
coupling = 1.0  # of the magnet in section 7
strength = 1.0  # of the bias on it
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 130}])
ink = plt.rcParams["text.color"]


# %% [markdown]
# ## 1. Annealing does work
#
# [Chapter 8, section 4](08_annealing.ipynb) walks along a path of free energies $F_k(v) =
# F_{\beta_k}(v)$, from independent units ($k = 0$) to the machine ($k = K$). In turn it changes $\beta$ with the
# state held, and the state with $\beta$ held. In the first kind of step the *parameters* change the energy of the
# system. That is work. In the second kind the *sweep* changes it. That is heat:
#
# $$W = \sum_{k=1}^{K} \big[ F_k(v_{k-1}) - F_{k-1}(v_{k-1}) \big] , \qquad
#   Q = \sum_{k=1}^{K-1} \big[ F_k(v_k) - F_k(v_{k-1}) \big] . \tag{1.1}$$
#
# Together they telescope, which is the first law: $W + Q = F_K(v_{K-1}) - F_0(v_0)$. The weight of a walk in
# that chapter is $w = Z_0\, e^{-W}$. So the theorem proved there, $\langle w \rangle = Z_K$, says with
# $\Delta F = -\ln Z_K + \ln Z_0$
#
# $$\boxed{\; \big\langle e^{-W} \big\rangle = e^{-\Delta F} \;} \tag{B49a}$$
#
# This is *Jarzynski's equality* (Jarzynski 1997). Neal (2001) came to the same identity by another way, as annealed
# importance sampling. An equilibrium quantity follows from walks that are never in equilibrium but at their
# start.
#
# %% [markdown]
# ## 2. The same walk backwards
#
# The probability that a forward walk visits $v_0, \dots, v_{K-1}$ is
#
# $$P_F = p_0(v_0) \prod_{k=1}^{K-1} T_k(v_k | v_{k-1}) , \qquad
#   P_R = p_K(v_{K-1}) \prod_{k=1}^{K-1} T_k(v_{k-1} | v_k) , \tag{2.1}$$
#
# and $P_R$ is the probability that `reverse_ais`, which starts with a sample of the machine, visits the same
# states in the opposite order. A Gibbs sweep $v \to h \to v'$ is in *detailed balance*: it has
# $e^{-F(v)}\, T(v'|v) = \sum_h e^{-E(v, h)}\, e^{-E(v', h)} / \sum_{v''} e^{-E(v'', h)}$, where $v$ and $v'$ may be
# exchanged. Hence $T_k(v_k|v_{k-1}) / T_k(v_{k-1}|v_k) = e^{F_k(v_{k-1}) - F_k(v_k)}$, and
# the product over all sweeps is $e^{-Q}$. The two ends contribute $p_0(v_0) / p_K(v_{K-1}) = e^{-\Delta F +
# F_K(v_{K-1}) - F_0(v_0)} = e^{-\Delta F + W + Q}$. The heat cancels:
#
# $$\boxed{\; \frac{P_F}{P_R} = e^{\,W - \Delta F} , \qquad
#   \frac{p_F(W)}{p_R(-W)} = e^{\,W - \Delta F} \;} \tag{B49b}$$
#
# The right half collects all walks of the same work; a reverse walk does the work $-W$. This is *Crooks's theorem*
# (Crooks 1999). Add up $p_F(W)\, e^{-W} = e^{-\Delta F}\, p_R(-W)$ over all $W$: that is (B49a) again.
#
# **Check against the exact result**: on 6 + 4 units, all $64^3$ walks of three steps.

# %%
rng = np.random.default_rng(1)
shapes = (1.5, (6, 4)), (0.5, 6), (0.5, 4)
tiny = Machine(*(tf.constant(s * rng.normal(size=shape)) for s, shape in shapes))
v, h = (np.asarray(units.Binary(num).layer_states(), float) for num in (6, 4))
path = tempered_path(tiny, base="uniform")


def free_energy(beta):
    """F_beta(v) of all 64 states."""
    return path.free_energy(tf.constant(v), path.hidden_input(v), beta).numpy()


# %%
def sweep(beta):
    """T(v'|v), rows v, columns v'."""
    kernel, a, b = (x.numpy() for x in tiny.parameters)
    exponent = beta * (v @ kernel @ h.T + (v @ a)[:, np.newaxis] + h @ b)
    return special.softmax(exponent, 1) @ special.softmax(exponent, 0).T


# %%
def all_walks(betas):
    """ln P_F, ln P_R and W of all walks of one, two or three steps, (64,) * K each."""
    energies = [free_energy(beta) for beta in betas]
    work, forward = np.diff(energies, axis=0)[0], special.log_softmax(-energies[0])
    reverse = np.zeros(64)
    for beta, change in zip(betas[1:-1], np.diff(energies, axis=0)[1:], strict=True):
        step = np.log(sweep(beta))
        work, forward = work[..., np.newaxis] + change, forward[..., np.newaxis] + step
        reverse = reverse[..., np.newaxis] + step.T
    return forward, reverse + special.log_softmax(-energies[-1]), work


# %% name="crooks"
forward, reverse, work = all_walks(np.linspace(0, 1, 4))
delta_f = float(path.base_log_z) - log_z(tiny)
check(forward - reverse, work - delta_f)  # (B49b), walk by walk
check(special.logsumexp(forward - work), -delta_f)  # (B49a)
print(f"{work.size} walks, Delta F = {delta_f:.4f} nats")
print(
    f"work from {work.min():.2f} to {work.max():.2f}, mean {np.exp(forward).ravel() @ work.ravel():.4f}"
)

# %% [markdown]
# ## 3. The bound is the second law
#
# Take the logarithm of (B49b) and average over forward walks. Left stands a Kullback-Leibler divergence:
#
# $$\langle W \rangle_F - \Delta F = \mathrm{KL}(P_F \,\|\, P_R) \;\ge\; 0 . \tag{B49c}$$
#
# Now make a single step, $K = 1$. The walk is its first state, $P_F = p_0$, $P_R = p_1$, and $W = F_1(v) - F_0(v)$.
# With $F_0$ as the trial system, (B49c) reads
#
# $$-\ln Z_1 \;\le\; -\ln Z_0 + \langle F_1 - F_0 \rangle_0 , \qquad \text{gap} = \mathrm{KL}(p_0 \,\|\, p_1) . \tag{3.1}$$
#
# That is the bound of Gibbs, Bogoliubov and Feynman (B16), and with $q(z|x)$ as trial system the ELBO. *A
# variational free energy, less that of the trial system, is the mean work of turning the trial into the real system
# in no time.* This is the proof that the post mentions.
#
# **Exceptions are needed.** If every walk had $W > \Delta F$, then (B49a) could not hold: that answers the
# guess. How many exceptions may there be? Sum $P_F = P_R\, e^{W - \Delta F}$ over all walks that fall short by
# $\zeta$ or more:
#
# $$P_F(W \le \Delta F - \zeta) \;\le\; e^{-\zeta} . \tag{3.2}$$
#
# So the theorem does not say that "any small fluctuation will relax back", as the post puts it. It says how rare the
# exceptions to the second law are.
#
# **Two labels of the post.** It writes $\langle \cdot \rangle_0$ "to represent non-equilibrium states", and
# counts cumulants and TAP among the methods of non-equilibrium physics. Neither is. $\langle \cdot \rangle_0$ is
# an average over a *reference* system in equilibrium, and both expansions are about equilibrium. The
# non-equilibrium average here is $\langle \cdot \rangle_F$, over walks. About Liouville the post is right:
# Jarzynski's first proof moves by Hamilton's equations, which conserve volume in phase space.
#
# **Check against the exact result**: (B49c) for one, two and three steps, (3.1), and (3.2).

# %% name="second-law"
print("steps   wasted    walks that fall short of Delta F by 0, 1, 2 nats or more")
for steps in (1, 2, 3):
    forward, reverse, work = all_walks(np.linspace(0, 1, steps + 1))
    p, waste = np.exp(forward), work - delta_f
    check(np.sum(p * waste), np.sum(p * (forward - reverse)))  # (B49c)
    short = np.array([np.sum(p[waste <= -zeta]) for zeta in (0, 1, 2)])
    print(f"{steps:5d} {np.sum(p * waste):8.3f}", *(f"{share:14.2%}" for share in short))
    assert np.all(short <= np.exp([0.0, -1, -2])) and 0.2 < short[0] < 0.4  # (3.2)
forward, _, work = all_walks([0, 1])
trial = special.softmax(-free_energy(0.0))
check(np.sum(np.exp(forward) * work), trial @ (free_energy(1.0) - free_energy(0.0)))  # (3.1)

# %% [markdown]
# ## 4. Where the histograms cross
#
# By (B49b) the two densities are equal at $W = \Delta F$ and nowhere else. So the crossing of two histograms
# shows a free energy. Here is a machine of 12 + 8 units. *Three steps are far from
# equilibrium. Will the crossing still be in the right place?*

# %%
rng = np.random.default_rng(seed)
shapes = (1.0, (12, 8)), (0.5, 12), (0.5, 8)
machine = Machine(*(tf.constant(s * rng.normal(size=shape)) for s, shape in shapes))
base_log_z = float(tempered_path(machine, base="uniform").base_log_z)
delta_f = base_log_z - log_z(machine)
states = np.asarray(units.Binary(12).layer_states(), float)
probability = special.softmax(-clamped_free_energy(machine, tf.constant(states)).numpy())
samples = states[rng.choice(len(states), num_walks, p=probability)]  # of the machine, exactly

# %%
runs = {}
for steps in path_lengths:
    settings = {"base": "uniform", "betas": np.linspace(0, 1, steps + 1), "progress": False}
    up = ais(machine, num_chains=num_walks, seed=seed, **settings)
    runs[steps] = up, reverse_ais(machine, samples, seed=seed + 1, **settings)
# W of forward walks, and minus that of reverse ones
work = {steps: [base_log_z - x.log_weights for x in pair] for steps, pair in runs.items()}

edges = np.linspace(-4, 4, 17)  # of W - Delta F


# %%
def log_ratio(steps):
    """ln of the ratio of the two histograms, and its standard error; NaN with few counts."""
    counts = np.array([np.histogram(x - delta_f, edges)[0] for x in work[steps]], float)
    counts[:, counts.min(0) < 20] = np.nan
    return np.log(counts[0] / counts[1]), np.sqrt((1 / counts).sum(0))


# %% name="histograms" alt="Left: three steps, the histogram of the forward work is broad and lies to the right, that of the reverse walks to the left; they cross at the dashed line Delta F. Middle: the same for 100 steps, both narrow and nearly equal. Right: the logarithm of the ratio of the histograms against W - Delta F; points for 3 and 10 steps lie on one line of slope one through the origin."
figure, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
for axis, steps in zip(axes, (3, 100), strict=False):
    bins = np.linspace(*np.percentile(work[steps], [0.3, 99.7]), 50)
    axis.hist(work[steps][0], bins, density=True, color=blue, alpha=0.55, label="forward")
    axis.hist(work[steps][1], bins, density=True, color=orange, alpha=0.55, label="reverse")
    axis.axvline(delta_f, color=ink, ls="--", label=r"exact $\Delta F$")
    label(axis, f"{steps} steps", "$W$, reverse: $-W$ (nats)", "density (1/nat)")
for steps, colour, marker in ((3, purple, "o"), (10, green, "s")):
    settings = {"fmt": marker, "color": colour, "label": f"{steps} steps"}
    axes[2].errorbar(edges[:-1] + 0.25, *log_ratio(steps), **settings)
axes[2].plot([-3, 4], [-3, 4], "--", color=ink, lw=1, label="(B49b)")
label(axes[2], "The ratio", r"$W - \Delta F$ (nats)", "ln (forward / reverse)")
axes[0].legend(), axes[2].legend()
plt.show()

# %% [markdown]
# The points of 3 and of 10 steps lie on the same line. To measure its slope without bins: mix as many forward
# as reverse walks and forget their directions. By Bayes and (B49b) a walk of work $W$ was a forward one with
# the probability
#
# $$p(F | W) = \frac{p_F}{p_F + p_R} = \sigma(W - \Delta F) , \tag{4.1}$$
#
# which is a logistic regression on $W$, with the slope 1 and the offset $\Delta F$.


# %%
def regression(up, down):
    """Slope s and midpoint of sigmoid(s (W - midpoint)), most likely for the directions; errors."""
    x, forward = np.concatenate([up, down]) - delta_f, np.repeat([1.0, 0.0], [len(up), len(down)])
    columns, theta = np.stack([x, np.ones_like(x)], 1), np.array([1.0, 0.0])
    for _ in range(20):  # Newton
        p = special.expit(columns @ theta)
        information = (columns * (p * (1 - p))[:, np.newaxis]).T @ columns
        theta = theta + np.linalg.solve(information, columns.T @ (forward - p))
    error = np.sqrt(np.diag(np.linalg.inv(information)))
    return theta[0], error[0], -theta[1] / theta[0], error[1] / theta[0]


# %% name="regression"
for K in (1, 3, 10):
    slope, slope_error, middle, middle_error = regression(*work[K])
    print(f"{K:2d} steps: slope {slope:.3f} +- {slope_error:.3f}", end=", ")
    print(f"crossing at Delta F {middle:+.3f} +- {middle_error:.3f} nats")
    assert abs(slope - 1) < 5 * slope_error and slope_error < 0.05
    assert abs(middle) < 5 * middle_error < 0.5

# %% [markdown]
# ## 5. Both directions together
#
# If the slope is known to be 1, only $\Delta F$ is left to fit. The derivative of the log likelihood $\sum_F \ln
# \sigma(W - \Delta F) + \sum_R \ln \sigma(\Delta F - W)$ vanishes for
#
# $$\sum_F \sigma(\Delta F - W) = \sum_R \sigma(W - \Delta F) , \tag{5.1}$$
#
# where $W$ stands for minus the work in the right sum. This is Bennett's equation, [(2.3) of chapter
# 9](09_roads_to_ln_z.ipynb), with walks in place of single changes of energy (Shirts and others 2003). The
# library calls it `bennett(forward, reverse)`. *Does it pay? Half of the walks now go backwards, so compare at
# the same total number.*


# %%
def by_both(up, down):
    """The Delta F that solves (5.1)."""

    def excess(f):
        return np.sum(special.expit(f - up)) - np.sum(special.expit(down - f))

    return optimize.brentq(excess, -99, 99)


def by_one(values, sign):
    """Delta F by (B49a), from forward walks (sign 1) or reverse ones (-1)."""
    return -sign * (special.logsumexp(-sign * values) - np.log(len(values)))


# %% name="both"
print("error of ln Z in nats (root mean square over batches of 200 walks)")
rmse = {}
for steps, (up, down) in work.items():
    check(base_log_z - by_both(up, down), bennett(*runs[steps]).log_z, tolerance=1e-8)
    halves = zip(up.reshape(80, 100), down.reshape(80, 100), strict=True)
    found = (
        [by_one(x, 1) for x in up.reshape(40, 200)],
        [by_one(x, -1) for x in down.reshape(40, 200)],
        [by_both(*pair) for pair in halves],
    )
    rmse[steps] = one = [np.sqrt(np.mean((np.array(x) - delta_f) ** 2)) for x in found]
    print(f"{steps:3d} steps: forward {one[0]:.3f}, reverse {one[1]:.3f}, both {one[2]:.3f}")
assert rmse[1][2] < rmse[1][0] / 2 and 0.6 < rmse[100][2] / rmse[100][0] < 1.6

# %% [markdown]
# For a single step both directions together have less than half of the error of the better one. For 100 steps there is nothing
# to gain. The price has been hidden: a reverse walk needs a sample of the machine to start
# from, which is what one lacks in practice.
#
# %% [markdown]
# ## 6. Slow walks, hasty walks
#
# How much does a slow walk waste? If $W$ is a sum of many small terms that forget each other, it is nearly Gaussian.
# For a Gaussian of mean $\langle W \rangle$ and variance $\langle\!\langle W^2 \rangle\!\rangle$ (B49a) gives
#
# $$\Delta F = \langle W \rangle - \tfrac12 \langle\!\langle W^2 \rangle\!\rangle , \tag{6.1}$$
#
# which is the series (B23) of chapter 32 cut after order 2: what is wasted is half the variance. *For the hasty walk of one step, (6.1) is
# the second-order correction of the variational bound. Will it do?*
#
# **Check against the exact result**: mean and variance of $W$ for the tiny machine, exactly, for any number of steps.


# %%
def work_moments(betas):
    """Exact mean and variance of W."""
    old = free_energy(betas[0])
    p = special.softmax(-old)
    first, second = np.zeros(64), np.zeros(64)  # averages of W and W^2 over walks that end in v
    for beta in betas[1:]:
        new = free_energy(beta)
        change, old = new - old, new
        second = second + 2 * change * first + change**2 * p
        first = first + change * p
        p, first, second = (x @ sweep(beta) for x in (p, first, second))
    return first.sum(), second.sum() - first.sum() ** 2


# %% name="slow"
tiny_delta_f = float(path.base_log_z) - log_z(tiny)
check(work_moments([0, 1])[0], np.sum(np.exp(forward) * all_walks([0, 1])[2]))
print("tiny machine, exactly")
for steps in (1, 3, 10, 30, 100):
    mean, variance = work_moments(np.linspace(0, 1, steps + 1))
    ratio = variance / 2 / (mean - tiny_delta_f)
    print(
        f"{steps:3d} steps: wasted {mean - tiny_delta_f:.4f} nats, half the variance is {ratio:.3f} of it"
    )
assert abs(ratio - 1) < 0.005
errors = {steps: up.mean() - up.var() / 2 - delta_f for steps, (up, _) in work.items()}
print("machine of section 4, error of (6.1):", {k: round(float(x), 3) for k, x in errors.items()})
assert errors[1] < -1 and abs(errors[100]) < 0.05

# %% [markdown]
# For slow walks half the variance is right to a third of a percent. For the single step, which is what
# variational inference does, (6.1) puts $\Delta F$ of the machine of section 4 too low by two nats. When
# the second order can be trusted is the question of chapter 32.
#
# **A deliberate failure.** (B49a) is exact for hasty walks, too. With a single step, how many walks does it
# take? By (B49b) the share that walks of work $W$ have in $\langle e^{-W} \rangle$ is the probability that a
# *reverse* walk does $-W$. Forward walks may hardly ever do such work. With one step we can list them: a forward
# walk begins in each of 4,096 states with the same probability. *How many of these carry half of the mean?*

# %% name="hasty"
one_step = clamped_free_energy(machine, tf.constant(states)).numpy() + 8 * np.log(2)  # F_1 - F_0
share = np.exp(-one_step) / np.exp(-one_step).sum()
check(share, probability)
half = 1 + np.argmax(np.cumsum(np.sort(share)[::-1]) > 0.5)
print(f"{half} of 4096 states carry half of the mean of exp(-W)")
bias = []
for num in (10, 100, 1000):
    found = np.array([by_one(x, 1) - delta_f for x in work[1][0].reshape(-1, num)])
    bias.append((found.mean(), np.std(found, ddof=1) / np.sqrt(len(found))))
    print(f"{num:4d} walks: mean error {bias[-1][0]:.2f} +- {bias[-1][1]:.2f} nats")
equal_cost = runs[1][0].standard_error * np.sqrt(num_walks / 20_000)
print(f"20,000 walks of 1 step {equal_cost:.3f}, 200 walks of 100 steps {rmse[100][0]:.3f} nats")
assert half < 100 and bias[0][0] > 2 and bias[1][0] > 5 * bias[1][1]
assert rmse[100][0] < equal_cost / 3

# %% [markdown]
# Ten walks put $\Delta F$ too high by almost three nats on average, and a hundred by more than half a nat. It is better to
# spend the same number of steps on fewer and slower walks.
#
# %% [markdown]
# ## 7. Umbrella sampling
#
# Now a question of another kind: not the free energy of a whole system, but of each value $n$ of an *order
# parameter*, $-\ln p_n$. Take a magnet, the periodic Ising lattice of $4 \times 4$ spins with the coupling
# 1 nat, and let $n$ be the number of spins up. The 65,536 states can be listed, so that $p_n$ is known.
# Between all down and all up lies a barrier of 16 nats. Even independent draws would meet $n = 7$ once in
# 13 million times; no value but its mirror image, 9, is as rare.
#
# Torrie and Valleau (1977) cover the range with *windows*. Window $k$ adds to the energy a bias $u_k(n)$,
# such as $\frac12 (n - c_k)^2$, which pulls the magnet towards $c_k$. Its distribution is
#
# $$p_k(n) = p_n\, e^{f_k - u_k(n)} , \qquad e^{-f_k} = \sum_n p_n\, e^{-u_k(n)} . \tag{7.1}$$
#
# The bias is known and can be divided out, but each window has its own unknown $f_k$, and sees a part of the
# range. Let $C_{kn}$ be how often window $k$ was at $n$, and $N_k = \sum_n C_{kn}$. The log likelihood of all
# windows is
#
# $$\mathcal{L} = \sum_{kn} C_{kn} \big[ \ln p_n + f_k - u_k(n) \big] . \tag{7.2}$$
#
# From (7.1) $\partial f_k / \partial p_n = -e^{f_k - u_k(n)}$. Setting
# $\partial \mathcal{L} / \partial p_n = \sum_k C_{kn} / p_n - \sum_k N_k\, e^{f_k - u_k(n)}$ to zero leaves
#
# $$\boxed{\; p_n = \frac{\sum_k C_{kn}}{\sum_k N_k\, e^{f_k - u_k(n)}} \;} \tag{B50}$$
#
# which is solved together with (7.1): the *weighted histogram analysis*, WHAM (Ferrenberg and Swendsen 1989; so named by Kumar and others, 1992). A
# sample at $n$ counts $1 / \sum_k N_k\, p_k(n) / p_n$. There one recognises MBAR of chapter 9, whose $\alpha$ is one
# over the sum of all windows. WHAM is MBAR for windows that differ by a bias on $n$ alone.
#
# **Check against the exact result**: nine windows, and the same number of sweeps without bias. *How far will the
# latter get?*

# %%
magnet = ising.square(4, coupling)
spins = ising.all_spins(4, 4)
up = (spins > 0).sum((1, 2))
exact_profile = -np.log(np.bincount(up, np.exp(-magnet.energy(spins) - magnet.log_z())))
n, centres = np.arange(17), np.linspace(0, 16, 9)
bias = strength / 2 * (n - centres[:, np.newaxis]) ** 2  # (9, 17)
bins = ising.magnetisation_windows(magnet, bias, num_chains=20, num_steps=500, seed=seed)
profile = wham(bins, bias)
plain = ising.magnetisation_windows(
    magnet, np.zeros((1, 17)), num_chains=180, num_steps=500, seed=seed
)
visits = np.bincount(plain.ravel(), minlength=17)

# %% name="umbrella" alt="Left, on a log scale: nine overlapping histograms of the number of spins up; the outer ones sit at the ends, the inner ones reach into the middle. Right: the exact free energy against the number of spins up, lowest at both ends and 16 nats higher towards the middle, with a dip at 8; the dots of the windows lie on it throughout, the squares of the run without bias cover only 0, 1 and 2 spins up."
figure, axes = plt.subplots(1, 2, figsize=(11, 4))
for k, one in enumerate(bins):
    counts = np.bincount(one.ravel(), minlength=17)
    axes[0].semilogy(n, np.where(counts, counts, np.nan), "o-", ms=4, color=plt.cm.cividis(k / 9))
label(axes[0], "Nine windows, from left (dark) to right", "spins up, $n$", "samples of a window")
axes[1].plot(n, exact_profile, color=ink, lw=1, label="exact")
settings = {"fmt": "o", "color": blue, "label": "windows, (B50)"}
axes[1].errorbar(n, profile.free_energy, 2 * profile.standard_error, **settings)
plain_profile = -np.log(np.where(visits, visits, np.nan) / visits.sum())
axes[1].plot(n, plain_profile, "s", color=orange, mfc="none", ms=10, label="no bias")
label(axes[1], "Free energy of a magnetisation", "spins up, $n$", r"$-\ln p_n$ (nats)")
axes[1].legend(loc="lower center")
plt.show()

# %% name="profile"
gap, furthest = np.abs(profile.free_energy - exact_profile), n[visits > 0].max()
print(
    f"barrier {np.ptp(exact_profile):.2f} nats; largest error of the windows {gap.max():.3f} nats"
)
print(f"standard errors up to {profile.standard_error.max():.3f}; no bias: n up to {furthest}")
assert np.all(gap < 5 * profile.standard_error) and profile.standard_error.max() < 0.1
assert furthest < 4 and np.ptp(exact_profile) > 15 and abs(np.exp(exact_profile[7]) - 13e6) < 1e6
energy = np.where(up == 8, magnet.energy(spins), np.inf)
lowest = spins[energy == energy.min()]
striped = [np.ptp(one, 0).max() == 0 or np.ptp(one, 1).max() == 0 for one in lowest]
print(f"{len(lowest)} states of least energy at n = 8, {sum(striped)} of them stripes")
assert len(lowest) == sum(striped) == 8

# %% [markdown]
# Without bias all 180 chains stay on the side where they start. They take $p_0$ for 1, where it is $\frac12$. The windows find
# the whole profile to within a tenth of a nat, even the dip in the middle, where the lowest states are stripes.
# Only the middle window and those at the ends sit at their centres, that of 4 at 0.35. The others need not: what counts is that
# neighbours overlap.
#
# %% [markdown]
# ## 8. Beside BAR and MBAR (optional)
#
# BAR and MBAR ask only for the energy of every sample in every window, and the windows differ
# by $u_k(n)$. So the estimators of chapter 9 take the same samples (every tenth, to save time):

# %% name="beside"
some = bins[:5, :, ::10]  # the windows from all down to the middle
energies = bias[:5, some].swapaxes(0, 1)  # u_l of samples of window k, (k, l, chain, step)
windows = Windows(np.arange(5.0), energies, None, 0.0, np.zeros((20, 1)))
by_wham = wham(some, bias[:5]).windows
exact_windows = -special.logsumexp(-exact_profile - bias, axis=1)
print(f"f_0 - f_4: exact {exact_windows[0] - exact_windows[4]:.3f} nats, by")
for name, found in (("BAR", bar(windows)), ("MBAR", mbar(windows))):
    print(f"{name:5s}{found.log_z:.3f} +- {found.standard_error:.3f}")
    assert abs(found.log_z - exact_windows[0] + exact_windows[4]) < 5 * found.standard_error
assert 0.8 < bar(windows).standard_error / mbar(windows).standard_error < 1.25
print(f"WHAM {by_wham[0] - by_wham[4]:.3f}")
check(by_wham[0] - by_wham[4], mbar(windows).log_z, tolerance=1e-7)

# %% [markdown]
# WHAM and MBAR are one number, as (B50) says, and BAR is as good here. What (B50) saves is effort: it needs
# histograms only. MBAR needs no bins, and the windows may differ in anything.
#
# %% [markdown]
# ## 9. Summary
#
# - The log-weight of annealing is $\ln Z_0 - W$, and (B49a) is Jarzynski's equality.
# - Forward and reverse walks of the same work differ in probability by $e^{W - \Delta F}$, at any speed (B49b). Their
#   histograms cross at $\Delta F$.
# - The average of that is the second law (B49c). For a single step it is the variational bound.
# - Bennett's ratio is a logistic regression with the slope 1. It pays for hasty walks, and needs samples of the
#   machine.
# - Slow walks waste half the variance of their work. Hasty ones live on exceptions that a few walks never see.
# - Windows with a known bias reach what is too rare to be seen, and (B50) takes the bias back.
#
# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **A coin.** A binary unit without field gets the field $x$ all at once, so that its energy is $-x t$. Find
#    mean work, $\Delta F$ and $\langle e^{-W} \rangle$, and write them as a function `coin(x)`.
# 2. *(medium)* **A trap that jumps.** A particle rests in equilibrium in the trap $\frac12 v^2$, which jumps to
#    $\frac12 (v - c)^2$. Show that $W$ is Gaussian, that (6.1) is exact, and that (B49b) holds. Write
#    `shortfall(c, zeta)`, the probability that $W \le \Delta F - \zeta$. Which $c$ makes it largest, and how close does
#    it come to (3.2)?
# 3. *(hard)* **The perfect umbrella.** Show that the single bias $u(n) = \ln p_n$ makes all $n$ equally likely.
#    One does not know $p_n$; take what the nine windows found. Sample with it, as many sweeps as before, and
#    find the profile `again` by `wham`. Is it better?
# 4. *(to explore)* **Where to hurry.** Cool the tiny machine further, from $\beta = 0$ to 4, in four steps. Which
#    `best` (five values of $\beta$) waste least? How many equal steps waste as little?
#
# The solutions are in the cells below, folded: click on one to open it.


# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. t is 0 or 1, alike, and W = -x t. Z goes from 2 to 1 + e^x, which is also what the average gives.
def coin(x):
    return -x / 2, -np.log((1 + np.exp(x)) / 2), (1 + np.exp(x)) / 2


print("1. mean work {:.4f}, Delta F {:.4f}, <exp(-W)> {:.4f}".format(*coin(2.0)))
check(coin(2.0), [-1.0, -1.4337808, 4.1945280], tolerance=1e-6)
check(-np.log(coin(-0.7)[2]), coin(-0.7)[1])


# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. W = c^2 / 2 - c v with v from N(0, 1): mean c^2 / 2, variance c^2, and Delta F = 0 = mean - variance / 2.
# Backwards the work is c^2 / 2 + c (v - c), and its negative has mean -c^2 / 2 and variance c^2; the
# logarithm of the ratio of both densities is ((W + c^2/2)^2 - (W - c^2/2)^2) / (2 c^2) = W.
def shortfall(c, zeta):
    return special.ndtr(-c / 2 - zeta / c)


for zeta in (0.5, 1.0, 2.0):  # c / 2 + zeta / c is least for c^2 = 2 zeta
    print(f"2. zeta {zeta}: {shortfall(np.sqrt(2 * zeta), zeta):.4f} < {np.exp(-zeta):.4f}")
check(shortfall(1.5, 0.0), 0.22662735, tolerance=1e-6)
assert max(shortfall(c, 1.0) for c in (1.2, 1.6)) < shortfall(2**0.5, 1.0) < np.exp(-1)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. p_n exp(-ln p_n) = 1. With an approximate bias the histogram is nearly flat, and (B50) for one window
# is p_n ~ C_n exp(u(n)): exact whatever the bias. Better: the median error bar is about half. But it needed the
# windows' run first, and its largest error is not always smaller.
u = -profile.free_energy[np.newaxis]
flat = ising.magnetisation_windows(magnet, u, num_chains=180, num_steps=500, seed=seed + 1)
again = wham(flat, u)
counts = np.bincount(flat.ravel(), minlength=17) / flat.size
print(
    f"3. shares from {counts.min():.3f} to {counts.max():.3f} of 1/17 = {1 / 17:.3f}; standard errors",
    end=" ",
)
print(f"{np.median(again.standard_error):.3f} (windows: {np.median(profile.standard_error):.3f})")
assert np.all(np.abs(again.free_energy - exact_profile) < 5 * again.standard_error)
assert np.median(again.standard_error) < 0.8 * np.median(profile.standard_error)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. Three numbers to choose: a search by simplex.
def wasted(betas):
    return work_moments(betas)[0] + special.logsumexp(-free_energy(4.0)) - 10 * np.log(2)


found = optimize.minimize(lambda x: wasted([0, *np.sort(x), 4]), [1, 2, 3], method="Nelder-Mead")
best = np.array([0, *np.sort(found.x), 4])
equal = {steps: wasted(np.linspace(0, 4, steps + 1)) for steps in range(4, 13)}
as_good = min(steps for steps, value in equal.items() if value < wasted(best))
print(f"4. best {best.round(2)}: {wasted(best):.3f} nats; equal steps {equal[4]:.3f}", end=", ")
print(f"and as little with {as_good} of them")
assert best[0] == 0 and best[4] == 4 and best[1] < 1
assert work_moments(best)[0] < work_moments(np.linspace(0, 4, 5))[0] - 0.5
