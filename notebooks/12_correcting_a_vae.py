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
# # Chapter 12: Correcting a VAE
#
# The evidence lower bound of a variational autoencoder (VAE) is the first term of a series whose
# sum is $\ln p(x)$. The next terms are cumulants of numbers that the VAE computes anyway. The blog
# post that this course follows, Charles Martin's *Free Energies and Variational Inference*,
# presents the variational bound as the first order of perturbation theory and doubts that the
# series converges; in the comments below it cumulants are called a natural correction of VAEs,
# perhaps too simple a one, and black-box variational inference is said to need more than the bound.
# This chapter tries: as an estimate of $\ln p(x)$, and as a training objective. The first works,
# once the series is started from a better point. The second needs care.
#
# **What you will do**
#
# - derive the series (B25), and find the case in which its second order is exact;
# - watch it converge, overshoot and diverge, each time next to the exact answer;
# - start it from groups of weights, and compute exactly what the group size trades;
# - compare all estimates at an equal budget on two VAEs of digits;
# - train VAEs on the corrected objective, and see what goes wrong.
#
# **What you will learn**
#
# - why $\tfrac12 \mathrm{Var}_q[\ln w]$ is the leading gap of the ELBO, and why adding it gives no
#   bound;
# - that $\ln p(x) = \ln \langle e^{L_K} \rangle$ for groups of any size $K$, which joins the cumulant
#   series to the importance-weighted bound;
# - four numbers that tell whether to trust a correction (section 6 lists them).
#
# **What you need**: chapters 1 (cumulants), 7 (VAEs) and 11 (the path of $\lambda$), with this project
# installed. One check uses annealed importance sampling (chapter 4).
#
# **Time**: about 80 minutes, and as much again for the exercises. The code takes about a minute,
# and another one or two where it trains its three shipped models anew.
#
# Equation numbers such as (B25) are the row names used in the whole course and in `EQUATIONS.md`.
# Numbers such as (2.1) are steps on the way. All energies are in nats.

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

# %%
import os
from functools import partial

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from scipy import stats

from rbm_tf import cumulants, datasets, diagnostics
from rbm_tf.course import shipped, trained
from rbm_tf.estimates import LogZEstimate
from vae_keras import VAE, evidence, networks
from vae_keras.objectives import ELBO, IWAE, CumulantObjective, PerturbativeBound

# %%
seed = 0
num_many = 400_000  # samples of the gallery
gallery = {"0.8": 0.8, "0.4": 0.4, "1.5": 1.5, "10": 10.0}  # variances of the posterior
values, share = np.array([0.0, 3.0]), 0.3  # ln w of the two-point variable, and P(ln w = 3)
num_test, num_reference, budgets = 150, 5000, (10, 20, 50, 100)
num_epochs, batch_size, num_draws = 60, 50, 5
num_simulated, annealing_betas = 50, np.linspace(0, 1, 301)
retrain = bool(os.environ.get("RETRAIN"))  # True: train all models here, a minute or two
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 80}])


# %%
def check(left, right, tolerance=1e-10):
    """Raise unless both are equal to the tolerance, relative above 1, absolute below."""
    np.testing.assert_allclose(*np.broadcast_arrays(left, right), rtol=tolerance, atol=tolerance)


def label(axis, title, xlabel, ylabel):
    axis.set(title=title, xlabel=xlabel, ylabel=ylabel)


# %% [markdown]
# ## 1. The bound is the first term of a series
#
# Let $z$ be drawn from the encoder's $q(z|x)$. The *log-weight* of the draw is
#
# $$\ln w(z) = \ln p(x|z) + \ln p(z) - \ln q(z|x) . \tag{B18}$$
#
# The average weight is the evidence: the $q$ that draws cancels the $q$ in the denominator,
#
# $$\langle w \rangle_q = \int q(z|x)\, \frac{p(x, z)}{q(z|x)}\, dz = p(x) ,
#   \qquad \text{so} \quad \ln p(x) = \ln \langle e^{\ln w} \rangle_q . \tag{1.1}$$
#
# On the right is the cumulant generating function of the random variable $\ln w$ at $t = 1$.
# Chapter 1 expands it: $\ln \langle e^{t y} \rangle = \sum_n \frac{t^n}{n!} \langle\!\langle y^n
# \rangle\!\rangle$ (B21). With $y = \ln w$ and $t = 1$,
#
# $$\boxed{\; \ln p(x) = \underbrace{\langle \ln w \rangle_q}_{\text{ELBO}}
#   {} + \tfrac12 \underbrace{\langle\!\langle (\ln w)^2 \rangle\!\rangle_q}_{\mathrm{Var}_q[\ln w]}
#   {} + \tfrac16 \langle\!\langle (\ln w)^3 \rangle\!\rangle_q + \dots \;} \tag{B25}$$
#
# In the physicist's words: $q$ is the solvable trial system, $V = -\ln w$ the perturbation, $-\ln
# p(x)$ the free energy, and (B25) is perturbation theory in $V$ at full strength. The first order is
# the variational free energy.
#
# **Order 1 is the only bound.** It is one because $e^y$ is convex (Jensen). Order 2 adds a variance,
# which is never negative, and may overshoot. If $q$ were the posterior, $\ln w$ would be the
# constant $\ln p(x)$: all cumulants but the first vanish. *The spread of $\ln w$ measures how far $q$
# is from the posterior*, and it can be measured without knowing the posterior.
#
# **Check against the exact result.** A variable with two values has all cumulants in closed form.
# Order 1 is below; order 3, although odd, is above.

# %% name="two-values"
log_shares = np.log([1 - share, share])
kappa = cumulants.weighted_cumulants(values, log_shares, max_order=6).numpy()
orders = np.cumsum(kappa / [1, 2, 6, 24, 120, 720])  # by hand (B25)
exact = float(cumulants.generating_function(1.0, values, log_weights=log_shares))
check(orders, [cumulants.log_expectation(kappa[:n]) for n in range(1, 7)])
check(exact, np.log(0.7 + 0.3 * np.exp(3)))
assert orders[0] < exact < orders[2]  # odd, yet above
print(f"exact {exact:.4f} nats; orders 1 to 6:", orders.round(4))

