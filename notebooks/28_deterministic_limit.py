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
# # Chapter 28: The deterministic limit
#
# At temperature zero a variational autoencoder (VAE) becomes an ordinary autoencoder with a penalty on its code
# ([chapter 24, section 2](24_classic_slips.ipynb)). The blog post that this course
# follows remarks that such networks seem to minimise an energy from which the partition function has
# cancelled. Has it? And a bet before you start: if
# you warm a model slowly, does it forget its latent variables bit by bit, or one by one?
#
# **What you will do**
#
# - put a temperature into the variational free energy, and see it choose between two wells;
# - derive the loss of `VAE(temperature=T)` (B32), and show that it is a beta-VAE in other units;
# - solve the linear model at every temperature, down to principal component analysis (PCA).
#
# **What you will learn**
#
# - what temperature means for a VAE, and why the optimum at every $T$ obeys $\langle |z|^2 \rangle = J T$;
# - why the rate, in nats, is minus the entropy, and the temperature the slope of a curve;
# - at which temperature each latent variable is switched off.
#
# **What you need**: energy minus entropy ([chapter 18, section 2](18_energy_minus_entropy.ipynb)), the loss of a VAE
# ([chapter 22, sections 2, 3 and 5](22_vae_in_keras.ipynb)), the linear model
# ([chapter 23, section 1](23_exact_evidence.ipynb)), eigenvalues of a covariance matrix.
#
# **Time**: about 60 minutes, and 95 for the exercises. The code runs in about 10 seconds.
#
# Equation numbers such as (B32) are the row names used in the whole course and in the table
# `EQUATIONS.md`; numbers such as (2.1) are steps on the way. Energies and rates
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

# %%
import os

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops
from scipy import optimize, special, stats

from rbm_tf import course, datasets
from rbm_tf.course import check, label
from vae_keras import VAE, NegativeLogLikelihood, layers, networks
from vae_keras.parts import Bernoulli, Gaussian

# %%
seed = 0
temperatures = (3.0, 1.0, 0.3, 0.03, 0.0)  # at which losses are compared
latent_dim, filters = 2, (16, 32)  # of a convolutional model of digits, untrained
noise_scale, num_components = 0.5, 3  # of the linear model in section 5
retrain = bool(os.environ.get("RETRAIN"))  # True: train the linear models here, some seconds
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 140}])
ink = plt.rcParams["text.color"]


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
# bound on the free energy, with equality for $q = p_T$. It has two consequences.
#
# *The slope is the entropy.* $dF_T / dT = -\ln Z_T - T\, \langle E \rangle / (T^2) = -S(p_T)$. The
# same holds for a restricted family of trials: let $F_T(q) = \langle E \rangle_q - T S(q)$ and let
# $q_T$ minimise it. In $\frac{d}{dT} F_T(q_T)$ the change of $q_T$ contributes nothing, because
# $F_T$ is stationary there, and what is left is the explicit $T$:
#
# $$\frac{d}{dT} \min_q F_T(q) = -S(q_T) . \tag{1.3}$$
#
# *The limit is the ground state.* As $T \to 0$ the term $T S$ vanishes (a width like $\sqrt T$ gives $S$ only
# a logarithm of $T$). What remains is the smallest $\langle E \rangle_q$: a $q$ that sits on the minimum of $E$. Near the minimum $z_0$,
# $E \approx E_0 + \frac12 k (z - z_0)^2$, and by Laplace's method
#
# $$F_T \approx E_0 - T \ln \sqrt{2 \pi T / k} , \qquad p_T \approx N(z_0,\, T / k) . \tag{1.4}$$
#
# The width of the thermal fluctuations is proportional to $\sqrt T$, and so is the noise of the library's model.

