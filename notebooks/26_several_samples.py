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
# # Chapter 26: A VAE by both gradients, and several samples
#
# There are two ways to take the derivative of an average over a distribution. Train one and the same
# variational autoencoder (VAE) of digits with each of them. The two gradients are equal on average, and at the start one
# is a hundred times as noisy as the other. Does the noisy one learn at all? Then a second bet. With more samples
# of the code, the bound on $\ln p(x)$ gets tighter. Does it get better to train with?
#
# **What you will do**
#
# - train the same VAE with three gradients, and measure their noise;
# - watch a gradient drown in its own noise *because* it uses more samples, and cure it;
# - take gradients through bits, which have no path, and choose between bias and variance.
#
# **What you will learn**
#
# - what a noisy gradient costs in nats, and which part of a VAE does not mind;
# - why the signal of the encoder falls faster than its noise, and how one integration by parts mends that;
# - what to do when the latent variables are discrete.
#
# **What you need**: [chapter 25, sections 1 to 3, 5 and 6](25_stochastic_gradients.ipynb); the VAE of digits and its
# loss ([chapter 22, sections 5 and 6](22_vae_in_keras.ipynb)).
#
# **Time**: about 57 minutes, and 105 for the exercises. The code runs in about 25 seconds.
#
# Equation numbers such as (B17) are the row names used in the whole course, in the library's
# docstrings and in the table `EQUATIONS.md`. Numbers such as (2.1) are steps on the way. Energies
# are in nats.

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
import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from scipy import special

from rbm_tf import plotting
from rbm_tf.course import check, label, within
from rbm_tf.datasets import load_digits
from vae_keras import NegativeLogLikelihood, gradients, networks
from vae_keras.layers import GaussianKL
from vae_keras.parts import Bernoulli

# %%
seed = 0
num_samples = 100_000  # of the gradients through bits
latent_dim, training_steps, batch_size = 10, 1500, 100  # of the VAEs
group_sizes = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)  # K of the bounds
num_estimates = 4000  # for each K
temperatures = np.geomspace(0.05, 5, 13)  # of the relaxation
names = {
    "pathwise": "pathwise",
    "leave_one_out": "score function, baseline",
    "none": "score function",
}
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

kinds = {"pathwise": blue, "leave_one_out": green, "none": orange}
plt.style.use(["rbm_tf.course", {"figure.dpi": 120}])


# %% [markdown]
# ## 1. A VAE, trained by both
#
# For a VAE with $q_\phi(z|x) = \mathcal{N}(\mu_\phi(x), \sigma_\phi^2(x))$ the free energy of an
# image is
#
# $$-\mathrm{ELBO}(x) = \underbrace{-\mathbb{E}_{q_\phi}[\ln p_\theta(x|z)]}_{\text{reconstruction, sampled}}
#   + \underbrace{\mathrm{KL}(q_\phi(z|x) \| p(z))}_{\text{closed form (B30)}} . \tag{B14}$$
#
# The second term has no samples, so its
# gradient has no noise. What remains is an average of $f = -\ln p_\theta(x|z)$, which does not
# contain $\phi$. The gradient in $\theta$ is the average of $\nabla_\theta f$, by (1.2) of chapter 25. For $\phi$
# we have the choice between two forms (B17) of one gradient,
#
# $$\nabla_\phi\, \mathbb{E}_{q_\phi}[f] = \mathbb{E}_{q_\phi}\big[ f(z)\, \nabla_\phi \ln q_\phi(z) \big]
#   = \mathbb{E}_{\epsilon}\big[ f'(z)\, \nabla_\phi z \big] , \qquad z = \mu_\phi + \sigma_\phi \epsilon , \tag{1.1}$$
#
# which [chapter 25](25_stochastic_gradients.ipynb) found to be one integration by parts apart:
#
# - *pathwise* (B17b): let the gradient flow from $f$ through $z$;
# - *score function* (B17a): stop the gradient at $z$, and add to the loss the surrogate
#   $\overline{(f - b)}\, \ln q_\phi(z|x)$, the bar meaning "taken as a number". Its gradient is
#   (B17a), and its value means nothing. The baseline $b$ changes no mean.
#
# Three runs: pathwise, and the score function with and without a baseline. Each draws two samples for
# each image, so that the baseline can be the other sample (leave one out). All start from the same weights
# and see the same batches and the same noise.
#
# **Check against exact identities**: the loss itself is the same in all three; and the score function with the
# baseline has the pathwise gradient on average, within 5 standard errors. In the code, $f$ is the loss
# `NegativeLogLikelihood(Bernoulli())` of chapter 22, section 5. Here are some of the images.

