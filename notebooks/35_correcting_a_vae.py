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
# # Chapter 35: Correcting a VAE
#
# Somebody has trained a variational autoencoder (VAE) on handwritten digits and reports its evidence lower bound (ELBO).
# The true $\ln p(x)$ is higher, by a gap that no ELBO tells. [Chapter 34](34_log_weights.ipynb) found what is missing: the
# cumulants of the log-weight $\ln w$, a number that the program computes for every sample,
# $\ln p(x) = \langle \ln w \rangle_q + \tfrac12 \mathrm{Var}_q[\ln w] + \tfrac16 \langle\!\langle (\ln w)^3
# \rangle\!\rangle_q + \dots$ (B25). How much of the gap do the cumulants close, and how does one know, without
# knowing the answer?
#
# **What you will do**
#
# - see the two VAEs that are to be corrected, and how much of each gap the series closes;
# - measure where $q$ is too broad, axis by axis, and follow $\ln w$ on the way from $q$ to the posterior;
# - bracket $\ln p(x)$ by annealing from both ends, to trust the reference;
# - compare six estimates at an equal budget.
#
# **What you will learn**
#
# - that the same correction is nearly exact for one VAE and wrong by more than a nat for the other;
# - four numbers that tell which case you have, the next term among them;
# - which estimate to take for a mean over data, and which for a single image.
#
# **What you need**: [chapter 34](34_log_weights.ipynb) (the series, groups, k-hat), the importance-weighted
# bound IWAE ([chapter 26, section 2](26_several_samples.ipynb)), annealed importance sampling ([chapter 8,
# section 4](08_annealing.ipynb)), the path of $\lambda$ ([chapter 33, section 3](33_along_the_path.ipynb)); some
# Keras, with this project installed.
#
# **Time**: about 43 minutes, and 80 for the exercises. The code runs in half a minute,
# and takes another minute or two where it trains its two VAEs anew.
#
# Equation numbers such as (B25) are the row names used in the whole course and in `EQUATIONS.md`.
# Numbers such as (4.1) are steps on the way. All energies are in nats.

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
from scipy import stats

from rbm_tf import cumulants, datasets, diagnostics
from rbm_tf.course import check, label, shipped, trained
from rbm_tf.estimates import LogZEstimate
from rbm_tf.plotting import image_grid
from vae_keras import VAE, evidence, networks
from vae_keras.objectives import ELBO, IWAE

# %%
seed = 0
num_test, num_reference, budgets = 150, 5000, (10, 20, 50, 100)
num_epochs, batch_size, num_draws = 60, 50, 5
num_simulated, annealing_betas = 50, np.linspace(0, 1, 301)
retrain = bool(os.environ.get("RETRAIN"))  # True: train both VAEs here, a minute or two
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 130}])
ink = plt.rcParams["text.color"]


# %% [markdown]
# ## 1. Two VAEs, and what their bounds miss
#
# Both VAEs have 50 latent variables and the same layers. One was trained on the ELBO, the other on the IWAE bound of 5
# samples. Their trained weights come with the course. To train them in front of you,
# set `retrain = True` above; on another processor the last digits of what follows may then differ.


# %%
def build(objective):
    """A VAE for the binary digits, untrained."""
    keras.utils.set_random_seed(seed)
    encoder = networks.dense_encoder((8, 8), 50, hidden_units=(200,), activation="tanh")
    decoder = networks.dense_decoder((8, 8), 50, hidden_units=(200,), activation="tanh")
    vae = VAE(encoder, decoder, objective=objective, seed=seed)
    vae.compile(keras.optimizers.Adam(1e-3), steps_per_execution=29)
    return vae


def train(vae):
    options = {"epochs": num_epochs, "batch_size": batch_size, "verbose": 0}
    return vae.fit(x_train, **options).history["loss"]


# %%
(x_train, _), (x_test, _) = datasets.load_digits("bernoulli", seed=seed)
x_test = x_test[:num_test]
vaes = {"ELBO": build(ELBO(num_samples=num_draws)), "IWAE-5": build(IWAE(num_draws))}
for name, vae in vaes.items():
    losses = trained(vae, f"correction_{name}", partial(train, vae), retrain=retrain)
    print(f"{name}: loss of the first epoch {losses[0]:.3f}, of the last {losses[-1]:.3f} nats")
