import numpy as np
import pytest

from rbm_tf.annealing import ais, reverse_ais
from rbm_tf.enumeration import log_z
from rbm_tf.rbm import BernoulliRBM


def exact_samples(rbm, all_states, num, seed=0):
    states = all_states(rbm.num_visible)
    p = np.exp(-rbm.free_energy(states).numpy() - log_z(rbm))
    return states[np.random.default_rng(seed).choice(len(states), num, p=p / p.sum())]


@pytest.mark.parametrize("num_temperatures", [3, 10])
def test_mean_weight_equals_z_with_few_temperatures(random_rbm, num_temperatures):
    rbm = random_rbm(6, 4)
    betas = np.linspace(0, 1, num_temperatures)
    estimate = ais(rbm, num_chains=50_000, betas=betas, seed=0)
    relative = np.exp(estimate.log_weights - log_z(rbm))
    standard_error = relative.std(ddof=1) / np.sqrt(len(relative))
    assert abs(relative.mean() - 1) < 5 * standard_error
    assert standard_error < 0.05


def test_mean_inverse_weight_of_the_reverse_walk_equals_one_over_z(random_rbm, all_states):
    rbm = random_rbm(6, 4)
    samples = exact_samples(rbm, all_states, 50_000)
    estimate = reverse_ais(rbm, samples, betas=np.linspace(0, 1, 10), seed=0)
    relative = np.exp(log_z(rbm) - estimate.log_weights)
    standard_error = relative.std(ddof=1) / np.sqrt(len(relative))
    assert abs(relative.mean() - 1) < 5 * standard_error
    assert standard_error < 0.05


def test_forward_is_below_and_reverse_above_exact_on_average(random_rbm, all_states):
    rbm = random_rbm(6, 4, scale=1.5)
    betas, num = np.linspace(0, 1, 6), 20_000
    forward = ais(rbm, num, betas, seed=0).log_weights
    reverse = reverse_ais(rbm, exact_samples(rbm, all_states, num), betas, seed=0).log_weights
    exact = log_z(rbm)
    assert forward.mean() + 5 * forward.std() / np.sqrt(num) < exact
    assert reverse.mean() - 5 * reverse.std() / np.sqrt(num) > exact


def test_95_percent_interval_covers_the_exact_value(random_rbm):
    rng, covered = np.random.default_rng(0), 0
    rbm = random_rbm(6, 4)
    for seed in range(200):
        rbm.kernel.assign(rng.normal(size=(6, 4)))
        rbm.visible_bias.assign(rng.normal(size=6))
        rbm.hidden_bias.assign(rng.normal(size=4))
        estimate = ais(rbm, num_chains=100, betas=np.linspace(0, 1, 30), seed=seed)
        covered += abs(estimate.log_z - log_z(rbm)) < 1.96 * estimate.standard_error
    assert 0.87 <= covered / 200 <= 1


def test_estimate_does_not_depend_on_the_base(random_rbm):
    rbm = random_rbm(6, 4)
    bases = ["data", "uniform", "mean_field", np.linspace(0, 1, 6)]  # 0 and 1 are clipped
    for base in bases:
        estimate = ais(rbm, 1000, np.linspace(0, 1, 100), seed=0, base=base)
        assert abs(estimate.log_z - log_z(rbm)) < 5 * estimate.standard_error
        assert estimate.standard_error < 0.05


def test_one_step_from_the_models_own_base_is_exact():
    rbm = BernoulliRBM(5, 3, dtype="float64")  # no coupling: the base is the model
    rbm.kernel.assign(np.zeros((5, 3)))
    bias = np.array([-1.0, 0.0, 1.0, 2.0, -2.0])
    rbm.visible_bias.assign(bias)
    estimate = ais(rbm, 10, betas=[0, 1], seed=0, base=1 / (1 + np.exp(-bias)))
    np.testing.assert_allclose(estimate.log_weights, log_z(rbm), rtol=1e-12)


def test_adding_800_to_log_z_does_not_overflow(random_rbm):
    rbm = random_rbm(6, 4, scale=0.5)
    rbm.hidden_bias.assign_add([800.0, 0, 0, 0])
    estimate = ais(rbm, 500, np.linspace(0, 1, 200), seed=0)
    assert abs(estimate.log_z - log_z(rbm)) < 5 * estimate.standard_error + 1e-9
    assert log_z(rbm) > 800


def test_same_seed_gives_the_same_estimate(random_rbm):
    rbm = random_rbm(6, 4)
    first, again, other = (ais(rbm, 20, seed=seed).log_weights for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


@pytest.mark.parametrize("betas", [[0.0], [0.1, 1.0], [0.0, 0.9], [0.0, 0.5, 0.5, 1.0]])
def test_wrong_paths_are_refused(random_rbm, betas):
    with pytest.raises(ValueError, match="betas must"):
        ais(random_rbm(3, 2), betas=betas)


def test_wrong_shapes_are_refused(random_rbm):
    rbm = random_rbm(3, 2)
    with pytest.raises(ValueError, match="base must hold 3 means"):
        ais(rbm, base=[0.5, 0.5])
    with pytest.raises(ValueError, match="data, uniform, mean_field"):
        ais(rbm, base="deep")
    with pytest.raises(ValueError, match="samples"):
        reverse_ais(rbm, np.zeros((5, 4)))
    with pytest.raises(ValueError, match="num_chains"):
        ais(rbm, num_chains=0)