# %% name="digits" alt="Thirty handwritten digits of eight by eight black and white pixels."
(x_train, _), (x_test, _) = load_digits("bernoulli", seed=seed)
kl_layer, nll = GaussianKL(), NegativeLogLikelihood(Bernoulli())
ink = x_train.mean(axis=0).clip(0.001, 0.999)  # the best constant image
ignoring = -np.mean(np.sum(special.xlogy(x_test, ink) + special.xlogy(1 - x_test, 1 - ink), (1, 2)))
plotting.image_grid(plt.figure(figsize=(9, 1.4)).gca(), x_test[:30], columns=15)
plt.show()


# %%
def free_energy(x, vae, eps, estimator):
    """Mean -ELBO of a batch, (B14); its gradient is that of the chosen estimator."""
    encoder, decoder = vae
    mean, log_var = encoder(x)
    z = mean + tf.exp(log_var / 2) * eps  # (2, batch, latent_dim)
    z = z if estimator == "pathwise" else tf.stop_gradient(z)
    logits = decoder(tf.reshape(z, (-1, latent_dim)))
    f = tf.reshape(nll.call(tf.tile(x, (len(eps), 1, 1)), logits), eps.shape[:2])  # -ln p(x|z)
    loss = tf.reduce_mean(f) + tf.reduce_mean(kl_layer((mean, log_var)))
    if estimator == "pathwise":
        return loss
    return loss + surrogate(f, z, (mean, log_var), baseline=estimator)


# %% name="surrogate"
def surrogate(f, z, q, baseline):
    """Of value 0; its gradient is the score-function term (B17a)."""
    mean, log_var = q
    log_q = -tf.reduce_sum((z - mean) ** 2 / tf.exp(log_var) + log_var, -1) / 2
    if baseline == "leave_one_out":
        f = f - f[::-1]  # two samples: the baseline of one is the other
    term = tf.reduce_mean(tf.stop_gradient(f) * log_q)
    return term - tf.stop_gradient(term)


def new_vae():
    keras.utils.set_random_seed(seed)
    encoder = networks.dense_encoder((8, 8), latent_dim, hidden_units=(64,))
    return encoder, networks.dense_decoder((8, 8), latent_dim, hidden_units=(64,))


# %%
def train(estimator):
    vae, optimizer, curve = new_vae(), keras.optimizers.Adam(0.002), []
    optimizer.build(variables := [v for part in vae for v in part.trainable_variables])

    @tf.function
    def hundred_updates(first):
        for index in tf.range(first, tf.minimum(first + 100, training_steps + 1)):
            with tf.GradientTape() as tape:
                loss = free_energy(tf.gather(x_train, batches[index]), vae, noise[index], estimator)
            optimizer.apply(tape.gradient(loss, variables), variables)

    for first in tf.range(0, training_steps + 1, 100):
        curve.append(float(free_energy(x_test, vae, test_eps, "pathwise")))
        hundred_updates(first)
    return curve, vae


# %% name="training-results"
rng = np.random.default_rng(seed)
batches = tf.constant(rng.integers(len(x_train), size=(training_steps + 1, batch_size)))
shape = training_steps + 1, 2, batch_size, latent_dim  # two samples for each image
noise = tf.constant(rng.normal(size=shape), tf.float32)
test_eps = tf.constant(rng.normal(size=(10, len(x_test), latent_dim)), tf.float32)
start = [float(free_energy(x_test, new_vae(), test_eps[:2], kind)) for kind in kinds]
check(start, start[0], tolerance=1e-5)  # one value, three gradients
runs = {kind: train(kind) for kind in kinds}
for kind, (curve, _) in runs.items():
    print(f"{kind:13s}: -ELBO of test digits {curve[0]:.2f} -> {curve[-1]:.2f} nats")
last = [curve[-1] for curve, _ in runs.values()]
assert last[0] < last[1] < last[2] - 0.5 and last[2] < ignoring - 1  # all three learn, through z

# %% [markdown]
# How noisy are the gradients themselves? At the start, and at the networks that the pathwise run
# has found, we draw the noise 200 times for the same 100 images and compare the gradient in the
# encoder's weights: the length of the mean, and the standard deviation around it.


# %%
def encoder_gradients(vae, estimator, repeats=200):
    """The gradient in the encoder's weights for each draw of the noise, (repeats, num_weights)."""
    variables = vae[0].trainable_variables

    @tf.function
    def gradient(eps):
        with tf.GradientTape() as tape:
            loss = free_energy(tf.constant(x_train[:100]), vae, eps, estimator)
        return tf.concat([tf.reshape(g, [-1]) for g in tape.gradient(loss, variables)], 0)

    return np.array([gradient(eps) for eps in noise[:repeats]])


