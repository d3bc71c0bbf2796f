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
# # Chapter 13: All temperatures at once
#
# Chapter 12 has energy and heat capacity of a trained machine at all temperatures, from an exact
# sum. A larger machine does not allow that. *Guess: how many temperatures must an annealing
# run pass to get the curves right, 5 or 200? And will $\ln Z$ or the heat capacity be the noisier one?*
#
# **What you will do**
#
# - get all curves at once from a single annealing run, and predict its error bars;
# - find out what happens with too few temperatures;
# - get the curves without samples from mean-field and TAP theory, and see where these break down.
#
# **What you will learn**
#
# - why the heat capacity is so much noisier than $\ln Z$;
# - that the variance of the log weights is the step times the energy that is lost on the way;
# - why TAP theory needs no derivative of the magnetisations to yield energy and entropy.
#
# **What you need**: chapter 12, sections 1 and 3; chapter 8, section 4; chapter 9, section 3.
#
# **Time**: about 60 minutes, and 80 for the exercises. The code runs in half a minute.
#
# Numbers such as (B6) are rows of the table `EQUATIONS.md`; energies are in nats.
#
# **What chapter 12 found.** All curves are derivatives of $\ln Z(\beta)$: the energy $U = -d \ln Z / d\beta$, the heat
# capacity $C = \beta^2 \langle\!\langle E^2 \rangle\!\rangle_\beta$, the entropy $S = \ln Z + \beta U$ (B6). The
# variance of $E$ has two parts: the mean of $\mathrm{Var}(E | h)$, and the variance of
# $\langle E | h \rangle$, (3.6) of chapter 12. This gave exact curves for a machine of 64 pixels and 16 hidden
# units, trained on digits. We load the machine and its curves.

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
from scipy.special import entr, expit, softmax

from rbm_tf import BernoulliRBM, Machine, annealing, enumeration, mean_field
from rbm_tf.course import check, label, shipped
from rbm_tf.thermodynamics import annealed_thermodynamics, tap_thermodynamics

# %%
seed = 0
annealing_betas = np.linspace(0, 2, 201)
chain_numbers, num_runs = (50, 200, 800), 20
tap_betas = np.linspace(0.05, 1.8, 36)
retrain = bool(os.environ.get("RETRAIN"))  # True: compute the curves here, some minutes
blue, orange, green = "#0072B2", "#D55E00", "#009E73"

plt.style.use(["rbm_tf.course", {"figure.dpi": 110}])
ink = plt.rcParams["text.color"]


# %%
def binary_states(num_units):
    """All states of binary units, (2 ** num_units, num_units)."""
    return ((np.arange(2**num_units)[:, np.newaxis] >> np.arange(num_units)) & 1).astype(float)


# %%
copies = shipped("temperature_snapshots", None).values()  # parameters after each of some epochs
rbm = BernoulliRBM.from_parameters(*(values[-1] for values in copies), seed=seed)
kernel, visible_bias, hidden_bias = (np.asarray(x, float) for x in rbm.machine.parameters)
exact = enumeration.Thermodynamics(**shipped("temperature_exact", None))  # 41 values of beta
at_one, names = enumeration.thermodynamics(rbm, [1.0]), ("log_z", "energy", "heat_capacity")
truth = np.array([getattr(at_one, name)[0] for name in names])
check([getattr(exact, name)[20] for name in names], truth, tolerance=1e-8)
fall, C_one = exact.energy[0] - truth[1], truth[2]
print(f"U(0) - U(1) = {fall:.2f} nats; at beta = 1: C = {C_one:.2f} nats")

