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
# # Chapter 4: The gradient of the likelihood
#
# A machine learns by the difference of two averages. Why two, and what if one of them is left out because it
# is too expensive? Guess before section 6 answers: will the likelihood rise more slowly, stop, or fall?
#
# **What you will do**
#
# - derive the gradients of the two free energies of a restricted Boltzmann machine (RBM), every step;
# - train it on bars and stripes with the exact gradient, with no sampling and no approximation anywhere;
# - leave one free energy out and watch the machine run away.
#
# **What you will learn**
#
# - why the gradients are averages (B8, B9), and in what sense these are expected energies;
# - why learning compares the data with the model, and stops when the two agree;
# - why the likelihood is neither convex nor concave.
#
# **What you need**: [chapter 3](03_rbm_free_energies.ipynb), that is $\ln p(v) = -F_c(v) + F_{\rm eq}$ (B5);
# chapter 2, section 1, for the curvature; some Python, and this project installed.
#
# **Time**: about 60 minutes, and 105 for the exercises. The code runs in about half a minute.
#
# Equation numbers such as (B8) are row names of the whole course, of the library's docstrings and of
# `EQUATIONS.md`. Numbers such as (2.1) are steps on the way. $\beta = 1$ unless it is written.

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

from rbm_tf import datasets, enumeration, plotting
from rbm_tf.course import check, label
from rbm_tf.rbm import BernoulliRBM

# %%
seed = 0
num_visible, num_hidden = 9, 6  # images of 3 x 3 pixels
kernel_scale, bias_scale = 2.0, 1.0  # standard deviations of the random parameters, nats
start_scale = 0.1  # of the kernel before training, nats
learning_rate, num_steps = 0.5, 4000
num_failing_steps = 60  # of section 6
num_samples = 36
rng = np.random.default_rng(seed)  # of the samples
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 120}])
ink = plt.rcParams["text.color"]


# %%
def random_rbm(*scales):  # of the kernel, the visible and the hidden bias
    rng, rbm = np.random.default_rng(seed), BernoulliRBM(num_visible, num_hidden, dtype="float64")
    for parameter, scale in zip(rbm.trainable_variables, scales, strict=True):
        parameter.assign(rng.normal(0, scale, parameter.shape))
    return rbm


# %% [markdown]
# **Where we are.** Chapter 3 summed the hidden units out: $F_c(v)$ is minus the logarithm of
# $Z_c(v) = \sum_h e^{-E(v, h)}$, and $F_{\rm eq} = -\ln Z$. Here are its random RBM, with the table of all
# $2^{15}$ probabilities, and its data, the 14 bars and stripes of 3 × 3 pixels.

# %%
rbm = random_rbm(kernel_scale, bias_scale, bias_scale)
kernel, visible_bias, hidden_bias = (x.numpy() for x in rbm.trainable_variables)
visible_states = np.array(list(itertools.product([0.0, 1.0], repeat=num_visible)))  # (512, 9)
hidden_states = np.array(list(itertools.product([0.0, 1.0], repeat=num_hidden)))  # (64, 6)
v = np.repeat(visible_states, len(hidden_states), axis=0)  # (32768, 9)
h = np.tile(hidden_states, (len(visible_states), 1))  # (32768, 6)
energies = rbm.energy(v, h).numpy().reshape(512, 64)  # E(v, h), nats
joint = np.exp(-energies - enumeration.log_z(rbm))  # p(v, h) (B3), (512, 64)
marginal = joint.sum(axis=1)  # p(v), (512,)
conditional = joint / marginal[:, np.newaxis]  # p(h|v), (512, 64)
free_energy = rbm.free_energy(visible_states).numpy()  # F_c(v), (512,)

# %%
data = datasets.bars_and_stripes(3)[0].reshape(14, 9).astype(float)
is_data = np.array([(data == state).all(axis=1).any() for state in visible_states])  # (512,)
data_weights = np.full(14, 1 / 14)
upper_limit, uniform = -math.log(14), -9 * math.log(2)  # of L; that of equally likely images


def log_probabilities(rbm):
    return -rbm.free_energy(visible_states).numpy() - enumeration.log_z(rbm)  # (B5), (512,)


check(log_probabilities(rbm), np.log(marginal))

