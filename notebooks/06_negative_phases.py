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
# # Chapter 6: Seven negative phases
#
# The gradient of the log likelihood of a restricted Boltzmann machine (RBM) is an average over the data
# minus an average over the model, the *negative phase*. There are many ways to replace the second
# one: short chains, long chains, chains at several temperatures, or no chains at all but a fixed point.
# Give them the same machine, the same images and the same number of updates. Which one comes
# closest to the exact gradient? Can one end *below* the untrained machine? On 9 pixels
# the exact likelihood will tell.
#
# **What you will do**
#
# - let chains at eight temperatures swap their states;
# - replace samples by a fixed point (TAP), and measure the order of its error;
# - compare the exact likelihoods of one model, trained with seven negative phases;
# - hide half of a model's probability from contrastive divergence, and watch it not notice.
#
# **What you will learn**
#
# - why tempering is exact, and what it costs;
# - why TAP is at home where couplings are weak;
# - how each negative phase fails, so that you can choose one.
#
# **What you need**: [chapter 5](05_contrastive_divergence.ipynb), all of it; the entropy of independent units;
# and some Python, with this project installed.
#
# Three findings of chapter 5 are used here. A *sweep* of block Gibbs sampling, from $v$ to $h$ and back to
# $v$, is a matrix $T$ with the eigenvalues $1 = \lambda_1 > \lambda_2 \ge \dots \ge 0$, (2.1) of chapter 5. Contrastive
# divergence (CD-$k$) averages over $p_k = p_D\, T^k$, with the distribution $p_D$ of the data, and is blind in
# slow directions, (3.3) of chapter 5. Persistent chains fall behind the model by learning rate times mixing time,
# (4.1) of chapter 5.
#
# **Time**: about 53 minutes, and 80 for the exercises. The code runs in half a minute, and in three
# more where it trains its shipped machines anew.
#
# Numbers such as (B10) are the row names used in the whole course, in the library's
# docstrings and in the table `EQUATIONS.md`. Those such as (2.1) are steps on the way. Energies are in nats, and $\beta = 1$ unless it is written.

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

from rbm_tf import BernoulliRBM, course, datasets, enumeration, mean_field, plotting
from rbm_tf import training as phases
from rbm_tf.course import check, label, set_parameters

# %%
seed = 0
num_visible, num_hidden = 9, 6  # images of 3 x 3 pixels
bias_scale = 0.5  # standard deviation of random biases, nats
coupling = 1.3  # of the two-mode machine, nats
num_ladders, num_sweeps = 1000, 150  # of tempering, section 1
scales = np.geomspace(0.02, 5.0, 13)  # of the kernel, section 2
learning_rate, num_epochs, num_updates = 0.3, 40, 50  # updates per epoch, section 3
num_starts = 8  # the first in detail, the others for the spread
retrain = bool(os.environ.get("RETRAIN"))  # True: train all machines here, some three minutes
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

keras.utils.set_random_seed(seed)
plt.style.use(["rbm_tf.course", {"figure.dpi": 110}])
ink = plt.rcParams["text.color"]


# %%
visible_states = np.array(list(itertools.product([0.0, 1.0], repeat=num_visible)))  # (512, 9)
hidden_states = np.array(list(itertools.product([0.0, 1.0], repeat=num_hidden)))  # (64, 6)
data = datasets.bars_and_stripes(3)[0].reshape(14, 9).astype(float)
is_data = (visible_states[:, np.newaxis] == data).all(axis=2).any(axis=1)
letter = np.array([1.0, 1, 1, 0, 1, 0, 0, 1, 0])  # a "T"
is_far = np.abs(visible_states - letter).sum(axis=1) > 4.5  # nearer to its negative


def joint(rbm):
    """The table of p(v, h), (512, 64), float64."""
    kernel, visible_bias, hidden_bias = (x.numpy().astype(float) for x in rbm.trainable_variables)
    log_weights = (visible_states @ visible_bias)[:, np.newaxis] + hidden_states @ hidden_bias
    log_weights += visible_states @ kernel @ hidden_states.T  # -E (B1)
    return np.exp(log_weights - np.logaddexp.reduce(log_weights, axis=None))


# %%
def sweep_matrix(rbm):  # T(v -> v'), (512, 512), (1.2) of chapter 5
    table = joint(rbm)
    return (table / table.sum(axis=1, keepdims=True)) @ (table / table.sum(axis=0)).T


def random_rbm(kernel_scale):
    rng, rbm = np.random.default_rng(seed), BernoulliRBM(num_visible, num_hidden, dtype="float64")
    scales = zip((kernel_scale, bias_scale, bias_scale), rbm.trainable_variables, strict=True)
    return set_parameters(rbm, *(rng.normal(0, scale, x.shape) for scale, x in scales))


