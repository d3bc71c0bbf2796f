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
# # Chapter 38: Size extensivity
#
# Two glasses of water have twice the free energy of one. An approximation that does not know this is
# useless for a lake. The post says that cumulants play their part in
# statistical physics and quantum chemistry because they are *size-extensive*, and that variational
# theories with correlations generally are not. You have four estimates of $\ln p(x)$: the ELBO, its
# cumulants, a bound from moments, and the importance-weighted bound (IWAE). Which of them know about
# the lake? Make a guess before you read on.
#
# **What you will do**
#
# - prove that every cumulant order of $N$ independent copies is $N$ times that of one copy, and watch a
#   series of moments lose its correction;
# - prove the same for parts that interact, and see it on rings of spins;
# - compute, exactly, what IWAE with $K$ samples expects per copy, for 1 to 256 copies.
#
# **What you will learn**
#
# - what linked clusters are, and why the logarithm is what makes them appear (B27);
# - why IWAE at a fixed $K$ falls back to the ELBO, and needs $K \sim e^{N\, \mathrm{KL}(p \| q)}$.
#
# **What you need**: cumulants ([chapter 1, section 4](01_generating_functions.ipynb)), importance
# weights ([chapter 8, section 3](08_annealing.ipynb)), several samples
# ([chapter 26, section 2](26_several_samples.ipynb)) and the series of $\ln w$
# ([chapter 34, sections 1 and 3](34_log_weights.ipynb)).
#
# **Time**: about 52 minutes, and 105 for the exercises. The code runs in about 15 seconds.
#
# Equation numbers such as (B27) are the row names of the whole course and of `EQUATIONS.md`; numbers
# such as (2.1) are steps on the way. Free energies are in nats, at $\beta = 1$.

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

import matplotlib.pyplot as plt
import numpy as np
from scipy import optimize, special, stats

from rbm_tf import cumulants, ising
from rbm_tf.course import check, label, mean_and_error
from vae_keras import evidence

# %%
seed = 0
variance = 1.8  # s^2, of the posterior of one copy; q has 1
sizes = 2 ** np.arange(9)  # N = 1 .. 256 copies
num_samples, num_repeats = 64, 4000  # K; repeats of every estimate
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 130}])
sky, ink = "#56B4E9", plt.rcParams["text.color"]


# %% [markdown]
# ## 1. N copies of one latent variable
#
# A quantity is *extensive* if it is proportional to the size of the system. Put $N$ systems side by side
# that do not interact. The energy of the whole is $H = H^{(1)} + \dots + H^{(N)}$, and the sum over the
# states of all parts factorises. With the number of copies in brackets, since $F_1, F_2, \dots$ are orders
# of the expansion,
#
# $$Z(N) = \sum_{z_1 \dots z_N} e^{-H^{(1)}(z_1) - \dots - H^{(N)}(z_N)} = Z(1)^N , \qquad
#   F(N) = -\ln Z(N) = N F(1) . \tag{1.1}$$
#
# The exact free energy is extensive. An approximation should be, too. In the language of inference: if an image consists of $N$ independent patches, each with
# its own latent variables, $\ln p(x)$ is the sum over patches. With a $q$ that is a product as well, the
# log-weight (B18) of a sample is a sum, too:
#
# $$X_N \equiv \ln w = \ln \frac{p(x, z)}{q(z|x)} = \sum_{i=1}^{N} \ln w_i , \qquad
#   \ln p(x) = \ln \langle e^{X_N} \rangle_q . \tag{1.2}$$
#
# **The copy of this chapter** is one latent variable with the posterior $N(0, s^2)$, which $q = N(0, 1)$
# takes to be narrower than it is, as mean field does for each variable of a correlated Gaussian (chapter 23,
# section 1). (A $q$ that is too broad ends differently: section 3 of chapter 40.) Let $\ln p(x) = 0$, so that
# all errors can be read off. With $a = 1 - 1/s^2$,
#
# $$\ln w = \ln \frac{N(z; 0, s^2)}{N(z; 0, 1)} = \tfrac12 \ln(1 - a) + \tfrac{a}{2} z^2 , \qquad
#   X_N = \tfrac{N}{2} \ln(1 - a) + \tfrac{a}{2} \chi^2_N , \tag{1.3}$$
#
# where $\chi^2_N$ is a sum of $N$ squared normal variables: the whole law of $X_N$ is known. Its
# cumulants follow from $\ln \langle e^{t a z^2 / 2} \rangle = -\frac12 \ln(1 - a t)
# = \frac12 \sum_n (a t)^n / n$:
#
# $$\kappa_1 = \tfrac12 \ln(1 - a) + \tfrac{a}{2} , \qquad
#   \kappa_n = \tfrac{(n - 1)!}{2}\, a^n \quad (n \ge 2) . \tag{1.4}$$
#
# `order_errors[k - 1]` is what order $k$ of the cumulant series (B25) misses for one copy.

