import itertools

import numpy as np
import pytest
import scipy.special
import scipy.stats

from rbm_tf.cumulants import (
    cumulants_from_moments,
    log_expectation,
    sample_cumulants,
    weighted_cumulants,
)
from rbm_tf.ising import Ising, chain
from rbm_tf.ising.trials import block_trial, trial_free_energies
from vae_keras.evidence import cumulant, elbo, grouped_cumulant, iwae, jackknife

COPIES = (1, 2, 4, 8, 16, 32, 64)
SIZE, PROBABILITY = 1.2, 0.2  # one copy: ln w = SIZE with this probability, else 0
EXACT = np.log(1 - PROBABILITY + PROBABILITY * np.exp(SIZE))  # ln p(x) of one copy, nats
NUM_SAMPLES, NUM_REPEATS = 12, 20_000


def states(num_copies):
    """The values of ln w of independent copies, and their probabilities."""
    count = np.arange(num_copies + 1)
    return SIZE * count, scipy.stats.binom(num_copies, PROBABILITY).pmf(count)


def kappa_of_copies(num_copies, max_order):
    x, probabilities = states(num_copies)
    return weighted_cumulants(x, np.log(probabilities), max_order).numpy()


def log_weights(num_copies, num_samples=NUM_SAMPLES, seed=0):
    rng = np.random.default_rng(seed)
    return SIZE * rng.binomial(num_copies, PROBABILITY, (num_samples, NUM_REPEATS)).astype(float)


def log_mean_cumulants(x, probabilities, num_samples, max_order=2):
    """Exact cumulants of L = ln((w_1 + .. + w_K) / K), ln w having the values x.

    If e is exponential, P(ln e - ln(w_1 + .. + w_K) > u) = <exp(-w exp(u))>^K, and the cumulants of
    the two logarithms add up. The integrals of P are taken against those of ln e alone.
    """
    shift, u = x @ probabilities, np.linspace(-50, 25, 1501)
    keep = probabilities > 1e-30
    weights = np.exp(np.clip(np.add.outer(u, (x - shift)[keep]), None, 50.0))  # exp(-e^50) is 0
    survival = (np.exp(-weights) @ probabilities[keep]) ** num_samples
    survival_e, density_e = np.exp(-np.exp(u)), np.exp(u - np.exp(u))  # of ln e alone
    orders = np.arange(1, max_order + 1)
    moments = [
        np.trapezoid(u**n * density_e + n * u ** (n - 1) * (survival - survival_e), u)
        for n in orders
    ]
    kappa_e = scipy.special.polygamma(orders - 1, 1.0)
    kappa = (-1.0) ** orders * (cumulants_from_moments(np.array(moments)).numpy() - kappa_e)
    return kappa + (orders == 1) * (shift - np.log(num_samples))


def exact_value(name, num_copies):
    """The expectation of an estimator of ln p(x) from 12 samples of ln w of the copies, nats."""
    level = [log_mean_cumulants(*states(num_copies), k) for k in (1, 4, 11, 12)]
    if name == "iwae":
        return level[3][0]
    if name == "jackknife":
        return 12 * level[3][0] - 11 * level[2][0]
    return level[1][0] + level[1][1] / 2  # three groups of 4


ESTIMATORS = {
    "iwae": iwae,
    "jackknife": jackknife,
    "grouped": lambda w: grouped_cumulant(w, group_size=4),
}


def mean_and_error(estimates):
    estimates = np.asarray(estimates)
    return estimates.mean(), estimates.std(ddof=1) / np.sqrt(len(estimates))


@pytest.mark.parametrize("num_copies", COPIES)
def test_every_cumulant_order_of_n_copies_is_n_times_that_of_one(num_copies):  # B27
    one, many = kappa_of_copies(1, 6), kappa_of_copies(num_copies, 6)
    np.testing.assert_allclose(many, num_copies * one, rtol=1e-7, atol=1e-9)
    for order in range(1, 7):
        total, single = log_expectation(many[:order]), log_expectation(one[:order])
        assert float(total) == pytest.approx(num_copies * float(single), rel=1e-9)


def test_cumulants_of_unlike_copies_add_up():  # B27
    rng = np.random.default_rng(0)
    parts = [(rng.normal(size=4), rng.dirichlet(np.ones(4))) for _ in range(5)]
    x = sum(np.ix_(*(values for values, _ in parts))).ravel()
    p = np.prod(np.stack(np.broadcast_arrays(*np.ix_(*(p for _, p in parts)))), axis=0).ravel()
    separate = sum(weighted_cumulants(values, np.log(p), 5).numpy() for values, p in parts)
    np.testing.assert_allclose(weighted_cumulants(x, np.log(p), 5), separate, atol=1e-10)


def test_a_truncated_series_of_moments_loses_its_correction_with_size():  # B27
    per_copy = []
    for num_copies in COPIES:
        mean, variance, third = kappa_of_copies(num_copies, 3)
        per_copy.append((mean + np.log1p(variance / 2 + third / 6)) / num_copies)
    assert np.all(np.diff(per_copy) < 0)
    gain = np.array(per_copy) - SIZE * PROBABILITY  # over order 1
    assert np.all(gain > 0) and gain[-1] < 0.3 * gain[0]


def test_every_order_of_disconnected_rings_is_that_of_one_times_their_number():  # B27
    def orders(num_rings):
        shape = (5, num_rings)
        model = Ising(np.zeros(shape), np.full(shape, 0.7), np.full(shape, 0.3))
        trial = Ising(np.zeros(shape), np.zeros(shape), np.full(shape, 0.9))
        return np.append(trial_free_energies(model, trial, max_order=5), -model.log_z())

    for num_rings in (2, 3, 6):
        np.testing.assert_allclose(orders(num_rings), num_rings * orders(1), rtol=1e-11)


