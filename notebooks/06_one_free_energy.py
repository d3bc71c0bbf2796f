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
# # Chapter 6: One free energy
#
# Variational inference comes in several flavours, each with a notation of its own: the expected log
# likelihood, a divergence between posteriors, the evidence lower bound, energy minus entropy, the
# inequality of Gibbs, Bogoliubov and Feynman. This chapter derives them one after the other and
# finds the same function every time. It also sorts out five ways of writing the free energy itself.
#
# It is the bridge of the course. Chapters 1 to 5 were about restricted Boltzmann machines (RBMs),
# models given by an energy. From chapter 7 on the subject is the variational autoencoder (VAE), a
# model given by probabilities. Here the two become one problem, on examples so small that everything
# can be computed exactly.
#
# **What you will do**
#
# - turn a table of probabilities into a physical system, and find its clamped free energy;
# - derive one functional along four roads and check that all of them give the same number;
# - fit one distribution to another in both directions, and see what each direction gives up;
# - bound the free energy of an Ising chain with better and better trial Hamiltonians, and watch the
#   bound hold while the physics goes wrong;
# - compute one free energy in five notations, and see which sixth one is a different quantity.
#
# **What you will learn**
#
# - where the gap between $\ln p(x)$ and its lower bound comes from (B12, B14), and what it is;
# - which of the two models the other, $q$ or $p$ (B13);
# - why energy minus entropy is the thing to minimise (B15), and the variational theorem of
#   statistical physics (B16), which is the Rayleigh-Ritz principle at finite temperature;
# - what $-\beta F$ is as a sum, an integral over energies, an integral over states, a trace, and an
#   average (B33).
#
# **What you need**: $\ln p(v) = -F_c(v) + F_{\rm eq}$ from chapter 2; matrices and their
# eigenvalues; Gaussian integrals. Quantum mechanics appears in two places, as matrices only.
#
# **Time**: about two hours and a half, and two hours for the exercises. The code runs in under a minute.
#
# Equation numbers such as (B14) are the row names used in the whole course, in the library's
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
import scipy.linalg
import scipy.optimize

from rbm_tf import BernoulliRBM, ising
from vae_keras import evidence

# %%
seed = 0
num_x, num_z = 5, 3  # of the table
num_trials = 1000  # random distributions that each identity is checked with
w, s, x_seen = 1.5, 0.8, 2.0  # the Gaussian model: weight, noise, one observation
num_samples = 10_000
num_spins, coupling, field = 12, 0.8, 0.1  # the Ising chain, nats
block_sizes = (1, 2, 3, 4, 6, 12)
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 80}])


# %%
def check(left, right, tolerance=1e-10):
    """Raise unless both are equal to the tolerance, relative above 1, absolute below."""
    np.testing.assert_allclose(*np.broadcast_arrays(left, right), rtol=tolerance, atol=tolerance)


def label(axis, title, xlabel, ylabel):
    axis.set(title=title, xlabel=xlabel, ylabel=ylabel)


def log_sum_exp(values, axis=-1):
    return np.logaddexp.reduce(values, axis=axis)


# %% [markdown]
# ## 1. A latent-variable model is a physical system
#
# A latent-variable model is a joint probability $p(x, z)$ of something seen, $x$, and something
# unseen, $z$. Usually it is built as a story: first draw $z$ from a *prior* $p(z)$, then draw $x$ from
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
# Clamp the visible $x$, as in chapter 2. The sum over the unseen $z$ is the clamped partition function,
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
# The difficulty has not gone away, it has moved. From here on the system is the clamped one: $x$ is
# fixed, the states are the values of $z$, and the unknown is $F_c(x) = -\ln p(x)$.
#
# **The functional.** For *any* distribution $q(z)$, not only the right one, define
#
# $$\mathcal{F}[q] = \langle E(x, z) \rangle_q - S(q) , \qquad S(q) = -\sum_z q(z) \ln q(z) . \tag{1.5}$$
#
# This whole chapter is about $\mathcal{F}$. In chapter 2 (2.6) we met it at one point: for
# $q = p(h|v)$ it equals $F_c(v)$.
#
# **Check against the exact result**: the table; then an RBM, whose posterior is a *product* of
# independent units, so that the best product distribution makes $\mathcal{F}$ exact.

# %% name="table"
rng = np.random.default_rng(seed)
joint = rng.dirichlet(np.full(num_x * num_z, 0.8)).reshape(num_x, num_z)  # p(x, z)
energy = -np.log(joint)  # (1.1), nats
free_energy = -log_sum_exp(-energy)  # F_c(x), (1.3), (5,)
posterior = np.exp(-energy + free_energy[:, np.newaxis])  # p(z|x), (1.4)
prior, likelihood = joint.sum(axis=0), joint / joint.sum(axis=0)  # p(z), p(x|z)
check(log_sum_exp(-energy.ravel()), 0.0)  # F_eq = 0, (1.2)
check(np.exp(-free_energy), joint.sum(axis=1))  # p(x), (1.3)
check(posterior.sum(axis=1), 1.0)
print("p(x, z), one row for each x:", joint.round(3), sep="\n")
print("F_c(x) = -ln p(x):", free_energy.round(3), "nats")


# %%
def functional(q, energy):
    """<E>_q - S(q), (1.5), over the last axis, nats; 0 ln 0 is 0."""
    return np.sum(q * (energy + np.log(np.where(q > 0, q, 1))), axis=-1)


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
# course follows, Charles Martin's *Free Energies and Variational Inference*, writes "min" in front of
# its expected log likelihood. The likelihood is to be *large*, so it should read
# "max", or carry a minus sign.) For every single $z$ with $p(x, z) > 0$, (1.4) says
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
def divergence(q, p):
    """KL(q || p) over the last axis, nats."""
    return np.sum(q * (np.log(np.where(q > 0, q, 1)) - np.log(p)), axis=-1)


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
# One bowl for each $x$, with its bottom at the posterior. The picture shows the height above
# $F_c(x)$, which is 0 there; $\mathcal{F}$ itself is $F_c(x)$ there. Finding the posterior and finding
# $\ln p(x)$ are one and the same minimisation. That is what makes the method work: we know
# $\mathcal{F}$ without knowing $p(x)$, because $\langle E \rangle_q$ and $S(q)$ need the joint
# probability only.

# %% [markdown]
# ## 3. Second road: two posteriors, and which models which
#
# The second road starts from the divergence. We want a tractable $q(z)$ close to the intractable
# posterior, so minimise $\mathrm{KL}(q \,\|\, p(z|x))$. It contains $p(z|x)$, which we do not have. Put
# in $\ln p(z|x) = \ln p(x, z) - \ln p(x)$:
#
# $$\mathrm{KL}(q \,\|\, p(z|x)) = \langle \ln q \rangle_q - \langle \ln p(x, z) \rangle_q + \ln p(x)
#   = \mathcal{F}[q] - F_c(x) . \tag{B13a}$$
#
# That is (2.4), read from the other end. Hence nobody minimises this KL directly: one minimises
# $\mathcal{F}$, which differs from it by a constant that does not depend on $q$.
#
# **The other direction.** The KL is not symmetric. Why not minimise
# $\mathrm{KL}(p(z|x) \,\|\, q) = -S(p(z|x)) - \langle \ln q \rangle_{p(z|x)}$? Because its average is
# over the posterior, the distribution that we cannot sample. The two also *want* different things:
#
# - $\mathrm{KL}(q \,\|\, p) = \langle \ln q - \ln p \rangle_q$ is infinite if $q$ has mass where $p$ has
#   none. It does not mind if $q$ misses a part of $p$. The best $q$ hides inside $p$: *mode-seeking*.
# - $\mathrm{KL}(p \,\|\, q) = \langle \ln p - \ln q \rangle_p$ is infinite if $q$ misses any part of
#   $p$. It does not mind mass between the modes. The best $q$ spreads over $p$: *mass-covering*.
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
# *conditional* variances, and is too narrow whenever the coordinates are correlated. The other
# direction gets the true marginal variances $\Sigma_{jj}$, by (3.1).
#
# **Check against the exact result**, by quadrature on a grid and by numerical minimisation from two
# starts. The target is a mixture of two Gaussians; then, for (3.2), a pair with correlation 0.9.

# %%
z = np.linspace(-8, 8, 4001)
step = z[1] - z[0]


