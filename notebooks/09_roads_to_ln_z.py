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
# # Chapter 9: Roads to ln Z
#
# Of the many roads to $\ln Z$, some come with an error bar, some with a bound, some with neither. Here they
# compete, on one machine that is just small enough for the exact answer. *Guess before you read on: two
# estimates that begin at opposite ends agree to a thousandth of a nat. Can both be wrong?*
#
# **What you will do**
#
# - integrate over the temperature, and join neighbouring temperatures by Bennett's ratio;
# - go without samples: mean field, cumulants, TAP;
# - draw a map of all roads: error against cost;
# - see two confident, wrong estimates, one of which the usual test does not expose.
#
# **What you will learn**
#
# - which error of thermodynamic integration no number of samples cures;
# - why Bennett's ratio only needs windows that overlap;
# - that two estimates are evidence only as far as they cannot share a mistake.
#
# **What you need**: [chapter 8](08_annealing.ipynb), sections 3 and 4; the derivatives of $\ln Z$ (chapter 1,
# section 2).
#
# **Time**: about 58 minutes, and 120 for the exercises. The code runs in about 40 seconds.
#
# Numbers such as (B24) are rows of the table `EQUATIONS.md`; free energies are in nats.
#
# **What chapter 8 found.** The weights $w = Z\, p(v) / q(v)$ of draws from a proposal $q$ average to $Z$, but it
# takes $e^{\mathrm{KL}(p \| q)}$ draws to see the states that matter, (3.2) of chapter 8. *Annealing* (AIS)
# goes in small steps,
#
# $$F_\beta(v) = -\big((1 - \beta)\, a_0 + \beta a\big) \cdot v - \sum_j \mathrm{softplus}(\beta\, x_j) ,
#   \qquad x_j = b_j + \sum_i v_i W_{ij} ,$$
#
# from independent pixels at $\beta = 0$ to the machine at $\beta = 1$. Its weights average to $Z$ as well,
# and $\mathbb{E}[\ln w]$ is below $\ln Z$ forward and above it in
# reverse, (4.3) and (4.4) of chapter 8. The machine here has only 8 × 8 pixels, since the map takes hundreds of
# runs, and 16 hidden units: a table of $2^{16}$ states yields $\ln Z$ and exact samples.

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
import os
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
from scipy import integrate, optimize, special

from rbm_tf import annealing, datasets, enumeration, mean_field, reweighting, tempering, umbrella
from rbm_tf.course import check, label, shipped
from rbm_tf.estimates import verdict
from rbm_tf.rbm import BernoulliRBM

# %%
seed = 0
num_chains, num_ladders = 200, 20  # of annealing, of parallel tempering
path_lengths = (3, 10, 30, 100, 300, 1000)  # steps of annealing
num_repeats = 4  # of every estimate on the map
scales = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0])  # of all parameters, section 3
retrain = bool(os.environ.get("RETRAIN"))  # True: train the machine here, some seconds
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 120}])
ink = plt.rcParams["text.color"]


# %%
def rbm_with(*parameters):  # kernel, visible and hidden bias
    return BernoulliRBM.from_parameters(*parameters, dtype="float64")


def all_states(number):  # of binary units, (2^number, number)
    return np.array(list(itertools.product([0.0, 1.0], repeat=number)))


def exact_samples(number):  # of v, independent: h from its table, then v given h
    on = special.expit(visible_input[rng.choice(65536, size=number, p=np.exp(log_p))])
    return (rng.random(on.shape) < on).astype(float)


# %%
def train():  # the machine of these digits, by persistent contrastive divergence
    model = BernoulliRBM(64, 16, seed=seed)
    model.fit(x_train, epochs=60, batch_size=50, verbose=0)
    return {x.name: x.numpy() for x in [*model.trainable_variables, model.visible_offset]}


x_train = datasets.load_digits("bernoulli", seed=seed)[0][0].reshape(-1, 64)
*parameters, pixel_means = shipped("roads_machine", train, retrain=retrain).values()
rbm = rbm_with(*parameters)
rbm.visible_offset.assign(pixel_means)
kernel, visible_bias, hidden_bias = (x.astype(float) for x in parameters)
exact, rng, hidden_states = enumeration.log_z(rbm), np.random.default_rng(seed), all_states(16)
visible_input = visible_bias + hidden_states @ kernel.T  # (65536, 64)
log_p = hidden_states @ hidden_bias + np.logaddexp(0, visible_input).sum(axis=1) - exact
check(special.logsumexp(log_p), 0)

