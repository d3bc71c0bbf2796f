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
# # Chapter 7: The centred gradient, and digits
#
# A page of black ink on white paper and its photographic negative say the same thing. Which colour is called 1
# is a convention. Does a restricted Boltzmann machine (RBM) that learns by gradient ascent learn the same from
# both? Guess, before you read on. The answer leads to a better gradient. With it we then train
# a machine on handwritten digits, look at what it makes up by itself, and ask what its hidden units are good for.
#
# **What you will do**
#
# - take one learning step in two conventions, and see that the two machines part;
# - measure both layers from offsets, and get the same step whatever is called 1;
# - watch a trained machine turn random dots into digits;
# - compare how much it likes its training data, new data and its own samples, without $Z$;
# - use its hidden units as features for a classifier with few labels, and see them lose when training was short.
#
# **What you will learn**
#
# - what the centred gradient is, why it keeps all fixed points and goes uphill;
# - how to look at an RBM that is too large for any table.
#
# **What you need**: the gradient of the likelihood ([chapter 4, section 4](04_likelihood_gradient.ipynb));
# Gibbs sweeps and persistent chains ([chapter 5, sections 1 and 4](05_contrastive_divergence.ipynb)); and some Python,
# with this project installed.
#
# **Time**: about 50 minutes, and 80 for the exercises. The code runs in half a minute, and in two or three minutes
# more where it trains its shipped machines anew.
#
# Equation numbers such as (B5) are the row names used in the whole course, in the library's
# docstrings and in the table `EQUATIONS.md`. Numbers such as (1.1) are steps on the way. Energies
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

from rbm_tf import BernoulliRBM, course, datasets, enumeration, plotting
from rbm_tf import training as phases
from rbm_tf.course import check, label, mean_and_error, set_parameters

# %%
seed = 0
num_visible, num_hidden = 9, 6  # images of 3 x 3 pixels
bias_scale = 0.5  # standard deviation of random biases, nats
num_starts = 10  # of the trainings in section 1
digit_epochs, digit_hidden = (1, 149), 96  # a short training, and what is added to it
snapshots = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)  # sweeps
num_labelled, num_draws = (50, 100, 300), 10
retrain = bool(os.environ.get("RETRAIN"))  # True: train all machines here, minutes
blue, orange, green, grey = "#0072B2", "#D55E00", "#009E73", "0.5"

keras.utils.set_random_seed(seed)
plt.style.use(["rbm_tf.course", {"figure.dpi": 130}])
ink = plt.rcParams["text.color"]


# %%
def random_values(kernel_scale):
    """Random kernel, visible bias and hidden bias of a machine of 9 and 6 units."""
    rng, shapes = np.random.default_rng(seed), ((num_visible, num_hidden), num_visible, num_hidden)
    scales = kernel_scale, bias_scale, bias_scale
    return [rng.normal(0, scale, shape) for scale, shape in zip(scales, shapes, strict=True)]


# %% name="two-conventions" alt="Sixteen handwritten digits of 28 by 28 pixels in black ink on white, and the same sixteen in white ink on black."
(grey_train, y_train), (grey_test, y_test) = datasets.load_mnist_5k()  # grey levels
titles = "black ink", "white ink"
figure, axes = plt.subplots(1, 2, figsize=(10, 2.1))
for axis, images, title in zip(axes, (grey_train, 1 - grey_train), titles, strict=True):
    plotting.image_grid(axis, images[:16], columns=8)
    axis.images[0].set_clim(0, 1)
    axis.set_title(f"The same images, in {title}")
plt.show()

