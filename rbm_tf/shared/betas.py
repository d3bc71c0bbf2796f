"""The inverse temperatures of a path, from 0 to 1."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from rbm_tf.shared.types import ArrayLike, DType


def checked_betas(betas: ArrayLike | None, dtype: DType) -> tf.Tensor:
    """The inverse temperatures as a tensor; None stands for 1,001 equal steps.

    Args:
        betas: increasing from 0 to 1, (num_betas,), or None.
        dtype: the dtype of the result.

    Returns:
        Tensor (num_betas,).

    Raises:
        ValueError: if they do not increase from 0 to 1.

    Example:
        >>> checked_betas([0, 0.5, 1], "float32").numpy()
        array([0. , 0.5, 1. ], dtype=float32)
    """
    return tf.constant(increasing(np.linspace(0, 1, 1001) if betas is None else betas), dtype)


def increasing(betas: ArrayLike) -> np.ndarray:
    """The inverse temperatures as a float64 array, refused unless they increase from 0 to 1.

    Args:
        betas: the inverse temperatures, (num_betas,).

    Raises:
        ValueError: if they do not.

    Example:
        >>> increasing([0, 0.5, 1])
        array([0. , 0.5, 1. ])
    """
    betas = np.asarray(betas, float)
    if betas.ndim != 1 or len(betas) < 2 or betas[0] != 0 or betas[-1] != 1:
        raise ValueError("betas must be a list that starts at 0 and ends at 1.")
    if not np.all(np.diff(betas) > 0):
        raise ValueError("betas must increase at every step, from 0 to 1.")
    return betas
