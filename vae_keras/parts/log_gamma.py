"""ln Gamma and ln p of counts on every backend, by Stirling's series: Keras has none."""

from __future__ import annotations

import functools
import math
import operator

from keras import ops

from rbm_tf.shared.types import Tensor

_SHIFT = 6  # the series is taken at x + 6, where three terms leave 2e-9
_FEW = 16  # counts below are summed directly
_LARGE = 1e3  # from here on the shift is not needed


def log_gamma(x: Tensor) -> Tensor:
    """ln Gamma(x) for x above 0, with an error of a few 1e-6 (1 + |value|) in float32.

    ln Gamma(x) = ln Gamma(x + 6) - ln [x (x + 1) .. (x + 5)], and for large y
    ln Gamma(y) = (y - 1/2) ln y - y + ln(2 pi)/2 + 1/(12 y) - 1/(360 y^3) + 1/(1260 y^5).

    Args:
        x: float tensor of any shape, above 0.

    Returns:
        The shape of x.

    Reference: Abramowitz and Stegun (1964), 6.1.15 and 6.1.41.

    Example:
        >>> round(float(log_gamma(ops.array(5.0))), 4), round(math.log(24), 4)
        (3.1781, 3.1781)
    """
    is_large = x > _LARGE
    y = ops.where(is_large, x, x + _SHIFT)
    factors = [ops.where(is_large, 1.0, x + k) for k in range(_SHIFT)]
    product = functools.reduce(operator.mul, factors)
    stirling = (y - 0.5) * ops.log(y) - y + math.log(2 * math.pi) / 2 + _correction(y)
    return stirling - ops.log(product)


def log_gamma_ratio(x: Tensor, k: Tensor) -> Tensor:
    """ln Gamma(x + k) - ln Gamma(x), which keeps its digits where x is large.

    Args:
        x: float tensor, above 0.
        k: float tensor, 0 or above, of the same shape.

    Returns:
        The shape of x.

    Example:
        >>> round(float(log_gamma_ratio(ops.array(1e6), ops.array(2.0))), 4)  # ln [x (x + 1)]
        27.631
    """
    y = x + _SHIFT
    ratio = (y - 0.5) * ops.log1p(k / y) + k * ops.log(y + k) - k
    shifts = functools.reduce(operator.add, [ops.log1p(k / (x + j)) for j in range(_SHIFT)])
    return ratio + _correction(y + k) - _correction(y) - shifts


def log_poisson(log_rate: Tensor, k: Tensor) -> Tensor:
    """k log_rate - e^log_rate - ln k!, which keeps its digits where rate and count are large.

    For k of 16 or more it is -D - ln(2 pi k)/2 - correction of Stirling, with the deviance D =
    k ln(k / rate) + rate - k as a series in v = (k - rate) / (k + rate) where v is small.

    Args:
        log_rate: float tensor.
        k: counts, float tensor of the same shape.

    Returns:
        ln p, the shape of k, nats.

    Reference: Loader (2000), Fast and accurate computation of binomial probabilities.

    Example:
        >>> rate = 1e6
        >>> round(float(log_poisson(ops.array(math.log(rate)), ops.array(rate))), 3)
        -7.827
    """
    rate, is_small = ops.exp(log_rate), k < _FEW
    few, many = ops.where(is_small, k, 0.0), ops.where(is_small, float(_FEW), k)
    direct = few * log_rate - rate - log_gamma(few + 1)
    deviance = _deviance(many, many - rate, rate, ops.log(many) - log_rate)
    stirling = -deviance - 0.5 * ops.log(2 * math.pi * many) - _correction(many)
    return ops.where(is_small, direct, stirling)


def log_negative_binomial(log_mean: Tensor, log_r: Tensor, k: Tensor) -> Tensor:
    """ln p of a negative binomial count, which keeps its digits where mean and count are large.

    For k of 16 or more it is ln [r / (r + k)] and ln p of r successes in r + k trials, whose
    probability is r / (r + m): two deviances as in `log_poisson`, with Stirling's corrections.

    Args:
        log_mean: ln m, float tensor.
        log_r: ln r of the concentration, the same shape.
        k: counts, float tensor of the same shape.

    Returns:
        ln p, the shape of k, nats.

    Reference: Loader (2000), Fast and accurate computation of binomial probabilities.

    Example:
        >>> log_mean, log_r = ops.array(math.log(1e6)), ops.array(0.0)
        >>> round(float(log_negative_binomial(log_mean, log_r, ops.array(1e6))), 3)
        -14.816
    """
    r, log_ratio, is_small = ops.exp(log_r), log_mean - log_r, k < _FEW
    log_success, log_failure = -ops.softplus(log_ratio), -ops.softplus(-log_ratio)
    few, many = ops.where(is_small, k, 0.0), ops.where(is_small, float(_FEW), k)
    direct = log_gamma_ratio(r, few) - log_gamma(few + 1) + r * log_success + few * log_failure
    success, failure, n = ops.sigmoid(-log_ratio), ops.sigmoid(log_ratio), r + many
    excess, log_n = many * success - r * failure, ops.log(n)  # failures above their mean, n failure
    deviance = _deviance(many, excess, n * failure, ops.log(many / n) - log_failure)
    deviance += _deviance(r, -excess, n * success, log_r - log_n - log_success)
    ways = 0.5 * (log_r - log_n - ops.log(2 * math.pi * many)) - _correction(many)
    stirling = ways + _correction(n) - _stirling_error(r, log_r) - deviance
    return ops.where(is_small, direct, stirling)


def _deviance(x, excess, mean, log_ratio):
    """x ln(x / mean) + mean - x, of x - mean and ln(x / mean) that are known with their digits."""
    v = excess / (x + mean)
    is_near = ops.abs(v) < 0.1
    near = ops.where(is_near, v, 0.0)
    square = near * near
    series = near * square * (1 / 3 + square * (1 / 5 + square * (1 / 7 + square / 9)))
    return ops.where(is_near, excess * near + 2 * x * series, x * log_ratio - excess)


def _stirling_error(x, log_x):
    """ln Gamma(x + 1) less Stirling's formula without its correction, also for x near 0."""
    is_small = x < _SHIFT
    small, large = ops.where(is_small, x, 1.0), ops.where(is_small, float(_SHIFT), x)
    formula = (small + 0.5) * log_x - small + math.log(2 * math.pi) / 2
    return ops.where(is_small, log_gamma(small + 1) - formula, _correction(large))


def _correction(y):
    inverse = 1 / y
    square = inverse * inverse
    return inverse * (1 / 12 - square * (1 / 360 - square / 1260))
