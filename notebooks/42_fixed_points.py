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
# # Chapter 42: Guess, and learn fixed-point equations
#
# The blog post that this course follows says that deep learning seems to guess and then to learn deterministic
# fixed-point equations, as in SegNet, by convolutional autoencoders. An autoencoder is a map $r$ from images to
# images, so one may feed it its own output. *Guess before you read on: does a digit stay what it is under 300
# reconstructions? And is there an energy that goes down on the way?*
#
# **What you will do**
#
# - solve the linear autoencoder with four losses;
# - see the best denoiser of two Gaussians become the mean-field equation of a magnet;
# - iterate the mean-field equations of a trained RBM, which are an autoencoder with tied weights;
# - iterate convolutional autoencoders of SegNet's shape, with all eigenvalues by automatic differentiation.
#
# **What you will learn**
#
# - when fixed-point equations are the stationarity of a (free) energy, and a test for it;
# - that reconstruction at $T = 0$ says nothing about stability;
# - what a deterministic autoencoder can be said to have learned.
#
# **What you need**: section 5 of chapter 28, section 4 of chapter 29, section 2 of chapter 27, section 1 of
# chapter 36.
#
# **Time**: about 55 minutes, and 120 for the exercises. The code runs in half a minute.
#
# Numbers such as (B54) are rows of the table `EQUATIONS.md`. $\partial r$ is the Jacobian of $r$, with rows for
# outputs; energies are in nats.

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
from functools import partial

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from scipy import optimize, special

from rbm_tf import BernoulliRBM, Machine, course, datasets, mean_field, plotting
from rbm_tf.course import check, label
from vae_keras import VAE, NegativeLogLikelihood, gradients, parts

# %%
seed = 0
noise_scale = 0.5  # of the denoising autoencoders
half_distance, width = np.array([1.5, 0.0]), 0.5  # of two Gaussians
num_epochs, batch_size, num_steps = 12, 50, 300  # of the convolutional networks; of their orbits
retrain = bool(os.environ.get("RETRAIN"))  # True: train them here, some minutes
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

keras.utils.set_random_seed(seed)
plt.style.use(["rbm_tf.course", {"figure.dpi": 98}])


# %%
def rms(images):
    """Root mean square over the pixels."""
    return np.sqrt(np.mean(np.square(images), (-2, -1)))


# %% [markdown]
# ## 1. Three questions to ask a map
#
# *Where are its fixed points*, $x^* = r(x^*)$? *Do they attract?* Near one, $r(x) - x^* \approx \partial r\,
# (x - x^*)$, so errors shrink in the long run if all eigenvalues of $\partial r$ are inside the unit circle. If even the largest
# singular value is at most $c < 1$ everywhere, each step brings any two points closer together, and there is exactly
# one fixed point: $r$ is a *contraction* (Banach). For a decoder after an encoder the chain rule gives $\partial
# r = \partial d\, \partial e$. Since $AB$ and $BA$ have the same non-zero eigenvalues, those of $\partial e\, \partial d$,
# a matrix as small as the code, are all there are.
#
# *Is there an energy?* Suppose the step goes downhill, perhaps with a step size for every direction: $r(x) - x =
# -B(x) \nabla G(x)$ with a symmetric positive definite matrix $B$. At a fixed point $\nabla G = 0$, and what is left
# of the derivative is
#
# $$\partial r = I - B\, \nabla \nabla G \quad \text{at } x^* , \qquad
#   B\, \nabla \nabla G = B^{1/2} \big( B^{1/2}\, \nabla \nabla G\, B^{1/2} \big) B^{-1/2} . \tag{1.1}$$
#
# The bracket is symmetric, so **all eigenvalues are real**. A complex one at a single fixed point excludes every
# such $G$. With $B$ a constant times $I$ even $\partial r$ must be symmetric, everywhere, and on a space
# without holes this suffices.
#
# **SegNet** (Badrinarayanan, Kendall and Cipolla 2017) has an encoder of convolutions and 2 × 2 max-pooling, and a
# mirrored decoder. It remembers *where* in each window the largest value was, and its decoder puts the value back
# there, with zeros around. Those places pass beside the code, so the code alone does not determine the output. And
# SegNet is trained to name the class of each pixel: its output is a map of labels, so SegNet itself has
# nothing to iterate. An autoencoder of its shape has.
#
# %% [markdown]
# ## 2. Linear: projection, or a slow way to the mean
#
# Let $r(x) = A x$ with $A = W_2 W_1$ of rank $k$, for data of mean 0 and covariance $C$, with eigenvalues
# $\lambda_1 > \lambda_2 > \dots$ In all four cases the best $A$ lies along the $k$ leading directions; what differs
# is the factor $\alpha_j$ by which it multiplies them.
#
# *Reconstruction* alone, which is $T = 0$, gives principal component analysis: $\alpha_j = 1$. Every point of the plane
# is a fixed point, and one step arrives. *Denoising* with noise $\sigma$ has the loss
#
# $$\langle |A (x + \sigma \epsilon) - x|^2 \rangle = \mathrm{tr}\, (A - A_*) (C + \sigma^2) (A - A_*)^T + \text{const} ,
#   \qquad A_* = C (C + \sigma^2)^{-1} , \tag{2.1}$$
#
# and the best approximation of rank $k$ to $A_* (C + \sigma^2)^{1/2}$ keeps the $k$ largest of its singular values
# $\lambda_j / \sqrt{\lambda_j + \sigma^2}$. *Weight decay* $\gamma (|W_1|^2 + |W_2|^2)$ costs at least $2 \gamma \alpha_j$
# for each direction, and $\lambda (1 - \alpha)^2 + 2 \gamma \alpha$ is least at $\alpha = 1 - \gamma / \lambda$ (Kunin et al.
# 2019). The *VAE at temperature $T$* was solved in [chapter 28, section 5](28_deterministic_limit.ipynb). Together,
#
# $$\alpha_j = 1 , \qquad \frac{\lambda_j}{\lambda_j + \sigma^2} , \qquad 1 - \frac{\gamma}{\lambda_j} , \qquad
#   1 - \frac{T}{T_j} \quad \text{with } T_j = \frac{\lambda_j}{s^2} , \tag{2.2}$$
#
# the last two as long as they are positive. A temperature acts like weight decay with $\gamma = T s^2$. At $T = 0$
# there is a plane of fixed points. With any noise, decay or temperature only the mean of the data is left, and orbits
# reach it at the rate $\alpha_1^t$.
#
# **Check against the exact result**: the eigenvalues of numerical minima.

