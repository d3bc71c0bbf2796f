"""ln Z of small machines of all pairs of kinds, through the cgf of one layer."""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import logsumexp

from rbm_tf.gaussian_pair import gaussian_log_z
from rbm_tf.machine import Machine
from rbm_tf.units import (
    Binary,
    DReLU,
    Gaussian,
    Mixed,
    Potts,
    ReLU,
    Spin,
    TruncatedExponential,
    Unit,
)

A, B = np.array([0.1, -0.2, 0.3]), np.array([0.2, -0.1])
W = np.array([[0.5, -0.3], [0.2, 0.4], [-0.6, 0.1]])
PRECISIONS = {3: np.array([1.0, 1.5, 2.0]), 2: np.array([1.2, 0.8])}
T = np.array([1.0, -0.5, 0.25])


class Count(Unit):
    """0, 1, 2, .. of mean exp(x)."""

    bounds = (0.0, math.inf)

    def cgf(self, x):
        return tf.exp(x)

    def energy(self, t):
        return tf.math.lgamma(t + 1)

    def sample(self, x, *, seed):
        return tf.random.stateless_poisson(tf.shape(x), seed, tf.exp(x), x.dtype)


KINDS = {
    "Binary": Binary,
    "Spin": Spin,
    "Gaussian": lambda num: Gaussian(num, PRECISIONS[num]),
    "Potts": lambda num: Potts(num, 3),
    "ReLU": lambda num: ReLU(num, PRECISIONS[num]),
    "DReLU": lambda num: DReLU(
        num, PRECISIONS[num], 2 * PRECISIONS[num], threshold_plus=0.3, threshold_minus=-0.2
    ),
    "TruncatedExponential": TruncatedExponential,
}
TABLE = np.array(
    [
        [
            3.7347307899,
            3.7160305317,
            4.1866119466,
            4.4981712261,
            2.9087641576,
            3.4979742160,
            2.3235398907,
        ],
        [
            3.6639875224,
            3.9659490737,
            4.4947500987,
            4.4993959649,
            2.8834721391,
            3.6193874180,
            2.1969242526,
        ],
        [
            3.7640837452,
            3.9975500889,
            4.5533017551,
            4.5795141687,
            2.9589173285,
            3.6877267018,
            2.3136444123,
        ],
        [
            4.9524444727,
            4.9508513369,
            5.4276566196,
            5.7002072927,
            4.1571344699,
            4.7199678738,
            3.5301605881,
        ],
        [
            1.8820948564,
            1.8471946571,
            2.3286380018,
            2.6010286245,
            1.0965719116,
            1.6291719957,
            0.4586398995,
        ],
        [
            2.8551175078,
            2.9681219724,
            3.4698071492,
            3.6457914100,
            2.0253761505,
            2.7001443042,
            1.4250208431,
        ],
        [
            1.6312107796,
            1.5574811747,
            2.0249843530,
            2.3874236858,
            0.7855080406,
            1.3663042287,
            0.2331111013,
        ],
    ]
)
PAIRS = [
    (visible, hidden, value)
    for visible, row in zip(KINDS, TABLE, strict=True)
    for hidden, value in zip(KINDS, row, strict=True)
]


def potts(num, bias):
    """How a Potts layer's weights and biases follow from those of scalar units."""
    shift = np.add.outer(np.arange(num), np.arange(3))
    factors = np.zeros((num, 3 * num))
    for i in range(num):
        factors[i, 3 * i : 3 * i + 3] = T[shift[i] % 3]
    return factors, (bias[:, None] * T[(shift + 1) % 3]).ravel()


def machine(visible, hidden):
    kernel, a, b = W, A, B
    if visible == "Potts":
        factors, a = potts(3, A)
        kernel = factors.T @ kernel
    if hidden == "Potts":
        factors, b = potts(2, B)
        kernel = kernel @ factors
    return KINDS[visible](3), KINDS[hidden](2), a, b, kernel


def points(unit):
    """All states of a layer, or those of a product quadrature, and the logarithms of weights."""
    if unit.is_finite:
        states = unit.layer_states().numpy()
        return states, np.zeros(len(states))
    edges = [0.0, 1.0] if isinstance(unit, TruncatedExponential) else [0.0, 3.0, 14.0]
    x, w = np.polynomial.legendre.leggauss(40)
    ends = list(itertools.pairwise(edges))
    t = np.concatenate([(b - a) / 2 * x + (a + b) / 2 for a, b in ends])
    w = np.concatenate([(b - a) / 2 * w for a, b in ends])
    if np.isinf(unit.bounds[0]):
        t, w = np.concatenate([t, -t]), np.concatenate([w, w])
    grid = np.stack(np.meshgrid(t, t, indexing="ij"), -1).reshape(-1, 2)
    return grid, np.add.outer(np.log(w), np.log(w)).ravel()


