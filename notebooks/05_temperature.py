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
# # Chapter 5: Temperature
#
# A restricted Boltzmann machine (RBM) is trained at one temperature, $T = 1$. But its energy defines
# a whole family of models, one for each inverse temperature $\beta = 1/T$, and the way in which the
# model changes along this family says much about what it has learned. This chapter takes an RBM that was
# trained on small images of digits, and turns the dial. We measure energy, entropy and heat capacity exactly,
# then with two methods that still work when no exact sum is possible, and in the end ask whether
# a temperature can be read off the weights.
#
# **What you will do**
#
# - compute the thermodynamics of a trained RBM with $2^{80}$ states, exactly, in seconds;
# - look at exact samples from the same model at four temperatures;
# - get all curves at once from a single annealing run, and find out how many temperatures it takes;
# - get them without any sampling from mean-field and TAP theory, and see where these break down;
# - follow the effective temperature of a machine through its training;
# - find the one temperature that is right for inferring what was hidden in a spin glass (B28).
#
# **What you will learn**
#
# - how the law of total variance turns $2^{80}$ terms into $2^{16}$ (B6);
# - why importance weights along a path are unbiased at *every* temperature on the way, and why the
#   heat capacity is so much noisier than $\ln Z$;
# - why TAP theory needs no derivative of the magnetisations to yield energy and entropy;
# - what $T_{\rm eff} \sim 1 / \|W\|$ means, where it is exact and where it is not (B7).
#
# **What you need**: chapter 1 (derivatives of $\ln Z$), chapter 2 (summing one layer out of an RBM),
# and singular values. Annealed importance sampling and the TAP equations are the subject of other
# chapters; what is needed of them is derived or stated here. You also need this project, installed.
#
# **Time**: about two hours and a half, and two hours for the exercises. The code runs in a minute or two.
#
# Equation numbers such as (B6) are the row names used in the whole course, in the library's
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

# %%
import itertools
import math
import os
from functools import partial

import keras
import matplotlib.pyplot as plt
import numpy as np

from rbm_tf import BernoulliRBM, annealing, datasets, enumeration, ising, mean_field, plotting
from rbm_tf.course import shipped
from rbm_tf.machine import Machine
from rbm_tf.thermodynamics import annealed_thermodynamics, effective_temperature, tap_thermodynamics

# %%
seed = 0
num_visible, num_hidden = 64, 16  # images of 8 x 8 pixels
epochs = (0, 1, 3, 5, 7, 9, 11, 13, 16, 20, 25, 32, 40, 50, 60, 80, 100)  # of the snapshots
batch_size, learning_rate = 50, 0.1
beta_curve, beta_points = np.linspace(0, 2, 41), np.linspace(0, 2, 21)
sample_betas, num_samples = (0.3, 0.7, 1.0, 2.0), 4000
annealing_betas = np.linspace(0, 2, 201)
chain_numbers, num_runs = (50, 200, 800), 20
tap_betas = np.linspace(0.05, 1.8, 36)
glass_beta, glass_betas = 0.7, np.linspace(0.1, 1.6, 31)  # of the spin glasses
retrain = bool(os.environ.get("RETRAIN"))  # True: train the machine here, some seconds
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 63}])


# %%
def check(left, right, tolerance=1e-10):
    """Raise unless both are equal to the tolerance, relative above 1, absolute below."""
    np.testing.assert_allclose(*np.broadcast_arrays(left, right), rtol=tolerance, atol=tolerance)


def label(axis, title, xlabel, ylabel):
    axis.set(title=title, xlabel=xlabel, ylabel=ylabel)


def binary_states(num_units):
    """All states of binary units, (2 ** num_units, num_units)."""
    return ((np.arange(2**num_units)[:, np.newaxis] >> np.arange(num_units)) & 1).astype(float)


# %% [markdown]
# ## 1. A dial on a trained model
#
# An RBM with visible units $v_i$ and hidden units $h_j$, all 0 or 1, has the energy
#
# $$E(v, h) = -\sum_i a_i v_i - \sum_j b_j h_j - \sum_{ij} v_i W_{ij} h_j , \qquad
#   p_\beta(v, h) = \frac{e^{-\beta E(v, h)}}{Z(\beta)} . \tag{B1, B3}$$
#
# Training makes the data likely at $\beta = 1$. At $\beta = 0$ all states are equally likely, whatever
# the parameters are; as $\beta \to \infty$ only the state of lowest energy survives. From chapter 1,
# all thermodynamic functions come from $\ln Z(\beta)$ by differentiation (B6):
#
# $$U = \langle E \rangle_\beta = -\frac{d \ln Z}{d \beta} \tag{B6a}$$
#
# $$C = \frac{dU}{dT} = \beta^2 \langle\!\langle E^2 \rangle\!\rangle_\beta
#   = \beta^2\, \frac{d^2 \ln Z}{d \beta^2} \tag{B6b, B6c}$$
#
# $$S = \ln Z + \beta U , \qquad F = -\tfrac1\beta \ln Z = U - T S . \tag{B6d}$$
#
# $U$ is the mean energy, $C$ the heat capacity, $S$ the entropy and $F$ the free energy;
# $\langle\!\langle E^2 \rangle\!\rangle$ is the variance of the energy. Two slopes are worth keeping
# in mind: $dU/d\beta = -\langle\!\langle E^2 \rangle\!\rangle \le 0$ and $dS/d\ln\beta = -C \le 0$.
# Cooling lowers both the energy and the entropy, and $C$ says how fast the entropy goes: $C$ nats for
# each unit of $\ln \beta$, or about $C / 100$ nats for each per cent of $\beta$.
#
# In chapter 1 the parameters were random. Here they are learned: 64 visible units for the 8 × 8
# images of handwritten digits that come with scikit-learn, 16 hidden units, trained by persistent
# contrastive divergence. Section 9 will ask what happens *during* training, so we keep a copy of the
# parameters from time to time. These copies come with the course. To train the machine in front of you, set
# `retrain = True` above. This overwrites the files in the folder `models`. On another processor training rounds
# differently, and small differences grow: from about epoch 15 on, expect numbers a little different then from
# those in the text.
#
# After training come the curves from $\beta = 0$ to $\beta = 2$, exactly. How such a sum is possible is
# the subject of the next section. The 41 points of each curve come with the course, too; the next section sums every
# second one anew. First the checks that follow from (B6) alone: the values at
# $\beta = 0$, the signs of the slopes, and $U$ and $C$ against finite differences of $\ln Z$.

# %%
(x_train, _), (x_test, _) = datasets.load_digits("bernoulli", seed=seed)
x_train, x_test = (x.reshape(len(x), -1) for x in (x_train, x_test))


def train():
    """Kernel, visible and hidden bias after each of the numbers of epochs."""
    rbm = BernoulliRBM(num_visible, num_hidden, seed=seed)
    num_batches = math.ceil(len(x_train) / batch_size)
    rbm.compile(keras.optimizers.SGD(learning_rate), steps_per_execution=num_batches)
    copies = [rbm.machine.parameters]
    for done, epoch in itertools.pairwise(epochs):
        rbm.fit(x_train, batch_size=batch_size, epochs=epoch - done, verbose=0)
        copies.append(rbm.machine.parameters)
    kernels, visible_biases, hidden_biases = zip(*copies, strict=True)
    return {"kernel": kernels, "visible_bias": visible_biases, "hidden_bias": hidden_biases}


# %% name="train"
copies = shipped("05_snapshots", train, retrain=retrain).values()  # (17, ..) each
snapshots = {epoch: Machine(*values) for epoch, *values in zip(epochs, *copies, strict=True)}
rbm = BernoulliRBM.from_parameters(*(values[-1] for values in copies), seed=seed)
log_z = enumeration.log_z(rbm)
for name, x in (("training", x_train), ("test", x_test)):
    likelihood = -np.mean(rbm.free_energy(x), dtype=float) - log_z  # (B5)
    print(f"{name} data: mean ln p(v) = {likelihood:.3f} nats")


# %%
def exact_curves():
    return enumeration.thermodynamics(rbm, beta_curve)._asdict()


exact = enumeration.Thermodynamics(**shipped("05_exact", exact_curves, retrain=retrain))
step = 1e-3
below, at_one, above = (enumeration.thermodynamics(rbm, [1 + d]) for d in (-step, 0, step))
slope, bend = above.log_z - below.log_z, above.log_z - 2 * at_one.log_z + below.log_z
W, a, b = (np.asarray(x, float) for x in rbm.machine.parameters)
check(exact.entropy[0], 80 * math.log(2))
assert exact.heat_capacity[0] == 0
check(exact.energy[0], -(a.sum() + b.sum()) / 2 - W.sum() / 4, tolerance=1e-6)
assert np.all(np.diff(exact.energy) < 0) and np.all(np.diff(exact.entropy) < 0)
check(at_one.energy, -slope / (2 * step), tolerance=1e-5)  # (B6a)
check(at_one.heat_capacity, bend / step**2, tolerance=1e-5)  # (B6b, B6c)

# %% name="values"
print(f"beta = 0: S = 80 ln 2 = {exact.entropy[0]:.3f} nats, U = {exact.energy[0]:.3f} nats")
print(f"beta = 1: U = {at_one.energy[0]:.3f}, S = {at_one.entropy[0]:.3f} nats", end=", ")
print(f"F = {-at_one.log_z[0]:.3f}, C = {at_one.heat_capacity[0]:.3f} nats")
peak = np.argmax(exact.heat_capacity)
print(f"C is largest at beta = {beta_curve[peak]:.3f}: {exact.heat_capacity[peak]:.3f} nats")

# %% name="thermodynamics" alt="Three curves over beta from 0 to 2: the energy falls from 64 to -40 nats, the entropy from 55 to 14, the heat capacity rises from 0 to a broad maximum at 1.6."
panels = [
    ("Mean energy $U$", "$U$ (nats)", exact.energy, blue),
    ("Entropy $S$", "$S$ (nats)", exact.entropy, green),
    ("Heat capacity $C$", "$C$ (nats)", exact.heat_capacity, orange),
]
assert 1.1 < beta_curve[peak] < 1.9
figure, axes = plt.subplots(1, 3, figsize=(10, 3.3))
for axis, (title, ylabel, values, colour) in zip(axes, panels, strict=True):
    axis.plot(beta_curve, values, color=colour)
    axis.axvline(1, color=grey, ls="--", lw=1)
    label(axis, title, r"inverse temperature $\beta$", ylabel)
plt.show()

