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
# # Chapter 7: A variational autoencoder in Keras
#
# A variational autoencoder (VAE) is often introduced as an autoencoder with noise in the middle and
# a penalty in the loss. The blog post that this course follows, Charles Martin's *Free Energies and
# Variational Inference*, ends with such a program in Keras. This chapter takes it apart and shows
# that each of its lines is an equation: the noise is an average over a trial distribution, the
# penalty is a free energy of that distribution, and their sum is a bound on $\ln p(x)$. Every
# equation meets an exact answer. For a linear decoder all integrals are Gaussian, and for the
# digits the model has two latent variables, so that the integral "nobody can do" is done on a grid.
#
# **What you will do**
#
# - find the best mean-field posterior of a linear model by hand, and measure what it costs;
# - derive the KL term and the reparameterisation, and write both in Keras;
# - build the post's model in fifteen lines, and show that the library's two models are the same;
# - watch it learn handwritten digits, and draw the post's pictures: latent plane, manifold, samples;
# - compute the exact $\ln p(x)$ of the trained model, and see what the ELBO misses, image by image;
# - commit the classic slips of Keras VAEs on purpose, and read off what each costs, in nats.
#
# **What you will learn**
#
# - what mean field means for a VAE (B29), and what it cannot represent;
# - where the KL (B30), the Lambda layer (B31) and the loss (B32) come from;
# - what log-weights are (B18), and how ELBO, IWAE and a cumulant correction use the same ones
#   (B25);
# - what a deterministic autoencoder has to do with temperature zero (B32);
# - how much a better posterior could gain, and how much it could not.
#
# **What you need**: Gaussian integrals, the Kullback-Leibler divergence, and some Keras, with this
# project installed. The bound itself is derived in chapter 6 and recalled here in a few lines.
#
# **Time**: about two hours and 40 minutes, and two hours for the exercises. The code takes under a minute,
# and another one or two where it trains its six models anew.
# It runs on MNIST as well, with another word in the parameters cell. For MNIST no weights are shipped: all models
# are trained in front of you, which takes many times as long. The text quotes the digits' numbers.
#
# Equation numbers such as (B30) are the row names used in the whole course, in the library's
# docstrings and in the table `EQUATIONS.md`. Numbers such as (2.1) are steps on the way. Energies
# and log-likelihoods are in nats.

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
import tensorflow as tf
from keras import ops
from scipy import integrate, optimize, special, stats
from tensorflow_probability import distributions as tfd

from rbm_tf import datasets, plotting
from rbm_tf.course import trained
from vae_keras import NegativeLogLikelihood, evidence, lambda_vae, layers, networks, parts
from vae_keras.vae import VAE

# %%
seed = 0
dataset = "digits"  # 8 x 8 pixels; or "mnist"
num_epochs, batch_size = {"digits": (150, 50), "mnist": (20, 100)}[dataset]
num_test, grid_points = {"digits": (360, 193), "mnist": (60, 321)}[dataset]  # for exact ln p(x)
latent_dim, hidden_units = 2, 256
num_samples = 100  # log-weights of each image
noise_scale, overlap = 0.5, 0.9  # of the linear model in section 2
grid_edge = 6.0  # of the latent plane in section 9
num_many = 100_000  # samples in statistical checks
retrain = bool(os.environ.get("RETRAIN"))  # True: train all models here, a minute or two
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 64}])


# %%
def check(left, right, tolerance=1e-10):
    """Raise unless both are equal to the tolerance, relative above 1, absolute below."""
    np.testing.assert_allclose(*np.broadcast_arrays(left, right), rtol=tolerance, atol=tolerance)


def label(axis, title, xlabel, ylabel):
    axis.set(title=title, xlabel=xlabel, ylabel=ylabel)


def mean_and_error(values):
    """The mean over axis 0 and its standard error."""
    return np.mean(values, axis=0), np.std(values, axis=0, ddof=1) / np.sqrt(len(values))


# %% [markdown]
# ## 1. Four choices on the way to a program
#
# A VAE describes how an image comes about. First it draws a few *latent variables* from the prior
# $p(z) = N(0, I)$; then it draws the pixels from $p(x|z)$, whose parameters a neural network, the
# *decoder*, computes from $z$. In the language of the previous chapters this is a system with the
# energy
#
# $$E(x, z) = -\ln p(x, z) = -\ln p(x|z) - \ln p(z) . \tag{1.1}$$
#
# The latent variables play the part of an RBM's hidden units, and an image again has a clamped free
# energy:
#
# $$p(x) = \int\! dz\; e^{-E(x, z)} , \qquad F_c(x) = -\ln \int\! dz\; e^{-E(x, z)} = -\ln p(x) . \tag{1.2}$$
#
# Compare $\ln p(v) = -F_c(v) + F_{\rm eq}$ (B5). The second term is gone: (1.1) is normalised from
# the start, $Z = 1$, and so $F_{\rm eq} = -\ln Z = 0$. A VAE needs no negative phase. The price is
# in the first term. An RBM's energy is linear in each hidden unit, so that its $F_c$ is a linear
# term minus a sum of softplus functions; the energy (1.1) contains a whole network, and its integral
# has no closed form.
#
# So bound it. Whatever $z$ is, $\ln p(x) = \ln p(x, z) - \ln p(z|x)$. Average this over any
# distribution $q(z|x)$, and add and subtract $\langle \ln q \rangle_q$:
#
# $$\ln p(x) = \underbrace{\big\langle \ln p(x, z) - \ln q(z|x) \big\rangle_q}_{\text{ELBO}}
#   {} + \underbrace{\Big\langle \ln \frac{q(z|x)}{p(z|x)} \Big\rangle_q}_{
#     \mathrm{KL}(q(z|x) \| p(z|x)) \;\ge\; 0} . \tag{1.3}$$
#
# The first bracket is the *evidence lower bound*. Its negative is expected energy minus entropy
# (B15), the variational free energy of chapter 6:
#
# $$\boxed{\; -\text{ELBO} = \langle E(x, z) \rangle_q - S(q) = \big\langle -\ln p(x|z) \big\rangle_q
#   {} + \mathrm{KL}\big( q(z|x) \,\|\, p(z) \big) \;\ge\; -\ln p(x) \;} \tag{B14}$$
#
# The last form splits the energy by (1.1) and joins $-\ln p(z)$ with the entropy. That is all the
# theory of a VAE. To make a program of it takes four choices, and each is a line of Keras:
#
# | choice | row | in Keras |
# |:--|:--|:--|
# | $q(z \mid x)$: independent Gaussians, from a network, the *encoder* | B29 | two `Dense` layers |
# | the KL term in closed form | B30 | one line of arithmetic |
# | the average over $q$ by drawing noise, so that gradients pass | B31 | a `Lambda` layer |
# | pixels summed, examples averaged | B32 | the loss given to `compile` |
#
# Sections 2 to 6 take them in turn. Here are the data: pixels drawn once from the grey levels, 0 or
# 1.

# %% name="training-images" alt="A row of twenty training images: handwritten digits, 8 by 8 pixels, each pixel black or white."
(x_train, _), (x_test, y_test) = datasets.LOADERS[dataset]("bernoulli", seed=seed)
x_test, y_test = x_test[:num_test], y_test[:num_test]
image_shape = x_train.shape[1:]
num_pixels = int(np.prod(image_shape))
figure, axis = plt.subplots(figsize=(9, 1.3))
plotting.image_grid(axis, x_train[:20], columns=20)
axis.set_title(f"Twenty of {len(x_train)} training images, {num_pixels} pixels each")
plt.show()

# %% [markdown]
# ## 2. Mean field, and what it cannot say
#
# The first choice is called *mean field*, because it is the one of chapter 4: a distribution
# without correlations. For each image, the latent variables are independent,
#
# $$\boxed{\; q(z|x) = \prod_{j=1}^{J} N\big( z_j;\, \mu_j(x),\, \sigma_j^2(x) \big) \;} \tag{B29}$$
#
# and the encoder computes the means $\mu_j$ and log-variances $\ln \sigma_j^2$ from $x$.
# Logarithms, because a network's output may have any sign, and $e^{\ln \sigma^2}$ is positive. The
# factors need not be Gaussians: a switch would be a Bernoulli variable and a class label a
# categorical one, with the same product over $j$. (The library has `BernoulliSampling` and
# `CategoricalSampling`, with the KL layers that go with them. Discrete noise lets no gradient
# through, so it is relaxed to a continuous one: chapter 8.)
#
# As an energy, $H_q = -\ln q$ is quadratic in $z$ and couples no two latent variables:
#
# $$H_q(x, z) = \sum_j \left[ \frac{(z_j - \mu_j(x))^2}{2 \sigma_j^2(x)}
#   {} + \tfrac12 \ln 2 \pi \sigma_j^2(x) \right] . \tag{2.1}$$
#
# The post compares it with the quadratic energy of an RBM, and the comparison is a good one if
# taken with care. Given the visible units, an RBM's hidden units are independent as well (chapter
# 2): there mean field is *exact*. In a VAE it is an approximation, since the true $H = E(x, z)$
# does couple the latent variables. And while $z$ enters (2.1) as simply as can be, $x$ enters
# through a network.
#
# **An exact case.** Let the decoder be linear, and the noise Gaussian:
#
# $$x = W z + b + s\, n , \qquad z \sim N(0, I), \quad n \sim N(0, I) . \tag{2.2}$$
#
# This is probabilistic principal component analysis (Tipping and Bishop 1999), and all of it can be
# done by hand. A sum of independent Gaussians is Gaussian, so $p(x) = N(b,\; W W^T + s^2 I)$. For
# the posterior, collect the powers of $z$ in the energy, with $y = x - b$:
#
# $$E(x, z) = \frac{|z|^2}{2} + \frac{|y - W z|^2}{2 s^2} + \text{const}
#   = \tfrac12 z^T \Lambda z - z^T \frac{W^T y}{s^2} + \text{const}, \qquad
#   \Lambda = I + \frac{W^T W}{s^2} . \tag{2.3}$$
#
# Complete the square: $E = \frac12 (z - m)^T \Lambda (z - m) + \text{const}$ with
# $\Lambda m = W^T y / s^2$. So the exact posterior is the Gaussian with mean $m$ and precision
# matrix (inverse covariance) $\Lambda$,
#
# $$p(z|x) = N(m, \Lambda^{-1}), \qquad m = \Lambda^{-1} W^T (x - b) / s^2 . \tag{2.4}$$
#
# $\Lambda$ is diagonal only if the columns of $W$ are orthogonal. If two columns overlap, both
# latent variables explain the same pixels: once one of them has done it, the other need not. This
# *explaining away* makes them anticorrelated given $x$, though they are independent in the prior.
#
# **The best mean field.** Take $q$ with means $\mu$ and variances $\sigma_j^2$. Under it $\langle
# (z_i - m_i)(z_j - m_j) \rangle = (\mu_i - m_i)(\mu_j - m_j) + \delta_{ij} \sigma_j^2$, and hence
#
# $$\begin{aligned}
# \mathrm{KL}(q \| p) &= \langle \ln q \rangle_q - \langle \ln p \rangle_q \\
# &= -\tfrac12 \sum_j (1 + \ln 2 \pi \sigma_j^2) + \tfrac12 \Big[ J \ln 2 \pi - \ln \det \Lambda
#    {} + \sum_j \Lambda_{jj} \sigma_j^2 + (\mu - m)^T \Lambda (\mu - m) \Big] .
# \end{aligned} \tag{2.5}$$
#
# The last term is smallest, 0, for $\mu = m$: mean field finds the mean. The derivative with
# respect to $\sigma_j^2$ is $\frac12 (\Lambda_{jj} - 1 / \sigma_j^2)$, which vanishes at
#
# $$\sigma_j^2 = \frac{1}{\Lambda_{jj}} , \qquad
#   \text{gap} = \ln p(x) - \text{ELBO} = \tfrac12 \Big[ \sum_j \ln \Lambda_{jj} - \ln \det \Lambda \Big] . \tag{2.6}$$
#
# With two latent variables, $\det \Lambda = \Lambda_{11} \Lambda_{22} (1 - r^2)$ where $r =
# \Lambda_{12} / \sqrt{\Lambda_{11} \Lambda_{22}}$; the posterior's correlation is $-r$. So
#
# $$\text{gap} = -\tfrac12 \ln (1 - r^2) , \qquad
#   \sigma_j^2 = (1 - r^2)\, (\Lambda^{-1})_{jj} . \tag{2.7}$$
#
# The gap depends on nothing but the correlation. And the variances are *too small*:
# $(\Lambda^{-1})_{jj}$ is how uncertain $z_j$ is, $1/\Lambda_{jj}$ how uncertain it would be if the
# others were known. A mean-field posterior cannot lie along a diagonal ridge, and since whatever
# $q$ has beside the ridge is punished by the logarithm in $\mathrm{KL}(q \| p)$, it shrinks: it
# ends up much too short along the ridge and only a little too wide across it.
#
# **Check against the exact result**: $\ln p(x)$ from $N(b, W W^T + s^2 I)$ against the energy at
# any $z$; (2.5) against TFP; the optimum (2.6) against a numerical minimiser.


