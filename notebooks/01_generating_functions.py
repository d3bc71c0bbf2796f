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
# What else is hidden in $\ln Z$, besides a normalisation? A *generating function* is a single function
# whose derivatives are the quantities you want (Wilf 2006). This chapter shows, on a model small enough to sum
# exactly, that $\ln Z$ is one. Guess first: what does its second derivative give?
#
# **What you will do**
#
# - differentiate $\ln Z(\beta)$ of a small restricted Boltzmann machine (RBM), by hand and automatically;
# - check each derivative against the exact sum;
# - turn moments into cumulants.
#
# **What you will learn**
#
# - why $-\partial_\beta \ln Z$ is the mean energy and $\beta^2\,\partial_\beta^2 \ln Z$ the heat
#   capacity (B6);
# - what cumulants are (B21, B22), and why they add where moments do not;
# - that $\ln Z$ is the cumulant generating function of $-E$.
#
# **What you need**: Taylor series, expectation and variance, some Python, and this project installed. No
# physics is assumed.
#
# **Time**: about 60 minutes, and 95 for the exercises. The code runs in less than half a minute.
#
# Equation numbers such as (B6) are row names of the whole course, of the library's docstrings and of
# `EQUATIONS.md`. Numbers such as (2.1) are steps on the way.

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
from rbm_tf.course import check, label
from rbm_tf.rbm import BernoulliRBM

# %%
seed = 0
num_visible, num_hidden = 6, 4
kernel_scale, bias_scale = 1.5, 0.5  # standard deviations of the random parameters, nats
beta_curve, beta_points = np.linspace(0, 3, 121), np.linspace(0, 3, 13)
beta_0 = 1.0  # where ln Z is compared in section 5
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 130}])
ink = plt.rcParams["text.color"]


# %% [markdown]
# **Part I: Generating functions.** A model gives each of its states a probability. What one asks of it are
# averages, their fluctuations, and their answer to a push. Physics, statistics and machine learning share
# one shortcut: sum the weights of all states, take the logarithm, differentiate. In the picture, for
# three states, the slope of the curve is minus the mean energy, its curvature is the variance.
# This chapter derives that, and [chapter 2](02_truncated_series.ipynb) asks how far a few derivatives carry.
# All later parts live on it: learning needs first derivatives, and the variational bound is the
# first term of a series in them.

# %% name="one-function" alt="ln Z of three states against beta, a falling curve. Its tangent at beta = 0.7, labelled minus the mean energy, touches it there; a dashed parabola, labelled with the variance, stays with it longer."
three, at, grid = np.array([0.0, 1.0, 3.0]), 0.7, np.linspace(0, 2.5, 101)  # energies, nats
p = np.exp(-at * three) / np.exp(-at * three).sum()
average, variance = p @ three, p @ three**2 - (p @ three) ** 2
touch = np.log(np.exp(-at * three).sum())
tangent = touch - average * (grid - at)
figure, axis = plt.subplots(figsize=(7, 3.4))
axis.plot(grid, np.log(np.exp(-np.outer(grid, three)).sum(1)), color=ink, lw=2.5, label=r"$\ln Z$")
axis.plot(grid, tangent, color=blue, label=rf"slope $-\langle E\rangle = {-average:.2f}$")
parabola = tangent + variance * (grid - at) ** 2 / 2
axis.plot(grid, parabola, "--", color=orange, label=f"curvature = variance = {variance:.2f}")
axis.plot(at, touch, "o", color=ink)
label(axis, "Three states with the energies 0, 1 and 3", r"inverse temperature $\beta$", "nats")
axis.legend()
plt.show()

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
# so for a large model it cannot be summed: 784 visible units, one for each pixel of a small image, and 500
# hidden ones have $2^{1284}$ states. Ours has $2^{6+4} = 1024$, and every claim below can be checked exactly.
#
# **Signs and units.** Logarithms are natural, so energies, entropies and free energies are in
# *nats*: at $\beta = 1$, one nat more energy makes a state $e$ times less likely. Boltzmann's
# constant is 1. The free energy is
#
# $$F = -\frac{1}{\beta} \ln Z(\beta), \qquad \text{so } F = -\ln Z \text{ at } \beta = 1 . \tag{1.1}$$
#
# Mind the minus sign: it makes a low free energy a good one, and it is often dropped. The blog post
# that this course follows, Charles Martin's *Free Energies and Variational Inference*, drops it in one
# sentence. Here *free energy* always means (1.1).
#
# **The role of $\beta$.** The energy (B1) is linear in its parameters, so
# $\beta\, E(v, h;\, a, b, W) = E(v, h;\, \beta a, \beta b, \beta W)$, and therefore
#
# $$Z(\beta;\, a, b, W) = Z(1;\, \beta a, \beta b, \beta W) . \tag{B7}$$
#
# Multiplying all parameters by $s$ is the same as setting $\beta = s$: large weights are a low
# temperature.
#
# First comes the model, with random parameters, in float64 so that identities hold to about ten digits. Then
# come all its states, their energies (B1), and the function that this chapter is about. It is
# written in TensorFlow, so it can be differentiated automatically, to any order.

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
print(f"784 visible and 500 hidden ones would have 10^{1284 * math.log10(2):.1f}")
print(f"lowest energy {np.min(energies):.3f} nats, highest {np.max(energies):.3f} nats")


