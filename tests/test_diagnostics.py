import numpy as np
import pytest

from rbm_tf.diagnostics import effective_sample_size, pareto_k


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
