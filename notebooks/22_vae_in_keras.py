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
# # Chapter 22: A variational autoencoder in Keras
#
# A variational autoencoder (VAE) is often introduced as an autoencoder with noise in the middle and
# a penalty in the loss. The blog post that this course follows ends with such a program in Keras. This chapter
# takes it apart and shows that each of its lines is an equation. *Guess before you read on: the images that such
# models generate look blurred. Which line of the program blurs them?*
#
# **What you will do**
#
# - derive the KL term and the reparameterisation, and write both in Keras;
# - build the post's model in fifteen lines, and show that the library has the same;
# - watch it learn handwritten digits.
#
# **What you will learn**
#
# - where the KL (B30), the Lambda layer (B31) and the loss (B32) come from, each with its sums and means;
# - what is blurred in a generated image, and what is not.
#
# **What you need**: the bound of [chapter 18, sections 1 and 2](18_energy_minus_entropy.ipynb), recalled here;
# the clamped free energy of [chapter 3, section 2](03_rbm_free_energies.ipynb); some Keras.
#
# **Time**: about 60 minutes, and 95 for the exercises. The code runs in half a minute.
# It runs on all of MNIST, too, in minutes.
#
# Equation numbers such as (B30) are rows of the table `EQUATIONS.md`; numbers such as (1.1) are steps on the way.
# Energies and log-likelihoods are in nats.

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
from scipy import integrate, optimize, special, stats
from tensorflow_probability import distributions as tfd

from rbm_tf import datasets, diagrams, plotting
from rbm_tf.course import check, mean_and_error, trained
from vae_keras import NegativeLogLikelihood, lambda_vae, layers, networks, parts
from vae_keras.vae import VAE

# %%
seed = 0
dataset = "mnist_5k"  # 5,000 images that need no download; or "mnist", all 70,000
num_epochs, batch_size = {"mnist_5k": (100, 50), "mnist": (20, 100)}[dataset]
num_test = 1000
latent_dim, hidden_units = 2, {"mnist_5k": 48, "mnist": 256}[dataset]
num_many = 100_000  # samples in statistical checks
retrain = bool(os.environ.get("RETRAIN"))  # True: train both models here, half a minute
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 88}])


# %% [markdown]
# **Part VI: Variational autoencoders.** A Boltzmann machine is slow to train, because its equilibrium
# free energy is a sum over everything that it could say. A VAE has no such sum: it draws an image in two steps,
# and ordinary backpropagation trains it. People use it to generate images, to compress them, and to find the few
# numbers that describe a molecule or a cell. The price is a posterior that nobody can sum, and this part is about
# the free energy that stands in for it. Here is the model, and what it draws after training.

# %%
(x_train, _), (x_test, y_test) = datasets.LOADERS[dataset]("bernoulli", seed=seed)
_, (grey_levels, _) = datasets.LOADERS[dataset]("none")
x_test, y_test, grey_levels = (part[:num_test] for part in (x_test, y_test, grey_levels))
image_shape = x_train.shape[1:]
num_pixels = int(np.prod(image_shape))
encoder = networks.dense_encoder(image_shape, latent_dim, hidden_units=(hidden_units,))
decoder = networks.dense_decoder(image_shape, latent_dim, hidden_units=(hidden_units,))
x = keras.Input(image_shape)
finished = keras.Model(x, decoder(encoder(x)[0]))  # with the weights that section 6 trains
trained(finished, f"vae_{dataset}_2_latents", lambda: None)
means_drawn = VAE(encoder, decoder).generate(30, seed=seed)
pixels_drawn = datasets.binarize(means_drawn, binarization="bernoulli", seed=seed)

# %% name="real-and-generated" alt="Left: a drawing of the model, from x through an encoder to two latent variables, and through a decoder back. Right: real digits in grey with pixels drawn from them; generated ones, blurred, with pixels drawn from them."
figure = plt.figure(figsize=(9.5, 4.4))
axes = figure.subplot_mosaic([["model", "real"], ["model", "generated"]], width_ratios=[1, 1.25])
diagrams.autoencoder(axes["model"])
rows = {
    "real": [grey_levels[:20], x_test[:20]],
    "generated": [means_drawn[:20], pixels_drawn[:20]],
}
for name, (means, pixels) in rows.items():
    shown = np.concatenate([means[:10], pixels[:10], means[10:], pixels[10:]])
    plotting.image_grid(axes[name], shown)
axes["real"].set_title("Real digits: grey levels, and below them pixels drawn from these")
axes["generated"].set_title("Generated: means of $p(x|z)$, and below them pixels drawn")
plt.show()

