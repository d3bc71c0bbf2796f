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
# # Chapter 14: Size extensivity, and beyond the bound
#
# Two glasses of water have twice the free energy of one. An approximation that does not know this is
# useless for a lake, however good it is for a drop. The post says that cumulants play their part in
# statistical physics and quantum chemistry because they are *size-extensive*, and that variational
# theories with correlations generally are not. This chapter makes the claim exact, finds where it
# holds and where it does not, and measures what it is worth for estimates of $\ln p(x)$. Then it takes
# the same expansion to a system with real interactions, the Ising model, and looks beyond the bound.
#
# **What you will do**
#
# - prove that every cumulant order of $N$ independent copies is $N$ times that of one copy, and watch a
#   series of moments lose its correction;
# - compute, exactly, what the importance-weighted bound with $K$ samples (IWAE), the jackknife and
#   grouped cumulants expect per copy, for 1 to 256 copies;
# - derive how the noise of sampled cumulants grows, and draw the map of which estimate wins at which
#   size and budget; repeat it with mosaics of digits and a trained VAE;
# - expand the free energy of Ising models about the best trial Hamiltonian, to third order.
#
# **What you will learn**
#
# - what linked clusters are, and why the logarithm is what makes them appear (B27);
# - why IWAE at a fixed $K$ falls back to the ELBO, and needs $K \sim e^{N\, \mathrm{KL}(p \| q)}$;
# - why extensive estimates still drown in noise at order 3, like $\sqrt N$;
# - which orders are bounds (the first only, B24), and where the series stops helping.
#
# **What you need**: chapter 1 (cumulants), Jensen's inequality, importance weights (chapter 4) and the
# ELBO (chapters 6 and 7).
#
# **Time**: about two hours, and as much again for the exercises. The code takes a minute or two.
#
# Equation numbers such as (B27) are the row names used in the whole course, in the library's
# docstrings and in the table `EQUATIONS.md`. Numbers such as (2.1) are steps on the way. All free
# energies are in nats, at $\beta = 1$; couplings contain $\beta$ (B7).

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
from scipy import optimize, special, stats

from rbm_tf import cumulants, datasets, ising
from vae_keras import VAE, evidence, networks

# %%
seed = 0
variance = 1.8  # s^2, of the posterior of one copy; q has 1
sizes = 2 ** np.arange(9)  # N = 1 .. 256 copies
num_samples, group_size, num_repeats = 64, 4, 4000  # K; in a group; repeats of every estimate
budgets = 2 ** np.arange(3, 15)  # for the map
chain_length, lattice_size = 24, 6
couplings = np.linspace(0.02, 1.2, 60)
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 78}])


# %%
def check(left, right, tolerance=1e-10):
    """Raise unless both are equal to the tolerance, relative above 1, absolute below."""
    np.testing.assert_allclose(*np.broadcast_arrays(left, right), rtol=tolerance, atol=tolerance)


def label(axis, title, xlabel, ylabel):
    axis.set(title=title, xlabel=xlabel, ylabel=ylabel)


# %% [markdown]
# ## 1. N copies of one latent variable
#
# A quantity is *extensive* if it is proportional to the size of the system, *intensive* if it does not
# depend on it. Put $N$ systems side by side that do not interact. The energy of the whole is
# $H = H^{(1)} + \dots + H^{(N)}$, its states are lists of states of the parts, and the sum over all of
# them factorises. With the number of copies in brackets, since $F_1, F_2, \dots$ are orders of the expansion,
#
# $$Z(N) = \sum_{z_1 \dots z_N} e^{-H^{(1)}(z_1) - \dots - H^{(N)}(z_N)} = Z(1)^N , \qquad
#   F(N) = -\ln Z(N) = N F(1) . \tag{1.1}$$
#
# The exact free energy is extensive: it grows in proportion to the number of parts. An approximation
# should, too. In the language of inference: if an image consists of $N$
# independent patches, each with its own latent variables, $\ln p(x)$ is the sum over patches. With a
# $q$ that is a product as well, the log importance weight (B18) of a sample is a sum, too:
#
# $$X_N \equiv \ln w = \ln \frac{p(x, z)}{q(z|x)} = \sum_{i=1}^{N} \ln w_i , \qquad
#   \ln p(x) = \ln \langle e^{X_N} \rangle_q . \tag{1.2}$$
#
# **The copy of this chapter** is one latent variable with the posterior $N(0, s^2)$, which $q = N(0, 1)$
# takes to be narrower than it is. (A variational fit to this one Gaussian would be exact. Mean field is too
# narrow for each variable of a *correlated* Gaussian, chapter 7; a $q$ trained on the IWAE bound can be too broad,
# chapter 12. Section 11 takes that other case, and it ends differently.) Let $\ln p(x) = 0$, so that all errors can be
# read off. With $a = 1 - 1/s^2$,
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
# So the error per copy is the same for a drop and for a lake. Note what has *not* been said: nothing
# about its size.
#
# **Moments do not add.** $\langle X_N^2 \rangle = N \langle X^2 \rangle + N (N - 1) \langle X \rangle^2$
# has a term in $N^2$. One may remove that one by centring, but higher up it comes back: with the mean
# shifted to 0, $\langle X_N^4 \rangle = N \mu_4 + 3 N (N - 1) \mu_2^2$. In the full series these terms
# cancel against each other; in a truncated one they do not. Expand the exponential *inside* the
# logarithm up to third order, about the mean:
#
# $$\ln \langle e^{X} \rangle \approx \kappa_1
#   {} + \ln \big( 1 + \tfrac12 \mu_2 + \tfrac16 \mu_3 \big) , \qquad \mu_2 = \kappa_2 , \
#   \mu_3 = \kappa_3 . \tag{2.2}$$
#
# By $e^u \ge 1 + u + \frac12 u^2 + \frac16 u^3$, which holds for all real $u$, (2.2) is a lower bound on
# $\ln \langle e^X \rangle$, the perturbative bound of Bamler et al. (2017). For $N$ copies the bracket
# contains $N$, the correction to the ELBO grows like $\ln N$, and the correction *per copy* like
# $\ln N / N$: it vanishes.
# Optimising the point of expansion does not cure it (exercise 3). This is what the post means: bounds with
# correlations are in general not extensive, perturbation theory is not a bound.
#
# **In quantum chemistry** the same fork has names. Truncated configuration interaction is variational,
# and for two distant molecules it does not give twice the energy of one ([chapter 24](24_not_extensive.ipynb) computes
# it). Many-body perturbation theory
# is extensive, and so is coupled-cluster theory, which writes the wave function as the exponential of a sum
# of connected clusters; neither is a bound. Mean field (Hartree-Fock) is both.
#
# **Check against the exact result.** First the addition, for the exact law of 1 to 64 lopsided dice,
# built by convolution; next (2.2).

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
assert np.all(np.diff(recovered) < 0) and recovered[-1] < 0.2 < 0.8 < recovered[0]
for size, share in zip(sizes, recovered, strict=True):
    print(f"N = {size:3d}: third-order bound recovers {share:6.1%} of the gap", end=", ")
    print(f"cumulants of order 3 {1 - order_errors[2] / gap:6.1%}")

