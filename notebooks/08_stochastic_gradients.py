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
# # Chapter 8: Stochastic gradients
#
# A variational free energy is an average over a distribution $q$ that we choose. To improve $q$ we
# need the derivative of that average in the parameters of $q$, and those parameters sit in the very
# distribution that we average over. There are two ways to bring the derivative inside. Both give
# the right answer on average, and one of them is often a hundred times noisier than the other,
# which decides how much a variational autoencoder (VAE) learns in a given time. This chapter derives both,
# computes their variances exactly, and then follows gradients to three more places: bounds with
# several samples, densities whose $Z$ is unknown, and samplers that walk along a gradient.
#
# **What you will do**
#
# - derive the score-function and the pathwise gradient and check both against a closed form;
# - compute the variance of each by hand, see what a baseline buys, and what dimension costs;
# - train the same VAE with each of them;
# - watch a gradient drown in its own noise *because* it uses more samples, and cure it;
# - fit a density without its normalisation, by score matching;
# - sample a small posterior with Langevin and Hamiltonian dynamics, and let Laplace guess its
#   $\ln Z$.
#
# **What you will learn**
#
# - why the two forms (B17) have one mean and two variances, and which needs what from $f$;
# - what to do when the latent variables are discrete and there is no path;
# - what cancels, and what is lost, when the partition function drops out (B11).
#
# **What you need**: chapters 6 and 7, that is, the ELBO as a variational free energy (B14) and the
# reparameterisation $z = \mu + \sigma \epsilon$ (B31); Gaussian moments; and some Python, with this
# project installed.
#
# **Time**: about three hours, and two hours for the exercises. The code runs in about a minute.
#
# Equation numbers such as (B17) are the row names used in the whole course, in the library's
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

from rbm_tf.datasets import load_digits
from vae_keras import NegativeLogLikelihood, gradients, networks
from vae_keras.layers import GaussianKL
from vae_keras.parts import Bernoulli

# %%
seed = 0
q_mean, q_log_var = 1.2, -0.5  # of the Gaussian in sections 1 to 6
num_samples = 100_000  # of the measured variances; a fifth of it where D is varied
dims = (1, 2, 5, 10, 20, 50, 100)
latent_dim, training_steps, batch_size = 10, 1500, 100  # of the VAEs
group_sizes = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)  # K of the bounds
num_estimates = 4000  # for each K
temperatures = np.geomspace(0.05, 5, 13)  # of the relaxation
num_data, noise_scale = 5000, 0.3  # score matching
num_chains, chain_steps = 500, 400  # of the samplers
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 74}])


# %%
def check(left, right, tolerance=1e-9):
    """Raise unless both are equal to the tolerance, relative above 1, absolute below."""
    np.testing.assert_allclose(*np.broadcast_arrays(left, right), rtol=tolerance, atol=tolerance)


def within(samples, exact):
    """True if the mean over axis 0 is within five standard errors of the exact value."""
    samples = np.asarray(samples)
    error = samples.std(axis=0) / np.sqrt(len(samples))
    return bool(np.all(np.abs(samples.mean(axis=0) - exact) < 5 * error))


def label(axis, title, xlabel, ylabel):
    axis.set(title=title, xlabel=xlabel, ylabel=ylabel)


# %% [markdown]
# ## 1. The problem: a parameter inside the average
#
# The free energy of chapter 6 is an average over $q_\phi$,
#
# $$\mathcal{F}(\phi) = \mathbb{E}_{q_\phi(z)}\big[ f(z) \big] , \qquad
#   f(z) = \ln q_\phi(z) - \ln p(x, z) , \tag{1.1}$$
#
# and we want $\nabla_\phi \mathcal{F}$ from a few samples. For the parameters $\theta$ of the
# *model* there is nothing to do: $q$ does not contain them, and
#
# $$\nabla_\theta\, \mathbb{E}_{q_\phi}[f_\theta(z)] = \mathbb{E}_{q_\phi}[\nabla_\theta f_\theta(z)] . \tag{1.2}$$
#
# For $\phi$ this is wrong. Write the average as an integral and use the product rule:
#
# $$\nabla_\phi \int q_\phi(z) f_\phi(z)\, dz
#   = \int q_\phi(z)\, \nabla_\phi f_\phi(z)\, dz + \int f_\phi(z)\, \nabla_\phi q_\phi(z)\, dz . \tag{1.3}$$
#
# The second integral is the trouble: $\nabla_\phi q$ is not a probability, so it is not an average
# that one could sample. It is not a small correction either. Whatever $\phi$ does through the
# samples alone is in it, and where $f$ does not contain $\phi$, all of the gradient.
#
# **The example.** A spring, $f(z) = z^2/2$, in a Gaussian $q = \mathcal{N}(\mu, \sigma^2)$ with
# $\phi = (\mu, \ln \sigma^2)$, so that all can be had in closed form:
#
# $$\mathbb{E}_q[f] = \tfrac12 (\mu^2 + \sigma^2) , \qquad
#   \frac{\partial}{\partial \mu} = \mu , \qquad
#   \frac{\partial}{\partial \ln \sigma^2} = \tfrac12 \sigma^2 . \tag{1.4}$$
#
# The first derivative is the mean slope, minus the mean force; the second says that it costs energy
# to be spread out. We
# check (1.4) by numerical integration, and that integral is our exact answer where no closed form
# is at hand: Gauss-Hermite quadrature, exact for polynomials up to a high degree.

# %%
nodes, node_weights = np.polynomial.hermite_e.hermegauss(60)
node_weights = node_weights / node_weights.sum()  # of eps ~ N(0, 1)


def gaussian_average(function, mean=q_mean, log_var=q_log_var):
    """E[function(z)] for z ~ N(mean, exp(log_var)), by quadrature."""
    return node_weights @ function(mean + np.exp(log_var / 2) * nodes)


# %%
def spring(z):
    return z**2 / 2


sigma, step = np.exp(q_log_var / 2), 1e-5
exact_gradient = np.array([q_mean, sigma**2 / 2])  # (1.4)
check(gaussian_average(spring), (q_mean**2 + sigma**2) / 2)

# %%
up, down = (gaussian_average(spring, q_mean + x) for x in (step, -step))
wide, narrow = (gaussian_average(spring, log_var=q_log_var + x) for x in (step, -step))
differences = np.array([up - down, wide - narrow]) / (2 * step)
check(differences, exact_gradient, tolerance=1e-7)
print("gradient in (mean, log-variance):", exact_gradient.round(6), "nats")

# %% [markdown]
# ## 2. First way: the score function
#
# Repair the second integral of (1.3) by multiplying and dividing by $q$. Since
# $\nabla \ln q = \nabla q / q$,
#
# $$\int f\, \nabla_\phi q_\phi\, dz
#   = \int q_\phi\, f\, \frac{\nabla_\phi q_\phi}{q_\phi}\, dz
#   = \mathbb{E}_{q_\phi}\big[ f(z)\, \nabla_\phi \ln q_\phi(z) \big] . $$
#
# That is an average again, and so
#
# $$\boxed{\; \nabla_\phi\, \mathbb{E}_{q_\phi}[f]
#   = \mathbb{E}_{q_\phi}\big[ f(z)\, \nabla_\phi \ln q_\phi(z) \big] \qquad
#   (f \text{ without } \phi) \;} \tag{B17a}$$
#
# the *score-function* form, known as REINFORCE (Williams, 1992) or the likelihood-ratio method.
# Read it as trial and error: draw $z$, look at how good it is, and make it more or less likely in
# proportion. It asks for nothing but the *values* of $f$.
#
# **The score averages to zero.** Take $f = 1$ in (B17a):
#
# $$\mathbb{E}_q[\nabla_\phi \ln q_\phi] = \nabla_\phi\, \mathbb{E}_q[1] = \nabla_\phi 1 = 0 . \tag{2.1}$$
#
# This has two uses. In a free energy $f = \ln q_\phi - \ln p$ contains $\phi$ as well, and the
# first integral of (1.3) is $\mathbb{E}_q[\nabla_\phi \ln q_\phi] = 0$: (B17a) holds for the free
# energy as it stands, with $f$ frozen. And a constant may be subtracted from $f$ without changing
# the mean (section 5).
#
# **For the Gaussian**, with $z = \mu + \sigma \epsilon$:
#
# $$\ln q = -\frac{(z - \mu)^2}{2 \sigma^2} - \tfrac12 \ln \sigma^2 + \text{const} , \qquad
#   \frac{\partial \ln q}{\partial \mu} = \frac{z - \mu}{\sigma^2} = \frac{\epsilon}{\sigma} , \qquad
#   \frac{\partial \ln q}{\partial \ln \sigma^2}
#   = \tfrac12 \Big( \frac{(z - \mu)^2}{\sigma^2} - 1 \Big) = \tfrac12 (\epsilon^2 - 1) . \tag{2.2}$$
#
# **Check against the exact result**: by quadrature (2.1) and (B17a) are identities. Then written by
# hand with samples, and by the library, whose per-sample gradients come as an array.

# %% name="score-function"
scores = np.array([nodes / sigma, (nodes**2 - 1) / 2])  # (2.2) at the nodes
values = spring(q_mean + sigma * nodes)
check(scores @ node_weights, 0.0)  # (2.1)
check(scores @ (node_weights * values), exact_gradient)  # (B17a)

eps = np.random.default_rng(seed).normal(size=num_samples)
z = q_mean + sigma * eps
by_hand = np.stack([spring(z) * eps / sigma, spring(z) * (eps**2 - 1) / 2], axis=1)
assert within(by_hand, exact_gradient)
print("score function, by hand:", by_hand.mean(axis=0).round(4), "exact:", exact_gradient.round(4))


# %%
def many_springs(z):
    """f(z) = |z|^2 / 2, (num, dim) -> (num,)."""
    return tf.reduce_sum(z**2, -1) / 2


def score_rows(dim, baseline="none", num=num_samples):
    """Gradients in the mean and the log-variance, (num, 2, dim)."""
    q = np.full(dim, q_mean), np.full(dim, q_log_var)
    rows = gradients.score_function(many_springs, *q, num, seed=seed, baseline=baseline)
    return np.stack(rows, axis=1)


assert within(score_rows(1)[..., 0], exact_gradient)