# %% [markdown]
# ## 1. Four choices on the way to a program
#
# A VAE describes how an image comes about: it draws a few *latent variables* from the prior
# $p(z) = N(0, I)$; then it draws the pixels from $p(x|z)$, whose parameters a neural network, the
# *decoder*, computes from $z$. This is a system with the energy
#
# $$E(x, z) = -\ln p(x, z) = -\ln p(x|z) - \ln p(z) . \tag{1.1}$$
#
# Its latent variables play the part of hidden units, and an image has a clamped free energy:
#
# $$p(x) = \int\! dz\; e^{-E(x, z)} , \qquad F_c(x) = -\ln \int\! dz\; e^{-E(x, z)} = -\ln p(x) . \tag{1.2}$$
#
# In $\ln p(v) = -F_c(v) + F_{\rm eq}$ (B5) the second term is gone: (1.1) is normalised from
# the start, $F_{\rm eq} = -\ln 1 = 0$, and a VAE needs no negative phase. The price is
# in the first: the energy (1.1) contains a whole network, and its integral has no closed form.
#
# So bound it, as in chapter 18. Whatever $z$ is, $\ln p(x) = \ln p(x, z) - \ln p(z|x)$. Average this over any
# distribution $q(z|x)$, and add and subtract $\langle \ln q \rangle_q$:
#
# $$\ln p(x) = \underbrace{\big\langle \ln p(x, z) - \ln q(z|x) \big\rangle_q}_{\text{ELBO}}
#   {} + \underbrace{\Big\langle \ln \frac{q(z|x)}{p(z|x)} \Big\rangle_q}_{
#     \mathrm{KL}(q(z|x) \| p(z|x)) \;\ge\; 0} . \tag{1.3}$$
#
# The first bracket is the *evidence lower bound*. Its negative is energy minus entropy (B15),
# $S(q) = -\langle \ln q \rangle_q$:
#
# $$\boxed{\; -\text{ELBO} = \langle E(x, z) \rangle_q - S(q) = \big\langle -\ln p(x|z) \big\rangle_q
#   {} + \mathrm{KL}\big( q(z|x) \,\|\, p(z) \big) \;\ge\; -\ln p(x) \;} \tag{B14}$$
#
# The last form splits the energy by (1.1) and joins $-\ln p(z)$ with the entropy. That is all the
# theory of a VAE. A program takes four choices, and each is a line of Keras:
#
# | choice | row | in Keras |
# |:--|:--|:--|
# | $q(z \mid x)$: independent Gaussians, from an *encoder* | B29 | two `Dense` layers |
# | the KL term in closed form | B30 | one line of arithmetic |
# | the average over $q$ by noise that gradients pass | B31 | a `Lambda` layer |
# | pixels summed, examples averaged | B32 | the loss given to `compile` |
#
# The first choice is *mean field*: for each image, latent variable $j$ has a mean $\mu_j(x)$ and a
# variance $\sigma_j^2(x)$, and no correlation with the others. The encoder computes means and
# *logarithms* of variances, since a network's output may have any sign.
# [Chapter 23](23_exact_evidence.ipynb) measures what this costs. The others come now, one by one.
#
# %% [markdown]
# ## 2. The KL term in closed form
#
# The last term in (B14) is a difference of two averages over the same $q$. Take one latent variable first,
# $q = N(\mu, \sigma^2)$ and $p = N(0, 1)$. Under $q$,
# $\langle (z - \mu)^2 \rangle = \sigma^2$ and $\langle z^2 \rangle = \mu^2 + \sigma^2$. So minus
# the entropy is
#
# $$\langle \ln q \rangle_q = -\tfrac12 \ln 2 \pi \sigma^2
#   {} - \frac{\langle (z - \mu)^2 \rangle_q}{2 \sigma^2} = -\tfrac12 \big( \ln 2 \pi + \ln \sigma^2 + 1 \big) ,
#   \tag{2.1}$$
#
# and minus the expected energy of the prior is
#
# $$\langle \ln p \rangle_q = -\tfrac12 \ln 2 \pi - \tfrac12 \langle z^2 \rangle_q
#   = -\tfrac12 \big( \ln 2 \pi + \mu^2 + \sigma^2 \big) . \tag{2.2}$$
#
# Subtract; $\ln 2 \pi$ cancels. With many latent variables both densities are products, both logarithms are sums
# over $j$, and each term is averaged over its own factor. So the KL is a *sum* over the latent variables:
#
# $$\boxed{\; \mathrm{KL}\big( q(z|x) \,\|\, N(0, I) \big)
#   = -\tfrac12 \sum_{j=1}^J \big( 1 + \ln \sigma_j^2 - \mu_j^2 - \sigma_j^2 \big) \;} \tag{B30}$$
#
# The post says that mean and variance here are estimates from the mini-batch. They are not: each example has its
# own $\mu_j(x)$ and $\sigma_j^2(x)$, and (B30) is exact for each (exercise 4).
#
# **Check against the exact result**: the definition $\int q \ln (q / p)\, dz$ by numerical
# integration, then (B30) by hand, the layer `GaussianKL`, and TFP.


# %%
def kl_by_hand(mean, log_var):
    """KL(q || N(0, I)) of each example (B30), nats."""
    return -0.5 * np.sum(1 + log_var - mean**2 - np.exp(log_var), axis=-1)


