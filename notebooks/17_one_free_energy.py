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
# # Chapter 17: One free energy
#
# One textbook maximises an expected log likelihood. Another one makes two posteriors alike. A third one
# derives an evidence lower bound, and a physicist minimises energy minus entropy. *Guess before you read
# on: how many principles are these?* This chapter takes the first two roads, and
# [chapter 18](18_energy_minus_entropy.ipynb) the other two.
#
# It is the bridge of the course. So far the subject was the restricted Boltzmann machine (RBM), given
# by an energy. Soon it will be the variational autoencoder (VAE), given by probabilities. Here the
# two become one problem, on examples so small that everything can be computed exactly.
#
# **What you will do**
#
# - turn a table of probabilities into a physical system, and find its clamped free energy;
# - derive one functional along two roads, and see its shape;
# - fit one distribution to another in both directions, and see what each direction gives up;
# - split the objective of a VAE into what its encoder and what its decoder is asked to do.
#
# **What you will learn**
#
# - that $\ln p(x)$ is a clamped free energy (B5), and that an RBM and a VAE each lack the other's half;
# - where the gap between $\ln p(x)$ and its lower bound comes from (B12), and what it is;
# - which of the two models the other, $q$ or $p$ (B13).
#
# **What you need**: $\ln p(v) = -F_c(v) + F_{\rm eq}$ from chapter 3, section 2; Gaussian integrals.
#
# **Time**: about 60 minutes, and 80 for the exercises. The code runs in a few seconds.
#
# Equation numbers such as (B12) are the row names used in the whole course, in the library's
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

import itertools
import math

import matplotlib.pyplot as plt
import numpy as np
import scipy.optimize

from rbm_tf import BernoulliRBM, diagrams
from rbm_tf.course import check, label

# %%
seed = 0
num_x, num_z = 5, 3  # of the table
num_trials = 1000  # random distributions that each identity is checked with
blue, orange, green, grey = "#0072B2", "#D55E00", "#009E73", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 110}])
ink = plt.rcParams["text.color"]


# %%
def log_normal(z, mean, variance):
    return -0.5 * np.log(2 * np.pi * variance) - (z - mean) ** 2 / (2 * variance)


# %% [markdown]
# **Part V: One free energy.** Why does anyone care? Because free energies are how one computes with
# probabilities that nobody can sum. A free energy is the lowest value of a sum of two terms that pull in
# opposite directions: the energy wants the one best state, the entropy wants all states alike. Every
# approximation of this course looks for that lowest value among distributions that one can handle. Part V
# derives the principle (chapters 17 and 18), tries it on magnets (chapter 19), and asks what it says about
# work (chapter 20) and about the number of states (chapter 21).
#
# The smallest example is one number $z$ with the energy $\frac12 z^2$, and the trials $q = N(0, v)$ with the
# mean energy $\frac12 v$ and the entropy $\frac12 \ln (2 \pi e\, v)$. Above it are drawn the two models of the
# course; chapter 22 builds the second.

# %% name="tug-of-war" alt="Above: two layers of units joined by weights, and an encoder and decoder with a code between them. Below: over the variance v the energy rises, minus the entropy falls, and their sum is a valley that touches F at v = 1."
width = np.geomspace(1 / 16, 16, 257)  # v
mean_energy, entropy = width / 2, 0.5 * np.log(2 * np.pi * math.e * width)
valley, exact = mean_energy - entropy, -0.5 * math.log(2 * np.pi)  # exact: of the integral
check([valley[128], valley.min()], exact)  # v = 1
axes = plt.figure(figsize=(9.5, 6)).subplot_mosaic("RVV;SSS")
diagrams.boltzmann_machine(axes["R"]).set_title(r"RBM: what is $F_{\rm eq}$?", pad=26)
diagrams.autoencoder(axes["V"]).set_title("VAE: what is $F_c(x)$?", pad=26)
axes["S"].semilogx(width, mean_energy, "--", color=blue, label="energy")
axes["S"].semilogx(width, -entropy, ":", lw=2.5, color=orange, label="minus entropy")
axes["S"].semilogx(width, valley, color=ink, lw=2.5, label="their sum")
axes["S"].axhline(exact, color=grey, lw=1, label=r"$F = -\ln Z$")
axes["S"].set(xlim=(0.06, 6), ylim=(-2.5, 3.2))
label(axes["S"], "One free energy, the lowest value of a sum", "variance $v$ of $q$", "nats")
axes["S"].legend(loc="upper left")
plt.show()

