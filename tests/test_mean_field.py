import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from rbm_tf import enumeration
from rbm_tf.cumulants import log_expectation, weighted_cumulants
from rbm_tf.machine import clamped_free_energy, machine_of
from rbm_tf.mean_field import cumulant_free_energy, plefka, tap


def trial_and_perturbation(rbm, point, all_states):
    """ln q and V = H - H_q over all states, q the product of Bernoullis at a mean-field point."""
    v, h = all_states(rbm.num_visible), all_states(rbm.num_hidden)
    a, b, w = (x.numpy() for x in (rbm.visible_bias, rbm.hidden_bias, rbm.kernel))
    energy = -(v @ a)[:, None] - h @ b - v @ w @ h.T

    def log_bernoulli(states, mean):
        return states @ np.log(mean) + (1 - states) @ np.log1p(-mean)

    log_q = log_bernoulli(v, point.visible)[:, None] + log_bernoulli(h, point.hidden)
    return log_q.ravel(), (energy + log_q).ravel()  # H_q = -ln q, so Z_q = 1 and F_q = 0


@pytest.mark.parametrize("order", [1, 2, 3])
def test_gamma_is_stationary_at_the_returned_point(random_rbm, order):
    rbm = random_rbm(8, 5, scale=0.5)
    point = tap(rbm, order=order)
    assert point.converged
    m, n = tf.constant(point.visible[None]), tf.constant(point.hidden[None])
    with tf.GradientTape() as tape:
        tape.watch([m, n])
        gamma = plefka.gamma(machine_of(rbm, dtype="float64").parameters, m, n, order)
    assert float(gamma[0]) == pytest.approx(point.free_energy, rel=1e-12)
    for gradient in tape.gradient(gamma, [m, n]):
        np.testing.assert_allclose(gradient, np.zeros_like(gradient), atol=1e-8)


def test_naive_map_is_stationary_where_clamped_free_energy_minus_entropy_is(random_rbm):  # B54
    rbm = random_rbm(8, 5, scale=1.5)
    machine, point = machine_of(rbm, dtype="float64"), tap(rbm, order=1)
    a, b, w = (x.numpy() for x in (rbm.visible_bias, rbm.hidden_bias, rbm.kernel))

    def decode_encode(m):
        return special.expit(a + special.expit(b + m @ w) @ w.T)

    def reduced(m):  # G(m) = F_c(m) - S(m)
        minus_entropy = tf.reduce_sum(tf.math.xlogy(m, m) + tf.math.xlogy(1 - m, 1 - m), -1)
        return clamped_free_energy(machine, m) + minus_entropy

    m = tf.constant(np.random.default_rng(0).uniform(0.05, 0.95, (20, 8)))
    with tf.GradientTape() as tape:
        tape.watch(m)
        value = reduced(m)
    expected = special.logit(m) - special.logit(decode_encode(m))
    np.testing.assert_allclose(tape.gradient(value, m), expected, rtol=1e-9, atol=1e-9)
    assert np.all(reduced(tf.constant(decode_encode(m))) < value)
    np.testing.assert_allclose(decode_encode(point.visible), point.visible, atol=1e-9)
    at_point = float(reduced(tf.constant(point.visible[None]))[0])
    assert at_point == pytest.approx(point.free_energy, rel=1e-12)


@pytest.mark.parametrize(("order", "power"), [(1, 2), (2, 3), (3, 4)])
def test_magnetisation_error_falls_as_a_power_of_the_coupling(random_rbm, order, power):
    errors = []
    for scale in (0.08, 0.04):
        rbm = random_rbm(6, 5, scale=scale, bias_scale=0.7)
        point, exact = tap(rbm, order=order), enumeration.moments(rbm)
        error = np.concatenate([point.visible - exact.visible, point.hidden - exact.hidden])
        errors.append(np.linalg.norm(error))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(power, abs=0.3)


@pytest.mark.parametrize("order", [2, 3])
def test_free_energy_gradient_of_tap_is_closer_to_exact_than_naive(random_rbm, order):
    rbm = random_rbm(6, 5, scale=0.1, bias_scale=0.7)
    exact = enumeration.moments(rbm).correlation
    kernel = tf.constant(rbm.kernel.numpy())
    errors = []
    for this_order in (1, order):
        point = tap(rbm, order=this_order)
        biases = machine_of(rbm, dtype="float64").parameters[1:]
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            gamma = plefka.gamma(
                (kernel, *biases), point.visible[None], point.hidden[None], this_order
            )
        errors.append(np.abs(-tape.gradient(gamma, kernel).numpy() - exact).max())
    assert errors[1] < errors[0] / 10


