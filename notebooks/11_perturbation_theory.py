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
# # Chapter 11: Perturbation theory
#
# A free energy that cannot be computed is compared with one that can. Split the energy into a
# *model* part $H_q$, whose free energy is known, and a *perturbation* $V$, everything else; turn
# $V$ on with a dial $\lambda$, and follow the free energy from $\lambda = 0$ to $\lambda = 1$. The
# first step along this road is the variational bound that every variational autoencoder (VAE) is
# trained with. The next steps are its corrections. This chapter derives all of them, and finds out
# how far they reach.
#
# **What you will do**
#
# - write $F(\lambda)$ for a restricted Boltzmann machine (RBM) small enough for the exact curve,
#   draw it, and find the variational bound in the picture, as a tangent;
# - derive the cumulant expansion term by term and compare its Taylor polynomials with the curve;
# - work out two Gaussian cases with pencil and paper: one where order 2 is exact, one that
#   diverges;
# - estimate all of it from samples, with error bars, and integrate along the path instead.
#
# **What you will learn**
#
# - how a free energy of a model, an average, and $\ln Z$ hang together (B18 to B20);
# - when the result is a bound, and when it is not (B24);
# - how to improve it systematically (B21 to B23), and what stops the improvement.
#
# **What you need**: chapter 1 (cumulants), of chapter 2 the energy of an RBM, of chapters 3 and 4 Gibbs
# sampling and naive mean field; the Gaussian integral; some Python, with this project installed.
#
# **Time**: about 105 minutes, and as much again for the exercises. The code takes under a minute.
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

from rbm_tf import BernoulliRBM, cumulants, enumeration, mean_field
from rbm_tf.diagnostics import effective_sample_size
from rbm_tf.explorable import Explorable

# %%
seed = 0
num_visible, num_hidden = 6, 5
coupling = 1.5  # standard deviation of the couplings, nats
max_order = 20
lambdas = np.linspace(0.0, 1.3, 131)
num_samples = 1000  # of q
large_visible, large_hidden, large_scale = 40, 16, 0.5
num_chains, num_sweeps = 1000, 20
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 88}])


# %%
def check(left, right, tolerance=1e-10):
    """Raise unless both are equal to the tolerance, relative above 1, absolute below."""
    np.testing.assert_allclose(*np.broadcast_arrays(left, right), rtol=tolerance, atol=tolerance)


def label(axis, title, xlabel, ylabel):
    axis.set(title=title, xlabel=xlabel, ylabel=ylabel)


# %%
def random_rbm(size, scale, bias_scale=0.5):
    """A float64 RBM with normal random parameters."""
    rng, rbm = np.random.default_rng(seed), BernoulliRBM(*size, dtype="float64")
    rbm.kernel.assign(rng.normal(0, scale, size))
    rbm.visible_bias.assign(rng.normal(0, bias_scale, size[0]))
    rbm.hidden_bias.assign(rng.normal(0, bias_scale, size[1]))
    return rbm


# %% [markdown]
# ## 1. Model plus perturbation
#
# The free energy we want is $F_{\rm eq} = -\ln \sum e^{-H}$, with a sum over the states that are
# not observed. Choose a distribution $q$ over the same states that is easy to sum and to sample,
# and give it an energy $H_q$, that is, $q = e^{-H_q} / Z_q$ with $Z_q = \sum e^{-H_q}$. What is
# left of $H$ is the perturbation:
#
# $$\boxed{\; H = H_q + \lambda V , \qquad V = H - H_q , \qquad \lambda = 1 \;} \tag{B18}$$
#
# *Energy = model + perturbation.* The number $\lambda$ is a bookkeeping device: at $\lambda = 0$
# there is only the model, at $\lambda = 1$ the full energy, and in between a family of energies
# that joins them.
#
# **For an RBM** the states are $(v, h)$ and $H = E(v, h)$. We take for $q$ a product of independent
# units with the means $m_i$ and $n_j$ of naive mean field (chapters 3 and 4), and $H_q = -\ln q$:
#
# $$H_q(v, h) = -\sum_i \big[ v_i \ln m_i + (1 - v_i) \ln (1 - m_i) \big]
#   {} - \sum_j \big[ h_j \ln n_j + (1 - h_j) \ln (1 - n_j) \big] . \tag{1.1}$$
#
# **For a VAE** an image $x$ is given, the states are the latent variables $z$, and the sum is an
# integral. The energy that belongs to the joint probability is $H = -\ln p(x, z)$, because then
# $\int e^{-H} dz = p(x)$ and $F_{\rm eq} = -\ln p(x)$. The model is the encoder, $H_q = -\ln
# q(z|x)$. A VAE's energy is never written down as a formula, and need not be:
#
# $$-V = H_q - H = \ln \frac{p(x, z)}{q(z|x)} = \ln w(z) . \tag{1.2}$$
#
# *Minus the perturbation is the logarithm of the importance weight*, the number that the code
# computes anyway for every sampled $z$.
#
# In both cases $H_q = -\ln q$ exactly, so $Z_q = 1$ and the model's own free energy is $F_q = 0$.
# Another zero of energy, $H_q + \text{const}$, would move $F_q$ up and $V$ down and change nothing
# in the end.
#
# **In what sense is $V$ small?** Not in its size. If $V$ is the same number in every state, $q$ is
# already the right distribution, and $V$ is the difference $F_{\rm eq} - F_q$. What has to be small are the
# *differences* of $V$ between states, its spread under $q$.
#
# We list all $2^{11}$ states of a small machine, write (1.1) and (B18) by hand, and compare with
# the library, which does the same in `mean_field.all_log_weights`.

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
# prints $e^{H_q - \lambda V}$ at this point. The sign of $H_q$ is a slip: with it, $\lambda = 0$ would
# not give $Z_q$.) Now insert $1 = Z_q / Z_q$, and use that $e^{-H_q} / Z_q$ is
# $q$:
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
# `mean_field.interpolated_rbm` returns it. Everything that works for one RBM, Gibbs sampling and
# exact enumeration, works at every $\lambda$.
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
# Differentiate (B20). The derivative brings $-V$ down from the exponent, as $\beta$ brought down
# $-E$ in chapter 1:
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
# average over $p$, which is what we do not have.
#
# How large are the two gaps? By (3.1) with $\lambda = 1$, $p = q\, e^{-V + F_{\rm eq} - F_q}$, so
# that $\ln q/p = V - (F_{\rm eq} - F_q)$. Average over $q$ and over $p$:
#
# $$\begin{aligned}
# F_q + \langle V \rangle_q - F_{\rm eq} &= \mathrm{KL}(q \| p) , \\
# F_{\rm eq} - F_q - \langle V \rangle_1 &= \mathrm{KL}(p \| q) .
# \end{aligned} \tag{3.4}$$
#
# The two divergences are the two areas between the slope $\langle V \rangle_\lambda$ and its end
# values. The first of them is the gap of order 1 (B24), of which section 5 says more.
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
axes[0].plot(inside, path.free_energy[:101] - exact * inside, "k", lw=2.5, label="exact")
axes[0].plot(inside, (slope[0] - exact) * inside, color=blue, label=r"tangent at $\lambda = 0$")
tangent = (slope[100] - exact) * (inside - 1)
axes[0].plot(inside[40:], tangent[40:], "--", color=orange, label=r"tangent at $\lambda = 1$")
axes[0].plot([1, 1], [slope[0] - exact, 0], color=blue, lw=4, alpha=0.5)
label(axes[0], "Free energy minus its chord", r"$\lambda$", r"$F - \lambda F_{\rm eq}$ (nats)")
axes[0].legend()
axes[1].plot(inside, slope, color="black", lw=2)
for end, colour, text in ((0, blue, "KL(q | p)"), (100, orange, "KL(p | q)")):
    axes[1].fill_between(inside, slope, slope[end], color=colour, alpha=0.4, label=text)
