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
# # Chapter 45: Both halves in one model
#
# The post asks how the free energy of a restricted Boltzmann machine (RBM) is related to the variational one.
# Chapter 17 answered with a table: an RBM has an easy clamped free energy and an intractable $\ln Z$, and a variational
# autoencoder (VAE) has $\ln Z = 0$ and an intractable clamped free energy. This chapter builds the model that has both. It is a VAE whose codes
# are bits, and whose prior is an RBM. *Guess before you read on: which of the four terms of its bound can be wrong, and
# then is the bound too high or too low?*
#
# **What you will do**
#
# - derive the bound of this model, in which both free energies of the course stand side by side;
# - find the gradient of the prior, and recognise it;
# - compare the prior with one of independent bits on digits, with exact sums over all 4,096 codes;
# - put an annealed $\ln Z$ into the bound, and then an old one, and see what breaks.
#
# **What you will learn**
#
# - that $\ln p(x)$ is a difference of two free energies (B5), each of which needs its own approximation (B58);
# - that the prior learns like any RBM, with codes in the place of data;
# - which nats a better prior gains, and which it does not;
# - why an error of $\ln Z$ does not average out.
#
# **What you need**: sections 1 and 3 of chapter 17; section 4 of chapter 4; sections 1 and 4 of chapter 8. The scores that train
# bits are those of chapter 25, section 2.
#
# **Time**: about 55 minutes, and 120 for the exercises. The code runs in about half a minute.
#
# Numbers such as (B58) are rows of the table `EQUATIONS.md`. Free energies are in nats.

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
import os
from functools import partial

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from keras.optimizers.schedules import CosineDecay
from scipy import special

from rbm_tf import BernoulliRBM, ais, datasets, diagrams, log_z, plotting, reverse_ais
from rbm_tf.course import check, label, shipped
from rbm_tf.machine import Machine, clamped_free_energy
from vae_keras import VAE, RBMPrior, dense_decoder
from vae_keras.objectives import ThermodynamicObjective
from vae_keras.optimizers import FusedAdam
from vae_keras.parts import Bernoulli

# %%
seed, seeds = 0, (0, 1, 2)  # of this page; of the trainings
num_bits, num_hidden = 12, 12  # of the prior: its visible and hidden units
num_pixels, num_units = 196, 100  # of an image; of the networks' hidden layers
num_epochs = {"factorial": (60, 62), "plain": (60, 62), "fitted": (0, 60), "longer": (120, 124)}
num_chains, group = 20_000, 10  # of annealing; chains that make one estimate
retrain = bool(os.environ.get("RETRAIN"))  # True: train all models here, eight minutes
blue, orange, green, grey = "#0072B2", "#D55E00", "#009E73", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 110}])
ink = plt.rcParams["text.color"]


# %%
def all_codes(num):
    return (np.arange(2**num)[:, np.newaxis] >> np.arange(num) & 1).astype("float32")


# %%
def drawn(images, seed):
    """14 x 14 pixels, black or white with the mean grey level of four as the probability."""
    grey = images.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(-1, num_pixels)
    return grey, (np.random.default_rng(seed).random(grey.shape) < grey).astype("float32")


(images, _), (test_images, _) = datasets.load_mnist_5k()
(grey_train, x_train), (_, x_test) = drawn(images, seed=1), drawn(test_images, seed=0)

# %% name="model" alt="Left: an autoencoder, from pixels to a code of four bits and back. Middle: a Boltzmann machine whose lower layer is the four bits z, with hidden units h above. Right: 30 digits of 14 by 14 pixels, black or white."
figure, axes = plt.subplots(1, 3, figsize=(11, 3), width_ratios=[1.9, 1, 1.3])
diagrams.autoencoder(axes[0], num_latents=4).texts[-1].remove()  # bits have no path
diagrams.boltzmann_machine(axes[1], num_visible=4, num_hidden=3).texts[0].set_text("$z$")
for units, colour in zip(axes[1].collections, (orange, green), strict=True):
    units.set_facecolor(colour)  # z as on the left
axes[1].set_title("The prior: an RBM of bits")
plotting.image_grid(axes[2], x_train[:30].reshape(-1, 14, 14), columns=6)
axes[2].set_title("The data")
plt.show()

