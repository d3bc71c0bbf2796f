"""Truncated configuration interaction, and Plefka's series to any order, against exact results."""

import functools

import numpy as np
import pytest
from numpy.polynomial import hermite_e
from scipy import optimize

from rbm_tf import mean_field, two_level

GAP, COUPLING = 1.0, 0.6
MEANS = ((0.3, 0.4), (0.1, 0.2), (0.9, 0.3), (0.05, 0.05))  # of one bond


def product_space(num_units):
    """The Hamiltonian of independent two-level units on all 2^N states."""
    unit, identity = np.array([[0, -COUPLING], [-COUPLING, GAP]]), np.eye(2)
    terms = [
        functools.reduce(np.kron, [unit if i == j else identity for j in range(num_units)])
        for i in range(num_units)
    ]
    excitations = np.array([state.bit_count() for state in range(2**num_units)])
    return sum(terms), excitations


@pytest.mark.parametrize("highest", [1, 2, 3, 6])
def test_least_energy_of_few_excitations_is_that_of_the_truncated_product_space(highest):
    """B55: the symmetric states hold the lowest eigenvector."""
    hamiltonian, excitations = product_space(6)
    kept = np.flatnonzero(excitations <= highest)
    exact = np.linalg.eigvalsh(hamiltonian[np.ix_(kept, kept)])[0]
    found = two_level.truncated_energy(6, GAP, COUPLING, max_excitations=highest)
    np.testing.assert_allclose(found, exact, atol=1e-12)


@pytest.mark.parametrize("num_units", [1, 2, 17, 300])
def test_all_excitations_give_n_times_the_energy_of_one_unit(num_units):
    one = GAP / 2 - np.hypot(GAP / 2, COUPLING)
    found = two_level.truncated_energy(num_units, GAP, COUPLING)
    np.testing.assert_allclose(found, num_units * one, rtol=1e-11)


@pytest.mark.parametrize("highest", [1, 2, 3, 5, 8])
def test_few_excitations_of_many_units_approach_the_zero_of_a_hermite_polynomial(highest):
    """B55: E_K / sqrt(N) -> -g x, and what is left falls like 1 / sqrt(N)."""
    zero = hermite_e.hermeroots([0] * (highest + 1) + [1]).max()
    misses = []
    for num_units in (10**6, 10**8):
        energy = two_level.truncated_energy(num_units, GAP, COUPLING, max_excitations=highest)
        misses.append(energy / np.sqrt(num_units) + COUPLING * zero)
    assert abs(misses[1]) < 1e-3
    np.testing.assert_allclose(misses[0] / misses[1], 10, rtol=0.01)


def test_two_level_units_are_checked():
    with pytest.raises(ValueError, match="at most num_units"):
        two_level.truncated_energy(3, GAP, COUPLING, max_excitations=4)
    with pytest.raises(ValueError, match="gap must be positive"):
        two_level.truncated_energy(3, 0.0, COUPLING)


def random_bonds(num_visible=3, num_hidden=2, seed=0):
    rng = np.random.default_rng(seed)
    kernel = rng.normal(size=(num_visible, num_hidden))
    return kernel, rng.uniform(0.1, 0.9, num_visible), rng.uniform(0.1, 0.9, num_hidden)


def test_orders_one_to_four_of_the_series_are_those_of_plefka():
    """B26"""
    kernel, m, n = random_bonds()
    series = mean_field.plefka_series(kernel, m, n, max_order=4)
    no_bias = np.zeros(3), np.zeros(2)
    sums = [mean_field.gamma((kernel, *no_bias), m[None], n[None], k)[0] for k in (1, 2, 3)]
    np.testing.assert_allclose(np.cumsum(series)[1:4], sums, atol=1e-12)
    np.testing.assert_allclose(series[4], mean_field.plefka_fourth_term(kernel, m, n), atol=1e-12)