# %% [markdown]
# ## 3. Second way: follow the path
#
# Draw the noise first. With $z = \mu + \sigma \epsilon$ and $\epsilon \sim \mathcal{N}(0, 1)$ (B31)
# the distribution that we average over contains no parameter any more, and the derivative goes
# inside as in (1.2), with the chain rule:
#
# $$\boxed{\; \nabla_\phi\, \mathbb{E}_{q_\phi}[f]
#   = \nabla_\phi\, \mathbb{E}_{\epsilon}\big[ f(\mu + \sigma \epsilon) \big]
#   = \mathbb{E}_{\epsilon}\big[ f'(z)\, \nabla_\phi z \big] , \qquad
#   \frac{\partial z}{\partial \mu} = 1 , \quad
#   \frac{\partial z}{\partial \ln \sigma^2} = \tfrac12 \sigma \epsilon \;} \tag{B17b}$$
#
# the *pathwise* or reparameterised form (Kingma and Welling, 2014), for an $f$ without $\phi$. It
# asks for the *slope* of $f$, and backpropagation delivers it. An $f$ that contains $\phi$ adds
# $\mathbb{E}[\nabla_\phi f]$; in a free energy that is $\mathbb{E}[\nabla_\phi \ln q_\phi] = 0$, by
# (2.1).
#
# **The two are one integration by parts apart.** A Gaussian density $\varphi(\epsilon)$ has
# $\epsilon\, \varphi = -\varphi'$, so that
#
# $$\mathbb{E}\Big[ f(z) \frac{\epsilon}{\sigma} \Big]
#   = -\frac1\sigma \int f(\mu + \sigma \epsilon)\, \varphi'(\epsilon)\, d\epsilon
#   = \frac1\sigma \int \sigma f'(\mu + \sigma \epsilon)\, \varphi(\epsilon)\, d\epsilon
#   = \mathbb{E}[f'(z)] . \tag{3.1}$$
#
# The mean is the same. What stands under the average is not. Integration by parts needs an $f$
# without jumps, and section 7 shows what happens otherwise.
#
# **When is there a path?** Whenever $z = g_\phi(\epsilon)$ with fixed noise and a differentiable
# $g$: location-scale families, the inverse of any smooth distribution function, and every
# invertible network put behind them, which is what a *normalising flow* is (chapter 10, section 4).
# For discrete variables there is none (section 10).
#
# **Check against the exact result**, the same three ways.

# %% name="pathwise"
slopes = q_mean + sigma * nodes  # f'(z) = z
path = np.array([np.ones_like(nodes), sigma * nodes / 2])  # dz/dphi
check(path @ (node_weights * slopes), exact_gradient)  # (B17b)
check(scores[0] @ (node_weights * values), node_weights @ slopes)  # (3.1)

path_by_hand = np.stack([z, z * sigma * eps / 2], axis=1)
assert within(path_by_hand, exact_gradient)
print("pathwise, by hand:", path_by_hand.mean(axis=0).round(4), "exact:", exact_gradient.round(4))


# %%
def path_rows(dim, num=num_samples):
    q = np.full(dim, q_mean), np.full(dim, q_log_var)
    return np.stack(gradients.pathwise(many_springs, *q, num, seed=seed), axis=1)


assert within(path_rows(1)[..., 0], exact_gradient)

# %% [markdown]
# ## 4. One mean, two variances
#
# For the spring both variances of (B17) can be computed by hand. We need the Gaussian moments
# $\mathbb{E}[\epsilon^2] = 1$, $\mathbb{E}[\epsilon^4] = 3$, $\mathbb{E}[\epsilon^6] = 15$, and odd
# ones vanish.
#
# **Pathwise**, derivative in $\mu$: the estimate is $f'(z) = \mu + \sigma \epsilon$, hence
#
# $$\mathrm{Var}_{\rm path} = \sigma^2 . \tag{4.1}$$
#
# It shrinks with $\sigma$: where $q$ is narrow, all samples see the same slope.
#
# **Score function**: the estimate is $f \epsilon / \sigma$ with
# $f = \tfrac12 (\mu^2 + 2 \mu \sigma \epsilon + \sigma^2 \epsilon^2)$. Square $f$ and multiply by
# $\epsilon^2$; the even powers are
#
# $$\mathbb{E}[f^2 \epsilon^2]
#   = \tfrac14 \Big( \mu^4 \underbrace{\mathbb{E}[\epsilon^2]}_{1}
#   {} + (4 + 2)\, \mu^2 \sigma^2 \underbrace{\mathbb{E}[\epsilon^4]}_{3}
#   {} + \sigma^4 \underbrace{\mathbb{E}[\epsilon^6]}_{15} \Big)
#   = \tfrac14 \big( \mu^4 + 18\, \mu^2 \sigma^2 + 15\, \sigma^4 \big) . \tag{4.2}$$
#
# Divide by $\sigma^2$ and subtract the squared mean $\mu^2$:
#
# $$\boxed{\; \mathrm{Var}_{\rm score} = \frac{\mu^4}{4 \sigma^2} + \frac72\, \mu^2 + \frac{15}4\, \sigma^2
#   \;} \tag{4.3}$$
#
# Every term is bad news. Even at $\mu = 0$ the variance is nearly four times (4.1). The first term
# *diverges* as $q$ becomes narrow: the two sides of a narrow $q$ differ little in $f$, and the
# estimate is the difference of large numbers $\pm f / \sigma$. And it is not invariant. Add a
# constant $c$ to $f$, which changes no gradient: (4.1) stays, while $f \epsilon / \sigma$ has
# $c\, \epsilon / \sigma$ added. For the log-variance the same steps give (exercise 1)
#
# $$\mathrm{Var}_{\rm path} = \tfrac14 \sigma^2 \mu^2 + \tfrac12 \sigma^4 , \qquad
#   \mathrm{Var}_{\rm score} = \tfrac18 \mu^4 + \tfrac{15}4 \mu^2 \sigma^2 + \tfrac{37}8 \sigma^4 . \tag{4.4}$$
#
# **Check against the exact result**: (4.1), (4.3) and (4.4) by quadrature, and measured.

# %% name="two-variances"
mu2, s2 = q_mean**2, sigma**2
path_variance = np.array([s2, s2 * mu2 / 4 + s2**2 / 2])  # (4.1), (4.4)
score_variance = np.array(
    [mu2**2 / (4 * s2) + 7 * mu2 / 2 + 15 * s2 / 4, mu2**2 / 8 + 15 * mu2 * s2 / 4 + 37 * s2**2 / 8]
)  # (4.3), (4.4)
check((path * slopes) ** 2 @ node_weights - exact_gradient**2, path_variance)
check((scores * values) ** 2 @ node_weights - exact_gradient**2, score_variance)

for name, rows, exact in (
    ("pathwise", path_rows(1), path_variance),
    ("score function", score_rows(1), score_variance),
):
    assert within((rows[..., 0] - exact_gradient) ** 2, exact)
    print(f"{name:14s}: variance {rows[..., 0].var(axis=0).round(3)}, exact {exact.round(3)}")
print("ratio:", (score_variance / path_variance).round(1))

# %%
one_score, one_path = score_rows(1)[:, 0, 0], path_rows(1)[:, 0, 0]  # derivative in mu
widths = np.geomspace(0.05, 5, 100)
score_curve = q_mean**4 / (4 * widths**2) + 7 * q_mean**2 / 2 + 15 * widths**2 / 4

# %% name="one-sample-gradients" alt="Left: histograms of one-sample gradients with one mean; the score function has a far longer tail. Right: as sigma falls, the pathwise variance goes to 0 and that of the score function rises."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.3))
for rows, name, colour in ((one_score, "score function", orange), (one_path, "pathwise", blue)):
    axes[0].hist(rows, np.linspace(-15, 50, 131), color=colour, alpha=0.6, log=True, label=name)
axes[0].axvline(q_mean, color="black", lw=1, label="mean of both")
label(axes[0], "One-sample gradients in $\\mu$", "gradient (nats per unit of $\\mu$)", "samples")
axes[1].loglog(widths, score_curve, color=orange, label="score function (4.3)")
axes[1].loglog(widths, widths**2, color=blue, label="pathwise (4.1)")
axes[1].plot([sigma, sigma], [one_score.var(), one_path.var()], "ko", ms=4, label="measured")
label(axes[1], "Variance and width of $q$", r"$\sigma$", "variance (nats$^2$)")
for axis in axes:
    axis.legend()
plt.show()

# %% [markdown]
# Left: both histograms have the same mean, the black line, but the score function gets there with
# many values near zero and a long tail (mind the logarithmic scale). Right: as $q$ narrows, the
# pathwise variance goes to zero and the other one to infinity.
#
# This is not a theorem about all functions. The pathwise variance is a matter of the *slope* of
# $f$, the other one of its *values*. For $f = \cos(\omega z)$ the values stay between $-1$ and $1$
# while the slope grows with $\omega$, and for fast ripples the score function wins (exercise 2).
# Free energies of VAEs are smooth, and their values are large.
#
# ## 5. Baselines
#
# By (2.1) any constant $b$ may be subtracted from $f$ in (B17a). Which one is best? With the score
# $s = \partial \ln q / \partial \phi$ of one parameter, the mean does not depend on $b$, and
#
# $$\mathrm{Var}\big[ (f - b)\, s \big]
#   = \mathbb{E}[f^2 s^2] - 2 b\, \mathbb{E}[f s^2] + b^2\, \mathbb{E}[s^2] - (\nabla \mathcal F)^2 $$
#
# is a parabola in $b$ with its minimum at
#
# $$\boxed{\; b^* = \frac{\mathbb{E}[f s^2]}{\mathbb{E}[s^2]}
#   = \mathbb{E}[f] + \frac{\mathrm{Cov}(f, s^2)}{\mathbb{E}[s^2]} , \qquad
#   \mathrm{Var}_{\min} = \mathrm{Var}_{b = 0} - \frac{\mathbb{E}[f s^2]^2}{\mathbb{E}[s^2]} \;} \tag{5.1}$$
#
# The simple choice is the mean, $b = \mathbb{E}[f]$: better or worse than average is what counts.
# For the spring and the derivative in $\mu$, $\mathbb{E}[s^2] = 1/\sigma^2$ and
# $\mathbb{E}[f \epsilon^2] = \tfrac12 (\mu^2 + 3 \sigma^2)$ turn (4.3) into
#
# $$\mathrm{Var}_{b = \mathbb{E}[f]} = 2 \mu^2 + \tfrac52 \sigma^2 , \qquad
#   \mathrm{Var}_{\min} = 2 \mu^2 + \tfrac32 \sigma^2 . \tag{5.2}$$
#
# The divergent term has gone, and $f$ may be shifted at will. What remains is still larger than
# $\sigma^2$, and without limit so for a narrow $q$.
#
# **From samples**: $\mathbb{E}[f]$ is unknown. The mean of the same samples would bring a bias,
# since the baseline of a sample must not depend on it. The mean of all *other* samples does not,
# and costs nothing (the leave-one-out baseline; Mnih and Rezende, 2016). With $n$ samples, $f_k$ minus
# it is $(f_k - \bar f)\, n / (n - 1)$, with $\bar f$ the mean of all (exercise 3). The library has
# both, `leave_one_out` and `optimal`, the latter with (5.1) from the other samples.
#
# **Check against the exact result**: (5.2), and that $b^*$ is the minimum; quadrature, then
# samples.

# %% name="baselines"
weighted = scores[0] ** 2 * node_weights
best = weighted @ values / weighted.sum()  # b*, (5.1)
baselines = {"none": 0.0, "leave_one_out": node_weights @ values, "optimal": best}
exact_variances = {name: weighted @ (values - b) ** 2 - q_mean**2 for name, b in baselines.items()}
check(exact_variances["leave_one_out"], 2 * mu2 + 5 * s2 / 2)  # (5.2)
check(exact_variances["optimal"], 2 * mu2 + 3 * s2 / 2)
check(score_variance[0] - (weighted @ values) ** 2 / weighted.sum(), 2 * mu2 + 3 * s2 / 2)
for name, exact in exact_variances.items():
    rows = score_rows(1, name)[:, 0, 0]
    assert within(rows, q_mean) and within((rows - q_mean) ** 2, exact)
    print(f"baseline {name:13s}: variance {rows.var():.3f}, exact {exact:.3f}")