# %% [markdown]
# Between $\beta = 0$ and $\beta = 1$, the temperature of training (dashed), the machine loses about
# half of its 55.5 nats of entropy. Its heat capacity is still rising there, towards a broad maximum at
# a lower temperature (printed above). A machine with few units has no phase transition: its $\ln Z$ is the logarithm
# of a finite sum of exponentials, and hence as smooth as one can wish. Remember this when mean-field
# theory announces one in section 6.
#
# ## 2. From $2^{80}$ terms to $2^{16}$: the law of total variance
#
# The averages of (B6) ask for a sum over $2^{80} \approx 10^{24}$ states, which is out of the question. But the restriction in the name of
# the RBM helps. Hold $h$ fixed and collect the terms of (B1) that contain $v_i$:
#
# $$E(v, h) = -b \cdot h - \sum_i x_i v_i , \qquad x_i(h) = a_i + \sum_j W_{ij} h_j . \tag{2.1}$$
#
# No term couples two visible units. As in chapter 2, the sum over $v$ is then a product with one
# factor for each unit, and the visible units are independent:
#
# $$Z(\beta) = \sum_h g_\beta(h) , \qquad
#   g_\beta(h) = \sum_v e^{-\beta E(v, h)} = e^{\beta\, b \cdot h} \prod_i \big( 1 + e^{\beta x_i} \big) ,
#   \qquad p_\beta(h) = \frac{g_\beta(h)}{Z(\beta)} , \tag{2.2}$$
#
# $$p_\beta(v | h) = \prod_i p_\beta(v_i | h) , \qquad
#   p_\beta(v_i = 1 | h) = \pi_i = \sigma(\beta x_i) . \tag{2.3}$$
#
# So $p_\beta(v, h)$ is a *mixture*: one component for each $h$, with the weight $p_\beta(h)$, and
# within a component $E$ is a constant plus a sum of independent terms. The term $x_i v_i$ has the
# mean $x_i \pi_i$ and the variance $x_i^2 \pi_i (1 - \pi_i)$. Independent terms add in both:
#
# $$\langle E | h \rangle = -b \cdot h - \sum_i x_i \pi_i , \qquad
#   \mathrm{Var}(E | h) = \sum_i x_i^2\, \pi_i (1 - \pi_i) . \tag{2.4}$$
#
# The mean over the mixture is the mean of the means, $U = \langle\, \langle E | h \rangle\, \rangle$.
# For the variance, average the square in two steps, first within a component, where
# $\langle E^2 | h \rangle = \mathrm{Var}(E|h) + \langle E | h \rangle^2$ by the definition of a variance:
#
# $$\langle E^2 \rangle = \sum_h p_\beta(h)\, \langle E^2 | h \rangle
#   = \big\langle \mathrm{Var}(E | h) \big\rangle + \big\langle \langle E | h \rangle^2 \big\rangle . \tag{2.5}$$
#
# Subtract $U^2 = \big\langle \langle E | h \rangle \big\rangle^2$. The last two terms combine to the
# variance of $\langle E | h \rangle$ over $h$, and what results is the *law of total variance*:
#
# $$\boxed{\; \frac{C}{\beta^2} = \langle\!\langle E^2 \rangle\!\rangle
#   = \underbrace{\big\langle \mathrm{Var}(E | h) \big\rangle}_{\text{within}}
#   + \underbrace{\mathrm{Var}\big( \langle E | h \rangle \big)}_{\text{between}} \;} \tag{2.6}$$
#
# This is all that `enumeration.thermodynamics` does, in blocks of $2^{12}$ hidden states. It also
# tells us something: the first part is the noise of the pixels while the hidden units stand still,
# the second comes from the hidden units changing.
#
# **Check against the exact result**: (2.2) to (2.6) in a few lines of NumPy, against the library.

# %%
kernel, visible_bias, hidden_bias = (np.asarray(x, float) for x in rbm.machine.parameters)
hidden_states = binary_states(num_hidden)  # (65536, 16)
hidden_energy = -hidden_states @ hidden_bias  # -b.h
visible_input = visible_bias + hidden_states @ kernel.T  # x, (2.1), (65536, 64)


# %%
def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def mixture(beta):
    """p(h) and ln Z (2.2), <E|h> and Var(E|h) (2.4)."""
    on = sigmoid(beta * visible_input)
    softplus = beta * visible_input - np.log(on)  # ln(1 + e^x) = x - ln sigma(x)
    log_weight = -beta * hidden_energy + softplus.sum(axis=1)
    weight = np.exp(log_weight - log_weight.max())
    log_z = log_weight.max() + np.log(weight.sum())
    mean = hidden_energy - np.sum(visible_input * on, axis=1)
    variance = np.sum(visible_input**2 * on * (1 - on), axis=1)
    return weight / weight.sum(), log_z, mean, variance


# %% name="parts"
points, parts = type(exact)(*(values[::2] for values in exact)), []
for index, beta in enumerate(beta_points):
    p, log_z, mean, variance = mixture(beta)
    within, between = p @ variance, p @ (mean - p @ mean) ** 2  # (2.6)
    parts.append((within * beta**2, between * beta**2))
    check([points.betas[index], points.log_z[index]], [beta, log_z])  # (2.2)
    check(p @ mean, points.energy[index], tolerance=1e-8)
    check(sum(parts[-1]), points.heat_capacity[index], tolerance=1e-8)  # (2.6)
within, between = np.transpose(parts)
for index in (2, 10, 20):
    print(f"beta = {beta_points[index]:.1f}: C = {within[index]:.3f} (within)", end=" + ")
    print(f"{between[index]:.3f} (between) = {points.heat_capacity[index]:.3f} nats")

# %% name="two-sources" alt="Heat capacity over beta, split in two: pixels make nearly all of it up to 0.4; the part of the hidden units grows to about half at beta = 2."
figure, axis = plt.subplots(figsize=(7, 3.2))
colours, names = ("#56B4E9", "#E69F00"), ("within: pixels, $h$ fixed", "between: hidden units")
axis.stackplot(beta_points, within, between, colors=colours, alpha=0.7, labels=names)
axis.plot(beta_curve, exact.heat_capacity, color="black", label="$C$, library")
label(axis, "Two sources of the heat capacity", r"inverse temperature $\beta$", "$C$ (nats)")
axis.set_ylim(0, 26)
axis.legend(loc="upper left", ncols=3)
plt.show()

# %% [markdown]
# At high temperature almost all fluctuations come from single pixels. As the model cools, the share
# of the hidden units grows steadily, and at $\beta = 2$ it is about half: given $h$, more and more
# pixels have made up their minds, and what varies is increasingly *which* picture the machine has in
# mind.
#
# ## 3. What the temperatures look like
#
# The mixture (2.2), (2.3) is also a recipe for *exact* samples: draw $h$ from its list of $2^{16}$
# probabilities, then every pixel from $p_\beta(v_i | h)$. No Markov chain, no waiting for
# equilibrium.
#
# **Check**: the mean energy of 4,000 samples, and their energy variance, against the exact values,
# within 5 standard errors. As a measure of variety we print $e^{S_h}$ with the entropy
# $S_h = -\sum_h p_\beta(h) \ln p_\beta(h)$ of the hidden layer alone: the number of equally likely
# hidden states that would have the same entropy.


# %%
def exact_samples(beta, num, rng):
    """Independent draws of (v, h) at beta, and the probabilities of all h."""
    p = mixture(beta)[0]
    chosen = rng.choice(len(p), size=num, p=p)
    v = rng.random((num, num_visible)) < sigmoid(beta * visible_input[chosen])  # (2.3)
    return v.astype(float), hidden_states[chosen], p


def hidden_entropy(p):
    return -np.sum(p[p > 0] * np.log(p[p > 0]))


# %%
rng, drawn = np.random.default_rng(seed), {}
known = enumeration.thermodynamics(rbm, sample_betas)
for index, beta in enumerate(sample_betas):
    v, h, p = exact_samples(beta, num_samples, rng)
    energy = -v @ visible_bias - h @ hidden_bias - np.sum(v @ kernel * h, axis=1)  # (B1)
    squares = (energy - energy.mean()) ** 2
    for x, value in ((energy, known.energy), (squares, known.heat_capacity / known.betas**2)):
        deviation = (x.mean() - value[index]) / (x.std() / math.sqrt(num_samples))
        assert abs(deviation) < 5
    drawn[beta] = v
    print(f"beta = {beta}: mean energy {energy.mean():.2f}, exact {known.energy[index]:.2f} nats; ")
    print(f"    S = {known.entropy[index]:.2f} nats, {np.exp(hidden_entropy(p)):.0f} hidden states")

# %% name="samples" alt="Twenty 8 x 8 samples each at beta 0.3, 0.7, 1 and 2: noise, rough shapes, varied digits, and thick strokes that repeat."
figure, axes = plt.subplots(1, 4, figsize=(10, 3))
for axis, (beta, v) in zip(axes, drawn.items(), strict=True):
    plotting.image_grid(axis, v[:20].reshape(-1, 8, 8), columns=4)
    axis.set_title(rf"$\beta = {beta}$, $T = {1 / beta:.1f}$")
plt.show()

# %% [markdown]
# At $\beta = 0.3$ the strokes drown in noise: the model is so hot that all but the most reliable
# pixels, such as the white margins, are nearly coins. At $\beta = 0.7$ shapes begin to show. At
# $\beta = 1$ the samples are as varied and as noisy as the training data (which are binary because a
# coin was tossed for each grey pixel, so they *are* noisy). At $\beta = 2$ they are clean and bold, and
# they repeat themselves: thick vertical strokes again and again. The hidden layer uses 161 states
# there, in the sense of $e^{S_h}$, instead of 7,020 at $\beta = 1$. Lowering the temperature to get
# prettier samples is a common trick with generative models. Variety is what it costs.
#
# ## 4. All curves from one annealing run
#
# With 500 hidden units, $2^{500}$ components cannot be listed. Simulations can still be run, and one
# of them is made for a question about *all* temperatures. *Annealed importance sampling* takes a
# number of independent chains from $\beta_0 = 0$, where sampling is trivial, up a ladder
# $\beta_1 < \beta_2 < \dots$, and keeps an importance weight for each chain. Let
#
# $$f_\beta(v) = \sum_h e^{-\beta E(v, h)} , \qquad Z(\beta) = \sum_v f_\beta(v) , \tag{4.1}$$
#
# the same as $g_\beta(h)$ with the layers exchanged: the library conditions on $v$ here. Draw $v_0$
# uniformly, which is $f_0(v) / Z_0$, and set $w_0 = 1$. Then, for $k = 1, 2, \dots$,
#
# $$w_k = w_{k-1}\, \frac{f_{\beta_k}(v_{k-1})}{f_{\beta_{k-1}}(v_{k-1})} , \qquad
#   v_k \sim T_k(v_{k-1} \to v_k) , \tag{4.2}$$
#
# where $T_k$ is one sweep of Gibbs sampling at $\beta_k$. All that we need to know of it is that it
# leaves its own equilibrium alone, $\sum_v f_{\beta_k}(v)\, T_k(v \to v') = f_{\beta_k}(v')$. The
# chains need not come *into* equilibrium, and in general they do not.
#
# **Claim.** For every $k$ and every state $v$, the expected weight that sits on $v$ is
#
# $$\mathbb{E}\big[ w_k\, \mathbb{1}(v_k = v) \big] = \frac{f_{\beta_k}(v)}{Z_0} . \tag{4.3}$$
#
# *Proof* by induction. For $k = 0$ it is the uniform start. If it holds for $k - 1$, multiplying the
# weight by the ratio in (4.2) turns $f_{\beta_{k-1}}(v) / Z_0$ into $f_{\beta_k}(v) / Z_0$. The sweep
# then moves this mass about,
#
# $$\sum_v \frac{f_{\beta_k}(v)}{Z_0}\, T_k(v \to v') = \frac{f_{\beta_k}(v')}{Z_0} , \tag{4.4}$$
#
# because $T_k$ leaves $f_{\beta_k}$ alone. That is (4.3) for $k$. $\square$
#
# Sum (4.3) over $v$, with a factor of 1 or of any function $g(v)$:
#
# $$\boxed{\; \mathbb{E}[w_k] = \frac{Z(\beta_k)}{Z_0} , \qquad
#   \mathbb{E}\big[ w_k\, g(v_k) \big] = \frac{Z(\beta_k)}{Z_0}\, \langle g \rangle_{\beta_k} \;} \tag{4.5}$$
#
# So one run serves every temperature that it passes. With $n$ chains and $Z_0 = 2^{80}$,
#
# $$\ln Z(\beta_k) \approx \ln Z_0 + \ln \frac1n \sum_{c=1}^n w_k^{(c)} , \qquad
#   U(\beta_k) \approx \frac{\sum_c w_k^{(c)} \langle E | v_k^{(c)} \rangle}{\sum_c w_k^{(c)}} , \tag{4.6}$$
#
# and $C$ is $\beta_k^2$ times the weighted average of
# $\mathrm{Var}(E | v) + (\langle E | v \rangle - U)^2$, which is (2.6) with $v$ in place of $h$. The
# entropy is (B6d). `annealed_thermodynamics` returns all of them. The mean weight is unbiased. Its
# logarithm and the ratio are not, but their bias shrinks like $1/n$.
#
# **Check against the exact result**, without any randomness. A tiny RBM has 8 visible states, so we
# can follow the *expected* weight on each of them through (4.2), with $T_k$ as an 8 × 8 matrix. The
# ladder is absurdly coarse, and (4.3) holds nevertheless.

