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
# # Chapter 11: The free energy, clamped literally
#
# Chapter 3 had two free energies: $F_c(v)$, with all visible units held fixed, and $F_{\rm eq}$, with none.
# What if some are held fixed, because the others are what we want to know? A hole in an image, a label, a
# value that nobody measured: each is a question about the same machine. *Guess before you read on: which of
# these questions need $\ln Z$?*
#
# **What you will do**
#
# - derive the free energy with some units clamped, and follow it from $F_{\rm eq}$ to $F_c$, pixel by pixel;
# - fill a hole exactly, and by a chain;
# - read labels off a machine that was never told to classify;
# - train on data with holes, and see what filling them in beforehand costs.
#
# **What you will learn**
#
# - that every conditional probability is a difference of two clamped free energies;
# - that $\ln Z$ drops out of all answers given data, and stays in the likelihood of the data;
# - that missing values need no special method, only fewer clamps.
#
# **What you need**: chapters 3 and 4, Gibbs sweeps (chapter 5, section 1), and sections 1, 2 and 4 of chapter 10.
#
# **Time**: about 40 minutes, and 120 for the exercises. The code runs in half a minute.
#
# Numbers such as (B42) are rows of the table `EQUATIONS.md`. $v = (o, m)$ are observed and missing units.

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

import os

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

from rbm_tf import Machine, conditional, labels, log_z, moments, units
from rbm_tf.course import check, label, shipped
from rbm_tf.datasets import bars_and_stripes
from rbm_tf.machine import clamped_free_energy, visible_input

# %%
seed = 0
num_hidden = 10
num_steps = 600  # of training
num_fillings = 200  # chains for each hole, section 3
missing_share, num_draws = 0.4, 5  # of the pixels, and of the holes, in section 5
retrain = bool(os.environ.get("RETRAIN"))  # True: train those of section 5 here, two minutes
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 130}])


# %% [markdown]
# ## 1. Clamp some, sum out the rest
#
# Hold $o$ fixed and sum $e^{-E}$ over $m$ and $h$. Given $h$ every visible unit $t$ feels the field $x_i =
# (a + W h)_i$ and is independent of the others. A clamped one contributes $x_i t - U(t)$ to the exponent, a
# free one its $\Gamma_i(x_i)$ (B35):
#
# $$\boxed{\; \ln Z(o) = \ln \sum_h \exp \Big( b \cdot h - \sum_j U(h_j)
#   + \sum_{i \in o} \big[ x_i v_i - U(v_i) \big] + \sum_{i \in m} \Gamma_i(x_i) \Big) \;} \tag{B42}$$
#
# To clamp a unit is to replace $\Gamma_i(x_i)$ by the exponent itself. With no unit clamped this is $\ln
# Z$, with all of them it is $-F_c(v)$. In between it is $a_o \cdot o - \sum_{i \in o} U(v_i)$ plus $\ln Z$ of a smaller machine: the observed units
# act on the hidden ones as an additional bias $o\, W_o$, with their rows $W_o$ of the kernel. By the
# definition of conditional probability
#
# $$\boxed{\; \ln p(o) = \ln Z(o) - \ln Z , \qquad \ln p(m \,|\, o) = -F_c(v) - \ln Z(o) \;} \tag{B43}$$
#
# $\ln Z$ is gone from the second. So the guess: a hole, a label, whatever is asked *given* something, needs no
# $\ln Z$. Only the probability of the data themselves does, and with it training.
#
# **A small world.** The images are the 30 bars and stripes of 4 × 4 pixels, and their label, bars or
# stripes, is one more visible unit, a Potts unit with two states. The blank and the full image count as
# bars.


# %%
images, kinds = bars_and_stripes(4)
data = labels.with_labels(images.reshape(len(images), 16), kinds, num_classes=2).astype(float)
layers = {
    "visible": units.Mixed([units.Binary(16), units.Potts(1, 2)]),
    "hidden": units.Binary(num_hidden),
}
nothing = np.full((1, 18), np.nan)
hidden_states = layers["hidden"].layer_states()  # (1024, 10)


