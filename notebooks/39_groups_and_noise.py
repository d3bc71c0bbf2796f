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
# # Chapter 39: Groups, noise and budgets
#
# An image has $N$ parts, and you can afford $T$ samples. Which estimate of $\ln p(x)$ will be nearest
# to the truth: the ELBO, its cumulants to order 2 or 3, groups, the jackknife, or the
# importance-weighted bound (IWAE)? Chapter 38 found which of them keep their error per part as $N$
# grows: the cumulants do, and IWAE does not. But that was about expectations, and you have one set
# of samples. Make a guess for a small and a large image, and for few and many samples, before you read on.
#
# **What you will do**
#
# - compute, exactly, what the jackknife and grouped cumulants expect per copy, for 1 to 256 copies;
# - derive how the noise of sampled cumulants grows with the size;
# - draw the map of which estimate wins at which size and budget;
# - repeat it with mosaics of digits and a trained variational autoencoder (VAE).
#
# **What you will learn**
#
# - that groups keep a share of the second-order correction, and which;
# - why extensive estimates drown in noise at order 3, like $\sqrt N$;
# - why a number $K$ of samples means little without the size of the image.
#
# **What you need**: [chapter 38](38_size_extensivity.ipynb), and section 5 of
# [chapter 34](34_log_weights.ipynb) (groups).
#
# **Time**: about 50 minutes, and 80 for the exercises. The code runs in about 20 seconds.
#
# Equation numbers such as (B27) are the row names of the whole course and of `EQUATIONS.md`; numbers
# such as (2.1) are steps on the way. Free energies are in nats.

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

import functools
import math

import keras
import matplotlib.pyplot as plt
import numpy as np
from scipy import special, stats

from rbm_tf import cumulants, datasets
from rbm_tf.course import check, label
from vae_keras import VAE, evidence, networks

# %%
seed = 0
variance = 1.8  # s^2, of the posterior of one copy; q has 1
sizes = 2 ** np.arange(9)  # N = 1 .. 256 copies
num_samples, group_size, num_repeats = 64, 4, 4000  # K; in a group; repeats of every estimate
budgets = 2 ** np.arange(3, 15)  # for the map
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 115}])
sky, ink = "#56B4E9", plt.rcParams["text.color"]


# %%
a = 1 - 1 / variance
orders = np.arange(1, 7)
kappa = special.factorial(orders - 1) * a**orders / 2  # (1.4) of chapter 38
kappa[0] += math.log(1 - a) / 2
order_errors = -np.cumsum(kappa / special.factorial(orders))  # of order k, per copy; ln p(x) = 0
gap = order_errors[0]  # of the ELBO


# %%
def draw(size, seed=seed):
    """num_repeats sets of K log-weights of `size` copies, (num_samples, num_repeats)."""
    chi2 = np.random.default_rng(seed).chisquare(size, (num_samples, num_repeats))
    return size * math.log(1 - a) / 2 + a / 2 * chi2  # (1.3) of chapter 38


def sampled_errors(estimator):
    """Error per copy and its standard error, from drawn weights, (2, num_sizes)."""
    drawn = np.array([estimator(draw(size)) for size in sizes])
    return np.array([-drawn.mean(1), drawn.std(1, ddof=1) / math.sqrt(num_repeats)]) / sizes


# %% [markdown]
# **From chapter 38.** One copy is a latent variable with $q = N(0, 1)$ and the posterior $N(0, s^2)$, which
# is wider: $s^2 = 1.8$. With $\ln p(x) = 0$ all that is left is error. The log-weight $X_N$ of $N$ copies
# is a sum of $N$ independent parts, so its cumulants are $N$ times the $\kappa_n$ of one copy, (1.4) there, and
# every order of the cumulant series is extensive (B27). $L_K$ is the log of the mean of $K$ weights, whose
# expectation is the IWAE bound. Per copy it falls back to $\kappa_1$, the ELBO, as $N$ grows at fixed $K$, by
# (4.2) there. All cumulants of $L_K$ follow, without simulation, from (4.5) there; the next two
# cells are those of that chapter.


# %%
@functools.cache
def log_phi(size):
    """ln phi, (4.5) there, of `size` copies on the grid u, weights divided by exp(size * kappa_1)."""
    u, y = np.linspace(-90, 30, 2401), np.linspace(-80, 7.5, 4376)  # y = ln chi^2
    p = stats.chi2(size).pdf(np.exp(y)) * np.exp(y) * (y[1] - y[0])
    used = p > 1e-25
    x = size * math.log(1 - a) / 2 + a / 2 * np.exp(y[used]) - size * kappa[0]
    weights = np.exp(np.minimum(np.add.outer(u, x), 50.0))  # exp(-e^50) is 0
    one_minus_phi = -np.expm1(-weights) @ p[used]
    return u, np.log1p(-np.minimum(one_minus_phi, 1 - 1e-16))