# %%
tiny_rng = np.random.default_rng(seed)
tiny = Machine(*(tiny_rng.normal(0, 1.5, shape) for shape in ((3, 2), 3, 2)))
tiny_v, tiny_h = binary_states(3), binary_states(2)
linear = (tiny_v @ tiny.visible_bias)[:, np.newaxis] + tiny_h @ tiny.hidden_bias
tiny_energy = -linear - tiny_v @ tiny.kernel @ tiny_h.T  # E(v, h), (8, 4)
mass, old = np.full(8, 1 / 8), np.full(8, 4.0)  # f_0(v) / Z_0 and f_0(v)
for beta in (0.6, 1.5):
    table = np.exp(-beta * tiny_energy)
    new = table.sum(axis=1)  # f_beta(v), (4.1)
    sweep = (table / new[:, np.newaxis]) @ (table / table.sum(axis=0)).T  # p(h|v) p(v'|h)
    mass, old = (mass * new / old) @ sweep, new  # (4.2), on average
    check(mass, new / 32)  # (4.3)
    energy = mass @ (np.sum(table * tiny_energy, axis=1) / new) / mass.sum()  # (4.5)
    check(energy, enumeration.thermodynamics(tiny, [beta]).energy)
    print(f"beta = {beta}: mean weight {mass.sum():.6f}, Z/Z_0 {table.sum() / 32:.6f}")

# %% [markdown]
# Now the digits. For 50, 200 and 800 chains we made 20 independent runs each; they come with the course. The standard deviation
# over the runs is the error bar of *one* run; the standard error of the mean of all is $\sqrt{20}$
# times smaller, and with it we **check against the exact result**, at 5 standard errors, at four
# temperatures. At $\beta = 1$ we print how the error bars depend on the number of chains.

# %%
names, every_tenth = ("log_z", "energy", "heat_capacity"), annealing_betas[::10]


def annealed_runs():
    """ln Z, U and C of each run at every tenth temperature, (num_runs, 21)."""
    tables = {}
    for number in chain_numbers:
        run = partial(annealed_thermodynamics, rbm, annealing_betas, num_chains=number)
        curves = [run(seed=index) for index in range(num_runs)]
        for name in names:
            tables[f"{name} {number}"] = [getattr(curve, name)[::10] for curve in curves]
    return tables


# %%
tables = shipped("05_annealed", annealed_runs, retrain=retrain)
runs = {k: {name: tables[f"{name} {k}"] for name in names} for k in chain_numbers}
target = enumeration.thermodynamics(rbm, every_tenth[[5, 10, 15, 20]])
for name in names:
    values = runs[800][name][:, [5, 10, 15, 20]]
    standard_error = values.std(axis=0, ddof=1) / math.sqrt(num_runs)
    deviation = (values.mean(axis=0) - getattr(target, name)) / standard_error
    assert np.all(np.abs(deviation) < 5)
    print(f"{name:14s} off by {deviation.round(1)} standard errors")

# %% name="annealing" alt="ln Z, U and C over beta from one run with 50 or 800 chains, and exact: dots on the curves of ln Z and U; for C wide error bars, wider with 50 chains."
figure, axes = plt.subplots(1, 3, figsize=(10, 3.4))
for axis, name, symbol in zip(axes, names, (r"\ln Z", "U", "C"), strict=True):
    axis.plot(beta_curve, getattr(exact, name), color="black", lw=1, label="exact")
    for num_chains, colour in ((50, orange), (800, blue)):
        values, text = runs[num_chains][name][:, 1:], f"one run, {num_chains} chains"
        style = {"fmt": "o", "ms": 3, "color": colour, "label": text}
        axis.errorbar(every_tenth[1:], values[0], values.std(axis=0, ddof=1), **style)
    label(axis, f"${symbol}$ by annealing", r"inverse temperature $\beta$", f"${symbol}$ (nats)")
axes[1].legend()
plt.show()
error_bars = np.array([[run[name][:, 10].std(ddof=1) for name in names] for run in runs.values()])
for num_chains, row in zip(runs, error_bars, strict=True):
    print("{:3d} chains, beta = 1: {:.3f} (ln Z) {:.3f} (U) {:.3f} (C)".format(num_chains, *row))

# %% [markdown]
# The error bars shrink roughly like $1/\sqrt n$, as they should. On the left they are too small to be
# seen; on the right they are the story. Why is $C$ so much noisier than $U$, and $U$ so much
# noisier than $\ln Z$?
#
# Chains with very different weights count as fewer chains. Their *effective number* is
#
# $$n_{\rm eff} = \frac{\big( \sum_c w^{(c)} \big)^2}{\sum_c \big( w^{(c)} \big)^2} \le n . \tag{4.7}$$
#
# - $\ln Z$ is the logarithm of a mean weight. If the weights have a relative variance $r$, the mean of
#   $n$ has the relative error $\sqrt{r / n}$, which is the absolute error of its logarithm. By (4.7),
#   $n / n_{\rm eff} \approx \langle w^2 \rangle / \langle w \rangle^2 = 1 + r$, hence
#   $\delta \ln Z \approx \sqrt{1/n_{\rm eff} - 1/n}$. It vanishes for a fine ladder: all weights are
#   equal then.
# - $U$ is the average of something that varies from state to state, with the variance $C / \beta^2$,
#   however fine the ladder is: $\delta U \approx \sqrt{C / n_{\rm eff}} / \beta$. (A little less,
#   because the average over $h$ given $v$ is taken exactly.)
# - $C$ needs the *variance* of the same thing, a second cumulant, and its sampling error involves the
#   fourth. For $n_{\rm eff}$ nearly Gaussian energies, $\delta C \approx C \sqrt{2 / n_{\rm eff}}$: the
#   price of a cumulant rises with its order, as in section 9 of chapter 1.
#
# So $\delta U / \delta \ln Z$ grows with $\sqrt C / \beta$, the standard deviation of the energy, and
# $\delta C / \delta U \approx \beta \sqrt{2 C}$ grows with it again. One can also read it the other
# way round: $\ln Z = \ln Z_0 - \int U\, d\beta$ *integrates* the noise of $U$ away, while $C$
# *differentiates* it.
#
# **Check.** `ais` makes the same run as `annealed_thermodynamics`, if it is given the same seed and
# the base "uniform", and reports $n_{\rm eff}$.

# %% name="error-bars"
up_to_one = annealing_betas[:101]  # the last one is 1
estimates = [
    annealing.ais(rbm, num_chains=800, betas=up_to_one, seed=run, base="uniform")
    for run in range(num_runs)
]
same = [estimate.log_z for estimate in estimates]
one = annealed_thermodynamics(rbm, annealing_betas, num_chains=800, seed=num_runs - 1)
check(same[-1], one.log_z[100])  # one and the same run
n_eff = np.mean([estimate.effective_sample_size for estimate in estimates])
C_one = at_one.heat_capacity[0]
predicted = [math.sqrt(x) for x in (1 / n_eff - 1 / 800, C_one / n_eff, 2 * C_one**2 / n_eff)]
print(f"800 chains at beta = 1: n_eff = {n_eff:.0f}")
for name, measured, theory in zip(names, error_bars[2], predicted, strict=True):
    print(f"{name:14s} error bar {measured:.4f} nats, predicted {theory:.4f} nats")

# %%
own_error = 1 / math.sqrt(2 * (num_runs - 1))  # of an error bar, relative
assert np.all(np.abs(error_bars[2] / predicted - 1) < 2 * own_error)
shrunk = error_bars[0] / error_bars[2]  # by 4, if like the square root
assert np.all(np.abs(np.log(shrunk / 4)) < 3 * math.sqrt(2) * own_error)

# %% [markdown]
# Twenty runs measure an error bar with an uncertainty of their own, about $1 / \sqrt{2 \cdot 19} = 16$ %. To within
# twice this uncertainty the three estimates explain the table. They leave out some corrections. One of these makes
# the last two estimates a little too large: the library averages over $h$ given $v$ exactly. That part of $C$,
# $\langle \mathrm{Var}(E|v) \rangle \approx 4$ of its 20 nats (section 5), is not left to the samples.
#
# ## 5. When it fails: five temperatures
#
# (4.5) holds for any ladder. So why 200 rungs, why not 5? Because an expectation may be correct and
# still be of no use, if it consists of rare events. Let us first predict what will happen.
#
# **How much variance a ladder makes.** For a small step $t$ from $\beta$ to $\beta + t$ the
# logarithm of the ratio in (4.2) is about $-t \langle E | v \rangle$, so by (2.6) its variance is at
# most $t^2 \langle\!\langle E^2 \rangle\!\rangle_\beta$. If every sweep brings a fresh state of
# equilibrium, the steps are independent and their variances add. With equal steps the sum is an
# integral, and by (B6b) the integrand is a derivative:
#
# $$\mathrm{Var}(\ln w) \approx \sum_k t^2 \langle\!\langle E^2 \rangle\!\rangle_{\beta_k}
#   \approx t \int_0^1 \langle\!\langle E^2 \rangle\!\rangle_\beta\, d\beta
#   = -t \int_0^1 \frac{dU}{d\beta}\, d\beta = t\, \big[ U(0) - U(1) \big] : \tag{5.1}$$
#
# the step, times the energy that the model loses on the way down. Sums of many independent terms are
# nearly Gaussian. A Gaussian $x = \ln w$ of mean $\mu$ and variance $\sigma^2$ has
# $\ln \langle e^{x} \rangle = \mu + \frac12 \sigma^2$ and $\ln \langle e^{2x} \rangle = 2 \mu + 2 \sigma^2$
# (chapter 1), so that
#
# $$\frac{n_{\rm eff}}{n} \approx \frac{\langle w \rangle^2}{\langle w^2 \rangle} = e^{-\sigma^2}
#   \approx e^{-t [U(0) - U(1)]} . \tag{5.2}$$
#
# The cost of a coarse ladder is exponential. Now the experiment: from 0 to 1 with 5, 17, 65 and 257
# temperatures, 100 chains, 20 runs each.

