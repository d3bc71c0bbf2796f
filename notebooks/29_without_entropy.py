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
# # Chapter 29: What breaks without entropy
#
# A deterministic autoencoder is a variational autoencoder (VAE) at temperature zero: energy without entropy. It is
# said not to generate, because its codes leave holes. Guess, in nats: by how much is the exact
# $\ln p(x)$ of new digits lower without entropy, with two latent variables, and almost without, with eight?
#
# **What you will do**
#
# - take convolutional VAEs of digits, trained at five temperatures, and measure their energy, their
#   entropy and what their samples are worth;
# - count the holes in their priors, in two dimensions and in eight;
# - improve an autoencoder for ever without changing what it does.
#
# **What you will learn**
#
# - why holes are unavoidable as $T \to 0$ (a bound by $\ln N$), and why a loose bound is not yet a bad model;
# - what an autoencoder lacks as a generative model, what that costs in nats, and where it costs nothing;
# - what the first few degrees above zero do: a penalty on the curvature of the energy.
#
# **What you need**: [chapter 28, sections 3 to 5](28_deterministic_limit.ipynb), above all the loss (B32) at temperature
# $T$; the exact evidence on a grid ([chapter 23, section 3](23_exact_evidence.ipynb)).
#
# **Time**: about 52 minutes, and 95 for the exercises. The code runs in about 25 seconds, and
# some minutes longer where it trains the seven models of digits anew.
#
# Equation numbers such as (B32) are the row names used in the whole course and in the table
# `EQUATIONS.md`; numbers such as (2.1) are steps on the way. Energies, rates and log-likelihoods
# are in nats, temperatures are pure numbers.

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
from scipy import optimize, special, stats
from sklearn.mixture import GaussianMixture

from rbm_tf import course, datasets, plotting
from rbm_tf.course import check, label
from vae_keras import VAE, NegativeLogLikelihood, evidence, layers, networks, parts

# %%
seed = 0
temperatures = (3.0, 1.0, 0.3, 0.03, 0.0)  # of the digits' models
many_latents, num_few = 8, 50  # of two more models in section 3, and of the test images there
num_epochs, batch_size, latent_dim, filters = 80, 100, 2, (16, 32)
num_draws = 5  # of the noise, for each image
grid_points, grid_edge = 141, 5.0  # of the latent plane, for exact ln p(x)
retrain = bool(os.environ.get("RETRAIN"))  # True: train the digits' models here, some minutes
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 96}])
ink = plt.rcParams["text.color"]


# %%
def log_normal(z):
    """ln N(z; 0, I), z (num, dim)."""
    return stats.norm.logpdf(z).sum(axis=-1)


# %% [markdown]
# ## 1. Digits, at five temperatures
#
# At temperature $T$ a code is $z = \mu + \sqrt T \sigma \epsilon$, and chapter 28 found the loss (B32)
#
# $$L_T = \big\langle -\ln p(x|z) \big\rangle_q
#   {} + \tfrac12 \sum_j \mu_j^2
#   {} + \tfrac{T}{2} \sum_j \big( \sigma_j^2 - 1 - \ln \sigma_j^2 \big) = D + T R , \tag{1.1}$$
#
# a distortion plus $T$ times a rate, with minus the ELBO at $T = 1$ and the loss of an autoencoder at $T = 0$. Here is a
# convolutional VAE with two latent variables, trained at each temperature from the same
# initial weights. The trained weights come with the course; `retrain = True` above trains them in front of you.

# %%
(x_train, y_train), (x_test, _) = datasets.load_digits("bernoulli", seed=seed)
nll = NegativeLogLikelihood(parts.Bernoulli())


def build(temperature, num_latents):
    keras.utils.set_random_seed(seed)
    encoder = networks.conv_encoder(x_train.shape[1:], num_latents, filters=filters)
    decoder = networks.conv_decoder(x_train.shape[1:], num_latents, filters=filters[::-1])
    return VAE(encoder, decoder, temperature=temperature, seed=seed)


# %%
def train(temperature, num_latents=latent_dim):
    """A model with its shipped weights; where there are none, or on demand, trained here."""
    model = build(temperature, num_latents)

    def fit():
        model.compile(keras.optimizers.Adam(3e-3), jit_compile=False, steps_per_execution=5)
        model.fit(x_train, batch_size=batch_size, epochs=num_epochs, verbose=0)

    course.trained(model, f"limit_{num_latents}_latents_T_{temperature}", fit, retrain=retrain)
    return model


# %% name="reconstructions" alt="Twenty test digits, and their grey reconstructions at T = 1, 0.03 and 0: blurred at all three, a little sharper at the lower temperatures."
models, shown = {T: train(T) for T in temperatures}, (1.0, 0.03, 0.0)
figure, axes = plt.subplots(len(shown) + 1, 1, figsize=(9, 3.4))
plotting.image_grid(axes[0], x_test[:20], columns=20).set_title("Test images")
for T, axis in zip(shown, axes[1:], strict=True):
    plotting.image_grid(axis, models[T].reconstruct(x_test[:20]), columns=20)
    axis.set_title(f"Reconstructed at T = {T}")
