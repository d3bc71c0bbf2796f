import itertools

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from rbm_tf.cumulants import (
    cumulants_from_moments,
    derivatives,
    generating_function,
    log_expectation,
    sample_cumulants,
    weighted_cumulants,
)


def test_sample_cumulants_equal_scipy_k_statistics():
    x = np.random.default_rng(0).gamma(2.0, size=50)
    expected = [scipy.stats.kstat(x, order) for order in range(1, 5)]
    np.testing.assert_allclose(sample_cumulants(x, 4), expected, rtol=1e-10)


@pytest.mark.parametrize("order", range(1, 7))
def test_k_statistics_are_unbiased_over_all_samples_of_a_small_support(order):
    values, probabilities = np.array([0.0, 1.0, 3.0]), np.array([0.5, 0.2, 0.3])
    draws = np.array(list(itertools.product(range(3), repeat=7)))
    weight = probabilities[draws].prod(1)  # of each possible sample of size 7
    estimates = sample_cumulants(values[draws].T, order)
    exact = weighted_cumulants(values, np.log(probabilities), order)
    np.testing.assert_allclose((estimates * weight).numpy().sum(-1), exact, rtol=1e-9, atol=1e-9)


def test_sample_cumulants_reduce_any_axis():
    x = np.random.default_rng(0).normal(size=(3, 20, 2))
    along_axis = sample_cumulants(x, 3, axis=1)
    assert along_axis.shape == (3, 3, 2)
    np.testing.assert_allclose(along_axis[:, 2, 1], sample_cumulants(x[2, :, 1], 3))


def test_too_few_samples_or_an_impossible_order_are_refused():
    with pytest.raises(ValueError, match="Draw more samples"):
        sample_cumulants([1.0, 2.0], 3)
    for order in (0, 7, 2.0):
        with pytest.raises(ValueError, match="from 1 to 6"):
            sample_cumulants(np.ones(10), order)


def test_cumulants_are_derivatives_of_the_generating_function():  # B21, B22
    x = np.array([-1.0, 0.5, 2.0])
    log_weights = np.log([0.2, 0.5, 0.3])
    by_autodiff = derivatives(
        lambda t: generating_function(t, x, log_weights=log_weights),
        5,
        at=tf.constant(0.0, tf.float64),
    )
    np.testing.assert_allclose(by_autodiff, weighted_cumulants(x, log_weights, 5), rtol=1e-10)


def test_first_and_second_cumulants_are_mean_and_variance():  # B22
    mean, square = 1.5, 4.0
    np.testing.assert_allclose(cumulants_from_moments([mean, square]), [mean, square - mean**2])


def test_cumulants_of_a_poisson_variable_are_all_equal():
    rate = 1.3
    moments = [scipy.stats.poisson(rate).moment(n) for n in range(1, 7)]
    np.testing.assert_allclose(
        cumulants_from_moments(tf.constant(moments, tf.float64)), 6 * [rate], rtol=1e-9
    )


def test_gaussian_log_weights_are_exact_at_order_two():  # B25
    mean, variance = -3.0, 1.7
    exact = mean + variance / 2  # ln of the mean of a log-normal variable
    moments = [scipy.stats.norm(mean, variance**0.5).moment(n) for n in range(1, 5)]
    kappa = cumulants_from_moments(tf.constant(moments, tf.float64))
    assert float(log_expectation(kappa[:2])) == pytest.approx(exact, rel=1e-12)
    assert float(log_expectation(kappa[:4])) == pytest.approx(exact, rel=1e-12)


def test_an_odd_cumulant_order_can_exceed_the_exact_value():  # B24: only order 1 is a bound
    x, log_weights = np.array([0.0, 3.0]), np.log([0.7, 0.3])
    kappa = weighted_cumulants(x, log_weights, 3)
    exact = np.log(0.7 + 0.3 * np.exp(3.0))
    assert exact == pytest.approx(1.906, abs=5e-4)
    assert log_expectation(kappa[:1]) < exact
    assert float(log_expectation(kappa)) == pytest.approx(2.223, abs=5e-4)


def test_series_of_a_broad_trial_alternates_and_diverges_as_derived():
    # q = N(0, 1), posterior N(0, s^2): kappa_n = (n - 1)! a^n / 2 beyond the mean, a = 1 - 1/s^2.
    a = 1 - 1 / 0.4
    terms = tf.constant([0.0] + [scipy.special.factorial(n - 1) * a**n / 2 for n in (2, 3, 4)])
    sums = [float(log_expectation(terms[:order])) for order in (2, 3, 4)]
    np.testing.assert_allclose(sums, [0.5625, 0.0, 0.6328], atol=1e-4)
    assert -0.5 * np.log(1 - a) - a / 2 == pytest.approx(0.292, abs=5e-4)
