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
# # Chapter 18: Energy minus entropy
#
# Physicists bound the free energy of a system that they cannot solve by a system that they can. Statisticians
# bound the evidence of a model by a distribution that they can average over. *Guess before you read on: is a trial
# Hamiltonian something other than a trial distribution, and is the free energy of the trial itself the bound?*
#
# [Chapter 17](17_one_free_energy.ipynb) took two roads to one functional, $\mathcal{F}[q] = \langle E \rangle_q -
# S(q)$ with $E = -\ln p(x, z)$, its (1.5), and found the identity (B12): $\ln p(x) = -\mathcal{F}[q] +
# \mathrm{KL}(q \,\|\, p(z|x))$ for every $q$. This chapter takes the other two roads.
#
# **What you will do**
#
# - derive the evidence lower bound (ELBO) by Jensen's inequality, and see its gap;
# - derive the inequality of Gibbs, Bogoliubov and Feynman, and find the same functional;
# - see the free energy of the trial alone fail as a bound;
# - bound the free energy of a quantum system by any basis;
# - put five formulas side by side, and compare twelve digits.
#
# **What you will learn**
#
# - the form of the bound that VAEs are trained with (B14), and why it is energy minus entropy (B15);
# - the variational theorem of statistical physics (B16), Rayleigh-Ritz at finite temperature;
# - that the free energy has a floor as well as a ceiling, of which only one can be computed.
#
# **What you need**: chapter 17, sections 1 to 3; $S = \ln Z + \beta \langle E \rangle$ from chapter 1, section 3;
# matrices and their eigenvalues. Quantum mechanics appears once, as a matrix.
#
# **Time**: about 54 minutes, and 80 for the exercises. The code runs in a few seconds.
#
# Equation numbers such as (B16) are the row names used in the whole course, in the library's
# docstrings and in the table `EQUATIONS.md`. Numbers such as (2.1) are steps on the way.

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

import matplotlib.pyplot as plt
import numpy as np
import scipy.linalg

from rbm_tf.course import check, label
from vae_keras import evidence

# %%
seed = 0
num_x, num_z = 5, 3  # of the table
num_trials = 1000  # random trial Hamiltonians
w, s, x_seen = 1.5, 0.8, 2.0  # the Gaussian model: weight, noise, one observation
num_samples = 10_000
blue, orange, grey = "#0072B2", "#D55E00", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 110}])
ink = plt.rcParams["text.color"]


# %%
def log_sum_exp(values, axis=-1):
    return np.logaddexp.reduce(values, axis=axis)


# %% [markdown]
# Two things from chapter 17, made again: a table $p(x, z)$ with its posteriors, and the functional.

# %%
rng = np.random.default_rng(seed)
joint = rng.dirichlet(np.full(num_x * num_z, 0.8)).reshape(num_x, num_z)  # p(x, z)
energy = -np.log(joint)  # E(x, z), nats
free_energy = -log_sum_exp(-energy)  # F_c(x) = -ln p(x)
posterior = np.exp(-energy + free_energy[:, np.newaxis])  # p(z|x)


def functional(q, energy):
    """<E>_q - S(q), (1.5) of chapter 17, over the last axis, nats."""
    return np.sum(q * (energy + np.log(np.where(q > 0, q, 1))), axis=-1)


def divergence(q, p):
    return functional(q, -np.log(p))  # KL(q || p)


