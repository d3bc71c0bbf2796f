"""What is made of mean field for any units: a negative phase, and curves over the temperature."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_mean_field_units import machine_with, random_machine

from rbm_tf import enumeration
from rbm_tf.machine import Machine, machine_of
from rbm_tf.mean_field import tap
from rbm_tf.rbm import RBM
from rbm_tf.thermodynamics import effective_temperature, tap_thermodynamics
from rbm_tf.training.negative_phase import ExactPhase, MeanFieldPhase
from rbm_tf.units import Binary, Gaussian, Mixed, Potts, ReLU, Spin


def settled(machine, order, *, num_iterations=60, dtype="float64"):
    phase = MeanFieldPhase(order, num_chains=3, num_iterations=num_iterations, seed=0)
    phase.build((machine.visible, machine.hidden))
    machine = machine_of(machine, dtype=dtype)
    inputs = tf.zeros((1, machine.num_hidden), dtype)
    return phase, phase(inputs, machine=machine, training=True)


@pytest.mark.grid
@pytest.mark.long
@pytest.mark.parametrize(
    ("visible", "hidden", "order"),
    [("Gaussian", "ReLU", 2), ("Potts", "Spin", 3), ("TruncatedExponential", "Binary", 3)],
)
def test_phase_gives_the_averages_of_the_fixed_point(visible, hidden, order):
    machine = machine_with(visible, hidden)
    phase, moments = settled(machine, order)
    point = tap(machine, order=order)
    assert float(moments.free_energy) == pytest.approx(point.free_energy, abs=1e-6)
    for name in ("visible", "hidden", "correlation"):
        np.testing.assert_allclose(getattr(moments, name), getattr(point, name), atol=1e-5)
    for name in ("visible_slopes", "hidden_slopes"):
        slopes = getattr(moments, name)
        assert slopes.keys() == getattr(point, name).keys()
        for key, slope in slopes.items():
            np.testing.assert_allclose(slope, getattr(point, name)[key], atol=1e-5)
    np.testing.assert_allclose(phase.fields[0].numpy()[1], point.visible_field, atol=1e-5)


@pytest.mark.parametrize("layers", [(Gaussian(3, 2.0), Binary(2)), (Spin(3), Potts(1, 3))], ids=str)
def test_phase_of_order_one_averages_over_a_product_before_it_settles(layers):
    machine = random_machine(*layers, scale=0.5)
    phase, moments = settled(machine, 1, num_iterations=1)
    fields = [tf.cast(x, "float64") for x in phase.fields]
    pairs = zip((machine.visible, machine.hidden), fields, strict=True)
    m, n = (unit.mean(x).numpy() for unit, x in pairs)
    np.testing.assert_allclose(moments.correlation, m.T @ n / 3, atol=1e-6)
    if "log_precision" in moments.visible_slopes:
        square = np.mean(m**2, 0) + 1 / 2.0  # <v^2> under q
        np.testing.assert_allclose(
            moments.visible_slopes["log_precision"], -2.0 * square / 2, atol=1e-6
        )


@pytest.mark.slow
def test_phase_of_two_moments_gives_the_averages_of_its_fixed_point():
    machine = machine_with("Gaussian", "Spin")
    phase = MeanFieldPhase(2, moments=2, num_chains=3, num_iterations=80, seed=0)
    phase.build((machine.visible, machine.hidden))
    moments = phase(tf.zeros((1, 2), "float64"), machine=machine, training=True)
    point = tap(machine, moments=2)
    assert float(moments.free_energy) == pytest.approx(point.free_energy, abs=1e-6)
    np.testing.assert_allclose(moments.correlation, point.correlation, atol=1e-6)
    slope = point.visible_slopes["log_precision"]
    np.testing.assert_allclose(moments.visible_slopes["log_precision"], slope, atol=1e-6)
    assert np.all(phase.fields[2].numpy() < 0)  # neighbours make a unit softer
    again = MeanFieldPhase.from_config(phase.get_config())
    assert again.get_config() == phase.get_config() and again.moments == 2
    with pytest.raises(ValueError, match="precision cannot be added to Potts"):
        again.build((Potts(1, 3), Spin(2)))
    with pytest.raises(ValueError, match="moments must be 1, or 2 with order=2"):
        MeanFieldPhase(3, moments=2)


@pytest.mark.long
def test_phase_in_single_precision_is_close_to_double():
    machine = random_machine(Mixed([Gaussian(2), Potts(1, 3)]), ReLU(3), scale=0.2)
    single, double = (settled(machine, 3, dtype=dtype)[1] for dtype in ("float32", "float64"))
    for one, other in zip(tf.nest.flatten(single), tf.nest.flatten(double), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


@pytest.fixture(scope="module")
def clusters():
    """Data of a machine with two spins: four clusters in four dimensions, of precision 2."""
    rng = np.random.default_rng(0)
    kernel, bias = 0.8 * rng.normal(size=(4, 2)), rng.normal(size=4)
    h = rng.choice([-1.0, 1.0], size=(500, 2))
    return (bias + h @ kernel.T) / 2 + rng.normal(size=(500, 4)) / np.sqrt(2)


def trained(phase, v):
    rbm = RBM(Gaussian(4), Spin(2), negative_phase=phase, unit_rate=0.3, seed=0)
    rbm.compile(keras.optimizers.SGD(0.05))
    rbm.fit(v, epochs=20, batch_size=50, verbose=0)
    return rbm, -np.mean(rbm.free_energy(v)) - enumeration.log_z(rbm)


@pytest.mark.long
def test_training_by_order_two_follows_the_exact_one_and_naive_mean_field_does_not(clusters):
    teacher, exact = trained(ExactPhase(seed=0), clusters)
    rbm, log_likelihood = trained(MeanFieldPhase(2, seed=0), clusters)
    assert log_likelihood == pytest.approx(exact, abs=0.01)
    assert trained(MeanFieldPhase(1, seed=0), clusters)[1] < exact - 0.05
    name = "visible_log_precision"  # which began at 0
    found, wanted = (model.unit_parameters[name].numpy() for model in (rbm, teacher))
    np.testing.assert_allclose(found, wanted, atol=0.05)
    assert np.abs(wanted).max() > 0.3


@pytest.mark.long
def test_fields_of_a_phase_are_saved_and_loaded(clusters, tmp_path):
    rbm = RBM(Gaussian(4), Potts(2, 3), negative_phase=MeanFieldPhase(2, seed=0), seed=0)
    rbm.fit(clusters, epochs=1, batch_size=50, verbose=0)
    rbm.save(tmp_path / "rbm.keras")
    loaded = keras.models.load_model(tmp_path / "rbm.keras")
    assert json.dumps(loaded.get_config()) == json.dumps(rbm.get_config())
    for one, other in zip(loaded.negative_phase.fields, rbm.negative_phase.fields, strict=True):
        np.testing.assert_array_equal(one, other)
    assert loaded.evaluate(clusters, verbose=0) == rbm.evaluate(clusters, verbose=0)


@pytest.mark.parametrize(
    ("layers", "order"),
    [((Gaussian(3, 1.5), Binary(2)), 2), ((Potts(2, 3), Spin(3)), 3), ((Spin(3), Spin(2)), 1)],
    ids=str,
)
def test_energy_is_minus_the_slope_of_its_own_log_z(layers, order):
    machine = random_machine(*layers, scale=0.3)
    curves = tap_thermodynamics(machine, [0.999, 1.0, 1.001], order=order)
    slope = (curves.log_z[2] - curves.log_z[0]) / 0.002
    assert curves.energy[1] == pytest.approx(-slope, abs=1e-5)
    assert curves.log_z[1] == pytest.approx(tap(machine, order=order).log_z, rel=1e-12)
    exact = enumeration.thermodynamics(machine, [1.0])
    assert curves.energy[1] == pytest.approx(exact.energy[0], abs=0.3 if order == 1 else 0.03)
    np.testing.assert_allclose(curves.entropy, curves.log_z + curves.betas * curves.energy)


def test_entropy_without_energy_counts_states_and_volumes():
    machine = random_machine(Mixed([Potts(2, 3), Gaussian(1, 4.0)]), Spin(2))
    entropy = tap_thermodynamics(machine, [0.0, 0.1, 0.2]).entropy[0]
    assert entropy == pytest.approx(2 * np.log(3) + np.log(np.pi / 2) / 2 + 2 * np.log(2))


@pytest.mark.long
def test_heat_capacity_of_free_units_is_exact():
    machine = random_machine(Gaussian(3, 2.0), Potts(2, 3), scale=0.0)
    betas = np.linspace(0.95, 1.05, 11)
    exact, curves = enumeration.thermodynamics(machine, betas), tap_thermodynamics(machine, betas)
    np.testing.assert_allclose(curves.energy, exact.energy, rtol=1e-10)
    np.testing.assert_allclose(curves.heat_capacity, exact.heat_capacity, rtol=1e-3)


def test_curves_have_no_fourth_order():
    machine = random_machine(Spin(2), Spin(2))
    with pytest.raises(ValueError, match="order must be 1, 2 or 3"):
        tap_thermodynamics(machine, [0.0, 0.5, 1.0], order=4)
    with pytest.raises(ValueError, match="order must be 1, 2 or 3"):
        MeanFieldPhase(4)


def test_spins_order_where_the_effective_temperature_falls_below_one():
    for scale, ordered in ((0.95, False), (1.05, True)):
        machine = Machine(np.full((3, 3), scale / 3), np.zeros(3), np.zeros(3), Spin(3), Spin(3))
        assert effective_temperature(machine) == pytest.approx(1 / scale)
        assert (np.abs(tap(machine, order=1).visible).max() > 0.05) == ordered
