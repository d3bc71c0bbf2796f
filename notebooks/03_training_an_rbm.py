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
# # Chapter 3: Training an RBM
#
# The gradient of the log likelihood needs an average over what the model makes up by itself, and
# that average has too many terms for any but the smallest machines. This chapter is about what to
# put in its place: a few sweeps of Gibbs sampling (contrastive divergence), chains that never
# stop (persistence), chains at several temperatures, and no chains at all (mean field). On 9 pixels
# each of them can be compared with the exact answer, so we can say not only *that* they are biased
# but by how much, and why.
#
# **What you will do**
#
# - write block Gibbs sampling as a matrix, and find its eigenvalues from a table of probabilities;
# - compute contrastive divergence with infinitely many chains, and see its bias decay;
# - let the model move, and measure how far its chains fall behind;
# - replace samples by a fixed point (TAP), and measure the order of its error;
# - compare the exact likelihoods of one model, trained with seven different negative phases;
# - hide half of a model's probability from contrastive divergence, and watch it not notice;
# - take a machine trained on handwritten digits, and use its hidden units as features for a classifier.
#
# **What you will learn**
#
# - what contrastive divergence computes (B10), and that in the long run its bias is governed by one
#   eigenvalue;
# - why learning rates must be small for persistent chains, and what tempering is good for;
# - why the centred gradient does not care which colour is called 1, and the plain one does.
#
# **What you need**: chapter 2, above all the gradients (B8) and (B9); eigenvalues of a symmetric
# matrix; and some Python, with this project installed.
#
# **Time**: two hours and a quarter, and two hours for the exercises. The code runs in about a minute,
# and in one or two more where it trains its shipped machines anew.
#
# Equation numbers such as (B10) are the row names used in the whole course, in the library's
# docstrings and in the table `EQUATIONS.md`. Numbers such as (2.1) are steps on the way. Energies
# are in nats, and $\beta = 1$ unless it is written.

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
import os
from functools import partial

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from sklearn.linear_model import LogisticRegression

from rbm_tf import BernoulliRBM, course, datasets, enumeration, mean_field, plotting
from rbm_tf import training as phases

# %%
seed = 0
num_visible, num_hidden = 9, 6  # images of 3 x 3 pixels
weak, strong, bias_scale = 0.5, 3.0, 0.5  # standard deviations of random parameters, nats
couplings = 0.7, 1.3  # of the two-mode machines, nats
num_copies = 2000  # of each image, in statistical checks
scales = np.geomspace(0.02, 5.0, 13)  # of the kernel in section 6
learning_rate, num_epochs, num_updates = 0.3, 40, 50  # updates per epoch, section 7
digit_epochs, digit_hidden = (20, 80), 64  # a short training, and what is added to it
num_labelled, num_draws = (50, 100, 300), 10
retrain = bool(os.environ.get("RETRAIN"))  # True: train all machines here, about a minute
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

keras.utils.set_random_seed(seed)
plt.style.use(["rbm_tf.course", {"figure.dpi": 74}])


# %%
def check(left, right, tolerance=1e-10):
    """Raise unless both are equal to the tolerance, relative above 1, absolute below."""
    np.testing.assert_allclose(*np.broadcast_arrays(left, right), rtol=tolerance, atol=tolerance)


def label(axis, title, xlabel, ylabel):
    axis.set(title=title, xlabel=xlabel, ylabel=ylabel)


def set_parameters(rbm, *values):  # kernel, visible bias, hidden bias
    for parameter, value in zip(rbm.trainable_variables, values, strict=True):
        parameter.assign(value)
    return rbm


# %% [markdown]
# ## 1. The average that is missing, and block Gibbs sampling
#
# Section 9 of chapter 2 gave the gradient of the log likelihood $L$. Collect what multiplies the
# parameters in one vector, with the hidden units averaged given $v$ as in (7.2) there,
#
# $$\phi(v) = \big( v_i\, p(h_j = 1|v), \; v_i, \; p(h_j = 1|v) \big) , \qquad
#   \frac{\partial F_c(v)}{\partial \theta} = -\phi(v) \;\text{ by (B8)}, \qquad
#   \frac{\partial F_{\rm eq}}{\partial \theta} = -\langle \phi \rangle_{p(v)} \;\text{ by (B9)}. $$
#
# With $L = -\langle F_c \rangle_{\rm data} + F_{\rm eq}$ this makes
#
# $$\nabla L = \langle \phi \rangle_{\rm data} - \langle \phi \rangle_{p(v)} . \tag{1.1}$$
#
# The first average is a sum over the data. The second needs samples of $p(v)$, and we can draw from
# $p(h|v)$ and $p(v|h)$, because both are products over single units. So do it in turn: from $v$
# draw $h$, from $h$ draw a new $v'$. One such *sweep* takes $v$ to $v'$ with the probability
#
# $$T(v \to v') = \sum_h p(h|v)\, p(v'|h) . \tag{1.2}$$
#
# **A sweep leaves $p(v)$ as it is.** Multiply (1.2) by $p(v)$ and write the conditional
# probabilities as ratios, $p(v)\, p(h|v) = p(v, h)$ and $p(v'|h) = p(v', h) / p(h)$:
#
# $$p(v)\, T(v \to v') = \sum_h \frac{p(v, h)\, p(v', h)}{p(h)} = p(v')\, T(v' \to v) . \tag{1.3}$$
#
# The middle does not change when $v$ and $v'$ trade places. This is *detailed balance*: in
# equilibrium there is as much traffic from $v$ to $v'$ as back. Sum (1.3) over $v$, and remember
# that $\sum_v T(v' \to v) = 1$:
#
# $$\sum_v p(v)\, T(v \to v') = p(v') \sum_v T(v' \to v) = p(v') . \tag{1.4}$$
#
# Start from $p$, and you stay there. And because every entry of $T$ is positive (a sigmoid is never
# 0 or 1), there is no second such distribution, and every start converges to $p$. The question
# is only how fast.
#
# **Check against the exact result.** With 9 visible units $T$ is a matrix of 512 × 512. We build
# it from the table of $p(v, h)$, for a random RBM with large weights, and check (1.3) and (1.4).

# %%
visible_states = np.array(list(itertools.product([0.0, 1.0], repeat=num_visible)))  # (512, 9)
hidden_states = np.array(list(itertools.product([0.0, 1.0], repeat=num_hidden)))  # (64, 6)


def joint(rbm):
    """The table of p(v, h), (512, 64), float64."""
    kernel, visible_bias, hidden_bias = (x.numpy().astype(float) for x in rbm.trainable_variables)
    log_weights = (visible_states @ visible_bias)[:, np.newaxis] + hidden_states @ hidden_bias
    log_weights += visible_states @ kernel @ hidden_states.T  # -E (B1)
    weights = np.exp(log_weights - log_weights.max())
    return weights / weights.sum()


# %%
def sweep_matrix(rbm):
    """T(v -> v'), (512, 512): p(h|v) times p(v'|h), summed over h (1.2)."""
    table = joint(rbm)
    return (table / table.sum(axis=1, keepdims=True)) @ (table / table.sum(axis=0)).T


def random_rbm(kernel_scale):
    rng = np.random.default_rng(seed)
    rbm = BernoulliRBM(num_visible, num_hidden, dtype="float64")
    kernel = rng.normal(0, kernel_scale, (num_visible, num_hidden))
    return set_parameters(
        rbm, kernel, rng.normal(0, bias_scale, num_visible), rng.normal(0, bias_scale, num_hidden)
    )


# %% name="detailed-balance"
rbm = random_rbm(strong)
p, T = joint(rbm).sum(axis=1), sweep_matrix(rbm)
flow = p[:, np.newaxis] * T
check(T.sum(axis=1), 1.0)
assert np.allclose(flow, flow.T, rtol=1e-10, atol=0)  # detailed balance (1.3)
check(p @ T, p)  # stationarity (1.4)
print(f"largest |p T - p| = {np.abs(p @ T - p).max():.1e}, smallest entry of T = {T.min():.1e}")

# %% [markdown]
# The library draws the same sweep with random numbers. **Check**: many chains start at the same
# image and make one `gibbs_step`; the means of the pixels must agree with the row of $T$ within
# 5 standard errors.

# %% name="one-sweep"
start = np.tile(visible_states[100], (20_000, 1))
after_sweep = rbm.gibbs_step(start, seed=seed).numpy()
expected = T[100] @ visible_states
standard_error = np.sqrt(expected * (1 - expected) / len(start))
deviation = (after_sweep.mean(axis=0) - expected) / standard_error
assert np.all(np.abs(deviation) < 5)
print("deviation of each pixel in standard errors:", deviation.round(1))

