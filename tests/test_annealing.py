from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from rbm_tf.annealing import ais, choose_betas, log_z_ratio, reverse_ais
from rbm_tf.enumeration import log_z
from rbm_tf.estimates import LogZEstimate, verdict
from rbm_tf.machine import Machine
from rbm_tf.mean_field import tap
from rbm_tf.rbm import BernoulliRBM


def exact_samples(rbm, all_states, num, seed=0):
    states = all_states(rbm.num_visible)
    p = np.exp(-rbm.free_energy(states).numpy() - log_z(rbm))
    return states[np.random.default_rng(seed).choice(len(states), num, p=p / p.sum())]


@pytest.mark.long
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
    forward = ais(rbm, num_chains=num, betas=betas, seed=0).log_weights
    reverse = reverse_ais(rbm, exact_samples(rbm, all_states, num), betas=betas, seed=0).log_weights
    exact = log_z(rbm)
    assert forward.mean() + 5 * forward.std() / np.sqrt(num) < exact
    assert reverse.mean() - 5 * reverse.std() / np.sqrt(num) > exact


@pytest.mark.long
def test_95_percent_interval_covers_the_exact_value():
    rng, covered = np.random.default_rng(0), 0
    for seed in range(200):
        parts = (tf.constant(rng.normal(size=shape)) for shape in ((6, 4), 6, 4))
        rbm = Machine(*parts)
        betas = np.linspace(0, 1, 30)
        estimate = ais(rbm, num_chains=100, betas=betas, base="uniform", seed=seed)
        covered += abs(estimate.log_z - log_z(rbm)) < 1.96 * estimate.standard_error
    assert 0.87 <= covered / 200 <= 1


def test_estimate_does_not_depend_on_the_base(random_rbm):
    rbm = random_rbm(6, 4)
    bases = ["data", "uniform", "mean_field", np.linspace(0, 1, 6)]  # 0 and 1 are clipped
    for base in bases:
        estimate = ais(rbm, num_chains=1000, betas=np.linspace(0, 1, 100), seed=0, base=base)
        assert abs(estimate.log_z - log_z(rbm)) < 5 * estimate.standard_error
        assert estimate.standard_error < 0.05


def test_one_step_from_the_models_own_base_is_exact():
    bias = np.array([-1.0, 0.0, 1.0, 2.0, -2.0])
    parameters = np.zeros((5, 3)), bias, np.zeros(3)  # no coupling: the base is the model
    rbm = BernoulliRBM.from_parameters(*parameters, dtype="float64")
    estimate = ais(rbm, num_chains=10, betas=[0, 1], seed=0, base=1 / (1 + np.exp(-bias)))
    np.testing.assert_allclose(estimate.log_weights, log_z(rbm), rtol=1e-12)


def test_adding_800_to_log_z_does_not_overflow(random_rbm):
    rbm = random_rbm(6, 4, scale=0.5)
    rbm.hidden_bias.assign_add([800.0, 0, 0, 0])
    estimate = ais(rbm, num_chains=500, betas=np.linspace(0, 1, 200), seed=0)
    assert abs(estimate.log_z - log_z(rbm)) < 5 * estimate.standard_error + 1e-9
    assert log_z(rbm) > 800


def test_ratio_of_two_models_equals_the_difference_of_their_exact_log_z(random_rbm, all_states):
    rbm, other = random_rbm(6, 4), random_rbm(6, 3, seed=1)
    samples = exact_samples(rbm, all_states, 20_000)
    estimate = log_z_ratio(rbm, samples, other, betas=np.linspace(0, 1, 10), seed=0)
    assert abs(estimate.log_z - log_z(other) + log_z(rbm)) < 5 * estimate.standard_error
    assert estimate.standard_error < 0.05


def test_ratio_of_nearby_models_beats_two_separate_estimates(random_rbm, all_states):
    rbm, other = random_rbm(6, 4), random_rbm(6, 4)
    other.kernel.assign_add(0.05 * np.ones((6, 4)))
    betas, samples = np.linspace(0, 1, 10), exact_samples(rbm, all_states, 500)
    together = log_z_ratio(rbm, samples, other, betas=betas, seed=0).standard_error
    assert together < ais(rbm, num_chains=500, betas=betas, seed=0).standard_error / 5