# %%
def clamped_log_z(machine, rows):
    """(B42) for rows with NaN in the columns of units that are free, (num, 18)."""
    free = tf.constant(np.isnan(rows)[:, :17].astype(float))  # of the 17 units
    fields = visible_input(machine, hidden_states)  # (1024, 18)
    exponent = tf.linalg.matvec(hidden_states, machine.hidden_bias)[:, tf.newaxis]
    exponent += tf.matmul(fields, np.nan_to_num(rows), transpose_b=True)
    exponent += tf.matmul(machine.visible.cgf(fields), free, transpose_b=True)
    return tf.reduce_logsumexp(exponent, 0)


# %% [markdown]
# Training maximises the mean of $\ln p(o)$, and its gradient follows from (B43) with $\partial \ln Z /
# \partial \theta = -\langle \partial E / \partial \theta \rangle$ for both terms:
#
# $$\frac{\partial \ln p(o)}{\partial \theta} = - \Big\langle \frac{\partial E}{\partial \theta} \Big\rangle_{p(m, h | o)}
#   + \Big\langle \frac{\partial E}{\partial \theta} \Big\rangle_{p(m, o, h)} . \tag{B44}$$
#
# It is the gradient of chapter 4, (B8) and (B9), but with the missing units averaged over beside the hidden
# ones. What is missing is treated as what is hidden. Here all sums are exact, and rows may miss whatever
# they like.


# %%
def one_step(parameters, optimizer, rows):
    """A step down the mean of -ln p(o)."""
    with tf.GradientTape() as tape:
        machine = Machine(*parameters, **layers)
        mean_log_z_o = tf.reduce_mean(clamped_log_z(machine, rows))
        loss = clamped_log_z(machine, nothing)[0] - mean_log_z_o
    optimizer.apply(tape.gradient(loss, parameters), parameters)


# %%
def train(rows):
    """A machine trained to raise the likelihood of what the rows observe."""
    rng, shapes = np.random.default_rng(seed), ((18, num_hidden), (18,), (num_hidden,))
    parameters = [tf.Variable(0.1 * rng.normal(size=shape)) for shape in shapes]
    optimizer = keras.optimizers.Adam(0.05)
    optimizer.build(parameters)
    step = tf.function(lambda: one_step(parameters, optimizer, rows))
    for _ in range(num_steps):
        step()
    return Machine(*map(tf.constant, parameters), **layers)


# %% [markdown]
# **Check against the exact result**: (B42) against the library's `clamped_log_z`; its two ends; and (B44)
# by automatic differentiation against averages over the machine with its clamps.

# %% name="trained"
full = train(data)
exact_log_z = log_z(full)
check(
    [clamped_log_z(full, nothing)[0], -clamped_free_energy(full, data)[3]],
    [exact_log_z, clamped_log_z(full, data)[3]],
)
holes = np.where(np.random.default_rng(seed).random(data.shape) < 0.4, np.nan, data)
holes[:, 16:] = data[:, 16:]
check(clamped_log_z(full, holes), conditional.clamped_log_z(full, holes), tolerance=1e-9)
mean_log_p = np.mean(clamped_log_z(full, data)) - exact_log_z
print(
    f"ln Z = {exact_log_z:.4f}, mean ln p(v) = {mean_log_p:.4f}, best -ln 30 = {-np.log(30):.4f} nats"
)
assert -np.log(30) - 0.2 < mean_log_p < -np.log(30)


# %%
def over_missing(machine, row):
    """The RBM over the missing units of one row, whose hidden biases are b + o W_o."""
    rest = conditional.conditional_machine(machine, row)
    biases = rest.visible_bias, rest.hidden_bias[0]
    return Machine(rest.kernel, *biases, rest.visible, rest.hidden)


# %% name="gradient"
one = holes[7:8]
with tf.GradientTape() as tape:
    tape.watch(full.kernel)
    log_p = clamped_log_z(full, one)[0] - clamped_log_z(full, nothing)[0]
missing = np.isnan(one[0])
given = moments(over_missing(full, one))
clamped_vh = np.outer(np.nan_to_num(one[0]), given.hidden)
clamped_vh[missing] = given.correlation
check(tape.gradient(log_p, full.kernel), clamped_vh - moments(full).correlation, tolerance=1e-8)
print(f"{missing.sum()} pixels are missing; {full.kernel.shape} slopes agree")
of_observed = np.nan_to_num(one[0]) @ full.visible_bias.numpy()  # binary units: U = 0
check(clamped_log_z(full, one)[0], log_z(over_missing(full, one)) + of_observed)

