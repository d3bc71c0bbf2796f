"""What says the same thing twice in Potts layers: exact facts, and what training keeps."""

import numpy as np
import pytest
import tensorflow as tf
from test_units_layers import machine

from rbm_tf import enumeration
from rbm_tf.machine import Machine, clamped_free_energy, energy
from rbm_tf.rbm import RBM
from rbm_tf.training.coordinates import GRADIENTS
from rbm_tf.training.gauge import fix_gauge
from rbm_tf.training.negative_phase import ContrastiveDivergence
from rbm_tf.units import Binary, Gaussian, Mixed, Potts, ReLU

PAIRS = [("Potts", "Binary"), ("Potts", "ReLU"), ("Gaussian", "Potts"), ("Potts", "Potts")]


def shifted(visible, hidden, seed=0):
    """The oracles' machine in another gauge: W_iaj + K_ij, b_j - sum_i K_ij, and alike for h."""
    rng = np.random.default_rng(seed)
    v, h, a, b, kernel = machine(visible, hidden)
    if visible == "Potts":
        k = rng.normal(size=(v.num, h.size))
        kernel, b = kernel + np.repeat(k, 3, 0), b - k.sum(0)
    if hidden == "Potts":
        k = rng.normal(size=(v.size, h.num))
        kernel, a = kernel + np.repeat(k, 3, 1), a - k.sum(1)
    return Machine(*(tf.constant(x) for x in (kernel, a, b)), v, h)


def sums(unit, kernel):
    """sum_a W_iaj of each unit, (num, .., 3) summed over the states."""
    return kernel.numpy().reshape(unit.num, -1, kernel.shape[1]).sum(1)


@pytest.mark.parametrize("names", PAIRS, ids="-".join)
def test_fixed_gauge_changes_the_kernel_and_nothing_that_can_be_measured(names):
    other = shifted(*names)
    fixed = fix_gauge(other)
    v = other.visible.sample(tf.zeros((7, other.num_visible), tf.float64), seed=0)
    h = other.hidden.sample(tf.zeros((7, other.num_hidden), tf.float64), seed=1)
    np.testing.assert_allclose(energy(fixed, v, h), energy(other, v, h), atol=1e-13)
    log_z = enumeration.log_z(fixed)
    assert log_z == pytest.approx(enumeration.log_z(other), abs=1e-12)
    w, a, b = machine(*names)[4], *machine(*names)[2:4]
    assert log_z == pytest.approx(
        enumeration.log_z(Machine(w, a, b, *machine(*names)[:2])), abs=1e-12
    )
    if names[0] == "Potts":
        np.testing.assert_allclose(sums(fixed.visible, fixed.kernel), 0, atol=1e-14)
    if names[1] == "Potts":
        np.testing.assert_allclose(sums(fixed.hidden, tf.transpose(fixed.kernel)), 0, atol=1e-14)
    assert np.abs(fixed.kernel - other.kernel).max() > 0.1


def test_all_gauges_have_one_fixed_machine():
    first, second = (fix_gauge(shifted("Potts", "Potts", seed)) for seed in (0, 1))
    np.testing.assert_allclose(first.kernel, second.kernel, atol=1e-14)


def test_mixed_layers_are_fixed_in_their_potts_columns():
    rng = np.random.default_rng(0)
    visible = Mixed([Gaussian(1), Potts(2, 3), Binary(1)])
    parameters = [rng.normal(size=shape) for shape in ((8, 2), 8, 2)]
    other = Machine(*(tf.constant(x) for x in parameters), visible, Binary(2))
    fixed = fix_gauge(other)
    np.testing.assert_allclose(fixed.kernel[1:7].numpy().reshape(2, 3, 2).sum(1), 0, atol=1e-14)
    np.testing.assert_array_equal(fixed.kernel.numpy()[[0, 7]], other.kernel.numpy()[[0, 7]])
    v = visible.sample(tf.zeros((7, 8), tf.float64), seed=0)
    same = clamped_free_energy(other, v)
    np.testing.assert_allclose(clamped_free_energy(fixed, v), same, atol=1e-13)


