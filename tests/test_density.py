import numpy as np
import pytest

from rbm_tf.ising import DensityOfStates, Ising, all_spins, level_counts, square, wang_landau
from rbm_tf.ising.density import _Walk


def lattice(rows, columns):
    """J = 1 on every bond; the chain has none to the right."""
    ones = np.ones((rows, columns))
    return Ising(ones * (columns > 1), ones, np.zeros((rows, columns)))


@pytest.mark.parametrize("shape", [(2, 1), (7, 1), (2, 2), (3, 3), (4, 3), (3, 5), (4, 4)])
def test_counts_of_levels_are_those_of_all_states(shape):
    level, count = np.unique(lattice(*shape).energy(all_spins(*shape)), return_counts=True)
    found = level_counts(*shape)
    np.testing.assert_array_equal(found.energy, level)
    np.testing.assert_allclose(np.exp(found.log_count), count, rtol=1e-12)


def test_counts_give_log_z_at_every_temperature():
    levels, betas = level_counts(6, 6), np.array([-0.5, 0.0, 0.3, 0.44, 1.0])
    np.testing.assert_allclose(levels.log_z(betas), square(6, betas).log_z(), rtol=1e-13)
    assert levels.log_z(0.3) == pytest.approx(levels.log_z(betas)[2], rel=1e-15)


def test_log_z_of_several_runs_is_that_of_each():
    levels = level_counts(3, 3)
    runs = DensityOfStates(levels.energy, np.stack([levels.log_count, levels.log_count + 1]))
    betas = np.array([0.0, 0.2, 0.4])
    assert runs.log_z(betas).shape == (2, 3) and runs.log_z(0.2).shape == (2,)
    np.testing.assert_allclose(runs.log_z(betas)[1], levels.log_z(betas) + 1)
    np.testing.assert_allclose(runs.log_z(0.2), levels.log_z(0.2) + np.array([0, 1]))


@pytest.mark.grid
@pytest.mark.slow
@pytest.mark.parametrize("shape", [(4, 4), (10, 1), (3, 3), (2, 2)])
def test_walks_learn_the_density_of_states(shape):  # B51
    log_factors = np.minimum(1, 3 / np.arange(1, 1501))
    found, exact = wang_landau(*shape, log_factors, num_runs=40, seed=0), level_counts(*shape)
    np.testing.assert_array_equal(found.energy, exact.energy)
    error = found.log_count.std(0, ddof=1) / np.sqrt(40)
    assert np.all(np.abs(found.log_count.mean(0) - exact.log_count) < 5 * error)
    assert np.all(error < 0.1)


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (6, 1), (2, 2)])
def test_walks_keep_account_of_their_levels(shape):
    walk = _Walk(*shape, 10, seed=0)
    for _ in range(3):
        walk.sweep(0.5)
        energy = lattice(*shape).energy(walk.spins.reshape(10, *shape))
        np.testing.assert_array_equal(2 * walk.level - (walk.met.shape[1] - 1), energy)
        assert np.all(walk.met[np.arange(10), walk.level])
    np.testing.assert_allclose(walk.log_count.sum(1), 3 * 0.5 * np.prod(shape))


def test_with_factors_that_vanish_too_fast_the_error_stays():
    exact, errors = level_counts(4, 4), []
    for num_sweeps in (300, 600):
        log_factors = 0.5 ** (np.arange(num_sweeps) // 10)
        found = wang_landau(4, 4, log_factors, num_runs=10, seed=0)
        met = np.isin(exact.energy, found.energy)
        errors.append(np.sqrt(np.mean((found.log_count - exact.log_count[met]) ** 2)))
    assert errors[1] > 0.99 * errors[0] > 2


def test_each_run_has_all_states():
    found = wang_landau(4, 4, np.full(50, 0.5), num_runs=3, seed=0)
    np.testing.assert_allclose(found.log_z(0.0), 16 * np.log(2), rtol=1e-12)


def test_sizes_and_factors_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="rows must be an integer of 2 or more"):
        level_counts(1, 4)
    with pytest.raises(ValueError, match="At most 10 columns"):
        level_counts(4, 11)
    for log_factors in ([], [1.0, 0.0], [[1.0]], [np.nan]):
        with pytest.raises(ValueError, match="log_factors must be a list of numbers above 0"):
            wang_landau(4, 4, log_factors)


def test_same_seed_gives_the_same_counts():
    runs = [wang_landau(4, 1, [1.0, 0.5], num_runs=2, seed=seed).log_count for seed in (1, 1, 2)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert runs[0].shape != runs[2].shape or np.any(runs[0] != runs[2])