def log_normal(z, mean, variance):
    return -0.5 * np.log(2 * np.pi * variance) - (z - mean) ** 2 / (2 * variance)


log_p = np.logaddexp(np.log(0.4) + log_normal(z, -2, 0.3), np.log(0.6) + log_normal(z, 2, 0.6))


def kl_q_p(theta):  # theta = (mean, ln variance)
    log_q = log_normal(z, theta[0], np.exp(theta[1]))
    return step * np.sum(np.exp(log_q) * (log_q - log_p))


# %%
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

# %%
correlated = np.array([[1.0, 0.9], [0.9, 1.0]])  # Sigma
precision = np.linalg.inv(correlated)


def kl_gaussians(variances, covariance):  # of N(0, diag(variances)) from N(0, covariance)
    trace = np.trace(np.linalg.solve(covariance, np.diag(variances)))
    return 0.5 * (trace - 2 + np.log(np.linalg.det(covariance) / np.prod(variances)))


best = scipy.optimize.minimize(lambda u: kl_gaussians(np.exp(u), correlated), np.zeros(2)).x
check(np.exp(best), 1 / np.diag(precision), tolerance=1e-4)  # (3.2)
print(f"product q: variance {np.exp(best[0]):.4f}; conditional {1 / precision[0, 0]:.4f}, ", end="")
print(f"marginal {correlated[0, 0]:.4f}")

# %%
names = "$p$", r"$q$ by KL$(q \| p)$", r"$q$ by KL$(p \| q)$"
matrices = correlated, np.diag(np.exp(best)), np.eye(2)
circle = np.stack([np.cos(np.linspace(0, 7, 200)), np.sin(np.linspace(0, 7, 200))])

# %% name="best-gaussians" alt="Left: a density with two modes; two Gaussians fit one mode each, a third spreads over both. Right: a tilted ellipse, a small circle inside it and a large one around it."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), width_ratios=[1.7, 1])
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
# Left: minimising $\mathrm{KL}(q \,\|\, p)$ picks one mode and fits it well; which one depends on the
# start. The price is about $-\ln$ of the share that the mode has in $p$: $-\ln 0.4 = 0.92$ and
# $-\ln 0.6 = 0.51$. Minimising $\mathrm{KL}(p \,\|\, q)$ covers both and puts
# much of its mass where $p$ has hardly any. Right: the ellipses are one standard deviation of $p$ (grey), of the best $q$ by
# $\mathrm{KL}(q \,\|\, p)$ (blue) and by $\mathrm{KL}(p \,\|\, q)$ (orange).
#
# **Does $q$ model $p$, or $p$ model $q$?** The post asks this question about VAEs. Both happen, in one
# KL. Training has data with a distribution $p_D(x)$, a $q(z|x)$ for each $x$, and parameters on both
# sides. Average $\mathcal{F}$ over the data, and subtract the entropy $S_D$ of the data:
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
# are used the way the prior says, and the decoder inverts the encoder. One last identity concerns the
# KL term of the VAE's loss, which compares every single $q(z|x)$ with the prior:
#
# $$\big\langle \mathrm{KL}(q(z|x) \,\|\, p(z)) \big\rangle_D
#   = \Big\langle \ln \frac{q(z|x)}{q(z)} \Big\rangle + \Big\langle \ln \frac{q(z)}{p(z)} \Big\rangle
#   = \underbrace{I_q(x; z)}_{\text{what } z \text{ tells about } x}
#   + \underbrace{\mathrm{KL}(q(z) \,\|\, p(z))}_{\text{aggregate against prior}} . \tag{B13c}$$
#
# Only the second term should be small in a good model. The first is the information that the code
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
# prior $p(z)$; but the decoder has been trained on $z$ from $q(z)$. Where the two differ, it is asked about
# codes that it has never seen. So the remark says that $\mathrm{KL}(q(z) \| p(z))$ is large after training. This
# can be measured. For the small VAE of chapter 7 it is less than a tenth of the KL term (exercise 4
# there), and its pictures are grey for another reason (section 8 there). For a model with eight latent variables,
# trained at a low temperature, the mismatch is large: chapter 9, section 9.
#
# ## 4. Third road: variational Bayes
#
# The third road is the shortest, and the one that most papers on VAEs take. Multiply and divide by
# $q(z)$ inside the sum,
#
# $$\ln p(x) = \ln \sum_z p(x, z) = \ln \sum_z q(z) \frac{p(x, z)}{q(z)}
#   = \ln \Big\langle \frac{p(x, z)}{q(z)} \Big\rangle_q . \tag{4.1}$$
#
# The logarithm is concave: its graph lies above each of its chords, so the logarithm of an average is
# at least the average of the logarithm (*Jensen's inequality*). Taking the logarithm inside gives the
# *evidence lower bound*,
#
# $$\boxed{\; \ln p(x) \ge \Big\langle \ln \frac{p(x, z)}{q(z)} \Big\rangle_q
#   \equiv \mathrm{ELBO}(x) = -\mathcal{F}[q] \;} \tag{B14a}$$
#
# with equality where the ratio is the same for all $z$, that is for $q(z) \propto p(x, z)$, the
# posterior. (4.1) needs $q > 0$ wherever $p(x, z) > 0$; (B12) did not. Jensen gives the bound in one
# line but not the gap, which the first road names: it is $\mathrm{KL}(q \,\|\, p(z|x))$. Insert
# $p(x, z) = p(x|z)\, p(z)$ to get the form that VAEs are trained with:
#
# $$\mathrm{ELBO}(x) = \underbrace{\big\langle \ln p(x|z) \big\rangle_q}_{\text{reconstruction}}
#   - \underbrace{\mathrm{KL}(q(z) \,\|\, p(z))}_{\text{distance from the prior}} . \tag{B14b}$$
#
# **A Gaussian model**, the smallest relative of a VAE: $z \sim N(0, 1)$ and $x|z \sim N(w z, s^2)$, one
# number each. As $x = w z + s\, \varepsilon$ is a sum of independent Gaussians,
#
# $$p(x) = N(0,\; w^2 + s^2) , \qquad
#   p(z|x) = N\Big( \frac{w x}{w^2 + s^2} ,\; \frac{s^2}{w^2 + s^2} \Big) . \tag{4.2}$$
#
# (For the second, collect the powers of $z$ in $-\ln p(x, z)$: the coefficient of $z^2 / 2$ is
# $1 + w^2 / s^2$, the inverse variance, and that of $-z$ is $w x / s^2$.) With $q = N(m, v)$ both terms
# of (B14b) are averages of quadratic functions, $\langle (x - w z)^2 \rangle_q = (x - w m)^2 + w^2 v$:
#
# $$\mathrm{ELBO} = -\tfrac12 \ln (2 \pi s^2) - \frac{(x - w m)^2 + w^2 v}{2 s^2}
#   - \tfrac12 \big( m^2 + v - 1 - \ln v \big) . \tag{4.3}$$
#
# **Check against the exact result**: the gap $\ln p(x) - \mathrm{ELBO}$ on a grid of $m$ and $v$
# against the divergence of two Gaussians, $\mathrm{KL}(N(m, v) \,\|\, N(M, V)) = \frac12 [ v / V +
# (m - M)^2 / V - 1 - \ln (v / V) ]$; and (4.3) against the library's estimate from samples,
# `evidence.elbo`, the mean of the log importance weights $\ln [p(x, z) / q(z)]$, within 5 standard errors.


# %%
def gaussian_elbo(m, v):
    """(4.3) at x_seen, nats."""
    reconstruction = -0.5 * np.log(2 * np.pi * s**2)
    reconstruction = reconstruction - ((x_seen - w * m) ** 2 + w**2 * v) / (2 * s**2)
    return reconstruction - 0.5 * (m**2 + v - 1 - np.log(v))


# %%
total = w**2 + s**2
log_evidence = log_normal(x_seen, 0, total)  # ln p(x), (4.2)
best_mean, best_variance = w * x_seen / total, s**2 / total  # of the posterior, (4.2)
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