plt.show()

# %% [markdown]
# We measure the parts of (1.1).


# %%
def terms(model, x, num_draws=num_draws):
    """Mean distortion, <|z|^2> and mean ln sigma^2 summed over j: the ingredients of (1.1)."""
    mean, log_var = (np.asarray(a) for a in model.encode(x))
    noise = np.random.default_rng(seed).normal(size=(num_draws, *mean.shape))
    width = np.sqrt(model.temperature) * np.exp(log_var / 2)
    cost = [np.mean(nll.call(x, model.decoder(mean + width * eps))) for eps in noise]
    moment = np.sum(mean**2 + width**2, axis=1).mean()
    return np.mean(cost), moment, np.sum(log_var, axis=1).mean()


# %% name="equipartition"
before = {T: terms(model, x_train) for T, model in models.items()}
for T, (distortion, moment, _) in before.items():
    ratio = f"{moment / (latent_dim * T):.3f}" if T else "-"
    print(f"T = {T:4.2f}: training distortion {distortion:7.3f} nats,", end=" ")
    print(f"<|z|^2> = {moment:.4f}, <|z|^2> / (J T) = {ratio}")

# %% [markdown]
# The last column should be 1 at the optimum, by equipartition (4.4) of chapter 28. At low temperatures it is above 1:
# training has not finished. But the rest of that way is known. Rescale by the best factor of (4.3) of chapter 28,
#
# $$c^2 = \frac{\langle |z|^2 \rangle}{J T} , \qquad
#   L_T(1) - L_T(c) = \tfrac{J T}{2} \big( c^2 - 1 - \ln c^2 \big) \ge 0 , \tag{1.2}$$
#
# by dividing $\mu$ and $\sigma$ by $c$ and multiplying the first weights of the decoder by $c$.


# %%
def rescale(model, c):
    """Divide the codes by c, and let the decoder undo it (4.3) of chapter 28."""
    mean, log_var = (model.encoder.get_layer(name) for name in ("mean", "log_var"))
    mean.set_weights([w / c for w in mean.get_weights()])
    kernel, bias = log_var.get_weights()
    log_var.set_weights([kernel, bias - 2 * np.log(c)])
    kernel, bias = model.decoder.layers[1].get_weights()
    model.decoder.layers[1].set_weights([c * kernel, bias])


def loss_of(ingredients, temperature):
    distortion, moment, log_var = ingredients
    return distortion + 0.5 * (moment - temperature * (latent_dim + log_var))


# %%
for T in temperatures[:-1]:
    c = np.sqrt(before[T][1] / (latent_dim * T))
    rescale(models[T], c)
    after = terms(models[T], x_train)
    gain = loss_of(before[T], T) - loss_of(after, T)
    check(gain, latent_dim * T / 2 * (c**2 - 1 - np.log(c**2)), tolerance=1e-3)  # (1.2)
    check(after[1], latent_dim * T, tolerance=1e-3)  # (4.4) of chapter 28
    print(f"T = {T:4.2f}: c = {c:.3f}, gain {gain:.4f} nats")

# %% name="rate-and-bound"
results, warm = {T: terms(m, x_test, num_draws=20) for T, m in models.items()}, temperatures[:-1]
test_distortions = np.array([results[T][0] for T in warm])
test_rates = np.array([(loss_of(results[T], T) - results[T][0]) / T for T in warm])  # (1.1)
for T, R, distortion in zip(warm, test_rates, test_distortions, strict=True):
    print(f"T = {T:4.2f}: rate {R:7.4f}, distortion {distortion:8.4f},", end=" ")
    print(f"L_T {distortion + T * R:8.4f}, bound on ln p(x): {-distortion - R:9.4f} nats")
print(f"T = 0.00: distortion {results[0.0][0]:.4f} nats; training {before[0.0][0]:.4f}")
assert np.all(np.diff(test_rates) > 0) and np.all(np.diff([b[0] for b in before.values()]) < 0)
cold_distortions = [results[T][0] for T in (0.3, 0.03, 0.0)]
assert np.ptp(cold_distortions) < 1 < test_distortions[0] - test_distortions[1]
assert warm[np.argmax(-test_distortions - test_rates)] == 1.0
saved = -np.diff(test_distortions) / np.diff(test_rates)  # nats of distortion for a nat of rate
assert abs(saved[0] - 2) < 0.3 and abs(saved[1] - 0.5) < 0.1

