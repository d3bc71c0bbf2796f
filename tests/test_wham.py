import numpy as np
import pytest

from rbm_tf.ising import Ising, all_spins, chain, magnetisation_windows, square
from rbm_tf.tempering import Windows
from rbm_tf.umbrella import bar_along, mbar
from rbm_tf.wham import wham


def exact_profile(model):
    """-ln p of the number of spins up, by enumeration."""
    spins = all_spins(*model.field.shape)
    energy = model.energy(spins)
    weight = np.exp(-energy - np.logaddexp.reduce(-energy))
    return -np.log(np.bincount((spins > 0).sum((1, 2)), weight))


def parabolas(num_spins, num_windows, strength):
    """Biases that hold the number of spins up, (num_windows, num_spins + 1)."""
    centres = np.linspace(0, num_spins, num_windows)[:, np.newaxis]
    return strength / 2 * (np.arange(num_spins + 1) - centres) ** 2


def random_lattice(rows, columns, seed=0):
    rng = np.random.default_rng(seed)
    right, down, field = rng.normal(0, 0.5, (3, rows, columns))
    return Ising(right * (columns > 1), down * (rows > 1), field)


@pytest.mark.parametrize("model", [random_lattice(3, 4), random_lattice(9, 1), square(2, 0.3)])
def test_samples_of_a_window_have_its_distribution(model):
    free_energy = exact_profile(model)
    bias = parabolas(model.field.size, 3, 0.4)
    bins = magnetisation_windows(model, bias, num_chains=200, num_steps=50, seed=0)
    for one, u in zip(bins, bias, strict=True):
        exact = np.exp(-free_energy - u)
        frequency = np.array([(one == n).mean(1) for n in range(len(u))])  # (bins, chains)
        error = frequency.std(1, ddof=1) / np.sqrt(200)
        often = error > 0.0005
        gap = np.abs(frequency.mean(1) - exact / exact.sum())
        assert often.sum() > 3 and np.all(gap[often] < 5 * error[often])


@pytest.mark.parametrize("model", [random_lattice(3, 4), chain(12, 0.8), square(4, 1.0)])
def test_profile_of_biased_windows_is_the_exact_one(model):  # B50
    bias = parabolas(model.field.size, model.field.size + 1, 1.0)
    bins = magnetisation_windows(model, bias, num_chains=20, num_steps=300, seed=0)
    found, exact = wham(bins, bias), exact_profile(model)
    assert np.all(np.abs(found.free_energy - exact) < 5 * found.standard_error)
    assert np.median(found.standard_error) < 0.1
    assert model.field.shape != (4, 4) or np.ptp(exact) > 15  # e^15 draws for one visit
    windows = -np.log(np.exp(-exact - bias).sum(1))
    assert np.all(np.abs(found.windows - windows) < 0.2)


def test_windows_are_those_of_mbar():  # a bias that depends on the bin alone
    model, bias = chain(8, 0.4), parabolas(8, 4, 0.5)
    bins = magnetisation_windows(model, bias, num_chains=12, num_steps=100, seed=0)
    energies = bias[:, bins].swapaxes(0, 1)  # u_l of samples from k, (k, l, chains, steps)
    windows = Windows(np.arange(4.0), energies, None, 0.0, np.zeros((12, 1)))
    found = wham(bins, bias).windows
    assert found[0] - found[-1] == pytest.approx(mbar(windows).log_z, abs=1e-6)
    assert found[0] - found == pytest.approx(bar_along(windows).log_z, abs=0.1)


@pytest.mark.long
def test_standard_error_is_the_spread_over_seeds():
    model, bias = chain(8, 0.8), parabolas(8, 4, 0.5)
    runs = [
        wham(magnetisation_windows(model, bias, num_chains=10, num_steps=50, seed=seed), bias)
        for seed in range(40)
    ]
    values, errors = (np.array([run[part] for run in runs]) for part in (0, 1))
    ratio = np.sqrt(np.mean(errors**2, 0)) / values.std(0, ddof=1)
    assert np.all((ratio > 0.6) & (ratio < 1.6))


def test_one_window_without_bias_is_a_histogram():
    found = wham([[[0, 1, 1, 3], [1, 0, 1, 1]]], np.zeros((1, 4)))
    np.testing.assert_allclose(
        found.free_energy, [*-np.log([2 / 8, 5 / 8]), np.inf, -np.log(1 / 8)]
    )
    assert np.isnan(found.standard_error[2]) and found.windows[0] == pytest.approx(0, abs=1e-12)


def test_windows_that_do_not_overlap_are_refused():
    bins = np.stack([np.zeros((3, 50), int), np.full((3, 50), 9)])
    with pytest.raises(ValueError, match="Windows 0 and 1 share less than one sample"):
        wham(bins, parabolas(9, 2, 5.0))


@pytest.mark.parametrize(
    ("bins", "bias", "match"),
    [
        (np.zeros((2, 50), int), np.zeros((2, 3)), "two chains or more"),
        (np.zeros((2, 1, 50), int), np.zeros((2, 3)), "two chains or more"),
        (np.zeros((2, 4, 50), int), np.zeros((3, 3)), "two chains or more"),
        (np.zeros((2, 4, 50)), np.zeros((2, 3)), "integers from 0 to 2"),
        (np.full((2, 4, 50), 3), np.zeros((2, 3)), "integers from 0 to 2"),
        (np.zeros((2, 4, 0), int), np.zeros((2, 3)), "without any sample"),
    ],
)
def test_bins_that_do_not_fit_are_refused(bins, bias, match):
    with pytest.raises(ValueError, match=match):
        wham(bins, bias)


def test_biases_that_do_not_fit_are_refused():
    for bias in (np.zeros(5), np.zeros((2, 4)), np.full((2, 5), np.inf)):
        with pytest.raises(ValueError, match=r"bias must be finite, of shape \(num_windows, 5\)"):
            magnetisation_windows(chain(4, 0.5), bias)
    with pytest.raises(ValueError, match="One lattice at a time"):
        magnetisation_windows(chain(4, [0.5, 0.6]), np.zeros((2, 5)))


def test_same_seed_gives_the_same_samples():
    runs = [
        magnetisation_windows(chain(6, 0.5), np.zeros((2, 7)), num_steps=5, seed=seed)
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert np.any(runs[0] != runs[2])