# %% name="one-copy"
a = 1 - 1 / variance
orders = np.arange(1, 7)
kappa = special.factorial(orders - 1) * a**orders / 2  # (1.4)
kappa[0] += math.log(1 - a) / 2
partial_sums = np.cumsum(kappa / special.factorial(orders))  # B25
order_errors = -partial_sums  # ln p(x) = 0
gap = order_errors[0]  # of the ELBO, KL(q || p)
print("one copy: kappa_1 .. kappa_4 =", kappa[:4].round(4))
for order in (1, 2, 3, 4):
    check(cumulants.log_expectation(kappa[:order]), partial_sums[order - 1])
    print(f"order {order}: {partial_sums[order - 1]:+.5f} nats, exact 0")

# %% [markdown]
# ## 2. Why cumulants, and why not moments
#
# **Cumulants add.** If $X$ and $Y$ are independent, the average of the product of exponentials is the
# product of the averages, and the logarithm makes a sum of it:
#
# $$\ln \langle e^{t (X + Y)} \rangle = \ln \big[ \langle e^{t X} \rangle \langle e^{t Y} \rangle \big]
#   = \ln \langle e^{t X} \rangle + \ln \langle e^{t Y} \rangle . \tag{2.1}$$
#
# Both sides are power series in $t$. Compare the coefficients of $t^n / n!$ (B21):
# $\langle\!\langle (X + Y)^n \rangle\!\rangle = \langle\!\langle X^n \rangle\!\rangle +
# \langle\!\langle Y^n \rangle\!\rangle$. By repetition, $N$ copies have $N$ times the cumulants of one,
# and so has every partial sum of the expansion (B23), $F_k$ for short:
#
# $$\boxed{\; F_k(N) = N F_q - \sum_{n=1}^{k} \frac{(-1)^n}{n!}\, N \langle\!\langle V^n \rangle\!\rangle_q
#   = N F_k(1) , \qquad k = 1, 2, 3, \dots \;} \tag{B27}$$
#
# with $V = H - H_q$; for log-weights $F_q = 0$ and $-V = X$ (B18).
# So the error per copy is the same for a drop and for a lake. Nothing has been said about its size.
#
# **Moments do not add.** $\langle X_N^2 \rangle = N \langle X^2 \rangle + N (N - 1) \langle X \rangle^2$
# has a term in $N^2$. Centring removes that one, but higher up it comes back: with the mean at 0,
# $\langle X_N^4 \rangle = N \mu_4 + 3 N (N - 1) \mu_2^2$. In the full series these terms cancel; in a
# truncated one they do not. Expand the exponential *inside* the logarithm to third order, about the mean:
#
# $$\ln \langle e^{X} \rangle \approx \kappa_1
#   {} + \ln \big( 1 + \tfrac12 \mu_2 + \tfrac16 \mu_3 \big) , \qquad \mu_2 = \kappa_2 , \
#   \mu_3 = \kappa_3 . \tag{2.2}$$
#
# This is a lower bound on $\ln \langle e^X \rangle$, that of Bamler et al. (2017), (1.2) of chapter 37. For
# $N$ copies the bracket contains $N$, the correction to the ELBO grows like $\ln N$, and the correction
# *per copy* like $\ln N / N$: it vanishes. Optimising the point of expansion does not cure it (exercise 2).
# This is what the post means: bounds with correlations are in general not extensive, perturbation theory is
# not a bound.
#
# **In quantum chemistry** the same fork has names. Truncated configuration interaction is variational,
# and for two distant molecules it does not give twice the energy of one ([chapter 43](43_not_extensive.ipynb)
# computes it). Many-body perturbation theory and coupled-cluster theory are extensive, and neither is a
# bound. Mean field (Hartree-Fock) is both.
#
# **Check against the exact result.** First the addition, for the exact law of 1 to 64 lopsided dice,
# built by convolution; next (2.2), the deliberate failure of this chapter.