# %% name="ladders"
fall, truth = exact.energy[0] - at_one.energy[0], [getattr(at_one, name)[0] for name in names]
print(f"U(0) - U(1) = {fall:.2f} nats, exact C = {C_one:.2f} nats")
print("temperatures    (5.1)   n_eff   (5.2)   error of ln Z, U, C    error claimed for ln Z")
coarse, table, runs = {}, {}, range(num_runs)
for num_betas in (5, 17, 65, 257):
    ladder = np.linspace(0, 1, num_betas)
    curves = [annealed_thermodynamics(rbm, ladder, num_chains=100, seed=run) for run in runs]
    same = [annealing.ais(rbm, betas=ladder, base="uniform", seed=run) for run in runs]
    last = np.array([[getattr(c, name)[-1] for name in names] for c in curves])
    check(last[:, 0], [e.log_z for e in same])
    n_eff = np.mean([e.effective_sample_size for e in same])
    claimed, spread = np.mean([e.standard_error for e in same]), fall / (num_betas - 1)  # (5.1)
    coarse[num_betas], mean_error = last, np.mean(last - truth, axis=0)
    row = table[num_betas] = num_betas, spread, n_eff, 100 * math.exp(-spread), *mean_error, claimed
    print("{:12d} {:8.2f} {:7.1f} {:7.1f} {:7.2f} {:6.2f} {:6.2f} {:14.2f}".format(*row))

# %% name="coarse-ladders" alt="Dots of 20 runs with 5, 17, 65 and 257 temperatures against exact lines: with 5, ln Z is 3 nats too low and C mostly too small; with 257 all lie close."
pixel_input = hidden_bias + drawn[1.0] @ kernel  # inputs of the hidden units, exact samples
given_v = np.sum(pixel_input**2 * sigmoid(pixel_input) * sigmoid(-pixel_input), axis=1)
assert given_v.mean() < C_one / 3
print(f"<Var(E|v)> at beta = 1: {given_v.mean():.2f} nats, part of C = {C_one:.2f} nats")
figure, axes = plt.subplots(1, 3, figsize=(10, 3.3))
for column, (axis, symbol) in enumerate(zip(axes, (r"\ln Z", "U", "C"), strict=True)):
    for place, values in enumerate(coarse.values()):
        x = place + np.linspace(-0.2, 0.2, num_runs)
        axis.plot(x, values[:, column], "o", ms=3, color=orange if place == 0 else blue)
    axis.axhline(truth[column], color="black", lw=1)
    axis.set_xticks(range(4), coarse)
    label(axis, f"${symbol}$ at $\\beta = 1$", "number of temperatures", f"${symbol}$ (nats)")
plt.show()

# %%
off = {number: values - truth for number, values in coarse.items()}  # (num_runs, 3) each
assert table[5][2] < 6 and off[5][:, 0].mean() < -3 * table[5][-1]  # n_eff; the error claimed
assert abs(off[5][:, 1].std() - 2) < 0.7 and np.mean(coarse[5][:, 2] < 0.7 * C_one) > 0.5
standard_error = off[257].std(axis=0, ddof=1) / math.sqrt(num_runs)
assert np.all(np.abs(off[257].mean(axis=0)) < 5 * standard_error)  # all is well
assert abs(table[257][2] / table[257][3] - 1) < 0.15 and table[17][2] > 10 * table[17][3]  # (5.2)

# %% name="five-temperatures"
five = np.linspace(0, 1, 5)
many = [
    annealing.ais(rbm, num_chains=100_000, betas=five, seed=run, base="uniform") for run in range(4)
]
log_weights = np.concatenate([x.log_weights for x in many])
print(f"5 temperatures: Var(ln w) = {log_weights.var():.1f}; (5.1) says {fall / 4:.1f}")

# %% name="more-chains"
biases, numbers = [], (100, 1000, 10_000, 100_000)
for number in numbers:
    rows = np.exp(log_weights.reshape(-1, number) - truth[0])  # repeats with so many chains each
    errors, n_eff = np.log(rows.mean(axis=1)), rows.sum(axis=1) ** 2 / np.sum(rows**2, axis=1)
    biases.append(errors.mean())
    text = "{:7d} chains: ln Z off by {:+.2f} nats on average, typical n_eff {:.1f}"
    print(text.format(number, biases[-1], np.median(n_eff)))
assert biases[0] < biases[1] < -0.8 and biases[1] < biases[2] < 0 and abs(biases[3]) < 1.5
assert np.median(n_eff) < 100  # of 100,000 chains
assert abs(np.mean(coarse[17] - truth, axis=0)[0]) < -biases[2]  # 17 temperatures, 100 chains

# %% [markdown]
# Every dot is a run, the black lines are exact. With 257 temperatures all is well. With 5 (orange) a
# hundred chains are worth about three, and three things go wrong at once:
#
# - $\ln Z$ comes out about 3 nats too low, and its own error estimate, 0.6 nats, does not know. The
#   missing weight is in states that 100 chains did not visit. This is Jensen's inequality at work:
#   the mean weight is unbiased, so its *logarithm* is too low on average.
# - $U$ scatters by about two nats: it is the energy of two or three states.
# - $C$ comes out far too low in most runs. With a single chain carrying all the weight,
#   $\langle E | v \rangle - U$ is zero for this chain, and the whole second part of (2.6) is gone; only
#   $\langle \mathrm{Var}(E|v) \rangle$ remains, a small part of $C$. A heat capacity that is too
#   small looks like a machine frozen in one state; here it is the *simulation* that is.
#
# The law (5.2) is good for fine ladders and too pessimistic for coarse ones. On fine ones its exponent
# is a little too large, and the predicted $n_{\rm eff}$ too small. One reason is that it counts the variance of the
# hidden units, which the library has summed out. On coarse ones the reason is the sample: 100 weights
# cannot show a relative variance of $e^{23}$, since the largest weights are never among them. The
# symptom to look for is $n_{\rm eff}$, not the error bar.
#
# How many chains would do with 5 temperatures? The last cell counts. The average error of $\ln Z$ shrinks
# with the number of chains, but slowly: it is about a nat with a thousand chains, and some tenths of a nat with ten
# thousand. Of a hundred thousand chains fewer than a hundred are effective, and the average of the few repeats that
# we have is not known to better than some tenths. The estimate of chapter 4 has that
# order of magnitude: for Gaussian $\ln w$ of variance $\sigma^2$, $\mathrm{KL}(p \| q)$ is $\frac12 \sigma^2$, and (3.2) there
# asks for $e^{\sigma^2 / 2}$ chains, about $e^{12} \approx 160{,}000$ here. A *small* error bar needs many more than
# $e^{\sigma^2}$ chains, by (5.2). A finer ladder is cheaper, because its exponent is proportional to the
# step: 100 chains with 17 temperatures have a smaller error than ten thousand with 5.
#
# ## 6. Without samples: mean field and TAP
#
# *TAP theory* (Thouless, Anderson and Palmer) replaces the sum over states by an equation for the
# *magnetisations* $m_i = \langle v_i \rangle$ and $n_j = \langle h_j \rangle$. Its free energy at
# inverse temperature $\beta$ is, with $c_i = m_i (1 - m_i)$ and $d_j = n_j (1 - n_j)$,
#
# $$\Gamma(\beta; m, n) = -S_{\rm mf} + \beta E_1 - \frac{\beta^2}{2} A_2 - \frac{2 \beta^3}{3} A_3 , \tag{6.1}$$
#
# $$\begin{aligned}
# S_{\rm mf} &= -\sum_i \big[ m_i \ln m_i + (1 - m_i) \ln (1 - m_i) \big]
#   {} - \sum_j \big[ n_j \ln n_j + (1 - n_j) \ln (1 - n_j) \big] , \\
# E_1 &= -a \cdot m - b \cdot n - \textstyle\sum_{ij} m_i W_{ij} n_j , \qquad
# A_2 = \textstyle\sum_{ij} W_{ij}^2\, c_i d_j , \\
# A_3 &= \textstyle\sum_{ij} W_{ij}^3\, c_i \big( \tfrac12 - m_i \big)\, d_j \big( \tfrac12 - n_j \big) .
# \end{aligned} \tag{6.2}$$
#
# Order 1, *naive mean field*, keeps the first two terms: entropy and energy of independent units.
# Order 2 adds $A_2$, the *Onsager term*, and order 3 adds $A_3$. (They are the beginning of an
# expansion in powers of $\beta$; row B26 has more on it.) The magnetisations are those at which $\Gamma$
# is stationary, and $-\ln Z(\beta)$ is approximated by its value there:
#
# $$\frac{\partial \Gamma}{\partial m_i} = \frac{\partial \Gamma}{\partial n_j} = 0 \quad
#   \text{at } m^*(\beta), n^*(\beta) , \qquad
#   \ln Z(\beta) \approx -\Gamma\big( \beta; m^*(\beta), n^*(\beta) \big) . \tag{6.3}$$
#
# **Energy: the envelope theorem.** We need $U = -d \ln Z / d\beta$, so differentiate (6.3). $\Gamma$
# depends on $\beta$ directly and through the magnetisations:
#
# $$U = \frac{d \Gamma}{d\beta} = \frac{\partial \Gamma}{\partial \beta}
#   + \sum_i \underbrace{\frac{\partial \Gamma}{\partial m_i}}_{0} \frac{d m_i^*}{d\beta}
#   + \sum_j \underbrace{\frac{\partial \Gamma}{\partial n_j}}_{0} \frac{d n_j^*}{d\beta}
#   = \frac{\partial \Gamma}{\partial \beta} . \tag{6.4}$$
#
# However fast the magnetisations move, they contribute nothing, because $\Gamma$ is stationary in
# them. What is left is read off (6.1), where $S_{\rm mf}$, $E_1$, $A_2$ and $A_3$ contain no $\beta$:
#
# $$\boxed{\; U = E_1 - \beta A_2 - 2 \beta^2 A_3 \;} \tag{6.5}$$
#
# **Entropy** by (B6d), $S = \ln Z + \beta U = -\Gamma + \beta U$. Insert (6.1) and (6.5); the
# $\beta E_1$ cancel:
#
# $$S = S_{\rm mf} - \beta E_1 + \frac{\beta^2}{2} A_2 + \frac{2 \beta^3}{3} A_3
#   + \beta E_1 - \beta^2 A_2 - 2 \beta^3 A_3
#   = \boxed{\; S_{\rm mf} - \frac{\beta^2}{2} A_2 - \frac{4 \beta^3}{3} A_3 \;} \tag{6.6}$$
#
# The Onsager term lowers both the energy and the entropy: units that respond to each other are less
# random than independent ones with the same means.
#
# **Heat capacity.** $C = -\beta^2\, dU/d\beta$, but here the trick is used up: $\partial \Gamma /
# \partial \beta$ is not stationary in $m$ and $n$, so their motion counts. `tap_thermodynamics`
# takes finite differences of $U$ over the list of temperatures.
#
# **Check**: (6.5) against a four-point finite difference of the method's own $\ln Z$, and (6.6) from
# the magnetisations, for all three orders.
#
# Consistent with itself is not the same as right. So **against the exact result** next, first at high
# temperature. Each order adds a power of $\beta$, so the error of $\ln Z$ should shrink like
# $\beta^2$ for order 1 and like a higher power for the others. The slope of $\ln |{\rm error}|$
# against $\ln \beta$ tells which; we take it between $\beta = 0.02$ and 0.04. Then all temperatures,
# and whether the iteration has converged: the library puts NaN where it has not. (That takes its
# ten thousand iterations there, so that these curves, too, come with the course.)