# %%
@functools.cache
def log_mean_cumulants(size, num_samples, max_order=4):
    """Exact cumulants of L_K for `size` copies, from (4.5) there; nats^n."""
    n = np.arange(1, max_order + 1)
    u, log_one = log_phi(size)
    difference = np.exp(num_samples * log_one) - np.exp(-np.exp(u))
    of_e = np.array([np.trapezoid(u**k * np.exp(u - np.exp(u)), u) for k in n])
    moments = of_e + [np.trapezoid(k * u ** (k - 1) * difference, u) for k in n]
    difference = cumulants.cumulants_from_moments(moments).numpy() - special.polygamma(n - 1, 1.0)
    return (-1.0) ** n * difference + (n == 1) * (size * kappa[0] - math.log(num_samples))


# %% [markdown]
# ## 1. The jackknife and the groups
#
# **Jackknife.** In expectation $\hat J_K = K \langle L_K \rangle - (K - 1) \langle L_{K-1} \rangle$ removes the
# error of order $1/K$. At fixed $K$ both terms per copy tend to $\kappa_1$ by (4.2) of chapter 38, and
# $K \kappa_1 - (K - 1) \kappa_1 = \kappa_1$: the ELBO again. There is no $1/K$ law to extrapolate when one
# weight dominates.
#
# **Groups.** Grouped cumulants expand $\ln p(x) = \ln \langle e^{L_K} \rangle$ in cumulants of $L_K$. In a large
# system the largest of the $K$ weights dominates, and $X_N$ is nearly Gaussian (it is a sum of many), so
# that $L_K \approx N \kappa_1 + \sqrt{N \kappa_2}\, \xi_K$ with $\xi_K$ the largest of $K$ standard normal
# variables. Its mean gives order 1 a gain like $\sqrt N$ only, as before, but its variance
# $v_K = \mathrm{Var}(\xi_K)$ contributes in proportion to $N$:
#
# $$\frac1N \Big[ \langle L_K \rangle + \tfrac12 \langle\!\langle L_K^2 \rangle\!\rangle \Big]
#   \;\longrightarrow\; \kappa_1 + \tfrac12 v_K\, \kappa_2 , \qquad
#   v_2 = 1 - \tfrac1\pi = 0.68, \quad v_4 = 0.49, \quad v_{64} = 0.20 . \tag{1.1}$$
#
# Groups keep a *share* $v_K$ of the second-order correction. They are not extensive for $K > 1$, since the
# error per copy grows with $N$, but it saturates below that of the ELBO; $v_1 = 1$ is the plain expansion.
#
# **Check against the exact result**: expectations from (4.5) of chapter 38 against the library's estimators on drawn
# weights; then the error per copy of all of them.


# %%
def expectation(name, size):
    """Exact expectation of an estimate of ln p(x) = 0 from K samples, nats."""
    if name == "jackknife":
        weights = {num_samples: num_samples, num_samples - 1: 1 - num_samples}
        return sum(w * log_mean_cumulants(size, k)[0] for k, w in weights.items())
    first, second = log_mean_cumulants(size, group_size if name == "groups" else num_samples)[:2]
    return first + second / 2 * (name == "groups")


estimators = {
    "IWAE": evidence.iwae,
    "jackknife": evidence.jackknife,
    "groups": lambda log_weights: evidence.grouped_cumulant(log_weights, group_size),
}


# %% name="expectations"
errors, sampled = {}, {}
for name, estimator in estimators.items():
    errors[name] = np.array([-expectation(name, size) / size for size in sizes])
    sampled[name] = sampled_errors(estimator)
    off = sampled[name][0] - errors[name]
    assert np.all(np.abs(off) < 5 * sampled[name][1])
    assert np.all(np.diff(errors[name]) > 0) and errors[name][-1] < gap  # B27 does not hold
    print(f"{name:9s} error per copy", errors[name].round(4))
for order in (1, 2, 3):
    points, bars = sampled[f"order {order}"] = sampled_errors(
        functools.partial(evidence.cumulant, order=order)
    )
    assert np.all(np.abs(points - order_errors[order - 1]) < 5 * bars)  # B27


