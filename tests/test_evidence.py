import itertools
import math

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import ndtri

from vae_keras.evidence import (
    cumulant,
    elbo,
    grouped_cumulant,
    iwae,
    jackknife,
    thermodynamic_sum,
)


@pytest.fixture
def log_weights():
    return tf.constant(np.random.default_rng(0).normal(-50, 1.5, size=(60, 4)))


def test_elbo_is_the_mean_and_iwae_the_log_mean_exp(log_weights):
    w = log_weights.numpy()
    np.testing.assert_allclose(elbo(log_weights), w.mean(0), rtol=1e-12)
    expected = np.logaddexp.reduce(w, 0) - np.log(60)
    np.testing.assert_allclose(iwae(log_weights), expected, rtol=1e-12)


def jackknife_by_definition(w, order):
    """Nowozin's sum, over all subsets that leave up to `order` samples out."""
    num, total = len(w), 0.0
    for j in range(order + 1):
        subsets = [
            np.logaddexp.reduce(np.delete(w, left_out, 0), 0) - np.log(num - j)
            for left_out in itertools.combinations(range(num), j)
        ]
        share = (-1) ** j * (num - j) ** order / math.factorial(j) / math.factorial(order - j)
        total = total + share * np.mean(subsets, 0)
    return total


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("deviation", [0.1, 1.5, 10.0, 60.0])  # at 60 one weight has all the mass
@pytest.mark.parametrize("num_samples", [3, 4, 20])
def test_jackknife_equals_its_definition_over_all_subsets(num_samples, deviation, order):
    w = np.random.default_rng(0).normal(-5, deviation, size=(num_samples, 4))
    expected = jackknife_by_definition(w, order)
    np.testing.assert_allclose(
        jackknife(tf.constant(w), order=order), expected, rtol=1e-9, atol=1e-9
    )


def test_jackknife_is_exact_where_few_weights_share_the_sum():
    for large in (1, 2, 3, 5):  # the hardest for the series over pairs
        w = np.append(np.zeros(large), np.full(7, -40.0))[:, np.newaxis]
        expected = jackknife_by_definition(w, 2)
        np.testing.assert_allclose(jackknife(tf.constant(w), order=2), expected, atol=1e-10)


@pytest.mark.long
def test_each_order_of_the_jackknife_removes_a_power_of_the_bias():
    num, samples = 200_000, 20
    w = np.random.default_rng(0).gamma(2.0, 0.5, size=(samples, num))  # light tails, mean 1
    estimates = [iwae(np.log(w)), *(jackknife(np.log(w), order=order) for order in (1, 2))]
    bias = [float(np.mean(e)) for e in estimates]
    error = [float(np.std(e)) / np.sqrt(num) for e in estimates]
    # ln of a mean of 20 is ln of a Gamma variable of shape 40: bias psi(40) - ln 40
    assert abs(bias[0] + 1 / 80 + 1 / 19_200) < 5 * error[0]
    assert abs(bias[1]) < 5 * error[1] + 1 / samples**2
    assert abs(bias[2]) < 5 * error[2] + 1 / samples**3
    assert abs(bias[0]) > 10 * error[0]


def test_jackknife_of_many_float32_weights_keeps_its_digits():
    w = np.random.default_rng(0).normal(-500, 1, size=(10_000, 3))
    for order in (1, 2):
        narrow = jackknife(tf.constant(w, tf.float32), order=order)
        np.testing.assert_allclose(narrow, jackknife(tf.constant(w), order=order), rtol=1e-6)


def test_cumulants_of_orders_one_to_three_are_their_formulas(log_weights):  # B25
    w = log_weights.numpy()
    n, centred = 60, w - w.mean(0)
    third = n * (centred**3).sum(0) / ((n - 1) * (n - 2))
    expected = [w.mean(0), w.var(0, ddof=1) / 2, third / 6]
    for order in (1, 2, 3):
        np.testing.assert_allclose(
            cumulant(log_weights, order=order), np.sum(expected[:order], 0), rtol=1e-12
        )


def test_groups_join_the_cumulants_to_iwae(log_weights):
    np.testing.assert_allclose(
        grouped_cumulant(log_weights, 1, order=3), cumulant(log_weights, order=3)
    )
    np.testing.assert_allclose(grouped_cumulant(log_weights, 60, order=1), iwae(log_weights))
    groups = log_weights.numpy().reshape(12, 5, 4)
    level = np.logaddexp.reduce(groups, 1) - np.log(5)
    expected = level.mean(0) + level.var(0, ddof=1) / 2
    np.testing.assert_allclose(grouped_cumulant(log_weights, 5), expected, rtol=1e-12)