# %% [markdown]
# ## 1. Thermodynamic integration
#
# The derivative of $\ln Z$ is an average (B6). Along the path,
#
# $$\frac{d \ln Z}{d\beta} = \frac{1}{Z_\beta} \sum_v \frac{d}{d\beta} e^{-F_\beta(v)}
#   = -\Big\langle \frac{dF_\beta}{d\beta} \Big\rangle_\beta , \tag{1.1}$$
#
# and an average needs only samples, no $Z$. Integrate:
#
# $$\boxed{\; \ln Z(1) = \ln Z(0) - \int_0^1 \Big\langle \frac{dF_\beta}{d\beta} \Big\rangle_\beta d\beta
#   \;} \qquad \frac{dF_\beta}{d\beta} = -(a - a_0) \cdot v - \sum_j x_j\, \sigma(\beta x_j) , \tag{1.2}$$
#
# with the logistic function $\sigma$. In practice the integrand $g(\beta)$ is known at a few temperatures, and
# the trapezoid rule with step
# $s$ makes an error that no number of samples cures. On one interval, expand $g$ about
# the middle $c$: the integral is $s\, g(c) + \frac{s^3}{24} g''(c) + \dots$, the rule gives $s\, g(c) +
# \frac{s^3}{8} g''(c) + \dots$. The difference, summed over all intervals, is
# $\frac{s^2}{12} \int g''\, d\beta$:
#
# $$\text{bias of } \ln Z = -\frac{s^2}{12} \big[ g'(1) - g'(0) \big] + \mathcal{O}(s^4) . \tag{1.3}$$
#
# **Check against the exact result.** Each point of the path is itself an RBM, with the parameters
# $\beta W$, $(1 - \beta) a_0 + \beta a$ and $\beta b$. So $g$ can be had without any noise from the
# exact averages, $g(\beta) = -(a - a_0) \cdot \langle v \rangle - b \cdot \langle h \rangle - \sum_{ij}
# W_{ij} \langle v_i h_j \rangle$, and the bias can be seen alone.

# %%
base_mean = np.clip(pixel_means.astype(float), 0.01, 0.99)
base_bias = np.log(base_mean) - np.log1p(-base_mean)
base_log_z = len(hidden_bias) * np.log(2) - np.log1p(-base_mean).sum()


def mean_slope(beta):
    """<dF_beta/d beta> at beta, exactly, nats."""
    on_path = rbm_with(
        beta * kernel, (1 - beta) * base_bias + beta * visible_bias, beta * hidden_bias
    )
    mean = enumeration.moments(on_path)
    bonds = np.sum(kernel * mean.correlation)
    return -(visible_bias - base_bias) @ mean.visible - hidden_bias @ mean.hidden - bonds


# %% name="trapezoid-bias"
fine = np.linspace(0, 1, 17)
g = np.array([mean_slope(beta) for beta in fine])
strides = np.array([1, 2, 4, 8, 16])
bias = np.array([base_log_z - integrate.trapezoid(g[::s], fine[::s]) - exact for s in strides])
ends = np.gradient(g, fine, edge_order=2)[[0, -1]]
predicted = -((strides / 16) ** 2) / 12 * (ends[1] - ends[0])  # (1.3)
for s, actual, expected in zip(strides, bias, predicted, strict=True):
    print(f"{16 // s:2d} intervals: bias {actual:+.5f}, predicted {expected:+.5f} nats")
assert np.all(np.abs(bias[1:3] / bias[:2] - 4) < 0.5)  # half the step, a quarter of the bias
assert ends[1] < ends[0] < 0 and np.all(bias > 0)

# %%
windows = tempering.tempered_windows(
    rbm, betas=np.linspace(0, 1, 9), num_chains=num_ladders, seed=seed
)
estimate = umbrella.thermodynamic_integration(windows)
print(f"sampled, 8 intervals: {estimate.log_z - exact:+.4f} +- {estimate.standard_error:.4f} nats")
assert abs(estimate.log_z - exact - bias[1]) < 5 * estimate.standard_error

# %% name="integration" alt="Left: the integrand falls more and more steeply, from -1 to -12 nats; dots sampled at nine values lie on the exact curve. Right: bias of the trapezoid rule falls with the square of the step."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.4))
axes[0].plot(fine, g, color=ink, lw=1, label="exact")
sampled = windows.derivatives.mean(-1)  # (9, num_ladders)
error = sampled.std(1, ddof=1) / np.sqrt(num_ladders)
axes[0].errorbar(windows.betas, sampled.mean(1), 2 * error, fmt="o", color=blue, label="sampled")
label(axes[0], "The integrand", r"$\beta$", r"$\langle dF/d\beta\rangle$ (nats)")
axes[1].loglog(strides / 16, np.abs(bias), "o", color=orange, label="trapezoid, no noise")
axes[1].loglog(strides / 16, np.abs(predicted), color=ink, lw=1, label="(1.3)")
label(axes[1], "The bias of its integral", "step $s$", "absolute bias of $\\ln Z$ (nats)")
for axis in axes:
    axis.legend()
plt.show()

# %% [markdown]
# The bias has a known law and a sign: $g$ falls more steeply at $\beta = 1$ than at 0, so by (1.3)
# $\ln Z$ comes out too high.