# %%
variances = np.array([4.0, 2.0, 1.0, 0.5, 0.2])
rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(5, 5)))[0]
covariance = rotation * variances @ rotation.T


def linear_loss(weights, noise, decay):
    """Of an autoencoder of rank 2, mean over data and noise."""
    encoder, decoder = weights[:10].reshape(2, 5), weights[10:].reshape(5, 2)
    product = decoder @ encoder
    change = product - np.eye(5)
    error = np.trace(change @ covariance @ change.T)
    return error + noise**2 * np.sum(product**2) + decay * np.sum(weights**2)


# %% name="linear"
exact = {
    ("reconstruction", 0.0, 0.0): np.ones(2),
    ("denoising", 0.5, 0.0): variances[:2] / (variances[:2] + 0.25),
    ("weight decay", 0.0, 0.3): 1 - 0.3 / variances[:2],
}
for (name, noise, decay), factors in exact.items():
    start = np.random.default_rng(seed).normal(size=20)
    found = optimize.minimize(linear_loss, start, args=(noise, decay), tol=1e-9)
    A = found.x[10:].reshape(5, 2) @ found.x[:10].reshape(2, 5)
    by_rank = np.sort(np.linalg.eigvals(A).real)[::-1]
    print(f"{name:15s} eigenvalues {by_rank.round(4)}, (2.2) {factors.round(4)}")
    check(by_rank, [*factors, 0, 0, 0], tolerance=1e-3)
    check(A, A.T, tolerance=1e-3)

# %% [markdown]
# ## 3. The best denoiser has an energy
#
# Without a bottleneck, the best guess of clean data behind $y = x + \sigma \epsilon$ is Tweedie's formula, (2.2)
# of [chapter 27](27_score_matching.ipynb), which is what a denoising autoencoder is trained for (B11):
#
# $$r(y) = \mathbb{E}[x | y] = y + \sigma^2 \nabla \ln p_\sigma(y) , \qquad
#   \partial r = I + \sigma^2 \nabla \nabla \ln p_\sigma = \mathrm{Cov}[x | y] / \sigma^2 . \tag{3.1}$$
#
# (The last form: $p(x|y) \propto p(x)\, e^{-|y - x|^2 / 2 \sigma^2}$ is an exponential family in $y / \sigma^2$, so the
# derivative of its mean is a covariance.) Here the step *is* a gradient, with $G = -\ln p_\sigma$ and $B = \sigma^2 I$. The
# eigenvalues are not negative. They are below 1 at maxima of $p_\sigma$ and above 1 in some direction at saddles and
# minima, so the attractors are the modes of the blurred density.
#
# **Two Gaussians** of variance $\tau^2$ at $\pm \mu$, with equal odds. With $v = \tau^2 + \sigma^2$, given the component the
# mean is $(\tau^2 y \pm \sigma^2 \mu) / v$, and the components have weights proportional to $e^{\pm \mu \cdot y / v}$:
#
# $$r(y) = \frac{1}{v} \Big[ \tau^2 y + \sigma^2 \mu \tanh \frac{\mu \cdot y}{v} \Big] , \qquad
#   y^* = m \mu \quad \text{with} \quad \boxed{\; m = \tanh \Big( \frac{|\mu|^2}{v}\, m \Big) \;} \tag{3.2}$$
#
# The fixed-point equation of the denoising autoencoder is the mean-field equation of a magnet, with $v / |\mu|^2$ for its
# temperature. At temperatures below 1 there are two attractors and a saddle; at $\sigma^2 = |\mu|^2 - \tau^2$ they merge.
#
# **Check against the exact result**: (3.2) against the library's `denoise`, and (3.1).