# %% [markdown]
# ## 1. The centred gradient
#
# If every pixel is relabelled, $v \to 1 - v$, the machine
#
# $$W' = -W , \qquad a' = -a , \qquad b'_j = b_j + \sum_i W_{ij} \tag{1.1}$$
#
# gives every relabelled image the probability of the original (insert it into (B1): the energies
# differ by the constant $\sum_i a_i$). But after one step of the *plain* gradient the two machines
# are no longer mirror images. With $\delta\langle\cdot\rangle$ for data minus model,
#
# $$\delta\langle (1 - v_i) h_j \rangle = -\delta\langle v_i h_j \rangle + \delta\langle h_j \rangle
#   \;\ne\; -\delta\langle v_i h_j \rangle : \tag{1.2}$$
#
# the kernel of the mirrored machine takes another direction. Learning depends on a convention.
#
# **The cure** (Cho, Raiko and Ilin 2011; Montavon and Müller 2012; compared by Melchior, Fischer and Wiskott 2016): measure
# both layers from *offsets*, $\mu$ for the mean of the data and $\lambda$ for that of the hidden units (no eigenvalue here; in the library a running mean over data and model
# that starts at $\frac12$. What follows holds for any value). The energy $-(v - \mu)^{\!\top} W (h -
# \lambda) - \tilde a \cdot (v - \mu) - \tilde b \cdot (h - \lambda)$ is, up to a constant, (B1) with
#
# $$a = \tilde a - W \lambda , \qquad b = \tilde b - W^{\!\top} \mu . \tag{1.3}$$
#
# It is the same family of machines in other coordinates $(W, \tilde a, \tilde b)$. The gradient in
# these follows as in [chapter 4, section 4](04_likelihood_gradient.ipynb), with $v - \mu$ for $v$ and
# $h - \lambda$ for $h$. Translate the step back by (1.3):
#
# $$\begin{aligned}
# \Delta W &= \delta\langle (v - \mu)(h - \lambda)^{\!\top} \rangle
#   = \delta\langle v h^{\!\top} \rangle - \mu\, \delta\langle h \rangle^{\!\top}
#   - \delta\langle v \rangle \lambda^{\!\top} , \\
# \Delta a &= \delta\langle v \rangle - \Delta W\, \lambda , \qquad
# \Delta b = \delta\langle h \rangle - \Delta W^{\!\top} \mu . \end{aligned} \tag{1.4}$$
#
# **Same zeros.** If all plain differences $\delta\langle\cdot\rangle$ vanish, so do the three of (1.4).
# Conversely, if $\Delta W = 0$, then $\Delta a = \delta\langle v \rangle$ and $\Delta b = \delta\langle h
# \rangle$; if these vanish as well, the first line leaves $\delta\langle v h^{\!\top} \rangle = 0$. The
# fixed points are untouched. What changes is the path, and it is uphill: a change of coordinates
# $\tilde\theta = R\, \theta$ turns the step into $R^{-1} R^{-\top} \nabla L$, and a matrix of the form
# $R^{-1} R^{-\top}$ is positive definite (exercise 2).
#
# **Same for both colours.** For the mirrored machine $\mu' = 1 - \mu$, and $\lambda' = \lambda$
# because the hidden units behave as before. Then $v' - \mu' = -(v - \mu)$, hence $\Delta W' =
# -\Delta W$ and $\Delta a' = -\Delta a$, while
#
# $$\Delta b' = \delta\langle h \rangle + \Delta W^{\!\top} (1 - \mu)
#   = \Delta b + \Delta W^{\!\top} 1 , \tag{1.5}$$
#
# which is (1.1) again: the step of the mirror image is the mirror image of the step.
#
# **Check against the exact result**: one step of a random machine and of its mirror image, plain and
# centred, with the exact averages, on data that are not their own mirror images: the six patterns
# with a single black bar or stripe.


# %%
def mirrored(kernel, visible_bias, hidden_bias):  # (1.1)
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
data = datasets.bars_and_stripes(3)[0].reshape(14, 9).astype(float)
black = data[data.sum(axis=1) == 3]  # one bar or one stripe: a third of the pixels is 1
values = random_values(1.0)
for centered in (False, True):
    step = ascent(machine(values, black, centered), black)
    mirror_step = ascent(machine(mirrored(*values), 1 - black, centered), 1 - black)
    expected = mirrored(*step)
    distance = [np.linalg.norm(x - y) for x, y in zip(mirror_step, expected, strict=True)]
    print("centred" if centered else "plain", "dW:", step[0][0, :3].round(4), end=", ")
    print("mirrored:", mirror_step[0][0, :3].round(4), f"distance {max(distance):.1e}")
    assert (max(distance) < 1e-10) == centered

