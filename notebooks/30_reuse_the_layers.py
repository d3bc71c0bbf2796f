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
# # Chapter 30: Reuse the layers
#
# The equations of the previous chapters are not about autoencoders. Wherever a network has a random
# variable inside, there is a trial distribution, an energy and an entropy, and the layers of
# `vae_keras.layers` fit. This chapter builds three models that are not in the library: a classifier
# whose features are noisy on purpose, an autoencoder with binary code, and a Bayesian regression
# whose exact posterior is known. Each is an ordinary Keras model of a few lines, and each is
# checked against an exact result.
#
# **What you will do**
#
# - see the three ways in which a free energy gets into the loss of a Keras model;
# - build a classifier with a variational information bottleneck, and see when noise helps it;
# - build an autoencoder with eight bits of code, and sum over all 256 codes;
# - fit a normalising flow to a posterior that is known in closed form;
# - save, load, change precision and backend;
# - forget a division by $N$ on purpose, and predict exactly what comes out.
#
# **What you will learn**
#
# - what `add_loss` adds, and why the KL of weights is divided by the number of data while that of
#   latent variables is not;
# - what relaxation does to a bound (B29);
# - what a structured posterior gains over mean field, in nats;
# - what a saved model may and may not contain.
#
# **What you need**: chapter 22, and some Keras; chapter 26, section 3, for the relaxed variables; chapter 23,
# section 1, for the regression.
#
# **Time**: about 55 minutes, and 80 for the exercises. The code takes about a minute,
# and another one where it trains its shipped models anew.
#
# Equation numbers such as (B30) are the row names used in the whole course and in the table
# `EQUATIONS.md`; numbers such as (2.1) are steps on the way. Everything is in nats.

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
import tempfile
from functools import partial

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops
from scipy import special, stats

from rbm_tf import datasets, plotting
from rbm_tf.course import check, label, trained
from rbm_tf.rbm import BernoulliRBM
from vae_keras import NegativeLogLikelihood, WeightSchedule, layers, parts

# %%
seed = 0
num_labelled, num_features = 400, 16  # of the classifier
betas = (0.0, 0.01, 0.1)  # weights of its KL
num_bits, num_epochs = 8, 100  # of the binary autoencoder
num_points, noise_scale, num_draws = 20, 0.5, 64  # of the regression
retrain = bool(os.environ.get("RETRAIN"))  # True: train all models here, about a minute
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 120}])
ink = plt.rcParams["text.color"]
folder = tempfile.mkdtemp()


# %% [markdown]
# ## 1. How a free energy gets into a loss
#
# Keras minimises the mean over the batch of a loss per example, plus whatever layers have added. So
# there are three ways in:
#
# | way | for | example |
# |:--|:--|:--|
# | `self.add_loss(scalar)` in a layer's `call` | a KL next to any loss | `AddKL` |
# | `compile(loss=...)`, one value per example | $-\ln p(x \mid z)$ | `NegativeLogLikelihood(part)` |
# | a model's own `compute_loss` | objectives with several samples | `VAE` |
#
# The added scalar should be on the scale of *one example*: the mean over the batch, not the sum.
# With that convention, the layers compose:
#
# $$\text{loss} = \frac1B \sum_{n=1}^B \big[ \ell_n + \beta\, \mathrm{KL}(q(z|x_n) \| p(z)) \big] ,
#   \tag{1.1}$$
#
# the form of (B32). Sampling layers (`GaussianSampling`, `BernoulliSampling`,
# `CategoricalSampling`) map parameters to a draw and know of no loss. KL layers (`GaussianKL`,
# `BernoulliKL`, `CategoricalKL`) map parameters to one value per example. `FlowPosterior` does
# both, since its KL is known at its own sample only. `AddKL` takes a KL layer (`GaussianKL` unless
# told otherwise), adds its batch mean, times a weight, to the loss, and passes its input on.
#
# %% [markdown]
# ## 2. A classifier that forgets: the variational information bottleneck
#
# A classifier maps an image $x$ to features $z$ and these to class probabilities $p(y|z)$. Nothing
# in the cross-entropy tells the features to forget what the label does not need. Alemi et al.
# (2017) make them random, and charge for what they carry:
#
# $$\text{loss} = \big\langle -\ln p(y|z) \big\rangle_{q(z|x)}
#   {} + \beta\, \mathrm{KL}\big( q(z|x) \,\|\, N(0, I) \big) . \tag{2.1}$$
#
# The KL, averaged over the data, is an upper bound on the mutual information of $x$ and $z$:
# $\langle \mathrm{KL} \rangle = I + \mathrm{KL}(q(z) \| p(z))$ ((B13c) of chapter 17). With $y$ in
# the place of $x$ in the decoder, it is the loss of chapter 28 (B32) at temperature $\beta$, in the units
# of its (4.1). In Keras it is a functional model with three of our layers (B29 to B31):


