"""The landscape of training: what chapter 15 says of it, against exact sums."""

import numpy as np
import tensorflow as tf
from scipy import special

from rbm_tf import Machine, enumeration
from rbm_tf.datasets import bars_and_stripes
from rbm_tf.machine import clamped_free_energy


def minus_log_likelihood(parameters, data):
    machine = Machine(*(tf.constant(x) for x in parameters))
    return np.mean(clamped_free_energy(machine, data)) + enumeration.log_z(machine)


def second_difference(data, direction, hidden_bias, eps=1e-3):
    """Of the loss in the kernel at 0, the biases kept at the means of the data."""
    best = special.logit(data.mean(0))
    n = special.expit(hidden_bias)
    at = [
        minus_log_likelihood((t * direction, best - t * direction @ n, hidden_bias), data)
        for t in (-eps, 0.0, eps)
    ]
    return (at[0] - 2 * at[1] + at[2]) / eps**2


def predicted(data, direction, hidden_bias, *, diagonal=0.0):
    covariance = np.cov(data.T, bias=True)
    off = covariance - (1 - diagonal) * np.diag(np.diag(covariance))
    n = special.expit(hidden_bias)
    return -np.sum(n * (1 - n) * np.sum(direction * (off @ direction), 0))


def test_the_independent_machine_is_a_saddle_with_the_curvature_of_the_covariances():  # B52
    rng = np.random.default_rng(0)
    images = bars_and_stripes(3)[0].reshape(14, 9).astype(float)
    unequal = (rng.random((40, 5)) < [0.2, 0.4, 0.5, 0.6, 0.8]) * 1.0  # means that are not 1/2
    unequal[:, 1] = np.where(rng.random(40) < 0.7, unequal[:, 0], unequal[:, 1])
    for data in (images, unequal):
        direction = rng.normal(size=(data.shape[1], 3))
        bias = np.array([0.0, 1.0, -0.5])
        found = second_difference(data, direction, bias)
        np.testing.assert_allclose(found, predicted(data, direction, bias), rtol=1e-4)
        assert abs(found - predicted(data, direction, bias, diagonal=1.0)) > 0.1
        covariance = np.cov(data.T, bias=True)
        top = np.linalg.eigh(covariance - np.diag(np.diag(covariance)))[1][:, -1:]
        assert second_difference(data, top, np.zeros(1)) < -1e-3  # a way down


def test_uncorrelated_pixels_leave_no_curvature():  # B52
    parity = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]], float)
    direction = np.random.default_rng(1).normal(size=(3, 2))
    assert abs(second_difference(parity, direction, np.array([1.0, -0.5]))) < 1e-5


def test_a_hidden_unit_turned_around_leaves_the_probabilities_of_images():
    rng = np.random.default_rng(2)
    kernel, a, b = rng.normal(size=(5, 3)), rng.normal(size=5), rng.normal(size=3)
    data = (rng.random((6, 5)) < 0.5) * 1.0
    signs = np.array([-1.0, 1.0, -1.0])
    turned = kernel * signs, a + kernel[:, signs < 0].sum(1), b * signs
    values = [minus_log_likelihood(x, data) for x in ((kernel, a, b), turned)]
    np.testing.assert_allclose(*values, rtol=1e-12)
    wrong = kernel * signs, a, b * signs
    assert abs(minus_log_likelihood(wrong, data) - values[0]) > 1e-3
