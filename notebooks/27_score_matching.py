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
# # Chapter 27: The score
#
# The gradient of $\ln p(x)$ in $x$ does not contain the normalisation $Z$.
# Can a density be learned from that gradient alone, and sampled with it? Both can be done: the first is
# what a denoising autoencoder does, the second is how a particle moves in a potential. Guess before you read on: what
# gets lost when $Z$ drops out?
#
# **What you will do**
#
# - fit a density without its normalisation, and find the same loss in an autoencoder that removes noise;
# - find two hills whose shares this loss cannot see;
# - guess a $\ln Z$ from one minimum, and sample with Langevin and Hamiltonian dynamics.
#
# **What you will learn**
#
# - what cancels, and what is lost, when the partition function drops out (B11);
# - how much a walk with finite steps heats, and why one that conserves volume can be corrected exactly.
#
# **What you need**: the integration by parts of [chapter 25, section 3](25_stochastic_gradients.ipynb); the clamped free
# energy (B5) of [chapter 3, section 2](03_rbm_free_energies.ipynb); Gaussian integrals.
#
# **Time**: about 60 minutes, and 105 for the exercises. The code runs in about 10 seconds.
#
# Equation numbers such as (B11) are the row names used in the whole course, in the library's
# docstrings and in the table `EQUATIONS.md`. Numbers such as (2.1) are steps on the way. Energies
# are in nats.

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

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import integrate, special

from rbm_tf.course import check, label, within
from vae_keras import gradients

# %%
seed = 0
num_samples = 100_000  # of a check in section 4
num_data, noise_scale = 5000, 0.3  # score matching
num_chains, chain_steps = 500, 400  # of the samplers
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 120}])
ink = plt.rcParams["text.color"]


# %% [markdown]
# ## 1. The gradient of ln p(x) without its Z: score matching
#
# Take the gradient of a log density in $x$ itself. For a model known only up to its normalisation,
# $q_\theta(x) = e^{-E_\theta(x)} / Z(\theta)$, it is $s_\theta(x) \equiv \nabla_x \ln q_\theta(x) = -\nabla_x E_\theta(x)$:
# $\ln Z$ is a constant in $x$, and it is gone. (This $s$ is called a *score*, too; the one of chapter 25
# is a derivative in the parameters.) For a machine with hidden units, $\ln q = -F_c + F_{\rm eq}$
# (B5), so that $s = -\nabla_x F_c$: the clamped free energy is all that is needed. Hyvärinen (2005)
# compares scores instead of densities,
#
# $$J(\theta) = \tfrac12\, \mathbb{E}_{p(x)} \big\| \nabla_x \ln p(x) - \nabla_x \ln q_\theta(x) \big\|^2 . \tag{B11a}$$
#
# This is what the post that this course follows, Charles Martin's *Free Energies and Variational
# Inference*, writes with a general score $\phi$. It needs the score of the data, which
# nobody knows. Expand the square and look at the cross term, in one dimension first. As
# $p\, (\ln p)' = p'$,
#
# $$\mathbb{E}_p[s_p\, s_\theta] = \int p'(x)\, s_\theta(x)\, dx
#   = \big[ p\, s_\theta \big]_{-\infty}^{\infty} - \int p(x)\, s_\theta'(x)\, dx
#   = -\mathbb{E}_p[s_\theta'] , \tag{1.1}$$
#
# the integration by parts of (3.1) of chapter 25 once more. In more dimensions it is done for each coordinate, and the
# derivatives add up to the trace of the Jacobian:
#
# $$\boxed{\; J(\theta) = \mathbb{E}_p\Big[ \tfrac12 \| s_\theta(x) \|^2
#   {} + \mathrm{tr}\, \nabla_x s_\theta(x) \Big] + \text{const} \;} \tag{B11b}$$
#
# an average over data that needs neither $p$ nor $Z$. The first term asks for data where the energy
# is flat, the second for a *minimum* there and not a maximum. For a Gaussian the minimum of $J$ is that of maximum
# likelihood (exercise 1).
#
# **A density whose $Z$ has no closed form**: the double well
# $-E(x) = \frac{a}2 x^2 - \frac{b}4 x^4$. Its score $s = a x - b x^3$ is *linear in the parameters*, as for every
# exponential family, so that $J$ is a parabola. With $\psi = (x, -x^3)$ it is
# $\frac12 \theta^\top \langle \psi \psi^\top \rangle \theta + \theta^\top \langle \psi' \rangle$,
# and
#
# $$\hat\theta = -\langle \psi \psi^\top \rangle^{-1} \langle \psi' \rangle , \qquad
#   \langle \psi \psi^\top \rangle = \begin{pmatrix} \langle x^2 \rangle & -\langle x^4 \rangle \\
#   -\langle x^4 \rangle & \langle x^6 \rangle \end{pmatrix} , \quad
#   \langle \psi' \rangle = \begin{pmatrix} 1 \\ -3 \langle x^2 \rangle \end{pmatrix} : \tag{1.2}$$
#
# no iterations, no $Z$. Maximum likelihood needs $Z(a, b)$ at every step, but it is the
# more *precise* of the two: its variance is, for large $n$, the inverse of $n\, \mathrm{Cov}(x^2/2, -x^4/4)$ (the second
# derivatives of $\ln Z$, chapter 1), and no unbiased estimate can do better. **Check**: with the
# exact moments, (1.2) returns $(a, b)$; from data, 400 times.