label(axes[1], "Its slope", r"$\lambda$", r"$\langle V \rangle_\lambda$ (nats)")
axes[1].legend(frameon=True)
plt.show()

# %% [markdown]
# Left: the concave curve and its two tangents. A straight line, the chord $\lambda F_{\rm eq}$, is subtracted from
# all three, since the bend is small beside the slope. The vertical bar at $\lambda = 1$ is the error of the bound. Right: the same error as an area. If $V$ did not vary, the slope would be flat and
# both areas zero.
#
# **Move it.** The bars are the probabilities of the values of $V$ under $e^{-H_q - \lambda V}$, and the slider
# takes $\lambda$ from the model to the truth. Which way do the bars go, and what do they do to the slope in
# the picture above? Their mean *is* the slope (3.1): it can only fall, by the variance for each step in
# $\lambda$ (3.2), and the bars that carry the weight at the end are rare at the start.

# %% name="from-model-to-truth"
edges = np.linspace(perturbation.min(), perturbation.max(), 41)
shown = np.linspace(0, 1, 41)
bars = []
for lam in shown:
    tilted = q * np.exp(-lam * (perturbation - perturbation.min()))
    bars.append(np.histogram(perturbation, edges, weights=tilted / tilted.sum())[0])
centres = (edges[1:] + edges[:-1]) / 2
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
# The logarithm in (B20) is a cumulant generating function. Chapter 1 defined
#
# $$\ln \langle e^{t x} \rangle
#   = \sum_{n=1}^{\infty} \frac{t^n}{n!} \langle\!\langle x^n \rangle\!\rangle ,
#   \tag{B21}$$
#
# with the cumulants
#
# $$\begin{aligned}
# \langle\!\langle x \rangle\!\rangle &= \langle x \rangle \\
# \langle\!\langle x^2 \rangle\!\rangle &= \langle x^2 \rangle - \langle x \rangle^2
#   = \langle (x - \langle x \rangle)^2 \rangle \\
# \langle\!\langle x^3 \rangle\!\rangle &= \langle x^3 \rangle - 3 \langle x \rangle \langle x^2 \rangle
#   {} + 2 \langle x \rangle^3 = \langle (x - \langle x \rangle)^3 \rangle \\
# \langle\!\langle x^4 \rangle\!\rangle &= \langle (x - \langle x \rangle)^4 \rangle
#   {} - 3 \langle (x - \langle x \rangle)^2 \rangle^2 .
# \end{aligned} \tag{B22}$$
#
# Put $x = V$ and $t = -\lambda$. The sign $(-\lambda)^n$ alternates, and (B20) turns into
#
# $$\boxed{\; F(\lambda) = F_q + \lambda \langle V \rangle_q
#   {} - \frac{\lambda^2}{2} \langle\!\langle V^2 \rangle\!\rangle_q
#   {} + \frac{\lambda^3}{6} \langle\!\langle V^3 \rangle\!\rangle_q - \dots \;} \tag{B23}$$
#
# This is the Taylor series of $F$ about $\lambda = 0$: order 1 is the tangent, order 2 adds the
# curvature (3.2), and so on. All coefficients are built from averages of powers of $V$ over the
# model $q$, not of exponentials. A constant added to $V$ enters order 1 only, so the first term does the
# bookkeeping of sizes and the others measure the spread.
#
# In the language of the VAE, with $x = \ln w = -V$ and $t = \lambda$, all signs are plus: $\ln
# p(x) = \langle \ln w \rangle + \frac12 \langle\!\langle (\ln w)^2 \rangle\!\rangle + \frac16
# \langle\!\langle (\ln w)^3 \rangle\!\rangle + \dots$ The next chapter is about that form (B25).
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
# The same machine with a worse model shows the other face of the expansion. Take fair coins for
# $q$, all means one half, which know nothing of the machine. Then $H_q = 11 \ln 2$ in every state
# and $V = E - 11 \ln 2$, so that $\lambda$ multiplies the energy as $\beta$ does: with coins (B23)
# is the *high-temperature series*, to be used at $\beta = 1$.