# %% [markdown]
# No $v$ gets below the true $F = -\ln Z$. The best $q$ is the Boltzmann distribution itself, $v = 1$.
#
# %% [markdown]
# ## 1. A latent-variable model is a physical system
#
# A latent-variable model is a joint probability $p(x, z)$ of something seen, $x$, and something
# unseen, $z$. Usually one first draws $z$ from a *prior* $p(z)$, then $x$ from
# $p(x|z)$. In a VAE $x$ is an image and $z$ a handful of real numbers. Here $x$ has 5 values and $z$
# has 3, and the joint probability is a table of 15 numbers.
#
# Define the energy of a pair by
#
# $$E(x, z) = -\ln p(x, z) = -\ln p(z) - \ln p(x|z) . \tag{1.1}$$
#
# Then $p(x, z) = e^{-E(x, z)}$ is a Boltzmann distribution at $\beta = 1$ (B3), with nothing left to
# normalise:
#
# $$Z = \sum_{x, z} e^{-E(x, z)} = \sum_{x, z} p(x, z) = 1 , \qquad F_{\rm eq} = -\ln Z = 0 . \tag{1.2}$$
#
# Clamp the visible $x$, as in chapter 3, section 2. The sum over the unseen $z$ is the clamped partition function,
# and it is the probability of the data:
#
# $$e^{-F_c(x)} = \sum_z e^{-E(x, z)} = \sum_z p(x, z) = p(x)
#   \quad\Longrightarrow\quad \ln p(x) = -F_c(x) . \tag{1.3}$$
#
# This is $\ln p(x) = -F_c(x) + F_{\rm eq}$ (B5) with $F_{\rm eq} = 0$. The *posterior* is the
# Boltzmann distribution of the clamped system:
#
# $$p(z|x) = \frac{p(x, z)}{p(x)} = e^{-E(x, z) + F_c(x)} . \tag{1.4}$$
#
# So the two kinds of model pay for $\ln p$ at opposite ends:
#
# | | clamped free energy $F_c$ | equilibrium free energy $F_{\rm eq}$ |
# |:--|:--|:--|
# | RBM | cheap: the hidden units are independent given $v$ | intractable: a sum over all states |
# | latent-variable model, VAE | intractable: a sum over all $z$ | zero, by construction |
#
# The difficulty has moved. From here on the system is the clamped one: $x$ is fixed, the states are the
# values of $z$, and the unknown is $F_c(x) = -\ln p(x)$.
#
# **The functional.** For *any* distribution $q(z)$, not only the right one, define
#
# $$\mathcal{F}[q] = \langle E(x, z) \rangle_q - S(q) , \qquad S(q) = -\sum_z q(z) \ln q(z) . \tag{1.5}$$
#
# In (2.6) of chapter 3 we met it at one point: for $q = p(h|v)$ it equals $F_c(v)$.
#
# **Check against the exact result**: the table; then an RBM, whose posterior is a *product* of
# independent units, so that the best product distribution makes $\mathcal{F}$ exact.

# %% name="table"
rng = np.random.default_rng(seed)
joint = rng.dirichlet(np.full(num_x * num_z, 0.8)).reshape(num_x, num_z)  # p(x, z)
energy = -np.log(joint)  # (1.1), nats
free_energy = -np.logaddexp.reduce(-energy, axis=1)  # F_c(x), (1.3), (5,)
posterior = np.exp(-energy + free_energy[:, np.newaxis])  # p(z|x), (1.4)
prior, likelihood = joint.sum(axis=0), joint / joint.sum(axis=0)  # p(z), p(x|z)
check(np.logaddexp.reduce(-energy.ravel()), 0.0)  # F_eq = 0, (1.2)
check(np.exp(-free_energy), joint.sum(axis=1))  # p(x), (1.3)
check(posterior.sum(axis=1), 1.0)
print("p(x, z), one row for each x:", joint.round(3), sep="\n")
print("F_c(x) = -ln p(x):", free_energy.round(3), "nats")


# %%
def functional(q, energy):
    """<E>_q - S(q), (1.5), over the last axis, nats; 0 ln 0 is 0."""
    return np.sum(q * (energy + np.log(np.where(q > 0, q, 1))), axis=-1)


def divergence(q, p):
    """KL(q || p), (B12) below, over the last axis, nats."""
    return functional(q, -np.log(p))


# %%
rbm = BernoulliRBM(6, num_z, seed=seed, dtype="float64")
for parameter in rbm.trainable_variables:
    parameter.assign(rng.normal(0, 1.5, parameter.shape))