# %% [markdown]
# ## 2. How fast does it forget? The eigenvalues of a sweep
#
# Divide (1.3) by $\sqrt{p(v)\, p(v')}$. The left-hand side becomes
# $\sqrt{p(v)}\; T(v \to v') / \sqrt{p(v')}$, a matrix with the same eigenvalues as $T$, and the
# middle becomes a product of a matrix with its own transpose:
#
# $$\sqrt{p(v)}\; T(v \to v')\, \frac{1}{\sqrt{p(v')}} = \sum_h A_{vh} A_{v'h} = (A A^{\!\top})_{vv'} ,
#   \qquad A_{vh} = \frac{p(v, h)}{\sqrt{p(v)\, p(h)}} . \tag{2.1}$$
#
# So the eigenvalues $\lambda_a$ of $T$ are the *squared singular values* of $A$. None is negative,
# none is above 1 (a stochastic matrix has none), and at most 64 of the 512 differ from 0, because $A$
# has 64 columns. The first is $\lambda_1 = 1$, with $p$ itself. Let $u_a(v)$ be the orthonormal
# eigenvectors of $A A^{\!\top}$, $u_1 = \sqrt p$. Start from any $p_0$, and after $k$ sweeps
#
# $$p_k(v) = p(v) + \sum_{a \ge 2} \lambda_a^k\, c_a\, \sqrt{p(v)}\, u_a(v) , \qquad
#   c_a = \sum_v \frac{p_0(v)}{\sqrt{p(v)}}\, u_a(v) . \tag{2.2}$$
#
# What the start had too much of dies out, each part at its own rate, and the second eigenvalue is the
# last to go. It takes about $\tau = 1 / \ln(1 / \lambda_2)$ sweeps to shrink that part by a factor
# of $e$. (The second singular value of $A$ has a name of its own: it is the *maximal correlation*
# between a function of $v$ and a function of $h$. Gibbs sampling is slow when one layer knows the
# other too well.)
#
# **Four machines.** Two are random, with small and with large weights. The other two have *two
# modes*. Take an image $x$, here the letter "T", with the signs $s_i = 2 x_i - 1$, and set
#
# $$W_{ij} = w\, s_i , \qquad a_i = -\tfrac12 \sum_j W_{ij} , \qquad
#   b_j = -\tfrac12 \sum_i W_{ij} . \tag{2.3}$$
#
# Insert it into (B1). With $M = \sum_i s_i (v_i - \frac12)$ and $N = \sum_j (h_j - \frac12)$ the energy
# is $-w M N$, up to a constant. It stays the same if all units flip, $M \to -M$ and $N \to -N$. So
# the letter and its negative are equally likely, and for large $w$ nearly all the probability is near
# these two.
#
# **Check against the exact result**: (2.1) and (2.2) for all machines. By symmetry, half of the
# probability is on the far side, at images with more pixels of the negative than of the letter.

# %%
data = datasets.bars_and_stripes(3)[0].reshape(14, 9).astype(float)
is_data = (visible_states[:, np.newaxis] == data).all(axis=2).any(axis=1)
letter = np.array([1.0, 1, 1, 0, 1, 0, 0, 1, 0])
is_far = np.abs(visible_states - letter).sum(axis=1) > 4.5  # nearer to the negative


def two_modes(coupling, **kwargs):
    kernel = coupling * np.outer(2 * letter - 1, np.ones(num_hidden))  # (2.3)
    rbm = BernoulliRBM(num_visible, num_hidden, seed=seed, **kwargs)
    return set_parameters(rbm, kernel, -kernel.sum(axis=1) / 2, -kernel.sum(axis=0) / 2)


# %%
def spectrum(rbm):
    """Eigenvalues (64,) and eigenvectors (512, 64) of the symmetric sweep matrix (2.1)."""
    table = joint(rbm)
    scaled = table / np.sqrt(np.outer(table.sum(axis=1), table.sum(axis=0)))
    left, singular_values, _ = np.linalg.svd(scaled, full_matrices=False)
    return singular_values**2, left


# %%
machines = {"random, small weights": random_rbm(weak), "random, large weights": random_rbm(strong)}
machines |= {f"two modes, w = {w}": two_modes(w, dtype="float64") for w in couplings}
starts = {}  # of two modes: the near half of p; else the bars and stripes

# %% name="spectrum"
for name, rbm in machines.items():
    p, (values, vectors) = joint(rbm).sum(axis=1), spectrum(rbm)
    p_0 = starts[name] = np.where(is_far, 0, 2 * p) if "modes" in name else is_data / 14
    of_sweep = np.sort(np.linalg.eigvals(sweep_matrix(rbm)).real)[::-1]
    check(of_sweep, np.append(values, np.zeros(512 - 64)))
    check(values[0], 1.0)  # (2.1)
    coefficients = (p_0 / np.sqrt(p)) @ vectors * values**3
    expanded = np.sqrt(p) * (vectors @ coefficients)  # (2.2), k = 3; a = 1 gives p
    p_3 = p_0 @ np.linalg.matrix_power(sweep_matrix(rbm), 3)
    check(expanded, p_3, 1e-6)  # dividing by sqrt(p) magnifies rounding
    tau = 1 / np.log(1 / values[1])
    print(f"{name:22s} lambda_2 = {values[1]:.6f}, tau = {tau:7.1f} sweeps")
    if "modes" in name:
        check(p[is_far].sum(), 0.5)  # by symmetry

# %% [markdown]
# This machine with large random weights mixes within two sweeps; others drawn alike take from one to
# some tens. Large weights as such are not the problem. Two modes are: to change from one to the other,
# all units have to turn over together, and the machine with the larger $w$ does so once in $2 \tau$, about
# 13,000, sweeps.
#
# ## 3. Contrastive divergence and its bias
#
# Nobody can wait for $k \to \infty$ at each update. *Contrastive divergence* (Hinton 2002) starts
# the chain where the model ought to be, at the data, and stops it after $k$ sweeps, $k = 1$ more
# often than not:
#
# $$\boxed{\; \frac{\partial L}{\partial W_{ij}} \approx \langle v_i\, p(h_j = 1|v) \rangle_{\rm data}
#   - \bar v_i\, \bar h_j , \qquad \bar v \text{ from } k \text{ sweeps, } \;
#   \bar h_j = p(h_j = 1 | \bar v) \;} \tag{B10}$$
#
# and alike for the biases. The post that this course follows, Charles Martin's *Free Energies and
# Variational Inference*, calls it a *point estimate*: one state stands for the whole distribution. In a
# batch there is one chain for each image, and over many batches the second term averages to
#
# $$\mathbb{E}[\bar v_i \bar h_j] = \langle v_i\, p(h_j = 1|v) \rangle_{p_k} , \qquad
#   p_k = p_D\, T^k , \tag{3.1}$$
#
# with the distribution $p_D$ of the data. So there are two errors: noise, which averages out over
# the updates, and a bias, which does not. Call the mean of (B10) $g_k = \langle \phi \rangle_{p_D} -
# \langle \phi \rangle_{p_k}$. The bias is the difference of (1.1) and $g_k$, with $p_\infty = p$.
# The data's average is the same in both and cancels:
#
# $$\nabla L - g_k
#   = \big[ \langle \phi \rangle_{p_D} - \langle \phi \rangle_{p_\infty} \big]
#   {} - \big[ \langle \phi \rangle_{p_D} - \langle \phi \rangle_{p_k} \big]
#   = \langle \phi \rangle_{p_k} - \langle \phi \rangle_{p_\infty} , \tag{3.2}$$
#
# an average at time $k$ minus the same average at time infinity. With (2.2), where $p_0 = p_D$,
#
# $$\boxed{\; \nabla L - g_k = \sum_{a \ge 2} \lambda_a^k\, c_a \sum_v \sqrt{p(v)}\, u_a(v)\, \phi(v) \;}
#   \tag{3.3}$$
#
# There are two ways for the bias to be small. Either the eigenvalues are small, and the chain has
# forgotten the data; or the coefficients $c_a$ are, and the model already resembles the data. The
# second is the hope behind CD-1: as training goes well, $p_D$ comes close to $p$. It fails where
# the model differs from the data along a *slow* direction.
#
# **Check against the exact result.** First that the library's `ContrastiveDivergence` samples $p_k$:
# 2,000 chains from each of the 14 bars and stripes, pixel means against $p_D T^2$ within 5 standard
# errors. Then the formula (3.3), for each machine and $k$. The data of the random machines are the
# bars and stripes; those of the two-mode machines are one half of their own distribution, the near side.


# %%
def features(rbm):
    """phi(v) of all visible states, (512, 69): v h^T, v and h, with <h> given v (1.1)."""
    h = rbm.hidden_mean(visible_states).numpy()
    products = visible_states[:, :, np.newaxis] * h[:, np.newaxis, :]
    return np.concatenate([products.reshape(512, -1), visible_states, h], axis=1)


# %%
phase = phases.ContrastiveDivergence(num_steps=2, seed=seed)
sampled = BernoulliRBM(num_visible, num_hidden, negative_phase=phase, dtype="float64")
set_parameters(sampled, *random_rbm(strong).trainable_variables)
copies = np.repeat(data, num_copies, axis=0)
fields = sampled.hidden_bias + copies @ sampled.kernel
chains = phase(fields, machine=sampled.machine, training=False)
p_2 = is_data / 14 @ np.linalg.matrix_power(sweep_matrix(sampled), 2)
expected = p_2 @ visible_states
deviation = chains.visible.numpy().mean(axis=0) - expected
standard_error = np.sqrt(expected * (1 - expected) / len(copies))
assert np.all(np.abs(deviation) < 5 * standard_error)
print("deviation of each pixel in standard errors:", (deviation / standard_error).round(1))

# %%
bias_curves, steps = {}, np.unique(np.geomspace(1, 1000, 40).astype(int))
for name, rbm in machines.items():
    p, phi, p_k = joint(rbm).sum(axis=1), features(rbm), starts[name]
    exact, (values, vectors) = (starts[name] - p) @ phi, spectrum(rbm)
    coefficients = (starts[name] / np.sqrt(p)) @ vectors
    modes = (vectors * np.sqrt(p)[:, np.newaxis]).T @ phi  # (64, 69)
    bias_curves[name] = []
    for k in steps:
        bias = (coefficients * values**k)[1:] @ modes[1:]  # (3.3)
        if k in (1, 2, 5, 20):
            p_k = starts[name] @ np.linalg.matrix_power(sweep_matrix(rbm), int(k))
            check(exact - bias, (starts[name] - p_k) @ phi, 1e-6)  # (3.2)
        bias_curves[name].append(np.linalg.norm(bias) / np.linalg.norm(exact))

# %% name="cd-errors"
print("relative error of CD-k / cosine of its angle to the exact gradient / relative length")
for name, rbm in machines.items():
    p, p_k, phi, T = joint(rbm).sum(axis=1), starts[name], features(rbm), sweep_matrix(rbm)
    exact, row = (p_k - p) @ phi, f"{name:22s}"
    for k in range(1, 21):
        p_k = p_k @ T
        if k in (1, 5, 20):
            cd = (starts[name] - p_k) @ phi
            length, exact_length = np.linalg.norm(cd), np.linalg.norm(exact)
            cosine = cd @ exact / length / exact_length
            error = np.linalg.norm(cd - exact) / exact_length
            row += f"  k = {k}: {error:.4f} / {cosine:.4f} / {length / exact_length:.2g}"
    print(row)

