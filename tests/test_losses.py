import json

import keras
import numpy as np
import pytest
import scipy.special
import tensorflow as tf
from scipy import stats
from tensorflow_probability import distributions as tfd

from vae_keras.losses import NegativeLogLikelihood
from vae_keras.parts import (
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    Gaussian,
    LogisticMixture,
    Masked,
    Poisson,
    ZeroInflated,
)

LOGITS = np.concatenate([[0.0], *([-s, s] for s in (1e-8, 1e-4, 0.01, 0.3, 0.4999, 0.5001, 3, 30))])
PEERS = {
    "Bernoulli": (Bernoulli(), lambda s: tfd.Bernoulli(logits=s)),
    "ContinuousBernoulli": (ContinuousBernoulli(), lambda s: tfd.ContinuousBernoulli(logits=s)),
    "Gaussian": (Gaussian(scale=0.7), lambda s: tfd.Normal(s, 0.7)),
    "Poisson": (Poisson(), lambda s: tfd.Poisson(log_rate=s)),
}


@pytest.mark.parametrize("name", PEERS)
def test_losses_equal_tensorflow_probability(name):
    part, make = PEERS[name]
    rng = np.random.default_rng(0)
    statistics = rng.normal(size=(5, 3, 2)).astype("float32") * 3
    x = rng.integers(2, size=(5, 3, 2)).astype("float32")
    expected = -tfd.Independent(make(statistics), 2).log_prob(x)
    loss = NegativeLogLikelihood(part)
    np.testing.assert_allclose(loss.call(x, statistics), expected, rtol=1e-4, atol=1e-5)
    assert float(loss(x, statistics)) == pytest.approx(float(np.mean(expected)), rel=1e-5)
    np.testing.assert_allclose(part.mean(statistics), make(statistics).mean(), rtol=1e-4)


def test_fast_sum_of_bernoulli_pixels_is_the_sum_of_its_terms_with_their_gradient():
    rng = np.random.default_rng(1)
    logits, x = (tf.constant(a) for a in (rng.normal(size=(4, 30)) * 4, rng.random((4, 30))))
    gradients = []
    for log_prob in (Bernoulli().log_prob, lambda s, v: tf.reduce_sum(Bernoulli().terms(s, v), 1)):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = log_prob(logits, x)
        gradients.append((value, tape.gradient(value, logits)))
    for fast, slow in zip(*gradients, strict=True):
        np.testing.assert_allclose(fast, slow, rtol=1e-12)


def test_continuous_bernoulli_integrates_to_one_at_every_logit():
    x, weights = np.polynomial.legendre.leggauss(60)
    x, weights = (x + 1) / 2, weights / 2
    grid = np.stack(np.broadcast_arrays(x[:, None], LOGITS[None]))
    values = ContinuousBernoulli().terms(*(tf.constant(a.reshape(-1, 1)) for a in grid[::-1]))
    density = np.exp(np.reshape(values, grid[0].shape))
    np.testing.assert_allclose(weights @ density, 1, rtol=1e-9)
    mean = ContinuousBernoulli().mean(tf.constant(LOGITS))
    np.testing.assert_allclose(mean, (weights * x) @ density, rtol=3e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_continuous_bernoulli_has_its_mean_as_derivative_through_logit_zero(dtype):
    logits, part = tf.constant(LOGITS[:, None], dtype), ContinuousBernoulli()
    with tf.GradientTape() as tape:
        tape.watch(logits)
        total = -tf.reduce_sum(part.log_prob(logits, tf.zeros_like(logits)))
    gradient = tape.gradient(total, logits)
    with np.errstate(over="ignore"):
        exact = [0.5 if x == 0 else -1 / np.expm1(-x) - 1 / x for x in LOGITS]
    near_zero = 0.5 + LOGITS / 12
    exact = np.where(np.abs(LOGITS) < 1e-3, near_zero, exact)[:, None]
    for value in (gradient, part.mean(logits)):
        np.testing.assert_allclose(value, exact, rtol=2e-6 if dtype == "float32" else 3e-8)


@pytest.mark.parametrize("logit", [-30.0, -2.0, 5e-4, 0.5, 8.0])
def test_continuous_bernoulli_draws_follow_its_distribution_function(logit):
    x = np.asarray(ContinuousBernoulli(seed=0)(np.full((20_000, 1), logit, "float32"))[0], float)
    exact = stats.kstest(x[:, 0], lambda t: np.expm1(logit * t) / np.expm1(logit))
    assert exact.pvalue > 1e-3


@pytest.mark.parametrize("name", PEERS)
def test_half_precision_gives_float32_values(name):
    x, statistics = np.zeros((2, 3), "float16"), np.full((2, 3), 0.1, "float16")
    assert NegativeLogLikelihood(PEERS[name][0]).call(x, statistics).dtype == "float32"


def test_loss_comes_back_from_its_configuration():
    loss = NegativeLogLikelihood(Gaussian(scale=0.3))
    config = keras.saving.serialize_keras_object(loss)
    restored = keras.saving.deserialize_keras_object(json.loads(json.dumps(config)))
    x, output = np.full((2, 3), 0.3), np.full((2, 3), 0.1)
    np.testing.assert_array_equal(restored.call(x, output), loss.call(x, output))


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match="make the network's output fit the value"):
        NegativeLogLikelihood(Bernoulli())(np.zeros((5, 4)), np.zeros((5, 1)))


