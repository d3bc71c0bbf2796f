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
# # Chapter 32: Perturbation theory
#
# Split an energy into a *model* part $H_q$, whose free energy is known, and a *perturbation* $V$,
# everything else. Turn $V$ on with a dial $\lambda$, and follow the free energy from $\lambda = 0$ to
# $\lambda = 1$. The first step on this road is the bound that every variational autoencoder (VAE) is
# trained with. What are the next steps, and how far do they reach?
#
# **What you will do**
#
# - draw $F(\lambda)$ for a small restricted Boltzmann machine (RBM), and find the variational bound
#   in the picture, as a tangent;
# - derive the cumulant expansion, and compare it with the exact curve from a good start and from a bad one.
#
# **What you will learn**
#
# - how a free energy of a model, an average, and $\ln Z$ hang together (B18 to B20);
# - how to improve the bound systematically (B23), and what stops the improvement;
# - when the result is a bound, and when it is not (B24).
#
# **What you need**: cumulants ([chapter 1, section 4](01_generating_functions.ipynb)) and their truncated series
# ([chapter 2, section 2](02_truncated_series.ipynb)), the energy of an RBM
# ([chapter 3](03_rbm_free_energies.ipynb)), naive mean field ([chapter 6, section 2](06_negative_phases.ipynb)); some
# Python, with this project installed.
#
# **Time**: about 60 minutes, and 95 for the exercises. The code runs in 15 seconds.
#
# Equation numbers such as (B23) are the row names used in the whole course, in the library's
# docstrings and in the table `EQUATIONS.md`. Numbers such as (2.1) are steps on the way. Energies,
# free energies and $V$ are in nats, at $\beta = 1$.

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
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

from rbm_tf import BernoulliRBM, cumulants, diagrams, enumeration, mean_field
from rbm_tf.course import check, label
from rbm_tf.explorable import Explorable

# %%
seed = 0
num_visible, num_hidden = 6, 5
coupling = 1.5  # standard deviation of the couplings, nats
max_order = 20
lambdas = np.linspace(0.0, 1.3, 131)
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 120}])
ink = plt.rcParams["text.color"]


# %%
def random_rbm(size, scale):  # float64, with normal random parameters
    rng, rbm = np.random.default_rng(seed), BernoulliRBM(*size, dtype="float64")
    rbm.kernel.assign(rng.normal(0, scale, size))
    rbm.visible_bias.assign(rng.normal(0, 0.5, size[0]))
    rbm.hidden_bias.assign(rng.normal(0, 0.5, size[1]))
    return rbm


# %% [markdown]
# **Part VII: Cumulants.** Whoever trains a VAE reports a bound of the likelihood, and whoever
# uses mean field a bound of a free energy. By how much are they off? A bound does not
# say. This part computes what is missing, from numbers that the same
# program has already. The picture shows the idea: a dial $\lambda$ leads from a model $q$ that one can
# sum or sample to the distribution $p$ that one wants. Chapters 32 to 35 follow it and correct a VAE; the others
# go on to TAP theory, to learning, to large systems, and to models of your own.

# %% name="part" alt="Six densities for lambda from 0 to 1: a Gaussian, q, becomes step by step a density with two peaks, p."
figure, axis = plt.subplots(figsize=(8, 3))
diagrams.lambda_path(axis)
plt.show()

