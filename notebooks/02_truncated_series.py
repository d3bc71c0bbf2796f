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
# # Chapter 2: A series, and how far it reaches
#
# $\ln Z(\beta)$ is smooth at every real temperature. Expand it about $\beta = 1$ and take twenty
# orders. How far will the series reach? Write down a guess: the answer cannot be seen on the real axis.
#
# **What you will do**
#
# - push one unit of a restricted Boltzmann machine (RBM) and predict how the others answer;
# - expand $\ln\langle e^{x}\rangle$ in cumulants, watch the series succeed, and watch it fail;
# - find the complex zero that stops it, and estimate cumulants from samples.
#
# **What you will learn**
#
# - why biases and weights are *sources*, and covariances are responses;
# - how far a cumulant series (B21) can be trusted, and why only its first order is a bound.
#
# **What you need**: of [chapter 1](01_generating_functions.ipynb), sections 1, 3, 4 and 5; complex numbers in polar
# form; some Python, and this project installed.
#
# **Time**: about 60 minutes, and 80 for the exercises. The code runs in less than half a minute.
#
# Equation numbers such as (B21) are row names of the whole course, of the library's docstrings and of
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
from rbm_tf.explorable import Explorable
from rbm_tf.rbm import BernoulliRBM

# %%
seed = 0
num_visible, num_hidden = 6, 4
kernel_scale, bias_scale = 1.5, 0.5  # standard deviations of the random parameters, nats
beta_curve = np.linspace(0, 3, 121)
beta_0 = 1.0  # where ln Z is expanded
probability = 0.3  # of the two-point variable in section 3
num_samples, num_repeats = 200, 4000
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 120}])
ink = plt.rcParams["text.color"]


# %% [markdown]
# **Where we are.** By chapter 1, $\ln Z(\beta + t) - \ln Z(\beta) = \ln \langle e^{-t E} \rangle_\beta$
# ((5.2) of chapter 1), so derivatives of $\ln Z$ are cumulants of the energy ((5.3) of chapter 1). Here is
# its RBM again; the last function adds up the series of section 2.

# %%
rng = np.random.default_rng(seed)
rbm = BernoulliRBM(num_visible, num_hidden, seed=seed, dtype="float64")
rbm.kernel.assign(rng.normal(0, kernel_scale, (num_visible, num_hidden)))
rbm.visible_bias.assign(rng.normal(0, bias_scale, num_visible))
rbm.hidden_bias.assign(rng.normal(0, bias_scale, num_hidden))

states = np.array(list(itertools.product([0.0, 1.0], repeat=num_visible + num_hidden)))
v, h = states[:, :num_visible], states[:, num_visible:]
energies = rbm.energy(v, h).numpy()  # (1024,), nats


# %%
def log_z(beta):
    """ln Z(beta) = ln sum exp(-beta E), (B3), nats."""
    return tf.reduce_logsumexp(-beta * energies)


def probabilities(beta):
    """p(v, h) = exp(-beta E) / Z of every state, (B3)."""
    return tf.nn.softmax(-beta * energies).numpy()


def partial_sums(kappa):
    """The series (2.1) cut off after order 1, 2, .., len(kappa), nats."""
    orders = range(1, len(kappa) + 1)
    return np.array([cumulants.log_expectation(kappa[:order]) for order in orders])


