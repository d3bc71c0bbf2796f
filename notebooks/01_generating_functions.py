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
# # Chapter 1: Generating functions
#
# A *generating function* is a single function whose derivatives are the quantities you want. This
# chapter shows, on a model small enough to sum exactly, that $\ln Z$ is one. Differentiate it with
# respect to the inverse temperature and you get energies and their fluctuations; with respect to
# a field on the units, their averages and covariances; with respect to a weight, the statistics that
# learning needs. The same machinery, cumulants, later gives the variational bound and its
# corrections.
#
# **What you will do**
#
# - write $\ln Z(\beta)$ of a small restricted Boltzmann machine (RBM) in four lines and
#   differentiate it automatically;
# - derive each derivative by hand and check it against the exact sum;
# - expand $\ln\langle e^{x}\rangle$ in cumulants, watch the series succeed, and watch it fail;
# - estimate cumulants from samples, without bias and with error bars.
#
# **What you will learn**
#
# - why $-\partial_\beta \ln Z$ is the mean energy and $\beta^2\,\partial_\beta^2 \ln Z$ the heat
#   capacity (B6);
# - what cumulants are (B21, B22), and why the derivatives of $\ln Z$ are cumulants of the energy;
# - how far a cumulant series can be trusted: up to the nearest complex zero.
#
# **What you need**: derivatives and Taylor series, probability up to expectation and variance,
# and some Python, with this project installed. No physics is assumed.
#
# **Time**: about two hours, and as much again for the exercises. The code runs in well under a
# minute.
#
# Equation numbers such as (B6) are the row names used in the whole course, in the library's
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
import tensorflow as tf

from rbm_tf import cumulants, enumeration
from rbm_tf.explorable import Explorable
from rbm_tf.rbm import BernoulliRBM

# %%
seed = 0
num_visible, num_hidden = 6, 4
kernel_scale, bias_scale = 1.5, 0.5  # standard deviations of the random parameters, nats
beta_curve, beta_points = np.linspace(0, 3, 121), np.linspace(0, 3, 13)
beta_0 = 1.0  # where ln Z is expanded
probability = 0.3  # of the two-point variable in section 8
num_samples, num_repeats = 200, 4000
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 88}])


# %%
def check(left, right, tolerance=1e-10):
    """Raise unless both are equal to the tolerance, relative above 1, absolute below."""
    np.testing.assert_allclose(*np.broadcast_arrays(left, right), rtol=tolerance, atol=tolerance)


def label(axis, title, xlabel, ylabel):
    axis.set(title=title, xlabel=xlabel, ylabel=ylabel)


# %% [markdown]
# ## 1. The partition function of a small model
#
# An RBM has visible units $v_i$ and hidden units $h_j$, all 0 or 1, and the energy
#
# $$E(v, h) = -\sum_i a_i v_i - \sum_j b_j h_j - \sum_{ij} v_i W_{ij} h_j . \tag{B1}$$
#
# In the code $W$ is `kernel`, $a$ is `visible_bias` and $b$ is `hidden_bias`. At inverse
# temperature $\beta = 1/T$ a state has the probability
#
# $$p_\beta(v, h) = \frac{e^{-\beta E(v, h)}}{Z(\beta)}, \qquad
#   Z(\beta) = \sum_{v, h} e^{-\beta E(v, h)} . \tag{B3}$$
#
# $Z$, the *partition function*, looks like a mere normalisation. It has one term for each state,
# which is why it cannot be summed for a large model: 784 visible units, one for each pixel of a
# small image, and 500 hidden units have $2^{1284}$ states. Ours has $2^{6+4} = 1024$, so every claim
# below can be checked exactly.
#
# **Signs and units.** Logarithms are natural, so energies, entropies and free energies are in
# *nats*: at $\beta = 1$, one nat more energy makes a state $e$ times less likely. Boltzmann's
# constant is 1. The free energy is
#
# $$F = -\frac{1}{\beta} \ln Z(\beta), \qquad \text{so } F = -\ln Z \text{ at } \beta = 1 . \tag{1.1}$$
#
# Mind the minus sign: it makes a low free energy a good one, and it is often dropped. The blog post
# that this course follows, Charles Martin's *Free Energies and Variational Inference*, has the
# minus sign in most places, but calls $\ln Z$ itself the free energy in one sentence. Both
# functions carry the same information. Here *free energy* always means (1.1), and where the sign
# matters we write $\ln Z$.
#
# **The role of $\beta$.** The energy (B1) is linear in its parameters, so
# $\beta\, E(v, h;\, a, b, W) = E(v, h;\, \beta a, \beta b, \beta W)$, and therefore
#
# $$Z(\beta;\, a, b, W) = Z(1;\, \beta a, \beta b, \beta W) . \tag{B7}$$
#
# Multiplying all parameters by $s$ is the same as setting $\beta = s$: large weights are a low
# temperature. A model is trained at $\beta = 1$, but $\beta$ is the dial that turns all its
# parameters at once.
#
# First the model, with random parameters large enough to give it structure, in float64 so that
# identities hold to about ten digits; then all its states and their energies (B1). After that, the
# function that this chapter is about. `reduce_logsumexp` adds the exponentials without overflow,
# and because `log_z` is written in TensorFlow, it can be differentiated automatically, to any
# order.

# %%
rng = np.random.default_rng(seed)
rbm = BernoulliRBM(num_visible, num_hidden, seed=seed, dtype="float64")
rbm.kernel.assign(rng.normal(0, kernel_scale, (num_visible, num_hidden)))
rbm.visible_bias.assign(rng.normal(0, bias_scale, num_visible))
rbm.hidden_bias.assign(rng.normal(0, bias_scale, num_hidden))

states = np.array(list(itertools.product([0.0, 1.0], repeat=num_visible + num_hidden)))
v, h = states[:, :num_visible], states[:, num_visible:]
energies = rbm.energy(v, h).numpy()  # (1024,), nats
print(f"{len(states)} states, {states.shape[1]} units each")
print(f"784 visible and 500 hidden units would have 10^{1284 * math.log10(2):.1f} states")
print(f"lowest energy {np.min(energies):.3f} nats, highest {np.max(energies):.3f} nats")


# %%
def log_z(beta):
    """ln Z(beta) = ln sum exp(-beta E), (B3), nats."""
    return tf.reduce_logsumexp(-beta * energies)


def probabilities(beta):
    """p(v, h) = exp(-beta E) / Z of every state, (B3)."""
    return tf.nn.softmax(-beta * energies).numpy()


# %% [markdown]
# **Check against the exact result.** The library sums $Z$ in another way: it enumerates one layer
# only and sums over the other in closed form. In (B1) the hidden units do not interact with each
# other, so for a given $v$ the sum over $h$ is a product of sums over one unit:
#
# $$\sum_{h} e^{-E(v, h)} = e^{a \cdot v} \prod_j \sum_{h_j = 0}^{1} e^{h_j (b_j + \sum_i v_i W_{ij})}
#   = e^{a \cdot v} \prod_j \left( 1 + e^{b_j + \sum_i v_i W_{ij}} \right)
#   \equiv e^{-F_c(v)} . \tag{1.2}$$
#
# $F_c(v)$ is the *clamped free energy*: the free energy of the hidden units while $v$ is held fixed.
# It gives $Z = \sum_v e^{-F_c(v)}$, and from $p(v) = e^{-F_c(v)} / Z$ the log likelihood
#
# $$\ln p(v) = -F_c(v) + F_{\rm eq}, \qquad F_{\rm eq} = -\ln Z . \tag{B5}$$
#
# We check our sum, the sum over $F_c$, and the scaling law (B7).

# %% name="partition-function"
scaled = BernoulliRBM(num_visible, num_hidden, dtype="float64")
for parameter, original in zip(scaled.trainable_variables, rbm.trainable_variables, strict=True):
    parameter.assign(0.5 * original)
visible_states = np.unique(v, axis=0)  # (64, 6)

print(f"ln Z(1) by brute force:        {log_z(1.0):.12f}")
print(f"ln Z(1) from the library:      {enumeration.log_z(rbm):.12f}")
print(f"F = -ln Z(1):                 {-log_z(1.0):.12f} nats")
check(log_z(1.0), enumeration.log_z(rbm))  # (B3)
check(log_z(1.0), tf.reduce_logsumexp(-rbm.free_energy(visible_states)))  # (B5)
check(log_z(0.5), enumeration.log_z(scaled))  # (B7)
check(probabilities(1.0).sum(), 1.0)

