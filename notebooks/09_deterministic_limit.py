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
# # Chapter 9: The deterministic limit
#
# Chapter 7 ended with a limit: at temperature zero a variational autoencoder becomes an ordinary
# autoencoder with a penalty on its code. The blog post that this course follows asks how the two
# are related, and remarks that deterministic networks seem to minimise an energy from which the
# partition function has cancelled. This chapter takes the whole way from $T = 1$ to $T = 0$, and
# finds on it a phase transition, an equipartition theorem and Shannon's rate-distortion function.
# It also shows what is lost at the end of the way, in nats.
#
# **What you will do**
#
# - put a temperature into the variational free energy, and see it choose between two wells;
# - derive the loss of `VAE(temperature=T)` term by term, and compute it by hand (B32);
# - show that it is a beta-VAE in other units;
# - solve the linear model at every temperature, down to principal component analysis;
# - take convolutional VAEs of digits, trained at five temperatures, and measure their energy, their
#   entropy and what their samples are worth;
# - improve an autoencoder for ever without changing what it does.
#
# **What you will learn**
#
# - what temperature means for a VAE, and why the optimum at every $T$ obeys
#   $\langle |z|^2 \rangle = J T$;
# - why the rate, in nats, is minus the entropy, and the temperature the slope of a curve;
# - at which temperature each latent variable is switched off;
# - what an autoencoder lacks as a generative model, what that costs in nats, and where it costs nothing.
#
# **What you need**: chapters 6 and 7, sections 2, 3 and 12 of the latter above all, and eigenvalues
# of a covariance matrix.
#
# **Time**: about two hours, and an hour and a half for the exercises. The code takes about a minute, and
# some minutes more where it trains the seven models of digits anew.
#
# Equation numbers such as (B32) are the row names used in the whole course and in the table
# `EQUATIONS.md`; numbers such as (2.1) are steps on the way. Energies, rates and log-likelihoods
# are in nats, temperatures are pure numbers.

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

import os

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops
from scipy import optimize, special, stats

from rbm_tf import course, datasets, plotting
from vae_keras import VAE, NegativeLogLikelihood, evidence, layers, networks
from vae_keras.parts import Bernoulli, Gaussian

# %%
seed = 0
temperatures = (3.0, 1.0, 0.3, 0.03, 0.0)  # of the digits' models
many_latents, num_few = 8, 50  # of two more models in section 9, and of the test images there
num_epochs, batch_size, latent_dim, filters = 80, 100, 2, (16, 32)
num_draws = 5  # of the noise, for each image
grid_points, grid_edge = 141, 5.0  # of the latent plane, for exact ln p(x)
noise_scale, num_components = 0.5, 3  # of the linear model in section 5
retrain = bool(os.environ.get("RETRAIN"))  # True: train the digits' models here, some minutes
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 72}])


# %%
def check(left, right, tolerance=1e-10):
    """Raise unless both are equal to the tolerance, relative above 1, absolute below."""
    np.testing.assert_allclose(*np.broadcast_arrays(left, right), rtol=tolerance, atol=tolerance)


def label(axis, title, xlabel, ylabel):
    axis.set(title=title, xlabel=xlabel, ylabel=ylabel)


# %% [markdown]
# ## 1. Energy minus temperature times entropy
#
# Take any energy $E(z)$; for a VAE it is $E(x, z) = -\ln p(x, z)$ at a fixed image $x$. At
# temperature $T$ the equilibrium distribution and the free energy are
#
# $$p_T(z) = \frac{e^{-E(z) / T}}{Z_T} , \qquad Z_T = \int\! dz\; e^{-E(z)/T} , \qquad
#   F_T = -T \ln Z_T . \tag{1.1}$$
#
# For any trial distribution $q$, write $E = -T \ln p_T - T \ln Z_T$, average over $q$, and subtract
# $T S(q)$ with $S(q) = -\langle \ln q \rangle_q$:
#
# $$\langle E \rangle_q - T S(q) = F_T + T \big\langle \ln q - \ln p_T \big\rangle_q
#   = F_T + T\, \mathrm{KL}(q \,\|\, p_T) \;\ge\; F_T . \tag{1.2}$$
#
# This is (B16) at a temperature of its own: energy minus temperature times entropy is an upper
# bound on the free energy, with equality for $q = p_T$. Two consequences will be used throughout.
#
# *The slope is the entropy.* $dF_T / dT = -\ln Z_T - T\, \langle E \rangle / (T^2) = -S(p_T)$. The
# same holds for a restricted family of trials: let $F_T(q) = \langle E \rangle_q - T S(q)$ and let
# $q_T$ minimise it. In $\frac{d}{dT} F_T(q_T)$ the change of $q_T$ contributes nothing, because
# $F_T$ is stationary there, and what is left is the explicit $T$:
#
# $$\frac{d}{dT} \min_q F_T(q) = -S(q_T) . \tag{1.3}$$
#
# *The limit is the ground state.* As $T \to 0$ the entropy is multiplied by zero, and what remains
# is the smallest $\langle E \rangle_q$: a $q$ that sits on the minimum of $E$. How it gets there
# follows from Laplace's method. Near the minimum $z_0$, $E \approx E_0 + \frac12 k (z - z_0)^2$,
# and
#
# $$F_T \approx E_0 - T \ln \sqrt{2 \pi T / k} , \qquad p_T \approx N(z_0,\, T / k) . \tag{1.4}$$
#
# The width of the thermal fluctuations is proportional to $\sqrt T$. That is where the
# $\sqrt{T}$ in the noise of the library's model comes from.
#
# ## 2. Lowest energy or lowest free energy?
#
# The two are different questions, and may have different answers. Here is an energy with two wells,
#
# $$e^{-E(z)} = e^{-(z + 1.5)^2 / 2 a^2} + 0.6\, e^{-(z - 1.5)^2 / 2 b^2} ,
#   \qquad a = 0.1, \quad b = 0.5 . \tag{2.1}$$
#
# The left one is deeper, by $\Delta E = -\ln 0.6 = 0.51$ nats. The right one is five times as wide.
# With (1.4), each well alone has $F = E_0 - T \ln \sqrt{2 \pi T / k}$ and $k = 1 / a^2$ or
# $1/b^2$; they are equal at
#
# $$T_* = \frac{\Delta E}{\ln (b / a)} = 0.317 . \tag{2.2}$$
#
# Below $T_*$ the narrow well wins, above it the wide one: room counts for more than depth. Let a
# Gaussian trial $q = N(\mu, T \sigma^2)$ find out.
#
# **Check against the exact result**: the best Gaussian lies above $F_T$ (1.2), which is an integral
# over one variable here; the slope of its free energy is minus its entropy (1.3).

# %%
z_line = np.linspace(-4, 6, 8001)
spacing = z_line[1] - z_line[0]
narrow, wide, depth = 0.1, 0.5, -np.log(0.6)
wells = [-((z_line + 1.5) ** 2) / (2 * narrow**2), -((z_line - 1.5) ** 2) / (2 * wide**2) - depth]
energy = -np.logaddexp(*wells)  # (2.1)


# %%
def exact_free_energy(temperature):
    return -temperature * (special.logsumexp(-energy / temperature) + np.log(spacing))  # (1.1)


def trial_free_energy(parameters, temperature):
    """<E> - T S of N(mean, T sigma^2), nats; parameters: mean, ln sigma (1.2)."""
    mean, width = parameters[0], np.sqrt(temperature) * np.exp(parameters[1])
    q = stats.norm.pdf(z_line, mean, width)
    return spacing * q @ energy - temperature * (0.5 + np.log(np.sqrt(2 * np.pi) * width))


# %%
def best_gaussian(temperature, start):
    """The best mean, ln sigma and free energy, searched from one well."""
    tries = {"args": (temperature,), "method": "Nelder-Mead", "tol": 1e-9}
    found = optimize.minimize(trial_free_energy, start, **tries)
    return *found.x, found.fun


# %%
starts = (-1.5, np.log(narrow)), (1.5, np.log(wide))
line = np.linspace(0.03, 0.7, 24)
in_wells = np.array([[best_gaussian(T, start) for T in line] for start in starts])  # (2, 24, 3)
best = in_wells[..., 2].min(axis=0)
exact = np.array([exact_free_energy(T) for T in line])
assert np.all(best >= exact - 1e-6)  # (1.2)
# %% name="crossing"
crossing = optimize.brentq(
    lambda t: np.subtract(*(best_gaussian(t, start)[2] for start in starts)), 0.2, 0.45
)
print(f"the best Gaussian changes wells at T = {crossing:.4f}; (2.2) says {depth / np.log(5):.4f}")

