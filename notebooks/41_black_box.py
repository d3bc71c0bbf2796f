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
# # Chapter 41: Black-box variational inference, corrected
#
# Somebody hands you a model with a posterior that has no formula, and a Gaussian that was fitted to it by
# the ELBO. How good is the ELBO? How wrong are the Gaussian's means and widths? Chapters 32 to 35
# corrected the first by cumulants. This chapter shows that the same series corrects the others, for any
# model of TensorFlow Probability: the free energy is a generating function, so whatever corrects it
# corrects every average.
#
# **What you will do**
#
# - add a source to the free energy and differentiate the truncated series;
# - watch the series rebuild the widths and the correlation that mean field loses, with all terms known;
# - correct a logistic regression and compare with quadrature, error bars and verdicts included;
# - find out when importance weights are better, and when neither is to be trusted.
#
# **What you will learn**
#
# - why order $n$ of an expectation is a joint cumulant $\langle\!\langle f (\ln w)^n \rangle\!\rangle$;
# - that importance weights and the series are one idea: gradients of two estimates of $\ln p(x)$;
# - that dimension decides between them.
#
# **What you need**: chapters 32 (the series) and 34 (log-weights, k-hat); some Python, with this project
# installed.
#
# **Time**: about 55 minutes, and 80 for the exercises. The code runs in half a minute.
#
# Numbers such as (B34) are rows of the table `EQUATIONS.md`. $p$ is the posterior, $q$ the surrogate,
# $\ln w = \ln p(x, z) - \ln q(z)$; free energies are in nats.

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

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from rbm_tf import cumulants
from rbm_tf.course import check, label
from vae_keras import black_box, evidence

# %%
tfd = tfp.distributions
seed = 0
rho = 0.7  # correlation of the posterior in sections 2 to 4
num_samples = 20_000  # draws of q
num_rows = 40  # of the logistic regression
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 130}])
ink = plt.rcParams["text.color"]


# %% [markdown]
# ## 1. A source for every average
#
# With draws $z$ of $q$ the evidence is $p(x) = \langle w \rangle_q$, and (B25) expands its logarithm in
# the cumulants of $\ln w$. Now give some function $f(z)$ a source: add $t f(z)$ to the exponent,
#
# $$K(t) = \ln \big\langle e^{\ln w + t f} \big\rangle_q , \qquad K(0) = \ln p(x) . \tag{1.1}$$
#
# The slope at $t = 0$ is the average of $f$ under the posterior, because $w\, q / p(x) = p(z|x)$:
#
# $$K'(0) = \frac{\langle f\, w \rangle_q}{\langle w \rangle_q} = \int\! dz\; p(z|x)\, f(z)
#   = \langle f \rangle_p . \tag{1.2}$$
#
# (1.1) is also the cumulant series of the variable $\ln w + t f$. Its $n$-th cumulant is a polynomial in
# $t$, whose term linear in $t$ has one factor $f$ in any of $n$ places:
#
# $$\langle\!\langle (\ln w + t f)^n \rangle\!\rangle = \langle\!\langle (\ln w)^n \rangle\!\rangle
#   + n\, t\, \langle\!\langle f\, (\ln w)^{n-1} \rangle\!\rangle + O(t^2) . \tag{1.3}$$
#
# Divide by $n!$, add up, and take the slope. With $n/n! = 1/(n-1)!$,
#
# $$\boxed{\; \langle f \rangle_p = \langle f \rangle_q + \langle\!\langle f \ln w \rangle\!\rangle_q
#   + \tfrac12 \langle\!\langle f \ln w \ln w \rangle\!\rangle_q + \dots \;} \tag{B34}$$
#
# Order 0 is the surrogate's own average, order 1 a covariance, known as *linear response*. To cut (B25) at
# order $k + 1$ and to cut (B34) at order $k$ is one and the same approximation.
#
# **From samples.** Let $\hat F(\ln w_1, .., \ln w_n)$ be any estimate of $\ln p(x)$. A source changes
# $\ln w_i$ by $t f_i$, so its slope is a weighted average of the $f_i$,
#
# $$\langle f \rangle_p \approx \sum_i c_i f_i , \qquad c_i = \frac{\partial \hat F}{\partial \ln w_i} . \tag{1.4}$$
#
# The mean of all $\ln w_i$, the ELBO, has $c_i = 1/n$. The logarithm of the mean weight has
# $c_i = w_i / \sum_j w_j$: these are the normalised importance weights. Those of
# the truncated series are polynomials in $\ln w_i$.
#
# **Check against the exact result**: (1.4) for these estimates, and (B34) against the derivative of the
# truncated series with respect to $t$.

