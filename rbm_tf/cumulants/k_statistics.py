"""Cumulants of samples, without bias, and of weighted samples and moments (B22)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from rbm_tf.shared.log_weights import float_tensor
from rbm_tf.shared.types import ArrayLike

MAX_ORDER = 6


def sample_cumulants(x: ArrayLike, max_order: int, *, axis: int = 0) -> tf.Tensor:
    """Estimate the cumulants kappa_1 .. kappa_max_order without bias (Fisher's k-statistics).

    kappa_1 is the mean, kappa_2 the variance with divisor n - 1, kappa_3 and higher in the same
    way: the expectation of each k-statistic over samples is exactly the cumulant.

    Args:
        x: samples, any shape; along `axis` they are independent and alike. Integers and
            half-precision floats are computed in float32.
        max_order: the highest order, 1 to 6.
        axis: the axis of the samples; it must hold max_order of them or more.

    Returns:
        kappa, the shape of x without `axis`, with a new first axis of length max_order.

    Raises:
        ValueError: if max_order is not 1 to 6, or there are fewer than max_order samples.

    Reference: Kendall and Stuart, The Advanced Theory of Statistics 1, section 12; B22.

    Example:
        >>> sample_cumulants([1.0, 2.0, 3.0, 6.0], max_order=3).numpy().round(3)
        array([ 3.   ,  4.667, 12.   ], dtype=float32)
    """
    x = float_tensor(x)
    _check_order(max_order)
    num_samples = x.shape[axis]
    if num_samples is not None and num_samples < max_order:
        raise ValueError(
            f"A cumulant of order {max_order} needs at least {max_order} samples along axis {axis};"
            f" received {num_samples}. Draw more samples or lower max_order."
        )
    n = tf.cast(tf.shape(x)[axis], x.dtype)
    mean = tf.reduce_mean(x, axis, keepdims=True)
    deviation = power = x - mean
    m = {}  # central moments
    for order in range(2, max_order + 1):
        power *= deviation  # far cheaper than tf.pow
        m[order] = tf.reduce_mean(power, axis)
    kappa = [tf.squeeze(mean, axis)]
    kappa += [k_statistic(order, m, n) for order in range(2, max_order + 1)]
    return tf.stack(kappa)


def k_statistic(order: int, m: Mapping[int, Any], n: float | tf.Tensor) -> Any:
    """The k-statistic of order 2 to 6, the unbiased estimate of kappa_order, from central moments.

    Args:
        order: which k-statistic, 2 to 6.
        m: the central moments by their order: m[r] is the mean of (x - mean(x))^r over the sample,
            for r = 2 .. order.
        n: the number of samples, at least `order`.

    Returns:
        The shape of m[2].

    Example:
        >>> k_statistic(2, {2: 1.5}, n=4)  # n / (n - 1) m[2]
        2.0
    """
    if order == 2:
        return n / (n - 1) * m[2]
    if order == 3:
        return n**2 * m[3] / ((n - 1) * (n - 2))
    if order == 4:
        numerator = n**2 * ((n + 1) * m[4] - 3 * (n - 1) * m[2] ** 2)
        return numerator / ((n - 1) * (n - 2) * (n - 3))
    if order == 5:
        numerator = n**3 * ((n + 5) * m[5] - 10 * (n - 1) * m[2] * m[3])
        return numerator / ((n - 1) * (n - 2) * (n - 3) * (n - 4))
    numerator = n**2 * (
        (n + 1) * (n**2 + 15 * n - 4) * m[6]
        - 15 * (n - 1) ** 2 * (n + 4) * m[2] * m[4]
        - 10 * (n - 1) * (n**2 - n + 4) * m[3] ** 2
        + 30 * n * (n - 1) * (n - 2) * m[2] ** 3
    )
    return numerator / ((n - 1) * (n - 2) * (n - 3) * (n - 4) * (n - 5))


def weighted_cumulants(
    x: ArrayLike, log_weights: ArrayLike, max_order: int, *, axis: int = 0
) -> tf.Tensor:
    """Cumulants of the distribution that gives x[i] a probability proportional to a weight.

    Exact for a finite set of states: list every state's value in x and its -E in log_weights.

    Args:
        x: values of the states, any shape; that of a state of weight zero may be infinite, and
            counts nothing.
        log_weights: logarithms of the weights, nats, broadcast against x; no need to normalise.
        max_order: the highest order, 1 or above.
        axis: the axis of the states.

    Returns:
        kappa_1 .. kappa_max_order, stacked on a new first axis.

    Raises:
        ValueError: if max_order is below 1.

    Reference: B21 and B22.

    Example:
        >>> weighted_cumulants([0.0, 1.0], [0.0, 0.0], max_order=4).numpy()  # a fair coin
        array([ 0.5  ,  0.25 ,  0.   , -0.125], dtype=float32)
    """
    x = float_tensor(x)
    probabilities = tf.nn.softmax(tf.zeros_like(x) + float_tensor(log_weights, dtype=x.dtype), axis)
    x = tf.where(probabilities == 0, tf.zeros_like(x), x)
    mean = tf.reduce_sum(probabilities * x, axis, keepdims=True)
    orders = range(1, max_order + 1)
    central = [tf.reduce_sum(probabilities * (x - mean) ** order, axis) for order in orders]
    kappa = cumulants_from_moments(tf.stack(central) if central else [])
    return tf.concat([tf.squeeze(mean, axis)[tf.newaxis], kappa[1:]], 0)


def cumulants_from_moments(moments: ArrayLike) -> tf.Tensor:
    """Turn raw moments <x>, <x^2>, .. into cumulants.

    kappa_n = <x^n> - sum_{m=1}^{n-1} C(n-1, m-1) kappa_m <x^{n-m}>.

    Args:
        moments: the raw moments stacked on axis 0, order 1 first, (max_order, ..).

    Returns:
        The cumulants, of the same shape.

    Raises:
        ValueError: if there is no moment.

    Reference: B22; Smith (1995), A recursive formulation of the old problem of obtaining moments
    from cumulants and vice versa.

    Example:
        >>> cumulants_from_moments([2.0, 5.0]).numpy()
        array([2., 1.], dtype=float32)
    """
    moments = float_tensor(moments)
    if not moments.shape[0]:
        raise ValueError("At least one moment is needed: pass moments or max_order of 1 or higher.")
    kappa: list[tf.Tensor] = []
    for n in range(moments.shape[0]):
        terms = [math.comb(n, m) * kappa[m] * moments[n - m - 1] for m in range(n)]
        kappa.append(moments[n] - sum(terms))
    return tf.stack(kappa)


def _check_order(max_order):
    if not (isinstance(max_order, int) and 1 <= max_order <= MAX_ORDER):
        raise ValueError(f"max_order must be an integer from 1 to {MAX_ORDER}; got {max_order!r}.")