# %%
step = 1e-3
for start in starts:
    around = [best_gaussian(0.2 + dT, start) for dT in (-step, 0.0, step)]
    entropy = 0.5 + np.log(np.sqrt(2 * np.pi * 0.2)) + around[1][1]
    check((around[2][2] - around[0][2]) / (2 * step), -entropy, tolerance=1e-3)  # (1.3)

# %% name="two-wells" alt="Left: an energy with a deep narrow well and a wide shallower one. Right: free energies over temperature; the best Gaussian changes from the narrow to the wide well at 0.32; exact below both."
figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.4))
axes[0].plot(z_line, energy, color="black")
axes[0].set(xlim=(-2.6, 3.6), ylim=(-0.3, 6))
label(axes[0], "A deep narrow well and a wide one", "$z$", "energy (nats)")
for values, colour, text in zip(in_wells, (blue, orange), ("narrow", "wide"), strict=True):
    axes[1].plot(line, values[:, 2], color=colour, label=f"Gaussian in the {text} well")
axes[1].plot(line, exact, "k--", label="exact $F_T$")
axes[1].axvline(crossing, ymax=0.7, color=grey, lw=0.8)  # below the legend
label(axes[1], "Which is lower depends on $T$", "temperature $T$", "free energy (nats)")
axes[1].legend()
plt.show()

# %% [markdown]
# The left well is a code that explains the image perfectly if hit exactly. At $T = 1$, where the
# logarithm of $\int e^{-E}$ is the log-likelihood, it is worth less than a mediocre region that is
# easily hit. A deterministic autoencoder, which looks for the lowest energy, takes the left well.
#
# **Rayleigh and Ritz.** The post calls the variational theorem a finite-temperature generalisation
# of Rayleigh-Ritz. Here is that statement in reverse. For a symmetric matrix $H$ the free energy is
# $-T \ln \mathrm{Tr}\, e^{-H/T}$ (chapter 6, section 8). Take for trial states the mixtures of the
# basis vectors, with probabilities $p_i$: the bound $\sum_i p_i H_{ii} - T S(p)$ is smallest for
# $p_i \propto e^{-H_{ii}/T}$, and by (5.5) and (5.6) of chapter 6, $-T \ln \sum_i e^{-H_{ii}/T} \ge
# -T \ln \mathrm{Tr}\, e^{-H/T}$. As $T \to 0$ both sides become ground states, $\min_i H_{ii} \ge
# E_0$: the Rayleigh-Ritz bound, with the basis vectors for trials. Entropy is all that has been lost.

# %% name="rayleigh-ritz"
matrix = np.random.default_rng(seed).normal(size=(6, 6))
hamiltonian = (matrix + matrix.T) / 2
levels = np.linalg.eigvalsh(hamiltonian)
for T in (1.0, 0.1, 0.01):
    free, bound = (-T * special.logsumexp(-e / T) for e in (levels, np.diag(hamiltonian)))
    assert free <= bound
    print(f"T = {T:4.2f}: free energy {free:8.4f} <= {bound:8.4f} of the best mixture")
check([free, bound], [levels[0], hamiltonian.diagonal().min()], tolerance=1e-10)
print(f"ground state {levels[0]:.4f} <= {hamiltonian.diagonal().min():.4f}")

# %% [markdown]
# ## 3. The loss at temperature T, term by term
#
# Now the VAE. Its energy has two parts, $E(x, z) = -\ln p(x|z) + \frac12 |z|^2 + \frac{J}{2} \ln 2
# \pi$, with $J$ latent variables. The trial is a product of Gaussians (B29) whose widths follow
# (1.4):
#
# $$q(z|x) = \prod_{j=1}^J N\big( z_j;\; \mu_j(x),\; T \sigma_j^2(x) \big) , \qquad
#   z = \mu + \sqrt T\, \sigma\, \epsilon . \tag{3.1}$$
#
# *Energy of the prior.* $\langle z_j^2 \rangle = \mu_j^2 + T \sigma_j^2$, so it is
# $\frac12 \sum_j (\mu_j^2 + T \sigma_j^2) + \frac{J}{2} \ln 2 \pi$.
#
# *Entropy.* A Gaussian of variance $T \sigma_j^2$ has the entropy $\frac12 (1 + \ln 2 \pi T
# \sigma_j^2)$. Times $-T$, and split into what is learned and what is not:
#
# $$-T S = -\frac{T}{2} \sum_j (1 + \ln \sigma_j^2) - \frac{T J}{2} \ln 2 \pi T . \tag{3.2}$$
#
# Add everything up. The terms without $\mu$ and $\sigma$ are the constant $C_T = \frac{J}{2} [ \ln
# 2 \pi - T \ln 2 \pi T ]$, and
#
# $$\boxed{\; F_T(q) - C_T = \big\langle -\ln p(x|z) \big\rangle_q
#   {} + \tfrac12 \sum_j \mu_j^2
#   {} + \tfrac{T}{2} \sum_j \big( \sigma_j^2 - 1 - \ln \sigma_j^2 \big) \;} \tag{B32}$$
#
# Call the left side the loss $L_T$. $C_1 = 0$: at $T = 1$ the loss is $F_1(q)$, which is minus the
# ELBO. At $T = 0$ it is $-\ln p(x | \mu) + \frac12 |\mu|^2$. Nothing else in the program changes,
# whether the networks are dense or convolutional. Is $L_T$ a bound on $-\ln p(x)$? By (4.1) below it is a distortion
# plus $T$ times a rate that is not negative, and distortion plus rate bounds $-\ln p(x)$ of the model with
# the prior $N(0, T)$ from above. So for $T > 1$ it is a bound, a loose one, and for $T < 1$ it may lie below
# $-\ln p(x)$; in section 8 it does. Its values at two temperatures do not compare as likelihoods.
#
# **Check against the exact result**: (B32) by hand, with the noise of a second sampling layer of
# equal seed, against the library's loss, for a convolutional model.

# %%
(x_train, y_train), (x_test, y_test) = datasets.load_digits("bernoulli", seed=seed)
image_shape = x_train.shape[1:]


def build(temperature, num_latents=latent_dim):
    keras.utils.set_random_seed(seed)
    encoder = networks.conv_encoder(image_shape, num_latents, filters=filters)
    decoder = networks.conv_decoder(image_shape, num_latents, filters=filters[::-1])
    return VAE(encoder, decoder, temperature=temperature, seed=seed)


# %%
def loss_by_hand(model, x, temperature, eps):
    """(B32), mean over the batch, nats."""
    mean, log_var = (np.asarray(a) for a in model.encoder(x))
    logits = model.decoder(mean + np.sqrt(temperature) * np.exp(log_var / 2) * eps)
    pixels = np.sum(np.logaddexp(0, logits) - x * logits, axis=(1, 2))
    code = 0.5 * np.sum(mean**2 + temperature * (np.exp(log_var) - 1 - log_var), axis=1)
    return np.mean(pixels + code)


# %%
batch = x_train[:50]
for T in temperatures:
    model = build(T)
    zeros = ops.zeros((1, 50, latent_dim))
    eps = layers.GaussianSampling(seed=seed)((zeros, zeros))[0]
    by_hand, by_library = loss_by_hand(model, batch, T, eps), float(model.compute_loss(batch))
    check(by_hand, by_library, tolerance=1e-5)
    print(f"T = {T:4.2f}: {by_hand:.4f} nats, before training")