def two_modes(**kwargs):  # the letter and its negative, (2.3) of chapter 5
    rbm = BernoulliRBM(num_visible, num_hidden, seed=seed, **kwargs)
    kernel = coupling * np.outer(2 * letter - 1, np.ones(num_hidden))
    return set_parameters(rbm, kernel, -kernel.sum(axis=1) / 2, -kernel.sum(axis=0) / 2)


# %% [markdown]
# ## 1. Parallel tempering: when modes are far apart
#
# The machine of [chapter 5, section 2](05_contrastive_divergence.ipynb), with the letter "T" and its negative as
# its two modes and the coupling $w = 1.3$, changes sides once in thousands of sweeps. A persistent chain does no
# better. At a *higher temperature* the modes melt together. So run chains at several
# inverse temperatures $0 = \beta_1 < \dots < \beta_R = 1$ at once and let neighbours swap their
# states (Swendsen and Wang 1986). The chains together have the distribution $\prod_r p_{\beta_r}(v_r)$, with $p_\beta(v) \propto
# e^{-\Phi_\beta(v)}$ and $\Phi_\beta(v) = -\ln \sum_h e^{-\beta E(v, h)}$, which is $\beta$ times the clamped
# free energy. If the states $v$ at $\beta$ and $v'$ at $\beta'$ trade places, the probability changes by
# the factor
#
# $$\frac{p_\beta(v')\, p_{\beta'}(v)}{p_\beta(v)\, p_{\beta'}(v')} = e^{-\Delta} , \qquad
#   \Delta = \Phi_\beta(v') + \Phi_{\beta'}(v) - \Phi_\beta(v) - \Phi_{\beta'}(v') ; \tag{1.1}$$
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
# we count 1,000 *ladders* of one chain at each temperature. In equilibrium the share is one half, and at $\beta = 1$
# nearly all states are within a pixel of one of the modes; at $\beta = 0$ hardly any.

# %%
phase = phases.ParallelTempering(num_betas=8, num_chains=num_ladders, seed=seed)
cold = two_modes(negative_phase=phase)
phase.chains.assign(np.broadcast_to(letter, phase.chains.shape))
unused, tempered, plain = tf.zeros((1, num_hidden)), [], []
move = tf.function(lambda: phase(unused, machine=cold.machine, training=True).visible)
p_k, T = (visible_states == letter).all(axis=1).astype(float), sweep_matrix(cold)
for _ in range(num_sweeps):
    states = move().numpy()  # at beta = 1
    tempered.append(np.mean(np.abs(states - letter).sum(axis=1) > 4.5))
    p_k = p_k @ T
    plain.append(p_k[is_far].sum())

# %% name="far-side-shares"
standard_error = 0.5 / np.sqrt(num_ladders)
assert abs(tempered[-1] - 0.5) < 5 * standard_error  # ladders are independent
distances = [np.abs(x - letter).sum(axis=1) for x in (states, visible_states)]
close, is_close = (np.minimum(x, 9 - x) <= 1 for x in distances)  # to one of the modes
share = joint(cold).sum(axis=1)[is_close].sum()
assert abs(close.mean() - share) < 5 * np.sqrt(share * (1 - share) / num_ladders)
print(f"within a pixel of a mode: tempering {close.mean():.3f}, exact {share:.4f}")
assert abs(tempered[60] - 0.5) < 0.1 and plain[-1] < 0.02
print(
    f"far side after {num_sweeps} sweeps: Gibbs {plain[-1]:.4f}, tempering {tempered[-1]:.3f}",
    end=" ",
)
print(f"+- {standard_error:.3f}, exact {joint(cold).sum(axis=1)[is_far].sum():.4f}")

# %% name="tempering" alt="Share of chains on the far side, by sweep, all started at the letter. Parallel tempering reaches one half after some 50 sweeps and fluctuates about it. Gibbs sampling stays near zero for 150 sweeps."
figure, axis = plt.subplots(figsize=(8, 3.4))
axis.plot(
    range(1, num_sweeps + 1), tempered, color=green, label="parallel tempering, 8 temperatures"
)
axis.plot(range(1, num_sweeps + 1), plain, color=orange, label="Gibbs sampling (exact)")
axis.axhline(0.5, color=ink, ls="--", lw=1, label="equilibrium")
label(axis, "All chains start at the letter", "sweep", "share on the far side")
axis.legend(loc="center right")
plt.show()