def test_second_and_third_cumulants_equal_the_onsager_terms(random_rbm, all_states):  # B22, B26
    rbm = random_rbm(6, 4, scale=0.5)
    point = tap(rbm, order=1)
    log_q, v = trial_and_perturbation(rbm, point, all_states)
    kappa = weighted_cumulants(v, log_q, 3).numpy()
    orders = [float(cumulant_free_energy(rbm, order)) for order in (1, 2, 3)]
    assert orders[0] == pytest.approx(kappa[0], rel=1e-9)
    assert orders[1] - orders[0] == pytest.approx(-kappa[1] / 2, rel=1e-7)
    assert orders[2] - orders[1] == pytest.approx(kappa[2] / 6, rel=1e-7)
    w, m, n = rbm.kernel.numpy(), point.visible, point.hidden
    c, d = m * (1 - m), n * (1 - n)
    assert kappa[1] == pytest.approx(c @ w**2 @ d, rel=1e-7)
    assert -kappa[2] == pytest.approx((c * (1 - 2 * m)) @ w**3 @ (d * (1 - 2 * n)), rel=1e-7)


def test_free_energy_equals_trial_minus_log_average(random_rbm, all_states):  # B18, B19, B20
    rbm = random_rbm(6, 4)
    log_q, v = trial_and_perturbation(rbm, tap(rbm, order=1), all_states)
    assert np.logaddexp.reduce(log_q) == pytest.approx(0, abs=1e-12)  # Z_q = 1, F_q = 0
    free_energy = -np.logaddexp.reduce(log_q - v)  # -ln sum exp(-H_q - V) = F_q - ln <exp(-V)>_q
    assert free_energy == pytest.approx(-enumeration.log_z(rbm), rel=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_expansion_in_lambda_has_the_error_of_the_next_order(random_rbm, all_states, order):  # B23
    rbm = random_rbm(5, 4)
    log_q, v = trial_and_perturbation(rbm, tap(rbm, order=1), all_states)
    errors = []
    for scale in (0.02, 0.01):  # lambda
        exact = -np.logaddexp.reduce(log_q - scale * v)
        series = -float(log_expectation(weighted_cumulants(-scale * v, log_q, order)))
        errors.append(abs(series - exact))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order + 1, abs=0.1)


def test_gap_of_order_one_is_the_kullback_leibler_divergence(random_rbm, all_states):  # B24
    rbm = random_rbm(6, 4)
    log_q, v = trial_and_perturbation(rbm, tap(rbm, order=1), all_states)
    log_p = log_q - v - enumeration.log_z(rbm)
    divergence = np.sum(np.exp(log_q) * (log_q - log_p))
    gap = float(cumulant_free_energy(rbm, 1)) + enumeration.log_z(rbm)
    assert gap == pytest.approx(divergence, rel=1e-9)
    assert gap > 0


def test_naive_mean_field_bounds_at_every_coupling(random_rbm):  # B24
    for scale in (0.1, 1.0, 4.0):
        for seed in range(5):
            rbm = random_rbm(6, 5, scale=scale, seed=seed)
            assert tap(rbm, order=1).free_energy >= -enumeration.log_z(rbm)


def test_lack_of_convergence_is_reported(random_rbm):
    rbm = random_rbm(30, 30, scale=3.0)
    point = tap(rbm, order=3, max_iterations=200)
    assert not point.converged
    assert point.num_iterations == 200


def test_cumulants_at_an_unconverged_point_warn(random_rbm, monkeypatch):
    rbm = random_rbm(6, 4)
    short = tap(rbm, order=1, max_iterations=2)
    monkeypatch.setattr("rbm_tf.mean_field.products.tap", lambda rbm, order: short)
    with pytest.warns(UserWarning, match="did not converge in 2 iterations"):
        cumulant_free_energy(rbm, 2)


def test_wrong_arguments_are_refused(random_rbm):
    rbm = random_rbm(3, 2)
    for order in (0, 5):
        for function in (tap, cumulant_free_energy):
            with pytest.raises(ValueError, match="order must be 1, 2, 3 or 4"):
                function(rbm, order=order)
    for wrong in ({"num_starts": 0}, {"max_iterations": 0}, {"damping": 1.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            tap(rbm, **wrong)