# %% name="dice"
die = np.array([0.1, 0.4, 0.3, 0.2])  # probabilities of 0, 1, 2, 3
one = cumulants.weighted_cumulants(np.arange(4.0), np.log(die), max_order=5).numpy()
law = np.ones(1)
for count in range(1, 65):
    law = np.convolve(law, die)  # of the sum of `count` dice
    values = np.arange(len(law), dtype=float)
    many = cumulants.weighted_cumulants(values, np.log(law), max_order=5).numpy()
    check(many / count, one, tolerance=1e-6)  # B27
    if count in (1, 2, 64):
        square = law @ values**2
        print(f"{count:2d} dice: cumulants per die {(many / count).round(5)}", end="")
        print(f", <X^2> per die {square / count:8.3f}")

# %% name="moment-bound"
moment_bound = sizes * kappa[0] + np.log1p(sizes * (kappa[1] / 2 + kappa[2] / 6))  # (2.2)
recovered = 1 - (-moment_bound / sizes) / gap  # share of the gap of the ELBO
assert np.all(np.diff(recovered) < 0)
for size, share in zip(sizes, recovered, strict=True):
    print(f"N = {size:3d}: third-order bound recovers {share:6.1%} of the gap", end=", ")
    print(f"cumulants of order 3 {1 - order_errors[2] / gap:6.1%}")

# %% [markdown]
# ## 3. Linked clusters: when the parts interact
#
# What about a system whose parts interact? In (B23) let $V = \sum_b V_b$, a sum over *bonds*, and let $q$
# be a product over units, as in mean field. The cumulant of a sum is a sum of joint cumulants (those of two
# variables are in chapter 2, section 1),
#
# $$\langle\!\langle V^n \rangle\!\rangle = \sum_{b_1 \dots b_n}
#   \langle\!\langle V_{b_1} V_{b_2} \cdots V_{b_n} \rangle\!\rangle , \tag{3.1}$$
#
# the mixed derivatives of $\ln \langle e^{t_1 V_1 + t_2 V_2 + \dots} \rangle$ at 0: with all $t_b$ set to
# $t$, each $d/dt$ is a sum of $\partial / \partial t_b$ over the bonds (chain rule). Suppose that the bonds
# in a term fall into two groups that share no unit. Under $q$ the groups are independent, the logarithm is
# a sum of a function of the $t$ of one group and a function of the $t$ of the other, and a derivative with
# respect to both is zero. So **only connected clusters of bonds contribute**: the linked-cluster theorem, (B27) for parts that do interact.
# On a lattice, the number of connected clusters of $n$ bonds that contain a given bond depends on the
# lattice around it, not on how far the lattice extends. Hence $\langle\!\langle V^n \rangle\!\rangle$ is
# proportional to the number of bonds: *every order is extensive in an interacting system as well*, as
# long as the interactions have a finite range and $q$ is a product. Moments contain the unlinked
# clusters, too: pairs of bonds at opposite ends of the lake.
#
# On a ring of $N$ spins, $n$ bonds in a row look the same as long as $n < N$; with $n = N$ they can close
# around the ring. So $F_k / N$ must be *exactly* independent of $N$ for
# $N > k$.
#
# **Check against the exact result**: `trial_free_energies` computes all orders exactly. The trial has no
# couplings and a field that is not even the best one.


# %% name="staircase"
def ring_orders(length):
    model, trial = ising.chain(length, coupling=0.4), ising.chain(length, 0.0, field=0.3)
    return ising.trial_free_energies(model, trial, max_order=7) / length


infinite = ring_orders(60)
print("F_k per spin minus that of a long ring")
print("length" + "".join(f"{f'order {k}':>11s}" for k in range(1, 8)))
for length in range(3, 10):
    difference = ring_orders(length) - infinite
    assert np.all(np.abs(difference[: length - 1]) < 1e-12)  # orders below the length
    assert np.all(np.abs(difference[length - 1 :]) > 1e-10)  # these can go round
    print(f"{length:6d}" + "".join(f"{x:11.1e}" for x in difference))

