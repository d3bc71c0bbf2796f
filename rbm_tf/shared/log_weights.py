"""The one door for log-weights: whatever carries the numbers, a float tensor comes out.

Zero weights, ln w = -inf, are weights like others. NaN and +inf, an infinite weight, are not: both
become NaN, and every estimate of that data point is NaN, and of no other. Refusing them instead
would lose a whole batch to one data point, and a graph cannot look.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from rbm_tf.shared.arrays import as_array
from rbm_tf.shared.types import ArrayLike, DType


def float_tensor(x: ArrayLike, *, dtype: DType | None = None) -> tf.Tensor:
    """Numbers as a tensor of a dtype, or of their own where that is float32 or float64.

    Integers, float16 and bfloat16 become float32: sums of half-precision numbers overflow. Masked
    numbers become NaN.

    Args:
        x: numbers, arrays or tensors of TensorFlow, NumPy or any other Keras backend.
        dtype: the float type of the result, or None.

    Returns:
        Tensor, the shape of x.

    Raises:
        ValueError: if x is complex or text.

    Example:
        >>> float_tensor([1, 2]).dtype.name, float_tensor(np.array([0.5])).dtype.name
        ('float32', 'float64')
    """
    if hasattr(x, "detach") or type(x).__module__.startswith("jax"):
        import keras

        x = keras.ops.convert_to_numpy(x.detach().cpu() if hasattr(x, "detach") else x)
    x = as_array(x, None) if isinstance(x, np.ma.MaskedArray) else x
    if not tf.is_tensor(x):  # a list at once in its dtype, lest it loses digits
        x = tf.convert_to_tensor(x, None if hasattr(x, "dtype") else dtype)
    own = tf.as_dtype(x.dtype)
    if not (own.is_floating or own.is_integer or own.is_bool):
        raise ValueError(f"Real numbers are needed; these are of type {own.name}.")
    wide = own in (tf.float32, tf.float64)
    return tf.cast(x, dtype or (own if wide else tf.float32))


def as_log_weights(
    log_weights: ArrayLike, *, at_least: int = 1, dtype: DType | None = None
) -> tf.Tensor:
    """Log-weights as a float tensor, refused unless there are enough samples.

    Args:
        log_weights: (num_samples, ..), nats, as `float_tensor` takes them.
        at_least: the smallest number of samples that is enough.
        dtype: the float type of the result, or None, as `float_tensor` takes it.

    Returns:
        Tensor, the same shape, float32 or float64, with NaN for +inf.

    Raises:
        ValueError: if there is no sample axis, or too few samples.

    Example:
        >>> as_log_weights([[-1], [float("inf")]]).numpy()
        array([[-1.],
               [nan]], dtype=float32)
    """
    log_weights = float_tensor(log_weights, dtype=dtype)
    shape = log_weights.shape
    if shape.rank == 0 or (shape[0] is not None and shape[0] < at_least):
        raise ValueError(
            f"log_weights must have shape (num_samples, ..) with num_samples of {at_least} or "
            f"more; got {tuple(shape)}. Draw more samples."
        )
    return tf.where(log_weights == np.inf, tf.constant(np.nan, log_weights.dtype), log_weights)


def log_mean_exp(log_weights: tf.Tensor, *, axis: int = 0) -> tf.Tensor:
    """ln <w>, the logarithm of the mean of weights along an axis.

    Args:
        log_weights: ln w, a float tensor of any shape, nats.
        axis: the axis of the samples.

    Returns:
        Tensor without this axis, nats; -inf where all weights are zero.

    Example:
        >>> log_mean_exp(tf.math.log([1.0, 3.0])).numpy()  # ln 2
        np.float32(0.6931472)
    """
    num = tf.cast(tf.shape(log_weights)[axis], log_weights.dtype)
    return tf.reduce_logsumexp(log_weights, axis) - tf.math.log(num)


def log_power(log_weights: tf.Tensor, exponent: float | tf.Tensor) -> tf.Tensor:
    """ln w^exponent = exponent ln w, with 0^0 = 1.

    Args:
        log_weights: ln w, a tensor of any shape, nats.
        exponent: the power, a scalar of 0 or above.

    Returns:
        Tensor, the same shape, nats.

    Example:
        >>> log_power(tf.constant([-2.0, -np.inf]), 0.0).numpy()
        array([0., 0.], dtype=float32)
    """
    exponent = tf.cast(exponent, log_weights.dtype)
    return tf.where(exponent == 0, tf.zeros_like(log_weights), exponent * log_weights)