# %% [markdown]
# ## 1. All curves from one annealing run
#
# *Annealed importance sampling* ([chapter 8, section 4](08_annealing.ipynb)) takes a number of independent chains from
# $\beta_0 = 0$, where sampling is trivial, up a ladder $\beta_1 < \beta_2 < \dots$, and keeps a weight for each
# chain. From a uniform base, every rung is the machine itself at another temperature:
#
# $$f_\beta(v) = \sum_h e^{-\beta E(v, h)} , \qquad Z(\beta) = \sum_v f_\beta(v) . \tag{1.1}$$
#
# Draw $v_0$ uniformly, which is $f_0(v) / Z_0$, and set $w_0 = 1$. Then, for $k = 1, 2, \dots$,
#
# $$w_k = w_{k-1}\, \frac{f_{\beta_k}(v_{k-1})}{f_{\beta_{k-1}}(v_{k-1})} , \qquad
#   v_k \sim T_k(v_{k-1} \to v_k) , \tag{1.2}$$
#
# where $T_k$ is one sweep of Gibbs sampling at $\beta_k$, which leaves $f_{\beta_k}$ unchanged. In (4.3) of
# chapter 8 let $\phi$ be 1 at the state $v$ and 0 elsewhere, and divide
# by $Z_0$. Then the expected weight that sits on $v$ is
#
# $$\mathbb{E}\big[ w_k\, \mathbb{1}(v_k = v) \big] = \frac{f_{\beta_k}(v)}{Z_0} , \tag{1.3}$$
#
# for *every* $k$. The chains need not come into equilibrium. Sum (1.3) over $v$, with a
# factor of 1 or of any function $g(v)$:
#
# $$\boxed{\; \mathbb{E}[w_k] = \frac{Z(\beta_k)}{Z_0} , \qquad
#   \mathbb{E}\big[ w_k\, g(v_k) \big] = \frac{Z(\beta_k)}{Z_0}\, \langle g \rangle_{\beta_k} \;} \tag{1.4}$$
#
# So one run serves every temperature that it passes. With $n$ chains and $Z_0 = 2^{80}$,
#
# $$\ln Z(\beta_k) \approx \ln Z_0 + \ln \frac1n \sum_{c=1}^n w_k^{(c)} , \qquad
#   U(\beta_k) \approx \frac{\sum_c w_k^{(c)} \langle E | v_k^{(c)} \rangle}{\sum_c w_k^{(c)}} , \tag{1.5}$$
#
# and $C$ is $\beta_k^2$ times the weighted average of
# $\mathrm{Var}(E | v) + (\langle E | v \rangle - U)^2$, which is (3.6) of chapter 12 with $v$ in place of $h$. The
# entropy is $S = \ln Z + \beta U$ (B6). The mean weight is unbiased. Its
# logarithm and the ratio are not, but their bias shrinks like $1/n$.
#
# **Check against the exact result**, without any randomness. A tiny RBM has 8 visible states, so we
# can follow the *expected* weight on each of them through (1.2), with $T_k$ as an 8 × 8 matrix.

# %%
tiny_rng = np.random.default_rng(seed)
tiny = Machine(*(tiny_rng.normal(0, 1.5, shape) for shape in ((3, 2), 3, 2)))
tiny_v, tiny_h = binary_states(3), binary_states(2)
linear = (tiny_v @ tiny.visible_bias)[:, np.newaxis] + tiny_h @ tiny.hidden_bias
tiny_energy = -linear - tiny_v @ tiny.kernel @ tiny_h.T  # E(v, h), (8, 4)
mass, old = np.full(8, 1 / 8), np.full(8, 4.0)  # f_0(v) / Z_0 and f_0(v)
for beta in (0.6, 1.5):
    table = np.exp(-beta * tiny_energy)
    new = table.sum(axis=1)  # f_beta(v), (1.1)
    sweep = (table / new[:, np.newaxis]) @ (table / table.sum(axis=0)).T  # p(h|v) p(v'|h)
    mass, old = (mass * new / old) @ sweep, new  # (1.2), on average
    check(mass, new / 32)  # (1.3)
    energy = mass @ (np.sum(table * tiny_energy, axis=1) / new) / mass.sum()  # (1.4)
    check(energy, enumeration.thermodynamics(tiny, [beta]).energy)
    print(f"beta = {beta}: mean weight {mass.sum():.6f}, Z/Z_0 {table.sum() / 32:.6f}")

# %% [markdown]
# Now the digits: 20 independent runs each with 50, 200 and 800 chains, which come with the course. The standard
# deviation
# over the runs is the error bar of *one* run. The standard error of the mean of all is $\sqrt{20}$
# times smaller, and with it we **check against the exact result** at four temperatures.

# %%
every_tenth = annealing_betas[::10]


def annealed_runs():
    """ln Z, U and C of each run at every tenth temperature, (num_runs, 21)."""
    tables = {}
    for number in chain_numbers:
        run = partial(annealed_thermodynamics, rbm, annealing_betas, num_chains=number)
        curves = [run(seed=index) for index in range(num_runs)]
        for name in names:
            tables[f"{name} {number}"] = [getattr(curve, name)[::10] for curve in curves]
    return tables


# %%
tables = shipped("temperature_annealed", annealed_runs, retrain=retrain)
runs = {k: {name: tables[f"{name} {k}"] for name in names} for k in chain_numbers}
target = enumeration.thermodynamics(rbm, every_tenth[[5, 10, 15, 20]])
for name in names:
    values = runs[800][name][:, [5, 10, 15, 20]]
    standard_error = values.std(axis=0, ddof=1) / math.sqrt(num_runs)
    deviation = (values.mean(axis=0) - getattr(target, name)) / standard_error
    assert np.all(np.abs(deviation) < 5)
    print(f"{name:14s} off by {deviation.round(1)} standard errors")

# %% name="annealing" alt="ln Z, U and C over beta from one run with 50 or 800 chains, and exact: dots on the curves of ln Z and U; for C wide error bars, wider with 50 chains."
figure, axes = plt.subplots(1, 3, figsize=(11, 3.4))
for axis, name, symbol in zip(axes, names, (r"\ln Z", "U", "C"), strict=True):
    axis.plot(exact.betas, getattr(exact, name), color=ink, lw=1, label="exact")
    for num_chains, colour in ((50, orange), (800, blue)):
        values, text = runs[num_chains][name][:, 1:], f"one run, {num_chains} chains"
        style = {"fmt": "o", "ms": 3, "color": colour, "label": text}
        axis.errorbar(every_tenth[1:], values[0], values.std(axis=0, ddof=1), **style)
    label(axis, f"${symbol}$ by annealing", r"$\beta$", f"${symbol}$ (nats)")