# %% [markdown]
# ## 2. Lowest energy or lowest free energy?
#
# The two questions may have different answers. Here is an energy with two wells,
#
# $$e^{-E(z)} = e^{-(z + 1.5)^2 / 2 a^2} + 0.6\, e^{-(z - 1.5)^2 / 2 b^2} ,
#   \qquad a = 0.1, \quad b = 0.5 . \tag{2.1}$$
#
# The left one is deeper, by $\Delta E = -\ln 0.6 = 0.51$ nats. The right one is five times as wide.
# With (1.4) and $k = 1/a^2$ or $1/b^2$, the free energies of the two wells are equal at
# $T_* = \Delta E / \ln (b/a) = 0.317$. Below $T_*$ the narrow well wins, above it the wide one: room counts for more than depth. Let a
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


def exact_free_energy(temperature):
    return -temperature * (special.logsumexp(-energy / temperature) + np.log(spacing))  # (1.1)


# %%
def trial_free_energy(parameters, temperature):
    """<E> - T S of N(mean, T sigma^2), nats; parameters: mean, ln sigma (1.2)."""
    mean, width = parameters[0], np.sqrt(temperature) * np.exp(parameters[1])
    q = stats.norm.pdf(z_line, mean, width)
    return spacing * q @ energy - temperature * (0.5 + np.log(np.sqrt(2 * np.pi) * width))


def best_gaussian(temperature, start):
    """The best mean, ln sigma and free energy, searched from one well."""
    tries = {"args": (temperature,), "method": "Nelder-Mead", "tol": 1e-9}
    found = optimize.minimize(trial_free_energy, start, **tries)
    return *found.x, found.fun


# %% name="crossing"
starts = (-1.5, np.log(narrow)), (1.5, np.log(wide))
line, step = np.linspace(0.03, 0.7, 24), 1e-3
in_wells = np.array([[best_gaussian(T, start) for T in line] for start in starts])  # (2, 24, 3)
exact = np.array([exact_free_energy(T) for T in line])
assert np.all(in_wells[..., 2].min(axis=0) >= exact - 1e-6)  # (1.2)
for start in starts:
    around = [best_gaussian(0.2 + dT, start) for dT in (-step, 0.0, step)]
    entropy = 0.5 + np.log(np.sqrt(2 * np.pi * 0.2)) + around[1][1]
    check((around[2][2] - around[0][2]) / (2 * step), -entropy, tolerance=1e-3)  # (1.3)
crossing = optimize.brentq(
    lambda t: np.subtract(*(best_gaussian(t, start)[2] for start in starts)), 0.2, 0.45
)
check(crossing, depth / np.log(5), tolerance=1e-3)  # T_*
print(f"the best Gaussian changes wells at T = {crossing:.4f}; T_* = {depth / np.log(5):.4f}")

# %% name="two-wells" alt="Left: an energy with a deep narrow well and a wide shallower one. Right: free energies over temperature; the best Gaussian changes from the narrow to the wide well at 0.32; exact below both."
figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.4))
axes[0].plot(z_line, energy, color=ink)
axes[0].set(xlim=(-2.6, 3.6), ylim=(-0.3, 6))
label(axes[0], "A deep narrow well and a wide one", "$z$", "energy (nats)")
for values, colour, text in zip(in_wells, (blue, orange), ("narrow", "wide"), strict=True):
    axes[1].plot(line, values[:, 2], color=colour, label=f"Gaussian in the {text} well")
axes[1].plot(line, exact, "--", color=ink, label="exact $F_T$")
axes[1].axvline(crossing, ymax=0.7, color=grey, lw=0.8)  # below the legend
label(axes[1], "Which is lower depends on $T$", "temperature $T$", "free energy (nats)")
axes[1].legend()
plt.show()

