"""Units in [0, 1] with an exponential density, for grey levels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from scipy.special import poch, zeta

from rbm_tf.shared.seeds import as_seed
from rbm_tf.shared.types import ArrayLike
from rbm_tf.units.unit import Unit

_NEAR = {tf.float32: 2.0, tf.float64: 1.0}  # the series below this |x|, the closed form above
_POWERS = 2 * np.arange(1, 16)  # whose terms reach rounding there, in all derivatives


@keras.saving.register_keras_serializable(package="rbm_tf")
class TruncatedExponential(Unit):
    """Units in [0, 1] with U = 0: Gamma(x) = ln((exp(x) - 1)/x), p(t) proportional to exp(x t).

    The mean is 1/2 + coth(x/2)/2 - 1/x. Near x = 0, where the closed forms are small differences,
    the series x/2 + sum_n B_2n x^2n/(2n (2n)!) takes their place.

    Args:
        num: the number of units.

    Raises:
        ValueError: if num is not an integer of 1 or more.

    Reference: Bengio et al. (2007); as a likelihood, the continuous Bernoulli distribution of
    Loaiza-Ganem and Cunningham (2019).

    Example:
        >>> TruncatedExponential(1).cumulants([0.0], 2)[:, 0].numpy()  # uniform: 1/2 and 1/12
        array([0.5       , 0.08333334], dtype=float32)
    """

    bounds = (0.0, 1.0)

    def cgf(self, x: ArrayLike) -> tf.Tensor:
        x = self.fields(x)
        near, inner, size, e = _branches(x)
        outer = tf.maximum(x, 0) + tf.math.log((1 - e) / size)
        return tf.where(near, inner / 2 + _series(inner, 0), outer)

    def each_cumulant(self, x: tf.Tensor) -> Iterator[tf.Tensor]:
        near, inner, size, e = _branches(x)
        odds = e / (1 - e)  # 1/(exp(|x|) - 1)
        below = 1 / size - odds  # the mean at -|x|
        yield tf.where(near, 0.5 + _series(inner, 1), tf.where(x < 0, below, 1 - below))
        spread = odds / (1 - e)  # 1/(4 sinh(x/2)^2)
        yield tf.where(near, _series(inner, 2), 1 / size**2 - spread)
        third = tf.sign(x) * (spread * (1 + 2 * odds) - 2 / size**3)
        yield tf.where(near, _series(inner, 3), third)
        yield tf.where(near, _series(inner, 4), 6 / size**4 - spread * (1 + 6 * spread))

    def sample(self, x: ArrayLike, *, seed: Any) -> tf.Tensor:
        x = self.fields(x)
        size = tf.maximum(tf.abs(x), np.finfo(x.dtype.as_numpy_dtype).eps)
        uniform = tf.random.stateless_uniform(tf.shape(x), as_seed(seed), dtype=x.dtype)
        below = -tf.math.log1p(uniform * tf.math.expm1(-size)) / size  # in the field -|x|
        return tf.where(x < 0, below, 1 - below)

    def cgf_conjugate_at(self, x: ArrayLike) -> tf.Tensor:
        return super().cgf_conjugate_at(-tf.abs(self.fields(x)))  # alike on both sides


def _branches(x):
    """Where |x| is small, x there and 0 elsewhere, |x| elsewhere, and exp(-|x|)."""
    edge = tf.constant(_NEAR[x.dtype], x.dtype)
    near = tf.abs(x) < edge
    size = tf.where(near, edge, tf.abs(x))
    return near, tf.where(near, x, tf.zeros_like(x)), size, tf.exp(-size)


def _series(x, order):
    """A derivative of sum_n B_2n x^2n/(2n (2n)!) = sum_n (-1)^(n-1) zeta(2n)/n (x/2 pi)^2n."""
    n = _POWERS // 2
    terms = (-1.0) ** (n - 1) * zeta(_POWERS) / (n * (2 * np.pi) ** _POWERS)
    first = (order - 1) // 2 if order else 0  # what stands before is constant
    powers = _POWERS[first:]
    terms = terms[first:] * poch(powers - order + 1, order)
    total = tf.zeros_like(x)
    for coefficient in terms[::-1]:
        total = total * x * x + coefficient
    for _ in range(powers[0] - order):  # repeated derivatives of x ** n at 0 are NaN
        total = total * x
    return total