# %% [markdown]
# The staircase of rounding errors is the theorem: per spin, the orders below the length of the ring do not depend on it.
#
# %% [markdown]
# ## 4. IWAE at fixed K falls back to the ELBO
#
# The importance-weighted bound with $K$ samples is the mean of $L_K = \ln \frac1K \sum_k e^{X_k}$. It
# tightens with $K$, it is a bound for every $K$, and it is not extensive.
#
# **An upper limit.** For $0 < t \le 1$ and positive $w$, $(\sum_k w_k)^t \le \sum_k w_k^t$: divide both
# sides by $(\sum_k w_k)^t$, and each share $r \le 1$ on the right has $r^t \ge r$. Therefore
# $L_K \le \frac1t \ln \sum_k e^{t X_k} - \ln K$. Take the mean, and use Jensen's inequality on the
# logarithm. With $N$ copies, $\langle e^{t X} \rangle = e^{N K_1(t)}$, where $K_1$ is the generating function
# of one copy:
#
# $$\langle L_K \rangle \le \frac{N K_1(t)}{t} + \Big( \frac1t - 1 \Big) \ln K \qquad (0 < t \le 1) .
#   \tag{4.1}$$
#
# **Saturation.** Divide by $N$ and let $N$ grow at fixed $K$: the right-hand side tends to $K_1(t) / t$.
# This holds for every $t$, however small, and $K_1(t)/t \to \kappa_1$ for $t \to 0$. So
#
# $$\boxed{\; \kappa_1 \le \frac{\langle L_K \rangle}{N} \;\longrightarrow\; \kappa_1
#   \qquad (N \to \infty,\ K \text{ fixed}) \;} \tag{4.2}$$
#
# *per copy, all that the K samples had gained over the ELBO is lost.* How fast? For Gaussian $X$,
# $K_1(t)/t = \kappa_1 + \frac12 \kappa_2 t$, and with $\sigma^2 = N \kappa_2$ the best $t$ in (4.1) is
# $t^* = \sqrt{2 \ln K} / \sigma$, if that is below 1. Insert it, and subtract from
# $\ln p(x) = N \kappa_1 + \frac12 \sigma^2$:
#
# $$\ln p(x) - \langle L_K \rangle \ge \frac{\sigma^2}{2} - \sqrt{2 \sigma^2 \ln K} + \ln K
#   = \Big( \sqrt{N \kappa_2 / 2} - \sqrt{\ln K} \Big)^2 . \tag{4.3}$$
#
# In words: the largest weight dominates. The largest of $K$ Gaussian variables lies $\sigma \sqrt{2 \ln K}$
# above the mean, so that the gain grows like $\sqrt N$ where it should grow like $N$. To make (4.3) small
# takes $\ln K \approx N \kappa_2 / 2$, *exponentially many samples*. (A physicist recognises the random
# energy model of Derrida (1981), frozen into its largest term.)
#
# **In general** the limit at $t = 1$ is what counts. The bound (4.1) falls below $N K_1(1) = \ln p(x)$ for some
# $t < 1$ as soon as its slope at $t = 1$, $N K_1'(1) - N K_1(1) - \ln K$, is positive. Now $K_1'(1)$ is the
# mean of $\ln w$ under the tilted distribution $q\, w / p(x)$, the posterior, so that
# $N [K_1'(1) - K_1(1)] = \langle \ln (p/q) \rangle_p = N\, \mathrm{KL}(p \| q)$ of one copy:
#
# $$\boxed{\; K \gtrsim e^{N\, \mathrm{KL}(p \| q)} \;} \tag{4.4}$$
#
# the threshold of importance sampling again (chapter 8, section 3; Chatterjee and Diaconis 2018). For a
# Gaussian $X$ the divergence is $\kappa_2 / 2$.
#
# **The exact law of $L_K$.** Simulation would blur what we want to see, but one trick gives all
# cumulants of $L_K$ without it. Let $e$ be an exponential variable, independent of $S = \sum_k w_k$. Then
# $P(e > r) = e^{-r}$, and so
#
# $$P(\ln e - \ln S > u) = \big\langle e^{-S\, e^u} \big\rangle = \varphi(e^u)^K , \qquad
#   \varphi(r) = \langle e^{-r w} \rangle : \tag{4.5}$$
#
# a single average over *one* weight, to the power of $K$. And cumulants add! Those of $\ln e$ are
# polygamma functions, $\psi^{(n-1)}(1)$, so
# $\kappa_n(\ln S) = (-1)^n [\kappa_n(\ln e - \ln S) - \psi^{(n-1)}(1)]$. Extensivity serves as a tool.
# The moments of $\ln e - \ln S$ are integrals of (4.5) over $u$; we integrate its difference from
# $e^{-e^u}$, the law of $\ln e$ alone.