# %% name="classifier"
def classifier(beta):
    keras.utils.set_random_seed(seed)
    x = keras.Input((8, 8))
    hidden = keras.layers.Dense(128, "relu")(keras.layers.Flatten()(x))
    pair = keras.layers.Dense(num_features)(hidden), keras.layers.Dense(num_features)(hidden)
    pair = layers.AddKL(weight=beta, name="bottleneck")(pair)  # B30
    z = layers.GaussianSampling(seed=seed, name="noise")(pair)  # B31
    model = keras.Model(x, keras.layers.Dense(10)(z))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"], jit_compile=False)
    return model


# %% [markdown]
# **Check**: the loss that Keras reports is (2.1), written out with NumPy and the noise of a second
# sampling layer with the same seed.

# %% name="loss-by-hand"
(x_train, y_train), (x_test, y_test) = datasets.load_digits()
x_few, y_few = x_train[:num_labelled], y_train[:num_labelled]
model = classifier(0.1)
reported = model.test_on_batch(x_few, y_few, return_dict=True)["loss"]
pair = keras.Model(model.input, model.get_layer("bottleneck").output)(x_few)
z = np.asarray(layers.GaussianSampling(seed=seed)(pair))
mean, log_var = (np.asarray(a) for a in pair)
kernel, bias = model.layers[-1].get_weights()
log_p = special.log_softmax(z @ kernel + bias, axis=1)[np.arange(num_labelled), y_few]
kl = -0.5 * np.sum(1 + log_var - mean**2 - np.exp(log_var), axis=1)  # B30
check(reported, np.mean(-log_p + 0.1 * kl), tolerance=1e-5)  # (2.1)
print(f"cross-entropy {-log_p.mean():.4f} + 0.1 x KL {kl.mean():.4f} = {reported:.4f} nats")

# %% [markdown]
# Train with few labels. The weight is a variable of the layer, so `WeightSchedule`
# can raise it from 0 during the first epochs, while the features are still useless and the cheapest
# thing to do about the KL would be to give them up. Three epochs are trained here. The models of 60 epochs, and
# those of sections 3 to 6, come with the course; to train them in front of you, set `retrain = True` above. On
# another processor the last digits of what follows may then differ.
#
# At test time there is a choice: score each draw of $z$ by itself, or average the *probabilities*
# over draws. By Jensen's inequality $-\ln \langle p \rangle \le \langle -\ln p \rangle$, for every
# image; averaging cannot lose.


# %%
def train_classifier(model, beta, epochs=60):
    weight = model.get_layer("bottleneck").weight
    warm_up = WeightSchedule(weight, start=0.0, end=beta, num_epochs=10)
    options = {"batch_size": 50, "epochs": epochs, "verbose": 0, "callbacks": [warm_up]}
    return model.fit(x_few, y_few, **options).history["loss"]


def fitted(beta):
    model = classifier(beta)
    train = partial(train_classifier, model, beta)
    trained(model, f"layers_classifier_{beta}", train, retrain=retrain)
    model.optimizer.build(model.trainable_variables)  # its state is saved in section 6
    return model


# %% name="warm-up"
beginner = classifier(0.1)
losses = train_classifier(beginner, 0.1, epochs=3)
raised = float(beginner.get_layer("bottleneck").weight)
print(f"loss of three epochs: {np.round(losses, 3)} nats; beta has come to {raised:.3f}")


# %%
def scores(model, x, y, num_draws=30):
    """Accuracy of averaged probabilities; mean -ln p of single draws, of the average, and of the
    average where it is right and where it is wrong, nats."""
    logits = np.array([model(x) for _ in range(num_draws)], float)  # fresh noise at each call
    log_p = special.log_softmax(logits, axis=-1)
    average = special.logsumexp(log_p, axis=0) - np.log(num_draws)
    rows = np.arange(len(y))
    single, together = -log_p[:, rows, y].mean(axis=0), -average[rows, y]
    assert np.all(together <= single + 1e-9)  # Jensen: a check of this function, for any model
    right = average.argmax(axis=1) == y
    parted = together[right].mean(), together[~right].mean()
    return right.mean(), single.mean(), together.mean(), *parted