# %% [markdown]
# Tempering is there within some tens of sweeps. Each costs eight times as much: a bargain
# where the alternative is thousands of sweeps.
#
# %% [markdown]
# ## 2. Without samples: mean field and TAP
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
# \end{aligned} \tag{2.1}$$
#
# where $S$ is the entropy of independent units. Order 1 is the free energy of the product
# distribution with these means, hence an upper bound on $F_{\rm eq}$. Order 2 is due to Thouless, Anderson and Palmer
# (1977, TAP), the expansion in powers of $W$ at given $m$ and $n$ to Plefka (1982), and training by it, the EMF-RBM, to
# Gabrié, Tramel and Krzakala (2015). [Chapter 36](36_cumulants_and_tap.ipynb) derives (2.1) (B26); here we test it. At the solution $\Gamma$ is stationary, $\partial\Gamma/\partial m =
# \partial\Gamma/\partial n = 0$. This is what makes its gradient cheap: in
#
# $$\frac{d\Gamma}{dW_{ij}} = \frac{\partial \Gamma}{\partial W_{ij}}
#   + \sum_k \underbrace{\frac{\partial \Gamma}{\partial m_k}}_{0} \frac{\partial m_k}{\partial W_{ij}}
#   + \sum_l \underbrace{\frac{\partial \Gamma}{\partial n_l}}_{0} \frac{\partial n_l}{\partial W_{ij}}
#   \tag{2.2}$$
#
# only the explicit derivative is left. It stands in for (B9):
#
# $$\langle v_i h_j \rangle \approx -\frac{\partial \Gamma}{\partial W_{ij}}
#   = m_i n_j + W_{ij}\, c_i d_j + 2 W_{ij}^2\, c_i (\tfrac12 - m_i)\, d_j (\tfrac12 - n_j) ,
#   \tag{2.3}$$
#
# one term for each order, and $\langle v_i \rangle \approx m_i$, $\langle h_j \rangle \approx n_j$.
#
# **How large is the error?** Scale the kernel by $s$ and leave the biases alone. An expansion that
# is complete to order $r$ in $W$ has an error of order $s^{r+1}$. The derivative
# with respect to a *bias* keeps that power. The derivative with respect to a *weight* takes one factor
# of $W$ away:
#
# $$\text{error of } \langle v_i \rangle : \; s^{r+1} , \qquad
#   \text{error of } \langle v_i h_j \rangle : \; s^r . \tag{2.4}$$
#
# **Check against the exact result**: (2.2) by finite differences of the solved $\Gamma$; that order 1 is
# a bound; the slopes (2.4) in a log-log plot; and the library's `MeanFieldPhase`.

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
        correlation = mean_field.correlation(base.kernel.numpy(), m, n, order).numpy()  # (2.3)
        values = point.visible - moments.visible, correlation - moments.correlation
        for name, value in zip(("<v>", "<v h>"), values, strict=True):
            errors.setdefault((order, name), []).append(np.linalg.norm(value))
        if order == 1:
            assert point.free_energy >= -enumeration.log_z(base)  # a bound at every scale

# %% name="tap-powers" alt="Errors of averages by scale of the kernel, log-log. For pixels the slopes are 2, 3 and 4 for orders 1, 2 and 3, for products 1, 2 and 3. At the strongest couplings order 3 is no longer better than 2."
log_scale = np.log(scales[:4])  # the weakest couplings
for (order, name), values in errors.items():
    slope = np.polyfit(log_scale, np.log(values[:4]), 1)[0]
    predicted = order + (name == "<v>")  # (2.4)
    print(f"order {order}, error of {name:5s}: power {slope:.2f}, predicted {predicted}")
    assert abs(slope - predicted) < 0.3
figure, axes = plt.subplots(1, 2, figsize=(10, 3.8))
for axis, name, title in zip(axes, ("<v>", "<v h>"), ("pixels", "products"), strict=True):
    for order, colour in zip((1, 2, 3), (orange, blue, green), strict=True):
        axis.loglog(scales, errors[order, name], "o-", ms=3, color=colour, label=f"order {order}")
    assert errors[3, name][-2] > errors[2, name][-2]  # where weights are as in section 3
    ylabel = rf"error of $\langle {name[1:-1]} \rangle$ (norm)"
    label(axis, f"Averages of {title}", "scale $s$ of the kernel", ylabel)
    axis.legend(loc="lower right")
plt.show()

# %%
shift = 1e-4 * np.outer(np.eye(num_visible)[0], np.eye(num_hidden)[0])
kernels = 0.5 * direction, 0.5 * direction + shift, 0.5 * direction - shift
F_eq = -enumeration.log_z(set_parameters(base, kernels[0], *biases))
for order in (1, 2, 3):
    machines = [tuple(map(tf.constant, (kernel, *biases))) for kernel in kernels]
    point, up, down = (mean_field.tap_of(machine, order) for machine in machines)
    m, n = point.visible[np.newaxis], point.hidden[np.newaxis]
    correlation = mean_field.correlation(kernels[0], m, n, order).numpy()
    check((down.free_energy - up.free_energy) / 2e-4, correlation[0, 0], 1e-7)  # (2.2)
    phase = phases.MeanFieldPhase(order, num_chains=3, num_iterations=200, seed=seed)
    phase.build((base.visible, base.hidden))
    result = phase(tf.zeros((1, num_hidden), tf.float64), machine=base.machine, training=False)
    for x, y in zip(result[:4], (point.free_energy, m[0], n[0], correlation), strict=True):
        check(x, y, 1e-6)
    print(f"order {order}: Gamma = {point.free_energy:.6f}, F_eq = {F_eq:.6f} nats")

