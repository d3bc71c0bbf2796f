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
# # Chapter 25: Stochastic gradients
#
# A variational free energy is an average over a distribution $q$ that we choose. To improve $q$ we
# need the derivative of that average in the parameters of $q$, and those parameters sit in the very
# distribution that we average over. There are two ways to bring the derivative inside, and both give
# the right answer on average. How much noisier is one than the other? Guess, for a single spring
# and for a hundred of them, and for a narrow $q$. The answer
# decides how much a variational autoencoder (VAE) learns in a given time
# ([chapter 26](26_several_samples.ipynb)).
#
# **What you will do**
#
# - derive the score-function and the pathwise gradient, and check both against a closed form;
# - compute the variance of each by hand, see what a baseline buys, and what dimension costs;
# - watch the better one of the two fail at a cliff.
#
# **What you will learn**
#
# - why the two forms (B17) have one mean and two variances, and which of them needs what from $f$;
# - why a large system drowns a gradient that only knows the values of $f$.
#
# **What you need**: the ELBO as a variational free energy ([chapter 18, sections 1 and 2](18_energy_minus_entropy.ipynb));
# the reparameterisation $z = \mu + \sigma \epsilon$ (B31) of [chapter 22, section 3](22_vae_in_keras.ipynb);
# Gaussian moments; and some Python, with this project installed.
#
# **Time**: about 59 minutes, and 120 for the exercises. The code runs in about 10 seconds.
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

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from scipy import special

from rbm_tf.course import check, label, within
from vae_keras import gradients

# %%
seed = 0
q_mean, q_log_var = 1.2, -0.5  # of the Gaussian q
num_samples = 100_000  # of the measured variances; a fifth of it where D is varied
dims = (1, 2, 5, 10, 20, 50, 100)
blue, orange, green, purple = "#0072B2", "#D55E00", "#009E73", "#CC79A7"

plt.style.use(["rbm_tf.course", {"figure.dpi": 130}])
ink = plt.rcParams["text.color"]


# %% [markdown]
# ## 1. The problem: a parameter inside the average
#
# The free energy of chapter 18 is an average over $q_\phi$,
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
# that one could sample. It is not a small correction either: where $f$ does not contain $\phi$, it is
# all of the gradient.
#
# **The example.** A spring, $f(z) = z^2/2$, in a Gaussian $q = \mathcal{N}(\mu, \sigma^2)$ with
# $\phi = (\mu, \ln \sigma^2)$:
#
# $$\mathbb{E}_q[f] = \tfrac12 (\mu^2 + \sigma^2) , \qquad
#   \frac{\partial}{\partial \mu} = \mu , \qquad
#   \frac{\partial}{\partial \ln \sigma^2} = \tfrac12 \sigma^2 . \tag{1.4}$$
#
# The first derivative is the mean slope, and the second says that it costs energy to be spread out.
# **Check against the exact result** by Gauss-Hermite quadrature, which is exact for polynomials up to
# a high degree and serves as the exact answer from here on.

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
up, down = (gaussian_average(spring, q_mean + x) for x in (step, -step))
wide, narrow = (gaussian_average(spring, log_var=q_log_var + x) for x in (step, -step))
differences = np.array([up - down, wide - narrow]) / (2 * step)
check(differences, exact_gradient, tolerance=1e-7)
print("gradient in (mean, log-variance):", exact_gradient.round(6), "nats")

