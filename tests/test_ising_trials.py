import decimal
import math

import numpy as np
import pytest
import scipy.optimize

from rbm_tf.cumulants import log_expectation, weighted_cumulants
from rbm_tf.ising import Ising, all_spins, chain, magnetisation, square
from rbm_tf.ising.trials import block_trial, trial_free_energies


def random_trial(model, seed):
    rng = np.random.default_rng(seed)
    right, down, field = (rng.normal(size=x.shape) for x in model)
    return Ising(right * (model.right.shape[1] > 1), down, field)


@pytest.mark.parametrize("model", [chain(8, 0.6, field=0.2), square(3, 0.35, field=0.1)])
def test_every_trial_bounds_and_its_gap_is_the_kullback_leibler_divergence(model):  # B16, B24
    spins = all_spins(*model.field.shape)
    log_p = -model.energy(spins) - model.log_z()
    for seed in range(20):
        trial = random_trial(model, seed)
        log_q = -trial.energy(spins) - trial.log_z()
        gap = trial_free_energies(model, trial, max_order=1)[0] + model.log_z()
        assert gap == pytest.approx(np.exp(log_q) @ (log_q - log_p), rel=1e-9)
        assert gap > 0


def test_log_z_is_minus_mean_energy_plus_entropy_plus_divergence():  # B12
    model = square(3, 0.4, field=0.2)
    trial, spins = random_trial(model, 1), all_spins(3, 3)
    log_q, log_p = (-x.energy(spins) - x.log_z() for x in (trial, model))
    q = np.exp(log_q)
    total = -q @ model.energy(spins) - q @ log_q + q @ (log_q - log_p)
    assert model.log_z() == pytest.approx(total, rel=1e-12)
    elbo = -trial_free_energies(model, trial, max_order=1)[0]
    assert elbo == pytest.approx(total - q @ (log_q - log_p), rel=1e-10)


def test_exchanging_model_and_trial_gives_the_other_divergence():  # B13, B16
    model = chain(8, 0.6, field=0.2)
    trial, spins = block_trial(model, (1, 1)), all_spins(8, 1)
    log_q, log_p = (-x.energy(spins) - x.log_z() for x in (trial, model))
    seeking = trial_free_energies(model, trial, max_order=1)[0] + model.log_z()
    covering = trial_free_energies(trial, model, max_order=1)[0] + trial.log_z()
    assert seeking == pytest.approx(np.exp(log_q) @ (log_q - log_p), rel=1e-9)
    assert covering == pytest.approx(np.exp(log_p) @ (log_p - log_q), rel=1e-9)
    assert covering > 2 * seeking  # the product misses one of the two modes of the chain


def test_bound_is_mean_energy_minus_entropy_of_the_trial():  # B15, B16
    model = square(3, 0.5, field=0.3)
    trial, spins = random_trial(model, 0), all_spins(3, 3)
    log_q = -trial.energy(spins) - trial.log_z()
    expected = np.exp(log_q) @ (model.energy(spins) + log_q)  # <H> - S
    assert trial_free_energies(model, trial, max_order=1)[0] == pytest.approx(expected, rel=1e-10)


def test_bound_is_tight_for_the_model_itself_and_the_trial_free_energy_alone_is_no_bound():  # B16
    model = chain(10, 0.4, field=0.3)
    np.testing.assert_allclose(trial_free_energies(model, model), 3 * [-model.log_z()], rtol=1e-12)
    strong = chain(10, 0.0, field=2.0)
    assert -strong.log_z() < -model.log_z() < trial_free_energies(model, strong, max_order=1)[0]


@pytest.mark.parametrize("model", [chain(9, 0.5, field=0.3), square(3, 0.3, field=0.1)])
def test_orders_are_the_cumulants_over_all_states(model):  # B23
    spins = all_spins(*model.field.shape)
    trial = block_trial(model, (3, 1))
    energy = trial.energy(spins)
    kappa = weighted_cumulants(energy - model.energy(spins), -energy, 4)
    expected = [-trial.log_z() - float(log_expectation(kappa[:n])) for n in (1, 2, 3, 4)]
    np.testing.assert_allclose(trial_free_energies(model, trial, max_order=4), expected, rtol=1e-10)