# %% [markdown]
# ## 1. Sources and weights
#
# Temperature is not the only thing to differentiate with respect to. Add a *source* $J_i$ for every
# visible unit (hidden units alike):
#
# $$E_J(v, h) = E(v, h) - \sum_i J_i v_i , \qquad
#   Z(J) = \sum_{v, h} e^{-E(v, h) + \sum_i J_i v_i} \quad (\beta = 1). \tag{1.1}$$
#
# A derivative with respect to $J_i$ now brings down a factor $v_i$ from the exponent:
#
# $$\frac{\partial \ln Z}{\partial J_i}
#   = \frac{1}{Z} \sum_{v, h} v_i\, e^{-E + J \cdot v} = \langle v_i \rangle . \tag{1.2}$$
#
# The second derivative has two terms, as in (3.1) of chapter 1:
#
# $$\frac{\partial^2 \ln Z}{\partial J_i\, \partial J_j}
#   = \frac{\partial \langle v_i \rangle}{\partial J_j}
#   = \langle v_i v_j \rangle - \langle v_i \rangle \langle v_j \rangle
#   = \langle\!\langle v_i v_j \rangle\!\rangle , \tag{1.3}$$
#
# a covariance, the second *joint* cumulant: the response of unit $i$ to a push on unit $j$ equals the
# covariance without the push. $J_i$ enters just as the bias $a_i$ does: an RBM carries its sources with it.
#
# **Weights.** In (B1) the weight $W_{ij}$ multiplies $v_i h_j$, so it is the source of that product:
#
# $$\frac{\partial \ln Z}{\partial W_{ij}} = \frac{1}{Z} \sum_{v, h} v_i h_j\, e^{-E(v, h)}
#   = \langle v_i h_j \rangle . \tag{1.4}$$
#
# This is the half of an RBM's learning rule that needs the model's own average.
# [Chapter 4, section 3](04_likelihood_gradient.ipynb) asks whether it is an expected energy.
#
# **Check against the exact result**: first and second derivatives for sources on all ten units, and (1.4).

# %% name="weights-as-sources"
sources = tf.zeros(num_visible + num_hidden, tf.float64)
with tf.GradientTape() as outer:
    outer.watch(sources)
    with tf.GradientTape() as inner:
        inner.watch(sources)
        value = tf.reduce_logsumexp(-rbm.energy(v, h) + tf.linalg.matvec(states, sources))
    mean, by_kernel = inner.gradient(value, [sources, rbm.kernel.value])
covariance = outer.jacobian(mean, sources).numpy()  # (1.3), (10, 10)
moments = enumeration.moments(rbm)
check(mean, np.concatenate([moments.visible, moments.hidden]))  # (1.2)
check(covariance, np.cov(states.T, aweights=probabilities(1.0), bias=True))
check(by_kernel, moments.correlation)  # (1.4)
off_diagonal = np.abs(covariance[~np.eye(10, dtype=bool)])
assert np.isclose(off_diagonal.max(), covariance[5, 7]) and covariance[2, 5] < -0.01

# %% name="sources" alt="Left: table of covariances of ten units, nearly all small; v6 with h2 the largest. Right: means of v6 and h2 rise, that of v3 falls as v6 is pushed; the dashed tangents at 0 touch the curves."
units = [f"$v_{i}$" for i in range(1, 7)] + [f"$h_{j}$" for j in range(1, 5)]
push = np.linspace(-4, 4, 81)  # J_6, nats
tilted = tf.nn.softmax(-energies + push[:, np.newaxis] * v[:, 5], axis=-1).numpy()  # (81, 1024)
pairs = np.where(np.eye(len(units)), np.nan, covariance)
figure, axes = plt.subplots(1, 2, figsize=(10, 4))
figure.colorbar(axes[0].imshow(pairs, cmap="RdBu_r", vmin=-0.1, vmax=0.1), ax=axes[0])
axes[0].set(xticks=range(10), yticks=range(10), xticklabels=units, yticklabels=units)
axes[0].set_title("Covariances of two units, from $\\ln Z(J)$")
for unit, colour in ((5, blue), (7, orange), (2, green)):
    axes[1].plot(push, tilted @ states[:, unit], color=colour, label=f"mean of {units[unit]}")
    axes[1].plot(push, mean[unit] + covariance[5, unit] * push, "--", color=colour, lw=1)
label(axes[1], "Response to a push on $v_6$", "source $J_6$ (nats)", "mean of a unit")
axes[1].set(ylim=(0, 1))
axes[1].legend()
plt.show()