v = np.array(list(itertools.product([0.0, 1.0], repeat=6)))  # (64, 6)
h = np.array(list(itertools.product([0.0, 1.0], repeat=num_z)))  # (8, 3)
on = rbm.hidden_mean(v).numpy()[:, np.newaxis]  # p(h_j = 1|v), (64, 1, 3)
product = np.where(h, on, 1 - on).prod(axis=-1)  # q(h|v), (64, 8)
clamped = np.array([rbm.energy(np.tile(row, (8, 1)), h).numpy() for row in v])  # (64, 8)
check(functional(posterior, energy), free_energy)
check(functional(product, clamped), rbm.free_energy(v))
print("F[p(z|x)] = F_c(x) for the table, and F[product] = F_c(v) for the RBM")

# %% [markdown]
# ## 2. First road: the expected log likelihood
#
# Start from $\ln p(x)$, the quantity to maximise over the parameters of the model. (The post that this
# course follows writes "min" in front of it; it should read "max", or carry a minus sign.) For every single $z$ with $p(x, z) > 0$, (1.4) says
#
# $$\ln p(x) = \ln p(x, z) - \ln p(z|x) . \tag{2.1}$$
#
# The left side does not depend on $z$. So it equals its own average over *any* $q(z)$ that lives on
# such $z$ (for any other $q$ both sides of (2.4) below are infinite),
#
# $$\ln p(x) = \big\langle \ln p(x) \big\rangle_q
#   = \big\langle \ln p(x, z) \big\rangle_q - \big\langle \ln p(z|x) \big\rangle_q . \tag{2.2}$$
#
# Add and subtract $\langle \ln q(z) \rangle_q = -S(q)$; machine learning calls this entropy $H(q)$:
#
# $$\boxed{\; \ln p(x) = \underbrace{\big\langle \ln p(x, z) \big\rangle_q + H(q)}_{-\mathcal{F}[q]}
#   + \underbrace{\Big\langle \ln \frac{q(z)}{p(z|x)} \Big\rangle_q}_{\mathrm{KL}(q \,\|\, p(z|x))} \;}
#   \tag{B12}$$
#
# No approximation has been made: (B12) is an identity, for every $q$. The last term is the
# *Kullback-Leibler divergence*. It is never negative, because $\ln u \le u - 1$:
#
# $$-\mathrm{KL}(q \,\|\, p) = \sum_{q > 0} q \ln \frac{p}{q} \le \sum_{q > 0} q \Big( \frac{p}{q} - 1 \Big)
#   = \sum_{q > 0} p - 1 \le 0 , \tag{2.3}$$
#
# with equality only where $p / q = 1$ everywhere. It follows that
#
# $$\mathcal{F}[q] = F_c(x) + \mathrm{KL}\big( q \,\|\, p(z|x) \big) \ge F_c(x) . \tag{2.4}$$
#
# The functional is never below the clamped free energy, and touches it at the posterior alone.
#
# **Check against the exact result**: (B12) for 1,000 random $q$ and all five $x$; then a picture of
# $\mathcal{F}$. A distribution over three values of $z$ is a point in a triangle, whose corners are
# certainty.

# %%
trials = rng.dirichlet(np.ones(num_z), num_trials)[:, np.newaxis]  # random q(z), (1000, 1, 3)
mean_log_joint = np.sum(trials * np.log(joint), axis=-1)  # <ln p(x, z)>_q, (1000, 5)
trial_entropy = -np.sum(trials * np.log(trials), axis=-1)
gap = divergence(trials, posterior)  # (1000, 5)
check(mean_log_joint + trial_entropy + gap, -free_energy)  # (B12)
check(functional(trials, energy), free_energy + gap)  # (2.4)
assert np.all(gap > 0)
print(f"(B12) holds for {gap.size} pairs of q and x; the gap is {gap.min():.5f} nats or more")

# %% name="bowls" alt="The height of F over F_c on two triangles of distributions of three values: one bowl each, lowest at the star, the posterior; for x = 3 the star lies near the corner z = 1."
corners = np.array([[0, 0], [1, 0], [0.5, math.sqrt(3) / 2]])
points = rng.dirichlet(np.ones(3), 6000)  # distributions over three values
figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.6))
for axis, index in zip(axes, (0, 2), strict=True):
    height = functional(points, energy[index]) - free_energy[index]
    flat = (*(points @ corners).T, height)
    picture = axis.tricontourf(*flat, np.arange(0, 3.1, 0.25), cmap="viridis_r", extend="max")
    axis.plot(*(posterior[index] @ corners), "*", color=orange, ms=14)
    for name, place in enumerate(corners * 1.16 - [0.08, 0.06], start=1):
        axis.text(*place, f"$z={name}$", ha="center", va="center")
    axis.set(title=rf"$x = {index + 1}$: $\mathcal{{F}}[q] - F_c(x)$, star: $p(z|x)$", aspect=1)
    axis.axis([-0.15, 1.15, -0.1, 1.0])
    axis.axis("off")
    plt.colorbar(picture, ax=axis, label="nats")