# %% [markdown]
# ## 2. Umbrella sampling: Bennett's ratio
#
# Integration throws away how the samples of one *window* $\beta_k$ look under the next.
# Take two neighbouring windows, with $F_0$, $F_1$ for short, and any function $\alpha(v)$. Then
#
# $$Z_1 \langle \alpha\, e^{-F_0} \rangle_1 = \sum_v \alpha\, e^{-F_0 - F_1}
#   = Z_0 \langle \alpha\, e^{-F_1} \rangle_0 \quad\Longrightarrow\quad
#   \frac{Z_1}{Z_0} = \frac{\langle \alpha\, e^{-F_1} \rangle_0}{\langle \alpha\, e^{-F_0} \rangle_1} .
#   \tag{2.1}$$
#
# This holds for every $\alpha$. With $\alpha = e^{F_0}$ we are back at importance sampling,
# $Z_1 / Z_0 = \langle e^{F_0 - F_1} \rangle_0$, which is one-sided. Which $\alpha$ has the smallest
# variance? With $n$ independent samples of each window and $p_k = e^{-F_k} / Z_k$, the
# relative variance of the ratio (2.1) is, up to a constant,
#
# $$\frac1n\, \frac{\sum \alpha^2 p_0\, p_1^2 + \sum \alpha^2 p_1\, p_0^2}{(\sum \alpha\, p_0\, p_1)^2}
#   = \frac1n\, \frac{\sum \alpha^2 p_0\, p_1 (p_0 + p_1)}{(\sum \alpha\, p_0\, p_1)^2} . \tag{2.2}$$
#
# By Cauchy-Schwarz, applied to $\alpha \sqrt{p_0 p_1 (p_0 + p_1)}$ and $\sqrt{p_0 p_1 / (p_0 + p_1)}$,
# it is least for $\alpha \propto 1 / (p_0 + p_1)$. Put that into (2.1), with $\Delta = -\ln(Z_1 / Z_0)$
# and the *work* $u(v) = F_1(v) - F_0(v)$. Then $\alpha\, e^{-F_1} \propto p_1 / (p_0 + p_1) =
# \sigma(\Delta - u)$, a Fermi function, and (2.1) becomes *Bennett's acceptance ratio* (BAR,
# Bennett 1976):
#
# $$\boxed{\; \big\langle \sigma(\Delta - u) \big\rangle_0 = \big\langle \sigma(u - \Delta) \big\rangle_1
#   \;} \tag{2.3}$$
#
# The left side increases with $\Delta$ and the right one decreases, so there is one
# solution. If the windows overlap, there is no bias as in (1.3).
# *MBAR* is its form for all windows at once, $\alpha \propto 1 / \sum_k p_k$.
#
# **The windows** (those of section 1) are sampled by *parallel tempering* (chapter 6, section 1): a Gibbs chain
# at each $\beta_k$, and neighbours try to swap their states after each sweep. A *ladder* is one chain in each
# window; ladders never meet, so that their spread is an honest error bar.
#
# **Check against the exact result**: (2.3) with a root finder, window by window, against the library.

# %%
forward_work, backward_work = tempering.work(windows.free_energies)  # u in 0, and -u in 1


def bennett(work_0, work_1):
    """The Delta that solves (2.3); work_0 = u in window 0, work_1 = -u in window 1."""

    def imbalance(delta):
        return special.expit(delta - work_0).mean() - special.expit(-work_1 - delta).mean()

    return optimize.brentq(imbalance, -100, 100, xtol=1e-12)


deltas = [bennett(*pair) for pair in zip(forward_work, backward_work, strict=True)]
by_hand, by_bar, by_mbar = base_log_z - sum(deltas), umbrella.bar(windows), umbrella.mbar(windows)
check(by_hand, by_bar.log_z, tolerance=1e-5)

# %% name="bennett"
one_sided = base_log_z + sum(special.logsumexp(-w) - np.log(w.size) for w in forward_work)
for name, value in (("BAR", by_bar), ("MBAR", by_mbar), ("integration", estimate)):
    print(f"{name:12s} error {value.log_z - exact:+.4f} +- {value.standard_error:.4f} nats")
print(f"{'one-sided':12s} error {one_sided - exact:+.4f} nats, the same samples")
print("swaps accepted:", windows.swap_acceptance.round(2))
assert all(abs(x.log_z - exact) < 5 * x.standard_error for x in (by_bar, by_mbar))
assert abs(one_sided - by_bar.log_z) < by_bar.standard_error and windows.swap_acceptance.min() > 0.7

# %% [markdown]
# Neighbours are so close here (about three swaps in four are accepted, or more) that one side does as
# well as two.

# %% [markdown]
# ## 3. The deterministic roads: mean field, cumulants, TAP
#
# **Naive mean field.** Choose a product $q(v, h)$ of independent units with means $m_i$ and $n_j$. By
# Jensen's inequality, $\ln Z = \ln \langle e^{-E} / q \rangle_q \ge -\langle E \rangle_q + S_q$, that is,
#
# $$F_1 = \langle E \rangle_q - S_q \ge -\ln Z , \qquad
#   F_1 + \ln Z = \mathrm{KL}(q \| p) . \tag{B24}$$
#
# The best $m$, $n$ make $F_1$ stationary: $m_i = \sigma(a_i + \sum_j W_{ij} n_j)$ and
# $n_j = \sigma(b_j + \sum_i m_i W_{ij})$, a fixed point to iterate. (The library does so from ten starts, and
# keeps the lowest free energy.) So $-F_1$ is a true bound on $\ln Z$, from below.
#
# **Cumulants.** Order 1 is the first term of a series. With $V = E - E_q$ and $E_q = -\ln q$ exactly,
# $\ln Z = \ln \langle e^{-V} \rangle_q = -\langle V \rangle + \frac12 \langle\!\langle V^2 \rangle\!\rangle -
# \frac16 \langle\!\langle V^3 \rangle\!\rangle + \dots$ (chapter 1, section 4). At the mean-field point the second
# and third are sums over bonds (B26), with $c = m (1 - m)$ and $d = n (1 - n)$:
#
# $$F_3 = F_1 - \frac12 \sum_{ij} W_{ij}^2 c_i d_j
#   - \frac16 \sum_{ij} W_{ij}^3 c_i (1 - 2 m_i)\, d_j (1 - 2 n_j) . \tag{3.1}$$
#
# **TAP** (Thouless, Anderson, Palmer; Plefka) has the same two terms, but puts them *inside* before
# looking for the stationary $m$ and $n$: each unit then feels the reaction of its neighbours to itself. Orders 2
# and 3 of either kind bound nothing. Chapter 36 derives (B26) and
# shows where the two part.
#
# **Check against the exact result**: $F_1$ and (3.1) by hand, and the errors with all
# parameters multiplied by $s$, which is $\beta = s$ (B7). There are no samples, and so no error bars.