# %% [markdown]
# ## 2. The first derivative: the mean energy
#
# Differentiate $\ln Z$ with respect to $\beta$. The chain rule for the logarithm comes first,
#
# $$\frac{d \ln Z}{d\beta} = \frac{1}{Z} \frac{dZ}{d\beta} . \tag{2.1}$$
#
# In $Z$, each state's term depends on $\beta$ through its exponent alone:
#
# $$\frac{dZ}{d\beta} = \sum_{v, h} \frac{d}{d\beta}\, e^{-\beta E(v, h)}
#   = -\sum_{v, h} E(v, h)\, e^{-\beta E(v, h)} . \tag{2.2}$$
#
# Put (2.2) into (2.1) and recognise the probability (B3):
#
# $$\frac{d \ln Z}{d\beta} = -\sum_{v, h} E(v, h)\, \frac{e^{-\beta E(v, h)}}{Z}
#   = -\sum_{v, h} E(v, h)\, p_\beta(v, h), $$
#
# that is,
#
# $$\boxed{\; -\frac{d \ln Z}{d\beta} = \langle E \rangle_\beta \equiv U(\beta) \;} \tag{B6a}$$
#
# The whole trick is that a derivative brings down a factor of $-E$ from the exponent, and the
# division by $Z$ turns the sum into an average. We shall use it again and again.
#
# **Check against the exact result**, three ways: automatic differentiation of our `log_z`, the
# average $\sum p\, E$, and the library's enumeration.

# %% name="mean-energy"
beta_one = tf.constant(1.0, tf.float64)
by_derivative = -cumulants.derivatives(log_z, max_order=1, at=beta_one)[0]  # (B6a), left
by_average = probabilities(1.0) @ energies  # (B6a), right
by_library = enumeration.thermodynamics(rbm, [1.0]).energy[0]

print(f"-d ln Z/d beta at beta = 1:  {by_derivative:.12f} nats")
print(f"<E> as an average:           {by_average:.12f} nats")
check(by_derivative, by_average)
check(by_derivative, by_library)

# %% [markdown]
# ## 3. The second derivative: fluctuations, heat capacity, entropy
#
# **Fluctuations.** Differentiate $\langle E \rangle_\beta = Z^{-1} \sum E\, e^{-\beta E}$ once more.
# The quotient rule gives two terms, one from the exponentials and one from $Z$:
#
# $$\frac{d \langle E \rangle_\beta}{d\beta}
#   = \underbrace{-\frac{1}{Z} \sum_{v, h} E^2 e^{-\beta E}}_{-\langle E^2 \rangle}
#   \;\underbrace{-\;\frac{1}{Z^2} \frac{dZ}{d\beta} \sum_{v, h} E\, e^{-\beta E}}_{
#     {} + \langle E \rangle \langle E \rangle \text{ by (2.1) and (B6a)}}
#   = -\left( \langle E^2 \rangle - \langle E \rangle^2 \right) . \tag{3.1}$$
#
# The bracket is the variance of the energy. Writing $\langle\!\langle E^2 \rangle\!\rangle$ for it
# (section 4 explains the double brackets), and using (B6a) on the left,
#
# $$\boxed{\; \frac{d^2 \ln Z}{d\beta^2} = \langle\!\langle E^2 \rangle\!\rangle_\beta
#   = \langle E^2 \rangle_\beta - \langle E \rangle_\beta^2 \;\ge\; 0 \;} \tag{B6b}$$
#
# A variance is never negative, so $\ln Z$ is convex in $\beta$ and the mean energy can only fall as
# $\beta$ grows.
#
# **Heat capacity.** It says how much the mean energy rises per unit of temperature. With
# $T = 1/\beta$ and $d\beta/dT = -1/T^2 = -\beta^2$,
#
# $$C = \frac{dU}{dT} = \frac{d\beta}{dT} \frac{dU}{d\beta}
#   = (-\beta^2) \left( -\langle\!\langle E^2 \rangle\!\rangle_\beta \right)
#   = \beta^2 \langle\!\langle E^2 \rangle\!\rangle_\beta . \tag{B6c}$$
#
# The response to heating is measured by the fluctuations before any heat is applied.
#
# **Entropy.** By definition $S = -\sum p \ln p$. From (B3), $\ln p_\beta = -\beta E - \ln Z$, so
#
# $$S = -\sum_{v, h} p_\beta \left( -\beta E - \ln Z \right)
#   = \beta \sum_{v, h} p_\beta E + \ln Z \sum_{v, h} p_\beta
#   = \ln Z + \beta \langle E \rangle . \tag{B6d}$$
#
# Divide by $\beta$ and use (1.1): $F = U - T S$, *free energy = expected energy − temperature ×
# entropy*. Finally, by (B6a) and (B6b),
#
# $$\frac{dS}{d\beta} = \frac{d \ln Z}{d\beta} + U + \beta \frac{dU}{d\beta}
#   = -U + U - \beta \langle\!\langle E^2 \rangle\!\rangle
#   = -\beta \langle\!\langle E^2 \rangle\!\rangle \le 0 : \tag{3.2}$$
#
# cooling makes the model more certain. At $\beta = 0$ all $2^{10}$ states are equally likely and
# $S = 10 \ln 2$; as $\beta \to \infty$ only the state of lowest energy is left and $S \to 0$.
#
# **Check against the exact result**: both derivatives by automatic differentiation at thirteen
# temperatures, against the library's enumeration and the definition of the entropy.

# %%
points = tf.constant(beta_points, tf.float64)
first, second = np.transpose(
    [cumulants.derivatives(log_z, max_order=2, at=beta) for beta in points]
)
auto_energy = -first  # (B6a)
auto_heat_capacity = beta_points**2 * second  # (B6b), (B6c)
auto_entropy = [log_z(beta) for beta in points] - beta_points * first  # (B6d)
exact = enumeration.thermodynamics(rbm, beta_points)

check(auto_energy, exact.energy)
check(auto_heat_capacity, exact.heat_capacity)
check(auto_entropy, exact.entropy)
p = probabilities(1.0)
check(-np.sum(p * np.log(p)), enumeration.thermodynamics(rbm, [1.0]).entropy[0])
print(f"S(0) = {auto_entropy[0]:.6f} nats, 10 ln 2 = {10 * math.log(2):.6f} nats")

# %% name="thermodynamics" alt="Three panels over beta from 0 to 3: mean energy falls from 1.5 to -8.5 nats, entropy from 6.9 to 0.3; heat capacity rises from 0 to a peak of 4.2 near beta = 1, then falls. Dots lie on the curves."
curve = enumeration.thermodynamics(rbm, beta_curve)
panels = [
    ("Mean energy $U$", "$U$ (nats)", curve.energy, auto_energy, blue),
    ("Entropy $S$", "$S$ (nats)", curve.entropy, auto_entropy, green),
    ("Heat capacity $C$", "$C$ (nats)", curve.heat_capacity, auto_heat_capacity, orange),
]
figure, axes = plt.subplots(1, 3, figsize=(10, 3.3))
for axis, (title, ylabel, exact_curve, auto_points, colour) in zip(axes, panels, strict=True):
    axis.plot(beta_curve, exact_curve, color=colour, label="exact enumeration")
    axis.plot(beta_points, auto_points, "o", color="black", ms=4, label="derivatives of $\\ln Z$")
    label(axis, title, r"inverse temperature $\beta$", ylabel)
axes[0].legend()
plt.show()
peak = np.argmax(curve.heat_capacity)
print(f"heat capacity peaks at beta = {beta_curve[peak]:.3f}: {curve.heat_capacity[peak]:.3f} nats")