def test_machines_without_potts_units_have_nothing_to_fix():
    v, h, a, b, kernel = machine("Gaussian", "Binary")
    fixed = fix_gauge(Machine(kernel, a, b, v, h))
    np.testing.assert_array_equal(fixed.kernel, kernel)
    np.testing.assert_array_equal(fixed.hidden_bias, b)


def test_numbers_added_to_the_biases_of_a_unit_go_into_log_z():
    v, h, a, b, kernel = machine("Potts", "ReLU")
    c = np.array([0.7, -0.3, 1.1])
    plain, moved = (Machine(kernel, x, b, v, h) for x in (a, a + np.repeat(c, 3)))
    difference = enumeration.log_z(moved) - enumeration.log_z(plain)
    assert difference == pytest.approx(c.sum(), abs=1e-12)
    states = v.layer_states()
    log_p = [-clamped_free_energy(m, states) - enumeration.log_z(m) for m in (plain, moved)]
    np.testing.assert_allclose(*log_p, atol=1e-12)


@pytest.mark.parametrize("name", ["Gaussian", "ReLU", "DReLU"])
def test_scale_of_hidden_units_is_no_information(name):
    # h -> c h: g/c^2, W/c, b/c, thresholds/c; ln Z + ln c for each unit.
    v, h, a, b, kernel = machine("Spin", name)
    c = np.array([2.0, 0.3])
    own = {
        key: value - 2 * np.log(c) if key.startswith("log") else value / c
        for key, value in h.parameters.items()
    }
    machines = (
        Machine(kernel, a, b, v, h),
        Machine(kernel / c, a, b / c, v, h.with_parameters(**own)),
    )
    first, second = (enumeration.log_z(each) for each in machines)
    assert second - first == pytest.approx(np.log(c).sum(), abs=1e-12)
    states = v.layer_states()
    moved = clamped_free_energy(machines[1], states) + np.log(c).sum()
    np.testing.assert_allclose(moved, clamped_free_energy(machines[0], states), atol=1e-12)


@pytest.mark.grid
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("gradient", GRADIENTS)
def test_training_keeps_the_gauge_whatever_the_step(gradient, optimizer):
    data = Potts(3, 3).sample(np.random.default_rng(0).normal(size=(30, 9)), seed=0)
    phase = ContrastiveDivergence(seed=0)
    rbm = RBM(Potts(3, 3), Potts(2, 2), negative_phase=phase, gradient=gradient, seed=0)
    rbm.compile(optimizer, steps_per_execution=2)
    rbm.fit(data, batch_size=10, epochs=4, verbose=0)
    np.testing.assert_allclose(sums(rbm.visible, rbm.machine.kernel), 0, atol=1e-6)
    np.testing.assert_allclose(sums(rbm.hidden, tf.transpose(rbm.machine.kernel)), 0, atol=1e-6)
    assert np.abs(rbm.kernel.numpy()).max() > 0.005


def test_centred_gradient_keeps_the_gauge_by_itself():
    data = Potts(3, 3).sample(np.random.default_rng(0).normal(size=(30, 9)), seed=0)
    for gradient in ("centered", "plain"):
        rbm = RBM(Potts(3, 3), Binary(2), gradient=gradient, seed=0, dtype="float64")
        rbm.adapt(data)
        with tf.GradientTape() as tape:
            loss = rbm.compute_loss(data, training=False)
        step = tape.gradient(loss, rbm.kernel.value)
        kept = np.abs(sums(rbm.visible, step)).max() < 1e-14
        assert kept == (gradient == "centered")


def test_hidden_relu_of_training_keeps_its_precision():
    rbm = RBM(Gaussian(3), ReLU(2), unit_rate=0.5, seed=0)
    rbm.fit(np.random.default_rng(0).normal(0, 2, (40, 3)), verbose=0)
    np.testing.assert_array_equal(rbm.hidden.parameters["log_precision"], [0.0, 0.0])
    assert np.all(rbm.visible.parameters["log_precision"].numpy() != 0)
