import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from tensorflow_probability import distributions as tfd

from vae_keras.likelihoods import (
    BernoulliNegativeLogLikelihood,
    ContinuousBernoulliNegativeLogLikelihood,
    GaussianNegativeLogLikelihood,
    NegativeLogLikelihood,
)

LOGITS = np.concatenate([[0.0], *([-s, s] for s in (1e-8, 1e-4, 0.01, 0.3, 0.4999, 0.5001, 3, 30))])


def test_bernoulli_equals_tensorflow_probability():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(5, 3, 2)).astype("float32") * 3
    x = rng.integers(2, size=(5, 3, 2)).astype("float32")
    expected = -tfd.Independent(tfd.Bernoulli(logits=logits), 2).log_prob(x)
    loss = BernoulliNegativeLogLikelihood()
    np.testing.assert_allclose(loss.call(x, logits), expected, rtol=1e-5)
    assert float(loss(x, logits)) == pytest.approx(float(np.mean(expected)), rel=1e-5)
    np.testing.assert_allclose(loss.mean(logits), 1 / (1 + np.exp(-logits)), rtol=1e-5)


def test_continuous_bernoulli_equals_tensorflow_probability():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(5, 3, 2)).astype("float32") * 3
    x = rng.random(size=(5, 3, 2)).astype("float32")
    distribution = tfd.ContinuousBernoulli(logits=logits)
    expected = -tfd.Independent(distribution, 2).log_prob(x)
    loss = ContinuousBernoulliNegativeLogLikelihood()
    np.testing.assert_allclose(loss.call(x, logits), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(loss.mean(logits), distribution.mean(), rtol=1e-4)


def test_continuous_bernoulli_integrates_to_one_at_every_logit():
    x, weights = np.polynomial.legendre.leggauss(60)
    x, weights = (x + 1) / 2, weights / 2
    loss = ContinuousBernoulliNegativeLogLikelihood()
    grid = np.stack(np.broadcast_arrays(x[:, None], LOGITS[None]))
    values = loss.call(*(tf.constant(a.reshape(-1, 1)) for a in grid))
    density = np.exp(-np.reshape(values, grid[0].shape))
    np.testing.assert_allclose(weights @ density, 1, rtol=1e-9)
    np.testing.assert_allclose(loss.mean(tf.constant(LOGITS)), (weights * x) @ density, rtol=3e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_continuous_bernoulli_has_its_mean_as_derivative_through_logit_zero(dtype):
    logits = tf.constant(LOGITS[:, None], dtype)
    loss = ContinuousBernoulliNegativeLogLikelihood()
    with tf.GradientTape() as tape:
        tape.watch(logits)
        total = tf.reduce_sum(loss.call(tf.zeros_like(logits), logits))
    gradient = tape.gradient(total, logits)
    with np.errstate(over="ignore"):
        exact = [0.5 if x == 0 else -1 / np.expm1(-x) - 1 / x for x in LOGITS]
    near_zero = 0.5 + LOGITS / 12
    exact = np.where(np.abs(LOGITS) < 1e-3, near_zero, exact)[:, None]
    for value in (gradient, loss.mean(logits)):
        np.testing.assert_allclose(value, exact, rtol=2e-6 if dtype == "float32" else 3e-8)


def test_gaussian_equals_tensorflow_probability():
    rng = np.random.default_rng(0)
    x, mean = rng.normal(size=(2, 5, 3)).astype("float32")
    expected = -tfd.MultivariateNormalDiag(mean, np.full(3, 0.7, "float32")).log_prob(x)
    loss = GaussianNegativeLogLikelihood(scale=0.7)
    np.testing.assert_allclose(loss.call(x, mean), expected, rtol=1e-5)
    np.testing.assert_array_equal(loss.mean(mean), mean)


def test_half_precision_logits_give_float32_values():
    x, logits = np.full((2, 3), 0.3, "float16"), np.full((2, 3), 0.1, "float16")
    for loss in (BernoulliNegativeLogLikelihood(), ContinuousBernoulliNegativeLogLikelihood()):
        assert loss.call(x, logits).dtype == "float32"


@pytest.mark.parametrize(
    "loss",
    [
        BernoulliNegativeLogLikelihood(),
        ContinuousBernoulliNegativeLogLikelihood(),
        GaussianNegativeLogLikelihood(scale=0.3),
    ],
)
def test_likelihood_comes_back_from_its_configuration(loss):
    config = keras.saving.serialize_keras_object(loss)
    restored = keras.saving.deserialize_keras_object(json.loads(json.dumps(config)))
    x, output = np.full((2, 3), 0.3), np.full((2, 3), 0.1)
    np.testing.assert_array_equal(restored.call(x, output), loss.call(x, output))


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match="give the decoder the data's shape"):
        BernoulliNegativeLogLikelihood()(np.zeros((5, 4)), np.zeros((5, 1)))
    with pytest.raises(ValueError, match="above 0"):
        GaussianNegativeLogLikelihood(scale=0.0)


def test_data_without_a_density_are_refused_with_the_remedy():
    for loss in (BernoulliNegativeLogLikelihood(), ContinuousBernoulliNegativeLogLikelihood()):
        loss.check_data(np.array([0.0, 0.5, 1.0]))
        for x in (-0.1, 1.1, np.nan):
            with pytest.raises(ValueError, match=r"\[0, 1\].*divide 8-bit images by 255"):
                loss.check_data(np.array([0.5, x]))
    gaussian = GaussianNegativeLogLikelihood()
    gaussian.check_data(np.array([-5.0, 5.0]))
    for x in (np.nan, np.inf):
        with pytest.raises(ValueError, match="must be finite: remove"):
            gaussian.check_data(np.array([x]))


@pytest.mark.parametrize(
    "likelihood",
    [
        BernoulliNegativeLogLikelihood(),
        ContinuousBernoulliNegativeLogLikelihood(),
        GaussianNegativeLogLikelihood(scale=0.3),
    ],
)
def test_samples_have_the_mean_of_the_likelihood_and_repeat_with_the_seed(likelihood):
    num = 20_000
    output = np.tile(LOGITS.astype("float32"), (num, 1))
    x = np.asarray(likelihood.sample(output, seed=1), float)
    error = np.maximum(x.std(0), 1e-6) / np.sqrt(num)
    assert np.all(np.abs(x.mean(0) - likelihood.mean(LOGITS)) < 5 * error + 1e-6)
    likelihood.check_data(x)
    np.testing.assert_array_equal(x, likelihood.sample(output, seed=1))
    assert np.any(x != np.asarray(likelihood.sample(output, seed=2)))


@pytest.mark.parametrize("logit", [-30.0, -2.0, 5e-4, 0.5, 8.0])
def test_continuous_bernoulli_samples_follow_its_distribution_function(logit):
    output = np.full((20_000, 1), logit, "float32")
    x = np.asarray(ContinuousBernoulliNegativeLogLikelihood().sample(output, seed=0), float)
    exact = stats.kstest(x[:, 0], lambda t: np.expm1(logit * t) / np.expm1(logit))
    assert exact.pvalue > 1e-3


def test_likelihood_without_sample_says_so():
    with pytest.raises(NotImplementedError, match="NegativeLogLikelihood does not say how to draw"):
        NegativeLogLikelihood().sample(np.zeros((1, 2)))