# %% [markdown]
# ## 1. The gradient of the clamped free energy
#
# The post announces the derivatives of both free energies, but does not give them. Here they are. Let
# $\theta$ be any parameter. Start from (2.1) of chapter 3, with the chain rule:
#
# $$\frac{\partial F_c(v)}{\partial \theta}
#   = -\frac{1}{Z_c(v)} \frac{\partial Z_c(v)}{\partial \theta}
#   = -\frac{1}{Z_c(v)} \sum_h \frac{\partial}{\partial \theta}\, e^{-E(v, h)}
#   = \sum_h \frac{e^{-E(v, h)}}{Z_c(v)} \frac{\partial E(v, h)}{\partial \theta} . \tag{1.1}$$
#
# By (2.5) of chapter 3 the fraction is $p(h|v)$. So the derivative of the free energy is the expected
# derivative of the energy, with the data held fixed:
#
# $$\frac{\partial F_c(v)}{\partial \theta}
#   = \Big\langle \frac{\partial E(v, h)}{\partial \theta} \Big\rangle_{p(h|v)} . \tag{1.2}$$
#
# In the energy (B1) each parameter occurs once:
#
# $$\frac{\partial E}{\partial W_{ij}} = -v_i h_j , \qquad
#   \frac{\partial E}{\partial a_i} = -v_i , \qquad
#   \frac{\partial E}{\partial b_j} = -h_j . \tag{1.3}$$
#
# Under $p(h|v)$ the data $v_i$ are constants. What is left is the mean of $h_j$, and the mean of a unit that is
# 0 or 1 is the probability of a 1:
#
# $$\langle v_i h_j \rangle_{p(h|v)} = v_i\, \langle h_j \rangle_{p(h|v)}
#   = v_i \big[ 0 \cdot p(h_j = 0|v) + 1 \cdot p(h_j = 1|v) \big] = v_i\, p(h_j = 1|v) . \tag{1.4}$$
#
# Together,
#
# $$\boxed{\; \frac{\partial F_c(v)}{\partial W_{ij}} = -v_i\, p(h_j = 1|v) , \qquad
#   \frac{\partial F_c(v)}{\partial a_i} = -v_i , \qquad
#   \frac{\partial F_c(v)}{\partial b_j} = -p(h_j = 1|v) \;} \tag{B8}$$
#
# The closed form of chapter 3 gives the same: there the derivative of softplus is the sigmoid,
# $\sigma(x_j) = p(h_j = 1|v)$, and the input $x_j = b_j + \sum_i v_i W_{ij}$ has the slope $v_i$ in $W_{ij}$.
#
# **Check against the exact result**: (B8) for every parameter and each of the 14 images, against
# automatic differentiation, finite differences, and the average (1.2) over the table. For the first two the
# free energies become functions of one vector $\theta$ of all 69 parameters.


# %%
def flatten(kernel, visible_bias, hidden_bias):
    return np.concatenate([np.ravel(x) for x in (kernel, visible_bias, hidden_bias)])


def clamped(theta, v):
    """F_c(v) in closed form (B5), nats; theta is flat, (69,)."""
    kernel, visible_bias, hidden_bias = tf.split(theta, [54, num_visible, num_hidden])
    hidden_input = hidden_bias + tf.tensordot(v, tf.reshape(kernel, (num_visible, num_hidden)), 1)
    return -tf.tensordot(v, visible_bias, 1) - tf.reduce_sum(tf.math.softplus(hidden_input), -1)


def equilibrium(theta):
    return -tf.reduce_logsumexp(-clamped(theta, visible_states))  # (2.2) of chapter 3


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
    return (8 * near - far) / (12 * step)  # four points: the error is of order step^4


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
# ## 2. The gradient of the equilibrium free energy
#
# The same three steps, now with a sum over $v$ as well. From $F_{\rm eq} = -\ln Z$ and (B3),
#
# $$\frac{\partial F_{\rm eq}}{\partial \theta}
#   = -\frac1Z \frac{\partial Z}{\partial \theta}
#   = -\frac1Z \sum_{v, h} \frac{\partial}{\partial \theta}\, e^{-E(v, h)}
#   = \sum_{v, h} \frac{e^{-E(v, h)}}{Z} \frac{\partial E(v, h)}{\partial \theta}
#   = \Big\langle \frac{\partial E}{\partial \theta} \Big\rangle_{p(v, h)} . \tag{2.1}$$
#
# With the derivatives (1.3) of the energy,
#
# $$\boxed{\; \frac{\partial F_{\rm eq}}{\partial W_{ij}} = -\langle v_i h_j \rangle_{p(v, h)} , \qquad
#   \frac{\partial F_{\rm eq}}{\partial a_i} = -\langle v_i \rangle_{p(v, h)} , \qquad
#   \frac{\partial F_{\rm eq}}{\partial b_j} = -\langle h_j \rangle_{p(v, h)} \;} \tag{B9}$$
#
# The difference from (B8) is one of averages only: there $v$ was given, here the model makes up its
# own. A second route shows it. Differentiate (2.2) of chapter 3 and use $e^{-F_c(v)} / Z = p(v)$:
#
# $$\frac{\partial F_{\rm eq}}{\partial \theta}
#   = -\frac1Z \sum_v \frac{\partial}{\partial \theta}\, e^{-F_c(v)}
#   = \sum_v p(v)\, \frac{\partial F_c(v)}{\partial \theta}
#   = \Big\langle \frac{\partial F_c(v)}{\partial \theta} \Big\rangle_{p(v)} . \tag{2.2}$$
#
# So $\langle v_i h_j \rangle_{p(v, h)} = \langle v_i\, p(h_j = 1|v) \rangle_{p(v)}$. The hidden units are summed
# out exactly; what is difficult is to draw the visible ones, since $p(v)$ does not factorise.
#
# **Check against the exact result**: averages over all $2^{15}$ states, the library's
# `enumeration.moments`, route (2.2), automatic differentiation, finite differences.