print(f"pathwise              : variance {path_rows(1)[:, 0, 0].var():.3f}, exact {s2:.3f}")

# %% [markdown]
# ## 6. Growth with dimension
#
# Take $D$ springs, $f = \tfrac12 \sum_j z_j^2$, in a $q$ of $D$ independent factors (a mean field,
# B29), and the derivative in one $\mu_i$. The pathwise estimate (B17b) is $z_i$: it does not know about
# the others, and its variance is $\sigma^2$ at any $D$. The score-function estimate is
# $f \epsilon_i / \sigma$ with the *whole* of $f$. Split $f = f_i + R$, where $R$ is the energy of
# the other $D - 1$ springs, independent of $\epsilon_i$, with mean $m$ and variance $v$,
#
# $$m = (D - 1)\, \tfrac12 (\mu^2 + \sigma^2) , \qquad
#   v = (D - 1) \big( \mu^2 \sigma^2 + \tfrac12 \sigma^4 \big) . \tag{6.1}$$
#
# Then $\mathbb{E}[(f_i + R)^2 \epsilon_i^2] = \mathbb{E}[f_i^2 \epsilon_i^2] + 2 m\, \mathbb{E}[f_i
# \epsilon_i^2] + m^2 + v$, and so
#
# $$\mathrm{Var}_{\rm score} = \underbrace{\frac{\mu^4}{4 \sigma^2} + \frac72 \mu^2 + \frac{15}4 \sigma^2}_{
#   (4.3)} + \frac{m (\mu^2 + 3 \sigma^2) + m^2 + v}{\sigma^2} \;\sim\; D^2 , \qquad
#   \mathrm{Var}_{b^*} = 2 \mu^2 + \tfrac32 \sigma^2 + \frac{v}{\sigma^2} \;\sim\; D . \tag{6.2}$$
#
# A baseline takes away the mean of the others' energy, but not its fluctuations. In the language of
# physics: $f$ is extensive, so are its fluctuations $v$ (a heat capacity), and every component of
# the gradient has to hear its own small voice in the noise of the whole system. Backpropagation
# tells each component what *it* did.
#
# **Check against the exact result**: (6.2) measured up to $D = 100$.

# %%
measured, num = {"none": [], "leave_one_out": [], "optimal": [], "pathwise": []}, num_samples // 5
for dim in dims:
    for name in measured:
        rows = path_rows(dim, num) if name == "pathwise" else score_rows(dim, name, num)
        measured[name].append(rows[:, 0, 0].var())

# %%
number = np.array(dims)
m, v = (number - 1) * (mu2 + s2) / 2, (number - 1) * (mu2 * s2 + s2**2 / 2)  # (6.1)
predicted = {
    "none": score_variance[0] + (m * (mu2 + 3 * s2) + m**2 + v) / s2,
    "leave_one_out": 2 * mu2 + 5 * s2 / 2 + v / s2,
    "optimal": 2 * mu2 + 3 * s2 / 2 + v / s2,  # (6.2)
    "pathwise": np.full(len(dims), s2),
}
for name in measured:
    check(measured[name], predicted[name], tolerance=0.08)

# %% name="variance-and-dimension" alt="Variance against dimension 1 to 100, log scales, measured points on exact lines: score function grows like the square, with a baseline linearly, pathwise stays constant."
figure, axis = plt.subplots(figsize=(7, 3.6))
names = ("score function", "mean of the others as baseline", "optimal baseline", "pathwise")
for key, name, colour, marker in zip(
    measured, names, (orange, purple, green, blue), "os^D", strict=True
):
    axis.loglog(dims, predicted[key], color=colour)
    axis.loglog(dims, measured[key], marker, color=colour, ms=5, label=name)
label(axis, "Variance of one component (lines: exact)", "dimension $D$", "variance (nats$^2$)")
axis.legend()
plt.show()
print("D = 100, variance relative to pathwise:", end=" ")
print({key: round(float(measured[key][-1] / s2)) for key in measured})

# %% [markdown]
# ## 7. When it fails: a path that ends at a cliff
#
# The pathwise form wins by using the slope. So give it an $f$ that has none: a step, $f(z) = 1$ for
# $z > 0$ and 0 otherwise, as a threshold, a comparison or a rounding in the code of $f$ would do.
# The average is the smooth function $\Phi(\mu / \sigma)$ with Gauss's distribution function $\Phi$,
# and
#
# $$\frac{\partial}{\partial \mu} \mathbb{E}_q[f] = \frac1\sigma\, \varphi\Big( \frac{\mu}{\sigma} \Big)
#   \ne 0 , \qquad \text{but } f'(z) = 0 \text{ at every } z \text{ that is ever drawn.} \tag{7.1}$$
#
# Integrate (3.1) by parts on either side of the jump: there it leaves a boundary term, and that term
# is all there is. The pathwise estimate is 0, with variance 0: confident and wrong, and no error bar
# will tell. The score function is right.


# %% name="cliff"
def step_function(z):
    return (1 + tf.sign(z[:, 0])) / 2


q = np.array([q_mean]), np.array([q_log_var])
exact_step = np.exp(-((q_mean / sigma) ** 2) / 2) / np.sqrt(2 * np.pi) / sigma  # (7.1)
by_score = gradients.score_function(step_function, *q, num_samples, seed=seed).mean
by_path = gradients.pathwise(step_function, *q, num_samples, seed=seed).mean
print(f"exact {exact_step:.4f}, score function {np.mean(by_score):.4f},", end=" ")
print(f"pathwise {np.mean(by_path):.4f} +- {np.std(by_path):.4f}")
assert within(by_score[:, 0], exact_step) and not np.any(by_path)
try:
    gradients.pathwise(lambda z: tf.cast(z[:, 0] > 0, z.dtype), *q, num_samples, seed=seed)
except ValueError as error:
    print("A comparison has no derivative at all:", error)

# %% [markdown]
# ## 8. A VAE, trained by both
#
# For a VAE with $q_\phi(z|x) = \mathcal{N}(\mu_\phi(x), \sigma_\phi^2(x))$ the free energy of an
# image is
#
# $$-\mathrm{ELBO}(x) = \underbrace{-\mathbb{E}_{q_\phi}[\ln p_\theta(x|z)]}_{\text{reconstruction, sampled}}
#   + \underbrace{\mathrm{KL}(q_\phi(z|x) \| p(z))}_{\text{closed form (B30)}} . \tag{B14}$$
#
# Writing it in these two terms makes backpropagation possible: the second has no samples, so its
# gradient has no noise, and what remains is an average of $f = -\ln p_\theta(x|z)$, which does not
# contain $\phi$. The gradient in $\theta$ is (1.2) in any case. For $\phi$ we have a choice:
#
# - *pathwise*: $z = \mu_\phi + \sigma_\phi \epsilon$, and let the gradient flow from $f$ through
#   $z$;
# - *score function*: stop the gradient at $z$, and add to the loss the surrogate
#   $\overline{(f - b)}\, \ln q_\phi(z|x)$, the bar meaning "taken as a number". Its gradient is
#   (B17a), and its value means nothing.
#
# Three runs: pathwise, and the score function with and without a baseline. Each draws two samples for
# each image, so that the leave-one-out baseline is the other sample. All start from the same weights
# and see the same batches and the same noise.
#
# **Check against exact identities**: the loss itself is the same in all three; and the score function with the
# baseline has the pathwise gradient on average, within 5 standard errors. In the code, $f$ is the loss
# `NegativeLogLikelihood(Bernoulli())` of chapter 7, section 6; its method `call` gives one value for each image.

# %%
(x_train, _), (x_test, _) = load_digits("bernoulli", seed=seed)
kl_layer, nll = GaussianKL(), NegativeLogLikelihood(Bernoulli())


# %%
def free_energy(x, vae, eps, estimator):
    """Mean -ELBO of a batch, (B14); its gradient is that of the chosen estimator."""
    encoder, decoder = vae
    mean, log_var = encoder(x)
    z = mean + tf.exp(log_var / 2) * eps  # (2, batch, latent_dim)
    z = z if estimator == "pathwise" else tf.stop_gradient(z)
    logits = decoder(tf.reshape(z, (-1, latent_dim)))
    f = tf.reshape(nll.call(tf.tile(x, (len(eps), 1, 1)), logits), eps.shape[:2])  # -ln p(x|z)
    loss = tf.reduce_mean(f) + tf.reduce_mean(kl_layer((mean, log_var)))
    if estimator == "pathwise":
        return loss
    return loss + surrogate(f, z, (mean, log_var), baseline=estimator)


# %% name="surrogate"
def surrogate(f, z, q, baseline):
    """Of value 0; its gradient is the score-function term (B17a)."""
    mean, log_var = q
    log_q = -tf.reduce_sum((z - mean) ** 2 / tf.exp(log_var) + log_var, -1) / 2
    if baseline == "leave_one_out":
        f = f - f[::-1]  # two samples: the baseline of one is the other
    term = tf.reduce_mean(tf.stop_gradient(f) * log_q)
    return term - tf.stop_gradient(term)


def new_vae():
    keras.utils.set_random_seed(seed)
    encoder = networks.dense_encoder((8, 8), latent_dim, hidden_units=(64,))
    return encoder, networks.dense_decoder((8, 8), latent_dim, hidden_units=(64,))


# %%
def train(estimator):
    vae, optimizer, curve = new_vae(), keras.optimizers.Adam(0.002), []
    optimizer.build(variables := [v for part in vae for v in part.trainable_variables])

    @tf.function
    def hundred_updates(first):
        for index in tf.range(first, tf.minimum(first + 100, training_steps + 1)):
            with tf.GradientTape() as tape:
                loss = free_energy(tf.gather(x_train, batches[index]), vae, noise[index], estimator)
            optimizer.apply(tape.gradient(loss, variables), variables)

    for first in tf.range(0, training_steps + 1, 100):
        curve.append(float(free_energy(x_test, vae, test_eps, "pathwise")))
        hundred_updates(first)
    return curve, vae


# %% name="training-results"
rng = np.random.default_rng(seed)
batches = tf.constant(rng.integers(len(x_train), size=(training_steps + 1, batch_size)))
shape = training_steps + 1, 2, batch_size, latent_dim  # two samples for each image
noise = tf.constant(rng.normal(size=shape), tf.float32)
test_eps = tf.constant(rng.normal(size=(10, len(x_test), latent_dim)), tf.float32)
kinds = {"pathwise": blue, "leave_one_out": green, "none": orange}
start = [float(free_energy(x_test, new_vae(), test_eps[:2], kind)) for kind in kinds]
check(start, start[0], tolerance=1e-5)  # one value, three gradients
runs = {kind: train(kind) for kind in kinds}
for kind, (curve, _) in runs.items():
    print(f"{kind:13s}: -ELBO of test digits {curve[0]:.2f} -> {curve[-1]:.2f} nats")