axes[1].legend()
plt.show()
error_bars = np.array([[run[name][:, 10].std(ddof=1) for name in names] for run in runs.values()])
for num_chains, row in zip(runs, error_bars, strict=True):
    print("{:3d} chains, beta = 1: {:.3f} (ln Z) {:.3f} (U) {:.3f} (C)".format(num_chains, *row))

# %% [markdown]
# Why is $C$ so much noisier than $U$, and $U$ so much noisier than $\ln Z$? Chains with very different weights
# count as fewer chains. Their *effective number* is
#
# $$n_{\rm eff} = \frac{\big( \sum_c w^{(c)} \big)^2}{\sum_c \big( w^{(c)} \big)^2} \le n . \tag{1.6}$$
#
# - $\ln Z$ is the logarithm of a mean weight. If the weights have a relative variance $r$, the mean of
#   $n$ has the relative error $\sqrt{r / n}$, which is the absolute error of its logarithm. By (1.6),
#   $n / n_{\rm eff} \approx \langle w^2 \rangle / \langle w \rangle^2 = 1 + r$, hence
#   $\delta \ln Z \approx \sqrt{1/n_{\rm eff} - 1/n}$. It vanishes for a fine ladder, where all weights
#   are equal.
# - $U$ is an average over states of an energy with nearly the variance $C / \beta^2$,
#   however fine the ladder is: $\delta U \approx \sqrt{C / n_{\rm eff}} / \beta$.
# - $C$ needs the *variance* of the same thing, a second cumulant. For $n_{\rm eff}$ nearly Gaussian energies,
#   $\delta C \approx C \sqrt{2 / n_{\rm eff}}$: the
#   price of a cumulant rises with its order, as in section 4 of chapter 2.
#
# The other way round: $\ln Z = \ln Z_0 - \int U\, d\beta$ *integrates* the noise of $U$ away, while $C$
# *differentiates* it.
#
# **Check.** `ais` makes the same run as `annealed_thermodynamics`, if it is given the same seed and
# the base "uniform", and reports $n_{\rm eff}$.

# %% name="error-bars"
walk = partial(annealing.ais, rbm, num_chains=800, betas=annealing_betas[:101], base="uniform")
estimates = [walk(seed=run) for run in range(num_runs)]
one = annealed_thermodynamics(rbm, annealing_betas, num_chains=800, seed=num_runs - 1)
check(estimates[-1].log_z, one.log_z[100])  # one and the same run, at beta = 1
n_eff = np.mean([estimate.effective_sample_size for estimate in estimates])
predicted = [math.sqrt(x) for x in (1 / n_eff - 1 / 800, C_one / n_eff, 2 * C_one**2 / n_eff)]
print(f"800 chains at beta = 1: n_eff = {n_eff:.0f}")
for name, measured, theory in zip(names, error_bars[2], predicted, strict=True):
    print(f"{name:14s} error bar {measured:.4f} nats, predicted {theory:.4f} nats")
own_error = 1 / math.sqrt(2 * (num_runs - 1))  # of an error bar, relative
assert np.all(np.abs(error_bars[2] / predicted - 1) < 2 * own_error)
shrunk = error_bars[0] / error_bars[2]  # by 4, if like the square root
assert np.all(np.abs(np.log(shrunk / 4)) < 3 * math.sqrt(2) * own_error)

# %% [markdown]
# Twenty runs measure an error bar with an uncertainty of their own, about $1 / \sqrt{2 \cdot 19} = 16$ %. To within
# twice this uncertainty the three estimates explain the table, and all error bars shrink roughly like $1/\sqrt n$.

# %% [markdown]
# ## 2. When it fails: five temperatures
#
# (1.4) holds for any ladder. So why 200 rungs, why not 5? Because an expectation may be correct and
# still be of no use, if it consists of rare events.
#
# **How much variance a ladder makes.** For a small step $t$ from $\beta$ to $\beta + t$ the
# logarithm of the ratio in (1.2) is about $-t \langle E | v \rangle$, so by (3.6) of chapter 12 its variance is at
# most $t^2 \langle\!\langle E^2 \rangle\!\rangle_\beta$. If every sweep brings a fresh state of
# equilibrium, the steps are independent and their variances add. With equal steps the sum is an
# integral, and by (B6) the integrand is a derivative:
#
# $$\mathrm{Var}(\ln w) \approx \sum_k t^2 \langle\!\langle E^2 \rangle\!\rangle_{\beta_k}
#   \approx t \int_0^1 \langle\!\langle E^2 \rangle\!\rangle_\beta\, d\beta
#   = -t \int_0^1 \frac{dU}{d\beta}\, d\beta = t\, \big[ U(0) - U(1) \big] : \tag{2.1}$$
#
# the step, times the energy that the model loses on the way down. Such a sum is nearly Gaussian. A Gaussian $x =
# \ln w$ of mean $\mu$ and variance $\sigma^2$ has
# $\ln \langle e^{x} \rangle = \mu + \frac12 \sigma^2$ and $\ln \langle e^{2x} \rangle = 2 \mu + 2 \sigma^2$
# (chapter 1, section 4), so that
#
# $$\frac{n_{\rm eff}}{n} \approx \frac{\langle w \rangle^2}{\langle w^2 \rangle} = e^{-\sigma^2}
#   \approx e^{-t [U(0) - U(1)]} . \tag{2.2}$$
#
# The cost of a coarse ladder is exponential. Now the experiment: from 0 to 1 with 5, 17, 65 and 257
# temperatures, 100 chains, 20 runs each.