# %% [markdown]
# ## 1. Model plus perturbation
#
# The free energy we want is $F_{\rm eq} = -\ln \sum e^{-H}$, with a sum over the states that are
# not observed. Choose a distribution $q$ over the same states that is easy to sum and to sample,
# and give it an energy $H_q$: $q = e^{-H_q} / Z_q$ with $Z_q = \sum e^{-H_q}$. The rest of $H$ is the perturbation:
#
# $$\boxed{\; H = H_q + \lambda V , \qquad V = H - H_q , \qquad \lambda = 1 \;} \tag{B18}$$
#
# *Energy = model + perturbation.* At $\lambda = 0$ there is only the model, at $\lambda = 1$ the full
# energy, and in between a family of energies that joins them.
#
# **For an RBM** the states are $(v, h)$ and $H = E(v, h)$. We take for $q$ a product of independent
# units with the means $m_i$ and $n_j$ of naive mean field, and $H_q = -\ln q$:
#
# $$H_q(v, h) = -\sum_i \big[ v_i \ln m_i + (1 - v_i) \ln (1 - m_i) \big]
#   {} - \sum_j \big[ h_j \ln n_j + (1 - h_j) \ln (1 - n_j) \big] . \tag{1.1}$$
#
# **For a VAE** an image $x$ is given, the states are the latent variables $z$, and the sum is an
# integral. The energy is $H = -\ln p(x, z)$, because then
# $\int e^{-H} dz = p(x)$ and $F_{\rm eq} = -\ln p(x)$. The model is the encoder, $H_q = -\ln q(z|x)$:
#
# $$-V = H_q - H = \ln \frac{p(x, z)}{q(z|x)} = \ln w(z) . \tag{1.2}$$
#
# *Minus the perturbation is the logarithm of the importance weight*, the number that the code
# computes anyway for every sampled $z$.
#
# In both cases $H_q = -\ln q$ exactly, so $Z_q = 1$ and the model's own free energy is $F_q = 0$.
#
# **In what sense is $V$ small?** If $V$ is the same number in every state, $q$ is
# already the right distribution. What has to be small is the spread of $V$ under $q$, not its size.
#
# We list all $2^{11}$ states of a small machine, write (1.1) and (B18) by hand, and compare with
# the library's `mean_field.all_log_weights`.

# %%
rbm = random_rbm((num_visible, num_hidden), coupling)
point = mean_field.tap(rbm, order=1)  # naive mean field
m, n = point.visible, point.hidden
states = (np.arange(2**11)[:, np.newaxis] >> np.arange(11)) & 1
v, h = states[:, :num_visible], states[:, num_visible:]
means = np.concatenate([m, n])

model_energy = -(states @ np.log(means) + (1 - states) @ np.log(1 - means))  # H_q, (1.1)
energy = rbm.energy(v, h).numpy()  # H
perturbation = energy - model_energy  # V, (B18)
q = np.exp(-model_energy)
exact = -enumeration.log_z(rbm)  # F_eq
print(f"sum of q = {q.sum():.12f}, so F_q = 0")
mean, least, greatest = q @ perturbation, perturbation.min(), perturbation.max()
print(f"V: mean {mean:.4f}, least {least:.4f}, greatest {greatest:.4f} nats")

# %%
log_weights, log_q = mean_field.all_log_weights(rbm, point)  # -V and ln q
check(q.sum(), 1.0)
check(log_weights, -perturbation)
check(log_q, -model_energy)
check(mean_field.perturbation(rbm, point, v, h), perturbation)

# %% [markdown]
# ## 2. The free energy as an average over the model
#
# Give the whole family its free energy. The sum is over all states:
#
# $$F(\lambda) = -\ln \sum e^{-H_q - \lambda V} , \qquad F_{\rm eq} = F(1) , \qquad
#   F_q = F(0) = -\ln Z_q .
#   \tag{B19}$$
#
# (The blog post that this course follows, Charles Martin's *Free Energies and Variational Inference*,
# prints $e^{H_q - \lambda V}$ here. The sign of $H_q$ is a slip: with it, $\lambda = 0$ would
# not give $Z_q$.) Insert $1 = Z_q / Z_q$, and use that $e^{-H_q} / Z_q$ is $q$:
#
# $$\begin{aligned}
# F(\lambda) &= -\ln \Big[ \frac{Z_q}{Z_q} \sum e^{-H_q} e^{-\lambda V} \Big] \\
#   &= -\ln Z_q - \ln \sum \frac{e^{-H_q}}{Z_q}\, e^{-\lambda V}
#   && \ln (x y) = \ln x + \ln y \\
#   &= F_q - \ln \sum q\, e^{-\lambda V} , && \text{definition of } q
# \end{aligned}$$
#
# $$\boxed{\; F(\lambda) = F_q - \ln \langle e^{-\lambda V} \rangle_q \;} \tag{B20}$$
#
# Nothing has been approximated, and every average is over $q$, from which we can sample. For a VAE,
# at $\lambda = 1$, it reads $\ln p(x) = \ln \langle w \rangle_q$: importance sampling. So why not
# stop here? Because the average of an exponential is ruled by the few states where $-V$ is largest,
# and samples of $q$ may never see them.
#
# **For an RBM** the whole path consists of RBMs. $H_q + \lambda V = (1 - \lambda) H_q + \lambda E$,
# and $H_q$ is a constant minus $(\ell_m \cdot v + \ell_n \cdot h)$ with the log-odds $\ell_m = \ln
# \frac{m}{1 - m}$. So $\lambda$ scales the kernel, and leads each bias from the log-odds of $q$ to
# its own value:
#
# $$W \to \lambda W , \quad a \to (1 - \lambda)\, \ell_m + \lambda a , \quad
#   b \to (1 - \lambda)\, \ell_n + \lambda b .
#   \tag{2.1}$$
#
# `mean_field.interpolated_rbm` returns it. So exact enumeration works at every $\lambda$.
#
# **Check against the exact result**: both ends of (B20), and the points between by enumerating
# (2.1).