# %% name="coins"
coins = replace(point, visible=np.full_like(m, 0.5), hidden=np.full_like(n, 0.5))
coin_weights, coin_log_q = mean_field.all_log_weights(rbm, coins)
coin_path = cumulants.lambda_path(coin_weights, lambdas, log_q=coin_log_q)
coin_kappa = cumulants.weighted_cumulants(-coin_weights, coin_log_q, max_order)
coin_polynomials = cumulants.taylor_polynomials(coin_kappa, lambdas).numpy()
check(coin_path.free_energy[100], exact)  # (B20) is exact for every q
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
    axis.plot(lambdas, path.free_energy - bound, color="black", lw=2.5, label="exact")
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
# order 2 finds most of it and the higher orders refine it, if slowly; order 20 is hidden behind the
# exact curve. With the coins each polynomial hugs the curve for a while and
# then leaves it, order 20 the most abruptly. Chapter 1 gave the reason: the series converges only
# up to the nearest complex zero of $\langle e^{-\lambda V} \rangle_q$, and if all differences of
# $V$ are doubled, that zero comes twice as near. The coins are too hot a start for $\beta = 1$.
# Counting the zeros inside the circle $|\lambda| < 1$, by the turns of the phase round it, tells
# which case is which.


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
assert counts[0] == 0 and counts[1] > 0

# %% [markdown]
# ## 5. Order 1 is the variational free energy
#
# Cut (B23) after order 1, at $\lambda = 1$, and put $V = H - H_q$ back:
#
# $$F_1 = F_q + \langle V \rangle_q = F_q + \langle H \rangle_q - \langle H_q \rangle_q . \tag{5.1}$$
#
# The model's own free energy is $F_q = -\ln Z_q$, and $\ln q = -H_q - \ln Z_q$, so its entropy is
# $S_q = -\langle \ln q \rangle_q = \langle H_q \rangle_q - F_q$. Therefore
#
# $$\boxed{\; F_1 = \langle H \rangle_q - S_q \ge F_{\rm eq} , \qquad
#   F_1 - F_{\rm eq} = \mathrm{KL}(q \| p) \ge 0 \;} \tag{B24}$$
#
# *Expected energy minus entropy.* The right-hand side is (3.4). This is the free energy that is
# called Helmholtz's by the physicist, Kullback-Leibler's by the statistician, and minus the
# evidence lower bound (ELBO) by whoever trains a VAE: with (1.2), $F_1 = -\langle \ln w \rangle_q$.
# The whole of variational inference is order 1 of (B23).
#
# **When is it variational, and when not?** "Variational" means that a mistake in $q$ can only push
# the result up, so that one may search for the best $q$ by minimising. That holds at order 1, at
# any $\lambda$ and for every $q$, because the curve is concave. *No other order is a bound.* At
# weak coupling the error of order 2 is the next term with the opposite sign, $F_2 - F_{\rm eq}
# \approx -\frac16 \langle\!\langle V^3 \rangle\!\rangle_q$, and a third cumulant may have either
# sign. One might hope for odd orders, since $e^x \ge 1 + x + \frac12 x^2 + \frac16 x^3$ for every
# $x$. But that inequality is about the exponential, not about the logarithm of its average, and a
# variable with two values refutes the hope: let $\ln w$ be 3 with probability 0.3 and 0 otherwise.

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
#   e^{c} \sum_{k=0}^{K} \frac{1}{k!} \big\langle (\ln w - c)^k \big\rangle \tag{5.2}$$
#
# (Bamler and others, 2017). One may even maximise over $c$; $K = 1$ then gives back $e^{\langle \ln
# w \rangle}$, the ELBO (exercise 3). The price is that (5.2) does not add up over independent parts
# of a system, as cumulants do (B27; chapter 14 measures it). So beyond $K = 1$ each of these two families
# of truncations has one of the two properties: (5.2) is a bound and not size-extensive, (B23) is size-extensive and no
# bound. Whether some other truncation has both is not settled by this.
#
# Try $K = 3$ and 5:

# %% name="truncated-exponential"
c = np.linspace(-1, 3, 401)
deviations = two_values[:, np.newaxis] - c  # (2, 401)
probabilities = np.exp(chances)
bounds = {}
for order in (1, 3, 5):
    polynomial = sum(deviations**k / math.factorial(k) for k in range(order + 1))
    average = probabilities @ polynomial  # (5.2)
    positive = average > 0
    bounds[order] = np.max(c[positive] + np.log(average[positive]))
    print(f"K = {order}: ln <w> >= {bounds[order]:.3f} nats, exact {two_exact:.3f}")
    assert bounds[order] <= two_exact
assert abs(bounds[1] - two_kappa[0]) < 1e-4  # the ELBO
assert bounds[1] < bounds[3] < bounds[5]