# %%
def log_z(beta):
    """ln Z(beta) = ln sum exp(-beta E), (B3), nats."""
    return tf.reduce_logsumexp(-beta * energies)


def probabilities(beta):
    """p(v, h) = exp(-beta E) / Z of every state, (B3)."""
    return tf.nn.softmax(-beta * energies).numpy()


# %% [markdown]
# **Check against the exact result.** The library enumerates one layer only and sums over the other in closed
# form ([chapter 3, section 2](03_rbm_free_energies.ipynb)). We compare the two sums, and check (B7).

# %% name="partition-function"
scaled = BernoulliRBM(num_visible, num_hidden, dtype="float64")
for parameter, original in zip(scaled.trainable_variables, rbm.trainable_variables, strict=True):
    parameter.assign(0.5 * original)

print(f"ln Z(1) by brute force:        {log_z(1.0):.12f}")
print(f"ln Z(1) from the library:      {enumeration.log_z(rbm):.12f}")
check(log_z(1.0), enumeration.log_z(rbm))  # (B3)
check(log_z(0.5), enumeration.log_z(scaled))  # (B7)
check(probabilities(1.0).sum(), 1.0)

# %% [markdown]
# ## 2. The first derivative: the mean energy
#
# Differentiate $\ln Z$ with respect to $\beta$. By the chain rule for the logarithm,
# $d \ln Z / d\beta = Z^{-1}\, dZ / d\beta$. In $Z$, each state's term depends on $\beta$ through its exponent
# alone:
#
# $$\frac{dZ}{d\beta} = \sum_{v, h} \frac{d}{d\beta}\, e^{-\beta E(v, h)}
#   = -\sum_{v, h} E(v, h)\, e^{-\beta E(v, h)} . \tag{2.1}$$
#
# Divide by $Z$ and recognise the probability (B3):
#
# $$\boxed{\; -\frac{d \ln Z}{d\beta} = \sum_{v, h} E(v, h)\, \frac{e^{-\beta E(v, h)}}{Z}
#   = \sum_{v, h} E(v, h)\, p_\beta(v, h) = \langle E \rangle_\beta \equiv U(\beta) \;} \tag{B6a}$$
#
# A derivative brings down a factor of $-E$, and the division by $Z$ turns the sum into an average.
#
# **Check against the exact result**: automatic differentiation of `log_z`, the average, and the library.

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
# The bracket is the variance of the energy, written $\langle\!\langle E^2 \rangle\!\rangle$ (section 4
# explains the double brackets). With (B6a) on the left,
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
# Fluctuations measure the response to heating before any heat is applied.
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
# $S = 10 \ln 2$. As $\beta \to \infty$ only the state of lowest energy is left (here there is one), and $S \to 0$.
#
# **Check against the exact result**: both derivatives by automatic differentiation, against the library's
# enumeration and the definition of the entropy.

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
    axis.plot(beta_points, auto_points, "o", color=ink, ms=4, label="derivatives of $\\ln Z$")
    label(axis, title, r"inverse temperature $\beta$", ylabel)