# %%
def free_energy(lam):
    """F(lambda) by (B20), with F_q = 0, nats."""
    return -tf.reduce_logsumexp(-model_energy - lam * perturbation)


check(free_energy(0.0), 0.0)
check(free_energy(1.0), exact)  # F(1) = -ln Z
for lam in (0.25, 0.5, 0.75):
    parameters, log_scale = mean_field.interpolated_rbm(rbm, point, lam)
    by_enumeration = -enumeration.log_z(parameters) - log_scale
    check(free_energy(lam), by_enumeration)  # (B19) = (B20)
    print(f"lambda = {lam}: F = {free_energy(lam):.6f} nats")
print(f"lambda = 1:    F = {free_energy(1.0):.6f} nats = -ln Z")

# %% [markdown]
# ## 3. The slope, the curvature, and the bound in the picture
#
# Differentiate (B20). The derivative brings $-V$ down from the exponent:
#
# $$\frac{dF}{d\lambda} = \frac{\langle V e^{-\lambda V} \rangle_q}{\langle e^{-\lambda V} \rangle_q}
#   = \langle V \rangle_\lambda , \qquad
#   \langle f \rangle_\lambda = \sum p_\lambda f , \quad p_\lambda = \frac{q\, e^{-\lambda V}}{
#   \langle e^{-\lambda V} \rangle_q} . \tag{3.1}$$
#
# $p_\lambda$ is $q$ *tilted* towards small $V$. It is $q$ at $\lambda = 0$ and the true
# distribution $p$ at $\lambda = 1$. Differentiate the quotient once more:
#
# $$\frac{d^2 F}{d\lambda^2} = -\frac{\langle V^2 e^{-\lambda V} \rangle_q}{\langle e^{-\lambda V} \rangle_q}
#   {} + \left( \frac{\langle V e^{-\lambda V} \rangle_q}{\langle e^{-\lambda V} \rangle_q} \right)^2
#   = -\langle\!\langle V^2 \rangle\!\rangle_\lambda \le 0 . \tag{3.2}$$
#
# The curve is *concave*. It lies below each of its tangents, for instance that at $\lambda = 0$:
#
# $$F_{\rm eq} = F(1) \le F(0) + F'(0) = F_q + \langle V \rangle_q . \tag{3.3}$$
#
# This is the variational bound, found without Jensen's inequality. The tangent at the other end
# bounds from the other side, $F_{\rm eq} \ge F_q + \langle V \rangle_1$, but its slope is an
# average over $p$, which we do not have.
#
# How large are the two gaps? By (3.1) with $\lambda = 1$, $p = q\, e^{-V + F_{\rm eq} - F_q}$, so
# that $\ln q/p = V - (F_{\rm eq} - F_q)$. Average over $q$ and over $p$:
#
# $$\begin{aligned}
# F_q + \langle V \rangle_q - F_{\rm eq} &= \mathrm{KL}(q \| p) , \\
# F_{\rm eq} - F_q - \langle V \rangle_1 &= \mathrm{KL}(p \| q) .
# \end{aligned} \tag{3.4}$$
#
# They are the areas between the slope $\langle V \rangle_\lambda$ and its end
# values. The first is the gap of order 1 (B24) of section 5.
#
# **Check against the exact result**: (3.1) and (3.2) against automatic differentiation, with the
# library's `lambda_path`, and (3.4) against the definition of the divergences.

