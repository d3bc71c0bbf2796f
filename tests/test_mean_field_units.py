"""Plefka's expansion and TAP for machines of any units (B26)."""

import math

import numpy as np
import pytest
import tensorflow as tf
from test_units_layers import machine as parts

from rbm_tf import enumeration
from rbm_tf.machine import Machine, machine_of
from rbm_tf.mean_field import (
    FieldTheory,
    averages_at,
    correlation,
    damped_fields,
    damped_step,
    fourth_cumulant,
    fourth_cumulant_at,
    gamma,
    gamma_at,
    plefka_fourth_term,
    plefka_fourth_term_at,
    tap,
    tap_of,
)
from rbm_tf.units import Binary, Gaussian, Mixed, Potts, ReLU, Spin, Unit

ORACLES = [  # the free energy at its stationary points of orders 1, 2 and 3
    ("Binary", "Binary", [-3.7069275399, -3.7348178931, -3.7348366708]),
    ("Spin", "DReLU", [-3.3356571545, -3.6003621768, -3.6010458694]),
    ("ReLU", "ReLU", [-1.0382560251, -1.0939575603, -1.0946417072]),
    ("Gaussian", "ReLU", [-2.8126829738, -2.9462396374, -2.9462396374]),
    ("Potts", "ReLU", [-4.0947343257, -4.1576338441, -4.1565303553]),
    ("Potts", "Potts", [-5.6423981099, -5.7009491241, -5.7009704711]),
]
SCALES = 0.1, 0.05  # of the kernel


def machine_with(visible, hidden, scale=1.0):
    v, h, a, b, kernel = parts(visible, hidden)
    return Machine(tf.constant(scale * kernel), tf.constant(a), tf.constant(b), v, h)


def random_machine(visible, hidden, scale=1.0, seed=0):
    rng = np.random.default_rng(seed)
    kernel = scale * rng.normal(size=(visible.size, hidden.size))
    biases = rng.normal(size=visible.size), rng.normal(size=hidden.size)
    return machine_of(Machine(kernel, *biases, visible, hidden), dtype=tf.float64)


@pytest.mark.grid
@pytest.mark.long
@pytest.mark.parametrize(("visible", "hidden", "exact"), ORACLES)
def test_free_energies_at_the_fixed_points(visible, hidden, exact):  # B41
    machine = machine_with(visible, hidden)
    for order, value in enumerate(exact, 1):
        point = tap(machine, order=order, num_starts=2)
        assert point.converged
        assert point.free_energy == pytest.approx(value, abs=1e-9)
    for unit, m, x in (
        (machine.visible, point.visible, point.visible_field),
        (machine.hidden, point.hidden, point.hidden_field),
    ):
        np.testing.assert_allclose(unit.conjugate_field(m), x, rtol=1e-9)
    at_means = gamma(machine, point.visible[np.newaxis], point.hidden[np.newaxis], 3)
    assert float(at_means[0]) == pytest.approx(point.free_energy, rel=1e-12)


PAIRS = [  # with a Gaussian layer every second order is missing
    ("Binary", "Spin", [2, 3, 4]),
    ("Gaussian", "Binary", [2, 4, 4]),
    ("Potts", "TruncatedExponential", [2, 3, 4]),
    ("ReLU", "Potts", [2, 3, 4]),
    ("Potts", "Potts", [2, 3, 4]),
    ("Potts", "Gaussian", [2, 4, 4]),
]


@pytest.mark.grid
@pytest.mark.long
@pytest.mark.parametrize(("visible", "hidden", "powers"), PAIRS)
def test_errors_fall_as_powers_of_the_coupling(visible, hidden, powers):  # B41
    machines = [machine_with(visible, hidden, scale) for scale in SCALES]
    exact = [(enumeration.log_z(x), enumeration.moments(x)) for x in machines]
    before = np.inf
    for order, power in enumerate(powers, 1):
        points = [tap(machine, order=order, num_starts=1) for machine in machines]
        assert all(point.converged for point in points)
        for point, (log_z, _) in zip(points, exact, strict=True):
            assert point.bound == ("lower" if order == 1 else None)
            assert order > 1 or point.log_z < log_z
        errors = np.array([list(errors_of(*pair)) for pair in zip(points, exact, strict=True)])
        found = np.log2(errors[0] / errors[1])
        wanted = np.array([power, power, power, power - 1, power])[: len(found)]
        if order == 2:  # the sum over bonds may be smaller than the next term
            assert errors[0, 0] < before / 4
            found[0] = wanted[0]
        assert np.all(found > wanted - 0.25), (order, found)
        assert np.all(np.abs(found - wanted)[3:] < 0.3), (order, found)
        before = errors[0, 0]