# %% name="ladders"
print("temperatures    (2.1)   n_eff   (2.2)   error of ln Z, U, C    error claimed for ln Z")
coarse, table = {}, {}
for num_betas in (5, 17, 65, 257):
    ladder = np.linspace(0, 1, num_betas)
    curves = [annealed_thermodynamics(rbm, ladder, seed=run) for run in range(num_runs)]
    walk = partial(annealing.ais, rbm, betas=ladder, base="uniform")
    same = [walk(seed=run) for run in range(num_runs)]  # 100 chains each
    last = np.array([[getattr(c, name)[-1] for name in names] for c in curves])
    check(last[:, 0], [e.log_z for e in same])
    n_eff = np.mean([e.effective_sample_size for e in same])
    claimed, spread = np.mean([e.standard_error for e in same]), fall / (num_betas - 1)  # (2.1)
    coarse[num_betas], mean_error = last, np.mean(last - truth, axis=0)
    row = table[num_betas] = num_betas, spread, n_eff, 100 * math.exp(-spread), *mean_error, claimed
    print("{:12d} {:8.2f} {:7.1f} {:7.1f} {:7.2f} {:6.2f} {:6.2f} {:14.2f}".format(*row))

# %%
off = {number: values - truth for number, values in coarse.items()}  # (num_runs, 3) each
assert table[5][2] < 6 and off[5][:, 0].mean() < -3 * table[5][-1]  # n_eff; the error claimed
assert abs(off[5][:, 1].std() - 2) < 0.7 and np.mean(coarse[5][:, 2] < 0.7 * C_one) > 0.5
standard_error = off[257].std(axis=0, ddof=1) / math.sqrt(num_runs)
assert np.all(np.abs(off[257].mean(axis=0)) < 5 * standard_error)  # all is well
assert abs(table[257][2] / table[257][3] - 1) < 0.15 and table[17][2] > 10 * table[17][3]  # (2.2)
hidden_states, rng = binary_states(16), np.random.default_rng(seed)  # exact samples, chapter 12
visible_input = visible_bias + hidden_states @ kernel.T  # (65536, 64)
p = softmax(hidden_states @ hidden_bias + np.logaddexp(0, visible_input).sum(axis=1))
on = expit(visible_input[rng.choice(len(p), size=4000, p=p)])
x = hidden_bias + (rng.random(on.shape) < on) @ kernel  # inputs of the hidden units
given_v = np.mean(np.sum(x**2 * expit(x) * expit(-x), axis=1))
print(f"<Var(E|v)> at beta = 1: {given_v:.2f} nats, part of C = {C_one:.2f} nats")
assert given_v < C_one / 3

# %% name="coarse-ladders" alt="Dots of 20 runs with 5, 17, 65 and 257 temperatures against exact lines: with 5, ln Z is 3 nats too low and C mostly too small; with 257 all lie close."
figure, axes = plt.subplots(1, 3, figsize=(11, 3.3))
for column, (axis, symbol) in enumerate(zip(axes, (r"\ln Z", "U", "C"), strict=True)):
    for place, values in enumerate(coarse.values()):
        x = place + np.linspace(-0.2, 0.2, num_runs)
        axis.plot(x, values[:, column], "o", ms=3, color=orange if place == 0 else blue)
    axis.axhline(truth[column], color=ink, lw=1)
    axis.set_xticks(range(4), coarse)
    label(axis, f"${symbol}$ at $\\beta = 1$", "number of temperatures", f"${symbol}$ (nats)")
plt.show()

# %% name="more-chains"
walk = partial(annealing.ais, rbm, betas=np.linspace(0, 1, 5), base="uniform", num_chains=100_000)
log_weights = np.concatenate([walk(seed=run).log_weights for run in range(4)])
print(f"5 temperatures: Var(ln w) = {log_weights.var():.1f}; (2.1) says {fall / 4:.1f}")
biases, numbers = [], (100, 1000, 10_000, 100_000)
for number in numbers:
    rows = np.exp(log_weights.reshape(-1, number) - truth[0])  # repeats with so many chains each
    errors, n_eff = np.log(rows.mean(axis=1)), rows.sum(axis=1) ** 2 / np.sum(rows**2, axis=1)
    biases.append(errors.mean())
    text = "{:7d} chains: ln Z off by {:+.2f} nats on average, typical n_eff {:.1f}"
    print(text.format(number, biases[-1], np.median(n_eff)))