# %% [markdown]
# ## 1. Third road: variational Bayes
#
# The third road is the one that most papers on VAEs take. Multiply and divide by $q(z)$ inside the sum,
#
# $$\ln p(x) = \ln \sum_z p(x, z) = \ln \sum_z q(z) \frac{p(x, z)}{q(z)}
#   = \ln \Big\langle \frac{p(x, z)}{q(z)} \Big\rangle_q . \tag{1.1}$$
#
# The logarithm is concave: its graph lies above its chords, so the logarithm of an average is
# at least the average of the logarithm (*Jensen's inequality*). This gives the *evidence lower bound*,
#
# $$\boxed{\; \ln p(x) \ge \Big\langle \ln \frac{p(x, z)}{q(z)} \Big\rangle_q
#   \equiv \mathrm{ELBO}(x) = -\mathcal{F}[q] \;} \tag{B14a}$$
#
# with equality where the ratio is the same for all $z$, that is for the posterior, $q(z) \propto p(x, z)$. (1.1) needs $q > 0$ wherever $p(x, z) > 0$; (B12) did not. Jensen gives the bound in one
# line, but not the gap, which (B12) names: it is $\mathrm{KL}(q \,\|\, p(z|x))$. Insert
# $p(x, z) = p(x|z)\, p(z)$ to get the form that VAEs are trained with:
#
# $$\mathrm{ELBO}(x) = \underbrace{\big\langle \ln p(x|z) \big\rangle_q}_{\text{reconstruction}}
#   - \underbrace{\mathrm{KL}(q(z) \,\|\, p(z))}_{\text{distance from the prior}} . \tag{B14b}$$
#
# **A Gaussian model**, the smallest relative of a VAE: $z \sim N(0, 1)$ and $x|z \sim N(w z, s^2)$, one
# number each. As $x = w z + s\, \varepsilon$ is a sum of independent Gaussians,
#
# $$p(x) = N(0,\; w^2 + s^2) , \qquad
#   p(z|x) = N\Big( \frac{w x}{w^2 + s^2} ,\; \frac{s^2}{w^2 + s^2} \Big) . \tag{1.2}$$
#
# (For the second, collect the powers of $z$ in $-\ln p(x, z)$: the coefficient of $z^2 / 2$ is
# $1 + w^2 / s^2$, the inverse variance, and that of $-z$ is $w x / s^2$.) With $q = N(m, v)$ both terms
# of (B14b) are averages of quadratic functions, $\langle (x - w z)^2 \rangle_q = (x - w m)^2 + w^2 v$:
#
# $$\mathrm{ELBO} = -\tfrac12 \ln (2 \pi s^2) - \frac{(x - w m)^2 + w^2 v}{2 s^2}
#   - \tfrac12 \big( m^2 + v - 1 - \ln v \big) . \tag{1.3}$$
#
# **Check against the exact result**: the gap on a grid of $m$ and $v$ against the divergence of two Gaussians, $\mathrm{KL}(N(m, v) \,\|\, N(M, V)) = \frac12 [ v / V +
# (m - M)^2 / V - 1 - \ln (v / V) ]$; and (1.3) against the library's estimate from samples,
# `evidence.elbo`, the mean of the log importance weights $\ln [p(x, z) / q(z)]$, within 5 standard errors.


# %%
def gaussian_elbo(m, v):
    """(1.3) at x_seen, nats."""
    reconstruction = -0.5 * np.log(2 * np.pi * s**2)
    reconstruction = reconstruction - ((x_seen - w * m) ** 2 + w**2 * v) / (2 * s**2)
    return reconstruction - 0.5 * (m**2 + v - 1 - np.log(v))


def log_normal(z, mean, variance):
    return -0.5 * np.log(2 * np.pi * variance) - (z - mean) ** 2 / (2 * variance)


# %%
total = w**2 + s**2
log_evidence = log_normal(x_seen, 0, total)  # ln p(x), (1.2)
best_mean, best_variance = w * x_seen / total, s**2 / total  # of the posterior, (1.2)
means, log_variances = np.meshgrid(np.linspace(-0.5, 2.5, 121), np.linspace(-4, 1, 121))
ratio = np.exp(log_variances) / best_variance
exact_gap = 0.5 * (ratio + (means - best_mean) ** 2 / best_variance - 1 - np.log(ratio))
elbo_grid = gaussian_elbo(means, np.exp(log_variances))
check(log_evidence - elbo_grid, exact_gap)  # (B12), (B14)
check(gaussian_elbo(best_mean, best_variance), log_evidence)

