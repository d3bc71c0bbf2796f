"""The cumulant expansion around products of any units, and the path from them to the machine."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from test_mean_field_units import SCALES, random_machine

from rbm_tf import enumeration
from rbm_tf.cumulants import weighted_cumulants
from rbm_tf.cumulants.path import lambda_path
from rbm_tf.machine import Machine, energy, machine_of
from rbm_tf.mean_field import (
    all_log_weights,
    cumulant_free_energy,
    cumulant_free_energy_at,
    gibbs_path,
    interpolated_rbm,
    perturbation,
    tap,
)
from rbm_tf.units import Binary, Gaussian, Mixed, Potts, ReLU, Spin, Unit


class Count(Unit):
    """0, 1 or 2 with an energy of their own."""

    bounds = (0.0, 2.0)

    def states(self):
        return np.arange(3.0)[:, np.newaxis]

    def energy(self, t):
        return self.fields(t) ** 2 / 3


FINITE = [
    (Binary(3), Spin(2)),
    (Potts(2, 3), Binary(2)),
    (Spin(2), Potts(2, 3)),
    (Potts(2, 3), Potts(1, 4)),
    (Mixed([Binary(1), Potts(1, 3), Count(1)]), Mixed([Spin(1), Potts(1, 2)])),
]


def moved_point(machine, seed=5):
    """A product somewhere else than at the mean-field point."""
    rng = np.random.default_rng(seed)
    fields = [tf.constant(rng.normal(size=unit.size)) for unit in (machine.visible, machine.hidden)]
    means = [
        unit.mean(x) for unit, x in zip((machine.visible, machine.hidden), fields, strict=True)
    ]
    point = replace(tap(machine, order=1), visible=means[0].numpy(), hidden=means[1].numpy())
    return point, fields


@pytest.mark.grid
@pytest.mark.parametrize("layers", FINITE, ids=str)
def test_orders_are_the_enumerated_cumulants_around_any_product(layers):
    machine = random_machine(*layers, scale=0.8)
    point, (x, y) = moved_point(machine)
    log_weights, log_q = all_log_weights(machine, point)
    kappa = weighted_cumulants(-log_weights, log_q, 3).numpy()
    expected = np.cumsum([kappa[0], -kappa[1] / 2, kappa[2] / 6])
    found = [
        cumulant_free_energy_at(machine, x[tf.newaxis], y[tf.newaxis], order)[0]
        for order in (1, 2, 3)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-11)
    assert found[0] > -enumeration.log_z(machine)


@pytest.mark.long
@pytest.mark.parametrize("layers", FINITE, ids=str)
def test_orders_are_the_enumerated_cumulants_at_the_naive_point(layers):
    machine = random_machine(*layers, scale=0.5)
    log_weights, log_q = all_log_weights(machine, tap(machine, order=1))
    highest = 3 if any("Potts" in str(unit) for unit in layers) else 4
    kappa = weighted_cumulants(-log_weights, log_q, highest).numpy()
    signs = np.array([1, -1 / 2, 1 / 6, -1 / 24])[:highest]
    found = [cumulant_free_energy(machine, order) for order in range(1, highest + 1)]
    np.testing.assert_allclose(found, np.cumsum(signs * kappa), rtol=1e-10)


@pytest.mark.long
@pytest.mark.parametrize(
    ("visible", "hidden", "powers"),
    [(ReLU(3), Binary(2), [2, 3, 4, 5]), (Gaussian(3), Spin(2), [2, 4, 4, 6])],
)
def test_errors_of_the_cumulants_fall_with_their_order(visible, hidden, powers):
    errors = np.zeros((2, 4))
    for seed in range(3):  # one error alone may change its sign with the scale
        for index, scale in enumerate(SCALES):
            machine = random_machine(visible, hidden, scale=scale, seed=seed)
            log_z = enumeration.log_z(machine)
            orders = [float(cumulant_free_energy(machine, order)) for order in (1, 2, 3, 4)]
            errors[index] += np.abs(np.array(orders) + log_z)
    np.testing.assert_allclose(np.log2(errors[0] / errors[1]), powers, atol=0.4)


def test_around_an_exact_product_there_is_nothing_to_add():
    machine = random_machine(Mixed([Gaussian(1), Potts(1, 3)]), ReLU(2), scale=0.0)
    a, b = machine.visible_bias[tf.newaxis], machine.hidden_bias[tf.newaxis]
    for order in (1, 2, 3):
        value = float(cumulant_free_energy_at(machine, a, b, order)[0])
        assert value == pytest.approx(-enumeration_of_a_product(machine), rel=1e-13)


def enumeration_of_a_product(machine):
    total = np.sum(machine.visible.cgf(machine.visible_bias))
    return total + np.sum(machine.hidden.cgf(machine.hidden_bias))


def test_many_products_are_taken_at_once():
    machine = random_machine(Potts(2, 3), Gaussian(2), scale=0.5)
    x, y = (tf.constant(np.random.default_rng(0).normal(size=(4, size))) for size in (6, 2))
    together = cumulant_free_energy_at(machine, x, y, 3)
    alone = [cumulant_free_energy_at(machine, x[k : k + 1], y[k : k + 1], 3)[0] for k in range(4)]
    np.testing.assert_allclose(together, alone, rtol=1e-13)


def test_potts_units_have_no_fourth_cumulant():
    with pytest.raises(ValueError, match="Take order 3"):
        cumulant_free_energy(random_machine(Potts(1, 3), Binary(2)), 4)
    with pytest.raises(ValueError, match="order must be 1, 2 or 3"):
        cumulant_free_energy_at(random_machine(Binary(2), Binary(2)), np.zeros((1, 2)), [[0, 0]], 4)


@pytest.mark.parametrize("layers", [(Gaussian(3, 1.5), Binary(3)), (Potts(2, 3), Spin(2))], ids=str)
def test_path_leads_from_the_product_to_the_machine(layers):
    machine = random_machine(*layers, scale=0.4)
    point, (x, y) = moved_point(machine)
    start, log_scale = interpolated_rbm(machine, point, 0.0)
    np.testing.assert_allclose(machine.visible.mean(start.visible_bias), point.visible, rtol=1e-12)
    assert enumeration.log_z(start) + log_scale == pytest.approx(0, abs=1e-12)
    end, log_scale = interpolated_rbm(machine, point, 1.0)
    assert enumeration.log_z(end) == enumeration.log_z(machine) and log_scale == 0
    step = 1e-3
    ends = []
    for lam in (step, -step):  # dF/dlambda and d^2F/dlambda^2 at q
        between, log_scale = interpolated_rbm(machine, point, lam)
        ends.append(-enumeration.log_z(between) - log_scale)
    orders = [
        float(cumulant_free_energy_at(machine, x[tf.newaxis], y[tf.newaxis], order)[0])
        for order in (1, 2)
    ]
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(orders[0], abs=1e-5)
    assert sum(ends) / step**2 == pytest.approx(2 * (orders[1] - orders[0]), rel=1e-4)


def test_perturbation_is_the_energy_less_that_of_the_product():
    machine = random_machine(Mixed([Gaussian(2, 2.0), ReLU(1)]), Spin(2), scale=0.4)
    point, (x, y) = moved_point(machine)
    v, h = np.array([[0.3, -1.0, 0.7], [2.0, 0.1, 0.0]]), np.array([[1.0, -1], [1, 1]])
    own = energy(Machine(0 * machine.kernel, x, y, machine.visible, machine.hidden), v, h)
    log_z = np.sum(machine.visible.cgf(x)) + np.sum(machine.hidden.cgf(y))
    expected = energy(machine, v, h) - own - log_z
    np.testing.assert_allclose(perturbation(machine, point, v, h), expected, rtol=1e-9)


@pytest.mark.slow
def test_samples_along_the_path_have_its_mean_and_variance():
    machine = random_machine(Gaussian(3, 1.5), Spin(3), scale=0.4)
    point, lambdas, num = moved_point(machine)[0], np.array([0.0, 0.5, 1.0]), 4000
    samples = gibbs_path(machine, point, lambdas, num_chains=num, num_steps=20, seed=0).numpy()
    step = 1e-3

    def free_energy(lam):
        between, log_scale = interpolated_rbm(machine, point, lam)
        return -enumeration.log_z(between) - log_scale

    for lam, v in zip(lambdas, samples, strict=True):
        below, here, above = (free_energy(lam + k * step) for k in (-1, 0, 1))
        error = v.std(ddof=1) / np.sqrt(num)
        assert abs(v.mean() - (above - below) / (2 * step)) < 5 * error + 1e-5
        squares = (v - v.mean()) ** 2
        error = squares.std(ddof=1) / np.sqrt(num)
        assert abs(v.var(ddof=1) + (above - 2 * here + below) / step**2) < 5 * error + 1e-4


@pytest.mark.long
def test_all_states_of_finite_layers_are_weighed():
    machine = random_machine(Mixed([Potts(1, 3), Binary(2)]), Count(2), scale=0.6)
    point, _ = moved_point(machine)
    log_weights, log_q = all_log_weights(machine, point)
    assert len(log_q) == 3 * 4 * 9
    assert float(tf.reduce_logsumexp(log_q)) == pytest.approx(0, abs=1e-13)
    path = lambda_path(log_weights, [0.0, 0.3, 1.0], log_q=log_q)
    between, log_scale = interpolated_rbm(machine, point, 0.3)
    assert float(path.free_energy[1]) == pytest.approx(
        -enumeration.log_z(between) - log_scale, rel=1e-12
    )


def test_impossible_products_are_refused():
    machine = random_machine(ReLU(2), Potts(1, 3))
    point = tap(machine, order=1)
    for name, means in (("visible", [0.0, 1.0]), ("hidden", [0.0, 0.5, 0.5])):
        with pytest.raises(ValueError, match="inside the support"):
            interpolated_rbm(machine, replace(point, **{name: np.array(means)}), 0.5)
    with pytest.raises(ValueError, match=r"2\^20 states; got ReLU\(2\) and Potts\(1, 3\)"):
        all_log_weights(machine, point)


def test_binary_machines_need_no_units():
    kernel, a, b = (x.numpy() for x in random_machine(Binary(3), Binary(2)).parameters)
    machine = Machine(kernel, a, b)
    expected = cumulant_free_energy(machine_of(machine, dtype=tf.float64), 4)
    assert float(cumulant_free_energy(machine, 4)) == float(expected)