last = [curve[-1] for curve, _ in runs.values()]
assert last[0] < last[1] < last[2] - 0.5 and last[2] < start[0] - 10  # all three learn

# %% [markdown]
# How noisy are the gradients themselves? At the start, and at the networks that the pathwise run
# has found, we draw the noise 200 times for the same 100 images and compare the gradient in the
# encoder's weights: the length of the mean, and the standard deviation around it.


# %%
def encoder_gradients(vae, estimator, repeats=200):
    """The gradient in the encoder's weights for each draw of the noise, (repeats, num_weights)."""
    variables = vae[0].trainable_variables

    @tf.function
    def gradient(eps):
        with tf.GradientTape() as tape:
            loss = free_energy(tf.constant(x_train[:100]), vae, eps, estimator)
        return tf.concat([tf.reshape(g, [-1]) for g in tape.gradient(loss, variables)], 0)

    return np.array([gradient(eps) for eps in noise[:repeats]])


# %% name="gradient-noise"
deviations = {}
for stage, vae in (("start", new_vae()), ("trained", runs["pathwise"][1])):
    rows = {kind: encoder_gradients(vae, kind) for kind in kinds}
    for kind, each in rows.items():
        length, deviation = np.linalg.norm(each.mean(axis=0)), np.sqrt(each.var(axis=0).sum())
        deviations[stage, kind] = deviation
        print(f"{stage:8s}{kind:13s}: |mean| {length:6.2f}, standard deviation {deviation:8.2f}")
    mean = rows["pathwise"].mean(axis=0)
    share = rows["leave_one_out"] @ mean / (mean @ mean)  # along the pathwise mean, one a draw
    error = share.std() / np.sqrt(len(share))
    assert abs(share.mean() - 1) < 5 * error < 0.5  # (B17a) is (B17b) on average
path, other, alone = (deviations["start", kind] for kind in kinds)
assert 70 < alone / path < 150 and other < alone / 5  # a hundred times; a baseline removes most

# %% name="three-trainings" alt="Minus ELBO of test digits over 1500 steps: pathwise lowest, score function with baseline close above, without baseline slower and highest; all end below the line of pixel means alone."
figure, axis = plt.subplots(figsize=(7, 3.4))
names = {
    "pathwise": "pathwise",
    "leave_one_out": "score function, baseline",
    "none": "score function",
}
ink = x_train.mean(axis=0).clip(0.001, 0.999)  # the best constant image
ignoring = -np.mean(np.sum(special.xlogy(x_test, ink) + special.xlogy(1 - x_test, 1 - ink), (1, 2)))
axis.axhline(ignoring, color=grey, ls="--", lw=1, label="pixel means alone")
for kind, (curve, _) in runs.items():
    axis.plot(100 * np.arange(len(curve)), curve, color=kinds[kind], lw=2, label=names[kind])
label(axis, "The same VAE, three gradients", "training step", "$-$ELBO of test digits (nats)")
axis.legend()
plt.show()

# %% [markdown]
# The three runs have the same model, the same loss, the same noise, and the same gradient on
# average. At the start the score function without a baseline has a hundred times the standard
# deviation of the pathwise gradient, that is, ten thousand times the variance: every sample brings
# the whole reconstruction error, more than 40 nats, along. (The mean of 200 draws still carries noise
# of length $59.5 / \sqrt{200} = 4.2$, and of 4.0 at the trained network, where it is most of the
# printed "|mean|".) The other sample as a baseline removes most of the noise.
#
# Why does the noisy run learn at all? The decoder's gradient (1.2) needs no trick. It takes every
# run to the dashed line, the best that a model can do that ignores $z$. What lies below has to come
# through the encoder, and there all three get some of it: each image and each step brings fresh noise, and
# the noise averages out in part. In the same number of steps the noisy run gets the least. By (6.2) the variance
# grows with the energy in $f$, which is larger for larger images.
#
# ## 9. Several samples: when more is less
#
# With $K$ samples $z_k \sim q$ and weights $w_k = p(x, z_k) / q(z_k)$ the importance-weighted bound
# is
#
# $$\mathcal{L}_K = \mathbb{E}\Big[ \ln \frac1K \sum_{k=1}^K w_k \Big] , \qquad
#   \mathcal{L}_1 = \mathrm{ELBO} \le \mathcal{L}_2 \le \dots \le \ln p(x) \tag{9.1}$$
#
# (Burda et al., 2016). A tighter bound should be better to train with. For the encoder it is not.
#
# **How large is the gradient?** The weights have mean $Z = p(x)$ and relative variance $\rho$.
# Expand the logarithm around $Z$ to second order in the fluctuation of $\bar w = \frac1K \sum w_k$,
# whose relative variance is $\rho / K$:
#
# $$\mathcal{L}_K \approx \ln Z - \frac{\rho}{2 K} , \qquad
#   \nabla_\phi \mathcal{L}_K \approx -\frac{1}{2 K}\, \nabla_\phi\, \rho , \qquad
#   1 + \rho = \frac{\mathbb{E}_q[w^2]}{Z^2} . \tag{9.2}$$
#
# Since $Z$ does not depend on $q$, only the *error* of the bound has a gradient, and it shrinks
# like $1/K$.
#
# **How large is the noise?** Pathwise, with $\tilde w_k = w_k / \sum_l w_l$,
#
# $$\nabla_\phi \ln \frac1K \sum_k w_k = \sum_k \tilde w_k\, \nabla_\phi \ln w_k , \qquad
#   \nabla_\phi \ln w_k = \frac{\partial \ln w_k}{\partial z_k} \frac{\partial z_k}{\partial \phi}
#   {} - \nabla_\phi \ln q_\phi(z_k) : \tag{9.3}$$
#
# $\phi$ is both in the path and, explicitly, in $q$. To leading order this is
# $\frac1K \sum_k \nabla w_k / Z$, a mean of $K$ independent terms whose average is
# $\nabla Z / Z = 0$. Its standard deviation falls only like $1/\sqrt K$, and the *signal-to-noise
# ratio* of the encoder's gradient is
#
# $$\mathrm{SNR} = \frac{|\text{mean}|}{\text{standard deviation}} \sim \frac{1/K}{1/\sqrt K} = \frac{1}{\sqrt K}
#   \tag{9.4}$$
#
# (Rainforth et al., 2018). The model's gradient tends to a non-zero limit,
# $\nabla_\theta \ln p(x)$, with the same noise, and its ratio *grows* like $\sqrt K$.
#
# **The cure** uses (B17) once more. The harmful part of (9.3) is the second, a score. Take the term
# of sample $k$ and keep all other samples fixed:
# $-\mathbb{E}_{z_k}[\tilde w_k\, \nabla_\phi \ln q(z_k)]$ is a score-function form with
# $f = \tilde w_k$ as a function of $z_k$. Replace it by the pathwise form of the same average:
#
# $$\mathbb{E}\big[ \tilde w_k\, \nabla_\phi \ln q(z_k) \big]
#   = \mathbb{E}\Big[ \frac{\partial \tilde w_k}{\partial z_k} \frac{\partial z_k}{\partial \phi} \Big] , \qquad
#   \frac{\partial \tilde w_k}{\partial z_k} = \tilde w_k (1 - \tilde w_k)\, \frac{\partial \ln w_k}{\partial z_k} . \tag{9.5}$$
#
# The first-order terms cancel, $\tilde w_k - \tilde w_k (1 - \tilde w_k) = \tilde w_k^2$, and what
# is left is the *doubly reparameterised* gradient (Tucker et al., 2019)
#
# $$\boxed{\; \nabla_\phi \mathcal{L}_K = \mathbb{E}\Big[ \sum_k \tilde w_k^2\,
#   \frac{\partial \ln w_k}{\partial z_k} \frac{\partial z_k}{\partial \phi} \Big] \;} \tag{9.6}$$
#
# Each term is now of order $1/K^2$, the sum of order $1/K$ with fluctuations of order $K^{-3/2}$:
# the ratio grows like $\sqrt K$. How large is it? Measure $w$ in units of $Z$, and let
# $g = \frac{\partial \ln w}{ \partial z} \frac{\partial z}{\partial \phi}$. Then (9.6) is a ratio of two sums,
# $\sum_k w_k^2 g_k / (\sum_k w_k)^2$. Its mean is $\frac1K \mathbb{E}[w^2 g]$ to leading order. Numerator and denominator
# fluctuate together, so that its noise is that of a mean of $w^2 g - 2\, \mathbb{E}[w^2 g]\, w$.
#
# If $q$ is the posterior, $w$ does not depend on $z$, and every single term is zero. For $K = 1$, (9.6) says: drop the
# score from the gradient of the ELBO ("sticking the landing"; Roeder et al., 2017).
#
# **Check against the exact result.** A model with an exact answer: $p(z) = \mathcal{N}(0, 1)$,
# $p(x|z) = \mathcal{N}(z, 1)$, so the posterior is $\mathcal{N}(x/2, 1/2)$. All constants in (9.2)
# to (9.6) are integrals over one Gaussian.

# %%
x_seen, guess = 1.0, (0.2, np.log(0.7))  # q; the posterior is N(0.5, 0.5)
guess_sigma = np.exp(guess[1] / 2)


def log_joint(z):
    """ln p(x, z) up to a constant, (num, 1) -> (num,)."""
    return -tf.reduce_sum(z**2 + (x_seen - z) ** 2, -1) / 2


# %%
z_node = guess[0] + guess_sigma * nodes
log_w = -(z_node**2 + (x_seen - z_node) ** 2) / 2 + nodes**2 / 2  # + constants
w = np.exp(log_w) / (node_weights @ np.exp(log_w))  # w / Z
slope_node = x_seen - 2 * z_node + nodes / guess_sigma  # d ln w / dz
total_node = slope_node - nodes / guess_sigma  # in mu, (9.3)
check(node_weights @ (w * total_node), 0.0)  # grad Z = 0
signal = node_weights @ (w**2 * slope_node)  # K times the mean, (9.6)


# %%
def rho(mean):
    """Relative variance of the weights, (9.2), with Z known to be sqrt(pi) e^(-1/4)."""
    z = mean + guess_sigma * nodes
    minus_log_q = nodes**2 / 2 + np.log(2 * np.pi * guess_sigma**2) / 2
    log_w = -(z**2 + (x_seen - z) ** 2) / 2 + minus_log_q
    return node_weights @ np.exp(2 * log_w) / (np.pi * np.exp(-0.5)) - 1


# %% name="snr-constants"
by_rho = -(rho(guess[0] + step) - rho(guess[0] - step)) / (4 * step)  # (9.2)
check(signal, by_rho, tolerance=1e-6)
noise_plain = np.sqrt(node_weights @ (w * total_node) ** 2)  # times 1 / sqrt(K)
ratio = w**2 * slope_node - 2 * signal * w  # its fluctuations are those of (9.6)
noise_double = np.sqrt(node_weights @ ratio**2 - signal**2)  # times K^(-3/2)
print(f"rho = {rho(guess[0]):.4f}, mean gradient = {signal:.4f} / K")
print(f"SNR: plain {abs(signal) / noise_plain:.3f} / sqrt(K),", end=" ")
print(f"doubly reparameterised {abs(signal) / noise_double:.3f} * sqrt(K)")