# %% name="sampled-elbo"
draws = rng.normal(0.5, math.sqrt(0.3), (num_samples, 1))  # z from q = N(0.5, 0.3)
log_weights = log_normal(draws, 0, 1) + log_normal(x_seen, w * draws, s**2)
log_weights = log_weights - log_normal(draws, 0.5, 0.3)  # ln w
estimate = float(evidence.elbo(log_weights)[0])
error_bar = log_weights.std() / math.sqrt(num_samples)
assert abs(estimate - gaussian_elbo(0.5, 0.3)) < 5 * error_bar  # (B14a)
print(f"ln p(x) = {log_evidence:.4f}, ELBO of q = N(0.5, 0.3) = {gaussian_elbo(0.5, 0.3):.4f} nats")
print(f"from {num_samples} samples: {estimate:.4f} +- {error_bar:.4f} nats")

# %% name="gap-map" alt="Contours of ln p(x) minus ELBO over mean m and ln v of q: zero at the star, the posterior at m = 1.04 and ln v = -1.5, growing on all sides; at the prior it is 3.4 nats."
figure, axis = plt.subplots(figsize=(6.4, 3.5))
contours = [0, 0.1, 0.3, 0.6, 1, 2, 4, 8, 16]
flat = means, log_variances, exact_gap, contours
picture = axis.contourf(*flat, cmap="viridis_r", extend="max")
axis.plot(best_mean, np.log(best_variance), "*", color=orange, ms=14, label="posterior")
axis.plot(0, 0, "o", color="white", mec=ink, label="prior")
label(axis, r"$\ln p(x)$ $-$ ELBO of $q = N(m, v)$", "mean $m$", r"$\ln v$")
axis.legend(loc="lower right")
plt.colorbar(picture, ax=axis, label="nats")
plt.show()

# %% [markdown]
# Here the Gaussian $q$ can be the posterior. With a neural decoder it cannot, and the remaining gap is what later
# chapters correct.