# %% [markdown]
# Each order is worth one power of $s$ as long as the coupling is
# weak. On the right of the plots, where couplings are as strong as in trained machines (section 3), the
# advantage of order 3 over order 2 is gone, and the iteration may not even converge: the last point
# of order 3, at $s = 5$, is where it stopped, and not a fixed point.
#
# One warning. Order 1 bounds $F_{\rm eq}$ from *above*, so that $-\langle
# F_c \rangle_{\rm data} + \Gamma_1 \ge L$ is an upper bound on the likelihood. To push up an upper bound
# guarantees nothing. (Orders 2 and 3 are no bounds at all. They are more accurate, so we train with them.)
#
# %% [markdown]
# ## 3. One model, seven negative phases
#
# In the library these are one argument: `BernoulliRBM(..., negative_phase=...)`, and `fit`
# trains as any Keras model is trained. `ExactPhase` sums over all states, for machines with a small
# layer. The same RBM was trained with each of them, from the same start, on the 14 bars and stripes. Every
# update saw all 14 images, so the runs differ in their negative phase alone. CD has 14 chains, one for each
# image; persistence and tempering have 100; TAP has 100 sets of magnetisations. (`MeanFieldPhase` goes
# three damped steps per update towards its fixed points.) All runs use the library's default, centred direction
# (section 1 of chapter 7), which leaves the zeros of the gradient alone. After each
# epoch of 50 updates the exact log likelihood was written down. Its limit, $L \le -\ln 14$, was
# proved in [chapter 3, section 4](03_rbm_free_energies.ipynb).
#
# To tell the noise of CD-1 from its bias we add a run without noise. It has infinitely many chains: its
# averages are those over $p_D\, T$, (3.1) of chapter 5, from the tables.
#
# One training may be luck: here are eight, each from another random kernel and with other noise, and all
# come with the course. Three epochs with the exact gradient are trained here, for comparison. To train all in
# front of you, set `retrain = True` above, which overwrites the files in `models`. On another processor
# training rounds differently: expect slightly different numbers then.
#
# **Predict first**: who ends last?


# %%
class InfiniteChains(phases.ExactPhase):
    """CD without noise: averages over p_D T^k, k = num_steps, (3.1) of chapter 5."""

    def call(self, data_hidden_input, machine, training):
        v, h, q = (tf.cast(x, tf.float32) for x in (visible_states, hidden_states, is_data / 14))
        hidden_input = machine.hidden_bias + v @ machine.kernel
        terms = tf.linalg.matvec(v, machine.visible_bias)[:, tf.newaxis]
        terms += tf.matmul(hidden_input, h, transpose_b=True)  # -E(v, h) (B1), (512, 64)
        for _ in range(self.num_steps):
            q = tf.linalg.matvec(tf.nn.softmax(terms, 1), q, transpose_a=True)  # to h
            q = tf.linalg.matvec(tf.nn.softmax(terms, 0), q)  # and back to v
        mean, weighted = tf.sigmoid(hidden_input), q[:, tf.newaxis] * v
        means = tf.reduce_sum(weighted, 0), tf.linalg.matvec(mean, q, transpose_a=True)
        correlation = tf.matmul(weighted, mean, transpose_a=True)
        return phases.ModelMoments(-tf.reduce_logsumexp(terms), *means, correlation)


# %%
def log_likelihood(rbm):
    """The exact mean of ln p(v) over the 14 images (B2), nats."""
    return float(-np.mean(rbm.free_energy(data)) - enumeration.log_z(rbm))


def train(rbm, epochs=num_epochs):
    """Train on bars and stripes; returns the log likelihood after each epoch."""
    curve, options = [], {"batch_size": 14, "shuffle": False, "epochs": epochs, "verbose": 0}
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: curve.append(log_likelihood(rbm))
    )
    rbm.fit(np.tile(data, (num_updates, 1)), callbacks=[note], **options)
    return np.array(curve)


# %%
def untrained(phase, start=seed):
    rbm = BernoulliRBM(num_visible, num_hidden, negative_phase=phase, seed=start)
    rbm.kernel.assign(np.random.default_rng(start).normal(0, 0.1, rbm.kernel.shape))
    rbm.compile(keras.optimizers.SGD(learning_rate), steps_per_execution=num_updates)
    return rbm


noiseless = set_parameters(
    untrained(InfiniteChains(num_steps=1)), *random_rbm(1.0).get_weights()[:3]
)
_, *means, _ = noiseless.negative_phase(None, machine=noiseless.machine, training=False)
q = is_data / 14 @ sweep_matrix(noiseless)  # (3.1) of chapter 5
check(means[0], q @ visible_states, 1e-5)
check(means[1], q @ noiseless.hidden_mean(visible_states).numpy(), 1e-5)