# %% [markdown]
# All three curves come from one function. As the model cools, its energy falls and its entropy falls
# with it. By (3.2), $dS/d\ln\beta = -\beta^2 \langle\!\langle E^2 \rangle\!\rangle = -C$: each per cent of
# cooling takes most entropy where the heat capacity peaks. There the model is choosing between a
# few good states and a great many bad ones. Beyond the peak it has mostly chosen, and little is
# left to fluctuate.
#
# ## 4. The cumulant generating function
#
# Leave physics aside and take any random variable $x$. Its *moment generating function* is
#
# $$M(t) = \langle e^{t x} \rangle = \sum_{n=0}^{\infty} \frac{t^n}{n!} \langle x^n \rangle
#   = 1 + \langle x \rangle t + \langle x^2 \rangle \frac{t^2}{2}
#     {} + \langle x^3 \rangle \frac{t^3}{6} + \langle x^4 \rangle \frac{t^4}{24} + \dots \tag{4.1}$$
#
# Its logarithm is the *cumulant generating function* $K(t)$, and the **cumulants**
# $\kappa_n = \langle\!\langle x^n \rangle\!\rangle$ are *defined* as its Taylor coefficients:
#
# $$\boxed{\; K(t) = \ln \langle e^{t x} \rangle
#   = \sum_{n=1}^{\infty} \frac{t^n}{n!} \langle\!\langle x^n \rangle\!\rangle , \qquad
#   \langle\!\langle x^n \rangle\!\rangle = \frac{d^n K}{dt^n} \bigg|_{t=0} \;} \tag{B21}$$
#
# The derivative is with respect to $t$ (the post prints $d/dx$, a slip: $x$ is averaged over). The
# sum starts at $n = 1$ because $K(0) = \ln 1 = 0$. All this needs $M(t)$ to be finite near $t = 0$,
# as it always is for a variable with finitely many values.
#
# **The first four cumulants.** Write $m_n = \langle x^n \rangle$ and $M = 1 + u$, so that
# $u = m_1 t + \tfrac12 m_2 t^2 + \tfrac16 m_3 t^3 + \tfrac1{24} m_4 t^4 + \dots$ Its powers, up to
# $t^4$, are
#
# $$\begin{aligned}
# u^2 &= m_1^2\, t^2 + m_1 m_2\, t^3 + \left( \tfrac14 m_2^2 + \tfrac13 m_1 m_3 \right) t^4
#        {} + \dots \\
# u^3 &= m_1^3\, t^3 + \tfrac32 m_1^2 m_2\, t^4 + \dots \\
# u^4 &= m_1^4\, t^4 + \dots
# \end{aligned} \tag{4.2}$$
#
# Insert them into $\ln(1 + u) = u - \tfrac12 u^2 + \tfrac13 u^3 - \tfrac14 u^4 + \dots$ and collect
# powers of $t$:
#
# $$\begin{aligned}
# t^1 &: \quad m_1 \\
# t^2 &: \quad \tfrac12 m_2 - \tfrac12 m_1^2 \\
# t^3 &: \quad \tfrac16 m_3 - \tfrac12 m_1 m_2 + \tfrac13 m_1^3 \\
# t^4 &: \quad \tfrac1{24} m_4 - \tfrac18 m_2^2 - \tfrac16 m_1 m_3 + \tfrac12 m_1^2 m_2
#        {} - \tfrac14 m_1^4
# \end{aligned} \tag{4.3}$$
#
# By (B21), $\kappa_n$ is $n!$ times the coefficient of $t^n$. So multiply by 1, 2, 6 and 24:
#
# $$\boxed{\begin{aligned}
# \langle\!\langle x \rangle\!\rangle &= \langle x \rangle \\
# \langle\!\langle x^2 \rangle\!\rangle &= \langle x^2 \rangle - \langle x \rangle^2 \\
# \langle\!\langle x^3 \rangle\!\rangle &= \langle x^3 \rangle
#   {} - 3 \langle x \rangle \langle x^2 \rangle + 2 \langle x \rangle^3 \\
# \langle\!\langle x^4 \rangle\!\rangle &= \langle x^4 \rangle
#   {} - 4 \langle x \rangle \langle x^3 \rangle - 3 \langle x^2 \rangle^2
#   {} + 12 \langle x \rangle^2 \langle x^2 \rangle - 6 \langle x \rangle^4
# \end{aligned}} \tag{B22}$$
#
# The first cumulant is the mean, the second the variance. The double bracket of $x^2$ is *not* an
# average of $x^2$: the name $\langle\!\langle x^n \rangle\!\rangle$ stands for the whole
# combination.
#
# **Three properties** follow from (B21) in a line each.
#
# - *Shift.* $\ln \langle e^{t (x + c)} \rangle = t c + K(t)$: a constant moves $\kappa_1$ and no
#   other cumulant. So centre $x$ first, which makes $m_1 = 0$ in (B22):
#   $\kappa_2 = \mu_2$, $\kappa_3 = \mu_3$, $\kappa_4 = \mu_4 - 3 \mu_2^2$, with the central moments
#   $\mu_n = \langle (x - \langle x \rangle)^n \rangle$.
# - *Scale.* $\ln \langle e^{t (c x)} \rangle = K(c\,t)$: $\kappa_n$ is multiplied by $c^n$.
# - *Addition.* If $x$ and $y$ are independent,
#   $\ln \langle e^{t (x + y)} \rangle = \ln \langle e^{t x} \rangle + \ln \langle e^{t y} \rangle$:
#   cumulants add. Moments do not (exercise 2).
#
# **Check against the exact result** on a lopsided four-sided die. Four routes to its first four
# cumulants: (B22) written out, the library's moments-to-cumulants recursion, its
# `weighted_cumulants`, and the derivatives (B21) by automatic differentiation.

# %% name="die"
faces = tf.constant([-1.0, 0.0, 2.0, 3.0], tf.float64)
log_weights = tf.math.log(tf.constant([0.1, 0.4, 0.3, 0.2], tf.float64))
m1, m2, m3, m4 = (tf.reduce_sum(tf.exp(log_weights) * faces**n) for n in (1, 2, 3, 4))
third = m3 - 3 * m1 * m2 + 2 * m1**3
fourth = m4 - 4 * m1 * m3 - 3 * m2**2 + 12 * m1**2 * m2 - 6 * m1**4
by_hand = np.array([m1, m2 - m1**2, third, fourth])  # (B22)
by_states = cumulants.weighted_cumulants(faces, log_weights, max_order=4)
by_derivatives = cumulants.derivatives(  # (B21)
    lambda t: cumulants.generating_function(t, faces, log_weights=log_weights), 4, at=0 * m1
)
check(by_hand, cumulants.cumulants_from_moments([m1, m2, m3, m4]))
check(by_hand, by_states)
check(by_hand, by_derivatives)
print("cumulants of the die:", by_hand.round(6))

# %% [markdown]
# ## 5. $\ln Z$ is the cumulant generating function of $-E$
#
# The two previous sections look alike because they are the same. Change $\beta$ by $t$:
#
# $$Z(\beta + t) = \sum_{v, h} e^{-(\beta + t) E} = \sum_{v, h} e^{-\beta E}\, e^{-t E}
#   = Z(\beta) \sum_{v, h} \frac{e^{-\beta E}}{Z(\beta)}\, e^{-t E}
#   = Z(\beta)\, \langle e^{-t E} \rangle_\beta . \tag{5.1}$$
#
# Take logarithms:
#
# $$\boxed{\; \ln Z(\beta + t) - \ln Z(\beta) = \ln \langle e^{-t E} \rangle_\beta \;} \tag{5.2}$$
#
# The right-hand side is (B21) for $x = -E$, averaged at $\beta$. By the scale property with
# $c = -1$, $\langle\!\langle (-E)^n \rangle\!\rangle = (-1)^n \langle\!\langle E^n \rangle\!\rangle$,
# and hence
#
# $$\ln Z(\beta + t) = \ln Z(\beta)
#   {} + \sum_{n=1}^{\infty} \frac{(-t)^n}{n!} \langle\!\langle E^n \rangle\!\rangle_\beta ,
#   \qquad
#   \boxed{\; \frac{d^n \ln Z}{d\beta^n} = (-1)^n \langle\!\langle E^n \rangle\!\rangle_\beta \;}
#   \tag{5.3}$$
#
# Orders 1 and 2 are (B6a) and (B6b). Order 3 is new: the variance of the energy changes with $\beta$
# at the rate $-\langle\!\langle E^3 \rangle\!\rangle$, and so on up the ladder.
#
# Equation (5.1) also says how the *distribution* changes: $p_{\beta + t} \propto p_\beta\, e^{-t E}$.
# Each state is reweighted, or *tilted*, by the factor $e^{-t E}$, and
# $\langle e^{-t E} \rangle_\beta$ normalises the result.
#
# **Check against the exact result**: the first five derivatives of `log_z` against cumulants of
# the energy, at three temperatures, and (5.2) itself.

# %% name="energy-cumulants"
max_order = 5
signs = (-1.0) ** np.arange(1, max_order + 1)
print("beta   <<E>>    <<E^2>>   <<E^3>>   <<E^4>>   <<E^5>>   (nats^n)")
for beta in (0.2, 1.0, 2.5):
    by_derivatives = cumulants.derivatives(log_z, max_order, at=tf.constant(beta, tf.float64))
    kappa = cumulants.weighted_cumulants(energies, -beta * energies, max_order)
    check(by_derivatives, signs * kappa)  # (5.3)
    print(f"{beta:4.1f}" + "".join(f"{value:10.4f}" for value in kappa.numpy()))

for t in (-0.4, 0.3, 1.7):
    right = cumulants.generating_function(t, -energies, log_weights=-beta_0 * energies)
    check(log_z(beta_0 + t) - log_z(beta_0), right)  # (5.2)

# %% name="energy-histograms" alt="Histograms of the energy at beta = 0, 0.3, 1 and 2.5. The mean moves left from 1.5 to -8.4 nats. The shape goes from a broad hill to one tall bar at the lowest energy with a thin tail to the right."
bins = np.arange(-9, 13, 1.0)
figure, axes = plt.subplots(1, 4, figsize=(10, 3), sharex=True)
for axis, beta in zip(axes, (0.0, 0.3, 1.0, 2.5), strict=True):
    p = probabilities(beta)
    spread = math.sqrt(p @ energies**2 - (p @ energies) ** 2)
    axis.hist(energies, bins=bins, weights=p, color=blue, alpha=0.7)
    axis.axvline(p @ energies, color=orange, label=r"$\langle E\rangle$")
    label(axis, rf"$\beta$ = {beta}", "energy $E$ (nats)", "")
    print(f"beta = {beta}: <E> = {p @ energies:6.3f} nats, standard deviation {spread:.3f} nats")