# %%
def many_gradients(num_weights, double):
    rows = gradients.importance_weighted(
        log_joint, [guess[0]], [guess[1]], (num_estimates, num_weights), seed=seed, double=double
    )
    return rows.mean[:, 0].numpy()


def model_gradients(num_weights):
    """In c of p(x|z) = N(z + c, 1) at c = 0."""
    eps = np.random.default_rng(seed).normal(size=(num_estimates, num_weights))
    z = guess[0] + guess_sigma * eps
    weights = special.softmax(-(z**2 + (x_seen - z) ** 2) / 2 + eps**2 / 2, axis=1)
    return np.sum(weights * (x_seen - z), axis=1)


# %%
snr = {"plain": [], "double": [], "model": []}
for num_weights in group_sizes:
    plain, double = (many_gradients(num_weights, double) for double in (False, True))
    for name, rows in zip(snr, (plain, double, model_gradients(num_weights)), strict=True):
        snr[name].append(abs(rows.mean()) / rows.std())
    assert within(plain - double, 0.0)  # one mean

# %%
large = np.sqrt(group_sizes[4:8])
check(snr["double"][4:8] / large, abs(signal) / noise_double, tolerance=0.15)  # (9.6)
line = abs(signal) / noise_plain / large  # (9.4)
height, error = snr["plain"][4:8] @ line / (line @ line), 1 / np.linalg.norm(line)
assert abs(height - 1) < 3 * error / np.sqrt(num_estimates) < 0.6  # of the line, 1
slope = np.polyfit(np.log(group_sizes), np.log(snr["model"]), 1)[0]
assert snr["plain"][0] > 3 * snr["plain"][7] and abs(slope - 0.5) < 0.1  # one falls, one grows

posterior = gradients.importance_weighted(
    log_joint, [0.5], [np.log(0.5)], (1000, 8), seed=seed, double=True
)
check(posterior.mean, 0.0, tolerance=1e-5)  # no noise where q is the posterior

# %% name="signal-to-noise" alt="Signal to noise against the number of weights K from 1 to 512, log scales: the plain encoder gradient falls, the doubly reparameterised one and that of the model rise."
figure, axis = plt.subplots(figsize=(7, 3.5))
k = np.array(group_sizes)
axis.loglog(k, abs(signal) / noise_plain / np.sqrt(k), color=orange, lw=1)
axis.loglog(k, abs(signal) / noise_double * np.sqrt(k), color=blue, lw=1)
for name, colour, text in (
    ("plain", orange, "encoder, plain (9.3)"),
    ("double", blue, "encoder, doubly reparameterised (9.6)"),
    ("model", green, "model"),
):
    axis.loglog(k, snr[name], "o", color=colour, ms=5, label=text)
axis.axhline(1 / np.sqrt(num_estimates), color=grey, ls="--", lw=1, label="resolution")
label(axis, "Signal to noise of one gradient (encoder's lines: large $K$)", "$K$", "|mean| / s.d.")
axis.legend(fontsize=10)
plt.show()

# %% [markdown]
# From moderate $K$ on the encoder's points follow the lines, which are the leading order in $1/K$
# without any sampling. Below the dashed line a mean over all estimates cannot be told from zero;
# the line is also the standard error of the orange points, which scatter by as much when they come
# near it. So: with the plain gradient, more weights give a better *model* gradient and a worse
# *encoder* gradient, and the doubly reparameterised form repairs the latter at no cost but one more
# line of code.
#
# ## 10. Discrete latent variables: no path
#
# Let $x_j \in \{0, 1\}$ with $q(x_j = 1) = p_j = \mathrm{sigm}(l_j)$, the factors of a mean-field
# RBM. A sample jumps as $l$ changes, and there is no path. The score function (B17a) does not mind:
# $\ln q = \sum_j [x_j l_j - \mathrm{softplus}(l_j)]$, so
#
# $$\nabla_l\, \mathbb{E}_q[f] = \mathbb{E}_q\big[ f(x)\, (x - p) \big]
#   = \sum_x q(x)\, f(x)\, (x - p) , \tag{10.1}$$
#
# an average for large systems and an exact sum for small ones.
#
# **The relaxation.** A Bernoulli sample is a threshold: with $u$ uniform,
# $\lambda = \ln \frac{u}{1 - u}$ is *logistic* noise, $P(\lambda > -l) = \mathrm{sigm}(l)$, and
# $x = 1$ if $l + \lambda > 0$. Soften the threshold:
#
# $$x_T = \mathrm{sigm}\Big( \frac{l + \lambda}{T} \Big) , \qquad
#   \frac{\partial x_T}{\partial l} = \frac{x_T (1 - x_T)}{T} \tag{10.2}$$
#
# (the *concrete* or Gumbel-softmax distribution; Maddison et al., 2017; Jang et al., 2017). Now
# there is a path. As $T \to 0$ the samples become binary again. But the derivative in (10.2) is
# then a spike of height $1/(4T)$, hit with a probability proportional to $T$: its mean is finite
# and its variance grows like $1/T$. At large $T$ the variance is small, and the gradient that of a
# different function, an average over soft bits. *Bias against variance*, with $T$ as the dial.
#
# **Check against the exact result**: six bits, a linear decoder with Gaussian noise of variance 1
# as $f$, all 64 states.

# %%
rng = np.random.default_rng(seed)
logits, couplings, pixels = rng.normal(size=6), rng.normal(size=(6, 8)), rng.normal(size=8)


def energy(x):
    """-ln p(pixels|x) of a linear decoder up to a constant, (num, 6) -> (num,), nats."""
    return tf.reduce_sum((pixels - x @ couplings) ** 2, -1) / 2


# %%
states = np.array(list(np.ndindex(*[2] * 6)), float)  # (64, 6)
p = special.expit(logits)
q_states = np.prod(np.where(states == 1, p, 1 - p), axis=1)
exact_bits = (q_states * energy(states).numpy()) @ (states - p)  # (10.1)
check(exact_bits, gradients.exact_gradient(energy, logits))
bits = np.random.default_rng(seed).random((num_samples, 6)) < p
assert within(energy(bits.astype(float)).numpy()[:, np.newaxis] * (bits - p), exact_bits)
print("exact gradient (nats):", exact_bits.round(4))

# %%
print("estimator                 |bias|   standard deviation")
spread = {}
for baseline in gradients.BASELINES:
    rows = gradients.score_function_bernoulli(
        energy, logits, num_samples, seed=seed, baseline=baseline
    ).numpy()
    assert within(rows, exact_bits)
    spread[baseline] = np.linalg.norm(rows.std(axis=0))
    print(f"score, {baseline:14s}      none   {spread[baseline]:8.3f}")

# %%
relaxed = []
for t in temperatures:
    rows = gradients.relaxed_bernoulli(energy, logits, t, num_samples, seed=seed).numpy()
    relaxed.append((np.linalg.norm(rows.mean(0) - exact_bits), np.linalg.norm(rows.std(0))))
bias, deviation = np.transpose(relaxed)
for i in (0, 6, 12):
    print(f"relaxed, T = {temperatures[i]:5.2f}     {bias[i]:8.4f}   {deviation[i]:8.3f}")

# %%
f, s = energy(states).numpy(), states - p
pairs = (f[:, np.newaxis] - f)[..., np.newaxis] * (s[:, np.newaxis] - s) / 2  # of two samples
one = q_states @ np.sum((np.tensordot(q_states, pairs, 1) - exact_bits) ** 2, axis=1)
two = q_states @ np.sum((pairs - exact_bits) ** 2, axis=2) @ q_states
check(np.tensordot(q_states, np.tensordot(q_states, pairs, 1), 1), exact_bits)
assert abs(2 * np.sqrt(one) / spread["leave_one_out"] - 1) < 0.05  # many samples


def baseline_error(n):
    """Exact error of n samples, each with the mean of the others as its baseline, nats."""
    return np.sqrt((4 * (n - 2) * one + 2 * two) / (n * (n - 1)))  # a mean over all pairs


# %% name="which-estimator"
rows = {n: np.sqrt(bias**2 + deviation**2 / n) for n in (2, 50, 5000)}  # of the relaxation
for n, error in rows.items():
    wins = temperatures[error < baseline_error(n)].round(2)
    print(f"{n:4d} samples: score function {baseline_error(n):.3f} nats, worse at T =", wins)
assert np.all(rows[2][3:] < baseline_error(2)) and rows[2][0] > baseline_error(2)
assert rows[50].min() < baseline_error(50) and rows[5000].min() > baseline_error(5000)

# %% name="relaxation" alt="Left: bias rises and standard deviation falls with the temperature T. Right: error against T for 2, 50 and 5000 samples, a valley each; with 5000 the unbiased score function is below all of it."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.8))
axes[0].loglog(temperatures, bias, "o-", color=purple, label="|bias|")
axes[0].loglog(temperatures, deviation, "s-", color=blue, label="standard deviation")
for name, colour in (("none", orange), ("optimal", green)):
    axes[0].axhline(spread[name], color=colour, ls="--", lw=1, label=f"score, baseline {name}")
label(axes[0], "The relaxation", "temperature $T$", "nats")
for n, colour in ((2, blue), (50, purple), (5000, "black")):
    axes[1].loglog(temperatures, rows[n], "o-", ms=3, color=colour, label=f"{n} samples")
    axes[1].axhline(baseline_error(n), color=colour, ls="--", lw=1)
label(axes[1], "Error (dashed: score function)", "temperature $T$", "root mean square error (nats)")
for axis, limits in zip(axes, ((8e-4, 30), (0.06, 60)), strict=True):
    axis.set_ylim(limits)  # room for the legends
axes[0].legend(fontsize=10, loc="lower center")
axes[1].legend(fontsize=10, loc="upper right")
plt.show()