plt.show()

# %% [markdown]
# One bowl for each $x$, with its bottom at the posterior, where $\mathcal{F} = F_c(x)$. Finding the
# posterior and finding $\ln p(x)$ are one and the same minimisation. And it can be done without knowing
# $p(x)$, because $\langle E \rangle_q$ and $S(q)$ need the joint probability only.

# %% [markdown]
# ## 3. Second road: two posteriors, and which models which
#
# We want a tractable $q(z)$ close to the intractable posterior, so minimise $\mathrm{KL}(q \,\|\, p(z|x))$.
# It contains $p(z|x)$, which we do not have. Put in $\ln p(z|x) = \ln p(x, z) - \ln p(x)$:
#
# $$\mathrm{KL}(q \,\|\, p(z|x)) = \langle \ln q \rangle_q - \langle \ln p(x, z) \rangle_q + \ln p(x)
#   = \mathcal{F}[q] - F_c(x) . \tag{B13a}$$
#
# That is (2.4), read from the other end. One minimises $\mathcal{F}$ instead, which differs by a constant.
#
# **The other direction.** The KL is not symmetric. Why not minimise
# $\mathrm{KL}(p(z|x) \,\|\, q) = -S(p(z|x)) - \langle \ln q \rangle_{p(z|x)}$? Because its average is
# over the posterior, the distribution that we cannot sample. The two also *want* different things:
#
# - $\mathrm{KL}(q \,\|\, p) = \langle \ln q - \ln p \rangle_q$ is infinite if $q$ has mass where $p$ has
#   none. It pays little if $q$ misses a part of $p$. The best $q$ hides inside $p$: *mode-seeking*.
# - $\mathrm{KL}(p \,\|\, q) = \langle \ln p - \ln q \rangle_p$ is infinite if $q$ misses any part of
#   $p$. Mass between the modes costs little. The best $q$ spreads over $p$: *mass-covering*.
#
# For a Gaussian $q = N(m, v)$ the second one can be solved. Its only term with $q$ is
#
# $$-\langle \ln q \rangle_p = \tfrac12 \ln (2 \pi v) + \frac{\langle (z - m)^2 \rangle_p}{2 v} . \tag{3.1}$$
#
# The derivative for $m$ vanishes at $m = \langle z \rangle_p$; that for $v$,
# $\frac{1}{2v} - \frac{\langle (z - m)^2 \rangle_p}{2 v^2}$, vanishes at
# $v = \langle (z - m)^2 \rangle_p = \mathrm{Var}_p(z)$. So $\mathrm{KL}(p \,\|\, q)$ is minimised by
# *matching the moments*, whatever $p$ is.
#
# When $p$ is Gaussian in several dimensions, with precision matrix $\Lambda = \Sigma^{-1}$, and $q$ a
# product of Gaussians of variances $v_j$ with the same mean, the first one can be solved as well:
#
# $$\mathrm{KL}(q \,\|\, p) = -\tfrac12 \sum_j \ln v_j + \tfrac12 \sum_j \Lambda_{jj} v_j + \text{const}
#   \quad\Longrightarrow\quad v_j = \frac{1}{\Lambda_{jj}} \le \Sigma_{jj} . \tag{3.2}$$
#
# The cross terms drop out, because the coordinates of $q$ are independent. The product gets the
# *conditional* variances, too narrow whenever the coordinates are correlated. The other
# direction gets the marginal variances $\Sigma_{jj}$, by (3.1).
#
# **Check against the exact result**, by quadrature on a grid and by numerical minimisation from two
# starts. The target is a mixture of two Gaussians; then, for (3.2), a pair with correlation 0.9.

# %%
z = np.linspace(-8, 8, 4001)
step = z[1] - z[0]
log_p = np.logaddexp(np.log(0.4) + log_normal(z, -2, 0.3), np.log(0.6) + log_normal(z, 2, 0.6))
thin = log_p < np.log(0.02)  # between the modes and outside


def kl_q_p(theta):  # theta = (mean, ln variance)
    log_q = log_normal(z, theta[0], np.exp(theta[1]))
    return step * np.sum(np.exp(log_q) * (log_q - log_p))


