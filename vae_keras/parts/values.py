"""Values of parts: which of them are levels, and stand-ins for those that are not there."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from rbm_tf.shared.types import ArrayLike, Tensor
from vae_keras.parts.inputs import check_range, widened


def check_levels(owner: Any, value: ArrayLike, num_levels: int) -> None:
    """Refuse data that are no levels k / (num_levels - 1), which rounding would move, and NaN.

    Args:
        owner: the part, for the error message.
        value: array or eager tensor, of any shape.
        num_levels: the number of levels.

    Raises:
        ValueError: with what they must be, and what to do.

    Example:
        >>> check_levels(Levels(Gaussian()), np.arange(256) / 255, 256)
    """
    top = num_levels - 1
    remedy = f"divide the integers 0 to {top} by {top}"
    check_range(owner, value, 0, 1, remedy=remedy)
    level = ops.convert_to_numpy(value) * top
    if np.any(np.abs(level - np.round(level)) > 1e-3 + 2e-7 * top):  # and rounding in float32
        raise ValueError(
            f"Data of {type(owner).__name__} must be levels k/{top}: {remedy}, not by "
            f"{num_levels}, in float32, and add no noise."
        )


def filled(value: Tensor, counts: Tensor) -> Tensor:
    """The value with the first of its entries that count in place of those that do not.

    The part knows what it is then given, NaN and padding leave no trace in gradients, and `where`
    can drop the terms.

    Args:
        value: tensor, (rows, ..).
        counts: bool, in the shape of the value or of its first axes.

    Returns:
        The shape of the value; zeros where nothing counts.

    Example:
        >>> value = ops.array([[3.0, math.nan, 4.0]])
        >>> print(ops.convert_to_numpy(filled(value, value == value)))
        [[3. 3. 4.]]
    """
    flat = ops.reshape(value, (-1, *ops.shape(value)[len(counts.shape) :]))
    first = ops.argmax(ops.reshape(ops.cast(counts, "int32"), (-1,)))
    entry = ops.take(flat, first, axis=0)
    entry = ops.where(ops.any(counts), entry, ops.zeros_like(entry))
    return ops.where(widened(counts, value), value, entry)