# %%
well = np.array([2.0, 1.0])  # a, b
grid = np.linspace(-4, 4, 4001)
boltzmann = np.exp(well[0] * grid**2 / 2 - well[1] * grid**4 / 4)
density = boltzmann / integrate.simpson(boltzmann, x=grid)


def match_scores(m2, m4, m6):
    """The minimum (1.2), (a, b) on the last axis, from <x^2>, <x^4> and <x^6>."""
    products = np.moveaxis(np.array([[m2, -m4], [-m4, m6]]), (0, 1), (-2, -1))
    right = np.stack([-np.ones_like(m2), 3 * m2], axis=-1)[..., np.newaxis]
    return np.linalg.solve(products, right)[..., 0]


exact_moments = [integrate.simpson(grid**n * density, x=grid) for n in (2, 4, 6)]
check(match_scores(*np.array(exact_moments)), well, tolerance=1e-8)  # (1.2)

# %% name="double-well"
cdf = integrate.cumulative_simpson(density, x=grid, initial=0)
draws = np.interp(np.random.default_rng(seed).random((400, num_data)), cdf / cdf[-1], grid)
fits = match_scores(*(np.mean(draws**n, axis=1) for n in (2, 4, 6)))
statistics = np.array([grid**2 / 2, -(grid**4) / 4])
means = integrate.simpson(statistics * density, x=grid)
second = integrate.simpson(statistics[:, np.newaxis] * statistics * density, x=grid)
likelihood_error = np.sqrt(np.diag(np.linalg.inv(second - np.outer(means, means))) / num_data)
print(f"true (a, b) = {well}, one data set {fits[0].round(3)}, mean of 400 {fits.mean(0).round(3)}")
print("standard deviation, score matching:    ", fits.std(axis=0).round(4))
print("standard error, maximum likelihood:    ", likelihood_error.round(4))
assert np.all(fits.std(axis=0) > 1.1 * likelihood_error)  # less precise, by more than 2 s.e.

# %% [markdown]
# ## 2. Score matching is denoising
#
# The trace in (B11b) takes one backward pass for each dimension. Vincent (2011) found a way around.
# Blur the data, $y = x + \sigma \epsilon$, and match the score of the *blurred* density
# $p_\sigma(y) = \int p(x)\, \mathcal{N}(y; x, \sigma^2 I)\, dx$. The blur's derivative is known:
#
# $$\begin{aligned}
# \mathbb{E}_{p_\sigma}\big[ s_\theta \cdot \nabla \ln p_\sigma \big]
#   &= \int s_\theta(y) \cdot \nabla p_\sigma(y)\, dy
#   = \int \!\! \int s_\theta(y) \cdot \nabla_y \mathcal{N}(y; x, \sigma^2 I)\, p(x)\, dx\, dy \\
#   &= \mathbb{E}_{x, y}\Big[ s_\theta(y) \cdot \frac{x - y}{\sigma^2} \Big] . \end{aligned} \tag{2.1}$$
#
# Complete the square:
#
# $$\boxed{\; \tfrac12 \mathbb{E}_{p_\sigma} \| s_\theta - \nabla \ln p_\sigma \|^2
#   = \tfrac12 \mathbb{E}_{x, y} \Big\| s_\theta(y) - \frac{x - y}{\sigma^2} \Big\|^2 + \text{const}
#   = \frac{1}{2 \sigma^4}\, \mathbb{E}_{x, y} \| r_\theta(y) - x \|^2 + \text{const} \;} \tag{B11c}$$
#
# with $r_\theta(y) = y + \sigma^2 s_\theta(y)$. The last form is the loss of a **denoising
# autoencoder**: corrupt the data, reconstruct them, take the squared error. Its best possible $r$
# is the mean of the clean data given the noisy ones, so
#
# $$\mathbb{E}[x|y] = y + \sigma^2\, \nabla_y \ln p_\sigma(y) \tag{2.2}$$
#
# (Tweedie's formula): the step from $y$ to its reconstruction points uphill in probability.
#
# **An autoencoder inside an RBM.** Give a machine Gaussian visible units and binary hidden ones,
# $E(x, h) = \frac12 \|x - a\|^2 - b \cdot h - x^\top W h$. The hidden units sum out as in (B5),
#
# $$F_c(x) = \tfrac12 \|x - a\|^2 - \sum_j \mathrm{softplus}(b_j + (x W)_j) , \qquad
#   s(x) = -\nabla F_c = a - x + W\, \mathrm{sigm}(b + x W) , \tag{2.3}$$
#
# and at noise level $\sigma = 1$ the denoiser is $r(y) = a + W\, \mathrm{sigm}(b + y W)$: *encode
# with $W$, squash, decode with the same $W$*. Training such an autoencoder to remove
# noise *is* training this machine, by score matching, on the blurred data, and its partition function never appears.
#
# **Check against the exact result**: (2.2) on the double well by integration, and (2.3) by
# automatic differentiation of $F_c$.

