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
# # Chapter 33: Along the path
#
# [Chapter 32](32_perturbation_theory.ipynb) split an energy into a model and a perturbation, $H = H_q + \lambda V$,
# and found $F(\lambda) = F_q - \ln \langle e^{-\lambda V} \rangle_q$ (B20). The slope of this curve is $\langle V
# \rangle_\lambda$ and its curvature $-\langle\!\langle V^2 \rangle\!\rangle_\lambda$ ((3.1) and (3.2) of chapter 32),
# its Taylor series is the cumulant expansion (B23), and order 1 of that is the variational bound (B24). For a
# variational autoencoder (VAE) $-V = \ln w$ is a log-weight, and the bound is the evidence lower bound (ELBO).
# In chapter 32 every average was an exact sum. What does
# one do with nothing but samples: take a higher order, or walk along the path?
#
# **What you will do**
#
# - work out two Gaussian cases with pencil and paper: one where order 2 is exact, one that diverges;
# - estimate the series from samples, with error bars, also in pieces that are merged afterwards;
# - integrate along the path, by Gibbs sampling and by weights, next to the exact curve;
# - try to sum the series up better than term by term.
#
# **What you will learn**
#
# - which error of $q$ the cumulants (B23) repair at once, which slowly, and which not at all;
# - at which order noise overtakes truncation;
# - why walking from $q$ to $p$ works where weights on samples of $q$ do not (B20).
#
# **What you need**: [chapter 32](32_perturbation_theory.ipynb), sections 1 to 4; k-statistics
# ([chapter 2, section 4](02_truncated_series.ipynb)), Gibbs sampling ([chapter 5,
# section 1](05_contrastive_divergence.ipynb)), the Gaussian integral; some Python, with this project installed.
#
# **Time**: about 57 minutes, and 105 for the exercises. The code runs in 20 seconds.
#
# Equation numbers such as (B23) are the row names used in the whole course, in the library's
# docstrings and in the table `EQUATIONS.md`. Numbers such as (2.1) are steps on the way. Energies,
# free energies and $V$ are in nats, at $\beta = 1$.

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

import math
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

from rbm_tf import BernoulliRBM, cumulants, enumeration, mean_field
from rbm_tf.course import check, label
from rbm_tf.diagnostics import effective_sample_size

# %%
seed = 0
num_visible, num_hidden = 6, 5
coupling = 1.5  # standard deviation of the couplings, nats
num_samples = 1000  # of q
large_visible, large_hidden, large_scale = 40, 16, 0.5
num_chains, num_sweeps = 1000, 20
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 120}])
ink = plt.rcParams["text.color"]


# %%
def random_rbm(size, scale):  # float64, with normal random parameters
    rng, rbm = np.random.default_rng(seed), BernoulliRBM(*size, dtype="float64")
    rbm.kernel.assign(rng.normal(0, scale, size))
    rbm.visible_bias.assign(rng.normal(0, 0.5, size[0]))
    rbm.hidden_bias.assign(rng.normal(0, 0.5, size[1]))
    return rbm


# %% [markdown]
# ## 1. Two Gaussian cases
#
# Let $z$ be one real variable, $q = N(0, 1)$, and let the posterior $p(z|x)$ be Gaussian too. Since
# $p(x, z) = p(x)\, p(z|x)$, the log weight is $\ln w = \ln p(x) + \ln p(z|x) - \ln q(z)$.
#
# **A posterior in the wrong place**, $N(m, 1)$:
#
# $$\ln w = \ln p(x) - \tfrac12 (z - m)^2 + \tfrac12 z^2 = \ln p(x) + m z - \tfrac12 m^2 . \tag{1.1}$$
#
# This is linear in the Gaussian $z$, so $\ln w$ is itself Gaussian, with mean $\ln p(x) - \frac12
# m^2$ and variance $m^2$. The ELBO is $\frac12 m^2$ too low, half the variance is $\frac12 m^2$,
# and all other cumulants vanish. *Order 2 of (B23) is exact*, however large the gap.
#
# **A posterior of the wrong width**, $N(0, s^2)$:
#
# $$\ln w = \ln p(x) - \ln s - \tfrac12 \Big( \frac{1}{s^2} - 1 \Big) z^2
#   = \ln p(x) - \ln s + \tfrac12 a z^2 , \qquad a = 1 - \frac{1}{s^2} . \tag{1.2}$$
#
# With $\langle e^{t a z^2 / 2} \rangle = \int \frac{dz}{\sqrt{2 \pi}}\, e^{-(1 - t a) z^2 / 2} =
# (1 - t a)^{-1/2}$,
#
# $$\ln \langle e^{t\, a z^2 / 2} \rangle = -\tfrac12 \ln (1 - t a)
#   = \sum_{n=1}^{\infty} \frac{(t a)^n}{2 n} , \qquad
#   \kappa_n = n! \, \frac{a^n}{2 n} = \frac{(n - 1)!\, a^n}{2} . \tag{1.3}$$
#
# At $t = 1$ the sum is $-\frac12 \ln (1 - a) = \ln s$ and cancels the constant, as it must. But the
# series of the logarithm converges for $|a| < 1$ only (and, barely, at $a = -1$), that is, for
#
# $$s^2 \ge \tfrac12 . \tag{1.4}$$
#
# A posterior *wider* than $q$ ($0 < a < 1$) is no problem for the series, however wide: all terms
# are positive and the sums rise to the limit. (Samples of $q$ are another matter, see [chapter 34,
# section 3](34_log_weights.ipynb).) A posterior *narrower* than $q$ ($a < 0$) makes them alternate: order 2 overshoots,
# order 3 undershoots; and once it has less than half of $q$'s variance, they grow.
#
# The obstacle is at $t = 1/a$, which is negative. There the tilted distribution $q\, e^{t a z^2 /
# 2}$ stops being normalisable: going *backwards* along the path by $1/|a|$ widens $q$ without
# limit. The series about $\lambda = 0$ cannot tell forwards from backwards; its circle of
# convergence has one radius.
#
# It can be worse. If $V$ rises faster than $z^2$, say as $z^4$, no step backwards is possible at
# all: $\langle e^{-\lambda V} \rangle_q$ is infinite for every $\lambda < 0$, and the radius is
# zero. Such a series is *asymptotic*: it converges nowhere, and still its first terms are good for
# a small $\lambda$ (exercise 4). With finitely many states, as in an RBM, the radius is never zero.
#
# **Check against the exact result**, for (1.1), (1.2) and (B23). **When it fails**: $s^2 = 0.4$.


# %%
def gaussian_orders(square, max_order):
    """Orders 1 .. max_order of ln p(x), for ln p(x) = 0 and a posterior N(0, square), (1.3)."""
    a = 1 - 1 / square
    kappa = np.array([math.factorial(k - 1) * a**k / 2 for k in range(1, max_order + 1)])
    kappa[0] -= math.log(square) / 2  # the constant -ln s
    return [float(cumulants.log_expectation(kappa[:k])) for k in range(1, max_order + 1)]


# %%
nodes, node_weights = np.polynomial.hermite_e.hermegauss(60)
place = cumulants.weighted_cumulants(1.7 * nodes - 1.7**2 / 2, np.log(node_weights), 4)  # (1.1)
check(place, [-(1.7**2) / 2, 1.7**2, 0.0, 0.0], 1e-9)
check(cumulants.log_expectation(place[:2]), 0.0)  # order 2 is exact
for square in (0.4, 0.7, 1.5):
    log_w = -math.log(square) / 2 + (1 - 1 / square) * nodes**2 / 2  # (1.2)
    quadrature = cumulants.weighted_cumulants(log_w, np.log(node_weights), 4)
    sums = [float(cumulants.log_expectation(quadrature[:k])) for k in range(1, 5)]
    check(sums, gaussian_orders(square, 4), 1e-9)  # (1.3)
    assert max(sums[0], sums[2]) < 0 and (sums[1] > 0) == (square < 1)

# %% name="divergence"
gap = -gaussian_orders(0.4, 1)[0]
print(f"s^2 = 0.4: gap of the ELBO {gap:.4f} nats")
print("corrections up to order 2, 3, 4:", np.round(np.array(gaussian_orders(0.4, 4)[1:]) + gap, 4))
check(gaussian_orders(0.7, 80)[-1], 0.0, 1e-6)
assert abs(gaussian_orders(0.4, 40)[-1]) > 1e3

# %% name="gaussians" alt="Left: errors of orders 1 to 4 over the posterior variance s^2; at s^2 below 0.5 (shaded) they blow up with both signs. Right: absolute error over order; it grows for 0.4, falls for 0.55, 0.8, 2.5."
squares = np.linspace(0.3, 2.5, 111)
table = np.array([gaussian_orders(square, 4) for square in squares]).T
figure, axes = plt.subplots(1, 2, figsize=(10, 3.8))
for order, colour in zip((1, 2, 3, 4), (grey, blue, orange, green), strict=True):
    axes[0].plot(squares, table[order - 1], color=colour, label=f"order {order}")
axes[0].axvspan(0.3, 0.5, color=grey, alpha=0.2, lw=0)
label(axes[0], "Shaded: the series diverges", "variance $s^2$ of the posterior", "error (nats)")
axes[0].set_ylim(-1, 1)
axes[0].legend()
for square, colour in ((0.4, orange), (0.55, blue), (0.8, green), (2.5, purple)):
    error = np.abs(gaussian_orders(square, 30))
    axes[1].semilogy(range(1, 31), error, "o-", ms=3, color=colour, label=f"$s^2 = {square}$")
label(axes[1], "Order by order", "order", "absolute error (nats)")
axes[1].legend()
plt.show()

# %% [markdown]
# Order 1 (grey) is never above zero. Order 2 overshoots on the left of $s^2 = 1$ and undershoots on the right,
# order 3 undershoots on both sides. A $q$ that is
# too wide is the dangerous side for the series. (In the right panel the floor near $10^{-16}$ is rounding.)
# Training with $\mathrm{KL}(q \| p)$ is said to prefer a narrow $q$, that is, $s^2 > 1$. But with several latent
# variables the best product $q$ is, as we see now, too narrow in some directions and too wide in others.
#
# **Correlations, which mean field lacks.** In several dimensions let the posterior have the
# precision matrix $P$ with ones on its diagonal, and $q = N(0, I)$, the best product distribution
# for it. Then $\ln w = \text{const} - \frac12 z^T (P - I) z$. Rotate $z$ to the eigenvectors of
# $P$: $q$ does not notice, and $\ln w$ becomes a sum of independent terms (1.2), one $a_k = 1 -
# \text{eigenvalue}_k$ for each. Cumulants of independent terms add:
#
# $$\kappa_n = \tfrac12 (n - 1)! \sum_k a_k^n \quad (n \ge 2) , \qquad
#   \ln p(x) - \mathrm{ELBO} = -\tfrac12 \sum_k \ln (1 - a_k) = -\tfrac12 \ln \det P , \tag{1.5}$$
#
# where $\sum_k a_k = \mathrm{tr}(I - P) = 0$ was used. Two variables with $P_{12} = \rho$ have $a =
# \pm \rho$: the gap is $-\frac12 \ln (1 - \rho^2)$, order 2 gives $\frac12 \rho^2$, order 4 adds
# $\frac14 \rho^4$, the odd orders vanish, and the series converges for every $|\rho| < 1$. *What
# the mean field leaves out, the cumulants put back, one power at a time.* With more variables this
# is no longer sure (exercise 3).

# %% name="correlated"
rho = 0.6
grid_z = nodes[:, np.newaxis]
log_w = math.log(1 - rho**2) / 2 - rho * grid_z * nodes  # ln p(x) = 0, so ln w = ln p(z|x) / q
pair_kappa = cumulants.weighted_cumulants(
    log_w.ravel(), np.log(np.outer(node_weights, node_weights)).ravel(), 6
)
sums = [float(cumulants.log_expectation(pair_kappa[:k])) for k in range(1, 7)]
elbo_gap = -math.log(1 - rho**2) / 2
check(sums[0], -elbo_gap, 1e-9)  # (1.5)
check(sums[1] - sums[0], rho**2 / 2, 1e-9)
check(sums[3] - sums[2], rho**4 / 4, 1e-9)
check(pair_kappa[2], 0.0, 1e-9)
check(pair_kappa[4], 0.0, 1e-7)
print(f"rho = {rho}: errors of orders 1 to 6", np.round(sums, 4), "nats")