# %% [markdown]
# ## 2. Fourth road: energy minus entropy
#
# Put $E(x, z) = -\ln p(x, z)$ into (B14a):
#
# $$\boxed{\; -\mathrm{ELBO} = \langle E \rangle_q - S(q) = \mathcal{F}[q] \;} \tag{B15}$$
#
# *Free energy = expected energy − temperature × entropy*, at $T = 1$. The energy pulls $q$ towards the
# best explanation $z$ of the data, the entropy keeps it as undecided as it can be. At any temperature $T = 1 / \beta$, with
# $p_\beta = e^{-\beta E} / Z$ and $F = -\frac1\beta \ln Z$, we have $E = F - T \ln p_\beta$, so
#
# $$\mathcal{F}_T[q] = \langle E \rangle_q - T S(q) = F + T \big\langle \ln q - \ln p_\beta \big\rangle_q
#   = F + T\, \mathrm{KL}(q \,\|\, p_\beta) \ge F . \tag{2.1}$$
#
# **Gibbs, Bogoliubov, Feynman.** A physicist describes $q$ by a *trial Hamiltonian* $H_t$ that can be solved: $q = e^{-\beta H_t} / Z_t$, $F_t = -\frac1\beta \ln Z_t$, and
# $\langle \cdot \rangle_t$ is the average over $q$. Rewrite the true partition function as one such
# average, then use Jensen's inequality for the convex exponential, $\langle e^{u} \rangle \ge
# e^{\langle u \rangle}$:
#
# $$Z = \sum_z e^{-\beta H} = \sum_z e^{-\beta H_t}\, e^{-\beta (H - H_t)}
#   = Z_t \big\langle e^{-\beta (H - H_t)} \big\rangle_t
#   \ge Z_t\, e^{-\beta \langle H - H_t \rangle_t} . \tag{2.2}$$
#
# Take $-\frac1\beta \ln$, which turns the inequality around:
#
# $$\boxed{\; F \le F_t + \langle H - H_t \rangle_t \;} \tag{B16}$$
#
# It is the same functional. The trial is its own Boltzmann distribution, so that
# $F_t = \langle H_t \rangle_t - T S_t$ (B6), and
#
# $$F_t + \langle H - H_t \rangle_t = \langle H_t \rangle_t - T S_t + \langle H \rangle_t - \langle H_t \rangle_t
#   = \langle H \rangle_t - T S_t = \mathcal{F}_T[q] . \tag{2.3}$$
#
# Any $q$ is the Boltzmann distribution of some $H_t$, namely $-T \ln q$ plus a constant. So (B14), (B15) and
# (B16) are one theorem, with $H = -\ln p(x, z)$ and $H_t = -\ln q(z)$.
#
# **When it fails: the trial free energy alone.** The post says that $F_t$ is always above $F$. Taken
# by the letter that is wrong. Add a constant $c$ to $H_t$: the trial distribution stays the same,
# while $F_t$ moves by $c$, anywhere. In $F_t + \langle H - H_t \rangle_t$ the constant cancels. With
# $H_t = -\ln q$, as in inference, $F_t = 0$ whatever $q$ is, and the whole bound is in the second term.
#
# **The other side.** Exchange $H$ and $H_t$ in (B16): $F_t \le F + \langle H_t - H \rangle$, now with the
# average over the true $p$. So $F$ has a floor as well,
#
# $$F_t + \langle H - H_t \rangle_p \;\le\; F \;\le\; F_t + \langle H - H_t \rangle_t . \tag{2.4}$$
#
# The gap on the right is $T\, \mathrm{KL}(q \,\|\, p)$, and that on the left is
# $T\, \mathrm{KL}(p \,\|\, q)$. The two directions of section 3 of chapter 17 are the two sides of one
# inequality. Only the right side can be computed without knowing $p$. That is why variational inference
# is mode-seeking.
#
# **Check against the exact result** on the table, all five $x$ at once: random trial Hamiltonians,
# both sides of (2.4), the shift, and $\mathcal{F}_T$ at another temperature.

# %%
hamiltonian = energy + rng.normal(0, 1.5, (num_trials, num_x, num_z))  # H_t, (1000, 5, 3)
for beta in (1.0, 0.4):
    exact = -log_sum_exp(-beta * energy) / beta  # F, (5,)
    p = np.exp(-beta * (energy - exact[:, np.newaxis]))  # exact average
    trial_free = -log_sum_exp(-beta * hamiltonian) / beta  # F_t, (1000, 5)
    q = np.exp(-beta * (hamiltonian - trial_free[..., np.newaxis]))
    upper = trial_free + np.sum(q * (energy - hamiltonian), axis=-1)  # (B16)
    lower = trial_free + np.sum(p * (energy - hamiltonian), axis=-1)  # (2.4)
    assert np.all(upper > exact) and np.all(lower < exact)
    check(upper - exact, divergence(q, p) / beta)  # (2.1)
    check(exact - lower, divergence(p, q) / beta)
    check(upper, functional(q, beta * energy) / beta)  # (2.3)
    moved = -log_sum_exp(-beta * (hamiltonian + 7)) / beta  # H_t shifted: q and the bound stay
    check(moved, trial_free + 7)
    check(moved + np.sum(q * (energy - hamiltonian - 7), axis=-1), upper)

# %% name="trial-alone"
below = np.mean(trial_free < exact)
assert 0.4 < below < 0.8  # F_t alone is no bound
print(f"At beta = {beta}, F_t alone is below F in {100 * below:.0f} % of the trials;", end=" ")
print("F_t + <H - H_t>_t never is")