@pytest.mark.parametrize(
    ("part", "right", "wrong", "message"),
    [
        (Bernoulli(), [0, 0.5, 1], [-0.1, 1.1, np.nan], r"\[0, 1\].*divide 8-bit images by 255"),
        (ContinuousBernoulli(), [0, 0.5, 1], [-0.1, 1.1, np.nan], "divide 8-bit images by 255"),
        (LogisticMixture(), [0, 1], [-0.1, 255], "divide the integers 0 to 255 by 255"),
        (Gaussian(), [-5, 5], [np.nan, np.inf], "must be finite: remove"),
        (Poisson(), [0, 7], [-1, 0.5, np.inf], "0 or more and be integers: give counts"),
        (ZeroInflated(Poisson()), [0, 7], [-1, 0.5], "give counts as they are"),
        (Masked(Poisson()), [0, 7], [-1], "give counts as they are"),
        (Categorical(3), [0, 2], [3, -1, 0.5], r"\[0, 2\].*not one-hot"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_data_without_a_density_are_refused_with_the_remedy(part, right, wrong, message):
    part.check_value(np.array(right, float))
    for value in wrong:
        with pytest.raises(ValueError, match=message):
            part.check_value(np.array([right[0], value]))


def masked_sequences(num_steps):
    """A recurrent network whose output has the mask of its tokens, and sequences of all lengths."""
    x = keras.Input((num_steps,), dtype="int32")
    embedded = keras.layers.Embedding(5, 6, mask_zero=True)(x)
    steps = keras.layers.GRU(7, return_sequences=True)(embedded)
    tokens = np.random.default_rng(0).integers(1, 5, (8, num_steps))
    tokens[np.arange(num_steps) >= 1 + np.arange(8)[:, None] % num_steps] = 0
    return keras.Model(x, keras.layers.Dense(5)(steps)), tokens


def sums_over_tokens(model, tokens):
    """-ln p of the tokens of each sequence, without padding, by scipy."""
    log_p = scipy.special.log_softmax(keras.ops.convert_to_numpy(model(tokens)), -1)
    each = np.take_along_axis(log_p, tokens[..., None], -1)[..., 0]
    return -np.sum(np.where(tokens > 0, each, 0), 1)


@pytest.mark.parametrize("num_steps", [4, 8])  # 8 is also the batch
@pytest.mark.parametrize("part", [Categorical(5), Masked(Categorical(5))])
def test_a_masked_output_gives_the_sum_over_steps_of_every_example(num_steps, part):
    model, tokens = masked_sequences(num_steps)
    loss, output = NegativeLogLikelihood(part), model(tokens)
    exact, weight = sums_over_tokens(model, tokens), np.arange(8.0)
    assert float(loss(tokens, output)) == pytest.approx(exact.mean(), rel=1e-5)
    weighted = float(loss(tokens, output, sample_weight=weight))
    assert weighted == pytest.approx(np.mean(weight * exact), rel=1e-5)
    assert output._keras_mask is not None  # which metrics still need


@pytest.mark.slow
def test_a_model_with_a_masked_output_trains_on_every_example():
    model, tokens = masked_sequences(8)
    model.compile("sgd", NegativeLogLikelihood(Categorical(5)))
    other = tokens.copy()
    other[4:] = np.where(tokens[4:] > 0, 1 + tokens[4:] % 4, 0)
    losses = [model.evaluate(x, x, batch_size=8, verbose=0) for x in (tokens, other)]
    exact = [sums_over_tokens(model, x).mean() for x in (tokens, other)]
    np.testing.assert_allclose(losses, exact, rtol=1e-5)
    assert losses[0] != losses[1]
    model.fit(tokens, tokens, sample_weight=np.ones(8), verbose=0)


class OneTerm(Categorical):
    def terms(self, statistics, value):
        return keras.ops.sum(super().terms(statistics, value), axis=1, keepdims=True)


def test_masks_and_weights_of_steps_that_a_sum_over_steps_cannot_take_are_refused():
    model, tokens = masked_sequences(4)
    with pytest.raises(ValueError, match="one for each example"):
        NegativeLogLikelihood(Categorical(5))(tokens, model(tokens), np.ones((8, 4)))
    with pytest.raises(ValueError, match="a term for each step"):
        NegativeLogLikelihood(OneTerm(5))(tokens, model(tokens))