# %%
@functools.cache
def log_phi(size):
    """ln phi (4.5) of `size` copies on the grid u, weights divided by exp(size * kappa_1)."""
    u, y = np.linspace(-90, 30, 2401), np.linspace(-80, 7.5, 4376)  # y = ln chi^2
    p = stats.chi2(size).pdf(np.exp(y)) * np.exp(y) * (y[1] - y[0])
    used = p > 1e-25
    x = size * math.log(1 - a) / 2 + a / 2 * np.exp(y[used]) - size * kappa[0]  # (1.3)
    weights = np.exp(np.minimum(np.add.outer(u, x), 50.0))  # exp(-e^50) is 0
    one_minus_phi = -np.expm1(-weights) @ p[used]
    return u, np.log1p(-np.minimum(one_minus_phi, 1 - 1e-16))


# %%
@functools.cache
def log_mean_cumulants(size, num_samples, max_order=4):
    """Exact cumulants of L_K for `size` copies, from (4.5); nats^n."""
    n = np.arange(1, max_order + 1)
    u, log_one = log_phi(size)
    difference = np.exp(num_samples * log_one) - np.exp(-np.exp(u))
    of_e = np.array([np.trapezoid(u**k * np.exp(u - np.exp(u)), u) for k in n])
    moments = of_e + [np.trapezoid(k * u ** (k - 1) * difference, u) for k in n]
    difference = cumulants.cumulants_from_moments(moments).numpy() - special.polygamma(n - 1, 1.0)
    return (-1.0) ** n * difference + (n == 1) * (size * kappa[0] - math.log(num_samples))


# %% [markdown]
# **Check against the exact result**: $K = 1$ must return the cumulants (1.4) of $X_N$ itself; the library's
# `iwae` on drawn weights must agree within 5 standard errors; (4.1) must hold for every $t$.


# %%
def draw(size, seed=seed):
    """num_repeats sets of K log-weights of `size` copies (1.3), (num_samples, num_repeats)."""
    chi2 = np.random.default_rng(seed).chisquare(size, (num_samples, num_repeats))
    return size * math.log(1 - a) / 2 + a / 2 * chi2


# %% name="fixed-k"
t_values, exact_iwae, limits = np.linspace(0.02, 1, 50), [], []
for size in sizes:
    check(log_mean_cumulants(size, 1), size * kappa[:4], tolerance=1e-5)
    limit = -size * np.log(1 - a * t_values) / 2 + t_values * size * math.log(1 - a) / 2
    limit = limit / t_values + (1 / t_values - 1) * math.log(num_samples)  # (4.1)
    exact_mean = log_mean_cumulants(size, num_samples)[0]
    mean, error = mean_and_error(evidence.iwae(draw(size)))
    assert abs(mean - exact_mean) < 5 * error and exact_mean < limit.min()
    exact_iwae.append(exact_mean / size)
    limits.append(limit.min() / size)
    print(f"N = {size:3d}: IWAE-64 per copy {exact_mean / size:+.5f},", end=" ")
    print(f"sampled {mean / size:+.5f} +- {error / size:.5f}, limit {limits[-1]:+.5f} nats")
lost = (exact_iwae[0] - exact_iwae[-1]) / (gap + exact_iwae[0])  # of the gain over the ELBO
assert recovered[-1] < recovered[0] / 5 and abs(lost - 0.5) < 0.05
assert exact_iwae[0] > -order_errors[2] > exact_iwae[4]

# %% name="samples-needed"
divergence = a / (1 - a) / 2 + math.log(1 - a) / 2  # KL(p || q) = K'(1) - K(1) of one copy
check(divergence, (variance - 1 - math.log(variance)) / 2)  # the Gaussian formula


def excess(log_k, size):
    """How much IWAE-K misses per copy, above 0.01 nats."""
    return -log_mean_cumulants(size, math.exp(log_k), max_order=1)[0] / size - 0.01


