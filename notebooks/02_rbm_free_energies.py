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
# # Chapter 2: The two free energies of an RBM
#
# The log likelihood of a restricted Boltzmann machine (RBM) is a difference of two free energies:
# that of the hidden units while the data hold the visible ones fixed, and that of the whole machine
# running free. Training brings the two as close together as it can. This chapter derives both,
# differentiates both, and trains a small RBM with the exact gradient, with no sampling and no
# approximation anywhere. What later chapters approximate for larger RBMs is here in full.
#
# **What you will do**
#
# - sum the hidden units out by hand and check the result against all $2^{15}$ states;
# - derive the gradients of the two free energies, every step, and check them in three ways;
# - turn the weights up and see what an "effective temperature" means, and when it does not;
# - train an RBM on bars and stripes until its likelihood is close to the best possible one;
# - leave one of the two free energies out and watch the model run away.
#
# **What you will learn**
#
# - $\ln p(v) = -F_c(v) + F_{\rm eq}$: what *clamped* and *equilibrium* mean (B4, B5);
# - why their gradients are averages (B8, B9), and in what sense these are expected energies;
# - why learning compares the data with the model, and why it stops when the two agree;
# - what the highest possible likelihood is, before any training.
#
# **What you need**: from chapter 1 that derivatives of $\ln Z$ are averages and covariances, and for
# section 5 also the cumulant generating function and tilting; the chain rule; and some Python, with this
# project installed.
#
# **Time**: a little over two hours, and about two for the exercises. The code runs in well under a
# minute.
#
# Equation numbers such as (B8) are the row names used in the whole course, in the library's
# docstrings and in the table `EQUATIONS.md`. Numbers such as (2.1) are steps on the way. Energies
# and free energies are in nats, and $\beta = 1$ unless it is written.

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
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from scipy import optimize, special

from rbm_tf import cumulants, datasets, enumeration, plotting
from rbm_tf.rbm import BernoulliRBM

# %%
seed = 0
num_visible, num_hidden = 9, 6  # images of 3 x 3 pixels
kernel_scale, bias_scale = 2.0, 1.0  # standard deviations of the random parameters, nats
weight_factors = np.linspace(0.2, 2.0, 37)  # of section 5
bias_factors = (0.0, 0.5, 1.0, 2.0)
start_scale = 0.1  # of the kernel before training, nats
learning_rate, num_steps = 0.5, 4000
num_failing_steps = 60  # of section 11
num_samples = 36
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 88}])


# %%
def check(left, right, tolerance=1e-10):
    """Raise unless both are equal to the tolerance, relative above 1, absolute below."""
    np.testing.assert_allclose(*np.broadcast_arrays(left, right), rtol=tolerance, atol=tolerance)


def label(axis, title, xlabel, ylabel):
    axis.set(title=title, xlabel=xlabel, ylabel=ylabel)


def random_rbm(*scales):  # of the kernel, the visible and the hidden bias
    rng, rbm = np.random.default_rng(seed), BernoulliRBM(num_visible, num_hidden, dtype="float64")
    for parameter, scale in zip(rbm.trainable_variables, scales, strict=True):
        parameter.assign(rng.normal(0, scale, parameter.shape))
    return rbm


# %% [markdown]
# ## 1. Energy and probability
#
# An RBM has visible units $v_i$, which hold the data, and hidden units $h_j$, all 0 or 1. Its energy
# contains products of a visible and a hidden unit, but none of two units of the same layer. That
# is the restriction in its name, and everything in this chapter follows from it:
#
# $$E(v, h) = -\sum_i a_i v_i - \sum_j b_j h_j - \sum_{ij} v_i W_{ij} h_j . \tag{B1}$$
#
# The states are Boltzmann distributed at $\beta = 1$,
#
# $$p(v, h) = \frac{e^{-E(v, h)}}{Z} , \qquad Z = \sum_{v', h'} e^{-E(v', h')} . \tag{B3}$$
#
# The post that this course follows, Charles Martin's *Free Energies and Variational Inference*, prints
# a sum over $v$ and $h$ in front of the exponential of the *joint* probability as well. That is a
# slip: the sum belongs in $Z$ only. With it, the numerator would be $Z$ itself and the "probability"
# of every state would be 1.
#
# Our RBM has 9 visible units, for images of 3 × 3 pixels, and 6 hidden ones: $2^{15}$ states, few
# enough to write all of them down. We keep them as a table with one row for each $v$ and one column
# for each $h$, so that summing over $h$ is summing along a row. The parameters are random for now.
#
# **Check against the exact result**: the library's energy against (B1) as a matrix product, and our
# sum over all states against the library's $\ln Z$, which it finds by enumerating one layer only.

# %%
rbm = random_rbm(kernel_scale, bias_scale, bias_scale)
kernel, visible_bias, hidden_bias = (x.numpy() for x in rbm.trainable_variables)

visible_states = np.array(list(itertools.product([0.0, 1.0], repeat=num_visible)))  # (512, 9)
hidden_states = np.array(list(itertools.product([0.0, 1.0], repeat=num_hidden)))  # (64, 6)
v = np.repeat(visible_states, len(hidden_states), axis=0)  # (32768, 9)
h = np.tile(hidden_states, (len(visible_states), 1))  # (32768, 6)

# %%
energies = rbm.energy(v, h).numpy().reshape(512, 64)  # E(v, h), nats
boltzmann_factors = np.exp(-energies)
joint = np.exp(-energies - enumeration.log_z(rbm))  # p(v, h) (B3), (512, 64)
linear = (visible_states @ visible_bias)[:, np.newaxis] + hidden_states @ hidden_bias
check(energies, -linear - visible_states @ kernel @ hidden_states.T)  # (B1)
check(joint.sum(), 1.0)  # (B3): the library's ln Z is that of the sum over all states
print(f"{joint.size} states, ln Z = {np.log(boltzmann_factors.sum()):.6f}")
print(f"probabilities from {joint.min():.1e} to {joint.max():.1e}, in all {joint.sum():.12f}")

# %% [markdown]
# ## 2. Summing the hidden units out: the clamped free energy
#
# Data say nothing about $h$. What they can be compared with is the *marginal* probability, the
# joint one summed over everything unseen:
#
# $$p(v) = \sum_h p(v, h) = \frac{1}{Z} \sum_h e^{-E(v, h)} . \tag{B4}$$
#
# The sum on the right looks just like a partition function, with the sum over $v$ left out. So call
# it one, and give it a free energy:
#
# $$Z_c(v) = \sum_h e^{-E(v, h)} , \qquad F_c(v) = -\ln Z_c(v) . \tag{2.1}$$
#
# This is physics with the data held fixed: the visible units are *clamped* to $v$, while the hidden
# units are free to take whatever states they like at $\beta = 1$. Hence the name *clamped free
# energy*. When nothing is held, the whole machine comes to equilibrium and has the *equilibrium free
# energy* $F_{\rm eq} = -\ln Z$. Take the logarithm of (B4):
#
# $$\boxed{\; \ln p(v) = -F_c(v) + F_{\rm eq} , \qquad F_{\rm eq} = -\ln Z \;} \tag{B5a}$$
#
# Since $\ln p(v) \le 0$, it follows that $F_c(v) \ge F_{\rm eq}$: to hold the visible units still
# costs free energy, and the cost is $-\ln p(v)$, the surprise of seeing $v$. Because the
# probabilities add up to 1, the two are tied together:
#
# $$e^{-F_{\rm eq}} = Z = \sum_v Z_c(v) = \sum_v e^{-F_c(v)} . \tag{2.2}$$
#
# **The sum in closed form.** Collect the terms of (B1) that contain $h_j$. Each hidden unit sees a
# single number, its *input* $x_j$:
#
# $$E(v, h) = -a \cdot v - \sum_j x_j h_j , \qquad x_j = b_j + \sum_i v_i W_{ij} . \tag{2.3}$$
#
# With $v$ fixed there is no term that couples two hidden units. The exponential of a sum is a
# product, with one factor for each unit; and a sum over all $h$ of such a product is the product of
# the sums:
#
# $$Z_c(v) = e^{a \cdot v} \sum_{h_1 = 0}^1 \sum_{h_2 = 0}^1 \cdots \prod_j e^{x_j h_j}
#   = e^{a \cdot v} \prod_j \sum_{h_j = 0}^1 e^{x_j h_j}
#   = e^{a \cdot v} \prod_j \left( 1 + e^{x_j} \right) . \tag{2.4}$$
#
# That is $2^6$ terms replaced by 6 factors. The logarithm turns the product back into a sum, and
# with $\mathrm{softplus}(x) = \ln(1 + e^x)$
#
# $$\boxed{\; F_c(v) = -a \cdot v - \sum_j \mathrm{softplus}\Big( b_j + \sum_i v_i W_{ij} \Big) \;}
#   \tag{B5b}$$
#
# $F_c$ is cheap for an RBM of any size: one matrix product. $F_{\rm eq}$ is not, because (2.2) still
# has one term for each visible state, $2^9$ of them here and $2^{784}$ for images of 28 × 28 pixels.
# (With the layers exchanged it has one for each hidden state, exercise 2: $2^6$ here, but $2^{500}$
# for 500 hidden units. The smaller layer decides.) All the trouble of training an RBM is in $F_{\rm eq}$.
#
# **It is a free energy.** By (B3) and (B4) the hidden units have, given $v$, the probability
#
# $$p(h|v) = \frac{p(v, h)}{p(v)} = \frac{e^{-E(v, h)}}{Z_c(v)} = e^{-E(v, h) + F_c(v)} . \tag{2.5}$$
#
# So $F_c(v) = E(v, h) + \ln p(h|v)$ for *every* $h$. Average both sides over $p(h|v)$:
#
# $$F_c(v) = \langle E(v, h) \rangle_{p(h|v)} - S_c(v) , \qquad
#   S_c(v) = -\sum_h p(h|v) \ln p(h|v) , \tag{2.6}$$
#
# expected energy minus entropy, of the hidden units alone. In the same way
# $F_{\rm eq} = \langle E \rangle - S$ with the average over $p(v, h)$, which is (B6) of chapter 1. An
# image thus gets a high probability if some hidden states fit it well (low energy), or if many fit
# it reasonably (high entropy).
#
# **Check against the exact result.** $F_c$ of all 512 images three times over: the row sums (2.1),
# the closed form (B5b), energy minus entropy (2.6), and all that against the library.
#
# One hidden unit contributes $-\mathrm{softplus}(x)$ to $F_c$. The picture takes it apart into energy
# and entropy, as in (2.6).


