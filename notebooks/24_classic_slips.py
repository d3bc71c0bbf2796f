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
# # Chapter 24: Classic slips, and an autoencoder
#
# A program that differs from the right one by a word still runs, and its loss still falls. This chapter commits the
# classic slips of Keras VAEs on purpose and reads off what each costs, in nats, because for two latent variables the
# exact $\ln p(x)$ is known. Then it leaves out the noise altogether, which is no slip but another temperature.
# *Guess before you read on: below are test images, pixels drawn from them, and what four programs make of these.
# One program is right, three are wrong by one word. Which row is the right one?*
#
# **What you will do**
#
# - train three wrong programs, and compare what they report with what is true;
# - see a clipped logarithm hide the worst mistakes of a model;
# - turn the temperature down until a deterministic autoencoder is left, and compute its exact $\ln p(x)$.
#
# **What you will learn**
#
# - to recognise five slips, and three habits that catch them;
# - why no honest bound can be better than $\ln p(x)$;
# - what a deterministic autoencoder has to do with temperature zero (B32), and what it lacks as a model.
#
# **What you need**: [chapter 22, sections 2 to 5](22_vae_in_keras.ipynb), for the program and its loss (B32);
# [chapter 23, section 3](23_exact_evidence.ipynb), for the grid.
#
# **Time**: about 48 minutes, and 80 for the exercises. The code runs in half a minute, and in another one
# where it trains its four models anew.
#
# Numbers such as (B30) are rows of the table `EQUATIONS.md`, numbers such as (1.1) steps on the way. Everything is
# in nats.

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
import os

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from keras import ops
from scipy import optimize, special, stats

from rbm_tf import datasets, plotting
from rbm_tf.course import check, trained
from vae_keras import layers, networks

# %%
seed = 0
dataset = "digits"  # 8 x 8 pixels; or "mnist", with retrain = True
num_epochs, batch_size = {"digits": (150, 50), "mnist": (20, 100)}[dataset]
num_test, grid_points = {"digits": (360, 193), "mnist": (60, 321)}[dataset]  # for exact ln p(x)
latent_dim, hidden_units = 2, 256
grid_edge = 6.0  # of the latent plane
retrain = bool(os.environ.get("RETRAIN"))  # True: train all of them here
blue, orange, green, grey = "#0072B2", "#D55E00", "#009E73", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 140}])


# %%
def kl_by_hand(mean, log_var):
    """KL(q || N(0, I)) of each example (B30), nats."""
    return -0.5 * np.sum(1 + log_var - mean**2 - np.exp(log_var), axis=-1)


# %% name="riddle" alt="Six rows of twenty digits: test images, black and white pixels drawn from them, and below each what four programs make of it. Three rows are blurred digits, much alike; in the last row all images are the same grey average."
(x_train, _), (x_test, y_test) = datasets.LOADERS[dataset]("bernoulli", seed=seed)
_, (levels, _) = datasets.LOADERS[dataset]("none")
x_test, y_test = x_test[:num_test], y_test[:num_test]
image_shape, num_pixels = x_test.shape[1:], int(np.prod(x_test.shape[1:]))
shown = [levels[:20], x_test[:20]]
for name in ("slip_2", "2_latents", "slip_3", "slip_1"):
    encoder = networks.dense_encoder(image_shape, latent_dim, hidden_units=(hidden_units,))
    decoder = networks.dense_decoder(image_shape, latent_dim, hidden_units=(hidden_units,))
    x = keras.Input(image_shape)
    program = keras.Model(x, decoder(encoder(x)[0]))  # from the mean of q
    trained(program, f"vae_{dataset}_{name}", lambda: None)  # 2_latents is correct
    shown.append(ops.sigmoid(program(x_test[:20])))
axis = plt.subplots(figsize=(10, 3.5))[1]
plotting.image_grid(axis, np.concatenate(shown), columns=20)
plt.show()