# %%
def linear_model(overlap):
    """Loadings W (5, 2) whose two columns, of length 1, have the scalar product `overlap`."""
    axes = np.linalg.qr(np.random.default_rng(seed).normal(size=(5, 2)))[0]
    return axes @ np.array([[1.0, overlap], [0.0, np.sqrt(1 - overlap**2)]])


def posterior(loadings, x):
    """Precision and mean of p(z|x), (2.3) and (2.4)."""
    precision = np.eye(2) + loadings.T @ loadings / noise_scale**2
    return precision, np.linalg.solve(precision, loadings.T @ (x - offset).T / noise_scale**2).T


# %% name="linear-gap"
W, offset = linear_model(overlap), np.linspace(-1, 1, 5)
marginal = stats.multivariate_normal(offset, W @ W.T + noise_scale**2 * np.eye(5))
x_linear = marginal.rvs(size=30, random_state=seed)  # (30, 5)
precision, posterior_mean = posterior(W, x_linear)
r = precision[0, 1] / np.sqrt(precision[0, 0] * precision[1, 1])
gap = -0.5 * np.log(1 - r**2)  # (2.7)
print(f"posterior correlation {-r:.4f}, gap of the best mean field {gap:.4f} nats")

# %%
exact_posterior = tfd.MultivariateNormalTriL(
    posterior_mean[0], np.linalg.cholesky(np.linalg.inv(precision))
)
z = np.random.default_rng(seed).normal(size=2)  # any z will do
joint = stats.norm.logpdf(z).sum()
joint += stats.norm.logpdf(x_linear[0], W @ z + offset, noise_scale).sum()
check(joint - exact_posterior.log_prob(z), marginal.logpdf(x_linear[0]))  # (2.2) to (2.4)


def divergence(parameters):
    """KL(q || p) of the first example (2.5), nats; parameters: means and log-variances, (4,)."""
    difference, variance = parameters[:2] - posterior_mean[0], np.exp(parameters[2:])
    quadratic = np.diag(precision) @ variance + difference @ precision @ difference
    return 0.5 * (quadratic - np.log(variance).sum() - 2 - np.linalg.slogdet(precision)[1])


# %% name="best-variances"
start = np.array([0.3, -0.2, -1.0, 0.5])
trial = tfd.MultivariateNormalDiag(start[:2], np.exp(start[2:] / 2))
check(divergence(start), tfd.kl_divergence(trial, exact_posterior))  # (2.5)
best = optimize.minimize(divergence, start, tol=1e-10)
check(best.x[:2], posterior_mean[0], tolerance=1e-5)  # mean field finds the mean
check(np.exp(best.x[2:]), 1 / np.diag(precision), tolerance=1e-5)  # (2.6)
check(best.fun, gap, tolerance=1e-8)  # (2.7)
true_variance = np.diag(np.linalg.inv(precision))
print("best variances:", np.exp(best.x[2:]).round(5), " exact:", true_variance.round(5))

# %% name="mean-field-ridge" alt="Left: contours of a posterior along a diagonal ridge, and of the best mean field, a circle inside it, too short along the ridge. Right: the gap rises with the correlation, without bound near 1."
figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.8))
side = np.linspace(-2.1, 2.1, 121)
plane = np.stack(np.meshgrid(side, side), axis=-1)  # (121, 121, 2), z - m
levels = np.exp([-4.5, -2, -0.5])  # at 3, 2 and 1 standard deviations
ridge = np.exp(-0.5 * np.einsum("...i,ij,...j", plane, precision, plane))
product = np.exp(-0.5 * (plane**2 @ np.diag(precision)))
axes[0].contour(side, side, ridge, levels, colors=blue)
axes[0].contour(side, side, product, levels, colors=orange, linestyles="--")
axes[0].set(aspect="equal", title="Exact posterior (blue), best mean field (orange)")
axes[0].set(xlabel="$z_1 - m_1$", ylabel="$z_2 - m_2$")
axes[1].plot(x := np.linspace(0, 0.999, 300), -0.5 * np.log(1 - x**2), color=orange)
axes[1].plot(abs(r), gap, "o", color="black", label="the model on the left")
label(axes[1], "The price of independence", "$|r|$", "$\\ln p(x) -$ ELBO (nats)")
axes[1].legend()
plt.show()

# %% [markdown]
# The picture shows both facts: the orange ellipses have the right centre and no tilt, and leave out
# the two ends of the blue ones. The gap is small for moderate correlations, and grows without limit
# as $|r| \to 1$.
#
# ## 3. The KL term in closed form
#
# The regulariser in (B14) is a difference of two averages over one and the same $q$. Take a single
# latent variable first, $q = N(\mu, \sigma^2)$ and $p = N(0, 1)$. Under $q$,
# $\langle (z - \mu)^2 \rangle = \sigma^2$ and $\langle z^2 \rangle = \mu^2 + \sigma^2$. So minus
# the entropy is
#
# $$\langle \ln q \rangle_q = -\tfrac12 \ln 2 \pi \sigma^2
#   {} - \frac{\langle (z - \mu)^2 \rangle_q}{2 \sigma^2} = -\tfrac12 \big( \ln 2 \pi + \ln \sigma^2 + 1 \big) ,
#   \tag{3.1}$$
#
# and minus the expected energy of the prior is
#
# $$\langle \ln p \rangle_q = -\tfrac12 \ln 2 \pi - \tfrac12 \langle z^2 \rangle_q
#   = -\tfrac12 \big( \ln 2 \pi + \mu^2 + \sigma^2 \big) . \tag{3.2}$$
#
# Subtract; $\ln 2 \pi$ cancels. With many latent variables both $\ln q$ and $\ln p$ are sums over
# $j$, because both densities are products, and each term is averaged over its own factor. So the KL
# is a *sum* over the latent variables:
#
# $$\boxed{\; \mathrm{KL}\big( q(z|x) \,\|\, N(0, I) \big)
#   = -\tfrac12 \sum_{j=1}^J \big( 1 + \ln \sigma_j^2 - \mu_j^2 - \sigma_j^2 \big) \;} \tag{B30}$$
#
# Here is where mean field pays: without the product the same integral would need the determinant of
# a covariance matrix, and for most other distributions there is no closed form at all.
#
# A remark on the post, which says that the mean and variance in this formula are mini-batch
# estimates. They are not statistics of the batch. Each example has its own $\mu_j(x)$ and
# $\sigma_j^2(x)$, which are outputs of the encoder, and (B30) is exact for each of them. What a
# batch estimates is the average of (B30) over the data.
#
# **Check against the exact result**: the definition $\int q \ln (q / p)\, dz$ by numerical
# integration, then (B30) by hand, the layer `GaussianKL`, and TFP, for five examples with three
# latent variables.


# %%
def kl_by_hand(mean, log_var):
    """KL(q || N(0, I)) of each example (B30), nats."""
    return -0.5 * np.sum(1 + log_var - mean**2 - np.exp(log_var), axis=-1)


def integrand(z, mean, log_var):
    log_q = stats.norm.logpdf(z, mean, np.exp(log_var / 2))
    return np.exp(log_q) * (log_q - stats.norm.logpdf(z))


# %%
for mean, log_var in ((0.0, 0.0), (1.5, -2.0), (-0.3, 1.0)):
    integral = integrate.quad(integrand, -12, 12, args=(mean, log_var), epsabs=1e-12)[0]
    check(kl_by_hand(np.array([mean]), np.array([log_var])), integral, tolerance=1e-8)
    print(f"mean {mean:4.1f}, log-variance {log_var:4.1f}: KL = {integral:.6f} nats")
means, log_vars = np.random.default_rng(seed).normal(size=(2, 5, 3)).astype("float32")
by_tfp = tfd.MultivariateNormalDiag(means, np.exp(log_vars / 2)).kl_divergence(
    tfd.MultivariateNormalDiag(tf.zeros(3))
)
check(kl_by_hand(means, log_vars), by_tfp, tolerance=1e-5)
check(layers.GaussianKL()((means, log_vars)), by_tfp, tolerance=1e-5)

# %% name="kl-curves" alt="Left: KL against sigma for three means; each curve has its minimum at sigma = 1, 0 only for mean 0. Right, mean 0: the rising energy and the falling minus entropy add to the KL."
figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.3))
width = np.linspace(0.05, 3, 200)
for mean, colour in ((0, blue), (1, orange), (2, green)):
    curve = kl_by_hand(np.full((200, 1), mean), 2 * np.log(width)[:, np.newaxis])
    axes[0].plot(width, curve, color=colour, label=rf"$\mu$ = {mean}")
label(axes[0], "One latent variable", r"$\sigma$", "KL (nats)")
axes[0].legend()
axes[1].plot(width, 0.5 * width**2 - 0.5, color=purple, label=r"energy $\frac{1}{2}(\sigma^2 - 1)$")
axes[1].plot(width, -np.log(width), color=grey, label=r"minus entropy $-\ln\sigma$")
axes[1].plot(width, kl_by_hand(np.zeros((200, 1)), 2 * np.log(width)[:, None]), color=blue, lw=2.5)
axes[1].plot([], [], color=blue, lw=2.5, label="KL, their sum")
label(axes[1], r"Energy against entropy, $\mu = 0$", r"$\sigma$", "nats")
axes[1].legend()
plt.show()