# %% [markdown]
# ## 2. First way: the score function
#
# Repair the second integral of (1.3): multiply and divide by $q$, and use $\nabla \ln q = \nabla q / q$.
# What comes out is an average again:
#
# $$\boxed{\; \nabla_\phi\, \mathbb{E}_{q_\phi}[f] = \int f\, \nabla_\phi q_\phi\, dz
#   = \int q_\phi\, f\, \frac{\nabla_\phi q_\phi}{q_\phi}\, dz
#   = \mathbb{E}_{q_\phi}\big[ f(z)\, \nabla_\phi \ln q_\phi(z) \big] \qquad
#   (f \text{ without } \phi) \;} \tag{B17a}$$
#
# the *score-function* form, known as REINFORCE (Williams, 1992) or the likelihood-ratio method.
# Read it as trial and error: draw $z$, look how good it is, and make it more or less likely in
# proportion. It asks only for *values* of $f$.
#
# **The score averages to zero.** Take $f = 1$ in (B17a):
#
# $$\mathbb{E}_q[\nabla_\phi \ln q_\phi] = \nabla_\phi\, \mathbb{E}_q[1] = \nabla_\phi 1 = 0 . \tag{2.1}$$
#
# This has two uses. In a free energy $f = \ln q_\phi - \ln p$ contains $\phi$ as well, but the
# first integral of (1.3) is $\mathbb{E}_q[\nabla_\phi \ln q_\phi] = 0$: (B17a) holds there, too. And a
# constant may be subtracted from $f$ (section 5).
#
# **For the Gaussian**, with $z = \mu + \sigma \epsilon$:
#
# $$\ln q = -\frac{(z - \mu)^2}{2 \sigma^2} - \tfrac12 \ln \sigma^2 + \text{const} , \qquad
#   \frac{\partial \ln q}{\partial \mu} = \frac{z - \mu}{\sigma^2} = \frac{\epsilon}{\sigma} , \qquad
#   \frac{\partial \ln q}{\partial \ln \sigma^2}
#   = \tfrac12 \Big( \frac{(z - \mu)^2}{\sigma^2} - 1 \Big) = \tfrac12 (\epsilon^2 - 1) . \tag{2.2}$$
#
# **Check against the exact result**: (2.1) and (B17a) by quadrature; then with samples, by hand and by
# the library, whose gradients come as an array with one row a sample.

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
# $g$: location-scale families, the inverse of any smooth distribution function (exercise 5), and every
# invertible network behind them, a *normalising flow* (chapter 31). For discrete variables there is none
# ([chapter 26, section 3](26_several_samples.ipynb)).
#
# **Check against the exact result**: by quadrature, by hand, by the library.

# %% name="pathwise"
slopes = q_mean + sigma * nodes  # f'(z) = z
path = np.array([np.ones_like(nodes), sigma * nodes / 2])  # dz/dphi
check(path @ (node_weights * slopes), exact_gradient)  # (B17b)
check(scores[0] @ (node_weights * values), node_weights @ slopes)  # (3.1)
assert within(np.stack([z, z * sigma * eps / 2], axis=1), exact_gradient)


def path_rows(dim, num=num_samples):
    """As score_rows, pathwise."""
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
# Even at $\mu = 0$ this is nearly four times (4.1). The first term
# *diverges* as $q$ becomes narrow: the two sides of a narrow $q$ differ little in $f$, and the
# estimate is the difference of large numbers $\pm f / \sigma$. And it is not invariant: a constant $c$ added
# to $f$ changes no gradient and not (4.1), but it adds $c\, \epsilon / \sigma$ to every estimate
# $f \epsilon / \sigma$. For the log-variance the same steps give (exercise 1)
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
assert np.all(score_curve > 3.7 * widths**2)  # everywhere above the pathwise variance

# %% name="one-sample-gradients" alt="Left: histograms of one-sample gradients with one mean; the score function has a far longer tail. Right: as sigma goes to 0, the pathwise variance vanishes, and that of the score function, least near 0.6, grows."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.3))
for rows, name, colour in ((one_score, "score function", orange), (one_path, "pathwise", blue)):
    axes[0].hist(rows, np.linspace(-15, 50, 131), color=colour, alpha=0.6, log=True, label=name)