def errors_of(point, exact):
    """Of ln Z, <v>, <h>, <v h^T>, and of the slopes if there are any."""
    log_z, moments = exact
    yield abs(point.log_z - log_z)
    for name in ("visible", "hidden", "correlation"):
        yield np.linalg.norm(getattr(point, name) - getattr(moments, name))
    gaps = [
        getattr(point, name)[key] - value
        for name in ("visible_slopes", "hidden_slopes")
        for key, value in getattr(moments, name).items()
    ]
    if gaps:
        yield np.linalg.norm(np.concatenate(gaps))


@pytest.mark.parametrize(("visible", "hidden"), [("Binary", "Spin"), ("Spin", "Spin")])
def test_order_four_leaves_an_error_of_the_fifth_power(visible, hidden):
    errors = []
    for scale in (0.4, 0.2):
        machine = machine_with(visible, hidden, scale)
        errors.append(abs(tap(machine, order=4).log_z - enumeration.log_z(machine)))
        assert errors[-1] < abs(tap(machine, order=3).log_z - enumeration.log_z(machine)) / 20
    assert np.log2(errors[0] / errors[1]) > 4.4


@pytest.mark.parametrize("order", [1, 2, 3])
def test_general_formulas_are_the_binary_ones(order):
    machine = random_machine(Binary(5), Binary(4))
    rng = np.random.default_rng(1)
    x, y = (tf.constant(rng.normal(size=(3, size))) for size in (5, 4))
    m, n = tf.sigmoid(x), tf.sigmoid(y)
    general = gamma_at(machine, x, y, order)
    np.testing.assert_allclose(general, gamma(machine.parameters, m, n, order), rtol=1e-14)
    moved = [tf.sigmoid(f) for f in damped_fields(machine, x, y, order, damping=0.0)]
    binary = damped_step(machine.parameters, m, n, order, damping=0.0)
    for one, other in zip(moved, binary, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-14)
    averages = averages_at(machine, x, y, order)
    np.testing.assert_allclose(
        averages.correlation, correlation(machine.kernel, m, n, order), rtol=1e-13
    )
    np.testing.assert_allclose(averages.visible, np.mean(m, 0), rtol=1e-15)


def test_general_fourth_orders_are_the_binary_ones():
    machine = random_machine(Binary(5), Binary(4))
    x, y = machine.parameters[1:]
    for general, binary in (
        (fourth_cumulant_at, fourth_cumulant),
        (plefka_fourth_term_at, plefka_fourth_term),
    ):
        value = float(binary(machine.kernel, tf.sigmoid(x), tf.sigmoid(y)))
        assert float(general(machine, x, y)) == pytest.approx(value, rel=1e-13)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_spins_are_binary_units_in_other_coordinates(order):
    spins = random_machine(Spin(4), Spin(3), scale=0.3)
    kernel, a, b = spins.parameters
    binary = Machine(
        4 * kernel,
        2 * (a - tf.reduce_sum(kernel, 1)),
        2 * (b - tf.reduce_sum(kernel, 0)),
    )
    constant = tf.reduce_sum(kernel) - tf.reduce_sum(a) - tf.reduce_sum(b)
    one, other = tap(spins, order=order), tap_of(binary, order)
    assert one.log_z == pytest.approx(other.log_z + float(constant), rel=1e-12)
    np.testing.assert_allclose(one.visible, 2 * other.visible - 1, atol=1e-11)
    np.testing.assert_allclose(one.hidden_field, other.hidden_field / 2, atol=1e-11)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_potts_units_of_two_states_are_binary(order):
    binary = random_machine(Binary(4), Binary(3), scale=0.7)

    def widened(x, *axes):
        for axis in axes:
            x = np.stack([np.zeros_like(x), x], axis + 1)
            x = x.reshape(*x.shape[:axis], -1, *x.shape[axis + 2 :])
        return x

    w, a, b = (x.numpy() for x in binary.parameters)
    expected = tap(binary, order=order)
    for layers, axes in (
        ((Potts(4, 2), Binary(3)), (0,)),
        ((Binary(4), Potts(3, 2)), (1,)),
        ((Potts(4, 2), Potts(3, 2)), (0, 1)),
    ):
        biases = widened(a, 0) if 0 in axes else a, widened(b, 0) if 1 in axes else b
        point = tap(Machine(widened(w, *axes), *biases, *layers), order=order)
        assert point.free_energy == pytest.approx(expected.free_energy, rel=1e-13)
        ones = point.visible[1::2] if 0 in axes else point.visible
        np.testing.assert_allclose(ones, expected.visible, atol=1e-11)
        pair = point.correlation[1::2] if 0 in axes else point.correlation
        pair = pair[:, 1::2] if 1 in axes else pair
        np.testing.assert_allclose(pair, expected.correlation, atol=1e-11)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_gauge_of_potts_units_does_not_matter(order):
    machine = random_machine(Potts(3, 3), Spin(2), scale=0.5)
    kernel, a, b = (x.numpy() for x in machine.parameters)
    rng = np.random.default_rng(1)
    shift, offset = 5 * rng.normal(size=(3, 2)), 5 * rng.normal(size=3)
    other = Machine(
        kernel + np.repeat(shift, 3, 0),
        a + np.repeat(offset, 3),
        b - shift.sum(0),
        *layers(machine),
    )
    one, two = tap(machine, order=order), tap(other, order=order)
    assert two.log_z == pytest.approx(one.log_z + offset.sum(), rel=1e-12)
    for name in ("visible", "hidden", "visible_field"):
        np.testing.assert_allclose(getattr(two, name), getattr(one, name), atol=1e-10)
    np.testing.assert_allclose(two.correlation, one.correlation, atol=1e-10)
    np.testing.assert_allclose(one.visible_field.reshape(3, 3).sum(1), 0, atol=1e-12)