def test_an_order_of_a_ring_per_spin_knows_its_length_only_when_it_can_go_round_it():  # B23, B27
    def per_spin(length):
        return (
            trial_free_energies(chain(length, 0.4), chain(length, 0.0, field=0.3), max_order=6)
            / length
        )

    infinite = per_spin(40)
    for length in (3, 4, 5, 6):
        off = np.abs(per_spin(length) - infinite) > 1e-13
        np.testing.assert_array_equal(off, np.arange(1, 7) >= length)


def test_blocks_are_variational_correlated_and_extensive():  # B16, B27
    bounds = []
    for length in (8, 16, 32):
        model = chain(length, 0.3, field=0.1)
        bounds.append(trial_free_energies(model, block_trial(model, (2, 1)), max_order=3) / length)
    np.testing.assert_allclose(bounds, [bounds[0]] * 3, rtol=1e-10)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_sampled_cumulants_are_extensive_in_expectation(order):  # B27
    single = float(log_expectation(kappa_of_copies(1, order)))
    for num_copies in (1, 8, 64):
        mean, error = mean_and_error(cumulant(log_weights(num_copies), order=order))
        assert abs(mean - num_copies * single) < 5 * error


def test_exact_law_of_a_log_mean_equals_enumeration():
    x, p = states(3)
    draws = np.array(list(itertools.product(range(4), repeat=3)))
    weight = p[draws].prod(1)
    level = np.log(np.exp(x[draws]).mean(1))
    expected = weighted_cumulants(level, np.log(weight), 4)
    np.testing.assert_allclose(log_mean_cumulants(x, p, 3, 4), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("num_copies", [1, 16, 64])
def test_sampled_estimates_have_their_exact_expectation(name, num_copies):
    mean, error = mean_and_error(ESTIMATORS[name](log_weights(num_copies)))
    assert abs(mean - exact_value(name, num_copies)) < 5 * error


@pytest.mark.parametrize("name", ESTIMATORS)
def test_error_per_copy_grows_at_a_fixed_number_of_samples(name):  # B27
    errors = [EXACT - exact_value(name, n) / n for n in COPIES]
    assert np.all(np.diff(np.abs(errors[1:])) > 0)
    gap = EXACT - SIZE * PROBABILITY  # per copy, of the ELBO
    assert abs(errors[0]) < 0.15 * gap < 0.25 * gap < errors[-1] < gap
    few, many = (mean_and_error(EXACT - ESTIMATORS[name](log_weights(n)) / n) for n in (2, 64))
    assert many[0] - abs(few[0]) > 5 * np.hypot(few[1], many[1])  # and so with samples


def test_iwae_per_copy_falls_back_to_the_elbo():  # B27
    gain = [exact_value("iwae", n) / n - SIZE * PROBABILITY for n in (64, 256, 1024)]
    variance = SIZE**2 * PROBABILITY * (1 - PROBABILITY)  # of ln w of one copy
    limits = [np.sqrt(2 * variance * np.log(NUM_SAMPLES) / n) for n in (64, 256, 1024)]
    assert np.all(np.array(gain) < limits)
    assert np.all(np.diff(gain) < 0) and gain[-1] < 0.4 * gain[0]
    mean, error = mean_and_error(elbo(log_weights(64)) / 64)
    assert abs(mean - SIZE * PROBABILITY) < 5 * error


@pytest.mark.parametrize("power", [0.3, 0.6, 0.9, 1.0])
def test_power_means_limit_iwae(power):
    # <L_K> <= K(t) / t + (1/t - 1) ln K for 0 < t <= 1, with the generating function K(t) of ln w.
    for num_copies in COPIES:
        generating = np.log(1 - PROBABILITY + PROBABILITY * np.exp(power * SIZE)) * num_copies
        limit = generating / power + (1 / power - 1) * np.log(NUM_SAMPLES)
        assert exact_value("iwae", num_copies) < limit


@pytest.mark.parametrize("num_samples", [2, 10, 100])
def test_error_of_iwae_for_gaussian_log_weights_is_above_its_limit(num_samples):
    nodes = np.linspace(-12, 12, 2001)
    probabilities = scipy.stats.norm.pdf(nodes) * (nodes[1] - nodes[0])
    for variance in (10.0, 20.0, 40.0):  # all with ln K < variance / 2
        deviation = np.sqrt(variance)
        level = log_mean_cumulants(deviation * nodes, probabilities, num_samples)[0]
        limit = (deviation / np.sqrt(2) - np.sqrt(np.log(num_samples))) ** 2
        assert variance / 2 - level > limit


def test_noise_of_the_third_cumulant_per_copy_grows_with_the_root_of_the_size():  # B27
    n, errors = NUM_SAMPLES, []
    for num_copies in (1, 16, 64):
        _, k2, k3, k4, _, k6 = kappa_of_copies(num_copies, 6)
        variance = k6 / n + 9 * (k2 * k4 + k3**2) / (n - 1)
        variance += 6 * n * k2**3 / ((n - 1) * (n - 2))
        third = sample_cumulants(log_weights(num_copies), 3)[2].numpy()
        squares = (third - third.mean()) ** 2
        mean, error = mean_and_error(squares)
        assert abs(mean - variance) < 5 * error
        errors.append(np.sqrt(variance) / num_copies)
    growth = errors[2] / errors[1]
    assert 1.8 < growth < 2.0  # towards 2, the root of 64 / 16