# %%
rbm, plain = machine(values, black, True), ascent(machine(values, black, False), black)
mu, lam = rbm.visible_offset.numpy(), rbm.hidden_offset.numpy()
by_kernel = plain[0] - np.outer(mu, plain[2]) - np.outer(plain[1], lam)  # (1.4)
by_hand = by_kernel, plain[1] - by_kernel @ lam, plain[2] - by_kernel.T @ mu
centred = ascent(rbm, black)
for x, y in zip(by_hand, centred, strict=True):
    check(x, y)
uphill = sum(np.sum(x * y) for x, y in zip(plain, centred, strict=True))
assert uphill > 0
print(f"plain . centred = {uphill:.4f}: the centred step goes uphill")

# %% [markdown]
# The first three entries of the step of $W$ show it: the centred ones change their signs and nothing else,
# the plain ones become other numbers.
#
# **Does it matter?** Train a machine on these images, in black ink, and its mirror image on the inverted ones, in
# white ink, plain and centred, from ten random starts, and compare the likelihoods, which come with the course.
# **Predict first**: which two curves will agree? (In the library centring is the default. It is a direction for plain
# gradient descent. Optimizers that rescale each parameter by itself, such as Adam, would not keep to it, so the
# library gives them the plain gradient.)


# %%
def rise(rbm, x):
    """The log likelihood of the images before each of 160 epochs of ten updates."""
    curve = []
    record = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: curve.append(
            float(-np.mean(rbm.free_energy(x)) - enumeration.log_z(rbm))
        )
    )
    rbm.compile(keras.optimizers.SGD(0.2), steps_per_execution=10)
    options = {"batch_size": len(x), "shuffle": False, "epochs": 160, "verbose": 0}
    rbm.fit(np.tile(x, (10, 1)), callbacks=[record], **options)
    return curve


# %%
def rises():
    """The curves of all starts, by kind of gradient and convention, (num_starts, 160), nats."""
    curves, biases = {}, [np.zeros(num_visible), np.zeros(num_hidden)]
    for number in range(num_starts):
        kernel = np.random.default_rng(number).normal(0, 0.1, (num_visible, num_hidden))
        inks = (
            ("black ink", (kernel, *biases), black),
            ("white ink", mirrored(kernel, *biases), 1 - black),
        )
        for kind, (colour, start, x) in itertools.product(("plain", "centred"), inks):
            rbm = machine(start, x, kind == "centred")
            set_parameters(rbm, *start)  # without the biases that adapt has set
            curves.setdefault(f"{kind}, {colour}", []).append(rise(rbm, x))
    return curves


# %%
curves = course.shipped("training_conventions", rises, retrain=retrain)
plain_black, plain_white, centred_black, centred_white = curves.values()
check(centred_black, centred_white, 1e-8)  # (1.5), every 10 updates
for name, plain_curve in (("black ink", plain_black), ("white ink", plain_white)):
    gain = centred_black - plain_curve  # (num_starts, 160)
    mean, error = mean_and_error(gain)
    for epoch in (39, 80, 159):
        print(f"{name}, {10 * epoch:4d} updates, centred - plain: {mean[epoch]:5.2f}", end=" ")
        print(f"+- {error[epoch]:.2f} nats, above 0 from {np.sum(gain[:, epoch] > 0)} starts")
    assert mean[39] > 2 * error[39] and np.sum(gain[:, 39] > 0) >= 8
    assert np.all(np.abs(mean[80:]) < 2 * error[80:])  # no difference is left
    assert np.all(gain[:, 1] < -0.05)  # after ten updates
lead = (plain_black - plain_white)[:, 39]
assert lead.min() < -0.1 < 0.1 < lead.max()  # either ink may be the easier one