# %% [markdown]
# ## 2. From one free energy to the other
#
# Clamp the units of an image one after the other, from the top left, the label last. By (B43) each step
# costs $-\ln p(v_k | v_1 .. v_{k-1})$, and the sum of all steps is $-\ln p(v) = F_c(v) - F_{\rm eq}$, in
# whatever order. *Which pixels of an image of stripes will be expensive, which free?*


# %%
def free_energies(row):
    """-ln Z with the first k units clamped, k from 0 to 17."""
    steps = np.tile(row, (18, 1))
    for k in range(18):
        steps[k, k:] = np.nan
    steps[17] = row
    return -clamped_log_z(full, steps).numpy()


stripes = int(np.flatnonzero((kinds == 1) & (images.sum((1, 2)) == 8))[1])
noise = np.append(np.random.default_rng(2).integers(2, size=16), [1, 0]).astype(float)
examples = {"an image of the data": (data[stripes], blue), "noise": (noise, orange)}

# %% name="path" alt="Two curves against the number of clamped units, from the same F_eq. For an image of the data it rises over the first row and then by one step a row, 3.4 nats in all. For noise the curve climbs by several nats at many steps, to 44 nats above the start."
figure, axis = plt.subplots(figsize=(7.5, 4))
for name, (row, colour) in examples.items():
    F = free_energies(row)
    axis.step(range(18), F, "o-", where="mid", color=colour, label=name)
    check(F[-1] - F[0], float(clamped_free_energy(full, row[np.newaxis])[0]) + exact_log_z)
    print(f"{name}: -ln p(v) = {F[-1] - F[0]:.2f} nats, in steps {np.diff(F).round(2)}")
axis.axhline(-exact_log_z, color=grey, ls=":", label=r"$F_{\rm eq}$")
label(axis, "From $F_{eq}$ to $F_c(v)$", "clamped units", "free energy, nats")
axis.set_xticks(range(0, 18, 2))
axis.legend()
plt.show()

# %% [markdown]
# The first row costs 1.3 nats, which is $\ln \frac{30}{8}$ about: until it is complete the image might be
# one of bars. Each further row costs one choice between black and white, $\ln 2 = 0.69$, at its first
# pixel. All other pixels and the label come free. Noise costs 44 nats in all.

# %%
steps = np.diff(free_energies(data[stripes]))
rows_of_steps = steps[:16].reshape(4, 4).sum(1)
assert (
    np.abs(steps[[4, 8, 12]] - np.log(2)).max() < 0.05
    and np.delete(steps, [0, 1, 2, 3, 4, 8, 12]).max() < 0.02
)
assert (
    abs(rows_of_steps[0] - np.log(30 / 8)) < 0.05 and np.diff(free_energies(noise))[:17].sum() > 40
)

# %% [markdown]
# ## 3. Filling a hole
#
# Hide the lower half of an image, and its label. The missing pixels have the exact means of the smaller
# machine, the RBM over $m$ with the bias $b + o\, W_o$. `inpaint` estimates them by Gibbs chains that keep
# $o$: after each sweep the observed units are put back. We take two images: one of bars, and the one of
# stripes from section 2. *In which of them is the hole a question of one answer? And will a chain find the
# others?*

# %%
bars = int(np.flatnonzero((kinds == 0) & (images.sum((1, 2)) == 8))[1])
halves = data[[bars, stripes]].copy()
halves[:, 8:] = np.nan
exact_means = np.array([moments(over_missing(full, half[np.newaxis])).visible for half in halves])
chains = conditional.inpaint(
    full, np.repeat(halves, num_fillings, 0), num_steps=500, progress=False, seed=seed
)
by_chain = chains.mean.numpy()[:, 8:].reshape(2, num_fillings, 10)  # (image, chain, missing column)
samples = chains.samples.numpy().reshape(2, num_fillings, 18)