weights = {name: vae.log_weights(x_test, num_reference, seed=1) for name, vae in vaes.items()}
reference = {name: evidence.iwae(w).numpy() for name, w in weights.items()}

# %% name="digits" alt="Left: ten test digits, below them what each VAE makes of them from the mean of q; readable, a little blurred. Right: two rows of digits of each VAE, drawn from its prior."
figure, axes = plt.subplots(1, 2, figsize=(11, 2.9))
rows, dreams = [np.reshape(x_test[:10], (10, 8, 8))], []
for vae in vaes.values():
    logits = np.reshape(vae.decoder(vae.encode(x_test[:10])[0]), (10, 8, 8))
    rows.append(1 / (1 + np.exp(-logits)))
    dreams.append(np.reshape(vae.sample(20, seed=0)[0], (20, 8, 8)))
image_grid(axes[0], np.concatenate(rows)).set_title("test digits; reconstructed by ELBO, IWAE-5")
image_grid(axes[1], np.concatenate(dreams)).set_title("drawn by ELBO (two rows), IWAE-5 (two rows)")
plt.show()

# %% [markdown]
# The reference is IWAE with 5,000 weights. Before anything else, the answer to the question. Guess: of the gap between
# the ELBO and $\ln p(x)$, which share does order 2 close, $\frac12 \kappa_2$, and which share order 3?

# %% name="gap-closed"
terms = {
    k: cumulants.sample_cumulants(w.numpy().astype(float), 3).numpy() for k, w in weights.items()
}
print("trained on  gap (nats)  order 2 closes  order 3  groups of 100 weights  next term / kept")
shares = {}
for name, kappa in terms.items():
    gap = np.mean(reference[name] - kappa[0])
    grouped = evidence.grouped_estimate(weights[name][:100], seed=seed).log_p.numpy()
    second, third = np.mean(kappa[1]) / 2, np.mean(kappa[2]) / 6
    closed = np.array([second, second + third, np.mean(grouped - kappa[0])]) / gap
    shares[name] = np.append(closed, third / second)
    print("{:11s} {:10.2f} {:15.0%} {:8.0%} {:22.0%} {:17.2f}".format(name, gap, *shares[name]))

# %%
close, far = shares["ELBO"], shares["IWAE-5"]
assert np.all(np.abs(close[:3] - 1) < 0.1) and abs(close[3]) < 0.25
assert 1.4 < far[0] < 1.8 and far[1] < 0.6  # order 2 adds too much, order 3 takes too much away
assert far[3] < -0.75 and abs(far[2] - 1) < 0.1  # the next term tells; the groups

# %% [markdown]
# On the first VAE all close the gap. On the second it adds one and a half times what was missing,
# and order 3 takes away too much. The groups of
# [chapter 34, section 5](34_log_weights.ipynb) close both gaps, from a hundred weights (IWAE of the same hundred: 97 %).
#
# **How does one know?** Without the reference there are four numbers:
#
# - *k-hat*, the weight of the tail of $w$. Above 0.7 the samples do not hold the answer;
# - the *next term* $\kappa_3 / 6$, to be compared with the one kept, $\kappa_2 / 2$ (last column). It should be at
#   most a quarter of it;
# - the *skewness* of $\ln w$. It is 0 for Gaussian $\ln w$, where order 2 is exact. A left tail means that order 2 overshoots;
# - the *excess kurtosis* of $\ln w$, which is 0 there, too.
#
# Order 2 is trusted where the first two are within their limits. The other two tell how it fails.

# %% name="verdicts"
for name, w in weights.items():
    print(f"{name}: {diagnostics.weights_verdict(w).message}")
    print(f"   the series: {diagnostics.series_verdict(w).message}")

# %% [markdown]
# The few images that are refused have an uncertain reference; they are too few to decide a
# comparison of means over 150. The verdict on the series needed no reference: for the IWAE-trained
# model the next term is more than three quarters of the one kept, and negative, the sign of a left tail.
#
# **Image by image.** Does the next term of a single image announce the error of order 2 on it?