# %% [markdown]
# ## 1. When it fails: the classic slips, in nats
#
# The loss of chapter 22 is the mean over images of a sum over pixels, plus a sum over latent variables,
#
# $$\mathcal{L} = \frac1L \sum_{l=1}^L \big[ R(x^{(l)}) + \mathrm{KL}(x^{(l)}) \big] , \qquad
#   R(x) = -\ln p(x | z = \mu + \sigma \epsilon) , \tag{1.1}$$
#
# with the KL of (B30) there. Each of the following programs differs from it by a word.
#
# **Slip 1: the mean over pixels.** Keras's losses average over the last axis, and their reduction
# over all others, so `BinaryCrossentropy` or `"mse"` gives $R / D$ instead of the sum $R$ over $D$
# pixels. The objective is then
#
# $$\frac{R}{D} + \mathrm{KL} = \frac1D \big( R + D \cdot \mathrm{KL} \big) , \tag{1.2}$$
#
# a KL that is $D$ times too strong (the factor $\frac1D$ does next to nothing under Adam).
#
# **Slip 2: the mean over latent variables.** `ops.mean` in place of `ops.sum` makes it $J$ times
# too weak: $R + \mathrm{KL} / J$.
#
# **Slip 3: $\ln \sigma$ or $\ln \sigma^2$?** The noise is multiplied by $e^{\ln \sigma^2}$,
# forgetting the half, while the KL treats the same number as $\ln \sigma^2$. What is drawn has the
# variance $\sigma^4$, and what is charged is the KL of $\sigma^2$. The loss is the sum of two
# halves of different distributions. It bounds nothing.
#
# Copies of an early VAE tutorial for Keras still have all three. Here is the program of chapter 22 once more, with a
# place for each slip.


# %%
def sample(mean_and_log_var, seed):
    """z = mean + sigma eps (B31)."""
    mean, log_var = mean_and_log_var
    return mean + ops.exp(log_var / 2) * keras.random.normal(ops.shape(mean), seed=seed)


def narrow_sample(mean_and_log_var, seed):
    mean, log_var = mean_and_log_var
    return sample((mean, 2 * log_var), seed)  # exp(log_var) eps instead of exp(log_var / 2) eps


def cross_entropy(x, logits):
    """-ln p(x|z) of each image, (5.2) of chapter 22, nats; Keras averages it over the batch."""
    return ops.sum(ops.softplus(logits) - x * logits, axis=(1, 2))


# %%
class AddGaussianKL(keras.layers.Layer):
    """Adds the batch mean of (B30) to the model's loss; passes its input on."""

    def __init__(self, reduce=ops.sum):  # over latent variables
        super().__init__()
        self.reduce = reduce

    def call(self, mean_and_log_var):
        mean, log_var = mean_and_log_var
        terms = -0.5 * (1 + log_var - ops.square(mean) - ops.exp(log_var))
        self.add_loss(ops.mean(self.reduce(terms, axis=-1)))
        return mean_and_log_var


# %%
def assemble(loss=cross_entropy, reduce=ops.sum, draw=sample, latent_dim=latent_dim):
    """The post's model, compiled, as in section 5 of chapter 22."""
    keras.utils.set_random_seed(seed)  # every program starts from the same weights
    encoder = networks.dense_encoder(image_shape, latent_dim, hidden_units=(hidden_units,))
    decoder = networks.dense_decoder(image_shape, latent_dim, hidden_units=(hidden_units,))
    x, noise = keras.Input(image_shape), {"seed": keras.random.SeedGenerator(seed)}
    sampling = keras.layers.Lambda(draw, output_shape=(latent_dim,), arguments=noise)
    model = keras.Model(x, decoder(sampling(AddGaussianKL(reduce)(encoder(x)))))
    model.compile("adam", loss, jit_compile=False, steps_per_execution=len(x_train) // batch_size)
    return model


# %% [markdown]
# **Check** (1.2) and its relatives before training, with the same weights and the same noise in all programs.

# %%
mean_over_pixels = keras.losses.BinaryCrossentropy(from_logits=True)
slips = {
    "correct": {},
    "1: mean over pixels": {"loss": mean_over_pixels},
    "2: mean over latents": {"reduce": ops.mean},
    "3: ln sigma": {"draw": narrow_sample},
}
batch = x_train[:64]
untrained = {name: assemble(**options) for name, options in slips.items()}
losses = {k: float(m.compute_loss(batch, batch, m(batch))) for k, m in untrained.items()}
encoder, decoder = (untrained["correct"].get_layer(name) for name in ("encoder", "decoder"))

# %%
R, R_narrow = (
    float(ops.mean(cross_entropy(batch, decoder(draw(encoder(batch), noise)))))
    for draw in (sample, narrow_sample)
    for noise in [keras.random.SeedGenerator(seed)]
)
mean_kl = float(ops.mean(layers.GaussianKL()(encoder(batch))))
expected = {
    "correct": R + mean_kl,  # (1.1)
    "1: mean over pixels": (R + num_pixels * mean_kl) / num_pixels,  # (1.2)
    "2: mean over latents": R + mean_kl / latent_dim,
    "3: ln sigma": R_narrow + mean_kl,
}
for name, loss in losses.items():
    check(loss, expected[name], tolerance=1e-5)
    print(f"{name:21s} loss of the same weights {loss:.4f}")

# %% [markdown]
# Now train them. The weights of all come with the course. The
# exact $\ln p(x)$, ELBO and KL of each are sums over a grid of the latent plane, (3.1) of chapter 23.

# %%
side, spacing = np.linspace(-grid_edge, grid_edge, grid_points, retstep=True)
grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)  # (num_points, 2)