# %%
def best_denoiser(y, sigma):
    """(3.2); y (num, 2)."""
    v = width**2 + sigma**2
    magnetisation = np.tanh(y @ half_distance / v)[:, np.newaxis]
    return (width**2 * y + sigma**2 * magnetisation * half_distance) / v


def log_blurred(y, sigma=noise_scale):
    """ln p_sigma up to a constant."""
    v = width**2 + sigma**2
    wells = [-tf.reduce_sum((y - sign * half_distance) ** 2, -1) / (2 * v) for sign in (1, -1)]
    return tf.reduce_logsumexp(wells, 0)


# %% name="tweedie"
y = np.random.default_rng(seed).normal(size=(200, 2)) * [2, 1]
check(gradients.denoise(log_blurred, y, noise_scale), best_denoiser(y, noise_scale))
v = width**2 + noise_scale**2
m = np.tanh(y @ half_distance / v)  # odds of the two components, (1 + m) / 2 and (1 - m) / 2
along = (1 - m**2) * (noise_scale**2 / v) ** 2 * (half_distance @ half_distance)
posterior = width**2 * noise_scale**2 / v + np.outer(along, [1, 0])  # variances along both axes
step = 1e-5 * np.array([1.0, 0.0])
slope = (best_denoiser(y + step, noise_scale) - best_denoiser(y - step, noise_scale)) / 2e-5
check(slope[:, 0], posterior[:, 0] / noise_scale**2, tolerance=1e-7)
magnet = optimize.brentq(lambda m: m - np.tanh(2.25 / v * m), 0.1, 1)
end = best_denoiser(magnet * half_distance[np.newaxis], noise_scale)[0]
check(end, magnet * half_distance)
print(f"attractors at m = +-{magnet:.4f}, a saddle at 0")

# %% [markdown]
# **Learned.** An autoencoder with 100 tanh units is trained to denoise 20,000 points. Its encoder stays as it was
# drawn, so that the best decoder is a least-squares problem. How much of (3.1) does it obey, at the data and elsewhere?

# %%
rng = np.random.default_rng(seed)
signs = rng.choice([-1, 1], size=(20_000, 1))
clean = signs * half_distance + width * rng.normal(size=(20_000, 2))
noisy = clean + noise_scale * rng.normal(size=clean.shape)
first, first_bias = rng.normal(size=(2, 100)), rng.normal(size=100)


def encoded(y):
    return np.hstack([np.tanh(y @ first + first_bias), np.ones((len(y), 1))])


second = np.linalg.lstsq(encoded(noisy), clean, rcond=None)[0]


# %%
def learned(y):
    return encoded(y) @ second


def compared(y):
    """Error of (r - y) / sigma^2 as a score, relative; asymmetry of the Jacobian, relative."""
    true_step = best_denoiser(y, noise_scale) - y
    slopes = 1 - encoded(y)[:, :-1] ** 2
    jacobian = np.einsum("nk,ik,ko->noi", slopes, first, second[:-1])
    error = np.linalg.norm(learned(y) - y - true_step) / np.linalg.norm(true_step)
    skew = jacobian - jacobian.transpose(0, 2, 1)
    return error, np.linalg.norm(skew) / np.linalg.norm(2 * jacobian)


# %% name="learned"
inside, outside = compared(noisy[:2000]), compared(noisy[:2000] + np.array([0, 5]))
for name, (error, asymmetry) in {"at the data": inside, "5 units above": outside}.items():
    print(f"{name:14s} error of the score {error:.1%}, asymmetry {asymmetry:.1%}")
assert max(inside) < 0.2 and outside[0] > 1 and outside[1] > 0.2
orbits = [np.array([[0.1, 1.8], [-0.1, -1.8], [2.9, 1.0], [-2.9, 0.5]])]
for _ in range(60):
    orbits.append(learned(orbits[-1]))
