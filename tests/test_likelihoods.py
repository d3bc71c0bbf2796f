import numpy as np
import pytest
from tensorflow_probability import distributions as tfd

from vae_keras.likelihoods import BernoulliNegativeLogLikelihood, GaussianNegativeLogLikelihood


def test_bernoulli_equals_tensorflow_probability():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(5, 3, 2)).astype("float32") * 3
    x = rng.integers(2, size=(5, 3, 2)).astype("float32")
    expected = -tfd.Independent(tfd.Bernoulli(logits=logits), 2).log_prob(x)
    loss = BernoulliNegativeLogLikelihood()
    np.testing.assert_allclose(loss.call(x, logits), expected, rtol=1e-5)
    assert float(loss(x, logits)) == pytest.approx(float(np.mean(expected)), rel=1e-5)
    np.testing.assert_allclose(loss.mean(logits), 1 / (1 + np.exp(-logits)), rtol=1e-5)


def test_gaussian_equals_tensorflow_probability():
    rng = np.random.default_rng(0)
    x, mean = rng.normal(size=(2, 5, 3)).astype("float32")
    expected = -tfd.MultivariateNormalDiag(mean, np.full(3, 0.7, "float32")).log_prob(x)
    loss = GaussianNegativeLogLikelihood(scale=0.7)
    np.testing.assert_allclose(loss.call(x, mean), expected, rtol=1e-5)
    np.testing.assert_array_equal(loss.mean(mean), mean)


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match="give the decoder the data's shape"):
        BernoulliNegativeLogLikelihood()(np.zeros((5, 4)), np.zeros((5, 1)))
    with pytest.raises(ValueError, match="above 0"):
        GaussianNegativeLogLikelihood(scale=0.0)