# %% [markdown]
# ## 6. Two Gaussian cases
#
# Let $z$ be one real variable, $q = N(0, 1)$, and let the posterior $p(z|x)$ be Gaussian too. Since
# $p(x, z) = p(x)\, p(z|x)$, the log weight is $\ln w = \ln p(x) + \ln p(z|x) - \ln q(z)$.
#
# **A posterior in the wrong place**, $N(m, 1)$:
#
# $$\ln w = \ln p(x) - \tfrac12 (z - m)^2 + \tfrac12 z^2 = \ln p(x) + m z - \tfrac12 m^2 . \tag{6.1}$$
#
# This is linear in the Gaussian $z$, so $\ln w$ is itself Gaussian, with mean $\ln p(x) - \frac12
# m^2$ and variance $m^2$. The ELBO is $\frac12 m^2$ too low, half the variance is $\frac12 m^2$,
# and all other cumulants vanish. *Order 2 of (B23) is exact*, however large the gap.
#
# **A posterior of the wrong width**, $N(0, s^2)$:
#
# $$\ln w = \ln p(x) - \ln s - \tfrac12 \Big( \frac{1}{s^2} - 1 \Big) z^2
#   = \ln p(x) - \ln s + \tfrac12 a z^2 , \qquad a = 1 - \frac{1}{s^2} . \tag{6.2}$$
#
# With $\langle e^{t a z^2 / 2} \rangle = \int \frac{dz}{\sqrt{2 \pi}}\, e^{-(1 - t a) z^2 / 2} =
# (1 - t a)^{-1/2}$,
#
# $$\ln \langle e^{t\, a z^2 / 2} \rangle = -\tfrac12 \ln (1 - t a)
#   = \sum_{n=1}^{\infty} \frac{(t a)^n}{2 n} , \qquad
#   \kappa_n = n! \, \frac{a^n}{2 n} = \frac{(n - 1)!\, a^n}{2} . \tag{6.3}$$
#
# At $t = 1$ the sum is $-\frac12 \ln (1 - a) = \ln s$ and cancels the constant, as it must. But the
# series of the logarithm converges for $|a| < 1$ only (and, barely, at $a = -1$), that is, for
#
# $$s^2 \ge \tfrac12 . \tag{6.4}$$
#
# A posterior *wider* than $q$ ($0 < a < 1$) is no problem for the series, however wide: all terms
# are positive and the sums rise to the limit. (Samples of $q$ are another matter: the next
# chapter.) A posterior *narrower* than $q$ ($a < 0$) makes them alternate: order 2 overshoots,
# order 3 undershoots; and once it has less than half of $q$'s variance, they grow.
#
# The obstacle is at $t = 1/a$, which is negative. There the tilted distribution $q\, e^{t a z^2 /
# 2}$ stops being normalisable: going *backwards* along the path by $1/|a|$ widens $q$ without
# limit. The series about $\lambda = 0$ cannot tell forwards from backwards; its circle of
# convergence has one radius.
#
# It can be worse. If $V$ rises faster than $z^2$, say as $z^4$, no step backwards is possible at
# all: $\langle e^{-\lambda V} \rangle_q$ is infinite for every $\lambda < 0$, and the radius is
# zero. Such a series is *asymptotic*: it converges nowhere, and still its first terms are good for
# a small $\lambda$. With finitely many states, as in an RBM, the radius is never zero.
#
# **Check against the exact result**, and the deliberate failure: $s^2 = 0.4$.


# %%
def gaussian_orders(square, max_order):
    """Orders 1 .. max_order of ln p(x), for ln p(x) = 0 and a posterior N(0, square), (6.3)."""
    a = 1 - 1 / square
    kappa = np.array([math.factorial(k - 1) * a**k / 2 for k in range(1, max_order + 1)])
    kappa[0] -= math.log(square) / 2  # the constant -ln s
    return [float(cumulants.log_expectation(kappa[:k])) for k in range(1, max_order + 1)]


# %%
nodes, node_weights = np.polynomial.hermite_e.hermegauss(60)
place = cumulants.weighted_cumulants(1.7 * nodes - 1.7**2 / 2, np.log(node_weights), 4)  # (6.1)
check(place, [-(1.7**2) / 2, 1.7**2, 0.0, 0.0], 1e-9)
check(cumulants.log_expectation(place[:2]), 0.0)  # order 2 is exact

# %%
for square in (0.4, 0.7, 1.5):
    log_w = -math.log(square) / 2 + (1 - 1 / square) * nodes**2 / 2  # (6.2)
    quadrature = cumulants.weighted_cumulants(log_w, np.log(node_weights), 4)
    sums = [float(cumulants.log_expectation(quadrature[:k])) for k in range(1, 5)]
    check(sums, gaussian_orders(square, 4), 1e-9)  # (6.3)
gap = -gaussian_orders(0.4, 1)[0]
print(f"s^2 = 0.4: gap of the ELBO {gap:.4f} nats")
print("corrections of orders 2, 3, 4:", np.round(np.array(gaussian_orders(0.4, 4)[1:]) + gap, 4))
check(gaussian_orders(0.7, 80)[-1], 0.0, 1e-6)
assert abs(gaussian_orders(0.4, 40)[-1]) > 1e3

