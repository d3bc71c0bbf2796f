import itertools

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from rbm_tf.cumulants import sample_cumulants
from vae_keras.evidence import grouped_cumulant, iwae, jackknife
from vae_keras.evidence.groups import (
    gamma_closure,
    grouped_estimate,
    grouped_standard_error,
    regrouped_cumulants,
    shrunken_cumulants,
)


def chi_square_weights(a, num_samples, batch, seed=0):
    """ln w = (a/2)(z^2 - 1): q = N(0, 1), posterior variance 1/(1 - a); ln <w> in closed form."""
    z = np.random.default_rng(seed).normal(size=(num_samples, batch))
    return tf.constant(a / 2 * (z**2 - 1)), -0.5 * np.log1p(-a) - a / 2


def test_one_regrouping_is_the_grouped_cumulant():
    weights = tf.constant(np.random.default_rng(0).normal(size=(60, 4)))
    first, second = regrouped_cumulants(weights, 5, max_order=2, num_regroupings=1)
    np.testing.assert_allclose(first + second / 2, grouped_cumulant(weights, 5), rtol=1e-12)
    kappa = regrouped_cumulants(weights, 1, num_regroupings=7, seed=0)
    np.testing.assert_allclose(kappa, sample_cumulants(weights, 3), rtol=1e-12)


def test_regroupings_average_towards_the_average_over_all_groupings():
    w = np.random.default_rng(1).normal(size=(6, 1))
    each = []
    for order in itertools.permutations(range(6)):
        groups = np.logaddexp.reduce(w[list(order)].reshape(3, 2), 1) - np.log(2)
        each.append(groups.var(ddof=1))
    kappa = regrouped_cumulants(tf.constant(w), 2, max_order=2, num_regroupings=5000, seed=0)
    error = np.std(each) / np.sqrt(5000)
    assert abs(kappa[1, 0] - np.mean(each)) < 5 * error


def test_regrouping_keeps_the_mean_and_lowers_the_variance():
    weights = tf.constant(np.random.default_rng(2).normal(0, 1.5, size=(50, 4000)))
    one = regrouped_cumulants(weights, 5, max_order=2, num_regroupings=1)[1].numpy()
    many = regrouped_cumulants(weights, 5, max_order=2, num_regroupings=10, seed=0)[1].numpy()
    error = np.std(one - many) / np.sqrt(4000)
    assert abs(np.mean(one - many)) < 5 * error
    assert many.var() < 0.9 * one.var()


@pytest.mark.parametrize("a", [-3.0, -0.4, 1e-6, 0.25, 0.6])
def test_gamma_closure_is_exact_for_gaussians_of_different_widths(a):
    kappa = tf.constant([[-a / 2 + a / 2], [a**2 / 2], [a**3]], tf.float64)  # (n-1)! a^n / 2
    exact = -0.5 * np.log1p(-a) - a / 2
    np.testing.assert_allclose(gamma_closure(kappa, limit=0.9), [exact], rtol=1e-9)


def test_gamma_closure_begins_as_the_series_and_ends_at_its_limit():
    kappa = tf.constant([[-1.0], [0.3], [1e-4]], tf.float64)
    series = -1 + 0.3 / 2 + 1e-4 / 6
    assert float(gamma_closure(kappa)[0]) == pytest.approx(series, abs=1e-7)
    heavy = tf.constant([[0.0], [1.0], [50.0]], tf.float64)
    at_limit = tf.constant([[0.0], [1.0], [2 / 3]], tf.float64)
    np.testing.assert_allclose(gamma_closure(heavy), gamma_closure(at_limit))


def test_gamma_closure_takes_one_shape_from_the_batch():
    kappa = tf.constant([[0.0, 0.0], [1.0, 3.0], [0.9, -0.1]], tf.float64)  # theta 0.1
    shared = tf.constant([[0.0], [1.0], [0.2]], tf.float64)
    g = float(gamma_closure(shared)[0])
    np.testing.assert_allclose(gamma_closure(kappa), [g, 3 * g], rtol=1e-12)


