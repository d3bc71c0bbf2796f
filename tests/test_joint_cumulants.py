import itertools
import math
import pickle

import numpy as np
import pytest
import tensorflow as tf

from rbm_tf.cumulants import (
    StreamingJointCumulants,
    expectation_series,
    expectation_weights,
    joint_cumulants,
    log_expectation,
    sample_cumulants,
)
from vae_keras.evidence import cumulant, elbo, grouped_cumulant, iwae, jackknife


def partitions(items):
    """All ways to part a list into groups."""
    if not items:
        yield []
        return
    first, *others = items
    for size in range(len(items)):
        for mates in itertools.combinations(others, size):
            rest = [item for item in others if item not in mates]
            for groups in partitions(rest):
                yield [[first, *mates], *groups]


def joint_cumulant(variables, probabilities):
    """<<a b c ..>> of a finite distribution by its definition, a sum over partitions."""
    total = 0.0
    for groups in partitions(list(range(len(variables)))):
        means = [probabilities @ np.prod([variables[i] for i in group], 0) for group in groups]
        total += (-1) ** (len(groups) - 1) * math.factorial(len(groups) - 1) * np.prod(means)
    return total


@pytest.fixture
def samples():
    rng = np.random.default_rng(0)
    x = rng.gamma(2.0, size=(40, 3))
    return np.stack([x**2 - x, rng.normal(size=x.shape)], -1), x  # (40, 3, 2), (40, 3)


@pytest.mark.parametrize("order", range(1, 6))
def test_joint_cumulants_are_unbiased_over_all_samples_of_a_small_support(order):
    f, x = np.array([2.0, -1.0, 0.5]), np.array([0.0, 1.0, 3.0])
    probabilities = np.array([0.5, 0.2, 0.3])
    draws = np.array(list(itertools.product(range(3), repeat=6))).T  # (6, 729)
    weight = probabilities[draws].prod(0)
    estimates = joint_cumulants(f[draws], x[draws], order).numpy() @ weight
    exact = [joint_cumulant([f] + [x] * n, probabilities) for n in range(order)]
    np.testing.assert_allclose(estimates, exact, rtol=1e-10, atol=1e-10)


def test_joint_cumulants_of_equals_are_cumulants_and_of_order_two_the_covariance(samples):
    f, x = samples
    np.testing.assert_allclose(joint_cumulants(x, x, 6), sample_cumulants(x, 6), rtol=1e-10)
    second = joint_cumulants(f, x, 2).numpy()[1]
    for column, function in itertools.product(range(3), range(2)):
        covariance = np.cov(f[:, column, function], x[:, column])[0, 1]
        np.testing.assert_allclose(second[column, function], covariance, rtol=1e-12)