# %% name="gradient-noise"
deviations = {}
for stage, vae in (("start", new_vae()), ("trained", runs["pathwise"][1])):
    rows = {kind: encoder_gradients(vae, kind) for kind in kinds}
    for kind, each in rows.items():
        length, deviation = np.linalg.norm(each.mean(axis=0)), np.sqrt(each.var(axis=0).sum())
        deviations[stage, kind] = deviation
        print(f"{stage:8s}{kind:13s}: |mean| {length:6.2f}, standard deviation {deviation:8.2f}")
    mean = rows["pathwise"].mean(axis=0)
    share = rows["leave_one_out"] @ mean / (mean @ mean)  # along the pathwise mean, one a draw
    error = share.std() / np.sqrt(len(share))
    assert abs(share.mean() - 1) < 5 * error < 0.5  # (B17a) is (B17b) on average
path, other, alone = (deviations["start", kind] for kind in kinds)
assert 70 < alone / path < 150 and other < alone / 5  # a hundred times; a baseline removes most

# %% name="three-trainings" alt="Left: minus ELBO over 1500 steps; pathwise lowest, score function with baseline close above, without baseline slower and highest; all below the dashed line of pixel means. Right: ten digits and three rows of reconstructions."
figure, panels = plt.subplot_mosaic("at;ab;ac;ad", figsize=(11, 3.8), width_ratios=(1.2, 1))
panels["a"].axhline(ignoring, color=grey, ls="--", lw=1, label="pixel means alone")
plotting.image_grid(panels["t"], x_test[:10]).set_title("test digits, and their reconstructions")
for axis, (kind, (curve, (encoder, decoder))) in zip("bcd", runs.items(), strict=True):
    steps = 100 * np.arange(len(curve))
    panels["a"].plot(steps, curve, color=kinds[kind], lw=2, label=names[kind])
    images = special.expit(decoder(encoder(x_test[:10])[0]))
    plotting.image_grid(panels[axis], images).set_title(names[kind])
label(panels["a"], "One VAE, three gradients", "training step", "$-$ELBO of test digits (nats)")
panels["a"].legend()
plt.show()

# %% [markdown]
# The three runs have the same model, the same noise, and the same gradient on
# average. At the start the score function without a baseline has a hundred times the standard
# deviation of the pathwise gradient: every sample brings
# the whole reconstruction error, more than 40 nats, along. (The printed "|mean|" of 200 draws still carries noise,
# the standard deviation over $\sqrt{200}$.) The other sample as a baseline removes most of the noise.
#
# Why does the noisy run learn at all? The decoder's gradient needs neither form. It can take every
# run to the dashed line, the best that a model can do that ignores $z$. What lies below has to come
# through the encoder, and all three get some of it: each image and each step brings fresh noise, which averages
# out in part. In the same number of steps the noisy run gets the least. By (6.2) of chapter 25 the variance
# grows with the energy in $f$, which is larger for larger images.