# %% [markdown]
# ## 4. Other units: the beta-VAE, rate and distortion
#
# Measure the latent variables in units of the thermal length: $z = \sqrt T\, z'$ and $\mu = \sqrt T
# \mu'$, so that $z' \sim N(\mu', \sigma^2)$. Then (B32) is
#
# $$L_T = \underbrace{\big\langle -\ln p(x | \sqrt T z') \big\rangle}_{D}
#   {} + T \cdot \underbrace{\tfrac12 \sum_j \big( \mu_j'^2
#       {} + \sigma_j^2 - 1 - \ln \sigma_j^2 \big)}_{
#       R \;=\; \mathrm{KL}(q(z'|x) \| N(0, I))} = D + T R . \tag{4.1}$$
#
# This is the loss of a **beta-VAE** (Higgins et al. 2017) with $\beta = T$, whose decoder
# multiplies its input by $\sqrt T$. A decoder's first layer can absorb that factor. So temperature
# and $\beta$ are the same knob, seen from two sides: the free energy keeps the prior $N(0, I)$ and
# shrinks the fluctuations, the beta-VAE keeps the fluctuations and changes the price. In the new
# units the prior is $N(0, I)$; in the old ones it is $N(0, T)$, the prior's own thermal state
# $\propto e^{-|z|^2 / 2T}$. They part at $T = 0$ only: a beta-VAE with $\beta = 0$ has no penalty
# whatsoever.
#
# $D$ is called *distortion* and $R$ *rate*: how badly the code describes the image, and how many
# nats the code says. Comparing (4.1) with $U - T S$, the distortion is an energy and **the rate is
# minus the entropy**, relative to the prior. From (1.3), for the minimum over any family of models,
#
# $$\frac{d L_T}{dT} = R , \qquad \frac{dD}{dR} = -T : \tag{4.2}$$
#
# the second since $dL_T = dD + T dR + R\, dT = R\, dT$. The best $D$ as a function of $R$ is the
# rate-distortion curve of the data, and the temperature is its slope (Alemi et al. 2018). Cooling
# buys distortion with rate.
#
# **Equipartition.** A family that can absorb a factor can be tried with any factor. Replace $\mu$
# and $\sigma$ by $\mu / c$ and $\sigma / c$, and let the decoder multiply by $c$. The distortion
# stays the same, and
#
# $$L_T(c) = D + \tfrac12 \sum_j \Big[ \frac{\langle \mu_j^2 + T \sigma_j^2 \rangle}{c^2}
#   {} - T (1 + \langle \ln \sigma_j^2 \rangle - 2 \ln c) \Big] , \tag{4.3}$$
#
# averaged over the data. The derivative with respect to $c$ at $c = 1$ is $-\langle |z|^2 \rangle +
# J T$. At the optimum it vanishes:
#
# $$\boxed{\; \langle |z|^2 \rangle = J\, T \;} \tag{4.4}$$
#
# Each latent variable has the mean energy $\frac12 \langle z_j^2 \rangle = \frac12 T$, on average
# over $j$. It is the equipartition theorem of classical mechanics: $\frac12 T$ for each quadratic
# term. At temperature zero the codes must shrink to nothing. That is what chapter 7 saw, where the
# codes of the autoencoder huddled near the origin.
#
# **Check against the exact result**: the library's loss at $T$ is the library's beta-VAE loss,
# `AddKL(weight=T)`, in the other units.

# %% name="beta-vae"
T = 0.3
model = build(T)
mean, log_var = model.encoder(batch)
rate_layer = layers.AddKL(weight=T)
scaled = rate_layer((mean / T**0.5, log_var))  # mean', log-variance
z_scaled = layers.GaussianSampling(seed=seed)((scaled[0][None], log_var[None]))[0]
nll = NegativeLogLikelihood(Bernoulli())
distortion = nll(batch, model.decoder(T**0.5 * z_scaled))
beta_vae = float(distortion + rate_layer.losses[0])
check(beta_vae, float(model.compute_loss(batch)), tolerance=1e-5)  # (4.1)
print(f"beta-VAE with beta = {T}: {beta_vae:.4f} nats, the same as the loss at T = {T}")

# %% [markdown]
# ## 5. The linear model, from the hottest to the coldest
#
# Let the decoder be linear with Gaussian noise, $x = W z + b + s\, n$, as in chapter 7, section 2,
# with $M$ pixels. There the energy was found to be quadratic in $z$,
#
# $$E(x, z) = E_0(x) + \tfrac12 (z - m)^T \Lambda (z - m) , \qquad
#   \Lambda = I + W^T W / s^2 , \quad \Lambda m = W^T (x - b) / s^2 . \tag{5.1}$$
#
# *The best trial.* $p_T \propto e^{-E/T}$ is Gaussian with mean $m$ and covariance $T
# \Lambda^{-1}$. So for a given decoder the same $\mu$ and $\sigma$ are best at every temperature,
# and (1.1) is a Gaussian integral: $F_T = E_0 - \frac{T}{2} \ln \det (2 \pi T \Lambda^{-1})$.
# Subtract $C_T$, as in (B32). With $C = W W^T + s^2 I$ one has $E_0 = \frac12 (x - b)^T C^{-1} (x - b) +
# \frac{M}{2} \ln 2 \pi s^2 +
# \frac{J}{2} \ln 2 \pi$ and $\det \Lambda = \det (C / s^2)$. Average over data with covariance
# $\Sigma$, and set $b$ to their mean:
#
# $$L_T(W) = \tfrac12 \mathrm{tr}(C^{-1} \Sigma) + \tfrac{M}{2} \ln 2 \pi s^2
#   {} + \tfrac{T}{2} \ln \det (C / s^2) . \tag{5.2}$$
#
# The product (3.1) reaches this when $W^T W$ is diagonal, and a rotation of $z$ makes it so without
# changing $C$.
#
# *The best decoder.* Let the columns of $W$ lie along the $J$ leading eigenvectors of $\Sigma$, with
# eigenvalues $\lambda_j$, and let $w_j$ be their lengths (other stationary points are saddles, as in
# Tipping and Bishop 1999; to switch on $j$ gains $\frac T2 (u - 1 - \ln u)$ with $u = \lambda_j / T
# s^2$, which grows with $u > 1$). Each contributes $\frac12 \lambda_j / (w_j^2 + s^2) + \frac{T}{2} \ln (1 + w_j^2
# / s^2)$. The derivative with respect to $w_j^2$ vanishes at
#
# $$w_j^2 + s^2 = \frac{\lambda_j}{T} \quad \text{if} \quad T < T_j = \frac{\lambda_j}{s^2} ,
#   \qquad w_j = 0 \quad \text{otherwise} . \tag{5.3}$$
#
# Each latent variable has a critical temperature $T_j$: the data's variance along its direction over
# that of the noise.
# Above it the variable is off. What is called *posterior collapse* is a continuous phase
# transition, with $w_j^2 = s^2 (T_j - T) / T$ for an order parameter.
#
# *Rate and distortion.* Put (5.3) into $L_T = D + T R$, with $R = dL_T/dT$ from (4.2):
#
# $$R = \tfrac12 \sum_{\text{on}} \ln \frac{T_j}{T} , \qquad
#   D = \tfrac{M}{2} \ln 2 \pi s^2 + \sum_{\text{on}} \frac{T}{2} + \sum_{\text{off}} \frac{T_j}{2}
#   \tag{5.4}$$
#
# where *off* are all other of the $M$ directions, also those without a latent variable. The squared
# error is $T s^2$ along each direction that is on, and the whole variance $\lambda_j$ along the
# others. That is Shannon's solution for a Gaussian source, known as *reverse
# water-filling*: $T s^2$ is the level of the water.
#
# *Zero temperature.* A reconstruction $W m + b$ multiplies the $j$-th direction by the factor
# $w_j^2 / (w_j^2 + s^2) = 1 - T / T_j$. As $T \to 0$ it becomes 1 for the $J$ largest eigenvalues:
# **principal component analysis**. Meanwhile the codes have the variance $T (1 - T/T_j) \to 0$ and
# the loadings grow like $1/\sqrt T$, as (4.4) demands.
#
# **Check against the exact result**: (5.3) and (5.4) against a numerical minimum of (5.2); the
# reconstruction against PCA from the singular value decomposition; then the library's model.

# %%
rng = np.random.default_rng(seed)
x_linear = rng.normal(size=(600, 5)) * [2.0, 1.5, 1.0, 0.5, 0.3]
x_linear = x_linear @ np.linalg.qr(rng.normal(size=(5, 5)))[0] + np.linspace(-1, 1, 5)
centre, covariance = x_linear.mean(axis=0), np.cov(x_linear.T, bias=True)
eigenvalues, directions = (a[..., ::-1] for a in np.linalg.eigh(covariance))
critical = eigenvalues / noise_scale**2  # (5.3)
constant = 2.5 * np.log(2 * np.pi * noise_scale**2)