def integrand(z, mean, log_var):
    log_q = stats.norm.logpdf(z, mean, np.exp(log_var / 2))
    return np.exp(log_q) * (log_q - stats.norm.logpdf(z))


# %%
for mean, log_var in ((0.0, 0.0), (1.5, -2.0), (-0.3, 1.0)):
    integral = integrate.quad(integrand, -12, 12, args=(mean, log_var), epsabs=1e-12)[0]
    check(kl_by_hand(np.array([mean]), np.array([log_var])), integral, tolerance=1e-8)
    print(f"mean {mean:4.1f}, log-variance {log_var:4.1f}: KL = {integral:.6f} nats")
means, log_vars = np.random.default_rng(seed).normal(size=(2, 5, 3)).astype("float32")
by_tfp = tfd.MultivariateNormalDiag(means, np.exp(log_vars / 2)).kl_divergence(
    tfd.MultivariateNormalDiag(tf.zeros(3))
)
check(kl_by_hand(means, log_vars), by_tfp, tolerance=1e-5)
check(layers.GaussianKL()((means, log_vars)), by_tfp, tolerance=1e-5)

# %% name="kl-curves" alt="Left: KL against sigma for three means; each curve has its minimum at sigma = 1, 0 only for mean 0. Right, mean 0: the rising energy and the falling minus entropy add to the KL."
figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.3))
width = np.linspace(0.05, 3, 200)
for mean, colour in ((0, blue), (1, orange), (2, green)):
    curve = kl_by_hand(np.full((200, 1), mean), 2 * np.log(width)[:, np.newaxis])
    axes[0].plot(width, curve, color=colour, label=rf"$\mu$ = {mean}")
axes[0].set(title="One latent variable", xlabel=r"$\sigma$", ylabel="KL (nats)")
axes[1].plot(width, 0.5 * width**2 - 0.5, color=purple, label=r"energy $\frac{1}{2}(\sigma^2 - 1)$")
axes[1].plot(width, -np.log(width), color=grey, label=r"minus entropy $-\ln\sigma$")
total = kl_by_hand(np.zeros((200, 1)), 2 * np.log(width)[:, np.newaxis])
axes[1].plot(width, total, color=blue, lw=2.5, label="KL, their sum")
axes[1].set(title=r"Energy against entropy, $\mu = 0$", xlabel=r"$\sigma$", ylabel="nats")
for axis in axes:
    axis.legend()
plt.show()

# %% [markdown]
# Left: the KL vanishes only where $q$ is the prior. Precision costs: where $\sigma$ is small, every further factor of
# $e$ in $1/\sigma$ is one nat more. Right: as in any free energy, the energy would like $\sigma = 0$, the entropy
# $\sigma = \infty$.
#
# %% [markdown]
# ## 3. The reparameterisation
#
# The other term of (B14), $\langle -\ln p(x|z) \rangle_q$, is an integral over a network. One draw of $z$ from $q$
# estimates it without bias. But how does the gradient get through? Once a
# number is drawn, it is a number: nothing says how it would have changed with $\mu$ and $\sigma$.
#
# So draw something that does not depend on the parameters, and then compute $z$.
# If $\epsilon \sim N(0, 1)$, then $\mu + \sigma \epsilon$ has the distribution $N(\mu, \sigma^2)$. Hence
#
# $$\boxed{\; z = \mu(x) + \sigma(x)\, \epsilon , \qquad \epsilon \sim N(0, I) \;} \qquad
#   \langle f(z) \rangle_q = \big\langle f(\mu + \sigma \epsilon) \big\rangle_\epsilon . \tag{B31}$$
#
# On the right the distribution is fixed, and the derivative may be taken inside.
# With $\sigma = e^{\frac12 \ln \sigma^2}$,
#
# $$\frac{\partial}{\partial \mu} \langle f \rangle_q = \big\langle f'(z) \big\rangle , \qquad
#   \frac{\partial}{\partial \ln \sigma^2} \langle f \rangle_q
#   = \Big\langle f'(z)\, \frac{\partial z}{\partial \ln \sigma^2} \Big\rangle
#   = \big\langle f'(z)\, \tfrac12 \sigma \epsilon \big\rangle . \tag{3.1}$$
#
# One draw gives an unbiased estimate of the gradient as well, and for a network $f'$ is what
# backpropagation computes. Its variance, and a rival that works without $f'$, are the subject of
# [chapter 25](25_stochastic_gradients.ipynb) (B17).
#
# **Check against the exact result** with $f = z^4$, whose mean is
# $\mu^4 + 6 \mu^2 \sigma^2 + 3 \sigma^4$. Its derivatives are $4 \mu^3 + 12 \mu \sigma^2$ and,
# since $\partial / \partial \ln \sigma^2 = \sigma^2\, \partial / \partial \sigma^2$,
# $6 \mu^2 \sigma^2 + 6 \sigma^4$.