# %% name="next-term" alt="Error of order 2 over minus the next term, a dot per image. ELBO: a rising cloud just below the line of slope 1, errors from -0.14 to 0.09 nats. IWAE-5: far below that line, errors of 0.7 to 4 nats."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.6))
ranks = {}
for axis, (name, kappa) in zip(axes, terms.items(), strict=True):
    error = kappa[0] + kappa[1] / 2 - reference[name]
    ranks[name] = stats.spearmanr(-kappa[2], error).statistic
    assert 0.3 < np.median(error) / np.median(-kappa[2] / 6) < 0.7
    axis.axline((0, 0), slope=1, color=grey, lw=1, label="error = minus the next term")
    axis.plot(-kappa[2] / 6, error, "o", ms=3, color=blue, label="one image")
    label(axis, f"Trained on {name}", r"$-\kappa_3/6$ (nats)", "error of order 2 (nats)")
axes[0].legend()
plt.show()
print("rank correlations:", {name: round(float(rank), 2) for name, rank in ranks.items()})
assert min(ranks.values()) > 0.85

# %% [markdown]
# In rank, yes, in both models; but on the left the two errors near -0.13 have small next terms, and are mostly noise of
# the reference. On the right the typical error is about half as large as the next term. The next term is a warning, not a number to be added.
#
# ## 2. Is $q$ too broad, and where?
#
# A left tail is the mark of a $q$ that is too broad. Draws of $q$, weighted with $w$, estimate
# the posterior's covariance, here for ten test images. In units in which $q$ has the variance 1 in every direction, its
# diagonal compares the width of each latent variable by itself, and the variances along its eigenvectors the widths
# along the posterior's own axes. (Noise makes the extreme eigenvalues too extreme. So the axes are found on one half of
# the draws and measured on the other.) By (3.2) of chapter 34 the series of a Gaussian posterior cannot stand a
# direction in which this number is below $\frac12$.


# %%
def drawn_weights(vae, index, scale=1.0, number=40_000):
    """Draws of q with `scale` times its standard deviations: epsilon (number, 50), and ln w, nats."""
    mean, log_var = (np.asarray(a, float)[0] for a in vae.encode(x_test[index : index + 1]))
    sigma, x = scale * np.exp(log_var / 2), np.reshape(x_test[index], -1)
    eps = np.random.default_rng(seed).normal(size=(number, 50))
    z = mean + sigma * eps
    logits = np.reshape(vae.decoder(z.astype("float32")), (number, -1)).astype(float)
    log_w = logits @ x - np.logaddexp(0, logits).sum(axis=1)  # ln p(x|z)
    return eps, log_w + np.sum(eps**2 - z**2, axis=1) / 2 + np.log(sigma).sum()  # (B18)


# %%
def posterior_widths(vae):
    """Posterior variance in units of q's: mean over latents, narrowest and widest axis."""
    rows = []
    for eps, log_w in (drawn_weights(vae, index) for index in range(10)):
        halves = zip(np.split(eps, 2), np.split(np.exp(log_w - log_w.max()), 2), strict=True)
        first, second = (np.cov(draws.T, aweights=w) for draws, w in halves)
        axes = np.linalg.eigh(first)[1]  # found on one half, measured on the other
        along = np.diag(axes.T @ second @ axes)
        rows.append([np.diag(second).mean(), along[0], along[-1]])
    return np.mean(rows, axis=0)


# %% name="widths"
widths = {name: posterior_widths(vae) for name, vae in vaes.items()}
for name, numbers in widths.items():
    text = "of a latent {:.2f}, narrowest axis {:.2f}, widest axis {:.2f}"
    print(f"{name}: posterior variance in units of q:", text.format(*numbers))
    assert abs(numbers[0] - 1) < 0.15
assert widths["IWAE-5"][1] < 0.45 < 0.55 < widths["ELBO"][1]

