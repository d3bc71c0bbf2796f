import numpy as np
import pytest

from rbm_tf.diagnostics import (
    effective_sample_size,
    pareto_k,
    series_verdict,
    tail_verdict,
    weights_verdict,
)


def test_effective_sample_size_counts_equal_weights_and_ignores_scale():
    log_weights = np.log([[1.0, 1.0], [1.0, 1e-300], [1.0, 1e-300]]) - 2000
    np.testing.assert_allclose(effective_sample_size(log_weights), [3.0, 1.0])


@pytest.mark.parametrize("shape", [0.2, 0.5, 0.9])
def test_pareto_k_is_the_shape_of_a_pareto_tail(shape):
    num = 100_000
    weights = 1 + np.random.default_rng(0).pareto(1 / shape, size=(num, 2))
    tail = 3 * np.sqrt(num)  # what the estimator fits
    error = np.abs(pareto_k(np.log(weights)) - shape)
    assert np.all(error < 5 * (1 + shape) / np.sqrt(tail))  # the s.e. of a tail-index fit


@pytest.mark.parametrize("shape", [0.2, 0.7, 1.0, 2.0])
@pytest.mark.parametrize("shift", [-1e6, 0.0, 700.0])
def test_pareto_k_is_that_of_exact_pareto_weights_at_any_scale(shape, shift):
    num = 100_000
    log_weights = shift + shape * np.random.default_rng(1).exponential(size=num)
    error = 5 * (1 + shape) / np.sqrt(3 * np.sqrt(num))
    assert abs(pareto_k(log_weights) - shape) < error


DEVIATIONS = np.array([1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 1e4])


@pytest.mark.parametrize("num", [30, 100, 1000, 10_000, 100_000])
def test_pareto_k_grows_with_the_deviation_of_normal_log_weights(num):
    k = pareto_k(DEVIATIONS * np.random.default_rng(0).normal(size=(num, 1)))
    assert k[0] < 0.7
    assert np.all(k[2:] > 0.7)
    assert np.all(k[1:] >= k[:-1])
    assert np.all(k[-2:] > 60)


@pytest.mark.parametrize("num", [100, 1000, 10_000])
def test_pareto_k_of_cauchy_log_weights_is_large(num):
    log_weights = np.random.default_rng(0).standard_cauchy(size=(num, 20))
    assert np.all(pareto_k(log_weights) > 0.7)
    assert not weights_verdict(log_weights).trusted.any()
    assert not series_verdict(log_weights).trusted


def test_weights_that_are_no_numbers_have_no_pareto_k_and_are_not_trusted():
    log_weights = np.random.default_rng(0).normal(size=(1000, 4))
    log_weights[7, :2] = np.nan, np.inf
    log_weights[:, 2] = -np.inf
    for value in (pareto_k(log_weights), effective_sample_size(log_weights)):
        np.testing.assert_array_equal(np.isnan(value[[0, 1, 3]]), [True, True, False])
    assert np.isnan(pareto_k(log_weights)[2])
    assert effective_sample_size(log_weights)[2] == 0
    np.testing.assert_array_equal(weights_verdict(log_weights).trusted, [False] * 3 + [True])
    assert not series_verdict(log_weights[:, :1]).trusted


def test_zero_weights_are_the_smallest_ones():
    log_weights = np.random.default_rng(0).normal(size=1000)
    smallest = np.where(log_weights < np.median(log_weights), -np.inf, log_weights)
    assert pareto_k(smallest) == pareto_k(log_weights)
    alone = np.where(log_weights < log_weights.max(), -np.inf, log_weights)
    assert pareto_k(alone) == np.inf
    assert effective_sample_size(alone) == 1


def test_tail_of_few_different_weights_is_fitted_above_its_ties_or_not_at_all():
    w = np.zeros(10_000)
    w[:100] = np.log(2)  # of a tail of 300
    assert pareto_k(w) == 0
    w[:100] = np.linspace(1, 2, 100)
    assert pareto_k(w) < 0.5
    w[0] = 300  # one weight has all the mass
    assert pareto_k(w) > 0.7
    w[1:100] = 0
    assert pareto_k(w) == np.inf
    rounded = np.float32(1e-5 * np.random.default_rng(0).normal(size=10_000) - 500)
    assert pareto_k(rounded) == 0  # equal but for rounding


def test_too_few_samples_are_refused():
    with pytest.raises(ValueError, match="25 samples"):
        pareto_k(np.zeros(10))


def test_verdict_finds_the_heavy_tails_among_the_light():
    rng = np.random.default_rng(0)
    shapes = np.array([0.2, 1.2, 0.2, 1.5])
    log_weights = np.log1p(rng.pareto(1 / shapes, size=(10_000, 4)))
    verdict = weights_verdict(log_weights)
    np.testing.assert_array_equal(verdict.trusted, shapes < 0.7)
    assert verdict.signs["share"] == 0.5
    assert "Do not trust 2 of 4 averages (50%): k-hat above 0.70" in verdict.message
    np.testing.assert_array_equal(verdict.signs["pareto_k"], pareto_k(log_weights))
    assert weights_verdict(log_weights[:, ::2]).message.startswith("Trust")


def test_verdict_asks_for_ten_effective_samples_and_a_limit_that_grows_with_their_number():
    verdict = tail_verdict([0.1, 0.1, np.nan], [9.0, 11.0, 50.0], num_samples=10**6)
    np.testing.assert_array_equal(verdict.trusted, [False, True, False])
    assert "fewer than 10 effective samples (1)" in verdict.message
    assert [bool(tail_verdict(0.6, 50.0, n).trusted[0]) for n in (100, 1000)] == [False, True]
    assert not tail_verdict(0.71, 50.0, 10**9).trusted[0]


def test_equal_weights_are_trusted():
    assert weights_verdict(np.full((100, 2), -80.0)).trusted.all()
    noise = 1e-5 * np.random.default_rng(0).normal(size=(100, 2))
    assert weights_verdict(noise - 80).trusted.all()


def chi_square_weights(a, num_samples=20_000, batch=4):
    """ln w = (a/2) z^2: kappa_n = (n - 1)! a^n / 2, and the weights' Pareto shape is a."""
    return a / 2 * np.random.default_rng(0).normal(size=(num_samples, batch)) ** 2


def test_series_verdict_gives_the_signs_of_a_chi_square_variable():
    a = -0.5
    verdict = series_verdict(chi_square_weights(a))
    assert verdict.signs["second_term"] == pytest.approx(a**2 / 4, rel=0.05)
    assert verdict.signs["next_term"] == pytest.approx(a**3 / 6, rel=0.1)
    assert verdict.signs["skewness"] == pytest.approx(-(8**0.5), rel=0.05)
    assert verdict.signs["excess_kurtosis"] == pytest.approx(12, rel=0.2)
    assert verdict.signs["pareto_k"] < 0.1
    assert not verdict.trusted  # the next term is a third of the second
    assert "the next term is not small: second term +0.06" in verdict.message


@pytest.mark.parametrize(("a", "trusted"), [(-0.3, True), (0.3, True), (-3.0, False), (0.9, False)])
def test_series_verdict_trusts_small_next_terms_and_light_tails(a, trusted):
    verdict = series_verdict(chi_square_weights(a))
    assert verdict.trusted is trusted
    assert verdict.message.startswith("Trust" if trusted else "Do not trust")
    assert ("heavy tail" in verdict.message) is (a > 0.7)


def test_series_of_equal_weights_is_trusted():
    verdict = series_verdict(np.full((100, 2), -80.0))
    assert verdict.trusted
    assert verdict.signs["second_term"] == verdict.signs["skewness"] == 0