@pytest.mark.parametrize("num_samples", [10, 20, 50, 100, 500])
@pytest.mark.parametrize("a", [-3.0, 0.4])
def test_the_chosen_groups_are_less_biased_than_iwae(a, num_samples):
    weights, exact = chi_square_weights(a, num_samples, batch=2000)
    errors = grouped_estimate(weights, seed=0).log_p.numpy() - exact
    iwae_errors = iwae(weights).numpy() - exact
    noise = np.std(errors) / np.sqrt(2000)
    assert abs(np.mean(errors)) < abs(np.mean(iwae_errors)) + 5 * noise
    if num_samples >= 50:
        assert abs(np.mean(errors)) < 0.6 * abs(np.mean(iwae_errors)) + 2 * noise


def test_iwae_bias_is_estimated_to_leading_order():
    w = np.random.default_rng(0).gamma(2.0, 0.5, size=(100, 20_000))  # mean 1, variance 1/2
    estimate = grouped_estimate(tf.math.log(tf.constant(w)), seed=0)
    assert estimate.iwae_bias == pytest.approx(-1 / 400, rel=0.05)


def test_gaussian_log_weights_need_no_groups_and_the_choice_names_what_it_tried():
    weights = tf.constant(np.random.default_rng(0).normal(0, 1.2, size=(100, 3000)))
    estimate = grouped_estimate(weights, seed=0)
    assert estimate.group_size == 1
    assert list(estimate.shifts) == [1]
    assert abs(estimate.shifts[1]) <= -estimate.iwae_bias / 2
    errors = estimate.log_p.numpy() - 0.72
    assert abs(errors.mean()) < 5 * errors.std() / np.sqrt(3000) + 0.01


def test_biased_small_groups_are_passed_over():
    weights, _ = chi_square_weights(-1.5, 500, batch=400)
    squeezed = -(tf.abs(weights) ** 1.5)  # left tail that no Gamma has
    estimate = grouped_estimate(squeezed, seed=0)
    assert estimate.group_size > 1
    too_far = [abs(shift) > -estimate.iwae_bias / 2 for shift in estimate.shifts.values()]
    assert all(too_far[:-1])


@pytest.mark.parametrize("group_size", [1, 5])
def test_standard_error_is_the_scatter_of_repeated_estimates(group_size):
    weights, _ = chi_square_weights(-0.8, 200, batch=4000)  # the batch repeats one data point
    kappa = regrouped_cumulants(weights, group_size, num_regroupings=1)
    scatter = np.std(gamma_closure(kappa).numpy())
    error = grouped_standard_error(weights, group_size).numpy()
    assert np.mean(error**2) ** 0.5 == pytest.approx(scatter, rel=0.08)
    regrouped = gamma_closure(regrouped_cumulants(weights, group_size, seed=0)).numpy()
    assert np.std(regrouped) <= scatter * 1.0001


def test_cumulants_shrink_by_the_share_of_their_spread_that_is_noise():
    num, kappa_2 = 9, np.array([1.0, 3.0, 8.0])
    kappa = np.stack([np.zeros(3), kappa_2, [-0.3, 0.0, 0.6], [0.2, -1.0, 2.0]])
    theta = 0.1 / (2 * 4)
    factor = -(np.log1p(-theta) + theta) / theta**2
    noise = np.mean((2 * num * kappa_2**2 + (num - 1) * kappa[3]) / (num * (num + 1)))
    share = (0.1 / num + factor * noise) / (factor * np.var(kappa_2))
    assert 0.4 < share < 1
    first, second, third = shrunken_cumulants(kappa, num).numpy()
    np.testing.assert_allclose(second, 4 + (1 - share) * (kappa_2 - 4), rtol=1e-9)
    np.testing.assert_array_equal([first, third], kappa[[0, 2]])
    gap = np.array([0.0, np.nan, 0.0])  # of one example stays its own
    assert np.isfinite(shrunken_cumulants(kappa + gap, num).numpy()[:, [0, 2]]).all()
    alone = shrunken_cumulants(kappa[:, :1], num).numpy()
    np.testing.assert_array_equal(alone, kappa[:3, :1])