def layers(machine):
    return machine.visible, machine.hidden


@pytest.mark.parametrize("order", [2, 3])
def test_a_mixed_layer_of_one_kind_is_that_kind(order):
    plain = random_machine(Potts(3, 2), Spin(4), scale=0.4)
    mixed = Machine(
        *plain.parameters,
        Mixed([Potts(1, 2), Mixed([Potts(2, 2)])]),
        Mixed([Spin(3), Spin(1)]),
    )
    one, other = tap(plain, order=order), tap(mixed, order=order, seed=1)
    assert one.free_energy == pytest.approx(other.free_energy, rel=1e-12)
    np.testing.assert_allclose(one.correlation, other.correlation, atol=1e-11)


@pytest.mark.long
def test_a_mixed_layer_has_the_powers_of_the_expansion():
    visible, hidden = (
        Mixed([Gaussian(1, 2.0), Potts(1, 3), Binary(1)]),
        Mixed([Spin(2), Potts(1, 3)]),
    )
    gaps = []
    for scale in SCALES:
        machine = random_machine(visible, hidden, scale=scale)
        point, exact = tap(machine, order=3), enumeration.moments(machine)
        errors = errors_of(point, (enumeration.log_z(machine), exact))
        gaps.append(np.fromiter(errors, float))
    np.testing.assert_allclose(np.log2(gaps[0] / gaps[1]), [4, 4, 4, 3, 4], atol=0.3)


class Count(Unit):
    """0, 1, 2 or 3, all alike."""

    bounds = (0.0, 3.0)

    def states(self):
        return np.arange(4.0)[:, np.newaxis]


@pytest.mark.long
def test_units_of_ones_own_need_no_more_than_their_states():
    errors = []
    for scale in SCALES:
        machine = random_machine(Count(3), Binary(2), scale=scale)
        point, exact = tap(machine, order=3), enumeration.moments(machine)
        assert point.converged
        errors.append(np.linalg.norm(point.visible - exact.visible))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(4, abs=0.3)