axes[0].set_ylabel("probability per nat")
axes[0].legend()
plt.show()

# %% [markdown]
# The same 1,024 states, tilted more and more towards low energy (each panel has its own vertical
# scale). At $\beta = 0$ the histogram just counts states. As $\beta$ grows the mean moves left, at a
# speed given by the variance, and the distribution piles up against the lowest energy; its third
# cumulant is positive because the only tail that is left is the one to the right.
#
# ## 6. Sources and weights
#
# Temperature is not the only thing to differentiate with respect to. Add a *source* $J_i$ for every
# visible unit (and, in the same way, for every hidden unit):
#
# $$E_J(v, h) = E(v, h) - \sum_i J_i v_i , \qquad
#   Z(J) = \sum_{v, h} e^{-E(v, h) + \sum_i J_i v_i} \quad (\beta = 1). \tag{6.1}$$
#
# A derivative with respect to $J_i$ now brings down a factor $v_i$ from the exponent:
#
# $$\frac{\partial \ln Z}{\partial J_i}
#   = \frac{1}{Z} \sum_{v, h} v_i\, e^{-E + J \cdot v} = \langle v_i \rangle . \tag{6.2}$$
#
# The second derivative follows as in (3.1), one term from the exponentials and one from $1/Z$:
#
# $$\frac{\partial^2 \ln Z}{\partial J_i\, \partial J_j}
#   = \frac{\partial \langle v_i \rangle}{\partial J_j}
#   = \langle v_i v_j \rangle - \langle v_i \rangle \langle v_j \rangle
#   = \langle\!\langle v_i v_j \rangle\!\rangle , \tag{6.3}$$
#
# a covariance, the second *joint* cumulant. Read from left to right, (6.3) says that the response
# of unit $i$ to a push on unit $j$ equals the covariance that was there without the push. And
# since $J_i$ enters just as the bias $a_i$ does, an RBM carries its sources with it: its biases.
#
# **Weights.** In (B1) the weight $W_{ij}$ multiplies $v_i h_j$, so it is the source of that product:
#
# $$\frac{\partial \ln Z}{\partial W_{ij}} = \frac{1}{Z} \sum_{v, h} v_i h_j\, e^{-E(v, h)}
#   = \langle v_i h_j \rangle , \qquad
#   \frac{\partial F_{\rm eq}}{\partial W_{ij}} = -\langle v_i h_j \rangle . \tag{6.4}$$
#
# This is half of the learning rule of an RBM, the half that needs the model's own average. Is it
# an *expected energy*, as the post has it? Almost: $-v_i h_j$ is the energy of one bond with its
# weight set to 1. Multiply each derivative by its own parameter and add up, and the energy is
# complete:
#
# $$\sum_i a_i \frac{\partial \ln Z}{\partial a_i} + \sum_j b_j \frac{\partial \ln Z}{\partial b_j}
#   {} + \sum_{ij} W_{ij} \frac{\partial \ln Z}{\partial W_{ij}}
#   = \Big\langle \sum_i a_i v_i + \sum_j b_j h_j + \sum_{ij} v_i W_{ij} h_j \Big\rangle
#   = -\langle E \rangle . \tag{6.5}$$
#
# This is (B6a) once more: by (B7), turning all parameters at once *is* turning $\beta$.
#
# **Check against the exact result.** First the sources, on all ten units together: gradient and
# matrix of second derivatives (Hessian) of $\ln Z(J)$. Then the weights (6.4) and the sum rule
# (6.5).

# %%
units = [f"$v_{i + 1}$" for i in range(num_visible)] + [f"$h_{j + 1}$" for j in range(num_hidden)]
sources = tf.zeros(len(units), tf.float64)
with tf.GradientTape() as outer:
    outer.watch(sources)
    with tf.GradientTape() as inner:
        inner.watch(sources)
        log_z_of_sources = tf.reduce_logsumexp(-energies + tf.linalg.matvec(states, sources))
    mean = inner.gradient(log_z_of_sources, sources)  # (6.2), (10,)
covariance = outer.jacobian(mean, sources).numpy()  # (6.3), (10, 10)

moments = enumeration.moments(rbm)
check(mean, np.concatenate([moments.visible, moments.hidden]))
check(covariance, np.cov(states.T, aweights=probabilities(1.0), bias=True))
print("<v>, <h> =", mean.numpy().round(3))
print(f"<<v_3 v_6>> = {covariance[2, 5]:.4f}, <<v_6 h_2>> = {covariance[5, 7]:.4f}")

# %% name="weights-as-sources"
with tf.GradientTape() as tape:
    log_z_of_parameters = tf.reduce_logsumexp(-rbm.energy(v, h))
parameters = [rbm.kernel.value, rbm.visible_bias.value, rbm.hidden_bias.value]
gradients = tape.gradient(log_z_of_parameters, parameters)

check(gradients[0], moments.correlation)  # (6.4)
check(gradients[1], moments.visible)  # biases are sources, (6.2)
check(gradients[2], moments.hidden)
sum_rule = sum(tf.reduce_sum(x * g) for x, g in zip(parameters, gradients, strict=True))
check(sum_rule, -by_average)  # (6.5)
print("d ln Z/d W = <v_i h_j>:")
print(gradients[0].numpy().round(4))
print(f"sum of parameter x derivative = {sum_rule:.6f} nats = -<E>")

# %% name="sources" alt="Left: table of covariances of ten units, nearly all small; v6 with h2 the largest. Right: means of v6 and h2 rise, that of v3 falls as v6 is pushed; the dashed tangents at 0 touch the curves."
push = np.linspace(-4, 4, 81)  # J_6, nats
tilted = tf.nn.softmax(-energies + push[:, np.newaxis] * v[:, 5], axis=-1).numpy()  # (81, 1024)
pairs = np.where(np.eye(len(units)), np.nan, covariance)
figure, axes = plt.subplots(1, 2, figsize=(10, 4))
figure.colorbar(axes[0].imshow(pairs, cmap="RdBu_r", vmin=-0.1, vmax=0.1), ax=axes[0])
axes[0].set_xticks(range(len(units)), units)
axes[0].set_yticks(range(len(units)), units)
axes[0].set_title("Covariances of two units, from $\\ln Z(J)$")
for unit, colour in ((5, blue), (7, orange), (2, green)):
    axes[1].plot(push, tilted @ states[:, unit], color=colour, label=f"mean of {units[unit]}")
    axes[1].plot(push, mean[unit] + covariance[5, unit] * push, "--", color=colour, lw=1)
label(axes[1], "Response to a push on $v_6$", "source $J_6$ (nats)", "mean of a unit")
axes[1].set(ylim=(0, 1))
axes[1].legend()
plt.show()

# %% [markdown]
# Left: no visible unit is connected to another in (B1), yet some of them are correlated, because
# they share hidden units. (The diagonal, left white, holds the variances.) Right: a push on $v_6$
# moves its own mean, that of a hidden unit and, through the hidden units, that of another visible
# unit. The dashed tangents have the slopes that the covariances (6.3) predict.
#
# ## 7. The truncated series
#
# Set $t = 1$ in (B21). If $x$ *varies little*, a few cumulants should be enough:
#
# $$\ln \langle e^{x} \rangle = \kappa_1 + \frac{\kappa_2}{2} + \frac{\kappa_3}{6}
#   {} + \frac{\kappa_4}{24} + \dots \tag{7.1}$$
#
# The function `log_expectation` adds up as many terms as it is given. Two distributions show the
# series at its best.
#
# **Gaussian: exact at order 2.** For $x \sim N(\mu, \sigma^2)$ complete the square in the exponent,
#
# $$t x - \frac{(x - \mu)^2}{2 \sigma^2}
#   = -\frac{(x - \mu - \sigma^2 t)^2}{2 \sigma^2} + \mu t + \frac{\sigma^2 t^2}{2} , \tag{7.2}$$
#
# which is verified by expanding
# $(x - \mu - \sigma^2 t)^2 = (x - \mu)^2 - 2 \sigma^2 t (x - \mu) + \sigma^4 t^2$. The integral of
# the shifted Gaussian is 1, so
#
# $$K(t) = \ln \int \frac{dx}{\sqrt{2 \pi \sigma^2}}\, e^{t x - (x - \mu)^2 / 2 \sigma^2}
#   = \mu t + \frac{\sigma^2}{2} t^2 . \tag{7.3}$$
#
# There is no $t^3$: $\kappa_1 = \mu$, $\kappa_2 = \sigma^2$, and all higher cumulants vanish. They
# measure what is *not* Gaussian.
#
# **Poisson: all cumulants equal.** For $P(x = k) = e^{-r} r^k / k!$,
#
# $$\langle e^{t x} \rangle = e^{-r} \sum_{k=0}^{\infty} \frac{(r e^{t})^k}{k!}
#   = e^{-r}\, e^{r e^{t}} , \qquad
#   K(t) = r \left( e^{t} - 1 \right) = \sum_{n=1}^{\infty} \frac{t^n}{n!}\, r , \tag{7.4}$$
#
# so $\kappa_n = r$ for every $n$, and (7.1) becomes $r (1 + \tfrac12 + \tfrac16 + \dots)$, which
# converges to $r (e - 1)$ as fast as the series of $e$.
#
# **Check against the exact result.** The Gaussian average by quadrature over 60 nodes, the
# Poisson average over the first 80 integers; both feed the same `weighted_cumulants`.