# %% name="cd-bias" alt="Relative bias of CD-k by number of sweeps, log-log. Random machines: below 1e-4 within about 15 sweeps. Two modes, w = 0.7: within 100 sweeps. Two modes, w = 1.3: still near 1 after a thousand."
figure, axis = plt.subplots(figsize=(8, 4))
for (name, curve), colour in zip(bias_curves.items(), (green, blue, purple, orange), strict=True):
    axis.loglog(steps, curve, "o-", ms=3, color=colour, label=name)
label(
    axis, "Bias of contrastive divergence", "sweeps $k$", r"$|\nabla L - g_k| \; / \; |\nabla L|$"
)
axis.set_ylim(1e-5, 2)
axis.legend(loc="lower right")
plt.show()

# %% [markdown]
# With random weights, small or large, CD-1 misses a part of the gradient, but it points nearly the
# right way, and five sweeps are almost exact. With two modes it is another matter: for the larger
# $w$ even a thousand sweeps leave most of the gradient missing. What there is of it still points the
# right way (the cosine is above 0.96 for $k = 1$), but it is ten thousand times too short, and the
# noise of any affordable number of chains drowns it. The data are on one side, and a chain that
# starts there has no way to find out that the model has another.
#
# ## 4. Persistence: chains that follow the model
#
# Why throw a chain away after each update? *Persistent contrastive divergence* (Tieleman 2008) keeps
# its chains. The model changes only a little in one update, so a chain that was in equilibrium
# before is nearly so after, and one more sweep brings it nearer.
#
# **How far behind is it?** Let $e_t$ be the size of the chains' deviation from $p$ along the
# slowest direction, and let each update, of size $\eta$, add $\eta r$ to it. A sweep then multiplies by
# $\lambda_2$:
#
# $$e_{t+1} = \lambda_2 \left( e_t + \eta r \right) , \qquad \text{with the steady state} \qquad
#   e_* = \eta r\, \frac{\lambda_2}{1 - \lambda_2} \approx \eta r\, \tau , \tag{4.1}$$
#
# the last step for $\lambda_2$ near 1.
#
# The lag is proportional to the learning rate, and to the mixing time. Both persistence and CD are
# biased, but this bias can be made as small as we like by a small $\eta$, at *one* sweep per update.
# Conversely, a learning rate that is fine at the start, when the weights are small, may be too
# large later on, when $\tau$ has grown.
#
# **Check against the exact result.** Infinitely many persistent chains are a vector $q$ of 512
# probabilities with $q \leftarrow q\, T$. We start from $q = p$ for a random machine, double all
# of its parameters in $N$ equal steps, one sweep each, and measure how far the average of $\phi$ is off
# at the end. By (4.1) the error times $N$ should settle to a constant. (This is the proportionality to
# $\eta$; the machine mixes too fast to see $\tau$ at work. Section 7 does.)

# %% name="lag"
moving = random_rbm(1.0)
origin = [x.numpy() for x in moving.trainable_variables]
lags, numbers = [], np.array([10, 20, 40, 80, 160, 320])
for number in numbers:
    q = joint(set_parameters(moving, *origin)).sum(axis=1)
    for step in range(1, number + 1):
        set_parameters(moving, *(x * (1 + step / number) for x in origin))
        q = q @ sweep_matrix(moving)  # one sweep per update
    difference = (q - joint(moving).sum(axis=1)) @ features(moving)
    lags.append(np.linalg.norm(difference))
    print(f"N = {number:3d}: error {lags[-1]:.6f}, error x N = {lags[-1] * number:.4f}")
assert np.all(np.diff(lags) < 0)
check(lags[-1] * numbers[-1], lags[-2] * numbers[-2], 0.02)  # proportional to 1/N (4.1)

# %% [markdown]
# ## 5. Parallel tempering: when modes are far apart
#
# A persistent chain on one side of the two-mode machine with $w = 1.3$ stays there for thousands of
# updates as well. At a *higher temperature* the modes melt together. So run chains at several
# inverse temperatures $0 = \beta_1 < \dots < \beta_R = 1$ at once and let neighbours swap their
# states. The chains together have the distribution $\prod_r p_{\beta_r}(v_r)$, with $p_\beta(v) \propto
# e^{-\Phi_\beta(v)}$ and $\Phi_\beta(v) = -\ln \sum_h e^{-\beta E(v, h)}$, which is $\beta$ times the clamped
# free energy. If the states $v$ at $\beta$ and $v'$ at $\beta'$ trade places, the probability changes by
# the factor
#
# $$\frac{p_\beta(v')\, p_{\beta'}(v)}{p_\beta(v)\, p_{\beta'}(v')} = e^{-\Delta} , \qquad
#   \Delta = \Phi_\beta(v') + \Phi_{\beta'}(v) - \Phi_\beta(v) - \Phi_{\beta'}(v') ; \tag{5.1}$$
#
# every $Z$ cancels. Accept the swap with probability $\min(1, e^{-\Delta})$. Then the traffic from
# the old to the new pair is $p_{\rm old} \min(1, p_{\rm new} / p_{\rm old})
# = \min(p_{\rm old}, p_{\rm new})$, the same in both directions: detailed balance again, so that the
# chains at $\beta = 1$ still sample $p$. But now a state can take the way round: up in temperature, to
# small $\beta$, where it changes sides freely, and down again.
#
# **Check against the exact result.** All chains at all temperatures of the two-mode machine with
# $w = 1.3$ start at the letter. How many of those at $\beta = 1$ are on the far side, after each sweep?
# For plain Gibbs sampling the matrix $T$ gives the answer without noise, for `ParallelTempering`
# we count 1,000 *ladders* of one chain at each temperature. In equilibrium it is one half, and at $\beta = 1$
# nearly all states are within a pixel of one of the modes; at $\beta = 0$ hardly any.

# %%
phase = phases.ParallelTempering(num_betas=8, num_chains=1000, seed=seed)
cold = two_modes(couplings[1], negative_phase=phase)
phase.chains.assign(np.broadcast_to(letter, phase.chains.shape))
unused, tempered, plain = tf.zeros((1, num_hidden)), [], []
move = tf.function(lambda: phase(unused, machine=cold.machine, training=True).visible)
p_k, T = (visible_states == letter).all(axis=1).astype(float), sweep_matrix(cold)
for _ in range(150):
    states = move().numpy()  # at beta = 1
    tempered.append(np.mean(np.abs(states - letter).sum(axis=1) > 4.5))
    p_k = p_k @ T
    plain.append(p_k[is_far].sum())

# %% name="far-side-shares"
standard_error = 0.5 / np.sqrt(1000)
assert abs(tempered[-1] - 0.5) < 5 * standard_error  # ladders are independent
distances = [np.abs(x - letter).sum(axis=1) for x in (states, visible_states)]
close, is_close = (np.minimum(x, 9 - x) <= 1 for x in distances)  # to one of the modes
share = joint(cold).sum(axis=1)[is_close].sum()
assert abs(close.mean() - share) < 5 * np.sqrt(share * (1 - share) / 1000)
print(f"within a pixel of a mode: tempering {close.mean():.3f}, exact {share:.4f}")
print(f"far side after 150 sweeps: Gibbs {plain[-1]:.4f}, tempering {tempered[-1]:.3f}", end=" ")
print(f"+- {standard_error:.3f}, exact {joint(cold).sum(axis=1)[is_far].sum():.4f}")

# %% name="tempering" alt="Share of chains on the far side, by sweep, all started at the letter. Parallel tempering reaches one half after some 50 sweeps and fluctuates about it. Gibbs sampling stays near zero for 150 sweeps."
figure, axis = plt.subplots(figsize=(8, 3.4))
axis.plot(range(1, 151), tempered, color=green, label="parallel tempering, 8 temperatures")
axis.plot(range(1, 151), plain, color=orange, label="Gibbs sampling (exact)")
axis.axhline(0.5, color="black", ls="--", lw=1, label="equilibrium")
label(axis, "All chains start at the letter", "sweep", "share on the far side")
axis.legend(loc="center right")
plt.show()