# %% name="gap-map" alt="Contours of ln p(x) minus ELBO over mean m and ln v of q: zero at the star, the posterior at m = 1.04 and ln v = -1.5, growing on all sides; at the prior it is more than 2 nats."
figure, axis = plt.subplots(figsize=(6.4, 3.5))
contours = [0, 0.1, 0.3, 0.6, 1, 2, 4, 8, 16]
flat = means, log_variances, exact_gap, contours
picture = axis.contourf(*flat, cmap="viridis_r", extend="max")
axis.plot(best_mean, np.log(best_variance), "*", color=orange, ms=14, label="posterior")
axis.plot(0, 0, "o", color="white", mec="black", label="prior")
label(axis, r"$\ln p(x)$ $-$ ELBO of $q = N(m, v)$", "mean $m$", r"$\ln v$")
axis.legend(loc="lower right")
plt.colorbar(picture, ax=axis, label="nats")
plt.show()

# %% [markdown]
# The Gaussian $q$ can be the posterior here, so the bound can close. A VAE with a neural decoder has a
# posterior that is no Gaussian, and the remaining gap is what later chapters correct.

# %% [markdown]
# ## 5. Fourth road: energy minus entropy
#
# Physics arrives by another way. Put $E(x, z) = -\ln p(x, z)$ into (B14a):
#
# $$\boxed{\; -\mathrm{ELBO} = \langle E \rangle_q - S(q) = \mathcal{F}[q] \;} \tag{B15}$$
#
# *Free energy = expected energy − temperature × entropy*, at $T = 1$. The energy pulls $q$ towards the
# best explanation $z$ of the data, the entropy keeps it as undecided as it can be. The function is
# named after Helmholtz. At any temperature $T = 1 / \beta$, with
# $p_\beta = e^{-\beta E} / Z$ and $F = -\frac1\beta \ln Z$, we have $E = F - T \ln p_\beta$, so
#
# $$\mathcal{F}_T[q] = \langle E \rangle_q - T S(q) = F + T \big\langle \ln q - \ln p_\beta \big\rangle_q
#   = F + T\, \mathrm{KL}(q \,\|\, p_\beta) \ge F . \tag{5.1}$$
#
# **Gibbs, Bogoliubov, Feynman.** A physicist describes $q$ not by its probabilities but by a *trial
# Hamiltonian* $H_t$ that can be solved: $q = e^{-\beta H_t} / Z_t$, $F_t = -\frac1\beta \ln Z_t$, and
# $\langle \cdot \rangle_t$ is the average over $q$. Rewrite the true partition function as one such
# average, then use Jensen's inequality for the convex exponential, $\langle e^{u} \rangle \ge
# e^{\langle u \rangle}$:
#
# $$Z = \sum_z e^{-\beta H} = \sum_z e^{-\beta H_t}\, e^{-\beta (H - H_t)}
#   = Z_t \big\langle e^{-\beta (H - H_t)} \big\rangle_t
#   \ge Z_t\, e^{-\beta \langle H - H_t \rangle_t} . \tag{5.2}$$
#
# Take $-\frac1\beta \ln$, which turns the inequality around:
#
# $$\boxed{\; F \le F_t + \langle H - H_t \rangle_t \;} \tag{B16}$$
#
# It is the same functional. For the trial, energy minus entropy *is* its free energy,
# $F_t = \langle H_t \rangle_t - T S_t$ (B6). So
#
# $$F_t + \langle H - H_t \rangle_t = \langle H_t \rangle_t - T S_t + \langle H \rangle_t - \langle H_t \rangle_t
#   = \langle H \rangle_t - T S_t = \mathcal{F}_T[q] . \tag{5.3}$$
#
# Any $q$ is the Boltzmann distribution of some $H_t$, namely $-T \ln q$ plus a constant. So the
# physicist's bound and the statistician's bound do not only resemble each other: (B14), (B15) and
# (B16) are one theorem, with $H = -\ln p(x, z)$ and $H_t = -\ln q(z)$.
#
# **What is the bound?** The post says that the *trial free energy* $F_t$ is always above $F$. Taken
# by the letter that is wrong. Add a constant $c$ to $H_t$: the trial distribution stays the same,
# while $F_t$ moves by $c$, anywhere. In $F_t + \langle H - H_t \rangle_t$ the constant cancels. With the
# choice of inference, $H_t = -\ln q$ at $\beta = 1$, $q$ is normalised from the start: $Z_t = 1$ and
# $F_t = 0$ whatever $q$ is, and the whole bound is in the second term.
#
# **The other side.** Exchange $H$ and $H_t$ in (B16): $F_t \le F + \langle H_t - H \rangle$, now with the
# average over the true $p$. So $F$ has a floor as well,
#
# $$F_t + \langle H - H_t \rangle_p \;\le\; F \;\le\; F_t + \langle H - H_t \rangle_t . \tag{5.4}$$
#
# The gap on the right is $T\, \mathrm{KL}(q \,\|\, p)$, and that on the left is
# $T\, \mathrm{KL}(p \,\|\, q)$: section 3's two questions are the two sides of one inequality. Only
# the right side can be computed without knowing $p$. That is why variational inference is
# mode-seeking.
#
# **Check against the exact result** on the table, all five $x$ at once: random trial Hamiltonians,
# both sides of (5.4), the shift, and $\mathcal{F}_T$ at another temperature.

# %%
hamiltonian = energy + rng.normal(0, 1.5, (num_trials, num_x, num_z))  # H_t, (1000, 5, 3)
for beta in (1.0, 0.4):
    exact = -log_sum_exp(-beta * energy) / beta  # F, (5,)
    p = np.exp(-beta * (energy - exact[:, np.newaxis]))  # exact average
    trial_free = -log_sum_exp(-beta * hamiltonian) / beta  # F_t, (1000, 5)
    q = np.exp(-beta * (hamiltonian - trial_free[..., np.newaxis]))
    upper = trial_free + np.sum(q * (energy - hamiltonian), axis=-1)  # (B16)
    lower = trial_free + np.sum(p * (energy - hamiltonian), axis=-1)  # (5.4)
    assert np.all(upper > exact) and np.all(lower < exact)
    check(upper - exact, divergence(q, p) / beta)  # (5.1)
    check(exact - lower, divergence(p, q) / beta)
    check(upper, functional(q, beta * energy) / beta)  # (5.3)
    moved = -log_sum_exp(-beta * (hamiltonian + 7)) / beta  # H_t shifted: q and the bound stay
    check(moved, trial_free + 7)
    check(moved + np.sum(q * (energy - hamiltonian - 7), axis=-1), upper)

# %% name="trial-alone"
below = np.mean(trial_free < exact)
print(f"At beta = {beta}, F_t alone is below F in {100 * below:.0f} % of the trials;", end=" ")
print("F_t + <H - H_t>_t never is")

# %% [markdown]
# **Finite-temperature Rayleigh-Ritz.** In quantum mechanics $H$ is a Hermitian matrix, a state is a
# *density matrix* $\rho$ (positive, of trace 1), averages are $\mathrm{Tr}\, \rho H$, and the entropy
# is $S = -\mathrm{Tr}\, \rho \ln \rho$. The theorem keeps its form,
# $F \le \mathrm{Tr}\, \rho H - T S(\rho)$. Take for $\rho$ a mixture of the members of *any*
# orthonormal basis, $|n\rangle$ with probability $p_n$. Then $S = -\sum_n p_n \ln p_n$ and
#
# $$F \le \sum_n p_n \langle n | H | n \rangle - T S(p) . \tag{5.5}$$
#
# Over $p$ that is (5.1) for a system with the levels $\langle n | H | n \rangle$. Its minimum is
# known, the free energy of these levels:
#
# $$F = -T \ln \mathrm{Tr}\, e^{-\beta H} \;\le\; -T \ln \sum_n e^{-\beta \langle n | H | n \rangle} .
#   \tag{5.6}$$
#
# *Proof* for this $\rho$: with the eigenvectors $|k\rangle$ and eigenvalues $E_k$ of $H$, the numbers
# $P_{nk} = |\langle n | k \rangle|^2$ are the probabilities of a random $k$ given $n$, and
# $\langle n | H | n \rangle = \sum_k P_{nk} E_k$. By Jensen, $e^{-\beta \sum_k P_{nk} E_k} \le \sum_k P_{nk}
# e^{-\beta E_k}$. Sum over $n$, use $\sum_n P_{nk} = 1$, and the right side is $\mathrm{Tr}\,
# e^{-\beta H}$. $\square$ As $T \to 0$ only the lowest level counts on each side, and (5.6) becomes
#
# $$E_0 \le \min_n \langle n | H | n \rangle : \tag{5.7}$$
#
# the Rayleigh-Ritz principle, that no state has a mean energy below the ground state's. The free
# energy takes the place of the lowest eigenvalue, and the trial basis that of the trial vector.
#
# **Check against the exact result**: a random symmetric 5 × 5 matrix. The first trial basis are the
# unit vectors. The second one is made of their images under $e^{-H / 4}$, orthonormalised in order:
# the more often this is repeated, the closer it comes to the eigenvectors, the lowest first.

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
    bounds[name] = -temperatures[:, 0] * log_sum_exp(-diagonal / temperatures)  # (5.6)
    assert np.all(bounds[name] >= exact_free) and diagonal.min() >= levels[0]  # (5.7)
    print(f"{name}: lowest <n|H|n> = {diagonal.min():.3f}, E_0 = {levels[0]:.3f}")

