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
# # Chapter 23: The exact evidence of a VAE
#
# Everybody who trains a variational autoencoder reports the bound, because $\ln p(x)$, the *evidence*, is an
# integral over all latent variables. With two of them it is done on a grid, so here we know what the bound misses.
# *Guess before you read on: a test digit costs about 24 nats. By how much is the bound wrong? And what is most to
# blame: one encoder for all images, the missing correlations, or the Gaussian shape?*
#
# **What you will do**
#
# - find the best mean-field posterior of a linear model by hand, and measure what it costs;
# - compute the exact $\ln p(x)$ of chapter 22's program, trained on small digits;
# - compare estimates from the same samples, and take the gap apart.
#
# **What you will learn**
#
# - what mean field (B29) cannot represent;
# - what log-weights are (B18), and how ELBO, IWAE and a cumulant correction (B25) use them;
# - how much a better posterior could gain, and how much it could not.
#
# **What you need**: [chapter 22, sections 1, 3 and 5](22_vae_in_keras.ipynb); Gaussian integrals;
# cumulants ([chapter 1, section 4](01_generating_functions.ipynb)).
#
# **Time**: about 60 minutes, and 105 for the exercises. The code runs in half a minute.
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

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from scipy import optimize, special, stats
from tensorflow_probability import distributions as tfd

from rbm_tf import datasets, plotting
from rbm_tf.course import check, mean_and_error, trained
from vae_keras import evidence, layers, networks, parts
from vae_keras.vae import VAE

# %%
seed = 0
dataset = "digits"  # or "mnist", once chapter 24 has trained its models for it, with retrain = True
num_test, grid_points = {"digits": (360, 193), "mnist": (60, 321)}[dataset]
grid_edge = 6.0  # of the latent plane
num_samples = 100  # log-weights of each image
noise_scale, overlap = 0.5, 0.9  # of the linear model
num_many = 100_000  # samples in statistical checks
blue, orange, grey = "#0072B2", "#D55E00", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 140}])
ink = plt.rcParams["text.color"]


# %% [markdown]
# Test images, pixels drawn from them, and what the model makes of these. It is that of chapter 22, for smaller images:


# %% name="digits" alt="Three rows of twenty digits: grey test images, black and white pixels drawn from them, and below each the blurred reconstruction by two latent variables; some come back as another digit."
def load(latent_dim):
    """The VAE of chapter 22 with that many latent variables, for these images."""
    encoder = networks.dense_encoder(x_test.shape[1:], latent_dim, hidden_units=(256,))
    decoder = networks.dense_decoder(x_test.shape[1:], latent_dim, hidden_units=(256,))
    x = keras.Input(x_test.shape[1:])
    trained(keras.Model(x, decoder(encoder(x)[0])), f"vae_{dataset}_{latent_dim}_latents", None)
    return VAE(encoder, decoder, seed=seed)


_, (levels, _) = datasets.LOADERS[dataset]("none")
_, (x_test, y_test) = datasets.LOADERS[dataset]("bernoulli", seed=seed)
x_test, y_test, vae = x_test[:num_test], y_test[:num_test], load(latent_dim=2)
figure, axis = plt.subplots(figsize=(10, 1.9))
plotting.image_grid(axis, [*levels[:20], *x_test[:20], *vae.reconstruct(x_test[:20])], columns=20)
plt.show()