# %% name="both-ends"
path = cumulants.lambda_path(log_weights, lambdas, log_q=log_q)
for index in (0, 50, 100):
    at = tf.constant(lambdas[index], tf.float64)
    first, second = cumulants.derivatives(free_energy, max_order=2, at=at)
    tilted = q * np.exp(-lambdas[index] * perturbation)
    by_hand = tilted @ perturbation / tilted.sum()  # (3.1)
    check([first, by_hand], path.mean[index])
    check(-second, path.variance[index])  # (3.2)

p = np.exp(-energy + exact)
forward, backward = q @ np.log(q / p), p @ np.log(p / q)
check(path.mean[0] - exact, forward)
check(exact - path.mean[100], backward)  # (3.4)
print(f"F_q + <V>_q = {path.mean[0]:.4f}  >=  F_eq = {exact:.4f}  >=  F_q + <V>_1 =", end=" ")
print(f"{path.mean[100]:.4f} nats; KL(q|p) = {forward:.4f}, KL(p|q) = {backward:.4f}")

# %% name="tangents" alt="Left: F minus its chord, an arch below its tangents at 0 and 1; a bar at 1, 0.6 nats, is the gap of the first. Right: the falling slope; area above it KL(q|p), area below it KL(p|q)."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.9))
inside, slope = lambdas[:101], path.mean[:101]
axes[0].plot(inside, path.free_energy[:101] - exact * inside, color=ink, lw=2.5, label="exact")
axes[0].plot(inside, (slope[0] - exact) * inside, color=blue, label=r"tangent at $\lambda = 0$")
tangent = (slope[100] - exact) * (inside - 1)
axes[0].plot(inside[40:], tangent[40:], "--", color=orange, label=r"tangent at $\lambda = 1$")
axes[0].plot([1, 1], [slope[0] - exact, 0], color=blue, lw=4, alpha=0.5)
label(axes[0], "Free energy minus its chord", r"$\lambda$", r"$F - \lambda F_{\rm eq}$ (nats)")
axes[0].legend()
axes[1].plot(inside, slope, color=ink, lw=2)
for end, colour, text in ((0, blue, "KL(q | p)"), (100, orange, "KL(p | q)")):
    axes[1].fill_between(inside, slope, slope[end], color=colour, alpha=0.4, label=text)
label(axes[1], "Its slope", r"$\lambda$", r"$\langle V \rangle_\lambda$ (nats)")
axes[1].legend(frameon=True)
plt.show()

# %% [markdown]
# Left: the curve and its tangents, less the chord $\lambda F_{\rm eq}$. The bar at $\lambda = 1$ is the error of
# the bound. Right: the same error as an area.
#
# **Move it.** The bars are the probabilities of the values of $V$ under $p_\lambda$, and the slider
# takes $\lambda$ from the model to the truth. Which way do the bars go? Their mean *is* the slope (3.1), which can only
# fall, and half of the weight at the end is on states that have a ninth of it at the start.

# %% name="from-model-to-truth"
edges = np.linspace(perturbation.min(), perturbation.max(), 41)
shown = np.linspace(0, 1, 41)
bars = []
for lam in shown:
    tilted = q * np.exp(-lam * (perturbation - perturbation.min()))
    bars.append(np.histogram(perturbation, edges, weights=tilted / tilted.sum())[0])
centres, lowest = (edges[1:] + edges[:-1]) / 2, np.argsort(perturbation)
half = lowest[np.cumsum(tilted[lowest]) < tilted.sum() / 2]  # at lambda = 1
assert abs(q[half].sum() - 1 / 9) < 0.02
check(bars @ centres, np.interp(shown, lambdas, path.mean), tolerance=np.diff(edges)[0] / 2)

# %% name="slide-lambda" alt="Bars: the probabilities of values of V, which move to lower values as lambda goes from 0 to 1."
alt = (
    "Bars: the probabilities of values of V, which move to lower values as lambda goes from 0 to 1."
)
labels = {"xlabel": "V (nats)", "ylabel": "probability", "name": "lambda", "alt": alt}
Explorable(centres, {"probability": bars}, values=shown, bars=True, **labels)