axes[0].legend()
plt.show()
peak = np.argmax(curve.heat_capacity)
print(f"heat capacity peaks at beta = {beta_curve[peak]:.3f}: {curve.heat_capacity[peak]:.3f} nats")

# %% [markdown]
# All three curves come from one function. By (3.2),
# $dS/d\ln\beta = -\beta^2 \langle\!\langle E^2 \rangle\!\rangle = -C$: each per cent of cooling takes most
# entropy where the heat capacity peaks.
#
# %% [markdown]
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
# sum starts at $n = 1$ because $K(0) = \ln 1 = 0$. $M(t)$ must be finite near $t = 0$, as it is for every
# variable with finitely many values.
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
# The first cumulant is the mean, the second the variance. $\langle\!\langle x^2 \rangle\!\rangle$ is *not* an
# average of $x^2$: the double bracket is the name of the whole combination.
#
# **Three properties** follow from (B21) in a line each.
#
# - *Shift.* $\ln \langle e^{t (x + c)} \rangle = t c + K(t)$: a constant moves $\kappa_1$ only. So centre
#   $x$ first, and $m_1 = 0$ in (B22): $\kappa_2 = \mu_2$, $\kappa_3 = \mu_3$, $\kappa_4 = \mu_4 - 3 \mu_2^2$,
#   with the central moments $\mu_n = \langle (x - \langle x \rangle)^n \rangle$.
# - *Scale.* $\ln \langle e^{t (c x)} \rangle = K(c\,t)$: $\kappa_n$ is multiplied by $c^n$.
# - *Addition.* If $x$ and $y$ are independent,
#   $\ln \langle e^{t (x + y)} \rangle = \ln \langle e^{t x} \rangle + \ln \langle e^{t y} \rangle$:
#   cumulants add. Moments do not (exercise 2).
#
# **Check against the exact result** on a lopsided four-sided die, by four routes: (B22) written out, the
# library's recursion from moments, its `weighted_cumulants`, and the derivatives (B21).

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
# Sections 3 and 4 look alike because they are the same. Change $\beta$ by $t$:
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
# (the sum where it converges, chapter 2). Orders 1 and 2 are (B6a) and (B6b). Order 3 is new: the variance of the energy changes with $\beta$
# at the rate $-\langle\!\langle E^3 \rangle\!\rangle$.
#
# Equation (5.1) also says how the *distribution* changes: $p_{\beta + t} \propto p_\beta\, e^{-t E}$.
# Each state is reweighted, or *tilted*, by the factor $e^{-t E}$, and
# $\langle e^{-t E} \rangle_\beta$ normalises the result.
#
# **Check against the exact result**: five derivatives of `log_z` against cumulants, and (5.2).

# %% name="energy-cumulants"
max_order = 5
signs = (-1.0) ** np.arange(1, max_order + 1)
print("beta   <<E>>    <<E^2>>   <<E^3>>   <<E^4>>   <<E^5>>   (nats^n)")
for beta in (0.2, 1.0, 2.5):
    by_derivatives = cumulants.derivatives(log_z, max_order, at=tf.constant(beta, tf.float64))
    kappa = cumulants.weighted_cumulants(energies, -beta * energies, max_order)
    check(by_derivatives, signs * kappa)  # (5.3)
    print(f"{beta:4.1f}" + "".join(f"{value:10.4f}" for value in kappa.numpy()))
assert kappa[2] > 0  # at beta = 2.5: the tail to the right

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
# scale). As $\beta$ grows the mean moves left, at a
# speed given by the variance, and the states pile up against the lowest energy. The only tail that is left is
# the one to the right, so the third cumulant is positive.
#
# **When it fails: two cumulants and no more.** At $\beta = 0$ the histogram looks roughly like a bell. Keep two
# terms of (5.3) about $\beta = 0$, as if the energy were Gaussian. By (B6d) the entropy is then
# $10 \ln 2 - \frac{1}{2} \beta^2 \langle\!\langle E^2 \rangle\!\rangle_0$. What does that say of cold machines?