def log_joint(decoder, x):
    """ln p(x, z) = -E(x, z) of each image at each grid point, (num, num_points), nats."""
    logits = np.reshape(decoder(grid.astype("float32")), (len(grid), -1)).astype(float)
    log_likelihood = x.reshape(len(x), -1) @ logits.T - np.logaddexp(0, logits).sum(axis=1)
    return log_likelihood + stats.norm.logpdf(grid).sum(axis=1)


def log_integral(log_f):
    return special.logsumexp(log_f, axis=1) + 2 * np.log(spacing)


# %%
def exact_averages(mean, log_var, log_f):
    """ELBO, KL and ln p(x) of the test images, means over them; log_f = ln p(x, z) on the grid."""
    first, second = (
        stats.norm.logpdf(side, mean[:, [j]], np.exp(log_var[:, [j]] / 2)) for j in (0, 1)
    )
    log_q = (first[:, np.newaxis] + second[:, :, np.newaxis]).reshape(len(mean), -1)
    elbo = spacing**2 * np.sum(np.exp(log_q) * (log_f - log_q), axis=1)
    log_p = log_integral(log_f)
    assert np.all(elbo < log_p + 1e-4)  # (1.3) of chapter 22, for any q and any decoder
    return elbo.mean(), kl_by_hand(mean, log_var).mean(), log_p.mean()


def encode(model):
    return np.array(model.get_layer("encoder")(x_test), float)  # means and log-variances


# %%
def fit(model, name):
    """Give a model its shipped weights; where there are none, or on demand, train it."""

    def train():
        return model.fit(x_train, x_train, batch_size, num_epochs, verbose=0).history["loss"]

    trained(model, f"vae_{dataset}_{name}", train, retrain=retrain)
    return model


fit(assemble(latent_dim=8), "8_latents")  # for chapter 23, as is the correct one
programs = {
    name: fit(assemble(**options), f"slip_{name[0]}" if options else "2_latents")
    for name, options in slips.items()
}

# %% name="slips"
print("                        loss on   exact values, mean over test images, nats")
print("                      test data     ELBO        KL   ln p(x)")
table = {}  # of each program: loss, ELBO, KL, ln p(x)
for name, program in programs.items():
    loss = program.evaluate(x_test, x_test, verbose=0)
    log_f = log_joint(program.get_layer("decoder"), x_test)
    table[name] = loss, *exact_averages(*encode(program), log_f)
    print(f"{name:21s}", "{:9.3f} {:9.3f} {:8.3f} {:9.3f}".format(*table[name]))
narrow_mean, narrow_log_var = encode(programs["3: ln sigma"])
kl_drawn = kl_by_hand(narrow_mean, 2 * narrow_log_var).mean()  # of the q that draws
elbo_drawn = table[name][2] - loss - kl_drawn  # the loss holds the KL of the other one
print(f"slip 3, for the q that is drawn: ELBO {elbo_drawn:.3f}, KL {kl_drawn:.3f} nats")

# %%
right, collapsed, sharper, narrow = table.values()
model = programs["correct"]
(test_mean, test_log_var), decoder = encode(model), model.get_layer("decoder")
assert collapsed[2] < 0.1 and sharper[2] > right[2] + 0.5
assert sharper[0] < right[0] and sharper[1] < right[1] and abs(sharper[3] - right[3]) < 0.3
assert all(loss < -log_p - 0.2 for loss, _, _, log_p in (sharper, narrow))  # no bound
assert kl_drawn > narrow[2] + 0.5 and elbo_drawn < narrow[3]