# %% [markdown]
# ## 2. Several samples: when more is less
#
# With $K$ samples $z_k \sim q$ and weights $w_k = p(x, z_k) / q(z_k)$ the importance-weighted bound
# is
#
# $$\mathcal{L}_K = \mathbb{E}\Big[ \ln \frac1K \sum_{k=1}^K w_k \Big] , \qquad
#   \mathcal{L}_1 = \mathrm{ELBO} \le \mathcal{L}_2 \le \dots \le \ln p(x) \tag{2.1}$$
#
# (Burda et al., 2016). A tighter bound should be better to train with. For the encoder it is not.
#
# **How large is the gradient?** The weights have mean $Z = p(x)$ and, if it is finite, relative variance $\rho$.
# Expand the logarithm around $Z$ to second order in the fluctuation of $\bar w = \frac1K \sum w_k$,
# whose relative variance is $\rho / K$:
#
# $$\mathcal{L}_K \approx \ln Z - \frac{\rho}{2 K} , \qquad
#   \nabla_\phi \mathcal{L}_K \approx -\frac{1}{2 K}\, \nabla_\phi\, \rho , \qquad
#   1 + \rho = \frac{\mathbb{E}_q[w^2]}{Z^2} . \tag{2.2}$$
#
# Since $Z$ does not depend on $q$, only the *error* of the bound has a gradient, and it shrinks
# like $1/K$.
#
# **How large is the noise?** Pathwise, with $\tilde w_k = w_k / \sum_l w_l$,
#
# $$\nabla_\phi \ln \frac1K \sum_k w_k = \sum_k \tilde w_k\, \nabla_\phi \ln w_k , \qquad
#   \nabla_\phi \ln w_k = \frac{\partial \ln w_k}{\partial z_k} \frac{\partial z_k}{\partial \phi}
#   {} - \nabla_\phi \ln q_\phi(z_k) : \tag{2.3}$$
#
# $\phi$ is both in the path and, explicitly, in $q$. To leading order this is
# $\frac1K \sum_k \nabla w_k / Z$, a mean of $K$ independent terms whose average is
# $\nabla Z / Z = 0$. Its standard deviation falls only like $1/\sqrt K$, and the *signal-to-noise
# ratio* of the encoder's gradient is
#
# $$\mathrm{SNR} = \frac{|\text{mean}|}{\text{standard deviation}} \sim \frac{1/K}{1/\sqrt K} = \frac{1}{\sqrt K}
#   \tag{2.4}$$
#
# (Rainforth et al., 2018). The model's gradient tends to a non-zero limit,
# $\nabla_\theta \ln p(x)$, with noise of the same order, and its ratio *grows* like $\sqrt K$.
#
# **The cure** uses (B17) once more. The harmful part of (2.3) is the second, a score. Take the term
# of sample $k$ and keep all other samples fixed:
# $-\mathbb{E}_{z_k}[\tilde w_k\, \nabla_\phi \ln q(z_k)]$ is a score-function form with
# $f = \tilde w_k$ as a function of $z_k$. Replace it by the pathwise form of the same average:
#
# $$\mathbb{E}\big[ \tilde w_k\, \nabla_\phi \ln q(z_k) \big]
#   = \mathbb{E}\Big[ \frac{\partial \tilde w_k}{\partial z_k} \frac{\partial z_k}{\partial \phi} \Big] , \qquad
#   \frac{\partial \tilde w_k}{\partial z_k} = \tilde w_k (1 - \tilde w_k)\, \frac{\partial \ln w_k}{\partial z_k} . \tag{2.5}$$
#
# The first-order terms cancel, $\tilde w_k - \tilde w_k (1 - \tilde w_k) = \tilde w_k^2$, and what
# is left is the *doubly reparameterised* gradient (Tucker et al., 2019)
#
# $$\boxed{\; \nabla_\phi \mathcal{L}_K = \mathbb{E}\Big[ \sum_k \tilde w_k^2\,
#   \frac{\partial \ln w_k}{\partial z_k} \frac{\partial z_k}{\partial \phi} \Big] \;} \tag{2.6}$$
#
# Each term is now of order $1/K^2$, the sum of order $1/K$ with fluctuations of order $K^{-3/2}$:
# the ratio grows like $\sqrt K$. How large is it? Measure $w$ in units of $Z$, and let
# $g = \frac{\partial \ln w}{ \partial z} \frac{\partial z}{\partial \phi}$. Then (2.6) is a ratio of two sums,
# $\sum_k w_k^2 g_k / (\sum_k w_k)^2$. Its mean is $\frac1K \mathbb{E}[w^2 g]$ to leading order. Numerator and denominator
# fluctuate together, so that its noise is that of a mean of $w^2 g - 2\, \mathbb{E}[w^2 g]\, w$.
#
# If $q$ is the posterior, $w$ does not depend on $z$, and every single term is zero. For $K = 1$, (2.6) says: drop the
# score from the gradient of the ELBO ("sticking the landing"; Roeder et al., 2017).
#
# **Check against the exact result.** A model with an exact answer: $p(z) = \mathcal{N}(0, 1)$,
# $p(x|z) = \mathcal{N}(z, 1)$, so the posterior is $\mathcal{N}(x/2, 1/2)$. All constants in (2.2)
# to (2.6) are integrals over one Gaussian.

# %%
nodes, node_weights = np.polynomial.hermite_e.hermegauss(60)
node_weights = node_weights / node_weights.sum()  # of eps ~ N(0, 1)
x_seen, guess = 1.0, (0.2, np.log(0.7))  # q; the posterior is N(0.5, 0.5)
guess_sigma, step = np.exp(guess[1] / 2), 1e-5


def log_joint(z):
    """ln p(x, z) up to a constant, (num, 1) -> (num,)."""
    return -tf.reduce_sum(z**2 + (x_seen - z) ** 2, -1) / 2


z_node = guess[0] + guess_sigma * nodes
log_w = -(z_node**2 + (x_seen - z_node) ** 2) / 2 + nodes**2 / 2  # + constants
w = np.exp(log_w) / (node_weights @ np.exp(log_w))  # w / Z

# %%
slope_node = x_seen - 2 * z_node + nodes / guess_sigma  # d ln w / dz
total_node = slope_node - nodes / guess_sigma  # in mu, (2.3)
check(node_weights @ (w * total_node), 0.0)  # grad Z = 0
signal = node_weights @ (w**2 * slope_node)  # K times the mean, (2.6)