assert biases[0] < biases[1] < -0.8 and biases[1] < biases[2] < 0 and abs(biases[3]) < 1.5
assert np.median(n_eff) < 100  # of 100,000 chains
assert abs(np.mean(coarse[17] - truth, axis=0)[0]) < -biases[2]  # 17 temperatures, 100 chains

# %% [markdown]
# Every dot is a run, the black lines are exact. With 257 temperatures all is well. With 5 (orange) a
# hundred chains are worth about three, and three things go wrong at once:
#
# - $\ln Z$ comes out about 3 nats too low, and its own error estimate, 0.6 nats, does not know. By Jensen's
#   inequality the *logarithm* of the unbiased mean weight is too low on average.
# - $U$ scatters by about two nats: it is the energy of two or three states.
# - $C$ comes out far too low in most runs. With a single chain carrying all the weight,
#   $\langle E | v \rangle = U$ for this chain, and only
#   $\langle \mathrm{Var}(E|v) \rangle$ remains, a small part of $C$ (printed). That looks like a machine frozen
#   in one state, but it is the *simulation* that is.
#
# The symptom to look for is $n_{\rm eff}$, not the error bar. The law (2.2) is good for fine ladders and too
# pessimistic for coarse ones: 100 weights
# cannot show a relative variance of $e^{23}$, since the largest weights are never among them.
#
# How many chains would do with 5 temperatures? The average error of $\ln Z$ is about a nat with a thousand
# chains, and some tenths of a nat with ten
# thousand. Of a hundred thousand chains fewer than a hundred are effective. For Gaussian $\ln w$ of variance
# $\sigma^2$,
# $\mathrm{KL}(p \| q)$ is $\frac12 \sigma^2$, and (3.2) of chapter 8
# asks for $e^{\sigma^2 / 2}$ chains, about $e^{12} \approx 160{,}000$ here. A finer ladder is cheaper, because its
# exponent is proportional to the step: 100 chains with 17 temperatures have a smaller error than ten thousand with 5.

# %% [markdown]
# ## 3. Without samples: mean field and TAP
#
# *TAP theory* (Thouless, Anderson and Palmer) replaces the sum over states by an equation for the
# *magnetisations* $m_i = \langle v_i \rangle$ and $n_j = \langle h_j \rangle$. Its free energy is, with $c_i =
# m_i (1 - m_i)$ and $d_j = n_j (1 - n_j)$,
#
# $$\Gamma(\beta; m, n) = -S_{\rm mf} + \beta E_1 - \frac{\beta^2}{2} A_2 - \frac{2 \beta^3}{3} A_3 , \tag{3.1}$$
#
# $$\begin{aligned}
# S_{\rm mf} &= -\sum_i \big[ m_i \ln m_i + (1 - m_i) \ln (1 - m_i) \big]
#   {} - \sum_j \big[ n_j \ln n_j + (1 - n_j) \ln (1 - n_j) \big] , \\
# E_1 &= -a \cdot m - b \cdot n - \textstyle\sum_{ij} m_i W_{ij} n_j , \qquad
# A_2 = \textstyle\sum_{ij} W_{ij}^2\, c_i d_j , \\
# A_3 &= \textstyle\sum_{ij} W_{ij}^3\, c_i \big( \tfrac12 - m_i \big)\, d_j \big( \tfrac12 - n_j \big) .
# \end{aligned} \tag{3.2}$$
#
# Order 1, *naive mean field*, keeps the first two terms: entropy and energy of independent units.
# Order 2 adds $A_2$, the *Onsager term*, and order 3 adds $A_3$ (chapter 36 derives them). The magnetisations
# are those at which $\Gamma$
# is stationary:
#
# $$\frac{\partial \Gamma}{\partial m_i} = \frac{\partial \Gamma}{\partial n_j} = 0 \quad
#   \text{at } m^*(\beta), n^*(\beta) , \qquad
#   \ln Z(\beta) \approx -\Gamma\big( \beta; m^*(\beta), n^*(\beta) \big) . \tag{3.3}$$
#
# **Energy: the envelope theorem.** $\Gamma$ depends on $\beta$ directly and through the magnetisations:
#
# $$U = \frac{d \Gamma}{d\beta} = \frac{\partial \Gamma}{\partial \beta}
#   + \sum_i \underbrace{\frac{\partial \Gamma}{\partial m_i}}_{0} \frac{d m_i^*}{d\beta}
#   + \sum_j \underbrace{\frac{\partial \Gamma}{\partial n_j}}_{0} \frac{d n_j^*}{d\beta}
#   = \frac{\partial \Gamma}{\partial \beta} . \tag{3.4}$$
#
# However fast the magnetisations move, they contribute nothing. What is left is read off (3.1), where
# $S_{\rm mf}$, $E_1$, $A_2$ and $A_3$ contain no $\beta$:
#
# $$\boxed{\; U = E_1 - \beta A_2 - 2 \beta^2 A_3 \;} \tag{3.5}$$
#
# **Entropy** by (B6), $S = \ln Z + \beta U = -\Gamma + \beta U$. Insert (3.1) and (3.5); the
# $\beta E_1$ cancel:
#
# $$S = S_{\rm mf} - \beta E_1 + \frac{\beta^2}{2} A_2 + \frac{2 \beta^3}{3} A_3
#   + \beta E_1 - \beta^2 A_2 - 2 \beta^3 A_3
#   = \boxed{\; S_{\rm mf} - \frac{\beta^2}{2} A_2 - \frac{4 \beta^3}{3} A_3 \;} \tag{3.6}$$
#
# **Heat capacity.** $C = -\beta^2\, dU/d\beta$, but here the trick is used up: $\partial \Gamma /
# \partial \beta$ is not stationary in $m$ and $n$, so their motion counts. `tap_thermodynamics`
# takes finite differences of $U$ over the list of temperatures.
#
# **Check**: (3.5) against a four-point finite difference of the method's own $\ln Z$, and (3.6) from
# the magnetisations, for all three orders. Then **against the exact result**, first at high
# temperature, where the slope of $\ln |{\rm error}|$
# against $\ln \beta$ says how many powers of $\beta$ are right, then at all temperatures. The library puts NaN
# where the
# iteration has not converged.