# %% name="scores"
classifiers, results = {beta: fitted(beta) for beta in betas}, {}
noisy = x_test + np.random.default_rng(seed).normal(size=x_test.shape, scale=0.3)
print("beta KL (nats) | clean  -ln p  averaged | noisy  -ln p  averaged")
for beta, model in classifiers.items():
    check(model.get_layer("bottleneck").weight, beta, tolerance=1e-6)
    pair = keras.Model(model.input, model.get_layer("bottleneck").output)(x_test)
    rate = float(np.mean(layers.GaussianKL()(pair)))
    row = f"{beta:4.2f} {rate:9.2f}"
    for text, x in (("clean", x_test), ("noisy", noisy)):
        results[text, beta] = scores(model, x.astype("float32"), y_test)
        row += " | {:.1%}  {:.3f}  {:8.3f}".format(*results[text, beta])
    print(row)

# %%
clean, loud = ([results[text, beta] for beta in betas] for text in ("clean", "noisy"))
right, single, together, of_right, _ = np.transpose(clean)
right_loud, _, together_loud, _, of_wrong_loud = np.transpose(loud)
assert np.all(np.diff(single) > 0)  # a single draw gets worse with beta
assert np.all(right[1:] > right[0]) and abs(together[1] - together[0]) < 0.05
assert together[2] > together[0] + 0.05
assert np.all(together_loud[1:] < together_loud[0] - 0.1)
assert np.all(right_loud[1:] < right_loud[0])
assert np.all(np.diff(of_right) > 0) and np.all(np.diff(of_wrong_loud) < 0)  # less sure of both

# %% [markdown]
# The KL, which nobody limits at $\beta = 0$, falls from more than a hundred nats to about ten and to less than
# five as soon as it has a price; ten classes need no more than $\ln 10 = 2.3$. A *single* draw gets worse with
# $\beta$, since its features are noisier. What counts is the average over draws, which costs some more
# passes. Compared with $\beta = 0$:
#
# - on clean images the average is right more often at both other values, by one to two points. But its
#   $-\ln p$ is hardly different at 0.01, and clearly worse at 0.1: the model is less sure of its successes;
# - on images with added noise it is right *less* often at both values, here by three or four points (in one of four other
#   seeds by one and by none), and its $-\ln p$ is better at both, by 0.03 to 0.18 nats in five seeds: the model is less
#   sure of its mistakes.
#
# So no value is best in all four columns. (400 labels: no benchmark.)
#
# %% [markdown]
# ## 3. Eight bits: an autoencoder with binary code
#
# Replace the Gaussian by a product of Bernoulli variables (B29): each image gets a code of $J$
# bits. A bit lets no gradient through, so training draws a relaxed one,
#
# $$z_j = \mathrm{sigm}\Big( \frac{l_j + \ln u - \ln (1 - u)}{\tau} \Big) , \qquad u \sim U(0, 1) ,
#   \tag{3.1}$$
#
# with logits $l_j(x)$ from the encoder. At every $\tau$, $z_j > \frac12$ with probability
# $\mathrm{sigm}(l_j)$; as $\tau \to 0$, $z_j$ becomes a bit. A small $\tau$ means a small bias and
# gradients of large variance, so begin with a large one and anneal it. The prior is $\frac12$ for
# each bit, and the KL is a sum over bits in closed form, at most $J \ln 2$.
#
# Compare with a restricted Boltzmann machine (RBM): there, too, the hidden units are bits that are independent
# given the image. But an RBM's *prior* over its hidden units is complicated and has a $Z$. Here it is uniform, and
# the decoder is the complicated part.


# %%
def binary_autoencoder(temperature=1.0):
    keras.utils.set_random_seed(seed)
    x = keras.Input((8, 8))
    hidden = keras.layers.Dense(128, "relu")(keras.layers.Flatten()(x))
    logits = keras.layers.Dense(num_bits, name="logits")(hidden)
    logits = layers.AddKL(layers.BernoulliKL(), name="add_kl")(logits)
    z = layers.BernoulliSampling(temperature, seed=seed, name="bits")(logits)  # (3.1)
    bits = keras.Input((num_bits,))
    hidden = keras.layers.Dense(128, "relu")(bits)
    decoder = keras.Model(bits, keras.layers.Reshape((8, 8))(keras.layers.Dense(64)(hidden)))
    model = keras.Model(x, decoder(z))
    likelihood = NegativeLogLikelihood(parts.Bernoulli())
    model.compile(keras.optimizers.Adam(3e-3), likelihood, jit_compile=False)
    return model, keras.Model(x, logits), decoder


# %%
(digits, _), (digits_test, _) = datasets.load_digits("bernoulli", seed=seed)
model, encoder, decoder = binary_autoencoder()
temperature = model.get_layer("bits").temperature
annealing = WeightSchedule(temperature, start=1.0, end=0.2, num_epochs=num_epochs)


def train_bits():
    options = {"verbose": 0, "callbacks": [annealing]}
    return model.fit(digits, digits, 100, num_epochs, **options).history["loss"]


