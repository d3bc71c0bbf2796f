import numpy as np
import pymbar.other_estimators
import pytest

from rbm_tf.annealing import ais, reverse_ais
from rbm_tf.enumeration import log_z
from rbm_tf.estimates import bennett, estimate_log_z


def exact_samples(rbm, all_states, num, seed=0):
    states = all_states(rbm.num_visible)
    p = np.exp(-rbm.free_energy(states).numpy() - log_z(rbm))
    return states[np.random.default_rng(seed).choice(len(states), num, p=p / p.sum())]


def walks(rbm, all_states, num_betas, num_up, num_down=None, seed=0):
    """Estimates of forward and reverse walks along the same path."""
    betas = np.linspace(0, 1, num_betas)
    samples = exact_samples(rbm, all_states, num_down or num_up, seed)
    forward = ais(rbm, num_chains=num_up, betas=betas, seed=2 * seed, progress=False)
    return forward, reverse_ais(rbm, samples, betas=betas, seed=2 * seed + 1, progress=False)


@pytest.mark.slow
@pytest.mark.parametrize("num_betas", [2, 4])
def test_forward_weights_times_w_over_z_are_distributed_as_reverse_ones(  # B49
    random_rbm, all_states, num_betas
):
    rbm, num = random_rbm(6, 4, scale=1.5), 40_000
    up, down = (x.log_weights - log_z(rbm) for x in walks(rbm, all_states, num_betas, num))
    for low, high in [(-9, -1), (-1, -0.3), (-0.3, 0.3), (0.3, 1), (1, 9)]:
        inside = (low < up) & (up < high)
        tilted, direct = inside * np.exp(up), (low < down) & (down < high)
        error = np.sqrt((tilted.var() + direct.var()) / num)
        assert abs(tilted.mean() - direct.mean()) < 5 * error
        assert direct.mean() > 0.01 and error < 0.05


@pytest.mark.parametrize(("num_up", "num_down"), [(500, 500), (900, 100)])
def test_bennett_equals_that_of_pymbar(random_rbm, all_states, num_up, num_down):
    forward, reverse = walks(random_rbm(6, 4), all_states, 3, num_up, num_down)
    found = bennett(forward, reverse)
    peer = pymbar.other_estimators.bar(-forward.log_weights, reverse.log_weights)
    assert found.log_z == pytest.approx(-peer["Delta_f"], abs=1e-6)
    assert found.standard_error == pytest.approx(peer["dDelta_f"], rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(("num_up", "num_down"), [(400, 400), (600, 100)])
def test_standard_error_of_bennett_is_its_spread_about_the_exact_value(
    random_rbm, all_states, num_up, num_down
):
    rbm = random_rbm(6, 4, scale=1.5)
    found = [bennett(*walks(rbm, all_states, 3, num_up, num_down, seed)) for seed in range(40)]
    errors = np.array([x.log_z for x in found]) - log_z(rbm)
    claimed = np.sqrt(np.mean([x.standard_error**2 for x in found]))
    assert abs(errors.mean()) < 5 * claimed / np.sqrt(40)
    assert abs(errors.std(ddof=1) / claimed - 1) < 5 / np.sqrt(2 * 39)


def test_estimates_of_the_wrong_direction_are_refused(random_rbm, all_states):
    forward, reverse = walks(random_rbm(6, 4), all_states, 3, 50)
    with pytest.raises(ValueError, match=r"reverse must be .* as reverse_ais returns"):
        bennett(forward, forward)
    with pytest.raises(ValueError, match=r"forward must be .* as ais returns"):
        bennett(reverse, reverse)
    several = estimate_log_z(np.zeros((5, 2)))
    with pytest.raises(ValueError, match="of one ln Z"):
        bennett(several, reverse)


def test_walks_that_do_not_overlap_are_refused():
    up = estimate_log_z(np.linspace(-40, -39, 50))
    down = estimate_log_z(np.linspace(39, 40, 50), reverse=True)
    with pytest.raises(ValueError, match="take more betas"):
        bennett(up, down)
