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
# # Chapter 3: The two free energies of an RBM
#
# Why is a log likelihood the difference of two free energies? The log likelihood of a restricted Boltzmann
# machine (RBM) sets the hidden units, while the data hold the visible ones fixed, against the whole machine
# running free. This chapter derives both free energies. Guess first: a model of 14 different images, each
# equally frequent, is trained as well as possible. How large is its mean $\ln p(v)$?
#
# **What you will do**
#
# - sum the hidden units out by hand and check the result against all $2^{15}$ states;
# - take a free energy apart into energy and entropy;
# - find the highest possible likelihood before any training;
# - try to learn without hidden units, and learn nothing.
#
# **What you will learn**
#
# - $\ln p(v) = -F_c(v) + F_{\rm eq}$: what *clamped* and *equilibrium* mean (B4, B5);
# - why the units of a layer are independent given the other layer, and not without it;
# - what training maximises (B2), and how far it can get.
#
# **What you need**: from [chapter 1](01_generating_functions.ipynb), sections 1 to 3, what $\ln Z$ and the entropy
# are; some Python, and this project installed.
#
# **Time**: about 58 minutes, and 80 for the exercises. The code runs in less than half a minute.
#
# Equation numbers such as (B5) are row names of the whole course, of the library's docstrings and of
# `EQUATIONS.md`. Numbers such as (2.1) are steps on the way. Energies and free energies are in nats, and
# $\beta = 1$.

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
from scipy import special

from rbm_tf import datasets, diagrams, enumeration, plotting
from rbm_tf.course import check, label
from rbm_tf.rbm import BernoulliRBM

# %%
seed = 0
num_visible, num_hidden = 9, 6  # images of 3 x 3 pixels
kernel_scale, bias_scale = 2.0, 1.0  # standard deviations of the random parameters, nats
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 140}])
ink = plt.rcParams["text.color"]


# %%
def random_rbm(*scales):  # of the kernel, the visible and the hidden bias
    rng, rbm = np.random.default_rng(seed), BernoulliRBM(num_visible, num_hidden, dtype="float64")
    for parameter, scale in zip(rbm.trainable_variables, scales, strict=True):
        parameter.assign(rng.normal(0, scale, parameter.shape))
    return rbm


# %% [markdown]
# **Part II: The Boltzmann machine.** A Boltzmann machine is a physical system that learns. Its units take
# random states, those of low energy more often, and training shapes the energy until what the machine does by
# itself looks like the data. The same model has served to train deep networks layer by layer and to describe
# quantum states and families of proteins. Its learning rule compares two averages. This part goes from the
# two free energies (this chapter) and the exact gradient (chapter 4) to training with samples, and with what
# can replace them. The picture has the idea: hold the visible units, or let them go.

# %% name="clamped-and-free" alt="Two drawings of a machine, nine visible units below, six hidden ones above, all connected. Left: black and white squares, an image, sit on the visible units. Right: no unit is held."
figure, axes = plt.subplots(1, 2, figsize=(10, 2.6))
for axis in axes:
    diagrams.boltzmann_machine(axis, num_visible=num_visible, num_hidden=num_hidden)
image = np.array([1, 0, 1] * 3)
style = {"s": 260, "marker": "s", "cmap": "Greys", "edgecolor": ink, "zorder": 4}
axes[0].scatter(np.arange(9) - 4, np.zeros(9), c=image, **style)  # on the visible units
axes[0].set_title("Clamped to an image: $F_c(v)$")
axes[1].set_title(r"Running free: $F_{\rm eq}$")
plt.show()

