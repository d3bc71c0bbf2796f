"""exp(z t - t^2/2) on t >= 0: the one function behind rectified units, for z of any size.

With r = phi(z)/Phi(z), the ratio of density and distribution of the normal, u = z + r and
s = 1 - r u, the cumulant generating function is -ln r and its derivatives are polynomials in u, s
and r. For z far below 0 all of them are small differences of large numbers. There y = -z, and

    K_n = n/(y + K_{n+1}),    u = K_1,  r = y + K_1,    dK_n/dy = -K_n (K_{n+1} - K_n)

turns each derivative into products of positive numbers and of differences that keep their digits.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

import tensorflow as tf

_SWITCH = -2.0  # the continued fraction below, phi/Phi above
_NOT_CUT = 10.0  # standard deviations above 0, where the cut at 0 makes no difference
_LEVELS = {tf.float32: 14, tf.float64: 56}  # so many give y >= 2 to rounding
_NEWTON = 2  # steps for a draw, after which minus its log-survival is right to 1e-6


def half_gaussian_cgf(z: tf.Tensor) -> tf.Tensor:
    """ln int_0^inf exp(z t - t^2/2) dt.

    Args:
        z: any shape, float32 or float64.

    Returns:
        The same shape, nats.

    Example:
        >>> round(float(half_gaussian_cgf(tf.constant(0.0))), 4)  # ln(pi/2)/2
        0.2258
    """
    below, y, body = _branches(z)
    tail = -tf.math.log(y + _fractions(y, 1)[0])
    normal = body * body / 2 + math.log(2 * math.pi) / 2
    return tf.where(below, tail, normal + tf.math.log(_distribution(body)))


def half_gaussian_cumulants(z: tf.Tensor) -> Iterator[tf.Tensor]:
    """Yield the four cumulants of t >= 0 under exp(z t - t^2/2).

    Args:
        z: any shape, float32 or float64.

    Example:
        >>> mean = next(half_gaussian_cumulants(tf.constant(0.0)))
        >>> round(float(mean), 4)  # sqrt(2/pi)
        0.7979
    """
    below, y, body = _branches(z)
    k1, k2, k3, k4 = _fractions(y, 4)
    ratio = tf.exp(-body * body / 2) / (math.sqrt(2 * math.pi) * _distribution(body))
    u = body + ratio
    yield tf.where(below, k1, u)
    s = 1 - ratio * u
    yield tf.where(below, k1 * (k2 - k1), s)
    third = ratio * (u * u - s)
    scale = (y + k1) * k1 * k1 * k2
    yield tf.where(below, scale * (k3 - k2), third)
    tail = scale * (k3 * (k4 - k2) - 3 * k1 * (k3 - k2))
    yield tf.where(below, tail, 2 * ratio * u * s - third * (u + ratio))


def sample_half_gaussian(z: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Draw t >= 0 with density proportional to exp(z t - t^2/2).

    Below the switch t inverts its own survival,
    exp(-y t - t^2/2) (y + K_1(y))/(y + t + K_1(y + t)):
    as z plus a normal number it would be a difference, on a grid as coarse as z in float32.

    Args:
        z: any shape, float32 or float64.
        seed: (2,) int32 tensor.

    Returns:
        The shape and the dtype of z.

    Example:
        >>> sample_half_gaussian(tf.zeros(3), tf.constant([0, 1])).shape
        TensorShape([3])
    """
    below, y, body = _branches(z)
    seeds = tf.unstack(tf.random.split(seed))
    ones = tf.ones_like(body)
    far = tf.constant(_NOT_CUT, body.dtype)
    near = tf.where(body < far, body, far)  # it ends the program where the mean is infinite or NaN
    normal = tf.random.stateless_parameterized_truncated_normal(
        tf.shape(body), seeds[0], means=near, stddevs=ones, minvals=0 * ones, maxvals=1e30 * ones
    )
    normal += body - near
    uniform = tf.random.stateless_uniform(tf.shape(y), seeds[1], dtype=y.dtype)
    return tf.where(below, _survival_time(y, -tf.math.log1p(-uniform)), normal)


def _survival_time(y, depth):
    """The t at which minus the logarithm of the survival is depth, by Newton's method."""
    excess = _fraction(y, 1, _LEVELS[tf.float32])
    rate = y + excess
    t = 2 * depth / (rate + tf.sqrt(rate * rate + 2 * depth))
    for _ in range(_NEWTON):
        later = _fraction(y + t, 1, _LEVELS[tf.float32])
        reached = t * (y + t / 2) + tf.math.log1p((t + (later - excess)) / rate)
        t -= (reached - depth) / (y + t + later)
    return tf.maximum(t, 0)  # rounding


def _branches(z):
    """Where z is below the switch, and what each branch may take everywhere without NaN."""
    switch = tf.constant(_SWITCH, z.dtype)
    below = z < switch
    return below, tf.where(below, -z, -switch), tf.where(below, switch, z)


def _distribution(z):
    """Phi(z)."""
    return tf.math.erfc(-z / math.sqrt(2)) / 2


def _fractions(y, count):
    """K_1 .. K_count at y >= 2."""
    values = [_fraction(y, count)]
    for n in range(count - 1, 0, -1):
        values.append(n / (y + values[-1]))
    return values[::-1]


def _fraction(y, first, levels=None):
    """K_first, with the derivative that the next one gives, as often as it is asked for."""

    @tf.custom_gradient
    def function(y):
        def gradient(upstream):
            after = _fraction(y, first + 1)
            k = first / (y + after)  # once more, as a function of y for second derivatives
            return upstream * -k * (after - k)

        whole = _compiled(y.dtype, first, first + (levels or _LEVELS[y.dtype]))
        return tf.ensure_shape(whole(tf.stop_gradient(y)), y.shape), gradient

    return function(y)


@functools.cache
def _compiled(dtype, first, last):
    """K_first from K_last, as a graph of its own that all others call: it is traced once.

    It begins where K_last and K_last+1 differ by their slope, not at 0: that saves most levels.
    """

    def levels(y):
        ahead = y + 1 / tf.sqrt(y * y + 4 * last)
        k = 2 * last / (ahead + tf.sqrt(ahead * ahead + 4 * last))
        for n in range(last - 1, first - 1, -1):
            k = n / (y + k)
        return k

    return tf.function(
        levels,
        input_signature=[tf.TensorSpec(None, dtype)],
        autograph=False,
        experimental_attributes={"_noinline": True},
    )