check(orbits[-1][:, 0], [side * magnet * 1.5 for side in (1, -1, 1, -1)], tolerance=0.1)
sigmas, m = np.linspace(0.05, 2, 118), np.ones(118)
blur = width**2 + sigmas**2
for _ in range(2000):  # (3.2) along mu
    m = (width**2 * m + sigmas**2 * np.tanh(2.25 * m / blur)) / blur
assert m[sigmas < 1.35].min() > 0.3 and m[sigmas > 1.5].max() < 0.01

# %% name="two-gaussians" alt="Left: arrows of the exact step point to two places left and right of the origin, and four orbits of the learned map end there. Right: the magnetisation of the attractor over the noise, from near 1 down to 0 at noise 1.41, where a dotted line stands."
figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.6))
points = np.stack(np.meshgrid(np.linspace(-3, 3, 17), np.linspace(-2, 2, 11)), -1).reshape(-1, 2)
arrows = best_denoiser(points, noise_scale) - points
axes[0].quiver(*points.T, *arrows.T, color=grey, angles="xy", scale_units="xy", scale=1.5)
axes[0].plot(*np.array(orbits).transpose(2, 0, 1), ".-", color=blue, ms=4)
label(axes[0], "Steps $r(y) - y$ (exact), orbits (learned)", "$y_1$", "$y_2$")
axes[1].plot(sigmas, m, color=orange)
axes[1].axvline(np.sqrt(2.0), color=grey, ls=":")
label(axes[1], "The denoiser is a magnet", r"noise $\sigma$", "$m$ of the attractor")
plt.show()

# %% [markdown]
# Where data were seen, the learned map has nearly the right step and a nearly symmetric Jacobian. Five units above
# them both are wrong. The identity (3.1) belongs to the best map, not to every map that is trained for it.
#
# %% [markdown]
# ## 4. The mean-field equations of an RBM
#
# For an RBM naive mean field asks for $m = \mathrm{sigm}(a + W n)$ and $n = \mathrm{sigm}(b + W^T m)$. As one map,
#
# $$r(m) = \mathrm{sigm}\big( a + W\, \mathrm{sigm}(b + W^T m) \big) : \tag{4.1}$$
#
# encode with $W$, squash, decode with the same $W$. Here the energy is known. Let
# $\Gamma(m, n) = -a \cdot m - b \cdot n - m^T W n - S(m) - S(n)$ be the naive free energy of
# [chapter 36](36_cumulants_and_tap.ipynb), with the entropy
# $S(m) = -\sum_i [m_i \ln m_i + (1 - m_i) \ln (1 - m_i)]$. For given $m$ it is least at
# $n = \mathrm{sigm}(b + W^T m)$, with the value
#
# $$\boxed{\; G(m) = \min_n \Gamma(m, n) = F_c(m) - S(m) , \qquad
#   \nabla G = \mathrm{logit}(m) - \mathrm{logit}(r(m)) \;} \tag{B54}$$
#
# where $F_c(m) = -a \cdot m - \sum_j \mathrm{softplus}(b_j + (m W)_j)$ is the clamped free energy (B5), at means instead of
# states. (Differentiate: $F_c$ gives $-a - W\, \mathrm{sigm}(b + W^T m)$, which is $-\mathrm{logit}(r(m))$, and $-S$ gives $\mathrm{logit}(m)$.) Three
# consequences:
#
# - The fixed points of (4.1) are the stationary points of $G$, no more and no fewer.
# - $G$ never rises along an orbit, because $r$ minimises $\Gamma$ over $n$ and then over $m$: $G(r(m)) \le \Gamma(r(m), n) \le
#   \Gamma(m, n) = G(m)$. And $G \ge -\ln Z$ (B24).
# - $\partial r = \mathrm{diag}(r (1 - r))\, W\, \mathrm{diag}(n (1 - n))\, W^T$: a positive diagonal matrix times a
#   symmetric one without negative eigenvalues. All eigenvalues are real and not negative, and minima of $G$ attract.
#
# **Check against the exact result**: (B54) by automatic differentiation, for an RBM trained on small digits. Then 100
# test digits and 100 images of noise are iterated.

# %%
small, small_test = (x.reshape(-1, 64) for x, _ in datasets.load_digits("bernoulli", seed=seed))
rbm = BernoulliRBM(64, 64, seed=seed)  # trained by persistent chains
train = partial(rbm.fit, small, epochs=100, verbose=0)
course.trained(rbm, "fixed_points_rbm", lambda: train().history["loss"], retrain=retrain)
W, a, b = (x.astype(float) for x in rbm.get_weights()[:3])


def mean_field_step(m):  # (4.1)
    return tf.sigmoid(a + tf.sigmoid(b + m @ W) @ W.T)