def test_shifts_drop_out_scales_factor_out_and_the_order_of_samples_is_nothing(samples):
    f, x = samples
    joint = joint_cumulants(f, x, 6).numpy()
    powers = 2.0 * (-0.5) ** np.arange(6).reshape(-1, 1, 1)
    moved = joint_cumulants(2.0 * f + 7.0, -0.5 * x - 3.0, 6).numpy()
    np.testing.assert_allclose(moved[1:], (powers * joint)[1:], rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(moved[0], 2.0 * joint[0] + 7.0, rtol=1e-12)
    rank = np.random.default_rng(1).permutation(len(x))
    mixed = joint_cumulants(f[rank], x[rank], 6)
    np.testing.assert_allclose(mixed, joint, rtol=1e-8, atol=1e-10)


def test_joint_cumulants_are_linear_in_f(samples):
    f, x = samples
    both = joint_cumulants(f.sum(-1), x, 5)
    apart = joint_cumulants(f, x, 5).numpy().sum(-1)
    np.testing.assert_allclose(both, apart, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("max_order", range(1, 7))
def test_streamed_joint_cumulants_are_those_of_all_samples(samples, max_order):
    f, x = samples
    total = StreamingJointCumulants.empty(max_order, shape=(3, 2))
    sizes = set()
    for part in np.split(np.arange(40), [1, 2, 7, 30]):
        total = total.update(f[part], x[part])
        sizes.add(len(pickle.dumps(total)))
    assert len(sizes) == 1  # however many samples it has seen
    expected = joint_cumulants(f, x, max_order)
    np.testing.assert_allclose(total.cumulants(), expected, rtol=1e-11, atol=1e-11)


def test_workers_merge_to_all_samples_in_any_split_and_order():
    rng = np.random.default_rng(0)
    x = rng.normal(-90.0, 3.0, size=2000)
    f = np.sin(x) + 1e3
    expected = joint_cumulants(f, x, 5).numpy()
    scale = np.std(x) ** np.arange(5)
    for cuts in ([1, 2], [700, 1500], [1990, 1995]):
        one, two, three = (
            pickle.loads(pickle.dumps(StreamingJointCumulants.empty(5).update(*part)))
            for part in zip(np.split(f, cuts), np.split(x, cuts), strict=True)
        )
        for merged in (one.merge(two).merge(three), three.merge(one.merge(two))):
            found = merged.cumulants()
            np.testing.assert_allclose(found[0], expected[0], rtol=1e-14)
            np.testing.assert_allclose(found[1:] / scale[1:], expected[1:] / scale[1:], atol=1e-12)


@pytest.mark.parametrize("order", range(1, 7))
def test_series_of_an_expectation_is_the_slope_of_the_free_energy_in_its_source(samples, order):
    # B34
    f, x = samples[0][..., 0], tf.constant(samples[1])
    t = tf.zeros(3, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(t)
        value = log_expectation(sample_cumulants(x + t * f, order))
    slope = tape.gradient(value, t)
    series = expectation_series(joint_cumulants(f, x, order))
    np.testing.assert_allclose(series, slope, rtol=1e-10, atol=1e-9)
    step = 1e-5
    ends = [cumulant(x + sign * step * f, order=order).numpy() for sign in (1, -1)]
    np.testing.assert_allclose(series, (ends[0] - ends[1]) / (2 * step), rtol=1e-5)


@pytest.mark.parametrize("num_terms", range(1, 6))
def test_series_of_the_tilted_mean_leaves_the_error_of_its_next_term(num_terms):  # B34
    f, x = np.array([2.0, -1.0, 0.5]), np.array([0.0, 1.0, 3.0])
    probabilities, errors = np.array([0.5, 0.2, 0.3]), []
    for scale in (0.02, 0.01):
        tilted = probabilities * np.exp(scale * x)
        joint = [joint_cumulant([f] + [scale * x] * n, probabilities) for n in range(num_terms)]
        errors.append(float(expectation_series(np.array(joint))) - f @ tilted / tilted.sum())
    assert errors[0] / errors[1] == pytest.approx(2**num_terms, rel=0.1)


def test_expectation_weights_of_iwae_are_normalised_weights_and_of_the_elbo_equal():
    log_w = np.random.default_rng(0).normal(-50, 2, size=(20, 3))
    normalised = np.exp(log_w - np.logaddexp.reduce(log_w, 0))
    np.testing.assert_allclose(expectation_weights(log_w, iwae), normalised, rtol=1e-12)
    np.testing.assert_allclose(expectation_weights(log_w, elbo), np.full((20, 3), 0.05))
    log_w[0] = -np.inf
    assert np.all(expectation_weights(log_w, iwae).numpy()[0] == 0)


def test_expectation_weights_add_up_to_one_and_are_the_series_of_any_f(samples):
    f, x = samples[0][..., 0], samples[1]
    estimates = [
        *(lambda w, order=order: cumulant(w, order=order) for order in range(1, 7)),
        lambda w: grouped_cumulant(w, 5, order=3),
        jackknife,
        lambda w: jackknife(w, order=2),
    ]
    for estimate in estimates:
        total = expectation_weights(x, estimate).numpy().sum(0)
        np.testing.assert_allclose(total, np.ones(3), rtol=1e-9)
    weights = expectation_weights(x, lambda w: cumulant(w, order=4)).numpy()
    series = expectation_series(joint_cumulants(f, x, 4))
    np.testing.assert_allclose((weights * f).sum(0), series, rtol=1e-9)


def test_graphs_dtypes_and_lists_are_taken(samples):
    f, x = samples
    loose = [tf.TensorSpec([None, 3, 2], tf.float64), tf.TensorSpec([None, 3], tf.float64)]
    traced = tf.function(lambda f, x: joint_cumulants(f, x, 3), input_signature=loose)
    np.testing.assert_allclose(traced(f, x), joint_cumulants(f, x, 3), rtol=1e-12)
    narrow = joint_cumulants(f.astype(np.float32), x.astype(np.float32), 3)
    assert narrow.dtype == tf.float32
    np.testing.assert_allclose(narrow, joint_cumulants(f, x, 3), rtol=1e-3, atol=1e-3)
    mixed = joint_cumulants(np.array([0.1, 0.3]), tf.constant([0.0, 4.0]), 2)
    np.testing.assert_allclose(mixed, [0.2, 0.4], rtol=1e-15)  # f keeps its digits
    listed = joint_cumulants([0.1, 0.3], np.array([0.0, 4.0]), 2)
    np.testing.assert_allclose(listed, [0.2, 0.4], rtol=1e-15)


def test_what_does_not_fit_is_refused(samples):
    f, x = samples
    for wrong in (f[:-1], f[:, 0], 1.0):
        with pytest.raises(ValueError, match="f must have the shape of x"):
            joint_cumulants(wrong, x, 2)
        with pytest.raises(ValueError, match="f must have the shape of x"):
            StreamingJointCumulants.empty(2, shape=(3, 2)).update(wrong, x)
    with pytest.raises(ValueError, match="from 1 to 6"):
        joint_cumulants(f, x, 7)
    with pytest.raises(ValueError, match="Draw more samples"):
        joint_cumulants(f[:2], x[:2], 3)
    with pytest.raises(ValueError, match="Add more samples"):
        StreamingJointCumulants.empty(3, shape=(3, 2)).update(f[:2], x[:2]).cumulants()
    with pytest.raises(ValueError, match="same max_order and shape"):
        StreamingJointCumulants.empty(3).merge(StreamingJointCumulants.empty(2))
    with pytest.raises(ValueError, match="make it of TensorFlow alone"):
        expectation_weights(x, lambda w: tf.constant(w.numpy().mean(0)))
    with pytest.raises(ValueError, match="num_samples of 1 or more"):
        expectation_weights(x[:0], elbo)