# %% [markdown]
# Left: the KL vanishes at $\mu = 0$, $\sigma = 1$ only, where $q$ says nothing that the prior did
# not. Precision costs: where $\sigma$ is small, every further factor of $e$ in $1/\sigma$ is one
# nat more. Right: as in any free energy, the prior's energy would like $\sigma = 0$, the entropy
# $\sigma = \infty$.
#
# ## 4. The reparameterisation
#
# The other term of (B14), $\langle -\ln p(x|z) \rangle_q$, is an integral over a network. Estimate
# it by drawing $z$ from $q$; one draw is unbiased. But how does the gradient get through? Once a
# number is drawn, it is a number: nothing says how it would have changed with $\mu$ and $\sigma$.
#
# The way out is to draw something that does not depend on the parameters, and then to compute $z$.
# If $\epsilon \sim N(0, 1)$, then $\mu + \sigma \epsilon$ is a Gaussian (a linear function of one)
# with mean $\mu$ and variance $\sigma^2$. So
#
# $$\boxed{\; z = \mu(x) + \sigma(x)\, \epsilon , \qquad \epsilon \sim N(0, I) \;} \qquad
#   \langle f(z) \rangle_q = \big\langle f(\mu + \sigma \epsilon) \big\rangle_\epsilon . \tag{B31}$$
#
# On the right the average is over a fixed distribution, and the derivative may be taken inside.
# With $\sigma = e^{\frac12 \ln \sigma^2}$,
#
# $$\frac{\partial}{\partial \mu} \langle f \rangle_q = \big\langle f'(z) \big\rangle , \qquad
#   \frac{\partial}{\partial \ln \sigma^2} \langle f \rangle_q
#   = \Big\langle f'(z)\, \frac{\partial z}{\partial \ln \sigma^2} \Big\rangle
#   = \big\langle f'(z)\, \tfrac12 \sigma \epsilon \big\rangle . \tag{4.1}$$
#
# One draw gives an unbiased estimate of the gradient as well, and for a network $f'$ is what
# backpropagation computes. The variance of this estimate, and of the rival that works without $f'$,
# is the subject of chapter 8 (B17).
#
# **Check against the exact result** with $f = z^4$, whose mean is
# $\mu^4 + 6 \mu^2 \sigma^2 + 3 \sigma^4$. Its derivatives are $4 \mu^3 + 12 \mu \sigma^2$ and,
# since $\partial / \partial \ln \sigma^2 = \sigma^2\, \partial / \partial \sigma^2$,
# $6 \mu^2 \sigma^2 + 6 \sigma^4$.

# %% name="gradient-of-a-path"
mu, log_variance = 0.7, -0.4
variance = np.exp(log_variance)
exact = np.array([4 * mu**3 + 12 * mu * variance, 6 * mu**2 * variance + 6 * variance**2])
eps = tf.constant(np.random.default_rng(seed).normal(size=num_many))
mean, log_var = tf.fill(num_many, tf.constant(mu, tf.float64)), tf.fill(num_many, log_variance)
log_var = tf.cast(log_var, tf.float64)
with tf.GradientTape() as tape:
    tape.watch([mean, log_var])
    f = (mean + tf.exp(log_var / 2) * eps) ** 4  # (B31)
gradients = np.transpose(tape.gradient(f, [mean, log_var]))  # of each draw, (num_many, 2)
average, error = mean_and_error(gradients)
print("exact gradient:", exact.round(4), " mean over draws:", average.round(4), end=" ")
print("standard errors:", error.round(4))
assert np.all(np.abs(average - exact) < 5 * error)  # (4.1)

# %% name="no-gradient"
with tf.GradientTape() as tape:
    tape.watch(mean)
    drawn = np.random.default_rng(seed).normal(mean, np.exp(log_var / 2))  # the same numbers
    f = tf.reduce_sum(tf.constant(drawn) ** 4)
print("gradient through a plain draw:", tape.gradient(f, mean))

# %% [markdown]
# Both cells drew the same numbers $z$. In the second one, the tape has not seen where they came
# from.
#
# ## 5. The Lambda layer
#
# In Keras a model is made of layers. A `Lambda` layer makes a layer of any function, as long as the
# function has no weights of its own. The post puts (B31) into one, and here it is in today's Keras.


# %% name="lambda-layer"
@keras.saving.register_keras_serializable(package="chapter07")
def sample(mean_and_log_var, seed):
    """z = mean + sigma eps with fresh noise (B31)."""
    mean, log_var = mean_and_log_var
    eps = keras.random.normal(ops.shape(mean), seed=seed)
    return mean + ops.exp(log_var / 2) * eps


def sampling_layer(function=sample, latent_dim=latent_dim):
    noise = {"seed": keras.random.SeedGenerator(seed)}
    return keras.layers.Lambda(function, output_shape=(latent_dim,), arguments=noise)


# %% [markdown]
# Three details matter, and older programs have none of them.
#
# - **The seed generator.** `keras.random.normal` is a pure function: the same integer seed gives
#   the same numbers, on every call. A `SeedGenerator` is a counter: each call gets a seed of its
#   own, and the whole sequence is reproducible. It is a variable that Keras tracks, which is what
#   lets the noise change inside a compiled training step, on TensorFlow, JAX and PyTorch alike.
# - **A function with a name, registered.** A saved model holds the layer's function. An anonymous
#   `lambda` can only be saved as bytecode, and Keras refuses to load that unless it is told to
#   trust the file, because bytecode can do anything. A registered function is saved as a name.
# - **The output's shape** is stated, since a function says nothing about it before it has run.
#
# **Check**: our layer draws the same numbers as the library's `GaussianSampling`; they have the
# mean and variance that (B31) promises; an integer seed repeats itself; the registered function can
# be rebuilt from its saved configuration, and the anonymous one cannot.

# %%
pair = ops.convert_to_tensor(means), ops.convert_to_tensor(log_vars)  # three latent variables
ours, library = sampling_layer(latent_dim=3), layers.GaussianSampling(seed=seed)
for _ in range(3):
    check(ours(pair), library(pair), tolerance=1e-6)
check(sample(pair, seed=7), sample(pair, seed=7))  # an integer: the same noise again
generator = keras.random.SeedGenerator(seed)
assert not np.allclose(sample(pair, generator), sample(pair, generator))
check(sample(pair, seed=7), lambda_vae.sample_gaussian(pair, seed=7))  # the library's

# %%
many = sample([ops.repeat(x[:1], num_many, axis=0) for x in pair], seed=generator).numpy()
average, error = mean_and_error(many)
assert np.all(np.abs(average - means[0]) < 5 * error)
relative = many.var(axis=0) / np.exp(log_vars[0]) - 1
assert np.all(np.abs(relative) < 5 * np.sqrt(2 / num_many))
print("mean", average.round(3), "expected", means[0].round(3))

# %%
again = keras.layers.Lambda.from_config(ours.get_config())
fresh = sampling_layer(latent_dim=3)
check(again(pair), fresh(pair))  # the copy starts its sequence from the seed
anonymous = sampling_layer(lambda pair, seed: sample(pair, seed), latent_dim=3)
try:
    keras.layers.Lambda.from_config(anonymous.get_config())
except ValueError as error:
    print("refused:", str(error)[:88], "...")
else:
    raise AssertionError("the anonymous function was loaded")

# %% [markdown]
# **Does the noise slow training down?** The post worries about drawing random numbers in every
# batch. A count says no: each image needs as many normal numbers as it has latent variables, two,
# while its way through encoder and decoder takes tens of thousands of multiplications (section 6
# prints how many weights there are).
#
# A `Lambda` layer is fine for a first look. For use, a layer with a name is better:
# `GaussianSampling` keeps its place in the random sequence when the model is saved, knows its
# output's shape, and computes in float32 even under mixed precision: in float16
# $e^{\frac12 \ln \sigma^2}$ can overflow.
#
# ## 6. The loss, and one model in three forms
#
# The pixels are binary, so the decoder gives each of them a probability $y_i(z) =
# \mathrm{sigm}(\ell_i)$, where the *logit* $\ell_i$ is the decoder's plain output and
# $\mathrm{sigm}(\ell) = 1 / (1 + e^{-\ell})$. Given $z$ the pixels are independent:
#
# $$-\ln p(x|z) = -\sum_{i=1}^{D} \big[ x_i \ln y_i + (1 - x_i) \ln (1 - y_i) \big] . \tag{6.1}$$
#
# Use $1 - \mathrm{sigm}(\ell) = \mathrm{sigm}(-\ell)$ and $-\ln \mathrm{sigm}(-\ell) =
# \ln (1 + e^{\ell}) = \mathrm{softplus}(\ell)$, hence $-\ln \mathrm{sigm}(\ell) =
# \mathrm{softplus}(-\ell) = \mathrm{softplus}(\ell) - \ell$. Then
#
# $$-\ln p(x|z) = \sum_i \big[ x_i\, ( \mathrm{softplus}(\ell_i) - \ell_i )
#   {} + (1 - x_i)\, \mathrm{softplus}(\ell_i) \big]
#   = \sum_i \big[ \mathrm{softplus}(\ell_i) - x_i \ell_i \big] . \tag{6.2}$$
#
# No logarithm of a small number is left. The sum over pixels comes from the product of their
# probabilities; there is no freedom to average instead. The average is over *examples*: the
# objective is the mean of $-$ELBO over the data, a batch of $L$ of them estimates it without bias,
# and so does one draw of $\epsilon$ for each. With (B30) and (B31),
#
# $$\boxed{\; \mathcal{L} = \frac1L \sum_{l=1}^{L} \Big[ -\ln p\big( x^{(l)} \big| z^{(l)} \big)
#   {} + \mathrm{KL}\big( q(z|x^{(l)}) \,\|\, N(0, I) \big) \Big] , \qquad
#   z^{(l)} = \mu(x^{(l)}) + \sigma(x^{(l)})\, \epsilon^{(l)} \;} \tag{B32}$$
#
# which is the post's loss. Its two halves enter the program in two places: the cross-entropy (6.2)
# compares the model's output with its input, so it is a Keras loss; the KL needs the middle of the
# network, so a layer adds it on the way.


# %%
class AddGaussianKL(keras.layers.Layer):
    """Adds the batch mean of (B30) to the model's loss; passes its input on."""

    def __init__(self, reduce=ops.sum):  # over latent variables
        super().__init__()
        self.reduce = reduce

    def call(self, mean_and_log_var):
        mean, log_var = mean_and_log_var
        terms = -0.5 * (1 + log_var - ops.square(mean) - ops.exp(log_var))  # (B30)
        self.add_loss(ops.mean(self.reduce(terms, axis=-1)))
        return mean_and_log_var


# %% name="whole-model"
def cross_entropy(x, logits):
    """-ln p(x|z) of each image (6.2), nats; Keras averages it over the batch."""
    return ops.sum(ops.softplus(logits) - x * logits, axis=(1, 2))