# %% name="gaussians" alt="Left: errors of orders 1 to 4 over the posterior variance s^2; at s^2 below 0.5 (shaded) they blow up with both signs. Right: absolute error over order; it grows for 0.4, falls for 0.55, 0.8, 2.5."
squares = np.linspace(0.3, 2.5, 111)
table = np.array([gaussian_orders(square, 4) for square in squares]).T
figure, axes = plt.subplots(1, 2, figsize=(10, 3.8))
for order, colour in zip((1, 2, 3, 4), (grey, blue, orange, green), strict=True):
    axes[0].plot(squares, table[order - 1], color=colour, label=f"order {order}")
axes[0].axvspan(0.3, 0.5, color=grey, alpha=0.2, lw=0)
label(axes[0], "Shaded: the series diverges", "variance $s^2$ of the posterior", "error (nats)")
axes[0].set_ylim(-1, 1)
axes[0].legend()
for square, colour in ((0.4, orange), (0.55, blue), (0.8, green), (2.5, purple)):
    error = np.abs(gaussian_orders(square, 30))
    axes[1].semilogy(range(1, 31), error, "o-", ms=3, color=colour, label=f"$s^2 = {square}$")
label(axes[1], "Order by order", "order", "absolute error (nats)")
axes[1].legend()
plt.show()

# %% [markdown]
# Order 1 (grey) is never above zero. Order 2 overshoots on the left and undershoots on the right,
# order 3 undershoots on both sides. Where $s^2 > 1$, order 2 repairs most of the gap; a $q$ that is
# too wide is worse for the series. (In the right panel the floor near $10^{-16}$ is rounding.)
# VAEs are trained with $\mathrm{KL}(q \| p)$, which is said to prefer a narrow $q$, and so one would
# expect $s^2 > 1$. But with several latent variables the best $q$ is too narrow in some directions
# and too wide in others, as we see next.
#
# **Correlations, which mean field lacks.** In several dimensions let the posterior have the
# precision matrix $P$ with ones on its diagonal, and $q = N(0, I)$, the best product distribution
# for it. Then $\ln w = \text{const} - \frac12 z^T (P - I) z$. Rotate $z$ to the eigenvectors of
# $P$: $q$ does not notice, and $\ln w$ becomes a sum of independent terms (6.2), one $a_k = 1 -
# \text{eigenvalue}_k$ for each. Cumulants of independent terms add:
#
# $$\kappa_n = \tfrac12 (n - 1)! \sum_k a_k^n \quad (n \ge 2) , \qquad
#   \ln p(x) - \mathrm{ELBO} = -\tfrac12 \sum_k \ln (1 - a_k) = -\tfrac12 \ln \det P , \tag{6.5}$$
#
# where $\sum_k a_k = \mathrm{tr}(I - P) = 0$ was used. Two variables with $P_{12} = \rho$ have $a =
# \pm \rho$: the gap is $-\frac12 \ln (1 - \rho^2)$, order 2 gives $\frac12 \rho^2$, order 4 adds
# $\frac14 \rho^4$, the odd orders vanish, and the series converges for every $|\rho| < 1$. *What
# the mean field leaves out, the cumulants put back, one power at a time.* With more variables this
# is no longer sure: three with $P_{ij} = \rho$ have the eigenvalues $1 - \rho$ (twice) and $1 + 2
# \rho$, and for $\rho > \frac12$ the last one has $a < -1$, although $q$ is the best product.

# %% name="correlated"
rho = 0.6
grid_z = nodes[:, np.newaxis]
log_w = math.log(1 - rho**2) / 2 - rho * grid_z * nodes  # ln p(x) = 0, so ln w = ln p(z|x) / q
pair_kappa = cumulants.weighted_cumulants(
    log_w.ravel(), np.log(np.outer(node_weights, node_weights)).ravel(), 6
)
sums = [float(cumulants.log_expectation(pair_kappa[:k])) for k in range(1, 7)]
elbo_gap = -math.log(1 - rho**2) / 2
check(sums[0], -elbo_gap, 1e-9)  # (6.5)
check(sums[1] - sums[0], rho**2 / 2, 1e-9)
check(sums[3] - sums[2], rho**4 / 4, 1e-9)
check(pair_kappa[2], 0.0, 1e-9)
check(pair_kappa[4], 0.0, 1e-7)
print(f"rho = {rho}: errors of orders 1 to 6", np.round(sums, 4), "nats")

# %% [markdown]
# ## 7. From samples, with error bars
#
# All of (B23) needs samples of $q$ and nothing else. Estimating a cumulant without bias is the work
# of the k-statistics (chapter 1, section 9). Their error bars come from the same samples by the
# *jackknife*: leave out each sample in turn, compute the k-statistic $k_{(i)}$ of the others, and
# take
#
# $$\mathrm{s.e.}^2 = \frac{n - 1}{n} \sum_{i=1}^n \big( k_{(i)} - \overline{k_{(\cdot)}} \big)^2 . \tag{7.1}$$
#
# For the mean, $k_{(i)} = (n \bar x - x_i)/(n - 1)$ and (7.1) is the familiar variance over $n$.
# For the series as a whole it takes into account that errors of different orders are correlated.
#
# We draw states from our machine's mean-field $q$, as if it were too large to sum.

# %%
rng = np.random.default_rng(seed)
drawn = (rng.random((num_samples, len(means))) < means).astype(float)
samples = -mean_field.perturbation(
    rbm, point, drawn[:, :num_visible], drawn[:, num_visible:]
)  # ln w
kappa_samples = cumulants.sample_cumulants(samples, 4).numpy()
errors = cumulants.cumulant_standard_errors(samples, 4).numpy()
exact_kappa = kappa[:4].numpy() * signs * -1  # of ln w = -V