# %% [markdown]
# Left: no visible unit is connected to another in (B1), yet some are correlated, because they share hidden
# units. Right: a push on $v_6$ moves its own mean, that of a hidden unit and, through the hidden units, that of
# another visible unit. The dashed tangents have the slopes of (1.3).
#
# ## 2. The truncated series
#
# Set $t = 1$ in (B21). If $x$ *varies little*, a few cumulants should be enough:
#
# $$\ln \langle e^{x} \rangle = \kappa_1 + \frac{\kappa_2}{2} + \frac{\kappa_3}{6}
#   {} + \frac{\kappa_4}{24} + \dots \tag{2.1}$$
#
# **Gaussian: exact at order 2.** For $x \sim N(\mu, \sigma^2)$ complete the square (expand it to verify):
#
# $$t x - \frac{(x - \mu)^2}{2 \sigma^2}
#   = -\frac{(x - \mu - \sigma^2 t)^2}{2 \sigma^2} + \mu t + \frac{\sigma^2 t^2}{2} , \qquad
#   K(t) = \ln \langle e^{t x} \rangle = \mu t + \frac{\sigma^2}{2} t^2 , \tag{2.2}$$
#
# because the integral over the shifted Gaussian is 1. All cumulants beyond $\kappa_2 = \sigma^2$ vanish:
# they measure what is *not* Gaussian.
#
# **Poisson: all cumulants equal.** For $P(x = k) = e^{-r} r^k / k!$,
#
# $$\langle e^{t x} \rangle = e^{-r} \sum_{k=0}^{\infty} \frac{(r e^{t})^k}{k!}
#   = e^{-r}\, e^{r e^{t}} , \qquad
#   K(t) = r \left( e^{t} - 1 \right) = \sum_{n=1}^{\infty} \frac{t^n}{n!}\, r , \tag{2.3}$$
#
# so $\kappa_n = r$ for every $n$, and (2.1) converges to $r (e - 1)$ as fast as the series of $e$.
#
# **Check against the exact result**, by quadrature over 60 nodes and a sum over 80 integers.

# %% name="good-series"
nodes, node_weights = np.polynomial.hermite_e.hermegauss(60)
gaussian = cumulants.weighted_cumulants(-1.0 + 1.5 * nodes, np.log(node_weights), 4)
log_weights = np.array([k * math.log(1.3) - math.lgamma(k + 1) for k in range(80)])
poisson = cumulants.weighted_cumulants(np.arange(80.0), log_weights, 4)
check(gaussian, [-1.0, 1.5**2, 0.0, 0.0])  # (2.2)
check(poisson, [1.3] * 4)  # (2.3)
exact_poisson = 1.3 * (math.e - 1)
print("Gaussian, mean -1, variance 2.25: ", partial_sums(gaussian).round(6), "exact:", 0.125)
print("Poisson, rate 1.3:", partial_sums(poisson).round(6), "exact:", round(exact_poisson, 6))

# %% [markdown]
# ### How far does the series reach?
#
# A Taylor series in $t$ converges up to the nearest point of the *complex* $t$ plane at which the
# function stops being smooth. For finitely many values, $M(t) = \langle e^{t x} \rangle$ is smooth everywhere.
# Its logarithm $K = \ln M$ is smooth as long as $M \ne 0$, and grows without bound where $M(t_0) = 0$. So the
# series of $K$ converges for $|t| < R$ and diverges for $|t| > R$, with the radius of convergence
#
# $$R = \min \{\, |t_0| : \langle e^{t_0 x} \rangle = 0 \,\} . \tag{2.4}$$
#
# On the real axis $M$ is a sum of positive terms. Its zeros sit off the axis, in conjugate pairs. For
# $\ln Z(\beta + t)$ they are the zeros of $Z$ at complex $\beta$.
#
# We find them by Newton's method, $t \leftarrow t - M(t) / M'(t)$, from a grid of starts. To be sure
# that none was missed we count: on one walk round a circle the phase of $M$ turns by $2\pi$ for each
# zero inside (the argument principle).


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
polynomials = log_z(beta_0) + np.cumsum(terms, axis=1).T  # (5.3) of chapter 1, (20, num_t)
exact_log_z = np.array([log_z(beta_0 + value) for value in t])
error, inside = np.abs(polynomials - exact_log_z), np.abs(t) < radius / 2
near, far = error[:, inside].max(1), error[:, np.abs(t) > radius].max(1)
for n in (1, 2, 3, 4, 20):
    print(f"order {n:2d}: error within R/2 {near[n - 1]:.1e}, beyond R {far[n - 1]:.1e} nats")
assert near[0] > near[1] > near[2] > near[3] > near[19]  # inside: better and better
assert far[19] > 10 * far[:4].max()  # outside: worse in the end