# %% [markdown]
# ## 1. Mean field, and what it cannot say
#
# By (1.3) of chapter 22 the bound misses $\mathrm{KL}(q(z|x) \,\|\, p(z|x))$, whatever $q$ is. The usual choice
# is *mean field*, as in [chapter 9, section 3](09_roads_to_ln_z.ipynb), a distribution without correlations:
#
# $$\boxed{\; q(z|x) = \prod_{j=1}^{J} N\big( z_j;\, \mu_j(x),\, \sigma_j^2(x) \big) \;} \tag{B29}$$
#
# The encoder computes means and log-variances. (Chapter 26, section 3, and chapter 30, section 3, have factors for
# bits.)
#
# As an energy, $H_q = -\ln q$ is quadratic in $z$ and couples no two latent variables:
#
# $$H_q(x, z) = \sum_j \left[ \frac{(z_j - \mu_j(x))^2}{2 \sigma_j^2(x)}
#   {} + \tfrac12 \ln 2 \pi \sigma_j^2(x) \right] . \tag{1.1}$$
#
# The post compares it with the quadratic energy of an RBM. But given its visible units, an RBM's hidden units *are*
# independent (chapter 3, section 3), and mean field is exact. In a VAE the true energy $E(x, z)$
# couples the latent variables, and $x$ enters (1.1) through a network.
#
# **An exact case.** Let the decoder be linear, and the noise Gaussian:
#
# $$x = W z + b + s\, n , \qquad z \sim N(0, I), \quad n \sim N(0, I) . \tag{1.2}$$
#
# This is probabilistic principal component analysis (Tipping and Bishop 1999), with $p(x) = N(b,\; W W^T + s^2 I)$,
# since a sum of Gaussians is Gaussian. For the posterior, collect the powers of $z$ in the energy, with $y = x - b$:
#
# $$E(x, z) = \frac{|z|^2}{2} + \frac{|y - W z|^2}{2 s^2} + \text{const}
#   = \tfrac12 z^T \Lambda z - z^T \frac{W^T y}{s^2} + \text{const}, \qquad
#   \Lambda = I + \frac{W^T W}{s^2} . \tag{1.3}$$
#
# Complete the square: $E = \frac12 (z - m)^T \Lambda (z - m) + \text{const}$ with
# $\Lambda m = W^T y / s^2$. So the exact posterior is a Gaussian with precision
# matrix (inverse covariance) $\Lambda$,
#
# $$p(z|x) = N(m, \Lambda^{-1}), \qquad m = \Lambda^{-1} W^T (x - b) / s^2 . \tag{1.4}$$
#
# $\Lambda$ is diagonal only if the columns of $W$ are orthogonal. If two columns overlap, both
# latent variables explain the same pixels: once one has done it, the other need not. This
# *explaining away* correlates them given $x$, negatively if the overlap is positive.
#
# **The best mean field.** Take $q$ with means $\mu$ and variances $\sigma_j^2$. Under it $\langle
# (z_i - m_i)(z_j - m_j) \rangle = (\mu_i - m_i)(\mu_j - m_j) + \delta_{ij} \sigma_j^2$, and hence
#
# $$\begin{aligned}
# \mathrm{KL}(q \| p) &= \langle \ln q \rangle_q - \langle \ln p \rangle_q \\
# &= -\tfrac12 \sum_j (1 + \ln 2 \pi \sigma_j^2) + \tfrac12 \Big[ J \ln 2 \pi - \ln \det \Lambda
#    {} + \sum_j \Lambda_{jj} \sigma_j^2 + (\mu - m)^T \Lambda (\mu - m) \Big] .
# \end{aligned} \tag{1.5}$$
#
# The last term is smallest, 0, for $\mu = m$: mean field finds the mean. The derivative with
# respect to $\sigma_j^2$ is $\frac12 (\Lambda_{jj} - 1 / \sigma_j^2)$, which vanishes at
#
# $$\sigma_j^2 = \frac{1}{\Lambda_{jj}} , \qquad
#   \text{gap} = \ln p(x) - \text{ELBO} = \tfrac12 \Big[ \sum_j \ln \Lambda_{jj} - \ln \det \Lambda \Big] . \tag{1.6}$$
#
# With $J = 2$, $\det \Lambda = \Lambda_{11} \Lambda_{22} (1 - r^2)$ where $r =
# \Lambda_{12} / \sqrt{\Lambda_{11} \Lambda_{22}}$; the posterior's correlation is $-r$. So
#
# $$\text{gap} = -\tfrac12 \ln (1 - r^2) , \qquad
#   \sigma_j^2 = (1 - r^2)\, (\Lambda^{-1})_{jj} . \tag{1.7}$$
#
# The variances are *too small*:
# $(\Lambda^{-1})_{jj}$ is how uncertain $z_j$ is, $1/\Lambda_{jj}$ how uncertain it would be if the
# others were known. Mean field cannot lie along a diagonal ridge, and the logarithm in
# $\mathrm{KL}(q \| p)$ punishes whatever $q$ has beside it. So $q$ shrinks: it
# ends up much too short along the ridge, a little too wide across it.
#
# **Check against the exact result**: $\ln p(x)$ against the energy at
# any $z$; (1.5) against TFP; the optimum (1.6) against a numerical minimiser.


# %%
def linear_model(overlap):
    """Loadings W (5, 2) whose two columns, of length 1, have the scalar product `overlap`."""
    axes = np.linalg.qr(np.random.default_rng(seed).normal(size=(5, 2)))[0]
    return axes @ np.array([[1.0, overlap], [0.0, np.sqrt(1 - overlap**2)]])


def posterior(loadings, x):
    """Precision and mean of p(z|x), (1.3) and (1.4)."""
    precision = np.eye(2) + loadings.T @ loadings / noise_scale**2
    return precision, np.linalg.solve(precision, loadings.T @ (x - offset).T / noise_scale**2).T


# %% name="linear-gap"
W, offset = linear_model(overlap), np.linspace(-1, 1, 5)
marginal = stats.multivariate_normal(offset, W @ W.T + noise_scale**2 * np.eye(5))
x_linear = marginal.rvs(size=30, random_state=seed)  # (30, 5)
precision, posterior_mean = posterior(W, x_linear)
r = precision[0, 1] / np.sqrt(precision[0, 0] * precision[1, 1])
gap = -0.5 * np.log(1 - r**2)  # (1.7)
print(f"posterior correlation {-r:.4f}, gap of the best mean field {gap:.4f} nats")
exact_posterior = tfd.MultivariateNormalTriL(
    posterior_mean[0], np.linalg.cholesky(np.linalg.inv(precision))
)
z = np.random.default_rng(seed).normal(size=2)  # any z will do
joint = stats.norm.logpdf(z).sum()
joint += stats.norm.logpdf(x_linear[0], W @ z + offset, noise_scale).sum()
check(joint - exact_posterior.log_prob(z), marginal.logpdf(x_linear[0]))  # (1.2) to (1.4)