def assemble(loss=cross_entropy, reduce=ops.sum, draw=sample, latent_dim=latent_dim):
    """The post's model, compiled: encoder (B29), KL (B30), Lambda (B31), decoder and loss (B32)."""
    keras.utils.set_random_seed(seed)  # every model starts from the same weights
    encoder = networks.dense_encoder(image_shape, latent_dim, hidden_units=(hidden_units,))
    decoder = networks.dense_decoder(image_shape, latent_dim, hidden_units=(hidden_units,))
    x = keras.Input(image_shape)
    z = sampling_layer(draw, latent_dim)(AddGaussianKL(reduce)(encoder(x)))
    model = keras.Model(x, decoder(z))
    model.compile("adam", loss, jit_compile=False, steps_per_execution=len(x_train) // batch_size)
    return model


# %% [markdown]
# That is the whole model. The library has it twice: `build_lambda_vae` in the post's form, and
# `VAE`, which takes any encoder and decoder, needs no second copy of the data in `fit`, logs both
# terms of the loss, and can do more with a trained model, as we shall see. Our two layers are
# `AddKL` and `GaussianSampling` there, and the loss (6.2) is `NegativeLogLikelihood(parts.Bernoulli())`.
#
# **Check against the exact result.** First (6.2) against TFP's Bernoulli distribution and against
# Keras's own cross-entropy, which is a *mean* over pixels and must be multiplied by their number.
# Then the three models: with equal weights and equal noise they have the same loss and the same
# gradient, as has (B32) written out by hand.

# %%
batch = x_train[:64]
hand = assemble()
logits = hand(batch)
by_tfp = -tfd.Independent(tfd.Bernoulli(logits=logits), 2).log_prob(batch)
by_keras = num_pixels * keras.losses.BinaryCrossentropy(from_logits=True)(batch, logits)
check(cross_entropy(batch, logits), by_tfp, tolerance=1e-5)
check(np.mean(by_tfp), by_keras, tolerance=1e-5)
check(NegativeLogLikelihood(parts.Bernoulli())(batch, logits), by_keras, tolerance=1e-5)
by_hand, library = AddGaussianKL(), layers.AddKL()
by_hand(pair), library(pair)
check(by_hand.losses[0], library.losses[0], tolerance=1e-6)  # (B30), batch mean
print(f"{hand.count_params()} weights, {latent_dim} normal numbers per image")
print(f"untrained: {float(by_keras):.3f} nats; all pixels 1/2: {num_pixels * np.log(2):.3f} nats")


# %%
def loss_by_hand(encoder, decoder, x):
    """(B32) in five lines."""
    mean, log_var = encoder(x)
    z = sample((mean, log_var), keras.random.SeedGenerator(seed))  # the first draw of each model
    kl = -0.5 * ops.sum(1 + log_var - ops.square(mean) - ops.exp(log_var), axis=-1)
    return ops.mean(cross_entropy(x, decoder(z)) + kl)


def loss_and_gradient(function, weights):
    with tf.GradientTape() as tape:
        loss = function()
    return loss, tape.gradient(loss, [weight.value for weight in weights])


# %%
hand = assemble()
library = lambda_vae.build_lambda_vae(
    image_shape, latent_dim=latent_dim, intermediate_dim=hidden_units, seed=seed
)
encoder, decoder = (library.get_layer(name) for name in ("encoder", "decoder"))
for part in (encoder, decoder):
    part.set_weights(hand.get_layer(part.name).get_weights())
vae = VAE(encoder, decoder, seed=seed)

# %% name="four-forms"
forms = {
    "by hand (B32)": (lambda: loss_by_hand(encoder, decoder, batch), vae),
    "fifteen lines": (lambda: hand.compute_loss(batch, batch, hand(batch)), hand),
    "build_lambda_vae": (lambda: library.compute_loss(batch, batch, library(batch)), vae),
    "VAE": (lambda: vae.compute_loss(batch), vae),
}
results = {k: loss_and_gradient(f, m.trainable_weights) for k, (f, m) in forms.items()}
for name, (loss, gradient) in results.items():
    reference, reference_gradient = results["by hand (B32)"]
    check(loss, reference, tolerance=1e-5)
    for g in zip(gradient, reference_gradient, strict=True):
        check(*g, tolerance=1e-4)
    print(f"{name:17s} loss {float(loss):.5f} nats")

# %% [markdown]
# ## 7. A VAE whose evidence is known
#
# Before training on data whose $\ln p(x)$ nobody knows, try the machinery where it is known. The
# linear model of section 2 *is* a VAE: decoder and encoder are one `Dense` layer each, without
# hidden layers, and the likelihood is Gaussian. Its encoder can be given the best mean field by
# hand: by (2.4) the mean is linear in $x$, and by (2.6) the log-variance is constant.
#
# A VAE's samples are best kept in the form of **log-weights**. With $H_q = -\ln q(z|x)$ as the
# model energy and $H = E(x, z) = -\ln p(x, z)$ as the true one, the perturbation is their
# difference,
#
# $$V = H - H_q , \qquad -V = \ln w = \ln p(x|z) + \ln p(z) - \ln q(z|x) , \qquad z \sim q(z|x) , \tag{B18}$$
#
# the logarithm of an importance weight. Since $\langle w \rangle_q = \int q\, \frac{p(x, z)}{q}\,
# dz = p(x)$, these numbers hold everything that is to be known about $\ln p(x)$. With
# $z = \mu + \sigma \epsilon$ the factors $2 \pi$ of both Gaussians cancel,
#
# $$\ln w = \ln p(x|z) + \tfrac12 \sum_j \big( \epsilon_j^2 + \ln \sigma_j^2 - z_j^2 \big) . \tag{7.1}$$
#
# The mean of $\ln w$ is the ELBO. For the linear model all the rest follows as well. Both energies
# are quadratic, their diagonal terms agree by (2.6), and the difference is the coupling alone:
#
# $$\ln w = \text{const} - \Lambda_{12} (z_1 - m_1)(z_2 - m_2) = \text{const} - r\, \epsilon_1 \epsilon_2 .
#   \tag{7.2}$$
#
# The cumulants of $\epsilon_1 \epsilon_2$ follow from two Gaussian integrals: $\langle e^{-t r
# \epsilon_1 \epsilon_2} \rangle = \langle e^{t^2 r^2 \epsilon_1^2 / 2} \rangle = (1 - t^2
# r^2)^{-1/2}$. At $t = 1$,
#
# $$\ln p(x) = \text{ELBO} - \tfrac12 \ln (1 - r^2)
#   = \text{ELBO} + \frac{r^2}{2} + \frac{r^4}{4} + \frac{r^6}{6} + \dots \tag{7.3}$$
#
# The logarithm is the gap (2.7) again, and the series is its **cumulant expansion**: $r^2 / 2$ is
# half the variance of $\ln w$, the first correction to the ELBO in
#
# $$\ln p(x) = \text{ELBO} + \tfrac12\, \mathrm{Var}_q[\ln w] + \tfrac16 \langle\!\langle (\ln w)^3
#   \rangle\!\rangle_q + \dots \tag{B25}$$
#
# where $\langle\!\langle X^3 \rangle\!\rangle = \langle (X - \langle X \rangle)^3 \rangle$ is the third
# cumulant. It is 0 for (7.2), and $r^4 / 4$ is the term of fourth order, $\kappa_4 / 4!$ with
# $\kappa_4 = 6 r^4$. Chapter 1 has the machinery, chapters 11 and 12 the theory and the practice of
# this expansion.
#
# **Check against the exact result**, with the library's `VAE` on 30 examples. Its argument `likelihood` is the
# distribution $p(x|z)$: here `parts.Gaussian`, with the noise $s$ of (2.2) as its `scale`. (Without this argument
# it is `parts.Bernoulli()`, as in section 6.) First orthogonal columns, where mean field is exact and *every*
# log-weight must be $\ln p(x)$; then the overlapping ones.


# %%
def linear_vae(loadings):
    """The model (2.2) as a `VAE` whose encoder is the best mean field, (2.4) and (2.6)."""
    precision, _ = posterior(loadings, x_linear)
    slope = loadings @ np.linalg.inv(precision) / noise_scale**2  # (5, 2)
    encoder, decoder = (
        networks.dense_encoder((5,), 2, hidden_units=()),
        networks.dense_decoder((5,), 2, hidden_units=()),
    )
    encoder.get_layer("mean").set_weights([slope, -offset @ slope])
    encoder.get_layer("log_var").set_weights([0 * slope, -np.log(np.diag(precision))])
    decoder.layers[1].set_weights([loadings.T, offset])
    return VAE(encoder, decoder, likelihood=parts.Gaussian(scale=noise_scale))


# %%
orthogonal = linear_model(0.0)
covariance = orthogonal @ orthogonal.T + noise_scale**2 * np.eye(5)
exact_orthogonal = stats.multivariate_normal(offset, covariance).logpdf(x_linear)
log_weights = linear_vae(orthogonal).log_weights(x_linear, 4, seed=seed).numpy()
print(
    f"orthogonal columns: max |ln w - ln p(x)| = {np.abs(log_weights - exact_orthogonal).max():.1e}"
)
check(log_weights, np.tile(exact_orthogonal, (4, 1)), tolerance=1e-5)

# %%
exact_linear = marginal.logpdf(x_linear)
log_weights = linear_vae(W).log_weights(x_linear, num_many, seed=seed).numpy().astype(float)
bound, error = mean_and_error(log_weights.mean(axis=1) - exact_linear.mean())
assert abs(bound + gap) < 5 * error  # ELBO = ln p(x) - gap
print(f"overlapping columns: ELBO - ln p(x) = {bound:.5f}, exact {-gap:.5f} nats")
variance = log_weights.var(axis=0, ddof=1).mean()
assert abs(variance - r**2) < 5 * np.sqrt(8 * r**4 / num_many / 30)  # Var[(e1 e2)^2] = 9 - 1
print(f"order 2: {bound + variance / 2:+.5f}, by (7.3) {-gap + r**2 / 2:+.5f} nats")

# %% [markdown]
# ## 8. Training, and the post's pictures
#
# Nothing is left but to call `fit`, with the images as input and as target. Each epoch draws new
# noise. Here are the first three epochs.

# %% name="first-epochs"
beginner = assemble()
first_losses = beginner.fit(x_train, x_train, batch_size, epochs=3, verbose=0).history["loss"]
print("loss of three epochs:", np.round(first_losses, 3), "nats")

# %% [markdown]
# The whole training takes 50 times as long, and this chapter compares six models. Their trained weights
# come with the course, and with them the loss of each epoch. The first three are those above. To train all of
# them in front of you, set `retrain = True` in the parameters cell. This overwrites the files in the folder
# `models`. On another processor training rounds differently: expect numbers a little different then from those in
# the text.


# %%
def fit(model, name):
    """Give a model its shipped weights; where there are none, or on demand, train it. Its losses."""

    def train():
        return model.fit(x_train, x_train, batch_size, num_epochs, verbose=0).history["loss"]

    return trained(model, f"07_{dataset}_{name}", train, retrain=retrain)


# %%
model = assemble()
history = fit(model, "2_latents")
check(first_losses, history[:3], tolerance=1e-3)
encoder, decoder = (model.get_layer(name) for name in ("encoder", "decoder"))
vae = VAE(encoder, decoder, seed=seed)
test_mean, test_log_var = (np.asarray(output, float) for output in vae.encode(x_test))
print(f"loss of the first epoch {history[0]:.3f}, of the last {history[-1]:.3f} nats")
print(
    f"-ELBO of the test images, 100 draws: {-np.mean(vae.elbo(x_test, num_samples=100, seed=seed)):.3f} nats"
)

# %% name="training-and-codes" alt="Left: minus ELBO over 150 epochs falls from 40 to 24 nats. Right: posterior means of the test images fill the prior circles; most digits keep to their own regions, several mix in the middle."
figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), width_ratios=[1, 1.2])
axes[0].plot(np.arange(1, num_epochs + 1), history, color=blue)
axes[0].axhline(num_pixels * np.log(2), color=grey, ls="--", label=r"all pixels $\frac{1}{2}$")
label(axes[0], "Training", "epoch", "$-$ELBO (nats)")
axes[0].legend()
plotting.scatter_by_label(axes[1], test_mean, y_test)
angle = np.linspace(0, 2 * np.pi, 200)
for radius in (1, 2):
    axes[1].plot(radius * np.cos(angle), radius * np.sin(angle), color=grey, lw=0.8)
label(axes[1], "Posterior means of test images, by digit", "$z_1$", "$z_2$")
plt.show()

# %% name="manifold-and-samples" alt="Left: a grid of images decoded from the latent plane; digits change smoothly into others. Right: grey means of generated digits, and below each row noisy black and white pixels drawn from them."
figure, axes = plt.subplots(1, 2, figsize=(9, 4.2))
quantile = stats.norm.ppf(np.linspace(0.03, 0.97, 12))
corners = np.stack(np.meshgrid(quantile, quantile[::-1]), axis=-1).reshape(-1, 2)
manifold = vae.decode(corners.astype("float32"))
plotting.image_grid(axes[0], manifold, columns=12).set_title("The latent plane, decoded")
means_drawn = vae.generate(50, seed=seed)
pixels_drawn = datasets.binarize(means_drawn, binarization="bernoulli", seed=seed)
shown = np.concatenate(  # in rows of ten: means, and pixels drawn from the same means
    [rows[i : i + 10] for i in range(0, 50, 10) for rows in (means_drawn, pixels_drawn)]
)
plotting.image_grid(axes[1], shown, columns=10)
axes[1].set_title("Mean of $p(x|z)$, and below it pixels drawn from it")
plt.show()