def test_verdict_trusts_agreement_of_several_starts_and_names_what_is_wrong(random_rbm, all_states):
    rbm = random_rbm(6, 4, scale=1.5)
    samples = exact_samples(rbm, all_states, 200)
    long, short = np.linspace(0, 1, 500), np.array([0.0, 1.0])
    walks = (
        ais(rbm, num_chains=200, betas=long, seed=0),
        reverse_ais(rbm, samples, betas=long, seed=0),
    )
    other = ais(rbm, num_chains=200, betas=long, seed=1, base="uniform")
    good = verdict(*walks, other)
    assert good.trusted
    assert "agree" in good.message
    assert good.signs["gap"] == walks[1].log_z - walks[0].log_z
    alone = verdict(*walks)
    assert not alone.trusted
    assert "Add an estimate from another base" in alone.message
    bad = verdict(
        ais(rbm, num_chains=200, betas=short, seed=0),
        reverse_ais(rbm, samples, betas=short, seed=0),
        other,
    )
    assert not bad.trusted
    assert "Do not trust" in bad.message
    assert not verdict(*walks, replace(other, log_z=other.log_z + 1.5)).trusted
    for wrong in (replace(other, log_z=np.nan), replace(other, standard_error=np.nan)):
        assert not verdict(*walks, wrong).trusted
    for without_error in (tap(rbm), LogZEstimate(np.zeros(3), np.ones(3))):
        with pytest.raises(ValueError, match="one ln Z that have standard errors"):
            verdict(*walks, without_error)


@pytest.mark.long
def test_second_base_exposes_two_walks_that_miss_the_same_mode():
    # ln Z is 80 at v = 1 .. 1 and 2 at v = 0 .. 0, where the chains and the base are
    parameters = np.ones((20, 40)), np.full(20, -30.0), np.full(40, -3.0)
    rbm = BernoulliRBM.from_parameters(*parameters)
    rbm.visible_offset.assign(np.full(20, 0.01))  # the base
    betas, samples = np.linspace(0, 1, 1001), rbm.sample(100, 1000, seed=0)
    walks = (
        ais(rbm, num_chains=100, betas=betas, seed=0),
        reverse_ais(rbm, samples, betas=betas, seed=1),
    )
    for walk in walks:
        assert walk.log_z < log_z(rbm) - 70
        assert walk.standard_error < 0.01
    judged = verdict(*walks)
    assert not judged.trusted
    assert "No proof" in judged.message
    for base in ("uniform", "mean_field"):
        judged = verdict(*walks, ais(rbm, num_chains=100, betas=betas, seed=2, base=base))
        assert not judged.trusted
        assert "an estimate from elsewhere differs by 7" in judged.message


@pytest.mark.long
def test_chosen_path_has_steps_of_equal_length_and_a_smaller_error(random_rbm):
    rbm = random_rbm(8, 6, scale=2.0)
    betas = choose_betas(rbm, num_betas=30, num_chains=200, seed=0)
    assert betas[0] == 0
    assert betas[-1] == 1
    assert np.all(np.diff(betas) > 0)
    errors = [
        np.mean(
            [
                (ais(rbm, num_chains=200, betas=path, seed=s).log_z - log_z(rbm)) ** 2
                for s in range(20)
            ]
        )
        for path in (betas, np.linspace(0, 1, 30))
    ]
    assert errors[0] < errors[1]


def test_relabelled_units_and_flipped_pixels_leave_the_estimate_within_its_error(random_rbm):
    rbm, rng = random_rbm(6, 4), np.random.default_rng(0)
    w, a, b = (x.numpy() for x in (rbm.kernel, rbm.visible_bias, rbm.hidden_bias))
    v_order, h_order = rng.permutation(6), rng.permutation(4)
    relabelled = w[v_order][:, h_order], a[v_order], b[h_order]
    flipped = -w, -a, b + w.sum(0)  # v -> 1 - v: E changes by the constant -a.1
    for parameters, constant in ((relabelled, 0.0), (flipped, a.sum())):
        model = BernoulliRBM.from_parameters(*parameters, dtype="float64")
        assert log_z(model) + constant == pytest.approx(log_z(rbm), abs=1e-10)
        estimate = ais(model, num_chains=1000, betas=np.linspace(0, 1, 50), seed=0)
        assert abs(estimate.log_z + constant - log_z(rbm)) < 5 * estimate.standard_error


def test_same_seed_gives_the_same_estimate(random_rbm):
    rbm = random_rbm(6, 4)
    first, again, other = (ais(rbm, num_chains=20, seed=seed).log_weights for seed in (1, 1, 2))
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
    with pytest.raises(ValueError, match="base must hold finite means; 1 of 3"):
        ais(rbm, base=[0.5, np.nan, 0.5])
    with pytest.raises(ValueError, match="data, uniform, mean_field"):
        ais(rbm, base="deep")
    with pytest.raises(ValueError, match="samples must have shape"):
        reverse_ais(rbm, np.zeros((5, 4)))
    for values, message in (
        (255.0, "divide 8-bit images"),
        (np.nan, "without NaN"),
        (0.5, "0 and 1"),
    ):
        with pytest.raises(ValueError, match=message):
            reverse_ais(rbm, np.full((5, 3), values))
    with pytest.raises(ValueError, match="num_chains"):
        ais(rbm, num_chains=0)
    with pytest.raises(ValueError, match="same visible units; got Binary\\(3\\) and Binary\\(4"):
        log_z_ratio(rbm, np.zeros((5, 3)), random_rbm(4, 2))
    with pytest.raises(ValueError, match="num_betas"):
        choose_betas(rbm, num_betas=1)