# %% name="reported-and-true" alt="For each of four programs a diamond, the loss that it reports, a dot, the exact minus ELBO, and a bar, the exact minus ln p(x). For the correct program and slip 1 the diamond is right of the bar, for slips 2 and 3 left of it."
figure, axis = plt.subplots(figsize=(9, 3))
rows = np.arange(4)[::-1]
reported = np.array([value[0] for value in table.values()]) * [1, num_pixels, 1, 1]
axis.plot(reported, rows, "D", color=orange, ms=9, label="loss that the program reports")
axis.plot([-value[1] for value in table.values()], rows, "o", color=blue, label="exact $-$ELBO")
axis.plot(
    [-value[3] for value in table.values()], rows, "k|", ms=22, mew=2, label=r"exact $-\ln p(x)$"
)
axis.set_yticks(rows, ["correct", f"slip 1, times {num_pixels}", "slip 2", "slip 3"])
axis.set(xlabel="nats, mean over test images", ylim=(-0.6, 3.6))
axis.legend(bbox_to_anchor=(1, 1), loc="upper left", labelspacing=1.2)
plt.show()

# %% [markdown]
# The *loss* is what the program itself reports, here for the test
# images; only in the first line is it an estimate of minus the ELBO.
#
# - Slip 1 ends in *posterior collapse*: with a KL 64 times too dear the best code is none, $q$ is
#   the prior for every image, and the decoder draws one average digit (the last row of the first picture). The loss
#   per pixel is a small number and means nothing by itself.
# - Slip 2 buys sharper codes. Its loss looks better than that of the correct program (the fourth row of the
#   first picture), its ELBO is worse. The exact $\ln p(x)$ hardly differs, so here it is the bound that suffers, more than
#   the model. That is a legitimate trade if chosen on purpose: it is the $\beta$-VAE of Higgins et al.
#   (2017), with $\beta = \frac12$.
# - Slip 3 works with two distributions. The ELBO and the KL in its line are those of the $q$ that is
#   charged, of variance $\sigma^2$, which is never drawn. The line below the table has the $q$ that is drawn, of
#   variance $\sigma^4$: it is narrower, and its KL is larger than the one that is charged.
# - Slips 2 and 3 report a "free energy" *below* their own $-\ln p(x)$: the diamond is on the wrong side of the bar. No
#   distribution $q$ can do that. A bound that beats the exact answer is an error in the program.
#
# **Slip 4: sigmoid outputs and a clipped logarithm.** If the decoder ends in a sigmoid, the loss
# must take the logarithm of $y$, and Keras clips $y$ to $[10^{-7}, 1 - 10^{-7}]$ to keep it finite.
# A confident mistake then costs at most about 16 nats, and beyond that its gradient is 0: the worst
# pixels stop being corrected. From logits, (5.2) of chapter 22, nothing is clipped. Keras knows about the
# problem: when the sigmoid is the last thing that happened, it goes back to the logits silently. A
# `Reshape` after the sigmoid is enough to hide them.
#
# **Slip 5: the sigmoid twice.** Outputs of a sigmoid given to a loss `from_logits=True` pass
# through a second one, and all probabilities lie between $\frac12$ and $\mathrm{sigm}(1) = 0.73$.
# Nothing warns if a `Reshape` is in between.

# %% name="clipping"
white = tf.zeros((1, 1))
clipped_loss = keras.losses.BinaryCrossentropy()
print("logit of a white pixel    exact cost   slope   clipped cost   slope   (nats)")
for value in (2.0, 10.0, 20.0, 40.0):
    logit = tf.constant([[value]])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logit)
        exact = ops.sum(ops.softplus(logit) - white * logit)  # (5.2) of chapter 22
        probability = ops.reshape(keras.activations.sigmoid(logit), (1, 1))
        clipped = clipped_loss(white, probability)
    slopes = [float(tf.reduce_sum(tape.gradient(cost, logit))) for cost in (exact, clipped)]
    print(f"{value:21.0f} {float(exact):13.4f} {slopes[0]:7.4f}", end=" ")
    print(f"{float(clipped):14.4f} {slopes[1]:7.4f}")
assert clipped < 17 and slopes[1] == 0
check(clipped_loss(white, keras.activations.sigmoid(logit)), exact, tolerance=1e-6)  # rescued