# %% name="holes" alt="Two rows of six images of 4 by 4 pixels: what is observed, the exact mean, the mean of 200 chains, three samples. For bars all agree. For stripes the exact mean of the lower half is an even grey, the mean of the chains is not, and each sample has rows of one colour."
figure, axes = plt.subplots(2, 6, figsize=(10, 3.8))
titles = "observed", "exact mean", "mean of 200 chains", "sample 1", "sample 2", "sample 3"
for row in range(2):
    full_mean, chain_mean = halves[row, :16].copy(), halves[row, :16].copy()
    full_mean[8:], chain_mean[8:] = exact_means[row, :8], by_chain[row].mean(0)[:8]
    pictures = halves[row, :16], full_mean, chain_mean, *samples[row, [0, 1, 2], :16]
    for axis, picture, title in zip(axes[row], pictures, titles, strict=True):
        axis.set_facecolor("#56B4E9")  # where NaN leaves it open
        axis.imshow(picture.reshape(4, 4), cmap="gray", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[], title="" if row else title)
plt.show()

# %% name="stuck"
for name, exact, found in zip(("bars", "stripes"), exact_means, by_chain, strict=True):
    mean, error = found.mean(0)[[0, 4]], found.std(0)[[0, 4]] / np.sqrt(num_fillings)
    print(f"{name:8s} pixels 9 and 13: exact {exact[[0, 4]].round(3)}", end=", ")
    print(f"chains {mean.round(3)} +- {error.round(3)}")
check(by_chain[0].mean(0), exact_means[0], tolerance=0.02)
check(exact_means[1][:8], 0.5, tolerance=0.02)
decided = np.abs(by_chain[1][:, [0, 4]] - 0.5) > 0.4
print(f"{decided.mean():.0%} of the chains' own means are below 0.1 or above 0.9")
error = by_chain[1][:, 4].std() / np.sqrt(num_fillings)
assert decided.mean() > 0.95 and 0.5 - by_chain[1][:, 4].mean() > max(0.2, 5 * error)
is_image = [np.any(np.all(one[:16] == images.reshape(30, 16), 1)) for one in samples[1]]
assert sum(is_image) > 190

# %% [markdown]
# **A deliberate failure.** For bars there is one answer, and the chains have it. For stripes each row of the
# hole may be black or white with probability $\frac12$, so the exact mean is grey. Every chain decides once and
# stays, and its choice is no fair draw either: all start from the same grey, and where a chain falls from there is not weighted by
# probability. More than 190 of 200 samples are images of the data, and yet the mean of 200 chains is wrong by more than 0.2 at a pixel of the
# last row, many times its standard error. More chains do not mend that. That their means differ shows that they are stuck.
#
# %% [markdown]
# ## 4. A label is a hole
#
# If the label $y$ is what is missing, (B43) has a sum over $q$ states only, and all that does not depend on
# $y$ cancels. With $R$ for the label's rows of $W$ and $d$ for its biases
#
# $$p(y | v) = \mathop{\rm softmax}_y \Big[ d_y + \sum_j \Gamma_j \big( b_j + (v W)_j + R_{yj} \big) \Big] , \tag{B45}$$
#
# exactly, for hidden units of every kind (Larochelle and Bengio 2008). And with half of the image missing
# as well, $p(y | o)$ is still a softmax of $\ln Z(o, y)$. *The upper half is all black. What is the
# probability of stripes? Of the 30 images four begin so.*

# %% name="labels"
by_formula = labels.log_p_label(full, data[:, :16]).numpy()
with_label = [np.hstack([data[:, :16], np.tile(y, (30, 1))]) for y in np.eye(2)]
log_z_with = np.array([clamped_log_z(full, rows) for rows in with_label])
check(by_formula, (log_z_with - np.logaddexp.reduce(log_z_with, 0)).T, tolerance=1e-8)
correct = np.mean(np.argmax(by_formula, 1) == kinds)
for rows in with_label:
    rows[:, 8:16] = np.nan  # the lower half
log_z_with = np.array([clamped_log_z(full, rows) for rows in with_label])
p_stripes = np.exp(log_z_with - np.logaddexp.reduce(log_z_with, 0))[1]
black = np.flatnonzero(images[:, :2].sum((1, 2)) == 0)
print(f"labels of whole images: {correct:.0%} right; upper half black: {p_stripes[black].round(3)}")
assert correct == 1.0 and len(black) == 4
check(p_stripes[black], 3 / 4, tolerance=0.03)

# %% [markdown]
# Three of the four are stripes, and this machine says so, though nobody trained it to give probabilities of
# labels.
#
# %% [markdown]
# ## 5. Data with holes
#
# Four copies of each image now. Each pixel is lost with probability 0.4, and so is the label of every
# second row. Not one of the 120 rows keeps all its pixels. Two ways: to train on $\ln p(o)$, (B44), or to
# fill the holes with the mean of their column and train on what looks like complete data. *How much will
# the second lose? And if 0.7 are lost?* (Five draws of the holes; what their machines reach comes with the course.)