def test_blocks_of_one_spin_are_naive_mean_field():  # B16
    model = square(4, 0.3, field=0.1)
    mean = magnetisation(block_trial(model, (1, 1)))
    np.testing.assert_allclose(mean, np.tanh(0.1 + 4 * 0.3 * mean), rtol=1e-10)


@pytest.mark.parametrize("block", [(1, 1), (2, 1), (4, 1), (2, 2), (4, 2)])
def test_no_nearby_trial_of_the_same_blocks_has_a_lower_bound(block):  # B16
    rng = np.random.default_rng(0)
    model = Ising(*rng.uniform(0.1, 0.6, (3, 4, 4)))
    trial = block_trial(model, block)
    best = trial_free_energies(model, trial, max_order=1)[0]
    masks = [trial.right != 0, trial.down != 0, np.ones((4, 4))]
    for _ in range(20):
        moved = (x + 1e-3 * m * rng.normal(size=(4, 4)) for x, m in zip(trial, masks, strict=True))
        assert trial_free_energies(model, Ising(*moved), max_order=1)[0] > best


def test_mean_field_minimises_the_bound_over_the_field():  # B16
    model = chain(12, 0.4, field=0.3)
    found = scipy.optimize.minimize_scalar(
        lambda field: trial_free_energies(model, chain(12, 0.0, field=field), max_order=1)[0],
        bounds=(0, 5),
        options={"xatol": 1e-10},
    )
    trial = block_trial(model, (1, 1))
    assert trial_free_energies(model, trial, max_order=1)[0] == pytest.approx(found.fun, rel=1e-12)
    np.testing.assert_allclose(trial.field, found.x, rtol=1e-5)


def test_larger_blocks_bound_more_tightly_and_the_whole_is_exact():  # B16
    model = chain(12, 0.6, field=0.1)
    bounds = [
        trial_free_energies(model, block_trial(model, (size, 1)), max_order=1)[0]
        for size in (1, 2, 4, 12)
    ]
    assert np.all(np.diff(bounds) < 0)
    assert bounds[-1] == pytest.approx(-model.log_z(), rel=1e-12)


def test_batched_couplings_share_a_field():
    chains = chain(6, np.array([0.2, 0.7]), field=0.1)
    one_field = chains._replace(field=chains.field[0])
    for found, expected in zip(
        block_trial(one_field, (2, 1)), block_trial(chains, (2, 1)), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_high_orders_about_a_strong_field_keep_their_digits():
    model, num_orders, number = square(3, 1.0), 15, decimal.Decimal
    trial, spins = block_trial(model, (1, 1)), all_spins(3, 3)
    with decimal.localcontext(prec=100):
        start = [number(float(x)) for x in -trial.energy(spins)]
        moved = [number(float(x)) - y for x, y in zip(-model.energy(spins), start, strict=True)]
        weights = [x.exp() for x in start]
        z, logs = sum(weights), [sum(weights).ln()]
        moments = [
            sum(w * x**n for w, x in zip(weights, moved, strict=True)) / z / math.factorial(n)
            for n in range(1, num_orders + 1)
        ]
        for n in range(1, num_orders + 1):
            known = sum((k * logs[k] * moments[n - k - 1] for k in range(1, n)), number(0))
            logs.append(moments[n - 1] - known / n)
        exact = -np.cumsum([float(x) for x in logs])[1:]
    found = trial_free_energies(model, trial, max_order=num_orders)
    assert np.min(trial.field) > 3
    np.testing.assert_allclose(found, exact, rtol=1e-12)


def test_too_few_iterations_warn():
    with pytest.warns(UserWarning, match="still move"):
        block_trial(square(4, 0.3), (1, 1), max_iterations=3)


def test_wrong_arguments_are_refused():
    model = square(4, 0.3)
    for block in ((3, 1), (1, 0), (2,), (8, 1)):
        with pytest.raises(ValueError, match="do not tile"):
            block_trial(model, block)
    with pytest.raises(ValueError, match="max_order"):
        trial_free_energies(model, model, max_order=0)