# %%
blur = np.exp(-((grid[:, np.newaxis] - grid) ** 2) / (2 * noise_scale**2)) * density  # (y, x)
blurred = integrate.simpson(blur, x=grid)
clean_mean = integrate.simpson(blur * grid, x=grid) / blurred  # E[x|y]
exact_score = np.gradient(np.log(blurred), grid, edge_order=2)  # of the blurred density
middle = np.abs(grid) < 3
tweedie = grid + noise_scale**2 * exact_score
check(tweedie[middle], clean_mean[middle], tolerance=1e-4)  # (2.2)

# %%
rng = np.random.default_rng(seed)
kernel, offset, bias_h = rng.normal(size=(5, 3)), rng.normal(size=5), rng.normal(size=3)


def minus_clamped(x):
    """-F_c(x) of a Gaussian-Bernoulli machine, (2.3)."""
    hidden = tf.nn.softplus(bias_h + x @ kernel)
    return tf.reduce_sum(hidden, -1) - tf.reduce_sum((x - offset) ** 2, -1) / 2


noisy = tf.constant(rng.normal(size=(20, 5)))
autoencoder = offset + special.expit(bias_h + noisy @ kernel) @ kernel.T
check(gradients.denoise(minus_clamped, noisy, noise_scale=1.0), autoencoder)

# %% [markdown]
# Now train: the energy is a small network, the loss (B11c), the data 5000 points in the double well.

# %%
keras.utils.set_random_seed(seed)
network = keras.Sequential([keras.layers.Dense(32, "tanh"), keras.layers.Dense(1)])
network.build((None, 1))
optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.02, 1500))
variables = network.trainable_variables[:-1]  # the last bias is part of ln Z
optimizer.build(variables)
x_well = tf.constant(draws[0][:, np.newaxis], tf.float32)


def log_q(x):
    return network(x)[:, 0] - tf.reduce_sum(x**2, -1) / 2  # up to ln Z


# %%
@tf.function
def learn_to_denoise():
    for step in tf.range(1500):
        with tf.GradientTape() as tape:
            loss = gradients.denoising_score_matching(log_q, x_well, noise_scale, seed=[seed, step])
        optimizer.apply(tape.gradient(loss, variables), variables)


# %%
learn_to_denoise()
x_grid = tf.constant(grid[middle][:, np.newaxis], tf.float32)
learned = np.exp(log_q(x_grid).numpy() - np.max(log_q(x_grid)))
learned = learned / integrate.simpson(learned, x=grid[middle])
blurred = blurred / integrate.simpson(blurred, x=grid)
off = np.abs(gradients.score(log_q, x_grid)[:, 0] - exact_score[middle])
inside = off[np.abs(grid[middle]) < 2.5].max()
assert inside < 0.3 and (noise_scale > 0.3 or off.max() > 2.5 * inside)

# %% name="score-and-density" alt="Left: the learned score follows the exact one of the blurred data up to about 2.5. Right: its density has the two peaks of the blurred data, lower than those of the histogram."
assert np.abs(learned - blurred[middle]).max() < 0.02 < np.abs(learned - density[middle]).max()
figure, axes = plt.subplots(1, 2, figsize=(10, 3.3))
axes[0].plot(grid[middle], exact_score[middle], color=ink, lw=1, label="exact, blurred data")
axes[0].plot(grid[middle], gradients.score(log_q, x_grid)[:, 0], color=blue, label="network")
label(axes[0], "The score", "$x$", r"$\nabla_x \ln q$ (nats per unit of $x$)")
axes[1].hist(draws[0], 60, density=True, color=grey, alpha=0.4, label="data")
axes[1].plot(grid, blurred, color=ink, lw=1, label="blurred data, exact")
axes[1].plot(grid[middle], learned, color=blue, label="network, normalised afterwards")
label(axes[1], "The density", "$x$", "probability density")
axes[1].set_ylim(0, 0.75)
for axis in axes:
    axis.legend(fontsize=10)