# %%
def draw_polynomials(axis):
    axis.plot(t, exact_log_z, color=ink, lw=2.5, label="exact")
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
# Left: within $R/2$ higher orders improve on lower ones. Outside, more terms make it worse in the end:
# order 20 leaves the curve almost vertically soon after the edge of the shaded region, although $\ln Z$ goes on
# smoothly. Right: the colour is the phase of $M(t)$. Round a zero every colour passes by. Two such points,
# ringed, lie on the circle: they are the reason.
#
# ## 3. When it fails: a variable with two values
#
# Here is a series that goes wrong, simple enough to see why. Let $x$ be $s$ with
# probability $p = 0.3$ and 0 otherwise, so that $K(t) = \ln \left( 1 - p + p\, e^{s t} \right)$. We want
# $K(1)$. Such an $x$ is no curiosity: in an average of weights, a rare large one next to many small ones is
# the common trouble. We try $s = 3$ and $s = 4$.

# %%
max_order, sums, exact_value = 60, {}, {}
two_weights = np.array([1 - probability, probability])
for s in (3.0, 4.0):
    kappa = cumulants.weighted_cumulants(np.array([0.0, s]), np.log(two_weights), max_order)
    sums[s] = partial_sums(kappa)
    exact_value[s] = math.log(two_weights @ np.exp([0.0, s]))
print("order        s = 3            s = 4")
for order in (1, 2, 3, 4, 6, 10, 15, 20, 40, 60):
    print(f"{order:5d} {sums[3.0][order - 1]:12.3f} {sums[4.0][order - 1]:16.3f}")
print(f"exact {exact_value[3.0]:12.3f} {exact_value[4.0]:16.3f}")
assert sums[3.0][0] < sums[3.0][1] < exact_value[3.0] < sums[3.0][2]
assert sums[4.0][1] > exact_value[4.0]
last_bad = 1 + np.flatnonzero(np.abs(sums[3.0] - exact_value[3.0]) > 0.01)[-1]
best_order = 1 + np.argmin(np.abs(sums[4.0] - exact_value[4.0]))
check([last_bad, best_order], [22, 2])

# %% [markdown]
# For $s = 3$ the sums swing from one side to the other, and only after order 22 does the error stay below
# 0.01 nats. For $s = 4$ they swing ever more wildly.
#
# **Where the zeros are.** $M(t) = 0$ means $e^{s t} = -(1 - p)/p$. The logarithm of a
# negative number is $\ln \frac{1 - p}{p} + i \pi (2 k + 1)$ with any integer $k$, so the zeros are
#
# $$t_k = \frac{1}{s} \left( \ln \frac{1 - p}{p} + i \pi (2 k + 1) \right) , \tag{3.1}$$
#
# all on one vertical line. The nearest are those with $k = 0$ and $k = -1$, at the distance
#
# $$\boxed{\; R = \frac{1}{s} \sqrt{\ln^2 \frac{1 - p}{p} + \pi^2} \;} \tag{3.2}$$
#
# The series at $t = 1$ needs $R > 1$. For $p = \tfrac12$, where $R$ is smallest, that means $s < \pi$.
#
# **What the zeros do to the cumulants.** Near a zero, $M$ contains the factor $1 - t/t_0$ and, for
# the conjugate, $1 - t/\bar t_0$. With $t_0 = R\, e^{i \theta}$ their logarithms are
#
# $$\ln \Big( 1 - \frac{t}{t_0} \Big) + \ln \Big( 1 - \frac{t}{\bar t_0} \Big)
#   = -\sum_{n=1}^{\infty} \frac{t^n}{n} \left( t_0^{-n} + \bar t_0^{-n} \right)
#   = -\sum_{n=1}^{\infty} \frac{2 \cos n \theta}{n} \Big( \frac{t}{R} \Big)^n . \tag{3.3}$$
#
# The other zeros contribute alike with larger $R$, which matters less and less as $n$ grows. Hence
#
# $$\frac{\kappa_n}{n!} \simeq -\frac{2 \cos n \theta}{n\, R^n} \qquad (n \text{ large}) . \tag{3.4}$$
#
# **Check against the exact result**: (3.2) against the search, (3.4) against the cumulants.