# %% name="clipped-model"
test_logits = decoder(test_mean.astype("float32"))
hidden = []  # nats that clipping hides
for factor in (1, 3, 10):
    exact = cross_entropy(x_test, factor * test_logits).numpy()
    probability = ops.reshape(ops.sigmoid(factor * test_logits), x_test.shape)
    clipped = num_pixels * clipped_loss(x_test, probability)
    print(f"logits x {factor:2d}: {exact.mean():8.3f} nats, clipped {float(clipped):8.3f} nats")
    hidden.append(exact.mean() - float(clipped))
twice = keras.losses.BinaryCrossentropy(from_logits=True)
perfect = num_pixels * float(twice(x_test, ops.convert_to_tensor(x_test)))  # y = x: no error at all
ink = x_test.mean()
floor = num_pixels * (ink * np.log1p(np.exp(-1)) + (1 - ink) * np.log(2))
check(perfect, floor, tolerance=1e-5)
assert dataset != "digits" or (abs(hidden[0]) < 0.01 and hidden[2] > 5 and perfect > -right[1])
print(f"sigmoid twice: a perfect reconstruction costs {perfect:.3f} nats")

# %% [markdown]
# On a moderate model clipping is invisible; on one that is too sure of itself it hides several
# nats, from just those pixels that are most wrong. And with the sigmoid twice, even a flawless
# decoder is charged more than the whole free energy of our model. Three habits catch all five
# slips: keep logits to the end; compare the loss of one batch with the formula written out, for
# equal weights and equal noise, as in section 5 of chapter 22; and check a bound against $\ln p(x)$ wherever
# $\ln p(x)$ is known. The quickest test of all: before training, the reconstruction must cost about
# $D \ln 2$.
#
# %% [markdown]
# ## 2. Turning the temperature down: the deterministic autoencoder
#
# The post asks how all this relates to a deterministic, convolutional autoencoder. The word
# *convolutional* is about the networks and changes no equation (`vae_keras.networks` has both
# kinds). The word *deterministic* is about temperature. Put $T$ back into the free energy (B15),
#
# $$F_T = \langle E(x, z) \rangle_q - T\, S(q) , \qquad q = N\big( \mu, \mathrm{diag}(T \sigma^2) \big) ,
#   \tag{2.1}$$
#
# where the width of the trial has been scaled with $\sqrt T$, as thermal fluctuations do. The
# prior's share of the energy is $\langle -\ln p(z) \rangle_q = \frac12 \sum_j (\mu_j^2 + T
# \sigma_j^2) + \frac J2 \ln 2 \pi$, the entropy is $S = \frac12 \sum_j (1 + \ln 2 \pi T
# \sigma_j^2)$, and so
#
# $$\begin{aligned}
# F_T &= \big\langle -\ln p(x|z) \big\rangle_q + \tfrac12 \sum_j \big[ \mu_j^2
#   + T (\sigma_j^2 - 1 - \ln \sigma_j^2) \big] + \tfrac{J}{2} \big[ \ln 2 \pi - T \ln 2 \pi T \big] , \\
# z &= \mu + \sqrt{T}\, \sigma\, \epsilon .
# \end{aligned} \tag{2.2}$$
#
# At $T = 1$ the last bracket is 0 and the middle one is (B30): this is the VAE. As $T \to 0$ the
# noise disappears, $T S$ goes to 0 (like $T \ln T$, although $S$ itself falls without limit), and what remains is
#
# $$\boxed{\; F_0 = -\ln p\big( x \big| z = \mu(x) \big) + \tfrac12 |\mu(x)|^2 + \text{const} = E\big( x, \mu(x)
#   \big) \;} \tag{B32b}$$
#
# a deterministic autoencoder with a penalty on its code. It looks for the state of lowest energy,
# where the VAE looks for the distribution of lowest *free* energy. The sum over states has not
# cancelled out of such a network, as one might think: $F_T \ge -T \ln \int dz\, e^{-E(x, z) / T}$,
# which tends to $\min_z E(x, z)$ as $T \to 0$. Of the clamped sum only the largest term is left.
#
# **Check against the exact result**: $F_1$ is minus the ELBO, and $F_T$ goes to $E(x, \mu)$ as the
# temperature falls, for the trained VAE. The Keras form of $F_0$ is an ordinary autoencoder with an
# L2 activity regulariser.