# %%
def averages(rbm, v, weights):
    """<v h^T>, <v>, <h>: h averaged over p(h|v) as in (B8), v over the given weights."""
    h = rbm.hidden_mean(v)
    weighted = v * weights[:, tf.newaxis]
    by_kernel = tf.matmul(weighted, h, transpose_a=True)
    return by_kernel, tf.reduce_sum(weighted, 0), tf.linalg.matvec(h, weights, transpose_a=True)


correlation, p_h = visible_states.T @ joint @ hidden_states, joint.sum(axis=0)
table = correlation, marginal @ visible_states, p_h @ hidden_states
model_gradient, moments = -flatten(*table), enumeration.moments(rbm)  # (B9)
check(model_gradient, -flatten(moments.correlation, moments.visible, moments.hidden))
check(model_gradient, -flatten(*averages(rbm, visible_states, marginal)))  # (2.2)
check(model_gradient, autodiff(equilibrium, theta))
check(model_gradient, finite_differences(equilibrium, theta))

# %% [markdown]
# ## 3. Are these expected energies?
#
# The post remarks that the derivatives look like expected energies *with a unit weight matrix*. That can be
# made precise: $-\langle v_i h_j \rangle$ is the expected energy of *one bond with unit weight*, under the
# probabilities of the machine as it is. (The post writes the identity matrix, which would be the bonds 11,
# 22, and so on together.) The true energy of the bond has its weight in front. So multiply each
# derivative by its weight and add up. With the interaction energy $E_W = -\sum_{ij} v_i W_{ij} h_j$,
#
# $$\sum_{ij} W_{ij} \frac{\partial F}{\partial W_{ij}}
#   = -\Big\langle \sum_{ij} W_{ij} v_i h_j \Big\rangle
#   = \langle E_W \rangle . \tag{3.1}$$
#
# (Inside the average this is *Euler's theorem* for $E_W$, which is linear in $W$. The free energy itself does not
# scale like that, because it holds an entropy.)
#
# Equation (3.1) holds for $F_{\rm eq}$ with the average over $p(v, h)$, and for $F_c(v)$ with $p(h|v)$. If
# the sum runs over all parameters $\theta$, biases included, then with (2.6) of chapter 3
#
# $$\theta \cdot \nabla F_{\rm eq} = \langle E \rangle , \qquad
#   \theta \cdot \nabla F_c(v) = \langle E \rangle_{p(h|v)} , \qquad
#   F - \theta \cdot \nabla F = -S . \tag{3.2}$$
#
# What the gradient leaves over is the entropy. Since by (B7) turning all parameters is turning $\beta$,
# (3.2) is the generating property (B6) of chapter 1.
#
# **Check against the exact result** from the table.

# %%
linear = (visible_states @ visible_bias)[:, np.newaxis] + hidden_states @ hidden_bias
interaction = energies + linear  # E_W, (512, 64)
mean_energy, entropy = np.sum(joint * energies), -np.sum(joint * np.log(joint))
check(np.sum(kernel * -table[0]), np.sum(joint * interaction))  # (3.1)
check(theta @ model_gradient, mean_energy)  # (3.2)
check(equilibrium(theta) - theta @ model_gradient, -entropy)  # (3.2)