# %%
def negative_phases(start):
    return {
        "exact": phases.ExactPhase(),
        "CD-1": phases.ContrastiveDivergence(num_steps=1, seed=start),
        "CD-1, no noise": InfiniteChains(num_steps=1),
        "CD-10": phases.ContrastiveDivergence(num_steps=10, seed=start),
        "persistent": phases.PersistentContrastiveDivergence(num_chains=100, seed=start),
        "tempering": phases.ParallelTempering(num_betas=8, num_chains=100, seed=start),
        "TAP, order 2": phases.MeanFieldPhase(order=2, seed=start),
        "TAP, order 3": phases.MeanFieldPhase(order=3, seed=start),
    }


# %% [markdown]
# Of TAP we also want to know what it sees where it stands: $\Gamma - F_{\rm eq}$, the size of its gradient (2.3) and of
# the exact one, and the distance from the middle, where all means are $\frac12$.


# %%
def tap_point(model, order, m, n):
    """Gamma - F_eq, norm of the kernel's gradient by TAP and exactly, largest |m - 1/2|, |n - 1/2|."""
    m, n = (tf.cast(x, tf.float32)[tf.newaxis] for x in (m, n))  # (1, 9), (1, 6)
    gap = np.mean(mean_field.gamma(model.machine, m, n, order)) + enumeration.log_z(model)
    positive = data.T @ model.hidden_mean(data).numpy() / 14
    tap = mean_field.correlation(model.kernel.numpy(), m, n, order).numpy()
    sizes = (np.linalg.norm(positive - x) for x in (tap, enumeration.moments(model).correlation))
    return gap, *sizes, max(np.abs(x - 0.5).max() for x in (m, n))


def of_tap(model, order):
    """tap_point at the mean of the model's own 100 sets, and at the lowest Gamma from ten starts."""
    phase = model.negative_phase(tf.zeros((1, num_hidden)), machine=model.machine, training=False)
    point = mean_field.tap(model, order=order)
    return [tap_point(model, order, *x) for x in (phase[1:3], (point.visible, point.hidden))]


# %%
def other_starts():  # log likelihoods (starts, epochs), and of_tap, (starts, 2, 4)
    found = {"tap_2": [], "tap_3": []}
    for start in range(1, num_starts):
        for name, phase in negative_phases(start).items():
            rbm = untrained(phase, start)
            found.setdefault(name, []).append(train(rbm))
            if name.startswith("TAP"):
                found["tap_" + name[-1]].append(of_tap(rbm, int(name[-1])))
    return found


trained = {}
for name, phase in negative_phases(seed).items():
    file, rbm = "training_" + name.replace(",", "").replace(" ", "_"), untrained(phase)
    trained[name] = rbm, course.trained(rbm, file, partial(train, rbm), retrain=retrain)

# %% name="seven-phases-log"
others = course.shipped("training_starts", other_starts, retrain=retrain)
curves = {
    name: np.vstack([curve[np.newaxis], others[name]]) for name, (_, curve) in trained.items()
}
first = train(untrained(phases.ExactPhase()), epochs=3)
check(first, trained["exact"][1][:3], tolerance=1e-3)
ends = {name: of_starts[:, -1] for name, of_starts in curves.items()}  # (starts,)
for name, end in ends.items():
    best = curves[name][0].max()
    print(f"{name:14s} L = {end[0]:.3f} nats at the end, best {best:.3f};", end=" ")
    print(f"ends of {num_starts} starts: {end.min():.3f} to {end.max():.3f}")
size = [np.sqrt(np.mean(x**2)) for x in (trained["exact"][0].kernel, scales[-1] * direction)]
print(f"root mean square weight: {size[0]:.2f} nats after exact training, {size[1]:.2f} at s = 5")
is_below = ends["TAP, order 2"] < -9 * np.log(2)
print(f"TAP of order 2 ends below the untrained machine in {is_below.sum()} starts of {num_starts}")

# %% name="tap-points"
stands = {}  # of each order: of_tap, (starts, 2, 4)
for order in (2, 3):
    model = trained[f"TAP, order {order}"][0]
    sets = [x.numpy() for x in model.negative_phase.magnetisations]  # (100, 9) and (100, 6)
    assert max(np.ptp(x, axis=0).max() for x in sets) < 1e-3  # the 100 sets are one point
    stands[order] = np.vstack([[of_tap(model, order)], others[f"tap_{order}"]])
    for name, values in zip(("the 100 sets", "tap()"), stands[order][0], strict=True):
        text = "Gamma - F_eq = {:.3f} nats, gradient {:.5f}, exact {:.3f}, largest |m - 1/2| {:.3f}"
        print(f"order {order}, {name}:", text.format(*values))

# %%
for name in ("CD-10", "tempering"):  # in every start
    assert np.all((ends["exact"] > ends[name]) & (ends[name] > ends["CD-1"] + 0.05))