# %%
left_out = (num_samples * kappa_samples[0] - samples) / (num_samples - 1)
by_hand = np.sqrt((num_samples - 1) * np.var(left_out))  # (7.1) for the mean
check(by_hand, errors[0])
check(by_hand, np.std(samples, ddof=1) / num_samples**0.5)
assert np.all(np.abs(kappa_samples - exact_kappa) < 5 * errors)

# %% name="from-samples"
print("order   kappa of ln w   estimate   s.e.   |  series  s.e.  exact -F (nats)")
for k in range(4):
    series = float(cumulants.log_expectation(kappa_samples[: k + 1]))
    row = (
        exact_kappa[k],
        kappa_samples[k],
        errors[k],
        series,
        cumulants.series_standard_error(samples, k + 1),
    )
    print("{:5d} {:15.4f} {:10.4f} {:6.4f} |{:8.4f} {:6.4f}".format(k + 1, *row), f"{-exact:8.4f}")

# %% [markdown]
# Left of the bar: the errors of single cumulants grow quickly with the order, and the third is not
# resolved at all by 1000 samples. Right of it: for the series the noise rises while the truncation
# error, listed in section 4, falls. At order 4 the two are about equal, 0.07 and 0.06 nats, and
# there is little point in going on without more samples.
#
# **Billions of log-weights.** A cumulant needs no list of samples. From the number, the mean and
# the sums of powers of deviations from the mean, two sets merge exactly (Pebay 2008), so the work
# may be cut into batches and spread over workers. `StreamingCumulants` keeps these few numbers.

# %%
workers = [cumulants.StreamingCumulants.empty(max_order=4) for _ in range(3)]
for index, batch in enumerate(np.split(samples.numpy(), 10)):
    workers[index % 3] = workers[index % 3].update(batch)
merged = workers[0].merge(workers[1]).merge(workers[2])
assert merged.count == num_samples
check(merged.cumulants(), kappa_samples)
print("three workers, ten batches:", merged.cumulants().round(6))

# %% [markdown]
# ## 8. Integrate along the path instead
#
# The expansion uses derivatives of $F$ at one end. If we can sample $p_\lambda$ at points between,
# no expansion of (B20) is needed: by (3.1),
#
# $$F_{\rm eq} = F_q + \int_0^1 \langle V \rangle_\lambda \, d\lambda . \tag{8.1}$$
#
# This is *thermodynamic integration*. Order 1 is its crudest version: one point, on the left, of a
# falling integrand, hence an upper bound. On a grid with steps $h$ the trapezoidal rule has an
# error of order $h^2$. Its leading part is known, and it is known from *variances* we have anyway.
# On one step put the integrand's Taylor series about the middle, $f = f_0 + f_1 u + \frac12 f_2
# u^2 + \dots$ with $|u| \le h/2$:
#
# $$\int f\, du = h f_0 + \tfrac{h^3}{24} f_2 , \qquad
#   \text{trapezoid} = h f_0 + \tfrac{h^3}{8} f_2 , \tag{8.2}$$
#
# so the trapezoid is $\frac{h^3}{12} f_2$ too large, and $h f_2$ is the change of the slope over
# the step. With $f' = -\langle\!\langle V^2 \rangle\!\rangle_\lambda$, by (3.2),
#
# $$\int_{\lambda_i}^{\lambda_{i+1}} \langle V \rangle\, d\lambda \approx
#   \frac{h}{2} \big( \langle V \rangle_i + \langle V \rangle_{i+1} \big)
#   {} + \frac{h^2}{12} \big( \langle\!\langle V^2 \rangle\!\rangle_{i+1}
#   {} - \langle\!\langle V^2 \rangle\!\rangle_i \big) .
#   \tag{8.3}$$
#
# On equal steps the corrections between cancel and only the two end points count (Euler and
# Maclaurin). The error is now of order $h^4$. With a single step, $h = 1$, (8.3) is a second way to
# use means and variances: those of both ends.
#
# **Check against the exact result**: the powers of $h$, with the fair coins, whose series diverges.

# %% name="steps"
plain_errors, corrected_errors = [], []
step_counts = np.array([1, 2, 4, 8, 16, 32])
for steps in step_counts:
    grid = cumulants.lambda_path(coin_weights, np.linspace(0, 1, steps + 1), log_q=coin_log_q)
    plain = cumulants.integrate_path(grid.lambdas, grid.mean)
    ends = (grid.variance[-1] - grid.variance[0]) / 12 / steps**2  # (8.3), the rest cancels
    corrected = cumulants.integrate_path(grid.lambdas, grid.mean, variance=grid.variance)
    check(corrected, plain + ends)
    plain_errors.append(float(plain) - exact)
    corrected_errors.append(float(corrected) - exact)
    pair = plain_errors[-1], corrected_errors[-1]
    print("{:3d} steps: plain {:+.6f}, corrected {:+.6f} nats".format(steps, *pair))
assert abs(np.log2(plain_errors[-2] / plain_errors[-1]) - 2) < 0.1
assert abs(np.log2(corrected_errors[-2] / corrected_errors[-1]) - 4) < 0.5

# %% [markdown]
# **By Gibbs sampling.** A machine with 40 visible and 16 hidden units has $2^{56}$ states. Each
# $\lambda$ is an RBM (2.1); chains start as exact draws of $q$ and are carried from one $\lambda$
# to the next. Beside it, the other use of (3.1): weights $w^\lambda$ on samples of $q$ alone,
# *self-normalised*, which is all one has for a VAE. Their effective sample size falls as $\lambda$
# grows.