# %% name="rayleigh-ritz" alt="Free energy over temperature: two bounds lie above the exact curve; that of the turned basis is nearer. At T = 0 they start from the lowest mean energy of their basis."
figure, axis = plt.subplots(figsize=(6.4, 3.4))
axis.plot(temperatures, exact_free, color="black", label=r"exact, $-T \ln {\rm Tr}\, e^{-\beta H}$")
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
# temperature they approach the exact curve: all that counts there, beside the entropy $\ln 5$, is the
# mean of the five levels, $\mathrm{Tr}\, H / 5$, the same in every basis. The approach is slow, like
# $1 / T$: the next term of $F$ is $-\frac{1}{2T}$ times the variance of the levels, and a basis that is
# not turned towards the eigenvectors sees too little of it. "Finite-temperature Rayleigh-Ritz" is to
# be taken literally.
#
# The post adds a physical argument for (B16): a system pushed out of equilibrium relaxes back, and its
# free energy falls as it does. Exercise 3 makes that a proof. (The conservation of phase-space volume,
# which the post mentions next to it, is put to use in chapter 8, section 14, and flows, which change volumes
# and keep account of it, in [chapter 18](18_flows.ipynb). The proof by a fluctuation theorem is in [chapter 19, section
# 3](19_fluctuation_theorems.ipynb).)
#
# ## 6. One number
#
# Four roads, and five formulas. Here they are, side by side, for one random $q(z|x)$ on the table:

# %% name="one-number"
q, index = encoder[1], 1
arbitrary = 7.0  # a constant in the trial Hamiltonian
trial_h = -np.log(q) + arbitrary
roads = {
    "B12  -<ln p(x, z)> - H(q)          ": -q @ np.log(joint[index]) + q @ np.log(q),
    "B13  KL(q || p(z|x)) - ln p(x)     ": divergence(q, posterior[index]) + free_energy[index],
    "B14  KL(q || p(z)) - <ln p(x|z)>   ": divergence(q, prior) - q @ np.log(likelihood[index]),
    "B15  <E> - S                       ": q @ energy[index] + q @ np.log(q),
    "B16  F_t + <H - H_t>_t             ": -log_sum_exp(-trial_h) + q @ (energy[index] - trial_h),
}
for name, value in roads.items():
    print(f"{name} {value:.12f} nats")
check(list(roads.values()), functional(q, energy[index]))
print(f"all above F_c(x) = -ln p(x) =        {free_energy[index]:.12f} nats")

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
# ## 7. The variational theorem at work: an Ising chain
#
# How good the bound is depends on the choice of $H_t$. Here is the oldest example with an exact
# solution. An Ising chain has $N$ spins, $s_i = -1$ or $+1$ this time, on a ring:
#
# $$H(s) = -K \sum_{i=1}^N s_i s_{i+1} - h \sum_{i=1}^N s_i , \qquad s_{N+1} = s_1 , \tag{7.1}$$
#
# with a coupling $K$ and a field $h$ that contain $\beta$, so that energies are in nats and
# $F = -\ln Z$. (A spin is $s = 2u - 1$ in terms of a unit $u$ of 0 and 1. An RBM is such a model, too,
# with two layers instead of a ring and a different coupling on every bond.)
#
# **Exact: the transfer matrix.** Give half of each field to each of the two adjacent bonds. The
# Boltzmann factor is then a product of one factor for each bond,
#
# $$Z = \sum_{s_1 \dots s_N} \prod_i \mathsf{T}(s_i, s_{i+1}) = \mathrm{Tr}\, \mathsf{T}^N , \qquad
#   \mathsf{T} = \begin{pmatrix} e^{K + h} & e^{-K} \\ e^{-K} & e^{K - h} \end{pmatrix} , \tag{7.2}$$
#
# since summing over $s_2$, say, multiplies two matrices, and the ring closes the trace. The trace of
# $\mathsf{T}^N$ is the sum of the powers of the two eigenvalues,
#
# $$Z = \lambda_+^N + \lambda_-^N , \qquad
#   \lambda_\pm = e^K \cosh h \pm \sqrt{e^{2K} \sinh^2 h + e^{-2K}} . \tag{7.3}$$
#
# For a long chain $\lambda_+$ dominates: $F / N \to -\ln \lambda_+$, and the magnetisation is
#
# $$\langle s \rangle = \frac{\partial \ln \lambda_+}{\partial h}
#   = \frac{\sinh h}{\sqrt{\sinh^2 h + e^{-4K}}} , \tag{7.4}$$
#
# which vanishes at $h = 0$ for *every* finite $K$: in one dimension, spins do not order.
#
# **The simplest trial: no interactions.** $H_t = -b \sum_i s_i$, independent spins in a field $b$ that
# we may choose. Each has $\langle s \rangle_t = m = \tanh b$ and contributes $-\ln (2 \cosh b)$ to
# $F_t$. Independent neighbours have $\langle s_i s_{i+1} \rangle_t = m^2$, so (B16) is
#
# $$\frac{F_1(b)}{N} = -\ln (2 \cosh b) - K m^2 - (h - b)\, m , \qquad m = \tanh b . \tag{7.5}$$
#
# The derivative, with $\frac{d}{db} \ln \cosh b = m$, is $(b - h - 2 K m) \frac{dm}{db}$. It vanishes for
#
# $$b = h + 2 K m , \qquad m = \tanh (h + 2 K m) : \tag{7.6}$$
#
# every spin feels the *mean* of its two neighbours. This is mean-field theory, found by minimising a
# bound. The VAE's product of Gaussians is the same kind of trial.
#
# **A better trial: blocks.** Cut the ring into blocks of $k$ spins. Inside a block keep interactions;
# between blocks put fields. Which ones? Let $\phi_a$ be the products $s_i s_{i+1}$ inside the blocks and
# the single spins, $\theta_a$ their couplings and fields in the true $H = -\sum_a \theta_a \phi_a -
# \sum_{\rm cut} K s_i s_j$, and $\theta^t_a$ those in the trial. Blocks are independent, so on a cut bond
# $\langle s_i s_j \rangle_t = \langle s_i \rangle_t \langle s_j \rangle_t$ and
#
# $$F_1 = F_t + \sum_a (\theta^t_a - \theta_a) \langle \phi_a \rangle_t
#   - \sum_{\rm cut} K \langle s_i \rangle_t \langle s_j \rangle_t . \tag{7.7}$$
#
# Since $dF_t = -\sum_a \langle \phi_a \rangle_t\, d\theta^t_a$ (B6, in each parameter), what remains of
# the differential is
#
# $$dF_1 = \sum_a (\theta^t_a - \theta_a)\, d\langle \phi_a \rangle_t - \sum_{\rm cut} K \big(
#   \langle s_j \rangle_t\, d\langle s_i \rangle_t + \langle s_i \rangle_t\, d\langle s_j \rangle_t \big) . \tag{7.8}$$
#
# It vanishes if every bond inside a block keeps its true coupling, and every spin next to a cut gets
# $h$ plus $K \langle s_j \rangle_t$ for each neighbour $j$ that it has lost. `ising.block_trial` iterates
# these equations. Blocks of 1 are (7.6); one block of all $N$ spins has no cut, and is exact.
#
# **Check against the exact result**: the library's $\ln Z$, by transfer matrix, against (7.3) and
# against all $2^{12}$ states; its bound against (7.5), for a range of $b$; and the optimum, (7.6).


# %%
def eigenvalues(coupling, field):
    """(7.3)."""
    root = np.sqrt(np.exp(2 * coupling) * np.sinh(field) ** 2 + np.exp(-2 * coupling))
    return np.exp(coupling) * np.cosh(field) + root, np.exp(coupling) * np.cosh(field) - root


