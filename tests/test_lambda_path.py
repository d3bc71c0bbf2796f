from dataclasses import replace

import numpy as np
import pytest
import scipy.integrate
import tensorflow as tf

from rbm_tf import enumeration
from rbm_tf.cumulants import weighted_cumulants
from rbm_tf.cumulants.path import integrate_path, lambda_path, taylor_polynomials
from rbm_tf.mean_field import tap
from rbm_tf.mean_field.path import all_log_weights, gibbs_path, interpolated_rbm, perturbation

LAMBDAS = np.linspace(0.0, 1.0, 6)


@pytest.fixture
def small(random_rbm):
    rbm = random_rbm(5, 4)
    point = tap(rbm, order=1)
    return rbm, point, *all_log_weights(rbm, point)


def test_path_ends_at_the_trial_and_at_the_full_free_energy(small):  # B19, B20
    rbm, _, log_weights, log_q = small
    assert float(tf.reduce_logsumexp(log_q)) == pytest.approx(0, abs=1e-12)
    path = lambda_path(log_weights, LAMBDAS, log_q=log_q)
    assert float(path.free_energy[0]) == pytest.approx(0, abs=1e-12)
    assert float(path.free_energy[-1]) == pytest.approx(-enumeration.log_z(rbm), rel=1e-12)


def test_mean_and_minus_variance_are_the_derivatives_of_the_free_energy(small):  # B20
    _, _, log_weights, log_q = small
    step = 1e-5
    path = lambda_path(log_weights, [0.3 - step, 0.3, 0.3 + step], log_q=log_q)
    below, _, above = path.free_energy.numpy()
    assert (above - below) / (2 * step) == pytest.approx(float(path.mean[1]), rel=1e-6)
    slope = float(path.mean[2] - path.mean[0]) / (2 * step)
    assert -slope == pytest.approx(float(path.variance[1]), rel=1e-6)


def test_self_normalised_path_of_gaussian_log_weights_is_within_five_standard_errors():
    # ln w ~ N(m, s^2): F(lambda) = -lambda m - lambda^2 s^2 / 2, <V> = -m - lambda s^2.
    m, s, num_samples = -2.0, 0.8, 20_000
    log_weights = np.random.default_rng(0).normal(m, s, size=(num_samples, 3))
    path = lambda_path(log_weights, LAMBDAS)
    assert path.mean.shape == (6, 3)
    for row, lam in enumerate(LAMBDAS):
        spread = np.sqrt(np.expm1(lam**2 * s**2) / num_samples)  # of the mean of w^lambda
        exact = -lam * m - (lam * s) ** 2 / 2
        assert np.all(np.abs(path.free_energy[row] - exact) <= 5 * spread + 1e-12)
        share = np.exp(lam * (log_weights - m)) / num_samples * np.exp(-((lam * s) ** 2) / 2)
        residual = -log_weights - (-m - lam * s**2)
        error = np.sqrt(np.sum((share * residual) ** 2, 0))
        assert np.all(np.abs(path.mean[row] + m + lam * s**2) <= 5 * error)


def test_taylor_polynomials_leave_the_error_of_the_next_order(small):  # B23
    _, _, log_weights, log_q = small
    kappa = weighted_cumulants(-log_weights, log_q, 5)
    lambdas = np.array([0.04, 0.02])
    polynomials = taylor_polynomials(kappa, lambdas).numpy()
    exact = lambda_path(log_weights, lambdas, log_q=log_q).free_energy.numpy()
    errors = np.abs(polynomials - exact)
    np.testing.assert_allclose(np.log2(errors[:4, 0] / errors[:4, 1]), [2, 3, 4, 5], atol=0.2)