# %% name="reconstructions" alt="Three rows of twenty digits: black and white test images; their grey, blurred reconstructions from the mean of q; similar ones from one draw of q. Some 5s and 7s come back as another digit."
first = [np.flatnonzero(y_test == digit)[:2] for digit in range(10)]
chosen = x_test[np.concatenate(first)]
mean, log_var = vae.encode(chosen)
noisy = vae.decode(sample((mean, log_var), seed=seed))
grey_share = np.mean((means_drawn > 0.1) & (means_drawn < 0.9))
print(f"pixels with a mean between 0.1 and 0.9: {grey_share:.0%}; drawn pixels are 0 or 1")
assert grey_share > 0.2 and set(np.unique(pixels_drawn)) <= {0, 1}
figure, axis = plt.subplots(figsize=(10, 1.9))
plotting.image_grid(axis, np.concatenate([chosen, vae.reconstruct(chosen), noisy]), columns=20)
axis.set_title("Test images; reconstructed from the mean of $q$; from one draw of $q$")
plt.show()

# %% [markdown]
# The labels were never shown to the model, and yet most digits keep to regions of their own; in the
# middle, where the prior is densest, several kinds mix. The circles are the prior's 1 and 2 standard
# deviations: by and large the codes fill the prior, as the KL asks of them. The left-hand grid steps
# through equal portions of the prior's probability.
#
# **Why are the pictures blurred?** Because what is shown is the *mean* of $p(x|z)$, a number between 0 and 1
# for each pixel, and many of these numbers are far from both ends. The model's own samples are the rows
# below: black and white, and noisy, since the pixels are independent given $z$. Whatever two numbers do not
# tell about an image is noise to this model.
#
# The post suspects another reason: that VAEs work too hard on the pixels and not hard enough on the latent
# distribution, so that draws from the prior land where the decoder has learned nothing. By (B13c) of chapter 6,
# that is a large $\mathrm{KL}(q(z) \| p(z))$. Exercise 4 measures it for this model: it is less than a tenth of the KL
# term. In (B14) both terms come with the weight 1, so the balance is not a matter of taste; but within
# it, most of the nats are in the pixels, as we shall now see.
#
# ## 9. The exact evidence of a trained VAE
#
# With two latent variables the integral (1.2) can simply be done. Put a grid of spacing $\Delta$
# over the plane; the sum over its points is the midpoint rule, which converges very fast for a
# smooth function that vanishes at the edge:
#
# $$p(x) \approx \Delta^2 \sum_g e^{-E(x, z_g)} , \qquad
#   \ln w(z_g) = -E(x, z_g) - \ln q(z_g|x) , \qquad
#   \langle f \rangle_q \approx \Delta^2 \sum_g q(z_g|x)\, f(z_g) . \tag{9.1}$$
#
# The decoder runs once for every grid point, and a matrix product compares the results with all
# images. The posterior is $e^{-E} / p(x)$, and every average over $q$ is exact as well: the ELBO,
# the gap, each cumulant of $\ln w$.
#
# **Check against the exact result**: a grid of twice the spacing must give the same; $q$ must add
# up to 1; the gap must be positive for each image (1.3); and the library's `elbo`, from a single
# draw for each image, must agree with the exact one within its standard error.

# %%
side, spacing = np.linspace(-grid_edge, grid_edge, grid_points, retstep=True)
grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)  # (num_points, 2)


def log_joint(decoder, x):
    """ln p(x, z) = -E(x, z) of each image at each grid point (1.1), (num, num_points), nats."""
    logits = np.reshape(decoder(grid.astype("float32")), (len(grid), -1)).astype(float)
    log_likelihood = x.reshape(len(x), -1) @ logits.T - np.logaddexp(0, logits).sum(axis=1)  # (6.2)
    return log_likelihood + stats.norm.logpdf(grid).sum(axis=1)


# %%
def log_density(mean, log_var):
    """ln q(z|x) of each image at each grid point (B29), (num, num_points)."""
    quadratic = (grid.T - mean[..., np.newaxis]) ** 2 / np.exp(log_var)[..., np.newaxis]
    constant = np.sum(log_var + np.log(2 * np.pi), axis=1, keepdims=True)
    return -0.5 * (quadratic.sum(axis=1) + constant)


def log_integral(log_f):
    return special.logsumexp(log_f, axis=1) + 2 * np.log(spacing)


# %%
log_p_joint, log_q = log_joint(decoder, x_test), log_density(test_mean, test_log_var)
log_p = log_integral(log_p_joint)  # (1.2), (num_test,)
coarse = np.arange(grid_points**2).reshape(grid_points, -1)[::2, ::2].ravel()  # every second one
doubled = log_integral(log_p_joint[:, coarse]) + np.log(4)  # each stands for four times the area
print(f"grid of twice the spacing: off by at most {np.abs(doubled - log_p).max():.4f} nats")
check(doubled, log_p, tolerance=1e-3)
check(log_integral(log_q), 0.0, tolerance=1e-4)

# %% name="exact-evidence"
q, log_w = spacing**2 * np.exp(log_q), log_p_joint - log_q  # (B18)
exact_elbo = np.sum(q * log_w, axis=1)
gaps = log_p - exact_elbo  # KL(q || p(z|x)) (1.3)
assert np.all(gaps > 0)
kl = kl_by_hand(test_mean, test_log_var)
check(np.sum(q * (log_q - stats.norm.logpdf(grid).sum(axis=1)), axis=1), kl, 1e-3)  # (B30)
print(f"ln p(x) {log_p.mean():.3f} = ELBO {exact_elbo.mean():.3f} + gap {gaps.mean():.3f} nats")
print(f"-ELBO   {-exact_elbo.mean():.3f} = pixels {-(exact_elbo + kl).mean():.3f}", end=" ")
print(f"+ KL {kl.mean():.3f} nats")
one_draw = np.asarray(vae.elbo(x_test, num_samples=1, seed=seed), float)
difference, error = mean_and_error(one_draw - exact_elbo)
print(f"one draw for each image: off by {difference:+.3f} nats, standard error {error:.3f}")
assert abs(difference) < 5 * error

# %% name="posteriors" alt="Contours of exact posterior and encoder q for three images. Smallest gap: they agree. Median: the posterior is no ellipse. Largest: q sits beside the posterior, between its two parts."
order = np.argsort(gaps)
picked = [order[0], order[len(order) // 2], order[-1]]
figure, axes = plt.subplots(1, 3, figsize=(9, 3.1))
for axis, index in zip(axes, picked, strict=True):
    for log_f, colour in ((log_p_joint[index] - log_p[index], blue), (log_q[index], orange)):
        density = np.exp(log_f - log_f.max()).reshape(grid_points, grid_points)
        axis.contour(side, side, density, np.exp([-4.5, -2, -0.5]), colors=colour)
    middle, reach = test_mean[index], 8 * np.exp(test_log_var[index].max() / 2)
    axis.set(xlim=middle[0] + [-reach, reach], ylim=middle[1] + [-reach, reach])
    label(axis, f"Digit {y_test[index]}: gap {gaps[index]:.3f} nats", "$z_1$", "$z_2$")
plt.show()

# %% [markdown]
# Blue is the exact posterior $p(z|x)$, orange the encoder's $q(z|x)$, with contours where a
# Gaussian is 1, 2 and 3 standard deviations from its mean, for the images with the smallest, the
# median and the largest gap. On the left the two agree: nobody told the decoder to have Gaussian
# posteriors, but it was trained under a bound that rewards them. In the middle the posterior is no
# ellipse, and mean field is a compromise. On the right something else is wrong: the encoder has put
# $q$ beside the posterior, between its main part and a second, smaller one. Section 10 tells such
# errors apart.
#
# **From the same log-weights.** In practice there is no grid, only samples: $S$ log-weights for
# each image. Three things can be done with them. Their mean is the ELBO. The logarithm of the mean
# *weight* is the bound of the importance-weighted autoencoder (IWAE; Burda, Grosse and
# Salakhutdinov 2016),
#
# $$\text{IWAE-}S = \ln \frac1S \sum_{s=1}^S w_s , \qquad \text{ELBO} \le \mathbb{E}[\text{IWAE-}S] \le \ln p(x) .
#   \tag{9.2}$$
#
# The first inequality holds sample by sample, because the logarithm of a mean is at least the mean
# of the logarithms; the second is Jensen's, since the mean weight has the expectation $p(x)$. And
# the cumulant expansion (B25) adds half the *variance* of $\ln w$ to the mean. It is no bound, but
# it takes out the first part of the gap.
#
# **Check against the exact result**: weights written out by hand and the library's, both against
# the grid; $\langle w \rangle = p(x)$ (B18) for one image; then the table.

# %%
eps = np.random.default_rng(seed).normal(size=(num_samples, len(x_test), latent_dim))
z = test_mean + np.exp(test_log_var / 2) * eps  # (B31)
logits = np.reshape(decoder(z.reshape(-1, latent_dim)), (num_samples, *x_test.shape))
log_likelihood = -np.sum(np.logaddexp(0, logits) - x_test * logits, axis=(2, 3))  # (6.2)
by_hand = log_likelihood + 0.5 * np.sum(eps**2 + test_log_var - z**2, axis=-1)  # (7.1)
log_weights = np.asarray(vae.log_weights(x_test, num_samples, seed=seed), float)  # (100, num_test)
for name, values in (("by hand", by_hand), ("library", log_weights)):
    difference, error = mean_and_error((values - exact_elbo).mean(axis=1))
    print(f"{name}: <ln w> - ELBO = {difference:+.4f} nats, standard error {error:.4f}")
    assert abs(difference) < 5 * error
index = picked[1]  # the image with the median gap
many = np.asarray(vae.log_weights(x_test[index : index + 1], 20_000, seed=seed), float)[:, 0]
ratio, error = mean_and_error(np.exp(many - log_p[index]))
print(f"one image: <w> / p(x) = {ratio:.4f}, standard error {error:.4f}")
assert abs(ratio - 1) < 5 * error  # (B18)

# %%
centred = log_w - exact_elbo[:, np.newaxis]
kappa = [exact_elbo] + [np.sum(q * centred**n, axis=1) for n in (2, 3)]  # exact, by (9.1)
rows = {
    "exact order 1, the ELBO": kappa[0],
    "exact order 2": kappa[0] + kappa[1] / 2,
    "exact order 3": kappa[0] + kappa[1] / 2 + kappa[2] / 6,
    "ELBO, 100 samples": evidence.elbo(log_weights),
    "order 2, 100 samples": evidence.cumulant(log_weights, order=2),
    "IWAE-5": evidence.iwae(log_weights[:5]),
    "IWAE-100": evidence.iwae(log_weights),
}

# %% name="evidence-table"
misses = {}  # of each row: bias, and root mean square of an image
for name, values in rows.items():
    bias, error = mean_and_error(values - log_p)
    spread = np.sqrt(np.mean((values - log_p) ** 2))
    print(f"{name:24s} mean error {bias:+.4f} ({error:.4f}), per image {spread:.4f} nats")
    misses[name] = abs(bias), spread
    assert "IWAE" not in name or bias < 5 * error  # (9.2)
first, second, third = (misses[f"exact order {k}"] for k in ("1, the ELBO", 2, 3))
assert dataset != "digits" or (abs(first[0] - 0.5) < 0.1 and second[0] < 0.1)
assert dataset != "digits" or (third[0] < second[0] < first[0] / 4 and third[1] > second[1])
assert np.all(np.less(misses["IWAE-100"], misses["order 2, 100 samples"]))

# %% name="log-weights" alt="Left: histogram of log-weights of one image, skewed to the right; ELBO left of ln p(x). Right: gap against half the variance; most points near the diagonal, the few large gaps far from it."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.8))
plotting.histogram_with_gaussian(axes[0], many)
axes[0].axvline(exact_elbo[index], color=grey, ls="--", label="ELBO")
axes[0].axvline(log_p[index], color="black", label="$\\ln p(x)$")
label(
    axes[0], f"Log-weights of the median image, digit {y_test[index]}", r"$\ln w$ (nats)", "density"
)
axes[0].legend(loc="upper right", handlelength=1)
axes[1].plot(kappa[1] / 2, gaps, ".", color=blue, ms=4)
axes[1].plot([0, gaps.max()], [0, gaps.max()], color="black", lw=1, label="order 2 exact")
label(axes[1], "Every test image", r"$\frac{1}{2}$ Var$[\ln w]$ (nats)", "gap (nats)")
axes[1].legend()
plt.show()

# %% [markdown]
# Most points lie close to the line: for these images half the variance *is* the gap, and on average
# order 2 leaves less than a tenth of a nat, of about half a nat.
# The few images with a large gap lie far from it, on either side.
# There $\ln w$ is spread so widely that an expansion in its spread is of no use, and order 3 does
# not mend it: its mean error is a little smaller, but image by image it is worse than order 2.
# IWAE, from the same 100 samples, is nearer to the exact value, above all for the single image.
# This is a first look only. When the expansion can be trusted, and how to make it safer, is the
# subject of chapters 11 and 12.
#
# ## 10. Where the nats are: would a better posterior help?
#
# A reader of the post remarked that plain VAEs are poor models *because* their posterior is so
# simple, and that recurrent or otherwise structured VAEs do much better. With the exact $\ln p(x)$
# at hand this can be taken apart for the model that we have. The gap $\mathrm{KL}(q \| p)$ has
# three parts:
#
# - the *amortisation gap*: the encoder must serve all images with one set of weights; for each
#   single image some other mean field would be better;
# - the *mean-field gap*: the best mean field has no correlation; the best Gaussian has;
# - what is left: the posterior is not a Gaussian.
#
# Fit a Gaussian to each posterior on the grid of twice the spacing, which section 9 found to be good
# enough, starting from the encoder's. With $u = (z_1 - \mu_1) / \sigma_1$ and $v = (z_2 - \mu_2) / \sigma_2$ let
#
# $$q = \frac{1}{2 \pi \sigma_1 \sigma_2}\, e^{-\frac12 u^2 - \frac12 (v - c\, u)^2} . \tag{10.1}$$
#
# For $c = 0$ this is mean field. For $c \ne 0$ it is a *structured* posterior in the simplest form:
# first $z_1$ is drawn, and then $z_2$ with a mean that depends on $z_1$. A recurrent encoder does
# the same with many variables, and chapters 10 and 18 use normalising flows. The change of variables from
# $(z_1, z_2)$ to $(u, v - c\, u)$ has the determinant $1 / (\sigma_1 \sigma_2)$ for every $c$, so (10.1)
# is normalised.


# %%
fitted = slice(0, 60)  # the images of this section
log_posterior = tf.constant((log_p_joint - log_p[:, np.newaxis])[fitted, coarse], tf.float32)
points = tf.constant(grid[coarse].T, tf.float32)
encoder_start = [tf.constant(x[fitted], tf.float32) for x in (test_mean, test_log_var / 2)]


def divergences(mean, log_sigma, coupling):
    """KL(q || p(z|x)) of each image on the grid, q as in (10.1), nats."""
    u, v = ((points[j] - mean[:, j : j + 1]) / tf.exp(log_sigma[:, j : j + 1]) for j in (0, 1))
    log_q = -0.5 * (u**2 + (v - coupling * u) ** 2) - np.log(2 * np.pi)
    log_q -= tf.reduce_sum(log_sigma, axis=1, keepdims=True)
    return 4 * spacing**2 * tf.reduce_sum(tf.exp(log_q) * (log_q - log_posterior), axis=1)


# %%
def fit_posteriors(structured, num_steps=250):
    """Minimise the KL of every image, from the encoder's q; with or without the coupling c."""
    variables = [tf.Variable(x) for x in (*encoder_start, tf.zeros((60, 1)))]
    trained = variables if structured else variables[:2]
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.05, num_steps))
    optimizer.build(trained)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(divergences(*variables))
        optimizer.apply(tape.gradient(loss, trained), trained)

    [step() for _ in range(num_steps)]
    return divergences(*variables).numpy()


