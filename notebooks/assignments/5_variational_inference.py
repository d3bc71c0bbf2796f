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

# %% [raw]
# # ASSIGNMENT CONFIG
# name: 5_variational_inference
# export_cell: false
# show_question_points: true
# tests:
#     ok_format: false

# %% [markdown]
# # Assignment 5: Counting photons
#
# *After chapters 17 to 29. About 90 minutes, 10 points.*
#
# A detector counts $x$ photons. The rate of the light is $e^z$, and before the measurement $z$ is
# normal with mean 0 and variance 1:
#
# $$p(z) = N(z; 0, 1) , \qquad p(x|z) = \frac{e^{x z} \exp(-e^z)}{x!} .$$
#
# There is one latent variable, so every integral can be done on a grid. You will write the bound
# that a variational autoencoder (VAE) maximises for this model, find the best Gaussian $q(z)$ and
# what it misses, compare two gradients, weigh samples, and end with the loss of a VAE on images and
# a slip that is easily made there.
#
# **How it is graded.** Replace the dots by your own code. `grader.check("q1")` runs the visible
# tests of question 1: they look at shapes and at properties that every right answer has. Further
# tests, which you do not see, decide most of the points. Most answers are functions, and they are
# tested with other arguments than those in this notebook. A mistake in one question therefore costs
# little in the next ones. All is in nats, and $q(z) = N(z; \mu, \sigma^2)$ is given by its mean $\mu$ and
# by `log_var`, which is $\ln \sigma^2$.

# %%
import rbm_tf

rbm_tf.quiet_start()

import numpy as np
import scipy

import vae_keras


def log_joint(z, count):
    """ln p(x, z), nats, for x = count."""
    log_likelihood = count * z - np.exp(z) - scipy.special.gammaln(count + 1)
    return log_likelihood - z**2 / 2 - np.log(2 * np.pi) / 2


# %% [raw]
# # BEGIN QUESTION
# name: q1
# points: [0.25, 0.25, 1.5]

# %% [markdown]
# ## Question 1: the bound in closed form
#
# Write `elbo(mean, log_var, count)`,
#
# $$\langle \ln p(x|z) \rangle_q - \mathrm{KL}(q(z) \,\|\, p(z)) \tag{B14}$$
#
# as a formula, without samples and without integrals. The KL is (B30). You need $\langle e^z \rangle_q$,
# the mean of the exponential of a Gaussian variable, which chapter 1 knows as
# $e^{\kappa_1 + \kappa_2 / 2}$.

# %% [raw]
# # BEGIN SOLUTION


# %%
def elbo(mean, log_var, count):
    # BEGIN SOLUTION
    variance = np.exp(log_var)
    log_likelihood = count * mean - np.exp(mean + variance / 2) - scipy.special.gammaln(count + 1)
    return log_likelihood + (1 + log_var - mean**2 - variance) / 2
    # END SOLUTION


# %% tags=["wrong"]
def elbo(mean, log_var, count):
    variance = np.exp(log_var)  # the average of e^z taken for e to the average
    log_likelihood = count * mean - np.exp(mean) - scipy.special.gammaln(count + 1)
    return log_likelihood + (1 + log_var - mean**2 - variance) / 2


# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS


# %%
def test_bound_is_one_negative_number(elbo):
    import numpy as np

    value = elbo(0.5, -1.0, 3)
    assert value is not None, "elbo returns nothing yet: replace the dots."
    assert np.shape(value) == (), f"One number, not an array of shape {np.shape(value)}."
    assert value < 0, f"A bound on the logarithm of a probability is negative; yours is {value}."


# %%
def test_far_posteriors_are_bad(elbo):
    near, *far = (elbo(*q, 3) for q in ((0.9, -1.0), (-3.0, -1.0), (0.9, 3.0), (0.9, -9.0)))
    assert near is not None, "elbo returns nothing yet: replace the dots."
    assert near > max(far), "A q that is far off, very wide or very narrow should be worse."


# %%
# HIDDEN
def test_bound_is_the_integral(elbo):
    import math

    import numpy as np

    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()
    for mean, log_var, count in ((0.0, 0.0, 0), (0.9, -1.2, 3), (-0.4, 0.3, 1), (1.5, -2.0, 7)):
        z = mean + np.exp(log_var / 2) * nodes
        log_p = count * z - np.exp(z) - math.lgamma(count + 1) - z**2 / 2
        log_q = -(nodes**2) / 2 - log_var / 2
        message = (
            f"<ln p(x, z) - ln q(z)> for mean {mean}, log_var {log_var}, x = {count}, by quadrature. "
            "<e^z> is exp(mean + variance / 2)."
        )
        value = elbo(mean, log_var, count)
        np.testing.assert_allclose(value, weights @ (log_p - log_q), rtol=1e-7, err_msg=message)


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q2
# points: [0.25, 0.5, 0.75, 0.5]