# %% [markdown]
# Taken one by one, the latent variables of both models have on average the width that $q$ gives them. But the
# posterior is correlated, and $q$ is not. Along its narrowest axis the posterior of the IWAE-trained model has
# only about a third of the variance of $q$: there $q$ is too broad, beyond the limit of the series. For the ELBO-trained
# model it has more than half.
#
# ## 3. The reference, from both ends
#
# May one trust IWAE with 5,000 weights? We ask a method that shares none of its weakness.
# Annealed importance sampling (AIS, [chapter 8, section 4](08_annealing.ipynb)) walks $z$ from the prior to the posterior, here by
# Hamiltonian Monte Carlo, and is low on average. For images *drawn from the model*, $z \sim p(z)$ and $x
# \sim p(x|z)$, that $z$ is an exact draw from the posterior; a walk that starts there and goes back is
# high on average. What lies between is $\ln p(x)$. The widths printed are averages over images and
# have noise of their own: a width a little below zero says that both ends agree within it. (The chains take some
# seconds each, here and in section 4, so that their averages come with the course.)


# %%
def anneal():
    """ln p(x) from below and from above, of images of each VAE, (2, 2, num_simulated), nats."""
    log_z, options = [], {"betas": annealing_betas, "progress": False}
    for vae in vaes.values():
        x_model, z_model = vae.sample(num_simulated, seed=3)
        forward = evidence.ais(vae, x_model, num_chains=10, seed=4, **options)
        reverse = evidence.reverse_ais(vae, x_model, z_model, seed=5, **options)
        log_z.append([forward.log_z, reverse.log_z])
    return {"log_z": log_z}


# %% name="bracket"
annealed = shipped("correction_annealed", anneal, retrain=retrain)["log_z"]
for (name, vae), pair in zip(vaes.items(), annealed, strict=True):
    forward, reverse = map(LogZEstimate, pair)
    bracket = evidence.bracket_verdict(forward, reverse)
    x_model, _ = vae.sample(num_simulated, seed=3)  # the images of `anneal`
    estimate = evidence.iwae(vae.log_weights(x_model, num_reference, seed=6)).numpy()
    print(f"{name}: {bracket.message}")
    print(
        f"   IWAE-{num_reference}: {np.mean(estimate - forward.log_z):+.3f} nats from the lower end"
    )
    assert bracket.trusted and abs(np.mean(estimate - forward.log_z)) < 0.1

# %% [markdown]
# ## 4. The path of $\lambda$
#
# Why is the series good enough for one model and not for the other? Multiply the
# log-weight by a number $\lambda$ that rises from 0 to 1, as in [chapter 33, section 3](33_along_the_path.ipynb). At
# $\lambda$ the latent variables follow $q\, w^\lambda$,
# from $q$ at 0 to the posterior at 1, and by (B20)
#
# $$\ln p(x) = \int_0^1 \langle \ln w \rangle_\lambda\, d\lambda , \qquad \langle \ln w \rangle_\lambda
#   = \kappa_1 + \kappa_2 \lambda + \tfrac12 \kappa_3 \lambda^2 + \dots \tag{4.1}$$
#
# So $\ln p(x)$ is the area under a curve, and the series has to find it from the curve's start. Order 1 takes the curve for a constant, order 2
# for its tangent, order 3 for a parabola. Two ways to the averages: samples of $q$, weighted with
# $w^\lambda$; and chains that follow $\lambda$, `evidence.ais_path`. **Check**: the area under the
# first, by trapezoids with their end correction, is IWAE; that under the second agrees with it.


# %%
def anneal_paths():
    """<ln w> along the path, (2, num_betas), mean over images; its area, (2, num_simulated), nats."""
    options = {"num_chains": 10, "lambdas": annealing_betas, "progress": False, "seed": 7}
    runs = [evidence.ais_path(vae, x_test[:num_simulated], **options) for vae in vaes.values()]
    areas = [-cumulants.integrate_path(run.lambdas, run.mean).numpy() for run in runs]
    return {"slopes": [-run.mean.mean(axis=1) for run in runs], "areas": areas}