# %% [markdown]
# The left well is a code that explains the image perfectly if hit exactly. At $T = 1$, where the
# logarithm of $\int e^{-E}$ is the log-likelihood, it is worth less than a mediocre region that is
# easily hit. A deterministic autoencoder, which looks for the lowest energy, takes the left well.
# The post calls the variational theorem a finite-temperature generalisation of Rayleigh and Ritz (exercise 2).

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
# \sigma_j^2)$, so that $-T S = -\frac{T}{2} \sum_j (1 + \ln \sigma_j^2) - \frac{T J}{2} \ln 2 \pi T$.
#
# Add everything up. The terms without $\mu$ and $\sigma$ are the constant $C_T = \frac{J}{2} [ \ln
# 2 \pi - T \ln 2 \pi T ]$, and
#
# $$\boxed{\; F_T(q) - C_T = \big\langle -\ln p(x|z) \big\rangle_q
#   {} + \tfrac12 \sum_j \mu_j^2
#   {} + \tfrac{T}{2} \sum_j \big( \sigma_j^2 - 1 - \ln \sigma_j^2 \big) \;} \tag{B32}$$
#
# Call this the loss $L_T$. At $T = 1$ it is minus the ELBO, for $C_1 = 0$; at $T = 0$ it is $-\ln p(x | \mu) + \frac12 |\mu|^2$. Is $L_T$ a bound on $-\ln p(x)$? By (4.1) below it is
# a distortion plus $T$ times a rate that is not negative, and distortion plus rate bounds $-\ln p(x)$ of the model with
# the prior $N(0, T)$ from above. So for $T > 1$ it is a loose bound. For $T < 1$ it may lie below
# $-\ln p(x)$, and in chapter 29, section 2, it does: values at two temperatures do not compare as likelihoods.
#
# **Check against the exact result**: (B32) by hand, with equal noise, against the library's loss.

# %%
batch = datasets.load_digits("bernoulli", seed=seed)[0][0][:50]  # (50, 8, 8)


def build(temperature):
    keras.utils.set_random_seed(seed)
    encoder = networks.conv_encoder(batch.shape[1:], latent_dim, filters=filters)
    decoder = networks.conv_decoder(batch.shape[1:], latent_dim, filters=filters[::-1])
    return VAE(encoder, decoder, temperature=temperature, seed=seed)


# %% name="loss-by-hand"
def loss_by_hand(model, x, temperature, eps):
    """(B32), mean over the batch, nats."""
    mean, log_var = (np.asarray(a) for a in model.encoder(x))
    logits = model.decoder(mean + np.sqrt(temperature) * np.exp(log_var / 2) * eps)
    pixels = np.sum(np.logaddexp(0, logits) - x * logits, axis=(1, 2))
    code = 0.5 * np.sum(mean**2 + temperature * (np.exp(log_var) - 1 - log_var), axis=1)
    return np.mean(pixels + code)