plt.show()

# %% [markdown]
# The network follows the exact score where there are data and leaves it beyond $|x| = 2.5$, where
# there are next to none. Normalised afterwards, its density is that of the *blurred* data. The noise is part of what
# has been learned.
#
# **When it fails.** The post observes that deep autoencoders, deterministic
# and trained as if at $T = 1$, get along without any partition function, as though it had
# cancelled. Score matching shows how this can be true: if a reconstruction loss *is* a comparison
# of scores, $Z$ drops out exactly. It takes *noise* (else a network wide enough for
# $r(x) = x$ learns nothing of the density), and $r(x) - x$ must be a gradient, as for tied weights (else there is no energy). And
# what cancels is *lost*. A score says where it goes
# uphill; it does not say how much probability lies under this hill and how much
# under the next. Take two hills at $\pm d$ with the shares $\frac12 : \frac12$ in the data and
# $0.9 : 0.1$ in the model:

# %%
wide_grid = np.linspace(-16, 16, 8001)


def two_hills(distance, share):
    """Density and score of share N(-distance, 1) + (1 - share) N(distance, 1)."""
    left, right = (np.exp(-((wide_grid - c) ** 2) / 2) for c in (-distance, distance))
    total = share * left + (1 - share) * right
    slope = -(wide_grid + distance) * share * left - (wide_grid - distance) * (1 - share) * right
    return total / np.sqrt(2 * np.pi), slope / total


# %% name="two-hills"
fisher, kl = [], []
for distance in (0.5, 1, 2, 3, 4):
    (p, s_p), (q_hills, s_q) = two_hills(distance, 0.5), two_hills(distance, 0.9)
    fisher.append(integrate.simpson(p * (s_p - s_q) ** 2, x=wide_grid) / 2)  # (B11a)
    kl.append(integrate.simpson(p * np.log(p / q_hills), x=wide_grid))
    print(f"d = {distance:3}: J = {fisher[-1]:.6f}, KL(p || q) = {kl[-1]:.4f} nats")
assert fisher[-1] < 1e-2 * max(fisher) == 1e-2 * fisher[1] and np.all(np.diff(kl) > 0)
check(kl[-1], np.log(0.5 / np.sqrt(0.9 * 0.1)), tolerance=1e-2)

# %% [markdown]
# As the hills part, the likelihood sees the wrong shares better and better; score matching stops seeing them. The
# difference of $\ln p$ between two hilltops is an *integral* of the score across the gap, where there are no data.
# A network that only reconstructs buys its freedom from $Z$ with this blindness. A blur that joins the hills makes
# the shares visible again (exercise 2).

# %% [markdown]
# ## 3. Laplace: a Gaussian around the minimum
#
# If the energy $H(z) = -\ln p(x, z)$ has one clear minimum $z^*$, where the gradient vanishes,
# expand it to second order there and integrate the Gaussian:
#
# $$\ln Z = \ln \int e^{-H(z)}\, dz \;\approx\; -H(z^*) + \tfrac{D}2 \ln 2 \pi - \tfrac12 \ln \det H''(z^*) . \tag{3.1}$$
#
# The first term is the energy of the best state, the rest the entropy of the fluctuations around
# it. It is neither a bound nor an average.
#
# **A small posterior with known answers.** A coin has shown $a - 1$ heads and $b - 1$ tails; the
# prior of its heads probability $\pi$ is uniform. In the coordinate $z = \ln \frac{\pi}{1 - \pi}$,
# which runs over the whole line, the posterior is
#
# $$e^{-H(z)} = \pi^{a} (1 - \pi)^{b} , \qquad H(z) = -a z + (a + b)\, \mathrm{softplus}(z) , \qquad
#   Z = B(a, b) = \frac{\Gamma(a)\, \Gamma(b)}{\Gamma(a + b)} , \tag{3.2}$$
#
# (one factor $\pi (1 - \pi)$ is the Jacobian $d\pi / dz$). Its exact mean and variance are
# $\psi(a) - \psi(b)$ and $\psi'(a) + \psi'(b)$ with the digamma function $\psi = (\ln \Gamma)'$.
# The minimum is at $\pi^* = a / n$, $n = a + b$, with $H'' = n \pi^* (1 - \pi^*) = ab/n$, and
# (3.1) becomes Stirling's formula for the three $\Gamma$-functions.
# Its next term tells the error,
# $\frac1{12} \big( \frac1a + \frac1b - \frac1n \big)$: Laplace becomes exact as data accumulate.
# (In the coordinate $\pi$ it would be another number.)
#
# **Check against the exact result.**