# %%
for order, beta in itertools.product((1, 2, 3), (0.3, 1.0)):
    around = beta + 0.01 * np.arange(-2, 3)
    curves = tap_thermodynamics(rbm, around, order=order)
    (f0, f1, _, f3, f4), U = curves.log_z, curves.energy[2]
    check(U, -(8 * (f3 - f1) - (f4 - f0)) / 0.12, tolerance=1e-5)  # (6.4), (6.5)
    scaled = Machine(beta * kernel, beta * visible_bias, beta * hidden_bias)
    point = mean_field.tap(scaled, order=order)
    m, n = point.visible, point.hidden
    c, d, p = m * (1 - m), n * (1 - n), np.append(m, n)
    S = -np.sum(p * np.log(p) + (1 - p) * np.log1p(-p))  # S_mf, (6.2)
    S -= (order >= 2) * beta**2 / 2 * (c @ kernel**2 @ d)
    S -= (order >= 3) * 4 * beta**3 / 3 * ((c * (0.5 - m)) @ kernel**3 @ (d * (0.5 - n)))
    check(curves.entropy[2], S, tolerance=1e-8)  # (6.6)
    print(f"order {order}, beta = {beta}: U = {U:.4f}, S = {S:.4f} nats")

# %%
small = np.array([0.01, 0.02, 0.04])
known = enumeration.thermodynamics(rbm, small)
for order in (1, 2, 3):
    error = np.abs(tap_thermodynamics(rbm, small, order=order).log_z - known.log_z)
    power = math.log2(error[2] / error[1])
    print(f"order {order}: error of ln Z {error[1]:.1e} nats at beta = 0.02, power {power:.2f}")


# %%
def tap_curves():
    """beta, ln Z, U, S and C of each order, (5, 36)."""
    orders = {f"order_{order}": order for order in (1, 2, 3)}
    return {key: tap_thermodynamics(rbm, tap_betas, order=n) for key, n in orders.items()}


tables = shipped("05_tap", tap_curves, retrain=retrain).values()
tap = {order: type(exact)(*rows) for order, rows in enumerate(tables, start=1)}
few = tap_thermodynamics(rbm, tap_betas[18:21], order=2)  # three of them, computed here
check([few.log_z, few.energy], [tap[2].log_z[18:21], tap[2].energy[18:21]], tolerance=1e-6)

# %% name="tap-errors"
known = type(exact)(*(values[1:37] for values in exact))
check(known.betas, tap_betas)
assert np.all(tap[1].log_z <= known.log_z)  # order 1 is a lower bound on ln Z
for order, curves in tap.items():
    converged = ~np.isnan(curves.log_z)
    print(f"order {order}: converged at {converged.sum()} of {len(tap_betas)} temperatures", end="")
    print(f", the last is beta = {tap_betas[converged][-1]:.2f}")
    for index in (5, 13, 19, 29):
        errors = [getattr(curves, n)[index] - getattr(known, n)[index] for n in names]
        text = "error of ln Z {:7.3f}, U {:7.3f}, C {:7.3f} nats".format(*errors)
        print(f"    beta = {tap_betas[index]:.2f}: {text}")

# %%
heat, smooth = tap[1].heat_capacity, known.heat_capacity
peaks = 1 + np.flatnonzero((heat[1:-1] > heat[:-2]) & (heat[1:-1] > heat[2:]))
sharp = peaks[heat[peaks] > 1.8 * smooth[peaks]]
print("naive mean field: C has sharp peaks at beta =", tap_betas[sharp].round(2))
print("naive and exact C there:", heat[sharp].round(1), smooth[sharp].round(1), "nats")
falls = np.diff(tap[1].energy) / np.diff(known.energy)  # of U from one temperature to the next
print("its U falls more than 2.5 times as far as the exact U on the way to beta =", end=" ")
print(tap_betas[1:][falls > 2.5].round(2))

# %%
warm = tap_betas < 1.01
assert tap_betas[sharp[0]] < 1 and np.all(np.diff(smooth[warm]) > 0)
assert all(np.all(tap[k].heat_capacity[warm] < 1.5 * smooth[warm]) for k in (2, 3))
assert np.all((known.log_z - tap[1].log_z)[tap_betas > 0.99] > 4)
assert all(np.any(falls[max(0, k - 2) : k + 2] > 2.5) for k in sharp)
assert 0.3 < known.log_z[19] - tap[2].log_z[19] < 0.9  # beta = 1
assert (
    abs(tap[2].log_z[29] - known.log_z[29]) < 0.5 and 1.6 < (tap[2].heat_capacity / smooth)[29] < 2
)
assert tap[2].energy[29] - known.energy[29] < -2  # beta = 1.5

# %% name="mean-field" alt="Errors of ln Z and U, and C, over beta: naive mean field misses 5 nats of ln Z, its C has two false peaks; TAP is close up to 1, and ends at 1.65."
figure, axes = plt.subplots(1, 3, figsize=(10, 3.5))
for order, colour in ((1, orange), (2, blue), (3, green)):
    curves, text = tap[order], "naive mean field" if order == 1 else f"TAP, order {order}"
    style = {"color": colour, "ls": "--" if order == 3 else "-", "label": text}
    for axis, name in zip(axes, names, strict=True):
        shift = 0 if name == "heat_capacity" else getattr(known, name)
        axis.plot(tap_betas, getattr(curves, name) - shift, **style)
axes[2].plot(tap_betas, known.heat_capacity, color="black", label="exact")
for axis, symbol in zip(axes, (r"error of $\ln Z$", "error of $U$", "$C$"), strict=True):
    label(axis, symbol[0].upper() + symbol[1:], r"inverse temperature $\beta$", f"{symbol} (nats)")
axes[0].legend(loc="center right")
axes[2].legend(handles=axes[2].lines[-1:], loc="lower right")
plt.show()

# %% [markdown]
# *High temperature.* Order 1 is wrong by order $\beta^2$, orders 2 and 3 by order $\beta^4$. Order 3
# gains no power over order 2 here, because near $\beta = 0$ all magnetisations are close to $\frac12$:
# $\frac12 - m$ and $\frac12 - n$ are proportional to $\beta$, so $\beta^3 A_3$ is of order
# $\beta^5$.
#
# *At the temperature of training*, order 1 misses more than 4 nats of $\ln Z$. The Onsager term
# brings that down to about 0.6 nats, at almost no cost. But the errors *can grow along the
# derivatives*: at $\beta = 1.5$ order 2 has $\ln Z$ right to a few tenths of a nat, on its way
# through a lucky zero, but $U$ is off by more than 2 nats and $C$ is almost twice as large as it should be.
# A small error in a function is no promise for its slope. Where the exact $C$ bends down, that of
# TAP keeps rising.
#
# *At low temperature* the methods break down, each in its own way. The heat capacity of naive mean
# field has sharp peaks, the first of them at a $\beta$ below 1. The exact curve has no peak there: it rises evenly.
# Its only maximum is the broad one of section 1, at a lower temperature. At every sharp peak the naive $C$ is about
# twice the exact one. The sharp peaks are not physics. At each of them another
# solution of the equations becomes the lowest one (section 8 shows it), and $U$ jumps: a spurious phase
# transition. TAP of orders 2 and 3 has no such peak below $\beta = 1$. But beyond the last temperature
# printed for it, none of its ten starts converges. The library then returns NaN rather
# than the last number that it had, which would look just as good. If you use `tap` directly, look at
# `converged`.
#
# Where does the spurious transition come from? For that we need the size of the weights.
#
# ## 7. Effective temperature
#
# The energy (B1) is linear in its parameters. Multiplying *all* of them by $s$ multiplies the energy
# by $s$, and $e^{-s E}$ is a Boltzmann factor at $\beta = s$:
#
# $$Z(1;\, s a, s b, s W) = Z(s;\, a, b, W) . \tag{B7}$$
#
# So training at fixed $T = 1$ is free to choose any temperature it likes: by choosing the scale of the
# parameters. To give it a number, choose a norm and split $W = \|W\|\, \hat W$, with the biases in
# the same units. The machine at $T = 1$ is the machine with kernel $\hat W$ at
#
# $$T_{\rm eff} = \frac{1}{\|W\|} . \tag{7.1}$$
#
# In chapter 2 the norm was the root of the sum of squares (Frobenius). From here on it is the largest
# singular value, the *spectral* norm $\|W\|_2$, for a reason that the next section gives. (B7) holds
# for either: both are multiplied by $s$.
#
# **Check against the exact result**: double all parameters of the trained model. The effective
# temperature is halved, $S$ and $C$ are those at $\beta = 2$, and $U$ is twice that at $\beta = 2$,
# since energies are now counted in units twice as small.

# %%
s = 2.0
scaled = Machine(s * kernel, s * visible_bias, s * hidden_bias)
doubled, colder = (enumeration.thermodynamics(*x) for x in ((scaled, [1.0]), (rbm, [s])))
check(doubled.log_z, colder.log_z)  # (B7)
check(doubled.entropy, colder.entropy, tolerance=1e-9)
check(doubled.heat_capacity, colder.heat_capacity, tolerance=1e-8)
check(doubled.energy, s * colder.energy)
norm = np.linalg.norm(kernel, 2)  # the largest singular value
check(np.linalg.norm(scaled.kernel, 2), s * norm)
check(effective_temperature(scaled), effective_temperature(rbm) / s, tolerance=1e-6)
print(f"trained model: largest singular value {norm:.3f} nats, T_eff = {1 / norm:.4f}")