# %% [markdown]
# The dashed lines are the score function with the baseline that $n$ samples can give themselves, the mean of
# the others. (An optimal baseline would have to be estimated, too.) With two samples the relaxation is the better
# choice at all but the lowest temperature, since variance is nearly all that matters. With many samples its
# bias is the floor, the best $T$ moves down, and with 5,000 samples the unbiased estimator wins at every $T$. In
# practice one lowers $T$ during training. (At the lowest $T$ the measured bias is no more than the noise of
# the 100,000 samples.)
#
# ## 11. The gradient of ln p(x) without its Z: score matching
#
# So far gradients were taken in parameters. Now take the gradient of a log density in $x$ itself.
# For a model known only up to its normalisation, $q_\theta(x) = e^{-E_\theta(x)} / Z(\theta)$,
#
# $$s_\theta(x) \equiv \nabla_x \ln q_\theta(x) = -\nabla_x E_\theta(x) - \underbrace{\nabla_x \ln Z(\theta)}_{0} : $$
#
# $Z$ is a constant in $x$, and it is gone. (This $s$ is called a *score*, too; the one of section 2
# is a derivative in the parameters.) For a machine with hidden units, $\ln q = -F_c + F_{\rm eq}$
# (B5), so that $s = -\nabla_x F_c$: the clamped free energy is all that is needed. Hyvärinen (2005)
# compares scores instead of densities,
#
# $$J(\theta) = \tfrac12\, \mathbb{E}_{p(x)} \big\| \nabla_x \ln p(x) - \nabla_x \ln q_\theta(x) \big\|^2 . \tag{B11a}$$
#
# This is what the post that this course follows, Charles Martin's *Free Energies and Variational
# Inference*, writes with a general score $\phi$. As it stands it needs the score of the data, which
# nobody knows. Expand the square and look at the cross term, in one dimension first. As
# $p\, (\ln p)' = p'$,
#
# $$\mathbb{E}_p[s_p\, s_\theta] = \int p'(x)\, s_\theta(x)\, dx
#   = \big[ p\, s_\theta \big]_{-\infty}^{\infty} - \int p(x)\, s_\theta'(x)\, dx
#   = -\mathbb{E}_p[s_\theta'] , \tag{11.1}$$
#
# the same integration by parts as (3.1). In more dimensions it is done for each coordinate, and the
# derivatives add up to the trace of the Jacobian:
#
# $$\boxed{\; J(\theta) = \mathbb{E}_p\Big[ \tfrac12 \| s_\theta(x) \|^2
#   {} + \mathrm{tr}\, \nabla_x s_\theta(x) \Big] + \text{const} \;} \tag{B11b}$$
#
# an average over data that needs neither $p$ nor $Z$. The first term asks for data where the energy
# is flat, the second for a *minimum* there and not a maximum. (In dimension 1 with $E = -\ln q$:
# $J = \langle \frac12 E'^2 - E'' \rangle$.)
#
# **On a Gaussian** with mean $m$ and precision matrix $P$: $s = -P (x - m)$,
# $\mathrm{tr} \nabla s = -\mathrm{tr} P$, and with the data's mean and covariance $S$
#
# $$J = \tfrac12 \mathrm{tr}(P^2 S) + \tfrac12 \| P (\bar x - m) \|^2 - \mathrm{tr} P , \qquad
#   \frac{\partial J}{\partial P}\Big|_{m = \bar x} = \tfrac12 (P S + S P) - I = 0 \;\Rightarrow\; P = S^{-1} , \tag{11.2}$$
#
# the same answer as maximum likelihood, with $J_{\min} = -\frac12 \mathrm{tr}\, S^{-1}$.
#
# **Check against the exact result** by automatic differentiation of the library's loss, which takes
# the trace of the Jacobian that TensorFlow computes.

# %%
rng = np.random.default_rng(seed)
cloud = tf.constant(rng.normal(size=(500, 2)) @ np.array([[1.0, 0.6], [0.0, 0.5]]) + [1.0, -0.5])
covariance = np.cov(cloud.numpy().T, bias=True)
fitted = tf.constant(cloud.numpy().mean(axis=0)), tf.constant(np.linalg.inv(covariance))
with tf.GradientTape() as tape:
    tape.watch(fitted)
    losses = gradients.explicit_score_matching(
        lambda x: 42 - tf.reduce_sum((x - fitted[0]) * ((x - fitted[0]) @ fitted[1]), -1) / 2, cloud
    )
    loss = tf.reduce_mean(losses)  # (B11b); 42 stands for an unknown -ln Z
for slope in tape.gradient(loss, fitted):
    check(slope, 0.0)  # (11.2)
check(loss, -np.trace(fitted[1]) / 2)
print(f"J at the sample's moments: {loss:.6f}, -tr(S^-1) / 2 = {-np.trace(fitted[1]) / 2:.6f}")

# %% [markdown]
# **A density whose $Z$ has no closed form**: the double well
# $-E(x) = \frac{a}2 x^2 - \frac{b}4 x^4$, with barrier $a^2 / 4b$ between the minima at
# $\pm \sqrt{a/b}$. Its score $s = a x - b x^3$ is *linear in the parameters*, as for every
# exponential family, so that $J$ is a parabola. With $\psi = (x, -x^3)$ it is
# $\frac12 \theta^\top \langle \psi \psi^\top \rangle \theta + \theta^\top \langle \psi' \rangle$,
# and
#
# $$\hat\theta = -\langle \psi \psi^\top \rangle^{-1} \langle \psi' \rangle , \qquad
#   \langle \psi \psi^\top \rangle = \begin{pmatrix} \langle x^2 \rangle & -\langle x^4 \rangle \\
#   -\langle x^4 \rangle & \langle x^6 \rangle \end{pmatrix} , \quad
#   \langle \psi' \rangle = \begin{pmatrix} 1 \\ -3 \langle x^2 \rangle \end{pmatrix} : \tag{11.3}$$
#
# no iterations, no $Z$. Maximum likelihood would need $Z(a, b)$ at every step. It is, however, the
# more *precise* of the two: its variance is the inverse of $n\, \mathrm{Cov}(x^2/2, -x^4/4)$, the
# covariance matrix of chapter 1, and no unbiased estimate can do better. **Check**: with the
# exact moments, (11.3) returns $(a, b)$; from data, 400 times.

# %%
well = np.array([2.0, 1.0])  # a, b
grid = np.linspace(-4, 4, 4001)
boltzmann = np.exp(well[0] * grid**2 / 2 - well[1] * grid**4 / 4)
density = boltzmann / integrate.simpson(boltzmann, x=grid)


def match_scores(m2, m4, m6):
    """The minimum (11.3), (a, b) on the last axis, from <x^2>, <x^4> and <x^6>."""
    products = np.moveaxis(np.array([[m2, -m4], [-m4, m6]]), (0, 1), (-2, -1))
    right = np.stack([-np.ones_like(m2), 3 * m2], axis=-1)[..., np.newaxis]
    return np.linalg.solve(products, right)[..., 0]


exact_moments = [integrate.simpson(grid**n * density, x=grid) for n in (2, 4, 6)]
check(match_scores(*np.array(exact_moments)), well, tolerance=1e-8)  # (11.3)

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
# ## 12. Score matching is denoising
#
# The trace in (B11b) takes one backward pass for each dimension. Vincent (2011) found a way around.
# Blur the data, $y = x + \sigma \epsilon$, and match the score of the *blurred* density
# $p_\sigma(y) = \int p(x)\, \mathcal{N}(y; x, \sigma^2 I)\, dx$. The cross term becomes an average
# again, because the blur's derivative is known:
#
# $$\begin{aligned}
# \mathbb{E}_{p_\sigma}\big[ s_\theta \cdot \nabla \ln p_\sigma \big]
#   &= \int s_\theta(y) \cdot \nabla p_\sigma(y)\, dy
#   = \int \!\! \int s_\theta(y) \cdot \nabla_y \mathcal{N}(y; x, \sigma^2 I)\, p(x)\, dx\, dy \\
#   &= \mathbb{E}_{x, y}\Big[ s_\theta(y) \cdot \frac{x - y}{\sigma^2} \Big] . \end{aligned} \tag{12.1}$$
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
# $$\mathbb{E}[x|y] = y + \sigma^2\, \nabla_y \ln p_\sigma(y) \tag{12.2}$$
#
# (Tweedie's formula): the step from $y$ to its reconstruction points uphill in probability, and its
# length is $\sigma^2$ times the slope.
#
# **An autoencoder inside an RBM.** Give a machine Gaussian visible units and binary hidden ones,
# $E(x, h) = \frac12 \|x - a\|^2 - b \cdot h - x^\top W h$. The hidden units sum out as in (B5),
#
# $$F_c(x) = \tfrac12 \|x - a\|^2 - \sum_j \mathrm{softplus}(b_j + (x W)_j) , \qquad
#   s(x) = -\nabla F_c = a - x + W\, \mathrm{sigm}(b + x W) , \tag{12.3}$$
#
# and at noise level $\sigma = 1$ the denoiser is $r(y) = a + W\, \mathrm{sigm}(b + y W)$: *encode
# with $W$, squash, decode with the same $W$*. Training an autoencoder with tied weights to remove
# noise *is* training this machine, and its partition function never appears (Vincent, 2011).
#
# **Check against the exact result**: (12.2) on the double well by integration, and (12.3) by
# automatic differentiation of $F_c$.

# %%
blur = np.exp(-((grid[:, np.newaxis] - grid) ** 2) / (2 * noise_scale**2)) * density  # (y, x)
blurred = integrate.simpson(blur, x=grid)
clean_mean = integrate.simpson(blur * grid, x=grid) / blurred  # E[x|y]
exact_score = np.gradient(np.log(blurred), grid, edge_order=2)  # of the blurred density
middle = np.abs(grid) < 3
tweedie = grid + noise_scale**2 * exact_score
check(tweedie[middle], clean_mean[middle], tolerance=1e-4)  # (12.2)

# %%
rng = np.random.default_rng(seed)
kernel, offset, bias_h = rng.normal(size=(5, 3)), rng.normal(size=5), rng.normal(size=3)


def minus_clamped(x):
    """-F_c(x) of a Gaussian-Bernoulli machine, (12.3)."""
    hidden = tf.nn.softplus(bias_h + x @ kernel)
    return tf.reduce_sum(hidden, -1) - tf.reduce_sum((x - offset) ** 2, -1) / 2


noisy = tf.constant(rng.normal(size=(20, 5)))
autoencoder = offset + special.expit(bias_h + noisy @ kernel) @ kernel.T
check(gradients.denoise(minus_clamped, noisy, noise_scale=1.0), autoencoder)

# %% [markdown]
# Now train: the energy is a small network, the loss is (B11c), the data are 5000 points in the
# double well.

# %%
keras.utils.set_random_seed(seed)
network = keras.Sequential([keras.layers.Dense(32, "tanh"), keras.layers.Dense(1)])
network.build((None, 1))
optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.02, 1500))
x_well = tf.constant(draws[0][:, np.newaxis], tf.float32)


def log_q(x):
    return network(x)[:, 0] - tf.reduce_sum(x**2, -1) / 2  # up to ln Z


# %%
variables = network.trainable_variables[:-1]  # the last bias is part of ln Z
optimizer.build(variables)


@tf.function
def learn_to_denoise():
    for step in tf.range(1500):
        with tf.GradientTape() as tape:
            loss = gradients.denoising_score_matching(log_q, x_well, noise_scale, seed=[seed, step])
        optimizer.apply(tape.gradient(loss, variables), variables)


learn_to_denoise()


# %%
x_grid = tf.constant(grid[middle][:, np.newaxis], tf.float32)
learned = np.exp(log_q(x_grid).numpy() - np.max(log_q(x_grid)))
learned = learned / integrate.simpson(learned, x=grid[middle])
blurred = blurred / integrate.simpson(blurred, x=grid)

