import numpy as np
import pytest
import scipy.optimize
import tensorflow as tf

from rbm_tf import enumeration
from rbm_tf.cumulants import weighted_cumulants
from rbm_tf.machine import Machine
from rbm_tf.mean_field import cumulant_free_energy, plefka, tap
from rbm_tf.mean_field.expansion import (
    cumulant_moments,
    fourth_cumulant,
    plefka_fourth_term,
    response_step,
)
from rbm_tf.mean_field.path import all_log_weights


def test_fourth_cumulant_equals_the_enumerated_one(random_rbm):  # B22, B26
    rbm = random_rbm(5, 4, scale=0.8)
    point = tap(rbm, order=1)
    log_weights, log_q = all_log_weights(rbm, point)
    kappa = weighted_cumulants(-log_weights, log_q, 4).numpy()
    closed = float(fourth_cumulant(rbm.kernel.value, point.visible, point.hidden))
    assert closed == pytest.approx(kappa[3], rel=1e-7)
    difference = cumulant_free_energy(rbm, 4) - cumulant_free_energy(rbm, 3)
    assert float(difference) == pytest.approx(-kappa[3] / 24, rel=1e-7)


def legendre(kernel, m, n):
    """The exact free energy at fixed magnetisations: max over biases of F + a.m + b.n."""

    def minus(biases):
        parameters = kernel, biases[: len(m)], biases[len(m) :]
        log_z, moments = enumeration.moments_in_graph(Machine(*parameters))
        gap = np.concatenate([moments.visible - m, moments.hidden - n])
        return float(log_z) - biases @ np.concatenate([m, n]), gap

    start = np.concatenate([np.log(m / (1 - m)), np.log(n / (1 - n))])
    result = scipy.optimize.minimize(minus, start, jac=True, method="BFGS", options={"gtol": 1e-9})
    return -result.fun


@pytest.mark.long
def test_plefka_expansion_has_the_error_of_the_fifth_order():  # B26
    rng = np.random.default_rng(1)
    zero = tf.zeros(3, tf.float64), tf.zeros(2, tf.float64)
    errors = np.zeros(2)
    for _ in range(8):  # one error alone may change its sign with the scale
        kernel, m, n = rng.normal(size=(3, 2)), rng.uniform(0.1, 0.9, 3), rng.uniform(0.1, 0.9, 2)
        for index, scale in enumerate((0.3, 0.15)):
            w = scale * kernel
            gamma = plefka.gamma((tf.constant(w), *zero), m[None], n[None], 3)[0]
            gamma += plefka_fourth_term(w, m, n)
            errors[index] += abs(legendre(w, m, n) - float(gamma))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(5, abs=0.4)


def test_the_two_fourth_orders_differ_by_the_relaxation_of_the_magnetisations():  # B26
    rng = np.random.default_rng(2)
    kernel, m, n = rng.normal(size=(5, 4)), rng.uniform(size=5), rng.uniform(size=4)
    c, d = m * (1 - m), n * (1 - n)
    relaxation = np.sum(c * (1 - 2 * m) ** 2 * (kernel**2 @ d) ** 2)
    relaxation += np.sum(d * (1 - 2 * n) ** 2 * (c @ kernel**2) ** 2)
    difference = plefka_fourth_term(kernel, m, n) + fourth_cumulant(kernel, m, n) / 24
    assert float(difference) == pytest.approx(relaxation / 8, rel=1e-10)


def test_tap_leaves_the_second_order_cumulants_at_the_fourth_order(random_rbm):  # B26
    # Gamma_2 at its own minimum lies relaxation / 8 below Gamma_2 at the naive point.
    ratios = []
    for scale in (0.1, 0.05):
        rbm = random_rbm(5, 4, scale=scale, bias_scale=1.0)
        naive = tap(rbm, order=1)
        m, n, kernel = naive.visible, naive.hidden, rbm.kernel.numpy()
        c, d = m * (1 - m), n * (1 - n)
        relaxation = np.sum(c * (1 - 2 * m) ** 2 * (kernel**2 @ d) ** 2)
        relaxation += np.sum(d * (1 - 2 * n) ** 2 * (c @ kernel**2) ** 2)
        gap = float(cumulant_free_energy(rbm, 2)) - tap(rbm, order=2).free_energy
        ratios.append(gap / (relaxation / 8))
    assert ratios[1] == pytest.approx(1, abs=0.1)
    assert abs(ratios[1] - 1) < abs(ratios[0] - 1)


@pytest.mark.parametrize(("order", "power"), [(1, 2), (2, 3), (3, 4), (4, 5)])
def test_error_of_the_cumulant_free_energy_falls_with_its_order(random_rbm, order, power):
    errors = np.zeros(2)
    for seed in range(8):  # one error alone may change its sign with the scale
        for index, scale in enumerate((0.06, 0.03)):
            rbm = random_rbm(6, 5, scale=scale, seed=seed, bias_scale=0.7)
            errors[index] += abs(float(cumulant_free_energy(rbm, order)) + enumeration.log_z(rbm))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(power, abs=0.25)


def gradient(rbm, order):
    """Minus the gradient of F_order, from the formulas, as visible, hidden and correlation."""
    point = tap(rbm, order=1)
    kernel = tf.constant(rbm.kernel.numpy())
    pair = tf.constant(point.visible[None]), tf.constant(point.hidden[None])
    response = tuple(tf.zeros_like(x) for x in pair)
    for _ in range(200):
        response = response_step(kernel, pair, response, order)
    return [x.numpy() for x in cumulant_moments(kernel, pair, response, order)]


def rbm_parameters(rbm):
    return rbm.visible_bias, rbm.hidden_bias, rbm.kernel


@pytest.mark.grid
@pytest.mark.parametrize("order", [1, 2, 3])
def test_moments_are_the_gradient_of_the_cumulant_free_energy(random_rbm, order):  # B26
    rbm = random_rbm(4, 3, scale=0.6)
    moments = gradient(rbm, order)
    for parameter, moment in zip(rbm_parameters(rbm), moments, strict=True):
        value = parameter.numpy()
        for index in np.ndindex(value.shape):
            ends = []
            for step in (1e-4, -1e-4):
                moved = value.copy()
                moved[index] += step
                parameter.assign(moved)
                ends.append(float(cumulant_free_energy(rbm, order)))
            parameter.assign(value)
            assert -(ends[0] - ends[1]) / 2e-4 == pytest.approx(moment[index], abs=1e-6)


@pytest.mark.parametrize(("order", "power"), [(1, 2), (2, 3), (3, 4)])
def test_magnetisations_with_their_response_are_as_good_as_taps(random_rbm, order, power):
    errors, differences = [], []
    for scale in (0.02, 0.01):
        rbm = random_rbm(6, 5, scale=scale, bias_scale=0.7)
        visible = gradient(rbm, order)[0]
        errors.append(np.linalg.norm(visible - enumeration.moments(rbm).visible))
        differences.append(np.linalg.norm(visible - tap(rbm, order=order).visible))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(power, abs=0.3)
    if order > 1:
        assert np.log2(differences[0] / differences[1]) == pytest.approx(4, abs=0.3)