losses = trained(model, "layers_eight_bits", train_bits, retrain=retrain)
print(f"loss of the last epoch {losses[-1]:.3f} nats, tau = {float(temperature):.2f}")

# %% [markdown]
# **Check against the exact result.** There are only $2^8 = 256$ codes. So the sum over all of them
# can be done, for every image:
#
# $$\ln p(x) = \ln \sum_z 2^{-J} p(x|z) , \qquad
#   \text{ELBO} = \sum_z q(z|x) \ln p(x|z) - \mathrm{KL}(q \| p) \le \ln p(x) , \tag{3.2}$$
#
# and the difference is $\mathrm{KL}(q(z|x) \| p(z|x))$, which can be summed as well. The loss of
# training is a third number, because its $z$ are relaxed: it is no bound, and at another $\tau$ it
# has another value.

# %%
codes = np.array([[(k >> j) & 1 for j in range(num_bits)] for k in range(2**num_bits)], "float32")
log_likelihood = np.asarray(decoder(codes), float).reshape(len(codes), -1)  # logits of the pixels
pixels = digits_test.reshape(len(digits_test), -1)
log_likelihood = pixels @ log_likelihood.T - np.logaddexp(0, log_likelihood).sum(axis=1)
logits = np.asarray(encoder(digits_test), float)  # (360, 8)
log_q = -np.logaddexp(0, -logits) @ codes.T - np.logaddexp(0, logits) @ (1 - codes).T  # (360, 256)
log_joint = log_likelihood - num_bits * np.log(2)
exact = special.logsumexp(log_joint, axis=1)

# %%
kl = np.sum(np.exp(log_q) * (log_q + num_bits * np.log(2)), axis=1)
check(layers.BernoulliKL()(logits.astype("float32")), kl, tolerance=1e-4)
elbo = np.sum(np.exp(log_q) * log_likelihood, axis=1) - kl
gap = np.sum(np.exp(log_q) * (log_q - log_joint + exact[:, None]), axis=1)
check(exact - elbo, gap, tolerance=1e-8)
assert np.all(elbo <= exact)  # (B12)
assert np.all(kl <= num_bits * np.log(2))

# %% name="exact-sum"
print(f"exact ln p(x) {exact.mean():.3f}, exact ELBO {elbo.mean():.3f}, KL {kl.mean():.3f} nats")
taus, relaxed = (5.0, 2.0, 1.0, 0.5, 0.2, 0.1, 0.02), []
for tau in taus:
    temperature.assign(tau)
    draws = [float(model.compute_loss(y=digits_test, y_pred=model(digits_test))) for _ in range(10)]
    relaxed.append((np.mean(draws), np.std(draws, ddof=1) / np.sqrt(10)))
relaxed, errors = np.transpose(relaxed)
assert abs(relaxed[-1] + elbo.mean()) < 5 * errors[-1] + 0.05  # nearly bits
assert np.all(np.diff(relaxed[1:]) > 0) and relaxed[3] < -exact.mean() < relaxed[4]
assert relaxed[0] > -elbo.mean()
print("relaxed loss", dict(zip(taus, relaxed.round(3).tolist(), strict=True)))

# %% name="relaxed-bits" alt="Left: relaxed loss over tau, log axis; it falls from 24.1 nats at 0.02, just below -ELBO, to 22.5 at 2, is below -ln p(x) from 0.5 to 2, and above both at 5. Right: digits decoded from 64 of the 256 codes."
figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.6))
axes[0].semilogx(taus, relaxed, "o-", color=orange, label="loss with relaxed bits")
axes[0].axhline(-elbo.mean(), color=blue, label="$-$ELBO, summed over 256 codes")
axes[0].axhline(-exact.mean(), color=ink, ls="--", label=r"$-\ln p(x)$")
axes[0].margins(y=0.1)  # the upper line stands clear of the frame
label(axes[0], "Relaxation and the bound, test images", r"relaxation temperature $\tau$", "nats")
axes[0].legend()
plotting.image_grid(axes[1], ops.sigmoid(decoder(codes[::4])), columns=8)
axes[1].set_title("What 64 of the 256 codes mean")
plt.show()