# %%
rng = np.random.default_rng(seed)
some_log_w, some_f = 1.5 * rng.normal(size=50), rng.normal(size=50)


def series(log_w):
    """The series of cumulants to order 3, from samples."""
    return evidence.cumulant(log_w, order=3)


# %% name="gradients"
check(cumulants.expectation_weights(some_log_w, evidence.elbo), 1 / 50)
weights = np.exp(some_log_w)
check(cumulants.expectation_weights(some_log_w, evidence.iwae), weights / weights.sum())
c = cumulants.expectation_weights(some_log_w, series).numpy()
check(c.sum(), 1.0)
assert c.min() < 0
joint = cumulants.joint_cumulants(some_f, some_log_w, max_order=3)
slope = cumulants.derivatives(lambda t: series(some_log_w + t * some_f), 1, at=np.float64(0))
check([c @ some_f, cumulants.expectation_series(joint)], slope)
print(f"{np.sum(c < 0)} of the 50 weights of order 2 are negative, the least is {c.min():.3f}")

# %% [markdown]
# A negative weight is the price of a truncation: the series does not know that probabilities are positive.
#
# %% [markdown]
# ## 2. What mean field loses, term by term
#
# Take a posterior of two variables with means 0, widths 1 and correlation $\rho$. The best product of
# Gaussians has the right means and the widths $\sqrt{1 - \rho^2}$ (chapter 23, section 1). *What would you
# guess: at which order does the correlation come back, at which the widths?*
#
# In units of those widths, $u = z / \sqrt{1 - \rho^2}$, the quadratic terms of $\ln p$ and $\ln q$ cancel,
# and what mean field has dropped is a single product:
#
# $$\ln w = \ln p(x) + \tfrac12 \ln (1 - \rho^2) + \rho\, u_1 u_2 , \qquad u_1, u_2 \sim N(0, 1) . \tag{2.1}$$
#
# Given $u_1$, the average of $e^{s u_1 u_2}$ over $u_2$ is $e^{s^2 u_1^2 / 2}$, and over $u_1$ then
#
# $$\ln \big\langle e^{s u_1 u_2} \big\rangle = -\tfrac12 \ln (1 - s^2) = \sum_{k = 1}^{\infty} \frac{s^{2k}}{2k} .
#   \tag{2.2}$$
#
# At $s = \rho$ these are the terms of the series for $\ln p(x)$: odd orders are 0, order 2 gives
# $\rho^2 / 2$, order 4 gives $\rho^4 / 4$. The series converges for every $|\rho| < 1$. For the averages,
# the exact posterior has $\langle u_1^2 \rangle_p = 1 / (1 - \rho^2)$ and $\langle u_1 u_2 \rangle_p = \rho / (1 - \rho^2)$,
# and since order $n$ of (B34) has $n$ factors $\rho$,
#
# $$\langle u_1^2 \rangle_p = 1 + \rho^2 + \rho^4 + \dots , \qquad
#   \langle u_1 u_2 \rangle_p = \rho + \rho^3 + \rho^5 + \dots \tag{2.3}$$
#
# So the correlation comes back at order 1, by linear response, and the widths at order 2. After order
# $2k$ the variance of $z_1$ is $(1 - \rho^2)(1 + .. + \rho^{2k}) = 1 - \rho^{2k + 2}$.
#
# **Check against the exact result**: the joint cumulants by Gauss-Hermite quadrature.