pairs = zip(visible_states, rbm.hidden_mean(visible_states).numpy(), strict=True)
clamped_gradients = np.array([-flatten(np.outer(x, y), x, y) for x, y in pairs])  # (B8), (512, 69)
by_weights, clamped_energy = clamped_gradients[:, :54] @ theta[:54], clamped_gradients @ theta
check(by_weights, np.sum(conditional * interaction, axis=1))  # (3.1), clamped
check(clamped_energy, np.sum(conditional * energies, axis=1))  # (3.2), clamped
check(free_energy - clamped_energy, np.sum(conditional * np.log(conditional), axis=1))  # (3.2)
print(f"parameters x derivatives of F_eq: {mean_energy:.6f} nats = <E> = F_eq + {entropy:.6f}")

# %% [markdown]
# ## 4. The gradient of the likelihood
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
# \end{aligned} \;} \tag{4.1}$$
#
# | term | comes from | average over | what a step does |
# |:--|:--|:--|:--|
# | first, *positive phase* | $-F_c$, clamped | data, and $h$ given the data | taken alone: lowers $F_c$ of the data |
# | second, *negative phase* | $+F_{\rm eq}$, free | what the model makes up by itself | taken alone: raises $F_c$ of what the model likes |
#
# Where the model already produces what the data contain, the two terms cancel. At a maximum (for our data
# it may lie at infinity) the gradient is zero, hence
#
# $$\langle v_i h_j \rangle_{\text{data},\, p(h|v)} = \langle v_i h_j \rangle_{p(v, h)} , \qquad
#   \langle v_i \rangle_{\rm data} = \langle v_i \rangle_{p(v, h)} , \qquad \dots \tag{4.2}$$
#
# Training is *moment matching*. By (3.2) the mean energy, too, is then the same clamped and free.
#
# **Curvature.** Collect the products $v_i h_j$ and the units in one vector $\phi(v, h)$, such that
# $E = -\theta \cdot \phi$. Then $-F_c$ and $\ln Z$ have the gradients $\langle \phi
# \rangle_{p(h|v)}$ and $\langle \phi \rangle_{p(v, h)}$. One more derivative gives covariances, as in
# (1.3) of chapter 2:
#
# $$\nabla \nabla^{\!\top} \ln Z = \mathrm{Cov}_{p(v, h)}(\phi) , \qquad
#   \nabla \nabla^{\!\top} L = \big\langle \mathrm{Cov}_{p(h|v)}(\phi) \big\rangle_{\rm data}
#   {} - \mathrm{Cov}_{p(v, h)}(\phi) . \tag{4.3}$$
#
# A covariance matrix has no negative eigenvalue, so $\ln Z$ is convex in the parameters, and so is
# $-F_c(v)$. Their difference $L$ need not be either. If the hidden units were seen, the first
# covariance would vanish and $L$ would be concave. Hidden units can make the landscape hilly.
#
# **Check against the exact result**: the gradient of $L$ in three ways, and its Hessian by finite differences of
# the automatic gradient.


# %% name="gradient-check"
def likelihood(theta):
    return -tf.reduce_mean(clamped(theta, data)) + equilibrium(theta)  # (B2)


positive = averages(rbm, data, data_weights)
gradient = flatten(*positive) - flatten(*table)  # (4.1)
check(gradient, autodiff(likelihood, theta))
check(gradient, finite_differences(likelihood, theta))
energy_of_data = clamped_energy[is_data].mean()
check(theta @ gradient, mean_energy - energy_of_data)
print(f"theta . grad L = {theta @ gradient:.4f} nats = <E> free - <E> clamped", end=" = ")
print(f"{mean_energy:.4f} - ({energy_of_data:.4f}) nats")

# %% name="hessian"
products = (v[:, :, np.newaxis] * h[:, np.newaxis, :]).reshape(len(v), -1)
phi = np.concatenate([products, v, h], axis=1)  # (32768, 69)
free = np.cov(phi.T, aweights=joint.ravel(), bias=True)  # over p(v, h)
held = np.zeros_like(free)
for states, q in zip(phi.reshape(512, 64, 69)[is_data], conditional[is_data], strict=True):
    held += np.cov(states.T, aweights=q, bias=True) / 14  # over p(h|v)
hessian = finite_differences(partial(autodiff, likelihood), theta)
of_log_z = -finite_differences(partial(autodiff, equilibrium), theta)
check(of_log_z, free)
check(hessian + of_log_z, held)  # (4.3)
curvature = np.linalg.eigvalsh(hessian)
signs = np.sum(curvature > 1e-8), np.sum(curvature < -1e-8)
print(f"Hessian of L: {signs[0]} positive and {signs[1]} negative eigenvalues")
check(signs, [34, 35])