def test_thermodynamic_integration_gains_two_powers_from_the_end_slopes(small):
    rbm, _, log_weights, log_q = small
    exact, plain, corrected = -enumeration.log_z(rbm), [], []
    for num_steps in (32, 64):
        path = lambda_path(log_weights, np.linspace(0, 1, num_steps + 1), log_q=log_q)
        plain.append(float(integrate_path(path.lambdas, path.mean)) - exact)
        both = integrate_path(path.lambdas, path.mean, variance=path.variance)
        corrected.append(float(both) - exact)
    assert np.log2(plain[0] / plain[1]) == pytest.approx(2, abs=0.1)
    assert np.log2(corrected[0] / corrected[1]) == pytest.approx(4, abs=0.2)


def test_corrected_rule_is_exact_for_cubics_on_unequal_steps():
    lambdas = np.array([0.0, 0.1, 0.4, 1.0])
    mean, slope = lambdas**3 - lambdas, 3 * lambdas**2 - 1
    integral = integrate_path(lambdas, mean, variance=-slope)
    expected = scipy.integrate.quad(lambda x: x**3 - x, 0, 1)[0]
    assert float(integral) == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match="must increase"):
        integrate_path([0.0, 0.5, 0.5], [1.0, 1.0, 1.0])


def test_interpolated_rbm_has_the_free_energy_of_the_path(small):  # B18, B19
    rbm, point, log_weights, log_q = small
    path = lambda_path(log_weights, LAMBDAS, log_q=log_q)
    for lam, free_energy in zip(LAMBDAS, path.free_energy.numpy(), strict=True):
        parameters, log_scale = interpolated_rbm(rbm, point, lam)
        by_enumeration = -enumeration.log_z(parameters) - log_scale
        assert by_enumeration == pytest.approx(free_energy, rel=1e-10, abs=1e-10)


def test_perturbation_is_the_energy_minus_that_of_the_trial(random_rbm):  # B18
    rbm = random_rbm(5, 3)
    point = tap(rbm, order=1)
    rng = np.random.default_rng(0)
    v, h = rng.integers(0, 2, (4, 5)).astype(float), rng.integers(0, 2, (4, 3)).astype(float)
    trial_energy = 0.0
    for state, mean in ((v, point.visible), (h, point.hidden)):
        trial_energy -= np.log(np.where(state == 1, mean, 1 - mean)).sum(1)
    expected = rbm.energy(v, h).numpy() - trial_energy
    np.testing.assert_allclose(perturbation(rbm, point, v, h), expected, rtol=1e-10)


def test_gibbs_sampling_along_the_path_gives_its_mean_and_variance(small):
    rbm, point, log_weights, log_q = small
    exact = lambda_path(log_weights, LAMBDAS, log_q=log_q)
    samples = gibbs_path(rbm, point, LAMBDAS, num_chains=4000, num_steps=20, seed=0).numpy()
    again = gibbs_path(rbm, point, LAMBDAS, num_chains=4000, num_steps=20, seed=0).numpy()
    np.testing.assert_array_equal(samples, again)
    error = samples.std(1, ddof=1) / np.sqrt(4000)
    assert np.all(np.abs(samples.mean(1) - exact.mean) < 5 * error)
    centred = (samples - samples.mean(1, keepdims=True)) ** 2
    error = centred.std(1, ddof=1) / np.sqrt(4000)
    assert np.all(np.abs(samples.var(1, ddof=1) - exact.variance) < 5 * error)
    integral = integrate_path(LAMBDAS, samples.mean(1), variance=samples.var(1, ddof=1))
    rule = integrate_path(LAMBDAS, exact.mean, variance=exact.variance)
    assert float(integral) == pytest.approx(float(rule), abs=5 * samples.std() / np.sqrt(4000))


def test_impossible_requests_are_refused(random_rbm, small):
    rbm, point, *_ = small
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        interpolated_rbm(rbm, replace(point, visible=np.ones(5)), 0.5)
    with pytest.raises(ValueError, match="up to 20 units"):
        all_log_weights(random_rbm(15, 6), point)
    for wrong in ({"num_chains": 0}, {"num_steps": 0}):
        with pytest.raises(ValueError, match="of 1 or more"):
            gibbs_path(rbm, point, LAMBDAS, **wrong)