def reduced_free_energy(m):
    """G(m) of (B54), nats."""
    clamped = -tf.linalg.matvec(m, a) - tf.reduce_sum(tf.nn.softplus(b + m @ W), -1)
    return clamped + tf.reduce_sum(tf.math.xlogy(m, m) + tf.math.xlogy(1 - m, 1 - m), -1)


# %% name="mean-field"
some = tf.constant(np.random.default_rng(seed).uniform(0.05, 0.95, (5, 64)))
with tf.GradientTape() as tape:
    tape.watch(some)
    G = reduced_free_energy(some)
expected = special.logit(some) - special.logit(mean_field_step(some))
check(tape.gradient(G, some), expected)
starts = np.vstack([small_test[:100], np.random.default_rng(seed).random((100, 64))])
path = [tf.constant(starts, tf.float64)]
for _ in range(600):
    path.append(mean_field_step(path[-1]))
G = np.array([reduced_free_energy(m) for m in path])
assert np.diff(G, axis=0).max() < 1e-10
check(path[-1], path[-2], tolerance=1e-6)
best = mean_field.tap(Machine(*map(tf.constant, (W, a, b))), order=1, num_starts=30)
check(G[-1].min(), best.free_energy, tolerance=1e-6)

# %% name="attractors"
kinds = {"axis": 0, "return_index": True, "return_counts": True}
ends, rows, counts = np.unique(path[-1].numpy().round(3), **kinds)
singular = []
for row, number in zip(rows, counts, strict=True):
    m = path[-1][row].numpy()
    n = special.expit(b + m @ W)
    J = (m * (1 - m))[:, np.newaxis] * (W * (n * (1 - n))) @ W.T
    values, largest = np.linalg.eigvals(J), np.linalg.norm(J, 2)
    assert np.abs(values.imag).max() < 1e-10 and np.abs(values).max() < 1
    singular.append(largest)
    print(f"{number:3d} starts, G {G[-1, row]:.2f}: eigenvalue {values.real.max():.3f}", end=", ")
    print(f"singular value {largest:.3f}")
assert len(ends) == 8 and max(singular) > 1.1

# %% name="descent" alt="Left: the free energies G of twenty orbits above the lowest end, ten from digits and ten from noise, fall by tens of nats in the first step, and level off between 0 and 1 nat. Right: eight grey images of 8 by 8 pixels, the attractors. Several look like digits, such as 4, 0, 8 and 3."
figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.3), width_ratios=(2, 1))
above = G - G[-1].min() + 1e-3
axes[0].loglog(np.arange(1, 602), above[:, :10], color=blue, lw=1)
axes[0].loglog(np.arange(1, 602), above[:, 100:110], color=orange, lw=1)
axes[0].plot([], color=blue, label="from digits")
axes[0].plot([], color=orange, label="from noise")
axes[0].legend()
label(axes[0], "$G$ never rises", "1 + steps", "$G$ above the lowest + 0.001, nats")
plotting.image_grid(axes[1], ends.reshape(-1, 8, 8), columns=3)
axes[1].set_title("All attractors found")
plt.show()

# %% [markdown]
# 200 starts have eight ends. All eigenvalues are real and below 1. Yet at some ends the largest singular value is
# above 1: to attract is one thing and to contract another, and a map with eight attractors cannot be a
# contraction. `tap` at order 1 finds the lowest of the eight.
#
# %% [markdown]
# ## 5. Convolutional autoencoders of SegNet's shape
#
# Two stages of convolution and max-pooling lead to a code of 7 × 7 numbers, and a mirrored decoder leads back,
# without the remembered places; all is smaller than in SegNet, and without its batch normalisation. Three models come with these networks, trained on 4,000 grey images:
# `VAE(temperature=0.0)`, the deterministic autoencoder of (B32); `VAE(temperature=1.0)`; and a denoising
# autoencoder, $\sigma = 0.5$.
# *Which of them will leave a digit alone?*


# %%
def segnet_shape():
    """Encoder to (mean, log_var), decoder to logits, with 2,931 weights."""
    keras.utils.set_random_seed(seed)
    same = {"kernel_size": 3, "padding": "same"}
    pixels, code = keras.Input((28, 28)), keras.Input((49,))
    x, z = keras.layers.Reshape((28, 28, 1))(pixels), keras.layers.Reshape((7, 7, 1))(code)
    for filters in (8, 16):
        x = keras.layers.MaxPooling2D()(keras.layers.Conv2D(filters, activation="relu", **same)(x))
    heads = [keras.layers.Conv2D(1, name=name, **same) for name in ("mean", "log_var")]
    encoder = keras.Model(pixels, [keras.layers.Flatten()(head(x)) for head in heads])
    for filters in (16, 8):
        z = keras.layers.UpSampling2D()(keras.layers.Conv2D(filters, activation="relu", **same)(z))
    return encoder, keras.Model(
        code, keras.layers.Reshape((28, 28))(keras.layers.Conv2D(1, **same)(z))
    )