# %%
def free_energy(temperature, num_draws=50):
    """F_T of (2.2), mean over the test images, nats; for T = 0, E(x, mean)."""
    noise = np.random.default_rng(seed).normal(size=(num_draws, *test_mean.shape))
    codes = test_mean + np.sqrt(temperature) * np.exp(test_log_var / 2) * noise
    logits = np.reshape(decoder(codes.reshape(-1, latent_dim)), (num_draws, *x_test.shape))
    pixels = np.sum(np.logaddexp(0, logits) - x_test * logits, axis=(2, 3)).mean()
    spread = np.exp(test_log_var) - 1 - test_log_var
    code = 0.5 * np.sum(test_mean**2 + temperature * spread, axis=1).mean()
    constant = np.log(2 * np.pi) - special.xlogy(temperature, 2 * np.pi * temperature)
    return pixels + code + 0.5 * latent_dim * constant


# %% name="cooling"
for temperature in (1.0, 0.1, 0.01, 1e-4, 0.0):
    print(f"T = {temperature:6.4f}: F_T = {free_energy(temperature):.4f} nats")
bracket = 0.5 * np.sum(test_mean**2 + 0.1 * (np.exp(test_log_var) - 1 - test_log_var), axis=1)
check(layers.GaussianKL(temperature=0.1)((test_mean, test_log_var)), bracket, tolerance=1e-4)
energy = cross_entropy(x_test, decoder(test_mean)).numpy() - stats.norm.logpdf(test_mean).sum(1)
check(free_energy(0.0), energy.mean(), tolerance=1e-5)  # E(x, mean)
assert abs(free_energy(1e-6) - energy.mean()) < 1e-2
assert abs(free_energy(1.0) + right[1]) < 0.2  # 50 draws for each image