# %% [markdown]
# Tempering is there within some tens of sweeps. Each of them costs eight times as much, a bargain when
# the alternative is thousands.
#
# ## 6. Without samples: mean field and TAP
#
# The deterministic route replaces samples by the averages themselves. Write
# $m_i \approx \langle v_i \rangle$, $n_j \approx \langle h_j \rangle$, and approximate the equilibrium
# free energy by a function of these *magnetisations*, with $c_i = m_i (1 - m_i)$ and
# $d_j = n_j (1 - n_j)$:
#
# $$\begin{aligned}
# \Gamma(m, n) = & -S(m) - S(n) - a \cdot m - b \cdot n - \sum_{ij} m_i W_{ij} n_j
#   && \text{order 1: naive mean field} \\
# & - \tfrac12 \sum_{ij} W_{ij}^2\, c_i d_j && \text{order 2: Onsager term} \\
# & - \tfrac23 \sum_{ij} W_{ij}^3\, c_i (\tfrac12 - m_i)\, d_j (\tfrac12 - n_j) && \text{order 3}
# \end{aligned} \tag{6.1}$$
#
# where $S$ is the entropy of independent units. Order 1 is the free energy of the product
# distribution with these means, hence an upper bound on $F_{\rm eq}$; the best means give the lowest
# one. Order 2 is due to Thouless, Anderson and Palmer (1977, TAP), and the expansion in powers of
# $W$ at given $m$ and $n$ to Plefka (1982). Chapter 13 derives them (B26); here we take them as
# given, and test them. At the solution $\Gamma$ is stationary, $\partial\Gamma/\partial m =
# \partial\Gamma/\partial n = 0$. This is what makes its gradient cheap: in
#
# $$\frac{d\Gamma}{dW_{ij}} = \frac{\partial \Gamma}{\partial W_{ij}}
#   + \sum_k \underbrace{\frac{\partial \Gamma}{\partial m_k}}_{0} \frac{\partial m_k}{\partial W_{ij}}
#   + \sum_l \underbrace{\frac{\partial \Gamma}{\partial n_l}}_{0} \frac{\partial n_l}{\partial W_{ij}}
#   \tag{6.2}$$
#
# only the explicit derivative is left. It stands in for (B9):
#
# $$\langle v_i h_j \rangle \approx -\frac{\partial \Gamma}{\partial W_{ij}}
#   = m_i n_j + W_{ij}\, c_i d_j + 2 W_{ij}^2\, c_i (\tfrac12 - m_i)\, d_j (\tfrac12 - n_j) ,
#   \tag{6.3}$$
#
# one term for each order, and $\langle v_i \rangle \approx m_i$, $\langle h_j \rangle \approx n_j$.
#
# **How large is the error?** Scale the kernel by $s$ and leave the biases alone. An expansion that
# is complete to order $r$ in $W$ has a free energy with an error of order $s^{r+1}$. The derivative
# with respect to a *bias* keeps that power. The derivative with respect to a *weight* takes one factor
# of $W$ away:
#
# $$\text{error of } \langle v_i \rangle : \; s^{r+1} , \qquad
#   \text{error of } \langle v_i h_j \rangle : \; s^r . \tag{6.4}$$
#
# **Check against the exact result**: (6.2) by finite differences of the solved $\Gamma$; that order 1 is
# a bound; the slopes (6.4) in a log-log plot; and the library's `MeanFieldPhase`.

# %%
base = random_rbm(1.0)
direction, biases = base.kernel.numpy(), [x.numpy() for x in base.trainable_variables[1:]]
errors = {}  # (order, quantity): one number per scale
for scale in scales:
    moments = enumeration.moments(set_parameters(base, scale * direction, *biases))
    for order in (1, 2, 3):
        point = mean_field.tap(base, order=order)
        assert point.converged != (order == 3 and scale == scales[-1])
        m, n = point.visible[np.newaxis], point.hidden[np.newaxis]
        correlation = mean_field.correlation(base.kernel.numpy(), m, n, order).numpy()  # (6.3)
        values = point.visible - moments.visible, correlation - moments.correlation
        for name, value in zip(("<v>", "<v h>"), values, strict=True):
            errors.setdefault((order, name), []).append(np.linalg.norm(value))
        if order == 1:
            assert point.free_energy >= -enumeration.log_z(base)  # a bound at every scale

# %% name="tap-powers" alt="Errors of averages by scale of the kernel, log-log. For pixels the slopes are 2, 3 and 4 for orders 1, 2 and 3, for products 1, 2 and 3. At the strongest couplings order 3 is no longer better than 2."
log_scale = np.log(scales[:4])  # the weakest couplings
for (order, name), values in errors.items():
    slope = np.polyfit(log_scale, np.log(values[:4]), 1)[0]
    predicted = order + (name == "<v>")  # (6.4)
    print(f"order {order}, error of {name:5s}: power {slope:.2f}, predicted {predicted}")
    assert abs(slope - predicted) < 0.3
figure, axes = plt.subplots(1, 2, figsize=(10, 3.8))
for axis, name, title in zip(axes, ("<v>", "<v h>"), ("pixels", "products"), strict=True):
    for order, colour in zip((1, 2, 3), (orange, blue, green), strict=True):
        axis.loglog(scales, errors[order, name], "o-", ms=3, color=colour, label=f"order {order}")
    ylabel = rf"error of $\langle {name[1:-1]} \rangle$ (norm)"
    label(axis, f"Averages of {title}", "scale $s$ of the kernel", ylabel)
    axis.legend(loc="lower right")
plt.show()

# %%
set_parameters(base, 0.5 * direction, *biases)
for order in (1, 2, 3):
    point = mean_field.tap(base, order=order)
    m, n = point.visible[np.newaxis], point.hidden[np.newaxis]
    analytic = mean_field.correlation(base.kernel.numpy(), m, n, order).numpy()[0, 0]
    shift = 1e-4 * np.outer(np.eye(num_visible)[0], np.eye(num_hidden)[0])
    ends = []
    for sign in (1, -1):
        parameters = base.kernel.numpy() + sign * shift, *biases
        ends.append(mean_field.tap_of(tuple(map(tf.constant, parameters)), order).free_energy)
    check(-(ends[0] - ends[1]) / 2e-4, analytic, 1e-7)  # (6.2)

# %%
for order in (1, 2, 3):
    point = mean_field.tap(base, order=order)
    phase = phases.MeanFieldPhase(order, num_chains=3, num_iterations=200, seed=seed)
    phase.build((base.visible, base.hidden))
    result = phase(tf.zeros((1, num_hidden), tf.float64), machine=base.machine, training=False)
    m, n = point.visible[np.newaxis], point.hidden[np.newaxis]
    correlation = mean_field.correlation(base.kernel.numpy(), m, n, order)
    expected = point.free_energy, point.visible, point.hidden, correlation
    for x, y in zip(result[:4], expected, strict=True):
        check(x, y, 1e-6)
    print(f"order {order}: Gamma = {point.free_energy:.6f}", end=", ")
    print(f"F_eq = {-enumeration.log_z(base):.6f} nats")

# %% [markdown]
# The powers come out as predicted. Each order is worth one power of $s$ as long as the coupling is
# weak. On the right of the plots, where couplings are as strong as trained machines need them, the
# advantage of order 3 over order 2 is gone, and the iteration may not even converge: the last point
# of order 3, at $s = 5$, is where it stopped, and not a fixed point.
#
# One warning before we train with it. Order 1 bounds $F_{\rm eq}$ from *above*, so that $-\langle
# F_c \rangle_{\rm data} + \Gamma_1 \ge L$ is an upper bound on the likelihood. Pushing up a lower
# bound raises a floor under the likelihood; pushing up an upper bound guarantees nothing. (Orders 2
# and 3 are no bounds at all. They are more accurate, so we train with them and leave order 1 out.)
#
# ## 7. One model, seven negative phases
#
# In the library all of these are one argument: `BernoulliRBM(..., negative_phase=...)`, and `fit`
# trains as any Keras model is trained. `ExactPhase` sums over all states, for machines with a small
# layer. The same RBM was trained with each of them, from the same start, on the 14 bars and stripes. Every
# update saw all 14 images, so the runs differ in their negative phase alone. CD has 14 chains, one for each
# image; persistence and tempering have 100; TAP has 100 sets of magnetisations. (`MeanFieldPhase` goes
# three damped steps per update towards its fixed points.) All runs use the library's default direction
# (section 9), a linear map of the gradient that leaves its zeros alone. After each
# epoch, here 50 updates, the exact log likelihood was written down. Chapter 2 proved its limit,
# $L \le -\ln 14$.
#
# To tell the noise of CD-1 from its bias we add a run without noise. It has infinitely many chains: its
# averages are those over $p_D\, T$ (3.1), from the tables.
#
# The trained machines of this section and of section 10 come with the course, and with them the log likelihoods.
# Three epochs with the exact gradient are trained here, for comparison. To train all in front of you, set
# `retrain = True` above. This overwrites the files in the folder `models`. On another processor training rounds
# differently, and small differences grow: expect numbers a little different then from those in the text.

# %%
upper_limit = -np.log(14)


def log_likelihood(rbm):
    """The exact mean of ln p(v) over the 14 images (B2), nats."""
    return float(-np.mean(rbm.free_energy(data)) - enumeration.log_z(rbm))


# %%
def averages(hidden_input, v, q):
    """<v>, <h> and <v h^T> under the probabilities q of the states v."""
    mean, weighted = tf.sigmoid(hidden_input), q[:, tf.newaxis] * v
    correlation = tf.matmul(weighted, mean, transpose_a=True)
    return tf.reduce_sum(weighted, 0), tf.linalg.matvec(mean, q, transpose_a=True), correlation


# %%
class InfiniteChains(phases.ExactPhase):
    """Contrastive divergence without noise: averages over p_D T^k, k = num_steps (3.1)."""

    def call(self, data_hidden_input, machine, training):
        v, h, q = (
            tf.constant(x, tf.float32) for x in (visible_states, hidden_states, is_data / 14)
        )
        hidden_input = machine.hidden_bias + v @ machine.kernel
        terms = tf.linalg.matvec(v, machine.visible_bias)[:, tf.newaxis]
        terms += tf.matmul(hidden_input, h, transpose_b=True)  # -E(v, h) (B1), (512, 64)
        for _ in range(self.num_steps):
            q = tf.linalg.matvec(tf.nn.softmax(terms, 1), q, transpose_a=True)  # to h
            q = tf.linalg.matvec(tf.nn.softmax(terms, 0), q)  # and back to v
        moments = averages(hidden_input, v, q)
        return phases.ModelMoments(-tf.reduce_logsumexp(terms), *moments)


# %%
def untrained(phase):
    rbm = BernoulliRBM(num_visible, num_hidden, negative_phase=phase, seed=seed)
    rbm.kernel.assign(np.random.default_rng(seed).normal(0, 0.1, rbm.kernel.shape))
    rbm.compile(keras.optimizers.SGD(learning_rate), steps_per_execution=num_updates)
    return rbm


# %%
def train(rbm, epochs=num_epochs):
    """Train on bars and stripes; returns the log likelihood after each epoch."""
    curve = []
    record = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: curve.append(log_likelihood(rbm))
    )
    options = {"batch_size": 14, "shuffle": False, "epochs": epochs, "verbose": 0}
    rbm.fit(np.tile(data, (num_updates, 1)), callbacks=[record], **options)
    return np.array(curve)