# %% name="two-inks" alt="Left: mean log likelihood over 1,590 updates. The plain curves are ahead at first; the two centred ones lie on one another, are above both until some 500 updates, and then all are one. Right: after 390 updates for each of ten starts. Now black, now white ink is ahead in plain learning; centred is above both from most starts."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), width_ratios=[1.4, 1])
for (name, curve), colour in zip(curves.items(), (grey, orange, blue, green), strict=True):
    style, marker = ("--", "x") if name == "centred, white ink" else ("-", "o")
    axes[0].plot(10 * np.arange(160), curve.mean(0), style, color=colour, lw=2, label=name)
    axes[1].plot(1 + np.arange(num_starts), curve[:, 39], marker, color=colour)
axes[0].axhline(-np.log(len(black)), color=ink, ls="--", lw=1, label=rf"limit $-\ln {len(black)}$")
label(axes[0], "Mean of ten starts", "update", "mean $\\ln p(v)$ (nats)")
label(axes[1], "After 390 updates", "start", "mean $\\ln p(v)$ (nats)")
axes[1].set_xticks(1 + np.arange(num_starts))
axes[0].legend()
plt.show()

# %% [markdown]
# The two centred curves lie on top of each other, to rounding, from each of the ten starts. The plain ones do
# not: one and the same problem is easier now in black ink, now in white, as the start will have it. After the
# first ten updates the plain gradient is ahead, in either ink, from every start. Then centring overtakes it, on
# average and from most starts, not from all. From 800 updates on no difference is left beyond two standard errors. One
# small problem, one learning rate: this is no verdict on speed.
#
# %% [markdown]
# ## 2. Handwritten digits
#
# Now a machine too large for tables of all states: 784 pixels and 96 hidden units, on 5,000 digits of MNIST, of which
# 1,000 are kept for the test. Its units are 0 or 1, so each pixel is drawn as 0 or 1 with its grey level as
# probability. We use persistent chains, which want a small learning rate ((4.1) of chapter 5), and the
# centred gradient. The rate falls from 0.05 to 0 along a straight line. The machine comes with the course in two
# states: after a *short* training of one epoch, and after a *long* one of 150 epochs. All pictures show it after the
# long one.
#
# How can we see whether it has learned? The likelihood $\ln p(v) = -F_c(v) + F_{\rm eq}$ (B5) is out of reach, but
# $F_{\rm eq}$ is the same for all images. *Differences* of the likelihood need no $Z$:
#
# $$\ln p(v) - \ln p(v') = F_c(v') - F_c(v) . \tag{2.1}$$
#
# So the mean $F_c$ of test images minus that of training images says by how many nats the machine likes
# what it has seen better than what it has not: *overfitting*, measured without $Z$.

# %%
(x_train, _), (x_test, _) = datasets.load_mnist_5k("bernoulli", seed=seed)
x_train, x_test = x_train.reshape(-1, 784), x_test.reshape(-1, 784)
phase = phases.PersistentContrastiveDivergence(num_chains=100, seed=seed)
digits = BernoulliRBM(784, digit_hidden, negative_phase=phase, seed=seed)
updates = len(x_train) // 32  # in an epoch
rate = keras.optimizers.schedules.PolynomialDecay(0.05, sum(digit_epochs) * updates, 0.0)
digits.compile(keras.optimizers.SGD(rate), steps_per_execution=updates)


def train_digits(epochs):
    digits.fit(x_train, batch_size=32, epochs=epochs, verbose=0)


# %% name="overfitting"
representations, gaps, errors = {"pixels": (x_train, x_test)}, [], []
for name, epochs in zip(("short", "long"), digit_epochs, strict=True):
    course.trained(
        digits, f"training_digits_{name}", partial(train_digits, epochs), retrain=retrain
    )
    features = [digits.hidden_mean(x).numpy() for x in (x_train, x_test)]
    representations[f"hidden units, {name} training"] = features
    clamped = [digits.free_energy(x).numpy() for x in (x_train, x_test)]  # F_c
    gaps.append(clamped[1].mean() - clamped[0].mean())  # (2.1)
    errors.append(np.sqrt(sum(x.var(ddof=1) / len(x) for x in clamped)))
    print(f"{name} training: F_c of test - training data {gaps[-1]:.1f} +- {errors[-1]:.1f} nats")