# %% [markdown]
# ## 2. Exact at second order: Gaussian log-weights
#
# If $y = \ln w$ is Gaussian with mean $\mu$ and variance $s^2$, complete the square in the exponent:
#
# $$y - \frac{(y - \mu)^2}{2 s^2} = -\frac{(y - \mu - s^2)^2}{2 s^2} + \mu + \frac{s^2}{2} .$$
#
# The first term on the right is a Gaussian again, moved by $s^2$, and integrates to 1. So
#
# $$\ln \langle e^y \rangle = \mu + \tfrac12 s^2 , \tag{2.1}$$
#
# and every cumulant beyond the second is zero. This happens when the posterior and $q$ are
# Gaussians with the *same covariance*: $q = N(0, 1)$ and posterior $N(m, 1)$ give $\ln w = \ln p(x) +
# m z - m^2/2$, linear in $z$. The ELBO then misses $m^2 / 2$, and half the variance of $\ln w$ is
# just that. It also happens approximately when $\ln w$ is a sum of many independent small terms.
#
# **Check against the exact result**, with samples. The unbiased variance has the divisor $n - 1$, so
# order 2 is unbiased *for any number of samples*, even five, while the importance-weighted bound
# (IWAE) $\ln \frac1n \sum w$ is not.

# %% name="five-samples"
m, num = 1.2, 20_000
z = np.random.default_rng(seed).normal(size=(5, num))
log_weights = m * z - m**2 / 2  # exact ln p = 0
by_hand = log_weights.mean(0) + log_weights.var(0, ddof=1) / 2  # (B25), order 2
check(by_hand, evidence.cumulant(tf.constant(log_weights)))
for name, estimate in (
    ("ELBO", evidence.elbo(log_weights).numpy()),
    ("IWAE", evidence.iwae(log_weights).numpy()),
    ("order 2", by_hand),
):
    error = estimate.std() / np.sqrt(num)
    print(f"{name:8s} of 5 samples: bias {estimate.mean():+.4f} ± {error:.4f} nats")
assert abs(by_hand.mean()) < 5 * error

# %% [markdown]
# ## 3. A gallery of log-weights
#
# Now let the *widths* differ in (B25): $q = N(0, 1)$, posterior $N(0, s^2)$, $\ln p(x) = 0$. Then
#
# $$\ln w = \ln \frac{N(z; 0, s^2)}{N(z; 0, 1)} = -\tfrac12 \ln s^2 + \frac{a}{2} z^2 , \qquad
#   a = 1 - \frac{1}{s^2} . \tag{3.1}$$
#
# The generating function of $\frac a2 z^2$ is a Gaussian integral, $\langle e^{t a z^2 / 2} \rangle =
# (1 - a t)^{-1/2}$. Its logarithm $-\frac12 \ln (1 - a t) = \frac12 \sum_n \frac{(a t)^n}{n}$ shows
# the cumulants, $\kappa_n = \frac{(n - 1)!}{2} a^n$, apart from the constant in $\kappa_1$. At $t = 1$:
#
# $$\ln \langle w \rangle = -\tfrac12 \ln s^2 + \tfrac12 \Big( a + \frac{a^2}{2} + \frac{a^3}{3} + \dots \Big)
#   = -\tfrac12 \ln s^2 - \tfrac12 \ln (1 - a) = 0 . \tag{3.2}$$
#
# It is the series of a logarithm, and *converges only for $|a| \le 1$, $a \ne 1$*. On either side of $s = 1$:
#
# - $s^2 < 1$, $q$ too broad: $a < 0$, a left tail. The orders alternate; for $s^2 < \frac12$ they
#   diverge, although $\ln w$ is bounded from above and nothing is wrong with the weights.
# - $s^2 > 1$, $q$ too narrow: $0 < a < 1$, a right tail. The orders rise to the limit. But the
#   weights have a power-law tail: $P(w > t) \approx t^{-1/a}$, a Pareto tail of shape $k = a$.
#   Beyond $k = 0.7$ no practical number of samples finds the weights that matter.
#
# So there are two ways to fail. A *diverging series* has a cure (sections 4 and 5); a *heavy right
# tail* has none but a better $q$: the samples do not contain the answer.

# %% name="gallery-numbers"
rng, series, samples = np.random.default_rng(seed), {}, {}
for name, variance in gallery.items():
    a = 1 - 1 / variance
    n = np.arange(1, 9)
    series[name] = np.cumsum(a**n / (2 * n)) - np.log(variance) / 2  # (3.2)
    samples[name] = a / 2 * rng.normal(size=num_many) ** 2 - np.log(variance) / 2  # (3.1)
    measured = cumulants.sample_cumulants(samples[name], 3).numpy()
    error = samples[name].std() / np.sqrt(num_many)
    assert abs(measured[0] - series[name][0]) < 5 * error
    k = float(diagnostics.pareto_k(samples[name][:20_000]))
    print(f"s² = {name:3s}: a = {a:+.3f}, k-hat {k:+.2f}, orders 1-4", series[name][:4].round(3))

# %% name="gallery" alt="Four columns, posterior variance 0.8, 0.4, 1.5, 10. Top: histograms of ln w, two left and two right tails. Bottom: orders 1 to 8; the sums settle, oscillate ever wider, settle, rise slowly."
figure, axes = plt.subplots(2, 4, figsize=(11, 5))
for (top, bottom), name in zip(axes.T, gallery, strict=True):
    low, high = np.quantile(samples[name], [0.001, 0.999])
    top.hist(samples[name], 80, range=(low, high), density=True, color=blue, log=True)
    label(top, f"posterior variance {name}", "ln w (nats)", "density")
    bottom.axhline(0, color=grey, lw=1, label="exact")
    bottom.plot(range(1, 9), series[name], "o-", color=orange, label="series")
    label(bottom, "", "order", "ln p (nats)")
axes[1, 0].legend()
plt.show()

# %% [markdown]
# The deliberate failure is the second column, $s^2 = 0.4$: its weights are harmless, its series is
# worthless at every order. From order 2 on, each order is worse than the one before it. So there is no good
# order that one could choose.

# %% name="divergence"
distance = np.abs(series["0.4"])
assert np.all(np.diff(distance[1:]) > 0)  # diverges
assert np.all(np.diff(np.abs(series["0.8"])) < 0)  # converges
print("|error| of orders 1 to 8 at s² = 0.4:", distance.round(3))