# %% [markdown]
# ## 3. Linked clusters: when the parts interact
#
# Copies that do not interact are a thought experiment. What about a system whose parts do? In (B23) let $V =
# \sum_b V_b$, a sum over *bonds*, and let $q$ be a product over units, as in mean field. The cumulant of a
# sum is a sum of joint cumulants (chapter 1 has those of two variables),
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
# clusters, too, pairs of bonds at opposite ends of the lake, and their number grows like $N^2$.
#
# A ring of $N$ spins makes this sharp. $n$ bonds in a row look the same on every ring that is longer than
# $n$; with $n = N$ they can close around the ring. So $F_k / N$ must be *exactly* independent of $N$ for
# $N > k$.
#
# **Check against the exact result**: `trial_free_energies` computes all orders exactly, by transfer
# matrix. The trial has no couplings and a field that is not even the best one.


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
# The staircase of rounding errors is the theorem. (Rings that do not touch each other are covered by
# section 2; the tests of the library check them.)
#
# ## 4. IWAE at fixed K falls back to the ELBO
#
# The importance-weighted bound with $K$ samples is the mean of $L_K = \ln \frac1K \sum_k e^{X_k}$. It
# tightens with $K$, it is a bound for every $K$, and it is not extensive. Two inequalities show how much
# it can be.
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
# In words: the weights are dominated by the largest. The largest of $K$ Gaussian variables lies
# $\sigma \sqrt{2 \ln K}$ above the mean, so that the gain grows like $\sqrt N$ where it should grow like
# $N$. To make (4.3) small takes $\ln K \approx N \kappa_2 / 2$, *exponentially many samples*. (A physicist
# recognises the random energy model of Derrida (1981): a sum of $K$ exponentials of large energies, frozen
# into its largest term.)
#
# **In general** the limit at $t = 1$ is what counts. The bound (4.1) falls below $N K_1(1) = \ln p(x)$ for some
# $t < 1$ as soon as its slope at $t = 1$, $N K_1'(1) - N K_1(1) - \ln K$, is positive. Now $K_1'(1)$ is the
# mean of $\ln w$ under the tilted distribution $q\, w / p(x)$, the posterior, so that
# $N [K_1'(1) - K_1(1)] = \langle \ln (p/q) \rangle_p = N\, \mathrm{KL}(p \| q)$ of one copy:
#
# $$\boxed{\; K \gtrsim e^{N\, \mathrm{KL}(p \| q)} \;} \tag{4.4}$$
#
# the threshold of chapter 4 again (Chatterjee and Diaconis 2018); for a Gaussian $X$ the divergence is
# $\kappa_2 / 2$. Far above the threshold the error is that of a smooth function of a mean,
# $\frac{1}{2K} (\langle w^2 \rangle / \langle w \rangle^2 - 1)$, for Gaussian $X$
# $(e^{N \kappa_2} - 1)/2K$: the variance of the weights, exponential in $N$ as well.
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
# $\kappa_n(\ln S) = (-1)^n [\kappa_n(\ln e - \ln S) - \psi^{(n-1)}(1)]$. Size-extensivity serves as a tool.
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


def mean_and_error(estimates):
    return np.mean(estimates), np.std(estimates, ddof=1) / math.sqrt(num_repeats)


# %%
t_values = np.linspace(0.02, 1, 50)
for size in sizes:
    check(log_mean_cumulants(size, 1), size * kappa[:4], tolerance=1e-5)
    limit = -size * np.log(1 - a * t_values) / 2 + t_values * size * math.log(1 - a) / 2
    limit = limit / t_values + (1 / t_values - 1) * math.log(num_samples)  # (4.1)
    exact_mean = log_mean_cumulants(size, num_samples)[0]
    mean, error = mean_and_error(evidence.iwae(draw(size)))
    assert abs(mean - exact_mean) < 5 * error and exact_mean < limit.min()
    print(f"N = {size:3d}: IWAE-64 per copy {exact_mean / size:+.5f},", end=" ")
    print(f"sampled {mean / size:+.5f} +- {error / size:.5f}, limit {limit.min() / size:+.5f} nats")

# %% name="samples-needed"
divergence = a / (1 - a) / 2 + math.log(1 - a) / 2  # KL(p || q) = K'(1) - K(1) of one copy
check(divergence, (variance - 1 - math.log(variance)) / 2)  # the Gaussian formula