# %%
keras.utils.set_random_seed(seed)
pixels = keras.Input(image_shape)
hidden = keras.layers.Dense(hidden_units, "relu")(keras.layers.Flatten()(pixels))
half_square = keras.regularizers.L2(0.5)  # adds |z|^2 / 2, averaged over the batch
code = keras.layers.Dense(latent_dim, activity_regularizer=half_square)(hidden)
plain_decoder = networks.dense_decoder(image_shape, latent_dim, hidden_units=(hidden_units,))
autoencoder, coder = keras.Model(pixels, plain_decoder(code)), keras.Model(pixels, code)
options = {"jit_compile": False, "steps_per_execution": len(x_train) // batch_size}
autoencoder.compile("adam", cross_entropy, **options)
codes = coder(batch).numpy()
zero_temperature = np.mean(
    cross_entropy(batch, plain_decoder(codes)) + 0.5 * np.sum(codes**2, axis=1)
)
loss = autoencoder.compute_loss(batch, batch, autoencoder(batch))
check(loss, zero_temperature, tolerance=1e-5)  # (B32b), without the constant

# %% name="autoencoder-evidence"
fit(autoencoder, "autoencoder")
codes = coder(x_test).numpy()
log_f = log_joint(plain_decoder, x_test)
deterministic = log_integral(log_f).mean()
coarse = np.arange(grid_points**2).reshape(grid_points, -1)[::2, ::2].ravel()  # every second one
assert abs((log_integral(log_f[:, coarse]) + np.log(4)).mean() - deterministic) < 0.05
costs = []
for name, encode, decode, value in (
    ("VAE, T = 1", lambda x: model.get_layer("encoder")(x)[0], decoder, right[3]),
    ("autoencoder, T = 0", coder, plain_decoder, deterministic),
):
    costs.append([np.mean(cross_entropy(x, decode(encode(x)))) for x in (x_train, x_test)])
    print("{:18s} pixels: training {:.3f}, test {:.3f};".format(name, *costs[-1]), end=" ")
    print(f"exact ln p(x) of the test images {value:.3f} nats")
print("standard deviation of the autoencoder's codes:", codes.std(axis=0).round(3), "prior: 1")

# %% name="fitted-prior"
seen, draws = coder(x_train).numpy(), np.random.default_rng(seed).normal(size=(10_000, latent_dim))
centre, width = seen.mean(axis=0), seen.std(axis=0)
change = stats.norm.logpdf(grid, centre, width).sum(1) - stats.norm.logpdf(grid).sum(1)
repaired = log_integral(log_f + change).mean()  # ln p(x) with the prior N(centre, width^2)
distances = [np.linalg.norm((z - centre) / width, axis=1) for z in (seen, draws)]
outside = np.mean(distances[1] > np.quantile(distances[0], 0.95))
print(f"{outside:.0%} of the draws from the prior are outside the region of 95 % of the codes")
print(f"with a prior fitted to the codes: exact ln p(x) {repaired:.3f} nats")
assert costs[1][0] < costs[0][0] and costs[1][1] > costs[0][1]  # training better, new worse
lost = right[3] - deterministic
assert dataset != "digits" or (lost > 1 and outside > 0.5)
assert dataset != "digits" or repaired - deterministic > 0.7 * lost

# %% name="autoencoder" alt="Left: codes of the autoencoder huddle near the origin, nearly all within one standard deviation of the prior. Right: images decoded from prior draws are bold, some of them no digits."
figure, axes = plt.subplots(1, 2, figsize=(9, 3.8))
plotting.scatter_by_label(axes[0], codes, y_test)
for radius in (1, 2):
    axes[0].add_patch(plt.Circle((0, 0), radius, fill=False, color=grey))
axes[0].set(
    title="Codes of the autoencoder, and the prior's circles", xlabel="$z_1$", ylabel="$z_2$"
)
axes[0].set(xlim=(-2.2, 2.2), ylim=(-2.2, 2.2))
z = np.random.default_rng(seed).normal(size=(50, 2)).astype("float32")
plotting.image_grid(axes[1], ops.sigmoid(plain_decoder(z)), columns=10)
axes[1].set_title("Decoded draws from the prior")
plt.show()

# %% [markdown]
# Without noise the codes need no room around them, and nothing makes them fill the prior: they
# huddle near the origin. The autoencoder reconstructs its training images better than the VAE does,
# new images worse. As a *model*, a decoder whose $z$ comes from $N(0, I)$, it loses more than a
# nat of $\ln p(x)$, a number that nobody looks at when training an autoencoder. The last two lines printed say where most
# of it went. More than half of the draws from the prior land outside the region of its codes. There it draws bold
# images, some of them no digits. With a prior whose means and widths are those of the codes, most of the lost
# likelihood comes back. So what this autoencoder lacks is above all a distribution of its codes, and in the VAE it is
# the entropy that asks for one. Chapter 28 takes the way
# from $T = 1$ to $T = 0$ step by step.
#
# %% [markdown]
# ## 3. Summary
#
# | slip | what it does | what shows it |
# |:--|:--|:--|
# | 1: mean over pixels | KL $D$ times too strong: collapse | KL near 0; reconstruction $\ln 2$ before training |
# | 2: mean over latents | KL $J$ times too weak | loss below $-\ln p(x)$ |
# | 3: $\ln \sigma$ for $\ln \sigma^2$ | two distributions in one loss | loss below $-\ln p(x)$ |
# | 4: clipped logarithm | the worst pixels are not corrected | the formula from logits |
# | 5: sigmoid twice | probabilities from 0.5 to 0.73 | a perfect image costs much |
#
# - A loss below the exact $-\ln p(x)$ is no better model. It is no bound.
# - A deterministic autoencoder is the limit $T \to 0$: lowest energy instead of lowest free energy.
# - As a model it lacks a distribution of its codes. In the VAE the entropy asks for one.
#
# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **One number before training.** Let all outputs of an encoder and all logits of a decoder be 0. What does
#    each program report then, the correct one and those with slips 1 to 5? Write `silent_loss(slip, x)`, for images
#    $x$ and `slip` from 0 (correct) to 5. Which slips does this quickest of tests find?
# 2. *(medium)* **Slip 3 on paper.** Let $s = \sigma^2$ be the width of the $q$ that slip 3 draws. Show that its loss is
#    $-$ELBO of this $q$ minus $\frac12 \sum_j (s_j^2 - s_j - \ln s_j)$, and that the subtracted sum is never negative:
#    this program always promises too much. Write it as `promised(log_var)`, the mean over images. Then let
#    the reconstruction cost $\frac12 k s^2$ for one latent variable: which width does the slip choose, which one
#    is right? (`slip_width(k)`, `right_width(k)`.) What is their ratio for a large $k$?
# 3. *(hard)* **Noise, after the fact.** Give the autoencoder a posterior $q = N(\mu(x), c^2 I)$ after its training.
#    Derive $c^2 = J / (J + \langle \operatorname{tr} \nabla^2 (-\ln p(x|z)) \rangle)$ for the $c$ of the largest mean
#    ELBO, to leading order in $c^2$. Find `best_width`, the best $c$ on the grid for the test images, and `best_elbo`,
#    and `predicted_width` from the derivatives of $-\ln p(x|z)$ at the codes. Does noise that comes late make a VAE?
#
# The solutions are in the cells below, folded: click on one to open it.


# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. y = 1/2 everywhere and KL = 0. Slips 2, 3 and 4 say D ln 2, as the correct program does; slip 1
# says ln 2; for slip 5 the second sigmoid gets 1/2. The test finds slips 1 and 5 and no other.
def silent_loss(slip, x):
    if slip == 5:
        return np.sum(np.log1p(np.exp(0.5)) - 0.5 * x, axis=(1, 2)).mean()
    return np.log(2) * (1 if slip == 1 else num_pixels)


check(silent_loss(1, x_test), mean_over_pixels(x_test, ops.zeros(x_test.shape)), 1e-5)
check([silent_loss(slip, x_test) for slip in (0, 2, 3)], num_pixels * np.log(2))
check(silent_loss(4, x_test), num_pixels * clipped_loss(x_test, ops.full(x_test.shape, 0.5)), 1e-5)
check(silent_loss(5, x_test), num_pixels * twice(x_test, ops.full(x_test.shape, 0.5)), 1e-5)
print("1. slips 0 to 5:", np.round([silent_loss(slip, x_test) for slip in range(6)], 3), "nats")


# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. KL of N(mu, s^2) minus KL of N(mu, s): (s^2 - 1 - 2 ln s)/2 - (s - 1 - ln s)/2. Its derivative in s is
# (2s + 1)(s - 1) / 2s, so it falls to 0 at s = 1 and rises again. Widths: k s^2/2 + (s - ln s)/2 against
# k s^2/2 + (s^2 - 2 ln s)/2. For large k they are 1/sqrt(2k) and 1/sqrt(k): narrower by sqrt(2).
def promised(log_var):
    s = np.exp(log_var)
    return 0.5 * np.sum(s**2 - s - log_var, axis=1).mean()


def slip_width(k):
    return (np.sqrt(1 + 8 * k) - 1) / (4 * k)  # of 2k s^2 + s - 1 = 0


def right_width(k):
    return 1 / np.sqrt(1 + k)


# %% jupyter={"source_hidden": true} tags=["solution"]
check(promised(narrow_log_var), kl_drawn - narrow[2])
check(promised(np.zeros((1, 2))), 0.0)
check([slip_width(10.0), right_width(10.0)], [0.2, 0.301511], tolerance=1e-5)
print(
    f"2. promised too much: {promised(narrow_log_var):.3f} nats; ratio {slip_width(1e6) * 1e3:.4f}"
)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. -ELBO = E(x, mu) + (c^2/2)(tr + J) - J ln c + const, with tr the trace of the Hessian of -ln p(x|z);
# its derivative in c vanishes at c^2 = J / (J + tr). The logits are piecewise linear in z, so tr is
# the sum over pixels of y (1 - y) |slope of the logit|^2.
def noisy_elbo(c):
    return exact_averages(codes, np.full(codes.shape, 2 * np.log(c)), log_f)[0]


found = optimize.minimize_scalar(lambda c: -noisy_elbo(c), bounds=(0.08, 0.8), method="bounded")
best_width, best_elbo, step = found.x, -found.fun, 0.01
y, trace = np.array(ops.sigmoid(plain_decoder(codes))), 0
for shift in step * np.eye(latent_dim, dtype="float32"):
    slope = (plain_decoder(codes + shift) - plain_decoder(codes - shift)) / (2 * step)
    trace = trace + np.sum(y * (1 - y) * slope**2, axis=(1, 2))
predicted_width = np.sqrt(latent_dim / (latent_dim + trace.mean()))

# %% jupyter={"source_hidden": true} tags=["solution"]
# Late noise makes no VAE: the ELBO is two nats worse, one nat in ln p(x) itself, the other in the gap, which is 1.3
# nats with this one width and 0.5 nats for the VAE.
lost_in_gap = (deterministic - best_elbo) - (right[3] - right[1])
assert dataset != "digits" or (0.7 < lost < 1.3 and 0.7 < lost_in_gap < 1.3)
assert dataset != "digits" or abs(best_width - 0.106) < 0.01
assert dataset != "digits" or abs(predicted_width - 0.091) < 0.01
assert dataset != "digits" or (abs(best_elbo + 26.69) < 0.05 and best_elbo < right[1] - 1.5)
print(f"3. width {best_width:.3f}, predicted {predicted_width:.3f}; ELBO {best_elbo:.3f} nats")