# %%
trained = {}
for name, phase in {
    "exact": phases.ExactPhase(),
    "CD-1": phases.ContrastiveDivergence(num_steps=1, seed=seed),
    "CD-1, no noise": InfiniteChains(num_steps=1),
    "CD-10": phases.ContrastiveDivergence(num_steps=10, seed=seed),
    "persistent": phases.PersistentContrastiveDivergence(num_chains=100, seed=seed),
    "tempering": phases.ParallelTempering(num_betas=8, num_chains=100, seed=seed),
    "TAP, order 2": phases.MeanFieldPhase(order=2, seed=seed),
    "TAP, order 3": phases.MeanFieldPhase(order=3, seed=seed),
}.items():
    file, rbm = "03_" + name.replace(",", "").replace(" ", "_"), untrained(phase)
    trained[name] = rbm, course.trained(rbm, file, partial(train, rbm), retrain=retrain)

# %% name="first-epochs"
first = train(untrained(phases.ExactPhase()), epochs=3)
check(first, trained["exact"][1][:3], tolerance=1e-3)
print("exact gradient, first three epochs:", first.round(3), "nats")

# %% name="seven-phases-log"
for name, (model, curve) in trained.items():
    print(f"{name:14s} L = {curve[-1]:.3f} nats at the end, best {curve.max():.3f}", end=", ")
    print(f"lambda_2 = {spectrum(model)[0][1]:.4f}")

# %%
final = {name: curve[-1] for name, (_, curve) in trained.items()}
for name in ("CD-10", "tempering"):
    assert final["exact"] > final[name] > final["CD-1, no noise"] + 0.05
assert final["TAP, order 2"] < final["TAP, order 3"] < min(final["CD-1"], final["persistent"]) - 0.5
assert abs(final["TAP, order 2"] + 9 * np.log(2)) < 1  # that of the untrained machine
assert abs(final["CD-1, no noise"] - final["CD-1"]) < 0.1  # noise is not what holds CD-1 back
curve = trained["persistent"][1]  # comes as far as CD-1, and loses it again
assert curve.max() > final["CD-1"] - 0.2 and curve[curve.argmax() :].min() < curve.max() - 0.2


# %%
def tap_point(model, order, m, n):
    """Gamma - F_eq in nats, norm of TAP's gradient of the kernel, largest |m - 1/2| or |n - 1/2|."""
    m, n = tf.cast(m, tf.float32), tf.cast(n, tf.float32)  # (points, 9), (points, 6)
    gap = np.mean(mean_field.gamma(model.machine, m, n, order)) + enumeration.log_z(model)
    positive = data.T @ model.hidden_mean(data).numpy() / 14
    gradient = positive - mean_field.correlation(model.kernel.numpy(), m, n, order).numpy()
    return gap, np.linalg.norm(gradient), max(np.abs(x - 0.5).max() for x in (m, n))


# %% name="tap-points"
own, lowest = {}, {}  # of each order
for order in (2, 3):
    model = trained[f"TAP, order {order}"][0]
    sets = [x.numpy() for x in model.negative_phase.magnetisations]  # (100, 9) and (100, 6)
    assert max(np.ptp(x, axis=0).max() for x in sets) < 1e-3  # the 100 sets are one point
    phase = model.negative_phase(tf.zeros((1, num_hidden)), machine=model.machine, training=False)
    own[order] = tap_point(model, order, *(x[tf.newaxis] for x in phase[1:3]))
    point = mean_field.tap(model, order=order)  # the solution of lowest Gamma among ten starts
    lowest[order] = tap_point(model, order, point.visible[np.newaxis], point.hidden[np.newaxis])
    for name, values in (("the 100 sets, at one point", own[order]), ("tap()", lowest[order])):
        text = "Gamma - F_eq = {:.3f} nats, gradient {:.5f}, largest |m - 1/2| {:.3f}"
        print(f"order {order}, {name}:", text.format(*values))

# %% name="tap-exact-gradients"
for order in (2, 3):
    model = trained[f"TAP, order {order}"][0]
    difference = data.T @ model.hidden_mean(data).numpy() / 14 - enumeration.moments(model)[2]
    exact = np.linalg.norm(difference)
    print(f"order {order}: exact gradient of the kernel {exact:.3f}")
    if order == 2:
        assert own[2][1] < 0.01 < exact < lowest[2][1]
assert own[2][0] > lowest[2][0] + 0.5 > 1 and own[2][2] < 0.01 < 0.3 < lowest[2][2]

# %%
model = trained["CD-1, no noise"][0]
of_tables = is_data / 14 @ sweep_matrix(model) @ features(model)  # over p_D T (3.1)
own = model.negative_phase(tf.zeros((1, num_hidden)), machine=model.machine, training=False)
check(np.concatenate([np.ravel(x) for x in (own.correlation, *own[1:3])]), of_tables, 1e-5)
size = np.sqrt(np.mean(trained["exact"][0].kernel.numpy() ** 2))
print(f"root mean square weight of the exactly trained machine: {size:.2f} nats")

# %% name="seven-phases" alt="Log likelihood by epoch. Exact is the highest, tempering and CD-10 close below, CD-1 lower, with or without noise. Persistent jumps up and down. TAP of order 3 ends near -4.7, order 2 near -6.5 nats."
figure, axes = plt.subplots(1, 2, figsize=(10, 4))
colours = ("black", orange, orange, "#56B4E9", blue, green, purple, grey)
for (name, (_, curve)), colour in zip(trained.items(), colours, strict=True):
    for axis in axes:
        style = "--" if "no noise" in name else "-"
        axis.plot(range(1, num_epochs + 1), curve, style, color=colour, label=name)
for axis, title in zip(axes, ("All of them", "Close to the limit"), strict=True):
    axis.axhline(upper_limit, color="black", ls="--", lw=1, label=r"limit $-\ln 14$")
    label(axis, title, f"epoch ({num_updates} updates)", "mean $\\ln p(v)$ (nats)")
axes[0].set_ylim(-10, -2.4)
axes[1].set_ylim(-3.8, -2.6)
axes[1].legend(loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %% [markdown]
# The *exact* gradient sets the pace. *CD-10* and *tempering* stay close to it, and so does everybody
# in the first epochs, while the weights are small. Then the second eigenvalue of the sampled
# machines approaches 1 (the table has its last value), and the methods part. TAP parts from the
# others earlier:
#
# - *CD-1* stays below CD-10. This is not noise but bias: without any noise (dashed) it gets hardly
#   further.
# - The *persistent* chains come about as far as CD-1 or further, and then lose what they had gained, in jumps.
#   That is the lag of section 4: with this learning rate the model runs away from its chains. It then lowers
#   the probability where they *are*, they cannot follow, and so on. A smaller learning rate or more
#   sweeps should help; tempering does.
# - *TAP* stops in the wrong place. After training, all 100 sets of magnetisations are at one and the same
#   point. For order 2 this is the point in the middle, $m = n = \frac12$, which belongs to no mode. $\Gamma$
#   lies more than a nat above $F_{\rm eq}$ there, and yet the averages (6.3) agree with those of the data:
#   TAP sees no gradient, while the exact one is large. Another solution of the same equations, found by
#   `tap` from other starts, is far from the middle and has a lower $\Gamma$. There the gradient would be larger
#   than the exact one. The likelihood ends near that of the untrained machine ($-9 \ln 2 = -6.24$).
#   For order 3 the 100 sets are at one point as well. Where this point lies, and how far the gradient that it sees
#   is from the exact one, depends on the last updates. (The table has the numbers of the machine that comes with
#   the course.) Its likelihood ends between that of order 2 and those of the methods that sample.
#
# ## 8. When it fails: a mode that contrastive divergence cannot see
#
# Now the deliberate failure. The two-mode machine with $w = 1.3$ is given data from one side only, the
# near one. Half of its probability is then in the wrong place, and by (B2) removing it would gain
# $\ln 2$ nats. **What to expect**: by (3.3) the missing direction has the eigenvalue $\lambda_2$ of
# section 2, so that CD-$k$ sees only the share $1 - \lambda_2^k$ of it.
#
# There is a picture of CD that explains the blindness: lower the free energy at the data,
# raise it where the chain drifts to in $k$ steps. It shapes the landscape *near* the data. What is
# far away it leaves as it happens to be. (The curves of the seven trainings below come with the course.)

# %%
near = starts[f"two modes, w = {couplings[1]}"]
one_sided = visible_states[np.random.default_rng(seed).choice(512, size=1000, p=near)]


# %%
def far_side_curve(phase, chains=None):
    """Train the two-mode machine on one-sided data; the far side's share before and after epochs."""
    rbm = two_modes(couplings[1], negative_phase=phase)
    if chains is not None:  # where they start
        phase.chains.assign(np.broadcast_to(chains, phase.chains.shape))
    shares = [joint(rbm).sum(axis=1)[is_far].sum()]
    record = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: shares.append(joint(rbm).sum(axis=1)[is_far].sum())
    )
    rbm.compile(keras.optimizers.SGD(0.02), steps_per_execution=10)
    rbm.fit(one_sided, batch_size=100, epochs=20, verbose=0, callbacks=[record])
    return shares


# %%
def far_sides():
    """The far side's share along each training, by negative phase, (epochs + 1,)."""
    persistent = partial(phases.PersistentContrastiveDivergence, seed=seed)
    tempering = partial(phases.ParallelTempering, num_betas=8, seed=seed)
    return {
        "exact": far_side_curve(phases.ExactPhase()),
        "CD-1": far_side_curve(phases.ContrastiveDivergence(num_steps=1, seed=seed)),
        "CD-20": far_side_curve(phases.ContrastiveDivergence(num_steps=20, seed=seed)),
        "persistent": far_side_curve(persistent()),
        "tempering": far_side_curve(tempering()),
        "persistent, near": far_side_curve(persistent(), 1.0),  # units on: they cause the letter
        "tempering, near": far_side_curve(tempering(), letter),
    }


