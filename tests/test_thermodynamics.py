import numpy as np
import pytest

from rbm_tf import enumeration
from rbm_tf.mean_field import tap
from rbm_tf.rbm import BernoulliRBM
from rbm_tf.thermodynamics import (
    annealed_thermodynamics,
    effective_temperature,
    tap_thermodynamics,
)


def test_annealed_curves_equal_exact_within_their_spread(random_rbm):  # B6
    rbm, betas = random_rbm(6, 4), np.linspace(0, 1.5, 60)
    exact = enumeration.thermodynamics(rbm, betas)
    runs = [annealed_thermodynamics(rbm, betas, num_chains=1000, seed=seed) for seed in range(10)]
    for name in ("log_z", "energy", "entropy", "heat_capacity"):
        values = np.array([getattr(run, name) for run in runs])
        standard_error = values.std(0, ddof=1) / np.sqrt(len(runs))
        error = np.abs(values.mean(0) - getattr(exact, name))
        assert np.all(error <= 5 * standard_error + 1e-6), name
        assert np.all(standard_error < 0.1)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_tap_energy_and_entropy_are_derivatives_of_its_own_log_z(random_rbm, order):  # B6
    rbm = random_rbm(6, 5, scale=0.4)
    betas = np.linspace(0.9, 1.1, 5)
    curves = tap_thermodynamics(rbm, betas, order=order)
    slope = (curves.log_z[3] - curves.log_z[1]) / (betas[3] - betas[1])
    assert curves.energy[2] == pytest.approx(-slope, abs=1e-4)
    assert curves.log_z[2] == pytest.approx(-tap(rbm, order=order).free_energy, rel=1e-10)
    m, n = tap(rbm, order=order).visible, tap(rbm, order=order).hidden
    w, c, d = rbm.kernel.numpy(), m * (1 - m), n * (1 - n)
    entropy = -sum(np.sum(p * np.log(p) + (1 - p) * np.log1p(-p)) for p in (m, n))
    entropy -= (order >= 2) * (c @ w**2 @ d) / 2
    entropy -= (order >= 3) * 4 / 3 * ((c * (0.5 - m)) @ w**3 @ (d * (0.5 - n)))
    assert curves.entropy[2] == pytest.approx(entropy, rel=1e-9)


def test_higher_orders_are_closer_at_high_temperature(random_rbm):
    rbm, betas = random_rbm(6, 5, scale=0.5), np.linspace(0.1, 0.5, 9)
    exact = enumeration.thermodynamics(rbm, betas)
    errors = [
        np.abs(tap_thermodynamics(rbm, betas, order=order).energy - exact.energy).max()
        for order in (1, 2, 3)
    ]
    assert errors[0] > 3 * errors[1] > 3 * errors[2]


@pytest.mark.long
def test_heat_capacity_of_free_units_is_exact(random_rbm):
    rbm = random_rbm(6, 5, scale=0.0, bias_scale=1.0)
    betas = np.linspace(0.5, 1.5, 101)
    exact = enumeration.thermodynamics(rbm, betas)
    curves = tap_thermodynamics(rbm, betas, order=1)
    np.testing.assert_allclose(curves.energy, exact.energy, rtol=1e-9)
    np.testing.assert_allclose(curves.heat_capacity, exact.heat_capacity, rtol=1e-3)


def test_effective_temperature_falls_as_the_scale_grows(random_rbm):  # B7
    cold, warm = random_rbm(6, 5, scale=3.0), random_rbm(6, 5)
    assert effective_temperature(warm) == pytest.approx(3 * effective_temperature(cold))
    assert effective_temperature(random_rbm(3, 2, scale=0.0)) == np.inf
    largest = np.linalg.svd(warm.kernel.numpy())[1].max()
    assert effective_temperature(warm) == pytest.approx(1 / largest)


def test_mean_field_orders_where_the_effective_temperature_falls_below_a_quarter():
    for scale, ordered in ((3.8, False), (4.2, True)):
        kernel, bias = np.full((3, 3), scale / 3), np.full(3, -scale / 2)
        rbm = BernoulliRBM.from_parameters(kernel, bias, bias, dtype="float64")
        assert effective_temperature(rbm) == pytest.approx(1 / scale)
        assert (np.abs(tap(rbm, order=1).visible - 0.5).max() > 0.05) == ordered


def test_wrong_temperatures_are_refused(random_rbm):
    rbm = random_rbm(3, 2)
    with pytest.raises(ValueError, match="starts at 0"):
        annealed_thermodynamics(rbm, [0.1, 1.0])
    with pytest.raises(ValueError, match="at least 3"):
        tap_thermodynamics(rbm, [0.0, 1.0])