def log_z(summed, other, bias, other_bias, kernel):
    """ln sum_t exp(-U(t) + bias.t + sum_j Gamma_j(other_bias_j + (t kernel)_j))."""
    t, log_w = points(summed)
    terms = t @ bias - np.sum(summed.energy(tf.constant(t)), -1) + log_w
    terms += np.sum(other.cgf(tf.constant(other_bias + t @ kernel)), -1)
    return logsumexp(terms)


@pytest.mark.parametrize(("visible", "hidden", "exact"), PAIRS)
def test_log_z_of_every_pair_of_kinds(visible, hidden, exact):
    v, h, a, b, kernel = machine(visible, hidden)
    found = []
    if v.is_finite:
        found.append(log_z(v, h, a, b, kernel))
    if h.is_finite or not v.is_finite:
        found.append(log_z(h, v, b, a, kernel.T))
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-9)


def test_log_z_of_gaussian_layers_is_a_determinant():  # B38
    v, h, a, b, kernel = machine("Gaussian", "Gaussian")
    precision = np.block([[np.diag(PRECISIONS[3]), -kernel], [-kernel.T, np.diag(PRECISIONS[2])]])
    k = np.concatenate([a, b])
    exact = 2.5 * np.log(2 * np.pi) - np.linalg.slogdet(precision)[1] / 2
    exact += k @ np.linalg.solve(precision, k) / 2
    assert exact == pytest.approx(4.5533017551, abs=1e-9)
    assert log_z(h, v, b, a, kernel.T) == pytest.approx(exact, abs=1e-9)
    pair = Machine(*map(tf.constant, (kernel, a, b)), v, h)
    assert float(gaussian_log_z(pair)) == pytest.approx(exact, abs=1e-12)


def test_mixed_layers_are_enumerated_and_weighed_part_by_part():
    v0, labels = np.array([0.4, -0.3, 0.8]), np.array([[0.4, -0.2], [-0.5, 0.3], [0.1, 0.6]])
    visible, hidden = Mixed([KINDS["Gaussian"](3), Potts(1, 3)]), KINDS["ReLU"](2)
    d = np.array([0.1, -0.3, 0.2])
    logits = d + np.sum(hidden.cgf(B + v0 @ W + labels), -1)
    p = np.exp(logits - logsumexp(logits))
    np.testing.assert_allclose(p, [0.3019406620, 0.1643896550, 0.5336696829], atol=1e-10)
    kernel, bias = np.concatenate([W, labels]), np.concatenate([A, d])
    found = log_z(hidden, visible, B, bias, kernel.T)
    assert found == pytest.approx(4.4851014099, abs=1e-9)


def test_layer_states_are_all_there_is_in_any_order_of_parts():
    layer = Mixed([Binary(2), Potts(1, 3), Spin(1)])
    states = layer.layer_states().numpy()
    assert layer.num_layer_states == len(states) == len(np.unique(states, axis=0)) == 24
    layer.check(states)
    np.testing.assert_array_equal(layer.layer_states(first=5, num_states=3), states[5:8])
    np.testing.assert_array_equal(Binary(2).layer_states(), [[0, 0], [1, 0], [0, 1], [1, 1]])
    np.testing.assert_array_equal(Potts(2, 2).layer_states(first=1, num_states=1), [[0, 1, 1, 0]])
    x = tf.constant(np.random.default_rng(0).normal(size=layer.size))
    summed = logsumexp(states @ x.numpy() - np.sum(layer.energy(tf.constant(states)), -1))
    assert summed == pytest.approx(float(tf.reduce_sum(layer.cgf(x))), abs=1e-12)


def test_flags_say_which_layers_are_safe():
    mixed = Mixed([Binary(1), Gaussian(1)])
    finite = {unit: unit.is_finite for unit in (Binary(1), Spin(1), Potts(1, 2), ReLU(1), mixed)}
    assert list(finite.values()) == [True, True, True, False, False]
    bounded = [TruncatedExponential(1), Potts(1, 2), Mixed([Spin(1), Binary(1)])]
    assert all(unit.is_bounded for unit in bounded)
    assert not any(unit.is_bounded for unit in (Gaussian(1), ReLU(1), DReLU(1), mixed))


def test_parameters_of_a_mixed_layer_go_to_their_parts():
    layer = Mixed([Binary(1), Gaussian(2), ReLU(1)])
    assert list(layer.parameters) == ["1_log_precision", "2_log_precision"]
    other = layer.with_parameters(**{"2_log_precision": np.log([3.0])})
    np.testing.assert_allclose(other.energy(np.ones((1, 4))), [[0.0, 0.5, 0.5, 1.5]])
    np.testing.assert_allclose(layer.energy(np.ones((1, 4))), [[0.0, 0.5, 0.5, 0.5]])