# %% [markdown]
# ## Question 2: the best Gaussian, and what it misses
#
# 1. Write `log_evidence(count)`: $\ln p(x)$ by a sum over a fine grid of $z$.
# 2. Write `best_gaussian(count)`: `(mean, log_var)` of the $q$ with the highest bound, to three
#    decimals or better. `scipy.optimize.minimize` will do, with the bound of question 1 or with a
#    bound by quadrature.
# 3. For $x = 3$, how many nats does the best Gaussian lose? Set `gap`. It is the divergence
#    $\mathrm{KL}(q(z) \,\|\, p(z|x))$ of (B12).

# %% [raw]
# # BEGIN SOLUTION


# %%
def log_evidence(count):
    # BEGIN SOLUTION
    z = np.linspace(-12, 8, 20_001)
    return np.logaddexp.reduce(log_joint(z, count)) + np.log(z[1] - z[0])
    # END SOLUTION


def best_gaussian(count):
    # BEGIN SOLUTION
    result = scipy.optimize.minimize(lambda q: -elbo(*q, count), [0.0, 0.0], tol=1e-10)
    return result.x
    # END SOLUTION


gap = log_evidence(3) - elbo(*best_gaussian(3), 3)  # SOLUTION


# %% tags=["wrong"]
def log_evidence(count):  # a sum without the width of the steps
    return np.logaddexp.reduce(log_joint(np.linspace(-12, 8, 20_001), count))


def best_gaussian(count):  # the mode and the curvature there: Laplace
    mode = scipy.optimize.minimize_scalar(lambda z: -log_joint(z, count)).x
    return np.array([mode, -np.log(1 + np.exp(mode))])


gap = log_evidence(3) - elbo(*best_gaussian(3), 3)

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS


# %%
def test_answers_are_numbers(log_evidence, best_gaussian, gap):
    import numpy as np

    assert log_evidence(2) is not None, "log_evidence returns nothing yet: replace the dots."
    assert best_gaussian(2) is not None, "best_gaussian returns nothing yet: replace the dots."
    assert np.shape(best_gaussian(2)) == (2,), "best_gaussian should return (mean, log_var)."
    assert float(gap) >= 0, f"A divergence is never negative; your gap is {gap}."


# %%
# HIDDEN
def test_evidence_is_the_integral(log_evidence):
    import math

    import numpy as np

    nodes, weights = np.polynomial.hermite_e.hermegauss(100)  # over the prior
    weights = weights / weights.sum()
    for count in (0, 3, 6):
        p = weights @ np.exp(count * nodes - np.exp(nodes) - math.lgamma(count + 1))
        message = f"ln p(x = {count}): the likelihood averaged over the prior, by quadrature."
        np.testing.assert_allclose(log_evidence(count), np.log(p), atol=1e-5, err_msg=message)


# %%
# HIDDEN
def test_best_gaussian_is_stationary(best_gaussian):
    import numpy as np

    for count in (0, 3, 6):
        mean, variance = 0.0, 1.0
        for _ in range(5000):  # d/d mean: x - <e^z> = mean; d/d variance: 1 / variance = 1 + <e^z>
            rate = np.exp(mean + variance / 2)
            mean, variance = mean + 0.05 * (count - rate - mean), 1 / (1 + rate)
        message = f"mean and log_var for x = {count}. The mode and the curvature are Laplace's q."
        expected = mean, np.log(variance)
        np.testing.assert_allclose(best_gaussian(count), expected, atol=2e-3, err_msg=message)


# %%
# HIDDEN
def test_gap_is_the_divergence(gap):
    import numpy as np

    mean, variance = 0.0, 1.0
    for _ in range(5000):
        rate = np.exp(mean + variance / 2)
        mean, variance = mean + 0.05 * (3 - rate - mean), 1 / (1 + rate)
    z = np.linspace(-12, 8, 100_001)
    log_p = 3 * z - np.exp(z) - z**2 / 2
    step = z[1] - z[0]
    log_p -= np.log(np.exp(log_p).sum() * step)  # of the exact posterior
    log_q = -((z - mean) ** 2) / variance / 2 - np.log(2 * np.pi * variance) / 2
    expected = np.sum(np.exp(log_q) * (log_q - log_p)) * step
    message = "KL(q || p(z|x)) for x = 3, by a sum over z."
    np.testing.assert_allclose(float(gap), expected, atol=1e-5, err_msg=message)


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q3
# points: [0.25, 0.75, 0.5, 0.5]