# %%
def linear_loss(loadings, temperature):
    """(5.2), nats; loadings (5, num_components), perhaps flattened."""
    loadings = np.reshape(loadings, (5, num_components))
    total = loadings @ loadings.T + noise_scale**2 * np.eye(5)
    log_det = np.linalg.slogdet(total / noise_scale**2)[1]
    squares = np.trace(np.linalg.solve(total, covariance))
    return 0.5 * squares + constant + temperature / 2 * log_det


def linear_optimum(temperature):
    """Rate and distortion (5.4), nats."""
    on = (np.arange(5) < num_components) & (critical > temperature)
    rate = 0.5 * np.sum(np.log(critical[on] / temperature))
    return rate, constant + 0.5 * np.sum(np.where(on, temperature, critical))


# %% name="critical-temperatures"
for T in (20.0, 6.0, 1.0, 0.1):
    start = np.random.default_rng(seed).normal(size=5 * num_components)
    found = optimize.minimize(linear_loss, start, args=(T,), tol=1e-8)
    rate, distortion = linear_optimum(T)
    check(found.fun, distortion + T * rate, tolerance=1e-6)
    lengths = np.linalg.svd(found.x.reshape(5, -1), compute_uv=False)
    check(lengths**2, np.maximum(0, eigenvalues[:3] / T - noise_scale**2), tolerance=1e-2)
    print(f"T = {T:4.1f}: L = {found.fun:7.4f} nats, R = {rate:.4f}, w =", lengths.round(3))
print("critical temperatures:", critical[:num_components].round(3))

# %% name="pca"
T = 1e-6
W = directions[:, :num_components] * np.sqrt(eigenvalues[:num_components] / T - noise_scale**2)
precision = np.eye(num_components) + W.T @ W / noise_scale**2
codes = np.linalg.solve(precision, W.T @ (x_linear - centre).T / noise_scale**2).T  # m
principal = np.linalg.svd(x_linear - centre, full_matrices=False)[2][:num_components]
pca = centre + (x_linear - centre) @ principal.T @ principal
check(codes @ W.T + centre, pca, tolerance=1e-4)
second_moment = np.mean(codes**2, axis=0) + T * np.diag(np.linalg.inv(precision))
check(second_moment / T, np.ones(num_components), tolerance=1e-6)  # (4.4), for each j
at_one = stats.multivariate_normal(centre, W @ W.T + noise_scale**2 * np.eye(5))
check(linear_loss(W, 1.0), -at_one.logpdf(x_linear).mean(), tolerance=1e-6)  # T = 1: -ln p
print(f"T = {T}: reconstruction = PCA; standard deviation of the codes {codes.std():.5f}")


# %%
def build_linear(temperature):
    """The library's model of the same data, untrained."""
    keras.utils.set_random_seed(seed)
    parts = (
        networks.dense_encoder((5,), 3, hidden_units=()),
        networks.dense_decoder((5,), 3, hidden_units=()),
    )
    gaussian = Gaussian(scale=noise_scale)
    return VAE(*parts, likelihood=gaussian, temperature=temperature, seed=seed)


# %%
def fit_linear(temperature):
    """The same after a short training, whose weights come with the course."""
    model = build_linear(temperature)

    def fit():
        model.compile(keras.optimizers.Adam(0.02), jit_compile=False, steps_per_execution=12)
        model.fit(x_linear.astype("float32"), batch_size=50, epochs=60, verbose=0)

    course.trained(model, f"09_linear_T_{temperature}", fit, retrain=retrain)
    return model


# %%
def loss_and_moment(model):
    """Loss of the model's decoder with the exact p_T, nats, and <|z|^2> of its own codes."""
    loadings, bias = model.decoder.get_weights()
    mean, log_var = (np.asarray(a) for a in model.encode(x_linear.astype("float32")))
    total = loadings.T @ loadings + noise_scale**2 * np.eye(5)
    off_centre = 0.5 * (centre - bias) @ np.linalg.solve(total, centre - bias)
    moment = np.sum(mean**2 + model.temperature * np.exp(log_var), axis=1).mean()
    return linear_loss(loadings.T, model.temperature) + off_centre, moment


# %%
for T in (6.0, 1.0, 0.3):
    loss, moment = loss_and_moment(fit_linear(T))
    rate, distortion = linear_optimum(T)
    assert -1e-5 < loss - distortion - T * rate < 0.05  # a short training comes close to (5.3)
    print(f"T = {T}: trained {loss:.4f}, optimum {distortion + T * rate:.4f} nats;", end=" ")
    print(f"<|z|^2> / (J T) = {moment / (num_components * T):.3f}")

# %%
line = np.geomspace(0.02, 40, 400)
rates, distortions = np.array([linear_optimum(T) for T in line]).T
losses = distortions + line * rates
slope = np.gradient(losses, line)
assert np.all(np.abs(slope - rates)[5:-5] < 0.05)  # (4.2)

# %% name="linear-model" alt="Left: loss and distortion rise, the rate falls to 0 as three variables switch off at their critical temperatures. Right: the convex curve of distortion against rate, a dot at each switch-off."
figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.4))
for values, colour, text in ((losses, blue, "$L_T$"), (distortions, orange, "distortion")):
    axes[0].semilogx(line, values, color=colour, label=text)
axes[0].semilogx(line, rates, color=green, label="rate")
axes[1].plot(rates, distortions, color=purple)
for T in critical[:num_components]:
    axes[0].axvline(T, color=grey, lw=0.8, ls=":")
    axes[1].plot(*linear_optimum(T), "o", color=grey)
label(axes[0], "Linear model, exact; dotted: critical temperatures", "temperature $T$", "nats")
label(
    axes[1], "Its slope is $-T$; dots: a variable switches off", "rate (nats)", "distortion (nats)"
)
axes[0].legend()
plt.show()

# %% [markdown]
# The library's models end less than 0.05 nats above the optimum after a short training (printed above the picture).
#
# The three variables are switched off one after another as the temperature rises; above the last
# dotted line the model ignores its latent variables, and the rate is exactly 0. Nothing special
# happens at $T = 1$ on these curves. What is special about $T = 1$ is that only there $e^{-F_T}$ is
# a probability of the data.
#
# ## 6. Small temperatures: a regularised autoencoder
#
# What do the first few degrees above zero do? Expand the distortion in (B32) in the noise $\sqrt T \sigma
# \epsilon$. The linear term averages to 0, and with $h_j = -\partial^2 \ln p(x|z) / \partial z_j^2$
# at $z = \mu$
#
# $$L_T = -\ln p(x|\mu) + \tfrac12 |\mu|^2
#   {} + \tfrac{T}{2} \sum_j \big[ \sigma_j^2 (1 + h_j) - 1 - \ln \sigma_j^2 \big] + O(T^2) . \tag{6.1}$$
#
# The best width is $\sigma_j^2 = 1 / (1 + h_j)$, and then the bracket is $\ln (1 + h_j)$: the
# first-order term is $\frac{T}{2} \sum_j \ln (1 + h_j)$. So a cold VAE is an autoencoder with two
# penalties, one on the size of its code and one on the *curvature* of the energy around it. The
# second prefers wide wells, as in section 2. This is how noise regularises (Bishop 1995).
#
# The **denoising autoencoder** also trains with noise, but puts it elsewhere. It corrupts $x$ and
# leaves the code alone; chapter 8, section 12, shows that it learns the score $\nabla \ln p(x)$ of
# the blurred data, from which samples can be drawn by Langevin dynamics. The VAE's noise is in $z$,
# and its samples come from the prior. A deterministic autoencoder has neither: its training names no
# distribution to draw from. One can fit a distribution to its codes afterwards, and section 8 measures how good
# that is.
#
# **Check against the exact result**: for the double well, (6.1) with $E''$ in place of $1 + h$ is
# (1.4), up to the constant that $L_T$ leaves out.

# %%
curvature = 1 / narrow**2
for T in (0.02, 0.01, 0.005):
    found = best_gaussian(T, starts[0])[2] + 0.5 * T * np.log(2 * np.pi * T)
    print(f"T = {T}: {found / T:.5f} per degree; 1/2 ln E'' = {0.5 * np.log(curvature):.5f}")
    check(found / T, 0.5 * np.log(curvature), tolerance=1e-3)