# %% name="digits-rate-distortion" alt="Digits. Left: as T falls from 3 to 0.03 the rate rises and the test distortion falls, then stays. Right: distortion against rate, with lines of slope minus T through the four points."
figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.6))
free = test_distortions + np.array(warm) * test_rates
axes[0].semilogx(warm, test_distortions, "o-", color=orange, label="distortion $D$")
axes[0].semilogx(warm, free, "o-", color=blue, label="$L_T = D + T R$")
axes[0].semilogx(warm, test_rates, "o-", color=green, label="rate $R$")
axes[0].axhline(results[0.0][0], color=orange, ls=":", label="distortion at $T = 0$")
label(axes[0], "Digits, convolutional VAE, test images", "temperature $T$", "nats per image")
axes[0].legend()
axes[1].plot(test_rates, test_distortions, "o", color=purple)
for T, R, distortion in zip(warm, test_rates, test_distortions, strict=True):
    ends = np.array([-0.8, 0.8])
    axes[1].plot(R + ends, distortion - T * ends, color=grey, lw=1)
    axes[1].annotate(f"T = {T}", (R, distortion), xytext=(5, 6), textcoords="offset points")
label(axes[1], "Lines: slope $-T$", "rate (nats)", "distortion (nats)")
plt.show()

# %% [markdown]
# Cooling raises the rate. At $T = 3$ the code says almost nothing, a collapse as in section 5 of chapter 28; on
# the way to $T = 1$ every nat that it says saves about two nats of distortion, from there to $T =
# 0.3$ about half a nat. On the *training* images the distortion falls with every step of cooling (printed before
# (1.2)). On the test images it hardly changes any more below $T = 0.3$: the three coldest models lie within a nat of each
# other. Whether their order means anything, one
# training at each temperature cannot say.
#
# The last column is the ELBO of the model whose prior is $N(0, T)$, $-D - R$. It is best at $T =
# 1$. That is no accident: only there is it what training maximises.
#

# %% [markdown]
# ## 2. What breaks without entropy
#
# To draw an image, take $z$ from a prior and decode it. Which prior? In the units of section 4 of chapter 28 it
# is $z' \sim N(0, I)$, that is $z \sim N(0, T)$. The decoder has learned what to do where the codes
# of the training images are, so what matters is whether the *aggregate posterior* $q(z) = \frac1N
# \sum_n q(z|x_n)$ covers that prior. Average the rate over the training images and split the
# logarithm:
#
# $$R = \underbrace{\Big\langle \ln \frac{q(z|x_n)}{q(z)} \Big\rangle}_{I \;\le\; \ln N}
#   {} + \underbrace{\mathrm{KL}\big( q(z) \,\|\, p(z) \big)}_{\text{mismatch}} . \tag{2.1}$$
#
# The first term is the information that a code has about which image it came from. It cannot exceed
# $\ln N$, because $q(z) \ge q(z|x_n) / N$ for every $z$. But $R$ grows without limit as $T \to 0$,
# like the rate (5.4) of chapter 28. So
#
# $$\mathrm{KL}\big( q(z) \,\|\, p(z) \big) \;\ge\; R - \ln N \;\to\; \infty : \tag{2.2}$$
#
# without entropy, the aggregate posterior falls apart into $N$ points, and nearly all of the plane
# is a hole. Four numbers tell how far it has gone: the terms of (2.1); the share of the prior's
# draws that fall into a hole, say where $q(z)$ is below a tenth of $p(z)$; and the exact $\ln p(x)$
# of test images, on a grid of the plane as in chapter 23, section 3.
#
# **Check against the exact result**: each sample of $\ln q(z|x_n) / q(z)$ is at most $\ln N$; and
# $-D - R$ is a bound on the exact $\ln p(x)$.


# %%
def log_aggregate(z, mean, log_var):
    """ln q(z), mixture over the training images, for z (num, 2); mean, log_var (N, 2)."""
    square = (z[:, None] - mean) ** 2 * np.exp(-log_var) + log_var + np.log(2 * np.pi)
    return special.logsumexp(-0.5 * square.sum(axis=-1), axis=1) - np.log(len(mean))


def information_and_holes(model):
    """I and KL of (2.1) in nats, and the share of prior draws in a hole; units of the prior."""
    mean, log_var = (np.asarray(a, float) for a in model.encode(x_train))
    noise = np.random.default_rng(seed).normal(size=(2, *mean.shape))
    z = (mean := mean / np.sqrt(model.temperature)) + np.exp(log_var / 2) * noise[0]
    ratio = log_normal(noise[0]) - log_var.sum(1) / 2 - (log_q := log_aggregate(z, mean, log_var))
    hole = log_aggregate(noise[1], mean, log_var) < log_normal(noise[1]) - np.log(10)
    return ratio, log_q - log_normal(z), hole.mean()


# %%
side = np.linspace(-grid_edge, grid_edge, grid_points)
plane = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
cell = (side[1] - side[0]) ** 2


