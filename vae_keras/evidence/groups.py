"""ln p(x) from cumulants of grouped log-weights: the closure of the series, and the group size.

L_K, the log-mean-exp of K log-weights, obeys ln p(x) = ln <exp(L_K)> for every K, so that the
cumulant expansion may start from groups. Larger groups shorten the series, and leave fewer groups
to estimate it from.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from rbm_tf.cumulants import sample_cumulants
from rbm_tf.cumulants.errors import jackknife_error, leave_one_out_cumulants
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.log_weights import as_log_weights, float_tensor, log_mean_exp
from rbm_tf.shared.seeds import seed_of_numpy
from rbm_tf.shared.types import ArrayLike
from vae_keras.evidence.estimators import log_means_of_groups, num_groups

_REGROUPINGS = 5
NUM_GROUPS = 10  # of the largest groups that are considered
_LIMIT = 1 / 3  # of the Gamma's theta: beyond it the closure leans on too few weights


def regrouped_cumulants(
    log_weights: ArrayLike,
    group_size: int,
    *,
    max_order: int = 3,
    num_regroupings: int = _REGROUPINGS,
    seed: int | None = None,
) -> tf.Tensor:
    """Cumulants of L_K, averaged over random ways to put the same weights into groups.

    Each grouping gives unbiased k-statistics, and so does their average, with less noise.

    Args:
        log_weights: log importance weights ln w, nats, (num_samples, batch), num_samples a multiple
            of group_size.
        group_size: the number K of weights in a group.
        max_order: the highest order, 1 to 6; there must be as many groups.
        num_regroupings: the number of groupings to average over; the first is that of the samples'
            order.
        seed: integer that fixes the groups; the same seed gives the same ones.

    Returns:
        (max_order, batch), in powers of nats.

    Raises:
        ValueError: if the samples do not divide into groups, there are fewer groups than max_order,
            or num_regroupings is below 1.

    Reference: B25.

    Example:
        >>> log_weights = tf.math.log([[1.0], [3.0], [2.0], [2.0]])
        >>> regrouped_cumulants(log_weights, 2, max_order=2, seed=0).shape
        TensorShape([2, 1])
    """
    log_weights = as_log_weights(log_weights)
    num_samples = log_weights.shape[0]
    check_counts(num_regroupings=num_regroupings)
    if num_groups(num_samples, group_size) < max_order:
        raise ValueError(
            f"Order {max_order} needs at least {max_order} groups; {num_samples} samples make "
            f"{num_samples // group_size} of {group_size}. Draw more, or choose smaller groups."
        )
    alike = group_size == 1 or group_size == num_samples
    orders = _orders(num_samples, 1 if alike else num_regroupings, seed)
    return _mean_over_groupings(log_weights, orders, tf.constant(group_size), max_order)


def _orders(num_samples, num_regroupings, seed):
    """Orders of the samples, the given one first, (num_samples, num_regroupings)."""
    rng, order = np.random.default_rng(seed_of_numpy(seed)), np.arange(num_samples)
    return np.stack([order, *(rng.permutation(order) for _ in range(num_regroupings - 1))], -1)


@tf.function(reduce_retracing=True)
def _mean_over_groupings(log_weights, orders, group_size, max_order=3):
    groups = tf.gather(log_weights, orders)  # (num_samples, num_regroupings, batch)
    shape = tf.concat([[-1, group_size], tf.shape(groups)[1:]], 0)
    log_means = log_mean_exp(tf.reshape(groups, shape), axis=1)
    return tf.reduce_mean(sample_cumulants(log_means, max_order), 1)


def gamma_closure(kappa: ArrayLike, *, limit: float = _LIMIT) -> tf.Tensor:
    """Sum the whole series ln <exp(L)> as if L were a shifted Gamma variable, from three cumulants.

    kappa_1 + kappa_2 g(theta), g(theta) = -(ln(1 - theta) + theta) / theta^2 = 1/2 + theta/3 + ..

    with theta = <kappa_3> / (2 <kappa_2>), the averages over the batch. All cumulants of the Gamma
    follow, kappa_n = (n - 1)! theta^(n - 2) kappa_2. It is exact where ln w is a constant plus a
    multiple of a chi-square variable, as when q and the posterior are Gaussians of different
    widths. One theta for the batch keeps out the noise of each example's kappa_3.

    Args:
        kappa: (3, batch), the cumulants of orders 1 to 3 of each example, float.
        limit: the largest theta, below 1; larger ones, of heavy right tails, are set to it. At 1
            the Gamma's <exp(L)> diverges.

    Returns:
        (batch,), nats.

    Raises:
        ValueError: if there are not three cumulants, or the limit is not below 1.

    Reference: B25.

    Example:
        >>> gamma_closure(tf.constant([[0.0], [1.0], [0.5]])).numpy().round(4)  # theta 1/4
        array([0.6029], dtype=float32)
    """
    kappa = float_tensor(kappa)
    if kappa.shape[0] != 3:
        raise ValueError(f"kappa must hold the orders 1 to 3 on axis 0; got {kappa.shape[0]}.")
    if not limit < 1:
        raise ValueError(f"limit must be below 1, where <exp(L)> diverges; got {limit}.")
    first, second, third = tf.unstack(kappa)
    return first + tf.cast(_gamma_factor(second, third, limit), second.dtype) * second


def _gamma_factor(second, third, limit=_LIMIT):
    second, third = (tf.cast(kappa, tf.float64) for kappa in (second, third))
    second, third = (_mean(kappa, second + third) for kappa in (second, third))
    theta = tf.minimum(tf.math.divide_no_nan(third, 2 * second), limit)
    small = tf.abs(theta) < 1e-3  # there the quotient loses digits
    safe = tf.where(small, tf.ones_like(theta) / 4, theta)
    quotient = -(tf.math.log1p(-safe) + safe) / safe**2
    return tf.where(small, 0.5 + theta / 3 + theta**2 / 4, quotient)


def _mean(values, finite):
    """The mean of the values where another array is finite: NaN of one example stays its own."""
    known = tf.math.is_finite(finite)
    total = tf.reduce_sum(tf.where(known, values, tf.zeros_like(values)))
    return tf.math.divide_no_nan(total, tf.reduce_sum(tf.cast(known, values.dtype)))


def shrunken_cumulants(kappa: ArrayLike, num_groups: int) -> tf.Tensor:
    """Draw each example's kappa_2 towards that of the batch, by the share of it that is noise.

    kappa_2 becomes (1 - s) kappa_2 + s <kappa_2>, with the s that makes the error of
    kappa_1 + g kappa_2 for one example smallest, g as in `gamma_closure`:

        s = (<Cov> + g <Var>) / (g <(kappa_2 - <kappa_2>)^2>), within [0, 1]

    Cov = kappa_3 / G and Var = (2 G kappa_2^2 + (G - 1) kappa_4) / (G (G + 1)) estimate the
    sampling covariance of the two k-statistics of G groups and the variance of the second. The mean
    over the batch stays as it was. Where kappa_2 is all noise, s is near 1; where errors of kappa_1
    and kappa_2 cancel, as for long left tails, it is near 0.

    Args:
        kappa: (4, batch), the cumulants of orders 1 to 4 of each example, as k-statistics.
        num_groups: the number G of groups that they were estimated from.

    Returns:
        (3, batch), the orders 1 to 3 for `gamma_closure`.

    Raises:
        ValueError: if there are not four cumulants.

    Reference: James and Stein (1961), Estimation with quadratic loss (the idea); Fisher (1929),
    Moments and product moments of sampling distributions (Cov and Var); B25.

    Example:
        >>> kappa = tf.constant([[0.0, 0.0], [1.0, 3.0], [0.0, 0.0], [0.0, 0.0]])
        >>> shrunken_cumulants(kappa, 9)[1].numpy()  # s = 1
        array([2., 2.], dtype=float32)
    """
    kappa = float_tensor(kappa)
    if kappa.shape[0] != 4:
        raise ValueError(f"kappa must hold the orders 1 to 4 on axis 0; got {kappa.shape[0]}.")
    first, second, third, fourth = tf.unstack(kappa)
    num = tf.cast(num_groups, kappa.dtype)
    factor = tf.cast(_gamma_factor(second, third), kappa.dtype)
    finite = tf.reduce_sum(kappa, 0)
    mean = _mean(second, finite)
    noise = (2 * num * second**2 + (num - 1) * fourth) / (num * (num + 1))
    useless = _mean(third / num + factor * noise, finite)
    spread = factor * _mean((second - mean) ** 2, finite)
    share = tf.clip_by_value(tf.math.divide_no_nan(useless, spread), 0, 1)
    return tf.stack([first, second + share * (mean - second), third])


class GroupedEstimate(NamedTuple):
    """ln p(x) of each example from grouped cumulants, and how the group size was chosen."""

    log_p: tf.Tensor  # (batch,), nats
    group_size: int
    iwae_bias: float  # of `evidence.iwae` with the same weights, estimated, nats
    shifts: dict[
        int, float
    ]  # group size tried -> batch mean of its log_p minus that of the largest groups


def grouped_estimate(log_weights: ArrayLike, *, seed: int | None = None) -> GroupedEstimate:
    """ln p(x) by the Gamma closure over groups, with the group size that the weights ask for.

    The largest groups are those of which there are 10. Smaller ones are less noisy for an example,
    but may be biased. The smallest K is taken whose batch mean differs from that of the largest by
    at most half the bias of IWAE, which is -<<L_K^2>> / 2G to leading order with G groups; the
    sizes are tried on one grouping each, the estimate averages over five, and shrinks the second
    cumulants (`shrunken_cumulants`). The examples are judged together, without a reference: give a
    hundred or more.

    Args:
        log_weights: log importance weights ln w, nats, (num_samples, batch), num_samples a multiple
            of 10.
        seed: integer that fixes the groups; the same seed gives the same ones.

    Returns:
        `GroupedEstimate`.

    Raises:
        ValueError: if num_samples is not a multiple of 10.

    Reference: B25.

    Example:
        >>> log_weights = keras.random.normal((100, 200), seed=0)  # ln <w> = 1/2
        >>> estimate = grouped_estimate(log_weights, seed=0)
        >>> estimate.log_p.shape, 100 % estimate.group_size
        (TensorShape([200]), 0)
    """
    log_weights = as_log_weights(log_weights)
    num_samples = log_weights.shape[0]
    if not num_samples or num_samples % NUM_GROUPS:
        raise ValueError(
            f"The number of samples must be a multiple of {NUM_GROUPS}; got {num_samples}. Drop "
            "the samples that are left over, or draw more."
        )
    largest = num_samples // NUM_GROUPS
    sizes = [k for k in range(1, largest + 1) if not num_samples % k]
    orders = _orders(num_samples, _REGROUPINGS, seed)
    log_p, group_size, bias, shifts = _estimate(log_weights, orders, tf.constant(sizes))
    shifts = dict(zip(sizes[:-1], shifts.numpy().tolist(), strict=False))
    return GroupedEstimate(log_p, int(group_size), float(bias), shifts)


@tf.function(reduce_retracing=True)
def _estimate(log_weights, orders, sizes):
    """The estimate, its group size, the bias of IWAE, and the shifts of the sizes tried."""
    kappa = _mean_over_groupings(log_weights, orders, sizes[-1], 4)
    log_p, bias = gamma_closure(kappa[:3]), -_mean(kappa[1], kappa[1]) / (2 * NUM_GROUPS)
    group_size, shift, tried = sizes[-1], tf.constant(math.inf, bias.dtype), 0
    shifts = tf.TensorArray(bias.dtype, 0, dynamic_size=True)
    while tried < tf.size(sizes) - 1 and tf.abs(shift) > -bias / 2:
        once = _mean_over_groupings(log_weights, orders[:, :1], sizes[tried])
        difference = gamma_closure(once) - log_p
        shift = _mean(difference, difference)
        shifts, tried = shifts.write(tried, shift), tried + 1
    if tf.abs(shift) <= -bias / 2:
        group_size = sizes[tried - 1]
        kappa = _mean_over_groupings(log_weights, orders, group_size, 4)
    log_p = gamma_closure(shrunken_cumulants(kappa, tf.shape(orders)[0] // group_size))
    return log_p, group_size, bias, shifts.stack()


def grouped_standard_error(log_weights: ArrayLike, group_size: int) -> tf.Tensor:
    """Standard error of the Gamma closure over groups of K weights, from the same weights.

    The jackknife over groups in the samples' order, at the theta of all of them. Regrouping makes
    `grouped_estimate` more precise than this, and so does shrinking where examples are alike.

    Args:
        log_weights: log importance weights ln w, nats, (num_samples, batch), num_samples a multiple
            of group_size.
        group_size: the number K of weights in a group, such as that of a `GroupedEstimate`; 3
            groups or more.

    Returns:
        (batch,), float64, nats.

    Raises:
        ValueError: if the samples do not divide into groups, or there are fewer than 3 groups.

    Reference: Efron and Stein (1981), The jackknife estimate of variance; B25.

    Example:
        >>> log_weights = keras.random.normal((100, 200), seed=0)
        >>> error = grouped_standard_error(log_weights, group_size=1)  # (1.5 / 100)^0.5 = 0.12
        >>> round(float(tf.reduce_mean(error)), 1)
        0.1
    """
    log_means = log_means_of_groups(log_weights, group_size)
    kappa = sample_cumulants(log_means, 3)
    first, second = tf.unstack(leave_one_out_cumulants(log_means, 2))
    return jackknife_error(first + _gamma_factor(*tf.unstack(kappa)[1:]) * second)
