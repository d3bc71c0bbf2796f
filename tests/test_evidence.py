import numpy as np
import pytest
import tensorflow as tf

from vae_keras.evidence import cumulant, elbo, grouped_cumulant, iwae, jackknife


@pytest.fixture
def log_weights():
    return tf.constant(np.random.default_rng(0).normal(-50, 1.5, size=(60, 4)))


def test_elbo_is_the_mean_and_iwae_the_log_mean_exp(log_weights):
    w = log_weights.numpy()
    np.testing.assert_allclose(elbo(log_weights), w.mean(0), rtol=1e-12)
    expected = np.logaddexp.reduce(w, 0) - np.log(60)
    np.testing.assert_allclose(iwae(log_weights), expected, rtol=1e-12)


def test_jackknife_equals_its_definition(log_weights):
    w = log_weights.numpy()
    leave_one_out = [
        np.logaddexp.reduce(np.delete(w, index, 0), 0) - np.log(59) for index in range(60)
    ]
    expected = 60 * iwae(log_weights).numpy() - 59 * np.mean(leave_one_out, 0)
    np.testing.assert_allclose(jackknife(log_weights), expected, rtol=1e-10)


def test_jackknife_of_many_float32_weights_keeps_its_digits():
    w = np.random.default_rng(0).normal(-500, 1, size=(10_000, 3))
    narrow = jackknife(tf.constant(w, tf.float32))
    np.testing.assert_allclose(narrow, jackknife(tf.constant(w)), rtol=1e-6)


def test_cumulants_of_orders_one_to_three_are_their_formulas(log_weights):  # B25
    w = log_weights.numpy()
    n, centred = 60, w - w.mean(0)
    third = n * (centred**3).sum(0) / ((n - 1) * (n - 2))
    expected = [w.mean(0), w.var(0, ddof=1) / 2, third / 6]
    for order in (1, 2, 3):
        np.testing.assert_allclose(
            cumulant(log_weights, order), np.sum(expected[:order], 0), rtol=1e-12
        )


def test_groups_join_the_cumulants_to_iwae(log_weights):
    np.testing.assert_allclose(grouped_cumulant(log_weights, 1, 3), cumulant(log_weights, 3))
    np.testing.assert_allclose(grouped_cumulant(log_weights, 60, 1), iwae(log_weights))
    groups = log_weights.numpy().reshape(12, 5, 4)
    level = np.logaddexp.reduce(groups, 1) - np.log(5)
    expected = level.mean(0) + level.var(0, ddof=1) / 2
    np.testing.assert_allclose(grouped_cumulant(log_weights, 5), expected, rtol=1e-12)


def test_order_two_is_unbiased_for_gaussian_log_weights():  # B25
    num, budget, deviation = 20_000, 10, 1.2
    w = tf.constant(np.random.default_rng(1).normal(0, deviation, size=(budget, num)))
    estimates = cumulant(w, 2).numpy()
    exact = deviation**2 / 2
    assert abs(estimates.mean() - exact) < 5 * estimates.std() / np.sqrt(num)
    assert iwae(w).numpy().mean() < exact - 0.05  # at the same budget a bound is biased


def test_estimates_of_any_batch_shape_in_a_graph(log_weights):
    batched = tf.reshape(log_weights, (60, 2, 2))
    for estimate in (elbo, iwae, jackknife, cumulant, lambda w: grouped_cumulant(w, 6)):
        flat = estimate(log_weights).numpy()
        np.testing.assert_allclose(
            tf.function(estimate)(batched).numpy().reshape(4), flat, rtol=1e-12
        )


def test_wrong_numbers_of_samples_are_refused(log_weights):
    with pytest.raises(ValueError, match="do not divide into groups of 7"):
        grouped_cumulant(log_weights, 7)
    with pytest.raises(ValueError, match="Draw more samples"):
        grouped_cumulant(log_weights, 30, 3)
    with pytest.raises(ValueError, match="Draw more samples"):
        cumulant(log_weights[:1])
    with pytest.raises(ValueError, match="num_samples of 2 or more"):
        jackknife(log_weights[:1])
    with pytest.raises(ValueError, match="num_samples of 1 or more"):
        elbo(log_weights[:0])