# %% [markdown]
# As $\tau \to 0$ the relaxed loss tends to the exact $-$ELBO. Up to $\tau = 2$ it is lower: the
# decoder sees numbers between 0 and 1, which say more than bits, while the KL still charges for
# bits. From $\tau = 0.5$ to 2 it is even below $-\ln p(x)$, which no bound could be; at 5, where all $z_j$ are near
# $\frac12$, it is above both. Quote the exact
# number, or evaluate at a small temperature; train at a larger one.
#
# %% [markdown]
# ## 4. Bayesian regression with a flow
#
# Now the random variable is not in the features but in the *weights*. The data are $y_n = \theta
# \cdot f_n + s\, \epsilon_n$ with features $f_n = (1, x_n)$, a prior $\theta \sim N(0, I)$ and
# known $s$. The posterior is the Gaussian of chapter 23, (1.3) and (1.4),
#
# $$p(\theta | y) = N(m, \Lambda^{-1}) , \qquad \Lambda = I + F^T F / s^2 , \quad
#   \Lambda m = F^T y / s^2 , \tag{4.1}$$
#
# with $F$ the matrix whose rows are the $f_n$, and the evidence is $y \sim N(0, F F^T + s^2 I)$. If
# the $x_n$ are far from 0, slope and intercept are strongly correlated, negatively if the $x_n$ are
# positive as here: bad for mean field (B29), whose gap is $-\frac12 \ln (1 - r^2)$.
# `FlowPosterior` moves a Gaussian by coupling layers and can tilt it.
#
# One $\theta$ serves all $N$ data, so the free energy of the data set has *one* KL:
#
# $$-\text{ELBO} = \Big\langle \sum_{n=1}^N -\ln p(y_n | \theta) \Big\rangle_q
#   {} + \mathrm{KL}(q \| p) , \quad
#   \frac{-\text{ELBO}}{N} = \frac1N \sum_n \big\langle -\ln p(y_n|\theta) \big\rangle_q
#   {} + \frac{1}{N} \mathrm{KL}(q \| p) . \tag{4.2}$$
#
# Keras averages over examples, which is the right-hand form. So this layer adds KL$/N$. For latent
# variables, one for each example, the division is in the batch mean already. Here is a layer that a
# reader might write. Its `start` holds the mean and the log-variance of the Gaussian that the flow moves,
# and each call draws `num_draws` values of $\theta$:


# %% name="bayesian-layer"
class BayesianLinear(keras.layers.Layer):
    """Features (batch, 2) -> predictions (batch, num_draws), one for each draw of the weights."""

    def __init__(self, num_data, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.num_data, self.posterior = num_data, layers.FlowPosterior(seed=seed)

    def build(self, input_shape):
        self.start = [self.add_weight(shape=(1, 2), initializer="zeros") for _ in range(2)]
        self.posterior.build([(None, 2)] * 2)

    def call(self, features):
        weights, kl = self.posterior([ops.repeat(a, num_draws, axis=0) for a in self.start])
        self.add_loss(ops.mean(kl) / self.num_data)  # (4.2)
        return features @ ops.transpose(weights)


# %% name="evidence"
rng = np.random.default_rng(seed)
features = np.stack([np.ones(num_points), rng.uniform(1, 3, num_points)], axis=1)
y = features @ [0.7, -0.5] + noise_scale * rng.normal(size=num_points)
precision = np.eye(2) + features.T @ features / noise_scale**2  # (4.1)
exact_mean = np.linalg.solve(precision, features.T @ y / noise_scale**2)
exact_covariance = np.linalg.inv(precision)
y_covariance = features @ features.T + noise_scale**2 * np.eye(num_points)
evidence = stats.multivariate_normal(np.zeros(num_points), y_covariance).logpdf(y)
r = exact_covariance[0, 1] / np.sqrt(np.prod(np.diag(exact_covariance)))
mean_field_gap = -0.5 * np.log(1 - r**2)
print(f"ln p(y) = {evidence:.4f} nats, posterior correlation {r:.3f},", end=" ")
print(f"gap of the best mean field {mean_field_gap:.4f} nats")


# %%
def gaussian_nll(y_true, y_pred):
    """-ln N(y; prediction, s^2), mean over the draws, nats per example."""
    squares = ops.square((y_true - y_pred) / noise_scale)
    return ops.mean(0.5 * (squares + np.log(2 * np.pi * noise_scale**2)), axis=-1)


def build_regression(num_data):
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((2,)), BayesianLinear(num_data, seed=seed)])


# %%
def regression(num_data):
    model = build_regression(num_data)

    def train():
        rate = keras.optimizers.schedules.CosineDecay(0.01, 2000)
        model.compile(keras.optimizers.Adam(rate), gaussian_nll, jit_compile=False)
        repeated = np.tile(features, (100, 1)), np.tile(y[:, None], (100, 1))  # 100 steps an epoch
        model.fit(*repeated, num_points, epochs=20, shuffle=False, verbose=0)

    trained(model, f"layers_regression_{num_data}", train, retrain=retrain)
    return model


# %%
def draw_weights(model, num=20_000):
    """Draws of theta (num, 2) and ln q - ln p (num,) of a fitted model."""
    layer = model.layers[-1]
    theta, kl = layer.posterior([ops.repeat(a, num, axis=0) for a in layer.start])
    return np.asarray(theta, float), np.asarray(kl, float)