# %% name="best-variances"
def divergence(parameters):
    """KL(q || p) of the first example (1.5), nats; parameters: means and log-variances, (4,)."""
    difference, variance = parameters[:2] - posterior_mean[0], np.exp(parameters[2:])
    quadratic = np.diag(precision) @ variance + difference @ precision @ difference
    return 0.5 * (quadratic - np.log(variance).sum() - 2 - np.linalg.slogdet(precision)[1])


start = np.array([0.3, -0.2, -1.0, 0.5])
trial = tfd.MultivariateNormalDiag(start[:2], np.exp(start[2:] / 2))
check(divergence(start), tfd.kl_divergence(trial, exact_posterior))  # (1.5)
best = optimize.minimize(divergence, start, tol=1e-10)
check(best.x, [*posterior_mean[0], *-np.log(np.diag(precision))], tolerance=1e-5)  # (1.6)
check(best.fun, gap, tolerance=1e-8)  # (1.7)
print("variances, best:", np.exp(best.x[2:]), " exact:", np.diag(np.linalg.inv(precision)))

# %% name="mean-field-ridge" alt="Left: contours of a posterior along a diagonal ridge, and of the best mean field, circles too short along the ridge and a little too wide across it. Right: the gap rises with the correlation, without bound near 1."
figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.8))
side = np.linspace(-2.1, 2.1, 121)
plane = np.stack(np.meshgrid(side, side), axis=-1)  # (121, 121, 2), z - m
levels = np.exp([-4.5, -2, -0.5])  # at 3, 2 and 1 standard deviations
ridge = np.exp(-0.5 * np.einsum("...i,ij,...j", plane, precision, plane))
product = np.exp(-0.5 * (plane**2 @ np.diag(precision)))
axes[0].contour(side, side, ridge, levels, colors=blue)
axes[0].contour(side, side, product, levels, colors=orange, linestyles="--")
axes[0].set(aspect="equal", title="Exact posterior (blue), best mean field (orange)")
axes[0].set(xlabel="$z_1 - m_1$", ylabel="$z_2 - m_2$")
axes[1].plot(x := np.linspace(0, 0.999, 300), -0.5 * np.log(1 - x**2), color=orange)
axes[1].plot(abs(r), gap, "o", color=ink, label="the model on the left")
axes[1].set(title="The price of independence", xlabel="$|r|$", ylabel="$\\ln p(x) -$ ELBO (nats)")
axes[1].legend()
plt.show()

# %% [markdown]
# The orange circles have the right centre and no tilt, and leave out
# the two ends of the blue ellipses. The gap grows without limit as $|r| \to 1$.
#
# %% [markdown]
# ## 2. A VAE whose evidence is known
#
# The linear model *is* a VAE: decoder and encoder are one `Dense` layer each. The encoder can be given the best
# mean field by hand: by (1.4) the mean is linear in $x$, and by (1.6) the log-variance is constant.
#
# A VAE's samples are best kept as **log-weights**. Take $H_q$ as the model energy and $H = E(x, z)$ as the true one:
#
# $$V = H - H_q , \qquad -V = \ln w = \ln p(x|z) + \ln p(z) - \ln q(z|x) , \qquad z \sim q(z|x) , \tag{B18}$$
#
# the logarithm of an importance weight, with $\langle w \rangle_q = \int q\, \frac{p(x, z)}{q}\,
# dz = p(x)$. With
# $z = \mu + \sigma \epsilon$ the factors $2 \pi$ of both Gaussians cancel, and $\ln w = \ln p(x|z) + \frac12 \sum_j
# (\epsilon_j^2 + \ln \sigma_j^2 - z_j^2)$. The mean of $\ln w$ is the ELBO. In the linear model both energies
# are quadratic, their diagonal terms agree by (1.6), and the difference is the coupling alone:
#
# $$\ln w = \text{const} - \Lambda_{12} (z_1 - m_1)(z_2 - m_2) = \text{const} - r\, \epsilon_1 \epsilon_2 .
#   \tag{2.1}$$
#
# The cumulants of $\epsilon_1 \epsilon_2$ follow from two Gaussian integrals: $\langle e^{-t r
# \epsilon_1 \epsilon_2} \rangle = \langle e^{t^2 r^2 \epsilon_1^2 / 2} \rangle = (1 - t^2
# r^2)^{-1/2}$. At $t = 1$,
#
# $$\ln p(x) = \text{ELBO} - \tfrac12 \ln (1 - r^2)
#   = \text{ELBO} + \frac{r^2}{2} + \frac{r^4}{4} + \frac{r^6}{6} + \dots \tag{2.2}$$
#
# The logarithm is the gap (1.7) again. The series is a **cumulant expansion**: $r^2 / 2$ is
# half the variance of $\ln w$, the first correction to the ELBO in
#
# $$\ln p(x) = \text{ELBO} + \tfrac12\, \mathrm{Var}_q[\ln w] + \tfrac16 \langle\!\langle (\ln w)^3
#   \rangle\!\rangle_q + \dots \tag{B25}$$
#
# The third cumulant is 0 for (2.1), and $r^4 / 4$ is the term of fourth order, $\kappa_4 / 4!$ with
# $\kappa_4 = 6 r^4$. Chapters 32 and 34 have the theory and the practice.
#
# **Check against the exact result**, with the library's `VAE` and the `likelihood` `parts.Gaussian`. First
# orthogonal columns, where mean field is exact and *every*
# log-weight must be $\ln p(x)$; then the overlapping ones.