# %% name="good-series"
def partial_sums(kappa):
    """The series (7.1) cut off after order 1, 2, .., len(kappa), nats."""
    orders = range(1, len(kappa) + 1)
    return np.array([cumulants.log_expectation(kappa[:order]) for order in orders])


nodes, node_weights = np.polynomial.hermite_e.hermegauss(60)
gaussian = cumulants.weighted_cumulants(-1.0 + 1.5 * nodes, np.log(node_weights), 4)
log_weights = np.array([k * math.log(1.3) - math.lgamma(k + 1) for k in range(80)])
poisson = cumulants.weighted_cumulants(np.arange(80.0), log_weights, 4)
check(gaussian, [-1.0, 1.5**2, 0.0, 0.0])  # (7.3)
check(poisson, [1.3] * 4)  # (7.4)
print("Gaussian, mean -1, variance 2.25: ", partial_sums(gaussian).round(6), "exact:", 0.125)
exact_poisson = 1.3 * (math.e - 1)
print("Poisson, rate 1.3:", partial_sums(poisson).round(6), "exact:", round(exact_poisson, 6))

# %% [markdown]
# ### How far does the series reach?
#
# A Taylor series in $t$ converges up to the nearest point of the *complex* $t$ plane at which the
# function stops being smooth. For a variable with finitely many values, $M(t) = \sum_k p_k e^{t x_k}$
# is smooth everywhere. Its logarithm $K = \ln M$ is smooth as long as $M \ne 0$, and grows without
# bound where $M(t_0) = 0$. So the series of $K$ converges for $|t| < R$ and diverges for
# $|t| > R$, with the radius of convergence
#
# $$R = \min \{\, |t_0| : \langle e^{t_0 x} \rangle = 0 \,\} . \tag{7.5}$$
#
# On the real axis $M$ is a sum of positive terms and has no zero: you cannot see the obstacle by
# looking at real $t$, where $K$ is perfectly smooth. The zeros sit off the axis, in conjugate
# pairs. For $\ln Z(\beta + t)$ they are the zeros of $Z$ at complex $\beta$.
#
# We find them by Newton's method, $t \leftarrow t - M(t) / M'(t)$, from a grid of starting points,
# and count them to be sure that none was missed: walk once round a circle, and the phase of $M$
# turns by $2\pi$ for each zero inside (the argument principle).
#
# The expansion of $\ln Z$ about $\beta = 1$ must break down beyond the distance $R$, although
# $\ln Z$ itself goes on smoothly. The picture shows the Taylor polynomials (5.3) of orders 1 to 4,
# and order 20 to make the wall visible.


# %%
def nearest_zero(x, weights):
    """The zero of sum_k weights[k] exp(t x[k]) with the smallest |t| in the upper half plane."""
    radii, angles = np.linspace(0.2, 3, 12), np.linspace(0.1, np.pi - 0.1, 12)
    t = np.outer(radii, np.exp(1j * angles)).ravel()
    with np.errstate(all="ignore"):  # some starting points run away
        for _ in range(60):
            terms = weights[:, np.newaxis] * np.exp(np.outer(x, t))
            step = terms.sum(0) / (x @ terms)  # M / M'
            t = t - step
    zeros = t[(np.abs(step) < 1e-10) & (t.imag > 0)]
    return zeros[np.argmin(np.abs(zeros))]


# %%
def zeros_within(radius, x, weights):
    """How many zeros lie in |t| < radius: the turns of the phase of M(t) round the circle."""
    circle = radius * np.exp(2j * np.pi * np.linspace(0, 1, 5001))
    phase = np.unwrap(np.angle(weights @ np.exp(np.outer(x, circle))))
    return round((phase[-1] - phase[0]) / (2 * np.pi))


weights = probabilities(beta_0)
minus_energy = -(energies - weights @ energies)  # x = -E, centred: a shift moves no zero
zero = nearest_zero(minus_energy, weights)
radius = abs(zero)
print(f"nearest zero at t = {zero.real:.4f} +- {zero.imag:.4f} i, so R = {radius:.4f}")
assert zeros_within(0.99 * radius, minus_energy, weights) == 0
assert zeros_within(1.01 * radius, minus_energy, weights) == 2  # it and its conjugate

# %% name="taylor-errors"
t = np.linspace(-1.3, 1.5, 281)
powers = np.arange(1, 21)
kappa = cumulants.weighted_cumulants(-energies, -beta_0 * energies, max_order=20).numpy()
terms = t[:, np.newaxis] ** powers * kappa / [math.factorial(n) for n in powers]  # (num_t, 20)
polynomials = log_z(beta_0) + np.cumsum(terms, axis=1).T  # (5.3), (20, num_t)
exact_log_z = np.array([log_z(beta_0 + value) for value in t])
error, inside = np.abs(polynomials - exact_log_z), np.abs(t) < radius / 2
near, far = error[:, inside].max(1), error[:, np.abs(t) > radius].max(1)
for n in (1, 2, 3, 4, 20):
    print(f"order {n:2d}: error within R/2 {near[n - 1]:.1e}, beyond R {far[n - 1]:.1e} nats")
assert near[0] > near[1] > near[2] > near[3] > near[19]  # inside: better and better
assert far[19] > 10 * far[:4].max()  # outside: worse in the end


# %%
def draw_polynomials(axis):
    axis.plot(t, exact_log_z, color="black", lw=2.5, label="exact")
    for order, colour in ((1, grey), (2, blue), (3, orange), (4, green), (20, purple)):
        style = "--" if order == 20 else "-"
        axis.plot(t, polynomials[order - 1], style, color=colour, label=f"order {order}")
    for edges in ((t[0], -radius), (radius, t[-1])):
        axis.axvspan(*edges, color=grey, alpha=0.15, lw=0)
    label(axis, "Shaded: $|t| > R$, no convergence", "$t$", r"$\ln Z(1 + t)$ (nats)")
    axis.set(ylim=(0, 21), xlim=(t[0], t[-1]))
    axis.legend(loc="upper left", ncols=2)


# %% name="circle-of-convergence" alt="Left: ln Z(1+t) and Taylor polynomials; order 20 fits inside, shoots away in the shaded zones beyond R. Right: phase of M in the complex plane; two ringed zeros lie on the circle, others further out."
side = np.linspace(-1.5, 1.5, 241)
real, imaginary = np.exp(np.outer(minus_energy, side)), np.exp(1j * np.outer(side, minus_energy))
phase = np.angle(imaginary @ (weights[:, np.newaxis] * real), deg=True)  # of M(t), (241, 241)
figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), width_ratios=[1.25, 1])
draw_polynomials(axes[0])
colours = plt.get_cmap("twilight_shifted", 12)  # 30 degrees each
image = axes[1].pcolormesh(side, side, phase, cmap=colours, vmin=-180, vmax=180)
axes[1].set_aspect("equal")
axes[1].add_patch(plt.Circle((0, 0), radius, fill=False, lw=1.5))
axes[1].plot([zero.real] * 2, [zero.imag, -zero.imag], "o", mfc="none", mec=green, ms=16, mew=2.5)
label(axes[1], "Circle of convergence, nearest zeros", "real part of $t$", "imaginary part of $t$")
bar = figure.colorbar(image, ax=axes[1], ticks=range(-180, 181, 60))
bar.set_label(r"phase of $M(t) = \langle e^{-t(E - \langle E\rangle)}\rangle$ (degrees)")
plt.show()