# %%
ring = ising.chain(num_spins, coupling, field=field)
exact_ring = -ring.log_z()
spins = ising.all_spins(num_spins, 1)  # (4096, 12, 1)
ring_energy = ring.energy(spins)
check(exact_ring, -np.log(sum(x**num_spins for x in eigenvalues(coupling, field))))
check(exact_ring, -log_sum_exp(-ring_energy))  # all states
long = ising.per_spin(ising.chain(200, coupling, field=field))
magnet = np.sinh(field) / np.sqrt(np.sinh(field) ** 2 + np.exp(-4 * coupling))  # (7.4)
check(long.magnetisation, magnet)
print(f"exact F / N = {exact_ring / num_spins:.6f} nats, N = {num_spins}; ", end="")
print(f"N = 200: {long.free_energy:.6f}, ", end="")
print(f"-ln lambda_+ = {-np.log(eigenvalues(coupling, field)[0]):.6f}")

# %%
b = np.linspace(-1, 3.5, 181)
m = np.tanh(b)
by_hand = -np.log(2 * np.cosh(b)) - coupling * m**2 - (field - b) * m  # (7.5)
product_trials = ising.chain(num_spins, 0.0, field=b)  # one chain for each b
curve = ising.trial_free_energies(ring, product_trials, max_order=1)[0] / num_spins
check(curve, by_hand)
assert np.all(curve >= exact_ring / num_spins)  # (B16)
optimal = ising.block_trial(ring, (1, 1))
b_best = optimal.field[0, 0]
check(b_best, field + 2 * coupling * np.tanh(b_best))  # (7.6)
exact_m = ising.per_spin(ring).magnetisation
print(f"best field b = {b_best:.4f} nats, m = {np.tanh(b_best):.4f}; exact m = {exact_m:.4f}")

# %% [markdown]
# Now the blocks. For a picture, let $\langle s_j \rangle_t$ in the effective field be a free parameter
# $\mu$, so that spins at the ends of a block feel $h + K \mu$ (for $k = 1$, both sides: $h + 2 K \mu$).

# %% name="blocks"
mu = np.linspace(-0.6, 1.2, 91)
curves, best_bounds = {}, {}
for size in block_sizes:
    down = np.tile(np.where(np.arange(1, num_spins + 1) % size, coupling, 0.0), (len(mu), 1))
    if size == num_spins:
        down[:] = coupling  # one block: the ring is closed
    lost = (down[0] == 0) + 0.0 + np.roll(down[0] == 0, 1)  # cut bonds at each spin
    fields = field + coupling * mu[:, np.newaxis] * lost
    trial = ising.Ising(0 * down[..., np.newaxis], down[..., np.newaxis], fields[..., np.newaxis])
    curves[size] = ising.trial_free_energies(ring, trial, max_order=1)[0] / num_spins
    best_trial = ising.block_trial(ring, (size, 1))
    best_bounds[size] = ising.trial_free_energies(ring, best_trial, max_order=1)[0] / num_spins
    assert np.all(curves[size] >= best_bounds[size] - 1e-12)
    print(f"blocks of {size:2d}: best bound {best_bounds[size]:.6f} nats a spin", end=", ")
    print(f"gap {best_bounds[size] - exact_ring / num_spins:.6f}")

# %% name="block-bounds" alt="Left: the bound over the mean in the field, for blocks of 1, 2, 4 spins: all above the exact line, lower for larger blocks. Right: the best gap falls from 0.071 to 0.027 nats."
check(best_bounds[num_spins], exact_ring / num_spins)
assert all(best_bounds[k] > best_bounds[n] for k, n in ((1, 2), (2, 4), (1, 3), (3, 6), (6, 12)))
figure, axes = plt.subplots(1, 2, figsize=(10, 3.5))
for size, colour in zip((1, 2, 4), (orange, blue, green), strict=True):
    axes[0].plot(mu, curves[size], color=colour, label=f"blocks of {size}")
    axes[0].axhline(best_bounds[size], color=colour, lw=0.8, ls=":")
axes[0].axhline(exact_ring / num_spins, color="black", label="exact")
label(axes[0], "Bound against the mean $\\mu$ in the field", "$\\mu$", "$F_1 / N$ (nats)")
axes[0].legend()
gaps = [best_bounds[k] - exact_ring / num_spins for k in block_sizes[:-1]]
axes[1].plot(block_sizes[:-1], gaps, "o-", color=purple)
axes[1].set(xticks=block_sizes[:-1], ylim=(0, None))
label(axes[1], "Best bound $-$ exact", "spins in a block $k$", "gap per spin (nats)")
plt.show()

# %% [markdown]
# Left: every curve is above the exact line, whatever $\mu$, and the larger the blocks, the lower and
# the flatter it runs; a block that knows its own interactions depends less on its guess about the
# neighbours. Right: the best bound of a *finer* tiling is never lower than that of a coarser one
# that contains it, because the coarser family includes the finer one with some couplings set to
# zero. Cutting fewer bonds costs less, but progress is slow: from 0.071 nats a spin for single spins to
# 0.027 for blocks of half the ring.
#
# **The deliberate failure.** The bound is on the free energy. Does a good bound make a good $q$? Take
# the field away, but for a tiny $h = 0.001$ to break the tie between up and down, and vary $K$.
# Linearise (7.6) for small $m$: $m \approx 2 K m$. For $K > \frac12$ a non-zero solution appears, and
# it has the lower $F_1$: mean-field theory says that the chain becomes a magnet. By (7.4) it never
# does.

# %% name="weak-field"
couplings = np.linspace(0.05, 1.5, 59)
weak = ising.chain(num_spins, couplings, field=0.001)  # 59 chains at once
exact_weak = ising.per_spin(weak)
magnets, weak_gaps = {}, {}
for size in (1, 2, 4):
    trial = ising.block_trial(weak, (size, 1), max_iterations=20_000)
    bound = ising.trial_free_energies(weak, trial, max_order=1)[0] / num_spins
    magnets[size] = ising.magnetisation(trial).mean(axis=(1, 2))
    weak_gaps[size] = bound - exact_weak.free_energy
    assert np.all(weak_gaps[size] > -1e-12)  # (B16) holds all the same
    print(f"blocks of {size}, K = 1.5: m = {magnets[size][-1]:.3f} (exact ", end="")
    print(f"{exact_weak.magnetisation[-1]:.3f}), gap {weak_gaps[size][-1]:.4f} nats a spin")

# %%
for size in (1, 2, 4):  # wrong magnetisations, and gaps that shrink at the end towards ln 2 in all
    assert magnets[size][-1] > 0.9 and weak_gaps[size].argmax() < len(couplings) - 1
    assert 1 < num_spins * weak_gaps[size][-1] / np.log(2) < 1.2
without_field = ising.per_spin(ising.chain(num_spins, couplings))
check(without_field.magnetisation, 0.0)

# %% name="wrong-magnet" alt="Left: over the coupling K the trials magnetise, from 0.5, 0.6, 0.75 on, up to 1; the exact chain stays at 0. Right: the gap of the bound rises to a maximum and falls again."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.4))
for size, colour in zip((1, 2, 4), (orange, blue, green), strict=True):
    axes[0].plot(couplings, magnets[size], color=colour, label=f"blocks of {size}")
    axes[1].plot(couplings, weak_gaps[size], color=colour, label=f"blocks of {size}")
axes[0].plot(couplings, exact_weak.magnetisation, color="black", label="exact")
label(
    axes[0], "Magnetisation of a chain, $h = 0.001$", "coupling $K$ (nats)", r"$\langle s \rangle$"
)
label(axes[1], "Bound $-$ exact", "coupling $K$ (nats)", "gap per spin (nats)")
axes[0].legend()
plt.show()