def evidence_on_grid(model, scale, every=1, log_prior=log_normal):
    """ln p(x) of the test images for z = scale * z', z' ~ exp(log_prior), nats."""
    grid = plane[::every].astype("float32")
    logits = np.asarray(model.decoder.predict(scale * grid, batch_size=8192, verbose=0), float)
    logits = logits.reshape(len(grid), -1)
    log_weight = log_prior(grid) + np.log(cell * every)
    log_weight -= np.logaddexp(0, logits).sum(1)
    images = np.array_split(x_test.reshape(len(x_test), -1), 6)
    sums = [special.logsumexp(logits @ few.T + log_weight[:, None], axis=0) for few in images]
    return np.concatenate(sums)


# %% name="holes"
spread = {T: np.sqrt(T) for T in warm}
spread[0.0] = float(np.std(models[0.0].encode(x_train)[0]))  # no thermal length at T = 0
log_p = {T: evidence_on_grid(model, spread[T]) for T, model in models.items()}
aggregates, looseness = [], []
for T, R, distortion in zip(warm, test_rates, test_distortions, strict=True):
    ratio, mismatch, hole = information_and_holes(models[T])
    assert ratio.max() <= np.log(len(x_train)) + 1e-6  # (2.2), of each sample
    aggregates.append([ratio.mean(), mismatch.mean(), hole])
    looseness.append(log_p[T].mean() + distortion + R)  # how far -D - R is below ln p(x)
    assert (distortion + T * R > -log_p[T].mean() - 0.1) == (T >= 1)  # L_T is no bound below T = 1
    print(f"T = {T:4.2f}: I {ratio.mean():6.3f}, KL(q(z) || p(z)) {mismatch.mean():6.3f},", end=" ")
    print(f"holes {hole:6.1%}, ln p(x) {log_p[T].mean():8.3f} nats")
unit = evidence_on_grid(models[0.0], 1.0).mean()
print(f"T = 0.00: ln p(x) {log_p[0.0].mean():.3f} with a fitted prior, {unit:.3f} with N(0, I)")

# %%
assert looseness[0] > -0.1 and np.all(np.diff(looseness) > 0.5)  # -0.1: noise of the draws, grid
assert np.all(np.diff(aggregates, axis=0) > 0)  # information, mismatch and holes grow
assert aggregates[-1][0] > 6 and abs(aggregates[-1][2] - 0.25) < 0.1
means = [log_p[T].mean() for T in temperatures[1:]]  # from T = 1 down
assert max(means) == log_p[0.3].mean() and log_p[0.0].mean() - unit > 2 * np.ptp(means)

# %% name="evidence-differences"
for T in (0.3, 0.03, 0.0):
    difference = log_p[T] - log_p[1.0]  # image by image
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    print(f"T = {T:4.2f}: ln p(x) {difference.mean():+.3f} +- {error:.3f} nats above T = 1")
    assert abs(difference.mean()) < 0.4
    assert (difference.mean() > 4 * error) == (T == 0.3)  # the others are about as good as T = 1
coldest = warm[-1]
half = evidence_on_grid(models[coldest], spread[coldest], every=2)
assert np.max(np.abs(half - log_p[coldest])) < 0.05  # half of the points will do
print(f"half of the grid's points change ln p(x) by {np.max(np.abs(half - log_p[coldest])):.4f}")

# %% name="codes-and-draws" alt="Codes of the training images at T = 1, 0.03 and 0: each cloud covers most of its prior's circles, the colder ones reach further out. Below, digits decoded from draws of that prior, about equally readable."
figure, axes = plt.subplots(2, 3, figsize=(11, 5.2), height_ratios=(2.2, 1))
angle = np.linspace(0, 2 * np.pi, 100)
draws = np.random.default_rng(seed).normal(size=(30, latent_dim)).astype("float32")
for T, (top, bottom) in zip(shown, axes.T, strict=True):
    codes = np.asarray(models[T].encode(x_train)[0]) / spread[T]
    dots = top.scatter(*codes.T, s=4, c=y_train, cmap="tab10")
    for radius in (1, 2):
        top.plot(radius * np.cos(angle), radius * np.sin(angle), color=ink, lw=0.8)
    top.set(xlim=(-4, 4), ylim=(-4, 4), aspect="equal")
    label(top, f"Codes at T = {T}, prior's circles", "$z_1'$", "$z_2'$")
    plotting.image_grid(bottom, models[T].decode(spread[T] * draws), columns=10)
    bottom.set_title("Draws from that prior")
axes[0, 2].legend(*dots.legend_elements(num=10), loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %% [markdown]
# Look at the numbers before the picture. The colder the model, the more its codes tell about which
# training image they came from, more than 6 of at most $\ln N = 7.27$ nats at $T = 0.03$; the mismatch grows,
# and about a quarter of the prior lies in holes. Yet from $T = 1$ down the exact $\ln p(x)$ hardly changes.
# The best of these is not the VAE at $T = 1$ but the one at $T = 0.3$, by about a quarter of a nat; of five more trainings of
# both, three say 0.2 to 0.3, two next to nothing. And the autoencoder, with a prior whose one scale was fitted to its
# codes afterwards (the first value printed for $T = 0$), is about as good a model as the VAE. So with two latent
# variables an autoencoder *does* generate. The picture agrees. Each dot is a training image, its colour the digit, and the
# circles are one and two standard deviations of the prior. The clouds cover most of the circles at
# all three temperatures. The two colder ones also reach further out, and leave some gaps.
#
# What has gone is *knowledge* of the model about itself, in two respects. The bound $-D - R$ falls
# further and further below the true $\ln p(x)$. (The loss $L_T$ is no bound at all below $T = 1$: there it is less than
# $-\ln p(x)$.) And the deterministic autoencoder knows no prior: that value
# needed the fitted scale. With the $N(0, I)$ that its penalty seems to announce, $\ln p(x)$ is far lower (the second
# value), by more than the models from $T = 1$ down differ among themselves.

# %% [markdown]
# ## 3. More latent variables, nothing but holes
#
# Two dimensions are kind. In $J$ dimensions $N$ points cover less and less, and the bound (2.2)
# says when: the rate of (5.4) of chapter 28 grows by $\frac12 \ln (1/T)$ for *each* latent variable that is on,
# and $\ln N$ not at all (exercise 4). Two more models come with the course. They have eight latent variables
# and were trained at $T = 1$ and $T = 0.03$.
#
# $\ln p(x)$ can no longer be had from a grid. Several weights bound it from below ((2.1) of chapter 26,
# averaged over the images), with any proposal. A cold $q$ is a bad one, so try it with its width multiplied by 1,
# 2, 4 and 6, never wider than the prior. The highest bound is the best.

# %% name="crowded"
crowded, in_holes = {T: train(T, many_latents) for T in (1.0, 0.03)}, []
x_few = x_test[:num_few]
for T, model in crowded.items():
    moment = terms(model, x_train, num_draws=1)[1]
    rescale(model, np.sqrt(moment / (many_latents * T)))  # (4.4) of chapter 28
    ratio, mismatch, hole = information_and_holes(model)
    mean, log_var = model.encode(x_train)
    rates = np.asarray(layers.GaussianKL()((mean / np.sqrt(T), log_var)))  # (B30)
    R, difference = rates.mean(), ratio + mismatch - rates
    error = difference.std() / np.sqrt(len(x_train))
    assert abs(difference.mean()) < 5 * error  # (2.1)
    in_holes.append([R / np.log(len(x_train)), hole])
    print(f"T = {T:4.2f}: rate {R:6.3f}, I {ratio.mean():6.3f},", end=" ")
    print(f"KL(q(z) || p(z)) {mismatch.mean():6.3f} nats, holes {hole:6.1%}")


# %%
def importance_bound(model, factor, num_samples=100):
    """Mean of ln <w> over x_few, nats; q's width times a factor, prior N(0, T)."""
    mean, log_var = (np.asarray(a, float) for a in model.encode(x_few))
    scale = np.sqrt(model.temperature)
    width = np.minimum(factor * np.exp(log_var / 2), 1.0) if factor > 1 else np.exp(log_var / 2)
    eps = np.random.default_rng(seed).normal(size=(num_samples, *mean.shape))
    z = mean / scale + width * eps  # (num_samples, num_few, many_latents)
    log_q = log_normal(eps) - np.sum(np.log(width), axis=-1)
    logits = model.decoder((scale * z).reshape(-1, many_latents).astype("float32"))
    log_likelihood = -nll.call(np.tile(x_few, (num_samples, 1, 1)), logits)
    log_joint = np.reshape(log_likelihood, log_q.shape) + log_normal(z)
    return np.mean(special.logsumexp(log_joint - log_q, axis=0) - np.log(num_samples))


# %% name="eight-latents" alt="Draws from the prior with eight latent variables: at T = 1 grey digits, most of them readable; at T = 0.03 bold and broken strokes."
bounds = {T: [importance_bound(m, factor) for factor in (1, 2, 4, 6)] for T, m in crowded.items()}
for T, of_widths in bounds.items():
    print(f"T = {T:4.2f}: lower bounds on ln p(x)", np.round(of_widths, 3), "nats")
assert in_holes[1][0] > 3 and in_holes[1][1] > 0.999 and in_holes[0][1] < 0.1
own, wider = bounds[1.0][0] - bounds[0.03][0], bounds[1.0][0] - bounds[0.03][-1]  # below T = 1
assert own > 8 and wider < own / 3 and np.all(np.diff(bounds[0.03]) > 0.3)  # it was still rising
figure, axes = plt.subplots(2, 1, figsize=(9, 2.8))
draws = np.random.default_rng(seed).normal(size=(40, many_latents)).astype("float32")
for (T, model), axis in zip(crowded.items(), axes, strict=True):
    plotting.image_grid(axis, model.decode(np.sqrt(T) * draws), columns=20)
    axis.set_title(f"Eight latent variables, T = {T}: draws from the prior")
plt.show()

# %% [markdown]
# At $T = 0.03$ the rate is three times $\ln N$, so that the mismatch must be large, and it is.
# Every single draw from the prior falls into a hole: the decoder is asked about places where
# nothing was ever decoded. The bound on $\ln p(x)$ from
# its own $q$ is many nats below that of the model at $T = 1$; a much wider proposal recovers most
# of the difference. How much of what is left is the model's, and how much the bound's? The bound was still rising.
# *Annealed importance sampling*
# ([chapter 8, section 4](08_annealing.ipynb))
# needs no proposal. Its chains take about a minute, so that their results
# come with the course, as the weights do.


# %%
def anneal():
    """ln p(x) of x_few for each model and two numbers of betas, (2, 2, num_few), nats."""
    log_z, options = [], {"num_chains": 5, "progress": False, "seed": seed}
    for temperature, model in crowded.items():
        rescale(model, np.sqrt(temperature))  # now the prior is N(0, I): section 4 of chapter 28
        rescaled = VAE(model.encoder, model.decoder, seed=seed)
        walks = [np.linspace(0, 1, number) for number in (101, 201)]
        runs = [evidence.ais(rescaled, x_few, betas=betas, **options) for betas in walks]
        log_z.append([run.log_z for run in runs])
    return {"log_z": log_z}


# %% name="annealed"
annealed = course.shipped("limit_annealed", anneal, retrain=retrain)["log_z"]
for T, rows in zip(crowded, annealed, strict=True):
    for number, log_z in zip((101, 201), rows, strict=True):
        print(f"T = {T:4.2f}, {number} betas: ln p(x) {log_z.mean():.3f} nats")
difference = annealed[1, 1] - annealed[0, 1]
error = difference.std(ddof=1) / np.sqrt(len(difference))
print(f"T = 0.03 minus T = 1: {difference.mean():+.2f} +- {error:.2f} nats, image by image")
assert -3 < difference.mean() < -0.5 and difference.mean() + 2 * error < 0
assert np.all(np.abs(np.mean(annealed[:, 1] - annealed[:, 0], axis=1)) < 0.1)

# %% [markdown]
# Twice as many steps of annealing change each average by less than a tenth of a nat, so that still longer
# walks would change little. (The images are those of the bounds above.) With eight latent variables the cold model *is*
# the worse one, by about one and a half nats, with a standard error of 0.4: far less than the bound from its own
# $q$ says, and unlike the case of two latent variables. An autoencoder's codes are good for retrieval and
# compression. To generate from many of them, it would need a second model for the codes, or entropy from the
# start.
#

# %% [markdown]
# ## 4. When it fails: a penalty that penalises nothing
#
# At $T = 0$ the penalty $\frac12 |\mu|^2$ of (B32) looks like a prior. It is not one. By (4.3) of chapter 28 without
# entropy, $L_0(c) = D + \langle |\mu|^2 \rangle / 2 c^2$: dividing the codes by $c$ and multiplying
# the decoder's first weights by $c$ changes no reconstruction, and for every $c > 1$ it lowers the loss. The
# minimum is never reached: it lies at codes of 0 and weights of infinity, and every training stops on the way.
#
# At any $T > 0$ the noise must shrink with the codes, or it would drown them. By (4.3) of chapter 28 that costs
# $T J \ln c$, which puts an end to it. The entropy is what gives the penalty its meaning.

# %% name="no-minimum"
cold, losses = models[0.0], []
reconstructed = np.asarray(cold.reconstruct(x_test))
for _ in range(4):
    losses.append(loss_of(terms(cold, x_test, num_draws=1), 0.0))
    rescale(cold, 3.0)
    check(cold.reconstruct(x_test), reconstructed, tolerance=1e-4)
print("T = 0, codes divided by 3 each time:", np.round(losses, 4))
assert np.all(np.diff(losses) < 0)
hot, losses = models[1.0], []
for c in (1.0, 3.0, 3.0, 3.0):
    rescale(hot, c)
    losses.append(loss_of(terms(hot, x_test, num_draws=1), 1.0))
print("T = 1, the same:", np.round(losses, 4))
assert np.all(np.diff(losses) > 0)

# %% [markdown]
# The remedy is not a larger penalty (any factor can be undone) but something that knows of a scale:
# weight decay on the decoder (exercise 2), a bound on its slope, or noise. A VAE has the noise.

# %% [markdown]
# ## 5. Small temperatures: a regularised autoencoder
#
# What do the first few degrees above zero do? Expand the distortion in (B32) in the noise $\sqrt T \sigma
# \epsilon$. The linear term averages to 0, and with $h_j = -\partial^2 \ln p(x|z) / \partial z_j^2$
# at $z = \mu$
#
# $$L_T = -\ln p(x|\mu) + \tfrac12 |\mu|^2
#   {} + \tfrac{T}{2} \sum_j \big[ \sigma_j^2 (1 + h_j) - 1 - \ln \sigma_j^2 \big] + O(T^2) . \tag{5.1}$$
#
# The best width is $\sigma_j^2 = 1 / (1 + h_j)$ if $1 + h_j > 0$, and then the bracket is $\ln (1 + h_j)$: the
# first-order term is $\frac{T}{2} \sum_j \ln (1 + h_j)$. So a cold VAE is an autoencoder with two
# penalties, one on the size of its code and one on the *curvature* of the energy around it. The
# second prefers wide wells, as in section 2 of chapter 28. This is how noise regularises (Bishop 1995).
#
# The **denoising autoencoder** also trains with noise, but puts it elsewhere. It corrupts $x$ and
# leaves the code alone; [chapter 27, section 2](27_score_matching.ipynb) shows that it learns the score of
# the blurred data. The VAE's noise is in $z$,
# and its samples come from the prior. A deterministic autoencoder has neither: its training names no
# distribution to draw from.
#
# **Check against the exact result**: a well $E = 2 z^2 + z^3 + z^4$ in place of the energy, with $E''(0) = 4$ in place of
# $1 + h$. The best Gaussian must leave $\frac T2 \ln 4$ and an error that falls like $T^2$.

# %% name="first-degrees"
nodes, node_weights = np.polynomial.hermite_e.hermegauss(20)


def well_loss(parameters, temperature):
    """<E> - T/2 (1 + ln sigma^2) of N(mean, T sigma^2); parameters: mean, ln sigma."""
    z = parameters[0] + np.sqrt(temperature) * np.exp(parameters[1]) * nodes
    average = node_weights @ (2 * z**2 + z**3 + z**4) / node_weights.sum()
    return average - temperature * (0.5 + parameters[1])


cold = (0.02, 0.01, 0.005)
found = [optimize.minimize(well_loss, (0, 0), args=(T,), tol=1e-12).fun for T in cold]
left = np.array(found) - np.array(cold) / 2 * np.log(4)  # (5.1)
print("per degree:", np.divide(found, cold).round(4), f"ln 2 = {np.log(2):.4f}; left:", left)
assert np.all(np.abs(left[:-1] / left[1:] - 4) < 0.2)  # of second order

# %% [markdown]
# ## 6. Summary
#
# - Cold models say more about their training images and know less about themselves: information, holes and the
#   looseness of the bound all grow, and as $T \to 0$ holes are unavoidable (2.2).
# - With two latent variables that costs no likelihood: the autoencoder with one fitted scale is as good a model as the
#   VAE. With eight, at $T = 0.03$, the prior is nothing but holes, and it does.
# - At $T = 0$ the code penalty alone has no minimum. The entropy gives it its meaning.
# - The first degrees above zero are a penalty on the curvature of the energy (5.1).
# - What happens to an image that is encoded and decoded again and again is in
#   [chapter 42](42_fixed_points.ipynb).

# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **Cooling raises the rate.** Let $(D_1, R_1)$ minimise $D + T_1 R$ over any set of
#    models, and $(D_2, R_2)$ minimise $D + T_2 R$ with $T_2 > T_1$. Show that $R_2 \le R_1$ and
#    $D_2 \ge D_1$, and that $\min (D + T R)$ is a concave function of $T$. Check it on random
#    points: `points` holds $D$ and $R$ of 1,000 models, `warming` equally spaced rising temperatures,
#    `values` the $D + T R$ with a row for each $T$, and `chosen` the index of the best model in each.
# 2. *(easy)* **A penalty with a scale.** Add weight decay $\frac{\kappa}2 |W|^2$ on the decoder's first weights $W$ to the
#    loss of section 4. Which factor $c$ is now the best, and what does the penalty cost there?
#    (`best_scale(moment, squares, decay)` from $\langle |\mu|^2 \rangle$, $|W|^2$ and $\kappa$; `least_penalty` with the
#    same arguments.)
# 3. *(medium)* **Fill the holes.** Fit a mixture of ten Gaussians (`GaussianMixture` of scikit-learn) to the codes of the
#    autoencoder, in units of their standard deviation, and use it as the prior of `evidence_on_grid`. By how much
#    does $\ln p(x)$ of the test images rise above that of the one fitted scale? (`filled`: the $\ln p(x)$ of the test
#    images.)
# 4. *(hard)* **When do points leave holes?** In the linear model of chapter 28, section 5, at its optimum, show
#    that for Gaussian data the aggregate posterior is exactly the prior, at *every* temperature. With $N$ images
#    (2.2) forbids it below which temperature? Measure the information $I$ for critical temperatures
#    17, 8.4 and 3.6. (`hole_temperature(N)`; `information(T, N)` from $N$ random images.)
#
# The solutions are in the cells below, folded: click on one to open it.

# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. D1 + T1 R1 <= D2 + T1 R2 and D2 + T2 R2 <= D1 + T2 R1. Add them: (T2 - T1)(R2 - R1) <= 0.
# Then the first says D2 - D1 >= T1 (R1 - R2) >= 0. For each model D + T R is a straight line in T,
# and the smallest of straight lines is concave.
u, excess = np.random.default_rng(seed).random(size=(2, 1000))
points = np.exp(4 * u - 2) + excess, np.exp(2 - 4 * u) + excess
warming = np.linspace(0.05, 5, 200)
values = points[0] + warming[:, None] * points[1]  # (200, 1000)
chosen = np.argmin(values, axis=1)
assert len(np.unique(chosen)) > 2 and np.all(np.diff(warming) > 0)
check(values, points[0] + warming[:, None] * points[1])
check(values[np.arange(len(warming)), chosen], values.min(axis=1))
assert np.all(np.diff(points[1][chosen]) <= 0) and np.all(np.diff(points[0][chosen]) >= 0)
assert np.all(np.diff(values.min(axis=1), n=2) <= 1e-12)  # concave
print(f"1. {len(np.unique(chosen))} of 1000 models are best at some temperature")


# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. L(c) = D + M / (2 c^2) + k c^2 A / 2, with M = <|mu|^2> and A = |W|^2. Its derivative vanishes at c^4 = M / (k A),
# where each of the two terms is sqrt(k M A) / 2: only the product of M and A counts, which no factor changes.
def best_scale(moment, squares, decay):
    return (moment / (decay * squares)) ** 0.25


def least_penalty(moment, squares, decay):
    return np.sqrt(decay * moment * squares)


check(best_scale(0.2, 30.0, 1e-3), 1.606857, tolerance=1e-5)
check(least_penalty(0.2, 30.0, 1e-3), 0.0774597, tolerance=1e-6)
print(
    f"2. c = {best_scale(0.2, 30.0, 1e-3):.3f}, penalty {least_penalty(0.2, 30.0, 1e-3):.4f} nats"
)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. The decoder is asked only where codes are.
codes = np.asarray(models[0.0].encode(x_train)[0], float)
mixture = GaussianMixture(10, random_state=seed).fit(codes / codes.std())
filled = evidence_on_grid(models[0.0], codes.std(), log_prior=mixture.score_samples)
gain = filled - log_p[0.0]
print(
    f"3. ln p(x) {filled.mean():.3f}, {gain.mean():+.3f} +- {gain.std() / np.sqrt(len(gain)):.3f} nats"
)
assert filled.shape == log_p[0.0].shape and np.mean(filled - log_p[0.0]) > 0.05


# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. In units of the prior the codes' means have the variance 1 - T/T_j and their noise T/T_j (exercise 1 of chapter 28):
# Gaussian data give a Gaussian q(z) of variance 1. So the mismatch is 0 and I = R, at every T. With N images
# I <= ln N, and R = ln N at T = (prod T_j)^(1/J) N^(-2/J).
def hole_temperature(num):
    return np.prod([17.0, 8.4, 3.6]) ** (1 / 3) * num ** (-2 / 3)


def information(temperature, num):
    noise = np.divide(temperature, [17.0, 8.4, 3.6])
    mean, eps = np.random.default_rng(seed).normal(size=(2, num, 3))
    z = (mean := mean * np.sqrt(1 - noise)) + np.sqrt(noise) * eps
    log_var = np.broadcast_to(np.log(noise), mean.shape)
    log_q = log_normal(eps) - log_var.sum(axis=1) / 2
    return np.mean(log_q - log_aggregate(z, mean, log_var))


# %% jupyter={"source_hidden": true} tags=["solution"]
# Far below the temperature of (2.2) the information has stopped at ln N, and each image is an island.
for t in (2.0, 0.3, hole_temperature(1000), 1e-3):
    rate = np.sum(np.log(np.divide([17.0, 8.4, 3.6], t))) / 2
    print(
        f"4. T = {t:.4f}: R {rate:6.3f}, I {information(t, 1000):5.3f} of at most {np.log(1000):.3f}"
    )
check(hole_temperature(1000), 0.0801082, tolerance=1e-6)
assert abs(information(2.0, 1000) - np.sum(np.log(np.divide([17.0, 8.4, 3.6], 2.0))) / 2) < 0.05
assert 0.01 > np.log(1000) - information(1e-3, 1000) > 0