# %% name="gradient-of-a-path"
mu, log_variance = 0.7, -0.4
variance = np.exp(log_variance)
exact = np.array([4 * mu**3 + 12 * mu * variance, 6 * mu**2 * variance + 6 * variance**2])
eps = tf.constant(np.random.default_rng(seed).normal(size=num_many))
mean, log_var = tf.fill(num_many, tf.constant(mu, tf.float64)), tf.fill(num_many, log_variance)
log_var = tf.cast(log_var, tf.float64)
with tf.GradientTape() as tape:
    tape.watch([mean, log_var])
    f = (mean + tf.exp(log_var / 2) * eps) ** 4  # (B31)
gradients = np.transpose(tape.gradient(f, [mean, log_var]))  # of each draw, (num_many, 2)
average, error = mean_and_error(gradients)
print("exact gradient:", exact.round(4), " mean over draws:", average.round(4), end=" ")
print("standard errors:", error.round(4))
assert np.all(np.abs(average - exact) < 5 * error)  # (3.1)

# %% name="no-gradient"
with tf.GradientTape() as tape:
    tape.watch(mean)
    drawn = np.random.default_rng(seed).normal(mean, np.exp(log_var / 2))  # the same numbers
    f = tf.reduce_sum(tf.constant(drawn) ** 4)
print("gradient through a plain draw:", tape.gradient(f, mean))

# %% [markdown]
# Both cells drew the same $z$. In the second one, the tape has not seen where they came from.
#
# %% [markdown]
# ## 4. The Lambda layer
#
# A `Lambda` layer makes a Keras layer of any function that has no weights of its own. The post puts (B31) into one,
# and here it is in today's Keras.


# %% name="lambda-layer"
@keras.saving.register_keras_serializable(package="chapter22")
def sample(mean_and_log_var, seed):
    """z = mean + sigma eps with fresh noise (B31)."""
    mean, log_var = mean_and_log_var
    eps = keras.random.normal(ops.shape(mean), seed=seed)
    return mean + ops.exp(log_var / 2) * eps


def sampling_layer(function=sample, latent_dim=latent_dim):
    noise = {"seed": keras.random.SeedGenerator(seed)}
    return keras.layers.Lambda(function, output_shape=(latent_dim,), arguments=noise)


# %% [markdown]
# Three details are missing in older programs.
#
# - **The seed generator.** With an integer seed `keras.random.normal` gives the same numbers on every call. A
#   `SeedGenerator` is a counter that Keras tracks: the noise changes inside a compiled training step, too, and the
#   whole sequence is reproducible.
# - **A function with a name, registered.** A saved model holds the layer's function. An anonymous
#   `lambda` can only be saved as bytecode, and Keras refuses to load that, because bytecode can do anything.
# - **The output's shape** is stated, since a function does not know it before it has run.
#
# **Check**: our layer draws the numbers of the library's `GaussianSampling`, with the
# mean and variance of (B31); an integer seed repeats itself; the registered function comes
# back from its saved configuration, and the anonymous one is refused.

# %%
pair = ops.convert_to_tensor(means), ops.convert_to_tensor(log_vars)  # three latent variables
ours, library = sampling_layer(latent_dim=3), layers.GaussianSampling(seed=seed)
for _ in range(3):
    check(ours(pair), library(pair), tolerance=1e-6)
check(sample(pair, seed=7), sample(pair, seed=7))  # an integer: the same noise again
generator = keras.random.SeedGenerator(seed)
assert not np.allclose(sample(pair, generator), sample(pair, generator))
many = sample([ops.repeat(x[:1], num_many, axis=0) for x in pair], seed=generator).numpy()
average, error = mean_and_error(many)
assert np.all(np.abs(average - means[0]) < 5 * error)
relative = many.var(axis=0) / np.exp(log_vars[0]) - 1
assert np.all(np.abs(relative) < 5 * np.sqrt(2 / num_many))

# %% name="saved-function"
again = keras.layers.Lambda.from_config(ours.get_config())
fresh = sampling_layer(latent_dim=3)
check(again(pair), fresh(pair))  # the copy starts its sequence from the seed
anonymous = sampling_layer(lambda pair, seed: sample(pair, seed), latent_dim=3)
try:
    keras.layers.Lambda.from_config(anonymous.get_config())
except ValueError as error:
    print("refused:", str(error)[:88], "...")
else:
    raise AssertionError("the anonymous function was loaded")

