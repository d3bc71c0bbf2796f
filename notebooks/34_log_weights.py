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
# # Chapter 34: The cumulants of log-weights
#
# The evidence lower bound (ELBO) of a variational autoencoder (VAE) is the first term of a series whose
# sum is $\ln p(x)$. The next terms are cumulants of numbers that the VAE computes anyway, its log-weights. The blog
# post that this course follows, Charles Martin's *Free Energies and Variational Inference*,
# presents the variational bound as the first order of perturbation theory and doubts that the
# series converges. In the comments below it cumulants are called a natural correction of VAEs,
# perhaps too simple a one. When do they help, when do they fail, and what is the cure?
#
# **What you will do**
#
# - derive the series (B25), and find the case in which its second order is exact;
# - watch it converge, overshoot and diverge, each time next to the exact answer;
# - start it from groups of weights, and compute exactly what the group size trades.
#
# **What you will learn**
#
# - why $\tfrac12 \mathrm{Var}_q[\ln w]$ is the leading gap of the ELBO, and why adding it gives no
#   bound;
# - that a diverging series and a heavy tail of weights are two different failures;
# - that $\ln p(x) = \ln \langle e^{L_K} \rangle$ for groups of any size $K$, which joins the cumulant
#   series to the importance-weighted bound.
#
# **What you need**: cumulants ([chapter 1, section 4](01_generating_functions.ipynb)), the log-weights of a VAE
# ([chapter 23, section 2](23_exact_evidence.ipynb)), the two Gaussian cases of
# [chapter 33, section 1](33_along_the_path.ipynb), the importance-weighted bound ([chapter 26,
# section 2](26_several_samples.ipynb)), Pareto $\hat k$ ([chapter 8, section 3](08_annealing.ipynb)); some Python, with
# this project installed.
#
# **Time**: about 49 minutes, and 80 for the exercises. The code runs in 20 seconds.
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
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from scipy import stats

from rbm_tf import cumulants, diagnostics
from rbm_tf.course import check, label
from vae_keras import evidence

# %%
seed = 0
num_many = 400_000  # samples of the gallery
gallery = {"0.8": 0.8, "0.4": 0.4, "1.5": 1.5, "10": 10.0}  # variances of the posterior
values, share = np.array([0.0, 3.0]), 0.3  # ln w of the two-point variable, and P(ln w = 3)
num_latents, num_images, budget = 10, 500, 100  # of the last check
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 120}])


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
# [Chapter 1, section 4](01_generating_functions.ipynb) expands it: $\ln \langle e^{t y} \rangle = \sum_n
# \frac{t^n}{n!} \langle\!\langle y^n \rangle\!\rangle$ (B21). With $y = \ln w$ and $t = 1$,
#
# $$\boxed{\; \ln p(x) = \underbrace{\langle \ln w \rangle_q}_{\text{ELBO}}
#   {} + \tfrac12 \underbrace{\langle\!\langle (\ln w)^2 \rangle\!\rangle_q}_{\mathrm{Var}_q[\ln w]}
#   {} + \tfrac16 \langle\!\langle (\ln w)^3 \rangle\!\rangle_q + \dots \;} \tag{B25}$$
#
# In the words of [chapter 32](32_perturbation_theory.ipynb): $q$ is the model, $V = -\ln w$ the perturbation, $-\ln
# p(x)$ the free energy, and (B25) is the expansion (B23) at $\lambda = 1$. The first order is
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
# If $y = \ln w$ is Gaussian with mean $\mu$ and variance $s^2$, then by (2.2) of
# [chapter 2](02_truncated_series.ipynb)
#
# $$\ln \langle e^y \rangle = \mu + \tfrac12 s^2 , \tag{2.1}$$
#
# and every cumulant beyond the second is zero. This happens when the posterior and $q$ are
# Gaussians with the *same covariance*: $q = N(0, 1)$ and posterior $N(m, 1)$ give $\ln w = \ln p(x) +
# m z - m^2/2$, linear in $z$ ((1.1) of chapter 33). The ELBO then misses $m^2 / 2$, and half the variance of $\ln w$ is
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
# By (1.3) of [chapter 33](33_along_the_path.ipynb) the cumulants of $\frac a2 z^2$ are $\kappa_n = \frac{(n - 1)!}{2}
# a^n$. Sum them with the constant in $\kappa_1$:
#
# $$\ln \langle w \rangle = -\tfrac12 \ln s^2 + \tfrac12 \Big( a + \frac{a^2}{2} + \frac{a^3}{3} + \dots \Big)
#   = -\tfrac12 \ln s^2 - \tfrac12 \ln (1 - a) = 0 . \tag{3.2}$$
#
# It is the series of a logarithm, and *converges only for $|a| \le 1$, $a \ne 1$*. On either side of $s = 1$:
#
# - $s^2 < 1$, $q$ too broad: $a < 0$, a left tail. The orders alternate; for $s^2 < \frac12$ they
#   diverge, although $\ln w$ is bounded from above and nothing is wrong with the weights.
# - $s^2 > 1$, $q$ too narrow: $0 < a < 1$, a right tail. The orders rise to the limit. But the
#   weights have a power-law tail: $P(w > t) \sim t^{-1/a}$ but for a logarithm, a Pareto tail of shape $k = a$.
#   Beyond $k = 0.7$ no practical number of samples finds the weights that matter.
#
# So there are two ways to fail. A *diverging series* has a cure (sections 4 and 5); a *heavy right
# tail* has none with these samples: they do not contain the answer. It takes a better $q$, or annealing (chapter 8).