def kl_p_q(theta):
    return step * np.sum(np.exp(log_p) * (log_p - log_normal(z, theta[0], np.exp(theta[1]))))


# %% name="two-directions"
mean = step * np.sum(np.exp(log_p) * z)
moments = np.array([mean, np.log(step * np.sum(np.exp(log_p) * (z - mean) ** 2))])
covering = scipy.optimize.minimize(kl_p_q, [0.0, 0.0], tol=1e-10).x
seeking = [scipy.optimize.minimize(kl_q_p, [start, 0.0]).x for start in (-2.0, 2.0)]
check(covering, moments, tolerance=1e-4)  # (3.1)
fits = {"seeking, from the left": seeking[0], "seeking, from the right": seeking[1]}
fits["covering"] = moments
print("q                          mean  variance   KL(q||p)   KL(p||q)")
for name, theta in fits.items():
    print(f"{name:23s} {theta[0]:7.3f} {np.exp(theta[1]):9.3f}", end="")
    print(f" {kl_q_p(theta):10.3f} {kl_p_q(theta):10.3f}")
for theta, mode in zip(seeking, (0.4, 0.6), strict=True):  # the share of the mode in p
    assert abs(kl_q_p(theta) + np.log(mode)) < 0.01 and kl_p_q(theta) > 5 * kl_p_q(moments)
wide = log_normal(z, moments[0], np.exp(moments[1]))  # ln of the covering q
check(step * np.sum(np.exp([wide[thin], log_p[thin]]), axis=1), [0.25, 0.02], tolerance=0.005)

# %%
correlated = np.array([[1.0, 0.9], [0.9, 1.0]])  # Sigma
precision = np.linalg.inv(correlated)


def kl_gaussians(variances, covariance):  # of N(0, diag(variances)) from N(0, covariance)
    trace = np.trace(np.linalg.solve(covariance, np.diag(variances)))
    return 0.5 * (trace - 2 + np.log(np.linalg.det(covariance) / np.prod(variances)))


best = scipy.optimize.minimize(lambda u: kl_gaussians(np.exp(u), correlated), np.zeros(2)).x
check(np.exp(best), 1 / np.diag(precision), tolerance=1e-4)  # (3.2)
print(f"variance: product {np.exp(best[0]):.3f}, marginal 1; conditional {1 / precision[0, 0]:.3f}")
assert best[0] < math.log(0.2)  # a fifth of the true variance, or less
names = "$p$", r"$q$ by KL$(q \| p)$", r"$q$ by KL$(p \| q)$"
matrices = correlated, np.diag(np.exp(best)), np.eye(2)

# %% name="best-gaussians" alt="Left: a density with two modes; two Gaussians fit one mode each, a third spreads over both. Right: a tilted ellipse, a small circle inside it and a large one around it."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), width_ratios=[1.7, 1])
circle = np.stack([np.cos(np.linspace(0, 7, 200)), np.sin(np.linspace(0, 7, 200))])
axes[0].fill_between(z, np.exp(log_p), color=grey, alpha=0.35, label="$p$")
for (name, theta), colour in zip(fits.items(), (blue, green, orange), strict=True):
    density = np.exp(log_normal(z, theta[0], np.exp(theta[1])))
    axes[0].plot(z, density, color=colour, label=name)
label(axes[0], "The best Gaussian, in two senses", "$z$", "density")
axes[0].set_xlim(-5, 8)
axes[0].legend()
for matrix, colour, name in zip(matrices, (grey, blue, orange), names, strict=True):
    axes[1].plot(*(np.linalg.cholesky(matrix) @ circle), color=colour, lw=2, label=name)
axes[1].legend(loc="upper left", bbox_to_anchor=(1, 1))
label(axes[1], "A correlated pair, and products", "$z_1$", "$z_2$")
axes[1].set_aspect("equal")
plt.show()