# %% [markdown]
# The Hessian has eigenvalues of both signs: at this point $L$ is neither convex nor concave. Whether trainings
# end in local minima is the question of [chapter 15](15_local_minima.ipynb).
#
# ## 5. Training with the exact gradient
#
# With 512 visible states $F_{\rm eq}$ and its gradient are short sums. So we can do what is out of
# reach for a large RBM: gradient ascent on $L$ itself, $\theta \leftarrow \theta + \eta\, \nabla L$,
# with (4.1) and nothing else.
#
# **Where to start.** Not at zero. There $h$ is independent of $v$, $p(h_j = 1|v) = \frac12$, and every image is
# equally likely. In the bars and stripes each pixel is black in half of the images. So data and model agree
# in $\langle v_i \rangle = \frac12$, in $\langle h_j \rangle = \frac12$, and in
# $\langle v_i h_j \rangle = \frac14$: the gradient vanishes exactly, with $L = -9 \ln 2$. All that there is to
# learn is in the *correlations* of the pixels. Small random weights break the tie.
#
# **Check against the exact result**: that zero is a stationary point; how close training comes to the
# limit (4.3) of chapter 3; and how well the moments match (4.2).


# %%
@tf.function
def train_step(rbm, data_factor, model_factor):
    """One step of gradient ascent (4.1); returns <F_c> over the data and F_eq before it, nats."""
    free_energy = rbm.free_energy(visible_states)
    data_averages = averages(rbm, data, data_weights)
    model_averages = averages(rbm, visible_states, tf.nn.softmax(-free_energy))
    result = tf.reduce_mean(rbm.free_energy(data)), -tf.reduce_logsumexp(-free_energy)
    for parameter, x, y in zip(rbm.trainable_variables, data_averages, model_averages, strict=True):
        parameter.assign_add(learning_rate * (data_factor * x - model_factor * y))
    return result


on, off = tf.constant(1.0, tf.float64), tf.constant(0.0, tf.float64)

# %% name="training-log"
check(likelihood(np.zeros(69)), uniform)
check(autodiff(likelihood, np.zeros(69)), 0.0)  # zero is a stationary point
trained = random_rbm(start_scale, 0.0, 0.0)
start, before = flatten(*trained.trainable_variables), log_probabilities(trained)
history = np.array([train_step(trained, on, on) for _ in range(num_steps)])
after = log_probabilities(trained)
curve = history[:, 1] - history[:, 0]  # L = -<F_c> + F_eq (B2)
for step in (0, 10, 50, 100, 300, 1000, num_steps - 1):
    print(f"step {step:4d}: <F_c> = {history[step, 0]:7.3f}, F_eq =", end="")
    print(f" {history[step, 1]:7.3f}, L = {curve[step]:7.4f} nats")
left = upper_limit - after[is_data].mean()
print(f"upper limit {upper_limit:.4f}, so that KL(data || model) = {left:.4f} nats is left")
assert 0 < left < 0.1  # (4.3) of chapter 3

# %% name="moments-match"
theta_trained = flatten(*trained.trainable_variables)
phases = (data, data_weights), (visible_states, np.exp(after))
positive, negative = (flatten(*averages(trained, *phase)) for phase in phases)
mismatch, norms = positive - negative, [np.linalg.norm(x[:54]) for x in (start, theta_trained)]
check(mismatch, autodiff(likelihood, theta_trained))  # (4.1)
surplus = theta_trained @ mismatch  # theta . grad L
entropies = [-np.exp(log_p) @ log_p for log_p in (before, after)]
print(f"largest mismatch of moments (4.2) {np.abs(mismatch).max():.4f}", end=", ")
print(f"theta . grad L = {surplus:.4f} nats; ||W|| from {norms[0]:.2f} to {norms[1]:.2f}", end=", ")
print(f"entropy of p(v) from {entropies[0]:.4f} to {entropies[1]:.4f} nats")
assert abs(curve[10] - curve[0] - 0.03) < 0.01 and curve[50] - curve[10] < 0.1  # hop, standstill
assert curve[1000] - curve[100] > 2.5 and np.all(history[0] - history[-1] > 30)  # rise; both fall
assert norms[0] < 1 and 35 < norms[1] < 50 and surplus > 0.1
assert entropies[0] > 9 * math.log(2) - 0.1 and entropies[1] < math.log(14) + 0.5

# %% name="training" alt="Left: the mean log likelihood rises steeply within 500 steps, then creeps towards the limit -ln 14. Right: both free energies fall by more than 30 nats, while the distance between them shrinks."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.6))
axes[0].plot(curve, color=green, lw=2, label="$L$")
axes[0].axhline(upper_limit, color=ink, ls="--", lw=1, label=r"upper limit $-\ln 14$")
axes[0].axhline(uniform, color=grey, ls=":", lw=1.5, label=r"uniform model, $-9\,\ln 2$")
label(axes[0], "The log likelihood", "step", "mean $\\ln p(v)$ (nats)")
axes[1].plot(history[:, 0], color=blue, label=r"$\langle F_c\rangle$ of the data")
axes[1].plot(history[:, 1], color=orange, label=r"$F_{\rm eq}$")
label(axes[1], "Its two free energies", "step", "free energy (nats)")
for axis in axes:
    axis.legend()