# %% [markdown]
# The post worries that drawing random numbers slows training down. A count says no: two normal numbers for each
# image, against tens of thousands of weights (section 5 prints them). For use, take `GaussianSampling`: it also keeps
# its place in the random sequence when the model is saved.
#
# %% [markdown]
# ## 5. The loss, and one model in three forms
#
# The pixels are binary, so the decoder gives each of them a probability $y_i(z) =
# \mathrm{sigm}(\ell_i)$, where the *logit* $\ell_i$ is the decoder's plain output and
# $\mathrm{sigm}(\ell) = 1 / (1 + e^{-\ell})$. Given $z$ the pixels are independent:
#
# $$-\ln p(x|z) = -\sum_{i=1}^{D} \big[ x_i \ln y_i + (1 - x_i) \ln (1 - y_i) \big] . \tag{5.1}$$
#
# Use $1 - \mathrm{sigm}(\ell) = \mathrm{sigm}(-\ell)$ and $-\ln \mathrm{sigm}(-\ell) =
# \ln (1 + e^{\ell}) = \mathrm{softplus}(\ell)$, hence $-\ln \mathrm{sigm}(\ell) =
# \mathrm{softplus}(-\ell) = \mathrm{softplus}(\ell) - \ell$. Then
#
# $$-\ln p(x|z) = \sum_i \big[ x_i\, ( \mathrm{softplus}(\ell_i) - \ell_i )
#   {} + (1 - x_i)\, \mathrm{softplus}(\ell_i) \big]
#   = \sum_i \big[ \mathrm{softplus}(\ell_i) - x_i \ell_i \big] . \tag{5.2}$$
#
# No logarithm of a small number is left. The sum over pixels comes from the product of their
# probabilities; there is no freedom to average instead. The average is over *examples*: the
# objective is the mean of $-$ELBO over the data. A batch of $L$ of them estimates it without bias, with one draw of
# $\epsilon$ for each:
#
# $$\boxed{\; \mathcal{L} = \frac1L \sum_{l=1}^{L} \Big[ -\ln p\big( x^{(l)} \big| z^{(l)} \big)
#   {} + \mathrm{KL}\big( q(z|x^{(l)}) \,\|\, N(0, I) \big) \Big] , \qquad
#   z^{(l)} = \mu(x^{(l)}) + \sigma(x^{(l)})\, \epsilon^{(l)} \;} \tag{B32}$$
#
# which is the post's loss. It enters the program in two places: the cross-entropy (5.2)
# compares output and input, so it is a Keras loss; the KL needs the middle of the
# network, so a layer adds it on the way.


# %%
class AddGaussianKL(keras.layers.Layer):
    """Adds the batch mean of (B30) to the model's loss; passes its input on."""

    def call(self, mean_and_log_var):
        mean, log_var = mean_and_log_var
        terms = -0.5 * (1 + log_var - ops.square(mean) - ops.exp(log_var))  # (B30)
        self.add_loss(ops.mean(ops.sum(terms, axis=-1)))
        return mean_and_log_var


# %% name="whole-model"
def cross_entropy(x, logits):
    """-ln p(x|z) of each image (5.2), nats; Keras averages it over the batch."""
    return ops.sum(ops.softplus(logits) - x * logits, axis=(1, 2))


def assemble(latent_dim=latent_dim):
    """The post's model, compiled: encoder (B29), KL (B30), Lambda (B31), decoder and loss (B32)."""
    keras.utils.set_random_seed(seed)
    encoder = networks.dense_encoder(image_shape, latent_dim, hidden_units=(hidden_units,))
    decoder = networks.dense_decoder(image_shape, latent_dim, hidden_units=(hidden_units,))
    x = keras.Input(image_shape)
    z = sampling_layer(latent_dim=latent_dim)(AddGaussianKL()(encoder(x)))
    model, steps = keras.Model(x, decoder(z)), len(x_train) // batch_size
    model.compile("adam", cross_entropy, jit_compile=False, steps_per_execution=steps)
    return model


# %% [markdown]
# That is the whole model; the last two options of `compile` only save time. The library has it twice: `build_lambda_vae`
# in the post's form, and `VAE`, which takes any encoder and decoder. Our two layers are `AddKL` and `GaussianSampling` there, and the loss
# (5.2) is `NegativeLogLikelihood(parts.Bernoulli())`.
#
# **Check against the exact result.** First (5.2) against TFP and against
# Keras's own cross-entropy, which is a *mean* over pixels and must be multiplied by their number.
# Then the three models, and (B32) written out: equal weights and equal noise give the same loss and gradient.

# %%
batch = x_train[:64]
hand = assemble()
logits = hand(batch)
by_tfp = -tfd.Independent(tfd.Bernoulli(logits=logits), 2).log_prob(batch)
by_keras = num_pixels * keras.losses.BinaryCrossentropy(from_logits=True)(batch, logits)
check(cross_entropy(batch, logits), by_tfp, tolerance=1e-5)
check(np.mean(by_tfp), by_keras, tolerance=1e-5)
check(NegativeLogLikelihood(parts.Bernoulli())(batch, logits), by_keras, tolerance=1e-5)
print(f"{hand.count_params()} weights, {latent_dim} normal numbers per image")
print(f"untrained: {float(by_keras):.3f} nats; all pixels 1/2: {num_pixels * np.log(2):.3f} nats")


# %%
hand = assemble()
library = lambda_vae.build_lambda_vae(
    image_shape, latent_dim=latent_dim, intermediate_dim=hidden_units, seed=seed
)
encoder, decoder = (library.get_layer(name) for name in ("encoder", "decoder"))
[part.set_weights(hand.get_layer(part.name).get_weights()) for part in (encoder, decoder)]
vae = VAE(encoder, decoder, seed=seed)