# %% [markdown]
# The bound is never violated, and at strong coupling its gap even *shrinks*, while the
# magnetisation is as wrong as it can be. The exact chain at strong coupling is nearly all up or nearly
# all down, a distribution with two modes. The trial has one mode, and $\mathrm{KL}(q \,\|\, p)$ picks one of
# the two (section 3): mode-seeking is what physicists call a broken symmetry. Half of $p$ is missed, and
# a $q$ that equals $p$ on one half of its states and vanishes on the other has the divergence $\ln \frac{1}{1/2}
# = \ln 2$. That is the price in all, however long the chain is: 0.058 nats for each of 12 spins. At $K = 1.5$ the gap is
# within a fifth of that value, from above, and it does not go to zero. (For *small* errors there is a second reason why a bound may be
# better than its averages. The free energy is stationary at $q = p$, so that an error of order $\epsilon$ in $q$
# makes one of order $\epsilon^2$ in $F$ and one of order $\epsilon$ in an average; exercise 1 has an example. A lost
# mode is no small error, and that argument says nothing here.)
#
# *A tight bound certifies the free energy, not the
# distribution.* An ELBO close to $\ln p(x)$ says less about the codes $q(z|x)$ than one might hope.
#
# ## 8. One free energy in five notations
#
# The post ends with a list of expressions for the free energy. They are all the same quantity, except
# one. Now $\beta$ is written out.
#
# **Sum over states**, as in every RBM:
#
# $$-\beta F = \ln \sum_k e^{-\beta E_k} . \tag{B33a}$$
#
# **Density of states.** Many states have the same energy. Sort them, and let $\rho(E)\, dE$ be the
# *number* of states between $E$ and $E + dE$ ([chapter 20](20_density_of_states.ipynb) counts $2^{64}$ of them):
#
# $$-\beta F = \ln \int dE\, \rho(E)\, e^{-\beta E} . \tag{B33b}$$
#
# For the ring (7.1) without field, with $K = \beta J$, the energy depends only on the number $d$ of
# neighbours that differ, $E = -J (N - 2 d)$. On a ring $d$ is even; choose the $d$ places among $N$
# bonds and the sign of the first spin:
#
# $$\rho(E) = \sum_{d\ \rm even} 2 \binom{N}{d}\, \delta\big( E + J (N - 2 d) \big) . \tag{8.1}$$
#
# $\rho$ is not a probability: its integral is $2^N$, the number of states. (The post writes
# $d\rho(E)$. That is right if $\rho$ stands for the number of states *up to* $E$, whose differential is
# counted.) The probability of an *energy* is $\rho(E)\, e^{-\beta E} / Z$, a rising factor times a
# falling one. It peaks where $\frac{d}{dE} \ln \rho = \beta$; writing $S(E) = \ln \rho(E)$, where
# $E - T S(E)$ is lowest. Energy minus entropy, once more.
#
# **Check against the exact result**: $J = 1$ and $\beta = 0.8$; 4,096 states, sorted.

# %%
beta, unit_ring = coupling, ising.chain(num_spins, 1.0)
energies = unit_ring.energy(spins)  # J = 1, (4096,)
level, count = np.unique(energies, return_counts=True)  # E and the number of states there
walls = np.arange(0, num_spins + 1, 2)
check(level, -(num_spins - 2.0 * walls))
check(count, [2 * math.comb(num_spins, d) for d in walls])  # (8.1)
by_states = log_sum_exp(-beta * energies)  # (B33a)
by_density = log_sum_exp(np.log(count) - beta * level)  # (B33b)
exact_ring_log_z = ising.chain(num_spins, beta).log_z()
check([by_states, by_density], exact_ring_log_z)
print(f"-beta F = {by_states:.9f} from {len(energies)} states")
print(f"-beta F = {by_density:.9f} from {len(level)} levels")

# %% [markdown]
# **Continuous states.** A classical particle in one dimension has a position and a momentum. Its states
# are not countable, and its partition function is an integral over phase space; quantum mechanics
# supplies the unit, one state for each cell of area $2 \pi \hbar$:
#
# $$-\beta F = \ln \int \frac{dx\, dp}{2 \pi \hbar}\, e^{-\beta E(x, p)} . \tag{B33c}$$
#
# For the harmonic oscillator, $E = \frac12 (p^2 + x^2)$ with mass and frequency 1, two Gaussian
# integrals give $\frac{1}{2 \pi \hbar} \cdot \frac{2 \pi}{\beta} = \frac{1}{\beta \hbar}$. By density of
# states: the energy is at most $E$ inside a circle of area $2 \pi E$, which holds $E / \hbar$ states.
# So $\rho(E) = 1 / \hbar$, and $\int_0^\infty dE\, e^{-\beta E} / \hbar = \frac{1}{\beta \hbar}$, too.
#
# **Quantum trace.** The energy becomes a Hermitian operator $\mathcal{H}$:
#
# $$-\beta F = \ln \mathrm{Tr}\, e^{-\beta \mathcal{H}}
#   = \ln \sum_n \langle n | e^{-\beta \mathcal{H}} | n \rangle . \tag{B33d}$$
#
# The sum over an orthonormal basis is the same for *every* basis. In that of the eigenvectors it is
# (B33a). The oscillator has $E_n = \hbar (n + \frac12)$ and, as a geometric series,
#
# $$\mathrm{Tr}\, e^{-\beta \mathcal{H}} = \sum_{n=0}^\infty e^{-\beta \hbar (n + 1/2)}
#   = \frac{1}{2 \sinh (\beta \hbar / 2)} \;\xrightarrow{\;\hbar \to 0\;}\; \frac{1}{\beta \hbar} . \tag{8.2}$$
#
# What one may *not* do in another basis is to take the exponential after the bracket:
# $\sum_n e^{-\beta \langle n | \mathcal{H} | n \rangle}$ is a lower bound on the trace, (5.6). In a basis
# of positions it is a useless one, because a sharp position has a huge kinetic energy.
#
# **Check against the exact result**: the trace in the basis of eigenvectors and in the basis of
# positions, points $x_i$ with the spacing $\Delta$, where the kinetic energy is the matrix of
# $-\frac{\hbar^2}{2} \frac{d^2}{dx^2}$ for band-limited functions (Colbert and Miller 1992):
# $\frac{\hbar^2}{2 \Delta^2} (-1)^{i - j} \cdot \frac{2}{(i - j)^2}$, and $\frac{\pi^2}{3}$ in place of the
# last factor for $i = j$. The position basis has no eigenvector of $\mathcal{H}$ in it.


# %%
def oscillator(hbar, num_points=121, half_width=9.0):
    """The matrix of p^2/2 + x^2/2 in a basis of positions."""
    x = np.linspace(-half_width, half_width, num_points)
    apart = np.subtract.outer(np.arange(num_points), np.arange(num_points))
    decay = 2 / np.where(apart, apart, 1) ** 2
    factor = (-1.0) ** apart * np.where(apart == 0, np.pi**2 / 3, decay)
    return hbar**2 / (2 * (x[1] - x[0]) ** 2) * factor + np.diag(x**2 / 2)


# %% name="traces"
beta, hbar = 1.3, 1.0
in_positions = oscillator(hbar)
by_trace = np.log(np.trace(scipy.linalg.expm(-beta * in_positions)))  # (B33d), basis of positions
by_levels = log_sum_exp(-beta * hbar * (np.arange(200) + 0.5))  # basis of eigenvectors
check([by_trace, by_levels], -np.log(2 * np.sinh(beta * hbar / 2)))  # (8.2)
exponent_first = log_sum_exp(-beta * np.diag(in_positions))
assert exponent_first < by_trace  # (5.6)
print(f"-beta F = {by_trace:.9f} by trace over positions, {by_levels:.9f} over eigenvectors")
print(f"exponential of the diagonal, in the position basis: {exponent_first:.3f}")

# %%
grid = np.linspace(-30, 30, 6001)
cell = grid[1] - grid[0]
classical = np.log(
    cell**2 * np.sum(np.exp(-beta * grid**2 / 2)) ** 2 / (2 * np.pi * hbar)
)  # (B33c)
e = np.linspace(0, 60, 600_001)
by_area = np.log(np.trapezoid(np.exp(-beta * e) / hbar, e))  # (B33b), rho = 1 / hbar
check(classical, -np.log(beta * hbar))
check(by_area, classical, tolerance=1e-8)
print(f"classical: {classical:.9f} over phase space, {by_area:.9f} by density of states")
for small in (1.0, 0.3, 0.1):
    quantum = -np.log(2 * np.sinh(beta * small / 2))
    excess = -np.log(beta * small) - quantum
    print(f"hbar = {small:.1f}: quantum ln Z {quantum:.6f}, classical minus quantum {excess:.6f}")
    assert 0 < excess < (beta * small) ** 2 / 24  # ln(sinh(u) / u) <= u^2 / 6