def excess(log_k, size):
    """How much IWAE-K misses per copy, above 0.01 nats."""
    return -log_mean_cumulants(size, math.exp(log_k), max_order=1)[0] / size - 0.01


log_needed = np.array([optimize.brentq(excess, 0, 45, args=(n,), xtol=1e-4) for n in sizes])
for size, log_k in zip(sizes, log_needed, strict=True):
    print(f"N = {size:3d}: K = {math.exp(log_k):9.3g} for an error of 0.01 nats per copy")
slope = np.diff(log_needed)[-1] / np.diff(sizes)[-1]
print(f"ln K grows by {slope:.4f} per copy at the end; KL(p || q) = {divergence:.4f} nats per copy")
assert np.all(np.diff(log_needed) > 0) and slope < divergence

# %% [markdown]
# An error of 0.01 nats per copy takes 19 samples for one copy, and nine million for 256. The
# rate stays below $\mathrm{KL}(p \| q)$ because a fixed error per copy is tolerated; it is the rate at which
# the *whole* gap closes that (4.4) gives.
#
# ## 5. The jackknife and the groups
#
# **Jackknife.** In expectation $\hat J_K = K \langle L_K \rangle - (K - 1) \langle L_{K-1} \rangle$ removes the
# error of order $1/K$. At fixed $K$ both terms per copy tend to $\kappa_1$ by (4.2), and
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
#   v_2 = 1 - \tfrac1\pi = 0.68, \quad v_4 = 0.49, \quad v_{64} = 0.20 . \tag{5.1}$$
#
# Groups keep a *share* $v_K$ of the second-order correction. They are not extensive for $K > 1$, since the
# error per copy grows with $N$, but it saturates below that of the ELBO; $v_1 = 1$ is the plain expansion.
#
# **Check against the exact result**: expectations from (4.5) against the library's estimators on drawn
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


# %%
def sampled_errors(estimator):
    """Error per copy and its standard error, from drawn weights, (2, num_sizes)."""
    results = [mean_and_error(estimator(draw(size))) for size in sizes]
    return np.transpose(results) * [[-1.0], [1.0]] / sizes


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


# %%
def draw_exact(axis):
    for order, shade in ((1, "black"), (2, "#004466"), (3, blue), (4, "#56B4E9")):
        axis.axhline(order_errors[order - 1], color=shade, label=f"cumulants, order {order}")
    for name, colour in (("IWAE", orange), ("jackknife", purple), ("groups", green)):
        axis.loglog(sizes, errors[name], "o-", color=colour, label=name)
    label(axis, "Exact expectations, $K = 64$", "copies $N$", "error per copy (nats)")


# %% name="per-copy" alt="Error per copy over 1 to 256 copies. Left, exact: cumulant orders 1 to 4 are flat lines, IWAE, jackknife and groups climb through them. Right: the same from drawn weights."
figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), sharex=True, sharey=True)
draw_exact(axes[0])
shades = dict(zip(sampled, (orange, purple, green, "black", "#004466", blue), strict=True))
for number, (name, colour) in enumerate(shades.items()):
    points, bars = sampled[name]
    axes[1].errorbar(sizes * 1.03**number, points, 5 * bars, fmt="o", color=colour, label=name)