# %% [markdown]
# ## Question 3: two gradients of one average
#
# Let $z = \mu + \sigma \epsilon$ with $\epsilon$ from $N(0, 1)$ (B31). Both functions return one value
# for each entry of `eps`, and the mean of these values is $\partial \langle f(z) \rangle_q / \partial \mu$
# (B17).
#
# 1. `score_gradient(function, eps, mean, log_var)`, from the values of $f$ and the score
#    $\partial \ln q / \partial \mu$.
# 2. `pathwise_gradient(slope, eps, mean, log_var)`, from the derivative $f'(z)$ = `slope(z)`.
# 3. For $f(z) = \ln p(x, z)$ with $x = 3$, mean 0.9 and log_var -1.2: how many times larger is the
#    variance of one value of the score-function form? Set `variance_ratio` to three digits or
#    better. Gauss and Hermite give it exactly: `np.polynomial.hermite_e.hermegauss(80)` returns
#    nodes $\epsilon$ and weights, which you divide by their sum.

# %% [raw]
# # BEGIN SOLUTION


# %%
def score_gradient(function, eps, mean, log_var):
    # BEGIN SOLUTION
    sigma = np.exp(log_var / 2)
    return function(mean + sigma * eps) * eps / sigma  # (z - mean) / sigma^2
    # END SOLUTION


def pathwise_gradient(slope, eps, mean, log_var):
    # BEGIN SOLUTION
    return slope(mean + np.exp(log_var / 2) * eps)
    # END SOLUTION


# BEGIN SOLUTION NO PROMPT
nodes, weights = np.polynomial.hermite_e.hermegauss(80)


def variance(values):
    p = weights / weights.sum()
    return p @ values**2 - (p @ values) ** 2


by_score = variance(score_gradient(lambda z: log_joint(z, 3), nodes, 0.9, -1.2))
by_path = variance(pathwise_gradient(lambda z: 3 - np.exp(z) - z, nodes, 0.9, -1.2))
# END SOLUTION
variance_ratio = by_score / by_path  # SOLUTION


# %% tags=["wrong"]
def score_gradient(function, eps, mean, log_var):
    return function(mean + np.exp(log_var / 2) * eps) * eps  # the score without its 1 / sigma


def pathwise_gradient(slope, eps, mean, log_var):  # the derivative in log_var
    sigma = np.exp(log_var / 2)
    return slope(mean + sigma * eps) * sigma * eps / 2


nodes, weights = np.polynomial.hermite_e.hermegauss(80)
by_score = score_gradient(lambda z: log_joint(z, 3), nodes, 0.9, -1.2)
by_path = pathwise_gradient(lambda z: 3 - np.exp(z) - z, nodes, 0.9, -1.2)
variance_ratio = np.std(by_score) / np.std(by_path)  # the nodes as if they were draws

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS


# %%
def test_one_value_for_each_draw(score_gradient, pathwise_gradient, variance_ratio):
    import numpy as np

    eps = np.array([-1.0, 0.0, 2.0])
    for name, function in (("score", score_gradient), ("pathwise", pathwise_gradient)):
        values = function(np.square, eps, 0.5, 0.0)
        assert values is not None, f"{name}_gradient returns nothing yet: replace the dots."
        assert np.shape(values) == (3,), f"{name}_gradient: (3,), not {np.shape(values)}."
    assert float(variance_ratio) > 0, "variance_ratio should be a positive number."


# %%
# HIDDEN
def test_score_gradient_has_the_right_mean(score_gradient):
    import numpy as np

    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    for mean, log_var in ((0.7, 0.0), (-0.3, -1.0), (1.1, 0.8)):
        values = score_gradient(lambda z: z**3, nodes, mean, log_var)
        expected = 3 * mean**2 + 3 * np.exp(log_var)  # <z^3> = mean^3 + 3 mean variance
        message = f"Mean for f = z^3, mean {mean}, log_var {log_var}. The score is eps / sigma."
        value = weights @ values / weights.sum()
        np.testing.assert_allclose(value, expected, rtol=1e-6, err_msg=message)