# %%
def fit(encoder, decoder, temperature):
    """Train as a VAE at a temperature, or to denoise if it is None; returns the losses."""
    optimizer, data = keras.optimizers.Adam(3e-3), (x_train,)
    if temperature is None:
        encoder.get_layer("log_var").trainable = False  # has no part in it
        pixels, data = keras.Input((28, 28)), (x_train, x_train)
        noisy = keras.layers.GaussianNoise(noise_scale, seed=seed)(pixels)
        model = keras.Model(pixels, decoder(encoder(noisy)[0]))
        model.compile(optimizer, NegativeLogLikelihood(parts.Bernoulli()), jit_compile=False)
    else:
        model = VAE(encoder, decoder, temperature=temperature, seed=seed)
        model.compile(optimizer, jit_compile=False)
    return model.fit(*data, epochs=num_epochs, batch_size=batch_size, verbose=0).history["loss"]


# %%
(x_train, _), (x_test, y_test) = datasets.load_mnist_5k()
temperatures = {"T_0": 0.0, "T_1": 1.0, "denoising": None}
models = {}
for name, temperature in temperatures.items():
    encoder, decoder = segnet_shape()
    pixels = keras.Input((28, 28))
    both = keras.Model(pixels, decoder(encoder(pixels)[0]))
    train = partial(fit, encoder, decoder, temperature)
    course.trained(both, f"fixed_points_{name}", train, retrain=retrain)
    models[name] = encoder, decoder

# %% [markdown]
# The starts are one test digit of each class, the same with a hole of 8 × 8 zeros in the middle, and ten
# images of noise. An orbit is followed in the space of codes, $z \mapsto e(d(z))$. For the Jacobians all 49 unit
# vectors of the code go through the decoder at once, forwards, and through the encoder, backwards.

# %%
digits = np.array([x_test[y_test == digit][0] for digit in range(10)])
holes = digits.copy()
holes[:, 10:18, 10:18] = 0
noise_images = np.random.default_rng(seed).random((10, 28, 28))
starts = np.vstack([digits, holes, noise_images]).astype("float32")


def orbit(encoder, decoder, x):
    """Codes along the orbits, (num_steps + 1, batch, 49)."""
    step, path = tf.function(lambda z: encoder(tf.sigmoid(decoder(z)))[0]), [encoder(x)[0]]
    for _ in range(num_steps):
        path.append(step(path[-1]))
    return np.array(path)


# %%
def spectrum(encoder, decoder, z):
    """Eigenvalues of de dd at a code, and the Jacobian dd de of the images there."""
    codes = tf.repeat(z[np.newaxis], 49, 0)
    with tf.autodiff.ForwardAccumulator(codes, tf.eye(49)) as forward:
        x = tf.sigmoid(decoder(codes))
    of_decoder = tf.reshape(forward.jvp(x), (49, 784)).numpy().T
    with tf.GradientTape() as tape:
        tape.watch(x)
        one_each = tf.reduce_sum(encoder(x)[0] * tf.eye(49))
    of_encoder = tape.gradient(one_each, x).numpy().reshape(49, 784)
    return np.linalg.eigvals(of_encoder @ of_decoder), of_decoder @ of_encoder


# %% name="orbits-in-numbers"
paths = {name: orbit(*model, starts) for name, model in models.items()}
apart, num_ends = np.sqrt(2 * x_test.var(0).mean()), {}
print(f"two test images differ by {apart:.2f} on average, in units of the grey scale")
for name, (_, decoder) in models.items():
    first_images, before, last = (tf.sigmoid(decoder(paths[name][k])).numpy() for k in (0, -2, -1))
    one, many = (rms(images[:10] - digits).mean() for images in (first_images, last))
    differences = rms(last[:, np.newaxis] - last)
    num_ends[name] = np.sum([differences[k, :k].min(initial=1) > 0.02 for k in range(30)])
    settled = rms(last - before) < 1e-3
    print(f"{name:9s} moved digits by {one:.3f} in one step, {many:.3f} in all;", end=" ")
    print(f"{settled.sum()} of 30 orbits have settled; {num_ends[name]} different images")
    assert one < 0.4 * apart and 0.75 * apart < many < 1.1 * apart
    assert settled[0] and settled.sum() > 25
assert num_ends["T_0"] > 25 and max(num_ends["T_1"], num_ends["denoising"]) < 22