def test_order_two_is_unbiased_for_gaussian_log_weights():  # B25
    num, budget, deviation = 20_000, 10, 1.2
    w = tf.constant(np.random.default_rng(1).normal(0, deviation, size=(budget, num)))
    estimates = cumulant(w, order=2).numpy()
    exact = deviation**2 / 2
    assert abs(estimates.mean() - exact) < 5 * estimates.std() / np.sqrt(num)
    assert iwae(w).numpy().mean() < exact - 0.05  # at the same budget a bound is biased


def test_thermodynamic_sums_of_gaussian_log_weights_are_their_closed_forms():
    mean, deviation, num = -3.0, 0.7, 200_000
    w = mean + deviation * ndtri((np.arange(num) + 0.5) / num)  # <ln w>_beta = mean + beta s^2
    betas = np.array([0.0, 0.1, 0.4, 1.0])
    left, right = (np.sum(np.diff(betas) * b) for b in (betas[:-1], betas[1:]))
    for rule, area in (("left", left), ("right", right), ("trapezoid", 0.5)):
        value = thermodynamic_sum(w[:, np.newaxis], betas, rule=rule).numpy()[0]
        assert value == pytest.approx(mean + area * deviation**2, abs=2e-4)


def test_thermodynamic_sums_equal_weighted_averages_of_two_values():
    w = np.log([[1.0], [1.0], [8.0]])
    averages = [np.log(8) * 8**beta / (2 + 8**beta) for beta in (0.0, 0.3, 1.0)]
    for rule, shares in (("left", [0.3, 0.7, 0]), ("right", [0, 0.3, 0.7])):
        value = thermodynamic_sum(w, [0, 0.3, 1], rule=rule).numpy()[0]
        assert value == pytest.approx(np.dot(shares, averages), abs=1e-12)


@pytest.mark.long
def test_left_sum_is_below_and_right_above_iwae_and_both_close_in_on_it(log_weights):
    exact, gaps = iwae(log_weights).numpy(), []
    for num_betas in (2, 11, 1001):
        betas = np.linspace(0, 1, num_betas)
        low, high = (
            thermodynamic_sum(log_weights, betas, rule=r).numpy() for r in ("left", "right")
        )
        assert np.all((low < exact) & (exact < high))
        gaps.append(high - low)
    np.testing.assert_allclose(gaps[0], 1000 * gaps[2], rtol=1e-9)
    trapezoid = thermodynamic_sum(log_weights, np.linspace(0, 1, 1001))
    np.testing.assert_allclose(trapezoid, exact, atol=1e-5)
    np.testing.assert_allclose(
        thermodynamic_sum(log_weights, [0, 1], rule="left"), elbo(log_weights)
    )


def test_estimates_move_by_what_is_added_to_all_log_weights(log_weights):
    for estimate in (
        iwae,
        lambda w: jackknife(w, order=2),
        lambda w: thermodynamic_sum(w, [0, 0.5, 1]),
    ):
        with tf.GradientTape() as tape:
            tape.watch(log_weights)
            value = estimate(log_weights)
        slope = tf.reduce_sum(tape.gradient(value, log_weights), 0)
        np.testing.assert_allclose(slope, np.ones(4), rtol=1e-9)


@pytest.mark.long
def test_estimates_of_any_batch_shape_in_a_graph(log_weights):
    batched = tf.reshape(log_weights, (60, 2, 2))
    others = [
        lambda w: grouped_cumulant(w, 6),
        lambda w: jackknife(w, order=2),
        lambda w: thermodynamic_sum(w, [0, 0.5, 1]),
    ]
    for estimate in (elbo, iwae, jackknife, cumulant, *others):
        flat = estimate(log_weights).numpy()
        np.testing.assert_allclose(
            tf.function(estimate)(batched).numpy().reshape(4), flat, rtol=1e-12
        )


def test_wrong_numbers_of_samples_are_refused(log_weights):
    with pytest.raises(ValueError, match="do not divide into groups of 7"):
        grouped_cumulant(log_weights, 7)
    with pytest.raises(ValueError, match="Draw more samples"):
        grouped_cumulant(log_weights, 30, order=3)
    with pytest.raises(ValueError, match="Draw more samples"):
        cumulant(log_weights[:1])
    with pytest.raises(ValueError, match="num_samples of 2 or more"):
        jackknife(log_weights[:1])
    with pytest.raises(ValueError, match="num_samples of 3 or more"):
        jackknife(log_weights[:2], order=2)
    with pytest.raises(ValueError, match="order must be 1 or 2; got 3"):
        jackknife(log_weights, order=3)
    with pytest.raises(ValueError, match="left, right, trapezoid; got 'middle'"):
        thermodynamic_sum(log_weights, [0, 1], rule="middle")
    for betas in ([0.0], [0.0, 0.5], [0.0, 0.5, 0.5, 1.0]):
        with pytest.raises(ValueError, match="betas must"):
            thermodynamic_sum(log_weights, betas)
    with pytest.raises(ValueError, match="num_samples of 1 or more"):
        elbo(log_weights[:0])