# %% [markdown]
# ## 1. Two free energies in one bound
#
# Let the code $z$ have $J$ bits, and let an RBM with hidden units $h$ say which codes are likely. A decoder draws the
# pixels. The energy of everything, clamped or not, is a sum of what the two halves of the course had:
#
# $$E(x, z, h) = -\ln p(x|z) + E(z, h) , \qquad E(z, h) = -a \cdot z - b \cdot h - z^T W h . \tag{1.1}$$
#
# The decoder is normalised, $\sum_x p(x|z) = 1$, so the sum over all states is that of the RBM alone:
#
# $$\sum_{x, z, h} e^{-E(x, z, h)} = \sum_{z, h} e^{-E(z, h)} = Z . \tag{1.2}$$
#
# Hold $z$, and the sum over $h$ is $e^{-F_c(z)}$, so that the prior is $p(z) = e^{-F_c(z)} / Z$ (B5). Hold only $x$,
# and what is left to sum is
#
# $$e^{-F_c(x)} = \sum_z p(x|z)\, e^{-F_c(z)} , \qquad \ln p(x) = -F_c(x) + F_{\rm eq} , \qquad
#   F_{\rm eq} = -\ln Z . \tag{1.3}$$
#
# The table of chapter 17 gets a third row:
#
# | | clamped free energy | equilibrium free energy |
# |:--|:--|:--|
# | RBM | a sum over $h$, done by hand | intractable |
# | VAE | intractable | zero |
# | VAE with an RBM as prior | intractable for $x$; done by hand for $z$ | intractable |
#
# The variational principle bounds the first column. For any $q(z|x)$ with the entropy $S(q)$, (B14) with this prior reads
#
# $$\boxed{\; \ln p(x) \;\ge\; \mathrm{ELBO} = \big\langle \ln p(x|z) \big\rangle_q + S(q)
#   - \big\langle F_c(z) \big\rangle_q - \ln Z \;} \tag{B58}$$
#
# $\langle \ln p(x|z) \rangle_q + S(q) + \langle \ln p(z) \rangle_q$ is the ELBO, and $\ln p(z) = -F_c(z) - \ln Z$.
# The gap is $\mathrm{KL}(q(z|x) \,\|\, p(z|x))$. The hidden units cost nothing: by (2.6) of chapter 3,
# $F_c(z) = \langle E(z, h) \rangle - S$ with the *exact* $p(h|z)$.
#
# In a program this is one line: `RBMPrior.log_prob` returns
# `-clamped_free_energy(machine, z) - log_z`. Our $q(z|x) = \prod_j s_j^{z_j} (1 - s_j)^{1 - z_j}$ is a product of
# Bernoulli variables. In the discrete VAE of Rolfe (2017) both layers of the RBM are codes, and the bits are smoothed.
#
# **Two RBMs, one on the other** (Hinton, Osindero and Teh 2006; `rbm_tf.stack`), are such a model, with $q = p_1(z|x)$. Of the
# first only free energies are left, $F_1$ with $x$ clamped and $G_1$ with $z$:
#
# $$\ln w = \ln \frac{p_1(x|z)\, p(z)}{p_1(z|x)} = -F_1(x) + G_1(z) - F_c(z) - \ln Z , \qquad
#   \big\langle \ln w \big\rangle_q \le \ln p(x) . \tag{B59}$$


# %%
def tables(vae, x):
    """ln p(x|z) and ln q(z|x) of all codes, (num, codes), and the prior's F_c(z), (codes,)."""
    codes = all_codes(vae.latent_dim)
    logits = np.asarray(vae.decoder(codes), float)
    log_likelihood = x @ logits.T - np.logaddexp(0, logits).sum(axis=1)
    on = np.asarray(vae.encoder(x), float)  # logits of q
    log_q = -np.logaddexp(0, -on) @ codes.T - np.logaddexp(0, on) @ (1 - codes).T
    free_energy = np.asarray(clamped_free_energy(vae.prior.machine, codes), float)
    return log_likelihood, log_q, free_energy


# %%
def four_terms(log_likelihood, log_q, free_energy):
    """<ln p(x|z)>, S(q), -<F_c(z)> and -ln Z of (B58), (4, num), by exact sums."""
    q, ln_z = np.exp(log_q), special.logsumexp(-free_energy)
    rows = (q * log_likelihood).sum(1), -(q * log_q).sum(1), -q @ free_energy
    return np.array([*rows, np.full(len(q), -ln_z)])


def evidence(log_likelihood, log_q, free_energy):
    """ln p(x), (1.3), by the sum over all codes."""
    ln_z = special.logsumexp(-free_energy)
    return special.logsumexp(log_likelihood - free_energy, axis=1) - ln_z


# %% [markdown]
# **Check against the exact result**: four bits, three hidden units, six pixels. All 64 images together
# have the probability 1, the gap of (B58) is the KL, and the library's log-weights average to (B58).

# %% name="tiny"
rng = np.random.default_rng(seed)
keras.utils.set_random_seed(seed)
rbm = BernoulliRBM.from_parameters(*(rng.normal(size=shape) for shape in ((4, 3), 4, 3)))
encoder = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)])
decoder = dense_decoder((6,), 4, hidden_units=(8,))
objective = ThermodynamicObjective(10, num_partitions=1)
prior = RBMPrior.from_rbm(rbm)
tiny = VAE(encoder, decoder, posterior=Bernoulli(), prior=prior, objective=objective)
decoder.set_weights([2 * w for w in decoder.get_weights()])
x_tiny = all_codes(6)  # as images

# %% name="tiny-check"
tiny_tables = log_likelihood, log_q, free_energy = tables(tiny, x_tiny)
log_p, bound = evidence(*tiny_tables), four_terms(*tiny_tables).sum(axis=0)
check(np.exp(log_p).sum(), 1.0)  # (1.2)
log_posterior = log_likelihood - free_energy - special.logsumexp(-free_energy) - log_p[:, None]
check(log_p - bound, np.sum(np.exp(log_q) * (log_q - log_posterior), axis=1))  # the gap of (B58)
check(tiny.prior.log_z(), special.logsumexp(-free_energy), tolerance=1e-5)
log_w = np.asarray(tiny.log_weights(x_tiny, 2000, seed=seed), float)
error = log_w.std(axis=0) / np.sqrt(2000)
assert np.all(np.abs(log_w.mean(axis=0) - bound) < 5 * error + 1e-5)  # (B58)
print(f"gaps of the 64 images: {(log_p - bound).min():.3f} to {(log_p - bound).max():.3f} nats")