gain = np.mean(ends["CD-1, no noise"] - ends["CD-1"]), np.mean(ends["CD-10"] - ends["CD-1"])
assert gain[0] < gain[1] / 3  # noise is not what holds CD-1 back
best = curves["persistent"].max(axis=1)  # about as far as CD-1 ends, and loses it again
assert np.all((best > ends["CD-1"] - 0.15) & (ends["persistent"] < ends["CD-1"] - 0.05))
assert np.all(ends["TAP, order 2"] < ends["TAP, order 3"]) and is_below.sum() == 3
assert np.all(ends["TAP, order 3"] < ends["persistent"] - 0.5)  # the last of the others
(gap, gradient, exact, distance), lowest = stands[2][:, 0].T, stands[2][:, 1]
assert gap.min() > 0.2 and gradient.max() < 0.01 < 0.3 < exact.min() and distance.max() < 0.01
is_lower = lowest[:, 0] < gap - 0.05  # in the other starts tap() finds no lower point
assert is_lower.sum() == 6 and gap[0] > 1
assert np.all(lowest[is_lower, 1] > exact[is_lower]) and lowest[is_lower, 3].min() > 0.3
assert stands[3][:, 0, 3].max() < 0.2  # not far from the middle either

# %% name="seven-phases" alt="Left: log likelihood by epoch; persistent jumps, TAP of order 2 falls to -6.5. Right, from eight starts, nats below the limit: exact 0.1, tempering and CD-10 0.1 to 0.25, CD-1 0.3 to 0.5, persistent 0.5 to 1.2, TAP 2 to 4."
figure, axes = plt.subplots(1, 2, figsize=(10, 4))
colours = (ink, orange, orange, "#56B4E9", blue, green, purple, grey)
for row, ((name, of_starts), colour) in enumerate(zip(curves.items(), colours, strict=True)):
    style, face = ("--", "none") if "no noise" in name else ("-", colour)
    axes[0].plot(range(1, num_epochs + 1), of_starts[0], style, color=colour)
    axes[1].plot(-np.log(14) - ends[name], [row] * num_starts, "o", color=colour, mfc=face)
axes[0].axhline(-np.log(14), color=ink, ls="--", lw=1)  # the limit
axes[1].set(xscale="log", ylim=(7.6, -0.6), yticks=range(len(curves)), yticklabels=curves)
label(axes[0], "The first start", f"epoch ({num_updates} updates)", r"mean $\ln p(v)$ (nats)")
label(axes[1], "Where eight starts end", r"below the limit $-\ln 14$ (nats)", "")
plt.show()

# %% [markdown]
# From every start the *exact* gradient sets the pace. *CD-10* and *tempering* stay close to it, the
# others do not:
#
# - *CD-1* stays below CD-10. This is not noise but bias: without any noise (dashed, open
#   circles) it gains less than a third of the difference on average.
# - The *persistent* chains come about as far as CD-1, and then lose what they had gained, in jumps.
#   It looks like the lag (4.1) of chapter 5, a model that runs away from its chains. A smaller
#   learning rate or more sweeps should help; tempering does.
# - *TAP of order 2* stops in the wrong place: in the middle, $m = n = \frac12$, which belongs to no
#   mode. (In the first start all 100 sets are there.) $\Gamma$ lies above $F_{\rm eq}$, in the first
#   start by more than a nat, and yet the averages (2.3) agree with those of the data: TAP sees no gradient, while the
#   exact one is large. In six starts `tap` finds another solution of the same equations, far from
#   the middle, with a lower $\Gamma$. There the gradient would be larger than the exact one. Three starts end
#   *below* the untrained machine (near $-9 \ln 2 = -6.24$).
# - *TAP of order 3* is not far from the middle either. It ends above order 2, and more than half a nat below
#   all that sample.
#
# %% [markdown]
# ## 4. When it fails: a mode that contrastive divergence cannot see
#
# The two-mode machine of section 1 is given data from one side only, the
# near one. Half of its probability is then in the wrong place, and by (B2) removing it would gain
# $\ln 2$ nats. **Predict first**: by (3.3) of chapter 5 the missing
# direction has the eigenvalue $\lambda_2$, so that CD-$k$ sees only the share $1 - \lambda_2^k$ of it. Will CD-20
# remove it in 200 updates?
#
# CD lowers the free energy at the data, and raises it where the chain drifts to in $k$ steps. It shapes the
# landscape *near* the data. What is far away it leaves as it happens to be. (The curves below come with the
# course.)

# %%
near = np.where(is_far, 0, 2 * joint(two_modes(dtype="float64")).sum(axis=1))
one_sided = visible_states[np.random.default_rng(seed).choice(512, size=1000, p=near)]


def far_side_curve(phase, chains=None):
    """Train the two-mode machine on one-sided data; the far side's share before each epoch."""
    rbm, shares = two_modes(negative_phase=phase), []
    if chains is not None:  # where they start
        phase.chains.assign(np.broadcast_to(chains, phase.chains.shape))
    note = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: shares.append(joint(rbm).sum(axis=1)[is_far].sum())
    )
    rbm.compile(keras.optimizers.SGD(0.02), steps_per_execution=10)
    rbm.fit(one_sided, batch_size=100, epochs=21, verbose=0, callbacks=[note])
    return shares