# %% [markdown]
# ## 4. Summing the series: the Gamma closure
#
# The gallery's series (B25) can be summed even where it diverges, because its logarithm has a value there.
# Take it as the *shape* for the unknown tail of the series. Suppose
# $\kappa_n = (n - 1)!\, \theta^{n - 2} \kappa_2$ for $n \ge 2$, as in section 3 with $\theta = a$;
# this is a shifted Gamma variable, reflected if $\theta < 0$. Then
#
# $$\sum_{n \ge 2} \frac{\kappa_n}{n!} = \kappa_2 \sum_{n \ge 2} \frac{\theta^{n - 2}}{n}
#   = \kappa_2\, g(\theta) , \qquad
#   g(\theta) = -\frac{\ln(1 - \theta) + \theta}{\theta^2}
#   = \tfrac12 + \tfrac{\theta}{3} + \dots , \qquad \theta = \frac{\kappa_3}{2 \kappa_2} . \tag{4.1}$$
#
# At $\theta = 0$ it is order 2. A left tail ($\theta < 0$) lowers the factor of the variance below
# one half, a right tail raises it. $\kappa_3$ of one image from few samples is mostly noise, so the
# library takes one $\theta$ from the averages of $\kappa_3$ and $\kappa_2$ over all images, and
# limits it to $\frac13$: a heavier right tail cannot be read off from few samples.
#
# **Check against the exact result**: the closure is exact for both left-tailed members, also the
# divergent one, by hand and in the library.

# %% name="closure"
for name in ("0.8", "0.4"):
    a, constant = 1 - 1 / gallery[name], -np.log(gallery[name]) / 2
    kappa = np.array([[a / 2 + constant], [a**2 / 2], [a**3]])  # (n - 1)! a^n / 2
    by_hand = kappa[0] - (np.log1p(-a) + a) / a**2 * kappa[1]  # (4.1)
    check(by_hand, 0.0)
    check(evidence.gamma_closure(tf.constant(kappa)), by_hand)
    print(f"s² = {name}: order 2 {kappa[0, 0] + kappa[1, 0] / 2:+.4f}, closure {by_hand[0]:+.4f}")

# %% [markdown]
# ## 5. Start from groups
#
# There is a better cure. Put the weights into groups of $K$ and let
# $L_K = \ln \frac1K \sum_{k=1}^K w_k$ be the log-mean-exp of a group. The average of a mean is the
# average of one:
#
# $$\langle e^{L_K} \rangle = \Big\langle \frac1K \sum_{k=1}^K w_k \Big\rangle = \frac1K \cdot K
#   \langle w \rangle = p(x) \quad \text{for every } K . \tag{5.1}$$
#
# So $L_K$ is as good a starting point as $\ln w$, and the same expansion holds:
#
# $$\ln p(x) = \langle L_K \rangle + \tfrac12 \langle\!\langle L_K^2 \rangle\!\rangle
#   {} + \tfrac16 \langle\!\langle L_K^3 \rangle\!\rangle + \dots \tag{5.2}$$
#
# Its first term is the bound of an importance-weighted autoencoder (IWAE); the others correct that.
# With a budget of $T = K G$ weights there are $G$ groups: $K = 1$ is (B25), $G = 1$ leaves the
# first term only, IWAE with all weights.
#
# **What the size trades.** For weights of finite moments let $w = p(x)(1 + \delta)$, $\sigma^2 =
# \langle \delta^2 \rangle$, and $\bar\delta$ the mean of $\delta$ in a group. Expand $L_K - \ln p(x) =
# \ln(1 + \bar\delta) = \bar\delta - \frac12 \bar\delta^2 + \dots$, with $\langle \bar\delta^2 \rangle
# = \sigma^2 / K$:
#
# $$\langle L_K \rangle - \ln p(x) = -\frac{\sigma^2}{2 K} + O(K^{-2}) , \qquad
#   \tfrac12 \langle\!\langle L_K^2 \rangle\!\rangle = +\frac{\sigma^2}{2 K} + O(K^{-2}) . \tag{5.3}$$
#
# *The leading bias cancels.* Order 2 from groups has a bias of order $K^{-2}$, and since the
# cumulants are estimated without bias, it does not depend on the number of groups. Large groups have
# little bias but are few, so that the variance is poorly known; small groups are many, but carry the
# truncation of a long series.
#
# **Check against the exact result.** For the two-point weight of section 1 a group is known from the
# number $j$ of its large weights, which is binomial. All cumulants of $L_K$ are finite sums.

# %% name="group-rates"
sizes = 2 ** np.arange(8)
exact_series = []
for size in sizes:
    j = np.arange(size + 1)
    level = np.log((j * np.exp(3.0) + (size - j)) / size)  # L_K
    log_probability = stats.binom.logpmf(j, size, share)
    check(np.exp(log_probability) @ np.exp(level), np.exp(exact))  # (5.1)
    kappa = cumulants.weighted_cumulants(level, log_probability, max_order=3)
    exact_series.append([cumulants.log_expectation(kappa[:n]) for n in (1, 2, 3)])
bias = np.array(exact_series) - exact  # (sizes, orders)
rates = np.log2(np.abs(bias[-2] / bias[-1]))  # powers of 1/K
print("bias falls as K to the power", -rates.round(2), "at orders 1, 2, 3")
assert rates[0] > 0.9 and rates[1] > 1.8

# %% name="group-size" alt="Log-log: exact absolute bias of orders 1, 2 and 3 over the group size K from 1 to 128. At large K the lines fall as powers 1, 2 and 3 of 1/K; order 3 dips by accident at K = 4."
figure, axis = plt.subplots(figsize=(5.5, 3.4))
for order, colour in zip((1, 2, 3), (blue, orange, green), strict=True):
    axis.loglog(sizes, np.abs(bias[:, order - 1]), "o-", color=colour, label=f"order {order}")
label(axis, "Exact bias of a series from groups", "group size K", "|bias| (nats)")
axis.legend()
plt.show()