# %% [markdown]
# Left: minimising $\mathrm{KL}(q \,\|\, p)$ picks one mode and fits it well. The price is about $-\ln$ of the
# share that the mode has in $p$: $-\ln 0.4 = 0.92$ and $-\ln 0.6 = 0.51$. Minimising
# $\mathrm{KL}(p \,\|\, q)$ covers both, with a quarter of its mass where $p$ is below 0.02 and has itself a
# fiftieth. Right: one standard deviation of $p$ and of the two best products.
#
# **When it fails.** Two failures of $\mathrm{KL}(q \,\|\, p)$ are in this picture. It has *local minima*: the start on the
# left ends in the worse of the two modes, and nothing in $q$ tells. And a product is *too sure of
# itself*: it claims a variance of 0.19 where the true one is 1. Both are optima, found without a fault.
#
# **Does $q$ model $p$, or $p$ model $q$?** The post asks this about VAEs. Both happen, in one
# KL. Training has data with a distribution $p_D(x)$, a $q(z|x)$ for each $x$, and parameters on both
# sides. Average $\mathcal{F}$ over the data, and subtract their entropy $S_D$:
#
# $$\big\langle \mathcal{F}[q(\cdot|x)] \big\rangle_D - S_D
#   = \sum_{x, z} p_D(x)\, q(z|x) \ln \frac{p_D(x)\, q(z|x)}{p(x, z)}
#   = \mathrm{KL}\big( p_D(x)\, q(z|x) \,\big\|\, p(x, z) \big) . \tag{3.3}$$
#
# It is a divergence between two *joint* distributions. The parameters of $q$ sit in its first slot:
# moving them, $q$ models $p$, mode-seeking. The parameters of the model sit in its second slot:
# moving them, $p$ models $q$, mass-covering, just like maximum likelihood on data that $q$ has
# completed with a $z$ for each $x$. Each joint distribution factorises in two ways, and so does the
# divergence. Write $q(z)$ for the *aggregate posterior*, and $q(x|z)$ for its inverse conditional:
#
# $$q(z) = \sum_x p_D(x)\, q(z|x) , \qquad q(x|z) = \frac{p_D(x)\, q(z|x)}{q(z)} . \tag{3.4}$$
#
# Splitting the logarithm in (3.3) into the two factors gives
#
# $$\mathrm{KL}_{\rm joint}
#   = \mathrm{KL}(p_D(x) \,\|\, p(x)) + \big\langle \mathrm{KL}(q(z|x) \,\|\, p(z|x)) \big\rangle_D
#   = \mathrm{KL}(q(z) \,\|\, p(z)) + \big\langle \mathrm{KL}(q(x|z) \,\|\, p(x|z)) \big\rangle_{q(z)} .
#   \tag{B13b}$$
#
# First form: the model fits the data, and $q$ fits the posterior. Second form: the latent variables
# are used as the prior says, and the decoder inverts the encoder. One last identity: the
# KL term of a VAE's loss compares every single $q(z|x)$ with the prior.
#
# $$\big\langle \mathrm{KL}(q(z|x) \,\|\, p(z)) \big\rangle_D
#   = \Big\langle \ln \frac{q(z|x)}{q(z)} \Big\rangle + \Big\langle \ln \frac{q(z)}{p(z)} \Big\rangle
#   = \underbrace{I_q(x; z)}_{\text{what } z \text{ tells about } x}
#   + \underbrace{\mathrm{KL}(q(z) \,\|\, p(z))}_{\text{aggregate against prior}} . \tag{B13c}$$
#
# Only the second term should be small in a good model. The first is what the code
# carries, and pressing the sum down presses on both.
#
# **Check against the exact result** on the table, with a random $p_D$ and random $q(z|x)$.

# %%
p_data = rng.dirichlet(np.ones(num_x))  # p_D(x)
encoder = rng.dirichlet(np.ones(num_z), num_x)  # q(z|x), (5, 3)
both = p_data[:, np.newaxis] * encoder  # p_D(x) q(z|x)
aggregate = both.sum(axis=0)  # q(z), (3.4)
kl_joint = divergence(both.ravel(), joint.ravel())
data_entropy = -np.sum(p_data * np.log(p_data))
check(p_data @ functional(encoder, energy) - data_entropy, kl_joint)  # (3.3)
to_data = divergence(p_data, joint.sum(axis=1))
to_posterior = p_data @ divergence(encoder, posterior)
to_prior = divergence(aggregate, prior)
to_decoder = aggregate @ divergence((both / aggregate).T, likelihood.T)
check([to_data + to_posterior, to_prior + to_decoder], kl_joint)  # (B13b)
information = divergence(both.ravel(), np.outer(p_data, aggregate).ravel())
check(p_data @ divergence(encoder, prior), information + to_prior)  # (B13c)

# %% name="joint-kl"
print(f"KL of the joint distributions        {kl_joint:.4f} nats")
print(f"  = data {to_data:.4f} + posterior {to_posterior:.4f}")
print(f"  = aggregate {to_prior:.4f} + decoder {to_decoder:.4f}")
print(f"mean KL of q(z|x) from the prior     {information + to_prior:.4f}", end=" = ")
print(f"information {information:.4f} + aggregate {to_prior:.4f}")