# %%
# HIDDEN
def test_pathwise_gradient_has_the_right_mean(pathwise_gradient):
    import numpy as np

    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    for mean, log_var in ((0.7, 0.0), (-0.3, -1.0), (1.1, 0.8)):
        values = pathwise_gradient(lambda z: 3 * z**2, nodes, mean, log_var)
        expected = 3 * mean**2 + 3 * np.exp(log_var)
        message = f"Mean for f = z^3, mean {mean}, log_var {log_var}. dz / d mean is 1."
        value = weights @ values / weights.sum()
        np.testing.assert_allclose(value, expected, rtol=1e-6, err_msg=message)


# %%
# HIDDEN
def test_ratio_of_the_variances(variance_ratio):
    import math

    import numpy as np

    sigma = np.exp(-0.6)
    eps = np.linspace(-10, 10, 200_001)
    p = np.exp(-(eps**2) / 2)
    p /= p.sum()
    z = 0.9 + sigma * eps
    f = 3 * z - np.exp(z) - math.lgamma(4) - z**2 / 2 - np.log(2 * np.pi) / 2
    score, path = f * eps / sigma, 3 - np.exp(z) - z
    expected = (p @ score**2 - (p @ score) ** 2) / (p @ path**2 - (p @ path) ** 2)
    message = "Variance of the score form over that of the pathwise form: variances, not squares."
    np.testing.assert_allclose(float(variance_ratio), expected, rtol=5e-3, err_msg=message)


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q4
# points: [0.25, 0, 1.25, 0.5]

# %% [markdown]
# ## Question 4: log-weights
#
# 1. Write `log_weights(log_joint, eps, mean, log_var)`: $\ln w = \ln p(x, z) - \ln q(z)$ (B18) for
#    $z = \mu + \sigma \epsilon$, one for each entry of `eps`. `log_joint(z)` is any function of $z$ alone.
# 2. With the draws below, with `mean, log_var = 0.9, -0.8` and $x = 3$, print
#    `vae_keras.evidence.elbo`, `vae_keras.evidence.iwae` and
#    `vae_keras.evidence.cumulant(.., order=2)` of your log-weights, beside $\ln p(x)$. Which of the three
#    are lower bounds *on average*, for every $q$? (a) all three, (b) `elbo` and `iwae`, (c) `elbo` only,
#    (d) `cumulant` only. Set `lower_bounds` to a letter.

# %%
draws = np.random.default_rng(0).normal(size=1000)

# %% [raw]
# # BEGIN SOLUTION


# %%
def log_weights(log_joint, eps, mean, log_var):
    # BEGIN SOLUTION
    z = mean + np.exp(log_var / 2) * eps
    log_q = -(eps**2) / 2 - log_var / 2 - np.log(2 * np.pi) / 2
    return log_joint(z) - log_q
    # END SOLUTION


# BEGIN SOLUTION NO PROMPT
values = log_weights(lambda z: log_joint(z, 3), draws, 0.9, -0.8)
for estimate in (vae_keras.evidence.elbo, vae_keras.evidence.iwae, vae_keras.evidence.cumulant):
    print(f"{estimate.__name__}: {float(estimate(values)):.4f} nats")
# END SOLUTION
lower_bounds = "b"  # SOLUTION


# %% tags=["wrong"]
def log_weights(log_joint, eps, mean, log_var):
    z = mean + np.exp(log_var / 2) * eps
    log_q = -(eps**2) / 2 - np.log(2 * np.pi) / 2  # the density of eps, not that of z
    return log_joint(z) - log_q


lower_bounds = "a"

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS


# %%
def test_one_log_weight_for_each_draw(log_weights):
    import numpy as np

    values = log_weights(lambda z: -(z**2), np.array([-1.0, 0.0, 2.0]), 0.5, -1.0)
    assert values is not None, "log_weights returns nothing yet: replace the dots."
    assert np.shape(values) == (3,), f"Three draws make (3,), not {np.shape(values)}."


# %%
def test_lower_bounds_is_a_letter(lower_bounds):
    assert lower_bounds in ("a", "b", "c", "d"), 'lower_bounds: one of "a" to "d".'