# %% [markdown]
# The powers of (5.3) hold from about $K = 16$. At small $K$ the biases of orders 2 and 3 change
# sign, and near a change of sign a bias is small by accident: order 2 at $K = 1$, order 3 at $K =
# 4$. A small bias at one size is therefore no proof that the series has converged.
#
# **Choosing the size without the answer.** By (5.3) the bias of IWAE with all $T$ weights is about
# $-\sigma^2 / 2T = -\langle\!\langle L_K^2 \rangle\!\rangle / 2G$, which the groups themselves
# estimate. The library computes the largest groups first, those of which there are ten, and takes
# the smallest $K$ whose average over the images differs from that of the largest by at most half of
# this. It also averages over five random ways to form the groups from the same weights, which costs
# little compared with a large decoder, and it sums the series of the $L_K$ by (4.1); with fewer than
# twenty weights, only $K = 1$ leaves ten groups. Finally, the variance $\kappa_2$ that ten groups
# of one image give is mostly noise, and the images of a data set are not that different. So each
# $\kappa_2$ is drawn towards the mean of all, by the share $s$ that makes the error of one image smallest:
#
# $$\kappa_2 \to (1 - s)\, \kappa_2 + s \langle \kappa_2 \rangle , \qquad
#   s = \frac{\langle \mathrm{Cov}(\kappa_1, \kappa_2) \rangle + g \langle \mathrm{Var}(\kappa_2) \rangle}
#     {g \langle (\kappa_2 - \langle \kappa_2 \rangle)^2 \rangle} , \tag{5.4}$$
#
# where $\kappa_1 + g \kappa_2$ is (4.1), and the noise of the two estimates follows from the same groups:
# $\mathrm{Cov} = \kappa_3 / G$, $\mathrm{Var} = \kappa_4 / G + 2 \kappa_2^2 / (G - 1)$. The average over the
# images, and with it the bias, stays as it was. `evidence.grouped_estimate` does all this and tells what
# it chose. The numbers ten, one half and $\frac13$ were settled on VAEs trained with another seed than those of
# the benchmark `benchmarks/evidence.py`.
#
# ## 6. A VAE on digits
#
# Two VAEs with 50 latent variables: one trained on the ELBO, one on the IWAE bound of 5 samples.
# The log-weights of the second spread more. Is its $q$ too broad, as in the second column of the gallery, or
# too narrow? We shall measure it. Their trained weights come with the course. To train them in front of you,
# set `retrain = True` above; on another processor the last digits of what follows may then differ.


# %%
def build(objective):
    """A VAE for the binary digits, untrained."""
    keras.utils.set_random_seed(seed)
    encoder = networks.dense_encoder((8, 8), 50, hidden_units=(200,), activation="tanh")
    decoder = networks.dense_decoder((8, 8), 50, hidden_units=(200,), activation="tanh")
    vae = VAE(encoder, decoder, objective=objective, seed=seed)
    vae.compile(keras.optimizers.Adam(1e-3), steps_per_execution=29)
    return vae


def train(vae):
    options = {"epochs": num_epochs, "batch_size": batch_size, "verbose": 0}
    return vae.fit(x_train, **options).history["loss"]


# %%
(x_train, _), (x_test, _) = datasets.load_digits("bernoulli", seed=seed)
x_test = x_test[:num_test]
vaes = {"ELBO": build(ELBO(num_samples=num_draws)), "IWAE-5": build(IWAE(num_draws))}
for name, vae in vaes.items():
    losses = trained(vae, f"12_{name}", partial(train, vae), retrain=retrain)
    print(f"{name}: loss of the first epoch {losses[0]:.3f}, of the last {losses[-1]:.3f} nats")
weights = {name: vae.log_weights(x_test, num_reference, seed=1) for name, vae in vaes.items()}
reference = {name: evidence.iwae(w).numpy() for name, w in weights.items()}

# %% [markdown]
# The reference is IWAE with 5,000 weights. Is it to be trusted? The verdict looks at the tail of the
# weights. Next to it, the four numbers that judge the series:
#
# - *k-hat*, the weight of the tail of $w$. Above 0.7 the samples do not hold the answer;
# - the *next term* $\kappa_3 / 6$, to be compared with the one kept, $\kappa_2 / 2$. It should be at most a quarter of it;
# - the *skewness* of $\ln w$. It is 0 where order 2 is exact. A left tail means that order 2 overshoots;
# - the *excess kurtosis* of $\ln w$, which is 0 there, too.
#
# Order 2 is trusted where the first two are within their limits. The other two tell how it fails.

# %% name="verdicts"
for name, w in weights.items():
    print(f"{name}: {diagnostics.weights_verdict(w).message}")
    print(f"   the series: {diagnostics.series_verdict(w).message}")

# %% [markdown]
# The few images that are refused have an uncertain reference; they are too few to decide a
# comparison of means over 150. The second verdict announces what we shall see: for the IWAE-trained
# model the next term is more than three quarters of the one kept, and negative, the sign of a left tail.
#
# **Is $q$ too broad?** Draws of $q$, weighted with $w$, estimate the posterior's covariance, here for ten test images. In units in which
# $q$ has the variance 1 in every direction, its diagonal compares the width of each latent variable by itself, and its
# eigenvalues the widths along the posterior's own axes. By (3.2) the series cannot stand a direction
# in which this number is below $\frac12$.


# %%
def posterior_widths(vae, number=20_000):
    """Posterior variance in units of q's: mean over latents, least and largest of any direction."""
    rng, rows, pixels = np.random.default_rng(seed), [], np.reshape(x_test[:10], (10, -1))
    mean, log_var = (np.asarray(a, float) for a in vae.encode(x_test[:10]))
    for x, m, s in zip(pixels, mean, np.exp(log_var / 2), strict=True):
        eps = rng.normal(size=(number, 50))
        logits = np.reshape(vae.decoder((m + s * eps).astype("float32")), (number, -1)).astype(
            float
        )
        log_w = logits @ x - np.logaddexp(0, logits).sum(axis=1)  # ln w up to a constant
        log_w += np.sum(eps**2 - (m + s * eps) ** 2, axis=1) / 2
        covariance = np.cov(eps.T, aweights=np.exp(log_w - log_w.max()))
        rows.append([np.diag(covariance).mean(), *np.linalg.eigvalsh(covariance)[[0, -1]]])
    return np.mean(rows, axis=0)


# %% name="widths"
widths = {name: posterior_widths(vae) for name, vae in vaes.items()}
for name, numbers in widths.items():
    text = "of a latent {:.2f}, narrowest axis {:.2f}, widest axis {:.2f}"
    print(f"{name}: posterior variance in units of q:", text.format(*numbers))
    assert abs(numbers[0] - 1) < 0.15
assert widths["IWAE-5"][1] < 0.45 < 0.55 < widths["ELBO"][1]

# %% [markdown]
# Taken one by one, the latent variables of both models have about the width that $q$ gives them. But the
# posterior is correlated, and $q$ is not. Along its narrowest axis the posterior of the IWAE-trained model has
# only about a third of the variance of $q$: there $q$ is too broad, beyond the limit of the series. For the ELBO-trained
# model it has more than half.
#
# **From both ends.** One more look at the reference, with a method that shares none of its weakness.
# Annealed importance sampling (AIS, chapter 4) walks $z$ from the prior to the posterior, here by
# Hamiltonian Monte Carlo, and is low on average. For images *drawn from the model*, $z \sim p(z)$ and $x
# \sim p(x|z)$, that $z$ is an exact draw from the posterior; a walk that starts there and goes back is
# high on average. What lies between is $\ln p(x)$. The widths printed are averages over images and
# have noise of their own: a width a little below zero says that both ends agree within it.


# %%
def anneal():
    """ln p(x) from below and from above, of images of each VAE, (2, 2, num_simulated), nats."""
    log_z, options = [], {"betas": annealing_betas, "progress": False}
    for vae in vaes.values():
        x_model, z_model = vae.sample(num_simulated, seed=3)
        forward = evidence.ais(vae, x_model, num_chains=10, seed=4, **options)
        reverse = evidence.reverse_ais(vae, x_model, z_model, seed=5, **options)
        log_z.append([forward.log_z, reverse.log_z])
    return {"log_z": log_z}


# %% name="bracket"
annealed = shipped("12_annealed", anneal, retrain=retrain)["log_z"]
for (name, vae), pair in zip(vaes.items(), annealed, strict=True):
    forward, reverse = map(LogZEstimate, pair)
    bracket = evidence.bracket_verdict(forward, reverse)
    x_model, _ = vae.sample(num_simulated, seed=3)  # the images of `anneal`
    estimate = evidence.iwae(vae.log_weights(x_model, num_reference, seed=6)).numpy()
    print(f"{name}: {bracket.message}")
    print(
        f"   IWAE-{num_reference}: {np.mean(estimate - forward.log_z):+.3f} nats from the lower end"
    )
    assert bracket.trusted

# %% [markdown]
# **The path of $\lambda$.** Why is the series good enough for one model and not for the other? Multiply the
# log-weight by a number $\lambda$ that rises from 0 to 1 (chapter 11). At $\lambda$ the latent variables follow $q\, w^\lambda$,
# from $q$ at 0 to the posterior at 1, and by (B20)
#
# $$\ln p(x) = \int_0^1 \langle \ln w \rangle_\lambda\, d\lambda , \qquad \langle \ln w \rangle_\lambda
#   = \kappa_1 + \kappa_2 \lambda + \tfrac12 \kappa_3 \lambda^2 + \dots \tag{6.1}$$
#
# So $\ln p(x)$ is the area under a curve, and the series has to find it from the curve's start. Order 1 takes the curve for a constant, order 2
# for its tangent, order 3 for a parabola. Two ways to the averages: samples of $q$, weighted with
# $w^\lambda$; and chains that follow $\lambda$, `evidence.ais_path`. **Check**: the area under the
# first, by trapezoids with their end correction, is IWAE; that under the second agrees with it. (The chains take some
# seconds each, here and above, so that their averages come with the course.)


# %%
def anneal_paths():
    """<ln w> along the path, (2, num_betas), mean over images; its area, (2, num_simulated), nats."""
    options = {"num_chains": 10, "lambdas": annealing_betas, "progress": False, "seed": 7}
    runs = [evidence.ais_path(vae, x_test[:num_simulated], **options) for vae in vaes.values()]
    areas = [-cumulants.integrate_path(run.lambdas, run.mean).numpy() for run in runs]
    return {"slopes": [-run.mean.mean(axis=1) for run in runs], "areas": areas}


# %%
paths, by_chains = {}, shipped("12_paths", anneal_paths, retrain=retrain)
for name, slopes, areas in zip(vaes, by_chains["slopes"], by_chains["areas"], strict=True):
    few = weights[name].numpy()[:, :num_simulated].astype(float)
    weighted = cumulants.lambda_path(few, np.linspace(0, 1, 21))
    kappa, area = cumulants.sample_cumulants(few, 3).numpy().mean(axis=1), evidence.iwae(few)
    paths[name] = weighted, slopes, kappa
    bend = weighted.variance
    sums = -cumulants.integrate_path(weighted.lambdas, weighted.mean, variance=bend).numpy()
    check(-weighted.free_energy[-1].numpy(), area)
    difference = areas - area
    error = np.std(difference, ddof=1) / np.sqrt(num_simulated)
    assert abs(np.mean(sums - area)) < 1e-3 and abs(np.mean(difference)) < 5 * error  # (6.1)
    print(f"{name}: IWAE {np.mean(area):.2f}; area {np.mean(sums - area):+.4f},", end=" ")
    print(f"by chains {np.mean(difference):+.3f} +- {error:.3f} nats")

# %% name="kappas"
for name, (_, _, kappa) in paths.items():
    print(f"{name}: kappa_1 to kappa_3 {kappa.round(2)}, order 2 {kappa[0] + kappa[1] / 2:.2f}")

# %% name="lambda-path" alt="Mean of ln w over lambda for both VAEs. ELBO: chains and weighted samples rise along a straight line, order 2. IWAE-5: the curve bends at once, below the tangent; the parabola, order 3, falls away."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.6))
for axis, (name, (weighted, slopes, kappa)) in zip(axes, paths.items(), strict=True):
    lambdas = weighted.lambdas.numpy()
    axis.plot(annealing_betas, slopes, color=blue, lw=0.8, label="chains")
    axis.plot(lambdas, -weighted.mean.numpy().mean(axis=1), "k--", label="weighted samples of q")
    for order, colour in zip((1, 2, 3), (grey, orange, green), strict=True):
        terms = [kappa[n] * lambdas**n / (1, 1, 2)[n] for n in range(order)]
        axis.plot(lambdas, sum(terms), color=colour, label=f"order {order}")
    label(axis, f"Trained on {name}", r"$\lambda$", r"$\langle \ln w \rangle_\lambda$ (nats)")
axes[0].legend()
plt.show()

# %% [markdown]
# On the left the curve is nearly its own tangent: order 2 is enough. On the right it starts steeply and
# bends at once: its second derivative there, $\kappa_3$ (printed), is large and negative, which is the left tail of
# $\ln w$ again. The tangent knows nothing of this, and the parabola of order 3 follows it for a short way only.