# %% [markdown]
# The second form of (B13b) makes a remark of the post precise. The post suspects that VAEs make blurred
# images because training cares more for $p(x|z)$ than for $p(z)$. To *generate*, one draws $z$ from the
# prior $p(z)$; the decoder has been trained on $z$ from $q(z)$. So the remark says that
# $\mathrm{KL}(q(z) \| p(z))$ is large after training. That can be measured. In the small VAE of chapter 23 it is less than
# a tenth of the KL term (chapter 23, exercise 3). With eight latent variables and a low temperature it is
# large: chapter 29, section 3.
#
# %% [markdown]
# ## 4. Summary
#
# - A latent-variable model is a physical system with $E = -\ln p(x, z)$. Then $F_{\rm eq} = 0$ and
#   $\ln p(x) = -F_c(x)$ (1.3): an RBM approximates $F_{\rm eq}$, a VAE approximates $F_c$.
# - First road (B12): $\ln p(x) = -\mathcal{F}[q] + \mathrm{KL}(q \,\|\, p(z|x))$ for every $q$. The gap is a
#   divergence, and zero for the posterior alone.
# - Second road (B13a): the divergence between two posteriors is $\mathcal{F}[q]$ plus a constant. It is the
#   same functional, energy minus entropy (1.5).
# - Minimising $\mathrm{KL}(q \,\|\, p)$ is mode-seeking, and a product of Gaussians gets the conditional
#   variances (3.2). Minimising $\mathrm{KL}(p \,\|\, q)$ is mass-covering, and a Gaussian gets the moments.
# - In a VAE the encoder does the first and the decoder the second, in one divergence of joint
#   distributions (B13b). In a good model the *aggregate* posterior matches the prior (B13c).
#
# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **One bit.** Let $z$ be 0 or 1, with energies 0 and $\Delta$, and $q = (1 - m, m)$. Minimise
#    $\mathcal{F}[q]$ by hand (a function `best_m(delta)`), and show that near the minimum
#    $\mathcal{F} - F \approx \frac12 (m - m^*)^2 / [m^* (1 - m^*)]$. Compare `excess`, the left-hand side at
#    $m - m^* = 0.01$ for $\Delta = 1.2$, with `parabola`, the right-hand side.
# 2. *(medium)* **When a product picks a side.** Two bits $s_1, s_2 = \pm 1$ have
#    $p(s_1, s_2) \propto e^{K s_1 s_2}$, and $q$ is a product in which both have the mean $m$. Show that
#    $\mathrm{KL}(p \,\|\, q)$ is lowest at $m = 0$ for every $K$, and that $\mathrm{KL}(q \,\|\, p)$ is lowest there for
#    $K \le 1$ only. Write `two_bits(m, coupling)`, which returns both divergences; find `best_mean`, the best
#    $m \ge 0$ by $\mathrm{KL}(q \,\|\, p)$ at $K = 1.5$, and `saved`, what it saves against $m = 0$.
# 3. *(hard)* **One descent in two steps.** Data are numbers of heads in five tosses, with the frequencies
#    `frequency` = (0.24, 0.2, 0.08, 0.08, 0.2, 0.2) for 0 to 5. The model: one of two coins ($z$) is chosen
#    with probability $p(z)$ and tossed. Derive the algorithm of *expectation and maximisation* from (3.3): a step that
#    minimises over $q(z|x)$, and a step that minimises over the model. Write `em_step(prior, heads)`, which
#    returns the new $p(z)$, the new probabilities of heads, and (3.3) between its two steps; make 200 steps from
#    the prior (0.5, 0.5) and the heads (0.4, 0.7), collect the values in `descent`, and compare the last one with
#    `direct`, found by a minimisation that knows nothing of $q$.
#
# The solutions are in the cells below, folded: click on one to open it.


# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. F = m Delta + m ln m + (1 - m) ln(1 - m). F' = Delta + ln(m / (1 - m)) = 0 gives m* = sigmoid(-Delta)
# and F(m*) = -ln(1 + e^-Delta) = -ln Z. F'' = 1/m + 1/(1 - m) = 1 / (m (1 - m)): Taylor's formula.
def best_m(delta):
    return 1 / (1 + math.exp(delta))


m_best = best_m(1.2)
for shift in (0.1, 0.01):
    m = m_best + shift
    excess = functional(np.array([1 - m, m]), np.array([0, 1.2])) + math.log(1 + math.exp(-1.2))
    parabola = 0.5 * shift**2 / (m_best * (1 - m_best))
    print(f"1. m - m* = {shift}: F[q] - F = {excess:.7f}, parabola {parabola:.7f} nats")