# %%
large = random_rbm((large_visible, large_hidden), large_scale)
large_point = mean_field.tap(large, order=1)
grid = np.linspace(0, 1, 11)
moving = mean_field.gibbs_path(
    large, large_point, grid, num_chains=num_chains, num_steps=num_sweeps, seed=seed
).numpy()
v_mean, v_variance = moving.mean(1), moving.var(1, ddof=1)
integral = float(cumulants.integrate_path(grid, v_mean, variance=v_variance))


# %%
def large_free_energy(lam):
    machine, scale = mean_field.interpolated_rbm(large, large_point, lam)  # (2.1)
    return -enumeration.log_z(machine) - scale


large_exact = np.array([large_free_energy(lam) for lam in grid])

# %% name="gibbs-path"
fixed = cumulants.lambda_path(-moving[0], grid)  # the samples at lambda = 0 are draws of q
sizes = [float(effective_sample_size(-g * moving[0])) for g in grid]
print(f"F_eq: exact {large_exact[-1]:.3f}, Gibbs path {integral:.3f}", end=", ")
print(f"order 1 {v_mean[0]:.3f}, order 2 {v_mean[0] - v_variance[0] / 2:.3f} nats")
print("effective sample size of the weights at each lambda:", np.round(sizes).astype(int))
print(f"<V> at lambda = 1: Gibbs {v_mean[-1]:.2f}, weighted samples of q {fixed.mean[-1]:.2f} nats")

# %%
slope = [(large_free_energy(lam + 1e-3) - large_free_energy(lam - 1e-3)) / 2e-3 for lam in grid]
slope, errors = np.array(slope), np.sqrt(v_variance / num_chains)
assert np.all(np.abs(v_mean - slope) < 5 * errors)  # the Gibbs points
weighted = np.asarray(fixed.mean)
exact_steps, steps = np.diff(slope), np.diff(weighted)
assert exact_steps[-2:].sum() < steps[-2:].sum() < steps[-4:-2].sum() < 0
assert weighted[-1] > slope[-1] + 0.3 and sizes[-1] < 100
print("from 0.6 to 0.8 to 1, exact:", exact_steps[-4:].reshape(2, 2).sum(1).round(2), end=", ")
print("weighted samples:", steps[-4:].reshape(2, 2).sum(1).round(2), "nats")

# %% name="integrand" alt="Left: the mean of V over lambda; Gibbs points follow the exact curve, weighted samples of q stay 0.6 nats above it at 1. Right, log scale: their effective sample size falls from 1000 to 37."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.8))
axes[0].plot(grid, slope, color="black", label="exact, differences of $F$")
bars = 2 * errors
axes[0].errorbar(grid, v_mean, bars, fmt="o", ms=4, color=blue, label="Gibbs sampling (2 s.e.)")
axes[0].plot(grid, fixed.mean, "s--", ms=4, color=orange, label="weighted samples of $q$")
label(axes[0], "The integrand", r"$\lambda$", r"$\langle V \rangle_\lambda$ (nats)")
axes[0].legend()
axes[1].semilogy(grid, sizes, "s--", ms=4, color=orange)
label(axes[1], f"Weighted samples: {num_chains} drawn", r"$\lambda$", "effective sample size")
plt.show()

# %%
spread = 0.1 * np.sum(errors)  # s.e. of the integral, at most
missed = float(cumulants.integrate_path(grid, slope)) - large_exact[-1]  # of a plain rule
print(f"error of the integral {integral - large_exact[-1]:+.4f} nats, s.e. below {spread:.4f}")
assert abs(integral - large_exact[-1]) < 5 * spread + abs(missed)
assert abs(integral - large_exact[-1]) < abs(v_mean[0] - v_variance[0] / 2 - large_exact[-1])

# %% [markdown]
# The Gibbs points follow the exact integrand to the end, about within their bars. The curve of the
# weighted samples of $q$ gets steeper as well, but beyond $\lambda = 0.8$ less so than the exact one, and it misses
# about half a nat at $\lambda = 1$. There a thousand samples are worth fewer than a hundred.
#
# ## 9. Can the series be summed up better?
#
# The example (6.3) suggests it: there, three cumulants are enough to know all the others. Take $x =
# \ln w$ for a *Gamma* variable with an unknown origin, scale $\theta$ and shape $\alpha$. Its
# cumulants beyond the mean are $\kappa_n = (n - 1)!\, \alpha\, \theta^n$, so $\theta = \kappa_3 / 2
# \kappa_2$ and $\alpha = \kappa_2 / \theta^2$, and the series sums to
#
# $$\ln \langle e^x \rangle \approx \kappa_1 + \kappa_2\, \frac{-\theta - \ln (1 - \theta)}{\theta^2} . \tag{9.1}$$
#
# Another proposal is the Pade approximant that agrees with (B23) to order 3,
#
# $$\ln \langle e^x \rangle \approx \kappa_1 + \frac{\kappa_2 / 2}{1 - \kappa_3 / 3 \kappa_2} . \tag{9.2}$$
#
# Neither is a bound. We compare them with order 3 where the answer is known. The errors are those
# of $\ln \langle e^x \rangle$, so for our machine they have the opposite sign of those of $F$
# above.


# %%
def resummed(kappa):
    """Orders 2 and 3, the Pade approximant (9.2) and the Gamma closure (9.1), nats."""
    k1, k2, k3 = np.array(kappa[:3], float)
    theta = k3 / (2 * k2)
    closure = k1 + k2 * (-theta - np.log(1 - theta)) / theta**2 if theta < 1 else np.inf
    return np.array([k1 + k2 / 2, k1 + k2 / 2 + k3 / 6, k1 + k2 / 2 / (1 - k3 / (3 * k2)), closure])