# %% [markdown]
# **Finite-temperature Rayleigh-Ritz.** In quantum mechanics $H$ is a Hermitian matrix, a state is a
# *density matrix* $\rho$ (positive, of trace 1), averages are $\mathrm{Tr}\, \rho H$, and the entropy
# is $S = -\mathrm{Tr}\, \rho \ln \rho$. The theorem keeps its form,
# $F \le \mathrm{Tr}\, \rho H - T S(\rho)$. Take for $\rho$ a mixture of the members of *any*
# orthonormal basis, $|n\rangle$ with probability $p_n$. Then $S = -\sum_n p_n \ln p_n$ and
#
# $$F \le \sum_n p_n \langle n | H | n \rangle - T S(p) . \tag{2.5}$$
#
# Over $p$ that is (2.1) for a system with the levels $\langle n | H | n \rangle$. Its minimum is
# known, the free energy of these levels:
#
# $$F = -T \ln \mathrm{Tr}\, e^{-\beta H} \;\le\; -T \ln \sum_n e^{-\beta \langle n | H | n \rangle} .
#   \tag{2.6}$$
#
# *Proof* for this $\rho$: with the eigenvectors $|k\rangle$ and eigenvalues $E_k$ of $H$, the numbers
# $P_{nk} = |\langle n | k \rangle|^2$ are the probabilities of a random $k$ given $n$, and
# $\langle n | H | n \rangle = \sum_k P_{nk} E_k$. By Jensen, $e^{-\beta \sum_k P_{nk} E_k} \le \sum_k P_{nk}
# e^{-\beta E_k}$. Sum over $n$, use $\sum_n P_{nk} = 1$, and the right side is $\mathrm{Tr}\,
# e^{-\beta H}$. $\square$ As $T \to 0$ only the lowest level counts on each side, and (2.6) becomes
#
# $$E_0 \le \min_n \langle n | H | n \rangle : \tag{2.7}$$
#
# the Rayleigh-Ritz principle, that no state has a mean energy below the ground state's. The trial basis takes the
# place of the trial vector.
#
# **Check against the exact result**: a random symmetric 5 × 5 matrix. The first trial basis are the
# unit vectors. The second one is made of their images under $e^{-H / 4}$, orthonormalised in order, which turns
# them towards the eigenvectors, the lowest first.

# %%
matrix = rng.normal(size=(5, 5))
matrix = matrix + matrix.T
levels, vectors = np.linalg.eigh(matrix)
turned = np.linalg.qr(scipy.linalg.expm(-0.25 * matrix))[0]
temperatures = np.linspace(0.05, 4, 80)[:, np.newaxis]
exact_free = -temperatures[:, 0] * log_sum_exp(-levels / temperatures)
bounds = {}
for name, basis in (("unit vectors", np.eye(5)), ("turned basis", turned)):
    diagonal = np.diag(basis.T @ matrix @ basis)  # <n|H|n>
    bounds[name] = -temperatures[:, 0] * log_sum_exp(-diagonal / temperatures)  # (2.6)
    assert np.all(bounds[name] >= exact_free) and diagonal.min() >= levels[0]  # (2.7)
    hot = 4e3 * (log_sum_exp(-levels / 4e3) - log_sum_exp(-diagonal / 4e3))  # gap at T = 4000
    check(8e3 * hot, np.var(levels) - np.var(diagonal), tolerance=0.01)  # falls like 1 / T
    print(f"{name}: lowest <n|H|n> = {diagonal.min():.3f}, E_0 = {levels[0]:.3f}")

# %% name="rayleigh-ritz" alt="Free energy over temperature: two bounds lie above the exact curve; that of the turned basis is nearer. At T = 0 they start from the lowest mean energy of their basis."
figure, axis = plt.subplots(figsize=(6.4, 3.4))
axis.plot(temperatures, exact_free, color=ink, label=r"exact, $-T \ln {\rm Tr}\, e^{-\beta H}$")
for (name, bound), colour in zip(bounds.items(), (orange, blue), strict=True):
    axis.plot(temperatures, bound, color=colour, label="bound, " + name)
label(
    axis,
    "Rayleigh-Ritz at finite temperature",
    "temperature $T$ (energy)",
    "free energy $F$ (energy)",
)
axis.axhline(levels[0], color=grey, ls=":", label="$E_0$")
axis.legend()
plt.show()