# %% name="gallery-numbers"
rng, series, samples, tails = np.random.default_rng(seed), {}, {}, {}
for name, variance in gallery.items():
    a = 1 - 1 / variance
    n = np.arange(1, 9)
    series[name] = np.cumsum(a**n / (2 * n)) - np.log(variance) / 2  # (3.2)
    samples[name] = a / 2 * rng.normal(size=num_many) ** 2 - np.log(variance) / 2  # (3.1)
    measured = cumulants.sample_cumulants(samples[name], 3).numpy()
    error = samples[name].std() / np.sqrt(num_many)
    assert abs(measured[0] - series[name][0]) < 5 * error
    tails[name] = k = float(diagnostics.pareto_k(samples[name][:20_000]))
    print(f"s² = {name:3s}: a = {a:+.3f}, k-hat {k:+.2f}, orders 1-4", series[name][:4].round(3))
assert max(tails["0.8"], tails["0.4"]) < 0.1 and tails["1.5"] < 0.7 < tails["10"]

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
# **When it fails.** In the second column, $s^2 = 0.4$, the weights are harmless and the series is
# worthless at every order. After order 2 each order is worse than the one before it. So there is no good
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
# [Chapter 33, section 4](33_along_the_path.ipynb) took it as the *shape* for the unknown tail of the series: suppose
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
assert np.all(bias[0, 1:] * bias[-1, 1:] < 0)  # orders 2 and 3 change sign on the way

# %% name="group-size" alt="Log-log: exact absolute bias of orders 1, 2 and 3 over the group size K from 1 to 128. At large K the lines fall as powers 1, 2 and 3 of 1/K; order 3 dips by accident at K = 4."
figure, axis = plt.subplots(figsize=(5.5, 3.4))
for order, colour in zip((1, 2, 3), (blue, orange, green), strict=True):
    axis.loglog(sizes, np.abs(bias[:, order - 1]), "o-", color=colour, label=f"order {order}")
label(axis, "Exact bias of a series from groups", "group size K", "|bias| (nats)")
axis.legend()
plt.show()

# %% [markdown]
# The powers of (5.3) hold at large $K$. At small $K$ the biases of orders 2 and 3 change
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
# **Check against the exact result.** Ten latent variables, five with the posterior of the second column of the gallery
# and five with that of the third, $\ln p(x) = 0$, and a hundred weights for each of 500 images. The plain series diverges.
# What does order 2 give when it starts from groups of 2, 5 and 10?