assert abs(gaps[0]) < 2 * errors[0] and gaps[1] > 5 * errors[1] and 9 < gaps[1] < 12


# %%
def in_grey(v, rng):
    """p(v_i = 1|h) with h drawn given v: the next image of a chain, before its pixels are drawn."""
    h = rng.random((len(v), digit_hidden)) < digits.hidden_mean(v).numpy()
    return digits.visible_mean(h.astype("float32")).numpy()


early = digits.sample(200, num_steps=500, seed=seed).numpy()
samples = digits.sample(200, num_steps=500, start=early, seed=seed + 1).numpy()  # and 500 more
difference = samples.mean(axis=0) - x_train.mean(axis=0)
print(f"mean pixels of samples and data differ by {np.abs(difference).mean():.3f} on average")
coins = np.random.default_rng(seed).integers(0, 2, samples.shape).astype("float32")
clamped = [digits.free_energy(x).numpy().mean() for x in (x_train, samples, coins)]
of_samples, of_coins = clamped[1] - clamped[0], clamped[2] - clamped[0]  # (2.1)
print(f"F_c of samples - training data {of_samples:.1f}, of random dots {of_coins:.0f} nats")
assert np.abs(difference).mean() < 0.04 and 0 < of_samples < 25 and 1500 < of_coins < 1800

# %% name="digits" alt="Three grids of 30 digits. Left: images in grey. Middle: the same with pixels 0 or 1, as the machine sees them. Right: samples of the trained machine in grey, many like digits, some like parts of them."
figure, axes = plt.subplots(1, 3, figsize=(10, 4.2))
titles = "Images", "What the machine sees of them", "What it makes up"
pictures = grey_train[:30], x_train[:30], in_grey(samples[:30], np.random.default_rng(seed))
for axis, title, images in zip(axes, titles, pictures, strict=True):
    plotting.image_grid(axis, images.reshape(-1, 28, 28), columns=5)
    axis.set_title(title)
plt.show()

# %% [markdown]
# After one epoch the free energies of new images and of training images differ by less than two standard errors. After
# 150 epochs new images are ten nats higher, ten standard errors: that is overfitting. The machine's own samples are
# not far from new images, while random dots are 1,600 nats higher.
#
# On the right nothing of the data is left but what the parameters have learned: the Gibbs chains
# start from fair coins. Shown are the probabilities $p(v_i = 1|h)$, from which the pixels of the next image would be
# drawn. Here is a film of eight such chains. Some show a digit within ten sweeps, others after hundreds, and they go
# on changing. From 500 to 1,000 sweeps a chain changes nearly as many pixels as tell two chains apart:

# %% name="film" alt="Eight chains in rows, at 1 to 1000 sweeps in columns. After one sweep there are strokes and blots. Some rows show a digit within ten sweeps, others after hundreds, some only parts; in one a 7 turns into a 3."
film = [digits.sample(8, num_steps=number, seed=seed).numpy() for number in snapshots]
frames = np.stack([in_grey(v, np.random.default_rng(seed)) for v in film], axis=1)
moved, apart = (np.abs(samples - x).mean() for x in (early, early[::-1]))
print(f"from 500 to 1,000 sweeps {moved:.1%} of pixels change; two chains differ in {apart:.1%}")
assert 0.75 < moved / apart < 1
figure, axis = plt.subplots(figsize=(9, 7), dpi=110)
plotting.image_grid(axis, frames.reshape(-1, 28, 28), columns=len(snapshots))
axis.set_axis_on()
axis.set_xticks(29 * np.arange(len(snapshots)) + 14.5, snapshots)
axis.set_yticks([])
axis.spines[:].set_visible(False)
label(axis, "Eight chains that start from fair coins", "sweeps", "")
plt.show()