# %% [markdown]
# ## 2. From samples, with error bars
#
# All of (B23) needs samples of $q$ and nothing else. Estimating a cumulant without bias is the work
# of the k-statistics (chapter 2, section 4). Their error bars come from the same samples by the
# *jackknife*: leave out each sample in turn, compute the k-statistic $k_{(i)}$ of the others, and
# take
#
# $$\mathrm{s.e.}^2 = \frac{n - 1}{n} \sum_{i=1}^n \big( k_{(i)} - \overline{k_{(\cdot)}} \big)^2 . \tag{2.1}$$
#
# For the mean, $k_{(i)} = (n \bar x - x_i)/(n - 1)$ and (2.1) is the familiar variance over $n$.
# For the series as a whole it takes into account that errors of different orders are correlated.
#
# We make the machine of chapter 32 again, with its two models $q$: naive mean field, and the fair coins whose
# series diverges. Then we draw states from the mean-field $q$, as if it were too large to sum.

# %%
rbm = random_rbm((num_visible, num_hidden), coupling)
point = mean_field.tap(rbm, order=1)  # naive mean field
means = np.concatenate([point.visible, point.hidden])
log_weights, log_q = mean_field.all_log_weights(rbm, point)  # -V = ln w and ln q, 2^11 states
kappa = cumulants.weighted_cumulants(log_weights, log_q, 4).numpy()  # exact cumulants of ln w
exact = -enumeration.log_z(rbm)  # F_eq
coins = replace(point, visible=np.full(num_visible, 0.5), hidden=np.full(num_hidden, 0.5))
coin_weights, coin_log_q = mean_field.all_log_weights(rbm, coins)
check(np.sum(np.exp(log_q + log_weights)), np.exp(-exact))  # (B20) at lambda = 1
check(np.sum(np.exp(coin_log_q + coin_weights)), np.exp(-exact))

# %%
rng = np.random.default_rng(seed)
drawn = (rng.random((num_samples, len(means))) < means).astype(float)
samples = -mean_field.perturbation(
    rbm, point, drawn[:, :num_visible], drawn[:, num_visible:]
)  # ln w
kappa_samples = cumulants.sample_cumulants(samples, 4).numpy()
errors = cumulants.cumulant_standard_errors(samples, 4).numpy()
left_out = (num_samples * kappa_samples[0] - samples) / (num_samples - 1)
by_hand = np.sqrt((num_samples - 1) * np.var(left_out))  # (2.1) for the mean
check(by_hand, errors[0])
check(by_hand, np.std(samples, ddof=1) / num_samples**0.5)
assert np.all(np.abs(kappa_samples - kappa) < 5 * errors)

# %% name="from-samples"
print("order   kappa of ln w   estimate   s.e.   |  series  s.e.  truncation error (nats)")
for k in range(4):
    series = float(cumulants.log_expectation(kappa_samples[: k + 1]))
    noise = float(cumulants.series_standard_error(samples, k + 1))
    truncation = float(cumulants.log_expectation(kappa[: k + 1])) + exact
    row = kappa[k], kappa_samples[k], errors[k], series, noise, truncation
    print("{:5d} {:15.4f} {:10.4f} {:6.4f} |{:8.4f} {:6.4f} {:+9.4f}".format(k + 1, *row))
assert errors[2] > abs(kappa_samples[2])  # the third cumulant is not resolved
assert abs(noise / abs(truncation) - 1) < 0.5  # of order 4

# %% [markdown]
# Left of the bar: the errors of single cumulants grow quickly with the order, and the third is not
# resolved at all by 1000 samples. Right of it: for the series the noise rises while the truncation
# error falls. At order 4 the two are about equal, 0.07 and 0.06 nats, and
# there is little point in going on without more samples.
#
# **Billions of log-weights.** A cumulant needs no list of samples. From the number, the mean and
# the sums of powers of deviations from the mean, two sets merge exactly (Pebay 2008), so the work
# may be cut into batches and spread over workers. `StreamingCumulants` keeps these few numbers.

# %%
workers = [cumulants.StreamingCumulants.empty(max_order=4) for _ in range(3)]
for index, batch in enumerate(np.split(samples.numpy(), 10)):
    workers[index % 3] = workers[index % 3].update(batch)
