import numpy as np
import pytest

from rbm_tf.enumeration import log_z
from rbm_tf.estimates import estimate_log_z
from rbm_tf.reweighting import importance_sampling, monte_carlo


@pytest.mark.parametrize("visible_mean", [np.full(6, 0.5), np.linspace(0.3, 0.7, 6)])
def test_importance_sampling_equals_exact_within_its_error(random_rbm, visible_mean):
    rbm = random_rbm(6, 4)
    estimate = importance_sampling(
        rbm, visible_mean, num_samples=25_000, seed=0
    )  # more than one block
    assert len(estimate.log_weights) == 25_000
    assert abs(estimate.log_z - log_z(rbm)) < 5 * estimate.standard_error
    assert estimate.standard_error < 0.05


def test_plain_monte_carlo_loses_its_effective_samples_as_the_model_grows(random_rbm):
    sizes = [
        monte_carlo(random_rbm(n, n, scale=0.5), num_samples=2000, seed=0).effective_sample_size
        for n in (2, 8, 32)
    ]
    assert sizes[0] > 4 * sizes[1]
    assert sizes[1] > 20 * sizes[2]


def test_standard_error_and_effective_sample_size_of_two_weights():
    weights = np.array([1.0, 3.0])
    for reverse in (False, True):
        w = 1 / weights if reverse else weights
        estimate = estimate_log_z(np.log(weights), reverse=reverse)
        assert estimate.log_z == pytest.approx((-1 if reverse else 1) * np.log(w.mean()))
        assert estimate.standard_error == pytest.approx(w.std(ddof=1) / np.sqrt(2) / w.mean())
        ess = w.sum() ** 2 / (w**2).sum()
        assert estimate.effective_sample_size == pytest.approx(ess, rel=1e-12)


def test_log_weights_of_any_size_stay_finite():
    assert estimate_log_z([-2000.0, -2001.0]).log_z == pytest.approx(-2000.3798854930417)
    assert np.isnan(estimate_log_z([3.0]).standard_error)


def test_a_proposal_that_misses_states_is_refused(random_rbm):
    rbm = random_rbm(3, 2)
    for mean in ([0.0, 0.5, 0.5], [0.5, 0.5], [0.5, 0.5, 1.0]):
        with pytest.raises(ValueError, match="strictly inside the support"):
            importance_sampling(rbm, mean)
    with pytest.raises(ValueError, match="num_samples"):
        monte_carlo(rbm, num_samples=0)