plt.show()

# %% [markdown]
# Left: after a first hop of 0.03 nats, too small to see here, $L$ hardly moves for some fifty steps, because the
# random weights are small and zero is a stationary point. Then it rises steeply, and at last
# it creeps towards the limit. Right: *both* free energies end
# more than thirty nats below their start. Neither alone says anything about the likelihood. What counts is the
# distance between them, which shrinks towards $\ln 14$. Meanwhile $\|W\|$ has grown from less than 1 to 42, and
# the entropy of $p(v)$ has fallen to 2.96 nats, not far above $\ln 14$. A positive
# $\theta \cdot \nabla L$ says that this machine would do better at a lower temperature (exercise 3).
#
# How do the images fare one by one? For a perfect model every pattern has $p(v) = 1/14$, and by (B5)
# $F_c(v) = F_{\rm eq} + \ln 14$: all data on one level.

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
    label(axis, title + " training", "clamped $F_c(v)$ (nats)", "per cent of each group")
    axis.legend(loc="upper center")
plt.show()
assert values[~is_data].min() - values[is_data].max() > 3  # after training

# %% name="samples" alt="Left: probability of each of the 14 patterns, near 0 before training, all just below 1/14 after. Middle: 36 samples before, random dots. Right: 36 samples after, nearly all bars or stripes."
figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), width_ratios=[1.6, 1, 1])
for shift, name, log_p, colour in ((-0.2, "before", before, grey), (0.2, "after", after, blue)):
    axes[0].bar(np.arange(14) + shift, np.exp(log_p[is_data]), 0.4, color=colour, label=name)
axes[0].axhline(1 / 14, color=ink, ls="--", lw=1, label="1/14")
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
assert is_data[drawn].sum() == 33  # after training

# %% [markdown]
# Before training the data are far from the level that theory asks for, and no different from
# other images. After training they lie on one line, close to that level, and every other image is
# more than three nats above them. Of 36 samples 33 are bars or stripes.
#
# ## 6. When it fails: dropping the equilibrium free energy
#
# $F_c$ is cheap, $F_{\rm eq}$ is not. So why not leave the expensive term out and simply make the
# data comfortable, by minimising $\langle F_c \rangle_{\rm data}$? Same start, same learning rate,
# same code, but no negative phase.
#
# **What to expect.** No average in the positive phase is negative, so without the second term every parameter
# can only *grow*. Soon all hidden units will be on, whatever the image, and the free machine will switch on
# every visible unit as well. All its probability goes to the black image, and the other 13 pay for it.
#
# How fast? Once all hidden units are on, the positive phase is $g = \frac12$ for each of the 54
# weights and 9 visible biases and $g = 1$ for each hidden
# bias, while the free machine has $\langle \phi \rangle = 1$ for all of them. A step changes
# $\theta$ by $\eta g$, and hence $L$ by $\eta g$ times its gradient $g - \langle \phi \rangle$:
#
# $$\Delta L = \eta \sum_k g_k \left( g_k - 1 \right)
#   = -\eta \cdot (54 + 9) \cdot \tfrac14 = -7.875 \text{ nats per step} \quad (\eta = 0.5). \tag{6.1}$$
#
# First order is exact here, because saturated free energies are linear in $\theta$.

# %% name="failure-log"
runaway = random_rbm(start_scale, 0.0, 0.0)
failed = np.array([train_step(runaway, on, off) for _ in range(num_failing_steps)])
failed_curve = failed[:, 1] - failed[:, 0]  # L (B2)
for step in (0, 2, 5, 10, num_failing_steps - 1):
    print(f"step {step:2d}: <F_c> = {failed[step, 0]:8.2f}, F_eq = {failed[step, 1]:8.2f}", end="")
    print(f", L = {failed_curve[step]:8.2f} nats")