# %% name="spectra"
for name, model in models.items():
    at_digits = [spectrum(*model, paths[name][0, k])[0] for k in range(5)]
    outside = [int(np.sum(np.abs(values) > 1)) for values in at_digits]
    values, J = spectrum(*model, paths[name][-1, 0])
    size, imaginary, singular = np.abs(values).max(), values.imag.max(), np.linalg.norm(J, 2)
    asymmetry = np.linalg.norm(J - J.T) / np.linalg.norm(2 * J)
    print(
        f"{name:9s} eigenvalues outside the circle at digits 0 to 4: {outside}; where the 0 ends:"
    )
    print(f"{'':9s} largest {size:.3f}, imaginary part {imaginary:.3f}", end=", ")
    print(f"singular {singular:.2f}, asymmetry {asymmetry:.2f}")
    assert min(outside) >= 1 and size < 1 < singular
    assert imaginary > 0.05 and 0.4 < asymmetry < 0.75

# %% [markdown]
# One step moves a digit by about a tenth of the grey scale, 0.3 of the distance between two images. All leave it: after
# 300 steps the image is about as far from the digit as another digit would be. At the codes of the five digits some
# eigenvalues of $z \mapsto e(d(z))$ lie outside the unit circle. Almost all of the 30 orbits at $T = 0$ end at images
# of their own. With temperature or noise several share an end. Those in the picture are strokes, dots and a blank image.

# %% name="orbits" alt="Six rows of seven images, after 1 to 301 steps. At T = 0 a digit 2 keeps its shape for four steps and then breaks into blobs, and noise becomes strokes. At T = 1 the 2 shrinks to a stroke and a dot, noise to a blank image. In the denoising model both end as a dot."
figure, axes = plt.subplots(6, 7, figsize=(8.5, 7.6))
shown, names = (0, 1, 3, 10, 30, 100, 300), {"T_0": "$T = 0$", "T_1": "$T = 1$"}
for row, (name, k) in enumerate((name, k) for name in models for k in (2, 22)):
    pictures = tf.sigmoid(models[name][1](paths[name][list(shown), k])).numpy()
    for axis, picture, step in zip(axes[row], pictures, shown, strict=True):
        axis.imshow(picture, cmap="gray_r", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[], title="" if row else f"{step + 1} steps")
    axes[row, 0].set_ylabel(f"{names.get(name, name)}\n{'noise' if k > 20 else 'a digit 2'}")
plt.show()

# %% [markdown]
# **No energy.** Where the 0 ends, every model has complex eigenvalues. By (1.1) there is no $G$ whose gradient, with
# whatever positive step sizes, is the step of these maps. The asymmetry is between a half and 0.7; a matrix of
# independent numbers would have 0.71. Some function does fall along the orbits near any stable fixed point, but
# the step is not its gradient.

# %% [markdown]
# **A deliberate failure: filling a hole.** One might hope that iteration pulls a damaged digit back to a whole one.
# Here is the error within the hole after 1, 3 and 10 steps. The competitor is the mean of the training images.

# %% name="hole"
inside = np.s_[:, 10:18, 10:18]
mean_error = rms(x_train.mean(0)[inside[1:]] - digits[inside]).mean()
print(f"nothing done {rms(digits[inside]).mean():.3f}, mean image {mean_error:.3f}")
for name, (_, decoder) in models.items():
    fillings = [tf.sigmoid(decoder(paths[name][k, 10:20])).numpy() for k in (0, 2, 9)]
    error = [rms(x[inside] - digits[inside]).mean() for x in fillings]
    print(f"{name:12s} {np.round(error, 3)}")
    assert min(error) > mean_error + 0.05

