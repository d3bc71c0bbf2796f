"""The field that a mean needs, where no formula has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from rbm_tf.units.unit import Unit

_REACH = 50.0  # fields are looked for from sinh(-50) to sinh(50)
_HALVINGS = 40  # to 1e-10, which the step squares


def field_of_mean(unit: Unit, m: tf.Tensor) -> tf.Tensor:
    """The x with kappa_1(x) = m: bisection in float64, then one step of Newton's method.

    The mean rises with the field, so that bisection cannot miss. The step is what gradients pass
    by: dx/dm = 1/kappa_2, and those of the parameters of the unit.

    Args:
        unit: units whose states are numbers, unlike those of `Potts`.
        m: means, a float tensor (.., size).

    Returns:
        (.., size); NaN for a mean that does not lie inside the support.

    Example:
        >>> round(float(field_of_mean(Binary(1), tf.constant([0.75]))[0]), 4)  # ln 3
        1.0986
    """
    wide, (low, high) = tf.cast(m, tf.float64), unit.bounds

    def halve(index, left, right):
        middle = (left + right) / 2
        below = unit.mean(tf.sinh(middle)) < wide
        return index + 1, tf.where(below, middle, left), tf.where(below, right, middle)

    start = tf.constant(0), 0 * wide - _REACH, 0 * wide + _REACH
    _, left, right = tf.while_loop(lambda index, *_: index < _HALVINGS, halve, start)
    x = tf.stop_gradient(tf.sinh((left + right) / 2))
    mean, variance = tf.unstack(unit.cumulants(x, 2))
    x -= tf.math.divide_no_nan(mean - wide, tf.stop_gradient(variance))
    inside = (wide > tf.cast(low, x.dtype)) & (wide < tf.cast(high, x.dtype))
    return tf.cast(tf.where(inside, x, tf.constant(np.nan, x.dtype)), m.dtype)