# %% [markdown]
# **Every estimate at equal budget.** Orders 1 to 3 of (B25) and the others, from $T$ weights for each image, drawn anew; bias of the mean over
# the test images, and the root mean square error (RMSE) of an image. The *jackknife* is
# $T L_T - (T - 1)\, \overline{L_{T-1}}$ with $L_T$ the IWAE of all weights and $\overline{L_{T-1}}$ the mean
# over leaving one of them out: it removes a bias of order $1 / T$ (Nowozin 2018).

# %%
estimators = {
    "ELBO": evidence.elbo,
    "IWAE": evidence.iwae,
    "jackknife": evidence.jackknife,
    "order 2": evidence.cumulant,
    "order 3": lambda w: evidence.cumulant(w, order=3),
    "grouped": lambda w: evidence.grouped_estimate(w, seed=seed).log_p,
}

# %%
errors = {}
for name, vae in vaes.items():
    fresh = vae.log_weights(x_test, 10 * max(budgets), seed=2).numpy().astype(float)
    for budget in budgets:
        rounds = fresh[: 10 * budget].reshape(10, budget, -1)
        for estimator, estimate in estimators.items():
            values_of = np.array([np.asarray(estimate(w)) for w in rounds])
            errors[name, estimator, budget] = values_of - reference[name]

# %% name="equal-budget"
for name in vaes:
    print(f"Trained on {name}: bias / RMSE of an image, in nats, for T = {budgets}")
    for estimator in estimators:
        cells = [errors[name, estimator, budget] for budget in budgets]
        text = "   ".join(f"{e.mean():+6.2f} / {np.sqrt(np.mean(e**2)):5.2f}" for e in cells)
        print(f"   {estimator:10s} {text}")

# %%
less_biased = 0
for name in vaes:
    for budget in budgets:
        rivals = [errors[name, k, budget] for k in ("jackknife", "grouped")]
        biases = [abs(e.mean()) for e in rivals]
        spreads = [np.sqrt(np.mean(e**2)) for e in rivals]
        less_biased += biases[0] < biases[1]
        assert spreads[1] < min(spreads[0], np.std(errors[name, "IWAE", budget]))  # single images
        text = "|bias| {:.4f} and {:.4f}, RMSE {:.3f} and {:.3f} nats"
        print(f"{name:6s} T = {budget:3d}, jackknife and grouped:", text.format(*biases, *spreads))
print(f"the jackknife has the smaller |bias| in {less_biased} of {2 * len(budgets)} cells")
assert less_biased > len(budgets)

# %%
offset = {k: e.mean() for k, e in errors.items()}
rmse = {k: np.sqrt(np.mean(e**2)) for k, e in errors.items()}
for T in budgets:
    noise = {k: rmse["IWAE-5", k, T] / np.sqrt(10 * num_test) for k in estimators}
    for order, sign in (("order 2", 1), ("order 3", -1)):  # useless, whatever the budget
        drift = offset["IWAE-5", order, T] - offset["IWAE-5", order, max(budgets)]
        assert sign * offset["IWAE-5", order, T] > 1 and abs(drift) < 5 * noise[order]
    assert abs(offset["ELBO", "order 2", T]) < abs(offset["ELBO", "IWAE", T]) / 2
    assert abs(rmse["ELBO", "order 2", T] / rmse["ELBO", "IWAE", T] - 1) < 0.2
    assert all(abs(offset[k, "grouped", T]) < abs(offset[k, "IWAE", T]) for k in vaes)
falls = [offset[k, "IWAE", budgets[0]] / offset[k, "IWAE", budgets[-1]] for k in vaes]
print("from 10 to 100 weights IWAE's bias falls by the factors", np.round(falls, 1))
assert np.all(np.abs(np.array(falls) - 5.5) < 1.5)

# %% name="bias" alt="Log-log: absolute bias over the budget T, 10 to 100. ELBO model: order 2 lowest, IWAE highest at T = 10. IWAE-5 model: orders 2 and 3 flat above 1 nat; IWAE falls; jackknife and grouped are lowest."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.6))
colours = (grey, blue, green, purple, "0.75", orange)
for axis, name in zip(axes, vaes, strict=True):
    for estimator, colour in zip(estimators, colours, strict=True):
        if estimator != "ELBO":
            size = [abs(errors[name, estimator, budget].mean()) for budget in budgets]
            axis.loglog(budgets, size, "o-", color=colour, label=estimator)
    label(axis, f"Trained on {name}", "budget T (weights per image)", "|bias| of the mean (nats)")