log_needed = np.array([optimize.brentq(excess, 0, 45, args=(n,), xtol=1e-4) for n in sizes])
print("K for an error of 0.01 nats per copy:", *(f"{k:.3g}" for k in np.exp(log_needed)))
slope = np.diff(log_needed)[-1] / np.diff(sizes)[-1]
print(f"ln K grows by {slope:.4f} per copy at the end; KL(p || q) = {divergence:.4f} nats per copy")
assert np.all(np.diff(log_needed) > 0) and slope < divergence
assert np.all(np.abs(np.exp(log_needed[[0, -1]]) / [18.4, 8.8e6] - 1) < 0.03)

# %% name="extensive" alt="Left: error per copy over 1 to 256 copies. Cumulants of orders 1 to 3 are flat lines; the bound from moments and IWAE-64 climb towards order 1. Right: samples needed for 0.01 nats per copy, from 18 to nine million; the end is nearly straight."
figure, axes = plt.subplots(1, 2, figsize=(10, 4))
for order, shade in ((1, ink), (2, sky), (3, blue)):
    axes[0].axhline(order_errors[order - 1], color=shade, label=f"cumulants, order {order}")
axes[0].loglog(sizes, -moment_bound / sizes, "s-", color=green, label="moments (2.2)")
axes[0].loglog(sizes, -np.array(exact_iwae), "o-", color=orange, label="IWAE-64")
axes[0].loglog(sizes[6:], -np.array(limits)[6:], ":", color=orange, label="at least, by (4.1)")
label(axes[0], "Exact expectations", "copies $N$", "error per copy (nats)")
axes[0].legend(fontsize=10, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.18))
axes[1].semilogy(sizes, np.exp(log_needed), "o-", color=orange, label="IWAE, 0.01 nats per copy")
axes[1].semilogy(sizes, np.exp(divergence * sizes), color=grey, label=r"$e^{N\, KL(p \| q)}$ (4.4)")
label(axes[1], "The price", "copies $N$", "samples $K$")
axes[1].legend(fontsize=10)
plt.show()

# %% [markdown]
# Left, the cumulants are flat by theorem. For one copy 64 samples are plenty: IWAE misses less than
# order 3 does. For 256 copies it has lost half of all that it had gained over the ELBO, and the bound from
# moments more than four fifths. Right, an error of 0.01 nats per copy takes 18 samples for one copy, and
# nine million for 256. The rate stays below $\mathrm{KL}(p \| q)$ because a fixed error per copy is
# tolerated; (4.4) gives the rate at which the *whole* gap closes.
#
# %% [markdown]
# ## 5. Summary
#
# | estimate of $\ln p(x)$ | bound | error per copy, as $N$ grows |
# |:--|:--|:--|
# | ELBO, cumulants of order 1 | yes | constant |
# | cumulants, orders 2 and 3 | no | constant, smaller (if the series converges) |
# | truncated exponential (2.2) | yes | rises to the ELBO's, like $\ln N / N$ |
# | IWAE, fixed $K$ | on average | rises to the ELBO's (4.2) |
#
# - Cumulants of independent parts add (2.1), hence $F_k(N) = N F_k(1)$ at every order (B27). With
#   interactions, linked clusters do the same (3.1).
# - Expansions of the exponential, and log-means of a fixed number of weights, are not extensive: the
#   latter need $e^{N\, \mathrm{KL}(p \| q)}$ samples (4.4).
# - All this is about expectations. What noise does to it, and which estimate wins at which size and budget,
#   is the subject of [chapter 39](39_groups_and_noise.ipynb).
#
# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **Two sizes at once.** Take $N$ copies with *different* $a_i$. Which statements of section 2
#    survive? Check the cumulants of $0.2\, z_1^2 + 0.1\, z_2^2$ from samples (`sum_cumulants`: of orders 1 to 3,
#    `sum_errors`: their standard errors).
# 2. *(medium)* **Optimise the bound.** In (2.2) expand about a point $c$ other than the mean:
#    $\ln \langle e^X \rangle \ge c + \ln \langle 1 + (X - c) + \frac12 (X - c)^2 + \frac16 (X - c)^3 \rangle$.
#    Maximise over $c$ for every $N$ and show that the share of the gap (`shares`) still falls.
# 3. *(medium)* **Samples per copy.** Let $K$ grow with the size as $K = 2^N$. Compute the error per copy of
#    IWAE-$K$ for $N = 1, 2, 4, 8, 16$ (`growing_k`). Does it stay constant, and why, given (4.4)?
# 4. *(hard)* **The random energy model.** For Gaussian $X$ of variance $\sigma^2 = N \kappa_2$ and
#    $\ln K = c N$, find what (4.3) leaves of the error per copy for $N \to \infty$, as a function of $c$; it is
#    not only a bound but the limit. With (4.5) for Gaussian weights, how far above it is the error at
#    $N \kappa_2 = 400$, for $\ln K = 0.05, 0.1, 0.15$ of the threshold? (`misses` and `limits`: in units of the gap.)
#
# The solutions are in the cells below, folded: click on one to open it.

# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. (2.1) needs independence only: the cumulants add, F_k is a sum over the copies. "N times" becomes
# "N times the average copy", and (2.2) stays a bound, with the sums in its bracket.
z = np.random.default_rng(seed).normal(size=(2, 200_000))
total = 0.2 * z[0] ** 2 + 0.1 * z[1] ** 2  # a = 0.4 and 0.2
expected = [special.factorial(r - 1) * (0.4**r + 0.2**r) / 2 for r in (1, 2, 3)]
batches = cumulants.sample_cumulants(total.reshape(200, 1000), max_order=3, axis=1).numpy()
sum_cumulants, sum_errors = batches.mean(1), batches.std(1, ddof=1) / math.sqrt(200)
print("1. sampled", sum_cumulants.round(4), "sum of the exact", np.round(expected, 4))
assert np.all(np.abs(sum_cumulants - [0.3, 0.1, 0.072]) < 5 * sum_errors)
assert np.all(sum_errors < 0.01)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. With d = mean - c and the central moments, <1 + (X-c) + ..> = 1 + d + (k2 + d^2)/2
# + (k3 + 3 d k2 + d^3)/6. The maximum moves, but a cubic in X cannot follow an exponential.
def minus_bound(d, k1, k2, k3):
    inside = 1 + d + (k2 + d * d) / 2 + (k3 + 3 * d * k2 + d**3) / 6
    return d - k1 - np.log(max(inside, 1e-300))


shares = []
for size in sizes:
    k = tuple(size * kappa[:3])
    found = optimize.minimize_scalar(minus_bound, bounds=(-1, 20), args=k, method="bounded")
    shares.append(1 - found.fun / (size * gap))
print("2. share of the gap:", np.round(shares, 3), "against", recovered.round(3))
assert np.all(np.diff(shares) < 0) and np.all(np.array(shares) >= recovered - 1e-9)
check(np.sum(shares), 5.219, tolerance=1e-3)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. ln 2 = 0.69 per copy is more than KL(p || q): above the threshold (4.4) the error even vanishes.
growing_k = [-log_mean_cumulants(size, 2**size)[0] / size for size in (1, 2, 4, 8, 16)]
for size, miss in zip((1, 2, 4, 8, 16), growing_k, strict=True):
    print(f"3. N = {size:2d}, K = {2**size:6d}: error per copy {miss:.5f} nats")
    assert math.log(2) > divergence and growing_k == sorted(growing_k, reverse=True)
check(growing_k[0], 0.04843, tolerance=1e-4)
check(sum(growing_k), 0.09569, tolerance=1e-4)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. (4.3) per copy: (sqrt(kappa_2 / 2) - sqrt(c))^2 for c < kappa_2 / 2, and 0 above. Here sigma^2 =
# 400 and everything is divided by sigma^2 / 2: (1 - sqrt(f))^2 with f = ln K / (sigma^2 / 2).
nodes, u, misses, limits = np.linspace(-14, 14, 2801), np.linspace(-340, 150, 4901), [], []
p = stats.norm.pdf(nodes) * (nodes[1] - nodes[0])
weights = np.exp(np.clip(np.add.outer(u, 20 * nodes), -700, 50))
log_one = np.log1p(-np.minimum(-np.expm1(-weights) @ p, 1 - 1e-16))
for fraction in (0.05, 0.1, 0.15):
    survival = np.exp(math.exp(fraction * 200) * log_one)
    mean = -np.trapezoid(survival - np.exp(-np.exp(u)), u) - fraction * 200
    misses.append((200 - mean) / 200)
    limits.append((1 - math.sqrt(fraction)) ** 2)
    print(f"4. ln K = {fraction:.2f} of the threshold: error {misses[-1]:.4f} of the gap", end=", ")
    print(f"limit {limits[-1]:.4f}")
check(misses, [0.6449, 0.5015, 0.4049], tolerance=1e-3)
check(limits, [0.6028, 0.4675, 0.3754], tolerance=1e-4)