# %%
def linear_vae(loadings):
    """The model (1.2) as a `VAE` whose encoder is the best mean field, (1.4) and (1.6)."""
    precision, _ = posterior(loadings, x_linear)
    slope = loadings @ np.linalg.inv(precision) / noise_scale**2  # (5, 2)
    encoder = networks.dense_encoder((5,), 2, hidden_units=())
    decoder = networks.dense_decoder((5,), 2, hidden_units=())
    encoder.get_layer("mean").set_weights([slope, -offset @ slope])
    encoder.get_layer("log_var").set_weights([0 * slope, -np.log(np.diag(precision))])
    decoder.layers[1].set_weights([loadings.T, offset])
    return VAE(encoder, decoder, likelihood=parts.Gaussian(scale=noise_scale))


# %% name="linear-weights"
orthogonal = linear_model(0.0)
covariance = orthogonal @ orthogonal.T + noise_scale**2 * np.eye(5)
exact_orthogonal = stats.multivariate_normal(offset, covariance).logpdf(x_linear)
log_weights = linear_vae(orthogonal).log_weights(x_linear, 4, seed=seed).numpy()
check(log_weights, np.tile(exact_orthogonal, (4, 1)), tolerance=1e-5)
exact_linear = marginal.logpdf(x_linear)
log_weights = linear_vae(W).log_weights(x_linear, num_many, seed=seed).numpy().astype(float)
bound, error = mean_and_error(log_weights.mean(axis=1) - exact_linear.mean())
assert abs(bound + gap) < 5 * error  # ELBO = ln p(x) - gap
print(f"overlapping columns: ELBO - ln p(x) = {bound:.5f}, exact {-gap:.5f} nats")
variance = log_weights.var(axis=0, ddof=1).mean()
assert abs(variance - r**2) < 5 * np.sqrt(8 * r**4 / num_many / 30)  # Var[(e1 e2)^2] = 9 - 1
print(f"order 2: {bound + variance / 2:+.5f}, by (2.2) {-gap + r**2 / 2:+.5f} nats")

# %% [markdown]
# ## 3. The exact evidence of a trained VAE
#
# Now the digits. The integral (1.2) of chapter 22 becomes a sum over a grid of spacing $\Delta$, the midpoint rule,
# which converges very fast for a smooth function that vanishes at the edge. (Ours has kinks, from the decoder's ReLUs.
# What they cost is checked below.)
#
# $$p(x) \approx \Delta^2 \sum_g e^{-E(x, z_g)} , \qquad
#   \ln w(z_g) = -E(x, z_g) - \ln q(z_g|x) , \qquad
#   \langle f \rangle_q \approx \Delta^2 \sum_g q(z_g|x)\, f(z_g) . \tag{3.1}$$
#
# Every average over $q$ is exact as well: the ELBO, the gap, each cumulant of $\ln w$.
#
# **Check against the exact result**: a grid of twice the spacing must give the same; $q$ must add
# up to 1; each gap must be positive; and the library's `elbo`, from one
# draw for each image, must agree within its standard error.

# %%
side, spacing = np.linspace(-grid_edge, grid_edge, grid_points, retstep=True)
grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)  # (num_points, 2)


def log_joint(decoder, x):
    """ln p(x, z) = -E(x, z) of each image at each grid point, (num, num_points), nats."""
    logits = np.reshape(decoder(grid.astype("float32")), (len(grid), -1)).astype(float)
    log_likelihood = x.reshape(len(x), -1) @ logits.T - np.logaddexp(0, logits).sum(axis=1)
    return log_likelihood + stats.norm.logpdf(grid).sum(axis=1)  # (5.2), (1.1) of chapter 22


def log_integral(log_f):
    return special.logsumexp(log_f, axis=1) + 2 * np.log(spacing)


# %%
test_mean, test_log_var = (np.asarray(output, float) for output in vae.encode(x_test))
factors = [  # of q (B29), each (num_test, grid_points)
    stats.norm.logpdf(side, test_mean[:, [j]], np.exp(test_log_var[:, [j]] / 2)) for j in (0, 1)
]
log_q = (factors[0][:, np.newaxis] + factors[1][:, :, np.newaxis]).reshape(num_test, -1)
log_p_joint = log_joint(vae.decoder, x_test)
log_p = log_integral(log_p_joint)  # ln p(x), (num_test,)
coarse = np.arange(grid_points**2).reshape(grid_points, -1)[::2, ::2].ravel()  # every second one
doubled = log_integral(log_p_joint[:, coarse]) + np.log(4)  # each stands for four times the area
print(f"grid of twice the spacing: off by at most {np.abs(doubled - log_p).max():.4f} nats")
check(doubled, log_p, tolerance=1e-3)
check(log_integral(log_q), 0.0, tolerance=1e-4)