# %%
point = mean_field.tap(rbm, order=1)  # naive mean field
m, n = point.visible, point.hidden
s_q = special.entr([*m, *n, *(1 - m), *(1 - n)]).sum()
mean_energy = -visible_bias @ m - hidden_bias @ n - m @ kernel @ n
f_1 = mean_energy - s_q  # (B24)
c, d = m * (1 - m), n * (1 - n)
f_2 = f_1 - c @ kernel**2 @ d / 2
f_3 = f_2 - (c * (1 - 2 * m)) @ kernel**3 @ (d * (1 - 2 * n)) / 6  # (3.1)
check(f_1, point.free_energy)
assert f_1 > -exact + 2  # the bound (B24) is not tight
check([f_1, f_2, f_3], [mean_field.cumulant_free_energy(rbm, k) for k in (1, 2, 3)])

# %%
names = ("mean field", "cumulants 2", "cumulants 3", "TAP 2", "TAP 3")
error_of = {name: [] for name in names}
for s in scales:
    scaled = rbm_with(s * kernel, s * visible_bias, s * hidden_bias)
    solutions = [mean_field.tap(scaled, order=k) for k in (1, 2, 3)]
    assert all(solution.converged for solution in solutions)
    cumulants = [float(mean_field.cumulant_free_energy(scaled, k)) for k in (2, 3)]
    values = [solutions[0].free_energy, *cumulants, *(x.free_energy for x in solutions[1:])]
    truth = enumeration.log_z(rbm, beta=s)  # (B7)
    assert solutions[0].free_energy >= -truth - 1e-9  # (B24)
    for name, value in zip(names, values, strict=True):
        error_of[name].append(-value - truth)

# %% name="deterministic-errors"
for name, errors in error_of.items():
    print(f"{name:12s} error at s = 0.1: {errors[0]:+.2e}, at s = 1: {errors[-1]:+.3f} nats")
errors = np.abs(list(error_of.values()))  # (road, scale)
power = np.log(errors[:, 1] / errors[:, 0]) / np.log(scales[1] / scales[0])
print("powers of s between the two smallest scales:", np.round(power, 1))
assert abs(power[0] - 2) < 0.3 and np.all(np.abs(power[1:] - 4) < 0.5)
assert np.all(np.abs(errors[1:, 0] / errors[1, 0] - 1) < 0.05) and errors[0, -1] > 2.5
assert errors[3:, -1].max() < 0.8 * errors[1:3, -1].min()  # TAP keeps more of its accuracy

# %% name="deterministic" alt="Error of ln Z by scale of all parameters, log-log. Mean field is highest, 0.04 to 3 nats. Cumulants and TAP of orders 2 and 3 start near 0.0002 and lie together up to 0.6; then TAP is lower."
figure, axis = plt.subplots(figsize=(7, 3.7))
palette, styles = (blue, orange, orange, green, green), ("o-", "s-", "^--", "s-", "^--")
looks = zip(palette, styles, (5, 11, 8, 6, 3), strict=True)
for (name, errors), (colour, style, size) in zip(error_of.items(), looks, strict=True):
    face = "none" if style == "s-" else colour  # open squares, lest one curve hides another
    axis.loglog(scales, np.abs(errors), style, color=colour, ms=size, mfc=face, label=name)
label(axis, "Deterministic roads", "scale $s$ of all parameters", r"$|$error of $\ln Z|$ (nats)")
axis.set_xticks(scales, [f"{s:g}" for s in scales])
axis.minorticks_off()
axis.legend()
plt.show()

# %% [markdown]
# At weak coupling order 2 gains two powers of $s$ over mean field. Order 3 adds almost nothing there: its
# term contains $1 - 2 m$ and $1 - 2 n$, which vanish themselves in a hot machine. At $s = 1$ TAP, with the
# reaction inside, keeps more of its accuracy than the cumulants at the fixed mean-field point.

# %% [markdown]
# ## 4. Two machines: the ratio is easier
#
# Which of two models is better? Their log likelihoods
# differ by $\langle F_c \rangle - \langle F'_c \rangle$, which is cheap, less $\ln Z' - \ln Z$. For this
# difference let the path run from the first machine, of which we have samples, to the other. If the two are alike, the path is short.
# Here we train the machine for one more epoch, and compare with two AIS runs of the same length.