# %% [markdown]
# Left: well inside the circle (the table: within $R/2$) the higher orders improve on the lower ones.
# Outside, more terms make it worse in the end: on the right, order 20 hugs the curve up to the edge of
# the shaded region and then leaves almost vertically. Nothing on the real axis warns of it. Right:
# the colour is the phase of $M(t)$.
# Walk round a zero and every colour passes by. Two such points, ringed, lie on the circle: they are
# the reason. The others are further out.
#
# ## 8. When it fails: a variable with two values
#
# Here is a series that goes wrong, simple enough to see all of why. Let $x$ be $s$ with
# probability $p = 0.3$ and 0 otherwise. Then
#
# $$K(t) = \ln \left( 1 - p + p\, e^{s t} \right) , \tag{8.1}$$
#
# and we want $K(1) = \ln \langle e^{x} \rangle$. Such an $x$ is no curiosity: when
# $\langle e^x \rangle$ is an average of weights, a rare large weight next to many small ones is the
# common trouble. We try $s = 3$ and $s = 4$.

# %%
max_order, sums, exact_value = 60, {}, {}
two_weights = np.array([1 - probability, probability])
for s in (3.0, 4.0):
    two_values = tf.constant([0.0, s], tf.float64)
    kappa = cumulants.weighted_cumulants(two_values, np.log(two_weights), max_order)
    sums[s] = partial_sums(kappa)
    exact_value[s] = cumulants.generating_function(
        1.0, two_values, log_weights=np.log(two_weights)
    ).numpy()

# %%
print("order        s = 3            s = 4")
for order in (1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 40, 60):
    print(f"{order:5d} {sums[3.0][order - 1]:12.3f} {sums[4.0][order - 1]:16.3f}")
print(f"exact {exact_value[3.0]:12.3f} {exact_value[4.0]:16.3f}")
assert sums[3.0][0] < sums[3.0][1] < exact_value[3.0] and sums[4.0][1] > exact_value[4.0]
last_bad = 1 + np.flatnonzero(np.abs(sums[3.0] - exact_value[3.0]) > 0.01)[-1]
print(f"s = 3: the last order with an error above 0.01 nats is {last_bad}")
print(f"s = 4: the best order is {1 + np.argmin(np.abs(sums[4.0] - exact_value[4.0]))}")

# %% [markdown]
# For $s = 3$ order 1 is far too low, order 3 too high, and the sums keep swinging from one side to
# the other: only after order 22 does the error stay below 0.01 nats. For $s = 4$ they swing ever
# more wildly. There is no error in the code; the cumulants are right.
#
# **Where the zeros are.** $M(t) = 0$ in (8.1) means $e^{s t} = -(1 - p)/p$. The logarithm of a
# negative number is $\ln \frac{1 - p}{p} + i \pi (2 k + 1)$ with any integer $k$, so the zeros are
#
# $$t_k = \frac{1}{s} \left( \ln \frac{1 - p}{p} + i \pi (2 k + 1) \right) , \tag{8.2}$$
#
# all on one vertical line. The nearest are those with $k = 0$ and $k = -1$, at the distance
#
# $$\boxed{\; R = \frac{1}{s} \sqrt{\ln^2 \frac{1 - p}{p} + \pi^2} \;} \tag{8.3}$$
#
# The series at $t = 1$ needs $R > 1$. For $p = \tfrac12$, where $R$ is smallest, that means a spread
# of $s < \pi$; a lopsided variable may be spread a little more.
#
# **What the zeros do to the cumulants.** Near a zero, $M$ contains the factor $1 - t/t_0$ and, for
# the conjugate, $1 - t/\bar t_0$. With $t_0 = R\, e^{i \theta}$ their logarithms are
#
# $$\ln \Big( 1 - \frac{t}{t_0} \Big) + \ln \Big( 1 - \frac{t}{\bar t_0} \Big)
#   = -\sum_{n=1}^{\infty} \frac{t^n}{n} \left( t_0^{-n} + \bar t_0^{-n} \right)
#   = -\sum_{n=1}^{\infty} \frac{2 \cos n \theta}{n} \Big( \frac{t}{R} \Big)^n . \tag{8.4}$$
#
# The other zeros contribute alike with larger $R$, which matters less and less as $n$ grows. Hence
#
# $$\frac{\kappa_n}{n!} \simeq -\frac{2 \cos n \theta}{n\, R^n} \qquad (n \text{ large}) . \tag{8.5}$$
#
# The terms oscillate with the angle of the zero and shrink or grow with its distance.
#
# **Check against the exact result**: (8.3) against the Newton search of section 7, and (8.5)
# against the cumulants.

# %% name="terms"
for s in (3.0, 4.0):
    two_values = np.array([0.0, s])
    t_0 = (math.log(1 / probability - 1) + 1j * np.pi) / s  # (8.2), k = 0
    check(abs(nearest_zero(two_values, two_weights)), abs(t_0))  # (8.3)
    assert zeros_within(0.99 * abs(t_0), two_values, two_weights) == 0
    order = np.arange(1, max_order + 1)
    predicted = -2 * (t_0 ** -order.astype(float)).real / order  # (8.5)
    terms = np.diff(sums[s], prepend=0.0)  # kappa_n / n!
    check(terms[20:] / predicted[20:], 1.0, tolerance=1e-6)
    print(f"s = {s:.0f}: R = {abs(t_0):.4f}, 1/R = {1 / abs(t_0):.3f}")
    for n in (2, 5, 20):
        print(f"    order {n:2d}: term {terms[n - 1]:11.6f}, predicted {predicted[n - 1]:11.6f}")

# %% name="four-series" alt="Error of the series by order, log scale. Gaussian: at rounding from order 2. Poisson: a straight fall to rounding at order 17. Two values, s = 3: a slow, jagged fall. s = 4: it grows."
poisson = tf.fill(30, tf.constant(1.3, tf.float64))
gaussian = tf.constant([-1.0, 2.25] + [0.0] * 28, tf.float64)
cases = [
    ("two values, $s = 4$", orange, sums[4.0][:30], exact_value[4.0]),
    ("two values, $s = 3$", blue, sums[3.0][:30], exact_value[3.0]),
    ("Poisson, rate 1.3", green, partial_sums(poisson), exact_poisson),
    ("Gaussian, variance 2.25", purple, partial_sums(gaussian), 0.125),
]
figure, axis = plt.subplots(figsize=(8, 4.2))
for name, colour, values, target in cases:
    error = np.maximum(np.abs(values - target), 1e-16)  # the floor: rounding
    axis.semilogy(range(1, 31), error, "o-", ms=3.5, color=colour, label=name)
label(axis, r"Truncated series for $\ln\langle e^x\rangle$", "order", "absolute error (nats)")
axis.legend(loc="center right")
plt.show()

# %% [markdown]
# The two-valued variable with $s = 3$ has its zeros just outside the unit circle. Its series does
# converge, but the error shrinks by a factor of about 0.92 per order only, which is of little
# practical use. With $s = 4$ the zeros are inside, the series diverges, and the best order is as
# low as 2. The Gaussian's $M(t) = e^{\mu t + \sigma^2 t^2 / 2}$ and the Poisson variable's
# $e^{r (e^t - 1)}$ are never zero, so nothing stands in their way.
#
# Three lessons for the chapters to come:
#
# - The series is an expansion in the *spread* of $x$. Make $x$ vary less and it gets better.
# - Order 1 is special. By Jensen's inequality $\langle e^x \rangle \ge e^{\langle x \rangle}$, so
#   $\ln \langle e^x \rangle \ge \kappa_1$ always. No other order is a bound. For a small spread the error
#   of order $N$ is $\kappa_{N+1} / (N+1)!$, and of all these cumulants only the variance $\kappa_2$
#   has a definite sign. In the table, order 2 is below the exact value for $s = 3$ and above it for
#   $s = 4$.
# - A higher order is not a better order, unless you know where the zeros are.
#
# **Move it.** The slider changes the spread $s$, still with $p = 0.3$. Before you move it: at which $s$ does
# the curve turn from falling to rising? By (8.3) where $R = 1$, at $s = \sqrt{\ln^2 (0.7 / 0.3) + \pi^2} = 3.25$.

# %% name="spread"
spreads, all_orders = np.linspace(1, 5, 41), np.arange(1, 31)
two_values, log_two = np.stack([0 * spreads, spreads]), np.log(two_weights)[:, np.newaxis]
sums_of = partial_sums(cumulants.weighted_cumulants(two_values, log_two, 30)).T  # (spreads, orders)
targets = np.log(1 - probability + probability * np.exp(spreads))[:, np.newaxis]
all_errors = list(np.log10(np.maximum(np.abs(sums_of - targets), 1e-12)))
late = all_orders[10:]  # the terms fall as R^-n / n (8.5)
rates = [np.polyfit(late, error[10:] + np.log10(late), 1)[0] for error in all_errors]
turn = math.hypot(math.log(1 / probability - 1), math.pi)  # R = 1 in (8.3)
grows = spreads[np.argmax(np.array(rates) > 0)]
print(f"R = 1 at s = {turn:.2f}; the error times the order grows from s = {grows:.1f} on")
assert abs(grows - turn) < 0.2