merged = workers[0].merge(workers[1]).merge(workers[2])
assert merged.count == num_samples
check(merged.cumulants(), kappa_samples)
print("three workers, ten batches:", merged.cumulants().round(6))

# %% [markdown]
# ## 3. Integrate along the path instead
#
# The expansion uses derivatives of $F$ at one end. If we can sample $p_\lambda$ at points between,
# no expansion of (B20) is needed: by (3.1) of chapter 32,
#
# $$F_{\rm eq} = F_q + \int_0^1 \langle V \rangle_\lambda \, d\lambda . \tag{3.1}$$
#
# This is *thermodynamic integration*. Order 1 is its crudest version: one point, on the left, of a
# falling integrand, hence an upper bound. On a grid with steps $h$ the trapezoidal rule has an
# error of order $h^2$. Its leading part is known, and it is known from *variances* we have anyway.
# On one step put the integrand's Taylor series about the middle, $f = f_0 + f_1 u + \frac12 f_2
# u^2 + \dots$ with $|u| \le h/2$:
#
# $$\int f\, du = h f_0 + \tfrac{h^3}{24} f_2 , \qquad
#   \text{trapezoid} = h f_0 + \tfrac{h^3}{8} f_2 , \tag{3.2}$$
#
# so the trapezoid is $\frac{h^3}{12} f_2$ too large, and $h f_2$ is the change of the slope over
# the step. With $f' = -\langle\!\langle V^2 \rangle\!\rangle_\lambda$, by (3.2) of chapter 32,
#
# $$\int_{\lambda_i}^{\lambda_{i+1}} \langle V \rangle\, d\lambda \approx
#   \frac{h}{2} \big( \langle V \rangle_i + \langle V \rangle_{i+1} \big)
#   {} + \frac{h^2}{12} \big( \langle\!\langle V^2 \rangle\!\rangle_{i+1}
#   {} - \langle\!\langle V^2 \rangle\!\rangle_i \big) .
#   \tag{3.3}$$
#
# On equal steps the corrections between cancel and only the two end points count (Euler and
# Maclaurin). The error is now of order $h^4$. With a single step, $h = 1$, (3.3) is a second way to
# use means and variances: those of both ends.
#
# **Check against the exact result**: the powers of $h$, with the fair coins, whose series diverges.

# %% name="steps"
plain_errors, corrected_errors = [], []
step_counts = np.array([1, 2, 4, 8, 16, 32])
for steps in step_counts:
    grid = cumulants.lambda_path(coin_weights, np.linspace(0, 1, steps + 1), log_q=coin_log_q)
    plain = cumulants.integrate_path(grid.lambdas, grid.mean)
    ends = (grid.variance[-1] - grid.variance[0]) / 12 / steps**2  # (3.3), the rest cancels
    corrected = cumulants.integrate_path(grid.lambdas, grid.mean, variance=grid.variance)
    check(corrected, plain + ends)
    plain_errors.append(float(plain) - exact)
    corrected_errors.append(float(corrected) - exact)
    pair = plain_errors[-1], corrected_errors[-1]
    print("{:3d} steps: plain {:+.6f}, corrected {:+.6f} nats".format(steps, *pair))
assert abs(np.log2(plain_errors[-2] / plain_errors[-1]) - 2) < 0.1
assert abs(np.log2(corrected_errors[-2] / corrected_errors[-1]) - 4) < 0.5

# %% [markdown]
# **By Gibbs sampling.** A machine with 40 visible and 16 hidden units has $2^{56}$ states. Each
# $\lambda$ is an RBM (2.1) of chapter 32; chains start as exact draws of $q$ and are carried from one $\lambda$
# to the next. Beside it, the other use of (3.1) of chapter 32: weights $w^\lambda$ on samples of $q$ alone,
# *self-normalised* (divided by their sum), which the log-weights of a VAE give for nothing. Their effective sample size (chapter 8,
# section 3) falls as $\lambda$ grows.

# %%
large = random_rbm((large_visible, large_hidden), large_scale)
large_point = mean_field.tap(large, order=1)
grid = np.linspace(0, 1, 11)
moving = mean_field.gibbs_path(
    large, large_point, grid, num_chains=num_chains, num_steps=num_sweeps, seed=seed
).numpy()
v_mean, v_variance = moving.mean(1), moving.var(1, ddof=1)
integral = float(cumulants.integrate_path(grid, v_mean, variance=v_variance))


