import numpy as np
import pytest
from scipy.special import digamma

from vae_keras.evidence.unbiased import sumo, sumo_lengths


def test_lengths_have_their_distribution():
    lengths, num = sumo_lengths(200_000, seed=0), 200_000
    for k, survival in ((2, 1 / 2), (7, 1 / 7), (80, 1 / 80), (90, 0.9**10 / 80)):
        error = np.sqrt(survival * (1 - survival) / num)
        assert abs(np.mean(lengths >= k) - survival) < 5 * error


def test_average_over_all_lengths_is_iwae_of_all_weights():
    w = np.random.default_rng(0).normal(size=(100, 2))
    survival = np.array([1 / k if k < 80 else 0.9 ** (k - 80) / 80 for k in range(1, 100)])
    shares = survival - np.append(survival[1:], 0)  # the last takes all longer ones
    each = np.array([sumo(w, [k, k]) for k in range(1, 100)])
    np.testing.assert_allclose(shares @ each, np.logaddexp.reduce(w, 0) - np.log(100), rtol=1e-9)


def test_sumo_is_unbiased_where_iwae_is_not():
    num = 20_000
    lengths = sumo_lengths(num, seed=1)
    w = np.random.default_rng(0).gamma(2.0, 0.5, size=(lengths.max() + 1, num))  # <w> = 1
    estimates = sumo(np.log(w), lengths)
    error = estimates.std() / np.sqrt(num)
    assert abs(estimates.mean()) < 5 * error
    assert digamma(2) - np.log(2) < -5 * error  # its first term, the ELBO


def test_too_few_samples_are_refused():
    with pytest.raises(ValueError, match="needs 4 samples; got 3"):
        sumo(np.zeros((3, 2)), [1, 3])


@pytest.mark.parametrize("lengths", [[0, 1], [-1, 1], [1.5, 1], [np.nan, 1]])
def test_lengths_that_no_draw_has_are_refused(lengths):
    with pytest.raises(ValueError, match="lengths must be integers of 1 or more"):
        sumo(np.zeros((3, 2)), lengths)
    np.testing.assert_allclose(sumo(np.zeros((3, 2)), [1.0, 2.0]), 0, atol=1e-12)