# %% name="slide-spread" alt="A curve: the error of the series against its order, on a logarithmic scale. It falls for a spread below 3.25 and rises above."
alt = "The error of the series against its order falls for a spread below 3.25 and rises above."
labels = {"xlabel": "order", "ylabel": "log10 of the error (nats)", "name": "spread", "alt": alt}
Explorable(all_orders, {"error": all_errors}, values=spreads, index=20, ylim=(-8, 4), **labels)

# %% [markdown]
# ## 9. Cumulants from samples
#
# A larger model cannot be enumerated, and cumulants must be estimated from $n$ independent samples
# $x_1, \dots, x_n$. The obvious way is to put sample averages into (B22). At orders $r = 2$ and 3 the
# results are the central moments of the sample, $\hat m_r = \frac1n \sum_i (x_i - \bar x)^r$. They
# are *biased*, because the sample mean $\bar x$ has been fitted to the same samples. To see by how
# much, shift $x$ so that its true mean is 0; then
#
# $$\hat m_2 = \frac1n \sum_i x_i^2 - \bar x^2 , \qquad
#   \mathbb{E}[\hat m_2] = \kappa_2 - \frac{\kappa_2}{n} = \frac{n - 1}{n}\, \kappa_2 , \tag{9.1}$$
#
# because $\mathbb{E}[\bar x^2]$ is the variance of a mean, $\kappa_2 / n$. For the third order,
#
# $$\hat m_3 = \frac1n \sum_i x_i^3 - 3 \bar x\, \frac1n \sum_i x_i^2 + 2 \bar x^3 . \tag{9.2}$$
#
# In $\bar x \cdot \frac1n \sum_i x_i^2 = \frac{1}{n^2} \sum_{ij} x_i x_j^2$ only the $n$ terms with
# $i = j$ have a mean other than 0, which gives $\kappa_3 / n$. In $\bar x^3$ only those with three
# equal indices do, which gives $\kappa_3 / n^2$. Together,
#
# $$\mathbb{E}[\hat m_3] = \kappa_3 \left( 1 - \frac{3}{n} + \frac{2}{n^2} \right)
#   = \frac{(n - 1)(n - 2)}{n^2}\, \kappa_3 . \tag{9.3}$$
#
# Dividing by these factors removes the bias. The results are *Fisher's k-statistics*,
#
# $$k_2 = \frac{n}{n - 1}\, \hat m_2 , \qquad k_3 = \frac{n^2}{(n - 1)(n - 2)}\, \hat m_3 , \qquad
#   \mathbb{E}[k_r] = \kappa_r , \tag{9.4}$$
#
# and so on; at fourth order $\hat m_2^2$ enters as well. `sample_cumulants` has them up to order 6.
#
# **Check against the exact result.** Draw 200 independent energies from $p_1$, estimate, and repeat
# that 4,000 times. The standard deviation over the repeats is the error bar of *one* estimate;
# divided by $\sqrt{4000}$ it is the standard error of the *mean* of all, which must agree with
# the exact cumulant within 5 standard errors.

# %% name="sample-cumulants"
drawn = rng.choice(energies, size=(num_repeats, num_samples), p=probabilities(1.0))
estimates = cumulants.sample_cumulants(drawn, max_order=4, axis=1).numpy()  # (4, num_repeats)
exact_kappa = cumulants.weighted_cumulants(energies, -energies, max_order=4).numpy()
error_bar = estimates.std(axis=1, ddof=1)
standard_error = error_bar / math.sqrt(num_repeats)
deviation = (estimates.mean(axis=1) - exact_kappa) / standard_error

print("order     exact   mean of estimates   in standard errors   error bar of one estimate")
for row in zip((1, 2, 3, 4), exact_kappa, estimates.mean(1), deviation, error_bar, strict=True):
    print("{:5d} {:9.4f} {:19.4f} {:20.2f} {:27.3f}".format(*row))
assert np.all(np.abs(deviation) < 5)
needed = num_samples * (error_bar / (0.1 * exact_kappa)) ** 2
print("samples for an error bar of 10 %:", needed.round().astype(int))

# %% [markdown]
# The estimates are unbiased, but the price of a cumulant rises steeply with its order. The last line
# scales the error bars with $1/\sqrt{n}$ to the number of samples that a 10 % error bar would take:
# 11 for the mean, about 45,000 for the fourth cumulant. A series can thus fail in a second way,
# from noise, long before it reaches its radius of convergence.
#
# The bias of the naive estimates shows best in small samples, $n = 10$. Equal weights in
# `weighted_cumulants` make exactly the naive $\hat m_2$ and $\hat m_3$.

# %% name="bias-of-cumulants"
small = drawn.reshape(-1, 10)  # (80000, 10)
factors = np.array([9 / 10, 9 * 8 / 10**2])  # (9.1), (9.3)
ratios = {}
for name, values, expected in (
    ("naive", cumulants.weighted_cumulants(small, 0.0, max_order=3, axis=1), factors),
    ("unbiased", cumulants.sample_cumulants(small, max_order=3, axis=1), np.ones(2)),
):
    ratio = values.numpy()[1:] / exact_kappa[1:3, np.newaxis]  # orders 2 and 3
    ratios[name] = ratio.mean(1), ratio.std(1, ddof=1) / math.sqrt(len(small))
    assert np.all(np.abs(ratios[name][0] - expected) < 5 * ratios[name][1])
    print(f"{name:8s} mean / exact: {ratios[name][0].round(4)}, expected {expected.round(4)}")
off = (1 - ratios["naive"][0]) / ratios["naive"][1]
assert np.all(off > 5)
print("naive: below the exact value by", off.round(), "standard errors")

# %% name="estimates-and-bias" alt="Left: one estimate of each cumulant, 1 to 4, divided by the exact value; the error bars grow steeply with the order. Right: for samples of 10 the naive orders 2 and 3 are near 0.9 and 0.72, the others near 1."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.6))
share, bar = estimates[:, 0] / exact_kappa, error_bar / np.abs(exact_kappa)  # without units
axes[0].errorbar(range(1, 5), share, bar, fmt="o", color=blue, capsize=4, label="one estimate")
axes[0].axhline(1, color="black", lw=0.8, label="exact")
axes[0].set_xticks(range(1, 5), [rf"$\kappa_{n}$" for n in range(1, 5)])
label(axes[0], "Cumulants of the energy, from 200 samples", "", "estimate / exact")
axes[0].legend(loc="upper left")
for (name, (mean_ratio, ratio_error)), colour in zip(ratios.items(), (orange, green), strict=True):
    axes[1].errorbar([2, 3], mean_ratio, 5 * ratio_error, fmt="o", color=colour, label=name)
axes[1].plot([2, 3], factors, "_", color=orange, ms=30, label="(9.1) and (9.3)")
axes[1].axhline(1, color="black", lw=0.8)
axes[1].set(xticks=[2, 3], xlim=(1.5, 3.5), ylim=(0.6, 1.1))
label(axes[1], "Samples of 10: bias (bars: 5 standard errors)", "order", "mean estimate / exact")
axes[1].legend(loc="lower left")
plt.show()