# %% name="laplace"
def laplace(a, b):
    """ln Z by (3.1) in the coordinate z."""
    n = a + b
    best = a * np.log(a / n) + b * np.log(b / n)  # -H at the minimum
    return best + 0.5 * np.log(2 * np.pi * n / (a * b))


heads, tails = 3, 9  # a and b: 2 heads and 8 tails seen
for k in (1, 4, 16):
    a, b = k * heads, k * tails
    error = laplace(a, b) - special.betaln(a, b)
    stirling = -(1 / a + 1 / b - 1 / (a + b)) / 12
    print(f"a = {a:2d}, b = {b:3d}: off by {error:+.6f} nats, the next term {stirling:+.6f}")
    assert abs(error - stirling) < 1e-2 / k**3  # what is left is of third order

# %% [markdown]
# ## 4. Walking along the gradient: Langevin and Hamilton
#
# The gradient in $z$ does not need $Z$ either, and so it can drive a sampler. A particle in the
# potential $H$ with friction and thermal noise, in steps of size $\eta$,
#
# $$z_{t+1} = z_t - \tfrac{\eta}2\, \nabla H(z_t) + \sqrt{\eta}\; \xi_t , \qquad \xi_t \sim \mathcal{N}(0, I) , \tag{4.1}$$
#
# ends up in the Boltzmann distribution $e^{-H} / Z$ as $\eta \to 0$. **Stochastic gradient Langevin
# dynamics** (Welling and Teh, 2011) replaces $\nabla H$ by its estimate from a mini-batch.
#
# **How wrong is it at finite $\eta$?** Data
# $x_1, \dots, x_N \sim \mathcal{N}(z, 1)$ and the prior $\mathcal{N}(0, 1)$ give the posterior
# precision $A = N + 1$. A batch of $n$ draws yields $\nabla H = A (z - z^*) + \zeta$, where the
# batch noise $\zeta$ has the variance $V = \frac{N^2}{n} \mathrm{Var}(x)$ whatever $z$ is. Subtract
# $z^*$ in (4.1) and take the variance on both sides; stationary means the same $v$ on both:
#
# $$v = \Big( 1 - \frac{\eta A}2 \Big)^2 v + \frac{\eta^2}4 V + \eta
#   \qquad \Rightarrow \qquad
#   v = \frac1A \cdot \frac{1 + \eta V / 4}{1 - \eta A / 4} . \tag{4.2}$$
#
# Too broad, from two sides: the batch noise heats ($V$), and the finite step does so even with all
# data ($V = 0$). Both vanish as $\eta \to 0$, while the walk takes $2 / (\eta A)$ steps
# to forget where it was.
#
# **Check against the exact result**: (4.2) at several step sizes, with 500 chains.

# %%
rng = np.random.default_rng(seed)
observed = rng.normal(1.0, 1.0, size=100)
precision, center = len(observed) + 1, observed.sum() / (len(observed) + 1)
batch_noise = len(observed) ** 2 / 10 * observed.var()  # V, batches of 10