# %% [markdown]
# ## 7. Digits, at five temperatures
#
# Now a convolutional VAE with two latent variables, trained at each temperature from the same
# initial weights. The trained weights come with the course. To train them in front of you, set
# `retrain = True` above; on another processor the last digits of what follows may then differ.


# %%
def train(temperature, num_latents=latent_dim):
    """A model with its shipped weights; where there are none, or on demand, trained here."""
    model = build(temperature, num_latents)

    def fit():
        model.compile(keras.optimizers.Adam(3e-3), jit_compile=False, steps_per_execution=5)
        model.fit(x_train, batch_size=batch_size, epochs=num_epochs, verbose=0)

    course.trained(model, f"09_{num_latents}_latents_T_{temperature}", fit, retrain=retrain)
    return model


# %%
def parts(model, x, num_draws=num_draws):
    """Mean distortion, <|z|^2> and mean ln sigma^2 summed over j: the ingredients of (B32)."""
    mean, log_var = (np.asarray(a) for a in model.encode(x))
    noise = np.random.default_rng(seed).normal(size=(num_draws, *mean.shape))
    width = np.sqrt(model.temperature) * np.exp(log_var / 2)
    cost = [np.mean(nll.call(x, model.decoder(mean + width * eps))) for eps in noise]
    moment = np.sum(mean**2 + width**2, axis=1).mean()
    return np.mean(cost), moment, np.sum(log_var, axis=1).mean()


# %% name="equipartition"
models = {T: train(T) for T in temperatures}
before = {T: parts(model, x_train) for T, model in models.items()}
for T, (distortion, moment, _) in before.items():
    ratio = f"{moment / (latent_dim * T):.3f}" if T else "-"
    print(
        f"T = {T:4.2f}: training distortion {distortion:7.3f} nats, <|z|^2> = {moment:.4f},",
        end=" ",
    )
    print("<|z|^2> / (J T) =", ratio)

# %% [markdown]
# The last column should be 1 at the optimum (4.4). At low temperatures it is above 1, which says
# that training has not finished: the decoder's weights have not yet grown as much as they would.
# But the rest of that way is known. Rescale by the best factor of (4.3),
#
# $$c^2 = \frac{\langle |z|^2 \rangle}{J T} , \qquad
#   L_T(1) - L_T(c) = \tfrac{J T}{2} \big( c^2 - 1 - \ln c^2 \big) \ge 0 , \tag{7.1}$$
#
# by dividing $\mu$ and $\sigma$ by $c$ and multiplying the first weights of the decoder by $c$. It
# is a step of training with a guaranteed gain.


# %%
def rescale(model, c):
    """Divide the codes by c, and let the decoder undo it (4.3)."""
    mean, log_var = (model.encoder.get_layer(name) for name in ("mean", "log_var"))
    mean.set_weights([w / c for w in mean.get_weights()])
    kernel, bias = log_var.get_weights()
    log_var.set_weights([kernel, bias - 2 * np.log(c)])
    kernel, bias = model.decoder.layers[1].get_weights()
    model.decoder.layers[1].set_weights([c * kernel, bias])


def loss_of(ingredients, temperature):
    distortion, moment, log_var = ingredients
    return distortion + 0.5 * (moment - temperature * (latent_dim + log_var))


# %%
for T in temperatures[:-1]:
    c = np.sqrt(before[T][1] / (latent_dim * T))
    rescale(models[T], c)
    after = parts(models[T], x_train)
    gain = loss_of(before[T], T) - loss_of(after, T)
    check(gain, latent_dim * T / 2 * (c**2 - 1 - np.log(c**2)), tolerance=1e-3)  # (7.1)
    check(after[1], latent_dim * T, tolerance=1e-3)  # (4.4)
    print(f"T = {T:4.2f}: c = {c:.3f}, gain {gain:.4f} nats")


# %% name="rate-and-bound"
def rate_of(ingredients, temperature):
    return (loss_of(ingredients, temperature) - ingredients[0]) / temperature  # (4.1)


results = {T: parts(model, x_test, num_draws=20) for T, model in models.items()}
warm = temperatures[:-1]
test_distortions = np.array([results[T][0] for T in warm])
test_rates = np.array([rate_of(results[T], T) for T in warm])
for T, R, distortion in zip(warm, test_rates, test_distortions, strict=True):
    print(f"T = {T:4.2f}: rate {R:7.4f}, distortion {distortion:8.4f},", end=" ")
    print(f"L_T {distortion + T * R:8.4f}, bound on ln p(x): {-distortion - R:9.4f} nats")
print(f"T = 0.00: distortion {results[0.0][0]:.4f} nats; training {before[0.0][0]:.4f}")

# %%
assert np.all(np.diff(test_rates) > 0) and np.all(np.diff([b[0] for b in before.values()]) < 0)
cold_distortions = [results[T][0] for T in (0.3, 0.03, 0.0)]
assert np.ptp(cold_distortions) < 1 < test_distortions[0] - test_distortions[1]
assert warm[np.argmax(-test_distortions - test_rates)] == 1.0
saved = -np.diff(test_distortions) / np.diff(test_rates)  # nats of distortion for a nat of rate
assert abs(saved[0] - 2) < 0.3 and abs(saved[1] - 0.5) < 0.1

# %% name="digits-rate-distortion" alt="Digits. Left: as T falls from 3 to 0.03 the rate rises and the test distortion falls, then stays. Right: distortion against rate, with lines of slope minus T through the four points."
figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.6))
free = test_distortions + np.array(warm) * test_rates
axes[0].semilogx(warm, test_distortions, "o-", color=orange, label="distortion $D$")
axes[0].semilogx(warm, free, "o-", color=blue, label="$L_T = D + T R$")
axes[0].semilogx(warm, test_rates, "o-", color=green, label="rate $R$")
axes[0].axhline(results[0.0][0], color=orange, ls=":", label="distortion at $T = 0$")
label(axes[0], "Digits, convolutional VAE, test images", "temperature $T$", "nats per image")
axes[0].legend()
axes[1].plot(test_rates, test_distortions, "o", color=purple)
for T, R, distortion in zip(warm, test_rates, test_distortions, strict=True):
    ends = np.array([-0.8, 0.8])
    axes[1].plot(R + ends, distortion - T * ends, color=grey, lw=1)
    axes[1].annotate(f"T = {T}", (R, distortion), xytext=(5, 6), textcoords="offset points")
label(axes[1], "Lines: slope $-T$ (4.2)", "rate (nats)", "distortion (nats)")
plt.show()

# %% [markdown]
# Cooling raises the rate. At $T = 3$ the code says almost nothing, a collapse as in section 5; on
# the way to $T = 1$ every nat that it says saves about two nats of distortion, from there to $T =
# 0.3$ about half a nat. On the *training* images the distortion falls with every step of cooling (printed before
# (7.1)). On the test images it hardly changes any more below $T = 0.3$: the three coldest models lie within a nat of each
# other, in an order that does not follow the temperature. Whether that order means anything, one
# training at each temperature cannot say. For the exact optimum the curve would be convex
# (exercise 2), on the images it was optimised for.
#
# The last column is the ELBO of the model whose prior is $N(0, T)$, $-D - R$. It is best at $T =
# 1$. That is no accident: only there is it what training maximises.
#
# ## 8. What breaks without entropy
#
# To draw an image, take $z$ from a prior and decode it. Which prior? In the units of section 4 it
# is $z' \sim N(0, I)$, that is $z \sim N(0, T)$. The decoder has learned what to do where the codes
# of the training images are, so what matters is whether the *aggregate posterior* $q(z) = \frac1N
# \sum_n q(z|x_n)$ covers that prior. Average the rate over the training images and split the
# logarithm:
#
# $$R = \underbrace{\Big\langle \ln \frac{q(z|x_n)}{q(z)} \Big\rangle}_{I \;\le\; \ln N}
#   {} + \underbrace{\mathrm{KL}\big( q(z) \,\|\, p(z) \big)}_{\text{mismatch}} . \tag{8.1}$$
#
# The first term is the information that a code has about which image it came from. It cannot exceed
# $\ln N$, because $q(z) \ge q(z|x_n) / N$ for every $z$. But $R$ grows without limit as $T \to 0$,
# like the rate (5.4). So
#
# $$\mathrm{KL}\big( q(z) \,\|\, p(z) \big) \;\ge\; R - \ln N \;\to\; \infty : \tag{8.2}$$
#
# without entropy, the aggregate posterior falls apart into $N$ points, and nearly all of the plane
# is a hole. Four numbers tell how far it has gone: the terms of (8.1); the share of the prior's
# draws that fall into a hole, say where $q(z)$ is below a tenth of $p(z)$; and the exact $\ln p(x)$
# of test images, on a grid of the plane as in chapter 7, section 9.
#
# **Check against the exact result**: each sample of $\ln q(z|x_n) / q(z)$ is at most $\ln N$; and
# $-D - R$ is a bound on the exact $\ln p(x)$.