# %% [markdown]
# ## 10. So, is the free energy a generating function?
#
# The post claims so, in four senses. Three of them have been derived here, or begun:
#
# 1. *Thermodynamics.* Derivatives with respect to $\beta$ give energy and heat capacity, and $\ln Z$
#    with the first of them the entropy (B6).
# 2. *Learning.* Derivatives with respect to the weights give $\langle v_i h_j \rangle$, an expected
#    energy bond by bond; weighted with the parameters they add up to $-\langle E \rangle$ (6.5).
# 3. *Approximations.* Take (5.2), but start from another model: if $q$ has the energy $H_q$ and
#    $V = E - H_q$, then $\ln Z = \ln Z_q + \ln \langle e^{-V} \rangle_q$. Order 1 of (7.1) is the
#    variational (Kullback-Leibler) bound, the other orders are its corrections. Exercise 4 is the
#    simplest case; rows B20 to B25 are the full story.
# 4. *Data.* A trained model generates data, but by sampling from $p$, not by a derivative. That is
#    a matter for later chapters.
#
# Strictly, it is $\ln Z$ that generates cumulants with a plus sign. $F = -\frac1\beta \ln Z$
# carries the same information, with a minus sign at $\beta = 1$.
#
# ### Summary: what $\ln Z$ generates
#
# | derivative of $\ln Z$ with respect to | yields | equation |
# |:--|:--|:--|
# | $\beta$ | $-\langle E \rangle$ | B6a |
# | $\beta$, twice | $\langle\!\langle E^2 \rangle\!\rangle = C / \beta^2$ | B6b, B6c |
# | $\beta$, $n$ times | $(-1)^n \langle\!\langle E^n \rangle\!\rangle$ | 5.3 |
# | a source $J_i$, or the bias $a_i$ | $\langle v_i \rangle$ | 6.2 |
# | two sources $J_i$, $J_j$ | $\langle\!\langle v_i v_j \rangle\!\rangle$, a covariance | 6.3 |
# | a weight $W_{ij}$ | $\langle v_i h_j \rangle$ | 6.4 |
# | the scale of all parameters | $-\langle E \rangle$ | 6.5, B7 |
# | no derivative: $\ln Z + \beta \langle E \rangle$ | the entropy $S$ | B6d |
#
# - $\ln \langle e^{t x} \rangle$ generates cumulants (B21); the first four are polynomials in the
#   moments (B22); for independent variables they add.
# - The series for $\ln \langle e^x \rangle$ is exact at order 2 for a Gaussian, converges fast for
#   a Poisson variable, and is limited in general by the nearest complex zero of
#   $\langle e^{t x} \rangle$.
# - k-statistics estimate cumulants without bias, at a cost that grows steeply with the order.
#
# ## Exercises
#
# 1. *(easy)* **One unit.** A single binary unit has the energies 0 and $-a$. Find $\ln Z$, $U$, $S$
#    and $C$ by hand, and check $C = (\beta a)^2\, m (1 - m)$ with $m = 1 / (1 + e^{-\beta a})$. What
#    are the four numbers for $a = 1.7$ and $\beta = 0.8$?
# 2. *(easy)* **Two copies.** Take two independent copies of our RBM. Show that every cumulant of
#    the total energy doubles (`pair_cumulants`: orders 1 to 5), and that $\langle E^2 \rangle$ does not
#    (`square_ratio`: how many times that of one copy?).
# 3. *(medium)* **Back from the derivative.** By (B6a), $\ln Z$ is known once $U(\beta)$ is known for
#    all temperatures in between: derive $\ln Z(1) = 10 \ln 2 - \int_0^1 U(\beta)\, d\beta$ and
#    evaluate it with `np.polynomial.legendre.leggauss`, in a function `integrated_log_z(num_nodes)`. (This
#    is *thermodynamic integration*, one of the ways to find $\ln Z$ when no sum is possible.)
# 4. *(medium)* **High temperature.** Expand $\ln Z(\beta)$ about $\beta = 0$, where all states are
#    equally likely and averages need no $Z$. Compare orders 1 to 6 with the exact result at
#    $\beta = 0.25$ and $\beta = 1$ (`high_temperature[beta]`: the six partial sums), find the radius of
#    convergence (`radius_at_0`), and show that order 1 is a lower bound on $\ln Z$ at every $\beta$
#    (`lower_bound`: its values at `beta_curve`).
# 5. *(hard)* **Cumulants are sums over zeros.** For the two-valued $x$ of section 8,
#    $K'(t) = s\, \sigma(s t - \ln\frac{1 - p}{p})$ with the sigmoid
#    $\sigma(u) = \frac12 + \sum_k \frac{1}{u - i \pi (2 k + 1)}$, the sum over all integers $k$ taken
#    symmetrically. Derive $\kappa_n / n! = -\frac1n \sum_k t_k^{-n}$ for $n \ge 2$, an exact form of
#    (8.5), and check it for $n = 4, \dots, 12$ (`over_zeros`: the nine sums).
#
# The solutions are in the cells below, folded: click on one to open it.

# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. Z = 1 + exp(beta a), so ln Z = softplus(beta a). U = -a m, <<E^2>> = a^2 m (1 - m).
# S = ln Z + beta U = -m ln m - (1 - m) ln(1 - m), since beta a = ln m - ln(1 - m).
a, beta = 1.7, 0.8
m = 1 / (1 + math.exp(-beta * a))
unit_log_z, unit_energy = math.log1p(math.exp(beta * a)), -a * m
unit_entropy = -m * math.log(m) - (1 - m) * math.log(1 - m)
unit_heat_capacity = (beta * a) ** 2 * m * (1 - m)
print(f"1. U = {unit_energy:.6f}, S = {unit_entropy:.6f}, C = {unit_heat_capacity:.6f} nats")
check(
    [unit_energy, unit_heat_capacity / 0.8**2],
    cumulants.weighted_cumulants(np.array([0.0, -1.7]), np.array([0.0, 0.8 * 1.7]), max_order=2),
)
check(unit_log_z, np.logaddexp(0.0, 0.8 * 1.7))
check(unit_entropy, unit_log_z + 0.8 * unit_energy)  # (B6d)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. All 2^20 states of the pair have energy E + E' and log weight -E - E'. ln Z doubles, and so
# does every derivative of ln Z. <(E + E')^2> = 2 <E^2> + 2 <E>^2, which is not 2 <E^2>.
pair = np.add.outer(energies, energies).ravel()
one = cumulants.weighted_cumulants(energies, -energies, max_order=5)
pair_cumulants = cumulants.weighted_cumulants(pair, -pair, max_order=5)
square_ratio = (pair_cumulants[1] + pair_cumulants[0] ** 2) / (one[1] + one[0] ** 2)
print("2. ratio of the cumulants:", (pair_cumulants / one).numpy().round(10))
print(f"   ratio of <E^2>: {square_ratio:.4f}")
check(pair_cumulants, 2 * cumulants.weighted_cumulants(energies, -energies, max_order=5))
check(square_ratio, 3.8073, tolerance=1e-4)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. Integrate (B6a): ln Z(1) - ln Z(0) = -int_0^1 U d beta, and Z(0) = 2^10 counts the states.
def integrated_log_z(num_nodes):
    position, weight = np.polynomial.legendre.leggauss(num_nodes)  # on [-1, 1]
    energy = enumeration.thermodynamics(rbm, (position + 1) / 2).energy
    return 10 * math.log(2) - 0.5 * weight @ energy


for num_nodes in (2, 4, 8, 16, 24):
    error = integrated_log_z(num_nodes) - float(log_z(1.0))
    print(f"3. {num_nodes:2d} nodes: ln Z(1) off by {error:.2e} nats")
check(integrated_log_z(24), log_z(1.0))
assert 0.02 < abs(integrated_log_z(2) - log_z(1.0)) < 0.03  # two nodes are too few

# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. (5.3) at beta = 0: ln Z(beta) = 10 ln 2 + sum_n (-beta)^n / n! <<E^n>>_0. Jensen: order 1 is
# below ln Z, because <exp(-beta E)>_0 >= exp(-beta <E>_0).
kappa = cumulants.weighted_cumulants(energies, 0.0, max_order=6).numpy()
radius_at_0, high_temperature = abs(nearest_zero(-energies, np.full(1024, 1 / 1024))), {}
print(f"4. radius of convergence {radius_at_0:.4f}")
for beta in (0.25, 1.0):
    high_temperature[beta] = 10 * math.log(2) + partial_sums(kappa * (-beta) ** np.arange(1, 7))
    print(f"   beta = {beta:4.2f}: orders 1 to 6", high_temperature[beta].round(3), end=" ")
    print(f"exact {log_z(beta):.3f}")
lower_bound = 10 * math.log(2) - beta_curve * kappa[0]
assert zeros_within(0.99 * radius_at_0, -energies, np.full(1024, 1 / 1024)) == 0  # none inside
check([radius_at_0, *high_temperature[1.0][[0, 5]]], [0.5645, 5.469, 10.150], tolerance=1e-3)
assert abs(high_temperature[0.25][5] - log_z(0.25)) < 0.005
assert np.all(lower_bound - [log_z(b) for b in beta_curve] < 1e-12)
check(lower_bound[40], high_temperature[1.0][0])  # at beta = 1

# %% jupyter={"source_hidden": true} tags=["solution"]
# 5. With u = s t - ln((1 - p)/p), u - i pi (2k + 1) = s (t - t_k), so K'(t) = s/2 + sum_k 1/(t - t_k).
# The (n-1)-th derivative of 1/(t - t_k) is (-1)^(n-1) (n-1)! / (t - t_k)^n: at t = 0, -(n-1)!/t_k^n.
# So kappa_n = -(n-1)! sum_k t_k^-n. Divide by n!.
s, k = 4.0, np.arange(-2000, 2000)
zeros = (math.log(1 / probability - 1) + 1j * np.pi * (2 * k + 1)) / s  # (8.2)
over_zeros = np.array([-np.sum(zeros**-n).real / n for n in range(4, 13)])  # n = 4, .., 12
for n in (4, 8, 12):
    term = np.diff(sums[s], prepend=0.0)[n - 1]  # kappa_n / n!
    print(f"5. n = {n:2d}: kappa_n / n! = {term:.9f}, over zeros {over_zeros[n - 4]:.9f}")
check(over_zeros, np.diff(sums[4.0], prepend=0.0)[3:12], tolerance=1e-9)  # kappa_n / n!