# %% name="two-terms" alt="Entropy against beta. The exact curve falls from 6.9 nats and flattens above 0. The parabola of two cumulants follows it at first, crosses 0 at beta = 1.06 and goes on down."
variance_0 = cumulants.weighted_cumulants(energies, 0.0, max_order=2).numpy()[1]
two_terms = 10 * math.log(2) - beta_curve**2 * variance_0 / 2
figure, axis = plt.subplots(figsize=(7, 3.2))
axis.plot(beta_curve, curve.entropy, color=green, label="exact")
axis.plot(beta_curve, two_terms, "--", color=orange, label="two cumulants")
axis.axhline(0, color=grey, lw=1)
label(axis, "An entropy below zero", r"inverse temperature $\beta$", "$S$ (nats)")
axis.set(xlim=(0, 2), ylim=(-8, 8))
axis.legend()
plt.show()
crossing = math.sqrt(20 * math.log(2) / variance_0)
there = enumeration.thermodynamics(rbm, [crossing]).entropy[0]
print(f"two cumulants: S = 0 at beta = {crossing:.3f}; the exact S there is {there:.3f} nats")
check([crossing, there], [1.0558, 3.4005], tolerance=1e-4)

# %% [markdown]
# At $\beta = 1.056$ two cumulants claim an entropy of 0 while 3.40 nats are left, and beyond it the
# entropy is negative, which no list of probabilities allows. A Gaussian energy has no lowest value to pile up
# against. Ours has, and the cumulants that were left out know it. How far a truncated series can be trusted
# is the question of chapter 2.
#
# ## 6. Summary
#
# | derivative of $\ln Z$ with respect to | yields | equation |
# |:--|:--|:--|
# | $\beta$ | $-\langle E \rangle$ | B6a |
# | $\beta$, twice | $\langle\!\langle E^2 \rangle\!\rangle = C / \beta^2$ | B6b, B6c |
# | $\beta$, $n$ times | $(-1)^n \langle\!\langle E^n \rangle\!\rangle$ | 5.3 |
# | no derivative: $\ln Z + \beta \langle E \rangle$ | the entropy $S$ | B6d |
#
# - $\ln \langle e^{t x} \rangle$ generates cumulants (B21), polynomials in the moments (B22). For
#   independent variables they add.
# - $\ln Z$ is the cumulant generating function of $-E$: a change of $\beta$ tilts the distribution.
# - Two cumulants hold near one temperature. Far away they can give an impossible answer.
#
# %% [markdown]
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
# 4. *(hard)* **From temperature to energy.** Ask for the entropy at a given mean energy instead of a given
#    temperature. Show that $S(U) = \min_\beta\, [\ln Z(\beta) + \beta U]$, that the minimum is where
#    $\langle E \rangle_\beta = U$, and that $dS/dU = \beta$ and $d^2 S / dU^2 = -1 / \langle\!\langle E^2
#    \rangle\!\rangle_\beta$. Write `entropy_at(energy)`, which finds the minimum by Newton's method and returns
#    $S$ and $\beta$. Check it with the exact curves, and both derivatives by differences.
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
print(f"1. ln Z = {unit_log_z:.6f}, U = {unit_energy:.6f}", end=", ")
print(f"S = {unit_entropy:.6f}, C = {unit_heat_capacity:.6f} nats")
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
# 4. The slope of ln Z + beta U is U - <E> by (B6a), its curvature <<E^2>> > 0 by (B6b): one minimum, whose value is S
# (B6d). There the slope is 0: dS/dU = beta, and d^2S/dU^2 = 1 / (dU/d beta) = -1 / <<E^2>>. Newton: (<E> - U) / <<E^2>>.
def entropy_at(energy):
    beta = 0.0
    for _ in range(30):
        mean, variance = cumulants.weighted_cumulants(energies, -beta * energies, 2).numpy()
        beta += (mean - energy) / variance
    return float(log_z(beta)) + beta * energy, beta


print("4. S and beta at U = -6 nats:", np.round(entropy_at(-6.0), 6))
check(entropy_at(curve.energy[40]), [curve.entropy[40], beta_curve[40]])
check((entropy_at(-5.999)[0] - entropy_at(-6.001)[0]) / 0.002, entropy_at(-6.0)[1], tolerance=1e-6)
variance = cumulants.weighted_cumulants(energies, -entropy_at(-1.162)[1] * energies, 2)[1]
check((entropy_at(-1.161)[1] - entropy_at(-1.163)[1]) / 0.002, -1 / variance, tolerance=1e-6)