# %%
def softplus(x):
    return np.logaddexp(0.0, x)


marginal = joint.sum(axis=1)  # p(v), (B4), (512,)
conditional = joint / marginal[:, np.newaxis]  # p(h|v), (512, 64)
hidden_input = hidden_bias + visible_states @ kernel  # (2.3), (512, 6)
free_energy = -visible_states @ visible_bias - softplus(hidden_input).sum(axis=1)  # (B5b)
clamped_energy = np.sum(conditional * energies, axis=1)
clamped_entropy = -np.sum(conditional * np.log(conditional), axis=1)
check(free_energy, -np.log(boltzmann_factors.sum(axis=1)))  # (2.1)
check(free_energy, clamped_energy - clamped_entropy)  # (2.6)
check(free_energy, rbm.free_energy(visible_states))  # the library
print(f"F_c from {free_energy.min():.3f} to {free_energy.max():.3f} nats")

# %% name="two-free-energies"
equilibrium_free_energy = -enumeration.log_z(rbm)
check(np.log(marginal), -free_energy + equilibrium_free_energy)  # (B5a)
check(equilibrium_free_energy, -tf.reduce_logsumexp(-free_energy))  # (2.2)
mean_energy, entropy = np.sum(joint * energies), -np.sum(joint * np.log(joint))
check(equilibrium_free_energy, mean_energy - entropy)  # (B6)
print(f"F_eq = <E> - S = {mean_energy:.3f} - {entropy:.3f} = {equilibrium_free_energy:.3f} nats")
for name, index in (("likeliest", np.argmax(marginal)), ("least likely", np.argmin(marginal))):
    print(f"{name} image: F_c = {clamped_energy[index]:.3f} - {clamped_entropy[index]:.3f}", end="")
    print(f" = {free_energy[index]:.3f} nats, ln p(v) = {np.log(marginal[index]):.3f} nats")

# %% name="hidden-unit" alt="Left: free energy minus softplus(x) of one hidden unit, a smooth bend below its lowest energy, 0 or minus x; the expected energy lies above. Right: the sigmoid, and an entropy hill with its top at 0."
x = np.linspace(-6, 6, 241)
on = 1 / (1 + np.exp(-x))  # p(h = 1), the sigmoid
unit_entropy = -on * np.log(on) - (1 - on) * np.log(1 - on)
check(-softplus(x), -x * on - unit_entropy)  # (2.6) for one unit
figure, axes = plt.subplots(1, 2, figsize=(10, 3.4))
axes[0].plot(x, -softplus(x), color=blue, lw=2.5, label="free energy $-$softplus$(x)$")
axes[0].plot(x, -x * on, color=orange, label="expected energy")
axes[0].plot(x, np.minimum(0, -x), "--", color="black", lw=1, label="lowest energy")
label(axes[0], "A single hidden unit", "input $x$ (nats)", "nats")
axes[1].plot(x, on, color=green, label="probability of $h = 1$")
axes[1].plot(x, unit_entropy, color=purple, label="entropy (nats)")
label(axes[1], "Its mean and its entropy", "input $x$ (nats)", "")
for axis in axes:
    axis.legend()
plt.show()

# %% [markdown]
# With a large input of either sign the unit has made up its mind: its entropy vanishes, and its
# free energy is its lowest energy, 0 or $-x$. In between it gains up to $\ln 2$ nats from being
# undecided. The slope of the blue curve is minus the green one, a fact that we shall need in
# section 6.
#
# ## 3. The conditional probabilities factorise
#
# The product (2.4) holds more than its value. Insert (2.3) and (2.4) into (2.5):
#
# $$p(h|v) = \frac{e^{a \cdot v} \prod_j e^{x_j h_j}}{e^{a \cdot v} \prod_j (1 + e^{x_j})}
#   = \prod_j \frac{e^{x_j h_j}}{1 + e^{x_j}} = \prod_j p(h_j|v) . \tag{3.1}$$
#
# Given the visible units, the hidden units are *independent*, and each is on with the probability
#
# $$p(h_j = 1|v) = \frac{e^{x_j}}{1 + e^{x_j}} = \sigma\Big( b_j + \sum_i v_i W_{ij} \Big) ,
#   \qquad \sigma(x) = \frac{1}{1 + e^{-x}} . \tag{3.2}$$
#
# The energy (B1) treats both layers alike. Exchange their roles, collect the terms that contain
# $v_i$, and the same steps give
#
# $$p(v|h) = \prod_i p(v_i|h) , \qquad
#   p(v_i = 1|h) = \sigma\Big( a_i + \sum_j W_{ij} h_j \Big) . \tag{3.3}$$
#
# Neither layer is independent *by itself*: $p(v)$ is no product, or an RBM could learn nothing but
# the mean of each pixel. The dependence between the visible units comes from the sum over $h$.
# Because each layer can be drawn at once given the other, an RBM can be sampled layer by layer:
# *block Gibbs sampling*.
#
# **Check against the exact result**: both products against the table of $p(v, h)$.

# %%
hidden_mean, visible_mean = rbm.hidden_mean(visible_states), rbm.visible_mean(hidden_states)


def bernoulli(mean, states):
    """The product of the probabilities of independent units, for each mean and each state."""
    factors = np.where(states, mean[:, np.newaxis], 1 - mean[:, np.newaxis])
    return factors.prod(axis=-1)  # (num_means, num_states)


def distance_from_product(p):
    """KL between p(v), (512,), and the product of its means, nats."""
    means = (p @ visible_states)[np.newaxis]
    return special.rel_entr(p, bernoulli(means, visible_states)[0]).sum()


# %% name="no-product"
check(conditional, bernoulli(hidden_mean.numpy(), hidden_states))  # (3.1), (3.2)
given_hidden = (joint / joint.sum(axis=0)).T  # p(v|h), (64, 512)
check(given_hidden, bernoulli(visible_mean.numpy(), visible_states))  # (3.3)
distance = distance_from_product(marginal)
print(f"p(v) is no product: KL(p(v) || product of its means) = {distance:.4f} nats")
assert distance > 1e-3

# %% [markdown]
# Not much yet: the parameters are random. After training, in section 10, it will be over three nats.

# %% [markdown]
# ## 4. What training maximises, and how far it can get
#
# Our data are the 14 *bars and stripes* of 3 × 3 pixels: images whose rows are all alike or whose
# columns are all alike. Training chooses the parameters that make the data most likely, that is, it
# maximises the expected log likelihood
#
# $$L(a, b, W) = \big\langle \ln p(v) \big\rangle_{\rm data}
#   = \frac1N \sum_{n=1}^{N} \ln p(v^{(n)})
#   = -\big\langle F_c(v) \big\rangle_{\rm data} + F_{\rm eq} . \tag{B2}$$
#
# The last step is (B5a), and $F_{\rm eq}$ needs no average because it does not depend on $v$.
# Maximising $L$ is therefore minimising a difference of free energies, $\langle F_c \rangle_{\rm
# data} - F_{\rm eq}$, the mean cost of clamping the machine to the data.
#
# **The upper limit.** Let $p_D(v)$ be the distribution of the data, $1/14$ for each pattern and 0
# for every other image. Add and subtract $\ln p_D$ (where $p_D = 0$ the term is 0):
#
# $$L = \sum_v p_D(v) \ln p(v)
#   = \underbrace{\sum_v p_D(v) \ln p_D(v)}_{-S_D}
#   \;-\; \underbrace{\sum_v p_D(v) \ln \frac{p_D(v)}{p(v)}}_{\mathrm{KL}(p_D \| p)} . \tag{4.1}$$
#
# The first term does not depend on the model: it is minus the entropy of the data. The second is
# the *Kullback-Leibler divergence*, and it is never negative. Since $\ln u \le u - 1$, with equality
# at $u = 1$ only,
#
# $$-\mathrm{KL}(p_D \| p) = \sum_{v:\, p_D > 0} p_D \ln \frac{p}{p_D}
#   \le \sum_{v:\, p_D > 0} p_D \Big( \frac{p}{p_D} - 1 \Big)
#   = \sum_{v:\, p_D > 0} p(v) - 1 \le 0 . \tag{4.2}$$
#
# For $N$ different, equally frequent images $S_D = \ln N$, so
#
# $$\boxed{\; L = -\ln N - \mathrm{KL}(p_D \| p) \;\le\; -\ln N = -\ln 14 \;} \tag{4.3}$$
#
# with equality only if the model *is* the data distribution. No model whatever, with any number of
# hidden units, can do better. (An RBM with finite parameters gives every image a probability above 0. At
# best it comes as close to the limit as one likes, while its parameters keep growing.) At the other end, a
# model with all parameters 0, all 512 images equally likely, has $L = -9 \ln 2$. These two numbers are the
# scale on which to read every likelihood below.
#
# **Check against the exact result**: (B2) against the mean of $\ln p(v)$ from the table, and the
# decomposition (4.3).