# %%
# HIDDEN
def test_mean_weight_is_the_evidence(log_weights):
    import numpy as np

    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()
    for mean, log_var in ((0.0, 0.0), (0.5, -0.5), (-0.2, 0.4)):
        # exp(-2 z^2 + z) integrates to sqrt(pi / 2) exp(1 / 8)
        values = log_weights(lambda z: -2 * z**2 + z, nodes, mean, log_var)
        expected = np.log(np.pi / 2) / 2 + 1 / 8
        message = f"ln <w> for ln p(x, z) = z - 2 z^2, mean {mean}, log_var {log_var}: <w> = p(x)."
        value = np.log(weights @ np.exp(values))
        np.testing.assert_allclose(value, expected, atol=1e-6, err_msg=message)


# %%
# HIDDEN
def test_which_are_bounds(lower_bounds):
    assert lower_bounds == "b", (
        "By Jensen's inequality <ln w> and <ln of a mean of weights> are below ln <w> (B14). Adding "
        "half the variance (B25) may overshoot."
    )


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q5
# points: [0.25, 1.25, 0.5]

# %% [markdown]
# ## Question 5: the loss of a VAE, and a slip
#
# An image $x$ has binary pixels, a decoder returns one logit for each pixel, and an encoder returns
# mean and log_var of several latent variables.
#
# 1. Write `loss(x, logits, mean, log_var)` with NumPy (B32): $-\ln p(x|z)$ summed over pixels, plus the
#    KL (B30) summed over latent variables, averaged over the batch. Shapes are (batch, num_pixels),
#    twice, and (batch, num_latents), twice. Compare with
#    `vae_keras.NegativeLogLikelihood(vae_keras.parts.Bernoulli())` and `vae_keras.layers.GaussianKL()`.
# 2. A program averages the first term over the pixels of 8 × 8 images instead of summing it, and
#    sums the KL. Its optimum is that of a loss with the sum over pixels and with the KL times a
#    factor. Set `kl_factor` to that factor. In chapter 28 the same number is a temperature.

# %% [raw]
# # BEGIN SOLUTION


# %%
def loss(x, logits, mean, log_var):
    # BEGIN SOLUTION
    reconstruction = np.sum(np.logaddexp(0, logits) - x * logits, axis=1)
    kl = np.sum(mean**2 + np.exp(log_var) - 1 - log_var, axis=1) / 2
    return np.mean(reconstruction + kl)
    # END SOLUTION


kl_factor = 64  # SOLUTION


# %% tags=["wrong"]
def loss(x, logits, mean, log_var):
    reconstruction = np.mean(np.logaddexp(0, logits) - x * logits, axis=1)  # over pixels
    kl = np.sum(mean**2 + np.exp(log_var) - 1 - log_var, axis=1) / 2
    return np.mean(reconstruction + kl)


kl_factor = 1 / 64

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS


# %%
def test_loss_is_one_number(loss, kl_factor):
    import numpy as np

    value = loss(np.ones((5, 4)), np.zeros((5, 4)), np.zeros((5, 2)), np.zeros((5, 2)))
    assert value is not None, "loss returns nothing yet: replace the dots."
    assert np.shape(value) == (), f"One number for the whole batch, not {np.shape(value)}."
    assert value > 0, f"-ln p of binary pixels is positive and a KL is not negative; got {value}."
    assert float(kl_factor) > 0, "kl_factor should be a positive number."


# %%
# HIDDEN
def test_loss_is_energy_minus_entropy(loss):
    import numpy as np

    rng = np.random.default_rng(1)
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    weights = weights / weights.sum()
    for batch, num_pixels, num_latents in ((1, 1, 1), (3, 4, 2), (2, 6, 3)):
        x = rng.integers(0, 2, (batch, num_pixels)).astype(float)
        logits = rng.normal(size=(batch, num_pixels))
        mean, log_var = rng.normal(size=(2, batch, num_latents))
        on = 1 / (1 + np.exp(-logits))
        expected = -np.log(np.where(x == 1, on, 1 - on)).sum() / batch
        for m, s in zip(mean.ravel(), log_var.ravel(), strict=True):  # <ln q - ln p> by quadrature
            z = m + np.exp(s / 2) * nodes
            expected += weights @ (z**2 / 2 - nodes**2 / 2 - s / 2) / batch
        message = (
            f"{num_pixels} pixels, {num_latents} latents: sums over both, a mean over {batch}."
        )
        value = loss(x, logits, mean, log_var)
        np.testing.assert_allclose(value, expected, rtol=1e-6, err_msg=message)


# %%
# HIDDEN
def test_the_slip_is_a_temperature(kl_factor):
    assert abs(float(kl_factor) - 64) < 1e-6, (
        "Multiply the slip's loss by 64, which moves no optimum: the sum over pixels, 64 times the KL."
    )


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION
