import logging
import sys
import types

import numpy as np
import pytest
import tensorflow as tf

from rbm_tf.enumeration import log_z
from rbm_tf.rbm import BernoulliRBM
from rbm_tf.tempered_path import tempered_path
from rbm_tf.tempering import Windows, advance, tempered_sample, tempered_windows
from rbm_tf.umbrella import bar, mbar, thermodynamic_integration

ESTIMATORS = [thermodynamic_integration, bar, mbar]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def window_probabilities(rbm, path, betas, states):
    """p_beta(v) and F_beta(v) of all states, written out with numpy, (num_betas, num_states)."""
    beta = np.asarray(betas)[:, None]
    a0, a = path.base_bias.numpy(), rbm.visible_bias.numpy()
    inputs = states @ rbm.kernel.numpy() + rbm.hidden_bias.numpy()
    free_energy = -(1 - beta) * (states @ a0) - beta * (states @ a)
    free_energy -= np.logaddexp(0, beta[:, :, None] * inputs).sum(-1)
    weight = np.exp(-free_energy)
    return weight / weight.sum(1, keepdims=True), free_energy


def two_modes(share=0.5, strength=12.0):
    """One hidden unit holds 8 visible ones together: v near 1 with probability share, or near 0."""
    kernel, visible_bias = np.full((8, 1), strength), np.full(8, -strength / 2)
    hidden_bias = np.array([-4 * strength + np.log(share / (1 - share))])
    return BernoulliRBM.from_parameters(kernel, visible_bias, hidden_bias, dtype="float64")


@pytest.mark.parametrize("swap", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_estimates_agree_with_the_exact_value(random_rbm, seed, swap):
    rbm = random_rbm(8, 5, scale=0.7, seed=seed)
    windows = tempered_windows(rbm, betas=np.linspace(0, 1, 12), num_steps=40, seed=seed, swap=swap)
    for estimator in ESTIMATORS:
        estimate = estimator(windows)
        assert abs(estimate.log_z - log_z(rbm)) < 5 * estimate.standard_error
        assert estimate.standard_error < 0.1


@pytest.mark.long
def test_standard_error_is_the_spread_over_seeds_although_sweeps_are_correlated(random_rbm):
    rbm, betas = random_rbm(8, 5, scale=4), np.linspace(0, 1, 5)
    runs = [
        tempered_windows(
            rbm, betas=betas, num_chains=10, num_steps=50, num_burn_in=50, seed=seed, swap=False
        )
        for seed in range(50)
    ]
    for estimator in ESTIMATORS:
        estimates = [estimator(windows) for windows in runs]
        values, errors = np.array([(e.log_z, e.standard_error) for e in estimates]).T
        assert 0.6 < np.sqrt(np.mean(errors**2)) / values.std(ddof=1) < 1.6


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_standard_error_equals_the_jackknife_over_ladders(random_rbm, estimator):
    windows = tempered_windows(
        random_rbm(8, 5), betas=np.linspace(0, 1, 6), num_chains=15, num_steps=50, seed=0
    )

    def without(ladder):
        return windows._replace(
            free_energies=np.delete(windows.free_energies, ladder, 2),
            derivatives=np.delete(windows.derivatives, ladder, 1),
        )

    left_out = np.array([estimator(without(ladder)).log_z for ladder in range(15)])
    jackknife = np.sqrt(14 / 15 * np.sum((left_out - left_out.mean()) ** 2))
    np.testing.assert_allclose(estimator(windows).standard_error, jackknife, rtol=0.05)


def test_trapezoid_bias_of_exact_averages_is_the_documented_one(random_rbm, all_states):
    rbm, states = random_rbm(6, 4), all_states(6)
    path = tempered_path(rbm)

    def average(betas):
        p, _ = window_probabilities(rbm, path, betas, states)
        up, down = (
            window_probabilities(rbm, path, betas + step, states)[1] for step in (1e-5, -1e-5)
        )
        return np.sum(p * (up - down) / 2e-5, 1)

    betas = np.linspace(0, 1, 21)
    two_ladders = np.repeat(average(betas)[:, None, None], 2, axis=1)
    energies, samples = np.zeros((21, 21, 2, 1)), np.zeros((2, 6))  # not used
    exact = Windows(betas, energies, two_ladders, float(path.base_log_z), samples)
    bias = thermodynamic_integration(exact).log_z - log_z(rbm)
    ends = np.array([0.0, 1.0])
    curvature = (average(ends + 1e-3) - average(ends - 1e-3)) / 2e-3
    np.testing.assert_allclose(bias, -np.diff(curvature)[0] * 0.05**2 / 12, rtol=0.02)


def test_recorded_energies_are_those_of_the_recorded_states(random_rbm, all_states):
    rbm, betas = random_rbm(6, 4), np.array([0, 0.3, 1])
    windows = tempered_windows(rbm, betas=betas, num_chains=50, num_steps=3, seed=0)
    path = tempered_path(rbm)
    _, free_energy = window_probabilities(rbm, path, betas, windows.samples)
    np.testing.assert_allclose(windows.free_energies[-1, :, :, -1], free_energy, rtol=1e-12)
    np.testing.assert_allclose(free_energy[-1], rbm.free_energy(windows.samples), rtol=1e-12)
    up, down = (
        window_probabilities(rbm, path, [1 + step], windows.samples)[1][0] for step in (1e-5, -1e-5)
    )
    np.testing.assert_allclose(windows.derivatives[-1, :, -1], (up - down) / 2e-5, rtol=1e-6)


def swept(path, betas, v, index=0):
    """The states after one sweep, and after the same sweep and its swaps, (k, chains, units)."""
    state = tf.constant(v), path.hidden_input(v)
    swept, swapped = (
        advance(path, tf.constant(betas), state, index, (0, 1), swap)[0] for swap in (False, True)
    )
    return swept.numpy(), swapped.numpy()


def test_swap_is_in_detailed_balance_with_both_windows(random_rbm, all_states):
    rbm, betas, num = random_rbm(3, 2, scale=2), np.array([0.3, 1]), 500_000
    path, states = tempered_path(rbm), all_states(3)
    p, free_energy = window_probabilities(rbm, path, betas, states)
    gain = free_energy[0] - free_energy[1]
    accept = np.exp(np.minimum(0, gain[:, None] - gain))  # of each pair of states
    flow = np.outer(p[0], p[1]) * accept
    np.testing.assert_allclose(flow, flow.T, atol=1e-15)
    before, after = swept(path, betas, np.random.default_rng(0).integers(2, size=(2, num, 3)) * 1.0)
    swapped = np.all(after == before[::-1], (0, 2))
    assert np.all(swapped | np.all(after == before, (0, 2)))
    pair = np.array([8, 1]) @ (before.astype(int) @ [1, 2, 4])
    count, accept = np.bincount(pair, minlength=64), accept.ravel()
    variance = accept * (1 - accept)
    tested = (count * variance > 25) | (accept == 1) & (count > 0)
    tested[::9] = False  # equal states
    frequency = np.bincount(pair, swapped, minlength=64)[tested] / count[tested]
    error = np.sqrt(variance[tested] / count[tested])
    assert np.all(np.abs(frequency - accept[tested]) <= 5 * error)
    assert np.sum((accept[tested] > 0.1) & (accept[tested] < 0.9)) > 5


def test_pairs_of_neighbours_alternate(random_rbm):
    rbm, rng = random_rbm(6, 4), np.random.default_rng(0)
    alike = np.full(5, 0.7)  # windows of one temperature accept every swap
    for index, partners in ((0, [1, 0, 3, 2, 4]), (1, [0, 2, 1, 4, 3])):
        start = rng.integers(2, size=(5, 20, 6)) * 1.0
        before, after = swept(tempered_path(rbm), alike, start, index)
        np.testing.assert_array_equal(after, before[partners])
        assert np.any(before != before[partners])


def test_swap_acceptance_equals_its_enumerated_average(random_rbm, all_states):
    rbm, betas = random_rbm(5, 4, scale=2), np.array([0, 0.5, 1])
    windows = tempered_windows(rbm, betas=betas, num_chains=200, num_steps=100, seed=0)
    p, f = window_probabilities(rbm, tempered_path(rbm), betas, all_states(5))
    for k in range(2):
        gain = f[k + 1] - f[k]  # of the state in k, and minus that of the state in k + 1
        exact = p[k] @ np.exp(np.minimum(0, gain[None, :] - gain[:, None])) @ p[k + 1]
        bound = 0.5 / np.sqrt(200)  # on the standard error of 200 ladders' numbers in [0, 1]
        assert abs(windows.swap_acceptance[k] - exact) < bound  # it is far smaller: 100 sweeps
        assert 0.1 < exact < 0.9


@pytest.mark.slow
def test_tempered_samples_find_both_modes_where_gibbs_sampling_stays_in_one():
    rbm, num, betas = two_modes(share=0.3), 500, np.linspace(0, 1, 10)
    stuck = rbm.sample(100, num_steps=1000, start=np.zeros((100, 8)), seed=0)
    assert np.mean(stuck) < 0.1
    assert rbm.sample(num, num_steps=1000, seed=0).numpy().mean(1).round().mean() > 0.4
    num_on = tempered_sample(rbm, num, betas=betas, num_steps=300, seed=0).numpy().sum(1)
    for share, exact in ((np.mean(num_on >= 7), 0.3), (np.mean(num_on <= 1), 0.7)):
        assert abs(share - exact) < 5 * np.sqrt(0.3 * 0.7 / num)


@pytest.mark.parametrize(("swap", "share"), [(True, 0.3), (False, 0.0)])
def test_it_is_the_swaps_that_move_ladders_between_modes(swap, share):
    path, betas, num = tempered_path(two_modes(share=0.3)), np.linspace(0, 1, 10), 500

    @tf.function
    def run(v):
        state = v, path.hidden_input(v)
        for index in tf.range(300):
            state = advance(path, tf.constant(betas), state, index, (0, 1), swap)
        return state[0]

    end = run(tf.zeros((10, num, 8), tf.float64))
    in_upper_mode = np.mean(end[-1].numpy().mean(1) > 0.5)
    assert abs(in_upper_mode - share) <= 5 * np.sqrt(share * (1 - share) / num)


def test_estimates_are_right_for_two_modes():
    rbm = two_modes(share=0.3)
    windows = tempered_windows(
        rbm, betas=np.linspace(0, 1, 10), num_chains=50, num_steps=40, seed=0
    )
    for estimator in (bar, mbar):
        estimate = estimator(windows)
        assert abs(estimate.log_z - log_z(rbm)) < 5 * estimate.standard_error
        assert estimate.standard_error < 0.1


def test_windows_of_one_and_the_same_distribution_give_the_exact_value():
    biases = np.array([-1.0, 0.0, 1.0, 2.0, -2.0]), np.array([1.0, -2.0, 0.5])
    rbm = BernoulliRBM.from_parameters(np.zeros((5, 3)), *biases, dtype="float64")  # no coupling
    base = sigmoid(biases[0])  # the model's own
    windows = tempered_windows(
        rbm,
        betas=np.linspace(0, 1, 5),
        num_chains=10,
        num_steps=10,
        num_burn_in=0,
        seed=0,
        base=base,
    )
    np.testing.assert_allclose(windows.swap_acceptance, 1)
    for estimator in (bar, mbar):
        estimate = estimator(windows)
        assert estimate.log_z == pytest.approx(log_z(rbm), rel=1e-12)
        assert abs(estimate.standard_error) < 1e-12


def test_adding_800_to_log_z_does_not_overflow(random_rbm):
    rbm = random_rbm(6, 4, scale=0.5)
    rbm.hidden_bias.assign_add([800.0, 0, 0, 0])
    windows = tempered_windows(rbm, betas=np.linspace(0, 1, 10), num_steps=50, seed=0)
    for estimator in (bar, mbar):
        estimate = estimator(windows)
        assert abs(estimate.log_z - log_z(rbm)) < 5 * estimate.standard_error
        assert 0 < estimate.standard_error < 0.1
    assert log_z(rbm) > 800


def test_same_seed_gives_the_same_numbers(random_rbm):
    rbm, betas = random_rbm(6, 4), [0, 0.5, 1]
    first, again, other = (
        tempered_windows(rbm, betas=betas, num_chains=5, num_steps=10, num_burn_in=5, seed=seed)
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.free_energies, again.free_energies)
    np.testing.assert_array_equal(first.samples, again.samples)
    assert np.any(first.free_energies != other.free_energies)
    assert bar(first).log_z == bar(again).log_z
    samples = [
        tempered_sample(rbm, 20, betas=betas, num_steps=5, seed=seed).numpy() for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(samples[0], samples[1])
    assert np.any(samples[0] != samples[2])


def test_pymbar_leaves_loggers_and_random_numbers_as_they_were(random_rbm, monkeypatch, caplog):
    windows = tempered_windows(
        random_rbm(4, 3), betas=[0, 0.5, 1], num_chains=5, num_steps=10, seed=0
    )
    for name in [name for name in sys.modules if name.split(".")[0] == "pymbar"]:
        monkeypatch.delitem(sys.modules, name)  # its banners come with the import
    np.random.seed(0)
    expected = np.random.random(3)
    np.random.seed(0)
    bar(windows)
    np.testing.assert_array_equal(np.random.random(3), expected)
    assert not caplog.records
    assert logging.getLogger("pymbar").level == logging.NOTSET


def test_precision_of_jax_is_restored(random_rbm, monkeypatch):
    import pymbar

    class Config:
        jax_enable_x64 = False

        def read(self, name):
            return getattr(self, name)

        def update(self, name, value):
            setattr(self, name, value)

    jax = types.SimpleNamespace(config=Config())
    monkeypatch.setitem(sys.modules, "jax", jax)
    solve = pymbar.MBAR

    def solve_in_64_bit(*args, **kwargs):
        jax.config.update("jax_enable_x64", True)
        return solve(*args, **kwargs)

    monkeypatch.setattr(pymbar, "MBAR", solve_in_64_bit)
    bar(tempered_windows(random_rbm(4, 3), betas=[0, 0.5, 1], num_chains=5, num_steps=10, seed=0))
    assert jax.config.jax_enable_x64 is False


def test_missing_pymbar_is_reported_with_the_remedy(random_rbm, monkeypatch):
    windows = tempered_windows(random_rbm(4, 3), betas=[0, 1], num_chains=5, num_steps=10, seed=0)
    monkeypatch.setitem(sys.modules, "pymbar", None)
    with pytest.raises(ImportError, match="pip install pymbar"):
        bar(windows)


def test_solutions_that_are_none_are_refused(random_rbm, monkeypatch):
    import pymbar

    windows = tempered_windows(
        random_rbm(4, 3), betas=[0, 0.5, 1], num_chains=5, num_steps=10, seed=0
    )

    def wrong(energies, counts, **kwargs):
        return types.SimpleNamespace(f_k=np.zeros(len(counts)))

    monkeypatch.setattr(pymbar, "MBAR", wrong)
    with pytest.raises(ValueError, match="did not converge"):
        mbar(windows)


@pytest.mark.long
@pytest.mark.parametrize("estimator", [bar, mbar])
def test_windows_that_do_not_overlap_are_refused(random_rbm, estimator):
    windows = tempered_windows(
        random_rbm(30, 20, scale=10), betas=[0, 0.9, 1], num_chains=5, num_steps=10, seed=0
    )
    with pytest.raises(ValueError, match=r"Windows 0 and 1 .* add betas"):
        estimator(windows)


@pytest.mark.parametrize("estimator", [thermodynamic_integration, bar, mbar])
@pytest.mark.parametrize(("shape", "scale", "seed"), [((6, 4), 1e3, 0), ((12, 8), 300.0, 1)])
def test_ladders_that_are_stuck_are_refused(random_rbm, shape, scale, seed, estimator):
    rbm = random_rbm(*shape, scale=scale, seed=seed)
    windows = tempered_windows(rbm, num_steps=50, seed=seed)
    with pytest.raises(ValueError, match=r"stuck.*Raise num_burn_in and add betas"):
        estimator(windows)


@pytest.mark.grid
@pytest.mark.parametrize("scale", [0.1, 3.0, 30.0, 100.0])
def test_ladders_that_move_are_not_taken_for_stuck(random_rbm, scale):
    rbm = random_rbm(6, 4, scale=scale)
    estimate = mbar(tempered_windows(rbm, num_steps=50, seed=0))
    assert abs(estimate.log_z - log_z(rbm)) < 5 * estimate.standard_error + 1e-9


@pytest.mark.parametrize("betas", [[0.0], [0.1, 1.0], [0.0, 0.9], [0.0, 0.5, 0.5, 1.0]])
def test_wrong_windows_are_refused(random_rbm, betas):
    with pytest.raises(ValueError, match="betas must"):
        tempered_windows(random_rbm(3, 2), betas=betas)
    with pytest.raises(ValueError, match="betas must"):
        tempered_sample(random_rbm(3, 2), 2, betas=betas)


def test_wrong_numbers_are_refused(random_rbm):
    rbm = random_rbm(3, 2)
    for wrong in ({"num_chains": 1}, {"num_steps": 0}, {"num_burn_in": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            tempered_windows(rbm, **wrong)
    with pytest.raises(ValueError, match="base must hold 3 means"):
        tempered_windows(rbm, base=[0.5, 0.5])
    for num_samples, num_steps in ((0, 1), (1, 0), (1, 1.5)):
        with pytest.raises(ValueError, match="must be an integer of 1 or more"):
            tempered_sample(rbm, num_samples, num_steps=num_steps)