# %%
def far_sides():
    """The far side's share along each training, by negative phase, (epochs,)."""
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
far_shares = course.shipped("training_far_side", far_sides, retrain=retrain)
for name, shares in far_shares.items():
    print(f"{name:16s} probability far from the data:", end=" ")
    print(f"{shares[0]:.4f} at first, {shares[5]:.4f} after 5 epochs, {shares[-1]:.4f} after 20")
slow = np.sort(np.linalg.eigvals(sweep_matrix(two_modes(dtype="float64"))).real)[-2]
print(f"share of the slow direction that CD-k sees: {1 - slow:.6f} (k = 1),", end=" ")
print(f"{1 - slow**20:.6f} (k = 20)")
last = {name: shares[-1] for name, shares in far_shares.items()}
assert max(last["exact"], last["persistent"], last["tempering"], last["tempering, near"]) < 0.02
assert abs(last["CD-1"] - 0.5) < 0.02 and 0.4 < last["CD-20"] < 0.48
late = far_shares["persistent, near"]  # sees nothing at first, then remembers
assert np.all(np.abs(late[:6] - 0.5) < 0.01) and late[-1] < 0.25
assert far_shares["persistent"][3] < far_shares["exact"][3] / 10  # overdoes it
assert far_shares["tempering"][5] < far_shares["exact"][5]  # a little

# %% name="far-side" alt="Left: letter T and its negative. Right: probability of the far side. Exact, tempering and persistent fall to near 0; CD-1 stays at one half, CD-20 falls a little; persistent from near falls late."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), width_ratios=[1, 2])
plotting.image_grid(axes[0], np.reshape([letter, 1 - letter], (2, 3, 3)), columns=2)
axes[0].images[0].set_clim(-0.2, 1)
axes[0].set_title("The two modes: data, far side")
colours = (ink, orange, "#56B4E9", blue, green, blue, green)
for (name, shares), colour in zip(far_shares.items(), colours, strict=True):
    axes[1].plot(shares, "--" if "near" in name else "-", color=colour, label=name)