# %% name="five-notations" alt="Left: on a log scale, the number of states peaks at energy 0, the Boltzmann factor falls, their product peaks at -8. Right: the classical F of an oscillator lies below the quantum one."
share = np.exp(np.log(count) - coupling * level - by_density)  # probability of each energy
names = r"$\rho(E)$, states", r"$e^{-\beta E}$", r"$\rho(E)\, e^{-\beta E} / Z$"
figure, axes = plt.subplots(1, 2, figsize=(10, 3.4))
axes[0].set_prop_cycle(color=(blue, orange, green), marker=("o", "s", "^"))
axes[0].semilogy(level, np.transpose([count, np.exp(-coupling * level), share]), ms=5, label=names)
label(axes[0], "An Ising ring, sorted by energy", "energy $E$ ($J$)", "number or probability")
axes[0].legend(fontsize=10)
t = np.linspace(0.05, 2, 100)
axes[1].plot(t, t * np.log(2 * np.sinh(1 / (2 * t))), color=blue, label="quantum, (8.2)")
axes[1].plot(t, -t * np.log(t), color=orange, label="classical, (B33c)")
axes[1].plot(0, 0.5, "o", color="black", label=r"ground state, $\hbar / 2$")
label(axes[1], r"An oscillator, $\hbar = 1$", r"temperature $T$ ($\hbar$)", r"$F$ ($\hbar$)")
axes[1].legend()
plt.show()

# %% [markdown]
# Left: most states lie in the middle, the weight of each falls with the energy, and the product peaks
# below the middle. Right: the classical $F$ is below the quantum one, always, and they meet at high
# temperature.
#
# **The odd one out.** Next to the density of states stands an expression that looks much like it,
#
# $$\ln \int dx\, p(x)\, e^{-\beta E(x)} , \tag{8.3}$$
#
# and the post warns that it is "not the same". Here is why. $\rho(E)$ *counts*; $p(x)$, a
# probability density, *weighs*: its integral is 1. So (8.3) is an average,
# $\ln \langle e^{-\beta E} \rangle_p$, and it depends on which $p$ is meant. Take
# $E = \frac12 x^2$. For this energy the sum over states is $\ln \int dx\, e^{-\beta E} = \frac12 \ln \frac{2 \pi}{\beta}$.
# Here is what (8.3) gives for two choices of $p$:
#
# - $p$ uniform on $[-R, R]$: (8.3) is $\frac12 \ln \frac{2 \pi}{\beta} - \ln 2 R$ for large $R$. This is the right
#   value minus the logarithm of the volume, and that logarithm grows without limit.
# - $p$ the Boltzmann distribution itself: the weight $e^{-\beta E}$ is counted twice, and (8.3) is
#   $\ln [Z(2 \beta) / Z(\beta)] = -\frac12 \ln 2$, whatever the temperature.
# - $p = N(0, 1)$: (8.3) is $\ln \int dx\, (2 \pi)^{-1/2} e^{-(1 + \beta) x^2 / 2} =
#   -\frac12 \ln (1 + \beta)$. That is the free energy of *another* oscillator, with the energy
#   $E - \frac1\beta \ln p$.
#
# The third case is Bayes: $p(x_{\rm data}) = \int dz\, p(z)\, p(x_{\rm data} | z)$ has the form (8.3),
# with the likelihood as the Boltzmann factor. It *is* a free energy, as section 1 showed, if the
# prior belongs to the energy, $E = -\ln p(x|z) - \ln p(z)$. Leave the prior out of the energy and the
# two disagree.
#
# **Average over a reference.** There is one way to read (8.3) as physics. If $p$ is the Boltzmann
# distribution of a reference $H_0$ with the free energy $F_0$, then by the first steps of (5.2), without
# any inequality,
#
# $$-\beta (F - F_0) = \ln \big\langle e^{-\beta (H - H_0)} \big\rangle_0 . \tag{B33e}$$
#
# An average gives the *difference* of two free energies, and the exponent holds the difference of the
# energies. That is what the post's bracket notation, $-\beta F = \ln \langle e^{-\beta H} \rangle$, must
# mean: either the bracket is a sum over states, not normalised (a trace), or both an $F_0$ and an
# $H_0$ are missing. With $H_0 = 0$, all states alike, $-\beta F_0 = N \ln 2$ for spins; that term is
# easily lost. (B33e) is the starting point of perturbation theory, rows B18 to B25.
#
# **Check against the exact result**: the three readings of (8.3), by quadrature; then (B33e) for the
# ring, with three references.

# %% name="odd-one"
well = grid**2 / 2  # E(x)
log_z_x = 0.5 * np.log(2 * np.pi / beta)
boltzmann = np.exp(-beta * well - log_z_x)
gaussian = np.exp(-well) / math.sqrt(2 * np.pi)
readings = {
    "uniform on [-10, 10]": ((np.abs(grid) <= 10) / 20, log_z_x - np.log(20)),
    "uniform on [-20, 20]": ((np.abs(grid) <= 20) / 40, log_z_x - np.log(40)),
    "Boltzmann": (boltzmann, -0.5 * np.log(2)),
    "N(0, 1)": (gaussian, -0.5 * np.log(1 + beta)),
}
print(f"-beta F from the integral without p: {log_z_x:.6f}")
for name, (p, expected) in readings.items():
    value = np.log(cell * np.sum(p * np.exp(-beta * well)))  # (8.3)
    check(value, expected)
    print(f"(8.3) with p {name:21s} {value:9.6f}")

# %% name="references"
beta, up = coupling, spins.sum(axis=(1, 2))  # of the ring again; the sum of all spins
references = {"nothing": 0 * up, "a field of 0.5": -0.5 * up, "half the coupling": 0.5 * energies}
for name, reference in references.items():
    minus_beta_f0 = log_sum_exp(-beta * reference)
    log_p0 = -beta * reference - minus_beta_f0
    log_average = log_sum_exp(log_p0 - beta * (energies - reference))
    bound = minus_beta_f0 - beta * np.exp(log_p0) @ (energies - reference)  # (B16)
    check(minus_beta_f0 + log_average, exact_ring_log_z)  # (B33e)
    assert bound < exact_ring_log_z
    print(f"reference {name:18s} {minus_beta_f0:.6f} + {log_average:.6f}", end=" = ")
    print(f"{minus_beta_f0 + log_average:.6f}, bound {bound:.6f}")