def loss_by_hand():
    """(B32) in four lines."""
    mean, log_var = encoder(batch)
    z = sample((mean, log_var), keras.random.SeedGenerator(seed))  # the first draw of each model
    kl = -0.5 * ops.sum(1 + log_var - ops.square(mean) - ops.exp(log_var), axis=-1)
    return ops.mean(cross_entropy(batch, decoder(z)) + kl)


# %% name="four-forms"
forms = {
    "by hand (B32)": (loss_by_hand, vae),
    "fifteen lines": (lambda: hand.compute_loss(batch, batch, hand(batch)), hand),
    "build_lambda_vae": (lambda: library.compute_loss(batch, batch, library(batch)), vae),
    "VAE": (lambda: vae.compute_loss(batch), vae),
}
results = []
for name, (function, model) in forms.items():
    with tf.GradientTape() as tape:
        loss = function()
    results.append([loss, *tape.gradient(loss, [w.value for w in model.trainable_weights])])
    for value, reference in zip(results[-1], results[0], strict=True):
        check(value, reference, tolerance=1e-4)  # loss, and each part of the gradient
    print(f"{name:17s} loss {float(loss):.5f} nats")

# %% [markdown]
# ## 6. Training, and the post's pictures
#
# Call the model's `fit`, with the images as input and as target. The trained weights come with the
# course, for this model and for one with eight latent variables, and so does the loss of each epoch; the cell trains
# the first three anew. With `retrain = True` in the parameters cell all are trained here, and the files in
# the folder `models` overwritten. Another processor gives slightly different numbers.


# %% name="training"
def fit(model, name):
    """Give a model its shipped weights; where there are none, or on demand, train it. Its losses."""

    def train():
        return model.fit(x_train, x_train, batch_size, num_epochs, verbose=0).history["loss"]

    return trained(model, f"vae_{dataset}_{name}", train, retrain=retrain)


model = assemble()
history = fit(model, "2_latents")
first = assemble().fit(x_train, x_train, batch_size, epochs=3, verbose=0).history["loss"]
check(first, history[:3], tolerance=1e-3)
print("loss of three epochs:", np.round(first, 3), f"and of the last: {history[-1]:.3f} nats")

# %% name="training-and-codes" alt="Left: minus ELBO over 100 epochs falls from 338 to 160 nats; the test images end at 171. Right: posterior means of the test images fill the circles of the prior and reach beyond; 0 and 1 keep to regions of their own, other digits mix."
vae = VAE(model.get_layer("encoder"), model.get_layer("decoder"), seed=seed)
minus_elbo = -np.mean(vae.elbo(x_test, num_samples=100, seed=seed))
test_mean, test_log_var = (np.asarray(output, float) for output in vae.encode(x_test))
figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), width_ratios=[1, 1.2])
axes[0].plot(np.arange(1, num_epochs + 1), history, color=blue)
axes[0].axhline(num_pixels * np.log(2), color=grey, ls="--", label=r"all pixels $\frac{1}{2}$")
axes[0].axhline(minus_elbo, color=orange, ls=":", label="test images, at the end")
axes[0].set(title="Training", xlabel="epoch", ylabel="$-$ELBO (nats)")
axes[0].legend()
print(f"-ELBO: training {history[-1]:.1f}, test {minus_elbo:.1f} nats")
plotting.scatter_by_label(axes[1], test_mean, y_test)
for radius in (1, 2):
    axes[1].add_patch(plt.Circle((0, 0), radius, fill=False, color=grey))
axes[1].set(title="Posterior means of test images, by digit", xlabel="$z_1$", ylabel="$z_2$")
plt.show()

# %% [markdown]
# The labels were never shown to the model. Yet of the ten codes nearest to that of an image nearly half are of its own
# digit (printed below), where chance has a tenth: 0 and 1 keep to regions of their own, others mix. The circles are the
# prior's 1 and 2 standard deviations. The codes fill them and reach beyond: nearly a third lie outside the larger
# circle, where the prior has a seventh.

# %% name="codes"
nearest = np.argsort(np.linalg.norm(test_mean[:, np.newaxis] - test_mean, axis=2), axis=1)
own = np.mean(y_test[nearest[:, 1:11]] == y_test[:, np.newaxis], axis=1)  # of the ten nearest
outside = np.mean(np.linalg.norm(test_mean, axis=1) > 2)
by_digit = np.array([own[y_test == digit].mean() for digit in range(10)])
z = np.random.default_rng(seed).normal(size=(2000, 1, 2))  # from the prior
log_q = stats.norm.logpdf(z, test_mean, np.exp(test_log_var / 2)).sum(axis=2)  # of q(z|x)
log_q = special.logsumexp(log_q, axis=1) - np.log(len(x_test))  # of q(z)
holes = np.mean(log_q < stats.norm.logpdf(z[:, 0]).sum(axis=1) - np.log(10))
print(f"ten nearest codes: {own.mean():.0%} of the same digit; from 0 to 9 {by_digit.round(2)}")
print(f"{outside:.0%} of the codes are outside the larger circle, of the prior {np.exp(-2):.0%}")
print(f"at {holes:.1%} of draws from the prior q(z) is below a tenth of p(z)")
if dataset == "mnist_5k":
    assert 0.4 < own.mean() < 0.5 and by_digit[:2].min() > 0.66 > by_digit[2:].max()
    assert 0.25 < outside < 0.4 and 6 < minus_elbo - history[-1] < 15 and 0.03 < holes < 0.07

