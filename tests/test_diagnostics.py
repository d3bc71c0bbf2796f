import numpy as np
import pytest

from rbm_tf.diagnostics import (
    effective_sample_size,
    judge_weights,
    pareto_k,
    series_verdict,
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


def test_too_few_samples_are_refused():
    with pytest.raises(ValueError, match="25 samples"):
        pareto_k(np.zeros(10))


def test_verdict_finds_the_heavy_tails_among_the_light():
    rng = np.random.default_rng(0)
    shapes = np.array([0.2, 1.2, 0.2, 1.5])
    log_weights = np.log1p(rng.pareto(1 / shapes, size=(10_000, 4)))
    verdict = weights_verdict(log_weights)
    np.testing.assert_array_equal(verdict.trusted, shapes < 0.7)
    assert verdict.share == 0.5
    assert "Do not trust 2 of 4 averages (50%): k-hat above 0.70" in verdict.message
    np.testing.assert_array_equal(verdict.pareto_k, pareto_k(log_weights))
    assert weights_verdict(log_weights[:, ::2]).message.startswith("Trust")


def test_verdict_asks_for_ten_effective_samples_and_a_limit_that_grows_with_their_number():
    verdict = judge_weights([0.1, 0.1, np.nan], [9.0, 11.0, 50.0], num_samples=10**6)
    np.testing.assert_array_equal(verdict.trusted, [False, True, False])
    assert "fewer than 10 effective samples (1)" in verdict.message
    assert [bool(judge_weights(0.6, 50.0, n).trusted[0]) for n in (100, 1000)] == [False, True]
    assert not judge_weights(0.71, 50.0, 10**9).trusted[0]


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
    assert verdict.second_term == pytest.approx(a**2 / 4, rel=0.05)
    assert verdict.next_term == pytest.approx(a**3 / 6, rel=0.1)
    assert verdict.skewness == pytest.approx(-(8**0.5), rel=0.05)
    assert verdict.excess_kurtosis == pytest.approx(12, rel=0.2)
    assert verdict.pareto_k < 0.1
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
    assert verdict.second_term == verdict.skewness == 0