# %% name="gap-parts"
encoder_gap = gaps[fitted]
check(divergences(*encoder_start, 0.0), encoder_gap, tolerance=1e-3)  # (10.1) with c = 0 is (B29)
mean_field_gap, gaussian_gap = fit_posteriors(False), fit_posteriors(True)
assert np.all(gaussian_gap > -1e-3)  # a KL
share = 1 - mean_field_gap.mean() / encoder_gap.mean()  # of the gap, because of one encoder for all
assert dataset != "digits" or abs(share - 0.8) < 0.1
assert (
    dataset != "digits"
    or max(mean_field_gap.mean() - gaussian_gap.mean(), gaussian_gap.mean()) < 0.05
)
print(f"gap of the encoder's q      {encoder_gap.mean():.3f} nats")
print(f"- one encoder for all       {(encoder_gap - mean_field_gap).mean():.3f}")
print(f"- no correlation            {(mean_field_gap - gaussian_gap).mean():.3f}")
print(f"- Gaussian shape            {gaussian_gap.mean():.3f}")

# %% name="more-latents"
wider = assemble(latent_dim=8)
fit(wider, "8_latents")
wide_vae = VAE(wider.get_layer("encoder"), wider.get_layer("decoder"))
wide_weights = wide_vae.log_weights(x_test, 1000, seed=seed)
wide = [float(np.mean(f(wide_weights))) for f in (evidence.elbo, evidence.iwae)]
print(f"2 latent variables: ELBO {exact_elbo.mean():.3f}, ln p(x) {log_p.mean():.3f} nats")
print(f"8 latent variables: ELBO {wide[0]:.3f}, IWAE-1000 {wide[1]:.3f} nats")
gains = wide[0] - exact_elbo.mean(), wide[1] - log_p.mean()
assert dataset != "digits" or (gains[0] > 1.5 * gaps.mean() and gains[1] > 0.8)

# %% [markdown]
# So the honest answer has two parts.
#
# *For this decoder*, no posterior however structured can gain more than the first line (for these
# 60 images; it is about half a nat for all), and about four fifths of that are not the family's fault: one
# encoder for all images, here for images that it was not trained on, misses what a mean field
# fitted to each image would reach. A correlation adds 0.03 nats, all other shapes 0.04. (Cremer, Li
# and Duvenaud 2018 report of larger models, too, that the encoder is often more to blame than the
# family.) Six more latent variables, an ordinary improvement of the *model*, raise the ELBO by 0.9
# nats, nearly twice the mean gap of all test images, although their posterior is still mean field;
# and $\ln p(x)$ rises by at least 1.07, as IWAE is a lower bound on average.
#
# *For training*, the posterior matters more than the gap at the end suggests. The gap is part of
# the objective: a decoder whose posteriors are hard to fit pays for it, and training steers away
# from it. The small gap above is also the trace of what was avoided, and no exact answer tells how
# much that cost. Structured and recurrent VAEs (Gregor et al. 2015, 2016) change both sides: their
# posterior draws the latent variables one after the other, given the earlier ones, *and* so does
# their prior. Much of what they gain is a better model. The reader is right that mean field is no
# law of VAEs; and a correction like (B25), which recovers part of the gap after training, cannot
# recover what the decoder never learned.
#
# ## 11. When it fails: the classic slips, in nats
#
# Each of the following programs runs, trains, and shows a falling loss. They differ from (B32) by a
# word.
#
# **Slip 1: the mean over pixels.** Keras's losses average over the last axis, and their reduction
# over all others, so `BinaryCrossentropy` or `"mse"` gives $R / D$ instead of the sum $R$ over $D$
# pixels. The objective is then
#
# $$\frac{R}{D} + \mathrm{KL} = \frac1D \big( R + D \cdot \mathrm{KL} \big) , \tag{11.1}$$
#
# a KL that is $D$ times too strong (the factor $\frac1D$ does nothing under Adam).
#
# **Slip 2: the mean over latent variables.** `ops.mean` in place of `ops.sum` makes it $J$ times
# too weak: $R + \mathrm{KL} / J$.
#
# **Slip 3: $\ln \sigma$ or $\ln \sigma^2$?** The noise is multiplied by $e^{\ln \sigma^2}$,
# forgetting the half, while the KL treats the same number as $\ln \sigma^2$. What is drawn has the
# variance $\sigma^4$, and what is charged is the KL of $\sigma^2$. The loss is the sum of two
# halves of different distributions. It bounds nothing.
#
# Copies of an early VAE tutorial for Keras still have all three. Each was trained from the same initial
# weights, and the last cell compares it with its exact $\ln p(x)$. The cells before it check (11.1) and its
# relatives exactly, before training, with the same noise in all of them.


# %%
def narrow_sample(mean_and_log_var, seed):
    mean, log_var = mean_and_log_var
    return sample((mean, 2 * log_var), seed)  # exp(log_var) eps instead of exp(log_var / 2) eps


mean_over_pixels = keras.losses.BinaryCrossentropy(from_logits=True)
slips = {
    "correct": {},
    "1: mean over pixels": {"loss": mean_over_pixels},
    "2: mean over latents": {"reduce": ops.mean},
    "3: ln sigma": {"draw": narrow_sample},
}

# %%
untrained = {name: assemble(**options) for name, options in slips.items()}
losses = {k: float(m.compute_loss(batch, batch, m(batch))) for k, m in untrained.items()}
pair = untrained["correct"].get_layer("encoder")(batch)
decode = untrained["correct"].get_layer("decoder")

# %%
R, R_narrow = (
    float(ops.mean(cross_entropy(batch, decode(draw(pair, keras.random.SeedGenerator(seed))))))
    for draw in (sample, narrow_sample)
)
mean_kl = float(ops.mean(layers.GaussianKL()(pair)))
expected = {
    "correct": R + mean_kl,  # (B32)
    "1: mean over pixels": (R + num_pixels * mean_kl) / num_pixels,  # (11.1)
    "2: mean over latents": R + mean_kl / latent_dim,
    "3: ln sigma": R_narrow + mean_kl,
}
for name, loss in losses.items():
    check(loss, expected[name], tolerance=1e-5)
    print(f"{name:21s} loss of the same weights {loss:.4f}")


# %%
def exact_averages(model):
    """ELBO, KL and ln p(x) of a model, means over the test images, on the grid (9.1)."""
    pair = np.array(model.get_layer("encoder")(x_test), float)
    log_f, log_g = log_joint(model.get_layer("decoder"), x_test), log_density(*pair)
    elbo, log_z = spacing**2 * np.sum(np.exp(log_g) * (log_f - log_g), axis=1), log_integral(log_f)
    assert np.all(elbo < log_z + 1e-4)  # (1.3), for any q and any decoder
    return elbo.mean(), kl_by_hand(*pair).mean(), log_z.mean()


# %% name="slips"
print("                        loss on   exact values, mean over test images, nats")
print("                      test data     ELBO        KL   ln p(x)")
table = {}  # of each slip: loss, ELBO, KL, ln p(x)
for name, options in slips.items():
    slip_model = assemble(**options) if options else model
    if options:
        fit(slip_model, f"slip_{name[0]}")
    loss = slip_model.evaluate(x_test, x_test, verbose=0)
    table[name] = loss, *exact_averages(slip_model)
    print(f"{name:21s}", "{:9.3f} {:9.3f} {:8.3f} {:9.3f}".format(*table[name]))
mean, log_var = np.array(slip_model.get_layer("encoder")(x_test), float)  # of slip 3
kl_drawn = kl_by_hand(mean, 2 * log_var).mean()  # of the q that draws
elbo_drawn = table[name][2] - loss - kl_drawn  # the loss holds the KL of the other one
print(f"slip 3, for the q that is drawn: ELBO {elbo_drawn:.3f}, KL {kl_drawn:.3f} nats")