# %% [markdown]
# ## 2. The prior learns from codes
#
# Average (B58) over data, and call the average of $q(z|x)$ over them $q(z)$, the aggregate posterior (3.4) of chapter 17.
# The prior stands in the last two terms only:
#
# $$\big\langle \mathrm{ELBO} \big\rangle_D = \dots - \big\langle F_c(z) \big\rangle_{q(z)} - \ln Z
#   = \dots - \mathrm{KL}\big( q(z) \,\|\, p(z) \big) + \big\langle \ln q(z) \big\rangle_{q(z)} . \tag{2.1}$$
#
# The first form is the log likelihood (B2) of an RBM whose data are codes. So its gradient is that of chapter 4, section 4:
#
# $$\frac{\partial \langle \mathrm{ELBO} \rangle_D}{\partial W_{jk}}
#   = \big\langle z_j\, p(h_k = 1 | z) \big\rangle_{q(z)} - \big\langle z_j h_k \big\rangle_{p(z, h)} , \tag{2.2}$$
#
# and alike for $a$ and $b$, with $z_j$ and $h_k$ in place of the product. The clamped free energy gives the first average (B8), the
# equilibrium one the second (B9). The data of an RBM stand still, but $q(z)$ moves while the encoder learns.
#
# The second form of (2.1) says what the prior can gain: the *mismatch* $\mathrm{KL}(q(z) \,\|\, p(z))$ of
# (B13c), and nothing else. At a fixed encoder and decoder, every nat that leaves the mismatch is a nat of the mean ELBO.
#
# **Check against the exact result**: (2.2) for the tiny model, and automatic differentiation of (B58), with $Z$ as a sum.


# %%
def minus_free_energy(codes, kernel, a, b):  # -F_c(z), (B5)
    return codes @ a + np.logaddexp(0, b + codes @ kernel).sum(axis=1)


def averages(codes, p, kernel, a, b):
    """<z h^T>, <z> and <h> for codes of the probabilities p, and h given them."""
    h = special.expit(b + codes @ kernel)
    return codes.T @ (p[:, np.newaxis] * h), p @ codes, p @ h


def exact_phase(codes, q, *theta):
    return averages(codes, special.softmax(minus_free_energy(codes, *theta)), *theta)


# %% name="gradient"
q_tiny, codes = np.exp(log_q).mean(axis=0), all_codes(4).astype(float)  # q(z), (16,)
theta = [w.numpy().astype(float) for w in tiny.prior.trainable_variables]  # W, a, b
with tf.GradientTape() as tape:
    tape.watch(weights := [tf.constant(w) for w in theta])
    F = clamped_free_energy(Machine(*weights), tf.constant(codes))
    mean_bound = -tf.reduce_sum(q_tiny * F) - tf.reduce_logsumexp(-F)  # (2.1), Z as a sum
phases = averages(codes, q_tiny, *theta), exact_phase(codes, q_tiny, *theta)
for automatic, q_side, p_side in zip(tape.gradient(mean_bound, weights), *phases, strict=True):
    check(automatic, q_side - p_side, tolerance=1e-6)  # (2.2)
print("slopes of the first hidden unit's weights:", (phases[0][0] - phases[1][0])[:, 0].round(5))

# %% [markdown]
# ## 3. How the models were trained (optional)
#
# Run these cells, and read them when you need them: `fit` trains an RBM by (2.2) on given codes, `build` makes the VAEs of section
# 4, `train` trains one, and `score` sums over its 4,096 codes.


# %%
def build(kind, seed):
    keras.utils.set_random_seed(seed)
    hidden, logits = keras.layers.Dense(num_units, "relu"), keras.layers.Dense(num_bits)
    encoder = keras.Sequential([keras.Input((num_pixels,)), hidden, logits])
    decoder = dense_decoder((num_pixels,), num_bits, hidden_units=(num_units,))
    prior = RBMPrior(num_bits, num_hidden if kind in ("plain", "fitted") else 1, seed=seed)
    if prior.num_hidden == 1:  # an idle unit
        prior.kernel.assign(np.zeros((num_bits, 1)))
        prior.kernel.trainable = prior.hidden_bias.trainable = False
    options = {"objective": ThermodynamicObjective(8, num_partitions=1), "seed": seed}
    return VAE(encoder, decoder, posterior=Bernoulli(), prior=prior, **options)