# %% name="far-side-log"
far_shares = course.shipped("03_far_side", far_sides, retrain=retrain)
for name, shares in far_shares.items():
    print(f"{name:16s} probability far from the data:", end=" ")
    print(f"{shares[0]:.4f} at first, {shares[5]:.4f} after 5 epochs, {shares[-1]:.4f} after 20")
slow = spectrum(machines[f"two modes, w = {couplings[1]}"])[0][1]
print(f"share of the slow direction that CD-k sees: {1 - slow:.6f} (k = 1),", end=" ")
print(f"{1 - slow**20:.6f} (k = 20)")
last = {name: shares[-1] for name, shares in far_shares.items()}
assert max(last["exact"], last["persistent"], last["tempering"], last["tempering, near"]) < 0.02
assert abs(last["CD-1"] - 0.5) < 0.02 and 0.4 < last["CD-20"] < 0.48
late = far_shares["persistent, near"]  # sees nothing at first, then remembers
assert np.all(np.abs(late[:6] - 0.5) < 0.01) and late[-1] < 0.25
assert far_shares["persistent"][3] < far_shares["exact"][3] / 10  # overdoes it

# %% name="far-side" alt="Left: letter T and its negative. Right: probability of the far side. Exact, tempering and persistent fall to near 0; CD-1 stays at one half, CD-20 falls a little; persistent from near falls late."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), width_ratios=[1, 2])
plotting.image_grid(axes[0], np.reshape([letter, 1 - letter], (2, 3, 3)), columns=2)
axes[0].images[0].set_clim(-0.2, 1)
axes[0].set_title("The two modes: data, far side")
colours = ("black", orange, "#56B4E9", blue, green, blue, green)
for (name, shares), colour in zip(far_shares.items(), colours, strict=True):
    axes[1].plot(shares, "--" if "near" in name else "-", color=colour, label=name)
axes[1].set_xticks(range(0, 21, 5))
label(axes[1], "Where no data are", "epoch (10 updates)", "probability of the far side")
axes[1].legend(loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %% [markdown]
# The exact gradient clears the far side. CD-1 leaves it at nearly one half. Twenty sweeps take away
# only a small part. In the meantime all that a log shows looks healthy: the data have a low free energy,
# and each chain ends near the image that it started from (exercise 2).
#
# Persistent chains do find the far side, because they began as fair coins and half of them ended up
# there. They even overdo it: they stay after the model has withdrawn, and push on. (So do those of
# tempering, a little.) Started near the data (dashed), persistent chains see nothing until the first of
# them happens to cross, and unlike CD they remember it then: late by luck, not blind for good.
# Tempering does not depend on such luck: its chains change sides, wherever they start.
#
# ## 9. The centred gradient
#
# Which colour is called 1 is a convention. If every pixel is relabelled, $v \to 1 - v$, the machine
#
# $$W' = -W , \qquad a' = -a , \qquad b'_j = b_j + \sum_i W_{ij} \tag{9.1}$$
#
# gives every relabelled image the probability of the original (insert it into (B1): the energies
# differ by the constant $\sum_i a_i$). But after one step of the *plain* gradient the two machines
# are no longer mirror images. With $\delta\langle\cdot\rangle$ for data minus model,
#
# $$\delta\langle (1 - v_i) h_j \rangle = -\delta\langle v_i h_j \rangle + \delta\langle h_j \rangle
#   \;\ne\; -\delta\langle v_i h_j \rangle : \tag{9.2}$$
#
# the kernel of the mirrored machine takes another direction. Learning depends on a convention.
#
# **The cure**: measure both layers from *offsets*, $\mu$ for the mean of the data and $\lambda$ for
# that of the hidden units (no eigenvalue here; in the library a running mean over data and model
# that starts at $\frac12$. What follows holds for any value). The energy $-(v - \mu)^{\!\top} W (h -
# \lambda) - \tilde a \cdot (v - \mu) - \tilde b \cdot (h - \lambda)$ is, up to a constant, (B1) with
#
# $$a = \tilde a - W \lambda , \qquad b = \tilde b - W^{\!\top} \mu . \tag{9.3}$$
#
# It is the same family of machines in other coordinates $(W, \tilde a, \tilde b)$. The gradient in
# these follows as in chapter 2, with $v - \mu$ for $v$ and $h - \lambda$ for $h$. Translate the step
# back by (9.3):
#
# $$\begin{aligned}
# \Delta W &= \delta\langle (v - \mu)(h - \lambda)^{\!\top} \rangle
#   = \delta\langle v h^{\!\top} \rangle - \mu\, \delta\langle h \rangle^{\!\top}
#   - \delta\langle v \rangle \lambda^{\!\top} , \\
# \Delta a &= \delta\langle v \rangle - \Delta W\, \lambda , \qquad
# \Delta b = \delta\langle h \rangle - \Delta W^{\!\top} \mu . \end{aligned} \tag{9.4}$$
#
# **Same zeros.** If all plain differences $\delta\langle\cdot\rangle$ vanish, so do the three of (9.4).
# Conversely, if $\Delta W = 0$, then $\Delta a = \delta\langle v \rangle$ and $\Delta b = \delta\langle h
# \rangle$; if these vanish as well, the first line leaves $\delta\langle v h^{\!\top} \rangle = 0$. The
# fixed points are untouched. What changes is the path, and it is uphill: a change of coordinates
# $\tilde\theta = R\, \theta$ turns the step into $R^{-1} R^{-\top} \nabla L$, and a matrix of the form
# $R^{-1} R^{-\top}$ is positive definite (exercise 4).
#
# **Same for both colours.** For the mirrored machine $\mu' = 1 - \mu$, and $\lambda' = \lambda$
# because the hidden units behave as before. Then $v' - \mu' = -(v - \mu)$, hence $\Delta W' =
# -\Delta W$ and $\Delta a' = -\Delta a$, while
#
# $$\Delta b' = \delta\langle h \rangle + \Delta W^{\!\top} (1 - \mu)
#   = \Delta b + \Delta W^{\!\top} 1 , \tag{9.5}$$
#
# which is (9.1) again: the step of the mirror image is the mirror image of the step.
#
# **Check against the exact result**: one step of a random machine and of its mirror image, plain and
# centred, with the exact averages, on data that are not their own mirror images: the six patterns
# with a single black bar or stripe.


# %%
def mirrored(kernel, visible_bias, hidden_bias):  # (9.1)
    return -kernel, -visible_bias, hidden_bias + kernel.sum(axis=0)


def machine(values, images, centered):
    gradient = "centered" if centered else "plain"
    options = {"negative_phase": phases.ExactPhase(), "gradient": gradient, "dtype": "float64"}
    rbm = BernoulliRBM.from_parameters(*values, **options)
    rbm.adapt(images)  # mu becomes the images' mean
    return rbm


# %%
def ascent(rbm, images):
    """The step that `fit` would take at a learning rate of 1: minus the gradient of the loss."""
    with tf.GradientTape() as tape:
        loss = rbm.compute_loss(tf.constant(images), training=False)
    return [-x.numpy() for x in tape.gradient(loss, rbm.trainable_variables)]


# %% name="mirror-steps"
black = data[(data.sum(axis=1) == 3)]  # one bar or one stripe: a third of the pixels is 1
values = [x.numpy() for x in random_rbm(1.0).trainable_variables]
for centered in (False, True):
    step = ascent(machine(values, black, centered), black)
    mirror_step = ascent(machine(mirrored(*values), 1 - black, centered), 1 - black)
    expected = mirrored(*step)
    distance = [np.linalg.norm(x - y) for x, y in zip(mirror_step, expected, strict=True)]
    print(
        "centred" if centered else "plain  ", "first three of dW:", step[0][0, :3].round(4), end=""
    )
    print(", mirrored:", mirror_step[0][0, :3].round(4), f"distance {max(distance):.1e}")
    assert (max(distance) < 1e-10) == centered

# %%
rbm, plain = machine(values, black, True), ascent(machine(values, black, False), black)
mu, lam = rbm.visible_offset.numpy(), rbm.hidden_offset.numpy()
by_kernel = plain[0] - np.outer(mu, plain[2]) - np.outer(plain[1], lam)  # (9.4)
by_hand = by_kernel, plain[1] - by_kernel @ lam, plain[2] - by_kernel.T @ mu
centred = ascent(rbm, black)
for x, y in zip(by_hand, centred, strict=True):
    check(x, y)
uphill = sum(np.sum(x * y) for x, y in zip(plain, centred, strict=True))
print(f"plain . centred = {uphill:.4f} > 0: the centred step goes uphill")

# %% [markdown]
# So does it matter? Train a machine on these images, in black ink, and its mirror image on the
# inverted ones, in white ink, plain and centred, and compare the four likelihoods, which come with the course. (In the
# library centring is the default. It is a direction for plain gradient descent. Optimizers that rescale each
# parameter by itself, such as Adam, would not keep to it, so the library gives them the plain
# gradient.)


# %%
def rise(rbm, x):
    """The log likelihood of the images before each of 40 epochs of ten updates."""
    curve = []
    record = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: curve.append(
            float(-np.mean(rbm.free_energy(x)) - enumeration.log_z(rbm))
        )
    )
    rbm.compile(keras.optimizers.SGD(0.2), steps_per_execution=10)
    options = {"batch_size": len(x), "shuffle": False, "epochs": 40, "verbose": 0}
    rbm.fit(np.tile(x, (10, 1)), callbacks=[record], **options)
    return curve


# %%
def rises():
    """The four curves, by kind of gradient and convention, (40,), nats."""
    curves, small = {}, [0.1 * values[0], 0 * values[1], 0 * values[2]]
    inks = ("black ink", small, black), ("white ink", mirrored(*small), 1 - black)
    for kind in ("plain", "centred"):
        for ink, start, x in inks:
            rbm = machine(start, x, kind == "centred")
            set_parameters(rbm, *start)  # without the biases that adapt has set
            curves[f"{kind}, {ink}"] = rise(rbm, x)
    return curves