axes[0].axvline(q_mean, color=ink, lw=1, label="mean of both")
label(axes[0], "One-sample gradients in $\\mu$", "gradient (nats per unit of $\\mu$)", "samples")
axes[1].loglog(widths, score_curve, color=orange, label="score function (4.3)")
axes[1].loglog(widths, widths**2, color=blue, label="pathwise (4.1)")
measured = one_score.var(), one_path.var()
axes[1].plot([sigma, sigma], measured, "o", color=ink, ms=4, label="measured")
label(axes[1], "Variance and width of $q$", r"$\sigma$", "variance (nats$^2$)")
for axis in axes:
    axis.legend()
plt.show()

# %% [markdown]
# Left: both histograms have the same mean, but the score function gets there with
# a long tail (the scale is logarithmic). Right: as $q$ narrows, the
# pathwise variance goes to zero and the other one to infinity.
#
# This is not a theorem about all functions. The pathwise variance is a matter of the *slope* of
# $f$, the other one of its *values*. For $f = \cos(\omega z)$ the values stay between $-1$ and $1$
# while the slope grows with $\omega$, and for fast ripples the score function wins (exercise 2).
# Free energies of VAEs are smooth, and their values are large.

# %% [markdown]
# ## 5. Baselines
#
# By (2.1) any constant $b$ may be subtracted from $f$ in (B17a). Which one is best? Write
# $s = \partial \ln q / \partial \phi$ for the score of one parameter. The mean does not depend on $b$, and the
# mean square $\mathbb{E}[f^2 s^2] - 2 b\, \mathbb{E}[f s^2] + b^2\, \mathbb{E}[s^2]$
# is a parabola in $b$ with its minimum at
#
# $$\boxed{\; b^* = \frac{\mathbb{E}[f s^2]}{\mathbb{E}[s^2]}
#   = \mathbb{E}[f] + \frac{\mathrm{Cov}(f, s^2)}{\mathbb{E}[s^2]} , \qquad
#   \mathrm{Var}_{\min} = \mathrm{Var}_{b = 0} - \frac{\mathbb{E}[f s^2]^2}{\mathbb{E}[s^2]} \;} \tag{5.1}$$
#
# The simple choice is the mean, $b = \mathbb{E}[f]$.
# For the spring and the derivative in $\mu$, $\mathbb{E}[s^2] = 1/\sigma^2$ and
# $\mathbb{E}[f \epsilon^2] = \tfrac12 (\mu^2 + 3 \sigma^2)$ turn (4.3) into
#
# $$\mathrm{Var}_{b = \mathbb{E}[f]} = 2 \mu^2 + \tfrac52 \sigma^2 , \qquad
#   \mathrm{Var}_{\min} = 2 \mu^2 + \tfrac32 \sigma^2 . \tag{5.2}$$
#
# The divergent term has gone. What remains is still larger than
# $\sigma^2$, many times so for a narrow $q$.
#
# **From samples**: $\mathbb{E}[f]$ is unknown, and the baseline of a sample must not depend on it, or there is a
# bias. The mean of all *other* samples will do (the leave-one-out baseline; Mnih and Rezende, 2016). With $n$
# samples, $f_k$ minus it is $(f_k - \bar f)\, n / (n - 1)$, with $\bar f$ the mean of all (exercise 3). The library
# has both, `leave_one_out` and `optimal`, the latter with (5.1) from the other samples.
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
# B29), and the derivative in one $\mu_i$. The pathwise estimate (B17b) is $z_i$, and its variance is
# $\sigma^2$ at any $D$. The score-function estimate is
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
# physics, $f$ is extensive, and so are its fluctuations $v$. Every component of
# the gradient has to hear its own small voice in the noise of the whole system. Backpropagation
# tells each component what *it* did.
#
# **Check against the exact result**: (6.2) measured up to $D = 100$.