# %% name="exact-evidence"
q, log_w = spacing**2 * np.exp(log_q), log_p_joint - log_q  # (B18)
exact_elbo = np.sum(q * log_w, axis=1)
gaps = log_p - exact_elbo  # KL(q || p(z|x))
assert np.all(gaps > 0) and (dataset != "digits" or abs(log_p.mean() + 24.3) < 0.1)
kl = np.sum(q * (log_q - stats.norm.logpdf(grid).sum(axis=1)), axis=1)
check(layers.GaussianKL()((test_mean, test_log_var)), kl, tolerance=1e-3)  # (B30)
print(f"ln p(x) {log_p.mean():.3f} = ELBO {exact_elbo.mean():.3f} + gap {gaps.mean():.3f} nats")
print(f"-ELBO   {-exact_elbo.mean():.3f} = pixels {-(exact_elbo + kl).mean():.3f}", end=" ")
print(f"+ KL {kl.mean():.3f} nats")
one_draw = np.asarray(vae.elbo(x_test, num_samples=1, seed=seed), float)
difference, error = mean_and_error(one_draw - exact_elbo)
print(f"one draw for each image: off by {difference:+.3f} nats, standard error {error:.3f}")
assert abs(difference) < 5 * error

# %% name="posteriors" alt="The latent plane around three images: the exact posterior as blue contours, the encoder's q in orange, the digit in the corner. Smallest gap: they agree. Median: the posterior is no ellipse. Largest: q sits beside the posterior, between its two parts."
order = np.argsort(gaps)
picked = order[[0, len(order) // 2, -1]]
figure, axes = plt.subplots(1, 3, figsize=(10.5, 4))
for axis, index, wide in zip(axes, picked, (4.5, 5, 9), strict=True):
    for log_f, colour in ((log_p_joint[index] - log_p[index], blue), (log_q[index], orange)):
        density = np.exp(log_f - log_f.max()).reshape(grid_points, grid_points)
        axis.contour(side, side, density, np.exp([-4.5, -2, -0.5]), colors=colour)
    middle, reach = test_mean[index], wide * np.exp(test_log_var[index].max() / 2)
    axis.set(xlim=middle[0] + [-reach, reach], ylim=middle[1] + [-reach, reach], aspect="equal")
    axis.set(title=f"Digit {y_test[index]}: gap {gaps[index]:.3f} nats", xlabel="$z_1$")
    plotting.image_grid(axis.inset_axes([0.02, 0.74, 0.25, 0.25]), x_test[[index]], columns=1)
axes[0].set_ylabel("$z_2$")
plt.show()

# %% [markdown]
# Blue is the exact posterior $p(z|x)$, orange the encoder's $q(z|x)$, with contours at 1, 2 and 3 standard deviations
# of a Gaussian, for the smallest, the
# median and the largest gap. On the left the two agree. In the middle the posterior is no
# ellipse. On the right the encoder has put
# $q$ beside the posterior, between its main part and a second, smaller one.
#
# **From the same log-weights.** In practice there is no grid, only $S$ log-weights for
# each image. Their mean is the ELBO. The logarithm of the mean *weight*, $\ln \frac1S \sum_s w_s$, is the bound of
# the importance-weighted autoencoder (IWAE-$S$; Burda, Grosse and
# Salakhutdinov 2016). By Jensen's inequality it is at least the ELBO of the same samples, and by Jensen's inequality
# and $\langle w \rangle = p(x)$ its expectation is at most $\ln p(x)$. And (B25) adds half the *variance* of $\ln w$
# to the mean. That is no bound.
#
# **Check against the exact result**: $\langle w \rangle = p(x)$ for one image; then the table.

# %%
log_weights = np.asarray(vae.log_weights(x_test, num_samples, seed=seed), float)  # (100, num_test)
index = picked[1]  # the image with the median gap
many = np.asarray(vae.log_weights(x_test[[index]], 20_000, seed=seed), float)[:, 0]
ratio, error = mean_and_error(np.exp(many - log_p[index]))
assert abs(ratio - 1) < 5 * error  # (B18)
centred = log_w - exact_elbo[:, np.newaxis]
kappa = [exact_elbo] + [np.sum(q * centred**n, axis=1) for n in (2, 3)]  # exact, by (3.1)
rows = {
    "exact order 1, the ELBO": kappa[0],
    "exact order 2": kappa[0] + kappa[1] / 2,
    "exact order 3": kappa[0] + kappa[1] / 2 + kappa[2] / 6,
    "order 2, 100 samples": evidence.cumulant(log_weights, order=2),
    "IWAE-100": evidence.iwae(log_weights),
}

# %% name="evidence-table"
off = {name: np.abs(values - log_p) for name, values in rows.items()}  # each image
misses = {}  # of each row: bias, root mean square and median of the images
print("error, nats              mean (its s.e.)   root mean square  median")
for name, values in rows.items():
    bias, error = mean_and_error(values - log_p)
    misses[name] = abs(bias), np.sqrt(np.mean(off[name] ** 2)), np.median(off[name])
    print(f"{name:25s}{bias:+.4f} ({error:.4f})", "{:14.4f} {:9.4f}".format(*misses[name][1:]))
    assert "IWAE" not in name or bias < 5 * error
assert np.all(evidence.iwae(log_weights) >= log_weights.mean(axis=0))

# %% name="where-it-fails"
first, second, third = (misses[f"exact order {k}"] for k in ("1, the ELBO", 2, 3))
assert dataset != "digits" or (abs(first[0] - 0.5) < 0.1 and second[0] < 0.1)
assert dataset != "digits" or (third[0] < second[0] < first[0] / 4 and third[1] > second[1])
off_line = np.abs(kappa[1] / 2 - gaps)
assert dataset != "digits" or np.median(off_line) < 0.05 < 1 < np.median(off_line[gaps > 3])
assert dataset != "digits" or 0.36 < off_line[gaps > 3].mean() / gaps[gaps > 3].mean() < 0.56
(two, three, sampled, iwae), wide = list(off.values())[1:], gaps > 0.5
print(f"order 3 is nearer than order 2 for {np.mean(three < two):.0%} of the images", end="; ")
largest = np.argsort(gaps)[-2:]
print("the two largest gaps: off by", three[largest].round(2), "and", two[largest].round(2), "nats")
rest = [np.linalg.norm(np.delete(one, largest)) for one in (two, three)]
ratios = [np.linalg.norm(iwae[part]) / np.linalg.norm(sampled[part]) for part in (wide, ~wide)]
print("error of IWAE over that of order 2, gaps above and below 0.5:", np.round(ratios, 2))
assert dataset != "digits" or (abs(np.mean(three < two) - 0.89) < 0.05 and rest[1] < rest[0])
assert dataset != "digits" or (min(three[largest]) > 4 and ratios[0] < 0.8 < ratios[1] < 1.3)

# %% name="log-weights" alt="Left: histogram of log-weights of one image, skewed to the right; ELBO left of ln p(x). Right: gap against half the variance; most points near the diagonal, the few large gaps far from it."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.8))
plotting.histogram_with_gaussian(axes[0], many)
axes[0].axvline(exact_elbo[index], color=grey, ls="--", label="ELBO")
axes[0].axvline(log_p[index], color=ink, label="$\\ln p(x)$")
axes[0].set(title="Log-weights of the median image", xlabel=r"$\ln w$ (nats)", ylabel="density")
axes[0].legend(loc="upper right", handlelength=1)
axes[1].plot(kappa[1] / 2, gaps, ".", color=blue, ms=4, label="a test image")
axes[1].plot([0, gaps.max()], [0, gaps.max()], color=ink, lw=1, label="order 2 exact")
axes[1].set(
    title="Every test image", xlabel=r"$\frac{1}{2}$ Var$[\ln w]$ (nats)", ylabel="gap (nats)"
)
axes[1].legend()
plt.show()

# %% [markdown]
# **When it fails.** Most points lie close to the line: there half the variance *is* the gap, and on average
# order 2 leaves less than a tenth of a nat, of about half a nat. Most of the few large gaps lie far from it. There $\ln w$ is
# spread so widely that order 2 misses nats, about half of the gap. Order 3 is nearer than
# order 2 for nearly nine images in ten, and yet its root mean square error is larger, because of the two largest gaps,
# where it misses by more than four nats.
# From the same 100 samples IWAE errs clearly less than order 2 where the gap is above half a nat; elsewhere about
# equally. When the expansion can be trusted is the subject of chapters 34 and 35.
#
# %% [markdown]
# ## 4. Where the nats are: would a better posterior help?
#
# A reader of the post remarked that plain VAEs are poor models *because* their posterior is so
# simple, and that structured VAEs do much better. The gap has three parts:
#
# - the *amortisation gap*: one encoder serves all images, also new ones, and for
#   each some other mean field would be better;
# - the *mean-field gap*: the best mean field has no correlation; the best Gaussian has;
# - what is left: the posterior is not a Gaussian.
#
# Fit a Gaussian to each posterior on the grid of twice the spacing, starting from the encoder's. With
# $u = (z_1 - \mu_1) / \sigma_1$ and $v = (z_2 - \mu_2) / \sigma_2$ let
#
# $$q = \frac{1}{2 \pi \sigma_1 \sigma_2}\, e^{-\frac12 u^2 - \frac12 (v - c\, u)^2} . \tag{4.1}$$
#
# For $c = 0$ this is mean field. For $c \ne 0$ it is a *structured* posterior: the mean of $z_2$ depends on $z_1$.
# (The map to $(u, v - c\, u)$ has the determinant $1 / (\sigma_1 \sigma_2)$ for every $c$, so (4.1)
# is normalised.)


# %%
fitted = slice(0, 60)  # the images of this section
log_posterior = tf.constant((log_p_joint - log_p[:, np.newaxis])[fitted, coarse], tf.float32)
points = tf.constant(grid[coarse].T, tf.float32)
encoder_start = [tf.constant(x[fitted], tf.float32) for x in (test_mean, test_log_var / 2)]


def divergences(mean, log_sigma, coupling):
    """KL(q || p(z|x)) of each image on the grid, q as in (4.1), nats."""
    u, v = ((points[j] - mean[:, j : j + 1]) / tf.exp(log_sigma[:, j : j + 1]) for j in (0, 1))
    log_q = -0.5 * (u**2 + (v - coupling * u) ** 2) - np.log(2 * np.pi)
    log_q -= tf.reduce_sum(log_sigma, axis=1, keepdims=True)
    return 4 * spacing**2 * tf.reduce_sum(tf.exp(log_q) * (log_q - log_posterior), axis=1)


# %%
def fit_posteriors(structured, num_steps=250):
    """Minimise the KL of every image, from the encoder's q; with or without the coupling c."""
    variables = [tf.Variable(x) for x in (*encoder_start, tf.zeros((60, 1)))]
    moved = variables if structured else variables[:2]
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.05, num_steps))
    optimizer.build(moved)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(divergences(*variables))
        optimizer.apply(tape.gradient(loss, moved), moved)

    [step() for _ in range(num_steps)]
    return divergences(*variables).numpy()