# %% name="manifold" alt="A grid of 14 by 14 images decoded from the latent plane; digits change smoothly into others."
quantile = stats.norm.ppf(np.linspace(0.03, 0.97, 14))  # equal steps of the prior's probability
corners = np.stack(np.meshgrid(quantile, quantile[::-1]), axis=-1).reshape(-1, 2)
figure, axis = plt.subplots(figsize=(5.6, 5.6))
plotting.image_grid(axis, vae.decode(corners.astype("float32")), columns=14)
axis.set_title("The latent plane, decoded")
plt.show()

# %% name="reconstructions" alt="Three rows of twenty digits: black and white test images; their grey, blurred reconstructions by two latent variables; less blurred ones by eight. From two, 4s, 5s and 7s come back as 9s."
wider = assemble(latent_dim=8)
fit(wider, "8_latents")
wide_vae = VAE(wider.get_layer("encoder"), wider.get_layer("decoder"))
by_two, by_eight = (np.asarray(one.reconstruct(x_test)) for one in (vae, wide_vae))
shares = [np.mean((means > 0.1) & (means < 0.9)) for means in (by_two, by_eight, pixels_drawn)]
print("means between 0.1 and 0.9: {:.0%} with two latents, {:.0%} with eight".format(*shares))
assert shares[2] == 0 and shares[1] < shares[0] - 0.05
chosen = np.concatenate([np.flatnonzero(y_test == digit)[:2] for digit in range(10)])
shown = np.concatenate([images[chosen] for images in (x_test, by_two, by_eight)])
figure, axis = plt.subplots(figsize=(10, 2))
plotting.image_grid(axis, shown, columns=20)
axis.set_title("Test images; reconstructed by two latent variables; by eight")
plt.show()

# %% [markdown]
# **Why are the pictures blurred?** No line smooths a picture. What is shown is the *mean* of $p(x|z)$, a
# number between 0 and 1 for each pixel. The model's own samples are
# black and white and noisy, since the pixels are independent given $z$: look again at the first picture. Whatever two
# numbers do not tell about an image is noise to this model. With eight numbers fewer means are grey.
#
# The post suspects another reason: that draws from the prior land where the decoder has learned nothing. Few do: at
# one in twenty (printed above) the density $q(z)$ of all codes, (B13c) of [chapter 17, section
# 3](17_one_free_energy.ipynb), is below a tenth of $p(z)$.
#
# %% [markdown]
# ## 7. Summary
#
# - A VAE's joint distribution is normalised, so $F_{\rm eq} = 0$ and learning has no negative
#   phase. The clamped free energy $-\ln p(x)$ is the hard one, and $-$ELBO bounds it from above.
# - The KL (B30) is a sum over latent variables, the reconstruction a sum over pixels, and only examples
#   are averaged (B32). Other sums are other models.
# - A gradient passes a random number if the noise is drawn first and the latent variable computed from it (B31).
# - A generated image is a mean. What is drawn from it is sharp, and noisy.
#
# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **What is a nat of KL worth?** Let the means $\mu(x)$ of one latent variable be spread
#    over the data with variance $s^2$ and mean 0, with the same $\sigma^2$ for all $x$. Average
#    (B30) over the data. At a fixed ratio $s^2 / \sigma^2 = \rho$, find the $\sigma$ that makes it
#    smallest, and show that it is then $\frac12 \ln (1 + \rho)$. Where have you seen this formula?
#    Write a function `cheapest(rho)` that returns the best $\sigma^2$ and the average KL there.
# 2. *(easy)* **Grey levels.** Many programs put the grey levels $g \in [0, 1]$ themselves into
#    (5.1). Show that this is the mean of $-\ln p(x|z)$ over pixels drawn with probability $g$. What
#    is the least value that it can take, and how much is that for the digits? For `test_logits`, the decoder's
#    output at the test images' means, compare the cost against their grey levels (`grey_levels`), `grey_cost`,
#    with the costs of 200 draws, `drawn_costs`, and with the least value, `least_cost`.
# 3. *(medium)* **What `"mse"` assumes.** A program gives the loss `"mse"`, the mean over pixels of $(x_i - y_i)^2$,
#    and adds the KL (B30). For which Gaussian noise $p(x|z) = N(y, s^2 I)$ is that (B32), up to a constant? How
#    large is $s$ for 784 pixels, beside the difference between black and white? Write `assumed_noise(num_pixels)`,
#    and `best_noise(x, y)`, the $s$ under which images $x$ are most likely, given means $y$ from a decoder.
# 4. *(hard)* **The mean and variance of a batch.** Suppose that a program computes (B30) once, from the mean $m_j$
#    and the variance $v_j$ of all $z$ that a batch draws. Show that $v_j$ is the mean of $\sigma_j^2$ plus the
#    variance of $\mu_j$, and that the result is smaller than the mean of (B30) by
#    $\frac12 \sum_j (\ln v_j - \langle \ln \sigma_j^2 \rangle) \ge 0$. Show that this difference is at least the
#    information $I$ of (B13c). What would a model trained in this way be free to do? Write
#    `batch_kl(mean, log_var)`, and `lost`, the difference for the test images.
#
# The solutions are in the cells below, folded: click on one to open it.


# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. The average is (s^2 + sigma^2 - 1 - ln sigma^2) / 2. With s^2 = rho sigma^2 its derivative in
# sigma^2, (1 + rho - 1/sigma^2) / 2, vanishes at sigma^2 = 1 / (1 + rho): then s^2 + sigma^2 = 1,
# the aggregate has the prior's variance. The value is ln(1 + rho) / 2: Shannon's capacity of a
# Gaussian channel.
def cheapest(rho):
    options = {"bounds": (1e-3, 1.5), "method": "bounded", "options": {"xatol": 1e-10}}
    found = optimize.minimize_scalar(
        lambda sigma: kl_by_hand(np.sqrt([rho]) * sigma, 2 * np.log([sigma])), **options
    )
    return found.x**2, found.fun


check([cheapest(rho) for rho in (0.1, 10)], [[0.909091, 0.047655], [0.090909, 1.198948]], 1e-5)
for ratio in (0.1, 1.0, 10.0, 100.0):
    print(f"1. signal to noise {ratio:5.1f}: {cheapest(ratio)[1]:.4f} nats")

# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. (5.1) is linear in x, so its mean over x ~ Bernoulli(g) has g in place of x. As a function of
# y it is smallest at y = g: the entropy of the drawn pixels, which no model can get below.
test_logits, levels = vae.decoder(test_mean), grey_levels.astype(float)
draws = [datasets.binarize(levels, binarization="bernoulli", seed=k) for k in range(200)]
drawn_costs = np.array([cross_entropy(draw, test_logits).numpy().mean() for draw in draws])
grey_cost = cross_entropy(levels, test_logits).numpy().mean()
least_cost = np.sum(special.entr(levels) + special.entr(1 - levels), axis=(1, 2)).mean()
print(f"2. against grey levels {grey_cost:.3f} nats; least value {least_cost:.3f} nats")
assert len(drawn_costs) == 200 and 0.01 < np.std(drawn_costs) < 1  # draws differ
assert abs(np.mean(drawn_costs) - grey_cost) < 5 * np.std(drawn_costs) / np.sqrt(200)
assert least_cost < grey_cost < num_pixels * np.log(2)
assert dataset != "mnist_5k" or abs(least_cost - 46.168) < 1e-3


# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. -ln N(x; y, s^2 I) = |x - y|^2 / 2s^2 + const, and "mse" is |x - y|^2 / D: 2 s^2 = D. For 784
# pixels s = 19.8 times the way from black to white: this model expects hardly anything but noise.
def assumed_noise(num_pixels):
    return np.sqrt(num_pixels / 2)


def best_noise(x, y):
    return np.sqrt(np.mean((x - y) ** 2))  # of -ln p = D (mse / 2s^2 + ln s) + const


# %% jupyter={"source_hidden": true} tags=["solution"]
check([assumed_noise(784), best_noise(np.array([0.0, 1.0]), 0.5)], [392**0.5, 0.5])
check(
    NegativeLogLikelihood(parts.Gaussian(scale=assumed_noise(num_pixels)))(x_test, by_two),
    np.mean((x_test - by_two) ** 2) + num_pixels / 2 * np.log(np.pi * num_pixels),
    tolerance=1e-5,
)
print(f"3. noise assumed {assumed_noise(num_pixels):.2f}, best {best_noise(x_test, by_two):.2f}")


# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. v is the law of total variance. m^2 + v = <mu^2> + <sigma^2>, so only the logarithms differ;
# Jensen. With G = N(m, v), KL(q(z)||p) = KL(q(z)||G) + KL(G||p), so what is lost is I + KL(q(z)||G).
# Such a model may let every sigma go to 0: spread means alone fill the prior, and codes are free.
def batch_kl(mean, log_var):
    variance = np.exp(log_var).mean(axis=0) + mean.var(axis=0)
    return kl_by_hand(mean.mean(axis=0), np.log(variance))


lost = kl_by_hand(test_mean, test_log_var).mean() - batch_kl(test_mean, test_log_var)
assert lost > 0
check(batch_kl(np.array([[-1.0], [1.0]]), np.full((2, 1), -60.0)), 0.0)  # KL of each: 30 nats
assert dataset != "mnist_5k" or abs(lost - 5.04) < 0.02
print(f"4. the batch's mean and variance lose {lost:.3f} nats of KL")