# %%
right, collapsed, sharper, narrow = table.values()
assert collapsed[2] < 0.1 and sharper[2] > right[2] + 0.5
assert sharper[0] < right[0] and sharper[1] < right[1] and abs(sharper[3] - right[3]) < 0.3
assert all(loss < -log_z - 0.2 for loss, _, _, log_z in (sharper, narrow))  # no bound
assert kl_drawn > narrow[2] + 0.5 and elbo_drawn < narrow[3]

# %% [markdown]
# Read it line by line. The *loss* column is what the program itself reports, here for the test
# images; only in the first line is it an estimate of minus the ELBO.
#
# - Slip 1 ends in *posterior collapse*: with a KL 64 times too dear the best code is none, $q$ is
#   the prior for every image, and the decoder draws one average digit. The loss per pixel is a
#   small number and means nothing by itself.
# - Slip 2 buys sharper codes. Its loss looks better than that of the correct model, its ELBO is
#   worse. The exact $\ln p(x)$ hardly differs, so here it is the bound that suffers, more than the
#   model. That is a legitimate trade if chosen on purpose: it is the $\beta$-VAE of Higgins et al.
#   (2017), with $\beta = \frac12$.
# - Slip 3 works with two distributions. The ELBO and the KL in its line are those of the $q$ that is
#   charged, of variance $\sigma^2$, which is never drawn. The line below the table has the $q$ that is drawn, of
#   variance $\sigma^4$: it is narrower, and its KL is larger than the one that is charged.
# - Slips 2 and 3 report a "free energy" *below* their own $-\ln p(x)$ (first and last column). No
#   distribution $q$ can do that. A bound that beats the exact answer is an error in the program.
#
# **Slip 4: sigmoid outputs and a clipped logarithm.** If the decoder ends in a sigmoid, the loss
# must take the logarithm of $y$, and Keras clips $y$ to $[10^{-7}, 1 - 10^{-7}]$ to keep it finite.
# A confident mistake then costs at most about 16 nats, and beyond that its gradient is 0: the worst
# pixels stop being corrected. From logits, (6.2), nothing is clipped. Keras knows about the
# problem: when the sigmoid is the last thing that happened, it goes back to the logits silently. A
# `Reshape` after the sigmoid is enough to hide them.
#
# **Slip 5: the sigmoid twice.** Outputs of a sigmoid given to a loss `from_logits=True` pass
# through a second one, and all probabilities lie between $\frac12$ and $\mathrm{sigm}(1) = 0.73$.
# Nothing warns if a `Reshape` is in between.

# %% name="clipping"
white = tf.zeros((1, 1))
clipped_loss = keras.losses.BinaryCrossentropy()
print("logit of a white pixel    exact cost   slope   clipped cost   slope   (nats)")
for value in (2.0, 10.0, 20.0, 40.0):
    logit = tf.constant([[value]])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logit)
        exact = ops.sum(ops.softplus(logit) - white * logit)  # (6.2)
        probability = ops.reshape(keras.activations.sigmoid(logit), (1, 1))
        clipped = clipped_loss(white, probability)
    slopes = [float(tf.reduce_sum(tape.gradient(cost, logit))) for cost in (exact, clipped)]
    print(f"{value:21.0f} {float(exact):13.4f} {slopes[0]:7.4f}", end=" ")
    print(f"{float(clipped):14.4f} {slopes[1]:7.4f}")

# %%
rescued = clipped_loss(white, keras.activations.sigmoid(logit))
check(rescued, exact, tolerance=1e-6)
assert clipped < 17 and slopes[1] == 0

# %%
test_logits = decoder(test_mean.astype("float32"))
for factor in (1, 3, 10):
    exact = cross_entropy(x_test, factor * test_logits).numpy()
    probability = ops.reshape(ops.sigmoid(factor * test_logits), x_test.shape)
    clipped = num_pixels * clipped_loss(x_test, probability)
    print(f"logits x {factor:2d}: {exact.mean():8.3f} nats, clipped {float(clipped):8.3f} nats")
twice = keras.losses.BinaryCrossentropy(from_logits=True)
perfect = num_pixels * float(twice(x_test, ops.convert_to_tensor(x_test)))  # y = x: no error at all
ink = x_test.mean()
floor = num_pixels * (ink * np.log1p(np.exp(-1)) + (1 - ink) * np.log(2))
check(perfect, floor, tolerance=1e-5)
print(f"sigmoid twice: a perfect reconstruction costs {perfect:.3f} nats")

# %% [markdown]
# On a moderate model clipping is invisible; on one that is too sure of itself it hides several
# nats, from just those pixels that are most wrong. And with the sigmoid twice, even a flawless
# decoder is charged more than the whole free energy of our model. Three habits catch all five
# slips: keep logits to the end; compare the loss of one batch with the formula written out, for
# equal weights and equal noise, as in section 6; and check a bound against $\ln p(x)$ wherever
# $\ln p(x)$ is known. The quickest test of all: before training, the reconstruction must cost about
# $D \ln 2$.
#
# ## 12. Turning the temperature down: the deterministic autoencoder
#
# The post asks how all this relates to a deterministic, convolutional autoencoder. The word
# *convolutional* is about the networks and changes no equation (`vae_keras.networks` has both
# kinds). The word *deterministic* is about temperature. Put $T$ back into the free energy (B15),
#
# $$F_T = \langle E(x, z) \rangle_q - T\, S(q) , \qquad q = N\big( \mu, \mathrm{diag}(T \sigma^2) \big) ,
#   \tag{12.1}$$
#
# where the width of the trial has been scaled with $\sqrt T$, as thermal fluctuations do. The
# prior's share of the energy is $\langle -\ln p(z) \rangle_q = \frac12 \sum_j (\mu_j^2 + T
# \sigma_j^2) + \frac J2 \ln 2 \pi$, the entropy is $S = \frac12 \sum_j (1 + \ln 2 \pi T
# \sigma_j^2)$, and so
#
# $$F_T = \big\langle -\ln p(x|z) \big\rangle_q + \tfrac12 \sum_j \big[ \mu_j^2
#   {} + T (\sigma_j^2 - 1 - \ln \sigma_j^2) \big] + \tfrac{J}{2} \big[ \ln 2 \pi - T \ln 2 \pi T \big] , \qquad
#   z = \mu + \sqrt{T}\, \sigma\, \epsilon . \tag{12.2}$$
#
# At $T = 1$ the last bracket is 0 and the middle one is (B30): this is the VAE. As $T \to 0$ the
# noise disappears, the entropy is multiplied by 0, and what remains is
#
# $$\boxed{\; F_0 = -\ln p\big( x \big| z = \mu(x) \big) + \tfrac12 |\mu(x)|^2 + \text{const} = E\big( x, \mu(x)
#   \big) \;} \tag{B32b}$$
#
# a deterministic autoencoder with a penalty on its code. It looks for the state of lowest energy,
# where the VAE looks for the distribution of lowest *free* energy. The sum over states has not
# cancelled out of such a network, as one might think: $F_T \ge -T \ln \int dz\, e^{-E(x, z) / T}$,
# which tends to $\min_z E(x, z)$ as $T \to 0$. Of the clamped sum only the largest term is left.
#
# **Check against the exact result**: $F_1$ is minus the ELBO, and $F_T$ goes to $E(x, \mu)$ as the
# temperature falls, for the trained VAE. The Keras form of $F_0$ is an ordinary autoencoder with an
# L2 activity regulariser.


# %%
def free_energy(temperature, num_draws=50):
    """F_T of (12.2), mean over the test images, nats; for T = 0, E(x, mean)."""
    noise = np.random.default_rng(seed).normal(size=(num_draws, *test_mean.shape))
    codes = test_mean + np.sqrt(temperature) * np.exp(test_log_var / 2) * noise
    logits = np.reshape(decoder(codes.reshape(-1, latent_dim)), (num_draws, *x_test.shape))
    pixels = np.sum(np.logaddexp(0, logits) - x_test * logits, axis=(2, 3)).mean()
    spread = np.exp(test_log_var) - 1 - test_log_var
    code = 0.5 * np.sum(test_mean**2 + temperature * spread, axis=1).mean()
    constant = np.log(2 * np.pi) - special.xlogy(temperature, 2 * np.pi * temperature)
    return pixels + code + 0.5 * latent_dim * constant


# %% name="cooling"
for temperature in (1.0, 0.1, 0.01, 1e-4, 0.0):
    print(f"T = {temperature:6.4f}: F_T = {free_energy(temperature):.4f} nats")
bracket = 0.5 * np.sum(test_mean**2 + 0.1 * (np.exp(test_log_var) - 1 - test_log_var), axis=1)
check(layers.GaussianKL(temperature=0.1)((test_mean, test_log_var)), bracket, tolerance=1e-4)
energy = cross_entropy(x_test, decoder(test_mean)).numpy() - stats.norm.logpdf(test_mean).sum(1)
check(free_energy(0.0), energy.mean(), tolerance=1e-5)  # E(x, mean)
assert abs(free_energy(1e-6) - energy.mean()) < 1e-2
assert abs(free_energy(1.0) + exact_elbo.mean()) < 0.2  # 50 draws for each image