# %% [markdown]
# ## 8. Where mean field orders: $T_{\rm eff} = 1/4$
#
# Is $T_{\rm eff} \approx 0.12$ cold? It takes a scale to tell. Mean-field theory has one.
#
# **Without fields.** Let both values of every unit be equally good: write the energy in terms of
# $v - \frac12$ and $h - \frac12$ without linear terms,
#
# $$E = -\sum_{ij} \big( v_i - \tfrac12 \big)\, W_{ij}\, \big( h_j - \tfrac12 \big) . \tag{8.1}$$
#
# Multiplied out, this is (B1) with $a_i = -\frac12 \sum_j W_{ij}$, $b_j = -\frac12 \sum_i W_{ij}$ and
# a constant. Exchanging 0 and 1 everywhere does not change it, so exactly
# $\langle v_i \rangle = \langle h_j \rangle = \frac12$. The naive mean-field equations at $\beta = 1$
# are $m_i = \sigma\big( \sum_j W_{ij} (n_j - \frac12) \big)$, and alike for $n_j$. One solution is
# $m = n = \frac12$. Is it stable? Expand $\sigma(x) = \frac12 + \frac{x}{4} + O(x^3)$:
#
# $$m - \tfrac12 = \tfrac14 W \big( n - \tfrac12 \big) , \qquad
#   n - \tfrac12 = \tfrac14 W^T \big( m - \tfrac12 \big) . \tag{8.2}$$
#
# Take $m - \frac12$ along a left singular vector of $W$ with the singular value $\lambda$. Going
# through both equations multiplies it by $(\lambda / 4)^2$. A small deviation dies out if all
# $\lambda < 4$, and grows if the largest one, the spectral norm $\|W\|_2$, exceeds 4:
#
# $$\text{naive mean field orders where} \quad \tfrac14 \|W\|_2 > 1 \quad\Longleftrightarrow\quad
#   T_{\rm eff} = \frac{1}{\|W\|_2} < \frac14 . \tag{8.3}$$
#
# The 4 is the inverse of the variance of a coin, $c = \frac12 \cdot \frac12$.
#
# **With fields.** In general, look at the matrix of second derivatives of $\Gamma$ at order 1. The
# entropy gives $1 / c_i$ and $1 / d_j$ on the diagonal, the coupling gives $-W$:
#
# $$\Gamma'' = \begin{pmatrix} 1/c & -W \\ -W^T & 1/d \end{pmatrix}
#   = \begin{pmatrix} c^{-1/2} & \\ & d^{-1/2} \end{pmatrix}
#   \begin{pmatrix} 1 & -K \\ -K^T & 1 \end{pmatrix}
#   \begin{pmatrix} c^{-1/2} & \\ & d^{-1/2} \end{pmatrix} , \quad
#   K_{ij} = \sqrt{c_i}\, W_{ij} \sqrt{d_j} . \tag{8.4}$$
#
# The middle matrix has the eigenvalues $1 \pm \lambda(K)$, so a solution is a minimum if
# $\|K\|_2 < 1$. Since $c, d \le \frac14$, $\|K\|_2 \le \frac14 \|W\|_2$. If $T_{\rm eff} > \frac14$,
# then $\Gamma$ curves upwards *everywhere*, and there is one solution only, whatever the
# biases. If $T_{\rm eff} < \frac14$, there may be more solutions. But fields push units away from $\frac12$. This makes
# $c$ and $d$ smaller, and with them $\|K\|_2$, so that a second solution may appear at a lower temperature only.
#
# **Check**: three kernels without fields, 8 × 8, with the same spectral norm: all weights equal, one
# single bond, and random. Solve for $m$ just above and just below the threshold.
#
# And the trained machine? We turn its temperature and follow $\|K\|_2$ at the naive mean-field
# solution, next to the bound $\frac14 \beta \|W\|_2$, which it would have without fields.


# %%
def without_fields(kernel):
    return Machine(kernel, -kernel.sum(axis=1) / 2, -kernel.sum(axis=0) / 2)  # (8.1)


def order_parameter(kernel):
    return np.linalg.norm(mean_field.tap(without_fields(kernel), order=1).visible - 0.5)


kernels = np.ones((8, 8)), np.eye(8, 1) * np.eye(1, 8), rng.normal(size=(8, 8))
directions = dict(zip(("all equal", "one bond", "random"), kernels, strict=True))
for name, W in directions.items():
    W /= np.linalg.norm(W, 2)  # T_eff = 1
    sizes = [order_parameter(scale * W) for scale in (3.8, 3.95, 4.05, 4.2)]
    assert np.all(np.array(sizes[:2]) < 1e-6) and np.all(np.array(sizes[2:]) > 0.01)  # (8.3)
    print(f"{name:9s}: |m - 1/2| = {np.round(sizes, 3)} at T_eff = 1/3.8, 1/3.95, 1/4.05, 1/4.2")

# %%
for W in directions.values():
    check(enumeration.moments(without_fields(4.2 * W)).visible, 0.5)  # exact, by symmetry
stability, solutions = [], []
for beta in tap_betas:
    point = mean_field.tap(Machine(beta * kernel, beta * visible_bias, beta * hidden_bias), order=1)
    solutions.append(np.append(point.visible, point.hidden))
    c, d = (x * (1 - x) for x in (point.visible, point.hidden))
    stability.append(np.linalg.norm(np.sqrt(c)[:, np.newaxis] * beta * kernel * np.sqrt(d), 2))
stability = np.array(stability)

# %%
top = np.argmax(stability)
moved = np.abs(np.diff(solutions, axis=0)).max(axis=1)  # the unit that moves most, in each step
assert np.all(moved[falls > 2.5] > 0.5) and np.median(moved) < 0.1
jump = np.flatnonzero(moved > 0.5)[0]  # between this temperature and the next
assert 0.9 < stability[top] < 1 and stability[jump + 1 :].max() < stability[top] - 0.05
assert abs(4 / norm - 0.47) < 0.02 and 0.6 < tap_betas[top] < tap_betas[jump + 1]
print("a mean jumps by more than 1/2 on the way to beta =", tap_betas[1:][moved > 0.5].round(2))
print(f"without fields the trained kernel would order at beta = {4 / norm:.3f}")
print(f"with them ||K|| comes closest to 1 at beta = {tap_betas[top]:.2f}: {stability[top]:.3f}")

# %% name="orders" alt="Left: mean-field order of three kernels is 0 above T = 1/4 and grows below. Right: the norm of K of the trained model rises with beta to 0.95 and falls, below 1."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.6))
temperatures = np.linspace(0.1, 0.4, 31) + 0.002
for (name, W), colour in zip(directions.items(), (blue, orange, green), strict=True):
    sizes = [order_parameter(W / T) for T in temperatures]
    axes[0].plot(temperatures, sizes, color=colour, label=name)
axes[0].axvline(0.25, color=grey, lw=1, ls="--")
label(axes[0], "Without fields", r"$T_{\rm eff}$ (1/nats)", r"$\|m - \frac{1}{2}\|$, mean field")
axes[1].plot(tap_betas, stability, "o-", ms=3, color=blue, label=r"$\|K\|_2$, trained model")
axes[1].plot(tap_betas, tap_betas * norm / 4, color=grey, label=r"$\beta \|W\|_2 / 4$")
axes[1].axhline(1, color="black", lw=1, ls="--")
label(axes[1], "With its fields", r"inverse temperature $\beta$", "spectral norm")
for axis in axes:
    axis.legend()
plt.show()

# %% [markdown]
# Left: all three kernels order at $T_{\rm eff} = \frac14$ (dashed), as (8.3) says, while the exact
# magnetisations stay at $\frac12$. In particular a *single bond between two units* does not order; mean
# field is wrong about it.
#
# Right (dashed: the limit of stability): the trained kernel is past the zero-field threshold already
# at $\beta = 0.47$, but its fields protect the disordered solution. It comes close to instability from
# $\beta \approx 0.65$ on but does not get there: before it does, a more ordered solution becomes the
# lower one and takes over: a mean jumps, as printed, and $\|K\|_2$ falls because $c$ and $d$ are smaller there. *This* is the
# first sharp peak in the heat capacity of section 6. At the temperature of training
# naive mean field is well inside its ordered phase: a single product distribution, centred on one
# kind of image, has to stand for all of them. It misses more than 4 nats of $\ln Z$ (section 6).
#
# ## 9. Training cools the machine
#
# A new kernel has weights of size 0.01, a very hot machine. What does training do to it? We have kept
# the parameters along the way. For each snapshot: the two norms, and $S$ and $C$ at $\beta = 1$,
# exactly.

# %% name="history"
history = []
for epoch, parameters in snapshots.items():
    state = enumeration.thermodynamics(parameters, [1.0])
    norms = [np.linalg.norm(parameters.kernel, kind) for kind in (2, "fro")]
    history.append((epoch, *norms, state.entropy[0], state.heat_capacity[0]))
    if epoch in (0, 1, 7, 11, 13, 16, 25, 40, 100):
        print(f"epoch {epoch:3d}: ||W||_2 = {norms[0]:.3f}, T_eff = {1 / norms[0]:.4f}", end=", ")
        print("S = {:.2f}, C = {:.2f} nats".format(*history[-1][3:]))
epoch, spectral, frobenius, entropy, heat_capacity = np.transpose(history)
late, bias = epoch >= 11, np.asarray(snapshots[1].visible_bias, float)
pixels = np.sum(bias**2 * sigmoid(bias) * sigmoid(-bias))
warmed = enumeration.thermodynamics(rbm, spectral[late] / spectral[-1])  # (B7)
check(warmed.entropy[-1], entropy[-1], tolerance=1e-8)
print(f"C of 64 independent pixels with the biases of epoch 1: {pixels:.2f} nats")
print("S of the final model at T_eff of epochs 11 to 100:", warmed.entropy.round(1), "nats")

# %%
of = {int(number): row for number, *row in history}  # ||W||_2, Frobenius, S, C by epoch
check(of[1][3], pixels, tolerance=1e-2)  # C of independent pixels
assert (
    abs(of[0][2] - of[1][2] - 17) < 0.5 and of[0][3] < 0.1 and abs(of[1][0] / of[0][0] - 1) < 0.05
)
early = (epoch >= 1) & (epoch < 10)
assert np.ptp(entropy[early]) < 0.5 and np.ptp(heat_capacity[early]) < 0.5
assert of[11][0] < 4 < of[13][0] and 1.8 < of[25][3] / of[7][3] < 2.4
assert np.all(np.abs(heat_capacity[epoch >= 25] - 20) < 1) and of[100][0] / of[0][0] > 70

# %% name="training-cools" alt="Effective temperature falls from 9 to 0.12 in 100 epochs; C rises in steps to 20 nats; at equal temperature the warmed final model has more entropy than the one in training."
figure, axes = plt.subplots(1, 3, figsize=(10, 3.5))
axes[0].semilogy(epoch, 1 / spectral, "o-", ms=3, color=blue, label=r"$T_{\rm eff} = 1/\|W\|_2$")
axes[0].semilogy(epoch, 1 / frobenius, "o-", ms=3, color=green, label="1/Frobenius norm")
axes[0].axhline(0.25, color=grey, ls="--", lw=1)
label(axes[0], "Training cools", "epoch", "effective temperature (1/nats)")
axes[1].plot(epoch, heat_capacity, "o-", ms=3, color=orange)
label(axes[1], r"$C$ at $\beta = 1$", "epoch", "$C$ (nats)")
T_late = 1 / spectral[late]
assert np.all(warmed.entropy[:-1] > entropy[late][:-1]) and warmed.entropy[0] > entropy[late][0] + 3
axes[2].plot(T_late, entropy[late], "o-", ms=3, color=purple, label="in training")
axes[2].plot(T_late, warmed.entropy, "--", color="black", label="final model, warmed")
label(axes[2], "Two ways to one temperature", r"$T_{\rm eff}$ (1/nats)", "$S$ (nats)")
axes[0].legend()
axes[2].legend(loc="lower right", handlelength=1.2)
plt.show()