# %% name="score-and-density" alt="Left: the learned score follows the exact one of the blurred data up to about 2.5. Right: its density has the two peaks of the blurred data, lower than those of the histogram."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.3))
axes[0].plot(grid[middle], exact_score[middle], color="black", lw=1, label="exact, blurred data")
axes[0].plot(grid[middle], gradients.score(log_q, x_grid)[:, 0], color=blue, label="network")
label(axes[0], "The score", "$x$", r"$\nabla_x \ln q$ (nats per unit of $x$)")
axes[1].hist(draws[0], 60, density=True, color=grey, alpha=0.4, label="data")
axes[1].plot(grid, blurred, color="black", lw=1, label="blurred data, exact")
axes[1].plot(grid[middle], learned, color=blue, label="network, normalised afterwards")
label(axes[1], "The density", "$x$", "probability density")
axes[1].set_ylim(0, 0.75)
for axis in axes:
    axis.legend(fontsize=10)
plt.show()

# %% [markdown]
# The network follows the exact score where there are data and leaves it beyond $|x| = 2.5$, where
# there are next to none. Normalised afterwards, its density is that of the *blurred* data: lower
# peaks and a shallower valley than the histogram's. The noise is part of what has been learned.
#
# **What has cancelled, and at what price.** The post observes that deep autoencoders, deterministic
# and trained as if at $T = 1$, get along without any partition function, as though it had
# cancelled. Score matching shows how this can be true: if a reconstruction loss *is* a comparison
# of scores, $Z$ drops out exactly. Two conditions come with it. There must be *noise*: without it
# the loss $\|r(x) - x\|^2$ is zero for $r(x) = x$, that is, for the score 0 everywhere, and nothing
# about the density has been learned. (A narrow code in the middle also forbids that solution, but
# then the loss no longer compares scores.) And what cancels is *lost*. A score says where it goes
# uphill from here; it does not say how much of the probability lies under this hill and how much
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
assert fisher[-1] < 1e-2 * max(fisher) and np.all(np.diff(kl) > 0)
check(kl[-1], np.log(0.5 / np.sqrt(0.9 * 0.1)), tolerance=1e-2)

# %% [markdown]
# As the hills part, the likelihood sees the wrong shares better and better; score matching does so
# only while they overlap (up to about $d = 1$), and then stops seeing them. The difference of $\ln
# p$ between two hilltops is an *integral* of the score across the gap, where there are no data.
# What the post calls guessing, a network that only reconstructs, buys its freedom from $Z$ with
# exactly this blindness. More noise helps: a blur that joins the hills makes the shares visible
# again, which is why denoising models for images work with many noise levels.
#
# ## 13. Laplace: a Gaussian around the minimum
#
# If the energy $H(z) = -\ln p(x, z)$ has one clear minimum $z^*$, where the gradient vanishes,
# expand it to second order there and integrate the Gaussian:
#
# $$\ln Z = \ln \int e^{-H(z)}\, dz \;\approx\; -H(z^*) + \tfrac{D}2 \ln 2 \pi - \tfrac12 \ln \det H''(z^*) . \tag{13.1}$$
#
# The first term is the energy of the best state, the rest the entropy of the fluctuations around
# it. It is neither a bound nor an average: one optimisation, one Hessian.
#
# **A small posterior with known answers.** A coin has shown $a - 1$ heads and $b - 1$ tails; the
# prior of its heads probability $\pi$ is uniform. In the coordinate $z = \ln \frac{\pi}{1 - \pi}$,
# which runs over the whole line, the posterior is
#
# $$e^{-H(z)} = \pi^{a} (1 - \pi)^{b} , \qquad H(z) = -a z + (a + b)\, \mathrm{softplus}(z) , \qquad
#   Z = B(a, b) = \frac{\Gamma(a)\, \Gamma(b)}{\Gamma(a + b)} , \tag{13.2}$$
#
# (one factor $\pi (1 - \pi)$ is the Jacobian $d\pi / dz$), and its exact mean and variance are
# $\psi(a) - \psi(b)$ and $\psi'(a) + \psi'(b)$ with the digamma function $\psi = (\ln \Gamma)'$.
# The minimum is at $\pi^* = a / n$, $n = a + b$, with $H'' = n \pi^* (1 - \pi^*) = ab/n$. Then
# (13.1) reads
#
# $$\ln Z \approx (a - \tfrac12) \ln a + (b - \tfrac12) \ln b - (n - \tfrac12) \ln n + \tfrac12 \ln 2\pi , \tag{13.3}$$
#
# which is Stirling's formula for the three $\Gamma$-functions. Its next term tells the error,
# $\frac1{12} \big( \frac1a + \frac1b - \frac1n \big)$: Laplace becomes exact as data accumulate.
# (In the coordinate $\pi$ itself it would be another Gaussian, and another number: unlike an
# integral, a Laplace approximation depends on the coordinates.)
#
# **Check against the exact result.**


# %%
def laplace(a, b):
    """ln Z by (13.1) in the coordinate z."""
    n = a + b
    at_minimum = a * np.log(a / n) + b * np.log(b / n)
    return at_minimum + 0.5 * np.log(2 * np.pi) - 0.5 * np.log(a * b / n)


# %% name="laplace"
heads, tails = 3, 9  # a and b: 2 heads and 8 tails seen
for factor in (1, 4, 16):
    a, b = factor * heads, factor * tails
    error = laplace(a, b) - special.betaln(a, b)
    stirling = -(1 / a + 1 / b - 1 / (a + b)) / 12
    print(f"a = {a:3d}, b = {b:3d}: ln Z = {special.betaln(a, b):9.5f},", end=" ")
    print(f"Laplace off by {error:+.6f}, Stirling's next term {stirling:+.6f} nats")
    assert abs(error - stirling) < 1e-2 / factor**3  # what is left is of third order
coin_mean = special.digamma(heads) - special.digamma(tails)
coin_variance = special.polygamma(1, heads) + special.polygamma(1, tails)

# %% [markdown]
# ## 14. Walking along the gradient: Langevin and Hamilton
#
# The gradient in $z$ does not need $Z$ either, and so it can drive a sampler. A particle in the
# potential $H$ with friction and thermal noise, in steps of size $\eta$,
#
# $$z_{t+1} = z_t - \tfrac{\eta}2\, \nabla H(z_t) + \sqrt{\eta}\; \xi_t , \qquad \xi_t \sim \mathcal{N}(0, I) , \tag{14.1}$$
#
# ends up in the Boltzmann distribution $e^{-H} / Z$ as $\eta \to 0$. **Stochastic gradient Langevin
# dynamics** (Welling and Teh, 2011) replaces $\nabla H$ by its estimate from a mini-batch. It is
# gradient descent with noise added, no more.
#
# **How wrong is it at finite $\eta$?** On a Gaussian posterior it can be said exactly. Data
# $x_1, \dots, x_N \sim \mathcal{N}(z, 1)$ and the prior $\mathcal{N}(0, 1)$ give the posterior
# precision $A = N + 1$. A batch of $n$ draws yields $\nabla H = A (z - z^*) + \zeta$, where the
# batch noise $\zeta$ has the variance $V = \frac{N^2}{n} \mathrm{Var}(x)$ whatever $z$ is. Subtract
# $z^*$ in (14.1) and take the variance on both sides; stationary means the same $v$ on both:
#
# $$v = \Big( 1 - \frac{\eta A}2 \Big)^2 v + \frac{\eta^2}4 V + \eta
#   \qquad \Rightarrow \qquad
#   v = \frac1A \cdot \frac{1 + \eta V / 4}{1 - \eta A / 4} . \tag{14.2}$$
#
# Too broad, from two sides: the batch noise heats ($V$), and the finite step does so even with all
# data ($V = 0$). As $\eta \to 0$ both vanish, as $\eta$, while the walk takes $2 / (\eta A)$ steps
# to forget where it was.
#
# **Check against the exact result**: (14.2) at several step sizes, 500 chains started at the
# posterior mean.

# %%
rng = np.random.default_rng(seed)
observed = rng.normal(1.0, 1.0, size=100)
precision, center = len(observed) + 1, observed.sum() / (len(observed) + 1)
batch_noise = len(observed) ** 2 / 10 * observed.var()  # V, batches of 10


def langevin(eta, num_steps, batch=10):
    """The walk (14.1) of all chains after a burn-in, (num_steps, num_chains)."""
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
        exact = (1 + eta * noise_variance / 4) / (1 - eta * precision / 4) / precision  # (14.2)
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
#   r \leftarrow r - \tfrac{\varepsilon}2 \nabla H(z) , \tag{14.3}$$
#
# and accept the end point with probability $\min(1, e^{-\Delta \mathcal{H}})$. Each of the three
# moves is a *shear*: it changes one variable by a function of the other. So the map $T$ preserves
# volume exactly at any step size (Liouville's theorem, for the computer), and run backwards it is
# itself with $r \to -r$. Volume preservation alone implies
#
# $$\big\langle e^{-\Delta \mathcal{H}} \big\rangle
#   = \frac{\int e^{-\mathcal{H}(s)}\, e^{-[\mathcal{H}(T s) - \mathcal{H}(s)]}\, ds}{\int e^{-\mathcal{H}(s)}\, ds}
#   = \frac{\int e^{-\mathcal{H}(T s)}\, ds}{\int e^{-\mathcal{H}(s)}\, ds} = 1 \tag{14.4}$$
#
# for starting points $s = (z, r)$ in equilibrium: a free-energy difference of zero, in the form of
# (B20). By Jensen the energy rises on average, $\langle \Delta \mathcal{H} \rangle \ge 0$, and the
# rejections correct for it. The conserved volume in phase space is what the post has in mind, and
# the link to normalising flows: *both* push samples through an invertible map whose Jacobian is
# known. For the leapfrog it is 1; a flow learns it, and carries $\ln |\det|$ along (chapter 18).
#
# **Check against the exact result**: (14.4) on the coin with exact draws of $z$ and leapfrog steps
# by hand, at a fine and at a coarser step (much coarser still, and rare large terms carry the
# average, as in plain Monte Carlo); then the chain of TensorFlow Probability against the
# exact mean and variance.


# %%
def coin_energy(z):
    """H(z), (13.2)."""
    return -heads * z + (heads + tails) * np.logaddexp(0, z)


def coin_slope(z):
    return -heads + (heads + tails) * special.expit(z)


# %% name="liouville"
rng = np.random.default_rng(seed)
share = rng.beta(heads, tails, size=num_samples)
z_start, r_start = np.log(share / (1 - share)), rng.normal(size=num_samples)
for epsilon in (0.2, 0.7):
    z, r = z_start, r_start
    for _ in range(4):  # (14.3)
        r = r - epsilon / 2 * coin_slope(z)
        z = z + epsilon * r
        r = r - epsilon / 2 * coin_slope(z)
    change = coin_energy(z) + r**2 / 2 - coin_energy(z_start) - r_start**2 / 2
    assert within(np.exp(-change), 1.0) and change.mean() > 0  # (14.4)
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
    arguments = {"num_burnin_steps": 100, "seed": [seed, 1]}
    start = tf.zeros(num_chains, tf.float64)
    return tfp.mcmc.sample_chain(chain_steps, start, kernel=kernel, trace_fn=None, **arguments)