# %% [markdown]
# ## 1. Energy and probability
#
# An RBM has visible units $v_i$, which hold the data, and hidden units $h_j$, all 0 or 1. Its energy
# contains products of a visible and a hidden unit, but none of two units of the same layer. That
# is the restriction in its name:
#
# $$E(v, h) = -\sum_i a_i v_i - \sum_j b_j h_j - \sum_{ij} v_i W_{ij} h_j . \tag{B1}$$
#
# The states are Boltzmann distributed at $\beta = 1$,
#
# $$p(v, h) = \frac{e^{-E(v, h)}}{Z} , \qquad Z = \sum_{v', h'} e^{-E(v', h')} . \tag{B3}$$
#
# (The post that this course follows, Charles Martin's *Free Energies and Variational Inference*, prints a sum
# in front of the exponential of the *joint* probability as well. That is a slip: then the "probability" of
# every state would be 1.)
#
# Our RBM has 9 visible units, for images of 3 × 3 pixels, and 6 hidden ones: $2^{15}$ states, few
# enough to write all of them down. We keep them as a table with one row for each $v$ and one column
# for each $h$, so that summing over $h$ is summing along a row. The parameters are random.
#
# **Check against the exact result**: the library's energy against (B1) as a matrix product, and our
# sum over all states against its $\ln Z$.

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
# The visible units are *clamped* to $v$, while the hidden units are free: hence the name *clamped free
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
# (With the layers exchanged it has one for each hidden state, exercise 1. The smaller layer decides.) All the
# trouble of training an RBM is in $F_{\rm eq}$.
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
# **Check against the exact result.** $F_c$ of all 512 images: the row sums (2.1), the closed form (B5b),
# energy minus entropy (2.6), and the library. One hidden unit contributes $-\mathrm{softplus}(x)$; the picture
# takes it apart into energy and entropy.


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
axes[0].plot(x, np.minimum(0, -x), "--", color=ink, lw=1, label="lowest energy")
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
# undecided. The slope of the blue curve is minus the green one, as section 1 of chapter 4 will need.
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
# Neither layer is independent *by itself*: the dependence between the visible units comes from the sum over
# $h$. Because each layer can be drawn at once given the other, an RBM can be sampled layer by layer:
# *block Gibbs sampling* ([chapter 5](05_contrastive_divergence.ipynb)).
#
# **Check against the exact result**: both products against the table of $p(v, h)$. How far $p(v)$ is from a
# product is measured by a divergence that section 4 defines (4.1); it is 0 for a product only.

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
# The last step is (B5a). Maximising $L$ is minimising $\langle F_c \rangle_{\rm data} - F_{\rm eq}$, the mean
# cost of clamping the machine to the data.
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
# with equality only if the model *is* the data distribution. No model can do better, with any number of
# hidden units. (An RBM with finite parameters gives every image a probability above 0. With enough
# hidden units it can come as close to the limit as one likes, exercise 3, while its parameters grow.) At the other end, a model with all
# parameters 0, all 512 images equally likely, has $L = -9 \ln 2$. These two numbers are the
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
# The random RBM is much worse than the uniform model: it is sure of things that are not so.
#
# **When it fails: no hidden units.** Are they needed at all? Without them $W$ is gone, $p(v)$ is a product, and
# its best fit gives every pixel its mean in the data. In the bars and stripes each pixel is black in exactly
# half of the images. What does that machine learn?

# %% name="no-hidden-units"
means = data.mean(axis=0)  # of each pixel
product = bernoulli(means[np.newaxis], visible_states)[0]  # the best p(v) without hidden units
check(means, 0.5)
check(np.log(product[is_data]).mean(), uniform)  # L
check(distance_from_product(is_data / 14), upper_limit - uniform)  # what it misses
print(f"best product: L = {np.log(product[is_data]).mean():.4f} nats")
print(f"below the limit by {upper_limit - uniform:.4f} nats")