check(functional(np.array([1 - best_m(3), best_m(3)]), np.array([0, 3])), -np.logaddexp(0, -3))
check(excess, 0.0002783, tolerance=1e-6)
check(parabola, 0.0002811, tolerance=1e-6)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. p = exp(K s1 s2) / (4 cosh K). KL(p || q) has -<ln q>_p = -2 <ln((1 + m s) / 2)>_p, and <s>_p = 0: by (3.1)'s
# argument, lowest at the mean, m = 0. KL(q || p) = -2 H(m) - K m^2 + ln(4 cosh K), whose derivative is
# 2 atanh(m) - 2 K m = 0: m = tanh(K m), mean field. At m = 0 the curvature 2 - 2 K turns negative beyond K = 1.
def two_bits(m, coupling):
    s = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    p = np.exp(coupling * s.prod(axis=1)) / (4 * math.cosh(coupling))
    q = np.prod((1 + m * s) / 2, axis=1)
    return divergence(q, p), divergence(p, q)


found = scipy.optimize.minimize_scalar(lambda m: two_bits(m, 1.5)[0], bounds=(0.1, 0.999))
best_mean, saved = found.x, two_bits(0, 1.5)[0] - found.fun
print(
    f"2. m = {best_mean:.4f}, tanh(K m) = {math.tanh(1.5 * best_mean):.4f}; saves {saved:.4f} nats"
)

# %% jupyter={"source_hidden": true} tags=["solution"]
# The checks of exercise 2: the divergences, the threshold K = 1, and the numbers at K = 1.5.
check(two_bits(0.0, 1.5)[0], math.log(math.cosh(1.5)))
check(np.sum(two_bits(0.0, 1.5)), 1.5 * math.tanh(1.5))
check(best_mean, math.tanh(1.5 * best_mean), tolerance=1e-4)
assert two_bits(0.1, 0.9)[0] > two_bits(0, 0.9)[0] and two_bits(0.1, 1.1)[0] < two_bits(0, 1.1)[0]
assert two_bits(0.1, 1.1)[1] > two_bits(0, 1.1)[1]
check(saved, 0.2304, tolerance=1e-3)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. At a fixed model (B13b), first form: q(z|x) = p(z|x) leaves KL(p_D || p(x)), which is the value returned. At a
# fixed q, second form: p(z) = q(z) makes the first term 0, and KL(q(x|z) || p(x|z)) is lowest where the moments match,
# that is where five tosses have the mean of q(x|z). Neither step can raise (3.3).
num_heads, ways = np.arange(6.0)[:, np.newaxis], np.array([[1], [5], [10], [10], [5], [1]])
frequency = np.array([0.24, 0.2, 0.08, 0.08, 0.2, 0.2])


def em_step(prior, heads):
    model = prior * ways * heads**num_heads * (1 - heads) ** (5 - num_heads)  # p(x, z)
    both = frequency[:, np.newaxis] * model / model.sum(axis=1, keepdims=True)  # p_D(x) q(z|x)
    new_prior = both.sum(axis=0)
    return new_prior, (num_heads * both).sum(axis=0) / new_prior / 5, divergence(both, model).sum()


# %% jupyter={"source_hidden": true} tags=["solution"]
# The run of exercise 3, and a minimisation of KL(p_D || p(x)) that knows nothing of q: the share of coin 1 and
# the heads as sigmoids.
state, descent = (np.array([0.5, 0.5]), np.array([0.4, 0.7])), []
for _ in range(200):
    *state, value = em_step(*state)
    descent.append(value)


def fit_quality(logits):
    share, *heads = 1 / (1 + np.exp(-logits))
    return em_step(np.array([share, 1 - share]), np.array(heads))[2]


direct = scipy.optimize.minimize(fit_quality, [0.0, -1.0, 1.0], tol=1e-10).fun

# %% jupyter={"source_hidden": true} tags=["solution"]
# The checks of exercise 3: it never rises, and it ends where the direct minimisation ends.
print("3. steps 1, 2, 10, 200:", np.round([descent[k] for k in (0, 1, 9, 199)], 5), "nats")
print("   prior", state[0].round(4), "heads", state[1].round(4), f"direct {direct:.5f} nats")
check(descent[-1], direct, tolerance=1e-6)
assert np.all(np.diff(descent) < 1e-12) and descent[0] - descent[-1] > 0.1