# %%
coin_chain = hmc().numpy()  # (steps, chains)
assert within(coin_chain.mean(axis=0), coin_mean)
assert within(((coin_chain - coin_mean) ** 2).mean(axis=0), coin_variance)
print(f"exact mean {coin_mean:.4f}, variance {coin_variance:.4f}")
print(f"HMC        {coin_chain.mean():.4f},          {coin_chain.var():.4f}")
print(f"Laplace    {np.log(heads / tails):.4f},          {1 / heads + 1 / tails:.4f}")

# %%
fine, z_grid = np.linspace(0.02, 1.5, 100), np.linspace(-4, 1.5, 300)
heated = {
    "mini-batches of 10": (1 + fine / precision * batch_noise / 4) / (1 - fine / 4),
    "all data": 1 / (1 - fine / 4),
}
exact_coin = np.exp(-coin_energy(z_grid) - special.betaln(heads, tails))
laplace_variance = 1 / heads + 1 / tails
assert abs(np.log(heads / tails) - coin_mean - 0.12) < 0.01  # Laplace's mean is too high
assert abs(1 - laplace_variance / coin_variance - 0.13) < 0.01
bell = np.exp(-((z_grid - np.log(heads / tails)) ** 2) / (2 * laplace_variance))

# %% name="langevin-and-coin" alt="Left: variance over exact against step size; it rises to 1.3 with all data and above 4 with mini-batches at step 1. Right: skewed coin posterior, HMC histogram on it, Laplace bell too far right."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.3))
for (name, curve), colour in zip(heated.items(), (orange, blue), strict=True):
    axes[0].plot(fine, curve, color=colour, label=name + " (14.2)")
    axes[0].plot(sizes, ratios[name], "o", color=colour)
label(axes[0], "Langevin: variance / exact", r"step size $\eta A$", "ratio")
axes[1].hist(coin_chain.ravel(), 80, density=True, color=grey, alpha=0.4, label="HMC")
axes[1].plot(z_grid, exact_coin, color="black", lw=1, label="exact")
bell = bell / np.sqrt(2 * np.pi * laplace_variance)
axes[1].plot(z_grid, bell, color=purple, ls="--", label="Laplace")
label(axes[1], "Posterior of the coin", r"$z = \ln \pi / (1 - \pi)$", "density")
axes[1].set_xlim(-4, 1.5)
for axis in axes:
    axis.legend(fontsize=10)
plt.show()

# %% [markdown]
# Left: at $\eta A = 1$ the walk's variance is a third too large with all data and more than four
# times the exact one with mini-batches, as (14.2) says. Right: the chain has the long left tail of
# the exact posterior. Laplace's bell sits at the right maximum and cannot lean: its mean is too
# high by 0.12 and its variance too small by 13 %.
#
# Samplers do not give $\ln Z$: like contrastive divergence (B10) they know slopes only. What they
# give is samples, and the roads of chapter 4, annealing above all, turn samples into $\ln Z$.
# Laplace gives a number for $\ln Z$ and no samples. A variational $q$ gives a bound, samples, and
# with the corrections of chapters 11 and 12 more than a bound.
#
# ## 15. Summary
#
# | form | needs | variance | fails when |
# |:--|:--|:--|:--|
# | score function (B17a) | values of $f$ | grows with $f$ itself, $\sim D^2$ | $f$ is large |
# | with a baseline (5.1) | two samples or more | grows with its fluctuations, $\sim D$ | $f$ is extensive |
# | pathwise (B17b) | slope of $f$, a path | grows with the slope; independent of $D$ here | $f$ jumps, $z$ is discrete |
# | relaxation (10.2) | slope of $f$ at soft bits | $\sim 1/T$ | biased |
# | doubly reparameterised (9.6) | slope of $\ln w$ | vanishes with the gap | as pathwise |
#
# - $\nabla_\phi$ does not commute with $\mathbb{E}_{q_\phi}$. Either differentiate the density, or
#   move the parameters into the sample.
# - Both forms are one integration by parts apart; the same step gives score matching.
# - A tighter bound need not give a better gradient: the encoder's signal falls like $1/K$, its
#   noise like $1/\sqrt K$.
# - $\nabla_x \ln p(x)$ does not contain $Z$. Matching it is denoising, and it cannot see the
#   weights of separate modes.
# - Langevin dynamics is gradient descent plus noise, and heats by a known factor; Hamiltonian
#   dynamics conserves volume, which makes $\langle e^{-\Delta \mathcal{H}} \rangle = 1$.
#
# ## Exercises
#
# 1. *(easy)* **The log-variance.** Derive both formulas of (4.4). You need
#    $\mathbb{E}[\epsilon^2 s^2]$ and $\mathbb{E}[\epsilon^4 s^2]$ for
#    $s = \frac12 (\epsilon^2 - 1)$. (`moments`: these two after $\mathbb{E}[s^2]$; `by_moments`: the
#    variances of the two forms that follow.)
# 2. *(medium)* **Ripples.** For $f = \cos(\omega z)$ compute the variances of both forms in $\mu$,
#    with the baseline 0. From which $\omega$ on is the score function the better one? Write
#    `ripple_variances(omega)`, which returns the pathwise variance and that of the score function;
#    `crossing` is the $\omega$ in question, to two decimals.
# 3. *(easy)* **Leave one out.** Show that subtracting from each $f_k$ the mean of the others is the
#    same as subtracting the mean of all and multiplying by $n/(n-1)$. What does the estimate become
#    if the factor is forgotten? (`factor(n)`: what it is multiplied by; `shrunk`: 100,000 such
#    estimates of the spring's gradient in $\mu$, each from $n = 2$ samples.)
# 4. *(medium)* **Best of both.** With the same noise, combine the forms:
#    $\alpha\, g_{\rm score} + (1 - \alpha)\, g_{\rm path}$ is unbiased for every $\alpha$. Find the
#    best $\alpha$ for the spring, the derivative in $\mu$ and the baseline $b^*$, and its variance
#    (`least`). Can it beat the pathwise form?
# 5. *(hard)* **Laplace's next order.** Split the coin's energy into its Gaussian and the rest,
#    $H = H_q + V$, with the cubic and quartic terms in $V$. Apply the cumulant expansion (B23) and
#    show that $-\langle V_4 \rangle + \frac12 \langle V_3^2 \rangle$ is the term
#    $\frac1{12}(\frac1a + \frac1b - \frac1n)$ of Stirling's formula. (`minus_v4` and
#    `half_v3_squared`: the two averages, for the coin.)
#
# The solutions are in the cells below, folded: click on one to open it.

# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. s^2 = (eps^4 - 2 eps^2 + 1) / 4 gives E[s^2] = (3 - 2 + 1) / 4 = 1/2, E[eps^2 s^2] =
# (15 - 6 + 1) / 4 = 5/2, E[eps^4 s^2] = (105 - 30 + 3) / 4 = 39/2. With f = (mu^2 + 2 mu sigma eps +
# sigma^2 eps^2) / 2: E[f^2 s^2] = (mu^4 / 2 + 6 mu^2 sigma^2 5/2 + sigma^4 39/2) / 4; subtract the
# squared mean sigma^4 / 4. Pathwise: E[(sigma eps (mu + sigma eps) / 2)^2] = (sigma^2 mu^2 + 3
# sigma^4) / 4, minus sigma^4 / 4.
moments = np.array([1 / 2, 5 / 2, 39 / 2])
by_score = moments @ [mu2**2, 6 * mu2 * s2, s2**2] / 4 - s2**2 / 4
by_moments = (s2 * mu2 + 3 * s2**2) / 4 - s2**2 / 4, by_score
check(moments, [node_weights @ (nodes**n * scores[1] ** 2) for n in (0, 2, 4)])
check(by_moments, [path_variance[1], score_variance[1]])
print("1. moments with s^2:", np.round(moments, 3))


# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. E[cos(w z)] = cos(w mu) e^(-w^2 s^2 / 2), so the gradient is -w sin(w mu) e^(-w^2 s^2 / 2). Path:
# E[w^2 sin^2] = w^2 (1 - C) / 2 with C = cos(2 w mu) e^(-2 w^2 s^2). Score: E[cos^2 eps^2] / s^2 =
# (1 + C (1 - 4 w^2 s^2)) / (2 s^2). For large w: w^2 / 2 against 1 / (2 s^2), so from about w = 1/s on.
def ripple_variances(w):
    c = np.cos(2 * w * q_mean) * np.exp(-2 * w**2 * s2)
    squares = np.array([w**2 * (1 - c) / 2, (1 + c * (1 - 4 * w**2 * s2)) / (2 * s2)])
    return squares - (w * np.sin(w * q_mean) * np.exp(-(w**2) * s2 / 2)) ** 2


omega = np.linspace(0.05, 4, 400)
crossing = omega[np.flatnonzero(np.subtract(*ripple_variances(omega)) < 0)[-1]]
print(f"2. the score function is better from omega = {crossing:.2f} on; 1/sigma = {1 / sigma:.2f}")
check(ripple_variances(2.0), [1.837342, 0.658165], tolerance=1e-5)
assert np.subtract(*ripple_variances(crossing - 0.02)) < 0  # pathwise is better
assert np.all(np.subtract(*ripple_variances(np.linspace(crossing + 0.02, 9, 500))) > 0)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. f_k - (n fbar - f_k) / (n - 1) = (n f_k - n fbar) / (n - 1). Without the factor the estimate
# shrinks by (n - 1) / n: with two samples, to one half.
def factor(n):
    return (n - 1) / n


few = np.random.default_rng(seed).normal(size=(num_samples, 2))
f_few = spring(q_mean + sigma * few)
shrunk = np.mean((f_few - f_few.mean(axis=1, keepdims=True)) * few / sigma, axis=1)
assert len(shrunk) == num_samples and within(shrunk, factor(2) * q_mean)
check(factor(5) * factor(10), 0.72)
print(f"3. without the factor, n = 2: {shrunk.mean():.4f}, exact {q_mean}")

# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. Var = Var_path + 2 alpha Cov(path, difference) + alpha^2 Var(difference) is least at
# alpha = -Cov(path, score - path) / Var(score - path). Here score - path = mu (eps^2 - 1) + sigma eps
# (eps^2 - 5) / 2, so Cov = -sigma^2 and Var = 2 mu^2 + 5 sigma^2 / 2: alpha = sigma^2 / (2 mu^2 +
# 5 sigma^2 / 2) is above 0, and the variance sigma^2 (1 - alpha) always below the pathwise one.
path_g, difference = slopes, scores[0] * (values - best) - slopes  # score with the baseline b*
covariance_pd = node_weights @ (path_g * difference)  # both means are exact, the second is 0
alpha = -covariance_pd / (node_weights @ difference**2)
least = s2 - covariance_pd**2 / (node_weights @ difference**2)
print(f"4. alpha = {alpha:.4f}, variance {least:.4f} instead of {s2:.4f}")
check([alpha, least], [0.137963, 0.522852], tolerance=1e-4)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 5. With p = a/n and v = p (1 - p): H'' = n v, H''' = n v (1 - 2 p), H'''' = n v (1 - 6 v). In the
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
print(f"5. correction {correction:+.6f} nats; left after it {error:+.6f} nats")