# %% [markdown]
# Nothing: it ends as the uniform model, 3.599 nats below the limit. All that there is to learn in these data is
# in the *correlations* of the pixels, and only the sum over hidden units can hold them. Chapter 4 trains
# the machine that has six.
#
# ## 5. Summary
#
# | | clamped, $F_c(v)$ | equilibrium, $F_{\rm eq}$ |
# |:--|:--|:--|
# | definition (B5) | $-\ln \sum_h e^{-E(v, h)}$ | $-\ln \sum_{v, h} e^{-E(v, h)}$ |
# | closed form | $-a \cdot v - \sum_j \mathrm{softplus}(b_j + \sum_i v_i W_{ij})$ | none: at best $2^6$ terms left |
# | energy minus entropy | under $p(h \mid v)$ (2.6) | under $p(v, h)$ (B6) |
#
# - $\ln p(v) = -F_c(v) + F_{\rm eq}$. The log likelihood (B2) is minus the mean free energy that it
#   costs to clamp the machine to the data, and at most $-S_D$, here $-\ln 14$.
# - The hidden units can be summed out because they do not interact given $v$; the same fact makes
#   $p(h|v)$ and $p(v|h)$ products.
# - Without hidden units a machine learns the means of the pixels and nothing else.
#
# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **The other clamp.** Hold the hidden units fixed instead. Derive
#    $F_c(h) = -b \cdot h - \sum_i \mathrm{softplus}(a_i + \sum_j W_{ij} h_j)$ and check
#    $\ln p(h) = -F_c(h) + F_{\rm eq}$ for all 64 hidden states (`clamped_hidden`).
# 2. *(medium)* **Black is white.** Relabel the first pixel, $v_1' = 1 - v_1$. Find the parameters that give every
#    state the same probability as before, and build the relabelled machine `flipped`. By how much do both
#    of its free energies differ from the old ones (`shift`), and why does no likelihood notice? So what does a
#    low $F_c$ mean by itself?
# 3. *(hard)* **One hidden unit for each image.** Show that an RBM with 14 hidden units comes as close to the
#    limit $-\ln 14$ as one likes. Hint: choose $W$ and $b$ so that unit $j$ has the input $c\, (\frac12 - d_j)$,
#    where $d_j$ is the number of pixels in which $v$ differs from image $j$. Write `memory(c)`, which builds the
#    machine, and bound what is left to the limit, $\mathrm{KL}(p_D \| p)$, for large $c$.
#
# The solutions are in the cells below, folded: click on one to open it.

# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. The steps of (2.3) and (2.4) with the layers exchanged: unit v_i sees y_i = a_i + sum_j W_ij h_j,
# E = -b.h - sum_i y_i v_i, and the sum over v is e^(b.h) prod_i (1 + e^(y_i)).
visible_input = visible_bias + hidden_states @ kernel.T  # (64, 9)
clamped_hidden = -hidden_states @ hidden_bias - softplus(visible_input).sum(axis=1)
check(np.log(joint.sum(axis=0)), -clamped_hidden + equilibrium_free_energy)
check(-tf.reduce_logsumexp(-clamped_hidden), equilibrium_free_energy)
print(f"1. F_c(h) from {clamped_hidden.min():.3f} to {clamped_hidden.max():.3f} nats")

# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. Insert v_1 = 1 - v_1' into (B1): E = E' - a_1 with a_1' = -a_1, W_1j' = -W_1j, b_j' = b_j + W_1j. So
# every energy, and with it F_c and F_eq, moves up by a_1. In ln p = -F_c + F_eq it cancels: a free energy
# has no absolute zero, and only differences count.
new_kernel, new_visible_bias = kernel.copy(), visible_bias.copy()
new_kernel[0], new_visible_bias[0] = -kernel[0], -visible_bias[0]
new_parameters = new_kernel, new_visible_bias, hidden_bias + kernel[0]
flipped = BernoulliRBM.from_parameters(*new_parameters, dtype="float64")
flipped_states = np.abs(np.eye(9)[0] - visible_states)  # the same images, relabelled
shift = visible_bias[0]
print(f"2. both free energies move by a_1 = {shift:.4f} nats")
check(flipped.free_energy(np.abs(np.eye(9)[0] - visible_states)), free_energy + shift)
check(-enumeration.log_z(flipped), equilibrium_free_energy + shift)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. d_j = |p_j| + sum_i v_i (1 - 2 p_ij) with the number |p_j| of black pixels of image j: W_ij = c (2 p_ij - 1)
# and b_j = c (1/2 - |p_j|). At image j its own unit has the input c/2; other images differ in
# 3 pixels or more, so other units have at most -5c/2. Z_c = 1 + e^(c/2) times at most (1 + e^(-5c/2))^13 there, and at most (1 + e^(-c/2))^14 elsewhere. Of the whole
# Z the 498 other images have at most a share of about 498 e^(-c/2) / 14, which bounds KL for large c.
def memory(c):
    parameters = c * (2 * data.T - 1), np.zeros(9), c * (0.5 - data.sum(axis=1))
    return BernoulliRBM.from_parameters(*parameters, dtype="float64")


for c in (5, 10, 20, 40):
    left = upper_limit - log_likelihood(memory(c))
    print(f"3. c = {c:2d}: {left:.2e} nats left, bound {498 / 14 * math.exp(-c / 2):.2e}")
check(log_likelihood(memory(40.0)), upper_limit, tolerance=1e-6)
assert 1e-3 < upper_limit - log_likelihood(memory(20.0)) < 498 / 14 * math.exp(-10)
