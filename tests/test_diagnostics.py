import numpy as np
import pytest

from rbm_tf.diagnostics import (
    effective_sample_size,
    judge_weights,
    pareto_k,
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