# %% name="terms"
for s in (3.0, 4.0):
    two_values = np.array([0.0, s])
    t_0 = (math.log(1 / probability - 1) + 1j * np.pi) / s  # (3.1), k = 0
    check(abs(nearest_zero(two_values, two_weights)), abs(t_0))  # (3.2)
    assert zeros_within(0.99 * abs(t_0), two_values, two_weights) == 0
    order = np.arange(1, max_order + 1)
    predicted = -2 * (t_0 ** -order.astype(float)).real / order  # (3.4)
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
# For $s = 3$ the zeros are just outside the unit circle. The series does converge, but its error shrinks by a
# factor of about 0.92 per order only. For $s = 4$ the zeros are inside, the series diverges, and the best
# order is as low as 2. The $M(t)$ of a Gaussian and of a Poisson variable is never zero.
#
# Three lessons for the chapters to come:
#
# - The series is an expansion in the *spread* of $x$.
# - Order 1 is special. By Jensen's inequality $\langle e^x \rangle \ge e^{\langle x \rangle}$, so
#   $\ln \langle e^x \rangle \ge \kappa_1$ always. No other order is a bound, since from $\kappa_3$ on the first
#   term that is left out can have either sign: order 2 is below the exact value for $s = 3$ and above it for $s = 4$.
# - A higher order is not always a better one: that depends on where the zeros are.
#
# **Move it.** The slider changes the spread $s$. Before you move it: at which $s$ does the curve turn from
# falling to rising?

# %% name="slide-spread" alt="A curve: the error of the series against its order, on a logarithmic scale. It falls for a spread below 3.25 and rises above."
spreads, all_orders = np.linspace(1, 5, 41), np.arange(1, 31)
two_values, log_two = np.stack([0 * spreads, spreads]), np.log(two_weights)[:, np.newaxis]
sums_of = partial_sums(cumulants.weighted_cumulants(two_values, log_two, 30)).T  # (spreads, orders)
targets = np.log(1 - probability + probability * np.exp(spreads))[:, np.newaxis]
all_errors = list(np.log10(np.maximum(np.abs(sums_of - targets), 1e-12)))
late = all_orders[10:]  # the terms fall as R^-n / n (3.4)
rates = [np.polyfit(late, error[10:] + np.log10(late), 1)[0] for error in all_errors]
turn = math.hypot(math.log(1 / probability - 1), math.pi)  # R = 1 in (3.2)
grows = spreads[np.argmax(np.array(rates) > 0)]
print(f"R = 1 at s = {turn:.2f}; the error times the order grows from s = {grows:.1f} on")
assert abs(grows - turn) < 0.2
alt = "The error of the series against its order falls for a spread below 3.25 and rises above."
labels = {"xlabel": "order", "ylabel": "log10 of the error (nats)", "name": "spread", "alt": alt}
Explorable(all_orders, {"error": all_errors}, values=spreads, index=20, ylim=(-8, 4), **labels)

# %% [markdown]
# By (3.2) it turns where $R = 1$, at $s = 3.25$.
#
# ## 4. Cumulants from samples
#
# For a larger model cumulants must be estimated from $n$ independent samples $x_1, \dots, x_n$. The obvious
# way is to put sample averages into (B22). At orders $r = 2$ and 3 this gives the central moments of the
# sample, $\hat m_r = \frac1n \sum_i (x_i - \bar x)^r$. They are *biased*, because $\bar x$ has been fitted to
# the same samples. Shift $x$ so that its true mean is 0; then
#
# $$\hat m_2 = \frac1n \sum_i x_i^2 - \bar x^2 , \qquad
#   \mathbb{E}[\hat m_2] = \kappa_2 - \frac{\kappa_2}{n} = \frac{n - 1}{n}\, \kappa_2 , \tag{4.1}$$
#
# because $\mathbb{E}[\bar x^2]$ is the variance of a mean, $\kappa_2 / n$. The third order is
# $\hat m_3 = \frac1n \sum_i x_i^3 - 3 \bar x\, \frac1n \sum_i x_i^2 + 2 \bar x^3$.
# In $\bar x \cdot \frac1n \sum_i x_i^2 = \frac{1}{n^2} \sum_{ij} x_i x_j^2$ only the $n$ terms with
# $i = j$ have a mean other than 0: $\kappa_3 / n$. In $\bar x^3$ only those with three equal indices do:
# $\kappa_3 / n^2$. Together,
#
# $$\mathbb{E}[\hat m_3] = \kappa_3 \left( 1 - \frac{3}{n} + \frac{2}{n^2} \right)
#   = \frac{(n - 1)(n - 2)}{n^2}\, \kappa_3 . \tag{4.2}$$
#
# Dividing by these factors removes the bias. The results are *Fisher's k-statistics*,
#
# $$k_2 = \frac{n}{n - 1}\, \hat m_2 , \qquad k_3 = \frac{n^2}{(n - 1)(n - 2)}\, \hat m_3 , \qquad
#   \mathbb{E}[k_r] = \kappa_r , \tag{4.3}$$
#
# and so on: `sample_cumulants` has them up to order 6.
#
# **Check against the exact result.** Draw 200 energies from $p_1$, estimate, and repeat that 4,000 times. The
# spread over the repeats is the error bar of *one* estimate. The mean of all must agree with the exact
# cumulant within 5 standard errors.

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
assert 10 < needed[0] < 12 and 44_000 < needed[3] < 46_000