axes[1].set_xticks(range(0, 21, 5))
label(axes[1], "Where no data are", "epoch (10 updates)", "probability of the far side")
axes[1].legend(loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %% [markdown]
# The exact gradient clears the far side. CD-1 leaves it at nearly one half, and twenty sweeps take away
# only a small part. In the meantime all that a log shows looks healthy: each chain ends near the image
# that it started from (exercise 1).
#
# Persistent chains do find the far side, because they began as fair coins and about half of them ended up
# there. They even overdo it. (So do those of tempering, a little.) Started near the data (dashed), persistent chains see nothing until the first of
# them happens to cross. Unlike CD they remember it then: they are late, but not blind for good.
# Tempering does not depend on such luck. Its chains change sides, wherever they start.
#
# %% [markdown]
# ## 5. Summary
#
# | negative phase | what replaces the model average | how it fails | cost per update |
# |:--|:--|:--|:--|
# | `ExactPhase` | nothing (B9) | never | $2^{\text{smaller layer}}$ |
# | `ContrastiveDivergence` | $k$ sweeps from the data (B10) | blind in slow directions | $k$ sweeps |
# | `PersistentContrastiveDivergence` | chains that go on | the model runs away from them | $k$ sweeps |
# | `ParallelTempering` | chains that swap (1.1) | a lag, with a shorter mixing time | $R k$ sweeps |
# | `MeanFieldPhase` | steps towards a fixed point (2.3) | strong couplings (2.4); can stay at one wrong point | 3 steps |
#
# - Tempering needs no $Z$. The cold chains reach the far side by way of the hot ones.
# - TAP gains one power of the coupling with each order, as long as couplings are weak.
# - CD cannot see a mode that its chains do not reach. Persistence finds it by luck, tempering without.
#
# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **A comforting number.** The mean reconstruction error of data, $\langle |v - v'|^2
#    \rangle$ after one sweep, is often printed during training. Compute it exactly for the two-mode
#    machine and its one-sided data, and for a machine that has learned these data with
#    the exact gradient, as in section 4 (`reconstruction` and `far_share` of `"two modes"` and of
#    `"exactly trained"`). What does it say about the far side?
# 2. *(medium)* **How far apart may two temperatures be?** Show that in equilibrium the swap (1.1) is accepted with
#    the mean probability $\sum_{v, v'} \min[\, p_\beta(v)\, p_{\beta'}(v'), \; p_\beta(v')\, p_{\beta'}(v)\,]$. Compute
#    it for all neighbours of 2, 3, 5, 8 and 16 equally spaced temperatures of the two-mode machine (`smallest`: from the
#    number of temperatures to the smallest of these means). Where on the ladder is it smallest?
# 3. *(hard)* **The smallest ladder.** Take only $\beta = 0$ and $\beta = 1$, for a machine (2.3) of chapter 5 with four
#    visible units, the image (1, 0, 1, 0), and four hidden units. Write the sweep of both chains and the swap
#    that follows as a matrix of 256 × 256. Find the second largest modulus of its eigenvalues and that of $T$
#    for $w = 1, 2, 3, 4$ (`of_ladder`, `of_sweep`: lists). One of them tends to 1, the other to $7/8$. Why? And why
#    does the machine of 9 pixels need more than two temperatures?
#
# The solutions are in the cells below, folded: click on one to open it.

# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. The error looks at one sweep from the data. It cannot know about states that are not reached.
after = two_modes(negative_phase=phases.ExactPhase())
after.compile(keras.optimizers.SGD(0.02), steps_per_execution=10)
after.fit(one_sided, batch_size=100, epochs=20, verbose=0)
distances = np.abs(visible_states[:, np.newaxis] - visible_states).sum(axis=2)  # |v - v'|^2
reconstruction, far_share = {}, {}
for name, model in (("two modes", two_modes()), ("exactly trained", after)):
    reconstruction[name] = near @ (sweep_matrix(model) * distances).sum(axis=1)
    far_share[name] = joint(model).sum(axis=1)[is_far].sum()
    print(f"1. {name}: reconstruction error {reconstruction[name]:.4f} pixels", end=", ")
    print(f"far side {far_share[name]:.4f}")
check(reconstruction["two modes"], 0.3744, tolerance=1e-3)
assert abs(reconstruction["exactly trained"] - reconstruction["two modes"]) < 0.05
assert far_share["exactly trained"] < 0.05 < 0.4 < far_share["two modes"] < 0.6

# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. The pair (v, v') has the probability P and is accepted with min(1, P' / P), where P' is that of the swapped pair:
# the mean is sum min(P, P'). It is smallest in the middle of the ladder, where the modes form.
W, a, b = (x.numpy() for x in two_modes(dtype="float64").trainable_variables)
on, hidden_input, smallest = visible_states @ a, b + visible_states @ W, {}
for number in (2, 3, 5, 8, 16):
    of_betas = []  # p_beta(v), whose logarithm is -Phi_beta(v) but for a constant
    for beta in np.linspace(0, 1, number):
        log_p = beta * on + np.logaddexp(0, beta * hidden_input).sum(axis=1)
        of_betas.append(np.exp(log_p - np.logaddexp.reduce(log_p)))
    pairs = [np.outer(hot, cold) for hot, cold in itertools.pairwise(of_betas)]
    accepted = [np.minimum(pair, pair.T).sum() for pair in pairs]
    smallest[number] = min(accepted)
    print(f"2. {number:2d} temperatures:", np.round(accepted, 3))
check([smallest[number] for number in (2, 3, 5, 8)], [0.01447, 0.23681, 0.41584, 0.60799], 1e-4)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. A sweep at beta = 0 draws a fresh uniform image u. The swap is accepted with min(1, p(u) / p(v)). For large w, with
# the cold chain in a mode, that is 1 if u is one of the two modes, 2 images of 16, and 0 otherwise. So in one sweep of
# eight the cold chain forgets its side, and lambda_2 = 1 - 1/8. With 9 pixels 2 images of 512 are modes: 255/256.
def smallest_ladder(w):
    states = np.array(list(itertools.product([0.0, 1.0], repeat=4)))  # of v, and of h
    sides = (states - 0.5) @ [1, -1, 1, -1]  # M of (2.3) of chapter 5
    table = np.exp(w * np.outer(sides, states.sum(axis=1) - 2))  # e^(w M N)
    sweep = (table / table.sum(axis=1, keepdims=True)) @ (table / table.sum(axis=0)).T
    p = table.sum(axis=1) / table.sum()
    return sweep, p, np.minimum(1, p[:, np.newaxis] / p)  # accepted: (hot, cold)


# %% jupyter={"source_hidden": true} tags=["solution"]
of_sweep, of_ladder, pairs = [], [], np.arange(256)  # a pair of images is 16 * hot + cold
for w in (1, 2, 3, 4):
    sweep, p, accepted = smallest_ladder(w)
    both = np.kron(np.full((16, 16), 1 / 16), sweep)  # at beta = 0 every image is as likely
    swap = np.diag(1 - accepted.ravel())
    swap[pairs, pairs % 16 * 16 + pairs // 16] += accepted.ravel()
    at_rest = np.kron(np.full(16, 1 / 16), p)
    check(at_rest @ both @ swap, at_rest)  # the product of both distributions stays
    for matrix, moduli in ((sweep, of_sweep), (both @ swap, of_ladder)):
        moduli.append(np.sort(np.abs(np.linalg.eigvals(matrix)))[-2])
    print(
        f"3. w = {w}: second modulus {of_sweep[-1]:.6f} by sweeps, {of_ladder[-1]:.6f} by the ladder"
    )
check(of_ladder, [0.327840, 0.800542, 0.867393, 0.874096], 1e-5)
check(-1 / np.log(of_sweep), [2.303064, 55.48244, 2661.61, 145883.1], 1e-4)