# %% name="filters" alt="The 96 hidden units' columns of the kernel as small pictures, blue for positive and red for negative weights: many have one dark spot or short stroke, others only faint patterns."
figure, axis = plt.subplots(figsize=(10, 4))
plotting.image_grid(axis, digits.kernel.numpy().T.reshape(-1, 28, 28), columns=16)
picture, limit = axis.images[0], np.abs(digits.kernel.numpy()).max()
picture.set(
    cmap=plt.colormaps["RdBu"].resampled(21).with_extremes(bad="white"), clim=(-limit, limit)
)
figure.colorbar(picture, ax=axis, label="$W_{ij}$ (nats)", shrink=0.8, pad=0.02)
axis.set_title("What each of the 96 hidden units looks for")
plt.show()

# %% [markdown]
# Each small picture is the column of $W$ that belongs to one hidden unit: ink on the blue pixels turns the unit on,
# ink on the red ones turns it off.
#
# %% [markdown]
# ## 3. When it fails: features of a short training
#
# The labels have played no part so far. Are the hidden units'
# means (B8) a better description of a digit than its pixels? Take a few labelled images only, train
# a logistic regression on pixels and one on `hidden_mean`, with the same settings, and test on 1,000 images
# that neither has seen. Ten draws of the labelled images give the error bar of the difference.
# **Predict first**: after which of the two trainings do the hidden units win?


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


# %% name="labels-log"
def print_gains(number, pixels, *trained):
    """The accuracy from pixels, and how far the hidden units of each training exceed it."""
    print(f"{number} labels: pixels {pixels.mean():.1f} %")
    for name, rows in zip(("short", "long"), trained, strict=True):
        gain = rows - pixels
        standard_error = gain.std(ddof=1) / np.sqrt(num_draws)
        print(f"    {name} training: hidden units {rows.mean():.1f} %", end=", ")
        print(f"difference {gain.mean():+.1f} +- {standard_error:.1f} points")


scores = np.stack([accuracies(number) for number in num_labelled], axis=1)
for index, number in enumerate(num_labelled):
    print_gains(number, *scores[:, index])

# %% name="labels" alt="Test accuracy for 50, 100 and 300 labels. Hidden units after long training are best, from 64 to 83 %; pixels go from 59 to 81 %; hidden units after short training are the worst, 56 to 72 %."
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

# %% name="weaker-penalty"
print("with C = 100, a penalty a hundred times weaker:")
weaker = np.stack([accuracies(number, inverse_penalty=100.0) for number in num_labelled], axis=1)
for index, number in enumerate(num_labelled):
    print_gains(number, *weaker[:, index])
print(f"each at the better of the two penalties, {num_labelled} labels:")
for name, row in zip(representations, np.maximum(scores.mean(2), weaker.mean(2)), strict=True):
    print(f"    {name}: {row.round(1)} %")

# %%
short, long = (scores[1:] - scores[0]).mean(axis=2)  # gains by number of labels, points
weak_short, weak_long = (weaker[1:] - weaker[0]).mean(axis=2)
pixels, better_short, better_long = np.maximum(scores.mean(2), weaker.mean(2))
assert np.all(long > 1.5) and 1.5 < long[0] / long[2] < 3
assert np.all(short < -1.5) and np.argmin(short) == 2 and short[2] < 1.8 * short[0]
assert np.all(weak_long > 0) and 0.2 < weak_long[2] / long[2] < 0.85
assert np.all(weak_short < -1) and 0.4 < weak_short[2] / short[2] < 0.7
assert np.all(abs(better_long - pixels - 2.75) < 1.25) and np.all(
    abs(pixels - better_short - 4.5) < 1
)