for T in temperatures:
    model, zeros = build(T), ops.zeros((1, 50, latent_dim))
    by_hand = loss_by_hand(model, batch, T, layers.GaussianSampling(seed=seed)((zeros, zeros))[0])
    check(by_hand, float(model.compute_loss(batch)), tolerance=1e-5)
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
# and $\beta$ are the same knob. In the new
# units the prior is $N(0, I)$; in the old ones it is $N(0, T)$. They part at $T = 0$ only: a beta-VAE with
# $\beta = 0$ has no penalty whatsoever.
#
# $D$ is called *distortion* and $R$ *rate*: how badly the code describes the image, and how many
# nats the code says. Comparing (4.1) with $U - T S$, the distortion is an energy and **the rate is
# minus the entropy**, relative to the prior. As in (1.3), for the minimum over any family that can absorb the factor,
#
# $$\frac{d L_T}{dT} = R , \qquad \frac{dD}{dR} = -T : \tag{4.2}$$
#
# the second since $dL_T = dD + T dR + R\, dT = R\, dT$. The best $D$ as a function of $R$ is the
# rate-distortion curve of the data, and the temperature is its slope (Alemi et al. 2018).
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
# It is the equipartition theorem of classical mechanics: $\frac12 T$ for each quadratic
# term. At temperature zero the codes must shrink to nothing. In chapter 24, section 2, the
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
# Let the decoder be linear with Gaussian noise, $x = W z + b + s\, n$, as in chapter 23, section 1,
# with $M$ pixels. There the energy was found to be quadratic in $z$,
#
# $$E(x, z) = E_0(x) + \tfrac12 (z - m)^T \Lambda (z - m) , \qquad
#   \Lambda = I + W^T W / s^2 , \quad \Lambda m = W^T (x - b) / s^2 . \tag{5.1}$$
#
# *The best trial.* $p_T \propto e^{-E/T}$ is Gaussian with mean $m$ and covariance $T
# \Lambda^{-1}$. So for a given decoder the same $\mu$ and $\sigma$ are best at every temperature,
# and (1.1) is a Gaussian integral: $F_T = E_0 - \frac{T}{2} \ln \det (2 \pi T \Lambda^{-1})$.
# With $C = W W^T + s^2 I$ one has $E_0 = \frac12 (x - b)^T C^{-1} (x - b) +
# \frac{M}{2} \ln 2 \pi s^2 + \frac{J}{2} \ln 2 \pi$ and $\det \Lambda = \det (C / s^2)$. Subtract $C_T$, as in (B32),
# average over data with covariance $\Sigma$, and set $b$ to their mean:
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
# Each latent variable has a critical temperature $T_j$, the data's variance along its direction over
# that of the noise. What is called *posterior collapse* is here a continuous phase
# transition, with $w_j^2 = s^2 (T_j - T) / T$ for an order parameter.
#
# *Rate and distortion.* Put (5.3) into $L_T = D + T R$, with $R = dL_T/dT$ from (4.2):
#
# $$R = \tfrac12 \sum_{\text{on}} \ln \frac{T_j}{T} , \qquad
#   D = \tfrac{M}{2} \ln 2 \pi s^2 + \sum_{\text{on}} \frac{T}{2} + \sum_{\text{off}} \frac{T_j}{2}
#   \tag{5.4}$$
#
# where *off* are all other of the $M$ directions. The squared
# error is $T s^2$ along each direction that is on, and the whole variance $\lambda_j$ along the
# others: Shannon's solution for a Gaussian source, known as *reverse
# water-filling*, with $T s^2$ for the level of the water.
#
# *Zero temperature.* A reconstruction $W m + b$ multiplies the $j$-th direction by the factor
# $w_j^2 / (w_j^2 + s^2) = 1 - T / T_j$. As $T \to 0$ it becomes 1 for the $J$ largest eigenvalues:
# **principal component analysis**. The codes shrink, with the variance $T (1 - T/T_j)$, and
# the loadings grow like $1/\sqrt T$, as (4.4) demands.
#
# **Check against the exact result**: (5.3) and (5.4) against a numerical minimum of (5.2); the
# reconstruction against PCA; then the library's model.

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
def fit_linear(temperature):
    """The library's model after a short training, whose weights come with the course."""
    keras.utils.set_random_seed(seed)
    encoder = networks.dense_encoder((5,), 3, hidden_units=())
    decoder = networks.dense_decoder((5,), 3, hidden_units=())
    options = {"likelihood": Gaussian(scale=noise_scale), "temperature": temperature, "seed": seed}
    model = VAE(encoder, decoder, **options)

    def fit():
        model.compile(keras.optimizers.Adam(0.02), jit_compile=False, steps_per_execution=12)
        model.fit(x_linear.astype("float32"), batch_size=50, epochs=60, verbose=0)

    course.trained(model, f"limit_linear_T_{temperature}", fit, retrain=retrain)
    return model