def rho(mean):
    """Relative variance of the weights, (2.2); Z is sqrt(pi) e^(-1/4) up to a constant."""
    z = mean + guess_sigma * nodes
    minus_log_q = nodes**2 / 2 + np.log(2 * np.pi * guess_sigma**2) / 2
    log_w = -(z**2 + (x_seen - z) ** 2) / 2 + minus_log_q
    return node_weights @ np.exp(2 * log_w) / (np.pi * np.exp(-0.5)) - 1


# %% name="snr-constants"
by_rho = -(rho(guess[0] + step) - rho(guess[0] - step)) / (4 * step)  # (2.2)
check(signal, by_rho, tolerance=1e-6)
noise_plain = np.sqrt(node_weights @ (w * total_node) ** 2)  # times 1 / sqrt(K)
ratio = w**2 * slope_node - 2 * signal * w  # its fluctuations are those of (2.6)
noise_double = np.sqrt(node_weights @ ratio**2 - signal**2)  # times K^(-3/2)
print(f"rho = {rho(guess[0]):.4f}, mean gradient = {signal:.4f} / K")
print(f"SNR: plain {abs(signal) / noise_plain:.3f} / sqrt(K),", end=" ")
print(f"doubly reparameterised {abs(signal) / noise_double:.3f} * sqrt(K)")


# %%
def many_gradients(num_weights, double):
    rows = gradients.importance_weighted(
        log_joint, [guess[0]], [guess[1]], (num_estimates, num_weights), seed=seed, double=double
    )
    return rows.mean[:, 0].numpy()


def model_gradients(num_weights):
    """In c of p(x|z) = N(z + c, 1) at c = 0."""
    eps = np.random.default_rng(seed).normal(size=(num_estimates, num_weights))
    z = guess[0] + guess_sigma * eps
    weights = special.softmax(-(z**2 + (x_seen - z) ** 2) / 2 + eps**2 / 2, axis=1)
    return np.sum(weights * (x_seen - z), axis=1)


# %%
snr = {"plain": [], "double": [], "model": []}
for num_weights in group_sizes:
    plain, double = (many_gradients(num_weights, double) for double in (False, True))
    for name, rows in zip(snr, (plain, double, model_gradients(num_weights)), strict=True):
        snr[name].append(abs(rows.mean()) / rows.std())
    assert within(plain - double, 0.0)  # one mean

# %%
large = np.sqrt(group_sizes[4:8])
check(snr["double"][4:8] / large, abs(signal) / noise_double, tolerance=0.15)  # (2.6)
line = abs(signal) / noise_plain / large  # (2.4)
height, error = snr["plain"][4:8] @ line / (line @ line), 1 / np.linalg.norm(line)
assert abs(height - 1) < 3 * error / np.sqrt(num_estimates) < 0.6  # of the line, 1
slope = np.polyfit(np.log(group_sizes), np.log(snr["model"]), 1)[0]
assert snr["plain"][0] > 3 * snr["plain"][7] and abs(slope - 0.5) < 0.1  # one falls, one grows

posterior = gradients.importance_weighted(
    log_joint, [0.5], [np.log(0.5)], (1000, 8), seed=seed, double=True
)
check(posterior.mean, 0.0, tolerance=1e-5)  # no noise where q is the posterior

# %% name="signal-to-noise" alt="Signal to noise against the number of weights K from 1 to 512, log scales: the plain encoder gradient falls, the doubly reparameterised one and that of the model rise."
figure, axis = plt.subplots(figsize=(7, 3.5))
k = np.array(group_sizes)
axis.loglog(k, abs(signal) / noise_plain / np.sqrt(k), color=orange, lw=1)
axis.loglog(k, abs(signal) / noise_double * np.sqrt(k), color=blue, lw=1)
for name, colour, text in (
    ("plain", orange, "encoder, plain (2.3)"),
    ("double", blue, "encoder, doubly reparameterised (2.6)"),
    ("model", green, "model"),
):
    axis.loglog(k, snr[name], "o", color=colour, ms=5, label=text)
axis.axhline(1 / np.sqrt(num_estimates), color=grey, ls="--", lw=1, label="resolution")
label(axis, "Signal to noise of one gradient (encoder's lines: large $K$)", "$K$", "|mean| / s.d.")
axis.legend()
plt.show()

# %% [markdown]
# From moderate $K$ on the encoder's points follow the lines, which are the leading order in $1/K$
# without any sampling. Below the dashed line a mean over all estimates cannot be told from zero, and
# near it the orange points scatter. With the plain gradient, more weights give a better *model* gradient and a worse
# *encoder* gradient. The doubly reparameterised form repairs the latter, at the cost of one line of code.