# %% name="resummed"
cases = {"Poisson, rate 1": ([1.0, 1.0, 1.0], math.e - 1), "two values": (two_kappa, two_exact)}
cases["RBM, mean field"] = exact_kappa, -exact
cases["RBM, fair coins"] = coin_kappa[:4] * -signs, -exact
for square in (0.4, 2.0):
    a = 1 - 1 / square
    cases[f"Gaussian, s^2 = {square}"] = [a / 2 - math.log(square) / 2, a**2 / 2, a**3], 0.0
print(f"{'error in nats':22s} order 2  order 3  Pade  Gamma")
for name, (values, target) in cases.items():
    print(f"{name:22s}", (resummed(values) - target).round(3))

# %% [markdown]
# The Gamma closure is exact where it was derived, even at $s^2 = 0.4$, where the series diverges.
# Elsewhere it is sometimes better than order 3, sometimes worse, and one cannot tell beforehand. It
# also divides by an *estimated* variance what contains an estimated third cumulant, which makes it
# noisier. For a single average the library therefore has the plain series alone. The next chapter
# uses the closure where the noise can be averaged out, with one $\theta$ for many images, and
# together with a better cure, groups of samples.
#
# ## 10. Summary
#
# The blog post asks four questions. Three of them have their answers here.
#
# - *How is the free energy of variational inference related to $\ln Z$?* It is order 1 of an exact
#   identity, $F_{\rm eq} = F_q - \ln \langle e^{-V} \rangle_q$ (B20).
# - *When is it variational, and when not?* At order 1, always, because $F(\lambda)$ is concave; at
#   every higher order, not (B24).
# - *How can it be improved systematically?* By the cumulants (B23), as long as the spread of $V$ is
#   small enough for the nearest singularity of $F$ (a complex zero of $\langle e^{-\lambda V}
#   \rangle_q$, or a point where that average diverges) to lie outside $|\lambda| = 1$; by
#   integration along the path otherwise.
# - The fourth, what a deterministic autoencoder has to do with it, belongs to the temperature of a
#   VAE (chapter 9).
#
# | object | RBM | VAE | row |
# |:--|:--|:--|:--|
# | $H$ | $E(v, h)$ | $-\ln p(x, z)$ | B18 |
# | $H_q$ | a product of Bernoullis | $-\ln q(z \mid x)$ | B18 |
# | $-V$ | $-\ln q - E(v, h)$ | $\ln w$ | B18 |
# | $F_{\rm eq}$ | $-\ln Z$ | $-\ln p(x)$ | B19, B20 |
# | $F_1$ | naive mean field | $-$ELBO | B24 |
# | order 2 | $-\frac12 \langle\!\langle V^2 \rangle\!\rangle$ | $-\frac12 \mathrm{Var} \ln w$ | B23 |
#
# - The slope of $F(\lambda)$ is $\langle V \rangle_\lambda$, its curvature $-\langle\!\langle V^2
#   \rangle\!\rangle_\lambda$; the gaps at both ends are the two Kullback-Leibler divergences.
# - A Gaussian $\ln w$ is exact at order 2. Between Gaussians, a $q$ with twice the posterior's
#   variance is as wide as the series can stand.
#
# ## Exercises
#
# 1. *(easy)* **A constant.** Show from (B20) that adding a constant $c$ to $V$ in all states
#    changes $F(\lambda)$ by $\lambda c$. Check with $c = 3$ and the mean-field $V$ that only $\kappa_1$ of the first five
#    cumulants moves, and that $F$ moves as it should at all `lambdas`.
# 2. *(easy)* **The other bound.** Expand $F$ about $\lambda = 1$ instead: show that $F_{\rm eq} =
#    F_q + \langle V \rangle_1 + \frac12 \langle\!\langle V^2 \rangle\!\rangle_1 + \frac16
#    \langle\!\langle V^3 \rangle\!\rangle_1 + \dots$, and compare orders 1 to 3 of both ends for
#    our machine.
# 3. *(medium)* **Order $K = 1$.** Maximise (5.2) with $K = 1$ over $c$ by hand. What is the best $c$ for the variable with
#    two values?
# 4. *(medium)* **Half way.** Average the order-2 expansions from both ends, and compare with a
#    single step of (8.3), for our machine. Which weights of the variances does (8.3) use?
# 5. *(hard)* **Linear response.** Make $q$ depend on a parameter: for a product $q$ with means $m,
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
# 4. From the left <V>_0 - <<V^2>>_0 / 2, from the right <V>_1 + <<V^2>>_1 / 2. Their mean has the weights
# -1/4 and +1/4. Both leave out +F'''/6, about -(<<V^2>>_1 - <<V^2>>_0)/6: (8.3) has 1/4 - 1/6 = 1/12.
ends = cumulants.lambda_path(log_weights, [0.0, 1.0], log_q=log_q)
half_way = np.mean(ends.mean) + (ends.variance[1] - ends.variance[0]) / 4
one_step = cumulants.integrate_path([0.0, 1.0], ends.mean, variance=ends.variance)
check(half_way - exact, 0.49891, 1e-5)
check(one_step - exact, 0.02248, 1e-5)
print(
    f"4. errors: mean of both ends {half_way - exact:+.5f}, one step {one_step - exact:+.5f} nats"
)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 5. d q / d m_i = q (v_i - m_i) / (m_i (1 - m_i)), and F_1 = <H + ln q>_q, so that
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
print(f"5. largest |<<V, unit>>| at the mean-field point: {largest:.1e}")