# %% [markdown]
# Left: the machine cools by a factor of more than 70. The story has three acts.
#
# - *Epoch 1.* The library starts by giving each pixel the bias that its mean asks for. $S$ falls by
#   17 nats, and $C$ jumps from almost 0 to 9.5 nats, which is just the heat capacity of 64
#   independent pixels. Yet $T_{\rm eff}$ has hardly changed: it knows nothing of biases.
# - *Epochs 1 to 9.* The weights grow. (Near $W = 0$ their gradient is proportional to the weights themselves.) But
#   they are still too small to matter: $S$ and $C$ hardly change.
# - *Between epochs 11 and 13* $T_{\rm eff}$ falls below $\frac14$ (dashed), and from epoch 7 to epoch 25
#   $C$ doubles: hidden units and pixels begin to fluctuate as one. Without fields this would be the place
#   of the mean-field transition. After that the machine keeps on cooling, more and more slowly, while
#   $C$ stays close to 20 nats.
#
# After 100 epochs $T_{\rm eff} \approx 0.12$, a little less than half of the threshold.
#
# Right: is training *nothing but* cooling? If so, the half-trained model would be the final one at a
# higher temperature. Take the final model and warm it up, by (B7), until its $T_{\rm eff}$ is that of
# each snapshot. At the same effective temperature it has more entropy than the machine had in
# training, several nats more at epoch 11 (printed above). One difference between the two is in the biases. They were
# learned first, and warming the final model shrinks them as well. Training moves along a curved path in
# parameter space; a change of temperature is a straight line through the origin.
#
# ## 10. So, is the norm of the weights a temperature?
#
# The blog post that this course follows, Charles Martin's *Free Energies and Variational Inference*,
# says that since $T = 1$, one can associate an effective $T$ with the norm of the weights. As a
# statement about the overall scale of *one* model it is exact (B7). As a thermometer for comparing
# models, it fails even without fields (8.1), and for any norm. Here is the extreme case: "all equal" and
# "one bond" are both of rank one, $W = \lambda\, u w^T$ with unit vectors $u$ and $w$. They have the
# same singular values, $\lambda$ and seven zeros, and therefore the same spectral norm, the same
# Frobenius norm, the same value of *every* norm that does not depend on the choice of axes.
#
# **Check against the exact result**: the heat capacity of both, and of the random kernel, against
# $T_{\rm eff}$.

# %% name="norms"
temperatures = np.linspace(0.04, 0.6, 141)
heat_curves = {}
for name, W in directions.items():
    norms = [np.linalg.norm(W, kind) for kind in (2, "fro", "nuc")]
    curve = enumeration.thermodynamics(without_fields(W), 1 / temperatures)  # (B7)
    heat_curves[name] = curve.heat_capacity
    top = np.argmax(curve.heat_capacity)
    print(f"{name:9s}: spectral, Frobenius, nuclear norm {np.round(norms, 3)}", end="; ")
    print(f"C <= {curve.heat_capacity[top]:.3f} nats, at T_eff = {temperatures[top]:.3f}")
equal, bond = (np.linalg.svd(directions[k])[1] for k in ("all equal", "one bond"))
check(equal, bond)  # all singular values, hence all such norms
assert np.max(heat_curves["all equal"] / heat_curves["one bond"]) > 10
check(heat_curves["one bond"], 1 / (4 * temperatures * np.cosh(0.25 / temperatures)) ** 2)

# %% name="one-norm" alt="C over effective temperature for three kernels of one norm: all equal peaks at 13 nats, random at 5, one bond below 0.5."
figure, axis = plt.subplots(figsize=(7, 3.2))
for (name, values), colour in zip(heat_curves.items(), (blue, orange, green), strict=True):
    axis.plot(temperatures, values, color=colour, label=name)
axis.axvline(0.25, color=grey, ls="--", lw=1, label="mean-field threshold")
label(axis, "One norm, three heat capacities", r"$T_{\rm eff}$ (1/nats)", "$C$ (nats)")
axis.legend()
plt.show()

# %% [markdown]
# At the same $T_{\rm eff}$ and the same norms the heat capacities can differ by a factor of ten and
# more. With all weights equal, 16 units order together, and $C$ has a high peak below the threshold,
# which moves up to it and becomes a true transition as the machine grows (exercise 4). A single bond
# has a broad bump of its own that no threshold explains, the closed form
# $C = (\beta \lambda / 4)^2 / \cosh^2(\beta \lambda / 4)$ of exercise 1. The random kernel has all
# eight singular values at work.
#
# So the answer to the question above is:
#
# - *Yes, exactly*, for the overall scale: all parameters times $s$ is $\beta = s$.
# - *Roughly*, for the scale of $W$ at fixed biases: chapter 2 measured how roughly.
# - *As a bound*: if $1/\|W\|_2 > \frac14$, naive mean field has a single solution, whatever the biases.
# - *No*, as a thermometer that two machines can share, or one machine at two stages of training. What
#   a machine does at its temperature depends on the direction of $W$ and on the biases, and to find
#   out takes $U$, $S$ and $C$.
#
# ## 11. The temperature that inference asks for
#
# So far the dial was ours to turn. There is a class of problems in which one setting is right, and the
# energy there is known without any sum. The post ends with it: *spin glasses and Bayes-optimal
# inference*, and their *Nishimori line*.
#
# Take spins $s_i = \pm 1$ on a periodic square lattice. Somebody draws a state $s^*$, all states
# being equally likely, hides it, and shows us the bonds only, each with noise:
#
# $$P(J_{ij} | s^*) = \frac{e^{\beta_p J_{ij} s_i^* s_j^*}}{2 \cosh \beta_p} ,
#   \qquad J_{ij} = \pm 1 . \tag{11.1}$$
#
# A bond tells the truth about its two spins, $J_{ij} = s_i^* s_j^*$, with the odds $e^{2 \beta_p} : 1$.
# What do the bonds say about the spins? Bayes' rule, with a prior that is the same for all states, gives
#
# $$P(s | J) = \frac{1}{Z_J(\beta_p)}\, e^{-\beta_p E_J(s)} , \qquad
#   E_J(s) = -\sum_{(ij)} J_{ij} s_i s_j . \tag{11.2}$$
#
# *The posterior is a Boltzmann distribution, and its temperature is that of the noise.* Inference at
# another $\beta$ assumes more or less noise than there is. Now the step that needs no calculation: given
# $J$, the planted state is *itself* a draw from (11.2). So a thermal state $s$ and the planted $s^*$
# have the same averages. With $[\cdot]$ for the average over the bonds, and (11.1) for the mean of
# $J_{ij} s_i^* s_j^*$,
#
# $$\big[ \langle -J_{ij} s_i s_j \rangle_{\beta_p} \big] = -[J_{ij} s_i^* s_j^*] = -\tanh \beta_p ,
#   \tag{B28}$$
#
# the exact internal energy of a bond on the line $\beta = \beta_p$ (the *Nishimori line*), on every
# lattice, below or above any phase transition. For Gaussian bonds of mean $J_0 s_i^* s_j^*$ and variance
# $D^2$ the likelihood is proportional to $e^{J_0 J_{ij} s_i^* s_j^* / D^2}$: the line is $\beta = J_0 /
# D^2$, and the energy is $-J_0$. Chapter 12 uses the same fact: an image drawn from a VAE comes with an
# exact draw from its posterior.
#
# For the library one more step. With $s_i \to s_i s_i^*$ and $J_{ij} \to J_{ij} s_i^* s_j^*$ (a *gauge
# transformation*) the energy stays, and $s^*$ becomes "all up", $P(J) \propto e^{\beta_p J}$.
#
# **Check against the exact result**: all $2^{12}$ choices of the bonds of a $3 \times 2$ lattice.

# %% name="nishimori"
bonds = np.array(list(itertools.product([-1.0, 1.0], repeat=12)))
right, down = bonds.reshape(-1, 2, 3, 2).transpose(1, 0, 2, 3)
glasses = ising.Ising(right, down, np.zeros_like(right))  # every one, planted with all spins up
for planted in (0.3, 0.7, 2.0):
    probability = np.exp(planted * bonds.sum(axis=1)) / (2 * math.cosh(planted)) ** 12  # (11.1)
    on, off = (probability @ ising.bond_energy(glasses, s * planted) for s in (1, 1 / 2))
    print(f"beta_p = {planted}: {on:.12f}, -tanh {-math.tanh(planted):.12f}", end="; ")
    print(f"at half of this beta {off:.4f}")
    check(on, -math.tanh(planted))
    assert abs(on - off) > 1e-3  # (B28)

# %% [markdown]
# **And the variational bound?** Somebody who infers at a wrong $\beta$ puts
# $P_\beta(s|J)$ in the place of the posterior. How well does it predict the hidden state?
#
# $$[\ln P_\beta(s^*|J)] = [-\beta E_J(s^*) - \ln Z_J(\beta)]
#   \le [\ln P_{\beta_p}(s^*|J)] , \tag{11.3}$$
#
# since the difference of the two sides is $\mathrm{KL}(P_{\beta_p} \| P_\beta)$, averaged over $J$,
# which is never negative. This is (B16), with the posterior as the trial and $P_\beta$ as the model. The
# derivative of the left-hand side with respect to $\beta$ is $[\langle E \rangle_\beta - E(s^*)]$. It vanishes where the
# thermal energy meets the planted one. That this happens at $\beta_p$ is (B28). That the left-hand side is largest
# there is (11.3), where the bound is tight. So the two say the same. On the picture: the curve on the left crosses the planted energy where the curve on
# the right has its maximum.

# %% name="planted"
glass = ising.planted_couplings(400, (4, 4), glass_beta, seed=seed)
planted_energy = -(glass.right + glass.down).sum(axis=(1, 2)) / 32  # per bond; s* is all up
energies, predictions = [], []
for beta in glass_betas:
    energies.append(ising.bond_energy(glass, beta))
    log_z = ising.Ising(*(beta * x for x in glass)).log_z()
    predictions.append((-beta * 32 * planted_energy - log_z) / 16)  # (11.3), per spin
energies, predictions = np.array(energies), np.array(predictions)
gap = ising.bond_energy(glass, glass_beta) - planted_energy
assert abs(gap.mean()) < 5 * gap.std() / math.sqrt(len(gap))
best = glass_betas[np.argmax(predictions.mean(axis=1))]
print(f"planted at beta = {glass_beta}; the best prediction is at {best:.2f}")
assert abs(best - glass_beta) <= 0.1

# %% name="right-temperature" alt="Over beta of the inference: the thermal energy of a bond falls and crosses the planted one at 0.7, where ln P of the hidden state has its maximum."
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
left.plot(
    glass_betas, energies.mean(axis=1), color=blue, label=r"thermal $[\langle E \rangle_\beta]$"
)
left.axhline(-math.tanh(glass_beta), color=orange, label=r"planted $-\tanh \beta_p$")
right.plot(glass_betas, predictions.mean(axis=1), color=blue)
for axis in (left, right):
    axis.axvline(glass_beta, color=grey, ls="--", lw=1)
label(left, "Energy of a bond", r"$\beta$ of the inference", "units of $J$")
label(right, r"$\ln P_\beta(s^*|J)$ per spin", r"$\beta$ of the inference", "nats")
left.legend()
plt.show()