# %% name="bars-and-stripes" alt="The 14 images of 3 by 3 pixels whose rows are all alike or whose columns are all alike, among them the all-white and the all-black one. Black is 1, light grey is 0."
images, _ = datasets.bars_and_stripes(3)
data = images.reshape(14, 9).astype(float)
is_data = np.array([(data == state).all(axis=1).any() for state in visible_states])  # (512,)
data_weights = np.full(14, 1 / 14)
upper_limit, uniform = -math.log(14), -9 * math.log(2)
figure, axis = plt.subplots(figsize=(8, 1.4))
plotting.image_grid(axis, images, columns=14).images[0].set_clim(-0.2, 1)  # 0 in light grey
axis.set_title("The 14 bars and stripes: black is 1, light grey is 0")
plt.show()


# %% name="limits"
def log_likelihood(rbm):
    """L, the mean of ln p(v) over the data (B2), by the two free energies (B5a), nats."""
    return float(-np.mean(rbm.free_energy(data)) - enumeration.log_z(rbm))


divergence = special.rel_entr(is_data / 14, marginal).sum()  # KL(p_D || p), over all 512 images
check(log_likelihood(rbm), np.log(marginal[is_data]).mean())  # (B2)
check(log_likelihood(rbm), upper_limit - divergence)  # (4.3)
assert log_likelihood(rbm) < uniform - 5  # sure of things that are not so
print(f"upper limit -ln 14 = {upper_limit:.6f}, uniform model -9 ln 2 = {uniform:.6f} nats")
print(f"random RBM: L = {upper_limit:.4f} - {divergence:.4f} = {log_likelihood(rbm):.4f} nats")

# %% [markdown]
# The random RBM is much worse than the uniform one: it is sure of things that are not so.
#
# ## 5. Scale and temperature
#
# At inverse temperature $\beta$ the probability is $p_\beta \propto e^{-\beta E}$. The energy (B1) is
# linear in its parameters, hence
#
# $$\beta\, E(v, h;\, a, b, W) = E(v, h;\, \beta a, \beta b, \beta W) , \qquad
#   p_\beta(v, h;\, a, b, W) = p_1(v, h;\, \beta a, \beta b, \beta W) : \tag{B7}$$
#
# to multiply all parameters by $s$ is the same as to set $\beta = s$. Nothing but the product of
# parameters and $\beta$ can ever be observed, which is why one may train at $\beta = 1$ for good.
#
# **An effective temperature.** Take an RBM without biases and split its kernel into size and
# direction, $W = \|W\|\, \hat W$ with $\|\hat W\| = 1$ (all norms here are Frobenius norms, the
# root of the sum of squares). By (B7),
#
# $$p_1(v, h;\, W) = p_\beta(v, h;\, \hat W) \quad \text{with} \quad \beta = \|W\| , \qquad
#   T_{\rm eff} = \frac{1}{\|W\|} . \tag{5.1}$$
#
# This is what the post means by an effective temperature: a machine with large weights behaves as a
# cold one. As an equation (5.1) is exact. As a rule of thumb for RBMs in general it has two limits.
#
# **First, the biases.** If they are *not* scaled along, multiplying $W$ by $s$ is more than a change
# of temperature. Write $E = E_W + E_{\rm bias}$ for interaction and biases. The machine with the
# kernel $s W$ has the energy $s E_W + E_{\rm bias}$; the machine at $\beta = s$ has
# $\beta E = s E_W + s E_{\rm bias}$. They differ by $(1 - s) E_{\rm bias}$, so
#
# $$p_{sW}(v, h) = \frac{p_s(v, h)\, e^{-t E_{\rm bias}(v, h)}}{\langle e^{-t E_{\rm bias}} \rangle_s} , \qquad
#   t = 1 - s . \tag{5.2}$$
#
# This is a tilt, as in chapter 1. From its normaliser, with the cumulant generating function
# $K(t) = \ln \langle e^{-t E_{\rm bias}} \rangle_s$, follows how far the two machines are apart. Take the
# logarithm of (5.2) and average over $p_{sW}$, under which $-E_{\rm bias}$ has the mean $K'(t)$:
#
# $$\mathrm{KL}(p_{sW} \| p_s) = \Big\langle \ln \frac{p_{sW}}{p_s} \Big\rangle_{sW}
#   = t\, K'(t) - K(t) = \frac{t^2}{2} \langle\!\langle E_{\rm bias}^2 \rangle\!\rangle_s + O(t^3) , \tag{5.3}$$
#
# because $K = \kappa_1 t + \frac12 \kappa_2 t^2 + \dots$, with $\kappa_1$ the mean of $-E_{\rm bias}$ under
# $p_s$ and $\kappa_2 = \langle\!\langle E_{\rm bias}^2 \rangle\!\rangle_s$ its variance, and
# $t K' = \kappa_1 t + \kappa_2 t^2 + \dots$ "Weights as temperature" is thus a good approximation while $(1 - s)$ times
# the *fluctuation* of the bias energy is small. For small biases its error grows with their square,
# and without them it vanishes.
#
# **Second, the direction.** The norm compares temperatures along one ray $s \hat W$ only. Two
# kernels of equal norm and different direction are two different machines, and one may be ordered
# while the other is not.
#
# **Check against the exact result** of (B7) and (5.3); then the experiment.


# %%
def relative_entropy(energy, other):
    """KL between the Boltzmann distributions of two energies at beta = 1, nats."""
    log_p, log_q = (tf.nn.log_softmax(-np.ravel(x)).numpy() for x in (energy, other))
    return np.exp(log_p) @ (log_p - log_q)


interaction, bias_energy, divergences = energies + linear, -linear, {}  # E_W, E_bias, (512, 64)
for factor in bias_factors:
    biases = factor * bias_energy
    divergences[factor] = [  # KL(p_sW || p_s)
        relative_entropy(s * interaction + biases, s * (interaction + biases))
        for s in weight_factors
    ]
    ends = divergences[factor][0], divergences[factor][-1]
    print(f"biases x {factor}: KL = {ends[0]:.4f} nats at s = 0.2, {ends[1]:.4f} nats at s = 2")

# %%
norm, unit, no_bias = np.linalg.norm(kernel), random_rbm(0, 0, 0), random_rbm(kernel_scale, 0, 0)
unit.kernel.assign(kernel / norm)
check(enumeration.log_z(no_bias), enumeration.log_z(unit, beta=norm))  # (5.1)

# %%
for s in (0.5, 0.9, 0.99, 2.0):
    cold = random_rbm(s * kernel_scale, s * bias_scale, s * bias_scale)  # all parameters times s
    check(enumeration.log_z(cold), enumeration.log_z(rbm, beta=s))  # (B7)
    check(cold.energy(v, h), s * energies.ravel())  # (B7)
    generating = partial(  # K(t)
        cumulants.generating_function, x=-bias_energy.ravel(), log_weights=-s * energies.ravel()
    )
    t = tf.constant(1 - s, tf.float64)
    slope = cumulants.derivatives(generating, max_order=1, at=t)[0]
    exact = relative_entropy(s * interaction + bias_energy, s * energies)
    check(exact, t * slope - generating(t))  # (5.3)
    variance = cumulants.derivatives(generating, max_order=2, at=0 * t)[1]
    print(f"s = {s:4.2f}: KL = {exact:.6f} nats, leading term {t**2 / 2 * variance:.6f} nats")

# %%
norms = np.linspace(0, 40, 81)
unbiased, entropies = random_rbm(kernel_scale, 0.0, 0.0), {}
one_bond = np.eye(num_visible, 1) * np.eye(1, num_hidden)
signs = (-1.0) ** np.add.outer(np.arange(num_visible), np.arange(num_hidden))
for name, direction in (
    ("one bond", one_bond),
    ("all equal, positive", np.ones((num_visible, num_hidden))),
    ("random", kernel),
    ("signs of a chessboard", signs),
):
    unbiased.kernel.assign(direction / np.linalg.norm(direction))
    entropies[name] = enumeration.thermodynamics(unbiased, norms).entropy  # beta = ||W||
    print(f"||W|| = 10, {name}: S = {entropies[name][20]:.3f} nats")

# %% name="scale-and-temperature" alt="Left: the divergence from scaling W alone; zero without biases, else a valley with its bottom at s = 1, steeper for larger biases. Right: entropy falls with the norm, differently for four kernels."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.8))
for (factor, values), colour in zip(divergences.items(), (grey, green, blue, orange), strict=True):
    axes[0].plot(weight_factors, values, color=colour, label=f"biases × {factor:g}")
label(axes[0], "Scaling $W$ alone is not a temperature", "factor $s$", "KL$(p_{sW} || p_s)$ (nats)")
for (name, values), colour in zip(entropies.items(), (grey, green, blue, orange), strict=True):
    axes[1].plot(norms, values, color=colour, label=name)
