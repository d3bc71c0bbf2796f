import itertools

import numpy as np
import pytest

from rbm_tf.ising import Ising, all_spins
from rbm_tf.ising.spin_glass import bond_energy, pair_correlations, planted_couplings


def all_glasses(rows, columns):
    """Every choice of the bonds of a small lattice, and the sum of each."""
    bonds = np.array(list(itertools.product([-1.0, 1.0], repeat=2 * rows * columns)))
    right, down = bonds.reshape(-1, 2, rows, columns).transpose(1, 0, 2, 3)
    return Ising(right, down, np.zeros_like(right)), bonds.sum(1)


def quenched(energies, sums, beta_planted):
    """The mean over the disorder with P(J) ~ exp(beta_planted J)."""
    weight = np.exp(beta_planted * sums)
    return weight @ energies / weight.sum()


@pytest.mark.parametrize("beta", [0.3, 0.9, 2.0])
@pytest.mark.parametrize("shape", [(2, 2), (3, 2)])
def test_quenched_energy_on_the_nishimori_line_is_minus_tanh_beta(shape, beta):  # B28
    glasses, sums = all_glasses(*shape)
    energies = bond_energy(glasses, beta)
    assert quenched(energies, sums, beta) == pytest.approx(-np.tanh(beta), rel=1e-12)
    assert abs(quenched(energies, sums, 0.8 * beta) + np.tanh(beta)) > 1e-3  # off the line


def test_bond_energy_equals_the_sum_over_all_states():
    glass = planted_couplings(3, (4, 3), beta=0.5, seed=1)
    spins = all_spins(4, 3)
    for index, value in enumerate(bond_energy(glass, beta=1.3)):
        energy = Ising(*(x[index] for x in glass)).energy(spins)
        p = np.exp(-1.3 * (energy - energy.min()))
        assert value == pytest.approx(p @ energy / p.sum() / 24, rel=1e-10)


def test_sampled_glasses_have_the_energy_of_the_nishimori_line():  # B28
    energies = bond_energy(planted_couplings(2000, (4, 4), beta=1.0, seed=0), beta=1.0)
    standard_error = energies.std(ddof=1) / np.sqrt(2000)
    assert abs(energies.mean() + np.tanh(1.0)) < 5 * standard_error


@pytest.mark.long
def test_gaussian_couplings_on_their_line_have_energy_minus_the_mean():  # B28
    mean, deviation = 0.6, 0.9
    beta = mean / deviation**2
    couplings = np.random.default_rng(0).normal(mean, deviation, (3, 2000, 4, 4))
    couplings[2] = 0  # the fields
    energies = bond_energy(Ising(*couplings), beta)
    standard_error = energies.std(ddof=1) / np.sqrt(2000)
    assert abs(energies.mean() + mean) < 5 * standard_error
    assert abs(bond_energy(Ising(*couplings), 2 * beta).mean() + mean) > 20 * standard_error


def test_couplings_have_the_planted_mean_and_the_seed_repeats_them():
    first, second = (planted_couplings(500, (4, 4), beta=0.4, seed=3) for _ in range(2))
    bonds = np.stack(first[:2])
    assert set(np.unique(bonds)) == {-1.0, 1.0}
    standard_error = 1 / (np.cosh(0.4) * np.sqrt(bonds.size))
    assert abs(bonds.mean() - np.tanh(0.4)) < 5 * standard_error
    assert all(np.array_equal(x, y) for x, y in zip(first, second, strict=True))


def test_a_lattice_of_one_row_is_refused():
    with pytest.raises(ValueError, match="2 or more"):
        planted_couplings(1, (1, 4), beta=0.4)


@pytest.mark.parametrize("beta_planted", [0.4, 1.1])
def test_correlations_meet_their_squares_on_the_nishimori_line_alone(beta_planted):  # B53
    glasses, sums = all_glasses(2, 2)
    weight = np.exp(beta_planted * sums) / np.sum(np.exp(beta_planted * sums))
    on_line = pair_correlations(glasses, beta_planted)
    for beta in (0.5 * beta_planted, beta_planted, 2 * beta_planted):
        pairs = pair_correlations(glasses, beta)
        mean, square, product = (
            np.tensordot(weight, x, 1) for x in (pairs, pairs**2, pairs * on_line)
        )
        assert mean == pytest.approx(product, rel=1e-12)
        assert (np.abs(mean - square).max() < 1e-12) == (beta == beta_planted)


def test_pair_correlations_are_those_of_neighbours_and_of_fields():
    glass = planted_couplings(3, (4, 3), beta=0.5, seed=1)
    pairs = pair_correlations(glass, beta=0.9)
    assert pairs.shape == (3, 12, 12)
    assert np.diagonal(pairs, axis1=1, axis2=2) == pytest.approx(1.0)
    index = np.arange(12).reshape(4, 3)
    energy = np.zeros(3)
    for bonds, axis in ((glass.right, 1), (glass.down, 0)):
        neighbour = np.roll(index, -1, axis)
        energy -= np.sum(bonds * pairs[:, index, neighbour], axis=(1, 2))
    assert energy / 24 == pytest.approx(bond_energy(glass, 0.9), rel=1e-10)
    free = Ising(np.zeros((2, 1)), np.zeros((2, 1)), np.array([[0.3], [1.0]]))
    expected = np.tanh(0.6) * np.tanh(2.0)  # independent spins
    assert pair_correlations(free, beta=2.0)[0, 1] == pytest.approx(expected, rel=1e-12)
