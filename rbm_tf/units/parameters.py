"""Parameters of units as their users give them, and as they are kept."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from rbm_tf.shared.arrays import as_array
from rbm_tf.shared.log_weights import float_tensor
from rbm_tf.shared.types import ArrayLike


def log_positive(values: ArrayLike, num: int, name: str) -> ArrayLike:
    """ln of a positive parameter, one for each unit: float64 numbers, or a tensor of a tensor.

    Args:
        values: a number or (num,), or (.., num), above 0.
        num: the number of units.
        name: what the error message calls them.

    Returns:
        (num,) or (.., num), NumPy unless values are a tensor.

    Raises:
        ValueError: if numbers are not finite and above 0, or fit no layer of num units.

    Example:
        >>> log_positive(1.0, 2, "precision")
        array([0., 0.])
    """
    if tf.is_tensor(values) or isinstance(values, tf.Variable):
        if not tf.is_symbolic_tensor(values) and not np.all(np.asarray(values) > 0):
            raise ValueError(f"{name} must be above 0; got {values!r}.")
        return tf.math.log(float_tensor(values) + tf.zeros(num, float_tensor(values).dtype))
    numbers = per_unit(values, num, name)
    if not np.all(numbers > 0):
        raise ValueError(f"{name} must be above 0; got {values!r}.")
    return np.log(numbers)


def per_unit(values: ArrayLike, num: int, name: str) -> np.ndarray:
    """Numbers as float64, one for each unit.

    Args:
        values: a number or (num,), or (.., num).
        num: the number of units.
        name: what the error message calls them.

    Returns:
        (num,) or (.., num), float64.

    Raises:
        ValueError: if they are not finite, or fit no layer of num units.

    Example:
        >>> per_unit(0.5, 2, "threshold")
        array([0.5, 0.5])
    """
    numbers = as_array(values, "float64", name)
    if (numbers.ndim and numbers.shape[-1] != num) or not np.all(np.isfinite(numbers)):
        raise ValueError(
            f"{name} must be a finite number, or one for each of {num} units; got {values!r}."
        )
    return numbers + np.zeros(num)


def log_sum(log_precision: ArrayLike, added: tf.Tensor) -> tf.Tensor:
    """ln(g + A) from ln g and A, which may be negative; NaN where g + A is not above 0.

    Args:
        log_precision: ln g, any shape.
        added: A, a shape that fits.

    Returns:
        Tensor in the dtype of A.

    Example:
        >>> float(log_sum(0.0, tf.constant(0.0)))
        0.0
    """
    log_g = tf.cast(log_precision, added.dtype)
    total = log_g + tf.math.log1p(added * tf.exp(-log_g))
    return tf.where(tf.math.is_inf(total), tf.constant(math.nan, added.dtype), total)