label(axes[1], "One norm, four entropies", r"$\beta = \|W\|$", "entropy $S$ (nats)")
axes[1].set_ylim(bottom=0)
for axis in axes:
    axis.legend()
plt.show()

# %% [markdown]
# Left: without biases (grey) the two machines are identical, as (5.1) says; with them they part, the
# faster the larger the biases. (They are too large here for an error
# that grows with their square.) Right: every curve starts at $15 \ln 2$ nats and falls as the norm
# grows, but at the same norm the four directions have very different entropies. One bond can freeze two
# units only, so that its curve levels off at $13 \ln 2 = 9.01$ nats; and the curves cross. So "large weights
# are a low temperature" is a statement about *one* machine whose parameters are all turned up
# together. A norm is not a thermometer that two machines can share.
#
# ## 6. The gradient of the clamped free energy
#
# The post announces the derivatives of both free energies for its appendix, but does not give them.
# Here they are, every step. Let $\theta$ be any parameter. Start from the definition (2.1), with the
# chain rule for the logarithm and for the exponential:
#
# $$\frac{\partial F_c(v)}{\partial \theta}
#   = -\frac{1}{Z_c(v)} \frac{\partial Z_c(v)}{\partial \theta}
#   = -\frac{1}{Z_c(v)} \sum_h \frac{\partial}{\partial \theta}\, e^{-E(v, h)}
#   = \sum_h \frac{e^{-E(v, h)}}{Z_c(v)} \frac{\partial E(v, h)}{\partial \theta} . \tag{6.1}$$
#
# By (2.5) the fraction is $p(h|v)$. So the derivative of the free energy is the expected derivative
# of the energy, with the data held fixed:
#
# $$\frac{\partial F_c(v)}{\partial \theta}
#   = \Big\langle \frac{\partial E(v, h)}{\partial \theta} \Big\rangle_{p(h|v)} . \tag{6.2}$$
#
# The derivatives of the energy (B1) can be read off, since each parameter occurs once:
#
# $$\frac{\partial E}{\partial W_{ij}} = -v_i h_j , \qquad
#   \frac{\partial E}{\partial a_i} = -v_i , \qquad
#   \frac{\partial E}{\partial b_j} = -h_j . \tag{6.3}$$
#
# Under $p(h|v)$ the data $v_i$ are constants and come out of the average. What is left is the mean of
# $h_j$, and the mean of a unit that is 0 or 1 is the probability of a 1:
#
# $$\langle v_i h_j \rangle_{p(h|v)} = v_i\, \langle h_j \rangle_{p(h|v)}
#   = v_i \big[ 0 \cdot p(h_j = 0|v) + 1 \cdot p(h_j = 1|v) \big] = v_i\, p(h_j = 1|v) . \tag{6.4}$$
#
# Together,
#
# $$\boxed{\; \frac{\partial F_c(v)}{\partial W_{ij}} = -v_i\, p(h_j = 1|v) , \qquad
#   \frac{\partial F_c(v)}{\partial a_i} = -v_i , \qquad
#   \frac{\partial F_c(v)}{\partial b_j} = -p(h_j = 1|v) \;} \tag{B8}$$
#
# **The same from the closed form** (B5b), without any average. The derivative of softplus is the
# sigmoid, $\frac{d}{dx} \ln(1 + e^x) = \frac{e^x}{1 + e^x} = \sigma(x)$. The input
# $x_k = b_k + \sum_l v_l W_{lk}$ depends on $W_{ij}$ only if $k = j$, and then with the slope $v_i$:
#
# $$\frac{\partial F_c(v)}{\partial W_{ij}}
#   = -\sum_k \sigma(x_k)\, \frac{\partial x_k}{\partial W_{ij}} = -\sigma(x_j)\, v_i , \qquad
#   \frac{\partial F_c(v)}{\partial b_j} = -\sigma(x_j) , \tag{6.5}$$
#
# and $\partial F_c / \partial a_i = -v_i$ from the linear term. With (3.2) this is (B8) again.
#
# **Check against the exact result**: (B8) for every parameter and each of the 14 images, against
# automatic differentiation, against finite differences, and against the average (6.2) over the table.
# For the first two we write the free energies as functions of a single vector $\theta$ that holds
# all 69 parameters. The finite difference uses four points, so that its error is of order
# $\epsilon^4$:
#
# $$f'(0) \approx \frac{8 \left[ f(\epsilon) - f(-\epsilon) \right]
#   {} - \left[ f(2 \epsilon) - f(-2 \epsilon) \right]}{12\, \epsilon} . \tag{6.6}$$


# %%
def flatten(kernel, visible_bias, hidden_bias):
    return np.concatenate([np.ravel(x) for x in (kernel, visible_bias, hidden_bias)])


def clamped(theta, v):
    """F_c(v) in closed form (B5b), nats; theta is flat, (69,)."""
    kernel, visible_bias, hidden_bias = tf.split(theta, [54, num_visible, num_hidden])
    hidden_input = hidden_bias + tf.tensordot(v, tf.reshape(kernel, (num_visible, num_hidden)), 1)
    return -tf.tensordot(v, visible_bias, 1) - tf.reduce_sum(tf.math.softplus(hidden_input), -1)


def equilibrium(theta):
    return -tf.reduce_logsumexp(-clamped(theta, visible_states))  # (2.2)


# %%
def autodiff(function, theta):
    theta = tf.convert_to_tensor(theta)
    with tf.GradientTape() as tape:
        tape.watch(theta)
        value = function(theta)
    return tape.gradient(value, theta)


def finite_differences(function, theta, step=2e-3):
    function = tf.function(function)  # called four times for each parameter
    moves = step * np.eye(len(theta))  # one parameter at a time
    near = np.array([function(theta + d) - function(theta - d) for d in moves])
    far = np.array([function(theta + 2 * d) - function(theta - 2 * d) for d in moves])
    return (8 * near - far) / (12 * step)  # (6.6)


# %%
theta = flatten(kernel, visible_bias, hidden_bias)  # (69,)
differences, worst = finite_differences(partial(clamped, v=data), theta).T, 0.0  # (14, 69)
hidden_means = rbm.hidden_mean(data).numpy()
for image, p_hidden, difference in zip(data, hidden_means, differences, strict=True):
    by_formula = flatten(-np.outer(image, p_hidden), -image, -p_hidden)  # (B8)
    of_image = partial(clamped, v=image)
    row = np.flatnonzero((visible_states == image).all(axis=1))[0]
    hidden_average = conditional[row] @ hidden_states  # <h> over p(h|v) from the table
    check(by_formula, -flatten(np.outer(image, hidden_average), image, hidden_average))
    check(by_formula, autodiff(of_image, theta))
    check(by_formula, difference)
    worst = max(worst, np.abs(by_formula - difference).max())
print(f"14 x 69 derivatives agree; largest error of a finite difference {worst:.1e}")

# %% [markdown]
# ## 7. The gradient of the equilibrium free energy
#
# The same three steps, now with a sum over $v$ as well. From $F_{\rm eq} = -\ln Z$ and (B3),
#
# $$\frac{\partial F_{\rm eq}}{\partial \theta}
#   = -\frac1Z \frac{\partial Z}{\partial \theta}
#   = -\frac1Z \sum_{v, h} \frac{\partial}{\partial \theta}\, e^{-E(v, h)}
#   = \sum_{v, h} \frac{e^{-E(v, h)}}{Z} \frac{\partial E(v, h)}{\partial \theta}
#   = \Big\langle \frac{\partial E}{\partial \theta} \Big\rangle_{p(v, h)} . \tag{7.1}$$
#
# With the derivatives (6.3) of the energy,
#
# $$\boxed{\; \frac{\partial F_{\rm eq}}{\partial W_{ij}} = -\langle v_i h_j \rangle_{p(v, h)} , \qquad
#   \frac{\partial F_{\rm eq}}{\partial a_i} = -\langle v_i \rangle_{p(v, h)} , \qquad
#   \frac{\partial F_{\rm eq}}{\partial b_j} = -\langle h_j \rangle_{p(v, h)} \;} \tag{B9}$$
#
# The difference from (B8) is one of averages only: there $v$ was given, here the model makes up its
# own. This becomes explicit on a second route. Differentiate (2.2) and use $e^{-F_c(v)} / Z = p(v)$:
#
# $$\frac{\partial F_{\rm eq}}{\partial \theta}
#   = -\frac1Z \sum_v \frac{\partial}{\partial \theta}\, e^{-F_c(v)}
#   = \sum_v p(v)\, \frac{\partial F_c(v)}{\partial \theta}
#   = \Big\langle \frac{\partial F_c(v)}{\partial \theta} \Big\rangle_{p(v)} . \tag{7.2}$$
#
# So $\langle v_i h_j \rangle_{p(v, h)} = \langle v_i\, p(h_j = 1|v) \rangle_{p(v)}$. Inside the average the
# hidden units are summed out exactly; what is difficult is to draw the visible ones, since $p(v)$ does not
# factorise. (Gibbs sampling draws $h$ on the way to the next $v$.)
#
# **Check against the exact result**: averages over all $2^{15}$ states of the table, the library's
# `enumeration.moments`, route (7.2), automatic differentiation, finite differences.