# %%
def large_free_energy(lam):
    machine, scale = mean_field.interpolated_rbm(large, large_point, lam)  # (2.1) of chapter 32
    return -enumeration.log_z(machine) - scale


large_exact = np.array([large_free_energy(lam) for lam in grid])

# %% name="gibbs-path"
fixed = cumulants.lambda_path(-moving[0], grid)  # the samples at lambda = 0 are draws of q
sizes = [float(effective_sample_size(-g * moving[0])) for g in grid]
print(f"F_eq: exact {large_exact[-1]:.3f}, Gibbs path {integral:.3f}", end=", ")
print(f"order 1 {v_mean[0]:.3f}, order 2 {v_mean[0] - v_variance[0] / 2:.3f} nats")
print("effective sample size of the weights at each lambda:", np.round(sizes).astype(int))
print(f"<V> at lambda = 1: Gibbs {v_mean[-1]:.2f}, weighted samples of q {fixed.mean[-1]:.2f} nats")

# %%
slope = [(large_free_energy(lam + 1e-3) - large_free_energy(lam - 1e-3)) / 2e-3 for lam in grid]
slope, errors = np.array(slope), np.sqrt(v_variance / num_chains)
assert np.all(np.abs(v_mean - slope) < 5 * errors)  # the Gibbs points
weighted = np.asarray(fixed.mean)
exact_steps, steps = np.diff(slope), np.diff(weighted)
assert exact_steps[-2:].sum() < steps[-2:].sum() < steps[-4:-2].sum() < 0
assert weighted[-1] > slope[-1] + 0.3 and sizes[-1] < 100
print("from 0.6 to 0.8 to 1, exact:", exact_steps[-4:].reshape(2, 2).sum(1).round(2), end=", ")
print("weighted samples:", steps[-4:].reshape(2, 2).sum(1).round(2), "nats")

# %% name="integrand" alt="Left: the mean of V over lambda; Gibbs points follow the exact curve, weighted samples of q stay 0.6 nats above it at 1. Right, log scale: their effective sample size falls from 1000 to 37."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.8))
axes[0].plot(grid, slope, color=ink, label="exact, differences of $F$")
bars = 2 * errors
axes[0].errorbar(grid, v_mean, bars, fmt="o", ms=4, color=blue, label="Gibbs sampling (2 s.e.)")
axes[0].plot(grid, fixed.mean, "s--", ms=4, color=orange, label="weighted samples of $q$")
label(axes[0], "The integrand", r"$\lambda$", r"$\langle V \rangle_\lambda$ (nats)")
axes[0].legend()
axes[1].semilogy(grid, sizes, "s--", ms=4, color=orange)
label(axes[1], f"Weighted samples: {num_chains} drawn", r"$\lambda$", "effective sample size")
plt.show()

# %%
spread = 0.1 * np.sum(errors)  # s.e. of the integral, at most
missed = float(cumulants.integrate_path(grid, slope)) - large_exact[-1]  # of a plain rule
print(f"error of the integral {integral - large_exact[-1]:+.4f} nats, s.e. below {spread:.4f}")
assert abs(integral - large_exact[-1]) < 5 * spread + abs(missed)
assert abs(integral - large_exact[-1]) < abs(v_mean[0] - v_variance[0] / 2 - large_exact[-1])

# %% [markdown]
# The Gibbs points follow the exact integrand to the end, about within their bars. The curve of the
# weighted samples of $q$ gets steeper as well, but beyond $\lambda = 0.8$ less so than the exact one, and it misses
# about half a nat at $\lambda = 1$. There a thousand samples are worth fewer than a hundred.

# %% [markdown]
# ## 4. Can the series be summed up better?
#
# The example (1.3) suggests it: there, three cumulants are enough to know all the others. Take $x =
# \ln w$ for a *Gamma* variable with an unknown origin, scale $\theta$ and shape $\alpha$. Its
# cumulants beyond the mean are $\kappa_n = (n - 1)!\, \alpha\, \theta^n$, so $\theta = \kappa_3 / 2
# \kappa_2$ and $\alpha = \kappa_2 / \theta^2$, and the series sums to
#
# $$\ln \langle e^x \rangle \approx \kappa_1 + \kappa_2\, \frac{-\theta - \ln (1 - \theta)}{\theta^2} . \tag{4.1}$$
#
# Another proposal is the Pade approximant that agrees with (B23) to order 3,
#
# $$\ln \langle e^x \rangle \approx \kappa_1 + \frac{\kappa_2 / 2}{1 - \kappa_3 / 3 \kappa_2} . \tag{4.2}$$
#
# Neither is a bound. We compare them with order 3 where the answer is known. (The errors are those
# of $\ln \langle e^x \rangle$: for our machine minus those of $F$.)