# %% name="trained-linear"
for T in (6.0, 1.0, 0.3):
    model = fit_linear(T)
    loadings, bias = model.decoder.get_weights()
    mean, log_var = (np.asarray(a) for a in model.encode(x_linear.astype("float32")))
    total = loadings.T @ loadings + noise_scale**2 * np.eye(5)
    off_centre = 0.5 * (centre - bias) @ np.linalg.solve(total, centre - bias)
    loss = linear_loss(loadings.T, T) + off_centre  # of its decoder, with the exact p_T
    moment = np.sum(mean**2 + T * np.exp(log_var), axis=1).mean()
    rate, distortion = linear_optimum(T)
    assert -1e-5 < loss - distortion - T * rate < 0.05  # a short training comes close to (5.3)
    print(f"T = {T}: trained {loss:.4f}, optimum {distortion + T * rate:.4f} nats;", end=" ")
    print(f"<|z|^2> / (J T) = {moment / (num_components * T):.3f}")
    assert (moment / (num_components * T) > 1.15) == (T == 0.3)  # (4.4) is not reached there

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
# The bet ends in a draw. As the temperature rises, every variable that is on loses half a nat for each factor $e$
# in $T$, bit by bit, and the three are switched off one after another; above the last
# dotted line the model ignores its latent variables, and the rate is exactly 0. Nothing special
# happens at $T = 1$ on these curves. What is special about $T = 1$ is that only there $e^{-F_T}$ is
# a probability of the data. The library's models end less than 0.05 nats above the optimum after a short training.
# Equipartition (4.4) is the finer test: the coldest of them misses it by more than 15 %.

# %% [markdown]
# ## 6. Summary
#
# - Energy minus $T$ times entropy bounds $F_T$ (1.2), and the slope of its minimum is minus the entropy (1.3).
# - A deterministic autoencoder looks for the lowest energy, a VAE for the lowest free energy. $Z$
#   has not cancelled: at $T = 0$ the largest term of the sum is all that is kept.
# - The loss at temperature $T$ (B32) is a beta-VAE in other units (4.1): temperature, $\beta$ and the slope of the
#   rate-distortion curve are one number.
# - At the optimum $\langle |z|^2 \rangle = J T$ (4.4).
# - In the linear model a latent variable with $\lambda_j / s^2 < T$ is switched off, exactly (5.3); at $T = 0$ it is PCA.
# - What becomes of digits on this way is in [chapter 29](29_without_entropy.ipynb).

# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **Equipartition, one by one.** In the linear model at the optimum (5.3), show that
#    $\langle z_j^2 \rangle = T$ for *every* $j$, on or off, and find which part of it is signal and
#    which is noise. Write `signal_and_noise(T)`, which returns the two parts for the three variables.
# 2. *(easy)* **Rayleigh and Ritz.** For a symmetric matrix $H$ the free energy is $-T \ln \mathrm{Tr}\, e^{-H/T}$
#    (chapter 19, section 2). Take for trial states the mixtures of the basis vectors, with probabilities $p_i$. Find the
#    best of the bounds $\sum_i p_i H_{ii} - T S(p)$ of (2.5) of chapter 18, and show that as $T \to 0$ it becomes
#    $\min_i H_{ii} \ge E_0$, the bound of Rayleigh and Ritz. (`free_energy_of(H, T)` and
#    `best_mixture(H, T)`; the check takes the matrix `covariance` of section 5.)
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
# 2. The bound is the free energy of levels H_ii: p_i ~ exp(-H_ii / T) is best, and the bound -T ln sum_i exp(-H_ii / T).
# As T -> 0 both sides become ground states, E_0 <= min_i H_ii. Entropy is all that has been lost.
def free_energy_of(matrix, temperature):
    return -temperature * special.logsumexp(-np.linalg.eigvalsh(matrix) / temperature)


def best_mixture(matrix, temperature):
    return -temperature * special.logsumexp(-np.diag(matrix) / temperature)


for t in (1.0, 0.1, 1e-3):
    print(f"2. T = {t}: {free_energy_of(covariance, t):.4f} <= {best_mixture(covariance, t):.4f}")
assert free_energy_of(covariance, 1.0) < best_mixture(covariance, 1.0) - 0.1
check(free_energy_of(covariance, 1e-3), eigenvalues[-1], tolerance=1e-6)
check(best_mixture(covariance, 1e-3), np.diag(covariance).min(), tolerance=1e-6)


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