likeliest = np.argmax(log_probabilities(runaway))
print(f"likeliest image {visible_states[likeliest].astype(int)}", end=", ")
print(f"p(v) = {np.exp(log_probabilities(runaway)[likeliest]):.6f}")
print(f"change of L in the last step: {np.diff(failed_curve)[-1]:.6f} nats")
check(np.diff(failed_curve)[-1], -learning_rate * (54 + 9) / 4, tolerance=1e-8)  # (6.1)
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
# The objective does what it was asked to do: $\langle F_c \rangle_{\rm data}$ falls at every step. But
# $F_{\rm eq}$ falls faster, and the likelihood, their difference, drops without
# limit: once everything is saturated, by the predicted 7.875 nats in every step.
#
# Two lessons. *A low free energy of the data means nothing by itself*: a training log that shows
# $F_c$ alone cannot tell learning from running away. And something has to push back. What can stand in for
# $F_{\rm eq}$ when its sum is out of reach is the question of much that follows: states a few Gibbs steps
# from the data (B10), score matching (B11), or a model built such that $F_{\rm eq} = 0$.
#
# ## 7. Summary
#
# | | clamped, $F_c(v)$ | equilibrium, $F_{\rm eq}$ |
# |:--|:--|:--|
# | derivative for $W_{ij}$ | $-v_i\, p(h_j = 1 \mid v)$ (B8) | $-\langle v_i h_j \rangle_{p(v, h)}$ (B9) |
# | $\theta \cdot \nabla F$ (3.2) | mean energy, clamped | mean energy, free |
# | part in learning | positive phase | negative phase |
#
# - A derivative of a free energy is the average of a derivative of the energy. A single one is the energy of a
#   bond with unit weight; with the weights in front they add up to the interaction energy (3.1).
# - Learning is the difference of two averages and stops when they match.
# - $L$ is neither convex nor concave, because hidden units are not seen.
# - Drop the negative phase, and the likelihood falls without limit.
#
# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **The smallest RBM.** One visible and one hidden unit, with parameters $a$, $b$, $w$.
#    Write down $F_c(0)$, $F_c(1)$ and $F_{\rm eq}$. The data have $v = 1$ in a fraction $f$ of the
#    cases: find the best $a$ for given $b$ and $w$, and check that *all* three derivatives of $L$
#    vanish there. Take $f = 0.3$, $b = -0.4$ and $w = 1.7$ for the numbers, and build the machine `tiny`.
# 2. *(medium)* **Why not sample the hidden units?** In the positive phase one could draw $h_j$ from
#    $p(h_j|v)$ instead of using the probability itself. Show that for a randomly drawn image the mean
#    of $v_i h_j$ stays the same and its variance grows by $\langle v_i\, p_j (1 - p_j) \rangle_{\rm
#    data}$ (`extra`: 9 × 6 for each machine), with $p_j = p(h_j = 1|v)$. Summed over all $i$ and $j$, how
#    many per cent of the variance is this (`noise_share`) for the machine `"random"`, that is `rbm`, and for
#    the one called `"trained"`? So why not?
# 3. *(medium)* **Is the trained model at the right temperature?** Let $L(\beta)$ be the log
#    likelihood with $p_\beta(v) = \sum_h e^{-\beta E(v, h)} / Z(\beta)$. Derive
#    $L'(1) = \langle E \rangle_{p(v, h)} - \langle E
#    \rangle_{\text{data},\, p(h|v)}$ (`slope_at_1`), check it for the trained RBM and find the best $\beta$
#    (`best_beta`, with $L(\beta)$ as a function `at_beta(beta)`).
# 4. *(hard)* **Only the negative phase.** Leave the positive phase out instead. Now every parameter can only
#    fall. Show that after many steps a visible bias follows $da/d\tau = -e^a$, where $\tau$ is $\eta$ times the
#    number of steps, so that $a \approx -\ln \tau$, and that $L$ falls as $-\frac92 \ln \tau$: for
#    ever, but slowly. Train `faded` with `train_step` for 4,000 steps, measure the slope of $L$ against
#    $\ln \tau$ over the second half (`slope`), and say why this failure is so much milder than that of section 6.
#
# The solutions are in the cells below, folded: click on one to open it.

# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. F_c(0) = -softplus(b), F_c(1) = -a - softplus(b + w), Z = 1 + e^b + e^a + e^(a + b + w).
# p(1) = sigmoid(F_c(0) - F_c(1)) = f gives a = ln(f / (1 - f)) + softplus(b) - softplus(b + w).
# Then p(v) is the data's distribution, so data and model averages are the same for all three.
f, b, w = 0.3, -0.4, 1.7
off_on = np.logaddexp(0.0, [b, b + w])  # softplus
best_a = math.log(f / (1 - f)) + off_on[0] - off_on[1]
tiny_clamped = -off_on - [0.0, best_a]
tiny_f_eq = -math.log(1 + math.exp(b) + math.exp(best_a) + math.exp(best_a + b + w))
tiny = BernoulliRBM.from_parameters(*map(np.array, ([[w]], [best_a], [b])), dtype="float64")
exact, data_side = enumeration.moments(tiny), averages(tiny, np.eye(2)[:, 1:], np.array([1 - f, f]))
tiny_gradient = flatten(*data_side) - flatten(exact.correlation, exact.visible, exact.hidden)
print(f"1. a = {best_a:.6f}, F_eq = {tiny_f_eq:.6f} nats, p(1) = {exact.visible[0]:.6f}")
check([tiny.kernel[0, 0], tiny.hidden_bias[0]], [1.7, -0.4], tolerance=1e-6)
check([*tiny.free_energy([[0], [1]]), -enumeration.log_z(tiny)], [*tiny_clamped, tiny_f_eq], 1e-6)
check([*tiny_gradient, *enumeration.moments(tiny).visible], [0.0, 0.0, 0.0, 0.3], tolerance=1e-6)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. Given v, v_i h_j has the mean v_i p_j and (v_i is 0 or 1) the variance v_i p_j (1 - p_j). The law
# of total variance: Var(v_i h_j) = Var_data(v_i p_j) + <v_i p_j (1 - p_j)>_data. As v_i h_j is itself
# 0 or 1, with the mean m = <v_i p_j>, the left-hand side is m (1 - m).
extra, noise_share = {}, {}
for name, model in (("random", rbm), ("trained", trained)):
    p = model.hidden_mean(data).numpy()[:, np.newaxis, :]  # (14, 1, 6)
    products = data[:, :, np.newaxis] * p  # v_i p_j
    extra[name], variance = (products * (1 - p)).mean(0), products.var(0)  # (9, 6)
    check(products.mean(0) * (1 - products.mean(0)), variance + extra[name])
    noise_share[name] = 100 * extra[name].sum() / (variance + extra[name]).sum()
    print(f"2. {name} RBM: {noise_share[name]:.1f} % of the variance would come from sampling h")
print("   Sampling h adds noise and removes no bias; the exact mean costs nothing.")
check(extra["random"], data.T @ (rbm.hidden_mean(data) * (1 - rbm.hidden_mean(data))).numpy() / 14)
check(noise_share["random"], 19.1, tolerance=5e-3)
assert noise_share["trained"] < 2


# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. By (B7) L(beta) is L at the parameters beta theta, so L'(1) = theta . grad L, the difference of
# mean energies of section 4. At a maximum it is 0. Here it is positive: a colder model is better.
def at_beta(beta):
    return likelihood(beta * theta_trained)


energy_table = trained.energy(v, h).numpy().reshape(512, 64)
by_image = np.sum(tf.nn.softmax(-energy_table).numpy() * energy_table, axis=1)  # over p(h|v)
slope_at_1 = np.exp(after) @ by_image - by_image[is_data].mean()
best_beta = max(np.linspace(0.5, 5.0, 451), key=at_beta)
print(f"3. L'(1) = {slope_at_1:.4f} nats, best beta {best_beta:.2f}:", end=" ")
print(f"L = {at_beta(best_beta):.4f} instead of {at_beta(1.0):.4f} nats")
check(at_beta(1.0), after[is_data].mean())
check(slope_at_1, (at_beta(1.001) - at_beta(0.999)) / 0.002, tolerance=1e-4)
assert at_beta(best_beta) > max(at_beta(x) for x in (1.0, 0.98 * best_beta, 1.02 * best_beta))

# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. With only -<phi> every parameter falls. Soon all units are off most of the time, and a unit that is on by
# itself has <v_i> = e^(a_i): da/dtau = -e^a, so e^(-a) grows as tau. Both units of a bond are on at
# once far more rarely, so W stops. F_eq -> 0 and <F_c> -> -<a.v>: L -> <a.v> = -4.5 ln tau, since 4.5 pixels are
# black on average. It is mild because the averages of the model, which drive it, die out as units go off.
# In section 6 the averages over the data never do.
faded = random_rbm(start_scale, 0.0, 0.0)
fading = np.array([train_step(faded, off, on) for _ in range(num_steps)])
tau = learning_rate * np.arange(num_steps)
late = slice(num_steps // 2, None)
slope = np.polyfit(np.log(tau[late]), fading[late, 1] - fading[late, 0], 1)[0]
print(f"4. L = {fading[-1, 1] - fading[-1, 0]:.3f} nats after {num_steps} steps, slope {slope:.4f}")
check(faded.visible_bias.numpy(), -math.log(learning_rate * num_steps), tolerance=0.05)
check(slope, -4.5, tolerance=0.02)