def exact_gamma(kernel, m, n):
    """Minus the least of ln Z - fields.means over the fields, nats."""
    means = np.concatenate([m, n])
    states = (np.arange(2 ** len(means))[:, None] >> np.arange(len(means))) & 1
    bonds = np.sum((states[:, : len(m)] @ kernel) * states[:, len(m) :], axis=1)

    def of_fields(fields):
        exponent = bonds + states @ fields
        log_z = np.logaddexp.reduce(exponent)
        return log_z - fields @ means, np.exp(exponent - log_z) @ states - means

    start = np.log(means / (1 - means))
    return -optimize.minimize(of_fields, start, jac=True, options={"gtol": 1e-10}).fun


def test_the_series_adds_up_to_the_exact_free_energy_at_fixed_means():
    kernel, m, n = random_bonds()
    series = mean_field.plefka_series(kernel, m, n, max_order=40)
    for scale in (-0.6, 0.6):
        total = np.sum(series * scale ** np.arange(41))
        np.testing.assert_allclose(total, exact_gamma(scale * kernel, m, n), atol=1e-9)


def bond_correlation(coupling, m, n):
    """<v h> of one bond, |Im W| < pi: d x^2 - [1 + d (m + n)] x + (1 + d) m n = 0 with d = e^W - 1.

    The discriminant is (1 + d s^2) (1 + d t^2) with s, t = sqrt(m (1 - n)) +- sqrt(n (1 - m)).
    """
    d = np.exp(coupling) - 1
    s, t = (np.sqrt(m * (1 - n)) + sign * np.sqrt(n * (1 - m)) for sign in (1, -1))
    root = np.sqrt(1 + d * s**2) * np.sqrt(1 + d * t**2)
    return (1 + d * (m + n) - root) / (2 * d)


@pytest.mark.parametrize(("m", "n"), MEANS)
def test_one_bond_is_singular_where_its_discriminant_vanishes(m, n):
    """B56"""
    singular = mean_field.bond_singularities(m, n)
    assert np.all(np.diff(np.abs(singular)) >= 0) and abs(singular[0]) >= np.pi - 1e-12
    for w in singular[np.isclose(singular.imag, np.pi) & np.isfinite(singular)]:
        d = np.exp(w) - 1
        discriminant = (1 + d * (m + n)) ** 2 - 4 * d * (1 + d) * m * n
        np.testing.assert_allclose(discriminant, 0, atol=1e-11)


@pytest.mark.parametrize(("m", "n"), [*MEANS, (0.5, 0.5), (0.48, 0.5), (2e-4, 2e-4)])
def test_the_series_of_one_bond_has_the_radius_of_its_nearest_singularity(m, n):
    """B56: coefficients by Cauchy's integral; at the radius they fall like a power."""
    orders = np.arange(1, 81)
    series = mean_field.plefka_series([[1.0]], [m], [n], max_order=80)[1:]
    circle = 3.0 * np.exp(2j * np.pi * (np.arange(4096) + 0.5) / 4096)
    slope = -bond_correlation(circle, m, n)  # of the free energy, inside of |W| < pi
    integrals = [np.mean(slope * (circle / 3) ** (1 - k)).real for k in orders]
    np.testing.assert_allclose(orders * series * 3.0 ** (orders - 1), integrals, atol=1e-9)
    radius = np.abs(mean_field.bond_singularities(m, n)[0])
    size = np.abs(series) * radius**orders  # falls like a power
    power = np.log(size[60:].max() / size[25:35].max()) / np.log(70 / 30)
    assert -3 < power < -0.5


def test_bonds_and_means_are_checked():
    with pytest.raises(ValueError, match="inside"):
        mean_field.bond_singularities(0.0, 0.5)
    with pytest.raises(ValueError, match="num_visible"):
        mean_field.plefka_series(np.ones((2, 1)), [0.5], [0.5], max_order=3)
    with pytest.raises(ValueError, match="at most 14 units"):
        mean_field.plefka_series(np.ones((8, 7)), np.full(8, 0.5), np.full(7, 0.5), max_order=3)