# %% name="ratio"
later = BernoulliRBM.from_parameters(*parameters, seed=seed + 1)
later.fit(x_train, epochs=1, batch_size=50, verbose=0)
later = rbm_with(*(x.numpy() for x in later.trainable_variables))
later.visible_offset.assign(pixel_means)
true_ratio, short = enumeration.log_z(later) - exact, np.linspace(0, 1, 31)
ratio = annealing.log_z_ratio(rbm, exact_samples(num_chains), later, betas=short, seed=seed)
walk = partial(annealing.ais, num_chains=num_chains, betas=short)
two = walk(rbm, seed=0), walk(later, seed=1)
difference, se = two[1].log_z - two[0].log_z, np.hypot(*(x.standard_error for x in two))
print(f"exact difference {true_ratio:+.5f} nats")
print(f"log_z_ratio      {ratio.log_z:+.5f} +- {ratio.standard_error:.5f} nats")
print(f"two AIS runs     {difference:+.5f} +- {se:.5f} nats")
assert abs(ratio.log_z - true_ratio) < 5 * ratio.standard_error < 5 * se / 3

# %% [markdown]
# ## 5. The map
#
# Now the roads at once, at several budgets. Seconds depend on the computer, so the cost
# is counted in *row products*: one state vector times $W$. A clamped free energy takes one, a Gibbs
# sweep two, an iteration of order $k$ of mean field or TAP $2k$ per start, the exact sum $2^{16}$.
# The error is the root mean square over 4 repeats with different seeds, and so itself uncertain by
# about $1 / \sqrt{2 \cdot 4}$, or 35 %. Reverse annealing gets its exact samples for free here.

# %%
road = {}  # name: costs, root-mean-square errors, and the estimates at the last cost


def survey(name, cost, estimator):
    """Repeat an estimator, a function of the seed, and file its root-mean-square error."""
    estimates = [estimator(seed=100 + repeat) for repeat in range(num_repeats)]
    costs, errors, last = road.setdefault(name, ([], [], []))
    costs.append(cost)
    errors.append(np.sqrt(np.mean([(x.log_z - exact) ** 2 for x in estimates])))
    last[:] = estimates


# %%
for name, mean, searched in (
    ("plain Monte Carlo", np.full(64, 0.5), 0),
    ("importance, mean field", np.clip(point.visible, 0.01, 0.99), 2 * 10 * point.num_iterations),
    ("importance, pixel means", base_mean, 0),
):
    for n in (100, 1000, 10_000, 50_000):
        draw = partial(reweighting.importance_sampling, rbm, mean, num_samples=n)
        survey(name, n + searched, draw)
for steps in path_lengths:
    betas, cost = np.linspace(0, 1, steps + 1), 2 * steps * 100  # chains
    survey("AIS forward", cost, partial(annealing.ais, rbm, num_chains=100, betas=betas))
    back = partial(annealing.reverse_ais, rbm, betas=betas)
    survey("AIS reverse", cost, lambda seed, back=back: back(exact_samples(100), seed=seed))

# %%
ladder = np.linspace(0, 1, 9)
for sweeps in (10, 30, 100, 300):
    cost = 2 * len(ladder) * num_ladders * 2 * sweeps  # as many sweeps of burn-in
    options = {"num_chains": num_ladders, "num_steps": sweeps, "num_burn_in": sweeps}
    runs = [
        tempering.tempered_windows(rbm, betas=ladder, **options, seed=100 + repeat)
        for repeat in range(num_repeats)
    ]
    survey(
        "integration", cost, lambda seed, r=runs: umbrella.thermodynamic_integration(r[seed - 100])
    )
    survey("umbrella, BAR", cost, lambda seed, r=runs: umbrella.bar(r[seed - 100]))
deterministic = dict(zip(("mean field", "TAP 2", "TAP 3"), solutions, strict=True))  # at s = 1

# %% name="map" alt="Error by cost, log-log. Plain Monte Carlo stays near 10 nats. Annealing and umbrella sampling fall to about 0.01. Importance sampling from pixel means stalls at 0.1, from mean field it ends at 0.3. Mean field and TAP are single stars at 1 to 3 nats."
figure, axis = plt.subplots(figsize=(9.5, 5))
palette = (grey, purple, "#56B4E9", blue, orange, green, "#E69F00")
markers = "vDPos^x"
for (name, (costs, errors, _)), colour, marker in zip(road.items(), palette, markers, strict=True):
    axis.loglog(costs, errors, marker + "-", color=colour, ms=6, label=name)
for order, (name, solution) in enumerate(deterministic.items(), start=1):
    cost, error = 2 * order * 10 * solution.num_iterations, abs(-solution.free_energy - exact)
    axis.loglog(cost, error, "k*", ms=9)
    place = (14 if order == 3 else 4, 7)
    axis.annotate(name, (cost, error), place, textcoords="offset points", ha="right")