# %% [markdown]
# ## 4. The cumulant expansion
#
# The logarithm in (B20) is a cumulant generating function, $\ln \langle e^{t x} \rangle = \sum_n \frac{t^n}{n!}
# \langle\!\langle x^n \rangle\!\rangle$ (B21), of [chapter 1, section 4](01_generating_functions.ipynb). Its first
# coefficients (B22) are the mean, the variance, the third central moment
# and $\langle (x - \langle x \rangle)^4 \rangle - 3 \langle (x - \langle x \rangle)^2 \rangle^2$.
# Put $x = V$ and $t = -\lambda$. The sign $(-\lambda)^n$ alternates, and (B20) turns into
#
# $$\boxed{\; F(\lambda) = F_q + \lambda \langle V \rangle_q
#   {} - \frac{\lambda^2}{2} \langle\!\langle V^2 \rangle\!\rangle_q
#   {} + \frac{\lambda^3}{6} \langle\!\langle V^3 \rangle\!\rangle_q - \dots \;} \tag{B23}$$
#
# This is the Taylor series of $F$ about $\lambda = 0$: order 1 is the tangent, order 2 adds the
# curvature (3.2), and so on. All coefficients are averages of powers of $V$ over the
# model $q$, not of exponentials. A constant added to $V$ enters order 1 only; the other orders measure the spread.
#
# For a VAE, with $x = \ln w = -V$ and $t = \lambda$, all signs are plus: $\ln
# p(x) = \langle \ln w \rangle + \frac12 \langle\!\langle (\ln w)^2 \rangle\!\rangle + \frac16
# \langle\!\langle (\ln w)^3 \rangle\!\rangle + \dots$ [Chapter 34](34_log_weights.ipynb) is about that form (B25).
#
# **Check against the exact result**: (B22) by hand; (B23) against derivatives of $F$ by automatic
# differentiation; and the polynomials against the curve.

# %% name="orders"
centred = perturbation - q @ perturbation
central = [q @ centred**k for k in range(5)]
by_hand = [q @ perturbation, central[2], central[3], central[4] - 3 * central[2] ** 2]  # (B22)
kappa = cumulants.weighted_cumulants(-log_weights, log_q, max_order)
check(by_hand, kappa[:4])

signs = np.array([1, -1, 1, -1])
zero = tf.zeros((), tf.float64)
check(cumulants.derivatives(free_energy, max_order=4, at=zero), signs * by_hand)  # (B23)
polynomials = cumulants.taylor_polynomials(kappa, lambdas).numpy()  # (max_order, num_lambdas)
order_3 = lambdas * by_hand[0] - lambdas**2 / 2 * by_hand[1] + lambdas**3 / 6 * by_hand[2]
check(polynomials[2], order_3)
for order in (1, 2, 3, 4):
    error = polynomials[order - 1, 100] - exact
    print(f"order {order}: F_{order} = {polynomials[order - 1, 100]:.5f}, error {error:+.5f} nats")

# %% [markdown]
# **When it fails.** Take fair coins for
# $q$, all means one half, which know nothing of the machine. Then $H_q = 11 \ln 2$ in every state,
# and $\lambda$ multiplies the energy as $\beta$ does: with coins (B23)
# is the *high-temperature series*, to be used at $\beta = 1$. Will higher orders help?

# %% name="coins"
coins = replace(point, visible=np.full_like(m, 0.5), hidden=np.full_like(n, 0.5))
coin_weights, coin_log_q = mean_field.all_log_weights(rbm, coins)
coin_path = cumulants.lambda_path(coin_weights, lambdas, log_q=coin_log_q)
coin_kappa = cumulants.weighted_cumulants(-coin_weights, coin_log_q, max_order)
coin_polynomials = cumulants.taylor_polynomials(coin_kappa, lambdas).numpy()
check(coin_path.free_energy[100], exact)  # (B20) is exact for every q
check(polynomials[19, 100], exact, 1e-3)  # order 20, mean field
assert abs(coin_polynomials[19, 100] - exact) > 10  # order 20, coins
print(f"standard deviation of V: {kappa[1] ** 0.5:.3f} and {coin_kappa[1] ** 0.5:.3f} nats")
print("error of orders 1, 2, .. at lambda = 1, nats")
print("mean field:", (polynomials[:8, 100] - exact).round(3))
print("fair coins:", (coin_polynomials[:8, 100] - exact).round(3))