model = regression(num_points)
theta, kl = draw_weights(model)
residuals = (y - theta @ features.T) / noise_scale
log_likelihood = -0.5 * np.sum(residuals**2 + np.log(2 * np.pi * noise_scale**2), axis=1)
log_weights = log_likelihood - kl  # ln p(y, theta) - ln q(theta), B18
elbo, error = log_weights.mean(), log_weights.std() / np.sqrt(len(log_weights))

# %% [markdown]
# **Check against the exact result**: the ELBO is below the evidence; the mean of the
# weights $e^{\ln w}$ is $p(y)$, exactly, whatever the flow has learned (B18); and the moments of
# the draws next to (4.1).

# %% name="flow-posterior"
ratio = np.exp(log_weights - evidence)
assert evidence - 0.005 < elbo <= evidence + 5 * error  # the flow closes the gap
assert abs(ratio.mean() - 1) < 5 * ratio.std() / np.sqrt(len(ratio))
print(
    f"ELBO {elbo:.4f} +- {error:.4f}, ln p(y) {evidence:.4f} nats; mean field would reach", end=" "
)
print(f"{evidence - mean_field_gap:.4f}")
print("mean      ", theta.mean(axis=0).round(4), " exact", exact_mean.round(4))
print(
    "deviation ", theta.std(axis=0).round(4), " exact", np.sqrt(np.diag(exact_covariance)).round(4)
)
print(f"correlation {np.corrcoef(theta.T)[0, 1]:.4f}  exact {r:.4f}")

# %% [markdown]
# A mean-field posterior would leave a gap of 1.13 nats; the flow closes all but about a thousandth
# of a nat. A structured posterior pays where variables explain the same data.
#
# %% [markdown]
# ## 5. When it fails: the KL that was not divided
#
# Forget the division by $N$ in (4.2), that is, tell the layer `num_data=1`. Nothing warns: the loss
# falls, the predictions look reasonable. What has been minimised is
# $\frac1N \langle -\ln p(y|\theta) \rangle + \mathrm{KL}(q \| p)$, and by (B16) its minimum over
# $q$ is at
#
# $$q(\theta) \propto p(\theta)\, p(y|\theta)^{1/N} : \qquad
#   \Lambda_{\rm wrong} = I + \frac{F^T F}{N s^2} , \tag{5.1}$$
#
# the posterior given the information of a *single* average observation, however large the data set.
# So one can say in advance what the wrong program returns.

# %% name="wrong-weight"
wrong_precision = np.eye(2) + features.T @ features / (num_points * noise_scale**2)
wrong_covariance = np.linalg.inv(wrong_precision)
wrong_mean = wrong_covariance @ features.T @ y / (num_points * noise_scale**2)
careless, _ = draw_weights(regression(1))
print("mean     ", careless.mean(axis=0).round(3), " predicted", wrong_mean.round(3))
deviations = np.sqrt(np.diag(wrong_covariance))
print("deviation", careless.std(axis=0).round(3), " predicted", deviations.round(3))
assert np.all(abs(careless.mean(axis=0) - wrong_mean) < 0.05 * deviations)
assert np.all(abs(careless.std(axis=0) / deviations - 1) < 0.05)
assert np.all(careless.std(axis=0) > 2 * theta.std(axis=0))  # far too wide

# %% name="wrong-posterior" alt="Two panels with the same 20 data and 60 straight lines drawn from each posterior. Left, KL / N: a narrow falling bundle. Right, KL not divided: a wide, flatter bundle; some lines rise."
figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.6))
line = np.stack([np.ones(50), np.linspace(0, 4, 50)], axis=1)
for axis, draws, colour, title in (
    (axes[0], theta, blue, "KL / N: the posterior"),
    (axes[1], careless, orange, "KL not divided"),
):
    axis.plot(line[:, 1], line @ draws[:60].T, color=colour, lw=0.5, alpha=0.5)
    axis.plot(features[:, 1], y, "o", color=ink, ms=4)
    axis.set_ylim(-3.5, 2.5)
    label(axis, title, "$x$", "$y$")
plt.show()

# %% [markdown]
# The thin lines are 60 draws of $\theta$ each. On the right the deviations of both parameters are
# more than twice as large as they should be, and the mean slope is pulled towards the prior's 0, to
# $-0.26$ instead of $-0.58$: what (5.1) predicted.
#
# The same slip has a twin in section 2: a KL *summed* over a batch of $B$ examples in `add_loss` has
# the weight $\beta B$. Above 1, a nat of KL costs more than the one nat of cross-entropy that it can
# save at best, and the best features carry nothing. `AddKL` takes the mean.
#
# %% [markdown]
# ## 6. Saving, precision, backends (optional)
#
# **Saving.** All layers of the library are registered with Keras, so that a `.keras` file loads in
# safe mode, without executing code from the file. A layer of your own is registered with
# `@keras.saving.register_keras_serializable`, or passed as `custom_objects`; weights alone need
# neither. They include the sampling layers' random state: the loaded model draws the next numbers,
# not the first.