axis.axvline(2**16, color=ink, ls=":", label="exact sum, $2^{16}$")
label(axis, "All roads to $\\ln Z$ of the digits", "cost (row products)", "r.m.s. error (nats)")
axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %%
last = {name: errors[-1] for name, (_, errors, _) in road.items()}
best = [last[name] for name in ("AIS forward", "AIS reverse", "umbrella, BAR")]
assert min(road["plain Monte Carlo"][1]) > 3 and last["importance, mean field"] > 5 * max(best)
assert last["importance, pixel means"] > 0.03 and max(best) < 0.03  # s.e. of each: 35 %
assert min(abs(x.free_energy + exact) for x in deterministic.values()) > 1
for name in ("AIS forward", "AIS reverse", "umbrella, BAR"):
    slope = np.polyfit(*np.log(road[name][:2]), 1)[0]
    pixel_means = np.interp(np.log(road[name][0]), *np.log(road["importance, pixel means"][:2]))
    assert np.all(np.log(road[name][1]) < pixel_means)  # its error at the same cost
    print(f"{name:13s} error falls as cost to the power {slope:.2f}")
    assert -1 < slope < -0.25

# %% name="all-roads"
bounds = ["lower"] + 4 * ["no"] + 4 * ["lower on average"] + ["upper on average"] + 3 * ["no"]
rows = [("mean field", -f_1, None), ("cumulants 2", -f_2, None), ("cumulants 3", -f_3, None)]
rows += [(name, -x.free_energy, None) for name, x in list(deterministic.items())[1:]]
one = [(name, estimates[0]) for name, (_, _, estimates) in road.items()]  # at the last budget
rows += [
    (name, x.log_z, x.standard_error)
    for name, x in [*one, ("umbrella, MBAR", umbrella.mbar(runs[0]))]
]
print(f"{'road':26s}{'ln Z':>9s}{'s.e.':>8s}{'error':>9s}  bound")
print(f"{'exact sum':26s}{exact:9.3f}{'':8s}{0:+9.3f}")
for (name, value, standard_error), bound in zip(rows, bounds, strict=True):
    bar_text = f"{standard_error:8.3f}" if standard_error is not None else f"{'none':>8s}"
    print(f"{name:26s}{value:9.3f}{bar_text}{value - exact:+9.3f}  {bound}")

# %% [markdown]
# In the lower left of the map are the roads that are cheap and accurate.
#
# - Plain Monte Carlo stays at the top whatever is spent.
# - Importance sampling from mean field ends far above annealing and BAR. From the pixel means it
#   is behind both at every cost that they share.
# - The deterministic roads are single points (stars) that no budget moves. They pay here for ten starts.
# - The errors of annealing and of BAR fall with powers of the cost (printed) that are
#   not far from $-\frac12$, the power for independent samples. Integration cannot fall below its bias of
#   0.011 nats (1.3).
#
# To the right of the dotted line the exact sum would have been cheaper. Every hidden unit more
# doubles it, though.
#
# *Lower on average*: $\mathbb{E}[\hat Z] = Z$ gives $\mathbb{E}[\ln \hat Z] \le \ln Z$ by
# Jensen. A likelihood computed with such a road errs on the *high* side.

# %% [markdown]
# ## 6. When it fails: two modes
#
# A machine of 8 + 8 units, all couplings $J > 0$ and the biases $a = b = -4J$, is symmetric: turn
# over all units of both layers and the energy stays the same. Its two modes, $v = 0 \dots 0$ (white)
# and $v = 1 \dots 1$ (black), have the same weight, and a Gibbs chain that starts in one of them
# hardly ever leaves it.
#
# Suppose that the base has a pixel mean of 0.3, because the data are mostly white, and that somebody
# has started all chains from the black image and run them for 100 sweeps. The
# chains look stationary, and they are, each within its mode. Reverse annealing takes them for samples
# of the model.

# %%
coupling = 1.5
bimodal = rbm_with(np.full((8, 8), coupling), np.full(8, -4 * coupling), np.full(8, -4 * coupling))
bimodal.visible_offset.assign(np.full(8, 0.3))  # the base: mostly white
images = all_states(8)
bimodal_log_z = enumeration.log_z(bimodal)
p_images = np.exp(-bimodal.free_energy(images).numpy() - bimodal_log_z)
check(p_images, p_images[::-1])  # turning all units over changes nothing
print(f"p(0..0) = {p_images[0]:.4f}, p(1..1) = {p_images[-1]:.4f}")

stuck = np.ones((500, 8))
for sweep in range(100):
    stuck = bimodal.gibbs_step(stuck, seed=sweep)
tempered = tempering.tempered_sample(bimodal, 500, num_steps=500, seed=seed)
for name, sample in (("Gibbs", stuck), ("parallel tempering", tempered)):
    print(f"{name}: mean pixel {np.mean(sample):.3f}, exact {p_images @ images.mean(axis=1):.3f}")

# %% name="verdict"
betas = np.linspace(0, 1, 1001)
forward = annealing.ais(bimodal, num_chains=500, betas=betas, seed=seed)
wrong = annealing.reverse_ais(bimodal, stuck, betas=betas, seed=seed + 1)
right = annealing.reverse_ais(bimodal, tempered, betas=betas, seed=seed + 1)
for name, x in (("forward", forward), ("reverse, Gibbs", wrong), ("reverse, tempering", right)):
    print(f"{name:18s}: error {x.log_z - bimodal_log_z:+.3f} +- {x.standard_error:.3f}, ", end="")
    print(f"ESS {x.effective_sample_size:.0f} of 500")