# %%
def log_aggregate(z, mean, log_var):
    """ln q(z), mixture over the training images, for z (num, 2); mean, log_var (N, 2)."""
    square = (z[:, None] - mean) ** 2 * np.exp(-log_var) + log_var + np.log(2 * np.pi)
    return special.logsumexp(-0.5 * square.sum(axis=-1), axis=1) - np.log(len(mean))


# %%
def information_and_holes(model):
    """I and KL of (8.1) in nats, and the share of prior draws in a hole; units of section 4."""
    mean, log_var = (np.asarray(a, float) for a in model.encode(x_train))
    mean = mean / np.sqrt(model.temperature)
    noise = np.random.default_rng(seed).normal(size=(2, *mean.shape))
    z = mean + np.exp(log_var / 2) * noise[0]
    log_q = stats.norm.logpdf(noise[0]).sum(1) - 0.5 * log_var.sum(1)
    log_mixture = log_aggregate(z, mean, log_var)
    hole = log_aggregate(noise[1], mean, log_var) < stats.norm.logpdf(noise[1]).sum(1) - np.log(10)
    return log_q - log_mixture, log_mixture - stats.norm.logpdf(z).sum(1), hole.mean()


# %%
side = np.linspace(-grid_edge, grid_edge, grid_points)
plane = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
cell = (side[1] - side[0]) ** 2


def evidence_on_grid(model, scale, every=1):
    """ln p(x) of the test images for z = scale * z', z' ~ N(0, I), nats."""
    grid = plane[::every].astype("float32")
    logits = np.asarray(model.decoder.predict(scale * grid, batch_size=8192, verbose=0), float)
    logits = logits.reshape(len(grid), -1)
    log_weight = stats.norm.logpdf(grid).sum(1) + np.log(cell * every)
    log_weight -= np.logaddexp(0, logits).sum(1)
    images = np.array_split(x_test.reshape(len(x_test), -1), 6)
    sums = [special.logsumexp(logits @ few.T + log_weight[:, None], axis=0) for few in images]
    return np.concatenate(sums)


# %% name="holes"
spread = {T: np.sqrt(T) for T in warm}
spread[0.0] = float(np.std(models[0.0].encode(x_train)[0]))  # no thermal length at T = 0
log_p = {T: evidence_on_grid(model, spread[T]) for T, model in models.items()}
aggregates, looseness = [], []
for T, R, distortion in zip(warm, test_rates, test_distortions, strict=True):
    ratio, mismatch, hole = information_and_holes(models[T])
    assert ratio.max() <= np.log(len(x_train)) + 1e-6  # (8.2), of each sample
    aggregates.append([ratio.mean(), mismatch.mean(), hole])
    looseness.append(log_p[T].mean() + distortion + R)  # how far -D - R is below ln p(x)
    assert (distortion + T * R > -log_p[T].mean() - 0.1) == (T >= 1)  # L_T is no bound below T = 1
    print(f"T = {T:4.2f}: I {ratio.mean():6.3f}, KL(q(z) || p(z)) {mismatch.mean():6.3f},", end=" ")
    print(f"holes {hole:6.1%}, ln p(x) {log_p[T].mean():8.3f} nats")
unit = evidence_on_grid(models[0.0], 1.0).mean()
print(f"T = 0.00: ln p(x) {log_p[0.0].mean():.3f} with a fitted prior, {unit:.3f} with N(0, I)")

# %%
assert looseness[0] > -0.1 and np.all(np.diff(looseness) > 0.5)  # -0.1: noise of the draws, grid
assert np.all(np.diff(aggregates, axis=0) > 0)  # information, mismatch and holes grow
assert aggregates[-1][0] > 6 and abs(aggregates[-1][2] - 0.25) < 0.1
means = [log_p[T].mean() for T in temperatures[1:]]  # from T = 1 down
assert max(means) == log_p[0.3].mean() and log_p[0.0].mean() - unit > 2 * np.ptp(means)

# %% name="evidence-differences"
for T in (0.3, 0.03, 0.0):
    difference = log_p[T] - log_p[1.0]  # image by image
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    print(f"T = {T:4.2f}: ln p(x) {difference.mean():+.3f} +- {error:.3f} nats above T = 1")
    assert abs(difference.mean()) < 0.4
    assert (difference.mean() > 4 * error) == (T == 0.3)  # the others are about as good as T = 1
coldest = warm[-1]
half = evidence_on_grid(models[coldest], spread[coldest], every=2)
assert np.max(np.abs(half - log_p[coldest])) < 0.05  # half of the points will do
print(f"half of the grid's points change ln p(x) by {np.max(np.abs(half - log_p[coldest])):.4f}")

# %% name="codes-and-draws" alt="Codes of the training images at T = 1, 0.03 and 0: each cloud covers most of its prior's circles, the colder ones reach further out. Below, digits decoded from draws of that prior, about equally readable."
shown = (1.0, 0.03, 0.0)
figure, axes = plt.subplots(2, 3, figsize=(11, 5.2), height_ratios=(2.2, 1))
angle = np.linspace(0, 2 * np.pi, 100)
draws = np.random.default_rng(seed).normal(size=(30, latent_dim)).astype("float32")
for T, (top, bottom) in zip(shown, axes.T, strict=True):
    codes = np.asarray(models[T].encode(x_train)[0]) / spread[T]
    dots = top.scatter(*codes.T, s=4, c=y_train, cmap="tab10")
    for radius in (1, 2):
        top.plot(radius * np.cos(angle), radius * np.sin(angle), color="black", lw=0.8)
    top.set(xlim=(-4, 4), ylim=(-4, 4), aspect="equal")
    label(top, f"Codes at T = {T}, prior's circles", "$z_1'$", "$z_2'$")
    plotting.image_grid(bottom, models[T].decode(spread[T] * draws), columns=10)
    bottom.set_title("Draws from that prior")