# %%
path = f"{folder}/classifier.keras"
classifiers[0.1].save(path)
loaded = keras.models.load_model(path)  # safe mode is the default
x = x_test[:5]
check(loaded(x), classifiers[0.1](x), tolerance=1e-6)  # the same noise in both
model.save_weights(f"{folder}/regression.weights.h5")
fresh = build_regression(num_points)
fresh.load_weights(f"{folder}/regression.weights.h5")
check(fresh(features), model(features), tolerance=1e-5)
print("the model loaded in safe mode, and the loaded weights, go on with the same noise")

# %% [markdown]
# A `Lambda` layer around an anonymous function is the other extreme: its bytecode is
# in the file, and safe mode refuses to run it. That is one reason for layers with names.

# %% name="lambda-refused"
anonymous = keras.layers.Lambda(lambda x: x + keras.random.normal(ops.shape(x)))
path = f"{folder}/lambda.keras"
keras.Sequential([keras.Input((2,)), anonymous]).save(path)
try:
    keras.models.load_model(path)
    refused = ""
except ValueError as error:
    refused = str(error)
assert "Lambda" in refused
print(refused[:130])

# %% [markdown]
# **Precision.** Under `mixed_float16` a network computes in half precision, whose largest number is
# 65,504. A log-variance of 12 has $e^{12} = 162{,}755$. The layers compute densities in float32
# whatever the policy:

# %% name="half-precision"
half = keras.DTypePolicy("mixed_float16")
pair = ops.zeros((1, 4), "float16"), ops.full((1, 4), 12.0, "float16")
careful = layers.GaussianKL(dtype=half)(pair)
naive = -0.5 * ops.sum(1 + pair[1] - pair[0] ** 2 - ops.exp(pair[1]), axis=-1)
assert careful.dtype == "float32" and np.isinf(float(naive[0]))
check(careful, 2 * (np.exp(12) - 13), tolerance=1e-5)  # B30
print(f"GaussianKL {float(careful[0]):.1f} nats, in half precision {float(naive[0])}")

# %% [markdown]
# **Backends.** The layers use `keras.ops` and `keras.random` alone. With JAX or PyTorch installed,
#
#     KERAS_BACKEND=jax python train.py
#     KERAS_BACKEND=torch python train.py
#
# runs the same classes; the variable must be set before Keras is imported. Equal seeds give the
# same numbers on one backend, and others on another.
#
# **An RBM as a layer.** The machine of chapter 3 is a Keras model that maps images to the mean of
# its hidden units. So it stands in front of a classifier, trained or frozen, in one line:

# %% name="rbm-features"
rbm = BernoulliRBM(64, 64, seed=seed)


def train_rbm():
    rbm.fit(digits.reshape(-1, 64), batch_size=50, epochs=20, verbose=0)


trained(rbm, "layers_rbm", train_rbm, retrain=retrain)
rbm.trainable = False