def test_sampling_variances_that_steer_the_shrinking_are_those_of_many_samples():
    draws = np.random.default_rng(0).gamma(2.0, size=(20, 40_000))
    kappa = sample_cumulants(draws, 4).numpy()
    exact = 2 * np.array([1, 1, 2, 6])  # cumulants of the Gamma
    covariance = np.cov(kappa[0], kappa[1])[0, 1]
    assert covariance == pytest.approx(exact[2] / 20, rel=0.05)
    variance = np.mean((40 * kappa[1] ** 2 + 19 * kappa[3]) / (20 * 21))
    assert variance == pytest.approx(np.var(kappa[1]), rel=0.05)


@pytest.mark.parametrize("num_samples", [10, 20, 50])
@pytest.mark.parametrize("spread", [0.0, 0.5])
def test_shrinking_keeps_the_mean_and_lowers_the_error_of_each_example(spread, num_samples):
    rng = np.random.default_rng(1)
    scale = np.exp(spread * rng.normal(size=2000))
    weights = tf.constant(scale * rng.normal(size=(num_samples, 2000)) - scale**2 / 2)
    estimate = grouped_estimate(weights, seed=0)
    kappa = regrouped_cumulants(weights, estimate.group_size, seed=0)
    plain, log_p = gamma_closure(kappa).numpy(), estimate.log_p.numpy()  # ln p = 0
    assert log_p.mean() == pytest.approx(plain.mean(), abs=1e-9)
    root = {name: np.sqrt(np.mean(e**2)) for name, e in (("plain", plain), ("shrunk", log_p))}
    assert root["shrunk"] < root["plain"] * (0.85 if spread == 0 else 0.99)


@pytest.mark.parametrize("num_samples", [10, 20, 50])
def test_with_heavy_right_tails_the_error_of_an_example_is_the_least(num_samples):
    z = np.random.default_rng(2).normal(size=(2, num_samples, 2000))
    weights = (stats.t(3).logpdf(z) - stats.norm.logpdf(z)).sum(0)  # ln p = 0
    errors = [f(weights).numpy() for f in (iwae, jackknife)]
    errors.append(grouped_estimate(weights, seed=0).log_p.numpy())
    root = [np.sqrt(np.mean(e**2)) for e in errors]
    assert root[2] < 0.8 * min(root[:2])


def test_same_seed_same_estimate():
    weights = tf.constant(np.random.default_rng(0).normal(0, 2, size=(50, 20)))
    first, second = (grouped_estimate(weights, seed=3).log_p for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_equal_weights_have_no_spread_and_no_correction():
    estimate = grouped_estimate(tf.fill((20, 3), -4.0), seed=0)
    np.testing.assert_allclose(estimate.log_p, [-4.0] * 3)


def test_wrong_input_is_refused():
    weights = tf.zeros((12, 3))
    with pytest.raises(ValueError, match="multiple of 10; got 12"):
        grouped_estimate(weights)
    with pytest.raises(ValueError, match="orders 1 to 4"):
        shrunken_cumulants(weights[:3], 10)
    with pytest.raises(ValueError, match="12 samples make 2 of 6"):
        regrouped_cumulants(weights, 6)
    with pytest.raises(ValueError, match="do not divide into groups of 5"):
        regrouped_cumulants(weights, 5)
    with pytest.raises(ValueError, match="num_regroupings must be an integer of 1 or more"):
        regrouped_cumulants(weights, 3, num_regroupings=0)
    with pytest.raises(ValueError, match="orders 1 to 3"):
        gamma_closure(tf.zeros((2, 3)))
    with pytest.raises(ValueError, match="limit must be below 1"):
        gamma_closure(tf.zeros((3, 3)), limit=1.0)