# %%
def averages(rbm, v, weights):
    """<v h^T>, <v>, <h>: h averaged over p(h|v) as in (B8), v over the given weights."""
    h = rbm.hidden_mean(v)
    weighted = v * weights[:, tf.newaxis]
    by_kernel = tf.matmul(weighted, h, transpose_a=True)
    return by_kernel, tf.reduce_sum(weighted, 0), tf.linalg.matvec(h, weights, transpose_a=True)


# %%
correlation, p_h = visible_states.T @ joint @ hidden_states, joint.sum(axis=0)
table = correlation, marginal @ visible_states, p_h @ hidden_states
model_gradient = -flatten(*table)  # (B9)
moments = enumeration.moments(rbm)
library = moments.correlation, moments.visible, moments.hidden
check(model_gradient, -flatten(*library))
check(model_gradient, -flatten(*averages(rbm, visible_states, marginal)))  # (7.2)
check(model_gradient, autodiff(equilibrium, theta))
check(model_gradient, finite_differences(equilibrium, theta))
print("dF_eq/da =", " ".join(f"{-x:.4f}" for x in table[1]))

# %% [markdown]
# ## 8. Are these expected energies?
#
# The post remarks that the derivatives look like expected energies *with a unit weight matrix*. That
# can be made precise. Let $e^{(ij)}$ be the matrix with a single 1, at position $(i, j)$, and zeros
# elsewhere. The interaction energy $E_W(v, h) = -\sum_{ij} v_i W_{ij} h_j$ of a machine with the
# kernel $e^{(ij)}$ is $-v_i h_j$, so that
#
# $$\frac{\partial F_{\rm eq}}{\partial W_{ij}} = -\langle v_i h_j \rangle
#   = \big\langle E_{e^{(ij)}}(v, h) \big\rangle_{p(v, h)} . \tag{8.1}$$
#
# It is the expected energy of *one bond with unit weight*, under the probabilities of the machine as
# it is. (The post writes the identity matrix. With ones on the diagonal the energy would be
# $-\sum_i v_i h_i$, the bonds 11, 22, and so on together, which no single derivative gives, and the norm
# not 1 but $\sqrt 6$ for our 9 × 6.) The norm of $e^{(ij)}$ is 1, so that in the language
# of (5.1) a machine with this kernel has $T_{\rm eff} = 1$. But only the energy in (8.1) is that
# machine's; the probabilities are those of $W$, at its own temperature.
#
# The true energy of the bond has its weight in front, $W_{ij} \cdot (-v_i h_j)$. So multiply each
# derivative by its weight and add up:
#
# $$\sum_{ij} W_{ij} \frac{\partial F}{\partial W_{ij}}
#   = -\Big\langle \sum_{ij} W_{ij} v_i h_j \Big\rangle
#   = \langle E_W \rangle . \tag{8.2}$$
#
# Behind this is *Euler's theorem*: if $f(sx) = s^k f(x)$, then $\sum_i x_i\, \partial f / \partial
# x_i = k f(x)$ (differentiate with respect to $s$ at $s = 1$). The energy $E_W$ has $k = 1$ in $W$.
# The free energy itself is *not* of this kind, and (8.2) does not give back $F$: there is an entropy
# in $F$ that does not scale. But by (6.2) and (7.1) a derivative of $F$ is the average of a
# derivative of $E$, and inside the average Euler's theorem applies.
#
# Equation (8.2) holds for $F_{\rm eq}$ with the average over $p(v, h)$, and for $F_c(v)$ with the
# average over $p(h|v)$. If the sum runs over all parameters $\theta$, biases included, the whole
# energy is complete, and with (2.6)
#
# $$\theta \cdot \nabla F_{\rm eq} = \langle E \rangle , \qquad
#   \theta \cdot \nabla F_c(v) = \langle E \rangle_{p(h|v)} , \qquad
#   F - \theta \cdot \nabla F = -S . \tag{8.3}$$
#
# The last one holds for both: what the gradient leaves over is the entropy. And since by (B7)
# turning all parameters is turning $\beta$, $\theta \cdot \nabla F_{\rm eq} = -d \ln Z / d\beta$ at
# $\beta = 1$: (8.3) is the generating property (B6) of chapter 1.
#
# **Check against the exact result** from the table, for both free energies.

# %%
interaction_energy = np.sum(joint * interaction)
check(np.sum(kernel * -table[0]), interaction_energy)  # (8.2)
check(theta @ model_gradient, mean_energy)  # (8.3)
check(mean_energy, enumeration.thermodynamics(rbm, [1.0]).energy[0])  # (B6)
check(equilibrium_free_energy - theta @ model_gradient, -entropy)  # (8.3)

pairs = zip(visible_states, hidden_mean.numpy(), strict=True)
clamped_gradients = np.array([-flatten(np.outer(x, y), x, y) for x, y in pairs])  # (B8), (512, 69)
by_weights = clamped_gradients[:, :54] @ theta[:54]
check(by_weights, np.sum(conditional * interaction, axis=1))  # (8.2), clamped
check(clamped_gradients @ theta, clamped_energy)  # (8.3), clamped
check(free_energy - clamped_gradients @ theta, -clamped_entropy)  # (8.3), clamped
print(f"weights x derivatives of F_eq: {interaction_energy:.6f} nats = <E_W>")
print(f"parameters x derivatives of F_eq: {mean_energy:.6f} nats = <E> = F_eq + {entropy:.6f}")

# %% [markdown]
# ## 9. The gradient of the likelihood
#
# Put (B8) and (B9) into (B2). The gradient of the log likelihood is a difference of two averages:
#
# $$\boxed{\; \begin{aligned}
# \frac{\partial L}{\partial W_{ij}}
#   &= \langle v_i\, p(h_j = 1|v) \rangle_{\rm data} - \langle v_i h_j \rangle_{p(v, h)} \\
# \frac{\partial L}{\partial a_i}
#   &= \langle v_i \rangle_{\rm data} - \langle v_i \rangle_{p(v, h)} \\
# \frac{\partial L}{\partial b_j}
#   &= \langle p(h_j = 1|v) \rangle_{\rm data} - \langle h_j \rangle_{p(v, h)}
# \end{aligned} \;} \tag{9.1}$$
#
# | term | comes from | average over | what a step does |
# |:--|:--|:--|:--|
# | first, *positive phase* | $-F_c$, clamped | data, and $h$ given the data | taken alone: lowers $F_c$ of the data |
# | second, *negative phase* | $+F_{\rm eq}$, free | what the model makes up by itself | taken alone: raises $F_c$ of what the model likes |
#
# Where the model already produces what the data contain, the two terms cancel. At a maximum (for our data
# it lies at infinity, and (9.2) is approached, not reached) the gradient is zero, hence
#
# $$\langle v_i h_j \rangle_{\text{data},\, p(h|v)} = \langle v_i h_j \rangle_{p(v, h)} , \qquad
#   \langle v_i \rangle_{\rm data} = \langle v_i \rangle_{p(v, h)} , \qquad \dots \tag{9.2}$$
#
# Training is *moment matching*. Multiply (9.1) by the parameters and add, as in (8.3):
# $\theta \cdot \nabla L = -\langle E \rangle_{\text{data},\, p(h|v)} + \langle E \rangle_{p(v, h)}$.
# At a maximum the mean energy, too, is the same clamped and free.
#
# **Curvature.** Collect the products $v_i h_j$ and the units in one vector $\phi(v, h)$, such that
# $E = -\theta \cdot \phi$. By (B8) and (B9), $-F_c$ and $\ln Z$ have the gradients $\langle \phi
# \rangle_{p(h|v)}$ and $\langle \phi \rangle_{p(v, h)}$. One more derivative gives covariances, by
# the steps that led to (6.3) of chapter 1:
#
# $$\nabla \nabla^{\!\top} \ln Z = \mathrm{Cov}_{p(v, h)}(\phi) , \qquad
#   \nabla \nabla^{\!\top} L = \big\langle \mathrm{Cov}_{p(h|v)}(\phi) \big\rangle_{\rm data}
#   {} - \mathrm{Cov}_{p(v, h)}(\phi) . \tag{9.3}$$
#
# A covariance matrix has no negative eigenvalue, so $\ln Z$ is convex in the parameters, and so is
# $-F_c(v)$. Their difference, $L$, is neither convex nor concave. If the hidden units were seen, the
# first covariance would vanish and $L$ would be concave: no local maximum could be lower than
# another. Hidden units are what makes the landscape of an RBM hilly.
#
# **Check against the exact result**: the gradient of $L$ for the 14 images in three ways, and its
# Hessian, by finite differences of the automatic gradient.


# %% name="gradient-check"
def likelihood(theta):
    return -tf.reduce_mean(clamped(theta, data)) + equilibrium(theta)  # (B2)


positive, negative = averages(rbm, data, data_weights), table
gradient = flatten(*positive) - flatten(*negative)  # (9.1)
check(gradient, autodiff(likelihood, theta))
check(gradient, finite_differences(likelihood, theta))
energy_of_data = clamped_energy[is_data].mean()
check(theta @ gradient, mean_energy - energy_of_data)
print(f"theta . grad L = {theta @ gradient:.4f} nats = <E> free - <E> clamped", end=" = ")
print(f"{mean_energy:.4f} - ({energy_of_data:.4f}) nats")