# %%
curves = course.shipped("03_conventions", rises, retrain=retrain)
check(curves["centred, black ink"], curves["centred, white ink"], 1e-8)  # (9.5), every 10 updates
for name, curve in curves.items():
    print(f"{name:19s}: L = {curve[-1]:.4f} nats after 390 updates")
plain_black, plain_white, centred_black, _ = curves.values()
assert centred_black[-1] > plain_black[-1] + 0.1 > plain_white[-1] + 0.2  # in the end
assert min(plain_black[1], plain_white[1]) > centred_black[1] + 0.1  # after ten updates

# %% name="two-inks" alt="Log likelihood over 390 updates. Plain learning in black ink is ahead of plain learning in white ink. The two centred curves lie on one another and end above both. The limit, -ln 6, is far above."
figure, axis = plt.subplots(figsize=(8, 3.6))
for (name, curve), colour in zip(curves.items(), (grey, orange, blue, green), strict=True):
    style = "--" if name == "centred, white ink" else "-"
    axis.plot(10 * np.arange(40), curve, style, color=colour, lw=2, label=name)
axis.axhline(-np.log(len(black)), color="black", ls="--", lw=1, label=rf"limit $-\ln {len(black)}$")
label(axis, "The same images in two conventions", "update", "mean $\\ln p(v)$ (nats)")
axis.legend()
plt.show()

# %% [markdown]
# The two centred curves lie on top of each other, to rounding. The plain ones do not: in the end one and the
# same problem has been easier in black ink, where a third of the pixels is 1, than in white ink, where two
# thirds are. At the very start the plain gradient is faster, since it moves the mean of the image
# through weights and biases at once; then centring overtakes both.
#
# ## 10. Handwritten digits
#
# Now a machine too large for tables of all states: 64 pixels and 64 hidden units, on the 8 × 8 digits
# that come with scikit-learn, each pixel drawn as 0 or 1 with its grey level as probability. We use
# what the previous sections recommend for everyday work: persistent chains, a small learning rate, the
# centred gradient (the default). The machine comes with the course in two states: after a *short* training of 20
# epochs, and after a *long* one of 100 epochs. The pictures show it after the long one.

# %%
(x_train, y_train), (x_test, y_test) = datasets.load_digits("bernoulli", seed=seed)
x_train, x_test = x_train.reshape(-1, 64), x_test.reshape(-1, 64)
phase = phases.PersistentContrastiveDivergence(num_chains=100, seed=seed)
digits = BernoulliRBM(64, digit_hidden, negative_phase=phase, seed=seed)
digits.compile(keras.optimizers.SGD(0.05), steps_per_execution=45)


def train_digits(epochs):
    digits.fit(x_train, batch_size=32, epochs=epochs, verbose=0)