# %% name="per-copy" alt="Error per copy over 1 to 256 copies. Left, exact: cumulant orders 1 to 3 are flat lines, IWAE, jackknife and groups climb through them. Right: the same from drawn weights."
figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), sharex=True, sharey=True)
shades = dict(zip(sampled, (orange, purple, green, ink, sky, blue), strict=True))
for number, (name, colour) in enumerate(shades.items()):
    points, bars = sampled[name]
    axes[1].errorbar(sizes * 1.03**number, points, 5 * bars, fmt="o", color=colour)
    if name in errors:
        axes[0].loglog(sizes, errors[name], "o-", color=colour, label=name)
    else:
        axes[0].axhline(order_errors[int(name[-1]) - 1], color=colour, label=f"cumulants, {name}")
label(axes[0], "Exact expectations, $K = 64$", "copies $N$", "error per copy (nats)")
label(axes[1], f"{num_repeats} repeats (bars: 5 s.e.)", "copies $N$", "")
axes[1].set_ylim(3e-5, 0.15)
axes[1].legend(*axes[0].get_legend_handles_labels(), loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %% name="shares-of-groups"
normal = np.linspace(-9, 9, 4001)
for k in (2, group_size, 64):  # the largest of k standard normal variables
    density = k * stats.norm.cdf(normal) ** (k - 1) * stats.norm.pdf(normal)
    first, second = (np.trapezoid(normal**n * density, normal) for n in (1, 2))
    print(f"v_{k} = {second - first**2:.4f}")  # (1.1)
    if k == group_size:
        limit = gap - (second - first**2) * kappa[1] / 2
print(
    f"groups of {group_size}: error per copy {errors['groups'][-1]:.4f} at N = 256, limit {limit:.4f} nats"
)
assert np.all(errors["groups"] < limit)

# %% name="meetings"
meetings = {}  # where the error per copy reaches that of order 3, and that of order 2
for name in ("IWAE", "jackknife"):
    grid = np.log(errors[name]), np.log(sizes)
    meetings[name] = np.exp([np.interp(np.log(order_errors[k]), *grid) for k in (2, 1)])
    print(f"{name} meets order 3 at {meetings[name][0]:.0f} and order 2 at", end=" ")
    print(f"{meetings[name][1]:.0f} copies")
assert all(values[0] < order_errors[2] for values in errors.values())  # one copy
assert np.all(np.abs(meetings["IWAE"] / [12, 75] - 1) < 0.15)
assert np.all(meetings["jackknife"] > 1.4 * meetings["IWAE"])
noise = {name: bars for name, (_, bars) in sampled.items()}  # per copy
least = noise["order 3"].argmin()
assert sizes[least] in (32, 64) and noise["order 3"][-1] > 1.1 * noise["order 3"][least]
falls = {name: bars[-3] / bars[-1] for name, bars in noise.items()}  # from 64 to 256 copies
assert falls["order 1"] > 1.8 and falls["IWAE"] > 1.5 and falls["order 2"] < 1.3

# %% [markdown]
# Left, the exact errors:
#
# - the cumulant orders are flat, by theorem;
# - for one copy 64 samples are plenty, and IWAE, the jackknife and the groups all miss less than order 3 does;
# - then these three climb. IWAE meets order 3 at about 12 copies and order 2 at about 75, the jackknife later;
# - IWAE and the jackknife are on their way to the ELBO at the top, the groups to their own limit (1.1).
#
# Right, the same from drawn weights:
#
# - at the left end the bias is lost in the noise;
# - to the right the noise per copy averages out for the ELBO and for IWAE;
# - the noise of order 2 levels off, and that of order 3 has its least value between 32 and 64 copies and grows
#   again. Why it does is the subject of the next section: the price of extensivity.
#
# %% [markdown]
# ## 2. The noise grows too
#
# (B27) is about expectations. An estimate from $n$ samples has noise, and the k-statistic of order $r$ is
# not $N$ times as noisy for $N$ copies. To leading order in $1/n$ a k-statistic is an average over
# the samples of its *influence*, what adding one sample changes. With $y = X - \kappa_1$,
#
# $$\psi_1 = y , \qquad \psi_2 = y^2 - \kappa_2 , \qquad \psi_3 = y^3 - 3 \kappa_2 y - \kappa_3 . \tag{2.1}$$
#
# (The term $-3 \kappa_2 y$ is there because the sample mean $\bar y$ is subtracted:
# $\frac1n \sum (y_i - \bar y)^3 = \frac1n \sum y_i^3 - 3 \bar y \frac1n \sum y_i^2 + \dots$, and
# $\frac1n \sum y_i^2 \approx \kappa_2$.) The variance is $\langle \psi_r^2 \rangle / n$. For $r = 2$,
# $\mu_4 - \kappa_2^2 = \kappa_4 + 2 \kappa_2^2$. For $r = 3$, with $\mu_4 = \kappa_4 + 3 \kappa_2^2$ and
# $\mu_6 = \kappa_6 + 15 \kappa_2 \kappa_4 + 10 \kappa_3^2 + 15 \kappa_2^3$,
#
# $$\langle \psi_3^2 \rangle = \mu_6 - 6 \kappa_2 \mu_4 + 9 \kappa_2^3 - \kappa_3^2
#   = \kappa_6 + 9 \kappa_2 \kappa_4 + 9 \kappa_3^2 + 6 \kappa_2^3 . \tag{2.2}$$
#
# Every $\kappa$ is $N$ times that of one copy. The largest power of $N$ wins, $6 \kappa_2^3 \to 6 N^3
# \kappa_2^3$. Per copy (divide the standard error by $N$):
#
# $$\boxed{\; \frac{\text{s.e.}(k_1)}{N} = \sqrt{\frac{\kappa_2}{n N}} , \qquad
#   \frac{\text{s.e.}(k_2)}{N} \simeq \sqrt{\frac{2 \kappa_2^2}{n}} , \qquad
#   \frac{\text{s.e.}(k_3)}{N} \simeq \sqrt{\frac{6 \kappa_2^3 N}{n}} \;} \tag{2.3}$$
#
# falling, constant, rising like $\sqrt N$. In general the sum of many copies is nearly Gaussian, the
# influence is then a Hermite polynomial $(N \kappa_2)^{r/2} \mathrm{He}_r(y / \sqrt{N \kappa_2})$ with the
# variance $r!\, (N \kappa_2)^r$, $\kappa_2$ being that of one copy, and the error per copy is
# $\sqrt{r!\, \kappa_2^r / n}\; N^{r/2 - 1}$. A third
# cumulant of a large system is a small difference of large powers.
#
# For a finite number of samples the exact variances (Kendall and Stuart) have $n - 1$ and $n - 2$ in
# places. We write them out, with the covariances that the series $k_1 + \frac12 k_2 + \frac16 k_3$ needs.


# %%
def k_covariance(k, n):
    """Exact covariance matrix of k_1, k_2, k_3 from n samples; k: the first six cumulants."""
    _, k2, k3, k4, k5, k6 = k
    third = k6 / n + 9 * (k2 * k4 + k3**2) / (n - 1) + 6 * n * k2**3 / ((n - 1) * (n - 2))
    mixed = k5 / n + 6 * k2 * k3 / (n - 1)
    second = k4 / n + 2 * k2**2 / (n - 1)
    return np.array([[k2 / n, k3 / n, k4 / n], [k3 / n, second, mixed], [k4 / n, mixed, third]])


# %%
per_copy = {"exact": [], "sampled": [], "leading": []}
for size in sizes:
    estimates = cumulants.sample_cumulants(draw(size), max_order=3).numpy()  # (3, num_repeats)
    exact_variance = np.diag(k_covariance(size * kappa, num_samples))
    squares = (estimates - estimates.mean(1, keepdims=True)) ** 2
    noise = squares.std(1, ddof=1) / math.sqrt(num_repeats)  # of a sampled variance
    assert np.all(np.abs(squares.mean(1) - exact_variance) < 5 * noise)
    leading = [math.factorial(r) * (size * kappa[1]) ** r / num_samples for r in (1, 2, 3)]  # (2.3)
    for name, value in zip(per_copy, (exact_variance, squares.mean(1), leading), strict=True):
        per_copy[name].append(np.sqrt(value) / size)
per_copy = {name: np.array(values) for name, values in per_copy.items()}
growth = per_copy["exact"][-1] / per_copy["exact"][-3]  # four times as many copies
print("standard errors per copy, N = 256 over N = 64:", growth.round(3), "expected 1/2, 1, 2")
assert sizes[per_copy["exact"][:, 2].argmin()] == 8  # k_3
assert 0 < per_copy["exact"][-1, 2] / per_copy["leading"][-1, 2] - 1 < 0.1

# %% name="noise" alt="Standard error per copy over copies, both axes logarithmic: that of k1 falls, that of k2 levels off, that of k3 falls to a minimum at 8 copies and then rises."
figure, axis = plt.subplots(figsize=(7, 3.9))
for order, colour in ((1, grey), (2, sky), (3, blue)):
    column = order - 1
    axis.loglog(sizes, per_copy["exact"][:, column], color=colour, label=rf"$k_{order}$, exact")
    axis.loglog(sizes, per_copy["sampled"][:, column], "o", color=colour)
    axis.loglog(sizes, per_copy["leading"][:, column], ":", color=colour)
label(axis, "64 samples (dots: drawn; dotted: (2.3))", "copies $N$", "s.e. per copy (nats$^r$)")
axis.legend()
plt.show()

# %% [markdown]
# At first the noise per copy of $k_2$ and $k_3$ falls, too: there the terms with lower powers of $N$, with
# $\kappa_4$ and $\kappa_6$, are the large ones. The dotted laws (2.3) take over as $N$ grows. $k_2$
# levels off; $k_3$ turns
# at about 8 copies, and at 256 it is within a tenth of its law.
#
# %% [markdown]
# ## 3. Which is better, at which size and budget?
#
# An honest account adds both: the root-mean-square error per copy of one estimate, $\sqrt{\text{bias}^2 +
# \text{variance}} / N$, at a budget of $T$ samples. Everything is exact here: for cumulants, the bias from (1.4) of chapter 38
# and the variance from section 2; for IWAE-$T$, $\kappa_1$ and $\kappa_2$ of $L_T$ from (4.5) of chapter 38; for $T/K$
# groups of $K$, both formulas together. There an *oracle*, who knows the answer, chooses the best of several $K$,
# which nobody can do in practice. We count beside it how often groups win by a fixed rule. For the jackknife we
# have no formula for the variance, so it is sampled.


# %%
def series_rms(k, n, order, factors=(1, 1 / 2, 1 / 6)):
    """R.m.s. error of k_1 + k_2 / 2 + .. up to an order as an estimate of 0."""
    factors = np.array(factors) * (np.arange(1, 4) <= order)
    k = np.pad(k, (0, 6 - len(k)))  # what is missing is multiplied by 0
    return math.sqrt((factors @ k[:3]) ** 2 + factors @ k_covariance(k, n) @ factors)


def grouped_rms(size, budget):
    """The best of groups of 2, 4, .. samples, order 2, at least four groups."""
    sets = [2**k for k in range(1, 13) if budget // 2**k >= 4]
    results = [series_rms(log_mean_cumulants(size, k), budget // k, order=2) for k in sets]
    return min(results, default=np.inf)


# %%
def rms_errors(size, budget):
    first, second = log_mean_cumulants(size, budget)[:2]
    names = "ELBO", "order 2", "order 3"
    errors = {n: series_rms(size * kappa, budget, k) for k, n in enumerate(names, start=1)}
    errors["groups"] = grouped_rms(size, budget)
    return errors | {"IWAE": math.hypot(first, math.sqrt(second))}


table = [[rms_errors(size, budget) for size in sizes] for budget in budgets]
names = list(table[0][0])
best = np.array([[names.index(min(cell, key=cell.get)) for cell in row] for row in table])


# %%
def ten_groups_rms(size, budget):
    """The largest groups of 2, 4, .. samples of which there are ten: a choice without an oracle."""
    k = 2 ** int(math.log2(budget / 10)) if budget >= 20 else 1
    return series_rms(log_mean_cumulants(size, k), budget // k, order=2) if k > 1 else np.inf


def jackknife_square(size, budget):
    """Sampled mean square error of the jackknife, and its standard error."""
    chi2 = np.random.default_rng(seed).chisquare(size, (budget, max(256, 2**18 // budget)))
    squares = evidence.jackknife(size * math.log(1 - a) / 2 + a / 2 * chi2).numpy() ** 2
    return squares.mean(), squares.std(ddof=1) / math.sqrt(len(squares))


# %% name="winners"
oracle, ten, ratios, ahead_of_iwae = np.sum(best == names.index("groups")), 0, [], 0
for row, budget in zip(table, budgets, strict=True):
    for cell, size in zip(row, sizes, strict=True):
        ten += ten_groups_rms(size, budget) < min(v for n, v in cell.items() if n != "groups")
        if budget <= 1024:
            square, error = jackknife_square(size, budget)
            assert square + 5 * error > min(cell.values()) ** 2  # the jackknife does not win
            ratios.append(math.sqrt(square) / min(cell.values()))
            ahead_of_iwae += square + 5 * error < cell["IWAE"] ** 2
print(f"groups win {oracle} of {best.size} cells with an oracle's K, {ten} with ten groups")
print(
    f"jackknife: r.m.s. error {min(ratios):.2f} to {max(ratios):.2f} times the winner's", end=", "
)
print(f"clearly below IWAE's in {ahead_of_iwae} of {len(ratios)} cells")
assert ten < 0.9 * oracle and np.median(ratios) > 1.2 and ahead_of_iwae > 0

# %% name="crossing"
drop = order_errors[1] ** 2 - order_errors[2] ** 2
crossing = 36 * 64 * drop / (6 * kappa[1] ** 3)  # 64 samples; noise of (2.3) against bias
print(f"64 samples: by (2.3) order 3 loses to order 2 at about {crossing:.0f} copies")
assert [names[i] for i in best[3, 6:8]] == ["order 3", "order 2"]  # at 64 and 128 copies
assert np.argwhere(best == 0).tolist() == [[0, 0], [0, 1], [1, 0]] and best.max() < 4  # no IWAE
others = [np.flatnonzero(best[:, i] != 3)[-1] for i in (4, 5, 6)]  # 16, 32, 64 copies
assert np.all(np.diff(others) == 2)  # four times the budget to pass to groups
cells = {64: 3, 4096: 9}  # budget: row
for budget, row in cells.items():
    print(f"r.m.s. error per copy, {budget} samples")
    for name in names:
        values = [table[row][i][name] / sizes[i] for i in (0, 3, 6, 8)]
        print(
            f"  {name:8s}" + "".join(f"{value:9.4f}" for value in values) + "  at N = 1, 8, 64, 256"
        )

# %% name="map" alt="Left: error over copies at 4096 samples; groups are lowest up to 32 copies, order 3 beyond. Right: map of winners: groups upper left, order 3 to the right, order 2 below, ELBO in a corner."
figure, axes = plt.subplots(1, 2, figsize=(10, 4), width_ratios=[1, 1.15])
palette = [ink, sky, blue, green, orange]
for name, colour in zip(names, palette, strict=True):
    values = [x[name] / n for x, n in zip(table[9], sizes, strict=True)]
    axes[0].loglog(sizes, values, color=colour, label=name)
axes[0].legend(fontsize=10, ncols=2, loc="center", bbox_to_anchor=(0.5, 0.78))
shades = plt.matplotlib.colors.ListedColormap(palette)
image = axes[1].pcolormesh(best, cmap=shades, vmin=-0.5, vmax=4.5, edgecolors="white")
axes[1].set_xticks(np.arange(len(sizes)) + 0.5, sizes)
axes[1].set_yticks(np.arange(len(budgets)) + 0.5, budgets)
label(axes[0], "4096 samples", "copies $N$", "r.m.s. error per copy (nats)")
label(axes[1], "Smallest r.m.s. error", "copies $N$", "budget $T$ (samples)")
bar = figure.colorbar(image, ax=axes[1], ticks=range(5))
bar.ax.set_yticklabels(names)
plt.show()

# %% [markdown]
# Left, at a few copies IWAE, the groups and order 3 are limited mostly by noise, which averages out as copies
# are added; the ELBO and order 2 are nearly all bias from the start. Then IWAE and the groups rise with their
# bias, and order 3 begins to rise with its noise.
#
# Right, the winners:
#
# - *Groups* win where there are many samples for the size (upper left). They are nearly exact like IWAE, with
#   part of the remaining bias removed. Their region is this large because the oracle chooses $K$ for them; with the
#   fixed rule of ten groups they win fewer cells (both numbers are printed). To stay in their region, each doubling beyond 16
#   copies takes about four times the budget here, and by (4.4) of chapter 38 the price is exponential.
# - *Plain cumulants* win below this region, of order 3 as long as its noise is small enough. With 64 samples it is too
#   large at 128 copies. By (2.3) order 3 loses to order 2 roughly when $6 \kappa_2^3 N / (36\, n)$ exceeds the drop in
#   squared bias per copy. That is at about 175 copies; the terms that (2.3) leaves out bring it forward.
# - *The ELBO* is best at the very bottom, where even the variance is too noisy for one or two copies.
# - *IWAE*, a single group at order 1, wins nowhere on this map. What it has, and of the others only the ELBO, is a bound.
# - *The jackknife*, which is not drawn, wins nowhere either: its error is above the winner's in all cells that
#   were sampled, up to 1024 samples, or equal to it within the noise. At the largest sizes it is ahead of IWAE.
#
# Some borders are ragged because several estimates are about equally good there, as in the second
# patch of groups, at 32 and 64 samples. Another copy would give another map, and section 3 of chapter 40 has one on
# which cumulants have no place.
#
# %% [markdown]
# ## 4. Mosaics: what it means for images and latents
#
# Is the thought experiment of independent copies relevant for a VAE? Take it literally. Train a VAE on
# small digits. An image that is a *mosaic* of $N$ digits has a perfect model, $N$ copies of the VAE, and
# its log-weight is the sum over tiles: 64 samples of the mosaic are 64 samples of each tile, joined. Larger
# images are like this where distant parts know little of each other; more latents likewise, as far as
# each adds its share $\mathrm{KL}(q \| p)$ to the gap. The reference is IWAE with 2,000 samples for
# each *single* tile, summed.

# %%
(x_train, _), (x_test, _) = datasets.load_digits("bernoulli", seed=seed)
keras.utils.set_random_seed(seed)  # the initial weights, and the order of the batches
vae = VAE(networks.dense_encoder((8, 8), 2), networks.dense_decoder((8, 8), 2), seed=seed)
vae.compile("adam")
vae.fit(x_train, epochs=30, batch_size=100, verbose=0)
tiles = np.concatenate([x_test, x_train])[:1024]
reference = evidence.iwae(vae.log_weights(tiles, 2000, seed=seed)).numpy().astype(float)
log_weights = vae.log_weights(tiles, num_samples=num_samples, seed=seed + 1).numpy()  # (64, 1024)
log_weights = log_weights.astype(float)
print(f"mean ln p(x) of a tile, IWAE-2000: {reference.mean():.3f} nats")
print(f"variance of ln w: mean {log_weights.var(0, ddof=1).mean():.3f} nats^2")

# %% name="tiles"
tile_counts = 2 ** np.arange(9)  # 1024 to 4 mosaics
methods = {"ELBO": evidence.elbo, "order 2": evidence.cumulant, **estimators}
shortfall = {name: [] for name in methods}
for count in tile_counts:
    mosaics = log_weights.reshape(num_samples, -1, count).sum(2)  # (64, 1024 / count)
    truth = reference.reshape(-1, count).sum(1)
    for name, method in methods.items():
        shortfall[name].append(np.mean(truth - method(mosaics)) / count)
for name, values in shortfall.items():
    print(f"{name:9s} below the reference, nats per tile:", np.round(values, 3))
check(shortfall["ELBO"], shortfall["ELBO"][0], tolerance=1e-9)  # B27, with any samples
assert shortfall["IWAE"][0] < 0.1 * shortfall["ELBO"][0]
assert abs(shortfall["IWAE"][-1] / shortfall["ELBO"][-1] - 0.47) < 0.12  # about half is left
assert np.all(np.abs(shortfall["order 2"]) < 0.25 * shortfall["ELBO"][0])

# %% name="mosaics" alt="Nats missed per tile over 1 to 256 tiles: the ELBO flat at 0.12, order 2 just below 0, IWAE from 0.004 up to 0.057, jackknife and groups a little lower."
figure, axis = plt.subplots(figsize=(7, 3.9))
colours = (ink, sky, orange, purple, green)
for (name, values), colour in zip(shortfall.items(), colours, strict=True):
    axis.semilogx(tile_counts, values, "o-", color=colour, label=name)
axis.axhline(0, color=grey, lw=0.8)
label(axis, "Mosaics of digits, 64 samples each", "tiles $N$", "$\\ln p(x)$ missed per tile (nats)")
axis.legend()
plt.show()

# %% [markdown]
# For a single digit, 64 samples leave IWAE short by no more than the noise, some 0.003 nats, where the ELBO is 0.12 short.
# For mosaics of 256 digits they leave about half of that gap per tile. The ELBO is flat to the last
# digit, because it is linear in $\ln w$. Order 2 is flat in expectation, at a level a little above the
# reference (it is no bound); what moves it on the right is noise, with only four mosaics left. So a $K$ that
# is reported with a likelihood means little without the size of the image: IWAE-5000 on a 28 × 28 digit
# and on a photograph are not the same instrument. Where parts are known to be independent, the remedy is
# of course to estimate them one by one; where they are only *nearly* so, an expansion that sees connected
# clusters only does that by itself.
#
# %% [markdown]
# ## 5. Summary
#
# | estimate of $\ln p(x)$ | bound | error per copy, as $N$ grows | noise per copy |
# |:--|:--|:--|:--|
# | ELBO, cumulants of order 1 | yes | constant | $N^{-1/2}$ |
# | cumulants, order 2 | no | constant, smaller (if it converges) | constant |
# | cumulants, order 3 | no | constant, smaller (if it converges) | $N^{1/2}$ |
# | IWAE, fixed $K$ | on average | rises to the ELBO's | |
# | jackknife, fixed $K$ | no | rises to the ELBO's | |
# | groups of fixed $K > 1$, order 2 | no | rises to $\mathrm{gap} - \frac12 v_K \kappa_2$ (1.1) | |
#
# - Extensivity is about expectations. Sampled cumulants of order $r$ have noise $N^{r/2 - 1}$ per copy (2.3).
# - Small system, many samples: groups, if their size is chosen well, or IWAE where a bound is wanted. Large
#   system: cumulants, order 3 while the samples carry it, and order 2 beyond.
# - A number of samples means little without the size of the image.
#
# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **Two in a group.** Show that the larger of two standard normal variables has the variance
#    $v_2 = 1 - \frac1\pi$. To which error per copy do groups of 2 rise (`limit_2`), and how far is their error from
#    it at $N = 256$ (`left_2`)?
# 2. *(medium)* **Take the mosaic apart.** The parts are known to be independent. So take the same 64 samples, but
#    estimate every copy by itself, with its own 64 log-weights, and add the results. What are the root-mean-square
#    errors per copy of order 2, order 3 and IWAE at $N = 256$ now (`apart`: from the name to the error), and for
#    which of them is the noise that is left smaller than the bias?
# 3. *(hard)* **The noise of any order.** For a Gaussian $X$ of variance $\sigma^2$ the influence of the $r$-th
#    k-statistic is $\sigma^r \mathrm{He}_r(y / \sigma)$. Show this from the generating function of the Hermite
#    polynomials, and that its variance is $r!\, \sigma^{2r}$. How many samples does the term $k_r / r!$ need to
#    have a standard error of 0.01 nats per copy at $N = 256$ (`needed`: for $r = 2, 3, 4, 5$)? Check the law for $r = 4$
#    with drawn Gaussian variables (`ratio`: the measured variance of $k_4$ from 400 samples over that of the law).
#
# The solutions are in the cells below, folded: click on one to open it.

# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. max(a, b) = (a + b + |a - b|) / 2. The two parts are uncorrelated; Var((a + b)/2) = 1/2, and a - b is sqrt(2)
# times a normal variable u, so that Var(|a - b|/2) = (1 - 2/pi)/2 by <|u|> = sqrt(2/pi). Together 1 - 1/pi.
limit_2 = gap - (1 - 1 / math.pi) * kappa[1] / 2
first, second = log_mean_cumulants(256, 2)[:2]
left_2 = limit_2 + (first + second / 2) / 256
print(f"1. groups of 2 rise to {limit_2:.4f} nats per copy; at N = 256 {left_2:.4f} is left to go")
check(limit_2, 0.038007, tolerance=1e-5)
check(left_2, 0.0104, tolerance=1e-4)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. Bias per copy: that of one copy, for each of them. Noise: N independent errors, added and divided by N, so
# the variance per copy is that of one copy over N, at every order, and for IWAE as well.
first, second = log_mean_cumulants(1, num_samples)[:2]
biases = {"order 2": order_errors[1], "order 3": order_errors[2], "IWAE": -first}
covariance, factors = k_covariance(kappa, num_samples), np.array([1, 1 / 2, 1 / 6])
noises = {"order 2": factors[:2] @ covariance[:2, :2] @ factors[:2] / 256}
noises |= {"order 3": factors @ covariance @ factors / 256, "IWAE": second / 256}
apart = {name: math.sqrt(bias**2 + noises[name]) for name, bias in biases.items()}
joint = {name: value / 256 for name, value in rms_errors(256, num_samples).items()}
for name, value in apart.items():
    print(f"2. {name}: {value:.4f} nats per copy, together {joint[name]:.4f}", end="; ")
    print(f"bias {biases[name]:.4f}, noise {math.sqrt(noises[name]):.4f}")
assert all(apart[name] < joint[name] for name in apart)
small = [name for name in apart if math.sqrt(noises[name]) < biases[name]]
assert small == ["order 2", "order 3"] and apart["IWAE"] < apart["order 3"] < apart["order 2"]

# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. Mix a share e of the point y into the law of X: <exp(tX)> becomes (1 - e) exp(t^2 s^2/2) + e exp(t y), and the
# logarithm changes by e [exp(t y - t^2 s^2/2) - 1] = e sum_r t^r/r! s^r He_r(y/s): the influence of kappa_r. By
# <He_r He_q> = r! for q = r, else 0, its variance is r! s^2r; with s^2 = N kappa_2 the error of k_r / r! per copy is
# sqrt(kappa_2^r / (r! n)) N^(r/2 - 1).
needed = [kappa[1] ** r * 256 ** (r - 2) / math.factorial(r) / 0.01**2 for r in (2, 3, 4, 5)]
x = np.random.default_rng(seed).normal(size=(400, 20_000))
fourths = cumulants.sample_cumulants(x, max_order=4)[3].numpy()
squares = (fourths - fourths.mean()) ** 2 / (24 / 400)
ratio, error = squares.mean(), squares.std() / math.sqrt(squares.size)
print("3. samples needed for orders 2 to 5:", np.round(needed), end="; ")
print(f"variance of k_4 over its law {ratio:.3f} +- {error:.3f}")
check(needed, [48.8, 411, 2599, 13142], tolerance=1e-3)
assert abs(ratio - 400**2 * 401 / (399 * 398 * 397)) < 5 * error < 0.2  # exact for n = 400