# %%
paths, by_chains = {}, shipped("correction_paths", anneal_paths, retrain=retrain)
for name, slopes, areas in zip(vaes, by_chains["slopes"], by_chains["areas"], strict=True):
    few = weights[name].numpy()[:, :num_simulated].astype(float)
    weighted = cumulants.lambda_path(few, np.linspace(0, 1, 21))
    kappa, area = cumulants.sample_cumulants(few, 3).numpy().mean(axis=1), evidence.iwae(few)
    paths[name] = weighted, slopes, kappa
    bend = weighted.variance
    sums = -cumulants.integrate_path(weighted.lambdas, weighted.mean, variance=bend).numpy()
    check(-weighted.free_energy[-1].numpy(), area)
    difference = areas - area
    error = np.std(difference, ddof=1) / np.sqrt(num_simulated)
    assert abs(np.mean(sums - area)) < 1e-3 and abs(np.mean(difference)) < 5 * error  # (4.1)
    print(f"{name}: IWAE {np.mean(area):.2f}; area {np.mean(sums - area):+.4f},", end=" ")
    print(f"by chains {np.mean(difference):+.3f} +- {error:.3f} nats")

# %% name="lambda-path" alt="Mean of ln w over lambda for both VAEs. ELBO: chains and weighted samples rise along a straight line, order 2. IWAE-5: the curve bends at once, below the tangent; the parabola, order 3, falls away."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.6))
for axis, (name, (weighted, slopes, kappa)) in zip(axes, paths.items(), strict=True):
    lambdas, sampled = weighted.lambdas.numpy(), -weighted.mean.numpy().mean(axis=1)
    axis.plot(annealing_betas, slopes, color=blue, lw=0.8, label="chains")
    axis.plot(lambdas, sampled, "--", color=ink, label="weighted samples of q")
    for order, colour in zip((1, 2, 3), (grey, orange, green), strict=True):
        terms = [kappa[n] * lambdas**n / (1, 1, 2)[n] for n in range(order)]
        axis.plot(lambdas, sum(terms), color=colour, label=f"order {order}")
    label(axis, f"Trained on {name}", r"$\lambda$", r"$\langle \ln w \rangle_\lambda$ (nats)")
    print(
        f"{name}: kappa_1 to kappa_3 {kappa.round(2)}, order 2 {kappa[0] + kappa[1] / 2:.2f} nats"
    )
assert paths["IWAE-5"][2][2] < -10 < -1 < paths["ELBO"][2][2] < 0  # kappa_3, the bend
axes[0].legend()
plt.show()

# %% [markdown]
# On the left the curve is nearly its own tangent: order 2 is enough. On the right it starts steeply and
# bends at once: its second derivative there, $\kappa_3$ (printed), is large and negative, which is the left tail of
# $\ln w$ again. The tangent knows nothing of this, and the parabola of order 3 follows it for a short way only.

# %% [markdown]
# ## 5. Every estimate at equal budget
#
# Nobody draws 5,000 weights for each image. Orders 1 to 3 of (B25) and the others, from $T$ weights for each image, drawn anew; bias of the mean over
# the test images, and the root mean square error (RMSE) of an image. The *jackknife* is
# $T L_T - (T - 1)\, \overline{L_{T-1}}$ with $L_T$ the IWAE of all weights and $\overline{L_{T-1}}$ the mean
# over leaving one of them out: it removes a bias of order $1 / T$ (Nowozin 2018).

# %%
estimators = {
    "ELBO": evidence.elbo,
    "IWAE": evidence.iwae,
    "jackknife": evidence.jackknife,
    "order 2": evidence.cumulant,
    "order 3": lambda w: evidence.cumulant(w, order=3),
    "grouped": lambda w: evidence.grouped_estimate(w, seed=seed).log_p,
}

# %%
errors = {}
for name, vae in vaes.items():
    fresh = vae.log_weights(x_test, 10 * max(budgets), seed=2).numpy().astype(float)
    for budget in budgets:
        rounds = fresh[: 10 * budget].reshape(10, budget, -1)
        for estimator, estimate in estimators.items():
            values_of = np.array([np.asarray(estimate(w)) for w in rounds])
            errors[name, estimator, budget] = values_of - reference[name]

# %% name="equal-budget"
for name in vaes:
    print(f"Trained on {name}: bias / RMSE of an image, in nats, for T = {budgets}")
    for estimator in estimators:
        cells = [errors[name, estimator, budget] for budget in budgets]
        text = "   ".join(f"{e.mean():+6.2f} / {np.sqrt(np.mean(e**2)):5.2f}" for e in cells)
        print(f"   {estimator:10s} {text}")