# %%
def draw_path(axis, path, polynomials, title):
    bound = path.mean[0] * lambdas  # order 1 is subtracted, to see the rest
    for order, colour in ((1, grey), (2, blue), (3, orange), (4, green), (20, purple)):
        style = "--" if order == 20 else "-"
        curve = polynomials[order - 1] - bound
        axis.plot(lambdas, curve, style, color=colour, label=f"order {order}")
    axis.plot(lambdas, path.free_energy - bound, color=ink, lw=2.5, label="exact")
    label(axis, title, r"$\lambda$", r"$F(\lambda) - F_q - \lambda\langle V\rangle_q$ (nats)")
    lowest = float(np.min(path.free_energy - bound))
    axis.set_ylim(1.6 * lowest, -0.5 * lowest)


# %% name="series" alt="F minus its tangent over lambda, exact and orders 1, 2, 3, 4, 20. Left, mean field: higher orders come closer, 20 lies on the curve. Right, coins: order 20 leaves it abruptly near 0.7."
figure, axes = plt.subplots(1, 2, figsize=(10, 4))
draw_path(axes[0], path, polynomials, "Model: mean field")
draw_path(axes[1], coin_path, coin_polynomials, "Model: fair coins. The series diverges")
axes[0].legend(loc="lower left")
plt.show()

# %% [markdown]
# The bound has been subtracted, so the exact curve shows the correction alone. With mean field
# order 2 finds most of it, and order 20 is hidden behind the
# exact curve. With the coins each polynomial follows the curve for a while and
# then leaves it, order 20 the most abruptly. [Chapter 2, section 2](02_truncated_series.ipynb) gave the reason: the
# series converges only up to the nearest complex zero of $\langle e^{-\lambda V} \rangle_q$. We count the zeros inside the circle $|\lambda| < 1$, by the turns of
# the phase round it.


# %% name="zeros"
def zeros_within(radius, log_weights, log_q):
    """How many complex zeros <exp(-lambda V)> has in |lambda| < radius: turns of the phase."""
    circle = radius * np.exp(2j * np.pi * np.linspace(0, 1, 4001))
    centred = log_weights - np.sum(np.exp(log_q) * log_weights)  # a shift moves no zero
    average = np.exp(log_q) @ np.exp(np.outer(centred, circle))
    turns = np.diff(np.unwrap(np.angle(average))).sum() / (2 * np.pi)
    return round(turns)


counts = [
    zeros_within(1.0, weights.numpy(), logs.numpy())
    for weights, logs in ((log_weights, log_q), (coin_weights, coin_log_q))
]
print(f"zeros within |lambda| < 1: mean field {counts[0]}, fair coins {counts[1]}")
assert counts == [0, 2]

# %% [markdown]
# ## 5. Order 1 is the variational free energy
#
# Cut (B23) after order 1, at $\lambda = 1$, and put $V = H - H_q$ back: $F_1 = F_q + \langle H \rangle_q -
# \langle H_q \rangle_q$. Since $\ln q = -H_q + F_q$, the model's entropy is
# $S_q = -\langle \ln q \rangle_q = \langle H_q \rangle_q - F_q$. Therefore
#
# $$\boxed{\; F_1 = \langle H \rangle_q - S_q \ge F_{\rm eq} , \qquad
#   F_1 - F_{\rm eq} = \mathrm{KL}(q \| p) \ge 0 \;} \tag{B24}$$
#
# *Expected energy minus entropy.* The gap on the right is (3.4). For a VAE $F_1 = -\langle \ln w
# \rangle_q$ by (1.2), which is minus the evidence lower bound (ELBO).
# The whole of variational inference is order 1 of (B23).
#
# **When is it variational, and when not?** "Variational" means that a mistake in $q$ can only push
# the result up, so that one may search for the best $q$ by minimising. That holds at order 1
# for every $q$, because the curve is concave. *No other order is a bound.* The error of order 2 begins with
# $-\frac16 \langle\!\langle V^3 \rangle\!\rangle_q$, and a third cumulant may have either
# sign. One might hope for odd orders, since $e^x \ge 1 + x + \frac12 x^2 + \frac16 x^3$ for every
# $x$. But that is about the exponential, not about the logarithm of its average. Let $\ln w$ be 3 with
# probability 0.3 and 0 otherwise. Is order 3 on the same side as order 1?