# %%
representations, updates = {"pixels": (x_train, x_test)}, 0
for name, epochs in zip(("short", "long"), digit_epochs, strict=True):
    course.trained(digits, f"03_digits_{name}", partial(train_digits, epochs), retrain=retrain)
    features_of = [digits.hidden_mean(x).numpy() for x in (x_train, x_test)]
    representations[f"hidden units, {name} training"] = features_of
    updates += epochs * -(-len(x_train) // 32)
    print(f"{len(x_train)} images, {updates} updates")

# %% name="digits" alt="Three grids of 40 small pictures: digits of 8 by 8 pixels, samples of the trained machine that look like digits or parts of them, and weights of hidden units, dark and light patches on grey."
samples = digits.sample(40, num_steps=1000, seed=seed).numpy()
figure, axes = plt.subplots(1, 3, figsize=(10, 3.3))
pictures = x_train[:40], samples, digits.kernel.numpy().T[:40]
for axis, title, rows in zip(axes, ("Data", "Samples", "Weights"), pictures, strict=True):
    plotting.image_grid(axis, rows.reshape(-1, 8, 8), columns=8)
    axis.set_title(title)
plt.show()

# %% [markdown]
# The samples are drawn by Gibbs chains that start from fair coins, so nothing of the data is in them
# but what the parameters have learned. Each small picture on the right is the column of $W$ that
# belongs to one hidden unit: what it looks for in an image (dark: positive, white: negative, medium
# grey: near zero).
#
# **Features for a classifier.** The labels have played no part so far. Are the hidden units'
# means (B8) a better description of a digit than its pixels? Take a few labelled images only, train
# a logistic regression on pixels and one on `hidden_mean`, with the same settings, and test on 360 images
# that neither has seen. Ten draws of the labelled images give the error bar of the difference.


# %%
def accuracies(number, inverse_penalty=1.0):
    """Test accuracies in %, (representations, draws), of classifiers that saw so many labels."""
    result = np.zeros((len(representations), num_draws))
    for draw in range(num_draws):
        chosen = np.random.default_rng(draw).choice(len(x_train), number, replace=False)
        for row, (x, x_new) in enumerate(representations.values()):
            classifier = LogisticRegression(C=inverse_penalty, max_iter=2000)
            classifier.fit(x[chosen], y_train[chosen])
            result[row, draw] = 100 * classifier.score(x_new, y_test)
    return result


# %%
def print_gains(number, pixels, *trained):
    """The accuracy from pixels, and how far the hidden units of each training exceed it."""
    print(f"{number} labels: pixels {pixels.mean():.1f} %")
    for name, rows in zip(("short", "long"), trained, strict=True):
        gain = rows - pixels
        standard_error = gain.std(ddof=1) / np.sqrt(num_draws)
        print(f"    {name} training: hidden units {rows.mean():.1f} %", end=", ")
        print(f"difference {gain.mean():+.1f} +- {standard_error:.1f} points")


# %% name="labels-log"
scores = np.stack([accuracies(number) for number in num_labelled], axis=1)
for index, number in enumerate(num_labelled):
    print_gains(number, *scores[:, index])

# %% name="labels" alt="Test accuracy for 50, 100 and 300 labels. Hidden units after long training are best, from 66 to 80 %; pixels go from 58 to 77 %; hidden units after short training are the worst, 51 to 64 %."
figure, axis = plt.subplots(figsize=(7, 3.4))
for name, rows, colour in zip(representations, scores, (grey, orange, blue), strict=True):
    spread = rows.std(axis=1, ddof=1)
    axis.errorbar(
        num_labelled, rows.mean(axis=1), spread, fmt="o-", capsize=4, color=colour, label=name
    )
axis.set_xscale("log")
axis.set_xticks(num_labelled, num_labelled)
axis.minorticks_off()
label(
    axis, "Logistic regression (bars: spread of the draws)", "labelled images", "test accuracy (%)"
)
axis.legend(loc="lower right")
plt.show()

# %%
for name, (x, _) in representations.items():
    print(f"{name}: standard deviation over images {x.std(axis=0).mean():.2f}")
print("with C = 100, a penalty a hundred times weaker:")
weaker = np.stack([accuracies(number, inverse_penalty=100.0) for number in num_labelled], axis=1)
for index, number in enumerate(num_labelled):
    print_gains(number, *weaker[:, index])
print(f"each at the better of the two penalties, {num_labelled} labels:")
for name, row in zip(representations, np.maximum(scores.mean(2), weaker.mean(2)), strict=True):
    print(f"    {name}: {row.round(1)} %")

# %%
gains, weak_gains = scores[1:] - scores[0], weaker[1:] - weaker[0]  # (short or long, labels, draws)
errors, weak_errors = (x.std(axis=2, ddof=1) / np.sqrt(num_draws) for x in (gains, weak_gains))
short, long = gains.mean(axis=2)
assert np.all(long > 2 * errors[1]) and np.argmax(long) == 0 and np.all(short < -5 * errors[0])
weak = weak_gains[0].mean(axis=1) / weak_errors[0]  # of the short training, in standard errors
assert np.all(np.abs(weak[:2]) < 2) and weak[2] > 2
pixels, short, _ = np.maximum(scores.mean(2), weaker.mean(2))  # at the better penalty
assert np.all(np.abs(pixels - short) < 3)

# %% [markdown]
# The answer depends on how long the RBM was trained. After the long training its features win for
# each number of labels, and by most where labels are scarce: what the RBM learned from unlabelled
# images stands in for labels. After the short training they lose against the pixels for each number.
# Most of that is the penalty: with small weights the hidden means vary only half as much from image to
# image as the pixels do, and the same L2 penalty holds them back more. With a penalty a hundred times
# weaker they draw level at 50 and 100 labels and win at 300, where the pixels in turn lose by it. With
# each at the better of the two penalties, pixels and short training are within three points of each other.
# Three cautions. The pixels here are binary; a difference of a few points on this small test set says
# little about other data; and it is one RBM, trained once.
#
# ## 11. Summary
#
# | negative phase | what replaces the model average | error | cost per update |
# |:--|:--|:--|:--|
# | `ExactPhase` | nothing (B9) | none | $2^{\text{smaller layer}}$ |
# | `ContrastiveDivergence` | $k$ sweeps from the data (B10) | (3.3), slow directions missing | $k$ sweeps |
# | `PersistentContrastiveDivergence` | chains that go on | lag (4.1), learning rate × mixing time | $k$ sweeps |
# | `ParallelTempering` | the same with swaps (5.1) | lag, with a shorter mixing time | $R k$ sweeps |
# | `MeanFieldPhase` | steps towards a fixed point (6.3) | powers of the coupling (6.4); can stay at one wrong point (section 7) | 3 steps |
#
# - A sweep of block Gibbs sampling obeys detailed balance (1.3). Its eigenvalues are the squared singular
#   values of $A$ (2.1), between 0 and 1.
# - The bias of CD-$k$ is an average at time $k$ minus one at time infinity. It is small where
#   the chain is fast or the model is right, and it is nearly everything where neither holds.
# - Persistent chains trade the bias for a lag, which the learning rate controls.
# - TAP gains one power of the coupling with each order. Weak couplings are its home.
# - Centring changes neither the likelihood as a function of the parameters nor the zeros of its gradient,
#   but makes learning independent of what is called 1.
#
# ## Exercises
#
# 1. *(easy)* **The smallest chain.** One visible and one hidden unit. Write the 2 × 2 matrix $T$, show
#    that $\lambda_2 = \big[ p(h{=}1|v{=}1) - p(h{=}1|v{=}0) \big] \big[ p(v{=}1|h{=}1) -
#    p(v{=}1|h{=}0) \big]$, and that the bias of CD-$k$ for the visible bias is exactly proportional to
#    $\lambda_2^k$ (`tiny_bias`, for $k = 1, \dots, 5$). For the numbers take the machine `tiny` with $W = 1.7$,
#    $a = 0.3$, $b = -0.6$ and data with $v = 1$ in nine cases of ten.
# 2. *(easy)* **A comforting number.** The mean reconstruction error of data, $\langle |v - v'|^2
#    \rangle$ after one sweep, is often printed during training. Compute it exactly for the two-mode
#    machine with $w = 1.3$ and its one-sided data, and for a machine that has learned these data with
#    the exact gradient, as in section 8 (`reconstruction` and `far_share` of `"two modes"` and of
#    `"exactly trained"`). What does it say about the far side?
# 3. *(medium)* **CD-1 is not a gradient.** If a vector field $g(\theta)$ is the gradient of some function,
#    its Jacobian is symmetric. Compute the Jacobian of the exact gradient and that of exact CD-1 by
#    finite differences at the parameters of `random_rbm(1.0)`, for the bars and stripes, and compare (`jacobians`
#    and `asymmetries`, $|J - J^{\!\top}| / |J|$, of `"exact"` and `"CD-1"`).
# 4. *(medium)* **Uphill.** Write (9.4) as $\Delta\theta = P\, \nabla L$ with a 69 × 69 matrix $P$. Check
#    that $P$ is symmetric and positive definite, and find its eigenvalues for $\mu = \lambda = 0$
#    and for the offsets of section 9 (`P`: the two matrices). What is its determinant, and why?
# 5. *(hard)* **How long must a chain run?** Show with (2.2) that
#    $\frac12 \sum_v |p_k(v) - p(v)| \le \frac12 \lambda_2^k \sqrt{\chi^2}$, where
#    $\chi^2 = \sum_v (p_0(v) - p(v))^2 / p(v)$, and check it for all four machines
#    (`distance` and `bound`: for the name of each machine the two sides for $k = 1, \dots, 50$).
#
# The solutions are in the cells below, folded: click on one to open it.

# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. T has rows that add up to 1, so its eigenvalues are 1 and trace - 1 = T(1,1) - T(0,1), where
# T(v,1) = p(1|h=0) + p(h=1|v) [p(1|h=1) - p(1|h=0)]: the difference is the product in question.
# In two dimensions (2.2) has the single term a = 2, so p_k(1) - p(1) = lambda_2^k (p_0(1) - p(1)).
tiny = set_parameters(BernoulliRBM(1, 1, dtype="float64"), [[1.7]], [0.3], [-0.6])
hidden_on, visible_on = (np.ravel(f([[0.0], [1.0]])) for f in (tiny.hidden_mean, tiny.visible_mean))
stays = (1 - hidden_on) * visible_on[0] + hidden_on * visible_on[1]  # T(v -> 1)
tiny_sweep, tiny_bias = np.stack([1 - stays, stays], axis=1), []
for k in range(1, 6):
    p_k = np.array([0.1, 0.9]) @ np.linalg.matrix_power(tiny_sweep, k)
    tiny_bias.append(p_k[1] - enumeration.moments(tiny).visible[0])
tiny_lambda = np.diff(hidden_on)[0] * np.diff(visible_on)[0]
print(f"1. lambda_2 = {tiny_lambda:.6f}; the bias shrinks by this factor with each sweep")
check([*np.sort(np.linalg.eigvals(tiny_sweep)), tiny_lambda], [tiny_lambda, 1.0, 0.121291], 1e-6)
check(enumeration.moments(tiny).visible[0] + tiny_bias[0], [0.1, 0.9] @ tiny_sweep[:, 1])
check(tiny_bias, tiny_bias[0] * tiny_lambda ** np.arange(5))

# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. The error looks at one sweep from the data. It cannot know about states that are not reached.
after = two_modes(couplings[1], negative_phase=phases.ExactPhase())
after.compile(keras.optimizers.SGD(0.02), steps_per_execution=10)
after.fit(one_sided, batch_size=100, epochs=20, verbose=0)
distances = np.abs(visible_states[:, np.newaxis] - visible_states).sum(axis=2)  # |v - v'|^2
reconstruction, far_share = {}, {}
for name, model in (("two modes", machines["two modes, w = 1.3"]), ("exactly trained", after)):
    reconstruction[name] = near @ (sweep_matrix(model) * distances).sum(axis=1)
    far_share[name] = joint(model).sum(axis=1)[is_far].sum()
    print(f"2. {name}: reconstruction error {reconstruction[name]:.4f} pixels", end=", ")
    print(f"far side {far_share[name]:.4f}")
check(reconstruction["two modes"], 0.3744, tolerance=1e-3)
assert abs(reconstruction["exactly trained"] - reconstruction["two modes"]) < 0.05
assert far_share["exactly trained"] < 0.05 < 0.4 < far_share["two modes"] < 0.6


# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. Second derivatives do not depend on their order: the Jacobian of a gradient is symmetric. CD-1's
# is not. This alone does not rule out that some function always rises: see the end of exercise 4.
def field(theta, k):
    rbm = set_parameters(base, theta[:54].reshape(9, 6), theta[54:63], theta[63:])
    p_k = joint(rbm).sum(axis=1) if k is None else is_data / 14 @ sweep_matrix(rbm)
    return (is_data / 14 - p_k) @ features(rbm)


def asymmetry(jacobian):
    return np.linalg.norm(jacobian - jacobian.T) / np.linalg.norm(jacobian)


# %% jupyter={"source_hidden": true} tags=["solution"]
# The Jacobians by central differences; theta holds the kernel, the visible and the hidden bias.
theta = np.concatenate([np.ravel(x) for x in random_rbm(1.0).trainable_variables])
jacobians, asymmetries = {}, {}
for name, k in (("exact", None), ("CD-1", 1)):
    ends = [(field(theta + d, k), field(theta - d, k)) for d in 1e-4 * np.eye(69)]
    jacobians[name] = np.array([(right - left) / 2e-4 for right, left in ends])
    asymmetries[name] = asymmetry(jacobians[name])
    print(f"3. {name}: |J - J^T| / |J| = {asymmetries[name]:.2e}")
check([asymmetries["exact"], asymmetries["CD-1"]], [0.0, 0.26], tolerance=5e-3)
check(
    jacobians["exact"][54:63, 54:63],  # of the visible biases: minus their covariance
    -np.cov(visible_states.T, aweights=joint(random_rbm(1.0)).sum(axis=1), bias=True),
    tolerance=1e-6,
)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. theta~ = R theta is a~ = a + W lambda, b~ = b + W^T mu: R is the unit matrix plus entries that take
# W to the biases, so it is triangular with ones on the diagonal. det R = 1, and det P = det(R)^-2 = 1.
P = []
for name, x, y in (("zero offsets", 0 * mu, 0 * lam), ("offsets of section 9", mu, lam)):
    R = np.eye(69)
    R[54:63, :54] = np.kron(np.eye(9), y)  # a~_i = a_i + sum_j W_ij lambda_j
    R[63:, :54] = np.kron(x, np.eye(6))  # b~_j = b_j + sum_i mu_i W_ij
    P.append(np.linalg.inv(R) @ np.linalg.inv(R).T)
    lowest, *_, highest = np.linalg.eigvalsh(P[-1])
    print(f"4. {name}: eigenvalues of P from {lowest:.4f} to {highest:.4f}")
print(f"   centred step: |J - J^T| / |J| = {asymmetry(P[1] @ jacobians['exact']):.2f}")
check(P[0], np.eye(69))
check(P[1] @ np.hstack([*map(np.ravel, plain)]), np.hstack([*map(np.ravel, centred)]))  # (9.4)
check(P[1], P[1].T)
assert np.linalg.eigvalsh(P[1])[0] > 0 and abs(np.linalg.det(P[1]) - 1) < 1e-10

# %% jupyter={"source_hidden": true} tags=["solution"]
# 5. Let f = (p_k - p) / sqrt(p) = sum_{a>1} lambda_a^k c_a u_a. By Cauchy-Schwarz, sum |p_k - p| = sum sqrt(p) |f|
# <= |f|, and |f|^2 = sum lambda_a^2k c_a^2 <= lambda_2^2k chi^2, where chi^2 = |f|^2 at k = 0: huge for a start that
# p finds very unlikely. (What lies outside the 64 eigenvectors dies in the first sweep.)
distance, bound = {}, {}  # arrays for k = 1, .., 50
for name, rbm in machines.items():
    p, T = joint(rbm).sum(axis=1), sweep_matrix(rbm)
    lambda_2, chi = spectrum(rbm)[0][1], np.sqrt(np.sum((starts[name] - p) ** 2 / p))
    p_k = list(itertools.accumulate([starts[name]] + 50 * [T], np.matmul))[1:]
    distance[name], bound[name] = np.abs(p_k - p).sum(1) / 2, lambda_2 ** np.arange(1, 51) * chi / 2
    needed = int(np.ceil(np.log(chi / 0.02) / -np.log(lambda_2)))
    print(f"5. {name:22s} k = 5: {distance[name][4]:.2e} <= {bound[name][4]:.2e}", end="; ")
    print(f"bound below 0.01 at k = {needed}")
check([distance[key][4] for key in machines], [5.66e-5, 0.0191, 0.259, 0.5], tolerance=1e-3)
check([bound[key][4] for key in machines], [1.26e-3, 3.10e6, 0.281, 0.5], tolerance=5e-3)
assert all(np.all(distance[key] <= bound[key] + 1e-12) for key in machines)