# %%
for order, beta in itertools.product((1, 2, 3), (0.3, 1.0)):
    around = beta + 0.01 * np.arange(-2, 3)
    curves = tap_thermodynamics(rbm, around, order=order)
    (f0, f1, _, f3, f4), U = curves.log_z, curves.energy[2]
    check(U, -(8 * (f3 - f1) - (f4 - f0)) / 0.12, tolerance=1e-5)  # (3.4), (3.5)
    scaled = Machine(beta * kernel, beta * visible_bias, beta * hidden_bias)
    point = mean_field.tap(scaled, order=order)
    m, n = point.visible, point.hidden
    c, d, S = m * (1 - m), n * (1 - n), entr([*m, *n, *(1 - m), *(1 - n)]).sum()  # S_mf, (3.2)
    S -= (order >= 2) * beta**2 / 2 * (c @ kernel**2 @ d)
    S -= (order >= 3) * 4 * beta**3 / 3 * ((c * (0.5 - m)) @ kernel**3 @ (d * (0.5 - n)))
    check(curves.entropy[2], S, tolerance=1e-8)  # (3.6)
    print(f"order {order}, beta = {beta}: U = {U:.4f}, S = {S:.4f} nats")

# %%
small = np.array([0.01, 0.02, 0.04])
known = enumeration.thermodynamics(rbm, small)
for order in (1, 2, 3):
    error = np.abs(tap_thermodynamics(rbm, small, order=order).log_z - known.log_z)
    power = math.log2(error[2] / error[1])
    print(f"order {order}: error of ln Z {error[1]:.1e} nats at beta = 0.02, power {power:.2f}")
    assert abs(power - (2 if order == 1 else 4)) < 0.1


# %%
def tap_curves():
    """beta, ln Z, U, S and C of each order, (5, 36)."""
    orders = {f"order_{order}": order for order in (1, 2, 3)}
    return {key: tap_thermodynamics(rbm, tap_betas, order=n) for key, n in orders.items()}


tables = shipped("temperature_tap", tap_curves, retrain=retrain).values()
tap = {order: type(exact)(*rows) for order, rows in enumerate(tables, start=1)}
few = tap_thermodynamics(rbm, tap_betas[18:21], order=2)  # three of them, computed here
check([few.log_z, few.energy], [tap[2].log_z[18:21], tap[2].energy[18:21]], tolerance=1e-6)
known = type(exact)(*(values[1:37] for values in exact))
check(known.betas, tap_betas)
assert np.all(tap[1].log_z <= known.log_z)  # order 1 is a lower bound on ln Z

# %% name="tap-errors"
for order, curves in tap.items():
    converged = ~np.isnan(curves.log_z)
    print(f"order {order}: converged at {converged.sum()} of {len(tap_betas)} temperatures", end="")
    print(f", the last is beta = {tap_betas[converged][-1]:.2f}")
    for index in (5, 13, 19, 29):
        errors = [getattr(curves, n)[index] - getattr(known, n)[index] for n in names]
        text = "error of ln Z {:7.3f}, U {:7.3f}, C {:7.3f} nats".format(*errors)
        print(f"    beta = {tap_betas[index]:.2f}: {text}")