# %% [markdown]
# All three references give the same $-\beta F$ exactly. The last column takes the average into the
# exponent: three lower bounds on $-\beta F$, of very different quality. That is the whole difference
# between an identity and a variational method. (The second and the third reference have nearly the
# same $F_0$: a field of 0.5 gives a factor $2 \cosh 0.4$ for each spin, half the coupling the same
# factor for each bond, but for the ring's $\lambda_-^N$. Equal $F_0$, and bounds that are more than two
# nats apart: another reason not to judge a trial by $F_t$.)
#
# ## 9. The bridge
#
# The post asks four questions. This chapter answers the first two, in part, and prepares the others.
#
# - *How is this free energy related to $\ln Z$?* The variational free energy is
#   $\mathcal{F}[q] = -\ln Z + \mathrm{KL}(q \,\|\, p)$ (B12, B16), where $Z$ is the partition function
#   of the unseen variables with the data clamped, $Z = p(x)$.
# - *When is it variational, when not?* $\langle H \rangle_q - T S(q)$ is an upper bound for every
#   distribution $q$, tight for the true one only. $F_t$ alone is not; neither are, in general, the
#   higher orders of the expansion of (B33e) in cumulants.
# - *How can it be improved?* By a richer family of $q$, like the blocks; or by keeping the family and
#   estimating the gap $\ln \langle e^{-\beta (H - H_t)} \rangle_t + \beta \langle H - H_t \rangle_t$. Its
#   expansion in cumulants comes in chapters 11 and 12 (B23 to B25).
# - *How is it related to a deterministic autoencoder?* As $T \to 0$ the entropy drops out of
#   $\langle E \rangle - T S$, and $q$ shrinks to one point, the $z$ of lowest energy (B32, chapters 7
#   and 9).
#
# One of the post's starting points is missing here: score matching (B11) compares gradients of
# $\ln p$ in $x$, and never meets $Z$. It is in chapter 8.
#
# An RBM is trained on $F_c - F_{\rm eq}$, and approximates $F_{\rm eq}$. A VAE has $F_{\rm eq} = 0$ and
# approximates $F_c$, by (B14b), with a $q(z|x)$ that a neural network computes from $x$. That network is
# the subject of the next chapter. What it minimises has been derived here four times.
#
# ### Summary
#
# | road | row | statement | the gap is |
# |:--|:--|:--|:--|
# | expected log likelihood | B12 | $\ln p(x) = \langle \ln p(x, z) \rangle_q + H(q) + \mathrm{KL}$ | the KL term, kept |
# | KL of posteriors | B13 | $\mathrm{KL}(q \,\Vert\, p(z \mid x)) = \mathcal{F}[q] + \ln p(x)$ | the objective itself |
# | variational Bayes | B14 | $\ln p(x) \ge \langle \ln p(x \mid z) \rangle_q - \mathrm{KL}(q \,\Vert\, p(z))$ | the same KL; Jensen does not name it |
# | energy minus entropy | B15 | $-\mathrm{ELBO} = \langle E \rangle_q - S(q)$ | the same KL, (5.1) |
# | Gibbs, Bogoliubov, Feynman | B16 | $F \le F_t + \langle H - H_t \rangle_t$ | $T\, \mathrm{KL}(q \,\Vert\, p)$ |
#
# - Minimising $\mathrm{KL}(q \,\|\, p)$ is mode-seeking, minimising $\mathrm{KL}(p \,\|\, q)$ is
#   mass-covering; in a VAE the encoder does the first and the decoder the second, in one KL of joint
#   distributions. In a good model the *aggregate* posterior matches the prior.
# - The bound of (B16) survives a shift of $H_t$, $F_t$ does not. Larger blocks tighten it.
# - A tight bound on $F$ does not make $q$ right: mean field magnetises a chain that cannot order.
# - $-\beta F$ is the logarithm of a *sum* over states (B33), which can be sorted by energy, replaced by
#   an integral or taken as a trace in any basis. An average gives a difference of two free energies.
#
# ## Exercises
#
# 1. *(easy)* **One bit.** Let $z$ be 0 or 1, with energies 0 and $\Delta$, and $q = (1 - m, m)$. Minimise
#    $\mathcal{F}[q]$ by hand (a function `best_m(delta)`), and show that near the minimum
#    $\mathcal{F} - F \approx \frac12 (m - m^*)^2 / [m^* (1 - m^*)]$. Compare `excess`, the left-hand side at
#    $m - m^* = 0.01$ for $\Delta = 1.2$, with `parabola`, the right-hand side.
# 2. *(easy)* **A sandwich.** Compute both sides of (5.4) for the ring of section 7 and the best
#    product trial, with all 4,096 states. Which side is closer?
# 3. *(medium)* **Relaxation.** A Markov chain with transition probabilities $R(z'|z)$ leaves $p$ alone,
#    $\sum_z R(z'|z)\, p(z) = p(z')$. Show that $\mathcal{F}$ can only fall when $q$ is replaced by
#    $\sum_z R(z'|z)\, q(z)$, use it to prove (B16) anew, and watch a Metropolis chain do it: six states with
#    random energies `six`, $R$ as a matrix `metropolis[new, old]`, and `history`, the list of $\mathcal{F}$ over 300 steps.
# 4. *(medium)* **Two dimensions.** On a 4 × 4 periodic square lattice with $K = 0.35$ and $h = 0.05$,
#    compare the best bounds with blocks of 1 × 1, 2 × 1, 4 × 1 (a closed column), 2 × 2 and 4 × 2 spins.
#    What is better for blocks of four spins, a column or a square? (`bounds_2d`: from the block, as (4, 1), to its
#    bound per spin.)
# 5. *(hard)* **The anharmonic oscillator**, Feynman's favourite. Take the classical
#    $E(x) = \frac12 x^2 + g x^4$ at $\beta = 1$ and a trial oscillator, that is a Gaussian $q$ of variance
#    $v$. Derive $\mathcal{F}(v) = \frac12 v + 3 g v^2 - \frac12 \ln (2 \pi e\, v)$ and the best $v$, and
#    compare with quadrature from $g = 0.01$ to 10: a function `quartic(g)` that returns
#    the best $v$, the bound and the exact $F$. How large does the gap become
#    for $g \to \infty$ (`limit`)?
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
# 2. The upper gap is KL(q || p), the lower one KL(p || q). The product q misses the second mode (most spins
# down), where p has mass: that costs KL(p || q) dearly. KL(q || p) pays for it with ln(1 / share of the mode
# it has) = -ln 0.755 = 0.28 nats; the rest are the correlations inside that mode.
log_p, difference = exact_ring - ring_energy, ring_energy - optimal.energy(spins)
log_q = -optimal.energy(spins) - optimal.log_z()
upper = -optimal.log_z() + np.exp(log_q) @ difference
lower = -optimal.log_z() + np.exp(log_p) @ difference
print(f"2. {lower:.4f} < F = {exact_ring:.4f} < {upper:.4f} nats: ", end="")
print(f"gaps {exact_ring - lower:.4f} below, {upper - exact_ring:.4f} above")
up = spins.reshape(len(spins), -1).sum(axis=1) > 0
print(f"   most spins up: probability {np.exp(log_p)[up].sum():.3f}")
assert lower < exact_ring < upper
check(upper, num_spins * best_bounds[1])
check(lower, -18.3609, tolerance=1e-5)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. Joint distributions R(z'|z) q(z) and R(z'|z) p(z) have the divergence KL(q || p), since R cancels. By the
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
print("3. F[q] at steps 0, 1, 10, 100:", np.round([history[k] for k in (0, 1, 10, 100)], 4))
check([metropolis.sum(axis=0), metropolis @ np.exp(-six) / np.exp(-six)], 1.0)
check(history[-1], -log_sum_exp(-six), 1e-4)
assert np.all(np.diff(history) <= 1e-12)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. Coarser tilings contain the finer ones. The closed column and the square are both *rings* of four spins, and
# in both each spin has lost two neighbours: the same trial, the same bound.
lattice = ising.square(4, 0.35, field=0.05)
bounds_2d = {}
for block in ((1, 1), (2, 1), (4, 1), (2, 2), (4, 2)):
    trial = ising.block_trial(lattice, block)
    bounds_2d[block] = ising.trial_free_energies(lattice, trial, max_order=1)[0] / 16
    print(f"4. blocks {block[0]} x {block[1]}: {bounds_2d[block]:.6f} nats a spin")
    if block == (2, 2):
        check(bounds_2d[2, 2], bounds_2d[4, 1])
print(f"   exact {-lattice.log_z() / 16:.6f}")
check(sum(bounds_2d.values()), -4.113133, tolerance=2e-6)
assert bounds_2d[1, 1] > bounds_2d[2, 1] > bounds_2d[2, 2] > bounds_2d[4, 2]


# %% jupyter={"source_hidden": true} tags=["solution"]
# 5. <x^2> = v, <x^4> = 3 v^2, and the entropy of a Gaussian is ln(2 pi e v) / 2. dF/dv = 1/2 + 6 g v - 1/(2 v) = 0:
# 12 g v^2 + v - 1 = 0. For g -> infinity only g x^4 counts: v = (12 g)^(-1/2), F_1 = 1/4 - ln(2 pi e) / 2
# + ln(12 g) / 4, and the exact F = ln(g) / 4 - ln(2 Gamma(5/4)): ln g drops out of the gap.
def quartic(g):  # v, F_1, F
    x, v = np.linspace(-12, 12, 40_001), (math.sqrt(1 + 48 * g) - 1) / (24 * g)
    first = v / 2 + 3 * g * v**2 - 0.5 * math.log(2 * np.pi * math.e * v)
    return v, first, -math.log(np.trapezoid(np.exp(-(x**2) / 2 - g * x**4), x))


for g in (0.01, 0.1, 1.0, 10.0):
    print("5. g = {:5.2f}: v = {:.4f}, F_1 = {:.4f}, exact {:.4f} nats".format(g, *quartic(g)))
limit = 0.25 + math.log(12) / 4 - math.log(2 * np.pi * math.e) / 2 + math.log(2 * math.gamma(1.25))
print(f"   g to infinity: gap {limit:.4f} nats")
check(quartic(1.0), (0.25, -0.4133, -0.4414), tolerance=1e-4)
check(quartic(1e6)[1] - quartic(1e6)[2], limit, tolerance=1e-3)