# %%
keras.utils.set_random_seed(seed)
pixels = keras.Input(image_shape)
hidden = keras.layers.Dense(hidden_units, "relu")(keras.layers.Flatten()(pixels))
half_square = keras.regularizers.L2(0.5)  # adds |z|^2 / 2, averaged over the batch
code = keras.layers.Dense(latent_dim, activity_regularizer=half_square)(hidden)
plain_decoder = networks.dense_decoder(image_shape, latent_dim, hidden_units=(hidden_units,))
autoencoder, coder = keras.Model(pixels, plain_decoder(code)), keras.Model(pixels, code)
options = {"jit_compile": False, "steps_per_execution": len(x_train) // batch_size}
autoencoder.compile("adam", cross_entropy, **options)
codes = coder(batch).numpy()
zero_temperature = np.mean(
    cross_entropy(batch, plain_decoder(codes)) + 0.5 * np.sum(codes**2, axis=1)
)
loss = autoencoder.compute_loss(batch, batch, autoencoder(batch))
check(loss, zero_temperature, tolerance=1e-5)  # (B32b), without the constant

# %% name="autoencoder-evidence"
fit(autoencoder, "autoencoder")
codes = coder(x_test).numpy()
log_f = log_joint(plain_decoder, x_test)
deterministic = log_integral(log_f).mean()
assert abs((log_integral(log_f[:, coarse]) + np.log(4)).mean() - deterministic) < 0.05
costs = []
for name, encode, decode, value in (
    ("VAE, T = 1", lambda x: encoder(x)[0], decoder, log_p.mean()),
    ("autoencoder, T = 0", coder, plain_decoder, deterministic),
):
    costs.append([np.mean(cross_entropy(x, decode(encode(x)))) for x in (x_train, x_test)])
    print("{:18s} pixels: training {:.3f}, test {:.3f};".format(name, *costs[-1]), end=" ")
    print(f"exact ln p(x) of the test images {value:.3f} nats")
print("standard deviation of the autoencoder's codes:", codes.std(axis=0).round(3), "prior: 1")

# %% name="fitted-prior"
seen, draws = coder(x_train).numpy(), np.random.default_rng(seed).normal(size=(10_000, latent_dim))
centre, width = seen.mean(axis=0), seen.std(axis=0)
change = stats.norm.logpdf(grid, centre, width).sum(1) - stats.norm.logpdf(grid).sum(1)
repaired = log_integral(log_f + change).mean()  # ln p(x) with the prior N(centre, width^2)
distances = [np.linalg.norm((z - centre) / width, axis=1) for z in (seen, draws)]
outside = np.mean(distances[1] > np.quantile(distances[0], 0.95))
print(f"{outside:.0%} of the draws from the prior are outside the region of 95 % of the codes")
print(f"with a prior fitted to the codes: exact ln p(x) {repaired:.3f} nats")
assert costs[1][0] < costs[0][0] and costs[1][1] > costs[0][1]  # training better, new worse
lost = log_p.mean() - deterministic
assert dataset != "digits" or (lost > 0.8 and outside > 0.5)
assert dataset != "digits" or repaired - deterministic > 0.7 * lost

# %% name="autoencoder" alt="Left: codes of the autoencoder huddle near the origin, nearly all within one standard deviation of the prior. Right: images decoded from prior draws are bold, some of them no digits."
figure, axes = plt.subplots(1, 2, figsize=(9, 3.8))
plotting.scatter_by_label(axes[0], codes, y_test)
for radius in (1, 2):
    axes[0].plot(radius * np.cos(angle), radius * np.sin(angle), color=grey, lw=0.8)
label(axes[0], "Codes of the autoencoder, and the prior's circles", "$z_1$", "$z_2$")
z = np.random.default_rng(seed).normal(size=(50, 2)).astype("float32")
plotting.image_grid(axes[1], ops.sigmoid(plain_decoder(z)), columns=10)
axes[1].set_title("The autoencoder's decoder on draws from the prior")
plt.show()

# %% [markdown]
# Without noise the codes need no room around them, and nothing makes them fill the prior: they
# huddle near the origin. The autoencoder reconstructs its training images better than the VAE does,
# new images worse. As a *model*, a decoder whose $z$ comes from $N(0, I)$, it loses more than a
# nat of $\ln p(x)$, a number that nobody looks at when training an autoencoder. The last two lines printed say where most
# of it went. More than half of the draws from the prior land outside the region of its codes. There it draws bold
# digits, some of them no digits. With a prior whose means and widths are those of the codes, most of the lost
# likelihood comes back. So what this autoencoder lacks is above all a distribution of its codes, and in the VAE it is
# the entropy that asks for one. Chapter 9 takes the way
# from $T = 1$ to $T = 0$ step by step, with convolutional networks.
#
# ## 13. Summary
#
# | line of the program | equation | exact result it was checked against |
# |:--|:--|:--|
# | encoder: `mean`, `log_var` | B29, mean field | the best mean field of a linear model (2.6) |
# | `GaussianKL` | B30 | the integral, TFP |
# | `Lambda`, `GaussianSampling` | B31 | moments; gradients of a polynomial |
# | the loss | B32 | TFP; the same loss and gradient in four forms |
# | `log_weights` | B18 | $\ln p(x)$ of the linear model, of the digits on a grid |
# | no noise, no entropy | B32 at $T = 0$ | $E(x, \mu)$ |
#
# - A VAE's joint distribution is normalised, so $F_{\rm eq} = 0$ and learning has no negative
#   phase. The clamped free energy $-\ln p(x)$ is the hard one, and $-$ELBO bounds it from above.
# - Mean field finds the mean and underestimates the variance. In two dimensions it costs
#   $-\frac12 \ln (1 - r^2)$ nats.
# - The KL is a sum over latent variables, the reconstruction a sum over pixels, and only examples
#   are averaged. Other sums are other models.
# - The gap is what the log-weights' spread says it is: half their variance, to leading order (B25).
# - For a decoder that is trained already, a better posterior can gain the gap and no more; for the rest
#   one needs a better model. In training the posterior also shapes the decoder (section 10).
# - A deterministic autoencoder is the limit $T \to 0$: lowest energy instead of lowest free energy.
#
# ## Exercises
#
# 1. *(easy)* **What is a nat of KL worth?** Let the means $\mu(x)$ of one latent variable be spread
#    over the data with variance $s^2$ and mean 0, with the same $\sigma^2$ for all $x$. Average
#    (B30) over the data. At a fixed ratio $s^2 / \sigma^2 = \rho$, find the $\sigma$ that makes it
#    smallest, and show that it is then $\frac12 \ln (1 + \rho)$. Where have you seen this formula?
#    Write a function `cheapest(rho)` that returns the best $\sigma^2$ and the average KL there.
# 2. *(easy)* **Grey levels.** Many programs put the grey levels $g \in [0, 1]$ themselves into
#    (6.1). Show that this is the mean of $-\ln p(x|z)$ over pixels drawn with probability $g$. What
#    is the least value that it can take, and how much is that for the digits? For `test_logits`, compare
#    the cost against the grey levels of the test images with the costs of 200 draws (`drawn_costs`).
# 3. *(medium)* **Mean field picks the axes.** Replace $W$ by $W R$ with a rotation $R$ by the angle
#    $\theta$. Show that $p(x)$ stays the same and the gap does not. At which angles does it vanish?
#    What will a linear VAE learn that maximum likelihood cannot know? Write `turned_gap(theta)`,
#    the gap of $W R$; `zero_angles` are all angles of one turn, in radians, where it is 0.
# 4. *(medium)* **Surgery on the KL.** Let $q(z) = \frac1N \sum_n q(z|x_n)$ be the aggregate
#    posterior. Derive $\frac1N \sum_n \mathrm{KL}(q(z|x_n) \| p(z)) = I + \mathrm{KL}(q(z) \|
#    p(z))$ with $I = \frac1N \sum_n \mathrm{KL}(q(z|x_n) \| q(z)) \le \ln N$, and check it on the
#    grid. How many nats does a code carry about which image it came from, and how far is $q(z)$
#    from the prior?
# 5. *(hard)* **A posterior with structure.** For the linear model, let $q = q(z_1)\, q(z_2|z_1)$
#    where the mean of the second factor is linear in $z_1$. Find the five parameters that make the
#    gap 0, write the log-weights with the reparameterisation, and check that each of them is
#    $\ln p(x)$. (`sigma1`, `sigma2` and `slope`: the two standard deviations, and how the mean of
#    $z_2$ changes with $z_1$; `structured_weights`: log-weights of `x_linear`, 1,000 for each.)
#
# The solutions are in the cells below, folded: click on one to open it.


# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. The average is (s^2 + sigma^2 - 1 - ln sigma^2) / 2. With s^2 = rho sigma^2 its derivative in
# sigma^2, (1 + rho - 1/sigma^2) / 2, vanishes at sigma^2 = 1 / (1 + rho): then s^2 + sigma^2 = 1,
# the aggregate has the prior's variance. The value is ln(1 + rho) / 2: Shannon's capacity of a
# Gaussian channel.
def cheapest(rho):
    options = {"bounds": (1e-3, 1.5), "method": "bounded", "options": {"xatol": 1e-10}}
    found = optimize.minimize_scalar(
        lambda sigma: kl_by_hand(np.sqrt([rho]) * sigma, 2 * np.log([sigma])), **options
    )
    return found.x**2, found.fun


check([cheapest(rho) for rho in (0.1, 10)], [[0.909091, 0.047655], [0.090909, 1.198948]], 1e-5)
for ratio in (0.1, 1.0, 10.0, 100.0):
    print(f"1. signal to noise {ratio:5.1f}: {cheapest(ratio)[1]:.4f} nats")

# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. (6.1) is linear in x, so its mean over x ~ Bernoulli(g) has g in place of x. As a function of
# y it is smallest at y = g: the entropy of the drawn pixels, which no model can get below.
(_, _), (grey_levels, _) = datasets.LOADERS[dataset]("none")
grey_levels, logits = grey_levels[:num_test].astype(float), np.array(test_logits, float)
draws = [datasets.binarize(grey_levels, binarization="bernoulli", seed=k) for k in range(200)]
drawn_costs = np.array([cross_entropy(draw, logits).numpy().mean() for draw in draws])
grey_cost = cross_entropy(grey_levels, logits).numpy().mean()
average, error = mean_and_error(drawn_costs)
least_cost = np.sum(special.entr(grey_levels) + special.entr(1 - grey_levels), axis=(1, 2)).mean()
print(f"2. cross-entropy against grey levels {average:.3f} nats; least value {least_cost:.3f} nats")
assert len(drawn_costs) == 200 and 0.01 < np.std(drawn_costs) < 1  # draws differ
assert abs(np.mean(drawn_costs) - grey_cost) < 5 * np.std(drawn_costs) / np.sqrt(200)
assert least_cost < grey_cost < num_pixels * np.log(2)
assert dataset != "digits" or abs(least_cost - 13.670) < 1e-3


# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. W R R^T W^T = W W^T, the same p(x). W R has orthogonal columns at four angles, 90 degrees apart;
# there each latent variable is a principal axis. Likelihood leaves R free, the ELBO fixes it.
def turned_gap(theta):
    turned = W @ [[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]]
    check(turned @ turned.T, W @ W.T)
    turned_precision, _ = posterior(turned, x_linear)
    return np.log(np.diag(turned_precision)).sum() / 2 - np.linalg.slogdet(turned_precision)[1] / 2


zero_angles = np.pi / 4 + np.pi / 2 * np.arange(4)  # for columns of equal length
check([turned_gap(theta) for theta in (0, 0.4, -1.2)], [gap, 0.210174, 0.230386], tolerance=1e-5)
check([turned_gap(theta) for theta in zero_angles], 0.0)
assert len(np.unique(np.round(np.mod(zero_angles, 2 * np.pi), 6))) == 4
largest = max(map(turned_gap, np.linspace(0, np.pi, 181)))
print(f"3. largest gap {largest:.4f} nats; 0 at 45 and 135 degrees, for columns of equal length")

# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. Write ln q(z|x)/p(z) = ln q(z|x)/q(z) + ln q(z)/p(z) and average over z and n. I is the mutual
# information of z and the index n, at most the entropy of n, ln N.
log_aggregate = special.logsumexp(log_q, axis=0) - np.log(len(x_test))
aggregate = spacing**2 * np.exp(log_aggregate)
information = np.sum(q * (log_q - log_aggregate), axis=1).mean()
mismatch = aggregate @ (log_aggregate - stats.norm.logpdf(grid).sum(axis=1))
check(information + mismatch, kl.mean(), tolerance=1e-3)
assert 0 <= information <= np.log(len(x_test)) and 0 < mismatch < 0.1 * kl.mean()
assert dataset != "digits" or 0.02 < mismatch < 0.2
print(f"4. KL {kl.mean():.4f} = I {information:.4f} + KL(q(z) || p(z)) {mismatch:.4f}", end=" ")
print(f"nats; ln N = {np.log(len(x_test)):.4f}")

# %% jupyter={"source_hidden": true} tags=["solution"]
# 5. Complete the square in z_2 first: given z_1 it has precision L22 and mean m2 - (L12/L22)(z1 -
# m1). What is left for z_1 has precision det L / L22: the true marginal variance, not 1/L11.
L, eps = precision, np.random.default_rng(seed).normal(size=(2, 1000, len(x_linear)))
m1, m2 = posterior_mean.T
sigma1, sigma2 = np.sqrt(L[1, 1] / np.linalg.det(L)), 1 / np.sqrt(L[1, 1])
slope = -L[0, 1] / L[1, 1]
z1 = m1 + sigma1 * eps[0]
z2 = m2 + slope * (z1 - m1) + sigma2 * eps[1]
z = np.stack([z1, z2], axis=-1)  # (1000, 30, 2)
structured_weights = stats.norm.logpdf(x_linear, z @ W.T + offset, noise_scale).sum(-1)
structured_weights += stats.norm.logpdf(z).sum(-1) - stats.norm.logpdf(eps).sum(0)
structured_weights += np.log(sigma1 * sigma2)
check([sigma1**2, sigma2**2, slope], [0.415282, 0.2, -0.72], tolerance=1e-5)
check(structured_weights, np.tile(exact_linear, (1000, 1)), tolerance=1e-9)
print("5. every log-weight is ln p(x): one more number in the posterior, and no gap")