# %% name="gap-parts"
encoder_gap = gaps[fitted]
check(divergences(*encoder_start, 0.0), encoder_gap, tolerance=1e-3)  # (4.1) with c = 0 is (B29)
field_gap, gaussian_gap = fit_posteriors(False), fit_posteriors(True)
assert np.all(gaussian_gap > -1e-3)  # a KL
shares = np.mean([encoder_gap - field_gap, field_gap - gaussian_gap, gaussian_gap], axis=1)
print(f"gap of the encoder's q {encoder_gap.mean():.3f} nats:", end=" ")
print("one encoder for all {:.3f}, no correlation {:.3f}, Gaussian shape {:.3f}".format(*shares))
assert dataset != "digits" or (abs(shares[0] / sum(shares) - 0.8) < 0.1 and max(shares[1:]) < 0.05)
wide_weights = load(latent_dim=8).log_weights(x_test, 1000, seed=seed)
wide = [float(np.mean(f(wide_weights))) for f in (evidence.elbo, evidence.iwae)]
print(f"2 latent variables: ELBO {exact_elbo.mean():.3f}, ln p(x) {log_p.mean():.3f} nats")
print(f"8 latent variables: ELBO {wide[0]:.3f}, IWAE-1000 {wide[1]:.3f} nats")
gains = wide[0] - exact_elbo.mean(), wide[1] - log_p.mean()
assert dataset != "digits" or (gains[0] > 1.5 * gaps.mean() and gains[1] > 0.8)