axes[1].legend(loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %% [markdown]
# Read the two panels together. A bias here comes from ten rounds of 150 images, so differences
# below about RMSE$/\sqrt{1500}$ are noise: 0.003 to 0.01 nats on the left, three times as much on
# the right.
#
# - On the ELBO-trained model the log-weights are almost Gaussian, with a slight *left* skew. Plain order 2 has
#   next to no bias there, and for a single image about the RMSE of IWAE.
# - On the IWAE-trained one the plain series is useless: order 2 is too high by more than a nat, and order 3 too low by
#   as much. More weights do not help, because this is the truncation, not the noise. It is the second column of the
#   gallery, along the axes in which $q$ is too broad, and the next term announced it.
# - IWAE's bias falls with the budget: ten times the weights make it five to six times smaller.
# - The grouped estimate has a smaller bias than IWAE on both models, from the same weights, and a smaller RMSE for
#   a single image: (5.4) takes out most of the noise of its second term.
# - The *jackknife*, the other cure for the leading bias, is the less biased of the two in most of the eight cells.
#   The grouped estimate wins on single images: its RMSE is the smaller one at every budget, on both models.
#
# ## 7. Training with the correction
#
# If order 2 is a better estimate than the ELBO, why not maximise it? `CumulantObjective` is
# minus (B25) truncated, with unbiased cumulants of the $K$ draws. Before running it, look at what it
# asks for. Let $q$ be Gaussian with the posterior's covariance and its mean off by $d$ standard
# deviations. By section 2, ELBO $= \ln p(x) - d^2 / 2$ and $\mathrm{Var}[\ln w] = d^2$, so that
#
# $$\text{ELBO} + \tfrac12 \mathrm{Var}_q[\ln w] = \ln p(x) \quad \text{for every } d : \tag{7.1}$$
#
# *order 2 does not care where $q$ is.* Being right for every $q$ is a virtue in an estimate and a
# vice in an objective: there is no force on the encoder. And with a width wrong as well, order 2
# lies above $\ln p(x)$ when $q$ is too broad ($a < 0$ in section 3), by more the broader $q$ is. The
# objective *rewards* a poor $q$: the variance grows, and the maximum is at infinity.
#
# **A bound that remains one.** Bamler, Zhang, Opper and Mandt (2017) truncate the exponential instead
# of its logarithm. For any real $y$ and odd order, $e^y \ge 1 + y + \frac{y^2}{2} + \frac{y^3}{6}$: the
# remainder in Lagrange's form is $e^{\xi} y^4 / 24 \ge 0$. With $y = V_0 - V = V_0 + \ln w$,
#
# $$p(x) = e^{-V_0} \big\langle e^{V_0 - V} \big\rangle \;\ge\; e^{-V_0} \Big\langle 1 + y +
#   \frac{y^2}{2} + \frac{y^3}{6} \Big\rangle \quad \text{for every } V_0 . \tag{7.2}$$
#
# **Check against the exact result**: (7.1) for $d$ up to 3, the overshoot for a too broad $q$, and
# (7.2) for the two-point weight.

# %% name="overshoot"
nodes, shares = np.polynomial.hermite_e.hermegauss(30)  # of averages over N(0, 1)
for d in (0.0, 1.0, 3.0):
    log_w = stats.norm.logpdf(d + nodes) - stats.norm.logpdf(nodes)  # z = d + node; ln p = 0
    kappa = cumulants.weighted_cumulants(log_w, np.log(shares / shares.sum()), 2)
    check(cumulants.log_expectation(kappa), 0.0)  # (7.1)
overshoot = [-np.log(s2) / 2 + (1 - 1 / s2) / 2 + (1 - 1 / s2) ** 2 / 4 for s2 in (0.9, 0.5, 0.2)]
assert np.all(np.diff([0.0, *overshoot]) > 0)  # order 2 minus ln p, (3.2)
print("order 2 - ln p for posterior variances 0.9, 0.5, 0.2:", np.round(overshoot, 3))
v0 = np.linspace(-4, 2, 61)
y = v0[:, np.newaxis] + values  # (7.2)
bracket = (1 + y + y**2 / 2 + y**3 / 6) @ [1 - share, share]
bound = np.where(bracket > 0, np.log(np.maximum(bracket, 1e-12)) - v0, -np.inf)
assert np.all(bound <= exact) and bound.max() > orders[0]
print(f"ELBO {orders[0]:.4f}, best bound (7.2) {bound.max():.4f}, exact {exact:.4f} nats")

# %% [markdown]
# Now train on each, all with 5 draws for an image, the same networks and first weights, and compare
# by the same standard: IWAE with 5,000 weights on the test digits. After every epoch we note what the
# objective claims, $-\text{loss}$ on the training digits, and the test ELBO, and stop when the latter
# falls below -1000 nats. Bamler's bound, which takes all 60 epochs, comes with the course as the two models of
# section 6 do. Of the two truncated series, which end early, the numbers come with it.

# %%
more = {
    "order 2": CumulantObjective(num_draws, order=2),
    "order 3": CumulantObjective(num_draws, order=3),
    "Bamler": PerturbativeBound(num_draws),
}


# %%
def follow(vae):
    """What the objective claims and the test ELBO after each epoch, (epochs, 2), nats."""
    claims = []
    for _ in range(num_epochs):
        history = vae.fit(x_train, batch_size=batch_size, verbose=0).history
        test = float(np.mean(vae.elbo(x_test, num_samples=20, seed=1)))
        claims.append([-history["loss"][0], test])
        if not test > -1000:
            break
    return claims


# %%
def row_of(log_weights):
    """ELBO, order 2 and IWAE of the test images, and the mean variance of ln w."""
    w = log_weights.numpy().astype(float)
    row = [np.mean(f(w)) for f in (evidence.elbo, evidence.cumulant, evidence.iwae)]
    return [*row, np.mean(w.var(0))]


def run_away(name):
    """What a truncated series claims, and what comes of it."""
    vae = build(more[name])
    claims = follow(vae)
    return {"claims": claims, "row": row_of(vae.log_weights(x_test, num_reference, seed=1))}


# %%
claims, results = {}, {name: row_of(w) for name, w in weights.items()}
for name in ("order 2", "order 3"):
    outcome = shipped(f"12_{name.replace(' ', '_')}", partial(run_away, name), retrain=retrain)
    claims[name], results[name] = outcome["claims"], outcome["row"]
bamler = build(more["Bamler"])
claims["Bamler"] = trained(bamler, "12_Bamler", partial(follow, bamler), retrain=retrain)
results["Bamler"] = row_of(bamler.log_weights(x_test, num_reference, seed=1))

# %% name="trained"
print("trained on  epochs   test ELBO     order 2   IWAE-5000    Var[ln w]")
for name, row in results.items():
    num = len(claims.get(name, range(num_epochs)))
    print(f"{name:10s} {num:7d} {row[0]:11.5g} {row[1]:11.5g} {row[2]:11.5g} {row[3]:12.4g}")
for name in ("order 2", "order 3"):
    claim, test = np.transpose(claims[name])
    assert claim[-1] > 1e6 and test[-1] < -1000 and len(claim) < 10  # within a few epochs
    assert np.all(np.diff(claim) > 0) and np.all(np.diff(test) < 0)  # the more, the worse
    assert results[name][3] > 1e4 * results["IWAE-5"][3]  # Var[ln w]
claim, test = np.transpose(claims["Bamler"])
assert claim.max() < 0 and test[-1] > test[0] + 10
assert results["Bamler"][2] < min(results[name][2] for name in vaes) - 1  # IWAE-5000
assert results["Bamler"][0] < min(results[name][0] for name in vaes)

# %% name="runaway" alt="Nats over epochs. Order 2 and order 3: the claim on training digits shoots above zero while the test ELBO falls, within 2 and 5 epochs. Bamler: claim and test ELBO rise together to about -26 in 60."
figure, axes = plt.subplots(1, 3, figsize=(11, 3.4))
for axis, name in zip(axes, claims, strict=True):
    claim, test = np.transpose(claims[name])
    epochs = np.arange(1, len(claim) + 1)
    axis.plot(epochs, claim, "o-", ms=3, color=orange, label="claimed, training digits")
    axis.plot(epochs, test, "o-", ms=3, color=blue, label="test ELBO")
    axis.axhline(0, color=grey, lw=1)
    if name != "Bamler":
        axis.set_yscale("symlog", linthresh=30)
        axis.set_yticks([-1e8, -1e4, 0, 1e4, 1e8, 1e12])
    axis.xaxis.get_major_locator().set_params(integer=True)
    label(axis, f"Trained on {name}", "epoch", "nats")
axes[0].legend()
plt.show()

# %% [markdown]
# The probability of binary pixels is at most 1, so $\ln p(x) \le 0$, the grey line. Both truncated
# series claim more, and the more they claim the worse the model is: the encoder finds log-weights
# that vary without limit. This is (7.1) and the overshoot in practice. Bamler's bound does not run
# away. With $V_0$ at the mean of $V$, and with these five draws, it trains less well than the ELBO or
# IWAE here.
#
# When to use what:
#
# - *as an estimate*, for the mean over a data set the jackknife, which is less biased than the groups in most cells
#   here; for single images, grouped cumulants; where a bound is wanted, IWAE. The weights are at
#   hand for all three. Read the verdict first;
# - *as an objective*, a bound. The variance is useful as a *diagnosis* of training, not as its goal.
#
# ## Summary
#
# - $\ln p(x)$ is the cumulant series of $\ln w$ (B25). Its first term, the ELBO, is a bound; the
#   others are corrections, and no bounds. For Gaussian log-weights order 2 is exact and unbiased.
# - It extrapolates $\langle \ln w \rangle_\lambda$ from $\lambda = 0$; what counts is how soon that curve bends.
# - The series may diverge although the weights are harmless ($q$ too broad), or converge although
#   the weights are not to be trusted ($q$ too narrow). Judge both: the next term for the first,
#   k-hat for the second.
# - $\langle e^{L_K} \rangle = p(x)$ for every $K$. Grouping joins perturbation theory to
#   importance sampling: the bias of order 2 falls as $K^{-2}$ instead of $K^{-1}$.
# - Use the correction to *estimate*. As an objective it leaves the encoder without a force, or
#   rewards a bad one, and runs away; a bound such as IWAE or (7.2) does not.
#
# ## Exercises
#
# 1. *(medium)* **The jackknife against grouping.** Show from (5.3) that the jackknife of IWAE removes
#    the same leading term, and compare its bias with that of grouped order 2 for the two-point weight, in
#    expectation, at $T = 8$ and $K = 4$. Which misses less, and what decides?
# 2. *(easy)* **Three groups.** Three groups suffice for order 3. Why may one nevertheless not choose
#    $G = 3$? Measure the standard deviations of $\kappa_3 / 6$ from 3, 10 and 100 Gaussian groups of variance 1.
# 3. *(hard)* **No force on the encoder.** Let $q = N(d, 1)$ and the posterior be $N(0, s^2)$. Find
#    order 2 as a function of $d$ and $s^2$. In which direction does its gradient push $d$ when $q$ is too broad?
#
# The solutions are in the cells below, folded: click on one to open it.

# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. T IWAE_T - (T - 1) IWAE_{T-1}: -sigma^2/2 [T/T - (T-1)/(T-1)] = 0 at leading order. The jackknife
# misses less here. Both have lost their leading term; what is left, of order T^-2 for one and K^-2 for
# the other, decides, and K is half of T.
levels = {}
for size in (4, 7, 8):
    j = np.arange(size + 1)
    level = np.log((j * np.exp(3.0) + (size - j)) / size)
    logs = stats.binom.logpmf(j, size, share)
    levels[size] = cumulants.weighted_cumulants(level, logs, 2).numpy()
jackknife_bias = 8 * levels[8][0] - 7 * levels[7][0] - exact
grouped_bias = levels[4][0] + levels[4][1] / 2 - exact  # K = 4, G = 2
print(f"1. IWAE-8 {levels[8][0] - exact:+.4f}, jackknife {jackknife_bias:+.4f}", end="")
print(f", grouped {grouped_bias:+.4f} nats")
check([jackknife_bias, grouped_bias], [0.0422, 0.1129], 1e-4)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. The estimate is unbiased, but its noise is far larger than the term.
deviations = []  # for 3, 10 and 100 groups; exact: sqrt(6 G / ((G - 1) (G - 2))) / 6
for groups in (3, 10, 100):
    draws = np.random.default_rng(seed).normal(size=(groups, 100_000))
    third = cumulants.sample_cumulants(draws, 3)[2].numpy() / 6
    error = third.std() / np.sqrt(third.size)
    check(third.mean(), 0.0, 5 * error)
    deviations.append(third.std())
    print(
        f"2. G = {groups:3d}: kappa_3 / 6 = {third.mean():+.4f}, deviation {third.std():.3f} nats"
    )
check(deviations, [0.5, 0.1521, 0.0414], 0.01)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. z = d + e: ln w = c + e^2 / 2 - (d + e)^2 / (2 s^2) = c + a e^2 / 2 - d e / s^2 - d^2 / (2 s^2),
# mean c + a/2 - d^2/(2 s^2), variance a^2/2 + d^2/s^4. Order 2 has d^2 [1/s^2 - 1] / (2 s^2): for
# s^2 < 1 (q too broad) it grows with |d|, so the gradient pushes q away from the posterior.
def order_2(d, s2):
    a = 1 - 1 / s2
    mean = -np.log(s2) / 2 + a / 2 - d**2 / (2 * s2)
    return mean + (a**2 / 2 + d**2 / s2**2) / 2


log_w = -np.log(0.5) / 2 + nodes**2 / 2 - (1.5 + nodes) ** 2  # d = 1.5, s^2 = 0.5
by_nodes = cumulants.weighted_cumulants(log_w, np.log(shares / shares.sum()), 2)
check([order_2(1.5, s2) for s2 in (0.5, 1.0, 2.0)], [2.3466, 0.0, -0.3153], 1e-4)
print(f"3. order 2 at d = 1.5: {order_2(1.5, 0.5):.3f}, by quadrature", end=" ")
print(f"{cumulants.log_expectation(by_nodes):.3f}; at d = 0: {order_2(0, 0.5):.3f} nats; exact 0")