# %% [markdown]
# ## 3. Discrete latent variables: no path
#
# Let the latent variables be bits, $z_j \in \{0, 1\}$, with $q(z_j = 1) = p_j = \mathrm{sigm}(l_j)$, the
# factors of a mean-field RBM. A sample jumps as $l$ changes, and there is no path. The score function (B17a) does not mind:
# $\ln q = \sum_j [z_j l_j - \mathrm{softplus}(l_j)]$, so
#
# $$\nabla_l\, \mathbb{E}_q[f] = \mathbb{E}_q\big[ f(z)\, (z - p) \big]
#   = \sum_z q(z)\, f(z)\, (z - p) , \tag{3.1}$$
#
# an average for large systems and an exact sum for small ones.
#
# **The relaxation.** A Bernoulli sample is a threshold: with $u$ uniform,
# $\xi = \ln \frac{u}{1 - u}$ is *logistic* noise, $P(\xi > -l) = \mathrm{sigm}(l)$, and
# $z = 1$ if $l + \xi > 0$. Soften the threshold:
#
# $$z_T = \mathrm{sigm}\Big( \frac{l + \xi}{T} \Big) , \qquad
#   \frac{\partial z_T}{\partial l} = \frac{z_T (1 - z_T)}{T} \tag{3.2}$$
#
# (the *concrete* or Gumbel-softmax distribution; Maddison et al., 2017; Jang et al., 2017). Now
# there is a path. As $T \to 0$ the samples become binary again. But the derivative in (3.2) is
# then a spike of height $1/(4T)$, hit with a probability proportional to $T$: its mean is finite
# and its variance grows like $1/T$. At large $T$ the variance is small, and the gradient that of a
# different function, an average over soft bits. *Bias against variance*, with $T$ as the dial.
#
# **Check against the exact result**: six bits, a linear decoder with Gaussian noise of variance 1
# as $f$, all 64 states. Its slope is linear in the soft bits, which are independent, so that the relaxation's mean
# takes integrals over one of them at a time: the bias is exact, too.

# %%
rng = np.random.default_rng(seed)
logits, couplings, pixels = rng.normal(size=6), rng.normal(size=(6, 8)), rng.normal(size=8)


def energy(z):
    """-ln p(pixels|z) of a linear decoder up to a constant, (num, 6) -> (num,), nats."""
    return tf.reduce_sum((pixels - z @ couplings) ** 2, -1) / 2


# %%
states = np.array(list(np.ndindex(*[2] * 6)), float)  # (64, 6)
p = special.expit(logits)
q_states = np.prod(np.where(states == 1, p, 1 - p), axis=1)
exact_bits = (q_states * energy(states).numpy()) @ (states - p)  # (3.1)
check(exact_bits, gradients.exact_gradient(energy, logits))
bits = np.random.default_rng(seed).random((num_samples, 6)) < p
assert within(energy(bits.astype(float)).numpy()[:, np.newaxis] * (bits - p), exact_bits)
print("exact gradient (nats):", exact_bits.round(4))

# %%
uniform = (np.arange(20_000) + 0.5) / 20_000  # the midpoint rule
logistic = np.log(uniform / (1 - uniform))
overlap = couplings @ couplings.T  # of the rows; d energy / dz = overlap @ z - couplings @ pixels


def relaxed_mean(t):
    """The mean of (3.2) times the slope of the energy, exact: the z_j are independent."""
    z = special.expit((logits[:, np.newaxis] + logistic) / t)  # (6, 20000)
    spike = z * (1 - z) / t
    own, mean = np.diag(overlap), z.mean(axis=1)
    others = overlap @ mean - own * mean - couplings @ pixels
    return spike.mean(axis=1) * others + own * (z * spike).mean(axis=1)


# %% name="through-bits"
print("estimator                 |bias|   standard deviation")
spread, relaxed = {}, []
for baseline in gradients.BASELINES:
    options = {"seed": seed, "baseline": baseline}
    rows = gradients.score_function_bernoulli(energy, logits, num_samples, **options).numpy()
    assert within(rows, exact_bits)
    spread[baseline] = np.linalg.norm(rows.std(axis=0))
    print(f"score, {baseline:14s}      none   {spread[baseline]:8.3f}")
for t in temperatures:
    rows = gradients.relaxed_bernoulli(energy, logits, t, num_samples, seed=seed).numpy()
    assert within(rows, relaxed_mean(t))
    relaxed.append(list(map(np.linalg.norm, (relaxed_mean(t) - exact_bits, rows.std(axis=0)))))
bias, deviation = np.transpose(relaxed)
for i in (0, 6, 12):
    print(f"relaxed, T = {temperatures[i]:5.2f}     {bias[i]:8.4f}   {deviation[i]:8.3f}")