# %%
products = (v[:, :, np.newaxis] * h[:, np.newaxis, :]).reshape(len(v), -1)
phi = np.concatenate([products, v, h], axis=1)  # (32768, 69)
check(phi @ theta, -energies.ravel())
free = np.cov(phi.T, aweights=joint.ravel(), bias=True)  # over p(v, h)
held = np.zeros_like(free)
for states, q in zip(phi.reshape(512, 64, 69)[is_data], conditional[is_data], strict=True):
    held += np.cov(states.T, aweights=q, bias=True) / 14  # over p(h|v)

# %% name="hessian"
hessian = finite_differences(partial(autodiff, likelihood), theta)
of_log_z = -finite_differences(partial(autodiff, equilibrium), theta)
check(of_log_z, free)
check(hessian + of_log_z, held)  # (9.3)
assert min(np.linalg.eigvalsh(x)[0] for x in (of_log_z, hessian + of_log_z)) > -1e-9  # convex
curvature = np.linalg.eigvalsh(hessian)
print(f"Hessian of L: eigenvalues from {curvature[0]:.3f} to {curvature[-1]:.3f},", end=" ")
print(f"{np.sum(curvature > 1e-8)} positive, {np.sum(curvature < -1e-8)} negative")

# %% [markdown]
# The Hessian has eigenvalues of both signs: at this point $L$ is indeed neither convex nor concave.
#
# ## 10. Training with the exact gradient
#
# With 512 visible states $F_{\rm eq}$ and its gradient are short sums. So we can do what is out of
# reach for a large RBM: gradient ascent on $L$ itself, $\theta \leftarrow \theta + \eta\, \nabla L$,
# with (9.1) and nothing else, no automatic differentiation and no samples.
#
# **Where to start.** Not at zero. There, $h$ is independent of $v$, all hidden units have
# $p(h_j = 1|v) = \frac12$, and every image is equally likely. In the bars and stripes each pixel is
# black in exactly half of the images (exchanging 0 and 1 maps the set onto itself). So data
# and model agree in $\langle v_i \rangle = \frac12$, in $\langle h_j \rangle = \frac12$, and in
# $\langle v_i h_j \rangle = \frac14$: the gradient vanishes exactly, with $L = -9 \ln 2$. All that
# there is to learn is in the *correlations* of the pixels. Small random weights break the tie.
#
# **Check against the exact result**: that zero is a stationary point; how close the training comes to the upper
# limit (4.3); and at the end, how well the moments match (9.2).


# %%
@tf.function
def train_step(rbm, model_factor):
    """One step of gradient ascent (9.1); returns <F_c> over the data and F_eq before it, nats."""
    free_energy = rbm.free_energy(visible_states)
    data_averages = averages(rbm, data, data_weights)
    model_averages = averages(rbm, visible_states, tf.nn.softmax(-free_energy))
    result = tf.reduce_mean(rbm.free_energy(data)), -tf.reduce_logsumexp(-free_energy)
    for parameter, x, y in zip(rbm.trainable_variables, data_averages, model_averages, strict=True):
        parameter.assign_add(learning_rate * (x - model_factor * y))
    return result


def log_probabilities(rbm):
    return -rbm.free_energy(visible_states).numpy() - enumeration.log_z(rbm)  # (B5a), (512,)


# %% name="training-log"
check(likelihood(np.zeros(69)), uniform)
check(autodiff(likelihood, np.zeros(69)), 0.0)  # zero is a stationary point
trained = random_rbm(start_scale, 0.0, 0.0)
start, before = flatten(*trained.trainable_variables), log_probabilities(trained)
history = np.array([train_step(trained, tf.constant(1.0, tf.float64)) for _ in range(num_steps)])
after = log_probabilities(trained)
curve = history[:, 1] - history[:, 0]  # L = -<F_c> + F_eq (B2)
assert 0 < upper_limit - log_likelihood(trained) < 0.1  # (4.3)
for step in (0, 10, 50, 100, 300, 1000, num_steps - 1):
    print(
        f"step {step:4d}: <F_c> = {history[step, 0]:7.3f}, F_eq = {history[step, 1]:7.3f}", end=""
    )
    print(f", L = {curve[step]:7.4f} nats")

# %% name="moments-match"
theta_trained = flatten(*trained.trainable_variables)
phases = (data, data_weights), (visible_states, np.exp(after))
positive, negative = (flatten(*averages(trained, *phase)) for phase in phases)
check(positive - negative, autodiff(likelihood, theta_trained))  # (9.1)
for name, log_p, point in (("before", before, start), ("after", after, theta_trained)):
    gradient, p = autodiff(likelihood, point).numpy(), np.exp(log_p)
    print(f"{name}: mean ln p(v) = {log_p[is_data].mean():.4f} nats", end=", ")
    print(f"probability of the 14 patterns {p[is_data].sum():.4f}", end=", ")
    print(f"entropy of p(v) {-p @ log_p:.4f} nats")
    print(f"    largest mismatch of moments (9.2) {np.abs(gradient).max():.4f}", end=", ")
    print(f"theta . grad L {point @ gradient:.4f} nats, ||W|| {np.linalg.norm(point[:54]):.2f}")
left = upper_limit - after[is_data].mean()
print(f"upper limit {upper_limit:.4f}, so that KL(data || model) = {left:.4f} nats is left")

# %%
distance = distance_from_product(np.exp(after))
print(f"KL(p(v) || product of its means) = {distance:.4f} nats after training")
assert distance > 3
assert abs(curve[10] - curve[0] - 0.03) < 0.01 and curve[50] - curve[10] < 0.1  # hop, standstill
assert curve[1000] - curve[100] > 2.5 and np.all(history[0] - history[-1] > 30)  # rise; both fall
assert np.linalg.norm(start[:54]) < 1 and 35 < np.linalg.norm(theta_trained[:54]) < 50
entropies = [-np.exp(x) @ x for x in (before, after)]
assert entropies[0] > 9 * np.log(2) - 0.1 and entropies[1] < np.log(14) + 0.5
assert theta_trained @ autodiff(likelihood, theta_trained).numpy() > 0.1

# %% name="training" alt="Left: the mean log likelihood rises steeply within 500 steps, then creeps towards the limit -ln 14. Right: both free energies fall by more than 30 nats, while the distance between them shrinks."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.6))
axes[0].plot(curve, color=green, lw=2, label="$L$")
axes[0].axhline(upper_limit, color="black", ls="--", lw=1, label=r"upper limit $-\ln 14$")
axes[0].axhline(uniform, color=grey, ls=":", lw=1.5, label=r"uniform model, $-9\,\ln 2$")
label(axes[0], "The log likelihood", "step", "mean $\\ln p(v)$ (nats)")
axes[1].plot(history[:, 0], color=blue, label=r"$\langle F_c\rangle$ of the data")
axes[1].plot(history[:, 1], color=orange, label=r"$F_{\rm eq}$")
label(axes[1], "Its two free energies", "step", "free energy (nats)")
for axis in axes:
    axis.legend()
plt.show()

# %% [markdown]
# Left: after a first hop of 0.03 nats, too small to see here, in which visible biases and weights together
# fit the mean of each pixel (with $p(h_j = 1|v) \approx \frac12$ a pixel feels $a_i + \frac12 \sum_j W_{ij}$),
# $L$ hardly moves for some fifty steps, because the random weights are small and zero is a stationary
# point. Once the hidden units begin to tell patterns apart it rises steeply, and then it creeps
# towards the upper limit, which no model can cross. Right: *both* free energies end more than thirty
# nats below their start. Neither alone says anything about the likelihood; what counts is the distance between them,
# which shrinks towards $\ln 14$. Meanwhile $\|W\|$ has grown from less than 1 to 42, and the entropy
# of $p(v)$ has gone from nearly $9 \ln 2$ nats to 2.96, not far above $\ln 14$: the machine has
# become far more ordered. The moments match closely but not perfectly. A positive $\theta \cdot
# \nabla L$ says that this machine would do better at a lower temperature (exercise 4).
#
# **Does every ascent get there?** The limit $-\ln 14$ asks for $p(v) = 0$ at all other images, and a machine
# with finite parameters gives no image the probability 0. So the best model lies at infinity, and the
# question is whether one gets close. By (9.3) $L$ is not concave, and an ascent may end elsewhere. We try
# with L-BFGS, a quasi-Newton method, from eight random starts of small parameters, and from eight of large ones.


# %%
@tf.function
def loss_and_gradient(theta):
    with tf.GradientTape() as tape:
        tape.watch(theta)
        loss = -likelihood(theta)
    return loss, tape.gradient(loss, theta)


# %%
def climb(scale, number):
    """How many nats below the limit L-BFGS ends, and the largest derivative there."""
    start = scale * np.random.default_rng(number).normal(size=69)
    end = optimize.minimize(
        lambda x: [y.numpy() for y in loss_and_gradient(tf.constant(x))],
        start,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 5000, "maxfun": 20_000},
    )
    return end.fun + upper_limit, np.abs(end.jac).max()


# %% name="many-starts"
ends = {}
for scale in (start_scale, 1.0):
    ends[scale], derivatives = np.transpose([climb(scale, number) for number in range(8)])
    assert np.all(derivatives < 1e-3)
    print(f"starts of scale {scale}: L-BFGS ends below the limit by", end=" ")
    print(np.sort(ends[scale]).round(3), "nats")
assert np.sum(ends[start_scale] > 0.25) >= 4 and ends[start_scale].min() > left
assert np.sum(ends[1.0] > 0.25) >= 1 and ends[1.0].min() < 1e-3