# %%
number, num, measured = np.array(dims), num_samples // 5, {}
m, v = (number - 1) * (mu2 + s2) / 2, (number - 1) * (mu2 * s2 + s2**2 / 2)  # (6.1)
predicted = {
    "none": score_variance[0] + (m * (mu2 + 3 * s2) + m**2 + v) / s2,
    "leave_one_out": 2 * mu2 + 5 * s2 / 2 + v / s2,
    "optimal": 2 * mu2 + 3 * s2 / 2 + v / s2,  # (6.2)
    "pathwise": np.full(len(dims), s2),
}
for name, curve in predicted.items():
    each = [path_rows(d, num) if name == "pathwise" else score_rows(d, name, num) for d in dims]
    measured[name] = [rows[:, 0, 0].var() for rows in each]
    squares = ((rows[:, 0, 0] - q_mean) ** 2 for rows in each)
    assert all(map(within, squares, curve))

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
# The average is the smooth function $\Phi(\mu / \sigma)$, Gauss's distribution function, and
#
# $$\frac{\partial}{\partial \mu} \mathbb{E}_q[f] = \frac1\sigma\, \varphi\Big( \frac{\mu}{\sigma} \Big)
#   \ne 0 , \qquad \text{but } f'(z) = 0 \text{ at every } z \text{ that is ever drawn.} \tag{7.1}$$
#
# The integration by parts in (3.1) leaves a boundary term at the jump, and that term is all there is.
# The pathwise estimate is 0, with variance 0: confident and wrong, and no error bar
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
# ## 8. Summary
#
# | form | needs | variance | fails when |
# |:--|:--|:--|:--|
# | score function (B17a) | values of $f$ | grows with $f$ itself, $\sim D^2$ | $f$ is large |
# | with a baseline (5.1) | two samples or more | grows with its fluctuations, $\sim D$ | $f$ is extensive |
# | pathwise (B17b) | slope of $f$, a path | grows with the slope; independent of $D$ here | $f$ jumps, $z$ is discrete |
#
# - $\nabla_\phi$ does not commute with $\mathbb{E}_{q_\phi}$. Either differentiate the density, or
#   move the parameters into the sample.
# - The two forms are one integration by parts apart. The same step comes back in chapter 26, to cure a gradient
#   that drowns in its own noise, and in chapter 27, for densities whose $Z$ is unknown.

# %% [markdown]
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
# 5. *(hard)* **A path for the gamma distribution.** The density $q_a(z) = z^{a-1} e^{-z} / \Gamma(a)$ is no
#    location-scale family. Let $F_a(z)$ be its distribution function and $z$ the solution of $F_a(z) = u$ with
#    fixed uniform noise $u$. Show that $\partial z / \partial a = -(\partial F_a / \partial a) / q_a$, and
#    check that the pathwise form gives the derivative $a + \frac12$ of $\mathbb{E}[z^2/2]$. (`gamma_path(z, a)`:
#    that $\partial z / \partial a$; `gamma_rows`: 100,000 pathwise estimates at $a = 2.5$; `gamma_scores`: as
#    many of the score function from the same $z$. Which is the noisier?)
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
# 5. F_a(z) = u for all a: differentiate, q_a dz/da + dF_a/da = 0 (Figurnov et al., 2018). The score is
# d ln q/da = ln z - psi(a).
def gamma_path(z, a, h=1e-5):
    slope = (special.gammainc(a + h, z) - special.gammainc(a - h, z)) / (2 * h)
    return -slope / np.exp((a - 1) * np.log(z) - z - special.gammaln(a))


z_gamma = np.random.default_rng(seed).gamma(2.5, size=num_samples)
gamma_rows = z_gamma * gamma_path(z_gamma, 2.5)  # f' dz/da
gamma_scores = z_gamma**2 / 2 * (np.log(z_gamma) - special.digamma(2.5))
check(gamma_path(np.array([1.0, 3.0]), 2.5), [0.650794, 1.169262], tolerance=1e-5)
assert len(gamma_rows) == num_samples and within(gamma_rows, 2.5 + 0.5)
assert within(gamma_scores, 3.0) and gamma_scores.var() > 5 * gamma_rows.var()
print(f"5. variance: path {gamma_rows.var():.2f}, score function {gamma_scores.var():.1f}")