axes[0, 2].legend(*dots.legend_elements(num=10), loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %% name="reconstructions" alt="Twenty test digits, and their grey reconstructions at T = 1, 0.03 and 0: blurred at all three, a little sharper at the lower temperatures."
figure, axes = plt.subplots(len(shown) + 1, 1, figsize=(9, 3.4))
plotting.image_grid(axes[0], x_test[:20], columns=20).set_title("Test images")
for T, axis in zip(shown, axes[1:], strict=True):
    plotting.image_grid(axis, models[T].reconstruct(x_test[:20]), columns=20)
    axis.set_title(f"Reconstructed at T = {T}")
plt.show()

# %% [markdown]
# Look at the numbers before the pictures. The colder the model, the more its codes tell about which
# training image they came from, more than 6 of at most $\ln N = 7.27$ nats at $T = 0.03$; the mismatch grows,
# and about a quarter of the prior lies in holes. Yet from $T = 1$ down the exact $\ln p(x)$ hardly changes.
# The best model of all is not the VAE at $T = 1$ but the one at $T = 0.3$, by about a quarter of a nat. That is
# more than four times its standard error. And the autoencoder, with a prior whose one scale was fitted to its
# codes afterwards (the first value printed for $T = 0$), is about as good a model as the VAE. So with two latent
# variables an autoencoder *does* generate. The pictures agree. (Each dot is a training image, its colour the digit, and the
# circles are one and two standard deviations of the prior.) The clouds cover most of the circles at
# all three temperatures. The two colder ones also reach further out, and leave some gaps. The draws below them can
# be read about equally well.
#
# What has gone is *knowledge* of the model about itself, in two respects. The bound $-D - R$ falls
# further and further below the true $\ln p(x)$, since a cold $q$ is much narrower than the
# posterior at $T = 1$. And the deterministic autoencoder knows no prior: that value
# needed the fitted scale. With the $N(0, I)$ that its penalty seems to announce, $\ln p(x)$ is far lower (the second
# value), by more than the models from $T = 1$ down differ among themselves.
#
# ## 9. More latent variables, nothing but holes
#
# Two dimensions are kind. In $J$ dimensions $N$ points cover less and less, and the bound (8.2)
# says when: the rate of (5.4) grows by $\frac12 \ln (1/T)$ for *each* latent variable that is on,
# and $\ln N$ not at all. Two more models come with the course. They have eight latent variables
# and were trained at $T = 1$ and $T = 0.03$.
#
# $\ln p(x)$ can no longer be had from a grid. Importance sampling bounds it from below (chapter 4,
# section 3), with any proposal. A cold $q$ is a bad one, so try it with its width multiplied by 1,
# 2, 4 and 6, never wider than the prior. Each mean below, over the first 50 test images, is below $\ln p(x)$ in
# expectation; the highest is the best bound.

# %% name="crowded"
crowded, in_holes = {T: train(T, many_latents) for T in (1.0, 0.03)}, []
x_few = x_test[:num_few]
for T, model in crowded.items():
    moment = parts(model, x_train, num_draws=1)[1]
    rescale(model, np.sqrt(moment / (many_latents * T)))  # (4.4)
    ratio, mismatch, hole = information_and_holes(model)
    mean, log_var = model.encode(x_train)
    rates = np.asarray(layers.GaussianKL()((mean / np.sqrt(T), log_var)))  # (B30)
    R, difference = rates.mean(), ratio + mismatch - rates
    error = difference.std() / np.sqrt(len(x_train))
    assert abs(difference.mean()) < 5 * error  # (8.1)
    in_holes.append([R / np.log(len(x_train)), hole])
    print(f"T = {T:4.2f}: rate {R:6.3f}, I {ratio.mean():6.3f},", end=" ")
    print(f"KL(q(z) || p(z)) {mismatch.mean():6.3f} nats, holes {hole:6.1%}")


# %%
def importance_bound(model, factor, num_samples=100):
    """Mean of ln <w> over x_few, nats; q's width times a factor, prior N(0, T)."""
    mean, log_var = (np.asarray(a, float) for a in model.encode(x_few))
    scale = np.sqrt(model.temperature)
    width = np.minimum(factor * np.exp(log_var / 2), 1.0) if factor > 1 else np.exp(log_var / 2)
    eps = np.random.default_rng(seed).normal(size=(num_samples, *mean.shape))
    z = mean / scale + width * eps  # (num_samples, num_few, many_latents)
    log_q = np.sum(stats.norm.logpdf(eps) - np.log(width), axis=-1)
    logits = model.decoder((scale * z).reshape(-1, many_latents).astype("float32"))
    log_likelihood = -nll.call(np.tile(x_few, (num_samples, 1, 1)), logits)
    log_joint = np.reshape(log_likelihood, log_q.shape) + stats.norm.logpdf(z).sum(axis=-1)
    return np.mean(special.logsumexp(log_joint - log_q, axis=0) - np.log(num_samples))


# %% name="eight-latents" alt="Draws from the prior with eight latent variables: at T = 1 grey digits, most of them readable; at T = 0.03 bold and broken strokes."
bounds = {T: [importance_bound(m, factor) for factor in (1, 2, 4, 6)] for T, m in crowded.items()}
for T, of_widths in bounds.items():
    print(f"T = {T:4.2f}: lower bounds on ln p(x)", np.round(of_widths, 3), "nats")
assert in_holes[1][0] > 3 and in_holes[1][1] > 0.999 and in_holes[0][1] < 0.1
own, wider = bounds[1.0][0] - bounds[0.03][0], bounds[1.0][0] - bounds[0.03][-1]  # below T = 1
assert own > 8 and wider < own / 3 and np.all(np.diff(bounds[0.03]) > 0.3)  # it was still rising
figure, axes = plt.subplots(2, 1, figsize=(9, 2.8))
draws = np.random.default_rng(seed).normal(size=(40, many_latents)).astype("float32")
for (T, model), axis in zip(crowded.items(), axes, strict=True):
    plotting.image_grid(axis, model.decode(np.sqrt(T) * draws), columns=20)
    axis.set_title(f"Eight latent variables, T = {T}: draws from the prior")
plt.show()

# %% [markdown]
# At $T = 0.03$ the rate is three times $\ln N$, so that the mismatch must be large, and it is.
# Every single draw from the prior falls into a hole. The decoder is asked about places where
# nothing was ever decoded, and answers with bold and broken strokes. The bound on $\ln p(x)$ from
# its own $q$ is many nats below that of the model at $T = 1$; a much wider proposal recovers most
# of the difference, which shows that the cold $q$ misjudges the posterior's width. How much of what is left is
# the model's, and how much the bound's? The bound was still rising. *Annealed importance sampling* (chapter 4)
# needs no proposal. Its chains walk from the prior to the posterior. They take about a minute, so that their results
# come with the course, as the weights do.


# %%
def anneal():
    """ln p(x) of x_few for each model and two numbers of betas, (2, 2, num_few), nats."""
    log_z, options = [], {"num_chains": 5, "progress": False, "seed": seed}
    for temperature, model in crowded.items():
        rescale(model, np.sqrt(temperature))  # to the units of section 4, with prior N(0, I)
        rescaled = VAE(model.encoder, model.decoder, seed=seed)
        walks = [np.linspace(0, 1, number) for number in (101, 201)]
        runs = [evidence.ais(rescaled, x_few, betas=betas, **options) for betas in walks]
        log_z.append([run.log_z for run in runs])
    return {"log_z": log_z}


# %% name="annealed"
annealed = course.shipped("09_annealed", anneal, retrain=retrain)["log_z"]
for T, rows in zip(crowded, annealed, strict=True):
    for number, log_z in zip((101, 201), rows, strict=True):
        print(f"T = {T:4.2f}, {number} betas: ln p(x) {log_z.mean():.3f} nats")
difference = annealed[1, 1] - annealed[0, 1]
error = difference.std(ddof=1) / np.sqrt(len(difference))
print(f"T = 0.03 minus T = 1: {difference.mean():+.2f} +- {error:.2f} nats, image by image")
assert -3 < difference.mean() < -0.5 and difference.mean() + 2 * error < 0
assert np.all(np.abs(np.mean(annealed[:, 1] - annealed[:, 0], axis=1)) < 0.3)

# %% [markdown]
# Twice as many steps of annealing change each average by about a tenth of a nat at most, so that still longer
# walks would change little. (The images are those of the bounds above.) With eight latent variables the cold model *is*
# the worse one, by about one and a half nats, with a standard error of 0.4: far less than the bound from its own
# $q$ says, and unlike the case of two latent variables. An autoencoder's codes are good for retrieval and
# compression. To generate from many of them, it would need a second model for the codes, or entropy from the
# start.
#
# ## 10. When it fails: a penalty that penalises nothing
#
# At $T = 0$ the penalty $\frac12 |z|^2$ of (B32) looks like a prior. It is not one. By (4.3) without
# entropy, $L_0(c) = D + \langle |\mu|^2 \rangle / 2 c^2$: dividing the codes by $c$ and multiplying
# the decoder's first weights by $c$ changes no reconstruction and always lowers the loss. The
# minimum is never reached; a training program would walk for ever, towards codes at 0 and weights
# at infinity. Adam's finite steps are all that stops it.
#
# At any $T > 0$ the same step makes the noise larger in proportion to the codes, and $T J \ln c$
# puts an end to it. The entropy is what gives the penalty its meaning.

# %% name="no-minimum"
cold, losses = models[0.0], []
reconstructed = np.asarray(cold.reconstruct(x_test))
for _ in range(4):
    losses.append(loss_of(parts(cold, x_test, num_draws=1), 0.0))
    rescale(cold, 3.0)
    check(cold.reconstruct(x_test), reconstructed, tolerance=1e-4)
print("T = 0, codes divided by 3 each time:", np.round(losses, 4))
assert np.all(np.diff(losses) < 0)
hot, losses = models[1.0], []
for c in (1.0, 3.0, 3.0, 3.0):
    rescale(hot, c)
    losses.append(loss_of(parts(hot, x_test, num_draws=1), 1.0))
print("T = 1, the same:", np.round(losses, 4))
assert np.all(np.diff(losses) > 0)

# %% [markdown]
# The remedy is not a larger penalty (any factor can be undone) but something that knows of a scale:
# weight decay on the decoder, a bound on its slope, or noise. A VAE has the noise.
#
# ## 11. Summary
#
# | statement | equation | exact result it was checked against |
# |:--|:--|:--|
# | energy minus $T$ times entropy bounds $F_T$ | 1.2 | an integral; a matrix |
# | its slope is minus the entropy | 1.3, 4.2 | finite differences |
# | the loss of `VAE(temperature=T)` | B32 | written out, equal noise |
# | it is a beta-VAE with $\beta = T$ | 4.1 | `AddKL(weight=T)` |
# | equipartition, $\langle \lvert z \rvert^2 \rangle = J T$ | 4.4 | linear optimum |
# | critical temperatures, water-filling, PCA | 5.3, 5.4 | numerical minimum, SVD |
# | holes are unavoidable as $T \to 0$ | 8.2 | the bound $\ln N$; grid |
#
# - A deterministic autoencoder looks for the lowest energy, a VAE for the lowest free energy. $Z$
#   has not cancelled: at $T = 0$ the largest term of the sum is all that is kept.
# - Temperature, $\beta$ and the slope of the rate-distortion curve are one number.
# - A latent variable whose $\lambda_j / s^2$ is below $T$ is switched off, exactly.
# - Cold models say more about their training images and know less about themselves: bounds loosen. With two
#   latent variables that costs no likelihood. With eight, at $T = 0.03$, the prior is nothing but holes, and it does.
# - At $T = 0$ the code penalty alone has no minimum.
# - Where it leads to encode and decode again and again is in [chapter 23](23_fixed_points.ipynb).
#
# ## Exercises
#
# 1. *(easy)* **Equipartition, one by one.** In the linear model at the optimum (5.3), show that
#    $\langle z_j^2 \rangle = T$ for *every* $j$, on or off, and find which part of it is signal and
#    which is noise. Write `signal_and_noise(T)`, which returns the two parts for the three variables.
# 2. *(easy)* **Cooling raises the rate.** Let $(D_1, R_1)$ minimise $D + T_1 R$ over any set of
#    models, and $(D_2, R_2)$ minimise $D + T_2 R$ with $T_2 > T_1$. Show that $R_2 \le R_1$ and
#    $D_2 \ge D_1$, and that $\min (D + T R)$ is a concave function of $T$. Check it on random
#    points: `points` holds $D$ and $R$ of 1,000 models, `warming` equally spaced rising temperatures,
#    `values` the $D + T R$ with a row for each $T$, and `chosen` the index of the best model in each.
# 3. *(medium)* **Heat capacity.** For the linear model compute $C = dD/dT$. What happens to it at
#    each $T_j$? Compare with the equipartition theorem. (A function `heat_capacity(T)`.)
# 4. *(hard)* **Learn the noise as well.** Minimise (5.2) over $s^2$ too, with $a$ variables on.
#    What is $s^2$ at $T = 1$, and what at $T \to 0$? From which temperature on is there no minimum
#    with all $a$ of them on, and what happens then? For the data of section 5 and $a = 2$:
#    `learned_noise[T]`, the best $s^2$ at $T = 1$, $0.5$ and $10^{-6}$, and `last_temperature`.
#
# The solutions are in the cells below, folded: click on one to open it.


# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. On: the posterior mean is w / (w^2 + s^2) times the coordinate of variance lambda, so its
# variance is w^2 lambda / (w^2 + s^2)^2 = T (1 - T / T_j), the signal. The noise is T / Lambda_jj
# = T s^2 / (w^2 + s^2) = T (T / T_j). They add to T. Off: mean 0, Lambda_jj = 1, the noise T.
def signal_and_noise(temperature):
    w2 = np.maximum(0, eigenvalues[:3] / temperature - noise_scale**2)
    signal = w2 * eigenvalues[:3] / (w2 + noise_scale**2) ** 2
    return signal, temperature * noise_scale**2 / (w2 + noise_scale**2)


for t in (0.1, 1.0, 6.0):
    print(f"1. T = {t}: share of the signal", (signal_and_noise(t)[0] / t).round(4))
check([np.sum(signal_and_noise(T), axis=0) for T in (0.1, 1, 6)], [[0.1], [1.0], [6.0]])
check(signal_and_noise(1.0)[0], [0.9413, 0.8813, 0.7205], tolerance=1e-4)
check(signal_and_noise(6.0)[0][-1], 0.0)  # off

# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. D1 + T1 R1 <= D2 + T1 R2 and D2 + T2 R2 <= D1 + T2 R1. Add them: (T2 - T1)(R2 - R1) <= 0.
# Then the first says D2 - D1 >= T1 (R1 - R2) >= 0. For each model D + T R is a straight line in T,
# and the smallest of straight lines is concave.
u, excess = np.random.default_rng(seed).random(size=(2, 1000))
points = np.exp(4 * u - 2) + excess, np.exp(2 - 4 * u) + excess
warming = np.linspace(0.05, 5, 200)
values = points[0] + warming[:, None] * points[1]  # (200, 1000)
chosen = np.argmin(values, axis=1)
assert len(np.unique(chosen)) > 2 and np.all(np.diff(warming) > 0)
check(values, points[0] + warming[:, None] * points[1])
check(values[np.arange(len(warming)), chosen], values.min(axis=1))
assert np.all(np.diff(points[1][chosen]) <= 0) and np.all(np.diff(points[0][chosen]) >= 0)
assert np.all(np.diff(values.min(axis=1), n=2) <= 1e-12)  # concave
print(f"2. {len(np.unique(chosen))} of 1000 models are best at some temperature")


# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. From (5.4), C = dD/dT = 1/2 for each variable that is on: a jump of -1/2 at each T_j, a second
# order transition. It is also T dS/dT = -T dR/dT. Equipartition gives 1/2 per quadratic term.
def heat_capacity(temperature):
    return np.sum(critical[:num_components] > temperature) / 2


for t in (0.5, 3.0, 6.0, 12.0, 30.0):
    print(f"3. T = {t:4.1f}: C = {heat_capacity(t)}")
check(
    [heat_capacity(T) for T in (0.5, 3, 6, 12, 30)],
    [np.diff([linear_optimum(T + d)[1] for d in (0, 1e-4)])[0] / 1e-4 for T in (0.5, 3, 6, 12, 30)],
    tolerance=1e-6,
)
check(3e4 * (linear_optimum(6 - 1e-4)[0] - linear_optimum(6 + 1e-4)[0]), heat_capacity(6), 1e-6)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. With n = T s^2: L = M/2 ln(2 pi n / T) + sum_on [T/2 + T/2 ln(lambda / n)] + sum_off T lambda /
# (2 n). Its derivative is 0 at s^2 = sum_off lambda / (M - a T). T = 1: the mean of the discarded
# eigenvalues, as in Tipping and Bishop. T -> 0: the squared error of PCA per pixel.
on, off, learned_noise = eigenvalues[:2], eigenvalues[2:], {}
for T in (1.0, 0.5, 1e-6):

    def profile(log_s2, t=T):
        n = t * np.exp(log_s2)
        rest = np.sum(t / 2 + t / 2 * np.log(on / n)) + np.sum(t * off / (2 * n))
        return 2.5 * np.log(2 * np.pi * n / t) + rest

    found = optimize.minimize_scalar(profile, bounds=(-6, 3), method="bounded")
    learned_noise[T] = np.exp(found.x)
    print(f"4. T = {T}: s^2 = {learned_noise[T]:.4f}")
check([learned_noise[t] for t in (1.0, 0.5, 1e-6)], [0.4132, 0.3099, 0.2479], tolerance=1e-4)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. With these a on, lambda_a / T must be above s^2, so T < T_c = M lambda_a / (sum_off lambda + a
# lambda_a), which is below M / a. At T_c, w_a reaches 0 continuously, and a falls by one.
last_temperature = 5 * on[-1] / (off.sum() + 2 * on[-1])
check(last_temperature, 1.9317, tolerance=1e-4)
print(f"4. both on up to T = {last_temperature:.4f}")