# %%
nodes, node_weights = np.polynomial.hermite_e.hermegauss(60)
u1, u2 = (x.ravel() for x in np.meshgrid(nodes, nodes))
log_q = np.log(np.outer(node_weights, node_weights).ravel() / (2 * np.pi))
kappa = cumulants.weighted_cumulants(rho * u1 * u2, log_q, max_order=6).numpy()
orders = np.arange(1, 7)
terms = kappa / [math.factorial(n) for n in orders]
check(terms, np.where(orders % 2 == 0, rho**orders / orders, 0.0), tolerance=1e-8)  # (2.2)


# %%
def joint_series(f, order):
    """(B34) to an order, from the cumulants of ln w + t f by differentiation in t."""

    def truncated(t):
        return cumulants.log_expectation(
            cumulants.weighted_cumulants(rho * u1 * u2 + t * f, log_q, order + 1)
        )

    return float(cumulants.derivatives(truncated, 1, at=np.float64(0))[0])


# %% name="orders"
print("order   variance of z_1   covariance")
for order in range(6):
    variance, covariance = ((1 - rho**2) * joint_series(f, order) for f in (u1**2, u1 * u2))
    print(f"{order:5d} {variance:17.6f} {covariance:12.6f}")
    check(variance, 1 - rho ** (2 * (order // 2) + 2), tolerance=1e-8)  # (2.3)
    check(covariance, rho * (1 - rho ** (2 * ((order + 1) // 2))), tolerance=1e-8)
print(f"exact {1:17.6f} {rho:12.6f}")

# %%
angle = np.linspace(0, 2 * np.pi, 200)
circle = np.stack([np.cos(angle), np.sin(angle)])


def ellipse(variance, covariance):
    """The points one standard deviation from the middle, (2, 200)."""
    return np.linalg.cholesky([[variance, covariance], [covariance, variance]]) @ circle


# %% name="rebuilt" alt="Left: ellipses of the exact posterior, tilted and long; of mean field, a small circle; of orders 1, 2 and 4, growing towards it. Right: the missing variance against the order falls as a power of rho."
figure, axes = plt.subplots(1, 2, figsize=(10, 4))
for order, colour in ((0, grey), (1, blue), (2, green), (4, orange)):
    moments = [(1 - rho**2) * joint_series(f, order) for f in (u1**2, u1 * u2)]
    name = "mean field" if order == 0 else f"order {order}"
    axes[0].plot(*ellipse(*moments), color=colour, label=name)
axes[0].plot(*ellipse(1, rho), "--", color=ink, lw=2, label="exact")
axes[0].set_aspect("equal")
label(axes[0], "One standard deviation", "$z_1$", "$z_2$")
for value, colour in ((0.3, blue), (0.7, green), (0.95, orange)):
    missing = [value ** (2 * (order // 2) + 2) for order in range(11)]
    axes[1].semilogy(range(11), missing, "o-", color=colour, label=rf"$\rho$ = {value}")
label(axes[1], "What is still missing", "order of the series", "1 - variance of $z_1$")
axes[0].legend(loc="center left", bbox_to_anchor=(1, 0.5))
axes[1].legend()
plt.show()

# %% [markdown]
# Left: order 1 makes a tilted ellipse of the circle, order 2 widens it. Right: for a strong correlation the series converges,
# but slowly.
#
# %% [markdown]
# ## 3. From draws, with errors and a verdict
#
# `black_box` takes what a user of TensorFlow Probability has: a function `target_log_prob_fn`, which is
# $\ln p(x, z)$, and a `surrogate_posterior`. The joint cumulants are estimated without bias, in blocks of
# draws; the errors are the jackknife's over 50 blocks. The target here is the Gaussian of section 2
# times an evidence of $e^{-3}$.

# %% name="report"
root = np.linalg.cholesky([[1, rho], [rho, 1]])
posterior = tfd.MultivariateNormalTriL(np.zeros(2), root)
mean_field = tfd.MultivariateNormalDiag(np.zeros(2), np.full(2, math.sqrt(1 - rho**2)))


def target(z):
    return posterior.log_prob(z) - 3.0


report = black_box.evidence(target, mean_field, num_samples, order=4, seed=seed)
print(report)
assert abs(report.elbo.log_z + 3 - 0.5 * math.log(1 - rho**2)) < 5 * report.elbo.standard_error
truncated = -3 + 0.5 * math.log(1 - rho**2) + rho**2 / 2 + rho**4 / 4  # (2.2) to order 4
assert abs(report.cumulant.log_z - truncated) < 5 * report.cumulant.standard_error

# %% name="variances"
for order in range(5):
    found = black_box.corrected_variance(
        lambda z: z[:, 0], target, mean_field, num_samples, order=order, seed=seed
    )
    expected = 1 - rho ** (2 * (order // 2) + 2)
    print(f"order {order}: {found.value:.3f} +- {found.standard_error:.3f}", end="   ")
    print(f"(the series has {expected:.3f})  {found.verdict.message.split(':')[0]}")
    assert abs(found.value - expected) < 5 * found.standard_error

# %% [markdown]
# The error bar grows with the order: a higher joint cumulant is harder to estimate. The verdict looks at two
# things, at the next term, and at k-hat, the tail of the weights. The latter is heavy here, for a reason
# that section 5 gives ($\rho$ is above $\frac12$); the series, whose terms we know, does not mind.
#
# %% [markdown]
# ## 4. A model of a reader's own
#
# Logistic regression with two coefficients, 40 rows, and a wide prior. Two correlated columns make the
# posterior long and narrow, and few rows make it skew. With two coefficients a grid gives the exact
# answer. The surrogate is a product of two Gaussians, fitted by the ELBO with `black_box`'s loss of order 1.

# %%
rng = np.random.default_rng(3)
columns = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], num_rows)
labels = (rng.random(num_rows) < 1 / (1 + np.exp(-columns @ [1.5, -0.5]))).astype(float)

model = tfd.JointDistributionNamedAutoBatched(
    {
        "w": tfd.MultivariateNormalDiag(np.zeros(2), np.full(2, 3.0)),
        "y": lambda w: tfd.Independent(
            tfd.Bernoulli(logits=tf.linalg.matvec(columns, w), dtype=tf.float64), 1
        ),
    }
)
log_joint = model.experimental_pin(y=labels).unnormalized_log_prob  # a function of w

# %% name="grid"
side = np.linspace(-4, 8, 401)
grid = np.stack(np.meshgrid(side, side, indexing="ij"), -1).reshape(-1, 2)
logits = grid @ columns.T  # (num_points, num_rows)
log_density = (labels * logits - np.logaddexp(0, logits)).sum(1)
log_density += -(grid**2).sum(1) / 18 - math.log(2 * math.pi * 9)
check(log_joint(w=grid[::5000]), log_density[::5000])  # the model says the same
exact_log_p = np.logaddexp.reduce(log_density) + 2 * math.log(side[1] - side[0])
p = np.exp(log_density - np.logaddexp.reduce(log_density))
exact_mean = p @ grid
exact_sd = np.sqrt(p @ (grid - exact_mean) ** 2)
print(f"exact: ln p = {exact_log_p:.4f} nats, means {exact_mean.round(3)}, sds {exact_sd.round(3)}")

# %%
loc, log_scale = tf.Variable(np.zeros(2)), tf.Variable(np.zeros(2))
surrogate = tfd.JointDistributionNamed(
    {"w": tfd.MultivariateNormalDiag(loc, tfp.util.DeferredTensor(log_scale, tf.exp))}
)
optimizer = keras.optimizers.Adam(0.05)


@tf.function
def step(seed):
    with tf.GradientTape() as tape:
        loss = black_box.monte_carlo_cumulant_loss(log_joint, surrogate, 100, order=1, seed=seed)
    optimizer.apply(tape.gradient(loss, [loc, log_scale]), [loc, log_scale])
    return loss


# %%
for number in range(600):
    step(tf.constant([number, seed]))
print(f"means {loc.numpy().round(3)}, sds {np.exp(log_scale).round(3)}")

# %% name="regression"
report = black_box.evidence(log_joint, surrogate, num_samples, seed=seed)
print(report)
print(f"{'exact':17s} {exact_log_p:9.3f}")
assert report.elbo.log_z < exact_log_p - 0.1
assert abs(report.cumulant.log_z - exact_log_p) < abs(report.elbo.log_z - exact_log_p) / 2
assert not report.verdict.trusted

# %% [markdown]
# Order 2 closes most of the gap of the ELBO, and the verdict still says no: the log-weights are skew, and the
# next term is half as large as the second. What of the means and widths? We compare the weights (1.4) of
# five estimates on the same 20,000 draws, twenty times over.

# %%
estimates = {
    "q itself": evidence.elbo,
    "series, order 1": lambda log_w: evidence.cumulant(log_w, order=2),
    "series, order 2": lambda log_w: evidence.cumulant(log_w, order=3),
    "groups of 10": lambda log_w: evidence.grouped_cumulant(log_w, 10, order=3),
    "importance weights": evidence.iwae,
}
moments = {name: [] for name in estimates}
for repeat in range(20):
    z = surrogate.sample(num_samples, seed=(seed, repeat))["w"]
    log_w = log_joint(w=z) - surrogate.log_prob(w=z)
    for name, estimate in estimates.items():
        c = cumulants.expectation_weights(log_w, estimate).numpy()
        mean = c @ z.numpy()
        moments[name].append([*mean, *np.sqrt(c @ z.numpy() ** 2 - mean**2)])

# %% name="moments"
exact_moments = np.array([*exact_mean, *exact_sd])
print(f"{'':20s} mean_1  mean_2    sd_1    sd_2     error, in sds of the posterior")
print(f"{'exact':18s} " + " ".join(f"{x:7.3f}" for x in exact_moments))
errors = {}
for name, values in moments.items():
    deviation = (np.array(values) - exact_moments) / np.tile(exact_sd, 2)  # (repeats, 4)
    errors[name] = np.sqrt(np.mean(deviation**2))
    print(f"{name:18s} " + " ".join(f"{x:7.3f}" for x in np.mean(values, 0)), end="")
    print(f"   {errors[name]:10.3f}")
assert errors["groups of 10"] < errors["series, order 2"] < errors["q itself"]
assert errors["importance weights"] < errors["series, order 2"]
shift = {name: abs(np.mean(moments[name], 0)[0] - exact_mean[0]) for name in moments}  # of mean_1
assert shift["q itself"] < 0.01 and shift["series, order 2"] > 0.05

# %% [markdown]
# The series turns the widths in the right direction and pushes the first mean away from a value that was
# right: order 2 is the first that sees the skewness of $\ln w$, and it overshoots. Groups of ten (chapter 34, section 5)
# start the series nearer to the answer. Importance weights are about as good with these draws, but a k-hat of 0.61 warns: with
# other draws a single large weight doubled their error.
#
# %% [markdown]
# ## 5. Dimension decides
#
# Put $N$ copies of the pair of section 2 side by side, with $\rho = 0.4$. Then $\ln w$ is a constant plus
# a sum of $N$ independent terms $\rho\, u_1 u_2$, of variance $N \rho^2$. We want one width, that of the first
# variable. *What would you guess: which of the two stands more copies?*
#
# Of $n$ importance weights an effective number of $n \langle w \rangle^2 / \langle w^2 \rangle$ counts. For
# independent factors that is a power, and by (2.2) at $s = \rho$ and $s = 2\rho$
#
# $$n_{\rm eff} \approx n \left( \frac{\sqrt{1 - 4\rho^2}}{1 - \rho^2} \right)^{N} \qquad (\rho < \tfrac12) , \tag{5.1}$$
#
# so they die exponentially. From $\rho = \frac12$ on the weights have no finite variance, which is what k-hat
# said in section 3. The joint cumulant $\langle\!\langle f \ln w \ln w \rangle\!\rangle$ has no share from
# other copies, by independence: its *value* does not change with $N$. Its *noise* does. The power $(\ln w)^m$
# of all copies has the size $(N \rho^2)^{m/2}$ and averages out as $1 / \sqrt n$, so that the error of order
# $m$ grows like $N^{m/2} / \sqrt n$: a power, too, but not an exponential.

# %%
copies, weak = np.array([1, 2, 4, 8, 16, 32, 64, 128]), 0.4
draws, repeats = 10_000, 10
orders_of = {"q itself": 0, "series, order 1": 1, "series, order 2": 2}
widths = {name: [] for name in (*orders_of, "importance weights")}
for number in copies:
    rng, found = np.random.default_rng(number), {name: [] for name in widths}
    for _ in range(repeats):
        u = rng.normal(size=(draws, 2, number))
        log_w, f = weak * np.prod(u, axis=1).sum(-1), (1 - weak**2) * u[:, 0, 0] ** 2
        for name, order in orders_of.items():
            found[name].append(black_box.series_weights(log_w, order=order) @ f)
        found["importance weights"].append(tf.nn.softmax(log_w).numpy() @ f)
    for name, values in found.items():
        widths[name].append(np.sqrt(np.mean((np.array(values) - 1) ** 2)))

# %% name="copies" alt="The error of one variance against the number of copies, both logarithmic: nearly flat for q, rising slowly for the series, level with it at first for importance weights, then rising steeply, up to 64 copies."
figure, axis = plt.subplots(figsize=(7.5, 4))
for name, colour in zip(widths, (grey, blue, green, orange), strict=True):
    axis.loglog(copies, widths[name], "o-", color=colour, label=name)
axis.axhline(weak**4, color=ink, lw=1, ls=":", label=r"$\rho^4$, the truncation of order 2")
label(axis, f"One of 2N variances, from {draws:,} draws", "copies N", "root mean square error")
axis.legend(fontsize=10)
plt.show()
for name, values in widths.items():
    print(f"{name:18s} " + " ".join(f"{value:6.3f}" for value in values))
assert 0.5 < widths["importance weights"][0] / widths["series, order 2"][0] < 2
assert widths["importance weights"][6] > 2 * widths["series, order 2"][6]
assert widths["series, order 2"][7] > 0.7 * widths["q itself"][7]  # 128 copies

# %% [markdown]
# With 10,000 draws the weights (rms error 0.042 for one copy by their exact variance; ten repeats scatter) are level with the
# series for one copy, and it is ahead for many, until its noise takes over: at 128 copies it gains little on the surrogate. Neither is a remedy for a poor surrogate of some hundred variables.
#
# And real posteriors? For eight of them, from regressions to a Gaussian process, `benchmarks/README.md` has the
# errors of all methods. Importance weights were best or level for the evidence in 16 of 19 cases. What breaks the
# series there is a long *left* tail of $\ln w$, as a scale parameter makes it: a few draws that the posterior all
# but forbids have enormous cumulants. Weights forget such draws, and k-hat, which looks at the right tail, does not see them;
# the next term does.
#
# %% [markdown]
# ## 6. When it fails: a surrogate that is too wide
#
# Let $q = N(0, 1)$ and the posterior $N(0, s^2)$. Then $\ln w$ is a constant plus $\frac a2 u^2$ with
# $a = 1 - 1/s^2$, and
#
# $$\langle u^2 \rangle_p = s^2 = \frac{1}{1 - a} = 1 + a + a^2 + \dots , \tag{6.1}$$
#
# whose term $a^n$ is order $n$. It converges for $|a| < 1$ only, for $s^2 > \frac12$. A surrogate more than
# $\sqrt 2$ times as wide as the posterior makes the series diverge, though importance weights are at their
# best there, since $w$ is bounded. A narrow one is the other way round: the series converges, and the
# weights have no finite variance from $s^2 = 2$ on.

# %% name="too-wide"
u = np.random.default_rng(seed).normal(size=100_000)
for square in (0.25, 0.75, 1.5, 3.0):
    a = 1 - 1 / square
    partial_sums = np.cumsum(a ** np.arange(6))
    weighed = tf.nn.softmax(a / 2 * u**2).numpy() @ u**2
    print(f"s^2 = {square:4.2f}: orders 0 to 5 {partial_sums.round(2)}, weights {weighed:.3f}")
    order_1 = black_box.expectation_of_weights(u**2, a / 2 * u**2, order=1)
    assert abs(order_1.value - partial_sums[1]) < 5 * order_1.standard_error

# %% [markdown]
# Mean field by the ELBO is too narrow for each variable by itself, as a rule (chapter 23, section 1). But where the
# variables are correlated it is too wide along some axes. For a Gaussian of two variables it is never so wide that
# the series diverges, for three it may be ([chapter 33, exercise 3](33_along_the_path.ipynb)).
#
# %% [markdown]
# ## 7. In the physicist's words
#
# With $\ln w = -\beta (H - H_q)$ and $\ln p(x) = -\beta F$ the same sums give an equilibrium free energy from draws
# of a trial system, $F = F_q + \langle V \rangle_q - \frac \beta 2 \langle\!\langle V^2 \rangle\!\rangle_q + \dots$ (B23). An
# oscillator with a weak quartic term, against its integral (the series converges for no strength, and begins well:
# [chapter 33, exercise 4](33_along_the_path.ipynb)):

# %% name="oscillator"
strength = 0.02
positions = np.linspace(-12, 12, 20_001)
boltzmann = np.exp(-(positions**2) / 2 - strength * positions**4)
exact_free_energy = -math.log(boltzmann.sum() * (positions[1] - positions[0]))
trial = tfd.Normal(np.float64(0), np.float64(1))
settings = {"trial_energy": lambda x: x**2 / 2, "seed": seed}
for order in (1, 2, 3):
    found = black_box.free_energy(
        lambda x: x**2 / 2 + strength * x**4, trial, num_samples, order=order, **settings
    )
    print(f"order {order}: F = {found.value:.4f} +- {found.standard_error:.4f}", end=", ")
    print(f"error {found.value - exact_free_energy:+.4f}")
    assert order > 1 or found.value > exact_free_energy  # Gibbs, Bogoliubov, Feynman

# %% [markdown]
# ## 8. Summary
#
# - A source $t f$ in the exponent makes every average a derivative of the free energy. Cutting the series
#   of the one cuts that of the other (B34): order 0 is the surrogate, order 1 linear response.
# - Any estimate of $\ln p(x)$ brings its own weights for averages, its gradient in $\ln w$. Importance
#   weights belong to the logarithm of the mean weight, and groups lie between.
# - Mean field's lost correlation comes back at order 1 and its widths at order 2; after order $2k$ the
#   variance misses $\rho^{2k + 2}$.
# - Few dimensions and many draws are a case for weights, more dimensions for the series. A surrogate that is too wide breaks it.
# - Read the verdict before the number.
#
# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **Linear response by hand.** Derive the weights $c_i$ of order 1 from (1.4) and the unbiased
#    variance. Write them as a function `order_one(log_w)`, and show that they add up to 1.
# 2. *(medium)* **A count.** A rate has the prior $\Gamma(2, 1)$ (shape and rate), and 7 events were counted in
#    one unit of time: the posterior is $\Gamma(9, 2)$, and the evidence is known. As surrogate take the
#    log-normal whose logarithm has the mean $\ln 4.5$ and the width $1/3$. From 200,000 draws find
#    `evidence_gap`, what the ELBO misses in nats, and `mean_shift`, what order 1 adds to the mean.
# 3. *(hard)* **A surrogate in the wrong place.** For $q = N(0, 1)$ and $p = N(m, 1)$ order 1 gives the mean $m$
#    exactly, and every further term is zero. Show it. Then take $p = N(m, s^2)$, find the series of the mean,
#    and write its truncation as `mean_series(m, square, order)`. When does it converge?
#
# The solutions are in the cells below, folded: click on one to open it.


# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. F = mean + variance / 2 with the variance sum (x_i - mean)^2 / (n - 1). The derivative in x_i of
# the mean is 1/n, that of half the variance (x_i - mean) / (n - 1); the latter add up to 0.
def order_one(log_w):
    n = len(log_w)
    return 1 / n + (log_w - np.mean(log_w)) / (n - 1)


print(f"1. The weights add up to {order_one(some_log_w).sum():.6f}")
check(order_one(some_log_w), black_box.series_weights(some_log_w, order=1))

# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. p(7) is the integral of prior times Poisson probability, Gamma(9) / (Gamma(2) 7! 2^9).
rates = tfd.LogNormal(np.log(4.5), np.float64(1 / 3))


def log_count(rate):
    prior = tfd.Gamma(np.float64(2), np.float64(1)).log_prob(rate)
    return prior + tfd.Poisson(rate).log_prob(np.float64(7))


elbo = black_box.evidence(log_count, rates, 200_000, seed=seed).elbo.log_z
evidence_gap = math.lgamma(9) - math.lgamma(8) - 9 * math.log(2) - elbo
settings = {"order": 1, "seed": seed}
found = black_box.corrected_expectation(lambda r: r, log_count, rates, 200_000, **settings)
mean_shift = found.terms[1]
print(f"2. gap {evidence_gap:.4f} nats; mean {found.terms[0]:.3f} -> {found.value:.3f}", end=", ")

# %% jupyter={"source_hidden": true} tags=["solution"]
# In closed form: ln w = 9 ln r - 2 r + z^2 / 2 + const with r = 4.5 e^(z / 3). Of <<r ln w>> the three
# terms give 9 m / 9, -2 m^2 (e^(1/9) - 1) and m / 18, with the mean m = 4.5 e^(1/18) of r.
m = 4.5 * math.exp(1 / 18)
print(
    f"which closed form puts at {m:.3f} {19 / 18 * m - 2 * m**2 * math.expm1(1 / 9):+.4f}, exact 4.5"
)
check(evidence_gap, 0.0234, tolerance=0.002)
check(mean_shift, -0.2975, tolerance=0.02)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. ln w is a constant plus m u for equal widths: a Gaussian variable, whose joint cumulants with u end
# at order 1, <<u (m u)>> = m. In general ln w = const + a u^2 / 2 + (m / s^2) u with a = 1 - 1 / s^2, and
# the mean is m = (m / s^2) / (1 - a) = (m / s^2)(1 + a + a^2 + ..): order n adds (m / s^2) a^(n - 1).
def mean_series(m, square, order):
    a = 1 - 1 / square
    return m / square * sum(a**n for n in range(order))


check([mean_series(0.7, 1.0, order) for order in (1, 2, 5)], 0.7)
check(mean_series(0.7, 1.25, 2), 0.672)
assert abs(mean_series(0.7, 0.75, 30) - 0.7) < 1e-9

# %% jupyter={"source_hidden": true} tags=["solution"]
# From draws; the series converges for |a| < 1, which is s^2 > 1/2 as in section 6.
draws_of_q = np.random.default_rng(seed).normal(size=200_000)
tilt = 0.2 * draws_of_q**2 / 2 + 0.7 / 1.25 * draws_of_q  # s^2 = 1.25, m = 0.7
by_order = [black_box.expectation_of_weights(draws_of_q, tilt, order=n) for n in (1, 2, 3)]
for order, one in enumerate(by_order, start=1):
    print(f"3. order {order}: {one.value:.4f} +- {one.standard_error:.4f}", end=", ")
    print(f"series {mean_series(0.7, 1.25, order):.4f}")
    assert abs(one.value - mean_series(0.7, 1.25, order)) < 5 * one.standard_error