# %% [markdown]
# It depends on how long the RBM was trained.
#
# - After the *long* training its features win for each number of labels, and by most where labels are
#   scarce: by twice as much at 50 labels as at 300. What the RBM learned from unlabelled images stands in for labels.
# - After the *short* training they lose against the pixels for each number, and by most at 300 labels.
# - A penalty a hundred times weaker changes none of the signs. At 300 labels it takes away about half of both
#   distances.
# - With each at the better of the two penalties, long training is two to four points above the pixels, and short
#   training four to five below.
#
# Three cautions. The pixels here are binary. A difference of a few points on this small test set says
# little about other data, and the better penalty was picked on it. And it is one RBM, trained once.
#
# %% [markdown]
# ## 4. Summary
#
# - Relabelling the pixels (1.1) leaves all probabilities as they are. The plain gradient does not respect it (1.2).
# - Offsets on both layers (1.3) lead to the centred gradient (1.4). It has the same zeros, goes uphill, and
#   treats both conventions alike (1.5).
# - Differences of $\ln p$ need no $Z$ (2.1): compare the free energies of training data, test data and samples.
# - Hidden units can be better features than pixels where labels are few. Whether they are depends on the training, and
#   by how much on the classifier's penalty too, so try more than one of each.
#
# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **Half in negative.** Relabel only some of the pixels, those where `mask` is 1. Write the function
#    `relabelled(mask, kernel, visible_bias, hidden_bias)` that returns the parameters of a machine which
#    gives every relabelled image the probability of the original. Check it for `half`, the first four pixels, and two machines
#    of 64-bit numbers: `original`, with the parameters `values`, and `flipped`. By which constant do the energies differ
#    (`constant`)?
# 2. *(medium)* **Uphill.** Write (1.4) as $\Delta\theta = P\, \nabla L$ with a 69 × 69 matrix $P$. Check
#    that $P$ is symmetric and positive definite, and find its eigenvalues for $\mu = \lambda = 0$
#    and for the offsets of section 1 (`P`: the two matrices). What is its determinant, and why?
#    Is $P\, \nabla L$ the gradient of some function? (`asymmetry`: $|J - J^{\!\top}| / |J|$ of the Jacobian $J$, first that
#    of $\nabla L$, then that of $P\, \nabla L$ at fixed offsets.)
# 3. *(hard)* **Why centring helps.** How fast gradient ascent converges is a question of the *condition number*, the
#    largest eigenvalue of the curvature by the smallest. For $-\ln Z$ the curvature is minus the covariance of
#    $(v_i h_j, v_i, h_j)$, (4.3) of chapter 4. Show that in the coordinates $(W, \tilde a, \tilde b)$ it is that of
#    $((v_i - \mu_i)(h_j - \lambda_j), v_i, h_j)$. Show that this matrix is diagonal if $W = 0$ and the offsets are the
#    model's means. Compute both condition numbers for the machine `values` with its kernel
#    times 0, ½ and 1 (`plain_conditions`, `centred_conditions`).
#
# The solutions are in the cells below, folded: click on one to open it.


# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. Where the mask is 1, v_i = 1 - v_i': a_i v_i = a_i - a_i v_i', and W_ij v_i h_j = W_ij h_j - W_ij v_i' h_j. So a_i
# and the row W_i change sign, b_j gains W_ij, and E = E' - sum of a_i over the mask. All 1 gives (1.1).
def relabelled(mask, kernel, visible_bias, hidden_bias):
    sign = 1 - 2 * mask
    return sign[:, np.newaxis] * kernel, sign * visible_bias, hidden_bias + mask @ kernel


half = np.array([1.0, 1, 1, 1, 0, 0, 0, 0, 0])
constant = half @ values[1]  # E' - E, nats
original = BernoulliRBM.from_parameters(*values, dtype="float64")
flipped = BernoulliRBM.from_parameters(*relabelled(half, *values), dtype="float64")
check(flipped.free_energy(abs(data - half)) - original.free_energy(data), constant)
check(enumeration.log_z(original) - enumeration.log_z(flipped), constant)
check(relabelled(np.ones(9), *values)[2], mirrored(*values)[2])

# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. theta~ = R theta is a~ = a + W lambda, b~ = b + W^T mu: R is the unit matrix plus entries that take
# W to the biases, so it is triangular with ones on the diagonal. det R = 1, and det P = det(R)^-2 = 1.
P = []
for name, x, y in (("zero offsets", 0 * mu, 0 * lam), ("offsets of section 1", mu, lam)):
    R = np.eye(69)
    R[54:63, :54] = np.kron(np.eye(9), y)  # a~_i = a_i + sum_j W_ij lambda_j
    R[63:, :54] = np.kron(x, np.eye(6))  # b~_j = b_j + sum_i mu_i W_ij
    P.append(np.linalg.inv(R) @ np.linalg.inv(R).T)
    lowest, *_, highest = np.linalg.eigvalsh(P[-1])
    print(f"2. {name}: eigenvalues of P from {lowest:.4f} to {highest:.4f}")
check(P[0], np.eye(69))
check(P[1] @ np.hstack([*map(np.ravel, plain)]), np.hstack([*map(np.ravel, centred)]))  # (1.4)
check(P[1], P[1].T)
assert np.linalg.eigvalsh(P[1])[0] > 0 and abs(np.linalg.det(P[1]) - 1) < 1e-10

# %% jupyter={"source_hidden": true} tags=["solution"]
# 2, continued. The plain gradient has a symmetric Jacobian, P times it has not: uphill on L, but the gradient of nothing.
start, moved = np.hstack([*map(np.ravel, values)]), machine(values, black, False)


def gradient(theta):
    split = theta[:54].reshape(9, 6), theta[54:63], theta[63:]
    for weight, value in zip(moved.trainable_variables, split, strict=True):
        weight.assign(value)
    return np.hstack([*map(np.ravel, ascent(moved, black))])


jacobian = np.array([gradient(start + d) - gradient(start - d) for d in 1e-4 * np.eye(69)]) / 2e-4
asymmetry = [np.linalg.norm(x - x.T) / np.linalg.norm(x) for x in (jacobian, P[1] @ jacobian)]
print(f"2. |J - J^T| / |J|: plain {asymmetry[0]:.1e}, centred {asymmetry[1]:.3f}")
check(asymmetry, [0.0, 0.9073], 1e-3)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. E = -theta~ . phi~ with phi~ = ((v - mu)(h - lambda), v - mu, h - lambda): as in (4.3) of chapter 4 the curvature is
# minus the covariance of phi~. At W = 0 all units are independent, with mean 0 after centring: in the covariance of two
# different components a factor of mean 0 stands alone. On the diagonal are the variances c_i d_j, c_i and d_j.
def condition(p, x, y):  # of the probabilities of all 2^15 states, and offsets
    products = (all_v - x)[:, :, np.newaxis] * (all_h - y)[:, np.newaxis]
    phi = np.hstack([products.reshape(-1, 54), all_v, all_h])
    lowest, *_, highest = np.linalg.eigvalsh(np.cov(phi.T, aweights=p, bias=True))
    return highest / lowest


# %% jupyter={"source_hidden": true} tags=["solution"]
states, hidden = (np.array([*itertools.product([0.0, 1.0], repeat=n)]) for n in (9, 6))
all_v, all_h = np.repeat(states, 64, axis=0), np.tile(hidden, (512, 1))
plain_conditions, centred_conditions = [], []
for factor in (0, 0.5, 1):
    log_p = (
        all_v @ values[1] + all_h @ values[2] + factor * np.sum(all_v @ values[0] * all_h, axis=1)
    )
    p = np.exp(log_p - np.logaddexp.reduce(log_p))
    plain_conditions.append(condition(p, 0, 0))
    centred_conditions.append(condition(p, p @ all_v, p @ all_h))
print("3. plain:", np.round(plain_conditions, 1), "centred:", np.round(centred_conditions, 1))
check(plain_conditions, [124.87, 435.99, 12657.8], 1e-3)
check(centred_conditions, [5.575, 25.299, 780.68], 1e-3)