# %% name="ten-latents"
squares = np.repeat([gallery["0.4"], gallery["1.5"]], num_latents // 2)
z = np.random.default_rng(seed).normal(size=(budget, num_images, num_latents))
log_weights = np.sum((1 - 1 / squares) / 2 * z**2 - np.log(squares) / 2, axis=-1)  # (3.1)
found = {"IWAE": evidence.iwae(log_weights)}
for size in (1, 2, 5, 10):  # order 2 from groups, (5.2)
    level = evidence.iwae(log_weights.reshape(size, -1))  # L_K of all groups
    found[f"order 2, K = {size}"] = evidence.cumulant(np.reshape(level, (-1, num_images)))
grouped = evidence.grouped_estimate(log_weights, seed=seed)
found[f"grouped, chose {grouped.group_size}"] = grouped.log_p
means = {name: float(np.mean(estimate)) for name, estimate in found.items()}
for name, mean in means.items():
    print(f"{name:16s} {mean:+.3f} ± {np.std(found[name]) / num_images**0.5:.3f} nats")

# %%
plain, error = means["order 2, K = 1"], np.std(found["order 2, K = 1"]) / num_images**0.5
check(plain, num_latents / 2 * (series["0.4"][1] + series["1.5"][1]), 5 * error)  # (3.2)
assert means["order 2, K = 2"] < plain / 3 and means["order 2, K = 5"] < plain / 20
assert abs(np.mean(grouped.log_p)) < 5 * np.std(grouped.log_p) / num_images**0.5
assert grouped.group_size > 1 and abs(np.mean(grouped.log_p)) < abs(means["IWAE"])

# %% [markdown]
# From single weights order 2 is off by more than a nat, from pairs by less than a third of that, from groups of five by less
# than a twentieth. The library has chosen a size without knowing the answer, and misses less than IWAE.

# %% [markdown]
# ## 6. Summary
#
# - $\ln p(x)$ is the cumulant series of $\ln w$ (B25). Its first term, the ELBO, is a bound; the
#   others are corrections, and no bounds. For Gaussian log-weights order 2 is exact and unbiased.
# - The series may diverge although the weights are harmless ($q$ too broad), or converge although
#   the weights are not to be trusted ($q$ too narrow). Judge both: the next term for the first,
#   k-hat for the second.
# - $\langle e^{L_K} \rangle = p(x)$ for every $K$. Grouping joins perturbation theory to
#   importance sampling: the bias of order 2 falls as $K^{-2}$ instead of $K^{-1}$.
#
# [Chapter 35](35_correcting_a_vae.ipynb) does all this to two trained VAEs, and
# [chapter 37](37_learning_with_corrections.ipynb) asks whether one may train on it.

# %% [markdown]
# ## Exercises
#
# 1. *(medium)* **The jackknife against grouping.** The jackknife of IWAE is $T L_T - (T - 1)\, \overline{L_{T-1}}$, with the
#    mean over leaving out one of the $T$ weights. Show from (5.3) that it removes
#    the same leading term, and compare its bias with that of grouped order 2 for the two-point weight, in
#    expectation, at $T = 8$ and $K = 4$. Which misses less, and what decides?
# 2. *(easy)* **Three groups.** Three groups suffice for order 3. Why may one nevertheless not choose
#    $G = 3$? Measure the standard deviations of $\kappa_3 / 6$ from 3, 10 and 100 Gaussian groups of variance 1.
# 3. *(hard)* **Which weights have a rate?** Derive $\sigma^2$ of (5.3) for the gallery, as a function of $s^2$, by a
#    Gaussian integral. For which $s^2$ is it finite? Check the bias of $L_{16}$ for $s^2 = 0.4$, and see what becomes of the
#    rate for $s^2 = 10$.
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
# 3. <w^2> = s^-2 <exp(a z^2)> = s^-2 (1 - 2 a)^(-1/2), and 1 - 2 a = (2 - s^2) / s^2: finite for s^2 < 2.
def weight_variance(square):
    """sigma^2 = <w^2> - 1 of w = N(z; 0, square) / N(z; 0, 1), z from N(0, 1)."""
    return 1 / np.sqrt(square * (2 - square)) - 1 if square < 2 else np.inf


check([weight_variance(s2) for s2 in (0.4, 1.5, 10.0)], [0.25, 0.1547, np.inf], 1e-4)
groups = {K: evidence.iwae(samples["0.4"].reshape(K, -1)).numpy() for K in (16, 64)}
error = groups[16].std() / np.sqrt(groups[16].size)
check(groups[16].mean(), -weight_variance(0.4) / 32, 5 * error)
heavy = [evidence.iwae(samples["10"].reshape(K, -1)).numpy().mean() for K in (16, 64)]
print(f"3. bias at K = 16: {groups[16].mean():+.4f}; s^2 = 10, K = 16 and 64: {np.round(heavy, 3)}")
assert heavy[0] / heavy[1] < 2  # four times the weights, not a quarter of the bias