# %%
f, s = energy(states).numpy(), states - p
pairs = (f[:, np.newaxis] - f)[..., np.newaxis] * (s[:, np.newaxis] - s) / 2  # of two samples
one = q_states @ np.sum((np.tensordot(q_states, pairs, 1) - exact_bits) ** 2, axis=1)
two = q_states @ np.sum((pairs - exact_bits) ** 2, axis=2) @ q_states
check(np.tensordot(q_states, np.tensordot(q_states, pairs, 1), 1), exact_bits)
assert abs(2 * np.sqrt(one) / spread["leave_one_out"] - 1) < 0.05  # many samples


def baseline_error(n):
    """Exact error of n samples, each with the mean of the others as its baseline, nats."""
    return np.sqrt((4 * (n - 2) * one + 2 * two) / (n * (n - 1)))  # a mean over all pairs


# %% name="which-estimator"
rows = {n: np.sqrt(bias**2 + deviation**2 / n) for n in (2, 50, 5000)}  # of the relaxation
for n, error in rows.items():
    wins = temperatures[error < baseline_error(n)].round(2)
    print(f"{n:4d} samples: score function {baseline_error(n):.3f} nats, worse at T =", wins)
assert np.all(rows[2][3:] < baseline_error(2)) and rows[2][0] > baseline_error(2)
assert rows[50].min() < baseline_error(50) and rows[5000].min() > baseline_error(5000)
assert np.all(np.diff([np.argmin(error) for error in rows.values()]) < 0)  # the best T falls

# %% name="relaxation" alt="Left: bias rises and standard deviation falls with the temperature T. Right: error against T for 2, 50 and 5000 samples, a valley each; with 5000 the unbiased score function is below all of it."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.8))
axes[0].loglog(temperatures, bias, "o-", color=purple, label="|bias|")
axes[0].loglog(temperatures, deviation, "s-", color=blue, label="standard deviation")
for name, colour in (("none", orange), ("optimal", green)):
    axes[0].axhline(spread[name], color=colour, ls="--", lw=1, label=f"score, baseline {name}")
label(axes[0], "The relaxation", "temperature $T$", "nats")
for n, colour in ((2, blue), (50, purple), (5000, plt.rcParams["text.color"])):
    axes[1].loglog(temperatures, rows[n], "o-", ms=3, color=colour, label=f"{n} samples")
    axes[1].axhline(baseline_error(n), color=colour, ls="--", lw=1)
label(axes[1], "Error (dashed: score function)", "temperature $T$", "root mean square error (nats)")
for axis, limits in zip(axes, ((8e-4, 30), (0.06, 60)), strict=True):
    axis.set_ylim(limits)  # room for the legends
axes[0].legend(fontsize=10, loc="lower center")
axes[1].legend(fontsize=10, loc="upper right")
plt.show()

# %% [markdown]
# The dashed lines are the score function with the baseline that $n$ samples can give themselves, the mean of
# the others. With two samples the relaxation is the better
# choice at all but the lowest temperatures, since variance is nearly all that matters. With many samples its
# bias is the floor, the best $T$ moves down, and with 5,000 samples the unbiased estimator wins at every $T$. In
# practice one lowers $T$ during training.

# %% [markdown]
# ## 4. Summary
#
# | form | needs | variance | fails when |
# |:--|:--|:--|:--|
# | score function (B17a) | values of $f$ | grows with $f$ itself | $f$ is large |
# | with a baseline | two samples or more | grows with the fluctuations of $f$ | $f$ is extensive |
# | pathwise (B17b) | slope of $f$, a path | small where $f$ is smooth | $f$ jumps, $z$ is discrete |
# | doubly reparameterised (2.6) | slope of $\ln w$ | vanishes with the gap | as pathwise |
# | relaxation (3.2) | slope of $f$ at soft bits | $\sim 1/T$ | biased |
#
# - One VAE, three gradients of equal mean: the noisier the gradient, the less is learned in the same time. The
#   decoder needs neither form.
# - A tighter bound need not give a better gradient: the encoder's signal falls like $1/K$, its
#   noise like $1/\sqrt K$. One integration by parts repairs it.
# - Bits have no path. A softened bit has one, at the price of a bias.

# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **At the posterior.** Let $q$ be the posterior, so that all weights are equal. What is the variance of
#    the plain gradient (2.3) in $\mu$ with $K$ weights, and what that of (2.6)? (`plain_variance(K)`, for the model
#    of section 2, where $\sigma^2 = \frac12$; `by_formula`: 4,000 plain gradients with $K = 8$ from the library.)
# 2. *(medium)* **The model's line.** In the picture of section 2 the green points have no line. Derive it: to leading
#    order the estimate $\sum_k \tilde w_k (x - z_k)$ has which mean, and which standard deviation? (`model_line`: the
#    factor of $\sqrt K$.)
# 3. *(medium)* **Flip each bit.** In (3.1) the average over one bit $z_j$ can be done exactly, given the others.
#    Show that $\partial_{l_j} \mathbb{E}_q[f] = p_j (1 - p_j)\, \mathbb{E}_q[f(z_j = 1) - f(z_j = 0)]$. (`flips`:
#    the estimate from each of the 64 states, (64, 6); `flip_deviation`: the exact standard deviation of one
#    sample, all components together.) One sample costs seven values of $f$, with no bit flipped and with each. Is it the
#    better use of them?
# 4. *(hard)* **Two values for all bits.** Draw one uniform number $u_j$ for each bit. Show for one bit that
#    $(f(\mathbb{1}[u > 1 - p]) - f(\mathbb{1}[u < p]))\,(u - \frac12)$ is an unbiased estimate of (3.1), and that with
#    several bits all of them may share the two values of $f$ (the ARM estimator; Yin and Zhou, 2019). (`arm(u)`: the
#    estimates, (num, 6), from uniform numbers (num, 6); `arm_deviation` as in exercise 3, from 100,000 samples.)
#
# The solutions are in the cells below, folded: click on one to open it.


# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. ln w does not depend on z, so that all w~ are 1/K and (2.3) leaves the mean of -eps_k / sigma: variance
# 1 / (K sigma^2). In (2.6) each term has the factor d ln w / dz = 0.
def plain_variance(num_weights):
    return 2 / num_weights


by_formula = gradients.importance_weighted(
    log_joint, [0.5], [np.log(0.5)], (num_estimates, 8), seed=seed, double=False
).mean[:, 0]
check([plain_variance(1), plain_variance(8)], [2.0, 0.25])
assert len(by_formula) == num_estimates and within(np.square(by_formula), plain_variance(8))
print(f"1. variance, K = 8: {np.var(by_formula):.4f}, exact {plain_variance(8)}")

# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. The mean tends to E[w (x - z)] = x - E[z|x] = x / 2 (w in units of Z). Numerator and denominator
# fluctuate together: the noise is that of a mean of w (x - z - x / 2), over sqrt(K).
noise_model = np.sqrt(node_weights @ (w * (x_seen / 2 - z_node)) ** 2)
model_line = x_seen / 2 / noise_model
check(node_weights @ (w * (x_seen - z_node)), x_seen / 2)
check(model_line, 0.7213, tolerance=1e-4)
check(snr["model"][4:8] / large, model_line, tolerance=0.1)
print(f"2. SNR of the model's gradient: {model_line:.3f} * sqrt(K)")

# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. E[f (z_j - p_j)] over z_j alone: p (1 - p) f(1) + (1 - p) (0 - p) f(0) = p (1 - p) [f(1) - f(0)].
flips = np.empty((64, 6))
for j in range(6):
    on, off = states.copy(), states.copy()
    on[:, j], off[:, j] = 1, 0
    flips[:, j] = p[j] * (1 - p[j]) * (energy(on) - energy(off)).numpy()
flip_deviation = np.sqrt(q_states @ np.sum((flips - exact_bits) ** 2, axis=1))
check(q_states @ flips, exact_bits)
check(flip_deviation, 1.2957, tolerance=1e-4)
assert flip_deviation < baseline_error(7) / 1.3  # seven values of f for either
print(f"3. one sample, all bits flipped: {flip_deviation:.3f} nats;", end=" ")
print(f"seven samples with leave one out: {baseline_error(7):.3f}")


# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. One bit: E[f(1[u < p]) (1/2 - u)] = f(1) (p/2 - p^2/2) + f(0) (p^2/2 - p/2) = p (1 - p) [f(1) - f(0)] / 2,
# and u -> 1 - u gives the other half. With several bits the same holds for bit j at fixed other u: f(z) and its
# mirror image depend on u_j through z_j alone, and the sum of the two averages is (3.1).
def arm(u):
    difference = energy((u > 1 - p).astype(float)) - energy((u < p).astype(float))
    return difference.numpy()[:, np.newaxis] * (u - 0.5)


uniform = np.random.default_rng(seed).random((num_samples, 6))
arm_deviation = np.linalg.norm(arm(uniform).std(axis=0))
assert within(arm(np.random.default_rng(seed).random((num_samples, 6))), exact_bits)
check(arm(np.full((1, 6), 0.9))[0, 0], 6.39497, tolerance=1e-5)
assert abs(arm_deviation / baseline_error(2) - 1) < 0.1  # about as good as two samples
print(f"4. two values of f: {arm_deviation:.3f} nats, leave one out {baseline_error(2):.3f}")