other = annealing.ais(bimodal, num_chains=500, betas=betas, seed=seed + 2, base="uniform")
judged = [verdict(forward, reverse, other) for reverse in (wrong, right)]
print("Gibbs:    ", judged[0].message)
print("tempering:", judged[1].message)
assert wrong.log_z - bimodal_log_z > 5 * wrong.standard_error  # confident and wrong
assert not judged[0].trusted and judged[1].trusted
assert abs(right.log_z - bimodal_log_z) < 5 * right.standard_error

# %% [markdown]
# The reverse estimate alone looks splendid, with a large effective sample size (ESS), and is wrong by many
# times its error bar. $1/w$ is unbiased for samples *of the model*, half of them white. The
# base of 0.3 prefers the white mode, whose terms $1/w$ are therefore the large ones. The black
# samples hold only the small ones, so $\ln Z$ comes out too large. Forward
# annealing starts elsewhere and does not share the mistake. `verdict` sees the gap and refuses.
# With parallel tempering, which finds both modes, the two directions
# agree. So does a third estimate, from a uniform base, without which `verdict` trusts nothing.
#
# **What agreement does not see.** Now let both directions make the *same* mistake: a base that looks black,
# too.

# %% name="agreement"
both_black = [
    annealing.ais(bimodal, num_chains=500, betas=betas, seed=seed, base=np.full(8, 0.99)),
    annealing.reverse_ais(bimodal, stuck, betas=betas, seed=seed + 1, base=np.full(8, 0.99)),
]
for name, x in zip(("forward", "reverse"), both_black, strict=True):
    print(f"{name}: error {x.log_z - bimodal_log_z:+.3f} +- {x.standard_error:.3f} nats")
print(f"-ln 2 = {-np.log(2):.3f} nats.", verdict(*both_black).message)
exposed = verdict(*both_black, other)
print("With the uniform base:", exposed.message)
assert abs(exposed.signs["gap"]) < 0.01 and not exposed.trusted
assert all(abs(x.log_z - bimodal_log_z + np.log(2)) < 0.02 for x in both_black)

# %% name="two-modes" alt="Log weights minus ln Z. Base 0.3: forward mostly at -0.7, reverse from stuck chains at +2, reverse from tempering at both. Base 0.99: forward and reverse in one bar at -0.7, ln 2 below the truth."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.2), sharey=True)
for axis, x, colour, name in (
    (axes[0], forward, blue, "forward"),
    (axes[0], wrong, orange, "reverse, Gibbs"),
    (axes[0], right, green, "reverse, tempering"),
    (axes[1], both_black[0], blue, "forward"),
    (axes[1], both_black[1], orange, "reverse, Gibbs"),
):
    look = {"histtype": "step", "lw": 2, "fill": colour == blue, "color": colour, "label": name}
    axis.hist(x.log_weights - bimodal_log_z, np.linspace(-4, 4, 60), **look)
for axis, base in zip(axes, ("0.3", "0.99"), strict=True):
    label(axis, f"Two modes, base mean {base}", r"$\ln w - \ln Z$ (nats)", "chains")
    axis.axvline(0, color=ink, lw=1)
    axis.legend()
plt.show()

# %% [markdown]
# Both directions agree, and both are short by $\ln 2$: half of the probability is missing, and
# nobody has seen it. The forward weights are still unbiased, but the missing half sits in chains that start
# nearly white. They are so rare that 500 chains contain none, and the error bar does not know. Agreement is
# evidence only as far as the two ends of the path are independent. The uniform base is, and exposes
# them. A mode that every start misses still does not show.

# %% [markdown]
# ## 7. Roads for continuous variables
#
# The post that this course follows, Charles Martin's *Free Energies and Variational Inference*, also
# names roads for *continuous* variables: the Laplace approximation, Langevin and Hamiltonian
# dynamics, normalising flows, and the reparameterisation trick. All of
# them differentiate with respect to the state, which binary units do not allow. Part VI takes them up;
# flows have [chapter 31](31_flows.ipynb). Windows with a bias of their own, as Torrie and Valleau
# had them, are in [chapter 20, section 7](20_fluctuation_theorems.ipynb).

# %% [markdown]
# ## 8. Summary
#
# | road | idea | error bar | bound on $\ln Z$ | fails when |
# |:--|:--|:--|:--|:--|
# | integration | (1.2) | over ladders, without the bias | none | steps too long (1.3) |
# | BAR, MBAR | (2.3) | over ladders | none | windows do not overlap |
# | mean field | (B24) | none | lower, always | several modes |
# | cumulants, TAP | (3.1), B26 | none | none | strong coupling |
#
# - Annealing and overlapping windows win on the map; no budget improves mean field and TAP.
# - For two similar machines, estimate the ratio.
# - Forward and reverse can share a mistake, and then they agree. Ask for estimates that cannot.

# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **One unit.** A single unit with the field $x$ has $\ln Z(\beta) = \ln(1 + e^{\beta x})$. Write down
#    $g(\beta) = -d \ln Z / d\beta$ and $g'(\beta)$. For $x = 3$ compute the bias of $\ln Z(1)$ by the trapezoid
#    rule with
#    1, 2, 4 and 8 intervals (`trapezoid_bias`), and what (1.3) predicts (`predicted_bias`). Why is the sign not that of
#    section 1?
# 2. *(medium)* **Simpson's rule.** Replace the trapezoid rule of section 1 by Simpson's. By which
#    factor should the bias shrink when the step is halved (`simpson_factor`)? (`simpson_bias`: for all
#    `strides` but the last.)
# 3. *(hard)* **Bennett is a logistic regression.** Put equally many samples of two windows into one hat, and
#    draw one. Show
#    that it came from window 1 with the probability $\sigma(\Delta - u(v))$. Write down the log likelihood of
#    $\Delta$, given
#    which sample came from where, and show that it is largest where (2.3) holds, and that it has no other
#    maximum. Find it
#    numerically for the eight pairs of windows (`by_regression`), and compare with section 2.
# 4. *(to explore)* **Fewer windows.** From the samples of section 1 keep only every second, fourth, eighth
#    window, so that in
#    the end only $\beta = 0$ and 1 are left. Compute $\ln Z$ by Bennett's ratio (`bar_fewer`: for the strides
#    1, 2, 4, 8) and by the trapezoid rule (`integral_fewer`). Which of the two gets worse, and how? Where would
#    Bennett's
#    ratio, too, break down?
#
# The solutions are in the cells below, folded: click on one to open it.

# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. g = -x sigma(beta x) and g' = -x^2 sigma (1 - sigma). Here g' is largest in size at beta = 0, so that
# g' grows, g bends upwards, and the trapezoids lie above the curve: ln Z comes out too low.
field, intervals = 3.0, np.array([1, 2, 4, 8])
trapezoid_bias = []
for number in intervals:
    points = np.linspace(0, 1, number + 1)
    integral = integrate.trapezoid(-field * special.expit(field * points), points)
    trapezoid_bias.append(np.log(2) - integral - np.log1p(np.exp(field)))
on = special.expit(field * np.array([0, 1]))
predicted_bias = field**2 * np.diff(on * (1 - on))[0] / (12 * intervals**2)
print("1. bias", np.round(trapezoid_bias, 5), "predicted", predicted_bias.round(5), "nats")
check(trapezoid_bias[0], np.log(2) + 1.5 * (0.5 + special.expit(3)) - np.log1p(np.exp(3)))
check(trapezoid_bias, [-0.176579, -0.039648, -0.009672, -0.002405], tolerance=1e-5)
assert abs(trapezoid_bias[3] / predicted_bias[3] - 1) < 0.02


# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. Simpson's rule has an error of order s^4: half the step, one sixteenth of the bias.
def simpson(stride):
    values, step = g[::stride], fine[stride]
    return step / 3 * (values[0] + 4 * values[1:-1:2].sum() + 2 * values[2:-1:2].sum() + values[-1])


simpson_factor = 2**4
simpson_bias = [base_log_z - simpson(s) - exact for s in strides[:-1]]
for s, value, rule in zip(strides, simpson_bias, bias, strict=False):
    print(f"2. {16 // s:2d} intervals: Simpson {value:+.2e}, trapezoid {rule:+.2e}")
check(
    simpson_bias,
    [base_log_z - integrate.simpson(g[::k], x=fine[::k]) - exact for k in strides[:-1]],
)
assert abs(simpson_bias[1] / simpson_bias[0] - simpson_factor) < 0.5

# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. P(1|v) = p_1 / (p_0 + p_1) = sigma(Delta - u). The log likelihood is the sum of ln sigma(Delta - u) over
# window 1 and of ln sigma(u - Delta) over window 0. Its slope, sum_1 sigma(u - Delta) - sum_0 sigma(Delta - u),
# vanishes where (2.3) holds and falls with Delta: one maximum. A classifier of windows measures a free energy.
by_regression = []
for work_0, work_1 in zip(forward_work, backward_work, strict=True):
    u, side = np.append(work_0, -work_1), np.repeat([1, -1], work_0.size)  # windows 0 and 1

    def minus_log_likelihood(delta, u=u, side=side):
        return np.logaddexp(0, side * (delta - u)).mean()

    by_regression.append(optimize.minimize_scalar(minus_log_likelihood, (-10, 10), tol=1e-10).x)
print(
    "3. largest difference from Bennett's ratio:", np.abs(np.subtract(by_regression, deltas)).max()
)
check(by_regression, deltas, tolerance=1e-5)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. Integration: the bias (1.3) grows with the square of the step. Bennett's ratio has no such bias. Its
# noise grows, too slowly for one run to show it, and it breaks down when no sample of one window looks like one of the other.
bar_fewer, integral_fewer, F = [], [], windows.free_energies
for stride in (1, 2, 4, 8):
    kept, total = range(0, 9, stride), base_log_z
    for low, high in itertools.pairwise(kept):
        total -= bennett(F[low, high] - F[low, low], F[high, low] - F[high, high])
    bar_fewer.append(total)
    slopes = windows.derivatives.mean((1, 2))[::stride]
    integral_fewer.append(base_log_z - integrate.trapezoid(slopes, windows.betas[::stride]))
print("4. errors of Bennett's ratio", np.round(np.subtract(bar_fewer, exact), 3), "nats")
print("4. errors of integration    ", np.round(np.subtract(integral_fewer, exact), 3), "nats")
check([bar_fewer[0], integral_fewer[0]], [by_bar.log_z, estimate.log_z], tolerance=1e-5)
assert np.all(np.abs(np.subtract(bar_fewer, exact)) < 0.2) and integral_fewer[3] - exact > 0.7