# %% [markdown]
# The price of a cumulant rises steeply with its order. The last line scales the error bars with $1/\sqrt{n}$
# to those of 10 %: 11 samples for the mean, about 45,000 for the fourth cumulant. A series can thus fail from
# noise, long before it reaches its radius.
#
# The bias shows best for $n = 10$. Equal weights in `weighted_cumulants` make the naive estimates.

# %% name="bias-of-cumulants"
small = drawn.reshape(-1, 10)  # (80000, 10)
factors = np.array([9 / 10, 9 * 8 / 10**2])  # (4.1), (4.2)
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
axes[0].axhline(1, color=ink, lw=0.8, label="exact")
axes[0].set_xticks(range(1, 5), [rf"$\kappa_{n}$" for n in range(1, 5)])
label(axes[0], "Cumulants of the energy, from 200 samples", "", "estimate / exact")
axes[0].legend(loc="upper left")
for (name, (mean_ratio, ratio_error)), colour in zip(ratios.items(), (orange, green), strict=True):
    axes[1].errorbar([2, 3], mean_ratio, 5 * ratio_error, fmt="o", color=colour, label=name)
axes[1].plot([2, 3], factors, "_", color=orange, ms=30, label="(4.1) and (4.2)")
axes[1].axhline(1, color=ink, lw=0.8)
axes[1].set(xticks=[2, 3], xlim=(1.5, 3.5), ylim=(0.6, 1.1))
label(axes[1], "Samples of 10: bias (bars: 5 standard errors)", "order", "mean estimate / exact")
axes[1].legend(loc="lower left")
plt.show()

# %% [markdown]
# ## 5. So, is the free energy a generating function?
#
# The post claims so, in four senses.
#
# 1. *Thermodynamics.* Derivatives with respect to $\beta$ give energy, heat capacity and entropy (B6).
# 2. *Learning.* Derivatives with respect to the weights give $\langle v_i h_j \rangle$ (1.4).
# 3. *Approximations.* If a simpler model $q$ has the energy $H_q$ and $V = E - H_q$, then
#    $\ln Z = \ln Z_q + \ln \langle e^{-V} \rangle_q$. Order 1 of (2.1) is the variational bound, the other
#    orders are its corrections. Exercise 2 is the simplest case; rows B20 to B25 are the full story.
# 4. *Data.* A trained model generates data, but by sampling, not by a derivative.
#
# ## 6. Summary
#
# | derivative of $\ln Z$ with respect to | yields | equation |
# |:--|:--|:--|
# | a source $J_i$, or the bias $a_i$ | $\langle v_i \rangle$ | 1.2 |
# | two sources $J_i$, $J_j$ | $\langle\!\langle v_i v_j \rangle\!\rangle$, a covariance | 1.3 |
# | a weight $W_{ij}$ | $\langle v_i h_j \rangle$ | 1.4 |
#
# - The series for $\ln \langle e^x \rangle$ is exact at order 2 for a Gaussian. In general it reaches to the
#   nearest complex zero of $\langle e^{t x} \rangle$.
# - Order 1 is a bound. No other order is.
# - k-statistics estimate cumulants without bias, at a cost that grows with the order.
#
# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **A sum.** Let $x$ be the sum of a Gaussian variable, mean $-1$ and variance 2.25, and of an
#    independent Poisson variable of the rate 1.3. What are its cumulants (`of_sum`: the first six)? What is
#    $\ln \langle e^x \rangle$ (`log_mean`), and from which order on is the series closer than 0.01 nats
#    (`enough`)?
# 2. *(medium)* **High temperature.** Expand $\ln Z(\beta)$ about $\beta = 0$, where all states are
#    equally likely and averages need no $Z$. Compare orders 1 to 6 with the exact result at
#    $\beta = 0.25$ and $\beta = 1$ (`high_temperature[beta]`: the six partial sums), find the radius of
#    convergence (`radius_at_0`), and show that order 1 is a lower bound on $\ln Z$ at every $\beta$
#    (`lower_bound`: its values at `beta_curve`).
# 3. *(hard)* **Cumulants are sums over zeros.** For the two-valued $x$ of section 3,
#    $K'(t) = s\, \sigma(s t - \ln\frac{1 - p}{p})$ with the sigmoid
#    $\sigma(u) = \frac12 + \sum_k \frac{1}{u - i \pi (2 k + 1)}$, the sum over all integers $k$ taken
#    symmetrically. Derive $\kappa_n / n! = -\frac1n \sum_k t_k^{-n}$ for $n \ge 2$, an exact form of
#    (3.4), and check it for $n = 4, \dots, 12$ (`over_zeros`: the nine sums).
#
# The solutions are in the cells below, folded: click on one to open it.

# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. For independent variables cumulants add: kappa_1 = -1 + 1.3, kappa_2 = 2.25 + 1.3, and 1.3 from the
# third on. ln <e^x> adds as well: 0.125 + 1.3 (e - 1). The error is the Poisson variable's alone.
of_sum = np.array([0.3, 3.55, 1.3, 1.3, 1.3, 1.3])
log_mean = 0.125 + exact_poisson
errors = np.abs(partial_sums(of_sum) - log_mean)
enough = 1 + np.flatnonzero(errors > 0.01)[-1] + 1
print(f"1. ln <e^x> = {log_mean:.6f}; errors of orders 1 to 6: {errors.round(5)}")
check(of_sum, (gaussian + poisson)[:6])
check(log_mean, math.log(np.exp(-1 + 2.25 / 2)) + 1.3 * (math.e - 1))
assert abs(partial_sums(of_sum)[enough - 1] - log_mean) < 0.01
assert abs(partial_sums(of_sum)[enough - 2] - log_mean) > 0.01

# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. (5.3) of chapter 1 at beta = 0: ln Z(beta) = 10 ln 2 + sum_n (-beta)^n / n! <<E^n>>_0. Order 1
# is below ln Z by Jensen, because <exp(-beta E)>_0 >= exp(-beta <E>_0).
kappa = cumulants.weighted_cumulants(energies, 0.0, max_order=6).numpy()
radius_at_0, high_temperature = abs(nearest_zero(-energies, np.full(1024, 1 / 1024))), {}
print(f"2. radius of convergence {radius_at_0:.4f}")
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
# 3. With u = s t - ln((1 - p)/p), u - i pi (2k + 1) = s (t - t_k), so K'(t) = s/2 + sum_k 1/(t - t_k).
# The (n-1)-th derivative of 1/(t - t_k) is (-1)^(n-1) (n-1)! / (t - t_k)^n: at t = 0, -(n-1)!/t_k^n.
# So kappa_n = -(n-1)! sum_k t_k^-n. Divide by n!.
s, k = 4.0, np.arange(-2000, 2000)
zeros = (math.log(1 / probability - 1) + 1j * np.pi * (2 * k + 1)) / s  # (3.1)
over_zeros = np.array([-np.sum(zeros**-n).real / n for n in range(4, 13)])  # n = 4, .., 12
for n in (4, 8, 12):
    term = np.diff(sums[s], prepend=0.0)[n - 1]  # kappa_n / n!
    print(f"3. n = {n:2d}: kappa_n / n! = {term:.9f}, over zeros {over_zeros[n - 4]:.9f}")
check(over_zeros, np.diff(sums[4.0], prepend=0.0)[3:12], tolerance=1e-9)  # kappa_n / n!
