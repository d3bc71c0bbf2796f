import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from rbm_tf.cumulants import cumulants_from_moments
from rbm_tf.cumulants.exact import exact_cumulants

tfd = tfp.distributions
DISTRIBUTIONS = {
    "Normal": (lambda f: tfd.Normal(f(0.4), f(1.3)), scipy.stats.norm(0.4, 1.3)),
    "Laplace": (lambda f: tfd.Laplace(f(0.4), f(0.7)), scipy.stats.laplace(0.4, 0.7)),
    "Poisson": (lambda f: tfd.Poisson(f(1.7)), scipy.stats.poisson(1.7)),
    "Gamma": (lambda f: tfd.Gamma(f(2.5), f(0.8)), scipy.stats.gamma(2.5, scale=1 / 0.8)),
    "Exponential": (lambda f: tfd.Exponential(f(0.8)), scipy.stats.expon(scale=1 / 0.8)),
    "Bernoulli": (lambda f: tfd.Bernoulli(probs=f(0.3)), scipy.stats.bernoulli(0.3)),
    "Uniform": (lambda f: tfd.Uniform(f(-1.0), f(2.0)), scipy.stats.uniform(-1.0, 3.0)),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_cumulants_of_distributions_equal_those_of_scipy_moments(name):  # B21, B22
    make, reference = DISTRIBUTIONS[name]
    moments = [reference.moment(n) for n in range(1, 7)]
    expected = cumulants_from_moments(tf.constant(moments, tf.float64))
    kappa = exact_cumulants(make(lambda x: tf.constant(x, tf.float64)), 6)
    np.testing.assert_allclose(kappa, expected, rtol=1e-7, atol=1e-7)


def test_a_batch_of_distributions_keeps_its_shape_and_dtype():
    kappa = exact_cumulants(tfd.Gamma([1.0, 2.0, 3.0], 2.0), 3)
    assert kappa.shape == (3, 3) and kappa.dtype == tf.float32
    np.testing.assert_allclose(kappa[2], [0.25, 0.5, 0.75], rtol=1e-6)


def test_other_distributions_and_orders_are_refused():
    with pytest.raises(ValueError, match="StudentT are not known"):
        exact_cumulants(tfd.StudentT(3.0, 0.0, 1.0), 2)
    with pytest.raises(ValueError, match="from 1 to 6"):
        exact_cumulants(tfd.Normal(0.0, 1.0), 7)