# %% [markdown]
# At $T \to 0$ each bound starts from the best mean energy that its basis has to offer. At high
# temperature both approach the exact curve, like $1 / T$: beside the entropy $\ln 5$ all that counts there is the
# mean of the five levels, $\mathrm{Tr}\, H / 5$, the same in every basis.
#
# The post adds a physical argument for (B16): a system pushed out of equilibrium relaxes back, and its
# free energy falls as it does. Exercise 2 makes that a proof. A proof by a fluctuation theorem is in
# [chapter 20, section 3](20_fluctuation_theorems.ipynb).
#
# %% [markdown]
# ## 3. One number
#
# Four roads, and five formulas. Here they are, for one random $q(z)$ on the table:

# %% name="one-number"
q, index = rng.dirichlet(np.ones(num_z)), 1
prior, likelihood = joint.sum(axis=0), joint[index] / joint.sum(axis=0)  # p(z), p(x|z)
trial_h = -np.log(q) + 7.0  # with any constant
roads = {
    "B12  -<ln p(x, z)> - H(q)          ": -q @ np.log(joint[index]) + q @ np.log(q),
    "B13  KL(q || p(z|x)) - ln p(x)     ": divergence(q, posterior[index]) + free_energy[index],
    "B14  KL(q || p(z)) - <ln p(x|z)>   ": divergence(q, prior) - q @ np.log(likelihood),
    "B15  <E> - S                       ": functional(q, energy[index]),
    "B16  F_t + <H - H_t>_t             ": -log_sum_exp(-trial_h) + q @ (energy[index] - trial_h),
}
for name, value in roads.items():
    print(f"{name} {value:.12f} nats")
print(f"all above F_c(x) = -ln p(x) =        {free_energy[index]:.12f} nats")
check(list(roads.values()), free_energy[index] + divergence(q, posterior[index]))