# %% [markdown]
# Left of the dashed line ($\beta < \beta_p$) the thermal states are more disordered than the truth;
# right of it they are *colder* than the truth, and fit the noise of the bonds. That is overfitting,
# in the words of physics, and the dashed line is Bayes-optimal inference.
#
# ## 12. Summary
#
# | method | $\ln Z$ | $U$ | $C$ | works while |
# |:--|:--|:--|:--|:--|
# | exact sum over one layer (2.2), (2.4), (2.6) | exact | exact | exact | one layer is small |
# | annealing (4.6) | low on average | noisier | noisiest | $t\,[U(0) - U(1)]$ is not large |
# | naive mean field (6.1), order 1 | a lower bound | (6.5) | differences of $U$ | high temperature |
# | TAP, orders 2 and 3 | no bound | (6.5) | differences of $U$ | high temperature; converged |
#
# - $U$, $S$ and $C$ are derivatives of $\ln Z(\beta)$ (B6). Given one layer, the energy is a sum of
#   independent terms, and the law of total variance does the rest.
# - One annealing run yields all curves, because the weights are unbiased at each temperature (4.5). The
#   price of a quantity rises with its order as a derivative.
# - The variance of the log weights is the step times the fall of the energy (5.1). A coarse ladder
#   gives a $\ln Z$ and a $C$ that are too low, and an error bar that does not say so: look at
#   $n_{\rm eff}$.
# - TAP gets $U$ and $S$ without moving the magnetisations (6.4), because $\Gamma$ is stationary. Its
#   derivatives are worse than its values.
# - Scaling all parameters is a temperature (B7). $T_{\rm eff} = 1/\|W\|_2$ puts the ordering of
#   naive mean field without fields at $\frac14$. Training cools the machine below it, but it does
#   more than that.
# - Where data come from a known noise, inference has one right temperature, the noise's own. There the
#   hidden truth is itself a thermal state, and the energy is known without a sum (B28). Where that
#   line runs among the phases is shown in [chapter 22](22_phases.ipynb).
#
# ## Exercises
#
# 1. *(easy)* **One bond.** Two units, $E = -\lambda\, (v - \frac12)(h - \frac12)$. Find $\ln Z$, $U$,
#    $S$ and $C$ by hand, check them against the library (mind the constant in (8.1); `by_hand`: all four in this
#    order at the inverse temperatures `tap_betas`, for $\lambda = 1.7$), and find the temperature at which $C$ is
#    largest (`T_best`, for $\lambda = 1$).
# 2. *(easy)* **Entropy from heat.** Show that $S(\beta) = 80 \ln 2 - \int_0^\beta C(\beta')\, d\beta' /
#    \beta'$ and check it for the trained model at $\beta = 1$. How is entropy measured in a laboratory?
# 3. *(medium)* **Borrowed samples.** Independent samples at $\beta = 1$ can be reweighted to
#    $\beta = 1 + t$ with $w = e^{-t E}$. Derive
#    $n_{\rm eff} / n \to Z(1 + t)^2 / [Z(1)\, Z(1 + 2 t)] \approx e^{-t^2 C}$ and check it for
#    $t = \pm 0.1, \pm 0.2$ and 0.5 (a dictionary `shares` from $t$ to the sampled $n_{\rm eff} / n$). How far does
#    one set of samples reach?
# 4. *(medium)* **A true transition.** $N$ visible and $N$ hidden units, without fields, with all weights
#    equal to $\lambda / N$. Only the numbers $k$ and $l$ of units that are on matter, so $Z$ is a sum of
#    $(N + 1)^2$ terms. Write a function `equal_weights(number, temperature)` that returns $C$ at $T_{\rm eff} = 1/\lambda$, and compute
#    $C / 2N$ for $N = 8, 32, 128, 512$. Where does the peak go? (A dictionary `tops`: from $N$ to its height and its
#    place.)
# 5. *(hard)* **What Onsager saw.** Repeat the argument of section 8 for TAP of order 2, whose equation is
#    $m_i = \sigma\big( \sum_j W_{ij} (n_j - \frac12) + (\frac12 - m_i) \sum_j W_{ij}^2 d_j \big)$.
#    Show that $m = \frac12$ becomes unstable where the matrix
#    $\frac14 W_{ij} / \sqrt{(1 + r_i)(1 + q_j)}$ has a singular value above 1, with
#    $r_i = \sum_j W_{ij}^2 / 16$ and $q_j = \sum_i W_{ij}^2 / 16$. For a large random $N \times N$ kernel
#    with weights of variance $g^2 / N$, whose largest singular value is $2 g$, compare both thresholds
#    (`naive_norms`, `tap_norms`: the largest singular values for $g = 1, 2, 3, 4, 6$).
#
# The solutions are in the cells below, folded: click on one to open it.

# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. Two states have energy -L/4 and two +L/4, so Z = 4 cosh(beta L / 4), U = -(L/4) tanh(beta L / 4)
# and C = (beta L / 4)^2 / cosh^2(beta L / 4). With x = beta L / 4, dC/dx = 0 is x tanh x = 1.
x = tap_betas * 1.7 / 4  # the energy in (B1) is L/4 higher than in (8.1)
log_4_cosh, tanh = np.log(4 * np.cosh(x)), np.tanh(x)
by_hand = log_4_cosh - x, 1.7 / 4 * (1 - tanh), log_4_cosh - x * tanh, (x / np.cosh(x)) ** 2
root = 1.0
for _ in range(200):
    root = 0.5 * (root + 1 / np.tanh(root))
T_best = 1 / (4 * root)
print(f"1. C is largest at beta L / 4 = {root:.4f}: T_eff = {T_best:.4f}", end=", ")
print(f"C = {(root / np.cosh(root)) ** 2:.4f} nats")
check(by_hand, enumeration.thermodynamics(without_fields(np.array([[1.7]])), tap_betas)[1:])
assert abs(T_best - temperatures[np.argmax(heat_curves["one bond"])]) < 0.004

# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. dS/d beta = -C / beta (section 1), and S(0) = 80 ln 2. Integrate by Gauss and Legendre. In a
# laboratory one does just that: one measures the heat capacity and integrates it over ln T.
for num_nodes in (2, 4, 8):
    position, weight = np.polynomial.legendre.leggauss(num_nodes)
    nodes = (position + 1) / 2  # from [-1, 1] to [0, 1]
    integral = 0.5 * weight @ (enumeration.thermodynamics(rbm, nodes).heat_capacity / nodes)
    entropy_from_heat = 80 * math.log(2) - integral
    print(f"2. {num_nodes:2d} temperatures: S(1) = {entropy_from_heat:.6f}", end=", ")
    print(f"exact {at_one.entropy[0]:.6f} nats")
check(entropy_from_heat, at_one.entropy[0], tolerance=1e-5)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. <w> = Z(1 + t) / Z(1) and <w^2> = Z(1 + 2 t) / Z(1). With K(t) = ln Z(1 + t), 2 K(t) - K(0) - K(2t) =
# -t^2 K''(0) + O(t^3), and K''(0) = C: one set of samples reaches about 1 / sqrt(C), less than a quarter, to either
# side. That is the Gaussian estimate; the energy fluctuates less in the cold, so they reach further to beta > 1.
v, h, _ = exact_samples(1.0, 100_000, np.random.default_rng(seed))
energy, shares = -v @ visible_bias - h @ hidden_bias - np.sum(v @ kernel * h, axis=1), {}
for t in (-0.2, -0.1, 0.1, 0.2, 0.5):
    w = np.exp(-t * (energy - energy.mean()))
    shares[t] = w.sum() ** 2 / np.sum(w**2) / len(w)
    ln_z = np.array([enumeration.log_z(rbm, beta=1 + k * t) for k in range(3)])
    expected = np.exp(ln_z[1] - ln_z[0] + t * energy.mean())
    assert abs(w.mean() - expected) < 5 * w.std() / math.sqrt(len(w))
    text = "3. t = {:4.1f}: n_eff / n = {:.4f}, exact {:.4f}, Gaussian {:.4f}"
    print(text.format(t, shares[t], np.exp(ln_z @ [-1, 2, -1]), np.exp(-(t**2) * C_one)))
check(np.log(shares[0.1]), enumeration.thermodynamics(rbm, [1, 1.1, 1.2]).log_z @ [-1, 2, -1], 0.02)
check(np.log(shares[-0.2]), enumeration.thermodynamics(rbm, [1, 0.8, 0.6]).log_z @ [-1, 2, -1], 0.1)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. The peak goes to 1/4: for N to infinity mean field is exact, and C / 2N jumps from 0 to 3/2. Finite N overshoots.
def equal_weights(number, temperature):
    x, ways = np.arange(number + 1), [math.log(math.comb(number, k)) for k in range(number + 1)]
    energy = -np.outer(x - number / 2, x - number / 2) / number
    log_p = np.add.outer(ways, ways) - energy / temperature
    p = np.exp(log_p - log_p.max()) / np.sum(np.exp(log_p - log_p.max()))
    return (np.sum(p * energy**2) - np.sum(p * energy) ** 2) / temperature**2


tops = {}
for N in (8, 32, 128, 512):
    tops[N] = max((equal_weights(N, T) / (2 * N), T) for T in np.linspace(0.15, 0.3, 151))
    print(f"4. N = {N:3d}: C / 2N is largest at T_eff = {tops[N][1]:.3f}: {tops[N][0]:.3f} nats")
check(tops[512], (1.506, 0.234), tolerance=2e-3)
check([equal_weights(8, one) for one in temperatures], heat_curves["all equal"], tolerance=1e-8)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 5. Near m = n = 1/2, d = 1/4, so (1 + r) x = W y / 4 and (1 + q) y = W^T x / 4 with x = m - 1/2 and
# y = n - 1/2. Set x = x' / sqrt(1 + r), y = y' / sqrt(1 + q). For the random kernel r = q = g^2 / 16,
# and the singular value is (g / 2) / (1 + g^2 / 16). It reaches 1 at g = 4 only, since (1 - g/4)^2 >= 0:
# it touches and never crosses. Naive mean field orders at g = 2, at twice the temperature.
naive_norms, tap_norms = [], []
standard = np.random.default_rng(seed).normal(size=(400, 400)) / math.sqrt(400)
for g in (1.0, 2.0, 3.0, 4.0, 6.0):
    r, q = np.sum((g * standard) ** 2, axis=1) / 16, np.sum((g * standard) ** 2, axis=0) / 16
    tap_norms.append(np.linalg.norm(g * standard / 4 / np.sqrt(np.outer(1 + r, 1 + q)), 2))
    naive_norms.append(np.linalg.norm(g * standard, 2) / 4)
    print(f"5. g = {g}: naive {naive_norms[-1]:.3f} (theory {g / 2:.3f})", end=", ")
    print(f"TAP {tap_norms[-1]:.3f} (theory {g / 2 / (1 + g**2 / 16):.3f})")
check(naive_norms, [0.495, 0.989, 1.484, 1.978, 2.967], tolerance=0.02)
check(tap_norms, [0.465, 0.788, 0.942, 0.979, 0.901], tolerance=0.02)