# %% [markdown]
# The hole stays: a digit with a hole is reconstructed as one. The mean image, which knows nothing of the digit, is
# better at every step.
#
# %% [markdown]
# ## 6. What has been learned?
#
# *"Guess"* is accurate: one guesses the shape of a map $r$, and no energy. *"Learn fixed-point equations"* has three
# readings.
#
# - **The equations $x = r(x)$ at the data.** The loss at $T = 0$ measures their residual, and they were learned up to a
#   tenth of the grey scale. Whether solutions attract is no part of this loss, and here the digits do not.
# - **The stationarity of a free energy.** It holds for the best denoiser, with $-\ln p_\sigma$, and for mean field,
#   with $F_c - S$. One who trains an RBM by mean field or TAP ([chapter 37, section
#   2](37_learning_with_corrections.ipynb)) does learn fixed-point equations in this sense. The three convolutional maps
#   fail the test.
# - **The score.** It is in $r(x) - x$ only if noise in training asked for it (B11), and only where data were seen.
#
# %% [markdown]
# ## 7. Summary
#
# - A fixed point attracts if the eigenvalues are inside the unit circle; a step that is a gradient has real
#   ones (1.1).
# - Linear autoencoders have a plane of fixed points at $T = 0$, and the mean alone with noise, decay or temperature (2.2).
# - The best denoiser of two Gaussians is the mean-field equation of a magnet (3.2).
# - Mean field of an RBM is an encode-decode map with a free energy, $F_c - S$ (B54).
# - A convolutional autoencoder that reconstructs fairly need not keep what it reconstructs, and its iteration has in
#   general no energy.
#
# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **Half of the way.** By (2.2) a linear VAE contracts by $1 - T / T_j$ at each step. Write
#    `half_life(ratio)`, the number of steps, a real number, after which the distance from the mean has halved, for
#    `ratio` $= T / T_j$. What happens as $T \to 0$?
# 2. *(medium)* **Tied weights.** Let $r(x) = a + W\, \mathrm{sigm}(b + W^T x)$, without a sigmoid at the end. Find the energy with
#    $\nabla U = x - r(x)$ and write it as `energy(x)` for x (num, 64), with TensorFlow and the `W`, `a`, `b` of section 4. Of which machine is it the
#    clamped free energy?
# 3. *(hard)* **The best denoiser of a training set.** Let the data be $N$ given points, with equal odds. Derive $r(y)$, write
#    `of_points(y, points, sigma)`, and explain what its attractors are for small $\sigma$. Is it what one wants?
# 4. *(to explore)* **One attractor or several.** Let $|W|$ be the largest singular value of $W$. Show that those of
#    $\partial r$ in (4.1) are at most $|W|^2 / 16$, so that for $|W| < 4$ there is one attractor. Write
#    `num_attractors(scale)`, which counts the ends for $W$ times a scale. When do they become several?
#
# The solutions are in the cells below, folded: click on one to open it.


# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. (1 - T/T_j)^t = 1/2. For small T it is T_j ln 2 / T: it grows without bound, and at T = 0 nothing moves.
def half_life(ratio):
    return np.log(2) / -np.log1p(-ratio)


print(f"1. {half_life(0.5):.3f} steps at T_j / 2, {half_life(0.005):.1f} at T_j / 200")
check(half_life(0.5), 1.0)
check(half_life(0.125), 5.190893, tolerance=1e-6)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. The derivative of softplus is the sigmoid. It is F_c of Gaussian visible and binary hidden units.
def energy(x):
    squares = tf.reduce_sum((x - a) ** 2, -1) / 2
    return squares - tf.reduce_sum(tf.nn.softplus(b + x @ W), -1)


x = tf.constant(np.random.default_rng(seed).normal(size=(5, 64)))
with tf.GradientTape() as tape:
    tape.watch(x)
    U = tf.reduce_sum(energy(x))
check(tape.gradient(U, x), x - (a + special.expit(b + x @ W) @ W.T))
print("2. the gradient is x - r(x)")


# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. E[x|y] is an average of the points with weights ~ exp(-|y - x_i|^2 / 2 sigma^2): Gaussian mean shift. If
# sigma is small against their distances, every point is an attractor: the best denoiser of a training set
# knows it by heart, and generates nothing new. What one wants is the denoiser of the population.
def of_points(y, points, sigma):
    squares = ((y[:, np.newaxis] - points) ** 2).sum(-1)
    return special.softmax(-squares / (2 * sigma**2), axis=1) @ points


points = digits.reshape(10, 784).astype(float)
noisy_points = points + 0.3 * np.random.default_rng(seed).normal(size=points.shape)
print(f"3. error {np.abs(of_points(noisy_points, points, 0.3) - points).max():.1e}")
check(of_points(noisy_points, points, 0.3), points, tolerance=1e-6)
two = np.array([half_distance, -half_distance])
check(of_points(y, two, 0.7), np.tanh(y @ half_distance / 0.49)[:, np.newaxis] * half_distance)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. Slopes of the sigmoid are at most 1/4: |diag| |W| |diag| |W^T| <= |W|^2 / 16.
def num_attractors(scale):
    m, scaled = np.random.default_rng(seed).random((100, 64)), scale * W
    for _ in range(1000):
        m = special.expit(a + special.expit(b + m @ scaled) @ scaled.T)
    return len(np.unique(m.round(3), axis=0))


print(f"4. the bound holds up to the scale {4 / np.linalg.norm(W, 2):.3f};", end=" ")
# The second appears between 0.85 and 0.88, far above the bound: that is sufficient, not necessary.
print({scale: num_attractors(scale) for scale in (0.5, 0.85, 0.88, 0.92, 0.96, 1.0)})
assert num_attractors(3.99 / np.linalg.norm(W, 2)) == 1
assert num_attractors(1.0) > 4