# %%
less_biased, clear = 0, []  # cells, and those beyond two standard errors
for name in vaes:
    for budget in budgets:
        rivals = [errors[name, k, budget] for k in ("jackknife", "grouped")]
        biases = [abs(e.mean()) for e in rivals]
        spreads = [np.sqrt(np.mean(e**2)) for e in rivals]
        less_biased += biases[0] < biases[1]
        noise = np.std(rivals[0] - rivals[1]) / np.sqrt(rivals[0].size)
        clear += [f"{name} T = {budget}"] if biases[1] - biases[0] > 2 * noise else []
        assert spreads[1] < min(spreads[0], np.std(errors[name, "IWAE", budget]))  # single images
        text = "|bias| {:.4f} and {:.4f}, RMSE {:.3f} and {:.3f} nats"
        print(f"{name:6s} T = {budget:3d}, jackknife and grouped:", text.format(*biases, *spreads))
print(f"jackknife less biased in {less_biased} of {len(vaes) * len(budgets)}, clearly {clear}")
assert less_biased > len(budgets) and "IWAE-5 T = 10" in clear and "ELBO" not in str(clear)

# %%
offset = {k: e.mean() for k, e in errors.items()}
rmse = {k: np.sqrt(np.mean(e**2)) for k, e in errors.items()}
for T in budgets:
    noise = {k: rmse["IWAE-5", k, T] / np.sqrt(10 * num_test) for k in estimators}
    for order, sign in (("order 2", 1), ("order 3", -1)):  # useless, whatever the budget
        drift = offset["IWAE-5", order, T] - offset["IWAE-5", order, max(budgets)]
        assert sign * offset["IWAE-5", order, T] > 1 and abs(drift) < 5 * noise[order]
    assert abs(offset["ELBO", "order 2", T]) < abs(offset["ELBO", "IWAE", T]) / 2
    assert abs(rmse["ELBO", "order 2", T] / rmse["ELBO", "IWAE", T] - 1) < 0.2
    assert all(abs(offset[k, "grouped", T]) < abs(offset[k, "IWAE", T]) for k in vaes)
falls = [offset[k, "IWAE", budgets[0]] / offset[k, "IWAE", budgets[-1]] for k in vaes]
print("from 10 to 100 weights IWAE's bias falls by the factors", np.round(falls, 1))
assert min(falls) > 3

# %% name="bias" alt="Log-log: absolute bias over the budget T, 10 to 100. ELBO model: IWAE is highest, the others are near the noise. IWAE-5 model: orders 2 and 3 flat above 1 nat; IWAE falls; jackknife and grouped are lowest."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.6))
colours = (grey, blue, green, purple, "0.75", orange)
for axis, name in zip(axes, vaes, strict=True):
    for estimator, colour in zip(estimators, colours, strict=True):
        if estimator != "ELBO":
            size = [abs(errors[name, estimator, budget].mean()) for budget in budgets]
            axis.loglog(budgets, size, "o-", color=colour, label=estimator)
    label(axis, f"Trained on {name}", "budget T (weights per image)", "|bias| of the mean (nats)")