hundred = mean_field.tap(rbm, order=1, num_starts=100)
assert 0.2 < hundred.log_z - tap[1].log_z[19] < 0.4  # ten starts miss the lowest
near = [Machine(*(b * x for x in (kernel, visible_bias, hidden_bias))) for b in (1.79, 1.81)]
damped = [mean_field.tap_of(machine, 2, damping=0.8) for machine in near]
slope = (damped[0].log_z - damped[1].log_z) / 0.02  # U
assert all(point.converged for point in damped) and abs(slope - known.energy[35] + 5) < 0.5

# %%
heat, smooth = tap[1].heat_capacity, known.heat_capacity
peaks = 1 + np.flatnonzero((heat[1:-1] > heat[:-2]) & (heat[1:-1] > heat[2:]))
sharp = peaks[heat[peaks] > 1.8 * smooth[peaks]]
print("naive mean field: C has sharp peaks at beta =", tap_betas[sharp].round(2), end=", ")
print("of", heat[sharp].round(1), "nats; exact", smooth[sharp].round(1))
falls = np.diff(tap[1].energy) / np.diff(known.energy)  # of U from one temperature to the next
assert all(np.any(falls[max(0, k - 2) : k + 2] > 2.5) for k in sharp)  # U jumps there
warm, error = tap_betas < 1.01, known.log_z - np.array([tap[k].log_z for k in (1, 2, 3)])
assert tap_betas[sharp[0]] < 1 and np.all(np.diff(smooth[warm]) > 0)
assert all(np.all(tap[k].heat_capacity[warm] < 1.5 * smooth[warm]) for k in (2, 3))
assert np.all(error[0, tap_betas > 0.99] > 4) and 0.3 < error[1, 19] < 0.9  # [19]: beta = 1
assert abs(error[1, 29]) < 0.5 and tap[2].energy[29] - known.energy[29] < -2  # [29]: beta = 1.5
assert 1.6 < (tap[2].heat_capacity / smooth)[29] < 2

# %% name="mean-field" alt="Errors of ln Z and U, and C, over beta: naive mean field, best of ten starts, misses 5 nats of ln Z, its C has two false peaks; TAP is close up to 1, and ends at 1.65."
figure, axes = plt.subplots(1, 3, figsize=(11, 3.5))
for order, colour in ((1, orange), (2, blue), (3, green)):
    curves, text = tap[order], "naive mean field" if order == 1 else f"TAP, order {order}"
    style = {"color": colour, "ls": "--" if order == 3 else "-", "label": text}
    for axis, name in zip(axes, names, strict=True):
        shift = 0 if name == "heat_capacity" else getattr(known, name)
        axis.plot(tap_betas, getattr(curves, name) - shift, **style)
axes[2].plot(tap_betas, known.heat_capacity, color=ink, label="exact")
for axis, symbol in zip(axes, (r"error of $\ln Z$", "error of $U$", "$C$"), strict=True):
    label(axis, symbol[0].upper() + symbol[1:], r"$\beta$", f"{symbol} (nats)")
axes[0].legend(loc="center right")
axes[2].legend(handles=axes[2].lines[-1:], loc="lower right")
plt.show()

# %% [markdown]
# *High temperature.* Order 1 is wrong by order $\beta^2$, orders 2 and 3 by order $\beta^4$. (Near $\beta = 0$,
# $\frac12 - m$ and $\frac12 - n$ are proportional to $\beta$, so $\beta^3 A_3$ is of order $\beta^5$.)
#
# *At the temperature of training*, order 1 misses more than 4 nats of $\ln Z$. The Onsager term
# brings that down to about 0.6 nats, at almost no cost. But the errors *can grow along the
# derivatives*: at $\beta = 1.5$ order 2 has $\ln Z$ right to a few tenths of a nat, but $U$ is off by more than 2
# nats, and $C$ is almost twice as large as it should be. A small error in a function is no promise for its slope.
#
# *At low temperature* the heat capacity of naive mean field has sharp peaks, the first of them below $\beta = 1$, where
# the exact curve rises evenly. They are not physics: at each another solution becomes the lowest of ten starts
# ([chapter 14, section 2](14_effective_temperature.ipynb)), and $U$ jumps; their height is the jump over the grid's spacing. (A hundred starts
# find one 0.3 nats lower at $\beta = 1$.) TAP has none below $\beta = 1$. Beyond the last temperature
# printed for it none of its ten starts converges, at the library's damping of $\frac12$. At 0.8 they do, with $U$ 5 nats off
# at $\beta = 1.8$: convergence is no sign of truth.

# %% [markdown]
# ## 4. Summary
#
# | method | $\ln Z$ | $U$ | $C$ | works while |
# |:--|:--|:--|:--|:--|
# | annealing (1.5) | low on average | noisier | noisiest | $t\,[U(0) - U(1)]$ is not large |
# | naive mean field (3.1), order 1 | a lower bound | (3.5) | differences of $U$ | high temperature |
# | TAP, orders 2 and 3 | no bound | (3.5) | differences of $U$ | high temperature |
#
# - One annealing run yields all curves, because the weights are unbiased at each temperature (1.4). The
#   price of a quantity rises with its order as a derivative.
# - A coarse ladder gives a $\ln Z$ and a $C$ that are too low, and an error bar that does not say so: look at
#   $n_{\rm eff}$.
# - TAP gets $U$ and $S$ without moving the magnetisations (3.4). Its derivatives are worse than its values.

# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **How many temperatures?** According to (2.2), how many equal steps from 0 to 1 does it take to keep a
#    share of 50 % of the chains of our machine effective, and how many for 90 % (`steps_needed`: a dictionary
#    from 0.5 and 0.9 to the
#    number)? Make one run of 4,000 chains with the first number (`share`: its $n_{\rm eff} / n$).
# 2. *(medium)* **Where to put the temperatures.** By (4.5) of chapter 8 the variance of $\ln w$ is least if the
#    step times the
#    standard deviation of $E$, $\sqrt C / \beta$, is the same everywhere. Express the variance after $K$ steps
#    by an integral, for
#    equal steps and for the best ones, and compute both, times $K$ (`equal`, `best`; start the integrals at
#    $\beta = 0.01$).
#    Place 64 steps in the best way (`ladder`, with 0 and 1 at its ends), and compare the variances of $\ln w$ of
#    4,000 chains on
#    both ladders (`gain`: equal steps over best).
# 3. *(hard)* **Moving magnetisations.** Differentiate $\partial \Gamma / \partial x = 0$ with respect to
#    $\beta$, for all
#    magnetisations $x = (m, n)$ together, and show that at order 1
#    $C = \beta^2\, (\partial E_1)^T (\Gamma'')^{-1} \partial E_1$, with the vector $\partial E_1$ of the
#    derivatives of $E_1$ and the
#    matrix $\Gamma''$ of the second derivatives of $\Gamma$, both with respect to $x$. Write a function
#    `response(beta)` that
#    computes $C$ in this way, and compare it at $\beta = 0.3$ and 1 with finite differences of $U$. When does
#    $C$ become very large?
#
# The solutions are in the cells below, folded: click on one to open it.

# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. With t = 1 / K, (2.2) gives K = [U(0) - U(1)] / ln(1 / share), rounded up.
steps_needed = {goal: math.ceil(fall / -math.log(goal)) for goal in (0.5, 0.9)}
path = np.linspace(0, 1, steps_needed[0.5] + 1)
run = annealing.ais(rbm, betas=path, num_chains=4000, base="uniform", seed=seed)
share = run.effective_sample_size / 4000
print(f"1. steps: {steps_needed}; with {steps_needed[0.5]} of them n_eff / n = {share:.3f}")
check([steps_needed[0.5], steps_needed[0.9]], [136, 894])
assert abs(share - 0.54) < 0.1  # over seeds: 0.54 with a spread of 0.02

# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. Var = sum t^2 sd^2. Equal steps, t = 1/K: (1/K) int sd^2. Best steps, t sd = const: (1/K) (int sd)^2.
fine = np.append(0.01, exact.betas[1:21])
heat = np.append(enumeration.thermodynamics(rbm, [0.01]).heat_capacity, exact.heat_capacity[1:21])
deviation = np.sqrt(heat) / fine
equal, best = np.trapezoid(deviation**2, fine), np.trapezoid(deviation, fine) ** 2
area = np.append(0, np.cumsum((deviation[1:] + deviation[:-1]) / 2 * np.diff(fine)))
ladder = np.interp(np.linspace(0, 1, 65), area / area[-1], fine)
ladder[0] = 0.0
walk = partial(annealing.ais, rbm, num_chains=4000, base="uniform", seed=seed)
gain = np.divide(*(walk(betas=x).log_weights.var() for x in (np.linspace(0, 1, 65), ladder)))
print(f"2. K Var(ln w): {equal:.1f} (equal), {best:.1f} (best); measured gain {gain:.2f}")
assert best < equal and abs(gain / (equal / best) - 1) < 0.15 and len(ladder) == 65


# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. 0 = dE_1 + Gamma'' dx/dbeta and dU/dbeta = dE_1 . dx/dbeta. C is very large where Gamma'' has an eigenvalue near 0.
def response(beta):
    point = mean_field.tap(Machine(beta * kernel, beta * visible_bias, beta * hidden_bias), order=1)
    m, n = point.visible, point.hidden
    slope, x = -np.append(visible_bias + kernel @ n, hidden_bias + m @ kernel), np.append(m, n)
    curvature = np.diag(1 / (x * (1 - x)))
    curvature[:64, 64:], curvature[64:, :64] = -beta * kernel, -beta * kernel.T
    return beta**2 * slope @ np.linalg.solve(curvature, slope)


check(
    [response(0.3) / 9, response(1.0) / 100],
    -np.diff(tap_thermodynamics(rbm, [0.295, 0.305, 0.995, 1.005], order=1).energy)[::2],
    tolerance=1e-4,
)