# %%
def with_gaps(share, number):
    """Four copies of the data, of which a share of the pixels and half of the labels are NaN."""
    copies, rng = np.repeat(data, 4, 0), np.random.default_rng(number)
    copies[:, :16][rng.random((120, 16)) < share] = np.nan
    copies[::2, 16:] = np.nan
    assert np.isnan(copies[:, :16]).any(1).all()
    return copies


# %%
def scores_of(share):
    """Mean ln p of the complete images after training on gaps and on means, (num_draws, 2), nats."""
    scores = []
    for number in range(num_draws):
        gaps = with_gaps(share, number)
        filled = np.where(np.isnan(gaps), np.nanmean(gaps, 0), gaps)
        machines = train(gaps), train(filled)
        scores.append([np.mean(conditional.log_marginal(machine, data)) for machine in machines])
    return {"scores": scores}


# %% name="gaps"
print(f"0% lost: mean ln p of complete images {mean_log_p:.2f} nats;", end=" ")
print(f"uniform model {-17 * np.log(2):.2f}")
scores = {}
for share in (missing_share, 0.7):
    file = f"conditional_scores_{share}"
    made = shipped(file, lambda share=share: scores_of(share), retrain=retrain)
    scores[share] = made["scores"]
    for name, values in zip(("ln p(observed)", "filled with means"), scores[share].T, strict=True):
        print(f"{share:.0%} lost, {name:17s}", values.round(2), f"mean {values.mean():.2f} nats")
cost, cost_of_filling = mean_log_p - scores[missing_share].T
assert 0 < cost.min() < 0.2 and 1 < cost.max() < 3 and np.all(cost_of_filling > cost + 3)
assert 5.5 < cost_of_filling.mean() < 7
assert np.all(scores[0.7][:, 0] < scores[0.7][:, 1] - 2) and scores[0.7].max() < -17 * np.log(2)

# %% [markdown]
# At 0.4 the holes cost between a few hundredths of a nat and two nats in these five runs (another start of the training moves
# single runs as much), and filling them costs six: it tells the machine that grey images occur. At 0.7 both are below the
# uniform model, $-17 \ln 2$ nats: filling has learned the means of the pixels and no more, and $\ln p(o)$ has over-fitted. Training
# raises the likelihood of what was seen, and promises nothing about what was not. And $\ln p(o)$ is the right thing to
# raise only if pixels are lost by chance. If a loss depends on the value that is lost, no method that sees only $o$
# can know.
#
# In larger machines neither sum of (B42) can be done. `RBM(.., missing_steps=5)` then draws the missing
# units of the data's side by a few sweeps, and `clamped_ais` estimates $\ln Z(o)$ by annealing, with $o$ at
# its place all along.

# %% name="annealed"
found = conditional.clamped_ais(
    full, halves, num_chains=300, betas=np.linspace(0, 1, 301), progress=False, seed=seed
)
exact = clamped_log_z(full, halves).numpy()
for one, error, value in zip(found.log_z, found.standard_error, exact, strict=True):
    print(f"ln Z(o) = {one:.3f} +- {error:.3f} by annealing, {value:.3f} exactly")
    assert abs(one - value) < 5 * error

# %% [markdown]
# ## 6. Summary
#
# - Each visible unit is clamped or summed out; $F_c$ and $F_{\rm eq}$ are the two ends (B42).
# - Given some units, everything about the others is a difference of clamped free energies, without $\ln Z$
#   (B43).
# - Missing values are hidden units that change from row to row (B44).
# - A label is a hole with $q$ states, and its probability is exact (B45).
# - Chains fill holes with fine samples and may still be wrong about their frequencies.
#
# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **The order does not matter.** Show from (B43) that the steps of section 2 add up to the same
#    number in every order. Write `total_cost(row, order)`, the sum of the steps of `full` if the columns
#    are clamped in the order of a permutation of the 16 pixels, the label last.
# 2. *(medium)* **The wrong pixel.** By (B43) a binary pixel has $\ln p(v_i | \text{all others}) = -\ln (1 +
#    e^{F_c(v) - F_c(v')})$, where $v'$ has pixel $i$ flipped. Derive it, and write `suspect(row)`, which
#    names the pixel that fits least.
# 3. *(hard)* **A bound for holes.** For every distribution $q(m)$ show that $\ln p(o) \ge \sum_m q(m)
#    [-F_c(o, m) - \ln q(m)] - \ln Z$, and name the gap. Write the right-hand side as `bound(row, q)` for
#    rows whose label alone is missing.
# 4. *(to explore)* **Ask well.** You may see two pixels of an image of the data. Which two, `best`, tell
#    most about the label on average?
#
# The solutions are in the cells below, folded: click on one to open it.


# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. Each step is ln Z(o) - ln Z(o, v_k); the sum telescopes to ln Z + F_c(v), whatever comes between.
def total_cost(row, order):
    seen, total = nothing.copy(), 0.0
    for columns in [*([k] for k in order), [16, 17]]:
        before = clamped_log_z(full, seen)[0]
        seen[0, columns] = row[columns]
        total += float(before - clamped_log_z(full, seen)[0])
    return total


print(f"1. {total_cost(noise, range(16)):.4f} and {total_cost(noise, range(15, -1, -1)):.4f} nats")
check(
    total_cost(noise, range(15, -1, -1)),
    clamped_free_energy(full, noise[np.newaxis])[0] + exact_log_z,
)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. Z(o) has two terms, e^{-F_c(v)} + e^{-F_c(v')}; divide. The least of these is where F_c falls most.
def suspect(row):
    flipped = np.tile(row, (16, 1))
    flipped[np.arange(16), np.arange(16)] = 1 - row[:16]
    return int(np.argmin(clamped_free_energy(full, flipped)))


for pixel in range(16):
    damaged = data[stripes].copy()
    damaged[pixel] = 1 - damaged[pixel]
    assert suspect(damaged) == pixel
print("2. all 16 flipped pixels are found")
assert suspect(np.abs(data[stripes] - np.eye(18)[6])) == 6


# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. Jensen, with any q: ln Z(o) = ln sum_m q e^{-F_c} / q >= sum_m q (-F_c - ln q). The gap is KL(q || p(m|o)).
def bound(row, q):
    rows = np.hstack([np.tile(row[:16], (2, 1)), np.eye(2)])
    return q @ (-clamped_free_energy(full, rows).numpy() - np.log(q)) - exact_log_z


# %% jupyter={"source_hidden": true} tags=["solution"]
# With the best q against the exact value, with q = 1/2 below it.
best_q = np.exp(labels.log_p_label(full, data[stripes : stripes + 1, :16]).numpy()[0])
unlabelled = data[stripes].copy()
unlabelled[16:] = np.nan
exact = float(clamped_log_z(full, unlabelled[np.newaxis])[0]) - exact_log_z
print(
    f"3. q = 1/2: {bound(data[stripes], np.full(2, 0.5)):.3f}, best q and exact: {exact:.3f} nats"
)
assert bound(data[stripes], np.full(2, 0.5)) < bound(data[stripes], np.array([0.05, 0.95]))
for q in [best_q]:
    check(bound(data[stripes], q), exact, tolerance=1e-8)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. The mean over the images of ln p(y | two pixels), for all pairs. By counting, two pixels of a column are best: if
# they differ, the image is one of stripes; of the 22 images in which they agree 16 are bars. That makes
# (16 ln 16/22 + 6 ln 6/22) / 30 = -0.430 nats. For two pixels of a row it is (8 ln 8/22 + 14 ln 14/22) / 30 = -0.481.
def told(pair):
    seen = np.tile(nothing, (30, 1))
    seen[:, pair] = data[:, pair]
    both = [np.hstack([seen[:, :16], np.tile(y, (30, 1))]) for y in np.eye(2)]
    log_z_both = np.array([clamped_log_z(full, rows) for rows in both])
    return np.mean((log_z_both - np.logaddexp.reduce(log_z_both, 0))[kinds, np.arange(30)])


pairs = [[i, j] for i in range(16) for j in range(i)]
best = max(pairs, key=told)
print(f"4. pixels {best}: mean ln p(y) {told(best):.3f} nats, for the pair 0, 5 {told([0, 5]):.3f}")
assert best[0] % 4 == best[1] % 4 and abs(told(best) + 0.430) < 0.03