@pytest.mark.grid
@pytest.mark.long
@pytest.mark.parametrize(
    ("visible", "hidden", "order"),
    [("Gaussian", "ReLU", 2), ("ReLU", "Potts", 3), ("TruncatedExponential", "Spin", 3)],
)
def test_averages_are_minus_the_gradient_of_the_free_energy(visible, hidden, order):
    machine, step = machine_with(visible, hidden), 1e-4
    point = tap(machine, order=order)
    values = *machine.parameters, machine.visible.parameters, machine.hidden.parameters
    found = (
        point.correlation,
        point.visible,
        point.hidden,
        point.visible_slopes,
        point.hidden_slopes,
    )
    for parameter, (value, average) in enumerate(
        zip(tf.nest.flatten(values), tf.nest.flatten(found), strict=True)
    ):
        index = tuple(size - 1 for size in value.shape)
        ends = []
        for shift in (step, -step):
            moved = [np.array(x, float) for x in tf.nest.flatten(values)]
            moved[parameter][index] += shift
            w, a, b, own, other = tf.nest.pack_sequence_as(values, moved)
            units = machine.visible.with_parameters(**own), machine.hidden.with_parameters(**other)
            ends.append(tap(Machine(w, a, b, *units), order=order, num_starts=1).free_energy)
        assert -(ends[0] - ends[1]) / (2 * step) == pytest.approx(average[index], abs=1e-7)


def test_saturated_units_have_finite_answers():
    visible = Mixed([Binary(1), Spin(1), Potts(1, 3), ReLU(1)])
    kernel = np.full((6, 2), 0.1)
    a = np.array([800.0, -900.0, 900.0, 0.0, -900.0, -60.0])
    machine = Machine(kernel, a, np.array([700.0, -700.0]), visible, Binary(2))
    point = tap(machine, order=3)
    assert point.converged and np.isfinite(point.log_z)
    np.testing.assert_allclose(point.visible[:5], [1, -1, 1, 0, 0], atol=1e-15)
    assert point.visible[5] == pytest.approx(1 / 60, rel=0.01)  # small and not dead


def test_one_graph_serves_every_number_of_starts():
    machine = random_machine(Potts(2, 3), Potts(2, 3), scale=0.5)
    points = [tap(machine, order=3, num_starts=num) for num in (1, 2, 5)]
    for point in points:
        assert point.free_energy == pytest.approx(points[0].free_energy, rel=1e-12)


def test_starts_fall_on_either_side_of_a_broken_symmetry():
    machine = Machine(np.full((4, 4), 1.0), np.zeros(4), np.zeros(4), Spin(4), Spin(4))
    point = tap(machine, order=1)
    assert np.all(np.abs(point.visible) > 0.9)
    state = FieldTheory(machine_of(machine, dtype=tf.float64), 1).start(10, 0)
    assert np.all(state[0][0] == 0)
    assert len({float(np.sign(x)) for x in np.sum(state[0], 1)}) == 3


def test_what_has_no_fourth_order_is_refused():
    machine = random_machine(Mixed([Binary(1), Potts(1, 3)]), Binary(2))
    with pytest.raises(ValueError, match=r"numbers; got Mixed\(.*Take order 3"):
        tap(machine, order=4)
    for function in (fourth_cumulant_at, plefka_fourth_term_at):
        with pytest.raises(ValueError, match="Take order 3"):
            function(machine, *machine.parameters[1:])
    for order in (0, 5):
        with pytest.raises(ValueError, match="order must be 1, 2, 3 or 4"):
            tap(machine, order=order)


def test_reactions_are_minus_the_slopes_of_the_free_energy_in_the_means():
    """Of Potts units too, whose slope in the fields is the covariance times that in the means."""
    machine = random_machine(Mixed([Potts(2, 3), Spin(1)]), Mixed([Potts(1, 4), ReLU(2)]))
    rng = np.random.default_rng(2)
    x, y = (tf.constant(rng.normal(size=(2, unit.size))) for unit in layers(machine))
    for order in (1, 2, 3):
        moved = damped_fields(machine, x, y, order, damping=0.0)[0]
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(gamma_at(machine, x, y, order))
        with tf.GradientTape() as second:
            second.watch(x)
            mean = tf.reduce_sum(machine.visible.mean(x) * tf.stop_gradient(x - moved))
        np.testing.assert_allclose(tape.gradient(total, x), second.gradient(mean, x), atol=1e-12)


def test_the_size_of_the_terms():
    """Spins of one bond: -ln cosh(W) = -W^2/2 + W^4/12."""
    machine = Machine(np.full((1, 1), 0.3), np.zeros(1), np.zeros(1), Spin(1), Spin(1))
    energies = [tap(machine, order=order).free_energy + 2 * math.log(2) for order in (1, 2, 3, 4)]
    expected = np.array([0, -(0.3**2) / 2, -(0.3**2) / 2, -(0.3**2) / 2 + 0.3**4 / 12])
    np.testing.assert_allclose(energies, expected, atol=1e-15)