def langevin(eta, num_steps, batch=10):
    """The walk (4.1) of all chains after a burn-in, (num_steps, num_chains)."""
    z, visited = np.full(num_chains, center), []
    for _ in range(num_steps):
        chosen = rng.choice(observed, size=(num_chains, batch)) if batch else observed[np.newaxis]
        slope = z - len(observed) * (chosen.mean(axis=1) - z)  # of H: prior and data
        z = z - eta / 2 * slope + np.sqrt(eta) * rng.normal(size=num_chains)
        visited.append(z)
    return np.array(visited[num_steps // 3 :])


# %% name="langevin"
sizes, ratios = np.array([0.03, 0.1, 0.3, 1.0]), {"mini-batches of 10": [], "all data": []}
for size in sizes:
    eta, num_steps = size / precision, int(chain_steps + 30 / size)
    for name, batch, noise_variance in (
        ("mini-batches of 10", 10, batch_noise),
        ("all data", 0, 0.0),
    ):
        exact = (1 + eta * noise_variance / 4) / (1 - eta * precision / 4) / precision  # (4.2)
        squares = (langevin(eta, num_steps, batch) - center) ** 2
        assert within(squares.mean(axis=0), exact)
        ratios[name].append(squares.mean() * precision)
    print(f"eta A = {size:4.2f}: variance / posterior variance", end=" ")
    print({name: round(float(values[-1]), 3) for name, values in ratios.items()})

# %% [markdown]
# **Hamiltonian Monte Carlo** removes the error instead of shrinking it (Duane et al., 1987; Neal,
# 2011). Give the particle a momentum $r$ and the total energy
# $\mathcal{H}(z, r) = H(z) + \frac12 \|r\|^2$. Draw $r \sim \mathcal{N}(0, I)$, follow Newton's
# equations $\dot z = r$, $\dot r = -\nabla H$ for a while with the *leapfrog* steps
#
# $$r \leftarrow r - \tfrac{\varepsilon}2 \nabla H(z) , \qquad z \leftarrow z + \varepsilon\, r , \qquad
#   r \leftarrow r - \tfrac{\varepsilon}2 \nabla H(z) , \tag{4.3}$$
#
# and accept the end point with probability $\min(1, e^{-\Delta \mathcal{H}})$. Each of the three
# moves is a *shear*: it changes one variable by a function of the other. So the map $T$ preserves
# volume exactly at any step size (Liouville's theorem, for the computer), and run backwards it is
# itself with $r \to -r$. Volume preservation alone implies
#
# $$\big\langle e^{-\Delta \mathcal{H}} \big\rangle
#   = \frac{\int e^{-\mathcal{H}(s)}\, e^{-[\mathcal{H}(T s) - \mathcal{H}(s)]}\, ds}{\int e^{-\mathcal{H}(s)}\, ds}
#   = \frac{\int e^{-\mathcal{H}(T s)}\, ds}{\int e^{-\mathcal{H}(s)}\, ds} = 1 \tag{4.4}$$
#
# for starting points $s = (z, r)$ in equilibrium: a free-energy difference of zero, in the form of
# (B49) of chapter 20. By Jensen the energy rises on average, and the
# rejections correct for it. The conserved volume in phase space is what the post has in mind.
# A normalising flow pushes samples through an invertible map, too, and learns its Jacobian (chapter 31).
#
# **Check against the exact result**: (4.4) on the coin with exact draws of $z$, at a fine and at a coarser step;
# then the chain of TensorFlow Probability against the exact mean and variance.


# %%
def coin_energy(z):
    """H(z), (3.2)."""
    return -heads * z + (heads + tails) * np.logaddexp(0, z)


def coin_slope(z):
    return -heads + (heads + tails) * special.expit(z)


# %% name="liouville"
rng = np.random.default_rng(seed)
share = rng.beta(heads, tails, size=num_samples)
z_start, r_start = np.log(share / (1 - share)), rng.normal(size=num_samples)
for epsilon in (0.2, 0.7):
    z, r = z_start, r_start
    for _ in range(4):  # (4.3)
        r = r - epsilon / 2 * coin_slope(z)
        z = z + epsilon * r
        r = r - epsilon / 2 * coin_slope(z)
    change = coin_energy(z) + r**2 / 2 - coin_energy(z_start) - r_start**2 / 2
    assert within(np.exp(-change), 1.0) and change.mean() > 0  # (4.4)
    error = np.exp(-change).std() / np.sqrt(num_samples)
    print(f"step {epsilon}: <e^-dH> = {np.exp(-change).mean():.4f} +- {error:.4f}", end=", ")
    accepted = np.minimum(1, np.exp(-change)).mean()
    print(f"<dH> = {change.mean():.4f} nats, accepted {accepted:.3f}")


# %%
def minus_coin_energy(z):
    return heads * z - (heads + tails) * tf.nn.softplus(z)


@tf.function
def hmc():  # trajectories of about a quarter of a period
    kernel = tfp.mcmc.HamiltonianMonteCarlo(minus_coin_energy, step_size=0.25, num_leapfrog_steps=4)
    options = {"kernel": kernel, "num_burnin_steps": 100, "trace_fn": None, "seed": [seed, 1]}
    return tfp.mcmc.sample_chain(chain_steps, tf.zeros(num_chains, tf.float64), **options)


coin_mean = special.digamma(heads) - special.digamma(tails)
coin_variance = special.polygamma(1, heads) + special.polygamma(1, tails)
coin_chain = hmc().numpy()  # (steps, chains)

# %% name="hmc"
assert within(coin_chain.mean(axis=0), coin_mean)
assert within(((coin_chain - coin_mean) ** 2).mean(axis=0), coin_variance)
laplace_mean, laplace_variance = np.log(heads / tails), 1 / heads + 1 / tails
print(f"exact mean {coin_mean:.4f}, variance {coin_variance:.4f}; Laplace", end=" ")
print(
    f"{laplace_mean:.4f}, {laplace_variance:.4f}; HMC {coin_chain.mean():.4f}, {coin_chain.var():.4f}"
)
assert abs(laplace_mean - coin_mean - 0.12) < 0.01  # Laplace's mean is too high
assert abs(1 - laplace_variance / coin_variance - 0.13) < 0.01
fine, z_grid = np.linspace(0.02, 1.5, 100), np.linspace(-4, 1.5, 300)
heat = (1 + fine / precision * batch_noise / 4) / (1 - fine / 4)  # (4.2)
heated = {"mini-batches of 10": heat, "all data": 1 / (1 - fine / 4)}
exact_coin = np.exp(-coin_energy(z_grid) - special.betaln(heads, tails))
bell = np.exp(-((z_grid - laplace_mean) ** 2) / (2 * laplace_variance))

# %% name="langevin-and-coin" alt="Left: variance over exact against step size; it rises to 1.3 with all data and above 4 with mini-batches at step 1. Right: skewed coin posterior, HMC histogram on it, Laplace bell too far right."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.3))
for (name, curve), colour in zip(heated.items(), (orange, blue), strict=True):
    axes[0].plot(fine, curve, color=colour, label=name + " (4.2)")
    axes[0].plot(sizes, ratios[name], "o", color=colour)
label(axes[0], "Langevin: variance / exact", r"step size $\eta A$", "ratio")
axes[1].hist(coin_chain.ravel(), 80, density=True, color=grey, alpha=0.4, label="HMC")
axes[1].plot(z_grid, exact_coin, color=ink, lw=1, label="exact")
bell = bell / np.sqrt(2 * np.pi * laplace_variance)
axes[1].plot(z_grid, bell, color=purple, ls="--", label="Laplace")
label(axes[1], "Posterior of the coin", r"$z = \ln \pi / (1 - \pi)$", "density")
axes[1].set_xlim(-4, 1.5)
for axis in axes:
    axis.legend(fontsize=10)
plt.show()

# %% [markdown]
# Left: at $\eta A = 1$ the walk's variance is a third too large with all data and more than four
# times the exact one with mini-batches, as (4.2) says. Right: the chain has the long left tail of
# the exact posterior. Laplace's bell sits at the maximum and cannot lean: its mean is too
# high by 0.12 and its variance too small by 13 %.
#
# Samplers do not give $\ln Z$: like contrastive divergence (B10) they know slopes and differences of the energy only. The
# annealing of [chapter 8](08_annealing.ipynb) turns samples into $\ln Z$. Laplace gives a number, a
# variational $q$ a bound. Both can be sampled, but their samples are not those of the posterior.

# %% [markdown]
# ## 5. Summary
#
# - $\nabla_x \ln p(x)$ does not contain $Z$. One integration by parts makes its matching an average over data (B11b),
#   less precise than maximum likelihood.
# - Matching the score of blurred data is denoising (B11c); for tied weights the machine behind it is an RBM.
# - A score cannot see the weights of separate hills.
# - Langevin dynamics is gradient descent plus noise, and heats by a known factor; Hamiltonian
#   dynamics conserves volume, so that $\langle e^{-\Delta \mathcal{H}} \rangle = 1$.

# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **On a Gaussian** with mean $m$ and precision matrix $P$ find $J$ of (B11b) from the data's mean $\bar x$ and
#    covariance $S$. Show that it is least at $m = \bar x$ and $P = S^{-1}$, the same answer as maximum likelihood, and that
#    $J_{\min} = -\frac12 \mathrm{tr}\, S^{-1}$. (`gaussian_j(mean, precision)` for the points
#    `draws[0].reshape(-1, 2)`; `by_library`: what `gradients.explicit_score_matching` gives with
#    $-\|x - 0.3\|^2$ plus any constant as $\ln q$; `best_precision` and `least_j`: the minimum.)
# 2. *(medium)* **A blur that joins the hills.** Blur the two hills at $d = 4$ with noise of standard deviation $\sigma$,
#    in the data and in the model. Each hill becomes wider, and nothing else changes. (`blurred_j(sigma)`: $J$ between
#    the blurred densities; `best_blur`: the $\sigma$, among `np.linspace(0, 8, 81)`, at which the wrong shares show
#    best.)
# 3. *(medium)* **Leapfrog on a spring.** For $H = z^2/2$ one step (4.3) is a matrix. Show that its determinant is 1, that
#    $z^2 (1 - \varepsilon^2/4) + r^2$ is conserved exactly, and that the orbits are bounded up to $\varepsilon = 2$ only.
#    (`leapfrog(epsilon)`: the matrix on $(z, r)$.)
# 4. *(hard)* **Laplace's next order.** Split the coin's energy into its Gaussian and the rest,
#    $H = H_q + V$, with the cubic and quartic terms in $V$, and expand
#    $-\ln \langle e^{-V} \rangle = \langle V \rangle - \frac12 \langle\!\langle V^2 \rangle\!\rangle + \dots$ (B23 of
#    chapter 32). Show that $-\langle V_4 \rangle + \frac12 \langle V_3^2 \rangle$ is the term
#    $\frac1{12}(\frac1a + \frac1b - \frac1n)$ of Stirling's formula. (`minus_v4` and
#    `half_v3_squared`: the two averages, for the coin.)
#
# The solutions are in the cells below, folded: click on one to open it.


# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. s = -P (x - m), tr grad s = -tr P: J = tr(P S P)/2 + |P (xbar - m)|^2 / 2 - tr P. The second term vanishes at
# m = xbar; the derivative in P is (P S + S P) / 2 - I = 0, so P = S^-1, and J = tr(S^-1)/2 - tr S^-1.
def gaussian_j(mean, precision):
    points = draws[0].reshape(-1, 2)
    spread, shift = np.cov(points.T, bias=True), precision @ (points.mean(0) - mean)
    return np.trace(precision @ spread @ precision) / 2 + shift @ shift / 2 - np.trace(precision)


by_library = gradients.explicit_score_matching(  # 42 stands for an unknown -ln Z
    lambda x: 42 - tf.reduce_sum((x - 0.3) ** 2, -1), tf.constant(draws[0].reshape(-1, 2))
)
best_precision = np.linalg.inv(np.cov(draws[0].reshape(-1, 2).T, bias=True))
least_j = gaussian_j(draws[0].reshape(-1, 2).mean(0), best_precision)
check(gaussian_j(np.full(2, 0.3), 2 * np.eye(2)), np.mean(by_library))
check(least_j, -np.trace(best_precision) / 2)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. Hills of variance 1 + sigma^2 at +-d are those of variance 1 at +-d / w, w^2 = 1 + sigma^2, on a stretched axis:
# scores shrink by w, J by w^2.
def blurred_j(sigma, distance=4):
    width = np.sqrt(1 + sigma**2)
    (p_hills, s_p), (_, s_q) = (two_hills(distance / width, share) for share in (0.5, 0.9))
    return integrate.simpson(p_hills * (s_p - s_q) ** 2, x=wide_grid) / 2 / width**2


blurs = np.linspace(0, 8, 81)
best_blur = blurs[np.argmax([blurred_j(sigma) for sigma in blurs])]
check(blurred_j(0.0), fisher[-1])
check([blurred_j(best_blur), best_blur], [0.0259495, 2.0], tolerance=1e-5)
print(
    f"2. J at d = 4: {fisher[-1]:.6f} without blur, {blurred_j(best_blur):.4f} at {best_blur:.1f}"
)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. Shears of (z, r): half a kick K, a drift D, half a kick, each of determinant 1. With c = 1 - e^2/2 the product is
# [[c, e], [-e (1 - e^2/4), c]]. Its trace 2c is below 2 in size for e < 2: a rotation of an ellipse, which is the
# conserved form. Beyond, one eigenvalue exceeds 1.
def leapfrog(epsilon):
    kick, drift = np.array([[1, 0], [-epsilon / 2, 1]]), np.array([[1, epsilon], [0, 1]])
    return kick @ drift @ kick


check(leapfrog(1.5).T @ np.diag([0.4375, 1]) @ leapfrog(1.5), np.diag([0.4375, 1]))
check([np.linalg.det(leapfrog(e)) for e in (0.1, 1.9, 2.5)], 1.0)
check(np.abs(np.linalg.eigvals(leapfrog(1.9))).max(), 1.0)
assert np.abs(np.linalg.eigvals(leapfrog(2.1))).max() > 1.8
print("3. largest eigenvalue at step 2.1:", np.abs(np.linalg.eigvals(leapfrog(2.1))).max().round(3))

# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. With p = a/n and v = p (1 - p): H'' = n v, H''' = n v (1 - 2 p), H'''' = n v (1 - 6 v). In the
# Gaussian <z^4> = 3 / H''^2 and <z^6> = 15 / H''^3, so -<V4> = -H'''' / (8 H''^2) and <V3^2> / 2 =
# 5 H'''^2 / (24 H''^3). The sum is (1 - v) / (12 n v), and 1 / (n v) = 1/a + 1/b.
n, p = heads + tails, heads / (heads + tails)
v = p * (1 - p)
third, fourth = n * v * (1 - 2 * p), n * v * (1 - 6 * v)
minus_v4 = -fourth / (8 * (n * v) ** 2)
half_v3_squared = 5 * third**2 / (24 * (n * v) ** 3)
check([minus_v4, half_v3_squared], [1 / 144, 5 / 216])
check(minus_v4 + half_v3_squared, (1 / heads + 1 / tails - 1 / (heads + tails)) / 12)
correction = minus_v4 + half_v3_squared
error = laplace(heads, tails) + correction - special.betaln(heads, tails)
print(f"4. correction {correction:+.6f} nats; left after it {error:+.6f} nats")