axes[1].legend(loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %% [markdown]
# Read the two panels together. A bias here comes from ten rounds of 150 images, so differences
# below about RMSE$/\sqrt{1500}$ are noise: 0.003 to 0.01 nats on the left, three times as much on
# the right.
#
# - On the ELBO-trained model the log-weights are almost Gaussian, with a slight *left* skew. Plain order 2 has
#   next to no bias there, and for a single image about the RMSE of IWAE.
# - On the IWAE-trained one the plain series is useless: order 2 is too high by more than a nat, and order 3 too low by
#   as much. More weights do not help, because this is the truncation, not the noise. It is the second column of the
#   gallery (chapter 34, section 3), along the axes in which $q$ is too broad, and the next term announced it.
# - IWAE's bias falls with the budget, by (5.3) of chapter 34 about as 1/T; the printed factors are noisy.
# - The grouped estimate has a smaller bias than IWAE on both models, from the same weights, and a smaller RMSE for
#   a single image, for which (5.4) of chapter 34 was made.
# - The *jackknife*, the other cure for the leading bias, is the less biased of the two in most of the eight cells,
#   beyond two standard errors only on the second model (printed).
#   The grouped estimate wins on single images: its RMSE is the smaller one at every budget, on both models.

# %% [markdown]
# ## 6. Summary
#
# - Two VAEs of the same digits: order 2 closes the gap of the one, and adds one and a half times what was missing to the other.
# - The next term tells which case one has, without the answer; k-hat tells whether the samples hold the answer at all.
# - Along its narrowest axis the posterior of the second has a third of the variance of $q$: too broad, beyond
#   the limit of the series. In other words, $\langle \ln w \rangle_\lambda$ bends at once, and a tangent at $\lambda = 0$
#   does not see it.
# - Annealing from both ends agrees with the reference within 0.1 nats.
# - At equal budgets the jackknife tends to be the less biased for a mean over data, and the grouped estimate has the
#   smaller error for a single image. IWAE stays a bound.

# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **More weights.** Take ten rounds of 500 weights from the 5,000 of each image of the IWAE-trained VAE. What are
#    the biases of IWAE and of order 2? Predict both from the last table.
# 2. *(medium)* **Who is refused?** Compute k-hat of all images of the IWAE-trained VAE, and the difference between IWAE of
#    the first and of the second 2,500 weights. Are the reference values with a large k-hat the uncertain ones?
# 3. *(hard)* **A narrower q.** Draw with `scale` times the standard deviations of $q$, without training again, for the first ten
#    images of the IWAE-trained VAE. Which scale brings the narrowest axis to one half, and what does that do to the
#    ELBO, to order 2 and to k-hat?
#
# The solutions are in the cells below, folded: click on one to open it.


# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. IWAE's bias falls about as 1 / T, to a tenth of 0.06 or so. That of order 2 is truncation and stays.
def bias_at(estimator, budget=500):
    """Mean over rounds and images of an estimate from `budget` weights minus the reference."""
    rounds = weights["IWAE-5"].numpy()[: 10 * budget].reshape(10, budget, -1).astype(float)
    return np.mean([np.asarray(estimator(w)) - reference["IWAE-5"] for w in rounds])


found = [bias_at(evidence.iwae), bias_at(evidence.cumulant)]
print("1. T = 500: IWAE {:+.4f}, order 2 {:+.3f} nats".format(*found))
check(found, [-0.012, 1.26], 0.01)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. Yes, on average: the halves of images with k-hat above 0.5 differ more. But many others differ, too.
both = np.split(weights["IWAE-5"].numpy().astype(float), 2)
k_hat = diagnostics.pareto_k(np.concatenate(both))
halves = np.abs(evidence.iwae(both[0]).numpy() - evidence.iwae(both[1]).numpy())
medians = [np.median(halves[k_hat < 0.5]), np.median(halves[k_hat >= 0.5])]
rank = stats.spearmanr(k_hat, halves)
print(f"2. medians {np.round(medians, 3)} nats, rank correlation {rank.statistic:.2f}")
check(medians, [0.064, 0.102], 0.02)
assert rank.pvalue < 1e-3 and np.sum(k_hat > 0.7) == 2


# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. 0.8 brings the narrowest axis from about 0.33 to 0.33 / 0.64 = 0.5. The ELBO falls, order 2 goes from too high to
# too low, and k-hat passes 0.7: a q that is narrow enough for one axis is too narrow for the others.
def narrowed(scale):
    """Errors of orders 1 and 2, mean over ten images, nats, and their median k-hat."""
    logs = [drawn_weights(vaes["IWAE-5"], i, scale, number=10_000)[1] for i in range(10)]
    kappa = cumulants.sample_cumulants(np.transpose(logs), 2).numpy()
    error = [kappa[0], kappa[0] + kappa[1] / 2] - reference["IWAE-5"][:10]
    return [*error.mean(axis=1), np.median(diagnostics.pareto_k(np.transpose(logs)))]


table = {scale: np.round(narrowed(scale), 2) for scale in (1.0, 0.8)}
print("3. ELBO, order 2, k-hat:", table)
check([narrowed(1.0)[:2], narrowed(0.8)[:2]], [[-2.09, 1.22], [-3.39, -0.52]], 0.1)
assert narrowed(1.0)[2] < 0.6 and narrowed(0.8)[2] > 0.7