# %% [markdown]
# Nearly all of the small starts (here all), and some of the large ones, end several tenths of a nat or more
# below the limit, where no derivative is larger than $10^{-3}$: the slope has vanished, and the limit is not
# reached. Other starts come within a thousandth of a nat. The gradient ascent above, from small weights, did better than all
# eight runs of L-BFGS from small parameters. So the landscape has more than one end, and both the start and
# the method decide which one is reached. For this machine we know the limit and can tell; in practice one
# trains from several starts and keeps the best. Which of these ends are minima is the question of
# [chapter 21](21_local_minima.ipynb).
#
# How do the images fare one by one? In the limit of a perfect model (4.3) holds with equality, every
# pattern has $p(v) = 1/14$, and by (B5a) $F_c(v) = F_{\rm eq} + \ln 14$: all data on one level.

# %% name="levels" alt="Histograms of the clamped free energy. Before training the data lie among the other images, far from the wanted level. Then all data sit in one bar at the level; the other images are spread above."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.6))
for axis, title, point in zip(axes, ("Before", "After"), (start, theta_trained), strict=True):
    values = clamped(point, visible_states).numpy()  # F_c(v), (512,)
    bins = np.linspace(values.min() - 0.1, values.max() + 0.1, 32)
    for name, chosen, colour in (("other images", ~is_data, grey), ("data", is_data, blue)):
        share = np.full(chosen.sum(), 100 / chosen.sum())
        axis.hist(values[chosen], bins, weights=share, color=colour, alpha=0.7, label=name)
        ends = values[chosen].min(), values[chosen].max()
        print(f"{title} training, {name}: F_c from {ends[0]:.2f} to {ends[1]:.2f} nats")
    level = equilibrium(point) + math.log(14)
    axis.axvline(level, color=orange, ls="--", label=r"$F_{\rm eq} + \ln 14$")
    xlabel = "clamped free energy $F_c(v)$ (nats)"
    label(axis, title + " training", xlabel, "per cent of each group")
    axis.legend(loc="upper center")
plt.show()

# %% name="samples" alt="Left: probability of each of the 14 patterns, near 0 before training, all just below 1/14 after. Middle: 36 samples before, random dots. Right: 36 samples after, nearly all bars or stripes."
rng = np.random.default_rng(seed)
figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), width_ratios=[1.6, 1, 1])
for shift, name, log_p, colour in ((-0.2, "before", before, grey), (0.2, "after", after, blue)):
    axes[0].bar(np.arange(14) + shift, np.exp(log_p[is_data]), 0.4, color=colour, label=name)
axes[0].axhline(1 / 14, color="black", ls="--", lw=1, label="1/14")
label(axes[0], "Probability of each pattern", "pattern", "$p(v)$")
axes[0].set(xticks=[], ylim=(0, 0.095))
axes[0].legend(ncols=3)
for axis, name, log_p in ((axes[1], "before", before), (axes[2], "after", after)):
    drawn = rng.choice(512, size=num_samples, p=np.exp(log_p))  # exact samples of p(v)
    pictures = plotting.image_grid(axis, visible_states[drawn].reshape(-1, 3, 3), columns=6)
    pictures.images[0].set_clim(-0.2, 1)
    axis.set_title(f"Samples {name}")
    print(f"{name}: {is_data[drawn].sum()} of {num_samples} samples are bars or stripes")
plt.show()

# %% [markdown]
# Before training the data are nowhere near the level that theory asks for, and no different from
# other images. After training they lie on one line, close to that level, and every other image is
# more than three nats above them. The probabilities are even, and 33 of 36 samples are bars or
# stripes. These samples are exact draws from a list of 512 probabilities; a larger machine would
# need Gibbs sampling.
#
# ## 11. When it fails: dropping the equilibrium free energy
#
# $F_c$ is cheap, $F_{\rm eq}$ is not. So why not leave the expensive term out and simply make the
# data comfortable, by minimising $\langle F_c \rangle_{\rm data}$? Same start, same learning rate,
# same code, but no negative phase.
#
# **What to expect.** All averages in the positive phase are probabilities, none of them negative, so
# that without the second term every parameter can only *grow*. Soon all hidden units will be on,
# whatever the image, and the free machine will switch on every visible unit as well: all its
# probability on the one image that is black all over. That happens to be a pattern, and the other 13
# will pay for it.
#
# How fast? Once all hidden units are on, the positive phase is $g = \frac12$ for each of the 54
# weights and 9 visible biases (a pixel is black in half of the data) and $g = 1$ for each hidden
# bias, while the free machine has $\langle \phi \rangle = 1$ for all of them. A step changes
# $\theta$ by $\eta g$, and hence $L$ by $\eta g$ times its gradient $g - \langle \phi \rangle$:
#
# $$\Delta L = \eta \sum_k g_k \left( g_k - 1 \right)
#   = -\eta \cdot (54 + 9) \cdot \tfrac14 = -7.875 \text{ nats per step} \quad (\eta = 0.5). \tag{11.1}$$
#
# First order is exact here, because saturated free energies are linear in $\theta$.

# %% name="failure-log"
runaway, off = random_rbm(start_scale, 0.0, 0.0), tf.constant(0.0, tf.float64)
failed = np.array([train_step(runaway, off) for _ in range(num_failing_steps)])
failed_curve = failed[:, 1] - failed[:, 0]  # L (B2)
for step in (0, 2, 5, 10, num_failing_steps - 1):
    print(f"step {step:2d}: <F_c> = {failed[step, 0]:8.2f}, F_eq = {failed[step, 1]:8.2f}", end="")
    print(f", L = {failed_curve[step]:8.2f} nats")
likeliest = np.argmax(log_probabilities(runaway))
print(f"likeliest image {visible_states[likeliest].astype(int)}", end=", ")
print(f"p(v) = {np.exp(log_probabilities(runaway)[likeliest]):.6f}")
print(f"change of L in the last step: {np.diff(failed_curve)[-1]:.6f} nats")
check(np.diff(failed_curve)[-1], -learning_rate * (54 + 9) / 4, tolerance=1e-8)  # (11.1)
assert np.all(flatten(*runaway.trainable_variables) > start)  # every parameter has grown
assert np.all(np.diff(failed[:, 0]) < 0)  # the objective falls at every step

# %% name="runaway" alt="Left: without the negative phase both free energies fall, the equilibrium one faster. Right: the log likelihood falls below -450 nats in 60 steps; with the exact gradient it stays near -6."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.4))
axes[0].plot(failed[:, 0], color=blue, label=r"$\langle F_c\rangle$ of the data")
axes[0].plot(failed[:, 1], color=orange, label=r"$F_{\rm eq}$")
label(axes[0], "Without the negative phase", "step", "free energy (nats)")
axes[1].plot(curve[:num_failing_steps], color=green, lw=2, label="exact gradient")
axes[1].plot(failed_curve, color=purple, lw=2, label="positive phase only")
label(axes[1], "The log likelihood", "step", "mean $\\ln p(v)$ (nats)")
for axis in axes:
    axis.legend(loc="lower left")
plt.show()