# %% name="rbm-classifier"
keras.utils.set_random_seed(seed)
flat, normalize = x_few.reshape(-1, 64), keras.layers.Normalization()
check(rbm(flat), rbm.hidden_mean(flat), tolerance=1e-6)
normalize.adapt(rbm(flat))  # the hidden means differ little between images
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
options = {"jit_compile": False, "steps_per_execution": num_labelled // 5}
right_of = {}
for name, before in (("frozen RBM features", [rbm, normalize]), ("pixels", [])):
    last = keras.Sequential([*before, keras.layers.Dense(10)])
    last.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"], **options)
    last.fit(np.tile(flat, (10, 1)), np.tile(y_few, 10), batch_size=50, epochs=20, verbose=0)
    right_of[name] = last.evaluate(x_test.reshape(-1, 64), y_test, verbose=0)[1]
    print(f"{num_labelled} labels on {name}: {right_of[name]:.1%} of the test images right")
assert right_of["frozen RBM features"] < min(right_of["pixels"], *right) - 0.03

# %% [markdown]
# That is below the classifiers of section 2, and below the same last layer on the pixels. Do not conclude that such
# features are poor: this machine was trained briefly, on *binary* images, and reads grey ones here. On binary images its
# features were about four points above the pixels after 100 epochs (three seeds; see also chapter 7). The lines show that
# the parts fit together.
#
# %% [markdown]
# ## 7. Summary
#
# | model | layers | exact result it was checked against |
# |:--|:--|:--|
# | classifier with a bottleneck | `AddKL`, `GaussianSampling`, `WeightSchedule` | (2.1) written out |
# | eight-bit autoencoder | `AddKL(BernoulliKL())`, `BernoulliSampling` | the sum over 256 codes |
# | Bayesian regression | `FlowPosterior` | evidence and posterior in closed form |
#
# - Keras averages over examples. A KL for each example is averaged too; one KL for the whole data
#   set is divided by $N$.
# - A wrong factor does not stop training. It solves another problem, exactly.
# - Relaxed variables are for training; numbers are quoted for the true ones.
# - A flow pays where the posterior is correlated, and the gain is known in advance when the gap is.
#
# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **Bits in a code.** Show that the KL of $J$ Bernoulli variables against fair coins is
#    $J \ln 2$ minus the entropy of $q$. How large is its mean over the test images for the autoencoder of section 3, in
#    bits rather than nats? By (B13c) of chapter 17 only a part of it is information about the image: how many bits?
# 2. *(medium)* **Centre the features.** Replace $x_n$ by $x_n - \bar x$ in section 4. What are the precision matrix and the
#    mean-field gap now? Why did the data not change, and what did?
# 3. *(hard)* **Which class?** Show that the largest entry of `CategoricalSampling` is that of
#    class $k$ with probability $\mathrm{softmax}(l)_k$, at every temperature. Check it for the logits
#    $(1, 0, -1, \frac12)$: count the classes of 50,000 draws at the temperatures 0.1, 1 and 10, and collect the shares,
#    one row for each temperature.
#
# The solutions are in the cells below, folded: click on one to open it.

# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. KL = <ln q> - <ln p> = -S(q) + J ln 2, and S(q) is the sum of the entropies of the bits, each
# -p ln p - (1 - p) ln(1 - p). Divide by ln 2 for bits. What is left after KL(q(z) || p(z)) of the
# aggregate posterior, a sum over 256 codes, is the information about which image it was.
p = special.expit(logits)
entropy = np.sum(special.entr(p) + special.entr(1 - p), axis=1)
kl_bits = num_bits - entropy.mean() / np.log(2)
aggregate = np.exp(log_q).mean(axis=0)
mismatch = np.sum(special.xlogy(aggregate, aggregate)) / np.log(2) + num_bits
information_bits = kl_bits - mismatch
check(kl_bits, np.mean(layers.BernoulliKL()(logits.astype("float32"))) / np.log(2), 1e-5)
assert 4 < information_bits < kl_bits - 0.1
print(f"1. KL of a test image {kl_bits:.2f} bits on average =", end=" ")
print(f"information {information_bits:.2f} + mismatch {mismatch:.2f} bits")

# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. F^T F is diagonal, so Lambda is, and mean field is exact. The y_n and the set of straight lines
# are the same; only the coordinates of a line changed. With them the prior changed its meaning (the
# intercept is the value at the mean x, not at 0), and so did the evidence. A change of variables
# does for mean field what a flow learns.
centred = features - [0, features[:, 1].mean()]
new_precision = np.eye(2) + centred.T @ centred / noise_scale**2
new_r = new_precision[0, 1] / np.sqrt(np.prod(np.diag(new_precision)))
new_gap = abs(0.5 * np.log(1 - new_r**2))
check(np.trace(new_precision), 2 + (1 + features[:, 1].var()) * num_points / noise_scale**2)
check(new_gap, 0.0)
print(f"2. gap {new_gap:.4f} nats, before {mean_field_gap:.4f}")

# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. Gumbel noise g = -ln(-ln u) has P(g < a) = exp(-e^{-a}) and the density e^{-g} exp(-e^{-g}). So
# P(l_k + g_k is the largest) = INT dg e^{-g} exp(-e^{-g}) prod_{i != k} exp(-e^{-(l_k + g - l_i)})
# = INT dg e^{-g} exp(-C e^{-g}) = 1 / C with C = sum_i e^{l_i - l_k}, which is softmax(l)_k.
# Dividing by tau does not change which is the largest.
class_logits, shares = np.array([1.0, 0.0, -1.0, 0.5], "float32"), []
num, p = 50_000, special.softmax(class_logits)
for tau in (0.1, 1.0, 10.0):
    z = layers.CategoricalSampling(tau, seed=seed)(np.tile(class_logits, (num, 1)))
    shares.append(np.bincount(np.argmax(z, axis=1), minlength=4) / num)
    print(f"3. tau = {tau:4.1f}:", shares[-1].round(4), "softmax", p.round(4))
assert np.shape(shares) == (3, 4)
assert np.max(abs(np.array(shares) - special.softmax([1, 0, -1, 0.5]))) < 0.011  # 5 s.e.
