import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from rbm_tf.cumulants import derivatives, weighted_cumulants
from rbm_tf.ising import Ising, all_spins, chain, log_z_series, magnetisation, per_spin, square


@pytest.fixture
def random_model():
    """An Ising model with normal random couplings and fields."""

    def make(*shape, seed=0):
        rng = np.random.default_rng(seed)
        right = rng.normal(size=shape) * (shape[-1] > 1)
        return Ising(right, rng.normal(size=shape), rng.normal(size=shape))

    return make


def kaufman_log_z(size, coupling):
    """Kaufman's formula for ln Z of the size x size torus without field."""
    k = np.arange(2 * size)
    cosh = np.cosh(2 * coupling) / np.tanh(2 * coupling) - np.cos(np.pi * k / size)
    gamma = np.arccosh(cosh) * size / 2
    gamma[0] = (2 * coupling + np.log(np.tanh(coupling))) * size / 2  # its sign counts
    even, odd = gamma[::2], gamma[1::2]
    products = [np.prod(2 * f(x)) for x in (odd, even) for f in (np.cosh, np.sinh)]
    return size**2 / 2 * np.log(2 * np.sinh(2 * coupling)) + np.log(sum(products) / 2)


@pytest.mark.parametrize("shape", [(7, 1), (4, 3), (3, 4), (2, 2), (4, 4)])
def test_transfer_matrix_equals_the_sum_over_all_states(random_model, shape):
    model = random_model(*shape)
    energy = model.energy(all_spins(*shape))
    assert model.log_z() == pytest.approx(np.logaddexp.reduce(-energy), rel=1e-12)


def test_sum_over_states_levels_trace_and_average_over_a_reference_agree():  # B33
    num_spins, coupling = 10, 0.7
    model, spins = chain(num_spins, coupling), all_spins(num_spins, 1)
    energy = model.energy(spins)
    level, count = np.unique(energy.round(9), return_counts=True)
    walls = np.arange(0, num_spins + 1, 2)
    np.testing.assert_array_equal(count, 2 * scipy.special.comb(num_spins, walls))
    transfer = np.exp(coupling * np.array([[1, -1], [-1, 1]]))
    reference = -0.3 * spins.sum((1, 2))  # H_0
    log_z0 = np.logaddexp.reduce(-reference)
    log_average = np.logaddexp.reduce(-reference - log_z0 - (energy - reference))
    expected = pytest.approx(model.log_z(), rel=1e-9)
    assert np.logaddexp.reduce(-energy) == expected
    assert np.logaddexp.reduce(np.log(count) - level) == expected  # density of states
    assert np.log(np.trace(np.linalg.matrix_power(transfer, num_spins))) == expected
    assert log_z0 + log_average == expected


def test_energy_is_the_sum_over_bonds_and_fields(random_model):
    model, spins = random_model(3, 4), all_spins(3, 4)[1234]
    total = 0.0
    for i in range(3):
        for j in range(4):
            neighbours = model.right[i, j] * spins[i, (j + 1) % 4]
            neighbours += model.down[i, j] * spins[(i + 1) % 3, j]
            total -= spins[i, j] * (neighbours + model.field[i, j])
    assert model.energy(spins) == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize("coupling", [0.2, 0.44, 0.9])
@pytest.mark.parametrize("size", [2, 4, 8])
def test_square_lattice_equals_the_formula_of_kaufman(size, coupling):
    assert square(size, coupling).log_z() == pytest.approx(kaufman_log_z(size, coupling), rel=1e-12)


def test_chain_equals_the_eigenvalues_of_its_transfer_matrix():
    coupling, field, num_spins = 0.8, 0.3, 25
    spins = np.array([1.0, -1.0])
    matrix = np.exp(coupling * np.outer(spins, spins) + field * (spins[:, None] + spins) / 2)
    eigenvalues = np.linalg.eigvalsh(matrix)
    log_z = np.log(np.sum(eigenvalues**num_spins))
    assert chain(num_spins, coupling, field=field).log_z() == pytest.approx(log_z, rel=1e-12)


def test_long_chain_has_the_magnetisation_of_the_infinite_one():
    coupling, field = 0.5, 0.2
    values = per_spin(chain(200, coupling, field=field))
    exact = np.sinh(field) / np.sqrt(np.sinh(field) ** 2 + np.exp(-4 * coupling))
    assert values.magnetisation == pytest.approx(exact, rel=1e-12)


def test_series_are_the_cumulants_of_the_direction(random_model):  # B21, B23
    model, direction = random_model(3, 3), random_model(3, 3, seed=1)
    spins = all_spins(3, 3)
    energy, change = model.energy(spins), direction.energy(spins)
    kappa = weighted_cumulants(-change, -energy, 5).numpy()
    series = log_z_series(model, direction, max_order=5)
    np.testing.assert_allclose(series[1:], kappa / [1, 2, 6, 24, 120], rtol=1e-9)


def test_series_are_the_derivatives_of_log_z(random_model):  # B6, B21
    model = random_model(3, 2)
    energy = tf.constant(model.energy(all_spins(3, 2)))
    one = tf.constant(1.0, tf.float64)
    by_autodiff = derivatives(lambda t: tf.reduce_logsumexp(-t * energy), 3, at=one)
    np.testing.assert_allclose(
        log_z_series(model, model, 3)[1:] * [1, 2, 6], by_autodiff, rtol=1e-10
    )


def test_averages_equal_sums_over_all_states(random_model):  # B6
    model, spins = random_model(4, 3), all_spins(4, 3)
    energy = model.energy(spins)
    p = np.exp(-energy - model.log_z())
    means = np.tensordot(p, spins, 1)
    np.testing.assert_allclose(magnetisation(model), means, rtol=1e-10)
    values = per_spin(model)
    assert values.magnetisation == pytest.approx(means.mean(), rel=1e-10)
    assert 12 * values.energy == pytest.approx(p @ energy, rel=1e-10)
    assert 12 * values.entropy == pytest.approx(-p @ np.log(p), rel=1e-10)
    assert values.free_energy == pytest.approx(values.energy - values.entropy, rel=1e-12)


def test_leading_axes_are_separate_models(random_model):
    models = random_model(5, 3, 2)
    direction = random_model(3, 2, seed=1)
    together = log_z_series(models, direction, max_order=2)
    spins = magnetisation(models)
    for index in range(5):
        one = Ising(*(x[index] for x in models))
        np.testing.assert_allclose(together[:, index], log_z_series(one, direction, 2), rtol=1e-12)
        np.testing.assert_allclose(spins[index], magnetisation(one), rtol=1e-10)
    np.testing.assert_allclose(chain(6, [0.1, 0.7]).log_z()[1], chain(6, 0.7).log_z())


def test_strong_couplings_do_not_overflow():  # two ground states, energy -2 K a spin
    assert square(8, 50.0).log_z() == pytest.approx(64 * 100 + np.log(2), rel=1e-12)


def test_models_that_are_too_large_or_too_small_are_refused():
    with pytest.raises(ValueError, match="Exchange rows and columns"):
        square(12, 0.4).log_z()
    with pytest.raises(ValueError, match="At most 20 spins are enumerated"):
        all_spins(5, 5)
    with pytest.raises(ValueError, match="2 spins or more"):
        chain(1, 0.4)