# %% [markdown]
# The objective does what it was asked to do: $\langle F_c \rangle_{\rm data}$ falls at every step, and
# would fall forever. But $F_{\rm eq}$ falls faster, and the likelihood, their difference, drops without
# limit: once everything is saturated, by the predicted 7.875 nats in every step.
#
# Two lessons. *A low free energy of the data means nothing by itself*: a training log that shows
# $F_c$ alone cannot tell learning from running away. And something has to push back. In this
# chapter it was $F_{\rm eq}$, exactly. What can stand in for it when the sum over states is out of
# reach is the question of much that follows. Contrastive divergence (B10) replaces the average over the
# model by states that are a few Gibbs steps away from the data; score matching (B11), for continuous
# data, avoids $Z$ altogether. Variational methods (B14 to B16) bound a free energy from above. For
# $F_{\rm eq}$ that is the wrong side: it bounds $L$ from above, and to raise such a bound promises nothing.
# For $F_c$ it is the right one, and a VAE is built such that $F_{\rm eq} = 0$ and only $F_c$ needs a bound.
#
# ## 12. Summary
#
# | | clamped, $F_c(v)$ | equilibrium, $F_{\rm eq}$ |
# |:--|:--|:--|
# | definition (B5) | $-\ln \sum_h e^{-E(v, h)}$ | $-\ln \sum_{v, h} e^{-E(v, h)}$ |
# | closed form | $-a \cdot v - \sum_j \mathrm{softplus}(b_j + \sum_i v_i W_{ij})$ | none: at best $2^6$ terms left |
# | energy minus entropy | under $p(h \mid v)$ (2.6) | under $p(v, h)$ (B6) |
# | derivative for $W_{ij}$ | $-v_i\, p(h_j = 1 \mid v)$ (B8) | $-\langle v_i h_j \rangle_{p(v, h)}$ (B9) |
# | $\theta \cdot \nabla F$ (8.3) | mean energy, clamped | mean energy, free |
# | part in learning | positive phase | negative phase |
#
# - $\ln p(v) = -F_c(v) + F_{\rm eq}$. The log likelihood (B2) is minus the mean free energy that it
#   costs to clamp the machine to the data, and at most $-S_D$, here $-\ln 14$.
# - The hidden units can be summed out because they do not interact given $v$; the same fact makes
#   $p(h|v)$ and $p(v|h)$ products.
# - A derivative of a free energy is the average of a derivative of the energy. Multiplied by the
#   weights and summed, it is the expected interaction energy (8.2); a single one is that of a bond
#   with unit weight.
# - Turning all parameters up is cooling, exactly (B7). Turning up the weights alone is cooling only
#   as far as the biases do not matter, and a norm does not compare two machines.
# - Learning is the difference of two averages and stops when they match. Drop the second one, and
#   the likelihood falls without limit.
#
# ## Exercises
#
# 1. *(easy)* **The smallest RBM.** One visible and one hidden unit, with parameters $a$, $b$, $w$.
#    Write down $F_c(0)$, $F_c(1)$ and $F_{\rm eq}$. The data have $v = 1$ in a fraction $f$ of the
#    cases: find the best $a$ for given $b$ and $w$, and check that *all* three derivatives of $L$
#    vanish there. Take $f = 0.3$, $b = -0.4$ and $w = 1.7$ for the numbers, and build the machine `tiny`.
# 2. *(easy)* **The other clamp.** Hold the hidden units fixed instead. Derive
#    $F_c(h) = -b \cdot h - \sum_i \mathrm{softplus}(a_i + \sum_j W_{ij} h_j)$ and check
#    $\ln p(h) = -F_c(h) + F_{\rm eq}$ for all 64 hidden states (`clamped_hidden`).
# 3. *(medium)* **Why not sample the hidden units?** In the positive phase one could draw $h_j$ from
#    $p(h_j|v)$ instead of using the probability itself. Show that for a randomly drawn image the mean
#    of $v_i h_j$ stays the same and its variance grows by $\langle v_i\, p_j (1 - p_j) \rangle_{\rm
#    data}$ (`extra`: 9 × 6 for each machine), with $p_j = p(h_j = 1|v)$. Summed over all $i$ and $j$, how
#    many per cent of the variance is this (`noise_share`) for the machine `"random"`, that is `rbm`, and for
#    the one called `"trained"`? So why not?
# 4. *(medium)* **Is the trained model at the right temperature?** Let $L(\beta)$ be the log
#    likelihood with $p_\beta(v) = \sum_h e^{-\beta E(v, h)} / Z(\beta)$. Derive
#    $L'(1) = \langle E \rangle_{p(v, h)} - \langle E
#    \rangle_{\text{data},\, p(h|v)}$, check it for the trained RBM and find the best $\beta$.
# 5. *(hard)* **Black is white.** Relabel the first pixel, $v_1' = 1 - v_1$. Find the parameters
#    that give every state the same probability as before. Show that $\|W\|$ does not change, but that
#    the effect of scaling $W$ *alone* does, even for a machine that had no biases. What does this say
#    about $T_{\rm eff}$? (Start from `random_rbm(kernel_scale, 0, 0)` and build the relabelled machine
#    `flipped`. `apart`: the KL of the two, first if $W$ alone is halved in both, then with the biases, too.)
#
# The solutions are in the cells below, folded: click on one to open it.

# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. F_c(0) = -softplus(b), F_c(1) = -a - softplus(b + w), Z = 1 + e^b + e^a + e^(a + b + w).
# p(1) = sigmoid(F_c(0) - F_c(1)) = f gives a = ln(f / (1 - f)) + softplus(b) - softplus(b + w).
# Then p(v) is the data's distribution, so data and model averages are the same for all three.
f, b, w = 0.3, -0.4, 1.7
best_a = math.log(f / (1 - f)) + softplus(b) - softplus(b + w)
tiny_clamped = np.array([-softplus(b), -best_a - softplus(b + w)])
tiny_f_eq = -math.log(1 + math.exp(b) + math.exp(best_a) + math.exp(best_a + b + w))
tiny = BernoulliRBM.from_parameters(*map(np.array, ([[w]], [best_a], [b])), dtype="float64")
exact = enumeration.moments(tiny)
positive = averages(tiny, np.array([[0.0], [1.0]]), np.array([1 - f, f]))
tiny_gradient = flatten(*positive) - flatten(exact.correlation, exact.visible, exact.hidden)
print(f"1. a = {best_a:.6f}, F_eq = {tiny_f_eq:.6f} nats, p(1) = {exact.visible[0]:.6f}")
check([tiny.kernel[0, 0], tiny.hidden_bias[0]], [1.7, -0.4], tolerance=1e-6)
check([*tiny.free_energy([[0], [1]]), -enumeration.log_z(tiny)], [*tiny_clamped, tiny_f_eq], 1e-6)
check([*tiny_gradient, *enumeration.moments(tiny).visible], [0.0, 0.0, 0.0, 0.3], tolerance=1e-6)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. The steps of (2.3) and (2.4) with the layers exchanged: unit v_i sees y_i = a_i + sum_j W_ij h_j,
# E = -b.h - sum_i y_i v_i, and the sum over v is e^(b.h) prod_i (1 + e^(y_i)).
visible_input = visible_bias + hidden_states @ kernel.T  # (64, 9)
clamped_hidden = -hidden_states @ hidden_bias - softplus(visible_input).sum(axis=1)
check(np.log(joint.sum(axis=0)), -clamped_hidden + equilibrium_free_energy)
check(-tf.reduce_logsumexp(-clamped_hidden), equilibrium_free_energy)
print(f"2. F_c(h) from {clamped_hidden.min():.3f} to {clamped_hidden.max():.3f} nats")

# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. Given v, v_i h_j has the mean v_i p_j and (v_i is 0 or 1) the variance v_i p_j (1 - p_j). The law
# of total variance: Var(v_i h_j) = Var_data(v_i p_j) + <v_i p_j (1 - p_j)>_data. As v_i h_j is itself
# 0 or 1, with the mean m = <v_i p_j>, the left-hand side is m (1 - m).
extra, noise_share = {}, {}
for name, model in (("random", rbm), ("trained", trained)):
    p = model.hidden_mean(data).numpy()[:, np.newaxis, :]  # (14, 1, 6)
    products = data[:, :, np.newaxis] * p  # v_i p_j
    extra[name], variance = (products * (1 - p)).mean(0), products.var(0)  # (9, 6)
    check(products.mean(0) * (1 - products.mean(0)), variance + extra[name])
    noise_share[name] = 100 * extra[name].sum() / (variance + extra[name]).sum()
    print(f"3. {name} RBM: {noise_share[name]:.1f} % of the variance would come from sampling h")
print("   Sampling h adds noise and removes no bias; the exact mean costs nothing.")
check(extra["random"], data.T @ (rbm.hidden_mean(data) * (1 - rbm.hidden_mean(data))).numpy() / 14)
check(noise_share["random"], 19.1, tolerance=5e-3)
assert noise_share["trained"] < 2


# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. By (B7) L(beta) is L at the parameters beta theta, so L'(1) = theta . grad L, the difference of
# mean energies of section 9. At a maximum it is 0. Here it is positive: a colder model is better.
def at_beta(beta):
    return likelihood(beta * theta_trained)


energy_table = trained.energy(v, h).numpy().reshape(512, 64)
by_image = np.sum(tf.nn.softmax(-energy_table).numpy() * energy_table, axis=1)  # over p(h|v)
slope_at_1 = np.exp(after) @ by_image - by_image[is_data].mean()
best_beta = max(np.linspace(0.5, 5.0, 451), key=at_beta)
print(f"4. L'(1) = {slope_at_1:.4f} nats, best beta {best_beta:.2f}:", end=" ")
print(f"L = {at_beta(best_beta):.4f} instead of {at_beta(1.0):.4f} nats")
check(at_beta(1.0), log_likelihood(trained))
check(slope_at_1, (at_beta(1.001) - at_beta(0.999)) / 0.002, tolerance=1e-4)
assert at_beta(best_beta) > max(at_beta(x) for x in (1.0, 0.98 * best_beta, 1.02 * best_beta))

# %% jupyter={"source_hidden": true} tags=["solution"]
# 5. Insert v_1 = 1 - v_1' into (B1): E = E' - a_1 with a_1' = -a_1, W_1j' = -W_1j, b_j' = b_j + W_1j.
# What scaling W alone does depends on which colour is called 1. Only scaling all is a temperature.
plain, flipped_v, apart = random_rbm(kernel_scale, 0, 0), np.abs(np.eye(9)[0] - v), []
signs = np.append(-1, np.ones(8))[:, np.newaxis]
new_kernel, new_bias = signs * plain.kernel.numpy(), plain.kernel.numpy()[0]  # a_1 = 0
flipped = BernoulliRBM.from_parameters(new_kernel, np.zeros(9), new_bias, dtype="float64")
for name, scale in (("W alone", 1.0), ("biases, too,", 0.5)):
    parameters = 0.5 * new_kernel, np.zeros(9), scale * new_bias
    halved = BernoulliRBM.from_parameters(*parameters, dtype="float64")
    apart.append(relative_entropy(0.5 * plain.energy(v, h), halved.energy(flipped_v, h)))
    print(f"5. {name} halved: KL between the two machines = {apart[-1]:.4f} nats")
check(flipped.energy(np.abs(np.eye(9)[0] - v), h), random_rbm(kernel_scale, 0, 0).energy(v, h))
check(np.linalg.norm(flipped.kernel), np.linalg.norm(random_rbm(kernel_scale, 0, 0).kernel))
check(apart, [0.0777, 0.0], tolerance=1e-4)