# %% [markdown]
# | physics | inference | RBM, clamped to $v$ |
# |:--|:--|:--|
# | state | $z$ | $h$ |
# | Hamiltonian $H$ | $-\ln p(x, z)$ | $E(v, h)$ |
# | Boltzmann distribution | posterior $p(z \mid x)$ | $p(h \mid v)$ |
# | partition function $Z$ | evidence $p(x)$ | $e^{-F_c(v)}$ |
# | free energy $F$ | $-\ln p(x)$ | $F_c(v)$ |
# | trial Hamiltonian $H_t$ | $-\ln q(z)$ | $-\ln q(h)$ |
# | $F_t + \langle H - H_t \rangle_t$ | $-$ELBO | $\langle E \rangle_q - S(q)$ |
# | non-interacting trial | mean-field $q = \prod_j q(z_j)$ | exact: $p(h \mid v)$ is a product |
# | minus the perturbation, $-(H - H_t)$ | log importance weight $\ln w$ | $-F_c(v)$ for every $h$, if $q = p(h \mid v)$ |
#
# %% [markdown]
# ## 4. The bridge
#
# The post asks four questions. Chapters 17 and 18 answer two of them in part, and prepare the others.
#
# - *How is this free energy related to $\ln Z$?* The variational free energy is
#   $\mathcal{F}[q] = -\ln Z + \mathrm{KL}(q \,\|\, p)$ (B12, B16), where $Z$ is the partition function
#   of the unseen variables with the data clamped, $Z = p(x)$.
# - *When is it variational, when not?* $\langle H \rangle_q - T S(q)$ is an upper bound for every
#   distribution $q$, tight for the true one only. $F_t$ alone is not; neither are, in general, higher orders of
#   perturbation theory.
# - *How can it be improved?* By a richer family of $q$, like the blocks of [chapter
#   19](19_variational_theorem.ipynb); or by keeping the family and estimating the gap, whose expansion in cumulants
#   comes in chapters 32 and 34 (B23 to B25).
# - *How is it related to a deterministic autoencoder?* As $T \to 0$ the entropy drops out of
#   $\langle E \rangle - T S$, and $q$ shrinks to one point, the $z$ of lowest energy (B32, chapter 28).
#
# Another starting point of the post, score matching (B11), never meets $Z$: chapter 27.
#
# An RBM is trained on $F_c - F_{\rm eq}$, and approximates $F_{\rm eq}$. A VAE has $F_{\rm eq} = 0$ and
# approximates $F_c$, by (B14b), with a $q(z|x)$ that a neural network computes from $x$ (chapter 22). What it minimises
# has now been derived four times.
#
# %% [markdown]
# ## 5. Summary
#
# | road | row | statement | the gap is |
# |:--|:--|:--|:--|
# | expected log likelihood | B12 | $\ln p(x) = \langle \ln p(x, z) \rangle_q + H(q) + \mathrm{KL}$ | the KL term, kept |
# | KL of posteriors | B13 | $\mathrm{KL}(q \,\Vert\, p(z \mid x)) = \mathcal{F}[q] + \ln p(x)$ | the objective itself |
# | variational Bayes | B14 | $\ln p(x) \ge \langle \ln p(x \mid z) \rangle_q - \mathrm{KL}(q \,\Vert\, p(z))$ | the same KL; Jensen does not name it |
# | energy minus entropy | B15 | $-\mathrm{ELBO} = \langle E \rangle_q - S(q)$ | the same KL, (2.1) |
# | Gibbs, Bogoliubov, Feynman | B16 | $F \le F_t + \langle H - H_t \rangle_t$ | $T\, \mathrm{KL}(q \,\Vert\, p)$ |
#
# - The bound of (B16) survives a shift of $H_t$, $F_t$ does not.
# - The free energy has a floor, too (2.4). Its gap is the other divergence, and it needs averages over the true $p$.
# - Any orthonormal basis bounds a quantum free energy (2.6); as $T \to 0$ that is Rayleigh-Ritz.
#
# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **A bound is a tangent.** One bit with the energies 0 and $\Delta$ has $F(\Delta) = -\ln(1 + e^{-\Delta})$. Take
#    the same bit with another energy $t$ as the trial. Write `sandwich(delta, trial)`, which returns the lower bound of
#    (2.4), $F(\Delta)$ and the upper bound (B16). Show that the upper one, as a function of $\Delta$, is the tangent to
#    $F$ at $\Delta = t$. Which property of $F$ does (B16) state?
# 2. *(medium)* **Relaxation.** A Markov chain with transition probabilities $R(z'|z)$ leaves $p$ alone,
#    $\sum_z R(z'|z)\, p(z) = p(z')$. Show that $\mathcal{F}$ can only fall when $q$ is replaced by
#    $\sum_z R(z'|z)\, q(z)$, use it to prove (B16) anew, and watch a Metropolis chain do it: six states with
#    random energies `six`, $R$ as a matrix `metropolis[new, old]`, and `history`, the list of $\mathcal{F}$ over 300 steps.
# 3. *(hard)* **The anharmonic oscillator.** Take the classical
#    $E(x) = \frac12 x^2 + g x^4$ at $\beta = 1$ and a trial oscillator, that is a Gaussian $q$ of variance
#    $v$. Derive $\mathcal{F}(v) = \frac12 v + 3 g v^2 - \frac12 \ln (2 \pi e\, v)$ and the best $v$, and
#    compare with quadrature from $g = 0.01$ to 10: a function `quartic(g)` that returns
#    the best $v$, the bound and the exact $F$. How large does the gap become
#    for $g \to \infty$ (`limit`)?
#
# The solutions are in the cells below, folded: click on one to open it.


# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. With F = -ln(1 + e^-D), F'(D) = m, the probability of the state 1. Upper: F(t) + m(t) (D - t), the tangent at t.
# Lower: F(t) + m(D) (D - t). F is concave (F'' = -m (1 - m) < 0), so it lies below its tangents: that is (B16).
def sandwich(delta, trial):
    def free(level):
        return -np.logaddexp(0, -level)

    def occupied(level):
        return 1 / (1 + math.exp(level))

    lower = free(trial) + occupied(delta) * (delta - trial)
    return lower, free(delta), free(trial) + occupied(trial) * (delta - trial)


# %% jupyter={"source_hidden": true} tags=["solution"]
# The checks of exercise 1: no gap at t = D; else a gap on both sides; and the slope of the upper bound.
print("1. D = 2, t = 0.5:", np.round(sandwich(2, 0.5), 4), "nats")
check(sandwich(0.7, 0.7), -math.log1p(math.exp(-0.7)))
check(sandwich(2.0, 0.0), (-0.4547407, -0.1269280, 0.3068528), tolerance=1e-6)
assert sandwich(2, 0.5)[0] < sandwich(2, 0.5)[1] < sandwich(2, 0.5)[2]
check(sandwich(3, 0.5)[2] - sandwich(2, 0.5)[2], 1 / (1 + math.exp(0.5)))

# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. Joint distributions R(z'|z) q(z) and R(z'|z) p(z) have the divergence KL(q || p), since R cancels. By the
# chain rule it is KL(Rq || Rp) + a mean KL of the reversed conditionals, and Rp = p: KL(Rq || p) <= KL(q || p).
# F[q] = F + KL falls at every step; if the chain forgets its start, q -> p and F[q] -> F, so F[q] >= F.
six, history, ring_moves = rng.normal(0, 2, 6), [], np.roll(np.eye(6), 1, 0) / 2
ring_moves += ring_moves.T  # propose a neighbour
metropolis = ring_moves * np.minimum(1, np.exp(-np.subtract.outer(six, six)))  # [new, old]
metropolis += np.diag(1 - metropolis.sum(axis=0))  # stay otherwise
q = np.eye(6)[np.argmax(six)]
for _ in range(300):
    history.append(functional(q, six))
    q = metropolis @ q
print("2. F[q] at steps 0, 1, 10, 100:", np.round([history[k] for k in (0, 1, 10, 100)], 4))
check([metropolis.sum(axis=0), metropolis @ np.exp(-six) / np.exp(-six)], 1.0)
check(history[-1], -log_sum_exp(-six), 1e-4)
assert np.all(np.diff(history) <= 1e-12)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. <x^2> = v, <x^4> = 3 v^2, and the entropy of a Gaussian is ln(2 pi e v) / 2. dF/dv = 1/2 + 6 g v - 1/(2 v) = 0:
# 12 g v^2 + v - 1 = 0. For g -> infinity only g x^4 counts: v = (12 g)^(-1/2), F_1 = 1/4 - ln(2 pi e) / 2
# + ln(12 g) / 4, and the exact F = ln(g) / 4 - ln(2 Gamma(5/4)): ln g drops out of the gap.
def quartic(g):  # v, F_1, F
    x, v = np.linspace(-12, 12, 40_001), (math.sqrt(1 + 48 * g) - 1) / (24 * g)
    first = v / 2 + 3 * g * v**2 - 0.5 * math.log(2 * np.pi * math.e * v)
    return v, first, -math.log(np.trapezoid(np.exp(-(x**2) / 2 - g * x**4), x))


for g in (0.01, 0.1, 1.0, 10.0):
    print("3. g = {:5.2f}: v = {:.4f}, F_1 = {:.4f}, exact {:.4f} nats".format(g, *quartic(g)))
limit = 0.25 + math.log(12) / 4 - math.log(2 * np.pi * math.e) / 2 + math.log(2 * math.gamma(1.25))
print(f"   g to infinity: gap {limit:.4f} nats")
check(quartic(1.0), (0.25, -0.4133, -0.4414), tolerance=1e-4)
check(quartic(1e6)[1] - quartic(1e6)[2], limit, tolerance=1e-3)