label(axes[1], f"{num_repeats} repeats (bars: 5 s.e.)", "copies $N$", "")
axes[1].set_ylim(3e-5, 0.15)
axes[1].legend(*axes[0].get_legend_handles_labels(), loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %% name="shares-of-groups"
normal = np.linspace(-9, 9, 4001)
for k in (2, 4, 64):  # the largest of k standard normal variables
    density = k * stats.norm.cdf(normal) ** (k - 1) * stats.norm.pdf(normal)
    first, second = (np.trapezoid(normal**n * density, normal) for n in (1, 2))
    print(f"v_{k} = {second - first**2:.4f}")  # (5.1)
    if k == group_size:
        limit = gap - (second - first**2) * kappa[1] / 2
print(f"groups of 4: error per copy {errors['groups'][-1]:.4f} at N = 256, limit {limit:.4f} nats")
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
# - IWAE and the jackknife are on their way to the ELBO at the top, the groups to their own limit (5.1).
#
# Right, the same from drawn weights:
#
# - at the left end the bias is lost in the noise;
# - to the right the noise per copy averages out for the ELBO and for IWAE;
# - the noise of order 2 levels off, and that of order 3 has its least value between 32 and 64 copies and grows
#   again. Why it does is the subject of the next section: the price of extensivity.
#
# ## 6. The noise grows too
#
# (B27) is about expectations. An estimate from $n$ samples has noise, and the k-statistic of order $r$ is
# not $N$ times as noisy for $N$ copies. To leading order in $1/n$ a k-statistic is an average over
# the samples of its *influence*, what adding one sample changes. With $y = X - \kappa_1$,
#
# $$\psi_1 = y , \qquad \psi_2 = y^2 - \kappa_2 , \qquad \psi_3 = y^3 - 3 \kappa_2 y - \kappa_3 . \tag{6.1}$$
#
# (The term $-3 \kappa_2 y$ is there because the sample mean $\bar y$ is subtracted:
# $\frac1n \sum (y_i - \bar y)^3 = \frac1n \sum y_i^3 - 3 \bar y \frac1n \sum y_i^2 + \dots$, and
# $\frac1n \sum y_i^2 \approx \kappa_2$.) The variance is $\langle \psi_r^2 \rangle / n$. For $r = 2$,
# $\mu_4 - \kappa_2^2 = \kappa_4 + 2 \kappa_2^2$. For $r = 3$, with $\mu_4 = \kappa_4 + 3 \kappa_2^2$ and
# $\mu_6 = \kappa_6 + 15 \kappa_2 \kappa_4 + 10 \kappa_3^2 + 15 \kappa_2^3$,
#
# $$\langle \psi_3^2 \rangle = \mu_6 - 6 \kappa_2 \mu_4 + 9 \kappa_2^3 - \kappa_3^2
#   = \kappa_6 + 9 \kappa_2 \kappa_4 + 9 \kappa_3^2 + 6 \kappa_2^3 . \tag{6.2}$$
#
# Every $\kappa$ is $N$ times that of one copy. The largest power of $N$ wins, $6 \kappa_2^3 \to 6 N^3
# \kappa_2^3$. Per copy (divide the standard error by $N$):
#
# $$\boxed{\; \frac{\text{s.e.}(k_1)}{N} = \sqrt{\frac{\kappa_2}{n N}} , \qquad
#   \frac{\text{s.e.}(k_2)}{N} \simeq \sqrt{\frac{2 \kappa_2^2}{n}} , \qquad
#   \frac{\text{s.e.}(k_3)}{N} \simeq \sqrt{\frac{6 \kappa_2^3 N}{n}} \;} \tag{6.3}$$
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
    leading = [math.factorial(r) * (size * kappa[1]) ** r / num_samples for r in (1, 2, 3)]  # (6.3)
    for name, value in zip(per_copy, (exact_variance, squares.mean(1), leading), strict=True):
        per_copy[name].append(np.sqrt(value) / size)
per_copy = {name: np.array(values) for name, values in per_copy.items()}
growth = per_copy["exact"][-1] / per_copy["exact"][-3]  # four times as many copies
print("standard errors per copy, N = 256 over N = 64:", growth.round(3), "expected 1/2, 1, 2")

# %% name="noise" alt="Standard error per copy over copies, both axes logarithmic: that of k1 falls, that of k2 levels off, that of k3 falls to a minimum at 8 copies and then rises."
figure, axis = plt.subplots(figsize=(7, 3.9))
for order, colour in ((1, grey), (2, "#004466"), (3, blue)):
    column = order - 1
    axis.loglog(sizes, per_copy["exact"][:, column], color=colour, label=rf"$k_{order}$, exact")
    axis.loglog(sizes, per_copy["sampled"][:, column], "o", color=colour)
    axis.loglog(sizes, per_copy["leading"][:, column], ":", color=colour)
label(axis, "64 samples (dots: drawn; dotted: (6.3))", "copies $N$", "s.e. per copy (nats$^r$)")
axis.legend()
plt.show()

# %% [markdown]
# At first the noise per copy of $k_2$ and $k_3$ falls, too: there the terms with lower powers of $N$, with
# $\kappa_4$ and $\kappa_6$, are the large ones. The dotted laws (6.3) take over as $N$ grows. $k_2$
# levels off; $k_3$ turns
# at about 8 copies, and at 256 it is within a tenth of its law.
#
# ## 7. Which is better, at which size and budget?
#
# An honest account adds both: the root-mean-square error per copy of one estimate, $\sqrt{\text{bias}^2 +
# \text{variance}} / N$, at a budget of $T$ samples. Everything is exact here: for cumulants, the bias from (1.4)
# and the variance from section 6; for IWAE-$T$, $\kappa_1$ and $\kappa_2$ of $L_T$ from (4.5); for $T/K$
# groups of $K$, both formulas together. There an *oracle*, who knows the answer, chooses the best of several $K$,
# which nobody can do in practice. We count beside it how often groups win by a fixed rule. For the jackknife we
# have no formula for the variance, so it is sampled.


# %%
def series_rms(k, n, order, factors=(1, 1 / 2, 1 / 6)):
    """R.m.s. error of k_1 + k_2 / 2 + .. up to an order as an estimate of 0."""
    factors = np.array(factors) * (np.arange(1, 4) <= order)
    k = np.pad(k, (0, 6 - len(k)))  # what is missing is multiplied by 0
    return math.sqrt((factors @ k[:3]) ** 2 + factors @ k_covariance(k, n) @ factors)


# %%
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


# %%
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
crossing = 36 * 64 * drop / (6 * kappa[1] ** 3)  # 64 samples; noise of (6.3) against bias
print(f"64 samples: by (6.3) order 3 loses to order 2 at about {crossing:.0f} copies")
assert [names[i] for i in best[3, 6:8]] == ["order 3", "order 2"]  # at 64 and 128 copies
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
palette = ["black", "#004466", blue, green, orange]
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
# Left, the trade in one line each. At a few copies IWAE, the groups and order 3 are limited mostly by noise,
# which averages out as copies are added; the ELBO and order 2 are nearly all bias from the start. Then IWAE
# and the groups rise with their bias, and order 3 begins to rise with its noise.
#
# Right, the winners:
#
# - *Groups* win where there are many samples for the size (upper left). They are nearly exact like IWAE, with
#   part of the remaining bias removed. Their region is this large because the oracle chooses $K$ for them; with the
#   fixed rule of ten groups they win fewer cells (both numbers are printed). To stay in their region, each doubling
#   of $N$ takes about four times the budget here, and by (4.4) the price is exponential in the end.
# - *Plain cumulants* win below this region, of order 3 as long as its noise is small enough. With 64 samples it is too
#   large at 128 copies. By (6.3) order 3 loses to order 2 roughly when $6 \kappa_2^3 N / (36\, n)$ exceeds the drop in
#   squared bias per copy. That is at about 175 copies; the terms that (6.3) leaves out bring it forward.
# - *The ELBO* is best at the very bottom, where even the variance is too noisy for one or two copies.
# - *IWAE*, a single group at order 1, wins nowhere on this map. What it has, and of the others only the ELBO, is a bound.
# - *The jackknife*, which is not drawn, wins nowhere either: its error is above the winner's in all cells that
#   were sampled, up to 1024 samples, or equal to it within the noise. At the largest sizes it is ahead of IWAE.
#
# Some borders are ragged because several estimates are about equally good there, as in the second
# patch of groups, at 32 and 64 samples. Another copy would give another map, and section 11 has one on
# which cumulants have no place.
#
# ## 8. Mosaics: what it means for images and latents
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
assert abs(shortfall["IWAE"][-1] / shortfall["ELBO"][-1] - 0.47) < 0.12  # nearly half is lost
assert np.all(np.abs(shortfall["order 2"]) < 0.25 * shortfall["ELBO"][0])

# %% name="mosaics" alt="Nats missed per tile over 1 to 256 tiles: the ELBO flat at 0.12, order 2 just below 0, IWAE from 0.004 up to 0.057, jackknife and groups a little lower."
figure, axis = plt.subplots(figsize=(7, 3.9))
colours = ("black", "#004466", orange, purple, green)
for (name, values), colour in zip(shortfall.items(), colours, strict=True):
    axis.semilogx(tile_counts, values, "o-", color=colour, label=name)
axis.axhline(0, color=grey, lw=0.8)
label(axis, "Mosaics of digits, 64 samples each", "tiles $N$", "$\\ln p(x)$ missed per tile (nats)")
axis.legend()
plt.show()

# %% [markdown]
# For a single digit, 64 samples leave IWAE 0.004 nats short, where the ELBO is 0.12 short. For mosaics of
# 256 digits they leave 0.057 nats per tile: nearly half of what they had gained is lost. The ELBO is flat to the last
# digit, because it is linear in $\ln w$. Order 2 is flat in expectation, at a level a little above the
# reference (it is no bound); what moves it on the right is noise, with only four mosaics left. So a $K$ that
# is reported with a likelihood means little without the size of the image: IWAE-5000 on a 28 × 28 digit
# and on a photograph are not the same instrument. Where parts are known to be independent, the remedy is
# of course to estimate them one by one; where they are only *nearly* so, an expansion that sees connected
# clusters only does that by itself.
#
# ## 9. Beyond the bound: the Ising ring
#
# Now a system in which the parts do interact. Spins $s_i = \pm 1$ on a ring have the energy
# $H = -J \sum_i s_i s_{i+1}$, with $\beta$ inside $J$. Its free energy is known (Ising 1925): per spin,
#
# $$\frac{F}{N} = -\ln (2 \cosh J) - \frac1N \ln \big( 1 + \tanh^N J \big) . \tag{9.1}$$
#
# **The bound.** Take a trial Hamiltonian $H_t$ with $F_t = -\ln Z_t$. By Jensen's inequality for $-\ln$,
#
# $$F = -\ln \sum_s e^{-H} = F_t - \ln \big\langle e^{-(H - H_t)} \big\rangle_t
#   \;\le\; F_t + \langle H - H_t \rangle_t \equiv F_1 , \tag{B16}$$
#
# the bound of Gibbs, Bogoliubov and Feynman. The whole right-hand side is the bound, not $F_t$. For spins in a
# field, $H_t = -h \sum_i s_i$, every spin has the mean $m = \tanh h$, and neighbours are independent:
#
# $$\frac{F_1}{N} = -\ln (2 \cosh h) - J m^2 + h m , \qquad
#   \frac{1}{N} \frac{dF_1}{dh} = (h - 2 J m) \frac{dm}{dh} = 0 \;\Rightarrow\; h = 2 J m . \tag{9.2}$$
#
# That is mean field, $m = \tanh 2 J m$. For $2 J < 1$ its only solution is $m = 0$; beyond, two ordered ones
# appear. A better trial keeps every second bond: pairs, exact inside, in the field $h = J m$ of the
# bond that is cut. A pair has the states $\uparrow\uparrow$, $\downarrow\downarrow$ and two opposite ones, with
# the weights $e^{J + 2h}$, $e^{J - 2h}$ and twice $e^{-J}$, so that
#
# $$m = \frac{\sinh 2h}{\cosh 2h + e^{-2J}} , \qquad h = J m . \tag{9.3}$$
#
# This trial is variational, has correlations, *and* is extensive, being a product over pairs: the
# post's "generally" has exceptions. What breaks extensivity is not the bound but an ansatz whose trial for two
# systems is not the product of the trials for each.
#
# **Beyond.** The same expansion as before (B23), about the best trial:
# $F_2 = F_1 - \frac12 \langle\!\langle (H - H_t)^2 \rangle\!\rangle_t$ and
# $F_3 = F_2 + \frac16 \langle\!\langle (H - H_t)^3 \rangle\!\rangle_t$. At $m = 0$ it can be done by hand. The
# bonds $s_i s_{i+1}$ are independent coins under $H_t = 0$, so
# $F/N = -\ln 2 - \frac12 J^2 + 0 + \frac1{12} J^4 - \dots$, the series of $-\ln (2 \cosh J)$: *$F_2$ is below $F$*.
#
# **Check against the exact result**: the library against (9.1), (9.2), (9.3), the bound, and
# the independence of the length.


# %%
def fixed_point(mean_of, num_couplings, num_steps=20_000):
    """Iterate m <- mean_of(m), for all couplings at once, from all spins up."""
    m = np.ones(num_couplings)
    for _ in range(num_steps):
        m, old = mean_of(m), m
        if np.max(np.abs(m - old)) < 1e-13:
            break
    return m


J = couplings
spin_m = fixed_point(lambda m: np.tanh(2 * J * m), len(J))  # (9.2)
pair_m = fixed_point(
    lambda m: np.sinh(2 * J * m) / (np.cosh(2 * J * m) + np.exp(-2 * J)), len(J)
)  # (9.3)


# %%
def ring_trials(length):
    """F and F_1 .. F_4 per spin about single spins and about pairs, (4, num_couplings) each."""
    model = ising.chain(length, J)
    spins = ising.chain(length, 0.0, field=2 * J * spin_m)
    every_second = np.arange(length)[:, np.newaxis] % 2 == 0
    pairs = ising.chain(length, J, field=J * pair_m)
    pairs = pairs._replace(down=pairs.down * every_second)
    orders = [ising.trial_free_energies(model, x, max_order=4) for x in (spins, pairs)]
    return -model.log_z() / length, *(x / length for x in orders)


# %%
exact_ring, about_spins, about_pairs = ring_trials(chain_length)
long_ring = ring_trials(2 * chain_length)
exact_formula = -np.log(2 * np.cosh(J)) - np.log1p(np.tanh(J) ** chain_length) / chain_length
check(exact_ring, exact_formula)  # (9.1)
check(about_spins[0], -np.log(2 * np.cosh(2 * J * spin_m)) + J * spin_m**2)  # (9.2)
check(about_spins, long_ring[1])
check(about_pairs, long_ring[2])  # B27
assert np.all(about_spins[0] > exact_ring) and np.all(about_pairs[0] > exact_ring)  # B16
assert np.all(about_pairs[0] < about_spins[0])
assert np.any(about_spins[1] < exact_ring)  # no bound from order 2 on, B24

# %% name="ring-errors"
chosen = (4, 14, 34, 54)  # couplings to look at
model = ising.chain(chain_length, J[list(chosen)])
for block, orders in (((1, 1), about_spins), ((2, 1), about_pairs)):
    trial = ising.block_trial(model, block)
    library = ising.trial_free_energies(model, trial, max_order=4) / chain_length
    check(library, orders[:, list(chosen)], tolerance=1e-8)
fields = np.linspace(0, 3, 301)
for index in chosen:
    trials = ising.chain(chain_length, 0.0, field=fields)
    model = ising.chain(chain_length, J[index])
    bound = ising.trial_free_energies(model, trials, max_order=1)[0] / chain_length
    assert bound.min() > about_spins[0, index] - 1e-12  # no field does better than (9.2)
    print(f"J = {J[index]:.2f}: m = {spin_m[index]:.4f}, errors of F_1 .. F_4 per spin", end=" ")
    print((about_spins - exact_ring)[:, index].round(5))


# %%
def draw_orders(axes, exact, groups):
    """Free energies (left) and their errors (right; hollow: below the exact value)."""
    axes[0].plot(J, exact, color="black", lw=2.5, label="exact")
    for name, orders, colour in groups:
        for order, style in ((1, "-"), (2, "--"), (3, ":")):
            axes[0].plot(J, orders[order - 1], style, color=colour, label=f"{name}, order {order}")
            error = orders[order - 1] - exact
            axes[1].semilogy(J, np.abs(error), style, color=colour)
            below = error < 0
            axes[1].semilogy(J[below], -error[below], "o", ms=3.5, mfc="white", color=colour)
    label(axes[0], "Free energy per spin", "coupling $J$ (contains $\\beta$)", "nats")
    label(axes[1], "Error (hollow: too low)", "coupling $J$ (contains $\\beta$)", "nats per spin")
    axes[0].legend(fontsize=10)


# %% name="ring" alt="Ising ring over J: order 1 lies above the exact curve, orders 2 and 3 close to it and below up to J = 0.5, then above; trials of pairs leave the curve later than single spins."
figure, axes = plt.subplots(1, 2, figsize=(10, 4.2))
draw_orders(axes, exact_ring, (("spins", about_spins, blue), ("pairs", about_pairs, orange)))
axes[0].set(xlim=(0.2, 0.9), ylim=(-1.1, -0.68))
axes[1].set_ylim(1e-5, 0.3)
plt.show()

# %% [markdown]
# At small $J$ order 2 removes almost the whole error of the bound, and the hollow dots say that it
# overshoots: not a bound (order 3 coincides with it there, since the third cumulant vanishes at $m = 0$). At
# $J = \frac12$ the trial spins order by themselves. A ring has no such transition: $F$ is
# smooth, by (9.1), and at no finite $J$ is there an ordered phase. Beyond this point the corrections start from a wrong
# picture, and they repair little. Pairs (orange) keep more of the truth in the trial and put off the
# trouble to larger $J$, where the story repeats itself.
#
# ## 10. The square lattice
#
# In two dimensions the transition is real. On the infinite lattice spins order at
# $J_c = \frac12 \ln (1 + \sqrt 2) = 0.4407$ (Onsager 1944); mean field with its four neighbours orders at
# $4 J = 1$. A 6 × 6 lattice with periodic edges is small enough for the transfer matrix, so that $F$ and all
# orders are exact. The second trial keeps the vertical bonds: six closed columns, exact inside, each in the field
# $2 J m$ of its two neighbours.

# %%
J = np.linspace(0.02, 0.7, 69)
spin_m = fixed_point(lambda m: np.tanh(4 * J * m), len(J))
column_m = fixed_point(
    lambda m: ising.per_spin(ising.chain(lattice_size, J, field=2 * J * m)).magnetisation,
    len(J),
    500,
)
model, num_spins = ising.square(lattice_size, J), lattice_size**2
spins = ising.square(lattice_size, 0 * J, field=4 * J * spin_m)
columns = ising.square(lattice_size, J, field=2 * J * column_m)
columns = columns._replace(right=0 * columns.right)
exact_square = -model.log_z() / num_spins
square_spins, square_columns = (
    ising.trial_free_energies(model, trial, max_order=3) / num_spins for trial in (spins, columns)
)

# %%
assert np.all(square_spins[0] > exact_square) and np.all(square_columns[0] > exact_square)  # B16
assert np.all(square_columns[0] < square_spins[0] + 1e-12)
shorter = None
for size in (4, 6, 8):  # B27: no cluster of three bonds can go round
    lattice, free = ising.square(size, 0.2), ising.square(size, 0.0)
    orders = ising.trial_free_energies(lattice, free, max_order=4) / size**2
    print(f"{size} x {size}, J = 0.2: orders 1 to 4", orders.round(7), end=" ")
    print(f"exact {-lattice.log_z() / size**2:.7f} nats per spin")
    shorter = orders if shorter is None else shorter
    check(orders[:3], shorter[:3])
for index in (18, 28, 42, 58):
    gains = (square_spins - exact_square)[:, index] / (square_spins - exact_square)[0, index]
    print(f"J = {J[index]:.2f}: error of orders 1, 2, 3 in units of the first", gains.round(3))

# %% name="lattice" alt="Square lattice over J: orders 2 and 3 are near the exact curve up to J = 0.25, then off. At large J all errors end on one line, ln 2 divided by the number of spins."
figure, axes = plt.subplots(1, 2, figsize=(10, 4.2))
groups = (("spins", square_spins, blue), ("columns", square_columns, orange))
draw_orders(axes, exact_square, groups)
for axis in axes:
    axis.axvline(math.log(1 + math.sqrt(2)) / 2, color=grey, lw=0.8)
axes[1].axhline(math.log(2) / num_spins, color=grey, lw=0.8)
axes[0].set(xlim=(0.1, 0.6), ylim=(-1.25, -0.68))
axes[1].set_ylim(1e-5, 0.2)
plt.show()
two_phases = num_spins * (square_spins[:, -1] - exact_square[-1])
print(
    "J = 0.7: F_1, F_2, F_3 minus F, whole lattice:",
    two_phases.round(4),
    f"ln 2 = {math.log(2):.4f}",
)

# %% [markdown]
# The table: orders 1 to 3 are the same on all three lattices, while the exact free energy per spin itself
# still changes with their size; order 4 can go round the smallest. In the picture the vertical line is $J_c$.
# Below the mean-field transition at $J = \frac14$, orders 2 and 3 gain a digit or more, the more the smaller
# $J$ is. Around it, the gain is lost, and in the whole region between the two transitions the series
# helps little, less and less towards $J_c$: fluctuations over many lattice spacings matter there, and clusters
# of two or three bonds do not see them. Columns carry long correlations in one direction and fare
# better (the dip of their error at $J \approx 0.26$ is where it changes sign, not a better approximation).
# Far on the right, order has set in for good and all curves end on the horizontal line $\ln 2 / N$:
# the lattice has *two* ordered states, the trial knows one, and its free energy is too high by $\ln 2$ in all.
# No order of the expansion finds the other, but here extensivity is a comfort: $\ln 2$ is not proportional to $N$.
#
# ## 11. When it fails: extensive and wrong
#
# Size-extensivity guarantees that the error per copy does not grow. It does not guarantee that the error
# is small. Let the posterior be much *narrower* than $q$: $s^2 = 0.4$, $a = -1.5$. The series (1.4) has terms
# $\frac12 a^n / n$, which converge for $|a| < 1$ only. Every order is perfectly extensive.

# %% name="diverging"
wide = 1 - 1 / 0.4  # a
n = np.arange(1, 9)
terms = special.factorial(n - 1) * wide**n / 2 / special.factorial(n)  # kappa_n / n!
terms[0] += math.log(1 - wide) / 2
print("error per copy of orders 1 to 8, for any N:", (-np.cumsum(terms)).round(3), "nats")
rng = np.random.default_rng(seed)
for size in (1, 8, 64):
    chi2 = rng.chisquare(size, (num_samples, num_repeats))
    mean, error = mean_and_error(evidence.iwae(size * math.log(1 - wide) / 2 + wide / 2 * chi2))
    print(f"N = {size:2d}: error per copy of IWAE-64 {-mean / size:.4f} +- {error / size:.4f} nats")
assert abs(np.cumsum(terms)[7]) > abs(np.cumsum(terms)[1])  # order 8 is worse than order 2
assert -mean / size < abs(np.cumsum(terms)[1])  # IWAE wins, even at N = 64

# %% [markdown]
# Orders 2 to 8 swing with growing amplitude. Order 2 is nearly as far off as the ELBO, on the other side;
# order 3 is back at the ELBO. IWAE with a mere 64 samples beats all of them at every size shown. First ask
# whether the expansion converges for *one* copy (chapter 1 has the radius, the nearest zero of
# $\langle w^t \rangle$ or, here, its singularity at $t = 1/a$); only then does the size matter.
#
# ## 12. Summary
#
# | estimate of $\ln p(x)$ | bound | error per copy, as $N$ grows | noise per copy |
# |:--|:--|:--|:--|
# | ELBO, cumulants of order 1 | yes | constant | $N^{-1/2}$ |
# | cumulants, order 2 | no | constant, smaller (if it converges) | constant |
# | cumulants, order 3 | no | constant, smaller (if it converges) | $N^{1/2}$ |
# | truncated exponential (2.2) | yes | rises to the ELBO's, like $\ln N / N$ | |
# | IWAE, fixed $K$ | on average | rises to the ELBO's (4.2) | |
# | jackknife, fixed $K$ | no | rises to the ELBO's | |
# | groups of fixed $K > 1$, order 2 | no | rises to $\mathrm{gap} - \frac12 v_K \kappa_2$ (5.1) | |
# | trials of independent blocks | yes | constant | none: no samples |
#
# - Cumulants of independent parts add (2.1), hence $F_k(N) = N F_k(1)$ at every order (B27). With
#   interactions, linked clusters do the same (3.1).
# - Expansions of the exponential, and log-means of a fixed number of weights, are not extensive: the
#   latter need $e^{N\, \mathrm{KL}(p \| q)}$ samples (4.4).
# - Extensivity is about expectations. Sampled cumulants of order $r$ have noise $N^{r/2 - 1}$ per copy.
# - Small system, many samples: groups, if their size is chosen well, or IWAE where a bound is wanted. Large system: cumulants, order 3 while
#   the samples carry it, and order 2 beyond.
# - Only $F_1$ is a bound (B16, B24). Orders 2 and 3 help where the trial has the right picture, and stop
#   helping near a transition of the trial or of the system.
#
# ## Exercises
#
# 1. *(easy)* **A trial of your own.** Show that for a ring with a trial of free spins ($h = 0$) all odd
#    cumulant terms from the third on vanish, except where bonds can close round the ring. Check it for a
#    ring of 12 with $J = 0.4$ (`free_orders`: $F_1$ to $F_7$).
# 2. *(easy)* **Two sizes at once.** Take $N$ copies with *different* $a_i$. Which statements of section 2
#    survive? Check the cumulants of $0.2\, z_1^2 + 0.1\, z_2^2$ from samples (`sum_cumulants`: of orders 1 to 3,
#    `sum_errors`: their standard errors).
# 3. *(medium)* **Optimise the bound.** In (2.2) expand about a point $c$ other than the mean:
#    $\ln \langle e^X \rangle \ge c + \ln \langle 1 + (X - c) + \frac12 (X - c)^2 + \frac16 (X - c)^3 \rangle$.
#    Maximise over $c$ for every $N$ and show that the share of the gap (`shares`) still falls.
# 4. *(medium)* **Samples per copy.** Let $K$ grow with the size as $K = 2^N$. Compute the error per copy of
#    IWAE-$K$ for $N = 1, 2, 4, 8, 16$ (`growing_k`). Does it stay constant, and why, given (4.4)?
# 5. *(hard)* **The random energy model.** For Gaussian $X$ of variance $\sigma^2 = N \kappa_2$ and
#    $\ln K = c N$, find what (4.3) leaves of the error per copy for $N \to \infty$, as a function of $c$; it is
#    not only a bound but the limit. With (4.5) for Gaussian weights, how far above it is the error at
#    $N \kappa_2 = 400$, for $\ln K = 0.05, 0.1, 0.15$ of the threshold? (`misses` and `limits`: in units of the gap.)
#
# The solutions are in the cells below, folded: click on one to open it.

# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. Under free spins the bonds b_i = s_i s_i+1 of an open chain are independent fair coins, symmetric
# under b -> -b, so odd cumulants vanish. On a ring their product is 1: order 12 knows, and no odd one.
free_orders = ising.trial_free_energies(ising.chain(12, 0.4), ising.chain(12, 0.0), max_order=7)
print("1. F_1 .. F_7:", free_orders.round(5))
check(np.diff(free_orders)[[1, 3, 5]], 0.0)  # terms of orders 3, 5, 7
assert abs(free_orders[-1] + ising.chain(12, 0.4).log_z()) < 1e-3

# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. (2.1) needs independence only: the cumulants add, F_k is a sum over the copies. "N times" becomes
# "N times the average copy", and (2.2) stays a bound, with the sums in its bracket.
z = np.random.default_rng(seed).normal(size=(2, 200_000))
total = 0.2 * z[0] ** 2 + 0.1 * z[1] ** 2  # a = 0.4 and 0.2
expected = [special.factorial(r - 1) * (0.4**r + 0.2**r) / 2 for r in (1, 2, 3)]
batches = cumulants.sample_cumulants(total.reshape(200, 1000), max_order=3, axis=1).numpy()
sum_cumulants, sum_errors = batches.mean(1), batches.std(1, ddof=1) / math.sqrt(200)
print("2. sampled", sum_cumulants.round(4), "sum of the exact", np.round(expected, 4))
assert np.all(np.abs(sum_cumulants - [0.3, 0.1, 0.072]) < 5 * sum_errors)
assert np.all(sum_errors < 0.01)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. With d = mean - c and the central moments, <1 + (X-c) + ..> = 1 + d + (k2 + d^2)/2
# + (k3 + 3 d k2 + d^3)/6. The maximum moves, but a cubic in X cannot follow an exponential.
def minus_bound(d, k1, k2, k3):
    inside = 1 + d + (k2 + d * d) / 2 + (k3 + 3 * d * k2 + d**3) / 6
    return d - k1 - np.log(max(inside, 1e-300))


shares = []
for size in sizes:
    k = tuple(size * kappa[:3])
    found = optimize.minimize_scalar(minus_bound, bounds=(-1, 20), args=k, method="bounded")
    shares.append(1 - found.fun / (size * gap))
print("3. share of the gap:", np.round(shares, 3), "against", recovered.round(3))
assert np.all(np.diff(shares) < 0) and np.all(np.array(shares) >= recovered - 1e-9)
check(np.sum(shares), 5.219, tolerance=1e-3)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. ln 2 = 0.69 per copy is more than KL(p || q): above the threshold (4.4) the error even vanishes.
growing_k = [-log_mean_cumulants(size, 2**size)[0] / size for size in (1, 2, 4, 8, 16)]
for size, miss in zip((1, 2, 4, 8, 16), growing_k, strict=True):
    print(f"4. N = {size:2d}, K = {2**size:6d}: error per copy {miss:.5f} nats")
    assert math.log(2) > divergence and growing_k == sorted(growing_k, reverse=True)
check(growing_k[0], 0.04843, tolerance=1e-4)
check(sum(growing_k), 0.09569, tolerance=1e-4)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 5. (4.3) per copy: (sqrt(kappa_2 / 2) - sqrt(c))^2 for c < kappa_2 / 2, and 0 above. Here sigma^2 =
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
    print(f"5. ln K = {fraction:.2f} of the threshold: error {misses[-1]:.4f} of the gap", end=", ")
    print(f"limit {limits[-1]:.4f}")
check(misses, [0.6449, 0.5015, 0.4049], tolerance=1e-3)
check(limits, [0.6028, 0.4675, 0.3754], tolerance=1e-4)
