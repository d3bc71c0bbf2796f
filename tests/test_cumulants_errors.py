import itertools

import numpy as np
import pytest

from rbm_tf.cumulants import log_expectation, sample_cumulants
from rbm_tf.cumulants.errors import (
    cumulant_standard_errors,
    leave_one_out_cumulants,
    series_standard_error,
)


def test_leave_one_out_cumulants_equal_those_of_the_samples_left():
    x = np.random.default_rng(0).gamma(2.0, size=(9, 2))
    fast = leave_one_out_cumulants(x, 6)
    for index in range(9):
        left = sample_cumulants(np.delete(x, index, axis=0), 6)
        np.testing.assert_allclose(fast[:, index], left, rtol=1e-8, atol=1e-8)


def test_standard_error_of_the_mean_is_the_usual_one():
    x = np.random.default_rng(0).normal(5.0, 2.0, size=(3, 40))
    usual = x.std(1, ddof=1) / np.sqrt(40)
    np.testing.assert_allclose(cumulant_standard_errors(x, 3, axis=1)[0], usual, rtol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_squared_error_is_on_average_not_below_the_variance_of_one_sample_less(order):
    # Efron and Stein: the mean of sum_i (k_(i) - <k_(i)>)^2 is at least the variance of k from
    # n - 1 samples. All samples of a small support are enumerated.
    values, probabilities = np.array([0.0, 1.0, 3.0]), np.array([0.5, 0.2, 0.3])
    draws = np.array(list(itertools.product(range(3), repeat=6)))
    weight = probabilities[draws].prod(1)
    error = cumulant_standard_errors(values[draws].T, 3)[order - 1].numpy()
    smaller = np.array(list(itertools.product(range(3), repeat=5)))
    smaller_weight = probabilities[smaller].prod(1)
    k = sample_cumulants(values[smaller].T, 3)[order - 1].numpy()
    variance = smaller_weight @ k**2 - (smaller_weight @ k) ** 2
    mean_square = weight @ error**2 * 6 / 5
    assert mean_square >= variance * (1 - 1e-9)
    assert mean_square <= variance * (1 + 1e-9 if order == 1 else 3)


@pytest.mark.long
@pytest.mark.parametrize("draw", ["normal", "exponential"])
def test_intervals_of_two_standard_errors_hold_the_cumulant_as_often_as_they_should(draw):
    num_repeats, num_samples = 2000, 1000
    rng = np.random.default_rng(0)
    x = getattr(rng, draw)(size=(num_samples, num_repeats))
    exact = {"normal": [0, 1, 0, 0], "exponential": [1, 1, 2, 6]}[draw]
    estimates, errors = sample_cumulants(x, 4).numpy(), cumulant_standard_errors(x, 4).numpy()
    covered = (np.abs(estimates - np.array(exact)[:, None]) < 2 * errors).mean(1)
    least = {"normal": (0.93, 0.93, 0.93, 0.93), "exponential": (0.93, 0.91, 0.84, 0.70)}[draw]
    assert np.all(covered >= least)
    assert np.all(covered <= 0.97)


def test_error_of_the_series_has_the_correlations_of_its_terms():
    rng = np.random.default_rng(0)
    x = -rng.gamma(4.0, size=(500, 1000))
    estimates = log_expectation(sample_cumulants(x, 3)).numpy()
    mean_square = np.mean(series_standard_error(x, 3).numpy() ** 2)
    noise = 5 * np.sqrt(2 / 1000)  # relative standard error of a variance, five times
    assert mean_square == pytest.approx(estimates.var(ddof=1), rel=noise + 0.1)
    factors = np.array([1, 1 / 2, 1 / 6])[:, None]
    independent = np.sum((factors * cumulant_standard_errors(x, 3)) ** 2, 0).mean()
    assert independent > 1.3 * mean_square


def test_too_few_samples_are_refused():
    for num_samples in (1, 3):
        with pytest.raises(ValueError, match="Draw more samples"):
            cumulant_standard_errors(np.ones(num_samples), 3)