# %%
def run(vae, num_epochs, rate, rng):
    vae.compile(FusedAdam(rate), steps_per_execution=len(grey_train) // 100)
    for _ in range(num_epochs):
        pixels = (rng.random(grey_train.shape) < grey_train).astype("float32")
        vae.fit(pixels, batch_size=100, verbose=0)


# %%
codes = all_codes(num_bits).astype(float)


# %%
def adam_step(weight, moments, slope, step):
    m, s = 0.9 * moments[0] + 0.1 * slope, 0.999 * moments[1] + 0.001 * slope**2
    size = np.sqrt(s / (1 - 0.999**step)) + 1e-8
    return weight + 0.03 * m / (1 - 0.9**step) / size, (m, s)


# %%
def fit(q, start, num_steps, phase=exact_phase):
    """Train an RBM on codes z ~ q by (2.2), with Adam; and the way: mismatch, -<F_c(z)>_q."""
    theta, moments, way = list(start), [(0.0, 0.0)] * 3, []
    for step in range(1, num_steps + 1):
        minus = minus_free_energy(codes, *theta)
        way.append((mismatch(q, minus), q @ minus))
        both = averages(codes, q, *theta), phase(codes, q, *theta)
        for k, slope in enumerate(np.subtract(*pair) for pair in zip(*both, strict=True)):
            theta[k], moments[k] = adam_step(theta[k], moments[k], slope, step)
    return theta, np.transpose(way)


# %%
def mismatch(q, log_weight):
    """KL(q(z) || p(z)) for p(z) ~ exp(log_weight), nats."""
    return q @ (np.log(q) - log_weight) + special.logsumexp(log_weight)


def small_start(q, num_hidden, seed=0):
    """Small random weights, and visible biases of the bits' means."""
    kernel = np.random.default_rng(seed).normal(0, 0.1, (num_bits, num_hidden))
    return kernel, special.logit(np.clip(q @ codes, 0.02, 0.98)), np.zeros(num_hidden)


# %%
def aggregate(vae, x):
    """q(z), (codes,), and the mean of S(q(z|x)) in nats."""
    on = np.asarray(vae.encoder(x), float)
    log_q = -np.logaddexp(0, -on) @ codes.T - np.logaddexp(0, on) @ (1 - codes).T
    entropy = np.logaddexp(0, on) - on * special.expit(on)  # of each bit
    return np.exp(log_q).mean(axis=0), entropy.sum(axis=1).mean()


# %%
def train(kind, seed, halfway=None):
    """A model of one kind, and the networks after the first half of its epochs."""
    vae, rng = build(kind, seed), np.random.default_rng
    first, second = num_epochs[kind]
    if halfway is not None:
        vae.encoder.set_weights(halfway[0])
        vae.decoder.set_weights(halfway[1])
        q = aggregate(vae, x_train)[0]
        vae.prior.set_weights(fit(q, small_start(q, num_hidden), 600)[0])
    run(vae, first, 3e-3, rng([seed, 0]))
    halfway = vae.encoder.get_weights(), vae.decoder.get_weights()
    run(vae, second, CosineDecay(3e-3, second * 40, alpha=0.02), rng([seed, 1]))
    return vae, halfway


# %%
def score(vae):
    """ln p(x) and ELBO of test images; information and mismatch (B13c) of training images, q(z)."""
    log_likelihood, log_q, energy = tables(vae, x_test)
    q, entropy = aggregate(vae, x_train)
    bound = four_terms(log_likelihood, log_q, energy).sum(axis=0)
    information = -q @ np.log(q) - entropy
    log_p = evidence(log_likelihood, log_q, energy)
    return log_p, bound, information, mismatch(q, -energy), q


# %%
def difference(one, of, than):
    """Mean and standard error of ln p(x) of one kind less that of another, over test images."""
    change = np.asarray(scores[of, one][0], float) - scores[than, one][0]
    return change.mean(), change.std(ddof=1) / np.sqrt(len(change))


# %%
def kinds_of(seed):
    return [kind for kind in num_epochs if kind != "plain" or seed == 0]


# %%
def train_all(seed):
    """What is shipped of a seed: weights in half precision, or scores, by kind."""
    arrays, halfway = {}, None
    for kind in kinds_of(seed):
        vae, half = train(kind, seed, halfway if kind == "fitted" else None)
        halfway = half if kind == "factorial" else halfway
        if kind in ("longer", "fitted"):
            new = [w.astype("float16") for w in vae.get_weights()]
        else:
            new = [np.float32(a) for a in score(vae)[:4]]
        arrays |= {f"{kind}_{k}": array for k, array in enumerate(new)}
    return arrays


# %% [markdown]
# ## 4. Digits, at the same budget
#
# Now 4,000 digits of 14 × 14 pixels, drawn black or white anew in each epoch, and codes of twelve bits. The sum over all
# 4,096 codes is one matrix product, so that every score below is exact. Bits have no path, so the encoder learns by scores
# (B17a): `ThermodynamicObjective` with one partition is the ELBO, here with eight draws of $z$ for each image. Four
# trainings compete, with the same networks:
#
# - **factorial**: the bits of the prior are independent ($W = 0$), and its biases $a$ are trained, for 122 epochs;
# - **plain**: an RBM as the library makes it, with small random weights, for 122 epochs (one seed only);
# - **fitted**: 60 epochs with the factorial prior. Then an RBM is fitted to $q(z)$ by (2.2) and takes its place,
#   for 60 epochs more;
# - **longer**: the factorial prior for 244 epochs. With twelve hidden units an epoch takes about twice the processor time
#   (0.34 s, not 0.16 s). So it takes the time of the plain RBM, and a fifth more than the
#   fitted one.
#
# They come with the course: the weights of the last two for three seeds, and the scores of the others.

# %%
models, scores = {}, {}
for one in seeds:
    arrays = shipped(f"rbm_prior_{one}", partial(train_all, one), retrain=retrain)
    for kind in kinds_of(one):
        shipped_of_kind = [a for name, a in arrays.items() if name.startswith(f"{kind}_")]
        if kind in ("longer", "fitted"):
            models[kind, one] = build(kind, one)
            models[kind, one].set_weights(shipped_of_kind)
            scores[kind, one] = score(models[kind, one])
        else:
            scores[kind, one] = shipped_of_kind

# %% name="table"
print("test images, nats   ln p(x)      ELBO | training images: information  mismatch")
for (kind, one), (log_p, bound, information, left, *_) in scores.items():
    print(f"{kind:9s} seed {one}   {log_p.mean():8.3f}  {bound.mean():8.3f}", end=" | ")
    print(f"{information:28.3f} {left:9.3f}")
    assert np.all(bound <= log_p + 1e-4)  # (B58)
print("seed 0    <ln p(x|z)>   S(q)    -<F_c(z)>   -ln Z     sum")
for kind in ("longer", "fitted"):
    terms = four_terms(*tables(models[kind, 0], x_test)).mean(axis=1)
    check(terms.sum(), scores[kind, 0][1].mean())
    print(
        f"{kind:9s} {terms[0]:9.3f} {terms[1]:9.3f} {terms[2]:9.3f} {terms[3]:10.3f} {terms.sum():9.3f}"
    )


# %% name="differences"
for of, than, least in (("fitted", "factorial", 5), ("longer", "fitted", 2.5)):
    changes = np.array([difference(one, of, than) for one in seeds])  # (seed, 2)
    print(f"ln p(x), {of} less {than}:", " ".join("{:+.3f} +- {:.3f}".format(*c) for c in changes))
    assert np.all(changes[:, 0] > least * changes[:, 1])
for one in seeds:
    gaps = [np.mean(scores[k, one][0] - scores[k, one][1]) for k in ("fitted", "longer")]
    assert gaps[0] < gaps[1] - 0.2
ahead = [scores["fitted", one][1].mean() > scores["longer", one][1].mean() for one in seeds]
assert any(ahead) and not all(ahead)
log_p, bound, information, left = (np.mean(a) for a in scores["plain", 0])
assert left < 0.6 * scores["factorial", 0][3] and log_p < scores["factorial", 0][0].mean() - 0.5
assert information < scores["factorial", 0][2] - 0.5

# %% [markdown]
# Every ELBO is below its $\ln p(x)$. The two lines at the end are (B58), term by term. What the table says:
#
# - At equal epochs the fitted RBM beats the factorial prior in $\ln p(x)$, for each seed by more than five standard errors.
# - With a fifth more processor time than the fitted one *the factorial prior wins*, for each seed by more than 2.5 standard errors. In the ELBO neither
#   leads for all seeds: the fitted RBM has the smaller gap.
# - The plain RBM has little more than half of the mismatch of the factorial prior, and yet its $\ln p(x)$ is more than half a nat
#   lower. Its codes carry less *information*, the other part of (B13c). A small mismatch is not yet a good
#   model. (One seed is no ranking.)
#
# %% [markdown]
# ## 5. What the prior gains: the mismatch
#
# (2.1) holds for fixed networks. So take the longer models, which are finished, and fit an RBM to their codes.
#
# **Check against the exact result**: on test images, with the RBM that was fitted to training images, the mean ELBO gains
# exactly what the mismatch of the test images' $q(z)$ loses.

# %% name="afterwards"
after, afterwards = {}, {}
for one in seeds:
    q, old = scores["longer", one][4], scores["longer", one]
    theta, after[one] = fit(q, small_start(q, num_hidden), 1000)
    log_likelihood, log_q, before = tables(models["longer", one], x_test)
    now, q_test = -minus_free_energy(codes, *theta), np.exp(log_q).mean(axis=0)
    gain = four_terms(log_likelihood, log_q, now).sum(axis=0).mean() - old[1].mean()
    check(gain, mismatch(q_test, -before) - mismatch(q_test, -now), tolerance=1e-8)  # (2.1)
    more = np.mean(evidence(log_likelihood, log_q, now) - old[0])
    afterwards[one] = mismatch(q, -now), gain, more
    print(f"seed {one}: mismatch {old[3]:.3f} to {mismatch(q, -now):.3f} nats;", end=" ")
    print(f"test images: ELBO {gain:+.3f}, ln p(x) {more:+.3f}")

# %% name="mismatch" alt="Left: the mismatch of three seeds, 0.6 to 0.74 nats for the longer training, near 0.3 with an RBM afterwards, near 0.26 for the fitted prior. Right: covariances of pairs of bits in the prior against those in q(z); those of the fitted prior lie along the diagonal, those of the factorial one on the horizontal axis."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.8))
left = [afterwards[one][0] for one in seeds]
axes[0].plot(seeds, left, "^", color=orange, ms=9, label="longer, RBM afterwards")
pairs = np.triu_indices(num_bits, 1)
for kind, marker, colour in (("longer", "o", grey), ("fitted", "s", blue)):
    left = [scores[kind, one][3] for one in seeds]
    axes[0].plot(seeds, left, marker, color=colour, ms=9, label=kind)
    q, p = scores[kind, 0][4], np.exp(models[kind, 0].prior.log_prob(None, all_codes(num_bits)))
    covariances = [np.cov(codes.T, aweights=w)[pairs] for w in (q, p)]
    axes[1].plot(*covariances, marker, color=colour, ms=5, label=kind)
axes[0].set(title="Mismatch", xlabel="seed", ylabel="nats", xticks=seeds, ylim=(0, 1.1))
label(axes[1], "Pairs of bits, seed 0", "covariance in $q(z)$", "covariance in the prior")
axes[1].axline((0, 0), slope=1, color=ink, lw=0.8)
axes[0].legend(), axes[1].legend()
plt.show()

# %% name="samples" alt="Three grids of 40 grey digits: from the factorial prior, from the fitted RBM, and from the aggregate posterior. Most are readable in all three, some are smudges."
figure, axes = plt.subplots(1, 3, figsize=(11, 3.1))
rng = np.random.default_rng(seed)
sources = {
    "longer: from its factorial prior": ("longer", None),
    "fitted: from its RBM": ("fitted", None),
    "fitted: from $q(z)$": ("fitted", scores["fitted", 0][4]),
}
for axis, (name, (kind, p)) in zip(axes, sources.items(), strict=True):
    p = np.exp(models[kind, 0].prior.log_prob(None, all_codes(num_bits))) if p is None else p
    z = all_codes(num_bits)[rng.choice(len(codes), 40, p=p / p.sum())]
    plotting.image_grid(axis, models[kind, 0].decode(z).numpy().reshape(-1, 14, 14), columns=8)
    axis.set_title(name)
plt.show()

# %%
for one in seeds:
    left, gain, more = afterwards[one]
    assert left < scores["longer", one][3] / 2 and abs(left - scores["fitted", one][3]) < 0.06
    assert gain > more > 0.15  # nats
    assert scores["longer", one][1].mean() + gain > scores["fitted", one][1].mean() + 0.1
apart = np.subtract(*covariances)  # of the fitted prior, the last drawn
print(f"covariances: spread {covariances[0].std():.4f}, prior's error {apart.std():.4f}")
assert apart.std() < covariances[0].std() / 5

# %% [markdown]
# The mismatch falls by more than half, to within 0.06 nats of that of the fitted models. The test images gain ELBO and
# $\ln p(x)$, the ELBO more. This takes seconds and makes the best models here: what a prior gains can be had at the end,
# from a finished model. In the right
# picture each point is a pair of bits. The factorial prior knows of no covariance. The fitted one has those of its
# codes, to a fifth of their spread or better.
#
# In the third grid the codes come from $q(z)$, on which the decoder was trained; in the first two they come from a prior.
# Forty draws cannot show a few tenths of a nat. The numbers do.
#
# %% [markdown]
# ## 6. An annealed ln Z in the bound
#
# Of the four terms of (B58) the entropy is exact, and draws from $q$ estimate two more without bias, pixels and $F_c$. The fourth is
# harder. With many units on both sides $\ln Z$ has to be annealed, and (B58) inherits its error with the sign turned. An estimate $\hat Z$ of annealed importance sampling is unbiased, so by Jensen
# and (4.4) of chapter 8
#
# $$\mathbb{E}[\ln \hat Z]_{\rm forward} \le \ln Z
#   \quad \Longrightarrow \quad
#   \mathbb{E}[\,\widehat{\mathrm{ELBO}}\,]_{\rm forward} \ge \mathrm{ELBO} . \tag{6.1}$$
#
# *Forward annealing makes the bound look too high.* It then bounds nothing: if the bias is greater than the gap, the claim is
# above $\ln p(x)$ itself. Backwards, $\ln Z$ is too high and the ELBO too low, which is the safe side. But that takes exact
# samples of the prior, which a large one does not offer. And unlike the noise of a single image, the error of $\ln Z$ is the same for all images. No test set averages it out.

# %% name="annealed"
vae, (log_p, bound, *_) = models["fitted", 0], scores["fitted", 0]
F = tables(vae, x_test[:1])[2]
exact_log_z = special.logsumexp(-F)
z = all_codes(num_bits)[rng.choice(len(F), num_chains, p=special.softmax(-F))]  # exact draws
temperatures, claims = (2, 3, 5, 11, 31, 101), []
for number in temperatures:
    options = {"betas": np.linspace(0, 1, number), "base": "uniform", "progress": False}
    up = ais(vae.prior, num_chains=num_chains, seed=number, **options).log_weights
    down = reverse_ais(vae.prior, z, seed=number, **options).log_weights
    many = special.logsumexp(np.reshape(up, (-1, group)), axis=1) - np.log(group)
    row = [bound.mean() + exact_log_z - estimate for estimate in (up, many, down)]
    claims.append([(np.mean(claim), np.std(claim) / np.sqrt(len(claim))) for claim in row])
claims = np.array(claims)  # (temperature, way, mean and standard error)

# %% name="annealed-bound" alt="The ELBO over the number of temperatures. Forward with one chain it begins above the line of ln p(x) and falls to the exact ELBO; with ten chains it begins just above the ELBO; backwards it rises from below."
figure, axis = plt.subplots(figsize=(8, 4))
ways = "forward, one chain", f"forward, {group} chains", "backwards, one chain"
for k, (name, colour) in enumerate(zip(ways, (orange, green, blue), strict=True)):
    axis.errorbar(temperatures, *claims[:, k].T, fmt="o-", color=colour, label=name)
axis.axhline(log_p.mean(), color=ink, ls="--", label=r"exact $\ln p(x)$")
axis.axhline(bound.mean(), color=grey, label="exact ELBO")
axis.set(xscale="log", xticks=temperatures, xticklabels=temperatures)
axis.minorticks_off()
label(axis, "The ELBO with an annealed ln Z", "temperatures", "mean over test images (nats)")
axis.legend()
plt.show()
for number, row in zip(temperatures, claims[:, :, 0] - bound.mean(), strict=True):
    print(f"{number:3d} temperatures: claim minus ELBO", row.round(4), "nats")

# %%
shift, errors = claims[..., 0] - bound.mean(), claims[..., 1]  # (temperature, way)
assert np.all(shift[:, :2] > -3 * errors[:, :2]) and np.all(shift[:, 2] < 3 * errors[:, 2])  # (6.1)
assert claims[0, 0, 0] > log_p.mean() + 5 * errors[0, 0]  # no bound
assert claims[0, 1, 0] < log_p.mean() and np.all(np.abs(shift[-1]) < 0.05)
assert np.all(np.abs(shift[:4, 1]) < np.abs(shift[:4, 0]) / 5)

# %% [markdown]
# Errors are smaller than the points. With two temperatures and one chain the claim is above $\ln p(x)$. Up to eleven temperatures, ten
# chains bring the bias down to less than a fifth. With 101
# temperatures all three ways agree with the sum over all codes to 0.05 nats. This prior is small and easy. The signs are those of
# every prior.
#
# %% [markdown]
# ## 7. When it fails: an old ln Z, and few draws
#
# Two shortcuts tempt whoever trains a larger prior. The first: anneal $\ln Z$ now and then, outside of TensorFlow, and put the
# number into the loss. The number has no gradient. What is left of (2.2) is its first average, as in chapter 4, section 6, and
# the parameters run away. The second: take the second average of (2.2) from a thousand draws, after a single Gibbs sweep from
# $q(z)$ (CD-1, (B10)). As a control, take it from a thousand *exact* draws.


# %% name="shortcuts"
def drawn_phase(codes, q, kernel, a, b, num=1000, *, short):
    p = q if short else special.softmax(minus_free_energy(codes, kernel, a, b))
    z = codes[rng.choice(len(codes), num, p=p / p.sum())]
    if short:  # CD-1 (B10): one sweep from draws of q
        h = rng.random((num, len(b))) < special.expit(b + z @ kernel)
        z = (rng.random(z.shape) < special.expit(a + h @ kernel.T)).astype(float)
    return averages(z, np.full(num, 1 / num), kernel, a, b)


ways = {one: [after[one][0][:300]] for one in seeds}  # mismatches: exact, by CD-1, by exact draws
for one, short in itertools.product(seeds, (True, False)):
    q, phase = scores["longer", one][4], partial(drawn_phase, short=short)
    ways[one].append(fit(q, small_start(q, num_hidden), 300, phase)[1][0])

# %%
q = np.exp(tables(vae, x_test)[1]).mean(axis=0)
start = [w.numpy().astype(float) for w in vae.prior.trainable_variables]
lost, energy = fit(q, start, 60, lambda *_: (0.0, 0.0, 0.0))[1]
true = bound.mean() - lost + lost[0]  # (2.1)
renewed = np.arange(60) // 20 * 20  # the step at which ln Z was annealed last
claimed = true[renewed] + energy - energy[renewed]
assert claimed.max() > log_p.mean() + 20 and true[-1] < true[0] - 100
assert np.all(np.diff(true[1:]) < 0) and np.all(energy[1:] > energy[:-1])
last = np.array([[way[-1] for way in ways[one]] for one in seeds])
for one, values in enumerate(last):
    print("seed {}: exact {:.3f}, CD-1 {:.3f}, exact draws {:.3f} nats".format(one, *values))
assert np.all(last[:, 1:] > 1.1 * last[:, :1])
assert np.all(np.abs(last[:, 1] / last[:, 2] - 1) < 0.1)

# %% name="failures" alt="Left: a saw: the claimed ELBO rises and drops back at each renewal to the exact ELBO, which falls by more than a hundred nats. Right: mismatch over steps of three seeds; the exact sums end lowest each time, and CD-1 and exact draws higher, one on the other."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.8))
axes[0].plot(claimed, color=orange, label="claimed, ln Z every 20 steps")
axes[0].plot(true, color=blue, label="exact ELBO")
axes[0].axhline(log_p.mean(), color=ink, ls="--", label=r"$\ln p(x)$ at the start")
label(axes[0], "ln Z as a number", "step", "mean over test images (nats)")
names = {"exact": blue, "CD-1": orange, "exact draws": green}
for one, (way, (name, colour)) in itertools.product(seeds, enumerate(names.items())):
    axes[1].plot(ways[one][way], color=colour, label=name if one == 0 else None)
label(axes[1], "The RBM fitted to $q(z)$, three seeds", "step", "mismatch (nats)")
for axis in axes:
    axis.legend()
plt.show()

# %% [markdown]
# Left: between two renewals the claimed ELBO rises, to more than 20 nats above the $\ln p(x)$ that the model began with. Each
# renewal takes it back, and more. From the second step on the exact ELBO falls at every step, by more than 100 nats in all. To
# renew $\ln Z$ more often would not help: what is missing is its slope. `RBMPrior.log_z` has both, the value and the averages of
# (2.2). For large priors `FollowRBM` renews the averages by chains that go on, and the value by annealing.
#
# Right: CD-1 learns, but it leaves at least 1.1 times the mismatch of the exact sums, for each seed. The short chain is not to
# blame: exact draws leave as much, to a tenth. It is their noise that costs. And this mismatch is in the ELBO, nat by nat.
#
# %% [markdown]
# ## 8. Summary
#
# - A VAE with an RBM as its prior has $\ln p(x) = -F_c(x) + F_{\rm eq}$ (1.3), and neither is known. The variational
#   principle bounds the first; the second is summed or annealed. Both stand in (B58).
# - The prior learns like any RBM, with codes in the place of data (2.2). At fixed networks it gains the mismatch, exactly (2.1).
#   It can be had at the end, by a fit to the codes of a finished model.
# - On digits an RBM fitted halfway beats the factorial prior at equal epochs, and loses when that has a fifth more time. Best is the
#   latter with an RBM fitted afterwards. A small mismatch alone is not a good model.
# - Forward annealing makes the bound look too high on average (6.1), by the same amount for all images; backwards it is too low.
# - $\ln Z$ without its slope lets the prior run away. A thousand draws in place of a sum leave mismatch, by CD-1 or exact.
#
# So the question of the post has a short answer. The free energy of an RBM and the variational one are two columns of one
# table, and a model may need both.
#
# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **Without weights.** Show that for $W = 0$ the prior is a product of Bernoulli variables, and that $\ln Z$ is a sum
#    of $J + K$ softplus terms for $K$ hidden units. Write `log_product(codes, a)`, $\ln p(z)$ without any sum over codes, and
#    `log_z_product(a, b)`.
# 2. *(medium)* **How many hidden units?** Fit RBMs with 1, 3 and 6 hidden units to $q(z)$ of the longer model of seed 0, in 300
#    steps as in section 5. Put the mismatches that are left into a dict `left`. How many nats of ELBO does the first hidden unit gain?
# 3. *(hard)* **What the encoder feels.** Let $l_j(x)$ be the logits of $q$. Show that
#    $\partial\, \mathrm{ELBO} / \partial l_j$ is the covariance under $q$ of $z_j$ with $\ln p(x|z) - F_c(z) - \ln q(z|x)$, so that
#    $\ln Z$ is not felt. Write `slopes(log_likelihood, log_q, free_energy, codes)` with that for all $x$ and $j$, and compare it with
#    differences of (B58) for the tiny model (`differences`), where the bias of the encoder moves by $10^{-3}$ either way.
# 4. *(to explore)* **Too large to sum.** A prior of 14 + 14 units keeps averages from chains and an annealed $\ln Z$, which `FollowRBM`
#    renews in training. Make one from an RBM with random weights, add 0.5 to its visible biases as training might, and find the error of
#    `kept["log_z"]` before (`old`), and of `log_z()` after (`renewed_error`) `follow(5, anneal=True)`, against `rbm_tf.log_z`. Which terms
#    of (B58) are then wrong in training, and for how long?
#
# The solutions are in the cells below, folded: click on one to open it.


# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. Z = sum_z e^(a z) sum_h e^(b h), and both sums are products: prod_j (1 + e^a_j) prod_k (1 + e^b_k). In ln p(z) the
# second product drops out, and a z - sum_j ln(1 + e^a_j) is that of bits with p(z_j = 1) = sigm(a_j).
def log_product(codes, a):
    return codes @ a - np.logaddexp(0, a).sum()


def log_z_product(a, b):
    return np.logaddexp(0, a).sum() + np.logaddexp(0, b).sum()


a, b = np.random.default_rng(1).normal(size=(2, num_bits))
no_weights = minus_free_energy(codes, np.zeros((num_bits, num_bits)), a, b)
check(log_product(codes, a), no_weights - special.logsumexp(no_weights))
check(log_z_product(a, b), special.logsumexp(no_weights))
print(f"1. ln Z = {log_z_product(a, b):.4f} nats")

# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. At a fixed encoder the mean ELBO of the training images gains what the mismatch loses, (2.1): one unit gains 0.05 nats.
q, left = scores["longer", 0][4], {}
for size in (1, 3, 6):
    left[size] = mismatch(q, minus_free_energy(codes, *fit(q, small_start(q, size), 300)[0]))
    print(f"2. {size} hidden units: {left[size]:.3f} of {scores['longer', 0][3]:.3f} nats are left")
assert after[0][0, 299] < left[6] < left[3] < left[1]
check(scores["longer", 0][3] - left[1], 0.047, tolerance=0.005)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. d q / d l_j = q (z_j - s_j), the score (B17a) of a Bernoulli variable. The derivative of ln q inside the average is 0
# on average, (2.1) of chapter 25. So sum_z q (z_j - s_j) [ln p(x|z) - F_c - ln Z - ln q], and the constant drops out.
def slopes(log_likelihood, log_q, free_energy, codes):
    q = np.exp(log_q)
    signal = log_likelihood - free_energy - log_q
    return (q * signal) @ codes - (q * signal).sum(axis=1, keepdims=True) * (q @ codes)


# %% jupyter={"source_hidden": true} tags=["solution"]
# The differences of exercise 3: (B58) with the encoder's bias moved either way.
differences = []
*_, bias = tiny.encoder.weights
for shift in 1e-3 * np.eye(4, dtype="float32"):
    two = []
    for sign in (1, -1):
        bias.assign_add(sign * shift)
        two.append(four_terms(*tables(tiny, x_tiny)).sum(axis=0))
        bias.assign_sub(sign * shift)
    differences.append((two[0] - two[1]) / 2e-3)

# %% jupyter={"source_hidden": true} tags=["solution"]
# The checks of exercise 3: the differences, and an F_c that is shifted by any constant.
by_scores = slopes(*tiny_tables, all_codes(4))
check(by_scores, np.transpose(differences), tolerance=1e-3)
check(slopes(*tiny_tables[:2], tiny_tables[2] + 7.0, all_codes(4)), by_scores, tolerance=1e-9)
print("3. largest slope", np.abs(by_scores).max().round(4), "nats per unit of a logit")

# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. Only -ln Z is wrong, and its slope, the second average of (2.2): they are those of the last renewal. In training chains
# renew the slope after every batch and ln Z moves along it, until it is annealed after the epoch. All images share the error.
rng = np.random.default_rng(seed)
large = RBMPrior.from_rbm(
    BernoulliRBM.from_parameters(*(0.3 * rng.normal(size=s) for s in ((14, 14), 14, 14))), seed=seed
)
large.visible_bias.assign_add(np.full(14, 0.5))
old = float(large.kept["log_z"]) - log_z(large.machine)
large.follow(5, anneal=True)
renewed_error = float(large.log_z()) - log_z(large.machine)
print(f"4. error of ln Z {old:.3f} nats, renewed {renewed_error:+.4f}")
assert old < -2 and abs(renewed_error) < 0.1