# %%
def resummed(kappa):
    """Orders 2 and 3, the Pade approximant (4.2) and the Gamma closure (4.1), nats."""
    k1, k2, k3 = np.array(kappa[:3], float)
    theta = k3 / (2 * k2)
    closure = k1 + k2 * (-theta - np.log(1 - theta)) / theta**2 if theta < 1 else np.inf
    return np.array([k1 + k2 / 2, k1 + k2 / 2 + k3 / 6, k1 + k2 / 2 / (1 - k3 / (3 * k2)), closure])


# %%
two_values, two_logs = np.array([0.0, 3.0]), np.log([0.7, 0.3])
cases = {
    "Poisson, rate 1": ([1.0, 1.0, 1.0], math.e - 1),
    "two values": (
        cumulants.weighted_cumulants(two_values, two_logs, 3),
        np.log(0.7 + 0.3 * math.e**3),
    ),
    "RBM, mean field": (kappa, -exact),
    "RBM, fair coins": (cumulants.weighted_cumulants(coin_weights, coin_log_q, 3), -exact),
}
for square in (0.4, 2.0):
    a = 1 - 1 / square
    cases[f"Gaussian, s^2 = {square}"] = [a / 2 - math.log(square) / 2, a**2 / 2, a**3], 0.0
missed = {name: resummed(values) - target for name, (values, target) in cases.items()}

# %% name="resummed-errors"
print(f"{'error in nats':22s} order 2  order 3  Pade  Gamma")
for name, numbers in missed.items():
    print(f"{name:22s}", numbers.round(3))
    better = abs(numbers[3]) < abs(numbers[1])  # the closure, than order 3
    assert better == (name not in ("two values", "Poisson, rate 1"))
check([missed["Gaussian, s^2 = 0.4"][3], missed["Gaussian, s^2 = 2.0"][3]], 0.0)

# %% [markdown]
# The Gamma closure is exact where it was derived, even at $s^2 = 0.4$, where the series diverges.
# Elsewhere it is sometimes better than order 3, sometimes worse, and one cannot tell beforehand. For a single
# average the library therefore has the plain series alone. [Chapter 34](34_log_weights.ipynb)
# uses the closure where noise can be averaged out, with one $\theta$ for many images, and
# together with a better cure, groups of samples.

# %% [markdown]
# ## 5. Summary
#
# - *A posterior in the wrong place* is repaired by order 2 exactly, however large the gap. *Correlations* come
#   back one power of $\rho^2$ at a time (1.5).
# - *A posterior too narrow for $q$* is the dangerous side: with less than half of $q$'s variance the
#   series diverges (1.4), although the answer is finite.
# - From samples, noise rises with the order while truncation falls. The two meet soon: at order 4 here.
# - *Integration along the path* (3.1) needs no expansion, and its end correction (3.3) turns the power 2 of the step into 4.
#   Gibbs sampling follows $p_\lambda$ to the end; weights on samples of $q$ run out on the way.
# - A resummation is exact where its shape is right, and unpredictable elsewhere.

# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **How many steps?** The plain errors in section 3 fall as $h^2$. Predict from the last one how many steps
#    the plain rule needs for an error below 0.001 nats with the fair coins. Then count, with and without (3.3).
# 2. *(medium)* **Half way.** Average the order-2 expansions from both ends, $\langle V \rangle_0 - \frac12
#    \langle\!\langle V^2 \rangle\!\rangle_0$ and $\langle V \rangle_1 + \frac12 \langle\!\langle V^2
#    \rangle\!\rangle_1$, and compare with a
#    single step of (3.3), for the mean-field machine. Which weights of the variances does (3.3) use?
# 3. *(medium)* **Three latent variables.** Let $P_{ij} = \rho > 0$ for all three pairs. Find the eigenvalues, and write a
#    function that returns the errors of orders 1, 2, .. by (1.5). For which $\rho$ does the series
#    diverge, although $q$ is the best product?
# 4. *(hard)* **Good, and convergent nowhere.** Let $V = z^4$ with $q = N(0, 1)$. Compute $F(\lambda)$ at $\lambda =
#    0.016$ and at 0.008 from (B23), order by order up to 15. Which order is best, and how good is it? What happens to both when
#    $\lambda$ is halved?
#
# The solutions are in the cells below, folded: click on one to open it.


# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. The last plain error, at 32 steps, falls as 1 / steps^2: 32 sqrt(0.00045 / 0.001) = 21.5 steps.
def path_error(steps, corrected):
    """Error of the integral along the coins' path, nats."""
    grid = cumulants.lambda_path(coin_weights, np.linspace(0, 1, steps + 1), log_q=coin_log_q)
    variance = grid.variance if corrected else None
    return float(cumulants.integrate_path(grid.lambdas, grid.mean, variance=variance)) - exact


counts = {
    corrected: next(n for n in range(1, 50) if abs(path_error(n, corrected)) < 1e-3)
    for corrected in (False, True)
}
print("1. predicted", round(32 * (plain_errors[-1] / 1e-3) ** 0.5, 1), "steps; needed", counts)
check([counts[False], counts[True]], [22, 2])

# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. The mean of both ends has the weights -1/4 and +1/4 of the variances. Both leave out +F'''/6, about -(<<V^2>>_1 - <<V^2>>_0)/6: (3.3) has 1/4 - 1/6 = 1/12.
ends = cumulants.lambda_path(log_weights, [0.0, 1.0], log_q=log_q)
half_way = np.mean(ends.mean) + (ends.variance[1] - ends.variance[0]) / 4
one_step = cumulants.integrate_path([0.0, 1.0], ends.mean, variance=ends.variance)
check(half_way - exact, 0.49891, 1e-5)
check(one_step - exact, 0.02248, 1e-5)
print(f"2. mean of both ends {half_way - exact:+.5f}, one step {one_step - exact:+.5f} nats off")


# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. 1 - rho twice and 1 + 2 rho, so a = rho, rho and -2 rho: the series diverges for rho > 1/2.
def order_errors(rho, max_order):
    """Errors of orders 1 .. max_order of ln p(x) for three equally correlated latents, (1.5)."""
    a, n = np.array([rho, rho, -2 * rho]), np.arange(1, max_order + 1)
    return np.cumsum(np.sum(a ** n[:, np.newaxis], axis=1) / (2 * n)) + np.log(1 - a).sum() / 2


check(order_errors(0.45, 400)[-1], 0.0, 1e-9)
check(order_errors(0.45, 2), [-0.2769, 0.0268], 1e-4)
assert np.abs(order_errors(0.55, 400)[-1]) > 1e6
print("3. orders 1 to 4 at rho = 0.45:", order_errors(0.45, 4).round(4), "nats off")


# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. <V^n> = <z^(4n)> is finite, <exp(-lambda V)> for lambda < 0 is not. The terms first fall, then grow.
def quartic_errors(lam, max_order=15):
    """Errors of orders 1 .. max_order of F(lam) for V = z^4, (B23)."""
    kappa = cumulants.weighted_cumulants(-lam * nodes**4, np.log(node_weights), max_order)
    orders = [-float(cumulants.log_expectation(kappa[:k])) for k in range(1, max_order + 1)]
    z = np.linspace(-9, 9, 20_001)
    return orders + np.log(np.trapezoid(np.exp(-(z**2) / 2 - lam * z**4) / (2 * np.pi) ** 0.5, z))


errors_of = {lam: np.abs(quartic_errors(lam)) for lam in (0.016, 0.008)}
best = {lam: int(np.argmin(sizes)) + 1 for lam, sizes in errors_of.items()}
print("4. best order", best, "errors", *[f"{errors_of[lam].min():.5f}" for lam in best])
check([best[0.016], best[0.008]], [4, 8])
check(quartic_errors(0.016)[[0, 3, 14]], [0.008456, -0.0024776, 19.923], 1e-3)