# %% [markdown]
# *For this decoder*, no posterior can gain more than the gap, here that of 60 images, and about four fifths of it
# are the fault of the encoder, not of mean field. A correlation, and all other shapes, add less than
# 0.05 nats each. (Cremer, Li and Duvenaud 2018 find the same in larger models.) Six more latent variables, an improvement of the *model*, raise the ELBO by more than one and a
# half times the mean gap, although their posterior is still mean field.
#
# *For training*, the posterior matters more. A decoder whose posteriors are hard to
# fit pays for it, and training steers away from it. Structured
# VAEs such as DRAW (Gregor et al. 2015; chapter 44) change both sides: their decoder, too, works step by step.
# And a correction like (B25) recovers part of the gap, but never what the decoder did not learn.
#
# %% [markdown]
# ## 5. Summary
#
# - Of a Gaussian posterior mean field finds the mean, and is too narrow. In two dimensions it costs $-\frac12 \ln (1 - r^2)$ nats.
# - The mean of log-weights is the ELBO, the logarithm of the mean weight
#   the IWAE bound, and half their variance the first correction (B25).
# - On a grid of the latent plane evidence, ELBO and gap are exact. For the digits the gap
#   is about half a nat of 24.
# - For a trained decoder, a better posterior can gain the gap and no more; the rest
#   needs a better model.
#
# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **Nats and widths.** A mean field in two dimensions costs $g$ nats. What is the correlation of the
#    exact posterior, and how much too narrow, in standard deviations, is the mean field? Write `correlation(g)`, its
#    size $|r|$, and `narrowing(g)`, the ratio of the two standard deviations. What does one nat mean?
# 2. *(medium)* **Mean field picks the axes.** Replace $W$ by $W R$ with a rotation $R$ by the angle
#    $\theta$. Show that $p(x)$ stays the same and the gap does not. At which angles does it vanish?
#    What will a linear VAE learn that maximum likelihood cannot know? Write `turned_gap(theta)`,
#    the gap of $W R$; `zero_angles` are all angles of one turn, in radians, where it is 0.
# 3. *(medium)* **Surgery on the KL.** Let $q(z) = \frac1N \sum_n q(z|x_n)$ be the aggregate
#    posterior, as in chapter 17, section 3. Derive $\frac1N \sum_n \mathrm{KL}(q(z|x_n) \| p(z)) = I + \mathrm{KL}(q(z) \|
#    p(z))$ with $I = \frac1N \sum_n \mathrm{KL}(q(z|x_n) \| q(z)) \le \ln N$, and check it on the
#    grid. How many nats does a code carry about which image it came from, and how far is $q(z)$
#    from the prior?
# 4. *(hard)* **A posterior with structure.** For the linear model, let $q = q(z_1)\, q(z_2|z_1)$
#    where the mean of the second factor is linear in $z_1$. Find the five parameters that make the
#    gap 0, write the log-weights with the reparameterisation, and check that each of them is
#    $\ln p(x)$. (`sigma1`, `sigma2` and `slope`: the two standard deviations, and how the mean of
#    $z_2$ changes with $z_1$; `structured_weights`: log-weights of `x_linear`, 1,000 for each.)
#
# The solutions are in the cells below, folded: click on one to open it.


# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. Solve (1.7): 1 - r^2 = e^(-2g). The variances are too small by just this factor, so the standard
# deviations by e^-g: a mean field that costs one nat is e times too narrow, at |r| = 0.93.
def correlation(g):
    return np.sqrt(1 - np.exp(-2 * g))


def narrowing(g):
    return np.exp(-g)


check([correlation(gap), narrowing(gap)], [abs(r), np.sqrt(0.2 / 0.415282)], tolerance=1e-5)
check([correlation(1.0), narrowing(0.1)], [0.929873, 0.904837], tolerance=1e-5)
print(f"1. one nat: correlation {correlation(1.0):.3f}, {1 / narrowing(1.0):.3f} times too narrow")


# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. W R R^T W^T = W W^T, the same p(x). W R has orthogonal columns at four angles, 90 degrees apart;
# there each latent variable is a principal axis. Likelihood leaves R free, the ELBO fixes it.
def turned_gap(theta):
    turned = W @ [[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]]
    check(turned @ turned.T, W @ W.T)
    turned_precision, _ = posterior(turned, x_linear)
    return np.log(np.diag(turned_precision)).sum() / 2 - np.linalg.slogdet(turned_precision)[1] / 2


zero_angles = np.pi / 4 + np.pi / 2 * np.arange(4)  # for columns of equal length
check([turned_gap(theta) for theta in (0, 0.4, -1.2)], [gap, 0.210174, 0.230386], tolerance=1e-5)
check([turned_gap(theta) for theta in zero_angles], 0.0)
assert len(np.unique(np.round(np.mod(zero_angles, 2 * np.pi), 6))) == 4
largest = max(map(turned_gap, np.linspace(0, np.pi, 181)))
print(f"2. largest gap {largest:.4f} nats; 0 at 45 and 135 degrees, for columns of equal length")

# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. Write ln q(z|x)/p(z) = ln q(z|x)/q(z) + ln q(z)/p(z) and average over z and n. I is the mutual
# information of z and the index n, at most the entropy of n, ln N.
log_aggregate = special.logsumexp(log_q, axis=0) - np.log(len(x_test))
aggregate = spacing**2 * np.exp(log_aggregate)
information = np.sum(q * (log_q - log_aggregate), axis=1).mean()
mismatch = aggregate @ (log_aggregate - stats.norm.logpdf(grid).sum(axis=1))
check(information + mismatch, kl.mean(), tolerance=1e-3)
assert 0 <= information <= np.log(len(x_test)) and 0 < mismatch < 0.1 * kl.mean()
assert dataset != "digits" or 0.02 < mismatch < 0.2
print(f"3. KL {kl.mean():.4f} = I {information:.4f} + KL(q(z) || p(z)) {mismatch:.4f}", end=" ")
print(f"nats; ln N = {np.log(len(x_test)):.4f}")

# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. Complete the square in z_2 first: given z_1 it has precision L22 and mean m2 - (L12/L22)(z1 -
# m1). What is left for z_1 has precision det L / L22: the true marginal variance, not 1/L11.
L, eps = precision, np.random.default_rng(seed).normal(size=(2, 1000, len(x_linear)))
m1, m2 = posterior_mean.T
sigma1, sigma2 = np.sqrt(L[1, 1] / np.linalg.det(L)), 1 / np.sqrt(L[1, 1])
slope = -L[0, 1] / L[1, 1]
z1 = m1 + sigma1 * eps[0]
z2 = m2 + slope * (z1 - m1) + sigma2 * eps[1]
z = np.stack([z1, z2], axis=-1)  # (1000, 30, 2)
structured_weights = stats.norm.logpdf(x_linear, z @ W.T + offset, noise_scale).sum(-1)
structured_weights += stats.norm.logpdf(z).sum(-1) - stats.norm.logpdf(eps).sum(0)
structured_weights += np.log(sigma1 * sigma2)
check([sigma1**2, sigma2**2, slope], [0.415282, 0.2, -0.72], tolerance=1e-5)
check(structured_weights, np.tile(exact_linear, (1000, 1)), tolerance=1e-9)
print("4. every log-weight is ln p(x): one more number in the posterior, and no gap")