# %% name="two-values"
two_values, chances = np.array([0.0, 3.0]), np.log([0.7, 0.3])
two_kappa = cumulants.weighted_cumulants(two_values, chances, 6)
two_exact = math.log(0.7 + 0.3 * math.exp(3))
sums = [float(cumulants.log_expectation(two_kappa[:order])) for order in range(1, 7)]
print("orders 1 to 6 of ln <w>:", np.round(sums, 3), f"exact {two_exact:.3f} nats")
assert sums[0] < two_exact < sums[2]  # order 1 is a lower bound of ln <w>, order 3 is not

for scale in (0.5, 1.5, 4.0):
    for size in ((3, 2), (6, 5), (8, 3)):
        trial = random_rbm(size, scale)
        assert mean_field.cumulant_free_energy(trial, 1) >= -enumeration.log_z(trial)  # (B24)

# %% [markdown]
# Odd orders do bound if one truncates the *exponential*. For odd $K$ and any number $c$,
#
# $$\langle w \rangle = e^{c} \langle e^{\ln w - c} \rangle \ge
#   e^{c} \sum_{k=0}^{K} \frac{1}{k!} \big\langle (\ln w - c)^k \big\rangle \tag{5.1}$$
#
# (Bamler and others, 2017). One may even maximise over $c$; $K = 1$ then gives back $e^{\langle \ln
# w \rangle}$, the ELBO (exercise 3). The price is that (5.1) does not add up over independent parts
# of a system, as cumulants do (B27; [chapter 38](38_size_extensivity.ipynb) measures it). Beyond $K = 1$ the one
# family is a bound and not size-extensive, the other, (B23), is size-extensive and no bound.

# %% name="truncated-exponential"
c = np.linspace(-1, 3, 401)
deviations = two_values[:, np.newaxis] - c  # (2, 401)
probabilities = np.exp(chances)
bounds = {}
for order in (1, 3, 5):
    polynomial = sum(deviations**k / math.factorial(k) for k in range(order + 1))
    average = probabilities @ polynomial  # (5.1)
    positive = average > 0
    bounds[order] = np.max(c[positive] + np.log(average[positive]))
    print(f"K = {order}: ln <w> >= {bounds[order]:.3f} nats, exact {two_exact:.3f}")
    assert bounds[order] <= two_exact
assert abs(bounds[1] - two_kappa[0]) < 1e-4  # the ELBO
assert bounds[1] < bounds[3] < bounds[5]

# %% [markdown]
# ## 6. Summary
#
# - The free energy of variational inference is order 1 of an exact
#   identity, $F_{\rm eq} = F_q - \ln \langle e^{-V} \rangle_q$ (B20).
# - The slope of $F(\lambda)$ is $\langle V \rangle_\lambda$, its curvature $-\langle\!\langle V^2
#   \rangle\!\rangle_\lambda$; the gaps at both ends are the two Kullback-Leibler divergences.
# - It is a bound at order 1, always, because $F(\lambda)$ is concave; at every higher order it is not (B24).
# - The cumulants (B23) converge to the answer if no complex zero of $\langle e^{-\lambda V}
#   \rangle_q$ lies within $|\lambda| \le 1$. From mean field none does, from coins two do.
#
# | object | RBM | VAE | row |
# |:--|:--|:--|:--|
# | $H$ | $E(v, h)$ | $-\ln p(x, z)$ | B18 |
# | $-V$ | $-\ln q - E(v, h)$ | $\ln w$ | B18 |
# | $F_{\rm eq}$ | $-\ln Z$ | $-\ln p(x)$ | B20 |
# | $F_1$ | naive mean field | $-$ELBO | B24 |
#
# [Chapter 33](33_along_the_path.ipynb) estimates all this from samples, and integrates where the series fails.

# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **A constant.** Show from (B20) that adding a constant $c$ to $V$ in all states
#    changes $F(\lambda)$ by $\lambda c$. Check with $c = 3$ and the mean-field $V$ that only $\kappa_1$ of the first five
#    cumulants moves, and that $F$ moves as it should at all `lambdas`.
# 2. *(easy)* **The other bound.** Expand $F$ about $\lambda = 1$ instead: show that $F_{\rm eq} =
#    F_q + \langle V \rangle_1 + \frac12 \langle\!\langle V^2 \rangle\!\rangle_1 + \frac16
#    \langle\!\langle V^3 \rangle\!\rangle_1 + \dots$, and compare orders 1 to 3 of both ends for
#    our machine.
# 3. *(medium)* **Order $K = 1$.** Maximise (5.1) with $K = 1$ over $c$ by hand. What is the best $c$ for the variable with
#    two values?
# 4. *(hard)* **Linear response.** Make $q$ depend on a parameter: for a product $q$ with means $m,
#    n$ show that $F_1$ is stationary exactly when $V$ has no correlation with any single unit under
#    $q$, $\langle\!\langle V v_i \rangle\!\rangle_q = 0$. Write a function that takes `log_weights` and `log_q` of all
#    states and returns these covariances for all 11 units. Check it at the mean-field point, where all are zero, and with
#    the coins, where none is.
#
# The solutions are in the cells below, folded: click on one to open it.

# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. -ln <exp(-lambda (V + c))> = lambda c - ln <exp(-lambda V)>; by (B21) a shift is the term n = 1.
moved = cumulants.weighted_cumulants(-log_weights + 3.0, log_q, 5)
shifted_path = cumulants.lambda_path(log_weights - 3.0, lambdas, log_q=log_q)
shifted_free_energy = shifted_path.free_energy
check(moved - kappa[:5], [3.0, 0, 0, 0, 0], 1e-8)
check(shifted_free_energy - path.free_energy, 3.0 * lambdas)
print("1. cumulants move by", (moved - kappa[:5]).numpy().round(9))

# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. F(0) = F(1) - F'(1) + F''(1)/2 - F'''(1)/6 .., with F' = <V>, F'' = -<<V^2>>, F''' = +<<V^3>> at
# lambda = 1. Solve for F(1). Order 1 is a lower bound: the tangent at 1 lies above the curve at 0.
end_kappa = cumulants.weighted_cumulants(perturbation, -energy, 3).numpy()
from_end = np.cumsum(end_kappa / [1, 2, 6])  # F_eq to orders 1, 2, 3
assert from_end[0] <= exact <= polynomials[0, 100]
check(from_end, exact + np.array([-1.0281, 0.8148, -0.5097]), 1e-4)
print("2. errors from the end lambda = 0:", (polynomials[:3, 100] - exact).round(4))
print("   errors from the end lambda = 1:", (from_end - exact).round(4), "nats")

# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. The bound e^c (1 + <ln w> - c) has the derivative e^c (<ln w> - c) in c: the maximum is at
# c = <ln w>, where it is exp(<ln w>), so that ln <w> >= <ln w>, the ELBO.
best_c = c[np.argmax(np.exp(c) * (1 + probabilities @ two_values - c))]
check(best_c, 0.9, 0.006)  # a grid of steps 0.01 may answer, too
print(f"3. best c = {best_c:.2f}, <ln w> = {probabilities @ two_values:.2f}")


# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. d q / d m_i = q (v_i - m_i) / (m_i (1 - m_i)), and F_1 = <H + ln q>_q, so that
# dF_1 / dm_i = <(v_i - m_i)(V + 1)>_q / (m_i (1 - m_i)) = <<V v_i>>_q / (m_i (1 - m_i)).
def unit_covariances(log_weights, log_q):
    """<<V, unit>> under q for each of the 11 units."""
    weights, v = np.exp(log_q), -np.asarray(log_weights)
    return weights @ ((states - weights @ states) * (v - weights @ v)[:, np.newaxis])


largest = np.max(np.abs(unit_covariances(log_weights, log_q)))
assert np.max(np.abs(unit_covariances(log_weights, log_q))) < 1e-9
check(
    unit_covariances(coin_weights, coin_log_q)[:num_visible],
    -(np.asarray(rbm.visible_bias) + np.asarray(rbm.kernel).sum(axis=1) / 2) / 4,
)
print(f"4. largest |<<V, unit>>| at the mean-field point: {largest:.1e}")
